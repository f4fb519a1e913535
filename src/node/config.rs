//! What a node is told at its birth: who we are, where to announce, and every limit.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::offers::AcceptRule;
use crate::wire::{Office, PORT, PacketNo};

/// Everything a node needs to know beforehand.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who we are.
    pub identity: Identity,
    /// Charset of the office.
    pub office: Office,
    /// Our port.
    pub port: u16,
    /// Networks beyond our links.
    pub networks: Vec<Network>,
    /// Official clients to ask for their host list, one for each far segment.
    pub seeds: Vec<SocketAddr>,
    /// Hear only: no entry, no answer, no receipt.
    pub passive: bool,
    /// Whether there is a store; without one nothing is kept and no receipt is sent.
    pub keeps: bool,
    /// Whether what waits for somebody goes out when that one is here; else only when it is asked for.
    /// A node that ends with the work of one command leaves it to one that stays for the receipts.
    pub delivers: bool,
    /// Where our packet numbers go on.
    pub numbers: NumberStart,
    /// Version of this program: major, minor, patch.
    pub version: [u32; 3],
    /// Whose offers of files are accepted unasked.
    pub accept: Vec<AcceptRule>,
    /// Limits and times.
    pub policy: Policy,
}

impl Config {
    /// A node as it is where nothing else is said: the protocol's port, an office that does not say
    /// its charset, no networks beyond the links, a store, and the version of this program.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            office: Office::Auto,
            port: PORT,
            networks: Vec::new(),
            seeds: Vec::new(),
            passive: false,
            keeps: true,
            delivers: true,
            numbers: NumberStart::default(),
            version: this_version(),
            accept: Vec::new(),
            policy: Policy::default(),
        }
    }
}

/// Version of this program: major, minor, patch.
fn this_version() -> [u32; 3] {
    let parts = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    ];
    parts.map(|part| part.parse().unwrap_or(0))
}

/// Who we are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Nickname.
    pub nick: String,
    /// Group; may be empty.
    pub group: String,
    /// Log-on name.
    pub user: String,
    /// Computer name.
    pub host: String,
    /// Our own stable 12 upper-case hex digits, a locally administered address made once. FeiQ
    /// keys its contacts by it.
    pub mac: String,
}

/// Where our packet numbers go on (threats, rule 12).
///
/// The first number of a run is `last` plus a random 1 to 65,535; the store has put the clock into
/// `last` already, and knows when the clock must no longer count (after a wrap). Without a store
/// (`Config::keeps` off, both fields 0) the node puts Unix time, in seconds, in the place of
/// `last`. From there numbers rise by random steps of 1 to 16. Before the first number above
/// `reserved` is used, a further block is asked for by [`Record::Numbers`](super::Record::Numbers);
/// at 2^31 numbers start low again and the block is asked for in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NumberStart {
    /// The larger of the highest number any earlier run may have used and Unix time in seconds.
    pub last: PacketNo,
    /// Numbers up to and including this one are reserved on disk for this run (committed at the
    /// latest with its first record, so before a message leaves): at the start `last` + 131,072,
    /// room for the random start and 65,536 more.
    pub reserved: PacketNo,
}

/// A network beyond our links, from the settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// One host, or a directed broadcast address: entered at once.
    Addr(SocketAddr),
    /// Every address from the first to the last, entered slowly, one after the other.
    Range(SocketAddr, SocketAddr),
}

/// The limits and times of the node that are chosen, and tried with others in tests; what bounds one
/// module alone stands at its head. The defaults are the caps of `docs/protocol.md`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is named after the cap it holds")]
pub struct Policy {
    pub peers_max: usize,
    pub addresses_per_peer_max: usize,
    pub duplicates_max: usize,
    /// Bytes of the identities of those who sent them: invented names are long.
    pub duplicates_bytes_max: usize,
    pub duplicates_span: Duration,
    pub waiting_max: usize,
    /// Waits before the second, third and fourth datagram of a message; the last one repeats.
    pub retry_waits: [Duration; 4],
    /// Each wait varies by this share of itself, in percent, both ways.
    pub retry_jitter_percent: u32,
    pub answer_once_per: Duration,
    /// Random delay of answers to entries: below the count of peers, at most this long.
    pub answer_delays: [(usize, Duration); 3],
    pub answer_delay_floor: Duration,
    pub flood_rate_per_second: u32,
    pub flood_burst: u32,
    pub info_per_address_per_second: u32,
    pub info_per_second: u32,
    pub unicasts_per_second: u32,
    pub unicasts_waiting_max: usize,
    pub scans_per_second: u32,
    /// An entry of ours after a start or a new link is sent once more after this time.
    pub entry_again_after: Duration,
    /// How long a roll call waits for answers: below the count of peers, this long.
    pub roll_call_waits: [(usize, Duration); 3],
    /// Between the two entries a silent peer gets of its own.
    pub probe_gap: Duration,
    /// A peer heard this lately may owe us no answer yet, and is not taken for silent.
    pub fresh_span: Duration,
    /// How long a message to an unknown address waits for its answer to our entry.
    pub meeting_wait: Duration,
    /// How long a message is kept for its recipient where nothing else is said.
    pub later_span: Duration,
    /// How long a kept message is tried when its recipient appears.
    pub later_try: Duration,
    /// Between two rounds of asking where those are for whom messages are kept.
    pub later_seek: Duration,
    /// After this time a message that is sent again says when it was written.
    pub late_after: Duration,
    /// How long a seed has for a part of its host list.
    pub seed_wait: Duration,
    /// The same entry again within this time is no restart of its sender.
    pub same_entry_span: Duration,
    /// What comes on another link, or was overtaken by what was sent after it, comes within this time.
    pub overtaken_span: Duration,
    /// Recipients of one message that are served at once; the others at the rate below.
    pub sends_at_once: usize,
    pub sends_per_second: u32,
    /// Pictures that may be gathered at a time.
    pub pictures_max: usize,
    pub pictures_per_peer_max: usize,
    /// A picture of which nothing new comes for so long is given up; in any case after the span.
    pub picture_quiet: Duration,
    pub picture_span: Duration,
    /// Pictures that ended and are still known when they are repeated.
    pub pictures_remembered_max: usize,
    pub picture_transfers_max: usize,
    /// Between two fragments of ours.
    pub picture_gap: Duration,
    /// How long the acknowledgements of a window have, before what is missing is sent again; and
    /// how often that is done while nothing new is acknowledged.
    pub picture_round_wait: Duration,
    pub picture_rounds_max: u32,
    /// Offers to us that lie on the table.
    pub offers_per_peer_max: usize,
    pub offers_max: usize,
    /// Files in all of them.
    pub offers_files_max: usize,
    /// Transfers to us that run at once; the others wait.
    pub fetches_at_once: usize,
    /// How long a peer has for its list of shared files, before it is asked again; and how often it
    /// is asked in all. iptux answers nobody whom it has not met.
    pub list_wait: Duration,
    pub list_tries: u32,
    /// How long the store may not know who was heard.
    pub roster_lag: Duration,
    /// Packet numbers reserved on disk at a time.
    pub numbers_block: u32,
    /// A peer that writes to us while we are away gets at most one automatic reply in this time.
    pub auto_reply_once_per: Duration,
    /// Sealed messages of ours whose read notices are waited for.
    pub sealed_max: usize,
    /// Envelopes a run without a store holds.
    pub envelopes_held_max: usize,
    /// Read notices of ours that wait for their answer.
    pub read_notices_max: usize,
    /// Between two of the same read notice.
    pub read_notice_gap: Duration,
    /// How often a read notice is sent again.
    pub read_notice_repeats: u32,
    /// How long after the opening of a sealed message its sender is still told of it, if the
    /// process ended before.
    pub untold_span: Duration,
    /// How long a knock of ours waits for its answer.
    pub knock_wait: Duration,
    /// Knocks of one peer ring at most this often, and so many of all peers in that time.
    pub knock_once_per: Duration,
    pub knocks_max: u32,
    /// How long a peer that was said to type is believed to.
    pub typing_span: Duration,
    /// "Typing" right after a message is that message's echo, and we tell it at most this often.
    pub typing_once_per: Duration,
    /// Private-key operations that wait: for one address, and in all.
    pub jobs_per_address: usize,
    pub jobs_max: usize,
    /// Encrypted messages of one address that could not be opened, before no more are tried for
    /// this time.
    pub open_failures_max: u32,
    pub open_failures_span: Duration,
    /// A key beyond what a stranger's question grants is sent at most this often.
    pub key_once_per: Duration,
    /// Groups of FeiQ remembered.
    pub groups_max: usize,
}

impl Policy {
    /// When the turn of the nth comes of those that are not sent at once.
    pub(crate) fn first_try_after(&self, nth: usize) -> Duration {
        let nth = u32::try_from(nth).unwrap_or(u32::MAX);
        Duration::from_secs(1) * nth / self.sends_per_second.max(1)
    }
}

impl Default for Policy {
    fn default() -> Self {
        const fn ms(millis: u64) -> Duration {
            Duration::from_millis(millis)
        }
        Self {
            peers_max: 4096,
            addresses_per_peer_max: 8,
            duplicates_max: 65_536,
            duplicates_bytes_max: 4 << 20,
            duplicates_span: ms(600_000),
            waiting_max: 65_536,
            retry_waits: [ms(500), ms(1_000), ms(2_000), ms(2_000)],
            retry_jitter_percent: 20,
            answer_once_per: ms(5_000),
            answer_delays: [(50, ms(1_023)), (300, ms(2_047)), (usize::MAX, ms(4_095))],
            answer_delay_floor: ms(5),
            flood_rate_per_second: 50,
            flood_burst: 200,
            info_per_address_per_second: 10,
            info_per_second: 200,
            unicasts_per_second: 100,
            unicasts_waiting_max: 8_192,
            scans_per_second: 20,
            entry_again_after: ms(5_000),
            roll_call_waits: [(50, ms(1_200)), (300, ms(2_200)), (usize::MAX, ms(4_300))],
            probe_gap: ms(1_000),
            fresh_span: ms(6_000),
            meeting_wait: ms(1_200),
            later_span: ms(7 * 24 * 3_600_000),
            later_try: ms(30_000),
            later_seek: ms(600_000),
            late_after: ms(120_000),
            seed_wait: ms(3_000),
            same_entry_span: ms(1_000),
            overtaken_span: ms(10_000),
            sends_at_once: 50,
            sends_per_second: 500,
            pictures_max: 16,
            pictures_per_peer_max: 4,
            picture_quiet: ms(120_000),
            picture_span: ms(600_000),
            pictures_remembered_max: 256,
            picture_transfers_max: 64,
            picture_gap: ms(2),
            picture_round_wait: ms(1_000),
            picture_rounds_max: 4,
            offers_per_peer_max: 64,
            offers_max: 512,
            offers_files_max: 8_192,
            fetches_at_once: 8,
            list_wait: ms(1_000),
            list_tries: 3,
            roster_lag: ms(5_000),
            numbers_block: 65_536,
            auto_reply_once_per: ms(60_000),
            sealed_max: 4_096,
            envelopes_held_max: 64,
            read_notices_max: 4_096,
            read_notice_gap: ms(750),
            read_notice_repeats: 12,
            untold_span: ms(24 * 3_600_000),
            knock_wait: ms(3_000),
            knock_once_per: ms(5_000),
            knocks_max: 20,
            typing_span: ms(10_000),
            typing_once_per: ms(2_000),
            jobs_per_address: 4,
            jobs_max: 64,
            open_failures_max: 20,
            open_failures_span: ms(60_000),
            key_once_per: ms(60_000),
            groups_max: 256,
        }
    }
}

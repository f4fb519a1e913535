//! All that faces say and hear: [`Request`], [`Reply`], [`Event`], [`Refusal`].
//!
//! The same types travel in process, over the control socket and as `--json` lines; `docs/json.md`
//! describes every field. Adding a field is allowed, changing or removing one is not.

mod choice;
pub mod files;
mod outbox;
pub mod pictures;
mod wishes;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::files::{FilesOf, Get, OfferId, OfferView, Pick, Progress, Transferred};
use self::pictures::PictureEvent;
use super::effect::Outcome;
use super::input::{Bounce, Link, UnixMillis};
use crate::wire::{Charset, PacketNo, Recipient, Sure};
pub use choice::FileChoice;
pub use outbox::{Waiting, WaitingState};
pub use wishes::Wishes;

/// A peer's identity, above its addresses: `user@host`, with `#` and the 12 hex digits of its
/// version field where it has one, and with `!` and its address where two people share all that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerId(pub Arc<str>);

/// A peer as faces see it: the same object in every event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerView {
    /// Identity.
    pub id: PeerId,
    /// Nickname; the log-on name if it announced none.
    pub nick: String,
    /// Log-on name.
    pub user: String,
    /// Computer name.
    pub host: String,
    /// Group; empty if none.
    pub group: String,
    /// The address it was last heard from.
    pub addr: IpAddr,
    /// Its port there.
    pub port: u16,
    /// Every address it is known at, the one above first.
    pub addrs: Vec<SocketAddr>,
    /// Family of clients: `feige`, `ipmsg`, `feiq`, `iptux`.
    pub dialect: String,
    /// Charset of its texts, if it is known.
    pub charset: Option<Charset>,
    /// How sure that is.
    pub charset_sure: Option<Sure>,
    /// Version it announced, in the words of its dialect.
    pub version: Option<String>,
    /// Whether it says that its user is away.
    pub absent: bool,
    /// Fingerprint of its key.
    pub fingerprint: Option<String>,
}

/// What a face asks of the node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Request {
    /// Who is there, as far as is known now. Answered by [`Reply::Peers`].
    Peers,
    /// Ask the LAN who is there. Answered at once by [`Reply::RollCall`]; what changes comes as
    /// events. A peer that stays silent gets two entries of its own, then it is down.
    RollCall,
    /// One announcement to everybody on every link. Answered by [`Reply::Sent`].
    Broadcast {
        /// The text.
        text: String,
    },
    /// A message. Answered by [`Reply::Sent`], or by [`Reply::Refused`] and nothing is sent to
    /// anybody. Each recipient then ends in exactly one [`Event::Receipt`], [`Event::Delivered`] or
    /// [`Event::Failed`] (with `check` off: in [`Event::Failed`] or nothing).
    Send {
        /// To whom.
        to: Vec<Target>,
        /// The text.
        text: String,
        /// Whether receipts are asked for and awaited.
        check: bool,
        /// How long to wait for receipts.
        timeout_ms: u64,
        /// What else is wished.
        #[serde(default)]
        wishes: Wishes,
    },
    /// A picture inside a message, to peers that take such. Answered, when it is read and packed, by
    /// [`Reply::Sent`], or by [`Reply::Refused`] and nothing is sent to anybody. Each recipient then
    /// ends in exactly one [`Event::Receipt`] or [`Event::Failed`].
    SendPicture {
        /// To whom.
        to: Vec<Target>,
        /// The picture's file: an absolute path; PNG, JPEG, GIF or BMP.
        path: PathBuf,
        /// How long to wait for the receipt once the picture itself has arrived.
        timeout_ms: u64,
    },
    /// Stop waiting for the receipts of this message, and take back the files it offers. Answered by [`Reply::Done`].
    Cancel {
        /// Its number.
        number: PacketNo,
    },
    /// What has not ended yet of messages of ours. Answered by [`Reply::Outbox`].
    Outbox,
    /// Send a queued message now, whether or not its recipients have appeared. Answered by
    /// [`Reply::Done`].
    Retry {
        /// Its number.
        number: PacketNo,
    },
    /// Nickname or group changed; announced to everybody. Answered by [`Reply::Done`].
    Rename {
        /// New nickname.
        nick: String,
        /// New group.
        group: String,
    },
    /// Which files are on offer, to us and by us? Answered by [`Reply::Offers`].
    Offers,
    /// Fetch what was offered to us. Answered by [`Reply::Fetching`]; each item then ends in exactly
    /// one [`Event::Transferred`].
    Get(Get),
    /// We do not want these items; a transfer that runs is ended. The peer is told when nothing of
    /// the offer is left. Answered by [`Reply::Offers`] with the offers as they are then.
    Refuse {
        /// Which.
        picks: Vec<Pick>,
    },
    /// Take back what we offered; transfers that run are ended. Answered by [`Reply::Done`].
    Withdraw {
        /// The short number of the offer.
        offer: OfferId,
    },
    /// Which files does a peer share with everybody? Answered by [`Reply::Offers`] with one offer
    /// when its list has come, or by [`Refusal::NoList`].
    FilesOf(FilesOf),
    /// How is the node? Answered by [`Reply::Status`].
    Status,
    /// End the node with a goodbye. Answered by [`Reply::Done`] (by the shell).
    Stop,
}

/// A recipient.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A peer of the list.
    Peer(PeerId),
    /// An address that need not be known.
    Addr(SocketAddr),
    /// A peer as it was when it was there; for a message that waits for it ([`Wishes::later`]).
    Gone(Box<PeerView>),
}

/// What the node answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reply {
    /// To [`Request::Peers`], ordered by group, nickname, identity.
    Peers {
        /// The peers.
        peers: Vec<PeerView>,
    },
    /// To [`Request::RollCall`]: answers may come for this long (by how many are known).
    RollCall {
        /// How long, in milliseconds.
        wait_ms: u64,
    },
    /// To [`Request::Send`], [`Request::SendPicture`] and [`Request::Broadcast`].
    Sent {
        /// Our number for the message; events about it bear it.
        number: PacketNo,
        /// The recipients; empty for a broadcast.
        to: Vec<PeerView>,
        /// Names of the links it left through (broadcast only).
        links: Vec<String>,
    },
    /// To [`Request::Offers`] and its kin, ordered by their short numbers.
    Offers {
        /// The offers.
        offers: Vec<OfferView>,
    },
    /// To [`Request::Get`]: what is being fetched now.
    Fetching {
        /// Each item as it stands at the beginning.
        transfers: Vec<Progress>,
    },
    /// To [`Request::Outbox`], in the order of writing.
    Outbox {
        /// What waits, one for each recipient.
        waiting: Vec<Waiting>,
    },
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// Done, nothing more to say.
    Done,
    /// It was not done.
    Refused(Refusal),
}

/// Why a request was not done. Nothing was sent to anybody.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refusal", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// No text.
    #[error("the text is empty")]
    EmptyText,
    /// The datagram for this recipient would be longer than it can read.
    #[error("too long for {}: {size} bytes as sent to it, {limit} can be read there", peer.nick)]
    TooLong {
        /// The recipient; for a broadcast, a peer object that stands for everybody.
        peer: Box<PeerView>,
        /// Size of the datagram, bytes.
        size: usize,
        /// Limit, bytes.
        limit: usize,
    },
    /// A broadcast would be longer than peers can read.
    #[error("too long: {size} bytes as sent, {limit} can be read")]
    BroadcastTooLong {
        /// Size of the datagram, bytes.
        size: usize,
        /// Limit, bytes.
        limit: usize,
    },
    /// The peer is not known (any more).
    #[error("no such peer")]
    UnknownPeer {
        /// The identity asked for.
        peer: PeerId,
    },
    /// No recipients.
    #[error("nobody to send to")]
    Nobody,
    /// No link to send through.
    #[error("no network link is up")]
    NoLink,
    /// The node only listens (`--passive`).
    #[error("this node only listens")]
    Passive,
    /// No such offer, or it is over.
    #[error("no such offer")]
    NoOffer,
    /// Nothing of what was named can be fetched: it is complete, over, or being fetched already.
    #[error("nothing of it waits to be fetched")]
    NothingWaits,
    /// The peer sent no list of shared files.
    #[error("{} sent no list of shared files", peer.nick)]
    NoList {
        /// The peer.
        peer: Box<PeerView>,
    },
    /// What was to be sent is no picture that can be sent.
    #[error("no picture that can be sent: {reason}")]
    NoPicture {
        /// Why, for people.
        reason: String,
    },
    /// The peer's program takes no pictures inside messages.
    #[error("{} takes no pictures inside messages", peer.nick)]
    TakesNoPictures {
        /// The recipient.
        peer: Box<PeerView>,
    },
    /// More files than a message can offer.
    #[error("{files} files in one message, {limit} at most")]
    TooManyFiles {
        /// How many were named.
        files: usize,
        /// How many a message can offer.
        limit: usize,
    },
    /// A file is not the one that was chosen any more, or cannot be opened (by the shell).
    #[error("cannot offer {name}: {why}")]
    Unofferable {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Sent later means kept until then, and this node keeps nothing.
    #[error("this node keeps nothing on disk, so nothing can be sent later")]
    KeepsNothing,
    /// Too many messages wait for receipts.
    #[error("too many messages are waiting for receipts")]
    Busy,
}

/// Something happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A peer appeared.
    PeerUp {
        /// The peer.
        peer: PeerView,
    },
    /// A peer changed its name, group, absence, address or version.
    PeerChanged {
        /// The peer now.
        peer: PeerView,
    },
    /// A peer left.
    PeerDown {
        /// The peer as it was last known.
        peer: PeerView,
        /// Why it is taken for gone.
        reason: DownReason,
    },
    /// A message, received or sent. Stored.
    Message(Box<MessageEvent>),
    /// A recipient confirmed a message of ours. Stored.
    Receipt {
        /// Our number of the message.
        number: PacketNo,
        /// The recipient.
        peer: PeerView,
        /// Datagrams sent until then.
        tries: u32,
        /// From the first datagram to the receipt, milliseconds.
        rtt_ms: f64,
    },
    /// A message of ours is kept until its recipient appears. Stored.
    Queued {
        /// Our number of the message.
        number: PacketNo,
        /// The recipient.
        peer: PeerView,
        /// Datagrams sent until then.
        tries: u32,
        /// When it is given up.
        expires_at: UnixMillis,
    },
    /// A recipient confirmed a message of ours that had been queued. Stored.
    Delivered {
        /// Our number of the message.
        number: PacketNo,
        /// The recipient.
        peer: PeerView,
        /// Datagrams sent until then by the node that runs.
        tries: u32,
        /// From the writing of the message to its receipt, milliseconds.
        waited_ms: u64,
    },
    /// A message of ours ended without a receipt. Stored.
    Failed {
        /// Our number of the message.
        number: PacketNo,
        /// The recipient.
        peer: PeerView,
        /// How it ended: `not_confirmed`, `not_sent`, `cancelled` or `expired`.
        outcome: Outcome,
        /// Datagrams sent.
        tries: u32,
        /// What the network said last, if anything.
        hint: Option<Bounce>,
    },
    /// Somebody offers files to us, or we to somebody. Stored.
    Offer(Box<OfferView>),
    /// Files are moving.
    Progress(Box<Progress>),
    /// A transfer ended. Stored.
    Transferred(Box<Transferred>),
    /// A picture came whole. Stored; its content too.
    Picture(Box<PictureEvent>),
    /// Something the user should know.
    Notice {
        /// What it is about; stable, for programs.
        code: NoticeCode,
        /// For people.
        text: String,
    },
    /// This listener was too slow.
    Lagged {
        /// Events it did not get.
        missed: u64,
    },
}

/// Why a peer is taken for gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DownReason {
    /// It said goodbye.
    Exit,
    /// It answered neither a roll call nor two entries of its own.
    Silent,
    /// Somebody else is at its address now.
    Replaced,
    /// Forgotten to make room.
    Forgotten,
}

/// What a notice is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoticeCode {
    /// Links came, went or changed address.
    Links,
    /// The store does not take messages; receipts are withheld.
    StoreFailed,
    /// The store takes messages again.
    StoreRecovered,
    /// Messages were dropped without a receipt because an address sent too many.
    Flood,
    /// The kernel granted a small receive buffer.
    SmallBuffer,
    /// Part of a message was left out.
    Cut,
    /// An offer of files was dropped to make room for another one.
    OfferDropped,
    /// A message came encrypted and cannot be read; its sender gets no receipt.
    Unreadable,
    /// This process took the port over from one that ended.
    TookOver,
    /// A picture was not taken, or given up.
    Picture,
    /// A picture became a file, by a rule of the user.
    PictureWritten,
    /// Files of ours are offered no more because they changed since an earlier run.
    OfferChanged,
    /// Our packet numbers start low again.
    NumbersWrapped,
}

/// Received or sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To us.
    In,
    /// By us.
    Out,
}

/// To whom a message went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// To one or several by name.
    Direct,
    /// To everybody on the subnet; earns no receipt.
    Broadcast,
}

/// A message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own in the JSON")]
pub struct MessageEvent {
    /// The other side; none for a broadcast of ours.
    pub peer: Option<PeerView>,
    /// Received or sent.
    pub direction: Direction,
    /// To whom.
    pub delivery: Delivery,
    /// The sender's packet number.
    pub number: PacketNo,
    /// The text.
    pub text: String,
    /// Its charset on the wire.
    pub charset: Charset,
    /// How sure that is.
    pub charset_sure: Sure,
    /// Sealed: the sender wants to know when it is opened.
    pub sealed: bool,
    /// Locked by the sender.
    pub locked: bool,
    /// Written by a machine (an absence text).
    pub automatic: bool,
    /// The text was longer than we keep.
    pub cut: bool,
    /// Files on offer: how many.
    pub files: usize,
    /// It went to several people.
    #[serde(default)]
    pub several: bool,
    /// To whom, as far as the sender's client says; the first one is us.
    #[serde(default)]
    pub recipients: Vec<Recipient>,
    /// There may be more recipients than these: the list is as long as such a list gets.
    #[serde(default)]
    pub recipients_cut: bool,
}

/// How the node is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of this program.
    pub version: String,
    /// Our nickname, group, log-on name and computer name.
    pub nick: String,
    /// Our group.
    pub group: String,
    /// Our log-on name.
    pub user: String,
    /// Our computer name.
    pub host: String,
    /// Our stable identity: 12 hex digits.
    pub identity: String,
    /// Port, UDP and TCP.
    pub port: u16,
    /// Only listening.
    pub passive: bool,
    /// Whether messages are kept, and therefore acknowledged.
    pub keeps: bool,
    /// When the node started.
    pub since: UnixMillis,
    /// Links in use.
    pub links: Vec<Link>,
    /// Peers known now.
    pub peers: usize,
    /// Messages that wait for receipts, counted by recipient.
    pub waiting: usize,
    /// Counters since the start.
    pub counters: Counters,
    /// What only the shell knows.
    pub shell: Option<ShellStatus>,
}

/// What happened since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Datagrams received.
    pub received: u64,
    /// Of these: not a packet.
    pub malformed: u64,
    /// Of these: our own, heard again.
    pub own: u64,
    /// Of these: dropped by a cap.
    pub dropped: u64,
    /// Messages received, each once.
    pub messages: u64,
    /// Repeats of messages.
    pub repeats: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Receipts sent.
    pub receipts: u64,
}

/// What only the shell knows of the node.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ShellStatus {
    /// Process id.
    pub pid: u32,
    /// Receive buffer the kernel granted, bytes, smallest of all sockets.
    pub receive_buffer: usize,
    /// Clients joined over the control socket.
    pub clients: usize,
    /// The store's file; none if nothing is kept.
    pub store: Option<String>,
}

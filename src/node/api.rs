//! All that faces say and hear: [`Request`], [`Reply`], [`Event`], [`Refusal`].
//!
//! The same types travel in process, over the control socket and as `--json` lines; `docs/json.md`
//! describes every field. Adding a field is allowed, changing or removing one is not.

mod choice;
mod envelopes;
mod feiq;
pub mod files;
mod outbox;
mod peer;
mod people;
pub mod pictures;
mod refusal;
mod status;
mod wishes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::files::{FilesOf, Get, OfferId, OfferView, Pick, Progress, Transferred};
use self::pictures::PictureEvent;
pub use people::Alias;

use super::effect::{Outcome, SeenPeer};
use super::input::{Bounce, UnixMillis};
use crate::wire::{Charset, Office, PacketNo, Recipient, Sure};
pub use choice::FileChoice;
pub use envelopes::Told;
pub use feiq::{Extras, GroupRef, GroupView};
pub use outbox::{Waiting, WaitingState};
pub(crate) use peer::without_title;
pub use peer::{PeerId, PeerView};
pub use refusal::Refusal;
pub use status::{Counters, ShellStatus, Status};
pub use wishes::Wishes;

/// What a face asks of the node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Request {
    /// Who is there, as far as is known now. Answered by [`Reply::Peers`].
    Peers,
    /// Who came, changed or went in the last seconds, so that the store does not know it yet. Answered
    /// by [`Reply::Seen`].
    Seen,
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
    /// A picture: inside a message to peers that take such, offered as a file to all others, where
    /// the wishes have that file. Answered, when it is read and packed, by [`Reply::Sent`], or by
    /// [`Reply::Refused`] and nothing is sent to anybody. Each recipient then ends in exactly one
    /// [`Event::Receipt`] or [`Event::Failed`].
    SendPicture {
        /// To whom.
        to: Vec<Target>,
        /// The picture's file: an absolute path; PNG, JPEG, GIF or BMP.
        path: PathBuf,
        /// How long to wait for the receipt once the picture itself has arrived.
        timeout_ms: u64,
        /// The file as it is offered, and how; of the other wishes none counts.
        #[serde(default)]
        wishes: Wishes,
    },
    /// Shake the windows of peers whose programs do that. Answered by [`Reply::Knocked`]; each one
    /// that was knocked at then ends in exactly one [`Event::Knock`].
    Knock {
        /// To whom.
        to: Vec<Target>,
    },
    /// The user began or ended typing a message to this peer; told to it if its program shows that,
    /// at most once in two seconds. Answered by [`Reply::Done`].
    Typing {
        /// To whom.
        to: Target,
        /// Whether typing began.
        typing: bool,
    },
    /// Fixes the charset of a peer's texts and names, also for later runs, or takes that back.
    /// Answered by [`Reply::Done`].
    SetCharset {
        /// The peer.
        peer: PeerId,
        /// The charset; none: it is learnt from what the peer writes.
        charset: Option<Charset>,
    },
    /// The charset of the office is this one now. Answered by [`Reply::Done`].
    SetOffice {
        /// The charset, or `auto`.
        charset: Office,
    },
    /// The groups of FeiQ that were heard. Answered by [`Reply::Groups`].
    Groups,
    /// A message to a group of FeiQ, in clear and without receipts. Experimental: how FeiQ takes
    /// messages of others in its groups is not known for certain. Answered by [`Reply::Sent`].
    SendToGroup {
        /// The group: 1 to 16 hexadecimal digits.
        group: String,
        /// The text.
        text: String,
    },
    /// Stop waiting for the receipts of this message, and take back the files it offers. Answered by
    /// [`Reply::Done`].
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
    /// Open a sealed message: its text is shown, and its sender is told once that is on disk.
    /// Answered by [`Reply::Opened`], also if it is open already; then nobody is told.
    Open {
        /// Place of the message in the event stream; in a run without a store the message's
        /// number.
        seq: u64,
    },
    /// We are away: said in our entries, and in one automatic reply a minute to each peer that
    /// writes to us. Kept over restarts. Answered by [`Reply::Done`].
    Away {
        /// What is replied; may have several lines.
        text: String,
    },
    /// We are back. Answered by [`Reply::Done`].
    Back,
    /// Own names and blocks. Answered by [`Reply::Book`].
    Book,
    /// An own name for somebody; another one of the same name is replaced. Answered by
    /// [`Reply::Done`] when it is on disk.
    SetAlias {
        /// The name, and whom it stands for.
        alias: Alias,
    },
    /// An own name is given up. Answered by [`Reply::Done`] when that is on disk.
    RemoveAlias {
        /// The name.
        name: String,
    },
    /// Be deaf to a peer: nothing of it is shown, stored, confirmed or answered, only counted.
    /// Answered by [`Reply::Done`] when it is on disk.
    Block {
        /// The peer; the identity counts, the rest is for lists.
        peer: Box<PeerView>,
    },
    /// Hear a peer again. Answered by [`Reply::Done`] when it is on disk.
    Unblock {
        /// The peer.
        peer: PeerId,
    },
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
    /// To [`Request::Seen`].
    Seen {
        /// The peers, each with the time it was heard.
        seen: Vec<SeenPeer>,
    },
    /// To [`Request::RollCall`]: answers may come for this long (by how many are known).
    RollCall {
        /// How long, in milliseconds.
        wait_ms: u64,
    },
    /// To [`Request::Send`], [`Request::SendPicture`], [`Request::Broadcast`] and
    /// [`Request::SendToGroup`].
    Sent {
        /// Our number for the message; events about it bear it.
        number: PacketNo,
        /// The recipients; empty for a broadcast and for a group.
        to: Vec<PeerView>,
        /// Names of the links it left through (broadcast and group only).
        links: Vec<String>,
        /// To how many of them it offers files. Of a picture, those whose programs take none inside
        /// a message.
        #[serde(default)]
        offered: usize,
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
    /// To [`Request::Open`]: the message with its text.
    Opened {
        /// What it was asked for by.
        seq: u64,
        /// When it was received.
        at: UnixMillis,
        /// The message.
        message: Box<MessageEvent>,
        /// Its sender is being told; [`Event::Told`] says how that ended.
        tells: bool,
    },
    /// To [`Request::Book`].
    Book {
        /// Own names, in order.
        aliases: Vec<Alias>,
        /// Peers we are deaf to, as they were when they were blocked.
        blocks: Vec<PeerView>,
    },
    /// To [`Request::Knock`].
    Knocked {
        /// Our number for the knock; events about it bear it.
        number: PacketNo,
        /// Who was knocked at.
        to: Vec<PeerView>,
        /// Peers whose programs know no knock; nothing was sent to them.
        without: Vec<PeerView>,
    },
    /// To [`Request::Groups`], the one heard last first.
    Groups {
        /// The groups.
        groups: Vec<GroupView>,
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
    /// A recipient opened a sealed message of ours, or threw it away. Stored.
    Read {
        /// Our number of the message.
        number: PacketNo,
        /// The recipient.
        peer: PeerView,
        /// It was thrown away unread.
        discarded: bool,
    },
    /// The sender of a sealed message was told that we opened it.
    Told {
        /// The sender's number of the message.
        number: PacketNo,
        /// The sender.
        peer: PeerView,
        /// Whether it knows now.
        told: Told,
        /// Read notices sent.
        tries: u32,
    },
    /// Somebody knocked: their window's shake becomes our bell. Or a knock of ours ended. Stored.
    Knock {
        /// The packet number of the knock.
        number: PacketNo,
        /// The other side.
        peer: PeerView,
        /// By whom.
        direction: Direction,
        /// How a knock of ours ended: `confirmed` if it was answered, else `not_confirmed`; none
        /// for one of the other side.
        outcome: Option<Outcome>,
    },
    /// A peer began to type a message to us, or does no longer. Passing.
    Typing {
        /// The peer.
        peer: PeerView,
        /// Whether it types.
        typing: bool,
    },
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
    /// The user blocked it.
    Blocked,
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
    /// How the store works here, where that is not as usual.
    StoreNote,
    /// What a stranger sent was not kept and gets no receipt: strangers filled their share of the
    /// day, or the disk has little room.
    Quota,
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
    /// What is stored of an event cannot be understood any more; those after it follow.
    Damaged,
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
    /// Own names or blocks changed.
    Book,
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
    /// In a group of FeiQ; earns no receipt.
    Group,
}

/// A message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own in the JSON")]
pub struct MessageEvent {
    /// The other side; none for a broadcast of ours.
    pub peer: Option<Arc<PeerView>>,
    /// Received or sent.
    pub direction: Direction,
    /// To whom.
    pub delivery: Delivery,
    /// The sender's packet number.
    pub number: PacketNo,
    /// The text; empty while the message is closed.
    pub text: String,
    /// The text as its writer's program shows it, where that differs: the codes of FeiQ's emoticons
    /// as characters.
    pub shown: Option<String>,
    /// Its charset on the wire.
    pub charset: Charset,
    /// How sure that is.
    pub charset_sure: Sure,
    /// Sealed: the sender wants to know when it is opened.
    pub sealed: bool,
    /// Locked by the sender; treated as sealed.
    pub locked: bool,
    /// A sealed message to us that nobody opened yet ([`Request::Open`]).
    pub closed: bool,
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
    /// What only some messages have.
    #[serde(flatten)]
    pub extras: Extras,
}

//! All that faces say and hear: [`Request`], [`Reply`], [`Event`], [`Refusal`].
//!
//! The same types travel in process, over the control socket and as `--json` lines; `docs/json.md`
//! describes every field. Adding a field is allowed, changing or removing one is not.

mod envelopes;
mod feiq;
mod outbox;
mod peer;
mod people;
mod status;
mod wishes;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use people::Alias;

use super::effect::Outcome;
use super::input::{Bounce, UnixMillis};
use crate::wire::{Charset, PacketNo, Recipient, Sure};
pub use envelopes::Told;
pub use feiq::{Extras, GroupRef, GroupView};
pub use outbox::{Waiting, WaitingState};
pub(crate) use peer::without_title;
pub use peer::{PeerId, PeerView};
pub use status::{Counters, ShellStatus, Status};
pub use wishes::Wishes;

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
    /// Stop waiting for the receipts of this message. Answered by [`Reply::Done`].
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
    /// To [`Request::RollCall`]: answers may come for this long (by how many are known).
    RollCall {
        /// How long, in milliseconds.
        wait_ms: u64,
    },
    /// To [`Request::Send`] and [`Request::Broadcast`].
    Sent {
        /// Our number for the message; events about it bear it.
        number: PacketNo,
        /// The recipients; empty for a broadcast.
        to: Vec<PeerView>,
        /// Names of the links it left through (broadcast only).
        links: Vec<String>,
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
    /// It could not be kept, so it was not done.
    #[error("it cannot be kept: {reason}")]
    NotKept {
        /// Why, for people.
        reason: String,
    },
    /// No name for an alias.
    #[error("{name:?} cannot be an alias: 1 to 64 bytes, no control characters, no @ in front")]
    BadAlias {
        /// As it was given.
        name: String,
    },
    /// There is no such alias.
    #[error("no alias is called {name}")]
    UnknownAlias {
        /// As it was given.
        name: String,
    },
    /// This peer is not blocked.
    #[error("this peer is not blocked")]
    NotBlocked {
        /// The peer.
        peer: PeerId,
    },
    /// There is no room for more.
    #[error("there is room for 4,096 aliases and 4,096 blocks, and no more")]
    BookFull,
    /// Sent later means kept until then, and this node keeps nothing.
    #[error("this node keeps nothing on disk, so nothing can be sent later")]
    KeepsNothing,
    /// This is no group of FeiQ.
    #[error("{group:?} is no group of FeiQ: 1 to 16 hexadecimal digits")]
    BadGroup {
        /// As it was given.
        group: String,
    },
    /// Too many messages wait for receipts.
    #[error("too many messages are waiting for receipts")]
    Busy,
    /// There is no message at this place of the event stream.
    #[error("there is no message {seq}")]
    NoMessage {
        /// The place asked for.
        seq: u64,
    },
    /// The store cannot be read or written, so the message stays closed.
    #[error("the message stays closed: {reason}")]
    StaysClosed {
        /// What the store says.
        reason: String,
    },
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
    /// A stranger's message was not kept and gets no receipt: strangers filled their share of the
    /// day, or the disk has little room.
    Quota,
    /// Messages were dropped without a receipt because an address sent too many.
    Flood,
    /// The kernel granted a small receive buffer.
    SmallBuffer,
    /// Part of a message was left out.
    Cut,
    /// A message came encrypted and cannot be read; its sender gets no receipt.
    Unreadable,
    /// This process took the port over from one that ended.
    TookOver,
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
    pub peer: Option<PeerView>,
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

//! What a node wants done: [`Effect`], in the order it wants it done.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::api::files::OfferId;
use super::api::{
    Alias, Delivery, Direction, Event, Extras, FileChoice, GroupView, MessageEvent, PeerId,
    PeerView, Reply,
};
use super::fetch::{Fetch, FetchId, Leftover};
use super::input::{Bounce, LinkId, RequestId, SaveId, StreamId, UnixMillis};
use super::jobs::{Job, JobId};
use super::offers::OfferRecord;
use super::pictures::job::{PictureJob, PictureRecord};
use super::reckoning::ClockSet;
use super::serving::grant::{GrantRecord, OfferedFile};
use crate::crypto::{KeySize, PrivateDer};
use crate::wire::command::message;
use crate::wire::filename::NameForm;
use crate::wire::{Charset, Dialect, Learned, Options, PacketNo, Recipients, Verdict};

/// Something for the shell to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Effect {
    /// Send a datagram.
    Transmit(Transmit),
    /// Do this with our private keys, off the node's task, and answer with `Input::Crypto`.
    Crypto(JobId, Job),
    /// Write a record to the store and answer with `Input::Saved`. In a run without a store the
    /// node makes no such effects.
    Save(SaveId, Record),
    /// Tell everybody who listens.
    Emit {
        /// What to tell.
        event: Event,
        /// Only after this record was newly kept; the event then bears its `seq`. A repeat or a
        /// failure drops the event.
        after: Option<SaveId>,
    },
    /// Do something with the bytes of a picture.
    Picture(PictureJob),
    /// Answer a request. A reply that names links comes after the datagrams it is about: it is given
    /// when they were tried, without the links that took none of them.
    Reply(RequestId, Reply),
    /// Send a file or folder on this connection; `Input::Served` tells how it goes.
    Serve(Box<Serve>),
    /// Close this connection at once: without a byte if nothing was served on it yet.
    HangUp(StreamId),
    /// Nothing of these files, which this message offers, can be fetched any more: what is held open
    /// or kept for it can go.
    Unlist(PacketNo, Arc<[OfferedFile]>),
    /// Fetch a file or folder, and tell of it with `Input::Fetch`, the end in any case.
    Fetch(FetchId, Box<Fetch>),
    /// End this transfer; what came stays as a part. It tells its end as always.
    StopFetch(FetchId),
    /// End this transfer; what came is not wanted and goes. It tells its end as always.
    DropFetch(FetchId),
    /// Remove what is left of items that do not move, unless somebody else goes on with it.
    DropParts(Vec<Leftover>),
    /// Look up a stored message for a request, and answer with `Input::Recalled`. In a run without
    /// a store the node makes no such effects.
    Recall(RequestId, u64),
}

/// A file or folder to send on a connection.
#[derive(Clone, PartialEq, Debug)]
pub struct Serve {
    /// The connection.
    pub stream: StreamId,
    /// Packet number of the message that offers it.
    pub number: PacketNo,
    /// Its place in that message's list, from 0.
    pub item: usize,
    /// Exactly this one, or nothing.
    pub choice: FileChoice,
    /// As a folder stream with its headers, also if it is a file; else its bytes alone.
    pub tree: bool,
    /// Where to begin, bytes; 0 for a folder stream.
    pub offset: u64,
    /// Charset of the names in a folder stream.
    pub charset: Charset,
    /// Which names the receiver can store.
    pub names: NameForm,
    /// At most so many bytes a second.
    pub limit: Option<u64>,
    /// Tell the SHA-256 of a file.
    pub digest: bool,
}

/// A datagram to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Through this link; none: where the system would route it.
    pub link: Option<LinkId>,
    /// To this address: a host, a broadcast address or a multicast group.
    pub to: SocketAddr,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
    /// Only after this record was kept, newly or before (a receipt for a repeat is sent again);
    /// a failure drops the datagram.
    pub after: Option<SaveId>,
}

/// Something to keep.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Record {
    /// A message, received or sent.
    Message(MessageRecord),
    /// A message of ours that waited goes out in another form than it was kept in. No event.
    Rewritten(RewrittenRecord),
    /// What became of a sent message with one recipient.
    Outcome(OutcomeRecord),
    /// A knock.
    Knock(KnockRecord),
    /// What was learnt, or is no longer known, of a peer's charset. No event.
    Charsets(CharsetRecord),
    /// A group of FeiQ was heard that was not known, or told its name. No event.
    Group(GroupView),
    /// A private key of ours was made. No event, and it leaves the store in no export.
    Key(KeyRecord),
    /// How an offer to us stands; it is known again after a restart. Replaces what was kept of it.
    Offer(Box<OfferRecord>),
    /// Nothing is left of an offer to us.
    OfferOver(OfferId),
    /// An event that is kept as it is told: an offer, or the end of a transfer.
    Told(ToldRecord),
    /// A received picture.
    Picture(Box<PictureRecord>),
    /// Files on offer to one peer; a later one with the same short number takes its place.
    Grant(Box<GrantRecord>),
    /// The offer with this short number is over.
    GrantEnded(OfferId),
    /// Packet numbers up to and including this one may be used; the next start begins above it.
    /// Asked for before the first of them is used. A number below the one before means that the
    /// numbers wrapped and start low again.
    Numbers(PacketNo),
    /// A sealed message that was received is open from now on. Kept once: a repeat if it was open.
    Opened(OpenedRecord),
    /// The sender of the opened message at this place of the event stream was told, or never will
    /// be.
    NoticeOver(u64),
    /// A recipient opened a sealed message of ours, or threw it away. Kept once.
    Read(ReadRecord),
    /// What is replied while we are away; none: we are here.
    Away(Option<String>),
    /// The user's address book changed.
    Book(BookRecord),
    /// Who was heard, and when.
    Roster(RosterRecord),
    /// The wall clock was set: what is kept with a time of day to end at moves along. No event.
    ClockSet(ClockSet),
    /// We wrote to an address, and this is who was met there: no stranger any more. No event.
    WroteTo(PeerId),
}

/// A change of the user's address book.
#[derive(Clone, PartialEq, Debug)]
pub enum BookRecord {
    /// An own name stands for somebody from now on.
    Named(Alias),
    /// An own name is given up.
    Unnamed {
        /// The name.
        name: String,
    },
    /// We are deaf to this peer.
    Blocked(Box<PeerView>),
    /// We hear this peer again.
    Unblocked {
        /// The peer.
        peer: PeerId,
    },
}

/// News of peers for the store's list of those ever seen. No event, and nobody waits for it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RosterRecord {
    /// Peers as they are or were.
    pub seen: Vec<SeenPeer>,
    /// Identities that never were: names of somebody else, read wrongly.
    pub ghosts: Vec<PeerId>,
}

/// A peer and when it was heard last.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SeenPeer {
    /// The peer.
    pub peer: PeerView,
    /// When it was heard last.
    pub at: UnixMillis,
}

impl Record {
    /// Whether it is part of the event stream; other records are told to nobody.
    pub fn is_event(&self) -> bool {
        matches!(
            self,
            Self::Message(_) | Self::Outcome(_) | Self::Knock(_) | Self::Read(_) | Self::Told(_)
        )
    }
}

/// An event that is kept as it is told.
#[derive(Clone, PartialEq, Debug)]
pub struct ToldRecord {
    /// When it happened.
    pub at: UnixMillis,
    /// What happened; listeners hear the same, now and when it is read back from the store.
    pub event: Box<Event>,
}

/// The form in which a kept message goes out.
#[derive(Clone, PartialEq, Debug)]
pub struct RewrittenRecord {
    /// Our number of the message.
    pub number: PacketNo,
    /// Its recipient, as it was when the message was written.
    pub peer: PeerView,
    /// How the text is encoded.
    pub charset: Verdict,
    /// The datagram as it is on the wire.
    pub raw: Arc<[u8]>,
}

/// A message as it is kept.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageRecord {
    /// Received or sent.
    pub direction: Direction,
    /// To one or several by name, or to everybody.
    pub delivery: Delivery,
    /// When it was received or written.
    pub at: UnixMillis,
    /// The other side as it was then. One record for each recipient of a sent message; none for a
    /// broadcast of ours.
    pub peer: Option<Arc<PeerView>>,
    /// The other side's address. With `number`, `peer` and `epoch` this is what makes a received
    /// message a repeat: the same number from the same peer identity in the same epoch.
    pub addr: Option<SocketAddr>,
    /// Counts the restarts of peers that number their packets from 1; 0 for others.
    pub epoch: u32,
    /// The sender's packet number.
    pub number: PacketNo,
    /// Option bits of the packet.
    pub options: Options,
    /// The text.
    pub text: String,
    /// How the text was decoded or encoded.
    pub charset: Verdict,
    /// The text was longer than we keep.
    pub cut: bool,
    /// Files on offer: how many.
    pub files: usize,
    /// The datagram as it was on the wire.
    pub raw: Arc<[u8]>,
    /// What only some messages have; nearly all have nothing of it.
    pub extras: Option<Box<Extras>>,
    /// Who else got it, as far as its sender's client says.
    pub recipients: Recipients,
    /// For a message of ours whose end is awaited: until when. It is open until its outcome is
    /// kept, and a starting node is told what is open ([`Memory`](super::Memory)).
    pub open: Option<Open>,
}

/// How long a message of ours may be open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// As long as the node runs that sends it.
    Run,
    /// Over restarts, until its recipient appears.
    Until {
        /// When it is given up.
        expires: UnixMillis,
        /// Local time where it was written, seconds east of UTC.
        utc_offset_s: Option<i32>,
    },
}

impl MessageRecord {
    /// Whether its text is hidden until it is opened: sealed or locked by its sender (wire
    /// reference, 6.3).
    pub fn is_envelope(&self) -> bool {
        let hidden = message::SECRET | message::PASSWORD;
        self.direction == Direction::In && self.options.intersects(hidden)
    }

    /// What listeners hear of it: now, and again when it is read back from the store. An envelope
    /// is closed and shows no text.
    pub fn event(&self) -> Event {
        Event::Message(Box::new(self.shown(self.is_envelope())))
    }

    /// All of it, for those who may read it: of an envelope, the open one.
    pub fn opened(&self) -> MessageEvent {
        self.shown(false)
    }

    fn shown(&self, closed: bool) -> MessageEvent {
        MessageEvent {
            peer: self.peer.clone(),
            direction: self.direction,
            delivery: self.delivery,
            number: self.number,
            text: if closed { String::new() } else { self.text.clone() },
            shown: if closed { None } else { self.as_shown() },
            charset: self.charset.charset,
            charset_sure: self.charset.sure,
            sealed: self.options.contains(message::SECRET),
            locked: self.options.contains(message::PASSWORD),
            closed,
            automatic: self.options.contains(message::AUTO_RETURN),
            cut: self.cut,
            files: self.files,
            several: self.options.contains(message::MULTICAST),
            recipients: self.recipients.names.clone(),
            recipients_cut: self.recipients.cut,
            extras: self.extras.as_deref().cloned().unwrap_or_default(),
        }
    }

    /// The text as the writer's program shows it, where that differs.
    fn as_shown(&self) -> Option<String> {
        let writer = self.peer.as_ref().filter(|_| self.direction == Direction::In)?;
        let dialect = Dialect::by_name(&writer.dialect)?;
        match dialect.show_from(self.delivery != Delivery::Direct)(&self.text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(shown) => Some(shown),
        }
    }
}

/// The opening of a sealed message that was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenedRecord {
    /// When.
    pub at: UnixMillis,
    /// Place of the message in the event stream.
    pub message: u64,
    /// Its sender is to be told: until [`Record::NoticeOver`] it may not know.
    pub tells: bool,
}

/// The end of a sealed message of ours with one recipient.
#[derive(Clone, PartialEq, Debug)]
pub struct ReadRecord {
    /// When we heard of it.
    pub at: UnixMillis,
    /// Our number of the message.
    pub number: PacketNo,
    /// The recipient.
    pub peer: PeerView,
    /// It was thrown away unread.
    pub discarded: bool,
}

impl ReadRecord {
    /// What listeners hear of it: now, and again when it is read back from the store.
    pub fn event(&self) -> Event {
        let (number, peer) = (self.number, self.peer.clone());
        Event::Read { number, peer, discarded: self.discarded }
    }
}

/// A knock as it is kept.
#[derive(Clone, PartialEq, Debug)]
pub struct KnockRecord {
    /// When it came or ended.
    pub at: UnixMillis,
    /// Its packet number.
    pub number: PacketNo,
    /// The other side.
    pub peer: PeerView,
    /// By whom.
    pub direction: Direction,
    /// How one of ours ended.
    pub outcome: Option<Outcome>,
}

impl KnockRecord {
    /// What listeners hear of it: now, and again when it is read back from the store.
    pub fn event(&self) -> Event {
        let (number, peer) = (self.number, self.peer.clone());
        Event::Knock { number, peer, direction: self.direction, outcome: self.outcome }
    }
}

/// What is known of the charset of a peer; nothing at all where both are empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CharsetRecord {
    /// The peer.
    pub peer: PeerId,
    /// The charset of its names.
    pub names: Learned,
    /// The charset of its texts.
    pub text: Learned,
}

/// A private key of ours on its way to the store. Prints as `***`.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// Its size.
    pub size: KeySize,
    /// The key pair: PKCS#8, DER, not encrypted.
    pub der: Arc<PrivateDer>,
}

impl PartialEq for KeyRecord {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.der.as_bytes() == other.der.as_bytes()
    }
}

/// What became of a sent message with one recipient.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OutcomeRecord {
    /// When.
    pub at: UnixMillis,
    /// Our number of the message.
    pub number: PacketNo,
    /// The recipient.
    pub peer: PeerView,
    /// Confirmed or not.
    pub outcome: Outcome,
    /// Datagrams sent.
    pub tries: u32,
    /// From the first datagram to the receipt, milliseconds; none without a receipt.
    pub rtt_ms: Option<f64>,
    /// What the network said last, if anything.
    pub hint: Option<Bounce>,
    /// Of one that had been queued and was confirmed: from its writing to the receipt, milliseconds.
    pub waited_ms: Option<u64>,
    /// Of one that is queued: when it is given up.
    pub expires: Option<UnixMillis>,
}

impl OutcomeRecord {
    /// What listeners hear of it: now, and again when it is read back from the store.
    pub fn event(&self) -> Event {
        let (number, peer, tries) = (self.number, self.peer.clone(), self.tries);
        match (self.outcome, self.waited_ms) {
            (Outcome::Queued, _) => {
                let expires_at = self.expires.unwrap_or_default();
                Event::Queued { number, peer, tries, expires_at }
            }
            (Outcome::Confirmed, Some(waited_ms)) => {
                Event::Delivered { number, peer, tries, waited_ms }
            }
            (Outcome::Confirmed, None) => {
                Event::Receipt { number, peer, tries, rtt_ms: self.rtt_ms.unwrap_or_default() }
            }
            (outcome, _) => Event::Failed { number, peer, outcome, tries, hint: self.hint },
        }
    }
}

/// How a sent message ended for one recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The recipient's receipt came.
    Confirmed,
    /// No receipt came in time; the text may have arrived.
    NotConfirmed,
    /// Nothing left this host.
    NotSent,
    /// The sender took it back before a receipt came.
    Cancelled,
    /// It was kept for its recipient, who did not appear in time.
    Expired,
    /// It is kept for its recipient: not an end.
    Queued,
}

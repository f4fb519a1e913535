//! Why a request was not done.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{PeerId, PeerView};

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
    /// The address is our own.
    #[error("{addr} is this node itself")]
    Ourselves {
        /// The address, with its port.
        addr: SocketAddr,
    },
    /// We are deaf to this peer, so its receipt would not be heard.
    #[error("{} is blocked; nothing was sent", peer.nick)]
    Blocked {
        /// The peer, as it was when it was blocked.
        peer: Box<PeerView>,
    },
    /// No recipients.
    #[error("nobody to send to")]
    Nobody,
    /// No link to send through.
    #[error("no network link is up")]
    NoLink,
    /// Links are up, but none took what was to be sent.
    #[error("no network link took it")]
    NotTaken,
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
    /// It could not be kept, so it was not done.
    #[error("it cannot be kept: {reason}")]
    NotKept {
        /// Why, for people.
        reason: String,
    },
    /// No name for an alias.
    #[error("'{name}' cannot be an alias: 1 to 64 bytes, no control characters, no @ in front")]
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
    #[error("'{group}' is no group of FeiQ: 1 to 16 hexadecimal digits")]
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

//! How the node is: [`Status`].

use serde::{Deserialize, Serialize};

use crate::node::input::{Link, UnixMillis};

/// How the node is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of this program.
    pub version: String,
    /// Our nickname.
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
    /// What is replied while we are away; none: we are here.
    pub away: Option<String>,
    /// Whether messages are kept, and therefore acknowledged.
    pub keeps: bool,
    /// When the node started.
    pub since: UnixMillis,
    /// Links in use.
    pub links: Vec<Link>,
    /// Peers known now.
    pub peers: usize,
    /// Why the store takes no messages just now; none while it does.
    #[serde(default)]
    pub store_trouble: Option<String>,
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
    /// Of these: from a blocked peer.
    #[serde(default)]
    pub blocked: u64,
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
    /// How the store works there, where that is not as usual.
    #[serde(default)]
    pub store_notes: Vec<String>,
}

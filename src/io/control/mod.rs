//! The control socket: how other commands of the same user join the node that runs.
//!
//! JSON lines over a Unix socket (0600 in a 0700 folder) between processes of one user; both sides
//! check the other's user id. What is asked and told is [`Request`], [`Reply`] and
//! [`Event`](crate::node::Event) as everywhere. When the owner ends, a lasting client gets its
//! sockets and its state over the same line ([`Succeeded::Handed`]).
//!
//! This is no interface for other programs: both ends are the same version of this one.

mod client;
mod lines;
mod server;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::handle::Stamped;
use super::handover::Bundle;
use crate::node::{Reply, Request};

pub use client::{JoinError, Joined, Succeeded, Succession, join};
pub(crate) use server::{LastWords, Server, adopt, bind, remove};

/// What the owner of a node says of it to those who join: who it is, and what a process must know
/// that takes its place.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own in the JSON")]
pub struct Hello {
    /// Version of the program that runs it.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Its port, UDP and TCP.
    pub port: u16,
    /// The addresses it was told to bind; empty: every link.
    pub bind: Vec<IpAddr>,
    /// Whether it speaks IPv6 too.
    pub ipv6: bool,
    /// Names and globs of the links it leaves out.
    pub skip_links: Vec<String>,
    /// Nickname.
    pub nick: String,
    /// Group.
    pub group: String,
    /// Log-on name.
    pub user: String,
    /// Computer name.
    pub host: String,
    /// Whether it only listens.
    pub passive: bool,
    /// Whether it keeps messages.
    pub keeps: bool,
    /// Whether it ends by itself, with the work it was started for.
    #[serde(default)]
    pub brief: bool,
    /// The newest event that was stored and told until now; none where nothing is kept.
    #[serde(default)]
    pub last_seq: Option<u64>,
}

/// What a client says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToNode {
    /// First line.
    Hello { version: String, pid: u32, lasting: bool },
    /// A request; its answer bears the same number.
    Ask {
        id: u64,
        request: Request,
        /// So many open files came just before it.
        #[serde(default)]
        files: usize,
    },
    /// Tell me what happens, first of all what was stored after this.
    Subscribe { after: Option<u64> },
    /// Sockets and state have arrived.
    Taken,
}

/// What the owner says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToClient {
    /// Answer to the first line.
    Hello(Box<Hello>),
    /// Answer to a request.
    Answer { id: u64, reply: Reply },
    /// From here on every event comes.
    Subscribed,
    /// Something happened.
    Event(Box<Stamped>),
    /// The client's turn to be the owner, if it wants; the sockets came just before.
    HandOver(Arc<Bundle>),
    /// The client took them, and is the owner from now on.
    Yours,
    /// Another client is the owner now. What was not answered was not done.
    Moved,
    /// The node was stopped on purpose.
    Bye,
}

/// Longest line of a client: a message to every peer of a full list.
const ASK_MAX: usize = 4 << 20;
/// Longest line of the owner: the state of a node with a full roster.
const ANSWER_MAX: usize = 256 << 20;

/// The socket's name in the runtime folder.
const SOCKET: &str = "control";

/// Path of the control socket in a place of the profile.
fn socket_in(folder: &Path) -> PathBuf {
    folder.join(SOCKET)
}

/// Longest path of a socket that the system takes, bytes (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// A path of the socket that is short enough, and what has to stay open while it is used: where
/// the folder's own path is too long, it is reached through its descriptor.
fn short_path(folder: &Path) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    let path = socket_in(folder);
    if path.as_os_str().len() <= SOCKET_PATH_MAX || !cfg!(target_os = "linux") {
        return Ok((path, None));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    let name = folder.as_raw_fd().to_string();
    Ok((Path::new("/proc/self/fd").join(name).join(SOCKET), Some(folder)))
}

fn encode<T: Serialize>(line: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Whether the process at the other end runs under our own user id.
fn is_own(stream: &tokio::net::UnixStream) -> io::Result<bool> {
    Ok(stream.peer_cred()?.uid() == rustix::process::geteuid().as_raw())
}

//! What happens to a node: [`Input`], and the time it happens at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::api::Request;
use super::api::files::TransferProblem;
use super::effect::MessageRecord;
use super::fetch::{FetchId, FetchNews};
use super::jobs::{Done, JobId};
use super::pictures::job::{PictureNews, StageId};

/// A monotonic instant: microseconds since an origin the shell chose. For timers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Tick(pub u64);

impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Tick {
    type Output = Duration;

    /// The time since `earlier`; zero if that lies in the future.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time: milliseconds since 1970-01-01 UTC. For people, never for timers.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

/// The clocks, read once for each input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// For timers.
    pub tick: Tick,
    /// For people.
    pub wall: UnixMillis,
    /// When this system was started, as the wall clock sees it now: another time only after that
    /// clock was set.
    pub booted: UnixMillis,
}

impl Now {
    /// How long the system has been up, asleep or not.
    pub(crate) fn uptime(self) -> Duration {
        let up = self.wall.0.saturating_sub(self.booted.0);
        Duration::from_millis(u64::try_from(up).unwrap_or(0))
    }
}

/// A link (network interface) of this host; stays the same while the link exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkId(pub u32);

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link{}", self.0)
    }
}

/// What is known of a link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// The interface's index.
    pub id: LinkId,
    /// Its name: `eth0`.
    pub name: String,
    /// Its IPv4 addresses.
    pub v4: Vec<Ipv4Net>,
    /// Its IPv6 addresses.
    pub v6: Vec<Ipv6Addr>,
    /// Whether the IPv6 groups were joined here, so that multicast is sent here.
    pub multicast: bool,
}

/// An IPv4 address of a link, and whom a broadcast from it reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ipv4Net {
    /// The address.
    pub addr: Ipv4Addr,
    /// The directed broadcast address; none where one must not broadcast.
    pub broadcast: Option<Ipv4Addr>,
    /// Whether 255.255.255.255 is sent here too (not on loopback).
    pub limited: bool,
}

impl Link {
    /// Whether `addr` is an address of this link.
    pub fn owns(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(addr) => self.v4.iter().any(|net| net.addr == addr),
            IpAddr::V6(addr) => self.v6.contains(&addr),
        }
    }

    /// Whether somebody else may be reached through it: not through the loopback, unless by an
    /// exact address of it, which has a broadcast for the nodes that share it.
    pub fn leads_to_others(&self) -> bool {
        let loopback = self.v4.iter().any(|net| net.addr.is_loopback())
            || self.v6.iter().any(Ipv6Addr::is_loopback);
        !loopback || self.v4.iter().any(|net| net.broadcast.is_some())
    }
}

/// Names a request of a face until its reply.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// Names a record on its way to the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SaveId(pub u64);

/// Names a TCP connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub u64);

/// How it goes with a file or folder that is being sent.
#[derive(Clone, PartialEq, Debug)]
pub enum ServeNews {
    /// It goes on; told a few times a second.
    Moved {
        /// Bytes of contents sent on this connection until now.
        bytes: u64,
        /// Files sent whole, of a folder.
        files: u64,
    },
    /// It ended; nothing more comes of this connection.
    Ended {
        /// Bytes of contents sent.
        bytes: u64,
        /// Files sent whole; 1 for a file.
        files: u64,
        /// Entries of a folder that were passed over.
        skipped: u64,
        /// Files and folders in a folder that could not be read.
        unreadable: u64,
        /// SHA-256 of the whole file in hexadecimal, if it was asked for.
        sha256: Option<String>,
        /// Why it is not complete; none if the receiver has all of it.
        problem: Option<TransferProblem>,
    },
}

/// What became of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaveResult {
    /// Committed. `seq` numbers the stored events of this profile without gaps; none for records
    /// that are no event.
    Kept {
        /// The place in the event stream.
        seq: Option<u64>,
    },
    /// The store has this message already; it was kept once and stays so.
    Repeat,
    /// Not kept: the store cannot write now; the reason, for people.
    Failed(String),
    /// Not kept: a cap on what strangers may make us keep; the reason, for people. The store works.
    Refused(String),
}

impl SaveResult {
    /// Whether it is on disk, now or since before.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Kept { .. } | Self::Repeat)
    }

    /// Its place in the event stream, if it took one now.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::Kept { seq } => *seq,
            _ => None,
        }
    }
}

/// Everything that can happen to a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A datagram arrived.
    Datagram {
        /// On this link.
        link: LinkId,
        /// From this address and port.
        from: SocketAddr,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// The last drain of the sockets left datagrams behind (`true`), or emptied them again.
    /// Switches the per-address cap on messages (threats, caps).
    Pressure(bool),
    /// A face asks.
    Request(RequestId, Request),
    /// The links of this host now: all of them, at the start and whenever one changes.
    Links(Vec<Link>),
    /// A datagram to this address bounced ("port unreachable"); a hint, not the end: the other
    /// program may be restarting.
    Bounced {
        /// Where it was meant to go.
        to: SocketAddr,
        /// What the system said.
        reason: Bounce,
    },
    /// This datagram did not leave this host, whatever the wish to send it was worth.
    Unsent {
        /// Where it was meant to go.
        to: SocketAddr,
        /// Its bytes.
        bytes: &'a [u8],
        /// What the system said.
        reason: Bounce,
    },
    /// Somebody connected on TCP and asks for something. Answered by `Effect::Serve` or
    /// `Effect::HangUp`.
    Asked {
        /// Names the connection.
        stream: StreamId,
        /// Where it comes from.
        from: SocketAddr,
        /// What was sent on it: a packet, as far as that can be told.
        request: &'a [u8],
    },
    /// How it goes with what is served on a connection.
    Served(StreamId, ServeNews),
    /// A record was committed, or not.
    Saved(SaveId, SaveResult),
    /// What came of a job with the bytes of a picture.
    Picture(StageId, PictureNews),
    /// A transfer to us tells something.
    Fetch(FetchId, FetchNews),
    /// A stored message was looked up, for [`Effect::Recall`](super::Effect::Recall).
    Recalled {
        /// The request it is for.
        request: RequestId,
        /// Its place in the event stream.
        seq: u64,
        /// What was found.
        found: Recalled,
    },
    /// A job with our private keys is done.
    Crypto(JobId, Done),
    /// A deadline passed.
    Wake,
    /// The program ends, and no other one takes over: say goodbye.
    Leave,
}

/// A stored message that was looked up.
#[derive(Clone, PartialEq, Debug)]
pub enum Recalled {
    /// It is there.
    Message {
        /// The message; without its bytes.
        message: Box<MessageRecord>,
        /// An envelope that was opened before.
        opened: bool,
    },
    /// There is none at this place.
    Missing,
    /// The store cannot be read; the reason, for people.
    Failed(String),
}

/// Why a datagram came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bounce {
    /// ICMP "port unreachable": the host is up, nobody listens there.
    PortUnreachable,
    /// No route, host or network unreachable.
    HostUnreachable,
    /// The system refused to send it.
    Refused,
}

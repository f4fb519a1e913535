//! Becoming the owner of the port: by a start, by a hand-over, or in the place of an owner that
//! vanished.
//!
//! The order is for speed: lock, control socket, UDP, TCP (nothing of this touches a disk), then
//! the store, then the first entry on the wire.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rand::RngCore;
use rand::rngs::OsRng;
use tokio::net::UnixListener;
use tokio::time::{Instant, sleep};

use super::clock::{Clock, boot};
use super::control::{self, Hello, JoinError, Joined, Succeeded};
use super::disk::Disk;
use super::fetch::Fetches;
use super::handover::Handed;
use super::holder::holder;
use super::links::Selection;
use super::serve::Shelf;
use super::sockets::Sockets;
use super::task::Task;
use super::tcp::{self, Acceptor};
use super::udp::SocketError;
use super::{Running, Start};
use crate::node::{Handover, Node, StageId};
use crate::store::{Lock, StoreError};

/// Why no node could be started here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another process runs this profile.
    #[error("another feige runs this profile{}", process(*pid))]
    AlreadyRunning {
        /// Its process id, if it wrote one down.
        pid: Option<u32>,
    },
    /// Another program has the port.
    #[error("port {port} is held by {}", holder.as_deref().unwrap_or("another program"))]
    PortTaken {
        /// The port.
        port: u16,
        /// Name and process id of the program, where the system tells.
        holder: Option<String>,
        /// What exactly failed.
        source: SocketError,
    },
    /// The system does not allow it.
    #[error("not allowed: {0}")]
    Permission(SocketError),
    /// A socket could not be had for another reason.
    #[error(transparent)]
    Socket(SocketError),
    /// No link to speak on.
    #[error("{}", no_network(bind))]
    NoNetwork {
        /// The addresses that were asked for and that no link owns.
        bind: Vec<IpAddr>,
    },
    /// What another process handed over cannot be used.
    #[error("cannot take the port over: {0}")]
    Handed(#[source] io::Error),
    /// The links of this host cannot be read.
    #[error("cannot list the network links: {0}")]
    Links(#[source] io::Error),
    /// A pattern for links to leave out is none.
    #[error("links to leave out: {0}")]
    SkipLinks(#[source] globset::Error),
    /// The control socket could not be made.
    #[error("cannot make the control socket: {0}")]
    Control(#[source] io::Error),
    /// The store cannot be used.
    #[error(transparent)]
    Store(StoreError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[source] rand::Error),
    /// A node runs but cannot be joined.
    #[error(transparent)]
    Join(JoinError),
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

fn no_network(bind: &[IpAddr]) -> String {
    if bind.is_empty() {
        return "no network link is up".to_owned();
    }
    let addrs: Vec<String> = bind.iter().map(ToString::to_string).collect();
    format!("no network link of this host has the address {}", addrs.join(" or "))
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Held { holder, .. } => Self::AlreadyRunning { pid: holder },
            error => Self::Store(error),
        }
    }
}

impl From<SocketError> for StartError {
    fn from(source: SocketError) -> Self {
        match source.source.kind() {
            io::ErrorKind::AddrInUse => {
                Self::PortTaken { port: source.at.port(), holder: None, source }
            }
            io::ErrorKind::PermissionDenied => Self::Permission(source),
            _ => Self::Socket(source),
        }
    }
}

impl StartError {
    /// Adds who holds the port, which takes a look at every process: only for an error that is
    /// shown.
    fn with_holder(mut self) -> Self {
        if let Self::PortTaken { holder: name, source, .. } = &mut self {
            *name = holder(source.at);
        }
        self
    }
}

/// Starts a node: binds, opens the store, announces, and leaves the rest to a task of the current
/// tokio runtime.
pub async fn start(start: Start) -> Result<Running, StartError> {
    let entry = Entry::take(&start)?;
    Owner::open(&start, entry).map_err(StartError::with_holder)?.run(start, None)
}

/// Goes on with a node that another process handed over.
pub async fn resume(mut start: Start, handed: Handed) -> Result<Running, StartError> {
    start.follow(handed.hello());
    start.follow_names(handed.hello());
    let (owner, taken) = Owner::adopt(&start, handed)?;
    owner.run(start, Some(taken))
}

/// Where a process stands after a change of owner.
#[derive(Debug)]
pub enum Place {
    /// It runs the node.
    Owner(Running),
    /// Another one does.
    Guest(Joined),
}

/// How long a new owner may take to come forward, and how often it is looked for.
const RACE: Duration = Duration::from_secs(3);
const RACE_STEP: Duration = Duration::from_millis(5);

/// What a lasting client does when the owner it had joined (`hello`) ends: takes over, or joins the
/// one that does. None if the node was stopped on purpose.
pub async fn succeed(
    mut start: Start,
    hello: &Hello,
    how: Succeeded,
) -> Result<Option<Place>, StartError> {
    match how {
        Succeeded::Handed(handed) => {
            return resume(start, *handed).await.map(|running| Some(Place::Owner(running)));
        }
        Succeeded::Stopped => return Ok(None),
        Succeeded::Moved | Succeeded::OwnerVanished => start.follow(hello),
    }
    let deadline = Instant::now() + RACE;
    loop {
        let join = control::join(&start.paths, true).await;
        if let Some(joined) = join.map_err(StartError::Join)? {
            return Ok(Some(Place::Guest(joined)));
        }
        match take_over(&start) {
            Ok(running) => return Ok(Some(Place::Owner(running))),
            // The one with the lock has no control socket yet, or it is a dead owner whose
            // sockets the kernel is just closing.
            Err(StartError::AlreadyRunning { .. } | StartError::PortTaken { .. })
                if Instant::now() < deadline =>
            {
                sleep(RACE_STEP).await;
            }
            Err(error) => return Err(error.with_holder()),
        }
    }
}

fn take_over(start: &Start) -> Result<Running, StartError> {
    let entry = Entry::take(start)?;
    let mut owner = Owner::open(start, entry)?;
    owner.took_over = true;
    owner.run(start.clone(), None)
}

/// The right to run the node of a profile, and the door for those who join it.
pub(super) struct Entry {
    pub(super) lock: Lock,
    pub(super) control: Vec<UnixListener>,
    /// Why there is no control socket, where there is none.
    pub(super) closed: Option<String>,
}

impl Entry {
    /// A node that keeps nothing does without both where it can make no files.
    fn take(start: &Start) -> Result<Self, StartError> {
        let closed = |lock, error: StartError| {
            if start.store {
                return Err(error);
            }
            Ok(Self { lock, control: Vec::new(), closed: Some(error.to_string()) })
        };
        let lock = match Lock::take(&start.paths).map_err(StartError::from) {
            Ok(lock) => lock,
            Err(error @ StartError::AlreadyRunning { .. }) => return Err(error),
            Err(error) => return closed(Lock::none(), error),
        };
        match control::bind(&start.paths) {
            Ok(control) => Ok(Self { lock, control, closed: None }),
            Err(error) => closed(lock, StartError::Control(error)),
        }
    }
}

/// Everything a node's owner has before there is a node.
pub(super) struct Owner {
    pub(super) entry: Entry,
    pub(super) selection: Selection,
    pub(super) sockets: Sockets,
    pub(super) acceptor: Option<Acceptor>,
    /// Files on offer that are open.
    pub(super) shelf: Shelf,
    /// In the place of another process.
    pub(super) took_over: bool,
}

/// What a node goes on with, and the files of pictures that are on their way.
struct Taken {
    node: Handover,
    stages: Vec<(StageId, OwnedFd)>,
}

impl Owner {
    fn open(start: &Start, entry: Entry) -> Result<Self, StartError> {
        let selection = selection(start)?;
        let links = selection.read().map_err(StartError::Links)?;
        let (port, exact) = (start.config.port, selection.exact_loopback());
        let sockets = Sockets::open(port, start.ipv6, exact, links)?;
        if sockets.is_empty() {
            return Err(StartError::NoNetwork { bind: start.bind.clone() });
        }
        let listeners =
            if start.config.passive { Vec::new() } else { tcp::listen(port, start.ipv6, exact)? };
        let acceptor = (!listeners.is_empty()).then(|| Acceptor::new(listeners));
        let shelf = Shelf::default();
        Ok(Self { entry, selection, sockets, acceptor, shelf, took_over: false })
    }

    fn adopt(start: &Start, handed: Handed) -> Result<(Self, Taken), StartError> {
        let Handed { bundle, lock, control, listeners, sockets, stages, chosen } = handed;
        let shelf = Shelf::new(chosen);
        let lock = if lock.is_empty() {
            Lock::take(&start.paths)?
        } else {
            Lock::adopt(lock, &start.paths)?
        };
        let control = if control.is_empty() {
            control::bind(&start.paths)
        } else {
            control.into_iter().map(control::adopt).collect()
        };
        let control = control.map_err(StartError::Control)?;
        let entry = Entry { lock, control, closed: None };
        let selection = selection(start)?;
        let links = selection.read().map_err(StartError::Links)?;
        let (port, exact) = (start.config.port, selection.exact_loopback());
        let sockets =
            Sockets::adopt(port, start.ipv6, exact, links, sockets).map_err(StartError::Handed)?;
        let listeners: Vec<_> = listeners
            .into_iter()
            .map(tcp::adopt)
            .collect::<io::Result<_>>()
            .map_err(StartError::Handed)?;
        let acceptor = (!listeners.is_empty()).then(|| Acceptor::new(listeners));
        let owner = Self { entry, selection, sockets, acceptor, shelf, took_over: true };
        Ok((owner, Taken { node: bundle.node, stages }))
    }

    /// Opens the store, makes the node, lets it announce itself, and starts its task.
    fn run(self, mut start: Start, from: Option<Taken>) -> Result<Running, StartError> {
        let clock = Clock::new();
        let mut disk = Disk::open(&mut start, clock.now().wall, boot(), &self.shelf)?;
        let mut seed = [0; 32];
        OsRng.try_fill_bytes(&mut seed).map_err(StartError::Random)?;
        let config = start.config.clone();
        let fetches = Fetches::new(start.downloads.clone(), self.selection.exact_loopback());
        let now = clock.now();
        let node = match from {
            None => Node::new(config, seed),
            Some(Taken { node, stages }) => {
                disk.adopt(stages);
                Node::resume(config, seed, node, now)
            }
        };
        let node = disk.instruct(node, now);
        Ok(Task::spawn(self, node, clock, (disk, fetches), &start))
    }
}

fn selection(start: &Start) -> Result<Selection, StartError> {
    Selection::new(&start.bind, &start.skip_links).map_err(StartError::SkipLinks)
}

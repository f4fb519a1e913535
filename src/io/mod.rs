//! How do bytes and time get in and out? The shell around the node: sockets, clock, writer thread,
//! and the handles that faces hold.
//!
//! One task on the runtime of the caller owns the [`Node`](crate::node::Node) (`task.rs`); no lock
//! surrounds it. Around it stand bounded tasks: the TCP acceptor, the control socket. What the node
//! decides is not decided here: the shell moves bytes, reads the clock, and holds back what waits
//! for the disk.
//!
//! [`start`] makes this process the owner of the port; [`control::join`] joins the process that is.
//! Both give the same [`Handle`].

mod clock;
pub mod control;
mod crypto;
mod disk;
mod ending;
mod fetch;
mod gate;
mod handle;
mod handover;
mod holder;
mod icmp;
pub mod image;
pub mod lab;
pub mod links;
mod offline;
mod owner;
mod pictures;
mod places;
mod recall;
mod routes;
mod serve;
mod sockets;
mod taken;
mod task;
mod tcp;
mod udp;

use std::net::IpAddr;
use std::path::PathBuf;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub use clock::{boot, wall_clock};
pub use handle::{Gone, Handle, Stamped, Subscription};
pub use handover::Handed;
pub use links::link_index;
pub use offline::{cancel, keep_absence, keep_book, keep_charset, waits};
pub use owner::{Place, StartError, resume, start, succeed};
pub use serve::{ChooseError, Chosen};
pub use udp::SocketError;

use self::control::Hello;
use crate::node::Config;
use crate::store::Paths;

/// Version of this program, `major.minor.patch`.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a node needs from outside to run.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Start {
    /// What the node itself needs. `numbers` and `identity.mac` are filled in from the store,
    /// `keeps` from [`Start::store`].
    pub config: Config,
    /// Where the files of the profile are.
    pub paths: Paths,
    /// Use only the links that own one of these addresses; empty: all. An address of 127.0.0.0/8
    /// is bound exactly, so that several nodes on one host can share a port.
    pub bind: Vec<IpAddr>,
    /// Speak IPv6 too.
    pub ipv6: bool,
    /// Leave out the links with these names; `*` and `?` stand for anything.
    pub skip_links: Vec<String>,
    /// Keep messages; without a store no receipts are sent.
    pub store: bool,
    /// Where received files go that name no folder.
    pub downloads: PathBuf,
    /// Whether a lasting client may take the port over when this node ends.
    pub allow_takeover: bool,
    /// Whether it ends by itself, with the work it was started for.
    pub brief: bool,
}

impl Start {
    /// Takes on how another process ran the node, to go on in its place.
    fn follow(&mut self, hello: &Hello) {
        self.config.port = hello.port;
        self.config.passive = hello.passive;
        self.bind.clone_from(&hello.bind);
        self.ipv6 = hello.ipv6;
        self.skip_links.clone_from(&hello.skip_links);
        self.store = hello.keeps;
    }

    /// Takes on the names the node had last.
    fn follow_names(&mut self, hello: &Hello) {
        let identity = &mut self.config.identity;
        identity.nick.clone_from(&hello.nick);
        identity.group.clone_from(&hello.group);
        identity.user.clone_from(&hello.user);
        identity.host.clone_from(&hello.host);
    }

    fn hello(&self) -> Hello {
        let identity = &self.config.identity;
        Hello {
            version: VERSION.to_owned(),
            pid: std::process::id(),
            port: self.config.port,
            bind: self.bind.clone(),
            ipv6: self.ipv6,
            skip_links: self.skip_links.clone(),
            nick: identity.nick.clone(),
            group: identity.group.clone(),
            user: identity.user.clone(),
            host: identity.host.clone(),
            passive: self.config.passive,
            keeps: self.store,
            brief: self.brief,
            last_seq: None,
        }
    }
}

/// A node that runs in this process. Dropping it ends the node as [`Running::stop`] does, without
/// waiting for it.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    hello: Hello,
    closed: Option<String>,
    stop: oneshot::Sender<()>,
    asked: watch::Receiver<bool>,
    task: JoinHandle<Stopped>,
}

impl Running {
    /// To ask and to listen with. Who subscribes before awaiting anything else misses no event.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What this process tells those who join it.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Why nobody can join the node, if that is so: it keeps nothing, and its control socket could not
    /// be made.
    pub fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// Resolves when somebody asked the node to stop; [`Running::stop`] is the next thing to do.
    pub async fn ended(&mut self) {
        // An error means that the task is gone, which is an end too.
        let _ = self.asked.wait_for(|asked| *asked).await;
    }

    /// Ends the node in order: everything taken is committed and acknowledged; then a lasting
    /// client takes over, or, if there is none or the node was asked to stop, a goodbye is said.
    pub async fn stop(self) -> Stopped {
        let Self { handle, stop, task, .. } = self;
        drop(handle);
        let _ = stop.send(());
        task.await.unwrap_or(Stopped::Broken)
    }
}

/// How a node ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// With a goodbye on the LAN.
    Goodbye,
    /// It goes on in another process.
    HandedOver {
        /// Its process id.
        to: u32,
    },
    /// Its task did not survive; the details are in the log.
    Broken,
}

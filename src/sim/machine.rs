//! A simulated machine: its network cards, and the program that runs on it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::disk::Disk;
use crate::node::{Config, Event, Ipv4Net, Keyring, Link, LinkId, Node, Reply, RequestId, Tick};

/// A datagram as a scripted peer gets it.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// When.
    pub at: Tick,
    /// Who sent it.
    pub from: SocketAddr,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// A scripted peer: what it says to what it hears, and to whom.
pub type Script = Box<dyn FnMut(Heard<'_>) -> Vec<(SocketAddr, Vec<u8>)>>;

/// One machine.
pub(super) struct Host {
    pub(super) ports: Vec<Port>,
    pub(super) program: Program,
    /// What nodes on it told, from the first one on.
    pub(super) events: Vec<(Tick, Event)>,
}

/// One network card of a machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    pub(super) link: LinkId,
    pub(super) subnet: u8,
    pub(super) addr: SocketAddr,
    pub(super) plugged: bool,
}

pub(super) enum Program {
    Node(Box<Running>),
    Script(Script),
    Stopped,
}

/// A node and what stands around it.
pub(super) struct Running {
    pub(super) node: Node,
    pub(super) keyring: Keyring,
    pub(super) config: Config,
    pub(super) disk: Disk,
    /// When it is woken next.
    pub(super) wake: Option<Tick>,
    pub(super) replies: BTreeMap<RequestId, Reply>,
    pub(super) next_request: u64,
}

impl Host {
    /// The card a datagram leaves through: the one asked for, else the one that is nearest.
    pub(super) fn port_for(&self, link: Option<LinkId>, to: SocketAddr) -> Option<Port> {
        let mut plugged = self.ports.iter().filter(|port| port.plugged);
        match link {
            Some(link) => plugged.find(|port| port.link == link).copied(),
            None => plugged.clone().find(|port| port.is_near(to)).or(plugged.next()).copied(),
        }
    }
}

impl Port {
    fn is_near(&self, to: SocketAddr) -> bool {
        matches!(to.ip(), IpAddr::V4(ip) if ip.octets()[..2] == [10, self.subnet])
    }

    pub(super) fn as_link(&self) -> Link {
        let addr = match self.addr.ip() {
            IpAddr::V4(addr) => addr,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        let broadcast = Some(Ipv4Addr::new(10, self.subnet, 255, 255));
        Link {
            id: self.link,
            name: format!("eth{}", self.link.0),
            v4: vec![Ipv4Net { addr, broadcast, limited: true }],
            v6: Vec::new(),
            multicast: false,
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = match self.program {
            Program::Node(_) => "node",
            Program::Script(_) => "script",
            Program::Stopped => "stopped",
        };
        f.debug_struct("Host")
            .field("ports", &self.ports)
            .field("program", &program)
            .finish_non_exhaustive()
    }
}

pub(super) fn broadcast_of(subnet: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, subnet, 255, 255], port))
}

pub(super) fn is_broadcast(addr: SocketAddr) -> bool {
    matches!(addr.ip(), IpAddr::V4(ip) if ip.is_broadcast() || ip.is_multicast() || ip.octets()[2..] == [255, 255])
}

/// Whether everybody on the sender's subnet hears this: the limited broadcast, and groups.
pub(super) fn is_for_link(addr: SocketAddr) -> bool {
    matches!(addr.ip(), IpAddr::V4(ip) if ip.is_broadcast() || ip.is_multicast())
}

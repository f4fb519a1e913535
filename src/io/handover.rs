//! What passes from one owner of the port to the next: descriptors, and what the node knows.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use super::control::Hello;
use super::sockets::Role;
use crate::node::{Handover, LinkId, StageId};

/// Everything the next owner needs, with the names of the descriptors that go along.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bundle {
    pub(crate) hello: Hello,
    pub(crate) node: Handover,
    /// What the descriptors are, in the order they are sent in.
    pub(crate) parts: Vec<Part>,
}

/// What a descriptor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// The profile's lock: it passes with its descriptor, without a moment in which it is free.
    Lock,
    /// The control socket, with everybody who waits to be let in.
    Control,
    /// A TCP listener.
    Listener,
    /// A UDP socket, with everything it has not read yet.
    Udp {
        /// Its link.
        link: LinkId,
        /// What it is for.
        role: Role,
    },
    /// The bytes of a picture that is on its way, in a file without a name.
    Stage {
        /// What the node calls it.
        stage: StageId,
    },
}

/// A node in transit: take it over with [`super::resume`]. Dropping it closes its sockets.
#[derive(Debug)]
pub struct Handed {
    pub(crate) bundle: Bundle,
    pub(crate) lock: Option<OwnedFd>,
    pub(crate) control: Option<OwnedFd>,
    pub(crate) listeners: Vec<OwnedFd>,
    pub(crate) sockets: Vec<(LinkId, Role, OwnedFd)>,
    pub(crate) stages: Vec<(StageId, OwnedFd)>,
}

impl Handed {
    /// Puts names and descriptors together; none if their numbers differ.
    pub(crate) fn new(bundle: Bundle, fds: Vec<OwnedFd>) -> Option<Self> {
        if bundle.parts.len() != fds.len() {
            return None;
        }
        let parts = bundle.parts.clone();
        let (lock, control) = (None, None);
        let (listeners, sockets, stages) = (Vec::new(), Vec::new(), Vec::new());
        let mut handed = Self { bundle, lock, control, listeners, sockets, stages };
        for (part, fd) in parts.into_iter().zip(fds) {
            match part {
                Part::Lock => handed.lock = Some(fd),
                Part::Control => handed.control = Some(fd),
                Part::Listener => handed.listeners.push(fd),
                Part::Udp { link, role } => handed.sockets.push((link, role, fd)),
                Part::Stage { stage } => handed.stages.push((stage, fd)),
            }
        }
        Some(handed)
    }

    /// What the owner before us said of the node.
    pub fn hello(&self) -> &Hello {
        &self.bundle.hello
    }
}

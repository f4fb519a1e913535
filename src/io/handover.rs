//! What passes from one owner of the port to the next: descriptors, and what the node knows.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use super::control::Hello;
use super::serve::Slot;
use super::sockets::Role;
use crate::node::{Handover, LinkId, PacketNo, StageId};

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
    /// The profile's lock, in one of its places: it passes with its descriptor, without a moment in
    /// which it is free.
    Lock,
    /// The control socket, in one of its places, with everybody who waits to be let in.
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
    /// A file or folder on offer, as it was chosen. These come last.
    Chosen {
        /// The message that offers it.
        number: PacketNo,
        /// Its place in the message's list, from 0.
        item: usize,
    },
}

/// A node in transit: take it over with [`super::resume`]. Dropping it closes its sockets.
#[derive(Debug)]
pub struct Handed {
    pub(crate) bundle: Bundle,
    pub(crate) lock: Vec<OwnedFd>,
    pub(crate) control: Vec<OwnedFd>,
    pub(crate) listeners: Vec<OwnedFd>,
    pub(crate) sockets: Vec<(LinkId, Role, OwnedFd)>,
    pub(crate) stages: Vec<(StageId, OwnedFd)>,
    pub(crate) chosen: Vec<(Slot, OwnedFd)>,
}

impl Handed {
    /// Puts names and descriptors together; none if some are missing. Only of the chosen files some
    /// may be, where this process may not have as many open: their paths are opened anew. Then a
    /// later one may have got the name of an earlier one, hence each is looked at before it is
    /// served.
    pub(crate) fn new(bundle: Bundle, fds: Vec<OwnedFd>) -> Option<Self> {
        let parts = bundle.parts.clone();
        let needed = parts.iter().filter(|part| !matches!(part, Part::Chosen { .. })).count();
        if !(needed..=parts.len()).contains(&fds.len()) {
            return None;
        }
        let (lock, control) = (Vec::new(), Vec::new());
        let (listeners, sockets, stages, chosen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut handed = Self { bundle, lock, control, listeners, sockets, stages, chosen };
        for (part, fd) in parts.into_iter().zip(fds) {
            match part {
                Part::Lock => handed.lock.push(fd),
                Part::Control => handed.control.push(fd),
                Part::Listener => handed.listeners.push(fd),
                Part::Udp { link, role } => handed.sockets.push((link, role, fd)),
                Part::Stage { stage } => handed.stages.push((stage, fd)),
                Part::Chosen { number, item } => handed.chosen.push(((number, item), fd)),
            }
        }
        Some(handed)
    }

    /// What the owner before us said of the node.
    pub fn hello(&self) -> &Hello {
        &self.bundle.hello
    }
}

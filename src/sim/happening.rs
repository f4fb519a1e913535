//! What will happen on the simulated LAN, and where.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::HostId;
use crate::node::{Done, JobId, LinkId, SaveId};

/// How long work with a private key takes.
pub(super) const KEY_WORK: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) enum Happening {
    Arrives { at: HostId, link: LinkId, from: SocketAddr, to: SocketAddr, bytes: Arc<[u8]> },
    Bounces { at: HostId, to: SocketAddr },
    Commits { at: HostId, id: SaveId },
    Wakes { at: HostId },
    Finishes { at: HostId, id: JobId, done: Box<Done> },
}

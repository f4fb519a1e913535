//! What those who serve files and those who send messages tell each other.

use std::net::SocketAddr;

use super::SendNo;

/// What became of a message that offers files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileNews {
    /// It went to this address.
    Went(SendNo, SocketAddr),
    /// It ended without a receipt.
    Failed(SendNo),
}

/// Where the files of a message to one recipient are on offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seat {
    /// Which of the message's recipients it is; none if nothing is on offer to it.
    pub(crate) index: Option<u32>,
    /// The least index that no offer of this message has.
    pub(crate) free: u32,
    /// How many files it is offered.
    pub(crate) files: usize,
}

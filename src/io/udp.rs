//! One UDP socket, set up as its place asks for. Which sockets there are is decided in
//! [`super::sockets`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::links::LOOPBACK_BROADCAST;
use crate::node::{GROUP_ADDR, GROUP_TTL};

/// Where a socket listens, and whom it reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place<'a> {
    /// Every IPv4 address and broadcast of one link, and nothing else.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "needs SO_BINDTODEVICE"))]
    Device {
        name: &'a str,
        /// Its index, to join the groups of FeiQ there.
        index: u32,
    },
    /// Every IPv6 address of one link, and its groups if it has some.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "needs SO_BINDTODEVICE"))]
    DeviceV6 {
        name: &'a str,
        /// Its index, to join the groups there; none on loopback.
        groups: Option<u32>,
    },
    /// One loopback address; several nodes on one host can share a port so.
    Exact(Ipv4Addr),
    /// The broadcasts of the loopback: a socket bound to one address hears none.
    LoopbackEar,
    /// The groups of FeiQ on the loopback, for sockets bound to one address, which hear no groups.
    GroupEar,
    /// Every IPv4 link at once, where sockets cannot be bound to one.
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "Linux has a socket for each link"))]
    Everywhere,
}

/// A socket that could not be had: what was tried, where, and what the system said.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {at}{}: {source}", on(link.as_ref()))]
pub struct SocketError {
    /// What was tried: `bind`, `listen`, ...
    pub operation: &'static str,
    /// The address.
    pub at: SocketAddr,
    /// The link, if the socket belongs to one.
    pub link: Option<String>,
    /// What the system said.
    pub source: io::Error,
}

fn on(link: Option<&String>) -> String {
    link.map(|link| format!(" on {link}")).unwrap_or_default()
}

/// The group of official clients (wire reference, 1).
pub(crate) const GROUP: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x979);
/// Every host of a link.
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Routers that a datagram to [`GROUP`] may pass.
const GROUP_HOPS: u32 = 32;

/// The receive buffer asked for, bytes. A burst of 10,000 messages needs some of it: the usual
/// default holds about 256 small datagrams.
pub(crate) const RECEIVE_BUFFER: usize = 8 << 20;

impl Place<'_> {
    fn addr(&self) -> IpAddr {
        match self {
            Self::Device { .. } | Self::Everywhere => Ipv4Addr::UNSPECIFIED.into(),
            Self::DeviceV6 { .. } => Ipv6Addr::UNSPECIFIED.into(),
            Self::Exact(addr) => (*addr).into(),
            Self::LoopbackEar => LOOPBACK_BROADCAST.into(),
            Self::GroupEar => GROUP_ADDR.into(),
        }
    }

    fn device(&self) -> Option<&str> {
        match self {
            Self::Device { name, .. } | Self::DeviceV6 { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Opens and binds a socket here; non-blocking, and known to the tokio runtime.
    pub(crate) fn open(&self, port: u16) -> Result<UdpSocket, SocketError> {
        let at = SocketAddr::new(self.addr(), port);
        let failed = |operation| {
            let link = self.device().map(str::to_owned);
            move |source| SocketError { operation, at, link, source }
        };
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))
            .map_err(failed("open"))?;
        self.prepare(&socket).map_err(failed("set up"))?;
        socket.bind(&at.into()).map_err(failed("bind"))?;
        if let Self::DeviceV6 { groups: Some(index), .. } = self {
            join(&socket, *index).map_err(failed("join the groups of"))?;
        }
        if let Err(error) = self.join_groups(&socket) {
            // Not every link carries multicast; nobody in a group there is heard then.
            tracing::info!("no groups of FeiQ at {at}: {error}");
        }
        UdpSocket::from_std(socket.into()).map_err(failed("register"))
    }

    /// Joins the groups of FeiQ where this socket is to hear them, and sets how they are written to.
    fn join_groups(&self, socket: &Socket) -> io::Result<()> {
        let any = InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED);
        match self {
            Self::Device { index, .. } => {
                let link = InterfaceIndexOrAddress::Index(*index);
                socket.join_multicast_v4_n(&GROUP_ADDR, &link)?;
                // Nobody else on this host can have our port, so only we would hear ourselves.
                socket.set_multicast_loop_v4(false)?;
            }
            Self::Exact(addr) => socket.set_multicast_if_v4(addr)?,
            Self::GroupEar => {
                let loopback = InterfaceIndexOrAddress::Address(Ipv4Addr::LOCALHOST);
                return socket.join_multicast_v4_n(&GROUP_ADDR, &loopback);
            }
            Self::Everywhere => socket.join_multicast_v4_n(&GROUP_ADDR, &any)?,
            Self::DeviceV6 { .. } | Self::LoopbackEar => return Ok(()),
        }
        socket.set_multicast_ttl_v4(GROUP_TTL)
    }

    fn prepare(&self, socket: &Socket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        match self {
            // Never SO_REUSEADDR for a socket that takes unicasts: two such sockets steal each
            // other's datagrams, and a taken port would go unnoticed. The ear takes broadcasts
            // only, which every socket gets a copy of.
            Self::LoopbackEar | Self::GroupEar => socket.set_reuse_address(true)?,
            Self::DeviceV6 { .. } => socket.set_only_v6(true)?,
            _ => socket.set_broadcast(true)?,
        }
        #[cfg(target_os = "linux")]
        if let Some(name) = self.device() {
            socket.bind_device(Some(name.as_bytes()))?;
        }
        grow(socket);
        Ok(())
    }
}

fn join(socket: &Socket, index: u32) -> io::Result<()> {
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_hops_v6(GROUP_HOPS)?;
    // Nobody else on this host can have our port, so only we would hear ourselves.
    socket.set_multicast_loop_v6(false)?;
    socket.join_multicast_v6(&GROUP, index)?;
    socket.join_multicast_v6(&ALL_NODES, index)
}

/// Asks for the large receive buffer. Beyond the system's limit only a privileged process gets
/// it; the others get the limit. What came of it is read by [`granted`].
fn grow(socket: &Socket) {
    #[cfg(target_os = "linux")]
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_ok() {
        return;
    }
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        tracing::debug!("the receive buffer stays as it is: {error}");
    }
}

/// The receive buffer a socket has, bytes, as it was asked for: Linux doubles the number it is
/// given, for its own bookkeeping, and tells the double (socket(7)).
pub(crate) fn granted(socket: &UdpSocket) -> usize {
    let size = socket2::SockRef::from(socket).recv_buffer_size().unwrap_or(0);
    if cfg!(target_os = "linux") { size / 2 } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_refused_with_operation_and_address() {
        let first = Place::Exact([127, 77, 0, 1].into()).open(0).unwrap();
        let port = first.local_addr().unwrap().port();
        let error = Place::Exact([127, 77, 0, 1].into()).open(port).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        let text = format!("bind 127.77.0.1:{port}: ");
        assert!(error.to_string().starts_with(&text), "{error}");
    }

    #[tokio::test]
    async fn two_addresses_of_the_loopback_share_a_port_and_its_broadcasts() {
        let first = Place::Exact([127, 77, 0, 2].into()).open(0).unwrap();
        let port = first.local_addr().unwrap().port();
        let second = Place::Exact([127, 77, 0, 3].into()).open(port).unwrap();
        let ears = [(); 2].map(|()| Place::LoopbackEar.open(port).unwrap());
        second.send_to(b"all", (LOOPBACK_BROADCAST, port)).await.unwrap();
        for ear in &ears {
            let mut buffer = [0; 8];
            let (len, from) = ear.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..len], from), (&b"all"[..], second.local_addr().unwrap()));
        }
        assert!(granted(&first) > 0);
    }
}

//! What the network says of datagrams that left: ICMP, and a neighbour that does not answer.
//!
//! Linux keeps such news in the error queue of the socket, with the address the datagram was for,
//! once the socket asks for it (`IP_RECVERR`, ip(7)). Other systems tell an unconnected socket
//! nothing. Anybody can forge ICMP, so it is never more than a hint.
//!
//! The same option has the next send or receive fail with that news, whomever it concerns:
//! [`past_news`] goes on.

use std::io;

use rustix::io::Errno;

pub(super) use self::system::{News, ask};

/// Times that a send or a receive may fail with news of earlier datagrams before it has failed
/// itself. Each failure takes one piece of news away; more come only while others are sent.
const TRIES: usize = 4;

/// Does `attempt` until it does not fail with what may belong to an earlier datagram.
pub(super) fn past_news<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut result = attempt();
    for _ in 1..TRIES {
        match &result {
            Err(error) if may_be_news(error) => result = attempt(),
            _ => break,
        }
    }
    result
}

/// Not what a socket says of its own room, which may change nothing when asked again.
fn may_be_news(error: &io::Error) -> bool {
    let room = [Errno::WOULDBLOCK, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| !room.contains(&errno))
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::net::SocketAddr;
    use std::os::fd::{AsFd, AsRawFd};

    use nix::cmsg_space;
    use nix::libc::{sock_extended_err, sockaddr_in6};
    use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
    use rustix::io::Errno;
    use tokio::io::Interest;
    use tokio::net::UdpSocket;

    use crate::node::Bounce;

    /// Has the system keep what comes back of what this socket sends. Asking again changes nothing.
    pub(in crate::io) fn ask(socket: &UdpSocket) -> io::Result<()> {
        if socket.local_addr()?.is_ipv4() {
            setsockopt(&socket.as_fd(), Ipv4RecvErr, &true)?;
        } else {
            setsockopt(&socket.as_fd(), Ipv6RecvErr, &true)?;
        }
        Ok(())
    }

    /// Reads error queues.
    #[derive(Debug)]
    pub(in crate::io) struct News {
        /// On the heap: the kernel's structures in it need their alignment.
        control: Vec<u8>,
    }

    /// Read from one socket before the others have their turn.
    const NEWS_MAX: usize = 256;

    impl News {
        pub(in crate::io) fn new() -> Self {
            Self { control: cmsg_space!(sock_extended_err, sockaddr_in6) }
        }

        /// Reads what came back through this socket, a bounded part of it; whether there was
        /// something. Costs no system call while the runtime has heard of nothing.
        pub(in crate::io) fn read(
            &mut self,
            socket: &UdpSocket,
            bounced: &mut Vec<(SocketAddr, Bounce)>,
        ) -> bool {
            for read in 0..NEWS_MAX {
                // The runtime takes "would block" as the end of the news.
                match socket.try_io(Interest::ERROR, || self.next(socket)) {
                    Ok(news) => bounced.extend(news),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return read > 0,
                    Err(error) => tracing::debug!("cannot read what came back: {error}"),
                }
            }
            true
        }

        /// The next in the queue: whom it was for, and why it came back; none where that says
        /// nothing of that host.
        fn next(&mut self, socket: &UdpSocket) -> io::Result<Option<(SocketAddr, Bounce)>> {
            let flags = MsgFlags::MSG_ERRQUEUE;
            // The datagram itself stays where it is.
            let mut nothing = [];
            let fd = socket.as_raw_fd();
            let message =
                recvmsg::<SockaddrStorage>(fd, &mut nothing, Some(&mut self.control), flags)?;
            let to = message.address.as_ref().and_then(addr);
            let reason = message.cmsgs()?.find_map(|said| match said {
                ControlMessageOwned::Ipv4RecvErr(error, _)
                | ControlMessageOwned::Ipv6RecvErr(error, _) => reason(&error),
                _ => None,
            });
            Ok(to.zip(reason))
        }
    }

    fn addr(storage: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = storage.as_sockaddr_in().map(|addr| SocketAddr::from(*addr));
        v4.or_else(|| storage.as_sockaddr_in6().map(|addr| SocketAddr::from(*addr)))
    }

    /// Errors of this host came back from the send itself, and a datagram too large for some link
    /// on the way leaves in smaller parts the next time.
    fn reason(error: &sock_extended_err) -> Option<Bounce> {
        const LOCAL: u8 = nix::libc::SO_EE_ORIGIN_LOCAL;
        let errno = Errno::from_raw_os_error(i32::try_from(error.ee_errno).ok()?);
        match errno {
            _ if error.ee_origin == LOCAL => None,
            Errno::MSGSIZE => None,
            Errno::CONNREFUSED => Some(Bounce::PortUnreachable),
            _ => Some(Bounce::HostUnreachable),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::net::SocketAddr;

    use tokio::net::UdpSocket;

    use crate::node::Bounce;

    /// There is nothing to ask for.
    #[expect(clippy::unnecessary_wraps, reason = "fails on Linux")]
    pub(in crate::io) fn ask(_socket: &UdpSocket) -> io::Result<()> {
        Ok(())
    }

    /// There is none.
    #[derive(Debug)]
    pub(in crate::io) struct News;

    impl News {
        pub(in crate::io) fn new() -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "has a queue on Linux")]
        pub(in crate::io) fn read(
            &mut self,
            _socket: &UdpSocket,
            _bounced: &mut Vec<(SocketAddr, Bounce)>,
        ) -> bool {
            false
        }
    }
}

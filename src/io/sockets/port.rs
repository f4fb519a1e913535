//! One socket of a link, with what waits for room in it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendFlags, sendto};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::super::icmp::{self, News, past_news};
use super::{Role, Unsent};
use crate::node::{Bounce, LinkId};

#[derive(Debug)]
pub(super) struct Port {
    pub(super) link: LinkId,
    pub(super) role: Role,
    pub(super) socket: UdpSocket,
    pub(super) queue: VecDeque<Waiting>,
    /// Set while the system has no room although the socket says that it can be written.
    pub(super) rest: Option<Instant>,
    /// The runtime heard of an error and takes the socket for closed to writing, for good.
    misjudged: bool,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) to: SocketAddr,
    pub(super) bytes: Arc<[u8]>,
    pub(super) since: Instant,
}

impl Waiting {
    fn unsent(self, reason: Bounce) -> Unsent {
        Unsent { to: self.to, bytes: self.bytes, reason }
    }
}

/// What came of an attempt to send.
pub(super) enum Attempt {
    Sent,
    Wait,
    Failed(Bounce),
}

/// How long a socket rests when the system has no room, and when its IPv6 address is still checked
/// for being the only one of its kind (which takes one to two seconds).
const NO_ROOM_REST: Duration = Duration::from_millis(20);
const NO_ADDR_REST: Duration = Duration::from_millis(250);
/// When a datagram that waits is given up.
const PATIENCE: Duration = Duration::from_secs(3);

impl Port {
    pub(super) fn new(link: LinkId, role: Role, socket: UdpSocket) -> Self {
        if role.sends()
            && let Err(error) = icmp::ask(&socket)
        {
            tracing::info!(?link, "what datagrams run into is not told: {error}");
        }
        Self { link, role, socket, queue: VecDeque::new(), rest: None, misjudged: false }
    }

    /// Whether the socket itself has to become writable.
    pub(super) fn is_blocked(&self) -> bool {
        !self.queue.is_empty() && self.rest.is_none()
    }

    /// A datagram that is here: its length in `buffer`, and its sender.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        match past_news(|| self.socket.try_recv_from(buffer)) {
            Ok(heard) => Some(heard),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                tracing::debug!(link = ?self.link, "receive: {error}");
                None
            }
        }
    }

    /// Reads what came back of what was sent.
    pub(super) fn read_news(&mut self, news: &mut News, bounced: &mut Vec<(SocketAddr, Bounce)>) {
        if self.role.sends() && news.read(&self.socket, bounced) {
            self.misjudged = true;
        }
    }

    /// Tries at once, without asking the runtime whether the socket has room: of a new socket it
    /// does not know that yet.
    pub(super) fn attempt(&mut self, to: SocketAddr, bytes: &[u8]) -> Attempt {
        let sent = past_news(|| Ok(sendto(&self.socket, bytes, SendFlags::empty(), &to)?));
        self.judge(to, sent)
    }

    /// Tries if the socket has room as far as the runtime knows, which learns from it otherwise.
    fn attempt_again(&mut self, to: SocketAddr, bytes: &[u8]) -> Attempt {
        let sent = past_news(|| self.socket.try_send_to(bytes, to));
        self.judge(to, sent)
    }

    fn judge(&mut self, to: SocketAddr, sent: io::Result<usize>) -> Attempt {
        let Err(error) = sent else { return Attempt::Sent };
        if error.kind() == io::ErrorKind::WouldBlock {
            return Attempt::Wait;
        }
        let errno = Errno::from_io_error(&error);
        match errno {
            // No memory, or a full neighbour table; or so much comes back that nothing gets by.
            Some(Errno::NOBUFS | Errno::NOMEM | Errno::CONNREFUSED) => {
                return self.rest(NO_ROOM_REST);
            }
            Some(Errno::ADDRNOTAVAIL) if to.is_ipv6() => return self.rest(NO_ADDR_REST),
            _ => tracing::debug!(link = ?self.link, %to, "send: {error}"),
        }
        Attempt::Failed(match errno {
            Some(
                Errno::NETUNREACH
                | Errno::HOSTUNREACH
                | Errno::NETDOWN
                | Errno::HOSTDOWN
                | Errno::ADDRNOTAVAIL
                | Errno::NODEV,
            ) => Bounce::HostUnreachable,
            _ => Bounce::Refused,
        })
    }

    fn rest(&mut self, span: Duration) -> Attempt {
        self.rest = Some(Instant::now() + span);
        Attempt::Wait
    }

    pub(super) fn flush(&mut self, failed: &mut Vec<Unsent>) {
        if self.rest.is_some_and(|rest| rest > Instant::now()) {
            return;
        }
        self.rest = None;
        while let Some(waiting) = self.queue.pop_front() {
            match self.attempt_again(waiting.to, &waiting.bytes) {
                Attempt::Sent => {}
                Attempt::Failed(reason) => failed.push(waiting.unsent(reason)),
                Attempt::Wait if self.rest.is_none() => {
                    self.queue.push_front(waiting);
                    return self.be_judged_anew();
                }
                Attempt::Wait => {
                    // To the end of the queue: one address without a neighbour entry must not
                    // hold up the others.
                    if waiting.since.elapsed() < PATIENCE {
                        self.queue.push_back(waiting);
                    } else {
                        failed.push(waiting.unsent(Bounce::Refused));
                    }
                    return;
                }
            }
        }
        self.rest = None;
    }

    /// Before a wait for room: registers the socket again if the runtime would say at once, and
    /// always, that it can be written.
    fn be_judged_anew(&mut self) {
        if !self.misjudged {
            return;
        }
        let again = self.share().and_then(|fd| UdpSocket::from_std(fd.into()));
        match again {
            Ok(socket) => {
                self.socket = socket;
                self.misjudged = false;
            }
            Err(error) => {
                tracing::debug!(link = ?self.link, "register again: {error}");
                self.rest = Some(Instant::now() + NO_ROOM_REST);
            }
        }
    }

    /// A second descriptor of the socket.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;
    use std::task::Poll;

    use tokio::io::Interest;

    use super::super::super::udp::Place;
    use super::*;

    const HERE: Ipv4Addr = Ipv4Addr::new(127, 79, 0, 1);

    fn port(last: u8) -> Port {
        let place = Place::Exact(Ipv4Addr::new(127, 79, 0, last));
        Port::new(LinkId(1), Role::V4, place.open(0).unwrap())
    }

    /// An address where nobody listens, and nobody else will.
    fn deaf() -> SocketAddr {
        (HERE, 9).into()
    }

    async fn news_of(port: &mut Port) -> Vec<(SocketAddr, Bounce)> {
        port.socket.ready(Interest::ERROR).await.unwrap();
        let mut bounced = Vec::new();
        port.read_news(&mut News::new(), &mut bounced);
        bounced
    }

    fn sent(attempt: &Attempt) -> bool {
        matches!(attempt, Attempt::Sent)
    }

    #[tokio::test]
    async fn what_came_back_says_whom_it_was_for() {
        let mut from = port(2);
        assert!(sent(&from.attempt(deaf(), b"hello")));
        assert_eq!(news_of(&mut from).await, [(deaf(), Bounce::PortUnreachable)]);
        let mut bounced = Vec::new();
        from.read_news(&mut News::new(), &mut bounced);
        assert!(bounced.is_empty(), "read once");
    }

    #[tokio::test]
    async fn ipv6_tells_it_too() {
        let socket = UdpSocket::bind("[::1]:0").await.unwrap();
        let mut from = Port::new(LinkId(1), Role::V6, socket);
        let deaf: SocketAddr = "[::1]:9".parse().unwrap();
        assert!(sent(&from.attempt(deaf, b"hello")));
        assert_eq!(news_of(&mut from).await, [(deaf, Bounce::PortUnreachable)]);
    }

    #[tokio::test]
    async fn a_dead_port_disturbs_nobody_else() {
        let (mut from, mut to) = (port(3), port(4));
        let (near, far) = (local(&from), local(&to));
        let mut buffer = [0; 8];
        for round in 0..1_000_u16 {
            let bytes = round.to_be_bytes();
            // What came back is told in place of sending the next one, or of receiving.
            assert!(sent(&from.attempt(deaf(), b"dead")), "{round}");
            assert!(sent(&from.attempt(far, &bytes)), "{round}");
            assert!(sent(&from.attempt(deaf(), b"dead")), "{round}");
            assert!(sent(&to.attempt(near, &bytes)), "{round}");
            for port in [&to, &from] {
                port.socket.readable().await.unwrap();
                let (len, _) = port.receive(&mut buffer).unwrap();
                assert_eq!(buffer[..len], bytes);
            }
        }
        let bounced = news_of(&mut from).await;
        assert!(bounced.iter().all(|news| *news == (deaf(), Bounce::PortUnreachable)));
        assert!(bounced.len() > 100, "{}", bounced.len());
    }

    #[tokio::test]
    async fn a_handed_socket_is_asked_too() {
        let plain = UdpSocket::bind((Ipv4Addr::new(127, 79, 0, 5), 0)).await.unwrap();
        let mut from = Port::new(LinkId(1), Role::V4, plain);
        assert!(sent(&from.attempt(deaf(), b"hello")));
        assert_eq!(news_of(&mut from).await.len(), 1);
    }

    #[tokio::test]
    async fn a_wait_for_room_is_a_wait_also_after_an_error() {
        let mut from = port(6);
        assert!(sent(&from.attempt(deaf(), b"hello")));
        assert_eq!(news_of(&mut from).await.len(), 1);
        full(&from);
        assert!(has_room(&from).await, "the runtime says so for ever now");
        from.be_judged_anew();
        from.socket.writable().await.unwrap();
        full(&from);
        assert!(!has_room(&from).await);
    }

    fn local(port: &Port) -> SocketAddr {
        port.socket.local_addr().unwrap()
    }

    /// Has the runtime believe that the socket had no room.
    fn full(port: &Port) {
        let blocked = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        port.socket.try_io(Interest::WRITABLE, blocked).unwrap_err();
    }

    async fn has_room(port: &Port) -> bool {
        poll_fn(|cx| Poll::Ready(port.socket.poll_send_ready(cx).is_ready())).await
    }
}

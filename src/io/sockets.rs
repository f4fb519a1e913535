//! Every UDP socket of a node: one for each link and family, read in turn, written with patience.
//!
//! A full socket buffer or neighbour table (EAGAIN, ENOBUFS) means wait and go on, not failure.
//! Datagrams leave one by one: `sendmmsg` was measured to save a tenth to a third of a system call
//! that is itself a tenth of what a message costs.
//!
//! What did not leave comes back as [`Unsent`]; what the network says of earlier datagrams, which
//! [`super::icmp`] reads, as a bounce.

mod port;

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Poll;

use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use self::port::{Attempt, Port, Waiting};
use super::icmp::News;
use super::links::{Listed, is_loopback};
use super::routes::Routes;
use super::udp::{Place, SocketError, granted};
use crate::node::{Bounce, Link, LinkId, Transmit};

/// The sockets of a node, and the links they stand for.
#[derive(Debug)]
pub(crate) struct Sockets {
    port: u16,
    ipv6: bool,
    exact_loopback: Option<Ipv4Addr>,
    ports: Vec<Port>,
    links: Vec<Link>,
    routes: Routes,
    turn: usize,
    streak: usize,
    waiting_bytes: usize,
    news: News,
    bounced: Vec<(SocketAddr, Bounce)>,
    unsent: Vec<Unsent>,
}

/// A datagram that did not leave.
#[derive(Debug)]
pub(crate) struct Unsent {
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) reason: Bounce,
}

/// What a socket is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// IPv4, in and out.
    V4,
    /// IPv6, in and out.
    V6,
    /// Broadcasts of the loopback, in only.
    Ear,
    /// Groups of FeiQ on the loopback, in only.
    GroupEar,
}

impl Role {
    const fn sends(self) -> bool {
        matches!(self, Self::V4 | Self::V6)
    }
}

/// Datagrams read from one socket before the next one gets its turn.
const STREAK: usize = 64;
/// Bytes that may wait for room, with [`WAITING_COST`] each; beyond that datagrams are dropped, and
/// repeated by whoever still needs them.
const WAITING_BYTES: usize = 8 << 20;
const WAITING_COST: usize = 128;

impl Sockets {
    /// Binds `port` on every link. Fails if that is not possible on one of them; IPv6 is an extra
    /// that may be missing.
    pub(crate) fn open(
        port: u16,
        ipv6: bool,
        exact_loopback: Option<Ipv4Addr>,
        links: Vec<Listed>,
    ) -> Result<Self, SocketError> {
        let mut sockets = Self::with(port, ipv6, exact_loopback, Vec::new());
        match sockets.refresh(links).into_iter().next() {
            Some(error) => Err(error),
            None => Ok(sockets),
        }
    }

    /// Goes on with the sockets of the process that had them before; links they do not cover get
    /// new ones.
    pub(crate) fn adopt(
        port: u16,
        ipv6: bool,
        exact_loopback: Option<Ipv4Addr>,
        links: Vec<Listed>,
        handed: Vec<(LinkId, Role, OwnedFd)>,
    ) -> io::Result<Self> {
        let ports = handed
            .into_iter()
            .map(|(link, role, fd)| {
                let socket = socket2::Socket::from(fd);
                socket.set_nonblocking(true)?;
                Ok(Port::new(link, role, UdpSocket::from_std(socket.into())?))
            })
            .collect::<io::Result<_>>()?;
        let mut sockets = Self::with(port, ipv6, exact_loopback, ports);
        for error in sockets.refresh(links) {
            tracing::warn!("a link without a socket: {error}");
        }
        Ok(sockets)
    }

    fn with(port: u16, ipv6: bool, exact_loopback: Option<Ipv4Addr>, ports: Vec<Port>) -> Self {
        Self {
            port,
            ipv6,
            exact_loopback,
            ports,
            links: Vec::new(),
            routes: Routes::default(),
            turn: 0,
            streak: 0,
            waiting_bytes: 0,
            news: News::new(),
            bounced: Vec::new(),
            unsent: Vec::new(),
        }
    }

    /// The links are these now: closes the sockets of those that went, opens those of the new
    /// ones. A link without a socket is left out and its error returned. One that is only down
    /// keeps its sockets with what waits in them, and stays in its groups.
    pub(crate) fn refresh(&mut self, links: Vec<Listed>) -> Vec<SocketError> {
        let mut errors = Vec::new();
        let mut ports = std::mem::take(&mut self.ports);
        self.links.clear();
        for Listed { mut link, up } in links {
            let (mut usable, mut groups) = (false, false);
            for (role, place) in self.places(&link) {
                let had = ports.iter().position(|port| port.link == link.id && port.role == role);
                let opened = match had {
                    Some(at) => Ok(ports.swap_remove(at)),
                    None => place.open(self.port).map(|socket| Port::new(link.id, role, socket)),
                };
                match opened {
                    Ok(port) => {
                        usable |= role.sends();
                        groups |= role == Role::V6 && !is_loopback(&link);
                        self.ports.push(port);
                    }
                    Err(error) if matches!(role, Role::V6 | Role::GroupEar) => {
                        tracing::info!("no {role:?} here: {error}");
                    }
                    Err(error) => errors.push(error),
                }
            }
            link.multicast = groups;
            if usable && up {
                self.links.push(link);
            }
        }
        self.routes.forget();
        self.waiting_bytes = self.ports.iter().flat_map(|port| &port.queue).map(cost).sum();
        errors
    }

    /// The sockets a link needs. IPv6 is tried on every link: one with only a link-local address,
    /// which is not in the list, has its groups too.
    #[cfg(target_os = "linux")]
    fn places<'a>(&self, link: &'a Link) -> Vec<(Role, Place<'a>)> {
        let loopback = is_loopback(link);
        if let Some(addr) = self.exact_loopback
            && loopback
        {
            return on_loopback(addr);
        }
        let mut places = Vec::new();
        if !link.v4.is_empty() {
            places.push((Role::V4, Place::Device { name: &link.name, index: link.id.0 }));
        }
        if self.ipv6 {
            let groups = (!loopback).then_some(link.id.0);
            places.push((Role::V6, Place::DeviceV6 { name: &link.name, groups }));
        }
        places
    }

    /// One socket for everything, on the first link; IPv4 only.
    #[cfg(not(target_os = "linux"))]
    fn places<'a>(&self, link: &'a Link) -> Vec<(Role, Place<'a>)> {
        match self.exact_loopback {
            Some(addr) if is_loopback(link) => on_loopback(addr),
            _ if self.ports.is_empty() => vec![(Role::V4, Place::Everywhere)],
            _ => Vec::new(),
        }
    }

    /// The links that are up and have a socket.
    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Whether there is no socket to send through, now or when a link comes up.
    pub(crate) fn is_empty(&self) -> bool {
        !self.ports.iter().any(|port| port.role.sends())
    }

    /// The smallest receive buffer of all sockets, bytes.
    pub(crate) fn receive_buffer(&self) -> usize {
        self.ports.iter().map(|port| granted(&port.socket)).min().unwrap_or(0)
    }

    /// Waits until some socket has something to read.
    pub(crate) async fn readable(&self) {
        poll_fn(|cx| {
            // Every socket is asked, so that each one wakes us.
            let mut ready = Poll::Pending;
            for port in &self.ports {
                if port.socket.poll_recv_ready(cx).is_ready() {
                    ready = Poll::Ready(());
                }
            }
            ready
        })
        .await;
    }

    /// The next datagram of any socket: its link, its sender and its length in `buffer`. None when
    /// all are empty.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Option<(LinkId, SocketAddr, usize)> {
        let mut empty = 0;
        while empty < self.ports.len() {
            self.turn %= self.ports.len();
            let port = &self.ports[self.turn];
            if self.streak < STREAK {
                if let Some((len, from)) = port.receive(buffer) {
                    self.streak += 1;
                    return Some((port.link, from, len));
                }
                empty += 1;
            }
            self.turn += 1;
            self.streak = 0;
        }
        None
    }

    /// Sends, or queues for later. The link that took it; none, if it cannot leave.
    pub(crate) fn send(&mut self, transmit: Transmit) -> Option<LinkId> {
        let Transmit { link, to, bytes, .. } = transmit;
        let Some(port) = self.port_for(link, to) else {
            tracing::debug!(?link, %to, "no socket to send through");
            return self.refuse(Unsent { to, bytes, reason: Bounce::HostUnreachable });
        };
        let through = self.ports[port].link;
        if self.ports[port].queue.is_empty() {
            match self.ports[port].attempt(to, &bytes) {
                Attempt::Sent => return Some(through),
                Attempt::Wait => {}
                Attempt::Failed(reason) => return self.refuse(Unsent { to, bytes, reason }),
            }
        }
        let waiting = Waiting { to, bytes, since: Instant::now() };
        if self.waiting_bytes + cost(&waiting) > WAITING_BYTES {
            tracing::warn!(%to, "too much waits to be sent, a datagram is dropped");
            let Waiting { to, bytes, .. } = waiting;
            return self.refuse(Unsent { to, bytes, reason: Bounce::Refused });
        }
        self.waiting_bytes += cost(&waiting);
        self.ports[port].queue.push_back(waiting);
        Some(through)
    }

    fn refuse(&mut self, unsent: Unsent) -> Option<LinkId> {
        self.unsent.push(unsent);
        None
    }

    fn port_for(&mut self, link: Option<LinkId>, to: SocketAddr) -> Option<usize> {
        let link = match link {
            Some(link) => link,
            None => self.routes.resolve(to, &self.links)?,
        };
        // Through one that is down the system takes datagrams, and drops them without a word.
        self.links.iter().find(|up| up.id == link)?;
        let role = if to.is_ipv4() { Role::V4 } else { Role::V6 };
        let only = !cfg!(target_os = "linux") && self.exact_loopback.is_none();
        self.ports.iter().position(|port| port.role == role && (only || port.link == link))
    }

    /// News counts only where it concerns one host: of many some may hear what others refuse.
    fn bounce(&mut self, to: SocketAddr, bounce: Bounce) {
        let many = match to.ip() {
            IpAddr::V4(ip) => {
                ip.is_broadcast()
                    || ip.is_multicast()
                    || self.links.iter().flat_map(|link| &link.v4).any(|n| n.broadcast == Some(ip))
            }
            IpAddr::V6(ip) => ip.is_multicast(),
        };
        if !many {
            self.bounced.push((to, bounce));
        }
    }

    /// Waits until something came back of what was sent.
    pub(crate) async fn news(&self) {
        let senders = self.ports.iter().filter(|port| port.role.sends());
        let mut waits: Vec<_> =
            senders.map(|port| Box::pin(port.socket.ready(Interest::ERROR))).collect();
        poll_fn(|cx| {
            if waits.iter_mut().any(|wait| wait.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    /// Reads what came back of what was sent, a bounded part of it.
    pub(crate) fn read_news(&mut self) {
        let mut bounced = Vec::new();
        for port in &mut self.ports {
            port.read_news(&mut self.news, &mut bounced);
        }
        for (to, bounce) in bounced {
            tracing::debug!(%to, ?bounce, "came back");
            self.bounce(to, bounce);
        }
    }

    /// What came back since the last call.
    pub(crate) fn bounced(&mut self) -> Vec<(SocketAddr, Bounce)> {
        std::mem::take(&mut self.bounced)
    }

    /// What did not leave since the last call.
    pub(crate) fn unsent(&mut self) -> Vec<Unsent> {
        std::mem::take(&mut self.unsent)
    }

    /// Whether datagrams wait for room.
    pub(crate) fn is_waiting(&self) -> bool {
        self.ports.iter().any(|port| !port.queue.is_empty())
    }

    /// Waits until a waiting datagram may be tried again; for ever if none waits.
    pub(crate) async fn writable(&self) {
        let rest = self.ports.iter().filter_map(|port| port.rest).min();
        let writable = poll_fn(|cx| {
            let mut ready = Poll::Pending;
            for port in self.ports.iter().filter(|port| port.is_blocked()) {
                if port.socket.poll_send_ready(cx).is_ready() {
                    ready = Poll::Ready(());
                }
            }
            ready
        });
        match rest {
            Some(rest) => tokio::select! {
                () = writable => {}
                () = sleep_until(rest) => {}
            },
            None => writable.await,
        }
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&mut self) {
        for port in &mut self.ports {
            port.flush(&mut self.unsent);
        }
        self.waiting_bytes = self.ports.iter().flat_map(|port| &port.queue).map(cost).sum();
    }

    /// Second descriptors of all sockets, for another process.
    pub(crate) fn share(&self) -> io::Result<Vec<(LinkId, Role, OwnedFd)>> {
        let share = |port: &Port| Ok((port.link, port.role, port.share()?));
        self.ports.iter().map(share).collect()
    }
}

/// The sockets of one loopback address, which hears neither broadcasts nor groups by itself.
fn on_loopback(addr: Ipv4Addr) -> Vec<(Role, Place<'static>)> {
    vec![
        (Role::V4, Place::Exact(addr)),
        (Role::Ear, Place::LoopbackEar),
        (Role::GroupEar, Place::GroupEar),
    ]
}

fn cost(waiting: &Waiting) -> usize {
    waiting.bytes.len() + WAITING_COST
}

#[cfg(test)]
mod tests {
    use super::super::lab::free_port;
    use super::super::links::Selection;
    use super::*;

    fn on_loopback(last: u8) -> (Sockets, SocketAddr) {
        let addr = Ipv4Addr::new(127, 78, 0, last);
        let selection = Selection::new(&[addr.into()], &[]).unwrap();
        let links = selection.read().unwrap();
        let port = free_port().unwrap();
        (Sockets::open(port, true, Some(addr), links).unwrap(), (addr, port).into())
    }

    fn datagram(to: SocketAddr, link: Option<LinkId>) -> Transmit {
        Transmit { link, to, bytes: b"hello".as_slice().into(), after: None }
    }

    #[tokio::test]
    async fn datagrams_reach_us_by_address_and_by_broadcast() {
        let (mut sockets, own) = on_loopback(1);
        let link = sockets.links()[0].clone();
        assert_eq!(link.v4[0].addr, own.ip());
        sockets.send(datagram(own, None));
        let all = (link.v4[0].broadcast.unwrap(), own.port()).into();
        sockets.send(datagram(all, Some(link.id)));
        let mut buffer = [0; 64];
        for _ in 0..2 {
            let heard = loop {
                sockets.readable().await;
                if let Some(heard) = sockets.receive(&mut buffer) {
                    break heard;
                }
            };
            assert_eq!(heard, (link.id, own, 5));
        }
        assert_eq!(sockets.receive(&mut buffer), None);
        assert!(sockets.bounced().is_empty() && !sockets.is_waiting());
    }

    #[tokio::test]
    async fn what_cannot_leave_comes_back_whole() {
        let (mut sockets, own) = on_loopback(2);
        let link = Some(sockets.links()[0].id);
        // A socket of the loopback cannot reach another network.
        let far: SocketAddr = ([192, 0, 2, 1], own.port()).into();
        sockets.send(datagram(far, link));
        sockets.send(datagram(own, Some(LinkId(u32::MAX))));
        let unsent: Vec<_> = sockets.unsent().into_iter().map(|un| (un.to, un.bytes)).collect();
        let hello: Arc<[u8]> = b"hello".as_slice().into();
        assert_eq!(unsent, [(far, Arc::clone(&hello)), (own, hello)]);
        assert!(sockets.unsent().is_empty() && sockets.bounced().is_empty());
    }

    #[tokio::test]
    async fn a_link_that_went_takes_its_sockets_along() {
        let (mut sockets, own) = on_loopback(3);
        let links = listed(&sockets, true);
        assert!(sockets.refresh(Vec::new()).is_empty());
        assert!(sockets.is_empty() && sockets.ports.is_empty() && sockets.links().is_empty());
        assert!(sockets.refresh(links).is_empty());
        assert_eq!(sockets.ports.len(), 3);
        assert_eq!(sockets.ports[0].socket.local_addr().unwrap(), own);
    }

    #[tokio::test]
    async fn a_link_that_is_only_down_keeps_its_sockets_and_is_not_used() {
        let (mut sockets, own) = on_loopback(5);
        sockets.send(datagram(own, None));
        let (up, down) = (listed(&sockets, true), listed(&sockets, false));
        let link = up[0].link.clone();
        assert!(sockets.refresh(down).is_empty());
        assert!(sockets.links().is_empty() && !sockets.is_empty());
        for through in [Some(link.id), None] {
            sockets.send(datagram(own, through));
        }
        assert!(sockets.refresh(up).is_empty());
        assert_eq!(sockets.links(), std::slice::from_ref(&link));
        let mut buffer = [0; 64];
        sockets.readable().await;
        assert_eq!(sockets.receive(&mut buffer), Some((link.id, own, 5)), "sent before");
        assert_eq!(sockets.receive(&mut buffer), None, "and nothing meanwhile");
    }

    fn listed(sockets: &Sockets, up: bool) -> Vec<Listed> {
        sockets.links().iter().map(|link| Listed { link: link.clone(), up }).collect()
    }

    #[tokio::test]
    async fn handed_sockets_keep_what_they_have_not_read() {
        let (mut first, own) = on_loopback(4);
        first.send(datagram(own, None));
        let (links, shared) = (listed(&first, true), first.share().unwrap());
        drop(first);
        let exact = Some(Ipv4Addr::new(127, 78, 0, 4));
        let mut second = Sockets::adopt(own.port(), true, exact, links, shared).unwrap();
        second.readable().await;
        let mut buffer = [0; 64];
        assert_eq!(second.receive(&mut buffer).map(|heard| heard.1), Some(own));
    }
}

//! Scripted peers on loopback sockets, for demonstrations and tests: they send the bytes they are
//! told to, and say what they heard. They know nothing of packets.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[cfg(target_os = "linux")]
use socket2::SockAddr;
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::links::LOOPBACK_BROADCAST;
use super::udp::Place;

/// One peer: an address of the loopback network, and an ear for its broadcasts.
#[derive(Debug)]
pub struct Peer {
    addr: SocketAddr,
    socket: UdpSocket,
    ear: UdpSocket,
    /// Heard, but not yet expected.
    aside: VecDeque<Heard>,
    buffer: Box<[u8]>,
}

/// A datagram a peer heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// From whom.
    pub from: SocketAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it was for everybody.
    pub broadcast: bool,
}

/// What a peer expected did not come.
#[derive(Debug, thiserror::Error)]
#[error(
    "{addr} heard nothing like what it expected within {within:?}, but {heard} other datagrams"
)]
pub struct Missing {
    /// The peer.
    pub addr: SocketAddr,
    /// How long it waited.
    pub within: Duration,
    /// What else it heard meanwhile and before.
    pub heard: usize,
}

/// Datagrams a peer keeps for later; the oldest are forgotten first.
const ASIDE_MAX: usize = 4_096;

impl Peer {
    /// A peer at this address, which must be one of 127.0.0.0/8. A socket bound to such an address
    /// hears no broadcast, hence a second one on 127.255.255.255 that all peers share.
    pub fn new(addr: Ipv4Addr, port: u16) -> io::Result<Self> {
        let open = |place: Place<'_>| place.open(port).map_err(io::Error::other);
        Ok(Self {
            addr: (addr, port).into(),
            socket: open(Place::Exact(addr))?,
            ear: open(Place::LoopbackEar)?,
            aside: VecDeque::new(),
            buffer: vec![0; 65_536].into(),
        })
    }

    /// Its address and port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends to one address.
    pub async fn send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.send_to(bytes, to).await.map(drop)
    }

    /// Sends to everybody on the loopback who has the same port.
    pub async fn broadcast(&self, bytes: &[u8]) -> io::Result<()> {
        self.send(bytes, (LOOPBACK_BROADCAST, self.addr.port()).into()).await
    }

    /// The next datagram from somebody else, whatever it is.
    pub async fn next(&mut self) -> io::Result<Heard> {
        match self.aside.pop_front() {
            Some(heard) => Ok(heard),
            None => self.hear().await,
        }
    }

    /// The first datagram, among those heard already and those that come in time, that is `wanted`.
    /// All others stay for later.
    pub async fn expect(
        &mut self,
        within: Duration,
        mut wanted: impl FnMut(&Heard) -> bool,
    ) -> Result<Heard, Missing> {
        if let Some(heard) =
            self.aside.iter().position(&mut wanted).and_then(|at| self.aside.remove(at))
        {
            return Ok(heard);
        }
        let deadline = Instant::now() + within;
        while let Ok(Ok(heard)) = timeout_at(deadline, self.hear()).await {
            if wanted(&heard) {
                return Ok(heard);
            }
            if self.aside.len() == ASIDE_MAX {
                self.aside.pop_front();
            }
            self.aside.push_back(heard);
        }
        Err(Missing { addr: self.addr, within, heard: self.aside.len() })
    }

    async fn hear(&mut self) -> io::Result<Heard> {
        loop {
            let (ready, broadcast) = tokio::select! {
                ready = self.socket.readable() => (ready, false),
                ready = self.ear.readable() => (ready, true),
            };
            ready?;
            let socket = if broadcast { &self.ear } else { &self.socket };
            match socket.try_recv_from(&mut self.buffer) {
                Ok((_, from)) if from == self.addr => {}
                Ok((len, from)) => {
                    let bytes = self.buffer[..len].to_vec();
                    return Ok(Heard { from, bytes, broadcast });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A port, UDP and TCP, that nobody holds on any address: outside the range the system gives away
/// by itself, and never one that another call gave, in this process or in another one that runs.
pub fn free_port() -> io::Result<u16> {
    static BLOCK: Mutex<Option<Block>> = Mutex::new(None);
    let mut block = BLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let mut own = match block.take() {
            Some(own) => own,
            None => Block::take()?,
        };
        let port = own.ports.find(|&port| is_free(port));
        if let Some(port) = port {
            *block = Some(own);
            return Ok(port);
        }
        // Its ports are in use still.
        USED.lock().unwrap_or_else(PoisonError::into_inner).push(own);
    }
}

/// Blocks whose ports are all given away.
static USED: Mutex<Vec<Block>> = Mutex::new(Vec::new());

/// Ports that are this process's own: whether a port is free can only be asked by taking it, and it
/// must be let go for the one who is to have it. So processes agree on blocks of ports beforehand.
#[derive(Debug)]
struct Block {
    ports: Range<u16>,
    /// Its name is taken for as long as the process runs.
    _claim: Option<Socket>,
}

impl Block {
    const FIRST: u16 = 10_000;
    const PORTS: u16 = 100;
    const BLOCKS: u16 = 200;

    /// One that no process has.
    fn take() -> io::Result<Self> {
        // Processes that start together do not ask for the same ones.
        let start = std::process::id().wrapping_mul(7) % u32::from(Self::BLOCKS);
        let start = u16::try_from(start).unwrap_or(0);
        for step in 0..Self::BLOCKS {
            let block = (start + step) % Self::BLOCKS;
            let first = Self::FIRST + block * Self::PORTS;
            match claim(first) {
                Ok(claim) => {
                    return Ok(Self { ports: first..first + Self::PORTS, _claim: claim });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// Takes a name that only one process of this network can have, and that ends with it.
#[cfg(target_os = "linux")]
fn claim(first: u16) -> io::Result<Option<Socket>> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    socket.bind(&SockAddr::unix(format!("\0feige-ports-{first}"))?)?;
    Ok(Some(socket))
}

/// Elsewhere there are no such names: processes begin at different blocks, and hope.
#[cfg(not(target_os = "linux"))]
fn claim(_first: u16) -> io::Result<Option<Socket>> {
    Ok(None)
}

fn is_free(port: u16) -> bool {
    [Type::DGRAM, Type::STREAM].into_iter().all(|kind| {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Socket::new(Domain::IPV4, kind, None).and_then(|s| s.bind(&any.into())).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn peers_hear_each_other_and_broadcasts_but_not_themselves() {
        let port = free_port().unwrap();
        let mut peers =
            [1, 2].map(|last| Peer::new(Ipv4Addr::new(127, 79, 0, last), port).unwrap());
        let [first, second] = &mut peers;
        first.broadcast(b"all").await.unwrap();
        second.broadcast(b"all too").await.unwrap();
        second.send(b"you", first.addr()).await.unwrap();
        let within = Duration::from_secs(5);
        let heard = first.expect(within, |heard| !heard.broadcast).await.unwrap();
        assert_eq!((heard.from, &heard.bytes[..]), (second.addr(), &b"you"[..]));
        assert_eq!(first.next().await.unwrap().bytes, b"all too");
        let heard = second.expect(within, |heard| heard.broadcast).await.unwrap();
        assert_eq!((heard.from, &heard.bytes[..]), (first.addr(), &b"all"[..]));
        let missing = second.expect(Duration::ZERO, |_| true).await.unwrap_err();
        assert_eq!((missing.addr, missing.heard), (second.addr(), 0));
    }

    #[test]
    fn free_ports_differ() {
        assert_ne!(free_port().unwrap(), free_port().unwrap());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_block_of_ports_belongs_to_one_at_a_time() {
        let own = Block::take().unwrap();
        let first = own.ports.start;
        assert_eq!(claim(first).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_ne!(Block::take().unwrap().ports.start, first);
        drop(own);
        claim(first).unwrap();
    }
}

//! The TCP side of the port: who connects asks for an offered file.
//!
//! Nothing is offered yet, so every request ends the same way: the connection is closed without a
//! byte and without a hint (threats, rule 27). The caps hold all the same.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::udp::SocketError;
use crate::node::Link;

/// Connections served at once from one address, and in all (threats, caps).
const PER_ADDRESS: usize = 8;
const IN_ALL: usize = 64;
/// Longest request, bytes, and how long it may take to arrive whole (threats, caps).
const REQUEST_MAX: usize = 4_096;
const REQUEST_WAIT: Duration = Duration::from_secs(5);

/// Takes connections in, each on a task of its own.
#[derive(Debug)]
pub(crate) struct Acceptor {
    doors: Vec<(Arc<TcpListener>, JoinHandle<()>)>,
    owned: Owned,
}

/// The addresses connections may come in at; none: all of this host.
type Owned = Arc<Mutex<Option<Vec<IpAddr>>>>;

/// Binds the port: on the exact loopback address alone, or on every address (IPv6 as an extra that
/// may be missing). Unlike UDP with `SO_REUSEADDR`, which on TCP only lets connections that are over
/// not hold the port.
pub(crate) fn listen(
    port: u16,
    ipv6: bool,
    exact: Option<Ipv4Addr>,
) -> Result<Vec<TcpListener>, SocketError> {
    let addr = exact.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let mut listeners = vec![open((addr, port).into())?];
    if ipv6 && exact.is_none() {
        match open((Ipv6Addr::UNSPECIFIED, port).into()) {
            Ok(listener) => listeners.push(listener),
            Err(error) => tracing::info!("no IPv6 here: {error}"),
        }
    }
    Ok(listeners)
}

fn open(at: SocketAddr) -> Result<TcpListener, SocketError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&at.into())?;
        socket.listen(128)?;
        TcpListener::from_std(socket.into())
    };
    listen().map_err(|source| SocketError { operation: "listen on TCP", at, link: None, source })
}

/// Goes on with the listener of the process that had it before.
pub(crate) fn adopt(fd: OwnedFd) -> io::Result<TcpListener> {
    let socket = Socket::from(fd);
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

impl Acceptor {
    pub(crate) fn new(listeners: Vec<TcpListener>) -> Self {
        let (owned, counts) = (Owned::default(), Counts::default());
        let doors = listeners.into_iter().map(|listener| {
            let listener = Arc::new(listener);
            let task = tokio::spawn(accept(listener.clone(), owned.clone(), counts.clone()));
            (listener, task)
        });
        Self { doors: doors.collect(), owned }
    }

    /// Takes connections only at addresses of these links.
    pub(crate) fn restrict_to(&self, links: &[Link]) {
        let v4 = links.iter().flat_map(|link| &link.v4).map(|net| IpAddr::V4(net.addr));
        let v6 = links.iter().flat_map(|link| &link.v6).map(|addr| IpAddr::V6(*addr));
        let owned = v4.chain(v6).collect();
        *self.owned.lock().unwrap_or_else(PoisonError::into_inner) = Some(owned);
    }

    /// Second descriptors of the listeners, for another process.
    pub(crate) fn share(&self) -> io::Result<Vec<OwnedFd>> {
        self.doors.iter().map(|(door, _)| door.as_fd().try_clone_to_owned()).collect()
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        for (_, task) in &self.doors {
            task.abort();
        }
    }
}

async fn accept(listener: Arc<TcpListener>, owned: Owned, counts: Counts) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: accepting again at once would fail again.
                tracing::warn!("TCP: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if !is_welcome(&stream, &owned) {
            continue;
        }
        let Some(place) = counts.take(from.ip()) else {
            tracing::debug!(%from, "too many connections");
            continue;
        };
        tokio::spawn(async move {
            let request = timeout(REQUEST_WAIT, request(stream)).await;
            tracing::debug!(%from, in_time = request.is_ok(), "a request for a file, none is offered");
            drop(place);
        });
    }
}

fn is_welcome(stream: &TcpStream, owned: &Owned) -> bool {
    let Ok(local) = stream.local_addr() else { return false };
    let owned = owned.lock().unwrap_or_else(PoisonError::into_inner);
    owned.as_ref().is_none_or(|owned| owned.contains(&local.ip()))
}

/// A connection and the request that came on it. A request has no end mark: it is whole when it has
/// the fields of a packet and of its body, up to the last `:` that every client writes, or when its
/// sender stops sending. None if it is too long.
async fn request(mut stream: TcpStream) -> Option<(TcpStream, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(256);
    while bytes.len() < REQUEST_MAX {
        let left = REQUEST_MAX - bytes.len();
        let read = (&mut stream).take(left as u64).read_buf(&mut bytes).await.ok()?;
        if read == 0 || is_whole(&bytes) {
            return Some((stream, bytes));
        }
    }
    None
}

/// Five colons end the header, two more the number and the file id (wire reference, 8.1).
fn is_whole(bytes: &[u8]) -> bool {
    bytes.last().is_some_and(|last| matches!(last, b':' | 0))
        && memchr::memchr_iter(b':', bytes).count() >= 7
}

/// How many connections each address has.
#[derive(Clone, Debug, Default)]
struct Counts(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Counts {
    fn take(&self, addr: IpAddr) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = counts.values().sum();
        let here = counts.get(&addr).copied().unwrap_or(0);
        if all >= IN_ALL || here >= PER_ADDRESS {
            return None;
        }
        counts.insert(addr, here + 1);
        Some(Place { counts: self.clone(), addr })
    }
}

/// A place among the connections, given back when it is dropped.
#[derive(Debug)]
struct Place {
    counts: Counts,
    addr: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.addr) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.addr);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_for_each_address_and_in_all() {
        let counts = Counts::default();
        let addr = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut places: Vec<Place> =
            (0..PER_ADDRESS).map(|_| counts.take(addr(1)).unwrap()).collect();
        assert!(counts.take(addr(1)).is_none());
        for last in 2..=8 {
            places.extend((0..PER_ADDRESS).map(|_| counts.take(addr(last)).unwrap()));
        }
        assert_eq!(places.len(), IN_ALL);
        assert!(counts.take(addr(9)).is_none());
        places.pop();
        assert!(counts.take(addr(9)).is_some());
        places.clear();
        assert!(counts.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_request_is_whole_with_its_last_field() {
        assert!(is_whole(b"1:100:u:h:96:5d:0:0:"));
        assert!(is_whole(b"1:100:u:h:98:5d:0:"));
        assert!(is_whole(b"1:100:u:h:96:5d:0:0\0"));
        assert!(!is_whole(b"1:100:u:h:96:5d"));
        assert!(!is_whole(b""));
    }
}

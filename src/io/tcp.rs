//! The TCP side of the port: who connects asks for an offered file. Here connections are let in and
//! requests read, within the caps; what becomes of a request the node decides.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::places::{IN_ALL, Place, Places};
use super::udp::SocketError;
use crate::node::Link;
use crate::wire::request::{Arrived, REQUEST_MAX};

/// How long a request may take to arrive whole (threats, caps).
const REQUEST_WAIT: Duration = Duration::from_secs(5);
/// How long a request that may be whole is waited on for more. Only one that was cut inside its last
/// number takes longer.
const REST_WAIT: Duration = Duration::from_millis(200);

/// Takes connections in, each on a task of its own.
#[derive(Debug)]
pub(crate) struct Acceptor {
    doors: Vec<(Arc<TcpListener>, JoinHandle<()>)>,
    owned: Owned,
    callers: mpsc::Receiver<Caller>,
}

/// Somebody who asked for something.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) from: SocketAddr,
    /// The packet it sent.
    pub(crate) request: Vec<u8>,
    pub(crate) socket: Socket,
    /// Taken for as long as it is served.
    pub(crate) place: Place,
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
        let (owned, places) = (Owned::default(), Places::default());
        let (call, callers) = mpsc::channel(IN_ALL);
        let doors = listeners.into_iter().map(|listener| {
            let listener = Arc::new(listener);
            let accept = accept(listener.clone(), owned.clone(), places.clone(), call.clone());
            (listener, tokio::spawn(accept))
        });
        Self { doors: doors.collect(), owned, callers }
    }

    /// The next one who asked for something. May be dropped and called again at any time.
    pub(crate) async fn caller(&mut self) -> Caller {
        match self.callers.recv().await {
            Some(caller) => caller,
            None => std::future::pending().await,
        }
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

async fn accept(
    listener: Arc<TcpListener>,
    owned: Owned,
    places: Places,
    call: mpsc::Sender<Caller>,
) {
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
        let Some(place) = places.take(from.ip().to_canonical()) else {
            tracing::debug!(%from, "too many connections");
            continue;
        };
        let call = call.clone();
        tokio::spawn(async move {
            if let Some(caller) = hear(stream, from, place).await {
                let _ = call.send(caller).await;
            }
        });
    }
}

/// Reads what a connection asks for. None, and it is closed, if it never says, says too much, or
/// its place is needed.
async fn hear(mut stream: TcpStream, from: SocketAddr, place: Place) -> Option<Caller> {
    let request = tokio::select! {
        request = timeout(REQUEST_WAIT, request(&mut stream)) => request.ok().flatten(),
        () = place.lost() => None,
    };
    let Some(request) = request.filter(|_| place.keep()) else {
        tracing::debug!(%from, "a connection without a request");
        return None;
    };
    let socket = Socket::from(stream.into_std().ok()?);
    Some(Caller { from, request, socket, place })
}

fn is_welcome(stream: &TcpStream, owned: &Owned) -> bool {
    let Ok(local) = stream.local_addr() else { return false };
    let owned = owned.lock().unwrap_or_else(PoisonError::into_inner);
    owned.as_ref().is_none_or(|owned| owned.contains(&local.ip()))
}

/// The request that comes on a connection; none if what comes is none. It has no end mark that all
/// clients write, see [`Arrived`].
async fn request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(256);
    loop {
        let arrived = Arrived::of(&bytes);
        match arrived {
            Arrived::Whole => return Some(bytes),
            Arrived::Never => return None,
            Arrived::Part | Arrived::Perhaps => {}
        }
        let left = (REQUEST_MAX + 1).saturating_sub(bytes.len());
        let mut part = stream.take(left as u64);
        let read = part.read_buf(&mut bytes);
        let read = if arrived == Arrived::Perhaps {
            match timeout(REST_WAIT, read).await {
                Ok(read) => read,
                Err(_) => return Some(bytes),
            }
        } else {
            read.await
        };
        if read.ok()? == 0 {
            return (arrived == Arrived::Perhaps).then_some(bytes);
        }
    }
}

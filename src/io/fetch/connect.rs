//! The connection to a sender, and the request on it.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::trouble::Trouble;
use super::{Place, Stop};
use crate::node::{Fetch, IdBase, PORT};

/// A sender that answers.
pub(super) struct Answer {
    pub(super) socket: Socket,
    /// Bytes that came with the answer's beginning, in the buffer; 0 where it ended at once.
    pub(super) len: usize,
    /// The base in which it understood the id; none where both look the same.
    pub(super) ids: Option<IdBase>,
}

/// Asks for a file from `offset` on, until the sender answers. `may_be_empty`: no byte is an answer
/// too.
pub(super) fn ask(
    fetch: &Fetch,
    (place, stop): (&Place, &Stop),
    offset: u64,
    may_be_empty: bool,
    buffer: &mut [u8],
) -> Result<Answer, Trouble> {
    let limits = &place.limits;
    let bases = fetch.ask.bases();
    let several = bases.len() > 1;
    for (turn, base) in (0..).zip(bases) {
        let tries = if turn == 0 { limits.tries } else { 1 };
        for attempt in 0..tries {
            if turn > 0 || attempt > 0 {
                std::thread::sleep(limits.again_after);
            }
            let socket = connect(fetch.from, place, fetch.limit)?;
            stop.watch(&socket);
            if stop.is_wanted() {
                return Err(Trouble::Stopped);
            }
            let asked = (&socket).write_all(&fetch.ask.bytes(offset, base));
            let answered = asked.and_then(|()| receive(&socket, buffer));
            if stop.is_wanted() {
                return Err(Trouble::Stopped);
            }
            let len = match answered {
                Ok(len) => len,
                Err(error) if is_timeout(&error) => return Err(Trouble::Silence(limits.silence)),
                // FeiQ's way to close when it was asked too soon.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                Err(error) => return Err(Trouble::Broke(error)),
            };
            if len > 0 || may_be_empty {
                return Ok(Answer { socket, len, ids: several.then_some(base) });
            }
        }
    }
    Err(Trouble::Nothing)
}

/// Connects to the port the offer came from, else to the protocol's own (FeiQ dialect, 8).
fn connect(from: SocketAddr, place: &Place, limit: Option<u64>) -> Result<Socket, Trouble> {
    let mut failed = None;
    let standard = SocketAddr::new(from.ip(), PORT);
    let places = [Some(from), (standard != from).then_some(standard)];
    for at in places.into_iter().flatten() {
        match connect_to(at, place, limit) {
            Ok(socket) => return Ok(socket),
            // What the offer's own port says is what the user should hear.
            Err(source) => drop(failed.get_or_insert(Trouble::Connect { at, source })),
        }
    }
    Err(failed.unwrap_or(Trouble::Nothing))
}

/// Receive buffers of a transfer that is held back, bytes: below the first every packet would wait for
/// the one before, and the second is what a fast link needs.
const BUFFER_MIN: usize = 16 << 10;
const BUFFER_MAX: usize = 1 << 20;

fn connect_to(at: SocketAddr, place: &Place, limit: Option<u64>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if let (Some(source), IpAddr::V4(_)) = (place.source, at.ip()) {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    if let Some(limit) = limit {
        // What the system takes in beyond that would look to the sender as if it had been received.
        let bytes = usize::try_from(limit / 2).unwrap_or(usize::MAX);
        socket.set_recv_buffer_size(bytes.clamp(BUFFER_MIN, BUFFER_MAX))?;
    }
    socket.connect_timeout(&at.into(), place.limits.connect)?;
    socket.set_read_timeout(Some(place.limits.silence))?;
    socket.set_write_timeout(Some(place.limits.silence))?;
    Ok(socket)
}

/// Receives what there is, at least a byte; 0 at the end.
pub(super) fn receive(mut socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => return received,
        }
    }
}

/// Whether more has come than was asked for, or comes within this time.
pub(super) fn has_more(socket: &Socket, wait: std::time::Duration) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    socket.set_read_timeout(Some(wait)).is_ok()
        && matches!(socket.peek(&mut byte), Ok(more) if more > 0)
}

/// Whether nothing came in time.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

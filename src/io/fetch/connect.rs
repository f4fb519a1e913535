//! The connection to a sender, and the request on it.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::trouble::{Trouble, is_unreachable};
use super::{Limits, Place, Stop};
use crate::io::clock::Clock;
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
            let socket = persist(&place.limits, stop, |wait| {
                connect(fetch.from, (place, stop), fetch.limit, wait)
            })?;
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

/// Connects, and tries again for a while where there is no way to the sender: after a link came back
/// its hardware address has to be found first. `connect` is told how long it may take.
fn persist<S>(
    limits: &Limits,
    stop: &Stop,
    mut connect: impl FnMut(Duration) -> Result<S, Trouble>,
) -> Result<S, Trouble> {
    let clock = Clock::new();
    let begun = clock.now().tick;
    loop {
        let spent = clock.now().tick - begun;
        let failed = match connect(limits.connect.saturating_sub(spent).max(limits.again_after)) {
            _ if stop.is_wanted() => return Err(Trouble::Stopped),
            Ok(connected) => return Ok(connected),
            Err(failed) => failed,
        };
        let no_way =
            matches!(&failed, Trouble::Connect { source, .. } if is_unreachable(source.kind()));
        if !no_way || clock.now().tick - begun >= limits.no_way {
            return Err(failed);
        }
        tracing::info!("tried again in {} ms: {failed}", limits.no_way_again.as_millis());
        std::thread::sleep(limits.no_way_again);
    }
}

/// Connects to the port the offer came from, else to the protocol's own (FeiQ dialect, 8).
fn connect(
    from: SocketAddr,
    (place, stop): (&Place, &Stop),
    limit: Option<u64>,
    wait: Duration,
) -> Result<Socket, Trouble> {
    let mut failed = None;
    let standard = SocketAddr::new(from.ip(), PORT);
    let places = [Some(from), (standard != from).then_some(standard)];
    for at in places.into_iter().flatten() {
        match connect_to(at, (place, stop), limit, wait) {
            Ok(socket) => return Ok(socket),
            Err(source) => {
                let no_way = is_unreachable(source.kind());
                // What the offer's own port says is what the user should hear.
                failed.get_or_insert(Trouble::Connect { at, source });
                if no_way || stop.is_wanted() {
                    break;
                }
            }
        }
    }
    Err(failed.unwrap_or(Trouble::Nothing))
}

/// Receive buffers of a transfer that is held back, bytes: below the first every packet would wait for
/// the one before, and the second is what a fast link needs.
const BUFFER_MIN: usize = 16 << 10;
const BUFFER_MAX: usize = 1 << 20;

fn connect_to(
    at: SocketAddr,
    (place, stop): (&Place, &Stop),
    limit: Option<u64>,
    wait: Duration,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if let (Some(source), IpAddr::V4(_)) = (place.source, at.ip()) {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    if let Some(limit) = limit {
        // What the system takes in beyond that would look to the sender as if it had been received.
        let bytes = usize::try_from(limit / 2).unwrap_or(usize::MAX);
        socket.set_recv_buffer_size(bytes.clamp(BUFFER_MIN, BUFFER_MAX))?;
    }
    // Also while it connects the transfer can be stopped.
    stop.watch(&socket)?;
    if stop.is_wanted() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    socket.connect_timeout(&at.into(), wait)?;
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
pub(super) fn has_more(socket: &Socket, wait: Duration) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    socket.set_read_timeout(Some(wait)).is_ok()
        && matches!(socket.peek(&mut byte), Ok(more) if more > 0)
}

/// Whether nothing came in time.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn quick() -> Limits {
        let (no_way, no_way_again) = (Duration::from_millis(50), Duration::from_millis(1));
        Limits { no_way, no_way_again, ..Limits::default() }
    }

    fn failed(kind: io::ErrorKind) -> Trouble {
        Trouble::Connect { at: (Ipv4Addr::LOCALHOST, 1).into(), source: kind.into() }
    }

    #[test]
    fn a_sender_that_is_found_late_is_connected_to() {
        let mut answers = vec![
            Ok("connected"),
            Err(failed(io::ErrorKind::NetworkUnreachable)),
            Err(failed(io::ErrorKind::HostUnreachable)),
        ];
        let limits = Limits { no_way: Duration::from_secs(60), ..quick() };
        let connected = persist(&limits, &Stop::default(), |wait| {
            assert!(wait <= limits.connect && wait > Duration::from_secs(1), "{wait:?}");
            answers.pop().expect("asked no more")
        });
        assert_eq!(connected.unwrap(), "connected");
    }

    #[test]
    fn a_sender_that_is_never_found_is_given_up_and_a_refusal_is_one_at_once() {
        let mut tries = 0;
        let never = persist(&quick(), &Stop::default(), |_| {
            tries += 1;
            Err::<(), _>(failed(io::ErrorKind::HostUnreachable))
        });
        assert!(matches!(never, Err(Trouble::Connect { .. })) && tries > 1, "{tries}");
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut] {
            let mut answer = Some(Err::<(), _>(failed(kind)));
            persist(&quick(), &Stop::default(), |_| answer.take().expect("once")).unwrap_err();
        }
    }

    #[test]
    fn who_does_not_want_it_any_more_does_not_wait_for_a_way() {
        let (stop, limits) =
            (Stop::default(), Limits { no_way: Duration::from_secs(3600), ..quick() });
        let mut tries = 0;
        let stopped = persist(&limits, &stop, |_| {
            tries += 1;
            stop.stop();
            Err::<(), _>(failed(io::ErrorKind::NetworkDown))
        });
        assert!(matches!(stopped, Err(Trouble::Stopped)) && tries == 1, "{stopped:?} {tries}");
    }
}

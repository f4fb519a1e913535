//! Moves bytes from a connection to a file: past the program where the system can, else through
//! one buffer; and keeps the time.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use sha2::{Digest, Sha256};
use socket2::Socket;

use super::connect::{is_timeout, receive};
use super::trouble::Trouble;
use super::{Limits, Stop};
use crate::io::clock::Clock;
use crate::node::{FetchNews, Tick};
use crate::store::download::{DownloadError, Folder, write_all};

/// Bytes received at a time.
pub(super) const BUFFER_BYTES: usize = 512 << 10;

/// Size of the pipe through which they go past the program: what the system grants everybody.
const PIPE_BYTES: usize = 1 << 20;

/// Between two looks at the clock's other hands: progress told, room on the disk, the drip rule.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// What a transfer has moved, by the clock.
pub(super) struct Meter<'a> {
    clock: Clock,
    limits: Limits,
    limit: Option<u64>,
    stop: &'a Stop,
    tell: &'a dyn Fn(FetchNews),
    begun: Tick,
    told: Tick,
    /// The beginning of the time in which something must come, and what had come then.
    drip: (Tick, u64),
    /// Bytes that moved.
    pub(super) moved: u64,
    /// What fills the buffer is a folder's stream: contents count when they are found in it.
    pub(super) mixed: bool,
    /// Bytes that moved and are no contents, or not known to be any.
    headers: u64,
    /// Bytes that were there before.
    pub(super) resumed: u64,
    /// Files complete.
    pub(super) done: u64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(
        limits: Limits,
        limit: Option<u64>,
        stop: &'a Stop,
        tell: &'a dyn Fn(FetchNews),
    ) -> Self {
        let clock = Clock::new();
        let begun = clock.now().tick;
        let (told, drip) = (begun, (begun, 0));
        let (moved, mixed, headers, resumed, done) = (0, false, 0, 0, 0);
        Self {
            clock,
            limits,
            limit,
            stop,
            tell,
            begun,
            told,
            drip,
            moved,
            mixed,
            headers,
            resumed,
            done,
        }
    }

    /// The connection stands: time counts from here.
    pub(super) fn begin(&mut self) {
        self.begun = self.clock.now().tick;
        (self.told, self.drip) = (self.begun, (self.begun, self.moved));
    }

    /// Bytes of contents that moved.
    pub(super) fn contents(&self) -> u64 {
        self.moved - self.headers
    }

    /// So many bytes of contents were found in what filled the buffer.
    pub(super) fn found(&mut self, contents: u64) {
        self.headers -= contents;
    }

    /// So many bytes came into the buffer.
    pub(super) fn filled(&mut self, bytes: u64, folder: &Folder) -> Result<(), Trouble> {
        if self.mixed {
            self.headers += bytes;
        }
        self.count(bytes, folder)
    }

    pub(super) fn took(&self) -> Duration {
        self.clock.now().tick - self.begun
    }

    /// So many bytes came in one go. Told a few times a second; ends what must end.
    pub(super) fn count(&mut self, bytes: u64, folder: &Folder) -> Result<(), Trouble> {
        self.moved += bytes;
        if let Some(limit) = self.limit {
            self.wait_for(limit.max(1));
        }
        let now = self.clock.now().tick;
        if now - self.told < TELL_EVERY {
            return Ok(());
        }
        self.told = now;
        if self.stop.is_wanted() {
            return Err(Trouble::Stopped);
        }
        if folder.room()? == 0 {
            return Err(Trouble::Full);
        }
        let (since, before) = self.drip;
        if now - since >= self.limits.drip {
            if self.moved - before < self.limits.drip_bytes && self.limit.is_none() {
                let (bytes, span) = (self.limits.drip_bytes, self.limits.drip);
                return Err(Trouble::Drip { bytes, span });
            }
            self.drip = (now, self.moved);
        }
        let (resumed, done) = (self.resumed, self.done);
        let (bytes, took) = (self.contents() + resumed, now - self.begun);
        (self.tell)(FetchNews::Moved { bytes, resumed, done, took });
        Ok(())
    }

    /// Sleeps until so many bytes a second are not exceeded, woken often enough to be stopped.
    fn wait_for(&mut self, limit: u64) {
        let micros = u128::from(self.moved) * 1_000_000 / u128::from(limit);
        let due = self.begun + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        loop {
            let left = due - self.clock.now().tick;
            if left.is_zero() || self.stop.is_wanted() {
                return;
            }
            std::thread::sleep(left.min(TELL_EVERY));
        }
    }

    /// Receives a piece into the front of `room`; 0 at the end of the stream.
    pub(super) fn receive(&self, socket: &Socket, room: &mut [u8]) -> Result<usize, Trouble> {
        ended(receive(socket, self.gulp(room)), self)
    }

    /// What of this room to fill at a time: with a limit, little enough for an even flow.
    pub(super) fn gulp<'r>(&self, room: &'r mut [u8]) -> &'r mut [u8] {
        let most = self.most(room.len());
        room.get_mut(..most).unwrap_or_default()
    }

    /// Most bytes to take at a time where there is room for so many.
    fn most(&self, room: usize) -> usize {
        let even = self.limit.and_then(|limit| usize::try_from(limit / 8).ok());
        even.map_or(room, |even| even.clamp(1, room))
    }
}

/// Moves bytes.
pub(super) struct Pump {
    pub(super) buffer: Box<[u8]>,
    pipe: Option<(OwnedFd, OwnedFd)>,
}

impl Pump {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES].into(), pipe: pipe() }
    }

    /// Receives behind the `len` bytes that the buffer holds until it holds `wanted`, or more; fewer
    /// only where the stream ended. How many it holds then.
    pub(super) fn fill(
        &mut self,
        socket: &Socket,
        mut len: usize,
        wanted: usize,
        meter: &mut Meter<'_>,
        folder: &Folder,
    ) -> Result<usize, Trouble> {
        while len < wanted {
            let more = meter.receive(socket, self.buffer.get_mut(len..).unwrap_or_default())?;
            if more == 0 {
                break;
            }
            meter.filled(more as u64, folder)?;
            len += more;
        }
        Ok(len)
    }

    /// Moves at most `count` bytes into a file, and says how many: less only where the stream ended.
    /// With a hash they pass through memory.
    pub(super) fn pass(
        &mut self,
        socket: &Socket,
        file: BorrowedFd<'_>,
        count: u64,
        meter: &mut Meter<'_>,
        folder: &Folder,
        mut hash: Option<&mut Sha256>,
    ) -> Result<u64, Trouble> {
        let mut left = count;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let moved = if self.pipe.is_some() && hash.is_none() {
                let most = most.min(meter.most(PIPE_BYTES));
                self.splice(socket, file, most, meter, folder)?
            } else {
                let into = self.buffer.get_mut(..most.min(BUFFER_BYTES)).unwrap_or_default();
                let len = meter.receive(socket, into)?;
                let bytes = self.buffer.get(..len).unwrap_or_default();
                if let Some(hash) = hash.as_deref_mut() {
                    hash.update(bytes);
                }
                write_all(file, bytes).map_err(|error| unwritten(error, folder))?;
                len
            };
            if moved == 0 {
                break;
            }
            left -= moved as u64;
            meter.count(moved as u64, folder)?;
        }
        Ok(count - left)
    }

    /// One gulp past the program.
    fn splice(
        &mut self,
        socket: &Socket,
        file: BorrowedFd<'_>,
        most: usize,
        meter: &Meter<'_>,
        folder: &Folder,
    ) -> Result<usize, Trouble> {
        let Some((out, into)) = &self.pipe else { return Ok(0) };
        let taken = loop {
            match splice(socket, into, most) {
                Err(Errno::INTR) => {}
                taken => break taken,
            }
        };
        let taken = ended(taken.map_err(io::Error::from), meter)?;
        let mut left = taken;
        while left > 0 {
            match splice(out, file, left) {
                Ok(0) => return Err(unwritten(io::ErrorKind::WriteZero.into(), folder)),
                Ok(moved) => left -= moved,
                Err(Errno::INTR) => {}
                // This file system does not take pages: what is in the pipe passes through memory,
                // and so does the rest.
                Err(Errno::INVAL) => {
                    while left > 0 {
                        let rest = self.buffer.get_mut(..left.min(BUFFER_BYTES));
                        let read = rustix::io::read(out, rest.unwrap_or_default());
                        let read = read.map_err(|error| unwritten(error.into(), folder))?;
                        let bytes = self.buffer.get(..read).unwrap_or_default();
                        write_all(file, bytes).map_err(|error| unwritten(error, folder))?;
                        left -= read;
                    }
                    self.pipe = None;
                    return Ok(taken);
                }
                Err(error) => return Err(unwritten(error.into(), folder)),
            }
        }
        Ok(taken)
    }
}

/// What a receive means: a number of bytes, or the end of the transfer.
fn ended(received: io::Result<usize>, meter: &Meter<'_>) -> Result<usize, Trouble> {
    match received {
        _ if meter.stop.is_wanted() => Err(Trouble::Stopped),
        Ok(len) => Ok(len),
        Err(error) if is_timeout(&error) => Err(Trouble::Silence(meter.limits.silence)),
        Err(error) => Err(Trouble::Broke(error)),
    }
}

fn unwritten(source: io::Error, folder: &Folder) -> Trouble {
    let path = folder.path().to_owned();
    Trouble::Folder(DownloadError::File { action: "write to a file in", path, source })
}

/// A pipe that pages pass through; none where the system has none, or is short of descriptors.
#[cfg(target_os = "linux")]
fn pipe() -> Option<(OwnedFd, OwnedFd)> {
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).ok()?;
    // A smaller one works too.
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe.1, PIPE_BYTES);
    Some(pipe)
}

#[cfg(target_os = "linux")]
fn splice(
    from: impl std::os::fd::AsFd,
    to: impl std::os::fd::AsFd,
    most: usize,
) -> rustix::io::Result<usize> {
    use rustix::pipe::SpliceFlags;
    rustix::pipe::splice(from, None, to, None, most, SpliceFlags::MOVE)
}

#[cfg(not(target_os = "linux"))]
fn pipe() -> Option<(OwnedFd, OwnedFd)> {
    None
}

#[cfg(not(target_os = "linux"))]
fn splice(
    _from: impl std::os::fd::AsFd,
    _to: impl std::os::fd::AsFd,
    _most: usize,
) -> rustix::io::Result<usize> {
    Err(Errno::NOSYS)
}

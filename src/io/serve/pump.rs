//! Moves bytes to the one who asked: from the file's pages straight into the socket where the
//! system can, at most so fast as was wished, and never for longer than the silence allowed.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::{SendFlags, send};
use sha2::{Digest as _, Sha256};
use socket2::Socket;

use super::pace::Pace;
use crate::io::clock::Clock;
use crate::node::Tick;

/// One transfer's way out.
pub(crate) struct Pump<'a> {
    socket: &'a Socket,
    /// Set when the transfer is to end.
    stopped: &'a AtomicBool,
    clock: Clock,
    pace: Option<Pace>,
    digest: Option<Sha256>,
    /// Bytes that left.
    sent: u64,
    /// Of these, or of what waits to leave: headers.
    overhead: u64,
    /// Files that are whole in what left, or waits to leave.
    pub(super) files: u64,
    reported: Tick,
    /// Told how many bytes of contents and how many files have moved, a few times a second.
    report: &'a mut dyn FnMut(u64, u64),
}

/// Why a transfer broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The receiver closed the connection too early, or it broke.
    #[error("the receiver closed the connection: {0}")]
    Receiver(io::Error),
    /// The receiver took nothing for [`SILENCE`].
    #[error("the receiver took nothing for {} s", SILENCE.as_secs())]
    Silent,
    /// Everything was sent, but the receiver did not close its side within [`SILENCE`].
    #[error("everything was sent, but the receiver never closed the connection")]
    Unclosed,
    /// The file cannot be read.
    #[error("cannot read {name}: {source}")]
    Read {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not the one that was offered any more, or was written to.
    #[error("{name} has changed since it was offered")]
    Changed {
        /// Its name.
        name: String,
    },
    /// We ended it.
    #[error("stopped")]
    Stopped,
}

/// How long a receiver may take nothing (threats, caps).
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// Bytes moved between two looks at the clock.
const CHUNK: u64 = 1 << 20;
/// Bytes of a piece that passes through memory.
const PIECE: usize = 128 * 1024;
/// How often a transfer says how far it is.
const REPORT: Duration = Duration::from_millis(250);
/// Longest sleep of a held back transfer: it must notice soon that it was stopped.
const NAP: Duration = Duration::from_millis(50);

impl<'a> Pump<'a> {
    /// For a blocking socket. `limit` is in bytes a second.
    pub(crate) fn new(
        socket: &'a Socket,
        stopped: &'a AtomicBool,
        clock: Clock,
        limit: Option<u64>,
        report: &'a mut dyn FnMut(u64, u64),
    ) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(SILENCE))?;
        socket.set_read_timeout(Some(SILENCE))?;
        let now = clock.now().tick;
        let pace = limit.map(|rate| Pace::new(rate, now));
        let (digest, sent, overhead, files) = (None, 0, 0, 0);
        let reported = now;
        Ok(Self { socket, stopped, clock, pace, digest, sent, overhead, files, reported, report })
    }

    /// Bytes of contents moved until now.
    pub(crate) fn moved(&self) -> u64 {
        self.sent.saturating_sub(self.overhead)
    }

    /// So many bytes are headers.
    pub(crate) fn discount(&mut self, headers: usize) {
        self.overhead += headers as u64;
    }

    /// From here on the contents of files are digested. `before`: these went in an earlier transfer.
    pub(crate) fn begin_digest(
        &mut self,
        file: BorrowedFd<'_>,
        before: u64,
        name: &str,
    ) -> Result<(), Broken> {
        let mut digest = Sha256::new();
        let mut at = 0;
        let mut piece = vec![0; PIECE];
        while at < before {
            self.check()?;
            let read = read_at(file, &mut piece, at, before, name)?;
            digest.update(&piece[..read]);
            at += read as u64;
        }
        self.digest = Some(digest);
        Ok(())
    }

    /// The digest, in hexadecimal as `sha256sum` prints it.
    pub(crate) fn take_digest(&mut self) -> Option<String> {
        Some(format!("{:x}", self.digest.take()?.finalize()))
    }

    /// Sends these bytes; `more` will follow at once.
    pub(crate) fn bytes(&mut self, mut bytes: &[u8], more: bool) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let granted = self.grant(bytes.len() as u64)?;
            let piece = bytes.get(..usize::try_from(granted).unwrap_or(usize::MAX));
            let mut flags = SendFlags::NOSIGNAL;
            #[cfg(target_os = "linux")]
            flags.set(SendFlags::MORE, more);
            #[cfg(not(target_os = "linux"))]
            let _ = more;
            let sent = send(self.socket, piece.unwrap_or(bytes), flags);
            let sent = self.count(sent)?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Sends a file's bytes from `from` to `to`. If it ends before, it is not the one that was
    /// offered any more.
    pub(crate) fn file(
        &mut self,
        file: BorrowedFd<'_>,
        from: u64,
        to: u64,
        name: &str,
    ) -> Result<(), Broken> {
        #[cfg(target_os = "linux")]
        if self.digest.is_none() {
            return self.splice(file, from, to, name);
        }
        self.copy(file, from, to, name)
    }

    /// Without a copy: the system moves the pages.
    #[cfg(target_os = "linux")]
    fn splice(
        &mut self,
        file: BorrowedFd<'_>,
        from: u64,
        to: u64,
        name: &str,
    ) -> Result<(), Broken> {
        use rustix::io::Errno;
        let mut at = from;
        while at < to {
            let granted = self.grant((to - at).min(CHUNK))?;
            let count = usize::try_from(granted).unwrap_or(usize::MAX);
            match rustix::fs::sendfile(self.socket, file, Some(&mut at), count) {
                Ok(0) => return Err(Broken::Changed { name: name.to_owned() }),
                // Some file systems cannot.
                Err(Errno::INVAL | Errno::NOSYS) => return self.copy(file, at, to, name),
                Err(Errno::IO) => {
                    return Err(Broken::Read { name: name.to_owned(), source: Errno::IO.into() });
                }
                sent => self.count(sent)?,
            };
        }
        Ok(())
    }

    fn copy(&mut self, file: BorrowedFd<'_>, from: u64, to: u64, name: &str) -> Result<(), Broken> {
        let mut piece = vec![0; PIECE];
        let mut at = from;
        while at < to {
            let read = read_at(file, &mut piece, at, to, name)?;
            let piece = &piece[..read];
            if let Some(digest) = &mut self.digest {
                digest.update(piece);
            }
            at += read as u64;
            self.bytes(piece, at < to)?;
        }
        Ok(())
    }

    /// Ends the stream and waits until the receiver has closed its side: it has everything then.
    pub(crate) fn finish(&mut self) -> Result<(), Broken> {
        // Some wait for this end, others close as soon as they have all bytes.
        match self.socket.shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                return Err(self.broken(error));
            }
            _ => {}
        }
        let start = self.clock.now().tick;
        let mut rest = [0; 256];
        loop {
            match rustix::io::read(self.socket, &mut rest) {
                Ok(0) => return self.wait_for_arrival(start),
                // Whatever it says, it is no part of the protocol.
                Ok(_) if self.clock.now().tick - start < SILENCE => self.check()?,
                Ok(_) | Err(rustix::io::Errno::AGAIN) => return Err(Broken::Unclosed),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.broken(error.into())),
            }
        }
    }

    /// The receiver has closed its side. That it has everything is known when the system has nothing
    /// left to send: on a link that broke, the end of the receiver's side may come before it notices
    /// that the rest never arrived.
    fn wait_for_arrival(&self, start: Tick) -> Result<(), Broken> {
        let mut nap = Duration::from_millis(1);
        // A connection has another end until both ends are closed and all has arrived, or it broke.
        while self.socket.peer_addr().is_ok() {
            self.check()?;
            if self.clock.now().tick - start >= SILENCE {
                return Err(Broken::Unclosed);
            }
            thread::sleep(nap);
            nap = (nap * 2).min(NAP);
        }
        match self.socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(self.broken(error)),
        }
    }

    /// Waits until some of `want` bytes may move.
    fn grant(&mut self, want: u64) -> Result<u64, Broken> {
        self.check()?;
        let Some(pace) = &mut self.pace else { return Ok(want) };
        loop {
            match pace.grant(want, self.clock.now().tick) {
                Ok(granted) => return Ok(granted),
                Err(time) => thread::sleep(time.min(NAP)),
            }
            if self.stopped.load(Ordering::Relaxed) {
                return Err(Broken::Stopped);
            }
        }
    }

    fn check(&self) -> Result<(), Broken> {
        if self.stopped.load(Ordering::Relaxed) { Err(Broken::Stopped) } else { Ok(()) }
    }

    /// Counts what a call moved.
    fn count(&mut self, sent: rustix::io::Result<usize>) -> Result<usize, Broken> {
        let sent = match sent {
            Ok(sent) => sent,
            Err(rustix::io::Errno::INTR) => 0,
            Err(rustix::io::Errno::AGAIN) => return Err(Broken::Silent),
            Err(error) => return Err(self.broken(error.into())),
        };
        self.sent += sent as u64;
        let now = self.clock.now().tick;
        if now - self.reported >= REPORT {
            self.reported = now;
            let (moved, files) = (self.moved(), self.files);
            (self.report)(moved, files);
        }
        Ok(sent)
    }

    fn broken(&self, error: io::Error) -> Broken {
        if self.stopped.load(Ordering::Relaxed) { Broken::Stopped } else { Broken::Receiver(error) }
    }
}

/// Reads up to `to`; never nothing.
fn read_at(
    file: BorrowedFd<'_>,
    piece: &mut [u8],
    at: u64,
    to: u64,
    name: &str,
) -> Result<usize, Broken> {
    let most = usize::try_from(to - at).unwrap_or(usize::MAX).min(piece.len());
    loop {
        match rustix::io::pread(file.as_fd(), &mut piece[..most], at) {
            Ok(0) => return Err(Broken::Changed { name: name.to_owned() }),
            Ok(read) => return Ok(read),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                return Err(Broken::Read { name: name.to_owned(), source: error.into() });
            }
        }
    }
}

//! Lines on a Unix socket, and descriptors between them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The reading end of a connection.
#[derive(Debug)]
pub(super) struct Lines {
    read: OwnedReadHalf,
    buffer: Vec<u8>,
    scanned: usize,
    longest: usize,
    /// Descriptors that came so far.
    fds: Vec<OwnedFd>,
    /// So many are kept; none are taken from a peer that has no business sending them.
    fds_max: usize,
}

/// Descriptors sent with one byte; the kernel takes 253.
const FDS_AT_ONCE: usize = 64;
/// Descriptors kept for one hand-over, or for the requests of a client.
pub(super) const HANDED_MAX: usize = 4_096;
const CHUNK: usize = 16 * 1024;

impl Lines {
    /// Reads lines of up to `longest` bytes, and keeps up to `fds_max` descriptors between them.
    pub(super) fn new(read: OwnedReadHalf, longest: usize, fds_max: usize) -> Self {
        Self { read, buffer: Vec::new(), scanned: 0, longest, fds: Vec::new(), fds_max }
    }

    /// The next line that is not empty, without its end; none at the end of the stream. May be
    /// dropped and called again at any time.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            while let Some(line) = self.take_line() {
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.buffer.len() > self.longest {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line too long"));
            }
            self.read.readable().await?;
            match self.read_some() {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let Some(end) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let mut line: Vec<u8> = self.buffer.drain(..=self.scanned + end).collect();
        line.pop();
        self.scanned = 0;
        Some(line)
    }

    fn read_some(&mut self) -> io::Result<usize> {
        let stream = self.read.as_ref();
        let (buffer, fds, fds_max) = (&mut self.buffer, &mut self.fds, self.fds_max);
        stream.try_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_AT_ONCE))];
            let mut control = match fds_max {
                0 => RecvAncillaryBuffer::default(),
                _ => RecvAncillaryBuffer::new(&mut space),
            };
            let mut chunk = [0; CHUNK];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let received =
                recvmsg(stream, &mut [IoSliceMut::new(&mut chunk)], &mut control, flags)?;
            buffer.extend_from_slice(&chunk[..received.bytes]);
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(came) = message {
                    fds.extend(came);
                    fds.truncate(fds_max);
                }
            }
            Ok(received.bytes)
        })
    }

    /// The descriptors that came before the last line.
    pub(super) fn take_fds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.fds)
    }

    /// The first so many of them: those behind may belong to the next line. None if fewer came.
    pub(super) fn take_first_fds(&mut self, count: usize) -> Option<Vec<OwnedFd>> {
        (count <= self.fds.len()).then(|| self.fds.drain(..count).collect())
    }
}

/// Sends descriptors, each lot with an empty line.
pub(super) async fn send_fds(write: &OwnedWriteHalf, fds: &[OwnedFd]) -> io::Result<()> {
    let stream = write.as_ref();
    for lot in fds.chunks(FDS_AT_ONCE) {
        let lot: Vec<BorrowedFd<'_>> = lot.iter().map(AsFd::as_fd).collect();
        stream
            .async_io(Interest::WRITABLE, || {
                let rights = SendAncillaryMessage::ScmRights(&lot);
                let mut space = vec![MaybeUninit::uninit(); rights.size()];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !control.push(rights) {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                let line = [IoSlice::new(b"\n")];
                sendmsg(stream, &line, &mut control, SendFlags::NOSIGNAL)?;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;

    fn pipe() -> OwnedFd {
        rustix::pipe::pipe().unwrap().0
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_were_cut() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(near.into_split().0, 100, 0);
        let (keep, mut write) = far.into_split();
        write.write_all(b"one\n\ntw").await.unwrap();
        assert_eq!(lines.next().await.unwrap().as_deref(), Some(&b"one"[..]));
        write.write_all(b"o\nrest").await.unwrap();
        assert_eq!(lines.next().await.unwrap().as_deref(), Some(&b"two"[..]));
        drop((keep, write));
        assert_eq!(lines.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_line_without_end_is_given_up() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(near.into_split().0, 100, 0);
        let (_read, mut write) = far.into_split();
        write.write_all(&[b'x'; 200]).await.unwrap();
        assert_eq!(lines.next().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn descriptors_come_with_the_line_that_follows_them() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(near.into_split().0, 100, HANDED_MAX);
        let (_read, mut write) = far.into_split();
        let fds: Vec<OwnedFd> = (0..FDS_AT_ONCE + 3).map(|_| pipe()).collect();
        send_fds(&write, &fds).await.unwrap();
        write.write_all(b"yours\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap().as_deref(), Some(&b"yours"[..]));
        assert_eq!(lines.take_fds().len(), fds.len());
    }

    #[tokio::test]
    async fn descriptors_nobody_asked_for_are_not_taken() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(near.into_split().0, 100, 0);
        let (_read, mut write) = far.into_split();
        send_fds(&write, &[pipe()]).await.unwrap();
        write.write_all(b"mine\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap().as_deref(), Some(&b"mine"[..]));
        assert!(lines.take_fds().is_empty());
    }
}

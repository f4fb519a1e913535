//! A file that is not complete yet.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::hidden::{Hidden, Kind, Origin, TURNS};
use super::{DownloadError, FILE_MODE, Folder, clean, place};

/// A file on its way, under a hidden name, locked against others who would write it too. Dropping
/// it leaves what has come for the next time, unless that is nothing.
#[derive(Debug)]
pub struct Part {
    folder: Arc<Folder>,
    name: String,
    key: String,
    origin: Option<Origin>,
    /// It bears the name of another offer's.
    another: bool,
    file: OwnedFd,
    /// It has its final name, or is gone.
    settled: bool,
}

impl Part {
    /// Opens the part `key` of a folder: what an earlier transfer left of it, rather one of the same
    /// offer, or a new one; a new one too while somebody else writes it. `key` is one of ours, 20
    /// hex digits.
    pub fn open(
        folder: Arc<Folder>,
        key: &str,
        origin: Option<Origin>,
    ) -> Result<Self, DownloadError> {
        let mut busy = None;
        for (another, _, name) in left(&folder, key, origin)? {
            let Some(file) = open(&folder, &name)? else { continue };
            if lock(&folder, &name, &file)? {
                let key = key.to_owned();
                return Ok(Self { folder, name, key, origin, another, file, settled: false });
            }
            // Another transfer of the same, perhaps its twin in the same offer.
            busy.get_or_insert(name);
        }
        for turn in 0..TURNS {
            let name = Hidden::part(key, origin, turn).to_string();
            let Some(file) = create(&folder, &name)? else { continue };
            if lock(&folder, &name, &file)? {
                let key = key.to_owned();
                return Ok(Self {
                    folder,
                    name,
                    key,
                    origin,
                    another: false,
                    file,
                    settled: false,
                });
            }
        }
        let at = |name: String| folder.path().join(name);
        Err(match busy {
            Some(name) => DownloadError::Busy { path: at(name) },
            None => DownloadError::NoName { path: at(Hidden::part(key, origin, 0).to_string()) },
        })
    }

    /// Another offer left what is there, or nobody knows which one: it may be of another file.
    pub fn is_anothers(&self) -> bool {
        self.another
    }

    /// What is there is of this offer's file, as far as can be told.
    pub fn adopt(&mut self) {
        if !self.another || self.origin.is_none() {
            return;
        }
        for turn in 0..TURNS {
            let name = Hidden::part(&self.key, self.origin, turn).to_string();
            match place::rename_new(self.folder.as_fd(), &self.name, &name, false) {
                Ok(()) => {
                    (self.name, self.another) = (name, false);
                    return;
                }
                Err(Errno::EXIST) => {}
                // It is looked at again the next time.
                Err(_) => return,
            }
        }
    }

    /// The open file, for reading and writing.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Its folder.
    pub fn folder(&self) -> &Arc<Folder> {
        &self.folder
    }

    /// Bytes that are there.
    pub fn len(&self) -> Result<u64, DownloadError> {
        let found = rustix::fs::fstat(&self.file).map_err(self.failed("look at"))?;
        Ok(u64::try_from(found.st_size).unwrap_or(0))
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> Result<bool, DownloadError> {
        Ok(self.len()? == 0)
    }

    /// Keeps the first `length` bytes and goes on behind them.
    pub fn cut(&self, length: u64) -> Result<(), DownloadError> {
        rustix::fs::ftruncate(&self.file, length).map_err(self.failed("shorten"))?;
        self.seek(length)
    }

    /// Goes on at this place.
    pub fn seek(&self, at: u64) -> Result<(), DownloadError> {
        let to = rustix::fs::SeekFrom::Start(at);
        rustix::fs::seek(&self.file, to).map(drop).map_err(self.failed("write"))
    }

    /// Writes where it goes on.
    pub fn write(&self, bytes: &[u8]) -> Result<(), DownloadError> {
        write_all(self.file.as_fd(), bytes).map_err(|source| DownloadError::File {
            action: "write",
            path: self.folder.path().join(&self.name),
            source,
        })
    }

    /// The bytes at a place, as many as there are.
    pub fn read_at(&self, at: u64, into: &mut [u8]) -> Result<usize, DownloadError> {
        let mut read = 0;
        while let Some(rest) = into.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pread(&self.file, rest, at + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.failed("read")(error)),
            }
        }
        Ok(read)
    }

    /// The file is complete: gives it its modification time, syncs it, and gives it the name, or
    /// the first numbered one that is free. The name is cleaned here.
    pub fn finish(
        mut self,
        name: &str,
        mtime: Option<u64>,
        read_only: bool,
    ) -> Result<PathBuf, DownloadError> {
        set_mtime(self.file.as_fd(), mtime);
        if read_only {
            rustix::fs::fchmod(&self.file, Mode::RUSR).map_err(self.failed("protect"))?;
        }
        rustix::fs::fsync(&self.file).map_err(self.failed("sync"))?;
        let name = self.folder.place(&self.name, &clean(name), false)?;
        self.settled = true;
        rustix::fs::fsync(&*self.folder).map_err(self.folder.failed("sync", ""))?;
        Ok(self.folder.path().join(name))
    }

    /// Gives up what has come.
    pub fn discard(mut self) {
        self.unlink();
    }

    fn unlink(&mut self) {
        self.settled = true;
        // If it fails the part stays and is swept later.
        let _ = rustix::fs::unlinkat(&*self.folder, &*self.name, AtFlags::empty());
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(Errno) -> DownloadError {
        self.folder.failed(action, &self.name)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.settled && matches!(self.is_empty(), Ok(true)) {
            self.unlink();
        }
    }
}

/// The parts of this key that are there, those of this offer first; whether they are another's, and
/// their turn.
fn left(
    folder: &Folder,
    key: &str,
    origin: Option<Origin>,
) -> Result<Vec<(bool, u32, String)>, DownloadError> {
    let names = place::names(folder.as_fd()).map_err(folder.failed("read", ""))?;
    let hidden = names.iter().filter_map(|name| Hidden::read(name.to_str().ok()?));
    let parts = hidden.filter(|hidden| hidden.kind == Kind::Part && hidden.key == key);
    let mut parts: Vec<_> = parts
        .map(|hidden| {
            let another = hidden.origin.is_none() || hidden.origin != origin;
            (another, hidden.turn, hidden.to_string())
        })
        .collect();
    parts.sort_unstable();
    Ok(parts)
}

const FLAGS: OFlags =
    OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Opens a part of an earlier transfer; none if it is gone, or its name belongs to something else (a
/// link, a file with two names, somebody else's), which is left alone.
fn open(folder: &Folder, name: &str) -> Result<Option<OwnedFd>, DownloadError> {
    match rustix::fs::openat(folder, name, FLAGS, Mode::empty()) {
        Ok(file) => {
            let ours = place::is_ours_alone(&file).map_err(folder.failed("look at", name))?;
            if ours {
                rustix::fs::fchmod(&file, FILE_MODE).map_err(folder.failed("protect", name))?;
            }
            Ok(ours.then_some(file))
        }
        Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::ACCESS) => Ok(None),
        Err(error) => Err(folder.failed("open", name)(error)),
    }
}

/// Makes a new file; none if the name is taken.
fn create(folder: &Folder, name: &str) -> Result<Option<OwnedFd>, DownloadError> {
    match rustix::fs::openat(folder, name, FLAGS | OFlags::CREATE | OFlags::EXCL, FILE_MODE) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::EXIST) => Ok(None),
        Err(error) => Err(folder.failed("create", name)(error)),
    }
}

/// Whether a part could be locked, and is one still: whoever had it may have finished it since it was
/// opened.
fn lock(folder: &Folder, name: &str, file: &OwnedFd) -> Result<bool, DownloadError> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => place::is_at(file, folder.as_fd(), name).map_err(folder.failed("look at", name)),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(folder.failed("lock", name)(error)),
    }
}

/// Sets a modification time, if there is one a file can have. A wish, not worth a file.
pub(super) fn set_mtime(file: BorrowedFd<'_>, mtime: Option<u64>) {
    let Some(seconds) = mtime.filter(|&at| at > 0).and_then(|at| i64::try_from(at).ok()) else {
        return;
    };
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let modified = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: omit, last_modification: modified };
    let _ = rustix::fs::futimens(file, &times);
}

/// Writes all of `bytes` at the file's place.
pub(crate) fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

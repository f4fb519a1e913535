//! The download folder: the only place where bytes of others become files (threats, D 21 to 25).
//!
//! A [`Folder`] is an open descriptor. Everything below it is opened, made and renamed relative to
//! a descriptor, one cleaned component at a time and without following links, so no name and no
//! link planted meanwhile leads out of it. What is not complete is a [`Part`] (a file) or a
//! [`Stage`] (a folder with all that is in it) under a hidden name of ours; it gets its final name
//! by one rename that replaces nothing, after it was synced. The hidden name of a part says which
//! offer it is of ([`Origin`]).

mod hidden;
mod name;
mod part;
mod place;
mod stage;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use hidden::Hidden;
pub use hidden::Origin;
pub use name::{NAME_MAX, clean, numbered};
pub use part::Part;
pub(crate) use part::write_all;
pub use stage::{Stage, StagedFile};

use crate::node::UnixMillis;

/// Nothing is received that would leave less than this on the disk, bytes (threats, rule 20).
pub const FREE_FLOOR: u64 = 256 << 20;

/// What is not complete is removed when nobody has touched it for so long.
const STALE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Modes of what we make: ours alone, never executable.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const FOLDER_MODE: Mode = Mode::RWXU;

/// How a folder is opened.
const FOLDER_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Something in the download folder could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The system refused it.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: "open", "create", "rename".
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is being received already, by this process or another one.
    #[error("it is being received already ({})", path.display())]
    Busy {
        /// The part.
        path: PathBuf,
    },
    /// Every name with a number up to 9,999 is taken.
    #[error("every name like {} is taken", path.display())]
    NoName {
        /// The name that was wanted.
        path: PathBuf,
    },
}

impl DownloadError {
    /// Whether the disk has no room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull
            || source.kind() == io::ErrorKind::QuotaExceeded)
    }
}

/// An open download folder.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a download folder; it and those above it are made if they are missing, for us alone.
    /// Its own path is the user's and may lead over links; nothing below it may.
    pub fn open(path: &Path) -> Result<Self, DownloadError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE.as_raw_mode())
            .create(path)
            .map_err(failed("create", path))?;
        Self::existing(path)
    }

    /// Opens a download folder that is there.
    pub fn existing(path: &Path) -> Result<Self, DownloadError> {
        let flags = FOLDER_FLAGS.difference(OFlags::NOFOLLOW);
        let fd = rustix::fs::open(path, flags, Mode::empty());
        let fd = fd.map_err(|error| failed("open", path)(error.into()))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Its path, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that may still be written before the disk is down to [`FREE_FLOOR`].
    pub fn room(&self) -> Result<u64, DownloadError> {
        let disk = rustix::fs::fstatvfs(&self.fd).map_err(self.failed("look at", ""))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(FREE_FLOOR))
    }

    /// Removes parts and stages of ours that nobody has touched for 30 days and nobody holds.
    /// Best effort: what cannot be removed stays.
    pub fn sweep(&self, now: UnixMillis) {
        let oldest = now.0 / 1000 - i64::try_from(STALE.as_secs()).unwrap_or(i64::MAX);
        for name in place::names(self.fd.as_fd()).unwrap_or_default() {
            let Some(hidden) = name.to_str().ok().and_then(Hidden::read) else { continue };
            let no_follow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            let Ok(found) = rustix::fs::statat(&self.fd, &*name, no_follow) else { continue };
            if found.st_mtime < oldest {
                tracing::info!(%hidden, "what nobody went on with is removed");
                let _ = place::remove(self.fd.as_fd(), &hidden);
            }
        }
    }

    /// Removes the parts of this key and offer that nobody writes. Best effort: what cannot be
    /// removed is swept later.
    pub fn remove_parts(&self, key: &str, origin: Origin) {
        for turn in 0..hidden::TURNS {
            let _ = place::remove(self.fd.as_fd(), &Hidden::part(key, Some(origin), turn));
        }
    }

    fn failed(&self, action: &'static str, name: &str) -> impl FnOnce(Errno) -> DownloadError {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        move |error| DownloadError::File { action, path, source: error.into() }
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    move |source| DownloadError::File { action, path: path.to_owned(), source }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

//! A folder that is not complete yet.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::hidden::{Hidden, TURNS};
use super::part::{set_mtime, write_all};
use super::place::{is_at, remove};
use super::{DownloadError, FILE_MODE, FOLDER_FLAGS, FOLDER_MODE, Folder, clean, numbered};

/// A folder on its way: a hidden folder beside its final name, ours alone, locked. Dropping it
/// removes it with all that is in it, unless it was finished.
#[derive(Debug)]
pub struct Stage {
    folder: Arc<Folder>,
    name: String,
    /// Open folders from the stage's root to where the stream stands; never empty.
    levels: Vec<Level>,
    settled: bool,
}

/// An open folder of a stage.
#[derive(Debug)]
struct Level {
    fd: OwnedFd,
    /// Where to go on with the numbers of names that met before: the stream of a sender who means
    /// harm has one name a hundred thousand times. By a digest, so that long names cost no more.
    next: HashMap<u64, u32>,
}

impl Level {
    fn new(fd: OwnedFd) -> Self {
        Self { fd, next: HashMap::new() }
    }

    /// Makes something new under this name, or the first numbered one that is free.
    fn make(
        &mut self,
        wanted: &str,
        folder: bool,
        new: impl Fn(BorrowedFd<'_>, &str) -> rustix::io::Result<OwnedFd>,
    ) -> rustix::io::Result<OwnedFd> {
        match new(self.fd.as_fd(), wanted) {
            Err(Errno::EXIST) => {}
            made => return made,
        }
        // Long names that differ at their ends alone share their numbered ones.
        let mut digest = DefaultHasher::new();
        numbered(wanted, NAMES_MAX - 1, folder).hash(&mut digest);
        let next = self.next.entry(digest.finish()).or_insert(1);
        while *next < NAMES_MAX {
            let name = numbered(wanted, *next, folder);
            *next += 1;
            match new(self.fd.as_fd(), &name) {
                Err(Errno::EXIST) => {}
                made => return made,
            }
        }
        Err(Errno::EXIST)
    }
}

/// A file of a [`Stage`], open to be written, also by another thread than the one that fills the
/// stage: names are made in the order of the stream, contents may come later.
#[derive(Debug)]
pub struct StagedFile(OwnedFd);

impl StagedFile {
    /// Writes behind what was written; what an error means [`Stage::unwritten`] says.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        write_all(self.as_fd(), bytes)
    }

    /// It is complete: closes it; this is its modification time.
    pub fn complete(self, mtime: Option<u64>) {
        set_mtime(self.as_fd(), mtime);
    }
}

/// For tests that need one on a full disk.
#[cfg(test)]
impl From<OwnedFd> for StagedFile {
    fn from(file: OwnedFd) -> Self {
        Self(file)
    }
}

impl AsFd for StagedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Most names tried for one entry.
const NAMES_MAX: u32 = 10_000;

impl Stage {
    /// Makes the stage `key` of a folder anew; what an earlier transfer left of it is removed, what
    /// somebody else fills is left alone. `key` is one of ours, 20 hex
    /// digits.
    pub fn begin(folder: Arc<Folder>, key: &str) -> Result<Self, DownloadError> {
        let mut busy = None;
        for turn in 0..TURNS {
            let hidden = Hidden::stage(key, turn);
            let name = hidden.to_string();
            if let Some(root) = fresh(&folder, &hidden)? {
                return Ok(Self { folder, name, levels: vec![Level::new(root)], settled: false });
            }
            // Another transfer of the same has it, perhaps its twin in the same offer.
            busy.get_or_insert_with(|| folder.path().join(name));
        }
        let path = busy.unwrap_or_else(|| folder.path().to_owned());
        Err(DownloadError::Busy { path })
    }

    /// The folder it will be put in.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Makes a folder and goes into it. The name is cleaned; a second one of the same name gets a
    /// number.
    pub fn enter(&mut self, name: &str) -> Result<(), DownloadError> {
        let made = self.make(name, true, |here, name| {
            rustix::fs::mkdirat(here, name, FOLDER_MODE)?;
            rustix::fs::openat(here, name, FOLDER_FLAGS, Mode::empty())
        })?;
        self.levels.push(Level::new(made));
        Ok(())
    }

    /// Goes up, out of a folder of which this is the modification time; the root is never left.
    pub fn leave(&mut self, mtime: Option<u64>) {
        if self.levels.len() > 1
            && let Some(left) = self.levels.pop()
        {
            set_mtime(left.fd.as_fd(), mtime);
        } else if let Some(root) = self.levels.first() {
            set_mtime(root.fd.as_fd(), mtime);
        }
    }

    /// Makes a file. The name is cleaned; a second one of the same name gets a number.
    pub fn create(&mut self, name: &str, read_only: bool) -> Result<StagedFile, DownloadError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = if read_only { Mode::RUSR } else { FILE_MODE };
        let open = |here: BorrowedFd<'_>, name: &str| rustix::fs::openat(here, name, flags, mode);
        Ok(StagedFile(self.make(name, false, open)?))
    }

    /// What it means that a file of this stage could not be written.
    pub fn unwritten(&self, source: io::Error) -> DownloadError {
        let path = self.folder.path().join(&self.name);
        DownloadError::File { action: "write below", path, source }
    }

    /// All is there: syncs it once, and gives it the name, or the first numbered one that is free.
    /// The name is cleaned here.
    pub fn finish(mut self, name: &str) -> Result<PathBuf, DownloadError> {
        self.levels.truncate(1);
        sync(self.folder.as_fd()).map_err(self.folder.failed("sync", &self.name))?;
        let name = self.folder.place(&self.name, &clean(name), true)?;
        self.settled = true;
        rustix::fs::fsync(&*self.folder).map_err(self.folder.failed("sync", ""))?;
        Ok(self.folder.path().join(name))
    }

    /// Makes something new where the stream stands.
    fn make(
        &mut self,
        name: &str,
        folder: bool,
        new: impl Fn(BorrowedFd<'_>, &str) -> rustix::io::Result<OwnedFd>,
    ) -> Result<OwnedFd, DownloadError> {
        let wanted = clean(name);
        let made =
            self.levels.last_mut().map_or(Err(Errno::BADF), |here| here.make(&wanted, folder, new));
        made.map_err(|error| match error {
            Errno::EXIST => DownloadError::NoName { path: self.folder.path().join(&*wanted) },
            error => self.folder.failed("create", &wanted)(error),
        })
    }
}

/// Makes a hidden folder anew and locks it; none if somebody else has it, or takes it just now.
fn fresh(folder: &Folder, hidden: &Hidden<'_>) -> Result<Option<OwnedFd>, DownloadError> {
    let name = &*hidden.to_string();
    match remove(folder.as_fd(), hidden) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::WOULDBLOCK | Errno::EXIST) => return Ok(None),
        Err(error) => return Err(folder.failed("remove", name)(error)),
    }
    match rustix::fs::mkdirat(folder, name, FOLDER_MODE) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(None),
        Err(error) => return Err(folder.failed("create", name)(error)),
    }
    let root = match rustix::fs::openat(folder, name, FOLDER_FLAGS, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(folder.failed("open", name)(error)),
    };
    match rustix::fs::flock(&root, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(folder.failed("lock", name)(error)),
    }
    let ours = is_at(&root, folder.as_fd(), name).map_err(folder.failed("look at", name))?;
    Ok(ours.then_some(root))
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Closed, so that the lock on it is free; what cannot be removed is swept later.
        self.levels.clear();
        if let Some(hidden) = Hidden::read(&self.name) {
            let _ = remove(self.folder.as_fd(), &hidden);
        }
    }
}

/// Puts everything of this file system on the disk.
fn sync(folder: BorrowedFd<'_>) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    return rustix::fs::syncfs(folder);
    #[cfg(not(target_os = "linux"))]
    {
        rustix::fs::sync();
        rustix::fs::fsync(folder)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often a name is tried for each of these files.
    fn tries(names: &[String]) -> Vec<u32> {
        let home = tempfile::tempdir().unwrap();
        let fd = rustix::fs::open(home.path(), FOLDER_FLAGS, Mode::empty());
        let mut level = Level::new(fd.unwrap());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let made = names.iter().map(|name| {
            let tried = Cell::new(0);
            let file = level.make(name, false, |here, name| {
                tried.set(tried.get() + 1);
                rustix::fs::openat(here, name, flags, FILE_MODE)
            });
            file.unwrap();
            tried.get()
        });
        let tried = made.collect();
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), names.len());
        tried
    }

    #[test]
    fn a_name_that_comes_again_and_again_costs_the_same_each_time() {
        let same = tries(&vec!["a.txt".to_owned(); 2_000]);
        assert!(same.iter().all(|&tried| tried <= 2), "{same:?}");
        // Cut to have room for a number they are the same.
        let long = |number: usize| format!("{}{number:03}", "x".repeat(252));
        let long: Vec<_> = (0..500).flat_map(|number| [long(number), long(number)]).collect();
        let long = tries(&long);
        assert!(long.iter().all(|&tried| tried <= 2), "{long:?}");
    }

    #[test]
    fn numbers_that_are_taken_are_passed_over() {
        let names = ["a", "a (1)", "a (2)", "a", "a", "a (1)"].map(str::to_owned);
        assert_eq!(tries(&names), [1, 1, 1, 4, 2, 2]);
    }
}

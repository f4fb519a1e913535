//! Private folders and files, atomic writing, the lock.
//!
//! Folders are 0700 and files 0600 whatever the umask (threats, rule 35): the umask can only take
//! bits away, so the mode is given when a file is made and set once more afterwards.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::{LOCK, Paths, StoreError, folder_of};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes a folder of ours, and those above it that are missing, readable by us alone; one that is
/// there already is made so.
///
/// # Errors
///
/// [`StoreError::File`], or [`StoreError::Foreign`] if it belongs to another user.
pub fn create_private_folder(path: &Path) -> Result<(), StoreError> {
    let failed = || StoreError::file("create", path);
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty())
        && !above.exists()
    {
        create_private_folder(above)?;
    }
    match fs::DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed()(error)),
    }
    let found = fs::metadata(path).map_err(failed())?;
    if !found.is_dir() {
        return Err(failed()(io::ErrorKind::NotADirectory.into()));
    }
    let me = rustix::process::geteuid();
    if found.uid() != me.as_raw() && !me.is_root() {
        return Err(StoreError::Foreign { path: path.to_owned(), owner: found.uid() });
    }
    set_mode(path, &found, FOLDER_MODE)
}

/// Sets the mode of one of our files to 0600, if it is there. By its path: closing a second
/// descriptor of an `SQLite` file would drop the locks that this process holds on it.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => set_mode(path, &found, FILE_MODE),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::file("open", path)(error)),
    }
}

fn set_mode(path: &Path, found: &fs::Metadata, mode: u32) -> Result<(), StoreError> {
    if found.mode() & 0o7777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(StoreError::file("change the mode of", path))
}

/// Whether this is a folder and belongs to us.
pub(super) fn is_own(folder: &Path) -> bool {
    fs::metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw())
}

/// Whether this is a folder, belongs to us, and lets nobody else in.
pub(super) fn is_own_alone(folder: &Path) -> bool {
    is_own(folder) && fs::metadata(folder).is_ok_and(|found| found.mode() & 0o777 == FOLDER_MODE)
}

/// A new file without contents beside those of a folder, which is removed with the value. Its passing
/// name stands in no error.
pub fn passing_file(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".feige-").tempfile_in(folder).map_err(|error| {
        let (kind, words) = (error.kind(), error.to_string());
        words.split_once(" at path ").map_or(error, |(why, _)| io::Error::new(kind, why))
    })
}

/// Replaces a private file as a whole: whoever reads it, also after a power failure, finds either
/// the old bytes or the new ones. A symbolic link stays one, the file it names is replaced.
///
/// # Errors
///
/// [`StoreError::File`]; the old file is then as it was.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    create_private_folder(folder_of(path))?;
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&target);
    let write = || -> io::Result<()> {
        let mut file = passing_file(folder)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&target)?;
        sync_folder(folder)
    };
    write().map_err(StoreError::file("write", path))
}

/// Makes a rename or a new file in this folder last.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    Ok(rustix::fs::fsync(folder)?)
}

/// The right to run the node of a profile: one process at a time has it, and it ends with the
/// process however that ends.
///
/// It is a lock in every place where the node may be found ([`Paths::places`]), so that nobody becomes
/// a second owner who has another runtime folder.
#[derive(Debug)]
#[must_use = "the lock is held for as long as this value lives"]
pub struct Lock {
    files: Vec<OwnedFd>,
    passed_on: bool,
}

impl Lock {
    /// Takes the lock of a profile (`lock` in its runtime folder, which is made if need be) without
    /// waiting, and writes down who has it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Held`] if another process has it; else [`StoreError::File`] and
    /// [`StoreError::Foreign`].
    pub fn take(paths: &Paths) -> Result<Self, StoreError> {
        // The common place first: of two who start at once one fails there.
        let common = match paths.common_dir.as_deref().map(lock_in) {
            Some(Err(error @ StoreError::Held { .. })) => return Err(error),
            // Where no lock can be made, nobody else can make one either.
            None | Some(Err(_)) => None,
            Some(Ok(file)) => Some(file),
        };
        let mut lock = Self { files: Vec::from_iter(common), passed_on: false };
        lock.files.push(lock_in(&paths.runtime_dir)?);
        Ok(lock)
    }

    /// No lock, for a node that keeps nothing.
    pub const fn none() -> Self {
        Self { files: Vec::new(), passed_on: false }
    }

    /// Second descriptors of the lock, for the process that is to have it next.
    pub fn share(&self) -> io::Result<Vec<OwnedFd>> {
        self.files.iter().map(OwnedFd::try_clone).collect()
    }

    /// Lets go of a lock whose second descriptors another process has: it is never free in between.
    pub fn leave(mut self) {
        self.passed_on = true;
    }

    /// The lock as another process passed it on; writes down that we have it now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Held`] if somebody else has the lock after all; [`StoreError::File`] if this
    /// is no lock.
    pub fn adopt(passed: Vec<OwnedFd>, paths: &Paths) -> Result<Self, StoreError> {
        for file in &passed {
            let path = paths.lock();
            match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => {
                    return Err(StoreError::Held { holder: holder(file), path });
                }
                taken => taken.and_then(|()| sign(file)),
            }
            .map_err(|error| StoreError::file("lock", &path)(error.into()))?;
        }
        Ok(Self { files: passed, passed_on: false })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.passed_on {
            return;
        }
        // Closing alone would not do: a child that is just being started has the descriptors too,
        // until it becomes another program.
        for file in &self.files {
            let _ = rustix::fs::flock(file, FlockOperation::Unlock);
        }
    }
}

/// Locks the file in this folder, and signs it.
fn lock_in(folder: &Path) -> Result<OwnedFd, StoreError> {
    create_private_folder(folder)?;
    let path = folder.join(LOCK);
    let failed = |error: Errno| StoreError::file("lock", &path)(error.into());
    loop {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file =
            rustix::fs::open(&path, flags, Mode::from_raw_mode(FILE_MODE)).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(StoreError::Held { holder: holder(&file), path });
            }
            Err(error) => return Err(failed(error)),
        }
        // Whoever cleans the runtime folder may have removed the file between the two calls; a
        // lock on a file that is no longer there keeps nobody out.
        let locked = rustix::fs::fstat(&file).map_err(failed)?;
        match rustix::fs::stat(&path) {
            Ok(there) if (there.st_dev, there.st_ino) == (locked.st_dev, locked.st_ino) => {}
            Ok(_) | Err(Errno::NOENT) => continue,
            Err(error) => return Err(failed(error)),
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(FILE_MODE)).map_err(failed)?;
        sign(&file).map_err(failed)?;
        return Ok(file);
    }
}

/// Writes our process id into a lock file.
fn sign(file: &OwnedFd) -> rustix::io::Result<()> {
    rustix::fs::ftruncate(file, 0)?;
    rustix::io::pwrite(file, format!("{}\n", std::process::id()).as_bytes(), 0)?;
    Ok(())
}

/// The process id in a lock file. It may be missing for an instant after the lock was taken.
fn holder(file: &OwnedFd) -> Option<u32> {
    let mut text = [0u8; 16];
    let length = rustix::io::pread(file, &mut text, 0).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn an_atomic_write_replaces_the_file_and_keeps_a_link() {
        let home = tempfile::tempdir().unwrap();
        let real = home.path().join("dotfiles");
        fs::create_dir(&real).unwrap();
        fs::write(real.join("feige.toml"), "old").unwrap();
        let config = home.path().join("feige/config.toml");
        create_private_folder(folder_of(&config)).unwrap();
        std::os::unix::fs::symlink(real.join("feige.toml"), &config).unwrap();

        write_atomically(&config, b"new").unwrap();
        assert_eq!(fs::read_to_string(real.join("feige.toml")).unwrap(), "new");
        assert!(fs::symlink_metadata(&config).unwrap().is_symlink());
        assert_eq!(mode(&real.join("feige.toml")), 0o600);
        assert_eq!(fs::read_dir(&real).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_lock_that_is_passed_on_is_never_free() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::all_in(home.path());
        let first = Lock::take(&paths).unwrap();
        let passed = first.share().unwrap();
        first.leave();
        assert!(matches!(Lock::take(&paths), Err(StoreError::Held { .. })));
        let second = Lock::adopt(passed, &paths).unwrap();
        assert!(matches!(Lock::take(&paths), Err(StoreError::Held { .. })));
        drop(second);
        drop(Lock::take(&paths).unwrap());
    }

    #[test]
    fn a_lock_keeps_out_those_who_have_another_runtime_folder() {
        let home = tempfile::tempdir().unwrap();
        let at = |own: &str, common: Option<&str>| Paths {
            runtime_dir: home.path().join(own),
            common_dir: common.map(|name| home.path().join(name)),
            ..Paths::all_in(home.path())
        };
        let all = [at("named", Some("state")), at("user", Some("state")), at("state", None)];
        for first in &all {
            let lock = Lock::take(first).unwrap();
            for second in &all {
                assert!(matches!(Lock::take(second), Err(StoreError::Held { .. })));
            }
            let passed = lock.share().unwrap();
            lock.leave();
            let heir = Lock::adopt(passed, first).unwrap();
            for second in &all {
                assert!(matches!(Lock::take(second), Err(StoreError::Held { .. })));
            }
            drop(heir);
        }
    }

    #[test]
    fn a_common_place_that_cannot_be_locked_is_left_out() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("file"), "").unwrap();
        let common_dir = Some(home.path().join("file"));
        let paths = Paths { common_dir, ..Paths::all_in(home.path()) };
        drop(Lock::take(&paths).unwrap());
    }

    #[test]
    fn a_folder_that_was_open_to_others_is_closed() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        create_private_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_is_an_error_with_its_path() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("feige");
        fs::write(&path, "").unwrap();
        let error = create_private_folder(&path).unwrap_err().to_string();
        assert!(error.starts_with("cannot create") && error.contains("feige"), "{error}");
    }
}

//! Moving something to a name nothing has yet, and removing what is not wanted: relative to an open
//! folder, never over a link.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::hidden::{Hidden, Kind};
use super::{DownloadError, FOLDER_FLAGS, FOLDER_MODE, Folder, numbered};

/// Most names tried.
const NAMES_MAX: u32 = 10_000;

/// How a file is looked at.
const FILE_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Deepest folder that is removed: deeper than any that is received.
const DEPTH_MAX: usize = 96;

impl Folder {
    /// Gives `from` the name `wanted`, or the first numbered one that is free, and returns it.
    pub(super) fn place(
        &self,
        from: &str,
        wanted: &str,
        folder: bool,
    ) -> Result<String, DownloadError> {
        for times in 0..NAMES_MAX {
            let name = numbered(wanted, times, folder);
            match rename_new(self.as_fd(), from, &name, folder) {
                Ok(()) => return Ok(name.into_owned()),
                Err(Errno::EXIST | Errno::NOTEMPTY) => {}
                Err(error) => return Err(self.failed("rename a part to", &name)(error)),
            }
        }
        Err(DownloadError::NoName { path: self.path().join(wanted) })
    }
}

/// Renames without replacing anything. Where the file system cannot do that in one step: a file by
/// a second link, a folder over an empty one made just now.
pub(super) fn rename_new(
    dir: BorrowedFd<'_>,
    from: &str,
    to: &str,
    folder: bool,
) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        done => return done,
    }
    if folder {
        rustix::fs::mkdirat(dir, to, FOLDER_MODE)?;
        return rustix::fs::renameat(dir, from, dir, to);
    }
    rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())?;
    rustix::fs::unlinkat(dir, from, AtFlags::empty())
}

/// Removes a part or a stage of ours with all that is in it, unless somebody holds it. What bears
/// the name but is not what we make stays ([`Errno::EXIST`]).
pub(super) fn remove(dir: BorrowedFd<'_>, hidden: &Hidden<'_>) -> rustix::io::Result<()> {
    let name = &*hidden.to_string();
    let (flags, gone) = match hidden.kind {
        Kind::Part => (FILE_FLAGS, AtFlags::empty()),
        Kind::Stage => (FOLDER_FLAGS, AtFlags::REMOVEDIR),
    };
    let opened = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        // A link, a socket, a file for a folder, what only its owner may read.
        Err(Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::ACCESS) => Err(Errno::EXIST),
        opened => opened,
    }?;
    let ours = match hidden.kind {
        Kind::Part => is_ours_alone(&opened)?,
        Kind::Stage => rustix::fs::fstat(&opened)?.st_uid == rustix::process::geteuid().as_raw(),
    };
    if !ours {
        return Err(Errno::EXIST);
    }
    rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive)?;
    if !is_at(&opened, dir, name)? {
        return Err(Errno::NOENT);
    }
    if hidden.kind == Kind::Stage {
        empty(opened.as_fd(), DEPTH_MAX)?;
    }
    rustix::fs::unlinkat(dir, name, gone)
}

/// Whether an open file or folder still bears this name. One that was opened while somebody held it
/// may have got its final name before it could be locked, and is no part or stage any more.
pub(super) fn is_at(open: impl AsFd, dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<bool> {
    let found = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        found => found?,
    };
    let open = rustix::fs::fstat(open)?;
    Ok((open.st_dev, open.st_ino) == (found.st_dev, found.st_ino))
}

/// Removes all that is in an open folder.
fn empty(folder: BorrowedFd<'_>, depth: usize) -> rustix::io::Result<()> {
    let below = depth.checked_sub(1).ok_or(Errno::LOOP)?;
    for name in names(folder)? {
        let opened = match rustix::fs::unlinkat(folder, &*name, AtFlags::empty()) {
            // Linux says the first, POSIX the second.
            Err(Errno::ISDIR | Errno::PERM) => {
                rustix::fs::openat(folder, &*name, FOLDER_FLAGS, Mode::empty())?
            }
            done => {
                done?;
                continue;
            }
        };
        empty(opened.as_fd(), below)?;
        drop(opened);
        rustix::fs::unlinkat(folder, &*name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// The names in an open folder, but `.` and `..`.
pub(super) fn names(folder: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Whether an open file is a plain one of ours that nobody else can reach by another name.
pub(super) fn is_ours_alone(file: impl AsFd) -> rustix::io::Result<bool> {
    let found = rustix::fs::fstat(file)?;
    Ok(FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
        && found.st_nlink == 1
        && found.st_uid == rustix::process::geteuid().as_raw())
}

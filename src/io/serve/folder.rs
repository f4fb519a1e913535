//! A folder as a stream (wire reference, 8.4): headers and small files share one buffer that is
//! sent when it is full, large files go from the disk straight to the socket. Each entry is opened
//! and looked at once, relative to its folder and without following links; entries come in the order
//! the folder has them.

use std::borrow::Cow;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, Stat, fstat, openat, statat};
use rustix::io::Errno;

use super::choose::{FILE, FOLDER, bytes_of, is_read_only, mtime_of, name_of};
use super::pump::{Broken, Pump};
use crate::node::NameForm;
use crate::wire::tree::{DEPTH_MAX, READ_ONLY, Times, TreeEntry, TreeWriter};

/// A stream under way.
pub(super) struct Stream<'a, 'p> {
    pump: &'a mut Pump<'p>,
    writer: TreeWriter,
    names: NameForm,
    /// What is to be sent next, across the boundaries of files.
    buffer: Vec<u8>,
    counted: Counted,
}

/// What was in a folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counted {
    /// Files sent.
    pub(super) files: u64,
    /// Entries passed over: links, devices, pipes, sockets.
    pub(super) skipped: u64,
    /// Files and folders that could not be opened.
    pub(super) unreadable: u64,
}

/// A folder to go on in.
struct Below {
    folder: Dir,
    name: String,
    stat: Stat,
}

/// The buffer is sent when it holds this much.
const FULL: usize = 192 * 1024;
/// A file of up to so many bytes goes through the buffer.
const SMALL: u64 = 64 * 1024;
/// What one entry can add to a buffer that is not full: a small file with its header.
const ROOM: usize = 68 * 1024;

impl<'a, 'p> Stream<'a, 'p> {
    pub(super) fn new(pump: &'a mut Pump<'p>, writer: TreeWriter, names: NameForm) -> Self {
        let buffer = Vec::with_capacity(FULL + ROOM);
        Self { pump, writer, names, buffer, counted: Counted::default() }
    }

    /// Sends what stands before the contents of a regular file that is a stream of its own.
    pub(super) fn file(mut self, name: &str, stat: &Stat, size: u64) -> Result<(), Broken> {
        self.header(name, stat, Some(size));
        self.flush(size > 0)
    }

    /// Sends a folder and everything in it.
    pub(super) fn folder(
        mut self,
        root: &OwnedFd,
        name: &str,
        stat: &Stat,
        counted: &mut Counted,
    ) -> Result<(), Broken> {
        let sent = self.walk(root, name, stat);
        *counted = Counted { files: self.pump.files, ..self.counted };
        sent
    }

    fn walk(&mut self, root: &OwnedFd, name: &str, stat: &Stat) -> Result<(), Broken> {
        let unreadable =
            |error: Errno| Broken::Read { name: name.to_owned(), source: error.into() };
        let mut open = vec![Dir::read_from(root).map_err(unreadable)?];
        self.header(name, stat, None);
        while let Some(folder) = open.last_mut() {
            match folder.read() {
                Some(Ok(entry)) => {
                    if let Some(below) = self.entry(folder, &entry)? {
                        if open.len() >= DEPTH_MAX {
                            // Nobody reads on below this.
                            self.counted.skipped += 1;
                            continue;
                        }
                        let Below { folder, name, stat } = below;
                        self.header(&name, &stat, None);
                        open.push(folder);
                    }
                }
                Some(Err(error)) => return Err(unreadable(error)),
                None => {
                    open.pop();
                    let before = self.buffer.len();
                    self.writer.up(&mut self.buffer);
                    self.pump.discount(self.buffer.len() - before);
                }
            }
            if self.buffer.len() >= FULL {
                self.flush(true)?;
            }
        }
        self.flush(false)
    }

    /// Sends one entry; a folder is given back to go on in.
    fn entry(&mut self, folder: &Dir, entry: &DirEntry) -> Result<Option<Below>, Broken> {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            return Ok(None);
        }
        let kind = match entry.file_type() {
            // Not every file system says; asking first is safer than opening.
            FileType::Unknown => {
                let asked = folder.fd().and_then(|at| statat(at, name, AtFlags::SYMLINK_NOFOLLOW));
                let Ok(stat) = asked else {
                    self.counted.unreadable += 1;
                    return Ok(None);
                };
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        let flags = match kind {
            FileType::RegularFile => FILE,
            FileType::Directory => FOLDER,
            _ => {
                self.counted.skipped += 1;
                return Ok(None);
            }
        };
        let opened = folder.fd().and_then(|at| {
            let file = openat(at, name, flags, Mode::empty())?;
            let stat = fstat(&file)?;
            Ok((file, stat))
        });
        let (file, stat) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // There is no way to say so in the stream.
                match error {
                    // A link has taken its place.
                    Errno::LOOP => self.counted.skipped += 1,
                    _ => self.counted.unreadable += 1,
                }
                return Ok(None);
            }
        };
        let text = text_of(name);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                if let Ok(folder) = Dir::new(file) {
                    return Ok(Some(Below { folder, name: text.into_owned(), stat }));
                }
                self.counted.unreadable += 1;
            }
            FileType::RegularFile => self.contents(&file, &text, &stat)?,
            _ => self.counted.skipped += 1,
        }
        Ok(None)
    }

    fn contents(&mut self, file: &OwnedFd, name: &str, stat: &Stat) -> Result<(), Broken> {
        let size = bytes_of(stat);
        self.header(name, stat, Some(size));
        if size <= SMALL {
            self.gather(file, size, name)?;
        } else {
            self.flush(true)?;
            self.pump.file(file.as_fd(), 0, size, name)?;
        }
        self.pump.files += 1;
        Ok(())
    }

    /// Reads a small file behind its header.
    fn gather(&mut self, file: &OwnedFd, size: u64, name: &str) -> Result<(), Broken> {
        let end = self.buffer.len() + usize::try_from(size).unwrap_or(usize::MAX);
        self.buffer.reserve(end - self.buffer.len());
        while self.buffer.len() < end {
            match rustix::io::read(file, spare_capacity(&mut self.buffer)) {
                Ok(0) => return Err(Broken::Changed { name: name.to_owned() }),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    return Err(Broken::Read { name: name.to_owned(), source: error.into() });
                }
            }
        }
        // It may have grown since; what was announced is what counts.
        self.buffer.truncate(end);
        Ok(())
    }

    /// Writes a header: of a file with its size, of a folder without.
    fn header(&mut self, name: &str, stat: &Stat, size: Option<u64>) {
        let times = Times { modified: Some(mtime_of(stat)), created: None };
        let attr = if is_read_only(stat) { READ_ONLY } else { 0 };
        let name = self.names.clean(name);
        let before = self.buffer.len();
        let entry = TreeEntry { name, size: size.unwrap_or(0), attr, times };
        match size {
            Some(_) => self.writer.file(&entry, &mut self.buffer),
            None => self.writer.folder(&entry, &mut self.buffer),
        }
        self.pump.discount(self.buffer.len() - before);
    }

    fn flush(&mut self, more: bool) -> Result<(), Broken> {
        self.pump.bytes(&self.buffer, more)?;
        self.buffer.clear();
        Ok(())
    }
}

fn text_of(name: &CStr) -> Cow<'_, str> {
    match name.to_str() {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(name_of(OsStr::from_bytes(name.to_bytes()))),
    }
}

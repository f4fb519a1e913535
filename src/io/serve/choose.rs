//! Choosing what to offer: a path as its user wrote it becomes an open file and what is known of it.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, Dir, FileType, Mode, OFlags, Stat, accessat, fstat, openat, statat,
};
use rustix::io::Errno;

use crate::node::{FileChoice, ItemKind};
use crate::wire::picture::Kind;
use crate::wire::tree::{DEPTH_MAX, ENTRIES_MAX};

/// A file or folder that was chosen, open. The node serves this one, whatever its path leads to
/// later.
#[derive(Debug)]
pub struct Chosen {
    /// What it is.
    pub choice: FileChoice,
    /// Open for reading.
    pub file: OwnedFd,
    /// Files and folders below it that cannot be read now.
    pub unreadable: u64,
}

/// Why something cannot be offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChooseError {
    /// It cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A device, a pipe, a socket.
    #[error("{} is neither a file nor a folder", path.display())]
    Kind {
        /// The path as it was given.
        path: PathBuf,
    },
    /// It has no name that a recipient could store it under.
    #[error("{} has no name to offer it under", path.display())]
    Name {
        /// The path as it was given.
        path: PathBuf,
    },
    /// More than a recipient takes.
    #[error("{}: {what}", path.display())]
    TooMuch {
        /// The path as it was given.
        path: PathBuf,
        /// Which bound it breaks.
        what: String,
    },
}

impl Chosen {
    /// Opens the file or folder that `path` leads to now. Links in the path are followed here, by
    /// its user's own wish, and never again.
    ///
    /// # Errors
    ///
    /// [`ChooseError`]; folders that no feige would receive whole are refused too.
    pub fn open(path: &Path) -> Result<Self, ChooseError> {
        let failed = |source| ChooseError::Open { path: path.to_owned(), source };
        let whole = std::fs::canonicalize(path).map_err(failed)?;
        let (file, stat) = open_without_links(&whole).map_err(|error| {
            // A socket; devices without a driver too.
            if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) {
                return ChooseError::Kind { path: path.to_owned() };
            }
            failed(error)
        })?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => ItemKind::File,
            FileType::Directory => ItemKind::Folder,
            _ => return Err(ChooseError::Kind { path: path.to_owned() }),
        };
        // As its user called it; `.` and `..` are what they lead to.
        let name = path.file_name().or(whole.file_name());
        let name = name.ok_or_else(|| ChooseError::Name { path: path.to_owned() })?;
        let Total { bytes: size, unreadable } = match kind {
            ItemKind::Folder => total(&file).map_err(|stop| match stop {
                Stop::Io(source) => failed(source),
                Stop::TooMuch(what) => ChooseError::TooMuch { path: path.to_owned(), what },
            })?,
            _ => Total { bytes: bytes_of(&stat), unreadable: 0 },
        };
        let choice = FileChoice {
            name: name_of(name),
            kind,
            size,
            mtime: mtime_of(&stat),
            mtime_nanos: nanos_of(&stat),
            read_only: is_read_only(&stat),
            path: whole,
            device: stat.st_dev,
            inode: stat.st_ino,
        };
        Ok(Self { choice, file, unreadable })
    }
}

impl Chosen {
    /// Offers it as a picture that stands in the text: a clipboard image for those who announce that
    /// they read such (PNG, up to 10 MiB), a file for everybody else, with a name that fits what it
    /// is. `FeiQ` reads neither inside a text, its pictures go over UDP. None if its first bytes are
    /// those of no PNG, JPEG, GIF or BMP.
    #[must_use]
    pub fn as_picture(mut self) -> Option<Self> {
        if self.choice.kind != ItemKind::File {
            return None;
        }
        let mut head = [0; 8];
        let read = rustix::io::pread(&self.file, &mut head, 0).ok()?;
        let endings: &[_] = match Kind::of(head.get(..read)?)? {
            Kind::Png => &["png"],
            Kind::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Kind::Gif => &["gif"],
            Kind::Bmp => &["bmp", "dib"],
            Kind::Container | Kind::Dib => return None,
        };
        let name = &mut self.choice.name;
        let ending = Path::new(&*name).extension().unwrap_or_default();
        if !endings.iter().any(|fitting| ending.eq_ignore_ascii_case(fitting)) {
            name.push('.');
            name.push_str(endings.first().copied().unwrap_or_default());
        }
        self.choice.kind = ItemKind::Picture;
        Some(self)
    }
}

/// Opens for reading without following a link in any component of a whole path, and looks at what
/// was opened. Never waits for the other end of a pipe.
pub(crate) fn open_without_links(path: &Path) -> io::Result<(OwnedFd, Stat)> {
    #[cfg(target_os = "linux")]
    const STEP: OFlags = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    const STEP: OFlags = OFlags::RDONLY;
    let step = STEP | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let relative = path.strip_prefix("/").map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut at = rustix::fs::open("/", step, Mode::empty())?;
    let Some(name) = relative.file_name() else {
        let file = openat(at, ".", FOLDER, Mode::empty())?;
        let stat = fstat(&file)?;
        return Ok((file, stat));
    };
    for folder in relative.parent().into_iter().flat_map(Path::components) {
        at = openat(&at, folder.as_os_str(), step, Mode::empty())?;
    }
    let file = openat(&at, name, FILE, Mode::empty())?;
    let stat = fstat(&file)?;
    Ok((file, stat))
}

/// How a file is opened whose kind is looked at afterwards.
pub(super) const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
/// How a folder is opened.
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A name as text: what is no UTF-8 in it becomes `_`.
pub(super) fn name_of(name: &OsStr) -> String {
    name.to_string_lossy().replace(char::REPLACEMENT_CHARACTER, "_")
}

/// Bytes of a file.
pub(super) fn bytes_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Modification time, Unix seconds; 0 before 1970, which nobody can write.
pub(super) fn mtime_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_mtime).unwrap_or(0)
}

/// The fraction of the second of its modification time, nanoseconds.
pub(super) fn nanos_of(stat: &Stat) -> Option<u32> {
    u32::try_from(stat.st_mtime_nsec).ok()
}

/// Whether its owner may not write it.
pub(super) fn is_read_only(stat: &Stat) -> bool {
    !Mode::from_raw_mode(stat.st_mode).contains(Mode::WUSR)
}

enum Stop {
    Io(io::Error),
    TooMuch(String),
}

impl From<rustix::io::Errno> for Stop {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// What is below a folder.
struct Total {
    /// Of all regular files that can be read.
    bytes: u64,
    unreadable: u64,
}

/// What is below a folder. No link is followed there.
fn total(root: &OwnedFd) -> Result<Total, Stop> {
    let (mut bytes, mut unreadable) = (0_u64, 0);
    let mut entries = 1_usize;
    let mut open = vec![Dir::read_from(root)?];
    while let Some(folder) = open.last_mut() {
        let Some(entry) = folder.read() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(stat) = statat(folder.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) else {
            unreadable += 1;
            continue;
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if is_denied(folder, name) => unreadable += 1,
            FileType::RegularFile => bytes = bytes.saturating_add(bytes_of(&stat)),
            FileType::Directory => match openat(folder.fd()?, name, FOLDER, Mode::empty()) {
                Ok(below) => open.push(Dir::new(below)?),
                Err(_) => unreadable += 1,
            },
            _ => continue,
        }
        entries += 1;
        if entries > ENTRIES_MAX {
            let what = format!("more than {ENTRIES_MAX} files and folders; offer an archive of it");
            return Err(Stop::TooMuch(what));
        }
        if open.len() > DEPTH_MAX {
            let what = format!("folders nested deeper than {DEPTH_MAX}; offer an archive of it");
            return Err(Stop::TooMuch(what));
        }
    }
    Ok(Total { bytes, unreadable })
}

/// Whether the system would not let us read this file; it is opened only when it is sent.
fn is_denied(folder: &Dir, name: &CStr) -> bool {
    let asked = folder.fd().and_then(|at| accessat(at, name, Access::READ_OK, AtFlags::EACCESS));
    matches!(asked, Err(Errno::ACCESS | Errno::PERM))
}

/// Whether an open file is the one that was chosen.
pub(super) fn is_chosen(choice: &FileChoice, file: impl AsFd) -> io::Result<Option<Stat>> {
    let stat = fstat(file)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => choice.kind != ItemKind::Folder,
        FileType::Directory => choice.kind == ItemKind::Folder,
        _ => false,
    };
    let same = kind && stat.st_dev == choice.device && stat.st_ino == choice.inode;
    Ok(same.then_some(stat))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_is_offered_with_the_bytes_of_all_files_in_it() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("目录");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/x"), [0; 1_000]).unwrap();
        fs::write(root.join("y"), [0; 24]).unwrap();
        symlink("/etc/passwd", root.join("link")).unwrap();
        symlink("/etc", root.join("folder link")).unwrap();
        let chosen = Chosen::open(&root).unwrap();
        assert_eq!((chosen.choice.kind, chosen.choice.size), (ItemKind::Folder, 1_024));
        assert_eq!(chosen.choice.name, "目录");
    }

    #[test]
    fn a_link_of_the_users_own_is_followed_once_and_named_as_the_user_did() {
        let home = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(home.path()).unwrap();
        fs::write(root.join("real"), "one").unwrap();
        symlink("real", root.join("latest")).unwrap();
        let chosen = Chosen::open(&root.join("latest")).unwrap();
        assert_eq!(chosen.choice.name, "latest");
        assert_eq!(chosen.choice.path, root.join("real"));
        assert!(is_chosen(&chosen.choice, &chosen.file).unwrap().is_some());
        fs::remove_file(root.join("real")).unwrap();
        symlink("/etc/passwd", root.join("real")).unwrap();
        open_without_links(&chosen.choice.path).unwrap_err();
        assert!(is_chosen(&chosen.choice, &chosen.file).unwrap().is_some(), "still the same file");
    }

    #[test]
    fn a_link_in_any_component_is_not_followed_again() {
        let home = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(home.path()).unwrap();
        fs::create_dir(root.join("real")).unwrap();
        fs::write(root.join("real/x"), "one").unwrap();
        symlink("real", root.join("way")).unwrap();
        open_without_links(&root.join("way/x")).unwrap_err();
        open_without_links(&root.join("real/x")).unwrap();
    }

    #[test]
    fn a_picture_is_named_by_what_it_is() {
        let home = tempfile::tempdir().unwrap();
        let named = |name: &str, bytes: &[u8]| {
            let path = home.path().join(name);
            fs::write(&path, bytes).unwrap();
            let picture = Chosen::open(&path).unwrap().as_picture()?;
            assert_eq!(picture.choice.kind, ItemKind::Picture);
            Some(picture.choice.name)
        };
        let png = b"\x89PNG\r\n\x1a\n";
        assert_eq!(named("a.PNG", png).as_deref(), Some("a.PNG"));
        assert_eq!(named("截图", png).as_deref(), Some("截图.png"));
        assert_eq!(named("a.jpg", png).as_deref(), Some("a.jpg.png"));
        assert_eq!(named("a.jpeg", b"\xff\xd8\xff").as_deref(), Some("a.jpeg"));
        assert_eq!(named("b", b"GIF89a").as_deref(), Some("b.gif"));
        assert_eq!(named("c.tmp", b"BM").as_deref(), Some("c.tmp.bmp"));
        for no_picture in [&b""[..], b"MZ", b"LZW!1234", b"\x28\0\0\0"] {
            assert_eq!(named("x.png", no_picture), None);
        }
        assert!(Chosen::open(home.path()).unwrap().as_picture().is_none());
    }

    #[test]
    fn what_is_neither_a_file_nor_a_folder_is_refused_without_waiting() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        assert!(matches!(Chosen::open(&pipe), Err(ChooseError::Kind { .. })));
        assert!(matches!(Chosen::open(Path::new("/dev/null")), Err(ChooseError::Kind { .. })));
        let socket = home.path().join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(Chosen::open(&socket), Err(ChooseError::Kind { .. })));
        assert!(matches!(Chosen::open(&home.path().join("no")), Err(ChooseError::Open { .. })));
        assert!(matches!(Chosen::open(Path::new("/")), Err(ChooseError::Name { .. })));
    }

    #[test]
    fn a_name_that_is_no_text_becomes_one() {
        use std::os::unix::ffi::OsStrExt;
        assert_eq!(name_of(OsStr::from_bytes(b"\xb1\xa8.txt")), "__.txt");
    }
}

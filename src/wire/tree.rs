//! The folder stream on TCP, the answer to `GETDIRFILES` (wire reference, 8.4): [`TreeReader`] and
//! [`TreeWriter`]. Neither touches a socket or a file: who calls them moves the bytes.
//!
//! ```text
//! stream = *( header contents )
//! header = hsize ":" name ":" fsize ":" attr *( ":" key "=" val ) ":"
//! ```
//!
//! All numbers are hexadecimal, `hsize` counts the whole header from its own first digit, a colon
//! in a name is doubled. The offered folder comes first; a header of kind 3 leads back up, and the
//! one that leaves the offered folder ends the stream. For a regular file the stream is one header
//! and its contents, with no way up.

use std::borrow::Cow;

mod header;
mod reader;
mod writer;

pub use reader::{TreeEvent, TreeReader};
pub use writer::TreeWriter;

/// What a header in the stream says of a file or a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TreeEntry<'a> {
    /// One path component, unescaped: never empty, `.` or `..`, without separators and NUL. Colons
    /// and other controls may be in it, or blanks alone: it is no safe file name yet. Receivers take the name of the
    /// offered root from the offer, not from here (wire reference, 8.4).
    pub name: Cow<'a, str>,
    /// Bytes of contents that follow; below 2^63. Of a folder, whatever its sender wrote.
    pub size: u64,
    /// Kind in the low byte, option bits above it, as in a [`FileEntry`](super::attach::FileEntry).
    pub attr: u32,
    /// Modified and created.
    pub times: Times,
}

/// The times a header may have, in Unix seconds. One that cannot be read is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Times {
    /// Attribute 14.
    pub modified: Option<u64>,
    /// Attribute 16.
    pub created: Option<u64>,
}

/// Kind of the way up, the low byte of [`TreeEntry::attr`] (`IPMSG_FILE_RETPARENT`).
pub const UP: u8 = 0x03;

/// Option bit of [`TreeEntry::attr`]: read-only (`IPMSG_FILE_RONLYOPT`).
pub const READ_ONLY: u32 = 0x100;

/// Longest header read, in bytes (threats, caps). Official clients read less than 1,023.
pub const HEADER_MAX: usize = 8 * 1024;

/// Deepest folder read; the offered one is at depth 1 (threats, caps).
pub const DEPTH_MAX: usize = 64;

/// Most files and folders read from one stream (threats, caps).
pub const ENTRIES_MAX: usize = 100_000;

/// Why a stream cannot be read on. What came before it was right, but nothing of it may bear its
/// final name (threats rule 24).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The stream ended before the way up from the offered folder, or inside the offered file.
    #[error("the stream ended too early")]
    Eof,
    /// The size of a header is not hexadecimal, or no header can have it.
    #[error("bad size of a header")]
    HeaderSize,
    /// A header lacks a field, or its size does not end at its last colon.
    #[error("bad fields in a header")]
    Fields,
    /// A way up at the root, a file before its folder, a folder where a file was offered.
    #[error("entries in the wrong order")]
    Order,
    /// A name that is more than one path component, or none.
    #[error("a name that is a path")]
    Path,
    /// Neither a file nor a folder, nor the way up.
    #[error("an entry that is neither a file nor a folder")]
    Type,
    /// A size or attribute that is not hexadecimal, negative, or too large.
    #[error("bad number in a header")]
    Number,
    /// Folders nested deeper than [`DEPTH_MAX`].
    #[error("folders nested too deep")]
    Depth,
    /// More than [`ENTRIES_MAX`] files and folders.
    #[error("too many files")]
    Entries,
    /// More contents than was accepted.
    #[error("more contents than accepted")]
    TooLarge,
}

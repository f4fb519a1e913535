//! Writes the headers of a folder stream.

use super::{READ_ONLY, Times, TreeEntry, UP};
use crate::wire::attach::{FOLDER, REGULAR, write_name};
use crate::wire::text::Charset;

/// Writes a folder stream's headers; the contents are put between them by the caller.
///
/// Headers are appended to a buffer that may hold many of them, and small files with them. They
/// have the official form, which every reader seen wants or at least takes: four digits of header
/// size, nine or more of file size, and both times on every header, the way up included (iptux 0.8
/// takes two attributes for granted).
#[derive(Clone, Debug)]
pub struct TreeWriter {
    charset: Charset,
    /// Attributes and times of the folders that are open.
    open: Vec<(u32, Times)>,
}

/// Longest header written: official readers take less than 1,023 bytes (wire reference, 8.4).
const HEADER_MAX: usize = 1_022;

/// Room for everything in a header but its name.
const WITHOUT_NAME_MAX: usize = 80;

impl TreeWriter {
    /// For a reader that expects names in `charset`: the one the request for the folder declared, or
    /// that of the peer's texts.
    pub fn new(charset: Charset) -> Self {
        Self { charset, open: Vec::new() }
    }

    /// Enters a folder. Kind and size are set here; of the attributes only the option bits count.
    pub fn folder(&mut self, entry: &TreeEntry<'_>, out: &mut Vec<u8>) {
        self.entry(entry, FOLDER, 0, out);
        self.open.push((entry.attr & READ_ONLY, entry.times));
    }

    /// Begins a file: exactly [`size`](TreeEntry::size) bytes of contents must follow, whatever
    /// becomes of the file meanwhile.
    pub fn file(&mut self, entry: &TreeEntry<'_>, out: &mut Vec<u8>) {
        self.entry(entry, REGULAR, entry.size, out);
    }

    /// Leaves the folder entered last, with its times and its read-only bit. False, and nothing
    /// written, if none is open. The stream of a folder is whole when its own way up is written.
    pub fn up(&mut self, out: &mut Vec<u8>) -> bool {
        let Some((option, times)) = self.open.pop() else { return false };
        let start = begin(out);
        out.extend_from_slice(b".:0");
        end(start, option | u32::from(UP), times, out);
        true
    }

    /// Folders entered and not left.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    fn entry(&self, entry: &TreeEntry<'_>, kind: u8, size: u64, out: &mut Vec<u8>) {
        let start = begin(out);
        self.name(&entry.name, out);
        out.push(b':');
        // The official client writes the high half, then the low half in eight digits.
        push_hex(size, 9, out);
        end(start, entry.attr & !0xff | u32::from(kind), entry.times, out);
    }

    /// Writes a name; one too long for a header is cut between characters.
    fn name(&self, name: &str, out: &mut Vec<u8>) {
        let start = out.len();
        write_name(name, self.charset, out);
        if out.len() - start <= HEADER_MAX - WITHOUT_NAME_MAX {
            return;
        }
        out.truncate(start);
        for character in name.chars() {
            let before = out.len();
            write_name(character.encode_utf8(&mut [0; 4]), self.charset, out);
            if out.len() - start > HEADER_MAX - WITHOUT_NAME_MAX {
                out.truncate(before);
                break;
            }
        }
    }
}

/// Where the size of the header will stand.
const SIZE_DIGITS: usize = 4;

/// Leaves room for a header's size; where the header begins.
fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(b"0000:");
    start
}

/// Writes what follows the file's size, then the size of the header that began at `start`.
fn end(start: usize, attr: u32, times: Times, out: &mut Vec<u8>) {
    out.push(b':');
    push_hex(attr.into(), 1, out);
    if let Some((modified, created)) = times.written() {
        out.extend_from_slice(b":14=");
        push_hex(modified, 1, out);
        out.extend_from_slice(b":16=");
        push_hex(created, 1, out);
    }
    out.push(b':');
    let header_size = (out.len() - start) as u64;
    if let Some(digits) = out.get_mut(start..start + SIZE_DIGITS) {
        digits.copy_from_slice(hex(header_size).last_chunk::<SIZE_DIGITS>().unwrap_or(b"0000"));
    }
}

impl Times {
    /// Both times, the missing one taken from the other: readers want both or none.
    fn written(self) -> Option<(u64, u64)> {
        let modified = self.modified.or(self.created)?;
        Some((modified, self.created.unwrap_or(modified)))
    }
}

/// Appends `value` in lower-case hexadecimal, in at least `width` digits.
fn push_hex(value: u64, width: usize, out: &mut Vec<u8>) {
    let digits = hex(value);
    let leading = usize::try_from(value.leading_zeros() / 4).unwrap_or(0);
    let shown = leading.min(digits.len() - width);
    out.extend_from_slice(digits.get(shown..).unwrap_or_default());
}

/// The sixteen digits of `value`.
fn hex(value: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [b'0'; 16];
    let mut rest = value;
    for place in digits.iter_mut().rev() {
        *place = DIGITS.get((rest & 0xf) as usize).copied().unwrap_or(b'0');
        rest >>= 4;
    }
    digits
}

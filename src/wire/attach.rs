//! File lists: what a message offers (wire reference, 7). Reading and writing the list; fetching
//! the files is not here.
//!
//! ```text
//! list  = *( entry BEL [":"] )
//! entry = id ":" name ":" size ":" mtime ":" attr *( ":" key "=" val *( "," val ) ) ":"
//! ```
//!
//! The id is decimal, all other numbers are hexadecimal, and a colon in a name is doubled.

use std::borrow::Cow;

use super::body::bracketed;
use super::dialect::IdBase;
use super::scan::{self, BEL};
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
    /// Last path component, unescaped; never empty, `.` or `..`, without separators. Colons and
    /// controls may be in it: it is no safe file name yet.
    pub name: String,
    /// Bytes, less than 2^63; 0 for a folder of official clients.
    pub size: u64,
    /// Modification time, Unix seconds.
    pub mtime: u64,
    /// Kind in the low byte, option bits above it.
    pub attr: u32,
    /// Extended attributes: key and values, as they came. Those with values that are no numbers
    /// (owner names and the like) are left out.
    pub extended: Vec<(u32, Vec<u64>)>,
}

/// Most files read from one message (threats, caps).
pub const FILES_MAX: usize = 256;

/// Longest file name, in bytes of UTF-8 (threats, caps).
pub const FILE_NAME_MAX: usize = 1024;

/// Kind of a regular file, the low byte of [`FileEntry::attr`].
pub const REGULAR: u8 = 0x01;
/// Kind of a folder.
pub const FOLDER: u8 = 0x02;
/// Kind of a picture inside the text.
pub const CLIPBOARD: u8 = 0x20;

impl FileEntry {
    /// What it is: [`REGULAR`], [`FOLDER`] or [`CLIPBOARD`]; other kinds are not listed.
    pub fn kind(&self) -> u8 {
        let [kind, ..] = self.attr.to_le_bytes();
        kind
    }
}

impl FileList {
    /// Reads a list; what cannot be read is counted, never fatal.
    ///
    /// Accepted as well: no BEL at the end, colons before or after it, empty pieces, no attribute
    /// (a regular file), ids in hexadecimal (feiq-cli), which a letter in one of them shows. An entry
    /// that cannot be split, has a number that is none, a kind nobody
    /// may be offered, an empty or dotted name, or an id seen before is left out. A name with a
    /// path separator ends the list, as in the official client (vector `bad-path`).
    pub fn read(list: &[u8], charset: Charset) -> Self {
        let entries = || {
            scan::split(scan::trim_nuls(list), BEL).filter_map(|piece| {
                let start = piece.iter().position(|&byte| byte != b':')?;
                piece.get(start..)
            })
        };
        Self::of(entries(), IdBase::Decimal, charset)
            .or_else(|IdsAreHexadecimal| Self::of(entries(), IdBase::Hexadecimal, charset))
            .unwrap_or_default()
    }

    /// Reads the entries of a list whose ids are in this base.
    fn of<'a>(
        entries: impl Iterator<Item = &'a [u8]>,
        ids: IdBase,
        charset: Charset,
    ) -> Result<Self, IdsAreHexadecimal> {
        let mut read = Self::default();
        let mut refused = false;
        for entry in entries {
            let (id, rest) = scan::split_once(entry, b':');
            let id = match (ids.read(id), ids) {
                (None, IdBase::Decimal) if scan::hex(id).is_some() => {
                    return Err(IdsAreHexadecimal);
                }
                (id, _) => id,
            };
            if refused || read.files.len() == FILES_MAX || read.skipped >= FILES_MAX {
                read.skipped += 1;
                continue;
            }
            match id.ok_or(Refused::Entry).and_then(|id| FileEntry::read(id, rest, charset)) {
                Ok(entry) if read.files.iter().all(|known| known.id != entry.id) => {
                    read.files.push(entry);
                }
                Ok(_) | Err(Refused::Entry) => read.skipped += 1,
                Err(Refused::List) => {
                    read.skipped += 1;
                    refused = true;
                }
            }
        }
        Ok(read)
    }

    /// Appends a list of `files`. `joint` stands between two entries and is [`Habits::list_joint`]
    /// of the reader. What the charset lacks in a name is written as `[U+1F680]`; controls and
    /// separators become `_`.
    ///
    /// [`Habits::list_joint`]: super::dialect::Habits::list_joint
    pub fn write(files: &[FileEntry], charset: Charset, joint: &str, out: &mut Vec<u8>) {
        for (at, entry) in files.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(joint.as_bytes());
            }
            entry.write(charset, out);
        }
        if !files.is_empty() {
            out.push(BEL);
        }
    }
}

/// Lists have ids in decimal; feiq-cli writes hexadecimal (`iptux-dialect.md`), which nothing shows
/// until one of them has a letter.
struct IdsAreHexadecimal;

/// Why an entry is left out.
enum Refused {
    /// It alone.
    Entry,
    /// It and all that follow.
    List,
}

impl FileEntry {
    /// Reads what follows the colon of an id.
    fn read(id: u64, rest: Option<&[u8]>, charset: Charset) -> Result<Self, Refused> {
        let (name, rest) = take_name(rest.ok_or(Refused::Entry)?).ok_or(Refused::Entry)?;
        let name = charset.decode_owned(&name);
        // Without short circuits: all bytes at once.
        if name.bytes().fold(false, |found, byte| found | matches!(byte, b'/' | b'\\')) {
            return Err(Refused::List);
        }
        let blank = name.chars().all(char::is_whitespace);
        if blank || name == "." || name == ".." || name.len() > FILE_NAME_MAX {
            return Err(Refused::Entry);
        }
        let (size, rest) = scan::hex_field(rest).ok_or(Refused::Entry)?;
        // No file is larger: what is signed in other programs must not overflow in ours either.
        if i64::try_from(size).is_err() {
            return Err(Refused::Entry);
        }
        let (mtime, rest) = rest.and_then(scan::hex_field).ok_or(Refused::Entry)?;
        let (attr, rest) = match rest {
            None | Some(b"") => (REGULAR.into(), None),
            Some([b':', rest @ ..]) => (REGULAR.into(), Some(rest)),
            Some(rest) => scan::hex_field(rest).ok_or(Refused::Entry)?,
        };
        let attr = u32::try_from(attr).map_err(|_| Refused::Entry)?;
        let mut entry = Self { id, name, size, mtime, attr, extended: Vec::new() };
        if ![REGULAR, FOLDER, CLIPBOARD].contains(&entry.kind()) {
            return Err(Refused::Entry);
        }
        let mut rest = rest;
        while let Some(fields) = rest {
            let field;
            (field, rest) = scan::split_once(fields, b':');
            if !field.is_empty() {
                entry.read_extended(field)?;
            }
        }
        Ok(entry)
    }

    /// Reads `key=value,value`. A field without `=` means that the entry was not split where its
    /// writer meant it, as with the undoubled colons of iptux 0.10 (`iptux-dialect.md`).
    fn read_extended(&mut self, field: &[u8]) -> Result<(), Refused> {
        const KEYS_MAX: usize = 32;
        const VALUES_MAX: usize = 16;
        let (key, values) = scan::split_once(field, b'=');
        let key = scan::hex(key).and_then(|key| u32::try_from(key).ok()).ok_or(Refused::Entry)?;
        let values = values.ok_or(Refused::Entry)?;
        if self.extended.len() < KEYS_MAX {
            let values = values.split(|&byte| byte == b',').take(VALUES_MAX);
            if let Some(values) = values.map(scan::hex).collect() {
                self.extended.push((key, values));
            }
        }
        Ok(())
    }

    fn write(&self, charset: Charset, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{}:", self.id).as_bytes());
        write_name(&self.name, charset, out);
        let (size, mtime, attr) = (self.size, self.mtime, self.attr);
        out.extend_from_slice(format!(":{size:x}:{mtime:x}:{attr:x}:").as_bytes());
        for (key, values) in &self.extended {
            let values: Vec<_> = values.iter().map(|value| format!("{value:x}")).collect();
            out.extend_from_slice(format!("{key:x}={}:", values.join(",")).as_bytes());
        }
    }
}

/// Appends a name with its colons doubled. What the charset lacks is written as `[U+1F680]`;
/// controls and separators become `_`.
pub(super) fn write_name(name: &str, charset: Charset, out: &mut Vec<u8>) {
    for part in name.split_inclusive(|c: char| c == ':' || is_unsafe(c)) {
        let (plain, last) = match part.char_indices().next_back() {
            Some((at, ':')) => (part.get(..at), "::"),
            Some((at, last)) if is_unsafe(last) => (part.get(..at), "_"),
            _ => (Some(part), ""),
        };
        charset.encode_into_vec(plain.unwrap_or_default(), bracketed, out);
        out.extend_from_slice(last.as_bytes());
    }
}

fn is_unsafe(character: char) -> bool {
    character.is_control() || matches!(character, '/' | '\\')
}

/// The name at the head of an entry, and what follows its colon. Read left to right: two colons are
/// one of the name, a single one ends it (wire reference, 7).
pub(super) fn take_name(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut name = Cow::Borrowed(&b""[..]);
    let mut rest = bytes;
    loop {
        let colon = rest.iter().position(|&byte| byte == b':')?;
        let (part, tail) = rest.split_at(colon);
        match tail {
            [b':', b':', tail @ ..] => {
                let name = name.to_mut();
                name.extend_from_slice(part);
                name.push(b':');
                rest = tail;
            }
            [_, tail @ ..] => {
                if name.is_empty() {
                    name = Cow::Borrowed(part);
                } else {
                    name.to_mut().extend_from_slice(part);
                }
                return Some((name, tail));
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[u8]) -> (Vec<String>, usize) {
        let list = FileList::read(list, Charset::UTF_8);
        (list.files.into_iter().map(|file| file.name).collect(), list.skipped)
    }

    #[test]
    fn every_separator_seen_is_read() {
        for list in [
            &b"0:a:1:2:1:\x071:b:1:2:1:\x07"[..],
            b"0:a:1:2:1:\x07:1:b:1:2:1:\x07:",
            b"0:a:1:2:1\x071:b:1:2:1",
            b":0:a:1:2:1:\x07\x07:\x07::1:b:1:2:1:\x07\0\0",
        ] {
            assert_eq!(names(list), (vec!["a".into(), "b".into()], 0), "{}", list.escape_ascii());
        }
    }

    #[test]
    fn a_letter_shows_that_ids_are_hexadecimal() {
        let ids = |list: &[u8]| -> Vec<u64> {
            FileList::read(list, Charset::UTF_8).files.iter().map(|file| file.id).collect()
        };
        assert_eq!(ids(b"9:a:1:2:1:\x0710:b:1:2:1:\x07"), [9, 10]);
        assert_eq!(ids(b"9:a:1:2:1:\x07a:b:1:2:1:\x07:10:c:1:2:1:\x07"), [9, 10, 16]);
        assert_eq!(ids(b"9:a:1:2:1:\x07x:b:1:2:1:\x0710:c:1:2:1:\x07"), [9, 10]);
    }

    #[test]
    fn a_size_no_file_can_have_costs_its_entry() {
        let list = b"0:a:8000000000000000:2:1:\x071:b:7fffffffffffffff:2:1:\x07";
        assert_eq!(names(list), (vec!["b".into()], 1));
    }

    #[test]
    fn an_undoubled_colon_costs_one_entry_only() {
        let list = b"0:a:1:2:1:\x071:co:lon.txt:1:6b00e67e:1:\x072:a:b:1:2:1:\x073:c:1:2:1:\x07";
        assert_eq!(names(list), (vec!["a".into(), "c".into()], 2));
    }

    #[test]
    fn colons_at_the_end_of_a_name_survive() {
        assert_eq!(names(b"0:a:::1:2:1:\x07"), (vec!["a:".into()], 0));
        assert_eq!(names(b"0::::::1:2:1:\x07"), (vec!["::".into()], 0));
        assert_eq!(names(b"0::1:2:1:\x07").1, 1);
    }

    #[test]
    fn wrong_numbers_never_become_zero() {
        for entry in ["x:a:1:2:1", "-1:a:1:2:1", "0:a:-1:2:1", "0:a:1:2:100000000", "0:a::2:1"] {
            assert_eq!(names(entry.as_bytes()), (vec![], 1), "{entry}");
        }
    }

    #[test]
    fn owners_are_left_out_and_other_attributes_kept() {
        let list = FileList::read(b"0:a:1:2:1:2=root:14=5,6:\x07", Charset::UTF_8);
        assert_eq!(list.files[0].extended, [(0x14, vec![5, 6])]);
    }

    #[test]
    fn caps_hold_and_the_rest_is_counted() {
        use std::fmt::Write;
        let many = (0..10_000).fold(String::new(), |mut list, id| {
            write!(list, "{id}:f:1:2:1:\x07").unwrap();
            list
        });
        let list = FileList::read(many.as_bytes(), Charset::UTF_8);
        assert_eq!((list.files.len(), list.skipped), (FILES_MAX, 10_000 - FILES_MAX));
        let long = format!("0:{}:1:2:1", "n".repeat(FILE_NAME_MAX + 1));
        assert_eq!(names(long.as_bytes()), (vec![], 1));
    }

    #[test]
    fn a_path_ends_the_list() {
        assert_eq!(
            names(b"0:ok:1:2:1:\x071:..\\e:1:2:1:\x072:x:1:2:1:\x07"),
            (vec!["ok".into()], 2)
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let files = vec![
            FileEntry {
                id: 200_000,
                name: "a:b::.txt".into(),
                size: 0x1_8000_0000,
                mtime: 1_705_034_736,
                attr: 0xd101,
                extended: vec![(0x10, vec![0x1ed, 0x1a4]), (0x16, vec![5])],
            },
            FileEntry {
                id: 3, name: "目录".into(), size: 0, mtime: 0, attr: 2, extended: vec![]
            },
        ];
        for joint in ["\x07", "\x07:"] {
            let mut list = Vec::new();
            FileList::write(&files, Charset::GBK, joint, &mut list);
            let read = FileList::read(&list, Charset::GBK);
            assert_eq!((read.files, read.skipped), (files.clone(), 0));
        }
    }

    #[test]
    fn names_are_written_so_that_they_stay_one_name() {
        let file = FileEntry {
            id: 1,
            name: "a/b\\c\x07d🚀".into(),
            size: 1,
            mtime: 2,
            attr: 1,
            extended: vec![],
        };
        let mut list = Vec::new();
        FileList::write(&[file], Charset::GBK, "\x07", &mut list);
        assert_eq!(list, b"1:a_b_c_d[U+1F680]:1:2:1:\x07");
    }
}

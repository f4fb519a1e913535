//! What is offered: a file or folder as it was when its user chose it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::files::ItemKind;

/// A file or folder to offer: exactly the one that was there when it was chosen, and no other that
/// comes to bear its name (threats, rule 27).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileChoice {
    /// Its name for the recipients: one path component.
    pub name: String,
    /// What it is. A picture is offered as a clipboard image to those who announce that they read
    /// such, as a file to all others (wire reference, 7).
    pub kind: ItemKind,
    /// Bytes; of a folder those of all files in it.
    pub size: u64,
    /// Modification time, Unix seconds; 0 before 1970.
    pub mtime: u64,
    /// The fraction of that second, nanoseconds; none where it was not noted.
    #[serde(default)]
    pub mtime_nanos: Option<u32>,
    /// Whether its owner may not write it.
    pub read_only: bool,
    /// Its whole path, without links in it.
    #[serde(with = "os_path")]
    pub path: PathBuf,
    /// The device it is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
}

impl FileChoice {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == ItemKind::Folder
    }
}

/// Paths in JSON: text where they are UTF-8, else the bytes as an array of numbers.
mod os_path {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        Utf8(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(to),
            None => path.as_os_str().as_bytes().serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(match Text::deserialize(from)? {
            Text::Utf8(text) => text.into(),
            Text::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_bytes_survives() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        for bytes in [&b"/home/lin/\xe6\x8a\xa5.pdf"[..], b"/tmp/\xb1\xa8.pdf"] {
            let choice = FileChoice {
                name: "x.pdf".into(),
                kind: ItemKind::File,
                size: 1,
                mtime: 2,
                mtime_nanos: None,
                read_only: false,
                path: OsStr::from_bytes(bytes).into(),
                device: 3,
                inode: 4,
            };
            let json = serde_json::to_string(&choice).unwrap();
            assert_eq!(serde_json::from_str::<FileChoice>(&json).unwrap(), choice, "{json}");
        }
    }
}

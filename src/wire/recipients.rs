//! The list of recipients that official clients put behind a message to several (wire reference,
//! 9.4): the reader itself first, then the others.

use serde::{Deserialize, Serialize};

use super::packet::{name, split_fingerprint};
use super::scan;
use super::text::Charset;

/// Who else a message went to, as far as its sender's client wrote it down.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Recipients {
    /// The names, the reader's own first. At most [`RECIPIENTS_MAX`], as long as other names.
    pub names: Vec<Recipient>,
    /// The list is as long as such a list gets: there may be more recipients than it names.
    pub cut: bool,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recipient {
    /// Log-on name.
    pub user: String,
    /// Computer name.
    pub host: String,
}

/// Most names official clients write.
pub const RECIPIENTS_MAX: usize = 30;

/// Most bytes official clients write; they leave out a name that does not fit any more, and names
/// beyond [`NAME_BYTES`] are rare.
const LIST_BYTES: usize = 3_072;
const NAME_BYTES: usize = 128;

/// What marks the section.
const MARK: &[u8] = b"TO:";

impl Recipients {
    /// The bytes of the list if this section is one.
    pub(super) fn list(section: &[u8]) -> Option<&[u8]> {
        section.strip_prefix(MARK)
    }

    /// Reads what follows `TO:`: `*( user ":" host BEL )`. What has no colon or no name is left out.
    pub fn read(list: &[u8], charset: Charset) -> Self {
        let mut names: Vec<Recipient> = Vec::new();
        let mut cut = list.len() + NAME_BYTES > LIST_BYTES;
        for entry in list.split(|&byte| byte == scan::BEL) {
            let (user, Some(host)) = scan::split_once(entry, b':') else { continue };
            if names.len() == RECIPIENTS_MAX {
                break;
            }
            let (user, host) = (name(user, charset), name(host, charset));
            let user = split_fingerprint(&user).0.into_owned();
            if !user.is_empty() || !host.is_empty() {
                names.push(Recipient { user, host });
            }
        }
        cut |= names.len() == RECIPIENTS_MAX;
        Self { names, cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> Recipients {
        Recipients::read(list.as_bytes(), Charset::UTF_8)
    }

    #[test]
    fn names_are_read_without_fingerprints_and_without_the_last_bel() {
        let list = read("ann:pc-1\x07王五-<0123456789abcdef>:pc-2\x07bob:pc-3");
        let names: Vec<_> = list.names.iter().map(|n| (n.user.as_str(), n.host.as_str())).collect();
        assert_eq!(names, [("ann", "pc-1"), ("王五", "pc-2"), ("bob", "pc-3")]);
        assert!(!list.cut);
        assert_eq!(read("\x07x\x07:\x07"), Recipients::default());
    }

    #[test]
    fn a_full_list_says_that_it_may_not_be_whole() {
        let list = |names: usize| read(&"u:h\x07".repeat(names));
        assert!(!list(29).cut);
        assert!(list(30).cut);
        assert_eq!(list(45).names.len(), RECIPIENTS_MAX);
        assert!(read(&format!("{}:h\x07", "u".repeat(3_000))).cut, "no room for another name");
    }
}

//! FeiQ's group messages: scrambled, not secret.
//!
//! Blowfish in CBC mode with a zero vector, and the key is the sender's hardware address as text,
//! which stands in clear in the version field of the same packet (dialect reference, 9). Whoever
//! hears the packet can read it, and can write one in anybody's name: this must never be offered or
//! shown as encryption.

use super::cipher::Cipher;

/// Blowfish's blocks are 8 bytes; so is the vector.
const IV: [u8; 8] = [0; 8];

/// Longest scrambled text that is read, bytes. FeiQ writes a few thousand; the cipher is slow, and
/// anybody can send one.
pub const SCRAMBLED_MAX: usize = 32 << 10;

/// Scrambles a plain text under `mac`, the third part of our version field as it stands there. None
/// if that is shorter than 4 or longer than 56 bytes.
pub fn scramble(mac: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    Cipher::Blowfish.encrypt(mac, &IV, plain)
}

/// Reads what follows the header of a group packet under `mac`, the third part of the sender's
/// version field exactly as it came: letters of the other case make another key.
///
/// `rest` may hold NULs anywhere. `declared` is the cipher's length from the version field; one that
/// cannot be is ignored, and all whole blocks are taken: real clients put one NUL behind them,
/// others none. None beyond [`SCRAMBLED_MAX`].
pub fn unscramble(mac: &[u8], rest: &[u8], declared: Option<u32>) -> Option<Vec<u8>> {
    let declared = declared.and_then(|length| usize::try_from(length).ok());
    let declared = declared.filter(|&length| length > 0 && length.is_multiple_of(IV.len()));
    let (blocks, _) = rest.as_chunks::<{ IV.len() }>();
    let scrambled = match declared.and_then(|length| rest.get(..length)) {
        Some(scrambled) => scrambled,
        None => blocks.as_flattened(),
    };
    if scrambled.len() > SCRAMBLED_MAX {
        return None;
    }
    Cipher::Blowfish.decrypt(mac, &IV, scrambled)
}

/// The plain text of a group message, or of a presence in a group:
///
/// ```text
/// "QUNMSGMARK#" group [ "_" number ] "#" text [ NUL ]
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupText<'a> {
    /// The group: hexadecimal digits as they came; `b4cc80e4`.
    pub group: &'a str,
    /// A number of unknown meaning, decimal; older clients write none.
    pub number: Option<u64>,
    /// The message with its font block, or the group's name in a presence. GBK.
    pub text: &'a [u8],
}

/// Most digits of a group.
pub const GROUP_DIGITS_MAX: usize = 16;

impl<'a> GroupText<'a> {
    const MARK: &'static [u8] = b"QUNMSGMARK#";

    /// Splits a plain text; what follows its first NUL does not count. None without the mark, or
    /// if the group is not 1 to [`GROUP_DIGITS_MAX`] hexadecimal digits.
    pub fn read(plain: &'a [u8]) -> Option<Self> {
        let plain = plain.split(|&byte| byte == 0).next()?;
        let rest = plain.strip_prefix(Self::MARK)?;
        let mut parts = rest.splitn(2, |&byte| byte == b'#');
        let (name, text) = (parts.next()?, parts.next()?);
        let mut name = name.splitn(2, |&byte| byte == b'_');
        let group = name.next()?;
        let group = str::from_utf8(group).ok()?;
        let digits = group.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits || !(1..=GROUP_DIGITS_MAX).contains(&group.len()) {
            return None;
        }
        Some(Self { group, number: name.next().and_then(decimal), text })
    }

    /// Writes the plain text with the NUL of real clients. NULs in the text are left out.
    pub fn emit(&self) -> Vec<u8> {
        let mut plain = Self::MARK.to_vec();
        plain.extend_from_slice(self.group.as_bytes());
        if let Some(number) = self.number {
            plain.extend_from_slice(format!("_{number}").as_bytes());
        }
        plain.push(b'#');
        plain.extend(self.text.iter().filter(|&&byte| byte != 0));
        plain.push(0);
        plain
    }
}

/// A number of digits only; none for anything else, so that it is never mistaken for 0.
fn decimal(digits: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(digits).ok()?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for number in [None, Some(0), Some(546_770_745), Some(u64::MAX)] {
            for text in [&b""[..], b"hi", b"a#b_c#\xcd\xf5"] {
                let message = GroupText { group: "b4cc80e4", number, text };
                assert_eq!(GroupText::read(&message.emit()), Some(message));
            }
        }
        let nul = GroupText { group: "1", number: None, text: b"a\0b" };
        assert_eq!(nul.emit(), b"QUNMSGMARK#1#ab\0");
    }

    #[test]
    fn a_group_is_hexadecimal_and_its_number_may_be_anything() {
        let read = |plain: &'static [u8]| GroupText::read(plain).map(|read| read.number);
        assert_eq!(read(b"QUNMSGMARK#B4cc_12#x"), Some(Some(12)));
        for odd in [
            &b"QUNMSGMARK#b4cc_#x"[..],
            b"QUNMSGMARK#b4cc_-1#x",
            b"QUNMSGMARK#b4cc_+1#x",
            b"QUNMSGMARK#b4cc_1_2#x",
            b"QUNMSGMARK#b4cc_18446744073709551616#x",
        ] {
            assert_eq!(read(odd), Some(None), "{odd:?}");
        }
        for bad in [
            &b""[..],
            b"QUNMSGMARK#",
            b"QUNMSGMARK##x",
            b"QUNMSGMARK#_1#x",
            b"QUNMSGMARK#b4cc_1",
            b"QUNMSGMARK#b4xx#x",
            b"QUNMSGMARK#00000000000000000#x",
            b"qunmsgmark#b4cc#x",
            b"QUNMSGMARK#b4cc\0#x",
        ] {
            assert_eq!(GroupText::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_wrong_length_in_the_version_field_does_no_harm() {
        let mac = b"02AABBCCDDEE";
        let scrambled = scramble(mac, b"hello, group").unwrap();
        assert_eq!(scrambled.len(), 16);
        let longer = [scrambled.as_slice(), b"\0", &[0xaa; 8]].concat();
        for declared in [None, Some(0), Some(12), Some(16), Some(24), Some(u32::MAX)] {
            let read = unscramble(mac, &[scrambled.as_slice(), b"\0"].concat(), declared);
            assert_eq!(read.as_deref(), Some(&b"hello, group"[..]), "{declared:?}");
        }
        assert_eq!(unscramble(mac, &longer, Some(16)).as_deref(), Some(&b"hello, group"[..]));
        assert_eq!(unscramble(b"02aabbccddee", &scrambled, None), None);
        let long = |len| scramble(b"02AABBCCDDEE", &vec![b'x'; len - 1]).expect("a good key");
        let read = |len| unscramble(b"02AABBCCDDEE", &long(len), None).map(|text| text.len());
        assert_eq!(read(SCRAMBLED_MAX), Some(SCRAMBLED_MAX - 1));
        assert_eq!(read(SCRAMBLED_MAX + 8), None);
    }
}

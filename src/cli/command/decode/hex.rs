//! Hex as people paste it: blanks, colons and a leading `0x` do not matter.

use std::fmt;

/// Why some text is not hex.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NotHex {
    /// Something else than a digit.
    #[error("{} at column {column} is not a hex digit", Shown(*character))]
    Character {
        /// What stands there.
        character: char,
        /// Counted in characters from 1.
        column: usize,
    },
    /// Half a byte at the end.
    #[error("an odd number of hex digits")]
    Odd,
    /// Nothing.
    #[error("no hex digits")]
    Empty,
}

/// The bytes that `text` spells.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, NotHex> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high: Option<u8> = None;
    let prefix = if text.starts_with("0x") || text.starts_with("0X") { 2 } else { 0 };
    for (at, character) in text.chars().enumerate().skip(prefix) {
        if character.is_whitespace() || character == ':' {
            continue;
        }
        let digit = character
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(NotHex::Character { character, column: at + 1 })?;
        high = match high {
            None => Some(digit << 4),
            Some(high) => {
                bytes.push(high | digit);
                None
            }
        };
    }
    match (high, bytes.is_empty()) {
        (Some(_), _) => Err(NotHex::Odd),
        (None, true) => Err(NotHex::Empty),
        (None, false) => Ok(bytes),
    }
}

/// `bytes` as hex digits.
pub(super) fn digits(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

struct Shown(char);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", crate::term::safe(self.0.encode_utf8(&mut [0; 4])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_colons_do_not_matter() {
        assert_eq!(bytes("313a 31:3A\t00"), Ok(b"1:1:\0".to_vec()));
        assert_eq!(bytes("0x31"), Ok(b"1".to_vec()));
        assert_eq!(bytes(&digits(b"\x00\xff")), Ok(b"\x00\xff".to_vec()));
    }

    #[test]
    fn what_is_not_hex_is_shown_where_it_stands() {
        assert_eq!(bytes("31 zz"), Err(NotHex::Character { character: 'z', column: 4 }));
        assert_eq!(bytes("313"), Err(NotHex::Odd));
        assert_eq!(bytes(" "), Err(NotHex::Empty));
        let error = bytes("\x1b").expect_err("not hex");
        assert_eq!(error.to_string(), "'␛' at column 1 is not a hex digit");
    }
}

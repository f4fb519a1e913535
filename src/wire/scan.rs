//! The one field splitter and the one number reader of this crate.
//!
//! Everything here works on bytes: the separators `:`, NUL, BEL and LF never occur as the second
//! byte of a character in any charset of this field (wire reference, section 2), so bytes are split
//! first and decoded afterwards.

use memchr::memchr;

/// BEL, which ends the entries of file lists and the fields of host lists.
pub(crate) const BEL: u8 = 0x07;

/// Reads `digits` as an unsigned decimal number. Digits only: no sign, no blank, no overflow.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    number::<10>(digits)
}

/// Reads `digits` as an unsigned hexadecimal number of either case. Digits only.
pub(crate) fn hex(digits: &[u8]) -> Option<u64> {
    number::<16>(digits)
}

fn number<const BASE: u32>(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        let digit = char::from(byte).to_digit(BASE)?;
        value.checked_mul(u64::from(BASE))?.checked_add(u64::from(digit))
    })
}

/// The decimal digits at the head of `bytes`, and what follows them.
pub(crate) fn leading_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len());
    bytes.split_at(end)
}

/// Splits at the first `separator`: what stands before it, and what follows it if it is there.
pub(crate) fn split_once(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match memchr(separator, bytes) {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
        None => (bytes, None),
    }
}

/// `bytes` without the NULs at its end.
pub(crate) fn trim_nuls(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1);
    bytes.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_of_their_base_only() {
        assert_eq!(decimal(b"0123"), Some(123));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(hex(b"65a0C3f0"), Some(0x65a0_c3f0));
        for bad in [&b""[..], b"-1", b"+1", b" 1", b"1 ", b"1a", b"18446744073709551616"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
        assert_eq!(hex(b"0x1"), None);
    }

    #[test]
    fn nuls_are_trimmed_at_the_end_only() {
        assert_eq!(trim_nuls(b"\0a\0\0"), b"\0a");
        assert_eq!(trim_nuls(b"\0\0"), b"");
    }
}

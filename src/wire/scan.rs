//! The one field splitter and the one number reader of this crate.
//!
//! Everything here works on bytes: the separators `:`, NUL, BEL and LF never occur as the second
//! byte of a character in any charset of this field (wire reference, section 2), so bytes are split
//! first and decoded afterwards.

use memchr::memchr;

/// BEL, which ends the entries of file lists and the fields of host lists.
pub(crate) const BEL: u8 = 0x07;

/// Reads `digits` as an unsigned decimal number. Digits only: no sign, no blank, no overflow.
#[inline]
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    // Packet numbers have ten, commands eight or nine.
    match digits.split_first_chunk() {
        Some((first, rest)) if rest.len() < 4 => {
            rest.iter().try_fold(eight_digits(*first)?, |value, byte| {
                let digit = byte.wrapping_sub(b'0');
                (digit < 10).then(|| value * 10 + u64::from(digit))
            })
        }
        _ => whole::<10>(digits),
    }
}

/// Reads eight decimal digits at once: neighbours become pairs, pairs fours, fours the number.
#[inline]
fn eight_digits(digits: [u8; 8]) -> Option<u64> {
    let each = |byte| u64::from_ne_bytes([byte; 8]);
    let digits = u64::from_le_bytes(digits).wrapping_sub(each(b'0'));
    // Less than 0 is far beyond 9 now, and what is beyond 9 gets its high bit here.
    if (digits | digits.wrapping_add(each(0x7f - 9))) & each(0x80) != 0 {
        return None;
    }
    let pairs = (digits.wrapping_mul(10).wrapping_add(digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xffff_ffff)
}

/// Reads `digits` as an unsigned hexadecimal number of either case. Digits only.
pub(crate) fn hex(digits: &[u8]) -> Option<u64> {
    whole::<16>(digits)
}

/// Reads a hexadecimal field and splits it off: its number, and what follows its colon if there is
/// one. None if the field is no such number.
pub(crate) fn hex_field(bytes: &[u8]) -> Option<(u64, Option<&[u8]>)> {
    match leading_number::<16>(bytes)? {
        (value, [b':', rest @ ..]) => Some((value, Some(rest))),
        (value, []) => Some((value, None)),
        _ => None,
    }
}

fn whole<const BASE: u8>(digits: &[u8]) -> Option<u64> {
    leading_number::<BASE>(digits).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

/// The number at the head of `bytes` and what follows it; none if there is no digit or it exceeds
/// 64 bits.
#[inline]
fn leading_number<const BASE: u8>(bytes: &[u8]) -> Option<(u64, &[u8])> {
    // So many digits cannot overflow in any base up to 16.
    const SAFE: usize = 16;
    let (mut value, mut rest) = (0_u64, bytes);
    while let [byte, tail @ ..] = rest {
        let digit = if BASE == 10 { byte.wrapping_sub(b'0') } else { digit(*byte) };
        if digit >= BASE {
            break;
        }
        value = if bytes.len() - rest.len() < SAFE {
            value.wrapping_mul(BASE.into()).wrapping_add(digit.into())
        } else {
            value.checked_mul(BASE.into())?.checked_add(digit.into())?
        };
        rest = tail;
    }
    (rest.len() < bytes.len()).then_some((value, rest))
}

/// The value of a digit of base 16 or less; 255 for anything else.
fn digit(byte: u8) -> u8 {
    #[expect(clippy::indexing_slicing, reason = "runs in the compiler, over digits of our own")]
    const VALUES: [u8; 256] = {
        let mut values = [u8::MAX; 256];
        let (mut rest, mut value): (&[u8], u8) = (b"00112233445566778899aAbBcCdDeEfF", 0);
        while let [lower, upper, tail @ ..] = rest {
            values[*lower as usize] = value;
            values[*upper as usize] = value;
            (rest, value) = (tail, value + 1);
        }
        values
    };
    VALUES.get(usize::from(byte)).copied().unwrap_or(u8::MAX)
}

/// The decimal digits at the head of `bytes`, and what follows them.
pub(crate) fn leading_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len());
    bytes.split_at(end)
}

/// Where the first colon or NUL is. Fields are short, so this looks at eight bytes at a time and
/// has no start-up cost, unlike a search made for long texts.
#[inline]
pub(crate) fn end_of_field(bytes: &[u8]) -> Option<usize> {
    find_short(bytes, |word| hits(word, b':') | hits(word, 0), |byte| matches!(byte, b':' | 0))
}

/// Where the first `wanted` is, in bytes that may be few or many.
#[inline]
fn find(wanted: u8, bytes: &[u8]) -> Option<usize> {
    const FEW: usize = 16;
    let (first, rest) = bytes.split_at_checked(FEW).unwrap_or((bytes, b""));
    find_short(first, |word| hits(word, wanted), |byte| byte == wanted)
        .or_else(|| (!rest.is_empty()).then(|| memchr(wanted, rest)).flatten().map(|at| FEW + at))
}

/// Where the first byte is that `is` wanted; `hits` are the marks of [`hits`] for it.
#[inline]
fn find_short(
    bytes: &[u8],
    hits: impl Fn([u8; 8]) -> u64,
    is: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (words, last) = bytes.as_chunks();
    for (at, &word) in words.iter().enumerate() {
        let hits = hits(word);
        if hits != 0 {
            return Some(8 * at + hits.trailing_zeros() as usize / 8);
        }
    }
    last.iter().position(|&byte| is(byte)).map(|at| 8 * words.len() + at)
}

/// The high bit of the first byte that is `wanted` is set, and of no byte before it.
#[inline]
fn hits(word: [u8; 8], wanted: u8) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_le_bytes(word) ^ u64::from_ne_bytes([wanted; 8]);
    word.wrapping_sub(ONES) & !word & HIGH
}

/// Splits at the first `separator`: what stands before it, and what follows it if it is there.
#[inline]
pub(crate) fn split_once(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match find(separator, bytes) {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
        None => (bytes, None),
    }
}

/// The pieces of `bytes` between separators, empty ones included; one if there is no separator.
pub(crate) fn split(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let piece;
        (piece, rest) = split_once(rest?, separator);
        Some(piece)
    })
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
        assert_eq!(decimal(b"000000000000000000000000000001"), Some(1));
        assert_eq!(hex(b"65a0C3f0"), Some(0x65a0_c3f0));
        assert_eq!(hex(b"ffffFFFFffffFFFF"), Some(u64::MAX));
        assert_eq!(hex(b"1ffffFFFFffffFFFF"), None);
        for bad in [&b""[..], b"-1", b"+1", b" 1", b"1 ", b"1a", b"18446744073709551616"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
        for byte in 0..=u8::MAX {
            let expected = char::from(byte).to_digit(16).map(u64::from);
            assert_eq!(hex(&[byte]), expected, "{byte}");
            assert_eq!(decimal(&[byte]), expected.filter(|_| byte.is_ascii_digit()), "{byte}");
        }
    }

    #[test]
    fn a_number_of_any_length_is_read_and_spoilt_by_any_byte() {
        let digits = b"90817263544536271809";
        for length in 1..digits.len() {
            let mut bytes = digits[..length].to_vec();
            let expected = str::from_utf8(&bytes).unwrap().parse().ok();
            assert_eq!(decimal(&bytes), expected, "{length}");
            for at in 0..length {
                for other in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
                    bytes[at] = other;
                    assert_eq!(decimal(&bytes), None, "{}", bytes.escape_ascii());
                }
                bytes[at] = digits[at];
            }
        }
    }

    #[test]
    fn hexadecimal_fields_are_split_off() {
        assert_eq!(hex_field(b"1f:2"), Some((0x1f, Some(&b"2"[..]))));
        assert_eq!(hex_field(b"1F"), Some((0x1f, None)));
        for bad in [&b""[..], b":1", b"-1:", b"1g:", b"10000000000000000:"] {
            assert_eq!(hex_field(bad), None);
        }
    }

    #[test]
    fn the_end_of_a_field_is_found_wherever_it_is() {
        for length in 0..40 {
            for filler in [b'a', b';', 0x01, 0x80, 0xba, 0xff] {
                let mut bytes = vec![filler; length];
                assert_eq!(end_of_field(&bytes), None);
                for end in *b":\0" {
                    bytes.push(end);
                    bytes.extend_from_slice(b"\0:tail");
                    assert_eq!(end_of_field(&bytes), Some(length));
                    bytes.truncate(length);
                }
            }
        }
    }

    #[test]
    fn nuls_are_trimmed_at_the_end_only() {
        assert_eq!(trim_nuls(b"\0a\0\0"), b"\0a");
        assert_eq!(trim_nuls(b"\0\0"), b"");
    }
}

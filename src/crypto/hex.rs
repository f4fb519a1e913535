//! Hexadecimal text: bytes of either case in, lower case out.

/// Writes two lower-case digits for each byte.
pub(super) fn encode(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Reads bytes: an even count of digits and nothing else.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// Reads a number as big-endian bytes: at least one digit, an odd count allowed.
pub(super) fn number(text: &[u8]) -> Option<Vec<u8>> {
    if text.len().is_multiple_of(2) {
        return decode(text).filter(|bytes| !bytes.is_empty());
    }
    let (&first, rest) = text.split_first()?;
    let mut bytes = vec![digit(first)?];
    bytes.extend(decode(rest)?);
    Some(bytes)
}

/// Reads a number of at most eight digits.
pub(super) fn word(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 8 {
        return None;
    }
    text.iter().try_fold(0, |value, &byte| Some(value << 4 | u32::from(digit(byte)?)))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_in_either_case_and_nothing_else_is() {
        assert_eq!(decode(b"00fFA7"), Some(vec![0, 0xff, 0xa7]));
        assert_eq!(encode(&[0, 0xff, 0xa7]), "00ffa7");
        assert_eq!(number(b"10001"), Some(vec![1, 0, 1]));
        assert_eq!(number(b"010001"), Some(vec![1, 0, 1]));
        assert_eq!(word(b"65920006"), Some(0x6592_0006));
        assert_eq!(word(b"ffffffff"), Some(u32::MAX));
        for bad in [&b"0"[..], b"0x", b"+1", b" 1", b"zz", b"\xff\xff"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
        for bad in [&b""[..], b"x", b"1x1", b"+1", b"-1"] {
            assert_eq!((number(bad), word(bad)), (None, None), "{bad:?}");
        }
        assert_eq!(word(b"000000001"), None);
    }
}

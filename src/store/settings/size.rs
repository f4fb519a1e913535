//! Sizes as people write them.

/// Bytes, at least one: `500`, `64K`, `10M`, `1.5G`; units are of 1024.
///
/// # Errors
///
/// What is wrong, in a sentence, if it is no size.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size: a number of bytes, as in 500, 64K, 10M or 1.5G");
    let upper = text.trim().to_ascii_uppercase();
    let upper = upper.strip_suffix('B').unwrap_or(&upper);
    let upper = upper.strip_suffix('I').unwrap_or(upper);
    let (number, shift) = match upper.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(number) => match upper.bytes().last() {
            Some(b'K') => (number, 10),
            Some(b'M') => (number, 20),
            Some(b'G') => (number, 30),
            _ => (number, 40),
        },
        None => (upper, 0),
    };
    let (whole, tenth) = match number.split_once('.') {
        Some((whole, tenth)) if tenth.len() == 1 && shift > 0 => (whole, tenth),
        Some(_) => return Err(wrong()),
        None => (number, "0"),
    };
    let digits = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| plain).ok_or_else(wrong)
    };
    let whole = digits(whole)?.checked_mul(1 << shift).ok_or_else(wrong)?;
    let bytes = whole.checked_add(digits(tenth)? * (1 << shift) / 10).ok_or_else(wrong)?;
    if bytes == 0 { Err(wrong()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, bytes) in [
            ("500", 500),
            ("64K", 65_536),
            ("64k", 65_536),
            ("10M", 10 << 20),
            ("10MiB", 10 << 20),
            ("1.5G", 3 << 29),
            ("2T", 2 << 40),
            ("7B", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "-1", "+1", "1.5", "M", "1.55M", "1X", "99999999T", "1 0"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}

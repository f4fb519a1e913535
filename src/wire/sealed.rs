//! The outer fields of an encrypted section (wire reference, 9.3). Opening it takes keys, which are
//! not known here.

use super::scan;

/// The fields of an encrypted section, undecoded:
///
/// ```text
/// section = methods ":" key ":" body [ ":" signature ]
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed<'a> {
    /// Flags that say how it was made; hexadecimal.
    pub methods: u32,
    /// The wrapped session key, hexadecimal or base64 as `methods` says. Not empty.
    pub key: &'a [u8],
    /// The encrypted body, likewise. Not empty.
    pub body: &'a [u8],
    /// The signature, likewise.
    pub signature: Option<&'a [u8]>,
}

/// `IPMSG_ENCODE_BASE64`: the fields are base64, else hexadecimal.
const ENCODE_BASE64: u32 = 0x0100_0000;

impl<'a> Sealed<'a> {
    /// Splits the main text of a packet with `ENCRYPTOPT`. None if a field is missing, one too many
    /// is there, or the flags are not a hexadecimal number of 32 bits.
    pub fn split(main: &'a [u8]) -> Option<Self> {
        let (methods, rest) = scan::split_once(main, b':');
        let (key, rest) = scan::split_once(rest?, b':');
        let (body, signature) = scan::split_once(rest?, b':');
        if key.is_empty() || body.is_empty() || signature.is_some_and(|text| text.contains(&b':')) {
            return None;
        }
        let methods = u32::try_from(scan::hex(methods)?).ok()?;
        Some(Self { methods, key, body, signature })
    }

    /// How many bytes one of the fields stands for, written as `methods` says.
    pub fn size_bytes(&self, field: &[u8]) -> usize {
        if self.methods & ENCODE_BASE64 == 0 {
            return field.len() / 2;
        }
        let padding = field.iter().rev().take_while(|&&byte| byte == b'=').count();
        (field.len() - padding) * 3 / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_three_fields_or_four() {
        let three = Sealed { methods: 0x2_0002, key: b"ab", body: b"cd", signature: None };
        assert_eq!(Sealed::split(b"20002:ab:cd"), Some(three));
        assert_eq!(Sealed::split(b"0020002:ab:cd"), Some(three));
        let four =
            Sealed { methods: 0x4190_0004, key: b"a+/=", body: b"c", signature: Some(b"e=") };
        assert_eq!(Sealed::split(b"41900004:a+/=:c:e="), Some(four));
        let empty = Sealed { signature: Some(b""), ..three };
        assert_eq!(Sealed::split(b"20002:ab:cd:"), Some(empty));
    }

    #[test]
    fn sizes_follow_the_encoding() {
        let hex = Sealed { methods: 0x2_0002, key: b"abcd", body: b"ef", signature: None };
        assert_eq!((hex.size_bytes(hex.key), hex.size_bytes(hex.body)), (2, 1));
        let base64 = Sealed { methods: 0x4190_0004, key: b"YQ==", body: b"YWJj", ..hex };
        assert_eq!((base64.size_bytes(base64.key), base64.size_bytes(base64.body)), (1, 3));
    }

    #[test]
    fn anything_else_is_no_section() {
        for bad in [
            &b""[..],
            b"hello",
            b"20002",
            b"20002:ab",
            b"20002:ab:",
            b"20002::cd",
            b":ab:cd",
            b"0x2:ab:cd",
            b"g:ab:cd",
            b"100000000:ab:cd",
            b"20002:ab:cd:ef:",
        ] {
            assert_eq!(Sealed::split(bad), None, "{bad:?}");
        }
    }
}

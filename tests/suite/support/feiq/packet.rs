//! The six fields of a datagram, split as an old client splits them.

use super::text;

/// One NUL ends nearly everything (section 2).
pub(crate) const NUL: &[u8] = b"\0";

/// A datagram's fields.
pub(crate) struct Fields<'a> {
    pub(crate) version: &'a [u8],
    pub(crate) number: u64,
    pub(crate) word: u32,
    /// All that follows the fifth colon.
    pub(crate) rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn split(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = bytes.splitn(6, |&byte| byte == b':');
        let version = fields.next()?;
        let number = decimal(fields.next()?)?;
        let (_user, _host) = (fields.next()?, fields.next()?);
        let word = decimal(fields.next()?)?.try_into().ok()?;
        Some(Self { version, number, word, rest: fields.next()? })
    }

    /// Up to the first NUL.
    pub(crate) fn main(&self) -> &'a [u8] {
        self.rest.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    pub(crate) fn main_text(&self) -> String {
        text::read(self.main())
    }

    /// Nickname and group of an entry.
    pub(crate) fn names(&self) -> (String, String) {
        let mut names = self.rest.split(|&byte| byte == 0).map(text::read);
        (names.next().unwrap_or_default(), names.next().unwrap_or_default())
    }

    /// The third part of the version field.
    pub(crate) fn mac(&self) -> &'a [u8] {
        self.version.split(|&byte| byte == b'#').nth(2).unwrap_or_default()
    }

    /// The sixth part of the version field.
    pub(crate) fn cipher_length(&self) -> usize {
        let part = self.version.split(|&byte| byte == b'#').nth(5).unwrap_or_default();
        decimal(part).and_then(|length| length.try_into().ok()).unwrap_or(0)
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

//! One header of a folder stream: where it begins and ends, and what its fields say.

use std::borrow::Cow;

use memchr::memchr;

use super::{HEADER_MAX, Times, TreeError};
use crate::wire::attach::take_name;
use crate::wire::scan;
use crate::wire::text::Charset;

/// Where a header lies in the bytes it was found in.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    /// Behind the colon of the header's size.
    pub(super) fields: usize,
    /// Behind the last colon, where the contents begin.
    pub(super) end: usize,
}

/// Most digits of a header's size; everybody writes four.
const DIGITS_MAX: usize = 8;

/// Shortest header there can be: `8:.:0:3:`.
const HEADER_MIN: usize = 8;

/// Longest junk before the first header. FeiQ 2013 was seen to send `0<` and about 4,096 zero bytes
/// (FeiQ dialect, 8).
const PREAMBLE_MAX: usize = 8 * 1024;

impl Frame {
    /// Most bytes before the colon of a header's size.
    pub(super) const fn lead_max(first: bool) -> usize {
        if first { PREAMBLE_MAX + DIGITS_MAX } else { DIGITS_MAX }
    }

    /// Finds the header that begins `bytes`; none if its size is not there yet. Before the first
    /// one there may be junk: then the four bytes before the first colon are its size.
    pub(super) fn find(bytes: &[u8], first: bool) -> Result<Option<Self>, TreeError> {
        let lead_max = Self::lead_max(first);
        let lead = bytes.get(..=lead_max).unwrap_or(bytes);
        let Some(colon) = memchr(b':', lead) else {
            return if lead.len() > lead_max { Err(TreeError::HeaderSize) } else { Ok(None) };
        };
        let digits = lead.get(..colon).unwrap_or_default();
        let size = Self::size(digits).or_else(|| {
            let size = digits.last_chunk::<4>().filter(|_| first)?;
            Self::size(size)
        });
        let (digits, size) = size.ok_or(TreeError::HeaderSize)?;
        Ok(Some(Self { fields: colon + 1, end: colon - digits + size }))
    }

    /// How many digits there are, and what they say, if a header can have that size.
    fn size(digits: &[u8]) -> Option<(usize, usize)> {
        let size = usize::try_from(scan::hex(digits)?).ok()?;
        (HEADER_MIN.max(digits.len() + 2)..=HEADER_MAX)
            .contains(&size)
            .then_some((digits.len(), size))
    }
}

/// The fields of a header, numbers read and the name still in bytes.
pub(super) struct Header<'a> {
    name: Cow<'a, [u8]>,
    pub(super) size: u64,
    pub(super) attr: u32,
    pub(super) times: Times,
}

impl<'a> Header<'a> {
    /// Reads what stands between the colon of the header's size and the header's end. Attributes
    /// nobody knows are passed over; so is a time that is no number, which is not worth a folder
    /// (iptux writes times before 1970 as 64-bit negatives).
    pub(super) fn parse(fields: &'a [u8]) -> Result<Self, TreeError> {
        let fields = fields.strip_suffix(b":").ok_or(TreeError::Fields)?;
        let (name, rest) = take_name(fields).ok_or(TreeError::Fields)?;
        let (size, rest) = scan::split_once(rest, b':');
        let (attr, mut rest) = scan::split_once(rest.ok_or(TreeError::Fields)?, b':');
        let size = time_or_size(size).ok_or(TreeError::Number)?;
        let attr = scan::hex(attr).and_then(|attr| u32::try_from(attr).ok());
        let attr = attr.ok_or(TreeError::Number)?;
        let mut times = Times::default();
        while let Some(attributes) = rest {
            let (attribute, next) = scan::split_once(attributes, b':');
            match attribute.split_at_checked(3) {
                Some((b"14=", value)) => times.modified = time_or_size(value),
                Some((b"16=", value)) => times.created = time_or_size(value),
                _ => {}
            }
            rest = next;
        }
        Ok(Self { name, size, attr, times })
    }

    /// What it is: the low byte of its attributes.
    pub(super) fn kind(&self) -> u8 {
        let [kind, ..] = self.attr.to_le_bytes();
        kind
    }

    /// The name decoded, if it is one path component; blanks alone are one too. Looked at after decoding: `\` is the second
    /// byte of some characters in the charsets of Japan and China.
    pub(super) fn name(self, charset: Charset) -> Result<Cow<'a, str>, TreeError> {
        let name = match self.name {
            Cow::Borrowed(name) => decode(name, charset),
            Cow::Owned(name) => Cow::Owned(decode(&name, charset).into_owned()),
        };
        if matches!(&*name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
            return Err(TreeError::Path);
        }
        Ok(name)
    }
}

/// Decodes in `charset`; a name that is none in it is read in the other one of this field: UTF-8,
/// or GB18030 where UTF-8 was expected (FeiQ dialect, 2).
fn decode(name: &[u8], charset: Charset) -> Cow<'_, str> {
    let other = if charset == Charset::UTF_8 { Charset::GB18030 } else { Charset::UTF_8 };
    charset
        .decode_strictly(name)
        .or_else(|| other.decode_strictly(name))
        .unwrap_or_else(|| charset.decode(name))
}

/// A hexadecimal number below 2^63.
fn time_or_size(digits: &[u8]) -> Option<u64> {
    scan::hex(digits).filter(|&value| i64::try_from(value).is_ok())
}

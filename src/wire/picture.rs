//! Pictures of FeiQ (dialect reference, 7): the fragments they come in over UDP, the
//! acknowledgement of each, and the reference that shows their place in a text. When to send which,
//! and what is assembled of them, is decided elsewhere; the container that FeiQ packs bitmaps in is
//! [`lzw`].
//!
//! ```text
//! fragment  = id "|" total "|" offset "|" count "|" index "|" length "|" f1 "|" f2 "|" f3 "|" tail "#" NUL data
//! ack       = id "|" index "#" NUL
//! reference = "/~#>" id ( "<B~" / "<G~" )
//! ```
//!
//! The id and the tail are hexadecimal, everything else is decimal.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::command::{Command, CommandWord, Options, message};
use super::packet::{Head, RawPacket};
use super::scan;
use super::text::Charset;

pub mod lzw;

/// The number its sender gave a picture: written as eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PictureId(pub u32);

impl PictureId {
    fn parse(digits: &[u8]) -> Option<Self> {
        let digits = Some(digits).filter(|digits| digits.len() <= 8)?;
        u32::try_from(scan::hex(digits)?).ok().map(Self)
    }
}

impl fmt::Display for PictureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// One piece of a picture, command [`Command::FEIQ_IMAGE_FRAGMENT`]. What is read has numbers that
/// agree with each other; whether they agree with the other fragments of the picture only its
/// receiver can know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment<'a> {
    /// Which picture.
    pub id: PictureId,
    /// The id as it came; an acknowledgement repeats it so. Empty in what we cut ourselves: then the
    /// id is written as eight digits.
    pub id_text: &'a [u8],
    /// Bytes of the whole picture, 1 to [`WIRE_MAX`].
    pub total: u32,
    /// Where in the picture the data begin, in bytes.
    pub offset: u32,
    /// Fragments of the whole picture, at most [`COUNT_MAX`].
    pub count: u32,
    /// Its number as it came: FeiQ counts from 1, some from 0 (dialect reference, 12).
    /// An acknowledgement repeats it.
    pub index: u32,
    /// What the data are, as their sender says: [`JPEG`], [`CONTAINER`], or others. [`Kind::of`]
    /// looks for itself.
    pub flags: [u32; 3],
    /// The tenth field; always 0 so far.
    pub tail: u32,
    /// The data, exactly as long as the header says; zeros at their end belong to them.
    pub data: &'a [u8],
}

/// Bytes of data in a fragment, but for the last: FeiQ's setting `BmpUdpSendSize`.
pub const CHUNK: usize = 512;

/// Largest picture, in bytes as they travel (threats, caps).
pub const WIRE_MAX: usize = 16 << 20;

/// Most fragments of one picture.
#[expect(clippy::cast_possible_truncation, reason = "32,768")]
pub const COUNT_MAX: u32 = (WIRE_MAX / CHUNK) as u32;

/// Flags of a JPEG file (vector `image-fragment-jpeg`).
pub const JPEG: [u32; 3] = [0, 2, 0];

/// Flags of an [`lzw`] container; what FeiQ 2013 takes from others.
pub const CONTAINER: [u32; 3] = [0, 1, 0];

/// Why a fragment or an acknowledgement cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// Another command.
    #[error("no packet of a picture")]
    Command,
    /// A field is missing, or there are too many.
    #[error("wrong number of fields")]
    Fields,
    /// A number is not of its base, negative, or larger than 32 bits.
    #[error("bad number")]
    Number,
    /// The picture would be larger than [`WIRE_MAX`] or have more than [`COUNT_MAX`] fragments.
    #[error("picture too large")]
    TooLarge,
    /// The numbers contradict each other.
    #[error("numbers that contradict each other")]
    Layout,
    /// Fewer bytes of data than the header says.
    #[error("data cut off")]
    Data,
}

impl<'a> Fragment<'a> {
    /// Reads a fragment. Bytes behind its data are ignored.
    pub fn read(raw: &RawPacket<'a>) -> Result<Self, PictureError> {
        if raw.command() != Command::FEIQ_IMAGE_FRAGMENT {
            return Err(PictureError::Command);
        }
        let (header, data) = scan::split_once(raw.rest.unwrap_or_default(), 0);
        let header = header.strip_suffix(b"#").unwrap_or(header);
        let mut fields = header.split(|&byte| byte == b'|');
        let mut field = || fields.next().ok_or(PictureError::Fields);
        let id_text = field()?;
        let id = PictureId::parse(id_text).ok_or(PictureError::Number)?;
        let mut number = || decimal(field()?);
        let [total, offset, count, index] = [number()?, number()?, number()?, number()?];
        let [length, f1, f2, f3] = [number()?, number()?, number()?, number()?];
        let tail = PictureId::parse(field()?).ok_or(PictureError::Number)?;
        if fields.next().is_some() {
            return Err(PictureError::Fields);
        }
        if usize::try_from(total).map_or(true, |total| total > WIRE_MAX) || count > COUNT_MAX {
            return Err(PictureError::TooLarge);
        }
        let length = usize::try_from(length).map_err(|_| PictureError::Data)?;
        let data = data.and_then(|data| data.get(..length)).ok_or(PictureError::Data)?;
        let flags = [f1, f2, f3];
        let fragment = Self { id, id_text, total, offset, count, index, flags, tail: tail.0, data };
        let position = fragment.layout().ok_or(PictureError::Layout)?.0;
        if index != position && index != position + 1 {
            return Err(PictureError::Layout);
        }
        Ok(fragment)
    }

    /// Cuts a picture: its fragment at a position counted from 0; none beyond its end, or of an
    /// empty picture or one larger than [`WIRE_MAX`].
    pub fn of(picture: &'a [u8], id: PictureId, flags: [u32; 3], position: usize) -> Option<Self> {
        let total = u32::try_from(picture.len()).ok().filter(|_| picture.len() <= WIRE_MAX)?;
        let data = picture.chunks(CHUNK).nth(position)?;
        let count = u32::try_from(picture.len().div_ceil(CHUNK)).ok()?;
        let index = u32::try_from(position + 1).ok()?;
        let offset = u32::try_from(position * CHUNK).ok()?;
        Some(Self { id, id_text: b"", total, offset, count, index, flags, tail: 0, data })
    }

    /// Which fragment it is, counted from 0, below [`count`](Fragment::count).
    pub fn position(&self) -> u32 {
        self.layout().map_or(0, |(position, _)| position)
    }

    /// Bytes in each fragment of the picture but the last, as far as this one shows: the last one
    /// of a single fragment is as large as the picture. Senders other than FeiQ cut by other sizes
    /// than [`CHUNK`] (vector `image-fragment-synth`).
    pub fn chunk(&self) -> u32 {
        self.layout().map_or(self.total, |(_, chunk)| chunk)
    }

    /// Position and chunk size, if the numbers agree on them: all chunks but the last have one
    /// size, the last has the rest, and together they are the picture.
    fn layout(&self) -> Option<(u32, u32)> {
        let length = u32::try_from(self.data.len()).ok().filter(|&length| length > 0)?;
        let last = self.count.checked_sub(1)?;
        let ends = self.offset.checked_add(length)?;
        let (position, chunk) = if ends == self.total {
            (last, self.offset.checked_div(last).unwrap_or(self.total))
        } else {
            (self.offset / length, length)
        };
        let fits = length <= chunk
            && position.checked_mul(chunk)? == self.offset
            && self.total.div_ceil(chunk) == self.count
            && position <= last;
        fits.then_some((position, chunk))
    }

    /// Writes the fragment as a packet; nothing follows the data.
    pub fn emit(&self, head: &Head<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.len() + 192);
        let word = CommandWord::new(Command::FEIQ_IMAGE_FRAGMENT, message::FILE_ATTACH);
        head.emit(word, Charset::GBK, &mut out);
        self.emit_id(&mut out);
        let Self { total, offset, count, index, flags: [f1, f2, f3], tail, data, .. } = *self;
        let length = data.len();
        let numbers =
            format!("|{total}|{offset}|{count}|{index}|{length}|{f1}|{f2}|{f3}|{tail:08x}#\0");
        out.extend_from_slice(numbers.as_bytes());
        out.extend_from_slice(data);
        out
    }

    /// Writes its acknowledgement, due at once for each fragment and each repetition of it.
    pub fn emit_ack(&self, head: &Head<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let word = CommandWord::new(Command::FEIQ_IMAGE_ACK, Options::empty());
        head.emit(word, Charset::GBK, &mut out);
        self.emit_id(&mut out);
        out.extend_from_slice(format!("|{}#\0", self.index).as_bytes());
        out
    }

    fn emit_id(&self, out: &mut Vec<u8>) {
        if self.id_text.is_empty() {
            out.extend_from_slice(self.id.to_string().as_bytes());
        } else {
            out.extend_from_slice(self.id_text);
        }
    }
}

/// A fragment has arrived: command [`Command::FEIQ_IMAGE_ACK`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FragmentAck {
    /// Which picture.
    pub id: PictureId,
    /// Which fragment: the index that its sender gave it.
    pub index: u32,
}

impl FragmentAck {
    /// Reads an acknowledgement.
    pub fn read(raw: &RawPacket<'_>) -> Result<Self, PictureError> {
        if raw.command() != Command::FEIQ_IMAGE_ACK {
            return Err(PictureError::Command);
        }
        let main = raw.main();
        let (id, index) = scan::split_once(main.strip_suffix(b"#").unwrap_or(main), b'|');
        let index = decimal(index.ok_or(PictureError::Fields)?)?;
        Ok(Self { id: PictureId::parse(id).ok_or(PictureError::Number)?, index })
    }
}

fn decimal(digits: &[u8]) -> Result<u32, PictureError> {
    scan::decimal(digits).and_then(|value| u32::try_from(value).ok()).ok_or(PictureError::Number)
}

/// What a picture's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// An [`lzw`] container around a bitmap.
    Container,
    /// A JPEG file.
    Jpeg,
    /// A PNG file.
    Png,
    /// A GIF file.
    Gif,
    /// A bitmap file.
    Bmp,
    /// A bitmap without its file header: it begins with a `BITMAPINFOHEADER`.
    Dib,
}

impl Kind {
    /// Looks at the first bytes; what a fragment's flags say comes second (dialect reference, 7).
    pub fn of(picture: &[u8]) -> Option<Self> {
        const MARKS: [(&[u8], Kind); 6] = [
            (lzw::MARK, Kind::Container),
            (b"\xff\xd8", Kind::Jpeg),
            (b"\x89P", Kind::Png),
            (b"GIF8", Kind::Gif),
            (b"BM", Kind::Bmp),
            (b"\x28\0\0\0", Kind::Dib),
        ];
        MARKS.iter().find(|(mark, _)| picture.starts_with(mark)).map(|&(_, kind)| kind)
    }
}

/// The place of a picture in a text: `/~#>ca37a4e0<B~`. Text and fragments come in either order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reference {
    /// Which picture.
    pub id: PictureId,
    /// A GIF (an emoticon of the writer's own), else a bitmap or a JPEG.
    pub gif: bool,
    /// The bytes of the text it takes up.
    pub range: Range<usize>,
}

impl Reference {
    const START: &'static str = "/~#>";
    const DIGITS: usize = 8;
    const LENGTH: usize = Self::START.len() + Self::DIGITS + 3;

    /// The references in a text, in order. Anything that only looks like one is the writer's own.
    pub fn find(text: &str) -> impl Iterator<Item = Self> + '_ {
        text.match_indices(Self::START).filter_map(|(start, mark)| {
            let range = start..start + Self::LENGTH;
            let (digits, end) =
                text.get(range.clone())?.get(mark.len()..)?.split_at_checked(Self::DIGITS)?;
            let gif = match end {
                "<B~" => false,
                "<G~" => true,
                _ => return None,
            };
            Some(Self { id: PictureId::parse(digits.as_bytes())?, gif, range })
        })
    }

    /// The text without its references.
    pub fn strip(text: &str) -> Cow<'_, str> {
        let mut stripped = String::new();
        let mut from = 0;
        for reference in Self::find(text) {
            stripped.push_str(text.get(from..reference.range.start).unwrap_or_default());
            from = reference.range.end;
        }
        if from == 0 {
            return Cow::Borrowed(text);
        }
        stripped.push_str(text.get(from..).unwrap_or_default());
        Cow::Owned(stripped)
    }

    /// How a reference is written in a text.
    pub fn text(id: PictureId, gif: bool) -> String {
        format!("{}{id}{}", Self::START, if gif { "<G~" } else { "<B~" })
    }

    /// Writes the message that shows a picture, to be sent when all its fragments are acknowledged:
    /// a message that is nothing but the reference, and two NULs (vector `image-ref`).
    pub fn emit(id: PictureId, gif: bool, head: &Head<'_>, options: Options) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        head.emit(CommandWord::new(Command::SENDMSG, options), Charset::GBK, &mut out);
        out.extend_from_slice(Self::text(id, gif).as_bytes());
        out.extend_from_slice(b"\0\0");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PacketNo;

    fn read(header: &str, data: &[u8]) -> Result<(u32, u32), PictureError> {
        let packet = [format!("1:1:u:h:2097344:{header}").as_bytes(), b"\0", data].concat();
        let raw = RawPacket::parse(&packet).unwrap();
        Fragment::read(&raw).map(|fragment| (fragment.position(), fragment.chunk()))
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused() {
        let data = [7; 600];
        for (header, expected) in [
            ("64ea4edd|1200|512|3|2|512|0|2|0|00000000#", Ok((1, 512))),
            ("64ea4edd|1200|512|3|1|512|0|2|0|00000000#", Ok((1, 512))),
            ("64ea4edd|1200|1024|3|3|176|0|2|0|00000000#", Ok((2, 512))),
            ("64ea4edd|1200|1024|3|2|176|0|2|0|00000000", Ok((2, 512))),
            ("64ea4edd|512|0|1|1|512|0|2|0|00000000#", Ok((0, 512))),
            ("64ea4edd|512|0|1|0|512|0|2|0|00000000#", Ok((0, 512))),
            // The index is neither.
            ("64ea4edd|1200|512|3|3|512|0|2|0|00000000#", Err(PictureError::Layout)),
            ("64ea4edd|512|0|1|2|512|0|2|0|00000000#", Err(PictureError::Layout)),
            // The offset is between two fragments, or beyond the end.
            ("64ea4edd|1200|511|3|2|512|0|2|0|00000000#", Err(PictureError::Layout)),
            ("64ea4edd|1200|1025|3|3|175|0|2|0|00000000#", Err(PictureError::Layout)),
            ("64ea4edd|1200|1024|3|3|177|0|2|0|00000000#", Err(PictureError::Layout)),
            ("64ea4edd|1200|4294967295|3|3|176|0|2|0|00000000#", Err(PictureError::Layout)),
            // The count is not what the sizes make.
            ("64ea4edd|1200|512|4|2|512|0|2|0|00000000#", Err(PictureError::Layout)),
            ("64ea4edd|1200|512|0|2|512|0|2|0|00000000#", Err(PictureError::Layout)),
            // The last one is longer than the others.
            ("64ea4edd|1100|512|2|2|588|0|2|0|00000000#", Err(PictureError::Layout)),
            ("64ea4edd|1200|512|3|2|0|0|2|0|00000000#", Err(PictureError::Layout)),
            ("64ea4edd|0|0|0|0|0|0|2|0|00000000#", Err(PictureError::Layout)),
            ("64ea4edd|1200|512|3|2|601|0|2|0|00000000#", Err(PictureError::Data)),
            ("64ea4edd|16777217|512|32769|2|512|0|2|0|00000000#", Err(PictureError::TooLarge)),
            ("64ea4edd|16777216|1|16777216|2|1|0|2|0|00000000#", Err(PictureError::TooLarge)),
            ("64ea4edd|-1|512|3|2|512|0|2|0|00000000#", Err(PictureError::Number)),
            ("64ea4edx|1200|512|3|2|512|0|2|0|00000000#", Err(PictureError::Number)),
            ("064ea4edd|1200|512|3|2|512|0|2|0|00000000#", Err(PictureError::Number)),
            ("64ea4edd|1200|512|3|2|512|0|2|0#", Err(PictureError::Fields)),
            ("64ea4edd|1200|512|3|2|512|0|2|0|0|0#", Err(PictureError::Fields)),
            ("", Err(PictureError::Number)),
        ] {
            assert_eq!(read(header, &data), expected, "{header}");
        }
    }

    #[test]
    fn an_acknowledgement_repeats_the_id_and_the_index_as_they_came() {
        let head = Head { version: "1", number: PacketNo(9), user: "u", host: "h" };
        let packet = b"1:1:u:h:2097344:AB|3|0|1|0|3|0|2|0|00000000#\0abc";
        let fragment = Fragment::read(&RawPacket::parse(packet).unwrap()).unwrap();
        let ack = fragment.emit_ack(&head);
        assert_eq!(ack, b"1:9:u:h:193:AB|0#\0");
        let ack = FragmentAck::read(&RawPacket::parse(&ack).unwrap()).unwrap();
        assert_eq!(ack, FragmentAck { id: PictureId(0xab), index: 0 });
        let other = RawPacket::parse(b"1:1:u:h:209:\0").unwrap();
        assert_eq!(FragmentAck::read(&other), Err(PictureError::Command));
        assert_eq!(Fragment::read(&other), Err(PictureError::Command));
        let bare = RawPacket::parse(b"1:1:u:h:193:ab\0").unwrap();
        assert_eq!(FragmentAck::read(&bare), Err(PictureError::Fields));
    }

    #[test]
    fn only_whole_references_are_stripped() {
        assert_eq!(Reference::strip("a/~#>0000abcd<B~b/~#>FFFFFFFF<G~"), "ab");
        for own in
            ["", "/~#>", "/~#>abc<B~", "/~#>0000abcd<C~", "/~#>0000abcd<B", "/~#>000图abcd<B~"]
        {
            assert_eq!(Reference::strip(own), own);
        }
        assert_eq!(Reference::strip("/~#>/~#>0000abcd<B~"), "/~#>");
        let found: Vec<_> = Reference::find("图/~#>0000abcd<G~").collect();
        assert_eq!(found, [Reference { id: PictureId(0xabcd), gif: true, range: 3..18 }]);
    }

    #[test]
    fn a_picture_is_known_by_its_first_bytes() {
        assert_eq!(Kind::of(b"LZW!...."), Some(Kind::Container));
        assert_eq!(Kind::of(b"\x28\0\0\0\x04"), Some(Kind::Dib));
        assert_eq!(Kind::of(b"\xff\xd8\xff\xe0"), Some(Kind::Jpeg));
        assert_eq!(Kind::of(b"LZW"), None);
    }
}

//! FeiQ: its version field, its text tail, its charset (`feiq-dialect.md`).

use std::net::Ipv4Addr;

use memchr::memrchr;
use serde::{Deserialize, Serialize};

use super::{Dialect, Habits, IdBase, NameForm, Reads, Rewrite, emoticon};
use crate::wire::command::entry;
use crate::wire::packet::{RawPacket, name};
use crate::wire::scan;
use crate::wire::text::Charset;

/// FeiQ and its family.
pub const FEIQ: Dialect = Dialect {
    name: "feiq",
    charset: Some(Charset::GBK),
    split_tail: |text| FontBlock::split(text),
    show: emoticon::show,
    habits: Habits {
        text: Reads::Only(Charset::GBK, Rewrite { substitute: emoticon::substitute, tail }),
        reads_full_entry: false,
        absence: Some(entry::ABSENCE.union(entry::FILE_ATTACH)),
        numbers_from_one: true,
        list_joint: "\x07",
        list_nul: true,
        request_ids: IdBase::Hexadecimal,
        request_nul: false,
        honours_offset: true,
        empty_folders: true,
        knocks: true,
        shows_typing: true,
        probes: true,
        takes_pictures: true,
        file_names: NameForm::Windows,
    },
    recognises: |raw: &RawPacket<'_>| raw.version.starts_with(b"1_lbt"),
    may_hide_as: None,
};

/// A text that ends in what `FeiQ` takes for the writer's font gets a font behind it, which is
/// taken in its place: only the last block is.
fn tail(text: &[u8]) -> &'static [u8] {
    // As a real one writes it, in GBK (vector `group-msg-multicast-hex`).
    const FONT: &[u8] =
        b"{/font;-16 0 0 0 400 0 0 0 134 0 0 2 32 \xce\xa2\xc8\xed\xd1\xc5\xba\xda 8404992;}";
    if FontBlock::split(text).1.is_some() { FONT } else { b"" }
}

/// Where groups speak (dialect reference, 9), on the port of everything else.
pub const GROUP_ADDR: Ipv4Addr = Ipv4Addr::new(226, 81, 9, 8);
/// Routers that a datagram to [`GROUP_ADDR`] may pass, as in captures.
pub const GROUP_TTL: u32 = 16;

/// Our version field: FeiQ's grammar with our own stable 12 hex digits (dialect reference, 1).
pub fn own_version_field(mac: &str) -> String {
    group_version_field(mac, 0)
}

/// Our version field in a packet to a group, whose cipher text has this many bytes.
pub fn group_version_field(mac: &str, cipher_length: usize) -> String {
    format!("1_lbt6_0#128#{mac}#0#0#{cipher_length}#4001#9")
}

/// The third field of a FeiQ version, which identifies its contact; not always 12 hex digits.
pub fn version_mac(version: &[u8]) -> Option<&[u8]> {
    version.split(|&byte| byte == b'#').nth(2).filter(|_| version.starts_with(b"1_lbt"))
}

/// FeiQ's version field (dialect reference, 1):
///
/// ```text
/// 1_lbt<generation>_<avatar>#<level>#<mac>#<avatar size>#<picture size>#<cipher length>[#<build>[#<tail>]]
/// ```
///
/// A number that is missing or not decimal is none, never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeiqVersion<'a> {
    /// The whole field as it came; writing this is lossless (an avatar may be `09`).
    pub raw: &'a [u8],
    /// Digits after `lbt`: 2, 4, 6 and 80 were seen.
    pub generation: u32,
    /// Number of the built-in avatar; 0 is the default.
    pub avatar: Option<u32>,
    /// Level from time online; for display only.
    pub level: Option<u32>,
    /// Identifies the contact; not always 12 hex digits.
    pub mac: Option<&'a [u8]>,
    /// Bytes of the custom avatar; 0 is none.
    pub avatar_size: Option<u32>,
    /// Bytes of a second custom picture; 0 is none.
    pub picture_size: Option<u32>,
    /// Bytes of cipher text of a group message; 0 in other packets.
    pub cipher_length: Option<u32>,
    /// A constant of the build: `4000`, `4001`, `2.5a`.
    pub build: Option<&'a [u8]>,
    /// Everything behind the build: `9`.
    pub tail: Option<&'a [u8]>,
}

impl<'a> FeiqVersion<'a> {
    /// Reads a version field; none if it does not begin `1_lbt<digits>_`.
    pub fn parse(version: &'a [u8]) -> Option<Self> {
        let (generation, rest) = scan::leading_digits(version.strip_prefix(b"1_lbt")?);
        let rest = rest.strip_prefix(b"_")?;
        let mut fields = rest.splitn(8, |&byte| byte == b'#');
        let number = |fields: &mut std::slice::SplitN<'a, u8, _>| small(fields.next()?);
        let avatar = number(&mut fields);
        let level = number(&mut fields);
        let mac = fields.next();
        Some(Self {
            raw: version,
            generation: small(generation)?,
            avatar,
            level,
            mac,
            avatar_size: number(&mut fields),
            picture_size: number(&mut fields),
            cipher_length: number(&mut fields),
            build: fields.next(),
            tail: fields.next(),
        })
    }
}

fn small(digits: &[u8]) -> Option<u32> {
    u32::try_from(scan::decimal(digits)?).ok()
}

/// The font a text was written in, as far as it matters to its reader.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Font {
    /// Name of the font.
    pub face: String,
    /// Negative: height of the characters in pixels; positive: of the line.
    pub height: i32,
    /// 400 is regular, 700 bold.
    pub weight: i32,
    /// Italic.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
    /// Struck out.
    pub strikeout: bool,
    /// Colour: `#` and six lower-case hexadecimal digits, red, green, blue.
    pub color: String,
}

/// The block FeiQ puts behind a text: the Windows font it was written in, a `LOGFONT` and a colour
/// (dialect reference, 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FontBlock<'a> {
    /// Negative: height of the characters in pixels; positive: of the line.
    pub height: i32,
    /// Average width; 0 is the font's own.
    pub width: i32,
    /// Tilt of the line, tenths of a degree.
    pub escapement: i32,
    /// Tilt of each character, tenths of a degree.
    pub orientation: i32,
    /// 400 is regular, 700 bold.
    pub weight: i32,
    /// Italic if not 0.
    pub italic: u32,
    /// Underlined if not 0.
    pub underline: u32,
    /// Struck out if not 0.
    pub strikeout: u32,
    /// Windows charset: 134 is GB2312, 1 the default.
    pub charset: u32,
    /// Output precision.
    pub out_precision: u32,
    /// Clipping precision.
    pub clip_precision: u32,
    /// Quality.
    pub quality: u32,
    /// Pitch and family.
    pub pitch_family: u32,
    /// Name of the font, GBK; may hold blanks.
    pub face: &'a [u8],
    /// Colour as 0x00BBGGRR.
    pub color: u32,
}

impl<'a> FontBlock<'a> {
    /// Longest block, in bytes.
    const MAX: usize = 512;

    /// Splits a text into what its writer typed and the font block at its end. Only one whole,
    /// well-formed block at the very end is formatting; all other braces are the writer's own,
    /// another block included.
    pub fn split(text: &'a [u8]) -> (&'a [u8], Option<Self>) {
        let trimmed = scan::trim_nuls(text);
        if trimmed.ends_with(b";}") {
            let first = trimmed.len().saturating_sub(Self::MAX);
            let mut end = trimmed.len();
            while let Some(start) = trimmed.get(..end).and_then(|before| memrchr(b'{', before)) {
                if start < first {
                    break;
                }
                let (typed, block) = trimmed.split_at(start);
                if let Some(font) = Self::parse(block) {
                    return (typed, Some(font));
                }
                end = start;
            }
        }
        (text, None)
    }

    /// Reads a block from its opening to its closing brace.
    fn parse(block: &'a [u8]) -> Option<Self> {
        let block = block.strip_prefix(b"{/font;").or_else(|| block.strip_prefix(b"{\\font;"))?;
        let mut fields = block.strip_suffix(b";}")?.splitn(14, |&byte| byte == b' ');
        let mut signed = || {
            let digits = fields.next()?;
            let (minus, digits) = digits.strip_prefix(b"-").map_or((false, digits), |d| (true, d));
            let value = i32::try_from(scan::decimal(digits)?).ok()?;
            Some(if minus { -value } else { value })
        };
        let [height, width, escapement, orientation, weight] =
            [signed()?, signed()?, signed()?, signed()?, signed()?];
        let mut unsigned = || small(fields.next()?);
        let [italic, underline, strikeout, charset] =
            [unsigned()?, unsigned()?, unsigned()?, unsigned()?];
        let [out_precision, clip_precision, quality, pitch_family] =
            [unsigned()?, unsigned()?, unsigned()?, unsigned()?];
        let last = fields.next()?;
        let (face, color) = last.split_at_checked(memrchr(b' ', last)?)?;
        let color = small(color.strip_prefix(b" ")?)?;
        if face.windows(2).any(|pair| pair == b";}") {
            return None;
        }
        Some(Self {
            height,
            width,
            escapement,
            orientation,
            weight,
            italic,
            underline,
            strikeout,
            charset,
            out_precision,
            clip_precision,
            quality,
            pitch_family,
            face,
            color,
        })
    }

    /// It, kept: face and flags as a reader wants them. The face is GBK.
    pub fn to_font(&self) -> Font {
        let [red, green, blue] = self.rgb();
        Font {
            face: name(self.face, Charset::GBK),
            height: self.height,
            weight: self.weight,
            italic: self.italic != 0,
            underline: self.underline != 0,
            strikeout: self.strikeout != 0,
            color: format!("#{red:02x}{green:02x}{blue:02x}"),
        }
    }

    /// The colour: red, green, blue.
    pub fn rgb(&self) -> [u8; 3] {
        let [red, green, blue, _] = self.color.to_le_bytes();
        [red, green, blue]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "{/font;-16 0 0 0 400 0 0 0 134 0 0 2 32 Microsoft YaHei 8404992;}";

    fn typed(text: &str) -> &str {
        str::from_utf8(FontBlock::split(text.as_bytes()).0).unwrap()
    }

    #[test]
    fn only_the_last_whole_block_is_formatting() {
        let backslash = BLOCK.replace('/', "\\");
        for text in ["", "1 ", "if (a) { b; } {/font;x;} ok", "{}", "{\\font;", BLOCK, "a;}"] {
            assert_eq!(typed(&format!("{text}{BLOCK}")), text);
            assert_eq!(typed(&format!("{text}{BLOCK}\0\0")), text);
            assert_eq!(typed(&format!("{text}{backslash}")), text);
        }
    }

    #[test]
    fn braces_of_the_writer_survive() {
        let long = format!("{{/font;-16 0 0 0 400 0 0 0 134 0 0 2 32 {} 1;}}", "x".repeat(500));
        for text in [
            "a {b;}",
            "{/font;x;}",
            "{\\font;",
            "{/font;-13 0 0 0 400 0 0 0 134 3 2 1 2 Tahoma 1 /font;}",
            "{/font;-16 0 0 0 400 0 0 0 134 0 0 2 32 a;} b 1;}",
            &format!("{BLOCK} "),
            &long,
        ] {
            assert_eq!(typed(text), text);
        }
    }

    #[test]
    fn a_font_is_read_whole() {
        let font = FontBlock::split(BLOCK.as_bytes()).1.unwrap();
        assert_eq!((font.height, font.weight, font.charset), (-16, 400, 134));
        assert_eq!((font.face, font.rgb()), (&b"Microsoft YaHei"[..], [0x00, 0x40, 0x80]));
    }

    #[test]
    fn odd_versions_are_read_as_far_as_they_go() {
        let version = FeiqVersion::parse(b"1_lbt4_09#x#DEVICE#0#1#2#2.5a#9#more").unwrap();
        assert_eq!((version.generation, version.avatar, version.level), (4, Some(9), None));
        assert_eq!(version.mac, Some(&b"DEVICE"[..]));
        assert_eq!((version.build, version.tail), (Some(&b"2.5a"[..]), Some(&b"9#more"[..])));
        let bare = FeiqVersion::parse(b"1_lbt6_").unwrap();
        assert_eq!((bare.avatar, bare.mac, bare.cipher_length), (None, None, None));
        for other in [&b"1"[..], b"1_lbt", b"1_lbt_0", b"1_lbtx_0", b"1_iptux 0.8.3"] {
            assert_eq!(FeiqVersion::parse(other), None);
        }
    }

    #[test]
    fn our_own_version_reads_as_we_mean_it() {
        let field = own_version_field("02AABBCCDDEE");
        let version = FeiqVersion::parse(field.as_bytes()).unwrap();
        assert_eq!(version.mac, Some(&b"02AABBCCDDEE"[..]));
        assert_eq!(version.mac, version_mac(field.as_bytes()));
        assert_eq!((version.generation, version.level), (6, Some(128)));
    }
}

//! Charsets: which one these bytes are in, and text to bytes and back.
//!
//! Nothing on the wire names the charset of a packet without `UTF8OPT`. A [`Ladder`] climbs down
//! from what is known to what can only be guessed, and its [`Verdict`] says on which step it stood;
//! [`Learned`] remembers the verdicts on one peer. Original bytes are never thrown away by this
//! module: a verdict can be revised later.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use encoding_rs::{CoderResult, DecoderResult, EncoderResult, Encoding};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod evidence;
mod ladder;
mod learned;

pub use ladder::{Ladder, Sure, Verdict};
pub use learned::Learned;

/// A charset, as the WHATWG encoding standard defines it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

impl Charset {
    /// UTF-8.
    pub const UTF_8: Self = Self(&encoding_rs::UTF_8_INIT);
    /// GBK, the code page of Windows in mainland China (936). Reads all of GB18030.
    pub const GBK: Self = Self(&encoding_rs::GBK_INIT);
    /// GB18030: GBK and four-byte forms for the rest of Unicode.
    pub const GB18030: Self = Self(&encoding_rs::GB18030_INIT);
    /// `Shift_JIS`, the code page of Japanese Windows (932).
    pub const SHIFT_JIS: Self = Self(&encoding_rs::SHIFT_JIS_INIT);
    /// Big5, the code page of Windows in Taiwan and Hong Kong (950).
    pub const BIG5: Self = Self(&encoding_rs::BIG5_INIT);
    /// EUC-KR, the code page of Korean Windows (949).
    pub const EUC_KR: Self = Self(&encoding_rs::EUC_KR_INIT);

    /// The name in lower case, as in settings and in machine output: `gbk`, `shift_jis`, `utf-8`.
    pub fn name(self) -> String {
        self.0.name().to_ascii_lowercase()
    }

    /// Decodes; bytes that are no character become U+FFFD.
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        self.0.decode_without_bom_handling(bytes).0
    }

    /// Decodes into a string of its own; bytes that are no character become U+FFFD.
    pub(super) fn decode_owned(self, bytes: &[u8]) -> String {
        if bytes.is_ascii() {
            // Latin-1 and UTF-8 agree here, and this is the quickest way to a string.
            return encoding_rs::mem::decode_latin1(bytes).into_owned();
        }
        if self == Self::UTF_8 {
            // The check is quickest where all is well, the other where all of it is bad.
            return match self.decode_strictly(bytes) {
                Some(text) => text.into_owned(),
                None => String::from_utf8_lossy(bytes).into_owned(),
            };
        }
        // Two bytes of a legacy charset are three of UTF-8 nearly always, so this fits at once.
        let mut text = String::with_capacity(bytes.len() + bytes.len() / 2 + 4);
        let mut decoder = self.0.new_decoder_without_bom_handling();
        let mut rest = bytes;
        loop {
            let (result, read, _) = decoder.decode_to_string(rest, &mut text, true);
            if result == CoderResult::InputEmpty {
                return text;
            }
            rest = rest.get(read..).unwrap_or_default();
            text.reserve(3 * rest.len() + 4);
        }
    }

    /// Decodes into `buffer` if every byte belongs to a character and all of them fit.
    pub(super) fn decode_into<'b>(self, bytes: &[u8], buffer: &'b mut [u8]) -> Option<&'b str> {
        let mut decoder = self.0.new_decoder_without_bom_handling();
        let (result, _, written) = decoder.decode_to_utf8_without_replacement(bytes, buffer, true);
        (result == DecoderResult::InputEmpty).then_some(())?;
        str::from_utf8(buffer.get(..written)?).ok()
    }

    /// Decodes if every byte belongs to a character.
    pub fn decode_strictly(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        self.0.decode_without_bom_handling_and_without_replacement(bytes)
    }

    /// Whether every byte belongs to a character. Allocates nothing.
    pub fn reads(self, bytes: &[u8]) -> bool {
        if self == Self::UTF_8 {
            // Other charsets show in the first characters that they are none, long before a wide
            // check is under way.
            const FIRST: usize = 48;
            let broken = |first| str::from_utf8(first).is_err_and(|e| e.error_len().is_some());
            return !broken(bytes.get(..FIRST).unwrap_or(bytes))
                && Encoding::utf8_valid_up_to(bytes) == bytes.len();
        }
        if bytes.is_ascii() && self.0.is_ascii_compatible() {
            return true;
        }
        let mut decoder = self.0.new_decoder_without_bom_handling();
        let mut rest = bytes;
        let mut chunk = [0u8; 1024];
        loop {
            let (result, read, _) =
                decoder.decode_to_utf8_without_replacement(rest, &mut chunk, true);
            match result {
                DecoderResult::InputEmpty => return true,
                DecoderResult::Malformed(..) => return false,
                DecoderResult::OutputFull => rest = rest.get(read..).unwrap_or_default(),
            }
        }
    }

    /// Encodes; a character this charset lacks is written as what `substitute` makes of it (again
    /// in this charset; what even that lacks becomes `?`). Never as `&#12345;`.
    pub fn encode(self, text: &str, substitute: impl FnMut(char) -> String) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 16);
        self.encode_into_vec(text, substitute, &mut out);
        out
    }

    /// [`Charset::encode`], appending.
    pub(super) fn encode_into_vec(
        self,
        text: &str,
        mut substitute: impl FnMut(char) -> String,
        out: &mut Vec<u8>,
    ) {
        let mut rest = text;
        while let Some((missing, tail)) = self.encode_into(rest, out) {
            if self.encode_into(&substitute(missing), out).is_some() {
                out.push(b'?');
            }
            rest = tail;
        }
    }

    /// Appends one character; what this charset lacks is `?`. Never more than four bytes.
    pub(super) fn encode_char(self, character: char, out: &mut Vec<u8>) {
        let mut utf8 = [0; 4];
        let utf8 = character.encode_utf8(&mut utf8);
        if utf8.len() == 1 || self == Self::UTF_8 {
            out.extend_from_slice(utf8.as_bytes());
            return;
        }
        let mut bytes = [0; 8];
        let (result, _, written) =
            self.0.new_encoder().encode_from_utf8_without_replacement(utf8, &mut bytes, true);
        match result {
            EncoderResult::InputEmpty => {
                out.extend_from_slice(bytes.get(..written).unwrap_or_default());
            }
            _ => out.push(b'?'),
        }
    }

    /// Whether GBK bytes have no four-byte character, which only GB18030 has.
    pub(super) fn fits_gbk(bytes: &[u8]) -> bool {
        let mut bytes = bytes.iter();
        while let Some(lead) = bytes.next() {
            if !lead.is_ascii() && bytes.next().is_some_and(u8::is_ascii_digit) {
                return false;
            }
        }
        true
    }

    /// Whether this charset has every character of `text`.
    pub fn can_encode(self, text: &str) -> bool {
        text.is_ascii() || self.encode_into(text, &mut Vec::with_capacity(text.len())).is_none()
    }

    /// Whether this charset has this character, and reads the same one from its bytes: the tables
    /// of GB18030 give U+E78D the bytes of U+FE10.
    pub(super) fn round_trips(self, character: char) -> bool {
        let mut utf8 = [0; 4];
        let text = character.encode_utf8(&mut utf8);
        let mut bytes = Vec::with_capacity(4);
        self.encode_into(text, &mut bytes).is_none() && *self.decode(&bytes) == *text
    }

    /// Appends `text` up to the first character this charset lacks; that character and what follows.
    fn encode_into<'t>(self, text: &'t str, out: &mut Vec<u8>) -> Option<(char, &'t str)> {
        if self == Self::UTF_8 || text.is_ascii() {
            out.extend_from_slice(text.as_bytes());
            return None;
        }
        let mut encoder = self.0.new_encoder();
        let mut rest = text;
        loop {
            let mut chunk = [0u8; 512];
            let (result, read, written) =
                encoder.encode_from_utf8_without_replacement(rest, &mut chunk, true);
            out.extend_from_slice(chunk.get(..written).unwrap_or_default());
            rest = rest.get(read..).unwrap_or_default();
            match result {
                EncoderResult::InputEmpty => return None,
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(missing) => return Some((missing, rest)),
            }
        }
    }
}

/// Cuts `text` to at most `max` bytes, between characters.
pub(super) fn cut(text: &mut String, max: usize) {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl fmt::Debug for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// The name given is no charset we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown charset '{0}'")]
pub struct UnknownCharset(String);

impl FromStr for Charset {
    type Err = UnknownCharset;

    fn from_str(label: &str) -> Result<Self, Self::Err> {
        // Windows and Python names that the web standard does not list.
        let known = match label.to_ascii_lowercase().as_str() {
            "cp932" | "932" => "shift_jis",
            "cp936" | "936" => "gbk",
            "cp949" | "949" => "euc-kr",
            "cp950" | "950" => "big5",
            _ => label,
        };
        Encoding::for_label(known.as_bytes())
            .map(Self)
            .ok_or_else(|| UnknownCharset(label.to_owned()))
    }
}

impl Serialize for Charset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Charset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The charset of the office: what peers use that declare nothing, and what our entries are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Office {
    /// Judge each text by its bytes; our own entries are in GBK.
    #[default]
    Auto,
    /// Everybody here uses this one.
    Fixed(Charset),
}

impl Office {
    /// The charset our own entries are written in.
    pub fn own(self) -> Charset {
        match self {
            Self::Auto => Charset::GBK,
            Self::Fixed(charset) => charset,
        }
    }
}

impl fmt::Display for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Fixed(charset) => fmt::Display::fmt(charset, f),
        }
    }
}

impl FromStr for Office {
    type Err = UnknownCharset;

    fn from_str(label: &str) -> Result<Self, Self::Err> {
        if label.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        label.parse().map(Self::Fixed)
    }
}

impl Serialize for Office {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Office {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_charset_lacks_is_substituted_not_referenced() {
        let bytes = Charset::GBK.encode("好🙂!", |_| "[:)]".to_owned());
        assert_eq!(bytes, b"\xba\xc3[:)]!");
        assert_eq!(Charset::GBK.encode("🙂", |c| c.to_string()), b"?");
    }

    #[test]
    fn a_charset_reads_what_it_decodes_without_replacement() {
        let long = "长".repeat(5_000);
        for charset in [Charset::GBK, Charset::UTF_8, Charset::GB18030] {
            let bytes = charset.encode(&long, |_| String::new());
            assert!(charset.reads(&bytes), "{charset}");
            assert!(!charset.reads(bytes.get(..bytes.len() - 1).unwrap()), "{charset}");
        }
        assert!(!Charset::GBK.reads(b"\xff"));
        assert!(Charset::SHIFT_JIS.reads(b"plain"));
    }
}

//! Charsets: which one these bytes are in, and text to bytes and back.
//!
//! Nothing on the wire names the charset of a packet without `UTF8OPT`. A [`Ladder`] climbs down
//! from what is known to what can only be guessed, and its [`Verdict`] says on which step it stood.
//! Original bytes are never thrown away by this module: a verdict can be revised later.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{EncoderResult, Encoding};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

    /// Decodes if every byte belongs to a character.
    pub fn decode_strictly(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        self.0.decode_without_bom_handling_and_without_replacement(bytes)
    }

    /// Encodes; a character this charset lacks is written as what `substitute` makes of it (again
    /// in this charset; what even that lacks becomes `?`). Never as `&#12345;`.
    pub fn encode(self, text: &str, mut substitute: impl FnMut(char) -> String) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 16);
        let mut rest = text;
        while let Some((missing, tail)) = self.encode_into(rest, &mut out) {
            if self.encode_into(&substitute(missing), &mut out).is_some() {
                out.push(b'?');
            }
            rest = tail;
        }
        out
    }

    /// Whether this charset has every character of `text`.
    pub fn can_encode(self, text: &str) -> bool {
        text.is_ascii() || self.encode_into(text, &mut Vec::with_capacity(text.len())).is_none()
    }

    /// Appends `text` up to the first character this charset lacks; that character and what follows.
    fn encode_into<'t>(self, text: &'t str, out: &mut Vec<u8>) -> Option<(char, &'t str)> {
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

/// How sure a [`Verdict`] is, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sure {
    /// Only ASCII: says nothing about the charset.
    Ascii,
    /// A detector guessed from the bytes.
    Guessed,
    /// The office's charset reads it without an error.
    Assumed,
    /// The bytes are valid UTF-8, and nothing speaks against it.
    Valid,
    /// All clients of this dialect write so.
    Dialect,
    /// This peer wrote so before.
    Remembered,
    /// The packet says so (`UTF8OPT`), or its UTF-8 lines prove it.
    Declared,
    /// The user said so.
    Pinned,
}

/// Which charset, and how sure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The charset.
    pub charset: Charset,
    /// How sure.
    pub sure: Sure,
}

/// Everything known beforehand about the charset of some bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ladder {
    /// The packet has `UTF8OPT`.
    pub declared_utf8: bool,
    /// What this peer used before.
    pub remembered: Option<Verdict>,
    /// What every client of this dialect uses.
    pub dialect: Option<Charset>,
    /// What the office uses.
    pub office: Office,
}

impl Ladder {
    /// Judges `parts` together: one writer, one charset.
    pub fn judge(&self, parts: &[&[u8]]) -> Verdict {
        let verdict = |charset, sure| Verdict { charset, sure };
        let strictly =
            |charset: Charset| parts.iter().all(|p| charset.decode_strictly(p).is_some());
        if parts.iter().all(|part| part.is_ascii()) {
            return verdict(Charset::UTF_8, Sure::Ascii);
        }
        if let Some(pinned) = self.remembered.filter(|r| r.sure == Sure::Pinned) {
            return pinned;
        }
        if self.declared_utf8 {
            return verdict(Charset::UTF_8, Sure::Declared);
        }
        if let Some(before) = self.remembered.filter(|r| strictly(r.charset)) {
            return verdict(before.charset, Sure::Remembered);
        }
        if let Some(charset) = self.dialect {
            // One bad byte or half a character at the end is normal (vector entry-lbt2), so this
            // need not read strictly; UTF-8 wins only where the dialect's own charset fails.
            return if !strictly(charset) && strictly(Charset::UTF_8) {
                verdict(Charset::UTF_8, Sure::Valid)
            } else {
                verdict(charset, Sure::Dialect)
            };
        }
        if strictly(Charset::UTF_8) {
            return verdict(Charset::UTF_8, Sure::Valid);
        }
        if let Office::Fixed(charset) = self.office {
            if strictly(charset) {
                return verdict(charset, Sure::Assumed);
            }
        }
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        for part in parts {
            detector.feed(part, false);
        }
        detector.feed(b"", true);
        verdict(Charset(detector.guess(None, Utf8Detection::Deny)), Sure::Guessed)
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
    fn gbk_that_is_also_valid_utf8_reads_right_from_a_peer_known_for_gbk() {
        let known = Ladder {
            remembered: Some(Verdict { charset: Charset::GBK, sure: Sure::Dialect }),
            ..Ladder::default()
        };
        let thanks = b"\xd0\xbb\xd0\xbb";
        assert_eq!(known.judge(&[thanks]).charset.decode(thanks), "谢谢");
    }
}

//! One datagram: its six fields as they came ([`RawPacket`]), and what they mean ([`Packet`]).

use std::borrow::Cow;
use std::fmt;

use super::body::Body;
use super::command::{Command, CommandWord, Options, PacketNo, message};
use super::dialect::Dialect;
use super::entry::Renamed;
use super::scan;
use super::text::{self, Charset, Ladder, Office, Sure, Verdict};

/// Why a datagram is not a packet; names the first field that is wrong (wire reference, 2.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// No bytes at all.
    #[error("empty datagram")]
    Empty,
    /// Fewer than five fields before the first NUL.
    #[error("fewer than five fields")]
    Fields,
    /// The version does not begin with the number 1.
    #[error("version is not 1")]
    Version,
    /// The packet number is not decimal or exceeds 64 bits.
    #[error("bad packet number")]
    PacketNo,
    /// The command is not decimal or exceeds 32 bits.
    #[error("bad command")]
    Command,
}

/// The fields of a datagram, borrowed and lossless: [`RawPacket::emit`] gives the same bytes again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawPacket<'a> {
    /// First field: `1`, or a dialect's tag such as `1_lbt6_0#128#...`.
    pub version: &'a [u8],
    /// Second field as it came; sealed messages use it as their initial vector.
    pub number_text: &'a [u8],
    /// Second field, decimal.
    pub number: PacketNo,
    /// Third field: log-on name.
    pub user: &'a [u8],
    /// Fourth field: computer name.
    pub host: &'a [u8],
    /// Fifth field as it came.
    pub word_text: &'a [u8],
    /// Fifth field, decimal.
    pub word: CommandWord,
    /// Everything after the fifth colon, NULs included; none if there is no fifth colon.
    pub rest: Option<&'a [u8]>,
    main: &'a [u8],
    /// What follows the first NUL.
    after: Option<&'a [u8]>,
}

impl<'a> RawPacket<'a> {
    /// Splits a datagram (wire reference, 2.4). Allocates nothing.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        if bytes.is_empty() {
            return Err(ParseError::Empty);
        }
        let (version, bytes) = field(bytes)?;
        let (number_text, bytes) = field(bytes)?;
        let (user, bytes) = field(bytes)?;
        let (host, bytes) = field(bytes)?;
        let (word_text, rest, (main, after)) = match scan::end_of_field(bytes) {
            Some(end) => {
                let (word_text, tail) = bytes.split_at(end);
                match tail.split_first() {
                    Some((b':', rest)) => (word_text, Some(rest), scan::split_once(rest, 0)),
                    tail => (word_text, None, (&b""[..], tail.map(|(_, after)| after))),
                }
            }
            None => (bytes, None, (&b""[..], None)),
        };
        let is_one = match version {
            [b'1'] => true,
            [b'1', second, ..] if !second.is_ascii_digit() => true,
            _ => scan::decimal(scan::leading_digits(version).0) == Some(1),
        };
        if !is_one {
            return Err(ParseError::Version);
        }
        let number = scan::decimal(number_text).ok_or(ParseError::PacketNo)?;
        let word = scan::decimal(word_text)
            .and_then(|word| u32::try_from(word).ok())
            .ok_or(ParseError::Command)?;
        Ok(Self {
            version,
            number_text,
            number: PacketNo(number),
            user,
            host,
            word_text,
            word: CommandWord(word),
            rest,
            main,
            after,
        })
    }

    /// The low byte of the command word.
    pub fn command(&self) -> Command {
        self.word.command()
    }

    /// The option bits of the command word.
    pub fn options(&self) -> Options {
        self.word.options()
    }

    /// The main text: after the fifth colon up to the first NUL.
    pub fn main(&self) -> &'a [u8] {
        self.main
    }

    /// The additional sections: what follows the first NUL, split at NUL, without empty ones at
    /// the end.
    pub fn sections(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let sections = self.after.map(scan::trim_nuls).filter(|sections| !sections.is_empty());
        sections.into_iter().flat_map(|sections| scan::split(sections, 0))
    }

    /// The bytes this was split from.
    pub fn emit(&self, out: &mut Vec<u8>) {
        for field in [self.version, self.number_text, self.user, self.host] {
            out.extend_from_slice(field);
            out.push(b':');
        }
        out.extend_from_slice(self.word_text);
        if let Some(rest) = self.rest {
            out.push(b':');
            out.extend_from_slice(rest);
        } else if let Some(after) = self.after {
            out.push(0);
            out.extend_from_slice(after);
        }
    }
}

/// A field of the header, and what follows its colon. A NUL ends the header early.
#[inline]
fn field(bytes: &[u8]) -> Result<(&[u8], &[u8]), ParseError> {
    let end = scan::end_of_field(bytes).ok_or(ParseError::Fields)?;
    let (field, tail) = bytes.split_at(end);
    match tail.split_first() {
        Some((b':', tail)) => Ok((field, tail)),
        _ => Err(ParseError::Fields),
    }
}

impl fmt::Debug for RawPacket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawPacket")
            .field("version", &self.version.escape_ascii().to_string())
            .field("number", &self.number)
            .field("user", &self.user.escape_ascii().to_string())
            .field("host", &self.host.escape_ascii().to_string())
            .field("command", &self.command())
            .field("options", &self.options())
            .field("rest", &self.rest.map(|rest| rest.escape_ascii().to_string()))
            .finish_non_exhaustive()
    }
}

/// What is known of the sender before its packet is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint {
    /// Its dialect, if its entry was seen.
    pub dialect: Option<&'static Dialect>,
    /// The charset of its names, if it was learnt. Serves for its texts too until one is learnt.
    pub names: Option<Verdict>,
    /// The charset of its texts, if it was learnt. Serves for its names too until one is learnt.
    pub text: Option<Verdict>,
    /// The charset of the office.
    pub office: Office,
}

/// A packet with its meaning: dialect recognised, charsets judged, texts decoded and capped.
#[derive(Clone, PartialEq, Debug)]
pub struct Packet {
    /// Which family of clients wrote it.
    pub dialect: &'static Dialect,
    /// The sender's number for it.
    pub number: PacketNo,
    /// Log-on name; that of the UTF-8 lines where an entry has them. May bear a key's fingerprint,
    /// see [`Packet::fingerprint`].
    pub user: String,
    /// Computer name; that of the UTF-8 lines where an entry has them.
    pub host: String,
    /// The charset of the header's names.
    pub names: Verdict,
    /// What it asks or tells.
    pub command: Command,
    /// Its option bits.
    pub options: Options,
    /// What follows the header.
    pub body: Body,
}

/// Longest name kept, in bytes of UTF-8 (threats, caps).
pub const NAME_MAX: usize = 256;

impl Packet {
    /// Gives `raw` its meaning, with what is known of its sender. Bad characters are replaced and
    /// what cannot be read becomes [`Body::Other`]: this never fails.
    pub fn read(raw: &RawPacket<'_>, hint: &Hint) -> Self {
        let dialect = Dialect::recognise(raw, hint.dialect);
        let options = raw.options();
        let ladder = Ladder {
            declared_utf8: options.contains(message::UTF8),
            remembered: hint.names.or(hint.text),
            dialect: dialect.charset,
            office: hint.office,
        };
        // Only entry packets may rename their sender (wire reference, 14.10).
        let mut renamed = Renamed::default();
        let remembered = hint.text.or(hint.names);
        let body = Body::read(raw, dialect, remembered, &ladder, &mut renamed);
        let mut names = ladder.judge(&[raw.user, raw.host]);
        if let Some(proof) = renamed.proof.filter(|_| names.sure != Sure::Ascii) {
            // What the lines proved holds for the header as well: one writer, one code page.
            names = proof;
        }
        Self {
            dialect,
            number: raw.number,
            user: renamed.user.unwrap_or_else(|| name(raw.user, names.charset)),
            host: renamed.host.unwrap_or_else(|| name(raw.host, names.charset)),
            names,
            command: raw.command(),
            options,
            body,
        }
    }

    /// The fingerprint of the sender's key, if its log-on name bears one: 16 letters or digits
    /// (wire reference, 5.1). A claim; who uses it must check it against the key.
    pub fn fingerprint(&self) -> Option<&str> {
        split_fingerprint(&self.user).1
    }

    /// The log-on name without a fingerprint: what to show.
    pub fn plain_user(&self) -> Cow<'_, str> {
        split_fingerprint(&self.user).0
    }
}

/// Splits a log-on name into the name to show and the fingerprint in it. The mark is `-<`, exactly
/// 16 letters or digits, `>`, anywhere in the name (wire reference, 5.1; vector
/// `br-entry-fingerprint`).
pub fn split_fingerprint(user: &str) -> (Cow<'_, str>, Option<&str>) {
    const LENGTH: usize = 16;
    for (at, mark) in user.match_indices("-<") {
        let (before, from_mark) = user.split_at(at);
        let digits = from_mark.get(mark.len()..mark.len() + LENGTH);
        let after = from_mark.get(mark.len() + LENGTH..).and_then(|tail| tail.strip_prefix('>'));
        if let (Some(digits), Some(after)) = (digits, after)
            && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            let name = if after.is_empty() {
                Cow::Borrowed(before)
            } else {
                Cow::Owned([before, after].concat())
            };
            return (name, Some(digits));
        }
    }
    (Cow::Borrowed(user), None)
}

/// Decodes a name and cuts it to [`NAME_MAX`] at a character boundary.
pub(crate) fn name(bytes: &[u8], charset: Charset) -> String {
    let mut name = charset.decode_owned(name_bytes(bytes));
    text::cut(&mut name, NAME_MAX);
    name
}

/// The bytes that count for a name: one decodes to half a byte of UTF-8 at the least.
pub(super) fn name_bytes(bytes: &[u8]) -> &[u8] {
    bytes.get(..4 * NAME_MAX).unwrap_or(bytes)
}

/// The first four fields of every packet of ours.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// First field.
    pub version: &'a str,
    /// Second field; ours stay below 2^31.
    pub number: PacketNo,
    /// Third field: log-on name.
    pub user: &'a str,
    /// Fourth field: computer name.
    pub host: &'a str,
}

/// Longest log-on or computer name written, in bytes: the official client's buffers hold 80 with
/// the NUL (wire reference, 2.2).
pub const FIELD_MAX: usize = 79;

impl Head<'_> {
    /// Writes the header up to and including the fifth colon. Characters that would break a header
    /// or a host list (`:`, NUL, BEL, LF and other controls) become `;`, what the charset lacks
    /// becomes `?`, and an empty name becomes `-`, because the official reader collapses empty
    /// fields. Names are cut to [`FIELD_MAX`] at a character boundary (wire reference, 2.2, 2.3).
    pub fn emit(&self, word: CommandWord, charset: Charset, out: &mut Vec<u8>) {
        out.extend_from_slice(self.version.as_bytes());
        out.push(b':');
        out.extend_from_slice(self.number.to_string().as_bytes());
        out.push(b':');
        write_field(self.user, charset, out);
        out.push(b':');
        write_field(self.host, charset, out);
        out.push(b':');
        out.extend_from_slice(word.0.to_string().as_bytes());
        out.push(b':');
    }
}

fn write_field(name: &str, charset: Charset, out: &mut Vec<u8>) {
    let start = out.len();
    for character in name.chars() {
        let clean = if character == ':' || character.is_control() { ';' } else { character };
        let before = out.len();
        charset.encode_char(clean, out);
        if out.len() - start > FIELD_MAX {
            out.truncate(before);
            break;
        }
    }
    if out.len() == start {
        out.push(b'-');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(user: &str, host: &str, charset: Charset) -> Vec<u8> {
        let mut out = Vec::new();
        Head { version: "1", number: PacketNo(7), user, host }.emit(
            CommandWord::new(Command::SENDMSG, Options::empty()),
            charset,
            &mut out,
        );
        out
    }

    #[test]
    fn names_cannot_break_the_header() {
        assert_eq!(header("a:b\u{7}c\nd\0e", "", Charset::GBK), b"1:7:a;b;c;d;e:-:32:");
    }

    #[test]
    fn names_are_cut_between_characters() {
        // 39 hanzi are 78 bytes; the 40th would end at byte 80.
        let hanzi = "王".repeat(60);
        let expected = [b"1:7:".as_slice(), &b"\xcd\xf5".repeat(39), b":h:32:"].concat();
        assert_eq!(header(&hanzi, "h", Charset::GBK), expected);
        let ascii = "x".repeat(100);
        assert_eq!(header(&ascii, "h", Charset::UTF_8).len(), "1:7::h:32:".len() + FIELD_MAX);
    }

    #[test]
    fn characters_the_charset_lacks_are_visible() {
        assert_eq!(header("🙂a", "h", Charset::GBK), b"1:7:?a:h:32:");
        assert_eq!(header("🙂a", "h", Charset::UTF_8), "1:7:🙂a:h:32:".as_bytes());
    }

    #[test]
    fn a_header_that_ends_in_nul_loses_nothing() {
        let bytes = b"1:2:u:h:32\0group\0tail";
        let raw = RawPacket::parse(bytes).unwrap();
        assert_eq!((raw.rest, raw.main()), (None, &b""[..]));
        assert_eq!(raw.sections().collect::<Vec<_>>(), [&b"group"[..], b"tail"]);
        let mut out = Vec::new();
        raw.emit(&mut out);
        assert_eq!(out, bytes);
    }

    #[test]
    fn fingerprints_are_recognised_anywhere_and_only_whole() {
        let split = |user| {
            let (name, fingerprint) = split_fingerprint(user);
            (name.into_owned(), fingerprint.map(str::to_owned))
        };
        let mark = Some("0123456789abcdeF".to_owned());
        assert_eq!(split("taro-<0123456789abcdeF>"), ("taro".into(), mark.clone()));
        assert_eq!(split("ta-<x>-<0123456789abcdeF>ro"), ("ta-<x>ro".into(), mark));
        for plain in ["taro", "taro-<0123456789abcde>", "taro-<0123456789abcdef", "-<好好好好好好>"]
        {
            assert_eq!(split(plain), (plain.into(), None));
        }
    }

    #[test]
    fn names_are_capped_at_a_character() {
        let long = "字".repeat(500);
        let bytes = Charset::GBK.encode(&long, |_| String::new());
        assert_eq!(name(&bytes, Charset::GBK), "字".repeat(NAME_MAX / 3));
        assert_eq!(name(&bytes, Charset::GBK).len(), 255);
    }
}

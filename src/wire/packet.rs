//! One datagram: its six fields as they came ([`RawPacket`]), and what they mean ([`Packet`]).

use std::fmt;

use super::body::Body;
use super::command::{Command, CommandWord, Options, PacketNo, message};
use super::dialect::Dialect;
use super::scan;
use super::text::{Charset, Ladder, Office, Verdict};

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
}

impl<'a> RawPacket<'a> {
    /// Splits a datagram (wire reference, 2.4). Allocates nothing.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        if bytes.is_empty() {
            return Err(ParseError::Empty);
        }
        let (head, _) = scan::split_once(bytes, 0);
        let field = |from: &'a [u8]| match scan::split_once(from, b':') {
            (field, Some(rest)) => Ok((field, rest)),
            (_, None) => Err(ParseError::Fields),
        };
        let (version, after) = field(head)?;
        let (number_text, after) = field(after)?;
        let (user, after) = field(after)?;
        let (host, after) = field(after)?;
        let (word_text, main) = scan::split_once(after, b':');
        let rest = main.map(|main| bytes.get(head.len() - main.len()..).unwrap_or_default());

        if scan::decimal(scan::leading_digits(version).0) != Some(1) {
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
        scan::split_once(self.rest.unwrap_or_default(), 0).0
    }

    /// The additional sections: what follows the first NUL, split at NUL, without empty ones at
    /// the end.
    pub fn sections(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (_, sections) = scan::split_once(self.rest.unwrap_or_default(), 0);
        let sections = sections.map(scan::trim_nuls).filter(|sections| !sections.is_empty());
        sections.into_iter().flat_map(|sections| sections.split(|&byte| byte == 0))
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
        }
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
    /// The charset of its names, if it was learnt.
    pub names: Option<Verdict>,
    /// The charset of its texts, if it was learnt.
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
    /// Log-on name; that of the UTF-8 lines where an entry has them.
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
            remembered: hint.names,
            dialect: dialect.charset,
            office: hint.office,
        };
        let names = ladder.judge(&[raw.user, raw.host]);
        let mut packet = Self {
            dialect,
            number: raw.number,
            user: name(raw.user, names.charset),
            host: name(raw.host, names.charset),
            names,
            command: raw.command(),
            options,
            body: Body::read(raw, dialect, hint),
        };
        if let Body::Presence(presence) = &mut packet.body {
            // Only entry packets may rename their sender (wire reference, 14.10).
            packet.user = presence.user.take().unwrap_or(packet.user);
            packet.host = presence.host.take().unwrap_or(packet.host);
        }
        packet
    }
}

/// Decodes a name and cuts it to [`NAME_MAX`] at a character boundary.
pub(super) fn name(bytes: &[u8], charset: Charset) -> String {
    let mut name = charset.decode(bytes).into_owned();
    name.truncate(name.floor_char_boundary(NAME_MAX));
    name
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

impl Head<'_> {
    /// Writes the header up to and including the fifth colon. Bytes that would break a header
    /// (`:`, NUL, BEL, LF) become `;`, and an empty name becomes `-`, because the official reader
    /// collapses empty fields; names are cut to 79 bytes, its limit (wire reference, 2.2, 2.3).
    pub fn emit(&self, word: CommandWord, charset: Charset, out: &mut Vec<u8>) {
        out.extend_from_slice(self.version.as_bytes());
        out.push(b':');
        out.extend_from_slice(self.number.to_string().as_bytes());
        for name in [self.user, self.host] {
            out.push(b':');
            out.extend_from_slice(&field(name, charset));
        }
        out.push(b':');
        out.extend_from_slice(word.0.to_string().as_bytes());
        out.push(b':');
    }
}

fn field(name: &str, charset: Charset) -> Vec<u8> {
    const MAX: usize = 79;
    let clean: String =
        name.chars().map(|c| if c == ':' || c.is_control() { ';' } else { c }).collect();
    let mut field = Vec::new();
    for character in clean.chars() {
        let bytes = charset.encode(character.encode_utf8(&mut [0; 4]), |_| "?".to_owned());
        if field.len() + bytes.len() > MAX {
            break;
        }
        field.extend_from_slice(&bytes);
    }
    if field.is_empty() { b"-".to_vec() } else { field }
}

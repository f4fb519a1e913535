//! What follows the header: one [`Body`] variant per kind of packet, and the bodies we write.

use super::attach::FileList;
use super::command::{Command, CommandWord, Options, PacketNo, message};
use super::dialect::{Dialect, TextForm};
use super::entry::Presence;
use super::hosts::HostList;
use super::packet::{Head, Hint, RawPacket};
use super::scan;
use super::text::{Charset, Ladder, Verdict};

/// The meaning of a packet's main text and sections.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Body {
    /// Entry, answer, absence, exit, no-operation.
    Presence(Presence),
    /// A message.
    Message(Message),
    /// Receipt, read notice and their kin: the number of the packet they speak of.
    Reference(PacketNo),
    /// An information or absence text.
    Text(Text),
    /// A part of a host list.
    Hosts(HostList),
    /// A question for the host list from this index on.
    GetHosts(u32),
    /// Nothing that needs reading, or nothing that can be read.
    Other,
}

/// A decoded text and how it was decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// The text; line breaks as they came.
    pub text: String,
    /// Its charset.
    pub charset: Verdict,
}

/// Body of a `SENDMSG`.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// The text as a reader should see it: without the dialect's tail, cut at [`TEXT_MAX`].
    pub text: String,
    /// Whether the text was longer than [`TEXT_MAX`].
    pub cut: bool,
    /// Charset of text and file names.
    pub charset: Verdict,
    /// Files on offer; empty without `FILEATTACHOPT`.
    pub files: FileList,
}

/// Longest message text kept, in bytes of UTF-8 (threats, caps).
pub const TEXT_MAX: usize = 64 * 1024;

/// Longest datagram official clients read, in bytes (wire reference, 1).
pub const DATAGRAM_MAX: usize = 32_767;

impl Body {
    pub(super) fn read(raw: &RawPacket<'_>, dialect: &'static Dialect, hint: &Hint) -> Self {
        let ladder = Ladder {
            declared_utf8: raw.options().contains(message::UTF8),
            remembered: hint.text,
            dialect: dialect.charset,
            office: hint.office,
        };
        match raw.command() {
            Command::BR_ENTRY
            | Command::BR_EXIT
            | Command::BR_ABSENCE
            | Command::ANSENTRY
            | Command::BR_ISGETLIST2
            | Command::NOOPERATION => {
                Self::Presence(Presence::read(raw, &Ladder { remembered: hint.names, ..ladder }))
            }
            Command::SENDMSG => Self::Message(Message::read(raw, dialect, &ladder)),
            Command::RECVMSG
            | Command::READMSG
            | Command::DELMSG
            | Command::ANSREADMSG
            | Command::RELEASEFILES => reference(raw.main()).map_or(Self::Other, Self::Reference),
            Command::SENDINFO | Command::SENDABSENCEINFO => {
                Self::Text(Text::read(raw.main(), &ladder))
            }
            Command::GETLIST => Self::GetHosts(
                scan::decimal(raw.main()).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            ),
            Command::ANSLIST => {
                HostList::read(raw.main(), &ladder).map_or(Self::Other, Self::Hosts)
            }
            _ => Self::Other,
        }
    }
}

impl Text {
    fn read(bytes: &[u8], ladder: &Ladder) -> Self {
        let charset = ladder.judge(&[bytes]);
        Self { text: charset.charset.decode(bytes).into_owned(), charset }
    }
}

impl Message {
    fn read(raw: &RawPacket<'_>, dialect: &'static Dialect, ladder: &Ladder) -> Self {
        let shown = (dialect.strip_tail)(raw.main());
        let list = if raw.options().contains(message::FILE_ATTACH) {
            raw.sections().next().unwrap_or_default()
        } else {
            b""
        };
        let charset = ladder.judge(&[shown, list]);
        let mut text = charset.charset.decode(shown).into_owned();
        let cut = text.len() > TEXT_MAX;
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        Self { text, cut, charset, files: FileList::read(list, charset.charset) }
    }
}

/// A packet number in a receipt: decimal, and signed where the official client prints it so; taken
/// modulo 2^32 (wire reference, 6.4).
fn reference(bytes: &[u8]) -> Option<PacketNo> {
    match bytes.strip_prefix(b"-") {
        Some(digits) => {
            let value = u32::try_from(scan::decimal(digits)?).ok()?;
            Some(PacketNo(u64::from(value.wrapping_neg())))
        }
        None => scan::decimal(bytes).map(PacketNo),
    }
}

/// Writes a message to a peer that reads `form`. The line end on the wire is LF, and one NUL ends
/// the packet.
pub fn emit_message(head: &Head<'_>, options: Options, text: &str, form: TextForm) -> Vec<u8> {
    let (charset, declared) = match form {
        TextForm::Utf8 => (Charset::UTF_8, message::UTF8 | message::CAP_UTF8),
        TextForm::Legacy(charset) | TextForm::Substituted(charset, _) => {
            (charset, Options::empty())
        }
    };
    let text: String = text.chars().filter(|&c| c != '\r' && c != '\0').collect();
    let text = match form {
        TextForm::Substituted(_, substitute) => substitute(&text).into_owned(),
        _ => text,
    };
    let mut out = Vec::with_capacity(text.len() + 128);
    head.emit(CommandWord::new(Command::SENDMSG, options | declared), charset, &mut out);
    out.extend(charset.encode(&text, |c| format!("[U+{:04X}]", u32::from(c))));
    out.push(0);
    out
}

/// Writes a packet whose body is the number of another packet: receipts and their kin. Decimal.
pub fn emit_reference(
    head: &Head<'_>,
    command: Command,
    options: Options,
    of: PacketNo,
) -> Vec<u8> {
    emit_ascii(head, command, options, &of.to_string())
}

/// Writes a packet whose body is plain ASCII, or empty. One NUL ends it.
pub fn emit_ascii(head: &Head<'_>, command: Command, options: Options, body: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 128);
    head.emit(CommandWord::new(command, options), Charset::GBK, &mut out);
    out.extend_from_slice(body.as_bytes());
    out.push(0);
    out
}

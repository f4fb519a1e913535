//! What follows the header: one [`Body`] variant per kind of packet, and the bodies we write.

use std::borrow::Cow;

use super::attach::{FileEntry, FileList};
use super::command::{Command, CommandWord, Options, PacketNo, message};
use super::dialect::{Dialect, FEIQ, Font, FontBlock, Habits, Rewrite, TextForm};
use super::entry::{Presence, Renamed};
use super::hosts::HostList;
use super::packet::{Head, Hint, RawPacket};
use super::recipients::Recipients;
use super::scan;
use super::text::{self, Charset, Ladder, Verdict};

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
    /// Who else got it; empty without `ENCEXTMSGOPT`.
    pub recipients: Recipients,
    /// The font block that stood behind the text.
    pub font: Option<Font>,
}

/// Longest message text kept, in bytes of UTF-8 (threats, caps).
pub const TEXT_MAX: usize = 64 * 1024;

/// Longest datagram official clients read, in bytes (wire reference, 1).
pub const DATAGRAM_MAX: usize = 32_767;

impl Body {
    /// `remembered` is the charset of the sender's texts; `names` is how its names are judged. What
    /// the body says about the header goes to `renamed`.
    pub(super) fn read(
        raw: &RawPacket<'_>,
        dialect: &'static Dialect,
        remembered: Option<Verdict>,
        names: &Ladder,
        renamed: &mut Renamed,
    ) -> Self {
        let texts = Ladder { remembered, ..*names };
        match raw.command() {
            Command::BR_ENTRY
            | Command::BR_EXIT
            | Command::BR_ABSENCE
            | Command::ANSENTRY
            | Command::BR_ISGETLIST2
            | Command::NOOPERATION => {
                let presence;
                (presence, *renamed) = Presence::read(raw, names);
                Self::Presence(presence)
            }
            Command::SENDMSG => Self::Message(Message::read(raw, dialect, &texts)),
            Command::RECVMSG
            | Command::READMSG
            | Command::DELMSG
            | Command::ANSREADMSG
            | Command::RELEASEFILES => reference(raw.main()).map_or(Self::Other, Self::Reference),
            Command::SENDINFO | Command::SENDABSENCEINFO => {
                Self::Text(Text::read(raw.main(), &texts))
            }
            Command::GETLIST => list_index(raw.main()).map_or(Self::Other, Self::GetHosts),
            Command::ANSLIST => HostList::read(raw.main(), names).map_or(Self::Other, Self::Hosts),
            _ => Self::Other,
        }
    }
}

impl Text {
    fn read(bytes: &[u8], ladder: &Ladder) -> Self {
        let charset = ladder.judge(&[bytes]);
        Self { text: capped(bytes, charset.charset).0, charset }
    }
}

impl Message {
    fn read(raw: &RawPacket<'_>, dialect: &'static Dialect, ladder: &Ladder) -> Self {
        let (main, list) = match attached(raw) {
            Some(parts) => parts,
            None => (raw.main(), &b""[..]),
        };
        let to_many = raw.options().contains(message::BROADCAST);
        let typed = dialect.split(main, to_many);
        Self::of(typed, list, listed(raw).unwrap_or_default(), ladder)
    }

    /// A message of this text and its tail, this file list and these recipients.
    fn of(
        (typed, font): (&[u8], Option<FontBlock<'_>>),
        list: &[u8],
        to: &[u8],
        ladder: &Ladder,
    ) -> Self {
        let charset = ladder.judge(&[typed, list, to]);
        let (text, cut) = capped(typed, charset.charset);
        let files = FileList::read(list, charset.charset);
        let recipients = Recipients::read(to, charset.charset);
        let font = font.as_ref().map(FontBlock::to_font);
        Self { text, cut, charset, files, recipients, font }
    }

    /// A message that came encrypted, now that its text, its file list and its recipients are
    /// opened. The file list that stands in clear counts where none was inside: so the official
    /// client writes to readers of old (wire reference, 9.4).
    pub fn read_opened(
        raw: &RawPacket<'_>,
        hint: &Hint,
        (text, list, to): (&[u8], &[u8], &[u8]),
    ) -> Self {
        let dialect = Dialect::recognise(raw, hint.dialect);
        let ladder = Ladder {
            declared_utf8: raw.options().contains(message::UTF8),
            remembered: hint.text.or(hint.names),
            dialect: dialect.charset,
            office: hint.office,
        };
        let clear = attached(raw).map(|(_, list)| list).unwrap_or_default();
        let typed = dialect.split(text, false);
        Self::of(typed, if list.is_empty() { clear } else { list }, to, &ladder)
    }

    /// A message to a group: its text with its tail. Always in the charset of its dialect.
    pub fn read_group(raw: &RawPacket<'_>, hint: &Hint, text: &[u8]) -> Self {
        let dialect = Dialect::recognise(raw, hint.dialect);
        let ladder = Ladder {
            declared_utf8: false,
            remembered: hint.text.or(hint.names),
            dialect: dialect.charset.or(FEIQ.charset),
            office: hint.office,
        };
        let (typed, font) = FontBlock::split(text);
        let charset = ladder.judge(&[typed]);
        let (text, cut) = capped(typed, charset.charset);
        let font = font.as_ref().map(FontBlock::to_font);
        let (files, recipients) = (FileList::default(), Recipients::default());
        Self { text, cut, charset, files, recipients, font }
    }
}

/// Text and file list of a message that offers files. The list is the first section that is not
/// empty; a few clients put BEL where the NUL before it belongs (`feiq-dialect.md`, 8).
fn attached<'a>(raw: &RawPacket<'a>) -> Option<(&'a [u8], &'a [u8])> {
    if !raw.options().contains(message::FILE_ATTACH) {
        return None;
    }
    let is_list = |section: &&[u8]| !section.is_empty() && Recipients::list(section).is_none();
    if let Some(list) = raw.sections().find(is_list) {
        return Some((raw.main(), list));
    }
    let (text, list) = scan::split_once(raw.main(), scan::BEL);
    Some((text, list?))
}

/// The list of recipients, which counts only if the sender says that it writes one.
fn listed<'a>(raw: &RawPacket<'a>) -> Option<&'a [u8]> {
    if !raw.options().contains(message::ENCRYPT_EXTENSION) {
        return None;
    }
    raw.sections().find_map(Recipients::list)
}

/// A decoded text of at most [`TEXT_MAX`] bytes, and whether it was longer.
fn capped(bytes: &[u8], charset: Charset) -> (String, bool) {
    let mut text = charset.decode_owned(bytes);
    let cut = text.len() > TEXT_MAX;
    if cut {
        text::cut(&mut text, TEXT_MAX);
        text.shrink_to_fit();
    }
    (text, cut)
}

/// A packet number in a receipt: decimal, and negative where the official client prints one from
/// 2^31 on as a signed 32-bit number; taken modulo 2^32 (wire reference, 6.4; vector
/// `recvmsg-negative`). Compare by [`PacketNo::matches`]: numbers beyond 32 bits stay whole.
fn reference(bytes: &[u8]) -> Option<PacketNo> {
    match bytes.strip_prefix(b"-") {
        Some(digits) => {
            let value = u32::try_from(scan::decimal(digits)?).ok()?;
            (value <= 1 << 31).then(|| PacketNo(u64::from(value.wrapping_neg())))
        }
        None => scan::decimal(bytes).map(PacketNo),
    }
}

/// The index a `GETLIST` asks from: decimal; none written means 0.
fn list_index(bytes: &[u8]) -> Option<u32> {
    match bytes.trim_ascii() {
        b"" => Some(0),
        digits => u32::try_from(scan::decimal(digits)?).ok(),
    }
}

/// Writes a message to a peer that reads `form`. The line end on the wire is LF, and one NUL ends
/// the packet. What the peer's charset lacks is written as `[U+1F680]`.
pub fn emit_message(head: &Head<'_>, options: Options, text: &str, form: TextForm) -> Vec<u8> {
    emit_text(head, Command::SENDMSG, options, text, form)
}

/// Writes a packet whose body is a text, in the way of [`emit_message`]: an absence text, for
/// instance.
pub fn emit_text(
    head: &Head<'_>,
    command: Command,
    options: Options,
    text: &str,
    form: TextForm,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 128);
    write_text(head, command, options, text, form, &mut out);
    out.push(0);
    out
}

/// Writes a message that offers `files`, with the list in the form the peer's `habits` name.
pub fn emit_offer(
    head: &Head<'_>,
    options: Options,
    text: &str,
    form: TextForm,
    files: &[FileEntry],
    habits: &Habits,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 128 + 64 * files.len());
    let options = options | message::FILE_ATTACH;
    write_text(head, Command::SENDMSG, options, text, form, &mut out);
    out.push(0);
    FileList::write(files, form.charset(), habits.list_joint, &mut out);
    if habits.list_nul {
        out.push(0);
    }
    out
}

fn write_text(
    head: &Head<'_>,
    command: Command,
    options: Options,
    text: &str,
    form: TextForm,
    out: &mut Vec<u8>,
) {
    let (charset, declared) = match form {
        TextForm::Utf8 => (Charset::UTF_8, message::UTF8 | message::CAP_UTF8),
        TextForm::Legacy(charset) | TextForm::Substituted(charset, _) => {
            (charset, Options::empty())
        }
    };
    head.emit(CommandWord::new(command, options | declared), charset, out);
    if command == Command::SENDMSG {
        out.extend(encode_message(text, form));
    } else {
        write_body(text, form, out);
    }
}

/// The text of a message alone in this form: the line end is LF, and what the charset lacks is
/// `[U+1F680]`.
pub fn encode_message(text: &str, form: TextForm) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    write_body(text, form, &mut out);
    if let TextForm::Substituted(_, Rewrite { tail, .. }) = form {
        let tail = tail(&out);
        out.extend_from_slice(tail);
    }
    out
}

fn write_body(text: &str, form: TextForm, out: &mut Vec<u8>) {
    let mut text = Cow::Borrowed(text);
    if text.contains(['\r', '\0']) {
        text = text.replace(['\r', '\0'], "").into();
    }
    if let TextForm::Substituted(_, Rewrite { substitute, .. }) = form {
        text = substitute(&text).into_owned().into();
    }
    form.charset().encode_into_vec(&text, bracketed, out);
}

/// How a character is written to a peer whose charset lacks it: `[U+1F680]`.
pub(super) fn bracketed(missing: char) -> String {
    format!("[U+{:04X}]", u32::from(missing))
}

/// Writes a packet whose body is the number of another packet: receipts and their kin. Decimal.
/// `names` is the charset of the header.
pub fn emit_reference(
    head: &Head<'_>,
    names: Charset,
    command: Command,
    options: Options,
    of: PacketNo,
) -> Vec<u8> {
    emit_ascii(head, names, command, options, &of.to_string())
}

/// Writes a packet whose body is plain ASCII, or empty. One NUL ends it. `names` is the charset of
/// the header.
pub fn emit_ascii(
    head: &Head<'_>,
    names: Charset,
    command: Command,
    options: Options,
    body: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 128);
    head.emit(CommandWord::new(command, options), names, &mut out);
    out.extend_from_slice(body.as_bytes());
    out.push(0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Hint, Packet};

    fn read(bytes: &[u8]) -> Body {
        Packet::read(&RawPacket::parse(bytes).unwrap(), &Hint::default()).body
    }

    #[test]
    fn references_are_read_modulo_two_to_the_32() {
        assert_eq!(read(b"1:1:u:h:33:-1294967296\0"), Body::Reference(PacketNo(3_000_000_000)));
        assert_eq!(
            read(b"1:1:u:h:289:1501745625079"),
            Body::Reference(PacketNo(1_501_745_625_079))
        );
        for bad in ["", "x", "-", "-4294967296", "-2147483649", "+1", "1 ", "12x"] {
            assert_eq!(read(format!("1:1:u:h:33:{bad}").as_bytes()), Body::Other, "{bad:?}");
        }
    }

    #[test]
    fn a_list_is_asked_for_from_an_index_or_from_the_start() {
        assert_eq!(read(b"1:1:u:h:18:\0"), Body::GetHosts(0));
        assert_eq!(read(b"1:1:u:h:18:   30\0"), Body::GetHosts(30));
        for bad in ["x", "-1", "4294967296"] {
            assert_eq!(read(format!("1:1:u:h:18:{bad}").as_bytes()), Body::Other, "{bad:?}");
        }
    }

    #[test]
    fn text_is_cut_at_its_cap() {
        let long = [b"1:1:u:h:8388640:".as_slice(), "长".repeat(22_000).as_bytes()].concat();
        let Body::Message(message) = read(&long) else { panic!() };
        assert!(message.cut);
        assert_eq!(message.text.len(), TEXT_MAX / 3 * 3);
    }

    #[test]
    fn a_list_behind_a_bel_is_found_too() {
        let Body::Message(message) = read(b"1:1:u:h:2097184:look\x070:a.txt:1:2:1:\x07\0") else {
            panic!()
        };
        assert_eq!((message.text.as_str(), message.files.files.len()), ("look", 1));
    }

    #[test]
    fn carriage_returns_and_nuls_never_reach_the_wire() {
        let head = Head { version: "1", number: PacketNo(1), user: "u", host: "h" };
        let bytes = emit_message(&head, Options::empty(), "a\r\nb\0c", TextForm::Utf8);
        assert_eq!(bytes, b"1:1:u:h:25165856:a\nbc\0");
    }
}

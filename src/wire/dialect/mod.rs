//! Dialects as data: which family of clients wrote a packet, and what such a client does and reads.
//!
//! A dialect is one file beside this one and one line in [`DIALECTS`]. Nothing outside this folder
//! compares dialects: where behaviour differs there is a named field in [`Habits`].

use std::borrow::Cow;
use std::fmt;

use super::command::{Options, entry};
use super::filename::NameForm;
use super::packet::RawPacket;
use super::scan;
use super::text::Charset;

pub mod emoticon;
mod feige;
mod feiq;
mod ipmsg;
mod iptux;
mod words;

pub use feige::FEIGE;
pub use feiq::{
    FEIQ, FeiqVersion, Font, FontBlock, GROUP_ADDR, GROUP_TTL, group_version_field,
    own_version_field, version_mac,
};
pub use ipmsg::IPMSG;
pub use iptux::IPTUX;

/// A family of clients.
pub struct Dialect {
    /// Its name in output and settings.
    pub name: &'static str,
    /// The charset all its clients write, if there is one.
    pub charset: Option<Charset>,
    /// The part of a message's text that is meant for the reader, and the font block behind it.
    split_tail: SplitTail,
    /// A text as its clients show it: what stands for emoticons becomes characters.
    pub show: fn(&str) -> Cow<'_, str>,
    /// What such a client does and expects.
    pub habits: Habits,
    /// Whether this packet is from such a client; the first of [`DIALECTS`] that says yes is it.
    recognises: fn(&RawPacket<'_>) -> bool,
    /// Whether a packet that looks like the first dialect may also be from this one, which shows
    /// itself only in entries.
    may_hide_as: Option<&'static str>,
}

/// Splits a text into what its writer typed and the font block behind it.
pub type SplitTail = fn(&[u8]) -> (&[u8], Option<FontBlock<'_>>);

/// What clients of a dialect do and expect. Each field names the observation behind it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own, seen by itself")]
pub struct Habits {
    /// How it wants text written when it does not announce `CAPUTF8OPT`, or in spite of it.
    pub text: Reads,
    /// Reads the UTF-8 lines of a full entry sent by unicast; iptux goes deaf and FeiQ shows
    /// garbage on them (`iptux-dialect.md`, trap 2).
    pub reads_full_entry: bool,
    /// Which option bits together say in an entry that its user is away. iptux sets `ABSENCEOPT` in
    /// every entry, answer and absence packet (vectors `iptux-core-0.8.3-000`, `-004`, `-023`), and
    /// old clients of FeiQ's family enter with 257 and answer with 259, that bit and no other
    /// (`feiq-dialect.md`, 4.4).
    pub absence: Option<Options>,
    /// Numbers its packets from 1 at each start, so that an entry with a low number begins a new
    /// epoch (`iptux-dialect.md`, trap 9; threats rule 10).
    pub numbers_from_one: bool,
    /// Stands between two entries of a file list: BEL (vector `two`), or BEL and a colon, as iptux
    /// writes it itself (vectors `leading-colon`, `iptux-core-0.8.3-014`).
    pub list_joint: &'static str,
    /// A NUL follows the file list (vectors `file-offer-lbt80`, `iptux-core-0.8.3-014`); the
    /// official client writes none (vector `sendmsg-attach-clear`).
    pub list_nul: bool,
    /// Base of file ids in requests on TCP. Decimal in the list, hexadecimal in the request
    /// (vectors `get-file-hex-id`, `iptux-core-0.8.3-015`).
    pub request_ids: IdBase,
    /// A NUL follows a request on TCP. FeiQ writes none (vectors `get-file-1`, `get-file-gbk-host`);
    /// the official client ends each packet with one (wire reference, 8.1).
    pub request_nul: bool,
    /// Sends a file from the offset asked for. iptux sends the whole file whatever was asked
    /// (`iptux-dialect.md`, trap 8), and the official server does not seek (wire reference, 8.2).
    pub honours_offset: bool,
    /// Accepts an offered folder of size 0. iptux takes that for received already
    /// (`iptux-dialect.md`, trap 5; vector `iptux-core-0.8.3-014` offers the sum of the files).
    pub empty_folders: bool,
    /// Shakes its window on a knock and answers one (`feiq-dialect.md`, 6; vector `knock`). Others
    /// ignore the command; they get a short message instead.
    pub knocks: bool,
    /// Shows that the other side is typing (`feiq-dialect.md`, 3; vector `typing`).
    pub shows_typing: bool,
    /// Asks whether somebody is there when a chat window opens, and waits for the answer
    /// (`feiq-dialect.md`, 3 and 4.5).
    pub probes: bool,
    /// Takes pictures in fragments and shows them inside a message (dialect reference of FeiQ, 7;
    /// vectors `image-fragment-jpeg`, `image-ack`, `image-ref`).
    pub takes_pictures: bool,
    /// Which file names it can store: the clients of Windows fewer than the others (wire reference,
    /// 7).
    pub file_names: NameForm,
}

/// The base a number is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdBase {
    /// Base 10.
    Decimal,
    /// Base 16, lower case, no prefix.
    Hexadecimal,
}

impl IdBase {
    /// Reads a number: digits only, of either case.
    pub fn read(self, digits: &[u8]) -> Option<u64> {
        match self {
            Self::Decimal => scan::decimal(digits),
            Self::Hexadecimal => scan::hex(digits),
        }
    }

    /// Writes a number.
    pub fn write(self, id: u64) -> String {
        match self {
            Self::Decimal => id.to_string(),
            Self::Hexadecimal => format!("{id:x}"),
        }
    }
}

/// Which texts a client reads.
#[derive(Clone, Copy, Debug)]
pub enum Reads {
    /// UTF-8 if its entry announces `CAPUTF8OPT`, else the office's charset.
    WhatItAnnounces,
    /// This charset always, rewritten for it.
    Only(Charset, Rewrite),
    /// This charset always; it has all of Unicode.
    All(Charset),
    /// UTF-8 always.
    Utf8,
}

/// How a text is rewritten for clients that do not read it as it is.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite {
    /// Replaces what their charset lacks.
    pub substitute: fn(&str) -> Cow<'_, str>,
    /// What goes behind a message of these bytes, so that no part of it is taken for formatting.
    pub tail: fn(&[u8]) -> &'static [u8],
}

/// How one text is written to one peer.
#[derive(Clone, Copy, Debug)]
pub enum TextForm {
    /// UTF-8 with `UTF8OPT` and `CAPUTF8OPT`.
    Utf8,
    /// A legacy charset, undeclared.
    Legacy(Charset),
    /// A legacy charset, rewritten for clients that read nothing else.
    Substituted(Charset, Rewrite),
}

impl TextForm {
    /// The charset it is written in.
    pub fn charset(&self) -> Charset {
        match *self {
            Self::Utf8 => Charset::UTF_8,
            Self::Legacy(charset) | Self::Substituted(charset, _) => charset,
        }
    }
}

impl Habits {
    /// How to write text to a peer with these habits that announced `options` in its entry.
    pub fn text_form(&self, options: Options, office: Charset) -> TextForm {
        match self.text {
            Reads::Utf8 => TextForm::Utf8,
            Reads::All(charset) => TextForm::Legacy(charset),
            Reads::Only(charset, rewrite) => TextForm::Substituted(charset, rewrite),
            Reads::WhatItAnnounces if options.contains(entry::CAP_UTF8) => TextForm::Utf8,
            Reads::WhatItAnnounces => TextForm::Legacy(office),
        }
    }
}

/// Every dialect, most particular first; the last one recognises everything.
pub const DIALECTS: &[&Dialect] = &[&FEIGE, &FEIQ, &IPTUX, &IPMSG];

impl Dialect {
    /// The dialect of a packet, with what is already known of its sender.
    pub fn recognise(raw: &RawPacket<'_>, known: Option<&'static Self>) -> &'static Self {
        // Every dialect but the last shows itself by a tag behind the version number.
        let shown = match raw.version {
            b"1" => &IPMSG,
            _ => DIALECTS.iter().find(|dialect| (dialect.recognises)(raw)).unwrap_or(&&IPMSG),
        };
        match known {
            Some(known) if known.may_hide_as == Some(shown.name) && !is_entry(raw) => known,
            _ => shown,
        }
    }

    /// The charset all its clients write texts in, if there is one; names may be in another.
    pub fn text_charset(&self) -> Option<Charset> {
        match self.habits.text {
            Reads::Utf8 => Some(Charset::UTF_8),
            _ => self.charset,
        }
    }

    /// How to show what its clients write. To many at once, in a group or a broadcast, a client that
    /// hides as another dialect writes what that one reads.
    pub fn show_from(&self, to_many: bool) -> fn(&str) -> Cow<'_, str> {
        let other = self.may_hide_as.filter(|_| to_many).and_then(Self::by_name);
        other.map_or(self.show, |other| other.show)
    }

    /// The part of a message's text that is meant for the reader, and the font block behind it. What
    /// a client that hides as another dialect writes to many at once may be written for that one:
    /// then a block that means nothing stands behind a text that ends in one.
    pub fn split<'a>(&self, text: &'a [u8], to_many: bool) -> (&'a [u8], Option<FontBlock<'a>>) {
        let other = self.may_hide_as.filter(|_| to_many).and_then(Self::by_name);
        if let Some(Self { split_tail, .. }) = other
            && let (typed, Some(_)) = split_tail(text)
            && split_tail(typed).1.is_some()
        {
            return (typed, None);
        }
        (self.split_tail)(text)
    }

    /// The dialect of this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        DIALECTS.iter().copied().find(|dialect| dialect.name == name)
    }
}

/// Packets in which a client shows all of itself.
fn is_entry(raw: &RawPacket<'_>) -> bool {
    use super::command::Command;
    matches!(raw.command(), Command::BR_ENTRY | Command::ANSENTRY | Command::BR_ABSENCE)
}

impl PartialEq for Dialect {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Dialect {}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn whole(text: &[u8]) -> (&[u8], Option<FontBlock<'_>>) {
    (text, None)
}

fn as_typed(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

//! Who we are on the wire: the packets that speak of ourselves, as bytes.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use super::config::{Config, Identity};
use super::fetch::FileAsk;
use super::peer::Mac;
use crate::wire::attach::FileEntry;
use crate::wire::command::{entry, message, request};
use crate::wire::dialect::{Habits, TextForm, group_version_field, own_version_field};
use crate::wire::entry::{Announcement, Form};
use crate::wire::picture::{Fragment, PictureId, Reference};
use crate::wire::request::AnswerForm;
use crate::wire::{Charset, Command, CommandWord, Head, Office, Options, PacketNo, body};

/// Ourselves.
#[derive(Debug)]
pub(crate) struct Own {
    /// Our names.
    pub(crate) identity: Identity,
    /// Charset of the office.
    pub(crate) office: Office,
    /// Our port, and that of our broadcasts.
    pub(crate) port: u16,
    version: [u32; 3],
    version_field: String,
    mac: Option<Mac>,
    /// What is said of our absence; none: we are here.
    pub(crate) away: Option<String>,
}

/// How a presence packet of ours is written (wire reference, 4.3 and the rule at its end).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Sheet {
    /// Safe for everybody.
    Plain,
    /// With all names again in UTF-8 lines.
    Full,
    /// All of it in UTF-8 and marked so; only an answer may be.
    Utf8,
}

impl Own {
    /// Takes what it needs from `config`.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            identity: config.identity.clone(),
            office: config.office,
            port: config.port,
            version: config.version,
            version_field: own_version_field(&config.identity.mac),
            mac: Mac::read(config.identity.mac.as_bytes()),
            away: None,
        }
    }

    /// Whether a version field with this identity is ours.
    pub(crate) fn is_mac(&self, mac: Option<Mac>) -> bool {
        mac.is_some() && mac == self.mac
    }

    /// Version of this program: `0.1.0`.
    pub(crate) fn version(&self) -> String {
        let [major, minor, patch] = self.version;
        format!("{major}.{minor}.{patch}")
    }

    /// How a text is written to somebody of whom nothing is known: the office's charset, else the
    /// one that has all of Unicode and that GBK readers read.
    pub(crate) fn form_for_strangers(&self) -> TextForm {
        TextForm::Legacy(match self.office {
            Office::Auto => Charset::GB18030,
            Office::Fixed(charset) => charset,
        })
    }

    /// An entry, answer, absence or exit packet.
    pub(crate) fn presence(&self, number: PacketNo, command: Command, sheet: Sheet) -> Arc<[u8]> {
        let mut options = entry::FILE_ATTACH | entry::CAP_UTF8;
        options.set(entry::ABSENCE, self.away.is_some());
        let (office, options, form) = match sheet {
            Sheet::Plain => (self.office, options, Form::Plain),
            Sheet::Full => (self.office, options, Form::Full),
            Sheet::Utf8 => (Office::Fixed(Charset::UTF_8), options | entry::UTF8, Form::Full),
        };
        Announcement {
            head: self.head(number),
            nick: &self.shown_nick(),
            group: &self.identity.group,
            office,
            version: self.version,
        }
        .emit(command, options, form)
        .into()
    }

    /// Our nickname as others see it: with a word in brackets while we are away (wire reference,
    /// 4.3; vector `br-absence-499`).
    fn shown_nick(&self) -> Cow<'_, str> {
        match &self.away {
            Some(text) => format!("{}[{}]", self.identity.nick, title(text)).into(),
            None => Cow::Borrowed(&self.identity.nick),
        }
    }

    /// A receipt for `of`.
    pub(crate) fn receipt(&self, number: PacketNo, of: PacketNo) -> Arc<[u8]> {
        self.reference(number, Command::RECVMSG, Options::empty(), of)
    }

    /// A packet that speaks of another one: receipt, read notice, answer to a read notice.
    pub(crate) fn reference(
        &self,
        number: PacketNo,
        command: Command,
        options: Options,
        of: PacketNo,
    ) -> Arc<[u8]> {
        let names = self.office.own();
        body::emit_reference(&self.head(number), names, command, options, of).into()
    }

    /// The end of our interest in what the message `of` offered.
    pub(crate) fn release(&self, number: PacketNo, of: PacketNo) -> Arc<[u8]> {
        let (names, command) = (self.office.own(), Command::RELEASEFILES);
        body::emit_reference(&self.head(number), names, command, Options::empty(), of).into()
    }

    /// A request for the file `file` that the message `packet` offered. `utf8`: that message was
    /// marked as UTF-8.
    pub(crate) fn ask(
        &self,
        number: PacketNo,
        utf8: bool,
        (form, packet, file): (AnswerForm, PacketNo, u64),
        habits: Habits,
    ) -> FileAsk {
        FileAsk {
            version: self.version_field.clone(),
            number,
            user: self.identity.user.clone(),
            host: self.identity.host.clone(),
            options: if utf8 { request::UTF8 } else { Options::empty() },
            form,
            packet,
            file,
            habits,
        }
    }

    /// A packet with an ASCII body.
    pub(crate) fn ascii(&self, number: PacketNo, command: Command, text: &str) -> Arc<[u8]> {
        let names = self.office.own();
        body::emit_ascii(&self.head(number), names, command, Options::empty(), text).into()
    }

    /// A text that is no message.
    pub(crate) fn text(
        &self,
        number: PacketNo,
        command: Command,
        text: &str,
        form: TextForm,
    ) -> Arc<[u8]> {
        body::emit_text(&self.head(number), command, Options::empty(), text, form).into()
    }

    /// A packet without a body, with names in this charset.
    pub(crate) fn signal(&self, number: PacketNo, command: Command, names: Charset) -> Arc<[u8]> {
        body::emit_ascii(&self.head(number), names, command, Options::empty(), "").into()
    }

    /// A packet to a group, with this cipher text: one NUL follows it, and the version field bears
    /// its length (dialect reference of FeiQ, 9).
    pub(crate) fn group_message(&self, number: PacketNo, cipher: &[u8]) -> Arc<[u8]> {
        let version = group_version_field(&self.identity.mac, cipher.len());
        let head = Head { version: &version, ..self.head(number) };
        let mut out = Vec::with_capacity(cipher.len() + 128);
        let word = CommandWord::new(Command::FEIQ_GROUP_MESSAGE, message::ENCRYPT);
        head.emit(word, Charset::GBK, &mut out);
        out.extend_from_slice(cipher);
        out.push(0);
        out.into()
    }

    /// A message.
    pub(crate) fn message(
        &self,
        number: PacketNo,
        options: Options,
        text: &str,
        form: TextForm,
    ) -> Arc<[u8]> {
        body::emit_message(&self.head(number), options, text, form).into()
    }

    /// The acknowledgement of a fragment.
    pub(crate) fn picture_ack(&self, number: PacketNo, of: &Fragment<'_>) -> Arc<[u8]> {
        of.emit_ack(&self.head(number)).into()
    }

    /// A fragment of a picture.
    pub(crate) fn picture_fragment(&self, number: PacketNo, it: &Fragment<'_>) -> Arc<[u8]> {
        it.emit(&self.head(number)).into()
    }

    /// The message that shows a picture.
    pub(crate) fn picture_reference(
        &self,
        number: PacketNo,
        id: PictureId,
        options: Options,
    ) -> Arc<[u8]> {
        Reference::emit(id, false, &self.head(number), options).into()
    }

    /// A message that offers files.
    pub(crate) fn offer(
        &self,
        number: PacketNo,
        options: Options,
        text: &str,
        form: TextForm,
        (files, habits): (&[FileEntry], &Habits),
    ) -> Arc<[u8]> {
        body::emit_offer(&self.head(number), options, text, form, files, habits).into()
    }

    fn head(&self, number: PacketNo) -> Head<'_> {
        Head {
            version: &self.version_field,
            number,
            user: &self.identity.user,
            host: &self.identity.host,
        }
    }
}

/// The word that stands behind the nickname for an absence text: the text itself where it is one
/// short line.
fn title(text: &str) -> &str {
    const CHARS_MAX: usize = 20;
    let text = text.trim();
    let odd = |c: char| c.is_control() || matches!(c, '[' | ']');
    if text.is_empty() || text.contains(odd) || text.chars().count() > CHARS_MAX {
        return "away";
    }
    text
}

/// An address as it is compared and kept: IPv4 inside IPv6 unwrapped, the flow label dropped.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(mut v6) => match v6.ip().to_canonical() {
            std::net::IpAddr::V4(v4) => SocketAddr::new(v4.into(), v6.port()),
            std::net::IpAddr::V6(_) => {
                v6.set_flowinfo(0);
                SocketAddr::V6(v6)
            }
        },
        v4 @ SocketAddr::V4(_) => v4,
    }
}

/// Whether a datagram may be sent to `addr` because somebody else named it: one host's address,
/// with a port (wire reference, 14.11).
pub(crate) fn is_host(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let limited = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !limited
}

//! What a datagram says, field by field. Serialised this is the line for programs; `words.rs` says
//! the same to people.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;

use super::{Datagram, Transport, hex};
use crate::cli::output;
use crate::wire::attach::FileEntry;
use crate::wire::body::Body;
use crate::wire::command::{entry, message, request};
use crate::wire::dialect::version_mac;
use crate::wire::{
    Charset, Command, Dialect, Hint, Office, Options, Packet, ParseError, RawPacket, Sealed, Sure,
    Verdict,
};

/// One datagram, explained. Serialises to one JSON object.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    pub(super) v: u8,
    /// Counts from 1.
    pub(super) index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transport: Option<Transport>,
    /// Bytes.
    pub(super) size: usize,
    /// The capture did not keep all of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) cut: bool,
    #[serde(flatten)]
    pub(super) said: Said,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Said {
    Packet(Box<Fields>),
    Malformed {
        /// The first field that is wrong.
        malformed: &'static str,
        reason: String,
        hex: String,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct Fields {
    pub(super) version: String,
    pub(super) dialect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mac: Option<String>,
    pub(super) number: u64,
    pub(super) user: String,
    pub(super) host: String,
    pub(super) names_charset: Charset,
    pub(super) names_charset_sure: Sure,
    pub(super) command: String,
    pub(super) command_number: u8,
    pub(super) word: u32,
    pub(super) options: Vec<&'static str>,
    /// Option bits without a name in this kind of packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) options_unknown: Option<String>,
    #[serde(flatten)]
    pub(super) body: Meaning,
}

/// The body, by kind.
#[derive(Debug, Serialize)]
#[serde(tag = "body", rename_all = "snake_case")]
pub(super) enum Meaning {
    Presence {
        nick: String,
        group: String,
        charset: Charset,
        charset_sure: Sure,
        client_version: Option<String>,
    },
    Message {
        text: String,
        /// As its writer's program shows it, where that differs.
        #[serde(skip_serializing_if = "Option::is_none")]
        shown: Option<String>,
        charset: Charset,
        charset_sure: Sure,
        text_cut: bool,
        /// What the dialect put behind the text.
        #[serde(skip_serializing_if = "Option::is_none")]
        tail: Option<String>,
        files: Vec<File>,
        files_skipped: usize,
    },
    Encrypted {
        methods: String,
        key_bytes: usize,
        text_bytes: usize,
    },
    Reference {
        refers_to: u64,
    },
    Text {
        text: String,
        charset: Charset,
        charset_sure: Sure,
    },
    Hosts {
        next: u32,
        count: u32,
        hosts: Vec<Listed>,
    },
    GetHosts {
        from_index: u32,
    },
    FileRequest {
        offer: Option<u64>,
        file: Option<u64>,
        offset: Option<u64>,
    },
    Other {
        /// The main text, with what is not ASCII escaped.
        main: String,
        /// What follows its NUL.
        sections: Vec<String>,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct File {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) mtime: u64,
    pub(super) kind: String,
    pub(super) attr: u32,
    pub(super) extended: Vec<(u32, Vec<u64>)>,
}

/// A line of a host list.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) status: u32,
    pub(super) addr: String,
    pub(super) port: u16,
    pub(super) nick: String,
    pub(super) group: String,
}

/// Explains datagrams one after the other and remembers how each sender writes, as a node does.
#[derive(Debug, Default)]
pub(super) struct Explainer {
    pinned: Option<Charset>,
    office: Office,
    seen: usize,
    malformed: usize,
    senders: HashMap<Vec<u8>, Sender>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sender {
    dialect: Option<&'static Dialect>,
    names: Option<Verdict>,
    text: Option<Verdict>,
}

/// Senders remembered; more begin anew.
const SENDERS_MAX: usize = 4096;

impl Explainer {
    /// `pinned`: the charset of everything that does not declare one.
    pub(super) fn new(pinned: Option<Charset>, office: Office) -> Self {
        Self { pinned, office, ..Self::default() }
    }

    /// Datagrams that were no packets.
    pub(super) const fn malformed(&self) -> usize {
        self.malformed
    }

    pub(super) fn explain(&mut self, datagram: &Datagram) -> Explained {
        self.seen += 1;
        let said = match RawPacket::parse(&datagram.bytes) {
            Ok(raw) => Said::Packet(Box::new(self.fields(&raw, datagram))),
            Err(error) => {
                self.malformed += 1;
                Said::Malformed {
                    malformed: field(error),
                    reason: error.to_string(),
                    hex: hex::digits(&datagram.bytes),
                }
            }
        };
        Explained {
            v: output::VERSION,
            index: self.seen,
            at: datagram.at.map(output::rfc3339),
            from: datagram.from.map(|addr| addr.to_string()),
            to: datagram.to.map(|addr| addr.to_string()),
            transport: datagram.transport,
            size: datagram.bytes.len(),
            cut: datagram.cut,
            said,
        }
    }

    fn fields(&mut self, raw: &RawPacket<'_>, datagram: &Datagram) -> Fields {
        let key = [raw.user, b":", raw.host]
            .concat()
            .into_iter()
            .chain(datagram.from.map(|from| from.to_string()).unwrap_or_default().into_bytes())
            .collect();
        if self.senders.len() >= SENDERS_MAX {
            self.senders.clear();
        }
        let sender = self.senders.entry(key).or_default();
        let pinned = self.pinned.map(|charset| Verdict { charset, sure: Sure::Pinned });
        let hint = Hint {
            dialect: sender.dialect,
            names: pinned.or(sender.names),
            text: pinned.or(sender.text),
            office: self.office,
        };
        let packet = Packet::read(raw, &hint);
        sender.learn(&packet);
        let names = option_names(packet.command);
        let known = names.iter().fold(Options::empty(), |all, &(bit, _)| all | bit);
        let unknown = packet.options.difference(known);
        Fields {
            version: raw.version.escape_ascii().to_string(),
            dialect: packet.dialect.name,
            mac: version_mac(raw.version).map(|mac| mac.escape_ascii().to_string()),
            number: raw.number.0,
            names_charset: packet.names.charset,
            names_charset_sure: packet.names.sure,
            command: packet.command.to_string(),
            command_number: packet.command.0,
            word: raw.word.0,
            options: names
                .iter()
                .filter(|&&(bit, _)| packet.options.contains(bit))
                .map(|&(_, name)| name)
                .collect(),
            options_unknown: (!unknown.is_empty()).then(|| format!("0x{:08x}", unknown.bits())),
            body: Meaning::of(raw, &packet),
            user: packet.user,
            host: packet.host,
        }
    }
}

impl Sender {
    /// A guess is not worth remembering, and ASCII says nothing.
    fn learn(&mut self, packet: &Packet) {
        let worth = |verdict: Verdict| (verdict.sure > Sure::Guessed).then_some(verdict);
        self.dialect = Some(packet.dialect);
        self.names = worth(packet.names).or(self.names);
        match &packet.body {
            Body::Presence(presence) => self.names = worth(presence.charset).or(self.names),
            Body::Message(message) => self.text = worth(message.charset).or(self.text),
            Body::Text(text) => self.text = worth(text.charset).or(self.text),
            _ => {}
        }
    }
}

impl Meaning {
    fn of(raw: &RawPacket<'_>, packet: &Packet) -> Self {
        let encrypted = packet.options.contains(message::ENCRYPT);
        match (&packet.body, packet.command) {
            (Body::Message(_), _) if encrypted => match Sealed::split(raw.main()) {
                Some(section) => Self::Encrypted {
                    methods: format!("{:x}", section.methods),
                    key_bytes: section.size_bytes(section.key),
                    text_bytes: section.size_bytes(section.body),
                },
                None => Self::other(raw),
            },
            (Body::Presence(presence), _) => Self::Presence {
                nick: presence.nick.clone(),
                group: presence.group.clone(),
                charset: presence.charset.charset,
                charset_sure: presence.charset.sure,
                client_version: presence.version.clone(),
            },
            (Body::Message(message), _) => {
                let to_many = packet.options.contains(message::BROADCAST);
                let shown = packet.dialect.split(raw.main(), to_many).0.len();
                let tail = raw.main().get(shown..).filter(|tail| !tail.is_empty());
                // It has no charset of its own to be judged by.
                let of_tail = packet.dialect.charset.unwrap_or(message.charset.charset);
                let shown = match packet.dialect.show_from(to_many)(&message.text) {
                    Cow::Borrowed(_) => None,
                    Cow::Owned(shown) => Some(shown),
                };
                Self::Message {
                    text: message.text.clone(),
                    shown,
                    charset: message.charset.charset,
                    charset_sure: message.charset.sure,
                    text_cut: message.cut,
                    tail: tail.map(|tail| of_tail.decode(tail).into_owned()),
                    files: message.files.files.iter().map(File::from).collect(),
                    files_skipped: message.files.skipped,
                }
            }
            (Body::Reference(number), _) => Self::Reference { refers_to: number.0 },
            (Body::Text(text), _) => Self::Text {
                text: text.text.clone(),
                charset: text.charset.charset,
                charset_sure: text.charset.sure,
            },
            (Body::Hosts(list), _) => Self::Hosts {
                next: list.next,
                count: list.count,
                hosts: list
                    .hosts
                    .iter()
                    .map(|host| Listed {
                        user: host.user.clone(),
                        host: host.host.clone(),
                        status: host.status,
                        addr: host.addr.to_string(),
                        port: host.port,
                        nick: host.nick.clone(),
                        group: host.group.clone(),
                    })
                    .collect(),
            },
            (Body::GetHosts(from), _) => Self::GetHosts { from_index: *from },
            (_, Command::GETFILEDATA | Command::GETDIRFILES) if !encrypted => {
                // Hexadecimal here, decimal in the list (wire reference, 8.1).
                let mut parts = raw.main().split(|&byte| byte == b':').map(|part| {
                    std::str::from_utf8(part)
                        .ok()
                        .and_then(|part| u64::from_str_radix(part, 16).ok())
                });
                let mut next = || parts.next().flatten();
                Self::FileRequest { offer: next(), file: next(), offset: next() }
            }
            _ => Self::other(raw),
        }
    }

    fn other(raw: &RawPacket<'_>) -> Self {
        let escaped = |bytes: &[u8]| bytes.escape_ascii().to_string();
        Self::Other { main: escaped(raw.main()), sections: raw.sections().map(escaped).collect() }
    }
}

impl From<&FileEntry> for File {
    fn from(file: &FileEntry) -> Self {
        let kind = match file.attr & 0xff {
            1 => "file".to_owned(),
            2 => "folder".to_owned(),
            3 => "parent".to_owned(),
            4 => "symlink".to_owned(),
            0x20 => "clipboard".to_owned(),
            other => format!("0x{other:02x}"),
        };
        Self {
            id: file.id,
            name: file.name.clone(),
            size: file.size,
            mtime: file.mtime,
            kind,
            attr: file.attr,
            extended: file.extended.clone(),
        }
    }
}

/// The names of option bits depend on the kind of packet.
fn option_names(command: Command) -> &'static [(Options, &'static str)] {
    match command {
        Command::NOOPERATION
        | Command::BR_ENTRY
        | Command::BR_EXIT
        | Command::ANSENTRY
        | Command::BR_ABSENCE
        | Command::DIR_POLL => entry::NAMES,
        Command::GETFILEDATA | Command::GETDIRFILES => request::NAMES,
        _ => message::NAMES,
    }
}

/// The class of a malformed datagram: the first field that is wrong.
fn field(error: ParseError) -> &'static str {
    match error {
        ParseError::Empty => "empty",
        ParseError::Fields => "fields",
        ParseError::Version => "version",
        ParseError::PacketNo => "packet_no",
        ParseError::Command => "command",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_explained_without_harm(
            packets in prop::collection::vec(
                (
                    any::<u32>(),
                    prop::collection::vec(prop_oneof![Just(0), Just(b':'), any::<u8>()], 0..80),
                ),
                0..4,
            ),
        ) {
            let mut explainer = Explainer::default();
            for (word, body) in packets {
                let head = format!("1_lbt6_0#128#00#0#0#0#4001#9:1:\u{1b}u:h:{word}:");
                for bytes in [[head.as_bytes(), &body].concat(), body] {
                    let explained = explainer.explain(&Datagram::new(bytes));
                    let words = explained.human();
                    prop_assert!(!words.chars().any(|c| c.is_control() && c != '\n'), "{words:?}");
                    prop_assert!(serde_json::to_value(&explained).is_ok_and(|v| v.is_object()));
                }
            }
        }
    }
}

//! A FeiQ 2013, as far as the dialect reference describes one. Written from the reference alone:
//! nothing here uses our own readers, writers or ciphers, so that a mistake in those shows.
//!
//! [`Feiq`] is pure: what arrives goes in by [`Feiq::hear`], what it sends comes out, and what its
//! user sees is collected in [`Feiq::shown`]. [`program`] runs one on real sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use rsa::{RsaPrivateKey, RsaPublicKey};

pub(crate) mod cipher;
mod packet;
#[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "only the program sends pictures"))]
pub(crate) mod pictures;
#[cfg(feature = "cli")]
pub(crate) mod program;
pub(crate) mod text;

pub(crate) use packet::{Fields, NUL};

/// Commands of the wire, as numbers of the reference (sections 3 and 4).
pub(crate) mod word {
    pub(crate) const NOOP: u32 = 0;
    pub(crate) const ENTRY: u32 = 6_291_457;
    pub(crate) const EXIT: u32 = 6_291_458;
    pub(crate) const ANSWER: u32 = 6_291_459;
    pub(crate) const TEXT: u32 = 288;
    pub(crate) const SEALED_TEXT: u32 = 4_194_592;
    pub(crate) const RECEIPT: u32 = 33;
    pub(crate) const GROUP_TEXT: u32 = 4_194_339;
    pub(crate) const GROUP_PRESENCE: u32 = 2_097_353;
    pub(crate) const GET_KEY: u32 = 114;
    pub(crate) const KEY: u32 = 115;
    pub(crate) const FRAGMENT: u32 = 2_097_344;
    pub(crate) const FRAGMENT_ACK: u32 = 193;
    pub(crate) const PROBE: u32 = 119;
    pub(crate) const PROBE_ANSWER: u32 = 120;
    pub(crate) const TYPING: u32 = 121;
    pub(crate) const TYPING_END: u32 = 122;
    pub(crate) const KNOCK: u32 = 209;
    pub(crate) const KNOCK_ANSWER: u32 = 210;
}

/// Whom a datagram goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum To {
    /// 255.255.255.255.
    Everybody,
    /// 226.81.9.8.
    Groups,
    /// One address and port.
    One(SocketAddr),
}

/// Datagrams on their way out.
pub(crate) type Out = Vec<(To, Vec<u8>)>;

/// What its user sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// A contact came, or came back.
    Contact { at: SocketAddr, nick: String, group: String },
    /// A contact left.
    Gone { at: SocketAddr },
    /// A message, without its font block.
    Text { at: SocketAddr, text: String, encrypted: bool },
    /// A message of ours was confirmed.
    Confirmed { number: u64 },
    /// A picture inside a message.
    Picture { at: SocketAddr, id: String, bitmap: pictures::Bitmap },
    /// A message refers to a picture that is not there.
    Icon { at: SocketAddr, id: String },
    /// The window shakes.
    Shake { at: SocketAddr },
    /// A contact felt our shaking.
    Shaken { at: SocketAddr },
    /// "... is typing", or not any more.
    Typing { at: SocketAddr, typing: bool },
    /// A contact answered our probe.
    Probed { at: SocketAddr },
    /// A group message.
    Group { at: SocketAddr, group: String, text: String },
}

/// What it knows of a contact.
#[derive(Clone, Debug)]
pub(crate) struct Contact {
    /// Its version field begins as FeiQ's: it gets pictures and the other extras.
    pub(crate) family: bool,
    /// It announced that it can encrypt.
    encrypts: bool,
    key: Option<RsaPublicKey>,
}

/// One FeiQ and its user.
pub(crate) struct Feiq {
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) nick: String,
    pub(crate) group: String,
    /// 12 upper-case hex digits.
    pub(crate) mac: String,
    pub(crate) number: u64,
    key: Option<RsaPrivateKey>,
    pub(crate) contacts: BTreeMap<SocketAddr, Contact>,
    /// Texts without a receipt yet.
    unconfirmed: BTreeMap<u64, (To, Vec<u8>)>,
    /// Texts that wait for their reader's key.
    unsealed: Vec<(SocketAddr, String)>,
    taken: BTreeSet<(SocketAddr, u64, u8)>,
    pub(crate) shown: Vec<Shown>,
    /// Pictures on their way.
    pub(crate) album: pictures::Album,
    /// Every datagram heard, in order.
    pub(crate) heard: Vec<(SocketAddr, Vec<u8>)>,
}

impl Feiq {
    pub(crate) fn new(nick: &str, mac: &str) -> Self {
        Self {
            user: "Administrator".into(),
            host: format!("PC-{}", &mac[8..]),
            nick: nick.into(),
            group: "测试组".into(),
            mac: mac.into(),
            number: 1_500_000_000,
            key: None,
            contacts: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            unsealed: Vec::new(),
            taken: BTreeSet::new(),
            shown: Vec::new(),
            album: pictures::Album::default(),
            heard: Vec::new(),
        }
    }

    /// The program starts: a no-operation packet, and with the next number its entry (section 4.1).
    pub(crate) fn start(&mut self) -> Out {
        let noop = self.packet(word::NOOP, NUL);
        let names = self.names();
        let entry = self.packet(word::ENTRY, &names);
        vec![(To::Everybody, noop), (To::Everybody, entry)]
    }

    /// The program ends.
    pub(crate) fn exit(&mut self) -> Out {
        let names = self.names();
        vec![(To::Everybody, self.packet(word::EXIT, &names))]
    }

    /// Its user writes: plain where the reader does not announce encryption, else encrypted, for
    /// which the reader is asked for its key first (section 10).
    pub(crate) fn say(&mut self, at: SocketAddr, text: &str) -> Out {
        if self.contacts.get(&at).is_some_and(|contact| contact.encrypts) {
            return self.say_sealed(at, text);
        }
        self.post(at, word::TEXT, &text::with_font(text)).1
    }

    /// Its user writes, encrypted whatever the reader announces.
    pub(crate) fn say_sealed(&mut self, at: SocketAddr, text: &str) -> Out {
        let Some(key) = self.contacts.get(&at).and_then(|contact| contact.key.clone()) else {
            self.unsealed.push((at, text.to_owned()));
            return vec![(To::One(at), self.packet(word::GET_KEY, b"21003\0"))];
        };
        let section = cipher::seal(&key, &text::with_font(text));
        self.post(at, word::SEALED_TEXT, &[section.as_bytes(), NUL].concat()).1
    }

    /// A text with exactly this body; its number.
    pub(crate) fn post(&mut self, at: SocketAddr, word: u32, body: &[u8]) -> (u64, Out) {
        let bytes = self.packet(word, body);
        self.unconfirmed.insert(self.number, (To::One(at), bytes.clone()));
        (self.number, vec![(To::One(at), bytes)])
    }

    /// Everything that was not confirmed, once more with the same number.
    pub(crate) fn repeat(&self) -> Out {
        self.unconfirmed.values().cloned().collect()
    }

    pub(crate) fn knock(&mut self, at: SocketAddr) -> Out {
        vec![(To::One(at), self.packet(word::KNOCK, NUL))]
    }

    pub(crate) fn typing(&mut self, at: SocketAddr, typing: bool) -> Out {
        let word = if typing { word::TYPING } else { word::TYPING_END };
        vec![(To::One(at), self.packet(word, NUL))]
    }

    pub(crate) fn probe(&mut self, at: SocketAddr) -> Out {
        vec![(To::One(at), self.packet(word::PROBE, NUL))]
    }

    /// Its user writes to a group (section 9).
    pub(crate) fn say_to_group(&mut self, group: &str, text: &str) -> Out {
        let mut plain = format!("QUNMSGMARK#{group}_546770745#").into_bytes();
        plain.extend(text::with_font(text));
        vec![(To::Groups, self.group_packet(word::GROUP_TEXT, &plain))]
    }

    /// It shows itself in a group.
    pub(crate) fn join_group(&mut self, group: &str, name: &str) -> Out {
        let mut plain = format!("QUNMSGMARK#{group}#").into_bytes();
        plain.extend(text::gbk(name));
        plain.push(0);
        vec![(To::Groups, self.group_packet(word::GROUP_PRESENCE, &plain))]
    }

    fn group_packet(&mut self, word: u32, plain: &[u8]) -> Vec<u8> {
        let sealed = cipher::scramble(self.mac.as_bytes(), plain);
        let version = self.version(sealed.len());
        self.packet_as(&version, word, &[sealed.as_slice(), NUL].concat())
    }

    /// A datagram arrives.
    pub(crate) fn hear(&mut self, from: SocketAddr, bytes: &[u8]) -> Out {
        self.heard.push((from, bytes.to_vec()));
        let Some(fields) = Fields::split(bytes) else { return Vec::new() };
        if fields.version.windows(12).any(|part| part == self.mac.as_bytes()) {
            return Vec::new();
        }
        let word = fields.word;
        let answer =
            |this: &mut Self, word, body: &[u8]| vec![(To::One(from), this.packet(word, body))];
        match word.to_le_bytes()[0] {
            1 => {
                self.meet(from, &fields);
                let names = self.names();
                answer(self, word::ANSWER, &names)
            }
            2 => {
                if self.contacts.remove(&from).is_some() {
                    self.shown.push(Shown::Gone { at: from });
                }
                Vec::new()
            }
            // Answers are never answered, or the two would go on for ever (section 4.10).
            3 | 4 => {
                self.meet(from, &fields);
                Vec::new()
            }
            0x20 => self.read(from, &fields),
            0x21 => {
                let number = fields.main_text().parse().ok();
                let ours = number.filter(|number| self.unconfirmed.remove(number).is_some());
                self.shown.extend(ours.map(|number| Shown::Confirmed { number }));
                Vec::new()
            }
            0x23 => {
                let (at, mac) = (from, fields.mac());
                let length = fields.cipher_length();
                if let Some((group, text)) = cipher::read_group(mac, fields.rest, length) {
                    self.shown.push(Shown::Group { at, group, text });
                }
                Vec::new()
            }
            0x72 => {
                let key = cipher::key_text(self.pair());
                answer(self, word::KEY, format!("21003:{key}\0").as_bytes())
            }
            0x73 => self.take_key(from, &fields),
            0x77 => answer(self, word::PROBE_ANSWER, NUL),
            0x78 => {
                self.shown.push(Shown::Probed { at: from });
                Vec::new()
            }
            0x79 | 0x7a => {
                let typing = word.to_le_bytes()[0] == 0x79;
                self.shown.push(Shown::Typing { at: from, typing });
                Vec::new()
            }
            0xc0 => self.take_fragment(from, &fields),
            0xc1 => {
                self.take_fragment_ack(from, &fields);
                Vec::new()
            }
            0xd1 => {
                self.shown.push(Shown::Shake { at: from });
                answer(self, word::KNOCK_ANSWER, NUL)
            }
            0xd2 => {
                self.shown.push(Shown::Shaken { at: from });
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn meet(&mut self, at: SocketAddr, fields: &Fields<'_>) {
        let contact = Contact {
            family: fields.version.starts_with(b"1_lbt"),
            encrypts: fields.word & 0x40_0000 != 0,
            key: self.contacts.get(&at).and_then(|contact| contact.key.clone()),
        };
        let (nick, group) = fields.names();
        if self.contacts.insert(at, contact).is_none() {
            self.shown.push(Shown::Contact { at, nick, group });
        }
    }

    fn read(&mut self, at: SocketAddr, fields: &Fields<'_>) -> Out {
        let new = self.taken.insert((at, fields.number, 0x20));
        let encrypted = fields.word & 0x40_0000 != 0;
        let main = fields.main();
        let main = if encrypted { cipher::open(self.pair(), main) } else { Some(main.to_vec()) };
        let Some(main) = main else { return Vec::new() };
        if new {
            let text = text::without_font(&main);
            self.show_pictures(at, &text);
            self.shown.push(Shown::Text { at, text, encrypted });
        }
        if fields.word & 0x100 == 0 {
            return Vec::new();
        }
        let body = format!("{}\0", fields.number);
        vec![(To::One(at), self.packet(word::RECEIPT, body.as_bytes()))]
    }

    fn take_key(&mut self, at: SocketAddr, fields: &Fields<'_>) -> Out {
        let Some(contact) = self.contacts.get_mut(&at) else { return Vec::new() };
        contact.key = cipher::read_key(fields.main());
        let (now, later) = std::mem::take(&mut self.unsealed)
            .into_iter()
            .partition::<Vec<_>, _>(|(whom, _)| *whom == at);
        self.unsealed = later;
        now.into_iter().flat_map(|(_, text)| self.say_sealed(at, &text)).collect()
    }

    /// Its key pair; made when it is needed.
    fn pair(&mut self) -> &RsaPrivateKey {
        self.key.get_or_insert_with(cipher::new_pair)
    }

    /// `nick NUL group NUL` (section 2).
    fn names(&self) -> Vec<u8> {
        [&*text::gbk(&self.nick), NUL, &*text::gbk(&self.group), NUL].concat()
    }

    /// The version field (section 1), with the length of a group's cipher text.
    fn version(&self, cipher: usize) -> String {
        format!("1_lbt6_0#128#{}#0#0#{cipher}#4001#9", self.mac)
    }

    /// A datagram with the next number.
    pub(crate) fn packet(&mut self, word: u32, rest: &[u8]) -> Vec<u8> {
        let version = self.version(0);
        self.packet_as(&version, word, rest)
    }

    fn packet_as(&mut self, version: &str, word: u32, rest: &[u8]) -> Vec<u8> {
        self.number += 1;
        let head = format!("{version}:{}:{}:{}:{word}:", self.number, self.user, self.host);
        [&*text::gbk(&head), rest].concat()
    }
}

//! Packets made from a seed, in the mix of a busy office: 30 % entries and answers (a third of them
//! with UTF-8 lines), 25 % texts in GBK, 15 % in UTF-8, 10 % in ASCII, 10 % file offers, 5 %
//! receipts, 5 % absences and exits; a quarter of all packets has FeiQ's version field.

use std::fmt::Write;

use feige::wire::command::{entry, message};
use feige::wire::{Charset, Command, CommandWord, Head, Options, PacketNo};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// What a packet is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Entry,
    EntryWithLines,
    Gbk,
    Utf8,
    Ascii,
    Offer,
    Receipt,
    Absence,
}

/// Makes packets from a seed.
pub(crate) struct Maker {
    random: StdRng,
    number: u64,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self { random: StdRng::seed_from_u64(1), number: 1_700_000_000 }
    }

    /// One of the mix.
    pub(crate) fn any(&mut self) -> Vec<u8> {
        let kind = match self.random.gen_range(0..100) {
            0..20 => Kind::Entry,
            20..30 => Kind::EntryWithLines,
            30..55 => Kind::Gbk,
            55..70 => Kind::Utf8,
            70..80 => Kind::Ascii,
            80..90 => Kind::Offer,
            90..95 => Kind::Receipt,
            _ => Kind::Absence,
        };
        self.packet(kind)
    }

    /// One of this kind.
    pub(crate) fn packet(&mut self, kind: Kind) -> Vec<u8> {
        let host = format!("PC-{:04}", self.random.gen_range(1..10_000));
        let user = if self.random.gen_bool(0.3) {
            self.hanzi(2, 4)
        } else {
            format!("user{}", self.random.gen_range(1..1_000))
        };
        let (command, options, body) = self.body(kind, &user, &host);
        let charset = if matches!(kind, Kind::Utf8) { Charset::UTF_8 } else { Charset::GBK };
        self.number += 1;
        let version = if self.random.gen_bool(0.25) {
            format!("1_lbt6_0#128#{:012X}#0#0#0#4001#9", self.random.gen_range(0..1_u64 << 48))
        } else {
            "1".to_owned()
        };
        let head =
            Head { version: &version, number: PacketNo(self.number), user: &user, host: &host };
        let mut bytes = Vec::new();
        head.emit(CommandWord::new(command, options), charset, &mut bytes);
        bytes.extend_from_slice(&body);
        bytes.push(0);
        bytes
    }

    fn body(&mut self, kind: Kind, user: &str, host: &str) -> (Command, Options, Vec<u8>) {
        let presence = entry::FILE_ATTACH | entry::ENCRYPT;
        match kind {
            Kind::Entry => {
                let command =
                    if self.random.gen_bool(0.5) { Command::BR_ENTRY } else { Command::ANSENTRY };
                let (nick, group) = (self.hanzi(2, 4), self.hanzi(2, 6));
                (command, presence, gbk(&format!("{nick}\0{group}")))
            }
            Kind::EntryWithLines => {
                let (nick, group) = (self.hanzi(2, 4), self.hanzi(2, 6));
                let mut body = gbk(&format!("{nick}\0{group}\0"));
                let lines =
                    format!("\nUN:{user}\nHN:{host}\nNN:{nick}\nGN:{group}\nVS:00010002:3:0:0");
                body.extend_from_slice(lines.as_bytes());
                (Command::BR_ENTRY, presence | entry::CAP_UTF8, body)
            }
            Kind::Gbk => {
                let mut text = self.hanzi(4, 120);
                if self.random.gen_bool(0.2) {
                    text += "{/font;-13 0 0 0 400 0 0 0 134 3 2 1 2 Tahoma 1;}";
                }
                (Command::SENDMSG, message::SEND_CHECK, gbk(&text))
            }
            Kind::Utf8 => {
                let options = message::SEND_CHECK | message::UTF8;
                (Command::SENDMSG, options, self.hanzi(4, 120).into_bytes())
            }
            Kind::Ascii => {
                let filler = " lorem".repeat(self.random.gen_range(0..=30));
                let text = format!("see http://10.0.0.7/x?a={}:1 please{filler}", self.number);
                (Command::SENDMSG, message::SEND_CHECK, text.into_bytes())
            }
            Kind::Offer => {
                let options = message::SEND_CHECK | message::FILE_ATTACH;
                (Command::SENDMSG, options, self.offer())
            }
            Kind::Receipt => (Command::RECVMSG, Options::empty(), b"1700000000".to_vec()),
            Kind::Absence => {
                let command =
                    if self.random.gen_bool(0.5) { Command::BR_ABSENCE } else { Command::BR_EXIT };
                let body = format!("{}\0{}", self.hanzi(2, 4), self.hanzi(2, 4));
                (command, Options::empty(), gbk(&body))
            }
        }
    }

    fn offer(&mut self) -> Vec<u8> {
        let mut body = self.hanzi(0, 20) + "\0";
        for id in 1..=self.random.gen_range(1..=5) {
            let name = if self.random.gen_bool(0.5) { self.hanzi(2, 8) } else { String::new() };
            let size = self.random.gen_range(0..1 << 30);
            let _ = write!(body, "{id}:report-{id}{name}.doc:{size:x}:6553f100:1:\x07");
        }
        gbk(&body)
    }

    /// Common hanzi, so many.
    pub(crate) fn hanzi(&mut self, least: usize, most: usize) -> String {
        const COMMON: &str = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会\
            可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自\
            二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平";
        let common: Vec<char> = COMMON.chars().collect();
        (0..self.random.gen_range(least..=most))
            .filter_map(|_| common.choose(&mut self.random))
            .collect()
    }
}

fn gbk(text: &str) -> Vec<u8> {
    Charset::GBK.encode(text, |_| "?".to_owned())
}

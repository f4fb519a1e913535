//! How fast the wire layer reads and writes: `cargo bench --bench wire`.
//!
//! The corpus is made here from a seed, in the mix of a busy office: 30 % entries and answers (a
//! third of them with UTF-8 lines), 25 % texts in GBK, 15 % in UTF-8, 10 % in ASCII, 10 % file
//! offers, 5 % receipts, 5 % absences and exits; a quarter of all packets has FeiQ's version field.

use std::fmt::Write;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use feige::wire::body::{DATAGRAM_MAX, emit_message, emit_reference};
use feige::wire::command::{entry, message};
use feige::wire::dialect::{FEIQ, IPTUX, TextForm};
use feige::wire::entry::{Announcement, Form};
use feige::wire::{
    Charset, Command, CommandWord, Head, Hint, Office, Options, Packet, PacketNo, RawPacket,
};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Counts allocations, so that "none" is seen and not claimed.
#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const PACKETS: usize = 2_000;

/// Splits the header of every packet of the corpus.
#[divan::bench]
fn header_only(bencher: Bencher<'_, '_>) {
    let corpus = corpus();
    bencher.counter(ItemsCount::new(corpus.len())).bench_local(|| {
        for bytes in black_box(&corpus) {
            let _ = black_box(RawPacket::parse(bytes));
        }
    });
}

/// Decodes every field of every packet of the corpus into owned strings.
#[divan::bench]
fn whole_packets(bencher: Bencher<'_, '_>) {
    let corpus = corpus();
    bencher.counter(ItemsCount::new(corpus.len())).bench_local(|| read_all(&corpus));
}

/// The same, one kind of packet at a time.
#[divan::bench(args = Kind::ALL)]
fn one_kind(bencher: Bencher<'_, '_>, kind: Kind) {
    let mut maker = Maker::new();
    let corpus: Vec<_> = (0..PACKETS).map(|_| maker.packet(kind)).collect();
    bencher.counter(ItemsCount::new(corpus.len())).bench_local(|| read_all(&corpus));
}

/// The most work a datagram of greatest length can cause. A stranger's packet may cost 1 ms.
#[divan::bench(args = Worst::ALL)]
fn worst_case(bencher: Bencher<'_, '_>, worst: Worst) {
    let bytes = worst.bytes();
    bencher.bench_local(|| read_all(std::slice::from_ref(black_box(&bytes))));
}

/// A text of 60 hanzi and an emoji, to a peer of each form.
#[divan::bench(args = ["utf-8", "gb18030", "gbk"])]
fn emit_text(bencher: Bencher<'_, '_>, form: &str) {
    let form = match form {
        "utf-8" => TextForm::Utf8,
        "gb18030" => IPTUX.habits.text_form(Options::empty(), Charset::GBK),
        _ => FEIQ.habits.text_form(Options::empty(), Charset::GBK),
    };
    let text = format!("{}🙂", Maker::new().hanzi(60, 60));
    bencher.bench_local(|| emit_message(&head(), message::SEND_CHECK, black_box(&text), form));
}

/// A receipt.
#[divan::bench]
fn emit_receipt(bencher: Bencher<'_, '_>) {
    let of = PacketNo(1_700_000_000);
    bencher.bench_local(|| {
        emit_reference(&head(), Charset::GBK, Command::RECVMSG, Options::empty(), black_box(of))
    });
}

/// An entry of ours with all names.
#[divan::bench]
fn emit_entry(bencher: Bencher<'_, '_>) {
    let announcement = Announcement {
        head: head(),
        nick: "王小二",
        group: "研发部",
        office: Office::Auto,
        version: [0, 1, 0],
    };
    bencher.bench_local(|| {
        black_box(&announcement).emit(Command::BR_ENTRY, entry::CAP_UTF8, Form::Full)
    });
}

fn head() -> Head<'static> {
    Head {
        version: "1_lbt6_0#128#02AABBCCDDEE#0#0#0#4001#9",
        number: PacketNo(1_700_000_001),
        user: "wang",
        host: "PC-0001",
    }
}

fn read_all(corpus: &[Vec<u8>]) {
    let hint = Hint::default();
    for bytes in corpus {
        if let Ok(raw) = RawPacket::parse(bytes) {
            black_box(Packet::read(&raw, &hint));
        }
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let mut maker = Maker::new();
    (0..PACKETS).map(|_| maker.any()).collect()
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Entry,
    EntryWithLines,
    Gbk,
    Utf8,
    Ascii,
    Offer,
    Receipt,
    Absence,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Entry,
        Self::EntryWithLines,
        Self::Gbk,
        Self::Utf8,
        Self::Ascii,
        Self::Offer,
        Self::Receipt,
        Self::Absence,
    ];
}

/// Makes packets from a seed.
struct Maker {
    random: StdRng,
    number: u64,
}

impl Maker {
    fn new() -> Self {
        Self { random: StdRng::seed_from_u64(1), number: 1_700_000_000 }
    }

    fn any(&mut self) -> Vec<u8> {
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

    fn packet(&mut self, kind: Kind) -> Vec<u8> {
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

    fn hanzi(&mut self, least: usize, most: usize) -> String {
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

/// Datagrams of greatest length that ask for the most work.
#[derive(Clone, Copy, Debug)]
enum Worst {
    /// Random bytes, for the detector.
    Noise,
    /// Text that is nearly UTF-8 and nearly GBK.
    Broken,
    /// As many files as fit.
    Files,
    /// Files that are all refused.
    RefusedFiles,
    /// As many lines as fit into an entry.
    Lines,
    /// As many hosts as fit.
    Hosts,
    /// Opening braces before the end of a font block.
    Braces,
}

impl Worst {
    const ALL: [Self; 7] = [
        Self::Noise,
        Self::Broken,
        Self::Files,
        Self::RefusedFiles,
        Self::Lines,
        Self::Hosts,
        Self::Braces,
    ];

    fn bytes(self) -> Vec<u8> {
        let mut random = StdRng::seed_from_u64(1);
        let (head, unit): (String, Vec<u8>) = match self {
            Self::Noise => {
                let noise = (0..DATAGRAM_MAX * 2).map(|_| random.gen_range(0x80..=0xff)).collect();
                ("1:1:u:h:288:".into(), noise)
            }
            Self::Broken => ("1:1:u:h:288:".into(), "好".as_bytes().to_vec()),
            Self::Files => ("1:1:u:h:2097440:\0".into(), vec![]),
            Self::RefusedFiles => ("1:1:u:h:2097440:\0".into(), b"0:a:1:1\x07".to_vec()),
            Self::Lines => ("1:1:u:h:16777217:é\0\0\n".into(), b"NN:a\n".to_vec()),
            Self::Hosts => (
                "1:1:u:h:19:0\x070\x07".into(),
                b"a\x07b\x071\x071.1.1.1\x071\x07\x08\x07\x08\x07".to_vec(),
            ),
            Self::Braces => ("1_lbt6_0#0#A#0#0#0:1:u:h:288:".into(), b"{/font;".to_vec()),
        };
        let mut bytes = head.into_bytes();
        let room = 65_507 - bytes.len();
        if matches!(self, Self::Files) {
            let files = (0..).map(|id| format!("{id}:a:1:1:1\x07"));
            bytes.extend(files.flat_map(String::into_bytes).take(room));
        } else {
            bytes.extend(unit.iter().copied().cycle().take(room));
        }
        match self {
            Self::Broken => bytes.extend_from_slice(b"\xff"),
            Self::Braces => {
                bytes.truncate(65_505);
                bytes.extend_from_slice(b";}");
            }
            _ => {}
        }
        bytes
    }
}

//! How fast the wire layer reads and writes: `cargo bench --bench wire`.

mod corpus;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use feige::wire::body::{DATAGRAM_MAX, emit_message, emit_reference};
use feige::wire::command::{entry, message};
use feige::wire::dialect::{FEIQ, IPTUX, TextForm};
use feige::wire::entry::{Announcement, Form};
use feige::wire::{Charset, Command, Head, Hint, Office, Options, Packet, PacketNo, RawPacket};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::corpus::{Kind, Maker};

/// Counts allocations, so that "none" is seen and not claimed.
#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const PACKETS: usize = 2_000;

const KINDS: [Kind; 8] = [
    Kind::Entry,
    Kind::EntryWithLines,
    Kind::Gbk,
    Kind::Utf8,
    Kind::Ascii,
    Kind::Offer,
    Kind::Receipt,
    Kind::Absence,
];

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
#[divan::bench(args = KINDS)]
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

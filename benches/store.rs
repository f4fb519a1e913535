//! What keeping messages costs, beside what this disk needs to sync at all.
//!
//! `commit` includes its sync: the cost of a message is (commit - `sync_4_kib`) / messages. Everything
//! happens in the build folder, so on the disk the project lies on.

use std::io::Write;
use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use feige::node::{
    Charset, Delivery, Direction, MessageRecord, Options, PacketNo, PeerId, PeerView, Recipients,
    Record, SaveId, Sure, UnixMillis, Verdict,
};
use feige::store::history::Query;
use feige::store::{Opened, Paths, Reader, Store, Writer};
use tempfile::TempDir;

fn main() {
    divan::main();
}

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

fn home() -> (TempDir, Paths) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let paths = Paths::all_in(folder.path());
    (folder, paths)
}

/// A message as a `FeiQ` desktop sends it: about 40 characters of Chinese.
fn message(peer: u64, number: u64) -> Record {
    let id = format!("user{peer}@desk-{peer}#0211{peer:08X}");
    let text = "明天上午九点半在三楼会议室开会，请大家带上各自的进度表，谢谢。收到请回复。";
    let (raw, version) = (Charset::GBK.encode(text, |_| String::new()), "1_lbt4_0#128#0211");
    let mut datagram = format!("{version}{peer:08X}#0#0#0:{number}:user:desk:288:").into_bytes();
    datagram.extend(raw);
    Record::Message(MessageRecord {
        direction: Direction::In,
        delivery: Delivery::Direct,
        at: NOW,
        peer: Some(Arc::new(PeerView {
            id: PeerId(id.into()),
            nick: format!("同事{peer}"),
            user: format!("user{peer}"),
            host: format!("desk-{peer}"),
            group: "研发部".to_owned(),
            addr: "192.168.1.7".parse().unwrap(),
            port: 2425,
            addrs: vec!["192.168.1.7:2425".parse().unwrap()],
            dialect: "feiq".to_owned(),
            charset: Some(Charset::GBK),
            charset_sure: Some(Sure::Dialect),
            version: Some("FeiQ".to_owned()),
            absent: false,
            fingerprint: None,
        })),
        addr: Some("192.168.1.7:2425".parse().unwrap()),
        epoch: 0,
        number: PacketNo(number),
        options: Options::from_bits_retain(0x100),
        text: text.to_owned(),
        charset: Verdict { charset: Charset::GBK, sure: Sure::Dialect },
        cut: false,
        files: 0,
        extras: None,
        raw: datagram.into(),
        recipients: Recipients::default(),
        open: None,
    })
}

fn batch(messages: u64, peers: u64, round: u64) -> Vec<(SaveId, Record)> {
    (0..messages)
        .map(|n| (SaveId(n), message(n % peers, 1_795_000_000 + round * messages + n)))
        .collect()
}

/// The floor: 4 KiB more in a file, synced.
#[divan::bench(sample_count = 500)]
fn sync_4_kib(bencher: Bencher<'_, '_>) {
    let (folder, _paths) = home();
    let mut file = tempfile::tempfile_in(folder.path()).unwrap();
    // As the log is most of the time: of its full size already.
    file.write_all(&vec![1; 4 << 20]).unwrap();
    file.sync_all().unwrap();
    let mut page = 0;
    bencher.bench_local(|| {
        page = (page + 1) % 1_024;
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4_096], page * 4_096).unwrap();
        file.sync_data().unwrap();
    });
}

/// Messages of one transaction, from 1,000 peers.
#[divan::bench(args = [1, 64, 1_000, 8_000], sample_count = 200, sample_size = 1)]
fn commit(bencher: Bencher<'_, '_>, messages: u64) {
    let (_folder, paths) = home();
    let mut store = Store::open(&paths, NOW).unwrap().store;
    let mut round = 0;
    bencher
        .counter(ItemsCount::new(messages))
        .with_inputs(|| {
            round += 1;
            batch(messages, 1_000, round)
        })
        .bench_local_refs(|batch| store.commit(batch));
}

/// The same when all are repeats: looked up, nothing written.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn commit_1000_repeats(bencher: Bencher<'_, '_>) {
    let (_folder, paths) = home();
    let mut store = Store::open(&paths, NOW).unwrap().store;
    let batch = batch(1_000, 1_000, 1);
    store.commit(&batch);
    bencher.counter(ItemsCount::new(1_000u64)).bench_local(|| store.commit(black_box(&batch)));
}

/// 20,000 messages through the writer thread in batches of 64, with its checkpoints, until all are
/// on the disk.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn writer_20000(bencher: Bencher<'_, '_>) {
    let (_folder, paths) = home();
    let mut round = 0;
    bencher
        .counter(ItemsCount::new(20_000u64))
        .with_inputs(|| {
            round += 1;
            let messages = batch(20_000, 1_000, round);
            messages.chunks(64).map(<[_]>::to_vec).collect::<Vec<_>>()
        })
        .bench_local_values(|batches| {
            let Opened { store, numbers, .. } = Store::open(&paths, NOW).unwrap();
            let writer = Writer::spawn(store, |_| {}).unwrap();
            for batch in batches {
                writer.save(batch);
            }
            writer.close().unwrap().close(numbers.last);
        });
}

/// A page of the event stream, as `listen --since` reads it.
#[divan::bench(sample_count = 100)]
fn read_1000_events(bencher: Bencher<'_, '_>) {
    let (_folder, paths) = home();
    let mut store = Store::open(&paths, NOW).unwrap().store;
    for round in 0..10 {
        store.commit(&batch(1_000, 1_000, round));
    }
    let reader = Reader::open(&paths).unwrap();
    bencher
        .counter(ItemsCount::new(1_000u64))
        .bench_local(|| reader.since(black_box(5_000), 1_000).unwrap());
}

/// From nothing to a store with its identity and numbers, and again with 10,000 messages in it.
#[divan::bench(args = [0, 10_000], sample_count = 50, sample_size = 1)]
fn open(bencher: Bencher<'_, '_>, messages: u64) {
    let (_folder, paths) = home();
    if messages > 0 {
        let Opened { mut store, numbers, .. } = Store::open(&paths, NOW).unwrap();
        store.commit(&batch(messages, 1_000, 0));
        store.close(numbers.last);
        bencher.bench_local(|| Store::open(&paths, NOW).unwrap());
    } else {
        bencher
            .with_inputs(home)
            .bench_local_refs(|(_folder, paths)| Store::open(paths, NOW).unwrap());
    }
}

/// Words of an office, to make texts of: Chinese, Latin and both, 4 to 60 characters.
const PARTS: [&str; 32] = [
    "明天上午",
    "九点半",
    "在三楼会议室",
    "开会",
    "请大家",
    "带上进度表",
    "收到请回复",
    "谢谢",
    "服务器",
    "今晚重启",
    "数据库",
    "备份完成",
    "接口文档",
    "已经更新",
    "测试环境",
    "部署失败",
    "日志在",
    "/var/log/app.log",
    "build #1234 passed",
    "please review",
    "deploy",
    "OK",
    "pull request",
    "the server is down",
    "see wiki",
    "版本 2.3.1",
    "客户反馈",
    "周报",
    "午饭",
    "报销单",
    "打印机坏了",
    "快递到了",
];

/// Text `n`, always the same: some words appear in every tenth, some in one of a thousand.
fn text(n: u64) -> String {
    let mut dice = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    let mut text = String::new();
    for _ in 0..=roll(6) {
        text.push_str(PARTS[usize::try_from(roll(32)).unwrap()]);
        text.push_str(["，", " ", "", "。"][usize::try_from(roll(4)).unwrap()]);
    }
    if roll(1_000) == 0 {
        text.push_str("量子计算的新进展");
    }
    text
}

/// 100,000 messages of 200 peers, all in the index of texts.
fn hundred_thousand() -> (TempDir, Paths) {
    let (folder, paths) = home();
    let Opened { store, numbers, .. } = Store::open(&paths, NOW).unwrap();
    let writer = Writer::spawn(store, |_| {}).unwrap();
    let records = (0..100_000).map(|n| match message(n % 200, 1_795_000_000 + n) {
        Record::Message(record) => {
            let at = UnixMillis(NOW.0 + i64::try_from(n).unwrap() * 1_000);
            (SaveId(n), Record::Message(MessageRecord { at, text: text(n), ..record }))
        }
        other => (SaveId(n), other),
    });
    writer.save(records.collect());
    let mut store = writer.close().unwrap();
    while store.index() {}
    store.close(numbers.last);
    (folder, paths)
}

/// The newest 50 messages with some words, of 100,000; each time with a connection of its own, as
/// `feige history` does it.
#[divan::bench(
    args = ["进展", "周报", "报", "OK", "e", "量子计算的新进展", "在三楼会议室开会", "server is down", "没有的词", "没有"],
    sample_count = 50,
    sample_size = 1
)]
fn search_100000(bencher: Bencher<'_, '_>, words: &str) {
    static STORE: std::sync::LazyLock<(TempDir, Paths)> =
        std::sync::LazyLock::new(hundred_thousand);
    let query = Query { words: vec![words.to_owned()], limit: Some(50), ..Query::default() };
    bencher.bench_local(|| {
        let reader = Reader::open(&STORE.1).unwrap();
        let found = reader.find(black_box(&query)).unwrap();
        found.into_iter().map(|id| reader.entry(id).unwrap()).collect::<Vec<_>>()
    });
}

/// Filling the index of texts, 512 messages at a time.
#[divan::bench(sample_count = 50, sample_size = 1)]
fn index_512(bencher: Bencher<'_, '_>) {
    let (_folder, paths) = home();
    let mut store = Store::open(&paths, NOW).unwrap().store;
    for round in 0..60 {
        store.commit(&batch(512, 1_000, round));
    }
    bencher.counter(ItemsCount::new(512u64)).bench_local(|| store.index());
}

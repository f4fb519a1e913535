//! What keeping messages costs, beside what this disk needs to sync at all.
//!
//! `commit` includes its sync: the cost of a message is (commit - `sync_4_kib`) / messages. Everything
//! happens in the build folder, so on the disk the project lies on.

use std::io::Write;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use feige::node::{
    Charset, Delivery, Direction, MessageRecord, Options, PacketNo, PeerId, PeerView, Recipients,
    Record, SaveId, Sure, UnixMillis, Verdict,
};
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
        peer: Some(PeerView {
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
        }),
        addr: Some("192.168.1.7:2425".parse().unwrap()),
        epoch: 0,
        number: PacketNo(number),
        options: Options::from_bits_retain(0x100),
        text: text.to_owned(),
        charset: Verdict { charset: Charset::GBK, sure: Sure::Dialect },
        cut: false,
        files: 0,
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

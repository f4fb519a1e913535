//! The store: what survives a restart, a crash and a full disk.

mod envelopes;
mod outbox;
mod pictures;

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};

use feige::node::{
    Alias, BookRecord, Bounce, Charset, ClockSet, Delivery, Direction, EpochMemory, Event,
    MessageRecord, NoticeCode, Now, Open, Options, Outcome, OutcomeRecord, PacketNo, PeerId,
    PeerView, Recipients, Record, RosterRecord, SaveId, SaveResult, SeenPeer, Sure, Target, Tick,
    UnixMillis, Verdict,
};
use feige::store::history::Pen;
use feige::store::{Boot, Lock, Opened, Paths, Reader, Store, StoreError, Writer};
use tempfile::TempDir;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

struct Home {
    folder: TempDir,
    paths: Paths,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::all_in(folder.path());
        Self { folder, paths }
    }

    fn open(&self) -> Opened {
        Store::open(&self.paths, NOW).unwrap()
    }

    fn events(&self) -> Vec<(u64, Event)> {
        let reader = Reader::open(&self.paths).unwrap();
        reader.since(0, usize::MAX).unwrap().into_iter().map(|e| (e.seq, e.event)).collect()
    }
}

fn peer(id: &str) -> PeerView {
    PeerView {
        id: PeerId(id.into()),
        nick: "小林".to_owned(),
        user: "lin".to_owned(),
        host: "DESK-7".to_owned(),
        group: "研发部".to_owned(),
        addr: "192.168.1.7".parse().unwrap(),
        port: 2425,
        addrs: vec!["192.168.1.7:2425".parse().unwrap(), "10.0.0.7:2425".parse().unwrap()],
        dialect: "feiq".to_owned(),
        charset: Some(Charset::GBK),
        charset_sure: Some(Sure::Dialect),
        version: Some("FeiQ 2013".to_owned()),
        absent: false,
        fingerprint: None,
    }
}

fn received(from: &str, number: u64) -> MessageRecord {
    MessageRecord {
        direction: Direction::In,
        delivery: Delivery::Direct,
        at: UnixMillis(1_795_000_001_250),
        peer: Some(peer(from).into()),
        addr: Some("192.168.1.7:2425".parse().unwrap()),
        epoch: 0,
        number: PacketNo(number),
        options: Options::from_bits_retain(0x100),
        text: format!("谢谢 {number}\n第二行"),
        charset: Verdict { charset: Charset::GBK, sure: Sure::Dialect },
        cut: false,
        files: 0,
        raw: b"1_lbt4_0#128#000000000000#0#0#0:1:lin:DESK-7:288:\xd0\xbb\xd0\xbb"[..].into(),
        recipients: Recipients::default(),
        open: None,
        extras: None,
    }
}

fn commit(store: &mut Store, records: Vec<Record>) -> Vec<SaveResult> {
    let batch: Vec<_> = (0..).map(SaveId).zip(records).collect();
    store.commit(&batch).into_iter().map(|(_, result)| result).collect()
}

fn take(store: &mut Store, message: MessageRecord) -> SaveResult {
    commit(store, vec![Record::Message(message)]).remove(0)
}

fn kept(seq: u64) -> SaveResult {
    SaveResult::Kept { seq: Some(seq) }
}

#[test]
fn reopening_keeps_the_identity_and_goes_on_counting() {
    let home = Home::new();
    let first = home.open();
    assert_eq!(first.last_seq, 0);
    let mut store = first.store;
    take(&mut store, received("lin@DESK-7", 1));
    store.close(first.numbers.last);

    let second = home.open();
    assert_eq!(second.mac, first.mac);
    assert_eq!(second.last_seq, 1);
    let mut store = second.store;
    assert_eq!(take(&mut store, received("lin@DESK-7", 2)), kept(2));
    assert_ne!(Home::new().open().mac, first.mac, "every store has an identity of its own");
}

#[test]
fn packet_numbers_rise_over_every_kind_of_end_and_whatever_the_clock_says() {
    let home = Home::new();
    let first = home.open();
    assert_eq!(first.numbers.last, PacketNo(1_795_000_000));
    assert_eq!(first.numbers.reserved, PacketNo(1_795_000_000 + 131_072));
    let mut store = first.store;
    take(&mut store, received("lin@DESK-7", 1));
    drop(store); // as after a crash: the block is committed with the first record, all of it counts

    let second = home.open();
    assert_eq!(second.numbers.last, first.numbers.reserved);
    let used = PacketNo(second.numbers.last.0 + 40_000);
    let writer = Writer::spawn(second.store, |_| {}).unwrap();
    writer.close().unwrap().close(used);

    let third = Store::open(&home.paths, UnixMillis(-5)).unwrap();
    assert_eq!(third.numbers.last, used, "a clean end gives the rest back");
    let mut store = third.store;
    let more = PacketNo(third.numbers.reserved.0 + 65_536);
    assert_eq!(commit(&mut store, vec![Record::Numbers(more)]), [SaveResult::Kept { seq: None }]);
    drop(store);
    assert_eq!(home.open().numbers.last, more);
}

#[test]
fn a_repeat_is_the_same_number_of_the_same_peer_in_the_same_epoch() {
    let home = Home::new();
    let mut store = home.open().store;
    let results = commit(
        &mut store,
        vec![
            Record::Message(received("lin@DESK-7", 17)),
            Record::Message(received("lin@DESK-7", 17)),
            Record::Message(received("wang@DESK-8", 17)),
            Record::Message(received("lin@DESK-7", 16)),
            Record::Message(MessageRecord { epoch: 1, ..received("lin@DESK-7", 17) }),
        ],
    );
    assert_eq!(results, [kept(1), SaveResult::Repeat, kept(2), kept(3), kept(4)]);
    drop(store);

    let mut store = home.open().store;
    assert_eq!(take(&mut store, received("lin@DESK-7", 17)), SaveResult::Repeat);
    // The peer may look different by now, it is the same one.
    let mut later = received("lin@DESK-7", 17);
    Arc::make_mut(later.peer.as_mut().unwrap()).nick = "林".to_owned();
    assert_eq!(take(&mut store, later), SaveResult::Repeat);
    assert_eq!(take(&mut store, received("lin@DESK-7", u64::MAX)), kept(5));
    assert_eq!(take(&mut store, received("lin@DESK-7", u64::MAX)), SaveResult::Repeat);
    // What we send is never a repeat, also not when numbers start over.
    let sent = MessageRecord { direction: Direction::Out, ..received("lin@DESK-7", 17) };
    assert_eq!(take(&mut store, sent.clone()), kept(6));
    assert_eq!(take(&mut store, sent), kept(7));
    assert_eq!(home.events().len(), 7);
}

#[test]
fn an_event_reads_back_as_it_was_when_it_happened() {
    let home = Home::new();
    let sealed = Options::from_bits_retain(0x0010_8300);
    let refused = OutcomeRecord {
        at: NOW,
        number: PacketNo(9),
        peer: peer("wang@DESK-8"),
        outcome: Outcome::NotConfirmed,
        tries: 17,
        rtt_ms: None,
        hint: Some(Bounce::PortUnreachable),
        waited_ms: None,
        expires: None,
    };
    let confirmed = OutcomeRecord {
        outcome: Outcome::Confirmed,
        tries: 1,
        rtt_ms: Some(0.734),
        hint: None,
        ..refused.clone()
    };
    let messages = [
        received("lin@DESK-7", 1),
        MessageRecord { options: sealed, cut: true, files: 3, ..received("lin@DESK-7", 2) },
        MessageRecord {
            direction: Direction::Out,
            delivery: Delivery::Broadcast,
            peer: None,
            addr: None,
            charset: Verdict { charset: Charset::UTF_8, sure: Sure::Ascii },
            ..received("", 3)
        },
        MessageRecord { direction: Direction::Out, ..received("wang@DESK-8", 9) },
        MessageRecord { text: "\0\u{202e}\x1b[2J".to_owned(), ..received("lin@DESK-7", 4) },
    ];
    let mut records: Vec<Record> = messages.iter().cloned().map(Record::Message).collect();
    records.extend([refused.clone(), confirmed.clone()].map(Record::Outcome));
    let mut expected: Vec<Event> = messages.iter().map(MessageRecord::event).collect();
    expected.extend([refused.event(), confirmed.event()]);

    let mut store = home.open().store;
    assert!(commit(&mut store, records).into_iter().eq((1..=7).map(kept)));
    let reader = Reader::open(&home.paths).unwrap();
    let read = reader.since(0, 100).unwrap();
    assert_eq!(read.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(read.iter().map(|e| e.event.clone()).collect::<Vec<_>>(), expected);
    assert_eq!((read[0].at, read[6].at), (UnixMillis(1_795_000_001_250), NOW));

    assert_eq!(reader.since(4, 2).unwrap(), read[4..6]);
    assert_eq!(reader.since(7, 100).unwrap(), []);
    let counts = reader.counts().unwrap();
    assert_eq!((counts.received, counts.sent, counts.peers, counts.last_seq), (3, 2, 2, 7));
}

#[test]
fn the_highest_number_of_each_peers_last_epoch_comes_back() {
    let home = Home::new();
    let mut store = home.open().store;
    for (from, epoch, number) in
        [("iptux@a", 0, 50), ("iptux@a", 1, 17), ("iptux@a", 1, 3), ("iptux@b", 0, 8)]
    {
        let message = MessageRecord { epoch, ..received(from, number) };
        take(&mut store, message);
    }
    take(&mut store, MessageRecord { direction: Direction::Out, ..received("lin@c", 99) });
    drop(store);
    let mut epochs = home.open().store.memory().unwrap().epochs;
    epochs.sort();
    let expected = [("iptux@a", 1, 17), ("iptux@b", 0, 8)];
    let expected = expected.map(|(id, epoch, no)| EpochMemory {
        peer: PeerId(id.into()),
        epoch,
        highest: PacketNo(no),
    });
    assert_eq!(epochs, expected);
}

#[test]
fn peers_are_remembered_once_each_up_to_a_cap_that_spares_those_with_messages() {
    let home = Home::new();
    let mut store = home.open().store;
    let seen = |n: i64, at: i64| {
        let mut peer = peer(&format!("u{n}@pc"));
        peer.nick = format!("at {at}");
        SeenPeer { peer, at: UnixMillis(at) }
    };
    let remember = |store: &mut Store, seen: Vec<SeenPeer>, ghosts: Vec<PeerId>| {
        let record = Record::Roster(RosterRecord { seen, ghosts });
        assert_eq!(commit(store, vec![record]), [SaveResult::Kept { seq: None }]);
    };
    take(&mut store, received("u0@pc", 1));
    remember(&mut store, (0..4_200).map(|n| seen(n, n)).collect(), Vec::new());
    let reader = Reader::open(&home.paths).unwrap();
    let all = reader.seen().unwrap();
    assert_eq!(all.len(), 4_096);
    let id = |seen: &SeenPeer| seen.peer.id.0.to_string();
    assert_eq!((id(&all[0]), id(&all[4_095])), ("u4199@pc".into(), "u0@pc".into()));
    assert_eq!(id(&all[4_094]), "u105@pc", "of the others the longest silent are forgotten");

    remember(&mut store, vec![seen(4_000, 9_000)], vec![PeerId("u4001@pc".into())]);
    let all = reader.seen().unwrap();
    assert_eq!(all.len(), 4_095, "seen again is one, and a ghost is none");
    assert_eq!((id(&all[0]), all[0].peer.nick.as_str()), ("u4000@pc".into(), "at 9000"));
    // A clock that was set back does not make it older.
    remember(&mut store, vec![seen(4_000, 5)], Vec::new());
    assert_eq!(reader.seen().unwrap()[0].at, UnixMillis(9_000));
}

#[test]
fn the_address_book_comes_back() {
    let home = Home::new();
    let mut store = home.open().store;
    let alias =
        |name: &str, id: &str| Alias { name: name.into(), target: Target::Peer(PeerId(id.into())) };
    let (mallory, eve) = (peer("mal@pc"), peer("eve@pc"));
    let changes = [
        BookRecord::Named(alias("boss", "a@pc")),
        BookRecord::Named(alias("boss", "b@pc")),
        BookRecord::Named(alias("老板", "c@pc")),
        BookRecord::Unnamed { name: "老板".into() },
        BookRecord::Blocked(Box::new(mallory.clone())),
        BookRecord::Blocked(Box::new(eve.clone())),
        BookRecord::Unblocked { peer: eve.id },
    ];
    commit(&mut store, changes.into_iter().map(Record::Book).collect());
    let expected = (vec![alias("boss", "b@pc")], vec![mallory]);
    assert_eq!(Reader::open(&home.paths).unwrap().book().unwrap(), expected);
    drop(store);
    let memory = home.open().store.memory().unwrap();
    assert_eq!((memory.aliases, memory.blocks), expected);
}

#[test]
fn the_writer_answers_in_order_and_commits_what_waits_before_it_ends() {
    let home = Home::new();
    let Opened { store, numbers, .. } = home.open();
    let (results, done) = mpsc::channel();
    let writer = Writer::spawn(store, move |batch| results.send(batch).unwrap()).unwrap();
    let mut expected = Vec::new();
    for batch in 0..100u64 {
        let records = (0..10).map(|n| batch * 10 + n);
        writer.save(
            records.clone().map(|n| (SaveId(n), Record::Message(received("a@b", n)))).collect(),
        );
        expected.extend(records.map(|n| (SaveId(n), kept(n + 1))));
    }
    writer.close().unwrap().close(numbers.last);
    assert_eq!(done.into_iter().flatten().collect::<Vec<_>>(), expected);
    assert_eq!(Reader::open(&home.paths).unwrap().counts().unwrap().received, 1_000);
    let left: Vec<_> =
        fs::read_dir(home.folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["feige.db"], "an orderly end leaves one file");
}

#[test]
fn a_second_process_is_kept_out_by_the_lock_until_the_first_one_ends() {
    let home = Home::new();
    let lock = Lock::take(&home.paths).unwrap();
    let error = Lock::take(&home.paths).unwrap_err();
    let StoreError::Held { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Some(std::process::id()));
    assert!(error.to_string().contains("another feige (process "), "{error}");
    drop(lock);
    let lock = Lock::take(&home.paths).unwrap();

    // Somebody cleans the runtime folder: the new file is free, the old one keeps nobody out.
    fs::remove_file(home.paths.lock()).unwrap();
    let second = Lock::take(&home.paths).unwrap();
    drop(lock);
    assert!(matches!(Lock::take(&home.paths), Err(StoreError::Held { .. })));
    drop(second);
}

#[test]
fn what_is_not_our_store_is_left_alone_with_a_clear_error() {
    let home = Home::new();
    assert!(matches!(Reader::open(&home.paths), Err(StoreError::Missing { .. })));
    let open = || Store::open(&home.paths, NOW).err().unwrap();

    fs::write(&home.paths.db, "my diary\n".repeat(1_000)).unwrap();
    assert!(matches!(open(), StoreError::NotOurs { .. }), "{}", open());
    assert!(matches!(Reader::open(&home.paths), Err(StoreError::NotOurs { .. })));
    assert!(fs::read_to_string(&home.paths.db).unwrap().starts_with("my diary"));

    fs::remove_file(&home.paths.db).unwrap();
    fs::create_dir(&home.paths.db).unwrap();
    let error = open().to_string();
    assert!(error.contains("feige.db") && error.contains("cannot"), "{error}");
}

#[test]
fn a_damaged_store_is_reported_and_not_replaced() {
    let home = Home::new();
    let Opened { mut store, numbers, .. } = home.open();
    take(&mut store, received("a@b", 1));
    store.close(numbers.last);
    let mut bytes = fs::read(&home.paths.db).unwrap();
    bytes[100..4096].fill(0x5a);
    fs::write(&home.paths.db, &bytes).unwrap();
    let error = Store::open(&home.paths, NOW).err().unwrap().to_string();
    assert!(error.contains("damaged"), "{error}");
    assert_eq!(fs::read(&home.paths.db).unwrap(), bytes);
}

#[test]
fn without_shared_memory_the_store_works_more_slowly_and_says_so() {
    let home = Home::new();
    let Opened { mut store, numbers, .. } = home.open();
    assert_eq!(take(&mut store, received("a@b", 1)), kept(1));
    store.close(numbers.last);
    // Where it would be stands something that cannot be opened.
    let shm = home.folder.path().join("feige.db-shm");
    std::os::unix::fs::symlink("nowhere", &shm).unwrap();
    for seq in 2..=3 {
        let Opened { mut store, numbers, last_seq, .. } = home.open();
        assert_eq!(last_seq, seq - 1);
        assert!(store.notes()[0].contains("without shared memory"), "{:?}", store.notes());
        assert_eq!(take(&mut store, received("a@b", seq)), kept(seq));
        assert_eq!(home.events().len() as u64, seq, "others read it while it is open");
        if seq == 2 {
            store.close(numbers.last);
        }
    }
    assert_eq!(home.events().len(), 3, "and after it was dropped without an end");
    fs::remove_file(&shm).unwrap();
    let Opened { mut store, .. } = home.open();
    assert!(store.notes().is_empty(), "as usual where there is some again");
    assert_eq!(take(&mut store, received("a@b", 4)), kept(4));
}

#[test]
fn without_shared_memory_who_writes_beside_the_owner_leaves_the_journal_as_it_is() {
    let home = Home::new();
    let shm = home.folder.path().join("feige.db-shm");
    std::os::unix::fs::symlink("nowhere", &shm).unwrap();
    let mut store = home.open().store;
    assert_eq!(take(&mut store, received("a@b", 1)), kept(1));
    // To try the log is to write to the file, which this reader keeps everybody from.
    let reader = rusqlite::Connection::open(&home.paths.db).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM message").unwrap();
    drop(Pen::open(&home.paths, NOW).unwrap());
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(take(&mut store, received("a@b", 2)), kept(2));
}

/// What a test does when it runs itself once more as another process: [`again`] sets the variable.
fn role() -> Option<Paths> {
    std::env::var_os("STORE_TEST_FOLDER").map(|folder| Paths::all_in(Path::new(&folder)))
}

/// This test binary once more, running one test as another process in this folder.
fn again(test: &str, folder: &Path, shell: Option<&str>) -> Command {
    let binary = std::env::current_exe().unwrap();
    let mut command = match shell {
        None => Command::new(binary),
        Some(before) => {
            let mut sh = Command::new("sh");
            sh.arg("-c").arg(format!("{before}; exec \"$0\" \"$@\"")).arg(binary);
            sh
        }
    };
    command.args([&format!("store::{test}"), "--exact", "--nocapture", "--test-threads=1"]);
    command.env("STORE_TEST_FOLDER", folder);
    command
}

#[test]
fn files_are_private_whatever_the_umask() {
    if let Some(paths) = role() {
        let _lock = Lock::take(&paths).unwrap();
        let mut store = Store::open(&paths, NOW).unwrap().store;
        take(&mut store, received("a@b", 1));
        // Left open, as in a crash, so that the log and its index stay.
        std::process::exit(0);
    }
    for umask in ["000", "077", "0177"] {
        let home = Home::new();
        let folder = home.folder.path().join("new/feige");
        let umask = format!("umask {umask}");
        let child = again("files_are_private_whatever_the_umask", &folder, Some(&umask)).output();
        assert!(child.as_ref().unwrap().status.success(), "{child:?}");
        let mut seen = Vec::new();
        private_below(&home.folder.path().join("new"), &mut seen);
        seen.sort();
        assert_eq!(
            seen,
            ["feige", "feige.db", "feige.db-shm", "feige.db-wal", "lock", "new", "run"]
        );
    }
    // Files that were open to others are closed.
    let home = Home::new();
    let Opened { store, numbers, .. } = home.open();
    store.close(numbers.last);
    fs::set_permissions(&home.paths.db, fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(home.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let _open = home.open();
    private_below(home.folder.path(), &mut Vec::new());
}

fn private_below(path: &Path, seen: &mut Vec<String>) {
    let found = fs::symlink_metadata(path).unwrap();
    let expected = if found.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(found.mode() & 0o7777, expected, "{}", path.display());
    seen.extend(path.file_name().and_then(OsStr::to_str).map(str::to_owned));
    if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            private_below(&entry.unwrap().path(), seen);
        }
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing_committed_and_doubles_nothing() {
    if let Some(paths) = role() {
        keep_until_killed(&paths);
    }
    let home = Home::new();
    let mut acknowledged = 0;
    let mut last_number = 0;
    for round in 0..20u64 {
        let mut child = again(
            "a_kill_at_any_moment_loses_nothing_committed_and_doubles_nothing",
            home.folder.path(),
            None,
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        // After how many reports of the child it is killed: a different place each round.
        let patience = 1 + round * 173 % 900;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut reports = 0;
        for line in lines {
            let line = line.unwrap();
            if let Some(number) = line.strip_prefix("reserved ") {
                let number: u64 = number.parse().unwrap();
                assert!(number > last_number, "round {round}: numbers are used twice");
                last_number = number;
            }
            if let Some(seq) = line.strip_prefix("kept ") {
                acknowledged = seq.parse().unwrap();
                reports += 1;
                if reports == patience {
                    child.kill().unwrap();
                }
            }
        }
        assert!(!child.wait().unwrap().success(), "round {round}: it was to be killed");
        assert!(reports >= patience);

        let events = home.events();
        assert!(events.iter().map(|(seq, _)| *seq).eq(1..=events.len() as u64), "gapless");
        assert!(events.len() as u64 >= acknowledged, "round {round}: an acknowledged one is lost");
        let texts: Vec<_> = events.iter().map(|(_, event)| text(event)).collect();
        // The child goes on where the store ends, so each number is there once, in order.
        assert!(texts.iter().enumerate().all(|(n, text)| *text == format!("message {n}")));
    }
}

#[test]
#[ignore = "needs root: mounts a small tmpfs"]
fn a_full_disk_withholds_results_until_there_is_room_again() {
    if let Some(paths) = role() {
        fill_and_recover(&paths);
        return;
    }
    in_a_mount_of_its_own(
        "a_full_disk_withholds_results_until_there_is_room_again",
        "mount -t tmpfs -o size=4m,mode=700 none \"$STORE_TEST_FOLDER\"",
    );
}

fn fill_and_recover(paths: &Paths) {
    let folder = paths.db.parent().unwrap();
    let filler = folder.join("filler");
    let Opened { mut store, mac, numbers, .. } = Store::open(paths, NOW).unwrap();
    // We wrote to it: strangers would have to leave more room than this disk has.
    let to = MessageRecord { direction: Direction::Out, ..received("a@b", 1) };
    assert_eq!(take(&mut store, to), kept(1));
    assert_eq!(take(&mut store, received("a@b", 1)), kept(2));
    fill(&filler);
    let mut stored = 2;
    loop {
        // What room there is between two pages may still be used; then nothing is kept any more.
        let results = commit(
            &mut store,
            (0..20).map(|n| Record::Message(received("a@b", 1_000 * stored + n))).collect(),
        );
        match &results[0] {
            SaveResult::Kept { .. } => stored += 20,
            SaveResult::Failed(why) => {
                assert!(why.contains("the disk is full"), "{why}");
                assert!(results.iter().all(|result| matches!(result, SaveResult::Failed(_))));
                break;
            }
            SaveResult::Repeat | SaveResult::Refused(_) => panic!("{results:?}"),
        }
        assert!(stored < 10_000, "the disk does not fill up");
    }
    let error = Store::open(paths, NOW).err().unwrap();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");

    fs::remove_file(&filler).unwrap();
    assert_eq!(take(&mut store, received("a@b", 999_999)), kept(stored + 1));
    store.close(numbers.last);
    let again = Store::open(paths, NOW).unwrap();
    assert_eq!((again.mac, again.last_seq), (mac, stored + 1));
}

/// Takes all room there is.
fn fill(path: &Path) {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    let error = io::copy(&mut io::repeat(1), &mut file).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
#[ignore = "needs root: mounts a folder read-only"]
fn a_read_only_home_is_a_clear_error_at_the_start() {
    if let Some(paths) = role() {
        let error = Store::open(&paths, NOW).err().unwrap();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        let error = Lock::take(&paths).err().unwrap();
        assert!(error.to_string().contains("Read-only"), "{error}");
        let reader = Reader::open(&paths).unwrap();
        assert_eq!(reader.since(0, 9).unwrap().len(), 1, "what is there can be read");
        return;
    }
    let mount = "mount --bind \"$STORE_TEST_FOLDER\" \"$STORE_TEST_FOLDER\" && \
        mount -o remount,bind,ro \"$STORE_TEST_FOLDER\"";
    in_a_mount_of_its_own("a_read_only_home_is_a_clear_error_at_the_start", mount);
}

/// Runs a test of this binary once more where these mounts are made, which end with it.
fn in_a_mount_of_its_own(test: &str, mount: &str) {
    let home = Home::new();
    let Opened { mut store, numbers, .. } = home.open();
    take(&mut store, received("a@b", 1));
    store.close(numbers.last);
    let mut command = Command::new("unshare");
    let inner = again(test, home.folder.path(), Some(&format!("{mount} || exit 9")));
    command.args(["--mount", "--propagation", "private"]);
    command.arg(inner.get_program()).args(inner.get_args()).arg("--ignored");
    command.env("STORE_TEST_FOLDER", home.folder.path());
    let child = command.output().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

fn text(event: &Event) -> &str {
    match event {
        Event::Message(message) => &message.text,
        other => panic!("{other:?}"),
    }
}

/// Saves messages as fast as it can, says what is committed, until somebody kills it. It begins
/// with the last ones stored: a peer whose receipt was lost sends again.
fn keep_until_killed(paths: &Paths) -> ! {
    let opened = Store::open(paths, NOW).unwrap();
    println!("\nreserved {}", opened.numbers.reserved);
    let (results, done) = mpsc::channel();
    let writer = Writer::spawn(opened.store, move |batch| results.send(batch).unwrap()).unwrap();
    let mut next = opened.last_seq.saturating_sub(50);
    loop {
        // Two batches wait while a third is being committed.
        for _ in 0..3 {
            let batch = (next..next + 40).map(|n| {
                let text = format!("message {n}");
                (SaveId(n), Record::Message(MessageRecord { text, ..received("a@b", n) }))
            });
            writer.save(batch.collect());
            next += 40;
        }
        let mut open = 120;
        while open > 0 {
            let results = done.recv().unwrap();
            open -= results.len();
            for (_, result) in results {
                match result {
                    SaveResult::Kept { seq: Some(seq) } => println!("kept {seq}"),
                    SaveResult::Repeat => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_read_does_not_hide_the_rest() {
    let home = Home::new();
    let Opened { mut store, numbers, .. } = home.open();
    let seen = |id: &str, at| SeenPeer { peer: peer(id), at: UnixMillis(at) };
    let open = |to: &str, number| MessageRecord {
        direction: Direction::Out,
        open: Some(Open::Until { expires: UnixMillis(i64::MAX), utc_offset_s: None }),
        ..received(to, number)
    };
    let seen = vec![seen("a@pc", 1), seen("b@pc", 2)];
    let roster = Record::Roster(RosterRecord { seen, ghosts: Vec::new() });
    let mut records: Vec<_> =
        (1..=3).map(|number| Record::Message(received("lin@DESK-7", number))).collect();
    records.extend([
        Record::Message(open("x@pc", 4)),
        Record::Message(open("lin@DESK-7", 5)),
        roster,
    ]);
    commit(&mut store, records);
    store.close(numbers.last);
    let db = rusqlite::Connection::open(&home.paths.db).unwrap();
    db.execute_batch(
        "UPDATE message SET charset = 'klingon' WHERE id = 2;
         UPDATE seen SET view = '{}' WHERE peer = 'a@pc';
         UPDATE appearance SET view = '{}' WHERE id = (SELECT appearance FROM message WHERE id = 4);",
    )
    .unwrap();
    drop(db);

    let events = home.events();
    let seqs: Vec<_> = events.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5], "without a gap");
    let Event::Notice { code: NoticeCode::Damaged, text } = &events[1].1 else { panic!() };
    assert_eq!(text, "event 2 cannot be read: unknown charset 'klingon'");
    assert!(matches!(&events[2].1, Event::Message(message) if message.number.0 == 3));

    let reader = Reader::open(&home.paths).unwrap();
    assert!(matches!(reader.entry(1), Ok(Some(_))));
    let error = reader.entry(2).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { id: 2, .. }), "{error:?}");
    assert!(error.to_string().ends_with("cannot be read: unknown charset 'klingon'"), "{error}");
    let names: Vec<_> = reader.seen().unwrap().into_iter().map(|seen| seen.peer.id.0).collect();
    assert_eq!(names, ["b@pc".into()]);
    let names: Vec<_> =
        reader.correspondents().unwrap().into_iter().map(|peer| peer.id.0).collect();
    assert_eq!(names, ["lin@DESK-7".into()]);
    let numbers: Vec<_> = reader.outbox(None).unwrap().iter().map(|open| open.number.0).collect();
    assert_eq!(numbers, [5]);
    let open = home.open().store.memory().unwrap().open;
    assert_eq!(open.len(), 1, "a node starts with the rest");
}

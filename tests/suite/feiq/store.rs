//! What of a FeiQ office survives a restart: in the store, and by it.

use feige::node::{
    Capability, CharsetRecord, Delivery, Direction, Done, Event, Extras, Font, GroupRef, GroupView,
    Job, KeyRecord, Keyring, KnockRecord, MessageRecord, Options, Outcome, PacketNo, PeerId,
    PeerView, Recipients, Record, SaveId, SaveResult, UnixMillis, Verdict,
};
use feige::store::{Paths, Reader, Store};
use feige::wire::{Charset, Learned, Sure};
use rand::rngs::OsRng;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

fn open(home: &tempfile::TempDir) -> Store {
    Store::open(&Paths::all_in(home.path()), NOW).unwrap().store
}

fn keep(store: &mut Store, records: Vec<Record>) -> Vec<SaveResult> {
    let batch: Vec<_> = (0..).map(SaveId).zip(records).collect();
    store.commit(&batch).into_iter().map(|(_, result)| result).collect()
}

fn wang() -> PeerView {
    PeerView {
        id: PeerId("wang@pc#080027090471".into()),
        nick: "王".into(),
        user: "wang".into(),
        host: "pc".into(),
        group: String::new(),
        addr: "10.0.0.9".parse().unwrap(),
        port: 2425,
        addrs: vec!["10.0.0.9:2425".parse().unwrap()],
        dialect: "feiq".into(),
        charset: Some(Charset::GBK),
        charset_sure: Some(Sure::Dialect),
        version: None,
        absent: false,
        fingerprint: None,
    }
}

fn message(number: u64, delivery: Delivery, extras: Extras) -> Record {
    Record::Message(MessageRecord {
        direction: Direction::In,
        delivery,
        at: NOW,
        peer: Some(wang().into()),
        addr: None,
        epoch: 0,
        number: PacketNo(number),
        options: Options::empty(),
        text: "好 /:)".into(),
        charset: Verdict { charset: Charset::GBK, sure: Sure::Dialect },
        cut: false,
        files: 0,
        raw: b"raw"[..].into(),
        recipients: Recipients::default(),
        open: None,
        extras: extras.boxed(),
    })
}

fn learned(charset: Charset) -> Learned {
    let mut learned = Learned::default();
    learned.pin(charset);
    learned
}

#[test]
fn knocks_and_what_only_some_messages_have_read_back_as_they_happened() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(&home);
    let font = Font {
        face: "微软雅黑".into(),
        height: -16,
        weight: 700,
        italic: true,
        underline: false,
        strikeout: false,
        color: "#ff0000".into(),
    };
    let chat = GroupRef { id: "b4cc80e4".into(), name: Some("开发群".into()) };
    let extras = Extras { chat: Some(chat), font: Some(font), encryption: None };
    let sealed = Extras { encryption: Some("RSA-1024".into()), ..Extras::default() };
    let knock = |direction, outcome| {
        Record::Knock(KnockRecord {
            at: NOW,
            number: PacketNo(3),
            peer: wang(),
            direction,
            outcome,
        })
    };
    let records = vec![
        message(1, Delivery::Group, extras.clone()),
        message(2, Delivery::Direct, sealed.clone()),
        message(4, Delivery::Direct, Extras::default()),
        knock(Direction::In, None),
        knock(Direction::Out, Some(Outcome::NotConfirmed)),
    ];
    let told: Vec<Event> = records
        .iter()
        .map(|record| match record {
            Record::Message(message) => message.event(),
            Record::Knock(knock) => knock.event(),
            other => panic!("{other:?}"),
        })
        .collect();
    let seqs: Vec<_> = (1..=5).map(|seq| SaveResult::Kept { seq: Some(seq) }).collect();
    assert_eq!(keep(&mut store, records), seqs);
    let read = Reader::open(&Paths::all_in(home.path())).unwrap().since(0, 100).unwrap();
    let read: Vec<Event> = read.into_iter().map(|stored| stored.event).collect();
    assert_eq!(read, told);
    let Event::Message(first) = &read[0] else { panic!("a message") };
    assert_eq!((first.shown.as_deref(), &first.extras), (Some("好 🙂"), &extras));
}

#[test]
fn charsets_and_groups_come_back_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(&home);
    let charsets = |names, text| CharsetRecord { peer: wang().id, names, text };
    let group = |name: Option<&str>, heard| GroupView {
        id: "b4cc80e4".into(),
        name: name.map(str::to_owned),
        heard: UnixMillis(heard),
    };
    let pinned = charsets(learned(Charset::GBK), learned(Charset::SHIFT_JIS));
    let records = vec![
        Record::Charsets(charsets(Learned::default(), learned(Charset::BIG5))),
        Record::Charsets(pinned.clone()),
        Record::Group(group(None, 1)),
        Record::Group(group(Some("开发群"), 2)),
    ];
    let results = keep(&mut store, records);
    assert!(results.iter().all(|r| *r == SaveResult::Kept { seq: None }), "no events: {results:?}");
    store.close(PacketNo(0));
    let memory = open(&home).memory().unwrap();
    assert_eq!(memory.charsets, [pinned]);
    assert_eq!(memory.groups, [group(Some("开发群"), 2)]);
}

#[test]
fn the_first_key_stays_and_opens_what_was_sealed_before_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let offer = |ring: &mut Keyring| {
        let asker = Capability::read(b"21003").unwrap();
        match ring.perform(Job::Offer { asker }, &mut OsRng) {
            Done::Offer { offer, made } => (offer.expect("an offer"), made),
            other => panic!("{other:?}"),
        }
    };
    let (first, made) = offer(&mut Keyring::default());
    let (_, other) = offer(&mut Keyring::default());
    let keys: Vec<KeyRecord> = made.into_iter().chain(other).collect();
    let mut store = open(&home);
    keep(&mut store, keys.into_iter().map(Record::Key).collect());
    store.close(PacketNo(0));

    let stored = open(&home).keys().unwrap();
    assert_eq!(stored.len(), 1, "one of each size, and the first one counts");
    let mut ring = Keyring::default();
    ring.restore(&stored[0]).unwrap();
    assert_eq!(offer(&mut ring), (first, Vec::new()));
}

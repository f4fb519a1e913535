//! The history: what is searched is found, what is hidden is not, and nothing is lost or doubled.

use feige::node::{
    Charset, Delivery, Direction, MessageRecord, OpenedRecord, Options, Outcome, OutcomeRecord,
    PacketNo, PeerId, PeerView, Recipients, Record, SaveId, SaveResult, Sure, UnixMillis, Verdict,
};
use feige::store::history::{Arrival, Entry, Fate, Import, Pen, Query, Reread, With};
use feige::store::{Opened, Paths, Reader, Store, Writer};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::process::until;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const SEALED: u32 = 0x200;

struct Home {
    _folder: TempDir,
    paths: Paths,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::all_in(folder.path());
        Self { _folder: folder, paths }
    }

    /// Keeps records; `indexed` or as after a crash, before the writer had a quiet moment.
    fn keep(&self, records: Vec<Record>, indexed: bool) {
        let Opened { mut store, numbers, .. } = Store::open(&self.paths, NOW).unwrap();
        let batch: Vec<_> = (0..).map(SaveId).zip(records).collect();
        let results = store.commit(&batch);
        assert!(results.iter().all(|(_, result)| matches!(result, SaveResult::Kept { .. })));
        if indexed {
            store.close(numbers.last);
        }
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.paths).unwrap()
    }

    fn pen(&self) -> Pen {
        Pen::open(&self.paths, NOW).unwrap()
    }

    fn entries(&self, query: &Query) -> Vec<Entry> {
        let reader = self.reader();
        let ids = reader.find(query).unwrap();
        ids.into_iter().map(|id| reader.entry(id).unwrap().unwrap()).collect()
    }

    fn texts(&self, query: &Query) -> Vec<String> {
        self.entries(query).into_iter().map(|entry| entry.message.text).collect()
    }

    fn found(&self, words: &[&str]) -> Vec<String> {
        self.texts(&about(words))
    }
}

fn about(words: &[&str]) -> Query {
    Query { words: words.iter().map(|&word| word.to_owned()).collect(), ..Query::default() }
}

fn peer(name: &str) -> PeerView {
    PeerView {
        id: PeerId(format!("{name}@desk").into()),
        nick: name.to_owned(),
        user: name.to_owned(),
        host: "desk".to_owned(),
        group: String::new(),
        addr: "192.168.1.7".parse().unwrap(),
        port: 2425,
        addrs: vec!["192.168.1.7:2425".parse().unwrap()],
        dialect: "ipmsg".to_owned(),
        charset: None,
        charset_sure: None,
        version: None,
        absent: false,
        fingerprint: None,
    }
}

fn received(number: u64, text: &str) -> MessageRecord {
    MessageRecord {
        direction: Direction::In,
        delivery: Delivery::Direct,
        at: UnixMillis(NOW.0 + i64::try_from(number).unwrap()),
        peer: Some(peer("lin").into()),
        addr: Some("192.168.1.7:2425".parse().unwrap()),
        epoch: 0,
        number: PacketNo(number),
        options: Options::from_bits_retain(0x100),
        text: text.to_owned(),
        charset: Verdict { charset: Charset::GBK, sure: Sure::Dialect },
        cut: false,
        files: 0,
        recipients: Recipients::default(),
        extras: None,
        open: None,
        raw: text.as_bytes().into(),
    }
}

fn messages(texts: &[&str]) -> Vec<Record> {
    (1..).zip(texts).map(|(number, text)| Record::Message(received(number, text))).collect()
}

const TEXTS: [&str; 6] = [
    "服务器今晚重启",
    "服装与务实",
    "Build #1234 of ＦＥＩＧＥ is done, 谢谢大家",
    "c++ 和 100% \"quoted\" AND (x)",
    "第一行\r\n第二行  end",
    "重启",
];

#[test]
fn words_of_any_length_are_found_in_the_index_and_before_it_is_filled() {
    for indexed in [true, false] {
        let home = Home::new();
        home.keep(messages(&TEXTS), indexed);
        let one = |words: &[&str], at: usize| {
            assert_eq!(home.found(words), [TEXTS[at]], "{words:?}, indexed: {indexed}");
        };
        assert_eq!(home.found(&["服"]), [TEXTS[0], TEXTS[1]]);
        assert_eq!(home.found(&["重启"]), [TEXTS[0], TEXTS[5]], "also at the end of a text");
        assert_eq!(home.found(&["启"]), [TEXTS[0], TEXTS[5]]);
        one(&["服务"], 0);
        one(&["务实"], 1);
        one(&["服务器今晚"], 0);
        one(&["feige"], 2);
        one(&["#1234"], 2);
        one(&["谢谢", "BUILD"], 2);
        one(&["c++"], 3);
        one(&["100%"], 3);
        one(&["\"quoted\" and"], 3);
        one(&["一行 第二"], 4);
        one(&["(x)"], 3);
        for words in [&["服器"][..], &["今晚", "大家"], &["server"], &["c--"], &["*"]] {
            assert_eq!(home.found(words), [""; 0], "{words:?}, indexed: {indexed}");
        }
        assert_eq!(home.found(&[" "]).len(), TEXTS.len(), "nothing but a blank is no condition");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The index finds what looking through the texts finds: no more, no less.
    #[test]
    fn the_index_and_the_texts_agree(
        texts in proptest::collection::vec("[服务器a-cＡ \"*谢。]{0,12}", 1..12),
        word in "[服务器a-cＡ\"*谢。]{1,4}",
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (one, other) = (Home::new(), Home::new());
        one.keep(messages(&texts), true);
        other.keep(messages(&texts), false);
        prop_assert_eq!(one.found(&[&word]), other.found(&[&word]));
    }
}

#[test]
fn the_writer_fills_the_index_when_it_has_nothing_else_to_do() {
    let home = Home::new();
    let Opened { store, .. } = Store::open(&home.paths, NOW).unwrap();
    let writer = Writer::spawn(store, |_| {}).unwrap();
    let records = messages(&TEXTS);
    writer.save((0..).map(SaveId).zip(records).collect());
    let look = || {
        let db = rusqlite::Connection::open(&home.paths.db).unwrap();
        let sql = "SELECT value FROM meta WHERE key = 'indexed'";
        db.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap()
    };
    until("a full index", || look() == 6);
    assert_eq!(home.found(&["重启"]), [TEXTS[0], TEXTS[5]]);
    drop(writer);
}

#[test]
fn a_sealed_message_is_not_found_nor_shown_until_it_is_opened() {
    for indexed in [true, false] {
        let home = Home::new();
        let options = Options::from_bits_retain(0x100 | SEALED);
        let mut sent = MessageRecord { options, ..received(2, "our secret plan") };
        sent.direction = Direction::Out;
        let sealed = MessageRecord { options, ..received(1, "the secret plan") };
        home.keep(vec![Record::Message(sealed), Record::Message(sent)], indexed);
        assert_eq!(home.found(&["secret"]), ["our secret plan"]);
        let all = home.entries(&Query::default());
        assert_eq!((all[0].closed, all[0].message.text.as_str()), (true, ""));
        assert_eq!(home.reader().datagram(1).unwrap(), None, "its bytes tell the text, too");
        assert!(!all[1].closed);

        let opened = Record::Opened(OpenedRecord { message: 1, at: NOW, tells: true });
        home.keep(vec![opened], indexed);
        assert_eq!(home.found(&["secret"]), ["the secret plan", "our secret plan"]);
        assert!(home.reader().datagram(1).unwrap().is_some());
        assert_eq!(home.reader().unread().unwrap(), 0, "what was opened was seen");
    }
}

#[test]
fn filters_narrow_and_the_limit_keeps_the_newest() {
    let home = Home::new();
    let from = |name: &str, number, text: &str| {
        Record::Message(MessageRecord { peer: Some(peer(name).into()), ..received(number, text) })
    };
    let to_all = MessageRecord {
        direction: Direction::Out,
        delivery: Delivery::Broadcast,
        peer: None,
        ..received(5, "大家好 5")
    };
    home.keep(
        vec![
            from("lin", 1, "好 1"),
            from("wang", 2, "好 2"),
            from("lin", 3, "好 3"),
            from("wang", 4, "好 4"),
            Record::Message(to_all),
        ],
        true,
    );
    for words in [vec![], vec!["好".to_owned()]] {
        let all = Query { words, ..Query::default() };
        let texts = |query: Query| home.texts(&query);
        let peers = |name: &str| With::Peers(vec![PeerId(format!("{name}@desk").into())]);
        assert_eq!(texts(Query { with: peers("lin"), ..all.clone() }), ["好 1", "好 3"]);
        assert_eq!(texts(Query { with: peers("nobody"), ..all.clone() }), [""; 0]);
        assert_eq!(texts(Query { with: With::Everybody, ..all.clone() }), ["大家好 5"]);
        assert_eq!(texts(Query { limit: Some(2), ..all.clone() }), ["好 4", "大家好 5"]);
        let since = Some(UnixMillis(NOW.0 + 2));
        let until = Some(UnixMillis(NOW.0 + 4));
        assert_eq!(texts(Query { since, until, ..all.clone() }), ["好 2", "好 3"]);
        assert_eq!(texts(Query { received: true, since: until, ..all }), ["好 4"]);
    }
}

#[test]
fn a_clock_that_jumps_hides_and_reorders_nothing() {
    const JUMP: i64 = 400 * 86_400_000;
    let home = Home::new();
    let step = |number, text: &str, at: i64| {
        Record::Message(MessageRecord { at: UnixMillis(at), ..received(number, text) })
    };
    let now = NOW.0;
    home.keep(
        vec![
            step(1, "say one", now),
            step(2, "say two", now + 10),
            step(3, "say three", now - JUMP),
            step(4, "say four", now - JUMP + 10),
            step(5, "say five", now + 40),
            step(6, "say six", now + JUMP),
            step(7, "say seven", now + 60),
        ],
        true,
    );
    let imported = |text: &str, at| {
        let message = MessageRecord { at: UnixMillis(at), raw: [].into(), ..received(0, text) };
        Arrival { numbered: false, ..arrival(message) }
    };
    let elsewhere = [imported("say first", now - 5), imported("say between", now + 20)];
    let mut pen = home.pen();
    assert_eq!(pen.import(&elsewhere).unwrap(), [Import::Taken, Import::Taken]);
    assert_eq!(pen.import(&elsewhere).unwrap(), [Import::Known, Import::Known]);
    let again = [imported("say three", now - JUMP), imported("say seven", now + 60)];
    assert_eq!(pen.import(&again).unwrap(), [Import::Known, Import::Known]);

    let all = ["first", "one", "two", "three", "four", "between", "five", "six", "seven"];
    let all = all.map(|name| format!("say {name}"));
    for words in [&[][..], &["say"]] {
        assert_eq!(home.found(words), all, "{words:?}");
        let newest = Query { limit: Some(3), ..about(words) };
        assert_eq!(home.texts(&newest), all[6..], "{words:?}");
        let past = Query { until: Some(UnixMillis(now - JUMP + 20)), ..about(words) };
        assert_eq!(home.texts(&past), ["say three", "say four"], "by the time it bears");
    }
}

#[test]
fn a_message_is_unread_until_it_was_seen_over_restarts_too() {
    let home = Home::new();
    home.keep(messages(&["a", "b", "c", "d"]), true);
    let unread = || home.texts(&Query { unread: true, ..Query::default() });
    assert_eq!(unread(), ["a", "b", "c", "d"]);
    home.pen().mark_shown(&[2, 4]).unwrap();
    assert_eq!(unread(), ["a", "c"]);
    home.pen().mark_shown(&[1, 2, 99]).unwrap();
    assert_eq!(unread(), ["c"]);
    assert_eq!(home.reader().unread().unwrap(), 1);
    let marks: Vec<bool> =
        home.entries(&Query::default()).iter().map(|entry| entry.unread).collect();
    assert_eq!(marks, [false, false, true, false]);
    home.keep(vec![Record::Message(received(5, "e"))], true);
    assert_eq!(unread(), ["c", "e"]);
    home.pen().mark_shown(&[3, 5]).unwrap();
    assert_eq!(unread(), [""; 0]);
}

#[test]
fn a_sent_message_says_what_became_of_it() {
    let home = Home::new();
    let sent = MessageRecord { direction: Direction::Out, ..received(7, "hello") };
    let confirmed = OutcomeRecord {
        at: UnixMillis(NOW.0 + 9),
        number: PacketNo(7),
        peer: peer("lin"),
        outcome: Outcome::Confirmed,
        tries: 2,
        rtt_ms: Some(0.5),
        hint: None,
        waited_ms: None,
        expires: None,
    };
    home.keep(vec![Record::Message(sent), Record::Outcome(confirmed)], true);
    let fate = home.entries(&Query::default())[0].fate.unwrap();
    assert_eq!((fate.outcome, fate.tries, fate.rtt_ms), (Outcome::Confirmed, 2, Some(0.5)));
}

fn arrival(message: MessageRecord) -> Arrival {
    Arrival { message, numbered: true, fate: None, read: None }
}

#[test]
fn importing_twice_adds_nothing_and_makes_no_event() {
    let home = Home::new();
    home.keep(messages(&["here already 重启"]), true);
    let fate = Fate {
        outcome: Outcome::NotConfirmed,
        at: NOW,
        tries: 17,
        rtt_ms: None,
        waited_ms: None,
        hint: Some(feige::node::Bounce::PortUnreachable),
    };
    let old = UnixMillis(NOW.0 - 1_000_000);
    let sent = MessageRecord { direction: Direction::Out, at: old, ..received(3, "去年 重启") };
    let nameless = |text: &str| Arrival {
        numbered: false,
        ..arrival(MessageRecord { at: old, raw: [].into(), ..received(0, text) })
    };
    let arrivals = [
        arrival(received(1, "here already 重启")),
        arrival(received(2, "new 重启")),
        Arrival { fate: Some(fate), ..arrival(sent) },
        nameless("重启 one"),
        nameless("重启 two"),
    ];
    let first = home.pen().import(&arrivals).unwrap();
    assert_eq!(first, [Import::Known, Import::Taken, Import::Taken, Import::Taken, Import::Taken]);
    assert_eq!(home.pen().import(&arrivals).unwrap(), [Import::Known; 5]);

    let expected = ["去年 重启", "重启 one", "重启 two", "here already 重启", "new 重启"];
    assert_eq!(home.texts(&Query::default()), expected, "by their time");
    assert_eq!(home.found(&["重启"]), expected);
    assert_eq!(home.texts(&Query { limit: Some(3), ..about(&["重启"]) }), expected[2..]);
    let entries = home.entries(&Query::default());
    assert_eq!(entries[0].fate, Some(fate));
    assert_eq!((entries[0].seq(), entries[3].seq()), (None, Some(1)));
    assert_eq!(entries.iter().filter(|entry| entry.unread).count(), 1, "only what came by itself");
    assert_eq!(home.reader().datagram(entries[4].id).unwrap().unwrap(), "new 重启".as_bytes());
    assert_eq!(home.reader().since(0, 100).unwrap().len(), 1, "no event");

    // The sender's own numbers still tell repeats from news.
    let store = &mut Store::open(&home.paths, NOW).unwrap().store;
    let again = store.commit(&[(SaveId(1), Record::Message(received(2, "new 重启")))]);
    assert_eq!(again[0].1, SaveResult::Repeat);
}

#[test]
fn a_store_that_is_being_written_takes_marks_and_imports_beside() {
    let home = Home::new();
    let Opened { mut store, .. } = Store::open(&home.paths, NOW).unwrap();
    for round in 1..=20 {
        let own = store.commit(&[(SaveId(round), Record::Message(received(round, "own")))]);
        assert_eq!(own[0].1, SaveResult::Kept { seq: Some(round) }, "no gap");
        home.pen().mark_shown(&[i64::try_from(round).unwrap()]).unwrap();
        let other = arrival(received(1_000 + round, "other"));
        assert_eq!(home.pen().import(&[other]).unwrap(), [Import::Taken]);
    }
    assert_eq!(home.found(&["own"]).len(), 20);
    assert_eq!(home.found(&["other"]).len(), 20);
    assert_eq!(home.reader().unread().unwrap(), 0);
}

#[test]
fn another_charset_changes_the_text_what_is_found_and_no_byte() {
    for indexed in [true, false] {
        let home = Home::new();
        home.keep(messages(&["鏂扮増鏈", "other"]), indexed);
        let text = "新版本".to_owned();
        home.pen().reread(Charset::UTF_8, &[Reread { id: 1, text, cut: false }]).unwrap();
        assert_eq!(home.found(&["新版"]), ["新版本"]);
        assert_eq!(home.found(&["鏂扮"]), [""; 0]);
        let entry = &home.entries(&Query::default())[0];
        let pinned = Verdict { charset: Charset::UTF_8, sure: Sure::Pinned };
        assert_eq!(entry.message.charset, pinned);
        assert_eq!(home.reader().datagram(1).unwrap().unwrap(), "鏂扮増鏈".as_bytes());
    }
}

#[test]
fn what_is_deleted_leaves_the_index_too() {
    let home = Home::new();
    home.keep(messages(&["重启 1", "重启 2"]), true);
    let db = rusqlite::Connection::open(&home.paths.db).unwrap();
    db.execute("DELETE FROM message WHERE id = 1", ()).unwrap();
    let hits = "SELECT count(*) FROM grams WHERE grams MATCH '\"重启\"'";
    assert_eq!(db.query_row(hits, (), |row| row.get::<_, i64>(0)).unwrap(), 1);
    assert_eq!(home.found(&["重启"]), ["重启 2"]);
}

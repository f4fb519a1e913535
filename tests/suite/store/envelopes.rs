//! Envelopes, readings and the absence text over restarts.

use std::slice;
use std::time::Duration;

use feige::node::{
    Direction, Event, MessageRecord, OpenedRecord, Options, PacketNo, ReadRecord, Recalled, Record,
    SaveResult, UnixMillis,
};
use feige::store::{Paths, Reader, Store};
use tempfile::TempDir;

use super::{NOW, commit, kept, peer, received};

const SECRET: u32 = 0x200;

fn sealed(message: MessageRecord) -> MessageRecord {
    MessageRecord { options: Options::from_bits_retain(SECRET), ..message }
}

fn sent(to: &str, number: u64) -> MessageRecord {
    let message = received(to, number);
    MessageRecord { direction: Direction::Out, addr: None, ..sealed(message) }
}

fn read(from: &str, number: u64) -> Record {
    let (number, peer) = (PacketNo(number), peer(from));
    Record::Read(ReadRecord { at: UnixMillis(9), number, peer, discarded: false })
}

#[test]
fn an_envelope_is_closed_in_the_stream_until_its_opening_is_kept() {
    let home = TempDir::new().unwrap();
    let paths = Paths::all_in(home.path());
    let mut store = Store::open(&paths, NOW).unwrap().store;
    let message = MessageRecord { text: "psst".into(), ..sealed(received("a@b", 1)) };
    assert_eq!(commit(&mut store, vec![Record::Message(message)]), [kept(1)]);
    let reader = Reader::open(&paths).unwrap();
    let shown = || match reader.since(0, 10).unwrap().remove(0).event {
        Event::Message(message) => (message.closed, message.text),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(), (true, String::new()));
    let Recalled::Message { message, opened: false } = reader.message(1).unwrap() else { panic!() };
    assert_eq!(message.text, "psst", "whoever opens it gets it");
    let opening = Record::Opened(OpenedRecord { at: UnixMillis(5), message: 1, tells: true });
    let results = commit(&mut store, vec![opening.clone(), opening]);
    assert_eq!(results, [SaveResult::Kept { seq: None }, SaveResult::Repeat]);
    assert_eq!(shown(), (false, "psst".into()));
    assert!(matches!(reader.message(1).unwrap(), Recalled::Message { opened: true, .. }));
    for nothing in [0, 2, u64::MAX] {
        assert_eq!(reader.message(nothing).unwrap(), Recalled::Missing, "{nothing}");
    }
}

#[test]
fn an_opening_is_untold_until_it_is_said_to_be_told_over_restarts_too() {
    let home = TempDir::new().unwrap();
    let paths = Paths::all_in(home.path());
    let mut store = Store::open(&paths, NOW).unwrap().store;
    let message = |number| MessageRecord {
        options: Options::from_bits_retain(SECRET | 0x10_0000),
        ..received("a@b", number)
    };
    let batch: Vec<_> = (1..=3).map(|number| Record::Message(message(number))).collect();
    commit(&mut store, batch);
    let opening = |message: u64, tells| {
        Record::Opened(OpenedRecord { at: UnixMillis(message.cast_signed()), message, tells })
    };
    let batch = vec![opening(1, true), opening(2, false), opening(3, true), opening(1, false)];
    commit(&mut store, batch);
    drop(store);
    let mut store = Store::open(&paths, NOW).unwrap().store;
    let untold = store.memory().unwrap().untold;
    let [first, second] = untold.as_slice() else { panic!("{untold:?}") };
    assert_eq!((first.message, second.message), (1, 3), "oldest first, and not what tells nobody");
    assert_eq!((first.number, first.opened), (PacketNo(1), UnixMillis(1)));
    assert_eq!(first.options.bits(), SECRET | 0x10_0000);
    assert_eq!(&*first.peer.id.0, "a@b");
    let over = vec![Record::NoticeOver(1), Record::NoticeOver(1), Record::NoticeOver(99)];
    let results = commit(&mut store, over);
    assert!(results.iter().all(|result| *result == SaveResult::Kept { seq: None }), "{results:?}");
    commit(&mut store, vec![opening(1, true)]);
    let left: Vec<_> = store.memory().unwrap().untold.iter().map(|untold| untold.message).collect();
    assert_eq!(left, [3], "opened once, told once");
}

#[test]
fn an_opening_of_what_is_not_there_is_not_kept() {
    let home = TempDir::new().unwrap();
    let mut store = Store::open(&Paths::all_in(home.path()), NOW).unwrap().store;
    let opening = Record::Opened(OpenedRecord { at: UnixMillis(5), message: 7, tells: false });
    assert!(matches!(commit(&mut store, vec![opening])[..], [SaveResult::Failed(_)]));
}

#[test]
fn readings_stand_in_the_stream_once_and_end_the_waiting() {
    let home = TempDir::new().unwrap();
    let paths = Paths::all_in(home.path());
    let mut store = Store::open(&paths, NOW).unwrap().store;
    let batch = vec![
        Record::Message(sent("a@b", 50)),
        Record::Message(sent("c@d", 50)),
        Record::Message(MessageRecord { options: Options::empty(), ..sent("c@d", 51) }),
    ];
    assert_eq!(commit(&mut store, batch), [kept(1), kept(2), kept(3)]);
    let waiting = |store: &Store| -> Vec<_> {
        let sealed = store.memory().unwrap().sealed;
        sealed.into_iter().map(|sealed| (sealed.number.0, sealed.peer.id.0.to_string())).collect()
    };
    assert_eq!(waiting(&store), [(50, "a@b".to_owned()), (50, "c@d".to_owned())]);
    let results = commit(&mut store, vec![read("c@d", 50), read("c@d", 50)]);
    assert_eq!(results, [kept(4), SaveResult::Repeat]);
    assert_eq!(waiting(&store), [(50, "a@b".to_owned())]);
    let events = Reader::open(&paths).unwrap().since(3, 10).unwrap();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    let Event::Read { number, peer, discarded: false } = &event.event else { panic!("{event:?}") };
    assert_eq!((event.seq, number.0, &*peer.id.0), (4, 50, "c@d"));
}

#[test]
fn a_sealed_message_may_be_read_wherever_it_was_confirmed() {
    use feige::node::{Outcome, OutcomeRecord};
    let home = TempDir::new().unwrap();
    let mut store = Store::open(&Paths::all_in(home.path()), NOW).unwrap().store;
    let mut moved = peer("a@b");
    let elsewhere = "10.9.9.9:2425".parse().unwrap();
    moved.addrs.push(elsewhere);
    let outcome = OutcomeRecord {
        at: UnixMillis(6),
        number: PacketNo(50),
        peer: moved.clone(),
        outcome: Outcome::Confirmed,
        tries: 2,
        rtt_ms: Some(1.0),
        hint: None,
        waited_ms: None,
        expires: None,
    };
    commit(&mut store, vec![Record::Message(sent("a@b", 50)), Record::Outcome(outcome)]);
    let sealed = store.memory().unwrap().sealed.remove(0);
    assert_eq!(sealed.peer.addrs, moved.addrs, "each once");
}

#[test]
fn the_absence_text_is_kept_until_it_is_taken_back() {
    let home = TempDir::new().unwrap();
    let paths = Paths::all_in(home.path());
    let away = |text: Option<&str>| Record::Away(text.map(str::to_owned));
    let mut store = Store::open(&paths, NOW).unwrap().store;
    assert_eq!(store.memory().unwrap().away, None);
    let silent = SaveResult::Kept { seq: None };
    assert_eq!(
        commit(&mut store, vec![away(Some("a")), away(Some("b"))]),
        [silent.clone(), silent]
    );
    drop(store);
    let mut store = Store::open(&paths, NOW).unwrap().store;
    assert_eq!(store.memory().unwrap().away.as_deref(), Some("b"));
    commit(&mut store, vec![away(None)]);
    assert_eq!(store.memory().unwrap().away, None);
}

#[test]
fn who_got_an_automatic_reply_lately_is_remembered() {
    let home = TempDir::new().unwrap();
    let mut store = Store::open(&Paths::all_in(home.path()), NOW).unwrap().store;
    let reply = |to: &str, number, at| {
        let options = Options::from_bits_retain(0x2000);
        Record::Message(MessageRecord { options, at: UnixMillis(at), ..sent(to, number) })
    };
    let plain = Record::Message(MessageRecord { at: UnixMillis(100_000), ..sent("d@e", 9) });
    // Written by a clock that was ahead: it neither counts nor hides the others.
    let ahead = reply("e@f", 4, 900_000);
    let records = vec![
        reply("a@b", 1, 30_000),
        reply("b@c", 2, 50_000),
        reply("b@c", 3, 90_000),
        plain,
        ahead,
    ];
    commit(&mut store, records);
    let replied =
        |seconds| store.replied(UnixMillis(100_000), Duration::from_secs(seconds)).unwrap();
    let b = (peer("b@c").id, UnixMillis(90_000));
    assert_eq!(replied(60), slice::from_ref(&b));
    assert_eq!(replied(80), [(peer("a@b").id, UnixMillis(30_000)), b]);
}

//! What is open over restarts, and who else got a message.

use super::*;
use feige::node::{Open, OpenMemory, Recipient, Recipients, RewrittenRecord, WaitingState};

const UNTIL: Open =
    Open::Until { expires: UnixMillis(1_795_600_000_000), utc_offset_s: Some(28_800) };

fn sent(to: &str, number: u64, open: Open) -> Record {
    Record::Message(MessageRecord {
        direction: Direction::Out,
        addr: None,
        open: Some(open),
        ..received(to, number)
    })
}

fn ended(to: &str, number: u64, outcome: Outcome) -> Record {
    Record::Outcome(OutcomeRecord {
        at: NOW,
        number: PacketNo(number),
        peer: peer(to),
        outcome,
        tries: 3,
        rtt_ms: None,
        hint: None,
        waited_ms: (outcome == Outcome::Confirmed).then_some(90_000),
        expires: (outcome == Outcome::Queued).then_some(UnixMillis(1_795_600_000_000)),
    })
}

#[test]
fn what_goes_out_in_another_form_is_kept_in_that_form() {
    let home = Home::new();
    let mut store = home.open().store;
    let raw: Arc<[u8]> = "1:9:me:desk:8388896:你好".as_bytes().into();
    let charset = Verdict { charset: Charset::UTF_8, sure: Sure::Declared };
    let (number, peer) = (PacketNo(9), peer("lin@DESK-7"));
    let rewritten = RewrittenRecord { number, peer, charset, raw: raw.clone() };
    commit(
        &mut store,
        vec![
            sent("lin@DESK-7", 9, UNTIL),
            sent("wang@DESK-8", 9, UNTIL),
            Record::Rewritten(rewritten),
        ],
    );
    let reader = Reader::open(&home.paths).unwrap();
    assert_eq!(reader.datagram(1).unwrap().as_deref(), Some(&raw[..]));
    assert_eq!(reader.entry(1).unwrap().unwrap().message.charset, charset);
    assert_ne!(reader.datagram(2).unwrap().as_deref(), Some(&raw[..]), "to somebody else");
}

/// What a new run is told: number, recipient, how long, and whether it was said to be queued.
fn open(home: &Home) -> Vec<(u64, String, Open, bool)> {
    let short =
        |open: OpenMemory| (open.number.0, open.peer.id.0.to_string(), open.open, open.queued);
    home.open().store.memory().unwrap().open.into_iter().map(short).collect()
}

#[test]
fn a_sent_message_is_open_until_its_outcome_is_kept() {
    let home = Home::new();
    let mut store = home.open().store;
    commit(
        &mut store,
        vec![
            sent("wang@DESK-8", 9, UNTIL),
            sent("lin@DESK-7", 9, UNTIL),
            sent("lin@DESK-7", 10, Open::Run),
            Record::Message(received("lin@DESK-7", 9)),
            ended("lin@DESK-7", 9, Outcome::Queued),
        ],
    );
    drop(store);
    let (wang, lin) = ("wang@DESK-8".to_owned(), "lin@DESK-7".to_owned());
    assert_eq!(
        open(&home),
        [(9, wang, UNTIL, false), (9, lin.clone(), UNTIL, true), (10, lin, Open::Run, false)]
    );
    let memory = home.open().store.memory().unwrap();
    let OpenMemory { text, written, options, .. } = &memory.open[0];
    assert_eq!((text.as_str(), *written), ("谢谢 9\n第二行", UnixMillis(1_795_000_001_250)));
    assert_eq!(options.bits(), 0x100);

    let waiting = Reader::open(&home.paths).unwrap().outbox(None).unwrap();
    let states: Vec<WaitingState> = waiting.iter().map(|waiting| waiting.state).collect();
    assert_eq!(states, [WaitingState::Queued, WaitingState::Queued, WaitingState::Sending]);

    let mut store = home.open().store;
    for (to, number, outcome) in [
        ("lin@DESK-7", 9, Outcome::Confirmed),
        ("lin@DESK-7", 10, Outcome::NotConfirmed),
        ("wang@DESK-8", 9, Outcome::Expired),
    ] {
        commit(&mut store, vec![ended(to, number, outcome)]);
    }
    drop(store);
    assert_eq!(open(&home), []);
}

#[test]
fn what_waits_ends_later_by_what_the_clock_was_set() {
    const YEAR: i64 = 365 * 86_400_000;
    let boot = |id: &str, at: i64| Boot { id: id.to_owned(), at: UnixMillis(at) };
    let until = |by: i64| {
        let utc_offset_s = Some(28_800);
        [Open::Until { expires: UnixMillis(1_795_600_000_000 + by), utc_offset_s }, Open::Run]
    };
    let home = Home::new();
    let waiting = |set: Option<Boot>| {
        let waiting = Reader::open(&home.paths).unwrap().outbox(set.as_ref()).unwrap();
        (waiting[0].written_at.0 - 1_795_000_001_250, waiting[0].expires_at.unwrap())
    };
    // What a run that begins so finds open.
    let restart = |boot: &Boot| {
        let mut store = home.open().store;
        store.reckon(boot.clone()).unwrap();
        let memory = store.memory().unwrap();
        commit(&mut store, vec![Record::Away(None)]);
        let open: Vec<Open> = memory.open.iter().map(|open| open.open).collect();
        (open, memory.open[0].written.0 - 1_795_000_001_250)
    };
    let mut store = home.open().store;
    store.reckon(boot("a", 1_000_000)).unwrap();
    commit(&mut store, vec![sent("lin@DESK-7", 9, UNTIL), sent("lin@DESK-7", 10, Open::Run)]);
    // While a node runs, it says so.
    commit(&mut store, vec![Record::ClockSet { by_ms: -YEAR }]);
    drop(store);
    let set = boot("a", 1_000_000 - YEAR);
    assert_eq!(restart(&set), (until(-YEAR).to_vec(), -YEAR));
    assert_eq!(restart(&set), (until(-YEAR).to_vec(), -YEAR), "once");
    // While none runs.
    let set = boot("a", 1_000_000 + YEAR);
    assert_eq!(waiting(Some(set.clone())), (YEAR, UnixMillis(1_795_600_000_000 + YEAR)));
    assert_eq!(restart(&set), (until(YEAR).to_vec(), YEAR));
    assert_eq!(waiting(None), waiting(Some(set)));
    assert_eq!(restart(&boot("a", 1_000_500 + YEAR)), (until(YEAR).to_vec(), YEAR));
    // Another run of the system: nobody knows what became of the clock meanwhile.
    let other = boot("b", 500_000_000);
    assert_eq!(waiting(Some(other.clone())), (YEAR, UnixMillis(1_795_600_000_000 + YEAR)));
    assert_eq!(restart(&other), (until(YEAR).to_vec(), YEAR));
    assert_eq!(restart(&boot("b", 500_000_000 + 60_000)).1, YEAR + 60_000);
}

#[test]
fn the_stream_tells_again_what_was_queued_and_delivered() {
    let home = Home::new();
    let mut store = home.open().store;
    let records = vec![
        sent("lin@DESK-7", 9, UNTIL),
        ended("lin@DESK-7", 9, Outcome::Queued),
        ended("lin@DESK-7", 9, Outcome::Confirmed),
    ];
    commit(&mut store, records);
    drop(store);
    let events: Vec<Event> = home.events().into_iter().map(|(_, event)| event).collect();
    assert!(
        matches!(events[1], Event::Queued { expires_at: UnixMillis(1_795_600_000_000), .. }),
        "{events:?}"
    );
    assert!(matches!(events[2], Event::Delivered { waited_ms: 90_000, .. }), "{events:?}");
}

#[test]
fn the_recipients_of_a_message_are_kept_as_they_were_listed() {
    let home = Home::new();
    let name = |user: &str| Recipient { user: user.to_owned(), host: "pc".to_owned() };
    let recipients = Recipients { names: vec![name("小林"), name("王五")], cut: true };
    let mut store = home.open().store;
    take(&mut store, MessageRecord { recipients: recipients.clone(), ..received("a@b", 1) });
    take(&mut store, received("a@b", 2));
    drop(store);
    let events = home.events();
    let [(_, Event::Message(first)), (_, Event::Message(second))] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((&first.recipients, first.recipients_cut), (&recipients.names, true));
    assert!(second.recipients.is_empty() && !second.recipients_cut);
}

#[test]
fn correspondents_are_known_as_they_last_looked() {
    let home = Home::new();
    let mut store = home.open().store;
    take(&mut store, received("lin@DESK-7", 1));
    let renamed = PeerView { nick: "老林".to_owned(), ..peer("lin@DESK-7") };
    take(&mut store, MessageRecord { peer: Some(renamed.into()), ..received("lin@DESK-7", 2) });
    take(&mut store, received("wang@DESK-8", 3));
    drop(store);
    let known = Reader::open(&home.paths).unwrap().correspondents().unwrap();
    let names: Vec<_> = known.iter().map(|peer| (&*peer.id.0, peer.nick.as_str())).collect();
    assert_eq!(names, [("wang@DESK-8", "小林"), ("lin@DESK-7", "老林")]);
}

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

const YEAR: i64 = 365 * 86_400_000;

/// A run of the system that began at this time, an hour ago.
fn boot(id: &str, booted: i64) -> Boot {
    let wall = UnixMillis(booted + 3_600_000);
    Boot { id: id.to_owned(), now: Now { tick: Tick(0), wall, booted: UnixMillis(booted) } }
}

/// By how much the first message that is open was moved, as a run that begins so is told.
fn restart(home: &Home, boot: &Boot) -> i64 {
    let mut store = home.open().store;
    store.reckon(boot.clone()).unwrap();
    let memory = store.memory().unwrap();
    commit(&mut store, vec![Record::Away(None)]);
    let OpenMemory { written, open: Open::Until { expires, .. }, .. } = memory.open[0] else {
        panic!("{memory:?}")
    };
    let moved = written.0 - 1_795_000_001_250;
    assert_eq!(expires.0, 1_795_600_000_000 + moved);
    assert_eq!(memory.open[1].open, Open::Run);
    moved
}

/// The same, as is shown where no node runs.
fn shown(home: &Home, boot: Option<&Boot>) -> i64 {
    let waiting = &Reader::open(&home.paths).unwrap().outbox(boot).unwrap()[0];
    let moved = waiting.written_at.0 - 1_795_000_001_250;
    assert_eq!(waiting.expires_at, Some(UnixMillis(1_795_600_000_000 + moved)));
    moved
}

/// Half an hour before the messages were written.
const BOOTED: i64 = 1_795_000_001_250 - 1_800_000;

fn with_two(boot: &Boot) -> Home {
    let home = Home::new();
    let mut store = home.open().store;
    store.reckon(boot.clone()).unwrap();
    commit(&mut store, vec![sent("lin@DESK-7", 9, UNTIL), sent("lin@DESK-7", 10, Open::Run)]);
    home
}

#[test]
fn what_waits_ends_later_by_what_the_clock_was_set() {
    let home = with_two(&boot("a", BOOTED));
    // While a node runs, it says so.
    let set = boot("a", BOOTED - YEAR);
    let record = ClockSet::since(UnixMillis(BOOTED), set.now).map(Record::ClockSet);
    commit(&mut home.open().store, vec![record.unwrap()]);
    assert_eq!(restart(&home, &set), -YEAR);
    assert_eq!(restart(&home, &set), -YEAR, "once");
    // While none runs.
    let set = boot("a", BOOTED + YEAR);
    assert_eq!(shown(&home, Some(&set)), YEAR);
    assert_eq!(restart(&home, &set), YEAR);
    assert_eq!(shown(&home, None), YEAR);
    assert_eq!(shown(&home, Some(&set)), YEAR);
    assert_eq!(restart(&home, &boot("a", BOOTED + YEAR + 500)), YEAR, "between two readings");
}

#[test]
fn a_clock_that_is_set_moves_nothing_of_another_run_of_the_system() {
    let home = with_two(&boot("a", BOOTED));
    // Without a battery it begins in 1970, until the network tells the time.
    let dead = boot("b", 0);
    assert_eq!(restart(&home, &dead), 0);
    let right = boot("b", BOOTED + 86_400_000);
    assert_eq!(shown(&home, Some(&right)), 0);
    assert_eq!(restart(&home, &right), 0);
    assert_eq!(shown(&home, None), 0);
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

//! The event stream: told again from the store and going on live, to several at once, also slow ones.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use feige::node::{
    Charset, Delivery, Direction, MessageRecord, Options, PacketNo, Recipients, Record, SaveId,
    Sure, UnixMillis, Verdict,
};
use feige::store::{Opened, Paths, Store};
use serde_json::Value;

use crate::support::home::{Lan, TestHome};
use crate::support::process::until;

/// More events than a running node holds for anybody.
const STORED: u64 = 20_000;

/// A store with so many messages in it.
fn fill(home: &TestHome) {
    let paths = Paths::all_in(&home.path("data/feige"));
    let Opened { mut store, numbers, .. } =
        Store::open(&paths, UnixMillis(1_795_000_000_000)).expect("it can be made");
    for page in 0..STORED / 5_000 {
        let record = |n: u64| {
            let message = MessageRecord {
                direction: Direction::Out,
                delivery: Delivery::Broadcast,
                at: UnixMillis(1_795_000_000_000),
                peer: None,
                addr: None,
                epoch: 0,
                number: PacketNo(n),
                options: Options::empty(),
                text: format!("stored {n}"),
                charset: Verdict { charset: Charset::UTF_8, sure: Sure::Ascii },
                cut: false,
                files: 0,
                recipients: Recipients::default(),
                extras: None,
                open: None,
                raw: [].into(),
            };
            (SaveId(n), Record::Message(message))
        };
        let batch: Vec<_> = (page * 5_000..(page + 1) * 5_000).map(record).collect();
        store.commit(&batch);
    }
    store.close(numbers.last);
}

#[test]
fn several_listeners_hear_all_that_was_stored_and_all_that_comes_once() {
    const LIVE: u64 = 50;
    let lan = Lan::new();
    let home = lan.home("bob");
    let mut sender = lan.sender(&home);
    fill(&home);
    let node = home.start(&["node"]);
    super::lan::up(&home, &node);
    let count = STORED + LIVE;
    let listeners: Vec<_> = [0, 0, STORED - 1]
        .map(|since| home.start(&["listen", "--json", "--since", &since.to_string()]))
        .into();
    // While the first two are still being told the old ones.
    for number in 0..LIVE {
        sender.send(1_900_000_000 + number, &format!("live {number}"));
    }
    until("receipts", || {
        sender.hear(Duration::from_millis(10));
        sender.receipts.len() as u64 == LIVE
    });
    for (listener, since) in listeners.iter().zip([0, 0, STORED - 1]) {
        // Only the last lines are looked at: there are many.
        let last = format!("\"seq\":{count},");
        listener.out.wait("the last event", |lines| {
            lines.iter().rev().take(9).any(|line| line.contains(&last)).then_some(())
        });
        let lines = listener.out.all();
        let events = lines.iter().map(|line| serde_json::from_str(line).expect("JSON"));
        let seqs: Vec<u64> = events.filter_map(|event: Value| event["seq"].as_u64()).collect();
        assert!(seqs.iter().copied().eq(since + 1..=STORED + LIVE), "{since}: {}", seqs.len());
        assert!(!lines.concat().contains("\"lagged\""));
    }
}

/// Starts to listen, and does not read.
fn lazy(home: &TestHome, args: &[&str]) -> Child {
    let mut command = home.feige(&[&["listen", "--json"], args].concat());
    command.stdout(Stdio::piped()).spawn().expect("it starts")
}

#[test]
fn a_slow_listener_is_told_what_it_missed_and_has_it_again_from_the_store() {
    const MESSAGES: u64 = 1_600;
    let lan = Lan::new();
    let home = lan.home("bob");
    let mut sender = lan.sender(&home);
    let node = home.start(&["node"]);
    super::lan::up(&home, &node);
    let mut slow = [lazy(&home, &[]), lazy(&home, &["--since", "0"])];
    super::lan::joined_by(&home, 2);
    // More than all buffers on the way hold together, 16 in flight.
    let text = "x".repeat(20_000);
    for first in (0..MESSAGES).step_by(16) {
        let numbers = 1_900_000_000 + first..1_900_000_016 + first;
        until("receipts", || {
            for number in numbers.clone().filter(|n| !sender.receipts.contains_key(n)) {
                sender.send(number, &text);
            }
            sender.hear(Duration::from_millis(50));
            numbers.clone().all(|number| sender.receipts.contains_key(&number))
        });
    }
    let [forgetful, resumes] = &mut slow;
    // It may have begun to listen when the first ones were there already.
    let (mut told, mut missed) = (None, 0);
    for event in events(forgetful) {
        match event["event"].as_str() {
            Some("message") => {
                let seq = event["seq"].as_u64().expect("a number");
                assert_eq!(seq, told.map_or(seq, |told| told + 1), "what is left out is said");
                told = Some(seq);
            }
            Some("lagged") => {
                let more = event["missed"].as_u64().expect("a number");
                (told, missed) = (told.map(|told| told + more), missed + more);
            }
            _ => {}
        }
        if told == Some(MESSAGES) {
            break;
        }
    }
    assert!(missed > 0, "it was told");
    let seqs = events(resumes).filter_map(|event| event["seq"].as_u64());
    assert!(seqs.take_while(|seq| *seq < MESSAGES).eq(1..MESSAGES), "nothing is lost or repeated");
    for child in &mut slow {
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
}

fn events(child: &mut Child) -> impl Iterator<Item = Value> + use<> {
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    lines.map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"))
}

#[test]
fn a_place_the_stream_has_not_come_to_is_said_and_hides_nothing() {
    let lan = Lan::new();
    let home = lan.home("bob");
    let mut sender = lan.sender(&home);
    let node = home.start(&["node"]);
    super::lan::up(&home, &node);
    let listener = home.start(&["listen", "--json", "--since", "418"]);
    listener.err.line("there is no event 418 yet, the newest is 0");
    for number in 1_900_000_000..1_900_000_003 {
        until("a receipt", || {
            sender.send(number, "hello");
            sender.hear(Duration::from_millis(50));
            sender.receipts.contains_key(&number)
        });
    }
    listener.out.event("message", |event| event["seq"] == 3);
    let messages = listener.out.all().concat().matches("\"event\":\"message\"").count();
    assert_eq!(messages, 3);
}

#[test]
fn a_stored_event_that_cannot_be_read_is_named_and_the_others_are_told() {
    let lan = Lan::new();
    let home = lan.home("bob");
    let mut sender = lan.sender(&home);
    let node = home.start(&["node"]);
    super::lan::up(&home, &node);
    let numbers = 1_900_000_001..=1_900_000_003;
    until("receipts", || {
        for number in numbers.clone().filter(|n| !sender.receipts.contains_key(n)) {
            sender.send(number, "hello");
        }
        sender.hear(Duration::from_millis(50));
        sender.receipts.len() == 3
    });
    let db = rusqlite::Connection::open(home.path("data/feige/feige.db")).expect("a store");
    db.execute("UPDATE message SET charset = 'klingon' WHERE id = 2", ()).expect("it is damaged");
    let listener = home.start(&["listen", "--json", "--since", "0"]);
    listener.out.event("message", |event| event["seq"] == 3);
    let notice = listener.out.event("notice", |event| event["code"] == "damaged");
    assert_eq!(notice["seq"], 2);
    sender.send(1_900_000_004, "and it goes on");
    listener.out.event("message", |event| event["seq"] == 4);

    let printed = home.run(&["history", "--json"]).code(1);
    let seqs: Vec<_> = printed.lines().iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(seqs, [1, 3, 4]);
    assert!(printed.err.contains("message 2 in "), "{}", printed.err);
    let exported = home.run(&["history", "--export", "all.jsonl"]).code(1);
    assert!(exported.err.contains("3 messages written"), "{}", exported.err);
}

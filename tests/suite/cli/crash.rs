//! A node that is killed again and again under a flow of messages: what it confirmed is in the
//! history, once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use feige::node::Event;
use feige::store::{Paths, Reader};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

use crate::support::home::{Lan, TestHome};
use crate::support::process::until;
use crate::support::sender::Sender;

const KILLS: u32 = 60;
/// Messages without a receipt that the sender keeps in the air.
const WINDOW: u64 = 48;
/// Far from numbers that count from 1.
const FIRST: u64 = 1_900_000_000;

/// What sender and killer know of each other.
#[derive(Default)]
struct Shared {
    confirmed: AtomicU64,
    stop: AtomicBool,
}

/// Sends until it is told to stop, repeats what was not confirmed, and ends when everything sent is.
fn flow(mut sender: Sender, shared: &Shared) -> (Sender, u64) {
    let (mut next, mut confirmed) = (FIRST, 0);
    loop {
        let open = |range: Range<u64>, sender: &Sender| {
            range.filter(|number| !sender.receipts.contains_key(number)).collect::<Vec<_>>()
        };
        let waiting = open(FIRST + confirmed..next, &sender);
        if waiting.is_empty() && shared.stop.load(Ordering::Relaxed) {
            return (sender, next);
        }
        confirmed = waiting.first().map_or(next, |first| *first) - FIRST;
        for number in waiting {
            sender.send(number, &text(number));
        }
        if !shared.stop.load(Ordering::Relaxed) {
            let fresh = (FIRST + confirmed + WINDOW).max(next);
            for number in next..fresh {
                sender.send(number, &text(number));
            }
            next = fresh;
        }
        sender.hear(Duration::from_millis(5));
        shared.confirmed.store(sender.receipts.len() as u64, Ordering::Relaxed);
    }
}

fn text(number: u64) -> String {
    format!("message {number}")
}

/// How often each text is in the history; its places must be gapless.
fn history(home: &TestHome) -> BTreeMap<String, usize> {
    let paths = Paths::all_in(&home.path("data/feige"));
    let reader = Reader::open(&paths).expect("it can be read");
    let (mut texts, mut last) = (BTreeMap::new(), 0);
    loop {
        let page = reader.since(last, 4_096).expect("it can be read");
        if page.is_empty() {
            return texts;
        }
        for stored in page {
            assert_eq!(stored.seq, last + 1, "no gap");
            last = stored.seq;
            let Event::Message(message) = stored.event else { panic!("{stored:?}") };
            *texts.entry(message.text).or_default() += 1;
        }
    }
}

#[test]
fn sixty_kills_lose_nothing_confirmed_and_double_nothing() {
    let seed = std::env::var("FEIGE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("FEIGE_TEST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let lan = Lan::new();
    let home = lan.home("victim");
    let sender = lan.sender(&home);
    let shared = Arc::new(Shared::default());
    let flowing = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || flow(sender, &shared))
    };
    for round in 0..KILLS {
        let mut node = home.start(&["node"]);
        if round % 4 == 3 {
            // While it starts, or just after.
            sleep(Duration::from_micros(rng.gen_range(0..40_000)));
        } else {
            // In the middle of its work, a random while after a random receipt.
            let goal = shared.confirmed.load(Ordering::Relaxed) + rng.gen_range(1..400);
            until("receipts", || shared.confirmed.load(Ordering::Relaxed) >= goal);
            sleep(Duration::from_micros(rng.gen_range(0..3_000)));
        }
        node.signal(Signal::KILL);
        assert_eq!(node.exit(), None, "round {round}: killed, not ended");
    }
    let mut node = home.start(&["node"]);
    shared.stop.store(true, Ordering::Relaxed);
    let (sender, next) = flowing.join().expect("everything was confirmed in the end");
    node.signal(Signal::TERM);
    node.exit();

    let texts = history(&home);
    println!("{KILLS} kills, {} messages confirmed, {} stored", sender.receipts.len(), texts.len());
    for number in FIRST..next {
        assert!(sender.receipts.contains_key(&number));
        assert_eq!(texts.get(&text(number)), Some(&1), "{number} is in the history once");
    }
    assert_eq!(texts.len() as u64, next - FIRST, "and nothing else is");
    assert!(sender.receipts.len() > 1_000, "they were killed at work");
}

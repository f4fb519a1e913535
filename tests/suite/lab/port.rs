//! The port and who owns it: handed over when the owner ends, and never a message lost.

use std::ops::RangeInclusive;
use std::thread;

use rustix::process::Signal;

use super::lan::{Feige, Lab, lanload};
use super::wire::{BR_ENTRY, BR_EXIT};

/// How many messages are sent while the port changes hands.
const MESSAGES: RangeInclusive<u32> = 1..=60;
/// The owner ends when this one has been read.
const LAST_OF_OWNER: u32 = 15;

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn the_port_is_handed_over_without_a_lost_message() {
    port_changes_hands(Signal::TERM);
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn the_port_of_a_killed_owner_is_taken_over_without_a_lost_message() {
    port_changes_hands(Signal::KILL);
}

/// h2 has an owner of the port and two more that joined it. h1 keeps writing to it while the owner
/// ends; h3 watches.
fn port_changes_hands(signal: Signal) {
    let lab = Lab::up("3");
    for host in ["h1", "h2", "h3"] {
        lab.settle(host, host, "", "");
    }
    let wire = lab.wire();
    let mut owner = lab.feige("h2", &["listen"]);
    let sender = lab.feige("h1", &["listen"]);
    let watcher = lab.feige("h3", &["listen"]);
    owner.meets("h1");
    owner.meets("h3");
    // Its answer to their entries takes up to a second.
    sender.meets("h2");
    watcher.meets("h2");
    sender.meets("h2");
    let joined = ["first", "second"].map(|_| lab.feige("h2", &["listen"]));
    for feige in &joined {
        // What it is told when it has joined.
        feige.meets("h1");
    }
    lab.run("h3", &["send", "h2", "开始"]).succeeds();
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for number in MESSAGES {
                lab.run("h1", &["send", "h2", &line(number)]).succeeds();
            }
        });
        owner.reads(&line(LAST_OF_OWNER));
        owner.program.signal(signal);
        owner.program.exit();
        sending.join().expect("each message was confirmed");
    });
    for feige in &joined {
        feige.reads(&line(*MESSAGES.end()));
        let expected: Vec<String> =
            std::iter::once("开始".into()).chain(MESSAGES.map(line)).collect();
        assert_eq!(feige.texts(), expected, "each once, in order");
        assert_rises_without_gaps(feige);
    }
    assert!(wire.all(BR_EXIT).is_empty(), "the host did not leave");
    assert!(!watcher.events.all().iter().any(|event| event["event"] == "peer_down"));
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn not_a_datagram_is_lost_while_the_port_is_handed_over() {
    const COUNT: usize = 2_000;
    let lab = Lab::up("2");
    lab.settle("h1", "h1", "", "");
    let wire = lab.wire();
    let mut owner = lab.feige("h1", &["listen"]);
    wire.first(BR_ENTRY, "10.99.0.1");
    let joined = lab.feige("h1", &["listen"]);
    let burst = ["burst", "--to", "10.99.0.1", "--rate", "1000", "--count", &COUNT.to_string()];
    let load = lab.start("h2", &[&[&*lanload()], &burst[..]].concat(), &[]);
    joined.reads("message 200 of a burst");
    owner.program.signal(Signal::TERM);
    owner.program.exit();
    // The load generator sends each message once.
    let figures = load.output();
    assert!(figures.contains(&format!(r#""confirmed":{COUNT},"#)), "{figures}");
    joined.reads(&format!("message {} of a burst", COUNT - 1));
    assert_rises_without_gaps(&joined);
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn the_last_owner_says_goodbye_when_it_is_terminated() {
    let lab = Lab::up("2");
    let wire = lab.wire();
    for host in ["h1", "h2"] {
        lab.settle(host, host, "", "");
    }
    let watcher = lab.feige("h1", &["listen"]);
    let mut node = lab.feige("h2", &["node"]);
    watcher.meets("h2");
    node.program.signal(Signal::TERM);
    node.program.exit();
    wire.first(BR_EXIT, "10.99.0.2");
    watcher.event("peer_down", |event| event["peer"]["nick"] == "h2" && event["reason"] == "exit");

    let mut node = lab.feige("h2", &["node"]);
    watcher.events.wait("h2 coming back", |events| {
        events
            .iter()
            .filter(|event| event["event"] == "peer_up" && event["peer"]["nick"] == "h2")
            .nth(1)
            .map(|_| ())
    });
    lab.run("h2", &["node", "stop"]).succeeds();
    assert_eq!(node.program.exit(), Some(0));
    watcher.events.wait("h2 leaving again", |events| {
        events.iter().filter(|event| event["event"] == "peer_down").nth(1).map(|_| ())
    });
}

fn line(number: u32) -> String {
    format!("报数 {number}")
}

/// The numbers of the stored events it printed.
#[track_caller]
fn assert_rises_without_gaps(feige: &Feige) {
    let numbers: Vec<u64> =
        feige.events.all().iter().filter_map(|event| event["seq"].as_u64()).collect();
    let whole = numbers.windows(2).all(|pair| pair[1] == pair[0] + 1);
    assert!(whole && !numbers.is_empty(), "seq {numbers:?}");
}

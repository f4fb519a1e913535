//! A thousand hosts and ten thousand messages. The bounds hold for the release build, which
//! `.ci/run` names in `LAB_FEIGE`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::time::SystemTime;

use chrono::DateTime;
use serde_json::Value;

use super::lan::{FEIGE, Lab, Program, lanload};
use super::wire::{ANSENTRY, BR_ENTRY};

const CROWD: usize = 1_000;
const BURST: usize = 10_000;
/// Receive buffer that holds the whole burst.
const ENOUGH_BUFFER: u64 = 4 << 20;

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_burst_of_ten_thousand_messages_is_confirmed_whole() {
    let lab = Lab::up("2");
    let wire = lab.wire();
    let node = lab.feige("h1", &["node"]);
    wire.first(BR_ENTRY, "10.99.0.1");
    let load = lab.start("h2", &[&lanload(), "burst", "--to", "10.99.0.1"], &[]);
    let figures = result(load);
    let status = status(&lab);
    let granted = status["shell"]["receive_buffer"].as_u64().unwrap_or(0);
    let confirmed = figures["confirmed"].as_u64();
    println!("burst: {figures}, receive buffer {granted}");
    assert_eq!(status["counters"]["messages"].as_u64(), confirmed, "confirmed is what was kept");
    if granted >= ENOUGH_BUFFER {
        assert_eq!(confirmed, Some(BURST as u64), "{figures}");
    } else {
        println!("net.core.rmem_max grants too little to judge the burst");
    }
    drop(node);
}

/// Where a sync takes five milliseconds, the clock shows what a message alone costs: strace lets each
/// one take that long, and counts them.
#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn one_message_alone_is_confirmed_within_two_syncs() {
    const MESSAGES: usize = 200;
    const SYNC_US: u32 = 5_000;
    let lab = Lab::up("2");
    let wire = lab.wire();
    let slow = format!("inject=fsync,fdatasync:delay_enter={SYNC_US}");
    let syncs = lab.scripts_home("syncs");
    let to = syncs.to_string_lossy();
    let strace = ["strace", "-f", "-e", "trace=fsync,fdatasync", "-e", &slow, "-o", &to];
    let mut node = lab.start("h1", &[&strace[..], &[FEIGE.as_str(), "node"]].concat(), &[]);
    wire.first(BR_ENTRY, "10.99.0.1");
    let count = MESSAGES.to_string();
    let burst = ["burst", "--to", "10.99.0.1", "--window", "1", "--count", &count];
    let figures = result(lab.start("h2", &[&[lanload().as_str()], &burst[..]].concat(), &[]));
    lab.run("h1", &["node", "stop"]).succeeds();
    node.exit();
    let syncs = fs::read_to_string(syncs).expect("what strace saw");
    let syncs = syncs.lines().filter(|line| line.contains("sync(")).count();
    println!("one at a time: {figures}, {syncs} syncs of {SYNC_US} us and more");
    assert_eq!(figures["confirmed"].as_u64(), Some(MESSAGES as u64), "{figures}");
    // Each before its receipt; a few more are for the start and the end, for the index of texts, and for
    // moving what is in the log into the file.
    assert!((MESSAGES..MESSAGES * 6 / 5).contains(&syncs), "{syncs}");
    assert!(
        figures["p50_us"].as_f64().is_some_and(|us| us < 2.0 * f64::from(SYNC_US)),
        "{figures}"
    );
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_thousand_hosts_that_answer_at_once_are_listed_within_ten_milliseconds() {
    let lab = crowd();
    // The best of three: whatever else the machine does can only add.
    let best = (0..3).map(|_| answers_to_list_us(&lab)).find(|us| *us <= 10_000);
    assert!(best.is_some(), "three times later than that");
}

/// From the last answer leaving to the last host being in the list, microseconds.
fn answers_to_list_us(lab: &Lab) -> i64 {
    let load = lab.start("h2", &[&lanload(), "hosts"], &[]);
    load.talk.first("open sockets", |line| line == "ready");
    let mut watch = lab.start("h1", &[&FEIGE, "--json", "listen"], &[]);
    let lines = BufReader::new(watch.stdout()).lines().map_while(Result::ok);
    let last = lines.filter(|line| line.contains(r#""peer_up""#)).nth(CROWD - 1);
    let printed = unix_us();
    let last: Value = serde_json::from_str(&last.expect("a line for each host")).expect("JSON");
    let told_at = last["at"].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    // It says the millisecond; count that to its end.
    let told_at = told_at.expect("a time").timestamp_micros() + 999;
    let figures = result(load);
    let answered = figures["last_unix_us"].as_i64().expect("a time");
    println!(
        "discovery: {figures}, after the last answer listed in {} us, printed in {} us",
        told_at - answered,
        printed - answered
    );
    assert_eq!(lab.peers("h1").len(), CROWD);
    told_at - answered
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_thousand_hosts_that_enter_at_once_are_answered_in_one_batch() {
    let lab = crowd();
    let wire = lab.wire();
    let _node = lab.feige("h1", &["node"]);
    wire.first(BR_ENTRY, "10.99.0.1");
    let figures = result(lab.start("h2", &[&lanload(), "entries", "--to", "10.99.0.1"], &[]));
    assert_eq!(figures["answered"].as_u64(), Some(CROWD as u64), "{figures}");
    let answers = wire.seen.wait("every answer on the wire", |seen| {
        let answers: Vec<_> = seen.iter().filter(|seen| seen.mode() == ANSENTRY).cloned().collect();
        (answers.len() >= CROWD).then_some(answers)
    });
    let at = |seen: &super::wire::Seen| seen.at_us;
    let (first, last) = (answers.iter().map(at).min(), answers.iter().map(at).max());
    let spread = last.zip(first).map_or(0, |(last, first)| last - first);
    println!("entries: {figures}, answers within {spread} us");
    assert_eq!(answers.len(), CROWD, "one answer each");
    assert!(spread < 250_000, "one batch by one timer, not {spread} us of answers");
}

/// h2 is a thousand hosts, which h1 reaches through it: one neighbour, not a thousand.
fn crowd() -> Lab {
    let lab = Lab::up("2");
    lab.ip("h2", "route add local 10.77.64.0/20 dev lo");
    lab.ip("h1", "route add 10.77.64.0/20 via 10.99.0.2");
    lab
}

fn status(lab: &Lab) -> Value {
    let lines = lab.run("h1", &["--json", "node", "status"]).succeeds().lines();
    lines.into_iter().next().expect("one line")
}

/// The object a load generator prints.
fn result(load: Program) -> Value {
    let text = load.output();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn unix_us() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    i64::try_from(since.as_micros()).expect("not for 292,000 years")
}

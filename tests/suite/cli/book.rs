//! Own names, blocks, and peers that were here: the same with a node and without one.

use rustix::process::Signal;
use serde_json::Value;

use super::lan::{up, up_by_status};
use crate::json::Page;
use crate::support::home::{Lan, TestHome};
use crate::support::process::until;

fn objects<'v>(lines: &'v [Value], name: &str) -> Vec<&'v Value> {
    let page = Page::read();
    for line in lines {
        page.describes("object", name, line.as_object().expect("an object"));
    }
    lines.iter().collect()
}

fn aliases(home: &TestHome) -> Vec<String> {
    let lines = home.run(&["alias", "--list", "--json"]).code(0).lines();
    let name = |line: &&Value| line["alias"]["name"].as_str().expect("text").to_owned();
    objects(&lines, "alias_line").iter().map(name).collect()
}

#[test]
fn an_own_name_is_made_used_and_given_up_with_a_node_and_without() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let hears = bob.start(&["listen", "--json"]);
    super::lan::up_by_status(&bob);
    for with_node in [false, true] {
        let mut node = with_node.then(|| alice.start(&["listen"]));
        if let Some(node) = &node {
            node.out.line("is here");
        }
        let done = alice.run(&["alias", "老板", "bob"]).code(0);
        assert!(done.err.contains("老板 stands for"), "{}", done.err);
        alice.run(&["alias", "desk", "127.8.0.99"]).code(0);
        assert_eq!(aliases(&alice), ["desk", "老板"]);
        let text = format!("with a node: {with_node}");
        let done = alice.run(&["send", "老板", &text]).code(0);
        assert!(done.out.starts_with("老板 [bob]"), "{}", done.out);
        hears.out.event("message", |event| event["text"] == text.as_str());
        if let Some(node) = &node {
            node.out.line("老板 [bob]");
        }
        let done = alice.run(&["alias", "--remove", "nobody"]).code(3);
        assert!(done.err.contains("no alias is called nobody"), "{}", done.err);
        for name in ["老板", "desk"] {
            alice.run(&["alias", "--remove", name]).code(0);
        }
        assert_eq!(aliases(&alice), [""; 0]);
        if let Some(node) = &mut node {
            node.signal(Signal::TERM);
            node.exit();
        }
    }
    for wrong in [&["alias"][..], &["alias", "boss"], &["alias", "@boss", "bob"]] {
        alice.run(wrong).code(2);
    }
}

#[test]
fn a_name_the_store_knows_needs_no_node_and_no_lan() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let mut node = bob.start(&["node"]);
    up(&bob, &node);
    alice.run(&["send", "bob", "hello"]).code(0);
    node.signal(Signal::TERM);
    node.exit();
    alice.run(&["alias", "boss", "bob"]).code(0);
    assert_eq!(aliases(&alice), ["boss"]);
    let done = alice.run(&["send", "boss", "are you there?"]).code(3);
    assert!(done.err.contains("not sent"), "{}", done.err);
}

#[test]
fn a_blocked_peer_gets_no_receipt_and_leaves_no_trace() {
    let lan = Lan::new();
    let (alice, mallory) = (lan.home("alice"), lan.home("mallory"));
    let node = mallory.start(&["node"]);
    up(&mallory, &node);
    for with_node in [true, false] {
        let mut listens = alice.start(&["listen", "--json"]);
        listens.out.event("peer_up", |_| true);
        if with_node {
            alice.run(&["block", "mallory"]).code(0);
            listens.out.event("peer_down", |event| event["reason"] == "blocked");
        } else {
            listens.signal(Signal::TERM);
            listens.exit();
            alice.run(&["block", "mallory"]).code(0);
            listens = alice.start(&["listen", "--json"]);
            super::lan::up_by_status(&alice);
        }
        let listed = alice.run(&["block", "--list", "--json"]).code(0).lines();
        assert_eq!(objects(&listed, "block_line")[0]["peer"]["nick"], "mallory");
        mallory.run(&["send", "--timeout", "1s", &alice.addr.to_string(), "let me in"]).code(1);
        let status = &alice.run(&["node", "status", "--json"]).code(0).lines()[0];
        assert!(status["counters"]["blocked"].as_u64() > Some(0), "{status}");
        assert_eq!(status["counters"]["messages"], 0);
        assert!(!listens.out.all().concat().contains("let me in"));
        let done = alice.run(&["send", "mallory", "x"]).code(3);
        assert!(done.err.contains("mallory is blocked"), "{}", done.err);
        let known = alice.run(&["peers", "--all", "--json"]).code(0).lines();
        assert_eq!(objects(&known, "known")[0]["blocked"], true);
        alice.run(&["block", "--remove", "mallory"]).code(0);
        mallory.run(&["send", &alice.addr.to_string(), "and now?"]).code(0);
        listens.out.event("message", |event| event["text"] == "and now?");
        listens.signal(Signal::TERM);
        listens.exit();
    }
    let done = alice.run(&["block", "--remove", "mallory"]).code(3);
    assert!(done.err.contains("nobody called mallory is blocked"), "{}", done.err);
}

#[test]
fn nothing_goes_to_a_blocked_peer_by_its_address_or_by_the_outbox() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let here = bob.start(&["listen", "--json"]);
    up_by_status(&bob);
    alice.run(&["send", "bob", "hello"]).code(0);
    here.signal(Signal::INT);
    here.out.wait_for_end();
    let kept = alice.run(&["send", "--json", "--later", "bob", "call me"]).code(1).lines();
    let number = kept[0]["number"].to_string();
    let done = alice.run(&["block", "bob"]).code(0);
    assert!(done.err.contains("bob is blocked; 1 message waits for it and is held"), "{done:?}");
    let mut hears = bob.start(&["listen", "--json"]);
    up_by_status(&bob);
    let refused = |args: &[&str]| {
        let done = alice.run(args).code(3);
        assert!(done.err.contains("bob is blocked; nothing was sent"), "{done:?}");
    };
    let at = bob.addr.to_string();
    refused(&["send", &at, "x"]);
    refused(&["send", "--later", &at, "x"]);
    refused(&["knock", &at]);
    refused(&["outbox", "retry", &number]);
    let node = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    refused(&["send", &at, "x"]);
    alice.run(&["send", "--timeout", "100ms", "127.8.0.99", "x"]).code(1);
    assert!(!hears.out.all().iter().any(|line| line.contains("\"message\"")));
    alice.run(&["block", "--remove", "bob"]).code(0);
    hears.out.event("message", |event| event["text"] == "call me");
    node.out.event("delivered", |_| true);
    hears.signal(Signal::INT);
    hears.exit();
}

#[test]
fn peers_that_left_are_remembered_once_with_the_time() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let mut node = bob.start(&["node"]);
    up(&bob, &node);
    alice.run(&["peers"]).code(0);
    node.signal(Signal::TERM);
    node.exit();
    alice.run(&["peers"]).code(3);
    for _ in 0..2 {
        let known = alice.run(&["peers", "--all", "--json"]).code(0).lines();
        let [one] = objects(&known, "known")[..] else { panic!("{known:#?}") };
        assert_eq!((&one["here"], &one["peer"]["nick"]), (&Value::Bool(false), &"bob".into()));
        let at = one["last_seen"].as_str().expect("text");
        assert!(at.starts_with("20") && at.contains('T'), "{at}");
    }
    // With another name at the same desk it is still the same one.
    let again = bob.start(&["node", "--nick", "robert"]);
    up(&bob, &again);
    let known = alice.run(&["peers", "--all", "--json"]).code(0).lines();
    let [one] = objects(&known, "known")[..] else { panic!("{known:#?}") };
    assert_eq!((&one["here"], &one["peer"]["nick"]), (&Value::Bool(true), &"robert".into()));
    let done = alice.run(&["peers", "--all"]).code(0);
    assert!(done.out.contains("SEEN") && done.out.contains("now"), "{}", done.out);
}

#[test]
fn a_running_node_writes_down_who_it_heard() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let node = alice.start(&["listen", "--json"]);
    super::lan::up_by_status(&alice);
    bob.run(&["peers"]).code(0);
    node.out.event("peer_down", |_| true);
    until("bob in the store", || {
        let done = alice.run(&["peers", "--all", "--json"]);
        done.code == Some(0) && done.lines()[0]["here"] == false
    });
}

#[test]
fn root_is_warned_once_and_not_with_quiet() {
    let lan = Lan::new();
    let home = lan.home("a");
    let warning = "running as root";
    let times = usize::from(rustix::process::geteuid().is_root());
    let done = home.run(&["peers", "--wait", "1ms"]).code(3);
    assert_eq!(done.err.matches(warning).count(), times, "{}", done.err);
    let done = home.run(&["-q", "peers", "--wait", "1ms"]).code(3);
    assert!(!done.err.contains(warning), "{}", done.err);
}

//! `feige away` and `feige back`: with and without a node.

use super::lan::up_by_status;
use crate::support::home::Lan;

#[test]
fn absence_is_seen_replied_and_ended() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let _node = bob.start(&["node"]);
    up_by_status(&bob);
    let sees = alice.start(&["listen", "--json"]);
    sees.out.event("peer_up", |event| event["peer"]["nick"] == "bob");
    let done = bob.run(&["away", "at", "lunch"]).code(0);
    assert!(done.err.contains("away; `feige back` ends it"), "{done:?}");
    let peer = &sees.out.event("peer_changed", |event| event["peer"]["absent"] == true)["peer"];
    assert_eq!(peer["nick"], "bob[at lunch]");
    let table = alice.run(&["peers"]).code(0).out;
    assert!(table.contains("bob[at lunch] (away)"), "{table}");
    // His name without what absence adds is still his.
    alice.run(&["send", "bob", "hungry?"]).code(0);
    let reply = sees.out.event("message", |event| event["direction"] == "in");
    assert_eq!((&reply["text"], &reply["automatic"]), (&"at lunch".into(), &true.into()));
    let printed = bob.run(&["history"]).code(0).out;
    assert!(printed.contains("automatic reply"), "{printed}");
    assert!(!printed.contains("not confirmed"), "it asks for no receipt: {printed}");
    let status = bob.run(&["node", "status", "--json"]).code(0).lines().remove(0);
    assert_eq!((&status["away"], &status["nick"]), (&"at lunch".into(), &"bob".into()));
    let done = bob.run(&["back"]).code(0);
    assert!(done.err.contains("back"), "{done:?}");
    sees.out.event("peer_changed", |event| {
        event["peer"]["absent"] == false && event["peer"]["nick"] == "bob"
    });
}

#[test]
fn without_a_node_the_next_one_is_away_and_so_is_the_one_after() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    bob.run(&["config", "set", "away_text", "出差，周一回来"]).code(0);
    let done = bob.run(&["away"]).code(0);
    assert!(done.err.contains("no node runs: the next one is away"), "{done:?}");
    let sees = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    for _ in 0..2 {
        let peers = bob.run(&["peers", "--json"]).code(0).lines();
        assert_eq!(peers[0]["peer"]["nick"], "alice");
    }
    let entered = |event: &serde_json::Value| event["peer"]["nick"] == "bob[出差，周一回来]";
    assert_eq!(sees.out.event("peer_up", entered)["peer"]["absent"], true);
    let done = bob.run(&["back"]).code(0);
    assert!(done.err.contains("no node runs: the next one is here"), "{done:?}");
    bob.run(&["send", "alice", "here again"]).code(0);
    let said = sees.out.event("message", |_| true);
    assert_eq!((&said["peer"]["absent"], &said["peer"]["nick"]), (&false.into(), &"bob".into()));
}

#[test]
fn absence_needs_a_text_that_can_be_sent_and_somewhere_to_be_kept() {
    let home = Lan::new().home("bob");
    let done = home.run(&["away", "\u{1b}[2J"]).code(2);
    assert!(done.err.contains("control characters"), "{done:?}");
    let done = home.run(&["away", "--no-store"]).code(2);
    assert!(done.err.contains("--no-store"), "{done:?}");
}

#[test]
fn who_asks_is_told_the_text() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let mut stranger = lan.stranger();
    let _node = bob.start(&["node"]);
    up_by_status(&bob);
    bob.run(&["away", "at lunch"]).code(0);
    stranger.send(b"1:5:ann:pc:80:\0", bob.addr);
    assert_eq!(stranger.expect(0x51), "at lunch");
    bob.run(&["back"]).code(0);
    stranger.send(b"1:6:ann:pc:80:\0", bob.addr);
    assert_eq!(stranger.expect(0x51), "Not Absence mode");
}

//! Several homes on one LAN: who sees whom, what arrives, and how commands end.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::home::{Lan, TestHome};
use crate::support::process::{Process, until};

/// Waits until this `feige node` runs.
pub(super) fn up(home: &TestHome, node: &Process) {
    node.err.line("is here, port");
    home.run(&["node", "status"]).code(0);
}

/// Waits until a node runs in this home that says nothing by itself: asks until it answers.
pub(super) fn up_by_status(home: &TestHome) {
    until("a node", || home.run(&["node", "status"]).code == Some(0));
}

/// Waits until this many commands that stay have joined the node of this home.
pub(super) fn joined_by(home: &TestHome, commands: u64) {
    until("somebody who joined", || {
        let status = home.run(&["node", "status", "--json"]).code(0).lines().remove(0);
        // Who asks has joined too.
        status["shell"]["clients"].as_u64() > Some(commands)
    });
}

#[test]
fn what_one_sends_the_other_prints_and_both_count_the_same() {
    let lan = Lan::new();
    let (alice, zhang) = (lan.home("alice"), lan.home("张三"));
    let listens = alice.start(&["listen", "--json"]);
    let tells = zhang.start(&["listen", "--json"]);
    listens.out.event("peer_up", |event| event["peer"]["nick"] == "张三");
    // Joins the node that `listen` runs: no roll call is needed.
    let done = zhang.run(&["send", "--json", "alice", "谢谢 🙂\n第二行"]).code(0);
    let sent = done.lines();
    assert_eq!((&sent[0]["event"], &sent[0]["direction"]), (&"message".into(), &"out".into()));
    assert_eq!(sent[1]["event"], "receipt");
    let heard = listens.out.event("message", |event| event["direction"] == "in");
    assert_eq!(heard["text"], "谢谢 🙂\n第二行");
    assert_eq!(heard["number"], sent[0]["number"]);
    assert_eq!(heard["peer"]["nick"], "张三");
    assert_eq!(heard["seq"], 1);
    let told = tells.out.event("receipt", |_| true);
    assert_eq!(told["seq"], sent[1]["seq"]);
}

#[test]
fn short_commands_enter_and_leave_by_themselves() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let hears = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    let peers = bob.run(&["peers", "--json"]).code(0).lines();
    assert_eq!(peers.len(), 1);
    assert_eq!(
        (&peers[0]["event"], &peers[0]["peer"]["nick"]),
        (&"peer_up".into(), &"alice".into())
    );
    let table = bob.run(&["peers"]).code(0).out;
    assert!(table.starts_with("NAME") && table.contains("alice"), "{table}");
    let done = bob.run(&["send", "ali", "hello"]).code(0);
    assert!(done.out.contains("confirmed after"), "{done:?}");
    hears.out.event("message", |event| event["text"] == "hello");
    hears.out.event("peer_down", |event| event["reason"] == "exit");
}

#[test]
fn nobody_there_is_exit_code_3() {
    let home = Lan::new().home("alone");
    let done = home.run(&["peers"]).code(3);
    assert!(done.err.contains("nobody found") && done.out.is_empty(), "{done:?}");
    let done = home.run(&["send", "bob", "hello"]).code(3);
    assert!(done.err.contains("no peer called bob; 0 are here (feige peers)"), "{done:?}");
    home.run(&["send", "@all", "hello"]).code(3);
}

#[test]
fn an_ambiguous_name_is_sent_nothing() {
    let lan = Lan::new();
    let homes = [lan.home("bob"), lan.home("bob"), lan.home("bobby")];
    let listeners = homes.each_ref().map(|home| home.start(&["listen", "--json"]));
    let alice = lan.home("alice");
    let node = alice.start(&["listen", "--json"]);
    node.out.wait("three peers", |lines| (lines.len() >= 3).then_some(()));
    let done = alice.run(&["send", "bob", "hello"]).code(3);
    for words in ["2 peers; nothing was sent", "127.8.0.1", "127.8.0.2"] {
        assert!(done.err.contains(words), "{words}: {}", done.err);
    }
    let done = alice.run(&["send", "bobby", "nobody", "--", "hello"]).code(3);
    assert!(done.err.contains("no peer called nobody; 3 are here"), "{}", done.err);
    alice.run(&["send", "bob*", "hello"]).code(3);
    // What was not sent did not come before what was.
    alice.run(&["send", "--yes", "bob*", "all of you"]).code(0);
    for listener in &listeners {
        let first = listener.out.event("message", |_| true);
        assert_eq!(first["text"], "all of you");
    }
}

#[test]
fn a_peer_that_is_gone_does_not_confirm() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let node = alice.start(&["listen", "--json"]);
    let gone = bob.start(&["listen", "--json"]);
    node.out.event("peer_up", |_| true);
    gone.signal(Signal::KILL);
    drop(gone);
    let done = alice.run(&["send", "--timeout", "1s", "bob", "still there?"]).code(1);
    assert!(done.out.contains("not confirmed after"), "{done:?}");
    let done = alice.run(&["send", "--timeout", "1s", "--json", "bob", "hello?"]).code(1);
    let last = done.lines().pop().expect("it ended");
    assert_eq!((&last["event"], &last["outcome"]), (&"failed".into(), &"not_confirmed".into()));
}

#[test]
fn an_address_need_not_be_known_and_need_not_answer() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let _listens = bob.start(&["listen"]);
    alice.run(&["send", &bob.addr.to_string(), "hello"]).code(0);
    let done = alice.run(&["send", "--timeout", "2s", "127.8.0.99", "hello"]).code(1);
    assert!(done.out.contains("127.8.0.99") && done.out.contains("not confirmed"), "{done:?}");
}

#[test]
fn nothing_is_sent_to_ourselves() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let done = alice.run(&["send", &alice.addr.to_string(), "hello"]).code(2);
    assert!(
        done.err.contains("not sent: ") && done.err.contains("is this node itself"),
        "{done:?}"
    );
    // At the same address there may be another one.
    let other = Lan::new().home("other");
    assert_eq!(other.addr, alice.addr);
    let _listens = other.start(&["listen"]);
    until("the other", || other.run(&["node", "status"]).code == Some(0));
    alice.run(&["send", &format!("{}:{}", other.addr, other.port), "hello"]).code(0);
}

#[test]
fn who_is_in_another_group_is_counted() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let _listens = bob.start(&["listen"]);
    until("bob", || alice.run(&["peers"]).code == Some(0));
    let done = alice.run(&["peers", "--group", "财务"]).code(3);
    assert!(done.err.contains("1 is in no group or another"), "{done:?}");
}

#[test]
fn some_confirm_and_some_do_not() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let _listens = bob.start(&["listen"]);
    let done = alice.run(&["send", "--timeout", "1s", "bob", "127.8.0.99", "--", "hello"]).code(1);
    assert!(done.out.contains("bob") && done.out.contains("  confirmed  "), "{done:?}");
    assert!(done.err.contains("1 of 2 confirmed"), "{done:?}");
}

#[test]
fn a_group_is_written_to_by_its_name() {
    let lan = Lan::new();
    let (alice, bob, carol) = (lan.home("alice"), lan.home("bob"), lan.home("carol"));
    let in_group = |home: &TestHome, group: &str| {
        let mut command = home.feige(&["listen", "--json"]);
        command.env("FEIGE_GROUP", group);
        Process::start(command)
    };
    let (bob, carol) = (in_group(&bob, "研发 一组"), in_group(&carol, "sales"));
    let node = alice.start(&["listen", "--json"]);
    node.out.wait("two peers", |lines| (lines.len() >= 2).then_some(()));
    alice.run(&["send", "@研发 一组", "only you"]).code(0);
    alice.run(&["send", "@all", "everybody"]).code(0);
    bob.out.event("message", |event| event["text"] == "only you");
    let first = carol.out.event("message", |_| true);
    assert_eq!(first["text"], "everybody");
    let listed = alice.run(&["peers", "--group", "sales", "--json"]).code(0).lines();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["peer"]["nick"], "carol");
    alice.run(&["peers", "--group", "nobody"]).code(3);
}

#[test]
fn texts_that_cannot_be_sent_are_not_half_sent() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let listens = bob.start(&["listen", "--json"]);
    let node = alice.start(&["listen", "--json"]);
    node.out.event("peer_up", |_| true);
    let long = "好".repeat(12_000);
    let done = alice.run(&["send", "bob", &long]).code(2);
    for words in ["too long for bob (127.8.0.2)", "32767"] {
        assert!(done.err.contains(words), "{words}: {}", done.err);
    }
    let done = alice.run(&["send", "bob", ""]).code(2);
    assert!(done.err.contains("the text is empty"), "{}", done.err);
    let done = alice.run_with(&["send", "bob"], b"").code(2);
    assert!(done.err.contains("the text is empty"), "{}", done.err);
    let done = alice.run_with(&["send", "bob", "-"], b"\xc4\xe3\xba\xc3").code(2);
    assert!(done.err.contains("not UTF-8"), "{}", done.err);
    let done = alice.run(&["broadcast", &"好".repeat(20_000)]).code(2);
    assert!(done.err.contains("too long"), "{}", done.err);
    alice.run_with(&["send", "bob"], "from a pipe\n".as_bytes()).code(0);
    assert_eq!(listens.out.event("message", |_| true)["text"], "from a pipe");
}

#[test]
fn a_broadcast_reaches_everybody_and_promises_nothing() {
    let lan = Lan::new();
    let (alice, bob, carol) = (lan.home("alice"), lan.home("bob"), lan.home("carol"));
    let listeners = [bob.start(&["listen", "--json"]), carol.start(&["listen", "--json"])];
    listeners[0].out.event("peer_up", |_| true);
    let done = alice.run_with(&["broadcast", "-"], "三点开会\n".as_bytes()).code(0);
    assert!(done.out.contains("sent to everybody on"), "{done:?}");
    assert!(done.err.contains("no receipts"), "{done:?}");
    for listener in &listeners {
        let heard = listener.out.event("message", |_| true);
        assert_eq!((&heard["text"], &heard["delivery"]), (&"三点开会".into(), &"broadcast".into()));
    }
    let done = alice.run(&["broadcast", "--json", "again"]).code(0).lines();
    assert_eq!(done.len(), 1);
    assert_eq!((&done[0]["event"], &done[0]["peer"]), (&"message".into(), &Value::Null));
}

#[test]
fn a_message_during_a_short_command_is_kept_confirmed_and_told() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let mut stranger = lan.stranger();
    let mut peers = alice.start(&["peers", "--wait", "3s"]);
    // Its entry.
    stranger.expect(1);
    stranger.send(b"1:100:old:pc:288:are you there?\0", alice.addr);
    assert_eq!(stranger.expect(0x21), "100");
    assert_eq!(peers.exit(), Some(0));
    assert!(peers.err.all().concat().contains("1 message arrived: feige history"));
    let stored = alice.run(&["listen", "--json", "--since", "0", "--count", "1"]).code(0).lines();
    assert_eq!(stored[0]["text"], "are you there?");
    assert_eq!(stored[0]["seq"], 1);
}

#[test]
fn hostile_names_and_texts_reach_no_terminal_raw() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let stranger = lan.stranger();
    let listens = alice.start(&["listen", "--color", "always"]);
    up_by_status(&alice);
    stranger.broadcast(b"1:1:old:pc:1:ev\x1b[31mil\xe2\x80\xae  x\0gr\x07oup\0");
    stranger.send(
        b"1:2:old:pc:32:one\x1b]0;owned\x07\n12:00:00 *  alice left\r\n\xc2\x9bKtwo\0",
        alice.addr,
    );
    listens.out.line("two");
    let shown = listens.out.all().join("\n");
    let own = |text: &str| {
        let mut rest = text.to_owned();
        // Our own colours are the only sequences there may be.
        while let Some(start) = rest.find("\x1b[") {
            let end = rest[start..].find('m').expect("a colour ends") + start;
            let digits = &rest[start + 2..end];
            assert!(digits.chars().all(|c| c.is_ascii_digit() || c == ';'), "{digits:?}");
            rest.replace_range(start..=end, "");
        }
        rest
    };
    let shown = own(&shown);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    assert!(shown.contains("ev␛[31mil<U+202E> x"), "{shown}");
    assert!(!shown.lines().any(|line| line.starts_with("12:00:00")), "{shown}");
    let table = alice.run(&["peers"]).code(0).out;
    assert!(!table.chars().any(|c| c.is_control() && c != '\n'), "{table:?}");
    let whole = alice.run(&["peers", "--json"]).code(0).lines();
    assert!(whole[0]["peer"]["nick"].as_str().is_some_and(|nick| nick.contains('\x1b')));
}

#[test]
fn listening_ends_as_asked() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let mut two = bob.start(&["listen", "--json", "--count", "2"]);
    let node = alice.start(&["listen", "--json"]);
    node.out.event("peer_up", |_| true);
    for text in ["one", "two"] {
        alice.run(&["send", "bob", text]).code(0);
    }
    assert_eq!(two.exit(), Some(0));
    bob.run(&["listen", "--for", "100ms"]).code(0);
}

#[test]
fn filters_let_only_what_is_wanted_through() {
    let lan = Lan::new();
    let (alice, bob, carol) = (lan.home("alice"), lan.home("bob"), lan.home("carol"));
    let node = alice.start(&["node"]);
    up(&alice, &node);
    let from_carol = alice.start(&["listen", "--json", "--from", "carol"]);
    let matching = alice.start(&["listen", "--json", "--match", "^deploy"]);
    let group = alice.start(&["listen", "--json", "--group", "ops"]);
    joined_by(&alice, 3);
    bob.run(&["send", "alice", "deploy by bob"]).code(0);
    for text in ["lunch", "deploy by carol"] {
        carol.run(&["send", "--group", "ops", "alice", text]).code(0);
    }
    let texts = |process: &Process, last: &str| {
        process.out.event("message", |event| event["text"] == last);
        let lines = process.out.all();
        let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let messages = events.filter(|event| event["event"] == "message");
        messages
            .map(|event| event["text"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&from_carol, "deploy by carol"), ["lunch", "deploy by carol"]);
    assert_eq!(texts(&matching, "deploy by carol"), ["deploy by bob", "deploy by carol"]);
    assert_eq!(texts(&group, "deploy by carol"), ["lunch", "deploy by carol"]);
    assert!(!from_carol.out.all().concat().contains("bob"));
    assert!(!matching.out.all().concat().contains("peer_up"));
}

#[test]
fn a_pattern_matches_a_text_as_it_came_and_as_it_is_shown() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let client = lan.stranger();
    for (number, pattern) in [(7, "\u{1f642}$"), (8, "^well /:\\)")] {
        let mut listens = bob.start(&["listen", "--match", pattern, "--count", "1"]);
        listens.err.line("is here, port");
        let packet =
            format!("1_lbt6_0#128#001122334455#0#0#0#4001#9:{number}:zs:PC-1:288:well /:)\0");
        client.send(packet.as_bytes(), bob.addr);
        listens.out.line("well \u{1f642}");
        assert_eq!(listens.exit(), Some(0));
    }
}

#[test]
fn the_stream_is_resumed_from_the_store_without_a_gap() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let _node = bob.start(&["listen", "--json"]);
    let sends = alice.start(&["listen", "--json"]);
    sends.out.event("peer_up", |_| true);
    for text in ["1", "2", "3"] {
        alice.run(&["send", "bob", text]).code(0);
    }
    let resumed = bob.start(&["listen", "--json", "--since", "1"]);
    resumed.out.event("message", |event| event["seq"] == 3);
    for text in ["4", "5"] {
        alice.run(&["send", "bob", text]).code(0);
    }
    resumed.out.event("message", |event| event["text"] == "5");
    let seqs: Vec<_> = resumed
        .out
        .all()
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["seq"].as_u64())
        .collect();
    assert_eq!(seqs, [2, 3, 4, 5]);
}

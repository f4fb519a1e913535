//! What the network says of a message that cannot arrive (ICMP) is a hint, not the end.

use super::lan::up_by_status;
use crate::support::home::Lan;

#[test]
#[cfg(target_os = "linux")]
fn nothing_listens_there_is_said_when_the_time_is_over() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let dead = lan.addr().to_string();
    let done = alice.run(&["send", &dead, "--timeout", "1500ms", "--", "hi"]).code(1);
    let why = format!("; nothing listens on its port {}", lan.port);
    assert!(done.out.contains("not confirmed after") && done.out.contains(&why), "{done:?}");

    let node = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    let done = alice.run(&["send", "--json", &dead, "--timeout", "1500ms", "--", "hi"]).code(1);
    let failed = done.lines().into_iter().find(|line| line["event"] == "failed");
    let failed = failed.expect("it is told");
    assert_eq!(failed["hint"], "port_unreachable");
    assert_eq!(failed["outcome"], "not_confirmed");
    assert!(failed["tries"].as_u64() >= Some(2), "it went on: {failed}");
    drop(node);
    let kept = alice.run(&["history"]).code(0);
    assert!(kept.out.contains("nothing listens on its port"), "{kept:?}");
}

#[test]
fn a_program_that_restarts_gets_its_message() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let addr = lan.addr();
    let to = addr.to_string();
    let mut send = alice.start(&["send", "--json", &to, "--timeout", "20s", "--", "hi"]);
    // Its first datagram left, and came back.
    send.out.event("message", |_| true);
    let mut bob = lan.stranger_at(addr);
    let number = bob.expect_number(0x20);
    bob.send(format!("1:9:bob:pc:33:{number}\0").as_bytes(), alice.addr);
    let receipt = send.out.event("receipt", |_| true);
    assert!(receipt["tries"].as_u64() >= Some(2), "{receipt}");
    assert_eq!(send.exit(), Some(0));
}

#[test]
fn one_who_is_gone_disturbs_nobody_else() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let node = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    let _bob = bob.start(&["listen", "--json"]);
    node.out.event("peer_up", |event| event["peer"]["nick"] == "bob");
    let gone: Vec<String> = (0..50).map(|_| lan.addr().to_string()).collect();
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    let args = [&["send", "--timeout", "15s"], &gone[..], &["--", "anybody?"]].concat();
    let to_gone = alice.start(&args);
    node.out.event("message", |event| event["text"] == "anybody?");
    for round in 0..20 {
        let done = alice.run(&["send", "--json", "bob", &format!("round {round}")]).code(0);
        let receipt = done.lines().into_iter().find(|line| line["event"] == "receipt");
        assert_eq!(receipt.expect("it is confirmed")["tries"], 1, "{done:?}");
    }
    drop(to_gone);
}

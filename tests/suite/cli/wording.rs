//! What errors and tables say: words for people, of what was asked for, and nothing out of hand.

use rustix::process::Signal;

use super::lan::up_by_status;
use crate::support::home::Lan;

#[test]
fn what_cannot_be_is_said_without_escapes_and_by_its_name() {
    let home = Lan::new().home("alice");
    let done = home.run(&["alias", "a\u{1b}b", "127.8.0.9"]).code(2);
    assert!(done.err.contains("'a␛b' cannot be an alias"), "{}", done.err);
    let done = home.run(&["away", "\u{1b}[31m"]).code(2);
    assert!(done.err.contains("this text cannot be the reply: control characters"), "{}", done.err);
    assert!(!done.err.contains("--away-text"), "{}", done.err);
    let done = home.run(&["away", ""]).code(2);
    assert!(done.err.contains("the text is empty\n  nothing was changed\n"), "{}", done.err);
    let done = home.run(&["peers", "--set", "group=ops"]).code(2);
    assert!(done.err.contains("where that is a filter FEIGE_GROUP"), "{}", done.err);
}

#[test]
fn an_empty_who_is_wrong_usage_everywhere() {
    let home = Lan::new().home("alice");
    for args in [
        &["history", "--with"][..],
        &["listen", "--from"],
        &["listen", "--accept"],
        &["files", "--of"],
        &["get", "--from"],
        &["block", "--remove"],
        &["charset"],
        &["knock"],
        &["alias", "x"],
    ] {
        let done = home.run(&[args, &[""]].concat()).code(2);
        assert!(done.err.contains("it names nobody"), "{args:?}: {}", done.err);
    }
}

#[test]
fn namesakes_at_one_address_are_told_apart() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let mut node = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    // Two users of one machine, with one nickname.
    let guest = lan.stranger();
    for user in ["ann", "sam"] {
        guest.send(format!("1:1:{user}:kiosk:1:guest\0").as_bytes(), alice.addr);
        node.out.event("peer_up", |event| event["peer"]["user"] == user);
    }
    node.signal(Signal::INT);
    assert_eq!(node.exit(), Some(130));
    for args in [&["alias", "x", "guest"][..], &["charset", "guest"], &["charset", "guest", "gbk"]]
    {
        let done = alice.run(args).code(3);
        assert!(!done.err.contains("nothing was sent"), "{args:?}: {}", done.err);
        for words in ["ann@kiosk", "sam@kiosk", "write user@host"] {
            assert!(done.err.contains(words), "{args:?}: {}", done.err);
        }
    }
}

#[test]
fn a_group_that_was_not_heard_is_said_to_be_unheard() {
    let alice = Lan::new().home("alice");
    let done = alice.run(&["send", "--feiq-group", "开发群", "收到"]).code(3);
    let words = "no group of FeiQ was heard that is called 开发群";
    assert!(done.err.contains(words) && done.err.contains("--feiq-groups"), "{}", done.err);
}

#[test]
fn long_names_of_a_stranger_leave_tables_and_lines_narrow() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let (json, shown) = (alice.start(&["listen", "--json"]), alice.start(&["listen"]));
    shown.err.line("is here, port");
    let long = "x".repeat(250);
    let entry = format!("1:1:{long}:{long}:1:guest\0{long}\0");
    lan.stranger().send(entry.as_bytes(), alice.addr);
    let peer = &json.out.event("peer_up", |_| true)["peer"];
    assert_eq!((&peer["group"], &peer["user"]), (&long.clone().into(), &long.clone().into()));
    let came = shown.out.line("is here (");
    assert!(came.chars().count() < 100, "{came}");
    for args in [&["peers"][..], &["peers", "--all"], &["peers", "-v"]] {
        let table = alice.run(args).code(0).out;
        assert!(table.lines().all(|line| line.chars().count() < 240), "{args:?}: {table}");
    }
}

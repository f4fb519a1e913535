//! Sealed messages on the command line: closed envelopes, opening them, and hearing of that.

use feige::node::UnixMillis;
use feige::store::{Paths, Store};
use rustix::process::Signal;
use serde_json::Value;

use super::lan::up_by_status;
use crate::json::Page;
use crate::support::home::{Lan, TestHome};
use crate::support::process::Process;

/// Starts a listener that takes what Alice seals, and has her seal it; the seq of the envelope.
fn sealed_to(bob: &TestHome, alice: &TestHome, how: &str) -> (Process, u64) {
    let listens = bob.start(&["listen", "--json"]);
    up_by_status(bob);
    alice.run(&["send", how, &bob.addr.to_string(), "the surprise"]).code(0);
    let closed = listens.out.event("message", |_| true);
    assert_eq!((&closed["closed"], &closed["text"]), (&true.into(), &"".into()), "{closed}");
    let seq = closed["seq"].as_u64().expect("it is stored");
    (listens, seq)
}

#[test]
fn a_sealed_message_is_closed_until_it_is_opened_and_its_sender_hears_of_that() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    for how in ["--sealed", "--lock"] {
        let (mut listens, seq) = sealed_to(&bob, &alice, how);
        let tells = alice.start(&["listen", "--json"]);
        tells.out.event("peer_up", |event| event["peer"]["nick"] == "bob");
        let id = seq.to_string();
        let opened = bob.run(&["history", "--open", &id, "--json"]).code(0).lines().remove(0);
        assert_eq!(
            (&opened["text"], &opened["closed"], &opened["seq"]),
            (&"the surprise".into(), &false.into(), &seq.into())
        );
        assert_eq!(opened["locked"], how == "--lock");
        let read = tells.out.event("read", |_| true);
        assert_eq!((&read["number"], &read["discarded"]), (&opened["number"], &false.into()));
        assert!(read["seq"].is_u64());
        listens.out.event("told", |event| event["told"] == "confirmed");
        // Once more it is just shown.
        let again = bob.run(&["history", "--open", &id]).code(0);
        assert!(again.out.contains("the surprise") && again.out.contains("sealed"), "{again:?}");
        assert!(again.err.is_empty() || !again.err.contains("knows"), "{again:?}");
        listens.signal(Signal::INT);
        listens.exit();
    }
}

#[test]
fn an_envelope_is_still_closed_after_a_restart_and_opened_without_a_node() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let (mut listens, seq) = sealed_to(&bob, &alice, "--sealed");
    listens.signal(Signal::INT);
    listens.exit();
    let replayed = ["listen", "--json", "--since", "0", "--count", "1"];
    let closed = bob.run(&replayed).code(0).lines().remove(0);
    assert_eq!((&closed["closed"], &closed["text"]), (&true.into(), &"".into()));
    let human = bob.run(&["listen", "--since", "0", "--count", "1"]).code(0).out;
    assert!(
        human.contains(&format!("sent a sealed message: feige history --open {seq}")),
        "{human}"
    );
    assert!(!human.contains("surprise"), "{human}");
    let tells = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    // The command is the node, and stays until Alice knows.
    let done = bob.run(&["history", "--open", &seq.to_string()]).code(0);
    assert!(done.out.contains("the surprise"), "{done:?}");
    assert!(done.err.contains("alice knows that you opened it"), "{done:?}");
    tells.out.event("read", |_| true);
    let open = bob.run(&replayed).code(0).lines().remove(0);
    assert_eq!((&open["closed"], &open["text"]), (&false.into(), &"the surprise".into()));
}

#[test]
fn listen_opens_at_once_where_it_is_told_to() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let mut opens =
        bob.start(&["listen", "--json", "--open", "--match", "surprise", "--count", "1"]);
    up_by_status(&bob);
    let tells = alice.start(&["listen", "--json"]);
    tells.out.event("peer_up", |event| event["peer"]["nick"] == "bob");
    alice.run(&["send", "--sealed", "bob", "the surprise"]).code(0);
    let opened = opens.out.event("message", |_| true);
    assert_eq!((&opened["text"], &opened["closed"]), (&"the surprise".into(), &false.into()));
    tells.out.event("read", |_| true);
    assert_eq!(opens.exit(), Some(0));
    let both = bob.run(&["listen", "--open", "--passive"]).code(2);
    assert!(both.err.contains("--passive"), "{both:?}");
}

#[test]
fn without_a_store_an_envelope_is_opened_by_its_number() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let mut stranger = lan.stranger();
    let listens = bob.start(&["listen", "--no-store", "--json"]);
    up_by_status(&bob);
    stranger.send(b"1:1795285250:ann:pc:1049120:the surprise\0", bob.addr);
    let closed = listens.out.event("message", |_| true);
    assert_eq!((&closed["closed"], &closed["seq"]), (&true.into(), &Value::Null));
    let done = bob.run(&["history", "--open", "1795285250"]).code(0);
    assert!(done.out.contains("the surprise"), "{done:?}");
    assert_eq!(stranger.expect(0x30), "1795285250");
}

#[test]
fn an_official_client_is_told_as_it_asked() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let mut stranger = lan.stranger();
    let listens = bob.start(&["listen", "--json"]);
    up_by_status(&bob);
    // Sealed, checked twice over: the receipt comes now, the read notice when it is opened.
    stranger.send(b"1:1795285250:ann:pc:1049376:the surprise\0", bob.addr);
    assert_eq!(stranger.expect(0x21), "1795285250");
    let seq = listens.out.event("message", |_| true)["seq"].to_string();
    bob.run(&["history", "--open", &seq]).code(0);
    let notice = stranger.expect_number(0x30);
    stranger.send(format!("1:1795285251:ann:pc:50:{notice}\0").as_bytes(), bob.addr);
    let told = listens.out.event("told", |_| true);
    assert_eq!((&told["told"], &told["number"]), (&"confirmed".into(), &1_795_285_250_u64.into()));
}

#[test]
fn what_is_not_there_cannot_be_opened() {
    let home = Lan::new().home("bob");
    let done = home.run(&["history", "--open", "7"]).code(2);
    assert!(done.err.contains("not done: there is no message 7"), "{done:?}");
}

#[test]
fn who_read_it_meanwhile_stands_in_the_report_and_when_in_the_history() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let _opens = bob.start(&["listen", "--open"]);
    up_by_status(&bob);
    let node = alice.start(&["listen", "--json"]);
    node.out.event("peer_up", |event| event["peer"]["nick"] == "bob");
    let mut stranger = lan.stranger();
    let to = [bob.addr.to_string(), stranger.addr().to_string()];
    let args = ["send", "--sealed", &to[0], &to[1], "--", "the surprise"];
    let mut send = |json: bool, read: &str| {
        let args: Vec<&str> = json.then_some("--json").into_iter().chain(args).collect();
        let mut send = alice.start(&args);
        let number = stranger.expect_number(0x20);
        // The last receipt comes only when the other one's reading was told.
        send.out.line(read);
        stranger.send(format!("1:77:ann:pc:33:{number}\0").as_bytes(), alice.addr);
        assert_eq!(send.exit(), Some(0));
        (send.out.all(), send.err.all().join("\n"))
    };
    let (rows, talk) = send(false, "  read  ");
    let of_bob: Vec<_> = rows.iter().filter(|row| row.contains("bob")).collect();
    assert!(of_bob.last().is_some_and(|row| row.contains("  read ") && row.contains(" ms")));
    assert!(talk.contains("2 of 2 confirmed, 1 read"), "{talk}");

    let (lines, _) = send(true, "\"read\"");
    let report: Value = serde_json::from_str(lines.last().expect("a line")).expect("JSON");
    let report = report["report"].as_object().expect("the last line is the report");
    Page::read().describes("object", "report", report);
    assert_eq!((&report["confirmed"], &report["read"]), (&2.into(), &1.into()));
    let results = report["results"].as_array().expect("a list");
    let [of_bob, of_ann] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!(of_bob["nick"], "bob");
    assert_eq!((&of_bob["result"], &of_bob["read"]), (&"confirmed".into(), &true.into()));
    assert_eq!(of_bob["reading"]["discarded"], false);
    assert!(of_bob["reading"]["at"].is_string() && of_bob["rtt_ms"].is_number(), "{of_bob}");
    assert_eq!((&of_ann["read"], &of_ann["reading"]), (&false.into(), &Value::Null));

    let past = alice.run(&["history"]).code(0).out;
    assert_eq!(past.matches("opened 20").count(), 2, "{past}");
    assert_eq!(past.matches("not opened so far").count(), 2, "{past}");
    let lines = alice.run(&["history", "--json"]).code(0).lines();
    let read = lines.iter().filter(|line| line["read"]["at"].is_string()).count();
    assert_eq!((lines.len(), read), (4, 2));
}

#[test]
fn a_reading_in_the_place_of_a_receipt_is_reported_without_a_wait() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let mut stranger = lan.stranger();
    let address = stranger.addr().to_string();
    let mut send = alice.start(&["send", "--sealed", &address, "the surprise"]);
    let number = stranger.expect_number(0x20);
    stranger.send(format!("1:77:ann:pc:48:{number}\0").as_bytes(), alice.addr);
    send.out.line("  read, confirmed after ");
    assert_eq!(send.exit(), Some(0));
}

#[test]
fn a_node_that_is_killed_before_its_notice_was_answered_tells_after_the_restart() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let mut ann = lan.stranger();
    let mut node = bob.start(&["listen", "--json"]);
    up_by_status(&bob);
    ann.send(b"1:1795285250:ann:pc:1049376:the surprise\0", bob.addr);
    let seq = node.out.event("message", |_| true)["seq"].to_string();
    bob.run(&["history", "--open", &seq]).code(0);
    let before = ann.expect_number(0x30);
    node.signal(Signal::KILL);
    assert_eq!(node.exit(), None, "killed");

    let mut node = bob.start(&["listen", "--json"]);
    up_by_status(&bob);
    let entry = |number: u64| format!("1:{number}:ann:pc:1:ann\0\0");
    ann.send(entry(1_795_285_260).as_bytes(), bob.addr);
    let notice = loop {
        let number = ann.expect_number(0x30);
        if number != before {
            break number;
        }
    };
    ann.send(format!("1:1795285261:ann:pc:50:{notice}\0").as_bytes(), bob.addr);
    let told = node.out.event("told", |_| true);
    assert_eq!((&told["told"], &told["number"]), (&"confirmed".into(), &1_795_285_250_u64.into()));
    node.signal(Signal::INT);
    node.exit();
    let paths = Paths::all_in(&bob.path("data/feige"));
    let store = Store::open(&paths, UnixMillis(1_795_285_300_000)).expect("it opens").store;
    assert_eq!(store.memory().expect("it reads").untold, [], "and that is on disk");
}

//! `feige send` to many and to those who are away, and `feige outbox`.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::net::UdpSocket;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::lan::up_by_status;
use crate::support::home::{Lan, TestHome};
use crate::support::process::until;

/// Somebody who was here once, and whom alice wrote to.
fn acquainted(alice: &TestHome, bob: &TestHome) {
    let here = bob.start(&["listen", "--json"]);
    up_by_status(bob);
    alice.run(&["send", "bob", "hello"]).code(0);
    here.signal(Signal::INT);
    here.out.wait_for_end();
}

#[test]
fn what_is_kept_outlives_a_killed_node_and_arrives_with_its_time() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let node = alice.start(&["listen", "--json"]);
    acquainted(&alice, &bob);
    node.out.event("peer_down", |_| true);
    alice.run(&["send", "bob", "not there"]).code(3);
    let done = alice.run(&["send", "--json", "--later", "bob", "老王, call me"]).code(1);
    let lines = done.lines();
    assert_eq!((&lines[0]["event"], &lines[1]["event"]), (&"message".into(), &"queued".into()));
    let number = lines[0]["number"].clone();
    node.signal(Signal::KILL);
    drop(node);

    let listed = alice.run(&["outbox", "--json"]).code(0).lines();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["number"], &listed[0]["state"]), (&number, &"queued".into()));
    let table = alice.run(&["outbox"]).code(0).out;
    assert!(table.contains("bob") && table.contains("老王, call me"), "{table}");

    let node = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    let there = bob.start(&["listen", "--json"]);
    let heard = there.out.event("message", |_| true);
    assert_eq!((&heard["text"], &heard["number"]), (&"老王, call me".into(), &number));
    let told = node.out.event("delivered", |_| true);
    assert_eq!(told["number"], number);
    assert!(told["seq"].is_number(), "it is stored");
    let empty = alice.run(&["outbox"]).code(0);
    assert!(empty.out.is_empty() && empty.err.contains("nothing waits"), "{empty:?}");
}

#[test]
fn somebody_who_left_a_moment_ago_is_known_before_the_store_knows_him() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let node = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    let there = bob.start(&["listen", "--json"]);
    node.out.event("peer_up", |event| event["peer"]["nick"] == "bob");
    there.signal(Signal::INT);
    node.out.event("peer_down", |_| true);
    let known = alice.run(&["peers", "--all", "--json"]).code(0).lines();
    assert_eq!((&known[0]["peer"]["nick"], &known[0]["here"]), (&"bob".into(), &false.into()));
    alice.run(&["alias", "boss", "bob"]).code(0);
    let done = alice.run(&["send", "--later", "bob", "call me"]).code(1);
    assert!(done.out.contains("queued"), "{done:?}");
    let table = alice.run(&["outbox"]).code(0).out;
    assert!(table.contains("boss [bob]"), "{table}");
    let printed = alice.run(&["history"]).code(0).out;
    assert!(printed.contains("boss [bob]"), "{printed}");
}

#[test]
fn what_expired_while_no_node_ran_waits_no_more() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let to = format!("127.8.0.99:{}", lan.port);
    let send = |expire: &str| {
        let args = ["send", "--later", "--timeout", "100ms", "--expire", expire, &to, "hello"];
        alice.run(&args).code(1);
    };
    send("8h");
    send("1s");
    until("its end", || alice.run(&["outbox", "--json"]).code(0).lines().len() == 1);
    let node = alice.start(&["listen", "--json"]);
    node.out.event("failed", |event| event["outcome"] == "expired");
}

#[test]
fn a_group_has_its_absent_members_later() {
    let lan = Lan::new();
    let (alice, bob, carol) = (lan.home("alice"), lan.home("bob"), lan.home("carol"));
    bob.run(&["config", "set", "group", "ops team"]).code(0);
    carol.run(&["config", "set", "group", "ops team"]).code(0);
    let node = alice.start(&["listen", "--json"]);
    acquainted(&alice, &bob);
    let _carol = carol.start(&["listen", "--json"]);
    node.out.event("peer_down", |_| true);
    node.out.event("peer_up", |event| event["peer"]["nick"] == "carol");
    let done = alice.run(&["send", "--later", "@\"ops team\"", "meeting"]).code(1);
    assert_eq!(done.out.lines().count(), 2, "{done:?}");
    assert!(done.err.contains("1 of 2 confirmed, 1 queued"), "{done:?}");
    let done = alice.run(&["send", "@ops team", "now"]).code(0);
    assert_eq!(done.out.lines().count(), 1, "{done:?}");
}

#[test]
fn the_outbox_is_changed_with_and_without_a_node() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    acquainted(&alice, &bob);
    for text in ["one", "two", "three"] {
        alice.run(&["send", "--later", "bob", text]).code(1);
    }
    let ids = || -> Vec<String> {
        let lines = alice.run(&["outbox", "--json"]).code(0).lines();
        lines.iter().map(|line| line["number"].to_string()).collect()
    };
    let waiting = ids();
    assert_eq!(waiting.len(), 3);
    let done = alice.run(&["outbox", "cancel", &waiting[0], "12"]).code(3);
    assert!(done.err.contains("no message 12 waits"), "{done:?}");
    assert_eq!(ids(), waiting, "all or none");
    alice.run(&["outbox", "cancel", &waiting[0]]).code(0);
    assert_eq!(ids(), waiting[1..]);
    let node = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    alice.run(&["outbox", "cancel", &waiting[1]]).code(0);
    let told = node.out.event("failed", |_| true);
    assert_eq!(
        (&told["outcome"], told["number"].to_string()),
        (&"cancelled".into(), waiting[1].clone())
    );

    let hears = bob.start(&["listen", "--json"]);
    let done = alice.run(&["outbox", "retry", &waiting[2]]);
    hears.out.event("message", |event| event["text"] == "three");
    // It went out by itself when bob appeared, or now.
    assert!(matches!(done.code, Some(0 | 3)), "{done:?}");
    until("the outbox is empty", || ids().is_empty());
}

#[test]
fn a_command_that_ends_at_once_leaves_what_waits_to_a_node_that_stays() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    acquainted(&alice, &bob);
    for text in ["one", "two", "three"] {
        alice.run(&["send", "--later", "bob", text]).code(1);
    }
    let hears = bob.start(&["listen", "--json"]);
    up_by_status(&bob);
    let here = alice.run(&["peers", "--json"]).code(0).lines();
    assert_eq!(here[0]["peer"]["nick"], "bob", "{here:?}");
    let waiting = alice.run(&["outbox", "--json"]).code(0).lines();
    assert_eq!(waiting.len(), 3, "{waiting:?}");
    let id = |place: usize| waiting[place]["number"].to_string();
    let done = alice.run(&["outbox", "cancel", &id(0)]).code(0);
    assert!(done.err.contains("cancelled for 1 recipient"), "{done:?}");
    alice.run(&["outbox", "cancel", &id(0)]).code(3);
    alice.run(&["--no-store", "outbox", "cancel", &id(1)]).code(2);
    let told = alice.run(&["history", "--json"]).code(0).lines();
    let outcome = |text: &str| told.iter().find(|line| line["text"] == text).unwrap();
    assert_eq!(outcome("one")["receipt"]["outcome"], "cancelled", "{told:?}");
    // What is written now arrives, what waits stays, and what is asked for goes.
    alice.run(&["send", "bob", "now"]).code(0);
    alice.run(&["outbox", "retry", &id(2)]).code(0);
    let _node = alice.start(&["listen", "--json"]);
    hears.out.event("message", |event| event["text"] == "two");
    let lines = hears.out.all();
    let texts = ["one", "two", "three", "now"]
        .map(|text| lines.iter().position(|line| line.contains(&format!("\"text\":\"{text}\""))));
    let [None, Some(two), Some(three), Some(now)] = texts else { panic!("{lines:#?}") };
    assert!(now < three && three < two, "{lines:#?}");
    until("the outbox is empty", || alice.run(&["outbox", "--json"]).code(0).lines().is_empty());
}

#[test]
fn an_interrupted_command_says_that_what_is_kept_stays() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let mut stranger = lan.stranger();
    let to = stranger.addr().to_string();
    let mut send = alice.start(&["send", "--later", "--expire", "8h", &to, "call me"]);
    stranger.expect(0x20);
    send.signal(Signal::INT);
    let told = send.err.line("kept until 20");
    assert_eq!(send.exit(), Some(130));
    let waiting = alice.run(&["outbox", "--json"]).code(0).lines();
    let number = &waiting[0]["number"];
    assert!(told.contains(&format!("`feige outbox cancel {number}` takes it back")), "{told}");
}

#[test]
fn nothing_is_kept_without_a_store_and_expiry_needs_later() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let done = alice.run(&["--no-store", "send", "--later", "127.8.0.99", "x"]).code(2);
    assert!(done.err.contains("keeps nothing on disk"), "{done:?}");
    alice.run(&["send", "--expire", "8h", "127.8.0.99", "x"]).code(2);
    alice.run(&["send", "--later", "--no-receipt", "127.8.0.99", "x"]).code(2);
}

#[test]
fn the_end_of_the_owner_is_told_plainly() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let mut stranger = lan.stranger();
    let node = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    drop(bob);
    let address = stranger.addr().to_string();
    let send = alice.start(&["send", &address, "are you there?"]);
    stranger.expect(0x20);
    node.signal(Signal::KILL);
    send.out.line("not confirmed: the node ended");
    send.err.line("the node ended");
    let talk = send.err.all().join("\n");
    assert!(!talk.contains("feige: feige") && !talk.contains('␊'), "{talk}");
    // The next node of this profile ends it.
    let node = alice.start(&["listen", "--json", "--since", "0"]);
    let told = node.out.event("failed", |_| true);
    assert_eq!((&told["outcome"], &told["tries"]), (&"not_confirmed".into(), &0.into()));
}

const TEAM: usize = 1_000;

/// A thousand scripted clients, each at an address of its own, until this is dropped.
struct Team {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Team {
    fn new(port: u16, node: Ipv4Addr) -> Self {
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                for place in 0..TEAM {
                    let [high, low] = u16::try_from(place + 256).expect("small").to_be_bytes();
                    let addr = (Ipv4Addr::new(127, 8, high, low), port);
                    let socket = UdpSocket::bind(addr).await.expect("the address is free");
                    tokio::spawn(attend(socket, place, (node, port).into()));
                }
                let _ = stopped.await;
            });
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))), "the team fell apart");
    }
}

/// Enters until it is answered, and confirms what it hears.
async fn attend(socket: UdpSocket, name: usize, node: SocketAddr) {
    let mut buffer = [0; 2_048];
    let mut known = false;
    loop {
        if !known {
            let entry = format!("1:{name}:m{name}:pc{name}:1:m{name}\0team\0");
            socket.send_to(entry.as_bytes(), node).await.expect("it can be sent");
        }
        let heard = timeout(Duration::from_secs(6), socket.recv_from(&mut buffer)).await;
        let Ok(Ok((len, from))) = heard else { continue };
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        let word: u32 = fields.get(4).and_then(|word| word.parse().ok()).unwrap_or(0);
        known |= word & 0xff == 3;
        if word & 0xff == 0x20 && word & 0x800 != 0 {
            let receipt = format!("1:9:m{name}:pc{name}:33:{}\0", fields[1]);
            let _ = socket.send_to(receipt.as_bytes(), from).await;
        }
    }
}

#[test]
fn a_thousand_recipients_are_one_command() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let node = alice.start(&["listen", "--json"]);
    up_by_status(&alice);
    let team = Team::new(lan.port, alice.addr);
    node.out.wait("all of them", |lines| (lines.len() >= TEAM).then_some(()));
    let done = alice.run(&["send", "@all", "--", "everybody to the hall"]).code(0);
    assert_eq!(done.out.lines().count(), TEAM);
    assert!(done.out.lines().all(|line| line.contains("  confirmed  ")), "{done:?}");
    assert!(done.err.contains("1000 of 1000 confirmed"), "{}", done.err);
    let done = alice.run(&["send", "--json", "@team", "once more"]).code(0);
    let lines = done.lines();
    let report = &lines.last().expect("there is a last line")["report"];
    assert_eq!((&report["all"], &report["confirmed"]), (&TEAM.into(), &TEAM.into()));
    assert_eq!(lines.len(), 2 * TEAM + 1, "a message and a receipt for each");
    drop(team);
}

#[test]
fn line_ends_are_kept_as_they_are_sent_and_a_nul_is_no_text() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let heard = bob.start(&["listen", "--json"]);
    up_by_status(&bob);
    alice.run_with(&["send", "bob", "-"], b"one\rtwo\r\nthree").code(0);
    let text = "one\ntwo\nthree";
    let message = heard.out.event("message", |event| event["direction"] == "in");
    assert_eq!(message["text"], text);
    let kept = alice.run(&["history", "--json"]).code(0).lines();
    assert_eq!(kept[0]["text"], text, "{kept:?}");
    for args in [
        &["send", "bob", "-"][..],
        &["send", "--sealed", "bob", "-"],
        &["send", "--feiq-group", "1", "-"],
        &["broadcast", "-"],
        &["away", "-"],
    ] {
        let done = alice.run_with(args, b"a\0b").code(2);
        assert!(done.err.contains("the text has a NUL as byte 2"), "{args:?}: {}", done.err);
    }
    assert_eq!(alice.run(&["history", "--json"]).code(0).lines().len(), 1);
}

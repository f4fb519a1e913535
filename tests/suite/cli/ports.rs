//! One port, many commands: joining, taking over, signals, and what stands in the way.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use feige::wire::Charset;
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::lan::{joined_by, up};
use crate::json::Page;
use crate::support::home::{Lan, TestHome};
use crate::support::process::{Process, now, until};

/// How to have two nodes at once: the port belongs to one process, whatever its profile.
const BESIDE: &str = "beside it with --profile NAME --port N, which peers on 2425 do not see";

#[test]
fn a_port_that_another_program_holds_is_named_with_its_holder() {
    let home = Lan::new().home("a");
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    let addr = SocketAddr::from((home.addr, home.port));
    socket.bind(&addr.into()).expect("the port is free");
    let started = now();
    for command in [&["listen"][..], &["peers"], &["send", "bob", "x"], &["node"]] {
        let done = home.run(command).code(4);
        let holder = format!("process {}", std::process::id());
        for words in [&home.port.to_string(), &holder, "--port"] {
            assert!(done.err.contains(words), "{words}: {}", done.err);
        }
        assert_eq!(done.out, "");
    }
    assert!(now() - started < Duration::from_secs(5));
}

#[test]
fn an_address_that_is_not_ours_is_exit_code_4() {
    let home = Lan::new().home("a");
    let done = home.run(&["listen", "--bind", "203.0.113.7"]).code(4);
    assert!(done.err.contains("203.0.113.7"), "{}", done.err);
}

#[test]
fn the_node_says_how_it_is_and_ends_when_asked() {
    let lan = Lan::new();
    let home = lan.home("张三");
    home.run(&["node", "status"]).code(3);
    home.run(&["node", "stop"]).code(3);
    let mut node = home.start(&["node"]);
    up(&home, &node);
    let status = home.run(&["node", "status", "--json"]).code(0).lines().remove(0);
    assert_eq!((&status["v"], &status["reply"]), (&1.into(), &"status".into()));
    assert_eq!((&status["nick"], &status["port"]), (&"张三".into(), &lan.port.into()));
    assert_eq!(status["shell"]["pid"], node.pid().as_raw_nonzero().get());
    let words = home.run(&["node", "status"]).code(0).out;
    assert!(words.contains("张三") && words.contains("feige.db"), "{words}");
    let mut joined = home.start(&["listen"]);
    joined_by(&home, 1);
    home.run(&["node", "stop"]).code(0);
    assert_eq!(node.exit(), Some(0));
    assert_eq!(joined.exit(), Some(0), "who had joined ends too");
}

#[test]
fn a_home_without_shared_memory_works_and_its_node_says_so() {
    let lan = Lan::new();
    let (me, bob) = (lan.home("me"), lan.home("bob"));
    // Where it would be stands something that cannot be opened.
    fs::create_dir_all(me.path("data/feige")).expect("a folder");
    symlink("nowhere", me.path("data/feige/feige.db-shm")).expect("a link");
    let mut node = me.start(&["node"]);
    node.err.line("without shared memory");
    up(&me, &node);
    let notes = |out: &str| out.contains("note ") && out.contains("without shared memory");
    assert!(notes(&me.run(&["node", "status"]).code(0).out));
    let tells = bob.start(&["listen", "--json"]);
    tells.out.event("peer_up", |event| event["peer"]["nick"] == "me");
    bob.run(&["send", "me", "one"]).code(0);
    // Two commands at once, beside the node.
    let mut sends = me.start(&["send", "bob", "two"]);
    let shown = me.run(&["history", "one"]).code(0).out;
    assert!(shown.contains("<  bob             one"), "{shown}");
    assert_eq!(sends.exit(), Some(0));
    node.signal(Signal::KILL);
    node.exit();
    let kept = |home: &TestHome| {
        let lines = home.run(&["history", "--json"]).code(0).lines();
        lines.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kept(&me), ["one", "two"]);

    // On a disk of its own there is nothing to say.
    let ordinary = bob.run(&["node", "status", "--json"]).code(0).lines().remove(0);
    assert_eq!(ordinary["shell"]["store_notes"], Value::Array(Vec::new()));
}

#[test]
fn options_that_would_change_a_running_node_are_wrong_usage() {
    let lan = Lan::new();
    let home = lan.home("a");
    let node = home.start(&["node"]);
    up(&home, &node);
    let other_port = (lan.port - 1).to_string();
    for option in [
        ["--nick", "b"],
        ["--port", &other_port],
        ["--bind", "127.8.0.77"],
        ["--user", "b"],
        ["--host", "b"],
    ] {
        let done = home.run(&[&["peers"], &option[..]].concat()).code(2);
        assert!(done.err.contains(option[0]), "{}", done.err);
        assert!(done.err.contains(BESIDE), "{}", done.err);
    }
    let done = home.run(&["peers", "--alone"]).code(4);
    assert!(done.err.contains(BESIDE), "{}", done.err);
    let done = home.run(&["send", "--group", "b", "127.8.0.9", "x"]).code(2);
    assert!(done.err.contains("--group"), "{}", done.err);
    home.run(&["peers", "--no-store"]).code(2);
    home.run(&["listen", "--passive"]).code(2);
    // What does not differ changes nothing.
    home.run(&["peers", "--nick", "a", "--port", &lan.port.to_string()]).code(3);
}

#[test]
fn alone_never_joins() {
    let lan = Lan::new();
    let home = lan.home("a");
    let node = home.start(&["node"]);
    up(&home, &node);
    let done = home.run(&["peers", "--alone"]).code(4);
    assert!(done.err.contains(&format!("process {}", node.pid().as_raw_nonzero())), "{}", done.err);
    home.run(&["node", "status"]).code(0);
}

#[test]
fn signals_end_with_a_goodbye() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let watches = alice.start(&["listen", "--json"]);
    let count = |lines: &[String], name: &str| {
        let events = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["event"] == name).count()
    };
    let ends = [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 143)];
    for (round, (signal, code)) in (1..).zip(ends) {
        let mut leaves = bob.start(&["listen"]);
        watches.out.wait("bob", |lines| (count(lines, "peer_up") == round).then_some(()));
        leaves.signal(signal);
        assert_eq!(leaves.exit(), Some(code));
        watches.out.wait("goodbye", |lines| (count(lines, "peer_down") == round).then_some(()));
    }
    let all = watches.out.all().concat();
    assert_eq!(all.matches(r#""reason":"exit""#).count(), ends.len());
}

#[test]
fn a_signal_that_comes_while_it_starts_ends_with_a_goodbye_too() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let mut first = bob.start(&["node"]);
    up(&bob, &first);
    first.signal(Signal::TERM);
    first.exit();
    let db = rusqlite::Connection::open(bob.path("data/feige/feige.db")).unwrap();
    // More than once: which of signal and beginning is seen first is open.
    for round in 0..8 {
        let mut stranger = lan.stranger();
        // It waits for the store then, when it has the control socket.
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut leaves = bob.start(&["listen"]);
        until("control socket", || bob.exists("run/feige/control"));
        leaves.signal(Signal::TERM);
        db.execute_batch("COMMIT").unwrap();
        assert_eq!(leaves.exit(), Some(143), "{round}");
        stranger.expect(0x01);
        stranger.expect(0x02);
    }
}

#[test]
fn an_interrupted_send_says_that_it_was_not_confirmed() {
    let lan = Lan::new();
    let alice = lan.home("alice");
    let mut stranger = lan.stranger();
    let mut sends = alice.start(&["send", &stranger.addr().to_string(), "hello"]);
    assert_eq!(stranger.expect(0x20), "hello");
    sends.signal(Signal::INT);
    assert_eq!(sends.exit(), Some(130));
    assert!(sends.err.all().concat().contains("not confirmed"), "{:?}", sends.err.all());
}

#[test]
fn what_was_set_meanwhile_outlives_a_crash_of_the_owner() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let feige = |args: &[&str]| {
        let mut command = bob.feige(args);
        command.env_remove("FEIGE_NICK");
        command
    };
    let owner = Process::start(feige(&["node", "--nick", "bob"]));
    up(&bob, &owner);
    let heir = Process::start(feige(&["listen", "--json", "--nick", "bob"]));
    joined_by(&bob, 1);
    for (key, value) in [("nick", "other"), ("group", "财务"), ("charset", "big5")] {
        let set = feige(&["config", "set", key, value]).output().expect("it runs");
        assert!(set.status.success(), "{set:?}");
    }
    owner.signal(Signal::KILL);
    heir.out.event("notice", |notice| notice["code"] == "took_over");
    let status = bob.run(&["node", "status", "--json"]).code(0).lines().remove(0);
    let words = ["group", "nick"].map(|key| status[key].as_str().unwrap_or_default());
    assert_eq!(words, ["财务", "bob"], "what the command line says wins");
    let (client, text) = (lan.stranger(), "會議改到下午三點");
    let packet = format!("1:2:u:pc:288:{text}\0");
    client.send(&Charset::BIG5.encode(&packet, |c| panic!("{c} is not in Big5")), bob.addr);
    heir.out.event("message", |message| message["text"] == text);
}

#[test]
fn what_cannot_be_read_after_a_crash_stays_as_it_was() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let owner = bob.start(&["node"]);
    up(&bob, &owner);
    bob.run(&["config", "set", "group", "财务"]).code(0);
    let heir = bob.start(&["listen"]);
    joined_by(&bob, 1);
    bob.write("config/feige/config.toml", b"group = [");
    owner.signal(Signal::KILL);
    heir.err.line("what was set before stays in force");
    heir.err.line("took the port over");
}

#[test]
fn a_listener_stays_whatever_it_was_about_when_the_owner_died() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    for moment in 0..16 {
        let owner = bob.start(&["node"]);
        up(&bob, &owner);
        let heir = bob.start(&["listen"]);
        // From before it joins until after its first question was answered.
        thread::sleep(Duration::from_millis(moment));
        owner.signal(Signal::KILL);
        until("a listener that has the port", || {
            let done = bob.run(&["node", "status", "--json"]);
            done.code == Some(0)
                && done.lines()[0]["shell"]["pid"] == heir.pid().as_raw_nonzero().get()
        });
    }
}

#[test]
fn a_listener_ends_with_its_node_whatever_it_was_about() {
    let home = Lan::new().home("bob");
    for moment in (0..16).cycle().take(48) {
        let mut owner = home.start(&["node"]);
        up(&home, &owner);
        let mut joins = home.start(&["listen"]);
        thread::sleep(Duration::from_micros(moment * 1_500));
        let stop = || home.run(&["node", "stop"]).code;
        assert_eq!(stop(), Some(0));
        assert_eq!(owner.exit(), Some(0));
        // Where it came too late to join it is the node now.
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        until("the listener ends", || {
            stop();
            waitid(WaitId::Pid(joins.pid()), how).expect("it is ours").is_some()
        });
        let code = joins.exit();
        assert_eq!(code, Some(0), "after {moment} times 1.5 ms: {:?}", joins.err.all());
    }
}

#[test]
fn a_listener_takes_over_when_the_owner_ends() {
    for signal in [Signal::TERM, Signal::KILL] {
        let lan = Lan::new();
        let (alice, bob) = (lan.home("alice"), lan.home("bob"));
        let mut owner = bob.start(&["listen", "--json"]);
        let watches = alice.start(&["listen", "--json"]);
        watches.out.event("peer_up", |_| true);
        let heirs = [bob.start(&["listen", "--json"]), bob.start(&["listen", "--json"])];
        for heir in &heirs {
            // It has joined when it was told who is there.
            heir.out.event("peer_up", |_| true);
        }
        alice.run(&["send", "bob", "before"]).code(0);
        owner.out.event("message", |_| true);
        owner.signal(signal);
        owner.exit();
        alice.run(&["send", "bob", "after"]).code(0);
        for heir in &heirs {
            heir.out.event("message", |event| event["text"] == "after");
            let seqs: Vec<_> = heir
                .out
                .all()
                .iter()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["seq"].as_u64())
                .collect();
            assert_eq!(seqs, [1, 2], "{signal:?}");
        }
        assert!(!watches.out.all().concat().contains("peer_down"), "no goodbye on the LAN");
    }
}

#[test]
fn a_send_outlives_the_owner_of_its_node() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let mut stranger = lan.stranger();
    let mut owner = bob.start(&["node"]);
    up(&bob, &owner);
    let heir = bob.start(&["listen"]);
    joined_by(&bob, 1);
    let mut sends = bob.start(&["send", &stranger.addr().ip().to_string(), "hello"]);
    stranger.expect(0x20);
    owner.signal(Signal::TERM);
    owner.exit();
    heir.err.line("took the port over");
    // The next owner goes on where the first one stopped.
    let number = stranger.expect_number(0x20);
    stranger.send(format!("1:1:old:pc:33:{number}\0").as_bytes(), bob.addr);
    sends.out.line("confirmed after");
    assert_eq!(sends.exit(), Some(0));
}

#[test]
fn commands_that_begin_at_once_all_know_who_is_there() {
    let lan = Lan::new();
    let (anna, bob) = (lan.home("anna"), lan.home("bob"));
    let node = bob.start(&["node"]);
    up(&bob, &node);
    let commands = [&["send", "bob", "a"][..], &["peers"], &["send", "@all", "b"]];
    let mut all = commands.map(|command| anna.start(command));
    for command in &mut all {
        assert_eq!(command.exit(), Some(0));
    }
}

#[test]
fn a_send_that_joined_another_one_has_its_time() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    let (mut first, mut second) = (lan.stranger(), lan.stranger());
    let mut owner = anna.start(&["send", &first.addr().ip().to_string(), "one"]);
    let number = first.expect_number(0x20);
    let mut guest = anna.start(&["send", &second.addr().ip().to_string(), "two"]);
    let other = second.expect_number(0x20);
    first.send(format!("1:1:old:pc:33:{number}\0").as_bytes(), anna.addr);
    owner.out.line("confirmed after");
    owner.err.line("another command waits for receipts on this port; Ctrl-C ends");
    second.send(format!("1:1:new:pc:33:{other}\0").as_bytes(), anna.addr);
    guest.out.line("confirmed after");
    assert_eq!((guest.exit(), owner.exit()), (Some(0), Some(0)));
}

#[test]
fn who_took_over_says_so() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let mut owner = bob.start(&["node"]);
    up(&bob, &owner);
    let heir = bob.start(&["listen"]);
    heir.err.line("this one is next");
    owner.signal(Signal::TERM);
    owner.exit();
    heir.err.line("took the port over");
    bob.run(&["node", "status"]).code(0);
}

#[test]
fn a_second_node_of_a_profile_ends_at_once_and_the_first_goes_on() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    for first in ["node", "listen"] {
        let mut owner = bob.start(&[first]);
        up(&bob, &owner);
        let started = now();
        let second = bob.run(&["node"]).code(4);
        assert!(now() - started < Duration::from_secs(5));
        let pid = owner.pid().as_raw_nonzero();
        let why = format!("runs already: process {pid} has port {}", bob.port);
        assert!(second.err.contains(&why), "{}", second.err);
        assert!(second.err.contains("`feige node stop` ends it"), "{}", second.err);
        assert!(second.err.contains(BESIDE), "{}", second.err);
        let status = bob.run(&["node", "status", "--json"]).code(0);
        assert_eq!(status.lines()[0]["shell"]["pid"], pid.get());
        owner.signal(Signal::TERM);
        owner.exit();
    }
}

#[test]
fn a_node_waits_for_a_send_that_has_the_port() {
    let lan = Lan::new();
    let bob = lan.home("bob");
    let mut stranger = lan.stranger();
    let mut sends = bob.start(&["send", &stranger.addr().ip().to_string(), "hello"]);
    let number = stranger.expect_number(0x20);
    let mut impatient = bob.start(&["node"]);
    let node = bob.start(&["node"]);
    for waits in [&impatient, &node] {
        waits.err.line(&format!("process {} has port", sends.pid().as_raw_nonzero()));
    }
    impatient.signal(Signal::TERM);
    assert_eq!(impatient.exit(), Some(143));
    stranger.send(format!("1:1:old:pc:33:{number}\0").as_bytes(), bob.addr);
    assert_eq!(sends.exit(), Some(0));
    node.err.line("`feige node stop` ends it");
    let status = bob.run(&["node", "status", "--json"]).code(0);
    assert_eq!(status.lines()[0]["shell"]["pid"], node.pid().as_raw_nonzero().get());
}

#[test]
fn without_a_store_nothing_is_confirmed() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let forgets = bob.start(&["listen", "--json", "--no-store"]);
    let node = alice.start(&["listen", "--json"]);
    node.out.event("peer_up", |_| true);
    alice.run(&["send", "--timeout", "1s", "bob", "hello"]).code(1);
    let heard = forgets.out.event("message", |_| true);
    assert!(heard.get("seq").is_none(), "{heard}");
    assert!(!bob.exists("data/feige/feige.db"));
}

#[test]
fn a_passive_listener_hears_and_is_not_seen() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let hears = bob.start(&["listen", "--json", "--passive"]);
    super::lan::up_by_status(&bob);
    alice.run(&["broadcast", "hello"]).code(0);
    hears.out.event("message", |event| event["text"] == "hello");
    alice.run(&["peers"]).code(3);
    let done = bob.run(&["send", "127.8.0.1", "x"]).code(2);
    assert!(done.err.contains("only listens"), "{}", done.err);
}

#[test]
fn a_new_nickname_is_announced_at_once() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let watches = alice.start(&["listen", "--json"]);
    let mut command = bob.feige(&["node"]);
    command.env_remove("FEIGE_NICK");
    let _node = crate::support::process::Process::start(command);
    watches.out.event("peer_up", |_| true);
    let mut command = bob.feige(&["config", "set", "nick", "罗伯特"]);
    let done = command.env_remove("FEIGE_NICK").output().expect("it runs");
    assert!(done.status.success(), "{done:?}");
    watches.out.event("peer_changed", |event| event["peer"]["nick"] == "罗伯特");
}

#[test]
fn a_closed_pipe_ends_a_listener_with_success() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let mut command = bob.feige(&["listen", "--json", "-q"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    super::lan::up_by_status(&bob);
    alice.run(&["send", "bob", "hello"]).code(0);
    let done = child.wait_with_output().expect("it ends");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(done.stderr.is_empty(), "{done:?}");
}

#[test]
fn a_reader_that_stops_reading_does_not_stop_the_node() {
    let lan = Lan::new();
    let (alice, bob) = (lan.home("alice"), lan.home("bob"));
    let mut command = bob.feige(&["listen", "--json"]);
    // Nobody reads this pipe, which holds 64 KiB.
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    super::lan::up_by_status(&bob);
    let node = alice.start(&["listen", "--json"]);
    node.out.event("peer_up", |_| true);
    let text = "x".repeat(20_000);
    for _ in 0..8 {
        alice.run(&["send", "--timeout", "5s", "bob", &text]).code(0);
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn the_control_socket_speaks_as_described() {
    let lan = Lan::new();
    let home = lan.home("a");
    let node = home.start(&["node"]);
    up(&home, &node);
    let stream = UnixStream::connect(home.path("run/feige/control")).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("it can wait");
    let mut lines = BufReader::new(stream.try_clone().expect("a second end")).lines();
    let mut ask = |line: &str| {
        writeln!(&stream, "{line}").expect("it reads");
        let answer = lines.next().expect("it answers").expect("in time");
        serde_json::from_str::<Value>(&answer).expect("in JSON")
    };
    let hello = ask(r#"{"hello":{"version":"0.0.0","pid":1,"lasting":true}}"#);
    let page = Page::read();
    page.describes("object", "hello", hello["hello"].as_object().expect("an object"));
    let peers = ask(r#"{"ask":{"id":7,"request":{"request":"peers"}}}"#);
    let expected = serde_json::json!({"answer":{"id":7,"reply":{"reply":"peers","peers":[]}}});
    assert_eq!(peers, expected);
    assert_eq!(ask(r#"{"subscribe":{"after":null}}"#), "subscribed");
    let done = ask(r#"{"ask":{"id":8,"request":{"request":"rename","nick":"b","group":""}}}"#);
    assert_eq!(done["answer"]["reply"]["reply"], "done");
}

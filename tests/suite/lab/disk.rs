//! A disk that is full or read-only, under the real program: no receipt for what is not kept, and
//! everybody is told.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::filer::{Filer, flows, put};
use crate::support::home::{Lan, TestHome};
use crate::support::process::{Process, until};
use crate::support::sender::Sender;

/// Runs a test of this binary once more where it may mount what it likes; whether this is that run.
fn in_mounts_of_its_own(test: &str) -> bool {
    if std::env::var_os("LAB_DISK").is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    command.arg(std::env::current_exe().expect("a path"));
    command.args([&format!("lab::disk::{test}"), "--exact", "--ignored", "--nocapture"]);
    let done = command.env("LAB_DISK", "1").output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    print!("{out}");
    assert!(done.status.success(), "{out}{err}");
    false
}

fn mount(args: &[&str]) {
    let done = Command::new("mount").args(args).output().expect("it starts");
    assert!(done.status.success(), "mount {args:?}: {done:?}");
}

/// A home whose messages lie on a disk of 6 MiB.
fn small_disk(home: &TestHome) {
    let data = home.path("data");
    fs::create_dir(&data).expect("a folder can be made");
    mount(&["-t", "tmpfs", "-o", "size=6m,mode=700", "none", data.to_str().expect("text")]);
}

/// Takes all room there is.
fn fill(home: &TestHome) {
    let path = home.path("data/filler");
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    let mut file = file.expect("it can be made");
    let error = io::copy(&mut io::repeat(1), &mut file).expect_err("the disk is small");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
}

/// We write to the sender: a stranger's messages would have to leave more room than this disk has.
fn make_friends(home: &TestHome, sender: &mut Sender) {
    sender.enter();
    let mut writes = home.start(&["send", "sender", "hello"]);
    let mut number = None;
    until("our message", || {
        let heard = sender.hear(Duration::from_millis(20));
        number = heard.into_iter().find(|(command, ..)| *command == 0x20).map(|(_, n, _)| n);
        number.is_some()
    });
    sender.confirm(number.expect("it came"));
    assert_eq!(writes.exit(), Some(0));
}

fn has(listens: &Process, wanted: impl Fn(&Value) -> bool) -> bool {
    let lines = listens.out.all();
    lines.iter().filter_map(|line| serde_json::from_str(line).ok()).any(|event| wanted(&event))
}

fn is_notice(event: &Value, code: &str) -> bool {
    event["event"] == "notice" && event["code"] == code
}

#[test]
#[ignore = "needs root: mounts a small tmpfs"]
fn a_full_disk_withholds_receipts_says_so_and_recovers_by_itself() {
    if !in_mounts_of_its_own("a_full_disk_withholds_receipts_says_so_and_recovers_by_itself") {
        return;
    }
    let lan = Lan::new();
    let home = lan.home("bob");
    let mut sender = lan.sender(&home);
    small_disk(&home);
    let listens = home.start(&["listen", "--json"]);
    listens_is_up(&home);
    make_friends(&home, &mut sender);
    sender.send(1, "while there is room");
    until("its receipt", || {
        !sender.hear(Duration::from_millis(20)).is_empty() || sender.receipts.contains_key(&1)
    });

    fill(&home);
    // What room the log has left is still used; then nothing is kept any more.
    let mut number = 1;
    while !has(&listens, |event| is_notice(event, "store_failed")) {
        number += 1;
        assert!(number < 2_000, "the disk does not fill up");
        sender.send(number, &"x".repeat(2_000));
        let stored = |event: &Value| event["number"] == number;
        until("an end", || {
            sender.hear(Duration::from_millis(1));
            has(&listens, |event| stored(event) || is_notice(event, "store_failed"))
        });
    }
    let notice = listens.out.event("notice", |event| is_notice(event, "store_failed"));
    let text = notice["text"].as_str().expect("text");
    assert!(text.contains("the disk is full") && text.contains("receipts are withheld"), "{text}");
    let late = home.start(&["listen", "--json"]);
    late.out.event("notice", |event| is_notice(event, "store_failed"));
    let status = home.run(&["node", "status"]).code(0);
    assert!(status.out.contains("no receipts"), "{}", status.out);
    let lost: BTreeSet<u64> = (10_001..10_004).collect();
    for number in &lost {
        sender.send(*number, &"y".repeat(2_000));
    }
    let done = home.run(&["broadcast", "no room for this"]).code(5);
    assert!(done.err.contains("not sent: the store takes no messages"), "{}", done.err);
    let done = home.run(&["send", "--timeout", "1s", "sender", "no room for this"]);
    assert_eq!(done.code, Some(5), "{done:?}");
    assert!(done.out.contains("not sent") && done.err.contains("disk is full"), "{done:?}");

    fs::remove_file(home.path("data/filler")).expect("it is there");
    sender.send(20_000, "there is room again");
    listens.out.event("notice", |event| is_notice(event, "store_recovered"));
    until("the receipt", || {
        sender.hear(Duration::from_millis(20));
        sender.receipts.contains_key(&20_000)
    });
    // Commits are in order, so what was sent before would have been confirmed before.
    assert!(lost.iter().all(|number| !sender.receipts.contains_key(number)));
    for number in &lost {
        sender.send(*number, "repeated by its sender");
    }
    until("their receipts", || {
        sender.hear(Duration::from_millis(20));
        lost.iter().all(|number| sender.receipts.contains_key(number))
    });
    drop((listens, late));
    let count = sender.receipts.len().to_string();
    let all = home.run(&["listen", "--json", "--since", "0", "--count", &count]).code(0);
    let numbers: Vec<u64> = all
        .lines()
        .iter()
        .filter(|event| event["direction"] == "in")
        .filter_map(|event| event["number"].as_u64())
        .collect();
    let once: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(once.len(), numbers.len(), "each once");
    assert!(once.iter().eq(sender.receipts.keys()), "what was confirmed is what was kept");
}

fn listens_is_up(home: &TestHome) {
    until("a node", || home.run(&["node", "status"]).code == Some(0));
}

#[test]
#[ignore = "needs root: mounts a folder read-only"]
fn a_read_only_home_ends_with_a_reason_unless_nothing_is_to_be_kept() {
    if !in_mounts_of_its_own("a_read_only_home_ends_with_a_reason_unless_nothing_is_to_be_kept") {
        return;
    }
    let lan = Lan::new();
    let (home, alice) = (lan.home("bob"), lan.home("alice"));
    let there = alice.start(&["listen"]);
    listens_is_up(&alice);
    home.run(&["send", "alice", "while it can be written"]).code(0);
    let data = home.path("data");
    let data = data.to_str().expect("text");
    mount(&["--bind", data, data]);
    mount(&["-o", "remount,bind,ro", data]);
    for command in [&["listen"][..], &["node"], &["peers"]] {
        let done = home.run(command).code(5);
        assert!(done.err.contains("read-only") && done.err.contains("--no-store"), "{}", done.err);
    }
    // What was said before can be read, and who is here be written to.
    let history = home.run(&["history"]).code(0).out;
    assert!(history.contains("while it can be written"), "{history}");
    home.run(&["outbox"]).code(0);
    home.run(&["send", "--no-store", "alice", "hello"]).code(0);
    home.run(&["peers", "--all", "--no-store"]).code(0);
    drop(there);
    home.run(&["peers", "--no-store"]).code(3);
}

#[test]
#[ignore = "needs root: mounts a small tmpfs"]
fn of_a_folder_that_fills_the_disk_nothing_stays_and_it_comes_when_there_is_room() {
    const FILES: usize = 1_000;
    if !in_mounts_of_its_own(
        "of_a_folder_that_fills_the_disk_nothing_stays_and_it_comes_when_there_is_room",
    ) {
        return;
    }
    let lan = Lan::new();
    let (home, peer) = (lan.home("alice"), lan.stranger());
    let into = home.path("in");
    fs::create_dir(&into).expect("a folder can be made");
    // 44 MiB more than what must stay free.
    mount(&["-t", "tmpfs", "-o", "size=300m,mode=700", "none", into.to_str().expect("text")]);
    let node = home.start(&["listen", "--json"]);
    listens_is_up(&home);
    peer.send(b"1:1:bob:pc:1:bob\0", home.addr);
    node.out.event("peer_up", |event| event["peer"]["user"] == "bob");

    let folder = into.clone();
    let _sender = Filer::new(peer.addr(), move |asked, stream| {
        put(stream, b"000b:x:0:2:000f:first:1:1:1");
        if asked.turn == 0 {
            // Begun with room, and then there is none.
            until("a stage", || names(&folder).iter().any(|name| name.starts_with(".feige-")));
            take_all_room(&folder);
        }
        for number in 0..FILES {
            let fields = format!(":{number}:{:x}:1:", 5_000);
            let header = format!("{:04x}{fields}", fields.len() + 4);
            if !flows(stream, &[header.as_bytes(), &[b'x'; 5_000]].concat()) {
                return;
            }
        }
        if asked.turn > 0 {
            put(stream, b"000b:.:0:3:");
        }
    });
    // FILEATTACHOPT, UTF8OPT and SENDMSG.
    let list = b"0:x:0:65a0c3f0:2:\x07";
    let offer = [b"1:1001:bob:pc:10485792:\0", &list[..]].concat();
    peer.send(&offer, home.addr);
    let offer = node.out.event("offer", |event| event["number"] == 1001)["offer"].to_string();
    let get = ["get", &offer, "--json", "-o", into.to_str().expect("text")];
    let done = home.run(&get).code(1);
    let end = done.lines().into_iter().find(|line| line["event"] == "transferred").expect("an end");
    let what = end["problem"]["what"].as_str().expect("text");
    assert!(what.contains("No space left") || what.contains("has got too full"), "{end}");
    assert!(end["problem"]["hint"].as_str().expect("text").starts_with("make room"), "{end}");
    assert_eq!(end["problem"]["side"], "ours", "{end}");
    assert_eq!(names(&into), ["filler"]);

    fs::remove_file(into.join("filler")).expect("it is there");
    home.run(&get).code(0);
    assert_eq!(names(&into), ["x"]);
    assert_eq!(names(&into.join("x")).len(), FILES + 1);
    assert!((0..FILES).all(|n| {
        fs::read(into.join(format!("x/{n}"))).expect("it can be read") == [b'x'; 5_000]
    }));
}

/// Takes all room of a disk at once, sooner than a transfer looks how much there is.
fn take_all_room(folder: &Path) {
    let path = folder.join("filler");
    let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
    let file = file.expect("it can be made");
    let room = rustix::fs::fstatvfs(&file).expect("it can be looked at");
    let bytes = room.f_bavail * room.f_frsize;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).expect("room");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it can be read");
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("it can be read").file_name();
    entries.map(|entry| name(entry).into_string().expect("text")).collect()
}

//! Receivers that mean no good: nothing but the offered bytes leaves, everybody else is served, and
//! memory stays as it was (threats, 27 to 29).

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;

use super::files::{accept, at, with_bob};
use crate::support::fetcher::{Fetcher, Offered, fetch};
use crate::support::home::{Lan, TestHome};
use crate::support::process::Process;
use crate::support::stranger::Stranger;

/// A node that offers `files` to bob.
fn offering(lan: &Lan, home: &TestHome, files: &[&str]) -> (Process, Stranger, Offered) {
    let (node, mut bob) = with_bob(lan, home);
    let args = [&["send", "bob", "--detach", "--file"], files].concat();
    let mut sends = home.start(&args);
    let offered = accept(&mut bob, home);
    assert_eq!(sends.exit(), Some(0));
    (node, bob, offered)
}

/// Memory of a process that is its own, KiB.
fn resident(process: &Process) -> u64 {
    let pid = process.pid().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.expect("Linux tells").trim().trim_end_matches(" kB");
    kib.parse().expect("a number")
}

#[test]
fn only_what_was_offered_leaves_and_only_to_whom() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    anna.write("secret.txt", b"secret");
    anna.write("pics/x", b"x");
    let (node, bob, offered) = offering(&lan, &anna, &["a.txt", "pics"]);
    let (bobs, mallory) = (bob.addr().ip(), IpAddr::from([127, 8, 0, 77]));
    let (n, id) = (offered.number, offered.files[0].id);
    for (from, request) in [
        (mallory, offered.file(0, 0)),
        (mallory, offered.folder(1)),
        (bobs, offered.file(0, 6)),
        (bobs, offered.file(1, 0)),
        (bobs, format!("1:7:bob:pc:96:{:x}:{id:x}:0:\0", n + 1)),
        (bobs, format!("1:7:bob:pc:96:{n:x}:{:x}:0:\0", id + 7)),
        (bobs, format!("1:7:bob:pc:96:{n:x}:{id:x}:ffffffffffffffff:\0")),
        (bobs, format!("1:7:bob:pc:98:{n:x}:{:x}/../secret.txt:\0", id + 1)),
        (bobs, "1:7:bob:pc:96:../secret.txt:0:0:\0".to_owned()),
        (bobs, "GET /secret.txt HTTP/1.1\r\n\r\n".to_owned()),
        (bobs, format!("1:7:bob:pc:32:{}\0", "x".repeat(9_000))),
        (bobs, "1".repeat(10_000)),
    ] {
        assert_eq!(fetch(from, at(&anna), &request), b"", "{from} {request:.60}");
    }
    assert_eq!(fetch(bobs, at(&anna), &offered.file(0, 5)), b"", "nothing is left at its end");
    node.out.event("transferred", |end| end["outcome"] == "done");
    assert_eq!(fetch(bobs, at(&anna), &offered.file(0, 0)), b"", "and then it has been fetched");
    assert!(fetch(bobs, at(&anna), &offered.folder(1)).ends_with(b":"));
}

#[test]
fn a_file_put_in_the_place_of_the_offered_one_never_leaves() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    for name in ["replaced", "swapped", "shrunk", "way/x"] {
        anna.write(name, b"as offered");
    }
    anna.write("folder/kept", b"kept");
    anna.write("secret", b"secret bytes");
    let files = ["replaced", "swapped", "shrunk", "way/x", "folder"];
    let (_node, bob, offered) = offering(&lan, &anna, &files);
    anna.write("new", b"not offered");
    fs::rename(anna.path("new"), anna.path("replaced")).unwrap();
    fs::remove_file(anna.path("swapped")).unwrap();
    symlink(anna.path("secret"), anna.path("swapped")).unwrap();
    anna.write("shrunk", b"short");
    fs::rename(anna.path("way"), anna.path("old way")).unwrap();
    anna.write("elsewhere/x", b"not offered");
    symlink(anna.path("elsewhere"), anna.path("way")).unwrap();
    symlink(anna.path("secret"), anna.path("folder/link")).unwrap();
    symlink(anna.path("elsewhere"), anna.path("folder/folder link")).unwrap();
    let get = |place| fetch(bob.addr().ip(), at(&anna), &offered.file(place, 0));
    // These are held open: what was chosen is served, whatever bears its name by now.
    assert_eq!(get(0), b"as offered");
    assert_eq!(get(1), b"as offered");
    assert_eq!(get(2), b"", "it cannot be served as it was");
    assert_eq!(get(3), b"as offered");
    let stream = fetch(bob.addr().ip(), at(&anna), &offered.folder(4));
    let paths: Vec<_> = crate::support::fetcher::unpack(&stream);
    let paths: Vec<_> = paths.into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["folder/", "folder/kept"]);
}

#[test]
fn links_put_in_the_way_are_not_followed_after_a_restart_either() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("swapped", b"as offered");
    anna.write("way/x", b"as offered");
    anna.write("same", b"as offered");
    let (mut node, bob, offered) = offering(&lan, &anna, &["swapped", "way/x", "same"]);
    node.signal(rustix::process::Signal::KILL);
    node.exit();
    fs::rename(anna.path("swapped"), anna.path("moved")).unwrap();
    symlink(anna.path("moved"), anna.path("swapped")).unwrap();
    fs::rename(anna.path("way"), anna.path("old way")).unwrap();
    symlink(anna.path("old way"), anna.path("way")).unwrap();
    let _node = anna.start(&["listen", "--json"]);
    super::lan::up_by_status(&anna);
    // Swapped while it runs again: looked at when it is asked for.
    let get = |place| fetch(bob.addr().ip(), at(&anna), &offered.file(place, 0));
    assert_eq!((get(0), get(1)), (Vec::new(), Vec::new()));
    fs::rename(anna.path("same"), anna.path("moved too")).unwrap();
    anna.write("same", b"not chosen");
    assert_eq!(get(2), b"");
}

#[test]
fn half_open_slow_and_flooding_connections_delay_nobody() {
    const SIZE: u64 = 64 << 20;
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    anna.write("big", b"");
    let big = fs::OpenOptions::new().write(true).open(anna.path("big")).unwrap();
    big.set_len(SIZE).unwrap();
    let (node, mut bob, offered) = offering(&lan, &anna, &["a.txt", "big"]);
    let before = resident(&node);
    // A reader that takes its bytes in drips holds a thread and nothing more.
    let mut slow = Fetcher::with_window(bob.addr().ip(), at(&anna), Some(4_096));
    slow.say(offered.file(1, 0));
    slow.take(1);
    let half_open: Vec<_> = (0..300_u16)
        .map(|n| {
            let [high, low] = (n + 256).to_be_bytes();
            let mut fetcher = Fetcher::connect([127, 9, high, low].into(), at(&anna));
            fetcher.say(if n % 2 == 0 { "" } else { "1:7:u:h:96:1" });
            fetcher
        })
        .collect();
    assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)), b"hello");
    bob.send(b"1:90:bob:pc:288:still there?\0", anna.addr);
    assert_eq!(bob.expect(0x21), "90", "messages are confirmed meanwhile");
    let used = resident(&node).saturating_sub(before);
    assert!(used < 7 * 1024, "{used} KiB more");
    drop(half_open);
    assert_eq!(slow.drain(), SIZE - 1, "the slow one still gets everything");
    let used = resident(&node).saturating_sub(before);
    assert!(used < 7 * 1024, "{used} KiB more");
    drop(slow);
    node.out.event("transferred", |end| end["name"] == "big" && end["outcome"] == "done");
}

#[test]
fn one_address_cannot_take_all_places() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    let (_node, bob, offered) = offering(&lan, &anna, &["a.txt"]);
    let greedy = Ipv4Addr::new(127, 8, 0, 66).into();
    let mut taken: Vec<_> = (0..8).map(|_| Fetcher::connect(greedy, at(&anna))).collect();
    // The ninth is closed at once.
    assert_eq!(Fetcher::connect(greedy, at(&anna)).rest().0, b"");
    assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)), b"hello");
    // Who says nothing for 5 s is closed.
    assert_eq!(taken.remove(0).rest().0, b"");
}

#[test]
fn a_request_may_come_in_drips() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    let (_node, bob, offered) = offering(&lan, &anna, &["a.txt"]);
    let mut fetcher = Fetcher::connect(bob.addr().ip(), at(&anna));
    let request = offered.file(0, 0);
    // Without its last colon and its NUL: it may be whole, and is taken when nothing follows.
    for byte in request.trim_end_matches('\0').trim_end_matches(':').bytes() {
        fetcher.say([byte]);
    }
    assert_eq!(fetcher.rest().0, b"hello");
}

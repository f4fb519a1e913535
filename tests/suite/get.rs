//! Receiving files, from the datagram that offers them to the file on the disk, against senders
//! that say exactly the bytes a test wants.

mod both;
mod folders;
mod hostile;
mod quirks;
mod resume;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::support::filer::{Asked, Filer, flows, put};
use super::support::home::{Done, Lan, TestHome};
use super::support::process::{Process, until};
use super::support::sender::Sender;
use super::support::stranger::Stranger;

/// A version field of each dialect.
const OFFICIAL: &str = "1";
const FEIQ: &str = "1_lbt6_0#128#0A1B2C3D4E5F#0#0#0#4001#9";
const IPTUX: &str = "1_iptux 0.8.3";

/// `FILEATTACHOPT`, `UTF8OPT` and `SENDMSG`.
const OFFER_UTF8: u32 = 0x20 | 0x0020_0000 | 0x0080_0000;
const OFFER: u32 = 0x20 | 0x0020_0000;

/// A receiver with a node that listens, and a sender without our program.
struct Office {
    home: TestHome,
    node: Process,
    peer: Stranger,
    version: &'static str,
    number: u32,
}

impl Office {
    fn new(version: &'static str) -> Self {
        let lan = Lan::new();
        let (home, peer) = (lan.home("alice"), lan.stranger());
        let node = listen(&home);
        let office = Self { home, node, peer, version, number: 1_000 };
        office.enter();
        office
    }

    fn enter(&self) {
        self.peer.send(format!("{}:1:bob:pc:1:bob\0", self.version).as_bytes(), self.home.addr);
        self.node.out.event("peer_up", |event| event["peer"]["user"] == "bob");
    }

    /// Offers this list, and gives the offer's short number.
    fn offer(&mut self, options: u32, list: &[u8]) -> u64 {
        self.number += 1;
        let number = self.number;
        let mut bytes = format!("{}:{number}:bob:pc:{options}:\0", self.version).into_bytes();
        bytes.extend_from_slice(list);
        self.peer.send(&bytes, self.home.addr);
        let offer = self.node.out.event("offer", |event| event["number"] == number);
        offer["offer"].as_u64().expect("a number")
    }

    fn serve(&self, serve: impl FnMut(&Asked, &mut dyn Write) + Send + 'static) -> Filer {
        Filer::new(self.peer.addr(), serve)
    }

    /// `feige get OFFER ARGS --json` into the folder `in`, to its end.
    fn get(&self, offer: u64, args: &[&str]) -> Done {
        let (offer, folder) = (offer.to_string(), self.folder());
        let folder = folder.to_str().expect("it is UTF-8");
        self.home.run(&[&["get", &offer, "--json", "-o", folder], args].concat())
    }

    fn folder(&self) -> PathBuf {
        self.home.path("in")
    }

    /// What is in the folder: names below it and contents; folders end in `/`.
    fn received(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.folder(), &self.folder(), &mut found);
        found
    }

    #[track_caller]
    fn holds(&self, expected: &[(&str, &[u8])]) {
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        assert_eq!(self.received(), expected);
    }
}

/// Starts a node that listens, and waits until it does.
fn listen(home: &TestHome) -> Process {
    let node = home.start(&["listen", "--json"]);
    until("a node", || home.run(&["node", "status"]).code == Some(0));
    node
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("it can be read").path();
        let name = path.strip_prefix(root).expect("it is below").to_str().expect("it is UTF-8");
        if path.is_dir() {
            found.insert(format!("{name}/"), Vec::new());
            collect(root, &path, found);
        } else {
            found.insert(name.to_owned(), fs::read(&path).expect("it can be read"));
        }
    }
}

/// How the one transfer of a command ended.
#[track_caller]
fn ended(done: &Done) -> Value {
    let ends: Vec<_> =
        done.lines().into_iter().filter(|line| line["event"] == "transferred").collect();
    assert_eq!(ends.len(), 1, "{done:#?}");
    ends[0].clone()
}

/// Bytes that repeat nowhere soon.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// SHA-256 as `sha256sum` prints it.
fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    format!("{:x}", Sha256::digest(bytes))
}

#[test]
fn a_file_is_offered_listed_fetched_and_released() {
    let mut office = Office::new(OFFICIAL);
    let contents = noise(300_000);
    let served = contents.clone();
    let sender = office.serve(move |_, stream| put(stream, &served));
    let list = format!("10:报告.txt:{:x}:65a0c3f0:1:\x07", contents.len());
    let offer = office.offer(OFFER_UTF8, list.as_bytes());
    assert_eq!(offer, 1);
    office.holds(&[]);

    let listed = office.home.run(&["files", "--json"]).code(0).lines();
    assert_eq!(listed[0]["items"][0]["name"], "报告.txt");
    assert_eq!(listed[0]["items"][0]["state"], "waiting");
    let table = office.home.run(&["files"]).code(0).out;
    assert!(table.contains("from bob") && table.contains("292 KiB"), "{table}");

    let end = ended(&office.get(offer, &["--digest"]).code(0));
    assert_eq!(end["outcome"], "done");
    assert_eq!(end["bytes"], 300_000);
    assert_eq!(end["sha256"], sha256(&contents));
    assert_eq!(end["path"], office.folder().join("报告.txt").to_str().unwrap());
    office.holds(&[("报告.txt", &contents)]);

    // The request of the official form: hexadecimal, its UTF8OPT, one NUL.
    let request = sender.asked().concat();
    let fields: Vec<_> = request.splitn(6, ':').collect();
    assert_eq!(fields[4], (0x60 | 0x0080_0000_u32).to_string(), "{request}");
    assert_eq!(fields[5], format!("{:x}:a:0:\0", 1_001), "{request}");
    assert_eq!(office.peer.expect(0x61), "1001", "RELEASEFILES");
    assert_eq!(office.home.run(&["files", "--json"]).code(0).out, "");
    let again = office.get(offer, &[]).code(3);
    assert!(again.err.contains("no such offer"), "{again:?}");
}

#[test]
fn what_is_refused_is_never_fetched_and_its_sender_is_told() {
    let mut office = Office::new(OFFICIAL);
    let _sender = office.serve(|asked, _| panic!("asked for {asked:?}"));
    let offer = office.offer(OFFER_UTF8, b"0:a:5:1:1:\x071:b:5:1:1:\x07");
    let item = format!("{offer}.2");
    office.home.run(&["refuse", &item]).code(0);
    let listed = office.home.run(&["files", "--json"]).lines();
    assert_eq!(listed[0]["items"][1]["state"], "over");
    let done = office.home.run(&["refuse", "--from", "bob", "--json"]).code(0);
    assert_eq!(ended(&done)["outcome"], "refused");
    assert_eq!(office.peer.expect(0x61), "1001");
    office.home.run(&["refuse", "--all"]).code(3);
    office.holds(&[]);
}

#[test]
fn offers_survive_the_end_of_the_node_and_their_numbers_are_used_once() {
    let mut office = Office::new(OFFICIAL);
    let first = office.offer(OFFER_UTF8, b"0:a:5:1:1:\x07");
    office.home.run(&["refuse", &first.to_string()]).code(0);
    let second = office.offer(OFFER_UTF8, b"0:a:5:1:1:\x07");
    assert_eq!((first, second), (1, 2));
    office.node.signal(rustix::process::Signal::KILL);
    assert_eq!(office.node.exit(), None);

    let _sender = office.serve(|_, stream| put(stream, b"hello"));
    let listed = office.home.run(&["files", "--json"]).code(0).lines();
    assert_eq!((listed.len(), &listed[0]["offer"]), (1, &Value::from(2)));
    // A node of its own fetches it.
    let end = ended(&office.get(second, &[]).code(0));
    assert_eq!(end["outcome"], "done");
    office.holds(&[("a", b"hello")]);

    office.node = listen(&office.home);
    assert_eq!(office.offer(OFFER_UTF8, b"0:a:5:1:1:\x07"), 3);
}

#[test]
fn a_repeated_message_offers_once() {
    let mut office = Office::new(OFFICIAL);
    office.offer(OFFER_UTF8, b"0:a:5:1:1:\x07");
    office.number -= 1;
    office.offer(OFFER_UTF8, b"0:a:5:1:1:\x07");
    office.number += 5;
    office.offer(OFFER_UTF8, b"0:b:5:1:1:\x07");
    assert_eq!(office.home.run(&["files", "--json"]).lines().len(), 2);
}

#[test]
fn nobody_but_the_one_who_offered_is_asked() {
    let mut office = Office::new(OFFICIAL);
    let offer = office.offer(OFFER_UTF8, b"0:a:5:1:1:\x07");
    // The address offered from serves nothing: no other place is tried but the protocol's port.
    let end = ended(&office.get(offer, &[]).code(1));
    assert_eq!((&end["outcome"], &end["problem"]["side"]), (&"broken".into(), &"theirs".into()));
    let what = end["problem"]["what"].as_str().unwrap();
    assert!(what.contains("nothing listens on TCP port"), "{what}");
    assert!(what.contains(&office.peer.addr().ip().to_string()), "{what}");
    let listed = office.home.run(&["files", "--json"]).lines();
    assert_eq!(listed[0]["items"][0]["state"], "waiting", "it can be asked for again");
    office.holds(&[]);
}

#[test]
fn names_that_are_taken_get_a_number_and_nothing_is_replaced() {
    let mut office = Office::new(OFFICIAL);
    fs::create_dir(office.folder()).unwrap();
    fs::write(office.folder().join("a.txt"), "mine").unwrap();
    let _sender = office.serve(|_, stream| put(stream, b"hello"));
    let offer = office.offer(OFFER_UTF8, b"0:a.txt:5:1:1:\x07");
    let end = ended(&office.get(offer, &[]).code(0));
    assert_eq!(end["path"], office.folder().join("a (1).txt").to_str().unwrap());
    office.holds(&[("a.txt", b"mine"), ("a (1).txt", b"hello")]);
}

#[test]
fn several_are_fetched_at_once_and_messages_go_on() {
    let mut office = Office::new(OFFICIAL);
    let contents = noise(20_000);
    let served = contents.clone();
    let _sender = office.serve(move |_, stream| put(stream, &served));
    let list: Vec<_> = (0..20).map(|id| format!("{id}:f{id}:4e20:1:1:\x07")).collect();
    let list = list.concat();
    office.offer(OFFER_UTF8, list.as_bytes());
    let folder = office.folder();
    let done = office.home.run(&["get", "--all", "-o", folder.to_str().unwrap()]).code(0);
    assert_eq!(done.out.lines().filter(|line| line.contains("is here")).count(), 20, "{done:?}");
    assert!(done.err.contains("20 of 20 fetched"), "{done:?}");
    let received = office.received();
    assert!(received.len() == 20 && received.values().all(|bytes| *bytes == contents));
}

#[test]
fn a_limit_holds_and_progress_is_told() {
    let mut office = Office::new(OFFICIAL);
    let contents = noise(120_000);
    let served = contents.clone();
    let _sender = office.serve(move |_, stream| put(stream, &served));
    let offer = office.offer(OFFER_UTF8, b"0:a:1d4c0:1:1:\x07");
    let done = office.get(offer, &["--limit", "100K"]).code(0);
    let end = ended(&done);
    assert!(end["seconds"].as_f64().unwrap() >= 1.0, "{end}");
    let progress: Vec<_> =
        done.lines().into_iter().filter(|line| line["event"] == "progress").collect();
    assert!(progress.len() >= 2, "{done:#?}");
    assert!(progress.iter().all(|line| line["of"] == 120_000 && line.get("seq").is_none()));
    // From the first one on the rate is one, and what is left is told by it.
    let rate = |line: &Value| line["rate"].as_u64().unwrap();
    assert!(progress.iter().all(|line| (1..400_000).contains(&rate(line))), "{progress:#?}");
    assert!(progress.iter().all(|line| line["eta"].as_u64() <= Some(120)), "{progress:#?}");
    office.holds(&[("a", &contents)]);
}

/// A file of 2 GiB is offered, and on its way; its offer, and the command that gets it.
const LONG_FILE: &[u8] = b"0:a:7fffffff:1:1:\x07";

fn get_a_long_one(office: &mut Office, list: &[u8]) -> (String, Process) {
    let offer = office.offer(OFFER_UTF8, list).to_string();
    let folder = office.folder();
    let args = ["get", &offer, "--json", "--limit", "1M", "-o", folder.to_str().unwrap()];
    let command = office.home.start(&args);
    command.out.event("progress", |_| true);
    (offer, command)
}

#[test]
fn an_interrupted_command_says_that_the_node_goes_on() {
    let mut office = Office::new(OFFICIAL);
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let _sender = office.serve(move |_, stream| {
        use std::sync::mpsc::TryRecvError::Disconnected;
        while ends.try_recv() != Err(Disconnected) && flows(stream, &[b'x'; 512]) {
            std::thread::yield_now();
        }
    });
    let (offer, mut command) = get_a_long_one(&mut office, LONG_FILE);
    command.signal(rustix::process::Signal::INT);
    assert_eq!(command.exit(), Some(130));
    command.err.line(&format!("the node goes on; `feige refuse {offer}` stops it"));
    let before = office.node.out.all().len();
    let moves = |line: &String| line.contains("\"progress\"");
    office
        .node
        .out
        .wait("more progress", |lines| lines.iter().skip(before).find(|l| moves(l)).cloned());
    office.home.run(&["refuse", &offer]).code(0);
    drop(end);
    office.holds(&[]);
    // One that comes to its end has nothing to say of that.
    let again = office.offer(OFFER_UTF8, b"0:b:0:1:1:\x07");
    let done = office.get(again, &[]).code(0);
    assert!(!done.err.contains("goes on"), "{done:?}");
}

#[test]
fn a_command_whose_node_is_killed_says_that_it_has_to_be_run_again() {
    for (list, head, how) in [
        (LONG_FILE, &b""[..], "goes on where it was"),
        (b"0:x:0:1:2:\x07", b"000b:x:0:2:0012:a:7fffffff:1:", "fetches it anew"),
    ] {
        let mut office = Office::new(OFFICIAL);
        let _sender = office.serve(move |_, stream| {
            let mut flowing = flows(stream, head);
            while flowing {
                std::thread::yield_now();
                flowing = flows(stream, &[b'x'; 512]);
            }
        });
        let (offer, mut command) = get_a_long_one(&mut office, list);
        office.node.signal(rustix::process::Signal::KILL);
        assert_eq!(command.exit(), Some(1));
        command.err.line(&format!("`feige get {offer}` {how}"));
        let said = command.err.all();
        assert!(!said.iter().any(|line| line.contains("the node goes on")), "{said:?}");
    }
}

#[test]
fn an_end_that_was_missed_is_an_end() {
    use rustix::process::Signal;

    let mut office = Office::new(OFFICIAL);
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let sender = office.serve(move |_, stream| {
        let _ = goes.recv();
        put(stream, b"hello");
    });
    let offer = office.offer(OFFER_UTF8, b"0:a:5:1:1:\x07").to_string();
    let folder = office.folder();
    let args = ["get", &offer, "--json", "-o", folder.to_str().unwrap()];
    let mut command = office.home.start(&args);
    until("a request", || !sender.asked().is_empty());
    // It reads nothing of more than all buffers on the way hold together.
    command.signal(Signal::STOP);
    let mut flood = Sender::new(Ipv4Addr::new(127, 8, 0, 50), office.home.addr, office.home.port);
    let text = "x".repeat(20_000);
    for first in (0..800).step_by(16) {
        let numbers = 1_900_000_000 + first..1_900_000_016 + first;
        until("receipts", || {
            for number in numbers.clone().filter(|n| !flood.receipts.contains_key(n)) {
                flood.send(number, &text);
            }
            flood.hear(Duration::from_millis(50));
            numbers.clone().all(|number| flood.receipts.contains_key(&number))
        });
    }
    drop(go);
    office.node.out.event("transferred", |_| true);
    command.signal(Signal::CONT);
    assert_eq!(command.exit(), Some(0));
    command.out.event("lagged", |_| true);
    command.out.event("transferred", |end| end["outcome"] == "done");
    office.holds(&[("a", b"hello")]);
}

#[test]
fn nothing_is_fetched_unasked_but_by_a_rule_within_its_caps() {
    let mut office = Office::new(OFFICIAL);
    office.node.signal(rustix::process::Signal::TERM);
    office.node.exit();
    let rule = format!("peer=bob@pc addr={} max=5 types=txt", office.peer.addr().ip());
    let folder = office.folder();
    let mut command = office.home.feige(&["listen", "--json"]);
    command.env("FEIGE_ACCEPT", rule).env("FEIGE_DOWNLOADS", &folder);
    office.node = Process::start(command);
    until("a node", || office.home.run(&["node", "status"]).code == Some(0));
    office.enter();
    let _sender = office.serve(|_, stream| put(stream, b"hello"));
    office
        .offer(OFFER_UTF8, b"0:a.txt:5:1:1:\x071:b.exe:5:1:1:\x072:c.txt:6:1:1:\x073:d:0:1:2:\x07");
    office.node.out.event("transferred", |end| end["name"] == "a.txt" && end["outcome"] == "done");
    office.holds(&[("a.txt", b"hello")]);
    let listed = office.home.run(&["files", "--json"]).lines();
    let states: Vec<_> = (0..4).map(|at| listed[0]["items"][at]["state"].clone()).collect();
    assert_eq!(states, ["done", "waiting", "waiting", "waiting"]);
}

#[test]
fn who_listens_may_accept_for_as_long_as_it_listens() {
    let mut office = Office::new(OFFICIAL);
    let (addr, folder) = (office.peer.addr().to_string(), office.folder());
    let args = ["listen", "--accept", &addr, "--download", folder.to_str().unwrap()];
    let mut joined = office.home.start(&args);
    // It is on the node's list before it hears events; it says so when it does.
    joined.err.line("this one is next");
    let _sender = office.serve(|_, stream| put(stream, b"hello"));
    office.offer(OFFER_UTF8, b"0:a:5:1:1:\x07");
    office.node.out.event("transferred", |end| end["outcome"] == "done");
    office.holds(&[("a", b"hello")]);
    joined.signal(rustix::process::Signal::TERM);
    joined.exit();
    office.offer(OFFER_UTF8, b"0:b:5:1:1:\x07");
    let listed = office.home.run(&["files", "--json"]).lines();
    assert_eq!(listed[0]["items"][0]["state"], "waiting");
    office.holds(&[("a", b"hello")]);
}

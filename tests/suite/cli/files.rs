//! `feige send --file` and `feige withdraw`, with a receiver that is a script.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::fetcher::{Fetcher, Offered, fetch, unpack};
use crate::support::home::{Lan, TestHome};
use crate::support::process::Process;
use crate::support::stranger::Stranger;

/// Somebody called bob who answers whatever enters, and is known to `home` then.
pub(super) fn bob(lan: &Lan, home: &TestHome) -> Stranger {
    let bob = lan.stranger();
    bob.send(b"1:5:bob:pc:3:bob\0lab\0", home.addr);
    bob
}

/// A node of this home that knows bob.
pub(super) fn with_bob(lan: &Lan, home: &TestHome) -> (Process, Stranger) {
    let node = home.start(&["listen", "--json"]);
    super::lan::up_by_status(home);
    let bob = bob(lan, home);
    node.out.event("peer_up", |event| event["peer"]["nick"] == "bob");
    (node, bob)
}

/// Waits for an offer and confirms it.
pub(super) fn accept(bob: &mut Stranger, home: &TestHome) -> Offered {
    let offered = Offered::read(&bob.expect_datagram(0x20));
    bob.send(format!("1:6:bob:pc:33:{}\0", offered.number).as_bytes(), home.addr);
    offered
}

pub(super) fn at(home: &TestHome) -> (Ipv4Addr, u16) {
    (home.addr, home.port)
}

fn sha256(bytes: &[u8]) -> String {
    let hex = |out: String, byte: &u8| out + &format!("{byte:02x}");
    Sha256::digest(bytes).iter().fold(String::new(), hex)
}

/// Names and outcomes of what was transferred.
fn transferred(lines: &[Value]) -> Vec<(&str, &str)> {
    let ends = lines.iter().filter(|line| line["event"] == "transferred");
    ends.map(|line| (line["name"].as_str().unwrap(), line["outcome"].as_str().unwrap())).collect()
}

#[test]
fn a_file_and_a_folder_are_offered_fetched_and_told_of() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    let big: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    anna.write("报告.bin", &big);
    anna.write("照片/内/a.txt", b"hello");
    anna.write("照片/empty", b"");
    fs::create_dir(anna.path("照片/leer")).unwrap();
    symlink("/etc/passwd", anna.path("照片/link")).unwrap();
    let (_node, mut bob) = with_bob(&lan, &anna);
    let mut sends = anna.start(&[
        "send",
        "--json",
        "bob",
        "--digest",
        "--file",
        "报告.bin",
        "照片/",
        "--",
        "好",
    ]);
    let offered = accept(&mut bob, &anna);
    let sizes: Vec<_> = offered.files.iter().map(|f| (f.name.as_str(), f.size, f.attr)).collect();
    assert_eq!(sizes, [("报告.bin", 1_200_000, 1), ("照片", 5, 2)]);
    sends.out.event("receipt", |_| true);

    assert!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)) == big);
    let stream = fetch(bob.addr().ip(), at(&anna), &offered.folder(1));
    let paths: Vec<_> = unpack(&stream);
    let paths: Vec<_> = paths.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
    let none = &b""[..];
    assert_eq!(
        paths,
        [
            ("照片/", none),
            ("照片/empty", none),
            ("照片/leer/", none),
            ("照片/内/", none),
            ("照片/内/a.txt", b"hello"),
        ]
    );
    assert_eq!(sends.exit(), Some(0));
    let parse = |line: &String| serde_json::from_str(line).expect("it is JSON");
    let lines: Vec<Value> = sends.out.all().iter().map(parse).collect();
    let mut ends = transferred(&lines);
    ends.sort_unstable();
    assert_eq!(ends, [("报告.bin", "done"), ("照片", "done")]);
    let end = |name: &str| {
        let found = lines.iter().find(|l| l["event"] == "transferred" && l["name"] == name);
        found.unwrap().clone()
    };
    let digest = sha256(&big);
    assert_eq!(end("报告.bin")["sha256"], digest);
    assert_eq!(
        (&end("报告.bin")["bytes"], &end("报告.bin")["peer"]["nick"]),
        (&1_200_000.into(), &"bob".into())
    );
    let folder = end("照片");
    assert_eq!(
        (&folder["bytes"], &folder["done"], &folder["skipped"]),
        (&5.into(), &2.into(), &1.into())
    );
    assert!(lines.iter().any(|line| line["event"] == "offer" && line["direction"] == "out"));
    let message = lines.iter().find(|line| line["event"] == "message").unwrap();
    assert_eq!((&message["text"], &message["files"]), (&"好".into(), &2.into()));
}

/// `feige ARGS` in this home for which permissions count as for anybody but root.
fn without_privileges(home: &TestHome, args: &[&str]) -> Command {
    let feige = home.feige(args);
    if !rustix::process::geteuid().is_root() {
        return feige;
    }
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]);
    command.arg(feige.get_program()).args(feige.get_args());
    command.current_dir(home.path("")).env_clear();
    command.envs(feige.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn what_cannot_be_read_in_a_folder_is_told_of() {
    for json in [false, true] {
        let lan = Lan::new();
        let anna = lan.home("anna");
        anna.write("folder/open", b"hi");
        anna.write("folder/closed/in it", b"hello");
        let shut = [anna.write("folder/shut", b"hello"), anna.path("folder/closed")];
        symlink("/etc/passwd", anna.path("folder/link")).unwrap();
        let permit = |mode: u32| {
            for path in &shut {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        };
        permit(0);
        let mut bob = lan.stranger();
        let to = bob.addr().to_string();
        let mut args = vec!["send", &to, "--file", "folder"];
        args.extend(json.then_some("--json"));
        let mut sends = Process::start(without_privileges(&anna, &args));
        bob.expect_datagram(1);
        bob.send(b"1:5:x:pc:3:x\0lab\0", anna.addr);
        let offered = accept(&mut bob, &anna);
        assert_eq!(offered.files[0].size, 2);
        sends.err.line("2 files or folders in folder/ cannot be read and will be missing");
        let stream = fetch(bob.addr().ip(), at(&anna), &offered.folder(0));
        let paths: Vec<_> = unpack(&stream).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["folder/", "folder/open"]);
        if json {
            let end = sends.out.event("transferred", |_| true);
            assert_eq!((&end["outcome"], &end["done"]), (&"done".into(), &1.into()));
            assert_eq!((&end["skipped"], &end["unreadable"]), (&1.into(), &2.into()));
        } else {
            let end = sends.out.line("folder/ was fetched, 1 files, 2 B");
            let words = ", 1 entries passed over (links, devices), 2 could not be read";
            assert!(end.ends_with(words), "{end}");
        }
        assert_eq!(sends.exit(), Some(1));
        permit(0o700);
    }
}

#[test]
fn what_cannot_be_read_counts_also_where_the_node_serves_it() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("folder/open", b"hi");
    let shut = anna.write("folder/shut", b"hello");
    fs::set_permissions(shut, fs::Permissions::from_mode(0o000)).unwrap();
    let (_node, mut bob) = with_bob(&lan, &anna);
    let args = ["send", "bob", "--detach", "--file", "folder"];
    let mut sends = Process::start(without_privileges(&anna, &args));
    accept(&mut bob, &anna);
    sends.err.line("1 file or folder in folder/ cannot be read and will be missing");
    sends.err.line("feige withdraw 1");
    assert_eq!(sends.exit(), Some(1));
}

#[test]
fn words_for_people_say_who_fetched_what_and_who_did_not_want_it() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    let (_node, mut bob) = with_bob(&lan, &anna);
    let mut sends = anna.start(&["send", "bob", "--file", "a.txt"]);
    let offered = accept(&mut bob, &anna);
    sends.err.line("on offer until it is fetched or refused; Ctrl-C takes it back");
    assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)), b"hello");
    sends.out.line("bob  a.txt was fetched, 5 B in ");
    assert_eq!(sends.exit(), Some(0));

    let mut sends = anna.start(&["send", "bob", "--file", "a.txt"]);
    let offered = accept(&mut bob, &anna);
    sends.out.line("confirmed after");
    bob.send(format!("1:8:bob:pc:97:{}\0", offered.number).as_bytes(), anna.addr);
    sends.out.line("bob  a.txt is not wanted");
    assert_eq!(sends.exit(), Some(1));
    assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)), b"");
}

#[test]
fn several_are_served_each_for_himself_without_a_node() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    let (mut one, mut two) = (lan.stranger(), lan.stranger());
    let to = [one.addr().to_string(), two.addr().to_string()];
    let mut sends = anna.start(&["send", &to[0], &to[1], "--file", "a.txt"]);
    for peer in [&mut one, &mut two] {
        peer.expect_datagram(1);
        peer.send(b"1:5:x:pc:3:x\0lab\0", anna.addr);
        let offered = accept(peer, &anna);
        assert_eq!(fetch(peer.addr().ip(), at(&anna), &offered.file(0, 0)), b"hello");
    }
    assert_eq!(sends.exit(), Some(0));
}

#[test]
fn a_broken_transfer_goes_on_from_the_offset() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    let big: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    anna.write("big", &big);
    let (_node, mut bob) = with_bob(&lan, &anna);
    let mut sends = anna.start(&["send", "--json", "bob", "--digest", "--file", "big"]);
    let offered = accept(&mut bob, &anna);
    let mut fetcher = Fetcher::with_window(bob.addr().ip(), at(&anna), Some(4_096));
    fetcher.say(offered.file(0, 0));
    let mut got = fetcher.take(100_000);
    drop(fetcher);
    let broke = sends.out.event("transferred", |end| end["outcome"] == "broken");
    assert_eq!(broke["problem"]["side"], "theirs");
    got.extend(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 100_000)));
    assert!(got == big);
    let end = sends.out.event("transferred", |end| end["outcome"] == "done");
    assert_eq!((&end["bytes"], &end["resumed"]), (&1_900_000.into(), &100_000.into()));
    let digest = sha256(&big);
    assert_eq!(end["sha256"], digest, "of the whole file");
    assert_eq!(sends.exit(), Some(0));
}

#[test]
fn only_what_arrived_is_fetched() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    let big: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
    anna.write("big", &big);
    let (_node, mut bob) = with_bob(&lan, &anna);
    let mut sends = anna.start(&["send", "--json", "bob", "--file", "big"]);
    let offered = accept(&mut bob, &anna);
    // All of it is with the system at once, but the receiver is not, and has closed its side.
    let mut fetcher = Fetcher::with_window(bob.addr().ip(), at(&anna), Some(4_096));
    fetcher.say(offered.file(0, 0));
    fetcher.take(1);
    fetcher.hush();
    drop(fetcher);
    let end = sends.out.event("transferred", |_| true);
    assert_eq!(end["outcome"], "broken", "{end}");
    // One that closes its side and reads on gets everything.
    let mut fetcher = Fetcher::with_window(bob.addr().ip(), at(&anna), Some(4_096));
    fetcher.say(offered.file(0, 0));
    fetcher.hush();
    assert!(fetcher.rest() == (big, true));
    sends.out.event("transferred", |end| end["outcome"] == "done");
    assert_eq!(sends.exit(), Some(0));
}

#[test]
fn a_detached_command_leaves_the_serving_to_the_node_wherever_it_ran() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("deep/er/a.txt", b"hello");
    anna.write("a.txt", b"not this one");
    let (node, mut bob) = with_bob(&lan, &anna);
    let mut command = anna.feige(&["send", "bob", "--detach", "--file", "../er/a.txt"]);
    let mut sends = Process::start({
        command.current_dir(anna.path("deep/er"));
        command
    });
    let offered = accept(&mut bob, &anna);
    sends.err.line("feige withdraw 1");
    assert_eq!(sends.exit(), Some(0));
    assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)), b"hello");
    node.out.event("transferred", |end| end["outcome"] == "done");
}

#[test]
fn a_detached_command_names_only_offers_that_stand() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    let (_node, mut bob) = with_bob(&lan, &anna);
    let carl = format!("127.9.9.9:{}", lan.port);
    let args = ["send", "--timeout", "300ms", "--detach", "--file", "a.txt"];
    let done = anna.run(&[&args[..1], &[carl.as_str()], &args[1..]].concat()).code(1);
    assert!(done.err.contains("nothing is on offer to those who did not confirm"), "{done:?}");
    assert!(!done.err.contains("feige withdraw"), "{done:?}");
    assert!(anna.run(&["files"]).code(0).out.is_empty());

    let mut sends = anna.start(&[&args[..1], &["bob", &carl], &args[1..]].concat());
    accept(&mut bob, &anna);
    sends.err.line("nothing is on offer to those who did not confirm");
    let said = sends.err.line("feige withdraw");
    assert_eq!(sends.exit(), Some(1));
    let named = said.split('`').nth(1).and_then(|command| command.strip_prefix("feige withdraw "));
    anna.run(&["withdraw", named.unwrap_or(&said)]).code(0);
}

#[test]
fn what_is_taken_back_is_served_no_more() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    let (node, mut bob) = with_bob(&lan, &anna);
    let mut sends = anna.start(&["send", "bob", "--detach", "--file", "a.txt"]);
    let offered = accept(&mut bob, &anna);
    assert_eq!(sends.exit(), Some(0));
    let part = anna.run(&["withdraw", "1.1"]).code(2);
    assert!(part.err.contains("an offer is taken back whole"), "{part:?}");
    let name = anna.run(&["withdraw", "a.txt"]).code(2);
    assert!(name.err.contains("a number as in `feige files`"), "{name:?}");
    let wrong = anna.run(&["withdraw", "1", "2"]).code(3);
    assert!(wrong.err.contains("no offer 2 of ours"), "{wrong:?}");
    anna.run(&["withdraw", "1"]).code(0);
    node.out.event("transferred", |end| end["outcome"] == "withdrawn");
    assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)), b"");
}

#[test]
fn the_number_of_an_offer_that_is_over_is_given_to_no_other() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    let (mut node, mut bob) = with_bob(&lan, &anna);
    let files = ["send", "bob", "--detach", "--file", "a.txt"];
    let mut sends = anna.start(&files);
    accept(&mut bob, &anna);
    assert_eq!(sends.exit(), Some(0));
    anna.run(&["withdraw", "1"]).code(0);
    node.signal(Signal::TERM);
    node.exit();
    let node = anna.start(&["listen", "--json"]);
    super::lan::up_by_status(&anna);
    bob.send(b"1:7:bob:pc:3:bob\0lab\0", anna.addr);
    node.out.event("peer_up", |event| event["peer"]["nick"] == "bob");
    let mut sends = anna.start(&files);
    let offer = node.out.event("offer", |offer| offer["direction"] == "out");
    assert_eq!(offer["offer"], 2, "a late `feige withdraw 1` must not take it back");
    accept(&mut bob, &anna);
    assert_eq!(sends.exit(), Some(0));
}

#[test]
fn ctrl_c_takes_an_offer_back() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    let (node, mut bob) = with_bob(&lan, &anna);
    for args in
        [&["send", "bob", "--file", "a.txt"][..], &["send", "--json", "bob", "--file", "a.txt"]]
    {
        let mut sends = anna.start(args);
        let offered = accept(&mut bob, &anna);
        sends.err.line("on offer until");
        sends.signal(Signal::INT);
        let number = |end: &Value| end["number"] == offered.number;
        node.out.event("transferred", |end| number(end) && end["outcome"] == "withdrawn");
        assert_eq!(sends.exit(), Some(130));
        sends.err.line("taken back: what was not fetched is on offer no more");
        let said = sends.err.all();
        assert!(!said.iter().any(|line| line.contains("not confirmed")), "{said:?}");
        assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)), b"");
    }
    // Nobody has confirmed this one.
    let mut sends = anna.start(&["send", "--json", "bob", "--file", "a.txt"]);
    bob.expect_datagram(0x20);
    sends.out.event("message", |_| true);
    sends.signal(Signal::INT);
    assert_eq!(sends.exit(), Some(130));
    sends.err.line("not confirmed: interrupted; what was sent may have arrived");
}

#[test]
fn an_offer_survives_the_nodes_restart_unless_its_file_changed() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    anna.write("b.txt", b"hello");
    let (mut node, mut bob) = with_bob(&lan, &anna);
    let files = ["send", "bob", "--detach", "--file", "a.txt", "b.txt"];
    let mut sends = anna.start(&files);
    let offered = accept(&mut bob, &anna);
    assert_eq!(sends.exit(), Some(0));
    node.signal(Signal::KILL);
    node.exit();
    anna.write("b.txt", b"changed");
    let node = anna.start(&["listen", "--json"]);
    let notice = node.out.event("notice", |event| event["code"] == "offer_changed");
    assert!(notice["text"].as_str().unwrap().contains("b.txt"), "{notice}");
    super::lan::up_by_status(&anna);
    assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)), b"hello");
    assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(1, 0)), b"");
    node.out.event("transferred", |end| end["name"] == "a.txt" && end["outcome"] == "done");
}

#[test]
fn files_for_somebody_who_is_away_are_offered_when_he_comes() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    let (mut node, mut bob) = with_bob(&lan, &anna);
    bob.send(b"1:7:bob:pc:2:bob\0lab\0", anna.addr);
    node.out.event("peer_down", |_| true);
    let to = bob.addr().to_string();
    let send = ["send", "--later", "--timeout", "1s", &to, "--file", "a.txt", "--", "好"];
    let done = anna.run(&send).code(1);
    assert!(done.out.contains("queued"), "{done:?}");
    assert!(done.err.contains("`feige withdraw 1` takes it back"), "{done:?}");
    // He hears what was tried, and is not there.
    let queued = node.out.event("queued", |_| true);
    for _ in 0..queued["tries"].as_u64().unwrap() {
        bob.expect_datagram(0x20);
    }
    let listed = anna.run(&["files", "--json"]).code(0).lines();
    assert_eq!(listed[0]["items"][0]["state"], "waiting");
    node.signal(Signal::KILL);
    node.exit();

    let node = anna.start(&["listen", "--json"]);
    super::lan::up_by_status(&anna);
    bob.send(b"1:8:bob:pc:1:bob\0lab\0", anna.addr);
    let offered = accept(&mut bob, &anna);
    node.out.event("delivered", |event| event["number"] == queued["number"]);
    assert_eq!(offered.files[0].name, "a.txt");
    assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)), b"hello");
    node.out.event("transferred", |end| end["outcome"] == "done");
    assert_eq!(anna.run(&["files", "--json"]).code(0).out, "");
}

#[test]
fn a_limit_is_kept_and_progress_is_told() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.bin", &vec![7; 300_000]);
    let (_node, mut bob) = with_bob(&lan, &anna);
    let mut sends = anna.start(&["send", "--json", "bob", "--limit", "200K", "--file", "a.bin"]);
    let offered = accept(&mut bob, &anna);
    assert_eq!(fetch(bob.addr().ip(), at(&anna), &offered.file(0, 0)).len(), 300_000);
    let end = sends.out.event("transferred", |_| true);
    let seconds = end["seconds"].as_f64().unwrap();
    assert!(seconds > 1.2, "300,000 bytes at 204,800 a second took {seconds} s");
    let progress = sends.out.event("progress", |moving| moving["bytes"].as_u64() > Some(0));
    assert_eq!((&progress["of"], &progress["direction"]), (&300_000.into(), &"out".into()));
    assert!(progress["eta"].is_u64() && progress["rate"].as_u64() < Some(260_000), "{progress}");
    assert_eq!(sends.exit(), Some(0));
}

#[test]
fn what_cannot_be_offered_is_said_before_anything_is_sent() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.txt", b"hello");
    let to = "127.8.0.200";
    let none = anna.run(&["send", to, "--file", "a.txt", "no.txt"]).code(2);
    assert!(none.err.contains("no.txt") && none.err.contains("behind --"), "{none:?}");
    let device = anna.run(&["send", to, "--file", "/dev/null"]).code(2);
    assert!(device.err.contains("neither a file nor a folder"), "{device:?}");
    let alone = anna.run(&["send", to, "--detach", "--file", "a.txt"]).code(2);
    assert!(alone.err.contains("feige node"), "{alone:?}");
    let rate = anna.run(&["send", to, "--limit", "fast", "--file", "a.txt"]).code(2);
    assert!(rate.err.contains("10M"), "{rate:?}");
    anna.run(&["send", to, "--digest", "hello"]).code(2);
}

//! Files from one feige to another: what one sends the other has, byte for byte.

use std::fs;
use std::path::Path;

use super::lan::up_by_status;
use crate::support::home::{Lan, TestHome};
use crate::support::process::Process;

/// Two homes whose nodes know each other: the sender, and the receiver.
fn pair(lan: &Lan) -> (TestHome, Process, TestHome, Process) {
    let (anna, bert) = (lan.home("anna"), lan.home("bert"));
    let sends = anna.start(&["listen", "--json"]);
    up_by_status(&anna);
    let gets = bert.start(&["listen", "--json"]);
    sends.out.event("peer_up", |event| event["peer"]["nick"] == "bert");
    gets.out.event("peer_up", |event| event["peer"]["nick"] == "anna");
    (anna, sends, bert, gets)
}

/// Every path below a folder with what is in it; folders end in `/`.
fn contents(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            let name = path.strip_prefix(root).expect("it is below").to_string_lossy().into_owned();
            if path.is_dir() {
                found.push((name + "/", Vec::new()));
                open.push(path);
            } else {
                found.push((name, fs::read(path).expect("it can be read")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_and_a_tree_of_every_kind_arrive_whole() {
    let lan = Lan::new();
    let (anna, sends, bert, gets) = pair(&lan);
    let big: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
    anna.write("报告: 终稿.bin", &big);
    anna.write("树/co:lon/a::b", b"colons");
    anna.write(&format!("树/{}", "长".repeat(85)), b"255 bytes of name");
    anna.write("树/empty", b"");
    anna.write("树/big", &big);
    fs::create_dir_all(anna.path("树/leer/tief")).unwrap();
    for at in 0..300 {
        anna.write(&format!("树/many/{at}"), format!("{at}").repeat(at).as_bytes());
    }
    let mut sent =
        anna.start(&["send", "bert", "--digest", "--file", "报告: 终稿.bin", "树", "--", "hier"]);
    let offer = gets.out.event("offer", |_| true);
    assert_eq!(offer["items"].as_array().map(Vec::len), Some(2));
    let number = offer["offer"].to_string();
    let folder = bert.path("in");
    fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    let got = bert.run(&["get", &number, "-o", folder, "--digest", "--json"]).code(0).lines();
    let of = |lines: &[serde_json::Value]| {
        let file =
            |line: &&serde_json::Value| line["event"] == "transferred" && line["kind"] == "file";
        lines.iter().find(file).map(|line| line["sha256"].clone())
    };
    let told = sends.out.event("transferred", |end| end["kind"] == "file");
    assert_eq!(of(&got), Some(told["sha256"].clone()), "two people can compare");
    assert!(told["sha256"].is_string(), "{told}");
    assert_eq!(sent.exit(), Some(0));
    sent.out.line("was fetched");
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    let tree = names.iter().find(|path| path.is_dir()).expect("a folder");
    let file = names.iter().find(|path| path.is_file()).expect("a file");
    assert!(fs::read(file).unwrap() == big);
    let (there, here) = (contents(tree), contents(&anna.path("树")));
    assert_eq!(there.len(), here.len());
    // Names are cleaned where they arrive; contents are as they were.
    let bytes = |all: &[(String, Vec<u8>)]| {
        let mut bytes: Vec<_> = all.iter().map(|(_, bytes)| bytes.clone()).collect();
        bytes.sort();
        bytes
    };
    assert!(bytes(&there) == bytes(&here));
}

#[test]
fn what_is_refused_or_taken_back_is_told_on_both_sides() {
    let lan = Lan::new();
    let (anna, sends, bert, gets) = pair(&lan);
    anna.write("a.txt", b"hello");
    let mut sent = anna.start(&["send", "bert", "--file", "a.txt"]);
    let offer = gets.out.event("offer", |_| true)["offer"].clone();
    sent.out.line("confirmed after");
    bert.run(&["refuse", &offer.to_string()]).code(0);
    sends.out.event("transferred", |end| end["outcome"] == "refused");
    assert_eq!(sent.exit(), Some(1));

    let mut sent = anna.start(&["send", "bert", "--detach", "--file", "a.txt"]);
    let offered = gets.out.event("offer", |event| event["offer"] != offer);
    assert_eq!(sent.exit(), Some(0));
    let ours = sends.out.event("offer", |event| event["number"] == offered["number"]);
    let files = anna.run(&["files"]).code(0);
    assert!(files.out.contains("a.txt"), "{files:?}");
    anna.run(&["withdraw", &ours["offer"].to_string()]).code(0);
    let folder = bert.path("in");
    fs::create_dir(&folder).unwrap();
    let got = bert.run(&["get", &offered["offer"].to_string(), "-o", folder.to_str().unwrap()]);
    assert_ne!(got.code, Some(0), "{got:?}");
    assert_eq!(contents(&folder), [], "nothing bears a name");
}

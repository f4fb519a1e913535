//! `feige send --picture` to programs that take no pictures inside messages: each gets it in the form
//! it reads.

use std::fs;
use std::io::Cursor;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use feige::wire::attach::FileEntry;
use image::{ImageFormat, RgbImage};
use rustix::process::Signal;
use serde_json::Value;

use super::files::{at, with_bob};
use crate::support::feiq::pictures::Bitmap;
use crate::support::feiq::program::Program;
use crate::support::feiq::{Feiq, Shown};
use crate::support::fetcher::{Offered, fetch};
use crate::support::home::{Lan, TestHome};
use crate::support::process::Process;
use crate::support::stranger::Stranger;

/// Status of an official client 4.99: it reads clipboard images, among others (wire reference, 4).
const OFFICIAL: u32 = 0x0f64_0000;

pub(super) fn picture(width: u32, height: u32, format: ImageFormat) -> (Bitmap, Vec<u8>) {
    let bitmap = Bitmap::sample(width as usize, height as usize);
    let pixels = RgbImage::from_raw(width, height, bitmap.pixels.concat()).expect("so many bytes");
    let mut file = Cursor::new(Vec::new());
    pixels.write_to(&mut file, format).expect("it is written");
    (bitmap, file.into_inner())
}

/// Somebody of this name and version with this status, known to `node`.
fn enters(
    lan: &Lan,
    home: &TestHome,
    node: &Process,
    (version, nick, status): (&str, &str, u32),
) -> Stranger {
    let stranger = lan.stranger();
    let entry = format!("{version}:5:{nick}:pc-{nick}:{}:{nick}\0\0", status | 3);
    stranger.send(entry.as_bytes(), home.addr);
    node.out.event("peer_up", |event| event["peer"]["nick"] == nick);
    stranger
}

/// Waits for what is offered, and confirms it.
fn confirms(stranger: &mut Stranger, home: &TestHome) -> (Offered, FileEntry) {
    let offered = Offered::read(&stranger.expect_datagram(0x20));
    stranger.send(format!("1:6:x:pc:33:{}\0", offered.number).as_bytes(), home.addr);
    let [file] = &offered.files[..] else { panic!("{offered:?}") };
    let file = file.clone();
    (offered, file)
}

fn takes(stranger: &Stranger, home: &TestHome, offered: &Offered) -> Vec<u8> {
    fetch(stranger.addr().ip(), at(home), &offered.file(0, 0))
}

#[test]
fn everybody_gets_a_picture_in_the_form_his_program_reads_with_one_report() {
    let lan = Lan::new();
    let home = lan.home("alice");
    let node = home.start(&["listen", "--json"]);
    super::lan::up_by_status(&home);
    let feiq = Program::on_loopback(Feiq::new("wang", "080027090401"), lan.addr(), lan.port);
    node.out.event("peer_up", |event| event["peer"]["nick"] == "wang");
    feiq.contact("alice");
    let mut li = enters(&lan, &home, &node, ("1", "li", OFFICIAL));
    let mut zhao = enters(&lan, &home, &node, ("1_iptux 0.8.3", "zhao", 0));
    let mut old = enters(&lan, &home, &node, ("1", "old", 0));
    let (bitmap, png) = picture(90, 70, ImageFormat::Png);
    home.write("截图", &png);
    let mut sends =
        home.start(&["send", "--json", "wang", "li", "zhao", "old", "--picture", "截图"]);

    let (inline, entry) = confirms(&mut li, &home);
    assert_eq!((entry.attr, entry.size), (0x20, png.len() as u64), "a clipboard image");
    assert_eq!(entry.name, format!("ipmsgclip_s_{}_0.png", entry.id));
    assert_eq!(entry.extended, [(8, vec![0])], "its place in the text");
    let (to_zhao, entry) = confirms(&mut zhao, &home);
    assert_eq!((entry.attr, entry.name.as_str()), (1, "截图.png"), "a file of a fitting name");
    let (to_old, entry) = confirms(&mut old, &home);
    assert_eq!((entry.attr, entry.size), (1, png.len() as u64));
    let shown = feiq.wait("a picture", |shown| match shown {
        Shown::Picture { bitmap, .. } => Some(bitmap.clone()),
        Shown::Icon { .. } => panic!("the reference came first"),
        _ => None,
    });
    assert!(shown == bitmap);
    assert!(takes(&li, &home, &inline) == png);
    assert!(takes(&zhao, &home, &to_zhao) == png);
    sends.out.event("transferred", |end| end["peer"]["nick"] == "zhao");
    // One has not fetched it, so the command is still there.
    old.send(format!("1:8:old:pc-old:97:{}\0", to_old.number).as_bytes(), home.addr);
    sends.out.event("transferred", |end| end["outcome"] == "refused");
    assert_eq!(sends.exit(), Some(1), "somebody did not want it");
    let lines = sends.out.all();
    let report: Value = serde_json::from_str(lines.last().expect("a line")).expect("JSON");
    assert_eq!((&report["report"]["all"], &report["report"]["confirmed"]), (&4.into(), &4.into()));
    let number = report["report"]["number"].as_u64();
    for offered in [&inline, &to_zhao, &to_old] {
        assert_eq!(Some(offered.number), number, "one message");
    }
}

#[test]
fn a_pipe_is_offered_under_a_name_and_without_a_node_until_it_is_fetched() {
    let lan = Lan::new();
    let home = lan.home("alice");
    let (_, gif) = picture(30, 20, ImageFormat::Gif);
    let mut bob = lan.stranger();
    let to = bob.addr().to_string();
    let home_at = at(&home);
    let fetched = std::thread::scope(|scope| {
        let receives = scope.spawn(|| {
            bob.expect_datagram(1);
            bob.send(format!("1:5:bob:pc:{}:bob\0\0", OFFICIAL | 3).as_bytes(), home_at.0);
            let offered = Offered::read(&bob.expect_datagram(0x20));
            bob.send(format!("1:6:bob:pc:33:{}\0", offered.number).as_bytes(), home_at.0);
            let bytes = fetch(bob.addr().ip(), home_at, &offered.file(0, 0));
            (offered.files[0].clone(), bytes)
        });
        let done = home.run_with(&["send", &to, "--picture", "-"], &gif).code(0);
        assert!(done.out.contains("picture.gif was fetched"), "{done:?}");
        assert_eq!(copies(&home), 0);
        receives.join().expect("it receives")
    });
    assert!(fetched.1 == gif);
    // Official clients read nothing but PNG from a clipboard.
    assert_eq!((fetched.0.attr, fetched.0.name.as_str()), (1, "picture.gif"));
}

#[test]
fn a_feiq_that_is_met_by_its_address_gets_it_inside_the_message() {
    let lan = Lan::new();
    let home = lan.home("alice");
    let addr = lan.addr();
    // It starts before us, so nobody has told us of it.
    let feiq = Program::on_loopback(Feiq::new("wang", "080027090401"), addr, lan.port);
    let (bitmap, png) = picture(40, 30, ImageFormat::Png);
    home.write("a.png", &png);
    let done = home.run(&["send", &addr.to_string(), "--picture", "a.png"]).code(0);
    assert!(done.out.contains("confirmed after"), "{done:?}");
    let shown = feiq.wait("a picture", |shown| match shown {
        Shown::Picture { bitmap, .. } => Some(bitmap.clone()),
        _ => None,
    });
    assert!(shown == bitmap);
}

#[test]
fn an_offered_picture_is_refused_taken_back_left_to_the_node_and_timed_out_like_a_file() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    let (_, png) = picture(30, 20, ImageFormat::Png);
    anna.write("a.png", &png);
    let (node, mut bob) = with_bob(&lan, &anna);

    let mut sends = anna.start(&["send", "bob", "--picture", "a.png"]);
    let (offered, _) = confirms(&mut bob, &anna);
    sends.err.line("on offer until it is fetched or refused");
    bob.send(format!("1:8:bob:pc:97:{}\0", offered.number).as_bytes(), anna.addr);
    sends.out.line("bob  a.png is not wanted");
    assert_eq!(sends.exit(), Some(1));

    let mut sends = anna.start(&["send", "bob", "--picture", "a.png"]);
    let (offered, _) = confirms(&mut bob, &anna);
    sends.err.line("on offer until");
    sends.signal(Signal::INT);
    assert_eq!(sends.exit(), Some(130));
    assert_eq!(takes(&bob, &anna, &offered), b"", "it was taken back");

    let mut sends = anna.start(&["send", "bob", "--picture", "a.png", "--expire", "300ms"]);
    let (offered, _) = confirms(&mut bob, &anna);
    assert_eq!(sends.exit(), Some(1));
    assert_eq!(takes(&bob, &anna, &offered), b"", "its time is up");

    let mut sends = anna.start(&["send", "bob", "--picture", "a.png", "--detach", "--digest"]);
    let (offered, _) = confirms(&mut bob, &anna);
    assert_eq!(sends.exit(), Some(0));
    assert!(takes(&bob, &anna, &offered) == png);
    let end = node.out.event("transferred", |end| end["outcome"] == "done");
    assert!(end["sha256"].is_string(), "{end}");
}

#[test]
fn what_is_no_picture_goes_to_nobody() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    anna.write("a.png", b"no picture at all");
    let to = Ipv4Addr::new(127, 8, 0, 200).to_string();
    for (args, words) in [
        (&["--picture", "a.png"][..], "a.png is no PNG, JPEG, GIF or BMP"),
        (&["--picture", "none.png"], "cannot read none.png"),
        (&["--picture", "-"], "standard input is empty"),
        (&["--picture", "."], ". is a folder, no picture"),
        (&["--picture", "a.png", "--file", "a.png"], "cannot be used with"),
        (&["--picture", "a.png", "--detach"], "no PNG, JPEG"),
    ] {
        let done = anna.run(&[&["send", &to], args].concat()).code(2);
        assert!(done.err.contains(words), "{done:?}");
    }
    let alone = anna.run(&["send", &to, "--limit", "10M", "text"]).code(2);
    assert!(alone.err.contains("--picture"), "what it needs: {alone:?}");
}

#[test]
fn a_picture_from_a_pipe_survives_the_nodes_restart_until_it_is_fetched() {
    let lan = Lan::new();
    let anna = lan.home("anna");
    let (_, png) = picture(30, 20, ImageFormat::Png);
    let (mut node, mut bob) = with_bob(&lan, &anna);
    let (offered, done) = std::thread::scope(|scope| {
        let sends =
            scope.spawn(|| anna.run_with(&["send", "bob", "--picture", "-", "--detach"], &png));
        let (offered, _) = confirms(&mut bob, &anna);
        (offered, sends.join().expect("it sends"))
    });
    done.code(0);
    node.signal(Signal::KILL);
    node.exit();
    assert_eq!(copies(&anna), 1);
    let mut node = anna.start(&["listen", "--json"]);
    super::lan::up_by_status(&anna);
    assert!(takes(&bob, &anna, &offered) == png);
    node.out.event("transferred", |end| end["outcome"] == "done");
    node.signal(Signal::TERM);
    node.exit();
    assert_eq!(copies(&anna), 0, "nobody can fetch it any more");
}

/// How many copies of what came from a pipe lie in the store.
fn copies(home: &TestHome) -> usize {
    let in_copies = |path: &PathBuf| path.parent().is_some_and(|at| at.ends_with("copies"));
    walk(&home.path("")).iter().filter(|path| in_copies(path)).count()
}

/// Every file below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

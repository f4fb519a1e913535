//! Pictures that become files by themselves, because their user said so.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::feiq::Feiq;
use crate::support::feiq::pictures::{Bitmap, Sent, pack};
use crate::support::feiq::program::Program;
use crate::support::home::{Lan, TestHome};
use crate::support::process::{Process, until};

const STALL: Duration = Duration::from_millis(400);

/// A FeiQ in its place on the LAN.
fn feiq(lan: &Lan, nick: &str, mac: &str) -> (Program, String) {
    let addr = lan.addr();
    (Program::on_loopback(Feiq::new(nick, mac), addr, lan.port), addr.to_string())
}

/// Sends a picture; its short id once it is kept.
fn brings(feiq: &Program, listens: &Process, id: &str, bytes: Vec<u8>) -> String {
    let at = feiq.contact("alice");
    feiq.send_picture(at, &Sent { id: id.to_owned(), bytes, kind: "0|1|0" }, STALL, |_| false);
    let event = listens.out.event("picture", |event| event["picture"] == id);
    format!("p{}", &event["digest"].as_str().expect("a digest")[..8])
}

fn container(width: usize, height: usize) -> Vec<u8> {
    pack(&Bitmap::sample(width, height).dib())
}

fn jpeg() -> Vec<u8> {
    let pixels = image::RgbImage::from_pixel(40, 30, image::Rgb([200, 10, 10]));
    let mut file = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut file).encode_image(&pixels).expect("it is written");
    file
}

/// Names in a folder; none where there is no folder yet.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("it can be read").file_name().into_string().expect("UTF-8")
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

fn written(listens: &Process, short: &str) -> String {
    let notice = listens.out.event("notice", |event| {
        event["code"] == "picture_written" && event["text"].as_str().unwrap().contains(short)
    });
    notice["text"].as_str().expect("a text").to_owned()
}

#[test]
fn a_rule_of_the_settings_makes_files_of_pictures_within_its_caps_and_types() {
    let lan = Lan::new();
    let home = lan.home("alice");
    let (wang, addr) = feiq(&lan, "wang", "080027090401");
    let (li, _) = feiq(&lan, "li", "080027090402");
    let folder = home.path("down");
    let rule = format!("peer=Administrator@PC-0401 addr={addr} max=20K types=png");
    let mut command = home.feige(&["listen", "--json"]);
    command.env("FEIGE_ACCEPT", rule).env("FEIGE_DOWNLOADS", &folder);
    let listens = Process::start(command);
    for nick in ["wang", "li"] {
        listens.out.event("peer_up", |event| event["peer"]["nick"] == nick);
    }
    let small = brings(&wang, &listens, "00000001", container(60, 40));
    let text = written(&listens, &small);
    assert!(text.ends_with(&format!("down/picture-{small}.png")), "{text}");
    let large = brings(&wang, &listens, "00000002", container(400, 300));
    let other = brings(&wang, &listens, "00000003", jpeg());
    let stranger = brings(&li, &listens, "00000004", container(61, 40));
    // What comes after them is written after them.
    let last = brings(&wang, &listens, "00000005", container(62, 40));
    written(&listens, &last);
    let mut expected = [&small, &last].map(|short| format!("picture-{short}.png"));
    expected.sort();
    assert_eq!(names(&folder), expected, "neither {large} nor {other} nor {stranger}");
    let read = image::open(folder.join(format!("picture-{small}.png"))).expect("a picture");
    assert!(read.into_rgb8().into_raw() == Bitmap::sample(60, 40).pixels.concat());
    // They are kept all the same.
    for short in [large, other, stranger] {
        home.run(&["get", &short, "-o", "got"]).code(0);
    }
}

/// A listening command with these options, joined to a node.
fn joins(home: &TestHome, args: &[&str]) -> Process {
    let process = home.start(&[&["listen", "--json"], args].concat());
    until("it joined", || {
        let status = home.run(&["node", "status", "--json"]);
        status.code == Some(0) && status.out.contains("\"clients\":2")
    });
    process
}

#[test]
fn who_listens_may_accept_pictures_for_as_long_as_it_listens() {
    let lan = Lan::new();
    let home = lan.home("alice");
    let node = home.start(&["node"]);
    super::lan::up_by_status(&home);
    let (wang, addr) = feiq(&lan, "wang", "080027090401");
    let (li, _) = feiq(&lan, "li", "080027090402");
    let folder = home.path("in");
    let mut accepts = joins(&home, &["--accept", &addr, "--download", folder.to_str().unwrap()]);
    let stranger = brings(&li, &accepts, "00000001", container(61, 40));
    let short = brings(&wang, &accepts, "00000002", container(60, 40));
    let text = written(&accepts, &short);
    assert!(text.contains("by --accept"), "{text}");
    let name = format!("picture-{short}.png");
    assert_eq!(names(&folder), std::slice::from_ref(&name), "not {stranger}");
    accepts.signal(rustix::process::Signal::TERM);
    accepts.exit();
    // Without --download into the download folder; without --accept nowhere.
    let mut command = home.feige(&["listen", "--accept", &addr]);
    command.env("FEIGE_DOWNLOADS", home.path("down"));
    let mut again = Process::start(command);
    again.err.line("is here");
    brings_without_looking(&wang, "00000003", container(63, 40));
    again.err.line("by --accept: ");
    assert_eq!(names(&home.path("down")).len(), 1);
    again.signal(rustix::process::Signal::TERM);
    again.exit();
    let plain = joins(&home, &[]);
    brings(&wang, &plain, "00000004", container(64, 40));
    assert_eq!((names(&folder), names(&home.path("down")).len()), (vec![name], 1));
    drop(node);
}

/// As [`brings`], with nobody who tells in JSON that it came.
fn brings_without_looking(feiq: &Program, id: &str, bytes: Vec<u8>) {
    let at = feiq.contact("alice");
    feiq.send_picture(at, &Sent { id: id.to_owned(), bytes, kind: "0|1|0" }, STALL, |_| false);
}

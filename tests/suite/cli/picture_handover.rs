//! Pictures on their way while one process takes the port over from another.

use std::fs;
use std::time::Duration;

use image::ImageFormat;
use rustix::process::{Signal, WaitOptions, waitpid};

use super::picture_offers::picture;
use crate::support::feiq::pictures::{Bitmap, Sent, pack};
use crate::support::feiq::program::Program;
use crate::support::feiq::{Feiq, Shown};
use crate::support::home::{Lan, TestHome};
use crate::support::process::Process;

/// A node, a command that takes its port over when it ends, and a FeiQ that knows it.
fn office(lan: &Lan, feiq: Feiq) -> (TestHome, Process, Process, Program) {
    let home = lan.home("alice");
    let owner = home.start(&["node"]);
    super::lan::up_by_status(&home);
    let heir = home.start(&["listen", "--json"]);
    let feiq = Program::on_loopback(feiq, lan.addr(), lan.port);
    heir.out.event("peer_up", |event| event["peer"]["nick"] == "wang");
    (home, owner, heir, feiq)
}

/// Ends the owner in order, and waits for the heir to have its place.
fn ends(mut owner: Process, heir: &Process) {
    owner.signal(Signal::TERM);
    heir.out.event("notice", |event| event["code"] == "took_over");
    assert_eq!(owner.exit(), Some(143));
}

#[test]
fn no_acknowledged_fragment_is_lost_when_the_port_changes_hands() {
    let lan = Lan::new();
    let (home, owner, heir, feiq) = office(&lan, Feiq::new("wang", "080027090401"));
    let at = feiq.contact("alice");
    let bitmap = Bitmap::sample(400, 300);
    let sent = Sent { id: "64ea4edd".into(), bytes: pack(&bitmap.dib()), kind: "0|1|0" };
    let half = sent.count() / 2;
    assert!(half > 50, "{half}");
    let acked = |feiq: &Feiq, of: std::ops::Range<usize>| {
        feiq.missing(at, &sent, of).is_empty().then_some(())
    };
    for index in 1..half {
        feiq.act(|feiq| feiq.fragment(at, &sent, index));
        feiq.until("an acknowledgement", |feiq| acked(feiq, index..index + 1));
    }
    ends(owner, &heir);
    // This FeiQ never repeats what was acknowledged.
    for index in half..=sent.count() {
        feiq.act(|feiq| feiq.fragment(at, &sent, index));
        feiq.until("an acknowledgement", |feiq| acked(feiq, index..index + 1));
    }
    feiq.act(|feiq| feiq.refer(at, &sent.id));
    let event = heir.out.event("picture", |event| event["picture"] == "64ea4edd");
    let id = format!("p{}", &event["digest"].as_str().expect("a digest")[..8]);
    home.run(&["get", &id, "-o", "got"]).code(0);
    let file = fs::read(home.path(&format!("got/picture-{id}.png"))).expect("a file");
    let read = image::load_from_memory_with_format(&file, ImageFormat::Png).expect("a PNG");
    assert!(read.into_rgb8().into_raw() == bitmap.pixels.concat());
}

#[test]
fn a_picture_under_way_while_the_port_changes_hands_arrives() {
    let lan = Lan::new();
    let (home, owner, heir, feiq) = office(&lan, Feiq::new("wang", "080027090401"));
    let at = feiq.contact("alice");
    let bitmap = Bitmap::sample(500, 400);
    let sent = Sent { id: "64ea4edd".into(), bytes: pack(&bitmap.dib()), kind: "0|1|0" };
    std::thread::scope(|scope| {
        scope.spawn(|| feiq.send_picture(at, &sent, Duration::from_millis(400), |_| false));
        feiq.until("some", |feiq| (feiq.album.acks > 40).then_some(()));
        ends(owner, &heir);
    });
    heir.out.event("picture", |event| event["picture"] == "64ea4edd");
    let message = heir.out.event("message", |event| event["direction"] == "in");
    assert_eq!(message["text"], "/~#>64ea4edd<B~");
    drop(home);
}

#[test]
fn a_picture_of_ours_arrives_though_the_port_changes_hands_meanwhile() {
    let lan = Lan::new();
    let mut wang = Feiq::new("wang", "080027090401");
    // So it takes some rounds of a second each.
    wang.album.loses = Some(|index| index % 7 == 0);
    let (home, owner, heir, feiq) = office(&lan, wang);
    let (bitmap, png) = picture(400, 300, ImageFormat::Png);
    home.write("shot.png", &png);
    let mut sends = home.start(&["send", "wang", "--picture", "shot.png"]);
    feiq.until("some", |feiq| (feiq.album.lost.len() > 4).then_some(()));
    ends(owner, &heir);
    let shown = feiq.wait("a picture", |shown| match shown {
        Shown::Picture { bitmap, .. } => Some(bitmap.clone()),
        Shown::Icon { .. } => panic!("the reference came first"),
        _ => None,
    });
    assert!(shown == bitmap);
    sends.out.line("confirmed after");
    assert_eq!(sends.exit(), Some(0));
}

#[test]
fn a_picture_of_ours_has_its_end_though_nobody_takes_the_port() {
    let lan = Lan::new();
    let mut wang = Feiq::new("wang", "080027090401");
    wang.album.loses = Some(|_| true);
    let (home, mut owner, heir, feiq) = office(&lan, wang);
    let (_, png) = picture(400, 300, ImageFormat::Png);
    home.write("shot.png", &png);
    let mut sends = home.start(&["send", "wang", "--picture", "shot.png"]);
    feiq.until("some", |feiq| (feiq.album.lost.len() > 4).then_some(()));
    // It hangs while it should take over.
    heir.signal(Signal::STOP);
    waitpid(Some(heir.pid()), WaitOptions::UNTRACED).expect("it stops");
    owner.signal(Signal::TERM);
    assert_eq!(owner.exit(), Some(143));
    sends.out.line("not confirmed");
    assert_eq!(sends.exit(), Some(1));
    let kept = home.run(&["history", "--json"]).code(0).lines();
    assert_eq!(kept.len(), 1, "{kept:#?}");
    assert_eq!(kept[0]["receipt"]["outcome"], "not_confirmed", "{kept:#?}");
}

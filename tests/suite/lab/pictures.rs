//! Pictures between a FeiQ and us on a real network, with losses.

use std::io::Cursor;
use std::time::Duration;

use image::{ImageFormat, RgbImage};
use tempfile::tempdir;

use super::lan::Lab;
use crate::support::feiq::pictures::{Bitmap, Sent, pack};
use crate::support::feiq::program::Program;
use crate::support::feiq::{Feiq, Shown};

/// What a missing acknowledgement costs this FeiQ. A real one waits about 15 s.
const STALL: Duration = Duration::from_secs(1);

fn one_in_ten(index: usize) -> bool {
    index.wrapping_mul(7_919) % 97 < 10
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn pictures_arrive_whole_both_ways_though_one_fragment_in_ten_is_lost() {
    let lab = Lab::up("2");
    lab.settle("h1", "小飞", "", "");
    let feige = lab.feige("h1", &["listen"]);
    let mut wang = Feiq::new("王小明", "080027090401");
    wang.album.loses = Some(one_in_ten);
    let feiq = Program::in_namespace(wang, &lab.namespace("h2"), feige::node::PORT);
    feige.meets("王小明");
    let at = feiq.contact("小飞");
    let folder = tempdir().expect("a folder");
    let into = folder.path().to_str().expect("UTF-8");

    // 620 KB from FeiQ to us.
    let bitmap = Bitmap::sample(900, 574);
    let sent = Sent { id: "64ea4edd".into(), bytes: pack(&bitmap.dib()), kind: "0|1|0" };
    assert!((600_000..640_000).contains(&sent.bytes.len()), "{}", sent.bytes.len());
    feiq.send_picture(at, &sent, STALL, one_in_ten);
    let event = feige.event("picture", |event| event["picture"] == "64ea4edd");
    let id = format!("p{}", &event["digest"].as_str().expect("a digest")[..8]);
    lab.run("h1", &["get", &id, "-o", into]).succeeds();
    let path = folder.path().join(format!("picture-{id}.png"));
    let read = image::open(&path).expect("a picture").into_rgb8();
    assert!(read.into_raw() == bitmap.pixels.concat());

    // And one of ours to FeiQ.
    let bitmap = Bitmap::sample(300, 200);
    let pixels = RgbImage::from_raw(300, 200, bitmap.pixels.concat()).expect("so many bytes");
    let mut png = Cursor::new(Vec::new());
    pixels.write_to(&mut png, ImageFormat::Png).expect("it is written");
    let path = folder.path().join("shot.png");
    std::fs::write(&path, png.get_ref()).expect("it is written");
    let path = path.to_str().expect("UTF-8");
    lab.run("h1", &["send", "王小明", "--picture", path]).succeeds();
    let shown = feiq.wait("a picture", |shown| match shown {
        Shown::Picture { bitmap, .. } => Some(bitmap.clone()),
        Shown::Icon { .. } => panic!("the reference came first"),
        _ => None,
    });
    assert!(shown == bitmap);
    feiq.until("losses", |feiq| (feiq.album.lost.len() > 10).then_some(()));
}

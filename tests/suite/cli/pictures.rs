//! Pictures between the real program and a FeiQ, over real sockets.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use feige::wire::picture::lzw;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};
use serde_json::Value;

use crate::json::Page;
use crate::support::feiq::pictures::{Bitmap, Sent, pack};
use crate::support::feiq::program::Program;
use crate::support::feiq::{Feiq, Shown};
use crate::support::home::{Lan, TestHome};
use crate::support::process::{Process, until};

/// What a missing acknowledgement costs this FeiQ; 15 s would be tried in vain.
const STALL: Duration = Duration::from_millis(400);

/// One fragment in ten is lost, not always the same place of a window.
fn one_in_ten(index: usize) -> bool {
    index.wrapping_mul(7_919) % 97 < 10
}

/// A listening feige and a FeiQ who know each other; where the feige is.
fn office(lan: &Lan, feiq: Feiq) -> (TestHome, Process, Program, std::net::SocketAddr) {
    let home = lan.home("alice");
    let listens = home.start(&["listen", "--json"]);
    super::lan::up_by_status(&home);
    let nick = feiq.nick.clone();
    let addr = lan.home("feiq").addr;
    let feiq = Program::on_loopback(feiq, addr, lan.port);
    listens.out.event("peer_up", |event| event["peer"]["nick"] == *nick);
    let at = feiq.contact("alice");
    (home, listens, feiq, at)
}

fn sample(width: u32, height: u32) -> (Bitmap, RgbImage) {
    let bitmap = Bitmap::sample(width as usize, height as usize);
    let pixels = bitmap.pixels.concat();
    (bitmap, RgbImage::from_raw(width, height, pixels).expect("so many bytes"))
}

/// A JPEG file of about 620 KB.
fn jpeg() -> Vec<u8> {
    let mut noise = 7_u32;
    let pixels = RgbImage::from_fn(860, 576, |x, y| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let rough = (noise >> 26) as u8;
        let low = |value: u32| value.to_le_bytes()[0];
        image::Rgb([low(x / 4) ^ rough, low(y / 3) ^ rough, rough])
    });
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 95).encode_image(&pixels).expect("it is written");
    assert!((560_000..680_000).contains(&file.len()), "{}", file.len());
    file
}

/// What is kept of the picture of this event, as a file.
fn kept(home: &TestHome, event: &Value) -> Vec<u8> {
    let id = format!("p{}", &event["digest"].as_str().expect("a digest")[..8]);
    let done = home.run(&["get", &id, "-o", "got", "--json"]).code(0);
    let line = done.lines().remove(0);
    let Value::Object(object) = &line else { panic!("{line}") };
    Page::read().describes("object", "picture", object);
    fs::read(line["path"].as_str().expect("a path")).expect("a file")
}

#[test]
fn a_picture_of_620_kb_arrives_whole_though_one_fragment_in_ten_is_lost() {
    let lan = Lan::new();
    let (home, listens, feiq, at) = office(&lan, Feiq::new("wang", "080027090401"));
    let sent = Sent { id: "64ea4edd".into(), bytes: jpeg(), kind: "0|2|0" };
    feiq.send_picture(at, &sent, STALL, one_in_ten);
    let event = listens.out.event("picture", |_| true);
    assert_eq!((&event["picture"], &event["format"]), (&"64ea4edd".into(), &"jpeg".into()));
    assert_eq!((&event["width"], &event["height"]), (&860.into(), &576.into()));
    assert_eq!(
        (&event["size"], &event["peer"]["nick"]),
        (&sent.bytes.len().into(), &"wang".into())
    );
    let message = listens.out.event("message", |event| event["direction"] == "in");
    assert_eq!(message["text"], "/~#>64ea4edd<B~");
    assert!(kept(&home, &event) == sent.bytes, "byte for byte");
    let acks = feiq.until("acks", |feiq| Some(feiq.album.acks));
    assert!(acks >= sent.count(), "{acks} for {}", sent.count());
}

#[test]
fn a_kept_picture_becomes_a_file_as_often_as_it_is_wanted() {
    let lan = Lan::new();
    let (home, listens, feiq, at) = office(&lan, Feiq::new("王小明", "080027090401"));
    let (bitmap, _) = sample(64, 48);
    let bytes = pack(&bitmap.dib());
    let sent = Sent { id: "0badcafe".into(), bytes, kind: "0|1|0" };
    feiq.send_picture(at, &sent, STALL, |_| false);
    let event = listens.out.event("picture", |_| true);
    let id = format!("p{}", &event["digest"].as_str().expect("a digest")[..8]);
    for name in [format!("picture-{id}.png"), format!("picture-{id} (1).png")] {
        let done = home.run(&["get", &id, "-o", "got"]).code(0);
        assert!(done.out.starts_with("picture of 王小明, 64 x 48, PNG, "), "{done:?}");
        assert!(done.out.trim_end().ends_with(&format!("got/{name}")), "{done:?}");
        let mode = fs::metadata(home.path(&format!("got/{name}"))).expect("a file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
    let done = home.run(&["get", "p00000000"]).code(3);
    assert!(done.err.contains("no picture p00000000 is kept"), "{done:?}");
    home.run(&["get", &id, "7"]).code(2);
    home.run(&["refuse", &id]).code(2);
    // Nobody needs to run for it. As the message shows it, it is found too.
    drop(listens);
    home.run(&["get", &id]).code(0);
    let done = home.run(&["get", "p0badcafe"]).code(0);
    assert!(done.out.trim_end().ends_with(&format!("picture-{id} (1).png")), "{done:?}");
}

#[test]
fn a_container_becomes_a_png_of_the_same_pixels() {
    let lan = Lan::new();
    let (home, listens, feiq, at) = office(&lan, Feiq::new("wang", "080027090401"));
    let (bitmap, pixels) = sample(333, 200);
    let bytes = pack(&bitmap.dib());
    let sent = Sent { id: "0badcafe".into(), bytes, kind: "0|1|0" };
    feiq.send_picture(at, &sent, STALL, |_| false);
    let event = listens.out.event("picture", |_| true);
    assert_eq!(event["format"], "png");
    let png = kept(&home, &event);
    assert_eq!(event["size"], png.len());
    let read = image::load_from_memory_with_format(&png, ImageFormat::Png).expect("a PNG");
    assert!(read.into_rgb8() == pixels);
    // A bare bitmap too.
    let sent = Sent { id: "0badcaff".into(), bytes: bitmap.dib(), kind: "1|0|0" };
    feiq.send_picture(at, &sent, STALL, |_| false);
    let again = listens.out.event("picture", |event| event["picture"] == "0badcaff");
    assert_eq!(again["digest"], event["digest"]);
}

#[test]
fn a_picture_of_ours_is_shown_by_feiq_though_one_fragment_in_ten_is_lost() {
    let lan = Lan::new();
    let mut wang = Feiq::new("wang", "080027090401");
    wang.album.loses = Some(one_in_ten);
    let (home, _listens, feiq, _) = office(&lan, wang);
    let (bitmap, pixels) = sample(300, 200);
    let mut png = Cursor::new(Vec::new());
    pixels.write_to(&mut png, ImageFormat::Png).expect("it is written");
    let file = home.write("shot.png", png.get_ref());
    let done = home.run(&["send", "wang", "--picture", file.to_str().expect("UTF-8")]).code(0);
    assert!(done.out.contains("confirmed after"), "{done:?}");
    let shown = feiq.wait("a picture", |shown| match shown {
        Shown::Picture { bitmap, .. } => Some(bitmap.clone()),
        Shown::Icon { .. } => panic!("the reference came first"),
        _ => None,
    });
    assert!(shown == bitmap);
    feiq.until("losses", |feiq| (feiq.album.lost.len() > 10).then_some(()));
    // From a pipe, and as another format.
    let (_, pixels) = sample(40, 30);
    let mut bmp = Cursor::new(Vec::new());
    pixels.write_to(&mut bmp, ImageFormat::Bmp).expect("it is written");
    let done = home.run_with(&["send", "wang", "--picture", "-", "--json"], bmp.get_ref()).code(0);
    let lines = done.lines();
    assert_eq!((&lines[0]["event"], &lines[1]["event"]), (&"message".into(), &"receipt".into()));
}

#[test]
fn what_is_no_picture_is_not_sent() {
    let lan = Lan::new();
    let (home, _listens, _feiq, _) = office(&lan, Feiq::new("wang", "080027090401"));
    // Its first bytes are those of a picture, which is all that is looked at before it is packed.
    let text = home.write("text.png", b"\x89PNG no picture at all");
    let text = text.to_str().expect("UTF-8");
    let done = home.run(&["send", "wang", "--picture", text]).code(2);
    assert!(done.err.contains("no picture that can be sent: it is damaged"), "{done:?}");
    home.run(&["send", "wang", "--picture", text, "--", "text"]).code(2);
}

/// Most memory the process had, KiB.
fn peak(process: &Process) -> u64 {
    let status = format!("/proc/{}/status", process.pid().as_raw_nonzero());
    let status = fs::read_to_string(status).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A PNG whose header promises this many pixels, and nothing behind it.
fn promising(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
    header.extend([8, 2, 0, 0, 0]);
    let crc = crc32fast::hash(&header).to_be_bytes();
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &header[..], &crc, b"\0\0\0\0IDAT\x35\xaf\x06\x1e"].concat()
}

#[test]
#[cfg(target_os = "linux")]
fn bombs_and_what_is_no_picture_are_refused_with_a_notice_and_bounded_memory() {
    let lan = Lan::new();
    let (home, listens, feiq, at) = office(&lan, Feiq::new("wang", "080027090401"));
    let before = peak(&listens);
    // A container of 40 MiB of zeros, whose bitmap promises even more pixels.
    let mut zeros = Bitmap { width: 1, height: 1, pixels: vec![[0; 3]] }.dib();
    zeros[4..8].copy_from_slice(&30_000_u32.to_le_bytes());
    zeros[8..12].copy_from_slice(&30_000_u32.to_le_bytes());
    zeros.resize(40 << 20, 0);
    let zeros = lzw::pack(&zeros).expect("it is small");
    let mut truncated = jpeg();
    truncated.truncate(2_000);
    let hostile = [
        (promising(100_000, 100_000), "100000 x 100000 pixels, more than 40 million"),
        (promising(0x7fff_ffff, 0x7fff_ffff), "a picture is not taken"),
        (zeros, "30000 x 30000 pixels, more than 40 million"),
        ([b"LZW!", &u32::MAX.to_le_bytes()[..], &[0; 40]].concat(), "container too large"),
        ([b"LZW!", &99_u32.to_le_bytes()[..], &[0; 400]].concat(), "it is damaged"),
        (b"MZ no picture at all".to_vec(), "it is no PNG, JPEG, GIF or BMP"),
        (truncated[..300].to_vec(), "it is damaged"),
    ];
    for (number, (bytes, why)) in (1..).zip(hostile) {
        // One notice for each address in ten seconds: each comes from an address of its own.
        let mut sender = lan.stranger();
        let id = format!("{number:08x}");
        let sent = Sent { id, bytes, kind: "0|1|0" };
        let mut hostile = Feiq::new("evil", &format!("08002709050{number}"));
        for index in 1..=sent.count() {
            for (_, packet) in hostile.fragment(at, &sent, index) {
                sender.send(&packet, home.addr);
            }
            // Its acknowledgement: what follows is not lost in a full buffer.
            assert!(sender.expect(0xc1).ends_with(&format!("|{index}#")));
        }
        listens.out.event("notice", |event| {
            event["code"] == "picture" && event["text"].as_str().is_some_and(|t| t.contains(why))
        });
    }
    assert!(home.run(&["node", "status"]).code(0).out.contains("alice"));
    let (bitmap, _) = sample(64, 64);
    let sent = Sent { id: "0badcafe".into(), bytes: pack(&bitmap.dib()), kind: "0|1|0" };
    feiq.send_picture(at, &sent, STALL, |_| false);
    listens.out.event("picture", |event| event["picture"] == "0badcafe");
    let grown = (peak(&listens) - before) / 1024;
    assert!(grown < 100, "{grown} MiB");
    until("no open stages", || {
        let links = fs::read_dir(format!("/proc/{}/fd", listens.pid().as_raw_nonzero()));
        let targets =
            links.expect("it runs").flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        !targets.into_iter().any(|target| target.to_string_lossy().contains("(deleted)"))
    });
}

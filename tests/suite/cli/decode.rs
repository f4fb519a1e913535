//! `feige decode`.

use std::process::Stdio;

use etherparse::{IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, PacketBuilder};
use serde_json::Value;

use crate::json::Page;
use crate::support::home::{Lan, TestHome};

const HELLO: &[u8] = b"1:100:al:pc:288:hello\0";
/// An entry of FeiQ, then a message of it with a font tail; both in GBK.
const FEIQ_ENTRY: &[u8] =
    b"1_lbt6_0#128#001122334455#0#0#0#4001#9:7:zs:PC-1:6291457:\xd5\xc5\xc8\xfd\0\xd1\xd0\xb7\xa2\0";
const FEIQ_MESSAGE: &[u8] =
    b"1_lbt6_0#128#001122334455#0#0#0#4001#9:8:zs:PC-1:288:\xd0\xbb\xd0\xbb\0";

fn decoded(home: &TestHome, args: &[&str], input: &[u8]) -> Vec<Value> {
    let done = home.run_with(&[&["decode", "--json"], args].concat(), input).code(0);
    let page = Page::read();
    for line in done.lines() {
        page.allows("object", "datagram", line.as_object().expect("an object"));
    }
    done.lines()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[test]
fn hex_is_explained_field_by_field() {
    let home = Lan::new().home("a");
    let done = home.run(&["decode", "31:3a 313030 3a616c", "3a70633a3238383a68656c6c6f00"]);
    insta::assert_snapshot!(done.code(0).out, @r"
    #1  22 bytes
      version   1 (ipmsg)
      number    100
      user      al
      host      pc
      names     ascii
      command   SENDMSG 0x20, word 288 = 0x00000120
      options   SEND_CHECK
      text      hello
      charset   ascii
    ");
}

#[test]
fn a_pipe_with_a_name_is_read_like_a_file() {
    let home = Lan::new().home("a");
    let pipe = home.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let writer = pipe.clone();
    // Both ends wait for each other when they open it.
    let writing = std::thread::spawn(move || std::fs::write(writer, hex(HELLO) + "\n"));
    let packets = decoded(&home, &[pipe.to_str().unwrap()], b"");
    writing.join().unwrap().unwrap();
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0]["text"], "hello");
}

#[test]
fn options_are_named_by_the_kind_of_packet() {
    let home = Lan::new().home("a");
    let one = |bytes: &[u8]| decoded(&home, &[&hex(bytes)], b"").remove(0);
    assert_eq!(one(HELLO)["options"], serde_json::json!(["SEND_CHECK"]));
    let away = one(b"1:100:al:pc:257:alice\0");
    assert_eq!(away["options"], serde_json::json!(["ABSENCE"]));
    assert_eq!(away["nick"], "alice");
    let unknown = one(b"1:100:al:pc:1073741856:x\0");
    assert_eq!(unknown["options_unknown"], "0x40000000");
    assert_eq!(one(b"1:100:al:pc:33:4711\0")["refers_to"], 4711);
}

#[test]
fn the_charset_of_a_sender_is_learnt_from_line_to_line() {
    let home = Lan::new().home("a");
    let input = format!("# a comment\n{}\n\n{}\n", hex(FEIQ_ENTRY), hex(FEIQ_MESSAGE));
    let lines = decoded(&home, &["-"], input.as_bytes());
    assert_eq!(lines[0]["dialect"], "feiq");
    assert_eq!((&lines[0]["nick"], &lines[0]["group"]), (&"张三".into(), &"研发".into()));
    assert_eq!(lines[0]["mac"], "001122334455");
    assert_eq!(lines[1]["text"], "谢谢", "its bytes are valid UTF-8 too");
    assert_eq!(lines[1]["charset"], "gbk");
}

#[test]
fn a_charset_can_be_pinned() {
    let home = Lan::new().home("a");
    let sjis = hex(b"1:100:al:pc:32:\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd\0");
    let lines = decoded(&home, &["--charset", "shift_jis", &sjis], b"");
    assert_eq!(lines[0]["text"], "こんにちは");
    assert_eq!(lines[0]["charset_sure"], "pinned");
    home.run(&["decode", "--charset", "klingon", &sjis]).code(2);
}

#[test]
fn malformed_datagrams_are_named_and_end_with_1() {
    let home = Lan::new().home("a");
    let input = format!("{}\n00ff\n{}\nzz\n", hex(HELLO), hex(b"1:x:al:pc:32:"));
    let done = home.run_with(&["decode", "--json"], input.as_bytes()).code(1);
    let lines = done.lines();
    assert_eq!(lines.len(), 3, "the good one is shown too: {lines:?}");
    assert_eq!((&lines[1]["malformed"], &lines[1]["hex"]), (&"fields".into(), &"00ff".into()));
    assert_eq!(lines[2]["malformed"], "packet_no");
    assert!(done.err.contains("line 4"), "{}", done.err);
    let done = home.run(&["decode", &hex(b"2:1:al:pc:32:")]).code(1);
    assert!(done.out.contains("version"), "{}", done.out);
}

#[test]
fn what_is_neither_file_nor_hex_is_wrong_usage() {
    let done = Lan::new().home("a").run(&["decode", "no-such-file"]).code(2);
    assert!(done.err.contains("no-such-file is neither a file nor hex"), "{}", done.err);
}

#[test]
fn hostile_texts_reach_no_terminal() {
    let packet = b"1:100:a\x1b[2J:pc:32:hi\x1b]0;owned\x07\n\xe2\x80\xaeevil\0";
    let done = Lan::new().home("a").run(&["decode", &hex(packet)]).code(0);
    assert!(!done.out.chars().any(|c| c.is_control() && c != '\n'), "{:?}", done.out);
    assert!(done.out.contains("␛]0;owned␇") && done.out.contains("<U+202E>"), "{}", done.out);
}

/// A capture file, little-endian with microseconds, of frames one second apart.
fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let put = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    file.extend(put(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link]));
    for (second, frame) in (1_795_138_201..).zip(frames) {
        let length = u32::try_from(frame.len()).expect("frames are small");
        file.extend(put(&[second, 250_000, length, length]));
        file.extend(frame);
    }
    file
}

/// The same as pcapng: a section, an interface, frames as enhanced packets.
fn pcapng(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let total = u32::try_from(padded + 12).expect("blocks are small").to_le_bytes();
        file.extend(kind.to_le_bytes());
        file.extend(total);
        file.extend(body);
        file.extend(vec![0; padded - body.len()]);
        file.extend(total);
    };
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    block(1, &words(&[1, 65_535]));
    for (second, frame) in (1_795_138_201_u64..).zip(frames) {
        let micros = second * 1_000_000 + 250_000;
        let (high, low) = ((micros >> 32) as u32, (micros & 0xffff_ffff) as u32);
        let length = u32::try_from(frame.len()).expect("frames are small");
        let mut body = words(&[0, high, low, length, length]);
        body.extend(frame);
        block(6, &body);
    }
    file
}

fn udp(from: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [0xff; 6])
        .ipv4(from, [255, 255, 255, 255], 64)
        .udp(ports.0, ports.1);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).expect("it fits");
    frame
}

fn tcp(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(40_000, 2425, 1, 1000);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).expect("it fits");
    frame
}

/// A datagram in two fragments.
fn fragments(payload: &[u8]) -> [Vec<u8>; 2] {
    let whole = udp([10, 0, 0, 3], (2425, 2425), payload);
    let datagram = &whole[14 + 20..];
    let (first, second) = datagram.split_at(1024);
    let frame = |part: &[u8], offset: u16, more: bool| {
        let header = Ipv4Header {
            identification: 77,
            more_fragments: more,
            fragment_offset: IpFragOffset::try_new(offset / 8).expect("small"),
            time_to_live: 64,
            protocol: IpNumber::UDP,
            source: [10, 0, 0, 3],
            destination: [10, 0, 0, 9],
            ..Default::default()
        };
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ip(IpHeaders::Ipv4(header, Ipv4Extensions::default()));
        let mut frame = Vec::new();
        builder.write(&mut frame, IpNumber::UDP, part).expect("it fits");
        frame
    };
    [frame(first, 0, true), frame(second, 1024, false)]
}

fn office() -> Vec<Vec<u8>> {
    let mut long = b"1:9:al:pc:288:".to_vec();
    long.resize(1500, b'x');
    let [first, second] = fragments(&long);
    vec![
        udp([10, 0, 0, 7], (2425, 2425), FEIQ_ENTRY),
        udp([10, 0, 0, 8], (5353, 5353), b"no messenger"),
        udp([10, 0, 0, 7], (2425, 2425), FEIQ_MESSAGE),
        first,
        tcp(b"1:10:al:pc:96:64:0:0:\0"),
        tcp(b"bytes of a file"),
        second,
    ]
}

fn check_office(lines: &[Value]) {
    let texts: Vec<_> = lines.iter().map(|line| line["command"].as_str()).collect();
    let expected = ["BR_ENTRY", "SENDMSG", "GETFILEDATA", "SENDMSG"].map(Some);
    assert_eq!(texts, expected, "{lines:#?}");
    assert_eq!(lines[0]["from"], "10.0.0.7:2425");
    assert_eq!(lines[0]["at"], "2026-11-20T01:30:01.250+00:00");
    assert_eq!(lines[1]["text"], "谢谢");
    assert_eq!(lines[2]["transport"], "tcp");
    assert_eq!((&lines[2]["offer"], &lines[2]["file"]), (&100.into(), &0.into()));
    assert_eq!(lines[3]["size"], 1500, "put together from fragments");
}

#[test]
fn captures_of_both_kinds_are_read() {
    let home = Lan::new().home("a");
    for (name, file) in [("office.pcap", pcap(1, &office())), ("office.pcapng", pcapng(&office()))]
    {
        home.write(name, &file);
        check_office(&decoded(&home, &[name], b""));
        check_office(&decoded(&home, &[], &file));
        // A capture that was interrupted is read as far as it goes.
        let cut = &file[..file.len() - 7];
        let done = home.run_with(&["decode", "--json"], cut).code(1);
        assert_eq!(done.lines().len(), 3);
        assert_eq!(done.err, "feige: the capture ends in the middle of a packet\n");
    }
}

#[test]
fn a_broken_capture_is_said_to_be_so_in_words() {
    let home = Lan::new().home("a");
    let in_a_header = &pcap(1, &office())[..24 + 7];
    let whole = pcapng(&office());
    let no_section = [&whole[..8], &[0xff; 20], &whole[28..]].concat();
    let mut no_length = whole.clone();
    no_length[28 + 4] = 3;
    for (file, words) in [
        (&b"\xd4\xc3\xb2\xa1\x02\0"[..], "bad capture: it ends within its header"),
        (&no_section, "bad capture: its header is neither that of pcap nor of pcapng"),
        (&no_length, "bad capture: it has a block that is none"),
        (in_a_header, "the capture ends in the middle of a packet"),
    ] {
        let done = home.run_with(&["decode"], file).code(1);
        assert_eq!(done.err, format!("feige: {words}\n"));
    }
}

#[test]
fn captures_of_all_interfaces_and_of_another_port_are_read() {
    let home = Lan::new().home("a");
    let frame = udp([10, 0, 0, 7], (2426, 2426), HELLO);
    let sll2 = [&[8, 0][..], &[0; 18], &frame[14..]].concat();
    let file = pcap(276, &[sll2]);
    assert!(decoded(&home, &[], &file).is_empty());
    assert_eq!(decoded(&home, &["--port", "2426"], &file)[0]["text"], "hello");
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let home = Lan::new().home("a");
    let line = format!("{}\n", hex(HELLO));
    let path = home.write("many", line.repeat(20_000).as_bytes());
    let mut child = home
        .feige(&["decode", &path.to_string_lossy()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let done = child.wait_with_output().expect("it ends");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(done.stderr.is_empty(), "{done:?}");
}

#[test]
fn every_recorded_packet_is_explained() {
    fn collect(value: &Value, packets: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                packets.extend(object.get("hex").and_then(Value::as_str).map(str::to_owned));
                object.values().for_each(|value| collect(value, packets));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, packets)),
            _ => {}
        }
    }
    let mut packets = Vec::new();
    for name in ["packets", "feiq-captures", "peer-captures"] {
        let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the vectors are there");
        collect(&serde_json::from_str(&text).expect("JSON"), &mut packets);
    }
    packets.retain(|packet| !packet.is_empty());
    let input = packets.join("\n");
    let home = Lan::new().home("a");
    let lines = home.run_with(&["decode", "--json"], input.as_bytes()).lines();
    assert_eq!(lines.len(), packets.len());
    let page = Page::read();
    for line in &lines {
        page.allows("object", "datagram", line.as_object().expect("an object"));
    }
    let words = home.run_with(&["decode"], input.as_bytes()).out;
    assert!(!words.chars().any(|c| c.is_control() && c != '\n'));
}

#[test]
fn emoticons_and_the_font_behind_ascii_are_shown_as_feiq_shows_them() {
    let vectors = crate::wire::vectors::feiq("vectors");
    let vector = crate::wire::vectors::named(&vectors, "text-emoticons");
    let packet = vector["hex"].as_str().expect("hex");
    let home = Lan::new().home("a");
    let [line] = &decoded(&home, &[], packet.as_bytes())[..] else { panic!("one line") };
    assert_eq!(line["shown"], "🥶🤝💩😁😌🤬🙂");
    let tail = line["tail"].as_str().expect("a font");
    assert!(tail.contains(" 微软雅黑 8404992;}"), "{tail}");
    let words = home.run_with(&["decode"], packet.as_bytes()).out;
    assert!(words.contains("shown     🥶"), "{words}");
    let [plain] = &decoded(&home, &[], hex(HELLO).as_bytes())[..] else { panic!("one line") };
    assert!(plain.get("shown").is_none());
}

//! Requests for files against those of real programs (`tests/vectors/`), and their laws.

use feige::wire::command::request;
use feige::wire::dialect::{FEIQ, IPMSG, IPTUX, IdBase};
use feige::wire::packet::{Head, Hint, Packet, RawPacket};
use feige::wire::request::{AnswerForm, Arrived, FileRequest, REQUEST_MAX, RequestError};
use feige::wire::{Options, PacketNo};
use proptest::prelude::*;
use serde_json::Value;

use crate::wire::vectors::{self, bytes, text};

fn read(bytes: &[u8]) -> Result<FileRequest, RequestError> {
    let raw = RawPacket::parse(bytes).unwrap();
    let dialect = Packet::read(&raw, &Hint::default()).dialect;
    FileRequest::read(&raw, dialect.habits.request_ids)
}

fn assert_request(bytes: &[u8], expected: &Value, id: &str) {
    let found = read(bytes).unwrap();
    assert_eq!(found.packet.0, expected["packet_no"], "{id}");
    assert_eq!(found.file, expected["file_id"], "{id}");
    assert_eq!(found.offset, expected["offset"].as_u64().unwrap_or(0), "{id}");
    let whole = expected["trailing_colon"] == true || bytes.ends_with(&[0]);
    assert!(whole, "{id}");
    assert_eq!(Arrived::of(bytes), Arrived::Whole, "{id}");
    for end in 0..bytes.len() {
        let arrived = Arrived::of(&bytes[..end]);
        // Whole before the NUL that may follow, and a folder's before its third number.
        let early = end + 1 == bytes.len() || found.form == AnswerForm::Tree;
        assert!(arrived != Arrived::Never, "{id} at {end}");
        assert!(arrived != Arrived::Whole || early, "{id} at {end}");
    }
}

#[test]
fn every_recorded_request_reads_as_expected() {
    let mut found = 0;
    for vector in vectors::feiq("vectors") {
        let expected = &vector["expect"]["file_request"];
        if expected.is_object() {
            assert_request(&bytes(&vector), expected, text(&vector["id"]));
            found += 1;
        }
    }
    assert_eq!(found, 5);
    for vector in vectors::peers() {
        let expected = &vector["expected"]["request"];
        if expected.is_object() {
            assert_request(&bytes(&vector), expected, text(&vector["id"]));
            found += 1;
        }
    }
    assert_eq!(found, 5 + 20);
}

/// What a recorded program asked for, as we would have asked in its place.
fn rewritten(bytes: &[u8]) -> Vec<u8> {
    let raw = RawPacket::parse(bytes).unwrap();
    let packet = Packet::read(&raw, &Hint::default());
    let head = Head {
        version: str::from_utf8(raw.version).unwrap(),
        number: packet.number,
        user: &packet.user,
        host: &packet.host,
    };
    let found = FileRequest::read(&raw, IdBase::Hexadecimal).unwrap();
    found.emit(&head, packet.options, &packet.dialect.habits)
}

#[test]
fn what_we_ask_feiq_for_has_the_bytes_of_feiqs_own_requests() {
    for vector in vectors::feiq("vectors") {
        if vector["expect"]["file_request"].is_object() {
            assert_eq!(rewritten(&bytes(&vector)), bytes(&vector), "{}", vector["id"]);
        }
    }
}

#[test]
fn official_requests_are_read_and_written_back() {
    for (packet, form, offset) in [
        ("1:1700000210:bob:PC-B:8388704:65536dc8:3f2a1b38:0:\0", AnswerForm::Bytes, 0),
        ("1:1700000210:bob:PC-B:8388706:65536dc8:3f2a1b38:\0", AnswerForm::Tree, 0),
        ("1:1700000210:bob:PC-B:96:65536dc8:3f2a1b38:1000:\0", AnswerForm::Bytes, 0x1000),
    ] {
        let expected =
            FileRequest { form, packet: PacketNo(1_699_966_408), file: 1_059_724_088, offset };
        assert_eq!(read(packet.as_bytes()), Ok(expected));
        assert_eq!(rewritten(packet.as_bytes()), packet.as_bytes());
        let without_colon = packet.replace(":\0", "\0");
        assert_eq!(read(without_colon.as_bytes()), Ok(expected));
    }
}

proptest! {
    #[test]
    fn a_request_of_ours_is_read_as_it_was_meant(
        packet: u64, file: u64, offset in 0..=i64::MAX as u64, folder: bool, utf8: bool,
    ) {
        let form = if folder { AnswerForm::Tree } else { AnswerForm::Bytes };
        let offset = if folder { 0 } else { offset };
        let asked = FileRequest { form, packet: PacketNo(packet), file, offset };
        let head = Head { version: "1", number: PacketNo(7), user: "王小二", host: "h" };
        let options = if utf8 { request::UTF8 } else { Options::empty() };
        for dialect in [&IPMSG, &FEIQ, &IPTUX] {
            let bytes = asked.emit(&head, options, &dialect.habits);
            prop_assert!(bytes.len() < REQUEST_MAX);
            prop_assert_eq!(Arrived::of(&bytes), Arrived::Whole);
            prop_assert_eq!(read(&bytes), Ok(asked));
        }
    }

    #[test]
    fn arbitrary_requests_are_judged_and_read(
        main in "[0-9a-f:\\x00-]{0,40}", word in prop::sample::select(vec![96_u32, 98, 4_194_400, 32]),
        other: Vec<u8>,
    ) {
        let packet = format!("1:1:u:h:{word}:{main}");
        let raw = RawPacket::parse(packet.as_bytes()).unwrap();
        let found = FileRequest::read(&raw, IdBase::Decimal);
        if found.is_ok() {
            prop_assert!(matches!(Arrived::of(packet.as_bytes()), Arrived::Whole | Arrived::Perhaps));
        }
        Arrived::of(&other);
    }
}

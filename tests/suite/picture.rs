//! Pictures of FeiQ: fragments, references and the container, against recorded packets and the
//! cases made from the rules (`tests/vectors/`), and their laws.

use std::collections::HashMap;

use feige::wire::body::Body;
use feige::wire::command::message;
use feige::wire::packet::{Head, Hint, Packet, RawPacket};
use feige::wire::picture::lzw::{self, LzwError, UNPACKED_MAX};
use feige::wire::picture::{
    CHUNK, CONTAINER, COUNT_MAX, Fragment, FragmentAck, JPEG, Kind, PictureId, Reference, WIRE_MAX,
};
use feige::wire::{Command, PacketNo};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::wire::vectors::{self, bytes, named, text, unhex};

fn head_of<'a>(packet: &'a Packet, raw: &'a RawPacket<'_>) -> Head<'a> {
    Head {
        version: str::from_utf8(raw.version).unwrap(),
        number: packet.number,
        user: &packet.user,
        host: &packet.host,
    }
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

#[test]
fn recorded_fragments_are_read_and_written_back() {
    let mut read = 0;
    for vector in vectors::feiq("vectors") {
        let (id, bytes) = (text(&vector["id"]), bytes(&vector));
        let raw = RawPacket::parse(&bytes).unwrap();
        let expected = &vector["expect"]["image_fragment"];
        if !expected.is_object() {
            assert!(Fragment::read(&raw).is_err(), "{id}");
            continue;
        }
        let fragment = Fragment::read(&raw).unwrap();
        let [f1, f2, f3] = fragment.flags;
        let found = json!({
            "id": fragment.id.to_string(), "total": fragment.total, "offset": fragment.offset,
            "count": fragment.count, "index": fragment.index, "length": fragment.data.len(),
            "flag1": f1, "flag2": f2, "flag3": f3, "last": format!("{:08x}", fragment.tail),
        });
        for (key, value) in found.as_object().unwrap() {
            assert_eq!(*value, expected[key], "{id} {key}");
        }
        if let Some(data) = expected["data_hex"].as_str() {
            assert_eq!(fragment.data, unhex(data), "{id}");
        }
        assert_eq!(fragment.flags, JPEG, "{id}");
        assert_eq!(fragment.position() + 1, number(&expected["index"]), "{id}");
        assert_eq!(fragment.chunk(), number(&expected["length"]), "{id}");
        let packet = Packet::read(&raw, &Hint::default());
        assert_eq!(fragment.emit(&head_of(&packet, &raw)), bytes, "{id}");
        for end in 0..bytes.len() {
            if let Ok(raw) = RawPacket::parse(&bytes[..end]) {
                assert!(Fragment::read(&raw).is_err(), "{id} at {end}");
            }
        }
        read += 1;
    }
    assert_eq!(read, 2);
}

#[test]
fn the_recorded_acknowledgement_is_read_and_written_back() {
    let bytes = bytes(&named(&vectors::feiq("vectors"), "image-ack"));
    let raw = RawPacket::parse(&bytes).unwrap();
    let ack = FragmentAck::read(&raw).unwrap();
    assert_eq!(ack, FragmentAck { id: PictureId(0xe8fd_b8e6), index: 2 });
    let packet = Packet::read(&raw, &Hint::default());
    let picture = vec![0; CHUNK + 1];
    let fragment = Fragment::of(&picture, ack.id, JPEG, 1).unwrap();
    assert_eq!(fragment.emit_ack(&head_of(&packet, &raw)), bytes);
}

#[test]
fn the_recorded_reference_is_found_stripped_and_written_back() {
    let vector = named(&vectors::feiq("vectors"), "image-ref");
    let bytes = bytes(&vector);
    let raw = RawPacket::parse(&bytes).unwrap();
    let packet = Packet::read(&raw, &Hint::default());
    let Body::Message(message) = &packet.body else { panic!("{packet:?}") };
    let found: Vec<_> = Reference::find(&message.text).collect();
    let [reference] = &found[..] else { panic!("{found:?}") };
    assert_eq!(reference.id.to_string(), text(&vector["expect"]["image_refs"][0]["id"]));
    assert!(!reference.gif);
    assert_eq!(Reference::strip(&message.text), "");
    let written = Reference::emit(reference.id, false, &head_of(&packet, &raw), packet.options);
    assert_eq!(packet.options, message::SEND_CHECK);
    // FeiQ's font block, which we leave out, stands before the two NULs.
    let (start, nuls) = written.split_at(written.len() - 2);
    assert!(bytes.starts_with(start) && bytes.ends_with(nuls));
    assert_eq!(nuls, b"\0\0");
    for other in vectors::feiq("vectors") {
        if other["expect"]["text"].is_string() && other["id"] != "image-ref" {
            assert_eq!(Reference::find(text(&other["expect"]["text"])).count(), 0, "{other}");
        }
    }
}

#[test]
fn a_picture_is_cut_as_feiq_cuts_it() {
    let picture = vec![7; 622_241];
    let fragments: Vec<_> =
        (0..).map_while(|n| Fragment::of(&picture, PictureId(1), CONTAINER, n)).collect();
    assert_eq!(fragments.len(), 1_216);
    let last = fragments.last().unwrap();
    assert_eq!(
        (last.index, last.offset, last.data.len(), last.count),
        (1_216, 622_080, 161, 1_216)
    );
    assert_eq!(Fragment::of(&[], PictureId(1), JPEG, 0), None);
    let largest = vec![0; WIRE_MAX];
    let last = Fragment::of(&largest, PictureId(1), JPEG, COUNT_MAX as usize - 1).unwrap();
    assert_eq!(last.count, COUNT_MAX);
    assert_eq!(Fragment::of(&vec![0; WIRE_MAX + 1], PictureId(1), JPEG, 0), None);
}

/// A case of the container.
struct Case {
    id: String,
    content: Vec<u8>,
    /// If it is short enough to be listed.
    container: Option<Vec<u8>>,
    /// What else is known of it.
    known: Value,
}

fn cases() -> Vec<Case> {
    let all: Value = serde_json::from_str(include_str!("../vectors/feiq-captures.json")).unwrap();
    let cases = all["lzw"]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    cases
        .iter()
        .map(|case| Case {
            id: text(&case["id"]).to_owned(),
            content: case["raw_hex"].as_str().map_or_else(generated, unhex),
            container: case["payload_hex"].as_str().map(unhex),
            known: case.clone(),
        })
        .collect()
}

/// The long case: 60,000 values of 4 bits, which make the slots go round six times.
fn generated() -> Vec<u8> {
    let mut x = 12_345_u32;
    let mut next = || {
        x = x.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
        (x >> 16 & 0x0f) as u8
    };
    (0..60_000).map(|_| next()).collect()
}

#[test]
fn every_container_case_is_packed_and_unpacked_byte_for_byte() {
    for Case { id, content, container, known } in cases() {
        assert_eq!(content.len(), known["raw_len"], "{id}");
        assert_eq!(crc32fast::hash(&content), known["raw_crc32"], "{id}");
        let packed = lzw::pack(&content).unwrap();
        assert_eq!(packed.len(), known["payload_len"], "{id}");
        assert_eq!(vectors::hex(&Sha256::digest(&packed)), text(&known["payload_sha256"]), "{id}");
        if let Some(container) = container {
            assert_eq!(packed, container, "{id}");
        }
        assert_eq!(Kind::of(&packed), Some(Kind::Container), "{id}");
        assert_eq!(lzw::unpack(&packed).unwrap(), content, "{id}");
    }
}

#[test]
fn a_container_cut_or_changed_anywhere_is_refused() {
    for Case { id, container, .. } in cases() {
        let Some(container) = container else { continue };
        for end in 0..container.len() {
            assert!(lzw::unpack(&container[..end]).is_err(), "{id} at {end}");
        }
        // The last byte may have bits that belong to no code.
        for at in 0..container.len() - 1 {
            for bit in 0..8 {
                let mut changed = container.clone();
                changed[at] ^= 1 << bit;
                assert!(lzw::unpack(&changed).is_err(), "{id}: bit {bit} of {at}");
            }
        }
    }
}

#[test]
fn long_runs_and_noise_survive() {
    // Strings thousands of bytes long, whose slots are given out again while longer ones live on.
    let mut seed = 1_u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let mut mixed = Vec::new();
    for _ in 0..60 {
        mixed.extend(std::iter::repeat_n(noise() % 3, 20_000));
        mixed.extend((0..3_000).map(|_| noise()));
        mixed.extend((0..9_000).map(|_| noise() % 2));
    }
    for content in [vec![0; 10_000_000], mixed] {
        let packed = lzw::pack(&content).unwrap();
        assert!(lzw::unpack(&packed).unwrap() == content);
    }
}

#[test]
fn what_no_reader_would_take_is_not_packed() {
    assert_eq!(lzw::pack(&vec![0; UNPACKED_MAX + 1]), Err(LzwError::TooLarge));
}

/// Packs as the rules are written, with a table of whole strings.
fn packed_by_the_book(content: &[u8]) -> Vec<u8> {
    let mut codes: HashMap<Vec<u8>, usize> = (0..=255_u8).map(|b| (vec![b], b.into())).collect();
    let mut strings: Vec<Vec<u8>> = vec![Vec::new(); 4_096];
    let (mut slot, mut width, mut counter, mut bits) = (256, 9, 256, Vec::new());
    let mut write = |code: usize| {
        bits.extend((0..width).map(|bit| code >> bit & 1));
        counter += 1;
        width += usize::from(width < 12 && counter == 1 << width);
    };
    let mut string = Vec::new();
    for &byte in content {
        string.push(byte);
        if codes.contains_key(&string) {
            continue;
        }
        write(codes[&string[..string.len() - 1]]);
        codes.remove(&std::mem::replace(&mut strings[slot], string.clone()));
        codes.insert(string, slot);
        slot = if slot == 4_095 { 256 } else { slot + 1 };
        string = vec![byte];
    }
    if let Some(&code) = codes.get(&string) {
        write(code);
    }
    let length = u32::try_from(content.len()).unwrap();
    let crc = crc32fast::hash(content);
    let mut out = [lzw::MARK, &length.to_le_bytes(), &crc.to_le_bytes()].concat();
    for eight in bits.chunks(8) {
        let byte = eight.iter().zip((0..8).rev()).map(|(bit, place)| bit << place).sum::<usize>();
        out.push(u8::try_from(byte).unwrap());
    }
    out
}

/// Contents of every kind: noise, few values, runs, and repeats of what came before.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3_000),
        prop::collection::vec(0..4_u8, 0..6_000),
        (any::<u8>(), 0..20_000_usize).prop_map(|(byte, times)| vec![byte; times]),
        (prop::collection::vec(0..16_u8, 1..40), 0..400_usize)
            .prop_map(|(pattern, times)| pattern.repeat(times)),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A container of any codes, with a header that fits or does not.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![0..5_000_u32, any::<u32>()];
    (length, any::<u32>(), prop::collection::vec(any::<u8>(), 0..3_000)).prop_map(
        |(length, crc, codes)| {
            [lzw::MARK, &length.to_le_bytes(), &crc.to_le_bytes(), &codes].concat()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_packed_is_unpacked(content in contents()) {
        let packed = lzw::pack(&content).unwrap();
        prop_assert!(lzw::unpack(&packed).as_ref() == Ok(&content));
    }

    #[test]
    fn what_is_packed_is_packed_by_the_book(content in contents()) {
        prop_assert!(lzw::pack(&content) == Ok(packed_by_the_book(&content)));
    }

    #[test]
    fn one_container_has_one_content(content in contents(), at: prop::sample::Index, flip in 1..=255_u8) {
        let mut packed = lzw::pack(&content).unwrap();
        let at = at.index(packed.len());
        packed[at] ^= flip;
        // Only bits that belong to no code may change unnoticed.
        if let Ok(read) = lzw::unpack(&packed) {
            prop_assert!(read == content && at == packed.len() - 1);
        }
    }
}

proptest! {
    #[test]
    fn hostile_containers_are_refused(container in hostile(), any: Vec<u8>) {
        // 1 in 2^32 has the right checksum.
        prop_assert!(lzw::unpack(&container).is_err() || container.len() < 14);
        prop_assert!(lzw::unpack(&any).is_err());
    }

    #[test]
    fn every_fragment_of_a_picture_reads_as_it_was_cut(
        size in 1..20_000_usize, id: u32, flags: [u32; 3],
    ) {
        let picture: Vec<_> = (0..=u8::MAX).cycle().take(size).collect();
        let head = Head { version: "1", number: PacketNo(1), user: "王小二", host: "h" };
        let mut assembled = Vec::new();
        for position in 0.. {
            let Some(cut) = Fragment::of(&picture, PictureId(id), flags, position) else { break };
            let packet = cut.emit(&head);
            prop_assert!(packet.len() < 700);
            let raw = RawPacket::parse(&packet).unwrap();
            prop_assert_eq!(raw.command(), Command::FEIQ_IMAGE_FRAGMENT);
            let read = Fragment::read(&raw).unwrap();
            prop_assert_eq!(read, Fragment { id_text: read.id_text, ..cut });
            prop_assert_eq!(read.position() as usize, position);
            assembled.extend_from_slice(read.data);
            let ack = read.emit_ack(&head);
            let ack = FragmentAck::read(&RawPacket::parse(&ack).unwrap()).unwrap();
            prop_assert_eq!(ack, FragmentAck { id: PictureId(id), index: read.index });
        }
        prop_assert_eq!(assembled, picture);
    }

    #[test]
    fn what_strangers_send_as_a_fragment_has_numbers_that_agree(
        numbers in prop::collection::vec(prop_oneof![0..5_u32, 500..1_500_u32, any::<u32>()], 8),
        data in prop::collection::vec(any::<u8>(), 0..1_500),
    ) {
        let [total, offset, count, index, length, f1, f2, f3] = numbers[..] else { panic!() };
        let header = format!(
            "1:1:u:h:2097344:ab|{total}|{offset}|{count}|{index}|{length}|{f1}|{f2}|{f3}|0#\0"
        );
        let packet = [header.as_bytes(), &data].concat();
        if let Ok(read) = Fragment::read(&RawPacket::parse(&packet).unwrap()) {
            prop_assert!(read.position() < read.count && read.count <= COUNT_MAX);
            prop_assert_eq!(read.position() * read.chunk(), read.offset);
            prop_assert!(read.offset as usize + read.data.len() <= read.total as usize);
            prop_assert!(read.total as usize <= WIRE_MAX);
        }
    }

    #[test]
    fn stripping_takes_references_and_nothing_else(
        pieces in prop::collection::vec(("[ -~一-龥]{0,6}", any::<u32>(), any::<bool>()), 0..6),
    ) {
        let own = |text: &str| text.replace(['/', '~', '<'], "");
        let mut text = String::new();
        let mut kept = String::new();
        for (piece, id, gif) in &pieces {
            kept.push_str(&own(piece));
            text.push_str(&own(piece));
            let end = if *gif { "<G~" } else { "<B~" };
            text = [&text, "/~#>", &PictureId(*id).to_string(), end].concat();
        }
        let found: Vec<_> = Reference::find(&text).map(|found| (found.id.0, found.gif)).collect();
        prop_assert_eq!(found, pieces.iter().map(|(_, id, gif)| (*id, *gif)).collect::<Vec<_>>());
        prop_assert_eq!(Reference::strip(&text), kept);
    }
}

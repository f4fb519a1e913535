//! Dialects against recorded packets of real programs: FeiQ and its family, iptux, and others, in
//! the order they were sent (`tests/vectors/`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use feige::wire::body::{Body, emit_ascii, emit_message, emit_offer};
use feige::wire::dialect::emoticon::{ALIASES, EMOTICONS, show};
use feige::wire::dialect::{FEIQ, FeiqVersion, FontBlock, IPTUX, IdBase, TextForm};
use feige::wire::packet::{Head, Hint, Packet, RawPacket};
use feige::wire::{Charset, Command, Dialect, Learned, Office, PacketNo};
use serde_json::{Value, json};

use crate::wire::vectors::{self, bytes, named, text};
use crate::wire::{assert_files, body_charset};

fn number(value: Option<u32>) -> Value {
    value.map_or(Value::Null, Value::from)
}

fn ascii(value: Option<&[u8]>) -> Value {
    value.map_or(Value::Null, |value| str::from_utf8(value).unwrap().into())
}

fn assert_version(raw: &[u8], expected: &Value) {
    assert_eq!(raw, text(&expected["raw"]).as_bytes());
    let version = FeiqVersion::parse(raw);
    assert_eq!(version.is_some(), expected["feiq"], "{expected}");
    let Some(version) = version else { return };
    assert_eq!(version.raw, raw);
    let read = json!({
        "raw": text(&expected["raw"]),
        "feiq": true,
        "generation": version.generation,
        "avatar": number(version.avatar),
        "level": number(version.level),
        "mac": ascii(version.mac),
        "avatar_size": number(version.avatar_size),
        "picture_size": number(version.picture_size),
        "group_cipher_len": number(version.cipher_length),
        "build": ascii(version.build),
        "tail": ascii(version.tail),
    });
    assert_eq!(read, *expected);
}

#[test]
fn every_version_seen_is_read_whole() {
    for expected in vectors::feiq("versions") {
        assert_version(text(&expected["raw"]).as_bytes(), &expected);
    }
}

#[test]
fn every_feiq_capture_reads_as_expected() {
    for vector in vectors::feiq("vectors") {
        let (id, bytes, expect) = (text(&vector["id"]), bytes(&vector), &vector["expect"]);
        let raw = RawPacket::parse(&bytes).unwrap();
        assert_version(raw.version, &expect["version"]);
        assert_eq!(raw.number.0, expect["packet_no"], "{id}");
        assert_eq!(raw.word.0, expect["command"], "{id}");
        let extra = raw.rest.unwrap();
        assert_eq!(extra, vectors::unhex(text(&expect["extra_hex"])), "{id}");
        assert_eq!(raw.main(), extra.split(|&byte| byte == 0).next().unwrap(), "{id}");

        let packet = Packet::read(&raw, &Hint::default());
        let dialect = if expect["version"]["feiq"] == true { "feiq" } else { "ipmsg" };
        assert_eq!(packet.dialect.name, dialect, "{id}");
        assert_eq!(packet.user, expect["user"], "{id}");
        assert_eq!(packet.host, expect["host"], "{id}");
        if !expect["nick"].is_null() {
            let Body::Presence(presence) = &packet.body else { panic!("{id}") };
            assert_eq!(presence.nick, expect["nick"], "{id}");
            assert_eq!(presence.group, expect["group"], "{id}");
        }
        if !expect["text"].is_null() {
            let Body::Message(message) = &packet.body else { panic!("{id}") };
            assert_eq!(message.text, expect["text_stripped"], "{id}");
            assert_eq!(Charset::GBK.decode(raw.main()), text(&expect["text"]), "{id}");
            let font = FontBlock::split(raw.main()).1;
            assert_eq!(font.is_some(), expect["font"].is_object(), "{id}");
            if let Some(font) = font {
                assert_font(&font, &expect["font"]);
            }
            if expect["files"].is_null() {
                assert!(message.files.files.is_empty(), "{id}");
            } else {
                assert_files(&message.files, &expect["files"], id);
            }
        }
    }
}

fn assert_font(font: &FontBlock<'_>, expected: &Value) {
    let [r, g, b] = font.rgb();
    let read = json!({
        "height": font.height, "width": font.width, "escapement": font.escapement,
        "orientation": font.orientation, "weight": font.weight, "italic": font.italic,
        "underline": font.underline, "strikeout": font.strikeout, "charset": font.charset,
        "out_precision": font.out_precision, "clip_precision": font.clip_precision,
        "quality": font.quality, "pitch_family": font.pitch_family,
        "face": Charset::GBK.decode(font.face), "color": font.color,
        "rgb": format!("#{r:02x}{g:02x}{b:02x}"),
    });
    assert_eq!(read, *expected);
}

#[test]
fn the_emoticons_are_those_of_feiqs_own_panel() {
    let expected = vectors::feiq("emoticons");
    assert_eq!(expected.len(), EMOTICONS.len());
    for (at, (emoticon, expected)) in EMOTICONS.iter().zip(&expected).enumerate() {
        assert_eq!(at + 1, expected["n"]);
        assert_eq!(emoticon.code, expected["code"]);
        assert_eq!(emoticon.name, expected["name"]);
        assert_eq!(emoticon.emoji.to_string(), text(&expected["unicode"]));
    }
    let all: Value = serde_json::from_str(include_str!("../vectors/feiq-captures.json")).unwrap();
    let aliases = all["emoticon_aliases"].as_object().unwrap();
    assert_eq!(aliases.len(), ALIASES.len());
    for (alias, code) in ALIASES {
        assert_eq!(aliases[alias], code);
    }
}

#[test]
fn emoticons_of_a_recorded_text_are_shown_in_order() {
    let vector = named(&vectors::feiq("vectors"), "text-emoticons");
    let codes = vector["expect"]["emoticons"].as_array().unwrap();
    let expected: String = codes
        .iter()
        .map(|code| EMOTICONS.iter().find(|known| known.code == *code).unwrap().emoji)
        .collect();
    assert!(codes.len() > 5);
    assert_eq!(show(text(&vector["expect"]["text_stripped"])), expected);
}

/// What a node remembers of its peers.
#[derive(Default)]
struct Memory {
    /// By log-on name, computer name, and what a version field says beyond them.
    peers: BTreeMap<(String, String, Option<Vec<u8>>), Known>,
}

#[derive(Default)]
struct Known {
    dialect: Option<&'static Dialect>,
    names: Learned,
    texts: Learned,
}

impl Memory {
    fn read(&mut self, raw: &RawPacket<'_>) -> Packet {
        let stranger = Packet::read(raw, &Hint::default());
        let mac = FeiqVersion::parse(raw.version).and_then(|version| version.mac);
        let key = (stranger.user, stranger.host, mac.map(<[u8]>::to_vec));
        let known = self.peers.entry(key).or_default();
        let hint = Hint {
            dialect: known.dialect,
            names: known.names.verdict(),
            text: known.texts.verdict(),
            office: Office::Auto,
        };
        let packet = Packet::read(raw, &hint);
        known.names.learn(packet.names);
        match &packet.body {
            Body::Presence(presence) => {
                known.dialect = Some(packet.dialect);
                known.names.learn(presence.charset);
            }
            Body::Message(message) => known.texts.learn(message.charset),
            Body::Text(text) => known.texts.learn(text.charset),
            _ => {}
        }
        packet
    }
}

/// Compares a packet with what a recording expects.
fn assert_recorded(packet: &Packet, raw: &RawPacket<'_>, vector: &Value) {
    let (id, expect) = (text(&vector["id"]), &vector["expected"]);
    assert_eq!(raw.version, text(&expect["version"]).as_bytes(), "{id}");
    assert_eq!(packet.number.0, expect["packet_no"], "{id}");
    assert_eq!(raw.word.0, expect["command"], "{id}");
    assert_eq!(packet.user, expect["user"], "{id}");
    assert_eq!(packet.host, expect["host"], "{id}");
    let parts = expect["body_parts"].as_array().unwrap();
    match &packet.body {
        Body::Presence(presence) => {
            assert_eq!(presence.nick, parts[0], "{id}");
            if !expect["nickname"].is_null() {
                assert_eq!(presence.nick, expect["nickname"], "{id}");
                assert_eq!(presence.group, expect["group"], "{id}");
            }
        }
        Body::Message(message) => {
            let shown = expect.get("text_without_font").unwrap_or(&expect["text"]);
            assert_eq!(message.text, *shown, "{id}");
            if expect["files"].is_null() {
                assert!(message.files.files.is_empty(), "{id}");
            } else {
                assert_files(&message.files, &without_colons(vector), id);
            }
        }
        Body::Reference(number) => assert_eq!(number.0, expect["acknowledges"], "{id}"),
        _ => {}
    }
    if matches!(packet.body, Body::Presence(_) | Body::Message(_)) {
        let charset = body_charset(packet);
        let all: Vec<_> = std::iter::once(raw.main())
            .chain(raw.sections())
            .map(|part| charset.decode(part).into_owned())
            .collect();
        let expected: Vec<_> = parts.iter().map(text).collect();
        let kept = expected.iter().rposition(|part| !part.is_empty()).map_or(1, |last| last + 1);
        assert_eq!(all, expected[..kept], "{id}");
    }
}

/// The files a recording expects, without those whose name has a colon that its writer did not
/// double: nobody can split such an entry.
fn without_colons(vector: &Value) -> Value {
    let list = text(&vector["expected"]["body_parts"][1]);
    let files = vector["expected"]["files"].as_array().unwrap();
    let splittable = |file: &&Value| {
        let doubled = text(&file["name"]).replace(':', "::");
        list.contains(&doubled)
    };
    files.iter().filter(splittable).cloned().collect()
}

#[test]
fn every_recorded_peer_reads_right_in_the_order_it_spoke() {
    let mut memory = Memory::default();
    let (mut read, mut ambiguous) = (0, 0);
    for vector in vectors::peers() {
        if vector["expected"]["version"].is_null() {
            continue; // data of a TCP stream
        }
        let bytes = bytes(&vector);
        let raw = RawPacket::parse(&bytes).unwrap();
        let packet = memory.read(&raw);
        assert_recorded(&packet, &raw, &vector);
        read += 1;
        ambiguous += usize::from(!vector["expected"]["also_valid_as"].is_null());
    }
    assert_eq!((read, ambiguous), (173, 27));
}

#[test]
fn every_recorded_packet_reads_right_from_a_stranger_too() {
    for vector in vectors::peers() {
        if vector["expected"]["version"].is_null() {
            continue;
        }
        let bytes = bytes(&vector);
        let raw = RawPacket::parse(&bytes).unwrap();
        assert_recorded(&Packet::read(&raw, &Hint::default()), &raw, &vector);
    }
}

#[test]
fn the_dialect_of_every_recorded_peer_is_recognised() {
    for vector in vectors::peers() {
        let Some(version) = vector["expected"]["version"].as_str() else { continue };
        let expected = match version {
            version if version.starts_with("1_lbt") => "feiq",
            version if version.starts_with("1_iptux") => "iptux",
            _ => "ipmsg",
        };
        let bytes = bytes(&vector);
        let packet = Packet::read(&RawPacket::parse(&bytes).unwrap(), &Hint::default());
        assert_eq!(packet.dialect.name, expected);
    }
}

/// Writes what a recorded packet says, as this packet's own sender.
fn rewritten(raw: &RawPacket<'_>, packet: &Packet, dialect: &'static Dialect) -> Vec<u8> {
    let head = Head {
        version: str::from_utf8(raw.version).unwrap(),
        number: packet.number,
        user: &packet.user,
        host: &packet.host,
    };
    let form = dialect.habits.text_form(packet.options, Charset::GBK);
    match &packet.body {
        Body::Message(message) if !message.files.files.is_empty() => emit_offer(
            &head,
            packet.options,
            &message.text,
            form,
            &message.files.files,
            &dialect.habits,
        ),
        Body::Message(message) => emit_message(&head, packet.options, &message.text, form),
        Body::Reference(number) => {
            emit_ascii(&head, Charset::GBK, packet.command, packet.options, &number.to_string())
        }
        _ => emit_ascii(&head, Charset::GBK, packet.command, packet.options, ""),
    }
}

#[test]
fn what_we_write_to_feiq_has_the_bytes_feiq_writes() {
    let list = vectors::feiq("vectors");
    for id in ["noop-lbt6", "knock-lbt6-hex", "typing-lbt80", "text-emoticons"] {
        let vector = named(&list, id);
        let bytes = bytes(&vector);
        let raw = RawPacket::parse(&bytes).unwrap();
        let packet = Packet::read(&raw, &Hint::default());
        let written = rewritten(&raw, &packet, &FEIQ);
        // We send no font block.
        let (_, font) = FontBlock::split(raw.main());
        let end = font.map_or(bytes.len(), |_| written.len() - 1);
        assert_eq!(written[..written.len() - 1], bytes[..end.min(bytes.len() - 1)], "{id}");
    }
    // FeiQ writes a leading zero in the size; nothing else differs.
    let vector = named(&list, "file-offer-lbt80");
    let bytes = bytes(&vector);
    let raw = RawPacket::parse(&bytes).unwrap();
    let written = rewritten(&raw, &Packet::read(&raw, &Hint::default()), &FEIQ);
    let expected = String::from_utf8(bytes.clone()).unwrap().replace(":01f1:", ":1f1:");
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}

#[test]
fn recorded_texts_offers_and_receipts_are_rewritten_byte_for_byte() {
    let mut same = 0;
    for vector in vectors::peers() {
        let expect = &vector["expected"];
        let plain = expect["charset"] == "gb18030" || expect["charset"] == "ascii";
        let ours = ["text", "acknowledges"].iter().any(|key| !expect[key].is_null());
        // What a program writes that cuts its NUL or does not double a colon, nobody else writes.
        let odd = !expect["ends_with_nul"].as_bool().unwrap_or(false)
            || expect.get("text_without_font").is_some()
            || (expect["files"].is_array() && without_colons(&vector) != expect["files"])
            || expect["command"].as_u64().is_some_and(|word| word & 0xff == 0xff);
        if !plain || !ours || odd {
            continue;
        }
        let bytes = bytes(&vector);
        let raw = RawPacket::parse(&bytes).unwrap();
        let packet = Packet::read(&raw, &Hint::default());
        // The list of shared files has no colons between its entries.
        let dialect = match text(&expect["version"]) {
            version if version.starts_with("1_iptux") && expect["command"] != 0x8020_0020_u32 => {
                &IPTUX
            }
            _ => &FEIQ,
        };
        assert_eq!(
            Cow::Borrowed(rewritten(&raw, &packet, dialect).as_slice()).escape_ascii().to_string(),
            bytes.escape_ascii().to_string(),
            "{}",
            vector["id"]
        );
        same += 1;
    }
    assert!(same > 50, "{same}");
}

#[test]
fn file_ids_are_decimal_in_the_offer_and_hexadecimal_in_the_request() {
    let vector = named(&vectors::feiq("vectors"), "get-file-hex-id");
    let bytes = bytes(&vector);
    let request = RawPacket::parse(&bytes).unwrap();
    let id = vector["expect"]["file_request"]["file_id"].as_u64().unwrap();
    let asked = request.main().split(|&byte| byte == b':').nth(1).unwrap();
    assert_eq!(FEIQ.habits.request_ids.write(id).as_bytes(), asked);
    assert_eq!(IdBase::Decimal.write(id), "10000");
}

#[test]
fn a_feiq_peer_that_sets_utf8opt_is_read_in_what_it_really_wrote() {
    let head = b"1_lbt6_0#128#000C29A1B2C3#0#0#0#4001#9:1:u:h:8388896:".to_vec();
    for charset in [Charset::GBK, Charset::UTF_8] {
        let mut bytes = head.clone();
        bytes.extend(charset.encode("真的吗？", |_| String::new()));
        let packet = Packet::read(&RawPacket::parse(&bytes).unwrap(), &Hint::default());
        let Body::Message(message) = packet.body else { panic!() };
        assert_eq!((message.text.as_str(), message.charset.charset), ("真的吗？", charset));
    }
}

#[test]
fn one_of_us_is_known_by_its_entry_and_then_by_its_texts_too() {
    let version = "1_lbt6_0#128#02AABBCCDDEE#0#0#0#4001#9";
    let entry = format!("{version}:1:u:h:18874369:nick\0group\0\nVS:00F10001:0:1:0");
    let feige = Packet::read(&RawPacket::parse(entry.as_bytes()).unwrap(), &Hint::default());
    assert_eq!(feige.dialect.name, "feige");
    let text = format!("{version}:2:u:h:32:hello");
    let raw = RawPacket::parse(text.as_bytes()).unwrap();
    let hint = Hint { dialect: Some(feige.dialect), ..Hint::default() };
    assert_eq!(Packet::read(&raw, &hint).dialect.name, "feige");
    assert_eq!(Packet::read(&raw, &Hint::default()).dialect.name, "feiq");
    // A FeiQ that took over the address shows itself in its own entry.
    let other = format!("{version}:3:u:h:6291457:nick\0\0");
    let raw = RawPacket::parse(other.as_bytes()).unwrap();
    assert_eq!(Packet::read(&raw, &hint).dialect.name, "feiq");
}

#[test]
fn text_goes_to_each_peer_in_the_form_it_reads() {
    let head = Head { version: "1", number: PacketNo(1), user: "u", host: "h" };
    let write = |dialect: &str| {
        let dialect = Dialect::by_name(dialect).unwrap();
        let form = dialect.habits.text_form(feige::wire::Options::empty(), Charset::SHIFT_JIS);
        (emit_message(&head, feige::wire::Options::empty(), "好🙂🚀", form), form)
    };
    assert_eq!(write("feiq").0, b"1:1:u:h:32:\xba\xc3/:)[\xbb\xf0\xbc\xfd]\0");
    assert_eq!(write("iptux").0, b"1:1:u:h:32:\xba\xc3\x950\x852\x950\x8b4\0");
    assert_eq!(write("feige").0, "1:1:u:h:25165856:好🙂🚀\0".as_bytes());
    assert_eq!(write("ipmsg").0, b"1:1:u:h:32:\x8dD[U+1F642][U+1F680]\0");
    assert!(matches!(write("ipmsg").1, TextForm::Legacy(office) if office == Charset::SHIFT_JIS));
    assert_eq!(Command::SENDMSG.0, 32);
}

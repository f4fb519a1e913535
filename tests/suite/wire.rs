//! The wire layer against bytes of real clients (`tests/vectors/`), and its laws.

use feige::wire::attach::{FILES_MAX, FileEntry, FileList};
use feige::wire::body::{
    self, Body, Message, TEXT_MAX, emit_ascii, emit_message, emit_offer, emit_reference,
};
use feige::wire::command::{entry, message};
use feige::wire::dialect::{FEIQ, IPMSG, IPTUX, TextForm, emoticon};
use feige::wire::entry::{Announcement, Form, VERSION_TYPE};
use feige::wire::hosts::{HostEntry, emit_hosts};
use feige::wire::packet::{FIELD_MAX, Head, Hint, NAME_MAX, Packet, ParseError, RawPacket};
use feige::wire::{Charset, Command, CommandWord, Office, Options, PacketNo};
use proptest::prelude::*;
use serde_json::Value;

/// The vectors of one file, and what they have in common.
pub(crate) mod vectors {
    use serde_json::Value;

    pub(crate) fn packets() -> Vec<Value> {
        list(include_str!("../vectors/packets.json"), None)
    }

    pub(crate) fn attachments() -> Vec<Value> {
        list(include_str!("../vectors/attachments.json"), None)
    }

    pub(crate) fn feiq(part: &str) -> Vec<Value> {
        list(include_str!("../vectors/feiq-captures.json"), Some(part))
    }

    pub(crate) fn peers() -> Vec<Value> {
        list(include_str!("../vectors/peer-captures.json"), Some("cases"))
    }

    fn list(json: &str, part: Option<&str>) -> Vec<Value> {
        let json: Value = serde_json::from_str(json).unwrap();
        let list = part.map_or(&json, |part| &json[part]).as_array().unwrap().clone();
        assert!(!list.is_empty());
        list
    }

    pub(crate) fn bytes(vector: &Value) -> Vec<u8> {
        unhex(vector["hex"].as_str().unwrap())
    }

    pub(crate) fn unhex(hex: &str) -> Vec<u8> {
        let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
        hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    pub(crate) fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }

    pub(crate) fn text(value: &Value) -> &str {
        value.as_str().unwrap()
    }

    /// The vector of this id.
    pub(crate) fn named(list: &[Value], id: &str) -> Value {
        list.iter().find(|vector| vector["id"] == id).unwrap_or_else(|| panic!("{id}")).clone()
    }
}

use vectors::{bytes, named, text};

/// Compares a file list with the expected one; every vector names its fields the same way.
pub(crate) fn assert_files(read: &FileList, expected: &Value, id: &str) {
    let expected = expected.as_array().unwrap();
    assert_eq!(read.files.len(), expected.len(), "{id}: {read:?}");
    for (file, expected) in read.files.iter().zip(expected) {
        assert_eq!(file.id, expected["id"], "{id}");
        assert_eq!(file.name, expected["name"], "{id}");
        assert_eq!(file.size, expected["size"], "{id}");
        assert_eq!(file.mtime, expected["mtime"], "{id}");
        assert_eq!(file.attr, expected["attr"], "{id}");
    }
}

fn office(vector: &Value, key: &str) -> Office {
    Office::Fixed(text(&vector[key]).parse().unwrap())
}

fn raw(bytes: &[u8]) -> RawPacket<'_> {
    RawPacket::parse(bytes).unwrap()
}

fn emitted(raw: &RawPacket<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    raw.emit(&mut out);
    out
}

/// The charset a packet's main text was read in.
pub(crate) fn body_charset(packet: &Packet) -> Charset {
    match &packet.body {
        Body::Presence(presence) => presence.charset.charset,
        Body::Message(message) => message.charset.charset,
        Body::Text(text) => text.charset.charset,
        _ => packet.names.charset,
    }
}

#[test]
fn every_packet_vector_reads_as_expected() {
    for vector in vectors::packets() {
        let (id, bytes, expect) = (text(&vector["id"]), bytes(&vector), &vector["expect"]);
        let parsed = RawPacket::parse(&bytes);
        if let Some(error) = expect["error"].as_str() {
            let expected = match error {
                "empty" => ParseError::Empty,
                "fields" => ParseError::Fields,
                "version" => ParseError::Version,
                "packet_no" => ParseError::PacketNo,
                "command" => ParseError::Command,
                other => panic!("{other}"),
            };
            assert_eq!(parsed.unwrap_err(), expected, "{id}");
            continue;
        }
        let raw = parsed.unwrap();
        assert_eq!(raw.version, text(&expect["version_raw"]).as_bytes(), "{id}");
        assert_eq!(raw.number_text, text(&expect["packet_no_raw"]).as_bytes(), "{id}");
        assert_eq!(raw.number.0, expect["packet_no"], "{id}");
        assert_eq!(raw.word.0, expect["command"], "{id}");
        assert_eq!(raw.command().0, expect["mode"], "{id}");
        assert_eq!(raw.options().bits(), expect["options"], "{id}");

        let hint = Hint { office: office(&vector, "legacy_charset"), ..Hint::default() };
        let packet = Packet::read(&raw, &hint);
        assert_eq!(packet.user, expect["user"], "{id}");
        assert_eq!(packet.host, expect["host"], "{id}");
        let charset = body_charset(&packet);
        assert_eq!(charset.decode(raw.main()), text(&expect["body"]), "{id}");
        if let Some(hex) = expect["body_hex"].as_str() {
            assert_eq!(raw.main(), vectors::unhex(hex), "{id}");
        }
        if let Some(sections) = expect["sections"].as_array() {
            // The lines of newer clients are UTF-8 whatever the rest is in.
            let read: Vec<_> = raw
                .sections()
                .map(|s| if s.starts_with(b"\n") { Charset::UTF_8 } else { charset }.decode(s))
                .collect();
            assert_eq!(read, sections.iter().map(text).collect::<Vec<_>>(), "{id}");
        }
        assert_eq!(packet.fingerprint(), expect["fingerprint"].as_str(), "{id}");
        match &packet.body {
            Body::Message(message) => assert_eq!(message.text, expect["body"], "{id}"),
            Body::Text(info) => assert_eq!(info.text, expect["body"], "{id}"),
            Body::Presence(presence) => {
                for (read, key) in [(&presence.nick, "nick"), (&presence.group, "group")] {
                    if !expect[key].is_null() {
                        assert_eq!(read, text(&expect[key]), "{id}");
                    }
                }
                if !expect["ver"].is_null() {
                    assert_eq!(presence.version.as_deref(), expect["ver"].as_str(), "{id}");
                }
            }
            _ => {}
        }
        if !expect["ref_packet_no"].is_null() {
            let Body::Reference(number) = packet.body else { panic!("{id}") };
            assert_eq!(number.0, expect["ref_packet_no"], "{id}");
        }
        if !expect["anslist"].is_null() {
            assert_hosts(&packet, &expect["anslist"]);
        }
    }
}

fn assert_hosts(packet: &Packet, expected: &Value) {
    let Body::Hosts(list) = &packet.body else { panic!("{packet:?}") };
    assert_eq!((list.next, list.count), (0, 2));
    assert_eq!(list.next, expected["next"]);
    assert_eq!(list.count, expected["count"]);
    let hosts = expected["hosts"].as_array().unwrap();
    assert_eq!(list.hosts.len(), hosts.len());
    for (host, expected) in list.hosts.iter().zip(hosts) {
        assert_eq!(host.user, expected["user"]);
        assert_eq!(host.host, expected["host"]);
        assert_eq!(host.status, expected["status"]);
        assert_eq!(host.addr.to_string(), text(&expected["addr"]));
        assert_eq!(host.port, expected["port"]);
        assert_eq!(host.nick, expected["nick"]);
        assert_eq!(host.group, expected["group"]);
    }
}

#[test]
fn an_office_that_says_nothing_reads_the_packet_vectors_too() {
    for vector in vectors::packets() {
        let (id, bytes, expect) = (text(&vector["id"]), bytes(&vector), &vector["expect"]);
        let Ok(raw) = RawPacket::parse(&bytes) else { continue };
        let packet = Packet::read(&raw, &Hint::default());
        assert_eq!(packet.user, expect["user"], "{id}");
        if id == "sendinfo-ja" {
            // One kanji among Latin letters: no detector can know.
            continue;
        }
        assert_eq!(packet.host, expect["host"], "{id}");
        assert_eq!(body_charset(&packet).decode(raw.main()), text(&expect["body"]), "{id}");
    }
}

#[test]
fn every_recorded_packet_is_written_back_byte_for_byte() {
    let mut packets = 0;
    for vector in everything() {
        let bytes = bytes(&vector);
        if let Ok(raw) = RawPacket::parse(&bytes) {
            assert_eq!(emitted(&raw), bytes, "{}", vector["id"]);
            packets += 1;
        }
    }
    assert_eq!(packets, 52 + 38 + 173);
}

fn everything() -> Vec<Value> {
    [vectors::packets(), vectors::feiq("vectors"), vectors::peers()].concat()
}

#[test]
fn a_payload_cut_anywhere_never_panics() {
    let touch = |bytes: &[u8]| {
        if let Ok(raw) = RawPacket::parse(bytes) {
            assert_eq!(emitted(&raw), bytes);
            let packet = Packet::read(&raw, &Hint::default());
            // Printing reads every field.
            assert!(!format!("{raw:?}{packet:?}{:?}", packet.fingerprint()).is_empty());
        }
    };
    for vector in everything() {
        let bytes = bytes(&vector);
        for end in 0..=bytes.len() {
            touch(&bytes[..end]);
        }
    }
    for vector in vectors::attachments() {
        let bytes = bytes(&vector);
        for end in 0..=bytes.len() {
            let list = FileList::read(&bytes[..end], Charset::UTF_8);
            assert!(!format!("{list:?}").is_empty());
        }
    }
}

#[test]
fn every_file_list_reads_as_expected() {
    for vector in vectors::attachments() {
        let (id, expect) = (text(&vector["id"]), &vector["expect"]);
        let charset: Charset = text(&vector["charset"]).parse().unwrap();
        let list = FileList::read(&bytes(&vector), charset);
        assert_files(&list, &expect["files"], id);
        for (file, expected) in list.files.iter().zip(expect["files"].as_array().unwrap()) {
            assert_eq!(file.kind(), expected["type"], "{id}");
            let attributes = expected["ext"].as_object().unwrap();
            assert_eq!(file.extended.len(), attributes.len(), "{id}");
            for (key, values) in &file.extended {
                let expected = attributes[&format!("{key:x}")].as_array().unwrap();
                assert_eq!(
                    *values,
                    expected.iter().map(|value| value.as_u64().unwrap()).collect::<Vec<_>>()
                );
            }
        }
        for left_out in ["skipped", "stop_or_skip"] {
            for refused in expect[left_out].as_array().into_iter().flatten() {
                assert!(list.skipped > 0, "{id}");
                assert!(list.files.iter().all(|file| file.id != *refused), "{id}");
            }
        }
    }
}

#[test]
fn file_lists_in_the_official_form_are_written_back_byte_for_byte() {
    let list = vectors::attachments();
    for id in [
        "one",
        "two",
        "big",
        "escape",
        "utf8",
        "cp932",
        "gbk",
        "clip",
        "clip-two",
        "ext",
        "hidden-ro",
        "empty",
    ] {
        let vector = named(&list, id);
        let charset: Charset = text(&vector["charset"]).parse().unwrap();
        let read = FileList::read(&bytes(&vector), charset);
        let mut written = Vec::new();
        FileList::write(&read.files, charset, IPMSG.habits.list_joint, &mut written);
        assert_eq!(written, bytes(&vector), "{id}");
    }
}

/// Everything our emitters need from a recorded packet.
fn head_of(packet: &Packet) -> Head<'_> {
    Head { version: "1", number: packet.number, user: &packet.user, host: &packet.host }
}

#[test]
fn our_messages_have_the_bytes_of_official_ones() {
    let list = vectors::packets();
    for id in [
        "sendmsg-nul",
        "sendmsg-colons",
        "sendmsg-empty",
        "sendmsg-lf",
        "sendmsg-utf8",
        "sendmsg-cp932",
        "sendmsg-gbk",
        "sendmsg-secret",
        "sendmsg-autoret",
        "sendmsg-multicast",
        "sendmsg-attach-clear",
    ] {
        let vector = named(&list, id);
        let bytes = bytes(&vector);
        let hint = Hint { office: office(&vector, "legacy_charset"), ..Hint::default() };
        let packet = Packet::read(&raw(&bytes), &hint);
        let form = IPMSG.habits.text_form(packet.options, hint.office.own());
        assert_eq!(matches!(form, TextForm::Utf8), id == "sendmsg-utf8", "{id}");
        let Body::Message(Message { text, files, .. }) = &packet.body else { panic!("{id}") };
        let head = head_of(&packet);
        let written = if files.files.is_empty() {
            emit_message(&head, packet.options, text, form)
        } else {
            emit_offer(&head, packet.options, text, form, &files.files, &IPMSG.habits)
        };
        assert_eq!(written, bytes, "{id}");
    }
}

#[test]
fn our_short_answers_have_the_bytes_of_official_ones() {
    let list = vectors::packets();
    for id in [
        "recvmsg",
        "readmsg-check",
        "ansreadmsg",
        "releasefiles",
        "getinfo",
        "sendinfo",
        "sendabsenceinfo",
        "getlist-next",
        "br-exit-bare",
    ] {
        let bytes = bytes(&named(&list, id));
        let packet = Packet::read(&raw(&bytes), &Hint::default());
        let (head, command, options) = (head_of(&packet), packet.command, packet.options);
        let written = match &packet.body {
            Body::Reference(of) => emit_reference(&head, Charset::GBK, command, options, *of),
            Body::Text(text) => emit_ascii(&head, Charset::GBK, command, options, &text.text),
            Body::GetHosts(index) => {
                emit_ascii(&head, Charset::GBK, command, options, &index.to_string())
            }
            _ => emit_ascii(&head, Charset::GBK, command, options, ""),
        };
        assert_eq!(written, bytes, "{id}");
    }
}

#[test]
fn our_host_list_has_the_bytes_of_an_official_one() {
    let vector = named(&vectors::packets(), "anslist");
    let bytes = bytes(&vector);
    let packet = Packet::read(&raw(&bytes), &Hint::default());
    let Body::Hosts(list) = &packet.body else { panic!("{packet:?}") };
    let head = head_of(&packet);
    assert_eq!(emit_hosts(&head, packet.options, &list.hosts, 0, Charset::SHIFT_JIS), bytes);
}

#[test]
fn our_entries_have_the_bytes_of_official_ones_but_for_the_version() {
    let list = vectors::packets();
    for (id, form, utf8) in [
        ("br-entry-499", Form::Full, false),
        ("br-absence-499", Form::Full, false),
        ("br-exit-499", Form::Full, false),
        ("noop-499", Form::Full, false),
        ("br-entry-fingerprint", Form::Full, false),
        ("ansentry-499", Form::Plain, true),
    ] {
        let vector = named(&list, id);
        let bytes = bytes(&vector);
        let hint = Hint { office: office(&vector, "legacy_charset"), ..Hint::default() };
        let packet = Packet::read(&raw(&bytes), &hint);
        let Body::Presence(presence) = &packet.body else { panic!("{id}") };
        let announcement = Announcement {
            head: head_of(&packet),
            nick: &presence.nick,
            group: &presence.group,
            office: if utf8 { Office::Fixed(Charset::UTF_8) } else { hint.office },
            version: [4, 99, 103],
        };
        let written = announcement.emit(packet.command, packet.options, form);
        let theirs = String::from_utf8_lossy(&bytes)
            .replace("VS:00010002", "VS:00010001")
            .replace("VS:00010001", &format!("VS:{VERSION_TYPE}"));
        assert_eq!(String::from_utf8_lossy(&written), theirs, "{id}");
    }
}

/// Any bytes behind a header that is read, so that the readers behind it are reached.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let commands = prop::sample::select(vec![
        0_u32, 1, 2, 3, 4, 0x18, 0x12, 0x13, 0x20, 0x21, 0x30, 0x32, 0x41, 0x51, 0x61, 0xc0,
    ]);
    let options = prop::sample::select(vec![
        0,
        message::UTF8.bits(),
        message::FILE_ATTACH.bits(),
        entry::CAP_UTF8.bits(),
        message::UTF8.bits() | message::FILE_ATTACH.bits() | entry::CAP_UTF8.bits(),
    ]);
    let versions =
        prop::sample::select(vec!["1", "1_iptux 0.8.3", "1_lbt6_0#128#000C29A1B2C3#0#0#0#4001#9"]);
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::sample::select(vec![
            &b"\0"[..],
            b"\0\n",
            b"\n",
            b"\nNN:",
            b"\nUN:",
            b"VS:",
            b":",
            b"::",
            b"\x07",
            b"\x07:",
            b"0:a:1:2:1:\x07",
            b"8=3",
            b"    0\x07    1\x07",
            b"10.0.0.1",
            b"\x08",
            b"-",
            b"77",
            b"{/font;",
            b"-16 0 0 0 400 0 0 0 134 0 0 2 32 x 1;}",
            b"-<0123456789abcdef>",
            b"\xd0\xbb\xd0\xbb",
            b"\x83j\x83b",
            b"\xe6\x97\xa5",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    let body = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    (versions, commands, options, prop::collection::vec(any::<u8>(), 0..20), body).prop_map(
        |(version, command, options, user, body)| {
            let mut bytes = format!("{version}:7:").into_bytes();
            bytes.extend(user.into_iter().filter(|byte| ![b':', 0].contains(byte)));
            bytes.extend_from_slice(format!(":h:{}:", command | options).as_bytes());
            bytes.extend_from_slice(&body);
            bytes
        },
    )
}

fn offices() -> impl Strategy<Value = Office> {
    prop::sample::select(vec![
        Office::Auto,
        Office::Fixed(Charset::GBK),
        Office::Fixed(Charset::SHIFT_JIS),
        Office::Fixed(Charset::UTF_8),
    ])
}

/// Text as people write it, with everything that has tripped a messenger.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[一-龥]{1,8}",
        "[ -~\n]{1,12}",
        prop::sample::select(vec![
            "谢谢",
            "目录",
            "🙂",
            "🚀",
            "/:)",
            "{/font;",
            "&#128640;",
            "[U+1F680]"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn without_returns(text: &str) -> String {
    text.replace(['\r', '\0'], "")
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[一-龥a-z]{1,12}", any::<String>()]
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_split_without_loss(bytes: Vec<u8>) {
        if let Ok(raw) = RawPacket::parse(&bytes) {
            prop_assert_eq!(emitted(&raw), bytes);
        }
    }

    #[test]
    fn what_strangers_send_stays_within_the_caps(bytes in packets(), office in offices()) {
        let raw = raw(&bytes);
        prop_assert_eq!(emitted(&raw), bytes.clone());
        let packet = Packet::read(&raw, &Hint { office, ..Hint::default() });
        prop_assert!(packet.user.len() <= NAME_MAX && packet.host.len() <= NAME_MAX);
        match &packet.body {
            Body::Presence(presence) => {
                prop_assert!(presence.nick.len() <= NAME_MAX && presence.group.len() <= NAME_MAX);
            }
            Body::Message(message) => {
                prop_assert!(message.text.len() <= TEXT_MAX);
                prop_assert!(message.files.files.len() <= FILES_MAX);
            }
            _ => {}
        }
        let printed = format!("{raw:?}{packet:?}");
        prop_assert!(!printed.is_empty());
        // What was learnt from it never makes the same packet unreadable.
        let again = Packet::read(&raw, &Hint { office, names: Some(packet.names), ..Hint::default() });
        prop_assert_eq!(again.user, packet.user);
    }

    #[test]
    fn arbitrary_file_lists_are_read(bytes: Vec<u8>) {
        let list = FileList::read(&bytes, Charset::GBK);
        prop_assert!(list.files.len() <= FILES_MAX);
    }

    #[test]
    fn a_header_of_ours_reads_as_it_was_meant(user in names(), host in names(), number: u32, word: u32) {
        let head = Head { version: "1", number: PacketNo(number.into()), user: &user, host: &host };
        let mut out = Vec::new();
        head.emit(CommandWord(word), Charset::UTF_8, &mut out);
        let raw = raw(&out);
        prop_assert_eq!((raw.number, raw.word), (PacketNo(number.into()), CommandWord(word)));
        prop_assert!(!raw.user.is_empty() && raw.user.len() <= FIELD_MAX);
        let read = str::from_utf8(raw.user).unwrap();
        let clean = user.replace(|c: char| c == ':' || c.is_control(), ";");
        let meant = if user.is_empty() { "-" } else { &clean };
        prop_assert!(meant.starts_with(read));
    }

    #[test]
    fn a_message_of_ours_reads_as_it_was_typed(typed in texts()) {
        let head = Head { version: "1", number: PacketNo(1), user: "u", host: "h" };
        let bytes = emit_message(&head, message::SEND_CHECK, &typed, TextForm::Utf8);
        let packet = Packet::read(&raw(&bytes), &Hint::default());
        let Body::Message(message) = packet.body else { panic!() };
        prop_assert_eq!(message.text, without_returns(&typed));
    }

    #[test]
    fn any_text_to_a_feiq_peer_reads_as_typed_or_as_its_substitute(typed in texts()) {
        let head = Head { version: "1", number: PacketNo(1), user: "u", host: "h" };
        let form = FEIQ.habits.text_form(Options::empty(), Charset::GBK);
        let bytes = emit_message(&head, message::SEND_CHECK, &typed, form);
        prop_assert_eq!(bytes.last(), Some(&0));
        let shown = Charset::GBK.decode_strictly(raw(&bytes).main()).unwrap().into_owned();
        let typed = without_returns(&typed);
        prop_assert_eq!(&shown, &emoticon::substitute(&typed));
        let again = Charset::GBK.encode(&typed, |_| String::new());
        if Charset::GBK.decode(&again) == typed {
            prop_assert_eq!(shown, typed);
        }
    }

    #[test]
    fn any_text_to_an_iptux_peer_reads_as_typed(typed in texts()) {
        // The one character GB18030 as the web knows it has no code for.
        let typed = typed.replace('\u{e5e5}', "");
        let head = Head { version: "1", number: PacketNo(1), user: "u", host: "h" };
        let form = IPTUX.habits.text_form(Options::empty(), Charset::GBK);
        let bytes = emit_message(&head, message::SEND_CHECK, &typed, form);
        let shown = Charset::GB18030.decode(raw(&bytes).main()).into_owned();
        prop_assert_eq!(shown, without_returns(&typed));
    }

    #[test]
    fn an_offer_of_ours_reads_as_it_was_made(
        names in prop::collection::vec("[^/\\\\\\p{C}\\s][^/\\\\\\p{C}]{0,30}", 1..6),
        size in 0..=i64::MAX as u64, mtime: u64, option in 0_u32..0xff_ffff, position: u64,
    ) {
        let files: Vec<_> = names
            .into_iter()
            .filter(|name| name != "." && name != "..")
            .zip(0..)
            .map(|(name, id)| FileEntry {
                id, name, size, mtime, attr: option << 8 | 1, extended: vec![(8, vec![position])],
            })
            .collect();
        let head = Head { version: "1", number: PacketNo(1), user: "u", host: "h" };
        for dialect in [&IPMSG, &IPTUX, &FEIQ] {
            let bytes =
                emit_offer(&head, Options::empty(), "files", TextForm::Utf8, &files, &dialect.habits);
            let Body::Message(message) = Packet::read(&raw(&bytes), &Hint::default()).body else {
                panic!()
            };
            prop_assert_eq!(&message.files.files, &files);
            prop_assert_eq!(message.text, "files");
        }
    }

    #[test]
    fn a_host_list_of_ours_reads_as_it_was_made(
        names in prop::collection::vec(("[a-z]{1,9}", "[一-龥]{1,9}", "[一-龥]{0,9}"), 0..20),
        status: u32, port in 1_u16.., addr in 1_u32..0xdfff_ffff,
    ) {
        prop_assume!(addr >> 24 != 0);
        let hosts: Vec<_> = names
            .into_iter()
            .map(|(user, nick, group)| HostEntry {
                user, host: "电脑".into(), status, addr: std::net::Ipv4Addr::from(addr).into(), port, nick, group,
            })
            .collect();
        let head = Head { version: "1", number: PacketNo(1), user: "u", host: "h" };
        let bytes = emit_hosts(&head, message::UTF8, &hosts, 0, Charset::UTF_8);
        let Body::Hosts(list) = Packet::read(&raw(&bytes), &Hint::default()).body else { panic!() };
        prop_assert_eq!(list.hosts, hosts);
    }

    #[test]
    fn an_entry_of_ours_reads_as_it_was_meant(nick in "[一-龥]{2,9}", group in "[一-龥a-z]{0,9}") {
        // Without lines to prove it, no reader can know the charset of such bytes.
        let gbk = Charset::GBK.encode(&format!("{nick}{group}"), |_| String::new());
        let ambiguous = Charset::UTF_8.reads(&gbk);
        let announcement = Announcement {
            head: Head { version: "1_lbt6_0#128#02AABBCCDDEE#0#0#0#4001#9", number: PacketNo(1), user: "u", host: "h" },
            nick: &nick,
            group: &group,
            office: Office::Auto,
            version: [0, 1, 0],
        };
        for form in [Form::Plain, Form::Full] {
            if form == Form::Plain && ambiguous {
                continue;
            }
            let bytes = announcement.emit(Command::BR_ENTRY, entry::CAP_UTF8, form);
            let hint = Hint { office: Office::Fixed(Charset::GBK), ..Hint::default() };
            let packet = Packet::read(&raw(&bytes), &hint);
            prop_assert_eq!(packet.dialect.name, "feige");
            let Body::Presence(presence) = packet.body else { panic!() };
            prop_assert_eq!((&presence.nick, &presence.group), (&nick, &group));
        }
    }
}

#[test]
fn the_limits_named_in_the_reference_hold() {
    assert_eq!((body::DATAGRAM_MAX, TEXT_MAX, NAME_MAX), (32_767, 65_536, 256));
}

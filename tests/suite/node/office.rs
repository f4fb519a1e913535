//! Offices whose clients declare nothing and write neither GBK nor UTF-8: the setting says what
//! their bytes are, from the first packet on.

use feige::node::{
    CharsetRecord, Delivery, Effect, Input, Memory, Node, Record, Reply, Request, Tick,
};
use feige::wire::{Charset, Office, RawPacket};

use super::desk::{self, Desk, addr, link, ms};

/// A client of such an office: its charset, its names, and what it says.
struct Client {
    charset: Charset,
    nick: &'static str,
    group: &'static str,
    user: &'static str,
    text: &'static str,
}

const CLIENTS: [Client; 3] = [
    Client {
        charset: Charset::EUC_KR,
        nick: "김철수",
        group: "개발팀",
        user: "철수",
        text: "안녕하세요, 회의 시작합니다",
    },
    Client {
        charset: Charset::BIG5,
        nick: "王大明",
        group: "業務部",
        user: "大明",
        text: "會議改到下午三點",
    },
    Client {
        charset: Charset::SHIFT_JIS,
        nick: "田中",
        group: "開発部",
        user: "太郎",
        text: "会議は三時からです",
    },
];

impl Client {
    fn bytes(&self, text: &str) -> Vec<u8> {
        self.charset.encode(text, |c| panic!("{c} is not in {}", self.charset))
    }

    fn packet(&self, number: u64, word: u32, main: &str, group: &str) -> Vec<u8> {
        let packet = format!("1:{number}:{}:pc:{word}:{main}\0{group}", self.user);
        self.bytes(&packet)
    }

    fn entry(&self, number: u64) -> Vec<u8> {
        self.packet(number, 1, self.nick, self.group)
    }

    fn message(&self, number: u64) -> Vec<u8> {
        self.packet(number, 288, self.text, "")
    }
}

fn office(charset: Office) -> Desk {
    Desk::with(|config| config.office = charset)
}

#[test]
fn the_next_owner_of_the_port_has_the_office_that_was_set() {
    let client = &CLIENTS[0];
    let mut desk = office(Office::Auto);
    desk.ask(Request::SetOffice { charset: Office::Fixed(client.charset) });
    let note = serde_json::to_string(&desk.node.hand_over()).unwrap();
    let note = serde_json::from_str(&note).unwrap();
    let mut next = Desk::of(Node::resume(desk::config(), [9; 32], note, desk.now));
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    next.hear("10.0.0.5", client.entry(1));
    assert_eq!(next.nicks(), [client.nick]);
}

#[test]
fn the_first_packet_reads_right_in_the_offices_charset() {
    for client in CLIENTS {
        let mut desk = office(Office::Fixed(client.charset));
        desk.hear("10.0.0.5", client.entry(1));
        let peer = desk.peer(client.nick);
        assert_eq!((peer.group.as_str(), peer.user.as_str()), (client.group, client.user));
        assert_eq!(peer.charset, Some(client.charset));

        let mut desk = office(Office::Fixed(client.charset));
        let out = desk.hear("10.0.0.5", client.message(1));
        let message = &out.messages()[0];
        assert_eq!((message.text.as_str(), message.delivery), (client.text, Delivery::Direct));
        assert_eq!(message.peer.as_ref().unwrap().user, client.user, "before any entry");
    }
}

#[test]
fn our_names_and_texts_are_written_in_the_offices_charset() {
    for client in CLIENTS {
        let mut desk = Desk::bare(|config| {
            config.office = Office::Fixed(client.charset);
            config.identity.nick = client.nick.into();
            config.identity.group = client.group.into();
        });
        let out = desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
        let names =
            [client.bytes(client.nick), b"\0".to_vec(), client.bytes(client.group)].concat();
        let entries = out
            .transmits()
            .into_iter()
            .filter(|transmit| transmit.bytes.windows(names.len()).any(|part| part == names));
        assert!(entries.count() > 0, "{}", client.charset);
        desk.hear("10.0.0.5", client.entry(1));
        let (_, out) = desk.send(client.nick, client.text);
        // The answer to the entry goes first.
        let sent = out.transmits().into_iter().rfind(|transmit| transmit.to == addr("10.0.0.5"));
        let raw = RawPacket::parse(&sent.unwrap().bytes).unwrap();
        assert_eq!(raw.main(), client.bytes(client.text));
    }
}

/// Sets the office's charset of a running node: nothing of it is announced anew unless it changed.
fn set(desk: &mut Desk, charset: Office) -> usize {
    let (reply, out) = desk.ask(Request::SetOffice { charset });
    assert_eq!(reply, Reply::Done);
    out.transmits().len()
}

#[test]
fn a_running_node_takes_the_setting_over() {
    for client in CLIENTS {
        let charset = Office::Fixed(client.charset);
        let mut desk = office(Office::Auto);
        desk.hear("10.0.0.5", client.entry(1));
        let before = desk.hear("10.0.0.5", client.message(2));
        if client.charset == Charset::EUC_KR {
            assert_ne!(before.messages()[0].text, client.text, "Korean reads as hanzi");
        }
        assert!(set(&mut desk, charset) > 0, "everybody is asked for their names again");
        assert_eq!(set(&mut desk, charset), 0);
        desk.hear("10.0.0.5", client.packet(3, 3, client.nick, client.group));
        assert_eq!(desk.peer(client.nick).group, client.group);
        let after = desk.hear("10.0.0.5", client.message(4));
        assert_eq!(after.messages()[0].text, client.text);
        let (_, out) = desk.send(client.nick, client.text);
        // The answer to the entry goes first.
        let raw = RawPacket::parse(&out.transmits().last().unwrap().bytes).unwrap();
        assert_eq!(raw.main(), client.bytes(client.text));
    }
}

#[test]
fn what_was_assumed_before_the_setting_does_not_outlive_it() {
    let [client, ..] = CLIENTS;
    let mut desk = office(Office::Auto);
    let mut memory = Memory::default();
    for bytes in [client.entry(1), client.message(2)] {
        let out = desk.hear("10.0.0.5", bytes);
        memory.charsets.extend(out.effects.iter().filter_map(kept));
    }
    assert!(!memory.charsets.is_empty(), "it was taken for GBK, and that was kept");
    let mut config = desk::config();
    config.office = Office::Fixed(client.charset);
    let mut next = Desk::of(Node::new(config, [3; 32]));
    next.node.remember(next.now, memory);
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    next.pass(ms(20_000));
    let out = next.hear("10.0.0.5", client.message(3));
    assert_eq!(out.messages()[0].text, client.text);
}

fn kept((_, effect): &(Tick, Effect)) -> Option<CharsetRecord> {
    match effect {
        Effect::Save(_, Record::Charsets(record)) => Some(record.clone()),
        _ => None,
    }
}

//! A node among FeiQ users: the simulated FeiQ of `support/feiq` beside a node on a desk.

use std::net::SocketAddr;

use feige::node::{
    CharsetRecord, Delivery, Direction, Done, Effect, Event, Input, Job, Keyring, Memory, Node,
    Office as Charsets, Outcome as Ended, Record, Refusal, Reply, Request, RequestId, SaveResult,
    Target, Tick,
};
use feige::wire::{Charset, Command, PacketNo, RawPacket, Sure};
use rand::rngs::OsRng;

use super::desk::{self, Desk, Outcome, addr, feiq, link, ms, official, peer_id, plain};
use crate::support::feiq::{Feiq, Out, Shown, To};
use crate::wire::vectors::{self, named};

const MAC: &str = "080027090471";

/// We on 10.0.0.1 and a FeiQ on 10.0.0.9, every datagram delivered at once, every record kept, every
/// job with keys done.
struct Office {
    desk: Desk,
    ring: Keyring,
    feiq: Feiq,
    events: Vec<Event>,
    records: Vec<Record>,
}

impl Office {
    fn here() -> SocketAddr {
        addr("10.0.0.1")
    }

    /// Both started, and each knows the other.
    fn new() -> Self {
        let mut office = Self {
            desk: Desk::new(),
            ring: Keyring::default(),
            feiq: Feiq::new("王小明", MAC),
            events: Vec::new(),
            records: Vec::new(),
        };
        let out = office.feiq.start();
        office.post(out);
        office.pass(2_000);
        assert!(office.feiq.contacts.contains_key(&Self::here()), "it knows us");
        office
    }

    /// What the FeiQ sends.
    fn post(&mut self, out: Out) {
        for (to, bytes) in out {
            if matches!(to, To::One(at) if at != Self::here()) {
                continue;
            }
            let outcome = self.desk.hear("10.0.0.9", bytes);
            self.perform(outcome);
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut Feiq) -> Out) {
        let out = act(&mut self.feiq);
        self.post(out);
    }

    fn pass(&mut self, millis: u64) {
        let outcome = self.desk.pass(ms(millis));
        self.perform(outcome);
    }

    fn ask(&mut self, request: Request) -> Reply {
        let (reply, outcome) = self.desk.ask(request);
        self.perform(outcome);
        reply
    }

    fn perform(&mut self, outcome: Outcome) {
        for (_, effect) in outcome.effects {
            match effect {
                Effect::Transmit(sent) => {
                    let heard = sent.to == addr("10.0.0.9")
                        || sent.to == addr("255.255.255.255")
                        || sent.to == addr("226.81.9.8");
                    if heard {
                        let out = self.feiq.hear(Self::here(), &sent.bytes);
                        self.post(out);
                    }
                }
                Effect::Save(id, record) => {
                    self.records.push(record);
                    let kept = SaveResult::Kept { seq: None };
                    let outcome = self.desk.input(Input::Saved(id, kept));
                    self.perform(outcome);
                }
                Effect::Crypto(id, job) => {
                    let done = self.ring.perform(job, &mut OsRng);
                    let outcome = self.desk.input(Input::Crypto(id, done));
                    self.perform(outcome);
                }
                Effect::Emit { event, .. } => self.events.push(event),
                _ => {}
            }
        }
    }

    fn wang(&mut self) -> Target {
        Target::Peer(self.desk.peer("王小明").id)
    }

    /// Texts received since the start, as their reader sees them.
    fn read(&self) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Message(m) if m.direction == Direction::In => {
                Some(m.shown.clone().unwrap_or_else(|| m.text.clone()))
            }
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    fn send(&mut self, text: &str) {
        let to = vec![self.wang()];
        let (_, outcome) = self.desk.send_to(to, text);
        self.perform(outcome);
    }
}

#[test]
fn a_feiq_user_sees_another_feiq() {
    let mut office = Office::new();
    let at = Office::here();
    let contact = &office.feiq.contacts[&at];
    assert!(contact.family, "its extras are for us too");
    let known = Shown::Contact { at, nick: "小飞".into(), group: "研发部".into() };
    assert_eq!(office.feiq.shown, [known]);
    assert_eq!(office.desk.peer("王小明").dialect, "feiq");

    // We do not announce encryption, so this comes in clear.
    office.act(|feiq| feiq.say(at, "下班一起吃饭？ {ok;} /:shake/:) http://8-)x"));
    assert_eq!(office.read(), ["下班一起吃饭？ {ok;} 🥶🙂 http://8-)x"]);
    assert!(matches!(office.feiq.shown[1], Shown::Confirmed { .. }));
    let message = office.events.iter().find_map(|event| match event {
        Event::Message(message) => Some(message),
        _ => None,
    });
    let message = message.expect("a message");
    assert_eq!(message.text, "下班一起吃饭？ {ok;} /:shake/:) http://8-)x", "JSON keeps it whole");
    assert_eq!((message.charset, message.charset_sure), (Charset::GBK, Sure::Dialect));
    let font = message.extras.font.as_ref().expect("a font block was there");
    assert_eq!((font.face.as_str(), font.color.as_str()), ("微软雅黑", "#004080"));
    assert_eq!(message.extras.encryption, None);

    office.send("好的 🙂 {/font;x;} 🚀 &#12345;?");
    let text = "好的 /:) {/font;x;} [火箭] &#12345;?".to_owned();
    assert_eq!(office.feiq.shown.last(), Some(&Shown::Text { at, text, encrypted: false }));
    assert!(office.events.iter().any(|event| matches!(event, Event::Receipt { .. })));
}

#[test]
fn a_knock_rings_once_in_a_while_and_is_answered_each_time() {
    let mut office = Office::new();
    let at = Office::here();
    let knocks = |office: &Office| {
        let ours = |event: &&Event| matches!(event, Event::Knock { direction: Direction::In, .. });
        office.events.iter().filter(ours).count()
    };
    for _ in 0..3 {
        office.act(|feiq| feiq.knock(at));
    }
    assert_eq!(knocks(&office), 1);
    let felt = office.feiq.shown.iter().filter(|shown| **shown == Shown::Shaken { at }).count();
    assert_eq!(felt, 3);
    office.pass(5_000);
    office.act(|feiq| feiq.knock(at));
    assert_eq!(knocks(&office), 2);
    let kept = office.records.iter().filter(|record| matches!(record, Record::Knock(_))).count();
    assert_eq!(kept, 2, "a knock is part of the event stream");
}

#[test]
fn a_crowd_of_forged_names_does_not_ring_for_ever() {
    let mut desk = Desk::new();
    let rang = |desk: &mut Desk, hosts: std::ops::Range<u8>| {
        let mut rang = 0;
        for host in hosts {
            let mac = format!("0800270907{host:02X}");
            let out = desk.hear(&format!("10.0.0.{host}"), feiq(0xd1, 1, "x@pc", &mac, ""));
            rang += out.events().iter().filter(|e| matches!(e, Event::Knock { .. })).count();
        }
        rang
    };
    assert_eq!(rang(&mut desk, 10..100), 20);
    desk.pass(ms(5_000));
    assert_eq!(rang(&mut desk, 100..105), 5);
}

#[test]
fn a_knock_of_ours_shakes_a_window_and_ends_once() {
    let mut office = Office::new();
    office.perform_hear("10.0.0.3", &official(3, 1, "ann@pc", "Ann"));
    let ann = Target::Peer(office.desk.peer("Ann").id);
    let to = vec![office.wang(), office.wang(), ann];
    let Reply::Knocked { number, to, without } = office.ask(Request::Knock { to }) else {
        panic!("it knocks")
    };
    assert_eq!(to.iter().map(|peer| peer.nick.as_str()).collect::<Vec<_>>(), ["王小明"]);
    assert_eq!(without[0].nick, "Ann", "her program knows no knock");
    assert!(office.feiq.shown.contains(&Shown::Shake { at: Office::here() }));
    let ended = |office: &Office, number: PacketNo| {
        let outcome = |event: &Event| match event {
            Event::Knock { number: of, outcome, .. } if *of == number => *outcome,
            _ => None,
        };
        office.events.iter().filter_map(outcome).collect::<Vec<_>>()
    };
    assert_eq!(ended(&office, number), [Ended::Confirmed]);
    office.pass(10_000);
    assert_eq!(ended(&office, number).len(), 1);

    // Nobody is there any more.
    let to = vec![Target::Addr(addr("10.0.0.200"))];
    let Reply::Knocked { number, .. } = office.ask(Request::Knock { to }) else {
        panic!("it knocks")
    };
    office.pass(2_999);
    assert!(ended(&office, number).is_empty());
    office.pass(1);
    assert_eq!(ended(&office, number), [Ended::NotConfirmed]);
}

impl Office {
    fn perform_hear(&mut self, from: &str, bytes: &[u8]) {
        let outcome = self.desk.hear(from, bytes);
        self.perform(outcome);
    }

    fn typing(&self) -> Vec<bool> {
        let typing = |event: &Event| match event {
            Event::Typing { typing, .. } => Some(*typing),
            _ => None,
        };
        self.events.iter().filter_map(typing).collect()
    }
}

#[test]
fn typing_is_told_until_it_ends_in_one_of_three_ways() {
    let mut office = Office::new();
    let at = Office::here();
    office.act(|feiq| feiq.typing(at, true));
    office.act(|feiq| feiq.typing(at, true));
    assert_eq!(office.typing(), [true]);
    office.act(|feiq| feiq.typing(at, false));
    assert_eq!(office.typing(), [true, false], "it says so");
    office.act(|feiq| feiq.typing(at, true));
    office.act(|feiq| feiq.say(at, "fertig"));
    assert_eq!(office.typing()[2..], [true, false], "a message");
    // FeiQ repeats itself right behind a message; that is no typing.
    office.act(|feiq| feiq.typing(at, true));
    assert_eq!(office.typing().len(), 4);
    office.pass(3_000);
    office.act(|feiq| feiq.typing(at, true));
    office.pass(9_999);
    assert_eq!(office.typing()[4..], [true]);
    office.pass(1);
    assert_eq!(office.typing()[4..], [true, false], "silence");
}

#[test]
fn our_typing_is_told_to_those_who_show_it_and_not_too_often() {
    let mut office = Office::new();
    let to = office.wang();
    let typed = |office: &mut Office, typing| {
        let to = to.clone();
        assert_eq!(office.ask(Request::Typing { to, typing }), Reply::Done);
    };
    typed(&mut office, true);
    typed(&mut office, true);
    office.pass(2_000);
    typed(&mut office, true);
    typed(&mut office, false);
    let at = Office::here();
    let shown = |typing| Shown::Typing { at, typing };
    assert_eq!(office.feiq.shown[1..], [shown(true), shown(true), shown(false)]);
    office.perform_hear("10.0.0.3", &official(3, 1, "ann@pc", "Ann"));
    let to = Target::Peer(office.desk.peer("Ann").id);
    let (_, out) = office.desk.ask(Request::Typing { to, typing: true });
    assert!(out.sent().is_empty(), "an official client knows nothing of it");
}

#[test]
fn a_probe_is_answered_within_the_caps() {
    let mut office = Office::new();
    let at = Office::here();
    for _ in 0..30 {
        office.act(|feiq| feiq.probe(at));
    }
    let answers = office.feiq.shown.iter().filter(|shown| **shown == Shown::Probed { at }).count();
    assert_eq!(answers, 10, "ten a second");
    // Not what went to everybody or was written by a machine.
    for option in [0x400, 0x2000] {
        office.pass(2_000);
        let out = office.desk.hear("10.0.0.9", feiq(0x77 | option, 9, "a@b", MAC, ""));
        assert!(out.sent().is_empty());
    }
}

#[test]
fn an_encrypted_message_is_read_and_confirmed_when_it_is_kept() {
    let mut office = Office::new();
    let at = Office::here();
    office.act(|feiq| feiq.say_sealed(at, "工资条 /:)"));
    assert_eq!(office.read(), ["工资条 🙂"]);
    assert!(matches!(office.feiq.shown.last(), Some(Shown::Confirmed { .. })));
    let Some(Event::Message(message)) =
        office.events.iter().find(|event| matches!(event, Event::Message(_)))
    else {
        panic!("a message")
    };
    assert_eq!(message.extras.encryption.as_deref(), Some("RSA-1024, Blowfish-128"));
    assert!(message.extras.font.is_some(), "the font block was inside");
    let keys = office.records.iter().filter(|record| matches!(record, Record::Key(_))).count();
    assert_eq!(keys, 1, "the key was made once, and kept");

    // The key stays: no further question, no further key.
    office.act(|feiq| feiq.say_sealed(at, "noch eins"));
    assert_eq!(office.read().len(), 2);
    let keys = office.records.iter().filter(|record| matches!(record, Record::Key(_))).count();
    assert_eq!(keys, 1);
}

#[test]
fn a_key_leaves_when_it_is_on_disk_and_not_before() {
    let mut desk = Desk::new();
    let mut ring = Keyring::default();
    let question = feiq(0x72, 5, "wang@pc", MAC, "21003");
    let ask = |desk: &mut Desk, ring: &mut Keyring, question: &[u8]| {
        let out = desk.hear("10.0.0.9", question);
        let [(_, Effect::Crypto(id, job @ Job::Offer { .. }))] = out.effects.as_slice() else {
            panic!("{out:?}")
        };
        desk.input(Input::Crypto(*id, ring.perform(job.clone(), &mut OsRng)))
    };
    let out = ask(&mut desk, &mut ring, &question);
    let [(id, Record::Key(key))] = out.saves()[..] else { panic!("{out:?}") };
    assert_eq!(format!("{key:?}"), "KeyRecord { size: Rsa1024, der: *** }", "no secret is printed");
    assert_eq!(out.transmits()[0].after, Some(id));
    desk.answer(&out, &SaveResult::Failed("disk full".into()));

    // The worker has the key by now, the disk does not: it is written before anybody gets it.
    desk.pass(ms(61_000));
    let again = ask(&mut desk, &mut ring, &feiq(0x72, 6, "wang@pc", MAC, "21003"));
    let [(id, Record::Key(_))] = again.saves()[..] else { panic!("{again:?}") };
    assert_eq!(again.transmits()[0].after, Some(id));
    desk.keep(&again);
    desk.pass(ms(61_000));
    let third = ask(&mut desk, &mut ring, &feiq(0x72, 7, "wang@pc", MAC, "21003"));
    assert!(third.saves().is_empty() && third.transmits()[0].after.is_none());

    // Beyond what a stranger's question grants, one key a minute.
    let fourth = ask(&mut desk, &mut ring, &feiq(0x72, 8, "wang@pc", MAC, "21003"));
    assert!(fourth.transmits().is_empty());
}

#[test]
fn what_cannot_be_opened_is_told_once_and_never_answered() {
    let mut office = Office::new();
    let at = Office::here();
    office.act(|feiq| feiq.say_sealed(at, "first"));
    let before = office.feiq.heard.len();
    let mut spoilt = Vec::new();
    for kind in 0..3 {
        let out = office.feiq.say_sealed(at, "spoilt");
        let mut bytes = out[0].1.clone();
        // A digit of the wrapped key, one of the last block, or one too few.
        let key = bytes.windows(6).position(|part| part == b"20002:").expect("a section") + 40;
        let place = if kind == 0 { key } else { bytes.len() - 4 };
        bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
        if kind == 2 {
            bytes.remove(place);
        }
        spoilt.push((To::One(at), bytes));
    }
    office.post(spoilt.clone());
    office.post(spoilt);
    assert_eq!(office.read(), ["first"]);
    assert_eq!(office.feiq.heard.len(), before, "all three look alike: silence");
    let notices = office.events.iter().filter(|event| matches!(event, Event::Notice { .. }));
    assert_eq!(notices.count(), 1);
}

#[test]
fn work_with_keys_is_bounded() {
    let mut desk = Desk::new();
    let rubbish = "20002:00:0011223344556677";
    let sealed = |number| feiq(0x40_0120, number, "wang@pc", MAC, rubbish);
    let other = |host: u8| feiq(0x40_0120, 1, "li@pc", &format!("0800270906{host:02X}"), rubbish);
    let jobs = |out: &Outcome| {
        let job = |effect: &&(_, Effect)| matches!(effect.1, Effect::Crypto(..));
        out.effects.iter().filter(job).count()
    };
    let ordered: usize = (1..50).map(|number| jobs(&desk.hear("10.0.0.9", sealed(number)))).sum();
    assert_eq!(ordered, 4, "for one address");
    let others = (10..120).map(|host| jobs(&desk.hear(&format!("10.0.1.{host}"), other(host))));
    assert_eq!(others.sum::<usize>(), 60, "64 in all");

    // Whoever sends nothing but rubbish is not worked for any more.
    let mut desk = Desk::new();
    let mut tried = 0;
    for number in 1..100 {
        let out = desk.hear("10.0.0.9", sealed(number));
        for (_, effect) in &out.effects {
            if let Effect::Crypto(id, _) = effect {
                tried += 1;
                let failed = Done::Opened(Err(feige::crypto::OpenError));
                assert!(desk.input(Input::Crypto(*id, failed)).transmits().is_empty());
            }
        }
    }
    assert_eq!(tried, 20);
    desk.pass(ms(60_000));
    assert_eq!(jobs(&desk.hear("10.0.0.9", sealed(1_000))), 1, "for a minute");
}

#[test]
fn the_recorded_group_message_is_shown_under_its_group() {
    let vector = named(&vectors::feiq("vectors"), "group-msg-multicast-hex");
    let bytes = vectors::bytes(&vector);
    let mut desk = Desk::new();
    let out = desk.hear("10.0.0.9", &bytes);
    let [message] = out.messages()[..] else { panic!("{out:?}") };
    let expect = &vector["expect"]["group_message"];
    let typed = expect["text"].as_str().expect("a text").split("{/font").next();
    assert_eq!(message.delivery, Delivery::Group);
    let chat = message.extras.chat.as_ref().expect("a group");
    assert_eq!(chat.id, expect["group_id"]);
    assert_eq!(Some(message.text.as_str()), typed);
    assert!(message.extras.encryption.is_none(), "that was never encryption");
    assert!(desk.keep(&out).transmits().is_empty(), "groups confirm nothing");
    assert!(desk.hear("10.0.0.9", &bytes).messages().is_empty(), "a repeat");
    let (Reply::Groups { groups }, _) = desk.ask(Request::Groups) else { panic!("groups") };
    assert_eq!(groups.len(), 1);
    let kept = out.saves().into_iter().any(|(_, record)| matches!(record, Record::Group(_)));
    assert!(kept, "remembered");
}

#[test]
fn groups_are_read_named_and_written_to() {
    let mut office = Office::new();
    office.act(|feiq| feiq.join_group("B4CC80E4", "开发群"));
    office.act(|feiq| feiq.say_to_group("b4cc80e4", "大家好 /:)"));
    assert_eq!(office.read(), ["大家好 🙂"]);
    let chat = office.events.iter().find_map(|event| match event {
        Event::Message(message) => message.extras.chat.clone(),
        _ => None,
    });
    let chat = chat.expect("a group");
    assert_eq!((chat.id.as_str(), chat.name.as_deref()), ("b4cc80e4", Some("开发群")));

    let request =
        |group: &str| Request::SendToGroup { group: group.into(), text: "收到 🚀".into() };
    let reply = office.ask(request("b4cc80e4"));
    assert!(matches!(reply, Reply::Sent { ref links, .. } if links == &["eth1"]), "{reply:?}");
    let (at, group) = (Office::here(), "b4cc80e4".to_owned());
    let text = "收到 [火箭]".to_owned();
    assert_eq!(office.feiq.shown.last(), Some(&Shown::Group { at, group, text }));
    for bad in ["", "xyz", "00000000000000000", "b4cc 80e4"] {
        let refused = Reply::Refused(Refusal::BadGroup { group: bad.into() });
        assert_eq!(office.ask(request(bad)), refused);
    }
}

#[test]
fn who_enters_as_old_clients_do_is_not_away_for_that() {
    let mut desk = Desk::new();
    let entry = |word: u32, number: u32| {
        format!("1_lbt2_31#32499#{MAC}#0#0#0:{number}:li:h2:{word}:li\0\0")
    };
    let away = |desk: &mut Desk| desk.peer("li").absent;
    let out = desk.hear("10.0.0.9", entry(257, 1));
    assert!(!away(&mut desk));
    assert!(desk.pass(ms(2_000)).commands_to("10.0.0.9").contains(&Command::ANSENTRY), "{out:?}");
    desk.hear("10.0.0.9", entry(259, 2));
    assert!(!away(&mut desk));
    desk.hear("10.0.0.9", entry(0x0060_0104, 3));
    assert!(away(&mut desk), "FeiQ of today says so beside its other bits");
    desk.hear("10.0.0.9", entry(0x0060_0004, 4));
    assert!(!away(&mut desk));
}

#[test]
fn a_broadcast_is_written_in_what_the_feiq_among_its_readers_reads() {
    let mut office = Office::new();
    office.ask(Request::Broadcast { text: "开会 🙂🚀".into() });
    let text = "开会 /:)[火箭]".to_owned();
    let shown = Shown::Text { at: Office::here(), text, encrypted: false };
    assert!(office.feiq.shown.contains(&shown), "{:?}", office.feiq.shown);
}

#[test]
fn a_text_that_ends_like_a_font_is_shown_whole() {
    let mut office = Office::new();
    let at = Office::here();
    let typed = "log: {/font;-16 0 0 0 400 0 0 0 134 0 0 2 32 Arial 0;}";
    let text = typed.to_owned();
    office.send(typed);
    let shown = Shown::Text { at, text: text.clone(), encrypted: false };
    assert_eq!(office.feiq.shown.last(), Some(&shown));
    office.ask(Request::Broadcast { text: text.clone() });
    assert_eq!(office.feiq.shown.iter().filter(|one| **one == shown).count(), 2);
    let request = Request::SendToGroup { group: "b4cc80e4".into(), text: text.clone() };
    assert!(matches!(office.ask(request), Reply::Sent { .. }));
    let group = "b4cc80e4".to_owned();
    assert_eq!(office.feiq.shown.last(), Some(&Shown::Group { at, group, text }));
    // Nothing else gets a font from us.
    office.send("好的");
    let (_, last) = office.feiq.heard.last().expect("a datagram");
    assert!(last.ends_with(b":\xba\xc3\xb5\xc4\0"), "{last:?}");
}

#[test]
fn what_one_of_us_writes_to_many_in_the_words_of_feiq_is_shown_as_it_was_typed() {
    const ONE_OF_US: &str = "02000000000A";
    let head = |command: u32, number: u32| {
        format!("1_lbt6_0#128#{ONE_OF_US}#0#0#0#4001#9:{number}:li:h2:{command}:")
    };
    let mut desk = Desk::new();
    let entry = head(0x0120_0001, 5) + "li\0\0\nVS:00F10001:0:1:0";
    desk.hear("10.0.0.8", entry);
    assert_eq!(desk.peer("li").dialect, "feige");
    let shown = |out: &Outcome| {
        let [message] = out.messages()[..] else { panic!("{out:?}") };
        (message.text.clone(), message.shown.clone())
    };
    let everybody = desk.hear("10.0.0.8", head(0x420, 6) + "hi /:)\0");
    assert_eq!(shown(&everybody), ("hi /:)".into(), Some("hi 🙂".into())));
    let mut group = Feiq::new("li", ONE_OF_US);
    (group.user, group.host) = ("li".into(), "h2".into());
    let [(_, bytes)] = &group.say_to_group("b4cc80e4", "hi /:)")[..] else { panic!("one packet") };
    assert_eq!(shown(&desk.hear("10.0.0.8", bytes)), ("hi /:)".into(), Some("hi 🙂".into())));
    assert_eq!(desk.peer("li").dialect, "feige");
    // A font stands only behind a text that ends like one.
    let font = "{/font;-16 0 0 0 400 0 0 0 134 0 0 2 32 Arial 0;}";
    for (number, sent, typed) in [(16, 1, 1), (17, 2, 1)] {
        let text = |times| format!("hi {}", font.repeat(times));
        let out = desk.hear("10.0.0.8", head(0x420, number) + &text(sent) + "\0");
        assert_eq!(shown(&out).0, text(typed));
    }
    // To us alone it writes everything as it is.
    let direct = desk.hear("10.0.0.8", head(0x0180_0020, 8) + "hi /:)\0");
    assert_eq!(shown(&direct), ("hi /:)".into(), None));
}

/// Clients that number by the clock write twice within one second.
#[test]
fn a_message_to_a_group_is_no_repeat_of_one_to_us() {
    for first_to_us in [true, false] {
        let mut desk = Desk::new();
        let mut feiq = Feiq::new("王", MAC);
        feiq.number = 1_800_000_000;
        let to_group = feiq.say_to_group("1A2B", "to the group").remove(0).1;
        feiq.number = 1_800_000_000;
        let to_us = feiq.say(Office::here(), "to us").remove(0).1;
        let pair = if first_to_us { [to_us, to_group] } else { [to_group, to_us] };
        for packet in pair {
            let out = desk.hear("10.0.0.8", &packet);
            assert_eq!(out.messages().len(), 1, "first to us: {first_to_us}");
            assert!(desk.hear("10.0.0.8", &packet).messages().is_empty(), "a repeat");
        }
    }
}

#[test]
fn groups_that_nobody_can_read_are_nothing_and_many_are_forgotten() {
    let mut desk = Desk::with(|config| config.policy.groups_max = 3);
    let mut feiq = Feiq::new("王", MAC);
    let mut out = feiq.say_to_group("1", "hi");
    let bytes = &mut out[0].1;
    let end = bytes.len() - 3;
    bytes[end] ^= 1;
    assert!(desk.hear("10.0.0.9", bytes.as_slice()).messages().is_empty());
    // A sender that does not scramble, as one client was seen to.
    let clear = super::desk::feiq(0x20_0023, 9, "lua@pc", MAC, "QUNMSGMARK#2#in clear");
    let out = desk.hear("10.0.0.9", clear);
    assert_eq!(out.messages()[0].text, "in clear");
    for group in ["3", "4", "5", "6"] {
        desk.pass(ms(10));
        for (_, bytes) in feiq.say_to_group(group, "hi") {
            desk.hear("10.0.0.9", bytes);
        }
    }
    let (Reply::Groups { groups }, _) = desk.ask(Request::Groups) else { panic!("groups") };
    let ids: Vec<&str> = groups.iter().map(|group| group.id.as_str()).collect();
    assert_eq!(ids, ["6", "5", "4"]);
}

/// What a node would find in its store after this.
fn memory(outcomes: &[Outcome]) -> Memory {
    let mut memory = Memory::default();
    for (_, record) in outcomes.iter().flat_map(Outcome::saves) {
        if let Record::Charsets(charsets) = record {
            memory.charsets.retain(|known: &CharsetRecord| known.peer != charsets.peer);
            memory.charsets.push(charsets.clone());
        }
    }
    memory
}

fn restarted(memory: Memory) -> Desk {
    let mut config = desk::config();
    config.office = Charsets::Fixed(Charset::GBK);
    let mut desk = Desk::of(Node::new(config, [3; 32]));
    desk.node.remember(desk.now, memory);
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    desk.pass(ms(20_000));
    desk
}

/// 会議 in `Shift_JIS`: no valid UTF-8, and other hanzi in GBK.
const KAIGI: &[u8] = b"\x89\xef\x8b\x63";

#[test]
fn a_pinned_charset_holds_from_the_first_packet_after_a_restart() {
    // An office that writes GBK, and one who does not.
    let mut desk = Desk::with(|config| config.office = Charsets::Fixed(Charset::GBK));
    let entry = desk.hear("10.0.0.5", plain(0x1, 1, "tanaka@pc", "tanaka"));
    let peer = desk.peer("tanaka").id;
    let message =
        |number: u64| [format!("1:{number}:tanaka:pc:288:").as_bytes(), KAIGI, b"\0"].concat();
    let wrong = desk.hear("10.0.0.5", message(2));
    assert_ne!(wrong.messages()[0].text, "会議", "the bytes alone do not tell");
    let charset = Some(Charset::SHIFT_JIS);
    let (reply, pinned) = desk.ask(Request::SetCharset { peer: peer.clone(), charset });
    assert_eq!(reply, Reply::Done);
    let view = desk.peer("tanaka");
    assert_eq!((view.charset, view.charset_sure), (charset, Some(Sure::Pinned)));
    assert_eq!(desk.hear("10.0.0.5", message(3)).messages()[0].text, "会議");
    let (_, sent) = desk.send("tanaka", "会議");
    let raw = RawPacket::parse(&sent.transmits().last().unwrap().bytes).unwrap();
    assert_eq!(raw.main(), KAIGI, "it is written to so, too");

    let mut next = restarted(memory(&[entry, wrong, pinned]));
    let first = next.hear("10.0.0.77", message(4));
    assert_eq!(first.messages()[0].text, "会議", "at any address, before any entry");
    let (_, unpinned) = next.ask(Request::SetCharset { peer, charset: None });
    assert_ne!(next.peer("tanaka").charset_sure, Some(Sure::Pinned));
    let memory = memory(&[unpinned]);
    assert_eq!(memory.charsets[0].text.verdict(), None, "and that is remembered, too");
}

#[test]
fn a_learnt_charset_reads_the_names_of_the_first_packet_after_a_restart() {
    let names = b"\xcd\xf5\xd0\xa1\xc3\xf7:\xd1\xd0\xb7\xa2-7"; // 王小明, 研发-7
    let message = |number: u64, text: &[u8]| {
        [format!("1:{number}:").as_bytes(), names, b":288:", text, b"\0"].concat()
    };
    let mut desk = Desk::new();
    let learnt = desk.hear("10.0.0.5", message(1, b"\xcf\xc2\xb0\xe0\xc1\xcb")); // 下班了
    assert_eq!(learnt.messages()[0].text, "下班了");
    let id = learnt.messages()[0].peer.as_ref().unwrap().id.clone();
    let mut next = restarted(memory(&[learnt]));
    // 谢谢 in GBK is valid UTF-8 too; whoever is known for GBK means 谢谢.
    let out = next.hear("10.0.0.5", message(2, b"\xd0\xbb\xd0\xbb"));
    assert_eq!(out.messages()[0].text, "谢谢");
    assert_eq!(out.messages()[0].peer.as_ref().unwrap().id, id);
}

#[test]
fn what_a_dialect_or_each_packet_says_by_itself_is_not_written_down() {
    let mut desk = Desk::new();
    let mut feiq = Feiq::new("王小明", MAC);
    let mut outcomes = Vec::new();
    for (_, bytes) in feiq.start().into_iter().chain(feiq.say(addr("10.0.0.1"), "谢谢你")) {
        outcomes.push(desk.hear("10.0.0.9", bytes));
    }
    outcomes.push(desk.hear("10.0.0.3", official(3, 1, "ann@pc", "Ann")));
    assert_eq!(memory(&outcomes), Memory::default());
}

#[test]
fn feiq_is_written_to_in_gbk_whatever_is_pinned() {
    let mut office = Office::new();
    let peer = office.desk.peer("王小明").id;
    let charset = Some(Charset::UTF_8);
    office.ask(Request::SetCharset { peer, charset });
    office.send("真的吗？");
    let text = "真的吗？".to_owned();
    let at = Office::here();
    assert_eq!(office.feiq.shown.last(), Some(&Shown::Text { at, text, encrypted: false }));
}

#[test]
fn every_recorded_packet_is_taken_by_a_node_without_harm() {
    for vector in [vectors::feiq("vectors"), vectors::peers()].concat() {
        if vector["transport"] == "tcp" || vector["hex"].is_null() {
            continue;
        }
        let id = vector["id"].as_str().unwrap_or_default().to_owned();
        let bytes = vectors::bytes(&vector);
        let Ok(raw) = RawPacket::parse(&bytes) else { continue };
        let mut desk = Desk::new();
        let out = desk.hear("10.0.0.9", &bytes);
        match raw.command() {
            Command::SENDMSG if raw.options().bits() & 0x40_0000 != 0 => {
                let opens =
                    |(_, effect): &(_, Effect)| matches!(effect, Effect::Crypto(_, Job::Open(_)));
                assert!(out.effects.iter().any(opens), "{id}");
            }
            Command::FEIQ_KNOCK => {
                let event = |event: &&Event| matches!(event, Event::Knock { .. });
                assert_eq!(out.events().iter().filter(|e| event(e)).count(), 1, "{id}");
                assert!(out.commands_to("10.0.0.9").contains(&Command::FEIQ_KNOCK_ANSWER), "{id}");
            }
            Command::FEIQ_GROUP_MESSAGE => assert_eq!(out.messages().len(), 1, "{id}"),
            _ => {}
        }
        desk.pass(ms(60_000));
    }
}

#[test]
fn the_simulated_feiq_reads_what_a_real_one_wrote_to_its_group() {
    // The simulator's ciphers are its own; the recorded packet is the judge of both.
    let vector = named(&vectors::feiq("vectors"), "group-msg-multicast-hex");
    let mut feiq = Feiq::new("王小明", MAC);
    let from = addr("10.0.0.8");
    feiq.hear(from, &vectors::bytes(&vector));
    let group = vector["expect"]["group_message"]["group_id"].as_str().unwrap().to_owned();
    assert_eq!(feiq.shown, [Shown::Group { at: from, group, text: "1".into() }]);
}

#[test]
fn a_message_that_comes_before_and_after_its_sender_entered_is_one_message() {
    let mut desk = Desk::new();
    let number = 1_800_000_100;
    let message = feiq(0x180_0120, number, "li@h2", "020000000048", "hello");
    assert_eq!(desk.hear("10.0.0.9", &message).messages().len(), 1);
    // Until its entry one of us looks like a FeiQ, of which some number their packets from 1.
    let entry = "li\0\0\nVS:00F10001:0:1:0";
    desk.hear("10.0.0.9", feiq(0x120_0003, number + 1, "li@h2", "020000000048", entry));
    assert_eq!(desk.peer("li").dialect, "feige");
    assert!(desk.hear("10.0.0.9", &message).messages().is_empty());
}

#[test]
fn a_charset_is_fixed_for_somebody_who_is_not_here_once_it_is_on_disk() {
    let mut desk = Desk::new();
    let request = |charset| Request::SetCharset { peer: peer_id("tanaka@pc"), charset };
    let out = desk.input(Input::Request(RequestId(9_000), request(Some(Charset::SHIFT_JIS))));
    let is_reply = |(_, effect): &&(Tick, Effect)| matches!(effect, Effect::Reply(..));
    assert!(!out.effects.iter().any(|effect| is_reply(&effect)), "{out:?}");
    let kept = desk.keep(&out);
    assert!(matches!(kept.effects[..], [(_, Effect::Reply(RequestId(9_000), Reply::Done))]));
    // Also where it comes before that.
    let mut early = Desk::new();
    let out = early.input(Input::Request(RequestId(9_000), request(Some(Charset::SHIFT_JIS))));
    early.hear("10.0.0.9", b"1:5:tanaka:pc:3:tanaka\0\0");
    early.keep(&out);
    assert_eq!(early.peer("tanaka").charset_sure, Some(Sure::Pinned));
    // From the first packet on.
    let text = [&b"1:6:tanaka:pc:32:"[..], b"\x89\xef\x8b\x63\0"].concat();
    let out = desk.hear("10.0.0.9", text);
    assert_eq!(out.messages()[0].text, "会議");
    let mut desk = Desk::new();
    let out = desk.input(Input::Request(RequestId(9_001), request(None)));
    let failed = desk.answer(&out, &SaveResult::Failed("the disk is full".into()));
    assert!(failed.effects.iter().any(|(_, effect)| matches!(
        effect,
        Effect::Reply(RequestId(9_001), Reply::Refused(Refusal::NotKept { .. }))
    )));
    let mut desk = Desk::with(|config| config.keeps = false);
    let (reply, _) = desk.ask(request(None));
    assert!(matches!(reply, Reply::Refused(Refusal::UnknownPeer { .. })), "{reply:?}");
}

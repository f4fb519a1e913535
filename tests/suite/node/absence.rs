//! Being away: announced, answered to those who ask, and replied once a minute to those who write.

use feige::node::{
    Delivery, Effect, Event, Input, Memory, Node, Record, Refusal, Reply, Request, RequestId,
    SaveResult, UnixMillis,
};
use feige::wire::{Body, Charset, Command};

use super::desk::{
    Desk, Outcome, addr, config, feiq, link, message, ms, official, peer_id, plain, presence,
    receipt, with_known,
};

const ABSENCE: u32 = 0x100;
const AUTO: u32 = 0x2000;

/// A change that is kept: what happens then.
fn change(desk: &mut Desk, request: Request) -> Outcome {
    let out = desk.input(Input::Request(RequestId(800), request));
    assert!(matches!(out.effects[..], [(_, Effect::Save(_, Record::Away(_)))]), "{out:?}");
    let out = desk.keep(&out);
    let done = |effect: &(_, Effect)| matches!(effect.1, Effect::Reply(_, Reply::Done));
    assert!(out.effects.iter().any(done), "{out:?}");
    out
}

fn away(desk: &mut Desk, text: &str) -> Outcome {
    change(desk, Request::Away { text: text.to_owned() })
}

/// A node whose user is away, and that knows Ann; she has confirmed something we sent.
fn away_from_ann(text: &str) -> Desk {
    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let (number, out) = desk.send("Ann", "soon back");
    desk.keep(&out);
    let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    desk.keep(&out);
    away(&mut desk, text);
    desk.pass(ms(60_000));
    desk
}

/// Automatic texts sent to `to`.
fn auto_replies(out: &Outcome, to: &str) -> Vec<String> {
    let to = addr(to);
    let texts = out.sent().into_iter().filter_map(|(_, whom, packet)| match packet.body {
        Body::Message(message) if whom == to => {
            assert_eq!(packet.options.bits() & 0xff00, AUTO, "no receipt is asked for");
            Some(message.text)
        }
        _ => None,
    });
    texts.collect()
}

/// Ann writes; what happens when that is on disk.
fn written(desk: &mut Desk, from: &str, bytes: &[u8]) -> Outcome {
    let out = desk.hear(from, bytes);
    assert!(auto_replies(&out, from).is_empty(), "not before the message is kept");
    desk.keep(&out)
}

#[test]
fn absence_is_kept_and_shown_by_the_bit_and_the_nickname() {
    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let out = away(&mut desk, "at lunch");
    // To everybody in the form that everybody reads, to Ann in full.
    for to in ["10.0.0.255", "10.0.0.2"] {
        let sent = out.sent();
        let (_, _, packet) = sent.iter().find(|(_, whom, _)| *whom == addr(to)).expect("told");
        assert_eq!(packet.command, Command::BR_ABSENCE);
        assert_eq!(packet.options.bits() & ABSENCE, ABSENCE);
        assert_eq!(presence(packet).nick, "小飞[at lunch]");
    }
    let out = desk.hear("10.0.0.3", official(1, 1, "bob@pc2", "Bob"));
    assert!(out.sent().is_empty());
    let answer = desk.pass(ms(2_000));
    let (_, _, answer) = &answer.sent()[0];
    assert_eq!((answer.command, answer.options.bits() & ABSENCE), (Command::ANSENTRY, ABSENCE));
    let out = change(&mut desk, Request::Back);
    let (_, _, packet) = &out.sent()[0];
    assert_eq!((packet.command, packet.options.bits() & ABSENCE), (Command::BR_ABSENCE, 0));
    assert_eq!(presence(packet).nick, "小飞");
    assert!(change(&mut desk, Request::Back).sent().is_empty(), "nothing new");
}

#[test]
fn absence_that_cannot_be_kept_is_not_announced() {
    let mut desk = Desk::new();
    let request = Request::Away { text: "at lunch".to_owned() };
    let out = desk.input(Input::Request(RequestId(1), request));
    let out = desk.answer(&out, &SaveResult::Failed("disk full".into()));
    assert!(out.sent().is_empty());
    let refused = |effect: &(_, Effect)| {
        matches!(&effect.1, Effect::Reply(_, Reply::Refused(Refusal::NotKept { .. })))
    };
    assert!(out.effects.iter().any(refused), "{out:?}");
}

#[test]
fn long_and_odd_texts_are_just_away_in_the_nickname() {
    for text in ["I am away from my desk.", "two\nlines", "nick]["] {
        let mut desk = Desk::new();
        let out = away(&mut desk, text);
        assert_eq!(presence(&out.sent()[0].2).nick, "小飞[away]", "{text}");
    }
}

#[test]
fn an_empty_absence_text_is_refused() {
    let (reply, out) = Desk::new().ask(Request::Away { text: " \n".to_owned() });
    assert_eq!(reply, Reply::Refused(Refusal::EmptyText));
    assert!(out.effects.is_empty());
}

#[test]
fn whoever_writes_gets_one_reply_a_minute() {
    let mut desk = away_from_ann("at lunch");
    let out = written(&mut desk, "10.0.0.2", &message(50, "ann@pc", "hungry?"));
    assert_eq!(auto_replies(&out, "10.0.0.2"), ["at lunch"]);
    let event = out.messages()[0];
    assert_eq!((event.automatic, event.delivery), (true, Delivery::Direct), "we see what was said");
    let [(id, Record::Message(_))] = out.saves()[..] else { panic!("{out:?}") };
    assert_eq!(out.transmits()[0].after, Some(id));
    assert!(desk.pass(ms(58_000)).sent().is_empty(), "and it is sent once");
    let out = written(&mut desk, "10.0.0.2", &message(51, "ann@pc", "well?"));
    assert!(auto_replies(&out, "10.0.0.2").is_empty());
    desk.pass(ms(3_000));
    let out = written(&mut desk, "10.0.0.2", &message(52, "ann@pc", "hello?"));
    assert_eq!(auto_replies(&out, "10.0.0.2"), ["at lunch"]);
    change(&mut desk, Request::Back);
    desk.pass(ms(61_000));
    let out = written(&mut desk, "10.0.0.2", &message(53, "ann@pc", "back?"));
    assert!(auto_replies(&out, "10.0.0.2").is_empty());
}

#[test]
fn machines_and_broadcasts_and_repeats_get_no_reply() {
    let mut desk = away_from_ann("at lunch");
    for (number, word) in [(50, 0x2120), (51, 0x420), (52, 0x2520)] {
        let out = written(&mut desk, "10.0.0.2", &plain(word, number, "ann@pc", "hi"));
        assert!(out.sent().is_empty(), "{word:#x}");
    }
    let out = desk.hear("10.0.0.2", message(53, "ann@pc", "hi"));
    let out = desk.answer(&out, &SaveResult::Repeat);
    assert!(auto_replies(&out, "10.0.0.2").is_empty(), "it was answered before a restart");
    let out = desk.hear("10.0.0.2", message(54, "ann@pc", "hi"));
    let out = desk.answer(&out, &SaveResult::Failed("disk full".into()));
    assert!(auto_replies(&out, "10.0.0.2").is_empty(), "what is not kept is not answered");
    let out = written(&mut desk, "10.0.0.2", &message(54, "ann@pc", "hi"));
    assert_eq!(auto_replies(&out, "10.0.0.2"), ["at lunch"], "but its repeat is");
}

#[test]
fn two_that_are_away_do_not_answer_each_other_for_ever() {
    let mut desk = away_from_ann("at lunch");
    let out = written(&mut desk, "10.0.0.2", &message(50, "ann@pc", "hungry?"));
    assert_eq!(auto_replies(&out, "10.0.0.2").len(), 1);
    for number in 60..70 {
        desk.pass(ms(61_000));
        let reply = plain(0x20 | AUTO, number, "ann@pc", "I am away");
        assert!(written(&mut desk, "10.0.0.2", &reply).sent().is_empty());
    }
}

#[test]
fn without_a_store_the_reply_leaves_at_once() {
    let mut desk = Desk::with(|config| config.keeps = false);
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let (reply, _) = desk.ask(Request::Away { text: "at lunch".to_owned() });
    assert_eq!(reply, Reply::Done);
    let out = desk.hear("10.0.0.2", message(50, "ann@pc", "hungry? the others are waiting"));
    assert_eq!(auto_replies(&out, "10.0.0.2"), ["at lunch"]);
}

#[test]
fn an_unproven_address_gets_no_more_than_three_times_what_it_sent() {
    let long = "午饭后回来，有急事请打电话。".repeat(40);
    let mut desk = Desk::new();
    away(&mut desk, &long);
    let bytes = message(50, "bob@pc", "hi");
    let out = written(&mut desk, "10.0.0.3", &bytes);
    let replies = auto_replies(&out, "10.0.0.3");
    let size = out.transmits()[0].bytes.len();
    assert!(size + 28 <= 3 * (bytes.len() + 28), "{size}");
    let beginning = replies[0].strip_suffix("...").expect("it is cut, and says so");
    assert!(!beginning.is_empty() && long.starts_with(beginning), "{beginning}");
    let mut desk = away_from_ann(&long);
    let out = written(&mut desk, "10.0.0.2", &message(50, "ann@pc", "hi"));
    assert_eq!(auto_replies(&out, "10.0.0.2"), [long], "whoever hears us gets all of it");
}

#[test]
fn each_is_replied_to_in_its_own_charset() {
    let mut desk = Desk::new();
    away(&mut desk, "开会");
    let wang = feiq(0x120, 9, "wang@h", "001122334455", &"x".repeat(60));
    let out = written(&mut desk, "10.0.0.3", &wang);
    let [(_, Record::Message(record))] = out.saves()[..] else { panic!("{out:?}") };
    assert_eq!((record.charset.charset, record.text.as_str()), (Charset::GBK, "开会"));
    assert!(record.raw.windows(4).any(|bytes| bytes == b"\xbf\xaa\xbb\xe1"));
}

#[test]
fn absence_and_program_are_told_to_whoever_asks() {
    let mut desk = away_from_ann("at lunch");
    let asked = |desk: &mut Desk, word: u32| {
        let out = desk.hear("10.0.0.2", plain(word, 70, "ann@pc", ""));
        out.sent().pop().map(|(_, _, packet)| (packet.command, packet.body))
    };
    let text = |answer: Option<(Command, Body)>| match answer {
        Some((command, Body::Text(text))) => (command, text.text),
        other => panic!("{other:?}"),
    };
    assert_eq!(text(asked(&mut desk, 0x50)), (Command::SENDABSENCEINFO, "at lunch".into()));
    // As the official client asks: sealed, and with an encrypted empty text that nobody reads.
    let word = 0x50 | 0x1d0_0200;
    assert_eq!(text(asked(&mut desk, word)), (Command::SENDABSENCEINFO, "at lunch".into()));
    assert_eq!(text(asked(&mut desk, 0x40)), (Command::SENDINFO, "feige 0.1.0".into()));
    for word in [0x50 | AUTO, 0x50 | 0x400, 0x40 | AUTO] {
        assert_eq!(asked(&mut desk, word), None, "{word:#x}");
    }
    change(&mut desk, Request::Back);
    let answer = text(asked(&mut desk, 0x50));
    assert_eq!(answer, (Command::SENDABSENCEINFO, "Not Absence mode".into()));
}

#[test]
fn absence_is_remembered_over_a_restart() {
    let mut desk = Desk::bare(|_| {});
    let away = Some("until Monday".to_owned());
    desk.node.remember(desk.now, Memory { away: away.clone(), ..Memory::default() });
    let out = desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let mut sent = out.sent().into_iter().map(|(_, _, packet)| packet);
    let entry = sent.find(|packet| packet.command != Command::NOOPERATION);
    let entry = entry.expect("an entry follows");
    assert_eq!((entry.command, entry.options.bits() & ABSENCE), (Command::BR_ENTRY, ABSENCE));
    let (Reply::Status(status), _) = desk.ask(Request::Status) else { panic!() };
    assert_eq!((status.away, status.nick.as_str()), (away, "小飞"));
}

#[test]
fn somebody_away_is_shown_as_such_and_stays_the_same_person() {
    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let out = desk.hear("10.0.0.2", official(4 | ABSENCE, 2, "ann@pc", "Ann[lunch]"));
    let [Event::PeerChanged { peer }] = out.events()[..] else { panic!("{out:?}") };
    assert!(peer.absent);
    assert_eq!((peer.nick.as_str(), peer.untitled_nick()), ("Ann[lunch]", "Ann"));
    // At another address, back again: not a namesake.
    desk.hear("10.0.0.7", official(1, 3, "ann@pc", "Ann"));
    let peers = desk.peers();
    assert_eq!((peers.len(), peers[0].absent), (1, false));
}

#[test]
fn a_change_of_the_ports_owner_is_no_reason_for_a_second_reply() {
    let mut desk = away_from_ann("at lunch");
    let out = written(&mut desk, "10.0.0.2", &message(50, "ann@pc", "hi"));
    assert_eq!(auto_replies(&out, "10.0.0.2"), ["at lunch"]);
    desk.pass(ms(5_000));
    let json = serde_json::to_string(&desk.node.hand_over()).unwrap();
    let mut next =
        Desk::of(Node::resume(config(), [9; 32], serde_json::from_str(&json).unwrap(), desk.now));
    next.now = desk.now;
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = written(&mut next, "10.0.0.2", &message(51, "ann@pc", "hungry?"));
    assert!(auto_replies(&out, "10.0.0.2").is_empty());
    next.pass(ms(60_000));
    let out = written(&mut next, "10.0.0.2", &message(52, "ann@pc", "back?"));
    assert_eq!(auto_replies(&out, "10.0.0.2"), ["at lunch"]);
}

#[test]
fn a_restart_is_no_reason_for_a_second_reply_either() {
    for (ago, replies) in [(59_000, 0), (60_000, 1), (-5_000, 1)] {
        let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
        let at = UnixMillis(desk.now.wall.0 - ago);
        let (away, replied) = (Some("at lunch".into()), vec![(peer_id("ann@pc"), at)]);
        desk.node.remember(desk.now, Memory { away, replied, ..Memory::default() });
        let out = written(&mut desk, "10.0.0.2", &message(50, "ann@pc", "hi"));
        assert_eq!(auto_replies(&out, "10.0.0.2").len(), replies, "{ago}");
    }
}

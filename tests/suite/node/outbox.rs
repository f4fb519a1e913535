//! Messages sent: every recipient ends in one outcome.

use std::slice;

use feige::node::{
    Bounce, Delivery, Direction, Effect, Event, Input, Ipv4Net, Link, LinkId, Network,
    Outcome as End, PacketNo, Record, Refusal, Reply, Request, SaveResult, Target, Transmit,
    Wishes,
};
use feige::wire::{Body, Charset, Command, RawPacket};

use super::desk::{
    self, Desk, Outcome, addr, feiq, iptux, message, ms, official, peer_id, plain, read, receipt,
};

/// How recipients ended: nickname, outcome, tries.
fn ends(outcome: &Outcome) -> Vec<(String, End, u32)> {
    let end = |event: &&Event| match event {
        Event::Receipt { peer, tries, .. } => Some((peer.nick.clone(), End::Confirmed, *tries)),
        Event::Failed { peer, outcome, tries, .. } => Some((peer.nick.clone(), *outcome, *tries)),
        _ => None,
    };
    outcome.events().iter().filter_map(end).collect()
}

fn with_ann() -> Desk {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.pass(ms(10_000));
    desk
}

fn texts(outcome: &Outcome) -> Vec<String> {
    let text = |(_, _, packet)| match packet {
        feige::wire::Packet { body: Body::Message(message), .. } => Some(message.text),
        _ => None,
    };
    outcome.sent().into_iter().filter_map(text).collect()
}

#[test]
fn a_time_shorter_than_the_disk_takes_is_one_try() {
    let mut desk = with_ann();
    let (to, text) = (vec![Target::Peer(peer_id("ann@pc"))], "quick".to_owned());
    let wishes = Wishes::default();
    let (_, out) = desk.ask(Request::Send { to, text, check: true, timeout_ms: 1, wishes });
    assert_eq!(texts(&out), ["quick"], "it leaves with its record");
    assert_eq!(ends(&desk.pass(ms(2))), [("Ann".into(), End::NotConfirmed, 1)]);
    desk.keep(&out);
    assert!(ends(&desk.pass(ms(60_000))).is_empty());
}

#[test]
fn a_message_is_kept_sent_and_confirmed() {
    let mut desk = with_ann();
    let (number, out) = desk.send("Ann", "你好");
    let saves = out.saves();
    let [(id, Record::Message(record))] = saves.as_slice() else { panic!("{saves:?}") };
    assert_eq!((record.direction, record.delivery), (Direction::Out, Delivery::Direct));
    assert_eq!(record.peer.as_ref().unwrap().id, peer_id("ann@pc"));
    let transmit = out.transmits()[0];
    assert_eq!((transmit.after, transmit.to), (Some(*id), addr("10.0.0.2")));
    let packet = read(&transmit.bytes);
    assert_eq!((packet.command, packet.number), (Command::SENDMSG, number));
    assert_eq!(packet.options.bits(), 0x100 | 0x80_0000 | 0x100_0000);
    assert_eq!(texts(&out), ["你好"]);
    desk.keep(&out);
    desk.pass(ms(3));
    let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    let [Event::Receipt { tries: 1, rtt_ms, .. }] = out.events()[..] else { panic!() };
    assert!((*rtt_ms - 3.0).abs() < 0.001);
    let saves = out.saves();
    let [(id, Record::Outcome(outcome))] = saves.as_slice() else { panic!("{saves:?}") };
    assert_eq!((outcome.number, outcome.outcome), (number, End::Confirmed));
    assert!(matches!(&out.effects[1].1, Effect::Emit { after, .. } if *after == Some(*id)));
    assert!(desk.pass(ms(60_000)).sent().is_empty());
    let late = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    assert!(late.events().is_empty(), "settled once");
}

#[test]
fn a_receipt_counts_only_from_where_the_number_was_sent() {
    let mut desk = with_ann();
    desk.hear("10.0.0.3", official(3, 1, "bob@pc2", "Bob"));
    let (number, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    for from in ["10.0.0.3", "10.0.0.2:4000", "10.9.9.9"] {
        assert!(ends(&desk.hear(from, receipt(number, "ann@pc"))).is_empty(), "{from}");
    }
    assert!(ends(&desk.hear("10.0.0.2", receipt(PacketNo(number.0 + 1), "ann@pc"))).is_empty());
    assert_eq!(ends(&desk.hear("10.0.0.2", receipt(number, "other@name"))).len(), 1);
}

#[test]
fn the_receipt_of_iptux_has_an_option_bit() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", iptux(0x103, 1, "cat@pc", "Cat"));
    let (number, out) = desk.send("Cat", "hi");
    desk.keep(&out);
    let out = desk.hear("10.0.0.2", iptux(0x121, 2, "cat@pc", &number.to_string()));
    assert_eq!(ends(&out), [("Cat".into(), End::Confirmed, 1)]);
}

#[test]
fn it_is_sent_again_until_its_time_is_over() {
    let mut desk = with_ann();
    let (number, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    let began = desk.now.tick;
    let out = desk.pass(ms(30_000));
    let times: Vec<f64> = out
        .sent()
        .iter()
        .filter(|(_, _, packet)| packet.number == number)
        .map(|(at, ..)| (*at - began).as_secs_f64())
        .collect();
    assert!((15..=19).contains(&(times.len() + 1)), "about 17 tries: {times:?}");
    let mut before = 0.0;
    for (place, time) in times.iter().enumerate() {
        let wait = [0.5, 1.0, 2.0].get(place).copied().unwrap_or(2.0);
        let gap = time - before;
        assert!(gap >= wait * 0.8 - 1e-6 && gap <= wait * 1.2 + 1e-6, "{place}: {gap}");
        before = *time;
    }
    let tries = u32::try_from(times.len()).unwrap() + 1;
    assert_eq!(ends(&out), [("Ann".into(), End::NotConfirmed, tries)]);
    let (at, _) = out
        .effects
        .iter()
        .find(|(_, effect)| matches!(effect, Effect::Emit { event: Event::Failed { .. }, .. }))
        .unwrap();
    assert_eq!(*at - began, ms(30_000));
}

#[test]
fn from_the_second_try_on_the_addresses_take_turns() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", official(3, 1, "ann@pc", "Ann"));
    let (number, mut out) = desk.send("Ann", "hi");
    desk.keep(&out);
    out.effects.extend(desk.pass(ms(5_900)).effects);
    let to: Vec<String> = out
        .sent()
        .iter()
        .filter(|(_, _, packet)| packet.number == number)
        .map(|(_, to, _)| to.ip().to_string())
        .collect();
    assert_eq!(to[..4], ["10.0.0.3", "10.0.0.2", "10.0.0.3", "10.0.0.2"]);
    let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    assert_eq!(ends(&out)[0].1, End::Confirmed, "from either");
}

#[test]
fn it_follows_its_recipient_and_never_goes_to_who_came_after() {
    let mut desk = with_ann();
    let (number, out) = desk.send("Ann", "for Ann only");
    desk.keep(&out);
    desk.hear("10.0.0.2", official(1, 1, "bob@laptop", "Bob"));
    let out = desk.pass(ms(10_000));
    assert!(texts(&out).is_empty(), "Bob is there now");
    desk.hear("10.0.0.8", official(1, 2, "ann@pc", "Ann"));
    let out = desk.pass(ms(3_000));
    let sent = out.sent();
    let (_, to, packet) = sent.iter().find(|(_, _, p)| p.command == Command::SENDMSG).unwrap();
    assert_eq!((*to, packet.number), (addr("10.0.0.8"), number));
    assert_eq!(ends(&desk.hear("10.0.0.8", receipt(number, "ann@pc")))[0].1, End::Confirmed);
}

#[test]
fn each_recipient_gets_the_form_it_reads_under_one_number() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", feiq(0x60_0003, 1, "bob@pc", "00AABBCCDDEE", "Bob"));
    desk.hear("10.0.0.4", iptux(0x103, 1, "cat@pc", "Cat"));
    desk.hear("10.0.0.5", plain(3, 1, "dan@pc", "Dan"));
    let to = ["Ann", "Bob", "Cat", "Dan"].map(|nick| Target::Peer(desk.peer(nick).id)).to_vec();
    let (number, out) = desk.send_to([to.clone(), to].concat(), "好🚀");
    assert_eq!(out.transmits().len(), 4, "named twice, sent once");
    for transmit in out.transmits() {
        let raw = RawPacket::parse(&transmit.bytes).unwrap();
        assert_eq!(raw.number, number);
        assert!(raw.options().contains(feige::wire::command::message::MULTICAST));
        let utf8 = raw.options().contains(feige::wire::command::message::UTF8);
        let (charset, text) = match transmit.to.ip().to_string().as_str() {
            "10.0.0.2" => (Charset::UTF_8, "好🚀"),
            "10.0.0.4" => (Charset::GB18030, "好🚀"),
            _ => (Charset::GBK, ""),
        };
        assert_eq!(utf8, charset == Charset::UTF_8);
        let shown = charset.decode_strictly(raw.main()).unwrap();
        if text.is_empty() {
            assert!(shown.starts_with("好[") && shown.is_char_boundary(3), "{shown}");
        } else {
            assert_eq!(shown, text);
        }
    }
    let saves = out.saves();
    assert_eq!(saves.len(), 4);
}

#[test]
fn some_of_several_recipients_confirm() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", official(3, 1, "bob@pc", "Bob"));
    let to = vec![Target::Peer(desk.peer("Ann").id), Target::Peer(desk.peer("Bob").id)];
    let (number, out) = desk.send_to(to, "hi");
    desk.keep(&out);
    assert_eq!(ends(&desk.hear("10.0.0.3", receipt(number, "bob@pc"))).len(), 1);
    let out = desk.pass(ms(31_000));
    assert_eq!(ends(&out).len(), 1);
    assert_eq!(ends(&out)[0].0, "Ann");
}

#[test]
fn cancelling_ends_all_that_are_open() {
    let mut desk = with_ann();
    let (number, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    let (reply, out) = desk.ask(Request::Cancel { number });
    assert_eq!(reply, Reply::Done);
    assert_eq!(ends(&out), [("Ann".into(), End::Cancelled, 1)]);
    assert!(texts(&desk.pass(ms(60_000))).is_empty());
    assert!(ends(&desk.hear("10.0.0.2", receipt(number, "ann@pc"))).is_empty());
    assert_eq!(desk.ask(Request::Cancel { number }).0, Reply::Done);
}

#[test]
fn what_cannot_be_kept_is_not_sent() {
    let mut desk = with_ann();
    let (_, out) = desk.send("Ann", "hi");
    let failed = SaveResult::Failed("disk full".into());
    let out = desk.answer(&out, &failed);
    assert_eq!(ends(&out), [("Ann".into(), End::NotSent, 0)]);
    assert!(out.saves().is_empty());
    assert!(texts(&desk.pass(ms(60_000))).is_empty());
}

#[test]
fn an_outcome_that_cannot_be_kept_is_told_all_the_same() {
    let mut desk = with_ann();
    let (number, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    let out = desk.answer(&out, &SaveResult::Failed("disk full".into()));
    assert_eq!(ends(&out), [("Ann".into(), End::Confirmed, 1)]);
    // And kept when that is possible again.
    let (_, out) = desk.send("Ann", "still there?");
    let out = desk.keep(&out);
    let outcomes = |out: &Outcome| {
        let of = |(_, record): (_, &Record)| match record {
            Record::Outcome(outcome) => Some((outcome.number, outcome.outcome)),
            _ => None,
        };
        out.saves().into_iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&out), [(number, End::Confirmed)]);
    let out = desk.answer(&out, &SaveResult::Failed("disk full".into()));
    assert!(ends(&out).is_empty() && outcomes(&out).is_empty(), "told once, and that was it");
}

#[test]
fn without_a_store_messages_are_sent_and_settled_at_once() {
    let mut desk = Desk::with(|config| config.keeps = false);
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let (number, out) = desk.send("Ann", "hi");
    assert!(out.saves().is_empty());
    assert_eq!((out.transmits()[0].after, out.messages().len()), (None, 1));
    let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    assert_eq!(ends(&out), [("Ann".into(), End::Confirmed, 1)]);
}

#[test]
fn a_message_without_receipts_leaves_once_and_is_forgotten() {
    let mut desk = with_ann();
    let to = vec![Target::Peer(desk.peer("Ann").id)];
    let request = Request::Send {
        to,
        text: "hi".into(),
        check: false,
        timeout_ms: 30_000,
        wishes: Wishes::default(),
    };
    let (_, out) = desk.ask(request);
    assert!(
        !read(&out.transmits()[0].bytes)
            .options
            .contains(feige::wire::command::message::SEND_CHECK)
    );
    desk.keep(&out);
    let out = desk.pass(ms(60_000));
    assert!(ends(&out).is_empty() && out.sent().is_empty());
    let (Reply::Status(status), _) = desk.ask(Request::Status) else { panic!() };
    assert_eq!(status.waiting, 0);
}

#[test]
fn refusals_send_nothing() {
    let mut desk = with_ann();
    desk.hear("10.0.0.4", iptux(0x103, 1, "cat@pc", "Cat"));
    let (ann, cat) = (Target::Peer(desk.peer("Ann").id), Target::Peer(desk.peer("Cat").id));
    let send = |to: &[Target], text: &str| Request::Send {
        to: to.to_vec(),
        text: text.into(),
        check: true,
        timeout_ms: 1,
        wishes: Wishes::default(),
    };
    let unknown = Target::Peer(peer_id("nobody@nowhere"));
    let everybody = Target::Addr(addr("255.255.255.255"));
    let subnet = Target::Addr(addr("10.0.0.255"));
    let ourselves = Target::Addr(addr("10.0.0.1"));
    for (request, refusal) in [
        (send(slice::from_ref(&ann), ""), Refusal::EmptyText),
        (send(slice::from_ref(&ann), "\r"), Refusal::EmptyText),
        (send(&[], "x"), Refusal::Nobody),
        (
            send(&[ann.clone(), unknown], "x"),
            Refusal::UnknownPeer { peer: peer_id("nobody@nowhere") },
        ),
        (send(&[everybody], "x"), Refusal::UnknownPeer { peer: peer_id("255.255.255.255:2425") }),
        (send(&[subnet], "x"), Refusal::UnknownPeer { peer: peer_id("10.0.0.255:2425") }),
        (send(&[ann.clone(), ourselves], "x"), Refusal::Ourselves { addr: addr("10.0.0.1") }),
        (Request::Broadcast { text: String::new() }, Refusal::EmptyText),
    ] {
        let (reply, out) = desk.ask(request);
        assert_eq!(reply, Reply::Refused(refusal));
        assert!(out.effects.is_empty());
    }
    // Three bytes a character in UTF-8, two in GB18030: too long for one of the two only.
    let long = "长".repeat(12_000);
    let (reply, out) = desk.ask(send(&[cat.clone(), ann], &long));
    let Reply::Refused(Refusal::TooLong { peer, size, limit }) = reply else { panic!("{reply:?}") };
    assert_eq!((peer.nick.as_str(), limit), ("Ann", 32_767));
    assert!(size > 36_000 && out.effects.is_empty(), "all are checked before anything is sent");
    assert!(matches!(desk.ask(send(&[cat], &long)).0, Reply::Sent { .. }));
    let (reply, _) = desk.ask(Request::Broadcast { text: "长".repeat(17_000) });
    assert!(matches!(reply, Reply::Refused(Refusal::BroadcastTooLong { limit: 32_767, .. })));
    desk.input(Input::Links(vec![]));
    assert_eq!(
        desk.ask(Request::Broadcast { text: "x".into() }).0,
        Reply::Refused(Refusal::NoLink)
    );
    let to = vec![Target::Addr(addr("10.0.0.2"))];
    assert_eq!(desk.ask(send(&to, "x")).0, Reply::Refused(Refusal::NoLink));
}

#[test]
fn with_only_the_loopback_up_nothing_is_sent_but_to_this_host() {
    let mut desk = Desk::bare(|_| {});
    let addr_of_lo = Ipv4Net { addr: [127, 0, 0, 1].into(), broadcast: None, limited: false };
    let (id, name) = (LinkId(1), "lo".to_owned());
    let lo = Link { id, name, v4: vec![addr_of_lo], v6: Vec::new(), multicast: false };
    desk.input(Input::Links(vec![lo.clone()]));
    let send = |to: &str, later| {
        let to = vec![Target::Addr(addr(to))];
        let wishes = Wishes { later, ..Wishes::default() };
        Request::Send { to, text: "x".into(), check: true, timeout_ms: 1_000, wishes }
    };
    let (reply, out) = desk.ask(send("10.0.0.2", false));
    assert_eq!(reply, Reply::Refused(Refusal::NoLink));
    assert!(out.effects.is_empty());
    let broadcast = || Request::Broadcast { text: "x".into() };
    assert_eq!(desk.ask(broadcast()).0, Reply::Refused(Refusal::NoLink));
    assert!(matches!(desk.ask(send("127.0.0.9", false)).0, Reply::Sent { .. }));
    assert!(matches!(desk.ask(send("10.0.0.2", true)).0, Reply::Sent { .. }), "kept");
    // An exact address of the loopback is a LAN of its own.
    let broadcast_of_lo = Some([127, 255, 255, 255].into());
    let shared = Ipv4Net { broadcast: broadcast_of_lo, ..addr_of_lo };
    desk.input(Input::Links(vec![Link { v4: vec![shared], ..lo }]));
    assert!(matches!(desk.ask(broadcast()).0, Reply::Sent { .. }));
}

#[test]
fn too_many_open_messages_are_refused() {
    let mut desk = Desk::with(|config| config.policy.waiting_max = 2);
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.send("Ann", "1");
    desk.send("Ann", "2");
    let to = vec![Target::Peer(desk.peer("Ann").id)];
    let request = Request::Send {
        to,
        text: "3".into(),
        check: true,
        timeout_ms: 1,
        wishes: Wishes::default(),
    };
    assert_eq!(desk.ask(request).0, Reply::Refused(Refusal::Busy));
}

#[test]
fn a_broadcast_is_one_packet_for_every_link_and_network() {
    let mut desk = Desk::with(|config| {
        config.networks = vec![Network::Addr(addr("10.9.255.255"))];
    });
    let (reply, out) = desk.ask(Request::Broadcast { text: "开会 🙂".into() });
    let Reply::Sent { number, to, links, .. } = reply else { panic!() };
    assert!(to.is_empty());
    assert_eq!(links, ["eth1"]);
    let targets: Vec<String> = out.transmits().iter().map(|t| t.to.ip().to_string()).collect();
    assert_eq!(targets, ["255.255.255.255", "10.0.0.255", "10.9.255.255"]);
    let saves = out.saves();
    let [(id, Record::Message(record))] = saves.as_slice() else { panic!() };
    assert_eq!((record.delivery, &record.peer), (Delivery::Broadcast, &None));
    for transmit in out.transmits() {
        let raw = RawPacket::parse(&transmit.bytes).unwrap();
        assert_eq!((transmit.after, raw.number), (Some(*id), number));
        assert_eq!(raw.options().bits(), 0x400);
        assert_eq!(Charset::GB18030.decode_strictly(raw.main()).unwrap(), "开会 🙂");
    }
    assert_eq!(out.messages()[0].peer, None);
    desk.keep(&out);
    assert!(desk.pass(ms(60_000)).sent().is_empty());
}

#[test]
fn an_unknown_address_is_entered_first_and_written_to_when_it_answers() {
    let mut desk = Desk::new();
    let target = Target::Addr(addr("10.0.0.66"));
    let (number, out) = desk.send_to(vec![target], "好");
    assert_eq!(out.commands_to("10.0.0.66"), [Command::BR_ENTRY]);
    assert!(out.saves().is_empty());
    desk.pass(ms(300));
    let out = desk.hear("10.0.0.66", official(3, 4, "new@pc", "New"));
    let sent = out.sent();
    let (_, to, packet) = sent.iter().find(|(_, _, p)| p.command == Command::SENDMSG).unwrap();
    assert_eq!((*to, packet.number), (addr("10.0.0.66"), number));
    assert_eq!(texts(&out), ["好"]);
    assert!(packet.options.contains(feige::wire::command::message::UTF8), "it reads UTF-8");
    let met = Record::WroteTo(peer_id("new@pc"));
    assert!(out.saves().iter().any(|(_, record)| **record == met), "no stranger to the store");
    desk.keep(&out);
    let out = desk.hear("10.0.0.66", receipt(number, "new@pc"));
    let [Event::Receipt { peer, .. }] = out.events()[..] else { panic!() };
    assert_eq!((&peer.id, peer.nick.as_str()), (&peer_id("10.0.0.66:2425"), "New"));
}

#[test]
fn an_unknown_address_that_stays_silent_is_written_to_all_the_same() {
    let mut desk = Desk::new();
    let (number, _) = desk.send_to(vec![Target::Addr(addr("10.0.0.66"))], "好🙂");
    assert!(desk.pass(ms(1_199)).sent().is_empty());
    let out = desk.pass(ms(1));
    let raw = RawPacket::parse(&out.transmits()[0].bytes).unwrap();
    assert_eq!((raw.command(), raw.number), (Command::SENDMSG, number));
    assert_eq!(Charset::GB18030.decode_strictly(raw.main()).unwrap(), "好🙂");
    desk.keep(&out);
    let out = desk.pass(ms(30_000));
    assert_eq!(ends(&out)[0].1, End::NotConfirmed);
}

#[test]
fn a_known_address_is_its_peer() {
    let mut desk = with_ann();
    desk.hear("10.0.0.3", official(3, 1, "ann@pc", "Ann"));
    let to = vec![Target::Addr(addr("10.0.0.2"))];
    let request = Request::Send {
        to,
        text: "hi".into(),
        check: true,
        timeout_ms: 30_000,
        wishes: Wishes::default(),
    };
    let (Reply::Sent { to, .. }, out) = desk.ask(request) else { panic!() };
    assert_eq!(to[0].id, peer_id("ann@pc"));
    assert_eq!(out.transmits()[0].to, addr("10.0.0.2"), "at the address that was named");
}

#[test]
fn a_link_local_address_is_written_to_on_its_link() {
    let mut desk = Desk::bare(|_| {});
    let mut eth = desk::link(2, [10, 0, 0, 1]);
    eth.multicast = true;
    desk.input(Input::Links(vec![eth]));
    desk.pass(ms(20_000));
    for name in ["[fe80::9]:2425", "[fe80::9%2]:2425"] {
        let (_, entered) = desk.send_to(vec![Target::Addr(addr(name))], "hi");
        let out = desk.pass(ms(5_000));
        let went: Vec<_> =
            entered.transmits().into_iter().chain(out.transmits()).map(|sent| sent.to).collect();
        assert!(!went.is_empty());
        assert!(went.iter().all(|to| *to == addr("[fe80::9%2]:2425")), "{went:?}");
    }
}

#[test]
fn a_bounce_is_a_hint_and_not_the_end() {
    let mut desk = with_ann();
    let (number, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    let to = addr("10.0.0.2");
    let out = desk.input(Input::Bounced { to, reason: Bounce::PortUnreachable });
    assert!(out.effects.is_empty());
    let out = desk.pass(ms(29_000));
    assert!(texts(&out).len() > 10, "the other program may be restarting");
    let out = desk.pass(ms(2_000));
    let hint = out.events().into_iter().find_map(|event| match event {
        Event::Failed { hint, .. } => *hint,
        _ => None,
    });
    assert_eq!(hint, Some(Bounce::PortUnreachable));
    // The next one starts without it.
    let (again, out) = desk.send("Ann", "hi");
    assert_ne!(number, again);
    desk.keep(&out);
    let out = desk.pass(ms(30_000));
    assert!(out.events().iter().any(|e| matches!(e, Event::Failed { hint: None, .. })));
}

/// Gives back every message of `outcome` that was to leave.
fn give_back(desk: &mut Desk, outcome: &Outcome) {
    let went = outcome.transmits().into_iter().cloned().collect::<Vec<_>>();
    for Transmit { to, bytes, .. } in went {
        let reason = Bounce::HostUnreachable;
        let out = desk.input(Input::Unsent { to, bytes: &bytes, reason });
        assert!(out.effects.is_empty());
    }
}

#[test]
fn what_did_not_leave_is_no_try() {
    let mut desk = with_ann();
    let (_, first) = desk.send("Ann", "hi");
    desk.keep(&first);
    give_back(&mut desk, &first);
    let mut until_now = 0;
    let end = loop {
        let out = desk.pass(ms(100));
        if let [(_, end, tries)] = ends(&out)[..] {
            break (end, tries, out);
        }
        until_now += texts(&out).len();
        give_back(&mut desk, &out);
    };
    assert!(until_now > 10, "it is tried until its time is over");
    assert_eq!((end.0, end.1), (End::NotSent, 0));
    let hinted =
        |e: &&Event| matches!(e, Event::Failed { hint: Some(Bounce::HostUnreachable), .. });
    assert!(end.2.events().iter().any(hinted));
    assert_eq!(end.2.transmits().len(), 0, "nobody is doubted for that");
}

#[test]
fn one_that_left_in_the_end_counts_the_tries_that_left() {
    let mut desk = with_ann();
    let (number, first) = desk.send("Ann", "hi");
    desk.keep(&first);
    give_back(&mut desk, &first);
    let second = desk.pass(ms(2_000));
    assert!(!texts(&second).is_empty());
    let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    let confirmed = out.events().into_iter().find_map(|event| match event {
        Event::Receipt { tries, rtt_ms, .. } => Some((*tries, *rtt_ms)),
        _ => None,
    });
    let (tries, rtt_ms) = confirmed.expect("it is confirmed");
    assert_eq!(usize::try_from(tries), Ok(texts(&second).len()));
    assert!(rtt_ms < 2_000.0, "from the first that left: {rtt_ms}");
}

#[test]
fn a_bounce_says_nothing_once_that_address_was_heard() {
    let mut desk = with_ann();
    let (_, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    let to = addr("10.0.0.2");
    let _ = desk.input(Input::Bounced { to, reason: Bounce::PortUnreachable });
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let out = desk.pass(ms(31_000));
    let failed = |event: &&Event| matches!(event, Event::Failed { hint: None, .. });
    assert!(out.events().iter().any(failed), "it runs, and does not confirm");
}

#[test]
fn a_bounce_of_a_cancelled_message_says_nothing_of_the_next_one() {
    let mut desk = Desk::new();
    let to = addr("10.0.0.9");
    let (number, _) = desk.send_to(vec![Target::Addr(to)], "hi");
    let _ = desk.input(Input::Bounced { to, reason: Bounce::HostUnreachable });
    let (_, out) = desk.ask(Request::Cancel { number });
    desk.keep(&out);
    let (_, out) = desk.send_to(vec![Target::Addr(to)], "hi again");
    desk.keep(&out);
    let out = desk.pass(ms(3_000));
    desk.keep(&out);
    let out = desk.pass(ms(30_000));
    let failed = |event: &&Event| matches!(event, Event::Failed { hint: None, .. });
    assert!(out.events().iter().any(failed), "{:?}", out.events());
}

#[test]
fn a_large_send_does_not_burst_and_a_small_one_does_not_wait() {
    let mut desk = Desk::new();
    for n in 0..500u32 {
        let from = format!("10.0.{}.{}", 1 + n / 250, 1 + n % 250);
        desk.hear(&from, official(3, 1, &format!("u{n}@pc"), &format!("n{n}")));
    }
    let to: Vec<Target> = desk.peers().into_iter().map(|peer| Target::Peer(peer.id)).collect();
    let began = desk.now.tick;
    let (number, first) = desk.send_to(to, "all");
    assert_eq!((first.transmits().len(), first.saves().len()), (50, 500));
    desk.keep(&first);
    let rest = desk.pass(ms(1_200));
    let mut times: std::collections::BTreeMap<_, u32> = std::collections::BTreeMap::new();
    let mut firsts = std::collections::BTreeSet::new();
    for (at, to, packet) in rest.sent() {
        let repeated = first.transmits().iter().any(|t| t.to == to);
        if packet.number == number && !repeated && firsts.insert(to) {
            *times.entry(at - began).or_default() += 1;
        }
    }
    assert_eq!(firsts.len(), 450);
    assert!(times.values().all(|&count| count <= 50), "{times:?}");
    assert!(times.keys().all(|at| *at <= ms(900)), "{times:?}");
    let single = desk.send("n7", "one").1;
    assert_eq!(single.transmits().len(), 1);
}

#[test]
fn a_message_whose_number_is_not_reserved_waits_for_the_reservation() {
    let mut desk = Desk::bare(|config| {
        config.numbers.reserved = config.numbers.last;
    });
    let mut start = desk.input(Input::Links(vec![super::desk::link(1, [10, 0, 0, 1])]));
    let (reservation, record) = start.saves()[0];
    let &Record::Numbers(upto) = record else { panic!() };
    start.effects.extend(desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann")).effects);
    let (number, out) = desk.send("Ann", "hi");
    assert!(number <= upto);
    assert!(out.transmits().is_empty(), "entries may go, messages wait");
    let kept = desk.keep(&out);
    assert!(kept.transmits().is_empty());
    let out = desk.input(Input::Saved(reservation, SaveResult::Kept { seq: None }));
    assert_eq!(texts(&out), ["hi"]);
    desk.keep(&out);
    assert_eq!(ends(&desk.hear("10.0.0.2", receipt(number, "ann@pc"))).len(), 1);
}

#[test]
fn a_reservation_that_fails_is_a_message_not_sent() {
    let mut desk = Desk::bare(|config| config.numbers.reserved = config.numbers.last);
    let start = desk.input(Input::Links(vec![super::desk::link(1, [10, 0, 0, 1])]));
    let (reservation, _) = start.saves()[0];
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let (_, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    let out = desk.input(Input::Saved(reservation, SaveResult::Failed("full".into())));
    assert_eq!(ends(&out), [("Ann".into(), End::NotSent, 0)]);
    assert!(texts(&desk.pass(ms(40_000))).is_empty());
}

#[test]
fn numbers_are_never_used_twice_and_rise_in_small_steps() {
    let mut desk = with_ann();
    let mut last = PacketNo(0);
    for _ in 0..500 {
        let (number, out) = desk.send("Ann", "x");
        assert!(number > last);
        if last.0 > 0 {
            assert!(number.0 - last.0 <= 16);
        }
        last = number;
        desk.keep(&out);
    }
    assert_eq!(desk.node.last_number(), last);
}

#[test]
fn at_the_end_of_the_range_numbers_start_low_and_everybody_is_told() {
    let mut desk = Desk::with(|config| {
        config.numbers.last = PacketNo(0x7fff_ffff - 70_000);
        config.numbers.reserved = PacketNo(0x7fff_ffff);
        config.policy.waiting_max = 1_000_000;
    });
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.pass(ms(10_000));
    let to = vec![Target::Peer(desk.peer("Ann").id)];
    for _ in 0..10_000 {
        let (number, out) = desk.send_to(to.clone(), "x");
        desk.ask(Request::Cancel { number });
        if number.0 > 0x1_0000_0000 || number.0 < 0x10_0000 {
            assert!(number.0 <= 0x1_0000);
            assert_eq!(
                out.commands_to("255.255.255.255"),
                [Command::NOOPERATION, Command::BR_ENTRY]
            );
            let told = out.events().iter().any(|event| {
                matches!(event, Event::Notice { code: feige::node::NoticeCode::NumbersWrapped, .. })
            });
            assert!(told && texts(&out).is_empty());
            assert!(
                out.saves().iter().any(|(_, r)| matches!(r, Record::Numbers(n) if n.0 < 0x10_0000))
            );
            return;
        }
    }
    panic!("the range has no end");
}

#[test]
fn leaving_ends_what_is_open() {
    let mut desk = with_ann();
    let (_, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    let out = desk.input(Input::Leave);
    assert_eq!(ends(&out), [("Ann".into(), End::NotConfirmed, 1)]);
    let reply = desk.ask(Request::Broadcast { text: "x".into() }).0;
    assert_eq!(reply, Reply::Refused(Refusal::NoLink));
}

#[test]
fn a_peers_message_is_confirmed_while_ours_to_it_waits() {
    let mut desk = with_ann();
    let (number, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    let out = desk.hear("10.0.0.2", message(number.0, "ann@pc", "the same number, by chance"));
    assert_eq!(out.messages().len(), 1);
    assert_eq!(out.commands_to("10.0.0.2"), [Command::RECVMSG]);
    assert!(ends(&out).is_empty());
}

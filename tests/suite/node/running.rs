//! The node as a whole: handing over, and being a function of its inputs.

use std::time::Duration;

use feige::node::{
    Config, EpochMemory, Event, Input, Memory, Node, NoticeCode, NumberStart, PacketNo, Record,
    Reply, Request, Target,
};
use feige::wire::Command;

use super::desk::{
    Desk, Outcome, addr, config, iptux, link, message, ms, official, peer_id, receipt,
};

/// The same node in another process, whose clock has another origin. The handover travels as JSON.
fn taken_over(desk: &Desk) -> Desk {
    taken_over_with(desk, |_| {})
}

fn taken_over_with(desk: &Desk, adjust: impl FnOnce(&mut Config)) -> Desk {
    let json = serde_json::to_string(&desk.node.hand_over()).unwrap();
    let handover = serde_json::from_str(&json).unwrap();
    let mut config = config();
    config.numbers = NumberStart {
        last: desk.node.last_number(),
        reserved: PacketNo(desk.node.last_number().0 + 131_072),
    };
    adjust(&mut config);
    let mut now = desk.now;
    now.tick = feige::node::Tick(50_000_000_000);
    let mut next = Desk::of(Node::resume(config, [9; 32], handover, now));
    next.now = now;
    next
}

#[test]
fn a_successor_announces_nothing_and_knows_everybody() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", iptux(0x103, 1, "cat@pc", "Cat"));
    let before = desk.peers();
    let mut next = taken_over(&desk);
    let out = next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    assert!(out.effects.is_empty());
    assert!(next.pass(ms(60_000)).sent().is_empty());
    assert_eq!(next.peers(), before);
    assert!(next.hear("10.0.0.2", official(3, 2, "ann@pc", "Ann")).events().is_empty());
    let out = next.input(Input::Links(vec![link(1, [10, 0, 0, 1]), link(2, [10, 0, 5, 1])]));
    let announced = [Command::NOOPERATION, Command::BR_ENTRY];
    assert_eq!(out.commands_to("10.0.5.255"), announced, "later links are news");
}

#[test]
fn an_answer_that_is_owed_is_given_by_the_successor() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "ann@pc", "Ann"));
    let mut next = taken_over(&desk);
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    assert_eq!(next.pass(ms(2_000)).commands_to("10.0.0.2"), [Command::ANSENTRY]);
}

#[test]
fn what_waited_for_a_receipt_goes_on_waiting_elsewhere() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let (number, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    desk.pass(ms(10_000));
    let stranger = Target::Addr(addr("10.0.0.66"));
    let (second, _) = desk.send_to(vec![stranger], "who are you?");
    let mut next = taken_over(&desk);
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = next.pass(ms(3_000));
    let numbers: Vec<_> =
        out.sent().iter().map(|(_, to, p)| (to.ip().to_string(), p.number)).collect();
    assert!(numbers.contains(&("10.0.0.2".into(), number)), "{numbers:?}");
    assert!(numbers.contains(&("10.0.0.66".into(), second)), "{numbers:?}");
    next.keep(&out);
    let out = next.hear("10.0.0.2", receipt(number, "ann@pc"));
    let confirmed = |event: &&Event| {
        matches!(event, Event::Receipt { number: of, tries, rtt_ms, .. }
            if *of == number && *tries > 3 && *rtt_ms > 10_000.0)
    };
    assert!(out.events().iter().any(confirmed), "{:?}", out.events());
    assert!(out.saves().iter().any(|(_, record)| matches!(record, Record::Outcome(_))));
    let (third, _) = next.send("Ann", "hi");
    assert!(third > second, "numbers go on");
    let out = next.pass(ms(40_000));
    assert_eq!(out.events().iter().filter(|e| matches!(e, Event::Failed { .. })).count(), 2);
}

#[test]
fn nothing_is_shown_twice_after_a_hand_over() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", iptux(0x101, 1, "cat@pc", "Cat"));
    let out = desk.hear("10.0.0.2", message(7, "ann@pc", "a"));
    desk.keep(&out);
    let out = desk.hear("10.0.0.3", iptux(0x120, 7, "cat@pc", "c"));
    desk.keep(&out);
    let mut next = taken_over(&desk);
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = next.hear("10.0.0.2", message(7, "ann@pc", "a"));
    assert!(out.saves().is_empty() && out.messages().is_empty());
    assert_eq!(out.commands_to("10.0.0.2"), [Command::RECVMSG]);
    assert!(next.hear("10.0.0.3", iptux(0x120, 7, "cat@pc", "c")).saves().is_empty());
    next.pass(ms(20_000));
    next.hear("10.0.0.3", iptux(0x101, 1, "cat@pc", "Cat"));
    let out = next.hear("10.0.0.3", iptux(0x120, 7, "cat@pc", "a new run"));
    assert_eq!(out.messages().len(), 1);
}

#[test]
fn a_known_epoch_from_the_store_tells_repeats_from_restarts() {
    let epoch = |out: &Outcome| match out.saves()[0].1 {
        Record::Message(record) => record.epoch,
        _ => panic!(),
    };
    let mut desk = Desk::bare(|_| {});
    let known = EpochMemory { peer: peer_id("cat@pc"), epoch: 41, highest: PacketNo(9) };
    desk.node.remember(desk.now, Memory { epochs: vec![known], ..Memory::default() });
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    desk.hear("10.0.0.3", iptux(0x103, 12, "cat@pc", "Cat"));
    let retried = desk.hear("10.0.0.3", iptux(0x120, 9, "cat@pc", "sent before our restart"));
    assert_eq!(epoch(&retried), 41, "the store will know it");
    desk.pass(ms(20_000));
    desk.hear("10.0.0.3", iptux(0x101, 1, "cat@pc", "Cat"));
    let fresh = desk.hear("10.0.0.3", iptux(0x120, 9, "cat@pc", "sent after its restart"));
    assert!(epoch(&fresh) > 41);
}

#[test]
fn an_answer_just_after_our_restart_tells_that_a_peer_restarted_too() {
    let mut desk = Desk::bare(|_| {});
    let known = EpochMemory { peer: peer_id("cat@pc"), epoch: 41, highest: PacketNo(13) };
    desk.node.remember(desk.now, Memory { epochs: vec![known], ..Memory::default() });
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    desk.hear("10.0.0.3", iptux(0x103, 2, "cat@pc", "Cat"));
    let out = desk.hear("10.0.0.3", iptux(0x120, 6, "cat@pc", "new"));
    let Record::Message(record) = &out.saves()[0].1 else { panic!() };
    assert!(record.epoch > 41, "the store has a message 6 of epoch 41");
}

#[test]
fn a_message_that_precedes_that_answer_does_not_hide_that_a_peer_restarted() {
    let mut desk = Desk::bare(|_| {});
    let known = EpochMemory { peer: peer_id("cat@pc"), epoch: 41, highest: PacketNo(13) };
    desk.node.remember(desk.now, Memory { epochs: vec![known], ..Memory::default() });
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    desk.hear("10.0.0.3", iptux(0x120, 4, "cat@pc", "new"));
    desk.hear("10.0.0.3", iptux(0x103, 5, "cat@pc", "Cat"));
    let out = desk.hear("10.0.0.3", iptux(0x120, 7, "cat@pc", "newer"));
    let Record::Message(record) = &out.saves()[0].1 else { panic!() };
    assert!(record.epoch > 41, "the store may have a message 7 of epoch 41");
}

#[test]
fn the_status_tells_who_we_are_and_how_it_goes() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.send("Ann", "hi");
    let (Reply::Status(status), _) = desk.ask(Request::Status) else { panic!() };
    assert_eq!((status.nick.as_str(), status.version.as_str()), ("小飞", "0.1.0"));
    assert_eq!((status.peers, status.waiting, status.links.len()), (1, 1, 1));
    assert_eq!(status.since.0, 1_800_000_000_000);
    assert!(status.keeps && !status.passive && status.counters.sent > 2);
}

#[test]
fn the_same_inputs_give_the_same_effects() {
    let run = || {
        let mut desk = Desk::new();
        let mut trace = Vec::new();
        for n in 0..60u64 {
            let from = format!("10.0.0.{}", 2 + n % 9);
            let who = format!("u{}@pc", n % 9);
            let out = desk.hear(&from, official(1 + u32::from(n % 3 == 0) * 2, n, &who, "n"));
            trace.push(format!("{:?}", out.effects));
            let out = desk.hear(&from, message(n, &who, "text"));
            trace.push(format!("{:?}", out.effects));
            desk.keep(&out);
            trace.push(format!("{:?}", desk.pass(Duration::from_millis(137 * n)).effects));
        }
        trace
    };
    assert_eq!(run(), run());
}

#[test]
fn notices_have_stable_codes() {
    let code = serde_json::to_value(NoticeCode::Unreadable).unwrap();
    assert_eq!(code, "unreadable");
}

#[test]
fn what_a_start_has_still_to_tell_is_told_by_the_successor() {
    let mut desk = Desk::bare(|_| {});
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.pass(ms(200));
    let mut next = taken_over(&desk);
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = next.pass(ms(1_500));
    assert_eq!(out.commands_to("10.0.0.2"), [Command::BR_ABSENCE], "all of our names");
    let out = next.pass(ms(10_000));
    assert_eq!(out.commands_to("10.0.0.255"), [Command::NOOPERATION, Command::BR_ENTRY], "again");
    assert!(next.pass(ms(60_000)).commands_to("10.0.0.255").is_empty(), "once");
}

#[test]
fn a_hand_over_does_not_make_what_was_heard_long_ago_fresh() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.3", iptux(0x101, 1, "cat@pc", "Cat"));
    for number in 2..6 {
        let out = desk.hear("10.0.0.3", iptux(0x120, number, "cat@pc", "old"));
        desk.keep(&out);
    }
    desk.pass(ms(60_000));
    desk.ask(Request::Status);
    let mut next = taken_over(&desk);
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    // It started anew, which we did not hear, and now answers to a roll call.
    next.hear("10.0.0.3", iptux(0x103, 2, "cat@pc", "Cat"));
    let out = next.hear("10.0.0.3", iptux(0x120, 3, "cat@pc", "new"));
    assert_eq!(out.messages().len(), 1);
}

#[test]
fn who_said_goodbye_before_a_hand_over_is_not_brought_back_by_what_it_sent_before() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 10, "ann@pc", "Ann"));
    let first = desk.hear("10.0.0.2", message(12, "ann@pc", "hi"));
    desk.keep(&first);
    desk.hear("10.0.0.2", official(2, 14, "ann@pc", "Ann"));
    let mut next = taken_over(&desk);
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let copy = next.hear("10.0.0.2", message(12, "ann@pc", "hi"));
    assert_eq!(copy.commands_to("10.0.0.2"), [Command::RECVMSG]);
    next.hear("10.0.0.2", official(3, 11, "ann@pc", "Ann"));
    assert!(next.nicks().is_empty(), "{:?}", next.nicks());
    next.pass(ms(2_000));
    next.hear("10.0.0.2", official(3, 11, "ann@pc", "Ann"));
    assert_eq!(next.nicks(), ["Ann"]);
}

#[test]
fn a_range_is_scanned_to_its_end_by_the_successor() {
    let networks = vec![feige::node::Network::Range(addr("10.8.0.1"), addr("10.8.0.40"))];
    let mut desk = Desk::bare(|config| config.networks = networks.clone());
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let scanned = |out: Outcome| {
        let to = out.sent().into_iter().map(|(_, to, _)| to.ip().to_string());
        to.filter(|to| to.starts_with("10.8")).count()
    };
    let first = scanned(desk.pass(ms(1_000)));
    let mut next = taken_over_with(&desk, |config| config.networks = networks.clone());
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    assert_eq!(first + scanned(next.pass(ms(10_000))), 40);
}

#[test]
fn an_address_that_was_given_up_before_a_hand_over_is_told_after_it() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.pass(ms(2_000));
    desk.hear("10.0.0.9", official(3, 2, "ann@pc", "Ann"));
    desk.hear("10.0.0.9", official(2, 3, "ann@pc", "Ann"));
    let mut next = taken_over(&desk);
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = next.hear("10.0.0.2", official(3, 4, "ann@pc", "Ann"));
    let [Event::PeerChanged { peer }] = out.events()[..] else { panic!("{:?}", out.events()) };
    assert_eq!(peer.addrs, [addr("10.0.0.2")]);
}

//! Messages kept for recipients who are away.

use feige::node::{
    Charset, Effect, Event, FileChoice, Input, ItemKind, ItemState, Memory, Node, NumberStart,
    Open, OpenMemory, Outcome as End, PacketNo, PeerView, Record, Refusal, Reply, Request,
    RequestId, RewrittenRecord, SaveResult, StreamId, Target, TransferOutcome, UnixMillis, Waiting,
    WaitingState, Wishes,
};
use feige::wire::{Body, Command};

use super::desk::{Desk, Outcome, addr, config, iptux, link, ms, official, peer_id, receipt};

const DAY: u64 = 86_400_000;

/// Sends what is to be kept for a day.
fn send_later(desk: &mut Desk, to: Vec<Target>, text: &str) -> (PacketNo, Outcome) {
    send(desk, to, text, Vec::new())
}

/// Sends what is to be kept for a day to somebody who is not here.
fn keep_for(desk: &mut Desk, gone: &PeerView, text: &str) -> (PacketNo, Outcome) {
    send(desk, vec![Target::Peer(gone.id.clone())], text, vec![gone.clone()])
}

fn send(
    desk: &mut Desk,
    to: Vec<Target>,
    text: &str,
    absent: Vec<PeerView>,
) -> (PacketNo, Outcome) {
    let (expire_ms, utc_offset_s) = (Some(DAY), Some(8 * 3_600));
    let wishes = Wishes { later: true, expire_ms, utc_offset_s, absent, ..Wishes::default() };
    let text = text.to_owned();
    let request = Request::Send { to, text, check: true, timeout_ms: 5_000, wishes };
    match desk.ask(request) {
        (Reply::Sent { number, .. }, out) => {
            let kept = desk.keep(&out);
            (number, joined(out, kept))
        }
        (other, _) => panic!("{other:?}"),
    }
}

fn joined(mut first: Outcome, second: Outcome) -> Outcome {
    first.effects.extend(second.effects);
    first
}

/// Lets time pass, with a disk that keeps everything.
fn pass(desk: &mut Desk, millis: u64) -> Outcome {
    let out = desk.pass(ms(millis));
    let kept = desk.keep(&out);
    joined(out, kept)
}

/// Messages sent to an address: number and text.
fn texts(out: &Outcome, to: &str) -> Vec<(PacketNo, String)> {
    let text = |(_, whom, packet): (_, _, feige::wire::Packet)| match packet.body {
        Body::Message(message) if whom == addr(to) => Some((packet.number, message.text)),
        _ => None,
    };
    out.sent().into_iter().filter_map(text).collect()
}

/// What was told of a message of ours: `queued`, `delivered`, or how it ended.
fn told(out: &Outcome) -> Vec<String> {
    let word = |event: &&Event| match event {
        Event::Queued { .. } => Some("queued".to_owned()),
        Event::Delivered { .. } => Some("delivered".to_owned()),
        Event::Receipt { .. } => Some("receipt".to_owned()),
        Event::Failed { outcome, .. } => Some(format!("{outcome:?}")),
        _ => None,
    };
    out.events().iter().filter_map(word).collect()
}

fn waiting(desk: &mut Desk) -> Vec<Waiting> {
    match desk.ask(Request::Outbox).0 {
        Reply::Outbox { waiting } => waiting,
        other => panic!("{other:?}"),
    }
}

fn ann(number: u64) -> Vec<u8> {
    official(3, number, "ann@pc", "Ann")
}

/// A node that knows Ann, who says goodbye.
fn without_ann() -> (Desk, PeerView) {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", ann(1));
    let gone = desk.peer("Ann");
    desk.hear("10.0.0.2", official(2, 2, "ann@pc", "Ann"));
    assert!(desk.peers().is_empty());
    (desk, gone)
}

#[test]
fn what_may_not_wait_at_all_expires_at_once() {
    let (mut desk, gone) = without_ann();
    let wishes =
        Wishes { later: true, expire_ms: Some(0), absent: vec![gone.clone()], ..Wishes::default() };
    let (to, text) = (vec![Target::Peer(gone.id)], "now or never".to_owned());
    let request = Request::Send { to, text, check: true, timeout_ms: 5_000, wishes };
    let (_, out) = desk.ask(request);
    let kept = desk.keep(&out);
    assert_eq!(told(&joined(out, kept)), ["Expired"]);
    assert!(waiting(&mut desk).is_empty());
}

#[test]
fn who_enters_hears_who_we_are_before_what_waited_for_it() {
    let (mut desk, gone) = without_ann();
    desk.pass(ms(10_000));
    let (_, _) = keep_for(&mut desk, &gone, "call me");
    let entry = desk.hear("10.0.0.2", official(1, 20, "ann@pc", "Ann"));
    assert!(texts(&entry, "10.0.0.2").is_empty());
    let out = pass(&mut desk, 3_000);
    let commands = out.commands_to("10.0.0.2");
    let at = |command| commands.iter().position(|sent| *sent == command);
    assert_eq!(texts(&out, "10.0.0.2")[0].1, "call me");
    assert!(at(Command::ANSENTRY).is_some() && at(Command::ANSENTRY) < at(Command::SENDMSG));
    // Who answers us knows us.
    desk.hear("10.0.0.2", official(2, 30, "ann@pc", "Ann"));
    keep_for(&mut desk, &gone, "and again");
    let answer = desk.hear("10.0.0.2", ann(40));
    assert_eq!(texts(&answer, "10.0.0.2").last().unwrap().1, "and again");
}

#[test]
fn a_node_for_one_command_leaves_what_waits_to_the_next() {
    let mut desk = Desk::with(|config| config.delivers = false);
    desk.hear("10.0.0.2", ann(1));
    let gone = desk.peer("Ann");
    desk.hear("10.0.0.2", official(2, 2, "ann@pc", "Ann"));
    let (number, kept) = keep_for(&mut desk, &gone, "call me");
    assert_eq!(told(&kept), ["queued"]);
    let entry = desk.hear("10.0.0.2", official(1, 20, "ann@pc", "Ann"));
    let later = pass(&mut desk, 120_000);
    assert!(texts(&joined(entry, later), "10.0.0.2").is_empty());
    assert_eq!(waiting(&mut desk)[0].state, WaitingState::Queued);

    // One that takes its port over and stays finds her here.
    let handed = desk.node.hand_over();
    let mut next = Desk::of(Node::resume(config(), [9; 32], handed, desk.now));
    next.now = desk.now;
    let out = next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    assert_eq!(texts(&out, "10.0.0.2")[0].0, number);
}

/// Changes the book, on a disk that keeps it.
fn change(desk: &mut Desk, request: Request) -> Outcome {
    let out = desk.input(Input::Request(RequestId(900), request));
    desk.keep(&out)
}

#[test]
fn what_waits_for_somebody_who_is_blocked_is_held_until_it_is_heard_again() {
    let (mut desk, gone) = without_ann();
    let (number, _) = keep_for(&mut desk, &gone, "call me");
    desk.hear("10.0.0.2", ann(20));
    desk.input(Input::Request(RequestId(1), Request::Cancel { number }));
    let ann_here = desk.peer("Ann");
    // One is on its way, the other one waits for whoever is at that address.
    let (going, out) = send_later(&mut desk, vec![Target::Peer(ann_here.id.clone())], "and you?");
    assert_eq!(texts(&out, "10.0.0.2").len(), 1);
    let blocked = change(&mut desk, Request::Block { peer: Box::new(ann_here.clone()) });
    let kept = desk.keep(&blocked);
    assert_eq!(told(&joined(blocked, kept)), ["queued"]);
    let send = |to: Target| Request::Send {
        to: vec![to],
        text: "x".into(),
        check: true,
        timeout_ms: 5_000,
        wishes: Wishes { later: true, absent: vec![ann_here.clone()], ..Wishes::default() },
    };
    for to in [Target::Addr(addr("10.0.0.2")), Target::Peer(ann_here.id.clone())] {
        let (reply, out) = desk.ask(send(to));
        assert!(
            matches!(&reply, Reply::Refused(Refusal::Blocked { peer }) if peer.id == ann_here.id),
            "{reply:?}"
        );
        assert!(out.sent().is_empty());
    }
    let (reply, out) = desk.ask(Request::Retry { number: going });
    assert!(matches!(reply, Reply::Refused(Refusal::Blocked { .. })), "{reply:?}");
    assert!(out.sent().is_empty());
    desk.hear("10.0.0.2", official(1, 30, "ann@pc", "Ann"));
    let out = pass(&mut desk, 600_000);
    assert!(out.commands_to("10.0.0.2").is_empty(), "{:?}", out.commands_to("10.0.0.2"));
    assert_eq!(waiting(&mut desk).len(), 1);

    let out = change(&mut desk, Request::Unblock { peer: ann_here.id });
    assert_eq!(out.commands_to("10.0.0.2"), [Command::BR_ENTRY]);
    let heard = desk.hear("10.0.0.2", ann(40));
    assert_eq!(texts(&heard, "10.0.0.2")[0].0, going);
}

/// What a store would tell of the records in these outcomes.
fn memory(outs: &[&Outcome]) -> Memory {
    let mut open: Vec<OpenMemory> = Vec::new();
    for (_, record) in outs.iter().flat_map(|out| out.saves()) {
        if let Record::Outcome(outcome) = record {
            let of = open.iter_mut().find(|open| open.number == outcome.number);
            of.unwrap().queued = outcome.outcome == End::Queued;
        }
        if let Record::Message(message) = record {
            open.push(OpenMemory {
                queued: false,
                number: message.number,
                peer: message.peer.as_deref().unwrap().clone(),
                options: message.options,
                text: message.text.clone(),
                written: message.at,
                open: message.open.unwrap(),
            });
        }
    }
    Memory { open, ..Memory::default() }
}

/// A new run of the same node.
fn restarted(desk: &Desk, memory: Memory) -> Desk {
    let mut config = config();
    let last = desk.node.last_number();
    config.numbers = NumberStart { last, reserved: PacketNo(last.0 + 131_072) };
    let mut next = Desk::of(Node::new(config, [8; 32]));
    next.now = desk.now;
    next.node.remember(next.now, memory);
    next
}

#[test]
fn what_nobody_confirms_is_queued_and_sent_again_when_the_peer_appears() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", ann(1));
    let to = vec![Target::Peer(peer_id("ann@pc"))];
    let (number, out) = send_later(&mut desk, to, "hi");
    assert_eq!(texts(&out, "10.0.0.2").len(), 1, "she seems to be there");
    let out = pass(&mut desk, 6_000);
    assert_eq!(told(&out), ["queued"]);
    let out = pass(&mut desk, 60_000);
    assert!(texts(&out, "10.0.0.2").is_empty(), "nothing is sent to nobody");
    assert_eq!(desk.peers(), [], "she was asked, and is down");
    let out = desk.hear("10.0.0.2", ann(2));
    assert_eq!(texts(&out, "10.0.0.2"), [(number, "hi".to_owned())], "the same number");
    pass(&mut desk, 5);
    let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    let [Event::Delivered { waited_ms, .. }] = out.events()[..] else { panic!("{out:?}") };
    assert_eq!(*waited_ms, 66_005);
    desk.keep(&out);
    assert!(waiting(&mut desk).is_empty());
    assert!(desk.hear("10.0.0.2", ann(3)).sent().iter().all(|(.., p)| p.number != number));
}

#[test]
fn a_late_message_says_when_it_was_written() {
    let (mut desk, gone) = without_ann();
    desk.now.wall = UnixMillis(1_795_138_200_000);
    let (number, out) = keep_for(&mut desk, &gone, "call me");
    assert_eq!(told(&out), ["queued"]);
    assert!(out.sent().is_empty());
    let (second, _) = keep_for(&mut desk, &gone, "please");
    pass(&mut desk, 119_000);
    let out = desk.hear("10.0.0.2", ann(2));
    let fresh = [(number, "call me".to_owned()), (second, "please".to_owned())];
    assert_eq!(texts(&out, "10.0.0.2"), fresh, "in the order of writing");
    pass(&mut desk, 40_000);
    let out = desk.hear("10.0.0.2", ann(3));
    let late = "call me\n\n[written 2026-11-20 09:30, sent late]".to_owned();
    assert_eq!(texts(&out, "10.0.0.2")[0], (number, late));
    let text = &waiting(&mut desk)[0].text;
    assert_eq!(text, "call me", "we know what we wrote");
}

#[test]
fn it_is_written_in_the_form_its_recipient_reads_by_then() {
    let (mut desk, gone) = without_ann();
    let (_, out) = keep_for(&mut desk, &gone, "你好");
    let [(_, Record::Message(record)), _] = out.saves()[..] else { panic!("{out:?}") };
    assert_eq!(record.charset.charset, Charset::GB18030, "she may read anything");
    let out = desk.hear("10.0.0.2", ann(2));
    let (.., packet) =
        out.sent().into_iter().find(|(.., p)| p.command == Command::SENDMSG).unwrap();
    assert!(packet.options.bits() & 0x80_0000 != 0, "UTF-8");
    // What is kept is what goes out, before it does.
    let [(id, Record::Rewritten(kept))] = out.saves()[..] else { panic!("{out:?}") };
    assert_eq!((kept.charset.charset, &kept.peer.id), (Charset::UTF_8, &gone.id));
    let leaves = |(_, effect): &(_, Effect)| match effect {
        Effect::Transmit(sent) => sent.bytes == kept.raw && sent.after == Some(id),
        _ => false,
    };
    assert!(out.effects.iter().any(leaves), "{out:?}");
    // Where that cannot be kept it waits on.
    let number = record.number;
    desk.answer(&out, &SaveResult::Failed("disk full".into()));
    assert_eq!(waiting(&mut desk)[0].state, WaitingState::Queued);
    let again = desk.hear("10.0.0.2", official(2, 3, "ann@pc", "Ann"));
    desk.keep(&again);
    let out = desk.hear("10.0.0.2", ann(4));
    desk.keep(&out);
    assert_eq!(told(&desk.hear("10.0.0.2", receipt(number, "ann@pc"))), ["delivered"]);
}

#[test]
fn it_expires_and_is_not_sent_any_more() {
    let (mut desk, gone) = without_ann();
    keep_for(&mut desk, &gone, "hi");
    let out = pass(&mut desk, DAY - 1_000);
    assert!(told(&out).is_empty());
    assert_eq!(told(&pass(&mut desk, 2_000)), ["Expired"]);
    assert!(texts(&desk.hear("10.0.0.2", ann(2)), "10.0.0.2").is_empty());
    pass(&mut desk, 700_000);
    assert_eq!(desk.node.next_deadline(), None, "an empty outbox wakes nobody");
}

/// Takes a message back, with a disk that keeps that; what was answered.
fn cancel(desk: &mut Desk, number: PacketNo) -> (Vec<Reply>, Outcome) {
    let out = desk.input(Input::Request(RequestId(1), Request::Cancel { number }));
    let kept = desk.keep(&out);
    let all = joined(out, kept);
    (replies(&all), all)
}

fn replies(out: &Outcome) -> Vec<Reply> {
    let reply = |(_, effect): &(_, Effect)| match effect {
        Effect::Reply(_, reply) => Some(reply.clone()),
        _ => None,
    };
    out.effects.iter().filter_map(reply).collect()
}

#[test]
fn what_cannot_be_taken_back_on_disk_waits_on() {
    let (mut desk, gone) = without_ann();
    let (number, _) = keep_for(&mut desk, &gone, "hi");
    let out = desk.input(Input::Request(RequestId(1), Request::Cancel { number }));
    assert_eq!(replies(&out), [], "a later run would send it");
    let reason = "the disk is full".to_owned();
    let id = out.saves()[0].0;
    let out = desk.input(Input::Saved(id, SaveResult::Failed(reason.clone())));
    assert_eq!(replies(&out), [Reply::Refused(Refusal::NotKept { reason })]);
    assert_eq!(waiting(&mut desk).len(), 1);
    let out = desk.hear("10.0.0.2", ann(2));
    assert_eq!(texts(&out, "10.0.0.2").len(), 1);
    desk.keep(&out);
    let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    assert_eq!(told(&out), ["delivered"]);
}

#[test]
fn it_is_cancelled_once() {
    let (mut desk, gone) = without_ann();
    let (number, _) = keep_for(&mut desk, &gone, "hi");
    let (replies, out) = cancel(&mut desk, number);
    assert_eq!((told(&out), replies), (vec!["Cancelled".to_owned()], vec![Reply::Done]));
    let (replies, out) = cancel(&mut desk, number);
    assert_eq!((told(&out), replies), (vec![], vec![Reply::Done]));
    assert!(texts(&desk.hear("10.0.0.2", ann(2)), "10.0.0.2").is_empty());
}

#[test]
fn it_is_tried_on_demand_and_goes_on_waiting() {
    let (mut desk, gone) = without_ann();
    let (number, _) = keep_for(&mut desk, &gone, "hi");
    assert_eq!(waiting(&mut desk)[0].state, WaitingState::Queued);
    let (_, out) = desk.ask(Request::Retry { number });
    assert_eq!(texts(&out, "10.0.0.2").len(), 1, "where she was last");
    assert_eq!(waiting(&mut desk)[0].state, WaitingState::Sending);
    let out = pass(&mut desk, 31_000);
    assert!(told(&out).is_empty(), "queued is told once");
    let [Waiting { state: WaitingState::Queued, tries, .. }] = waiting(&mut desk)[..] else {
        panic!()
    };
    assert!(tries > 10, "{tries}");
}

#[test]
fn a_restart_keeps_it_under_the_same_number() {
    let (mut desk, gone) = without_ann();
    let (number, out) = keep_for(&mut desk, &gone, "hi");
    let mut next = restarted(&desk, memory(&[&out]));
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = pass(&mut next, 10_000);
    assert!(told(&out).is_empty(), "it was queued, and is");
    assert!(out.commands_to("10.0.0.2").contains(&Command::BR_ENTRY), "she is looked for");
    let out = next.hear("10.0.0.2", ann(2));
    assert_eq!(texts(&out, "10.0.0.2"), [(number, "hi".to_owned())]);
    pass(&mut next, 40_000);
    let out = next.hear("10.0.0.2", receipt(number, "ann@pc"));
    assert_eq!(told(&out), ["delivered"], "a late receipt counts, too");
}

#[test]
fn what_a_restart_interrupts_joins_the_queue() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", ann(1));
    let (number, out) = send_later(&mut desk, vec![Target::Peer(peer_id("ann@pc"))], "hi");
    let mut next = restarted(&desk, memory(&[&out]));
    assert_eq!(told(&next.pass(ms(1))), ["queued"]);
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = next.hear("10.0.0.2", ann(2));
    assert_eq!(texts(&out, "10.0.0.2"), [(number, "hi".to_owned())]);
}

#[test]
fn what_was_not_to_be_kept_ends_with_the_run_that_sent_it() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", ann(1));
    let (_, out) = desk.send("Ann", "hi");
    let memory = memory(&[&out]);
    assert_eq!(memory.open[0].open, Open::Run);
    let mut next = restarted(&desk, memory);
    let out = next.pass(ms(1));
    assert_eq!(told(&out), ["NotConfirmed"]);
    assert!(matches!(out.saves()[..], [(_, Record::Outcome(_))]));
    assert!(next.pass(ms(60_000)).sent().is_empty());
}

#[test]
fn nothing_empty_is_sent_when_the_port_changes_hands_right_after_a_restart() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", ann(1));
    let (_, first) = desk.send("Ann", "hi");
    let (_, second) = send_later(&mut desk, vec![Target::Peer(peer_id("ann@pc"))], "later");
    let next = restarted(&desk, memory(&[&first, &second]));
    let json = serde_json::to_string(&next.node.hand_over()).unwrap();
    let handover = serde_json::from_str(&json).unwrap();
    let mut last = Desk::of(Node::resume(config(), [9; 32], handover, next.now));
    last.now = next.now;
    last.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = last.pass(ms(1_000));
    assert_eq!(told(&out), ["NotConfirmed", "queued"]);
    assert!(out.transmits().iter().all(|transmit| !transmit.bytes.is_empty()));
}

#[test]
fn what_is_kept_asks_for_its_receipt() {
    let (mut desk, gone) = without_ann();
    let to = vec![Target::Peer(gone.id.clone())];
    let wishes = Wishes { later: true, absent: vec![gone], ..Wishes::default() };
    let request = Request::Send { to, text: "x".into(), check: false, timeout_ms: 1, wishes };
    let (_, out) = desk.ask(request);
    let [(_, Record::Message(record)), _] = out.saves()[..] else { panic!("{out:?}") };
    assert!(record.options.bits() & 0x100 != 0);
}

#[test]
fn what_expired_while_nothing_ran_ends_at_the_start() {
    let (mut desk, gone) = without_ann();
    let (_, out) = keep_for(&mut desk, &gone, "hi");
    desk.now.wall.0 += i64::try_from(DAY).unwrap() + 1;
    let mut next = restarted(&desk, memory(&[&out]));
    assert_eq!(told(&next.pass(ms(1))), ["Expired"]);
}

/// Sets the wall clock.
fn set_clock(desk: &mut Desk, by_ms: i64) {
    desk.now.wall.0 += by_ms;
    desk.now.booted.0 += by_ms;
}

const YEAR: i64 = 365 * 86_400_000;

#[test]
fn a_clock_that_is_set_changes_nothing_of_how_long_it_waits() {
    for by_ms in [10 * YEAR, -10 * YEAR, 3_600_000, -1_000] {
        let (mut desk, gone) = without_ann();
        desk.now.wall = UnixMillis(1_795_138_200_000);
        desk.now.booted = UnixMillis(desk.now.wall.0 - 1_000);
        keep_for(&mut desk, &gone, "hi");
        let expires = waiting(&mut desk)[0].expires_at.unwrap();
        set_clock(&mut desk, by_ms);
        let out = pass(&mut desk, 121_000);
        assert_eq!(told(&out), [""; 0], "{by_ms}");
        assert!(
            out.saves()
                .iter()
                .any(|(_, record)| matches!(record, Record::ClockSet(set) if set.by_ms == by_ms)),
            "{out:?}"
        );
        let [Waiting { written_at, expires_at: Some(moved), .. }] = waiting(&mut desk)[..] else {
            panic!()
        };
        assert_eq!(moved.0, expires.0 + by_ms);
        assert_eq!(written_at.0, 1_795_138_200_000 + by_ms);
        // Sent in vain, it waits on.
        let out = desk.hear("10.0.0.2", ann(2));
        let footer = "sent late]";
        assert!(texts(&out, "10.0.0.2")[0].1.ends_with(footer), "two minutes are late: {out:?}");
        desk.keep(&out);
        assert_eq!(told(&pass(&mut desk, DAY - 122_000)), [""; 0], "{by_ms}");
        assert_eq!(told(&pass(&mut desk, 2_000)), ["Expired"], "{by_ms}");
    }
}

#[test]
fn a_clock_that_is_set_moves_nothing_of_another_run_of_the_system() {
    let (mut desk, gone) = without_ann();
    let (_, out) = keep_for(&mut desk, &gone, "hi");
    let written = desk.now.wall;
    let mut memory = memory(&[&out]);
    for open in &mut memory.open {
        open.written = written;
    }
    // Without a battery the clock begins in 1970, until the network tells the time.
    let mut next = restarted(&desk, Memory::default());
    (next.now.wall, next.now.booted) = (UnixMillis(5_000), UnixMillis(0));
    next.node.remember(next.now, memory);
    assert_eq!(told(&pass(&mut next, 60_000)), [""; 0]);
    set_clock(&mut next, written.0 + i64::try_from(DAY).unwrap() - 70_000);
    assert_eq!(told(&pass(&mut next, 1_000)), [""; 0]);
    let [Waiting { written_at, .. }] = waiting(&mut next)[..] else { panic!() };
    assert_eq!(written_at, written);
    assert_eq!(told(&pass(&mut next, 5_000)), ["Expired"]);
}

#[test]
fn the_clock_may_be_set_while_the_port_changes_hands() {
    let (mut desk, gone) = without_ann();
    let (_, out) = keep_for(&mut desk, &gone, "hi");
    let from = desk.node.hand_over();
    set_clock(&mut desk, YEAR);
    let mut next = Desk::of(Node::resume(config(), [9; 32], from, desk.now));
    next.now = desk.now;
    // The store looked at the clock, too.
    let mut memory = memory(&[&out]);
    let Open::Until { expires, .. } = &mut memory.open[0].open else { panic!() };
    expires.0 += YEAR;
    next.node.remember(next.now, memory);
    let expires = UnixMillis(desk.now.wall.0 + i64::try_from(DAY).unwrap());
    assert_eq!(waiting(&mut next)[0].expires_at, Some(expires));
    assert_eq!(told(&pass(&mut next, DAY - 1)), [""; 0]);
    assert_eq!(told(&pass(&mut next, 1)), ["Expired"]);
}

#[test]
fn it_expires_by_the_time_of_day_also_where_the_system_slept() {
    let (mut desk, gone) = without_ann();
    keep_for(&mut desk, &gone, "hi");
    desk.now.wall.0 += i64::try_from(DAY).unwrap();
    let out = desk.hear("10.0.0.2", ann(2));
    assert!(texts(&out, "10.0.0.2").is_empty(), "too late: {out:?}");
    assert_eq!(told(&desk.pass(ms(1))), ["Expired"]);
}

#[test]
fn it_goes_along_when_the_port_changes_hands() {
    let (mut desk, gone) = without_ann();
    let (number, out) = keep_for(&mut desk, &gone, "hi");
    let json = serde_json::to_string(&desk.node.hand_over()).unwrap();
    let mut next =
        Desk::of(Node::resume(config(), [9; 32], serde_json::from_str(&json).unwrap(), desk.now));
    next.now = desk.now;
    next.node.remember(next.now, memory(&[&out]));
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    assert_eq!(waiting(&mut next).len(), 1, "told by both, known once");
    let out = next.hear("10.0.0.2", ann(2));
    assert_eq!(texts(&out, "10.0.0.2").len(), 1);
    assert_eq!(told(&next.hear("10.0.0.2", receipt(number, "ann@pc"))), ["delivered"]);
}

#[test]
fn leaving_queues_what_is_on_its_way() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", ann(1));
    send_later(&mut desk, vec![Target::Peer(peer_id("ann@pc"))], "hi");
    send_later(&mut desk, vec![Target::Addr(addr("10.0.0.77"))], "whoever you are");
    let out = desk.input(Input::Leave);
    assert_eq!(told(&out), ["queued", "queued"]);
    let kept = |(_, record): &(_, &Record)| match record {
        Record::Message(message) => Some(message.text.clone()),
        _ => None,
    };
    let kept: Vec<String> = out.saves().iter().filter_map(kept).collect();
    assert_eq!(kept, ["whoever you are"], "the first one was before");
}

#[test]
fn an_address_is_waited_for_until_somebody_is_there() {
    let mut desk = Desk::new();
    let (number, _) = send_later(&mut desk, vec![Target::Addr(addr("10.0.0.77"))], "hello");
    let out = pass(&mut desk, 10_000);
    assert_eq!(told(&out), ["queued"]);
    let out = pass(&mut desk, 650_000);
    assert!(out.commands_to("10.0.0.77").contains(&Command::BR_ENTRY), "it is asked for");
    let out = desk.hear("10.0.0.77", iptux(0x103, 1, "cat@pc", "Cat"));
    assert_eq!(texts(&out, "10.0.0.77").len(), 1);
    let out = desk.hear("10.0.0.77", iptux(0x121, 2, "cat@pc", &number.to_string()));
    assert_eq!(told(&out), ["delivered"]);
}

#[test]
fn who_appears_where_a_message_waits_for_an_address_has_a_name_then_and_is_no_stranger() {
    let mut desk = Desk::new();
    let (number, _) = send_later(&mut desk, vec![Target::Addr(addr("10.0.0.77"))], "hello");
    pass(&mut desk, 10_000);
    let out = desk.hear("10.0.0.77", iptux(0x103, 1, "cat@pc", "Cat"));
    let rewritten = |(_, record): &(_, &Record)| match record {
        Record::Rewritten(RewrittenRecord { peer, .. }) => {
            Some((peer.id.0.to_string(), peer.nick.clone()))
        }
        _ => None,
    };
    let (id, nick) = ("10.0.0.77:2425".to_owned(), "Cat".to_owned());
    assert_eq!(out.saves().iter().find_map(rewritten), Some((id, nick)));
    let met = Record::WroteTo(desk.peer("Cat").id);
    assert!(out.saves().iter().any(|(_, record)| **record == met), "{:?}", out.saves());
    let out = desk.hear("10.0.0.77", iptux(0x121, 2, "cat@pc", &number.to_string()));
    let delivered = |event: &&Event| match event {
        Event::Delivered { peer, .. } => Some((peer.id.0.to_string(), peer.nick.clone())),
        _ => None,
    };
    let who = Some(("10.0.0.77:2425".to_owned(), "Cat".to_owned()));
    assert_eq!(out.events().iter().find_map(delivered), who);
}

#[test]
fn what_is_kept_for_somebody_leaves_before_what_is_written_to_him_now() {
    let (mut desk, gone) = without_ann();
    keep_for(&mut desk, &gone, "old");
    let out = desk.hear("10.0.0.2", official(1, 2, "ann@pc", "Ann"));
    assert!(texts(&out, "10.0.0.2").is_empty(), "the answer to the entry goes first");
    let (_, out) = desk.send("Ann", "new");
    let sent: Vec<_> = texts(&out, "10.0.0.2").into_iter().map(|(_, text)| text).collect();
    assert_eq!(sent, ["old", "new"]);
    assert_eq!(out.commands_to("10.0.0.2")[0], Command::ANSENTRY);
}

#[test]
fn many_kept_messages_are_paced_when_their_recipient_appears() {
    let (mut desk, gone) = without_ann();
    for n in 0..200 {
        keep_for(&mut desk, &gone, &n.to_string());
    }
    let out = desk.hear("10.0.0.2", ann(2));
    assert_eq!(texts(&out, "10.0.0.2").len(), 50);
    let out = desk.pass(ms(390));
    assert_eq!(texts(&out, "10.0.0.2").len(), 150, "500 a second");
}

#[test]
fn nothing_is_sent_later_without_a_store() {
    let mut desk = Desk::with(|config| config.keeps = false);
    desk.hear("10.0.0.2", ann(1));
    let to = vec![Target::Peer(peer_id("ann@pc"))];
    let wishes = Wishes { later: true, ..Wishes::default() };
    let request = Request::Send { to, text: "x".into(), check: true, timeout_ms: 1_000, wishes };
    let (reply, out) = desk.ask(request);
    assert_eq!(reply, Reply::Refused(Refusal::KeepsNothing));
    assert!(out.effects.is_empty());
}

#[test]
fn who_is_gone_is_written_to_only_later() {
    let (mut desk, gone) = without_ann();
    let to = vec![Target::Peer(gone.id.clone())];
    let wishes = Wishes { absent: vec![gone], ..Wishes::default() };
    let request = Request::Send { to, text: "x".into(), check: true, timeout_ms: 1, wishes };
    let refused = Refusal::UnknownPeer { peer: peer_id("ann@pc") };
    assert_eq!(desk.ask(request).0, Reply::Refused(refused));
}

#[test]
fn a_short_time_is_not_spent_on_waiting_for_a_stranger() {
    let mut desk = Desk::new();
    let request = Request::Send {
        to: vec![Target::Addr(addr("10.0.0.99"))],
        text: "hi".into(),
        check: true,
        timeout_ms: 1_000,
        wishes: Wishes::default(),
    };
    desk.ask(request);
    let out = pass(&mut desk, 1_500);
    assert_eq!(texts(&out, "10.0.0.99").len(), 1, "{out:?}");
    let end = |event: &&Event| match event {
        Event::Failed { outcome, tries, .. } => Some((*outcome, *tries)),
        _ => None,
    };
    assert!(out.events().iter().find_map(end).is_none_or(|(end, _)| end == End::NotConfirmed));
}

/// A file of 10 bytes to be offered.
fn choice(name: &str) -> FileChoice {
    FileChoice {
        name: name.into(),
        kind: ItemKind::File,
        size: 10,
        mtime: 0x65a0_c3f0,
        mtime_nanos: None,
        read_only: false,
        path: format!("/home/fei/{name}").into(),
        device: 1,
        inode: 2,
    }
}

/// Offers to Ann, who is not here, for a week.
fn offer_later(
    desk: &mut Desk,
    gone: &PeerView,
    text: &str,
    names: &[&str],
) -> (PacketNo, Outcome) {
    let choices = names.iter().map(|name| choice(name)).collect();
    let absent = vec![gone.clone()];
    let wishes = Wishes { later: true, absent, choices, ..Wishes::default() };
    let (to, text) = (vec![Target::Peer(gone.id.clone())], text.to_owned());
    match desk.ask(Request::Send { to, text, check: true, timeout_ms: 5_000, wishes }) {
        (Reply::Sent { number, .. }, out) => {
            let kept = desk.keep(&out);
            (number, joined(out, kept))
        }
        (other, _) => panic!("{other:?}"),
    }
}

/// What the message to Ann offers: names and ids.
fn offered(out: &Outcome) -> Vec<(String, u64)> {
    let to_ann = |sent: &(_, std::net::SocketAddr, feige::wire::Packet)| {
        sent.1 == addr("10.0.0.2") && sent.2.command == Command::SENDMSG
    };
    let (.., packet) = out.sent().into_iter().find(to_ann).expect("a message to Ann");
    let Body::Message(message) = packet.body else { panic!("{packet:?}") };
    message.files.files.into_iter().map(|file| (file.name, file.id)).collect()
}

fn fetches(desk: &mut Desk, number: PacketNo, file: u64) -> bool {
    let from = "10.0.0.2:50000".parse().unwrap();
    let request = format!("1:77:ann:pc:96:{:x}:{file:x}:0:\0", number.0);
    let out = desk.input(Input::Asked { stream: StreamId(1), from, request: request.as_bytes() });
    out.effects.iter().any(|(_, effect)| matches!(effect, Effect::Serve(_)))
}

fn withdrawn(out: &Outcome) -> usize {
    let ends = out.events().into_iter().filter(|event| match event {
        Event::Transferred(end) => end.outcome == TransferOutcome::Withdrawn,
        _ => false,
    });
    ends.count()
}

#[test]
fn files_of_a_kept_message_are_offered_when_their_recipient_appears() {
    let (mut desk, gone) = without_ann();
    let (number, out) = offer_later(&mut desk, &gone, "", &["报告.txt", "b"]);
    assert_eq!(told(&out), ["queued"]);
    // Longer than the files of any other message would be on offer.
    pass(&mut desk, 3 * DAY);
    let Reply::Offers { offers } = desk.ask(Request::Offers).0 else { panic!() };
    assert_eq!(offers[0].items.len(), 2);
    let out = desk.hear("10.0.0.2", ann(3));
    let files = offered(&out);
    assert_eq!([&*files[0].0, &*files[1].0], ["报告.txt", "b"]);
    assert!(fetches(&mut desk, number, files[0].1));
    desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    assert!(fetches(&mut desk, number, files[1].1), "the receipt ends the message, not the offer");
}

#[test]
fn files_of_a_kept_message_survive_a_restart() {
    let (mut desk, gone) = without_ann();
    let (number, out) = offer_later(&mut desk, &gone, "hi", &["a", "b"]);
    let mut grants = out.saves().into_iter().filter_map(|(_, record)| match record {
        Record::Grant(grant) => Some((**grant).clone()),
        _ => None,
    });
    let mut grant = grants.next_back().expect("it is written down");
    // One of them changed meanwhile.
    grant.states[0] = ItemState::Over;
    let mut next = restarted(&desk, Memory { grants: vec![grant], ..memory(&[&out]) });
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    pass(&mut next, 3 * DAY);
    let files = offered(&next.hear("10.0.0.2", ann(3)));
    let [(name, id)] = &files[..] else { panic!("{files:?}") };
    assert_eq!(name, "b");
    assert!(fetches(&mut next, number, *id));
}

#[test]
fn in_what_their_requests_are_read_is_written_down_with_each_new_try() {
    let (mut desk, gone) = without_ann();
    let (number, _) = offer_later(&mut desk, &gone, "hi", &["a"]);
    let charset = |out: &Outcome| {
        let charset = |(_, record): &(_, &Record)| match record {
            Record::Grant(grant) => Some(grant.charset),
            _ => None,
        };
        out.saves().iter().rev().find_map(charset)
    };
    let out = desk.hear("10.0.0.2", ann(3));
    assert_eq!(charset(&out), Some(Charset::UTF_8));
    // Nobody confirms it, and she is gone: by now somebody else may be where she was.
    pass(&mut desk, 60_000);
    let (_, out) = desk.ask(Request::Retry { number });
    assert_eq!(texts(&out, "10.0.0.2").len(), 1);
    assert_eq!(charset(&out), Some(Charset::GB18030), "it goes where one went before");
}

#[test]
fn files_of_a_kept_message_end_with_it() {
    let (mut desk, gone) = without_ann();
    offer_later(&mut desk, &gone, "hi", &["a"]);
    let out = pass(&mut desk, 8 * DAY);
    assert_eq!((told(&out), withdrawn(&out)), (vec!["Expired".to_owned()], 1));
    let Reply::Offers { offers } = desk.ask(Request::Offers).0 else { panic!() };
    assert_eq!(offers, []);

    // Cancelled, they are taken back.
    let (number, _) = offer_later(&mut desk, &gone, "hi", &["a"]);
    let (_, out) = cancel(&mut desk, number);
    assert_eq!((told(&out), withdrawn(&out)), (vec!["Cancelled".to_owned()], 1));
}

#[test]
fn a_kept_message_whose_files_were_taken_back_says_what_it_has_to_say() {
    let (mut desk, gone) = without_ann();
    let (bare, _) = offer_later(&mut desk, &gone, "", &["a"]);
    let (number, _) = offer_later(&mut desk, &gone, "hi", &["a"]);
    let Reply::Offers { offers } = desk.ask(Request::Offers).0 else { panic!() };
    for offer in offers {
        desk.ask(Request::Withdraw { offer: offer.offer });
    }
    let out = desk.hear("10.0.0.2", ann(3));
    assert_eq!(texts(&out, "10.0.0.2"), [(number, "hi".to_owned())]);
    assert_eq!(offered(&out), []);
    let kept = desk.keep(&out);
    let ended = joined(out, kept);
    let failed = ended
        .events()
        .into_iter()
        .any(|event| matches!(event, Event::Failed { number, .. } if *number == bare));
    assert!(failed, "{:?}", ended.events());
    let waiting: Vec<_> = waiting(&mut desk).into_iter().map(|one| one.number).collect();
    assert_eq!(waiting, [number]);
}

/// More messages for Ann than leave at once.
fn many_for_ann(desk: &mut Desk, gone: &PeerView) {
    for n in 0..60 {
        keep_for(desk, gone, &n.to_string());
    }
}

#[test]
fn what_has_not_had_its_turn_stays_here_when_its_recipient_is_blocked() {
    let (mut desk, gone) = without_ann();
    many_for_ann(&mut desk, &gone);
    let out = desk.hear("10.0.0.2", ann(20));
    assert_eq!(texts(&out, "10.0.0.2").len(), 50);
    let peer = Box::new(desk.peer("Ann"));
    change(&mut desk, Request::Block { peer });
    let out = pass(&mut desk, 60_000);
    assert!(texts(&out, "10.0.0.2").is_empty(), "{}", texts(&out, "10.0.0.2").len());
    assert_eq!(waiting(&mut desk).len(), 60);
}

#[test]
fn what_could_not_be_written_down_anew_waits_on_though_its_turn_comes() {
    let (mut desk, gone) = without_ann();
    many_for_ann(&mut desk, &gone);
    desk.pass(ms(130_000));
    let out = desk.hear("10.0.0.2", ann(20));
    desk.answer(&out, &SaveResult::Failed("the disk is full".into()));
    let out = pass(&mut desk, 60_000);
    assert!(texts(&out, "10.0.0.2").is_empty(), "{}", texts(&out, "10.0.0.2").len());
    let waiting = waiting(&mut desk);
    assert!(waiting.iter().all(|one| one.state == WaitingState::Queued));
    // And it is sent when that is possible again.
    let out = desk.hear("10.0.0.2", ann(30));
    let kept = desk.keep(&out);
    assert_eq!(texts(&joined(out, kept), "10.0.0.2").len(), 50);
    assert_eq!(texts(&pass(&mut desk, 200), "10.0.0.2").len(), 10);
}

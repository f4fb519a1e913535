//! Sealed messages, both ways: closed until they are opened, and told then, not before.

use feige::node::{
    Effect, Event, Input, Memory, MessageEvent, PacketNo, Recalled, Record, Refusal, Reply,
    Request, RequestId, SaveResult, SealedMemory, Target, Told, Wishes,
};
use feige::wire::{Body, Command, PacketNo as No};

use super::desk::{Desk, Outcome, addr, link, ms, official, plain, read, receipt, with_known};
use crate::wire::vectors;

const SEALED: u32 = 0x20 | 0x100 | 0x200;
const READ_CHECK: u32 = 0x10_0000;
const LOCKED: u32 = 0x8000;

/// Ann's sealed message 50 as it is on disk under seq 7.
struct Letter {
    desk: Desk,
    record: Box<feige::node::MessageRecord>,
}

impl Letter {
    fn with(word: u32) -> Self {
        let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
        let out = desk.hear("10.0.0.2", plain(word, 50, "ann@pc", "the surprise"));
        let (_, Record::Message(record)) = out.saves()[0] else { panic!("{out:?}") };
        let record = Box::new(record.clone());
        desk.keep(&out);
        Self { desk, record }
    }

    /// A face asks for it, and the shell finds it.
    fn ask(&mut self, request: u64, opened: bool) -> Outcome {
        let id = RequestId(request);
        let out = self.desk.input(Input::Request(id, Request::Open { seq: 7 }));
        assert!(
            matches!(out.effects[..], [(_, Effect::Recall(to, 7))] if to == id),
            "it is looked up first: {out:?}"
        );
        let message = self.record.clone();
        let found = Recalled::Message { message, opened };
        self.desk.input(Input::Recalled { request: id, seq: 7, found })
    }

    /// Opens it, on disk too.
    fn open(&mut self) -> Outcome {
        let out = self.ask(900, false);
        assert!(out.transmits().is_empty(), "nobody is told before it is on disk");
        assert!(replies(&out).is_empty(), "and nobody reads it before");
        self.desk.keep(&out)
    }
}

fn replies(out: &Outcome) -> Vec<(&Reply, u64)> {
    let replies = out.effects.iter().filter_map(|(_, effect)| match effect {
        Effect::Reply(id, reply) => Some((reply, id.0)),
        _ => None,
    });
    replies.collect()
}

/// The message of a reply, and whether its sender is being told.
fn shown(out: &Outcome) -> (&MessageEvent, bool) {
    match replies(out)[..] {
        [(Reply::Opened { message, tells, .. }, _)] => (message, *tells),
        ref other => panic!("{other:?}"),
    }
}

fn told(out: &Outcome) -> Vec<(Told, u32)> {
    let told = |event: &&Event| match event {
        Event::Told { told, tries, .. } => Some((*told, *tries)),
        _ => None,
    };
    out.events().iter().filter_map(told).collect()
}

fn readings(out: &Outcome) -> Vec<(PacketNo, bool)> {
    let read = |event: &&Event| match event {
        Event::Read { number, discarded, .. } => Some((*number, *discarded)),
        _ => None,
    };
    out.events().iter().filter_map(read).collect()
}

#[test]
fn a_sealed_message_is_kept_whole_and_shown_closed() {
    for word in [SEALED, SEALED | LOCKED, 0x20 | 0x100 | LOCKED] {
        let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
        let out = desk.hear("10.0.0.2", plain(word, 50, "ann@pc", "the surprise"));
        let event = out.messages()[0];
        assert!(event.closed && event.text.is_empty(), "{event:?}");
        assert_eq!((event.sealed, event.locked), (word & 0x200 != 0, word & LOCKED != 0));
        let (_, Record::Message(record)) = out.saves()[0] else { panic!("{out:?}") };
        assert_eq!(record.text, "the surprise");
        assert_eq!(out.commands_to("10.0.0.2"), [Command::RECVMSG], "a receipt is no read notice");
        desk.keep(&out);
        assert!(desk.pass(ms(60_000)).commands_to("10.0.0.2").is_empty());
    }
}

#[test]
fn it_is_opened_and_its_sender_told_once_that_is_on_disk() {
    let mut letter = Letter::with(SEALED);
    let out = letter.ask(1, false);
    let saves = out.saves();
    let [(_, Record::Opened(opened))] = saves.as_slice() else { panic!("{saves:?}") };
    assert_eq!(opened.message, 7);
    let out = letter.desk.keep(&out);
    let (message, tells) = shown(&out);
    assert_eq!((message.text.as_str(), message.closed, tells), ("the surprise", false, true));
    let sent = out.sent();
    let [(_, to, packet)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((*to, packet.command), (addr("10.0.0.2"), Command::READMSG));
    assert_eq!(packet.body, Body::Reference(No(50)));
    assert!(packet.options.is_empty(), "it asked for no confirmation");
    assert_eq!(told(&out), [(Told::NotAsked, 1)]);
    assert!(letter.desk.pass(ms(60_000)).commands_to("10.0.0.2").is_empty());
}

#[test]
fn a_checked_one_is_told_until_the_notice_itself_is_answered() {
    let mut letter = Letter::with(SEALED | READ_CHECK);
    let out = letter.open();
    let sent = out.sent();
    assert_eq!(sent[0].2.options.bits(), READ_CHECK);
    let number = sent[0].2.number;
    let again = letter.desk.pass(ms(1_600));
    let numbers: Vec<_> = again.sent().iter().map(|(_, _, packet)| packet.number).collect();
    assert_eq!(numbers, [number, number], "the same datagram, every 750 ms");
    // An answer that names the message and not the notice, or comes from elsewhere, is none.
    for (from, main) in [("10.0.0.2", 50), ("10.0.0.9", number.0)] {
        let out = letter.desk.hear(from, plain(0x32, 51, "ann@pc", &main.to_string()));
        assert!(told(&out).is_empty(), "{from} {main}");
    }
    let out = letter.desk.hear("10.0.0.2", plain(0x32, 52, "ann@pc", &number.to_string()));
    assert_eq!(told(&out), [(Told::Confirmed, 3)]);
    assert!(letter.desk.pass(ms(60_000)).commands_to("10.0.0.2").is_empty());
}

#[test]
fn an_unanswered_notice_is_repeated_twelve_times() {
    let mut letter = Letter::with(SEALED | READ_CHECK);
    letter.open();
    let out = letter.desk.pass(ms(60_000));
    let notices = out.commands_to("10.0.0.2");
    assert_eq!(notices.iter().filter(|command| **command == Command::READMSG).count(), 12);
    assert_eq!(told(&out), [(Told::NotConfirmed, 13)]);
}

#[test]
fn what_cannot_be_kept_stays_closed() {
    let mut letter = Letter::with(SEALED);
    let out = letter.ask(1, false);
    let out = letter.desk.answer(&out, &SaveResult::Failed("disk full".into()));
    assert!(out.commands_to("10.0.0.2").is_empty());
    let [(Reply::Refused(Refusal::StaysClosed { reason }), 1)] = replies(&out)[..] else {
        panic!("{out:?}")
    };
    assert_eq!(reason, "disk full");
    let out = letter.open();
    assert_eq!(shown(&out).0.text, "the surprise", "and can be opened later");
}

#[test]
fn whoever_asks_again_reads_it_and_nobody_is_told_again() {
    let mut letter = Letter::with(SEALED | READ_CHECK);
    let first = letter.ask(1, false);
    let second = letter.ask(2, false);
    assert!(second.effects.is_empty(), "one opening serves both");
    let out = letter.desk.keep(&first);
    let asked: Vec<_> = replies(&out).iter().map(|(_, id)| *id).collect();
    assert_eq!((asked, out.transmits().len()), (vec![1, 2], 1));
    // The store was read before it knew.
    let late = letter.ask(3, false);
    let out = letter.desk.answer(&late, &SaveResult::Repeat);
    assert_eq!((shown(&out).1, out.transmits().len()), (false, 0));
    let out = letter.ask(4, true);
    assert_eq!((shown(&out).1, out.transmits().len(), out.saves().len()), (false, 0, 0));
}

#[test]
fn a_message_that_is_not_there_is_refused() {
    let mut desk = Desk::new();
    desk.input(Input::Request(RequestId(1), Request::Open { seq: 9 }));
    let found = Recalled::Missing;
    let out = desk.input(Input::Recalled { request: RequestId(1), seq: 9, found });
    let [(Reply::Refused(Refusal::NoMessage { seq: 9 }), 1)] = replies(&out)[..] else {
        panic!("{out:?}")
    };
}

#[test]
fn broadcasts_and_automatic_texts_are_opened_without_a_word() {
    for word in [0x620, 0x2220] {
        let mut letter = Letter::with(word);
        let out = letter.open();
        assert_eq!((shown(&out).1, out.transmits().len()), (false, 0), "{word:#x}");
    }
}

#[test]
fn the_notice_follows_a_sender_that_moved_and_never_goes_to_a_stranger() {
    let mut letter = Letter::with(SEALED);
    let entry = official(1, 60, "ann@pc", "Ann");
    letter.desk.hear("10.0.0.8", entry);
    letter.desk.hear("10.0.0.2", official(1, 1, "eve@pc2", "Eve"));
    let out = letter.open();
    let to: Vec<_> = out.transmits().iter().map(|transmit| transmit.to).collect();
    assert_eq!(to, [addr("10.0.0.8")]);
}

#[test]
fn without_a_store_the_newest_few_are_held_and_opened_by_their_number() {
    let mut desk = Desk::with(|config| {
        config.keeps = false;
        config.policy.envelopes_held_max = 2;
    });
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    for number in [50, 51, 52] {
        let out = desk.hear("10.0.0.2", plain(SEALED, number, "ann@pc", "the surprise"));
        assert!(out.messages()[0].closed);
    }
    let (reply, _) = desk.ask(Request::Open { seq: 50 });
    assert_eq!(reply, Reply::Refused(Refusal::NoMessage { seq: 50 }), "pushed out");
    let (Reply::Opened { message, tells, .. }, out) = desk.ask(Request::Open { seq: 51 }) else {
        panic!()
    };
    assert_eq!((message.text.as_str(), message.closed, tells), ("the surprise", false, true));
    assert_eq!(out.commands_to("10.0.0.2"), [Command::READMSG]);
    let (Reply::Opened { tells, .. }, out) = desk.ask(Request::Open { seq: 51 }) else { panic!() };
    assert_eq!((tells, out.transmits().len()), (false, 0), "once");
}

/// A sealed message of ours to Ann, sent.
fn sealed_to_ann(desk: &mut Desk, locked: bool) -> PacketNo {
    let to = vec![Target::Peer(desk.peer("Ann").id)];
    let wishes = Wishes { sealed: !locked, locked, ..Wishes::default() };
    let text = "psst".to_owned();
    let request = Request::Send { to, text, check: true, timeout_ms: 30_000, wishes };
    let (Reply::Sent { number, .. }, out) = desk.ask(request) else { panic!() };
    let packet = read(&out.transmits()[0].bytes);
    let lock = if locked { LOCKED } else { 0 };
    assert_eq!(packet.options.bits() & 0x10_8300, 0x10_0300 | lock, "as the official client seals");
    assert!(!out.messages()[0].closed, "we know what we wrote");
    desk.keep(&out);
    number
}

fn notice(number: PacketNo, word: u32) -> Vec<u8> {
    plain(0x30 | word, 700, "ann@pc", &number.to_string())
}

#[test]
fn a_reading_is_kept_then_told_and_answered() {
    for locked in [false, true] {
        let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
        let number = sealed_to_ann(&mut desk, locked);
        let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
        desk.keep(&out);
        desk.pass(ms(86_400_000));
        let out = desk.hear("10.0.0.2", notice(number, READ_CHECK));
        let saves = out.saves();
        let [(id, Record::Read(record))] = saves.as_slice() else { panic!("{saves:?}") };
        assert_eq!((record.number, record.peer.nick.as_str()), (number, "Ann"));
        assert_eq!(readings(&out), [(number, false)]);
        let answer = out.transmits()[0];
        assert_eq!(answer.after, Some(*id), "once it is on disk");
        let answer = read(&answer.bytes);
        assert_eq!(answer.command, Command::ANSREADMSG);
        assert_eq!(answer.body, Body::Reference(No(700)), "names the notice, not the message");
        // A repeat before it is on disk waits too; a later one is answered at once.
        let early = desk.hear("10.0.0.2", notice(number, READ_CHECK));
        assert_eq!((early.transmits()[0].after, early.saves().len()), (Some(*id), 0));
        desk.keep(&out);
        let late = desk.hear("10.0.0.2", notice(number, READ_CHECK));
        assert_eq!((late.transmits()[0].after, late.saves().len()), (None, 0));
        assert!(readings(&late).is_empty(), "told once");
    }
}

#[test]
fn a_reading_that_overtakes_its_receipt_confirms_the_message() {
    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let number = sealed_to_ann(&mut desk, false);
    let out = desk.hear("10.0.0.2", notice(number, 0));
    assert!(out.transmits().is_empty(), "unasked for, nothing is answered");
    let events = out.events();
    let [Event::Receipt { .. }, Event::Read { .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    desk.keep(&out);
    assert!(desk.pass(ms(60_000)).events().is_empty(), "it ended once");
}

#[test]
fn a_reading_counts_only_from_where_the_message_went_and_only_if_it_was_sealed() {
    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let number = sealed_to_ann(&mut desk, false);
    let out = desk.hear("10.0.0.9", notice(number, READ_CHECK));
    assert!(readings(&out).is_empty());
    assert_eq!(out.commands_to("10.0.0.9"), [Command::ANSREADMSG], "it stops repeating");
    let (open, out) = desk.send("Ann", "nothing secret");
    desk.keep(&out);
    let out = desk.hear("10.0.0.2", notice(open, 0));
    assert!(out.events().is_empty() && out.saves().is_empty());
    for word in [0x2000, 0x400] {
        let out = desk.hear("10.0.0.2", notice(open, READ_CHECK | word));
        assert!(out.transmits().is_empty(), "nothing answers a machine or everybody");
    }
}

#[test]
fn one_thrown_away_unread_is_done() {
    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let number = sealed_to_ann(&mut desk, false);
    let out = desk.hear("10.0.0.2", plain(0x31, 701, "ann@pc", &number.to_string()));
    assert_eq!(readings(&out), [(number, true)]);
    assert!(out.transmits().is_empty());
    desk.keep(&out);
    assert!(readings(&desk.hear("10.0.0.2", notice(number, 0))).is_empty());
}

#[test]
fn a_reading_that_cannot_be_kept_is_not_answered_and_heard_again() {
    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let number = sealed_to_ann(&mut desk, false);
    let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    desk.keep(&out);
    let out = desk.hear("10.0.0.2", notice(number, READ_CHECK));
    desk.answer(&out, &SaveResult::Failed("disk full".into()));
    let again = desk.hear("10.0.0.2", notice(number, READ_CHECK));
    assert_eq!(readings(&again), [(number, false)]);
}

#[test]
fn readings_are_heard_after_a_restart() {
    let mut desk = Desk::bare(|_| {});
    let mut peer = with_known("10.0.0.2", "ann@pc", "Ann").peer("Ann");
    peer.addrs.push(addr("10.0.5.2"));
    let sealed = vec![SealedMemory { number: PacketNo(1_700_000_001), peer }];
    desk.node.remember(desk.now, Memory { sealed, ..Memory::default() });
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = desk.hear("10.0.5.2", notice(PacketNo(1_700_000_001), 0));
    assert_eq!(readings(&out), [(PacketNo(1_700_000_001), false)]);
}

#[test]
fn the_official_vectors_are_understood() {
    let packets = vectors::packets();
    let bytes = |id: &str| vectors::bytes(&vectors::named(&packets, id));
    // Ours is 1700000001, Bob opens it and names his notice 1700000021.
    let mut desk = Desk::bare(|_| {});
    let mut peer = with_known("10.0.0.2", "bob@PC-B", "Bob").peer("Bob");
    peer.addrs = vec![addr("10.0.0.2")];
    let sealed = vec![SealedMemory { number: PacketNo(1_700_000_001), peer }];
    desk.node.remember(desk.now, Memory { sealed, ..Memory::default() });
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = desk.hear("10.0.0.2", bytes("readmsg-check"));
    assert_eq!(readings(&out), [(PacketNo(1_700_000_001), false)]);
    let answer = read(&out.transmits()[0].bytes);
    assert_eq!(
        (answer.command, answer.body),
        (Command::ANSREADMSG, Body::Reference(No(1_700_000_021)))
    );
    // A sealed and locked message is closed.
    let out = desk.hear("10.0.0.3", bytes("sendmsg-secret"));
    assert!(out.messages()[0].closed);
}

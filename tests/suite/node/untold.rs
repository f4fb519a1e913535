//! A crash between the opening of a sealed message and its read notice: its sender is told after the
//! restart, once, by the same rule, and nobody else is.

use feige::node::{
    Event, Input, Memory, Node, Options, PacketNo, Recalled, Record, Request, RequestId, Told,
    UnixMillis, UntoldMemory,
};
use feige::wire::{Body, Command};

use super::desk::{Desk, Outcome, addr, config, link, ms, official, plain, read, with_known};

const SEALED: u32 = 0x20 | 0x100 | 0x200;
const READ_CHECK: u32 = 0x10_0000;
const DAY: u64 = 86_400_000;

/// Ann's message 50, opened under seq 7 so many milliseconds ago.
fn opened(word: u32, ago: i64) -> UntoldMemory {
    UntoldMemory {
        message: 7,
        number: PacketNo(50),
        peer: with_known("10.0.0.2", "ann@pc", "Ann").peer("Ann"),
        options: Options::from_bits_retain(word & 0xffff_ff00),
        opened: UnixMillis(1_800_000_000_000 - ago),
    }
}

/// A node that starts with this, and announced itself.
fn started(untold: UntoldMemory, passive: bool) -> Desk {
    let mut desk = Desk::bare(|config| config.passive = passive);
    desk.node.remember(desk.now, Memory { untold: vec![untold], ..Memory::default() });
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    desk
}

fn notices(out: &Outcome) -> Vec<std::net::SocketAddr> {
    let sent = out.sent().into_iter();
    sent.filter(|(_, _, packet)| packet.command == Command::READMSG).map(|(_, to, _)| to).collect()
}

fn told(out: &Outcome) -> Vec<(PacketNo, Told, u32)> {
    let told = |event: &&Event| match event {
        Event::Told { number, told, tries, .. } => Some((*number, *told, *tries)),
        _ => None,
    };
    out.events().iter().filter_map(told).collect()
}

/// The messages whose openings need not be told any more.
fn over(out: &Outcome) -> Vec<u64> {
    let over = |(_, record): &(_, &Record)| match record {
        Record::NoticeOver(message) => Some(*message),
        _ => None,
    };
    out.saves().iter().filter_map(over).collect()
}

/// The node of `desk` opens Ann's message `word` under seq 7, on disk too; what the opening said.
fn open(desk: &mut Desk, word: u32) -> (bool, Outcome) {
    let out = desk.hear("10.0.0.2", plain(word, 50, "ann@pc", "the surprise"));
    let Some((_, Record::Message(record))) = out.saves().first().copied() else { panic!() };
    let message = Box::new(record.clone());
    desk.keep(&out);
    desk.input(Input::Request(RequestId(1), Request::Open { seq: 7 }));
    let found = Recalled::Message { message, opened: false };
    let out = desk.input(Input::Recalled { request: RequestId(1), seq: 7, found });
    let [(_, Record::Opened(opening))] = out.saves()[..] else { panic!("{out:?}") };
    let tells = opening.tells;
    (tells, desk.keep(&out))
}

#[test]
fn an_opening_says_whether_its_sender_is_to_know_and_when_it_does() {
    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let (tells, out) = open(&mut desk, SEALED);
    assert_eq!((tells, over(&out)), (true, vec![7]), "told, and no answer asked for");

    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let (tells, out) = open(&mut desk, SEALED | READ_CHECK);
    assert_eq!((tells, over(&out)), (true, vec![]), "not before it answers");
    let number = out.sent()[0].2.number.0.to_string();
    let out = desk.hear("10.0.0.2", plain(0x32, 51, "ann@pc", &number));
    assert_eq!(over(&out), [7]);

    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    open(&mut desk, SEALED | READ_CHECK);
    let out = desk.pass(ms(60_000));
    assert_eq!(
        (told(&out)[0].1, over(&out)),
        (Told::NotConfirmed, vec![7]),
        "given up by the rule"
    );

    for word in [0x620, 0x2220] {
        let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
        let (tells, out) = open(&mut desk, word);
        assert_eq!((tells, over(&out)), (false, vec![]), "{word:#x}");
    }
    let mut desk = Desk::with(|config| config.passive = true);
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    assert!(!open(&mut desk, SEALED).0, "who only listens tells nobody, later neither");
}

#[test]
fn after_a_restart_its_sender_is_told_where_it_is_and_never_a_stranger() {
    let mut desk = started(opened(SEALED | READ_CHECK, 5_000), false);
    // Somebody else has the address by now.
    let mut out = desk.hear("10.0.0.2", official(1, 1, "eve@pc2", "Eve"));
    out.effects.extend(desk.hear("10.0.0.2", plain(0x120, 2, "eve@pc2", "hello")).effects);
    out.effects.extend(desk.pass(ms(20_000)).effects);
    assert!(notices(&out).is_empty(), "{out:?}");
    let out = desk.hear("10.0.0.8", official(1, 60, "ann@pc", "Ann"));
    assert_eq!(notices(&out), [addr("10.0.0.8")]);
    let sent = out.sent();
    let (_, _, notice) = sent.iter().find(|(_, _, it)| it.command == Command::READMSG).unwrap();
    assert_eq!((notice.options.bits(), &notice.body), (READ_CHECK, &Body::Reference(PacketNo(50))));
    assert!(over(&out).is_empty(), "she did not answer yet");
    // By the same rule: every 750 ms until it is answered.
    let out = desk.pass(ms(1_600));
    assert_eq!(notices(&out), [addr("10.0.0.8"), addr("10.0.0.8")]);
    let out = desk.hear("10.0.0.8", plain(0x32, 61, "ann@pc", &notice.number.0.to_string()));
    assert_eq!(told(&out), [(PacketNo(50), Told::Confirmed, 3)]);
    assert_eq!(over(&out), [7]);
    let again = desk.hear("10.0.0.8", official(1, 62, "ann@pc", "Ann"));
    assert!(notices(&again).is_empty() && notices(&desk.pass(ms(60_000))).is_empty(), "once");
}

#[test]
fn whoever_only_writes_is_told_as_well_and_once_is_enough_where_it_asked_no_answer() {
    let mut desk = started(opened(SEALED, 5_000), false);
    let out = desk.hear("10.0.0.2", plain(0x120, 51, "ann@pc", "hello"));
    assert_eq!(notices(&out), [addr("10.0.0.2")]);
    assert_eq!((told(&out), over(&out)), (vec![(PacketNo(50), Told::NotAsked, 1)], vec![7]));
    assert!(notices(&desk.pass(ms(60_000))).is_empty());
}

#[test]
fn it_is_looked_for_where_it_was_last() {
    let desk = &mut started(opened(SEALED, 5_000), false);
    let out = desk.pass(ms(2_000));
    assert_eq!(out.commands_to("10.0.0.2"), [Command::BR_ENTRY], "asked who is there, no more");
}

#[test]
fn after_a_day_nobody_is_told() {
    let mut desk = started(opened(SEALED | READ_CHECK, 5_000), false);
    assert!(over(&desk.pass(ms(DAY - 5_001))).is_empty());
    let out = desk.pass(ms(2));
    assert_eq!(told(&out), [(PacketNo(50), Told::NotConfirmed, 0)]);
    assert_eq!(over(&out), [7]);
    let late = desk.hear("10.0.0.2", official(1, 60, "ann@pc", "Ann"));
    assert!(notices(&late).is_empty());
    // One that was too old at the start already.
    let mut desk = started(opened(SEALED, 86_400_001), false);
    let out = desk.pass(ms(1));
    assert_eq!((over(&out), notices(&out).len()), (vec![7], 0));
}

#[test]
fn who_only_listens_leaves_it_to_a_later_run() {
    let mut desk = started(opened(SEALED, 5_000), true);
    let out = desk.hear("10.0.0.2", official(1, 60, "ann@pc", "Ann"));
    assert!(over(&out).is_empty() && out.transmits().is_empty());
    assert!(over(&desk.pass(ms(2 * DAY))).is_empty());
}

#[test]
fn somebody_blocked_meanwhile_is_told_nothing() {
    let untold = opened(SEALED, 5_000);
    let mut desk = Desk::bare(|_| {});
    let blocks = vec![untold.peer.clone()];
    desk.node.remember(desk.now, Memory { untold: vec![untold], blocks, ..Memory::default() });
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    assert!(notices(&desk.hear("10.0.0.2", official(1, 60, "ann@pc", "Ann"))).is_empty());
}

#[test]
fn what_the_process_before_is_telling_is_told_once() {
    let mut desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let (_, out) = open(&mut desk, SEALED | READ_CHECK);
    let number = read(&out.transmits()[0].bytes).number;
    let now = desk.now;
    let mut next = Desk::of(Node::resume(config(), [8; 32], desk.node.hand_over(), now));
    next.now = now;
    let untold = vec![opened(SEALED | READ_CHECK, 0)];
    next.node.remember(now, Memory { untold, ..Memory::default() });
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = next.pass(ms(60_000));
    let all: Vec<_> = out.sent().into_iter().map(|(_, _, packet)| packet).collect();
    let numbers = all.iter().filter(|it| it.command == Command::READMSG).map(|it| it.number);
    assert!(numbers.clone().all(|of| of == number) && numbers.count() == 12, "{all:?}");
    assert_eq!(over(&out), [7]);
}

#[test]
fn an_opening_on_its_way_to_the_disk_when_the_port_changes_hands_is_told_by_the_next() {
    let desk = with_known("10.0.0.2", "ann@pc", "Ann");
    let now = desk.now;
    let mut next = Desk::of(Node::resume(config(), [8; 32], desk.node.hand_over(), now));
    next.now = now;
    let untold = vec![opened(SEALED, 0)];
    next.node.remember(now, Memory { untold, ..Memory::default() });
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    // She is here already and need not show herself again.
    let out = next.pass(ms(1));
    assert_eq!((notices(&out), over(&out)), (vec![addr("10.0.0.2")], vec![7]));
}

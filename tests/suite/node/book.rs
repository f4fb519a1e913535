//! Own names, blocks, and peers on their way to the store.

use feige::node::{
    Alias, BookRecord, DownReason, Effect, Event, Input, Memory, NoticeCode, PeerView, Record,
    Refusal, Reply, Request, RosterRecord, SaveResult, Target,
};
use feige::wire::Command;

use super::desk::{Desk, Outcome, link, message, ms, official, peer_id};

fn notices(out: &Outcome) -> Vec<(NoticeCode, &str)> {
    let notice = |event: &&Event| matches!(event, Event::Notice { .. });
    let events = out.events().into_iter().filter(notice);
    events
        .map(|event| match event {
            Event::Notice { code, text } => (*code, text.as_str()),
            _ => unreachable!(),
        })
        .collect()
}

fn replies(out: &Outcome) -> Vec<&Reply> {
    let effects = out.effects.iter();
    effects
        .filter_map(
            |(_, effect)| if let Effect::Reply(_, reply) = effect { Some(reply) } else { None },
        )
        .collect()
}

/// Asks for a change of the book, which is not answered before it is on disk.
fn change(desk: &mut Desk, request: Request) -> Outcome {
    let id = feige::node::RequestId(900);
    let out = desk.input(Input::Request(id, request));
    assert!(replies(&out).is_empty(), "not before it is kept");
    out
}

fn block(desk: &mut Desk, nick: &str) -> PeerView {
    let peer = desk.peer(nick);
    let out = change(desk, Request::Block { peer: Box::new(peer.clone()) });
    desk.keep(&out);
    peer
}

fn rosters(out: &Outcome) -> Vec<&RosterRecord> {
    let saves = out.saves().into_iter();
    saves
        .filter_map(
            |(_, record)| if let Record::Roster(roster) = record { Some(roster) } else { None },
        )
        .collect()
}

#[test]
fn a_blocked_peer_is_counted_and_nothing_else() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "mal@pc", "Mallory"));
    desk.hear("10.0.0.3", official(1, 1, "ann@pc", "Ann"));
    desk.pass(ms(20_000));
    let peer = desk.peer("Mallory");
    let out = change(&mut desk, Request::Block { peer: Box::new(peer) });
    let done = desk.keep(&out);
    assert!(matches!(replies(&done)[..], [Reply::Done]));
    assert!(matches!(notices(&done)[..], [(NoticeCode::Book, text)] if text.contains("Mallory")));
    let gone = done.events();
    assert!(
        gone.iter()
            .any(|event| matches!(event, Event::PeerDown { reason: DownReason::Blocked, .. }))
    );
    desk.pass(ms(20_000));

    let before = desk.counters();
    for packet in [
        message(7, "mal@pc", "let me in"),
        official(1, 8, "mal@pc", "Mallory"),
        official(0x01_00_00_01, 9, "mal@pc", "Another name"),
        official(2, 10, "mal@pc", "Mallory"),
        message(11, "MAL@PC", "in capitals"),
    ] {
        for from in ["10.0.0.2", "10.0.0.77"] {
            let out = desk.hear(from, &packet);
            assert!(out.effects.is_empty(), "{from}: {:?}", out.effects);
        }
    }
    assert!(desk.pass(ms(60_000)).effects.is_empty());
    assert_eq!(desk.counters().blocked - before.blocked, 10);
    assert_eq!(desk.nicks(), ["Ann"]);
    assert_eq!(desk.hear("10.0.0.3", message(7, "ann@pc", "and me?")).messages().len(), 1);
}

#[test]
fn a_block_holds_where_names_were_damaged_but_for_nobody_else() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "王四@pc", "王四"));
    block(&mut desk, "王四");
    assert!(desk.hear("10.0.0.2", message(7, "??@pc", "x")).effects.is_empty());
    let other = desk.hear("10.0.0.9", message(7, "??@pc", "x"));
    assert_eq!(other.messages().len(), 1, "somebody else at another address");
    assert_eq!(desk.hear("10.0.0.2", message(8, "bob@pc", "x")).messages().len(), 1);
}

#[test]
fn of_two_who_share_their_names_only_one_is_blocked() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "admin@pc", "One"));
    desk.hear("10.0.0.3", official(1, 1, "admin@pc", "Two"));
    for (blocked, from, other) in [("One", "10.0.0.2", "10.0.0.3"), ("Two", "10.0.0.3", "10.0.0.2")]
    {
        let peer = block(&mut desk, blocked);
        assert!(desk.hear(from, message(70, "admin@pc", "x")).effects.is_empty(), "{blocked}");
        assert_eq!(desk.hear(other, message(71, "admin@pc", blocked)).messages().len(), 1);
        let out = change(&mut desk, Request::Unblock { peer: peer.id });
        desk.keep(&out);
        desk.hear(from, official(1, 80, "admin@pc", blocked));
    }
}

#[test]
fn who_is_unblocked_is_asked_whether_it_is_there() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "mal@pc", "Mallory"));
    let peer = block(&mut desk, "Mallory");
    let out = change(&mut desk, Request::Unblock { peer: peer.id.clone() });
    let done = desk.keep(&out);
    assert_eq!(done.commands_to("10.0.0.2"), [Command::BR_ENTRY]);
    desk.hear("10.0.0.2", official(3, 2, "mal@pc", "Mallory"));
    assert_eq!(desk.nicks(), ["Mallory"]);
    let (reply, _) = desk.ask(Request::Unblock { peer: peer.id.clone() });
    assert_eq!(reply, Reply::Refused(Refusal::NotBlocked { peer: peer.id }));
}

#[test]
fn a_change_that_cannot_be_kept_is_not_made() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "mal@pc", "Mallory"));
    let peer = Box::new(desk.peer("Mallory"));
    let out = change(&mut desk, Request::Block { peer: peer.clone() });
    let refused = desk.answer(&out, &SaveResult::Failed("disk full".into()));
    let reason = "disk full".to_owned();
    assert_eq!(replies(&refused), [&Reply::Refused(Refusal::NotKept { reason })]);
    assert_eq!(desk.nicks(), ["Mallory"]);

    let mut forgetful = Desk::with(|config| config.keeps = false);
    let (reply, _) = forgetful.ask(Request::Block { peer });
    assert!(matches!(reply, Reply::Refused(Refusal::NotKept { .. })), "{reply:?}");
}

#[test]
fn the_book_comes_back_from_the_store() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "mal@pc", "Mallory"));
    let mallory = desk.peer("Mallory");
    let alias = |name: &str| Alias { name: name.into(), target: Target::Peer(peer_id("ann@pc")) };
    let mut memory = Memory::default();
    for change in [
        BookRecord::Named(alias("boss")),
        BookRecord::Named(alias("ann")),
        BookRecord::Unnamed { name: "ann".into() },
        BookRecord::Blocked(Box::new(mallory.clone())),
    ] {
        memory.apply(&change);
    }
    let mut next = Desk::bare(|_| {});
    next.node.remember(next.now, memory);
    next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let (reply, _) = next.ask(Request::Book);
    assert_eq!(reply, Reply::Book { aliases: vec![alias("boss")], blocks: vec![mallory] });
    assert!(next.hear("10.0.0.9", message(7, "mal@pc", "x")).effects.is_empty());
}

#[test]
fn an_alias_has_a_name_that_can_be_one() {
    let mut desk = Desk::new();
    for name in ["", " ", "@boss", "a\nb", &"x".repeat(65)] {
        let alias = Alias { name: name.into(), target: Target::Peer(peer_id("ann@pc")) };
        let (reply, _) = desk.ask(Request::SetAlias { alias });
        assert!(matches!(reply, Reply::Refused(Refusal::BadAlias { .. })), "{name:?}: {reply:?}");
    }
    let (reply, _) = desk.ask(Request::RemoveAlias { name: "boss".into() });
    assert!(matches!(reply, Reply::Refused(Refusal::UnknownAlias { .. })), "{reply:?}");
}

#[test]
fn a_crowd_is_written_down_once_and_a_quiet_lan_never() {
    let mut desk = Desk::new();
    for n in 2..100 {
        let who = format!("u{n}@pc");
        desk.hear(&format!("10.0.0.{n}"), official(1, 1, &who, &who));
    }
    let out = desk.pass(ms(10_000));
    let [roster] = rosters(&out)[..] else { panic!("{:?}", rosters(&out).len()) };
    assert_eq!(roster.seen.len(), 98);
    assert!(roster.seen.iter().all(|seen| seen.at.0 < desk.now.wall.0 - 4_000), "when it was");
    let out = desk.pass(ms(3_600_000));
    assert!(rosters(&out).is_empty() && desk.node.next_deadline().is_none(), "nothing wakes it");
}

#[test]
fn at_the_end_everybody_is_written_down_with_the_time_they_were_heard() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", official(1, 1, "bob@pc", "Bob"));
    desk.pass(ms(100_000));
    desk.hear("10.0.0.2", message(7, "ann@pc", "x"));
    let heard = desk.now.wall;
    desk.pass(ms(50_000));
    let out = desk.input(Input::Leave);
    let [roster] = rosters(&out)[..] else { panic!("one record") };
    let [seen] = &roster.seen[..] else { panic!("of Bob the store knows all: {roster:?}") };
    assert_eq!((&*seen.peer.nick, seen.at), ("Ann", heard));
}

#[test]
fn names_that_were_read_wrongly_leave_no_ghost() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", message(7, "??@pc", "who am I?"));
    desk.hear("10.0.0.2", official(1, 8, "王四@pc", "王四"));
    let out = desk.pass(ms(10_000));
    let [roster] = rosters(&out)[..] else { panic!("one record") };
    assert_eq!(roster.seen.iter().map(|seen| &*seen.peer.nick).collect::<Vec<_>>(), ["王四"]);
    assert_eq!(roster.ghosts, [peer_id("??@pc")]);
}

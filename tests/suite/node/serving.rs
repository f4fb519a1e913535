//! Files on offer by us: who may fetch what, and when an offer ends.

use feige::node::{
    Effect, Event, FileChoice, GrantRecord, Input, ItemKind, ItemState, Memory, Node, OfferId,
    OfferedFile, PacketNo, Record, Refusal, Reply, Request, SaveResult, Serve, ServeNews, Side,
    StreamId, Target, TransferOutcome, TransferProblem, Wishes,
};
use feige::wire::attach::FileEntry;
use feige::wire::{Body, Charset, Command, RawPacket};
use proptest::prelude::*;

use super::desk::{Desk, Outcome, addr, config, feiq, iptux, link, ms, official, plain, receipt};

fn file(name: &str, size: u64) -> FileChoice {
    FileChoice {
        name: name.into(),
        kind: ItemKind::File,
        size,
        mtime: 0x65a0_c3f0,
        mtime_nanos: None,
        read_only: false,
        path: format!("/home/fei/{name}").into(),
        device: 1,
        inode: 2,
    }
}

fn folder(name: &str, size: u64) -> FileChoice {
    FileChoice { kind: ItemKind::Folder, ..file(name, size) }
}

/// A desk with an official client, a FeiQ and an iptux on the LAN.
fn office() -> Desk {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", feiq(3, 1, "fq@pc", "112233445566", "FeiQ\0lab"));
    desk.hear("10.0.0.4", iptux(0x103, 1, "ip@pc", "Iptux"));
    desk.pass(ms(10_000));
    desk
}

fn offer(desk: &mut Desk, to: &[&str], choices: Vec<FileChoice>) -> (PacketNo, Outcome) {
    offer_with(desk, to, Wishes { choices, ..Wishes::default() })
}

fn offer_with(desk: &mut Desk, to: &[&str], wishes: Wishes) -> (PacketNo, Outcome) {
    let to = to.iter().map(|nick| Target::Peer(desk.peer(nick).id)).collect();
    let request =
        Request::Send { to, text: String::new(), check: true, timeout_ms: 30_000, wishes };
    match desk.ask(request) {
        (Reply::Sent { number, .. }, out) => {
            desk.keep(&out);
            (number, out)
        }
        (other, _) => panic!("{other:?}"),
    }
}

/// The list that was sent to `to`, and the datagram's option bits.
fn listed(out: &Outcome, to: &str) -> (Vec<FileEntry>, u32, Charset) {
    let sent = out.sent().into_iter().find(|(_, whom, _)| *whom == addr(to));
    let packet = sent.expect("something was sent there").2;
    let Body::Message(message) = packet.body else { panic!("{packet:?}") };
    assert_eq!(message.files.skipped, 0);
    (message.files.files, packet.options.bits(), message.charset.charset)
}

fn id(out: &Outcome, to: &str) -> u64 {
    listed(out, to).0[0].id
}

fn ask(desk: &mut Desk, stream: u64, from: &str, request: impl AsRef<[u8]>) -> Outcome {
    // Whoever fetches has another port on TCP.
    let from = format!("{from}:50000").parse().unwrap();
    desk.input(Input::Asked { stream: StreamId(stream), from, request: request.as_ref() })
}

/// A request as the official client writes it.
fn get(number: PacketNo, file: u64, offset: u64) -> String {
    format!("1:77:ann:pc:96:{:x}:{file:x}:{offset:x}:\0", number.0)
}

fn get_folder(number: PacketNo, file: u64) -> String {
    format!("1:77:ann:pc:98:{:x}:{file:x}:\0", number.0)
}

fn served(out: &Outcome) -> Option<Serve> {
    out.effects.iter().find_map(|(_, effect)| match effect {
        Effect::Serve(serve) => Some((**serve).clone()),
        _ => None,
    })
}

fn hung_up(out: &Outcome) -> Vec<u64> {
    let stream = |(_, effect): &(_, Effect)| match effect {
        Effect::HangUp(StreamId(stream)) => Some(*stream),
        _ => None,
    };
    out.effects.iter().filter_map(stream).collect()
}

fn done(bytes: u64) -> ServeNews {
    ServeNews::Ended { bytes, files: 1, skipped: 0, unreadable: 0, sha256: None, problem: None }
}

fn broken(bytes: u64) -> ServeNews {
    let problem = TransferProblem { side: Side::Theirs, what: "gone".into(), hint: "wait".into() };
    ServeNews::Ended {
        bytes,
        files: 0,
        skipped: 0,
        unreadable: 0,
        sha256: None,
        problem: Some(problem),
    }
}

fn news(desk: &mut Desk, stream: u64, news: ServeNews) -> Outcome {
    desk.input(Input::Served(StreamId(stream), news))
}

/// How items ended: name, outcome, bytes, resumed.
fn ends(out: &Outcome) -> Vec<(String, TransferOutcome, u64, u64)> {
    let end = |event: &&Event| match event {
        Event::Transferred(end) => Some((end.name.clone(), end.outcome, end.bytes, end.resumed)),
        _ => None,
    };
    out.events().iter().filter_map(end).collect()
}

fn offers(desk: &mut Desk) -> Vec<(OfferId, Vec<ItemState>)> {
    let (Reply::Offers { offers }, _) = desk.ask(Request::Offers) else { panic!() };
    let states = |items: &[feige::node::ItemView]| items.iter().map(|item| item.state).collect();
    offers.iter().map(|offer| (offer.offer, states(&offer.items))).collect()
}

/// What is to be written down of offers: the last record of each, none once it ended.
fn grants(outcomes: &[&Outcome]) -> Vec<GrantRecord> {
    let mut kept: Vec<GrantRecord> = Vec::new();
    for (_, record) in outcomes.iter().flat_map(|out| out.saves()) {
        match record {
            Record::Grant(grant) => {
                kept.retain(|known| known.offer != grant.offer);
                kept.push((**grant).clone());
            }
            Record::GrantEnded(offer) => kept.retain(|known| known.offer != *offer),
            _ => {}
        }
    }
    kept
}

#[test]
fn each_client_gets_the_list_it_reads() {
    let mut desk = office();
    let choices = vec![file("为什么?.txt", 5), folder("空", 0), folder("pics", 3 << 32)];
    let (_, out) = offer(&mut desk, &["Ann", "FeiQ", "Iptux"], choices);
    for (to, name, empty, charset) in [
        ("10.0.0.2", "为什么_.txt", 0, Charset::UTF_8),
        ("10.0.0.3", "为什么_.txt", 0, Charset::GBK),
        ("10.0.0.4", "为什么?.txt", 1, Charset::GB18030),
    ] {
        let (files, options, _) = listed(&out, to);
        assert_eq!(files[0].name, name, "{to}");
        assert_eq!((files[0].attr, files[0].size, files[0].mtime), (1, 5, 0x65a0_c3f0));
        assert_eq!((files[1].attr, files[1].size), (2, empty), "{to}");
        assert_eq!(files[2].size, 3 << 32, "a folder has its real total");
        assert_eq!(options & 0x20_0100, 0x20_0100, "a list, and a receipt is asked for");
        assert_eq!(options & 0x80_0000 != 0, charset == Charset::UTF_8);
    }
    let bytes = out.transmits().iter().find(|t| t.to == addr("10.0.0.4")).unwrap().bytes.clone();
    assert!(bytes.windows(2).any(|pair| pair == b"\x07:"), "the separator of iptux");
    let ids: Vec<u64> = listed(&out, "10.0.0.3").0.iter().map(|file| file.id).collect();
    assert_eq!(ids, [ids[0], ids[0] + 1, ids[0] + 2]);
    assert_eq!(out.messages()[0].files, 3);
    let offered = out.events().into_iter().filter(|event| matches!(event, Event::Offer(_)));
    assert_eq!(offered.count(), 3, "one offer for each recipient");
}

#[test]
fn a_file_is_served_to_its_recipient_and_the_offer_ends_with_it() {
    let mut desk = office();
    let (number, out) = offer(&mut desk, &["Ann"], vec![file("a.txt", 1_000)]);
    desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    let asked = ask(&mut desk, 1, "10.0.0.2", get(number, id(&out, "10.0.0.2"), 0));
    let serve = served(&asked).unwrap();
    assert_eq!((serve.choice.name.as_str(), serve.offset, serve.tree), ("a.txt", 0, false));
    assert_eq!(offers(&mut desk)[0].1, [ItemState::Moving]);
    desk.pass(ms(500));
    let moved = news(&mut desk, 1, ServeNews::Moved { bytes: 500, files: 0 });
    let [Event::Progress(progress)] = moved.events()[..] else { panic!("{moved:?}") };
    assert_eq!((progress.bytes, progress.of, progress.rate), (500, Some(1_000), 1_000));
    assert_eq!(progress.eta, Some(1));
    desk.pass(ms(500));
    let end = news(&mut desk, 1, done(1_000));
    assert_eq!(ends(&end), [("a.txt".into(), TransferOutcome::Done, 1_000, 0)]);
    assert!(end.saves().iter().any(|(_, record)| matches!(record, Record::GrantEnded(_))));
    assert!(end.effects.iter().any(|(_, e)| matches!(e, Effect::Unlist(n, _) if *n == number)));
    assert_eq!(offers(&mut desk), []);
    let again = ask(&mut desk, 2, "10.0.0.2", get(number, id(&out, "10.0.0.2"), 0));
    assert_eq!((served(&again), hung_up(&again)), (None, vec![2]), "fetched once is enough");
}

#[test]
fn nobody_else_gets_anything_and_nothing_else_is_given() {
    let mut desk = office();
    let choices = vec![file("a.txt", 1_000), folder("pics", 5)];
    let (number, out) = offer(&mut desk, &["Ann"], choices);
    let id = id(&out, "10.0.0.2");
    let next = PacketNo(number.0 + 1);
    for (from, request, why) in [
        ("10.0.0.3", get(number, id, 0), "another address"),
        ("10.0.0.2", get(next, id, 0), "another number"),
        ("10.0.0.2", get(number, id + 2, 0), "another id"),
        ("10.0.0.2", get(number, 0, 0), "no id of ours"),
        ("10.0.0.2", get(number, id, 1_001), "beyond its end"),
        ("10.0.0.2", get(number, id, u64::MAX), "no offset"),
        ("10.0.0.2", get(number, id + 1, 0), "a folder as bytes"),
        ("10.0.0.2", format!("1:7:ann:pc:96:{:x}:-1:0:\0", number.0), "a negative id"),
        ("10.0.0.2", format!("1:7:ann:pc:96:{:x}:{id:x}/../x:0:\0", number.0), "a path"),
        ("10.0.0.2", format!("1:7:ann:pc:32:{:x}:{id:x}:0:\0", number.0), "a message"),
        ("10.0.0.2", format!("1:7:ann:pc:4194400:{:x}:{id:x}:0:\0", number.0), "encrypted"),
        ("10.0.0.2", String::new(), "nothing"),
    ] {
        let asked = ask(&mut desk, 9, from, request);
        assert_eq!((served(&asked), hung_up(&asked)), (None, vec![9]), "{why}");
        assert_eq!(asked.effects.len(), 1, "{why}: and no hint");
    }
    assert!(served(&ask(&mut desk, 10, "10.0.0.2", get(number, id, 1_000))).is_some(), "its end");
    assert!(served(&ask(&mut desk, 11, "10.0.0.2", get_folder(number, id + 1))).is_some());
    assert!(served(&ask(&mut desk, 12, "10.0.0.2", get_folder(number, id))).is_some(), "one file");
}

#[test]
fn ids_are_understood_in_both_bases_and_requests_in_every_form() {
    let mut desk = office();
    let (number, out) = offer(&mut desk, &["FeiQ"], vec![file("a", 9), folder("d", 0)]);
    let id = id(&out, "10.0.0.3");
    let (n, folder) = (number.0, id + 1);
    for (request, charset) in [
        (format!("1_lbt6_0#128#112233445566#0#0#0#4001#9:7:fq:pc:96:{n:x}:{id:x}:0:"), "gbk"),
        (format!("1:7:fq:pc:96:{n:X}:{id:X}:0"), "gbk"),
        (format!("1:7:fq:pc:2097248:{n:x}:{id:x}:0\0"), "gbk"),
        (format!("1:7:fq:pc:96:{n:x}:{id}:0:\0"), "gbk"),
        (format!("1:7:fq:pc:2097250:{n:x}:{folder:x}:0\0"), "gbk"),
        (format!("1:7:fq:pc:8388706:{n:x}:{folder:x}:\0"), "utf-8"),
        (format!("1:7:fq:pc:98:{n:x}:{folder}:ff:\0"), "gbk"),
    ] {
        let serve = served(&ask(&mut desk, 1, "10.0.0.3", &request));
        let serve = serve.unwrap_or_else(|| panic!("{request}"));
        assert_eq!((serve.charset.name().as_str(), serve.offset), (charset, 0), "{request}");
    }
}

#[test]
fn what_broke_off_may_be_asked_for_again_from_where_it_was() {
    let mut desk = office();
    let (number, out) = offer(&mut desk, &["Ann"], vec![file("a.txt", 1_000)]);
    let id = id(&out, "10.0.0.2");
    ask(&mut desk, 1, "10.0.0.2", get(number, id, 0));
    let end = news(&mut desk, 1, broken(400));
    assert_eq!(ends(&end), [("a.txt".into(), TransferOutcome::Broken, 400, 0)]);
    assert_eq!(offers(&mut desk)[0].1, [ItemState::Waiting]);
    let serve = served(&ask(&mut desk, 2, "10.0.0.2", get(number, id, 400))).unwrap();
    assert_eq!(serve.offset, 400);
    // The connection broke unseen: the same is asked for on another one.
    let again = ask(&mut desk, 3, "10.0.0.2", get(number, id, 700));
    assert_eq!((served(&again).unwrap().offset, hung_up(&again)), (700, vec![2]));
    assert_eq!(ends(&news(&mut desk, 2, broken(10)))[0].1, TransferOutcome::Broken);
    assert_eq!(offers(&mut desk)[0].1, [ItemState::Moving], "the newer one decides");
    let end = news(&mut desk, 3, done(300));
    assert_eq!(ends(&end), [("a.txt".into(), TransferOutcome::Done, 300, 700)]);
    assert_eq!(offers(&mut desk), []);
}

#[test]
fn one_that_is_complete_has_no_problem_though_it_was_asked_for_again() {
    for (first, outcome) in
        [(done(1_000), TransferOutcome::Done), (broken(400), TransferOutcome::Broken)]
    {
        let mut desk = office();
        let (number, out) = offer(&mut desk, &["Ann"], vec![file("a.txt", 1_000)]);
        let id = id(&out, "10.0.0.2");
        ask(&mut desk, 1, "10.0.0.2", get(number, id, 0));
        // The first one has ended, or is about to break off; nobody has told of it.
        let again = ask(&mut desk, 2, "10.0.0.2", get(number, id, 0));
        assert!(served(&again).is_some() && hung_up(&again) == [1]);
        let out = news(&mut desk, 1, first);
        let [Event::Transferred(end)] = out.events()[..] else { panic!("{out:?}") };
        let problem = end.problem.as_ref().map(|problem| problem.what.as_str());
        let again = "the receiver asked for it again on another connection";
        let expected = (outcome == TransferOutcome::Broken).then_some(again);
        assert_eq!((end.outcome, problem), (outcome, expected));
    }
}

#[test]
fn a_recipient_refuses_what_is_left_and_only_its_own() {
    let mut desk = office();
    let choices = vec![file("a", 10), file("b", 10)];
    let (number, out) = offer(&mut desk, &["Ann", "FeiQ"], choices);
    let id = id(&out, "10.0.0.2");
    ask(&mut desk, 1, "10.0.0.2", get(number, id, 0));
    let release = plain(97, 5_000, "x@y", &number.to_string());
    let other = desk.hear("10.0.0.4", &release);
    assert_eq!(ends(&other), [], "no recipient of it");
    let refused = desk.hear("10.0.0.2", &release);
    assert_eq!(ends(&refused), [("b".into(), TransferOutcome::Refused, 0, 0)]);
    let states: Vec<_> = offers(&mut desk).into_iter().map(|(_, states)| states).collect();
    let (own, other) = ([ItemState::Moving, ItemState::Over], [ItemState::Waiting; 2]);
    assert_eq!(states, [own, other]);
    news(&mut desk, 1, done(10));
    assert_eq!(offers(&mut desk).len(), 1, "the other one's offer stays");
}

#[test]
fn what_is_refused_while_it_moves_is_over_when_it_breaks_off() {
    let mut desk = office();
    let (number, out) = offer(&mut desk, &["Ann"], vec![file("a", 1_000)]);
    ask(&mut desk, 1, "10.0.0.2", get(number, id(&out, "10.0.0.2"), 0));
    // The receiver has closed its end; that it has may come later than its word.
    let refused = desk.hear("10.0.0.2", plain(97, 5_000, "x@y", &number.to_string()));
    assert_eq!((ends(&refused), hung_up(&refused)), (vec![], vec![]), "it may come whole yet");
    let end = news(&mut desk, 1, broken(400));
    assert_eq!(ends(&end), [("a".into(), TransferOutcome::Refused, 400, 0)]);
    assert_eq!(offers(&mut desk), []);
}

#[test]
fn what_changed_is_not_told_as_refused_though_its_receiver_is_content_with_it() {
    let mut desk = office();
    let (number, out) = offer(&mut desk, &["Ann"], vec![file("a", 1_000)]);
    ask(&mut desk, 1, "10.0.0.2", get(number, id(&out, "10.0.0.2"), 0));
    desk.hear("10.0.0.2", plain(97, 5_000, "x@y", &number.to_string()));
    let mut changed = broken(1_000);
    if let ServeNews::Ended { problem: Some(problem), .. } = &mut changed {
        problem.side = Side::Ours;
    }
    let end = news(&mut desk, 1, changed);
    assert_eq!(ends(&end), [("a".into(), TransferOutcome::Broken, 1_000, 0)]);
    assert_eq!(offers(&mut desk), [], "nobody will ask for it again");
}

#[test]
fn an_offer_taken_back_ends_at_once_with_what_moves() {
    let mut desk = office();
    let (number, out) = offer(&mut desk, &["Ann"], vec![file("a", 10), file("b", 10)]);
    let (offer, _) = offers(&mut desk)[0].clone();
    ask(&mut desk, 1, "10.0.0.2", get(number, id(&out, "10.0.0.2"), 0));
    let (reply, _) = desk.ask(Request::Withdraw { offer: OfferId(offer.0 + 1) });
    assert_eq!(reply, Reply::Refused(Refusal::NoOffer));
    let (reply, taken) = desk.ask(Request::Withdraw { offer });
    assert_eq!((reply, hung_up(&taken)), (Reply::Done, vec![1]));
    assert_eq!(ends(&taken), [("b".into(), TransferOutcome::Withdrawn, 0, 0)]);
    let again = ask(&mut desk, 2, "10.0.0.2", get(number, id(&out, "10.0.0.2"), 0));
    assert_eq!(served(&again), None);
    let end = news(&mut desk, 1, broken(5));
    assert_eq!(ends(&end), [("a".into(), TransferOutcome::Withdrawn, 5, 0)]);
    assert_eq!(offers(&mut desk), []);
}

#[test]
fn an_offer_taken_back_on_a_full_disk_is_not_on_offer_again() {
    let mut desk = office();
    let (_, out) = offer(&mut desk, &["Ann"], vec![file("a", 5)]);
    desk.keep(&out);
    let records = grants(&[&out]);
    let offer = offers(&mut desk)[0].0;
    let (_, out) = desk.ask(Request::Withdraw { offer });
    desk.answer(&out, &SaveResult::Failed("disk full".into()));
    let ended = |out: &Outcome| {
        let is_end =
            |(_, record): &(_, &Record)| matches!(record, Record::GrantEnded(of) if *of == offer);
        out.saves().iter().any(is_end)
    };
    // The next owner of the port reads what the store knows.
    let mut next = Desk::of(Node::resume(config(), [9; 32], desk.node.hand_over(), desk.now));
    next.node.remember(next.now, Memory { grants: records, ..Memory::default() });
    let out = next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    assert_eq!(offers(&mut next), []);
    assert!(ended(&out), "and says it to the store");
    // So does this one when the store takes something again.
    let (_, out) = desk.send("Ann", "hi");
    assert!(ended(&desk.keep(&out)));
}

#[test]
fn cancelling_the_message_takes_its_files_back() {
    let mut desk = office();
    let (number, _) = offer(&mut desk, &["Ann", "FeiQ"], vec![file("a", 10)]);
    let (_, out) = desk.ask(Request::Cancel { number });
    assert_eq!(ends(&out).len(), 2);
    assert_eq!(offers(&mut desk), []);
}

#[test]
fn an_offer_ends_with_a_message_that_never_arrived_but_not_while_it_is_fetched() {
    let mut desk = office();
    let (number, out) = offer(&mut desk, &["Ann", "FeiQ"], vec![file("a", 10)]);
    // The receipt got lost, but whoever fetches has the message.
    assert!(served(&ask(&mut desk, 1, "10.0.0.2", get(number, id(&out, "10.0.0.2"), 0))).is_some());
    let over = desk.pass(ms(40_000));
    assert_eq!(ends(&over), [("a".into(), TransferOutcome::Withdrawn, 0, 0)]);
    assert_eq!(offers(&mut desk).len(), 1);
    assert_eq!(ends(&news(&mut desk, 1, done(10)))[0].1, TransferOutcome::Done);
}

#[test]
fn an_offer_ends_after_a_day_or_as_wished() {
    let hour = 3_600_000;
    for (expire_ms, hours) in [(None, 24), (Some(2 * hour), 2), (Some(100 * hour), 24)] {
        let mut desk = office();
        let wishes = Wishes { choices: vec![file("a", 10)], expire_ms, ..Wishes::default() };
        let (number, _) = offer_with(&mut desk, &["Ann"], wishes);
        desk.hear("10.0.0.2", receipt(number, "ann@pc"));
        let early = desk.pass(ms(hours * hour - 1_000));
        assert_eq!(ends(&early), [], "{hours} h");
        let over = desk.pass(ms(2_000));
        assert_eq!(ends(&over)[0].1, TransferOutcome::Withdrawn, "{hours} h");
        assert_eq!(offers(&mut desk), []);
    }
}

#[test]
fn offers_survive_a_restart_without_those_whose_file_changed() {
    let mut desk = office();
    let wishes = Wishes {
        choices: vec![file("a", 10), file("b", 10)],
        limit: Some(5),
        digest: true,
        ..Wishes::default()
    };
    let (number, out) = offer_with(&mut desk, &["Ann"], wishes);
    let asked = ask(&mut desk, 1, "10.0.0.2", get(number, id(&out, "10.0.0.2"), 0));
    let mut kept = grants(&[&out, &asked]);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].states, [ItemState::Waiting; 2], "what moves must be asked for again");
    assert_eq!(kept[0].addrs, [addr("10.0.0.2")]);
    kept[0].states[1] = ItemState::Over;

    let mut desk = Desk::of(Node::new(config(), [9; 32]));
    desk.node.remember(desk.now, Memory { grants: kept.clone(), ..Memory::default() });
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let id = id(&out, "10.0.0.2");
    assert_eq!(served(&ask(&mut desk, 1, "10.0.0.2", get(number, id + 1, 0))), None);
    let serve = served(&ask(&mut desk, 2, "10.0.0.2", get(number, id, 0))).unwrap();
    assert_eq!((serve.limit, serve.digest), (Some(5), true));
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let (_, fresh) = offer(&mut desk, &["Ann"], vec![file("c", 1)]);
    let Some(Event::Offer(fresh)) =
        fresh.events().into_iter().find(|e| matches!(e, Event::Offer(_)))
    else {
        panic!()
    };
    assert!(fresh.offer > kept[0].offer, "no short number is used twice");
    assert_eq!(ends(&news(&mut desk, 2, done(10)))[0].1, TransferOutcome::Done);
    assert_eq!(offers(&mut desk).len(), 1);
}

#[test]
fn offers_whose_time_passed_while_we_were_away_are_over() {
    let mut desk = office();
    let (_, out) = offer(&mut desk, &["Ann"], vec![file("a", 10)]);
    let kept = grants(&[&out]);
    let mut desk = Desk::of(Node::new(config(), [9; 32]));
    desk.now.wall.0 += 25 * 3_600_000;
    desk.node.remember(desk.now, Memory { grants: kept, ..Memory::default() });
    let over = desk.pass(ms(1));
    assert_eq!(ends(&over)[0].1, TransferOutcome::Withdrawn);
    assert!(over.saves().iter().any(|(_, record)| matches!(record, Record::GrantEnded(_))));
}

#[test]
fn a_clock_that_is_set_changes_nothing_of_how_long_an_offer_lasts() {
    const YEAR: i64 = 365 * 86_400_000;
    for by_ms in [YEAR, -YEAR] {
        let mut desk = office();
        let ends_at = |desk: &mut Desk| match desk.ask(Request::Offers) {
            (Reply::Offers { offers }, _) => offers[0].ends_at.unwrap(),
            (other, _) => panic!("{other:?}"),
        };
        let (number, _) = offer(&mut desk, &["Ann"], vec![file("a", 10)]);
        desk.hear("10.0.0.2", receipt(number, "ann@pc"));
        let before = ends_at(&mut desk);
        desk.now.wall.0 += by_ms;
        desk.now.booted.0 += by_ms;
        assert!(ends(&desk.pass(ms(23 * 3_600_000))).is_empty());
        assert_eq!(ends_at(&mut desk).0, before.0 + by_ms);
        assert_eq!(ends(&desk.pass(ms(3_600_000)))[0].1, TransferOutcome::Withdrawn);
    }
}

#[test]
fn the_next_owner_of_the_port_goes_on_serving() {
    let mut desk = office();
    let (number, out) = offer(&mut desk, &["Ann"], vec![file("a", 10)]);
    let json = serde_json::to_string(&desk.node.hand_over()).unwrap();
    let from = serde_json::from_str(&json).unwrap();
    let node = Node::resume(config(), [9; 32], from, desk.now);
    let mut desk = Desk::of(node);
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    assert!(served(&ask(&mut desk, 1, "10.0.0.2", get(number, id(&out, "10.0.0.2"), 0))).is_some());
    let out = desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    assert!(out.events().iter().any(|event| matches!(event, Event::Receipt { .. })));
}

#[test]
fn somebody_met_by_address_gets_a_list_in_the_form_found_then() {
    let mut desk = Desk::new();
    let wishes = Wishes { choices: vec![folder("空", 0)], ..Wishes::default() };
    let to = vec![Target::Addr(addr("10.0.0.4"))];
    let text = String::new();
    let (_, out) = desk.ask(Request::Send { to, text, check: true, timeout_ms: 30_000, wishes });
    desk.keep(&out);
    let met = desk.hear("10.0.0.4", iptux(0x103, 1, "ip@pc", "Iptux"));
    desk.keep(&met);
    let (files, options, _) = listed(&met, "10.0.0.4");
    assert_eq!((files[0].size, options & 0x20_0000), (1, 0x20_0000));
    let number = met.sent().into_iter().find(|s| s.1 == addr("10.0.0.4")).unwrap().2.number;
    let request = format!("1_iptux 0.8.3:7:ip:pc:2097250:{:x}:{:x}:0\0", number.0, files[0].id);
    assert!(served(&ask(&mut desk, 1, "10.0.0.4", request)).is_some());
}

#[test]
fn more_files_than_a_message_holds_are_refused_and_nothing_is_sent() {
    let mut desk = office();
    let choices = (0..257).map(|n| file(&format!("{n}"), 1)).collect();
    let to = vec![Target::Peer(desk.peer("Ann").id)];
    let wishes = Wishes { choices, ..Wishes::default() };
    let request = Request::Send { to, text: String::new(), check: true, timeout_ms: 1_000, wishes };
    let (reply, out) = desk.ask(request);
    assert_eq!(reply, Reply::Refused(Refusal::TooManyFiles { files: 257, limit: 256 }));
    assert!(out.effects.is_empty());
    assert_eq!(offers(&mut desk), []);
    let long = (0..256).map(|n| file(&format!("{n}{}", "长".repeat(80)), 1)).collect();
    let wishes = Wishes { choices: long, ..Wishes::default() };
    let to = vec![Target::Peer(desk.peer("Ann").id)];
    let request = Request::Send { to, text: String::new(), check: true, timeout_ms: 1_000, wishes };
    let (reply, _) = desk.ask(request);
    assert!(matches!(reply, Reply::Refused(Refusal::TooLong { .. })), "{reply:?}");
    assert_eq!(offers(&mut desk), []);
}

/// A node that offers `files` of the message `number` to 10.0.0.2, a peer of this dialect.
fn granting(dialect: &str, number: u64, id: u64, choice: FileChoice) -> Desk {
    let mut desk = office();
    let (_, out) = offer(&mut desk, &["Ann"], vec![choice]);
    let mut grant = grants(&[&out]).remove(0);
    grant.number = PacketNo(number);
    dialect.clone_into(&mut grant.peer.dialect);
    let file = OfferedFile { id, ..grant.files[0].clone() };
    grant.files = [file].into();
    let mut desk = Desk::of(Node::new(config(), [9; 32]));
    desk.node.remember(desk.now, Memory { grants: vec![grant], ..Memory::default() });
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    desk
}

#[test]
fn every_recorded_request_is_granted_and_a_changed_one_is_not() {
    let feiq = crate::wire::vectors::feiq("vectors")
        .into_iter()
        .map(|v| ("feiq", v, "/expect/file_request"));
    let peers =
        crate::wire::vectors::peers().into_iter().map(|v| ("iptux", v, "/expected/request"));
    let mut seen = 0;
    for (dialect, vector, at) in feiq.chain(peers) {
        let Some(expected) = vector.pointer(at).filter(|expected| expected.is_object()) else {
            continue;
        };
        let bytes = crate::wire::vectors::bytes(&vector);
        let number = expected["packet_no"].as_u64().unwrap();
        let id = expected["file_id"].as_u64().unwrap();
        let offset = expected["offset"].as_u64().unwrap_or(0);
        let command = RawPacket::parse(&bytes).unwrap().command();
        let choice =
            if command == Command::GETDIRFILES { folder("d", offset) } else { file("f", offset) };
        let mut desk = granting(dialect, number, id, choice.clone());
        let serve = served(&ask(&mut desk, 1, "10.0.0.2", &bytes));
        let serve = serve.unwrap_or_else(|| panic!("{}", bytes.escape_ascii()));
        assert_eq!(serve.tree, choice.is_folder());
        let mut other = granting(dialect, number, id ^ 0x400, choice);
        assert_eq!(served(&ask(&mut other, 1, "10.0.0.2", &bytes)), None);
        seen += 1;
    }
    assert_eq!(seen, 25);
}

proptest! {
    #[test]
    fn nothing_is_served_for_arbitrary_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        main in "[0-9a-f:]{0,40}",
    ) {
        let mut desk = granting("ipmsg", 0x65a0_c3f0, 734_003_200, file("f", 10));
        prop_assert_eq!(served(&ask(&mut desk, 1, "10.0.0.2", &bytes)), None);
        let request = format!("1:7:u:h:96:{main}\0");
        prop_assert_eq!(served(&ask(&mut desk, 2, "10.0.0.2", request)), None);
    }
}

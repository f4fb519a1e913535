//! Files offered to us: what lies on the table, what may be fetched unasked, and what is asked for.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use feige::node::{
    AcceptRule, AcceptWho, Effect, Event, Fetch, FetchEnd, FetchId, FetchNews, Get, IdBase, Input,
    ItemKind, ItemState, Leftover, Memory, Node, NoticeCode, OfferId, OfferRecord, OfferView,
    PacketNo, Pick, Record, Refusal, Reply, Request, SaveResult, Side, TransferOutcome,
    TransferProblem,
};
use feige::wire::{Charset, Command};

use super::desk::{Desk, FILE_ATTACH, Outcome, addr, config, link, ms, official, plain};

const SENDMSG: u32 = 0x20;
const UTF8: u32 = 0x80_0000;
/// Time of all files that are offered here, hexadecimal.
const TIME: &str = "65a0c3f0";

/// A message of Ann or somebody else that offers this list.
fn offering(number: u64, who: &str, list: &str) -> Vec<u8> {
    plain(SENDMSG | FILE_ATTACH | UTF8, number, who, &format!("\0{list}"))
}

/// The list of these names, each of 5 bytes.
fn files(names: &[&str]) -> String {
    let entry = |(id, name): (usize, &&str)| format!("{id}:{name}:5:{TIME}:1:\x07");
    names.iter().enumerate().map(entry).collect()
}

/// A desk with Ann and Bob on the LAN, and rules by which files are accepted.
fn office(accept: Vec<AcceptRule>) -> Desk {
    let mut desk = Desk::with(|config| config.accept = accept);
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", official(3, 1, "bob@mac", "Bob"));
    desk.pass(ms(10_000));
    desk
}

/// Somebody offers; all that comes of it with a disk that keeps everything.
fn offer(desk: &mut Desk, from: &str, number: u64, who: &str, list: &str) -> Outcome {
    let mut out = desk.hear(from, offering(number, who, list));
    out.effects.extend(desk.keep(&out).effects);
    out
}

/// Ann offers.
fn ann(desk: &mut Desk, number: u64, list: &str) -> Outcome {
    offer(desk, "10.0.0.2", number, "ann@pc", list)
}

fn get(picks: Vec<Pick>) -> Get {
    Get { picks, into: None, limit: None, folder_max: None, digest: false }
}

fn fetch(desk: &mut Desk, picks: Vec<Pick>) -> (Reply, Outcome) {
    desk.ask(Request::Get(get(picks)))
}

/// Fetches that begin.
fn begun(out: &Outcome) -> Vec<(FetchId, Fetch)> {
    let fetch = |(_, effect): &(_, Effect)| match effect {
        Effect::Fetch(id, fetch) => Some((*id, (**fetch).clone())),
        _ => None,
    };
    out.effects.iter().filter_map(fetch).collect()
}

fn stopped(out: &Outcome) -> Vec<FetchId> {
    let stop = |(_, effect): &(_, Effect)| match effect {
        Effect::StopFetch(id) | Effect::DropFetch(id) => Some(*id),
        _ => None,
    };
    out.effects.iter().filter_map(stop).collect()
}

fn end(result: Result<&str, &str>) -> FetchEnd {
    let problem =
        |what: &str| TransferProblem { side: Side::Theirs, what: what.into(), hint: "wait".into() };
    FetchEnd {
        result: result.map(PathBuf::from).map_err(problem),
        bytes: 5,
        resumed: 0,
        done: 1,
        skipped: 0,
        took: Duration::from_secs(1),
        sha256: None,
        ids: None,
    }
}

fn ended(desk: &mut Desk, id: FetchId, end: FetchEnd) -> Outcome {
    desk.input(Input::Fetch(id, FetchNews::Ended(Box::new(end))))
}

/// How items ended.
fn ends(out: &Outcome) -> Vec<(String, TransferOutcome)> {
    let end = |event: &&Event| match event {
        Event::Transferred(end) => Some((end.name.clone(), end.outcome)),
        _ => None,
    };
    out.events().iter().filter_map(end).collect()
}

fn told(out: &Outcome) -> Vec<OfferView> {
    let offer = |event: &&Event| match event {
        Event::Offer(offer) => Some((**offer).clone()),
        _ => None,
    };
    out.events().iter().filter_map(offer).collect()
}

fn dropped(out: &Outcome) -> Vec<String> {
    let notice = |event: &&Event| match event {
        Event::Notice { code: NoticeCode::OfferDropped, text } => Some(text.clone()),
        _ => None,
    };
    out.events().iter().filter_map(notice).collect()
}

/// Records of offers: what is kept, and what is forgotten.
fn kept(out: &Outcome) -> (Vec<OfferRecord>, Vec<OfferId>) {
    let (mut kept, mut over) = (Vec::new(), Vec::new());
    for (_, record) in out.saves() {
        match record {
            Record::Offer(offer) => kept.push((**offer).clone()),
            Record::OfferOver(offer) => over.push(*offer),
            _ => {}
        }
    }
    (kept, over)
}

fn offers(desk: &mut Desk) -> Vec<OfferView> {
    match desk.ask(Request::Offers).0 {
        Reply::Offers { offers } => offers,
        other => panic!("{other:?}"),
    }
}

fn numbers(desk: &mut Desk) -> Vec<u32> {
    offers(desk).iter().map(|offer| offer.offer.0).collect()
}

fn states(desk: &mut Desk) -> Vec<ItemState> {
    let offers = offers(desk);
    offers.iter().flat_map(|offer| &offer.items).map(|item| item.state).collect()
}

/// `RELEASEFILES` that went to this address: the messages they name.
fn released(out: &Outcome, to: &str) -> usize {
    out.commands_to(to).iter().filter(|command| **command == Command::RELEASEFILES).count()
}

fn all_of(offer: u32) -> Vec<Pick> {
    vec![Pick::Offer(OfferId(offer), None)]
}

fn one_of(offer: u32, item: u32) -> Vec<Pick> {
    vec![Pick::Offer(OfferId(offer), Some(item))]
}

#[test]
fn an_offer_lies_on_the_table_when_its_message_is_kept() {
    let mut desk = office(vec![]);
    let heard = desk.hear("10.0.0.2", offering(50, "ann@pc", &files(&["报告.txt", "b"])));
    assert_eq!((told(&heard).len(), offers(&mut desk)), (0, vec![]), "it is not kept yet");
    let out = desk.keep(&heard);
    let [offer] = &told(&out)[..] else { panic!("{out:?}") };
    assert_eq!((offer.offer, offer.number), (OfferId(1), PacketNo(50)));
    let item = &offer.items[0];
    assert_eq!((item.name.as_str(), item.size, item.mtime), ("报告.txt", 5, 0x65a0_c3f0));
    assert_eq!(kept(&out).0.len(), 1);
    assert!(begun(&out).is_empty(), "nothing is fetched unasked");

    let heard = desk.hear("10.0.0.2", offering(51, "ann@pc", &files(&["c"])));
    let out = desk.answer(&heard, &SaveResult::Failed("full".into()));
    assert_eq!((told(&out).len(), numbers(&mut desk)), (0, vec![1]));
}

#[test]
fn a_message_offers_once() {
    let mut desk = office(vec![]);
    let heard = desk.hear("10.0.0.2", offering(50, "ann@pc", &files(&["a"])));
    let twin = desk.hear("10.0.0.2", offering(50, "ann@pc", &files(&["a"])));
    desk.keep(&heard);
    desk.keep(&twin);
    ann(&mut desk, 50, &files(&["a"]));
    assert_eq!(numbers(&mut desk), [1]);
    offer(&mut desk, "10.0.0.3", 50, "bob@mac", &files(&["a"]));
    assert_eq!(numbers(&mut desk), [1, 2], "the number of another peer is another number");
}

#[test]
fn a_peer_has_64_offers_and_the_oldest_untouched_one_makes_room() {
    let mut desk = office(vec![]);
    for number in 1..=64 {
        assert!(dropped(&ann(&mut desk, 1_000 + number, &files(&["a", "b"]))).is_empty());
    }
    offer(&mut desk, "10.0.0.3", 5, "bob@mac", &files(&["a"]));
    // The first one was begun, and the second is in part not wanted: they stay.
    let (_, out) = fetch(&mut desk, one_of(1, 1));
    assert_eq!(begun(&out).len(), 1);
    desk.ask(Request::Refuse { picks: one_of(2, 2) });
    let out = ann(&mut desk, 2_000, &files(&["a"]));
    assert_eq!(dropped(&out).len(), 1);
    assert!(dropped(&out)[0].contains("offer 3 of Ann was dropped"), "{:?}", dropped(&out));
    assert_eq!(kept(&out).1, [OfferId(3)]);
    let expected: Vec<u32> = [1, 2].into_iter().chain(4..=66).collect();
    assert_eq!(numbers(&mut desk), expected, "Bob's is not touched, and no number is used twice");

    // Where all were touched the newest takes the one place more.
    let everything = vec![Pick::From(desk.peer("Ann").id)];
    let (reply, _) = fetch(&mut desk, everything);
    assert!(matches!(reply, Reply::Fetching { .. }), "{reply:?}");
    for number in 3_000..3_003 {
        ann(&mut desk, number, &files(&["a"]));
    }
    let offers = offers(&mut desk);
    let of_ann = offers.iter().filter(|offer| offer.peer.nick == "Ann").count();
    assert_eq!((of_ann, offers.last().unwrap().number), (65, PacketNo(3_002)));
}

#[test]
fn in_all_there_are_512_offers() {
    let mut desk = Desk::new();
    for peer in 0..9_u64 {
        let (from, who) = (format!("10.0.0.{}", 20 + peer), format!("u{peer}@pc"));
        desk.hear(&from, official(3, 1, &who, &format!("U{peer}")));
        for number in 0..64 {
            // A flood would not be heard.
            desk.pass(ms(50));
            offer(&mut desk, &from, 1_000 + number, &who, &files(&["a"]));
        }
    }
    let numbers = numbers(&mut desk);
    assert_eq!((numbers.len(), numbers[0], numbers[511]), (512, 65, 576), "the oldest went");
}

#[test]
fn rules_accept_what_they_name_and_no_more() {
    let ann_here = AcceptWho::Peer { name: "ANN@PC".into(), addr: IpAddr::from([10, 0, 0, 2]) };
    let elsewhere = AcceptWho::Peer { name: "ann@pc".into(), addr: IpAddr::from([10, 0, 0, 9]) };
    let rule = |who: AcceptWho| AcceptRule { who, max: 10, types: vec![], folders: false };
    let txt = AcceptRule { types: vec!["txt".into()], ..rule(ann_here.clone()) };
    let folders = AcceptRule { folders: true, ..rule(ann_here.clone()) };
    let list = "1:a.txt:5:1:1:\x072:b.exe:5:1:1:\x073:c.TXT:b:1:1:\x074:d:0:1:2:\x075:e:5:1:2:\x07";
    for (rules, expected) in [
        (vec![], vec![]),
        (vec![rule(elsewhere)], vec![]),
        (vec![rule(AcceptWho::Nick("ann".into()))], vec![]),
        (vec![rule(AcceptWho::Group("lab".into()))], vec![]),
        (vec![rule(ann_here)], vec!["a.txt", "b.exe"]),
        (vec![rule(AcceptWho::Nick("Ann".into()))], vec!["a.txt", "b.exe"]),
        (vec![txt.clone()], vec!["a.txt"]),
        (vec![AcceptRule { max: 11, ..txt }], vec!["a.txt", "c.TXT"]),
        (vec![folders], vec!["a.txt", "b.exe", "d", "e"]),
    ] {
        let mut desk = office(rules.clone());
        let out = ann(&mut desk, 50, list);
        let fetches = begun(&out);
        let names: Vec<_> = fetches.iter().map(|(_, fetch)| fetch.name.as_str()).collect();
        assert_eq!(names, expected, "{rules:?}");
        let folders = fetches.iter().filter(|(_, fetch)| fetch.kind == ItemKind::Folder);
        assert!(folders.into_iter().all(|(_, fetch)| fetch.size == 10), "the rule's cap");
        assert!(begun(&offer(&mut desk, "10.0.0.3", 50, "bob@mac", list)).is_empty());
    }
}

#[test]
fn a_folder_has_the_cap_of_the_rules_that_accept_it() {
    let who = AcceptWho::Nick("Ann".into());
    let files = AcceptRule { who, max: 1 << 30, types: vec!["pdf".into()], folders: false };
    let folders = |max| AcceptRule { max, types: vec![], folders: true, ..files.clone() };
    let list = format!("0:pics:0:{TIME}:2:\x071:big:200:{TIME}:2:\x072:a.pdf:1000:{TIME}:1:\x07");
    for (rules, expected) in [
        (vec![folders(1024), files.clone()], [("pics", 1024), ("big", 1024), ("a.pdf", 4096)]),
        (vec![files.clone(), folders(1024)], [("pics", 1024), ("big", 1024), ("a.pdf", 4096)]),
        // The largest of those that accept it.
        (vec![folders(1024), folders(4096)], [("pics", 4096), ("big", 4096), ("a.pdf", 4096)]),
    ] {
        let mut desk = office(rules.clone());
        let out = ann(&mut desk, 10, &list);
        let begun = begun(&out);
        let sizes: Vec<_> = begun.iter().map(|(_, f)| (f.name.as_str(), f.size)).collect();
        assert_eq!(sizes, expected, "{rules:?}");
    }
    // A folder that is too large for the rule that takes folders is not taken for another's cap.
    let mut desk = office(vec![folders(1024), files]);
    assert!(begun(&ann(&mut desk, 10, &format!("0:pics:401:{TIME}:2:\x07"))).is_empty());
}

#[test]
fn who_bears_a_known_name_at_another_address_is_not_accepted_by_it() {
    let who = AcceptWho::Peer { name: "ann@pc".into(), addr: IpAddr::from([10, 0, 0, 2]) };
    let mut desk = office(vec![AcceptRule { who, max: 10, types: vec![], folders: false }]);
    let out = offer(&mut desk, "10.0.0.66", 50, "ann@pc", &files(&["a"]));
    assert!(begun(&out).is_empty());
    assert_eq!(states(&mut desk), [ItemState::Waiting]);
}

#[test]
fn eight_are_fetched_at_once_and_the_others_in_their_order() {
    let mut desk = office(vec![]);
    let names: Vec<String> = (0..10).map(|n| format!("f{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ann(&mut desk, 50, &files(&names));
    let (reply, out) = fetch(&mut desk, vec![Pick::All]);
    let Reply::Fetching { transfers } = reply else { panic!("{reply:?}") };
    assert_eq!(transfers.len(), 10);
    let running = begun(&out);
    assert_eq!(running.len(), 8);
    assert_eq!(states(&mut desk)[7..], [ItemState::Moving, ItemState::Queued, ItemState::Queued]);
    assert_eq!(fetch(&mut desk, vec![Pick::All]).0, Reply::Refused(Refusal::NothingWaits));

    let next = ended(&mut desk, running[3].0, end(Ok("/in/f3")));
    assert_eq!(ends(&next), [("f3".into(), TransferOutcome::Done)]);
    let names: Vec<_> = begun(&next).into_iter().map(|(_, fetch)| fetch.name).collect();
    assert_eq!(names, ["f8"]);
    let next = ended(&mut desk, running[0].0, end(Err("gone")));
    assert_eq!(ends(&next), [("f0".into(), TransferOutcome::Broken)]);
    assert_eq!(begun(&next).len(), 1);
    assert_eq!(states(&mut desk)[0], ItemState::Waiting, "it can be asked for again");
    assert_eq!(begun(&fetch(&mut desk, one_of(1, 1)).1).len(), 0, "and waits for its turn");
    assert_eq!(states(&mut desk)[0], ItemState::Queued);
}

#[test]
fn what_broke_off_is_removed_where_it_lies_when_it_is_refused() {
    let mut desk = office(vec![]);
    ann(&mut desk, 50, &files(&["a", "b", "c"]));
    ann(&mut desk, 51, "0:d:0:1:2:\x07");
    let into = |path: &str| Some(PathBuf::from(path));
    let last = ["/first", "/last"].map(|path| {
        let get = Get { into: into(path), ..get(one_of(1, 1)) };
        let (_, out) = desk.ask(Request::Get(get));
        assert_eq!(kept(&out).0.last().map(|offer| offer.folders[&0].clone()), into(path));
        let (id, fetch) = begun(&out)[0].clone();
        ended(&mut desk, id, end(Err("gone")));
        fetch
    });
    let (id, second) = begun(&fetch(&mut desk, one_of(1, 2)).1)[0].clone();
    ended(&mut desk, id, end(Err("gone")));
    let left = |fetch: &Fetch| Leftover {
        into: fetch.into.clone(),
        key: fetch.key.clone(),
        packet: fetch.ask.packet,
        file: fetch.ask.file,
    };
    let (_, out) = desk.ask(Request::Refuse { picks: vec![Pick::All] });
    let removed: Vec<_> = out
        .effects
        .iter()
        .filter_map(|(_, effect)| match effect {
            Effect::DropParts(left) => Some(left.clone()),
            _ => None,
        })
        .collect();
    let [removed] = &removed[..] else { panic!("{removed:?}") };
    assert_eq!(removed[..2], [left(&last[1]), left(&second)], "where it was tried last");
    assert_eq!(removed.len(), 3, "nothing is left of folders");
}

#[test]
fn what_is_not_wanted_is_over_wherever_it_stands() {
    let mut desk = office(vec![]);
    let names: Vec<String> = (0..10).map(|n| format!("f{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ann(&mut desk, 50, &files(&names));
    ann(&mut desk, 51, &files(&["other"]));
    let running = begun(&fetch(&mut desk, all_of(1)).1);
    // One that waits for its turn, and one that runs.
    let (_, out) = desk.ask(Request::Refuse { picks: one_of(1, 10) });
    assert_eq!(ends(&out), [("f9".into(), TransferOutcome::Refused)]);
    let (reply, out) = desk.ask(Request::Refuse { picks: one_of(1, 1) });
    assert_eq!((stopped(&out), ends(&out)), (vec![running[0].0], vec![]));
    assert!(out.effects.iter().any(|(_, effect)| matches!(effect, Effect::DropFetch(_))));
    let Reply::Offers { offers } = reply else { panic!("{reply:?}") };
    let states: Vec<_> = offers[0].items.iter().map(|item| item.state).collect();
    assert_eq!(states[..2], [ItemState::Over, ItemState::Moving], "it ends just now");
    let out = ended(&mut desk, running[0].0, end(Err("stopped")));
    assert_eq!(ends(&out), [("f0".into(), TransferOutcome::Refused)]);
    assert_eq!(begun(&out).len(), 1, "f8 has its turn, f9 never");
    let late = begun(&out)[0].0;
    let mut last = Outcome::default();
    for id in running[1..].iter().map(|(id, _)| *id).chain([late]) {
        assert_eq!(released(&last, "10.0.0.2"), 0);
        last = ended(&mut desk, id, end(Ok("/in/x")));
    }
    assert_eq!(released(&last, "10.0.0.2"), 1, "nothing is left of the offer");
    assert_eq!(kept(&last).1, [OfferId(1)]);

    let (_, out) = desk.ask(Request::Refuse { picks: vec![Pick::All] });
    assert_eq!((released(&out, "10.0.0.2"), numbers(&mut desk)), (1, vec![]));
    let (reply, _) = desk.ask(Request::Refuse { picks: vec![Pick::All] });
    assert_eq!(reply, Reply::Refused(Refusal::NoOffer));
}

#[test]
fn a_transfer_that_ends_well_although_it_was_stopped_is_done() {
    let mut desk = office(vec![]);
    ann(&mut desk, 50, &files(&["a"]));
    let id = begun(&fetch(&mut desk, all_of(1)).1)[0].0;
    desk.ask(Request::Refuse { picks: all_of(1) });
    let out = ended(&mut desk, id, end(Ok("/in/a")));
    assert_eq!(ends(&out), [("a".into(), TransferOutcome::Done)]);
}

#[test]
fn items_are_named_by_number_or_as_on_the_wire() {
    let mut desk = office(vec![]);
    ann(&mut desk, 50, &files(&["a", "b"]));
    offer(&mut desk, "10.0.0.3", 50, "bob@mac", &files(&["c"]));
    let wire = |last, file| vec![Pick::Wire(IpAddr::from([10, 0, 0, last]), PacketNo(50), file)];
    for picks in [
        all_of(3),
        one_of(1, 3),
        one_of(1, 0),
        wire(4, None),
        wire(2, Some(2)),
        vec![Pick::From(super::desk::peer_id("nobody"))],
        vec![],
    ] {
        assert_eq!(
            fetch(&mut desk, picks.clone()).0,
            Reply::Refused(Refusal::NoOffer),
            "{picks:?}"
        );
    }
    let names = |out: &Outcome| -> Vec<String> {
        begun(out).into_iter().map(|(_, fetch)| fetch.name).collect()
    };
    assert_eq!(names(&fetch(&mut desk, wire(2, Some(1))).1), ["b"]);
    assert_eq!(names(&fetch(&mut desk, wire(3, None)).1), ["c"]);
    let twice = [one_of(1, 1), all_of(1)].concat();
    assert_eq!(names(&fetch(&mut desk, twice).1), ["a"], "once, and what moves is left out");
}

#[test]
fn it_is_asked_for_where_it_was_offered_in_the_form_that_is_understood() {
    let mut desk = office(vec![]);
    let list = format!("16:a.txt:5:{TIME}:101:\x0717:d:0:{TIME}:2:\x07");
    ann(&mut desk, 0x50, &list);
    let running = begun(&fetch(&mut desk, all_of(1)).1);
    let (file, folder) = (&running[0].1, &running[1].1);
    assert_eq!((file.from, file.size, file.read_only), (addr("10.0.0.2"), 5, true));
    assert_eq!((folder.kind, folder.size), (ItemKind::Folder, 16 << 30));
    assert_eq!((file.charset, file.resumes), (Charset::UTF_8, false));
    assert_eq!(file.ask.bases(), [IdBase::Hexadecimal, IdBase::Decimal]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let bytes = text(file.ask.bytes(7, IdBase::Hexadecimal));
    assert!(bytes.contains(":8388704:50:10:7:"), "{bytes}");
    assert!(text(file.ask.bytes(0, IdBase::Decimal)).contains(":50:16:0:"));
    assert!(text(folder.ask.bytes(0, IdBase::Hexadecimal)).contains(":8388706:50:11:"));

    // The base that was understood is tried first from then on, with this peer alone.
    let learned = FetchEnd { ids: Some(IdBase::Decimal), ..end(Ok("/in/a.txt")) };
    ended(&mut desk, running[0].0, learned);
    ann(&mut desk, 0x51, &list);
    let again = begun(&fetch(&mut desk, one_of(2, 1)).1);
    assert_eq!(again[0].1.ask.bases(), [IdBase::Decimal, IdBase::Hexadecimal]);
    offer(&mut desk, "10.0.0.3", 0x51, "bob@mac", &list);
    let other = begun(&fetch(&mut desk, one_of(3, 1)).1);
    assert_eq!(other[0].1.ask.bases(), [IdBase::Hexadecimal, IdBase::Decimal]);
}

#[test]
fn a_part_belongs_to_the_same_file_of_the_same_peer() {
    let mut desk = office(vec![]);
    let key = |desk: &mut Desk, from: &str, number: u64, who: &str, list: &str| {
        let out = offer(desk, from, number, who, list);
        let number = told(&out)[0].offer.0;
        let (id, fetch) = begun(&fetch(desk, all_of(number)).1).remove(0);
        ended(desk, id, end(Err("gone")));
        fetch.key
    };
    let same = format!("0:a:5:{TIME}:1:\x07");
    let first = key(&mut desk, "10.0.0.2", 50, "ann@pc", &same);
    assert_eq!(first, key(&mut desk, "10.0.0.2", 51, "ann@pc", &format!("9:a:5:{TIME}:1:\x07")));
    for (number, (from, who, list)) in (60..).zip([
        ("10.0.0.3", "bob@mac", same.clone()),
        ("10.0.0.2", "ann@pc", format!("0:a:6:{TIME}:1:\x07")),
        ("10.0.0.2", "ann@pc", format!("0:b:5:{TIME}:1:\x07")),
        ("10.0.0.2", "ann@pc", "0:a:5:65a0c3f1:1:\x07".to_owned()),
        ("10.0.0.2", "ann@pc", format!("0:a:5:{TIME}:2:\x07")),
    ]) {
        assert_ne!(first, key(&mut desk, from, number, who, &list), "{who} {list}");
    }
    // Without a time only the same offer is the same.
    let untimed = "0:a:5:0:1:\x07";
    let first = key(&mut desk, "10.0.0.2", 80, "ann@pc", untimed);
    assert_ne!(first, key(&mut desk, "10.0.0.2", 81, "ann@pc", untimed));
}

/// Another run that remembers this.
fn restarted(offers: Vec<OfferRecord>, last: u32) -> Desk {
    let mut desk = Desk::of(Node::new(config(), [9; 32]));
    let memory = Memory { offers, last_offer: OfferId(last), ..Memory::default() };
    desk.node.remember(desk.now, memory);
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    desk
}

#[test]
fn offers_survive_a_restart_and_what_moved_waits() {
    let mut desk = office(vec![]);
    let first = ann(&mut desk, 50, &files(&["a", "b", "c"]));
    let running = begun(&fetch(&mut desk, all_of(1)).1);
    let noted = ended(&mut desk, running[0].0, end(Ok("/in/a")));
    let record = kept(&noted).0.pop().unwrap();
    assert_eq!(kept(&first).0.len(), 1);
    assert_eq!(
        record.view.items.iter().map(|item| item.state).collect::<Vec<_>>(),
        [ItemState::Done, ItemState::Waiting, ItemState::Waiting]
    );
    let json = serde_json::to_string(&record).unwrap();
    let mut desk = restarted(vec![serde_json::from_str(&json).unwrap()], 7);
    assert_eq!(numbers(&mut desk), [1]);
    let again = begun(&fetch(&mut desk, vec![Pick::All]).1);
    assert_eq!(again.len(), 2, "what is complete is not fetched again");
    assert_eq!((again[0].1.from, &again[0].1.key), (addr("10.0.0.2"), &running[1].1.key));
    desk.hear("10.0.0.2", official(3, 60, "ann@pc", "Ann"));
    ann(&mut desk, 61, &files(&["d"]));
    assert_eq!(numbers(&mut desk), [1, 8], "no short number is used twice");
}

#[test]
fn the_next_owner_of_the_port_goes_on_fetching() {
    let mut desk = office(vec![]);
    ann(&mut desk, 50, &files(&["a", "b"]));
    let wish = Get { limit: Some(9), digest: true, ..get(one_of(1, 2)) };
    desk.ask(Request::Get(wish));
    let json = serde_json::to_string(&desk.node.hand_over()).unwrap();
    let node = Node::resume(config(), [9; 32], serde_json::from_str(&json).unwrap(), desk.now);
    let mut desk = Desk::of(node);
    let out = desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let [(_, fetch)] = &begun(&out)[..] else { panic!("{out:?}") };
    assert_eq!((fetch.name.as_str(), fetch.limit, fetch.digest), ("b", Some(9), true));
    assert_eq!(states(&mut desk), [ItemState::Waiting, ItemState::Moving]);
}

#[test]
fn one_that_only_listens_asks_nobody() {
    let mut desk = Desk::with(|config| config.passive = true);
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    ann(&mut desk, 50, &files(&["a"]));
    let (_, out) = fetch(&mut desk, all_of(1));
    assert!(begun(&out).is_empty() && out.transmits().is_empty());
    assert_eq!(ends(&out), [("a".into(), TransferOutcome::Broken)]);
}

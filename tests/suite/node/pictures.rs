//! Pictures inside messages: what is gathered, acknowledged and refused, and how ours are sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use feige::node::{
    AcceptRule, AcceptWho, Effect, Event, FileChoice, Input, ItemKind, Link, Node, NoticeCode,
    Outcome as End, PacketNo, PictureFacts, PictureFormat, PictureJob, PictureNews, PictureRecord,
    Record, Refusal, Reply, Request, RequestId, SaveResult, StageId, Target, Tick, Wishes,
};
use feige::wire::{Command, RawPacket};

use super::desk::{Desk, Outcome, addr, config, feiq, iptux, link, ms, peer_id, receipt};

const MAC: &str = "00E04C0A1B2C";
const WANG: &str = "10.0.0.2";

/// A fragment by its numbers, with as much data as it says.
struct Piece<'a> {
    id: &'a str,
    total: usize,
    offset: usize,
    count: usize,
    index: usize,
    length: usize,
}

impl Piece<'_> {
    fn packet(&self, who: &str) -> Vec<u8> {
        let Self { id, total, offset, count, index, length } = *self;
        let header = format!("{id}|{total}|{offset}|{count}|{index}|{length}|0|2|0|00000000#");
        let mut packet = feiq(2_097_344, 7, who, MAC, &header);
        packet.extend(std::iter::repeat_n(b'x', length));
        packet
    }
}

/// The fragment at a place, as FeiQ cuts it.
fn cut(id: &str, total: usize, place: usize) -> Vec<u8> {
    let (offset, count) = (place * 512, total.div_ceil(512));
    let length = (total - offset).min(512);
    Piece { id, total, offset, count, index: place + 1, length }.packet("wang@pc")
}

fn with_wang() -> Desk {
    let mut desk = Desk::new();
    desk.hear(WANG, feiq(6_291_459, 1, "wang@pc", MAC, "Wang\0\0"));
    desk.pass(ms(10_000));
    desk
}

fn jobs(outcome: &Outcome) -> Vec<&PictureJob> {
    let job = |(_, effect): &'_ (Tick, Effect)| matches!(effect, Effect::Picture(_));
    outcome
        .effects
        .iter()
        .filter(|pair| job(pair))
        .map(|(_, effect)| match effect {
            Effect::Picture(job) => job,
            _ => unreachable!("only jobs are left"),
        })
        .collect()
}

fn stage_of(outcome: &Outcome) -> StageId {
    jobs(outcome)
        .iter()
        .find_map(|job| match job {
            PictureJob::Begin { stage, .. }
            | PictureJob::Pack { stage, .. }
            | PictureJob::Check { stage } => Some(*stage),
            _ => None,
        })
        .expect("a job with a stage")
}

/// Bodies of the acknowledgements sent.
fn acks(outcome: &Outcome) -> Vec<String> {
    bodies(outcome, Command::FEIQ_IMAGE_ACK)
}

fn bodies(outcome: &Outcome, command: Command) -> Vec<String> {
    let body = |bytes: &[u8]| {
        let raw = RawPacket::parse(bytes).unwrap();
        let header = |rest: &[u8]| {
            String::from_utf8_lossy(rest.split(|&b| b == 0).next().unwrap()).into_owned()
        };
        (raw.command() == command).then(|| header(raw.rest.unwrap_or_default()))
    };
    outcome.transmits().iter().filter_map(|transmit| body(&transmit.bytes)).collect()
}

fn notices(outcome: &Outcome) -> Vec<String> {
    let notice = |event: &&Event| match event {
        Event::Notice { code: NoticeCode::Picture, text } => Some(text.clone()),
        _ => None,
    };
    outcome.events().iter().filter_map(notice).collect()
}

fn facts() -> PictureFacts {
    let digest = "d65d9786".repeat(8);
    PictureFacts { format: PictureFormat::Jpeg, width: 640, height: 400, size: 1_300, digest }
}

fn picture_record(outcome: &Outcome) -> PictureRecord {
    let picture = |(_, record): (_, &Record)| match record {
        Record::Picture(picture) => Some((**picture).clone()),
        _ => None,
    };
    outcome.saves().into_iter().find_map(picture).expect("a picture is kept")
}

/// Brings a whole picture of three fragments, up to its record.
fn bring(desk: &mut Desk, id: &str) -> (StageId, Outcome) {
    let begun = desk.hear(WANG, cut(id, 1_300, 0));
    let stage = stage_of(&begun);
    desk.hear(WANG, cut(id, 1_300, 2));
    desk.hear(WANG, cut(id, 1_300, 1));
    (stage, desk.input(Input::Picture(stage, PictureNews::Checked(facts()))))
}

#[test]
fn fragments_in_any_order_are_written_acknowledged_and_checked_when_all_are_there() {
    let mut desk = with_wang();
    let first = desk.hear(WANG, cut("64ea4edd", 1_300, 2));
    let stage = stage_of(&first);
    let [
        PictureJob::Begin { size: 1_300, counts: true, .. },
        PictureJob::Write { offset: 1_024, data, .. },
    ] = jobs(&first)[..]
    else {
        panic!("{first:?}")
    };
    assert_eq!(data.len(), 276);
    assert_eq!(acks(&first), ["64ea4edd|3#"]);
    let again = desk.hear(WANG, cut("64ea4edd", 1_300, 2));
    assert_eq!((acks(&again).len(), jobs(&again).len()), (1, 0), "a repetition is acknowledged");
    assert_eq!(acks(&desk.hear(WANG, cut("64ea4edd", 1_300, 0))), ["64ea4edd|1#"]);
    let last = desk.hear(WANG, cut("64ea4edd", 1_300, 1));
    assert_eq!(acks(&last), ["64ea4edd|2#"]);
    assert_eq!(*jobs(&last)[1], PictureJob::Check { stage });
    let ack = last.transmits()[0];
    assert_eq!((ack.to, ack.after), (addr(WANG), None), "at once");
    let out = desk.input(Input::Picture(stage, PictureNews::Checked(facts())));
    let record = picture_record(&out);
    assert_eq!((record.id, record.number, record.stage), (0x64ea_4edd, None, stage));
    let [Event::Picture(event)] = out.events()[..] else { panic!("{out:?}") };
    assert_eq!((&*event.picture, event.short_id()), ("64ea4edd", "pd65d9786".to_owned()));
    assert_eq!(event.peer.nick, "Wang");
    let kept = desk.keep(&out);
    assert_eq!(*jobs(&kept)[0], PictureJob::Drop { stage });
    let late = desk.hear(WANG, cut("64ea4edd", 1_300, 1));
    assert_eq!((acks(&late).len(), jobs(&late).len()), (1, 0), "the whole set may be repeated");
    assert!(notices(&desk.pass(ms(700_000))).is_empty());
}

#[test]
fn a_rule_of_the_user_makes_a_file_of_a_picture_once_it_is_kept() {
    let who = AcceptWho::Peer { name: "wang@pc".into(), addr: "10.0.0.2".parse().unwrap() };
    let rule = |max, types: &[&str]| AcceptRule {
        who: who.clone(),
        max,
        types: types.iter().map(|&ending| ending.to_owned()).collect(),
        folders: false,
    };
    for (rule, accepts) in [
        (rule(1 << 20, &[]), true),
        (rule(1 << 20, &["jpg"]), true),
        (rule(1 << 20, &["png"]), false),
        (rule(1_000, &[]), false),
    ] {
        let mut desk = Desk::with(|config| config.accept = vec![rule]);
        desk.hear(WANG, feiq(6_291_459, 1, "wang@pc", MAC, "Wang\0\0"));
        let (stage, out) = bring(&mut desk, "64ea4edd");
        let kept = desk.keep(&out);
        let exported = jobs(&kept).into_iter().any(
            |job| matches!(job, PictureJob::Export { name, .. } if name == "picture-pd65d9786.jpg"),
        );
        assert_eq!(exported, accepts);
        assert_eq!(jobs(&kept).last(), Some(&&PictureJob::Drop { stage }));
    }
}

#[test]
fn text_and_picture_find_each_other_in_either_order() {
    let reference = |number, id: &str| {
        feiq(
            288,
            number,
            "wang@pc",
            MAC,
            &format!("look /~#>{id}<B~{{/font;-16 0 0 0 400 0 0 0 134 0 0 2 32 a 0;}}\0"),
        )
    };
    let mut desk = with_wang();
    let text = desk.hear(WANG, reference(500, "64ea4edd"));
    assert_eq!(text.messages()[0].text, "look /~#>64ea4edd<B~");
    let (_, out) = bring(&mut desk, "64ea4edd");
    assert_eq!(picture_record(&out).number, Some(PacketNo(500)));
    let (_, out) = bring(&mut desk, "00000001");
    let [Event::Picture(event)] = out.events()[..] else { panic!() };
    let text = desk.hear(WANG, reference(501, &event.picture));
    assert!(text.messages()[0].text.contains(&event.picture));
    assert_eq!(feige::node::with_names(&text.messages()[0].text), "look [picture 00000001]");
}

#[test]
fn a_picture_of_which_nothing_more_comes_is_given_up_after_120_seconds() {
    let mut desk = with_wang();
    let stage = stage_of(&desk.hear(WANG, cut("64ea4edd", 5_000, 0)));
    assert!(jobs(&desk.pass(ms(100_000))).is_empty());
    desk.hear(WANG, cut("64ea4edd", 5_000, 1));
    assert!(jobs(&desk.pass(ms(119_000))).is_empty(), "something came meanwhile");
    let out = desk.pass(ms(2_000));
    assert_eq!(*jobs(&out)[0], PictureJob::Drop { stage });
    assert_eq!(
        notices(&out),
        ["a picture of Wang (10.0.0.2) is given up: 8 of its 10 fragments did not come"]
    );
    let again = desk.hear(WANG, cut("64ea4edd", 5_000, 0));
    assert_ne!(stage_of(&again), stage, "it may begin again");
}

#[test]
fn no_picture_is_gathered_for_ever() {
    let mut desk = with_wang();
    let mut dropped = Vec::new();
    for place in 0..60 {
        let out = desk.hear(WANG, cut("64ea4edd", 500_000, place));
        dropped.extend(jobs(&out).into_iter().cloned());
        let out = desk.pass(ms(11_000));
        dropped.extend(jobs(&out).into_iter().cloned());
    }
    let drops = dropped.iter().filter(|job| matches!(job, PictureJob::Drop { .. })).count();
    assert_eq!(drops, 1, "after ten minutes, however slowly it comes");
}

#[test]
fn a_peer_has_four_pictures_on_their_way_and_all_have_sixteen() {
    let mut desk = with_wang();
    for id in 1..=4 {
        let out = desk.hear(WANG, cut(&format!("{id:08x}"), 5_000, 0));
        assert_eq!((acks(&out).len(), jobs(&out).len()), (1, 2));
    }
    let fifth = desk.hear(WANG, cut("00000005", 5_000, 0));
    assert_eq!((acks(&fifth).len(), jobs(&fifth).len()), (0, 0), "its sender tries again later");
    assert!(notices(&fifth)[0].contains("too many others of the same sender"), "{fifth:?}");
    // Another name at the same address is no way around it.
    let renamed = Piece { id: "6", total: 5_000, offset: 0, count: 10, index: 1, length: 512 };
    assert!(acks(&desk.hear(WANG, renamed.packet("li@pc"))).is_empty());
    let mut taken = 4;
    for host in 3..40 {
        let from = format!("10.0.0.{host}");
        let who = format!("u{host}@pc");
        let piece = Piece { id: "1", total: 5_000, offset: 0, count: 10, index: 1, length: 512 };
        taken += acks(&desk.hear(&from, piece.packet(&who))).len();
    }
    assert_eq!(taken, 16);
    // One that is whole makes room for the next.
    for place in 1..10 {
        desk.hear(WANG, cut("00000001", 5_000, place));
    }
    let out = desk.input(Input::Picture(StageId(1), PictureNews::Checked(facts())));
    desk.keep(&out);
    assert_eq!(acks(&desk.hear(WANG, cut("00000005", 5_000, 0))).len(), 1);
}

#[test]
fn fragments_that_lie_are_refused_with_a_notice() {
    let lies = [
        Piece { id: "1", total: 1_200, offset: 512, count: 3, index: 3, length: 512 },
        Piece { id: "1", total: 1_200, offset: 511, count: 3, index: 2, length: 512 },
        Piece { id: "1", total: 1_200, offset: 0, count: 4, index: 1, length: 512 },
        Piece { id: "1", total: 1_200, offset: 0, count: 0, index: 1, length: 512 },
        Piece { id: "1", total: 0, offset: 0, count: 1, index: 1, length: 0 },
        Piece { id: "123456789", total: 1_200, offset: 0, count: 3, index: 1, length: 512 },
    ];
    for (host, lie) in (2..).zip(lies) {
        let mut desk = with_wang();
        let from = format!("10.0.0.{host}");
        let out = desk.hear(&from, lie.packet("wang@pc"));
        assert_eq!((acks(&out).len(), jobs(&out).len()), (0, 0), "{from}");
        assert!(notices(&out)[0].contains("its numbers make no sense"), "{out:?}");
    }
    let mut desk = with_wang();
    let large =
        Piece { id: "1", total: (16 << 20) + 1, offset: 0, count: 32_769, index: 1, length: 512 };
    let out = desk.hear(WANG, large.packet("wang@pc"));
    assert!(notices(&out)[0].contains("larger than 16 MiB") && acks(&out).is_empty(), "{out:?}");
    assert!(notices(&out)[0].starts_with("Wang (10.0.0."), "by the name others see: {out:?}");
    let short = [&cut("1", 1_200, 0)[..200]].concat();
    assert!(acks(&desk.hear(WANG, short)).is_empty(), "less data than it says");
}

#[test]
fn fragments_that_contradict_each_other_are_refused() {
    let mut desk = with_wang();
    desk.hear(WANG, cut("64ea4edd", 5_000, 0));
    let out = desk.hear(WANG, cut("64ea4edd", 6_000, 1));
    assert_eq!((acks(&out).len(), jobs(&out).len()), (0, 0));
    assert!(notices(&out)[0].contains("contradict each other"), "{out:?}");
    assert_eq!(acks(&desk.hear(WANG, cut("64ea4edd", 5_000, 1))).len(), 1, "the first goes on");
}

#[test]
fn a_flood_of_fragments_costs_bounded_memory_and_few_notices() {
    let mut desk = with_wang();
    let (mut told, mut begun) = (0, 0);
    for round in 0..20_000_u32 {
        let host = 2 + round % 200;
        let (from, who) = (format!("10.0.0.{host}"), format!("u{host}@pc"));
        let id = format!("{round:08x}");
        let piece =
            Piece { id: &id, total: 16 << 20, offset: 0, count: 32_768, index: 1, length: 512 };
        let out = desk.hear(&from, piece.packet(&who));
        told += notices(&out).len();
        begun += jobs(&out).iter().filter(|job| matches!(job, PictureJob::Begin { .. })).count();
    }
    assert_eq!(begun, 16, "a bit for each fragment: 64 KiB in all");
    assert!(told <= 16, "{told}");
}

#[test]
fn what_is_no_picture_is_refused_once_and_its_sender_is_done_with_it() {
    let mut desk = with_wang();
    let stage = stage_of(&desk.hear(WANG, cut("64ea4edd", 1_300, 0)));
    desk.hear(WANG, cut("64ea4edd", 1_300, 1));
    desk.hear(WANG, cut("64ea4edd", 1_300, 2));
    let reason = "it has 100000 x 100000 pixels, more than 40 million".to_owned();
    let out = desk.input(Input::Picture(stage, PictureNews::Failed(reason)));
    assert_eq!(
        notices(&out),
        [
            "Wang (10.0.0.2): a picture is not taken: it has 100000 x 100000 pixels, more than 40 million"
        ]
    );
    assert!(out.saves().is_empty());
    let again = desk.hear(WANG, cut("64ea4edd", 1_300, 0));
    assert_eq!((acks(&again).len(), jobs(&again).len()), (1, 0));
    // The same id for another picture is another picture.
    assert_eq!(jobs(&desk.hear(WANG, cut("64ea4edd", 2_600, 0))).len(), 2);
}

#[test]
fn each_picture_that_came_whole_and_is_none_is_told() {
    let mut desk = with_wang();
    let failed = || PictureNews::Failed("it is neither JPEG nor PNG".to_owned());
    for id in 1..=6 {
        let (id, mut acked) = (format!("{id:08x}"), 0);
        let begun = desk.hear(WANG, cut(&id, 1_300, 0));
        let stage = stage_of(&begun);
        for out in [begun, desk.hear(WANG, cut(&id, 1_300, 1)), desk.hear(WANG, cut(&id, 1_300, 2))]
        {
            acked += acks(&out).len();
        }
        assert_eq!(acked, 3, "its sender holds it for arrived");
        let out = desk.input(Input::Picture(stage, failed()));
        assert_eq!(
            notices(&out),
            ["Wang (10.0.0.2): a picture is not taken: it is neither JPEG nor PNG"]
        );
    }
    // Fragments that are not taken, and so not acknowledged, are told once in a while.
    let no_sense = Piece { id: "7", total: 1_300, offset: 511, count: 3, index: 2, length: 512 }
        .packet("wang@pc");
    let told = (0..3).map(|_| notices(&desk.hear(WANG, &no_sense)).len()).sum::<usize>();
    assert_eq!(told, 1);
}

#[test]
fn a_full_disk_bars_a_picture_until_its_sender_tries_again() {
    let mut desk = with_wang();
    let stage = stage_of(&desk.hear(WANG, cut("64ea4edd", 1_300, 0)));
    let reason = "the disk is full".to_owned();
    let out = desk.input(Input::Picture(stage, PictureNews::Failed(reason)));
    assert!(notices(&out)[0].contains("the disk is full"), "{out:?}");
    assert!(
        acks(&desk.hear(WANG, cut("64ea4edd", 1_300, 1))).is_empty(),
        "no acknowledgement lies"
    );
    desk.pass(ms(30_000));
    assert_eq!(acks(&desk.hear(WANG, cut("64ea4edd", 1_300, 0))).len(), 1);
}

#[test]
fn a_picture_that_the_store_does_not_take_may_come_again() {
    let (full, share) = ("the disk is full".to_owned(), "strangers filled their share".to_owned());
    for result in [SaveResult::Failed(full), SaveResult::Refused(share)] {
        let mut desk = with_wang();
        let (_, out) = bring(&mut desk, "64ea4edd");
        desk.answer(&out, &result);
        assert!(acks(&desk.hear(WANG, cut("64ea4edd", 1_300, 0))).is_empty());
        desk.pass(ms(30_000));
        let again = desk.hear(WANG, cut("64ea4edd", 1_300, 0));
        assert_eq!((acks(&again).len(), jobs(&again).len()), (1, 2));
    }
}

#[test]
fn without_a_store_no_picture_is_taken() {
    let mut desk = Desk::with(|config| config.keeps = false);
    let out = desk.hear(WANG, cut("64ea4edd", 1_300, 0));
    assert_eq!((acks(&out).len(), jobs(&out).len()), (0, 0));
    assert!(notices(&out)[0].contains("--no-store"), "{out:?}");
}

/// A picture of ours on its way to Wang, and how many bytes it has.
fn send(desk: &mut Desk, size: u32) -> (PacketNo, Outcome) {
    let to = vec![Target::Peer(desk.peer("Wang").id)];
    let request = Request::SendPicture {
        to,
        path: "/p.png".into(),
        timeout_ms: 30_000,
        wishes: Wishes::default(),
    };
    let out = desk.input(Input::Request(RequestId(9_000), request));
    let stage = stage_of(&out);
    let mut out = desk.input(Input::Picture(stage, PictureNews::Packed { size }));
    let at = out.effects.iter().position(|(_, effect)| matches!(effect, Effect::Reply(..)));
    let (_, Effect::Reply(_, Reply::Sent { number, .. })) = out.effects.remove(at.unwrap()) else {
        panic!("{out:?}")
    };
    (number, out)
}

/// Does the reading that is asked for in `outcome`.
fn read_for(desk: &mut Desk, outcome: &Outcome) {
    let reads: Vec<_> = jobs(outcome)
        .into_iter()
        .filter_map(|job| match job {
            &PictureJob::Read { stage, offset, length } => Some((stage, offset, length)),
            _ => None,
        })
        .collect();
    for (stage, offset, length) in reads {
        let data: Arc<[u8]> = vec![7; length as usize].into();
        desk.input(Input::Picture(stage, PictureNews::Read { offset, data }));
    }
}

/// The id and the indexes of the fragments that left.
fn fragments(outcome: &Outcome) -> (String, Vec<u32>) {
    let headers = bodies(outcome, Command::FEIQ_IMAGE_FRAGMENT);
    let field = |header: &String, at| header.split('|').nth(at).unwrap().to_owned();
    let id = headers.first().map(|header| field(header, 0)).unwrap_or_default();
    (id, headers.iter().map(|header| field(header, 4).parse().unwrap()).collect())
}

fn ack(desk: &mut Desk, id: &str, index: u32) -> Outcome {
    desk.hear(WANG, feiq(193, 70, "wang@pc", MAC, &format!("{id}|{index}#")))
}

fn references(outcome: &Outcome) -> Vec<String> {
    bodies(outcome, Command::SENDMSG)
}

#[test]
fn a_picture_leaves_in_windows_of_32_and_the_reference_comes_last() {
    let mut desk = with_wang();
    let (number, mut out) = send(&mut desk, 40 * 512 + 1);
    let mut id = String::new();
    for window in [1..=32, 33..=41] {
        read_for(&mut desk, &out);
        let sent = desk.pass(ms(100));
        let (name, indexes) = fragments(&sent);
        assert_eq!(indexes, window.clone().collect::<Vec<_>>());
        let gaps: BTreeSet<_> = sent.sent().windows(2).map(|two| two[1].0 - two[0].0).collect();
        assert_eq!(gaps, BTreeSet::from([ms(2)]));
        assert!(references(&sent).is_empty());
        id = name;
        for index in window {
            assert!(references(&out).is_empty());
            out = ack(&mut desk, &id, index);
        }
    }
    let header = bodies(&out, Command::SENDMSG);
    assert_eq!(header, [format!("/~#>{id}<B~")]);
    assert!(matches!(jobs(&out)[..], [PictureJob::Drop { .. }]));
    let raw = out.transmits().pop().unwrap().bytes.clone();
    assert!(raw.ends_with(b"<B~\0\0"));
    let (_, Record::Message(record)) = &out.saves()[0] else { panic!() };
    assert_eq!((record.number, &*record.text), (number, &*format!("/~#>{id}<B~")));
    desk.keep(&out);
    let out = desk.hear(WANG, receipt(number, "wang@pc"));
    let [Event::Receipt { .. }] = out.events()[..] else { panic!("{out:?}") };
}

#[test]
fn what_is_not_acknowledged_is_sent_again_after_a_second() {
    let mut desk = with_wang();
    let (_, out) = send(&mut desk, 3 * 512);
    read_for(&mut desk, &out);
    let (id, sent) = fragments(&desk.pass(ms(10)));
    assert_eq!(sent, [1, 2, 3]);
    ack(&mut desk, &id, 1);
    ack(&mut desk, &id, 3);
    assert!(fragments(&desk.pass(ms(900))).1.is_empty());
    assert_eq!(fragments(&desk.pass(ms(200))).1, [2]);
    assert_eq!(references(&ack(&mut desk, &id, 2)).len(), 1);
}

#[test]
fn acknowledgements_count_only_from_where_the_picture_goes_and_for_what_was_sent() {
    let mut desk = with_wang();
    let (_, out) = send(&mut desk, 100);
    read_for(&mut desk, &out);
    let (id, _) = fragments(&desk.pass(ms(10)));
    let body = format!("{id}|1#");
    for from in ["10.0.0.3", "10.0.0.2:4000"] {
        assert!(references(&desk.hear(from, feiq(193, 70, "wang@pc", MAC, &body))).is_empty());
    }
    for index in [0, 2, 33, u32::MAX] {
        assert!(references(&ack(&mut desk, &id, index)).is_empty(), "{index}");
    }
    assert!(references(&ack(&mut desk, "ffffffff", 1)).is_empty());
    assert_eq!(references(&ack(&mut desk, &id, 1)).len(), 1);
    assert!(references(&ack(&mut desk, &id, 1)).is_empty(), "once");
}

#[test]
fn a_picture_nobody_acknowledges_ends_not_confirmed_after_four_rounds() {
    let mut desk = with_wang();
    let (number, out) = send(&mut desk, 2 * 512);
    read_for(&mut desk, &out);
    let out = desk.pass(ms(10_000));
    assert_eq!(fragments(&out).1, [1, 2, 1, 2, 1, 2, 1, 2]);
    assert!(references(&out).is_empty(), "no icon without a picture");
    let saves = out.saves();
    let [(_, Record::Message(message)), (_, Record::Outcome(end)), ..] = saves.as_slice() else {
        panic!("{saves:?}")
    };
    assert_eq!((message.number, end.number), (number, number));
    assert_eq!((end.outcome, end.tries), (End::NotConfirmed, 4), "rounds, not fragments");
    let failed = out.events().into_iter().filter(|event| matches!(event, Event::Failed { .. }));
    assert_eq!(failed.count(), 1);
}

#[test]
fn a_cancelled_picture_ends_at_once() {
    let mut desk = with_wang();
    let (number, out) = send(&mut desk, 20 * 512);
    read_for(&mut desk, &out);
    desk.pass(ms(4));
    let (_, out) = desk.ask(Request::Cancel { number });
    assert!(out.events().iter().any(|event| matches!(event, Event::Failed { .. })));
    assert!(fragments(&desk.pass(ms(5_000))).1.is_empty());
}

#[test]
fn who_takes_no_pictures_is_named_and_nothing_is_sent() {
    let mut desk = with_wang();
    desk.hear("10.0.0.4", iptux(3, 1, "li@pc4", "小李"));
    let ask = |desk: &mut Desk, to: Vec<Target>| {
        let request = Request::SendPicture {
            to,
            path: "/p.png".into(),
            timeout_ms: 1_000,
            wishes: Wishes::default(),
        };
        desk.ask(request).0
    };
    let li = desk.peer("小李");
    let both = vec![Target::Peer(desk.peer("Wang").id), Target::Peer(li.id.clone())];
    let refused = Reply::Refused(Refusal::TakesNoPictures { peer: Box::new(li) });
    assert_eq!(ask(&mut desk, both), refused);
    let nowhere = Reply::Refused(Refusal::UnknownPeer { peer: peer_id("10.0.0.99:2425") });
    assert_eq!(ask(&mut desk, vec![Target::Addr(addr("10.0.0.99"))]), nowhere);
    assert_eq!(ask(&mut desk, Vec::new()), Reply::Refused(Refusal::Nobody));
}

#[test]
fn what_is_no_picture_is_not_sent() {
    let mut desk = with_wang();
    let to = vec![Target::Peer(desk.peer("Wang").id)];
    let request = Request::SendPicture {
        to,
        path: "/p.txt".into(),
        timeout_ms: 1_000,
        wishes: Wishes::default(),
    };
    let out = desk.input(Input::Request(RequestId(9_000), request));
    let stage = stage_of(&out);
    let reason = "it is no PNG, JPEG, GIF or BMP".to_owned();
    let out = desk.input(Input::Picture(stage, PictureNews::Failed(reason.clone())));
    let [(_, Effect::Reply(RequestId(9_000), Reply::Refused(refusal)))] = &out.effects[..] else {
        panic!("{out:?}")
    };
    assert_eq!(*refusal, Refusal::NoPicture { reason });
}

#[test]
fn pictures_that_are_on_their_way_end_with_the_program() {
    let mut desk = with_wang();
    let (number, out) = send(&mut desk, 20 * 512);
    read_for(&mut desk, &out);
    desk.pass(ms(4));
    let out = desk.input(Input::Leave);
    let ended = |event: &&&Event| matches!(event, Event::Failed { number: n, .. } if *n == number);
    assert_eq!(out.events().iter().filter(ended).count(), 1);
    assert_eq!(desk.node.next_deadline(), None);
}

/// The process that takes the port over from the one with this desk, as it begins.
fn heir(desk: &Desk, leaves_behind: Option<StageId>) -> (Desk, Outcome) {
    let mut note = desk.node.hand_over();
    if let Some(stage) = leaves_behind {
        note.leave_behind(stage);
    }
    let json = serde_json::to_string(&note).unwrap();
    let note = serde_json::from_str(&json).unwrap();
    let mut next = Desk::of(Node::resume(config(), [9; 32], note, desk.now));
    next.now = desk.now;
    let begins = next.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    (next, begins)
}

#[test]
fn a_picture_goes_on_when_the_port_changes_hands_without_what_was_acknowledged() {
    let mut desk = with_wang();
    let message = "look /~#>64ea4edd<B~\0";
    desk.hear(WANG, feiq(288, 500, "wang@pc", MAC, message));
    let stage = stage_of(&desk.hear(WANG, cut("64ea4edd", 1_300, 0)));
    desk.hear(WANG, cut("64ea4edd", 1_300, 2));
    assert_eq!(desk.node.hand_over().stages(), [stage]);
    let (mut next, begins) = heir(&desk, None);
    assert!(jobs(&begins).is_empty(), "{begins:?}");
    let again = next.hear(WANG, cut("64ea4edd", 1_300, 2));
    assert_eq!((acks(&again).len(), jobs(&again).len()), (1, 0), "it is there already");
    let last = next.hear(WANG, cut("64ea4edd", 1_300, 1));
    assert_eq!(acks(&last), ["64ea4edd|2#"]);
    let [PictureJob::Write { offset: 512, .. }, PictureJob::Check { stage: checked }] =
        jobs(&last)[..]
    else {
        panic!("{last:?}")
    };
    assert_eq!(*checked, stage);
    let out = next.input(Input::Picture(stage, PictureNews::Checked(facts())));
    assert_eq!(picture_record(&out).number, Some(PacketNo(500)), "the text is known, too");
    next.keep(&out);
    // Another one gets another stage, and the first may still be repeated: also to a third.
    assert_ne!(stage_of(&next.hear(WANG, cut("00000001", 1_300, 0))), stage);
    let (mut third, _) = heir(&next, None);
    let late = third.hear(WANG, cut("64ea4edd", 1_300, 1));
    assert_eq!((acks(&late).len(), jobs(&late).len()), (1, 0));
}

#[test]
fn a_picture_that_was_being_decoded_is_decoded_by_the_next_process() {
    let mut desk = with_wang();
    let stage = stage_of(&desk.hear(WANG, cut("64ea4edd", 1_300, 0)));
    desk.hear(WANG, cut("64ea4edd", 1_300, 1));
    desk.hear(WANG, cut("64ea4edd", 1_300, 2));
    let (mut next, begins) = heir(&desk, None);
    assert_eq!(jobs(&begins), [&PictureJob::Check { stage }]);
    let out = next.input(Input::Picture(stage, PictureNews::Checked(facts())));
    assert_eq!(picture_record(&out).stage, stage);
    assert!(notices(&next.pass(ms(700_000))).is_empty());
}

#[test]
fn an_unfinished_picture_is_given_up_by_the_next_process_too() {
    let mut desk = with_wang();
    let stage = stage_of(&desk.hear(WANG, cut("64ea4edd", 5_000, 0)));
    let (mut next, _) = heir(&desk, None);
    assert_eq!(jobs(&next.pass(ms(121_000))), [&PictureJob::Drop { stage }]);
    // One whose bytes did not come along begins again.
    let (mut next, _) = heir(&desk, Some(stage));
    let out = next.hear(WANG, cut("64ea4edd", 5_000, 1));
    assert!(matches!(jobs(&out)[..], [PictureJob::Begin { .. }, PictureJob::Write { .. }]));
}

#[test]
fn a_picture_of_ours_goes_on_when_the_port_changes_hands() {
    let mut desk = with_wang();
    let (number, out) = send(&mut desk, 40 * 512);
    read_for(&mut desk, &out);
    let (id, _) = fragments(&desk.pass(ms(80)));
    for index in (1..=32).filter(|index| index % 3 != 0) {
        ack(&mut desk, &id, index);
    }
    let (mut next, begins) = heir(&desk, None);
    assert!(matches!(jobs(&begins)[..], [PictureJob::Read { offset: 0, length: 16_384, .. }]));
    read_for(&mut next, &begins);
    let (same, left) = fragments(&next.pass(ms(80)));
    let missing: Vec<u32> = (1..=32).filter(|index| index % 3 == 0).collect();
    assert_eq!((same, &left), (id.clone(), &missing), "what was acknowledged is not sent again");
    let mut out = Outcome::default();
    for index in missing {
        out = ack(&mut next, &id, index);
    }
    read_for(&mut next, &out);
    assert_eq!(fragments(&next.pass(ms(80))).1, (33..=40).collect::<Vec<_>>());
    for index in 33..=40 {
        out = ack(&mut next, &id, index);
    }
    next.keep(&out);
    let out = next.hear(WANG, receipt(number, "wang@pc"));
    assert!(out.events().iter().any(|event| matches!(event, Event::Receipt { .. })), "{out:?}");
}

#[test]
fn a_picture_of_ours_whose_bytes_do_not_come_along_has_its_end_with_the_next_process() {
    let mut desk = with_wang();
    let (number, out) = send(&mut desk, 40 * 512);
    read_for(&mut desk, &out);
    desk.pass(ms(80));
    let stage = desk.node.hand_over().stages()[0];
    let (mut next, begins) = heir(&desk, Some(stage));
    assert!(matches!(jobs(&begins)[..], [PictureJob::Read { .. }]), "{begins:?}");
    let gone = PictureNews::Failed("it is not there".to_owned());
    let out = next.input(Input::Picture(stage, gone));
    let ends = |event: &&Event| matches!(event, Event::Failed { number: of, outcome: End::NotConfirmed, .. } if *of == number);
    assert_eq!(out.events().into_iter().filter(|event| ends(event)).count(), 1, "{out:?}");
}

/// A file to offer.
fn png() -> Wishes {
    let choice = FileChoice {
        name: "p.png".into(),
        kind: ItemKind::Picture,
        size: 5,
        mtime: 7,
        mtime_nanos: None,
        read_only: false,
        path: "/p.png".into(),
        device: 1,
        inode: 2,
    };
    Wishes { choices: vec![choice], ..Wishes::default() }
}

#[test]
fn who_takes_no_pictures_is_offered_the_file_with_the_same_number() {
    let mut desk = with_wang();
    desk.hear("10.0.0.4", iptux(3, 1, "li@pc4", "小李"));
    let [wang, li] = ["Wang", "小李"].map(|nick| Target::Peer(desk.peer(nick).id));
    let send = |to: Vec<Target>| Request::SendPicture {
        to,
        path: "/p.png".into(),
        timeout_ms: 30_000,
        wishes: png(),
    };
    // Nothing has to be packed for those who only get the file.
    let (reply, out) = desk.ask(send(vec![li.clone()]));
    assert!(matches!(reply, Reply::Sent { offered: 1, .. }) && jobs(&out).is_empty(), "{reply:?}");
    let out = desk.input(Input::Request(RequestId(9_000), send(vec![li, wang])));
    let stage = stage_of(&out);
    let out = desk.input(Input::Picture(stage, PictureNews::Packed { size: 3 * 512 }));
    let answer = out.effects.iter().find_map(|(_, effect)| match effect {
        Effect::Reply(RequestId(9_000), Reply::Sent { number, to, offered: 1, .. }) => {
            Some((*number, to.len()))
        }
        _ => None,
    });
    let (number, recipients) = answer.expect("it is sent");
    assert_eq!(recipients, 2);
    let events = out.events();
    let offers = events.iter().filter(
        |event| matches!(event, Event::Offer(offer) if offer.number == number && offer.peer.nick == "小李"),
    );
    assert_eq!(offers.count(), 1);
    read_for(&mut desk, &out);
    assert_eq!(fragments(&desk.pass(ms(10))).1, [1, 2, 3]);
}

#[test]
fn a_stranger_gets_what_his_program_reads_once_he_has_shown_it() {
    for (entry, is_feiq) in [
        (feiq(6_291_459, 1, "wang@pc", MAC, "Wang\0\0"), true),
        (iptux(3, 1, "li@pc4", "小李"), false),
    ] {
        let mut desk = Desk::new();
        let request = Request::SendPicture {
            to: vec![Target::Addr(addr(WANG))],
            path: "/p.png".into(),
            timeout_ms: 30_000,
            wishes: png(),
        };
        let out = desk.input(Input::Request(RequestId(9_000), request));
        assert_eq!(bodies(&out, Command::BR_ENTRY).len(), 1, "he is asked who he is");
        let stage = stage_of(&out);
        let out = desk.input(Input::Picture(stage, PictureNews::Packed { size: 512 }));
        assert!(out.effects.is_empty(), "{out:?}");
        let out = desk.hear(WANG, entry);
        let reads = |job: &&PictureJob| matches!(job, PictureJob::Read { .. });
        assert_eq!(jobs(&out).into_iter().any(|job| reads(&job)), is_feiq);
        let offers = |event: &&Event| matches!(event, Event::Offer(_));
        assert_eq!(out.events().into_iter().any(|event| offers(&event)), !is_feiq);
        let dropped = jobs(&out).contains(&&PictureJob::Drop { stage });
        assert_eq!(dropped, !is_feiq, "nobody needs the container");
    }
}

#[test]
fn the_file_of_a_picture_is_on_offer_for_a_day_at_most() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.4", iptux(3, 1, "li@pc4", "小李"));
    let request = Request::SendPicture {
        to: vec![Target::Peer(desk.peer("小李").id)],
        path: "/p.png".into(),
        timeout_ms: 30_000,
        wishes: Wishes { later: true, ..png() },
    };
    let (_, out) = desk.ask(request);
    let day = |event: &&Event| {
        matches!(event, Event::Offer(offer)
            if offer.ends_at.is_some_and(|end| end.0 - offer.made_at.0 == 24 * 3_600_000))
    };
    assert!(out.events().iter().any(day), "{out:?}");
}

#[test]
fn a_known_recipient_is_not_waited_for_though_his_address_names_no_link() {
    let mut desk = Desk::bare(|_| {});
    desk.input(Input::Links(vec![Link { multicast: true, ..link(1, [10, 0, 0, 1]) }]));
    desk.hear("[fe80::9%1]:2425", feiq(6_291_459, 1, "wang@pc", MAC, "Wang\0\0"));
    let request = Request::SendPicture {
        to: vec![Target::Addr(addr("[fe80::9]:2425"))],
        path: "/p.png".into(),
        timeout_ms: 30_000,
        wishes: Wishes::default(),
    };
    let out = desk.input(Input::Request(RequestId(9_000), request));
    let out = desk.input(Input::Picture(stage_of(&out), PictureNews::Packed { size: 512 }));
    let reads = |job: &PictureJob| matches!(job, PictureJob::Read { .. });
    assert!(jobs(&out).into_iter().any(reads), "{out:?}");
}

#[test]
fn a_silent_stranger_is_offered_the_file_though_it_cannot_be_packed() {
    let mut desk = Desk::new();
    let request = Request::SendPicture {
        to: vec![Target::Addr(addr(WANG))],
        path: "/p.png".into(),
        timeout_ms: 30_000,
        wishes: png(),
    };
    let out = desk.input(Input::Request(RequestId(9_000), request));
    let reason = "it is damaged".to_owned();
    desk.input(Input::Picture(stage_of(&out), PictureNews::Failed(reason)));
    let out = desk.pass(ms(3_000));
    assert!(out.events().iter().any(|event| matches!(event, Event::Offer(_))), "{out:?}");
    let sent = |(_, effect): &&(Tick, Effect)| {
        matches!(effect, Effect::Reply(RequestId(9_000), Reply::Sent { offered: 1, .. }))
    };
    assert_eq!(out.effects.iter().filter(sent).count(), 1);
}

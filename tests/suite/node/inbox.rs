//! Messages received: kept, shown once, confirmed as often as they come.

use feige::crypto::OpenError;
use feige::node::{
    Delivery, Done, Effect, Event, Input, Job, NoticeCode, Record, Reply, Request, SaveResult,
    Target,
};
use feige::wire::{Command, PacketNo, RawPacket};

use super::desk::{
    CAP_UTF8, Desk, FILE_ATTACH, Outcome, addr, feiq, iptux, message, ms, official, plain,
};

fn failed() -> SaveResult {
    SaveResult::Failed("disk full".into())
}

fn notices(outcome: &Outcome) -> Vec<NoticeCode> {
    let code = |event: &&Event| match event {
        Event::Notice { code, .. } => Some(*code),
        _ => None,
    };
    outcome.events().iter().filter_map(code).collect()
}

/// A node that knows Ann at 10.0.0.2.
fn with_ann() -> Desk {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk
}

#[test]
fn a_message_is_kept_then_shown_and_confirmed() {
    let mut desk = with_ann();
    let out = desk.hear("10.0.0.2", message(50, "ann@pc", "hello\nthere"));
    let saves = out.saves();
    let [(id, Record::Message(record))] = saves.as_slice() else { panic!("{saves:?}") };
    assert_eq!((record.number, record.text.as_str()), (PacketNo(50), "hello\nthere"));
    assert_eq!((record.epoch, record.addr), (0, Some(addr("10.0.0.2"))));
    assert_eq!(&*record.raw, message(50, "ann@pc", "hello\nthere"));
    let transmit = out.transmits()[0];
    assert_eq!((transmit.after, transmit.to), (Some(*id), addr("10.0.0.2")));
    assert!(transmit.link.is_some_and(|link| link.0 == 1), "through the link it came on");
    let receipt = RawPacket::parse(&transmit.bytes).unwrap();
    assert_eq!((receipt.command(), receipt.main()), (Command::RECVMSG, &b"50"[..]));
    let emitted = out.effects.iter().any(|(_, effect)| {
        matches!(effect, feige::node::Effect::Emit { event: Event::Message(_), after } if *after == Some(*id))
    });
    assert!(emitted);
    assert_eq!(desk.counters().messages, 0, "not yet on disk");
    desk.keep(&out);
    assert_eq!((desk.counters().messages, desk.counters().receipts), (1, 1));
}

#[test]
fn a_repeated_message_is_shown_once_and_confirmed_again() {
    let mut desk = with_ann();
    let first = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    let (id, _) = first.saves()[0];
    let early = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    assert!(early.saves().is_empty() && early.messages().is_empty());
    assert_eq!(early.transmits()[0].after, Some(id), "its receipt waits for the same record");
    desk.keep(&first);
    let late = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    assert!(late.saves().is_empty() && late.messages().is_empty());
    assert_eq!(late.transmits()[0].after, None);
    assert_eq!(desk.counters().repeats, 2);
}

#[test]
fn a_broadcast_of_ours_heard_again_from_an_unknown_address_is_shown_once() {
    const MAC: &str = "02AABBCCDD77";
    let mut desk = Desk::new();
    let entry = "wang\0\0\nVS:00F10001:0:1:0";
    desk.hear("10.0.0.2", feiq(0x0100_0001, 1_000, "wang@h1", MAC, entry));
    let broadcast = feiq(0x420, 1_001, "wang@h1", MAC, "hello");
    assert_eq!(desk.hear("10.0.0.2", &broadcast).messages().len(), 1);
    // On a link that IPv6 came up on late, it is the first that is heard from there, and looks
    // like a FeiQ's without the entry.
    assert_eq!(desk.hear("10.0.0.3", &broadcast).messages().len(), 0);
    assert_eq!((desk.peers().len(), desk.counters().repeats), (1, 1));
}

#[test]
fn a_failed_save_confirms_nothing_and_lets_the_retry_in() {
    let mut desk = with_ann();
    let first = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    let out = desk.answer(&first, &failed());
    assert_eq!(notices(&out), [NoticeCode::StoreFailed]);
    assert!(out.sent().is_empty());
    let again = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    assert_eq!((again.saves().len(), again.messages().len()), (1, 1));
    assert!(notices(&desk.answer(&again, &failed())).is_empty(), "said once");
    let third = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    assert_eq!(notices(&desk.keep(&third)), [NoticeCode::StoreRecovered]);
}

#[test]
fn each_message_of_ours_that_the_store_does_not_take_is_told_of_also_later() {
    let mut desk = with_ann();
    let strange = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    assert_eq!(notices(&desk.answer(&strange, &failed())), [NoticeCode::StoreFailed]);
    for _ in 0..2 {
        let (reply, out) = desk.ask(Request::Broadcast { text: "to all".into() });
        assert!(matches!(reply, Reply::Sent { .. }));
        assert_eq!(notices(&desk.answer(&out, &failed())), [NoticeCode::StoreFailed]);
    }
    let to = ["10.0.0.2", "10.0.0.3"].map(|to| Target::Addr(addr(to)));
    desk.hear("10.0.0.3", official(3, 1, "bob@pc", "Bob"));
    let (_, out) = desk.send_to(to.into(), "hello");
    assert_eq!(notices(&desk.answer(&out, &failed())), [NoticeCode::StoreFailed], "once for both");
}

#[test]
fn what_only_the_store_remembers_is_confirmed_and_not_shown() {
    let mut desk = with_ann();
    let first = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    desk.answer(&first, &SaveResult::Repeat);
    assert_eq!((desk.counters().messages, desk.counters().repeats), (0, 1));
    let again = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    assert!(again.saves().is_empty());
    assert_eq!(again.transmits().len(), 1);
}

#[test]
fn without_a_store_messages_are_shown_and_never_confirmed() {
    let mut desk = Desk::with(|config| config.keeps = false);
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let out = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    assert_eq!(out.messages().len(), 1);
    assert!(out.saves().is_empty() && out.transmits().is_empty());
    let again = desk.hear("10.0.0.2", message(50, "ann@pc", "hi"));
    assert!(again.messages().is_empty(), "still shown once");
}

#[test]
fn broadcasts_automatic_messages_and_unchecked_ones_earn_no_receipt() {
    let mut desk = with_ann();
    for (number, word) in [(60, 0x520), (61, 0x2120), (62, 0x20), (63, 0x2520)] {
        let out = desk.hear("10.0.0.2", plain(word, number, "ann@pc", "hi"));
        assert_eq!((out.messages().len(), out.transmits().len()), (1, 0), "{word:#x}");
        let event = out.messages()[0];
        let broadcast = word & 0x400 != 0;
        assert_eq!(event.delivery == Delivery::Broadcast, broadcast);
        assert_eq!(event.automatic, word & 0x2000 != 0);
        let again = desk.hear("10.0.0.2", plain(word, number, "ann@pc", "hi"));
        assert!(again.effects.is_empty());
    }
}

#[test]
fn sealed_and_locked_messages_are_marked_and_files_are_counted() {
    let mut desk = with_ann();
    let out = desk.hear("10.0.0.2", plain(0x10_8320, 70, "ann@pc", "secret"));
    let event = out.messages()[0];
    assert!(event.sealed && event.locked);
    let offer = plain(
        0x20_0120,
        71,
        "ann@pc",
        "look\x000:a.txt:1:5f000000:1:\x071:b.txt:2:5f000000:1:\x07",
    );
    let out = desk.hear("10.0.0.2", offer);
    assert_eq!((out.messages()[0].text.as_str(), out.messages()[0].files), ("look", 2));
}

#[test]
fn an_encrypted_message_is_told_once_and_gets_no_receipt() {
    let mut desk = with_ann();
    let sealed = plain(0x40_0120, 80, "ann@pc", "41900004:aabb:ccdd");
    let out = desk.hear("10.0.0.2", &sealed);
    let [(_, Effect::Crypto(id, Job::Open(_)))] = out.effects.as_slice() else { panic!("{out:?}") };
    let meanwhile = desk.hear("10.0.0.2", &sealed);
    assert!(meanwhile.effects.is_empty(), "{:?}", meanwhile.effects);
    let out = desk.input(Input::Crypto(*id, Done::Opened(Err(OpenError))));
    assert_eq!(notices(&out), [NoticeCode::Unreadable]);
    assert!(out.messages().is_empty() && out.transmits().is_empty() && out.saves().is_empty());
    let again = desk.hear("10.0.0.2", &sealed);
    assert!(again.effects.is_empty(), "{:?}", again.effects);
}

#[test]
fn the_same_number_from_another_peer_is_another_message() {
    let mut desk = with_ann();
    desk.hear("10.0.0.3", official(3, 1, "bob@pc2", "Bob"));
    assert_eq!(desk.hear("10.0.0.2", message(5, "ann@pc", "a")).messages().len(), 1);
    assert_eq!(desk.hear("10.0.0.3", message(5, "bob@pc2", "b")).messages().len(), 1);
    assert_eq!(desk.hear("10.0.0.2", message(4, "ann@pc", "lower")).messages().len(), 1);
}

#[test]
fn a_repeat_from_the_peers_other_address_is_a_repeat() {
    let mut desk = with_ann();
    desk.hear("10.0.0.3", official(3, 1, "ann@pc", "Ann"));
    let first = desk.hear("10.0.0.2", message(5, "ann@pc", "a"));
    desk.keep(&first);
    let second = desk.hear("10.0.0.3", message(5, "ann@pc", "a"));
    assert!(second.messages().is_empty());
    assert_eq!(second.transmits()[0].to, addr("10.0.0.3"));
}

#[test]
fn a_peer_that_left_and_came_back_is_not_shown_twice() {
    let mut desk = with_ann();
    let first = desk.hear("10.0.0.2", message(5, "ann@pc", "a"));
    desk.keep(&first);
    desk.hear("10.0.0.2", official(2, 6, "ann@pc", "Ann"));
    desk.hear("10.0.0.2", official(1, 7, "ann@pc", "Ann"));
    assert!(desk.hear("10.0.0.2", message(5, "ann@pc", "a")).messages().is_empty());
}

#[test]
fn a_restarted_iptux_that_counts_from_one_again_is_heard() {
    let mut desk = Desk::new();
    let text = |number, text| iptux(0x120, number, "cat@pc", text);
    desk.hear("10.0.0.2", iptux(0x101, 1, "cat@pc", "Cat"));
    let out = desk.hear("10.0.0.2", text(5, "first run"));
    let epoch = |out: &Outcome| match out.saves()[0].1 {
        Record::Message(record) => record.epoch,
        _ => panic!(),
    };
    let first = epoch(&out);
    assert!(first > 0);
    desk.hear("10.0.0.2", iptux(0x10002, 6, "cat@pc", ""));
    desk.pass(ms(11_000));
    desk.hear("10.0.0.2", iptux(0x101, 1, "cat@pc", "Cat"));
    let out = desk.hear("10.0.0.2", text(5, "second run"));
    assert_eq!(out.messages()[0].text, "second run");
    assert!(epoch(&out) > first);
    assert!(desk.hear("10.0.0.2", text(5, "second run")).messages().is_empty());
}

/// A script that starts, says something and ends, every few seconds, has the same numbers each time.
#[test]
fn each_run_of_a_short_program_that_counts_from_one_is_heard() {
    for says_goodbye in [true, false] {
        let mut desk = Desk::new();
        for (run, text) in ["alarm 1", "alarm 2", "alarm 3"].into_iter().enumerate() {
            desk.hear("10.0.0.2", iptux(0x101, 2, "cat@pc", "Cat"));
            // To the directed broadcast too.
            desk.hear("10.0.0.2", iptux(0x101, 2, "cat@pc", "Cat"));
            let out = desk.hear("10.0.0.2", iptux(0x120, 3, "cat@pc", text));
            assert_eq!(out.messages().len(), 1, "run {run}, goodbyes: {says_goodbye}");
            assert_eq!(out.messages()[0].text, text);
            desk.keep(&out);
            let retry = desk.hear("10.0.0.2", iptux(0x120, 3, "cat@pc", text));
            assert!(retry.messages().is_empty(), "run {run}");
            if says_goodbye {
                desk.hear("10.0.0.2", iptux(2, 4, "cat@pc", "Cat"));
            }
            desk.pass(ms(if says_goodbye { 200 } else { 2_000 }));
        }
    }
}

#[test]
fn the_same_entry_on_another_link_begins_no_epoch() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", iptux(0x101, 1, "cat@pc", "Cat"));
    desk.hear("10.0.0.2", iptux(0x120, 2, "cat@pc", "text"));
    desk.pass(ms(9_000));
    desk.hear_on(2, "10.0.5.2", iptux(0x101, 1, "cat@pc", "Cat"));
    let out = desk.hear("10.0.0.2", iptux(0x120, 2, "cat@pc", "text"));
    assert!(out.messages().is_empty(), "still the first run");
}

#[test]
fn an_answer_that_was_overtaken_begins_no_epoch() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", feiq(1, 10, "bob@pc", "00AABBCCDDEE", "Bob"));
    desk.hear("10.0.0.2", feiq(0x120, 12, "bob@pc", "00AABBCCDDEE", "text"));
    desk.hear("10.0.0.2", feiq(3, 11, "bob@pc", "00AABBCCDDEE", "Bob"));
    let out = desk.hear("10.0.0.2", feiq(0x120, 12, "bob@pc", "00AABBCCDDEE", "text"));
    assert!(out.messages().is_empty());
}

#[test]
fn a_low_number_is_no_restart_of_a_peer_that_numbers_by_the_clock() {
    let mut desk = with_ann();
    desk.hear("10.0.0.2", message(1_800_000_000, "ann@pc", "high"));
    desk.hear("10.0.0.2", official(1, 3, "ann@pc", "Ann"));
    let out = desk.hear("10.0.0.2", message(1_800_000_000, "ann@pc", "high"));
    assert!(out.messages().is_empty(), "one forged low entry repeats nothing");
}

#[test]
fn memory_of_repeats_is_bounded_by_time_and_count() {
    let mut desk = Desk::with(|config| config.policy.duplicates_max = 100);
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let out = desk.hear("10.0.0.2", message(1, "ann@pc", "x"));
    desk.keep(&out);
    for number in 2..=100 {
        let out = desk.hear("10.0.0.2", message(number, "ann@pc", "x"));
        desk.keep(&out);
    }
    assert!(desk.hear("10.0.0.2", message(2, "ann@pc", "x")).saves().is_empty());
    let out = desk.hear("10.0.0.2", message(101, "ann@pc", "x"));
    desk.keep(&out);
    assert_eq!(
        desk.hear("10.0.0.2", message(1, "ann@pc", "x")).saves().len(),
        1,
        "left to the store"
    );
    desk.pass(ms(600_001));
    // A few for each that comes, so that none of these takes long.
    for number in 200..210 {
        desk.hear("10.0.0.2", message(number, "ann@pc", "x"));
    }
    assert_eq!(desk.hear("10.0.0.2", message(101, "ann@pc", "x")).saves().len(), 1);
}

#[test]
fn iptux_lists_of_shared_files_are_no_messages() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", iptux(0x103, 1, "cat@pc", "Cat"));
    let out = desk.hear("10.0.0.2", iptux(0x8020_0020, 2, "cat@pc", ""));
    assert!(out.effects.is_empty());
}

#[test]
fn a_burst_from_one_sender_is_taken_whole_and_an_unfair_one_is_held() {
    let mut desk = with_ann();
    desk.hear("10.0.0.3", official(3, 1, "bob@pc2", "Bob"));
    desk.input(feige::node::Input::Pressure(true));
    let mut taken = 0;
    for number in 0..2_000 {
        taken += desk.hear("10.0.0.2", message(number, "ann@pc", "x")).messages().len();
    }
    assert_eq!(taken, 2_000, "alone, it is nobody's burden");
    let mut held = Outcome::default();
    let mut others = 0;
    for number in 2_000..4_000 {
        held.effects.extend(desk.hear("10.0.0.2", message(number, "ann@pc", "x")).effects);
        if number % 100 == 0 {
            others += desk.hear("10.0.0.3", message(number, "bob@pc2", "y")).messages().len();
        }
    }
    assert_eq!(others, 20);
    assert!(held.messages().len() < 300, "{}", held.messages().len());
    assert_eq!(notices(&held), [NoticeCode::Flood]);
    assert_eq!(held.transmits().len(), held.messages().len(), "no receipt for what is dropped");
    desk.input(feige::node::Input::Pressure(false));
    assert_eq!(desk.hear("10.0.0.2", message(9_000, "ann@pc", "x")).messages().len(), 1);
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    let run = |jump: i64| {
        let mut desk = with_ann();
        let mut trace = Vec::new();
        for number in 0..20 {
            if number == 7 {
                desk.now.wall.0 += jump;
            }
            let out = desk.hear("10.0.0.2", message(number % 13, "ann@pc", "x"));
            trace.push((out.messages().len(), out.transmits().len()));
            desk.keep(&out);
            desk.pass(ms(700));
        }
        (trace, desk.nicks())
    };
    let years = 20 * 365 * 86_400_000;
    assert_eq!(run(0), run(years));
    assert_eq!(run(0), run(-years));
}

#[test]
fn a_stranger_beyond_its_share_gets_no_receipt_and_the_user_is_told_once_an_hour() {
    let mut desk = with_ann();
    let refused = SaveResult::Refused("enough for today".into());
    for (number, told) in [(50, true), (51, false), (50, false)] {
        let out = desk.hear("10.0.0.2", message(number, "ann@pc", "spam"));
        assert_eq!(out.saves().len(), 1, "a repeat is tried again");
        let out = desk.answer(&out, &refused);
        let expected: &[NoticeCode] = if told { &[NoticeCode::Quota] } else { &[] };
        assert_eq!(notices(&out), expected);
    }
    assert_eq!(desk.counters().messages, 0);
    desk.pass(ms(3_600_000));
    let out = desk.hear("10.0.0.2", message(52, "ann@pc", "spam"));
    assert_eq!(notices(&desk.answer(&out, &refused)), [NoticeCode::Quota]);
    let out = desk.hear("10.0.0.3", message(53, "bob@pc", "hello"));
    assert_eq!(notices(&desk.keep(&out)), [], "the store never failed");
}

#[test]
fn a_message_that_came_before_its_senders_entry_is_shown_once() {
    // By the clock, and after the end of the range, where numbers start low again.
    for number in [1_800_000_111, 65_091] {
        let mut desk = Desk::new();
        let mac = "0A1B2C3D4E5F";
        let text = feiq(0x120, number, "lin@pc", mac, "hello");
        let first = desk.hear("10.0.0.9", &text);
        assert_eq!(first.messages().len(), 1, "taken for FeiQ, which has the same version field");
        desk.keep(&first);
        let entry = "Lin\0lab\0\nVS:00F10001:0:1:0";
        let entry = feiq(1 | FILE_ATTACH | CAP_UTF8, number + 1, "lin@pc", mac, entry);
        desk.hear("10.0.0.9", entry);
        assert_eq!(desk.peer("Lin").dialect, "feige");
        let again = desk.hear("10.0.0.9", &text);
        let seen = (again.messages().len(), again.transmits().len());
        assert_eq!(seen, (0, 1), "{number}: only its receipt");
    }
}

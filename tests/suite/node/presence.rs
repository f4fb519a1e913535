//! Being seen: entries, answers, absence, exit, roll calls, networks beyond our links.

use std::net::SocketAddr;
use std::time::Duration;

use feige::node::{DownReason, Event, Input, Network, NoticeCode, Refusal, Reply, Request, Wishes};
use feige::wire::dialect::FEIGE;
use feige::wire::{Command, Hint, Packet, RawPacket, Sure};

use super::desk::{
    CAP_UTF8, Desk, FILE_ATTACH, MAC, Outcome, addr, feiq, iptux, link, message, ms, official,
    plain, presence, read,
};

fn downs(outcome: &Outcome) -> Vec<(String, DownReason)> {
    let down = |event: &&Event| match event {
        Event::PeerDown { peer, reason } => Some((peer.nick.clone(), *reason)),
        _ => None,
    };
    outcome.events().iter().filter_map(down).collect()
}

fn tries_to(outcome: &Outcome, to: &str, command: Command) -> usize {
    outcome.commands_to(to).into_iter().filter(|sent| *sent == command).count()
}

#[test]
fn the_first_links_are_announced_to_every_target_with_one_packet() {
    let mut desk = Desk::bare(|config| {
        config.networks = vec![Network::Addr(addr("10.9.255.255"))];
    });
    let mut six = link(2, [10, 0, 1, 1]);
    six.multicast = true;
    let out = desk.input(Input::Links(vec![link(1, [10, 0, 0, 1]), six]));
    let of_command = |command| {
        let sent = out.transmits().into_iter().filter(move |t| read(&t.bytes).command == command);
        sent.collect::<Vec<_>>()
    };
    let targets = |sent: &[&feige::node::Transmit]| -> Vec<String> {
        sent.iter().map(|t| format!("{:?} {}", t.link, t.to)).collect()
    };
    let (heralds, entries) = (of_command(Command::NOOPERATION), of_command(Command::BR_ENTRY));
    assert_eq!(
        targets(&entries),
        [
            "Some(link1) 255.255.255.255:2425",
            "Some(link1) 10.0.0.255:2425",
            "Some(link2) 255.255.255.255:2425",
            "Some(link2) 10.0.1.255:2425",
            "Some(link2) [ff15::979]:2425",
            "Some(link2) [ff02::1%2]:2425",
            "None 10.9.255.255:2425",
        ]
    );
    // FeiQ's own start: a no-operation packet, and with the next number the entry.
    assert_eq!(targets(&heralds)[..], targets(&entries)[..6], "on our links");
    assert_eq!(out.transmits()[..6], heralds[..]);
    let (herald, first) = (read(&heralds[0].bytes), &entries[0].bytes);
    assert!(entries.iter().all(|t| t.bytes == *first), "one number for all");
    let packet = read(first);
    assert_eq!(herald.number.0 + 1, packet.number.0);
    assert_eq!(packet.command, Command::BR_ENTRY);
    assert_eq!(packet.options.bits(), FILE_ATTACH | CAP_UTF8);
    assert_eq!(packet.dialect, &FEIGE);
    assert_eq!((packet.user.as_str(), packet.host.as_str()), ("fei", "desk"));
    assert_eq!(
        (presence(&packet).nick.as_str(), presence(&packet).group.as_str()),
        ("小飞", "研发部")
    );
    assert_eq!(presence(&packet).version.as_deref(), Some("00F10001:0:1:0"));
}

#[test]
fn our_entry_goes_out_once_more_and_then_the_node_sleeps() {
    let mut desk = Desk::bare(|_| {});
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let later = desk.pass(ms(4_999));
    assert!(later.transmits().is_empty());
    let again = desk.pass(ms(10_000));
    let entry = [Command::NOOPERATION, Command::BR_ENTRY];
    assert_eq!(again.commands_to("255.255.255.255"), entry);
    assert_eq!(desk.node.next_deadline(), None, "an idle node makes no wake-ups");
}

#[test]
fn an_entry_is_answered_at_its_source_after_the_random_delay() {
    for seed in 0..20 {
        let mut desk = Desk::of(feige::node::Node::new(super::desk::config(), [seed; 32]));
        desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
        desk.pass(ms(20_000));
        let heard = desk.now.tick;
        let out = desk.hear("10.0.0.7:4000", official(1, 5, "ann@pc", "Ann"));
        assert!(out.transmits().is_empty());
        let out = desk.pass(ms(2_000));
        let sent = out.sent();
        let [(at, to, packet)] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!((*to, packet.command), (addr("10.0.0.7:4000"), Command::ANSENTRY));
        let delay = *at - heard;
        assert!((ms(5)..=ms(1_028)).contains(&delay), "{delay:?}");
    }
}

#[test]
fn one_timer_serves_all_queued_answers() {
    let mut desk = Desk::new();
    for host in 1..=40 {
        let from = format!("10.0.0.{}", host + 10);
        desk.hear(&from, official(1, 1, &format!("user@pc{host}"), &format!("nick{host}")));
        desk.now.tick = desk.now.tick + ms(1) / 100;
    }
    let out = desk.pass(ms(2_000));
    let times: std::collections::BTreeSet<_> = out.sent().iter().map(|(at, ..)| *at).collect();
    assert_eq!((out.sent().len(), times.len()), (40, 1));
}

#[test]
fn a_message_does_not_overtake_the_answer_to_an_entry() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.7", iptux(0x101, 1, "cat@pc", "Cat"));
    desk.hear("10.0.0.8", official(1, 1, "ann@pc2", "Ann"));
    let (_, out) = desk.send("Cat", "hi");
    assert_eq!(out.commands_to("10.0.0.7"), [Command::ANSENTRY, Command::SENDMSG]);
    assert!(out.commands_to("10.0.0.8").is_empty(), "the others wait for the timer");
    let (_, out) = desk.send("Cat", "again");
    assert_eq!(out.commands_to("10.0.0.7"), [Command::SENDMSG]);
    let out = desk.pass(ms(2_000));
    assert_eq!(tries_to(&out, "10.0.0.7", Command::ANSENTRY), 0, "one answer");
    assert_eq!(tries_to(&out, "10.0.0.8", Command::ANSENTRY), 1);
}

#[test]
fn the_delay_grows_with_the_roster() {
    let longest = |peers: u32| {
        let mut longest = Duration::ZERO;
        for seed in 0..12 {
            let mut desk = Desk::of(feige::node::Node::new(super::desk::config(), [seed; 32]));
            desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
            desk.pass(ms(20_000));
            for peer in 0..peers {
                let from = format!("10.0.{}.{}", 1 + peer / 250, 1 + peer % 250);
                desk.hear(&from, official(3, 1, &format!("u@pc{peer}"), &format!("n{peer}")));
            }
            let asked = desk.now.tick;
            desk.hear("10.0.9.9", official(1, 2, "late@pc", "late"));
            let out = desk.pass(ms(5_000));
            let sent = out.sent();
            let (at, ..) = sent.iter().find(|(_, to, _)| *to == addr("10.0.9.9")).unwrap();
            longest = longest.max(*at - asked);
        }
        longest
    };
    let (few, some, many) = (longest(10), longest(60), longest(320));
    assert!(few <= ms(1_028), "{few:?}");
    assert!(some > ms(1_100) && some <= ms(2_052), "{some:?}");
    assert!(many > ms(2_100) && many <= ms(4_100), "{many:?}");
}

#[test]
fn a_peer_is_answered_once_in_the_queue_and_once_in_five_seconds() {
    let mut desk = Desk::new();
    for number in 1..=3 {
        desk.hear("10.0.0.7", official(1, number, "ann@pc", "Ann"));
    }
    assert_eq!(tries_to(&desk.pass(ms(2_000)), "10.0.0.7", Command::ANSENTRY), 1);
    desk.hear("10.0.0.7", official(1, 4, "ann@pc", "Ann"));
    assert!(desk.pass(ms(2_500)).sent().is_empty(), "within five seconds");
    assert_eq!(desk.counters().dropped, 1);
    // However long the first answer waited.
    desk.pass(ms(2_000));
    desk.hear("10.0.0.7", official(1, 5, "ann@pc", "Ann"));
    assert_eq!(tries_to(&desk.pass(ms(2_000)), "10.0.0.7", Command::ANSENTRY), 1);
}

#[test]
fn answers_take_the_form_that_their_reader_knows() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", feiq(0x60_0001, 1, "bob@pc", "00AABBCCDDEE", "Bob"));
    desk.hear("10.0.0.4", iptux(0x101, 1, "cat@pc", "Cat"));
    desk.hear("10.0.0.5", plain(1, 1, "dan@pc", "Dan"));
    let out = desk.pass(ms(2_000));
    let sent = out.sent();
    let answer = |to: &str| &sent.iter().find(|(_, whom, _)| *whom == addr(to)).unwrap().2;
    let modern = answer("10.0.0.2");
    assert_eq!(modern.options.bits(), FILE_ATTACH | CAP_UTF8 | 0x80_0000);
    assert_eq!(presence(modern).charset.sure, Sure::Declared);
    assert_eq!(presence(modern).nick, "小飞");
    for old in ["10.0.0.3", "10.0.0.4", "10.0.0.5"] {
        let transmit = out.transmits().into_iter().find(|t| t.to == addr(old)).unwrap();
        let text = feige::wire::Charset::GBK.decode_strictly(&transmit.bytes).unwrap();
        assert!(text.contains("小飞\0研发部\0\nVS:00F10001:0:1:0"), "{text}");
        assert!(!text.contains("UN:"), "{old} reads no UTF-8 lines");
        assert_eq!(answer(old).options.bits(), FILE_ATTACH | CAP_UTF8);
    }
}

#[test]
fn after_our_entry_those_who_read_more_get_it_in_full_paced() {
    let mut desk = Desk::bare(|_| {});
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    for host in 0..48 {
        let from = format!("10.0.0.{}", host + 10);
        desk.hear(&from, official(3, 1, &format!("user@pc{host}"), &format!("nick{host}")));
    }
    desk.hear("10.0.0.90", feiq(0x60_0003, 1, "bob@pc", "00AABBCCDDEE", "Bob"));
    desk.hear("10.0.0.91", iptux(0x103, 1, "cat@pc", "Cat"));
    let early = desk.pass(ms(1_199));
    assert!(early.sent().is_empty(), "an answer is never answered: {:?}", early.sent());
    let out = desk.pass(ms(3_000));
    let sent = out.sent();
    assert_eq!(sent.len(), 48);
    for (_, to, packet) in &sent {
        assert_eq!(packet.command, Command::BR_ABSENCE);
        assert_ne!((*to, *to), (addr("10.0.0.90"), addr("10.0.0.91")));
        assert_eq!(presence(packet).nick, "小飞");
        assert_eq!(packet.options.bits(), FILE_ATTACH | CAP_UTF8, "never UTF8OPT on a BR packet");
    }
    let raw = &out.transmits()[0].bytes;
    assert!(String::from_utf8_lossy(raw).contains("\nNN:小飞\nGN:研发部\nVS:"));
    for window in sent.windows(11) {
        assert!(window[10].0 - window[0].0 >= ms(99), "at most 100 a second");
    }
}

#[test]
fn a_new_name_is_announced_and_told_in_full_at_once() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let rename = Request::Rename { nick: "飞飞".into(), group: "研发部".into() };
    let (reply, out) = desk.ask(rename.clone());
    assert_eq!(reply, Reply::Done);
    assert_eq!(out.commands_to("255.255.255.255"), [Command::BR_ABSENCE]);
    assert_eq!(out.commands_to("10.0.0.2"), [Command::BR_ABSENCE]);
    assert!(out.sent().iter().all(|(_, _, packet)| presence(packet).nick == "飞飞"));
    let (_, out) = desk.ask(rename);
    assert!(out.sent().is_empty(), "nothing changed");
}

#[test]
fn answers_absences_and_exits_are_never_answered() {
    let mut desk = Desk::new();
    for (from, packet) in [
        ("10.0.0.2", official(3, 1, "ann@pc", "Ann")),
        ("10.0.0.3", official(4, 1, "bob@pc", "Bob")),
        ("10.0.0.4", official(2, 1, "cat@pc", "Cat")),
        ("10.0.0.5", official(0, 1, "dan@pc", "Dan")),
        ("10.0.0.6", plain(0x18, 1, "eve@pc", "Eve")),
        ("10.0.0.6", plain(0x11, 2, "eve@pc", "")),
        ("10.0.0.6", plain(0x12, 3, "eve@pc", "")),
        ("10.0.0.6", plain(0x13, 4, "eve@pc", "    0\x07    0\x07")),
        ("10.0.0.6", plain(0x41, 5, "eve@pc", "info")),
        ("10.0.0.6", plain(0x51, 6, "eve@pc", "away")),
        ("10.0.0.6", plain(0x72, 7, "eve@pc", "21003")),
        ("10.0.0.6", plain(0xff, 8, "eve@pc", "")),
    ] {
        desk.hear(from, packet);
    }
    let out = desk.pass(ms(30_000));
    assert!(out.sent().is_empty(), "{:?}", out.sent());
}

#[test]
fn an_exit_counts_only_from_the_address_it_concerns() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let forged = desk.hear("10.0.0.9", official(2, 2, "ann@pc", "Ann"));
    assert!(downs(&forged).is_empty());
    let stranger = desk.hear("10.0.0.2", official(2, 2, "bob@other", "Bob"));
    assert!(downs(&stranger).is_empty());
    let real = desk.hear("10.0.0.2", official(2, 3, "ann@pc", "Ann"));
    assert_eq!(downs(&real), [("Ann".into(), DownReason::Exit)]);
    assert!(desk.nicks().is_empty());
}

#[test]
fn what_was_sent_before_a_goodbye_and_comes_after_it_brings_nobody_back() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 10, "ann@pc", "Ann"));
    desk.hear("10.0.0.2", official(2, 14, "ann@pc", "Ann"));
    for late in [official(4, 12, "ann@pc", "Ann"), official(3, 11, "ann@pc", "Ann")] {
        assert!(desk.hear("10.0.0.2", late).events().is_empty());
        assert!(desk.nicks().is_empty());
    }
    // Somebody else there, a later packet, a restart with low numbers, and much later: all count.
    desk.hear("10.0.0.2", official(4, 5, "bob@pc2", "Bob"));
    assert_eq!(desk.nicks(), ["Bob"]);
    desk.hear("10.0.0.3", official(2, 20, "cat@pc", "Cat"));
    desk.hear("10.0.0.3", official(4, 21, "cat@pc", "Cat"));
    desk.hear("10.0.0.4", official(2, 20, "dan@pc", "Dan"));
    desk.hear("10.0.0.4", official(1, 1, "dan@pc", "Dan"));
    desk.hear("10.0.0.5", official(2, 20, "eve@pc", "Eve"));
    desk.pass(ms(2_000));
    desk.hear("10.0.0.5", official(4, 19, "eve@pc", "Eve"));
    assert_eq!(desk.nicks(), ["Bob", "Cat", "Dan", "Eve"]);
}

#[test]
fn who_starts_anew_with_low_numbers_right_after_its_goodbye_is_heard() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 20, "ann@pc", "Ann"));
    desk.hear("10.0.0.2", official(2, 21, "ann@pc", "Ann"));
    desk.hear("10.0.0.2", official(1, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.2", official(4, 2, "ann@pc", "Anna"));
    assert_eq!(desk.nicks(), ["Anna"]);
}

#[test]
fn a_copy_of_a_message_that_comes_after_the_goodbye_is_confirmed_and_brings_nobody_back() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 10, "ann@pc", "Ann"));
    let first = desk.hear("10.0.0.2", message(12, "ann@pc", "hi"));
    desk.keep(&first);
    desk.hear("10.0.0.2", official(2, 14, "ann@pc", "Ann"));
    // Its second copy, by another way.
    desk.hear("10.0.0.2", official(2, 14, "ann@pc", "Ann"));
    let copy = desk.hear("10.0.0.2", message(12, "ann@pc", "hi"));
    assert_eq!(copy.commands_to("10.0.0.2"), [Command::RECVMSG]);
    assert!(copy.events().is_empty() && desk.nicks().is_empty());
    // What comes for the first time is shown, and so is its sender.
    let overtaken = desk.hear("10.0.0.2", message(13, "ann@pc", "bye"));
    assert_eq!((overtaken.messages().len(), desk.nicks().len()), (1, 1));
}

#[test]
fn a_copy_after_the_goodbye_is_known_also_of_those_who_number_from_one() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", iptux(0x103, 1, "cat@pc", "Cat"));
    let first = desk.hear("10.0.0.2", iptux(0x120, 2, "cat@pc", "hi"));
    desk.keep(&first);
    desk.hear("10.0.0.2", b"1_iptux 0.8.3:9:cat:pc:65538:");
    let copy = desk.hear("10.0.0.2", iptux(0x120, 2, "cat@pc", "hi"));
    assert_eq!(copy.commands_to("10.0.0.2"), [Command::RECVMSG]);
    assert!(copy.messages().is_empty() && desk.nicks().is_empty());
}

#[test]
fn iptux_leaves_with_an_empty_body() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", iptux(0x103, 1, "cat@pc", "Cat"));
    let out = desk.hear("10.0.0.2", b"1_iptux 0.8.3:9:cat:pc:65538:");
    assert_eq!(downs(&out), [("Cat".into(), DownReason::Exit)]);
}

#[test]
fn who_leaves_from_one_address_is_asked_at_the_others() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", official(3, 1, "ann@pc", "Ann"));
    desk.pass(ms(20_000));
    let peer = desk.peer("Ann");
    assert_eq!(peer.addrs, [addr("10.0.0.3")], "the older address did not answer");
    desk.hear("10.0.0.3", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let out = desk.hear("10.0.0.2", official(2, 2, "ann@pc", "Ann"));
    assert!(downs(&out).is_empty());
    assert_eq!(desk.peer("Ann").addrs, [addr("10.0.0.3")]);
    let out = desk.pass(ms(20_000));
    // Once, because a second entry would be more than three times what the goodbye sent.
    assert_eq!(tries_to(&out, "10.0.0.3", Command::BR_ENTRY), 1);
    assert_eq!(downs(&out), [("Ann".into(), DownReason::Silent)]);
}

#[test]
fn who_leaves_from_one_address_after_the_other_goes_by_the_one_it_came_with() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "ann@pc", "Ann"));
    desk.hear("[fe80::2]:2425", official(1, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.2", official(2, 2, "ann@pc", "Ann"));
    let out = desk.hear("[fe80::2]:2425", official(2, 2, "ann@pc", "Ann"));
    assert_eq!(last_places(&out), [vec![addr("10.0.0.2"), addr("[fe80::2]:2425")]]);
}

#[test]
fn who_leaves_from_its_first_address_last_has_it_once() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "ann@pc", "Ann"));
    desk.hear("[fe80::2]:2425", official(1, 1, "ann@pc", "Ann"));
    desk.hear("[fe80::2]:2425", official(2, 2, "ann@pc", "Ann"));
    let out = desk.hear("10.0.0.2", official(2, 2, "ann@pc", "Ann"));
    assert_eq!(last_places(&out), [vec![addr("10.0.0.2")]]);
}

/// The addresses of those who said goodbye, the one they go by first.
fn last_places(outcome: &Outcome) -> Vec<Vec<SocketAddr>> {
    let down = |event: &Event| match event {
        Event::PeerDown { peer, reason: DownReason::Exit } => {
            assert_eq!(peer.addrs.first(), Some(&SocketAddr::new(peer.addr, peer.port)));
            Some(peer.addrs.clone())
        }
        _ => None,
    };
    outcome.events().into_iter().filter_map(down).collect()
}

#[test]
fn a_roll_call_finds_the_silent_with_two_entries_each() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", official(3, 1, "bob@pc", "Bob"));
    desk.hear("10.0.0.4", official(3, 1, "cat@pc", "Cat"));
    desk.pass(ms(60_000));
    let began = desk.now.tick;
    let (reply, out) = desk.ask(Request::RollCall);
    assert_eq!(reply, Reply::RollCall { wait_ms: 1_200 });
    assert_eq!(out.commands_to("255.255.255.255"), [Command::NOOPERATION, Command::BR_ENTRY]);
    desk.pass(ms(300));
    desk.hear("10.0.0.2", official(3, 2, "ann@pc", "Ann"));
    let out = desk.pass(ms(1_500));
    assert_eq!(tries_to(&out, "10.0.0.2", Command::BR_ENTRY), 0, "Ann answered");
    assert_eq!(tries_to(&out, "10.0.0.3", Command::BR_ENTRY), 1);
    desk.hear("10.0.0.4", official(3, 2, "cat@pc", "Cat"));
    let rest = desk.pass(ms(20_000));
    assert_eq!(tries_to(&rest, "10.0.0.3", Command::BR_ENTRY), 1);
    assert_eq!(tries_to(&rest, "10.0.0.4", Command::BR_ENTRY), 0, "Cat answered the first");
    let probes: Vec<_> = out
        .sent()
        .into_iter()
        .chain(rest.sent())
        .filter(|(_, to, packet)| *to == addr("10.0.0.3") && packet.command == Command::BR_ENTRY)
        .map(|(at, ..)| at - began)
        .collect();
    assert_eq!(probes, [ms(1_200), ms(2_200)]);
    assert_eq!(downs(&rest), [("Bob".into(), DownReason::Silent)]);
    assert_eq!(desk.nicks(), ["Ann", "Cat"]);
}

#[test]
fn a_roll_call_waits_longer_where_more_are_known() {
    let waits = |peers: u32| {
        let mut desk = Desk::new();
        for peer in 0..peers {
            let from = format!("10.0.{}.{}", 1 + peer / 250, 1 + peer % 250);
            desk.hear(&from, official(3, 1, &format!("u@pc{peer}"), &format!("n{peer}")));
        }
        desk.ask(Request::RollCall).0
    };
    assert_eq!(waits(49), Reply::RollCall { wait_ms: 1_200 });
    assert_eq!(waits(50), Reply::RollCall { wait_ms: 2_200 });
    assert_eq!(waits(300), Reply::RollCall { wait_ms: 4_300 });
}

#[test]
fn two_roll_calls_in_a_second_send_one_entry() {
    let mut desk = Desk::new();
    desk.ask(Request::RollCall);
    desk.pass(ms(500));
    let (reply, out) = desk.ask(Request::RollCall);
    assert_eq!(reply, Reply::RollCall { wait_ms: 1_200 });
    assert!(out.sent().is_empty());
}

#[test]
fn a_peer_that_answered_just_before_a_roll_call_is_not_taken_for_gone() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.pass(ms(2_000));
    // One of us answers at most once in five seconds, so nothing comes now.
    desk.ask(Request::RollCall);
    let out = desk.pass(ms(3_900));
    assert!(downs(&out).is_empty());
    assert_eq!(tries_to(&out, "10.0.0.2", Command::BR_ENTRY), 0);
    let out = desk.pass(ms(200));
    assert_eq!(tries_to(&out, "10.0.0.2", Command::BR_ENTRY), 1, "now an answer is due");
}

#[test]
fn links_that_come_or_change_are_announced_and_lost_ones_keep_their_peers() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let out = desk.input(Input::Links(vec![link(1, [10, 0, 0, 1]), link(2, [10, 0, 5, 1])]));
    let targets: Vec<_> = out.transmits().iter().map(|t| (t.link, t.to)).collect();
    assert_eq!(targets.len(), 4, "a no-operation packet and an entry to each address");
    assert!(targets.iter().all(|(link, _)| link.is_some_and(|link| link.0 == 2)));
    let notice = |out: &Outcome| {
        out.events().iter().any(|e| matches!(e, Event::Notice { code: NoticeCode::Links, .. }))
    };
    assert!(notice(&out));
    desk.pass(ms(20_000));
    let out = desk.input(Input::Links(vec![link(1, [10, 0, 0, 77]), link(2, [10, 0, 5, 1])]));
    assert!(out.transmits().iter().all(|t| t.link.is_some_and(|link| link.0 == 1)));
    assert_eq!(out.transmits().len(), 4);
    desk.pass(ms(20_000));
    let out = desk.input(Input::Links(vec![link(2, [10, 0, 5, 1])]));
    assert!(notice(&out) && downs(&out).is_empty() && out.sent().is_empty());
    assert_eq!(desk.nicks(), ["Ann"]);
    let out = desk.input(Input::Links(vec![link(2, [10, 0, 5, 1])]));
    assert!(out.effects.is_empty(), "nothing changed");
}

#[test]
fn our_own_packets_are_counted_and_make_no_peer() {
    let mut desk = Desk::bare(|_| {});
    let out = desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let entry = out.transmits()[0].bytes.clone();
    desk.hear("10.0.0.1", &entry);
    // By our 12 digits, also when it comes back from an address that is not ours any more.
    desk.hear("10.0.0.200", &entry);
    // By our address and port, whatever it says.
    desk.hear("10.0.0.1", official(1, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.1", b"\xff\xff");
    assert_eq!(desk.counters().own, 4);
    assert!(desk.nicks().is_empty());
    // Another program on this host has another port.
    desk.hear("10.0.0.1:5000", official(1, 1, "ann@pc", "Ann"));
    assert_eq!(desk.nicks(), ["Ann"]);
}

#[test]
fn a_passive_node_hears_and_never_speaks() {
    let mut desk = Desk::bare(|config| config.passive = true);
    let mut all = desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])])).effects;
    all.extend(desk.hear("10.0.0.2", official(1, 1, "ann@pc", "Ann")).effects);
    let heard = desk.hear("10.0.0.2", message(2, "ann@pc", "hello"));
    assert_eq!(heard.messages()[0].text, "hello");
    assert_eq!(heard.saves().len(), 1, "it keeps what it hears");
    desk.keep(&heard);
    all.extend(heard.effects);
    all.extend(desk.hear("10.0.0.3", message(2, "bob@pc", "who")).effects);
    all.extend(desk.hear("10.0.0.3", plain(0x40, 3, "bob@pc", "")).effects);
    for request in [
        Request::RollCall,
        Request::Broadcast { text: "x".into() },
        Request::Send {
            to: vec![],
            text: "x".into(),
            check: true,
            timeout_ms: 1,
            wishes: Wishes::default(),
        },
    ] {
        let (reply, out) = desk.ask(request);
        assert_eq!(reply, Reply::Refused(Refusal::Passive));
        all.extend(out.effects);
    }
    all.extend(desk.ask(Request::Rename { nick: "x".into(), group: String::new() }).1.effects);
    all.extend(desk.pass(ms(60_000)).effects);
    all.extend(desk.input(Input::Leave).effects);
    assert!(Outcome { effects: all }.transmits().is_empty());
    assert_eq!(desk.nicks(), ["Ann", "bob"]);
}

#[test]
fn the_goodbye_goes_to_everybody() {
    let mut desk = Desk::with(|config| {
        config.networks = vec![
            Network::Addr(addr("10.9.255.255")),
            Network::Range(addr("10.8.0.1"), addr("10.8.0.3")),
        ];
    });
    desk.hear("10.8.0.2", official(3, 1, "far@pc", "Far"));
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", official(0x1_0003, 1, "dial@pc", "Dial"));
    let out = desk.input(Input::Leave);
    let mut told: Vec<String> = out.sent().iter().map(|(_, to, _)| to.ip().to_string()).collect();
    told.sort();
    assert_eq!(told, ["10.0.0.255", "10.0.0.3", "10.8.0.2", "10.9.255.255", "255.255.255.255"]);
    assert!(out.sent().iter().all(|(_, _, packet)| packet.command == Command::BR_EXIT));
    let after = desk.hear("10.0.0.2", official(1, 2, "ann@pc", "Ann"));
    assert!(after.effects.is_empty() && desk.node.next_deadline().is_none());
}

#[test]
fn a_range_is_scanned_slowly_once() {
    let mut desk = Desk::bare(|config| {
        config.networks = vec![Network::Range(addr("10.8.0.254"), addr("10.8.1.9"))];
    });
    let began = desk.now.tick;
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = desk.pass(ms(60_000));
    let scans: Vec<_> = out
        .sent()
        .into_iter()
        .filter(|(_, to, _)| to.ip().to_string().starts_with("10.8"))
        .collect();
    assert_eq!(scans.len(), 12);
    for (place, (at, to, packet)) in scans.iter().enumerate() {
        assert_eq!(packet.command, Command::BR_ENTRY);
        assert_eq!(*at - began, ms(50) * u32::try_from(place).unwrap());
        if place > 0 {
            assert!(scans[place - 1].1 < *to, "one address after the other");
        }
    }
    desk.ask(Request::RollCall);
    let again = desk.pass(ms(60_000));
    assert_eq!(
        again.sent().iter().filter(|(_, to, _)| to.ip().to_string().starts_with("10.8")).count(),
        12,
        "and once with each roll call"
    );
}

/// A host list as the official client writes it.
fn list(number: u64, next: u32, hosts: &[(&str, &str)]) -> Vec<u8> {
    let entry = |(name, ip): &(&str, &str)| {
        format!("{name}\x07pc-{name}\x0719136512\x07{ip}\x0730985\x07{name}\x07\x08\x07")
    };
    let entries: String = hosts.iter().map(entry).collect();
    let main = format!("{next:5}\x07{:5}\x07{entries}", hosts.len());
    plain(0x13, number, "seed@pc", &main)
}

#[test]
fn a_seed_gives_its_list_part_by_part_and_nobody_else_does() {
    let mut desk = Desk::bare(|config| config.seeds = vec![addr("10.7.0.1")]);
    let out = desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    assert_eq!(out.commands_to("10.7.0.1"), [Command::BR_ENTRY, Command::GETLIST]);
    let stranger = desk.hear("10.7.0.2", list(1, 0, &[("x", "10.7.0.50")]));
    assert!(stranger.sent().is_empty(), "an unasked list is ignored");
    let hosts = [("ann", "10.7.0.10"), ("own", "10.0.0.1"), ("all", "255.255.255.255")];
    let part = desk.hear("10.7.0.1", list(1, 3, &hosts));
    let asked = part.transmits().into_iter().find(|t| read(&t.bytes).command == Command::GETLIST);
    let asked = RawPacket::parse(&asked.unwrap().bytes).unwrap();
    assert_eq!(asked.main(), b"3");
    assert_eq!(part.commands_to("10.7.0.10"), [Command::BR_ENTRY]);
    assert_eq!(part.sent().len(), 2, "not to ourselves, not to everybody: {:?}", part.sent());
    assert!(desk.nicks().is_empty(), "on a list is not there");
    let last = desk.hear("10.7.0.1", list(2, 0, &[("bob", "10.7.0.11")]));
    assert_eq!(last.commands_to("10.7.0.11"), [Command::BR_ENTRY]);
    let extra = desk.hear("10.7.0.1", list(3, 0, &[("eve", "10.7.0.12")]));
    assert!(extra.sent().is_empty(), "it was finished");
    desk.hear("10.7.0.10", official(3, 5, "ann@pc-ann", "ann"));
    assert_eq!(desk.nicks(), ["ann"]);
    let bye = desk.input(Input::Leave);
    assert_eq!(bye.commands_to("10.7.0.10"), [Command::BR_EXIT]);
}

#[test]
fn a_host_that_a_list_calls_gone_is_not_asked() {
    let mut desk = Desk::bare(|config| config.seeds = vec![addr("10.7.0.1")]);
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let hosts =
        [("0", "10.7.0.10"), ("2", "10.7.0.11"), ("2097154", "10.7.0.12"), ("1", "10.7.0.13")];
    let entries = hosts
        .map(|(status, ip)| format!("u\x07pc\x07{status}\x07{ip}\x0730985\x07\x08\x07\x08\x07"));
    let part = desk.hear(
        "10.7.0.1",
        plain(0x13, 1, "seed@pc", &format!("    0\x07    4\x07{}", entries.concat())),
    );
    assert_eq!(part.commands_to("10.7.0.13"), [Command::BR_ENTRY]);
    assert_eq!(part.sent().len(), 1, "{:?}", part.sent());
}

#[test]
fn a_silent_seed_is_asked_twice() {
    let mut desk = Desk::bare(|config| config.seeds = vec![addr("10.7.0.1")]);
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
    let out = desk.pass(ms(60_000));
    assert_eq!(tries_to(&out, "10.7.0.1", Command::GETLIST), 1);
    desk.hear("10.7.0.1", plain(0x11, 4, "seed@pc", ""));
    assert!(desk.pass(ms(60_000)).sent().is_empty(), "too late");
}

#[test]
fn questions_about_ourselves_are_answered_within_the_caps() {
    let mut desk = Desk::new();
    let out = desk.hear("10.0.0.2", plain(0x40, 1, "ann@pc", ""));
    let info = RawPacket::parse(&out.transmits()[0].bytes).unwrap();
    assert_eq!((info.command(), info.main()), (Command::SENDINFO, &b"feige 0.1.0"[..]));
    let out = desk.hear("10.0.0.2", plain(0x50, 2, "ann@pc", ""));
    let absence = RawPacket::parse(&out.transmits()[0].bytes).unwrap();
    assert_eq!(absence.main(), b"Not Absence mode");
    assert_eq!(absence.command(), Command::SENDABSENCEINFO);
    // The official client sends them with an encrypted empty text.
    let sealed = desk.hear("10.0.0.3", plain(0x0040_0040, 3, "bob@pc", "41900004:aa:bb"));
    assert_eq!(sealed.sent().len(), 1);
    for automatic in [0x2040, 0x440] {
        assert!(desk.hear("10.0.0.4", plain(automatic, 3, "cat@pc", "")).sent().is_empty());
    }
    let answered: usize =
        (0..50).map(|n| desk.hear("10.0.0.2", plain(0x40, n, "ann@pc", "")).sent().len()).sum();
    assert_eq!(answered, 8, "ten a second for one address");
    let mut all = 0;
    for host in 0..=255u8 {
        all += desk.hear(&format!("10.0.1.{host}"), plain(0x40, 1, "x@y", "")).sent().len();
    }
    assert_eq!(all, 200 - 11, "two hundred a second for all");
    desk.pass(ms(1_000));
    assert_eq!(desk.hear("10.0.0.2", plain(0x40, 9, "ann@pc", "")).sent().len(), 1);
}

#[test]
fn what_a_small_datagram_causes_is_small() {
    let mut desk = Desk::with(|config| config.identity.host = "a-machine-with-a-long-name".into());
    let out = desk.hear("10.0.0.2", b"1:1:a:b:64");
    assert!(out.sent().is_empty(), "info would be more than three times the question");
    let out = desk.hear("10.0.0.2", b"1:1:a:b:32:x");
    assert!(out.sent().is_empty(), "and so would be an entry");
    assert_eq!(out.messages()[0].text, "x");
}

#[test]
fn malformed_datagrams_are_counted_and_nothing_more() {
    let mut desk = Desk::new();
    let noise = vec![0xff; 65_507];
    for bytes in [&b""[..], b"hello", b"2:1:a:b:1:", b"1:x:a:b:1:", b"1:1:a:b:-1:", &noise] {
        let out = desk.hear("10.0.0.2", bytes);
        assert!(out.effects.is_empty());
    }
    assert_eq!(desk.counters().malformed, 6);
    assert_eq!(desk.hear("10.0.0.2:0", official(1, 1, "a@b", "c")).effects.len(), 0);
    assert!(desk.pass(ms(10_000)).sent().is_empty());
    assert_eq!(desk.counters().dropped, 1, "nobody can be answered at port 0");
}

#[test]
fn what_is_unknown_or_a_question_for_a_server_gets_no_answer() {
    // Entry, message, read notice and its kin, questions about us, and what FeiQ asks.
    let answered = [0x01, 0x20, 0x30, 0x31, 0x40, 0x50, 0x72, 0x77, 0xc0, 0xd1, 0x02, 0x03, 0x04];
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.pass(ms(60_000));
    for command in (0..=0xff).filter(|command| !answered.contains(command)) {
        for options in [0, 0x100, 0x10_0000, 0x7fff_df00] {
            let word = command | options;
            let out = desk.hear("10.0.0.2", plain(word, u64::from(word) + 2, "ann@pc", "0:0:x"));
            assert!(out.sent().is_empty(), "{word:#x}");
        }
    }
    assert!(desk.pass(ms(60_000)).sent().is_empty());
    assert_eq!(desk.nicks(), ["Ann"]);
}

#[test]
fn nothing_is_sent_to_a_group_that_a_datagram_claims_to_be_from() {
    let mut desk = Desk::new();
    for from in ["10.0.0.255", "255.255.255.255", "224.0.0.1", "0.0.0.0", "[ff02::1]:2425"] {
        let out = desk.hear(from, official(1, 1, "ann@pc", "Ann"));
        assert!(out.effects.is_empty(), "{from}");
    }
    assert!(desk.pass(ms(10_000)).sent().is_empty());
    assert_eq!(desk.counters().dropped, 5);
}

#[test]
fn forged_entries_do_not_fill_the_queue_of_answers() {
    let mut desk = Desk::with(|config| config.policy.peers_max = 50);
    for n in 0..2_000u64 {
        desk.hear("10.0.0.2", official(1, n, &format!("u{n}@pc"), "x"));
    }
    assert_eq!(desk.pass(ms(10_000)).sent().len(), 50);
}

#[test]
fn another_node_recognises_us_whatever_we_send() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(1, 1, "ann@pc", "Ann"));
    let out = desk.pass(ms(2_000));
    for transmit in out.transmits() {
        let raw = RawPacket::parse(&transmit.bytes).unwrap();
        assert!(String::from_utf8_lossy(raw.version).contains(MAC));
        assert_eq!(Packet::read(&raw, &Hint::default()).dialect, &FEIGE);
    }
}

#[test]
fn who_could_not_be_asked_for_want_of_room_is_asked_the_next_time() {
    let mut desk = Desk::with(|config| {
        config.policy.unicasts_per_second = 10;
        config.policy.unicasts_waiting_max = 2;
    });
    for n in 2..8 {
        desk.hear(&format!("10.0.0.{n}"), iptux(0x103, 1, &format!("p{n}@pc"), &format!("P{n}")));
    }
    for _ in 0..3 {
        desk.pass(ms(60_000));
        desk.ask(Request::RollCall);
    }
    desk.pass(ms(60_000));
    assert!(desk.nicks().is_empty(), "{:?}", desk.nicks());
}

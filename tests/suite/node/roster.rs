//! Who is who: identity above the address.

use feige::node::{DownReason, Event, Input, Record, Reply, Request};
use feige::wire::{Charset, Sure};

use super::desk::{
    Desk, Outcome, addr, feiq, iptux, link, message, ms, official, peer_id, plain, receipt,
};

/// What faces are told of peers: `up Ann`, `changed Ann`, `down Ann Exit`.
fn told(outcome: &Outcome) -> Vec<String> {
    let tell = |event: &&Event| match event {
        Event::PeerUp { peer } => Some(format!("up {}", peer.nick)),
        Event::PeerChanged { peer } => Some(format!("changed {}", peer.nick)),
        Event::PeerDown { peer, reason } => Some(format!("down {} {reason:?}", peer.nick)),
        _ => None,
    };
    outcome.events().iter().filter_map(tell).collect()
}

fn ids(desk: &mut Desk) -> Vec<String> {
    let mut ids: Vec<String> = desk.peers().into_iter().map(|peer| peer.id.0.to_string()).collect();
    ids.sort();
    ids
}

#[test]
fn a_peer_is_told_once_and_again_only_when_it_changes() {
    let mut desk = Desk::new();
    assert_eq!(told(&desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"))), ["up Ann"]);
    assert!(told(&desk.hear("10.0.0.2", official(3, 2, "ann@pc", "Ann"))).is_empty());
    assert!(told(&desk.hear("10.0.0.2", official(1, 3, "ann@pc", "Ann"))).is_empty());
    let away = official(4 | 0x100, 4, "ann@pc", "Ann[out]");
    assert_eq!(told(&desk.hear("10.0.0.2", away)), ["changed Ann[out]"]);
    assert!(desk.peer("Ann[out]").absent);
    let peer = desk.peers().remove(0);
    assert_eq!((peer.user.as_str(), peer.host.as_str()), ("ann", "pc"));
    assert_eq!(
        (peer.dialect.as_str(), peer.version.as_deref()),
        ("ipmsg", Some("00010002:4:99:103"))
    );
    assert_eq!(peer.id, peer_id("ann@pc"));
}

#[test]
fn an_address_that_was_given_up_is_told_with_the_next_news_and_not_again() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", official(3, 2, "ann@pc", "Ann"));
    assert!(told(&desk.hear("10.0.0.2", official(2, 3, "ann@pc", "Ann"))).is_empty());
    assert_eq!(told(&desk.hear("10.0.0.4", official(1, 4, "ann@pc", "Ann"))), ["changed Ann"]);
    assert_eq!(desk.peer("Ann").addrs, [addr("10.0.0.4"), addr("10.0.0.3")]);
    assert!(told(&desk.hear("10.0.0.4", official(1, 4, "ann@pc", "Ann"))).is_empty());
    // Without other news it is told at the next sign of life.
    desk.hear("10.0.0.3", official(2, 5, "ann@pc", "Ann"));
    assert_eq!(told(&desk.hear("10.0.0.4", official(1, 6, "ann@pc", "Ann"))), ["changed Ann"]);
}

#[test]
fn names_are_compared_without_regard_to_case() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "Ann@PC", "Ann"));
    desk.hear("10.0.0.2", official(3, 2, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", official(3, 3, "ANN@pc", "Ann"));
    assert_eq!(ids(&mut desk), ["ann@pc"]);
    assert_eq!(desk.peer("Ann").addrs, [addr("10.0.0.3"), addr("10.0.0.2")]);
}

#[test]
fn separators_in_names_cannot_forge_an_identity() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", plain(3, 1, "a@b", "one"));
    desk.hear("10.0.0.3", b"1:1:a@b:c:3:two\0");
    desk.hear("10.0.0.4", b"1:1:a:b@c:3:three\0");
    desk.hear("10.0.0.5", feiq(3, 1, "a@b", "00AABBCCDDEE", "four"));
    desk.hear("10.0.0.6", b"1:1:a:b#00AABBCCDDEE:3:five\0");
    assert_eq!(desk.peers().len(), 5);
    assert_eq!(
        ids(&mut desk),
        ["a%40b@c", "a@b", "a@b#00AABBCCDDEE", "a@b%2300aabbccddee", "a@b%40c"]
    );
}

#[test]
fn the_same_person_at_two_addresses_is_one_peer() {
    let mut desk = Desk::new();
    desk.input(Input::Links(vec![link(1, [10, 0, 0, 1]), link(2, [10, 0, 5, 1])]));
    assert_eq!(told(&desk.hear_on(1, "10.0.0.2", official(1, 7, "ann@pc", "Ann"))), ["up Ann"]);
    let second = desk.hear_on(2, "10.0.5.2", official(1, 7, "ann@pc", "Ann"));
    assert_eq!(told(&second), ["changed Ann"]);
    let peer = desk.peer("Ann");
    assert_eq!(peer.addrs, [addr("10.0.5.2"), addr("10.0.0.2")]);
    assert_eq!((peer.addr, peer.port), (addr("10.0.5.2").ip(), 2425));
    assert!(told(&desk.hear_on(1, "10.0.0.2", official(3, 8, "ann@pc", "Ann"))).is_empty());
    assert_eq!(desk.peer("Ann").addrs, [addr("10.0.0.2"), addr("10.0.5.2")]);
}

#[test]
fn a_new_address_is_followed_and_the_old_one_goes_when_silent() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.pass(ms(60_000));
    desk.hear("10.0.0.3", official(1, 2, "ann@pc", "Ann"));
    let (_, out) = desk.send("Ann", "hi");
    assert_eq!(out.transmits()[0].to, addr("10.0.0.3"), "the new one is sent to");
    let out = desk.pass(ms(10_000));
    assert_eq!(told(&out), ["changed Ann"], "no peer_down: she is at the other one");
    assert_eq!(desk.peer("Ann").addrs, [addr("10.0.0.3")]);
}

#[test]
fn an_old_address_that_answers_stays() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.pass(ms(60_000));
    let out = desk.hear("10.0.0.3", official(3, 2, "ann@pc", "Ann"));
    assert_eq!(out.commands_to("10.0.0.2").len(), 1);
    desk.pass(ms(400));
    desk.hear("10.0.0.2", official(3, 3, "ann@pc", "Ann"));
    desk.pass(ms(60_000));
    assert_eq!(desk.peer("Ann").addrs.len(), 2);
}

#[test]
fn somebody_else_at_an_old_address_takes_it() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.hear("10.0.0.3", official(3, 2, "ann@pc", "Ann"));
    let out = desk.hear("10.0.0.2", official(1, 1, "bob@laptop", "Bob"));
    assert_eq!(told(&out), ["changed Ann", "up Bob"]);
    assert_eq!(desk.peer("Ann").addrs, [addr("10.0.0.3")]);
    let out = desk.hear("10.0.0.3", official(1, 1, "cat@mac", "Cat"));
    assert_eq!(told(&out), ["down Ann Replaced", "up Cat"]);
}

#[test]
fn two_people_with_one_nickname_stay_two() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc1", "小王"));
    desk.hear("10.0.0.3", official(3, 1, "bob@pc2", "小王"));
    assert_eq!(desk.nicks(), ["小王", "小王"]);
}

#[test]
fn cloned_machines_stay_two_by_nickname_or_by_mac() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", plain(3, 1, "admin@pc", "Ann"));
    desk.hear("10.0.0.3", plain(3, 1, "admin@pc", "Bob"));
    desk.hear("10.0.0.4", feiq(3, 1, "admin@pc", "00AABBCCDD01", "Cat"));
    desk.hear("10.0.0.5", feiq(3, 1, "admin@pc", "00aabbccdd02", "Dan"));
    assert_eq!(
        ids(&mut desk),
        ["admin@pc", "admin@pc!10.0.0.3", "admin@pc#00AABBCCDD01", "admin@pc#00AABBCCDD02"]
    );
    // Each goes on being itself.
    desk.hear("10.0.0.3", plain(3, 2, "admin@pc", "Bob"));
    desk.hear("10.0.0.2", plain(3, 2, "admin@pc", "Ann"));
    assert_eq!(desk.peers().len(), 4);
    assert_eq!(desk.peer("Bob").addrs, [addr("10.0.0.3")]);
    // And a clone that moves is found by its nickname.
    desk.hear("10.0.0.9", plain(3, 3, "admin@pc", "Bob"));
    assert_eq!(desk.peer("Bob").id, peer_id("admin@pc!10.0.0.3"));
    assert_eq!(desk.peer("Bob").addr, addr("10.0.0.9").ip());
}

#[test]
fn a_person_who_renames_at_a_known_address_stays_one() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", plain(3, 1, "ann@pc", "Ann"));
    assert_eq!(told(&desk.hear("10.0.0.2", plain(4, 2, "ann@pc", "Anna"))), ["changed Anna"]);
    assert_eq!(desk.nicks(), ["Anna"]);
}

#[test]
fn another_client_on_the_same_machine_replaces_the_first() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", feiq(3, 1, "ann@pc", "00AABBCCDDEE", "Ann"));
    let out = desk.hear("10.0.0.2", official(1, 1, "ann@pc", "Ann"));
    assert_eq!(told(&out), ["down Ann Replaced", "up Ann"]);
    assert_eq!(ids(&mut desk), ["ann@pc"]);
}

#[test]
fn damaged_names_in_a_message_are_matched_by_address() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "王五@机器pc", "老王"));
    for user in ["??", "\u{fffd}\u{fffd}\u{fffd}", "Íõ"] {
        let who = format!("{user}@??PC");
        let out = desk.hear("10.0.0.2", message(100 + user.len() as u64, &who, "hi"));
        assert_eq!(out.messages()[0].peer.as_ref().unwrap().nick, "老王", "{user}");
    }
    let other = desk.hear("10.0.0.2", message(9, "bob@laptop", "hi"));
    assert_eq!(other.messages()[0].peer.as_ref().unwrap().nick, "bob");
    assert_eq!(told(&other), ["down 老王 Replaced", "up bob"]);
}

#[test]
fn a_stranger_who_writes_becomes_a_peer_and_is_asked_who_it_is() {
    let mut desk = Desk::new();
    let text = "a message of some length, so that an entry may follow from it";
    let out = desk.hear("10.0.0.2", message(1, "ann@pc", text));
    assert_eq!(told(&out), ["up ann"]);
    let commands: Vec<_> = out.commands_to("10.0.0.2").iter().map(ToString::to_string).collect();
    assert_eq!(commands, ["RECVMSG", "BR_ENTRY"]);
    let again = desk.hear("10.0.0.2", message(2, "ann@pc", text));
    assert_eq!(again.commands_to("10.0.0.2").len(), 1, "asked once in five seconds");
    let out = desk.hear("10.0.0.2", official(3, 3, "ann@pc", "Ann"));
    assert_eq!(told(&out), ["changed Ann"]);
    let out = desk.hear("10.0.0.2", message(4, "ann@pc", text));
    assert_eq!(out.commands_to("10.0.0.2").len(), 1, "no stranger any more");
    for word in [0x8_0120u32, 0x520, 0x2120] {
        let out = desk.hear("10.0.0.3", plain(word, u64::from(word), "bob@pc", text));
        assert!(!out.commands_to("10.0.0.3").iter().any(|c| c.to_string() == "BR_ENTRY"));
    }
}

#[test]
fn a_message_from_a_new_address_of_a_known_person_is_theirs() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let out =
        desk.hear("10.0.0.3", message(5, "ann@pc", "I moved, and tell it at some length here"));
    assert_eq!(out.messages()[0].peer.as_ref().unwrap().id, peer_id("ann@pc"));
    // It turns out to be a clone: the place is split off.
    desk.hear("10.0.0.3", official(3, 6, "ann@pc", "Not Ann"));
    assert_eq!(desk.nicks(), ["Ann", "Not Ann"]);
    assert_eq!(desk.peer("Ann").addrs, [addr("10.0.0.2")]);
}

#[test]
fn the_longest_silent_peer_makes_room_unless_we_wrote_to_it() {
    let mut desk = Desk::with(|config| config.policy.peers_max = 3);
    for (host, nick) in ["a", "b", "c"].into_iter().enumerate() {
        desk.hear(&format!("10.0.0.{}", host + 10), official(3, 1, &format!("{nick}@pc"), nick));
        desk.pass(ms(10));
    }
    desk.send("a", "hi");
    let out = desk.hear("10.0.0.50", official(3, 1, "d@pc", "d"));
    assert_eq!(told(&out), ["down b Forgotten", "up d"]);
    desk.pass(ms(10));
    desk.hear("10.0.0.12", official(3, 2, "c@pc", "c"));
    let out = desk.hear("10.0.0.51", official(3, 1, "e@pc", "e"));
    assert_eq!(told(&out), ["down d Forgotten", "up e"]);
    assert_eq!(desk.nicks(), ["a", "c", "e"]);
}

#[test]
fn a_flood_of_forged_strangers_leaves_the_roster_bounded() {
    let mut desk = Desk::with(|config| config.policy.peers_max = 64);
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.send("Ann", "hi");
    for n in 0..5_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        desk.hear(&format!("11.{a}.{b}.{c}"), message(1, &format!("u{n}@h"), "x"));
    }
    assert_eq!(desk.peers().len(), 64);
    assert!(desk.nicks().contains(&"Ann".to_owned()));
}

#[test]
fn a_peer_heard_on_both_families_is_written_to_by_ipv4() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let six = desk.hear("[fe80::2%1]:2425", official(3, 1, "ann@pc", "Ann"));
    assert!(told(&six).is_empty(), "nothing that a face shows");
    assert_eq!(desk.peer("Ann").addrs, [addr("10.0.0.2"), addr("[fe80::2%1]:2425")]);
    for host in 2..=30 {
        desk.hear(&format!("[fe80::{host}%1]:2425"), official(3, 1, "ann@pc", "Ann"));
    }
    let addrs = desk.peer("Ann").addrs;
    assert_eq!((addrs.len(), addrs[0]), (8, addr("10.0.0.2")));
    // What was left out is nobody's address.
    let out = desk.hear("[fe80::4%1]:2425", official(1, 1, "bob@pc", "Bob"));
    assert_eq!(told(&out), ["up Bob"]);
}

#[test]
fn an_ipv4_address_beside_the_ipv6_one_a_peer_came_with_is_no_move() {
    let mut desk = Desk::new();
    let six = "[fe80::2%1]:2425";
    assert_eq!(told(&desk.hear(six, official(1, 1, "ann@pc", "Ann"))), ["up Ann"]);
    desk.pass(ms(40));
    let four = desk.hear("10.0.0.2", official(1, 1, "ann@pc", "Ann"));
    assert!(told(&four).is_empty());
    assert_eq!(desk.peer("Ann").addrs, [addr("10.0.0.2"), addr(six)], "it is preferred");
    // The store hears of it all the same.
    let written = desk.pass(ms(60_000));
    let known = written.saves().into_iter().find_map(|(_, record)| match record {
        Record::Roster(roster) => roster.seen.iter().find(|seen| seen.peer.nick == "Ann").cloned(),
        _ => None,
    });
    assert_eq!(known.expect("it is written down").peer.addr, addr("10.0.0.2").ip());
    // One that comes long after is news, and so is a change of names at once.
    desk.hear(six.replace("::2", "::3").as_str(), official(1, 1, "bob@pc", "Bob"));
    desk.pass(ms(2_000));
    assert_eq!(told(&desk.hear("10.0.0.3", official(1, 1, "bob@pc", "Bob"))), ["changed Bob"]);
    desk.hear(six.replace("::2", "::4").as_str(), official(1, 1, "cat@pc", "Cat"));
    let away = official(1 | 0x100, 1, "cat@pc", "Cat");
    assert_eq!(told(&desk.hear("10.0.0.4", away)), ["changed Cat"]);
}

#[test]
fn a_peer_has_a_bounded_number_of_addresses() {
    let mut desk = Desk::new();
    for host in 1..=20 {
        desk.hear(&format!("10.0.1.{host}"), official(3, 1, "ann@pc", "Ann"));
        desk.pass(ms(10));
    }
    assert_eq!(desk.peer("Ann").addrs.len(), 8);
    assert_eq!(desk.peers().len(), 1);
}

#[test]
fn the_broadcasts_of_one_of_us_say_nothing_of_its_charset() {
    let mut desk = Desk::new();
    let head = |command: u32, number: u32| {
        format!("1_lbt6_0#128#02000000000A#0#0#0#4001#9:{number}:li:h2:{command}:")
    };
    desk.hear("10.0.0.8", head(0x0120_0001, 5) + "李\0\0\nNN:李\nVS:00F10001:0:1:0");
    let before = desk.peer("李").charset;
    let mut broadcast = head(0x420, 6).into_bytes();
    broadcast.extend(Charset::GB18030.encode("服务器 重启", |_| String::new()));
    let out = desk.hear("10.0.0.8", broadcast);
    assert_eq!(out.messages()[0].text, "服务器 重启");
    assert_eq!(desk.peer("李").charset, before);
}

#[test]
fn the_charset_of_names_and_of_texts_is_learnt() {
    let mut desk = Desk::new();
    let gbk = |text: &str| Charset::GBK.encode(text, |_| String::new());
    let mut entry = b"1:1:u:h:3:".to_vec();
    entry.extend(gbk("研发部王小二"));
    desk.hear("10.0.0.2", entry);
    let peer = desk.peer("研发部王小二");
    assert_eq!(peer.charset, Some(Charset::GBK));
    let mut text = b"1:2:u:h:32:".to_vec();
    text.extend(gbk("谢谢"));
    let out = desk.hear("10.0.0.2", text);
    assert_eq!(out.messages()[0].text, "谢谢");
    desk.hear("10.0.0.3", feiq(3, 1, "v@h", "00AABBCCDDEE", "x"));
    let mut text = b"1_lbt6_0#128#00AABBCCDDEE#0#0#0#4001#9:2:v:h:32:".to_vec();
    text.extend(gbk("目录"));
    let out = desk.hear("10.0.0.3", text);
    assert_eq!(
        (out.messages()[0].text.as_str(), out.messages()[0].charset_sure),
        ("目录", Sure::Dialect)
    );
    assert_eq!(desk.peer("x").charset, Some(Charset::GBK));
}

#[test]
fn peers_are_listed_by_group_then_nickname() {
    let mut desk = Desk::new();
    for (n, (nick, group)) in [("b", "2"), ("a", "2"), ("z", "1")].into_iter().enumerate() {
        let packet = format!("1:1:u{n}:h:3:{nick}\0{group}\0");
        desk.hear(&format!("10.0.0.{}", n + 2), packet);
    }
    let (Reply::Peers { peers }, _) = desk.ask(Request::Peers) else { panic!() };
    let listed: Vec<_> = peers.iter().map(|p| format!("{}/{}", p.group, p.nick)).collect();
    assert_eq!(listed, ["1/z", "2/a", "2/b"]);
}

#[test]
fn a_peer_without_a_nickname_is_called_by_its_log_on_name() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", plain(3, 1, "ann-<0123456789abcdef>@pc", ""));
    assert_eq!(desk.nicks(), ["ann"]);
    assert_eq!(desk.peers()[0].user, "ann");
}

#[test]
fn iptux_shows_its_version() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", iptux(0x103, 1, "cat@pc", "Cat"));
    assert_eq!(desk.peer("Cat").version.as_deref(), Some("iptux 0.8.3"));
    assert_eq!(desk.peer("Cat").dialect, "iptux");
}

#[test]
fn an_unanswered_message_raises_the_question_whether_its_recipient_is_there() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    let (_, out) = desk.send("Ann", "are you there?");
    desk.keep(&out);
    let out = desk.pass(ms(31_000));
    assert!(told(&out).is_empty());
    let out = desk.pass(ms(5_000));
    assert_eq!(told(&out), ["down Ann Silent"]);
    let reason = out.events().into_iter().find_map(|event| match event {
        Event::PeerDown { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, Some(DownReason::Silent));
}

#[test]
fn a_receipt_shows_that_its_sender_is_there() {
    let mut desk = Desk::new();
    desk.hear("10.0.0.2", official(3, 1, "ann@pc", "Ann"));
    desk.pass(ms(60_000));
    desk.ask(Request::RollCall);
    let (number, out) = desk.send("Ann", "hi");
    desk.keep(&out);
    desk.hear("10.0.0.2", receipt(number, "ann@pc"));
    desk.pass(ms(60_000));
    assert_eq!(desk.nicks(), ["Ann"]);
}

//! Whole subnets in memory: many nodes and scripted peers, loss, repeats, reordering.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use feige::node::{Direction, DownReason, Event, PacketNo, Reply, Request, Target, Tick, Wishes};
use feige::sim::{HostId, Lan, Weather};
use feige::wire::command::message;
use feige::wire::{Command, RawPacket};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A subnet of `nodes` nodes, all started within a second, on a wire that loses so many percent.
fn subnet(seed: u64, nodes: usize, loss: u32) -> (Lan, Vec<HostId>) {
    let mut lan = Lan::new(seed);
    lan.weather = Weather {
        loss,
        repeats: 5,
        delay_min: Duration::from_micros(200),
        delay_max: Duration::from_millis(20),
    };
    let mut hosts = Vec::new();
    for number in 0..nodes {
        hosts.push(lan.host(&format!("n{number}")));
        lan.run_for(secs(1) / u32::try_from(nodes).unwrap());
    }
    lan.run_for(secs(20));
    (lan, hosts)
}

/// Texts a node was shown, and how often each.
fn shown(lan: &Lan, at: HostId) -> BTreeMap<String, usize> {
    let mut texts = BTreeMap::new();
    for (_, event) in lan.events(at) {
        match event {
            Event::Message(message) if message.direction == Direction::In => {
                *texts.entry(message.text.clone()).or_default() += 1;
            }
            _ => {}
        }
    }
    texts
}

/// How messages of a node ended: confirmed, and not.
fn ended(lan: &Lan, at: HostId) -> (usize, usize) {
    let count = |of: fn(&Event) -> bool| lan.events(at).iter().filter(|(_, e)| of(e)).count();
    (
        count(|event| matches!(event, Event::Receipt { .. })),
        count(|event| matches!(event, Event::Failed { .. })),
    )
}

/// Everybody writes to the next two of those it knows; what came of it, when all is quiet.
fn exchange(lan: &mut Lan, hosts: &[HostId], timeout: Duration) -> usize {
    let mut sent = 0;
    for (number, &host) in hosts.iter().enumerate() {
        for step in 1..=2 {
            let to = format!("n{}", (number + step) % hosts.len());
            let reply = lan.send(host, &[&to], &format!("{number} to {to}"), timeout);
            sent += usize::from(matches!(reply, Reply::Sent { .. }));
        }
    }
    let until = lan.now() + timeout + secs(60);
    assert!(lan.run_to_quiet(until), "an idle LAN is silent");
    sent
}

#[test]
fn two_nodes_find_each_other_and_confirm_a_message() {
    let mut lan = Lan::new(1);
    let (alice, bob) = (lan.host("alice"), lan.host("bob"));
    lan.run_for(secs(5));
    let reply = lan.send(alice, &["bob"], "你好 🙂", secs(30));
    let Reply::Sent { number, .. } = reply else { panic!("{reply:?}") };
    assert!(lan.run_to_quiet(lan.now() + secs(60)));
    let confirmed = lan.events(alice).iter().any(
        |(_, event)| matches!(event, Event::Receipt { number: of, tries: 1, .. } if *of == number),
    );
    assert!(confirmed, "{:?}", lan.events(alice));
    assert_eq!(shown(&lan, bob), BTreeMap::from([("你好 🙂".to_owned(), 1)]));
}

#[test]
fn names_beyond_the_office_charset_read_right_between_nodes() {
    let mut lan = Lan::new(2);
    let (alice, bob) = (lan.host("爱丽丝🚀"), lan.host("Ångström"));
    lan.run_for(secs(10));
    assert_eq!(lan.peers(bob)[0].nick, "爱丽丝🚀");
    assert_eq!(lan.peers(alice)[0].nick, "Ångström");
    assert_eq!(lan.peers(alice)[0].dialect, "feige");
}

/// The table of the house: a change in behaviour is seen here first. Counts are those of one seed;
/// the last column is the time from the sending to the last receipt.
#[test]
fn what_a_subnet_does_at_each_size_and_loss() {
    let mut table =
        String::from("nodes loss | known sent confirmed shown | datagrams virtual ms\n");
    for (nodes, loss) in [(2, 0), (2, 30), (10, 0), (10, 10), (30, 0), (30, 20), (100, 0)] {
        let (mut lan, hosts) = subnet(9, nodes, loss);
        let known: usize = hosts.iter().map(|&host| lan.peers(host).len()).sum();
        let began = lan.now();
        let sent = exchange(&mut lan, &hosts, secs(60));
        let confirmed: usize = hosts.iter().map(|&host| ended(&lan, host).0).sum();
        let texts: usize = hosts.iter().map(|&host| shown(&lan, host).len()).sum();
        let receipts = hosts.iter().flat_map(|&host| lan.events(host));
        let last = receipts.filter(|(_, e)| matches!(e, Event::Receipt { .. })).map(|(at, _)| *at);
        let ms = last.max().map_or(0, |last| (last - began).as_millis());
        let datagrams = lan.traffic().sent;
        let _ = writeln!(
            table,
            "{nodes:5} {loss:4} | {known:5} {sent:4} {confirmed:9} {texts:5} | {datagrams:9} {ms:10}"
        );
    }
    insta::assert_snapshot!(table, @r"
    nodes loss | known sent confirmed shown | datagrams virtual ms
        2    0 |     2    2         2     2 |        26         15
        2   30 |     2    2         2     2 |        25         28
       10    0 |    90   20        20    20 |       319         34
       10   10 |    90   20        20    20 |       329        589
       30    0 |   870   60        60    60 |      2260         37
       30   20 |   869   60        60    60 |      2298       5877
      100    0 |  9900  200       200   200 |     21964         39
    ");
}

#[test]
fn a_hundred_nodes_on_a_bad_wire_confirm_and_show_everything_once() {
    let (mut lan, hosts) = subnet(3, 100, 30);
    let sent = exchange(&mut lan, &hosts, secs(120));
    assert!(sent > 190, "{sent}: almost everybody knows his neighbours");
    let mut confirmed = 0;
    for &host in &hosts {
        let (receipts, failures) = ended(&lan, host);
        assert_eq!(failures, 0);
        confirmed += receipts;
        assert!(shown(&lan, host).values().all(|&times| times == 1));
    }
    assert_eq!(confirmed, sent);
    let texts: usize = hosts.iter().map(|&host| shown(&lan, host).len()).sum();
    assert_eq!(texts, sent);
}

#[test]
fn on_half_a_wire_there_is_no_third_outcome() {
    let (mut lan, hosts) = subnet(4, 100, 50);
    let sent = exchange(&mut lan, &hosts, secs(5));
    let (mut confirmed, mut failed) = (0, 0);
    for &host in &hosts {
        let (receipts, failures) = ended(&lan, host);
        (confirmed, failed) = (confirmed + receipts, failed + failures);
        assert!(shown(&lan, host).values().all(|&times| times == 1));
    }
    assert_eq!(confirmed + failed, sent);
    assert!(confirmed > 0 && failed > 0, "{confirmed} {failed}");
}

/// Keeps a message for an hour.
fn later() -> Wishes {
    Wishes { later: true, expire_ms: Some(3_600_000), ..Wishes::default() }
}

#[test]
fn one_message_to_a_thousand_is_confirmed_by_each_and_does_not_burst() {
    const ALL: usize = 1_000;
    let mut lan = Lan::new(14);
    lan.weather.loss = 10;
    let alice = lan.host("alice");
    // When the first datagram came to each, and the numbers seen.
    let first = Rc::new(RefCell::new(BTreeMap::<usize, (Tick, PacketNo)>::new()));
    let mut team = Vec::new();
    for who in 0..ALL {
        let first = Rc::clone(&first);
        team.push(lan.script(
            0,
            Box::new(move |heard| match RawPacket::parse(heard.bytes) {
                Ok(raw) if raw.command() == Command::SENDMSG => {
                    assert!(raw.options().contains(message::MULTICAST));
                    first.borrow_mut().entry(who).or_insert((heard.at, raw.number));
                    let receipt = format!("1:7:m{who}:pc{who}:33:{}\0", raw.number);
                    vec![(heard.from, receipt.into_bytes())]
                }
                _ => Vec::new(),
            }),
        ));
    }
    let to = lan.addr(alice);
    for (who, &at) in team.iter().enumerate() {
        // Told four times, because one may be lost.
        for number in 1..=4 {
            lan.say(at, to, format!("1:{number}:m{who}:pc{who}:3:m{who}\0team\0").as_bytes());
        }
    }
    lan.run_for(secs(1));
    let peers = lan.peers(alice);
    assert_eq!(peers.len(), ALL);
    let to = peers.into_iter().map(|peer| Target::Peer(peer.id)).collect();
    let began = lan.now();
    let (text, wishes) = ("everybody".to_owned(), Wishes::default());
    let send = Request::Send { to, text, check: true, timeout_ms: 30_000, wishes };
    let Reply::Sent { number, to, .. } = lan.ask(alice, send) else { panic!() };
    assert_eq!(to.len(), ALL);
    lan.run_for(secs(35));
    assert_eq!(ended(&lan, alice), (ALL, 0));
    let first = first.borrow();
    assert!(first.values().all(|(_, of)| *of == number), "one number for all");
    for window in 1..19_u64 {
        let at = |tick: Tick| (tick - began).as_millis() / 100 == u128::from(window);
        let launched = first.values().filter(|(tick, _)| at(*tick)).count();
        assert!(launched <= 60, "{launched} first datagrams within 100 ms");
    }
}

#[test]
fn what_is_kept_arrives_once_over_absence_loss_and_restarts() {
    let mut lan = Lan::new(15);
    lan.weather = Weather { loss: 30, repeats: 10, ..Weather::default() };
    let (alice, bob) = (lan.host("alice"), lan.host("bob"));
    lan.run_for(secs(30));
    lan.plug(bob, 0, false);
    let mut sent = Vec::new();
    for n in 0..20 {
        let reply = lan.send_as(alice, &["bob"], &n.to_string(), secs(5), later());
        let Reply::Sent { number, .. } = reply else { panic!("{reply:?}") };
        sent.push(number);
    }
    lan.run_for(secs(3));
    lan.restart(alice);
    lan.run_for(secs(300));
    lan.restart(alice);
    lan.run_for(secs(30));
    assert_eq!(ended(&lan, alice), (0, 0), "they wait");
    lan.plug(bob, 0, true);
    lan.run_for(secs(60));
    let mut delivered: Vec<PacketNo> = Vec::new();
    for (_, event) in lan.events(alice) {
        if let Event::Delivered { number, .. } = event {
            delivered.push(*number);
        }
    }
    delivered.sort_unstable();
    assert_eq!(delivered, sent, "each once, under its number");
    let texts = shown(&lan, bob);
    assert_eq!(texts.len(), 20);
    for (text, times) in texts {
        assert!(times == 1 && text.contains("[written 2027-01-15"), "{text}");
    }
}

#[test]
fn a_peer_on_two_links_appears_once() {
    let mut lan = Lan::new(5);
    let alice = lan.host_with(&[0, 1], |config| config.identity.nick = "alice".into());
    let bob = lan.host_with(&[0, 1], |config| config.identity.nick = "bob".into());
    let carol = lan.host_with(&[1], |config| config.identity.nick = "carol".into());
    lan.run_for(secs(30));
    for (host, others) in [(alice, ["bob", "carol"]), (bob, ["alice", "carol"])] {
        let peers = lan.peers(host);
        let nicks: Vec<&str> = peers.iter().map(|peer| peer.nick.as_str()).collect();
        assert_eq!(nicks, others);
        assert_eq!(peers[0].addrs.len(), 2, "{:?}", peers[0]);
        let ups = lan.events(host).iter().filter(|(_, e)| matches!(e, Event::PeerUp { .. }));
        assert_eq!(ups.count(), 2);
    }
    // One of its links fails: messages find the other one.
    lan.plug(bob, 1, false);
    let reply = lan.send(alice, &["bob"], "still there?", secs(30));
    assert!(matches!(reply, Reply::Sent { .. }));
    lan.run_for(secs(10));
    assert_eq!(ended(&lan, alice), (1, 0));
    assert!(lan.run_to_quiet(lan.now() + secs(120)));
    let nicks: Vec<String> = lan.peers(carol).into_iter().map(|peer| peer.nick).collect();
    assert_eq!(nicks, ["alice", "bob"], "nobody left");
}

#[test]
fn an_address_change_is_followed_within_ten_seconds() {
    let mut lan = Lan::new(6);
    let (alice, bob) = (lan.host("alice"), lan.host("bob"));
    lan.run_for(secs(60));
    let before = lan.addr(bob);
    lan.readdress(bob, 0, [10, 0, 9, 9].into());
    lan.run_for(secs(10));
    let peers = lan.peers(alice);
    assert_eq!((peers.len(), peers[0].addrs.as_slice()), (1, &[lan.addr(bob)][..]));
    assert_ne!(peers[0].addrs[0], before);
    let downs = |(_, event): &&(_, Event)| matches!(event, Event::PeerDown { .. });
    assert_eq!(lan.events(alice).iter().filter(downs).count(), 0);
    lan.send(alice, &["bob"], "found you", secs(30));
    lan.run_for(secs(1));
    assert_eq!(ended(&lan, alice), (1, 0));
}

#[test]
fn a_goodbye_is_seen_and_a_silent_end_is_found_by_a_roll_call() {
    let mut lan = Lan::new(7);
    let (alice, bob, carol) = (lan.host("alice"), lan.host("bob"), lan.host("carol"));
    lan.run_for(secs(30));
    lan.leave(bob);
    lan.run_for(secs(1));
    lan.stop(carol);
    let downs = |lan: &Lan| -> Vec<(String, DownReason)> {
        let down = |(_, event): &(_, Event)| match event {
            Event::PeerDown { peer, reason } => Some((peer.nick.clone(), *reason)),
            _ => None,
        };
        lan.events(alice).iter().filter_map(down).collect()
    };
    assert_eq!(downs(&lan), [("bob".into(), DownReason::Exit)]);
    lan.ask(alice, Request::RollCall);
    lan.run_for(secs(10));
    assert_eq!(downs(&lan)[1..], [("carol".into(), DownReason::Silent)]);
}

#[test]
fn a_message_sent_while_the_other_side_restarts_arrives_once() {
    let mut lan = Lan::new(8);
    let (alice, bob) = (lan.host("alice"), lan.host("bob"));
    lan.run_for(secs(30));
    lan.disk(bob).unwrap().delay = Duration::from_millis(5);
    lan.send(alice, &["bob"], "one", secs(30));
    // On disk, and the power goes before the receipt has left.
    lan.run_for(Duration::from_millis(5));
    lan.restart(bob);
    lan.run_for(secs(30));
    assert_eq!(ended(&lan, alice), (1, 0));
    let stored = lan.disk(bob).unwrap().messages().filter(|m| m.text == "one").count();
    assert_eq!(stored, 1);
    assert!(shown(&lan, bob).values().all(|&times| times == 1));
}

#[test]
fn the_port_changes_hands_without_a_lost_or_doubled_message() {
    let mut lan = Lan::new(9);
    lan.weather.loss = 20;
    let (alice, bob) = (lan.host("alice"), lan.host("bob"));
    lan.run_for(secs(30));
    for turn in 0..40 {
        lan.send(alice, &["bob"], &format!("a{turn}"), secs(60));
        lan.send(bob, &["alice"], &format!("b{turn}"), secs(60));
        lan.run_for(Duration::from_millis(130));
        lan.hand_over(if turn % 2 == 0 { alice } else { bob });
    }
    lan.run_for(secs(90));
    for host in [alice, bob] {
        assert_eq!(ended(&lan, host), (40, 0));
        let texts = shown(&lan, host);
        assert_eq!(texts.len(), 40);
        assert!(texts.values().all(|&times| times == 1));
        let exits = lan.events(host).iter().filter(|(_, e)| matches!(e, Event::PeerDown { .. }));
        assert_eq!(exits.count(), 0, "nobody said goodbye");
    }
}

#[test]
fn a_full_disk_withholds_receipts_until_there_is_room() {
    let mut lan = Lan::new(10);
    let (alice, bob) = (lan.host("alice"), lan.host("bob"));
    lan.run_for(secs(30));
    lan.disk(bob).unwrap().full = true;
    lan.send(alice, &["bob"], "keep this", secs(30));
    lan.run_for(secs(10));
    assert_eq!(ended(&lan, alice), (0, 0));
    assert!(shown(&lan, bob).is_empty());
    lan.disk(bob).unwrap().full = false;
    lan.run_for(secs(5));
    assert_eq!(ended(&lan, alice), (1, 0));
    assert_eq!(shown(&lan, bob).len(), 1);
}

#[test]
fn what_ended_on_a_full_disk_ends_once_whoever_owns_the_port_next() {
    let mut lan = Lan::new(10);
    let (alice, bob) = (lan.host("alice"), lan.host("bob"));
    lan.run_for(secs(30));
    lan.plug(bob, 0, false);
    let wishes = Wishes { later: true, expire_ms: Some(45_000), ..Wishes::default() };
    lan.send_as(alice, &["bob"], "never mind", secs(30), wishes);
    lan.run_for(secs(40));
    lan.disk(alice).unwrap().full = true;
    lan.run_for(secs(10));
    assert_eq!(ended(&lan, alice), (0, 1));
    for full in [true, false] {
        lan.disk(alice).unwrap().full = full;
        lan.hand_over(alice);
        lan.run_for(secs(1));
    }
    lan.restart(alice);
    lan.plug(bob, 0, true);
    lan.run_for(secs(60));
    assert!(shown(&lan, bob).is_empty(), "it has expired");
    assert_eq!(ended(&lan, alice), (0, 1));
}

#[test]
fn a_far_subnet_is_reached_by_its_directed_broadcast_a_range_or_a_seed() {
    use feige::node::Network;
    let far = |last: [u8; 2]| std::net::SocketAddr::from(([10, 9, last[0], last[1]], 2425));
    for way in 0..3 {
        let mut lan = Lan::new(11);
        lan.routed = true;
        let carol = lan.host_with(&[9], |config| config.identity.nick = "carol".into());
        // An official client that gives out its list.
        let list = format!(
            "    0\x07    1\x07host0\x07host0\x0718874368\x07{}\x0730985\x07carol\x07\x08\x07",
            lan.addr(carol).ip()
        );
        let seed = lan.script(
            9,
            Box::new(move |heard| match RawPacket::parse(heard.bytes) {
                Ok(raw) if raw.command() == Command::GETLIST => {
                    vec![(heard.from, format!("1:5:seed:pc:19:{list}\0").into_bytes())]
                }
                _ => Vec::new(),
            }),
        );
        let seed = lan.addr(seed);
        let alice = lan.host_with(&[0], |config| {
            config.identity.nick = "alice".into();
            match way {
                0 => config.networks = vec![Network::Addr(far([255, 255]))],
                1 => config.networks = vec![Network::Range(far([0, 1]), far([0, 9]))],
                _ => config.seeds = vec![seed],
            }
        });
        lan.run_for(secs(30));
        let nicks: Vec<String> = lan.peers(alice).into_iter().map(|peer| peer.nick).collect();
        assert_eq!(nicks, ["carol"], "way {way}");
        assert_eq!(lan.peers(carol).len(), 1);
        lan.send(carol, &["alice"], "hello over there", secs(30));
        lan.run_for(secs(1));
        assert_eq!(ended(&lan, carol), (1, 0));
        lan.leave(alice);
        lan.run_for(secs(1));
        assert!(lan.peers(carol).is_empty(), "the goodbye went there too, way {way}");
    }
}

#[test]
fn a_broadcast_reaches_all_and_nobody_confirms_it() {
    let (mut lan, hosts) = subnet(12, 20, 0);
    let before = lan.traffic().sent;
    lan.ask(hosts[0], Request::Broadcast { text: "开会".into() });
    assert!(lan.run_to_quiet(lan.now() + secs(30)));
    assert_eq!(lan.traffic().sent - before, 2, "one packet, two targets");
    for &host in &hosts[1..] {
        assert_eq!(shown(&lan, host), BTreeMap::from([("开会".to_owned(), 1)]));
    }
    assert!(shown(&lan, hosts[0]).is_empty(), "our own, heard again, is nothing");
}

#[test]
fn thousands_of_messages_at_once_are_all_confirmed() {
    let mut lan = Lan::new(13);
    let (alice, bob) = (lan.host("alice"), lan.host("bob"));
    lan.run_for(secs(10));
    lan.weather.loss = 3;
    let mut numbers: Vec<PacketNo> = Vec::new();
    for n in 0..2_000 {
        match lan.send(alice, &["bob"], &n.to_string(), secs(30)) {
            Reply::Sent { number, .. } => numbers.push(number),
            other => panic!("{other:?}"),
        }
    }
    lan.run_for(secs(31));
    assert_eq!(ended(&lan, alice), (2_000, 0));
    assert_eq!(shown(&lan, bob).len(), 2_000);
    numbers.dedup();
    assert_eq!(numbers.len(), 2_000);
}

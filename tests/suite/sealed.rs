//! Sealed messages on a subnet that loses, repeats and reorders: read exactly once, and told exactly
//! once.

use std::collections::BTreeMap;
use std::time::Duration;

use feige::node::{Event, PacketNo, Reply, Request, Target, Told, Wishes};
use feige::sim::{HostId, Lan, Weather};

fn weather(loss: u32) -> Weather {
    let delay_max = Duration::from_millis(120);
    Weather { loss, repeats: 20, delay_max, ..Weather::default() }
}

/// Sends a sealed message from one host to others, by nickname.
fn seal(lan: &mut Lan, from: HostId, to: &[&str], text: &str) -> (PacketNo, usize) {
    let peers = lan.peers(from);
    let to = peers.iter().filter(|peer| to.contains(&peer.nick.as_str()));
    let to: Vec<_> = to.map(|peer| Target::Peer(peer.id.clone())).collect();
    let wishes = Wishes { sealed: true, ..Wishes::default() };
    let count = to.len();
    let text = text.to_owned();
    let request = Request::Send { to, text, check: true, timeout_ms: 120_000, wishes };
    match lan.ask(from, request) {
        Reply::Sent { number, .. } => (number, count),
        other => panic!("{other:?}"),
    }
}

fn open_all(lan: &mut Lan, at: HostId) -> Vec<String> {
    let closed = lan.disk(at).map(|disk| disk.closed()).unwrap_or_default();
    let asked: Vec<_> =
        closed.into_iter().map(|seq| lan.request(at, Request::Open { seq })).collect();
    lan.run_for(Duration::from_millis(5));
    let replies = asked.into_iter().filter_map(|request| lan.reply(at, request));
    let texts = replies.map(|reply| match reply {
        Reply::Opened { message, .. } => message.text,
        other => panic!("{other:?}"),
    });
    texts.collect()
}

/// How often each message was said to be read, by whom.
fn readings(lan: &Lan, at: HostId) -> BTreeMap<(PacketNo, String), usize> {
    let mut readings = BTreeMap::new();
    for (_, event) in lan.events(at) {
        if let Event::Read { number, peer, discarded: false } = event {
            *readings.entry((*number, peer.nick.clone())).or_default() += 1;
        }
    }
    readings
}

#[test]
fn across_loss_each_is_opened_once_and_its_sender_hears_it_once() {
    const NICKS: [&str; 10] = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"];
    let mut lan = Lan::new(31);
    let hosts: Vec<_> = NICKS.iter().map(|nick| lan.host(nick)).collect();
    lan.run_for(Duration::from_secs(20));
    lan.weather = weather(30);
    let mut sent = Vec::new();
    for (at, &host) in hosts.iter().enumerate() {
        let to = [NICKS[(at + 1) % 10], NICKS[(at + 2) % 10], NICKS[(at + 5) % 10]];
        let (number, count) = seal(&mut lan, host, &to, &format!("psst from {at}"));
        assert_eq!(count, 3);
        sent.push((host, number));
    }
    lan.run_for(Duration::from_secs(60));
    for &host in &hosts {
        assert!(readings(&lan, host).is_empty(), "nobody opened anything yet");
    }
    for &host in &hosts {
        let texts = open_all(&mut lan, host);
        assert_eq!(texts.len(), 3, "each has its three: {texts:?}");
        assert!(open_all(&mut lan, host).is_empty(), "and they stay open");
    }
    assert!(lan.run_to_quiet(lan.now() + Duration::from_secs(120)));
    for (host, number) in sent {
        let heard = readings(&lan, host);
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert!(heard.iter().all(|((of, _), times)| (*of, *times) == (number, 1)), "{heard:?}");
    }
    for &host in &hosts {
        let told = lan.events(host).iter().filter_map(|(_, event)| match event {
            Event::Told { told, .. } => Some(*told),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), [Told::Confirmed; 3]);
    }
}

#[test]
fn a_restart_of_either_side_loses_neither_envelope_nor_reading() {
    let mut lan = Lan::new(32);
    let (ann, bob) = (lan.host("ann"), lan.host("bob"));
    lan.run_for(Duration::from_secs(20));
    let (number, _) = seal(&mut lan, ann, &["bob"], "psst");
    lan.run_for(Duration::from_secs(5));
    for host in [ann, bob] {
        lan.restart(host);
    }
    lan.run_for(Duration::from_secs(20));
    assert!(readings(&lan, ann).is_empty());
    assert_eq!(open_all(&mut lan, bob), ["psst"]);
    lan.run_for(Duration::from_secs(5));
    assert_eq!(readings(&lan, ann), BTreeMap::from([((number, "bob".to_owned()), 1)]));
    lan.restart(bob);
    lan.run_for(Duration::from_secs(20));
    assert!(open_all(&mut lan, bob).is_empty());
    assert_eq!(readings(&lan, ann).len(), 1);
}

#[test]
fn a_notice_under_way_goes_along_when_the_port_changes_hands() {
    let mut lan = Lan::new(33);
    let (ann, bob) = (lan.host("ann"), lan.host("bob"));
    lan.run_for(Duration::from_secs(20));
    let (number, _) = seal(&mut lan, ann, &["bob"], "psst");
    lan.run_for(Duration::from_secs(5));
    lan.weather = weather(100);
    assert_eq!(open_all(&mut lan, bob), ["psst"]);
    lan.run_for(Duration::from_secs(2));
    lan.hand_over(ann);
    lan.hand_over(bob);
    lan.weather = weather(0);
    lan.run_for(Duration::from_secs(5));
    assert_eq!(readings(&lan, ann), BTreeMap::from([((number, "bob".to_owned()), 1)]));
}

#[test]
fn a_crash_between_the_opening_and_its_notice_is_made_good_once() {
    let mut lan = Lan::new(34);
    let (ann, bob) = (lan.host("ann"), lan.host("bob"));
    lan.run_for(Duration::from_secs(20));
    let (number, _) = seal(&mut lan, ann, &["bob"], "psst");
    lan.run_for(Duration::from_secs(5));
    lan.weather = weather(100);
    assert_eq!(open_all(&mut lan, bob), ["psst"]);
    lan.run_for(Duration::from_secs(2));
    lan.restart(bob);
    lan.weather = weather(0);
    lan.run_for(Duration::from_secs(20));
    let once = BTreeMap::from([((number, "bob".to_owned()), 1)]);
    assert_eq!(readings(&lan, ann), once);
    let told = |lan: &Lan| {
        let told = lan.events(bob).iter().filter(|(_, event)| matches!(event, Event::Told { .. }));
        told.count()
    };
    assert_eq!(told(&lan), 1);
    lan.restart(bob);
    lan.run_for(Duration::from_secs(20));
    assert_eq!((readings(&lan, ann), told(&lan)), (once, 1), "and is done");
}

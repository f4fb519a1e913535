//! How fast the engine takes what a busy subnet brings: `cargo bench --bench node`.

use std::net::SocketAddr;

use divan::Bencher;
use divan::counter::ItemsCount;
use feige::node::{
    Config, Effect, Identity, Input, Ipv4Net, Link, LinkId, Node, Now, NumberStart, PORT, PacketNo,
    Record, Reply, Request, RequestId, SaveResult, Target, Tick, UnixMillis, Wishes,
};

fn main() {
    divan::main();
}

/// A thousand hosts answer one entry.
#[divan::bench]
fn answers_into_the_roster(bencher: Bencher<'_, '_>) {
    let packets: Vec<_> = (0..1_000).map(|host| entry(3, host)).collect();
    bencher.counter(ItemsCount::new(packets.len())).with_inputs(node).bench_values(|mut node| {
        for packet in &packets {
            divan::black_box(hear(&mut node, packet));
        }
        node
    });
}

/// A thousand hosts that are known answer again: a roll call.
#[divan::bench]
fn answers_of_known_peers(bencher: Bencher<'_, '_>) {
    let packets: Vec<_> = (0..1_000).map(|host| entry(3, host)).collect();
    bencher
        .counter(ItemsCount::new(packets.len()))
        .with_inputs(|| node_that_knows(&packets))
        .bench_values(|mut node| {
            for packet in &packets {
                divan::black_box(hear(&mut node, packet));
            }
            node
        });
}

/// A thousand hosts enter at once and are answered by one timer.
#[divan::bench]
fn entries_answered_in_one_batch(bencher: Bencher<'_, '_>) {
    let packets: Vec<_> = (0..1_000).map(|host| entry(1, host)).collect();
    bencher.counter(ItemsCount::new(packets.len())).with_inputs(node).bench_values(|mut node| {
        for packet in &packets {
            divan::black_box(hear(&mut node, packet));
        }
        let due = Now { tick: Tick(4_000_000), ..NOW };
        let answers = node.handle(due, Input::Wake);
        assert!(answers.len() >= packets.len());
        (node, answers)
    });
}

/// Ten thousand messages of a hundred peers, each kept and confirmed.
#[divan::bench(sample_count = 20)]
fn messages_received(bencher: Bencher<'_, '_>) {
    let peers: Vec<_> = (0..100).map(|host| entry(3, host)).collect();
    let packets: Vec<_> = (0..10_000).map(|number| message(number % 100, number)).collect();
    bencher
        .counter(ItemsCount::new(packets.len()))
        .with_inputs(|| node_that_knows(&peers))
        .bench_values(|mut node| {
            for packet in &packets {
                let effects = hear(&mut node, packet);
                keep(&mut node, &effects);
                divan::black_box(effects);
            }
            node
        });
}

/// Ten thousand messages sent to one peer, and their receipts.
#[divan::bench(sample_count = 20)]
fn messages_sent_and_confirmed(bencher: Bencher<'_, '_>) {
    let peers = [entry(3, 0)];
    bencher
        .counter(ItemsCount::new(10_000usize))
        .with_inputs(|| node_that_knows(&peers))
        .bench_values(|mut node| {
            let numbers: Vec<PacketNo> = (0..10_000).map(|n| send(&mut node, n)).collect();
            for number in numbers {
                let receipt = format!("1:1:user0:host0:33:{number}\0").into_bytes();
                let effects = hear(&mut node, &(addr(0), receipt));
                keep(&mut node, &effects);
                divan::black_box(effects);
            }
            node
        });
}

const START: UnixMillis = UnixMillis(1_800_000_000_000);
const NOW: Now = Now { tick: Tick(1_000), wall: START, booted: START };

fn node() -> Node {
    let config = Config {
        numbers: NumberStart { last: PacketNo(1_000_000), reserved: PacketNo(1_131_072) },
        ..Config::new(Identity {
            nick: "小飞".into(),
            group: "研发部".into(),
            user: "fei".into(),
            host: "desk".into(),
            mac: "02AABBCCDDEE".into(),
        })
    };
    let mut node = Node::new(config, [7; 32]);
    let net = Ipv4Net {
        addr: [10, 0, 0, 1].into(),
        broadcast: Some([10, 0, 255, 255].into()),
        limited: true,
    };
    let (id, name) = (LinkId(1), "eth0".to_owned());
    let link = Link { id, name, v4: vec![net], v6: vec![], multicast: false };
    let _ = node.handle(Now::default(), Input::Links(vec![link]));
    node
}

fn node_that_knows(peers: &[(SocketAddr, Vec<u8>)]) -> Node {
    let mut node = node();
    for peer in peers {
        let _ = hear(&mut node, peer);
    }
    node
}

fn addr(host: u32) -> SocketAddr {
    let [_, _, high, low] = (host + 2).to_be_bytes();
    SocketAddr::from(([10, 0, high, low], PORT))
}

fn entry(command: u32, host: u32) -> (SocketAddr, Vec<u8>) {
    let word = command | 0x0120_0000;
    let text = format!("1:{host}:user{host}:host{host}:{word}:王小二{host}\0研发部\0");
    (addr(host), text.into_bytes())
}

fn message(host: u32, number: u32) -> (SocketAddr, Vec<u8>) {
    let text = format!("1:{number}:user{host}:host{host}:8388896:你好，这是第{number}条消息\0");
    (addr(host), text.into_bytes())
}

fn hear(node: &mut Node, (from, bytes): &(SocketAddr, Vec<u8>)) -> Vec<Effect> {
    node.handle(NOW, Input::Datagram { link: LinkId(1), from: *from, bytes })
}

fn keep(node: &mut Node, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Save(id, record) = effect {
            let seq = (!matches!(record, Record::Numbers(_))).then_some(1);
            divan::black_box(node.handle(NOW, Input::Saved(*id, SaveResult::Kept { seq })));
        }
    }
}

fn send(node: &mut Node, n: u64) -> PacketNo {
    let to = vec![Target::Peer(feige::node::PeerId("user0@host0".into()))];
    let request = Request::Send {
        to,
        text: "你好".into(),
        check: true,
        timeout_ms: 30_000,
        wishes: Wishes::default(),
    };
    let effects = node.handle(NOW, Input::Request(RequestId(n), request));
    keep(node, &effects);
    let number = effects.iter().find_map(|effect| match effect {
        Effect::Reply(_, Reply::Sent { number, .. }) => Some(*number),
        _ => None,
    });
    number.expect("the peer is known")
}

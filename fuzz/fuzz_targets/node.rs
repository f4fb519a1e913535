//! A node that hears a sequence of datagrams from a few addresses: it takes them all, and never
//! sends an address much more than that address sent.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};

use feige::node::{
    Config, Effect, Identity, Input, Ipv4Net, Link, LinkId, Node, Now, Tick, UnixMillis,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagrams: Vec<(u8, u16, Vec<u8>)>| {
    let mut node = Node::new(config(), [7; 32]);
    const START: UnixMillis = UnixMillis(1_795_000_000_000);
    let mut now = Now { tick: Tick(0), wall: START, booted: START };
    drop(node.handle(now, Input::Links(vec![link()])));
    for (from, wait, bytes) in datagrams {
        now.tick = Tick(now.tick.0 + u64::from(wait) * 1_000);
        if node.next_deadline().is_some_and(|deadline| deadline <= now.tick) {
            drop(node.handle(now, Input::Wake));
        }
        let from = SocketAddr::from(([10, 0, 0, 2 + from % 4], 2425));
        let effects = node.handle(now, Input::Datagram { link: LinkId(1), from, bytes: &bytes });
        let at_once: usize = effects
            .iter()
            .map(|effect| match effect {
                Effect::Transmit(transmit) if transmit.to == from => transmit.bytes.len() + 28,
                _ => 0,
            })
            .sum();
        // Three times, or one receipt and one entry, which always fit.
        assert!(at_once <= 3 * (bytes.len() + 28) + 1_024, "{at_once} for {}", bytes.len());
    }
});

fn link() -> Link {
    Link {
        id: LinkId(1),
        name: "eth0".to_owned(),
        v4: vec![Ipv4Net {
            addr: Ipv4Addr::new(10, 0, 0, 1),
            broadcast: Some(Ipv4Addr::new(10, 0, 0, 255)),
            limited: true,
        }],
        v6: Vec::new(),
        multicast: false,
    }
}

fn config() -> Config {
    Config::new(Identity {
        nick: "fuzz".to_owned(),
        group: String::new(),
        user: "fuzz".to_owned(),
        host: "fuzz".to_owned(),
        mac: "020000000001".to_owned(),
    })
}

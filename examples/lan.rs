//! A subnet in memory: four nodes and an old scripted client on a bad wire. Prints what each of
//! them is told. The same seed prints the same lines: `cargo run --example lan -- 42`.

use std::time::Duration;

use feige::node::{Direction, Event, PeerView, Reply, Request, Target, Wishes};
use feige::sim::{Heard, HostId, Lan, Weather};
use feige::wire::{Command, RawPacket};

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(42);
    let mut lan = Lan::new(seed);
    lan.weather = Weather { loss: 20, repeats: 5, ..Weather::default() };
    let mut hosts: Vec<(&str, HostId)> = Vec::new();
    for nick in ["小飞", "Alice", "Боб", "さくら"] {
        hosts.push((nick, lan.host(nick)));
        lan.run_for(Duration::from_millis(300));
    }
    lan.script(0, Box::new(old_client));
    lan.run_for(Duration::from_secs(8));

    let [(_, first), (_, second), (_, third), ..] = hosts[..] else { return };
    lan.ask(first, Request::Broadcast { text: "大家好 🙂".into() });
    lan.run_for(Duration::from_secs(1));
    let everybody: Vec<Target> =
        lan.peers(second).into_iter().map(|peer| Target::Peer(peer.id)).collect();
    let text = "Lunch at noon?".to_owned();
    let request = Request::Send {
        to: everybody,
        text,
        check: true,
        timeout_ms: 20_000,
        wishes: Wishes::default(),
    };
    if let Reply::Refused(refusal) = lan.ask(second, request) {
        println!("refused: {refusal}");
    }
    lan.run_for(Duration::from_secs(21));
    let farewell = lan.now();
    lan.leave(third);
    lan.run_to_quiet(farewell + Duration::from_secs(30));

    for (nick, host) in hosts {
        println!("\n{nick}");
        for (at, event) in lan.events(host) {
            if let Some(line) = describe(event) {
                println!("  {:8.3} s  {line}", (*at - feige::node::Tick(0)).as_secs_f64());
            }
        }
    }
    let traffic = lan.traffic();
    println!("\n{} datagrams sent, {} heard, {} lost", traffic.sent, traffic.arrived, traffic.lost);
}

/// A client of the nineties: GBK, no group, answers entries and confirms what it is sent.
fn old_client(heard: Heard<'_>) -> Vec<(std::net::SocketAddr, Vec<u8>)> {
    let Ok(raw) = RawPacket::parse(heard.bytes) else { return Vec::new() };
    let answer = match raw.command() {
        Command::BR_ENTRY => b"1:7:lao:OLDPC:3:\xc0\xcf\xcd\xf5\0".to_vec(),
        Command::SENDMSG if raw.options().bits() & 0x100 != 0 => {
            format!("1:8:lao:OLDPC:33:{}\0", raw.number).into_bytes()
        }
        _ => return Vec::new(),
    };
    vec![(heard.from, answer)]
}

fn describe(event: &Event) -> Option<String> {
    let name = |peer: &PeerView| format!("{} ({})", peer.nick, peer.addr);
    Some(match event {
        Event::PeerUp { peer } => format!("+ {}, {}", name(peer), peer.dialect),
        Event::PeerDown { peer, reason } => format!("- {}, {reason:?}", name(peer)),
        Event::Message(message) => {
            let who = message.peer.as_deref().map_or_else(|| "everybody".into(), name);
            match message.direction {
                Direction::In => format!("{who}: {}", message.text),
                Direction::Out => format!("to {who}: {}", message.text),
            }
        }
        Event::Receipt { peer, tries, rtt_ms, .. } => {
            format!("confirmed by {} after {tries} tries, {rtt_ms:.1} ms", name(peer))
        }
        Event::Failed { peer, outcome, tries, .. } => {
            format!("{outcome:?} by {} after {tries} tries", name(peer))
        }
        _ => return None,
    })
}

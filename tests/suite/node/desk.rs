//! A node on a desk: datagrams in by hand, effects out to look at, and the disk answered by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use feige::node::{
    Config, Effect, Event, Identity, Input, Ipv4Net, Link, LinkId, MessageEvent, Node, Now,
    NumberStart, PacketNo, PeerId, PeerView, Record, Reply, Request, RequestId, SaveId, SaveResult,
    Target, Tick, Transmit, UnixMillis, Wishes,
};
use feige::wire::{Body, Command, Hint, Packet, RawPacket};

/// Our mac.
pub(crate) const MAC: &str = "02AABBCCDDEE";
const START: UnixMillis = UnixMillis(1_800_000_000_000);

/// The node and its clock.
pub(crate) struct Desk {
    pub(crate) node: Node,
    pub(crate) now: Now,
    next_request: u64,
}

/// What one call left behind.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) effects: Vec<(Tick, Effect)>,
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    if text.contains(':') { text.parse().unwrap() } else { format!("{text}:2425").parse().unwrap() }
}

pub(crate) fn link(id: u32, addr: [u8; 4]) -> Link {
    let [a, b, c, _] = addr;
    let broadcast = Some([a, b, c, 255].into());
    Link {
        id: LinkId(id),
        name: format!("eth{id}"),
        v4: vec![Ipv4Net { addr: addr.into(), broadcast, limited: true }],
        v6: vec![],
        multicast: false,
    }
}

pub(crate) fn config() -> Config {
    Config {
        numbers: NumberStart { last: PacketNo(1_800_000_000), reserved: PacketNo(1_800_131_072) },
        ..Config::new(Identity {
            nick: "小飞".into(),
            group: "研发部".into(),
            user: "fei".into(),
            host: "desk".into(),
            mac: MAC.into(),
        })
    }
}

impl Desk {
    /// A node that was never told of a link.
    pub(crate) fn bare(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        adjust(&mut config);
        Self::of(Node::new(config, [7; 32]))
    }

    pub(crate) fn of(node: Node) -> Self {
        let now = Now { tick: Tick(1_000_000), wall: START, booted: START };
        Self { node, now, next_request: 0 }
    }

    /// A node that announced itself on 10.0.0.1 and is quiet again.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut desk = Self::bare(adjust);
        desk.input(Input::Links(vec![link(1, [10, 0, 0, 1])]));
        desk.pass(ms(20_000));
        desk
    }

    pub(crate) fn input(&mut self, input: Input<'_>) -> Outcome {
        let effects = self.node.handle(self.now, input);
        Outcome { effects: effects.into_iter().map(|effect| (self.now.tick, effect)).collect() }
    }

    /// A datagram on link 1.
    pub(crate) fn hear(&mut self, from: &str, bytes: impl AsRef<[u8]>) -> Outcome {
        self.hear_on(1, from, bytes)
    }

    pub(crate) fn hear_on(&mut self, link: u32, from: &str, bytes: impl AsRef<[u8]>) -> Outcome {
        let (link, from) = (LinkId(link), addr(from));
        self.input(Input::Datagram { link, from, bytes: bytes.as_ref() })
    }

    pub(crate) fn ask(&mut self, request: Request) -> (Reply, Outcome) {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let mut outcome = self.input(Input::Request(id, request));
        let at = outcome
            .effects
            .iter()
            .position(|(_, effect)| matches!(effect, Effect::Reply(to, _) if *to == id))
            .expect("every request is answered");
        let Effect::Reply(_, reply) = outcome.effects.remove(at).1 else { unreachable!() };
        (reply, outcome)
    }

    /// Lets time pass and wakes the node whenever it asked for that.
    pub(crate) fn pass(&mut self, span: Duration) -> Outcome {
        let until = self.now.tick + span;
        let mut all = Outcome::default();
        while let Some(deadline) = self.node.next_deadline().filter(|&at| at <= until) {
            self.set(deadline.max(self.now.tick));
            all.effects.extend(self.input(Input::Wake).effects);
        }
        self.set(until);
        all
    }

    fn set(&mut self, tick: Tick) {
        let elapsed = (tick - self.now.tick).as_millis();
        self.now.wall.0 += i64::try_from(elapsed).unwrap();
        self.now.tick = tick;
    }

    /// Answers every record of `outcome` as kept, and gives what that leads to.
    pub(crate) fn keep(&mut self, outcome: &Outcome) -> Outcome {
        self.answer(outcome, &SaveResult::Kept { seq: Some(1) })
    }

    pub(crate) fn answer(&mut self, outcome: &Outcome, result: &SaveResult) -> Outcome {
        let mut all = Outcome::default();
        for (id, _) in outcome.saves() {
            all.effects.extend(self.input(Input::Saved(id, result.clone())).effects);
        }
        all
    }

    pub(crate) fn peers(&mut self) -> Vec<PeerView> {
        let (Reply::Peers { peers }, _) = self.ask(Request::Peers) else { unreachable!() };
        peers
    }

    pub(crate) fn nicks(&mut self) -> Vec<String> {
        self.peers().into_iter().map(|peer| peer.nick).collect()
    }

    pub(crate) fn peer(&mut self, nick: &str) -> PeerView {
        let peers = self.peers();
        peers.into_iter().find(|peer| peer.nick == nick).unwrap_or_else(|| panic!("no {nick}"))
    }

    pub(crate) fn counters(&mut self) -> feige::node::Counters {
        let (Reply::Status(status), _) = self.ask(Request::Status) else { unreachable!() };
        status.counters
    }

    /// Sends to the peer of this nickname, with receipts, 30 s.
    pub(crate) fn send(&mut self, nick: &str, text: &str) -> (PacketNo, Outcome) {
        let to = vec![Target::Peer(self.peer(nick).id)];
        self.send_to(to, text)
    }

    pub(crate) fn send_to(&mut self, to: Vec<Target>, text: &str) -> (PacketNo, Outcome) {
        let text = text.to_owned();
        let request =
            Request::Send { to, text, check: true, timeout_ms: 30_000, wishes: Wishes::default() };
        match self.ask(request) {
            (Reply::Sent { number, .. }, outcome) => (number, outcome),
            (other, _) => panic!("{other:?}"),
        }
    }
}

/// A node that knows somebody with an official client.
pub(crate) fn with_known(from: &str, who: &str, nick: &str) -> Desk {
    let mut desk = Desk::new();
    desk.hear(from, official(3, 1, who, nick));
    desk
}

impl Outcome {
    pub(crate) fn transmits(&self) -> Vec<&Transmit> {
        self.pick(|effect| match effect {
            Effect::Transmit(transmit) => Some(transmit),
            _ => None,
        })
    }

    fn pick<'a, T>(&'a self, of: impl Fn(&'a Effect) -> Option<T>) -> Vec<T> {
        self.effects.iter().filter_map(|(_, effect)| of(effect)).collect()
    }

    /// What was sent: when, to whom, and what it means.
    pub(crate) fn sent(&self) -> Vec<(Tick, SocketAddr, Packet)> {
        let read = |(at, effect): &(Tick, Effect)| match effect {
            Effect::Transmit(transmit) => Some((*at, transmit.to, read(&transmit.bytes))),
            _ => None,
        };
        self.effects.iter().filter_map(read).collect()
    }

    /// Commands sent to `to`.
    pub(crate) fn commands_to(&self, to: &str) -> Vec<Command> {
        let to = addr(to);
        let sent = self.sent().into_iter();
        sent.filter(|(_, whom, _)| *whom == to).map(|(_, _, packet)| packet.command).collect()
    }

    pub(crate) fn events(&self) -> Vec<&Event> {
        self.pick(|effect| match effect {
            Effect::Emit { event, .. } => Some(event),
            _ => None,
        })
    }

    pub(crate) fn messages(&self) -> Vec<&MessageEvent> {
        self.pick(|effect| match effect {
            Effect::Emit { event: Event::Message(message), .. } => Some(&**message),
            _ => None,
        })
    }

    pub(crate) fn saves(&self) -> Vec<(SaveId, &Record)> {
        self.pick(|effect| match effect {
            Effect::Save(id, record) => Some((*id, record)),
            _ => None,
        })
    }
}

/// A datagram of ours as another client reads it.
pub(crate) fn read(bytes: &[u8]) -> Packet {
    Packet::read(&RawPacket::parse(bytes).unwrap(), &Hint::default())
}

pub(crate) fn presence(packet: &Packet) -> &feige::wire::entry::Presence {
    match &packet.body {
        Body::Presence(presence) => presence,
        other => panic!("{other:?}"),
    }
}

pub(crate) const FILE_ATTACH: u32 = 0x20_0000;
pub(crate) const CAP_UTF8: u32 = 0x100_0000;
pub(crate) const SEND_CHECK: u32 = 0x100;

/// A packet of the official client that reads UTF-8: entry, answer, absence, exit.
pub(crate) fn official(command: u32, number: u64, who: &str, nick: &str) -> Vec<u8> {
    let (user, host) = who.split_once('@').unwrap();
    let word = command | FILE_ATTACH | CAP_UTF8;
    format!(
        "1:{number}:{user}:{host}:{word}:{nick}\0\0\nUN:{user}\nHN:{host}\nNN:{nick}\nGN:\nVS:00010002:4:99:103"
    )
    .into_bytes()
}

/// A packet of an old plain client.
pub(crate) fn plain(word: u32, number: u64, who: &str, main: &str) -> Vec<u8> {
    let (user, host) = who.split_once('@').unwrap();
    format!("1:{number}:{user}:{host}:{word}:{main}\0").into_bytes()
}

/// A packet of FeiQ with these 12 digits.
pub(crate) fn feiq(word: u32, number: u64, who: &str, mac: &str, main: &str) -> Vec<u8> {
    let (user, host) = who.split_once('@').unwrap();
    format!("1_lbt6_0#128#{mac}#0#0#0#4001#9:{number}:{user}:{host}:{word}:{main}\0").into_bytes()
}

/// A packet of iptux.
pub(crate) fn iptux(word: u32, number: u64, who: &str, main: &str) -> Vec<u8> {
    let (user, host) = who.split_once('@').unwrap();
    let tail = if matches!(word & 0xff, 1 | 3 | 4) { "\0\0icon.png\0utf-8\0" } else { "\0" };
    format!("1_iptux 0.8.3:{number}:{user}:{host}:{word}:{main}{tail}").into_bytes()
}

/// A message that wants a receipt.
pub(crate) fn message(number: u64, who: &str, text: &str) -> Vec<u8> {
    plain(0x20 | SEND_CHECK, number, who, text)
}

pub(crate) fn receipt(number: PacketNo, who: &str) -> Vec<u8> {
    plain(0x21, 9_000_000 + number.0 % 1_000, who, &number.to_string())
}

pub(crate) fn peer_id(text: &str) -> PeerId {
    PeerId(Arc::from(text))
}

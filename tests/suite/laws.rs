//! Laws of the engine, on inputs nobody thought of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use feige::node::{
    Config, Direction, Effect, Event, Identity, Input, Ipv4Net, Link, LinkId, MessageRecord, Node,
    Now, NumberStart, Outcome, PORT, PacketNo, PeerId, PeerView, Reply, Request, RequestId,
    SaveResult, Tick, UnixMillis, Wishes,
};
use feige::sim::{HostId, Lan, Weather};
use feige::wire::{Command, RawPacket};
use proptest::prelude::*;

/// A node on 10.0.0.1 that announced itself a while ago, and its clock.
struct Subject {
    node: Node,
    now: Now,
    effects: Vec<Effect>,
}

impl Subject {
    fn new(seed: u8) -> Self {
        let config = Config {
            numbers: NumberStart { last: PacketNo(1_000), reserved: PacketNo(150_000) },
            ..Config::new(Identity {
                nick: "fei".into(),
                group: String::new(),
                user: "fei".into(),
                host: "desk".into(),
                mac: "02AABBCCDDEE".into(),
            })
        };
        let now = Now { tick: Tick(0), wall: START, booted: START };
        let mut subject = Self { node: Node::new(config, [seed; 32]), now, effects: Vec::new() };
        let net = Ipv4Net {
            addr: [10, 0, 0, 1].into(),
            broadcast: Some([10, 0, 0, 255].into()),
            limited: true,
        };
        subject.input(Input::Links(vec![Link {
            id: LinkId(1),
            name: "eth0".into(),
            v4: vec![net],
            v6: vec![],
            multicast: false,
        }]));
        subject.pass(Duration::from_secs(20));
        subject.effects.clear();
        subject
    }

    /// One input; every record is kept at once.
    fn input(&mut self, input: Input<'_>) {
        let mut waiting = self.node.handle(self.now, input);
        while !waiting.is_empty() {
            let mut next = Vec::new();
            for effect in &waiting {
                if let Effect::Save(id, _) = effect {
                    let kept = SaveResult::Kept { seq: None };
                    next.extend(self.node.handle(self.now, Input::Saved(*id, kept)));
                }
            }
            self.effects.append(&mut waiting);
            waiting = next;
        }
    }

    fn hear(&mut self, (from, bytes): &(SocketAddr, Vec<u8>)) {
        self.input(Input::Datagram { link: LinkId(1), from: *from, bytes });
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now.tick + span;
        while let Some(deadline) = self.node.next_deadline().filter(|&at| at <= until) {
            self.now.tick = self.now.tick.max(deadline);
            self.input(Input::Wake);
        }
        self.now.tick = until;
    }

    fn peers(&mut self) -> Vec<PeerView> {
        let effects = self.node.handle(self.now, Input::Request(RequestId(1), Request::Peers));
        match effects.into_iter().next() {
            Some(Effect::Reply(_, Reply::Peers { peers })) => peers,
            other => panic!("{other:?}"),
        }
    }

    /// How often each command went to each address.
    fn sent(&self) -> BTreeMap<(SocketAddr, u8), usize> {
        let mut sent = BTreeMap::new();
        for effect in &self.effects {
            if let Effect::Transmit(transmit) = effect {
                let raw = RawPacket::parse(&transmit.bytes).expect("we write packets");
                *sent.entry((transmit.to, raw.command().0)).or_default() += 1;
            }
        }
        sent
    }

    fn events(&self) -> Vec<&Event> {
        let mut events = Vec::new();
        for effect in &self.effects {
            if let Effect::Emit { event, .. } = effect {
                events.push(event);
            }
        }
        events
    }
}

/// A datagram of one of a few people with a few habits, from one of a few addresses.
fn datagram() -> impl Strategy<Value = (SocketAddr, Vec<u8>)> {
    (2..6u8, person()).prop_map(|(host, bytes)| (SocketAddr::from(([10, 0, 0, host], PORT)), bytes))
}

fn person() -> impl Strategy<Value = Vec<u8>> {
    (0..4usize, packet()).prop_map(|(who, packet)| packet.of(who))
}

/// What a packet says, whoever says it.
#[derive(Clone, Debug)]
struct Said {
    version: &'static str,
    number: u64,
    word: u32,
    main: String,
}

impl Said {
    fn of(&self, who: usize) -> Vec<u8> {
        let Self { version, number, word, main } = self;
        let user = ["ann", "bob", "王五", "d?n"][who % 4];
        format!("{version}:{number}:{user}:pc{who}:{word}:{main}").into_bytes()
    }
}

fn packet() -> impl Strategy<Value = Said> {
    let version = prop_oneof![
        Just("1"),
        Just("1_lbt6_0#128#00AABBCCDDEE#0#0#0#4001#9"),
        Just("1_iptux 0.8.3"),
    ];
    let command = prop_oneof![
        4 => Just(0x01u32), 2 => Just(0x02), 4 => Just(0x03), 2 => Just(0x04), 8 => Just(0x20),
        2 => Just(0x21), 1 => Just(0x40), 1 => Just(0x50), 1 => Just(0x13), 1 => Just(0x11),
        1 => 0..=0xffu32,
    ];
    let option = prop_oneof![
        4 => Just(0u32), 4 => Just(0x100), 1 => Just(0x400), 1 => Just(0x2000), 1 => Just(0x200),
        1 => Just(0x20_0000), 1 => Just(0x40_0000), 1 => Just(0x180_0000), 1 => any::<u32>(),
    ];
    let main =
        prop_oneof!["[a-z]{0,8}", "[a-z]{1,4}\0[A-Z]{0,4}\0", "[0-9]{1,6}", "[a-z谢目录]{0,6}"];
    (version, 1..30u64, command, option, main).prop_map(
        |(version, number, command, option, main)| Said {
            version,
            number,
            word: (option & 0x7fff_ff00) | command,
            main,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_seed_gives_the_same_trace(
        seed in any::<u8>(),
        heard in prop::collection::vec((datagram(), 0..3_000u64), 0..40),
    ) {
        let run = || {
            let mut subject = Subject::new(seed);
            for (datagram, wait) in &heard {
                subject.hear(datagram);
                subject.pass(Duration::from_millis(*wait));
            }
            format!("{:?}", subject.effects)
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn a_repeated_datagram_changes_nothing_but_repeats_the_receipt(
        heard in prop::collection::vec(datagram(), 1..25),
        repeated in any::<prop::sample::Index>(),
    ) {
        let repeated = repeated.index(heard.len());
        let (mut once, mut twice) = (Subject::new(1), Subject::new(1));
        for (place, datagram) in heard.iter().enumerate() {
            once.hear(datagram);
            twice.hear(datagram);
            if place == repeated {
                twice.hear(datagram);
            }
            for subject in [&mut once, &mut twice] {
                subject.pass(Duration::from_millis(40));
            }
        }
        once.pass(Duration::from_secs(60));
        twice.pass(Duration::from_secs(60));
        prop_assert_eq!(once.peers(), twice.peers());
        prop_assert_eq!(once.events(), twice.events());
        let (mut expected, mut sent) = (once.sent(), twice.sent());
        // Whether an answer leaves before its reader does is chance: a repeated receipt takes another
        // number, and that moves the random delay.
        for (from, bytes) in &heard {
            if RawPacket::parse(bytes).is_ok_and(|raw| raw.command() == Command::BR_EXIT) {
                for sent in [&mut expected, &mut sent] {
                    sent.remove(&(*from, Command::ANSENTRY.0));
                }
            }
        }
        let answers = [
            Command::RECVMSG,
            Command::SENDINFO,
            Command::SENDABSENCEINFO,
            Command::FEIQ_PROBE_ANSWER,
            Command::FEIQ_KNOCK_ANSWER,
        ];
        for command in answers {
            if let Some(count) = sent.get_mut(&(heard[repeated].0, command.0)) {
                *count -= usize::from(Some(&*count) != expected.get(&(heard[repeated].0, command.0)));
            }
        }
        prop_assert_eq!(expected, sent);
    }

    #[test]
    fn the_order_of_two_peers_datagrams_does_not_matter(
        anns in prop::collection::vec(packet(), 1..8),
        bobs in prop::collection::vec(packet(), 1..8),
        turns in prop::collection::vec(any::<bool>(), 16),
    ) {
        let ann = |said: &Said| (SocketAddr::from(([10, 0, 0, 2], PORT)), said.of(0));
        let bob = |said: &Said| (SocketAddr::from(([10, 0, 0, 3], PORT)), said.of(1));
        let (mut apart, mut mixed) = (Subject::new(1), Subject::new(1));
        for datagram in anns.iter().map(ann).chain(bobs.iter().map(bob)) {
            apart.hear(&datagram);
        }
        let (mut anns, mut bobs) = (anns.iter().map(ann).peekable(), bobs.iter().map(bob).peekable());
        let mut turns = turns.into_iter().cycle();
        while anns.peek().is_some() || bobs.peek().is_some() {
            let next = if turns.next() == Some(true) { anns.next() } else { bobs.next() };
            if let Some(datagram) = next {
                mixed.hear(&datagram);
            }
        }
        prop_assert_eq!(apart.peers(), mixed.peers());
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_cause_nothing(
        noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
    ) {
        let mut subject = Subject::new(1);
        let from = SocketAddr::from(([10, 0, 0, 9], PORT));
        for bytes in noise {
            let packet = RawPacket::parse(&bytes).is_ok();
            subject.effects.clear();
            subject.hear(&(from, bytes));
            prop_assert!(packet || subject.effects.is_empty());
        }
    }

    #[test]
    fn damaged_packets_never_panic(
        heard in prop::collection::vec((datagram(), any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut subject = Subject::new(1);
        for ((from, mut bytes), place, byte) in heard {
            let place = place.index(bytes.len());
            bytes[place] = byte;
            subject.hear(&(from, bytes));
            subject.pass(Duration::from_millis(700));
        }
        for effect in &subject.effects {
            if let Effect::Transmit(transmit) = effect {
                prop_assert!(RawPacket::parse(&transmit.bytes).is_ok());
            }
        }
    }

    #[test]
    fn answers_are_never_answered(
        answers in prop::collection::vec((2..40u8, packet(), answer()), 1..30),
    ) {
        let mut subject = Subject::new(1);
        for (host, said, command) in answers {
            // A read notice may ask for its answer; without that bit it gets none.
            let options = said.word & 0x7fef_ff00;
            let said = Said { word: options | u32::from(command.0), ..said };
            let from = SocketAddr::from(([10, 0, 0, host], PORT));
            // One name for each address, so that nobody moves.
            subject.hear(&(from, said.of(usize::from(host))));
        }
        subject.pass(Duration::from_secs(60));
        prop_assert_eq!(subject.sent(), BTreeMap::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn strangers_get_at_most_three_times_what_they_sent(
        heard in prop::collection::vec((datagram(), 0..9_000u64), 1..40),
        away in prop::option::of("[a-z离开]{1,200}"),
    ) {
        let mut subject = Subject::new(1);
        if let Some(text) = away {
            subject.input(Input::Request(RequestId(1), Request::Away { text }));
            subject.pass(Duration::from_secs(20));
            subject.effects.clear();
        }
        let mut taken = 0;
        for ((from, bytes), wait) in heard {
            taken += bytes.len() + 28;
            subject.hear(&(from, bytes));
            subject.pass(Duration::from_millis(wait));
        }
        subject.pass(Duration::from_secs(60));
        let mut given = 0;
        for effect in &subject.effects {
            if let Effect::Transmit(transmit) = effect {
                let raw = RawPacket::parse(&transmit.bytes).expect("we write packets");
                // One answer and one receipt always fit.
                if ![Command::ANSENTRY, Command::RECVMSG].contains(&raw.command()) {
                    given += transmit.bytes.len() + 28;
                }
            }
        }
        prop_assert!(given <= 3 * taken, "{given} for {taken}");
    }
}

fn answer() -> impl Strategy<Value = Command> {
    prop::sample::select(vec![
        Command::BR_EXIT,
        Command::ANSENTRY,
        Command::BR_ABSENCE,
        Command::OKGETLIST,
        Command::ANSLIST,
        Command::RECVMSG,
        Command::READMSG,
        Command::ANSREADMSG,
        Command::SENDINFO,
        Command::SENDABSENCEINFO,
        Command::RELEASEFILES,
        Command::ANSPUBKEY,
        Command::FEIQ_KNOCK_ANSWER,
    ])
}

/// What a face or fate does on a LAN.
#[derive(Clone, Copy, Debug)]
enum Act {
    Send { from: usize, to: usize, timeout_ms: u64 },
    SendLater { from: usize, to: usize, timeout_ms: u64, expire_ms: u64 },
    Retry { from: usize },
    Cancel { from: usize },
    Fill { host: usize, full: bool },
    HandOver { host: usize },
    Restart { host: usize },
    Plug { host: usize, plugged: bool },
    Leave { host: usize },
    Stop { host: usize },
    SetClock { by_ms: i64 },
    Wait { ms: u64 },
}

const HOSTS: usize = 4;
/// Fifty of them, in seconds.
const YEARS: i64 = 50 * 365 * 86_400;
const START: UnixMillis = UnixMillis(1_800_000_000_000);

fn act() -> impl Strategy<Value = Act> {
    let host = 0..HOSTS;
    prop_oneof![
        8 => (host.clone(), host.clone(), 0..8_000u64)
            .prop_map(|(from, to, timeout_ms)| Act::Send { from, to, timeout_ms }),
        6 => (host.clone(), host.clone(), 0..4_000u64, 0..60_000u64).prop_map(
            |(from, to, timeout_ms, expire_ms)| Act::SendLater { from, to, timeout_ms, expire_ms }
        ),
        1 => host.clone().prop_map(|from| Act::Retry { from }),
        2 => host.clone().prop_map(|from| Act::Cancel { from }),
        2 => (host.clone(), any::<bool>()).prop_map(|(host, full)| Act::Fill { host, full }),
        2 => host.clone().prop_map(|host| Act::HandOver { host }),
        2 => host.clone().prop_map(|host| Act::Restart { host }),
        3 => (host.clone(), any::<bool>()).prop_map(|(host, plugged)| Act::Plug { host, plugged }),
        1 => host.clone().prop_map(|host| Act::Leave { host }),
        1 => host.prop_map(|host| Act::Stop { host }),
        1 => (-YEARS..YEARS).prop_map(|by_s| Act::SetClock { by_ms: by_s * 1_000 }),
        6 => (0..3_000u64).prop_map(|ms| Act::Wait { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_ends_in_exactly_one_outcome_and_is_shown_once(
        seed in any::<u64>(),
        loss in 0..60u32,
        acts in prop::collection::vec(act(), 1..40),
    ) {
        let mut office = Office::new(seed, loss);
        for act in acts {
            office.perform(act);
        }
        office.settle()?;
    }
}

/// A few nodes, and what was sent that must end.
struct Office {
    lan: Lan,
    hosts: Vec<HostId>,
    alive: [bool; HOSTS],
    /// A full disk may lose an outcome, which is then told but not known after a restart.
    was_full: [bool; HOSTS],
    last: BTreeMap<usize, PacketNo>,
    sent: [Vec<Sent>; HOSTS],
}

struct Sent {
    number: PacketNo,
    peer: PeerId,
    later: bool,
    /// When it may expire, if it is kept.
    expires: Option<Tick>,
}

fn never_ended(number: PacketNo) -> TestCaseError {
    TestCaseError::fail(format!("{number:?} never ended"))
}

impl Office {
    fn new(seed: u64, loss: u32) -> Self {
        let mut lan = Lan::new(seed);
        lan.weather = Weather { loss, repeats: 20, ..Weather::default() };
        let hosts: Vec<_> = (0..HOSTS).map(|n| lan.host(&format!("n{n}"))).collect();
        lan.run_for(Duration::from_secs(20));
        let sent = std::array::from_fn(|_| Vec::new());
        let (alive, was_full) = ([true; HOSTS], [false; HOSTS]);
        Self { lan, hosts, alive, was_full, last: BTreeMap::new(), sent }
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Send { from, to, timeout_ms } => {
                self.send(from, to, timeout_ms, Wishes::default());
            }
            Act::SendLater { from, to, timeout_ms, expire_ms } => {
                let expire_ms = Some(expire_ms);
                let wishes = Wishes { later: true, expire_ms, ..Wishes::default() };
                self.send(from, to, timeout_ms, wishes);
            }
            Act::Cancel { from } => {
                if let Some(&number) = self.last.get(&from) {
                    self.lan.request(self.hosts[from], Request::Cancel { number });
                }
            }
            Act::Retry { from } => {
                if let Some(&number) = self.last.get(&from) {
                    self.lan.request(self.hosts[from], Request::Retry { number });
                }
            }
            Act::Fill { host, full } => {
                self.was_full[host] |= full;
                if let Some(disk) = self.lan.disk(self.hosts[host]) {
                    disk.full = full;
                    disk.delay = Duration::from_millis(3);
                }
            }
            Act::HandOver { host } => self.lan.hand_over(self.hosts[host]),
            Act::Restart { host } if self.alive[host] && !self.was_full[host] => {
                self.lan.restart(self.hosts[host]);
                // What the power cut kept from the disk never left.
                let disk = self.lan.disk(self.hosts[host]).expect("it runs");
                let is_kept = |sent: &Sent| {
                    let of = |m: &MessageRecord| {
                        m.number == sent.number
                            && m.peer.as_ref().is_some_and(|p| p.id == sent.peer)
                    };
                    disk.messages().any(of)
                };
                self.sent[host].retain(is_kept);
            }
            Act::Plug { host, plugged } => self.lan.plug(self.hosts[host], 0, plugged),
            Act::Leave { host } => {
                self.alive[host] = false;
                self.lan.leave(self.hosts[host]);
                // It waits on a disk that nobody reads any more.
                self.sent[host].retain(|sent| !sent.later);
            }
            // What a power cut leaves open, nobody can tell.
            Act::Stop { host } => {
                self.alive[host] = false;
                self.sent[host].clear();
                self.lan.stop(self.hosts[host]);
            }
            Act::SetClock { by_ms } => self.lan.wall_start.0 += by_ms,
            Act::Wait { ms } => self.lan.run_for(Duration::from_millis(ms)),
            Act::Restart { .. } => {}
        }
    }

    fn send(&mut self, from: usize, to: usize, timeout_ms: u64, wishes: Wishes) {
        if !self.alive[from] {
            return;
        }
        let later = wishes.later;
        let expires = wishes.expire_ms.map(|ms| self.lan.now() + Duration::from_millis(ms));
        let (nick, timeout) = (format!("n{to}"), Duration::from_millis(timeout_ms));
        let reply = self.lan.send_as(self.hosts[from], &[&nick], "text", timeout, wishes);
        if let Reply::Sent { number, to, .. } = reply {
            self.last.insert(from, number);
            let recipients =
                to.into_iter().map(|peer| Sent { number, peer: peer.id, later, expires });
            self.sent[from].extend(recipients);
        }
    }

    /// Who wrote what was shown, its number, and to whom.
    fn shown(&self) -> Result<BTreeSet<(PeerId, PacketNo, String)>, TestCaseError> {
        let mut shown = BTreeSet::new();
        for (to, &host) in self.hosts.iter().enumerate() {
            for (_, event) in self.lan.events(host) {
                let Event::Message(message) = event else { continue };
                let peer = message.peer.as_ref().filter(|_| message.direction == Direction::In);
                if let Some(peer) = peer {
                    let key = (peer.id.clone(), message.number, format!("host{to}@"));
                    prop_assert!(shown.insert(key.clone()), "shown twice: {key:?}");
                }
            }
        }
        Ok(shown)
    }

    fn settle(mut self) -> Result<(), TestCaseError> {
        for &host in &self.hosts {
            self.lan.plug(host, 0, true);
            if let Some(disk) = self.lan.disk(host) {
                disk.full = false;
            }
        }
        prop_assert!(self.lan.run_to_quiet(self.lan.now() + Duration::from_secs(1_000)));
        let shown = self.shown()?;
        for (n, (host, sent)) in self.hosts.iter().zip(self.sent).enumerate() {
            let own = format!("host{n}@");
            let mut ends = BTreeMap::new();
            let mut queued = BTreeSet::new();
            for (at, event) in self.lan.events(*host) {
                let (number, peer, outcome) = match event {
                    Event::Queued { number, peer, .. } => {
                        let key = (*number, peer.id.clone());
                        prop_assert!(!ends.contains_key(&key), "queued after its end");
                        prop_assert!(queued.insert(key), "queued twice");
                        continue;
                    }
                    Event::Delivered { number, peer, .. } => {
                        let key = (*number, peer.id.clone());
                        prop_assert!(queued.contains(&key), "delivered, but never queued");
                        (*number, peer, Outcome::Confirmed)
                    }
                    Event::Receipt { number, peer, .. } => (*number, peer, Outcome::Confirmed),
                    Event::Failed { number, peer, outcome, .. } => (*number, peer, *outcome),
                    _ => continue,
                };
                let is_it = |(from, of, to): &(PeerId, PacketNo, String)| {
                    *of == number && peer.id.0.starts_with(to.as_str()) && from.0.starts_with(&*own)
                };
                prop_assert!(
                    outcome != Outcome::Confirmed || shown.iter().any(is_it),
                    "{number:?} to {peer:?} is not shown: {shown:?}"
                );
                let again = ends.insert((number, peer.id.clone()), (outcome, *at));
                prop_assert_eq!(again, None, "ended twice");
            }
            for Sent { number, peer, expires, .. } in sent {
                let end = ends.get(&(number, peer));
                let (outcome, at) = end.ok_or_else(|| never_ended(number))?;
                // Whatever became of the clock. It notes whole milliseconds.
                let early = expires.is_some_and(|expires| *at + Duration::from_millis(1) < expires);
                prop_assert!(*outcome != Outcome::Expired || !early, "{:?} at {:?}", number, at);
            }
        }
        Ok(())
    }
}

#[test]
fn a_message_whose_number_is_not_reserved_ends_though_the_port_changes_hands() {
    let mut office = Office::new(0, 0);
    // Just below the end of the numbers, so that the next one waits for its reservation.
    office.perform(Act::SetClock { by_ms: (i64::from(i32::MAX) - 22) * 1_000 - START.0 });
    office.perform(Act::Fill { host: 1, full: true });
    office.perform(Act::HandOver { host: 1 });
    office.perform(Act::Send { from: 1, to: 2, timeout_ms: 1_000 });
    office.perform(Act::HandOver { host: 1 });
    office.settle().unwrap();
}

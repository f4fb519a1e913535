//! What happens on a whole subnet? Nodes, and scripted peers of any kind, on links in memory.
//!
//! Time is virtual and everything random comes from one seed: the same seed gives the same run,
//! datagram for datagram. Subnets are IPv4 with 65,534 addresses each; there are no sockets and no
//! real disk, but a datagram may be lost, late, repeated or overtaken, and a record takes its time.
//!
//! ```
//! use feige::node::{Event, Reply, Request};
//! use feige::sim::Lan;
//! use std::time::Duration;
//!
//! let mut lan = Lan::new(7);
//! let (alice, bob) = (lan.host("alice"), lan.host("bob"));
//! lan.run_for(Duration::from_secs(5));
//! let Reply::Peers { peers } = lan.ask(alice, Request::Peers) else { panic!() };
//! assert_eq!(peers[0].nick, "bob");
//! # let _ = bob;
//! ```

mod disk;
mod happening;
mod machine;
mod weather;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

pub use disk::Disk;
pub use machine::{Heard, Script};
pub use weather::{Traffic, Weather};

use happening::{Happening, KEY_WORK};
use machine::{Host, Port, Program, Running, broadcast_of, is_broadcast, is_for_link};

use crate::node::{
    Bounce, Config, Effect, Event, Identity, Input, Link, LinkId, Node, Now, PORT, PeerId,
    PeerView, Policy, Reply, Request, RequestId, SaveId, SaveResult, Target, Tick, Transmit,
    UnixMillis, Wishes,
};

/// A LAN in memory.
#[derive(Debug)]
pub struct Lan {
    rng: StdRng,
    now: Tick,
    /// Wall-clock time at tick 0, when every system started; to move it is to set the clock.
    pub wall_start: UnixMillis,
    /// What befalls datagrams from now on.
    pub weather: Weather,
    /// Whether unicasts and directed broadcasts pass from one subnet to another.
    pub routed: bool,
    /// Limits of nodes made from now on.
    pub policy: Policy,
    hosts: Vec<Host>,
    /// Whose address it is, and on which card.
    addrs: BTreeMap<SocketAddr, (HostId, usize)>,
    due: BTreeMap<(Tick, u64), Happening>,
    next_happening: u64,
    traffic: Traffic,
}

/// Names a host of the LAN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(usize);

impl Lan {
    /// An empty LAN.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            now: Tick(0),
            wall_start: UnixMillis(1_800_000_000_000),
            weather: Weather::default(),
            routed: false,
            policy: Policy::default(),
            hosts: Vec::new(),
            addrs: BTreeMap::new(),
            due: BTreeMap::new(),
            next_happening: 0,
            traffic: Traffic::default(),
        }
    }

    /// Adds a machine with a node called `nick`, on subnet 0, and starts it now.
    pub fn host(&mut self, nick: &str) -> HostId {
        self.host_with(&[0], |config| nick.clone_into(&mut config.identity.nick))
    }

    /// Adds a machine with one network card on each of `subnets`, and starts a node there now.
    /// `adjust` changes its configuration before that.
    pub fn host_with(&mut self, subnets: &[u8], adjust: impl FnOnce(&mut Config)) -> HostId {
        let at = HostId(self.hosts.len());
        let config = self.config(at, adjust);
        let ports = self.ports(at, subnets);
        self.hosts.push(Host { ports, program: Program::Stopped, events: Vec::new() });
        self.start(at, config, Disk::default());
        at
    }

    /// Adds a machine on `subnet` that runs `script`; its address is that of [`Lan::addr`].
    pub fn script(&mut self, subnet: u8, script: Script) -> HostId {
        let at = HostId(self.hosts.len());
        let ports = self.ports(at, &[subnet]);
        self.hosts.push(Host { ports, program: Program::Script(script), events: Vec::new() });
        at
    }

    /// The first address of a machine, with its port.
    pub fn addr(&self, at: HostId) -> SocketAddr {
        self.addr_on(at, 0)
    }

    /// The address of a machine on its network card `card`, counted from 0.
    pub fn addr_on(&self, at: HostId, card: usize) -> SocketAddr {
        let port = self.hosts.get(at.0).and_then(|host| host.ports.get(card));
        port.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |port| port.addr)
    }

    /// Virtual time.
    pub fn now(&self) -> Tick {
        self.now
    }

    /// What went over the wire until now.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Sends `bytes` from a machine as if a program there had.
    pub fn say(&mut self, at: HostId, to: SocketAddr, bytes: &[u8]) {
        self.transmit(at, None, to, &bytes.into());
    }

    /// Puts a request to a node. Its answer is in [`Lan::reply`].
    pub fn request(&mut self, at: HostId, request: Request) -> RequestId {
        let Some(running) = self.running(at) else { return RequestId(0) };
        running.next_request += 1;
        let id = RequestId(running.next_request);
        self.feed(at, Input::Request(id, request));
        id
    }

    /// The answer to a request, if it came.
    pub fn reply(&mut self, at: HostId, id: RequestId) -> Option<Reply> {
        self.running(at)?.replies.get(&id).cloned()
    }

    /// Puts a request whose answer comes at once.
    ///
    /// # Panics
    ///
    /// If no node runs there.
    pub fn ask(&mut self, at: HostId, request: Request) -> Reply {
        let id = self.request(at, request);
        self.reply(at, id).expect("a running node answers every request at once")
    }

    /// Sends a message that waits for receipts, from one machine to the peers a node knows by
    /// these nicknames.
    pub fn send(&mut self, at: HostId, to: &[&str], text: &str, timeout: Duration) -> Reply {
        self.send_as(at, to, text, timeout, Wishes::default())
    }

    /// As [`Lan::send`], with wishes.
    pub fn send_as(
        &mut self,
        at: HostId,
        to: &[&str],
        text: &str,
        timeout: Duration,
        wishes: Wishes,
    ) -> Reply {
        let known = self.peers(at);
        let target = |nick: &&str| {
            let peer = known.iter().find(|peer| peer.nick == **nick);
            Target::Peer(peer.map_or_else(|| PeerId((*nick).into()), |peer| peer.id.clone()))
        };
        let to = to.iter().map(target).collect();
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let text = text.to_owned();
        self.ask(at, Request::Send { to, text, check: true, timeout_ms, wishes })
    }

    /// Whom a node knows.
    pub fn peers(&mut self, at: HostId) -> Vec<PeerView> {
        match self.running(at).is_some().then(|| self.ask(at, Request::Peers)) {
            Some(Reply::Peers { peers }) => peers,
            _ => Vec::new(),
        }
    }

    /// What the nodes of a machine told, one after the other, and when.
    pub fn events(&self, at: HostId) -> &[(Tick, Event)] {
        self.hosts.get(at.0).map(|host| host.events.as_slice()).unwrap_or_default()
    }

    /// The disk of a node.
    pub fn disk(&mut self, at: HostId) -> Option<&mut Disk> {
        self.running(at).map(|running| &mut running.disk)
    }

    /// The node itself, to look at its deadlines.
    pub fn node(&self, at: HostId) -> Option<&Node> {
        match self.hosts.get(at.0).map(|host| &host.program) {
            Some(Program::Node(running)) => Some(&running.node),
            _ => None,
        }
    }

    /// Ends a node with a goodbye.
    pub fn leave(&mut self, at: HostId) {
        self.feed(at, Input::Leave);
        self.flush(at);
        self.stop(at);
    }

    /// Ends a node without a word; what was not on its disk is lost.
    pub fn stop(&mut self, at: HostId) {
        if let Some(host) = self.hosts.get_mut(at.0) {
            host.program = Program::Stopped;
        }
    }

    /// Ends a node without a word and starts it again on the same disk, after what is on its way
    /// there was written.
    pub fn restart(&mut self, at: HostId) {
        let Some(running) = self.running(at) else { return };
        let mut disk = std::mem::take(&mut running.disk);
        let mut config = running.config.clone();
        disk.forget_what_waits();
        self.forget_commits(at);
        config.numbers = disk.numbers(self.wall());
        self.start(at, config, disk);
    }

    /// Passes a node's port on to another process on the same machine.
    pub fn hand_over(&mut self, at: HostId) {
        self.flush(at);
        self.forget_commits(at);
        let seed = self.seed();
        let now = self.time();
        let links = self.links(at);
        let Some(running) = self.running(at) else { return };
        let handover = running.node.hand_over();
        running.disk.close(handover.last_number());
        running.config.numbers = running.disk.numbers(now.wall);
        running.node = Node::resume(running.config.clone(), seed, handover, now);
        running.wake = None;
        self.feed(at, Input::Links(links));
    }

    /// Pulls or plugs the cable of a network card; the node is told at once.
    pub fn plug(&mut self, at: HostId, card: usize, plugged: bool) {
        if let Some(port) = self.port_mut(at, card) {
            port.plugged = plugged;
        }
        self.tell_links(at);
    }

    /// Gives a network card a new address; the node is told at once.
    pub fn readdress(&mut self, at: HostId, card: usize, addr: Ipv4Addr) {
        if let Some(port) = self.port_mut(at, card) {
            let before = port.addr;
            port.addr.set_ip(addr.into());
            let now = port.addr;
            self.addrs.remove(&before);
            self.addrs.insert(now, (at, card));
        }
        self.tell_links(at);
    }

    /// Runs until virtual time is `until`.
    pub fn run_until(&mut self, until: Tick) {
        while self.due.first_key_value().is_some_and(|(&(tick, _), _)| tick <= until) {
            self.step();
        }
        self.now = self.now.max(until);
    }

    /// Runs for this long.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Runs until nothing is due any more, or until virtual time is `until`. Whether it is quiet.
    pub fn run_to_quiet(&mut self, until: Tick) -> bool {
        while self.due.first_key_value().is_some_and(|(&(tick, _), _)| tick <= until) {
            self.step();
        }
        self.due.is_empty()
    }

    fn step(&mut self) {
        let Some(((tick, _), happening)) = self.due.pop_first() else { return };
        self.now = tick;
        match happening {
            Happening::Arrives { at, link, from, to, bytes } => {
                self.arrive(at, link, from, to, &bytes);
            }
            Happening::Bounces { at, to } => {
                self.feed(at, Input::Bounced { to, reason: Bounce::PortUnreachable });
            }
            Happening::Commits { at, id } => self.commit(at, id),
            Happening::Finishes { at, id, done } => self.feed(at, Input::Crypto(id, *done)),
            Happening::Wakes { at } => {
                let Some(running) = self.running(at) else { return };
                running.wake = None;
                if running.node.next_deadline().is_some_and(|deadline| deadline <= tick) {
                    self.feed(at, Input::Wake);
                } else {
                    self.plan_wake(at);
                }
            }
        }
    }

    fn arrive(
        &mut self,
        at: HostId,
        link: LinkId,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &Arc<[u8]>,
    ) {
        let heard_at = self.now;
        let Some(host) = self.hosts.get_mut(at.0) else { return };
        self.traffic.arrived += 1;
        match &mut host.program {
            Program::Node(_) => self.feed(at, Input::Datagram { link, from, bytes }),
            Program::Script(script) => {
                for (to, bytes) in script(Heard { at: heard_at, from, bytes }) {
                    self.transmit(at, Some(link), to, &bytes.into());
                }
            }
            Program::Stopped => {
                let sender = self.addrs.get(&from).filter(|_| !is_broadcast(to));
                if let Some(&(sender, _)) = sender {
                    let bounce = Happening::Bounces { at: sender, to };
                    self.plan(Duration::from_micros(100), bounce);
                }
            }
        }
    }

    /// An orderly end commits what is on its way.
    fn flush(&mut self, at: HostId) {
        loop {
            let running = self.running(at);
            let waiting = running.map(|running| running.disk.waiting()).unwrap_or_default();
            if waiting.is_empty() {
                return;
            }
            // A record that could not be kept may have another one as its consequence.
            for id in waiting {
                self.commit(at, id);
            }
        }
    }

    /// The next process names its records anew; what is planned for those before is not for them.
    fn forget_commits(&mut self, at: HostId) {
        self.due
            .retain(|_, due| !matches!(due, Happening::Commits { at: host, .. } if *host == at));
    }

    fn commit(&mut self, at: HostId, id: SaveId) {
        let Some(running) = self.running(at) else { return };
        let Some((result, transmits, events)) = running.disk.commit(id) else { return };
        self.tell(at, events);
        for transmit in transmits {
            self.transmit(at, transmit.link, transmit.to, &transmit.bytes);
        }
        self.feed(at, Input::Saved(id, result));
    }

    fn feed(&mut self, at: HostId, input: Input<'_>) {
        let now = self.time();
        let Some(running) = self.running(at) else { return };
        let effects = running.node.handle(now, input);
        for effect in effects {
            self.perform(at, effect);
        }
        self.plan_wake(at);
    }

    fn perform(&mut self, at: HostId, effect: Effect) {
        let Some(running) = self.running(at) else { return };
        match effect {
            Effect::Transmit(transmit) => {
                if let Some(Transmit { link, to, bytes, .. }) = running.disk.hold(transmit) {
                    self.transmit(at, link, to, &bytes);
                }
            }
            Effect::Emit { event, after } => {
                if let Some(event) = running.disk.hold_event(event, after) {
                    self.tell(at, vec![event]);
                }
            }
            Effect::Save(id, record) => {
                let delay = running.disk.delay;
                running.disk.take(id, record);
                self.plan(delay, Happening::Commits { at, id });
            }
            Effect::Crypto(id, job) => {
                let mut rng = StdRng::from_seed(self.seed());
                let Some(running) = self.running(at) else { return };
                let done = Box::new(running.keyring.perform(job, &mut rng));
                self.plan(KEY_WORK, Happening::Finishes { at, id, done });
            }
            // A simulated machine has neither TCP nor files, and draws no pictures.
            Effect::Fetch(..)
            | Effect::StopFetch(_)
            | Effect::DropFetch(_)
            | Effect::DropParts(_)
            | Effect::Serve(_)
            | Effect::HangUp(_)
            | Effect::Unlist(..)
            | Effect::Picture(_) => {}
            Effect::Reply(id, reply) => {
                running.replies.insert(id, reply);
            }
            Effect::Recall(request, seq) => {
                let found = running.disk.recall(seq);
                self.feed(at, Input::Recalled { request, seq, found });
            }
        }
    }

    fn tell(&mut self, at: HostId, events: Vec<Event>) {
        let now = self.now;
        if let Some(host) = self.hosts.get_mut(at.0) {
            host.events.extend(events.into_iter().map(|event| (now, event)));
        }
    }

    /// Puts a datagram on the wire.
    fn transmit(&mut self, at: HostId, link: Option<LinkId>, to: SocketAddr, bytes: &Arc<[u8]>) {
        let Some(port) = self.hosts.get(at.0).and_then(|host| host.port_for(link, to)) else {
            return;
        };
        self.traffic.sent += 1;
        let routed = self.routed;
        let hears = |other: &Port| {
            let near = other.subnet == port.subnet;
            let named = other.addr == to || to == broadcast_of(other.subnet, to.port());
            let limited = near && is_for_link(to);
            other.plugged
                && other.addr.port() == to.port()
                && (limited || named && (near || routed))
        };
        let mut receivers = Vec::new();
        if is_broadcast(to) {
            for (index, host) in self.hosts.iter().enumerate() {
                let near = host.ports.iter().filter(|other| hears(other));
                receivers.extend(near.map(|other| (HostId(index), other.link)));
            }
        } else if let Some(&(owner, card)) = self.addrs.get(&to) {
            let other = self.hosts.get(owner.0).and_then(|host| host.ports.get(card));
            receivers.extend(other.filter(|other| hears(other)).map(|other| (owner, other.link)));
        }
        for (receiver, link) in receivers {
            if self.chance(self.weather.loss) {
                self.traffic.lost += 1;
                continue;
            }
            for _ in 0..=u8::from(self.chance(self.weather.repeats)) {
                let (at, from) = (receiver, port.addr);
                let bytes = Arc::clone(bytes);
                let delay = self.rng.gen_range(self.weather.delay_min..=self.weather.delay_max);
                self.plan(delay, Happening::Arrives { at, link, from, to, bytes });
            }
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.gen_range(0..100) < percent
    }

    fn plan(&mut self, after: Duration, happening: Happening) {
        self.next_happening += 1;
        self.due.insert((self.now + after, self.next_happening), happening);
    }

    fn plan_wake(&mut self, at: HostId) {
        let now = self.now;
        let Some(running) = self.running(at) else { return };
        let Some(deadline) = running.node.next_deadline() else { return };
        let deadline = deadline.max(now);
        if running.wake.is_none_or(|wake| deadline < wake) {
            running.wake = Some(deadline);
            self.plan(deadline - now, Happening::Wakes { at });
        }
    }

    fn start(&mut self, at: HostId, config: Config, mut disk: Disk) {
        let mut node = Node::new(config.clone(), self.seed());
        node.remember(self.time(), disk.memory(self.wall_start));
        let keyring = disk.keyring();
        let (replies, next_request) = (BTreeMap::new(), 0);
        let running = Running { node, keyring, config, disk, wake: None, replies, next_request };
        if let Some(host) = self.hosts.get_mut(at.0) {
            host.program = Program::Node(Box::new(running));
        }
        self.tell_links(at);
    }

    fn tell_links(&mut self, at: HostId) {
        let links = self.links(at);
        self.feed(at, Input::Links(links));
    }

    fn links(&self, at: HostId) -> Vec<Link> {
        let ports = self.hosts.get(at.0).map(|host| host.ports.as_slice()).unwrap_or_default();
        ports.iter().filter(|port| port.plugged).map(Port::as_link).collect()
    }

    fn config(&self, at: HostId, adjust: impl FnOnce(&mut Config)) -> Config {
        let name = format!("host{}", at.0);
        let mut config = Config {
            identity: Identity {
                nick: name.clone(),
                group: String::new(),
                user: name.clone(),
                host: name,
                mac: format!("02{:010X}", at.0),
            },
            office: crate::node::Office::Auto,
            port: PORT,
            networks: Vec::new(),
            seeds: Vec::new(),
            passive: false,
            keeps: true,
            delivers: true,
            numbers: Disk::default().numbers(self.wall()),
            version: [0, 1, 0],
            accept: Vec::new(),
            policy: self.policy.clone(),
        };
        adjust(&mut config);
        config
    }

    fn ports(&mut self, at: HostId, subnets: &[u8]) -> Vec<Port> {
        let number = u16::try_from(at.0 + 1).unwrap_or(u16::MAX).to_be_bytes();
        let mut ports = Vec::new();
        for (card, (&subnet, link)) in subnets.iter().zip(1..).enumerate() {
            let addr = SocketAddr::from(([10, subnet, number[0], number[1]], PORT));
            self.addrs.insert(addr, (at, card));
            ports.push(Port { link: LinkId(link), subnet, addr, plugged: true });
        }
        ports
    }

    fn port_mut(&mut self, at: HostId, card: usize) -> Option<&mut Port> {
        self.hosts.get_mut(at.0)?.ports.get_mut(card)
    }

    fn running(&mut self, at: HostId) -> Option<&mut Running> {
        match &mut self.hosts.get_mut(at.0)?.program {
            Program::Node(running) => Some(running),
            Program::Script(_) | Program::Stopped => None,
        }
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    fn wall(&self) -> UnixMillis {
        let elapsed = i64::try_from(self.now.0 / 1_000).unwrap_or(i64::MAX);
        UnixMillis(self.wall_start.0.saturating_add(elapsed))
    }

    fn time(&self) -> Now {
        Now { tick: self.now, wall: self.wall(), booted: self.wall_start }
    }
}

/// What a node gets back from its disk.
type Committed = (SaveResult, Vec<Transmit>, Vec<Event>);

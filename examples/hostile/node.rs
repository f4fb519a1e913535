//! A node whose clock is driven by hand, and a shell around it that keeps every record at once.

use std::net::SocketAddr;
use std::time::Duration;

use feige::node::{
    Config, Effect, Identity, Input, Ipv4Net, Job, JobId, Keyring, Link, LinkId, Node, Now,
    NumberStart, PacketNo, SaveResult, Tick, UnixMillis,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// A node on 10.0.0.1, where everybody of 10.0.0.0/8 may speak to it.
pub(crate) struct Target {
    pub(crate) node: Node,
    pub(crate) now: Now,
    seq: u64,
    jobs: Vec<(JobId, Job)>,
    keyring: Keyring,
    random: StdRng,
}

/// Our link.
pub(crate) const LINK: LinkId = LinkId(1);
const START: UnixMillis = UnixMillis(1_800_000_000_000);
/// Jobs with private keys that lie before they are done.
const JOBS: usize = 32;

impl Target {
    /// A node that announced itself a while ago.
    pub(crate) fn new(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            numbers: NumberStart { last: PacketNo(1_000), reserved: PacketNo(150_000) },
            ..Config::new(Identity {
                nick: "fei".into(),
                group: "研发部".into(),
                user: "fei".into(),
                host: "desk".into(),
                mac: "02AABBCCDDEE".into(),
            })
        };
        adjust(&mut config);
        let now = Now { tick: Tick(0), wall: START, booted: START };
        let mut target = Self {
            node: Node::new(config, [7; 32]),
            now,
            seq: 0,
            jobs: Vec::new(),
            keyring: Keyring::default(),
            random: StdRng::seed_from_u64(1),
        };
        let net = Ipv4Net {
            addr: [10, 0, 0, 1].into(),
            broadcast: Some([10, 255, 255, 255].into()),
            limited: true,
        };
        let (name, v6) = ("eth0".to_owned(), Vec::new());
        target.input(Input::Links(vec![Link {
            id: LINK,
            name,
            v4: vec![net],
            v6,
            multicast: true,
        }]));
        target.pass(Duration::from_secs(20));
        target
    }

    /// A datagram comes.
    pub(crate) fn hear(&mut self, (from, bytes): &(SocketAddr, Vec<u8>)) {
        self.input(Input::Datagram { link: LINK, from: *from, bytes });
    }

    /// Something happens, and what the node wants done is done.
    pub(crate) fn input(&mut self, input: Input<'_>) {
        let effects = self.node.handle(self.now, input);
        self.perform(effects);
        if self.jobs.len() > JOBS {
            for (id, job) in std::mem::take(&mut self.jobs) {
                let done = self.keyring.perform(job, &mut self.random);
                let effects = self.node.handle(self.now, Input::Crypto(id, done));
                self.perform(effects);
            }
        }
    }

    /// Does what the node wants done.
    pub(crate) fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Save(id, record) => {
                    let seq = record.is_event().then_some(self.seq);
                    self.seq += u64::from(record.is_event());
                    drop(record);
                    let kept = Input::Saved(id, SaveResult::Kept { seq });
                    let effects = self.node.handle(self.now, kept);
                    self.perform(effects);
                }
                Effect::Crypto(id, job) => self.jobs.push((id, job)),
                _ => {}
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, span: Duration) {
        let until = self.now.tick + span;
        while let Some(deadline) = self.node.next_deadline().filter(|&at| at <= until) {
            self.set(deadline.max(self.now.tick));
            self.input(Input::Wake);
        }
        self.set(until);
    }

    fn set(&mut self, tick: Tick) {
        let ms = i64::try_from((tick - Tick::default()).as_millis()).unwrap_or(i64::MAX);
        self.now = Now { tick, wall: UnixMillis(START.0 + ms), booted: START };
    }
}

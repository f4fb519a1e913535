//! The store of a simulated node: records in memory, committed after a while, or refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Committed;
use crate::node::{
    ClockSet, Direction, EpochMemory, Event, Keyring, Memory, MessageRecord, Now, NumberStart,
    Open, OpenMemory, Outcome, PacketNo, PeerId, PeerView, Recalled, Record, SaveId, SaveResult,
    SealedMemory, Transmit, UnixMillis, UntoldMemory,
};
use crate::wire::command::message::SECRET;

/// What survives a restart of a simulated node.
#[derive(Debug, Default)]
pub struct Disk {
    /// How long a commit takes.
    pub delay: Duration,
    /// Nothing is taken.
    pub full: bool,
    records: Vec<Record>,
    received: BTreeSet<(PeerId, u32, PacketNo)>,
    last_number: PacketNo,
    seq: u64,
    /// The places of messages in the event stream, and in the records.
    messages: BTreeMap<u64, usize>,
    opened: BTreeSet<u64>,
    /// Openings whose senders may not know of them, and when that was.
    untold: BTreeMap<u64, UnixMillis>,
    read: BTreeSet<(PeerId, PacketNo)>,
    away: Option<String>,
    /// When the system was started, by the clock of the times of day in here.
    booted: Option<UnixMillis>,
    waiting: BTreeMap<SaveId, Waiting>,
}

/// A record on its way, and what waits for it.
#[derive(Debug)]
struct Waiting {
    record: Record,
    transmits: Vec<Transmit>,
    events: Vec<Event>,
}

impl Disk {
    /// What was kept, in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The messages kept, in order.
    pub fn messages(&self) -> impl Iterator<Item = &MessageRecord> {
        self.records.iter().filter_map(|record| match record {
            Record::Message(message) => Some(message),
            _ => None,
        })
    }

    /// The places of the sealed messages that nobody opened yet.
    pub fn closed(&self) -> Vec<u64> {
        let closed = self.messages.iter().filter(|(seq, at)| {
            let record = self.records.get(**at);
            matches!(record, Some(Record::Message(message)) if message.is_envelope())
                && !self.opened.contains(seq)
        });
        closed.map(|(&seq, _)| seq).collect()
    }

    /// A message as a node that wants to open it gets it.
    pub(super) fn recall(&self, seq: u64) -> Recalled {
        match self.messages.get(&seq).and_then(|&at| self.records.get(at)) {
            Some(Record::Message(message)) => Recalled::Message {
                message: Box::new(message.clone()),
                opened: self.opened.contains(&seq),
            },
            _ => Recalled::Missing,
        }
    }

    /// Our sealed messages that nobody opened.
    fn sealed(&self) -> Vec<SealedMemory> {
        let sent = self.messages().filter(|message| {
            message.direction == Direction::Out && message.options.contains(SECRET)
        });
        sent.filter_map(|message| Some((message.number, message.peer.as_deref()?.clone())))
            .filter(|(number, peer)| !self.read.contains(&(peer.id.clone(), *number)))
            .map(|(number, peer)| SealedMemory { number, peer })
            .collect()
    }

    /// Openings whose senders may not know of them.
    fn untold(&self) -> Vec<UntoldMemory> {
        let of = |(&message, &opened): (&u64, &UnixMillis)| {
            let Record::Message(record) = self.records.get(*self.messages.get(&message)?)? else {
                return None;
            };
            let (number, options) = (record.number, record.options);
            Some(UntoldMemory {
                message,
                number,
                peer: record.peer.as_deref()?.clone(),
                options,
                opened,
            })
        };
        self.untold.iter().filter_map(of).collect()
    }

    /// The private keys kept.
    pub(super) fn keyring(&self) -> Keyring {
        let mut keyring = Keyring::default();
        for record in &self.records {
            if let Record::Key(key) = record {
                // What a keyring made it takes back.
                let _ = keyring.restore(key.der.as_bytes());
            }
        }
        keyring
    }

    /// Where the numbers of the next run go on.
    pub(super) fn numbers(&self, wall: UnixMillis) -> NumberStart {
        let seconds = u64::try_from(wall.0 / 1_000).unwrap_or(0);
        let last = self.last_number.0.max(seconds);
        NumberStart { last: PacketNo(last), reserved: PacketNo(last + 131_072) }
    }

    /// What a node is told at its start; at that time.
    pub(super) fn memory(&mut self, now: Now) -> Memory {
        let before = self.booted.replace(now.booted);
        let set = before.and_then(|before| ClockSet::since(before, now));
        self.records.extend(set.map(Record::ClockSet));
        let mut highest: BTreeMap<PeerId, (u32, PacketNo)> = BTreeMap::new();
        for (peer, epoch, number) in self.received.iter().filter(|(_, epoch, _)| *epoch > 0) {
            let best = highest.entry(peer.clone()).or_default();
            *best = (*best).max((*epoch, *number));
        }
        let epochs = highest
            .into_iter()
            .map(|(peer, (epoch, highest))| EpochMemory { peer, epoch, highest })
            .collect();
        let (sealed, untold) = (self.sealed(), self.untold());
        let (away, open) = (self.away.clone(), self.open());
        let mut memory = Memory { epochs, sealed, untold, away, open, ..Memory::default() };
        for record in &self.records {
            match record {
                Record::Book(change) => memory.apply(change),
                Record::Charsets(known) => {
                    memory.charsets.retain(|other| other.peer != known.peer);
                    memory.charsets.push(known.clone());
                }
                Record::Group(group) => {
                    memory.groups.retain(|other| other.id != group.id);
                    memory.groups.push(group.clone());
                }
                _ => {}
            }
        }
        memory
    }

    /// Messages of ours without an outcome.
    fn open(&self) -> Vec<OpenMemory> {
        let mut open: Vec<OpenMemory> = Vec::new();
        for record in &self.records {
            match record {
                Record::Message(message) => open.extend(open_memory(message)),
                Record::Outcome(outcome) => {
                    let of = |open: &OpenMemory| {
                        open.number == outcome.number && is_recipient(&open.peer, &outcome.peer)
                    };
                    match open.iter().position(of) {
                        Some(at) if outcome.outcome == Outcome::Queued => open[at].queued = true,
                        Some(at) => drop(open.remove(at)),
                        None => {}
                    }
                }
                Record::ClockSet(set) => {
                    for one in open.iter_mut().filter(|one| set.moves(one.written)) {
                        one.written = set.moved(one.written);
                        if let Open::Until { expires, .. } = &mut one.open {
                            *expires = set.moved(*expires);
                        }
                    }
                }
                _ => {}
            }
        }
        open
    }

    pub(super) fn take(&mut self, id: SaveId, record: Record) {
        let (transmits, events) = (Vec::new(), Vec::new());
        self.waiting.insert(id, Waiting { record, transmits, events });
    }

    /// Gives a datagram back that need not wait.
    pub(super) fn hold(&mut self, transmit: Transmit) -> Option<Transmit> {
        match transmit.after.and_then(|after| self.waiting.get_mut(&after)) {
            Some(waiting) => {
                waiting.transmits.push(transmit);
                None
            }
            None => Some(transmit),
        }
    }

    /// Gives an event back that need not wait.
    pub(super) fn hold_event(&mut self, event: Event, after: Option<SaveId>) -> Option<Event> {
        match after.and_then(|after| self.waiting.get_mut(&after)) {
            Some(waiting) => {
                waiting.events.push(event);
                None
            }
            None => Some(event),
        }
    }

    /// The next record to write.
    pub(super) fn waiting(&self) -> Option<SaveId> {
        self.waiting.keys().next().copied()
    }

    /// The power went: what was on its way is lost.
    pub(super) fn forget_what_waits(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn close(&mut self, last: PacketNo) {
        self.last_number = last;
    }

    /// Writes a record, or refuses it; and what may go now because of that.
    pub(super) fn commit(&mut self, id: SaveId) -> Option<Committed> {
        let Waiting { record, transmits, events } = self.waiting.remove(&id)?;
        if self.full {
            return Some((SaveResult::Failed("disk full".into()), Vec::new(), Vec::new()));
        }
        match &record {
            Record::Message(message) if message.direction == Direction::In => {
                let id = message.peer.as_ref().map(|peer| peer.id.clone());
                let id = id.unwrap_or_else(|| PeerId("".into()));
                if !self.received.insert((id, message.epoch, message.number)) {
                    return Some((SaveResult::Repeat, transmits, Vec::new()));
                }
            }
            Record::Numbers(upto) => self.last_number = *upto,
            Record::Opened(opened) if !self.opened.insert(opened.message) => {
                return Some((SaveResult::Repeat, transmits, Vec::new()));
            }
            Record::Opened(opened) if opened.tells => {
                self.untold.insert(opened.message, opened.at);
            }
            Record::NoticeOver(message) => {
                self.untold.remove(message);
            }
            Record::Read(read) if !self.read.insert((read.peer.id.clone(), read.number)) => {
                return Some((SaveResult::Repeat, transmits, Vec::new()));
            }
            Record::Away(away) => self.away.clone_from(away),
            Record::ClockSet(set) => self.booted = self.booted.map(|booted| set.moved(booted)),
            _ => {}
        }
        let is_event = record.is_event();
        self.seq += u64::from(is_event);
        if matches!(record, Record::Message(_)) {
            self.messages.insert(self.seq, self.records.len());
        }
        self.records.push(record);
        Some((SaveResult::Kept { seq: is_event.then_some(self.seq) }, transmits, events))
    }
}

/// A sent message as a starting node is told of it, if it is open until its outcome is kept.
fn open_memory(message: &MessageRecord) -> Option<OpenMemory> {
    Some(OpenMemory {
        number: message.number,
        peer: message.peer.as_deref()?.clone(),
        options: message.options,
        text: message.text.clone(),
        written: message.at,
        open: message.open?,
        queued: false,
    })
}

/// Whether an outcome's peer is a message's recipient; one written to by its address may have got a
/// name since.
fn is_recipient(recipient: &PeerView, peer: &PeerView) -> bool {
    recipient.id == peer.id || (recipient.addr, recipient.port) == (peer.addr, peer.port)
}

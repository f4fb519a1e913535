//! Encrypted messages to us: our key for whoever asks, and what is inside what comes
//! (`feiq-dialect.md`, 10; wire reference, 9).
//!
//! The work with keys is done elsewhere ([`super::jobs`]); this part remembers what waits for it. A
//! message that cannot be opened is never answered, whatever is wrong with it, and one that can is
//! confirmed like any other: when it is on disk.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Parts;
use super::api::{Extras, NoticeCode};
use super::effect::{Effect, KeyRecord, Record};
use super::inbox::Key;
use super::input::{LinkId, SaveId, SaveResult, Tick};
use super::jobs::{Done, Job, JobId, Section};
use super::messages::New;
use super::peer::Sighting;
use super::trust::Allowance;
use super::turn::Turn;
use crate::crypto::{Capability, KeyOffer, OpenError, Opened, Plain};
use crate::wire::body::Message;
use crate::wire::command::message;
use crate::wire::{Command, Packet, RawPacket, Sealed};

/// What waits for a key.
#[derive(Debug, Default)]
pub(crate) struct Private {
    next: u64,
    waiting: BTreeMap<JobId, Waiting>,
    /// Keys that were made and are not on disk yet.
    unkept: Vec<KeyRecord>,
    /// The record of the last of them, on its way.
    keeping: Option<SaveId>,
    /// When a stranger's question last got a key that was longer than it granted.
    granted: BTreeMap<IpAddr, Tick>,
    /// Messages of an address that could not be opened, since when.
    failures: BTreeMap<IpAddr, (Tick, u32)>,
}

/// What goes on when a job is done.
#[derive(Debug)]
struct Waiting {
    link: LinkId,
    from: SocketAddr,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A question for our key, of so many bytes.
    Offer { size: usize },
    /// A message, and what it may still cause.
    Open { key: Key, bytes: Arc<[u8]>, left: Allowance },
}

/// Most addresses of which something is remembered; beyond that all are forgotten.
const ADDRESSES_MAX: usize = 4_096;

impl Private {
    /// Orders a job if there is room for one more from there.
    fn order(&mut self, turn: &mut Turn<'_>, waiting: Waiting, job: Job) -> bool {
        let policy = &turn.base.policy;
        let of_address = |other: &&Waiting| other.from.ip() == waiting.from.ip();
        if self.waiting.len() >= policy.jobs_max
            || self.waiting.values().filter(of_address).count() >= policy.jobs_per_address
        {
            turn.base.counters.dropped += 1;
            return false;
        }
        self.next += 1;
        let id = JobId(self.next);
        self.waiting.insert(id, waiting);
        turn.order(id, job);
        true
    }

    /// Whether so much of that address could not be opened that no more is tried for a while.
    fn is_hopeless(&self, turn: &Turn<'_>, from: IpAddr) -> bool {
        let policy = &turn.base.policy;
        self.failures.get(&from).is_some_and(|&(since, count)| {
            count >= policy.open_failures_max && turn.now.tick - since < policy.open_failures_span
        })
    }

    /// One more that could not be opened. Whether it is the first one for a while.
    fn failed(&mut self, turn: &Turn<'_>, from: IpAddr) -> bool {
        let now = turn.now.tick;
        if self.failures.len() >= ADDRESSES_MAX && !self.failures.contains_key(&from) {
            self.failures.clear();
        }
        let (since, count) = self.failures.entry(from).or_insert((now, 0));
        if now - *since >= turn.base.policy.open_failures_span {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count == 1
    }

    /// Whether a key may go to a stranger beyond what its question grants (threats, rule 7).
    fn grants(&mut self, turn: &Turn<'_>, to: IpAddr) -> bool {
        let (now, once_per) = (turn.now.tick, turn.base.policy.key_once_per);
        if self.granted.get(&to).is_some_and(|last| now - *last < once_per) {
            return false;
        }
        if self.granted.len() >= ADDRESSES_MAX {
            self.granted.clear();
        }
        self.granted.insert(to, now);
        true
    }

    /// Sees to it that every key made is on disk: the record to wait for, if one is on its way.
    fn keep_keys(&mut self, turn: &mut Turn<'_>, made: Vec<KeyRecord>) -> Option<SaveId> {
        if !turn.base.keeps {
            return None;
        }
        let new = !made.is_empty();
        self.unkept.extend(made);
        if new || (self.keeping.is_none() && !self.unkept.is_empty()) {
            for key in self.unkept.clone() {
                self.keeping = Some(turn.save(Record::Key(key)));
            }
        }
        self.keeping
    }

    /// A record came back from the store. Whether it was the last one of our keys.
    pub(crate) fn saved(&mut self, id: SaveId, result: &SaveResult) -> bool {
        if self.keeping != Some(id) {
            return false;
        }
        self.keeping = None;
        if !matches!(result, SaveResult::Failed(_) | SaveResult::Refused(_)) {
            self.unkept.clear();
        }
        true
    }
}

impl Parts {
    /// Somebody asks for our key. A machine may ask as well: only answers end the matter.
    pub(super) fn key_asked(&mut self, turn: &mut Turn<'_>, seen: &Sighting<'_>) {
        self.roster.hear(turn.now.tick, seen);
        let Ok(raw) = RawPacket::parse(seen.bytes) else { return };
        let Some(asker) = Capability::read(raw.main()) else { return };
        let to_all = seen.packet.options.contains(message::BROADCAST);
        if !turn.speaks() || to_all {
            return;
        }
        if !self.trust.answers_info(turn.now.tick, &turn.base.policy, seen.from.ip()) {
            turn.base.counters.dropped += 1;
            return;
        }
        let what = What::Offer { size: seen.bytes.len() };
        let waiting = Waiting { link: seen.link, from: seen.from, what };
        self.private.order(turn, waiting, Job::Offer { asker });
    }

    /// A message that is encrypted: has it opened, unless it came before.
    pub(super) fn private_message(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        allowance: &mut Allowance,
    ) {
        let met = self.roster.meet(turn, seen);
        let Some(peer) = self.roster.get(met.peer) else { return };
        let key = self.inbox.key(turn, peer, seen);
        if self.inbox.has(&key) {
            self.inbox.repeated(turn, &self.links, seen, &key, allowance);
            return;
        }
        let Self { presence, roster, links, .. } = self;
        presence.greet(turn, roster, links, seen, allowance);
        let section = RawPacket::parse(seen.bytes).ok().and_then(|raw| section(&raw));
        match section {
            None => self.unreadable(turn, seen.from.ip(), key),
            Some(_) if self.private.is_hopeless(turn, seen.from.ip()) => {
                turn.base.counters.dropped += 1;
            }
            Some(section) => {
                let what =
                    What::Open { key: key.clone(), bytes: seen.bytes.into(), left: *allowance };
                let waiting = Waiting { link: seen.link, from: seen.from, what };
                // What is dropped here comes again: its sender has no receipt.
                if self.private.order(turn, waiting, Job::Open(section)) {
                    self.inbox.note_opening(turn, key);
                }
            }
        }
        self.inbox.epochs.trim(&turn.base.policy, &self.roster);
    }

    /// A job is done.
    pub(super) fn job_done(&mut self, turn: &mut Turn<'_>, id: JobId, done: Done) {
        let Some(Waiting { link, from, what }) = self.private.waiting.remove(&id) else { return };
        match (what, done) {
            (What::Offer { size }, Done::Offer { offer, made }) => {
                let after = self.private.keep_keys(turn, made);
                if let Some(offer) = offer {
                    self.answer_key(turn, (link, from), size, &offer, after);
                }
            }
            (What::Open { key, bytes, left }, Done::Opened(opened)) => {
                self.opened(turn, (link, from), key, (&bytes, left), opened);
            }
            _ => {}
        }
    }

    fn answer_key(
        &mut self,
        turn: &mut Turn<'_>,
        (link, to): (LinkId, SocketAddr),
        size: usize,
        offer: &KeyOffer,
        after: Option<SaveId>,
    ) {
        let hears_us = self.roster.place(to).is_some_and(|(_, place)| place.hears);
        let mut allowance = Allowance::new(size, hears_us);
        let number = turn.number();
        let bytes = turn.base.own.ascii(number, Command::ANSPUBKEY, &offer.to_string());
        if allowance.allows(bytes.len()) || self.private.grants(turn, to.ip()) {
            turn.transmit(self.links.route(link), to, bytes, after);
        } else {
            turn.base.counters.dropped += 1;
        }
    }

    /// A message was opened, or cannot be.
    fn opened(
        &mut self,
        turn: &mut Turn<'_>,
        (link, from): (LinkId, SocketAddr),
        key: Key,
        (bytes, left): (&[u8], Allowance),
        opened: Result<Opened, OpenError>,
    ) {
        let Ok(opened) = opened else {
            return self.unreadable(turn, from.ip(), key);
        };
        // Its sender may have gone meanwhile; then it is new when it comes again.
        self.inbox.forget_opening(&key);
        let Ok(raw) = RawPacket::parse(bytes) else { return };
        let hint = self.roster.hint(from, &raw, turn.base.own.office);
        let packet = Packet::read(&raw, &hint);
        let lists = packet.options.contains(message::ENCRYPT_EXTENSION);
        let plain = Plain::read(opened.plain(), lists);
        let Plain { text, files, recipients } = plain;
        let body = Message::read_opened(&raw, &hint, (text, files, recipients));
        let seen = Sighting::new(link, from, &raw, &packet, bytes);
        let hears_us = self.roster.place(from).is_some_and(|(_, place)| place.hears);
        // Its sender may have shown meanwhile that it hears us.
        let mut allowance = if hears_us { Allowance::new(bytes.len(), true) } else { left };
        let encryption = Some(opened.suite().to_string());
        let extras = Extras { encryption, ..Extras::default() };
        let Some(no) = self.roster.find(&key.peer) else { return };
        self.roster.learn_text(turn, no, body.charset);
        self.knocks.wrote(turn, &self.roster, no);
        let new = self.take_message(turn, no, (&seen, &body, extras), key, &mut allowance);
        self.mentions(no, packet.number, &body.text);
        if let Some(New { after }) = new {
            self.offered(turn, &seen, &body, after);
        }
    }

    /// A message stays closed. The user hears of it, now and then; its sender does not.
    fn unreadable(&mut self, turn: &mut Turn<'_>, from: IpAddr, key: Key) {
        if self.private.failed(turn, from) {
            let who =
                self.roster.view(&key.peer).map_or_else(|| from.to_string(), |peer| peer.nick);
            let text = format!(
                "a message of {who} ({from}) is encrypted and cannot be opened; it gets no receipt"
            );
            turn.notice(NoticeCode::Unreadable, text);
        }
        self.inbox.note_unreadable(turn, key);
    }
}

/// The encrypted section of a packet.
fn section(raw: &RawPacket<'_>) -> Option<Section> {
    let Sealed { methods, key, body, signature } = Sealed::split(raw.main())?;
    Some(Section {
        methods: Capability::from_bits_retain(methods),
        key: key.to_vec(),
        body: body.to_vec(),
        signature: signature.map(<[u8]>::to_vec),
        number: raw.number_text.to_vec(),
    })
}

impl Turn<'_> {
    /// Has a job with our private keys done.
    fn order(&mut self, id: JobId, job: Job) {
        self.push(Effect::Crypto(id, job));
    }
}

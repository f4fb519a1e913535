//! One call of [`super::Node::handle`]: the time it happens at, the effects it leaves behind, and
//! what every part shares ([`Base`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::api::files::OfferId;
use super::api::{Counters, Direction, Event, NoticeCode, PeerView, Reply};
use super::config::Policy;
use super::effect::{Effect, Record, Serve, Transmit};
use super::input::{LinkId, Now, RequestId, SaveId, SaveResult, StreamId, Tick};
use super::numbers::{Issued, Numbers};
use super::own::Own;
use super::remembered::Remembered;
use super::serving::grant::OfferedFile;
use super::timers::{Timer, Timers};
use crate::wire::PacketNo;

/// What every part shares.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) own: Own,
    pub(crate) policy: Policy,
    pub(crate) voice: Voice,
    pub(crate) keeps: bool,
    /// What waits for somebody goes out when that one is here.
    pub(crate) delivers: bool,
    pub(crate) rng: StdRng,
    pub(crate) timers: Timers,
    pub(crate) numbers: Numbers,
    pub(crate) counters: Counters,
    /// The id of the next record.
    pub(crate) next_save: u64,
    /// The highest number of an offer, to us or by us; the parts that keep offers raise it when
    /// they are told of those of earlier runs.
    pub(crate) last_offer: OfferId,
    /// The store refused a record, and has taken none since.
    pub(crate) store_fails: Option<String>,
    /// Messages of ours on their way to the disk.
    pub(crate) sent_saves: BTreeMap<SaveId, PacketNo>,
    /// The last of these that could not be kept.
    pub(crate) told_unsent: Option<PacketNo>,
    /// When the user was told last that strangers filled their share.
    pub(crate) told_quota: Option<Tick>,
    /// Peers on their way to the store.
    pub(crate) remembered: Remembered,
}

/// The user is not told more often that strangers filled their share.
const QUOTA_SILENCE: Duration = Duration::from_secs(3600);

/// Whether anything may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Voice {
    /// It may.
    Speaks,
    /// This node only listens.
    Passive,
    /// We said goodbye.
    Left,
}

/// One call, from its input to its effects.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) base: &'a mut Base,
    effects: Vec<Effect>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(now: Now, base: &'a mut Base) -> Self {
        Self { now, base, effects: Vec::new() }
    }

    /// What is to be done, in order.
    pub(crate) fn finish(self) -> Vec<Effect> {
        self.effects
    }

    /// Whether this node may send anything.
    pub(crate) fn speaks(&self) -> bool {
        self.base.voice == Voice::Speaks
    }

    /// Sends a datagram; a node that does not speak sends none.
    pub(crate) fn transmit(
        &mut self,
        link: Option<LinkId>,
        to: SocketAddr,
        bytes: Arc<[u8]>,
        after: Option<SaveId>,
    ) {
        if self.speaks() {
            self.base.counters.sent += 1;
            self.effects.push(Effect::Transmit(Transmit { link, to, bytes, after }));
        }
    }

    /// Tells everybody who listens; with `after`, once that record is kept.
    pub(crate) fn emit(&mut self, event: Event, after: Option<SaveId>) {
        if let Event::PeerUp { peer } | Event::PeerChanged { peer } | Event::PeerDown { peer, .. } =
            &event
        {
            self.note_peer(peer);
        }
        self.effects.push(Effect::Emit { event, after });
    }

    /// The store is to know how this peer is now.
    pub(crate) fn note_peer(&mut self, peer: &PeerView) {
        if !self.base.keeps {
            return;
        }
        if self.base.remembered.note(peer, self.now.wall) {
            self.arm(Timer::Remember, self.base.policy.roster_lag);
        }
        if let Some(news) = self.base.remembered.take_if_full() {
            self.base.timers.disarm(Timer::Remember);
            self.save(Record::Roster(news));
        }
    }

    /// Tells the user something.
    pub(crate) fn notice(&mut self, code: NoticeCode, text: String) {
        self.emit(Event::Notice { code, text }, None);
    }

    /// Has the shell do something else.
    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Answers a request.
    pub(crate) fn reply(&mut self, to: RequestId, reply: Reply) {
        self.effects.push(Effect::Reply(to, reply));
    }

    /// Sends a file or folder on a connection.
    pub(crate) fn serve(&mut self, serve: Serve) {
        self.effects.push(Effect::Serve(Box::new(serve)));
    }

    /// Closes a connection.
    pub(crate) fn hang_up(&mut self, stream: StreamId) {
        self.effects.push(Effect::HangUp(stream));
    }

    /// What a message offered needs to be held open no more.
    pub(crate) fn unlist(&mut self, number: PacketNo, files: Arc<[OfferedFile]>) {
        self.effects.push(Effect::Unlist(number, files));
    }

    /// Looks a stored message up for a request. Only for a node that keeps.
    pub(crate) fn recall(&mut self, request: RequestId, seq: u64) {
        self.effects.push(Effect::Recall(request, seq));
    }

    /// Keeps a record. Only for a node that keeps.
    pub(crate) fn save(&mut self, record: Record) -> SaveId {
        let id = SaveId(self.base.next_save);
        self.base.next_save += 1;
        if let Record::Message(message) = &record
            && message.direction == Direction::Out
        {
            self.base.sent_saves.insert(id, message.number);
        }
        self.effects.push(Effect::Save(id, record));
        id
    }

    /// Notes how the store does, and tells the user when that changes, and of each message of his that
    /// does not leave for that. Whether it takes records again.
    pub(crate) fn note_store(&mut self, id: SaveId, result: &SaveResult) -> bool {
        let unsent = self.base.sent_saves.remove(&id);
        let unsent = unsent.filter(|number| self.base.told_unsent != Some(*number));
        match result {
            SaveResult::Failed(reason) if self.base.store_fails.is_none() || unsent.is_some() => {
                self.base.told_unsent = unsent.or(self.base.told_unsent);
                self.base.store_fails = Some(reason.clone());
                let text = format!("the store takes no messages, receipts are withheld: {reason}");
                self.notice(NoticeCode::StoreFailed, text);
            }
            SaveResult::Refused(reason)
                if self.base.told_quota.is_none_or(|at| self.now.tick - at >= QUOTA_SILENCE) =>
            {
                self.base.told_quota = Some(self.now.tick);
                let text =
                    format!("what a stranger sent was not kept and gets no receipt: {reason}");
                self.notice(NoticeCode::Quota, text);
            }
            SaveResult::Kept { .. } if self.base.store_fails.is_some() => {
                self.base.store_fails = None;
                let text = "the store takes messages again".to_owned();
                self.notice(NoticeCode::StoreRecovered, text);
                return true;
            }
            _ => {}
        }
        false
    }

    /// The short number of a new offer.
    pub(crate) fn offer_id(&mut self) -> OfferId {
        let OfferId(last) = &mut self.base.last_offer;
        *last = last.wrapping_add(1).max(1);
        self.base.last_offer
    }

    /// A number for a packet that is no message.
    pub(crate) fn number(&mut self) -> PacketNo {
        self.draw(1)
    }

    /// A number for a message.
    pub(crate) fn message_number(&mut self) -> Issued {
        let number = self.draw(16);
        Issued { number, gate: self.base.numbers.gate() }
    }

    fn draw(&mut self, step: u64) -> PacketNo {
        let Base { numbers, rng, .. } = &mut *self.base;
        let number = numbers.next(rng, self.now.wall, step);
        if let Some(upto) = self.base.numbers.wants().filter(|_| self.base.keeps) {
            let id = self.save(Record::Numbers(PacketNo(upto)));
            self.base.numbers.asked(id, upto);
        }
        number
    }

    /// Sets a deadline this long from now.
    pub(crate) fn arm(&mut self, timer: Timer, after: Duration) {
        self.base.timers.arm(timer, self.now.tick + after);
    }

    /// `wait`, shorter or longer by at most the policy's jitter.
    pub(crate) fn jittered(&mut self, wait: Duration) -> Duration {
        let percent = self.base.policy.retry_jitter_percent.min(100);
        let share = self.base.rng.gen_range(100 - percent..=100 + percent);
        wait * share / 100
    }

    /// A random time up to `most`.
    pub(crate) fn random(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.base.rng.gen_range(0..=most))
    }
}

/// The time that goes with `count` in a table of "below this count, this long".
pub(crate) fn by_count(table: &[(usize, Duration)], count: usize) -> Duration {
    table
        .iter()
        .find(|&&(below, _)| count < below)
        .or(table.last())
        .map_or(Duration::ZERO, |&(_, time)| time)
}

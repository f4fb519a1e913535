//! Files of ours on offer: who may fetch what, how far it is, and when an offer ends (threats, E;
//! wire reference, 7 and 8). The bytes do not pass through here: the shell moves them.
//!
//! A *grant* is what one recipient of a message may fetch. It begins with the message and ends when
//! everything was fetched, refused or taken back, with the message if that never arrived, at the
//! latest after a day. That of a message that is kept for somebody who is away lasts as long as the
//! message is kept.

pub(crate) mod grant;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::api::files::{ItemState, OfferId, OfferView, Side, TransferOutcome};
use super::api::{Event, FileChoice, PeerId, PeerView, Refusal, Wishes};
use super::effect::{Record, Serve, ToldRecord};
use super::input::{SaveId, SaveResult, ServeNews, StreamId, Tick, UnixMillis};
use super::outbox::{FileNews, Seat, SendNo};
use super::reckoning::Turned;
use super::timers::Timer;
use super::turn::{Turn, Voice};
use crate::wire::attach::FILES_MAX;
use crate::wire::command::request;
use crate::wire::dialect::IdBase;
use crate::wire::request::{AnswerForm, FileRequest};
use crate::wire::{Charset, PacketNo, RawPacket};

use grant::{GrantRecord, IDS, OfferedFile};
use stream::Stream;

/// Everything on offer by us.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    grants: BTreeMap<SendNo, Grant>,
    streams: BTreeMap<StreamId, Stream>,
    /// Grants that are to be written down, or are gone.
    changed: BTreeSet<SendNo>,
    /// Ends of grants on their way to the disk, and those that the store did not take: it would offer
    /// them again.
    ending: BTreeMap<SaveId, OfferId>,
    unkept: BTreeSet<OfferId>,
}

#[derive(Debug)]
struct Grant {
    record: GrantRecord,
    /// When its time is up.
    until: Tick,
    /// It was taken back: only what moved already is waited for.
    ended: bool,
    /// The store has a record of it.
    kept: bool,
}

/// Longest life of an offer, but for one of a kept message (threats, rule 30).
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

impl Serving {
    /// Gives the files of a message their ids.
    pub(crate) fn lay_out(
        turn: &mut Turn<'_>,
        choices: &[FileChoice],
    ) -> Result<Arc<[OfferedFile]>, Refusal> {
        if choices.len() > FILES_MAX {
            return Err(Refusal::TooManyFiles { files: choices.len(), limit: FILES_MAX });
        }
        if choices.is_empty() {
            return Ok([].into());
        }
        let first = turn.base.rng.gen_range(IDS);
        let files = (first..).zip(choices);
        Ok(files.map(|(id, choice)| OfferedFile { id, choice: choice.clone() }).collect())
    }

    /// Puts `files` on offer to the recipient `no` of a message.
    pub(crate) fn offer(
        &mut self,
        turn: &mut Turn<'_>,
        no: SendNo,
        (peer, charset): (PeerView, Charset),
        files: Arc<[OfferedFile]>,
        wishes: &Wishes,
    ) {
        let longest = if wishes.later { turn.base.policy.later_span } else { LIFE };
        let life = wishes.expire_ms.map_or(longest, Duration::from_millis);
        let life = if wishes.later { life } else { life.min(LIFE) };
        let millis = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        let record = GrantRecord {
            offer: turn.offer_id(),
            number: no.number,
            index: no.index,
            made_at: turn.now.wall,
            ends_at: UnixMillis(turn.now.wall.0.saturating_add(millis)),
            peer,
            addrs: Vec::new(),
            charset,
            limit: wishes.limit,
            digest: wishes.digest,
            states: vec![ItemState::Waiting; files.len()],
            files,
        };
        let offered = Event::Offer(Box::new(record.view(|_| 0)));
        self.grants.insert(no, Grant::new(record, turn.now.tick + life, false));
        self.changed.insert(no);
        tell(turn, offered);
        self.arm(turn);
    }

    /// The message `no` is written in this charset, to its recipient as it is known now: what it
    /// offers. Requests are read by both, also by the process after this one.
    pub(crate) fn readdress(
        &mut self,
        no: SendNo,
        charset: Charset,
        peer: Option<PeerView>,
    ) -> Option<&GrantRecord> {
        let record = &mut self.grants.get_mut(&no)?.record;
        // Faces go on knowing it by the identity they were told.
        let id = record.peer.id.clone();
        let peer = peer.map_or_else(|| record.peer.clone(), |peer| PeerView { id, ..peer });
        if (record.charset, &record.peer) != (charset, &peer) {
            (record.charset, record.peer) = (charset, peer);
            self.changed.insert(no);
        }
        Some(record)
    }

    /// What became of messages that offer files.
    pub(crate) fn hear(&mut self, turn: &mut Turn<'_>, news: Vec<FileNews>) {
        for news in news {
            match news {
                FileNews::Went(no, addr) => {
                    let Some(grant) = self.grants.get_mut(&no) else { continue };
                    if !grant.record.addrs.contains(&addr) {
                        grant.record.addrs.push(addr);
                        self.changed.insert(no);
                    }
                }
                FileNews::Failed(no) => {
                    // Whoever fetched or fetches something has got the message.
                    let arrived = self.grants.get(&no).is_some_and(|grant| {
                        let state = |state: &ItemState| {
                            matches!(state, ItemState::Done | ItemState::Moving)
                        };
                        grant.record.states.iter().any(state)
                    });
                    if !arrived {
                        self.end(turn, no, TransferOutcome::Withdrawn);
                    }
                }
            }
        }
    }

    /// Somebody asks for a file on TCP. It is served, or the connection is closed without a byte and
    /// without a hint (threats, rule 27).
    pub(crate) fn asked(
        &mut self,
        turn: &mut Turn<'_>,
        stream: StreamId,
        from: SocketAddr,
        bytes: &[u8],
    ) {
        let granted = self.granted(turn, from, bytes);
        let Some((no, item, request, charset)) = granted else {
            turn.base.counters.dropped += 1;
            return turn.hang_up(stream);
        };
        let twins = self.streams.iter_mut();
        for (&twin, other) in twins.filter(|(_, other)| other.no == no && other.item == item) {
            // A receiver that lost its connection asks again before we notice.
            other.replaced = true;
            turn.hang_up(twin);
        }
        let Some(grant) = self.grants.get_mut(&no) else { return turn.hang_up(stream) };
        let record = &mut grant.record;
        let Some(file) = record.files.get(item) else { return turn.hang_up(stream) };
        turn.serve(Serve {
            stream,
            number: no.number,
            item,
            choice: file.choice.clone(),
            tree: request.form == AnswerForm::Tree,
            offset: request.offset,
            charset,
            names: record.habits().file_names,
            limit: record.limit,
            digest: record.digest,
        });
        if let Some(state) = record.states.get_mut(item) {
            *state = ItemState::Moving;
        }
        self.streams.insert(stream, Stream::new(no, item, request.offset, turn.now.tick));
    }

    /// Which item a request may have, if any.
    fn granted(
        &self,
        turn: &Turn<'_>,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Option<(SendNo, usize, FileRequest, Charset)> {
        if turn.base.voice != Voice::Speaks {
            return None;
        }
        let raw = RawPacket::parse(bytes).ok()?;
        let packet = FileRequest::read(&raw, IdBase::Hexadecimal).ok()?.packet;
        let utf8 = raw.options().contains(request::UTF8);
        self.of(packet)
            .filter(|(_, grant)| !grant.ended && grant.record.is_for(from.ip()))
            .find_map(|(no, grant)| {
                let record = &grant.record;
                let habit = record.habits().request_ids;
                let other = match habit {
                    IdBase::Hexadecimal => IdBase::Decimal,
                    IdBase::Decimal => IdBase::Hexadecimal,
                };
                let (item, request) = [habit, other].into_iter().find_map(|ids| {
                    let request = FileRequest::read(&raw, ids).ok()?;
                    Some((record.item(request.file)?, request))
                })?;
                let open =
                    matches!(record.states.get(item)?, ItemState::Waiting | ItemState::Moving);
                let choice = &record.files.get(item)?.choice;
                let fits = match request.form {
                    AnswerForm::Bytes => !choice.is_folder() && request.offset <= choice.size,
                    AnswerForm::Tree => true,
                };
                let charset = if utf8 { Charset::UTF_8 } else { record.charset };
                (open && fits).then_some((no, item, request, charset))
            })
    }

    /// What the shell says of a transfer.
    pub(crate) fn news(&mut self, turn: &mut Turn<'_>, id: StreamId, news: ServeNews) {
        match news {
            ServeNews::Moved { bytes, files } => {
                let Some(stream) = self.streams.get_mut(&id) else { return };
                (stream.sent, stream.files) = (bytes, files);
                stream.meter.note(turn.now.tick, bytes);
                let Some(grant) = self.grants.get(&stream.no) else { return };
                if let Some(progress) = stream.progress(&grant.record) {
                    turn.emit(Event::Progress(Box::new(progress)), None);
                }
            }
            ServeNews::Ended { bytes, files, skipped, unreadable, sha256, problem } => {
                let Some(mut stream) = self.streams.remove(&id) else { return };
                (stream.sent, stream.files) = (bytes, files);
                let Some(grant) = self.grants.get_mut(&stream.no) else { return };
                let outcome = match (&problem, stream.end) {
                    (None, _) => TransferOutcome::Done,
                    (Some(_), Some(end)) => end,
                    // What we broke off, its recipient may have taken for whole.
                    (Some(problem), None) if stream.released && problem.side != Side::Ours => {
                        TransferOutcome::Refused
                    }
                    (Some(_), None) => TransferOutcome::Broken,
                };
                let mut end = stream.ended(&grant.record, turn.now.tick, outcome);
                (end.skipped, end.unreadable) = (skipped, unreadable);
                end.sha256 = sha256.filter(|_| outcome == TransferOutcome::Done);
                end.problem = problem.filter(|_| outcome == TransferOutcome::Broken);
                if stream.replaced {
                    let broken = outcome == TransferOutcome::Broken;
                    end.problem = broken.then(stream::asked_again);
                } else if let Some(state) = grant.record.states.get_mut(stream.item) {
                    *state = match outcome {
                        TransferOutcome::Done => ItemState::Done,
                        TransferOutcome::Broken if !stream.released => ItemState::Waiting,
                        _ => ItemState::Over,
                    };
                }
                self.changed.insert(stream.no);
                tell(turn, Event::Transferred(Box::new(end)));
                self.sweep(turn);
            }
        }
    }

    /// Its recipient does not want what is left of the files of a message (`IPMSG_RELEASEFILES`).
    /// What moves already goes on, but is not waited for again if it breaks off.
    pub(crate) fn released(&mut self, turn: &mut Turn<'_>, from: SocketAddr, number: PacketNo) {
        let number = PacketNo(number.0 & 0xffff_ffff);
        let named: Vec<SendNo> = self
            .of(number)
            .filter(|(_, grant)| grant.record.addrs.contains(&from))
            .map(|(no, _)| no)
            .collect();
        for no in named {
            for stream in self.streams.values_mut().filter(|stream| stream.no == no) {
                stream.released = true;
            }
            self.close(turn, no, TransferOutcome::Refused);
        }
        self.sweep(turn);
    }

    /// Takes an offer back.
    pub(crate) fn withdraw(&mut self, turn: &mut Turn<'_>, offer: OfferId) -> Result<(), Refusal> {
        let named = self.grants.iter().find(|(_, grant)| grant.record.offer == offer);
        let no = named.map(|(&no, _)| no).ok_or(Refusal::NoOffer)?;
        self.end(turn, no, TransferOutcome::Withdrawn);
        Ok(())
    }

    /// Takes back everything a message offers.
    pub(crate) fn withdraw_all(&mut self, turn: &mut Turn<'_>, number: PacketNo) {
        let all: Vec<SendNo> = self.of(number).map(|(no, _)| no).collect();
        for no in all {
            self.end(turn, no, TransferOutcome::Withdrawn);
        }
    }

    /// Ends what is over: fetched and refused offers, and those whose time is up.
    pub(crate) fn sweep(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.tick;
        let late = |grant: &Grant| grant.until <= now && !grant.moves();
        let over: Vec<SendNo> = self
            .grants
            .iter()
            .filter(|(_, grant)| grant.record.is_over() || late(grant))
            .map(|(&no, _)| no)
            .collect();
        for no in over {
            self.close(turn, no, TransferOutcome::Withdrawn);
            self.forget(turn, no);
        }
        self.arm(turn);
    }

    /// The program ends: what moves breaks off. Offers stay in the store.
    pub(crate) fn leave(&mut self, turn: &mut Turn<'_>) {
        for &stream in self.streams.keys() {
            turn.hang_up(stream);
        }
    }

    /// Writes down what changed in this turn.
    pub(crate) fn keep(&mut self, turn: &mut Turn<'_>) {
        for no in std::mem::take(&mut self.changed) {
            if let Some(grant) = self.grants.get_mut(&no).filter(|_| turn.base.keeps) {
                grant.kept = true;
                turn.save(Record::Grant(Box::new(grant.at_rest())));
            }
        }
    }

    /// Every offer, by its short number.
    pub(crate) fn views(&self) -> Vec<OfferView> {
        let moved = |no: SendNo, item: usize| {
            let stream =
                self.streams.values().find(|s| s.no == no && s.item == item && !s.replaced);
            stream.map_or(0, |stream| stream.offset + stream.sent)
        };
        let grants = self.grants.iter();
        let mut views: Vec<_> =
            grants.map(|(&no, grant)| grant.record.view(|item| moved(no, item))).collect();
        views.sort_by_key(|view| view.offer);
        views
    }

    /// What another run had on offer. What is known already stays, but for what is over meanwhile.
    pub(crate) fn restore(&mut self, turn: &mut Turn<'_>, records: Vec<GrantRecord>, kept: bool) {
        for record in records {
            let OfferId(last) = &mut turn.base.last_offer;
            *last = record.offer.0.max(*last);
            if self.unkept.contains(&record.offer) {
                continue;
            }
            let until = end(turn, &record);
            let no = record.no();
            if let Some(grant) = self.grants.get_mut(&no) {
                grant.kept |= kept;
                // Files that changed are told of by what was kept alone.
                let states = grant.record.states.iter_mut().zip(&record.states);
                for (state, &read) in states {
                    if (*state, read) == (ItemState::Waiting, ItemState::Over) {
                        *state = read;
                        self.changed.insert(no);
                    }
                }
                continue;
            }
            self.grants.insert(no, Grant::new(record, until, kept));
        }
        self.arm(turn);
    }

    /// Another time of day, or the system slept.
    pub(crate) fn reckon(&mut self, turn: &mut Turn<'_>, turned: Turned) {
        for grant in self.grants.values_mut() {
            let record = &mut grant.record;
            turned.adjust(&mut record.made_at, [&mut record.ends_at]);
            grant.until = end(turn, record);
        }
        self.arm(turn);
    }

    /// All records, at rest.
    pub(crate) fn records(&self) -> impl Iterator<Item = GrantRecord> {
        self.grants.values().map(Grant::at_rest)
    }

    /// Where this recipient of a message of an earlier run has its offer.
    pub(crate) fn seat(&self, number: PacketNo, peer: &PeerId) -> Seat {
        let own = self.of(number).find(|(_, grant)| grant.record.peer.id == *peer);
        Seat {
            index: own.map(|(no, _)| no.index),
            free: self.of(number).last().map_or(0, |(no, _)| no.index + 1),
            files: own.map_or(0, |(_, grant)| grant.record.files.len()),
        }
    }

    fn of(&self, number: PacketNo) -> impl Iterator<Item = (SendNo, &Grant)> {
        let range = SendNo { number, index: 0 }..=SendNo { number, index: u32::MAX };
        self.grants.range(range).map(|(&no, grant)| (no, grant))
    }

    /// Ends a grant at once, with what moves.
    fn end(&mut self, turn: &mut Turn<'_>, no: SendNo, how: TransferOutcome) {
        self.close(turn, no, how);
        if let Some(grant) = self.grants.get_mut(&no) {
            grant.ended = true;
            self.changed.insert(no);
        }
        for (&id, stream) in self.streams.iter_mut().filter(|(_, stream)| stream.no == no) {
            stream.end.get_or_insert(how);
            turn.hang_up(id);
        }
        self.sweep(turn);
    }

    /// Nobody may begin to fetch what waits.
    fn close(&mut self, turn: &mut Turn<'_>, no: SendNo, how: TransferOutcome) {
        let Some(grant) = self.grants.get_mut(&no) else { return };
        for item in 0..grant.record.states.len() {
            let Some(state) = grant.record.states.get_mut(item) else { continue };
            if *state != ItemState::Waiting {
                continue;
            }
            *state = ItemState::Over;
            let never = Stream::new(no, item, 0, turn.now.tick);
            let end = never.ended(&grant.record, turn.now.tick, how);
            tell(turn, Event::Transferred(Box::new(end)));
            self.changed.insert(no);
        }
    }

    fn forget(&mut self, turn: &mut Turn<'_>, no: SendNo) {
        let Some(grant) = self.grants.remove(&no) else { return };
        if grant.kept && turn.base.keeps {
            self.save_end(turn, grant.record.offer);
        }
        if self.of(no.number).next().is_none() {
            turn.unlist(no.number, grant.record.files);
        }
    }

    fn save_end(&mut self, turn: &mut Turn<'_>, offer: OfferId) {
        let id = turn.save(Record::GrantEnded(offer));
        self.ending.insert(id, offer);
    }

    /// A record came back from the store. Whether it was an end.
    pub(crate) fn saved(&mut self, id: SaveId, result: &SaveResult) -> bool {
        let Some(offer) = self.ending.remove(&id) else { return false };
        if !result.is_kept() {
            self.unkept.insert(offer);
        }
        true
    }

    /// The store takes records, by all that is known: it gets the ends that it did not take.
    pub(crate) fn keep_ends(&mut self, turn: &mut Turn<'_>) {
        for offer in std::mem::take(&mut self.unkept) {
            self.save_end(turn, offer);
        }
    }

    /// Ends that the next owner of the port has still to write down.
    pub(crate) fn unkept_ends(&self) -> impl Iterator<Item = OfferId> {
        self.unkept.iter().copied()
    }

    /// Ends that the process before this one could not write down.
    pub(crate) fn restore_ends(&mut self, offers: Vec<OfferId>) {
        self.unkept.extend(offers);
    }

    fn arm(&self, turn: &mut Turn<'_>) {
        let due = |grant: &Grant| {
            if grant.record.is_over() { Some(Tick::default()) } else { Some(grant.until) }
        };
        match self.grants.values().filter(|grant| !grant.moves()).filter_map(due).min() {
            Some(at) => turn.base.timers.arm(Timer::Offers, at),
            None => turn.base.timers.disarm(Timer::Offers),
        }
    }
}

/// When the time of an offer is up. A clock that was set back while nobody looked must not lengthen
/// its life.
fn end(turn: &Turn<'_>, record: &GrantRecord) -> Tick {
    let left = record.ends_at.0.saturating_sub(turn.now.wall.0);
    let whole = record.ends_at.0.saturating_sub(record.made_at.0);
    turn.now.tick + Duration::from_millis(u64::try_from(left.min(whole)).unwrap_or(0))
}

impl Grant {
    fn new(record: GrantRecord, until: Tick, kept: bool) -> Self {
        Self { record, until, ended: false, kept }
    }

    /// As it is written down.
    fn at_rest(&self) -> GrantRecord {
        let mut record = self.record.at_rest();
        if self.ended {
            let left = record.states.iter_mut().filter(|state| **state != ItemState::Done);
            left.for_each(|state| *state = ItemState::Over);
        }
        record
    }

    fn moves(&self) -> bool {
        self.record.states.contains(&ItemState::Moving)
    }
}

/// Tells faces, after it is kept.
fn tell(turn: &mut Turn<'_>, event: Event) {
    if turn.base.keeps {
        let record = ToldRecord { at: turn.now.wall, event: Box::new(event.clone()) };
        let id = turn.save(Record::Told(record));
        turn.emit(event, Some(id));
    } else {
        turn.emit(event, None);
    }
}

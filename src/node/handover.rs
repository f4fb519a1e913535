//! What one process passes on to the next with the port: nothing announced, nothing lost, nothing
//! shown twice. Times travel as "so long ago", because clocks of two processes have two origins.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Parts;
use super::api::files::OfferId;
use super::api::{Counters, PeerId, PeerView};
use super::effect::{OutcomeRecord, SeenPeer};
use super::envelopes::ReadNotice;
use super::farewells::FarewellNote;
use super::inbox::Key;
use super::input::{LinkId, Tick, UnixMillis};
use super::offers::{FetchNote, OfferRecord};
use super::outbox::later::Later;
use super::outbox::{SendNo, Sending};
use super::peer::{Charsets, Mac, Peer, Place};
use super::pictures::handover::PicturesNote;
use super::pictures::job::StageId;
use super::reckoning::Reckoning;
use super::sealed::Unopened;
use super::serving::grant::GrantRecord;
use super::timers::Timer;
use super::turn::{Base, Turn};
use crate::wire::{Dialect, Office, Options, PacketNo, dialect};

/// What a node passes on to the process that takes its port over: who is there, what still waits
/// for receipts, what was received lately, and where the packet numbers stand.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Handover {
    since: Option<UnixMillis>,
    /// When the system was started, by the clock of the times of day in here.
    #[serde(default)]
    booted: Option<UnixMillis>,
    counters: Counters,
    last_number: PacketNo,
    generation: u32,
    peers: Vec<PeerNote>,
    sends: Vec<SendNote>,
    /// How messages ended, where the store does not know it.
    #[serde(default)]
    ends: Vec<OutcomeRecord>,
    /// Messages received, oldest first.
    received: Vec<ReceivedNote>,
    epochs: Vec<EpochNote>,
    /// Peers on their way to the store.
    #[serde(default)]
    unwritten: Vec<SeenPeer>,
    /// Answers to entries that wait for the shared timer.
    answers: Vec<(PeerId, LinkId, SocketAddr)>,
    /// What is left to do of an announcement: how long it is until peers are told in full, and until
    /// the entry goes out once more; where the scan of a range has come to.
    #[serde(default)]
    round: Option<Duration>,
    #[serde(default)]
    entry_again: Option<Duration>,
    #[serde(default)]
    scan: Option<SocketAddr>,
    /// Who said goodbye just now.
    #[serde(default)]
    farewells: Vec<FarewellNote>,
    /// Files of ours on offer.
    #[serde(default)]
    grants: Vec<GrantRecord>,
    /// Those that ended, where the store does not know it.
    #[serde(default)]
    ended_grants: Vec<OfferId>,
    /// Offers to us that are open.
    #[serde(default)]
    offers: Vec<OfferRecord>,
    /// The highest number an offer had.
    #[serde(default)]
    last_offer: OfferId,
    /// What was being fetched.
    #[serde(default)]
    fetches: Vec<FetchNote>,
    /// Sealed messages of ours that nobody opened yet, oldest first.
    sealed: Vec<SealedNote>,
    /// Read notices of ours that wait for their answer.
    read_notices: Vec<ReadNoticeNote>,
    /// What is replied while we are away.
    away: Option<String>,
    /// The charset of the office, which may have been set while the node ran.
    office: Option<Office>,
    /// Who got an automatic reply lately, and how long ago.
    #[serde(default)]
    replied: Vec<(PeerId, Duration)>,
    /// Pictures on their way.
    #[serde(default)]
    pictures: PicturesNote,
}

impl Handover {
    /// The highest packet number used. The store keeps it before it is closed.
    pub fn last_number(&self) -> PacketNo {
        self.last_number
    }

    /// The stages whose files go along.
    pub fn stages(&self) -> Vec<StageId> {
        self.pictures.stages()
    }

    /// The file of this stage does not go along.
    pub fn leave_behind(&mut self, stage: StageId) {
        self.pictures.leave_behind(stage);
    }

    /// When the first node of this line started.
    pub(crate) fn since(&self) -> Option<UnixMillis> {
        self.since
    }

    /// When the system was started, by the clock of its node.
    pub(crate) fn booted(&self) -> Option<UnixMillis> {
        self.booted
    }

    /// Writes down what `parts` know.
    pub(crate) fn write(
        base: &Base,
        parts: &Parts,
        reckoning: &Reckoning,
        since: Option<UnixMillis>,
    ) -> Self {
        let now = reckoning.tick();
        let mut received: Vec<(Tick, ReceivedNote)> = parts
            .inbox
            .kept()
            .map(|(key, at)| {
                let Key { peer, epoch, number, in_group } = key.clone();
                (at, ReceivedNote { peer, epoch, number, in_group, ago: now - at })
            })
            .collect();
        received.sort_by_key(|&(at, _)| at);
        let epochs = parts.inbox.epochs.iter().map(|(peer, epoch)| EpochNote {
            peer: peer.clone(),
            epoch: epoch.run,
            highest: epoch.highest,
            heard_ago: epoch.heard.map(|at| now - at),
            left: epoch.left,
        });
        let answers = parts
            .presence
            .owed_answers()
            .filter_map(|(no, (link, addr))| Some((parts.roster.get(no)?.id.clone(), link, addr)));
        Self {
            since,
            booted: reckoning.booted(),
            counters: base.counters,
            last_number: base.numbers.last(),
            generation: parts.presence.generation,
            peers: parts.roster.iter().map(|(_, peer)| PeerNote::of(peer, now)).collect(),
            sends: parts.outbox.iter().map(|(no, send)| SendNote::of(no, send, now)).collect(),
            ends: parts.outbox.unkept_ends().cloned().collect(),
            received: received.into_iter().map(|(_, note)| note).collect(),
            epochs: epochs.collect(),
            unwritten: base.remembered.seen().cloned().collect(),
            answers: answers.collect(),
            round: base.timers.left(Timer::Round, now),
            entry_again: base.timers.left(Timer::EntryAgain, now),
            scan: parts.presence.reach.next_of_scan(),
            farewells: parts.farewells.notes(now),
            grants: parts.serving.records().collect(),
            ended_grants: parts.serving.unkept_ends().collect(),
            offers: parts.offers.records(),
            last_offer: base.last_offer,
            fetches: parts.offers.fetch_notes(),
            sealed: parts.outbox.sealed.iter().cloned().map(SealedNote::from).collect(),
            read_notices: parts.envelopes.notices().map(ReadNoticeNote::of).collect(),
            away: base.own.away.clone(),
            office: Some(base.own.office),
            replied: parts.absence.replied(now, &base.policy).collect(),
            pictures: PicturesNote::of(&parts.pictures, now),
        }
    }

    /// Puts it all back.
    pub(crate) fn read(self, turn: &mut Turn<'_>, parts: &mut Parts) {
        let now = turn.now.tick;
        turn.base.counters = self.counters;
        parts.presence.generation = self.generation;
        for peer in self.peers {
            parts.roster.restore(peer.into_peer(now), &turn.base.policy);
        }
        turn.base.last_offer = self.last_offer;
        parts.offers.remember(turn.base, self.offers);
        parts.offers.resume(self.fetches);
        for (id, link, addr) in self.answers {
            let Parts { roster, presence, .. } = &mut *parts;
            if let Some(no) = roster.find(&id) {
                presence.owe_answer(turn, roster, no, (link, addr));
            }
        }
        for (timer, left) in [(Timer::Round, self.round), (Timer::EntryAgain, self.entry_again)] {
            if let Some(left) = left {
                turn.arm(timer, left);
            }
        }
        if let Some(next) = self.scan {
            parts.presence.reach.go_on_from(turn, next);
        }
        parts.farewells.restore(now, self.farewells);
        for SeenPeer { peer, at } in self.unwritten {
            if turn.base.remembered.note(&peer, at) {
                turn.arm(Timer::Remember, turn.base.policy.roster_lag);
            }
        }
        for EpochNote { peer, epoch, highest, heard_ago, left } in self.epochs {
            let heard = heard_ago.map(|ago| before(now, ago));
            parts.inbox.epochs.restore(peer, (epoch, highest), (heard, left));
        }
        for ReceivedNote { peer, epoch, number, in_group, ago } in self.received {
            parts.inbox.restore(Key { peer, epoch, number, in_group }, before(now, ago));
        }
        parts.serving.restore_ends(self.ended_grants);
        parts.serving.restore(turn, self.grants, false);
        for send in self.sends {
            let (no, sending) = send.into_sending(now);
            parts.outbox.restore(turn, no, sending);
        }
        parts.outbox.restore_ends(self.ends);
        for SealedNote { number, peer, sent_to } in self.sealed {
            let peer = Box::new(peer);
            let unopened = Unopened { number, peer, sent_to };
            parts.outbox.sealed.add(turn.base.policy.sealed_max, unopened);
        }
        for note in self.read_notices {
            let (number, notice) = note.into_notice();
            parts.envelopes.restore(turn, number, notice);
        }
        turn.base.own.away = self.away;
        if let Some(office) = self.office {
            turn.base.own.office = office;
        }
        for (peer, ago) in self.replied {
            parts.absence.restore(peer, before(now, ago));
        }
        parts.pictures.restore(turn, self.pictures);
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct PeerNote {
    id: PeerId,
    key: Arc<str>,
    nick: Box<str>,
    user: Box<str>,
    host: Box<str>,
    group: Box<str>,
    mac: Option<Mac>,
    dialect: String,
    version: Option<Box<str>>,
    options: u32,
    charsets: Charsets,
    places: Vec<PlaceNote>,
    heard_ago: Duration,
    entered: bool,
    written: bool,
    greeted_ago: Option<Duration>,
    answered_ago: Option<Duration>,
    told: u32,
    #[serde(default)]
    untold: Option<SocketAddr>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct PlaceNote {
    addr: SocketAddr,
    link: LinkId,
    heard_ago: Duration,
    entered: bool,
    hears: bool,
    far: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SendNote {
    number: PacketNo,
    index: u32,
    peer: PeerView,
    addr: Option<SocketAddr>,
    options: u32,
    /// The text as it was written.
    text: Option<Arc<str>>,
    #[serde(default)]
    files: usize,
    bytes: Option<Arc<[u8]>>,
    left: Duration,
    tries: u32,
    turns: u32,
    first_ago: Option<Duration>,
    went_to: Vec<SocketAddr>,
    stored: bool,
    #[serde(default)]
    written: UnixMillis,
    #[serde(default)]
    later: Option<Later>,
    #[serde(default)]
    may_have_left: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ReceivedNote {
    peer: PeerId,
    epoch: u32,
    number: PacketNo,
    #[serde(default)]
    in_group: bool,
    ago: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SealedNote {
    number: PacketNo,
    peer: PeerView,
    sent_to: Vec<SocketAddr>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ReadNoticeNote {
    message: Option<u64>,
    number: PacketNo,
    peer: PeerView,
    of: PacketNo,
    addr: Option<SocketAddr>,
    bytes: Arc<[u8]>,
    tries: u32,
    turns: u32,
    sent_to: Vec<SocketAddr>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct EpochNote {
    peer: PeerId,
    epoch: u32,
    highest: PacketNo,
    #[serde(default)]
    heard_ago: Option<Duration>,
    #[serde(default)]
    left: bool,
}

impl PeerNote {
    fn of(peer: &Peer, now: Tick) -> Self {
        let place = |place: &Place| PlaceNote {
            addr: place.addr,
            link: place.link,
            heard_ago: now - place.heard,
            entered: place.entered,
            hears: place.hears,
            far: place.far,
        };
        Self {
            id: peer.id.clone(),
            key: Arc::clone(&peer.key),
            nick: peer.nick.clone(),
            user: peer.user.clone(),
            host: peer.host.clone(),
            group: peer.group.clone(),
            mac: peer.mac,
            dialect: peer.dialect.name.to_owned(),
            version: peer.version.clone(),
            options: peer.options.bits(),
            charsets: peer.charsets,
            places: peer.places.iter().map(place).collect(),
            heard_ago: now - peer.heard,
            entered: peer.entered,
            written: peer.written,
            greeted_ago: peer.greeted.map(|at| now - at),
            answered_ago: peer.answered.map(|at| now - at),
            told: peer.told,
            untold: peer.untold,
        }
    }

    fn into_peer(self, now: Tick) -> Peer {
        let place = |note: PlaceNote| Place {
            addr: note.addr,
            link: note.link,
            heard: before(now, note.heard_ago),
            entered: note.entered,
            hears: note.hears,
            far: note.far,
        };
        Peer {
            id: self.id,
            key: self.key,
            nick: self.nick,
            user: self.user,
            host: self.host,
            group: self.group,
            mac: self.mac,
            dialect: Dialect::by_name(&self.dialect).unwrap_or(&dialect::IPMSG),
            version: self.version,
            options: Options::from_bits_retain(self.options),
            charsets: self.charsets,
            places: self.places.into_iter().map(place).collect(),
            came: Tick::default(),
            heard: before(now, self.heard_ago),
            // Of what the other process did not write down yet nothing is lost.
            noted: Tick::default(),
            entered: self.entered,
            written: self.written,
            greeted: self.greeted_ago.map(|ago| before(now, ago)),
            answered: self.answered_ago.map(|ago| before(now, ago)),
            told: self.told,
            untold: self.untold,
            shown: None,
        }
    }
}

impl SendNote {
    fn of(no: SendNo, sending: &Sending, now: Tick) -> Self {
        Self {
            number: no.number,
            index: no.index,
            peer: (*sending.view).clone(),
            addr: sending.addr,
            options: sending.options.bits(),
            text: sending.text.clone(),
            files: sending.files,
            bytes: sending.bytes.clone(),
            left: sending.deadline - now,
            // One whose record is on its way is on disk before the port changes hands.
            tries: sending.tries,
            turns: sending.turns,
            first_ago: sending.first.map(|at| now - at),
            went_to: sending.went_to.clone(),
            stored: sending.stored,
            written: sending.written,
            later: sending.later,
            may_have_left: sending.may_have_left,
        }
    }

    fn into_sending(self, now: Tick) -> (SendNo, Sending) {
        let no = SendNo { number: self.number, index: self.index };
        let sending = Sending {
            view: Box::new(self.peer),
            addr: self.addr,
            options: Options::from_bits_retain(self.options),
            text: self.text,
            files: self.files,
            bytes: self.bytes,
            deadline: now + self.left,
            tries: self.tries,
            turns: self.turns,
            first: self.first_ago.map(|ago| before(now, ago)),
            went_to: self.went_to,
            stored: self.stored,
            saving: None,
            queued: false,
            gate: None,
            launched: false,
            written: self.written,
            later: self.later,
            may_have_left: self.may_have_left,
        };
        (no, sending)
    }
}

impl From<Unopened> for SealedNote {
    fn from(unopened: Unopened) -> Self {
        let Unopened { number, peer, sent_to } = unopened;
        Self { number, peer: *peer, sent_to }
    }
}

impl ReadNoticeNote {
    fn of((number, notice): (PacketNo, &ReadNotice)) -> Self {
        let ReadNotice { message, peer, of, addr, bytes, tries, turns, sent_to } = notice.clone();
        Self { number, message, peer: *peer, of, addr, bytes, tries, turns, sent_to }
    }

    fn into_notice(self) -> (PacketNo, ReadNotice) {
        let Self { number, message, peer, of, addr, bytes, tries, turns, sent_to } = self;
        let peer = Box::new(peer);
        (number, ReadNotice { message, peer, of, addr, bytes, tries, turns, sent_to })
    }
}

/// A tick so long before `now`; the origin of the clock is the earliest there is.
pub(super) fn before(now: Tick, ago: Duration) -> Tick {
    Tick(now.0.saturating_sub(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX)))
}

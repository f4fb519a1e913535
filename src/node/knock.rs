//! Small signs between people: a knock that shakes a window, "is typing", and the question whether
//! a chat window's other side is there (`feiq-dialect.md`, 3 and 6). None of them is ever repeated.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Parts;
use super::api::{Direction, Event, PeerId, PeerView, Refusal, Reply, Target};
use super::effect::{KnockRecord, Outcome, Record};
use super::input::{LinkId, SaveId, SaveResult, Tick};
use super::letters::not_blocked;
use super::own::canonical;
use super::peer::{PeerNo, Sighting, view_of_stranger};
use super::roster::Roster;
use super::timers::Timer;
use super::trust::Allowance;
use super::turn::{Turn, Voice};
use crate::wire::command::message;
use crate::wire::{Command, PacketNo};

/// What is remembered of such signs.
#[derive(Debug, Default)]
pub(crate) struct Knocks {
    /// Knocks of ours that wait for their answer.
    waiting: BTreeMap<SocketAddr, Waiting>,
    /// When the count of knocks that rang began, and where it stands.
    rang: (Tick, u32),
    /// Of peers that gave a sign lately.
    signs: BTreeMap<PeerNo, Signs>,
    /// Knocks on their way to the disk: told even if the store does not take them.
    keeping: BTreeMap<SaveId, Event>,
}

#[derive(Debug)]
struct Waiting {
    number: PacketNo,
    peer: PeerView,
}

#[derive(Clone, Copy, Debug, Default)]
struct Signs {
    /// When its knock rang last.
    rang: Option<Tick>,
    /// When its last message came.
    wrote: Option<Tick>,
    /// It is said to type.
    types: bool,
    /// When we told it last that our user types.
    told: Option<Tick>,
}

/// One who is to be knocked at.
struct Door {
    view: PeerView,
    addr: SocketAddr,
    link: Option<LinkId>,
    knocks: bool,
}

impl Knocks {
    fn signs(&mut self, turn: &Turn<'_>, roster: &Roster, no: PeerNo) -> &mut Signs {
        if self.signs.len() > turn.base.policy.peers_max {
            self.signs.retain(|&no, _| roster.get(no).is_some());
        }
        self.signs.entry(no).or_default()
    }

    /// Whether a knock of this peer rings now. Forged names must not ring for ever.
    fn rings(&mut self, turn: &Turn<'_>, roster: &Roster, no: PeerNo) -> bool {
        let (now, policy) = (turn.now.tick, &turn.base.policy);
        let (since, count) = self.rang;
        let count = if now - since < policy.knock_once_per { count } else { 0 };
        let signs = self.signs(turn, roster, no);
        let lately = signs.rang.is_some_and(|rang| now - rang < policy.knock_once_per);
        if lately || count >= policy.knocks_max {
            return false;
        }
        signs.rang = Some(now);
        self.rang = (if count == 0 { now } else { since }, count + 1);
        true
    }

    /// A message came: whoever wrote it does not type any more.
    pub(crate) fn wrote(&mut self, turn: &mut Turn<'_>, roster: &Roster, no: PeerNo) {
        // Only of those who ever said that they type is anything remembered.
        if let Some(signs) = self.signs.get_mut(&no) {
            signs.wrote = Some(turn.now.tick);
            self.types(turn, roster, no, false);
        }
    }

    /// A peer was silent since it said that it types.
    pub(crate) fn typing_due(&mut self, turn: &mut Turn<'_>, roster: &Roster, no: PeerNo) {
        self.types(turn, roster, no, false);
    }

    fn types(&mut self, turn: &mut Turn<'_>, roster: &Roster, no: PeerNo, typing: bool) {
        let signs = self.signs(turn, roster, no);
        let changed = signs.types != typing;
        signs.types = typing;
        if typing {
            turn.arm(Timer::Typing(no), turn.base.policy.typing_span);
        } else {
            turn.base.timers.disarm(Timer::Typing(no));
        }
        if let Some(peer) = roster.get(no).filter(|_| changed) {
            turn.emit(Event::Typing { peer: peer.view(), typing }, None);
        }
    }

    /// A knock of ours was not answered in time.
    pub(crate) fn knock_due(&mut self, turn: &mut Turn<'_>, roster: &Roster, at: SocketAddr) {
        if let Some(waiting) = self.waiting.remove(&at) {
            self.ended(turn, roster, waiting, Outcome::NotConfirmed);
        }
    }

    /// A knock of ours ended.
    fn ended(&mut self, turn: &mut Turn<'_>, roster: &Roster, knock: Waiting, outcome: Outcome) {
        let Waiting { number, peer } = knock;
        let peer = roster.view(&peer.id).unwrap_or(peer);
        let (at, direction) = (turn.now.wall, Direction::Out);
        self.tell(turn, KnockRecord { at, number, peer, direction, outcome: Some(outcome) });
    }

    /// Keeps a knock and tells faces.
    fn tell(&mut self, turn: &mut Turn<'_>, record: KnockRecord) {
        let event = record.event();
        let kept = turn.base.keeps.then(|| turn.save(Record::Knock(record)));
        turn.emit(event.clone(), kept);
        self.keeping.extend(kept.map(|id| (id, event)));
    }

    /// A record came back from the store. Whether it was a knock.
    pub(crate) fn saved(&mut self, turn: &mut Turn<'_>, id: SaveId, result: &SaveResult) -> bool {
        let Some(event) = self.keeping.remove(&id) else { return false };
        if matches!(result, SaveResult::Failed(_) | SaveResult::Refused(_)) {
            turn.emit(event, None);
        }
        true
    }
}

impl Parts {
    /// Somebody knocks: rings, and is answered.
    pub(super) fn knocked(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        allowance: &mut Allowance,
    ) {
        let met = self.roster.meet(turn, seen);
        if self.knocks.rings(turn, &self.roster, met.peer)
            && let Some(peer) = self.roster.get(met.peer)
        {
            let (at, number, peer) = (turn.now.wall, seen.packet.number, peer.view());
            let direction = Direction::In;
            let record = KnockRecord { at, number, peer, direction, outcome: None };
            self.knocks.tell(turn, record);
        }
        self.signal_back(turn, seen, Command::FEIQ_KNOCK_ANSWER, allowance);
        let Self { presence, roster, links, .. } = self;
        presence.greet(turn, roster, links, seen, allowance);
    }

    /// A knock of ours was felt.
    pub(super) fn knock_answered(&mut self, turn: &mut Turn<'_>, seen: &Sighting<'_>) {
        self.roster.hear(turn.now.tick, seen);
        let Some(waiting) = self.knocks.waiting.remove(&seen.from) else { return };
        turn.base.timers.disarm(Timer::Knock(seen.from));
        self.roster.note_hears(seen.from);
        self.knocks.ended(turn, &self.roster, waiting, Outcome::Confirmed);
    }

    /// A chat window with us was opened: its program wants to know whether we are there.
    pub(super) fn probed(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        allowance: &mut Allowance,
    ) {
        self.roster.hear(turn.now.tick, seen);
        self.signal_back(turn, seen, Command::FEIQ_PROBE_ANSWER, allowance);
    }

    /// Somebody types, or does no longer.
    pub(super) fn typed(&mut self, turn: &mut Turn<'_>, seen: &Sighting<'_>, typing: bool) {
        let Some(no) = self.roster.hear(turn.now.tick, seen) else { return };
        let now = turn.now.tick;
        let wrote = self.knocks.signs(turn, &self.roster, no).wrote;
        // FeiQ says so once more right behind a message (dialect reference, 5).
        let echo = wrote.is_some_and(|wrote| now - wrote < turn.base.policy.typing_once_per);
        self.knocks.types(turn, &self.roster, no, typing && !echo);
    }

    /// Answers with a packet without a body, within the caps; never what was written by a machine
    /// or to everybody.
    fn signal_back(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        answer: Command,
        allowance: &mut Allowance,
    ) {
        let silent = message::BROADCAST | message::AUTO_RETURN;
        if !turn.speaks() || seen.packet.options.intersects(silent) {
            return;
        }
        let number = turn.number();
        let bytes = turn.base.own.signal(number, answer, seen.packet.names.charset);
        if allowance.allows(bytes.len())
            && self.trust.answers_info(turn.now.tick, &turn.base.policy, seen.from.ip())
        {
            turn.transmit(self.links.route(seen.link), seen.from, bytes, None);
        } else {
            turn.base.counters.dropped += 1;
        }
    }

    /// Knocks at all who know what that is.
    pub(super) fn knock(&mut self, turn: &mut Turn<'_>, to: &[Target]) -> Reply {
        match self.try_to_knock(turn, to) {
            Ok(reply) => reply,
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn try_to_knock(&mut self, turn: &mut Turn<'_>, to: &[Target]) -> Result<Reply, Refusal> {
        if turn.base.voice == Voice::Passive {
            return Err(Refusal::Passive);
        }
        if to.is_empty() {
            return Err(Refusal::Nobody);
        }
        if self.links.is_empty() {
            return Err(Refusal::NoLink);
        }
        let doors =
            to.iter().map(|target| self.door(turn, target)).collect::<Result<Vec<_>, _>>()?;
        let (doors, without): (Vec<_>, Vec<_>) = doors.into_iter().partition(|door| door.knocks);
        if self.knocks.waiting.len() + doors.len() > turn.base.policy.waiting_max {
            return Err(Refusal::Busy);
        }
        let number = turn.number();
        let names = turn.base.own.office.own();
        let bytes = turn.base.own.signal(number, Command::FEIQ_KNOCK, names);
        let mut knocked: Vec<PeerView> = Vec::with_capacity(doors.len());
        for Door { view, addr, link, .. } in doors {
            if knocked.iter().any(|other| other.id == view.id) {
                continue;
            }
            turn.transmit(link, addr, bytes.clone(), None);
            turn.arm(Timer::Knock(addr), turn.base.policy.knock_wait);
            let waiting = Waiting { number, peer: view.clone() };
            if let Some(before) = self.knocks.waiting.insert(addr, waiting) {
                self.knocks.ended(turn, &self.roster, before, Outcome::NotConfirmed);
            }
            knocked.push(view);
        }
        let without = without.into_iter().map(|door| door.view).collect();
        Ok(Reply::Knocked { number, to: knocked, without })
    }

    /// Where to knock. Somebody of whom nothing is known may know knocks.
    fn door(&self, turn: &Turn<'_>, target: &Target) -> Result<Door, Refusal> {
        let unknown = |peer: PeerId| Refusal::UnknownPeer { peer };
        let (no, addr) = match target {
            Target::Peer(id) => {
                (Some(self.roster.find(id).ok_or_else(|| unknown(id.clone()))?), None)
            }
            Target::Addr(addr) => {
                let addr = canonical(*addr);
                not_blocked(self.book.blocked_at(&self.roster, addr))?;
                (self.roster.at(addr), Some(addr))
            }
        };
        if let Some(peer) = no.and_then(|no| self.roster.get(no)) {
            let place = addr.map_or(peer.places.first(), |addr| peer.place(addr));
            let place = place.ok_or_else(|| unknown(peer.id.clone()))?;
            let link = self.links.route(place.link);
            let knocks = peer.dialect.habits.knocks;
            return Ok(Door { view: peer.view(), addr: place.addr, link, knocks });
        }
        let addr = addr.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let view = view_of_stranger(addr, turn.base.own.form_for_strangers());
        if !self.links.is_host(addr) {
            return Err(unknown(view.id));
        }
        Ok(Door { view, addr, link: None, knocks: true })
    }

    /// Our user types a message to somebody, or stopped.
    pub(super) fn type_to(&mut self, turn: &mut Turn<'_>, to: &Target, typing: bool) -> Reply {
        let door = match self.door(turn, to) {
            Ok(door) => door,
            Err(refusal) => return Reply::Refused(refusal),
        };
        let Some(no) = self.roster.at(door.addr) else { return Reply::Done };
        let shows = self.roster.get(no).is_some_and(|peer| peer.dialect.habits.shows_typing);
        if !shows || !turn.speaks() {
            return Reply::Done;
        }
        let (now, once_per) = (turn.now.tick, turn.base.policy.typing_once_per);
        let signs = self.knocks.signs(turn, &self.roster, no);
        let lately = signs.told.is_some_and(|told| now - told < once_per);
        if typing && lately {
            return Reply::Done;
        }
        signs.told = typing.then_some(now);
        let command = if typing { Command::FEIQ_TYPING } else { Command::FEIQ_TYPING_END };
        let number = turn.number();
        let names = turn.base.own.office.own();
        let bytes = turn.base.own.signal(number, command, names);
        turn.transmit(door.link, door.addr, bytes, None);
        Reply::Done
    }
}

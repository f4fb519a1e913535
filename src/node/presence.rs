//! Being seen: our entries, the answers to those of others, absence and exit (wire reference, 4
//! and the rule at its end).
//!
//! Who is there is the roster's business; who must be asked whether he still is,
//! [`super::rollcall`]'s; networks beyond our links, [`super::reach`]'s.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::api::DownReason;
use super::config::{Config, Network};
use super::input::{LinkId, Tick};
use super::links::{Links, targets};
use super::own::Sheet;
use super::peer::{Peer, PeerNo, Sighting};
use super::reach::Reach;
use super::rollcall::{Cause, RollCall};
use super::roster::{Met, Roster};
use super::timers::Timer;
use super::trust::Allowance;
use super::turn::{Turn, by_count};
use super::unicasts::{Job, Unicasts, When};
use crate::wire::Command;
use crate::wire::command::message;

/// What we told and have to tell about ourselves.
#[derive(Debug)]
pub(crate) struct Presence {
    /// Addresses that get every announcement beside our links.
    networks: Vec<SocketAddr>,
    /// Answers that leave when the shared timer fires.
    answers: BTreeMap<PeerNo, (LinkId, SocketAddr)>,
    /// Counts our announcements to everybody; a peer that was told the last one in full is done.
    pub(crate) generation: u32,
    announced: Tick,
    last_entry: Option<Tick>,
    pub(crate) unicasts: Unicasts,
    pub(crate) roll_call: RollCall,
    pub(crate) reach: Reach,
}

impl Presence {
    pub(crate) fn new(config: &Config) -> Self {
        let networks = config.networks.iter().filter_map(|network| match network {
            Network::Addr(addr) => Some(*addr),
            Network::Range(..) => None,
        });
        Self {
            networks: networks.collect(),
            answers: BTreeMap::new(),
            generation: 0,
            announced: Tick::default(),
            last_entry: None,
            unicasts: Unicasts::default(),
            roll_call: RollCall::default(),
            reach: Reach::new(config),
        }
    }

    /// Addresses that get everything that is for all.
    pub(crate) fn networks(&self) -> &[SocketAddr] {
        &self.networks
    }

    /// The first links are up: everybody may know.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>, roster: &mut Roster, links: &Links) {
        if !turn.speaks() {
            return;
        }
        self.announce(turn, roster, links, Command::BR_ENTRY, None);
        self.reach.start(turn);
        turn.arm(Timer::EntryAgain, turn.base.policy.entry_again_after);
    }

    /// Links appeared or changed address: those who are on them may know.
    pub(crate) fn appear(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        fresh: &[LinkId],
    ) {
        if !turn.speaks() {
            return;
        }
        self.announce(turn, roster, links, Command::BR_ENTRY, Some(fresh));
        turn.arm(Timer::EntryAgain, turn.base.policy.entry_again_after);
    }

    /// Tells everybody on all links, or on some, and in the networks beyond them. One packet, one
    /// number. `BR_EXIT` is told at once to those too whom broadcasts do not reach.
    pub(crate) fn announce(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        command: Command,
        only: Option<&[LinkId]>,
    ) {
        if !turn.speaks() {
            return;
        }
        if command == Command::BR_ENTRY {
            herald(turn, links, only);
        }
        let number = turn.number();
        let bytes = turn.base.own.presence(number, command, Sheet::Plain);
        for link in links.iter().filter(|link| only.is_none_or(|only| only.contains(&link.id))) {
            for target in targets(link, turn.base.own.port) {
                turn.transmit(Some(link.id), target, Arc::clone(&bytes), None);
            }
        }
        for &network in &self.networks {
            turn.transmit(None, network, Arc::clone(&bytes), None);
        }
        let apart: Vec<(Option<LinkId>, SocketAddr)> = roster
            .iter()
            .filter(|(_, peer)| peer.needs_unicast())
            .flat_map(|(_, peer)| &peer.places)
            .map(|place| (links.route(place.link), place.addr))
            .filter(|(_, addr)| !self.networks.contains(addr))
            .collect();
        self.generation += 1;
        self.announced = turn.now.tick;
        match command {
            Command::BR_EXIT => {
                for (link, addr) in apart {
                    turn.transmit(link, addr, Arc::clone(&bytes), None);
                }
            }
            Command::BR_ENTRY => {
                self.last_entry = Some(turn.now.tick);
                for (_, addr) in apart {
                    self.send(turn, roster, links, Job::Enter(addr));
                }
                // The answers come first; then those who read more than this packet said get it.
                let wait = by_count(&turn.base.policy.roll_call_waits, roster.len());
                turn.arm(Timer::Round, wait);
            }
            _ => self.round(turn, roster, links),
        }
    }

    /// Whether our last entry to everybody is so fresh that another one would only be noise
    /// (dialect reference of FeiQ, 11: never faster than one a second).
    pub(crate) fn just_entered(&self, now: Tick) -> bool {
        self.last_entry.is_some_and(|entry| now - entry < std::time::Duration::from_secs(1))
    }

    /// The timer of [`Self::round`] fired; with many peers their answers take longer.
    pub(crate) fn round_due(&mut self, turn: &mut Turn<'_>, roster: &mut Roster, links: &Links) {
        let ready = self.announced + by_count(&turn.base.policy.roll_call_waits, roster.len());
        if turn.now.tick < ready {
            turn.base.timers.arm(Timer::Round, ready);
        } else {
            self.round(turn, roster, links);
        }
    }

    /// One packet to each peer that reads more than our broadcast said, or did not get it.
    fn round(&mut self, turn: &mut Turn<'_>, roster: &mut Roster, links: &Links) {
        turn.base.timers.disarm(Timer::Round);
        let untold: Vec<PeerNo> = roster
            .iter()
            .filter(|(_, peer)| peer.reads_full() || peer.needs_unicast())
            .filter(|(_, peer)| peer.told < self.generation)
            .map(|(no, _)| no)
            .collect();
        for no in untold {
            self.send(turn, roster, links, Job::Absence(no));
        }
    }

    /// A peer entered: its answer joins the queue. Whether it is there now.
    pub(crate) fn entered(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        seen: &Sighting<'_>,
        met: Met,
    ) -> bool {
        let Some(peer) = roster.get(met.peer).filter(|_| turn.speaks()) else { return false };
        let once_per = turn.base.policy.answer_once_per;
        let lately = peer.answered.is_some_and(|answered| turn.now.tick - answered < once_per);
        // Forged names push each other out of the roster, but must not fill this queue.
        if lately || self.answers.len() >= turn.base.policy.peers_max {
            turn.base.counters.dropped += 1;
            return self.answers.contains_key(&met.peer);
        }
        self.owe_answer(turn, roster, met.peer, (seen.link, seen.from));
        true
    }

    /// Puts an answer into the queue; the first one starts the timer of them all.
    pub(crate) fn owe_answer(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        to: PeerNo,
        at: (LinkId, SocketAddr),
    ) {
        let first = self.answers.is_empty();
        let owed = self.answers.entry(to).or_insert(at);
        // An entry that came on both families is answered where everybody can be written to.
        if at.1.is_ipv4() || owed.1.is_ipv6() {
            *owed = at;
        }
        if first {
            let most = by_count(&turn.base.policy.answer_delays, roster.len());
            let delay = turn.base.policy.answer_delay_floor + turn.random(most);
            turn.arm(Timer::Answers, delay);
        }
    }

    /// The answers in the queue.
    pub(crate) fn owed_answers(&self) -> impl Iterator<Item = (PeerNo, (LinkId, SocketAddr))> {
        self.answers.iter().map(|(&no, &at)| (no, at))
    }

    /// The shared timer fired: all queued answers leave. Peers of one kind get the same bytes.
    pub(crate) fn answer(&mut self, turn: &mut Turn<'_>, roster: &mut Roster, links: &Links) {
        let mut sheets = BTreeMap::new();
        for (no, at) in std::mem::take(&mut self.answers) {
            self.tell(turn, (roster, links), &mut sheets, no, at);
        }
    }

    /// This peer is about to be written to: an answer that waits for it leaves now. Whether there
    /// was one. To somebody who does not know us yet the message would come from nobody; and iptux
    /// may crash on an answer while the chat that the message opened is being drawn.
    pub(crate) fn answer_first(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        to: PeerNo,
    ) -> bool {
        let Some(at) = self.answers.remove(&to) else { return false };
        self.tell(turn, (roster, links), &mut BTreeMap::new(), to, at);
        true
    }

    /// Answers one peer.
    fn tell(
        &self,
        turn: &mut Turn<'_>,
        (roster, links): (&mut Roster, &Links),
        sheets: &mut BTreeMap<Sheet, Arc<[u8]>>,
        no: PeerNo,
        (link, to): (LinkId, SocketAddr),
    ) {
        let utf8 = roster.get(no).is_some_and(Peer::reads_utf8_answer);
        let sheet = if utf8 { Sheet::Utf8 } else { Sheet::Plain };
        let bytes = sheets.entry(sheet).or_insert_with(|| {
            let number = turn.number();
            turn.base.own.presence(number, Command::ANSENTRY, sheet)
        });
        turn.transmit(links.route(link), to, Arc::clone(bytes), None);
        if let Some(peer) = roster.get_mut(no) {
            peer.answered = Some(turn.now.tick);
            if utf8 {
                peer.told = self.generation;
            }
        }
    }

    /// A peer says goodbye from one of its addresses. Only that one is dropped; whether it is
    /// still at its others is asked.
    pub(crate) fn exited(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        seen: &Sighting<'_>,
        allowance: &mut Allowance,
    ) {
        let Some(no) = roster.at(seen.from) else { return };
        if !roster.get(no).is_some_and(|peer| peer.is(seen)) {
            return;
        }
        roster.vacate(turn, seen.from, DownReason::Exit);
        match roster.get(no) {
            Some(_) => {
                let cause = Cause::Datagram(seen.from, allowance);
                self.ask_places(turn, roster, links, no, cause);
            }
            None => {
                self.answers.remove(&no);
            }
        }
    }

    /// A message or a knock came from somebody who never entered: asks who it is, within `allowance`.
    /// Nothing is ever sent in answer to what went to everybody or was written by a machine, and no
    /// entry to somebody who does not want to be listed (wire reference, 6.2 and 11).
    pub(crate) fn greet(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        seen: &Sighting<'_>,
        allowance: &mut Allowance,
    ) {
        let silent = message::NO_ADD_LIST | message::BROADCAST | message::AUTO_RETURN;
        if !turn.speaks() || seen.packet.options.intersects(silent) {
            return;
        }
        let Some(peer) = roster.at(seen.from).and_then(|no| roster.get_mut(no)) else { return };
        let stranger = peer.place(seen.from).is_some_and(|place| !place.entered);
        let once_per = turn.base.policy.answer_once_per;
        let asked = peer.greeted.is_some_and(|greeted| turn.now.tick - greeted < once_per);
        if !stranger || asked {
            return;
        }
        let number = turn.base.numbers.last();
        let size = turn.base.own.presence(number, Command::BR_ENTRY, Sheet::Full).len();
        if allowance.allows(size) {
            peer.greeted = Some(turn.now.tick);
            self.send(turn, roster, links, Job::Enter(seen.from));
        }
    }

    /// Sends now or, beyond the pace, later.
    pub(crate) fn send(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        job: Job,
    ) {
        if !turn.speaks() {
            return;
        }
        match (self.unicasts.admit(turn, job), job) {
            (When::Now, job) => self.perform(turn, roster, links, job),
            (When::Never, Job::Probe(addr)) => self.roll_call.forget(addr),
            (When::Later | When::Never, _) => {}
        }
    }

    /// The next group of the paced queue.
    pub(crate) fn send_next(&mut self, turn: &mut Turn<'_>, roster: &mut Roster, links: &Links) {
        while let Some(job) = self.unicasts.next(turn) {
            self.perform(turn, roster, links, job);
        }
    }

    fn perform(&mut self, turn: &mut Turn<'_>, roster: &mut Roster, links: &Links, job: Job) {
        match job {
            Job::Enter(addr) => enter(turn, roster, links, addr),
            Job::Probe(addr) => {
                if self.roll_call.asks(turn, roster, addr) {
                    enter(turn, roster, links, addr);
                }
            }
            Job::Absence(no) => {
                let generation = self.generation;
                let Some(peer) = roster.get_mut(no).filter(|peer| peer.told < generation) else {
                    return;
                };
                peer.told = generation;
                let sheet = if peer.reads_full() { Sheet::Full } else { Sheet::Plain };
                let Some(place) = peer.places.first() else { return };
                let (link, to) = (links.route(place.link), place.addr);
                let number = turn.number();
                let bytes = turn.base.own.presence(number, Command::BR_ABSENCE, sheet);
                turn.transmit(link, to, bytes, None);
            }
        }
    }
}

/// A no-operation packet to everybody, just before an entry with the next number: FeiQ does so
/// at its start (vectors `noop-lbt6`, `entry-lbt6-empty-group`), and who has to look for our address first
/// loses this one and not the entry.
fn herald(turn: &mut Turn<'_>, links: &Links, only: Option<&[LinkId]>) {
    let number = turn.number();
    let names = turn.base.own.office.own();
    let bytes = turn.base.own.signal(number, Command::NOOPERATION, names);
    for link in links.iter().filter(|link| only.is_none_or(|only| only.contains(&link.id))) {
        for target in targets(link, turn.base.own.port) {
            turn.transmit(Some(link.id), target, Arc::clone(&bytes), None);
        }
    }
}

/// An entry to one address: in full where somebody is known who reads that.
fn enter(turn: &mut Turn<'_>, roster: &Roster, links: &Links, addr: SocketAddr) {
    let known = roster.place(addr);
    let full = known.is_some_and(|(peer, _)| peer.reads_full());
    let link = known.and_then(|(_, place)| links.route(place.link));
    let number = turn.number();
    let sheet = if full { Sheet::Full } else { Sheet::Plain };
    let bytes = turn.base.own.presence(number, Command::BR_ENTRY, sheet);
    turn.transmit(link, addr, bytes, None);
}

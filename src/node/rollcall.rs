//! Is he still there? There is no ageing: only a roll call, an unanswered message or a move raise
//! the question, and a silent address gets two entries of its own before it is dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::api::{DownReason, PeerId};
use super::input::Tick;
use super::links::Links;
use super::own::Sheet;
use super::peer::PeerNo;
use super::presence::Presence;
use super::roster::Roster;
use super::timers::Timer;
use super::trust::Allowance;
use super::turn::{Turn, by_count};
use super::unicasts::Job;
use crate::wire::Command;

/// Who is being asked.
#[derive(Debug, Default)]
pub(crate) struct RollCall {
    /// When the roll call under way began.
    began: Option<Tick>,
    probes: BTreeMap<SocketAddr, Probe>,
}

/// An address that has to show that its peer is still there.
#[derive(Clone, Copy, Debug)]
struct Probe {
    since: Tick,
    sent: u8,
    /// How many entries it gets.
    entries: u8,
}

/// Why a peer is asked whether it is still there.
#[derive(Debug)]
pub(crate) enum Cause<'a> {
    /// The user: a roll call, a message without a receipt.
    Ourselves,
    /// A datagram from this address.
    Datagram(SocketAddr, &'a mut Allowance),
}

/// Entries a silent address gets of its own.
const ENTRIES: u8 = 2;

impl RollCall {
    /// `addr` is not asked this time.
    pub(crate) fn forget(&mut self, addr: SocketAddr) {
        self.probes.remove(&addr);
    }

    /// Whether `addr` still has to be asked; counts the entry that then leaves.
    pub(crate) fn asks(&mut self, turn: &mut Turn<'_>, roster: &Roster, addr: SocketAddr) -> bool {
        let Some(probe) = self.probes.get_mut(&addr) else { return false };
        let silent = roster.place(addr).is_some_and(|(_, place)| place.heard <= probe.since);
        if !silent {
            self.probes.remove(&addr);
            return false;
        }
        probe.sent += 1;
        let wait = if probe.sent < probe.entries {
            turn.base.policy.probe_gap
        } else {
            by_count(&turn.base.policy.roll_call_waits, roster.len())
        };
        turn.arm(Timer::Probe(addr), wait);
        true
    }
}

impl Presence {
    /// Asks everybody. How long answers may take.
    pub(crate) fn call_roll(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
    ) -> Duration {
        let wait = by_count(&turn.base.policy.roll_call_waits, roster.len());
        if !self.just_entered(turn.now.tick) {
            self.announce(turn, roster, links, Command::BR_ENTRY, None);
            self.reach.start(turn);
        }
        if self.roll_call.began.is_none() {
            self.roll_call.began = Some(turn.now.tick);
            turn.arm(Timer::RollCall, wait);
        }
        wait
    }

    /// The window of the roll call ended: those who were silent are asked one by one.
    pub(crate) fn close_roll(&mut self, turn: &mut Turn<'_>, roster: &mut Roster, links: &Links) {
        let Some(began) = self.roll_call.began.take() else { return };
        let silent: Vec<PeerNo> =
            roster.iter().filter(|(_, peer)| peer.heard < began).map(|(no, _)| no).collect();
        for no in silent {
            self.ask_places(turn, roster, links, no, Cause::Ourselves);
        }
    }

    /// A message to this peer got no receipt.
    pub(crate) fn doubt(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        id: &PeerId,
    ) {
        if let Some(no) = roster.find(id) {
            self.ask_places(turn, roster, links, no, Cause::Ourselves);
        }
    }

    /// Asks at the addresses of a peer. What a datagram caused goes to other addresses than its
    /// own, and is bounded by its allowance where nobody has shown that he hears us.
    pub(crate) fn ask_places(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        no: PeerNo,
        mut cause: Cause<'_>,
    ) {
        let Some(peer) = roster.get(no).filter(|_| turn.speaks()) else { return };
        let sheet = if peer.reads_full() { Sheet::Full } else { Sheet::Plain };
        let size = turn.base.own.presence(turn.base.numbers.last(), Command::BR_ENTRY, sheet).len();
        let mut places: Vec<(SocketAddr, Tick, u8)> = Vec::with_capacity(peer.places.len());
        for place in &peer.places {
            let entries = match &mut cause {
                Cause::Datagram(from, _) if place.addr == *from => 0,
                Cause::Datagram(_, allowance) if !place.hears => {
                    (0..ENTRIES).map(|_| u8::from(allowance.allows(size))).sum()
                }
                Cause::Ourselves | Cause::Datagram(..) => ENTRIES,
            };
            places.push((place.addr, place.heard, entries));
        }
        for (addr, heard, entries) in places.into_iter().filter(|&(.., entries)| entries > 0) {
            let probes = &self.roll_call.probes;
            if probes.contains_key(&addr) || probes.len() >= turn.base.policy.peers_max {
                continue;
            }
            let now = turn.now.tick;
            self.roll_call.probes.insert(addr, Probe { since: now, sent: 0, entries });
            // One that answered just now owes us no second answer yet.
            let due = heard + turn.base.policy.fresh_span;
            if due > now {
                turn.base.timers.arm(Timer::Probe(addr), due);
            } else {
                self.send(turn, roster, links, Job::Probe(addr));
            }
        }
    }

    /// The timer of an address fired: ask again, or take its peer for gone from there.
    pub(crate) fn probe_due(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        addr: SocketAddr,
    ) {
        let Some(&probe) = self.roll_call.probes.get(&addr) else { return };
        let silent = roster.place(addr).is_some_and(|(_, place)| place.heard <= probe.since);
        if silent && probe.sent < probe.entries {
            self.send(turn, roster, links, Job::Probe(addr));
            return;
        }
        self.roll_call.probes.remove(&addr);
        if silent {
            roster.vacate(turn, addr, DownReason::Silent);
        }
    }
}

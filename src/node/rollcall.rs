//! Is he still there? There is no ageing: only a roll call, an unanswered message or a move raise
//! the question, and a silent address gets two entries of its own before it is dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::api::{DownReason, PeerId};
use super::input::Tick;
use super::links::Links;
use super::peer::PeerNo;
use super::presence::Presence;
use super::roster::Roster;
use super::timers::Timer;
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
}

/// Entries a silent address gets of its own.
const ENTRIES: u8 = 2;

impl RollCall {
    /// Whether `addr` still has to be asked; counts the entry that then leaves.
    pub(crate) fn asks(&mut self, turn: &mut Turn<'_>, roster: &Roster, addr: SocketAddr) -> bool {
        let Some(probe) = self.probes.get_mut(&addr) else { return false };
        let silent = roster.place(addr).is_some_and(|(_, place)| place.heard <= probe.since);
        if !silent {
            self.probes.remove(&addr);
            return false;
        }
        probe.sent += 1;
        let wait = if probe.sent < ENTRIES {
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
            self.ask_places(turn, roster, links, no, None);
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
            self.ask_places(turn, roster, links, no, None);
        }
    }

    /// Asks at the addresses of a peer, but for `known`, where it just was.
    pub(crate) fn ask_places(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        no: PeerNo,
        known: Option<SocketAddr>,
    ) {
        let Some(peer) = roster.get(no).filter(|_| turn.speaks()) else { return };
        let places: Vec<(SocketAddr, Tick)> = peer
            .places
            .iter()
            .filter(|place| Some(place.addr) != known)
            .map(|place| (place.addr, place.heard))
            .collect();
        for (addr, heard) in places {
            let probes = &self.roll_call.probes;
            if probes.contains_key(&addr) || probes.len() >= turn.base.policy.peers_max {
                continue;
            }
            let now = turn.now.tick;
            self.roll_call.probes.insert(addr, Probe { since: now, sent: 0 });
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
        if silent && probe.sent < ENTRIES {
            self.send(turn, roster, links, Job::Probe(addr));
            return;
        }
        self.roll_call.probes.remove(&addr);
        if silent {
            roster.vacate(turn, addr, DownReason::Silent);
        }
    }
}

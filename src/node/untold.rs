//! Openings of sealed messages that are on disk, and whose senders may not know of them: the process
//! ended before its read notice left or was answered.
//!
//! A sender is told once it shows itself, and only where it is then: at the address it had, somebody
//! else may be by now. After [`Policy::untold_span`](super::Policy) nobody is told any more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::Parts;
use super::api::{Event, PeerId, Told};
use super::effect::Record;
use super::envelopes::{Envelopes, Notice};
use super::input::UnixMillis;
use super::links::Links;
use super::memory::UntoldMemory;
use super::peer::PeerNo;
use super::reckoning::Turned;
use super::roster::Roster;
use super::timers::Timer;
use super::turn::Turn;

/// Openings of earlier runs, by the sender that is to know.
#[derive(Debug, Default)]
pub(crate) struct Untold(BTreeMap<PeerId, Vec<UntoldMemory>>);

impl Untold {
    /// Whether everybody knows.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Addresses at which those were seen last who are to be told and are not here.
    pub(crate) fn sought(&self, roster: &Roster) -> impl Iterator<Item = SocketAddr> {
        const ROUND_MAX: usize = 1_024;
        let absent = self.0.iter().filter(|(id, _)| roster.find(id).is_none());
        let places: BTreeSet<SocketAddr> = absent
            .flat_map(|(_, all)| all.iter().flat_map(|one| one.peer.addrs.iter().copied()))
            .filter(|addr| roster.at(*addr).is_none() && addr.port() != 0)
            .collect();
        places.into_iter().take(ROUND_MAX)
    }

    fn take_expired(&mut self, now: UnixMillis, span: Duration) -> Vec<UntoldMemory> {
        let mut expired = Vec::new();
        self.0.retain(|_, all| {
            expired.extend(all.extract_if(.., |one| left(one, now, span).is_zero()));
            !all.is_empty()
        });
        expired
    }
}

/// How long somebody may still be told.
fn left(one: &UntoldMemory, now: UnixMillis, span: Duration) -> Duration {
    let age = u64::try_from(now.0.saturating_sub(one.opened.0)).unwrap_or(0);
    span.saturating_sub(Duration::from_millis(age))
}

impl Envelopes {
    /// Takes in what the store says; what is being told already is left out.
    pub(crate) fn remember(&mut self, turn: &mut Turn<'_>, untold: Vec<UntoldMemory>) {
        if !turn.speaks() {
            return;
        }
        let under_way: BTreeSet<u64> =
            self.notices().filter_map(|(_, notice)| notice.message).collect();
        for one in untold.into_iter().filter(|one| !under_way.contains(&one.message)) {
            self.untold.0.entry(one.peer.id.clone()).or_default().push(one);
        }
        if !self.untold.is_empty() {
            turn.arm(Timer::Untold, Duration::ZERO);
            turn.base.timers.arm_if_idle(Timer::Seek, turn.now.tick);
        }
    }

    /// Another time of day, or the system slept.
    pub(crate) fn reckon(&mut self, turn: &mut Turn<'_>, turned: Turned) {
        for one in self.untold.0.values_mut().flatten() {
            turned.adjust(&mut one.opened, []);
        }
        if !self.untold.is_empty() {
            turn.arm(Timer::Untold, Duration::ZERO);
        }
    }

    /// Tells those who are here, gives up those who did not come in time.
    pub(crate) fn untold_due(&mut self, turn: &mut Turn<'_>, places: (&Roster, &Links)) {
        let here: Vec<PeerNo> = self.untold.0.keys().filter_map(|id| places.0.find(id)).collect();
        for no in here {
            self.tell_late(turn, places, no);
        }
        let span = turn.base.policy.untold_span;
        for one in self.untold.take_expired(turn.now.wall, span) {
            turn.save(Record::NoticeOver(one.message));
            let (number, peer) = (one.number, one.peer);
            turn.emit(Event::Told { number, peer, told: Told::NotConfirmed, tries: 0 }, None);
        }
        let waiting = self.untold.0.values().flatten();
        if let Some(next) = waiting.map(|one| left(one, turn.now.wall, span)).min() {
            turn.arm(Timer::Untold, next);
        }
    }

    /// Tells a peer, who showed itself, what of its messages was opened.
    pub(crate) fn tell_late(&mut self, turn: &mut Turn<'_>, places: (&Roster, &Links), no: PeerNo) {
        if self.untold.is_empty() || !turn.speaks() {
            return;
        }
        let Some(all) = places.0.get(no).and_then(|peer| self.untold.0.remove(&peer.id)) else {
            return;
        };
        for UntoldMemory { message, number, peer, options, .. } in all {
            let (message, peer) = (Some(message), Box::new(peer));
            self.notify(turn, places, Notice { message, peer, of: number, addr: None, options });
        }
    }
}

impl Parts {
    /// A peer showed itself: it is told what of its messages was opened.
    pub(crate) fn tell_late(&mut self, turn: &mut Turn<'_>, no: PeerNo) {
        self.envelopes.tell_late(turn, (&self.roster, &self.links), no);
    }
}

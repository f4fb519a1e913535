//! Restarts of peers that number their packets from 1, so that their second run's numbers are not
//! taken for repeats of the first (threats, rule 10; `iptux-dialect.md`, trap 9).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::api::PeerId;
use super::config::Policy;
use super::input::{LinkId, Now, Tick};
use super::memory::EpochMemory;
use super::peer::{Peer, Sighting};
use super::roster::Roster;
use crate::wire::{Command, PacketNo};

/// Where each such peer's numbers stand. Outlives the peer's place in the roster.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    peers: BTreeMap<PeerId, Epoch>,
    /// How far [`Self::trim`] has come.
    trimmed: Option<PeerId>,
}

/// Peers that are looked at for one that is too many: at least half of all can go.
const LOOKED_AT: usize = 8;

/// One run of a peer, by its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    /// Rises with each restart; never 0.
    pub(crate) run: u32,
    /// The highest number seen in it.
    pub(crate) highest: PacketNo,
    /// When that was heard; none: before this run of ours, or it has said goodbye since.
    pub(crate) heard: Option<Tick>,
    /// It has said goodbye, and nothing came since.
    pub(crate) left: bool,
    /// The last entry: where and when it came first.
    entry: Option<Entry>,
}

impl Epoch {
    /// A number of this run was heard.
    fn rise(&mut self, now: Now, number: PacketNo) {
        // What was overtaken by a goodbye comes after it.
        let overtaken = std::mem::take(&mut self.left);
        if number >= self.highest || overtaken {
            self.highest = self.highest.max(number);
            self.heard = Some(now.tick);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: PacketNo,
    link: LinkId,
    at: Tick,
}

impl Epochs {
    /// What the store knows from before. It counts as heard long ago.
    pub(crate) fn remember(&mut self, epochs: Vec<EpochMemory>) {
        for EpochMemory { peer, epoch: run, highest } in epochs {
            let known = Epoch { run, highest, heard: None, left: false, entry: None };
            self.peers.entry(peer).or_insert(known);
        }
    }

    /// What the process before this one knew of an epoch.
    pub(crate) fn restore(
        &mut self,
        id: PeerId,
        (run, highest): (u32, PacketNo),
        (heard, left): (Option<Tick>, bool),
    ) {
        self.peers.insert(id, Epoch { run, highest, heard, left, entry: None });
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Epoch)> {
        self.peers.iter()
    }

    /// An entry packet of `id`: a number below the highest begins a new epoch, unless it is the
    /// same entry heard again: to several addresses at once, or on another link. (Some clients begin
    /// each run with the same numbers.) An answer or absence packet, which may have been overtaken by
    /// what was sent after it, does so only when the highest number is old.
    pub(crate) fn entered(&mut self, now: Now, policy: &Policy, id: &PeerId, seen: &Sighting<'_>) {
        if !seen.packet.dialect.habits.numbers_from_one {
            return;
        }
        let number = seen.packet.number;
        let Some(epoch) = self.peers.get_mut(id) else {
            self.begin(now, id, number);
            self.entered(now, policy, id, seen);
            return;
        };
        let recent = |since: Tick, span: Duration| now.tick - since < span;
        let again = epoch.entry.is_some_and(|entry| {
            let elsewhere = entry.link != seen.link;
            let span = if elsewhere { policy.overtaken_span } else { policy.same_entry_span };
            entry.number == number && recent(entry.at, span)
        });
        let is_entry = seen.packet.command == Command::BR_ENTRY;
        let is_old = epoch.heard.is_none_or(|heard| !recent(heard, policy.overtaken_span));
        if number < epoch.highest && !again && (is_entry || is_old) {
            // The wall clock keeps it above what an earlier run of ours may have stored.
            epoch.run = epoch.run.saturating_add(1).max(base(now));
            epoch.highest = number;
        }
        epoch.rise(now, number);
        if is_entry && !again {
            epoch.entry = Some(Entry { number, link: seen.link, at: now.tick });
        }
    }

    /// It said goodbye: what it says next is of another run.
    pub(crate) fn left(&mut self, id: &PeerId) {
        if let Some(epoch) = self.peers.get_mut(id) {
            (epoch.heard, epoch.entry, epoch.left) = (None, None, true);
        }
    }

    /// The epoch a message of `peer` belongs to; 0 for those who do not number from 1. The peer's
    /// dialect decides, not the packet's: a message of ours from an address not known yet looks
    /// like FeiQ's. Whoever was taken for one who does keeps the epoch it got: its messages must stay
    /// the same ones.
    pub(crate) fn of(&mut self, now: Now, peer: &Peer, number: PacketNo) -> u32 {
        if number.0 >= CLOCK {
            return 0;
        }
        match self.peers.get_mut(&peer.id) {
            Some(epoch) => {
                epoch.rise(now, number);
                epoch.run
            }
            None if peer.dialect.habits.numbers_from_one => self.begin(now, &peer.id, number),
            None => 0,
        }
    }

    /// The epoch that a message of a peer belonged to which came before.
    pub(crate) fn known(&self, id: &PeerId, number: PacketNo) -> u32 {
        let known = self.peers.get(id).filter(|_| number.0 < CLOCK);
        known.map_or(0, |epoch| epoch.run)
    }

    /// Forgets those who are not in the roster any more, a few at a time, when there are too many.
    pub(crate) fn trim(&mut self, policy: &Policy, roster: &Roster) {
        if self.peers.len() <= policy.peers_max.saturating_mul(2) {
            return;
        }
        let from = self.trimmed.take().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.peers.range((from, Bound::Unbounded)).take(LOOKED_AT);
        let next: Vec<PeerId> = next.map(|(id, _)| id.clone()).collect();
        self.trimmed = next.last().cloned();
        for id in next.iter().filter(|id| roster.find(id).is_none()) {
            self.peers.remove(id);
        }
    }

    fn begin(&mut self, now: Now, id: &PeerId, number: PacketNo) -> u32 {
        let run = base(now);
        let heard = Some(now.tick);
        self.peers
            .insert(id.clone(), Epoch { run, highest: number, heard, left: false, entry: None });
        run
    }
}

/// Numbers from here on come from a clock, whoever wrote them: nobody counts so far from 1. One of us
/// that has not entered yet looks like a FeiQ, and its message must stay the same one when it has.
const CLOCK: u64 = 1_000_000_000;

/// An epoch of which nothing is remembered: the minute it was met in. A counter would start low
/// after our own restart, and take new messages for stored ones.
fn base(now: Now) -> u32 {
    u32::try_from(now.wall.0 / 60_000).unwrap_or(0).max(1)
}

//! Peers that stay in the store when they have gone: who they were, and when they were heard last.
//!
//! What changes is collected and written together some seconds later, so that a crowd that enters
//! costs one transaction, and a quiet LAN none.

use std::collections::BTreeMap;
use std::time::Duration;

use super::api::{PeerId, PeerView};
use super::effect::{Record, RosterRecord, SeenPeer};
use super::input::{Now, Tick, UnixMillis};
use super::roster::Roster;
use super::timers::Timer;
use super::turn::Turn;

/// What the store does not know yet.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    seen: BTreeMap<PeerId, SeenPeer>,
    /// Identities that turned out to be somebody else's, read wrongly.
    ghosts: Vec<PeerId>,
}

/// A peer whose time in the store is older than this is written again with the others.
const STALE: Duration = Duration::from_secs(600);
/// News that are written down at once: a flood of names must not gather.
const NEWS_MAX: usize = 256;

impl Remembered {
    /// A peer came, changed or went. Whether this is the first news since the last writing.
    pub(crate) fn note(&mut self, peer: &PeerView, at: UnixMillis) -> bool {
        let first = self.is_empty();
        self.ghosts.retain(|ghost| *ghost != peer.id);
        self.seen.insert(peer.id.clone(), SeenPeer { peer: peer.clone(), at });
        first
    }

    /// Who was heard and is not in the store yet.
    pub(crate) fn seen(&self) -> impl Iterator<Item = &SeenPeer> {
        self.seen.values()
    }

    /// There never was such a peer; its names were read wrongly.
    pub(crate) fn drop_ghost(&mut self, id: &PeerId) {
        self.seen.remove(id);
        self.ghosts.push(id.clone());
    }

    /// What there is, if it is too much to wait any longer.
    pub(crate) fn take_if_full(&mut self) -> Option<RosterRecord> {
        if self.seen.len() + self.ghosts.len() < NEWS_MAX {
            return None;
        }
        let Self { seen, ghosts } = std::mem::take(self);
        Some(RosterRecord { seen: seen.into_values().collect(), ghosts })
    }

    fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.ghosts.is_empty()
    }
}

/// Writes down what is new, and when those who are here were heard last, where the store's time is
/// old; with `all`, of everybody.
pub(crate) fn write_down(turn: &mut Turn<'_>, roster: &mut Roster, all: bool) {
    turn.base.timers.disarm(Timer::Remember);
    let Remembered { mut seen, ghosts } = std::mem::take(&mut turn.base.remembered);
    let now = turn.now;
    roster.note_down(now.tick, |peer, noted| {
        let heard = peer.heard;
        let due = if all { heard > noted } else { heard - noted >= STALE };
        if let Some(seen) = seen.get_mut(&peer.id) {
            seen.at = wall(now, heard);
            return true;
        }
        if due {
            seen.insert(peer.id.clone(), SeenPeer { peer: peer.view(), at: wall(now, heard) });
        }
        due
    });
    if turn.base.keeps && !(seen.is_empty() && ghosts.is_empty()) {
        let seen = seen.into_values().collect();
        turn.save(Record::Roster(RosterRecord { seen, ghosts }));
    }
}

/// The time of day of a tick not later than now.
fn wall(now: Now, tick: Tick) -> UnixMillis {
    let ago = i64::try_from((now.tick - tick).as_millis()).unwrap_or(i64::MAX);
    UnixMillis(now.wall.0.saturating_sub(ago))
}

//! Messages that are kept for recipients who are away: queued when their time is over, sent again
//! when the recipient appears, given up when they expire (wire reference, 6.1, delayed sending).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Outbox, Seat, SendNo, Sending, is_stranger};
use crate::node::api::{PeerId, Waiting, WaitingState};
use crate::node::effect::{Open, Outcome, Record, RewrittenRecord};
use crate::node::input::{Tick, UnixMillis};
use crate::node::links::Links;
use crate::node::memory::OpenMemory;
use crate::node::reckoning::Turned;
use crate::node::roster::Roster;
use crate::node::timers::Timer;
use crate::node::turn::Turn;
use crate::wire::{PacketNo, Verdict};

/// How long a message is kept, and whether it waits for its recipient now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Later {
    /// When it is given up.
    pub(crate) expires: UnixMillis,
    /// Local time where it was written, seconds east of UTC.
    pub(crate) utc_offset_s: Option<i32>,
    /// It waits for its recipient; else it is being sent.
    pub(crate) waits: bool,
    /// Faces were told that it is queued.
    pub(crate) told: bool,
}

/// Kept messages that wait, by whom they wait for: a peer's identity, or an address.
#[derive(Debug, Default)]
pub(super) struct Shelf(BTreeMap<PeerId, BTreeSet<SendNo>>);

impl Shelf {
    fn put(&mut self, id: &PeerId, no: SendNo) {
        self.0.entry(id.clone()).or_default().insert(no);
    }

    pub(super) fn take(&mut self, id: &PeerId, no: SendNo) {
        if let Some(waiting) = self.0.get_mut(id) {
            waiting.remove(&no);
            if waiting.is_empty() {
                self.0.remove(id);
            }
        }
    }
}

impl Later {
    /// What the store is told of it.
    pub(super) fn as_open(self) -> Open {
        Open::Until { expires: self.expires, utc_offset_s: self.utc_offset_s }
    }

    fn end(self, turn: &Turn<'_>) -> Tick {
        let left = self.expires.0.saturating_sub(turn.now.wall.0);
        turn.now.tick + Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}

impl Outbox {
    /// Takes a message on whose recipient is not there: keeps it and waits.
    pub(crate) fn post_later(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        no: SendNo,
        sending: Sending,
        charset: Verdict,
    ) {
        self.sends.insert(no, sending);
        self.keep(turn, no, charset);
        // Its time may be over as it is written.
        if !self.shelve(turn, roster, no) {
            self.finish(turn, roster, no, Outcome::Expired);
        }
    }

    /// The time of this one is over, and it is to be kept: from now on it waits for its recipient.
    /// Whether it was so.
    pub(super) fn shelve(&mut self, turn: &mut Turn<'_>, roster: &Roster, no: SendNo) -> bool {
        let Some(sending) = self.sends.get_mut(&no) else { return false };
        let Some(later) = sending.later.as_mut().filter(|later| !later.waits) else { return false };
        let end = later.end(turn);
        if sending.bytes.is_none() || end <= turn.now.tick {
            return false;
        }
        later.waits = true;
        let first = !std::mem::replace(&mut later.told, true);
        sending.deadline = end;
        sending.launched = false;
        sending.queued = false;
        self.shelf.put(&sending.view.id, no);
        turn.base.timers.arm(Timer::Send(no), end);
        let next = turn.now.tick + turn.base.policy.later_seek;
        turn.base.timers.arm_if_idle(Timer::Seek, next);
        if first {
            self.note(turn, roster, no, Outcome::Queued);
        }
        true
    }

    /// The store did not take the note that this one is queued: it is told the next time.
    pub(super) fn untell(&mut self, no: SendNo) {
        if let Some(later) = self.sends.get_mut(&no).and_then(|sending| sending.later.as_mut()) {
            later.told = false;
        }
    }

    /// What waits for somebody of this identity, or for whoever is at one of these addresses, in
    /// the order of writing.
    pub(crate) fn waiting_for(
        &self,
        id: &PeerId,
        at: impl IntoIterator<Item = SocketAddr>,
    ) -> Vec<SendNo> {
        if self.shelf.0.is_empty() {
            return Vec::new();
        }
        let of = |id: &PeerId| self.shelf.0.get(id).into_iter().flatten().copied();
        let mut found: BTreeSet<SendNo> = of(id).collect();
        for addr in at {
            found.extend(of(&PeerId(addr.to_string().into())));
        }
        found.into_iter().collect()
    }

    /// What waits of this number.
    pub(crate) fn waiting_of(&self, number: PacketNo) -> Vec<SendNo> {
        let waits = |no: &SendNo| self.sends.get(no).is_some_and(Sending::waits);
        self.of(number).into_iter().filter(waits).collect()
    }

    /// Messages to be kept whose recipient has not been waited for long enough to write them.
    pub(crate) fn unwritten(&self) -> Vec<SendNo> {
        let unwritten = |sending: &Sending| sending.later.is_some() && sending.bytes.is_none();
        self.iter().filter(|(_, sending)| unwritten(sending)).map(|(no, _)| no).collect()
    }

    /// Sends one that waited, written anew, as soon as that form is kept. Of many at once most take
    /// their turn.
    pub(crate) fn unshelve(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        links: &Links,
        no: SendNo,
        (bytes, charset): (Arc<[u8]>, Verdict),
        at_once: bool,
    ) {
        let Some(sending) = self.sends.get_mut(&no) else { return };
        let Some(later) = &mut sending.later else { return };
        let end = later.end(turn);
        if end <= turn.now.tick {
            // Its timer is as due as this is.
            return;
        }
        if sending.stored && sending.bytes.as_ref() != Some(&bytes) {
            let (peer, raw) = ((*sending.view).clone(), Arc::clone(&bytes));
            let record = RewrittenRecord { number: no.number, peer, charset, raw };
            let id = turn.save(Record::Rewritten(record));
            sending.saving = Some(id);
            self.rewriting.insert(id, no);
        }
        later.waits = false;
        self.shelf.take(&sending.view.id, no);
        sending.bytes = Some(bytes);
        sending.deadline = (turn.now.tick + turn.base.policy.later_try).min(end);
        sending.turns = 0;
        sending.first = None;
        sending.queued = !at_once;
        turn.base.timers.arm(Timer::Send(no), sending.deadline);
        if at_once {
            self.launch(turn, roster, links, no);
        } else {
            self.queue.push_back(no);
            turn.base.timers.arm_if_idle(Timer::FirstTries, turn.now.tick + super::WINDOW);
        }
    }

    /// Addresses at which those for whom messages wait were seen last and nobody is known to be, but
    /// for messages that are held back.
    pub(crate) fn sought(
        &self,
        roster: &Roster,
        held: impl Fn(&Sending) -> bool,
    ) -> Vec<SocketAddr> {
        const ROUND_MAX: usize = 1_024;
        let waiting = self.shelf.0.values().flatten().filter_map(|no| self.sends.get(no));
        let absent =
            waiting.filter(|sending| roster.find(&sending.view.id).is_none() && !held(sending));
        let places: BTreeSet<SocketAddr> = absent
            .flat_map(|sending| sending.addr.iter().chain(&sending.view.addrs).copied())
            .filter(|addr| roster.at(*addr).is_none() && addr.port() != 0)
            .collect();
        places.into_iter().take(ROUND_MAX).collect()
    }

    /// Another time of day, or the system slept.
    pub(crate) fn reckon(&mut self, turn: &mut Turn<'_>, turned: Turned) {
        for (&no, sending) in &mut self.sends {
            let Some(later) = &mut sending.later else {
                turned.adjust(&mut sending.written, []);
                continue;
            };
            turned.adjust(&mut sending.written, [&mut later.expires]);
            if later.waits {
                sending.deadline = later.end(turn);
                turn.base.timers.arm(Timer::Send(no), sending.deadline);
            }
        }
    }

    /// Whether anything waits.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.shelf.0.is_empty()
    }

    /// Puts back what the store says is open. What was to be kept waits again; the rest is over at
    /// the next wake-up, for the node that sent it is no more.
    /// `seats` says what each of them offers.
    pub(crate) fn remember(
        &mut self,
        turn: &mut Turn<'_>,
        open: Vec<OpenMemory>,
        seats: impl Fn(PacketNo, &PeerId) -> Seat,
    ) {
        for memory in open {
            if self.ends.has(memory.number, &memory.peer.id) {
                continue;
            }
            let known = |no: &SendNo| {
                self.sends.get(no).is_some_and(|sending| sending.view.id == memory.peer.id)
            };
            let of = self.of(memory.number);
            if of.iter().any(known) {
                continue;
            }
            let seat = seats(memory.number, &memory.peer.id);
            let free = of.last().map_or(0, |no| no.index + 1).max(seat.free);
            let index = seat.index.unwrap_or(free);
            let no = SendNo { number: memory.number, index };
            let later = match memory.open {
                Open::Run => None,
                Open::Until { expires, utc_offset_s } => {
                    let queued = memory.queued;
                    Some(Later { expires, utc_offset_s, waits: queued, told: queued })
                }
            };
            // One that was on its way joins the queue at the next wake-up.
            let waits = later.filter(|later| later.waits);
            let deadline = waits.map_or(turn.now.tick, |later| later.end(turn));
            let peer = &memory.peer;
            let place = peer.addrs.first().copied();
            let addr = is_stranger(peer)
                .then(|| place.unwrap_or_else(|| SocketAddr::new(peer.addr, peer.port)));
            if waits.is_some() {
                self.shelf.put(&memory.peer.id, no);
                turn.base.timers.arm_if_idle(Timer::Seek, turn.now.tick);
            }
            turn.base.timers.arm(Timer::Send(no), deadline);
            let sending = Sending {
                view: Box::new(memory.peer),
                addr,
                options: memory.options,
                text: Some(memory.text.into()),
                files: seat.files,
                bytes: Some([].into()),
                deadline,
                tries: 0,
                turns: 0,
                first: None,
                went_to: Vec::new(),
                stored: true,
                saving: None,
                queued: false,
                gate: None,
                launched: false,
                written: memory.written,
                later,
                // It may have left before; only what never did was not sent.
                may_have_left: true,
            };
            self.sends.insert(no, sending);
        }
    }

    /// What has not ended, as faces see it.
    pub(crate) fn views(&self, roster: &Roster) -> Vec<Waiting> {
        let view = |(no, sending): (SendNo, &Sending)| Waiting {
            number: no.number,
            peer: roster.view(&sending.view.id).unwrap_or_else(|| (*sending.view).clone()),
            text: sending.text.as_deref().unwrap_or_default().to_owned(),
            written_at: sending.written,
            expires_at: sending.later.map(|later| later.expires),
            state: if sending.waits() { WaitingState::Queued } else { WaitingState::Sending },
            tries: sending.tries,
        };
        self.iter().map(view).collect()
    }

    /// Puts one back on the shelf that another process had there.
    pub(super) fn restore_waiting(&mut self, turn: &mut Turn<'_>, no: SendNo, sending: &Sending) {
        self.shelf.put(&sending.view.id, no);
        turn.base.timers.arm(Timer::Send(no), sending.deadline);
        let next = turn.now.tick + turn.base.policy.later_seek;
        turn.base.timers.arm_if_idle(Timer::Seek, next);
    }
}

impl Sending {
    /// Whether it waits for its recipient to appear.
    pub(crate) fn waits(&self) -> bool {
        self.later.is_some_and(|later| later.waits)
    }
}

/// What a late message says of when it was written: official clients read it as part of the text.
pub(crate) fn footer(written: UnixMillis, utc_offset_s: Option<i32>) -> String {
    let offset = i64::from(utc_offset_s.unwrap_or(0));
    let local = written.0.div_euclid(1_000).saturating_add(offset);
    let (days, seconds) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute) = (seconds / 3_600, seconds / 60 % 60);
    let zone = if utc_offset_s.is_some() { "" } else { " UTC" };
    format!("\n\n[written {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}{zone}, sent late]")
}

/// The Gregorian date so many days after 1970-01-01: years of 400-year eras, counted from March.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_footer_has_the_local_time_of_writing() {
        let at = UnixMillis(1_795_138_200_000);
        assert_eq!(footer(at, None), "\n\n[written 2026-11-20 01:30 UTC, sent late]");
        assert_eq!(footer(at, Some(8 * 3_600)), "\n\n[written 2026-11-20 09:30, sent late]");
        assert_eq!(footer(at, Some(-2 * 3_600)), "\n\n[written 2026-11-19 23:30, sent late]");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(-1), (1969, 12, 31));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_777), (2026, 11, 20));
        assert_eq!(date(47_540), (2100, 2, 28));
        assert_eq!(date(47_541), (2100, 3, 1));
    }
}

//! Deadlines in order. Knows nothing of what they are for, and reads no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::input::Tick;
use super::outbox::SendNo;
use super::peer::PeerNo;
use super::pictures::job::StageId;
use crate::wire::PacketNo;

/// What can be due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// The queued answers to entries leave, all together.
    Answers,
    /// Our entry goes out once more.
    EntryAgain,
    /// Peers that read full entries get one each.
    Round,
    /// The next datagrams of the paced queue leave.
    Unicasts,
    /// The next address of a range is entered.
    Scan,
    /// The window of a roll call ends.
    RollCall,
    /// A seed had its time to send its host list.
    Seeds,
    /// Who was heard goes to the store.
    Remember,
    /// A peer that is being asked at this address had its time.
    Probe(SocketAddr),
    /// The next first datagrams of a large send leave.
    FirstTries,
    /// An unfinished picture had its time.
    Picture(StageId),
    /// A picture of ours waited long enough for a stranger to show itself.
    Viewers(StageId),
    /// The next fragment of a picture of ours, or the next round of those not acknowledged.
    Fragment(SendNo),
    /// An offer of ours comes to its end.
    Offers,
    /// A peer had its time to send its list of shared files.
    SharedList(SocketAddr),
    /// A message to one recipient: next try, or the end of its time.
    Send(SendNo),
    /// A read notice of ours was not answered in time.
    ReadNotice(PacketNo),
    /// Those who do not know that their sealed messages were opened.
    Untold,
    /// Those for whom messages are kept, or who are to be told something, are looked for.
    Seek,
    /// A knock of ours at this address was not answered.
    Knock(SocketAddr),
    /// A peer was said to type, and is silent since.
    Typing(PeerNo),
}

/// At most one deadline for each [`Timer`].
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Tick, Timer)>,
    by_timer: BTreeMap<Timer, Tick>,
}

impl Timers {
    /// Sets the deadline of `timer`; an earlier setting is forgotten.
    pub(crate) fn arm(&mut self, timer: Timer, at: Tick) {
        if let Some(before) = self.by_timer.insert(timer, at) {
            self.by_time.remove(&(before, timer));
        }
        self.by_time.insert((at, timer));
    }

    /// Sets the deadline of `timer` unless it has one.
    pub(crate) fn arm_if_idle(&mut self, timer: Timer, at: Tick) {
        if !self.by_timer.contains_key(&timer) {
            self.arm(timer, at);
        }
    }

    /// Forgets the deadline of `timer`.
    pub(crate) fn disarm(&mut self, timer: Timer) {
        if let Some(before) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(before, timer));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// How long it is until `timer` is due; none if it has no deadline.
    pub(crate) fn left(&self, timer: Timer, now: Tick) -> Option<Duration> {
        self.by_timer.get(&timer).map(|&at| at - now)
    }

    /// Takes out the earliest timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Tick) -> Option<Timer> {
        let &(at, timer) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.disarm(timer);
        Some(timer)
    }

    /// How many deadlines wait.
    pub(crate) fn len(&self) -> usize {
        self.by_timer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_due_in_order_and_once() {
        let mut timers = Timers::default();
        timers.arm(Timer::Scan, Tick(30));
        timers.arm(Timer::Answers, Tick(20));
        timers.arm(Timer::Scan, Tick(10));
        timers.arm_if_idle(Timer::Answers, Tick(5));
        assert_eq!(timers.next(), Some(Tick(10)));
        assert_eq!(timers.pop_due(Tick(25)), Some(Timer::Scan));
        assert_eq!(timers.pop_due(Tick(25)), Some(Timer::Answers));
        assert_eq!(timers.pop_due(Tick(99)), None);
    }

    #[test]
    fn a_disarmed_timer_never_comes() {
        let mut timers = Timers::default();
        timers.arm(Timer::Round, Tick(1));
        timers.disarm(Timer::Round);
        assert_eq!((timers.next(), timers.len()), (None, 0));
    }
}

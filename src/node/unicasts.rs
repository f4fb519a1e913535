//! The one paced queue of packets about ourselves that go to single peers: at most the policy's
//! number a second, by one timer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::config::Policy;
use super::input::Tick;
use super::peer::PeerNo;
use super::timers::Timer;
use super::turn::Turn;

/// What goes to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    /// An entry to an address.
    Enter(SocketAddr),
    /// An entry to a silent peer's address.
    Probe(SocketAddr),
    /// Our names in full to a peer, once for each announcement.
    Absence(PeerNo),
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Unicasts {
    queue: VecDeque<Job>,
    window: Option<Tick>,
    used: u32,
}

/// Packets leave in groups this far apart, so that a long queue costs few wake-ups.
const WINDOW: Duration = Duration::from_millis(100);

/// When a job is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// At once, by whoever brought it.
    Now,
    /// It waits for its turn.
    Later,
    /// Never: too many wait. Who it was for is asked again by the next roll call.
    Never,
}

impl Unicasts {
    /// Takes a job, unless it may be done at once.
    pub(crate) fn admit(&mut self, turn: &mut Turn<'_>, job: Job) -> When {
        if self.queue.is_empty() && self.may_send(turn.now.tick, &turn.base.policy) {
            return When::Now;
        }
        let room = self.queue.len() < turn.base.policy.unicasts_waiting_max;
        if room {
            self.queue.push_back(job);
        }
        self.arm(turn);
        if room { When::Later } else { When::Never }
    }

    /// The next job that may be done now.
    pub(crate) fn next(&mut self, turn: &mut Turn<'_>) -> Option<Job> {
        if !self.queue.is_empty() && self.may_send(turn.now.tick, &turn.base.policy) {
            return self.queue.pop_front();
        }
        self.arm(turn);
        None
    }

    fn may_send(&mut self, now: Tick, policy: &Policy) -> bool {
        if self.window.is_none_or(|since| now - since >= WINDOW) {
            self.window = Some(now);
            self.used = 0;
        }
        let fits = self.used < (policy.unicasts_per_second / 10).max(1);
        self.used += u32::from(fits);
        fits
    }

    fn arm(&self, turn: &mut Turn<'_>) {
        if !self.queue.is_empty() {
            let at = self.window.unwrap_or(turn.now.tick) + WINDOW;
            turn.base.timers.arm_if_idle(Timer::Unicasts, at);
        }
    }
}

//! What is to end at some time of day, when the clock is set or the system slept: it ends when as much
//! time has passed as was meant (threats, rule 39).

use std::time::Duration;

use super::Parts;
use super::effect::Record;
use super::input::{Now, Tick, UnixMillis};
use super::turn::Turn;

/// The clocks as they were when the node last looked.
#[derive(Debug, Default)]
pub(crate) struct Reckoning {
    last: Now,
    /// When the system was started, by the clock that times of day are noted in.
    booted: Option<UnixMillis>,
}

/// What happened to the clocks between two inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Turned {
    /// The wall clock was set forward by so many milliseconds; back, where it is below zero.
    set_by: i64,
}

/// Less than this lies between the readings of two clocks.
const LEAST: Duration = Duration::from_secs(1);

impl Reckoning {
    /// Goes on with the clock of an earlier process.
    pub(crate) fn resume(booted: Option<UnixMillis>, now: Now) -> Self {
        Self { last: now, booted }
    }

    /// The last input came at this tick.
    pub(crate) fn tick(&self) -> Tick {
        self.last.tick
    }

    pub(crate) fn booted(&self) -> Option<UnixMillis> {
        self.booted
    }

    /// Times of day are noted as they are now, whatever was before.
    pub(crate) fn begin(&mut self, now: Now) {
        *self = Self { last: now, booted: Some(now.booted) };
    }

    /// An input comes; none: the clocks went on as ever.
    pub(crate) fn look(&mut self, now: Now) -> Option<Turned> {
        let last = std::mem::replace(&mut self.last, now);
        let booted = *self.booted.get_or_insert(now.booted);
        let set_by = now.booted.0.saturating_sub(booted.0);
        if Duration::from_millis(set_by.unsigned_abs()) >= LEAST {
            self.booted = Some(now.booted);
            return Some(Turned { set_by });
        }
        let awake = now.tick - last.tick;
        let passed = now.uptime().saturating_sub(last.uptime());
        let slept = passed.saturating_sub(awake) >= LEAST;
        slept.then_some(Turned { set_by: 0 })
    }
}

impl Turned {
    /// When something was, by the clock as it is now.
    pub(crate) fn moved(self, at: UnixMillis) -> UnixMillis {
        UnixMillis(at.0.saturating_add(self.set_by))
    }
}

impl Parts {
    /// Moves what is noted in times of day, and counts anew how long it is until then: timers stand
    /// still while the system sleeps.
    pub(crate) fn reckon(&mut self, turn: &mut Turn<'_>, turned: Turned) {
        self.outbox.reckon(turn, turned);
        self.serving.reckon(turn, turned);
        self.envelopes.reckon(turn, turned);
        if turn.base.keeps && turned.set_by != 0 {
            turn.save(Record::ClockSet { by_ms: turned.set_by });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTED: UnixMillis = UnixMillis(1_800_000_000_000);

    /// So long after the start, of which the timers know a part; the clock was set meanwhile.
    fn at(up_s: u64, awake_s: u64, set_by_s: i64) -> Now {
        let booted = UnixMillis(BOOTED.0 + set_by_s * 1_000);
        let wall = UnixMillis(booted.0 + i64::try_from(up_s).unwrap() * 1_000);
        Now { tick: Tick(awake_s * 1_000_000), wall, booted }
    }

    #[test]
    fn a_clock_that_is_set_is_told_from_a_system_that_slept() {
        let mut reckoning = Reckoning::default();
        let mut look = |up, awake, set_by| {
            reckoning.look(at(up, awake, set_by)).map(|turned| turned.set_by / 1_000)
        };
        assert_eq!(look(100, 100, 0), None, "the first time there is nothing to compare with");
        assert_eq!(look(200, 200, 0), None);
        assert_eq!(look(300, 300, 50 * 365 * 86_400), Some(50 * 365 * 86_400));
        assert_eq!(look(400, 400, 50 * 365 * 86_400), None, "once");
        assert_eq!(look(500, 500, 0), Some(-50 * 365 * 86_400));
        assert_eq!(look(7_700, 600, 0), Some(0), "two hours asleep");
        assert_eq!(look(7_800, 700, 0), None);
        assert_eq!(look(20_000, 800, 60), Some(60), "both");
    }

    #[test]
    fn what_lies_between_two_readings_is_no_step() {
        let mut reckoning = Reckoning::default();
        for jitter in [0, 3, -2, 900, -90] {
            let mut now = at(100, 100, 0);
            now.booted.0 += jitter;
            assert_eq!(reckoning.look(now), None, "{jitter}");
        }
    }

    #[test]
    fn small_steps_add_up() {
        let mut reckoning = Reckoning::default();
        let mut now = at(100, 100, 0);
        assert_eq!(reckoning.look(now), None);
        now.booted.0 += 600;
        assert_eq!(reckoning.look(now), None);
        now.booted.0 += 600;
        assert_eq!(reckoning.look(now), Some(Turned { set_by: 1_200 }));
    }
}

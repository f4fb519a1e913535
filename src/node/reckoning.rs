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

/// The wall clock was set. What was noted by it in this run of the system moves along; what was noted
/// in another one does not, for nobody knows what clock that had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockSet {
    /// By so many milliseconds; back, where it is below zero.
    pub by_ms: i64,
    /// Noted by the clock as it was is what lies from here on,
    pub from: UnixMillis,
    /// up to here.
    pub until: UnixMillis,
}

/// What happened to the clocks between two inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turned {
    /// The wall clock was set.
    Set(ClockSet),
    /// Timers stood still for a while.
    Slept,
}

/// Less than this lies between the readings of two clocks.
const LEAST_MS: u64 = 1_000;

impl ClockSet {
    /// The system was started at `booted` by the clock as it was, and this is it now; none: nobody
    /// set it.
    pub fn since(booted: UnixMillis, now: Now) -> Option<Self> {
        let by_ms = now.booted.0.saturating_sub(booted.0);
        let least = LEAST_MS.cast_signed();
        (by_ms.unsigned_abs() >= LEAST_MS).then_some(Self {
            by_ms,
            from: UnixMillis(booted.0.saturating_sub(least)),
            until: UnixMillis(now.wall.0.saturating_sub(by_ms).saturating_add(least)),
        })
    }

    /// Whether it moves what was noted at this time.
    pub fn moves(self, noted: UnixMillis) -> bool {
        (self.from..=self.until).contains(&noted)
    }

    /// A time of day by the clock as it is now.
    pub fn moved(self, at: UnixMillis) -> UnixMillis {
        UnixMillis(at.0.saturating_add(self.by_ms))
    }
}

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
        if let Some(set) = ClockSet::since(booted, now) {
            self.booted = Some(now.booted);
            return Some(Turned::Set(set));
        }
        let awake = now.tick - last.tick;
        let passed = now.uptime().saturating_sub(last.uptime());
        let slept = passed.saturating_sub(awake) >= Duration::from_millis(LEAST_MS);
        slept.then_some(Turned::Slept)
    }
}

impl Turned {
    /// Moves times that belong to what was noted at `noted`, and that time too.
    pub(crate) fn adjust<const N: usize>(
        self,
        noted: &mut UnixMillis,
        others: [&mut UnixMillis; N],
    ) {
        let Self::Set(set) = self else { return };
        if set.moves(*noted) {
            for at in others.into_iter().chain([noted]) {
                *at = set.moved(*at);
            }
        }
    }
}

impl Parts {
    /// Moves what is noted in times of day, and counts anew how long it is until then: timers stand
    /// still while the system sleeps.
    pub(crate) fn reckon(&mut self, turn: &mut Turn<'_>, turned: Turned) {
        self.outbox.reckon(turn, turned);
        self.serving.reckon(turn, turned);
        self.envelopes.reckon(turn, turned);
        if let Turned::Set(set) = turned
            && turn.base.keeps
        {
            turn.save(Record::ClockSet(set));
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
            reckoning.look(at(up, awake, set_by)).map(|turned| match turned {
                Turned::Set(set) => set.by_ms / 1_000,
                Turned::Slept => 0,
            })
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
        let Some(Turned::Set(ClockSet { by_ms: 1_200, .. })) = reckoning.look(now) else {
            panic!()
        };
    }

    #[test]
    fn only_what_this_run_of_the_system_noted_moves() {
        let set = ClockSet::since(BOOTED, at(100, 100, 86_400)).unwrap();
        let noted = |s: i64| UnixMillis(BOOTED.0 + s * 1_000);
        assert_eq!(
            [-60, 0, 50, 100, 160].map(|s| set.moves(noted(s))),
            [false, true, true, true, false]
        );
        let mut times = [noted(50), noted(50_000)];
        let [noted_at, ends] = &mut times;
        Turned::Set(set).adjust(noted_at, [ends]);
        assert_eq!(times, [noted(86_450), noted(136_400)]);
    }
}

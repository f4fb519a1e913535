//! How fast something moves, over the last few seconds.

use std::collections::VecDeque;
use std::time::Duration;

use super::input::Tick;

/// Counts what has moved, and tells the rate.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    /// When so much had moved, oldest first; never empty.
    marks: VecDeque<(Tick, u64)>,
}

/// The rate is that of the last few seconds.
const SPAN: Duration = Duration::from_secs(4);
/// Marks kept: a few for each second.
const MARKS: usize = 16;

impl Meter {
    /// Begins at nothing.
    pub(crate) fn new(now: Tick) -> Self {
        Self { marks: VecDeque::from([(now, 0)]) }
    }

    /// Began so long before now, when so much was there.
    pub(crate) fn begun(now: Tick, before: Duration, there: u64) -> Self {
        let micros = u64::try_from(before.as_micros()).unwrap_or(u64::MAX);
        Self { marks: VecDeque::from([(Tick(now.0.saturating_sub(micros)), there)]) }
    }

    /// So many have moved until now, in all; fewer than before if it began anew.
    pub(crate) fn note(&mut self, now: Tick, moved: u64) {
        if self.marks.back().is_some_and(|&(_, before)| moved < before) {
            self.marks.clear();
        }
        self.marks.push_back((now, moved));
        let old = |marks: &VecDeque<(Tick, u64)>| {
            marks.get(1).is_some_and(|&(at, _)| now - at >= SPAN) || marks.len() > MARKS
        };
        while old(&self.marks) {
            self.marks.pop_front();
        }
    }

    /// A second, lately.
    pub(crate) fn rate(&self) -> u64 {
        let (Some(&(from, before)), Some(&(to, moved))) = (self.marks.front(), self.marks.back())
        else {
            return 0;
        };
        per_second(moved.saturating_sub(before), to - from)
    }

    /// Seconds until `left` more have moved at this rate.
    pub(crate) fn eta(&self, left: u64) -> Option<u64> {
        let rate = self.rate();
        (rate > 0).then(|| left.div_ceil(rate))
    }
}

/// A rate a second; of what took no time at all, as if it had taken a microsecond.
pub(crate) fn per_second(moved: u64, took: Duration) -> u64 {
    let micros = took.as_micros().max(1);
    u64::try_from(u128::from(moved) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut meter = Meter::new(Tick(0));
        for second in 1..=10_u64 {
            meter.note(Tick(second * 1_000_000), second * 1_000);
        }
        assert_eq!((meter.rate(), meter.eta(2_500)), (1_000, Some(3)));
        for second in 11..=20_u64 {
            meter.note(Tick(second * 1_000_000), 10_000);
        }
        assert_eq!((meter.rate(), meter.eta(1)), (0, None), "it stands");
    }

    #[test]
    fn what_was_there_before_did_not_move() {
        let (now, before) = (Tick(10_000_000), Duration::from_millis(250));
        let mut meter = Meter::begun(now, before, 1_000_000);
        meter.note(now, 1_000_500);
        assert_eq!((meter.rate(), meter.eta(4_000)), (2_000, Some(2)));
        // The sender began at the first byte after all.
        meter.note(Tick(10_500_000), 400);
        assert_eq!(meter.rate(), 0);
        meter.note(Tick(11_000_000), 1_400);
        assert_eq!(meter.rate(), 2_000);
    }
}

//! The two clocks of the shell. Nobody else reads the time, but for two places that pace
//! themselves by it: the writer of the store, and an import.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::node::{Now, Tick, UnixMillis};

/// Reads both clocks; ticks count from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the shell reads the clock for the node")]
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "the shell reads the clock for the node")]
    pub(crate) fn now(&self) -> Now {
        let tick = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Now { tick: Tick(tick), wall: UnixMillis(wall) }
    }

    /// When `tick` is, for a timer; none if that lies beyond what the clock can tell.
    pub(crate) fn instant(&self, tick: Tick) -> Option<tokio::time::Instant> {
        self.origin.checked_add(Duration::from_micros(tick.0)).map(tokio::time::Instant::from_std)
    }
}

/// The wall-clock time now, for those who tell when they looked.
pub fn wall_clock() -> UnixMillis {
    Clock::new().now().wall
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_rise_and_name_instants() {
        let clock = Clock::new();
        let (first, second) = (clock.now(), clock.now());
        assert!(first.tick <= second.tick);
        assert!(first.wall > UnixMillis(1_700_000_000_000));
        let later = clock.instant(first.tick + Duration::from_secs(5)).unwrap();
        assert!(later > tokio::time::Instant::now() + Duration::from_secs(4));
    }
}

//! The clocks of the shell. Nobody else reads the time, but for two places that pace themselves by
//! it: the writer of the store, and an import.

#![expect(clippy::disallowed_methods, reason = "the shell reads the clock for the node")]

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::node::{Now, Tick, UnixMillis};
use crate::store::Boot;

/// Reads the clocks; ticks count from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Now {
        // What it takes to read them all at about the same time: a process can be stopped anywhere.
        const ATTEMPTS: u32 = 8;
        for _ in 1..ATTEMPTS {
            let now = self.read();
            if self.tick() - now.tick < TOGETHER {
                return now;
            }
        }
        self.read()
    }

    fn tick(&self) -> Tick {
        Tick(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn read(&self) -> Now {
        let tick = self.tick();
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        let up = i64::try_from(uptime().as_millis()).unwrap_or(i64::MAX);
        Now { tick, wall: UnixMillis(wall), booted: UnixMillis(wall.saturating_sub(up)) }
    }

    /// When `tick` is, for a timer; none if that lies beyond what the clock can tell.
    pub(crate) fn instant(&self, tick: Tick) -> Option<tokio::time::Instant> {
        self.origin.checked_add(Duration::from_micros(tick.0)).map(tokio::time::Instant::from_std)
    }
}

/// Readings within this span of each other are of one moment.
const TOGETHER: Duration = Duration::from_millis(100);

/// How long the system has been up; on Linux, and on macOS, also asleep.
fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    const UP: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const UP: ClockId = ClockId::CLOCK_MONOTONIC;
    clock_gettime(UP).map_or(Duration::ZERO, Duration::from)
}

/// Which run of the system this is; none where the system does not say.
pub fn boot() -> Option<Boot> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // A container may count from a start of its own.
    let clock = fs::read_link("/proc/self/ns/time").unwrap_or_default();
    let id = format!("{} {}", id.trim(), clock.display());
    Some(Boot { id, now: Clock::new().now() })
}

/// The wall-clock time now, for those who tell when they looked.
pub fn wall_clock() -> UnixMillis {
    Clock::new().now().wall
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_run_of_the_system_has_one_name_and_one_beginning() {
        let (first, second) = (boot().unwrap(), boot().unwrap());
        assert_eq!(first.id, second.id);
        assert!((first.now.booted.0 - second.now.booted.0).abs() < 100, "{first:?}, {second:?}");
        assert!(first.now.booted < wall_clock());
    }

    #[test]
    fn ticks_rise_and_name_instants() {
        let clock = Clock::new();
        let (first, second) = (clock.now(), clock.now());
        assert!(first.tick <= second.tick);
        assert!(first.wall > UnixMillis(1_700_000_000_000));
        assert!((first.booted.0 - second.booted.0).abs() < 100, "{first:?}, {second:?}");
        let later = clock.instant(first.tick + Duration::from_secs(5)).unwrap();
        assert!(later > tokio::time::Instant::now() + Duration::from_secs(4));
    }
}

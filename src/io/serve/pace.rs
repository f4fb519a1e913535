//! A bound on the bytes a transfer moves in a second: a token bucket. Pure; the time comes in.

use std::time::Duration;

use crate::node::Tick;

/// Holds a transfer to a rate.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second, at least 1.
    rate: u64,
    /// Bytes that may move now.
    tokens: u64,
    /// Up to when tokens were given.
    filled: Tick,
}

/// A bucket holds the bytes of this long: the rate is kept within a tenth of a second.
const BUCKET: Duration = Duration::from_millis(100);

impl Pace {
    /// At most `rate` bytes a second from now on.
    pub(crate) fn new(rate: u64, now: Tick) -> Self {
        Self { rate: rate.max(1), tokens: 0, filled: now }
    }

    /// How many of `want` bytes may move now; if none, how long to wait before asking again.
    pub(crate) fn grant(&mut self, want: u64, now: Tick) -> Result<u64, Duration> {
        let most = self.bytes_in(BUCKET).max(1);
        let since = now - self.filled;
        let fresh = self.bytes_in(since);
        if fresh > 0 {
            self.tokens = self.tokens.saturating_add(fresh).min(most);
            self.filled = now;
        }
        // Fewer, larger pieces: a piece of less than half a bucket is only the last one.
        let enough = want.min(most.div_ceil(2));
        if self.tokens >= enough {
            let granted = want.min(self.tokens);
            self.tokens -= granted;
            return Ok(granted);
        }
        Err(self.time_for(enough - self.tokens))
    }

    fn bytes_in(&self, span: Duration) -> u64 {
        let bytes = u128::from(self.rate) * span.as_micros() / 1_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn time_for(&self, bytes: u64) -> Duration {
        let micros = (u128::from(bytes) * 1_000_000).div_ceil(u128::from(self.rate));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long it takes to move `bytes`, on a clock that only waiting drives.
    fn span(rate: u64, mut bytes: u64) -> Duration {
        let start = Tick(1_000);
        let mut now = start;
        let mut pace = Pace::new(rate, now);
        while bytes > 0 {
            match pace.grant(bytes, now) {
                Ok(granted) => bytes -= granted,
                Err(wait) => now = now + wait,
            }
        }
        now - start
    }

    #[test]
    fn a_rate_is_kept() {
        for (rate, bytes, seconds) in
            [(1_000_000, 10_000_000, 10.0), (3, 30, 10.0), (10 << 20, 1 << 20, 0.1)]
        {
            let took = span(rate, bytes).as_secs_f64();
            assert!((took - seconds).abs() < 0.11 * seconds + 0.1, "{rate} {bytes}: {took}");
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(1_000_000, Tick(0));
        let later = Tick(60_000_000);
        assert_eq!(pace.grant(u64::MAX, later), Ok(100_000), "one bucket, not a minute's worth");
        assert!(pace.grant(u64::MAX, later).is_err());
    }

    #[test]
    fn waiting_as_long_as_told_is_enough() {
        let mut pace = Pace::new(7, Tick(0));
        let wait = pace.grant(1, Tick(0)).unwrap_err();
        assert_eq!(pace.grant(1, Tick(0) + wait), Ok(1));
    }
}

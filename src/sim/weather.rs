//! What happens to datagrams on a simulated wire, and how many there were.

use std::time::Duration;

/// What befalls datagrams.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weather {
    /// Percent that are lost.
    pub loss: u32,
    /// Percent that arrive twice.
    pub repeats: u32,
    /// Shortest time on the way.
    pub delay_min: Duration,
    /// Longest time on the way; what is sent later may arrive earlier.
    pub delay_max: Duration,
}

impl Default for Weather {
    /// A quiet wire: nothing lost, 100 to 300 microseconds.
    fn default() -> Self {
        Self {
            loss: 0,
            repeats: 0,
            delay_min: Duration::from_micros(100),
            delay_max: Duration::from_micros(300),
        }
    }
}

/// What went over the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Datagrams sent; a broadcast counts once.
    pub sent: u64,
    /// Datagrams that arrived; a broadcast counts once for each who heard it.
    pub arrived: u64,
    /// Datagrams lost on the way.
    pub lost: u64,
}

//! Numbers of our packets: unique across restarts, not guessable from the clock, below 2^31
//! (threats, rule 12).
//!
//! A block of them is reserved on disk before it is used. This part says when the next block is
//! wanted; [`super::turn::Turn`] asks the store for it.

use rand::Rng;

use super::config::NumberStart;
use super::input::{SaveId, UnixMillis};
use crate::wire::PacketNo;

/// Where our numbers stand.
#[derive(Debug)]
pub(crate) struct Numbers {
    last: u64,
    reserved: u64,
    block: u64,
    /// Nothing is stored, so that only the clock tells where to begin.
    clock_only: bool,
    begun: bool,
    wrapped: bool,
    /// A reservation on its way to the disk, and up to where.
    asked: Option<(SaveId, u64)>,
}

/// A number for a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issued {
    /// The number.
    pub(crate) number: PacketNo,
    /// The reservation that must be on disk before the number may be used; none if it is.
    pub(crate) gate: Option<SaveId>,
}

/// Largest number we write; the official client reads references signed.
const MAX: u64 = 0x7fff_ffff;

impl Numbers {
    /// Starts above everything an earlier run may have used.
    pub(crate) fn new(start: NumberStart, block: u32) -> Self {
        Self {
            last: start.last.0.min(MAX),
            reserved: start.reserved.0.min(MAX),
            block: u64::from(block).max(64),
            clock_only: start == NumberStart::default(),
            begun: false,
            wrapped: false,
            asked: None,
        }
    }

    /// Goes on right after `last`, the highest number the process before this one used.
    pub(crate) fn resume(start: NumberStart, block: u32, last: PacketNo) -> Self {
        let mut numbers = Self::new(start, block);
        numbers.last = numbers.last.max(last.0.min(MAX));
        numbers.begun = true;
        numbers
    }

    /// The next number. `step` is the most it rises by: 1 for answers, 16 for what must not be
    /// guessed.
    pub(crate) fn next(&mut self, rng: &mut impl Rng, wall: UnixMillis, step: u64) -> PacketNo {
        if self.begun {
            // An answer more or less must not move what is random elsewhere.
            self.last += if step > 1 { rng.gen_range(1..=step) } else { 1 };
        } else {
            self.begun = true;
            if self.clock_only {
                let seconds = u64::try_from(wall.0 / 1000).unwrap_or(0);
                // A clock beyond what fits says nothing.
                self.last = if seconds <= MAX - 0xffff { seconds } else { 0 };
            }
            self.last += rng.gen_range(1..=0xffff);
        }
        if self.last > MAX {
            self.last = rng.gen_range(1..=0xffff);
            self.reserved = 0;
            self.asked = None;
            self.wrapped = true;
        }
        PacketNo(self.last)
    }

    /// The highest number used.
    pub(crate) fn last(&self) -> PacketNo {
        PacketNo(self.last)
    }

    /// Up to where to reserve now, if it is time: half a block ahead of need.
    pub(crate) fn wants(&self) -> Option<u64> {
        let short = self.last + self.block / 2 > self.reserved && self.reserved < MAX;
        (short && self.asked.is_none())
            .then(|| (self.last.max(self.reserved) + self.block).min(MAX))
    }

    /// The reservation up to `upto` is on its way.
    pub(crate) fn asked(&mut self, id: SaveId, upto: u64) {
        self.asked = Some((id, upto));
    }

    /// What must be on disk before the last number may be used in a message.
    pub(crate) fn gate(&self) -> Option<SaveId> {
        self.asked.filter(|_| self.last > self.reserved).map(|(id, _)| id)
    }

    /// A record came back from the store. Whether it was a reservation of ours.
    pub(crate) fn saved(&mut self, id: SaveId, kept: bool) -> bool {
        let Some((_, upto)) = self.asked.filter(|&(asked, _)| asked == id) else { return false };
        self.asked = None;
        if kept {
            self.reserved = upto;
        }
        true
    }

    /// Whether the numbers started low again since the last call.
    pub(crate) fn take_wrapped(&mut self) -> bool {
        std::mem::take(&mut self.wrapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn start(last: u64, reserved: u64) -> Numbers {
        Numbers::new(NumberStart { last: PacketNo(last), reserved: PacketNo(reserved) }, 65_536)
    }

    #[test]
    fn numbers_start_above_the_clock_or_the_store_and_rise() {
        let mut rng = StdRng::seed_from_u64(1);
        // The store has put the clock into its number; without a store this part does.
        let stored = start(5_000, 140_000).next(&mut rng, UnixMillis(1_000_000_000_000), 16).0;
        assert!((5_001..=70_535).contains(&stored), "{stored}");
        let mut numbers = start(0, 0);
        let first = numbers.next(&mut rng, UnixMillis(1_000_000_000_000), 16).0;
        assert!((1_000_000_001..=1_000_065_535).contains(&first), "{first}");
        let mut last = first;
        for _ in 0..1_000 {
            let next = numbers.next(&mut rng, UnixMillis(0), 16).0;
            assert!((1..=16).contains(&(next - last)));
            last = next;
        }
    }

    #[test]
    fn a_clock_that_went_back_does_not_lower_the_numbers() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut numbers = start(1_800_000_000, 1_800_131_072);
        assert!(numbers.next(&mut rng, UnixMillis(-5), 16).0 > 1_800_000_000);
    }

    #[test]
    fn the_end_of_the_range_starts_low_again_and_waits_for_its_reservation() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut numbers = start(MAX - 3, MAX);
        let first = numbers.next(&mut rng, UnixMillis(0), 16).0;
        assert!(first <= 0xffff, "{first}");
        assert!(numbers.take_wrapped() && !numbers.take_wrapped());
        let upto = numbers.wants().expect("a low number is not reserved");
        numbers.asked(SaveId(3), upto);
        assert_eq!(numbers.gate(), Some(SaveId(3)));
        assert!(numbers.saved(SaveId(3), true));
        assert_eq!(numbers.gate(), None);
    }

    #[test]
    fn a_block_is_reserved_before_it_is_needed() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut numbers = start(100, 200_000);
        let mut asked = 0;
        for turn in 0..40_000 {
            numbers.next(&mut rng, UnixMillis(0), 16);
            if let Some(upto) = numbers.wants() {
                asked += 1;
                numbers.asked(SaveId(turn), upto);
                assert_eq!(numbers.gate(), None, "the block in use still has numbers");
                numbers.saved(SaveId(turn), true);
            }
        }
        assert!((3..=7).contains(&asked), "{asked}");
    }
}

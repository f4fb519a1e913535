//! Where packet numbers go on after a restart (threats, rule 12): unique, unless all were used up.
//!
//! The rule, with what the node does about it, stands at
//! [`NumberStart`](crate::node::NumberStart). The store's part: a block of numbers is committed as
//! used before the first of them is, so that a crash can only skip numbers, never repeat them; and
//! the clock lifts the start, so that a lost store does not bring old numbers back.

/// Numbers stay below this; official clients print them signed (wire reference, 6.4).
const END: u64 = 1 << 31;

/// Reserved at the start: room for the random start (1 to 65,535) and 65,536 numbers more.
const BLOCK: u64 = 131_072;

/// What the store remembers of our packet numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Numbers {
    /// Numbers up to and including this one may have been used.
    pub(super) reserved: u64,
    /// Numbers reached the end once and started low again. The clock lies in the range used before
    /// that, so it must not lift the start any more.
    pub(super) wrapped: bool,
}

impl Numbers {
    /// The start of a run: `last` as the node gets it, and what is to be stored before it does.
    pub(super) fn start(self, unix_seconds: u64) -> (u64, Self) {
        let clock = Some(unix_seconds).filter(|clock| !self.wrapped && clock + BLOCK < END);
        let last = self.reserved.max(clock.unwrap_or(0));
        if last + BLOCK < END {
            (last, Self { reserved: last + BLOCK, ..self })
        } else {
            (0, Self { reserved: BLOCK, wrapped: true })
        }
    }

    /// What to store for a block taken some time ago, if this is stored now: somebody else may have
    /// taken one since, and numbers never go back.
    pub(super) fn beside(self, stored: Self) -> Self {
        if self.wrapped == stored.wrapped {
            Self { reserved: self.reserved.max(stored.reserved), ..self }
        } else if self.wrapped {
            self
        } else {
            stored
        }
    }

    /// The node asks for numbers up to `number`; a lower one than before means that it wrapped.
    pub(super) fn reserve(self, number: u64) -> Self {
        Self { reserved: number.min(END), wrapped: self.wrapped || number < self.reserved }
    }

    /// The run that began at `start` ends, and `used` was its last number.
    pub(super) fn give_back(self, start: u64, used: u64) -> Self {
        // Wrapped during this run: everything from 1 on may have been used.
        let least = if self.reserved < start { 0 } else { start };
        Self { reserved: used.clamp(least, self.reserved), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000;

    #[test]
    fn the_clock_lifts_the_start_and_a_clock_set_back_does_not_lower_it() {
        let (last, stored) = Numbers::default().start(NOW);
        assert_eq!((last, stored.reserved), (NOW, NOW + BLOCK));
        assert_eq!(stored.start(NOW + 5).0, NOW + BLOCK, "the block counts as used");
        assert_eq!(stored.start(NOW + 10 * BLOCK).0, NOW + 10 * BLOCK);
        assert_eq!(stored.start(0).0, NOW + BLOCK);
    }

    #[test]
    fn a_clean_end_gives_the_rest_of_the_block_back() {
        let (last, stored) = Numbers::default().start(NOW);
        assert_eq!(stored.give_back(last, last + 70_000).reserved, last + 70_000);
        assert_eq!(stored.give_back(last, 0).reserved, last, "nothing was used");
        assert_eq!(stored.give_back(last, u64::MAX).reserved, stored.reserved, "never more");
    }

    #[test]
    fn after_the_end_numbers_start_low_and_the_clock_no_longer_counts() {
        let near = Numbers { reserved: END - BLOCK, wrapped: false };
        let (last, stored) = near.start(NOW);
        assert_eq!((last, stored), (0, Numbers { reserved: BLOCK, wrapped: true }));
        assert_eq!(stored.start(NOW).0, BLOCK);

        let running = Numbers { reserved: END - 1, wrapped: false }.reserve(BLOCK);
        assert_eq!(running, Numbers { reserved: BLOCK, wrapped: true });
        assert_eq!(running.give_back(END - BLOCK, 900).reserved, 900);
    }

    #[test]
    fn a_block_stored_late_takes_nothing_back() {
        let block = |reserved, wrapped| Numbers { reserved, wrapped };
        assert_eq!(block(500, false).beside(block(100, false)), block(500, false));
        assert_eq!(block(500, false).beside(block(900, false)), block(900, false));
        assert_eq!(block(500, true).beside(block(END - 1, false)), block(500, true));
        assert_eq!(block(END - 1, false).beside(block(500, true)), block(500, true));
    }

    #[test]
    fn a_clock_beyond_the_last_number_is_left_out() {
        assert_eq!(Numbers::default().start(END).0, 0);
        let used = Numbers { reserved: 5_000, wrapped: false };
        assert_eq!(used.start(u64::MAX - BLOCK).0, 5_000);
    }
}

//! What happens on a whole subnet? A LAN in memory: loss, delay, repeats, reordering; seeded.

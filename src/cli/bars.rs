//! Progress bars, on standard error where that is a terminal: one for each peer.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{Style, files};
use crate::node::{OfferId, Progress};
use crate::term;

/// The bars of one command. Draws only when told something, so that nothing else on the terminal is
/// ever overwritten.
#[derive(Debug)]
pub(super) struct Bars {
    all: Option<MultiProgress>,
    bars: BTreeMap<OfferId, Bar>,
}

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    sum: Sum,
}

impl Bars {
    /// Bars for people; none in machine output, with `--quiet`, or where nobody sees them.
    pub(super) fn new(style: Style) -> Self {
        let target = ProgressDrawTarget::stderr();
        let wanted = !style.json && !style.quiet && !target.is_hidden();
        let all = wanted.then(|| MultiProgress::with_draw_target(target));
        Self { all, bars: BTreeMap::new() }
    }

    /// A bar for an offer of so many bytes. `label` is neutralised already.
    pub(super) fn begin(&mut self, offer: OfferId, label: &str, bytes: u64) {
        let Some(all) = &self.all else { return };
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
        let bar = all.add(ProgressBar::new(bytes.max(1)).with_style(style));
        bar.set_prefix(term::cut(label, LABEL_MAX).into_owned());
        self.bars.insert(offer, Bar { bar, sum: Sum { bytes, items: BTreeMap::new() } });
    }

    /// An item moves.
    pub(super) fn show(&mut self, progress: &Progress) {
        let Some(Bar { bar, sum }) = self.bars.get_mut(&progress.offer) else { return };
        sum.items.insert(progress.item, (progress.bytes, progress.rate));
        // Where an item does not say how large it is, nobody knows when all are there.
        let eta = progress.of.and(sum.eta());
        let eta = eta.map_or_else(String::new, |eta| format!(", {} left", clock(eta)));
        let (moved, rate) = (files::bytes(sum.moved()), files::bytes(sum.rate()));
        bar.set_message(format!("{moved}, {rate}/s{eta}"));
        bar.set_position(sum.moved());
    }

    /// An item ended; `bytes` of it are there.
    pub(super) fn note(&mut self, offer: OfferId, item: u32, bytes: u64) {
        if let Some(Bar { bar, sum }) = self.bars.get_mut(&offer) {
            sum.items.insert(item, (bytes, 0));
            bar.set_position(sum.moved());
        }
    }

    /// Nothing more comes of this offer.
    pub(super) fn end(&mut self, offer: OfferId) {
        if let Some(Bar { bar, .. }) = self.bars.remove(&offer) {
            bar.finish_and_clear();
        }
    }

    /// Takes them off the terminal while something else is written there.
    pub(super) fn hide(&self) {
        if let Some(all) = &self.all {
            // Where that fails there is no terminal any more.
            let _ = all.clear();
        }
    }

    /// Puts them back.
    pub(super) fn redraw(&self) {
        for Bar { bar, .. } in self.bars.values() {
            bar.tick();
        }
    }
}

/// What moves of one offer.
#[derive(Debug)]
struct Sum {
    /// Of all items together.
    bytes: u64,
    /// By item: bytes there, and how many come in a second now.
    items: BTreeMap<u32, (u64, u64)>,
}

impl Sum {
    fn moved(&self) -> u64 {
        self.items.values().fold(0, |sum, (bytes, _)| sum.saturating_add(*bytes))
    }

    fn rate(&self) -> u64 {
        self.items.values().fold(0, |sum, (_, rate)| sum.saturating_add(*rate))
    }

    /// Seconds until all is there.
    fn eta(&self) -> Option<u64> {
        let (left, rate) = (self.bytes.saturating_sub(self.moved()), self.rate());
        (rate > 0).then(|| left.div_ceil(rate))
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.hide();
    }
}

/// Columns of a label.
const LABEL_MAX: usize = 30;

/// `1:05`, `1:00:05`.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_that_of_the_whole_offer() {
        let mut sum = Sum { bytes: 1_000, items: BTreeMap::from([(1, (100, 40)), (2, (300, 10))]) };
        assert_eq!((sum.moved(), sum.rate(), sum.eta()), (400, 50, Some(12)));
        sum.items.insert(1, (700, 0));
        assert_eq!((sum.rate(), sum.eta()), (10, Some(0)));
        sum.items.insert(2, (u64::MAX, 0));
        assert_eq!((sum.moved(), sum.eta()), (u64::MAX, None));
    }

    #[test]
    fn times_left_are_shown_as_on_a_clock() {
        assert_eq!([0, 65, 3_605].map(clock), ["0:00", "1:05", "1:00:05"]);
    }
}

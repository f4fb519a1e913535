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
    /// Bytes of each item.
    moved: BTreeMap<u32, u64>,
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
        self.bars.insert(offer, Bar { bar, moved: BTreeMap::new() });
    }

    /// An item moves.
    pub(super) fn show(&mut self, progress: &Progress) {
        let Some(Bar { bar, moved }) = self.bars.get_mut(&progress.offer) else { return };
        moved.insert(progress.item, progress.bytes);
        let done: u64 = moved.values().sum();
        let rate = files::bytes(progress.rate);
        let eta = progress.eta.map_or_else(String::new, |eta| format!(", {} left", clock(eta)));
        bar.set_message(format!("{}, {rate}/s{eta}", files::bytes(done)));
        bar.set_position(done);
    }

    /// An item ended; `bytes` of it are there.
    pub(super) fn note(&mut self, offer: OfferId, item: u32, bytes: u64) {
        if let Some(Bar { bar, moved }) = self.bars.get_mut(&offer) {
            moved.insert(item, bytes);
            bar.set_position(moved.values().sum());
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
    fn times_left_are_shown_as_on_a_clock() {
        assert_eq!([0, 65, 3_605].map(clock), ["0:00", "1:05", "1:00:05"]);
    }
}

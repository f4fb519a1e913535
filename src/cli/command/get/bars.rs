//! Progress on a terminal, one line for each transfer. Drawn on standard error; nothing in a pipe.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::output::{Style, files};
use crate::node::{OfferId, Progress};

/// The lines on the screen.
pub(in crate::cli) struct Bars {
    all: MultiProgress,
    bars: BTreeMap<(OfferId, u32), ProgressBar>,
}

impl Bars {
    /// None yet; never any with `--json` or `--quiet`.
    pub(in crate::cli) fn new(style: Style) -> Self {
        let all = if style.json || style.quiet {
            MultiProgress::with_draw_target(ProgressDrawTarget::hidden())
        } else {
            MultiProgress::new()
        };
        Self { all, bars: BTreeMap::new() }
    }

    /// How far one is.
    pub(in crate::cli) fn show(&mut self, moving: &Progress) {
        let bar = self.bars.entry((moving.offer, moving.item)).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::no_length());
            if let Some(of) = moving.of {
                bar.set_length(of);
            }
            bar.set_style(line(moving.of.is_some()));
            bar
        });
        bar.set_position(moving.bytes);
        bar.set_message(words(moving));
    }

    /// One ended; its line goes.
    pub(in crate::cli) fn end(&mut self, offer: OfferId, item: u32) {
        if let Some(bar) = self.bars.remove(&(offer, item)) {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to clear.
        let _ = self.all.clear();
    }
}

fn line(bounded: bool) -> ProgressStyle {
    let template = if bounded { "{bar:24} {percent:>3}%  {msg}" } else { "{msg}" };
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("##-")
}

/// `report.pdf  1.2 MiB of 3.4 MiB, 10 MiB/s, 3 s left`.
fn words(moving: &Progress) -> String {
    let name = files::item_name(&moving.name, moving.kind);
    let mut words = format!("{name}  {}", files::bytes(moving.bytes));
    if let Some(of) = moving.of {
        let _ = write!(words, " of {}", files::bytes(of));
    }
    if moving.rate > 0 {
        let _ = write!(words, ", {}/s", files::bytes(moving.rate));
    }
    if let Some(eta) = moving.eta {
        let _ = write!(words, ", {} left", files::seconds_left(eta));
    }
    words
}

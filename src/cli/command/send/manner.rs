//! The options of `feige send` that become [`Wishes`]: how a message is to be sent.

use std::time::Duration;

use crate::cli::duration;
use crate::cli::output::utc_offset;
use crate::io::wall_clock;
use crate::node::Wishes;

/// How a message is to be sent.
#[derive(Debug, clap::Args)]
pub(super) struct Manner {
    /// Keep the message for those who are away, and send it when they appear
    ///
    /// Names and groups are then also looked up among the peers seen before. What nobody confirmed
    /// within the time-out is queued; `feige outbox` lists it, and a node that runs sends it.
    #[arg(long, group = "kept", conflicts_with = "no_receipt")]
    later: bool,

    /// How long a kept message waits for its recipient (7 days if nothing is said), and files stay on
    /// offer (a day at most, with --later as long as the message)
    #[arg(long, value_name = "TIME", requires = "kept", value_parser = duration)]
    expire: Option<Duration>,

    /// Hide the text until the reader opens it, and hear of that
    #[arg(long)]
    sealed: bool,

    /// Seal, and have the reader's messenger ask for its password first
    #[arg(long)]
    lock: bool,
}

impl Manner {
    /// How long files stay on offer, if that was said.
    pub(super) const fn expire(&self) -> Option<Duration> {
        self.expire
    }

    /// Whether the message is kept for those who are away.
    pub(super) const fn later(&self) -> bool {
        self.later
    }

    /// What the node is told of it.
    pub(super) fn wishes(&self) -> Wishes {
        let expire = self.expire.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        let utc_offset_s = self.later.then(|| utc_offset(wall_clock()));
        Wishes {
            later: self.later,
            expire_ms: expire,
            utc_offset_s,
            sealed: self.sealed,
            locked: self.lock,
            ..Wishes::default()
        }
    }
}

//! The options of `feige send` that become [`Wishes`]: how a message is to be sent.

use std::time::Duration;

use crate::cli::duration;
use crate::node::Wishes;

/// How a message is to be sent.
#[derive(Debug, clap::Args)]
pub(super) struct Manner {
    /// Keep the message for those who are away, and send it when they appear
    #[arg(long, group = "kept")]
    later: bool,

    /// How long a kept message waits for its recipient, or files stay on offer (24h at most)
    #[arg(long, value_name = "TIME", requires = "kept", value_parser = duration)]
    expire: Option<Duration>,
}

impl Manner {
    /// How long files stay on offer, if that was said.
    pub(super) const fn expire(&self) -> Option<Duration> {
        self.expire
    }

    /// What the node is told of it.
    pub(super) fn wishes(&self) -> Wishes {
        let expire = self.expire.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        Wishes { later: self.later, expire_ms: expire, ..Wishes::default() }
    }
}

//! The options of `feige send` that become [`Wishes`]: how a message is to be sent.

use std::time::Duration;

use crate::cli::duration;
use crate::node::Wishes;

/// How a message is to be sent.
#[derive(Debug, clap::Args)]
pub(super) struct Manner {
    /// Keep the message for those who are away, and send it when they appear
    #[arg(long)]
    later: bool,

    /// How long a kept message waits for its recipient
    #[arg(long, value_name = "TIME", requires = "later", value_parser = duration)]
    expire: Option<Duration>,
}

impl Manner {
    /// What the node is told of it.
    pub(super) fn wishes(&self) -> Wishes {
        let expire = self.expire.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        Wishes { later: self.later, expire_ms: expire }
    }
}

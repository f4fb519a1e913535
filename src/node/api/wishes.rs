//! How a message is to be sent, beyond to whom and what: [`Wishes`].

use serde::{Deserialize, Serialize};

/// What a face wishes for a message beyond the ordinary. Everything has a default, so that a
/// request says only what differs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// Keep it for recipients that are away or gone, over restarts, and send it when they appear.
    pub later: bool,
    /// How long a kept message waits, milliseconds; none: as long as the policy says.
    pub expire_ms: Option<u64>,
}

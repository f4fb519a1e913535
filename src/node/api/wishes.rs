//! How a message is to be sent, beyond to whom and what: [`Wishes`].

use serde::{Deserialize, Serialize};

use super::PeerView;
use super::choice::FileChoice;

/// What a face wishes for a message beyond the ordinary. Everything has a default, so that a
/// request says only what differs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct Wishes {
    /// Keep it for recipients that are away or gone, over restarts, and send it when they appear.
    pub later: bool,
    /// How long a kept message waits, milliseconds from its writing; none: as long as the policy
    /// says.
    pub expire_ms: Option<u64>,
    /// Files and folders it offers. Over the control socket they go along as open descriptors, in
    /// this order; the node serves exactly these. They stay on offer for `expire_ms`, at most 24 h;
    /// with `later` as long as the message is kept.
    pub choices: Vec<FileChoice>,
    /// At most so many bytes a second for each transfer of these files.
    pub limit: Option<u64>,
    /// Tell the SHA-256 of each of these files that is fetched.
    pub digest: bool,
    /// Sealed: its text is hidden until the reader opens it, and then we are told.
    pub sealed: bool,
    /// Locked: as sealed, and clients that have a password ask for it first.
    pub locked: bool,
    /// Local time where it is written, seconds east of UTC: a late message says when it was
    /// written. None: that is said in UTC.
    pub utc_offset_s: Option<i32>,
    /// Recipients of a message to be kept that are not here, as they were when they were.
    pub absent: Vec<PeerView>,
}

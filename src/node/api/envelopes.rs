//! Words about sealed messages.

use serde::{Deserialize, Serialize};

/// Whether the sender of a sealed message knows that we opened it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It confirmed our read notice.
    Confirmed,
    /// It did not confirm our read notice, however often that was sent.
    NotConfirmed,
    /// It asked for no confirmation; our read notice was sent once.
    NotAsked,
}

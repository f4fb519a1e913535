//! What the outbox tells faces: [`Waiting`].

use serde::{Deserialize, Serialize};

use super::PeerView;
use crate::node::input::UnixMillis;
use crate::wire::PacketNo;

/// A message of ours that has not ended yet, with one of its recipients.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// Our number of the message; the same for all its recipients.
    pub number: PacketNo,
    /// The recipient.
    pub peer: PeerView,
    /// The text.
    pub text: String,
    /// When it was written.
    pub written_at: UnixMillis,
    /// When it is given up; none for one that ends with the command that sent it.
    pub expires_at: Option<UnixMillis>,
    /// What it waits for.
    pub state: WaitingState,
    /// Datagrams sent by the node that runs.
    pub tries: u32,
}

/// What a message of ours waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingState {
    /// It is being sent, and waits for its receipt.
    Sending,
    /// It is kept until its recipient appears.
    Queued,
}

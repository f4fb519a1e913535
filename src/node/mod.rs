//! What does a good messenger do next? A pure engine: inputs in, effects out.
//!
//! Time, randomness and addresses come in as arguments, so a run is a function of its inputs: the
//! same seed gives the same packets, byte for byte.

pub mod api;
pub mod config;
pub mod effect;
pub mod input;

/// Values of the wire that this vocabulary is made of, for those who do not speak to the wire.
pub use crate::wire::{Charset, Office, Options, PORT, PacketNo, Sure, Verdict};
pub use api::{
    Counters, Delivery, Direction, DownReason, Event, MessageEvent, NoticeCode, PeerId, PeerView,
    Refusal, Reply, Request, ShellStatus, Status, Target,
};
pub use config::{Config, Identity, Network, NumberStart, Policy};
pub use effect::{Effect, MessageRecord, Outcome, OutcomeRecord, Record, Transmit};
pub use input::{
    Bounce, Input, Ipv4Net, Link, LinkId, Now, RequestId, SaveId, SaveResult, Tick, UnixMillis,
};

/// What a node passes on to the process that takes its port over: who is there, and what still
/// waits for receipts.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Handover {}

/// The engine.
#[derive(Debug)]
pub struct Node {}

impl Node {
    /// A node that knows nobody yet. `seed` is for a cryptographic generator: from the operating
    /// system, or fixed in a simulation.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let _ = (config, seed);
        Self {}
    }

    /// A node that goes on where another one ended. It does not announce itself.
    pub fn resume(config: Config, seed: [u8; 32], from: Handover, now: Now) -> Self {
        let _ = (from, now);
        Self::new(config, seed)
    }

    /// What the next owner of the port needs.
    pub fn hand_over(&self) -> Handover {
        Handover {}
    }

    /// Takes one input in and says what to do.
    #[must_use]
    pub fn handle(&mut self, now: Now, input: Input<'_>) -> Vec<Effect> {
        let _ = (now, input);
        Vec::new()
    }

    /// When to call with [`Input::Wake`]; none: nothing waits.
    pub fn next_deadline(&self) -> Option<Tick> {
        None
    }
}

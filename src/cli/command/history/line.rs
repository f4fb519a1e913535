//! A message of the past on one line of JSON, as it is printed and as it is exported.

use serde::{Deserialize, Serialize};

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{VERSION, rfc3339};
use crate::node::{Bounce, Event, Outcome};
use crate::store::history::{Entry, Fate, ReadAt};

/// What `feige history --json` prints: the event, and what became of it.
#[derive(Serialize)]
pub(super) struct Line {
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    at: String,
    #[serde(flatten)]
    event: Event,
    unread: bool,
    receipt: Option<Receipt>,
    read: Option<Read>,
    #[serde(flatten)]
    wire: Option<Wire>,
}

/// What became of a sent message.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Receipt {
    pub(super) at: String,
    pub(super) outcome: Outcome,
    #[serde(default)]
    pub(super) tries: u32,
    #[serde(default)]
    pub(super) rtt_ms: Option<f64>,
    #[serde(default)]
    pub(super) hint: Option<Bounce>,
    #[serde(default)]
    pub(super) waited_ms: Option<u64>,
}

/// When the recipient of a sealed message opened it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Read {
    pub(super) at: String,
    #[serde(default)]
    pub(super) discarded: bool,
}

/// What an export has besides, so that nothing is lost.
#[derive(Serialize)]
struct Wire {
    addr: Option<String>,
    epoch: u32,
    options: u32,
    /// Base64.
    raw: Option<String>,
}

impl Line {
    /// For reading.
    pub(super) fn new(entry: &Entry) -> Self {
        Self {
            v: VERSION,
            seq: entry.seq(),
            at: rfc3339(entry.message.at),
            event: entry.event(),
            unread: entry.unread,
            receipt: entry.fate.map(Receipt::from),
            read: entry.read.map(Read::from),
            wire: None,
        }
    }

    /// For keeping: with everything that is known of it, and its bytes.
    pub(super) fn whole(entry: &Entry, datagram: Option<&[u8]>) -> Self {
        let message = &entry.message;
        let wire = Wire {
            addr: message.addr.map(|addr| addr.to_string()),
            epoch: message.epoch,
            options: message.options.bits(),
            raw: datagram.map(super::base64),
        };
        Self { wire: Some(wire), ..Self::new(entry) }
    }

    /// It, without its line break.
    pub(super) fn json(&self) -> Result<String, CliError> {
        serde_json::to_string(self)
            .map_err(|error| CliError::new(Exit::Partly, "cannot write JSON").because(&error))
    }
}

impl From<Fate> for Receipt {
    fn from(fate: Fate) -> Self {
        let Fate { outcome, at, tries, rtt_ms, hint, waited_ms } = fate;
        Self { at: rfc3339(at), outcome, tries, rtt_ms, hint, waited_ms }
    }
}

impl From<ReadAt> for Read {
    fn from(read: ReadAt) -> Self {
        Self { at: rfc3339(read.at), discarded: read.discarded }
    }
}

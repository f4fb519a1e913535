//! The whole report as one object: the last line of `feige send --json` to several.

use serde::Serialize;

use super::Recipient;
use super::fate::{Fate, Reading};
use crate::cli::output::{VERSION, rfc3339};
use crate::node::{PacketNo, PeerId, PeerView};

/// The line.
#[derive(Serialize)]
pub(super) struct Summary<'r> {
    v: u8,
    report: Counts<'r>,
}

#[derive(Serialize)]
struct Counts<'r> {
    number: PacketNo,
    all: usize,
    confirmed: usize,
    queued: usize,
    not_confirmed: usize,
    not_sent: usize,
    read: usize,
    results: Vec<ResultLine<'r>>,
}

#[derive(Serialize)]
struct ResultLine<'r> {
    id: &'r PeerId,
    nick: &'r str,
    result: &'static str,
    tries: Option<u32>,
    rtt_ms: Option<f64>,
    read: bool,
    reading: Option<ReadingLine>,
}

#[derive(Serialize)]
struct ReadingLine {
    at: String,
    discarded: bool,
}

impl<'r> Summary<'r> {
    /// What is known of a message; `check`: a receipt was asked for.
    pub(super) fn of(number: PacketNo, recipients: &'r [Recipient], check: bool) -> Self {
        let count = |word| recipients.iter().filter(|r| r.fate.word(check) == word).count();
        let report = Counts {
            number,
            all: recipients.len(),
            confirmed: count("confirmed"),
            queued: count("queued"),
            not_confirmed: count("not_confirmed"),
            not_sent: count("not_sent"),
            read: recipients.iter().filter(|recipient| recipient.has_read()).count(),
            results: recipients.iter().map(|recipient| ResultLine::of(recipient, check)).collect(),
        };
        Self { v: VERSION, report }
    }
}

impl<'r> ResultLine<'r> {
    fn of(recipient: &'r Recipient, check: bool) -> Self {
        let Recipient { peer: PeerView { id, nick, .. }, fate, reading, .. } = recipient;
        let rtt_ms = match *fate {
            Fate::Confirmed { rtt_ms, .. } => Some(rtt_ms),
            _ => None,
        };
        Self {
            id,
            nick,
            result: fate.word(check),
            tries: fate.tries(),
            rtt_ms,
            read: recipient.has_read(),
            reading: reading.map(ReadingLine::from),
        }
    }
}

impl From<Reading> for ReadingLine {
    fn from(reading: Reading) -> Self {
        Self { at: rfc3339(reading.at), discarded: reading.discarded }
    }
}

//! What is written down of messages of ours, and told to faces.

use std::time::Duration;

use super::{Outbox, SendNo, Sending};
use crate::node::effect::{Outcome, OutcomeRecord, Record};
use crate::node::input::Bounce;
use crate::node::roster::Roster;
use crate::node::turn::Turn;

impl Outbox {
    /// Writes down and tells faces what became of one that goes on.
    pub(super) fn note(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        no: SendNo,
        outcome: Outcome,
    ) {
        let Some(sending) = self.sends.remove(&no) else { return };
        self.tell(turn, roster, no, &sending, outcome, None);
        self.sends.insert(no, sending);
    }

    /// Writes down and tells faces what became of one.
    pub(super) fn tell(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        no: SendNo,
        sending: &Sending,
        outcome: Outcome,
        hint: Option<Bounce>,
    ) {
        let record = record_of(turn, roster, no, sending, outcome, hint);
        let event = record.event();
        if !turn.base.keeps || !sending.stored {
            turn.emit(event, None);
            return;
        }
        let id = turn.save(Record::Outcome(record.clone()));
        turn.emit(event, Some(id));
        if outcome == Outcome::Queued {
            self.noting.insert(id, no);
        } else {
            self.ends.note(id, record);
        }
    }
}

/// What became of one, for the store and for faces.
pub(super) fn record_of(
    turn: &Turn<'_>,
    roster: &Roster,
    no: SendNo,
    sending: &Sending,
    outcome: Outcome,
    hint: Option<Bounce>,
) -> OutcomeRecord {
    let confirmed = outcome == Outcome::Confirmed;
    let rtt = sending.first.filter(|_| confirmed);
    let queued = sending.later.filter(|later| later.told);
    let waited = turn.now.wall.0.saturating_sub(sending.written.0);
    let left = outcome != Outcome::NotSent && sending.leaves_with_its_record();
    OutcomeRecord {
        at: turn.now.wall,
        number: no.number,
        peer: roster.view(&sending.view.id).unwrap_or_else(|| (*sending.view).clone()),
        outcome,
        tries: sending.tries.max(u32::from(left)),
        rtt_ms: rtt.map(|first| milliseconds(turn.now.tick - first)),
        hint,
        waited_ms: queued.filter(|_| confirmed).map(|_| u64::try_from(waited).unwrap_or(0)),
        expires: queued.filter(|_| outcome == Outcome::Queued).map(|later| later.expires),
    }
}

/// A span in milliseconds, to the microsecond.
fn milliseconds(span: Duration) -> f64 {
    let micros = u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1_000.0
}

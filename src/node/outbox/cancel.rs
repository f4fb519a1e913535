//! Messages that are taken back. One that is kept for its recipient is, once that is on disk; else a
//! later run would send it all the same, so it goes on waiting and whoever asked is told.

use std::collections::BTreeMap;

use super::records::record_of;
use super::{Outbox, SendNo, Sending};
use crate::node::api::{Refusal, Reply};
use crate::node::effect::{Outcome, Record};
use crate::node::input::{RequestId, SaveId, SaveResult};
use crate::node::roster::Roster;
use crate::node::turn::Turn;
use crate::wire::PacketNo;

/// What is being taken back.
#[derive(Debug, Default)]
pub(super) struct Cancelling {
    /// By the record that says so.
    messages: BTreeMap<SaveId, (RequestId, SendNo, Sending)>,
    /// Why the store did not take one of those somebody asked for.
    failed: BTreeMap<RequestId, String>,
}

impl Outbox {
    /// Ends every recipient of `number` that is still open, and says so.
    pub(crate) fn cancel(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        id: RequestId,
        number: PacketNo,
    ) {
        let mut waits = false;
        for no in self.of(number) {
            let kept = |sending: &Sending| {
                sending.later.is_some() && sending.stored && sending.saving.is_none()
            };
            if turn.base.keeps && self.sends.get(&no).is_some_and(kept) {
                let hint = self.hint(no);
                let Some(sending) = self.remove(turn, no) else { continue };
                let record = record_of(turn, roster, no, &sending, Outcome::Cancelled, hint);
                let event = record.event();
                let saving = turn.save(Record::Outcome(record));
                turn.emit(event, Some(saving));
                self.cancelling.messages.insert(saving, (id, no, sending));
                waits = true;
            } else {
                self.finish(turn, roster, no, Outcome::Cancelled);
            }
        }
        if !waits {
            turn.reply(id, Reply::Done);
        }
    }

    /// A record came back from the store. Whether it was one of a message that was taken back.
    pub(super) fn cancelled(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        id: SaveId,
        result: &SaveResult,
    ) -> bool {
        let Some((request, no, sending)) = self.cancelling.messages.remove(&id) else {
            return false;
        };
        if let SaveResult::Failed(reason) | SaveResult::Refused(reason) = result {
            self.put_back(turn, roster, no, sending);
            self.cancelling.failed.insert(request, reason.clone());
        }
        if self.cancelling.messages.values().all(|(other, ..)| *other != request) {
            let failed = self.cancelling.failed.remove(&request);
            turn.reply(
                request,
                failed.map_or(Reply::Done, |reason| Reply::Refused(Refusal::NotKept { reason })),
            );
        }
        true
    }

    /// It waits for its recipient again.
    fn put_back(&mut self, turn: &mut Turn<'_>, roster: &Roster, no: SendNo, mut sending: Sending) {
        for &addr in &sending.went_to {
            self.sent_to.insert((addr, no.number), no);
        }
        if let Some(later) = &mut sending.later {
            later.waits = false;
        }
        self.sends.insert(no, sending);
        if !self.shelve(turn, roster, no) {
            self.finish(turn, roster, no, Outcome::Expired);
        }
    }
}

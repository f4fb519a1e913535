//! How messages of ours ended. Faces are told even where the store does not take it; it is written down
//! when the store takes records again, by the next owner of the port at the latest. What the store
//! holds for open goes on there, and would end a second time.

use std::collections::BTreeMap;

use super::Outbox;
use crate::node::api::PeerId;
use crate::node::effect::{OutcomeRecord, Record};
use crate::node::input::SaveId;
use crate::node::turn::Turn;
use crate::wire::PacketNo;

/// Outcomes that are not on disk.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// On their way.
    saving: BTreeMap<SaveId, End>,
    /// The store did not take them. There are no more of them than messages were kept.
    unkept: Vec<End>,
}

#[derive(Debug)]
struct End {
    record: OutcomeRecord,
    /// Faces were told.
    told: bool,
    /// The store refused it when it took others: only the next owner of the port tries once more.
    barred: bool,
}

impl Ends {
    /// It is on its way, and told once it is there.
    pub(super) fn note(&mut self, id: SaveId, record: OutcomeRecord) {
        self.saving.insert(id, End { record, told: false, barred: false });
    }

    /// A record came back from the store. Whether it was one of these.
    pub(super) fn saved(&mut self, turn: &mut Turn<'_>, id: SaveId, failed: bool) -> bool {
        let Some(end) = self.saving.remove(&id) else { return false };
        if failed {
            if !end.told {
                turn.emit(end.record.event(), None);
            }
            self.unkept.push(End { told: true, barred: end.told, ..end });
        }
        true
    }

    /// Whether this message has ended.
    pub(super) fn has(&self, number: PacketNo, peer: &PeerId) -> bool {
        let mut ends = self.unkept.iter().map(|end| &end.record);
        ends.any(|record| record.number == number && record.peer.id == *peer)
    }
}

impl Outbox {
    /// The store takes records, by all that is known: it gets those that it did not take, once more.
    pub(crate) fn keep_ends(&mut self, turn: &mut Turn<'_>) {
        let again: Vec<End> = self.ends.unkept.extract_if(.., |end| !end.barred).collect();
        for end in again {
            let id = turn.save(Record::Outcome(end.record.clone()));
            self.ends.saving.insert(id, end);
        }
    }

    /// What the next owner of the port has still to write down.
    pub(crate) fn unkept_ends(&self) -> impl Iterator<Item = &OutcomeRecord> {
        self.ends.unkept.iter().map(|end| &end.record)
    }

    /// What the process before this one told, and could not write down.
    pub(crate) fn restore_ends(&mut self, records: Vec<OutcomeRecord>) {
        let told = records.into_iter().map(|record| End { record, told: true, barred: false });
        self.ends.unkept.extend(told);
    }
}

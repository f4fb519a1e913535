//! A transfer of ours under way, and how it is told of.

use super::grant::{GrantRecord, place};
use crate::node::api::Direction;
use crate::node::api::files::{
    ItemKind, Progress, Side, TransferOutcome, TransferProblem, Transferred,
};
use crate::node::input::Tick;
use crate::node::meter::{Meter, per_second};
use crate::node::outbox::SendNo;

/// A transfer under way.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) no: SendNo,
    pub(super) item: usize,
    pub(super) started: Tick,
    /// Bytes the recipient had before.
    pub(super) offset: u64,
    pub(super) sent: u64,
    pub(super) files: u64,
    pub(super) meter: Meter,
    /// It was ended by us, and is told of as this.
    pub(super) end: Option<TransferOutcome>,
    /// The same recipient asked for the same again; how this one ends says nothing of the item.
    pub(super) replaced: bool,
    /// The recipient said that it wants nothing more of the offer: if this breaks off, it is over.
    pub(super) released: bool,
}

impl Stream {
    /// One that begins now at `offset`.
    pub(super) fn new(no: SendNo, item: usize, offset: u64, now: Tick) -> Self {
        let meter = Meter::new(now);
        let (sent, files, end, replaced, released) = (0, 0, None, false, false);
        Self { no, item, started: now, offset, sent, files, meter, end, replaced, released }
    }

    /// How far it is, as faces see it.
    pub(super) fn progress(&self, record: &GrantRecord) -> Option<Progress> {
        let choice = &record.files.get(self.item)?.choice;
        let bytes = self.offset + self.sent;
        // Files may come into a folder while it moves.
        let of = choice.size.max(bytes);
        Some(Progress {
            offer: record.offer,
            item: place(self.item),
            direction: Direction::Out,
            peer: record.peer.clone(),
            number: record.number,
            name: choice.name.clone(),
            kind: choice.kind,
            bytes,
            of: Some(of),
            done: self.files,
            rate: self.meter.rate(),
            eta: self.meter.eta(of - bytes),
        })
    }

    /// How it ended, as faces see it.
    pub(super) fn ended(
        &self,
        record: &GrantRecord,
        now: Tick,
        outcome: TransferOutcome,
    ) -> Transferred {
        let file = record.files.get(self.item);
        let took = now - self.started;
        Transferred {
            offer: record.offer,
            item: place(self.item),
            direction: Direction::Out,
            peer: record.peer.clone(),
            number: record.number,
            name: file.map(|file| file.choice.name.clone()).unwrap_or_default(),
            kind: file.map_or(ItemKind::File, |file| file.choice.kind),
            outcome,
            bytes: self.sent,
            resumed: self.offset,
            done: self.files,
            seconds: took.as_secs_f64(),
            rate: if self.sent == 0 { 0 } else { per_second(self.sent, took) },
            sha256: None,
            path: None,
            skipped: 0,
            unreadable: 0,
            problem: None,
        }
    }
}

/// Why a transfer ended whose receiver began another one.
pub(super) fn asked_again() -> TransferProblem {
    TransferProblem {
        side: Side::Theirs,
        what: "the receiver asked for it again on another connection".to_owned(),
        hint: "nothing to do: it goes on there".to_owned(),
    }
}

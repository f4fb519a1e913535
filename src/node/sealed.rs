//! Sealed messages of ours that nobody opened yet, and the read notices that end them (wire
//! reference, 6.3; threats, rule 11).
//!
//! A read notice may come long after the receipt, so these outlive the outbox's entries, and a
//! restart ([`Memory`](super::Memory)).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Parts;
use super::api::PeerView;
use super::effect::{ReadRecord, Record};
use super::input::{SaveId, SaveResult};
use super::peer::Sighting;
use super::roster::Roster;
use super::trust::Allowance;
use super::turn::Turn;
use crate::wire::command::message;
use crate::wire::{Command, Options, PacketNo};

/// What waits to be opened elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    /// Oldest first.
    unopened: BTreeMap<u64, Unopened>,
    /// Where each was sent to: a read notice counts only from there.
    sent_to: BTreeMap<(SocketAddr, PacketNo), u64>,
    next: u64,
    /// Read notices on their way to the disk.
    saving: BTreeMap<SaveId, Unopened>,
}

/// A sealed message to one recipient.
#[derive(Clone, Debug)]
pub(crate) struct Unopened {
    pub(crate) number: PacketNo,
    /// The recipient as it was when the message was written.
    pub(crate) peer: Box<PeerView>,
    /// Where it went.
    pub(crate) sent_to: Vec<SocketAddr>,
}

/// What a read notice was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Heard {
    /// A sealed message of ours; the record that says so, in a run with a store.
    News(Option<SaveId>),
    /// One whose reading is on its way to the disk.
    Repeat(SaveId),
    /// Nothing that is open.
    Nothing,
}

impl Sealed {
    /// One more was sent, or is known to have gone to further addresses.
    pub(crate) fn add(&mut self, max: usize, more: Unopened) {
        if more.sent_to.is_empty() {
            return;
        }
        let known = more.sent_to.iter().find_map(|&addr| self.sent_to.get(&(addr, more.number)));
        let no = known.copied().unwrap_or(self.next);
        for &addr in &more.sent_to {
            self.sent_to.insert((addr, more.number), no);
        }
        if let Some(unopened) = self.unopened.get_mut(&no) {
            unopened.sent_to.extend(more.sent_to);
            return;
        }
        self.next += 1;
        self.unopened.insert(no, more);
        while self.unopened.len() > max {
            let Some((_, oldest)) = self.unopened.pop_first() else { return };
            self.close(&oldest);
        }
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Unopened> {
        self.unopened.values().chain(self.saving.values())
    }

    /// A record came back from the store. Whether it was a reading.
    pub(crate) fn saved(&mut self, max: usize, id: SaveId, result: &SaveResult) -> bool {
        let Some(unopened) = self.saving.remove(&id) else { return false };
        if let SaveResult::Failed(_) | SaveResult::Refused(_) = result {
            // The notice got no answer and is repeated: then it is news again.
            self.add(max, unopened);
        }
        true
    }

    fn hear(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        from: SocketAddr,
        number: PacketNo,
        discarded: bool,
    ) -> Heard {
        let taken = self.sent_to.get(&(from, number)).and_then(|no| self.unopened.remove(no));
        let Some(unopened) = taken else {
            let same =
                |(_, it): &(&SaveId, &Unopened)| it.number == number && it.sent_to.contains(&from);
            let saving = self.saving.iter().find(same);
            return saving.map_or(Heard::Nothing, |(&id, _)| Heard::Repeat(id));
        };
        self.close(&unopened);
        let peer = roster.view(&unopened.peer.id).unwrap_or_else(|| (*unopened.peer).clone());
        let record = ReadRecord { at: turn.now.wall, number, peer, discarded };
        let event = record.event();
        let id = turn.base.keeps.then(|| turn.save(Record::Read(record)));
        turn.emit(event, id);
        if let Some(id) = id {
            self.saving.insert(id, unopened);
        }
        Heard::News(id)
    }

    fn close(&mut self, unopened: &Unopened) {
        for &addr in &unopened.sent_to {
            self.sent_to.remove(&(addr, unopened.number));
        }
    }
}

impl Parts {
    /// A sealed message of ours was opened (`READMSG`) or thrown away (`DELMSG`). One that still
    /// waits for its receipt has it by this. The answer to the notice leaves once the reading is
    /// kept; a notice that concerns nothing of ours is answered all the same, so that its sender
    /// stops repeating it (wire reference, 4).
    pub(crate) fn read_notice(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        number: PacketNo,
        allowance: &mut Allowance,
    ) {
        let Self { roster, outbox, links, .. } = self;
        roster.hear(turn.now.tick, seen);
        let number = number.as_ours();
        if outbox.has_sealed(seen.from, number) {
            outbox.settle(turn, roster, seen.from, number);
        }
        let discarded = seen.packet.command == Command::DELMSG;
        let heard = outbox.sealed.hear(turn, roster, seen.from, number, discarded);
        if matches!(heard, Heard::News(_)) {
            roster.note_hears(seen.from);
        }
        let options = seen.packet.options;
        let asked = options.contains(message::READ_CHECK)
            && !options.intersects(message::BROADCAST | message::AUTO_RETURN);
        if discarded || !asked || !turn.speaks() {
            return;
        }
        let after = match heard {
            Heard::News(id) => id,
            Heard::Repeat(id) => Some(id),
            Heard::Nothing => None,
        };
        let (own, of) = (turn.number(), seen.packet.number);
        let answer = turn.base.own.reference(own, Command::ANSREADMSG, Options::empty(), of);
        if allowance.allows(answer.len()) {
            turn.transmit(links.route(seen.link), seen.from, answer, after);
        } else {
            turn.base.counters.dropped += 1;
        }
    }
}

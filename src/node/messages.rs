//! A message comes: whose it is, and everything that follows from it.

use super::Parts;
use super::api::Extras;
use super::inbox::{Key, Taken};
use super::input::SaveId;
use super::peer::{PeerNo, Sighting};
use super::trust::Allowance;
use super::turn::Turn;
use crate::wire::PacketNo;
use crate::wire::body::Message;
use crate::wire::command::message;
use crate::wire::dialect::Reads;

/// A message came that had not come before.
pub(super) struct New {
    /// The record that what follows from it waits for; none where nothing is kept.
    pub(super) after: Option<SaveId>,
}

impl Parts {
    pub(super) fn message(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        body: &Message,
        allowance: &mut Allowance,
    ) {
        let options = seen.packet.options;
        if options.contains(message::IPTUX_SHARED) {
            return self.shared_listed(turn, seen, body);
        }
        if self.repeated_after_goodbye(turn, seen, allowance) {
            return;
        }
        if options.contains(message::ENCRYPT) {
            return self.private_message(turn, seen, allowance);
        }
        let Self { roster, inbox, knocks, .. } = self;
        let met = roster.meet(turn, seen);
        let Some(peer) = roster.get(met.peer) else { return };
        let key = inbox.key(turn, peer, seen);
        // Who writes UTF-8 to us broadcasts in what the others read.
        let reads_utf8 = matches!(peer.dialect.habits.text, Reads::Utf8);
        let is_its_own = !(reads_utf8 && options.contains(message::BROADCAST));
        if !inbox.has(&key) {
            if is_its_own {
                roster.learn_text(turn, met.peer, body.charset);
            }
            knocks.wrote(turn, roster, met.peer);
        }
        let arrival = (seen, body, Extras::default());
        let taken = self.take_message(turn, met.peer, arrival, key, allowance);
        let Self { roster, presence, links, inbox, .. } = self;
        inbox.epochs.trim(&turn.base.policy, roster);
        presence.greet(turn, roster, links, seen, allowance);
        self.tell_late(turn, met.peer);
        self.mentions(met.peer, seen.packet.number, &body.text);
        if let Some(New { after }) = taken {
            self.offered(turn, seen, body, after);
        }
    }

    /// A message of ours was confirmed.
    pub(super) fn receipt(&mut self, turn: &mut Turn<'_>, seen: &Sighting<'_>, number: PacketNo) {
        self.roster.hear(turn.now.tick, seen);
        if self.outbox.settle(turn, &self.roster, seen.from, number) {
            self.roster.note_hears(seen.from);
        }
    }

    /// A copy of a message that came before, whose sender has said goodbye meanwhile: confirmed again,
    /// but it does not bring its sender back. Whether it was one.
    fn repeated_after_goodbye(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        allowance: &mut Allowance,
    ) -> bool {
        let Self { roster, links, inbox, farewells, .. } = self;
        if roster.at(seen.from).is_some() {
            return false;
        }
        let Some(peer) = farewells.late_sender(turn.now.tick, seen) else { return false };
        let key = inbox.key_of_gone(peer, seen);
        let came = inbox.has(&key);
        if came {
            inbox.repeated(turn, links, seen, &key, allowance);
        }
        came
    }

    /// Takes a message in, in clear or opened, and replies by itself where its reader is away. None
    /// for a repeat.
    pub(super) fn take_message(
        &mut self,
        turn: &mut Turn<'_>,
        no: PeerNo,
        arrival: (&Sighting<'_>, &Message, Extras),
        key: Key,
        allowance: &mut Allowance,
    ) -> Option<New> {
        let Self { roster, links, inbox, envelopes, absence, .. } = self;
        let view = roster.shared_view(no)?;
        let seen = arrival.0;
        // The receipt fits in any case; the automatic reply has all that a datagram may cause.
        let room = allowance.room();
        let taken = inbox.take(turn, links, &view, arrival, key, allowance)?;
        let after = match taken {
            Taken::Saving(id) => Some(id),
            Taken::Passing(message) => {
                if message.is_envelope() {
                    envelopes.hold(turn, *message);
                }
                None
            }
        };
        let link = links.route(seen.link);
        let peer = roster.get(no)?;
        if let Some(size) = absence.answer(turn, (peer, link), seen, after, room) {
            allowance.spend(size);
        }
        Some(New { after })
    }
}

//! Letters that waited for their readers, written anew and sent: when these appear, or when it is asked
//! for (wire reference, 6.1, delayed sending).

use super::{Reader, Sheets, met_at, not_blocked};
use crate::node::Parts;
use crate::node::api::Refusal;
use crate::node::outbox::later::footer;
use crate::node::outbox::{SendNo, Sending, is_stranger};
use crate::node::peer::{Peer, PeerNo, charset_of};
use crate::node::serving::grant::GrantRecord;
use crate::node::timers::Timer;
use crate::node::turn::Turn;
use crate::wire::PacketNo;
use crate::wire::body::DATAGRAM_MAX;

impl Parts {
    /// Sends what was kept for this peer, who showed itself.
    pub(crate) fn write_late(&mut self, turn: &mut Turn<'_>, peer: PeerNo) {
        let may = turn.speaks() && turn.base.delivers;
        let Some(peer) = self.roster.get(peer).filter(|_| may) else { return };
        let places = peer.places.iter().map(|place| place.addr);
        let waiting = self.outbox.waiting_for(&peer.id, places);
        for (place, no) in waiting.into_iter().enumerate() {
            self.write_again(turn, no, place < turn.base.policy.sends_at_once);
        }
    }

    /// As [`Self::write_late`], for everybody who is here: the process before this one may have left
    /// that to us.
    pub(crate) fn write_late_to_all(&mut self, turn: &mut Turn<'_>) {
        for no in self.roster.iter().map(|(no, _)| no).collect::<Vec<_>>() {
            self.write_late(turn, no);
        }
    }

    /// Sends what is kept of this number, whether or not its recipients have shown themselves.
    pub(crate) fn retry(&mut self, turn: &mut Turn<'_>, number: PacketNo) -> Result<(), Refusal> {
        let waiting = self.outbox.waiting_of(number);
        let blocked = |no: &SendNo| self.book.holds(&self.roster, self.outbox.get(*no)?);
        not_blocked(waiting.iter().find_map(blocked))?;
        for (place, no) in waiting.into_iter().enumerate() {
            self.write_again(turn, no, place < turn.base.policy.sends_at_once);
        }
        Ok(())
    }

    /// Writes a kept message by what is known of its recipient now, and sends it, with those of its
    /// files that are on offer still. A late one says when it was written, unless it gets too long by
    /// that.
    fn write_again(&mut self, turn: &mut Turn<'_>, no: SendNo, at_once: bool) {
        let Some(sending) = self.outbox.get_mut(no) else { return };
        let (Some(text), Some(later)) = (sending.text.clone(), sending.later) else { return };
        let (written, options, offered) = (sending.written, sending.options, sending.files);
        let peer = self.roster.find(&sending.view.id);
        let no_of_peer = peer.or_else(|| self.roster.at(sending.addr?));
        if let Some(no) = no_of_peer {
            self.roster.note_written(no);
        }
        let peer = no_of_peer.and_then(|no| self.roster.get(no));
        let named = sending.view.id.clone();
        let met = sending.addr.filter(|_| is_stranger(&sending.view)).zip(peer);
        if let Some((addr, met)) = met {
            *sending.view = met_at(addr, named.clone(), met);
            // It is kept anew, with who that is.
            sending.bytes = Some([].into());
        }
        let met = met.and(no_of_peer);
        let (form, reader) = match peer {
            Some(peer) => (peer.text_form(turn.base.own.office), Reader::of(peer)),
            None => (turn.base.own.form_for_strangers(), Reader::STRANGER),
        };
        let grant = self.serving.readdress(no, form.charset(), peer.map(Peer::view));
        let files = grant.map_or_else(Default::default, GrantRecord::left);
        if text.is_empty() && files.is_empty() && offered > 0 {
            // All that it was for was taken back.
            self.outbox.drop(turn, &self.roster, no);
            return;
        }
        let write = |text: &str| {
            let (number, files, written, kept) = (no.number, &*files, Vec::new(), None);
            Sheets { number, options, text, files, written, kept }.write(turn, form, reader)
        };
        let age = turn.now.wall.0.saturating_sub(written.0);
        let late =
            u128::try_from(age).is_ok_and(|age| age > turn.base.policy.late_after.as_millis());
        let mut bytes = write(&text);
        if late {
            let dated = write(&format!("{text}{}", footer(written, later.utc_offset_s)));
            if dated.len() <= DATAGRAM_MAX {
                bytes = dated;
            }
        }
        if bytes.len() > DATAGRAM_MAX {
            self.outbox.drop(turn, &self.roster, no);
            return;
        }
        if let Some(met) = met {
            self.wrote_to_address(turn, met, &named);
        }
        let written = (bytes, charset_of(form));
        self.outbox.unshelve(turn, &self.roster, &self.links, no, written, at_once);
    }

    /// Asks whether those are there for whom messages are kept or who are to be told that theirs
    /// were opened, where they were last.
    pub(crate) fn seek(&mut self, turn: &mut Turn<'_>) {
        let held = |sending: &Sending| self.book.holds(&self.roster, sending).is_some();
        let mut sought =
            if turn.base.delivers { self.outbox.sought(&self.roster, held) } else { Vec::new() };
        sought.extend(self.envelopes.untold.sought(&self.roster));
        for addr in sought {
            self.enter(turn, addr);
        }
        if self.outbox.has_waiting() || !self.envelopes.untold.is_empty() {
            turn.arm(Timer::Seek, turn.base.policy.later_seek);
        }
    }
}

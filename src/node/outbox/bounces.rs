//! What the network says of datagrams that carry messages of ours.

use std::net::SocketAddr;

use super::{Outbox, Sending};
use crate::node::input::Bounce;
use crate::node::turn::Turn;
use crate::wire::RawPacket;

impl Outbox {
    /// A datagram to `to` came back.
    pub(crate) fn bounced(&mut self, to: SocketAddr, reason: Bounce) {
        if self.awaits(to) || self.meetings.contains_key(&to) {
            self.bounces.insert(to, reason);
        }
    }

    /// A datagram to `to` did not leave: it was no try.
    pub(crate) fn unsent(
        &mut self,
        turn: &mut Turn<'_>,
        to: SocketAddr,
        bytes: &[u8],
        reason: Bounce,
    ) {
        let sent = &mut turn.base.counters.sent;
        *sent = sent.saturating_sub(1);
        self.bounced(to, reason);
        let number = RawPacket::parse(bytes).ok().map(|raw| raw.number);
        let no = number.and_then(|number| self.sent_to.get(&(to, number)));
        let sending = no.and_then(|no| self.sends.get_mut(no));
        let is_it = |sending: &&mut Sending| sending.bytes.as_deref() == Some(bytes);
        if let Some(sending) = sending.filter(is_it) {
            sending.tries = sending.tries.saturating_sub(1);
            if sending.tries == 0 {
                sending.first = None;
            }
        }
    }

    /// Something came from there: what came back before says nothing any more.
    pub(crate) fn heard(&mut self, from: SocketAddr) {
        self.bounces.remove(&from);
    }
}

//! Being away: what our entries say of it, what is answered to those who ask, and the one automatic
//! reply (wire reference, 4, 6.2, 6.5 and 11; threats, rules 6 and 7).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Parts;
use super::api::{PeerId, PeerView, Refusal, Reply};
use super::config::Policy;
use super::effect::Record;
use super::handover::before;
use super::input::{LinkId, Now, RequestId, SaveId, SaveResult, Tick, UnixMillis};
use super::letters::sent_record;
use super::numbers::Issued;
use super::peer::{Peer, Sighting, charset_of};
use super::trust::Allowance;
use super::turn::Turn;
use crate::wire::body::DATAGRAM_MAX;
use crate::wire::command::message;
use crate::wire::dialect::TextForm;
use crate::wire::{Command, PacketNo};

/// Who was told by an automatic reply.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    /// When each peer got one.
    replied: BTreeMap<PeerId, Tick>,
    /// Those that wait until the message they answer is kept.
    waiting: BTreeMap<SaveId, AutoReply>,
    /// Changes on their way to the disk, and who wants them.
    changing: BTreeMap<SaveId, (RequestId, Option<String>)>,
}

#[derive(Debug)]
struct AutoReply {
    peer: PeerView,
    link: Option<LinkId>,
    to: SocketAddr,
    form: TextForm,
    text: String,
}

/// What `GETABSENCEINFO` is answered where nobody is away; the words of the official client.
const NOT_AWAY: &str = "Not Absence mode";

impl Absence {
    /// A message came that was not seen before. With `after` it is on its way to the disk; it is
    /// answered when it is there. The reply has at most `room` bytes; its size, if there is one.
    pub(crate) fn answer(
        &mut self,
        turn: &mut Turn<'_>,
        (peer, link): (&Peer, Option<LinkId>),
        seen: &Sighting<'_>,
        after: Option<SaveId>,
        room: usize,
    ) -> Option<usize> {
        let silent = message::BROADCAST | message::AUTO_RETURN;
        if !turn.speaks() || seen.packet.options.intersects(silent) {
            return None;
        }
        let own = &turn.base.own;
        let away = own.away.as_deref()?;
        if !self.is_due(turn, &peer.id) {
            return None;
        }
        let form = peer.text_form(own.office);
        let number = turn.base.numbers.last();
        let write = |text: &str| own.message(number, message::AUTO_RETURN, text, form);
        let Some((text, bytes)) = fitted(away, room.min(DATAGRAM_MAX), write) else {
            turn.base.counters.dropped += 1;
            return None;
        };
        self.replied.insert(peer.id.clone(), turn.now.tick);
        let reply = AutoReply { peer: peer.view(), link, to: seen.from, form, text };
        match after {
            Some(id) => {
                self.waiting.insert(id, reply);
            }
            None => reply.send(turn),
        }
        Some(bytes.len())
    }

    /// A message came back from the store.
    pub(crate) fn reply_to(&mut self, turn: &mut Turn<'_>, id: SaveId, result: &SaveResult) {
        let Some(reply) = self.waiting.remove(&id) else { return };
        match result {
            SaveResult::Kept { .. } => reply.send(turn),
            SaveResult::Repeat | SaveResult::Failed(_) | SaveResult::Refused(_) => {
                self.replied.remove(&reply.peer.id);
            }
        }
    }

    /// Who got a reply lately, and how long ago.
    pub(crate) fn replied(
        &self,
        now: Tick,
        policy: &Policy,
    ) -> impl Iterator<Item = (PeerId, Duration)> {
        let once_per = policy.auto_reply_once_per;
        let ago = self.replied.iter().map(move |(peer, &at)| (peer.clone(), now - at));
        ago.filter(move |&(_, ago)| ago < once_per)
    }

    /// A peer got a reply from the process before this one.
    pub(crate) fn restore(&mut self, peer: PeerId, at: Tick) {
        let last = self.replied.entry(peer).or_insert(at);
        *last = at.max(*last);
    }

    /// Takes in what the store says of earlier runs.
    pub(crate) fn remember(
        &mut self,
        now: Now,
        policy: &Policy,
        replied: Vec<(PeerId, UnixMillis)>,
    ) {
        for (peer, at) in replied {
            // What was sent after now, by a clock that was set back since, says nothing.
            let ago = u64::try_from(now.wall.0.saturating_sub(at.0)).map(Duration::from_millis);
            if let Ok(ago) = ago
                && ago < policy.auto_reply_once_per
            {
                self.restore(peer, before(now.tick, ago));
            }
        }
    }

    /// Whether this peer got no reply lately, and there is room to remember that it gets one.
    fn is_due(&mut self, turn: &Turn<'_>, peer: &PeerId) -> bool {
        let (now, once_per) = (turn.now.tick, turn.base.policy.auto_reply_once_per);
        if self.replied.get(peer).is_some_and(|&at| now - at < once_per) {
            return false;
        }
        if self.replied.len() >= turn.base.policy.peers_max {
            self.replied.retain(|_, &mut at| now - at < once_per);
        }
        self.replied.len() < turn.base.policy.peers_max
    }
}

impl AutoReply {
    fn send(self, turn: &mut Turn<'_>) {
        let Self { peer, link, to, form, text } = self;
        let Issued { number, gate } = turn.message_number();
        let options = message::AUTO_RETURN;
        let bytes = turn.base.own.message(number, options, &text, form);
        let raw = Arc::clone(&bytes);
        let mut record = sent_record(turn, number, options, &text, charset_of(form), raw);
        record.peer = Some(Arc::new(peer));
        let event = record.event();
        let kept = turn.base.keeps.then(|| turn.save(Record::Message(record)));
        turn.emit(event, kept);
        turn.transmit(link, to, bytes, kept.or(gate));
    }
}

impl Parts {
    /// The user leaves the desk, or is back: kept, then told to everybody.
    pub(crate) fn absent(&mut self, turn: &mut Turn<'_>, id: RequestId, away: Option<String>) {
        if away.as_deref().is_some_and(|text| text.trim().is_empty()) {
            turn.reply(id, Reply::Refused(Refusal::EmptyText));
        } else if turn.base.keeps {
            let saving = turn.save(Record::Away(away.clone()));
            self.absence.changing.insert(saving, (id, away));
        } else {
            self.announce_absence(turn, away);
            turn.reply(id, Reply::Done);
        }
    }

    /// A record came back from the store. Whether it was a change of ours.
    pub(crate) fn absence_saved(
        &mut self,
        turn: &mut Turn<'_>,
        id: SaveId,
        result: &SaveResult,
    ) -> bool {
        let Some((request, away)) = self.absence.changing.remove(&id) else { return false };
        let reply = match result {
            SaveResult::Failed(reason) | SaveResult::Refused(reason) => {
                Reply::Refused(Refusal::NotKept { reason: reason.clone() })
            }
            SaveResult::Kept { .. } | SaveResult::Repeat => {
                self.announce_absence(turn, away);
                Reply::Done
            }
        };
        turn.reply(request, reply);
        true
    }

    fn announce_absence(&mut self, turn: &mut Turn<'_>, away: Option<String>) {
        if turn.base.own.away == away {
            return;
        }
        turn.base.own.away = away;
        let Self { presence, roster, links, .. } = self;
        presence.announce(turn, roster, links, Command::BR_ABSENCE, None);
    }

    /// Answers a question about ourselves, within the caps and never one that was written by a
    /// machine or to everybody.
    pub(crate) fn inform(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        allowance: &mut Allowance,
    ) {
        self.roster.hear(turn.now.tick, seen);
        let silent = message::BROADCAST | message::AUTO_RETURN;
        if !turn.speaks() || seen.packet.options.intersects(silent) {
            return;
        }
        let number = turn.number();
        let room = allowance.room().min(DATAGRAM_MAX);
        let answer = if seen.packet.command == Command::GETABSENCEINFO {
            self.absence_info(turn, seen.from, number, room)
        } else {
            let text = format!("feige {}", turn.base.own.version());
            Some(turn.base.own.ascii(number, Command::SENDINFO, &text))
        };
        let Some(bytes) = answer.filter(|bytes| allowance.allows(bytes.len())) else {
            turn.base.counters.dropped += 1;
            return;
        };
        if self.trust.answers_info(turn.now.tick, &turn.base.policy, seen.from.ip()) {
            turn.transmit(self.links.route(seen.link), seen.from, bytes, None);
        } else {
            turn.base.counters.dropped += 1;
        }
    }

    fn absence_info(
        &self,
        turn: &Turn<'_>,
        from: SocketAddr,
        number: PacketNo,
        room: usize,
    ) -> Option<Arc<[u8]>> {
        let own = &turn.base.own;
        let command = Command::SENDABSENCEINFO;
        let Some(away) = &own.away else { return Some(own.ascii(number, command, NOT_AWAY)) };
        let asker = self.roster.at(from).and_then(|no| self.roster.get(no));
        let form =
            asker.map_or_else(|| own.form_for_strangers(), |peer| peer.text_form(own.office));
        fitted(away, room, |text| own.text(number, command, text, form)).map(|(_, bytes)| bytes)
    }
}

/// A text as it is written into a datagram of at most `room` bytes: whole, else its beginning; none
/// where not even that fits. An address that has not shown that it hears us gets no more than the
/// bound on answers allows.
fn fitted(
    text: &str,
    room: usize,
    write: impl Fn(&str) -> Arc<[u8]>,
) -> Option<(String, Arc<[u8]>)> {
    let fits = |text: String| {
        let bytes = write(&text);
        (bytes.len() <= room).then_some((text, bytes))
    };
    if let Some(whole) = fits(text.to_owned()) {
        return Some(whole);
    }
    let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).skip(1).collect();
    let beginning = |cut: usize| fits(format!("{}...", text.get(..cut).unwrap_or_default()));
    let many = cuts.partition_point(|&cut| beginning(cut).is_some());
    many.checked_sub(1).and_then(|last| cuts.get(last)).and_then(|&cut| beginning(cut))
}

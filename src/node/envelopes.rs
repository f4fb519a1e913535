//! Sealed messages of others: closed until the user opens them, and only then, with the opening on
//! disk, is the sender told (wire reference, 6.3).
//!
//! Closed ones are in the store, not here; a run without a store holds the newest few.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use super::Parts;
use super::api::{Event, PeerView, Refusal, Reply, Told};
use super::effect::{MessageRecord, OpenedRecord, Record};
use super::input::{Recalled, RequestId, SaveId, SaveResult};
use super::links::Links;
use super::peer::Sighting;
use super::roster::Roster;
use super::timers::Timer;
use super::turn::Turn;
use super::untold::Untold;
use crate::wire::command::message;
use crate::wire::{Command, Options, PacketNo};

/// Envelopes that are being opened, and read notices that wait for their answer.
#[derive(Debug, Default)]
pub(crate) struct Envelopes {
    /// Openings on their way to the disk.
    opening: BTreeMap<SaveId, Opening>,
    /// By the numbers of our notices.
    notices: BTreeMap<PacketNo, ReadNotice>,
    /// Those of a run without a store, newest last, and whether they were opened.
    held: VecDeque<(MessageRecord, bool)>,
    /// Openings of earlier runs whose senders may not know of them.
    pub(crate) untold: Untold,
}

#[derive(Debug)]
struct Opening {
    seq: u64,
    message: Box<MessageRecord>,
    /// Who wants to read it.
    asked: Vec<RequestId>,
}

/// A read notice of ours that its receiver is to confirm.
#[derive(Clone, Debug)]
pub(crate) struct ReadNotice {
    /// Place of the message in the event stream; none in a run without a store.
    pub(crate) message: Option<u64>,
    /// The sender of the message.
    pub(crate) peer: Box<PeerView>,
    /// The message's number.
    pub(crate) of: PacketNo,
    /// Where the message came from.
    pub(crate) addr: Option<SocketAddr>,
    /// The datagram, the same each time.
    pub(crate) bytes: Arc<[u8]>,
    /// How often it was sent.
    pub(crate) tries: u32,
    /// Times it was its turn, whether or not there was an address to send to.
    pub(crate) turns: u32,
    /// Where it went; an answer counts only from there.
    pub(crate) sent_to: Vec<SocketAddr>,
}

/// What a read notice is about.
#[derive(Debug)]
pub(crate) struct Notice {
    /// Place of the message in the event stream; none in a run without a store.
    pub(crate) message: Option<u64>,
    /// Its sender.
    pub(crate) peer: Box<PeerView>,
    /// Its number.
    pub(crate) of: PacketNo,
    /// Where it came from; none: only where its sender is now.
    pub(crate) addr: Option<SocketAddr>,
    /// Its option bits.
    pub(crate) options: Options,
}

impl Envelopes {
    /// Holds a closed one that no store keeps.
    pub(crate) fn hold(&mut self, turn: &Turn<'_>, message: MessageRecord) {
        while self.held.len() >= turn.base.policy.envelopes_held_max.max(1) {
            self.held.pop_front();
        }
        self.held.push_back((message, false));
    }

    /// The notices that wait for their answer.
    pub(crate) fn notices(&self) -> impl Iterator<Item = (PacketNo, &ReadNotice)> {
        self.notices.iter().map(|(&number, notice)| (number, notice))
    }

    /// Puts back a notice that the process before this one had sent.
    pub(crate) fn restore(&mut self, turn: &mut Turn<'_>, number: PacketNo, notice: ReadNotice) {
        self.notices.insert(number, notice);
        turn.arm(Timer::ReadNotice(number), turn.base.policy.read_notice_gap);
    }

    /// The face that asked for this message gets it, closed or open.
    fn open(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        seq: u64,
        (message, opened): (Box<MessageRecord>, bool),
    ) {
        if opened || !message.is_envelope() {
            return turn.reply(request, shown(seq, &message, false));
        }
        if let Some(opening) = self.opening.values_mut().find(|opening| opening.seq == seq) {
            return opening.asked.push(request);
        }
        let tells = turn.speaks() && is_told_of(&message);
        let opened = OpenedRecord { at: turn.now.wall, message: seq, tells };
        let id = turn.save(Record::Opened(opened));
        self.opening.insert(id, Opening { seq, message, asked: vec![request] });
    }

    /// A record came back from the store. Whether it was an opening.
    pub(crate) fn saved(
        &mut self,
        turn: &mut Turn<'_>,
        (roster, links): (&Roster, &Links),
        id: SaveId,
        result: &SaveResult,
    ) -> bool {
        let Some(Opening { seq, message, asked }) = self.opening.remove(&id) else { return false };
        let reply = match result {
            // The text may be read before the notice, but the notice never precedes the record.
            SaveResult::Kept { .. } => {
                shown(seq, &message, self.tell(turn, (roster, links), Some(seq), &message))
            }
            SaveResult::Repeat => shown(seq, &message, false),
            SaveResult::Failed(reason) | SaveResult::Refused(reason) => {
                Reply::Refused(Refusal::StaysClosed { reason: reason.clone() })
            }
        };
        for request in asked {
            turn.reply(request, reply.clone());
        }
        true
    }

    /// Tells the sender that its message was opened. Whether anything is sent.
    fn tell(
        &mut self,
        turn: &mut Turn<'_>,
        places: (&Roster, &Links),
        seq: Option<u64>,
        message: &MessageRecord,
    ) -> bool {
        let Some(peer) = message.peer.as_deref() else { return false };
        if !is_told_of(message) || !turn.speaks() {
            return false;
        }
        let notice = Notice {
            message: seq,
            peer: Box::new(peer.clone()),
            of: message.number,
            addr: message.addr,
            options: message.options,
        };
        self.notify(turn, places, notice);
        true
    }

    /// Sends a notice for the first time; it is sent again if its receiver is to confirm it.
    pub(crate) fn notify(
        &mut self,
        turn: &mut Turn<'_>,
        places: (&Roster, &Links),
        Notice { message, peer, of, addr, options }: Notice,
    ) {
        let checked = options & message::READ_CHECK;
        let number = turn.number();
        let bytes = turn.base.own.reference(number, Command::READMSG, checked, of);
        let (tries, turns, sent_to) = (0, 0, Vec::new());
        let mut notice = ReadNotice { message, peer, of, addr, bytes, tries, turns, sent_to };
        notice.send(turn, places);
        if checked.is_empty() {
            notice.end(turn, places.0, Told::NotAsked);
        } else if self.notices.len() >= turn.base.policy.read_notices_max {
            notice.end(turn, places.0, Told::NotConfirmed);
        } else {
            self.restore(turn, number, notice);
        }
    }

    /// The time of a notice without an answer is over: once more, or never again.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>, places: (&Roster, &Links), number: PacketNo) {
        let Some(notice) = self.notices.get_mut(&number) else { return };
        if notice.turns > turn.base.policy.read_notice_repeats {
            if let Some(notice) = self.notices.remove(&number) {
                notice.end(turn, places.0, Told::NotConfirmed);
            }
            return;
        }
        notice.send(turn, places);
        turn.arm(Timer::ReadNotice(number), turn.base.policy.read_notice_gap);
    }

    /// A notice of ours was answered. Whether it was one of ours, from where it went.
    fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        from: SocketAddr,
        number: PacketNo,
    ) -> bool {
        let ours = self.notices.get(&number).is_some_and(|notice| notice.sent_to.contains(&from));
        let Some(notice) = ours.then(|| self.notices.remove(&number)).flatten() else {
            return false;
        };
        turn.base.timers.disarm(Timer::ReadNotice(number));
        notice.end(turn, roster, Told::Confirmed);
        true
    }
}

impl ReadNotice {
    /// Sends it, to the addresses of its receiver in turn.
    fn send(&mut self, turn: &mut Turn<'_>, (roster, links): (&Roster, &Links)) {
        let addrs = self.addresses(roster);
        let turns = usize::try_from(self.turns).unwrap_or(usize::MAX);
        self.turns += 1;
        let to = turns.checked_rem(addrs.len()).and_then(|at| addrs.get(at)).copied();
        let Some(to) = to else { return };
        let link = roster.place(to).and_then(|(_, place)| links.route(place.link));
        turn.transmit(link, to, Arc::clone(&self.bytes), None);
        self.tries += 1;
        if !self.sent_to.contains(&to) {
            self.sent_to.push(to);
        }
    }

    /// Where the message came from, and where its sender is by now; never where somebody else is.
    fn addresses(&self, roster: &Roster) -> Vec<SocketAddr> {
        let known = roster.find(&self.peer.id);
        let free = |addr: &SocketAddr| roster.at(*addr).is_none_or(|no| Some(no) == known);
        let origin = self.addr.filter(free);
        let places = known.and_then(|no| roster.get(no)).map(|peer| &peer.places);
        let current = places.into_iter().flatten().map(|place| place.addr);
        origin.into_iter().chain(current.filter(|&addr| Some(addr) != origin)).collect()
    }

    fn end(self, turn: &mut Turn<'_>, roster: &Roster, told: Told) {
        let Self { message, peer, of: number, tries, .. } = self;
        if let Some(message) = message {
            turn.save(Record::NoticeOver(message));
        }
        let peer = roster.view(&peer.id).unwrap_or(*peer);
        turn.emit(Event::Told { number, peer, told, tries }, None);
    }
}

impl Parts {
    /// A face wants to read an envelope.
    pub(crate) fn open(&mut self, turn: &mut Turn<'_>, request: RequestId, seq: u64) {
        if turn.base.keeps {
            return turn.recall(request, seq);
        }
        let Self { envelopes, roster, links, .. } = self;
        // The same number may come from several senders: the newest message is meant.
        let mut newest_first = envelopes.held.iter_mut().rev();
        let found = newest_first.find(|(message, _)| message.number.0 == seq);
        let found = found.map(|held| (held.0.clone(), std::mem::replace(&mut held.1, true)));
        let reply = match found {
            Some((message, opened)) => {
                let tells = !opened && envelopes.tell(turn, (roster, links), None, &message);
                shown(seq, &message, tells)
            }
            None => Reply::Refused(Refusal::NoMessage { seq }),
        };
        turn.reply(request, reply);
    }

    /// The store was asked for an envelope.
    pub(crate) fn recalled(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        seq: u64,
        found: Recalled,
    ) {
        let refusal = match found {
            Recalled::Message { message, opened } => {
                return self.envelopes.open(turn, request, seq, (message, opened));
            }
            Recalled::Missing => Refusal::NoMessage { seq },
            Recalled::Failed(reason) => Refusal::StaysClosed { reason },
        };
        turn.reply(request, Reply::Refused(refusal));
    }

    /// A read notice of ours was answered (`ANSREADMSG`, which names the notice).
    pub(crate) fn notice_answered(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        number: PacketNo,
    ) {
        let Self { envelopes, roster, .. } = self;
        roster.hear(turn.now.tick, seen);
        if envelopes.answered(turn, roster, seen.from, number.as_ours()) {
            roster.note_hears(seen.from);
        }
    }
}

fn shown(seq: u64, message: &MessageRecord, tells: bool) -> Reply {
    Reply::Opened { seq, at: message.at, message: Box::new(message.opened()), tells }
}

/// Whether the sender of a message is told of its opening: never in answer to what went to
/// everybody or was written by a machine.
fn is_told_of(message: &MessageRecord) -> bool {
    message.peer.is_some() && !message.options.intersects(message::BROADCAST | message::AUTO_RETURN)
}

//! Messages received: each kept and shown once, and confirmed as often as it comes (threats, rules
//! 6, 9, 10, 45).
//!
//! The memory here answers repeats at once; what it has forgotten the store still knows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::api::{Delivery, Direction, Extras, NoticeCode, PeerId, PeerView};
use super::effect::{MessageRecord, Record};
use super::epochs::Epochs;
use super::input::{SaveId, SaveResult, Tick};
use super::links::Links;
use super::peer::{Peer, Sighting};
use super::trust::Allowance;
use super::turn::Turn;
use crate::wire::body::Message;
use crate::wire::command::message;
use crate::wire::{Command, PacketNo};

/// What was received lately.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) epochs: Epochs,
    seen: BTreeMap<Key, Seen>,
    /// In the order they came; may name some that were forgotten already.
    order: VecDeque<(Tick, Key)>,
    /// Bytes of the identities in it.
    bytes: usize,
    saving: BTreeMap<SaveId, Key>,
}

/// Messages forgotten for one that comes, so that the first one after a busy hour costs what all do.
const FORGOTTEN_AT_ONCE: usize = 16;

/// What makes a message a repeat: the same number from the same identity in the same epoch, and by the
/// same command (FeiQ reference, 4): a client that numbers by the clock may write to a group and to us
/// within one second.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    pub(crate) peer: PeerId,
    pub(crate) epoch: u32,
    pub(crate) number: PacketNo,
    /// To a group of FeiQ.
    pub(crate) in_group: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Tick,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// On its way to the disk.
    Saving(SaveId),
    /// On disk, or nothing is kept at all.
    Kept,
    /// It came encrypted and is being opened.
    Opening,
    /// It came encrypted and cannot be opened.
    Unreadable,
}

fn is_in_group(seen: &Sighting<'_>) -> bool {
    seen.packet.command == Command::FEIQ_GROUP_MESSAGE
}

/// A message that did not come before.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is on its way to the disk.
    Saving(SaveId),
    /// It is kept nowhere.
    Passing(Box<MessageRecord>),
}

impl Inbox {
    /// What tells a message from others.
    pub(crate) fn key(&mut self, turn: &Turn<'_>, peer: &Peer, seen: &Sighting<'_>) -> Key {
        let number = seen.packet.number;
        let epoch = self.epochs.of(turn.now, peer, number);
        Key { peer: peer.id.clone(), epoch, number, in_group: is_in_group(seen) }
    }

    /// The same of one whose sender is in the roster no more.
    pub(crate) fn key_of_gone(&self, peer: &PeerId, seen: &Sighting<'_>) -> Key {
        let number = seen.packet.number;
        let epoch = self.epochs.known(peer, number);
        Key { peer: peer.clone(), epoch, number, in_group: is_in_group(seen) }
    }

    /// Whether this message came before.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.seen.contains_key(key)
    }

    /// Takes a message in. What it was, if it is new and can be read.
    pub(crate) fn take(
        &mut self,
        turn: &mut Turn<'_>,
        links: &Links,
        peer: &Arc<PeerView>,
        (seen, body, extras): (&Sighting<'_>, &Message, Extras),
        key: Key,
        allowance: &mut Allowance,
    ) -> Option<Taken> {
        if self.has(&key) {
            self.repeated(turn, links, seen, &key, allowance);
            return None;
        }
        let (state, taken) = self.keep(turn, peer, (seen, body, extras), key);
        confirm(turn, links, seen, state, allowance);
        Some(taken)
    }

    /// Takes a message to a group in, which came for the first time. It earns no receipt.
    pub(crate) fn take_in_group(
        &mut self,
        turn: &mut Turn<'_>,
        peer: &Arc<PeerView>,
        arrival: (&Sighting<'_>, &Message, Extras),
        key: Key,
    ) {
        self.keep(turn, peer, arrival, key);
    }

    /// Answers a message that came before, as its first copy was answered.
    pub(crate) fn repeated(
        &mut self,
        turn: &mut Turn<'_>,
        links: &Links,
        seen: &Sighting<'_>,
        key: &Key,
        allowance: &mut Allowance,
    ) {
        turn.base.counters.repeats += 1;
        if let Some(known) = self.seen.get(key) {
            confirm(turn, links, seen, known.state, allowance);
        }
    }

    /// An encrypted message is being opened.
    pub(crate) fn note_opening(&mut self, turn: &Turn<'_>, key: Key) {
        self.remember(turn, key, State::Opening);
    }

    /// An encrypted message was opened: it may be taken in now.
    pub(crate) fn forget_opening(&mut self, key: &Key) {
        self.seen.remove(key);
    }

    /// An encrypted message cannot be opened: it is never confirmed.
    pub(crate) fn note_unreadable(&mut self, turn: &Turn<'_>, key: Key) {
        self.remember(turn, key, State::Unreadable);
    }

    fn keep(
        &mut self,
        turn: &mut Turn<'_>,
        peer: &Arc<PeerView>,
        arrival: (&Sighting<'_>, &Message, Extras),
        key: Key,
    ) -> (State, Taken) {
        let taken = keep(turn, arrival, &key, Arc::clone(peer));
        let state = match taken {
            Taken::Saving(id) => {
                self.saving.insert(id, key.clone());
                State::Saving(id)
            }
            Taken::Passing(_) => State::Kept,
        };
        self.remember(turn, key, state);
        (state, taken)
    }

    /// A record came back from the store. Whether it was a message received.
    pub(crate) fn saved(&mut self, turn: &mut Turn<'_>, id: SaveId, result: &SaveResult) -> bool {
        let Some(key) = self.saving.remove(&id) else { return false };
        match result {
            SaveResult::Kept { .. } => turn.base.counters.messages += 1,
            SaveResult::Repeat => turn.base.counters.repeats += 1,
            SaveResult::Failed(_) | SaveResult::Refused(_) => {
                // Its sender gets no receipt and tries again: then it is new.
                self.seen.remove(&key);
                return true;
            }
        }
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.state = State::Kept;
        }
        true
    }

    /// The messages that are on disk, and when they came.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (&Key, Tick)> {
        let kept = self.seen.iter().filter(|(_, seen)| seen.state == State::Kept);
        kept.map(|(key, seen)| (key, seen.at))
    }

    /// Puts back what the process before this one had received, oldest first.
    pub(crate) fn restore(&mut self, key: Key, at: Tick) {
        self.bytes += key.peer.0.len();
        self.order.push_back((at, key.clone()));
        self.seen.insert(key, Seen { at, state: State::Kept });
    }

    fn remember(&mut self, turn: &Turn<'_>, key: Key, state: State) {
        let now = turn.now.tick;
        let policy = &turn.base.policy;
        for _ in 0..FORGOTTEN_AT_ONCE {
            let full = self.order.len() >= policy.duplicates_max
                || self.bytes >= policy.duplicates_bytes_max;
            match self.order.front() {
                Some((at, _)) if full || now - *at > policy.duplicates_span => {}
                _ => break,
            }
            let Some((at, old)) = self.order.pop_front() else { break };
            self.bytes -= old.peer.0.len();
            if self.seen.get(&old).is_some_and(|seen| seen.at == at) {
                self.seen.remove(&old);
            }
        }
        self.bytes += key.peer.0.len();
        self.order.push_back((now, key.clone()));
        self.seen.insert(key, Seen { at: now, state });
    }
}

/// Writes a new message down and tells faces.
fn keep(
    turn: &mut Turn<'_>,
    (seen, body, extras): (&Sighting<'_>, &Message, Extras),
    key: &Key,
    peer: Arc<PeerView>,
) -> Taken {
    let packet = seen.packet;
    let delivery = if extras.chat.is_some() {
        Delivery::Group
    } else if packet.options.contains(message::BROADCAST) {
        Delivery::Broadcast
    } else {
        Delivery::Direct
    };
    if body.files.skipped > 0 {
        let text =
            format!("{} of the files {} offers were left out", body.files.skipped, peer.nick);
        turn.notice(NoticeCode::Cut, text);
    }
    let record = MessageRecord {
        direction: Direction::In,
        delivery,
        at: turn.now.wall,
        peer: Some(peer),
        addr: Some(seen.from),
        epoch: key.epoch,
        number: packet.number,
        options: packet.options,
        text: body.text.clone(),
        charset: body.charset,
        cut: body.cut,
        files: body.files.files.len(),
        raw: Arc::from(seen.bytes),
        recipients: body.recipients.clone(),
        open: None,
        extras: Extras { font: body.font.clone(), ..extras }.boxed(),
    };
    let event = record.event();
    if !turn.base.keeps {
        turn.base.counters.messages += 1;
        turn.emit(event, None);
        return Taken::Passing(Box::new(record));
    }
    let id = turn.save(Record::Message(record));
    turn.emit(event, Some(id));
    Taken::Saving(id)
}

/// Sends the receipt if one is asked for: never for what went to everybody or was written by a
/// machine, and never for what is not on disk.
fn confirm(
    turn: &mut Turn<'_>,
    links: &Links,
    seen: &Sighting<'_>,
    state: State,
    allowance: &mut Allowance,
) {
    let options = seen.packet.options;
    let asked = options.contains(message::SEND_CHECK)
        && !options.intersects(message::BROADCAST | message::AUTO_RETURN);
    if !asked || !turn.base.keeps || !turn.speaks() {
        return;
    }
    let after = match state {
        State::Saving(id) => Some(id),
        State::Kept => None,
        State::Opening | State::Unreadable => return,
    };
    let number = turn.number();
    let receipt = turn.base.own.receipt(number, seen.packet.number);
    allowance.spend(receipt.len());
    turn.base.counters.receipts += 1;
    turn.transmit(links.route(seen.link), seen.from, receipt, after);
}

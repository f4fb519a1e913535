//! What waits for the disk: datagrams and events that may leave only once their record is
//! committed (architecture, "Who runs it"; threats, rule 9).

use std::collections::HashMap;

use crate::node::{Event, Record, Reply, RequestId, SaveId, SaveResult, Transmit, UnixMillis};

/// Records on their way to the disk, and what each of them holds back.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: HashMap<SaveId, Held>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    waiting: Vec<Released>,
}

/// What a committed record lets go, in the order it came.
#[derive(Debug)]
pub(crate) enum Released {
    /// To send now.
    Transmit(Transmit),
    /// To answer now, after the datagrams it is about.
    Reply(RequestId, Reply),
    /// To tell now, with the time it happened at; its place in the event stream is the record's.
    Event(UnixMillis, Event),
}

/// Bytes that may wait for the disk before the sockets are left unread, so that a slow disk costs no
/// memory: the rest stays in the kernel's buffer, and what does not fit there gets no receipt and
/// is repeated by its sender. Some 5,000 messages of usual length.
const BYTES_MAX: usize = 8 << 20;
/// What a record takes with its receipt and its event, beside what is in it.
const RECORD_BYTES: usize = 1_024;
/// How often what a datagram says is there: as it came, and read for the record and the event.
const COPIES: usize = 4;
/// What an offered file takes beside its name.
const FILE_BYTES: usize = 512;
/// What a peer of long names takes.
const PEER_BYTES: usize = 2_048;

/// About what a record takes until it is committed, in bytes.
fn weight(record: &Record) -> usize {
    let content = match record {
        Record::Message(message) => message.raw.len() * COPIES + message.files * FILE_BYTES,
        Record::Rewritten(rewritten) => rewritten.raw.len() * COPIES,
        Record::Roster(roster) => roster.seen.len() * PEER_BYTES,
        _ => 0,
    };
    RECORD_BYTES + content
}

impl Gate {
    /// A record is handed to the writer.
    pub(crate) fn wait_for(&mut self, id: SaveId, record: &Record) {
        let bytes = weight(record);
        self.bytes += bytes;
        self.open.insert(id, Held { bytes, waiting: Vec::new() });
    }

    /// Keeps a datagram back until its record is kept. Without such a record it is dropped: nobody
    /// knows then whether the message is on the disk.
    pub(crate) fn hold_transmit(&mut self, id: SaveId, transmit: Transmit) {
        let Some(held) = self.open.get_mut(&id) else {
            return tracing::error!(?id, "a datagram waits for a record nobody is writing");
        };
        held.waiting.push(Released::Transmit(transmit));
    }

    /// Keeps an event back until its record is newly kept.
    pub(crate) fn hold_event(&mut self, id: SaveId, at: UnixMillis, event: Event) {
        let Some(held) = self.open.get_mut(&id) else {
            return tracing::error!(?id, "an event waits for a record nobody is writing");
        };
        held.waiting.push(Released::Event(at, event));
    }

    /// Keeps a reply back until the datagrams before it left with their record.
    pub(crate) fn hold_reply(&mut self, id: SaveId, request: RequestId, reply: Reply) {
        let Some(held) = self.open.get_mut(&id) else {
            return tracing::error!(?id, "a reply waits for a record nobody is writing");
        };
        held.waiting.push(Released::Reply(request, reply));
    }

    /// The writer is done with a record: what it lets go.
    pub(crate) fn settle(&mut self, id: SaveId, result: &SaveResult) -> Vec<Released> {
        let Some(mut held) = self.open.remove(&id) else { return Vec::new() };
        self.bytes -= held.bytes;
        match result {
            SaveResult::Kept { .. } => {}
            SaveResult::Repeat => held.waiting.retain(|r| !matches!(r, Released::Event(..))),
            // Whoever asked is answered; why nothing left is told by the node.
            SaveResult::Failed(_) | SaveResult::Refused(_) => {
                held.waiting.retain(|r| matches!(r, Released::Reply(..)));
            }
        }
        held.waiting
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether so much waits that no more should be read from the network.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NoticeCode;
    use crate::node::PacketNo;

    fn gate(id: SaveId) -> Gate {
        let mut gate = Gate::default();
        gate.wait_for(id, &Record::Numbers(PacketNo(1)));
        let to = ([127, 0, 0, 1], 2425).into();
        let bytes = b"receipt".as_slice().into();
        gate.hold_transmit(id, Transmit { link: None, to, bytes, after: Some(id) });
        let event = Event::Notice { code: NoticeCode::Cut, text: String::new() };
        gate.hold_event(id, UnixMillis(7), event);
        gate
    }

    #[test]
    fn a_kept_record_releases_receipt_and_event() {
        let released = gate(SaveId(1)).settle(SaveId(1), &SaveResult::Kept { seq: Some(9) });
        assert!(matches!(
            released[..],
            [Released::Transmit(_), Released::Event(UnixMillis(7), Event::Notice { .. })]
        ));
    }

    #[test]
    fn a_repeat_releases_the_receipt_but_not_the_event() {
        let released = gate(SaveId(1)).settle(SaveId(1), &SaveResult::Repeat);
        assert!(matches!(released[..], [Released::Transmit(_)]));
    }

    #[test]
    fn a_failed_record_releases_nothing() {
        let mut gate = gate(SaveId(1));
        let released = gate.settle(SaveId(1), &SaveResult::Failed("disk full".into()));
        assert!(released.is_empty());
        assert!(gate.is_empty());
    }

    #[test]
    fn a_reply_comes_after_its_datagrams_and_in_any_case() {
        let asked = |result| {
            let mut gate = gate(SaveId(1));
            gate.hold_reply(SaveId(1), RequestId(4), Reply::Done);
            gate.settle(SaveId(1), &result)
        };
        assert!(matches!(
            asked(SaveResult::Kept { seq: None })[..],
            [Released::Transmit(_), Released::Event(..), Released::Reply(RequestId(4), _)]
        ));
        let failed = asked(SaveResult::Failed("disk full".into()));
        assert!(matches!(failed[..], [Released::Reply(RequestId(4), _)]));
    }

    #[test]
    fn nothing_leaves_for_a_record_nobody_writes() {
        let mut gate = Gate::default();
        let to = ([127, 0, 0, 1], 2425).into();
        let bytes = b"receipt".as_slice().into();
        gate.hold_transmit(SaveId(3), Transmit { link: None, to, bytes, after: Some(SaveId(3)) });
        let released = gate.settle(SaveId(3), &SaveResult::Kept { seq: None });
        assert!(released.is_empty());
    }

    #[test]
    fn the_sockets_are_left_unread_while_too_much_waits() {
        let mut gate = Gate::default();
        for id in 0..(BYTES_MAX / RECORD_BYTES) as u64 {
            assert!(!gate.is_full());
            gate.wait_for(SaveId(id), &Record::Numbers(PacketNo(id)));
        }
        assert!(gate.is_full());
        gate.settle(SaveId(0), &SaveResult::Repeat);
        assert!(!gate.is_full());
    }
}

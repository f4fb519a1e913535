//! Messages to rows, and which of them are here already.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::{PeerRows, Recipients, Rows, to_json, word};
use crate::node::{AUTO_RETURN, Direction, MessageRecord, PacketNo, PeerView, SaveResult};
use crate::store::{outbox, quota};

impl Rows<'_> {
    pub(super) fn keep_message(&mut self, message: &MessageRecord) -> rusqlite::Result<SaveResult> {
        let size = quota::of_message(message);
        let sender = message.peer.as_ref().filter(|_| message.direction == Direction::In);
        if let Some(sender) = sender
            && let Some(reason) = self.quota.refuses(message.at, size)
        {
            // Nothing is made for a stranger then, not even the row of its name.
            let found = self.peers.find(self.db, &sender.id)?;
            if found.is_none_or(|(_, written)| !written) {
                // What is here already is confirmed again.
                return if self.has(message, found.map(|(peer, _)| peer))? {
                    Ok(SaveResult::Repeat)
                } else {
                    Ok(SaveResult::Refused(reason))
                };
            }
        }
        let known = match &message.peer {
            Some(view) => Some(self.peers.rows(self.db, view)?),
            None => None,
        };
        let size = size + self.peers.take_made();
        let from_stranger = sender.is_some() && known.is_some_and(|known| !known.written);
        // Where the clock went back, the history keeps the order all the same.
        let raised = (message.at.0 < self.place).then_some(self.place);
        let kept = insert_message(&mut self.message, self.next_seq, known, message, raised)?;
        if kept == 0 {
            return Ok(SaveResult::Repeat);
        }
        self.place = self.place.max(message.at.0);
        self.datagram.execute((self.next_seq, &message.raw[..]))?;
        if from_stranger {
            self.quota.count(size);
        }
        // An automatic reply goes to whoever writes, also to strangers.
        let by_us = message.direction == Direction::Out && !message.options.contains(AUTO_RETURN);
        if let Some(view) = message.peer.as_ref().filter(|_| by_us) {
            self.peers.note_written(self.db, view)?;
        }
        if let Some(open) = message.open {
            outbox::open(self.db, self.next_seq, open)?;
        }
        self.announce(message.at, "message")
    }

    /// Whether a received message is here already.
    fn has(&self, message: &MessageRecord, peer: Option<i64>) -> rusqlite::Result<bool> {
        self.db.prepare_cached(HAS_MESSAGE)?.exists((
            message.number.0.cast_signed(),
            peer,
            message.epoch,
            word(message.delivery),
        ))
    }

    /// The message of ours with this number to this peer.
    pub(super) fn sent_message(
        &self,
        number: PacketNo,
        peer: i64,
        view: &PeerView,
    ) -> rusqlite::Result<Option<i64>> {
        let number = number.0.cast_signed();
        let message = self
            .db
            .prepare_cached(
                "SELECT max(id) FROM message WHERE direction = 'out' AND number = ?1 AND peer = ?2",
            )?
            .query_row((number, peer), |row| row.get::<_, Option<i64>>(0))?;
        if message.is_some() {
            return Ok(message);
        }
        // Written to an address, answered by the peer that turned out to be there.
        let addr = std::net::SocketAddr::new(view.addr, view.port);
        self.db
            .prepare_cached(
                "SELECT max(id) FROM message
                 WHERE direction = 'out' AND number = ?1 AND addr = ?2",
            )?
            .query_row((number, addr.to_string()), |row| row.get(0))
    }
}

/// A message's row, for [`insert_message`]; a repeat changes nothing.
pub(in crate::store) const INSERT_MESSAGE: &str = "
    INSERT INTO message (id, direction, delivery, at, peer, appearance, addr, epoch,
        number, options, text, charset, sure, cut, files, recipients, extras, raised)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
    ON CONFLICT (number, peer, epoch, (delivery = 'group'))
        WHERE direction = 'in' AND number NOT BETWEEN 0 AND 999999999 DO NOTHING
    ON CONFLICT (peer, epoch, number, (delivery = 'group'))
        WHERE direction = 'in' AND number BETWEEN 0 AND 999999999 DO NOTHING";

/// Finds a received message by what makes it a repeat. In two parts: each says which index it needs.
const HAS_MESSAGE: &str = "
    SELECT 1 FROM message WHERE number = ?1 AND peer = ?2 AND epoch = ?3
        AND (delivery = 'group') = (?4 = 'group')
        AND direction = 'in' AND number NOT BETWEEN 0 AND 999999999
    UNION ALL
    SELECT 1 FROM message WHERE number = ?1 AND peer = ?2 AND epoch = ?3
        AND (delivery = 'group') = (?4 = 'group')
        AND direction = 'in' AND number BETWEEN 0 AND 999999999";

/// The bytes of a message.
pub(in crate::store) const INSERT_DATAGRAM: &str =
    "INSERT INTO datagram (message, bytes) VALUES (?1, ?2)";

/// Where the newest message of the stream stands in the history; before all others if there is none.
pub(super) fn last_place(db: &Connection) -> rusqlite::Result<i64> {
    let newest = "SELECT place FROM message WHERE id > 0 ORDER BY id DESC LIMIT 1";
    let place = db.prepare_cached(newest)?.query_row((), |row| row.get(0)).optional()?;
    Ok(place.unwrap_or(i64::MIN))
}

/// Writes a message's row under `id`, with the rows of its peer and of how that looked, at its own
/// time in the history or, with `raised`, at that one. How many were written: none if it is a
/// repeat.
pub(in crate::store) fn insert_message(
    insert: &mut CachedStatement<'_>,
    id: i64,
    peer: Option<PeerRows>,
    message: &MessageRecord,
    raised: Option<i64>,
) -> rusqlite::Result<usize> {
    insert.execute(params![
        id,
        word(message.direction),
        word(message.delivery),
        message.at.0,
        peer.map(|rows| rows.peer),
        peer.map(|rows| rows.appearance),
        message.addr.map(|addr| addr.to_string()),
        message.epoch,
        message.number.0.cast_signed(),
        message.options.bits(),
        message.text,
        message.charset.charset.name(),
        word(message.charset.sure),
        message.cut,
        i64::try_from(message.files).unwrap_or(i64::MAX),
        recipients(message)?,
        message.extras.as_ref().map(to_json).transpose()?,
        raised,
    ])
}

/// Who else got a message, as JSON; none where nobody is named.
fn recipients(message: &MessageRecord) -> rusqlite::Result<Option<String>> {
    let named = message.recipients != Recipients::default();
    named.then(|| to_json(&message.recipients)).transpose()
}

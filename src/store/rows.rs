//! Records to rows and back.

pub(super) mod envelopes;
pub(super) mod messages;
mod told;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{in_words, is_the_rows_own};
use super::numbers::Numbers;
use super::offered;
use super::pictures::Staging;
use super::quota::{self, Quota};
use super::reader::StoredEvent;
use super::{clock, feiq, keys, outbox, people, served};
use crate::node::{
    Charset, Event, KnockRecord, MessageRecord, NoticeCode, Options, Outcome, OutcomeRecord,
    PacketNo, PeerId, PeerView, ReadRecord, Recipients, Record, RewrittenRecord, SaveResult,
    UnixMillis, Verdict,
};

/// Writes the records of one transaction.
pub(super) struct Rows<'c> {
    db: &'c Connection,
    peers: &'c mut Peers,
    numbers: &'c mut Numbers,
    quota: &'c mut Quota,
    staging: &'c Staging,
    message: CachedStatement<'c>,
    datagram: CachedStatement<'c>,
    event: CachedStatement<'c>,
    /// The number of the next event. Allotted here, inside the transaction: one that fails uses
    /// none.
    next_seq: i64,
    /// Where the newest message stands in the history.
    place: i64,
}

/// For [`Rows::roll_back`].
#[derive(Clone, Copy)]
pub(super) struct Mark {
    next_seq: i64,
    place: i64,
    numbers: Numbers,
    quota: Quota,
}

impl<'c> Rows<'c> {
    /// Inside a transaction that is already open.
    pub(super) fn new(
        db: &'c Connection,
        peers: &'c mut Peers,
        numbers: &'c mut Numbers,
        (quota, staging): (&'c mut Quota, &'c Staging),
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            message: db.prepare_cached(messages::INSERT_MESSAGE)?,
            datagram: db.prepare_cached(messages::INSERT_DATAGRAM)?,
            event: db.prepare_cached("INSERT INTO event (seq, at, kind) VALUES (?1, ?2, ?3)")?,
            next_seq: last_seq(db)? + 1,
            place: messages::last_place(db)?,
            db,
            peers,
            numbers,
            quota,
            staging,
        })
    }

    /// Writes one record. After an error its rows are to be rolled back, and so is
    /// [`Rows::next_seq`].
    pub(super) fn keep(&mut self, record: &Record) -> rusqlite::Result<SaveResult> {
        match record {
            Record::Message(message) => self.keep_message(message),
            Record::Rewritten(rewritten) => self.keep_rewritten(rewritten),
            Record::Outcome(outcome) => self.keep_outcome(outcome),
            Record::Knock(knock) => {
                let words = (word(knock.direction), knock.outcome.map(word));
                feiq::keep_knock(self.db, self.peers, self.next_seq, knock, words)?;
                self.announce(knock.at, "knock")
            }
            Record::Charsets(charsets) => {
                feiq::keep_charsets(self.db, self.peers, charsets)?;
                Ok(SaveResult::Kept { seq: None })
            }
            Record::Group(group) => {
                feiq::keep_group(self.db, group)?;
                Ok(SaveResult::Kept { seq: None })
            }
            Record::Key(key) => {
                keys::keep(self.db, key)?;
                Ok(SaveResult::Kept { seq: None })
            }
            Record::Told(told) => self.keep_told(told.at, &told.event),
            Record::Picture(picture) => self.keep_picture(picture),
            Record::Grant(grant) => {
                served::keep(self.db, grant)?;
                Ok(SaveResult::Kept { seq: None })
            }
            Record::GrantEnded(offer) => {
                served::forget(self.db, *offer)?;
                Ok(SaveResult::Kept { seq: None })
            }
            Record::Offer(offer) => offered::keep(self.db, offer),
            Record::OfferOver(id) => offered::forget(self.db, *id),
            Record::Numbers(number) => {
                let numbers = self.numbers.reserve(number.0);
                write_numbers(self.db, numbers)?;
                *self.numbers = numbers;
                Ok(SaveResult::Kept { seq: None })
            }
            Record::Opened(opened) => self.keep_opening(opened),
            Record::NoticeOver(message) => self.forget_notice(*message),
            Record::Read(read) => self.keep_reading(read),
            Record::Away(away) => {
                envelopes::set_away(self.db, away.as_deref())?;
                Ok(SaveResult::Kept { seq: None })
            }
            Record::Book(change) => {
                people::keep_book(self.db, change)?;
                Ok(SaveResult::Kept { seq: None })
            }
            Record::ClockSet(set) => {
                clock::follow(self.db, *set)?;
                Ok(SaveResult::Kept { seq: None })
            }
            Record::WroteTo(peer) => {
                self.peers.wrote_to(self.db, peer)?;
                Ok(SaveResult::Kept { seq: None })
            }
            Record::Roster(roster) => {
                people::keep_roster(self.db, roster)?;
                Ok(SaveResult::Kept { seq: None })
            }
        }
    }

    fn keep_outcome(&mut self, outcome: &OutcomeRecord) -> rusqlite::Result<SaveResult> {
        let PeerRows { peer, appearance, .. } = self.peers.rows(self.db, &outcome.peer)?;
        // Written to an address, and this is who was there.
        self.peers.note_written(self.db, &outcome.peer)?;
        let number = outcome.number.0.cast_signed();
        let message = self.sent_message(outcome.number, peer, &outcome.peer)?;
        self.db
            .prepare_cached(
                "INSERT INTO outcome (id, message, at, number, appearance, outcome, tries, rtt_ms,
                     hint, waited_ms, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                self.next_seq,
                message,
                outcome.at.0,
                number,
                appearance,
                word(outcome.outcome),
                outcome.tries,
                outcome.rtt_ms,
                outcome.hint.map(word),
                outcome.waited_ms.map(u64::cast_signed),
                outcome.expires.map(|expires| expires.0),
            ])?;
        match (message, outcome.outcome) {
            (Some(message), Outcome::Queued) => outbox::queue(self.db, message)?,
            (Some(message), _) => outbox::close(self.db, message)?,
            (None, _) => {}
        }
        self.announce(outcome.at, "outcome")
    }

    /// The form a message was kept in gives way to the one it goes out in.
    fn keep_rewritten(&mut self, rewritten: &RewrittenRecord) -> rusqlite::Result<SaveResult> {
        let RewrittenRecord { number, peer: view, charset, raw } = rewritten;
        let PeerRows { peer, appearance, .. } = self.peers.rows(self.db, view)?;
        if let Some(message) = self.sent_message(*number, peer, view)? {
            let Verdict { charset, sure } = charset;
            // Written to an address, and this is who was there.
            self.db
                .prepare_cached(
                    "UPDATE message SET charset = ?2, sure = ?3, appearance = ?4 WHERE id = ?1",
                )?
                .execute(params![message, charset.name(), word(sure), appearance])?;
            self.db
                .prepare_cached("REPLACE INTO datagram (message, bytes) VALUES (?1, ?2)")?
                .execute((message, &raw[..]))?;
        }
        Ok(SaveResult::Kept { seq: None })
    }

    fn announce(&mut self, at: UnixMillis, kind: &str) -> rusqlite::Result<SaveResult> {
        self.event.execute((self.next_seq, at.0, kind))?;
        let seq = self.next_seq.cast_unsigned();
        self.next_seq += 1;
        Ok(SaveResult::Kept { seq: Some(seq) })
    }

    /// Forgets what was learnt since a savepoint that is being rolled back.
    pub(super) fn roll_back(&mut self, mark: Mark) {
        (self.next_seq, self.place) = (mark.next_seq, mark.place);
        (*self.numbers, *self.quota) = (mark.numbers, mark.quota);
        self.peers.forget();
    }

    /// Where it stands now.
    pub(super) fn mark(&self) -> Mark {
        let Self { next_seq, place, numbers, quota, .. } = self;
        Mark { next_seq: *next_seq, place: *place, numbers: **numbers, quota: **quota }
    }
}

/// The rows of peers written to or heard lately, so that a burst does not look them up each time.
#[derive(Default, Debug)]
pub(super) struct Peers {
    known: HashMap<PeerId, Known>,
    /// What the rows made since [`Peers::take_made`] take, bytes.
    made: u64,
}

#[derive(Debug)]
struct Known {
    view: PeerView,
    rows: PeerRows,
}

/// A peer's rows, and whether we ever wrote to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerRows {
    pub(super) peer: i64,
    pub(super) appearance: i64,
    written: bool,
}

/// At most this many are held; then all are forgotten and looked up again.
const PEERS_HELD: usize = 1_024;

impl Peers {
    /// The rows of a peer and of how it looks, made if they are not there.
    pub(super) fn rows(&mut self, db: &Connection, view: &PeerView) -> rusqlite::Result<PeerRows> {
        if let Some(known) = self.known.get(&view.id).filter(|known| known.view == *view) {
            return Ok(known.rows);
        }
        let ((peer, written), new_peer) = row_of(
            db,
            "SELECT id, written FROM peer WHERE name = ?1",
            "INSERT INTO peer (name) VALUES (?1) RETURNING id, written",
            (&*view.id.0,),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let json = to_json(view)?;
        let name_bytes = view.id.0.len() as u64;
        let view_bytes = json.len() as u64;
        let (appearance, new_view) = row_of(
            db,
            "SELECT id FROM appearance WHERE peer = ?2 AND view = ?1",
            "INSERT INTO appearance (view, peer) VALUES (?1, ?2) RETURNING id",
            (json, peer),
            |row| row.get(0),
        )?;
        // Both have an index of their text; who is new will be among those seen, too.
        self.made += u64::from(new_peer) * (2 * name_bytes + view_bytes + 2 * quota::ROW_BYTES)
            + u64::from(new_view) * (2 * view_bytes + quota::ROW_BYTES);
        if self.known.len() >= PEERS_HELD {
            self.known.clear();
        }
        let rows = PeerRows { peer, appearance, written };
        self.known.insert(view.id.clone(), Known { view: view.clone(), rows });
        Ok(rows)
    }

    /// What the rows made since the last call take, bytes, by a rough estimate.
    pub(super) fn take_made(&mut self) -> u64 {
        std::mem::take(&mut self.made)
    }

    /// A peer's row, and whether we ever wrote to it, if it is here. Makes nothing.
    pub(super) fn find(
        &self,
        db: &Connection,
        id: &PeerId,
    ) -> rusqlite::Result<Option<(i64, bool)>> {
        if let Some(known) = self.known.get(id) {
            return Ok(Some((known.rows.peer, known.rows.written)));
        }
        db.prepare_cached("SELECT id, written FROM peer WHERE name = ?1")?
            .query_row((&*id.0,), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// We wrote to whoever this is, met at an address that was written to.
    pub(super) fn wrote_to(&mut self, db: &Connection, id: &PeerId) -> rusqlite::Result<()> {
        if let Some(known) = self.known.get_mut(id) {
            known.rows.written = true;
        }
        db.prepare_cached(
            "INSERT INTO peer (name, written) VALUES (?1, 1)
             ON CONFLICT (name) DO UPDATE SET written = 1",
        )?
        .execute((&*id.0,))
        .map(drop)
    }

    /// We wrote to this peer: it is no stranger any more.
    fn note_written(&mut self, db: &Connection, view: &PeerView) -> rusqlite::Result<()> {
        let Some(known) = self.known.get_mut(&view.id).filter(|known| !known.rows.written) else {
            return Ok(());
        };
        known.rows.written = true;
        db.prepare_cached("UPDATE peer SET written = 1 WHERE id = ?1")?
            .execute((known.rows.peer,))?;
        Ok(())
    }

    /// The row of a peer, made if it is not there.
    pub(super) fn row(&self, db: &Connection, id: &PeerId) -> rusqlite::Result<i64> {
        if let Some(known) = self.known.get(id) {
            return Ok(known.rows.peer);
        }
        row_of(
            db,
            "SELECT id FROM peer WHERE name = ?1",
            "INSERT INTO peer (name) VALUES (?1) RETURNING id",
            (&*id.0,),
            |row| row.get(0),
        )
        .map(|(row, _)| row)
    }

    /// Forgets all: a transaction was rolled back, and rows with it.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.made = 0;
    }
}

/// A row, and whether it had to be made.
fn row_of<P: rusqlite::Params + Clone, T>(
    db: &Connection,
    select: &str,
    insert: &str,
    params: P,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<(T, bool)> {
    match db.prepare_cached(select)?.query_row(params.clone(), read).optional()? {
        Some(found) => Ok((found, false)),
        None => Ok((db.prepare_cached(insert)?.query_row(params, read)?, true)),
    }
}

/// The number of the newest event; 0 before the first one.
pub(super) fn last_seq(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT coalesce(max(seq), 0) FROM event")?.query_row((), |row| row.get(0))
}

/// What is stored of our packet numbers.
pub(super) fn read_numbers(db: &Connection) -> rusqlite::Result<Numbers> {
    let value = |key: &str| {
        db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row((key,), |row| row.get::<_, i64>(0))
            .optional()
    };
    Ok(Numbers {
        reserved: value("numbers")?.unwrap_or(0).max(0).cast_unsigned(),
        wrapped: value("numbers_wrapped")?.unwrap_or(0) != 0,
    })
}

/// Stores the block of packet numbers that a run took when it opened the store.
pub(super) fn write_block(db: &Connection, block: Numbers) -> rusqlite::Result<()> {
    write_numbers(db, block.beside(read_numbers(db)?))
}

/// Stores what is known of our packet numbers.
pub(super) fn write_numbers(db: &Connection, numbers: Numbers) -> rusqlite::Result<()> {
    let reserved = numbers.reserved.min(i64::MAX.cast_unsigned()).cast_signed();
    let mut write = db.prepare_cached("REPLACE INTO meta (key, value) VALUES (?1, ?2)")?;
    write.execute(("numbers", reserved))?;
    write.execute(("numbers_wrapped", i64::from(numbers.wrapped)))?;
    Ok(())
}

/// Events after ?1, at most ?2, as [`read_event`] reads them. An event whose message was deleted is
/// left out.
pub(super) const EVENTS: &str = "
    SELECT e.seq, e.at, e.kind, a.view,
        coalesce(m.number, o.number, r.number, k.number) AS number,
        coalesce(m.direction, k.direction) AS direction, m.delivery, m.addr, m.epoch, m.options,
        m.text, m.charset, m.sure, m.cut, m.files, m.recipients, m.extras,
        coalesce(o.outcome, k.outcome) AS outcome, o.tries, o.rtt_ms, o.hint, o.waited_ms,
        o.expires, r.discarded, w.at AS opened, t.event
    FROM event AS e
    LEFT JOIN message AS m ON e.kind = 'message' AND m.id = e.seq
    LEFT JOIN outcome AS o ON e.kind = 'outcome' AND o.id = e.seq
    LEFT JOIN reading AS r ON e.kind = 'reading' AND r.id = e.seq
    LEFT JOIN knock AS k ON e.kind = 'knock' AND k.id = e.seq
    LEFT JOIN opening AS w ON w.message = m.id
    LEFT JOIN told AS t ON e.kind = 'told' AND t.id = e.seq
    LEFT JOIN appearance AS a
        ON a.id = coalesce(m.appearance, o.appearance, r.appearance, k.appearance)
    WHERE e.seq > ?1 AND coalesce(m.id, o.id, r.id, k.id, t.id) IS NOT NULL
    ORDER BY e.seq LIMIT ?2";

/// A row of [`EVENTS`], or a notice that it cannot be read.
pub(super) fn read_event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    match read_whole_event(row) {
        Err(error) if is_the_rows_own(&error) => {
            let seq = row.get::<_, i64>("seq")?.cast_unsigned();
            let text = format!("event {seq} cannot be read: {}", in_words(&error));
            let event = Event::Notice { code: NoticeCode::Damaged, text };
            Ok(StoredEvent { seq, at: UnixMillis(row.get("at").unwrap_or_default()), event })
        }
        read => read,
    }
}

fn read_whole_event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let at = UnixMillis(row.get("at")?);
    let number = || row.get::<_, i64>("number").map(|number| PacketNo(number.cast_unsigned()));
    let event = match row.get_ref("kind")?.as_str()? {
        "told" => serde_json::from_str(row.get_ref("event")?.as_str()?)
            .map_err(|error| unreadable(row, "event", error))?,
        "message" => match row.get::<_, Option<i64>>("opened")? {
            Some(_) => Event::Message(Box::new(read_message(row, at, number()?)?.opened())),
            None => read_message(row, at, number()?)?.event(),
        },
        "reading" => {
            let peer = read_view(row)?;
            let peer = peer.ok_or_else(|| unreadable(row, "view", "a reading without its peer"))?;
            let discarded = row.get("discarded")?;
            ReadRecord { at, number: number()?, peer, discarded }.event()
        }
        "knock" => read_knock(row, at, number()?)?.event(),
        _ => read_outcome(row, at, number()?)?.event(),
    };
    Ok(StoredEvent { seq: row.get::<_, i64>("seq")?.cast_unsigned(), at, event })
}

/// All of a message but its bytes.
pub(super) fn read_message(
    row: &Row<'_>,
    at: UnixMillis,
    number: PacketNo,
) -> rusqlite::Result<MessageRecord> {
    Ok(MessageRecord {
        direction: read_word(row, "direction")?,
        delivery: read_word(row, "delivery")?,
        at,
        peer: read_view(row)?.map(Arc::new),
        addr: row.get::<_, Option<String>>("addr")?.and_then(|addr| addr.parse().ok()),
        epoch: row.get("epoch")?,
        number,
        options: Options::from_bits_retain(row.get("options")?),
        text: row.get("text")?,
        charset: Verdict {
            charset: Charset::from_str(row.get_ref("charset")?.as_str()?)
                .map_err(|error| unreadable(row, "charset", error))?,
            sure: read_word(row, "sure")?,
        },
        cut: row.get("cut")?,
        files: usize::try_from(row.get::<_, i64>("files")?).unwrap_or(usize::MAX),
        raw: [].into(),
        recipients: read_recipients(row)?,
        open: None,
        extras: row
            .get_ref("extras")?
            .as_str_or_null()?
            .map(|json| serde_json::from_str(json).map_err(|e| unreadable(row, "extras", e)))
            .transpose()?,
    })
}

fn read_knock(row: &Row<'_>, at: UnixMillis, number: PacketNo) -> rusqlite::Result<KnockRecord> {
    let outcome = match row.get_ref("outcome")? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(read_word(row, "outcome")?),
    };
    Ok(KnockRecord {
        at,
        number,
        peer: read_view(row)?.ok_or_else(|| unreadable(row, "view", "a knock without its peer"))?,
        direction: read_word(row, "direction")?,
        outcome,
    })
}

fn read_outcome(
    row: &Row<'_>,
    at: UnixMillis,
    number: PacketNo,
) -> rusqlite::Result<OutcomeRecord> {
    let hint = match row.get_ref("hint")? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(read_word(row, "hint")?),
    };
    Ok(OutcomeRecord {
        at,
        number,
        peer: read_view(row)?
            .ok_or_else(|| unreadable(row, "view", "an outcome without its peer"))?,
        outcome: read_word(row, "outcome")?,
        tries: row.get("tries")?,
        rtt_ms: row.get("rtt_ms")?,
        hint,
        waited_ms: row.get::<_, Option<i64>>("waited_ms")?.map(i64::cast_unsigned),
        expires: row.get::<_, Option<i64>>("expires")?.map(UnixMillis),
    })
}

pub(super) fn read_view(row: &Row<'_>) -> rusqlite::Result<Option<PeerView>> {
    match row.get_ref("view")? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => read_json(row, "view").map(Some),
    }
}

/// One of our types in a column of JSON.
pub(super) fn read_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?)
        .map_err(|error| unreadable(row, column, error))
}

/// One of our types for a column of JSON.
pub(super) fn to_json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn read_recipients(row: &Row<'_>) -> rusqlite::Result<Recipients> {
    match row.get_ref("recipients")? {
        rusqlite::types::ValueRef::Null => Ok(Recipients::default()),
        _ => read_json(row, "recipients"),
    }
}

/// A variant without fields by its name in machine output: `not_confirmed`.
pub(super) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

pub(super) fn read_word<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let word = row.get_ref(column)?.as_str()?;
    T::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(word))
        .map_err(|error| unreadable(row, column, error))
}

/// What is stored in this column is no JSON of this program.
pub(super) fn unreadable_json(index: usize, error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into())
}

pub(super) fn unreadable(
    row: &Row<'_>,
    column: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    let index = row.as_ref().column_index(column).unwrap_or(usize::MAX);
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into())
}

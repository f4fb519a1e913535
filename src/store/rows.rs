//! Records to rows and back.

use std::collections::HashMap;
use std::str::FromStr;

use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::numbers::Numbers;
use super::offered;
use super::outbox;
use super::pictures::{self, Staging};
use super::reader::StoredEvent;
use super::served;
use crate::node::{
    Charset, Event, MessageRecord, Options, Outcome, OutcomeRecord, PacketNo, PeerId, PeerView,
    Recipients, Record, SaveResult, UnixMillis, Verdict,
};

/// Writes the records of one transaction.
pub(super) struct Rows<'c> {
    db: &'c Connection,
    peers: &'c mut Peers,
    numbers: &'c mut Numbers,
    staging: &'c Staging,
    message: CachedStatement<'c>,
    datagram: CachedStatement<'c>,
    event: CachedStatement<'c>,
    /// The number of the next event. Allotted here, inside the transaction: one that fails uses
    /// none.
    next_seq: i64,
}

impl<'c> Rows<'c> {
    /// Inside a transaction that is already open.
    pub(super) fn new(
        db: &'c Connection,
        peers: &'c mut Peers,
        numbers: &'c mut Numbers,
        staging: &'c Staging,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            message: db.prepare_cached(
                "INSERT INTO message (id, direction, delivery, at, peer, appearance, addr, epoch,
                     number, options, text, charset, sure, cut, files, recipients)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
                 ON CONFLICT (number, peer, epoch) WHERE direction = 'in' DO NOTHING",
            )?,
            datagram: db.prepare_cached("INSERT INTO datagram (message, bytes) VALUES (?1, ?2)")?,
            event: db.prepare_cached("INSERT INTO event (seq, at, kind) VALUES (?1, ?2, ?3)")?,
            next_seq: last_seq(db)? + 1,
            db,
            peers,
            numbers,
            staging,
        })
    }

    /// Writes one record. After an error its rows are to be rolled back, and so is
    /// [`Rows::next_seq`].
    pub(super) fn keep(&mut self, record: &Record) -> rusqlite::Result<SaveResult> {
        match record {
            Record::Message(message) => self.keep_message(message),
            Record::Outcome(outcome) => self.keep_outcome(outcome),
            Record::Told(told) => self.keep_told(told.at, &told.event),
            Record::Picture(picture) => {
                pictures::keep(self.db, self.staging, self.next_seq, picture)?;
                self.keep_told(picture.at, &picture.event())
            }
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
        }
    }

    fn keep_message(&mut self, message: &MessageRecord) -> rusqlite::Result<SaveResult> {
        let (peer, appearance) = match &message.peer {
            Some(view) => {
                self.peers.rows(self.db, view).map(|rows| (Some(rows.0), Some(rows.1)))?
            }
            None => (None, None),
        };
        let kept = self.message.execute(params![
            self.next_seq,
            word(message.direction),
            word(message.delivery),
            message.at.0,
            peer,
            appearance,
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
        ])?;
        if kept == 0 {
            return Ok(SaveResult::Repeat);
        }
        self.datagram.execute((self.next_seq, &message.raw[..]))?;
        if let Some(open) = message.open {
            outbox::open(self.db, self.next_seq, open)?;
        }
        self.announce(message.at, "message")
    }

    fn keep_outcome(&mut self, outcome: &OutcomeRecord) -> rusqlite::Result<SaveResult> {
        let (peer, appearance) = self.peers.rows(self.db, &outcome.peer)?;
        let number = outcome.number.0.cast_signed();
        let mut message = self
            .db
            .prepare_cached(
                "SELECT max(id) FROM message WHERE direction = 'out' AND number = ?1 AND peer = ?2",
            )?
            .query_row((number, peer), |row| row.get::<_, Option<i64>>(0))?;
        if message.is_none() {
            // Written to an address, answered by the peer that turned out to be there.
            let addr = std::net::SocketAddr::new(outcome.peer.addr, outcome.peer.port);
            message = self
                .db
                .prepare_cached(
                    "SELECT max(id) FROM message
                     WHERE direction = 'out' AND number = ?1 AND addr = ?2",
                )?
                .query_row((number, addr.to_string()), |row| row.get(0))?;
        }
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

    fn keep_told(&mut self, at: UnixMillis, event: &Event) -> rusqlite::Result<SaveResult> {
        let json = serde_json::to_string(event)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        self.db
            .prepare_cached("INSERT INTO told (id, event) VALUES (?1, ?2)")?
            .execute((self.next_seq, json))?;
        self.announce(at, "told")
    }

    fn announce(&mut self, at: UnixMillis, kind: &str) -> rusqlite::Result<SaveResult> {
        self.event.execute((self.next_seq, at.0, kind))?;
        let seq = self.next_seq.cast_unsigned();
        self.next_seq += 1;
        Ok(SaveResult::Kept { seq: Some(seq) })
    }

    /// Forgets what was learnt since a savepoint that is being rolled back.
    pub(super) fn roll_back(&mut self, next_seq: i64, numbers: Numbers) {
        self.next_seq = next_seq;
        *self.numbers = numbers;
        self.peers.forget();
    }

    /// For [`Rows::roll_back`].
    pub(super) fn mark(&self) -> (i64, Numbers) {
        (self.next_seq, *self.numbers)
    }
}

/// The rows of peers written to or heard lately, so that a burst does not look them up each time.
#[derive(Default, Debug)]
pub(super) struct Peers {
    known: HashMap<PeerId, Known>,
}

#[derive(Debug)]
struct Known {
    view: PeerView,
    rows: (i64, i64),
}

/// At most this many are held; then all are forgotten and looked up again.
const PEERS_HELD: usize = 1_024;

impl Peers {
    /// The rows of a peer and of how it looks, made if they are not there.
    fn rows(&mut self, db: &Connection, view: &PeerView) -> rusqlite::Result<(i64, i64)> {
        if let Some(known) = self.known.get(&view.id).filter(|known| known.view == *view) {
            return Ok(known.rows);
        }
        let peer = row_of(
            db,
            "SELECT id FROM peer WHERE name = ?1",
            "INSERT INTO peer (name) VALUES (?1) RETURNING id",
            (&*view.id.0,),
        )?;
        let json = serde_json::to_string(view)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let appearance = row_of(
            db,
            "SELECT id FROM appearance WHERE peer = ?2 AND view = ?1",
            "INSERT INTO appearance (view, peer) VALUES (?1, ?2) RETURNING id",
            (json, peer),
        )?;
        if self.known.len() >= PEERS_HELD {
            self.forget();
        }
        let rows = (peer, appearance);
        self.known.insert(view.id.clone(), Known { view: view.clone(), rows });
        Ok(rows)
    }

    /// Forgets all: a transaction was rolled back, and rows with it.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }
}

fn row_of<P: rusqlite::Params + Clone>(
    db: &Connection,
    select: &str,
    insert: &str,
    params: P,
) -> rusqlite::Result<i64> {
    let found =
        db.prepare_cached(select)?.query_row(params.clone(), |row| row.get(0)).optional()?;
    match found {
        Some(id) => Ok(id),
        None => db.prepare_cached(insert)?.query_row(params, |row| row.get(0)),
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
    SELECT e.seq, e.at, e.kind, a.view, coalesce(m.number, o.number) AS number,
        m.direction, m.delivery, m.addr, m.epoch, m.options, m.text, m.charset, m.sure, m.cut,
        m.files, m.recipients, o.outcome, o.tries, o.rtt_ms, o.hint, o.waited_ms, o.expires,
        t.event
    FROM event AS e
    LEFT JOIN message AS m ON e.kind = 'message' AND m.id = e.seq
    LEFT JOIN outcome AS o ON e.kind = 'outcome' AND o.id = e.seq
    LEFT JOIN told AS t ON e.kind = 'told' AND t.id = e.seq
    LEFT JOIN appearance AS a ON a.id = coalesce(m.appearance, o.appearance)
    WHERE e.seq > ?1 AND coalesce(m.id, o.id, t.id) IS NOT NULL
    ORDER BY e.seq LIMIT ?2";

/// A row of [`EVENTS`].
pub(super) fn read_event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let at = UnixMillis(row.get("at")?);
    let number = || row.get::<_, i64>("number").map(|number| PacketNo(number.cast_unsigned()));
    let event = match row.get_ref("kind")?.as_str()? {
        "message" => read_message(row, at, number()?)?.event(),
        "told" => serde_json::from_str(row.get_ref("event")?.as_str()?)
            .map_err(|error| unreadable(row, "event", error))?,
        _ => read_outcome(row, at, number()?)?.event(),
    };
    Ok(StoredEvent { seq: row.get::<_, i64>("seq")?.cast_unsigned(), at, event })
}

/// All of a message but its bytes.
fn read_message(
    row: &Row<'_>,
    at: UnixMillis,
    number: PacketNo,
) -> rusqlite::Result<MessageRecord> {
    Ok(MessageRecord {
        direction: read_word(row, "direction")?,
        delivery: read_word(row, "delivery")?,
        at,
        peer: read_view(row)?,
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
    row.get_ref("view")?
        .as_str_or_null()?
        .map(|json| serde_json::from_str(json).map_err(|error| unreadable(row, "view", error)))
        .transpose()
}

/// Who else got a message, as JSON; none where nobody is named.
fn recipients(message: &MessageRecord) -> rusqlite::Result<Option<String>> {
    if message.recipients == Recipients::default() {
        return Ok(None);
    }
    serde_json::to_string(&message.recipients)
        .map(Some)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn read_recipients(row: &Row<'_>) -> rusqlite::Result<Recipients> {
    row.get_ref("recipients")?
        .as_str_or_null()?
        .map_or(Ok(Recipients::default()), serde_json::from_str)
        .map_err(|error| unreadable(row, "recipients", error))
}

/// A variant without fields by its name in machine output: `not_confirmed`.
fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn read_word<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
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

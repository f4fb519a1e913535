//! Changing the history beside the process that owns the store: marks, imports, other charsets.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Fate, ReadAt, UNREAD, index};
use crate::node::{Charset, Direction, MessageRecord, Outcome, PacketNo, Sure, UnixMillis};
use crate::store::rows::messages::{INSERT_DATAGRAM, INSERT_MESSAGE, insert_message};
use crate::store::rows::{PeerRows, Peers, word};
use crate::store::{Paths, StoreError, connect, schema};

/// A second connection that writes. It takes no place in the event stream and no packet number, so
/// the owner of the store never misses one; the file's own lock makes the two take turns.
#[derive(Debug)]
pub struct Pen {
    db: Connection,
    path: PathBuf,
    peers: Peers,
}

/// A message from elsewhere.
#[derive(Clone, PartialEq, Debug)]
pub struct Arrival {
    /// The message. Its bytes may be empty where they are not known.
    pub message: MessageRecord,
    /// Its number is its sender's. Otherwise it is made up here, and what tells the message from
    /// others is its time, its text and the other side.
    pub numbered: bool,
    /// What became of a sent one.
    pub fate: Option<Fate>,
    /// When the recipient of a sealed one read it.
    pub read: Option<ReadAt>,
}

/// What became of an [`Arrival`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Import {
    /// It is in the history from now on.
    Taken,
    /// It was there.
    Known,
}

/// A message whose bytes are read in another charset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reread {
    /// The message.
    pub id: i64,
    /// Its text as it reads then.
    pub text: String,
    /// That text was longer than we keep.
    pub cut: bool,
}

/// Ids of imported messages with the time of one millisecond, at most.
const SAME_MILLI: i64 = 4_096;

impl Pen {
    /// Opens the store of a profile beside whoever else has it open, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// As [`Store::open`](crate::store::Store::open); and [`StoreError::Database`] where its owner
    /// had to lock it for itself.
    pub fn open(paths: &Paths, now: UnixMillis) -> Result<Self, StoreError> {
        let path = paths.db.clone();
        let (mut db, _notes) = connect::for_writing(&path, now, connect::Opener::Guest)?;
        schema::migrate(&mut db, &path)?;
        Ok(Self { db, path, peers: Peers::default() })
    }

    /// Somebody has seen these messages. Not synced: after a power failure some may be unread again.
    pub fn mark_shown(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        self.write("normal", |db, _| {
            let mut mark = db.prepare_cached(
                "INSERT OR IGNORE INTO shown (message)
                 SELECT id FROM message
                 WHERE id = ?1 AND id > (SELECT value FROM meta WHERE key = 'shown')",
            )?;
            for id in ids {
                mark.execute((id,))?;
            }
            // Up to the oldest that nobody has seen, one number says it all.
            let unread = format!("SELECT id FROM message AS m WHERE {UNREAD} ORDER BY id LIMIT 1");
            let oldest: Option<i64> = db.query_row(&unread, (), |row| row.get(0)).optional()?;
            let newest = "SELECT coalesce(max(id), 0) FROM message";
            let upto = match oldest {
                Some(oldest) => oldest - 1,
                None => db.query_row(newest, (), |row| row.get::<_, i64>(0))?.max(0),
            };
            db.execute("UPDATE meta SET value = ?1 WHERE key = 'shown'", (upto,))?;
            db.execute("DELETE FROM shown WHERE message <= ?1", (upto,))?;
            Ok(())
        })
    }

    /// Takes messages from elsewhere into the history, in one transaction; what is there already
    /// stays as it is. They are no events: no listener hears of them, and nobody need read them.
    pub fn import(&mut self, arrivals: &[Arrival]) -> Result<Vec<Import>, StoreError> {
        let done = self.write("full", |db, peers| {
            arrivals.iter().map(|arrival| take(db, peers, arrival)).collect()
        });
        if done.is_err() {
            self.peers.forget();
        }
        done
    }

    /// Writes down how messages read in another charset. Their bytes stay.
    pub fn reread(&mut self, charset: Charset, texts: &[Reread]) -> Result<(), StoreError> {
        self.write("full", |db, _| {
            let indexed = index::indexed(db)?;
            let mut update = db.prepare_cached(
                "UPDATE message SET text = ?2, cut = ?3, charset = ?4, sure = ?5 WHERE id = ?1",
            )?;
            for Reread { id, text, cut } in texts {
                let sure = word(Sure::Pinned);
                let changed = update.execute(params![id, text, cut, charset.name(), sure])?;
                if changed > 0 && *id <= indexed {
                    index::put(db, *id, text)?;
                }
            }
            Ok(())
        })
    }

    fn write<T>(
        &mut self,
        synchronous: &str,
        write: impl FnOnce(&Transaction<'_>, &mut Peers) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let all = || -> rusqlite::Result<T> {
            self.db.pragma_update(None, "synchronous", synchronous)?;
            let all = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = write(&all, &mut self.peers)?;
            all.commit()?;
            Ok(done)
        };
        all().map_err(StoreError::database("write", &self.path))
    }
}

fn take(db: &Transaction<'_>, peers: &mut Peers, arrival: &Arrival) -> rusqlite::Result<Import> {
    let message = &arrival.message;
    let rows = match &message.peer {
        Some(view) => Some(peers.rows(db, view)?),
        None => None,
    };
    let peer = rows.map(|rows| rows.peer);
    if is_known(db, peer, arrival)? {
        return Ok(Import::Known);
    }
    let id = free_id(db, message.at)?;
    if arrival.numbered {
        if insert_message(&mut db.prepare_cached(INSERT_MESSAGE)?, id, rows, message, None)? == 0 {
            return Ok(Import::Known);
        }
    } else {
        insert_unnumbered(db, id, rows, message)?;
    }
    if !message.raw.is_empty() {
        db.prepare_cached(INSERT_DATAGRAM)?.execute((id, &message.raw[..]))?;
    }
    if message.is_envelope() {
        // A closed one is not imported: its text is not known.
        db.prepare_cached("INSERT INTO opening (message, at) VALUES (?1, ?2)")?
            .execute((id, message.at.0))?;
    }
    if let Some(PeerRows { appearance, .. }) = rows {
        keep_fate(db, id, appearance, arrival)?;
    }
    index::put(db, id, &message.text)?;
    Ok(Import::Taken)
}

/// Whether this message is in the history, as far as the row itself does not tell.
fn is_known(db: &Connection, peer: Option<i64>, arrival: &Arrival) -> rusqlite::Result<bool> {
    let message = &arrival.message;
    let direction = word(message.direction);
    if !arrival.numbered {
        return db
            .prepare_cached(
                // In two parts: each says which index it needs.
                "SELECT 1 FROM message WHERE place = ?1
                     AND at = ?1 AND peer IS ?2 AND direction = ?3 AND text = ?4
                 UNION ALL
                 SELECT 1 FROM message WHERE raised IS NOT NULL
                     AND at = ?1 AND peer IS ?2 AND direction = ?3 AND text = ?4",
            )?
            .exists((message.at.0, peer, direction, &message.text));
    }
    if message.direction == Direction::In {
        return Ok(false);
    }
    let number = message.number.0.cast_signed();
    db.prepare_cached(
        "SELECT 1 FROM message
         WHERE direction = 'out' AND number = ?1 AND peer IS ?2 AND at = ?3",
    )?
    .exists((number, peer, message.at.0))
}

/// A number as its program would have given it, from the clock; where there is one like it, in an
/// epoch of its own.
fn insert_unnumbered(
    db: &Connection,
    id: i64,
    rows: Option<PeerRows>,
    message: &MessageRecord,
) -> rusqlite::Result<()> {
    let seconds = u64::try_from(message.at.0 / 1_000).unwrap_or(0);
    let mut message = MessageRecord { number: PacketNo(seconds), epoch: 0, ..message.clone() };
    let mut insert = db.prepare_cached(INSERT_MESSAGE)?;
    while insert_message(&mut insert, id, rows, &message, None)? == 0 {
        message.epoch += 1;
    }
    Ok(())
}

/// Ids below 0 that rise with time, so that imported messages are found newest first as others are.
fn free_id(db: &Connection, at: UnixMillis) -> rusqlite::Result<i64> {
    let mut taken = db.prepare_cached("SELECT max(id) FROM message WHERE id >= ?1 AND id < ?2")?;
    let mut milli = at.0.clamp(0, i64::MAX / SAME_MILLI - SAME_MILLI);
    loop {
        let first = i64::MIN + milli * SAME_MILLI;
        let last: Option<i64> = taken.query_row((first, first + SAME_MILLI), |row| row.get(0))?;
        match last {
            None => return Ok(first),
            Some(last) if last + 1 < first + SAME_MILLI => return Ok(last + 1),
            Some(_) => milli += 1,
        }
    }
}

fn keep_fate(db: &Connection, id: i64, appearance: i64, arrival: &Arrival) -> rusqlite::Result<()> {
    let number = arrival.message.number.0.cast_signed();
    // What waited elsewhere does not wait here.
    if let Some(fate) = arrival.fate.filter(|fate| fate.outcome != Outcome::Queued) {
        db.prepare_cached(
            "INSERT INTO outcome (id, message, at, number, appearance, outcome, tries, rtt_ms, hint,
                 waited_ms)
             VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            id,
            fate.at.0,
            number,
            appearance,
            word(fate.outcome),
            fate.tries,
            fate.rtt_ms,
            fate.hint.map(word),
            fate.waited_ms.map(u64::cast_signed),
        ])?;
    }
    if let Some(read) = arrival.read {
        db.prepare_cached(
            "INSERT INTO reading (id, message, at, number, appearance, discarded)
             VALUES (?1, ?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![id, read.at.0, number, appearance, read.discarded])?;
    }
    Ok(())
}

//! Filling the index of texts, behind the messages.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::grams;
use crate::node::as_read;

/// Messages of one transaction; 20 ms of work at most, which a message that comes meanwhile waits.
const CHUNK: i64 = 512;

/// Puts some of the messages that the index lacks into it, oldest first. Whether more are left.
///
/// Not synced: if a power failure takes it back it is done again.
pub(in crate::store) fn index_some(db: &mut Connection) -> rusqlite::Result<bool> {
    db.pragma_update(None, "synchronous", "normal")?;
    let more = fill(db);
    // A receipt's promise again. Fails only inside a transaction, and here is none.
    db.pragma_update(None, "synchronous", "full")?;
    more
}

fn fill(db: &mut Connection) -> rusqlite::Result<bool> {
    let chunk = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut upto = indexed(&chunk)?;
    let mut count = 0;
    {
        let mut texts = chunk
            .prepare_cached("SELECT id, text FROM message WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let mut rows = texts.query((upto, CHUNK))?;
        while let Some(row) = rows.next()? {
            upto = row.get(0)?;
            put(&chunk, upto, row.get_ref(1)?.as_str()?)?;
            count += 1;
        }
    }
    if count == 0 {
        return Ok(false);
    }
    chunk.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'indexed'")?.execute((upto,))?;
    chunk.commit()?;
    Ok(count == CHUNK)
}

/// Puts one text into the index, in place of what it may hold for this message.
pub(super) fn put(db: &Connection, message: i64, text: &str) -> rusqlite::Result<()> {
    let grams = grams::grams(&searched(db, message, text)?);
    db.prepare_cached("INSERT OR REPLACE INTO grams (rowid, text) VALUES (?1, ?2)")?
        .execute((message, grams))
        .map(drop)
}

/// What a text is found by, folded: itself, and what its reader sees of it where that differs.
pub(super) fn searched(db: &Connection, message: i64, text: &str) -> rusqlite::Result<String> {
    /// No phrase reaches over it.
    const BETWEEN: char = '\u{e000}';
    let mut folded = grams::fold(text);
    // All that is shown as something else begins with it.
    if !text.contains('/') {
        return Ok(folded);
    }
    let written: Option<(Option<String>, bool)> = db
        .prepare_cached(
            "SELECT json_extract(a.view, '$.dialect'), m.delivery <> 'direct' FROM message AS m
             JOIN appearance AS a ON a.id = m.appearance WHERE m.id = ?1 AND m.direction = 'in'",
        )?
        .query_row((message,), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (writer, to_many) = written.unwrap_or_default();
    if let Cow::Owned(shown) = as_read(text, writer.as_deref(), to_many) {
        folded.push(BETWEEN);
        folded.push_str(&grams::fold(&shown));
    }
    Ok(folded)
}

/// The newest message of the event stream up to which all are in the index.
pub(super) fn indexed(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT value FROM meta WHERE key = 'indexed'")?
        .query_row((), |row| row.get(0))
}

//! What others offer to us, over a restart.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension};

use crate::node::{OfferId, OfferRecord, SaveResult};

/// The key of the highest number an offer ever had.
const LAST: &str = "last_offer";

/// Keeps how an offer stands, in the place of what was kept of it.
pub(super) fn keep(db: &Connection, offer: &OfferRecord) -> rusqlite::Result<SaveResult> {
    let json = serde_json::to_string(offer)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let id = offer.view.offer;
    db.prepare_cached("REPLACE INTO offered (id, offer) VALUES (?1, ?2)")?.execute((id.0, json))?;
    note_last(db, id)?;
    Ok(SaveResult::Kept { seq: None })
}

/// Forgets an offer.
pub(super) fn forget(db: &Connection, id: OfferId) -> rusqlite::Result<SaveResult> {
    db.prepare_cached("DELETE FROM offered WHERE id = ?1")?.execute((id.0,))?;
    Ok(SaveResult::Kept { seq: None })
}

/// The offers that are open, by their numbers.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<OfferRecord>> {
    db.prepare_cached("SELECT offer FROM offered ORDER BY id")?
        .query_map((), |row| {
            serde_json::from_str(row.get_ref(0)?.as_str()?).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into())
            })
        })?
        .collect()
}

/// Remembers that this number was given to an offer, to us or by us: none is used twice.
pub(super) fn note_last(db: &Connection, id: OfferId) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
    )?
    .execute((LAST, id.0))?;
    Ok(())
}

/// The highest number an offer ever had.
pub(super) fn last(db: &Connection) -> rusqlite::Result<OfferId> {
    let last = db
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row((LAST,), |row| row.get(0))
        .optional()?;
    Ok(OfferId(last.unwrap_or(0)))
}

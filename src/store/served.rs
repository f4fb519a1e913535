//! Files of ours on offer, as they survive a restart: one row for each recipient of each message.

use rusqlite::{Connection, params};

use super::rows::unreadable_json;
use crate::node::{GrantRecord, OfferId};

/// Writes an offer, in the place of what was written of it before.
pub(super) fn keep(db: &Connection, grant: &GrantRecord) -> rusqlite::Result<()> {
    let json = serde_json::to_string(grant)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    db.prepare_cached("REPLACE INTO served (offer, grant) VALUES (?1, ?2)")?
        .execute(params![grant.offer.0, json])?;
    super::offered::note_last(db, grant.offer)
}

/// Forgets an offer.
pub(super) fn forget(db: &Connection, offer: OfferId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM served WHERE offer = ?1")?.execute((offer.0,))?;
    Ok(())
}

/// Every offer, the oldest first.
pub(super) fn read(db: &Connection) -> rusqlite::Result<Vec<GrantRecord>> {
    db.prepare_cached("SELECT grant, moved FROM served ORDER BY offer")?
        .query_map((), |row| {
            let mut grant: GrantRecord = serde_json::from_str(row.get_ref(0)?.as_str()?)
                .map_err(|error| unreadable_json(0, error))?;
            let moved: i64 = row.get(1)?;
            for at in [&mut grant.made_at, &mut grant.ends_at] {
                at.0 = at.0.saturating_add(moved);
            }
            Ok(grant)
        })?
        .collect()
}

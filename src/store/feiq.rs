//! Rows of what comes from FeiQ offices: knocks, charsets of peers, groups.

use rusqlite::{Connection, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rows::{Peers, unreadable};
use crate::node::{CharsetRecord, GroupView, KnockRecord, PeerId, UnixMillis};

/// Writes a knock as the event `seq`.
pub(super) fn keep_knock(
    db: &Connection,
    peers: &mut Peers,
    seq: i64,
    knock: &KnockRecord,
    words: (String, Option<String>),
) -> rusqlite::Result<()> {
    let appearance = peers.rows(db, &knock.peer)?.appearance;
    let (direction, outcome) = words;
    db.prepare_cached(
        "INSERT INTO knock (id, at, number, appearance, direction, outcome)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        seq,
        knock.at.0,
        knock.number.0.cast_signed(),
        appearance,
        direction,
        outcome
    ])?;
    Ok(())
}

/// Writes what is known of a peer's charset, in place of what was.
pub(super) fn keep_charsets(
    db: &Connection,
    peers: &mut Peers,
    record: &CharsetRecord,
) -> rusqlite::Result<()> {
    let peer = peers.row(db, &record.peer)?;
    db.prepare_cached("REPLACE INTO charset (peer, names, text) VALUES (?1, ?2, ?3)")?
        .execute((peer, json(&record.names)?, json(&record.text)?))?;
    Ok(())
}

/// What is known of peers' charsets.
pub(super) fn charsets(db: &Connection) -> rusqlite::Result<Vec<CharsetRecord>> {
    db.prepare_cached(
        "SELECT peer.name AS name, charset.names AS names, charset.text AS text
         FROM charset JOIN peer ON peer.id = charset.peer",
    )?
    .query_map((), |row| {
        let peer = PeerId(row.get::<_, String>("name")?.into());
        Ok(CharsetRecord { peer, names: read(row, "names")?, text: read(row, "text")? })
    })?
    .collect()
}

/// Groups kept; the longest silent go first.
const GROUPS_MAX: i64 = 1_024;

/// Writes that a group was heard.
pub(super) fn keep_group(db: &Connection, group: &GroupView) -> rusqlite::Result<()> {
    db.prepare_cached("REPLACE INTO feiq_group (id, name, heard) VALUES (?1, ?2, ?3)")?
        .execute((&group.id, &group.name, group.heard.0))?;
    db.prepare_cached(
        "DELETE FROM feiq_group WHERE id IN
             (SELECT id FROM feiq_group ORDER BY heard DESC, id LIMIT -1 OFFSET ?1)",
    )?
    .execute((GROUPS_MAX,))?;
    Ok(())
}

/// The groups heard, the one heard last first.
pub(super) fn groups(db: &Connection) -> rusqlite::Result<Vec<GroupView>> {
    db.prepare_cached("SELECT id, name, heard FROM feiq_group ORDER BY heard DESC, id")?
        .query_map((), |row| {
            Ok(GroupView { id: row.get(0)?, name: row.get(1)?, heard: UnixMillis(row.get(2)?) })
        })?
        .collect()
}

fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn read<T: DeserializeOwned>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?)
        .map_err(|error| unreadable(row, column, error))
}

//! People in the store: own names, blocks, and every peer ever seen, as far as there is room.

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use super::reader::readable;
use super::rows::{read_json, to_json};
use super::{Reader, StoreError, feiq};
use crate::node::{
    Alias, BookRecord, CharsetRecord, PeerId, PeerView, RosterRecord, SeenPeer, Sure, UnixMillis,
};

/// Most peers remembered (threats, caps). Those with messages in the store always stay.
const PEERS_MAX: i64 = 4_096;

/// Writes a change of the address book.
pub(super) fn keep_book(db: &Connection, change: &BookRecord) -> rusqlite::Result<()> {
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        db.prepare_cached(sql)?.execute(params).map(drop)
    };
    match change {
        BookRecord::Named(alias) => run(
            "REPLACE INTO alias (name, target) VALUES (?1, ?2)",
            &[&alias.name, &to_json(&alias.target)?],
        ),
        BookRecord::Unnamed { name } => run("DELETE FROM alias WHERE name = ?1", &[name]),
        BookRecord::Blocked(view) => {
            run("REPLACE INTO block (peer, view) VALUES (?1, ?2)", &[&&*view.id.0, &to_json(view)?])
        }
        BookRecord::Unblocked { peer } => run("DELETE FROM block WHERE peer = ?1", &[&&*peer.0]),
    }
}

/// Writes down who was heard, and forgets those longest silent where there are too many.
pub(super) fn keep_roster(db: &Connection, roster: &RosterRecord) -> rusqlite::Result<()> {
    let mut see = db.prepare_cached(
        "INSERT INTO seen (peer, at, view) VALUES (?1, ?2, ?3)
         ON CONFLICT (peer) DO UPDATE SET at = max(at, excluded.at), view = excluded.view",
    )?;
    for SeenPeer { peer, at } in &roster.seen {
        see.execute((&*peer.id.0, at.0, to_json(peer)?))?;
    }
    let mut forget = db.prepare_cached("DELETE FROM seen WHERE peer = ?1")?;
    for ghost in &roster.ghosts {
        forget.execute((&*ghost.0,))?;
    }
    db.prepare_cached(
        "DELETE FROM seen WHERE peer IN (
             SELECT s.peer FROM seen AS s
             WHERE NOT EXISTS (SELECT 1 FROM peer AS p WHERE p.name = s.peer)
             ORDER BY s.at LIMIT max(0, (SELECT count(*) FROM seen) - ?1))",
    )?
    .execute((PEERS_MAX,))?;
    Ok(())
}

/// Own names, in order.
pub(super) fn aliases(db: &Connection) -> rusqlite::Result<Vec<Alias>> {
    let read =
        |row: &Row<'_>| Ok(Alias { name: row.get("name")?, target: read_json(row, "target")? });
    db.prepare_cached("SELECT name, target FROM alias ORDER BY name")?
        .query_map((), read)?
        .collect()
}

/// Peers we are deaf to, in order.
pub(super) fn blocks(db: &Connection) -> rusqlite::Result<Vec<PeerView>> {
    db.prepare_cached("SELECT view FROM block ORDER BY peer")?
        .query_map((), |row| read_json(row, "view"))?
        .collect()
}

impl Reader {
    /// Every peer that is remembered, the one heard last first. A node that runs writes with a delay
    /// of some seconds. Charsets are as the user fixed them since. One that cannot be read is left
    /// out.
    pub fn seen(&self) -> Result<Vec<SeenPeer>, StoreError> {
        self.read(|db| {
            let mut fixed: HashMap<PeerId, CharsetRecord> =
                feiq::charsets(db)?.into_iter().map(|one| (one.peer.clone(), one)).collect();
            let mut all = db.prepare_cached("SELECT view, at FROM seen ORDER BY at DESC, peer")?;
            readable(all.query_map((), |row| {
                let mut peer: PeerView = read_json(row, "view")?;
                let record = fixed.remove(&peer.id);
                let known = record.and_then(|one| one.text.verdict().or(one.names.verdict()));
                let is_fixed = |sure: Option<Sure>| sure == Some(Sure::Pinned);
                if is_fixed(known.map(|known| known.sure)) || is_fixed(peer.charset_sure) {
                    peer.charset = known.map(|known| known.charset);
                    peer.charset_sure = known.map(|known| known.sure);
                }
                Ok(SeenPeer { peer, at: UnixMillis(row.get("at")?) })
            })?)
        })
    }

    /// Own names and blocks, as a node that runs has them.
    pub fn book(&self) -> Result<(Vec<Alias>, Vec<PeerView>), StoreError> {
        self.read(|db| Ok((aliases(db)?, blocks(db)?)))
    }
}

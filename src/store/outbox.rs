//! What is open: messages of ours whose outcome is not kept yet.

use rusqlite::{Connection, Row, params};

use super::clock::{self, Boot};
use super::reader::readable;
use super::rows::{read_view, unreadable};
use super::{Reader, StoreError};
use crate::node::{
    Open, OpenMemory, Options, PacketNo, PeerView, UnixMillis, Waiting, WaitingState,
};

/// A message of ours is open from now on.
pub(super) fn open(db: &Connection, message: i64, open: Open) -> rusqlite::Result<()> {
    let (expires, utc_offset_s) = match open {
        Open::Run => (None, None),
        Open::Until { expires, utc_offset_s } => (Some(expires.0), utc_offset_s),
    };
    db.prepare_cached("INSERT INTO outbox (message, expires, utc_offset_s) VALUES (?1, ?2, ?3)")?
        .execute(params![message, expires, utc_offset_s])?;
    Ok(())
}

/// It waits for its recipient from now on.
pub(super) fn queue(db: &Connection, message: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE outbox SET queued = TRUE WHERE message = ?1")?.execute((message,))?;
    Ok(())
}

/// It has ended.
pub(super) fn close(db: &Connection, message: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM outbox WHERE message = ?1")?.execute((message,))?;
    Ok(())
}

/// Everything that is open, in the order of writing. What cannot be read stays as it is.
pub(super) fn read(db: &Connection) -> rusqlite::Result<Vec<OpenMemory>> {
    let mut open = db.prepare_cached(
        "SELECT m.number, m.options, m.text, m.at + o.moved AS written, a.view,
             o.expires + o.moved AS expires, o.utc_offset_s, o.queued
         FROM outbox AS o
         JOIN message AS m ON m.id = o.message
         JOIN appearance AS a ON a.id = m.appearance
         ORDER BY o.message",
    )?;
    readable(open.query_map((), read_open)?)
}

fn read_open(row: &Row<'_>) -> rusqlite::Result<OpenMemory> {
    let view = read_view(row)?;
    Ok(OpenMemory {
        number: PacketNo(row.get::<_, i64>("number")?.cast_unsigned()),
        peer: view.ok_or_else(|| unreadable(row, "view", "an open message without its peer"))?,
        options: Options::from_bits_retain(row.get("options")?),
        text: row.get("text")?,
        written: UnixMillis(row.get("written")?),
        queued: row.get("queued")?,
        open: match row.get::<_, Option<i64>>("expires")? {
            None => Open::Run,
            Some(expires) => {
                Open::Until { expires: UnixMillis(expires), utc_offset_s: row.get("utc_offset_s")? }
            }
        },
    })
}

impl Reader {
    /// Messages of ours that have not ended, in the order of writing: what
    /// [`Request::Outbox`](crate::node::Request::Outbox) tells where a node runs. With `boot` also
    /// where the clock was set since one last ran.
    pub fn outbox(&self, boot: Option<&Boot>) -> Result<Vec<Waiting>, StoreError> {
        let set = |db: &Connection| boot.map_or(Ok(None), |boot| clock::set_since(db, boot));
        let set = self.read(set)?;
        let waiting = |open: OpenMemory| {
            let set = set.filter(|set| set.moves(open.written));
            let moved = |at| set.map_or(at, |set| set.moved(at));
            let (expires_at, state) = match open.open {
                Open::Run => (None, WaitingState::Sending),
                Open::Until { expires, .. } => (Some(moved(expires)), WaitingState::Queued),
            };
            Waiting {
                number: open.number,
                peer: open.peer,
                text: open.text,
                written_at: moved(open.written),
                expires_at,
                state,
                tries: 0,
            }
        };
        Ok(self.read(read)?.into_iter().map(waiting).collect())
    }

    /// Peers that messages came from or went to, as they looked when they last did. One that cannot be
    /// read is left out.
    pub fn correspondents(&self) -> Result<Vec<PeerView>, StoreError> {
        self.read(|db| {
            let mut all = db.prepare_cached(
                "SELECT view FROM appearance
                     WHERE id IN (SELECT max(id) FROM appearance GROUP BY peer) ORDER BY id DESC",
            )?;
            let peer =
                |row: &Row<'_>| read_view(row)?.ok_or_else(|| unreadable(row, "view", "no peer"));
            readable(all.query_map((), peer)?)
        })
    }
}

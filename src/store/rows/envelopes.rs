//! Sealed messages in rows: the openings of those we received, the readings of those we sent.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{EVENTS, PeerRows, Rows, read_message};
use crate::node::{
    AUTO_RETURN, OpenedRecord, Options, PacketNo, PeerId, PeerView, ReadRecord, Recalled,
    SaveResult, SealedMemory, UnixMillis, UntoldMemory,
};

/// Most sealed messages of ours that a starting node is told of, the newest.
const SEALED_MAX: i64 = 4_096;
/// Most openings whose senders may not know of them that a starting node is told of, the newest.
const UNTOLD_MAX: i64 = 4_096;

impl Rows<'_> {
    pub(super) fn keep_opening(&mut self, opened: &OpenedRecord) -> rusqlite::Result<SaveResult> {
        let message = i64::try_from(opened.message).unwrap_or(i64::MAX);
        let kept = self
            .db
            .prepare_cached("INSERT OR IGNORE INTO opening (message, at) VALUES (?1, ?2)")?
            .execute((message, opened.at.0))?;
        if kept == 0 {
            return Ok(SaveResult::Repeat);
        }
        if opened.tells {
            self.db
                .prepare_cached("INSERT INTO untold (message) VALUES (?1)")?
                .execute((message,))?;
        }
        Ok(SaveResult::Kept { seq: None })
    }

    pub(super) fn forget_notice(&mut self, message: u64) -> rusqlite::Result<SaveResult> {
        let message = i64::try_from(message).unwrap_or(i64::MAX);
        self.db.prepare_cached("DELETE FROM untold WHERE message = ?1")?.execute((message,))?;
        Ok(SaveResult::Kept { seq: None })
    }

    pub(super) fn keep_reading(&mut self, read: &ReadRecord) -> rusqlite::Result<SaveResult> {
        let PeerRows { peer, appearance, .. } = self.peers.rows(self.db, &read.peer)?;
        let message = self.sent_message(read.number, peer, &read.peer)?;
        let kept = self
            .db
            .prepare_cached(
                "INSERT INTO reading (id, message, at, number, appearance, discarded)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (message) WHERE message IS NOT NULL DO NOTHING",
            )?
            .execute(params![
                self.next_seq,
                message,
                read.at.0,
                read.number.0.cast_signed(),
                appearance,
                read.discarded,
            ])?;
        if kept == 0 {
            return Ok(SaveResult::Repeat);
        }
        self.announce(read.at, "reading")
    }
}

/// The message at this place of the event stream.
pub(in crate::store) fn recall(db: &Connection, seq: u64) -> rusqlite::Result<Recalled> {
    let Some(before) = i64::try_from(seq).ok().and_then(|seq| seq.checked_sub(1)) else {
        return Ok(Recalled::Missing);
    };
    let found = db
        .prepare_cached(EVENTS)?
        .query_row((before, 1), |row| {
            let here = row.get::<_, i64>("seq")? == before + 1;
            if !here || row.get_ref("kind")?.as_str()? != "message" {
                return Ok(Recalled::Missing);
            }
            let at = UnixMillis(row.get("at")?);
            let number = PacketNo(row.get::<_, i64>("number")?.cast_unsigned());
            let message = Box::new(read_message(row, at, number)?);
            Ok(Recalled::Message {
                message,
                opened: row.get::<_, Option<i64>>("opened")?.is_some(),
            })
        })
        .optional()?;
    Ok(found.unwrap_or(Recalled::Missing))
}

/// The sealed messages of ours that nobody opened, oldest first, with every address they may have
/// gone to.
pub(in crate::store) fn sealed(db: &Connection) -> rusqlite::Result<Vec<SealedMemory>> {
    let mut sealed = db
        .prepare_cached(
            "SELECT m.number, a.view, (
                 SELECT b.view FROM outcome AS o JOIN appearance AS b ON b.id = o.appearance
                 WHERE o.message = m.id ORDER BY o.id DESC LIMIT 1)
             FROM message AS m
             JOIN appearance AS a ON a.id = m.appearance
             WHERE m.direction = 'out' AND m.options & 512 <> 0
                 AND NOT EXISTS (SELECT 1 FROM reading AS r WHERE r.message = m.id)
             ORDER BY m.id DESC LIMIT ?1",
        )?
        .query_map((SEALED_MAX,), |row| {
            let number = PacketNo(row.get::<_, i64>(0)?.cast_unsigned());
            let (mut peer, later) = (read_view(row, 1)?, read_view(row, 2)?);
            // Written to one address, confirmed from another: it went to both.
            if let (Some(peer), Some(later)) = (&mut peer, later) {
                let further = later.addrs.into_iter().filter(|addr| !peer.addrs.contains(addr));
                let further: Vec<_> = further.collect();
                peer.addrs.extend(further);
            }
            Ok(peer.map(|peer| SealedMemory { number, peer }))
        })?
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<Vec<_>>>()?;
    sealed.reverse();
    Ok(sealed)
}

/// The openings whose senders may not know of them, oldest first.
pub(in crate::store) fn untold(db: &Connection) -> rusqlite::Result<Vec<UntoldMemory>> {
    let mut untold = db
        .prepare_cached(
            "SELECT u.message, m.number, m.options, w.at + u.moved, a.view FROM untold AS u
             JOIN opening AS w ON w.message = u.message
             JOIN message AS m ON m.id = u.message
             JOIN appearance AS a ON a.id = m.appearance
             ORDER BY w.at DESC, u.message DESC LIMIT ?1",
        )?
        .query_map((UNTOLD_MAX,), |row| {
            let message = row.get::<_, i64>(0)?.cast_unsigned();
            let number = PacketNo(row.get::<_, i64>(1)?.cast_unsigned());
            let options = Options::from_bits_retain(row.get(2)?);
            let opened = UnixMillis(row.get(3)?);
            let peer = read_view(row, 4)?;
            Ok(peer.map(|peer| UntoldMemory { message, number, peer, options, opened }))
        })?
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<Vec<_>>>()?;
    untold.reverse();
    Ok(untold)
}

/// A peer object; none where there is none, or one that cannot be read any more.
fn read_view(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<PeerView>> {
    let json = row.get_ref(index)?.as_str_or_null()?;
    Ok(json.and_then(|json| serde_json::from_str(json).ok()))
}

/// What is replied while the user is away.
pub(in crate::store) fn away(db: &Connection) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT value FROM meta WHERE key = 'away'")?
        .query_row((), |row| row.get(0))
        .optional()
}

/// Who got an automatic reply (`AUTORETOPT`) in this span before `now`, and when.
pub(in crate::store) fn replied(
    db: &Connection,
    now: UnixMillis,
    span: Duration,
) -> rusqlite::Result<Vec<(PeerId, UnixMillis)>> {
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    db.prepare_cached(
        "SELECT p.name, max(m.at) FROM message AS m JOIN peer AS p ON p.id = m.peer
         WHERE m.at > ?1 AND m.at <= ?2 AND m.direction = 'out' AND m.options & ?3 <> 0
         GROUP BY p.id",
    )?
    .query_map((now.0.saturating_sub(span), now.0, AUTO_RETURN.bits()), |row| {
        Ok((PeerId(row.get::<_, String>(0)?.into()), UnixMillis(row.get(1)?)))
    })?
    .collect()
}

/// Keeps what is replied while the user is away; none: the user is here.
pub(in crate::store) fn set_away(db: &Connection, away: Option<&str>) -> rusqlite::Result<()> {
    match away {
        Some(text) => db
            .prepare_cached("REPLACE INTO meta (key, value) VALUES ('away', ?1)")?
            .execute((text,))?,
        None => db.prepare_cached("DELETE FROM meta WHERE key = 'away'")?.execute(())?,
    };
    Ok(())
}

//! What a starting node is told of the runs before it.

use std::time::Duration;

use rusqlite::Connection;

use super::{Store, StoreError, feiq, offered, outbox, people, rows, served};
use crate::node::{EpochMemory, Memory, PacketNo, PeerId, UnixMillis};

impl Store {
    /// Everything a node is to know before its first input, but for [`Store::replied`].
    pub fn memory(&self) -> Result<Memory, StoreError> {
        let db = self.db();
        let read = || -> rusqlite::Result<Memory> {
            Ok(Memory {
                epochs: epochs(db)?,
                aliases: people::aliases(db)?,
                blocks: people::blocks(db)?,
                sealed: rows::envelopes::sealed(db)?,
                untold: rows::envelopes::untold(db)?,
                away: rows::envelopes::away(db)?,
                replied: Vec::new(),
                charsets: feiq::charsets(db)?,
                groups: feiq::groups(db)?,
                offers: offered::all(db)?,
                last_offer: offered::last(db)?,
                grants: served::read(db)?,
                open: outbox::read(db)?,
            })
        };
        read().map_err(StoreError::database("read", self.path()))
    }

    /// Who got an automatic reply in this span before `now`, and when.
    pub fn replied(
        &self,
        now: UnixMillis,
        span: Duration,
    ) -> Result<Vec<(PeerId, UnixMillis)>, StoreError> {
        rows::envelopes::replied(self.db(), now, span)
            .map_err(StoreError::database("read", self.path()))
    }
}

/// For each peer whose packet numbers do not come from the clock (they are below 10^9): its
/// highest epoch, and the highest number of a message in it. With it a node tells after its own
/// restart which messages of a peer that numbers from 1 are new.
pub(super) fn epochs(db: &Connection) -> rusqlite::Result<Vec<EpochMemory>> {
    db.prepare_cached(
        "SELECT peer.name, message.epoch, message.number FROM peer
         JOIN message ON message.id = (
             SELECT id FROM message AS m
             WHERE m.peer = peer.id AND m.direction = 'in' AND m.number BETWEEN 0 AND 999999999
             ORDER BY m.epoch DESC, m.number DESC LIMIT 1)",
    )?
    .query_map((), |row| {
        Ok(EpochMemory {
            peer: PeerId(row.get::<_, String>(0)?.into()),
            epoch: row.get(1)?,
            highest: PacketNo(row.get::<_, i64>(2)?.cast_unsigned()),
        })
    })?
    .collect()
}

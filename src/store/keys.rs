//! Our private keys (threats, rule 34): made on first use, one of each size, in the one file of the
//! profile, which only its user may read. No reader and no export looks into this table.

use rusqlite::Connection;
use zeroize::Zeroizing;

use super::{Store, StoreError};
use crate::node::KeyRecord;

impl Store {
    /// The private keys of ours: PKCS#8, DER.
    pub fn keys(&self) -> Result<Vec<Zeroizing<Vec<u8>>>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Zeroizing<Vec<u8>>>> {
            self.db()
                .prepare_cached("SELECT der FROM key ORDER BY bits")?
                .query_map((), |row| row.get(0).map(Zeroizing::new))?
                .collect()
        };
        read().map_err(StoreError::database("read", self.path()))
    }
}

/// Writes a private key. One that is there stays: others may have it already.
pub(super) fn keep(db: &Connection, key: &KeyRecord) -> rusqlite::Result<()> {
    let bits = i64::try_from(key.size.bits()).unwrap_or(i64::MAX);
    db.prepare_cached("INSERT OR IGNORE INTO key (bits, der) VALUES (?1, ?2)")?
        .execute((bits, key.der.as_bytes()))?;
    Ok(())
}

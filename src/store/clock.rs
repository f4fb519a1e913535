//! The clock by which stored times of day are: whether it was set since somebody last looked.
//!
//! While the system runs, the time of its start by the wall clock is another one only when that clock
//! was set. Over a restart of the system nothing tells, and the wall clock is believed.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{Store, StoreError};
use crate::node::UnixMillis;

/// One run of the system, from its start to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Boot {
    /// Names it.
    pub id: String,
    /// When it began, by the wall clock as it is now.
    pub at: UnixMillis,
}

/// Less than this lies between the readings of two clocks.
const LEAST: Duration = Duration::from_secs(1);

/// What the clock was set by in this run of the system since the store last heard of it, in
/// milliseconds; none if that was in another run.
pub(super) fn set_by(db: &Connection, boot: &Boot) -> rusqlite::Result<Option<i64>> {
    let known = db
        .prepare_cached(
            "SELECT id.value, at.value FROM meta AS id JOIN meta AS at ON at.key = 'booted'
             WHERE id.key = 'boot'",
        )?
        .query_row((), |row| Ok(Boot { id: row.get(0)?, at: UnixMillis(row.get(1)?) }))
        .optional()?;
    let by = |known: Boot| match boot.at.0.saturating_sub(known.at.0) {
        by if Duration::from_millis(by.unsigned_abs()) >= LEAST => by,
        _ => 0,
    };
    Ok(known.filter(|known| known.id == boot.id).map(by))
}

/// The clock was set: what ends at a time of day ends by so much later.
pub(super) fn move_by(db: &Connection, by_ms: i64) -> rusqlite::Result<()> {
    for table in ["outbox", "served", "untold"] {
        db.execute(&format!("UPDATE {table} SET moved = moved + ?1"), (by_ms,))?;
    }
    db.execute("UPDATE meta SET value = value + ?1 WHERE key = 'booted'", (by_ms,)).map(drop)
}

/// From now on times of day are by the clock of this run.
pub(super) fn begin(db: &Connection, boot: &Boot) -> rusqlite::Result<()> {
    db.prepare_cached("REPLACE INTO meta (key, value) VALUES ('boot', ?1), ('booted', ?2)")?
        .execute((&boot.id, boot.at.0))
        .map(drop)
}

impl Store {
    /// Moves what is kept with a time of day to end at, if the clock was set while nobody looked.
    /// Before [`Store::memory`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if that cannot be kept.
    pub fn reckon(&mut self, boot: Boot) -> Result<(), StoreError> {
        let path = self.path().to_owned();
        let failed = || StoreError::database("open", &path);
        match set_by(self.db(), &boot).map_err(failed())? {
            Some(0) => {}
            Some(by) => {
                let moving =
                    self.db_mut().transaction_with_behavior(TransactionBehavior::Immediate);
                let moving = moving.map_err(failed())?;
                move_by(&moving, by).and_then(|()| moving.commit()).map_err(failed())?;
            }
            None => self.note_boot(boot),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{PacketNo, Record, SaveId, SaveResult};
    use crate::store::Paths;

    const DAY: i64 = 86_400_000;

    fn boot(at: i64) -> Boot {
        Boot { id: "a".to_owned(), at: UnixMillis(at) }
    }

    fn keep(store: &mut Store, record: Record) -> bool {
        matches!(store.commit(&[(SaveId(1), record)])[0].1, SaveResult::Kept { .. })
    }

    fn offer(store: &Store, offer: i64) {
        store.db().execute("INSERT INTO served (offer, grant) VALUES (?1, '')", (offer,)).unwrap();
    }

    fn moved(store: &Store) -> Vec<i64> {
        let mut rows = store.db().prepare("SELECT moved FROM served ORDER BY offer").unwrap();
        rows.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn what_is_kept_after_a_step_that_could_not_be_written_down_is_not_moved_by_it() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::all_in(home.path());
        let mut store = Store::open(&paths, UnixMillis(0)).unwrap().store;
        store.reckon(boot(0)).unwrap();
        assert!(keep(&mut store, Record::Away(None)));
        offer(&store, 1);
        store.db().pragma_update(None, "query_only", true).unwrap();
        for by_ms in [9 * DAY, -2 * DAY] {
            assert!(!keep(&mut store, Record::ClockSet { by_ms }));
        }
        store.db().pragma_update(None, "query_only", false).unwrap();
        assert!(keep(&mut store, Record::Away(None)));
        offer(&store, 2);
        assert_eq!(moved(&store), [7 * DAY, 0]);
        assert!(keep(&mut store, Record::Away(None)), "once");
        store.close(PacketNo(0));
        let mut store = Store::open(&paths, UnixMillis(0)).unwrap().store;
        store.reckon(boot(7 * DAY)).unwrap();
        assert_eq!(moved(&store), [7 * DAY, 0]);
    }
}

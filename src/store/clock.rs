//! The clock by which stored times of day are: whether it was set since somebody last looked.
//!
//! While the system runs, the time of its start by the wall clock is another one only when that clock
//! was set. Over a restart of the system nothing tells, and the wall clock is believed.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{Store, StoreError};
use crate::node::{ClockSet, Now, UnixMillis};

/// One run of the system, from its start to its end.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Names it.
    pub id: String,
    /// Its clocks now.
    pub now: Now,
}

/// When the system was started, by the clock of the times of day in here; none if this is another run
/// of it.
fn booted(db: &Connection, boot: &Boot) -> rusqlite::Result<Option<UnixMillis>> {
    db.prepare_cached(
        "SELECT at.value FROM meta AS id JOIN meta AS at ON at.key = 'booted'
         WHERE id.key = 'boot' AND id.value = ?1",
    )?
    .query_row((&boot.id,), |row| row.get(0).map(UnixMillis))
    .optional()
}

/// What became of the clock in this run of the system since the store last heard of it; none: nothing,
/// or nobody knows.
pub(super) fn set_since(db: &Connection, boot: &Boot) -> rusqlite::Result<Option<ClockSet>> {
    Ok(booted(db, boot)?.and_then(|booted| ClockSet::since(booted, boot.now)))
}

/// The clock was set: what was noted by it moves along.
pub(super) fn follow(db: &Connection, set: ClockSet) -> rusqlite::Result<()> {
    let ClockSet { by_ms, from, until } = set;
    for (table, noted) in [
        ("outbox", "SELECT at FROM message WHERE id = outbox.message"),
        ("untold", "SELECT at FROM opening WHERE message = untold.message"),
        ("served", "SELECT iif(json_valid(served.grant), served.grant ->> '$.made_at', NULL)"),
    ] {
        db.execute(
            &format!(
                "UPDATE {table} SET moved = moved + ?1
                 WHERE ({noted}) + moved BETWEEN ?2 AND ?3"
            ),
            (by_ms, from.0, until.0),
        )?;
    }
    db.execute("UPDATE meta SET value = value + ?1 WHERE key = 'booted'", (by_ms,)).map(drop)
}

/// From now on times of day are by the clock of this run.
pub(super) fn begin(db: &Connection, boot: &Boot) -> rusqlite::Result<()> {
    db.prepare_cached("REPLACE INTO meta (key, value) VALUES ('boot', ?1), ('booted', ?2)")?
        .execute((&boot.id, boot.now.booted.0))
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
        match booted(self.db(), &boot).map_err(failed())? {
            None => self.note_boot(boot),
            Some(booted) => {
                let Some(set) = ClockSet::since(booted, boot.now) else { return Ok(()) };
                let moving =
                    self.db_mut().transaction_with_behavior(TransactionBehavior::Immediate);
                let moving = moving.map_err(failed())?;
                follow(&moving, set).and_then(|()| moving.commit()).map_err(failed())?;
            }
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

    const BOOTED: i64 = 1_000 * DAY;

    /// An hour after the start, when the clock was set by so much since.
    fn now(set_by: i64) -> Now {
        let booted = BOOTED + set_by;
        Now { wall: UnixMillis(booted + 3_600_000), booted: UnixMillis(booted), ..Now::default() }
    }

    fn boot(set_by: i64) -> Boot {
        Boot { id: "a".to_owned(), now: now(set_by) }
    }

    fn keep(store: &mut Store, record: Record) -> bool {
        matches!(store.commit(&[(SaveId(1), record)])[0].1, SaveResult::Kept { .. })
    }

    fn offer(store: &Store, offer: i64, now: Now) {
        let grant = format!(r#"{{"made_at":{}}}"#, now.wall.0);
        let add = "INSERT INTO served (offer, grant) VALUES (?1, ?2)";
        store.db().execute(add, (offer, grant)).unwrap();
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
        offer(&store, 1, now(0));
        store.db().pragma_update(None, "query_only", true).unwrap();
        for (before, after) in [(0, 9 * DAY), (9 * DAY, 7 * DAY)] {
            let set = ClockSet::since(now(before).booted, now(after)).unwrap();
            assert!(!keep(&mut store, Record::ClockSet(set)));
        }
        store.db().pragma_update(None, "query_only", false).unwrap();
        assert!(keep(&mut store, Record::Away(None)));
        offer(&store, 2, now(7 * DAY));
        assert_eq!(moved(&store), [7 * DAY, 0]);
        assert!(keep(&mut store, Record::Away(None)), "once");
        store.close(PacketNo(0));
        let mut store = Store::open(&paths, UnixMillis(0)).unwrap().store;
        store.reckon(boot(7 * DAY)).unwrap();
        assert_eq!(moved(&store), [7 * DAY, 0]);
    }
}

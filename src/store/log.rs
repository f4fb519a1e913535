//! The write-ahead log: written again and again from its beginning, so that it does not grow.
//!
//! A sync after which a file is longer also waits for what the file system notes of that. In a log
//! that has its length already a commit waits for its pages alone.

#![expect(clippy::disallowed_types, reason = "files live in the store")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::connect::beside;

/// The log of an open store.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// What a page of the store takes in it.
    frame_bytes: u64,
    /// What it held at the last checkpoint, bytes: that stays in it for as long as somebody reads.
    checked_bytes: u64,
    has_room: bool,
}

/// When what was committed is moved from the log into the file itself: how much the log then holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    /// Nothing came for a while.
    Quiet = 1 << 20,
    /// Nothing waits to be committed.
    Idle = 3 << 20,
    /// Others wait.
    Busy = 8 << 20,
}

/// The length it is given before it is needed: more than it holds while messages come one by one.
const ROOM_BYTES: u64 = Moment::Quiet as u64 + (256 << 10);
/// Longer it does not stay when it is begun again.
pub(super) const KEPT_BYTES: u64 = 4 << 20;

impl Log {
    /// The log of the store in this file.
    pub(super) fn new(db: &Connection, store: &Path) -> rusqlite::Result<Self> {
        const HEAD_BYTES: u64 = 24;
        let page_bytes: u32 = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let frame_bytes = HEAD_BYTES + u64::from(page_bytes);
        let path = beside(store, "-wal");
        Ok(Self { path, frame_bytes, checked_bytes: 0, has_room: false })
    }

    /// Moves what was committed into the file itself, if that is due; whether it was.
    pub(super) fn checkpoint(&mut self, db: &Connection, moment: Moment) -> rusqlite::Result<bool> {
        let held = self.held_bytes(db)?;
        if held < self.checked_bytes {
            // It was begun again.
            self.checked_bytes = 0;
        }
        if held < self.checked_bytes + moment as u64 {
            return Ok(false);
        }
        self.checked_bytes = held;
        db.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row((), |_| Ok(true))
    }

    /// Gives it its length, once. Where that fails it grows as it is written.
    pub(super) fn make_room(&mut self, db: &Connection) {
        if !std::mem::replace(&mut self.has_room, true)
            && let Err(error) = self.lengthen(db)
        {
            tracing::debug!("no room was made in {}: {error}", self.path.display());
        }
    }

    fn lengthen(&self, db: &Connection) -> io::Result<()> {
        // Nobody else writes it meanwhile.
        let _alone = Transaction::new_unchecked(db, TransactionBehavior::Immediate)
            .map_err(io::Error::other)?;
        // SQLite keeps no lock on this file that closing it could drop.
        let file = match File::options().write(true).open(&self.path) {
            // The store goes without a log.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let length = file.metadata()?.len();
        let missing = usize::try_from(ROOM_BYTES.saturating_sub(length)).unwrap_or(0);
        // Written and not reserved: what is only reserved comes into the journal when it is written.
        // Zeros are no frame, the log ends before them, also for who finds it after a crash.
        let written = file.write_all_at(&vec![0; missing], length).and_then(|()| file.sync_all());
        if written.is_err() {
            file.set_len(length)?;
        }
        written
    }
    /// What it holds that is of use; 0 without a log.
    fn held_bytes(&self, db: &Connection) -> rusqlite::Result<u64> {
        let frames: i64 =
            db.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row((), |row| row.get(1))?;
        Ok(u64::try_from(frames).unwrap_or(0) * self.frame_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: &str = "INSERT INTO words (word) VALUES ('word')";

    fn open(folder: &Path) -> (Connection, Log) {
        let path = folder.join("feige.db");
        let db = Connection::open(&path).unwrap();
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
        db.execute_batch("CREATE TABLE IF NOT EXISTS words (word)").unwrap();
        let log = Log::new(&db, &path).unwrap();
        (db, log)
    }

    fn length(log: &Log) -> u64 {
        std::fs::metadata(&log.path).unwrap().len()
    }

    fn words(db: &Connection) -> i64 {
        db.query_row("SELECT count(*) FROM words", (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn with_room_the_log_does_not_grow_while_commits_come_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let (db, mut log) = open(folder.path());
        log.make_room(&db);
        assert_eq!(length(&log), ROOM_BYTES);
        let mut checkpoints = 0;
        for _ in 0..1_000 {
            db.execute(ADD, ()).unwrap();
            checkpoints += i32::from(log.checkpoint(&db, Moment::Quiet).unwrap());
            assert_eq!(length(&log), ROOM_BYTES);
        }
        // A thousand pages and a few, 254 of them at a time.
        assert!((3..=8).contains(&checkpoints), "{checkpoints}");
    }

    #[test]
    fn what_a_crash_leaves_in_a_log_with_room_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (db, mut log) = open(folder.path());
        db.execute(ADD, ()).unwrap();
        log.make_room(&db);
        let copy = tempfile::tempdir().unwrap();
        for count in 1..=300 {
            // As a crash leaves it: the two files, without the index in shared memory.
            if count % 50 == 1 {
                for file in ["feige.db", "feige.db-wal"] {
                    std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
                }
                assert_eq!(words(&open(copy.path()).0), count);
            }
            db.execute(ADD, ()).unwrap();
            log.checkpoint(&db, Moment::Quiet).unwrap();
        }
    }

    #[test]
    fn a_log_that_is_being_read_is_not_checked_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (db, mut log) = open(folder.path());
        let (reader, _) = open(folder.path());
        let moment = reader.unchecked_transaction().unwrap();
        assert_eq!(words(&moment), 0);
        let mut checkpoints = 0;
        for _ in 0..600 {
            db.execute(ADD, ()).unwrap();
            checkpoints += i32::from(log.checkpoint(&db, Moment::Quiet).unwrap());
        }
        assert_eq!(checkpoints, 2);
        drop(moment);
        assert_eq!(words(&reader), 600);
    }

    #[test]
    fn without_a_log_there_is_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feige.db");
        let db = Connection::open(&path).unwrap();
        db.pragma_update_and_check(None, "journal_mode", "truncate", |_| Ok(())).unwrap();
        let mut log = Log::new(&db, &path).unwrap();
        log.make_room(&db);
        assert!(!log.path.exists());
        assert!(!log.checkpoint(&db, Moment::Quiet).unwrap());
    }
}

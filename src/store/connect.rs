//! Opening the `SQLite` file: how it is made, how it is written, and what to do where the file
//! system is not up to it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngCore;
use rand::rngs::OsRng;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use rustix::fs::{Access, StatVfsMountFlags};

use super::files::{create_private_folder, make_private, passing_file, sync_folder};
use super::log::KEPT_BYTES;
use super::{StoreError, folder_of, schema};
use crate::node::UnixMillis;

/// How long another process may hold the file before a commit fails.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(5);

/// To read and write a file that is there; each connection is used by one thread at a time.
pub(super) const FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Page cache, in KiB and negative as `SQLite` wants it. A node that idles must stay small.
pub(super) const CACHE_KIB: i64 = -512;

/// With less than this on the disk nothing worth mentioning can be kept.
const FREE_MIN_BYTES: u64 = 1 << 20;

/// Who opens the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opener {
    /// Who keeps it open: gives it its log.
    Owner,
    /// Who writes something beside that one: takes it as it is. Where there is no shared memory, to
    /// try the log would put it out of everybody's reach for that moment.
    Guest,
}

/// Opens the store to write it, and makes it if there is none. Also returns what the user should
/// know of how it works here.
pub(super) fn for_writing(
    path: &Path,
    now: UnixMillis,
    opener: Opener,
) -> Result<(Connection, Vec<String>), StoreError> {
    create_private_folder(folder_of(path)).map_err(|error| plainly(error, path))?;
    check_folder(path)?;
    if !path.exists() {
        create(path, now)?;
    }
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        make_private(&file)?;
    }
    connect(path, opener).map_err(StoreError::database("open", path))
}

/// A folder that cannot be made because of its disk, in the words for that.
fn plainly(error: StoreError, path: &Path) -> StoreError {
    let path = path.to_owned();
    match &error {
        StoreError::File { source, .. } => match source.kind() {
            ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path },
            ErrorKind::StorageFull => StoreError::Full { path },
            _ => error,
        },
        _ => error,
    }
}

/// Finds out before `SQLite` does, whose words for it are less clear.
fn check_folder(path: &Path) -> Result<(), StoreError> {
    let folder = folder_of(path);
    match rustix::fs::statvfs(folder) {
        Ok(disk) if disk.f_flag.contains(StatVfsMountFlags::RDONLY) => {
            return Err(StoreError::ReadOnly { path: path.to_owned() });
        }
        // Some network file systems report no size at all.
        Ok(disk)
            if disk.f_blocks > 0
                && disk.f_bavail.saturating_mul(disk.f_frsize) < FREE_MIN_BYTES =>
        {
            return Err(StoreError::Full { path: path.to_owned() });
        }
        // Where the system does not tell, the first record will.
        Ok(_) | Err(_) => {}
    }
    rustix::fs::access(folder, Access::WRITE_OK)
        .map_err(|error| StoreError::file("write in", folder)(error.into()))
}

/// Makes a store with its tables and its identity, whole or not at all: beside its place, unsynced,
/// then synced once and moved there. (The usual way, with a synced transaction for each step, costs
/// eight syncs before the first packet.)
fn create(path: &Path, now: UnixMillis) -> Result<(), StoreError> {
    let folder = folder_of(path);
    let failed = || StoreError::file("create", path);
    // 0600 whatever the umask.
    let new = passing_file(folder).map_err(failed())?;
    let build = || -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(new.path(), FLAGS)?;
        lock_for_itself(&db)?;
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "off")?;
        Ok(db)
    };
    let mut db = build().map_err(StoreError::database("create", path))?;
    schema::migrate(&mut db, path)?;
    identity(&db, now, path)?;
    db.close().map_err(|(_, error)| StoreError::database("create", path)(error))?;
    new.as_file().sync_all().map_err(failed())?;
    match new.persist_noclobber(path) {
        Ok(_) => sync_folder(folder).map_err(failed()),
        // Another process was faster; its store is as good.
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed()(error.error)),
    }
}

/// Opens the file with a write-ahead log; where that cannot have its shared memory (network homes),
/// with a journal that needs none, and says so.
fn connect(path: &Path, opener: Opener) -> rusqlite::Result<(Connection, Vec<String>)> {
    let first = match open(path, Some(LOG).filter(|_| opener == Opener::Owner)) {
        Ok((db, mode)) if mode == LOG || opener == Opener::Guest => return Ok((db, Vec::new())),
        Ok(_) => None,
        Err(error) if may_lack_shared_memory(&error) => Some(error),
        Err(error) => return Err(error),
    };
    // If that fails too it was something else, and the first error says it better.
    let without = leave_log(path).and_then(|()| open(path, Some(JOURNAL)));
    let (db, mode) = without.map_err(|second| first.unwrap_or(second))?;
    let note = format!(
        "{} is on a file system without shared memory (a network home?): each commit takes several \
         syncs there instead of one, so receipts leave later (journal: {mode})",
        path.display()
    );
    Ok((db, vec![note]))
}

/// One sync for each commit, and others read meanwhile; needs shared memory.
const LOG: &str = "wal";
/// Three syncs, and others read between the commits; needs nothing but locks.
const JOURNAL: &str = "truncate";

/// Turns a file with a log into one with a journal. Alone: then the log's index lives in our own
/// memory.
fn leave_log(path: &Path) -> rusqlite::Result<()> {
    let db = Connection::open_with_flags(path, FLAGS)?;
    db.busy_timeout(BUSY_WAIT)?;
    lock_for_itself(&db)?;
    db.pragma_update_and_check(None, "journal_mode", JOURNAL, |_| Ok(()))
}

fn may_lack_shared_memory(error: &rusqlite::Error) -> bool {
    let codes = [
        ErrorCode::CannotOpen,
        ErrorCode::ReadOnly,
        ErrorCode::SystemIoFailure,
        ErrorCode::FileLockingProtocolFailed,
    ];
    error.sqlite_error_code().is_some_and(|code| codes.contains(&code))
}

/// Before the log is used for the first time: its index then lives in our own memory.
fn lock_for_itself(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))
}

/// With this journal, or with none given with the one it has. Also returns which that is.
fn open(path: &Path, journal: Option<&str>) -> rusqlite::Result<(Connection, String)> {
    let db = Connection::open_with_flags(path, FLAGS)?;
    db.busy_timeout(BUSY_WAIT)?;
    let found: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    // Only the log is a property of the file.
    let journal = journal.unwrap_or(if found == LOG { LOG } else { JOURNAL });
    let mode = db.pragma_update_and_check(None, "journal_mode", journal, |row| row.get(0))?;
    // A receipt promises that the message survives a power failure too.
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "cache_size", CACHE_KIB)?;
    db.pragma_update(None, "temp_store", "memory")?;
    // Checkpoints are made in `tidy`, when receipts are out; this is only the safety net.
    db.pragma_update(None, "wal_autocheckpoint", 16_384)?;
    db.pragma_update_and_check(None, "journal_size_limit", KEPT_BYTES.cast_signed(), |_| Ok(()))?;
    db.set_prepared_statement_cache_capacity(32);
    // Where there is no shared memory it fails here, not at the first message. With a journal, to
    // commit nothing would wait for all who read.
    db.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
    Ok((db, mode))
}

/// Our stable identity; made now, and committed, if there is none.
pub(super) fn identity(
    db: &Connection,
    now: UnixMillis,
    path: &Path,
) -> Result<String, StoreError> {
    let failed = || StoreError::database("open", path);
    let read = "SELECT value FROM meta WHERE key = 'mac'";
    let stored = db.query_row(read, (), |row| row.get(0)).optional().map_err(failed())?;
    if let Some(mac) = stored {
        return Ok(mac);
    }
    let mac = random_mac()?;
    let write = "INSERT INTO meta (key, value) VALUES ('mac', ?1), ('created', ?2)";
    db.execute(write, (&mac, now.0)).map_err(failed())?;
    Ok(mac)
}

/// An identity: a locally administered unicast address (of the first octet's two lowest bits 1 is set,
/// 0 is not) as 12 upper-case hex digits, from the system's random numbers.
///
/// # Errors
///
/// [`StoreError::Random`] if the system has none.
pub fn random_mac() -> Result<String, StoreError> {
    let mut octets = [0u8; 8];
    OsRng.try_fill_bytes(&mut octets).map_err(|source| StoreError::Random { source })?;
    let mac = u64::from_be_bytes(octets) & 0xfcff_ffff_ffff | 0x0200_0000_0000;
    Ok(format!("{mac:012X}"))
}

/// A file of `SQLite`'s beside its main one.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_is_built_to_sync_data_alone() {
        // SQLite does not tell; and who builds from elsewhere does without.
        let settings = include_str!("../../.cargo/config.toml");
        assert!(settings.contains("LIBSQLITE3_FLAGS = \"-DHAVE_FDATASYNC\""), "{settings}");
    }

    #[test]
    fn the_identity_is_a_locally_administered_unicast_address() {
        for _ in 0..64 {
            let mac = random_mac().unwrap();
            assert_eq!(mac.len(), 12);
            assert!(mac.bytes().all(|c| matches!(c, b'0'..=b'9' | b'A'..=b'F')), "{mac}");
            assert_eq!(u8::from_str_radix(&mac[..2], 16).unwrap() & 3, 2, "{mac}");
        }
    }
}

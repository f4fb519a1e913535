//! Reading the store beside its owner: a connection of its own that never writes.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::StatVfsMountFlags;

use super::connect::{BUSY_WAIT, CACHE_KIB, FLAGS, beside};
use super::error::{in_words, is_the_rows_own};
use super::{Paths, StoreError, folder_of, rows, schema};
use crate::node::{Event, Recalled, UnixMillis};

/// An event of the stream as it was when it happened.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredEvent {
    /// Its place in the stream.
    pub seq: u64,
    /// When it happened.
    pub at: UnixMillis,
    /// What happened.
    pub event: Event,
}

/// How much is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Messages received.
    pub received: u64,
    /// Messages sent, one for each recipient.
    pub sent: u64,
    /// Peers that messages came from or went to.
    pub peers: u64,
    /// The number of the newest event; 0 before the first one.
    pub last_seq: u64,
}

/// Reads a store, also while another process owns it.
#[derive(Debug)]
pub struct Reader {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
}

impl Reader {
    /// Opens the store of a profile to read it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] if nothing was stored yet, [`StoreError::Older`],
    /// [`StoreError::Newer`] or [`StoreError::NotOurs`] if it cannot be understood,
    /// [`StoreError::Database`] if it cannot be read.
    pub fn open(paths: &Paths) -> Result<Self, StoreError> {
        let path = paths.db.clone();
        if !path.exists() {
            return Err(StoreError::Missing { path });
        }
        let connect = || -> rusqlite::Result<Connection> {
            let db = if rests(&path) {
                Connection::open_with_flags(unchanging(&path), READ_ONLY)?
            } else {
                // Not opened read-only: then it could not be read where no other process has it
                // open and its shared memory is to be made first.
                Connection::open_with_flags(&path, FLAGS)?
            };
            db.busy_timeout(BUSY_WAIT)?;
            db.pragma_update(None, "query_only", true)?;
            db.pragma_update(None, "cache_size", CACHE_KIB)?;
            Ok(db)
        };
        let db = connect().map_err(StoreError::database("open", &path))?;
        match schema::version(&db, &path)? {
            0 => Err(StoreError::Missing { path }),
            found if found < schema::KNOWN => {
                Err(StoreError::Older { path, found, known: schema::KNOWN })
            }
            found if found > schema::KNOWN => {
                Err(StoreError::Newer { path, found, known: schema::KNOWN })
            }
            _ => Ok(Self { db, path }),
        }
    }

    /// The events after `seq`, oldest first, at most `limit` of them; with fewer, that was all
    /// there is now. In the place of one that cannot be read stands a notice that says so, so that the
    /// stream has no gap and goes on.
    pub fn since(&self, seq: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let after = i64::try_from(seq).unwrap_or(i64::MAX);
        let read = || -> rusqlite::Result<Vec<StoredEvent>> {
            self.db
                .prepare_cached(rows::EVENTS)?
                .query_map((after, limit), rows::read_event)?
                .collect()
        };
        read().map_err(StoreError::database("read", &self.path))
    }

    /// The number of the newest event; 0 before the first one.
    pub fn last_seq(&self) -> Result<u64, StoreError> {
        self.read(rows::last_seq).map(i64::cast_unsigned)
    }

    /// The message at this place of the event stream, whole, and whether it is an envelope that was
    /// opened.
    pub fn message(&self, seq: u64) -> Result<Recalled, StoreError> {
        self.read(|db| rows::envelopes::recall(db, seq))
    }

    /// Reads something.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        read(&self.db).map_err(StoreError::database("read", &self.path))
    }

    /// How much is stored.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        let read = || {
            self.db.query_row(
                "SELECT (SELECT count(*) FROM message WHERE direction = 'in'),
                     (SELECT count(*) FROM message WHERE direction = 'out'),
                     (SELECT count(*) FROM peer),
                     (SELECT coalesce(max(seq), 0) FROM event)",
                (),
                |row| {
                    let count = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
                    Ok(Counts {
                        received: count(0)?,
                        sent: count(1)?,
                        peers: count(2)?,
                        last_seq: count(3)?,
                    })
                },
            )
        };
        read().map_err(StoreError::database("read", &self.path))
    }
}

const READ_ONLY: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY
    .union(OpenFlags::SQLITE_OPEN_URI)
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Whether the file changes no more, all that was committed being in it: its file system is read-only
/// and there is no log beside it.
fn rests(path: &Path) -> bool {
    let disk = rustix::fs::statvfs(folder_of(path));
    let is_fixed = disk.is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY));
    let log = std::fs::metadata(beside(path, "-wal"));
    is_fixed && log.map_or(true, |log| log.len() == 0)
}

/// Its name for `SQLite` that says so: then it needs no shared memory, which could not be made.
fn unchanging(path: &Path) -> OsString {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
    let mut name = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        if plain(byte) {
            name.push(char::from(*byte));
        } else {
            write!(name, "%{byte:02X}").expect("a String takes all");
        }
    }
    name.push_str("?immutable=1");
    name.into()
}

/// What can be read of these rows; the log names what is wrong with the others.
pub(super) fn readable<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
) -> rusqlite::Result<Vec<T>> {
    let is_whole = |read: &rusqlite::Result<T>| match read {
        Err(error) if is_the_rows_own(error) => {
            tracing::warn!("a row of the store cannot be read: {}", in_words(error));
            false
        }
        _ => true,
    };
    rows.filter(is_whole).collect()
}

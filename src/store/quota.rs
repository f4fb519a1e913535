//! How much strangers may make us keep (threats, caps): messages and pictures of peers we never wrote
//! to, together up to so many bytes a day, and only while the disk has room for others.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::{StoreError, folder_of};
use crate::node::{MessageRecord, PictureRecord, UnixMillis};

/// Bytes kept of strangers in one day: 1 GiB.
const DAY_BYTES: u64 = 1 << 30;
/// Bytes that stay free on the disk: 256 MiB.
const FREE_BYTES: u64 = 256 << 20;
/// What was kept is written down when so many bytes have come together; a crash forgets no more.
const NOTE_BYTES: u64 = 1 << 20;
const DAY_MILLIS: i64 = 86_400_000;

/// The caps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Caps {
    pub(super) day_bytes: u64,
    pub(super) free_bytes: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self { day_bytes: DAY_BYTES, free_bytes: FREE_BYTES }
    }
}

/// Where strangers stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Quota {
    pub(super) caps: Caps,
    /// Days since 1970, UTC.
    day: i64,
    bytes: u64,
    /// Of these, what the store knows of.
    noted: u64,
    is_tight: bool,
}

impl Quota {
    /// As the runs before left it.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let value = |key: &str| {
            db.query_row("SELECT value FROM meta WHERE key = ?1", (key,), |row| {
                row.get::<_, i64>(0)
            })
            .optional()
        };
        let day = value("strangers_day")?.unwrap_or(0);
        let bytes = value("strangers_bytes")?.unwrap_or(0).max(0).cast_unsigned();
        Ok(Self { day, bytes, noted: bytes, ..Self::default() })
    }

    /// Looks how much room the disk has. Where it does not tell there is enough.
    pub(super) fn look(&mut self, path: &Path) {
        self.is_tight = rustix::fs::statvfs(folder_of(path)).is_ok_and(|disk| {
            disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < self.caps.free_bytes
        });
    }

    /// Why so many bytes of a stranger are not kept, if they are not.
    pub(super) fn refuses(&mut self, at: UnixMillis, bytes: u64) -> Option<String> {
        if self.is_tight {
            let free = self.caps.free_bytes >> 20;
            return Some(format!("less than {free} MiB are free on the disk"));
        }
        self.exceeded(at, bytes).map(|error| error.to_string())
    }

    /// Says so if the share of the day has no room for so many bytes more.
    pub(super) fn exceeded(&mut self, at: UnixMillis, bytes: u64) -> Option<StoreError> {
        self.turn_page(at);
        let day_bytes = self.caps.day_bytes;
        let over = self.bytes.saturating_add(bytes) > day_bytes;
        over.then_some(StoreError::StrangersADay { day_bytes })
    }

    /// So many bytes of a stranger are being kept.
    pub(super) fn count(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes down what was kept, if it is worth a page.
    pub(super) fn note(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if self.bytes >= self.noted + NOTE_BYTES { self.write(db) } else { Ok(()) }
    }

    /// Writes down what was kept.
    pub(super) fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if self.bytes == self.noted {
            return Ok(());
        }
        let mut write = db.prepare_cached("REPLACE INTO meta (key, value) VALUES (?1, ?2)")?;
        write.execute(("strangers_day", self.day))?;
        write.execute(("strangers_bytes", self.bytes.cast_signed()))?;
        self.noted = self.bytes;
        Ok(())
    }

    /// Another day, in whichever direction the clock went.
    fn turn_page(&mut self, now: UnixMillis) {
        let day = now.0.div_euclid(DAY_MILLIS);
        if day != self.day {
            (self.day, self.bytes, self.noted) = (day, 0, 0);
        }
    }
}

/// What a row takes beside what is in it, with its places in the indexes, bytes.
pub(super) const ROW_BYTES: u64 = 64;

/// What a message counts, without the rows of its sender: its own, its datagram's and its event's.
pub(super) fn of_message(message: &MessageRecord) -> u64 {
    (message.raw.len() + message.text.len()) as u64 + 4 * ROW_BYTES
}

/// What a picture counts; `fresh`: its content is not kept yet. Its event is kept in any case.
pub(super) fn of_picture(picture: &PictureRecord, fresh: bool) -> u64 {
    const EVENT: u64 = 1_024;
    EVENT + if fresh { picture.facts.size } else { 0 }
}

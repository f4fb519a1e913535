//! Pictures: their bytes while they come and go ([`Staging`]), and for good (the table
//! `picture_content`, by content: the same picture is kept once).
#![expect(clippy::disallowed_types, reason = "files live in the store")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::download::{DownloadError, FREE_FLOOR, Folder, Part};
use super::quota::Quota;
use super::{Reader, StoreError};
use crate::node::{Event, PictureEvent, PictureRecord, StageId, UnixMillis};

/// Bytes copied at a time.
const COPY: usize = 64 * 1024;

/// Pictures on their way, as files without a name in the folder of the store: they vanish with the
/// process, however it ends. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Staging(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stages: HashMap<StageId, Stage>,
    /// Where strangers stood at the last commit.
    quota: Quota,
}

#[derive(Debug)]
struct Stage {
    file: Arc<File>,
    /// Bytes of a stranger that are to be kept.
    counts: u64,
}

impl Staging {
    /// Stages in this folder. `quota`: what strangers have filled until now.
    pub(super) fn new(folder: PathBuf, quota: Quota) -> Self {
        let state = State { quota, ..State::default() };
        Self(Arc::new(Inner { folder, state: Mutex::new(state) }))
    }

    /// Stages of a run that keeps nothing: in the system's folder for temporary files.
    pub fn passing() -> Self {
        Self::new(std::env::temp_dir(), Quota::default())
    }

    /// Makes an empty stage for a picture of `size` bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::StrangersADay`] where `counts` is set and the share of strangers has no room for
    /// it beside the pictures that are on their way, [`StoreError::Full`] if it would leave too
    /// little on the disk, [`StoreError::File`].
    pub fn begin(
        &self,
        stage: StageId,
        size: u64,
        at: UnixMillis,
        counts: bool,
    ) -> Result<(), StoreError> {
        let file = self.file_of(size)?;
        let mut inner = self.state();
        let counts = if counts { size } else { 0 };
        let under_way: u64 = inner.stages.values().map(|stage| stage.counts).sum();
        if counts > 0
            && let Some(error) = inner.quota.exceeded(at, under_way.saturating_add(counts))
        {
            return Err(error);
        }
        inner.stages.insert(stage, Stage { file: Arc::new(file), counts });
        Ok(())
    }

    /// A file without a name that has room for `size` bytes.
    ///
    /// # Errors
    ///
    /// As [`Staging::begin`].
    pub fn file_of(&self, size: u64) -> Result<File, StoreError> {
        let folder = &self.0.folder;
        let disk = rustix::fs::statvfs(folder)
            .map_err(|error| StoreError::file("look at", folder)(error.into()))?;
        let room = disk.f_bavail.saturating_mul(disk.f_frsize);
        if room < FREE_FLOOR.saturating_add(size) {
            return Err(StoreError::Full { path: folder.clone() });
        }
        tempfile::tempfile_in(folder).map_err(StoreError::file("create a file in", folder))
    }

    /// Writes into a stage; nothing if there is no such stage.
    pub fn write(&self, stage: StageId, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        match self.file(stage) {
            Some(file) => {
                file.write_all_at(data, offset).map_err(self.failed("write to a file in"))
            }
            None => Ok(()),
        }
    }

    /// Reads from a stage, exactly `length` bytes.
    pub fn read(&self, stage: StageId, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let failed = self.failed("read a file in");
        let Some(file) = self.file(stage) else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        let mut data = vec![0; length];
        file.read_exact_at(&mut data, offset).map_err(failed)?;
        Ok(data)
    }

    /// The file of a stage.
    pub fn file(&self, stage: StageId) -> Option<Arc<File>> {
        self.state().stages.get(&stage).map(|stage| Arc::clone(&stage.file))
    }

    /// Makes a file the stage.
    pub fn put(&self, stage: StageId, file: File) {
        self.state().stages.insert(stage, Stage { file: Arc::new(file), counts: 0 });
    }

    /// Puts a file in the place of a stage that is there; whether it is.
    pub fn replace(&self, stage: StageId, file: File) -> bool {
        let mut inner = self.state();
        let known = inner.stages.get_mut(&stage);
        known.map(|stage| stage.file = Arc::new(file)).is_some()
    }

    /// Writes a whole stage into a download folder, under `name` or the first numbered one that is
    /// free, and gives its whole path.
    pub fn export(
        &self,
        stage: StageId,
        folder: Folder,
        name: &str,
        at: UnixMillis,
    ) -> Result<PathBuf, SavePictureError> {
        let file = self.file(stage).ok_or_else(|| copying(io::ErrorKind::NotFound.into()))?;
        let size = file.metadata().map_err(copying)?.len();
        let mut from = &*file;
        from.seek(SeekFrom::Start(0)).map_err(copying)?;
        write_file(&mut from.take(size), size, Arc::new(folder), name, at)
    }

    /// Forgets a stage; its file is gone when nobody uses it any more.
    pub fn drop_stage(&self, stage: StageId) {
        self.state().stages.remove(&stage);
    }

    /// Something was committed: where strangers stand now.
    pub(super) fn note(&self, quota: Quota) {
        self.state().quota = quota;
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> StoreError + use<> {
        StoreError::file(action, &self.0.folder)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of it is one insertion, removal or assignment.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The content with this digest, if it is kept already.
pub(super) fn content(db: &Connection, digest: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM picture_content WHERE digest = ?1")?
        .query_row((digest,), |row| row.get(0))
        .optional()
}

/// Writes a picture as the event `seq`; its content unless that is `known` already.
pub(super) fn keep(
    db: &Connection,
    staging: &Staging,
    seq: i64,
    record: &PictureRecord,
    known: Option<i64>,
) -> rusqlite::Result<()> {
    let content = match known {
        Some(known) => known,
        None => keep_content(db, staging, record)?,
    };
    db.prepare_cached("INSERT INTO picture (id, content, at, counts) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![seq, content, record.at.0, record.counts])?;
    Ok(())
}

fn keep_content(
    db: &Connection,
    staging: &Staging,
    record: &PictureRecord,
) -> rusqlite::Result<i64> {
    let failed = |error: io::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    let facts = &record.facts;
    let file = staging.file(record.stage).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let size = i64::try_from(facts.size).unwrap_or(i64::MAX);
    let id: i64 = db
        .prepare_cached(
            "INSERT INTO picture_content (digest, size, bytes) VALUES (?1, ?2, zeroblob(?2))
             RETURNING id",
        )?
        .query_row((&facts.digest, size), |row| row.get(0))?;
    let mut blob = db.blob_open("main", "picture_content", "bytes", id, false)?;
    let mut buffer = vec![0; COPY];
    let mut at = 0;
    while at < facts.size {
        let left = usize::try_from(facts.size - at).unwrap_or(COPY).min(COPY);
        let part = buffer.get_mut(..left).unwrap_or_default();
        file.read_exact_at(part, at).map_err(failed)?;
        blob.write_all(part).map_err(failed)?;
        at += left as u64;
    }
    blob.close()?;
    Ok(id)
}

/// A picture as it is kept.
#[derive(Clone, PartialEq, Debug)]
pub struct KeptPicture {
    /// Its place in the event stream.
    pub seq: u64,
    /// When it was whole.
    pub at: UnixMillis,
    /// What listeners were told of it.
    pub event: PictureEvent,
    content: i64,
}

impl Reader {
    /// The newest picture whose digest begins with these hexadecimal digits, or else that a message
    /// names by them (`[picture 64ea4edd]`); none if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::ManyPictures`] if there are several with different content.
    pub fn picture(&self, digits: &str) -> Result<Option<KeptPicture>, StoreError> {
        let digits = digits.to_ascii_lowercase();
        let read = |which: &str| -> rusqlite::Result<Vec<(i64, i64, i64, String)>> {
            self.db
                .prepare_cached(&format!(
                    "SELECT max(picture.id), picture.content, picture.at, told.event
                     FROM picture_content AS c
                     JOIN picture ON picture.content = c.id JOIN told ON told.id = picture.id
                     WHERE {which} GROUP BY c.id LIMIT 2",
                ))?
                .query_map((&digits,), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?
                .collect()
        };
        let failed = StoreError::database("read", &self.path);
        let mut found = match read("c.digest >= ?1 AND c.digest < ?1 || 'g'") {
            // What a sender calls its picture is its own choice: a digest comes first.
            Ok(none) if none.is_empty() => read("lower(told.event ->> 'picture') = ?1"),
            found => found,
        }
        .map_err(failed)?;
        if found.len() > 1 {
            return Err(StoreError::ManyPictures { digits });
        }
        let Some((seq, content, at, event)) = found.pop() else { return Ok(None) };
        match serde_json::from_str(&event) {
            Ok(Event::Picture(event)) => Ok(Some(KeptPicture {
                seq: seq.cast_unsigned(),
                at: UnixMillis(at),
                event: *event,
                content,
            })),
            _ => Ok(None),
        }
    }

    /// Writes a picture into a download folder under `name`, or the first numbered one that is
    /// free, and gives its whole path.
    pub fn write_picture(
        &self,
        picture: &KeptPicture,
        folder: Arc<Folder>,
        name: &str,
    ) -> Result<PathBuf, SavePictureError> {
        let size = picture.event.facts.size;
        let failed = StoreError::database("read", &self.path);
        let mut blob = self
            .db
            .blob_open("main", "picture_content", "bytes", picture.content, true)
            .map_err(failed)?;
        blob.seek(SeekFrom::Start(0)).map_err(copying)?;
        write_file(&mut Read::take(&mut blob, size), size, folder, name, picture.at)
    }
}

/// Writes `size` bytes as a new file.
fn write_file(
    from: &mut impl Read,
    size: u64,
    folder: Arc<Folder>,
    name: &str,
    at: UnixMillis,
) -> Result<PathBuf, SavePictureError> {
    if folder.room()? < size {
        return Err(StoreError::Full { path: folder.path().to_owned() }.into());
    }
    let mut key = format!("{:x}", Sha256::digest(name));
    key.truncate(20);
    let part = Part::open(folder, &key, None)?;
    part.cut(0)?;
    let mut file = File::from(part.file().try_clone_to_owned().map_err(copying)?);
    io::copy(from, &mut file).map_err(copying)?;
    let seconds = u64::try_from(at.0 / 1000).ok();
    Ok(part.finish(name, seconds, false)?)
}

fn copying(error: io::Error) -> SavePictureError {
    SavePictureError::Copy(error)
}

/// A kept picture could not be written as a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavePictureError {
    /// The store cannot be read, or the disk has no room.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be made.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The bytes cannot be copied.
    #[error("cannot write the picture: {0}")]
    Copy(#[source] io::Error),
}

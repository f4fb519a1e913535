//! A folder: one stream, read through one buffer across the boundaries of files; the contents of a
//! large file go past the buffer.

use std::path::PathBuf;
use std::sync::Arc;

use super::connect::{self, Answer};
use super::pump::Pump;
use super::transfer::Transfer;
use super::trouble::Trouble;
use crate::store::download::{Folder, Stage};
use crate::wire::tree::{READ_ONLY, TreeError, TreeEvent, TreeReader};

/// Contents left of a file from which on they go past the buffer.
const PAST_BUFFER: u64 = 256 << 10;

/// Fetches a folder.
pub(super) fn fetch(
    transfer: &mut Transfer<'_>,
    pump: &mut Pump,
    into: &Arc<Folder>,
) -> Result<PathBuf, Trouble> {
    let (fetch, cap, room) = (transfer.fetch, transfer.fetch.size, into.room()?);
    let place = (transfer.place, transfer.stop);
    let Answer { socket, len, ids } =
        connect::ask(fetch, place, 0, false, pump.gulp(&transfer.meter))?;
    transfer.ids = ids;
    transfer.meter.begin();
    transfer.meter.mixed = true;
    let reader = TreeReader::folder(fetch.charset).skipping_others().content_max(cap.min(room));
    let stage = Stage::begin(into.clone(), &fetch.key)?;
    let mut tree =
        Tree { reader, stage, mtime: None, files: 0, skipped: 0, found: 0, begun: false };
    transfer.meter.filled(len as u64, into)?;
    let mut len = len;
    let finished = loop {
        let piece = pump.buffer.get(..len).unwrap_or_default();
        let taken = tree.take(piece);
        transfer.meter.found(std::mem::take(&mut tree.found));
        match taken {
            Ok(true) => break Ok(()),
            Ok(false) => {}
            Err(Trouble::Stream(TreeError::TooLarge)) if room < cap => {
                break Err(Trouble::Overfull);
            }
            Err(trouble) => break Err(trouble),
        }
        transfer.meter.done = tree.files;
        let left = tree.reader.content_left();
        if left >= PAST_BUFFER
            && let Some(file) = tree.stage.file()
        {
            let moved = pump.pass(&socket, file, left, &mut transfer.meter, into, None)?;
            tree.reader.content_moved(moved);
            tree.close_if_whole();
        }
        len = pump.receive(&socket, &mut transfer.meter, into)?;
        if len == 0 {
            break tree.reader.finish().map_err(Trouble::from);
        }
    };
    (transfer.meter.done, transfer.skipped) = (tree.files, tree.skipped);
    finished?;
    Ok(tree.stage.finish(&fetch.name)?)
}

/// A stream on its way into a stage.
struct Tree {
    reader: TreeReader,
    stage: Stage,
    /// Of the file that is being written.
    mtime: Option<u64>,
    files: u64,
    skipped: u64,
    /// Bytes of contents in the last piece.
    found: u64,
    /// The offered folder itself was entered.
    begun: bool,
}

impl Tree {
    /// Takes the next piece of the stream. Whether that was its end.
    fn take(&mut self, mut piece: &[u8]) -> Result<bool, Trouble> {
        let Self { reader, stage, .. } = self;
        loop {
            match reader.next(&mut piece)? {
                TreeEvent::More => return Ok(false),
                TreeEvent::End => return Ok(true),
                // The offered folder itself bears the name of the offer.
                TreeEvent::Folder(_) if !self.begun => self.begun = true,
                TreeEvent::Folder(entry) => stage.enter(&entry.name)?,
                TreeEvent::File(entry) => {
                    stage.create(&entry.name, entry.attr & READ_ONLY != 0)?;
                    self.mtime = entry.times.modified;
                    if entry.size == 0 {
                        stage.close(self.mtime);
                        self.files += 1;
                    }
                }
                TreeEvent::Content(bytes) => {
                    self.found += bytes.len() as u64;
                    stage.write(bytes)?;
                    if reader.content_left() == 0 {
                        stage.close(self.mtime);
                        self.files += 1;
                    }
                }
                TreeEvent::Up { times, .. } => stage.leave(times.modified),
                TreeEvent::Other(_) => self.skipped += 1,
            }
        }
    }

    /// Contents went past the buffer.
    fn close_if_whole(&mut self) {
        if self.reader.content_left() == 0 {
            self.stage.close(self.mtime);
            self.files += 1;
        }
    }
}

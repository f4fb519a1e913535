//! A folder: one stream, read a batch at a time across the boundaries of files. Whatever makes a
//! name is done here, in the order of the stream; small files are written by a second thread
//! meanwhile, the contents of a large one go past the buffer.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use socket2::Socket;

use super::Stop;
use super::connect::{self, Answer};
use super::pump::Pump;
use super::transfer::Transfer;
use super::trouble::Trouble;
use super::writer::{Batch, Filled, Writer};
use crate::store::download::{Folder, Stage, StagedFile};
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
    let (place, mut batch) = ((transfer.place, transfer.stop), Batch::new(&transfer.place.spare));
    // What cannot be put anywhere is not asked for.
    let stage = Stage::begin(into.clone(), &fetch.key)?;
    let gulp = transfer.meter.gulp(batch.room());
    let Answer { socket, len, ids } = connect::ask(fetch, place, 0, false, gulp)?;
    transfer.ids = ids;
    transfer.meter.begin();
    transfer.meter.mixed = true;
    let reader = TreeReader::folder(fetch.charset).skipping_others().content_max(cap.min(room));
    let mut tree = Tree::new(reader, stage);
    let received = thread::scope(|scope| {
        let writer = Writer::start(scope, &transfer.place.spare).map_err(Trouble::Thread)?;
        let received = tree.receive(transfer, pump, &socket, (batch, len), (&writer, into));
        let (last, received) = match received {
            Ok(last) => (Some(last), Ok(())),
            Err(trouble) => (None, Err(trouble)),
        };
        // What could not be written came before whatever ended the stream.
        writer.finish(last).map_err(|error| tree.stage.unwritten(error))?;
        received
    });
    (transfer.meter.done, transfer.skipped) = (tree.files, tree.skipped);
    match received {
        Err(Trouble::Stream(TreeError::TooLarge)) if room < cap => Err(Trouble::Overfull),
        received => {
            received.and_then(|()| transfer.check())?;
            Ok(tree.stage.finish(&fetch.name)?)
        }
    }
}

/// A stream on its way into a stage.
struct Tree {
    reader: TreeReader,
    stage: Stage,
    /// The file that is written here and not by the other thread.
    file: Option<StagedFile>,
    /// Of the file that is being received.
    mtime: Option<u64>,
    files: u64,
    skipped: u64,
    /// Bytes of contents in the last piece.
    found: u64,
    /// The offered folder itself was entered.
    begun: bool,
}

impl Tree {
    fn new(reader: TreeReader, stage: Stage) -> Self {
        let (files, skipped, found) = (0, 0, 0);
        Self { reader, stage, file: None, mtime: None, files, skipped, found, begun: false }
    }

    /// Receives the stream to its end, whose beginning is in the first batch: the last batch.
    fn receive<'a>(
        &mut self,
        transfer: &mut Transfer<'_>,
        pump: &mut Pump,
        socket: &Socket,
        (mut batch, mut len): (Batch<'a>, usize),
        (writer, into): (&Writer<'a>, &Folder),
    ) -> Result<Batch<'a>, Trouble> {
        let meter = &mut transfer.meter;
        loop {
            meter.filled(len as u64, into)?;
            let taken = self.take(batch.filled(len), transfer.stop);
            meter.found(std::mem::take(&mut self.found));
            meter.done = self.files;
            if taken? {
                return Ok(batch);
            }
            let left = self.reader.content_left();
            if left >= PAST_BUFFER
                && let Some(file) = &self.file
            {
                let moved = pump.pass(socket, file.as_fd(), left, meter, into, None)?;
                self.reader.content_moved(moved);
                self.close_if_whole();
            }
            if batch.is_full() {
                batch = writer.swap(batch).map_err(|error| self.stage.unwritten(error))?;
            }
            len = meter.receive(socket, batch.room())?;
            if len == 0 {
                self.reader.finish()?;
                return Ok(batch);
            }
        }
    }

    /// Reads what came last into a batch. Whether that was the end of the stream.
    fn take(&mut self, mut came: Filled<'_, '_>, stop: &Stop) -> Result<bool, Trouble> {
        let Self { reader, stage, .. } = self;
        loop {
            // Thousands of names may be in one batch.
            if stop.is_wanted() {
                return Err(Trouble::Stopped);
            }
            match reader.next(&mut came.piece)? {
                TreeEvent::More => return Ok(false),
                TreeEvent::End => return Ok(true),
                // The offered folder itself bears the name of the offer.
                TreeEvent::Folder(_) if !self.begun => self.begun = true,
                TreeEvent::Folder(entry) => stage.enter(&entry.name)?,
                TreeEvent::File(entry) => {
                    let file = stage.create(&entry.name, entry.attr & READ_ONLY != 0)?;
                    self.mtime = entry.times.modified;
                    if entry.size == 0 {
                        file.complete(self.mtime);
                        self.files += 1;
                    } else if entry.size < PAST_BUFFER {
                        self.file = came.leave(file);
                    } else {
                        self.file = Some(file);
                    }
                }
                TreeEvent::Content(bytes) => {
                    self.found += bytes.len() as u64;
                    match &self.file {
                        Some(file) => {
                            file.write(bytes).map_err(|error| stage.unwritten(error))?;
                        }
                        None => came.contents(bytes.len()),
                    }
                    if reader.content_left() == 0 {
                        match self.file.take() {
                            Some(file) => file.complete(self.mtime),
                            None => came.complete(self.mtime),
                        }
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
        if self.reader.content_left() == 0
            && let Some(file) = self.file.take()
        {
            file.complete(self.mtime);
            self.files += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::writer::Spare;
    use super::*;
    use crate::wire::Charset;

    #[test]
    fn a_stop_is_noticed_within_one_batch_of_names() {
        let home = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open(home.path()).unwrap());
        let stage = Stage::begin(folder, "0a0a0a0a0a0a0a0a0a0a").unwrap();
        let mut tree = Tree::new(TreeReader::folder(Charset::UTF_8), stage);
        let (spare, stop) = (Spare::from(0), Stop::default());
        let mut batch = Batch::new(&spare);
        let mut put = |tree: &mut Tree, bytes: &[u8]| {
            batch.room()[..bytes.len()].copy_from_slice(bytes);
            tree.take(batch.filled(bytes.len()), &stop)
        };
        assert!(!put(&mut tree, b"000b:t:0:2:000b:a:0:1:").unwrap());
        stop.wanted.store(true, Ordering::Relaxed);
        let taken = put(&mut tree, &b"000b:a:0:1:".repeat(9_000));
        assert!(matches!(taken, Err(Trouble::Stopped)), "{taken:?}");
        assert_eq!(tree.files, 1);
    }
}

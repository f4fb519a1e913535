//! Writes small files on a thread of its own, a batch of them at a time, while the next ones are
//! received and made. Names are made in the order of the stream by the thread that reads it; here
//! they have their contents, and that takes as long again.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope};

use rustix::process::{Resource, getrlimit};

use super::STACK_BYTES;
use crate::store::download::StagedFile;

/// Bytes of the stream in one batch: several dozens of usual small files for one wake-up.
const BATCH_BYTES: usize = 256 << 10;

/// One is filled, one is written, one lies between.
const BATCHES: usize = 3;

/// Most files of one batch that are written here.
const FILES_MAX: usize = 64;

/// Files that may be open and not written yet, of all transfers together: each is a descriptor.
#[derive(Debug)]
pub(super) struct Spare(AtomicUsize);

impl Default for Spare {
    /// A quarter of the descriptors that the system grants.
    fn default() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self(AtomicUsize::new(usize::try_from(limit / 4).unwrap_or(usize::MAX)))
    }
}

impl Spare {
    fn take(&self) -> Option<Taken<'_>> {
        let less = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok().map(|_| Taken(self))
    }
}

#[cfg(test)]
impl From<usize> for Spare {
    fn from(files: usize) -> Self {
        Self(AtomicUsize::new(files))
    }
}

/// One of them, until this is dropped.
struct Taken<'a>(&'a Spare);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A file left to the thread.
struct Left<'a> {
    file: StagedFile,
    _taken: Taken<'a>,
}

/// A piece of the stream, and what of it belongs to which file.
pub(super) struct Batch<'a> {
    buffer: Box<[u8]>,
    /// Bytes in the buffer.
    len: usize,
    jobs: Vec<Job<'a>>,
    files: usize,
    spare: &'a Spare,
}

enum Job<'a> {
    /// What follows is for this file.
    Begin(Left<'a>),
    /// This part of the buffer is its next contents.
    Write(Range<usize>),
    /// It is complete; its modification time.
    Close(Option<u64>),
}

impl<'a> Batch<'a> {
    pub(super) fn new(spare: &'a Spare) -> Self {
        let buffer = vec![0; BATCH_BYTES].into();
        Self { buffer, len: 0, jobs: Vec::new(), files: 0, spare }
    }

    /// Where the next bytes of the stream go.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.len..).unwrap_or_default()
    }

    /// So many bytes came into the room.
    pub(super) fn filled(&mut self, bytes: usize) -> Filled<'_, 'a> {
        let begin = self.len;
        self.len = (begin + bytes).min(self.buffer.len());
        let (filled, _) = self.buffer.split_at(self.len);
        let piece = filled.get(begin..).unwrap_or_default();
        Filled {
            piece,
            end: self.len,
            jobs: &mut self.jobs,
            files: &mut self.files,
            spare: self.spare,
        }
    }

    /// Whether it is time to hand it over: it would take little more.
    pub(super) fn is_full(&self) -> bool {
        self.len > BATCH_BYTES / 4 * 3 || self.files == FILES_MAX
    }

    /// Writes what it holds; the file it ends in goes on in the next batch.
    fn write(&mut self, file: &mut Option<Left<'a>>) -> io::Result<()> {
        for job in self.jobs.drain(..) {
            match job {
                Job::Begin(begun) => *file = Some(begun),
                Job::Write(range) => {
                    if let Some(left) = file {
                        left.file.write(self.buffer.get(range).unwrap_or_default())?;
                    }
                }
                Job::Close(mtime) => {
                    if let Some(left) = file.take() {
                        left.file.complete(mtime);
                    }
                }
            }
        }
        (self.len, self.files) = (0, 0);
        Ok(())
    }
}

/// What came last into a batch, to be read from its front.
pub(super) struct Filled<'b, 'a> {
    pub(super) piece: &'b [u8],
    /// Where in the buffer the piece ends.
    end: usize,
    jobs: &'b mut Vec<Job<'a>>,
    files: &'b mut usize,
    spare: &'a Spare,
}

impl Filled<'_, '_> {
    /// Leaves a file to the thread; gives it back where that has enough of them.
    pub(super) fn leave(&mut self, file: StagedFile) -> Option<StagedFile> {
        let taken = if *self.files < FILES_MAX { self.spare.take() } else { None };
        let Some(taken) = taken else { return Some(file) };
        *self.files += 1;
        self.jobs.push(Job::Begin(Left { file, _taken: taken }));
        None
    }

    /// The `bytes` that were read last are contents of the file left last.
    pub(super) fn contents(&mut self, bytes: usize) {
        let end = self.end - self.piece.len();
        self.jobs.push(Job::Write(end - bytes..end));
    }

    /// The file left last is complete.
    pub(super) fn complete(&mut self, mtime: Option<u64>) {
        self.jobs.push(Job::Close(mtime));
    }
}

/// The thread. It ends with the first error.
pub(super) struct Writer<'a> {
    batches: Sender<Batch<'a>>,
    /// What was written comes back empty.
    back: Receiver<io::Result<Batch<'a>>>,
}

impl<'a> Writer<'a> {
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, 'a>,
        spare: &'a Spare,
    ) -> io::Result<Self> {
        let (batches, to_write) = channel();
        let (written, back) = channel();
        for _ in 1..BATCHES {
            // The other end is in this function.
            let _ = written.send(Ok(Batch::new(spare)));
        }
        let run = move || run(&to_write, &written);
        Builder::new().name("write".to_owned()).stack_size(STACK_BYTES).spawn_scoped(scope, run)?;
        Ok(Self { batches, back })
    }

    /// Hands a batch over for an empty one; waits until there is one. An error is that of a batch
    /// before.
    pub(super) fn swap(&self, full: Batch<'a>) -> io::Result<Batch<'a>> {
        // Where nobody takes it any more, the reason comes back.
        let _ = self.batches.send(full);
        self.back.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Waits until all is written, this batch too.
    pub(super) fn finish(self, last: Option<Batch<'a>>) -> io::Result<()> {
        if let Some(last) = last {
            let _ = self.batches.send(last);
        }
        drop(self.batches);
        self.back.iter().try_for_each(|written| written.map(drop))
    }
}

fn run<'a>(batches: &Receiver<Batch<'a>>, written: &Sender<io::Result<Batch<'a>>>) {
    let mut file = None;
    for mut batch in batches {
        let done = batch.write(&mut file);
        let failed = done.is_err();
        if written.send(done.map(|()| batch)).is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::store::download::{Folder, Stage};

    fn stage(home: &tempfile::TempDir) -> Stage {
        Stage::begin(Arc::new(Folder::open(home.path()).unwrap()), "0a0a0a0a0a0a0a0a0a0a").unwrap()
    }

    /// Puts these bytes into a batch as the next contents of the file left last.
    fn put(batch: &mut Batch<'_>, bytes: &[u8]) {
        batch.room()[..bytes.len()].copy_from_slice(bytes);
        let mut came = batch.filled(bytes.len());
        came.piece = &[];
        came.contents(bytes.len());
    }

    fn leave(batch: &mut Batch<'_>, file: StagedFile) -> bool {
        batch.filled(0).leave(file).is_none()
    }

    /// A file that takes no byte: its disk is full.
    fn full() -> StagedFile {
        OwnedFd::from(fs::OpenOptions::new().write(true).open("/dev/full").unwrap()).into()
    }

    #[test]
    fn a_file_goes_on_through_as_many_batches_as_it_takes() {
        let home = tempfile::tempdir().unwrap();
        let (mut stage, spare) = (stage(&home), Spare::default());
        thread::scope(|scope| {
            let writer = Writer::start(scope, &spare).unwrap();
            let mut batch = Batch::new(&spare);
            assert!(leave(&mut batch, stage.create("a", false).unwrap()));
            for turn in 0..10_u8 {
                put(&mut batch, &[turn; 3]);
                batch = writer.swap(batch).unwrap();
            }
            batch.filled(0).complete(Some(1_700_000_000));
            writer.finish(Some(batch)).unwrap();
        });
        let path = stage.finish("x").unwrap().join("a");
        let expected: Vec<u8> = (0..10_u8).flat_map(|turn| [turn; 3]).collect();
        assert_eq!(fs::read(&path).unwrap(), expected);
        assert_eq!(fs::metadata(path).unwrap().mtime(), 1_700_000_000);
    }

    #[test]
    fn what_cannot_be_written_is_told_to_who_is_ahead_and_ends_the_thread() {
        let home = tempfile::tempdir().unwrap();
        let (mut stage, spare) = (stage(&home), Spare::from(FILES_MAX));
        // With the next batches, and at the latest with the end.
        for goes_on in [true, false] {
            thread::scope(|scope| {
                let writer = Writer::start(scope, &spare).unwrap();
                let mut batch = Batch::new(&spare);
                assert!(leave(&mut batch, full()));
                put(&mut batch, b"lost");
                let mut told = None;
                for turn in 0..BATCHES {
                    if !goes_on {
                        break;
                    }
                    match writer.swap(batch) {
                        Ok(empty) => batch = empty,
                        Err(error) => {
                            told = Some(error);
                            batch = Batch::new(&spare);
                        }
                    }
                    let file = stage.create(&turn.to_string(), false).unwrap();
                    assert!(leave(&mut batch, file));
                    put(&mut batch, b"later");
                }
                let ended = writer.finish(Some(batch));
                let error = told.or(ended.err()).unwrap();
                assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{goes_on} {error}");
            });
            assert_eq!(spare.0.load(Ordering::Relaxed), FILES_MAX, "all are closed");
        }
    }

    #[test]
    fn no_more_files_wait_than_may_be_open() {
        let home = tempfile::tempdir().unwrap();
        let (mut stage, spare) = (stage(&home), Spare::from(2));
        let mut file = |name: &str| stage.create(name, false).unwrap();
        thread::scope(|scope| {
            let writer = Writer::start(scope, &spare).unwrap();
            let (mut first, mut second) = (Batch::new(&spare), Batch::new(&spare));
            assert!(leave(&mut first, file("a")) && leave(&mut second, file("b")));
            assert!(!leave(&mut first, file("c")), "of another transfer too");
            second.filled(0).complete(None);
            drop(second);
            assert!(leave(&mut first, file("d")));
            writer.finish(Some(first)).unwrap();
            let many = Spare::from(usize::MAX);
            let mut batch = Batch::new(&many);
            let left = (0..100).filter(|n| leave(&mut batch, file(&n.to_string()))).count();
            assert!(left == FILES_MAX && batch.is_full());
        });
        assert_eq!(spare.0.load(Ordering::Relaxed), 2);
    }
}

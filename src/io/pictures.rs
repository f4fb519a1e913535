//! What the node wants done with the bytes of pictures, done on two threads that begin with the
//! first picture: one writes and reads stages, the other decodes, one picture at a time.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::image::{self, ImageError};
use crate::node::{PictureJob, PictureNews, StageId, UnixMillis};
use crate::store::Staging;
use crate::store::download::Folder;
use crate::store::pictures::SavePictureError;

/// The two threads.
#[derive(Debug)]
pub(crate) struct Pictures {
    staging: Staging,
    /// The download folder.
    downloads: PathBuf,
    /// To the first thread, once it runs.
    jobs: Option<Sender<Order>>,
    /// Bytes on their way to it.
    waiting: Arc<Waiting>,
    /// Pictures being checked.
    checking: Arc<AtomicUsize>,
    tell: mpsc::UnboundedSender<(StageId, PictureNews)>,
    news: mpsc::UnboundedReceiver<(StageId, PictureNews)>,
}

/// Bytes that wait for the disk, of each stage that has some.
#[derive(Debug, Default)]
struct Waiting(Mutex<BTreeMap<StageId, usize>>);

impl Waiting {
    fn add(&self, stage: StageId, bytes: usize) {
        *self.stages().entry(stage).or_default() += bytes;
    }

    fn done(&self, stage: StageId, bytes: usize) {
        let mut stages = self.stages();
        if let Some(left) = stages.get_mut(&stage) {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                stages.remove(&stage);
            }
        }
    }

    fn stages(&self) -> MutexGuard<'_, BTreeMap<StageId, usize>> {
        // Every change of it is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the first thread is told.
enum Order {
    Job(PictureJob),
    /// Say when everything before this is done.
    Tell(oneshot::Sender<()>),
}

/// Bytes that may wait for the disk before the sockets are left unread; the senders repeat what
/// does not fit into the kernel's buffer.
const WAITING_MAX: usize = 4 << 20;
const STACK_BYTES: usize = 512 * 1024;
/// What the standard library gives a thread, which is what decoders are written for.
const DECODER_STACK_BYTES: usize = 2 << 20;

impl Pictures {
    /// Nothing runs yet.
    pub(crate) fn new(staging: Staging, downloads: PathBuf) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        Self {
            staging,
            downloads,
            jobs: None,
            waiting: Arc::default(),
            checking: Arc::default(),
            tell,
            news,
        }
    }

    /// Does something, later.
    pub(crate) fn run(&mut self, job: PictureJob) {
        if self.jobs.is_none() {
            match self.spawn() {
                Ok(jobs) => self.jobs = Some(jobs),
                Err(error) => {
                    let reason = format!("there is no thread for pictures: {error}");
                    if let PictureJob::Begin { stage, .. } | PictureJob::Pack { stage, .. } = job {
                        let _ = self.tell.send((stage, PictureNews::Failed(reason)));
                    }
                    return;
                }
            }
        }
        match &job {
            PictureJob::Write { stage, data, .. } => self.waiting.add(*stage, data.len()),
            PictureJob::Check { .. } => {
                self.checking.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        if let Some(jobs) = &self.jobs {
            // The thread ends with this sender.
            let _ = jobs.send(Order::Job(job));
        }
    }

    /// Waits until every piece that came is written, and every file made.
    pub(crate) async fn flush(&self) {
        let (tell, done) = oneshot::channel();
        if let Some(jobs) = &self.jobs
            && jobs.send(Order::Tell(tell)).is_ok()
        {
            let _ = done.await;
        }
    }

    /// Whether so much waits for the disk that no more should be read from the network.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.stages().values().sum::<usize>() >= WAITING_MAX
    }

    /// The stages of which bytes are still waiting for the disk.
    pub(crate) fn unwritten(&self) -> Vec<StageId> {
        self.waiting.stages().keys().copied().collect()
    }

    /// Whether pictures are being checked.
    pub(crate) fn is_checking(&self) -> bool {
        self.checking.load(Ordering::Relaxed) > 0 || !self.news.is_empty()
    }

    /// What came of a job; waits for it.
    pub(crate) async fn news(&mut self) -> (StageId, PictureNews) {
        match self.news.recv().await {
            Some(news) => news,
            // Not while we hold a sender ourselves.
            None => std::future::pending().await,
        }
    }

    /// What came of a job meanwhile.
    pub(crate) fn try_news(&mut self) -> Option<(StageId, PictureNews)> {
        self.news.try_recv().ok()
    }

    fn spawn(&self) -> io::Result<Sender<Order>> {
        let (jobs, queue) = channel();
        let (decode, to_decode) = channel();
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        let decoder = Decoder {
            staging: self.staging.clone(),
            checking: Arc::clone(&self.checking),
            tell: self.tell.clone(),
        };
        thread("decoder").stack_size(DECODER_STACK_BYTES).spawn(move || decoder.run(&to_decode))?;
        let keeper = Keeper {
            staging: self.staging.clone(),
            downloads: self.downloads.clone(),
            waiting: Arc::clone(&self.waiting),
            tell: self.tell.clone(),
        };
        thread("pictures").stack_size(STACK_BYTES).spawn(move || keeper.run(&queue, &decode))?;
        Ok(jobs)
    }
}

/// Writes and reads stages.
struct Keeper {
    staging: Staging,
    downloads: PathBuf,
    waiting: Arc<Waiting>,
    tell: mpsc::UnboundedSender<(StageId, PictureNews)>,
}

impl Keeper {
    fn run(self, queue: &Receiver<Order>, decode: &Sender<PictureJob>) {
        while let Ok(order) = queue.recv() {
            let job = match order {
                Order::Job(job) => job,
                Order::Tell(done) => {
                    let _ = done.send(());
                    continue;
                }
            };
            let (stage, done) = match job {
                PictureJob::Begin { stage, size, at, counts } => {
                    (stage, self.staging.begin(stage, size.into(), at, counts).map(|()| None))
                }
                PictureJob::Write { stage, offset, data } => {
                    let written = self.staging.write(stage, offset.into(), &data);
                    self.waiting.done(stage, data.len());
                    (stage, written.map(|()| None))
                }
                PictureJob::Read { stage, offset, length } => {
                    let length = usize::try_from(length).unwrap_or(0);
                    let read = self.staging.read(stage, offset.into(), length);
                    let news = |data: Vec<u8>| PictureNews::Read { offset, data: data.into() };
                    (stage, read.map(|data| Some(news(data))))
                }
                PictureJob::Export { stage, name, at } => {
                    let _ = self.tell.send((stage, self.export(stage, &name, at)));
                    continue;
                }
                PictureJob::Drop { stage } => {
                    self.staging.drop_stage(stage);
                    continue;
                }
                longer => {
                    // The decoder ends only after this thread.
                    let _ = decode.send(longer);
                    continue;
                }
            };
            let news = done.unwrap_or_else(|error| {
                self.staging.drop_stage(stage);
                Some(PictureNews::Failed(error.to_string()))
            });
            if let Some(news) = news {
                // The receiver is gone only when the node is.
                let _ = self.tell.send((stage, news));
            }
        }
    }
}

impl Keeper {
    fn export(&self, stage: StageId, name: &str, at: UnixMillis) -> PictureNews {
        let written = Folder::open(&self.downloads)
            .map_err(SavePictureError::from)
            .and_then(|folder| self.staging.export(stage, folder, name, at));
        written
            .map_or_else(|error| PictureNews::NotExported(error.to_string()), PictureNews::Exported)
    }
}

/// Decodes pictures and packs them.
struct Decoder {
    staging: Staging,
    checking: Arc<AtomicUsize>,
    tell: mpsc::UnboundedSender<(StageId, PictureNews)>,
}

impl Decoder {
    fn run(self, queue: &Receiver<PictureJob>) {
        while let Ok(job) = queue.recv() {
            let is_check = matches!(job, PictureJob::Check { .. });
            let (stage, done) = match job {
                PictureJob::Check { stage } => (stage, self.check(stage)),
                PictureJob::Pack { stage, path } => (stage, self.pack(stage, &path).map(Some)),
                _ => continue,
            };
            let news = done.unwrap_or_else(|error| {
                self.staging.drop_stage(stage);
                Some(PictureNews::Failed(error.to_string()))
            });
            if let Some(news) = news {
                let _ = self.tell.send((stage, news));
            }
            if is_check {
                self.checking.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Decodes what is staged. Nothing where writing it had failed: that was told already.
    fn check(&self, stage: StageId) -> Result<Option<PictureNews>, ImageError> {
        let Some(file) = self.staging.file(stage) else { return Ok(None) };
        let checked = image::check(&file, |size| self.staging.file_of(size))?;
        if let Some(file) = checked.file {
            self.staging.replace(stage, file);
        }
        Ok(Some(PictureNews::Checked(checked.facts)))
    }

    fn pack(&self, stage: StageId, path: &Path) -> Result<PictureNews, ImageError> {
        let container = image::pack(path)?;
        let size = u32::try_from(container.len()).map_err(|_| ImageError::LargeForPeer)?;
        let file = self.staging.file_of(size.into()).map_err(ImageError::Store)?;
        std::os::unix::fs::FileExt::write_all_at(&file, &container, 0)?;
        self.staging.put(stage, file);
        Ok(PictureNews::Packed { size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_unwritten_until_the_last_of_its_bytes_is_on_the_disk() {
        let staging = Staging::passing();
        let stages = [StageId(1), StageId(2)];
        for stage in stages {
            staging.begin(stage, 8, UnixMillis(0), false).unwrap();
        }
        let mut pictures = Pictures::new(staging.clone(), PathBuf::new());
        // The disk hangs: nobody takes the orders.
        let (jobs, queue) = channel();
        pictures.jobs = Some(jobs);
        let write = |stage, offset| PictureJob::Write { stage, offset, data: [7; 4].into() };
        for (stage, offset) in [(stages[0], 0), (stages[1], 0), (stages[0], 4)] {
            pictures.run(write(stage, offset));
        }
        assert_eq!(pictures.unwritten(), stages);
        let keeper = |orders: usize| {
            let (some, taken) = channel();
            for order in queue.try_iter().take(orders) {
                some.send(order).unwrap();
            }
            drop(some);
            let (staging, tell) = (staging.clone(), pictures.tell.clone());
            let waiting = Arc::clone(&pictures.waiting);
            Keeper { staging, downloads: PathBuf::new(), waiting, tell }.run(&taken, &channel().0);
        };
        keeper(2);
        assert_eq!(pictures.unwritten(), [stages[0]], "half of it is missing");
        keeper(1);
        assert!(pictures.unwritten().is_empty());
        assert_eq!(staging.read(stages[0], 0, 8).unwrap(), [7; 8]);
    }
}

//! The one thread that writes the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::log::Moment;
use super::{Store, StoreError};
use crate::node::{Record, SaveId, SaveResult};

/// Commits batches on a thread of its own, so that nobody waits for a disk. Whatever came together
/// while one transaction was being synced goes into the next one: a burst costs few syncs.
///
/// Dropping it commits what waits and ends the thread.
#[derive(Debug)]
pub struct Writer {
    /// None only while the writer is being closed.
    batches: Option<Sender<Batch>>,
    thread: Option<JoinHandle<Store>>,
    waiting: Arc<AtomicUsize>,
}

/// Records that came together.
type Batch = Vec<(SaveId, Record)>;

/// Most records of one transaction; what waits beyond that goes into the next.
const TOGETHER_MAX: usize = 8_192;

/// `SQLite` and our own frames need less than a tenth of this, also in debug builds.
const STACK_BYTES: usize = 512 * 1024;

impl Writer {
    /// Starts the thread. `done` is called on it after each transaction, with the results in the
    /// order of [`Writer::save`]; it must not block for long.
    ///
    /// # Errors
    ///
    /// [`StoreError::Thread`] if the system refuses the thread.
    pub fn spawn(
        store: Store,
        done: impl Fn(Vec<(SaveId, SaveResult)>) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (batches, queue) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&waiting);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || write(store, &queue, &counter, &done))
            .map_err(|source| StoreError::Thread { source })?;
        Ok(Self { batches: Some(batches), thread: Some(thread), waiting })
    }

    /// Hands records over; returns at once. Their results come by `done`. If the thread is gone
    /// (it panicked in `done`) they come never, and no receipt is sent.
    pub fn save(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        self.waiting.fetch_add(batch.len(), Ordering::Relaxed);
        if let Some(batches) = &self.batches {
            let _ = batches.send(batch);
        }
    }

    /// Records handed over whose results are not out yet. Whoever feeds from a network stops
    /// reading while this is high: the queue itself has no bound.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Commits what waits, ends the thread and returns the store, to be closed. None if the thread
    /// panicked.
    pub fn close(mut self) -> Option<Store> {
        self.end()
    }

    fn end(&mut self) -> Option<Store> {
        self.batches = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

fn write(
    mut store: Store,
    queue: &Receiver<Batch>,
    waiting: &AtomicUsize,
    done: &impl Fn(Vec<(SaveId, SaveResult)>),
) -> Store {
    store.commit_start();
    let mut index = Indexing::new();
    while let Some(mut batch) = index.next(queue, &mut store) {
        while batch.len() < TOGETHER_MAX {
            let Ok(more) = queue.try_recv() else { break };
            batch.extend(more);
        }
        let results = store.commit(&batch);
        index.note(batch.len());
        drop(batch);
        let left = waiting.fetch_sub(results.len(), Ordering::Relaxed) - results.len();
        done(results);
        store.tidy(if left == 0 { Moment::Idle } else { Moment::Busy });
    }
    store
}

/// When the index of texts is filled: when nothing came for a moment, and after a second also in a
/// short pause. Under a load it stays behind, and searches look through more: a piece of it in each
/// short pause would hold up the receipts of those who wait.
struct Indexing {
    /// Since when it lacks messages.
    behind: Option<Instant>,
    /// The second that is being counted: its beginning, and the records that came in it.
    second: (Instant, usize),
    /// More came in the second before than goes with filling it.
    loaded: bool,
}

/// So long nothing has come when the index is filled, and so long it may wait for that.
const QUIET: Duration = Duration::from_millis(250);
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Records a second that count as a load.
const LOAD: usize = 2_000;

impl Indexing {
    /// Due at once: an earlier run may have left something.
    fn new() -> Self {
        let now = now();
        Self { behind: Some(now), second: (now, 0), loaded: false }
    }

    /// So many records were written, of which the index knows nothing yet.
    fn note(&mut self, records: usize) {
        let now = now();
        self.behind.get_or_insert(now);
        let (since, count) = self.second;
        if now - since < BEHIND_MAX {
            self.second.1 += records;
        } else {
            self.loaded = count > LOAD;
            self.second = (now, records);
        }
        self.loaded |= self.second.1 > LOAD;
    }

    /// The next batch; none at the end. Meanwhile the index is filled.
    fn next(&mut self, queue: &Receiver<Batch>, store: &mut Store) -> Option<Batch> {
        while let Some(since) = self.behind {
            let soonest =
                if self.loaded { QUIET } else { BEHIND_MAX.saturating_sub(since.elapsed()) };
            match queue.recv_timeout(soonest.min(QUIET)) {
                Ok(batch) => return Some(batch),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if store.rest() => self.loaded = false,
                Err(RecvTimeoutError::Timeout) => self.behind = None,
            }
        }
        queue.recv().ok()
    }
}

#[expect(clippy::disallowed_methods, reason = "only how long the writer waits depends on it")]
fn now() -> Instant {
    Instant::now()
}

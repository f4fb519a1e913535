//! What a listener printed is read: [`Seen`] writes that down behind it, some at a time.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::client::Client;
use crate::store::history::Pen;
use crate::store::{Paths, Reader, StoreError};

/// Messages that somebody has seen, on their way to the store.
#[derive(Debug)]
pub(super) struct Seen {
    pending: Arc<Pending>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Pending {
    paths: Paths,
    ids: Mutex<Vec<i64>>,
    some: Notify,
}

/// Says how many messages came while nobody looked.
pub(super) fn remind(client: &Client) {
    // Nothing is stored yet, or it cannot be read now: nothing to remind of.
    let Ok(unread) = Reader::open(client.paths()).and_then(|reader| reader.unread()) else {
        return;
    };
    let messages = if unread == 1 { "message is" } else { "messages are" };
    if unread > 0 {
        client.style().say(&format!("{unread} {messages} unread: feige history --unread"));
    }
}

/// So long messages come together before they are written down.
const TOGETHER: Duration = Duration::from_millis(300);

impl Seen {
    /// Writes to the store of this profile.
    pub(super) fn new(paths: &Paths) -> Self {
        let (ids, some) = (Mutex::default(), Notify::new());
        let pending = Arc::new(Pending { paths: paths.clone(), ids, some });
        let task = tokio::spawn(Arc::clone(&pending).write());
        Self { pending, task }
    }

    /// The message at this place of the event stream was printed.
    pub(super) fn note(&self, seq: u64) {
        self.pending.ids().extend(i64::try_from(seq));
        self.pending.some.notify_one();
    }
}

impl Drop for Seen {
    /// However the command ends, also by Ctrl-C: what was printed was seen.
    fn drop(&mut self) {
        self.task.abort();
        self.pending.flush();
    }
}

impl Pending {
    async fn write(self: Arc<Self>) {
        loop {
            self.some.notified().await;
            sleep(TOGETHER).await;
            let pending = Arc::clone(&self);
            // It ends early only with the process, and then Drop does it.
            let _ = spawn_blocking(move || pending.flush()).await;
        }
    }

    fn flush(&self) {
        let ids = mem::take(&mut *self.ids());
        if ids.is_empty() {
            return;
        }
        let mark = || -> Result<(), StoreError> {
            Pen::open(&self.paths, crate::io::wall_clock())?.mark_shown(&ids)
        };
        if let Err(error) = mark() {
            // They stay unread and are shown once more; nothing is lost.
            tracing::warn!("messages stay unread: {error}");
        }
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, Vec<i64>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

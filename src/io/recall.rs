//! Stored messages that the node wants to see again: looked up off its task, because a disk may be
//! slow.

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::node::{Input, Recalled, RequestId};
use crate::store::{Paths, Reader};

/// What is being looked up.
#[derive(Debug)]
pub(crate) struct Recalls {
    paths: Paths,
    found: mpsc::UnboundedSender<Found>,
    next: mpsc::UnboundedReceiver<Found>,
}

/// A message that was looked up, for the request that wants it.
#[derive(Debug)]
pub(crate) struct Found {
    request: RequestId,
    seq: u64,
    message: Recalled,
}

impl Recalls {
    /// From the store of this profile.
    pub(crate) fn new(paths: Paths) -> Self {
        let (found, next) = mpsc::unbounded_channel();
        Self { paths, found, next }
    }

    /// Begins to look a message up; returns at once.
    pub(crate) fn look_up(&self, request: RequestId, seq: u64) {
        let (paths, found) = (self.paths.clone(), self.found.clone());
        spawn_blocking(move || {
            let message = Reader::open(&paths).and_then(|reader| reader.message(seq));
            let message = message.unwrap_or_else(|error| Recalled::Failed(error.to_string()));
            // The receiver is gone only when the node is, and then nobody waits for the answer.
            let _ = found.send(Found { request, seq, message });
        });
    }

    /// What was found; waits for it. May be dropped and called again at any time.
    pub(crate) async fn next(&mut self) -> Found {
        match self.next.recv().await {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }
}

impl From<Found> for Input<'_> {
    fn from(Found { request, seq, message }: Found) -> Self {
        Input::Recalled { request, seq, found: message }
    }
}

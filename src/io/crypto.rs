//! The thread that works with our private keys, so that nobody else waits for it. It is there from
//! the first job on; how many jobs may wait is the node's business.

use std::sync::mpsc::{self as jobs, Sender};
use std::thread;

use rand::rngs::OsRng;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::node::{Done, Job, JobId, Keyring};

/// The worker, or what it will need.
#[derive(Debug)]
pub(crate) struct Crypto {
    worker: Worker,
    finish: UnboundedSender<(JobId, Done)>,
    finished: UnboundedReceiver<(JobId, Done)>,
}

#[derive(Debug)]
enum Worker {
    /// Nothing was to be done yet.
    Idle(Keyring),
    /// It runs, and ends with this sender.
    Running(Sender<(JobId, Job)>),
    /// The system refused the thread.
    Refused,
}

/// Frames of big-number arithmetic are small, also in debug builds.
const STACK_BYTES: usize = 512 * 1024;

impl Crypto {
    /// With the keys that earlier runs made.
    pub(crate) fn new(keyring: Keyring) -> Self {
        let (finish, finished) = mpsc::unbounded_channel();
        Self { worker: Worker::Idle(keyring), finish, finished }
    }

    /// Has a job done. One that cannot be done is dropped; whoever needs it asks again.
    pub(crate) fn order(&mut self, id: JobId, job: Job) {
        if let Worker::Idle(_) = self.worker
            && let Worker::Idle(keyring) = std::mem::replace(&mut self.worker, Worker::Refused)
        {
            match start(keyring, self.finish.clone()) {
                Ok(worker) => self.worker = Worker::Running(worker),
                Err(error) => tracing::warn!("no thread for private keys: {error}"),
            }
        }
        if let Worker::Running(worker) = &self.worker {
            let _ = worker.send((id, job));
        }
    }

    /// The next job that is done; waits for it.
    pub(crate) async fn done(&mut self) -> (JobId, Done) {
        match self.finished.recv().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }
}

fn start(
    mut keyring: Keyring,
    finish: UnboundedSender<(JobId, Done)>,
) -> std::io::Result<Sender<(JobId, Job)>> {
    let (orders, queue) = jobs::channel::<(JobId, Job)>();
    thread::Builder::new().name("keys".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        while let Ok((id, job)) = queue.recv() {
            if finish.send((id, keyring.perform(job, &mut OsRng))).is_err() {
                return;
            }
        }
    })?;
    Ok(orders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Section;

    #[tokio::test]
    async fn jobs_are_done_in_order_by_one_thread() {
        let mut crypto = Crypto::new(Keyring::default());
        for id in 1..=3 {
            let section = Section {
                methods: crate::node::Capability::from_bits_retain(0x2_0002),
                key: b"00".to_vec(),
                body: b"00".to_vec(),
                signature: None,
                number: b"1".to_vec(),
            };
            crypto.order(JobId(id), Job::Open(section));
        }
        for id in 1..=3 {
            let (done, result) = crypto.done().await;
            assert_eq!(done, JobId(id));
            assert!(matches!(result, Done::Opened(Err(_))));
        }
    }
}

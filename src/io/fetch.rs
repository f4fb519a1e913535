//! Transfers to us: each on a thread of its own, so that bytes move without the node's task and
//! messages never wait for them. What is fetched, and from whom, the node has decided.

mod connect;
mod file;
mod folder;
mod pump;
mod transfer;
mod trouble;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Shutdown};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::Socket;
use tokio::sync::mpsc;

use self::transfer::Transfer;
use self::trouble::Trouble;
use crate::node::{Fetch, FetchEnd, FetchId, FetchNews};

/// The transfers that run.
#[derive(Debug)]
pub(crate) struct Fetches {
    place: Arc<Place>,
    running: HashMap<FetchId, Arc<Stop>>,
    tell: mpsc::UnboundedSender<(FetchId, FetchNews)>,
    news: mpsc::UnboundedReceiver<(FetchId, FetchNews)>,
}

/// Where transfers go, and by what limits.
#[derive(Debug)]
struct Place {
    /// Where a transfer goes that names no folder.
    downloads: PathBuf,
    /// The loopback address connections are made from; none: the system's choice.
    source: Option<Ipv4Addr>,
    limits: Limits,
}

/// How long a sender may keep us waiting.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Until the connection stands.
    connect: Duration,
    /// Without a byte (threats, caps).
    silence: Duration,
    /// In this time at least [`Limits::drip_bytes`] must come: one who sends a byte now and then
    /// holds a transfer open for ever.
    drip: Duration,
    drip_bytes: u64,
    /// FeiQ closes without a byte when it is asked too soon (FeiQ dialect, 8): asked again after
    /// this time, so often in all.
    again_after: Duration,
    tries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            drip: Duration::from_secs(120),
            drip_bytes: 64 << 10,
            again_after: Duration::from_millis(150),
            tries: 3,
        }
    }
}

/// How a transfer is ended from outside.
#[derive(Debug, Default)]
struct Stop {
    wanted: AtomicBool,
    /// The connection it waits on.
    socket: Mutex<Option<Socket>>,
}

impl Stop {
    fn stop(&self) {
        self.wanted.store(true, Ordering::Relaxed);
        if let Some(socket) = &*self.socket.lock().unwrap_or_else(PoisonError::into_inner) {
            // It is closed already, or will be found closed.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// This is the connection now.
    fn watch(&self, socket: &Socket) {
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = socket.try_clone().ok();
    }
}

/// Buffers are on the heap; the frames of the deepest call fit many times, also in debug builds.
const STACK_BYTES: usize = 256 * 1024;

impl Fetches {
    pub(crate) fn new(downloads: PathBuf, source: Option<Ipv4Addr>) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        let place = Place { downloads, source, limits: Limits::default() };
        Self { place: Arc::new(place), running: HashMap::new(), tell, news }
    }

    /// Begins a transfer; its end is told in any case.
    pub(crate) fn start(&mut self, id: FetchId, fetch: Fetch) {
        let stop = Arc::new(Stop::default());
        let (watched, place, tell) = (stop.clone(), self.place.clone(), self.tell.clone());
        let run = move || {
            // Nobody listens any more only when the node is gone.
            let told = |news| drop(tell.send((id, news)));
            let end = Transfer::new(&fetch, &place, &watched, &told).run();
            told(FetchNews::Ended(Box::new(end)));
        };
        let thread =
            std::thread::Builder::new().name("fetch".to_owned()).stack_size(STACK_BYTES).spawn(run);
        match thread {
            Ok(_) => drop(self.running.insert(id, stop)),
            Err(error) => {
                let end = FetchEnd {
                    result: Err(Trouble::Thread(error).into()),
                    bytes: 0,
                    resumed: 0,
                    done: 0,
                    skipped: 0,
                    took: Duration::ZERO,
                    sha256: None,
                    ids: None,
                };
                drop(self.tell.send((id, FetchNews::Ended(Box::new(end)))));
            }
        }
    }

    /// Ends a transfer; it tells its end.
    pub(crate) fn stop(&mut self, id: FetchId) {
        if let Some(stop) = self.running.get(&id) {
            stop.stop();
        }
    }

    /// What the transfers tell; waits for it.
    pub(crate) async fn news(&mut self) -> (FetchId, FetchNews) {
        match self.news.recv().await {
            Some(news) => self.heard(news),
            None => std::future::pending().await,
        }
    }

    /// What the transfers have told meanwhile.
    pub(crate) fn try_news(&mut self) -> Option<(FetchId, FetchNews)> {
        let news = self.news.try_recv().ok()?;
        Some(self.heard(news))
    }

    fn heard(&mut self, news: (FetchId, FetchNews)) -> (FetchId, FetchNews) {
        if matches!(news.1, FetchNews::Ended(_)) {
            self.running.remove(&news.0);
        }
        news
    }
}

impl Drop for Fetches {
    fn drop(&mut self) {
        for stop in self.running.values() {
            stop.stop();
        }
    }
}

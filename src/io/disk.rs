//! The node's side of the store: records on their way to the writer thread, and what waits for
//! them. In a run without a store nothing is ever written here.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::gate::Gate;
use super::handle::{BACKLOG_EVENTS, Stamped};
use super::serve::{self, Shelf};
use super::{Start, StartError};
use crate::node::{
    Event, Keyring, Memory, Node, Now, PacketNo, Record, SaveId, SaveResult, StageId, UnixMillis,
};
use crate::store::{Boot, Copies, Paths, Reader, Staging, Store, StoreError, Writer, random_mac};

/// What came of a batch.
pub(crate) type Results = Vec<(SaveId, SaveResult)>;

/// The number of the newest stored event that was told; none where nothing is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Option<Arc<AtomicU64>>);

impl Told {
    /// It, now.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.0.as_ref().map(|seq| seq.load(Ordering::Relaxed))
    }

    fn note(&self, seq: u64) {
        if let Some(newest) = &self.0 {
            newest.fetch_max(seq, Ordering::Relaxed);
        }
    }
}

/// The writer and everything that waits for it.
pub(crate) struct Disk {
    /// What waits.
    pub(crate) gate: Gate,
    batch: Vec<(SaveId, Record)>,
    writer: Option<Writer>,
    results: mpsc::UnboundedReceiver<Results>,
    told: Told,
    /// What the store knows of earlier runs, until the node knows it too.
    memory: Memory,
    /// What is to be said of files that earlier runs offered.
    changed: Vec<String>,
    /// What the user should know of the store.
    notes: Vec<String>,
    /// The private keys in the store, until the worker has them.
    keyring: Keyring,
    paths: Paths,
    staging: Staging,
}

/// Records worth a transaction of their own while more are being read: its cost beside theirs is
/// small.
const EARLY: usize = 128;

impl Disk {
    /// Opens the store if there is to be one, and fills in what the node needs from it. `held`: files
    /// on offer that are open.
    pub(crate) fn open(
        start: &mut Start,
        now: UnixMillis,
        boot: Option<Boot>,
        held: &Shelf,
    ) -> Result<Self, StartError> {
        start.config.keeps = start.store;
        let (done, results) = mpsc::unbounded_channel();
        let (mut writer, mut told, mut memory) = (None, Told::default(), Memory::default());
        let mut notes = Vec::new();
        let mut keyring = Keyring::default();
        let mut staging = None;
        if start.store {
            let mut opened = Store::open(&start.paths, now)?;
            if let Some(boot) = boot {
                opened.store.reckon(boot)?;
            }
            notes.extend_from_slice(opened.store.notes());
            start.config.identity.mac = opened.mac;
            start.config.numbers = opened.numbers;
            told = Told(Some(Arc::new(AtomicU64::new(opened.last_seq))));
            memory = opened.store.memory()?;
            let span = start.config.policy.auto_reply_once_per;
            memory.replied = opened.store.replied(now, span)?;
            for key in opened.store.keys()? {
                if let Err(error) = keyring.restore(&key) {
                    tracing::warn!("a stored private key cannot be used: {error}");
                }
            }
            let of_grant = |path: &Path| {
                let mut files = memory.grants.iter().flat_map(|grant| grant.files.iter());
                files.any(|file| file.choice.path == path)
            };
            Copies::of(&start.paths).sweep(now, of_grant);
            staging = Some(opened.store.staging().clone());
            // The receiver is gone only when the node is, and then nobody needs the results.
            writer = Some(Writer::spawn(opened.store, move |batch| drop(done.send(batch)))?);
        } else {
            // Nothing is written, but whom the user blocked stays blocked. Where nothing can be read
            // there is nothing to know.
            if let Ok((aliases, blocks)) = Reader::open(&start.paths).and_then(|store| store.book())
            {
                memory = Memory { aliases, blocks, ..Memory::default() };
            }
            if start.config.identity.mac.is_empty() {
                // For this run alone.
                start.config.identity.mac = random_mac()?;
            }
        }
        let changed = serve::check(&mut memory.grants, held);
        let (gate, batch, paths) = (Gate::default(), Vec::new(), start.paths.clone());
        let staging = staging.unwrap_or_else(Staging::passing);
        Ok(Self {
            gate,
            batch,
            writer,
            results,
            told,
            memory,
            changed,
            notes,
            keyring,
            paths,
            staging,
        })
    }

    /// Which files are offered no more because they changed since an earlier run: what to say of
    /// each, once.
    pub(crate) fn changed_files(&mut self) -> Vec<String> {
        std::mem::take(&mut self.changed)
    }

    /// Tells a new node what the store knows of the runs before it.
    pub(crate) fn instruct(&mut self, mut node: Node, now: Now) -> Node {
        node.remember(now, std::mem::take(&mut self.memory));
        node
    }

    /// What the user should know of the store.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// The private keys in the store; only the first time.
    pub(crate) fn keyring(&mut self) -> Keyring {
        std::mem::take(&mut self.keyring)
    }

    /// Where pictures lie until they are kept.
    pub(crate) fn staging(&self) -> Staging {
        self.staging.clone()
    }

    /// Takes over pictures that another process had on their way.
    pub(crate) fn adopt(&self, stages: Vec<(StageId, OwnedFd)>) {
        for (stage, file) in stages {
            self.staging.put(stage, file.into());
        }
    }

    /// The store's file, if messages are kept.
    pub(crate) fn path(&self) -> Option<String> {
        self.writer.as_ref().map(|_| self.paths.db.display().to_string())
    }

    /// Takes a record for the next batch.
    pub(crate) fn save(&mut self, id: SaveId, record: Record) {
        self.gate.wait_for(id, &record);
        self.batch.push((id, record));
    }

    /// Hands the batch to the writer.
    pub(crate) fn submit(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if let Some(writer) = &self.writer {
            return writer.save(batch);
        }
        for (id, _) in batch {
            let reason = SaveResult::Failed("the store is closed".to_owned());
            self.gate.settle(id, &reason);
        }
    }

    /// Hands over what has gathered if it is worth a transaction and the writer has nothing to do;
    /// whether it was.
    pub(crate) fn submit_early(&mut self) -> bool {
        let idle = |writer: &Writer| writer.waiting() == 0;
        let early = self.batch.len() >= EARLY && self.writer.as_ref().is_some_and(idle);
        if early {
            self.submit();
        }
        early
    }

    /// What the writer has done; waits for it. Never resolves without a store.
    pub(crate) async fn results(&mut self) -> Results {
        match self.results.recv().await {
            Some(results) => results,
            None => std::future::pending().await,
        }
    }

    /// What the writer has done meanwhile.
    pub(crate) fn try_results(&mut self) -> Option<Results> {
        self.results.try_recv().ok()
    }

    /// An event of the stream is being told.
    pub(crate) fn told(&mut self, seq: u64) {
        self.told.note(seq);
    }

    /// What was told until now, and keeps up with it.
    pub(crate) fn told_so_far(&self) -> Told {
        self.told.clone()
    }

    /// Reads the stored events after `seq` that were told already, off the node's task. What is
    /// told from now on is not among them.
    pub(crate) fn replay(&self, seq: u64) -> impl FnOnce() -> Vec<Stamped> + Send + use<> {
        let (paths, last) = (self.paths.clone(), self.told.newest().unwrap_or(0));
        let stored = seq < last;
        move || {
            if !stored {
                return Vec::new();
            }
            read(&paths, seq, last).unwrap_or_else(|error| {
                tracing::warn!("stored events cannot be told again: {error}");
                vec![missed(last - seq)]
            })
        }
    }

    /// Commits what waits, ends the writer thread and closes the store, with the last packet number
    /// used; afterwards nothing can be saved. What is returned blocks for as long as the disk needs.
    pub(crate) fn close(&mut self, last_number: PacketNo) -> impl FnOnce() + Send + use<> {
        self.submit();
        let writer = self.writer.take();
        move || {
            if let Some(store) = writer.and_then(Writer::close) {
                store.close(last_number);
            }
        }
    }
}

fn read(paths: &Paths, after: u64, last: u64) -> Result<Vec<Stamped>, StoreError> {
    let too_many = (last - after).saturating_sub(BACKLOG_EVENTS as u64);
    let mut events = Vec::new();
    if too_many > 0 {
        events.push(missed(too_many));
    }
    let stored = Reader::open(paths)?.since(after + too_many, BACKLOG_EVENTS)?;
    let told = stored.into_iter().take_while(|event| event.seq <= last);
    events.extend(told.map(|e| Stamped { seq: Some(e.seq), at: e.at, event: e.event }));
    Ok(events)
}

fn missed(missed: u64) -> Stamped {
    Stamped { seq: None, at: UnixMillis::default(), event: Event::Lagged { missed } }
}

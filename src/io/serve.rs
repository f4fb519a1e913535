//! Sending what was asked for: one thread for each transfer, which may block on the disk and on the
//! receiver without holding up anybody else. Whether it may be sent at all the node has decided.

mod choose;
mod folder;
mod pace;
mod pump;
mod shelf;

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::Stat;
use socket2::Socket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use choose::{ChooseError, Chosen};
pub(crate) use shelf::{Shelf, Slot, check};

use self::choose::{is_chosen, open_without_links};
use self::folder::{Counted, Stream};
use self::pump::{Broken, Pump};
use self::shelf::is_as_chosen;
use super::clock::Clock;
use super::places::Place;
use super::tcp::Caller;
use crate::node::{
    FileChoice, OfferedFile, PacketNo, Refusal, Serve, ServeNews, Side, StreamId, TransferProblem,
};
use crate::store::Copies;
use crate::wire::tree::TreeWriter;

/// Every connection that was or may be served.
#[derive(Debug)]
pub(crate) struct Servers {
    clock: Clock,
    /// Asked for something, and the node has not said yet what becomes of it.
    asking: HashMap<StreamId, Connection>,
    running: HashMap<StreamId, Switch>,
    last: u64,
    shelf: Shelf,
    copies: Copies,
    /// Copies that are being removed, off the node's task: a disk may take its time.
    removing: JoinSet<()>,
    news: mpsc::UnboundedReceiver<(StreamId, ServeNews)>,
    tell: mpsc::UnboundedSender<(StreamId, ServeNews)>,
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    place: Place,
}

/// Ends a transfer from outside its thread.
#[derive(Debug)]
struct Switch {
    stopped: Arc<AtomicBool>,
    socket: Arc<Socket>,
}

impl Switch {
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Whoever blocks on it comes back. It may be over already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for switch in self.running.values() {
            switch.stop();
        }
    }
}

/// A transfer needs little: its buffers are on the heap.
const STACK_BYTES: usize = 256 * 1024;

impl Servers {
    /// `shelf`: what the process before this one held open. `copies`: what is removed when it is on
    /// offer no more.
    pub(crate) fn new(clock: Clock, shelf: Shelf, copies: Copies) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        let (asking, running, removing) = (HashMap::new(), HashMap::new(), JoinSet::new());
        let copies = copies.whole();
        Self { clock, asking, running, last: 0, shelf, copies, removing, news, tell }
    }

    /// Takes a caller in until the node has decided: what the node is to be told of it.
    pub(crate) fn admit(&mut self, caller: Caller) -> (StreamId, SocketAddr, Vec<u8>) {
        let Caller { from, request, socket, place } = caller;
        self.last += 1;
        let id = StreamId(self.last);
        self.asking.insert(id, Connection { socket, place });
        (id, from, request)
    }

    /// How it goes with what is being sent; waits for it. May be dropped and called again at any
    /// time.
    pub(crate) async fn news(&mut self) -> (StreamId, ServeNews) {
        let news = self.news.recv().await;
        match news {
            Some((id, news)) => {
                if matches!(news, ServeNews::Ended { .. }) {
                    self.running.remove(&id);
                }
                (id, news)
            }
            None => std::future::pending().await,
        }
    }

    /// Looks at files that came with a request: each must be the one that was chosen.
    pub(crate) fn look(choices: &[FileChoice], files: &[OwnedFd]) -> Result<(), Refusal> {
        let mut files = files.iter();
        for choice in choices {
            let why = match files.next().map(|file| is_chosen(choice, file)) {
                Some(Ok(Some(_))) => continue,
                Some(Ok(None)) => "it is not the file that was chosen".to_owned(),
                Some(Err(error)) => error.to_string(),
                None => "it did not come along".to_owned(),
            };
            return Err(Refusal::Unofferable { name: choice.name.clone(), why });
        }
        Ok(())
    }

    /// Holds the files of a message open while they are on offer.
    pub(crate) fn hold(&mut self, number: PacketNo, files: Vec<OwnedFd>) {
        self.shelf.hold(number, files);
    }

    /// They are on offer no more.
    pub(crate) fn release(&mut self, number: PacketNo, files: &[OfferedFile]) {
        self.shelf.release(number);
        while self.removing.try_join_next().is_some() {}
        let paths = files.iter().map(|file| &file.choice.path);
        for path in paths.filter(|path| self.copies.holds(path)) {
            let (copies, path) = (self.copies.clone(), path.clone());
            self.removing.spawn_blocking(move || copies.remove(&path));
        }
    }

    /// Waits for copies to be removed.
    pub(crate) async fn settle(&mut self) {
        while self.removing.join_next().await.is_some() {}
    }

    /// What is held open, for the process after this one.
    pub(crate) fn take_held(&mut self) -> Vec<(Slot, OwnedFd)> {
        self.shelf.take()
    }

    /// Closes a connection, whatever it is doing.
    pub(crate) fn hang_up(&mut self, id: StreamId) {
        self.asking.remove(&id);
        if let Some(switch) = self.running.get(&id) {
            switch.stop();
        }
    }

    /// Sends what the node grants.
    pub(crate) fn serve(&mut self, serve: Serve) {
        let Some(Connection { socket, place }) = self.asking.remove(&serve.stream) else { return };
        let (id, socket) = (serve.stream, Arc::new(socket));
        let switch = Switch { stopped: Arc::default(), socket: Arc::clone(&socket) };
        let transfer = Transfer {
            held: self.shelf.get(serve.number, serve.item),
            serve,
            socket,
            stopped: Arc::clone(&switch.stopped),
            clock: self.clock,
            tell: self.tell.clone(),
        };
        self.running.insert(id, switch);
        let tell = self.tell.clone();
        let spawned = thread::Builder::new()
            .name("serve".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let ended = transfer.run();
                // Whoever may come next may come before this one is told of.
                drop(place);
                let _ = tell.send((id, ended));
            });
        if let Err(error) = spawned {
            let what = format!("the system gives no thread: {error}");
            let hint = "try again when less runs on this machine".to_owned();
            let problem = Some(TransferProblem { side: Side::Ours, what, hint });
            let _ = self.tell.send((id, ended(0, Counted::default(), None, problem)));
        }
    }
}

/// One transfer, on its thread.
struct Transfer {
    serve: Serve,
    held: Option<Arc<OwnedFd>>,
    socket: Arc<Socket>,
    stopped: Arc<AtomicBool>,
    clock: Clock,
    tell: mpsc::UnboundedSender<(StreamId, ServeNews)>,
}

impl Transfer {
    /// To its end, and how that was.
    fn run(&self) -> ServeNews {
        let (id, tell) = (self.serve.stream, &self.tell);
        let mut report = |bytes, files| {
            let _ = tell.send((id, ServeNews::Moved { bytes, files }));
        };
        let mut counted = Counted::default();
        let clock = self.clock;
        let pump = Pump::new(&self.socket, &self.stopped, clock, self.serve.limit, &mut report);
        let (bytes, sent) = match pump {
            Ok(mut pump) => {
                let sent = self.send(&mut pump, &mut counted);
                (pump.moved(), sent)
            }
            Err(error) => (0, Err(Broken::Receiver(error))),
        };
        match sent {
            Ok(sha256) => ended(bytes, counted, sha256, None),
            Err(broken) => {
                if bytes > 0 {
                    // What is still on its way is thrown away: nothing must look whole.
                    let _ = self.socket.set_linger(Some(Duration::ZERO));
                }
                ended(bytes, counted, None, Some(broken.problem()))
            }
        }
    }

    /// Sends everything, and waits until the receiver has it: the digest, if one was wanted.
    fn send(&self, pump: &mut Pump<'_>, counted: &mut Counted) -> Result<Option<String>, Broken> {
        let Serve { choice, offset, tree, .. } = &self.serve;
        let (name, size) = (choice.name.as_str(), choice.size);
        let (file, stat) = self.open()?;
        if choice.is_folder() {
            let writer = TreeWriter::new(self.serve.charset);
            Stream::new(pump, writer, self.serve.names).folder(&file, name, &stat, counted)?;
            pump.finish()?;
            return Ok(None);
        }
        if self.serve.digest {
            pump.begin_digest(file.as_fd(), *offset, name)?;
        }
        if *tree {
            let writer = TreeWriter::new(self.serve.charset);
            Stream::new(pump, writer, self.serve.names).file(name, &stat, size)?;
        }
        let from = if *tree { 0 } else { *offset };
        let last = size.saturating_sub(1).max(from);
        pump.file(file.as_fd(), from, last, name)?;
        // Who has the last byte takes the file for whole.
        self.look(&file)?;
        pump.file(file.as_fd(), last, size, name)?;
        counted.files = 1;
        pump.finish()?;
        // The system sends the file's own pages: what is written to them goes out with them.
        self.look(&file)?;
        Ok(pump.take_digest())
    }

    /// The file that was chosen, open: as it was held, else by its path.
    fn open(&self) -> Result<(Arc<OwnedFd>, Stat), Broken> {
        let choice = &self.serve.choice;
        let is_it = |file: &&Arc<OwnedFd>| matches!(is_chosen(choice, file), Ok(Some(_)));
        let file = match self.held.as_ref().filter(is_it) {
            Some(file) => Arc::clone(file),
            None => Arc::new(open_without_links(&choice.path).map_err(|e| self.unreadable(e))?.0),
        };
        let stat = self.look(&file)?;
        Ok((file, stat))
    }

    /// Looks whether it is still as it was chosen.
    fn look(&self, file: &OwnedFd) -> Result<Stat, Broken> {
        let choice = &self.serve.choice;
        match is_chosen(choice, file).map_err(|error| self.unreadable(error))? {
            Some(stat) if is_as_chosen(choice, &stat) => Ok(stat),
            _ => Err(Broken::Changed { name: choice.name.clone() }),
        }
    }

    fn unreadable(&self, source: io::Error) -> Broken {
        Broken::Read { name: self.serve.choice.name.clone(), source }
    }
}

fn ended(
    bytes: u64,
    counted: Counted,
    sha256: Option<String>,
    problem: Option<TransferProblem>,
) -> ServeNews {
    let Counted { files, skipped, unreadable } = counted;
    ServeNews::Ended { bytes, files, skipped, unreadable, sha256, problem }
}

impl Broken {
    /// What to tell the user.
    fn problem(&self) -> TransferProblem {
        let (side, hint) = match self {
            Self::Receiver(_) => (Side::Theirs, "it stays on offer: they can ask for it again"),
            Self::Unclosed => (Side::Theirs, "compare what arrived, or let them ask for it again"),
            Self::Silent => (Side::Network, "it stays on offer: they can ask for it again"),
            Self::Read { .. } => (Side::Ours, "see whether the file is still there and readable"),
            Self::Changed { .. } => (Side::Ours, "offer it again as it is now"),
            Self::Stopped => (Side::Ours, "nothing to do"),
        };
        TransferProblem { side, what: self.to_string(), hint: hint.to_owned() }
    }
}

//! A client's end of the control socket.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::lines::{HANDED_MAX, Lines, send_fds};
use super::{ANSWER_MAX, Hello, ToClient, ToNode, encode, is_own, short_path, socket_in};
use crate::io::VERSION;
use crate::io::handle::{Ask, Gone, Handle, Listeners, Subscription};
use crate::io::handover::Handed;
use crate::node::{Reply, Request};
use crate::store::Paths;

/// A node that runs in another process. The connection lasts as long as a clone of its handle does.
#[derive(Debug)]
pub struct Joined {
    /// To ask and to listen with.
    pub handle: Handle,
    /// What the owner says of the node.
    pub hello: Hello,
    /// Tells when the owner ends.
    pub succession: Succession,
}

/// Waits for the end of the owner.
#[derive(Debug)]
pub struct Succession {
    outcome: oneshot::Receiver<Succeeded>,
}

/// How the owner ended.
#[derive(Debug)]
pub enum Succeeded {
    /// In order, and this process is the next owner: [`super::super::resume`]. Only for those who
    /// joined to last.
    Handed(Box<Handed>),
    /// In order, and another process is the next owner: join again.
    Moved,
    /// On purpose ([`Request::Stop`](crate::node::Request::Stop)), with a goodbye: who had joined
    /// ends too.
    Stopped,
    /// Without a word. Whoever gets the profile's lock first is the next owner.
    OwnerVanished,
}

impl Succession {
    /// Resolves when the owner ends. Whoever joined to last and drops this instead is not offered
    /// the port.
    pub async fn wait(self) -> Succeeded {
        self.outcome.await.unwrap_or(Succeeded::OwnerVanished)
    }
}

/// Why a running node cannot be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The control socket does not work.
    #[error("control socket {}: {source}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The control socket belongs to somebody else.
    #[error("the node at {} runs under another user", path.display())]
    Foreign {
        /// Its path.
        path: PathBuf,
    },
    /// The node does not answer.
    #[error("the node at {} does not answer", path.display())]
    Silent {
        /// Its path.
        path: PathBuf,
    },
    /// The node does not speak like this program.
    #[error("the node at {} is another version of this program", path.display())]
    Version {
        /// Its path.
        path: PathBuf,
    },
}

/// How long a node may take to answer the first line.
const HELLO_WAIT: Duration = Duration::from_secs(2);

/// Joins the node of this profile, if one runs; `lasting`: to stay, and to take over when its owner
/// ends.
pub async fn join(paths: &Paths, lasting: bool) -> Result<Option<Joined>, JoinError> {
    for folder in paths.places() {
        if let Some(joined) = join_in(folder, lasting).await? {
            return Ok(Some(joined));
        }
    }
    Ok(None)
}

/// Joins the node whose control socket is in this folder.
async fn join_in(folder: &Path, lasting: bool) -> Result<Option<Joined>, JoinError> {
    let path = socket_in(folder);
    let failed = |source| JoinError::Socket { path: path.clone(), source };
    let connect = async {
        let (short, _folder) = short_path(folder)?;
        UnixStream::connect(short).await
    };
    let stream = match connect.await {
        Ok(stream) => stream,
        // A folder that we may not look into has no node of ours.
        Err(error) if is_absence(&error) || path.symlink_metadata().is_err() => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !is_own(&stream).map_err(failed)? {
        return Err(JoinError::Foreign { path });
    }
    let (read, mut write) = stream.into_split();
    let mut lines = Lines::new(read, ANSWER_MAX, HANDED_MAX);
    let (version, pid) = (VERSION.to_owned(), std::process::id());
    let hello = encode(&ToNode::Hello { version, pid, lasting }).map_err(failed)?;
    let introduce = async {
        write.write_all(&hello).await?;
        lines.next().await
    };
    let line = match timeout(HELLO_WAIT, introduce).await {
        Err(_) => return Err(JoinError::Silent { path }),
        // It is just ending, or could not start.
        Ok(Ok(None)) => return Ok(None),
        Ok(Err(error)) if is_absence(&error) => return Ok(None),
        Ok(Err(error)) => return Err(failed(error)),
        Ok(Ok(Some(line))) => line,
    };
    let Ok(ToClient::Hello(hello)) = serde_json::from_slice(&line) else {
        return Err(JoinError::Version { path });
    };
    let (handle, asks) = Handle::new();
    let (tell, outcome) = oneshot::channel();
    let (say, to_say) = mpsc::channel(1);
    let shared = Shared::default();
    lock(&shared).last_seq = hello.last_seq;
    let reader = Reader { lines, shared: shared.clone(), say, tell, lasting, handed: None };
    tokio::spawn(talk(asks, to_say, write, shared, reader));
    Ok(Some(Joined { handle, hello: *hello, succession: Succession { outcome } }))
}

/// Whether there is simply nobody: no socket, a dead owner's socket, or an owner that died while
/// we spoke.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset | BrokenPipe)
}

/// What the owner still owes us.
#[derive(Default)]
struct Waiting {
    next: u64,
    answers: HashMap<u64, oneshot::Sender<Result<Reply, Gone>>>,
    /// Subscribers until the owner has confirmed the first of them.
    subscribers: Vec<oneshot::Sender<Result<Subscription, Gone>>>,
    listeners: Listeners,
    /// The owner has confirmed the first subscription.
    subscribed: bool,
    /// The newest stored event told until now.
    last_seq: Option<u64>,
    /// Set when the connection ended; nobody is let in any more.
    ended: Option<Gone>,
}

impl Waiting {
    /// Notes a question down and gives the line to send, if one has to be sent, with the files that
    /// go before it.
    fn enter(&mut self, ask: Ask) -> Option<(ToNode, Vec<OwnedFd>)> {
        match ask {
            Ask::Request(_, answer) | Ask::WithFiles(_, _, answer) if self.ended.is_some() => {
                let _ = answer.send(Err(self.ended?));
                None
            }
            Ask::Subscribe(_, answer) if self.ended.is_some() => {
                let _ = answer.send(Err(self.ended?));
                None
            }
            Ask::Request(request, answer) => Some((self.ask(request, 0, answer), Vec::new())),
            Ask::WithFiles(request, files, answer) => {
                Some((self.ask(request, files.len(), answer), files))
            }
            Ask::Subscribe(_, answer) if self.subscribed => {
                let _ = answer.send(Ok(self.listeners.add(self.last_seq)));
                None
            }
            Ask::Subscribe(after, answer) => {
                self.subscribers.push(answer);
                (self.subscribers.len() == 1).then(|| (ToNode::Subscribe { after }, Vec::new()))
            }
        }
    }

    fn ask(
        &mut self,
        request: Request,
        files: usize,
        answer: oneshot::Sender<Result<Reply, Gone>>,
    ) -> ToNode {
        self.next += 1;
        self.answers.insert(self.next, answer);
        ToNode::Ask { id: self.next, request, files }
    }

    fn end(&mut self, why: Gone) {
        self.ended = Some(why);
        for (_, answer) in self.answers.drain() {
            let _ = answer.send(Err(why));
        }
        for subscriber in self.subscribers.drain(..) {
            let _ = subscriber.send(Err(why));
        }
        self.listeners = Listeners::default();
    }
}

type Shared = Arc<Mutex<Waiting>>;

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Waiting> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends what is asked until nobody can ask any more or the owner is gone. Reading goes on
/// meanwhile, so that neither side waits for the other to read.
async fn talk(
    mut asks: mpsc::Receiver<Ask>,
    mut to_say: mpsc::Receiver<ToNode>,
    mut write: OwnedWriteHalf,
    shared: Shared,
    reader: Reader,
) {
    let mut reading = tokio::spawn(reader.run());
    loop {
        let line = tokio::select! {
            _ = &mut reading => break,
            Some(line) = to_say.recv() => Some((line, Vec::new())),
            ask = asks.recv() => match ask {
                Some(ask) => lock(&shared).enter(ask),
                None => break,
            },
        };
        let Some((line, files)) = line else { continue };
        let Ok(bytes) = encode(&line) else { continue };
        // A write that fails is an owner that is gone; the reader notices that too.
        if send_fds(&write, &files).await.is_ok() {
            let _ = write.write_all(&bytes).await;
        }
    }
    reading.abort();
    asks.close();
    let why = lock(&shared).ended.unwrap_or(Gone::Vanished);
    lock(&shared).end(why);
    while let Some(ask) = asks.recv().await {
        lock(&shared).enter(ask);
    }
}

struct Reader {
    lines: Lines,
    shared: Shared,
    /// What we have to say unasked.
    say: mpsc::Sender<ToNode>,
    tell: oneshot::Sender<Succeeded>,
    lasting: bool,
    /// What we were given, until it is ours.
    handed: Option<Box<Handed>>,
}

impl Reader {
    async fn run(mut self) {
        let succeeded = loop {
            match self.lines.next().await {
                Ok(Some(line)) => match serde_json::from_slice(&line) {
                    Ok(line) => {
                        if let Some(succeeded) = self.hear(line) {
                            break succeeded;
                        }
                    }
                    Err(error) => tracing::warn!("control socket: an unreadable line: {error}"),
                },
                Ok(None) => break Succeeded::OwnerVanished,
                Err(error) => {
                    tracing::debug!("control socket: {error}");
                    break Succeeded::OwnerVanished;
                }
            }
        };
        lock(&self.shared).end(match succeeded {
            Succeeded::Handed(_) | Succeeded::Moved => Gone::Moved,
            Succeeded::Stopped | Succeeded::OwnerVanished => Gone::Vanished,
        });
        let _ = self.tell.send(succeeded);
    }

    /// Takes one line in; says how the owner ended, if it did.
    fn hear(&mut self, line: ToClient) -> Option<Succeeded> {
        let mut waiting = lock(&self.shared);
        match line {
            ToClient::Answer { id, reply } => {
                if let Some(answer) = waiting.answers.remove(&id) {
                    let _ = answer.send(Ok(reply));
                }
            }
            ToClient::Subscribed => {
                waiting.subscribed = true;
                let last_seq = waiting.last_seq;
                for subscriber in std::mem::take(&mut waiting.subscribers) {
                    let subscription = waiting.listeners.add(last_seq);
                    let _ = subscriber.send(Ok(subscription));
                }
            }
            ToClient::Event(event) => {
                waiting.last_seq = waiting.last_seq.max(event.seq);
                waiting.listeners.tell(&Arc::new(*event));
            }
            ToClient::HandOver(bundle) => {
                let fds = self.lines.take_fds();
                let handed = Handed::new(Arc::unwrap_or_clone(bundle), fds)
                    .filter(|_| self.lasting && !self.tell.is_closed());
                let Some(handed) = handed else { return Some(Succeeded::OwnerVanished) };
                self.handed = Some(Box::new(handed));
                let _ = self.say.try_send(ToNode::Taken);
            }
            ToClient::Yours => return self.handed.take().map(Succeeded::Handed),
            ToClient::Moved => return Some(Succeeded::Moved),
            ToClient::Bye => return Some(Succeeded::Stopped),
            ToClient::Hello(_) => {}
        }
        None
    }
}

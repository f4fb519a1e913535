//! The owner's end of the control socket.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::lines::{Lines, send_fds};
use super::{ASK_MAX, Hello, ToClient, ToNode, encode, is_own, short_path, socket_in};
use crate::io::disk::Told;
use crate::io::handle::{Empty, Handle, Subscription};
use crate::io::handover::Bundle;
use crate::node::{Reply, Request};
use crate::store::Paths;

/// Lets clients in and serves each on a task of its own.
#[derive(Debug)]
pub(crate) struct Server {
    /// Empty where no socket could be made: then nobody comes.
    listeners: Vec<Arc<UnixListener>>,
    clients: Clients,
    tasks: Vec<JoinHandle<()>>,
}

/// Those who have joined, the earliest first.
type Clients = Arc<Mutex<Vec<Client>>>;

#[derive(Debug)]
struct Client {
    pid: u32,
    /// Stays, and runs the same version: may be the next owner.
    heir: bool,
    last_words: mpsc::Sender<LastWords>,
}

/// What a client is told when its node ends. It has heard every event before.
#[derive(Debug)]
pub(crate) enum LastWords {
    /// Here are sockets and state. Who answers first, this client or the time it has, decides
    /// whether they are its own; it is told so once it is let go.
    HandOver(Arc<Bundle>, Arc<[OwnedFd]>, oneshot::Sender<oneshot::Sender<()>>),
    /// Another client is the owner now.
    Moved,
    /// The node was stopped.
    Bye,
}

/// The client that has taken sockets and state, and waits for us to let go of the rest.
#[derive(Debug)]
pub(crate) struct Heir {
    client: Client,
    go: oneshot::Sender<()>,
}

impl Heir {
    /// Lets it go on as the owner: its process id; none if it is gone.
    pub(crate) async fn let_go(self) -> Option<u32> {
        let Self { client, go } = self;
        go.send(()).ok()?;
        // Until it has read that it is the owner.
        let _ = timeout(LEAVE_WAIT, client.last_words.closed()).await;
        Some(client.pid)
    }
}

/// Clients served at once; the next one has to wait.
const CLIENTS_MAX: usize = 64;
/// How long a client has to say who it is.
const HELLO_WAIT: Duration = Duration::from_secs(2);
/// How long the next owner has to take what it is given; a client that hangs must not keep the port
/// from one that does not.
const TAKE_WAIT: Duration = Duration::from_millis(400);
/// How long the others have to read their last words.
const LEAVE_WAIT: Duration = Duration::from_millis(200);

/// Makes the control socket, one in every place where the node may be found. The caller holds the
/// profile's lock, so a socket file that is there is a dead owner's.
pub(crate) fn bind(paths: &Paths) -> io::Result<Vec<UnixListener>> {
    let mut listeners = vec![bind_in(&paths.runtime_dir)?];
    if let Some(common) = &paths.common_dir {
        // Not only a link: the system removes the runtime folder when its user logs out.
        match bind_in(common) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                tracing::debug!("no second control socket: {error}");
                let (path, link) = (socket_in(&paths.runtime_dir), socket_in(common));
                // Who has our runtime folder finds us without it.
                if let Err(error) = clear(&link).and_then(|()| symlink(&path, &link)) {
                    tracing::debug!("no link to the control socket: {error}");
                }
            }
        }
    }
    Ok(listeners)
}

fn bind_in(folder: &Path) -> io::Result<UnixListener> {
    let path = socket_in(folder);
    clear(&path)?;
    let (short, _folder) = short_path(folder)?;
    let listener = UnixListener::bind(short)?;
    // The folder is ours alone, so nobody came in between.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Goes on with the control socket of the owner before.
pub(crate) fn adopt(fd: OwnedFd) -> io::Result<UnixListener> {
    let socket = std::os::unix::net::UnixListener::from(fd);
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket)
}

/// Takes the control socket away, so that nobody knocks in vain. Only while holding the lock.
pub(crate) fn remove(paths: &Paths) {
    for folder in paths.places() {
        // What stays behind is removed by the next owner.
        let _ = fs::remove_file(socket_in(folder));
    }
}

impl Server {
    /// Starts to let clients in. `hello` is told to them, with the names the node has then and what
    /// was `told` until then.
    pub(crate) fn new(
        listeners: Vec<UnixListener>,
        hello: Hello,
        told: Told,
        handle: Handle,
    ) -> Self {
        let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
        let clients = Clients::default();
        // A client that hangs before its first line takes a place like the others.
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        let service = Service { clients: clients.clone(), hello, told, handle };
        let let_in = |listener: &Arc<UnixListener>| {
            tokio::spawn(accept(listener.clone(), places.clone(), service.clone()))
        };
        let tasks = listeners.iter().map(let_in).collect();
        Self { listeners, clients, tasks }
    }

    /// How many have joined.
    pub(crate) fn clients(&self) -> usize {
        lock(&self.clients).len()
    }

    /// Second descriptors of the sockets, for another process.
    pub(crate) fn share(&self) -> io::Result<Vec<OwnedFd>> {
        self.listeners.iter().map(|listener| listener.as_fd().try_clone_to_owned()).collect()
    }

    /// Lets nobody in any more; who knocks waits for the next owner.
    pub(crate) fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }

    /// Whether there is somebody to hand over to.
    pub(crate) fn has_heir(&self) -> bool {
        lock(&self.clients).iter().any(|client| client.heir)
    }

    /// Offers sockets and state to one lasting client after the other, until one has taken them.
    /// The node must be silent by now: no events, no sockets read.
    pub(crate) async fn hand_over(&self, bundle: Bundle, fds: Vec<OwnedFd>) -> Option<Heir> {
        let (bundle, fds): (_, Arc<[OwnedFd]>) = (Arc::new(bundle), fds.into());
        loop {
            let client = {
                let mut clients = lock(&self.clients);
                let at = clients.iter().position(|client| client.heir)?;
                clients.remove(at)
            };
            let (taken, answer) = oneshot::channel();
            let words = LastWords::HandOver(bundle.clone(), fds.clone(), taken);
            if client.last_words.try_send(words).is_err() {
                continue;
            }
            if let Ok(Ok(go)) = timeout(TAKE_WAIT, answer).await {
                return Some(Heir { client, go });
            }
            tracing::warn!(pid = client.pid, "a client did not take the port over");
        }
    }

    /// Tells everybody who is still there how the node ended, and waits until they heard it.
    pub(crate) async fn dismiss(self, words: fn() -> LastWords) {
        let clients = std::mem::take(&mut *lock(&self.clients));
        for client in &clients {
            let _ = client.last_words.try_send(words());
        }
        let heard = async {
            for client in clients {
                client.last_words.closed().await;
            }
        };
        if timeout(LEAVE_WAIT, heard).await.is_err() {
            tracing::debug!("a client did not read its last words");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock(clients: &Clients) -> std::sync::MutexGuard<'_, Vec<Client>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What every client is served with.
#[derive(Clone)]
struct Service {
    clients: Clients,
    hello: Hello,
    told: Told,
    handle: Handle,
}

async fn accept(listener: Arc<UnixListener>, places: Arc<Semaphore>, service: Service) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("control socket: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = service.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(stream, service).await {
                tracing::debug!("a client of the control socket: {error}");
            }
            drop(place);
        });
    }
}

async fn serve(stream: UnixStream, service: Service) -> io::Result<()> {
    let Service { clients, mut hello, told, handle } = service;
    if !is_own(&stream)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (read, mut write) = stream.into_split();
    let mut lines = Lines::new(read, ASK_MAX, FILES_MAX);
    let first = timeout(HELLO_WAIT, lines.next()).await??;
    let Some(ToNode::Hello { version, pid, lasting }) = first.map(|l| decode(&l)).transpose()?
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    // A node that ends lets nobody in: the client sees the connection close, and tries again.
    let Ok(Reply::Status(status)) = handle.request(Request::Status).await else { return Ok(()) };
    (hello.nick, hello.group) = (status.nick, status.group);
    hello.last_seq = told.newest();
    let heir = lasting && version == hello.version;
    let (last_words, end) = mpsc::channel(1);
    let joined = last_words.clone();
    lock(&clients).push(Client { pid, heir, last_words });
    let _leave = Leave { clients: &clients, joined };
    write.write_all(&encode(&ToClient::Hello(Box::new(hello)))?).await?;

    let (answers, to_write) = mpsc::channel(ANSWERS_MAX);
    let (taken, was_taken) = mpsc::channel(1);
    tokio::select! {
        read = read_asks(lines, handle, answers, taken) => read,
        written = write_answers(write, to_write, end, was_taken) => written,
    }
}

/// Files that may come with requests: twice as many as one message can offer.
const FILES_MAX: usize = 512;

/// Answers that may wait for a client that does not read; its next request waits then.
const ANSWERS_MAX: usize = 16;

/// Takes a client off the list when its connection ends.
struct Leave<'a> {
    clients: &'a Clients,
    joined: mpsc::Sender<LastWords>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        lock(self.clients).retain(|client| !client.last_words.same_channel(&self.joined));
    }
}

enum ToWrite {
    Line(ToClient),
    Subscription(Subscription),
}

/// Reads requests until the client leaves. When the node is gone they are left unanswered.
async fn read_asks(
    mut lines: Lines,
    handle: Handle,
    answers: mpsc::Sender<ToWrite>,
    taken: mpsc::Sender<()>,
) -> io::Result<()> {
    while let Some(line) = lines.next().await? {
        let answer = match decode(&line)? {
            ToNode::Ask { id, request, files } => {
                let files = lines.take_first_fds(files).ok_or(io::ErrorKind::InvalidData)?;
                let reply = if files.is_empty() {
                    handle.request(request).await
                } else {
                    handle.request_with(request, files).await
                };
                match reply {
                    Ok(reply) => ToWrite::Line(ToClient::Answer { id, reply }),
                    Err(_) => continue,
                }
            }
            ToNode::Subscribe { after } => match handle.subscribe_after(after).await {
                Ok(subscription) => ToWrite::Subscription(subscription),
                Err(_) => continue,
            },
            ToNode::Taken => {
                let _ = taken.try_send(());
                continue;
            }
            ToNode::Hello { .. } => return Err(io::ErrorKind::InvalidData.into()),
        };
        if answers.send(answer).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Bytes of events collected for one write.
const WRITE_BYTES: usize = 64 * 1024;

async fn write_answers(
    mut write: OwnedWriteHalf,
    mut answers: mpsc::Receiver<ToWrite>,
    mut end: mpsc::Receiver<LastWords>,
    mut was_taken: mpsc::Receiver<()>,
) -> io::Result<()> {
    let mut events: Option<Subscription> = None;
    let words = loop {
        let next = async {
            match &mut events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(answer) = answers.recv() => answer_one(&mut write, answer, &mut events).await?,
            event = next => match event {
                Some(event) => {
                    let mut bytes = encode(&ToClient::Event(Box::new(event)))?;
                    collect(&mut bytes, events.as_mut())?;
                    write.write_all(&bytes).await?;
                }
                None => events = None,
            },
            words = end.recv() => break words,
        }
    };
    // The node has said everything it had to say; so do we before the last line.
    while let Ok(answer) = answers.try_recv() {
        answer_one(&mut write, answer, &mut events).await?;
    }
    while let Some(Ok(event)) = events.as_mut().map(Subscription::try_next) {
        write.write_all(&encode(&ToClient::Event(Box::new(event)))?).await?;
    }
    let Some(words) = words else { return Ok(()) };
    let last = match words {
        LastWords::Moved => ToClient::Moved,
        LastWords::Bye => ToClient::Bye,
        LastWords::HandOver(bundle, fds, taken) => {
            send_fds(&write, &fds).await?;
            write.write_all(&encode(&ToClient::HandOver(bundle))?).await?;
            let (go, goes) = oneshot::channel();
            if was_taken.recv().await.is_none() || taken.send(go).is_err() || goes.await.is_err() {
                return Ok(());
            }
            ToClient::Yours
        }
    };
    write.write_all(&encode(&last)?).await
}

async fn answer_one(
    write: &mut OwnedWriteHalf,
    answer: ToWrite,
    events: &mut Option<Subscription>,
) -> io::Result<()> {
    let line = match answer {
        ToWrite::Line(line) => line,
        ToWrite::Subscription(subscription) => {
            *events = Some(subscription);
            ToClient::Subscribed
        }
    };
    write.write_all(&encode(&line)?).await
}

/// Adds what waits to the bytes of one write.
fn collect(bytes: &mut Vec<u8>, events: Option<&mut Subscription>) -> io::Result<()> {
    let Some(events) = events else { return Ok(()) };
    while bytes.len() < WRITE_BYTES {
        match events.try_next() {
            Ok(event) => bytes.extend(encode(&ToClient::Event(Box::new(event)))?),
            Err(Empty::ForNow | Empty::Ended) => break,
        }
    }
    Ok(())
}

fn decode(line: &[u8]) -> io::Result<ToNode> {
    serde_json::from_slice(line).map_err(Into::into)
}

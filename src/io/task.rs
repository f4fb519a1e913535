//! The task that owns the node: waits for something to happen, lets the node handle it, and does
//! what the node wants done.

use std::collections::HashMap;
use std::future::pending;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::sleep_until;

use super::clock::Clock;
use super::control::{Hello, Server};
use super::crypto::Crypto;
use super::disk::{Disk, Results};
use super::fetch::Fetches;
use super::gate::Released;
use super::handle::{Ask, Gone, Handle, Listeners, Stamped, Subscription};
use super::links::{Selection, Watch};
use super::owner::{Entry, Owner};
use super::pictures::Pictures;
use super::recall::{Found, Recalls};
use super::serve::Servers;
use super::sockets::{Sockets, Unsent};
use super::taken::{as_taken, names_links};
use super::tcp::{Acceptor, Caller};
use super::udp::RECEIVE_BUFFER;
use super::{Running, Start, Stopped};
use crate::node::{
    Done, Effect, Event, FetchId, FetchNews, Input, JobId, Link, Node, NoticeCode, Now,
    PictureNews, Reply, Request, RequestId, ServeNews, ShellStatus, StageId, StreamId, Tick,
    UnixMillis,
};
use crate::store::{Copies, Lock, Paths};

/// The owner of a node.
pub(super) struct Task {
    pub(super) node: Node,
    pub(super) clock: Clock,
    pub(super) sockets: Sockets,
    selection: Selection,
    watch: Watch,
    pub(super) acceptor: Option<Acceptor>,
    pub(super) server: Server,
    /// What is being sent over TCP.
    pub(super) servers: Servers,
    /// The files that came with requests that are not answered yet.
    files: HashMap<RequestId, Vec<OwnedFd>>,
    pub(super) disk: Disk,
    crypto: Crypto,
    pub(super) pictures: Pictures,
    pub(super) fetches: Fetches,
    pub(super) lock: Lock,
    pub(super) paths: Paths,
    pub(super) allow_takeover: bool,
    pub(super) hello: Hello,
    pub(super) asks: mpsc::Receiver<Ask>,
    recalls: Recalls,
    replies: HashMap<RequestId, oneshot::Sender<Result<Reply, Gone>>>,
    last_request: u64,
    pub(super) listeners: Listeners,
    /// What happened before anybody listened, for the first one who does.
    news: Vec<Arc<Stamped>>,
    /// Resolves when the process wants the node to end.
    stop: oneshot::Receiver<()>,
    /// Set when a request asked for the end.
    pub(super) asked: watch::Sender<bool>,
    buffer: Box<[u8]>,
    pressure: bool,
}

/// Datagrams taken in one turn, and how long a turn may take in them.
const DRAIN_MAX: usize = 4_096;
const DRAIN_SPAN: Duration = Duration::from_millis(5);
/// Requests taken in one turn.
const ASKS_MAX: usize = 64;
/// The largest datagram there is fits.
const BUFFER_BYTES: usize = 65_536;
/// Below this much of a receive buffer, bytes, a burst is likely to lose something.
const SMALL_BUFFER: usize = RECEIVE_BUFFER / 8;

/// What ended a wait.
enum Woken {
    Stop,
    Results(Results),
    Crypto(JobId, Done),
    Ask(Ask),
    Picture(StageId, PictureNews),
    Fetch(FetchId, FetchNews),
    Recalled(Found),
    Links,
    Caller(Caller),
    Served(StreamId, ServeNews),
    Readable,
    Writable,
    News,
    Deadline,
}

impl Task {
    /// Starts a task. The node has announced itself when this returns.
    pub(super) fn spawn(
        owner: Owner,
        node: Node,
        clock: Clock,
        (mut disk, fetches): (Disk, Fetches),
        start: &Start,
    ) -> Running {
        let Owner { entry, selection, sockets, acceptor, shelf, took_over } = owner;
        let Entry { lock, control, closed } = entry;
        let (handle, asks) = Handle::new();
        let (stop, stopping) = oneshot::channel();
        let (asked, was_asked) = watch::channel(false);
        let hello = start.hello();
        let server = Server::new(control, hello.clone(), disk.told_so_far(), handle.clone());
        let pictures = Pictures::new(disk.staging(), start.downloads.clone());
        let mut task = Self {
            node,
            clock,
            sockets,
            selection,
            watch: Watch::new(),
            acceptor,
            server,
            crypto: Crypto::new(disk.keyring()),
            servers: Servers::new(clock, shelf, Copies::of(&start.paths)),
            files: HashMap::new(),
            disk,
            pictures,
            fetches,
            lock,
            paths: start.paths.clone(),
            allow_takeover: start.allow_takeover,
            hello: hello.clone(),
            asks,
            recalls: Recalls::new(start.paths.clone()),
            replies: HashMap::new(),
            last_request: 0,
            listeners: Listeners::default(),
            news: Vec::new(),
            stop: stopping,
            asked,
            buffer: vec![0; BUFFER_BYTES].into(),
            pressure: false,
        };
        task.begin(took_over);
        let task = tokio::spawn(task.run());
        Running { handle, hello, closed, stop, asked: was_asked, task }
    }

    fn begin(&mut self, took_over: bool) {
        let now = self.clock.now();
        self.tell_links(now);
        self.disk.submit();
        self.feed_bounces();
        for note in self.disk.notes() {
            tracing::warn!("{note}");
            self.notice(now, NoticeCode::StoreNote, note);
        }
        let granted = self.sockets.receive_buffer();
        tracing::info!(asked = RECEIVE_BUFFER, granted, "receive buffer, bytes");
        if granted < SMALL_BUFFER {
            let text = format!(
                "the system grants {} KiB of receive buffer: bursts of messages may be lost and \
                 have to be repeated (sysctl net.core.rmem_max={RECEIVE_BUFFER} allows more)",
                granted / 1024
            );
            self.notice(now, NoticeCode::SmallBuffer, text);
        }
        if !took_over && !self.sockets.links().iter().any(Link::leads_to_others) {
            let text = "no network link is up; this goes on when one comes".to_owned();
            self.notice(now, NoticeCode::Links, text);
        }
        if took_over {
            let text = "this process took the port over".to_owned();
            self.notice(now, NoticeCode::TookOver, text);
        }
        for text in self.disk.changed_files() {
            self.notice(now, NoticeCode::OfferChanged, text);
        }
    }

    async fn run(mut self) -> Stopped {
        loop {
            match self.wait().await {
                Woken::Stop => return Box::pin(self.end()).await,
                Woken::Results(results) => self.settle(results),
                Woken::Crypto(id, done) => self.handle(self.clock.now(), Input::Crypto(id, done)),
                Woken::Ask(ask) => self.ask(ask),
                Woken::Picture(stage, news) => self.picture(stage, news),
                Woken::Fetch(id, news) => self.handle(self.clock.now(), Input::Fetch(id, news)),
                Woken::Recalled(found) => self.handle(self.clock.now(), found.into()),
                Woken::Links => self.relink(),
                Woken::Caller(caller) => self.called(caller),
                Woken::Served(stream, news) => {
                    self.handle(self.clock.now(), Input::Served(stream, news));
                }
                Woken::Readable | Woken::Writable | Woken::News | Woken::Deadline => {}
            }
            if self.turn() {
                // More waits in the sockets: the listeners' turn first.
                yield_now().await;
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let deadline = self.node.next_deadline().and_then(|tick| self.clock.instant(tick));
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = &mut self.stop => Woken::Stop,
            results = self.disk.results() => Woken::Results(results),
            (id, done) = self.crypto.done() => Woken::Crypto(id, done),
            Some(ask) = self.asks.recv() => Woken::Ask(ask),
            (stage, news) = self.pictures.news() => Woken::Picture(stage, news),
            (id, news) = self.fetches.news() => Woken::Fetch(id, news),
            found = self.recalls.next() => Woken::Recalled(found),
            () = self.watch.changed() => Woken::Links,
            caller = next_caller(&mut self.acceptor) => Woken::Caller(caller),
            (stream, news) = self.servers.news() => Woken::Served(stream, news),
            () = self.sockets.readable(), if !self.is_full() => Woken::Readable,
            () = self.sockets.writable(), if self.sockets.is_waiting() => Woken::Writable,
            () = self.sockets.news() => Woken::News,
            () = due => Woken::Deadline,
        }
    }

    /// Does whatever is ready, a bounded part of each; whether datagrams were left.
    fn turn(&mut self) -> bool {
        while let Some(results) = self.disk.try_results() {
            self.settle(results);
        }
        for _ in 0..ASKS_MAX {
            let Ok(ask) = self.asks.try_recv() else { break };
            self.ask(ask);
        }
        while let Some((stage, news)) = self.pictures.try_news() {
            self.picture(stage, news);
        }
        while let Some((id, news)) = self.fetches.try_news() {
            self.handle(self.clock.now(), Input::Fetch(id, news));
        }
        let left = self.drain();
        // Before the deadlines: what ends at one may say why.
        self.sockets.read_news();
        self.feed_bounces();
        let now = self.clock.now();
        if self.node.next_deadline().is_some_and(|deadline| deadline <= now.tick) {
            self.handle(now, Input::Wake);
        }
        if self.sockets.is_waiting() {
            self.sockets.flush();
        }
        self.feed_bounces();
        self.disk.submit();
        left
    }

    /// Takes datagrams from the sockets until they are empty or the turn is over; whether some were
    /// left.
    fn drain(&mut self) -> bool {
        if self.is_full() {
            return false;
        }
        let mut until: Option<Tick> = None;
        let mut left = true;
        for _ in 0..DRAIN_MAX {
            let Some((link, from, len)) = self.sockets.receive(&mut self.buffer) else {
                left = false;
                break;
            };
            let now = self.clock.now();
            let bytes = self.buffer.get(..len).unwrap_or_default();
            let effects = self.node.handle(now, Input::Datagram { link, from, bytes });
            self.perform(now, effects);
            // An idle writer need not wait for the end of the turn, nor receipts for the next one.
            if self.disk.submit_early()
                && let Some(results) = self.disk.try_results()
            {
                self.settle(results);
            }
            if now.tick > *until.get_or_insert(now.tick + DRAIN_SPAN) {
                break;
            }
        }
        if left != self.pressure {
            self.pressure = left;
            self.handle(self.clock.now(), Input::Pressure(left));
        }
        left
    }

    /// Whether so much waits for the disk that no more is read from the network.
    fn is_full(&self) -> bool {
        self.disk.gate.is_full() || self.pictures.is_full()
    }

    /// Something came of a picture's bytes.
    pub(super) fn picture(&mut self, stage: StageId, news: PictureNews) {
        self.handle(self.clock.now(), Input::Picture(stage, news));
    }

    pub(super) fn handle(&mut self, now: Now, input: Input<'_>) {
        let effects = self.node.handle(now, input);
        self.perform(now, effects);
    }

    fn perform(&mut self, now: Now, effects: Vec<Effect>) {
        let (mut took, mut held) = (Vec::new(), None);
        for effect in effects {
            match effect {
                Effect::Transmit(transmit) => match transmit.after {
                    Some(id) => {
                        held = Some(id);
                        self.disk.gate.hold_transmit(id, transmit);
                    }
                    None => took.extend(self.sockets.send(transmit)),
                },
                Effect::Crypto(id, job) => self.crypto.order(id, job),
                Effect::Save(id, record) => self.disk.save(id, record),
                Effect::Emit { event, after: Some(id) } => {
                    self.disk.gate.hold_event(id, now.wall, event);
                }
                Effect::Emit { event, after: None } => self.tell(now.wall, None, event),
                Effect::Picture(job) => self.pictures.run(job),
                Effect::Reply(id, reply) => match held.filter(|_| names_links(&reply)) {
                    Some(save) => self.disk.gate.hold_reply(save, id, reply),
                    None => self.reply(id, as_taken(reply, self.sockets.links(), &took)),
                },
                Effect::Serve(serve) => self.servers.serve(*serve),
                Effect::HangUp(stream) => self.servers.hang_up(stream),
                Effect::Unlist(number, files) => self.servers.release(number, &files),
                Effect::Fetch(id, fetch) => self.fetches.start(id, *fetch),
                Effect::StopFetch(id) => self.fetches.stop(id),
                Effect::DropFetch(id) => self.fetches.discard(id),
                Effect::DropParts(left) => self.fetches.remove(left),
                Effect::Recall(request, seq) => self.recalls.look_up(request, seq),
            }
        }
    }

    /// Lets go what waited for these records, and tells the node.
    pub(super) fn settle(&mut self, results: Results) {
        let now = self.clock.now();
        for (id, result) in results {
            let (seq, mut took) = (result.seq(), Vec::new());
            for released in self.disk.gate.settle(id, &result) {
                match released {
                    Released::Transmit(transmit) => took.extend(self.sockets.send(transmit)),
                    // Why nothing left is the store's matter, and told.
                    Released::Reply(id, reply) if !result.is_kept() => self.reply(id, reply),
                    Released::Reply(id, reply) => {
                        self.reply(id, as_taken(reply, self.sockets.links(), &took));
                    }
                    Released::Event(at, event) => self.tell(at, seq, event),
                }
            }
            self.handle(now, Input::Saved(id, result));
        }
    }

    /// What did not leave and what the network refused comes back to the node, after what it wanted
    /// done is done.
    pub(super) fn feed_bounces(&mut self) {
        for Unsent { to, bytes, reason } in self.sockets.unsent() {
            self.handle(self.clock.now(), Input::Unsent { to, bytes: &bytes, reason });
        }
        for (to, reason) in self.sockets.bounced() {
            self.handle(self.clock.now(), Input::Bounced { to, reason });
        }
    }

    fn tell(&mut self, at: UnixMillis, seq: Option<u64>, event: Event) {
        if let Some(seq) = seq {
            self.disk.told(seq);
        }
        if !self.listeners.is_empty() {
            self.listeners.tell(&Arc::new(Stamped { seq, at, event }));
        }
    }

    /// Tells something of the shell's own; the first listener hears it even if it comes later.
    fn notice(&mut self, now: Now, code: NoticeCode, text: String) {
        let event = Event::Notice { code, text };
        let event = Arc::new(Stamped { seq: None, at: now.wall, event });
        if self.listeners.is_empty() {
            self.news.push(event);
        } else {
            self.listeners.tell(&event);
        }
    }

    pub(super) fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Subscribe(after, answer) => self.subscribe(after, answer),
            Ask::Request(Request::Stop, answer) => {
                let _ = answer.send(Ok(Reply::Done));
                self.asked.send_replace(true);
            }
            Ask::Request(request, answer) => self.request(request, Vec::new(), answer),
            Ask::WithFiles(request, files, answer) => {
                let (Request::Send { wishes, .. } | Request::SendPicture { wishes, .. }) = &request
                else {
                    return self.request(request, Vec::new(), answer);
                };
                if let Err(refusal) = Servers::look(&wishes.choices, &files) {
                    let _ = answer.send(Ok(Reply::Refused(refusal)));
                    return;
                }
                self.request(request, files, answer);
            }
        }
    }

    fn request(
        &mut self,
        request: Request,
        files: Vec<OwnedFd>,
        answer: oneshot::Sender<Result<Reply, Gone>>,
    ) {
        self.last_request += 1;
        let id = RequestId(self.last_request);
        self.replies.insert(id, answer);
        if !files.is_empty() {
            self.files.insert(id, files);
        }
        self.handle(self.clock.now(), Input::Request(id, request));
    }

    /// Somebody asks for a file: the node decides in this very turn.
    fn called(&mut self, caller: Caller) {
        let (stream, from, request) = self.servers.admit(caller);
        self.handle(self.clock.now(), Input::Asked { stream, from, request: &request });
    }

    fn subscribe(
        &mut self,
        after: Option<u64>,
        answer: oneshot::Sender<Result<Subscription, Gone>>,
    ) {
        let mut subscription = self.listeners.add(self.disk.told_so_far().newest());
        for news in self.news.drain(..) {
            self.listeners.tell(&news);
        }
        let Some(after) = after else {
            let _ = answer.send(Ok(subscription));
            return;
        };
        let replay = self.disk.replay(after);
        tokio::spawn(async move {
            subscription.begin_with(spawn_blocking(replay).await.unwrap_or_default());
            let _ = answer.send(Ok(subscription));
        });
    }

    fn reply(&mut self, id: RequestId, mut reply: Reply) {
        if let Reply::Status(status) = &mut reply {
            status.shell = Some(ShellStatus {
                pid: self.hello.pid,
                receive_buffer: self.sockets.receive_buffer(),
                clients: self.server.clients(),
                store: self.disk.path(),
                store_notes: self.disk.notes(),
            });
        }
        let files = self.files.remove(&id).unwrap_or_default();
        // What is offered to nobody is never asked for, nor taken off the shelf.
        if let Reply::Sent { number, offered: 1.., .. } = &reply {
            self.servers.hold(*number, files);
        }
        if let Some(answer) = self.replies.remove(&id) {
            let _ = answer.send(Ok(reply));
        }
    }

    /// The links may have changed: reads them again.
    fn relink(&mut self) {
        let links = match self.selection.read() {
            Ok(links) => links,
            Err(error) => return tracing::warn!("cannot list the network links: {error}"),
        };
        let now = self.clock.now();
        let before = self.sockets.links().to_vec();
        for error in self.sockets.refresh(links) {
            tracing::warn!("a link without a socket: {error}");
            self.notice(now, NoticeCode::Links, error.to_string());
        }
        if self.sockets.links() != before {
            self.tell_links(now);
        }
    }

    fn tell_links(&mut self, now: Now) {
        let links = self.sockets.links().to_vec();
        if let Some(acceptor) = &self.acceptor
            && self.selection.is_partial()
        {
            acceptor.restrict_to(&links);
        }
        self.handle(now, Input::Links(links));
    }
}

/// The next one who asks for a file; never, where nobody is let in.
async fn next_caller(acceptor: &mut Option<Acceptor>) -> Caller {
    match acceptor {
        Some(acceptor) => acceptor.caller().await,
        None => pending().await,
    }
}

//! The end of a node: everything taken in is committed and acknowledged, then the port goes to a
//! lasting client, or a goodbye goes to the LAN.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, timeout, timeout_at};

use super::Stopped;
use super::control::{self, Hello, LastWords};
use super::handle::Listeners;
use super::handover::{Bundle, Part};
use super::task::Task;
use super::tcp::Acceptor;
use crate::node::{Effect, Handover, Input, PictureNews, Reply, Request, RequestId};

/// How long the disk may take for what was taken in. A disk that hangs costs receipts, not the end.
const DISK_WAIT: Duration = Duration::from_secs(2);
/// How long datagrams may wait for room in the sockets.
const FLUSH_WAIT: Duration = Duration::from_millis(300);

impl Task {
    /// Ends the node. Nothing is read from the network any more: it stays in the sockets, which the
    /// next owner reads.
    pub(super) async fn end(mut self) -> Stopped {
        self.server.close();
        self.asks.close();
        while let Some(ask) = self.asks.recv().await {
            self.ask(ask);
        }
        self.settle_pictures().await;
        self.commit().await;
        // Those that were kept may have to become files.
        self.settle_pictures().await;
        // Whoever was just let in gets on the list of heirs first.
        yield_now().await;
        if self.allow_takeover
            && !*self.asked.borrow()
            && self.server.has_heir()
            && let Some(to) = Box::pin(self.hand_over()).await
        {
            tracing::info!(to, "handed the port over");
            self.lock.leave();
            self.server.dismiss(|| LastWords::Moved).await;
            return Stopped::HandedOver { to };
        }
        self.leave().await;
        self.close_disk().await;
        self.dismiss().await
    }

    /// Waits for everything that was taken in to be on the disk and acknowledged.
    async fn commit(&mut self) {
        let deadline = Instant::now() + DISK_WAIT;
        self.disk.submit();
        while !self.disk.gate.is_empty() {
            let Ok(results) = timeout_at(deadline, self.disk.results()).await else {
                tracing::error!("the disk does not answer, some messages get no receipt");
                break;
            };
            self.settle(results);
            self.disk.submit();
        }
        let flush = async {
            while self.sockets.is_waiting() {
                self.sockets.writable().await;
                self.sockets.flush();
            }
        };
        if timeout(FLUSH_WAIT, flush).await.is_err() {
            tracing::debug!("some datagrams could not be sent in time");
        }
    }

    /// Waits for the bytes of pictures to be on the disk, and for those to be decoded that came
    /// whole: their senders will not repeat them.
    async fn settle_pictures(&mut self) {
        let settled = async {
            loop {
                self.pictures.flush().await;
                while let Some((stage, news)) = self.pictures.try_news() {
                    self.picture(stage, news);
                }
                if !self.pictures.is_checking() {
                    return;
                }
                let (stage, news) = self.pictures.news().await;
                self.picture(stage, news);
            }
        };
        if timeout(DISK_WAIT, settled).await.is_err() {
            tracing::warn!("pictures are still being written or decoded");
            // What was acknowledged of these is nowhere: neither we nor the next owner have them.
            for stage in self.pictures.unwritten() {
                let reason = "the disk does not answer".to_owned();
                self.picture(stage, PictureNews::Failed(reason));
            }
        }
    }

    async fn leave(&mut self) {
        self.handle(self.clock.now(), Input::Leave);
        self.fetches.close().await;
        self.commit().await;
    }

    async fn close_disk(&mut self) {
        if timeout(DISK_WAIT, self.servers.settle()).await.is_err() {
            tracing::warn!("copies that are not needed any more are still being removed");
        }
        let closed = spawn_blocking(self.disk.close(self.node.last_number()));
        if timeout(DISK_WAIT, closed).await.is_err() {
            tracing::error!("the store is not closed yet");
        }
    }

    /// Everybody hears the last events, and then how it ended.
    async fn dismiss(mut self) -> Stopped {
        self.listeners = Listeners::default();
        control::remove(&self.paths);
        let words = if *self.asked.borrow() { || LastWords::Bye } else { || LastWords::Moved };
        self.server.dismiss(words).await;
        Stopped::Goodbye
    }

    /// Gives the port to a lasting client: its process id. None if nobody took it: then the node is
    /// still ours to end, with its store if nobody said yes.
    async fn hand_over(&mut self) -> Option<u32> {
        let hello = self.last_hello();
        let mut node = self.node.hand_over();
        self.fetches.close().await;
        let stages = self.stages(&mut node);
        let failed = |error: &io::Error| tracing::error!("cannot hand the port over: {error}");
        let (parts, fds) = self.share(stages).inspect_err(failed).ok()?;
        let heir = self.server.hand_over(Bundle { hello, node, parts }, fds).await?;
        // The next owner opens it.
        self.close_disk().await;
        heir.let_go().await
    }

    /// What a process must know that takes our place, with the names the node has by now.
    fn last_hello(&mut self) -> Hello {
        let mut hello = self.hello.clone();
        let id = RequestId(0);
        for effect in self.node.handle(self.clock.now(), Input::Request(id, Request::Status)) {
            if let Effect::Reply(_, Reply::Status(status)) = effect {
                hello.nick = status.nick;
                hello.group = status.group;
                hello.user = status.user;
                hello.host = status.host;
            }
        }
        hello
    }

    /// The files of pictures that are on their way. One that is missing does not go along.
    fn stages(&self, node: &mut Handover) -> Vec<(Part, OwnedFd)> {
        let staging = self.disk.staging();
        let mut shared = Vec::new();
        for stage in node.stages() {
            match staging.file(stage).map(|file| file.try_clone()) {
                Some(Ok(file)) => shared.push((Part::Stage { stage }, file.into())),
                _ => node.leave_behind(stage),
            }
        }
        shared
    }

    fn share(&mut self, stages: Vec<(Part, OwnedFd)>) -> io::Result<(Vec<Part>, Vec<OwnedFd>)> {
        let lock = self.lock.share()?.into_iter().map(|fd| (Part::Lock, fd));
        let control = self.server.share()?.into_iter().map(|fd| (Part::Control, fd));
        let listeners = self.acceptor.iter().map(Acceptor::share);
        let listeners = listeners.collect::<io::Result<Vec<_>>>()?.into_iter().flatten();
        let sockets = self.sockets.share()?.into_iter();
        let chosen = self.servers.take_held().into_iter();
        Ok(lock
            .chain(control)
            .chain(listeners.map(|fd| (Part::Listener, fd)))
            .chain(sockets.map(|(link, role, fd)| (Part::Udp { link, role }, fd)))
            .chain(stages)
            .chain(chosen.map(|((number, item), fd)| (Part::Chosen { number, item }, fd)))
            .unzip())
    }
}

//! What faces hold: [`Handle`] to ask with, [`Subscription`] to listen with. Both are the same
//! types whether the node runs in this process or is joined over the control socket.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::node::{Event, Reply, Request, UnixMillis};

/// Asks a node; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    to: mpsc::Sender<Ask>,
}

impl Handle {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (to, asks) = mpsc::channel(ASKS_MAX);
        (Self { to }, asks)
    }

    /// Asks, and waits for the answer.
    pub async fn request(&self, request: Request) -> Result<Reply, Gone> {
        let (reply, answer) = oneshot::channel();
        self.to.send(Ask::Request(request, reply)).await.map_err(|_| Gone::Vanished)?;
        answer.await.unwrap_or(Err(Gone::Vanished))
    }

    /// As [`Handle::request`], for a message that offers files: with each of them open, in the order
    /// of the request's list.
    pub async fn request_with(&self, request: Request, files: Vec<OwnedFd>) -> Result<Reply, Gone> {
        let (reply, answer) = oneshot::channel();
        self.to.send(Ask::WithFiles(request, files, reply)).await.map_err(|_| Gone::Vanished)?;
        answer.await.unwrap_or(Err(Gone::Vanished))
    }

    /// Listens to what happens from now on.
    pub async fn subscribe(&self) -> Result<Subscription, Gone> {
        self.subscribe_after(None).await
    }

    /// Listens, and hears first what was stored after `seq`: whoever changes over to the next owner
    /// of the port misses nothing that was stored meanwhile. Of more than 16,384 events the oldest
    /// are left out, which [`Event::Lagged`] tells. Over one control socket only the first
    /// subscription is told anything again.
    pub async fn subscribe_after(&self, seq: Option<u64>) -> Result<Subscription, Gone> {
        let (reply, answer) = oneshot::channel();
        self.to.send(Ask::Subscribe(seq, reply)).await.map_err(|_| Gone::Vanished)?;
        answer.await.unwrap_or(Err(Gone::Vanished))
    }
}

/// Asks that may wait for a busy node; who asks more waits.
const ASKS_MAX: usize = 64;

/// What travels from a [`Handle`] to whoever serves it.
#[derive(Debug)]
pub(crate) enum Ask {
    Request(Request, oneshot::Sender<Result<Reply, Gone>>),
    /// A request with the files it offers.
    WithFiles(Request, Vec<OwnedFd>, oneshot::Sender<Result<Reply, Gone>>),
    Subscribe(Option<u64>, oneshot::Sender<Result<Subscription, Gone>>),
}

/// The node is not there any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Gone {
    /// It handed its port over and did not take this request any more: the new owner may be asked
    /// the same again.
    #[error("the node handed over to another process")]
    Moved,
    /// It ended. Whether it still did what was asked is not known.
    #[error("the node ended")]
    Vanished,
}

/// An event with its time and its place in the event stream.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stamped {
    /// Rises by one from stored event to stored event; none for passing ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it happened.
    pub at: UnixMillis,
    /// What happened.
    pub event: Event,
}

/// A listener's end. Holds a bounded backlog; who falls behind loses events and is told how many
/// by [`Event::Lagged`], in their place.
#[derive(Debug)]
pub struct Subscription {
    /// Heard before everything else.
    replay: VecDeque<Stamped>,
    last_seq: Option<u64>,
    shared: Arc<Shared>,
}

impl Subscription {
    /// The newest event that was stored and told before this subscription began (over the control
    /// socket: before it was joined, at least); none where nothing is kept. Whoever has heard
    /// nothing yet goes on after it with the next owner of the port.
    pub fn last_seq(&self) -> Option<u64> {
        self.last_seq
    }

    /// The next event; none when the node is gone and everything was heard. May be dropped and
    /// called again at any time.
    pub async fn next(&mut self) -> Option<Stamped> {
        loop {
            match self.try_next() {
                Ok(event) => return Some(event),
                Err(Empty::Ended) => return None,
                Err(Empty::ForNow) => self.shared.wake.notified().await,
            }
        }
    }

    /// The next event, if one waits.
    pub(crate) fn try_next(&mut self) -> Result<Stamped, Empty> {
        if let Some(event) = self.replay.pop_front() {
            return Ok(event);
        }
        let mut queue = self.shared.lock();
        match queue.take() {
            Some(event) => Ok(event),
            None if queue.ended => Err(Empty::Ended),
            None => Err(Empty::ForNow),
        }
    }
}

impl Subscription {
    /// Puts events before those that came since the subscription was made.
    pub(crate) fn begin_with(&mut self, events: impl IntoIterator<Item = Stamped>) {
        self.replay.extend(events);
    }
}

/// Why there is no next event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Empty {
    ForNow,
    Ended,
}

/// Everybody who listens.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    feeds: Vec<Feed>,
}

impl Listeners {
    pub(crate) fn is_empty(&self) -> bool {
        self.feeds.is_empty()
    }

    /// `last_seq`: the newest event that was told.
    pub(crate) fn add(&mut self, last_seq: Option<u64>) -> Subscription {
        let shared = Arc::new(Shared::default());
        self.feeds.push(Feed { shared: shared.clone() });
        Subscription { replay: VecDeque::new(), last_seq, shared }
    }

    /// Tells everybody; never waits.
    pub(crate) fn tell(&mut self, event: &Arc<Stamped>) {
        self.feeds.retain(Feed::is_heard);
        for feed in &self.feeds {
            feed.push(event.clone());
        }
    }
}

/// The node's end of a subscription; dropping it ends the stream.
#[derive(Debug)]
struct Feed {
    shared: Arc<Shared>,
}

impl Feed {
    fn is_heard(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    fn push(&self, event: Arc<Stamped>) {
        self.shared.lock().push(event);
        self.shared.wake.notify_one();
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.wake.notify_one();
    }
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    weight: usize,
    ended: bool,
}

#[derive(Debug)]
enum Item {
    Event(Arc<Stamped>),
    Missed(u64, UnixMillis),
}

/// One turn of the node can commit and tell some thousand messages before a listener runs, so a
/// backlog must hold more than that; long texts are held down by their weight.
pub(crate) const BACKLOG_EVENTS: usize = 16_384;
const BACKLOG_BYTES: usize = 8 << 20;

impl Queue {
    fn push(&mut self, event: Arc<Stamped>) {
        let full = self.items.len() >= BACKLOG_EVENTS || self.weight >= BACKLOG_BYTES;
        match self.items.back_mut() {
            Some(Item::Missed(missed, _)) if full => *missed += 1,
            _ if full => self.items.push_back(Item::Missed(1, event.at)),
            _ => {
                self.weight += weight(&event);
                self.items.push_back(Item::Event(event));
            }
        }
    }

    fn take(&mut self) -> Option<Stamped> {
        Some(match self.items.pop_front()? {
            Item::Event(event) => {
                self.weight -= weight(&event);
                Arc::unwrap_or_clone(event)
            }
            Item::Missed(missed, at) => Stamped { seq: None, at, event: Event::Lagged { missed } },
        })
    }
}

/// What an event costs in memory, roughly, in bytes.
fn weight(event: &Stamped) -> usize {
    let text = match &event.event {
        Event::Message(message) => message.text.len(),
        Event::Notice { text, .. } => text.len(),
        _ => 0,
    };
    size_of::<Stamped>() + 512 + text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NoticeCode;

    fn event(seq: u64) -> Arc<Stamped> {
        let event = Event::Notice { code: NoticeCode::Links, text: String::new() };
        Arc::new(Stamped { seq: Some(seq), at: UnixMillis(0), event })
    }

    #[tokio::test]
    async fn a_listener_hears_everything_in_order_and_then_the_end() {
        let mut listeners = Listeners::default();
        let mut subscription = listeners.add(None);
        for seq in 1..=3 {
            listeners.tell(&event(seq));
        }
        drop(listeners);
        for seq in 1..=3 {
            assert_eq!(subscription.next().await.unwrap().seq, Some(seq));
        }
        assert_eq!(subscription.next().await, None);
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_what_it_missed_where_it_missed_it() {
        let mut listeners = Listeners::default();
        let (mut slow, mut quick) = (listeners.add(None), listeners.add(None));
        let first = BACKLOG_EVENTS.min(BACKLOG_BYTES.div_ceil(weight(&event(0)))) as u64;
        for seq in 1..=first + 10 {
            listeners.tell(&event(seq));
            assert_eq!(quick.next().await.unwrap().seq, Some(seq));
        }
        for seq in 1..=first {
            assert_eq!(slow.next().await.unwrap().seq, Some(seq));
        }
        listeners.tell(&event(first + 11));
        assert_eq!(slow.next().await.unwrap().event, Event::Lagged { missed: 10 });
        assert_eq!(slow.next().await.unwrap().seq, Some(first + 11));
    }

    #[test]
    fn listeners_that_left_are_forgotten() {
        let mut listeners = Listeners::default();
        let _stays = listeners.add(None);
        drop(listeners.add(None));
        listeners.tell(&event(1));
        assert_eq!(listeners.feeds.len(), 1);
    }
}

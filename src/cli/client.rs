//! A command's end of a node: [`Client`] joins the node of this profile or becomes one, and the
//! command's code is the same in both cases.
//!
//! A command that lasts also takes over when the owner of the port ends: it goes on as the owner or
//! joins the one that is, and its event stream goes on without a gap. What it never does is decide
//! anything about messages: that is the node's.

mod roll;
mod seat;

use std::collections::VecDeque;
use std::mem;
use std::path::Path;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use self::seat::{Guest, Seat, be_the_node, enter};
use super::Globals;
use super::error::{CliError, Exit};
use super::output::{Style, date_and_time};
use super::wish::{Origin, Role, Wish, refuse_to_change, start};
use crate::io::control::{self, Hello, Succeeded};
use crate::io::{self, Chosen, Gone, Handle, Stamped, Start, StartError, Subscription};
use crate::node::{Link, PacketNo, PeerView, Reply, Request, Status, Waiting, WaitingState};
use crate::store::{Paths, Reader};

/// A node to ask and to listen to.
pub(super) struct Client {
    style: Style,
    start: Start,
    origin: Origin,
    seat: Seat,
    role: Role,
    events: Option<Subscription>,
    /// Place of the last stored event heard.
    last_seq: Option<u64>,
    /// Events that were missed and are kept, while they are heard.
    missed: Option<VecDeque<Stamped>>,
    /// What is awaited of a message.
    waits_for: Option<Awaited>,
    /// No other node does as well as this one: it was asked to do something, or it alone is meant.
    bound: bool,
}

/// What a command waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Awaited {
    /// The receipts of a message, and what may follow: nobody waits for them when the command ends.
    Receipts(PacketNo),
    /// That the files of a message are fetched whose receipts are all there.
    Fetches(PacketNo),
    /// The receipts of a message that is kept for its recipients, whoever watches.
    Kept(PacketNo),
}

impl Client {
    /// Joins the node of this profile if one runs, else becomes one; [`Client::begin`] is next.
    /// Nothing is awaited once there is a node, so that whoever drops the future drops none.
    pub(super) async fn open(globals: &Globals, wish: Wish<'_>) -> Result<Self, CliError> {
        let (start, style) = start(globals, wish)?;
        let seat = match wish.role {
            Role::Sole => Seat::Owner(be_the_node(&start, style).await?),
            _ if globals.alone => Seat::Owner(io::start(start.clone()).await?),
            role => enter(&start, role).await?,
        };
        if let Seat::Owner(running) = &seat
            && let Some(why) = running.closed()
        {
            style.say(&format!("other commands cannot join this one: {why}"));
        }
        let mut client = Self::new((start, Origin::new(globals, wish)), style, seat);
        client.role = wish.role;
        client.bound = false;
        Ok(client)
    }

    /// Hears events if the command wants to; an error if the node that runs is not what it wants.
    pub(super) async fn begin(
        &mut self,
        globals: &Globals,
        wish: Wish<'_>,
    ) -> Result<(), CliError> {
        if wish.listens {
            self.subscribe().await?;
        }
        if let Seat::Guest(guest) = &self.seat {
            refuse_to_change(&guest.hello, globals, wish)?;
        }
        Ok(())
    }

    /// Joins the node of this profile; none if none runs.
    pub(super) async fn join(globals: &Globals) -> Result<Option<Self>, CliError> {
        let (start, style) = start(globals, Wish::default())?;
        let Some(joined) = control::join(&start.paths, false).await.map_err(StartError::Join)?
        else {
            return Ok(None);
        };
        let origin = Origin::new(globals, Wish::default());
        Ok(Some(Self::new((start, origin), style, Seat::Guest(joined.into()))))
    }

    fn new((start, origin): (Start, Origin), style: Style, seat: Seat) -> Self {
        Self {
            style,
            start,
            origin,
            seat,
            role: Role::Brief,
            events: None,
            last_seq: None,
            missed: None,
            waits_for: None,
            bound: true,
        }
    }

    /// How to write.
    pub(super) const fn style(&self) -> Style {
        self.style
    }

    /// This is awaited; what is said if the command is interrupted depends on it.
    pub(super) const fn waits_for(&mut self, awaited: Option<Awaited>) {
        self.waits_for = awaited;
    }

    /// Whether the node is in this process.
    pub(super) const fn is_owner(&self) -> bool {
        matches!(self.seat, Seat::Owner(_))
    }

    /// Who runs the node, and how.
    pub(super) fn hello(&self) -> Option<&Hello> {
        match &self.seat {
            Seat::Owner(running) => Some(running.hello()),
            Seat::Guest(guest) => Some(&guest.hello),
            Seat::Nowhere => None,
        }
    }

    /// Says whose node this is, and what to do to end it.
    pub(super) fn introduce(&self, end: &str) {
        let Some(hello) = self.hello() else { return };
        let Hello { nick, port, pid, .. } = hello;
        self.style.say(&if self.is_owner() {
            format!("{nick} is here, port {port}; {end}")
        } else {
            format!("{nick} is here, port {port}; process {pid} has the port, this one is next")
        });
    }

    /// The port of the node.
    pub(super) fn port(&self) -> u16 {
        self.hello().map_or(self.start.config.port, |hello| hello.port)
    }

    /// Whether the store may be looked at.
    pub(super) const fn reads_store(&self) -> bool {
        self.start.store
    }

    /// Where the files of the profile are.
    pub(super) const fn paths(&self) -> &Paths {
        &self.start.paths
    }

    /// Where received files go that name no folder, by our own settings.
    pub(super) fn downloads(&self) -> &Path {
        &self.start.downloads
    }

    fn handle(&self) -> Option<Handle> {
        match &self.seat {
            Seat::Owner(running) => Some(running.handle()),
            Seat::Guest(guest) => Some(guest.handle.clone()),
            Seat::Nowhere => None,
        }
    }

    /// Asks the node. A refusal is an error.
    pub(super) async fn request(&mut self, request: Request) -> Result<Reply, CliError> {
        self.bound |= !only_asks(&request);
        loop {
            let handle = self.handle().ok_or_else(|| self.over())?;
            match handle.request(request.clone()).await {
                Ok(Reply::Refused(refusal)) => return Err(refusal.into()),
                Ok(reply) => return Ok(reply),
                // It was not done, or may be done twice, so the next owner can be asked the same.
                Err(why)
                    if why == Gone::Moved
                        || !self.bound
                        || (self.lasts() && only_asks(&request)) =>
                {
                    if !self.follow().await? {
                        return Err(self.over());
                    }
                }
                Err(why) => return Err(gone(why)),
            }
        }
    }

    /// The node was stopped on purpose: who stays for as long as it does ends with it.
    fn over(&self) -> CliError {
        if self.lasts() { CliError::silent(Exit::Done) } else { gone(Gone::Vanished) }
    }

    /// Whether it goes on when the owner of the port dies.
    fn lasts(&self) -> bool {
        self.role == Role::Lasting
    }

    /// Asks the node to send a message that offers files, with each of them open.
    pub(super) async fn offer(
        &mut self,
        request: Request,
        files: &[&Chosen],
    ) -> Result<Reply, CliError> {
        self.bound = true;
        loop {
            let handle = self.handle().ok_or_else(|| gone(Gone::Vanished))?;
            let open = files.iter().map(|chosen| chosen.file.try_clone());
            let open = open.collect::<std::io::Result<Vec<_>>>().map_err(|error| {
                CliError::new(Exit::Usage, "too many files at once").because(&error)
            })?;
            match handle.request_with(request.clone(), open).await {
                Ok(Reply::Refused(refusal)) => return Err(refusal.into()),
                Ok(reply) => return Ok(reply),
                Err(Gone::Moved) => {
                    if !self.follow().await? {
                        return Err(gone(Gone::Vanished));
                    }
                }
                Err(why) => return Err(gone(why)),
            }
        }
    }

    /// The peers known now.
    pub(super) async fn peers(&mut self) -> Result<Vec<PeerView>, CliError> {
        match self.request(Request::Peers).await? {
            Reply::Peers { peers } => Ok(peers),
            other => Err(unexpected(&other)),
        }
    }

    /// How the node is.
    pub(super) async fn status(&mut self) -> Result<Status, CliError> {
        match self.request(Request::Status).await? {
            Reply::Status(status) => Ok(*status),
            other => Err(unexpected(&other)),
        }
    }

    /// An error if nobody can be reached because no network link is up.
    pub(super) async fn needs_a_link(&mut self) -> Result<(), CliError> {
        let alone = !self.status().await?.links.iter().any(Link::leads_to_others);
        if alone { Err(CliError::no_link()) } else { Ok(()) }
    }

    /// Hears events from now on; before, whatever the node still has at hand of those stored after
    /// the last one heard.
    async fn subscribe(&mut self) -> Result<(), CliError> {
        loop {
            let handle = self.handle().ok_or_else(|| self.over())?;
            match handle.subscribe_after(self.last_seq).await {
                Ok(events) => {
                    self.last_seq = self.last_seq.or(events.last_seq());
                    self.events = Some(events);
                    return Ok(());
                }
                Err(_) => {
                    if !Box::pin(self.change_seat()).await? {
                        return Err(self.over());
                    }
                }
            }
        }
    }

    /// The next event; none if the node was stopped on purpose. Dropping the future while the port
    /// changes hands ends the client.
    pub(super) async fn next_event(&mut self) -> Result<Option<Stamped>, CliError> {
        if let Some(event) = self.next_missed()? {
            return Ok(Some(event));
        }
        loop {
            let Some(events) = &mut self.events else { return Ok(None) };
            let event = match &mut self.seat {
                Seat::Owner(running) => tokio::select! {
                    biased;
                    event = events.next() => event,
                    () = running.ended() => return Ok(None),
                },
                Seat::Guest(_) => events.next().await,
                Seat::Nowhere => return Ok(None),
            };
            let Some(event) = event else {
                if self.follow().await? {
                    continue;
                }
                return Ok(None);
            };
            // After a change of owner some may come twice.
            match event.seq {
                Some(seq) if self.last_seq.is_some_and(|last| seq <= last) => {}
                Some(seq) => {
                    self.last_seq = Some(seq);
                    return Ok(Some(event));
                }
                None => return Ok(Some(event)),
            }
        }
    }

    /// Events were missed ([`Event::Lagged`](crate::node::Event::Lagged)): those that are kept come
    /// next. False where nothing is kept.
    pub(super) fn catch_up(&mut self) -> bool {
        let kept = self.start.store && self.last_seq.is_some();
        self.missed = kept.then(VecDeque::new);
        kept
    }

    /// The next of the events that were missed. What waits behind them is told once all the same.
    fn next_missed(&mut self) -> Result<Option<Stamped>, CliError> {
        const PAGE: usize = 256;
        let Some(missed) = &mut self.missed else { return Ok(None) };
        if missed.is_empty() {
            let last = self.last_seq.unwrap_or_default();
            let stored = Reader::open(&self.start.paths)?.since(last, PAGE)?;
            let stored = stored.into_iter();
            missed.extend(stored.map(|e| Stamped { seq: Some(e.seq), at: e.at, event: e.event }));
        }
        let next = missed.pop_front();
        match &next {
            Some(event) => self.last_seq = event.seq.max(self.last_seq),
            None => self.missed = None,
        }
        Ok(next)
    }

    /// Events up to this place were heard otherwise.
    pub(super) fn heard(&mut self, seq: u64) {
        self.last_seq = self.last_seq.max(Some(seq));
    }

    /// The node ended: finds out how, and goes on with the next one. False if there is none because
    /// it was stopped on purpose.
    async fn follow(&mut self) -> Result<bool, CliError> {
        if !self.change_seat().await? {
            return Ok(false);
        }
        if self.events.is_some() {
            self.subscribe().await?;
        }
        Ok(true)
    }

    async fn change_seat(&mut self) -> Result<bool, CliError> {
        let guest = match mem::replace(&mut self.seat, Seat::Nowhere) {
            Seat::Guest(guest) => guest,
            // Our own node's task ended without being asked to.
            Seat::Owner(running) => {
                running.stop().await;
                return Err(CliError::new(Exit::CannotListen, "the node broke down")
                    .hint("its log tells more: feige -v node"));
            }
            Seat::Nowhere => return Ok(false),
        };
        let Guest { hello, succession, handle } = guest;
        drop(handle);
        let how = succession.await;
        if self.lasts() {
            if matches!(how, Succeeded::OwnerVanished | Succeeded::Moved) {
                self.read_settings();
            }
            if let Some(place) = io::succeed(self.start.clone(), &hello, how).await? {
                self.seat = place.into();
                return Ok(true);
            }
            return Ok(false);
        }
        match how {
            // Another command is the owner now; what this one waits for went along. Or nothing is
            // waited for yet, as where two commands begin at once.
            how if matches!(how, Succeeded::Moved) || !self.bound => {
                self.seat = enter(&self.start, self.role).await?;
                Ok(true)
            }
            Succeeded::Stopped => Ok(false),
            _ => Err(gone(Gone::Vanished)),
        }
    }

    /// Whoever goes on without what its owner knew is to go on with what was set while that ran.
    fn read_settings(&mut self) {
        match self.origin.start() {
            Ok(start) => self.start = start,
            Err(error) => {
                let words = format!("{}; what was set before stays in force", error.message());
                self.style.say(&words);
            }
        }
    }

    /// Says how long an interrupted message is kept, if anybody has not confirmed it yet.
    fn tell_kept(&self, number: PacketNo, waiting: &[Waiting]) {
        let of_it = waiting.iter().filter(|one| one.number == number);
        if let Some(until) = of_it.filter_map(|one| one.expires_at).max() {
            let until = date_and_time(until);
            self.style
                .say(&format!("kept until {until}; `feige outbox cancel {number}` takes it back"));
        }
    }

    /// Stays the node while commands that joined it wait for receipts: without it they would have to
    /// call what was sent not confirmed.
    pub(super) async fn outstay(&mut self) {
        const STEP: Duration = Duration::from_millis(50);
        if !self.is_owner() || self.role != Role::Brief {
            return;
        }
        let mut said = false;
        while self.is_needed().await.unwrap_or(false) {
            if !said {
                said = true;
                self.style.say("another command waits for receipts on this port; Ctrl-C ends");
            }
            sleep(STEP).await;
        }
    }

    async fn is_needed(&mut self) -> Result<bool, CliError> {
        let is_joined = self.status().await?.shell.is_some_and(|shell| shell.clients > 0);
        let Reply::Outbox { waiting } = self.request(Request::Outbox).await? else {
            return Ok(false);
        };
        Ok(is_joined && waiting.iter().any(|one| one.state == WaitingState::Sending))
    }

    /// Ends in order: with a goodbye if the node is ours and nobody takes it over.
    pub(super) async fn close(mut self) {
        // A node that does not answer any more must not keep us from leaving.
        const PATIENCE: Duration = Duration::from_secs(1);
        match self.waits_for.take() {
            Some(awaited @ (Awaited::Receipts(number) | Awaited::Fetches(number))) => {
                let cancelled = self.request(Request::Cancel { number });
                if timeout(PATIENCE, cancelled).await.is_ok_and(|done| done.is_ok()) {
                    self.style.say(match awaited {
                        Awaited::Fetches(_) => {
                            "taken back: what was not fetched is on offer no more"
                        }
                        _ => "not confirmed: interrupted; what was sent may have arrived",
                    });
                }
            }
            Some(Awaited::Kept(number)) => {
                if let Ok(Ok(Reply::Outbox { waiting })) =
                    timeout(PATIENCE, self.request(Request::Outbox)).await
                {
                    self.tell_kept(number, &waiting);
                }
            }
            None => {}
        }
        let mut arrived = 0;
        if self.is_owner() && self.role == Role::Brief {
            let status = timeout(PATIENCE, self.status()).await;
            arrived = status.map_or(0, |status| status.map_or(0, |s| s.counters.messages));
        }
        let keeps = self.start.store;
        if let Seat::Owner(running) = mem::replace(&mut self.seat, Seat::Nowhere) {
            running.stop().await;
        }
        if arrived > 0 {
            self.style.say(&arrival(arrived, keeps));
        }
    }
}

/// What to say of messages that came while a short command was the node.
fn arrival(arrived: u64, keeps: bool) -> String {
    match (arrived, keeps) {
        (1, true) => "1 message arrived: feige history".to_owned(),
        (_, true) => format!("{arrived} messages arrived: feige history"),
        (1, false) => "1 message arrived; it was neither kept nor confirmed".to_owned(),
        (_, false) => format!("{arrived} messages arrived; none was kept or confirmed"),
    }
}

fn gone(why: Gone) -> CliError {
    CliError::new(Exit::Partly, why).hint("whether it still did what was asked is not known")
}

/// Whether this changes nothing.
fn only_asks(request: &Request) -> bool {
    matches!(
        request,
        Request::Peers
            | Request::Seen
            | Request::RollCall
            | Request::Groups
            | Request::Outbox
            | Request::Offers
            | Request::Book
            | Request::Status
    )
}

pub(super) fn unexpected(reply: &Reply) -> CliError {
    let words = serde_json::to_string(reply).unwrap_or_default();
    CliError::new(Exit::Partly, format_args!("the node answered something else: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_meanwhile_is_said_plainly() {
        assert_eq!(arrival(1, true), "1 message arrived: feige history");
        assert_eq!(arrival(2, false), "2 messages arrived; none was kept or confirmed");
    }
}

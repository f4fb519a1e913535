//! `feige listen`: stays on the LAN and prints what happens.

mod accept;

use std::collections::HashSet;
use std::time::Duration;

use regex::Regex;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use self::accept::Accepting;
use super::get;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::open::{self, Untold};
use crate::cli::output::Feed;
use crate::cli::seen::{self, Seen};
use crate::cli::wish::{Role, Wish};
use crate::cli::{Globals, duration, pick};
use crate::io::Stamped;
use crate::node::{Direction, Event, MessageEvent, NoticeCode, PeerId, PeerView, UnixMillis};
use crate::store::{Reader, StoreError};

/// Print who comes and goes, and every message
///
/// Stays until Ctrl-C, or as --for and --count say. Marks in front of a line: < to us, > by us,
/// << and >> to everybody, * what feige says, ! what went wrong, | more of the line above.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige listen
  feige listen --from alice --count 1 --for 5m
  feige listen --accept 10.0.0.7 --download ~/inbox
  feige listen --json --since 418 | jq -r 'select(.event == \"message\").text'")]
pub(in crate::cli) struct Args {
    /// Leave after this time: 30s, 5m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    span: Option<Duration>,

    /// Only messages and comings of this peer
    #[arg(long, value_name = "WHO", value_parser = pick::readable)]
    from: Option<String>,

    /// Only messages and comings of peers in this group, and what is written in a group of FeiQ
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,

    /// Only messages whose text matches, as it came or as it is shown
    #[arg(long = "match", value_name = "REGEX")]
    matching: Option<Regex>,

    /// Leave after this many messages of others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Print first what was stored after this event, then go on without a gap
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,

    /// Fetch what WHO offers as it comes (repeatable); files up to 100M each, folders too
    #[arg(long, value_name = "WHO", value_parser = pick::readable)]
    accept: Vec<String>,

    /// Into this folder [default: the download folder of the settings]
    #[arg(long, value_name = "DIR", requires = "accept")]
    download: Option<std::path::PathBuf>,

    /// Open sealed messages at once; their senders are told
    #[arg(long, conflicts_with = "passive")]
    open: bool,

    /// Hear only: announce nothing, answer nothing
    #[arg(long)]
    passive: bool,
}

impl Args {
    pub(in crate::cli) fn wish(&self) -> Wish<'_> {
        Wish { role: Role::Lasting, listens: true, passive: self.passive, ..Wish::default() }
    }

    pub(in crate::cli) async fn run(
        &self,
        globals: &Globals,
        client: &mut Client,
    ) -> Result<Exit, CliError> {
        if globals.no_store && self.since.is_some() {
            return Err(CliError::usage("--since reads the store, which --no-store leaves alone"));
        }
        let mut listen = Listen {
            args: self,
            feed: client.feed().await?,
            present: HashSet::new(),
            left: self.count,
            accepting: Accepting::new(&self.accept, self.download.as_deref(), client.style())?,
            untold: Untold::default(),
            seen: (!globals.no_store).then(|| Seen::new(client.paths())),
        };
        if !globals.json {
            client.introduce("Ctrl-C ends");
        }
        let end = async {
            match self.span {
                Some(span) => sleep(span).await,
                None => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            done = listen.run(client) => done,
            () = end => Ok(()),
        };
        done?;
        listen.feed.finish().await?;
        listen.untold.wait(client).await?;
        Ok(Exit::Done)
    }
}

struct Listen<'a> {
    args: &'a Args,
    feed: Feed,
    /// Peers that were said to be here.
    present: HashSet<PeerId>,
    /// Messages still to come before the end.
    left: Option<u64>,
    accepting: Accepting,
    /// Senders that do not know yet that we opened their messages.
    untold: Untold,
    /// What was printed is read.
    seen: Option<Seen>,
}

impl Listen<'_> {
    async fn run(&mut self, client: &mut Client) -> Result<(), CliError> {
        let mut last = None;
        if let Some(since) = self.args.since {
            let since = self.begin(client, since)?;
            last = Some(self.replay(client, since, u64::MAX).await?);
        }
        if self.left == Some(0) {
            return Ok(());
        }
        // Who joins a node that runs finds people there already.
        let now = crate::io::wall_clock();
        for peer in client.peers().await? {
            let event = Stamped { seq: None, at: now, event: Event::PeerUp { peer } };
            self.show(client, &event).await?;
        }
        // Who comes later hears it too.
        if let Some(reason) = client.status().await?.store_trouble {
            let text = format!("the store takes no messages, receipts are withheld: {reason}");
            let event = Event::Notice { code: NoticeCode::StoreFailed, text };
            self.show(client, &Stamped { seq: None, at: now, event }).await?;
        }
        if !self.feed.style().json {
            seen::remind(client);
        }
        while self.left != Some(0) {
            let Some(event) = client.next_event().await? else { break };
            // Missed while the replay took its time.
            if let (Some(seq), Some(before)) = (event.seq, last)
                && seq > before + 1
            {
                self.replay(client, before, seq - 1).await?;
            }
            last = last.max(event.seq.filter(|_| last.is_some()));
            if matches!(event.event, Event::Notice { code: NoticeCode::Book, .. }) {
                self.feed.human().use_book(client.book().await?);
            }
            self.show(client, &event).await?;
            self.accept(client, &event.event).await?;
            // What was missed is in the store; more may not come for a long time.
            if let (Event::Lagged { .. }, Some(before)) = (&event.event, last) {
                last = Some(self.replay(client, before, u64::MAX).await?);
            }
        }
        Ok(())
    }

    /// Fetches what is offered by those whose files are accepted, and makes files of their pictures.
    async fn accept(&mut self, client: &mut Client, event: &Event) -> Result<(), CliError> {
        let peer = match event {
            Event::Offer(offer) => &offer.peer,
            Event::Picture(picture) => &picture.peer,
            _ => return Ok(()),
        };
        let mut known: Vec<_> = self.feed.human().peers().cloned().collect();
        known.retain(|other| other.id != peer.id);
        known.push(peer.clone());
        let book = self.feed.human().book();
        match event {
            Event::Offer(offer) => {
                if let Some(request) = self.accepting.request(offer, &known, book)
                    && let Err(error) = client.request(request).await
                {
                    // A rule of the settings may have been quicker.
                    self.feed.style().say(&error.to_string());
                }
            }
            Event::Picture(picture) if self.accepting.takes(picture, &known, book) => {
                return self.save(client, picture.facts.digest.clone()).await;
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes a file of a picture that is kept, and tells where it is.
    async fn save(&mut self, client: &Client, digest: String) -> Result<(), CliError> {
        let paths = client.paths().clone();
        let folder = self.accepting.folder().unwrap_or(client.downloads()).to_owned();
        let saving = spawn_blocking(move || get::save_picture(&paths, &digest, &folder));
        let (code, text) = match saving.await {
            Ok(Ok(path)) => {
                let words = format!("a picture is written, by --accept: {}", path.display());
                (NoticeCode::PictureWritten, words)
            }
            Ok(Err(error)) => (NoticeCode::Picture, error.message().to_owned()),
            Err(error) => (NoticeCode::Picture, error.to_string()),
        };
        let event = Event::Notice { code, text };
        self.feed.event(None, crate::io::wall_clock(), &event).await
    }

    /// Where to begin. A place that the stream has not come to is of another store, or of one that
    /// is lost: what comes from now on is told all the same.
    fn begin(&self, client: &Client, since: u64) -> Result<u64, CliError> {
        let newest = match Reader::open(client.paths()) {
            Err(StoreError::Missing { .. }) => 0,
            reader => reader?.last_seq()?,
        };
        if since > newest {
            let words = format!("there is no event {since} yet, the newest is {newest}");
            self.feed.style().say(&words);
        }
        Ok(since.min(newest))
    }

    /// Shows what was stored after `since` up to `until`, and returns how far it came.
    async fn replay(
        &mut self,
        client: &mut Client,
        since: u64,
        until: u64,
    ) -> Result<u64, CliError> {
        const PAGE: usize = 256;
        let reader = match Reader::open(client.paths()) {
            Err(StoreError::Missing { .. }) => return Ok(since),
            reader => reader?,
        };
        let mut last = since;
        while self.left != Some(0) {
            let page = reader.since(last, PAGE)?;
            let full = page.len() == PAGE;
            for stored in page {
                if stored.seq > until || self.left == Some(0) {
                    return Ok(last);
                }
                last = stored.seq;
                client.heard(last);
                self.print(client, Some(stored.seq), stored.at, &stored.event).await?;
            }
            if !full {
                break;
            }
        }
        Ok(last)
    }

    async fn show(&mut self, client: &mut Client, stamped: &Stamped) -> Result<(), CliError> {
        let news = match &stamped.event {
            Event::PeerUp { peer } => self.present.insert(peer.id.clone()),
            Event::PeerDown { peer, .. } => {
                self.present.remove(&peer.id);
                true
            }
            _ => true,
        };
        if !news {
            return Ok(());
        }
        self.print(client, stamped.seq, stamped.at, &stamped.event).await
    }

    async fn print(
        &mut self,
        client: &mut Client,
        seq: Option<u64>,
        at: UnixMillis,
        event: &Event,
    ) -> Result<(), CliError> {
        self.untold.hear(event);
        let opened = self.open(client, seq, event).await;
        let event = opened.as_ref().unwrap_or(event);
        let wanted = self.wants(event);
        if wanted {
            self.feed.event(seq, at, event).await?;
        } else {
            self.feed.human().remember(event);
        }
        if let (true, Some(seq), Some(seen)) = (wanted, seq, &self.seen)
            && matches!(event, Event::Message(m) if m.direction == Direction::In && !m.closed)
        {
            seen.note(seq);
        }
        if wanted && matches!(event, Event::Message(m) if m.direction == Direction::In) {
            self.left = self.left.map(|left| left.saturating_sub(1));
        }
        Ok(())
    }

    /// A sealed message as it is when it is open, if it is wanted and can be opened.
    async fn open(
        &mut self,
        client: &mut Client,
        seq: Option<u64>,
        event: &Event,
    ) -> Option<Event> {
        let Event::Message(message) = event else { return None };
        if !self.args.open || !message.closed || !self.wants_between(message) {
            return None;
        }
        match open::open(client, seq.unwrap_or(message.number.0)).await {
            Ok(opened) => {
                self.untold.note(&opened);
                Some(Event::Message(opened.message))
            }
            Err(error) => {
                self.feed.style().say(&error.to_string());
                None
            }
        }
    }

    fn wants(&mut self, event: &Event) -> bool {
        match event {
            Event::Message(message) => self.wants_message(message),
            Event::PeerUp { peer } | Event::PeerChanged { peer } | Event::PeerDown { peer, .. } => {
                self.args.matching.is_none() && self.wants_peer(peer)
            }
            // What became of our own messages is nothing from anybody.
            Event::Receipt { peer, .. }
            | Event::Queued { peer, .. }
            | Event::Delivered { peer, .. }
            | Event::Failed { peer, .. }
            | Event::Read { peer, .. }
            | Event::Told { peer, .. } => {
                self.args.matching.is_none() && self.args.from.is_none() && self.wants_peer(peer)
            }
            Event::Knock { peer, direction, .. } => {
                let theirs = *direction == Direction::In || self.args.from.is_none();
                theirs && self.args.matching.is_none() && self.wants_peer(peer)
            }
            Event::Typing { peer, .. } => self.args.matching.is_none() && self.wants_peer(peer),
            Event::Offer(offer) => self.wants_files(&offer.peer),
            Event::Picture(picture) => self.wants_files(&picture.peer),
            Event::Progress(moving) => self.wants_files(&moving.peer),
            Event::Transferred(end) => self.wants_files(&end.peer),
            Event::Notice { .. } | Event::Lagged { .. } => true,
        }
    }

    fn wants_files(&mut self, peer: &PeerView) -> bool {
        self.args.matching.is_none() && self.wants_peer(peer)
    }

    fn wants_message(&mut self, message: &MessageEvent) -> bool {
        let Args { from, matching, .. } = self.args;
        if message.direction == Direction::Out && (from.is_some() || matching.is_some()) {
            return false;
        }
        // As it came, or as its reader sees it.
        let matches = |regex: &Regex| {
            let shown = message.shown.as_deref();
            regex.is_match(&message.text) || shown.is_some_and(|shown| regex.is_match(shown))
        };
        if !matching.as_ref().is_none_or(matches) {
            return false;
        }
        self.wants_between(message)
    }

    /// Whether a message is wanted as far as its other side says.
    fn wants_between(&mut self, message: &MessageEvent) -> bool {
        let group = self.args.group.as_ref();
        let in_chat = |group: &String| {
            let chat = message.extras.chat.as_ref();
            chat.is_some_and(|chat| chat.id == *group || chat.name.as_ref() == Some(group))
        };
        if group.is_some_and(in_chat) {
            return message.peer.as_ref().is_none_or(|peer| self.is_from(peer));
        }
        match &message.peer {
            Some(peer) => self.wants_peer(peer),
            None => self.args.group.is_none(),
        }
    }

    fn wants_peer(&mut self, peer: &PeerView) -> bool {
        let Args { group, .. } = self.args;
        if group.as_ref().is_some_and(|group| !pick::is_in_group(group, peer)) {
            return false;
        }
        self.is_from(peer)
    }

    /// Whether this is whom `--from` asks for.
    fn is_from(&mut self, peer: &PeerView) -> bool {
        let Some(from) = &self.args.from else { return true };
        let mut known: Vec<_> =
            self.feed.human().peers().filter(|other| other.id != peer.id).cloned().collect();
        known.push(peer.clone());
        pick::admits(from, peer, &known, self.feed.human().book())
    }
}

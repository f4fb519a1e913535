//! `feige knock`: shakes a window, or rings a bell.

use tokio::time::timeout;

use crate::cli::OwnGroup;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Feed, UNFELT, failed};
use crate::cli::wish::Wish;
use crate::io::Stamped;
use crate::node::{
    Direction, Event, Outcome, PacketNo, PeerView, Policy, Reply, Request, Target, Wishes,
};
use crate::term;

/// Knock at somebody: shakes a FeiQ window, rings the bell of another feige
///
/// Where a program knows no knock (IPMsg, iptux), a message "knock knock" is sent, which opens a
/// window there. WHO is as for send. Exit code 1 if somebody did not answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige knock wang
  feige knock 10.0.0.7 李四
  feige knock @ops --yes")]
pub(in crate::cli) struct Args {
    /// Whom to knock at
    #[arg(value_name = "WHO", required = true)]
    whos: Vec<String>,

    /// Knock at everybody a pattern matches, also where that are several
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    own: OwnGroup,
}

/// What is written to those whose programs know no knock.
const WORDS: &str = "knock knock";

impl Args {
    pub(in crate::cli) fn wish(&self) -> Wish<'_> {
        Wish { listens: true, group: self.own.group.as_deref(), ..Wish::default() }
    }

    pub(in crate::cli) async fn run(&self, client: &mut Client) -> Result<Exit, CliError> {
        let mut feed = client.feed().await?;
        let to = self.targets(client).await?;
        let Reply::Knocked { number, to, without } = client.request(Request::Knock { to }).await?
        else {
            return Err(CliError::new(Exit::Partly, "the node does not say whether it knocked"));
        };
        let waits = Policy::default().knock_wait;
        let timeout_ms = u64::try_from(waits.as_millis()).unwrap_or(u64::MAX);
        let mut doors: Vec<Door> = to.into_iter().map(|peer| Door::new(number, peer)).collect();
        if !without.is_empty() {
            let to = without.iter().map(|peer| Target::Peer(peer.id.clone())).collect();
            let (text, wishes) = (WORDS.to_owned(), Wishes::default());
            let request = Request::Send { to, text, check: true, timeout_ms, wishes };
            let Reply::Sent { number, to, .. } = client.request(request).await? else {
                return Err(CliError::new(Exit::Partly, "the node does not say what it sent"));
            };
            doors.extend(to.into_iter().map(|peer| Door::written(number, peer)));
        }
        for door in &doors {
            feed.human().know(&door.peer);
        }
        let watched = timeout(waits * 2, watch(client, &mut feed, &mut doors)).await;
        watched.unwrap_or(Ok(()))?;
        for door in doors.iter_mut().filter(|door| door.felt.is_none()) {
            door.felt = Some(false);
            if !feed.style().json {
                let line = format!("{}  {UNFELT}", feed.human().label(&door.peer));
                feed.line(line).await?;
            }
        }
        feed.finish().await?;
        let all = doors.iter().all(|door| door.felt == Some(true));
        Ok(if all { Exit::Done } else { Exit::Partly })
    }

    async fn targets(&self, client: &mut Client) -> Result<Vec<Target>, CliError> {
        client.resolve(&self.whos, self.yes).await.map_err(CliError::nothing_sent)
    }
}

/// Somebody knocked at.
struct Door {
    number: PacketNo,
    peer: PeerView,
    /// A message went there, because its program knows no knock.
    written: bool,
    felt: Option<bool>,
}

impl Door {
    fn new(number: PacketNo, peer: PeerView) -> Self {
        Self { number, peer, written: false, felt: None }
    }

    fn written(number: PacketNo, peer: PeerView) -> Self {
        Self { written: true, ..Self::new(number, peer) }
    }

    /// Whether it was felt, and in words, if this event says so.
    fn fate(&self, event: &Event) -> Option<(bool, String)> {
        let is_it = |number: PacketNo, peer: &PeerView| {
            number == self.number
                && self.felt.is_none()
                && (peer.id == self.peer.id || peer.addr == self.peer.addr)
        };
        match event {
            Event::Knock { number, peer, direction: Direction::Out, outcome }
                if !self.written && is_it(*number, peer) =>
            {
                let felt = *outcome == Some(Outcome::Confirmed);
                let words = if felt { "felt the knock" } else { UNFELT };
                Some((felt, words.to_owned()))
            }
            Event::Receipt { number, peer, .. } if is_it(*number, peer) => {
                Some((true, "knows no knock, and got a message".to_owned()))
            }
            Event::Failed { number, peer, outcome, tries, hint } if is_it(*number, peer) => {
                let fate = failed(*outcome, *tries, *hint, peer.port);
                Some((false, format!("knows no knock; a message is {fate}")))
            }
            _ => None,
        }
    }
}

/// Until it is known of everybody whether they felt it.
async fn watch(client: &mut Client, feed: &mut Feed, doors: &mut [Door]) -> Result<(), CliError> {
    while doors.iter().any(|door| door.felt.is_none()) {
        let Some(Stamped { seq, at, event }) = client.next_event().await? else { break };
        for door in doors.iter_mut() {
            let Some((felt, words)) = door.fate(&event) else { continue };
            door.felt = Some(felt);
            if feed.style().json {
                feed.event(seq, at, &event).await?;
            } else {
                let line = format!("{}  {}", feed.human().label(&door.peer), term::safe(&words));
                feed.line(line).await?;
            }
            break;
        }
    }
    Ok(())
}

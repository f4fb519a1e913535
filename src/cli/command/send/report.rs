//! What becomes of a message with each of its recipients, as `feige send` tells it.

use std::net::SocketAddr;

use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Feed, failed, milliseconds};
use crate::io::Stamped;
use crate::node::{Direction, Event, NoticeCode, Outcome, PacketNo, PeerView};
use crate::term;

/// Collects what becomes of one message, and tells it as it comes.
pub(super) struct Report {
    feed: Feed,
    number: PacketNo,
    check: bool,
    recipients: Vec<Recipient>,
    /// Columns of the longest name.
    columns: usize,
}

struct Recipient {
    peer: PeerView,
    label: String,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Not stored, so it did not leave.
    Waiting,
    /// Stored and sent.
    Left,
    Confirmed,
    Failed,
}

impl Report {
    pub(super) fn new(mut feed: Feed, number: PacketNo, to: Vec<PeerView>, check: bool) -> Self {
        for peer in &to {
            feed.human().know(peer);
        }
        let recipients: Vec<_> = to
            .into_iter()
            .map(|peer| {
                let label = label(feed.human().label(&peer), &peer);
                Recipient { peer, label, fate: Fate::Waiting }
            })
            .collect();
        let columns = recipients.iter().map(|r| term::width(&r.label)).max().unwrap_or(0);
        Self { feed, number, check, recipients, columns }
    }

    /// To write with.
    pub(super) const fn feed(&mut self) -> &mut Feed {
        &mut self.feed
    }

    pub(super) fn is_settled(&self) -> bool {
        self.recipients.iter().all(|recipient| match recipient.fate {
            Fate::Waiting => false,
            Fate::Left => !self.check,
            Fate::Confirmed | Fate::Failed => true,
        })
    }

    /// Until everybody's message ended.
    pub(super) async fn watch(&mut self, client: &mut Client) -> Result<(), CliError> {
        while !self.is_settled() {
            let stamped = match client.next_event().await {
                Ok(Some(stamped)) => stamped,
                Ok(None) => break,
                Err(error) => {
                    // What was sent is reported all the same.
                    self.feed.style().say(&error.to_string());
                    break;
                }
            };
            self.hear(&stamped).await?;
        }
        Ok(())
    }

    pub(super) async fn hear(&mut self, stamped: &Stamped) -> Result<(), CliError> {
        let (peer, fate, words) = match &stamped.event {
            Event::Message(message)
                if message.number == self.number && message.direction == Direction::Out =>
            {
                let Some(peer) = &message.peer else { return Ok(()) };
                (peer, Fate::Left, (!self.check).then(|| "sent, no receipt asked for".to_owned()))
            }
            Event::Receipt { number, peer, tries, rtt_ms } if *number == self.number => {
                let again = if *tries > 1 { format!(", {tries} tries") } else { String::new() };
                let words = format!("confirmed after {}{again}", milliseconds(*rtt_ms));
                (peer, Fate::Confirmed, Some(words))
            }
            Event::Failed { number, peer, outcome, tries, hint } if *number == self.number => {
                (peer, Fate::Failed, Some(failed(*outcome, *tries, *hint)))
            }
            Event::Notice { code: NoticeCode::StoreFailed, text } => {
                if self.recipients.iter().all(|recipient| recipient.fate == Fate::Waiting) {
                    return Err(CliError::new(Exit::Store, format_args!("not sent: {text}")));
                }
                self.feed.style().say(text);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(at) = self.find(peer) else { return Ok(()) };
        self.recipients[at].fate = fate;
        if self.feed.style().json {
            return self.feed.event(stamped.seq, stamped.at, &stamped.event).await;
        }
        match words {
            Some(words) => self.tell(at, &words).await,
            None => Ok(()),
        }
    }

    /// Which recipient an event is about. Somebody written to by address may turn out to have a
    /// name.
    fn find(&self, peer: &PeerView) -> Option<usize> {
        let open = |recipient: &Recipient| matches!(recipient.fate, Fate::Waiting | Fate::Left);
        let place = |test: &dyn Fn(&PeerView) -> bool| {
            self.recipients.iter().position(|r| open(r) && test(&r.peer))
        };
        place(&|other| other.id == peer.id)
            .or_else(|| place(&|other| (other.addr, other.port) == (peer.addr, peer.port)))
            .or_else(|| if self.recipients.len() == 1 { place(&|_| true) } else { None })
    }

    async fn tell(&mut self, at: usize, words: &str) -> Result<(), CliError> {
        let line = format!("{}  {words}", term::pad(&self.recipients[at].label, self.columns));
        self.feed.line(line).await
    }

    /// Says what never ended, and sums up.
    pub(super) async fn close(mut self) -> Result<Exit, CliError> {
        for at in 0..self.recipients.len() {
            let words = match self.recipients[at].fate {
                Fate::Waiting => failed(Outcome::NotSent, 0, None),
                Fate::Left if self.check => "not confirmed: the node ended".to_owned(),
                _ => continue,
            };
            self.recipients[at].fate = Fate::Failed;
            let label = &self.recipients[at].label;
            if self.feed.style().json {
                self.feed.style().say(&format!("{label}: {words}"));
            } else {
                self.tell(at, &words).await?;
            }
        }
        let all = self.recipients.len();
        let well = self.recipients.iter().filter(|r| r.fate != Fate::Failed).count();
        if all > 1 {
            let what = if self.check { "confirmed" } else { "sent" };
            self.feed.style().say(&format!("{well} of {all} {what}"));
        }
        self.feed.finish().await?;
        Ok(if well == all { Exit::Done } else { Exit::Partly })
    }
}

/// A recipient's name and address; only the address where no name is known.
fn label(name: String, peer: &PeerView) -> String {
    let addr = SocketAddr::new(peer.addr, peer.port);
    let at = if peer.port == crate::node::PORT { peer.addr.to_string() } else { addr.to_string() };
    if name.contains(&peer.addr.to_string()) { name } else { format!("{name} ({at})") }
}

//! What becomes of a message with each of its recipients, as `feige send` tells it: a sentence for
//! one recipient, a row of a table for each of several, and in JSON the events and a summary.

mod fate;
mod summary;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{self, Feed};
use crate::io::Stamped;
use crate::node::{Direction, Event, NoticeCode, PacketNo, PeerId, PeerView, Waiting};
use crate::term;

use fate::{Fate, Reading};
use summary::Summary;

/// Collects what becomes of one message, and tells it as it comes.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(in crate::cli::command) struct Report {
    feed: Feed,
    number: PacketNo,
    check: bool,
    /// What was not confirmed is kept.
    later: bool,
    recipients: Vec<Recipient>,
    by_id: HashMap<PeerId, usize>,
    /// Columns of the longest name.
    columns: usize,
    /// Those whose fate is not settled.
    open: usize,
    /// The node ended before it told everything, so what it did is not known.
    cut_off: bool,
    /// The store took something not.
    store_failed: bool,
}

struct Recipient {
    peer: PeerView,
    label: String,
    fate: Fate,
    /// What it did with a sealed message until now.
    reading: Option<Reading>,
}

/// Columns of the longest result, `not confirmed`, and of a time.
const RESULT: usize = 13;
const TIME: usize = 8;

impl Report {
    /// The report of a message that is being sent. `check`: receipts are awaited; `later`: what is
    /// not confirmed is kept.
    pub(in crate::cli::command) fn new(
        mut feed: Feed,
        number: PacketNo,
        to: Vec<PeerView>,
        check: bool,
        later: bool,
    ) -> Self {
        for peer in &to {
            feed.human().know(peer);
        }
        let recipients: Vec<_> = to
            .into_iter()
            .map(|peer| {
                let label = label(feed.human().label(&peer), &peer);
                Recipient { peer, label, fate: Fate::Waiting, reading: None }
            })
            .collect();
        let columns = recipients.iter().map(|r| term::width(&r.label)).max().unwrap_or(0);
        let open = recipients.len();
        let by_id = recipients.iter().enumerate().map(|(at, r)| (r.peer.id.clone(), at)).collect();
        let (cut_off, store_failed) = (false, false);
        Self { feed, number, check, later, recipients, by_id, columns, open, cut_off, store_failed }
    }

    /// To write with.
    pub(super) const fn feed(&mut self) -> &mut Feed {
        &mut self.feed
    }

    /// Whether nothing more can come of the message.
    pub(super) const fn is_settled(&self) -> bool {
        self.open == 0
    }

    /// Whether the message ended without a receipt of somebody.
    pub(super) fn has_failed(&self) -> bool {
        self.recipients.iter().any(|recipient| matches!(recipient.fate, Fate::Failed { .. }))
    }

    /// The report of a message that had been queued and is being sent now.
    pub(in crate::cli::command) fn of_queued(
        feed: Feed,
        number: PacketNo,
        waiting: Vec<Waiting>,
    ) -> Self {
        let ends: Vec<_> = waiting.iter().map(|one| one.expires_at.unwrap_or_default()).collect();
        let to = waiting.into_iter().map(|one| one.peer).collect();
        let mut report = Self::new(feed, number, to, true, true);
        for (recipient, expires_at) in report.recipients.iter_mut().zip(ends) {
            recipient.fate = Fate::Retried { expires_at };
        }
        report
    }

    /// Until everybody's message ended.
    pub(in crate::cli::command) async fn watch(
        &mut self,
        client: &mut Client,
    ) -> Result<(), CliError> {
        while self.open > 0 {
            let stamped = match client.next_event().await {
                Ok(Some(stamped)) => stamped,
                Ok(None) => {
                    self.cut_off = true;
                    break;
                }
                Err(error) => {
                    self.cut_off = true;
                    // What was sent is reported all the same.
                    self.feed.style().say(error.message());
                    break;
                }
            };
            if matches!(stamped.event, Event::Lagged { .. }) && !client.catch_up() {
                // What was missed nobody says again.
                self.cut_off = true;
                break;
            }
            self.hear(&stamped).await?;
        }
        if self.cut_off { Ok(()) } else { self.hear_what_came(client).await }
    }

    /// Hears what is there already and waits for nothing: whoever opens a message at once may be
    /// heard of together with its receipt.
    async fn hear_what_came(&mut self, client: &mut Client) -> Result<(), CliError> {
        const EVENTS_MAX: usize = 4_096;
        for _ in 0..EVENTS_MAX {
            let came = timeout(Duration::ZERO, client.next_event()).await;
            let Ok(Ok(Some(stamped))) = came else { break };
            self.hear(&stamped).await?;
        }
        Ok(())
    }

    pub(super) async fn hear(&mut self, stamped: &Stamped) -> Result<(), CliError> {
        let (peer, fate) = match &stamped.event {
            Event::Message(message)
                if message.number == self.number && message.direction == Direction::Out =>
            {
                let Some(peer) = message.peer.as_deref() else { return Ok(()) };
                (peer, Fate::Left)
            }
            Event::Receipt { number, peer, tries, rtt_ms } if *number == self.number => {
                (peer, Fate::Confirmed { tries: *tries, rtt_ms: *rtt_ms })
            }
            Event::Delivered { number, peer, tries, waited_ms } if *number == self.number => {
                (peer, Fate::Delivered { tries: *tries, waited_ms: *waited_ms })
            }
            Event::Queued { number, peer, tries, expires_at } if *number == self.number => {
                (peer, Fate::Queued { tries: *tries, expires_at: *expires_at })
            }
            Event::Failed { number, peer, outcome, tries, hint } if *number == self.number => {
                (peer, Fate::Failed { outcome: *outcome, tries: *tries, hint: *hint })
            }
            Event::Read { number, peer, discarded } if *number == self.number => {
                return self.hear_of_reading(peer, *discarded, stamped).await;
            }
            Event::Notice { code: NoticeCode::StoreFailed, text } => {
                self.store_failed = true;
                self.feed.style().say(text);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(at) = self.find(peer) else { return Ok(()) };
        self.recipients[at].fate = fate;
        let settled = fate.is_settled(self.check);
        self.open -= usize::from(settled);
        if self.feed.style().json {
            return self.feed.event(stamped.seq, stamped.at, &stamped.event).await;
        }
        if settled { self.tell(at).await } else { Ok(()) }
    }

    /// A recipient opened the message, or threw it away: its row is told anew.
    async fn hear_of_reading(
        &mut self,
        peer: &PeerView,
        discarded: bool,
        stamped: &Stamped,
    ) -> Result<(), CliError> {
        let there = |other: &PeerView| (other.addr, other.port) == (peer.addr, peer.port);
        let at = self.by_id.get(&peer.id).copied();
        let at = at.or_else(|| self.recipients.iter().position(|one| there(&one.peer)));
        let at = at.or((self.recipients.len() == 1).then_some(0));
        let Some(at) = at else { return Ok(()) };
        let Some(recipient) = self.recipients.get_mut(at) else { return Ok(()) };
        recipient.reading = Some(Reading { at: stamped.at, discarded });
        if self.feed.style().json {
            return self.feed.event(stamped.seq, stamped.at, &stamped.event).await;
        }
        self.tell(at).await
    }

    /// Which recipient an event is about. Somebody written to by address may turn out to have a
    /// name.
    fn find(&self, peer: &PeerView) -> Option<usize> {
        let open = |recipient: &Recipient| !recipient.fate.is_settled(true);
        let place = |test: &dyn Fn(&PeerView) -> bool| {
            self.recipients.iter().position(|r| open(r) && test(&r.peer))
        };
        let by_id = self.by_id.get(&peer.id).copied().filter(|&at| open(&self.recipients[at]));
        by_id
            .or_else(|| place(&|other| (other.addr, other.port) == (peer.addr, peer.port)))
            .or_else(|| if self.recipients.len() == 1 { place(&|_| true) } else { None })
    }

    /// A sentence about the only recipient, or a row of the table.
    async fn tell(&mut self, at: usize) -> Result<(), CliError> {
        let Recipient { peer, label, fate, reading } = &self.recipients[at];
        let line = if self.recipients.len() == 1 {
            format!("{label}  {}", fate.sentence(self.check, *reading, peer.port))
        } else {
            let (result, time, more) = fate.columns(self.check, *reading, peer.port);
            let name = term::pad(label, self.columns);
            let row = format!("{name}  {}  {time:>TIME$}  {more}", term::pad(&result, RESULT));
            row.trim_end().to_owned()
        };
        self.feed.line(line).await
    }

    /// Says what never ended, and sums up.
    pub(in crate::cli::command) async fn close(mut self) -> Result<Exit, CliError> {
        let json = self.feed.style().json;
        for at in 0..self.recipients.len() {
            if self.recipients[at].fate.is_settled(self.check) {
                continue;
            }
            let fate = &mut self.recipients[at].fate;
            *fate = match *fate {
                Fate::Left if self.later => Fate::Kept,
                Fate::Left => Fate::Unknown,
                Fate::Waiting if self.cut_off => Fate::Unknown,
                other => other,
            };
            if !json {
                self.tell(at).await?;
            }
        }
        let all = self.recipients.len();
        let count =
            |word| self.recipients.iter().filter(|r| r.fate.word(self.check) == word).count();
        let well = count(if self.check { "confirmed" } else { "sent" });
        let queued = count("queued");
        let read = self.recipients.iter().filter(|recipient| recipient.has_read()).count();
        // One recipient's events say all there is.
        if json && all > 1 {
            let summary = Summary::of(self.number, &self.recipients, self.check);
            self.feed.line(output::to_json(&summary)?).await?;
        }
        let what = if self.check { "confirmed" } else { "sent" };
        if all > 1 {
            let later = if queued > 0 { format!(", {queued} queued") } else { String::new() };
            let read = if read > 0 { format!(", {read} read") } else { String::new() };
            self.feed.style().say(&format!("{well} of {all} {what}{later}{read}"));
        }
        if queued > 0 {
            self.feed.style().say(
                "what is queued goes out when its recipient appears and a node runs \
                 (feige node, feige listen); feige outbox lists it",
            );
        }
        self.feed.finish().await?;
        Ok(match well {
            _ if well == all => Exit::Done,
            _ if self.store_failed && count("not_sent") == all => Exit::Store,
            _ => Exit::Partly,
        })
    }
}

impl Recipient {
    /// Whether it opened the sealed message.
    fn has_read(&self) -> bool {
        self.reading.is_some_and(|reading| !reading.discarded)
    }
}

/// A recipient's name and address; only the address where no name is known.
fn label(name: String, peer: &PeerView) -> String {
    let addr = SocketAddr::new(peer.addr, peer.port);
    let at = if peer.port == crate::node::PORT { peer.addr.to_string() } else { addr.to_string() };
    if name.contains(&peer.addr.to_string()) { name } else { format!("{name} ({at})") }
}

//! What becomes of a message with each of its recipients, as `feige send` tells it: a sentence for
//! one recipient, a row of a table for each of several, and in JSON the events and a summary.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde::Serialize;

use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{self, Feed, VERSION, failed, milliseconds, queued, waited};
use crate::io::Stamped;
use crate::node::{
    Bounce, Direction, Event, NoticeCode, Outcome, PacketNo, PeerId, PeerView, UnixMillis, Waiting,
};
use crate::term;

/// Collects what becomes of one message, and tells it as it comes.
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
}

struct Recipient {
    peer: PeerView,
    label: String,
    fate: Fate,
    /// It opened the message while others were still waited for.
    read: bool,
}

/// What became of a message with one recipient, as far as is known.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    /// Not stored, so it did not leave.
    Waiting,
    /// Stored and sent.
    Left,
    /// Confirmed, after so many datagrams and milliseconds.
    Confirmed { tries: u32, rtt_ms: f64 },
    /// Confirmed after it had been queued; milliseconds since it was written.
    Delivered { tries: u32, waited_ms: u64 },
    /// It was queued, and is being sent now.
    Retried { expires_at: UnixMillis },
    /// Kept until the recipient appears.
    Queued { tries: u32, expires_at: UnixMillis },
    /// Ended without a receipt.
    Failed { outcome: Outcome, tries: u32, hint: Option<Bounce> },
    /// The node ended before it told.
    Unknown,
    /// The node ended before it told, and the store keeps the message.
    Kept,
}

/// The last line of `feige send --json`.
#[derive(Serialize)]
struct Summary<'r> {
    v: u8,
    report: Counts<'r>,
}

#[derive(Serialize)]
struct Counts<'r> {
    number: PacketNo,
    all: usize,
    confirmed: usize,
    queued: usize,
    not_confirmed: usize,
    not_sent: usize,
    read: usize,
    results: Vec<ResultLine<'r>>,
}

#[derive(Serialize)]
struct ResultLine<'r> {
    id: &'r PeerId,
    nick: &'r str,
    result: &'static str,
    tries: Option<u32>,
    rtt_ms: Option<f64>,
    read: bool,
}

impl Fate {
    /// Whether nothing more is to come; `check`: a receipt is awaited.
    const fn is_settled(self, check: bool) -> bool {
        match self {
            Self::Waiting | Self::Retried { .. } => false,
            Self::Left => !check,
            _ => true,
        }
    }

    /// One word for it; the same in the table and in JSON.
    const fn word(self, check: bool) -> &'static str {
        match self {
            Self::Confirmed { .. } | Self::Delivered { .. } => "confirmed",
            Self::Queued { .. } | Self::Retried { .. } | Self::Kept => "queued",
            Self::Left if !check => "sent",
            Self::Waiting | Self::Failed { outcome: Outcome::NotSent, .. } => "not_sent",
            Self::Left | Self::Unknown | Self::Failed { .. } => "not_confirmed",
        }
    }

    /// Datagrams sent, where that is known.
    const fn tries(self) -> Option<u32> {
        match self {
            Self::Confirmed { tries, .. }
            | Self::Delivered { tries, .. }
            | Self::Queued { tries, .. }
            | Self::Failed { tries, .. } => Some(tries),
            Self::Waiting | Self::Left | Self::Retried { .. } | Self::Unknown | Self::Kept => None,
        }
    }

    /// The whole of it in words.
    fn sentence(self, check: bool, port: u16) -> String {
        match self {
            Self::Waiting => failed(Outcome::NotSent, 0, None, port),
            Self::Left if !check => "sent, no receipt asked for".to_owned(),
            Self::Left | Self::Unknown => "not confirmed: the node ended".to_owned(),
            Self::Kept => "queued; the node ended".to_owned(),
            Self::Confirmed { tries, rtt_ms } => {
                let again = if tries > 1 { format!(", {tries} tries") } else { String::new() };
                format!("confirmed after {}{again}", milliseconds(rtt_ms))
            }
            Self::Delivered { waited_ms, .. } => format!("confirmed {}", waited(waited_ms)),
            Self::Queued { expires_at, .. } => queued(expires_at),
            Self::Retried { expires_at } => format!("not confirmed, still {}", queued(expires_at)),
            Self::Failed { outcome, tries, hint } => failed(outcome, tries, hint, port),
        }
    }

    /// The columns of the table: result, time, and what else there is to say.
    fn columns(self, check: bool, port: u16) -> (String, String, String) {
        let result = self.word(check).replace('_', " ");
        let tries = match self.tries() {
            None | Some(0) => String::new(),
            Some(1) if matches!(self, Self::Confirmed { .. }) => String::new(),
            Some(1) => "1 try".to_owned(),
            Some(tries) => format!("{tries} tries"),
        };
        let (time, more) = match self {
            Self::Confirmed { rtt_ms, .. } => (milliseconds(rtt_ms), None),
            Self::Delivered { waited_ms, .. } => (String::new(), Some(waited(waited_ms))),
            Self::Queued { expires_at, .. } | Self::Retried { expires_at } => {
                (String::new(), queued(expires_at).strip_prefix("queued ").map(str::to_owned))
            }
            Self::Failed { outcome: Outcome::Cancelled, .. } => {
                (String::new(), Some("cancelled".to_owned()))
            }
            Self::Failed { outcome: Outcome::Expired, .. } => {
                (String::new(), Some("expired".to_owned()))
            }
            Self::Failed { hint, .. } => (String::new(), hint.map(|h| output::why(h, port))),
            Self::Left if check => (String::new(), Some("the node ended".to_owned())),
            Self::Unknown | Self::Kept => (String::new(), Some("the node ended".to_owned())),
            Self::Left | Self::Waiting => (String::new(), None),
        };
        let words: Vec<String> =
            [Some(tries), more].into_iter().flatten().filter(|words| !words.is_empty()).collect();
        (result, time, words.join(", "))
    }
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
                Recipient { peer, label, fate: Fate::Waiting, read: false }
            })
            .collect();
        let columns = recipients.iter().map(|r| term::width(&r.label)).max().unwrap_or(0);
        let open = recipients.len();
        let by_id = recipients.iter().enumerate().map(|(at, r)| (r.peer.id.clone(), at)).collect();
        Self { feed, number, check, later, recipients, by_id, columns, open, cut_off: false }
    }

    /// To write with.
    pub(super) const fn feed(&mut self) -> &mut Feed {
        &mut self.feed
    }

    /// Whether nothing more can come of the message.
    pub(super) const fn is_settled(&self) -> bool {
        self.open == 0
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
            self.hear(&stamped).await?;
        }
        Ok(())
    }

    pub(super) async fn hear(&mut self, stamped: &Stamped) -> Result<(), CliError> {
        let (peer, fate) = match &stamped.event {
            Event::Message(message)
                if message.number == self.number && message.direction == Direction::Out =>
            {
                let Some(peer) = &message.peer else { return Ok(()) };
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
        let settled = fate.is_settled(self.check);
        self.open -= usize::from(settled);
        if self.feed.style().json {
            return self.feed.event(stamped.seq, stamped.at, &stamped.event).await;
        }
        if settled { self.tell(at).await } else { Ok(()) }
    }

    /// A recipient opened the message while others are still waited for.
    async fn hear_of_reading(
        &mut self,
        peer: &PeerView,
        discarded: bool,
        stamped: &Stamped,
    ) -> Result<(), CliError> {
        let there = |other: &PeerView| (other.addr, other.port) == (peer.addr, peer.port);
        let at = self.by_id.get(&peer.id).copied();
        let at = at.or_else(|| self.recipients.iter().position(|one| there(&one.peer)));
        let Some(recipient) = at.and_then(|at| self.recipients.get_mut(at)) else { return Ok(()) };
        recipient.read = !discarded;
        if self.feed.style().json {
            return self.feed.event(stamped.seq, stamped.at, &stamped.event).await;
        }
        let words = if discarded { "thrown away unread" } else { "opened" };
        let line = format!("{}  {words}", term::pad(&recipient.label, self.columns));
        self.feed.line(line).await
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
        let Recipient { peer, label, fate, .. } = &self.recipients[at];
        let line = if self.recipients.len() == 1 {
            format!("{label}  {}", fate.sentence(self.check, peer.port))
        } else {
            let (result, time, more) = fate.columns(self.check, peer.port);
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
        let read = self.recipients.iter().filter(|recipient| recipient.read).count();
        // One recipient's events say all there is.
        if json && all > 1 {
            let report = Counts {
                number: self.number,
                all,
                confirmed: count("confirmed"),
                queued,
                not_confirmed: count("not_confirmed"),
                not_sent: count("not_sent"),
                read,
                results: self.recipients.iter().map(|r| r.result(self.check)).collect(),
            };
            let line = output::to_json(&Summary { v: VERSION, report })?;
            self.feed.line(line).await?;
        }
        let what = if self.check { "confirmed" } else { "sent" };
        if all > 1 {
            let later = if queued > 0 { format!(", {queued} queued") } else { String::new() };
            let read = if read > 0 { format!(", {read} opened") } else { String::new() };
            self.feed.style().say(&format!("{well} of {all} {what}{later}{read}"));
        }
        if queued > 0 {
            self.feed.style().say(
                "what is queued goes out when its recipient appears and a node runs \
                 (feige node, feige listen); feige outbox lists it",
            );
        }
        self.feed.finish().await?;
        Ok(if well == all { Exit::Done } else { Exit::Partly })
    }
}

impl Recipient {
    fn result(&self, check: bool) -> ResultLine<'_> {
        let Self { peer: PeerView { id, nick, .. }, fate, read, .. } = self;
        let rtt_ms = match *fate {
            Fate::Confirmed { rtt_ms, .. } => Some(rtt_ms),
            _ => None,
        };
        ResultLine { id, nick, result: fate.word(check), tries: fate.tries(), rtt_ms, read: *read }
    }
}

/// A recipient's name and address; only the address where no name is known.
fn label(name: String, peer: &PeerView) -> String {
    let addr = SocketAddr::new(peer.addr, peer.port);
    let at = if peer.port == crate::node::PORT { peer.addr.to_string() } else { addr.to_string() };
    if name.contains(&peer.addr.to_string()) { name } else { format!("{name} ({at})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fate: Fate) -> String {
        let (result, time, more) = fate.columns(true, 2425);
        format!("{result}|{time}|{more}")
    }

    #[test]
    fn each_fate_has_its_row() {
        let failed = |outcome, tries, hint| row(Fate::Failed { outcome, tries, hint });
        assert_eq!(row(Fate::Confirmed { tries: 1, rtt_ms: 0.42 }), "confirmed|0.4 ms|");
        assert_eq!(row(Fate::Confirmed { tries: 3, rtt_ms: 1612.0 }), "confirmed|1612 ms|3 tries");
        let bounce = Some(Bounce::PortUnreachable);
        assert_eq!(
            failed(Outcome::NotConfirmed, 17, bounce),
            "not confirmed||17 tries, nothing listens on its port 2425"
        );
        assert_eq!(failed(Outcome::NotConfirmed, 1, None), "not confirmed||1 try");
        assert_eq!(failed(Outcome::NotSent, 0, None), "not sent||");
        assert_eq!(failed(Outcome::Expired, 0, None), "not confirmed||expired");
        assert_eq!(row(Fate::Unknown), "not confirmed||the node ended");
        assert!(
            row(Fate::Queued { tries: 4, expires_at: UnixMillis(0) })
                .starts_with("queued||4 tries, until 19")
        );
    }
}

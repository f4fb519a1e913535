//! `feige send`: a message to one or several, and whether it arrived.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Feed, failed, milliseconds};
use crate::cli::wish::Wish;
use crate::cli::{OwnGroup, duration, text};
use crate::io::Stamped;
use crate::node::{Direction, Event, NoticeCode, Outcome, PacketNo, PeerView, Reply, Request};
use crate::term;

/// Send a message, wait for the receipts, and report
///
/// WHO is a nickname, user@host, computer name, log-on name, the unique beginning of one of these,
/// an address (IP or IP:PORT, which need not be known), a pattern ('dev-*'), @all or @GROUP. Without
/// -- the first word is WHO and the rest is the text. Where a WHO is nobody or ambiguous, nothing is
/// sent to anybody and the exit code is 3. Exit code 1 if somebody did not confirm.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "\
feige send [OPTIONS] <WHO> <TEXT>...
       feige send [OPTIONS] <WHO>... -- <TEXT>...",
    after_help = "\
Examples:
  feige send alice 'lunch at noon?'
  feige send alice bob 10.0.0.7 -- the build is green
  df -h | feige send @ops -
  feige send --timeout 5s 张三 在吗"
)]
pub(in crate::cli) struct Args {
    /// WHO and TEXT, or every WHO before --
    #[arg(value_name = "WHO", required = true)]
    words: Vec<String>,

    /// The text behind --; - or a pipe reads standard input
    #[arg(value_name = "TEXT", last = true)]
    text: Vec<String>,

    /// How long to wait for the receipts
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,

    /// Ask for no receipt, and do not wait
    #[arg(long)]
    no_receipt: bool,

    /// Write to everybody a pattern matches, also where that are several
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    own: OwnGroup,
}

impl Args {
    /// Every WHO.
    fn whos(&self) -> &[String] {
        match self.words.as_slice() {
            [first, ..] if self.text.is_empty() => std::slice::from_ref(first),
            whos => whos,
        }
    }

    pub(in crate::cli) fn text(&self) -> Result<String, CliError> {
        match self.words.as_slice() {
            [_, rest @ ..] if self.text.is_empty() => text::read(rest),
            _ => text::read(&self.text),
        }
    }

    pub(in crate::cli) fn wish(&self) -> Wish<'_> {
        Wish { listens: true, group: self.own.group.as_deref(), ..Wish::default() }
    }

    pub(in crate::cli) async fn run(
        &self,
        client: &mut Client,
        text: String,
    ) -> Result<Exit, CliError> {
        let feed = client.feed().await?;
        let to = client.resolve(self.whos(), self.yes).await?;
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let check = !self.no_receipt;
        let request = Request::Send { to, text, check, timeout_ms };
        let Reply::Sent { number, to, .. } = client.request(request).await? else {
            return Err(CliError::new(Exit::Partly, "the node does not say whether it was sent"));
        };
        client.waits_for(Some(number));
        let patience = patience(self.timeout, to.len());
        let mut report = Report::new(feed, number, to, check);
        let end = match timeout(patience, report.watch(client)).await {
            Ok(end) => end,
            Err(_) => Ok(()),
        };
        client.waits_for(None);
        end?;
        report.close().await
    }
}

/// When even a node that lost track should have said how each message ended: meeting a stranger and
/// sending to many take their time before the timeout begins.
fn patience(timeout: Duration, recipients: usize) -> Duration {
    const SLACK: Duration = Duration::from_secs(5);
    const EACH: Duration = Duration::from_millis(4);
    let many = EACH.saturating_mul(u32::try_from(recipients).unwrap_or(u32::MAX));
    timeout.saturating_add(SLACK).saturating_add(many)
}

/// Collects what becomes of one message, and tells it as it comes.
struct Report {
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
    fn new(mut feed: Feed, number: PacketNo, to: Vec<PeerView>, check: bool) -> Self {
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

    fn is_settled(&self) -> bool {
        self.recipients.iter().all(|recipient| match recipient.fate {
            Fate::Waiting => false,
            Fate::Left => !self.check,
            Fate::Confirmed | Fate::Failed => true,
        })
    }

    /// Until everybody's message ended.
    async fn watch(&mut self, client: &mut Client) -> Result<(), CliError> {
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

    async fn hear(&mut self, stamped: &Stamped) -> Result<(), CliError> {
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
    async fn close(mut self) -> Result<Exit, CliError> {
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<(Vec<String>, String), String> {
        let cli = Cli::try_parse_from([&["send"], line].concat()).map_err(|e| e.to_string())?;
        let text = cli.args.text().map_err(|e| e.to_string())?;
        Ok((cli.args.whos().to_vec(), text))
    }

    fn said(whos: &[&str], text: &str) -> (Vec<String>, String) {
        (whos.iter().map(|&who| who.to_owned()).collect(), text.to_owned())
    }

    #[test]
    fn the_first_word_is_who_and_the_rest_is_the_text() {
        assert_eq!(parse(&["alice", "hello"]).expect("it parses"), said(&["alice"], "hello"));
        assert_eq!(
            parse(&["alice", "hello", "there"]).expect("it parses"),
            said(&["alice"], "hello there")
        );
        assert_eq!(
            parse(&["--timeout", "3s", "alice", "hello"]).expect("it parses"),
            said(&["alice"], "hello")
        );
        assert_eq!(
            parse(&["alice", "hello", "--timeout", "3s"]).expect("it parses"),
            said(&["alice"], "hello")
        );
    }

    #[test]
    fn behind_two_dashes_everything_is_text() {
        assert_eq!(
            parse(&["alice", "bob", "--", "-x", "y"]).expect("it parses"),
            said(&["alice", "bob"], "-x y")
        );
        assert_eq!(
            parse(&["alice", "--", "--timeout"]).expect("it parses"),
            said(&["alice"], "--timeout")
        );
    }

    #[test]
    fn somebody_must_be_meant() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["--", "hello"]).is_err());
        assert!(parse(&["alice", ""]).is_err());
    }
}

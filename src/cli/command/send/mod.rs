//! `feige send`: a message to one or several, and whether it arrived.

mod absent;
mod chat;
mod files;
mod manner;
mod picture;
pub(super) mod report;
mod transfers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use crate::cli::client::{Awaited, Client};
use crate::cli::error::{CliError, Exit};
use crate::cli::wish::Wish;
use crate::cli::{Globals, OwnGroup, duration, text};
use crate::node::{PacketNo, PeerView, Reply, Request, Target, Wishes};
use crate::store::{Copies, Paths, process_env};

use files::{Enclosed, Files};
use manner::Manner;
use picture::Source;
use report::Report;
use transfers::Transfers;

/// Send a message, wait for the receipts, and report
///
/// WHO is a nickname, user@host, computer name, log-on name, the unique beginning of one of these,
/// an address (IP or IP:PORT, which need not be known), a pattern ('dev-*'), @all or @GROUP. Without
/// -- the first word is WHO and the rest is the text. Where a WHO is nobody or ambiguous, nothing is
/// sent to anybody and the exit code is 3. Exit code 1 if somebody did not confirm.
#[derive(Debug, clap::Args)]
#[command(
    // What has a time of its own.
    group(clap::ArgGroup::new("kept").multiple(true)),
    override_usage = "\
feige send [OPTIONS] <WHO> <TEXT>...
       feige send [OPTIONS] <WHO>... -- <TEXT>...
       feige send [OPTIONS] <WHO>... --file <PATH>... [-- <TEXT>...]
       feige send [OPTIONS] <WHO>... --picture <FILE>
       feige send --feiq-group <ID> <TEXT>...",
    after_help = "\
Examples:
  feige send alice 'lunch at noon?'
  feige send alice bob 10.0.0.7 -- the build is green
  df -h | feige send @ops -
  feige send alice bob --file report.pdf photos/ -- 'as promised'
  feige send --later --expire 8h bob 'call me when you are back'
  feige send --timeout 5s 张三 在吗
  grim - | feige send 张三 --picture -"
)]
pub(in crate::cli) struct Args {
    /// WHO and TEXT, or every WHO before --
    #[arg(value_name = "WHO", required_unless_present = "feiq_group")]
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

    /// Send a picture, PNG, JPEG, GIF or BMP; - reads standard input
    ///
    /// FeiQ and feige show it inside the message. Programs that read PNG pictures from a clipboard
    /// are offered it as such, all others as a file; the command then stays until they have fetched
    /// or refused it, as with --file.
    #[arg(long, value_name = "FILE", groups = ["kept", "offered"],
        conflicts_with_all = ["text", "no_receipt", "later", "paths"])]
    picture: Option<PathBuf>,

    /// Write to everybody a pattern matches, also where that are several
    #[arg(long)]
    yes: bool,

    /// Write to a group of FeiQ instead, by id or name (experimental)
    ///
    /// Nobody confirms it, and everybody on the LAN can read it. `feige peers --feiq-groups` lists
    /// the groups that were heard.
    #[arg(long, value_name = "ID", conflicts_with_all = ["later", "no_receipt", "yes"])]
    feiq_group: Option<String>,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    manner: Manner,

    #[command(flatten)]
    own: OwnGroup,
}

impl Args {
    /// Every WHO.
    fn whos(&self) -> &[String] {
        match self.words.as_slice() {
            [first, ..]
                if self.text.is_empty() && self.files.is_empty() && self.picture.is_none() =>
            {
                std::slice::from_ref(first)
            }
            whos => whos,
        }
    }

    /// The text; empty where a picture is sent.
    pub(in crate::cli) fn text(&self) -> Result<String, CliError> {
        if self.feiq_group.is_some() {
            return text::read(&[self.words.as_slice(), &self.text].concat());
        }
        if self.picture.is_some() {
            return Ok(String::new());
        }
        match self.words.as_slice() {
            _ if self.text.is_empty() && !self.files.is_empty() => Ok(String::new()),
            [_, rest @ ..] if self.text.is_empty() => text::read(rest),
            _ => text::read(&self.text),
        }
    }

    /// What goes along with the text, open.
    pub(in crate::cli) fn enclosed(&self, globals: &Globals) -> Result<Enclosed, CliError> {
        let paths = Paths::of(globals.profile.as_deref(), &process_env)?;
        // The node is told of files by paths in JSON.
        let copies =
            Some(Copies::of(&paths)).filter(|_| !globals.no_store && paths.db.to_str().is_some());
        let open = |path: &Path| Source::open(path, copies.as_ref());
        let picture = self.picture.as_deref().map(open).transpose()?;
        Ok(Enclosed { files: self.files.open()?, picture })
    }

    pub(in crate::cli) fn wish(&self) -> Wish<'_> {
        Wish { listens: true, group: self.own.group.as_deref(), ..Wish::default() }
    }

    pub(in crate::cli) async fn run(
        &self,
        client: &mut Client,
        text: String,
        mut enclosed: Enclosed,
    ) -> Result<Exit, CliError> {
        if let Some(group) = &self.feiq_group {
            return chat::send(client, group, text).await;
        }
        let detach = self.files.detach();
        if detach && client.is_owner() {
            return Err(CliError::usage(
                "--detach needs a node that goes on when this command ends",
            )
            .hint("start one with `feige node`, or leave --detach out"));
        }
        let feed = client.feed().await?;
        let (to, absent) = self.recipients(client).await?;
        let later = self.manner.later();
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let check = !self.no_receipt;
        let mut wishes = Wishes { absent, ..self.manner.wishes() };
        self.files.wish(enclosed.chosen(), &mut wishes);
        let request = match &enclosed.picture {
            Some(source) => Request::SendPicture { to, path: source.path(), timeout_ms, wishes },
            None => Request::Send { to, text, check, timeout_ms, wishes },
        };
        let lacking = enclosed.warn(client.style());
        let files: Vec<_> = enclosed.chosen().collect();
        let sent = if files.is_empty() {
            client.request(request).await?
        } else {
            client.offer(request, &files).await?
        };
        let Reply::Sent { number, to, offered, .. } = sent else {
            return Err(CliError::new(Exit::Partly, "the node does not say whether it was sent"));
        };
        // What is kept for later waits also when nobody watches.
        client.waits_for(Some(if later { Awaited::Kept } else { Awaited::Receipts }(number)));
        let mut patience = patience(self.timeout, to.len());
        if self.picture.is_some() {
            patience = patience.saturating_add(PICTURE_TIME);
        }
        let mut report = Report::new(feed, number, to, check, later);
        if offered > 0 {
            enclosed.picture.iter_mut().for_each(Source::leave_to_the_node);
            let exit = self.watch_files(client, report, (number, offered), patience).await?;
            // Where nobody waits for the transfers, that is all there is to know of them.
            return Ok(if detach && lacking && exit == Exit::Done { Exit::Partly } else { exit });
        }
        let end = match timeout(patience, report.watch(client)).await {
            Ok(end) => end,
            Err(_) => Ok(()),
        };
        client.waits_for(None);
        end?;
        report.close().await
    }

    /// As [`Self::run`] goes on where files were offered, to so many.
    async fn watch_files(
        &self,
        client: &mut Client,
        mut report: Report,
        (number, offered): (PacketNo, usize),
        mut patience: Duration,
    ) -> Result<Exit, CliError> {
        let detach = self.files.detach();
        if !detach {
            patience = patience.saturating_add(self.manner.expire().unwrap_or(OFFER_LIFE));
        }
        let later = self.manner.later();
        let mut transfers = Transfers::new(&mut report, number, offered, later);
        let watch = transfers.watch(client, &mut report, detach);
        let end = timeout(patience, watch).await.unwrap_or(Ok(()));
        client.waits_for(None);
        end?;
        if detach && report.has_failed() {
            transfers.look_again(client, &mut report).await?;
        }
        let (left, done) = (transfers.open(), transfers.exit());
        drop(transfers);
        if (detach || later) && !left.is_empty() && !report.feed().style().json {
            let left: Vec<_> = left.iter().map(ToString::to_string).collect();
            let who = if detach { "the node serves it" } else { "a node that runs serves it" };
            let words = format!("{who}; `feige withdraw {}` takes it back", left.join(" "));
            report.feed().style().say(&words);
        }
        let told = report.close().await?;
        Ok(if detach || told != Exit::Done { told } else { done })
    }

    /// Everybody meant, and how those looked who are not here; or an error and nobody.
    async fn recipients(
        &self,
        client: &mut Client,
    ) -> Result<(Vec<Target>, Vec<PeerView>), CliError> {
        let resolved = if self.manner.later() {
            absent::resolve(client, self.whos(), self.yes).await
        } else {
            client.resolve(self.whos(), self.yes).await.map(|to| (to, Vec::new()))
        };
        resolved.map_err(CliError::nothing_sent)
    }
}

/// When a node has written a message down that waits for nobody.
const CONFIRMS: Duration = Duration::from_secs(10);
/// How long a picture may be on its way before the message that shows it.
const PICTURE_TIME: Duration = Duration::from_secs(600);
/// How long files stay on offer where nothing else is said.
const OFFER_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// When even a node that lost track should have said how each message ended: meeting a stranger and
/// sending to many take their time before the timeout begins.
fn patience(timeout: Duration, recipients: usize) -> Duration {
    const SLACK: Duration = Duration::from_secs(5);
    const EACH: Duration = Duration::from_millis(4);
    let many = EACH.saturating_mul(u32::try_from(recipients).unwrap_or(u32::MAX));
    timeout.saturating_add(SLACK).saturating_add(many)
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

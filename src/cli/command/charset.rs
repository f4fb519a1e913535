//! `feige charset`: what a peer writes in, and the user's last word on it.

use super::peers;
use crate::cli::OwnGroup;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::pick::{self, Book, Rules};
use crate::cli::wish::Wish;
use crate::node::{Charset, Event, PeerView, Request, Target};

/// Show or fix the charset of a peer
///
/// The charset of texts that do not declare theirs is learnt from what each peer writes, and
/// remembered. Where that goes wrong, CHARSET fixes it: from the next packet on, also after a
/// restart, and for what is written to that peer. auto takes it back. FeiQ gets GBK in any case.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige charset tanaka
  feige charset tanaka shift_jis
  feige charset tanaka auto")]
pub(in crate::cli) struct Args {
    /// Whose charset
    #[arg(value_name = "WHO")]
    who: String,

    /// A charset, or auto
    #[arg(
        value_name = "CHARSET",
        value_parser = choice,
        help = "gbk, shift_jis, big5, euc-kr, utf-8, ..., or auto"
    )]
    charset: Option<Choice>,

    #[command(flatten)]
    own: OwnGroup,
}

/// What is to be.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Learnt,
    Fixed(Charset),
}

fn choice(text: &str) -> Result<Choice, String> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Choice::Learnt);
    }
    text.parse().map(Choice::Fixed).map_err(|error| {
        format!("{error}; there are auto, gbk, shift_jis, big5, euc-kr, utf-8 and others")
    })
}

impl Args {
    pub(in crate::cli) fn wish(&self) -> Wish<'_> {
        Wish { group: self.own.group.as_deref(), ..Wish::default() }
    }

    pub(in crate::cli) async fn run(&self, client: &mut Client) -> Result<Exit, CliError> {
        let mut feed = client.feed().await?;
        let book = client.book().await?;
        let known =
            if client.is_owner() { client.roll_call(None).await? } else { client.peers().await? };
        let mut peer = self.peer(&known, &book, client.port())?;
        if let Some(choice) = self.charset {
            let charset = match choice {
                Choice::Learnt => None,
                Choice::Fixed(charset) => Some(charset),
            };
            client.request(Request::SetCharset { peer: peer.id.clone(), charset }).await?;
            let now = client.peers().await?;
            peer = now.into_iter().find(|other| other.id == peer.id).unwrap_or(peer);
        }
        if feed.style().json {
            let event = Event::PeerUp { peer };
            feed.event(None, crate::io::wall_clock(), &event).await?;
        } else {
            let line = format!("{}  {}", feed.human().label(&peer), peers::charset(&peer));
            feed.line(line).await?;
        }
        feed.finish().await?;
        Ok(Exit::Done)
    }

    /// The one peer that is meant.
    fn peer(&self, known: &[PeerView], book: &Book, port: u16) -> Result<PeerView, CliError> {
        let rules = Rules { port, every_match: false };
        let targets = pick::pick(std::slice::from_ref(&self.who), known, book, rules)?;
        let meant = |peer: &&PeerView| {
            targets.iter().any(|target| match target {
                Target::Peer(id) => peer.id == *id,
                Target::Addr(addr) => peer.addrs.contains(addr),
            })
        };
        let mut found = known.iter().filter(meant);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.clone()),
            (None, _) => Err(CliError::new(
                Exit::Nobody,
                format_args!("no peer called {}; {} are here", self.who, known.len()),
            )
            .hint("feige peers lists them")),
            _ => Err(CliError::usage("one peer at a time")),
        }
    }
}

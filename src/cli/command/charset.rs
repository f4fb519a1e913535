//! `feige charset`: what a peer writes in, and the user's last word on it.

use super::peers;
use crate::cli::book::Keeper;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Feed;
use crate::cli::wish::{Wish, start};
use crate::cli::{Globals, OwnGroup, attend, in_runtime, who};
use crate::io;
use crate::node::{Charset, Event, PeerView, Request, Target};

/// Show or fix the charset of a peer
///
/// The charset of texts that do not declare theirs is learnt from what each peer writes, and
/// remembered. Where that goes wrong, CHARSET fixes it: from the next packet on, also after a
/// restart, and for what is written to that peer. auto takes it back. FeiQ gets GBK in any case. WHO
/// may be somebody who is not here, as long as he is remembered.
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
    pub(in crate::cli) fn run(&self, globals: &Globals) -> Result<Exit, CliError> {
        if let Some(exit) = in_runtime(self.without_lan(globals))? {
            return Ok(exit);
        }
        let wish = Wish { group: self.own.group.as_deref(), ..Wish::default() };
        attend(globals, wish, async |client| self.among_those_here(client).await)
    }

    /// Does what the node or the store can tell by itself, also of those who are not here; none where
    /// the LAN must be asked.
    async fn without_lan(&self, globals: &Globals) -> Result<Option<Exit>, CliError> {
        if globals.no_store {
            return Ok(None);
        }
        let mut keeper = Keeper::open(globals).await?;
        let (start, style) = start(globals, Wish::default())?;
        let Some(target) = keeper.pick(&self.who, start.config.port)? else { return Ok(None) };
        let Some(peer) = keeper.find(&target).cloned() else {
            let node_runs = keeper.client().is_some();
            return if node_runs { Err(nobody(&self.who)) } else { Ok(None) };
        };
        let id = peer.id.clone();
        if let Some(choice) = self.charset {
            match keeper.client() {
                Some(client) => fix(client, &peer, choice).await?,
                None => io::keep_charset(keeper.paths(), &id, choice.into())?,
            }
        }
        let here = match keeper.client() {
            Some(client) => client.peers().await?,
            None => Vec::new(),
        };
        let was = who::seen(keeper.paths())?.into_iter().map(|seen| seen.peer);
        let now = here.into_iter().chain(was).find(|other| other.id == id);
        let mut feed = Feed::new(style)?;
        feed.human().use_book(keeper.book().clone());
        tell(feed, now.unwrap_or(peer)).await.map(Some)
    }

    /// As a node that just started: somebody of whom the store knows nothing.
    async fn among_those_here(&self, client: &mut Client) -> Result<Exit, CliError> {
        let feed = client.feed().await?;
        let target = super::alias::one(client, &self.who).await?;
        let is_meant = |peer: &PeerView| match &target {
            Target::Peer(id) => peer.id == *id,
            Target::Addr(addr) => peer.addrs.contains(addr),
        };
        // Names were asked for already.
        let known = match target {
            Target::Addr(_) => client.roll_call(None).await?,
            Target::Peer(_) => client.peers().await?,
        };
        let peer = known.into_iter().find(is_meant).ok_or_else(|| nobody(&self.who))?;
        if let Some(choice) = self.charset {
            fix(client, &peer, choice).await?;
        }
        let mut now = client.peers().await?.into_iter();
        let peer = now.find(|other| other.id == peer.id).unwrap_or(peer);
        tell(feed, peer).await
    }
}

impl From<Choice> for Option<Charset> {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Learnt => None,
            Choice::Fixed(charset) => Some(charset),
        }
    }
}

async fn fix(client: &mut Client, peer: &PeerView, choice: Choice) -> Result<(), CliError> {
    let request = Request::SetCharset { peer: peer.id.clone(), charset: choice.into() };
    client.request(request).await.map(drop)
}

async fn tell(mut feed: Feed, peer: PeerView) -> Result<Exit, CliError> {
    if feed.style().json {
        feed.event(None, crate::io::wall_clock(), &Event::PeerUp { peer }).await?;
    } else {
        let line = format!("{}  {}", feed.human().label(&peer), peers::charset(&peer));
        feed.line(line).await?;
    }
    feed.finish().await?;
    Ok(Exit::Done)
}

fn nobody(who: &str) -> CliError {
    CliError::new(Exit::Nobody, format_args!("nobody is known at {who}")).hint(
        "a charset is that of a peer, which must have been seen: `feige peers --all` lists them",
    )
}

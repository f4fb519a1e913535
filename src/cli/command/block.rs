//! `feige block`: deaf to a peer.

use std::net::SocketAddr;

use serde::Serialize;

use super::outbox;
use crate::cli::book::{Keeper, change_by};
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Printer, VERSION};
use crate::cli::pick::{self, Book, Rules};
use crate::cli::wish::{Wish, start};
use crate::cli::{Globals, attend, in_runtime};
use crate::node::{BookRecord, PeerView, Target, Waiting};
use crate::term;

/// Be deaf to a peer: nothing of it is shown, stored or confirmed
///
/// Bound to the peer's identity, not to its address; what comes from it is only counted (`feige node
/// status`). Nothing is sent to it either, at its addresses too: messages that are queued for it are
/// held until the block is removed. It is not told. A forged name gets past it, and so does a new
/// one: this keeps a nuisance away, not an attacker.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "\
feige block [OPTIONS] <WHO>
       feige block [OPTIONS] --list
       feige block [OPTIONS] --remove <WHO>",
    after_help = "\
Examples:
  feige block mallory
  feige block --list
  feige block --remove mallory"
)]
pub(in crate::cli) struct Args {
    /// Whom not to hear
    #[arg(value_name = "WHO", required_unless_present_any = ["list", "remove"])]
    who: Option<String>,

    /// Print everybody who is blocked
    #[arg(long, conflicts_with_all = ["who", "remove"])]
    list: bool,

    /// Hear somebody again
    #[arg(long, value_name = "WHO", value_parser = pick::readable, conflicts_with = "who")]
    remove: Option<String>,
}

/// A line of `--list --json`.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    peer: &'a PeerView,
}

impl Args {
    pub(in crate::cli) fn run(&self, globals: &Globals) -> Result<Exit, CliError> {
        let mut printer = Printer::new(globals);
        if let Some(exit) = in_runtime(self.without_lan(globals, &mut printer))? {
            return Ok(exit);
        }
        attend(globals, Wish::default(), async |client| {
            let who = self.who.as_deref().unwrap_or_default();
            let target = super::alias::one(client, who).await?;
            let peers = client.peers().await?;
            let Some(peer) = peers.iter().find(|peer| is(peer, &target)) else {
                return Err(nobody_there(who));
            };
            block(client, peer).await?;
            let waiting = outbox::ask(client).await?;
            printer.style().say(&blocked_now(peer, &waiting));
            Ok(Exit::Done)
        })
    }

    /// Does what the node or the store can tell by itself; none where the LAN must be asked.
    async fn without_lan(
        &self,
        globals: &Globals,
        printer: &mut Printer,
    ) -> Result<Option<Exit>, CliError> {
        let mut keeper = Keeper::open(globals).await?;
        let port = start(globals, Wish::default())?.0.config.port;
        if self.list {
            list(keeper.book(), printer)?;
        } else if let Some(who) = &self.remove {
            let peer = blocked(keeper.book(), who, port)?;
            let words = format!("{} is heard again", peer.nick);
            keeper.change(BookRecord::Unblocked { peer: peer.id.clone() }).await?;
            printer.style().say(&words);
        } else {
            let who = self.who.as_deref().unwrap_or_default();
            let Some(target) = keeper.pick(who, port)? else { return Ok(None) };
            let Some(peer) = keeper.find(&target).cloned() else { return Err(nobody_there(who)) };
            keeper.change(BookRecord::Blocked(Box::new(peer.clone()))).await?;
            let waiting = match keeper.client() {
                Some(client) => outbox::ask(client).await?,
                None => outbox::stored(keeper.paths())?.0,
            };
            printer.style().say(&blocked_now(&peer, &waiting));
        }
        Ok(Some(Exit::Done))
    }
}

/// What is said of a block, and of the messages that wait for whom it is about.
fn blocked_now(peer: &PeerView, waiting: &[Waiting]) -> String {
    let is_for = |one: &&Waiting| {
        one.peer.id == peer.id
            || peer.addrs.contains(&SocketAddr::new(one.peer.addr, one.peer.port))
    };
    let nick = &peer.nick;
    match waiting.iter().filter(is_for).count() {
        0 => format!("{nick} is blocked"),
        1 => format!("{nick} is blocked; 1 message waits for it and is held"),
        held => format!("{nick} is blocked; {held} messages wait for it and are held"),
    }
}

async fn block(client: &mut Client, peer: &PeerView) -> Result<(), CliError> {
    change_by(client, BookRecord::Blocked(Box::new(peer.clone()))).await
}

fn is(peer: &PeerView, target: &Target) -> bool {
    match target {
        Target::Peer(id) => peer.id == *id,
        Target::Addr(addr) => peer.addrs.contains(addr),
    }
}

fn nobody_there(who: &str) -> CliError {
    CliError::new(Exit::Nobody, format_args!("nobody is known at {who}; nobody was blocked")).hint(
        "a block is bound to a peer, which must have been seen: `feige peers --all` lists them",
    )
}

/// The one of those blocked whom WHO means.
fn blocked<'b>(book: &'b Book, who: &str, port: u16) -> Result<&'b PeerView, CliError> {
    let not = || {
        CliError::new(Exit::Nobody, format_args!("nobody called {who} is blocked"))
            .hint("`feige block --list` prints who is")
    };
    if let Some(peer) = book.blocks.iter().find(|peer| *peer.id.0 == *who) {
        return Ok(peer);
    }
    // Names of their own stay valid; blocks are what is looked for here, so none hides another.
    let names = Book { aliases: book.aliases.clone(), blocks: Vec::new() };
    let rules = Rules { port, every_match: false };
    match pick::pick(&[who.to_owned()], &book.blocks, &names, rules) {
        Ok(targets) => {
            let target = targets.first().ok_or_else(not)?;
            book.blocks.iter().find(|peer| is(peer, target)).ok_or_else(not)
        }
        Err(pick::NoPick::Nobody { .. }) => Err(not()),
        Err(no) => Err(no.into()),
    }
}

fn list(book: &Book, printer: &mut Printer) -> Result<(), CliError> {
    for peer in &book.blocks {
        if printer.is_json() {
            printer.json(&Line { v: VERSION, peer })?;
        } else {
            let (nick, id) = (term::safe(&peer.nick), term::safe(&peer.id.0));
            printer.line(&format!("{nick}  {id}  {}", peer.addr))?;
        }
    }
    if book.blocks.is_empty() && !printer.is_json() {
        printer.style().say("nobody is blocked");
    }
    Ok(())
}

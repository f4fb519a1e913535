//! `feige alias`: own names for peers.

use std::net::SocketAddr;

use serde::Serialize;

use crate::cli::book::{Keeper, change_by};
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Printer, VERSION};
use crate::cli::wish::{Wish, start};
use crate::cli::{Globals, attend, in_runtime};
use crate::node::{Alias, BookRecord, PORT, PeerView, Target};
use crate::term;

/// Give a peer a name of your own
///
/// TARGET is whatever means one peer: a name, user@host, or an address. A name stays with the peer
/// whatever its address; an alias for an address nobody is known at means whoever is there. Aliases
/// come before nicknames wherever WHO is asked for, and are shown beside them.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "\
feige alias [OPTIONS] <NAME> <TARGET>
       feige alias [OPTIONS] --list
       feige alias [OPTIONS] --remove <NAME>",
    after_help = "\
Examples:
  feige alias boss zhangsan@PC-1
  feige alias printer 10.0.0.7
  feige alias --list
  feige alias --remove boss"
)]
pub(in crate::cli) struct Args {
    /// The name: up to 64 bytes, not beginning with @
    #[arg(value_name = "NAME", required_unless_present_any = ["list", "remove"])]
    name: Option<String>,

    /// Whom it stands for
    #[arg(value_name = "TARGET", requires = "name", required_unless_present_any = ["list", "remove"])]
    target: Option<String>,

    /// Print every alias
    #[arg(long, conflicts_with_all = ["name", "target", "remove"])]
    list: bool,

    /// Give a name up
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "target"])]
    remove: Option<String>,
}

/// A line of `--list --json`.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    alias: &'a Alias,
    peer: Option<&'a PeerView>,
}

impl Args {
    pub(in crate::cli) fn run(&self, globals: &Globals) -> Result<Exit, CliError> {
        let mut printer = Printer::new(globals);
        if let Some(exit) = in_runtime(self.without_lan(globals, &mut printer))? {
            return Ok(exit);
        }
        attend(globals, Wish::default(), async |client| {
            let (name, target) = self.words()?;
            let target = one(client, target).await?;
            let alias = Alias { name: name.to_owned(), target };
            change_by(client, BookRecord::Named(alias)).await?;
            printer.style().say(&format!("{name} stands for that peer"));
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
        if self.list {
            list(&keeper, printer)?;
        } else if let Some(name) = &self.remove {
            if keeper.book().target(name).is_none() {
                return Err(CliError::new(Exit::Nobody, format_args!("no alias is called {name}"))
                    .hint("`feige alias --list` prints them"));
            }
            keeper.change(BookRecord::Unnamed { name: name.clone() }).await?;
        } else {
            let (name, who) = self.words()?;
            let port = start(globals, Wish::default())?.0.config.port;
            let Some(target) = keeper.pick(who, port)? else { return Ok(None) };
            let words = format!("{name} stands for {}", described(&keeper, &target));
            keeper.change(BookRecord::Named(Alias { name: name.to_owned(), target })).await?;
            printer.style().say(&words);
        }
        Ok(Some(Exit::Done))
    }

    /// Name and target, of which the parser made sure.
    fn words(&self) -> Result<(&str, &str), CliError> {
        let (name, target) = (self.name.as_deref(), self.target.as_deref());
        let (Some(name), Some(target)) = (name, target) else {
            return Err(CliError::usage("an alias needs a name and whom it stands for"));
        };
        if !Alias::is_name(name) {
            return Err(CliError::usage(format_args!(
                "'{name}' cannot be an alias: 1 to 64 bytes, no control characters, no @ in front"
            )));
        }
        Ok((name, target))
    }
}

/// The one whom WHO means, after asking the LAN.
pub(super) async fn one(client: &mut Client, who: &str) -> Result<Target, CliError> {
    let targets = client.resolve(&[who.to_owned()], false).await?;
    match <[Target; 1]>::try_from(targets) {
        Ok([one]) => Ok(one),
        Err(_) => Err(CliError::usage(format_args!("{who} is not one peer"))),
    }
}

fn list(keeper: &Keeper, printer: &mut Printer) -> Result<(), CliError> {
    let aliases = &keeper.book().aliases;
    let columns = aliases.iter().map(|alias| term::width(&term::safe(&alias.name))).max();
    for alias in aliases {
        if printer.is_json() {
            printer.json(&Line { v: VERSION, alias, peer: keeper.find(&alias.target) })?;
        } else {
            let name = term::pad(&term::safe(&alias.name), columns.unwrap_or(0));
            printer.line(&format!("{name}  {}", described(keeper, &alias.target)))?;
        }
    }
    if aliases.is_empty() && !printer.is_json() {
        printer.style().say("no aliases");
    }
    Ok(())
}

/// Whom a target means, as people know it; neutralised.
fn described(keeper: &Keeper, target: &Target) -> String {
    match (target, keeper.find(target)) {
        (Target::Peer(_), Some(peer)) => {
            let addr = SocketAddr::new(peer.addr, peer.port);
            let at = if peer.port == PORT { peer.addr.to_string() } else { addr.to_string() };
            format!("{} ({}, last at {at})", term::safe(&peer.nick), term::safe(&peer.id.0))
        }
        (Target::Peer(id), None) => term::safe(&id.0).into_owned(),
        (Target::Addr(addr), _) if addr.port() == PORT => {
            format!("{}, whoever is there", addr.ip())
        }
        (Target::Addr(addr), _) => format!("{addr}, whoever is there"),
    }
}

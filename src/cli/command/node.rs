//! `feige node`: the long-running node, and questions to it.

use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Feed, Printer, VERSION, rfc3339};
use crate::cli::wish::{Role, Wish};
use crate::cli::{Globals, OwnGroup};
use crate::node::{Event, Link, Reply, Request, Status};
use crate::term;

/// Run a node in the foreground: be seen, take messages, confirm them
///
/// Every other command of this profile joins it while it runs. Messages are kept; `feige listen`
/// prints them. Exit code 4 if a node or a `listen` of this profile runs already.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige node
  feige node status
  feige node stop")]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    pub(in crate::cli) ask: Option<Ask>,

    #[command(flatten)]
    own: OwnGroup,
}

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Ask {
    /// Print how the running node is
    ///
    /// Exit code 3 if none runs.
    #[command(after_help = "\
Examples:
  feige node status
  feige node status --json | jq .counters")]
    Status,

    /// End the running node with a goodbye
    ///
    /// Whoever has joined it ends too. Exit code 3 if none runs.
    #[command(after_help = "\
Examples:
  feige node stop
  feige node stop --profile test")]
    Stop,
}

impl Args {
    pub(in crate::cli) fn wish(&self) -> Wish<'_> {
        let group = self.own.group.as_deref();
        Wish { role: Role::Sole, listens: true, logs: true, group, ..Wish::default() }
    }

    /// Runs until it is stopped.
    pub(in crate::cli) async fn run(&self, client: &mut Client) -> Result<Exit, CliError> {
        let feed = Feed::new(client.style())?;
        client.introduce("`feige node stop` ends it");
        while let Some(stamped) = client.next_event().await? {
            match stamped.event {
                Event::Notice { text, .. } => feed.style().say(&text),
                Event::Lagged { missed } => tracing::debug!(missed, "events not looked at"),
                _ => {}
            }
        }
        Ok(Exit::Done)
    }
}

impl Ask {
    pub(in crate::cli) async fn run(&self, globals: &Globals) -> Result<Exit, CliError> {
        let Some(mut client) = Client::join(globals).await? else {
            return Err(CliError::new(Exit::Nobody, "no node runs in this profile")
                .hint("`feige node` or `feige listen` starts one"));
        };
        match self {
            Self::Status => {
                let status = client.status().await?;
                let mut printer = Printer::new(globals);
                if printer.is_json() {
                    printer.json(&Line { v: VERSION, reply: &Reply::Status(Box::new(status)) })?;
                } else {
                    printer.line(&words(&status))?;
                }
            }
            Self::Stop => {
                client.request(Request::Stop).await?;
                Printer::new(globals).style().say("the node was stopped");
            }
        }
        Ok(Exit::Done)
    }
}

#[derive(serde::Serialize)]
struct Line<'r> {
    v: u8,
    #[serde(flatten)]
    reply: &'r Reply,
}

fn words(status: &Status) -> String {
    let mut rows: Vec<(&str, String)> = vec![
        ("name", term::safe(&status.nick).into_owned()),
        ("group", term::safe(&status.group).into_owned()),
        ("user", term::safe(&format!("{}@{}", status.user, status.host)).into_owned()),
        ("identity", status.identity.clone()),
        ("version", status.version.clone()),
        ("port", status.port.to_string()),
        ("since", rfc3339(status.since)),
        ("peers", status.peers.to_string()),
        ("waiting", format!("for {} receipt(s)", status.waiting)),
    ];
    rows.extend(status.links.iter().map(|link| ("link", link_words(link))));
    if status.passive {
        rows.push(("mode", "only listens".to_owned()));
    }
    if let Some(away) = &status.away {
        rows.push(("away", term::safe(away).into_owned()));
    }
    let counters = &status.counters;
    rows.push((
        "received",
        format!(
            "{} datagrams: {} messages, {} repeats, {} malformed, {} dropped, {} of blocked peers, {} our \
             own",
            counters.received,
            counters.messages,
            counters.repeats,
            counters.malformed,
            counters.dropped,
            counters.blocked,
            counters.own
        ),
    ));
    rows.push(("sent", format!("{} datagrams, {} receipts", counters.sent, counters.receipts)));
    if let Some(shell) = &status.shell {
        rows.push(("process", shell.pid.to_string()));
        rows.push(("joined", format!("{} command(s)", shell.clients)));
        rows.push(("buffer", format!("{} bytes", shell.receive_buffer)));
    }
    let store = status.shell.as_ref().and_then(|shell| shell.store.as_deref());
    let store = store.filter(|_| status.keeps).unwrap_or("none: messages are not confirmed");
    rows.push(("store", term::safe(store).into_owned()));
    let notes = status.shell.iter().flat_map(|shell| &shell.store_notes);
    rows.extend(notes.map(|note| ("note", term::safe(note).into_owned())));
    if let Some(trouble) = &status.store_trouble {
        rows.push(("trouble", format!("no receipts: {}", term::safe(trouble))));
    }
    let lines: Vec<_> = rows.iter().map(|(name, value)| format!("{name:<9} {value}")).collect();
    lines.join("\n")
}

fn link_words(link: &Link) -> String {
    let mut parts = vec![term::safe(&link.name).into_owned()];
    parts.extend(link.v4.iter().map(|net| match net.broadcast {
        Some(broadcast) => format!("{} (broadcast {broadcast})", net.addr),
        None => net.addr.to_string(),
    }));
    parts.extend(link.v6.iter().map(ToString::to_string));
    parts.join("  ")
}

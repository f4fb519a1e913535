//! `feige outbox`: messages that still wait for their recipients.

use comfy_table::{Table, presets};
use serde::Serialize;
use tokio::time::timeout;

use crate::cli::client::Client;
use crate::cli::command::send::report::Report;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Feed, Human, Printer, VERSION, date_and_time};
use crate::cli::pick::Book;
use crate::cli::wish::{Wish, start};
use crate::cli::{Globals, attend, in_runtime};
use crate::io;
use crate::node::{PacketNo, Policy, Reply, Request, Waiting, WaitingState};
use crate::store::{Paths, Reader, StoreError, process_env};
use crate::term;

/// List the messages that still wait for their recipients
///
/// `feige send --later` puts them there. They go out when their recipient appears and a node runs
/// (`feige node`, `feige listen`), and are given up when they expire.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige outbox
  feige outbox --json | jq -r .number
  feige outbox cancel 1780525944
  feige outbox retry 1780525944")]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    pub(in crate::cli) change: Option<Change>,
}

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Change {
    /// Take a message back
    ///
    /// It is not sent any more to anybody who has not confirmed it. What was sent before may have
    /// arrived. Exit code 3 if no such message waits.
    #[command(after_help = "\
Examples:
  feige outbox cancel 1780525944
  feige outbox cancel 1780525944 1780525960")]
    Cancel {
        /// Number of the message, as `feige outbox` shows it
        #[arg(value_name = "ID", required = true)]
        ids: Vec<u64>,
    },

    /// Send a message now, whether or not its recipients have appeared
    ///
    /// Tries for 30 seconds; what is not confirmed stays in the outbox. Exit code 1 if somebody did
    /// not confirm, 3 if no such message waits.
    #[command(after_help = "\
Examples:
  feige outbox retry 1780525944
  feige outbox retry 1780525944 --json")]
    Retry {
        /// Number of the message, as `feige outbox` shows it
        #[arg(value_name = "ID")]
        id: u64,
    },
}

/// A line of `feige outbox --json`.
#[derive(Serialize)]
struct Line<'w> {
    v: u8,
    #[serde(flatten)]
    waiting: &'w Waiting,
}

impl Args {
    /// Lists what waits: the running node knows it, else the store.
    pub(in crate::cli) async fn list(globals: &Globals) -> Result<Exit, CliError> {
        let (waiting, book) = match Client::join(globals).await? {
            Some(mut client) => (ask(&mut client).await?, client.book().await?),
            None => stored(&Paths::of(globals.profile.as_deref(), &process_env)?)?,
        };
        let mut printer = Printer::new(globals);
        if printer.is_json() {
            for waiting in &waiting {
                printer.json(&Line { v: VERSION, waiting })?;
            }
        } else if waiting.is_empty() {
            printer.style().say("nothing waits");
        } else {
            let mut human = Human::new(printer.style());
            human.use_book(book);
            printer.line(&table(&waiting, &human))?;
        }
        Ok(Exit::Done)
    }
}

impl Change {
    pub(in crate::cli) fn run(&self, globals: &Globals) -> Result<Exit, CliError> {
        match self {
            Self::Cancel { ids } => in_runtime(cancel(globals, ids)),
            Self::Retry { id } => {
                let wish = Wish { listens: true, ..Wish::default() };
                attend(globals, wish, async |client| retry(client, PacketNo(*id)).await)
            }
        }
    }
}

/// Takes messages back: all of these, or none if one of them does not wait. The running node does it,
/// or it is done in the store: nobody on the LAN is concerned.
async fn cancel(globals: &Globals, ids: &[u64]) -> Result<Exit, CliError> {
    if globals.no_store {
        return Err(CliError::usage("the outbox is in the store, which --no-store leaves alone"));
    }
    let numbers: Vec<PacketNo> = ids.iter().copied().map(PacketNo).collect();
    let (start, style) = start(globals, Wish::default())?;
    let node = if globals.alone { None } else { Client::join(globals).await? };
    let waiting = match node {
        Some(mut client) => {
            let waiting = ask(&mut client).await?;
            numbers.iter().try_for_each(|&number| of(&waiting, number).map(drop))?;
            for &number in &numbers {
                client.request(Request::Cancel { number }).await?;
            }
            waiting
        }
        // Nor is a store made where there is none.
        None if !start.paths.db.exists() => Vec::new(),
        None => io::cancel(&start, &numbers)?,
    };
    let found = numbers.iter().map(|&number| Ok((number, of(&waiting, number)?.len())));
    for (number, recipients) in found.collect::<Result<Vec<_>, CliError>>()? {
        let whom =
            if recipients == 1 { "1 recipient" } else { &format!("{recipients} recipients") };
        style.say(&format!("{number}: cancelled for {whom}"));
    }
    Ok(Exit::Done)
}

/// Sends a message now, and tells how that went.
async fn retry(client: &mut Client, number: PacketNo) -> Result<Exit, CliError> {
    let waiting = of(&ask(client).await?, number)?;
    let feed = Feed::new(client.style())?;
    let mut report = Report::of_queued(feed, number, waiting);
    client.request(Request::Retry { number }).await?;
    if let Ok(end) = timeout(Policy::default().later_try, report.watch(client)).await {
        end?;
    }
    report.close().await
}

/// What waits, as the node knows it.
pub(super) async fn ask(client: &mut Client) -> Result<Vec<Waiting>, CliError> {
    match client.request(Request::Outbox).await? {
        Reply::Outbox { waiting } => Ok(waiting),
        _ => Err(CliError::new(Exit::Partly, "the node does not say what waits")),
    }
}

/// What the store says while no node runs, and the address book.
pub(super) fn stored(paths: &Paths) -> Result<(Vec<Waiting>, Book), CliError> {
    match Reader::open(paths) {
        Ok(reader) => {
            let (mut waiting, now) = (reader.outbox(io::boot().as_ref())?, io::wall_clock());
            waiting.retain(|one| io::waits(one, now));
            let (aliases, blocks) = reader.book()?;
            Ok((waiting, Book { aliases, blocks }))
        }
        Err(StoreError::Missing { .. }) => Ok((Vec::new(), Book::default())),
        Err(error) => Err(error.into()),
    }
}

/// The recipients for whom a message waits.
fn of(waiting: &[Waiting], number: PacketNo) -> Result<Vec<Waiting>, CliError> {
    let found: Vec<Waiting> = waiting.iter().filter(|w| w.number == number).cloned().collect();
    if found.is_empty() {
        return Err(CliError::new(Exit::Nobody, format_args!("no message {number} waits"))
            .hint("`feige outbox` lists what does"));
    }
    Ok(found)
}

fn table(waiting: &[Waiting], human: &Human) -> String {
    /// Columns of a text; the rest is cut off.
    const TEXT: usize = 40;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "TO", "STATE", "WRITTEN", "UNTIL", "TEXT"]);
    for waiting in waiting {
        let state = match waiting.state {
            WaitingState::Sending => "sending",
            WaitingState::Queued => "queued",
        };
        let first = waiting.text.lines().next().unwrap_or_default();
        let text = term::safe(first);
        table.add_row([
            waiting.number.to_string(),
            human.label(&waiting.peer),
            state.to_owned(),
            date_and_time(waiting.written_at),
            waiting.expires_at.map(date_and_time).unwrap_or_default(),
            term::cut(&text, TEXT).into_owned(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

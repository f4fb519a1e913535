//! `feige history`: what was said before.

mod charset;
mod export;
mod import;
mod line;
mod when;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use self::line::Line;
use self::when::When;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Human, Printer, Style, date_and_time, failed, milliseconds};
use crate::cli::pick::{Book, NoPick};
use crate::cli::wish::Wish;
use crate::cli::{Globals, open, pick};
use crate::node::{Charset, Delivery, Direction, Event, MessageEvent, Outcome, PORT};
use crate::store::history::{Entry, Pen, Query, With};
use crate::store::{Paths, Reader, Settings, StoreError, process_env};

/// Search and print what was said before, newest last
///
/// WORDS must all be in a message; an argument with blanks is a phrase. Case and full or half width
/// do not matter, and Chinese words of one or two characters are found as well. Messages that nobody
/// has seen are marked unread; they are read once `history` or `listen` has printed them. A sealed
/// message shows its text, and is found by it, only after --open. Sent messages that were not
/// confirmed say so; with -v all say what became of them.
///
/// Times are 30m, 2d (ago), today, yesterday, 2026-11-20, '2026-11-20 09:30' or RFC 3339; --until with
/// a day means its end.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige history --unread
  feige history 服务器 重启 --since 2d
  feige history --with @研发部 --limit 200
  feige history --json --all 会议 | jq -r .text
  feige history --open 418
  feige history --export all.jsonl
  feige history --import ~/.feiq-cli/history.jsonl
  feige history --with 张三 --charset gbk")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(in crate::cli) struct Args {
    /// Words that must all be in the text
    words: Vec<String>,

    /// Only with this peer, a group (@name), or everybody (@all: broadcasts)
    #[arg(long, value_name = "WHO", value_parser = pick::readable)]
    with: Option<String>,

    /// Not older than this
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Not newer than this
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Only messages that nobody has seen yet
    #[arg(long)]
    unread: bool,

    /// The newest N [default: 50; with --export and --charset all]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with = "all"
    )]
    limit: Option<u64>,

    /// All of them, however many
    #[arg(long)]
    all: bool,

    /// Open this sealed message and tell its sender; ID is its seq
    #[arg(
        long,
        value_name = "ID",
        conflicts_with_all = ["words", "with", "since", "until", "unread", "limit", "all", "export",
            "import", "charset"]
    )]
    open: Option<u64>,

    /// Write all that match to a file as JSON lines, with their bytes; - is standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["import", "charset"])]
    export: Option<PathBuf>,

    /// Export as plain text, as a name that ends in .txt does
    #[arg(long, requires = "export")]
    text: bool,

    /// Take in an export of ours, or the history.jsonl of feiq-cli; - is standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["words", "with", "since", "until", "unread", "limit", "all", "charset"]
    )]
    import: Option<PathBuf>,

    #[arg(
        long,
        value_name = "CHARSET",
        requires = "with",
        help = "Show what would read differently in this charset: gbk, shift_jis, big5, euc-kr, utf-8"
    )]
    charset: Option<Charset>,

    /// Write it down; the bytes as they came are kept
    #[arg(long, requires = "charset")]
    fix: bool,
}

/// Messages shown where nothing is said of how many.
const LIMIT: usize = 50;

impl Args {
    /// What is asked of a node, if anything: only an envelope is opened by one.
    pub(in crate::cli) fn opens(&self) -> Option<(u64, Wish<'static>)> {
        Some((self.open?, Wish { listens: true, ..Wish::default() }))
    }

    /// Opens a sealed message.
    pub(in crate::cli) async fn open(seq: u64, client: &mut Client) -> Result<Exit, CliError> {
        open::show(client, seq).await
    }

    /// Everything else, which needs no node.
    pub(in crate::cli) fn run(&self, globals: &Globals) -> Result<Exit, CliError> {
        if globals.no_store {
            return Err(CliError::usage("history is in the store, which --no-store leaves alone"));
        }
        let paths = Paths::of(globals.profile.as_deref(), &process_env)?;
        let settings = Settings::load(&paths, &process_env, &globals.flags(None))?;
        let style = Style::new(globals, settings.color.value);
        if let Some(file) = &self.import {
            return import::run(style, &paths, file);
        }
        let reader = match Reader::open(&paths) {
            Err(StoreError::Missing { .. }) if self.with.is_none() => {
                style.say("nothing is stored yet");
                return Ok(Exit::Done);
            }
            reader => reader?,
        };
        let query = self.query(&reader)?;
        if let Some(file) = &self.export {
            return export::run(style, &reader, &query, file, self.text);
        }
        if let Some(charset) = self.charset {
            let query = Query { received: true, ..query };
            return charset::run(style, &paths, &reader, &query, charset, self.fix);
        }
        self.show(style, &paths, &reader, query)
    }

    fn query(&self, reader: &Reader) -> Result<Query, CliError> {
        let now = crate::io::wall_clock();
        let time = |option: &Option<String>| {
            option.as_deref().map(|text| when::read(text, now)).transpose().map_err(CliError::usage)
        };
        let limit = self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        // A page is for reading; what is written to a file or read anew is all of it.
        let page = !self.all && self.export.is_none() && self.charset.is_none();
        Ok(Query {
            words: self.words.clone(),
            with: self.with.as_deref().map_or(Ok(With::Anybody), |who| meant(who, reader))?,
            since: time(&self.since)?.map(When::begin),
            until: time(&self.until)?.map(When::end),
            received: false,
            unread: self.unread,
            limit: limit.or(page.then_some(LIMIT)),
        })
    }

    fn show(
        &self,
        style: Style,
        paths: &Paths,
        reader: &Reader,
        query: Query,
    ) -> Result<Exit, CliError> {
        let limit = query.limit;
        // One more tells whether there are more.
        let query = Query { limit: limit.map(|limit| limit.saturating_add(1)), ..query };
        let mut ids = reader.find(&query)?;
        let older = limit.is_some_and(|limit| ids.len() > limit);
        if older {
            ids.remove(0);
        }
        let mut teller = Teller::new(style, reader)?;
        let mut damaged = 0;
        let told = ids.iter().try_for_each(|id| {
            entry(reader, *id, style, &mut damaged)?.map_or(Ok(()), |entry| teller.tell(&entry))
        });
        // What was printed was seen, even if somebody closed the pipe after it.
        if let Err(error) = mark(paths, &teller.seen) {
            style.say(&format!("they stay unread: {error}"));
        }
        told?;
        let exit = if damaged > 0 { Exit::Partly } else { Exit::Done };
        if ids.is_empty() {
            style.say(if self.unread { "nothing is unread" } else { "nothing found" });
        } else if older {
            style
                .say(&format!("the newest {} are shown; --all or --limit N shows more", ids.len()));
        }
        Ok(exit)
    }
}

/// Whom WHO means among those who ever wrote or were written to.
fn meant(who: &str, reader: &Reader) -> Result<With, CliError> {
    if who == "@all" {
        return Ok(With::Everybody);
    }
    let known = reader.correspondents()?;
    let (aliases, blocks) = reader.book()?;
    match pick::everybody_called(who, &known, &Book { aliases, blocks }) {
        Ok(ids) => Ok(With::Peers(ids)),
        Err(NoPick::Nobody { who, here }) => {
            let others = if here == 1 { "1 other" } else { &format!("{here} others") };
            let error = format!("no messages with {who}; there are some with {others}");
            Err(CliError::new(Exit::Nobody, error))
        }
        Err(no) => Err(CliError::from(no)),
    }
}

/// A message of the past. One that cannot be read is said to be so and counted, and the others follow.
fn entry(
    reader: &Reader,
    id: i64,
    style: Style,
    damaged: &mut u64,
) -> Result<Option<Entry>, CliError> {
    match reader.entry(id) {
        Err(error @ StoreError::Damaged { .. }) => {
            style.say(&error.to_string());
            *damaged += 1;
            Ok(None)
        }
        read => Ok(read?),
    }
}

/// These messages are read from now on.
fn mark(paths: &Paths, seen: &[i64]) -> Result<(), StoreError> {
    if seen.is_empty() {
        return Ok(());
    }
    Pen::open(paths, crate::io::wall_clock())?.mark_shown(seen)
}

/// Prints messages, and remembers which of them were unread.
struct Teller {
    style: Style,
    printer: Printer,
    words: Words,
    seen: Vec<i64>,
}

impl Teller {
    fn new(style: Style, reader: &Reader) -> Result<Self, CliError> {
        let words = Words::new(style, reader)?;
        Ok(Self { style, printer: Printer::with(style), words, seen: Vec::new() })
    }

    fn tell(&mut self, entry: &Entry) -> Result<(), CliError> {
        if self.style.json {
            self.printer.line(&Line::new(entry).json()?)?;
        } else {
            let text = self.words.entry(entry, self.style.columns());
            self.printer.line(&text)?;
        }
        if entry.unread && !entry.closed {
            self.seen.push(entry.id);
        }
        Ok(())
    }
}

/// Messages of the past in words.
struct Words {
    human: Human,
    verbose: bool,
}

impl Words {
    fn new(style: Style, reader: &Reader) -> Result<Self, CliError> {
        let mut human = Human::new(style);
        human.begin_with_the_day();
        let (aliases, blocks) = reader.book()?;
        human.use_book(Book { aliases, blocks });
        for peer in reader.correspondents()? {
            human.know(&peer);
        }
        Ok(Self { human, verbose: style.verbose > 0 })
    }

    fn entry(&mut self, entry: &Entry, columns: Option<usize>) -> String {
        let Event::Message(message) = entry.event() else { return String::new() };
        let at = entry.message.at;
        if let (true, Some(id)) = (entry.closed, entry.seq()) {
            return self.human.envelope(at, id, &message, columns);
        }
        let notes = self.notes(entry, &message);
        self.human.message(at, &message, &notes, columns)
    }

    fn notes(&self, entry: &Entry, message: &MessageEvent) -> Vec<String> {
        let mut notes = Vec::new();
        if entry.unread {
            notes.push("unread".to_owned());
        }
        match entry.fate {
            Some(fate) if fate.outcome == Outcome::Confirmed => {
                let after = fate.rtt_ms.map(|rtt| format!(" after {}", milliseconds(rtt)));
                let words = format!("confirmed{}", after.unwrap_or_default());
                notes.extend(self.verbose.then_some(words));
            }
            Some(fate) => {
                let port = message.peer.as_ref().map_or(PORT, |peer| peer.port);
                notes.push(failed(fate.outcome, fate.tries, fate.hint, port));
            }
            None if message.direction == Direction::Out
                && message.delivery == Delivery::Direct
                && entry.id > 0 =>
            {
                if entry.message.options.bits() & SEND_CHECK != 0 {
                    notes.push("not confirmed so far".to_owned());
                } else {
                    notes.extend(self.verbose.then(|| "no receipt asked for".to_owned()));
                }
            }
            None => {}
        }
        notes.extend(reading(entry, message));
        if self.verbose {
            notes.extend(entry.seq().map(|seq| format!("seq {seq}")));
            notes.push(entry.message.charset.charset.to_string());
        }
        notes
    }
}

/// `IPMSG_SENDCHECKOPT`: the recipient is asked for a receipt.
const SEND_CHECK: u32 = 0x100;

/// Whether and when the recipient of a sealed message of ours opened it.
fn reading(entry: &Entry, message: &MessageEvent) -> Option<String> {
    if let Some(read) = entry.read {
        let what = if read.discarded { "thrown away unread" } else { "opened" };
        return Some(format!("{what} {}", date_and_time(read.at)));
    }
    let arrived = entry.fate.is_some_and(|fate| fate.outcome == Outcome::Confirmed);
    let waits = arrived && message.direction == Direction::Out && message.sealed && entry.id > 0;
    waits.then(|| "not opened so far".to_owned())
}

/// Whether a file name stands for standard input or output.
fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

//! Reading the stored bytes of somebody's messages again, in the charset they were written in.

use serde::Serialize;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Printer, Style, VERSION, date_and_time, rfc3339};
use crate::node::{Charset, is_declared, reread};
use crate::store::history::{Entry, Pen, Query, Reread};
use crate::store::{Paths, Reader};
use crate::term;

/// A message that reads differently, for programs.
#[derive(Serialize)]
struct Line<'e> {
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    at: String,
    before: &'e str,
    after: &'e str,
}

/// What stays as it is, and why.
#[derive(Default)]
struct Stays {
    /// Its bytes are not kept, or encrypted.
    unreadable: u64,
    /// It says that it is UTF-8, and is.
    declared: u64,
    /// Signs would be lost.
    damaged: u64,
}

/// Shows what would read differently in `charset`; with `fix` it is written down.
pub(super) fn run(
    style: Style,
    paths: &Paths,
    reader: &Reader,
    query: &Query,
    charset: Charset,
    fix: bool,
) -> Result<Exit, CliError> {
    let ids = reader.find(query)?;
    let mut printer = Printer::with(style);
    let (mut changes, mut stays) = (Vec::new(), Stays::default());
    let mut damaged = 0;
    for id in &ids {
        let entry = super::entry(reader, *id, style, &mut damaged)?;
        let Some(entry) = entry.filter(|entry| !entry.closed) else { continue };
        let datagram = reader.datagram(*id)?;
        let read = datagram.and_then(|bytes| Some((reread(&bytes, charset)?, is_declared(&bytes))));
        let Some(((text, cut), declared)) = read else {
            stays.unreadable += 1;
            continue;
        };
        if text == entry.message.text {
            continue;
        }
        if declared {
            stays.declared += 1;
            continue;
        }
        if text.contains(LOST) && !entry.message.text.contains(LOST) {
            stays.damaged += 1;
            continue;
        }
        show(&mut printer, &entry, &text)?;
        changes.push(Reread { id: *id, text, cut });
    }
    stays.tell(style, charset);
    let (other, all) = (changes.len(), ids.len());
    if changes.is_empty() {
        style.say(&format!("none of {all} messages reads differently in {charset}"));
    } else if fix {
        Pen::open(paths, crate::io::wall_clock())?.reread(charset, &changes)?;
        style.say(&format!("{other} of {all} messages read as {charset} from now on"));
    } else {
        style.say(&format!("{other} of {all} messages would read so; --fix writes it down"));
    }
    Ok(if damaged > 0 { Exit::Partly } else { Exit::Done })
}

/// What stands where bytes mean nothing in a charset.
const LOST: char = char::REPLACEMENT_CHARACTER;

impl Stays {
    fn tell(&self, style: Style, charset: Charset) {
        let reasons = [
            (self.unreadable, "their bytes are not kept, or encrypted".to_owned()),
            (self.declared, "they say that they are UTF-8, and are".to_owned()),
            (self.damaged, format!("not all of their bytes mean something in {charset}")),
        ];
        for (count, reason) in reasons.into_iter().filter(|(count, _)| *count > 0) {
            style.say(&format!("{count} left as they are: {reason}"));
        }
    }
}

fn show(printer: &mut Printer, entry: &Entry, after: &str) -> Result<(), CliError> {
    let (at, before) = (entry.message.at, entry.message.text.as_str());
    if printer.is_json() {
        let line = Line { v: VERSION, seq: entry.seq(), at: rfc3339(at), before, after };
        return printer.json(&line);
    }
    let nick = entry.message.peer.as_ref().map_or("", |peer| peer.nick.as_str());
    let columns = printer.style().columns().map_or(usize::MAX, |columns| columns.saturating_sub(4));
    printer.line(&format!("{}  {}", date_and_time(at), term::safe(nick)))?;
    for (mark, text) in [('-', before), ('+', after)] {
        printer.line(&format!("  {mark} {}", term::cut(&term::safe(text), columns)))?;
    }
    Ok(())
}

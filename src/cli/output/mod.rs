//! Output: stdout is data, stderr is talk.
//!
//! [`Printer`] writes at once, for commands without a node. [`Feed`] writes from a thread of its
//! own, so that a reader who stops reading never stops a node that lives in this process; whoever
//! feeds it waits, the node does not. Both write JSON lines or words for people, line by line, and
//! both take a closed pipe for the wish to end.

mod human;

use std::io::{self, IsTerminal, Write};
use std::thread;

use anstream::{AutoStream, ColorChoice};
use chrono::{DateTime, Local, SecondsFormat};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

pub(super) use human::pictures::about as picture;
pub use human::{
    Human, Rendered, UNFELT, brief, failed, files, group_label, milliseconds, peer_colour, queued,
    waited, why,
};

use super::Globals;
use super::error::{CliError, Exit};
use crate::node::{Event, UnixMillis};
use crate::store::settings::Color;
use crate::term;

/// How to write.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Style {
    /// JSON lines instead of words.
    pub json: bool,
    /// No talk.
    pub quiet: bool,
    /// More words.
    pub verbose: u8,
    /// Colours on standard output.
    pub colour: bool,
    /// Standard output is a terminal, so long lines are broken here and not there.
    pub terminal: bool,
}

impl Style {
    /// What the options, the environment (`NO_COLOR`, `CLICOLOR_FORCE`) and the terminal say.
    pub fn new(globals: &Globals, color: Color) -> Self {
        let choice = match color {
            Color::Auto => AutoStream::choice(&io::stdout()),
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self {
            json: globals.json,
            quiet: globals.quiet,
            verbose: globals.verbose,
            colour: choice != ColorChoice::Never && !globals.json,
            terminal: io::stdout().is_terminal(),
        }
    }

    /// Columns of the terminal on standard output; none if it is no terminal.
    pub fn columns(self) -> Option<usize> {
        let size = self.terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok())??;
        Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
    }

    /// Talk, unless `--quiet`. One line; may hold text from outside.
    pub fn say(self, talk: &str) {
        if !self.quiet {
            complain(talk);
        }
    }
}

/// Writes one line to standard error. If that is closed there is nobody left to tell.
pub fn complain(talk: &str) {
    let _ = writeln!(io::stderr(), "feige: {}", term::safe(talk));
}

/// One line of JSON for an event, without its line break.
///
/// # Errors
/// None for the types of this crate; serialising is fallible by its signature.
pub fn event_line(seq: Option<u64>, at: UnixMillis, event: &Event) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<'e> {
        v: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        at: String,
        #[serde(flatten)]
        event: &'e Event,
    }
    serde_json::to_string(&Line { v: VERSION, seq, at: rfc3339(at), event })
}

/// Version of the JSON lines, the field `v` of each: fields are added within a version, never
/// changed or removed.
pub const VERSION: u8 = 1;

/// Local time with its offset and milliseconds: `2026-11-20T09:30:01.250+08:00`.
pub fn rfc3339(at: UnixMillis) -> String {
    local(at).to_rfc3339_opts(SecondsFormat::Millis, false)
}

/// Local time for people, to the minute: `2026-11-20 09:30`.
pub fn date_and_time(at: UnixMillis) -> String {
    local(at).format("%Y-%m-%d %H:%M").to_string()
}

/// Seconds that local time is ahead of UTC then.
pub fn utc_offset(at: UnixMillis) -> i32 {
    local(at).offset().local_minus_utc()
}

/// Local time; what no calendar holds is shown as the epoch.
fn local(at: UnixMillis) -> DateTime<Local> {
    DateTime::from_timestamp_millis(at.0).unwrap_or_default().with_timezone(&Local)
}

/// Writes at once.
#[derive(Debug)]
pub struct Printer {
    style: Style,
}

impl Printer {
    /// Writes as the options say, without colours.
    pub fn new(globals: &Globals) -> Self {
        Self { style: Style::new(globals, Color::Never) }
    }

    /// Writes in this style.
    pub const fn with(style: Style) -> Self {
        Self { style }
    }

    /// How it writes.
    pub const fn style(&self) -> Style {
        self.style
    }

    /// Whether JSON lines are wanted.
    pub const fn is_json(&self) -> bool {
        self.style.json
    }

    /// One object on one line.
    pub fn json(&mut self, object: &impl Serialize) -> Result<(), CliError> {
        self.line(&to_json(object)?)
    }

    /// Text of ours, whose parts from outside are neutralised already; ends with a line break.
    pub fn line(&mut self, text: &str) -> Result<(), CliError> {
        write_out(text).map_err(|error| unwritten(&error))
    }

    /// Talk that matters even with `--quiet`.
    pub fn complain(&self, talk: &str) {
        complain(talk);
    }
}

/// Serialises one of our types.
pub fn to_json(object: &impl Serialize) -> Result<String, CliError> {
    serde_json::to_string(object)
        .map_err(|error| CliError::new(Exit::Partly, "cannot write JSON").because(&error))
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Lets somebody else's code write to standard output.
pub fn print(write: impl FnOnce() -> io::Result<()>) -> Result<(), CliError> {
    write().and_then(|()| io::stdout().flush()).map_err(|error| unwritten(&error))
}

fn unwritten(error: &io::Error) -> CliError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        CliError::closed_pipe()
    } else {
        CliError::new(Exit::Partly, "cannot write to standard output").because(error)
    }
}

/// Writes from a thread of its own.
#[derive(Debug)]
pub struct Feed {
    style: Style,
    human: Human,
    lines: mpsc::Sender<Line>,
    /// How the thread ended.
    end: oneshot::Receiver<io::Result<()>>,
}

/// What the writing thread is given.
#[derive(Debug)]
enum Line {
    /// To be written.
    Text(String),
    /// Everything before is written.
    Mark(oneshot::Sender<()>),
}

/// Lines on their way to the writing thread; more wait with their writer.
const LINES_MAX: usize = 64;

impl Feed {
    /// Starts the writing thread.
    pub fn new(style: Style) -> Result<Self, CliError> {
        let (lines, mut queue) = mpsc::channel(LINES_MAX);
        let (ended, end) = oneshot::channel();
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || {
                let mut written = Ok(());
                while let Some(line) = queue.blocking_recv() {
                    match line {
                        Line::Text(text) => written = write_out(&text),
                        Line::Mark(reached) => drop(reached.send(())),
                    }
                    if written.is_err() {
                        break;
                    }
                }
                drop(queue);
                let _ = ended.send(written);
            })
            .map_err(|error| CliError::new(Exit::Partly, "no thread").because(&error))?;
        Ok(Self { style, human: Human::new(style), lines, end })
    }

    /// How it writes.
    pub const fn style(&self) -> Style {
        self.style
    }

    /// What is known of names, to tell namesakes apart.
    pub fn human(&mut self) -> &mut Human {
        &mut self.human
    }

    /// An event, as JSON or in words. Notices are talk when in words.
    pub async fn event(
        &mut self,
        seq: Option<u64>,
        at: UnixMillis,
        event: &Event,
    ) -> Result<(), CliError> {
        if self.style.json {
            let line = event_line(seq, at, event).map_err(|error| {
                CliError::new(Exit::Partly, "cannot write JSON").because(&error)
            })?;
            return self.line(line).await;
        }
        let columns = self.style.columns();
        let rendered = match event {
            Event::Message(message) if message.closed => {
                // Without a store there is no place in a stream, and the number stands for it.
                let id = seq.unwrap_or(message.number.0);
                Rendered::Data(self.human.envelope(at, id, message, columns))
            }
            event => self.human.event(at, event, columns),
        };
        match rendered {
            Rendered::Data(text) => self.line(text).await,
            Rendered::Talk(text) => {
                self.style.say(&text);
                Ok(())
            }
            Rendered::Nothing => Ok(()),
        }
    }

    /// One object on one line.
    pub async fn json(&mut self, object: &impl Serialize) -> Result<(), CliError> {
        let line = to_json(object)?;
        self.line(line).await
    }

    /// Text of ours, whose parts from outside are neutralised already. Ends the command where
    /// nobody reads any more.
    pub async fn line(&mut self, text: impl Into<String>) -> Result<(), CliError> {
        if self.lines.send(Line::Text(text.into())).await.is_ok() {
            return Ok(());
        }
        self.broken().await
    }

    /// Waits until everything so far is written, where something else writes to the same terminal.
    pub async fn flush(&mut self) -> Result<(), CliError> {
        let (reached, mark) = oneshot::channel();
        if self.lines.send(Line::Mark(reached)).await.is_ok() && mark.await.is_ok() {
            return Ok(());
        }
        self.broken().await
    }

    /// How the writing thread ended.
    async fn broken(&mut self) -> Result<(), CliError> {
        match (&mut self.end).await {
            Ok(Err(error)) => Err(unwritten(&error)),
            _ => Err(CliError::closed_pipe()),
        }
    }

    /// Waits until everything is written.
    pub async fn finish(self) -> Result<(), CliError> {
        drop(self.lines);
        match self.end.await {
            Ok(Err(error)) => Err(unwritten(&error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NoticeCode;

    #[test]
    fn a_json_line_bears_version_time_and_the_flattened_event() {
        let event = Event::Notice { code: NoticeCode::Links, text: "a\nb\u{1b}".to_owned() };
        let line = event_line(Some(7), UnixMillis(1_250), &event).expect("serialises");
        let value: serde_json::Value = serde_json::from_str(&line).expect("parses");
        assert!(!line.contains('\n') && !line.contains('\u{1b}'));
        assert_eq!(value["v"], 1);
        assert_eq!(value["seq"], 7);
        assert_eq!(value["event"], "notice");
        assert_eq!(value["code"], "links");
        let at = value["at"].as_str().expect("text");
        assert!(DateTime::parse_from_rfc3339(at).is_ok_and(|at| at.timestamp_millis() == 1_250));
        assert!(at.contains(".250"));
    }

    #[test]
    fn a_passing_event_has_no_seq() {
        let line = event_line(None, UnixMillis(0), &Event::Lagged { missed: 3 }).expect("json");
        assert!(!line.contains("seq"));
    }
}

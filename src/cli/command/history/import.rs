//! Taking messages in from a file: lines of our own export (or of `--json`), and the `history.jsonl`
//! of feiq-cli. A line that cannot be read is named and left out, the others are taken.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::{is_standard, line};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Printer, Style, VERSION};
use crate::node::{
    AUTO_RETURN, Charset, Delivery, Direction, Extras, MULTICAST, MessageRecord, Options, PASSWORD,
    PORT, PacketNo, PeerId, PeerView, Recipient, Recipients, SECRET, Sure, UnixMillis, Verdict,
};
use crate::store::Paths;
use crate::store::history::{Arrival, Fate, Import, Pen, ReadAt};

/// Messages of one transaction. A node that runs waits for it: some 10 ms.
const TOGETHER: usize = 256;

/// Longest line read, bytes: the largest message there is, its bytes too, every character escaped.
const LINE_MAX: u64 = 1 << 20;

/// What editors of Windows put before UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// What came of it, for programs.
#[derive(Serialize, Default)]
struct Summary {
    v: u8,
    imported: u64,
    known: u64,
    closed: u64,
    bad: u64,
}

/// Imports a file.
pub(super) fn run(style: Style, paths: &Paths, file: &Path) -> Result<Exit, CliError> {
    let mut importer = Importer {
        style,
        pen: Pen::open(paths, crate::io::wall_clock())?,
        batch: Vec::new(),
        names: HashMap::new(),
        summary: Summary { v: VERSION, ..Summary::default() },
    };
    let unreadable = |error: io::Error| {
        CliError::usage(format_args!("cannot read {}", file.display())).because(&error)
    };
    if is_standard(file) {
        importer.lines(io::stdin().lock(), &unreadable)?;
    } else {
        let input = OpenOptions::new().read(true).open(file).map_err(unreadable)?;
        importer.lines(BufReader::new(input), &unreadable)?;
    }
    importer.report()
}

struct Importer {
    style: Style,
    pen: Pen,
    batch: Vec<Arrival>,
    /// Names in feiq-cli's lines so far; what was sent bears only an address there.
    names: HashMap<IpAddr, String>,
    summary: Summary,
}

impl Importer {
    fn lines(
        &mut self,
        mut input: impl BufRead,
        unreadable: &impl Fn(io::Error) -> CliError,
    ) -> Result<(), CliError> {
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let read = (&mut input).take(LINE_MAX).read_until(b'\n', &mut line);
            if read.map_err(unreadable)? == 0 {
                break;
            }
            if !line.ends_with(b"\n") && line.len() as u64 == LINE_MAX {
                self.bad(number, &format!("it is longer than {LINE_MAX} bytes"));
                skip_line(&mut input).map_err(unreadable)?;
                continue;
            }
            let text = match number {
                1 => line.strip_prefix(MARK).unwrap_or(&line),
                _ => &line,
            };
            match arrival(text.trim_ascii(), &mut self.names) {
                Ok(Some(arrival)) => self.batch.push(arrival),
                Ok(None) => {}
                Err(Unread::Closed) => self.summary.closed += 1,
                Err(Unread::Bad(reason)) => self.bad(number, &reason),
            }
            if self.batch.len() == TOGETHER {
                self.commit()?;
            }
        }
        self.commit()
    }

    fn bad(&mut self, number: u64, reason: &str) {
        self.summary.bad += 1;
        crate::cli::output::complain(&format!("line {number}: {reason}"));
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "how long the file was held, to leave it as long"
    )]
    fn commit(&mut self) -> Result<(), CliError> {
        let start = Instant::now();
        for import in self.pen.import(&self.batch)? {
            match import {
                Import::Taken => self.summary.imported += 1,
                Import::Known => self.summary.known += 1,
            }
        }
        if self.batch.len() == TOGETHER {
            // A node that runs gets its turn; nobody queues for the file's lock.
            std::thread::sleep(start.elapsed());
        }
        self.batch.clear();
        Ok(())
    }

    fn report(self) -> Result<Exit, CliError> {
        let Summary { imported, known, closed, bad, .. } = self.summary;
        if self.style.json {
            Printer::with(self.style).json(&self.summary)?;
        } else {
            let messages = if imported == 1 { "message" } else { "messages" };
            self.style.say(&format!("{imported} {messages} imported, {known} were there already"));
        }
        if closed > 0 {
            self.style.say(&format!("{closed} were sealed and not opened: left out"));
        }
        if bad > 0 {
            let lines = if bad == 1 { "1 line was" } else { &format!("{bad} lines were") };
            self.style
                .say(&format!("{lines} left out; once mended, the file can be imported again"));
            return Ok(Exit::Partly);
        }
        Ok(Exit::Done)
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let held = input.fill_buf()?;
        if held.is_empty() {
            return Ok(());
        }
        let end = held.iter().position(|&byte| byte == b'\n');
        let length = held.len();
        input.consume(end.map_or(length, |end| end + 1));
        if end.is_some() {
            return Ok(());
        }
    }
}

/// Why a line is no message.
#[derive(Debug)]
enum Unread {
    /// A sealed message that nobody had opened when it was exported: there is no text.
    Closed,
    /// It cannot be read.
    Bad(String),
}

/// The message on a line; none on an empty one.
fn arrival(line: &[u8], names: &mut HashMap<IpAddr, String>) -> Result<Option<Arrival>, Unread> {
    #[derive(Deserialize)]
    #[serde(expecting = "an object")]
    struct Kind {
        event: Option<String>,
        peer_ip: Option<serde::de::IgnoredAny>,
        content: Option<serde::de::IgnoredAny>,
    }
    if line.is_empty() {
        return Ok(None);
    }
    let kind: Kind = parse(line)?;
    match (kind.event.as_deref(), kind.peer_ip.is_some() && kind.content.is_some()) {
        (Some("message"), _) => parse::<Own>(line)?.arrival().map(Some),
        (Some(event), _) => Err(Unread::Bad(format!("it is a {event}, no message"))),
        (None, true) => parse::<FeiqCli>(line)?.arrival(names).map(Some),
        (None, false) => {
            Err(Unread::Bad("it is no line of `history --export` nor of feiq-cli".to_owned()))
        }
    }
}

fn parse<'l, T: Deserialize<'l>>(line: &'l [u8]) -> Result<T, Unread> {
    serde_json::from_slice(line).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        let what = if error.is_data() { "it is no message" } else { "it is no JSON" };
        Unread::Bad(format!("{what}: {reason} at column {}", error.column()))
    })
}

fn time(text: &str) -> Result<UnixMillis, Unread> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| UnixMillis(time.timestamp_millis()))
        .map_err(|error| Unread::Bad(format!("'{text}' is no time: {error}")))
}

/// A line of ours. What a later or an earlier version lacks has a default.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own in the line")]
struct Own {
    at: String,
    peer: Option<PeerView>,
    direction: Direction,
    #[serde(default = "direct")]
    delivery: Delivery,
    number: PacketNo,
    text: String,
    #[serde(default = "utf8")]
    charset: Charset,
    #[serde(default = "guessed")]
    charset_sure: Sure,
    #[serde(default)]
    sealed: bool,
    #[serde(default)]
    locked: bool,
    #[serde(default)]
    closed: bool,
    #[serde(default)]
    automatic: bool,
    #[serde(default)]
    several: bool,
    #[serde(default)]
    cut: bool,
    #[serde(default)]
    files: usize,
    addr: Option<SocketAddr>,
    #[serde(default)]
    epoch: u32,
    options: Option<u32>,
    raw: Option<String>,
    receipt: Option<line::Receipt>,
    read: Option<line::Read>,
    #[serde(default)]
    recipients: Vec<Recipient>,
    #[serde(default)]
    recipients_cut: bool,
    #[serde(flatten)]
    extras: Extras,
}

const fn direct() -> Delivery {
    Delivery::Direct
}

const fn utf8() -> Charset {
    Charset::UTF_8
}

const fn guessed() -> Sure {
    Sure::Guessed
}

impl Own {
    fn arrival(self) -> Result<Arrival, Unread> {
        if self.closed {
            return Err(Unread::Closed);
        }
        let raw = self.raw.as_deref().map(|raw| BASE64_STANDARD.decode(raw)).transpose();
        let raw = raw.map_err(|error| Unread::Bad(format!("raw is no base64: {error}")))?;
        if self.direction == Direction::In && self.peer.is_none() {
            return Err(Unread::Bad("a received message without its peer".to_owned()));
        }
        // Where the line has no option word.
        let marks = [
            (self.sealed, SECRET),
            (self.several, MULTICAST),
            (self.automatic, AUTO_RETURN),
            (self.locked, PASSWORD),
        ];
        let marks =
            marks.into_iter().filter_map(|(marked, option)| marked.then_some(option)).collect();
        let fate = self.receipt.map(|receipt| {
            let line::Receipt { at, outcome, tries, rtt_ms, hint, waited_ms } = receipt;
            time(&at).map(|at| Fate { outcome, at, tries, rtt_ms, hint, waited_ms })
        });
        let read =
            self.read.map(|read| time(&read.at).map(|at| ReadAt { at, discarded: read.discarded }));
        Ok(Arrival {
            message: MessageRecord {
                direction: self.direction,
                delivery: self.delivery,
                at: time(&self.at)?,
                peer: self.peer.map(Arc::new),
                addr: self.addr,
                epoch: self.epoch,
                number: self.number,
                options: self.options.map_or(marks, Options::from_bits_retain),
                text: self.text,
                charset: Verdict { charset: self.charset, sure: self.charset_sure },
                cut: self.cut,
                files: self.files,
                recipients: Recipients { names: self.recipients, cut: self.recipients_cut },
                extras: self.extras.boxed(),
                open: None,
                raw: raw.unwrap_or_default().into(),
            },
            numbered: true,
            fate: fate.transpose()?,
            read: read.transpose()?,
        })
    }
}

/// A line of feiq-cli's `history.jsonl` (its `internal/history/store.go`). It has no packet numbers,
/// no bytes and no receipts; people are known by address.
#[derive(Deserialize)]
struct FeiqCli {
    time: String,
    direction: Direction,
    peer_ip: IpAddr,
    #[serde(default)]
    peer_name: String,
    /// `msg`, `file` or `dir`.
    #[serde(default)]
    kind: String,
    /// The text; the name of a file or folder.
    content: String,
    #[serde(default)]
    saved_path: String,
}

impl FeiqCli {
    fn arrival(self, names: &mut HashMap<IpAddr, String>) -> Result<Arrival, Unread> {
        let files = usize::from(matches!(self.kind.as_str(), "file" | "dir"));
        let mut text = self.content;
        if !self.saved_path.is_empty() {
            text.push('\n');
            text.push_str(&self.saved_path);
        }
        let addr = SocketAddr::new(self.peer_ip, PORT);
        if !self.peer_name.is_empty() {
            names.insert(addr.ip(), self.peer_name);
        }
        let ip = addr.ip().to_string();
        let peer = PeerView {
            id: PeerId(ip.as_str().into()),
            nick: names.get(&addr.ip()).unwrap_or(&ip).clone(),
            user: String::new(),
            host: ip,
            group: String::new(),
            addr: addr.ip(),
            port: addr.port(),
            addrs: vec![addr],
            dialect: "ipmsg".to_owned(),
            charset: None,
            charset_sure: None,
            version: None,
            absent: false,
            fingerprint: None,
        };
        Ok(Arrival {
            message: MessageRecord {
                direction: self.direction,
                delivery: Delivery::Direct,
                at: time(&self.time)?,
                peer: Some(Arc::new(peer)),
                addr: Some(addr),
                epoch: 0,
                number: PacketNo(0),
                options: Options::empty(),
                text,
                charset: Verdict { charset: Charset::UTF_8, sure: Sure::Guessed },
                cut: false,
                files,
                recipients: Recipients::default(),
                extras: None,
                open: None,
                raw: [].into(),
            },
            numbered: false,
            fate: None,
            read: None,
        })
    }
}

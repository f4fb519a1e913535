//! `feige decode`: explains packets.

mod capture;
mod explain;
mod hex;
mod words;

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use self::explain::Explainer;
use crate::cli::Globals;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Printer;
use crate::node::UnixMillis;
use crate::wire::{Charset, Office, PORT};

/// Explain packets: hex, a file of hex lines, or a capture
///
/// HEX is one datagram on the command line; blanks and colons do not matter. FILE (or standard
/// input, also as -) holds one datagram in hex on each line, or is a pcap or pcapng capture, of
/// which UDP and TCP port 2425 (or --port) are shown. Exit code 1 if any datagram was malformed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige decode 313a3130303a616c3a70633a33323a4869
  feige decode --json office.pcapng | jq .text
  sudo tcpdump -i any -U -w - port 2425 | feige decode")]
pub(in crate::cli) struct Args {
    /// A datagram in hex, or a file; standard input if there is none
    #[arg(value_name = "HEX|FILE")]
    input: Vec<String>,

    #[arg(
        long,
        value_name = "CHARSET",
        help = "Charset of texts that declare none: gbk, shift_jis, big5, euc-kr, utf-8"
    )]
    charset: Option<Charset>,
}

/// A datagram and where it was found.
#[derive(Debug, Default)]
struct Datagram {
    bytes: Vec<u8>,
    at: Option<UnixMillis>,
    from: Option<SocketAddr>,
    to: Option<SocketAddr>,
    transport: Option<Transport>,
    /// The capture did not keep all of it.
    cut: bool,
}

impl Datagram {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Longest line of hex read: a datagram of the largest size, generously spaced.
const LINE_MAX: u64 = 1 << 20;

pub(in crate::cli) fn run(globals: &Globals, args: &Args) -> Result<Exit, CliError> {
    let mut run = Run {
        printer: Printer::new(globals),
        explainer: Explainer::new(args.charset, Office::Auto),
        port: globals.port.unwrap_or(PORT),
        bad_lines: 0,
    };
    match args.input.as_slice() {
        [] if io::stdin().is_terminal() => {
            return Err(CliError::usage("nothing to decode").hint("feige decode HEX, or FILE"));
        }
        [] => run.stream(io::stdin())?,
        [one] if one == "-" => run.stream(io::stdin())?,
        // Also what a shell makes of `<(command)`.
        [one] if Path::new(one).exists() && !Path::new(one).is_dir() => run.stream(open(one)?)?,
        parts => {
            let text = parts.join(" ");
            let bytes = hex::bytes(&text).map_err(|error| {
                CliError::usage(format_args!("{text} is neither a file nor hex")).because(&error)
            })?;
            run.show(&Datagram::new(bytes))?;
        }
    }
    let all_well = run.explainer.malformed() == 0 && run.bad_lines == 0;
    Ok(if all_well { Exit::Done } else { Exit::Partly })
}

fn open(path: &str) -> Result<impl Read + Send + use<>, CliError> {
    OpenOptions::new()
        .read(true)
        .open(path)
        .map_err(|error| CliError::usage(format_args!("cannot read {path}")).because(&error))
}

struct Run {
    printer: Printer,
    explainer: Explainer,
    port: u16,
    /// Lines that are not hex.
    bad_lines: usize,
}

impl Run {
    fn show(&mut self, datagram: &Datagram) -> Result<(), CliError> {
        let explained = self.explainer.explain(datagram);
        if self.printer.is_json() {
            self.printer.json(&explained)
        } else {
            self.printer.line(&explained.human())
        }
    }

    /// A capture or lines of hex: the first bytes tell.
    fn stream(&mut self, input: impl Read + Send) -> Result<(), CliError> {
        let unreadable =
            |error: io::Error| CliError::usage("cannot read the input").because(&error);
        let mut head = Vec::with_capacity(4);
        let mut input = BufReader::new(input);
        (&mut input).take(4).read_to_end(&mut head).map_err(unreadable)?;
        if capture::is_capture(&head) {
            return capture::read(head, input, self.port, |datagram| self.show(&datagram));
        }
        let mut input = io::Cursor::new(head).chain(input);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = (&mut input).take(LINE_MAX).read_until(b'\n', &mut line);
            if read.map_err(unreadable)? == 0 {
                break;
            }
            self.hex_line(number, &line)?;
        }
        Ok(())
    }

    fn hex_line(&mut self, number: usize, line: &[u8]) -> Result<(), CliError> {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        match hex::bytes(line) {
            Ok(bytes) => self.show(&Datagram::new(bytes)),
            Err(error) => {
                self.bad_lines += 1;
                self.printer.complain(&format!("line {number}: {error}"));
                Ok(())
            }
        }
    }
}

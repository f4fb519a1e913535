//! An explained datagram in words for people.

use std::fmt::Write as _;

use super::explain::{Explained, Fields, File, Listed, Meaning, Said};
use crate::cli::output;
use crate::term;
use crate::wire::{Charset, Sure};

impl Explained {
    /// For people: a line about the datagram, then one line for each field.
    pub(super) fn human(&self) -> String {
        let mut out = format!("#{}", self.index);
        if let Some(at) = &self.at {
            let _ = write!(out, "  {at}");
        }
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            let _ = write!(out, "  {from} -> {to}");
        }
        if let Some(transport) = self.transport {
            let _ = write!(out, "  {}", transport.name());
        }
        let cut = if self.cut { ", cut by the capture" } else { "" };
        let _ = writeln!(out, "  {} bytes{cut}", self.size);
        let mut rows = Rows(&mut out);
        match &self.said {
            Said::Packet(fields) => fields.human(&mut rows),
            Said::Malformed { malformed, reason, hex } => {
                rows.row("malformed", &format!("{reason} (field: {malformed})"));
                rows.row("bytes", hex);
            }
        }
        out
    }
}

/// Writes `name  value` lines. Everything passes here, so everything from outside is neutralised.
struct Rows<'o>(&'o mut String);

impl Rows<'_> {
    fn row(&mut self, name: &str, value: &str) {
        for (at, line) in term::safe_lines(value).split('\n').enumerate() {
            // A second line of a text looks like no field.
            let name = if at == 0 { name } else { "        |" };
            let _ = writeln!(self.0, "  {name:<9} {}", line.trim_end());
        }
    }

    fn name(&mut self, name: &str, value: &str) {
        self.row(name, &term::safe(value));
    }
}

fn judged(charset: Charset, sure: Sure) -> String {
    let how = match sure {
        Sure::Ascii => return "ascii".to_owned(),
        Sure::Guessed => "guessed from the bytes",
        Sure::Assumed => "the office's charset",
        Sure::Valid => "valid",
        Sure::Dialect => "all clients of this dialect write so",
        Sure::Remembered => "as this sender wrote before",
        Sure::Declared => "declared by the packet",
        Sure::Pinned => "as asked for",
    };
    format!("{charset}: {how}")
}

impl Fields {
    fn human(&self, rows: &mut Rows<'_>) {
        rows.name("version", &format!("{} ({})", self.version, self.dialect));
        if let Some(mac) = &self.mac {
            rows.name("identity", mac);
        }
        rows.row("number", &self.number.to_string());
        rows.name("user", &self.user);
        rows.name("host", &self.host);
        rows.row("names", &judged(self.names_charset, self.names_charset_sure));
        rows.row(
            "command",
            &format!(
                "{} 0x{:02x}, word {} = 0x{:08x}",
                self.command, self.command_number, self.word, self.word
            ),
        );
        let options = self.options.iter().copied().chain(self.options_unknown.as_deref());
        let options = options.collect::<Vec<_>>().join(" ");
        rows.row("options", if options.is_empty() { "none" } else { &options });
        self.body.human(rows);
    }
}

impl Meaning {
    fn human(&self, rows: &mut Rows<'_>) {
        match self {
            Self::Presence { nick, group, charset, charset_sure, client_version } => {
                rows.name("nick", nick);
                rows.name("group", group);
                rows.row("charset", &judged(*charset, *charset_sure));
                if let Some(version) = client_version {
                    rows.name("client", version);
                }
            }
            Self::Message {
                text,
                shown,
                charset,
                charset_sure,
                text_cut,
                tail,
                files,
                files_skipped,
            } => {
                rows.row("text", text);
                if let Some(shown) = shown {
                    rows.row("shown", shown);
                }
                rows.row("charset", &judged(*charset, *charset_sure));
                if *text_cut {
                    rows.row("cut", "the text is longer than is kept");
                }
                if let Some(tail) = tail {
                    rows.name("tail", tail);
                }
                for file in files {
                    file.human(rows);
                }
                if *files_skipped > 0 {
                    rows.row("files", &format!("{files_skipped} more cannot be read"));
                }
            }
            Self::Encrypted { methods, key_bytes, text_bytes } => rows.row(
                "encrypted",
                &format!("methods 0x{methods}, key {key_bytes} bytes, text {text_bytes} bytes"),
            ),
            Self::Reference { refers_to } => rows.row("refers to", &refers_to.to_string()),
            Self::Text { text, charset, charset_sure } => {
                rows.row("text", text);
                rows.row("charset", &judged(*charset, *charset_sure));
            }
            Self::Hosts { next, count, hosts } => {
                let next = if *next == 0 { "last part".to_owned() } else { format!("next {next}") };
                rows.row("hosts", &format!("{count}, {next}"));
                for host in hosts {
                    host.human(rows);
                }
            }
            Self::GetHosts { from_index } => rows.row("from", &format!("host {from_index}")),
            Self::FileRequest { offer, file, offset } => {
                let shown = |number: &Option<u64>| {
                    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
                };
                rows.row("offer", &format!("packet {}", shown(offer)));
                rows.row("file", &format!("{} from byte {}", shown(file), shown(offset)));
            }
            Self::Other { main, sections } => {
                if !main.is_empty() {
                    rows.row("body", main);
                }
                for section in sections {
                    rows.row("section", section);
                }
            }
        }
    }
}

impl File {
    fn human(&self, rows: &mut Rows<'_>) {
        let Self { id, name, size, mtime, kind, attr, extended } = self;
        let mut line = format!("{id}: {name}, {kind}, {size} bytes");
        if let Some(at) = i64::try_from(*mtime).ok().and_then(|s| s.checked_mul(1000)) {
            let _ = write!(line, ", {}", output::rfc3339(crate::node::UnixMillis(at)));
        }
        let _ = write!(line, ", attributes 0x{attr:x}");
        for (key, values) in extended {
            let values: Vec<_> = values.iter().map(|value| format!("{value:x}")).collect();
            let _ = write!(line, " {key:x}={}", values.join(","));
        }
        rows.name("file", &line);
    }
}

impl Listed {
    fn human(&self, rows: &mut Rows<'_>) {
        let Self { user, host, status, addr, port, nick, group } = self;
        rows.name(
            "host",
            &format!(
                "{nick} ({user}@{host}, {group}) at {addr} port {port}, status 0x{status:08x}"
            ),
        );
    }
}

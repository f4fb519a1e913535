//! Writing the history to a file: whole, or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::line::Line;
use super::{Words, is_standard};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Style;
use crate::store::history::Query;
use crate::store::{Reader, passing_file};

/// Exports what `query` means to `file`.
pub(super) fn run(
    style: Style,
    reader: &Reader,
    query: &Query,
    file: &Path,
    text: bool,
) -> Result<Exit, CliError> {
    let text = text || file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("txt"));
    let ids = reader.find(query)?;
    let mut export = Export { reader, style, words: None, written: 0, closed: 0, damaged: 0 };
    if text {
        // As in a pipe: no colours, and lines as long as they are.
        let plain = Style { colour: false, terminal: false, json: false, ..style };
        export.words = Some(Words::new(plain, reader)?);
    }
    if is_standard(file) {
        let mut out = BufWriter::new(io::stdout().lock());
        export.write(&ids, &mut out)?.map_err(|error| closed_or(&error, file))?;
        return Ok(export.exit());
    }
    export.replace(&ids, file)?;
    let Export { written, closed, .. } = export;
    let exit = export.exit();
    let messages = if written == 1 { "message" } else { "messages" };
    style.say(&format!("{written} {messages} written to {}", file.display()));
    if closed > 0 {
        style.say(&format!("{closed} of them are sealed and not opened: without their texts"));
    }
    Ok(exit)
}

struct Export<'r> {
    reader: &'r Reader,
    style: Style,
    /// For plain text; otherwise JSON lines.
    words: Option<Words>,
    written: u64,
    closed: u64,
    /// Messages that cannot be read, and are left out.
    damaged: u64,
}

impl Export<'_> {
    const fn exit(&self) -> Exit {
        if self.damaged > 0 { Exit::Partly } else { Exit::Done }
    }

    /// Beside its place, then moved there: an export that fails leaves the one before alone. What is
    /// no plain file (a pipe, a terminal) is written directly.
    fn replace(&mut self, ids: &[i64], file: &Path) -> Result<(), CliError> {
        let failed = |error: io::Error| cannot_write(&error, file);
        // A link stays one.
        let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        if fs::metadata(&file).is_ok_and(|about| !about.is_file()) {
            let out = OpenOptions::new().write(true).open(&file).map_err(failed)?;
            return self.write(ids, &mut BufWriter::new(out))?.map_err(failed);
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let new = passing_file(&folder).map_err(failed)?;
        self.write(ids, &mut BufWriter::new(new.as_file()))?.map_err(failed)?;
        new.as_file().sync_all().map_err(failed)?;
        new.persist(&file).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn write(&mut self, ids: &[i64], out: &mut impl Write) -> Result<io::Result<()>, CliError> {
        for id in ids {
            let read = super::entry(self.reader, *id, self.style, &mut self.damaged)?;
            let Some(entry) = read else { continue };
            let line = if let Some(words) = &mut self.words {
                words.entry(&entry, None)
            } else {
                let datagram = self.reader.datagram(*id)?;
                Line::whole(&entry, datagram.as_deref()).json()? + "\n"
            };
            if let Err(error) = out.write_all(line.as_bytes()) {
                return Ok(Err(error));
            }
            self.written += 1;
            self.closed += u64::from(entry.closed);
        }
        Ok(out.flush())
    }
}

fn closed_or(error: &io::Error, file: &Path) -> CliError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return CliError::closed_pipe();
    }
    cannot_write(error, file)
}

fn cannot_write(error: &io::Error, file: &Path) -> CliError {
    CliError::new(Exit::Partly, format_args!("cannot write {}", file.display())).because(error)
}

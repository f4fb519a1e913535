//! `feige send --picture`: where the picture comes from.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::cli::error::{CliError, Exit};
use crate::io::Chosen;
use crate::store::Copies;

/// A picture to be sent: a regular file, open, with a path that the node can be told.
#[derive(Debug)]
pub(super) struct Source {
    chosen: Chosen,
    /// What was read from standard input, a pipe or a name the node cannot be told; removed with
    /// the value unless others may fetch it later.
    copy: Option<NamedTempFile>,
    /// That copy is in the store.
    in_store: bool,
}

/// Largest picture that is read from a pipe, bytes; for FeiQ the node takes no larger file.
const INPUT_MAX: u64 = 64 << 20;
/// What a picture without a name is called; what it is comes behind it.
const NAMELESS: &str = "picture";

impl Source {
    /// The picture at `path`, or on standard input if that is `-`. `copies`: where one without a file
    /// is kept, none for the system's folder for temporary files.
    pub(super) fn open(path: &Path, copies: Option<&Copies>) -> Result<Self, CliError> {
        if path == Path::new("-") {
            return Self::copy(io::stdin().lock(), "standard input", NAMELESS, copies);
        }
        let name = path.display().to_string();
        let unread = |error: io::Error| {
            CliError::usage(format_args!("cannot read {name}")).because(&error).hint(NOTHING_SENT)
        };
        let file = OpenOptions::new().read(true).open(path).map_err(unread)?;
        let found = file.metadata().map_err(unread)?;
        if found.is_dir() {
            let folder = format_args!("{name} is a folder, no picture");
            return Err(CliError::usage(folder).hint(NOTHING_SENT));
        }
        if !found.is_file() {
            return Self::copy(file, &name, NAMELESS, copies);
        }
        let chosen = Chosen::open(path)
            .map_err(|error| CliError::usage(error.to_string()).hint(NOTHING_SENT))?;
        if chosen.choice.path.to_str().is_none() {
            return Self::copy(file, &name, &chosen.choice.name, copies);
        }
        let chosen = chosen.as_picture().ok_or_else(|| no_picture(&name))?;
        Ok(Self { chosen, copy: None, in_store: false })
    }

    /// Its file; an absolute path.
    pub(super) fn path(&self) -> PathBuf {
        self.chosen.choice.path.clone()
    }

    /// The file as it is offered to those whose programs take no pictures inside messages.
    pub(super) const fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// It is on offer: a copy in the store stays, and the node that offers it removes it at the end.
    pub(super) fn leave_to_the_node(&mut self) {
        if let Some(copy) = self.copy.as_mut().filter(|_| self.in_store) {
            copy.disable_cleanup(true);
        }
    }

    fn copy(
        from: impl Read,
        origin: &str,
        name: &str,
        copies: Option<&Copies>,
    ) -> Result<Self, CliError> {
        let failed = |error: io::Error| {
            CliError::new(Exit::Partly, "cannot make a temporary file").because(&error)
        };
        let mut copy = match copies {
            Some(copies) => copies.create()?,
            None => tempfile::Builder::new().prefix("feige-").tempfile().map_err(failed)?,
        };
        let size = io::copy(&mut from.take(INPUT_MAX + 1), &mut copy).map_err(|error| {
            let unread = CliError::usage(format_args!("cannot read {origin}"));
            unread.because(&error).hint(NOTHING_SENT)
        })?;
        if size == 0 {
            return Err(CliError::usage(format_args!("{origin} is empty")).hint(NOTHING_SENT));
        }
        if size > INPUT_MAX {
            let large = format_args!("{origin} is larger than 64 MiB");
            return Err(CliError::usage(large).hint(NOTHING_SENT));
        }
        copy.flush().map_err(failed)?;
        let mut chosen = Chosen::open(copy.path())
            .map_err(|error| CliError::new(Exit::Partly, error.to_string()))?;
        name.clone_into(&mut chosen.choice.name);
        let chosen = chosen.as_picture().ok_or_else(|| no_picture(origin))?;
        Ok(Self { chosen, copy: Some(copy), in_store: copies.is_some() })
    }
}

fn no_picture(name: &str) -> CliError {
    let words = format!("no picture that can be sent: {name} is no PNG, JPEG, GIF or BMP");
    CliError::usage(words).hint(NOTHING_SENT)
}

const NOTHING_SENT: &str = "nothing was sent";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_copied_and_named_by_what_it_is() {
        let source =
            Source::copy(&b"GIF89a"[..], "standard input", NAMELESS, None).expect("it is read");
        assert_eq!(std::fs::read(source.path()).expect("a file"), b"GIF89a");
        assert_eq!(source.chosen().choice.name, "picture.gif");
        let path = source.path();
        drop(source);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_picture_for_sure_is_wrong_usage() {
        for error in [
            Source::open(Path::new("/"), None).expect_err("a folder"),
            Source::open(Path::new("/no/such/file"), None).expect_err("nothing"),
            Source::open(Path::new("/etc/passwd"), None).expect_err("a text"),
            Source::copy(io::empty(), "standard input", NAMELESS, None).expect_err("empty"),
            Source::copy(&b"text"[..], "standard input", NAMELESS, None).expect_err("a text"),
            Source::copy(io::repeat(7), "standard input", NAMELESS, None).expect_err("endless"),
        ] {
            assert_eq!(error.exit(), Exit::Usage, "{error}");
            assert!(error.to_string().ends_with(NOTHING_SENT), "{error}");
        }
    }
}

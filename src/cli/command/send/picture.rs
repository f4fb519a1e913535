//! `feige send --picture`: where the picture comes from.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::cli::error::{CliError, Exit};

/// A picture to be sent, as a regular file with a name that the node can open.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    /// What was read from standard input, a pipe or a name the node cannot be told; removed when
    /// the picture is packed.
    _copy: Option<NamedTempFile>,
}

/// Largest picture that is read, bytes; the node takes no larger file.
const INPUT_MAX: u64 = 64 << 20;

impl Source {
    /// The picture at `path`, or on standard input if that is `-`.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        if path == Path::new("-") {
            return Self::copy(io::stdin().lock(), "standard input");
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
        let absolute = std::path::absolute(path).map_err(unread)?;
        if found.is_file() && absolute.to_str().is_some() {
            return Ok(Self { path: absolute, _copy: None });
        }
        Self::copy(file, &name)
    }

    /// Its file; an absolute path.
    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn copy(from: impl Read, name: &str) -> Result<Self, CliError> {
        let failed = |error: io::Error| {
            CliError::new(Exit::Partly, "cannot make a temporary file").because(&error)
        };
        let mut copy = tempfile::Builder::new().prefix("feige-").tempfile().map_err(failed)?;
        let size = io::copy(&mut from.take(INPUT_MAX + 1), &mut copy).map_err(|error| {
            CliError::usage(format_args!("cannot read {name}")).because(&error).hint(NOTHING_SENT)
        })?;
        if size == 0 {
            return Err(CliError::usage(format_args!("{name} is empty")).hint(NOTHING_SENT));
        }
        if size > INPUT_MAX {
            let large = format_args!("{name} is larger than 64 MiB");
            return Err(CliError::usage(large).hint(NOTHING_SENT));
        }
        copy.flush().and_then(|()| copy.rewind()).map_err(failed)?;
        Ok(Self { path: copy.path().to_owned(), _copy: Some(copy) })
    }
}

const NOTHING_SENT: &str = "nothing was sent";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_copied() {
        let source = Source::copy(&b"GIF89a"[..], "standard input").expect("it is read");
        assert_eq!(std::fs::read(source.path()).expect("a file"), b"GIF89a");
        let path = source.path();
        drop(source);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_picture_for_sure_is_wrong_usage() {
        for error in [
            Source::open(Path::new("/")).expect_err("a folder"),
            Source::open(Path::new("/no/such/file")).expect_err("nothing"),
            Source::copy(io::empty(), "standard input").expect_err("empty"),
            Source::copy(io::repeat(7), "standard input").expect_err("endless"),
        ] {
            assert_eq!(error.exit(), Exit::Usage, "{error}");
            assert!(error.to_string().ends_with(NOTHING_SENT), "{error}");
        }
    }
}

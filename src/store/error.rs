//! What can go wrong with our files, each with its path and with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Our files cannot be used. The text says what, where and, if there is something, what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The name of a profile would be no plain folder name.
    #[error(
        "'{name}' is no name for a profile: up to 32 bytes of letters, digits, '-', '_' and '.', \
         not beginning with '.'"
    )]
    Profile {
        /// The name given.
        name: String,
    },
    /// No home folder is known.
    #[error(
        "no home folder is known: set HOME, or XDG_CONFIG_HOME, XDG_DATA_HOME and XDG_STATE_HOME"
    )]
    NoHome,
    /// A file or folder of ours cannot be made, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: "create", "read", "write", "lock".
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder of ours belongs to another user.
    #[error("{} belongs to another user (id {owner}), so nothing is kept in it", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
    },
    /// Another process runs this profile.
    #[error("another feige{} runs this profile ({})", holder_text(*holder), path.display())]
    Held {
        /// Its process id, if it wrote one down.
        holder: Option<u32>,
        /// The lock file.
        path: PathBuf,
    },
    /// The file is not a store of ours.
    #[error("{} is not a store of feige: move it away, or use another --profile", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The store was written by a newer version of this program.
    #[error(
        "{} was written by a newer feige (schema {found}, this one knows {known}): \
         update feige, or use another --profile",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema this program knows.
        known: u32,
    },
    /// The store is from an older version and was only to be read.
    #[error(
        "{} is from an older feige (schema {found}, this one reads {known}): \
         restart the running node, or run a command that stores",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The schema this program reads.
        known: u32,
    },
    /// There is no store yet.
    #[error("nothing is stored yet: {} does not exist", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// There is no room on the disk.
    #[error(
        "the disk is full, nothing can be kept in {}: make room, or use --no-store",
        path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Peers we never wrote to have sent as much as is kept of them in a day.
    #[error("strangers may fill {} MiB a day, and that is reached", day_bytes >> 20)]
    StrangersADay {
        /// How much that is.
        day_bytes: u64,
    },
    /// Several pictures begin with these digits.
    #[error("several pictures begin with p{digits}: give more digits of the digest")]
    ManyPictures {
        /// The digits.
        digits: String,
    },
    /// The file system is mounted read-only.
    #[error(
        "the file system of {} is read-only, nothing can be kept: use another --profile, \
         or --no-store",
        path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The store cannot be read or written.
    #[error("cannot {action} {}: {}", path.display(), in_words(source))]
    Database {
        /// What was tried: "open", "read", "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
    /// What is stored of one message cannot be understood; the others can.
    #[error("message {id} in {} cannot be read: {reason}", path.display())]
    Damaged {
        /// Its row.
        id: i64,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's random numbers cannot be had.
    #[error("the system gives no random numbers: {source}")]
    Random {
        /// What the system said.
        source: rand::Error,
    },
    /// A record could not be kept.
    #[error("{reason}")]
    NotKept {
        /// Why, for people.
        reason: String,
    },
    /// The writer thread cannot be started.
    #[error("cannot start the thread that writes the store: {source}")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    pub(super) fn file(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(super) fn database(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(rusqlite::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotOurs { path },
            _ => Self::Database { action, path, source },
        }
    }
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// What `SQLite` means, for people.
pub(super) fn in_words(error: &rusqlite::Error) -> String {
    if let rusqlite::Error::FromSqlConversionFailure(_, _, why) = error {
        return why.to_string();
    }
    let plain = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::ReadOnly) => "it cannot be written (read-only)",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process holds it for too long"
        }
        Some(ErrorCode::DatabaseCorrupt) => "it is damaged: move it away and keep the copy",
        Some(ErrorCode::SystemIoFailure) => "the disk reports an error",
        Some(ErrorCode::CannotOpen) => "it cannot be opened, or its folder cannot be written",
        Some(ErrorCode::PermissionDenied) => "permission denied",
        _ => return error.to_string(),
    };
    match error.sqlite_error() {
        Some(code) => format!("{plain} (SQLite {})", code.extended_code),
        None => plain.to_owned(),
    }
}

/// Whether what is stored in this one row cannot be understood, so that others may still be read.
pub(super) const fn is_the_rows_own(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

/// Whether this one record is at fault, so that others may still be kept. A full, broken, busy or
/// read-only file is nobody's fault and the same for all.
pub(super) fn is_the_records_own(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        None => true,
        Some(code) => matches!(
            code,
            ErrorCode::ConstraintViolation
                | ErrorCode::TooBig
                | ErrorCode::TypeMismatch
                | ErrorCode::ParameterOutOfRange
                | ErrorCode::Unknown
        ),
    }
}

//! The log file: one for each day, a week of them, and `feige.log` for the newest.
//!
//! Only what the user wants to be logged is: the long-running node, and commands with `-v`. What was
//! said is in it at no level.

use rustix::fs::Mode;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{Builder, Rotation};

use super::error::{CliError, Exit};
use crate::store::{Paths, create_private_folder};

const DAYS_KEPT: usize = 7;
/// Lines that may wait for the disk; more are dropped: the log never keeps the node waiting.
const LINES_WAITING: usize = 1024;
/// Commands that start at the same moment put the same link to the newest file, and the appender
/// fails for all but one.
const TRIES: usize = 10;

/// Starts to log. What was logged last is written when the guard is dropped.
pub(super) fn start(paths: &Paths, verbose: u8) -> Result<WorkerGuard, CliError> {
    create_private_folder(&paths.log_dir)?;
    // The appender makes its files by itself; they are nobody else's business.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let open = || {
        Builder::new()
            .rotation(Rotation::DAILY)
            .filename_prefix("feige")
            .filename_suffix("log")
            .latest_symlink("feige.log")
            .max_log_files(DAYS_KEPT)
            .build(&paths.log_dir)
    };
    let files = (1..TRIES).find_map(|_| open().ok()).map_or_else(open, Ok).map_err(|error| {
        let folder = paths.log_dir.display();
        CliError::new(Exit::Store, format_args!("cannot log in {folder}")).because(&error)
    })?;
    // The default holds 128,000 lines, whose places alone take 5 MB.
    let queue = NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING);
    let (writer, guard) = queue.finish(files);
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(false)
        .with_max_level(level)
        .with_target(false)
        .init();
    Ok(guard)
}

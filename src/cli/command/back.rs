//! `feige back`: be at the desk again.

use crate::cli::error::{CliError, Exit};
use crate::cli::{Globals, absence};
use crate::store::{Paths, process_env};

/// Be back: the end of `feige away`
///
/// Others see it, and nothing is replied any more.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige back
  feige back --profile work")]
pub(in crate::cli) struct Args {}

impl Args {
    pub(in crate::cli) async fn run(&self, globals: &Globals) -> Result<Exit, CliError> {
        let paths = Paths::of(globals.profile.as_deref(), &process_env)?;
        absence::set(globals, &paths, None).await
    }
}

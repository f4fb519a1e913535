//! `feige history`: what was said before.

use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::open;
use crate::cli::wish::Wish;

/// Open a sealed message
///
/// A sealed message shows its text only when it is opened, and then its sender is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige history --open 418
  feige history --open 418 --json | jq -r .text")]
pub(in crate::cli) struct Args {
    /// Open this sealed message and tell its sender; ID is its seq
    #[arg(long, value_name = "ID", required = true)]
    open: u64,
}

impl Args {
    pub(in crate::cli) fn wish() -> Wish<'static> {
        Wish { listens: true, ..Wish::default() }
    }

    pub(in crate::cli) async fn run(&self, client: &mut Client) -> Result<Exit, CliError> {
        open::show(client, self.open).await
    }
}

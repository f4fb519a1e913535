//! `feige away`: leave the desk.

use crate::cli::error::{CliError, Exit};
use crate::cli::{Globals, absence, text};
use crate::store::settings::Settings;
use crate::store::{Paths, process_env};

/// Be away: others see it, and who writes gets an automatic reply
///
/// Lasts until `feige back`, over restarts too. Whoever writes gets the text at most once a minute;
/// messages are taken and confirmed as ever. Where no node runs, the next one is away. Without TEXT
/// the setting `away_text` is replied.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige away
  feige away 'at lunch'
  feige config set away_text '出差，周一回来'")]
pub(in crate::cli) struct Args {
    /// What is replied; - reads standard input
    #[arg(value_name = "TEXT")]
    words: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(&self, globals: &Globals) -> Result<Exit, CliError> {
        let paths = Paths::of(globals.profile.as_deref(), &process_env)?;
        let settings = Settings::load(&paths, &process_env, &globals.flags(None))?;
        let text = if self.words.is_empty() {
            settings.away_text.value
        } else {
            let text =
                text::read(&self.words).map_err(|error| error.hint("nothing was changed"))?;
            Settings::away_text(text).map_err(|what| {
                CliError::usage(format_args!("this text cannot be the reply: {what}"))
            })?
        };
        absence::set(globals, &paths, Some(text)).await
    }
}

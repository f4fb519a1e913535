//! `feige man`: the manual page.

use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Printer;
use crate::cli::{Cli, Globals};

/// Print the manual page (roff), of feige or of one command
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige man | man -l -
  feige man send | man -l -
  feige man > ~/.local/share/man/man1/feige.1")]
pub(in crate::cli) struct Args {
    /// A command of feige
    command: Option<String>,
}

pub(in crate::cli) fn run(globals: &Globals, args: &Args) -> Result<Exit, CliError> {
    let mut cli = Cli::command();
    cli.build();
    let page = match &args.command {
        None => Man::new(cli),
        Some(name) => {
            let command = cli.find_subcommand(name).ok_or_else(|| {
                CliError::usage(format_args!("no command {name}")).hint("`feige --help` lists them")
            })?;
            Man::new(command.clone().display_name(format!("feige-{name}")))
        }
    };
    let mut roff = Vec::new();
    page.render(&mut roff)
        .map_err(|error| CliError::new(Exit::Partly, "cannot write the page").because(&error))?;
    Printer::new(globals).line(&String::from_utf8_lossy(&roff))?;
    Ok(Exit::Done)
}

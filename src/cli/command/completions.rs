//! `feige completions`: scripts that complete options in a shell.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Printer;
use crate::cli::{Cli, Globals};

/// Print a script that completes commands and options in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige completions bash > ~/.local/share/bash-completion/completions/feige
  feige completions zsh > ~/.zfunc/_feige
  feige completions fish > ~/.config/fish/completions/feige.fish")]
pub(in crate::cli) struct Args {
    /// The shell
    shell: Shell,
}

pub(in crate::cli) fn run(globals: &Globals, args: &Args) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "feige", &mut script);
    Printer::new(globals).line(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

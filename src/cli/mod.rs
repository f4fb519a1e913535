//! How a person or a program uses it: the command line, from arguments to exit code.
//!
//! What is promised to scripts (names of commands and options, JSON lines, exit codes) is described
//! in `docs/json.md` and in the help texts, which come from the types of this module.

mod command;
pub mod error;
pub mod output;
pub mod pick;

use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, Parser, Subcommand, ValueEnum};

use self::error::{CliError, Exit};

/// Messages on the LAN, for terminals, servers and scripts; speaks IPMsg and FeiQ
#[derive(Debug, Parser)]
#[command(
    name = "feige",
    version,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  feige listen                        who comes and goes, and every message
  feige peers                         who is here
  feige send alice 'lunch at noon?'   a message, and whether it arrived
  feige broadcast 'server restarts'   to everybody on the subnet"
)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Options that mean the same with every command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Globals {
    /// Machine output: one JSON object on each line
    #[arg(long, global = true)]
    pub json: bool,

    /// No talk on standard error, only errors
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// More detail; repeat for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Colours on standard output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,

    /// UDP and TCP port
    #[arg(long, global = true, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// Use only the link that owns this address (repeatable)
    #[arg(long, global = true, value_name = "ADDR")]
    pub bind: Vec<IpAddr>,

    /// Settings, messages and identity of their own under this name
    #[arg(long, global = true, value_name = "NAME", env = "FEIGE_PROFILE")]
    pub profile: Option<String>,

    /// Nickname that others see
    #[arg(long, global = true, value_name = "NAME")]
    pub nick: Option<String>,

    /// Log-on name that others see
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,

    /// Computer name that others see
    #[arg(long, global = true, value_name = "NAME")]
    pub host: Option<String>,

    /// Never join a running node
    #[arg(long, global = true)]
    pub alone: bool,

    /// Keep nothing on disk; then no receipts are sent
    #[arg(long, global = true)]
    pub no_store: bool,
}

/// When to colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Colour {
    /// In a terminal, unless the environment says otherwise.
    Auto,
    /// Also in a pipe.
    Always,
    /// Nowhere.
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    Decode(command::decode::Args),
    Completions(command::completions::Args),
    Man(command::man::Args),
}

/// Runs the program: arguments in, exit code out.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help is data and goes to standard output; nobody may be there to read either.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            let words = error.to_string();
            if !words.is_empty() {
                let _ = writeln!(std::io::stderr(), "{words}");
            }
            error.exit().into()
        }
    }
}

impl Cli {
    fn run(self) -> Result<Exit, CliError> {
        let globals = &self.globals;
        match &self.command {
            None => {
                let _ = Self::command().print_help();
                Ok(Exit::Done)
            }
            Some(Command::Decode(args)) => command::decode::run(globals, args),
            Some(Command::Completions(args)) => command::completions::run(globals, args),
            Some(Command::Man(args)) => command::man::run(globals, args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

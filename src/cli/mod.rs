//! How a person or a program uses it: the command line, from arguments to exit code.
//!
//! What is promised to scripts (names of commands and options, JSON lines, exit codes) is described
//! in `docs/json.md` and in the help texts, which come from the types of this module.

mod absence;
mod bars;
mod book;
mod client;
mod command;
pub mod error;
mod logging;
mod open;
pub mod output;
pub mod pick;
mod seen;
mod signals;
mod text;
mod who;
mod wish;

use std::future::Future;
use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, CommandFactory, Parser, Subcommand, ValueEnum};

use self::client::Client;
use self::error::{CliError, Exit};
use self::output::complain;
use self::signals::Signals;
use self::wish::Wish;
use crate::store::settings::FLAGS;
use crate::store::{Paths, process_env};

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

/// Where the options that every command has begin in a help text: behind its own.
const GLOBALS: usize = 100;

/// Options that mean the same with every command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options", next_display_order = GLOBALS)]
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
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        hide_possible_values = true,
        help = "Colours on standard output: auto, always, never"
    )]
    pub color: Option<Colour>,

    /// UDP and TCP port
    #[arg(long, global = true, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// Use only the link that owns this address (repeatable)
    #[arg(long, global = true, value_name = "ADDR")]
    pub bind: Vec<IpAddr>,

    /// Settings, messages and identity of their own under this name
    #[arg(long, global = true, value_name = "NAME", env = "FEIGE_PROFILE", hide_env_values = true)]
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

    /// Any other setting, for this run: charset=gbk (repeatable)
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,

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

impl Colour {
    /// As in the settings.
    const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// `--group` where it names our own group and is no filter; behind the options that all commands have.
#[derive(Debug, clap::Args)]
struct OwnGroup {
    /// Group that others see
    #[arg(long, value_name = "NAME", help_heading = "Global options", display_order = 2 * GLOBALS)]
    group: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Listen(command::listen::Args),
    Peers(command::peers::Args),
    Broadcast(command::broadcast::Args),
    Send(command::send::Args),
    Knock(command::knock::Args),
    Files(command::files::Args),
    Get(command::get::Args),
    Refuse(command::refuse::Args),
    Withdraw(command::withdraw::Args),
    History(command::history::Args),
    Outbox(command::outbox::Args),
    Away(command::away::Args),
    Back(command::back::Args),
    Alias(command::alias::Args),
    Block(command::block::Args),
    Charset(command::charset::Args),
    Node(command::node::Args),
    Decode(command::decode::Args),
    Demo(command::demo::Args),
    Config(command::config::Args),
    Completions(command::completions::Args),
    Man(command::man::Args),
}

/// Runs the program: arguments in, exit code out.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if error.use_stderr() {
                let _ = error.print();
                return Exit::Usage.into();
            }
            return end(print_help(&error));
        }
    };
    end(cli.run())
}

/// Says what is left to say, and gives the exit code.
fn end(outcome: Result<Exit, CliError>) -> ExitCode {
    match outcome {
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

/// Prints a help text or the version: data, as all that goes to standard output.
fn print_help(help: &clap::Error) -> Result<Exit, CliError> {
    output::print(|| help.print())?;
    Ok(Exit::Done)
}

/// Reads what stands behind `--set`.
fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is meant, as in charset=gbk")?;
    let key = key.trim();
    if FLAGS.contains(&key) {
        // `listen` and `peers` filter by it.
        let or = if key == "group" { ", or where that is a filter FEIGE_GROUP" } else { "" };
        return Err(format!("{key} has an option of its own: --{key}{or}"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

impl Globals {
    /// The flags that are settings, as pairs of key and value.
    fn flags(&self, group: Option<&str>) -> Vec<(&str, String)> {
        let bind: Vec<_> = self.bind.iter().map(IpAddr::to_string).collect();
        let flags = [
            ("nick", self.nick.clone()),
            ("group", group.map(str::to_owned)),
            ("user", self.user.clone()),
            ("host", self.host.clone()),
            ("port", self.port.map(|port| port.to_string())),
            ("bind", (!bind.is_empty()).then(|| bind.join(","))),
            ("color", self.color.map(|color| color.name().to_owned())),
        ];
        let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let others = self.set.iter().map(|(key, value)| (key.as_str(), value.clone()));
        flags.chain(others).collect()
    }
}

impl Cli {
    fn run(self) -> Result<Exit, CliError> {
        let globals = &self.globals;
        let Some(command) = &self.command else {
            output::print(|| Self::command().print_help())?;
            return Ok(Exit::Done);
        };
        match command {
            Command::Decode(args) => command::decode::run(globals, args),
            Command::Demo(args) => in_runtime(args.run(globals)),
            Command::Config(args) => args.run(globals),
            Command::Alias(args) => args.run(globals),
            Command::Block(args) => args.run(globals),
            Command::Completions(args) => command::completions::run(globals, args),
            Command::Man(args) => command::man::run(globals, args),
            Command::Node(command::node::Args { ask: Some(ask), .. }) => {
                in_runtime(ask.run(globals))
            }
            Command::Listen(args) => {
                attend(globals, args.wish(), async |client| args.run(globals, client).await)
            }
            Command::Peers(args) => {
                attend(globals, args.wish(), async |client| args.run(client).await)
            }
            Command::Knock(args) => {
                attend(globals, args.wish(), async |client| args.run(client).await)
            }
            Command::Charset(args) => args.run(globals),
            Command::Node(args) => {
                attend(globals, args.wish(), async |client| args.run(client).await)
            }
            Command::Files(args) => {
                attend(globals, command::files::Args::wish(), async |client| args.run(client).await)
            }
            Command::Get(args) => {
                args.check()?;
                if args.write_pictures(globals)? {
                    return Ok(Exit::Done);
                }
                attend(globals, command::get::Args::wish(), async |client| args.run(client).await)
            }
            Command::Refuse(args) => {
                args.check()?;
                attend(globals, command::refuse::Args::wish(), async |client| {
                    args.run(client).await
                })
            }
            Command::History(args) => match args.opens() {
                Some((seq, wish)) => attend(globals, wish, async |client| {
                    command::history::Args::open(seq, client).await
                }),
                None => args.run(globals),
            },
            Command::Away(args) => in_runtime(args.run(globals)),
            Command::Back(args) => in_runtime(args.run(globals)),
            Command::Outbox(args) => match &args.change {
                None => in_runtime(command::outbox::Args::list(globals)),
                Some(change) => change.run(globals),
            },
            Command::Broadcast(args) => {
                // Read before the LAN is entered: whoever types slowly is not there meanwhile.
                let text = args.text()?;
                attend(globals, args.wish(), async |client| args.run(client, text).await)
            }
            Command::Send(args) => {
                // Read before the LAN is entered, too.
                let (enclosed, text) = (args.enclosed(globals)?, args.text()?);
                attend(globals, args.wish(), async |client| args.run(client, text, enclosed).await)
            }
            Command::Withdraw(args) => {
                attend(globals, args.wish(), async |client| args.run(client).await)
            }
        }
    }
}

/// Runs a command with a node, and ends in order whatever happens: the first signal ends the
/// command, the second one also the goodbye.
fn attend(
    globals: &Globals,
    wish: Wish<'_>,
    command: impl AsyncFnOnce(&mut Client) -> Result<Exit, CliError>,
) -> Result<Exit, CliError> {
    let log = || {
        let paths = Paths::of(globals.profile.as_deref(), &process_env)?;
        match logging::start(&paths, globals.verbose) {
            // Who keeps nothing may have no place where to.
            Err(error) if globals.no_store => {
                if !globals.quiet {
                    complain(&format!("no log is written: {}", error.message()));
                }
                Ok(None)
            }
            started => started.map(Some),
        }
    };
    let _log = if wish.logs(globals.verbose) { log()? } else { None };
    if rustix::process::geteuid().is_root() && !globals.quiet {
        complain(
            "running as root, which is never needed; what is kept now belongs to root, so better run \
             it as a user of its own",
        );
    }
    in_runtime(async {
        let mut signals = Signals::new()?;
        let mut client = tokio::select! {
            client = Client::open(globals, wish) => client?,
            exit = signals.next() => return Err(CliError::silent(exit)),
        };
        let work = async {
            client.begin(globals, wish).await?;
            command(&mut client).await
        };
        let (outcome, interrupted) = tokio::select! {
            outcome = work => (outcome, false),
            exit = signals.next() => (Err(CliError::silent(exit)), true),
        };
        if !interrupted {
            tokio::select! {
                () = client.outstay() => {}
                _ = signals.next() => {}
            }
        }
        tokio::select! {
            () = client.close() => {}
            _ = signals.next() => {}
        }
        outcome
    })
}

/// Runs a future to its end on this thread.
fn in_runtime<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::CannotListen, "no runtime").because(&error))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// A time as people write it: `30s`, `5m`, `1h 30m`.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}, as in 30s, 5m or 2h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

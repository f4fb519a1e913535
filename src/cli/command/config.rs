//! `feige config`: the settings in force, and how to change them.

use std::ffi::OsString;
use std::process::Command;

use serde::Serialize;

use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Printer, VERSION};
use crate::cli::{Globals, OwnGroup, in_runtime};
use crate::io::StartError;
use crate::io::links::{Kind, Listed, Selection, is_port_of_a_bridge, read_all};
use crate::node::Request;
use crate::store::settings::{Entry, Place, Settings, Source};
use crate::store::{Paths, process_env};
use crate::term;

/// Print the settings in force, with where each came from; or change them
///
/// A flag beats a FEIGE_* variable, a variable beats your file, your file beats the office's. Below
/// the settings stand the network links of this host, and which of them are used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige config
  feige config set nick 张三
  feige config set skip_links 'docker*,virbr*'
  feige config edit")]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    ask: Option<Ask>,

    #[command(flatten)]
    own: OwnGroup,
}

#[derive(Debug, clap::Subcommand)]
enum Ask {
    /// Print where your settings are
    #[command(after_help = "\
Examples:
  feige config path
  cat \"$(feige config path)\"")]
    Path,

    /// Open your settings in $VISUAL or $EDITOR
    #[command(after_help = "\
Examples:
  feige config edit
  EDITOR=nano feige config edit")]
    Edit,

    /// Change one setting; comments and order of the file stay
    ///
    /// A new nickname or group is announced at once if a node runs.
    #[command(after_help = "\
Examples:
  feige config set nick 张三
  feige config set charset gbk
  feige config set networks 10.2.0.255,10.3.0.1-10.3.0.50")]
    Set {
        /// The setting
        key: String,
        /// Its value; a list with commas
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
}

impl Args {
    pub(in crate::cli) fn run(&self, globals: &Globals) -> Result<Exit, CliError> {
        let paths = Paths::of(globals.profile.as_deref(), &process_env)?;
        let mut printer = Printer::new(globals);
        match &self.ask {
            None => {
                let flags = globals.flags(self.own.group.as_deref());
                let settings = Settings::load(&paths, &process_env, &flags)?;
                print(&mut printer, &paths, &settings)?;
                print_links(&mut printer, &settings)?;
            }
            Some(Ask::Path) => printer.line(&paths.config.display().to_string())?,
            Some(Ask::Edit) => edit(&paths)?,
            Some(Ask::Set { key, value }) => {
                Settings::set(&paths, key, value)?;
                in_runtime(announce(globals, &paths, key))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn print(printer: &mut Printer, paths: &Paths, settings: &Settings) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Line<'e> {
        v: u8,
        key: &'e str,
        value: &'e str,
        source: &'static str,
    }
    let entries = settings.entries();
    if printer.is_json() {
        return entries.iter().try_for_each(|entry| {
            let Entry { key, value, source, .. } = entry;
            printer.json(&Line { v: VERSION, key, value, source: word(*source) })
        });
    }
    let columns = |cell: fn(&Entry) -> &str| {
        entries.iter().map(|entry| term::width(&term::safe(cell(entry)))).max().unwrap_or(0)
    };
    let (keys, values) = (columns(|entry| entry.key), columns(|entry| &entry.value).min(40));
    let verbose = printer.style().verbose > 0;
    for entry in &entries {
        if verbose {
            printer.line(&format!("# {}", entry.doc))?;
        }
        let (key, value) = (term::pad(entry.key, keys), term::safe(&entry.value));
        let value = term::pad(&value, values);
        printer.line(&format!("{key}  {value}  {}", origin(entry, paths)))?;
    }
    Ok(())
}

/// The links of this host, and which of them are used: those of containers and tunnels are often
/// better left out.
fn print_links(printer: &mut Printer, settings: &Settings) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Line<'l> {
        v: u8,
        link: &'l str,
        addresses: Vec<String>,
        kind: &'static str,
        used: bool,
        up: bool,
    }
    let selection = Selection::new(&settings.bind.value, &settings.skip_links.value)
        .map_err(StartError::SkipLinks)?;
    let chosen = selection.read().map_err(StartError::Links)?;
    let all = read_all().map_err(StartError::Links)?;
    let columns = all.iter().map(|one| term::width(&one.link.name)).max().unwrap_or(0);
    for &Listed { ref link, up } in &all {
        let (kind, advice) = kind(&link.name);
        let used = chosen.iter().any(|chosen| chosen.link.id == link.id);
        let v4 = link.v4.iter().map(|net| net.addr.to_string());
        let addresses: Vec<_> = v4.chain(link.v6.iter().map(ToString::to_string)).collect();
        if printer.is_json() {
            printer.json(&Line { v: VERSION, link: &link.name, addresses, kind, used, up })?;
            continue;
        }
        let name = term::pad(&term::safe(&link.name), columns);
        let advice = match used {
            true if up => advice,
            true => "left out (down)",
            false if settings.bind.value.is_empty() && is_port_of_a_bridge(link) => {
                "left out (a port of a bridge)"
            }
            false => "left out",
        };
        let line = format!("link  {name}  {}  {advice}", addresses.join(" "));
        printer.line(line.trim_end())?;
    }
    Ok(())
}

/// What a link looks like, and what to say of it where it is used.
fn kind(name: &str) -> (&'static str, &'static str) {
    match Kind::of(name) {
        Kind::Ordinary => ("ordinary", ""),
        Kind::Loopback => ("loopback", ""),
        Kind::Container => ("container", "(for containers; skip_links leaves it out)"),
        Kind::Vpn => ("vpn", "(a tunnel; skip_links leaves it out)"),
    }
}

/// For programs.
const fn word(source: Source) -> &'static str {
    match source {
        Source::Default => "default",
        Source::Office => "office",
        Source::User => "user",
        Source::Env => "env",
        Source::Flag => "flag",
    }
}

/// For people.
fn origin(entry: &Entry, paths: &Paths) -> String {
    match entry.source {
        Source::Default => "default".to_owned(),
        Source::Office => paths.office_config.display().to_string(),
        Source::User => paths.config.display().to_string(),
        Source::Env => format!("FEIGE_{}", entry.key.to_uppercase()),
        Source::Flag => Place::Flag(entry.key.to_owned()).to_string(),
    }
}

fn edit(paths: &Paths) -> Result<(), CliError> {
    Settings::create_file(paths)?;
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "vi".into());
    // These variables hold a command line by custom (`code --wait`); the path is an argument of
    // its own and no part of it.
    let mut script = editor.clone();
    script.push(" \"$@\"");
    let status = Command::new("sh")
        .args([OsString::from("-c"), script, OsString::from("sh")])
        .arg(&paths.config)
        .status()
        .map_err(|error| {
            CliError::usage(format_args!("cannot start {}", editor.display())).because(&error)
        })?;
    if !status.success() {
        return Err(CliError::usage(format_args!("{}: {status}", editor.display())));
    }
    Settings::load(paths, &process_env, &[])
        .map_err(|error| CliError::from(error).hint("`feige config edit` opens it again"))?;
    Ok(())
}

/// Tells a running node what it can take over; says what it cannot.
async fn announce(globals: &Globals, paths: &Paths, key: &str) -> Result<(), CliError> {
    let Some(mut client) = Client::join(globals).await? else { return Ok(()) };
    let style = client.style();
    let settings = Settings::load(paths, &process_env, &[])?;
    let (request, done) = match key {
        "nick" | "group" => {
            let (nick, group) = (settings.nick.value, settings.group.value);
            (Request::Rename { nick, group }, "announced")
        }
        "charset" => {
            let charset = settings.charset.value;
            (Request::SetOffice { charset }, "the node that runs reads and writes it from now on")
        }
        _ => {
            style.say("the node that runs keeps its old settings until it is started again");
            return Ok(());
        }
    };
    client.request(request).await?;
    style.say(done);
    Ok(())
}

//! What a command wants of a node: from options, variables and settings to the node it would be, and
//! whether a node that runs already is the right one.

use std::net::IpAddr;

use super::Globals;
use super::error::{BESIDE, CliError};
use super::output::Style;
use crate::io::Start;
use crate::io::control::Hello;
use crate::node::Config;
use crate::store::settings::Settings;
use crate::store::{Paths, process_env};

/// What a command wants of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish<'a> {
    /// How long it stays.
    pub(super) role: Role,
    /// Hears events.
    pub(super) listens: bool,
    /// Hears only: no entry, no answer.
    pub(super) passive: bool,
    /// `--group` as our own group.
    pub(super) group: Option<&'a str>,
    /// Writes a log without being asked to.
    pub(super) logs: bool,
}

/// How long a command stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Role {
    /// Until its work is done.
    #[default]
    Brief,
    /// Until the user ends it; worth handing the port over to.
    Lasting,
    /// As long, and it is the node: it joins none, at most it waits for a brief one to end.
    Sole,
}

impl Wish<'_> {
    /// Whether there is a log to write. Short commands have none: what they have to say they say.
    pub(super) const fn logs(self, verbose: u8) -> bool {
        self.logs || (verbose > 0 && matches!(self.role, Role::Lasting))
    }
}

/// What options, variables and settings say of the node we would be, and of the output.
pub(super) fn start(globals: &Globals, wish: Wish<'_>) -> Result<(Start, Style), CliError> {
    let paths = Paths::of(globals.profile.as_deref(), &process_env)?;
    let settings = Settings::load(&paths, &process_env, &globals.flags(wish.group))?;
    let config = Config {
        office: settings.charset.value,
        port: settings.port.value,
        networks: settings.networks(),
        seeds: settings.seeds(),
        passive: wish.passive,
        keeps: !globals.no_store,
        delivers: wish.role != Role::Brief,
        accept: settings.accept.value.iter().map(|accept| accept.rule().clone()).collect(),
        ..Config::new(settings.identity(String::new()))
    };
    let style = Style::new(globals, settings.color.value);
    let start = Start {
        config,
        bind: settings.bind.value,
        ipv6: settings.ipv6.value,
        skip_links: settings.skip_links.value,
        store: !globals.no_store,
        downloads: settings.downloads.value,
        allow_takeover: true,
        brief: wish.role == Role::Brief,
        paths,
    };
    Ok((start, style))
}

/// What a [`Start`] was made from, to make it again when the settings may be others.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    globals: Globals,
    role: Role,
    passive: bool,
    group: Option<String>,
}

impl Origin {
    pub(super) fn new(globals: &Globals, wish: Wish<'_>) -> Self {
        let Wish { role, passive, group, .. } = wish;
        Self { globals: globals.clone(), role, passive, group: group.map(str::to_owned) }
    }

    /// By the settings as they are now; options and variables of the command win as they did.
    pub(super) fn start(&self) -> Result<Start, CliError> {
        let (role, passive, group) = (self.role, self.passive, self.group.as_deref());
        let (start, _) = start(&self.globals, Wish { role, passive, group, ..Wish::default() })?;
        Ok(start)
    }
}

/// A node that runs is not changed by a command that joins it.
pub(super) fn refuse_to_change(
    hello: &Hello,
    globals: &Globals,
    wish: Wish<'_>,
) -> Result<(), CliError> {
    let named = |option: &'static str, wanted: Option<&str>, has: &str| {
        wanted.filter(|wanted| *wanted != has).map(|_| (option, format!("has {has}")))
    };
    let switched = |option: &'static str, differs: bool, does: &str| {
        differs.then(|| (option, does.to_owned()))
    };
    let other_port = globals.port.filter(|port| *port != hello.port);
    let other_bind = !globals.bind.is_empty() && !same(&globals.bind, &hello.bind);
    let different = named("--nick", globals.nick.as_deref(), &hello.nick)
        .or_else(|| named("--group", wish.group, &hello.group))
        .or_else(|| named("--user", globals.user.as_deref(), &hello.user))
        .or_else(|| named("--host", globals.host.as_deref(), &hello.host))
        .or_else(|| other_port.map(|_| ("--port", format!("has {}", hello.port))))
        .or_else(|| switched("--bind", other_bind, &bound(hello)))
        .or_else(|| switched("--set", !globals.set.is_empty(), "has settings of its own"))
        .or_else(|| switched("--no-store", globals.no_store && hello.keeps, "keeps messages"))
        .or_else(|| switched("--passive", wish.passive && !hello.passive, "answers too"));
    let Some((option, does)) = different else { return Ok(()) };
    let message =
        format!("{option} differs from the node that runs (process {}), which {does}", hello.pid);
    Err(CliError::usage(message)
        .hint(format_args!("leave it out, end that node first, or {BESIDE}")))
}

fn bound(hello: &Hello) -> String {
    let addrs: Vec<_> = hello.bind.iter().map(ToString::to_string).collect();
    if addrs.is_empty() {
        "uses every link".to_owned()
    } else {
        format!("uses {}", addrs.join(", "))
    }
}

fn same(ours: &[IpAddr], theirs: &[IpAddr]) -> bool {
    ours.iter().all(|addr| theirs.contains(addr)) && theirs.iter().all(|addr| ours.contains(addr))
}

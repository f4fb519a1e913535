//! How a command ends: [`Exit`], and the [`CliError`] that says what, why and what next.
//!
//! Exit codes are chosen here and nowhere else.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use super::output::brief;
use super::pick::NoPick;
use crate::io::StartError;
use crate::io::control::JoinError;
use crate::node::{PeerView, Refusal};
use crate::store::StoreError;
use crate::store::settings::SettingsError;
use crate::term;

/// Exit codes, the same for every command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done and, where receipts can exist, confirmed by all. A closed pipe is success too.
    Done,
    /// Done in part: somebody did not confirm.
    Partly,
    /// Wrong usage.
    Usage,
    /// No such peer, nobody found, no node.
    Nobody,
    /// Cannot listen: port, permission, no network.
    CannotListen,
    /// The store cannot be read or written.
    Store,
    /// Ended by Ctrl-C.
    Interrupted,
    /// Ended by SIGTERM.
    Terminated,
}

impl Exit {
    /// The number the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Partly => 1,
            Self::Usage => 2,
            Self::Nobody => 3,
            Self::CannotListen => 4,
            Self::Store => 5,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// How to have two nodes at once. Port 2425 belongs to one process, whatever its profile.
pub(super) const BESIDE: &str = "run another beside it with --profile NAME --port N, which peers on \
                                 2425 do not see";

/// Why a command did not do its work.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    /// What went wrong, one line; none where there is nothing to say (a closed pipe, a signal).
    message: Option<String>,
    /// Lines that belong to the message: candidates.
    details: Vec<String>,
    /// What to do next.
    hint: Option<String>,
    /// Somebody was named who could not be chosen.
    unchosen: bool,
    /// By a pattern that several fit.
    pattern: bool,
}

impl CliError {
    /// An error with its exit code. The message may hold text from outside.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { message: Some(message.to_string()), ..Self::silent(exit) }
    }

    /// Wrong usage.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// An end that needs no words.
    pub const fn silent(exit: Exit) -> Self {
        Self {
            exit,
            message: None,
            details: Vec::new(),
            hint: None,
            unchosen: false,
            pattern: false,
        }
    }

    /// Nobody can be asked, for no network link is up.
    pub fn no_link() -> Self {
        Self::new(Exit::CannotListen, Refusal::NoLink).hint(LINK_HINT)
    }

    /// Whoever read our output has enough: success.
    pub const fn closed_pipe() -> Self {
        Self::silent(Exit::Done)
    }

    /// Appends the causes of `error` to the message.
    #[must_use]
    pub fn because(mut self, error: &dyn Error) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let message = self.message.get_or_insert_default();
            let said = error.to_string();
            if !message.contains(&said) {
                message.push_str(": ");
                message.push_str(&said);
            }
            cause = error.source();
        }
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Adds that nothing was sent, where something was to be sent to whoever could not be chosen.
    #[must_use]
    pub fn nothing_sent(mut self) -> Self {
        if let Some(message) = self.message.as_mut().filter(|_| self.unchosen) {
            message.push_str("; nothing was sent");
        }
        if self.pattern { self.hint("--yes writes to all of them") } else { self }
    }

    /// Adds a line of its own below the message.
    #[must_use]
    pub fn detail(mut self, line: impl fmt::Display) -> Self {
        self.details.push(line.to_string());
        self
    }

    const fn unchosen(mut self) -> Self {
        self.unchosen = true;
        self
    }

    /// What went wrong, in one line.
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    /// The exit code.
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

const LINK_HINT: &str = "`ip address` shows whether a network is up";

/// Whom [`Refusal::TooLong`] names, as the user would recognise the peer.
fn known_as(peer: &PeerView) -> String {
    let addr = peer.addr.to_string();
    if peer.nick.contains(&addr) { peer.nick.clone() } else { format!("{} ({addr})", peer.nick) }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        let exit = match refusal {
            Refusal::UnknownPeer { .. }
            | Refusal::Nobody
            | Refusal::NoOffer
            | Refusal::UnknownAlias { .. }
            | Refusal::Blocked { .. }
            | Refusal::NotBlocked { .. } => Exit::Nobody,
            Refusal::NoLink | Refusal::NotTaken => Exit::CannotListen,
            Refusal::Busy | Refusal::NothingWaits | Refusal::NoList { .. } => Exit::Partly,
            Refusal::NotKept { .. } | Refusal::StaysClosed { .. } => Exit::Store,
            _ => Exit::Usage,
        };
        let error = match &refusal {
            Refusal::TooLong { peer, size, limit } => Self::new(
                exit,
                format_args!(
                    "not sent: too long for {}: {size} bytes as encoded for that peer, at most \
                     {limit} can be read there",
                    known_as(peer)
                ),
            ),
            Refusal::TakesNoPictures { peer } => Self::new(
                exit,
                format_args!(
                    "not sent: {} takes no pictures inside messages; only FeiQ and feige do, and \
                     its program is {}",
                    known_as(peer),
                    peer.dialect
                ),
            ),
            Refusal::NoOffer
            | Refusal::NothingWaits
            | Refusal::NoList { .. }
            | Refusal::Blocked { .. } => Self::new(exit, &refusal),
            Refusal::NotKept { .. }
            | Refusal::BadAlias { .. }
            | Refusal::UnknownAlias { .. }
            | Refusal::NotBlocked { .. }
            | Refusal::BookFull
            | Refusal::NoMessage { .. }
            | Refusal::StaysClosed { .. } => Self::new(exit, format_args!("not done: {refusal}")),
            _ => Self::new(exit, format_args!("not sent: {refusal}")),
        };
        match refusal {
            Refusal::TooLong { .. } | Refusal::BroadcastTooLong { .. } => {
                error.hint(
                    "nothing was sent to anybody; split the text or the list of files, or send one file",
                )
            }
            Refusal::NoLink => error.hint(LINK_HINT),
            Refusal::NotTaken => error.hint("`ip route` shows whether there is a way out"),
            Refusal::Passive => error
                .hint(format_args!("end the `feige listen --passive` that runs, or {BESIDE}")),
            Refusal::Busy => error.hint("wait for the receipts of what was sent before"),
            Refusal::NoMessage { .. } => {
                error.hint("`feige history` shows the ID of each sealed message")
            }
            Refusal::NoPicture { .. } => error.hint("PNG, JPEG, GIF and BMP are read"),
            Refusal::Blocked { peer } => {
                error.hint(format_args!("`feige block --remove {}` hears it again", peer.nick))
            }
            Refusal::UnknownPeer { .. } => error.hint("`feige peers` lists who is here"),
            Refusal::NoOffer | Refusal::NothingWaits => {
                error.hint("`feige files` lists what is on offer")
            }
            Refusal::NoList { .. } => {
                error.hint("only iptux shares lists; ask for the file by a message")
            }
            _ => error,
        }
    }
}

/// Nothing was to be started: a node is there.
fn cannot_join(error: &JoinError) -> CliError {
    let lock = |socket: &Path| socket.with_file_name("lock");
    let hint = match error {
        JoinError::Silent { path } => {
            let lock = lock(path);
            format!("its process id is in {}; if it hangs, end that process", lock.display())
        }
        JoinError::Version { path } => {
            let lock = lock(path);
            format!("end it first, by its own version or its process id in {}", lock.display())
        }
        _ => return CliError::new(Exit::CannotListen, error),
    };
    CliError::new(Exit::CannotListen, error).hint(hint)
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        if let StartError::Join(error) = &error {
            return cannot_join(error);
        }
        let exit = match &error {
            StartError::Store(store) => store_exit(store),
            StartError::SkipLinks(_) => Exit::Usage,
            _ => Exit::CannotListen,
        };
        let beside = format!("without --alone this command joins it; or {BESIDE}");
        let hint = match &error {
            StartError::AlreadyRunning { .. } => beside.as_str(),
            StartError::PortTaken { .. } => {
                "end that program, or use another port with --port (all who talk must use the same)"
            }
            StartError::NoNetwork { .. } => "`ip address` shows the links and their addresses",
            StartError::Store(StoreError::File { source, .. })
                if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem =>
            {
                "--no-store needs nothing that can be written"
            }
            StartError::Permission(_) => "a port below 1024 is for root; 2425 needs no rights",
            _ => "",
        };
        let error = Self::new(exit, "cannot start").because(&error);
        if hint.is_empty() { error } else { error.hint(hint) }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self { exit: store_exit(&error), ..Self::new(Exit::Store, &error) }
    }
}

const fn store_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Profile { .. } => Exit::Usage,
        StoreError::Held { .. } => Exit::CannotListen,
        _ => Exit::Store,
    }
}

impl From<SettingsError> for CliError {
    fn from(error: SettingsError) -> Self {
        let exit = match error {
            SettingsError::Read { .. } | SettingsError::Write(_) => Exit::Store,
            _ => Exit::Usage,
        };
        Self::new(exit, &error)
    }
}

impl From<NoPick> for CliError {
    fn from(no: NoPick) -> Self {
        match &no {
            NoPick::Nobody { .. } => Self::new(Exit::Nobody, &no),
            NoPick::Unreadable { .. } => Self::usage(&no),
            NoPick::Blocked { nick, .. } => Self::new(Exit::Nobody, &no)
                .hint(format_args!("`feige block --remove {nick}` hears it again"))
                .unchosen(),
            NoPick::Several { candidates, pattern, .. } => {
                let at = |peer: &PeerView| SocketAddr::new(peer.addr, peer.port);
                let names: Vec<_> = candidates.iter().map(|peer| brief(&peer.nick)).collect();
                let columns = names.iter().map(|name| term::width(name)).max().unwrap_or(0);
                let mut rows = BTreeSet::new();
                let alike =
                    names.iter().zip(candidates).any(|(n, peer)| !rows.insert((n, at(peer))));
                let mut error = Self::new(Exit::Nobody, &no).unchosen();
                for (name, peer) in names.iter().zip(candidates) {
                    let mut columns = vec![term::pad(name, columns), at(peer).to_string()];
                    if alike {
                        // Whole, to be written.
                        columns.push(format!("{}@{}", peer.user, peer.host));
                    }
                    columns.push(brief(&peer.group));
                    error = error.detail(columns.join("  ").trim_end());
                }
                error.pattern = *pattern;
                error.hint(if alike {
                    "write user@host"
                } else {
                    "write the address, or more of the name"
                })
            }
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(message) = &self.message else { return Ok(()) };
        write!(f, "feige: {}", term::safe(message))?;
        for line in &self.details {
            write!(f, "\n  {}", term::safe(line))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  {}", term::safe(hint))?;
        }
        Ok(())
    }
}

impl Error for CliError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_next() {
        let why = std::io::Error::other("the disk is full");
        let error = CliError::new(Exit::Store, "cannot open the store").because(&why).hint("free");
        assert_eq!(error.to_string(), "feige: cannot open the store: the disk is full\n  free");
        assert_eq!(error.exit().code(), 5);
    }

    #[test]
    fn where_nothing_can_be_written_there_is_a_way_without() {
        let source = std::io::ErrorKind::ReadOnlyFilesystem.into();
        let lock = StoreError::File { action: "lock", path: "/run/lock".into(), source };
        let error = CliError::from(StartError::Store(lock));
        assert!(error.to_string().ends_with("\n  --no-store needs nothing that can be written"));
        assert_eq!(error.exit(), Exit::Store);
    }

    #[test]
    fn names_from_outside_cannot_forge_a_line() {
        let error = CliError::new(Exit::Nobody, "no peer called a\x1b[2J\nfeige: all is well");
        assert_eq!(error.to_string(), "feige: no peer called a␛[2J␊feige: all is well");
    }

    #[test]
    fn a_closed_pipe_is_success_without_words() {
        assert_eq!(CliError::closed_pipe().to_string(), "");
        assert_eq!(CliError::closed_pipe().exit(), Exit::Done);
    }
}

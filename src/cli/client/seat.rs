//! Where a command's node is, and how it comes by one.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::sleep;

use crate::cli::error::{BESIDE, CliError, Exit};
use crate::cli::output::Style;
use crate::cli::wish::Role;
use crate::io::control::{self, Hello, Joined, Succeeded};
use crate::io::{self, Handle, Place, Running, Start, StartError};

/// Where the node is.
pub(super) enum Seat {
    /// In this process.
    Owner(Running),
    /// In another one.
    Guest(Guest),
    /// Nowhere any more.
    Nowhere,
}

pub(super) struct Guest {
    pub(super) handle: Handle,
    pub(super) hello: Hello,
    pub(super) succession: Pin<Box<dyn Future<Output = Succeeded>>>,
}

impl From<Joined> for Guest {
    fn from(joined: Joined) -> Self {
        let Joined { handle, hello, succession } = joined;
        Self { handle, hello, succession: Box::pin(succession.wait()) }
    }
}

impl From<Place> for Seat {
    fn from(place: Place) -> Self {
        match place {
            Place::Owner(running) => Self::Owner(running),
            Place::Guest(joined) => Self::Guest(joined.into()),
        }
    }
}

/// How long a process that holds the profile's lock may take until it can be joined, and how often
/// it is tried.
const ENTRY_WAIT: Duration = Duration::from_secs(2);
const ENTRY_STEP: Duration = Duration::from_millis(5);

/// Starts the node of this profile. Who sends something just now, and so has the port, is waited
/// for; beside another node or a listener there is no room.
pub(super) async fn be_the_node(start: &Start, style: Style) -> Result<Running, CliError> {
    let mut patience = ENTRY_WAIT;
    loop {
        let joined = control::join(&start.paths, false).await.map_err(StartError::Join)?;
        let Some(Joined { hello, succession, handle }) = joined else {
            match start_or_wait(start, &mut patience).await? {
                Some(running) => return Ok(running),
                None => continue,
            }
        };
        let Hello { pid, port, brief, .. } = hello;
        if !brief {
            let message =
                format!("a node of this profile runs already: process {pid} has port {port}");
            return Err(CliError::new(Exit::CannotListen, message).hint(format_args!(
                "`feige listen` shows what it hears, `feige node stop` ends it; or {BESIDE}"
            )));
        }
        style.say(&format!("process {pid} has port {port} until its work is done; waiting for it"));
        drop(handle);
        succession.wait().await;
    }
}

/// Joins the node of this profile if one runs, else starts one.
pub(super) async fn enter(start: &Start, role: Role) -> Result<Seat, CliError> {
    let lasting = role == Role::Lasting;
    let mut patience = ENTRY_WAIT;
    loop {
        let joined = control::join(&start.paths, lasting).await.map_err(StartError::Join)?;
        if let Some(joined) = joined {
            return Ok(Seat::Guest(joined.into()));
        }
        if let Some(running) = start_or_wait(start, &mut patience).await? {
            return Ok(Seat::Owner(running));
        }
    }
}

/// Starts a node; none, after a moment of this patience, if another process has the lock but no
/// control socket: it is just starting or just ending.
async fn start_or_wait(
    start: &Start,
    patience: &mut Duration,
) -> Result<Option<Running>, CliError> {
    match io::start(start.clone()).await {
        Ok(running) => Ok(Some(running)),
        Err(StartError::AlreadyRunning { .. }) if !patience.is_zero() => {
            sleep(ENTRY_STEP).await;
            *patience = patience.saturating_sub(ENTRY_STEP);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

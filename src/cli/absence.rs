//! Being away and back: told to the node that runs, else left in the store for the next one.

use std::time::Duration;

use tokio::time::sleep;

use super::Globals;
use super::client::Client;
use super::error::{CliError, Exit};
use super::output::Printer;
use crate::io::{self, StartError};
use crate::node::Request;
use crate::store::Paths;

/// How long another command may hold the profile without a node that can be asked: it is just
/// starting or just ending.
const WAIT: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(20);

/// Says what is replied from now on; none: the user is here.
pub(super) async fn set(
    globals: &Globals,
    paths: &Paths,
    away: Option<String>,
) -> Result<Exit, CliError> {
    let style = Printer::new(globals).style();
    let mut waited = Duration::ZERO;
    loop {
        if let Some(mut client) = Client::join(globals).await? {
            client
                .request(away.clone().map_or(Request::Back, |text| Request::Away { text }))
                .await?;
            style.say(match away {
                Some(_) => "away; `feige back` ends it",
                None => "back",
            });
            return Ok(Exit::Done);
        }
        if globals.no_store {
            return Err(CliError::usage(
                "no node runs, and --no-store leaves nothing for the next",
            ));
        }
        match io::keep_absence(paths, away.clone()) {
            Ok(()) => break,
            Err(StartError::AlreadyRunning { .. }) if waited < WAIT => {
                sleep(STEP).await;
                waited += STEP;
            }
            Err(error) => return Err(error.into()),
        }
    }
    style.say(match away {
        Some(_) => "no node runs: the next one is away; `feige back` ends it",
        None => "no node runs: the next one is here",
    });
    Ok(Exit::Done)
}

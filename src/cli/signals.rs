//! Ctrl-C and SIGTERM: the first one ends a command in order, the second one at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::{CliError, Exit};

/// Waits for signals that end the program.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on signals come here. Needs a runtime.
    pub(super) fn new() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                CliError::new(Exit::CannotListen, "cannot listen to signals").because(&error)
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next signal, as the exit code it asks for. A terminal that went away is like SIGTERM:
    /// there is nobody left to press Ctrl-C.
    pub(super) async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
            _ = self.hangup.recv() => Exit::Terminated,
        }
    }
}

//! Ctrl-C and SIGTERM: the first one ends a command in order, the second one at once.
//!
//! Whoever started us with hang-ups or interrupts ignored (`nohup`, `&` in a script) meant it so; these
//! are left ignored.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::{CliError, Exit};

/// Waits for signals that end the program.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Option<Signal>,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// From now on signals come here. Needs a runtime.
    pub(super) fn new() -> Result<Self, CliError> {
        // Before there are handlers, which would show as not ignored.
        let ignored = Ignored::inherited();
        let listen = |kind| {
            signal(kind).map_err(|error| {
                CliError::new(Exit::CannotListen, "cannot listen to signals").because(&error)
            })
        };
        let unless_ignored = |kind| (!ignored.has(kind)).then(|| listen(kind)).transpose();
        Ok(Self {
            interrupt: unless_ignored(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: unless_ignored(SignalKind::hangup())?,
        })
    }

    /// The next signal, as the exit code it asks for. A terminal that went away is like SIGTERM:
    /// there is nobody left to press Ctrl-C.
    pub(super) async fn next(&mut self) -> Exit {
        tokio::select! {
            () = received(&mut self.interrupt) => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
            () = received(&mut self.hangup) => Exit::Terminated,
        }
    }
}

/// One that is not listened for never comes.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// The signals that this process ignores, signal N as bit N-1 (proc(5), `SigIgn`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Ignored(u64);

impl Ignored {
    /// As the process was started; where the system has no `/proc`, none.
    fn inherited() -> Self {
        std::fs::read_to_string("/proc/self/status")
            .map(|status| Self::read(&status))
            .unwrap_or_default()
    }

    fn read(status: &str) -> Self {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        Self(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default())
    }

    fn has(self, kind: SignalKind) -> bool {
        let bit = u32::try_from(kind.as_raw_value() - 1).ok().and_then(|bit| 1u64.checked_shl(bit));
        bit.is_some_and(|bit| self.0 & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_status_of_the_process() {
        let ignored = Ignored::read("Name:\tfeige\nSigBlk:\t0\nSigIgn:\t0000000000001003\n");
        assert_eq!(ignored, Ignored(0x1003));
        assert!(ignored.has(SignalKind::hangup()) && ignored.has(SignalKind::interrupt()));
        assert!(!ignored.has(SignalKind::terminate()) && !ignored.has(SignalKind::quit()));
        assert_eq!(Ignored::read("Name:\tfeige\n"), Ignored(0));
    }
}

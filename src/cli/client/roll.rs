//! Who is there: asked of the LAN, with the time that answers take.

use std::time::Duration;

use tokio::time::sleep;

use super::{Client, gone};
use crate::cli::error::CliError;
use crate::io::Gone;
use crate::node::{PeerId, PeerView, Policy, Reply, Request, Status};

impl Client {
    /// Whether everybody who is there has had the time to answer the node: not if it just started,
    /// here or in another terminal.
    pub(in crate::cli) async fn has_met_all(&mut self) -> Result<bool, CliError> {
        if self.is_owner() {
            return Ok(false);
        }
        let status = self.status().await?;
        Ok(age(&status) >= window(status.peers))
    }

    /// Who is there. Asks the LAN if `wait` is given and waits that long; else if the node has not done
    /// so just now, and waits as long as answers of that many peers are spread. Where everybody has had
    /// that time there is nothing to wait for.
    pub(in crate::cli) async fn roll_call(
        &mut self,
        wait: Option<Duration>,
    ) -> Result<Vec<PeerView>, CliError> {
        self.roll_call_for(wait, &[]).await
    }

    /// As [`Client::roll_call`], but only until all of these are here, if there are some.
    pub(in crate::cli) async fn roll_call_for(
        &mut self,
        wait: Option<Duration>,
        expected: &[PeerId],
    ) -> Result<Vec<PeerView>, CliError> {
        const STEP: Duration = Duration::from_millis(20);
        let all_here = |peers: &[PeerView]| {
            !expected.is_empty()
                && expected.iter().all(|id| peers.iter().any(|peer| peer.id == *id))
        };
        let mut node = None;
        let mut waited = Duration::ZERO;
        let mut until = Duration::ZERO;
        loop {
            // The first time, and where another node has taken the place of the one that was asked.
            if self.hello().map(|hello| hello.pid) != node {
                (waited, until) = self.ask_all(wait).await?;
                node = self.hello().map(|hello| hello.pid);
            }
            let left = until.saturating_sub(waited);
            let step = if expected.is_empty() { left } else { left.min(STEP) };
            if !step.is_zero() {
                sleep(step).await;
            }
            waited += step;
            let peers = self.peers().await?;
            if all_here(&peers) {
                return Ok(peers);
            }
            if waited < until || self.hello().map(|hello| hello.pid) != node {
                continue;
            }
            if wait.is_some() {
                return Ok(peers);
            }
            // Those who answer spread their answers by the number of peers they see.
            until = window(peers.len());
            if until <= waited {
                return Ok(peers);
            }
        }
    }

    /// Asks everybody, unless the node did so itself when it began: how long ago they were asked, and
    /// when they have had their time.
    async fn ask_all(&mut self, wait: Option<Duration>) -> Result<(Duration, Duration), CliError> {
        if wait.is_none() && !self.is_owner() {
            let status = self.status().await?;
            if !self.is_owner() {
                return Ok((age(&status), window(status.peers)));
            }
        }
        let Reply::RollCall { wait_ms } = self.request(Request::RollCall).await? else {
            return Err(gone(Gone::Vanished));
        };
        Ok((Duration::ZERO, wait.unwrap_or(Duration::from_millis(wait_ms))))
    }
}

/// How long ago the node announced itself; one that only hears is answered by nobody. A clock that was
/// set back makes it no younger.
fn age(status: &Status) -> Duration {
    if status.passive {
        return Duration::MAX;
    }
    let age = crate::io::wall_clock().0.saturating_sub(status.since.0);
    u64::try_from(age).map_or(Duration::MAX, Duration::from_millis)
}

/// How long answers to a roll call are spread where so many peers are.
fn window(peers: usize) -> Duration {
    let waits = Policy::default().roll_call_waits;
    let wait = waits.iter().find(|(below, _)| peers < *below).or(waits.last());
    wait.map_or(Duration::ZERO, |&(_, wait)| wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roll_call_waits_longer_where_more_peers_are() {
        let window = |peers| window(peers).as_millis();
        assert_eq!([0, 49, 50, 299, 300, 4096].map(window), [1200, 1200, 2200, 2200, 4300, 4300]);
    }
}

//! `feige refuse`: what was offered is not wanted.

use std::collections::BTreeSet;

use super::get::Which;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Feed;
use crate::cli::wish::Wish;
use crate::node::{Direction, Event, OfferId, OfferView, Request};

/// Refuse files that were offered to you, or stop fetching them
///
/// The sender is told when nothing of an offer is left.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige refuse 7
  feige refuse 7.2
  feige refuse --from 10.0.0.7")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    which: Which,
}

impl Args {
    pub(in crate::cli) fn check(&self) -> Result<(), CliError> {
        self.which.check()
    }

    pub(in crate::cli) fn wish() -> Wish<'static> {
        Wish { listens: true, ..Wish::default() }
    }

    pub(in crate::cli) async fn run(&self, client: &mut Client) -> Result<Exit, CliError> {
        let mut feed = Feed::new(client.style())?;
        let picks = self.which.picks(client).await?;
        let before = super::get::offers(client, Request::Offers).await?;
        let left = super::get::offers(client, Request::Refuse { picks }).await?;
        // What was open before and is not now ends in an event each.
        let mut refused = open(&before);
        for left in open(&left) {
            refused.remove(&left);
        }
        while !refused.is_empty() {
            let Some(stamped) = client.next_event().await? else { break };
            // Where nothing is kept nobody says again what was missed; it is refused all the same.
            if matches!(stamped.event, Event::Lagged { .. }) && !client.catch_up() {
                break;
            }
            if let Event::Transferred(end) = &stamped.event
                && end.direction == Direction::In
                && refused.remove(&(end.offer, end.item))
            {
                feed.human().know(&end.peer);
                feed.event(stamped.seq, stamped.at, &stamped.event).await?;
            }
        }
        feed.finish().await?;
        Ok(Exit::Done)
    }
}

/// The items that may still come, by their offer and their place in it.
fn open(offers: &[OfferView]) -> BTreeSet<(OfferId, u32)> {
    let ours = offers.iter().filter(|offer| offer.direction == Direction::In);
    let items = ours.flat_map(|offer| offer.items.iter().map(|item| (offer.offer, item)));
    items.filter(|(_, item)| is_open(item.state)).map(|(offer, item)| (offer, item.item)).collect()
}

const fn is_open(state: crate::node::ItemState) -> bool {
    use crate::node::ItemState::{Moving, Queued, Waiting};
    matches!(state, Waiting | Queued | Moving)
}

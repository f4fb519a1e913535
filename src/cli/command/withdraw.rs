//! `feige withdraw`: takes back what we offered.

use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::wish::Wish;
use crate::node::{Direction, OfferId, Pick, Reply, Request};

/// Take back files we offered; what is being fetched just now is broken off
///
/// OFFER is the short number that `feige send --file` and `feige files` tell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige withdraw 7
  feige withdraw 7 8 9")]
pub(in crate::cli) struct Args {
    /// Short number of the offer
    #[arg(value_name = "OFFER", required = true, value_parser = offer)]
    offers: Vec<u32>,
}

/// Reads the number of an offer of ours; one of its files alone cannot be taken back.
fn offer(text: &str) -> Result<u32, &'static str> {
    match text.parse() {
        Ok(Pick::Offer(OfferId(id), None)) => Ok(id),
        Ok(Pick::Offer(_, Some(_))) => Err("an offer is taken back whole: its number alone"),
        _ => Err("an offer of ours is a number as in `feige files`: 7"),
    }
}

impl Args {
    #[expect(clippy::unused_self, reason = "every command is asked so")]
    pub(in crate::cli) fn wish(&self) -> Wish<'_> {
        Wish::default()
    }

    pub(in crate::cli) async fn run(&self, client: &mut Client) -> Result<Exit, CliError> {
        let Reply::Offers { offers } = client.request(Request::Offers).await? else {
            return Err(CliError::new(Exit::Partly, "the node does not say what is on offer"));
        };
        // All or none: a slip in one number must not take the others back.
        for &id in &self.offers {
            let ours = |direction| {
                offers.iter().any(|o| o.offer == OfferId(id) && o.direction == direction)
            };
            if !ours(Direction::Out) {
                let error = CliError::new(Exit::Nobody, format_args!("no offer {id} of ours"));
                return Err(if ours(Direction::In) {
                    error.hint(format_args!("it was made to us: `feige refuse {id}` declines it"))
                } else {
                    error.hint("`feige files` lists what is on offer")
                });
            }
        }
        for &id in &self.offers {
            client.request(Request::Withdraw { offer: OfferId(id) }).await?;
        }
        Ok(Exit::Done)
    }
}

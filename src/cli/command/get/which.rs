//! Which offers a command is about.

use super::pictures::Wanted;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::pick;
use crate::node::{Direction, OfferView, Pick, Reply, Request};

/// Which offers.
#[derive(Debug, clap::Args)]
pub(in crate::cli::command) struct Which {
    /// Number of an offer, as in `feige files`: 7, or 7.2 for its second file
    #[arg(value_name = "OFFER")]
    offers: Vec<Wanted>,

    /// Every offer that waits
    #[arg(long)]
    all: bool,

    /// Every offer of WHO that waits
    #[arg(long, value_name = "WHO", value_parser = pick::readable)]
    from: Option<String>,
}

impl Which {
    /// Something must be meant.
    pub(in crate::cli::command) fn check(&self) -> Result<(), CliError> {
        if self.offers.is_empty() && !self.all && self.from.is_none() {
            return Err(CliError::usage("which offer?")
                .hint("`feige files` lists them; --all means every one"));
        }
        Ok(())
    }

    /// The pictures among them, by the digits of their digests, and whether there is something else.
    pub(super) fn pictures(&self) -> (Vec<&str>, bool) {
        let digits = self.offers.iter().filter_map(|wanted| match wanted {
            Wanted::Picture(digits) => Some(digits.as_str()),
            Wanted::Offer(_) => None,
        });
        let digits: Vec<_> = digits.collect();
        let others = digits.len() < self.offers.len() || self.all || self.from.is_some();
        (digits, others)
    }

    /// As the node understands it.
    pub(in crate::cli::command) async fn picks(
        &self,
        client: &mut Client,
    ) -> Result<Vec<Pick>, CliError> {
        let mut picks = Vec::new();
        for wanted in &self.offers {
            match wanted {
                Wanted::Offer(pick) => picks.push(pick.clone()),
                Wanted::Picture(digits) => {
                    return Err(CliError::usage(format_args!(
                        "p{digits} is a picture that is here already"
                    ))
                    .hint("`feige get` writes it as a file"));
                }
            }
        }
        if self.all {
            let listed = offers(client, Request::Offers).await?;
            let waits = |offer: &OfferView| offer.direction == Direction::In && !offer.shared;
            if picks.is_empty() && !listed.iter().any(waits) {
                let error = CliError::new(Exit::Nobody, "nothing is offered to you");
                let shared = listed.iter().any(|offer| offer.shared);
                return Err(if shared {
                    error.hint("what somebody shares is meant by its number in `feige files` alone")
                } else {
                    error
                });
            }
            picks.push(Pick::All);
        }
        if let Some(who) = &self.from {
            let offers: Vec<_> = offers(client, Request::Offers).await?;
            let waiting = offers.iter().filter(|offer| offer.direction == Direction::In);
            let peers: Vec<_> = waiting.clone().map(|offer| offer.peer.clone()).collect();
            let book = client.book().await?;
            let meant = waiting.filter(|offer| pick::admits(who, &offer.peer, &peers, &book));
            let before = picks.len();
            picks.extend(meant.map(|offer| Pick::Offer(offer.offer, None)));
            if picks.len() == before {
                let error = format!("no offer of {who} waits");
                return Err(
                    CliError::new(Exit::Nobody, error).hint("`feige files` lists what is on offer")
                );
            }
        }
        Ok(picks)
    }
}

/// The offers a request is answered with.
pub(in crate::cli::command) async fn offers(
    client: &mut Client,
    request: Request,
) -> Result<Vec<OfferView>, CliError> {
    match client.request(request).await? {
        Reply::Offers { offers } => Ok(offers),
        _ => Err(CliError::new(Exit::Partly, "the node does not say what is on offer")),
    }
}

//! `feige files`: what is on offer.

use comfy_table::{Table, presets};

use super::get::offers;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Feed, files};
use crate::cli::pick::{self, Rules};
use crate::cli::wish::Wish;
use crate::node::{Direction, Event, FilesOf, ItemKind, ItemState, ItemView, OfferView, Request};

/// List files that are on offer: those that wait for you, and your own
///
/// With --of the list of files that an iptux user shares with everybody.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige files
  feige files --json | jq -r '.items[].name'
  feige files --of 10.0.0.7")]
pub(in crate::cli) struct Args {
    /// What WHO shares with everybody (iptux)
    #[arg(long, value_name = "WHO", value_parser = pick::readable)]
    of: Option<String>,
}

impl Args {
    pub(in crate::cli) fn wish() -> Wish<'static> {
        Wish::default()
    }

    pub(in crate::cli) async fn run(&self, client: &mut Client) -> Result<Exit, CliError> {
        let mut feed = Feed::new(client.style())?;
        let request = match &self.of {
            Some(who) => Request::FilesOf(FilesOf { peer: self.peer(client, who).await? }),
            None => Request::Offers,
        };
        let listed = offers(client, request).await?;
        if feed.style().json {
            for offer in listed {
                let at = offer.made_at;
                feed.event(None, at, &Event::Offer(Box::new(offer))).await?;
            }
        } else if listed.is_empty() {
            feed.style().say("nothing is on offer");
        } else {
            for offer in &listed {
                feed.human().know(&offer.peer);
            }
            let labels: Vec<_> =
                listed.iter().map(|offer| feed.human().label(&offer.peer)).collect();
            let table = table(&listed, &labels);
            feed.line(table).await?;
        }
        feed.finish().await?;
        Ok(Exit::Done)
    }

    async fn peer(&self, client: &mut Client, who: &str) -> Result<crate::node::Target, CliError> {
        let peers = client.roll_call(None).await?;
        let rules = Rules { port: client.port(), every_match: false };
        let mut picked =
            pick::pick(&[who.to_owned()], &peers, &client.book().await?, rules)?.into_iter();
        match (picked.next(), picked.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(CliError::usage("one peer at a time: whose list?")),
        }
    }
}

/// One line for each item.
fn table(offers: &[OfferView], labels: &[String]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["OFFER", "WITH", "FILE", "SIZE", "STATE"]);
    for (offer, label) in offers.iter().zip(labels) {
        let who = match offer.direction {
            Direction::In => format!("from {label}"),
            Direction::Out => format!("to {label}"),
        };
        for item in &offer.items {
            let id = if offer.items.len() == 1 {
                offer.offer.to_string()
            } else {
                format!("{}.{}", offer.offer, item.item)
            };
            let size = match (item.kind, item.size) {
                (ItemKind::Folder, 0) => "?".to_owned(),
                (_, size) => files::bytes(size),
            };
            table.add_row([
                id,
                who.clone(),
                files::item_name(&item.name, item.kind),
                size,
                state(item),
            ]);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn state(item: &ItemView) -> String {
    match item.state {
        ItemState::Waiting if item.bytes > 0 => {
            format!("waiting, {} there", files::bytes(item.bytes))
        }
        ItemState::Waiting => "waiting".to_owned(),
        ItemState::Queued => "queued".to_owned(),
        ItemState::Moving => match item.bytes.saturating_mul(100).checked_div(item.size) {
            Some(percent) => format!("moving, {percent}%"),
            None => format!("moving, {}", files::bytes(item.bytes)),
        },
        ItemState::Done => "done".to_owned(),
        ItemState::Over => "over".to_owned(),
    }
}

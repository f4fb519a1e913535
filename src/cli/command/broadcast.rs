//! `feige broadcast`: one announcement to everybody on the subnet.

use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Feed;
use crate::cli::wish::Wish;
use crate::cli::{OwnGroup, text};
use crate::node::{Direction, Event, NoticeCode, PacketNo, Reply, Request};

/// Send one announcement to everybody on the subnet
///
/// One datagram for each link, without receipts: the protocol has none for broadcasts. `feige send
/// @all TEXT` asks each peer for a receipt instead.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige broadcast 'the file server restarts at noon'
  uptime | feige broadcast -")]
pub(in crate::cli) struct Args {
    /// The text; - or a pipe reads standard input
    #[arg(value_name = "TEXT")]
    words: Vec<String>,

    #[command(flatten)]
    own: OwnGroup,
}

impl Args {
    pub(in crate::cli) fn text(&self) -> Result<String, CliError> {
        text::read(&self.words)
    }

    pub(in crate::cli) fn wish(&self) -> Wish<'_> {
        Wish { listens: true, group: self.own.group.as_deref(), ..Wish::default() }
    }

    pub(in crate::cli) async fn run(
        &self,
        client: &mut Client,
        text: String,
    ) -> Result<Exit, CliError> {
        let mut feed = Feed::new(client.style())?;
        let Reply::Sent { number, links, .. } = client.request(Request::Broadcast { text }).await?
        else {
            return Err(CliError::new(Exit::Partly, "the node does not say whether it was sent"));
        };
        left(client, &mut feed, number).await?;
        if !feed.style().json {
            feed.line(format!("sent to everybody on {}", links.join(", "))).await?;
            feed.style().say(&heard_by(client).await?);
        }
        feed.finish().await?;
        Ok(Exit::Done)
    }
}

/// What can be said of who got it. A node that just started knows nobody, which says nothing.
async fn heard_by(client: &mut Client) -> Result<String, CliError> {
    let receipts = "broadcasts earn no receipts";
    if client.is_owner() {
        return Ok(receipts.to_owned());
    }
    Ok(match client.peers().await?.len() {
        1 => format!("1 peer is here to hear it; {receipts}"),
        peers => format!("{peers} peers are here to hear it; {receipts}"),
    })
}

/// Waits until the message is stored, which is when it leaves.
async fn left(client: &mut Client, feed: &mut Feed, number: PacketNo) -> Result<(), CliError> {
    while let Some(stamped) = client.next_event().await? {
        match &stamped.event {
            Event::Message(message)
                if message.number == number && message.direction == Direction::Out =>
            {
                if feed.style().json {
                    feed.event(stamped.seq, stamped.at, &stamped.event).await?;
                }
                return Ok(());
            }
            Event::Notice { code: NoticeCode::StoreFailed, text } => {
                return Err(CliError::new(Exit::Store, format_args!("not sent: {text}")));
            }
            _ => {}
        }
    }
    Err(CliError::new(Exit::Partly, "the node ended before the message was sent"))
}

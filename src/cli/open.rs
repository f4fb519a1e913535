//! Opening sealed messages: [`open`] shows one, [`Untold`] sees to it that a command does not leave
//! before their senders know.

use std::time::Duration;

use tokio::time::timeout;

use super::client::Client;
use super::error::{CliError, Exit};
use super::output::Feed;
use crate::node::{Event, MessageEvent, PacketNo, PeerId, Reply, Request, Told, UnixMillis};
use crate::term;

/// A message with its text.
pub(super) struct Opened {
    /// When it was received.
    pub(super) at: UnixMillis,
    /// The message.
    pub(super) message: Box<MessageEvent>,
    /// Its sender is being told.
    tells: bool,
}

/// Opens the message at this place of the event stream.
pub(super) async fn open(client: &mut Client, seq: u64) -> Result<Opened, CliError> {
    match client.request(Request::Open { seq }).await? {
        Reply::Opened { at, message, tells, .. } => Ok(Opened { at, message, tells }),
        _ => Err(CliError::new(Exit::Partly, "the node does not say whether it was opened")),
    }
}

/// Opens a message and prints it; waits until its sender knows where no other process sees to that.
pub(super) async fn show(client: &mut Client, seq: u64) -> Result<Exit, CliError> {
    let mut feed = Feed::new(client.style())?;
    let opened = open(client, seq).await?;
    let mut untold = Untold::default();
    untold.note(&opened);
    feed.event(Some(seq), opened.at, &Event::Message(opened.message)).await?;
    feed.finish().await?;
    untold.wait(client).await?;
    Ok(Exit::Done)
}

/// Senders that do not know yet that we opened their messages.
#[derive(Debug, Default)]
pub(super) struct Untold(Vec<(PeerId, PacketNo)>);

/// A node has given up telling by then: a read notice and its twelve repeats, 750 ms apart.
const PATIENCE: Duration = Duration::from_secs(11);

impl Untold {
    /// A message was opened.
    pub(super) fn note(&mut self, opened: &Opened) {
        if let Some(peer) = opened.message.peer.as_ref().filter(|_| opened.tells) {
            self.0.push((peer.id.clone(), opened.message.number));
        }
    }

    /// A sender may know by now; in words, if it was one of these.
    pub(super) fn hear(&mut self, event: &Event) -> Option<String> {
        let Event::Told { number, peer, told, tries } = event else { return None };
        let at = self.0.iter().position(|(id, of)| *id == peer.id && of == number)?;
        self.0.swap_remove(at);
        let nick = term::safe(&peer.nick);
        Some(match told {
            Told::Confirmed => format!("{nick} knows that you opened it"),
            Told::NotAsked => format!("{nick} was told that you opened it"),
            Told::NotConfirmed if *tries == 0 => {
                format!("{nick} did not come to hear that you opened it")
            }
            Told::NotConfirmed => {
                format!("{nick} did not confirm, in {tries} tries, that you opened it")
            }
        })
    }

    /// Waits until all of them know, or never will, and says so. Another process that runs the node
    /// needs no waiting for.
    pub(super) async fn wait(mut self, client: &mut Client) -> Result<(), CliError> {
        let heard = async {
            while client.is_owner() && !self.0.is_empty() {
                let Some(stamped) = client.next_event().await? else { break };
                if let Some(words) = self.hear(&stamped.event) {
                    client.style().say(&words);
                }
            }
            Ok(())
        };
        timeout(PATIENCE, heard).await.unwrap_or(Ok(()))
    }
}

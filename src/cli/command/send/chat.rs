//! `feige send --feiq-group`: a text in a group of FeiQ, which nobody confirms. Experimental.

use tokio::time::timeout;

use super::CONFIRMS;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Feed, group_label};
use crate::node::{Delivery, Event, GroupRef, NoticeCode, Reply, Request};
use crate::term;

/// Longest ID of a group, digits.
const ID_MAX: usize = 16;

/// Sends `text` to the group of this id or name.
pub(super) async fn send(client: &mut Client, group: &str, text: String) -> Result<Exit, CliError> {
    let mut feed = Feed::new(client.style())?;
    let group = find(client, group).await?;
    let request = Request::SendToGroup { group: group.id.clone(), text };
    let Reply::Sent { number, links, .. } = client.request(request).await? else {
        return Err(CliError::new(Exit::Partly, "the node does not say whether it was sent"));
    };
    // It leaves when it is on disk.
    let written = async {
        while let Some(stamped) = client.next_event().await? {
            match &stamped.event {
                Event::Message(message)
                    if message.number == number && message.delivery == Delivery::Group =>
                {
                    return Ok(Some(stamped));
                }
                Event::Notice { code: NoticeCode::StoreFailed, text } => {
                    return Err(CliError::new(Exit::Store, format_args!("not sent: {text}")));
                }
                _ => {}
            }
        }
        Ok(None)
    };
    let Some(stamped) = timeout(CONFIRMS, written).await.unwrap_or(Ok(None))? else {
        return Err(CliError::new(Exit::Partly, "the node does not say whether it was sent"));
    };
    if feed.style().json {
        feed.event(stamped.seq, stamped.at, &stamped.event).await?;
    } else {
        let links = term::safe(&links.join(", ")).into_owned();
        let line = format!("{}  sent through {links}; groups confirm nothing", group_label(&group));
        feed.line(line).await?;
        feed.style()
            .say("groups of FeiQ are experimental, and whoever is on the LAN can read them");
    }
    feed.finish().await?;
    Ok(Exit::Done)
}

/// A group by its id, or by its name among those heard.
async fn find(client: &mut Client, wanted: &str) -> Result<GroupRef, CliError> {
    let Reply::Groups { groups } = client.request(Request::Groups).await? else {
        return Err(CliError::new(Exit::Partly, "the node does not name its groups"));
    };
    let mut named = groups.iter().filter(|group| group.name.as_deref() == Some(wanted));
    if let (Some(one), None) = (named.next(), named.next()) {
        return Ok(GroupRef { id: one.id.clone(), name: one.name.clone() });
    }
    let is_id = (1..=ID_MAX).contains(&wanted.len())
        && wanted.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_id {
        let several = groups.iter().any(|group| group.name.as_deref() == Some(wanted));
        let words = if several {
            "several groups of FeiQ are called"
        } else {
            "no group of FeiQ was heard that is called"
        };
        return Err(CliError::new(Exit::Nobody, format_args!("{words} {wanted}")).hint(
            "`feige peers --feiq-groups` lists those heard; the ID of a group always does, 1 to 16 \
             hexadecimal digits",
        ));
    }
    let id = wanted.to_ascii_lowercase();
    let name = groups.iter().find(|group| group.id == id).and_then(|group| group.name.clone());
    Ok(GroupRef { id, name })
}

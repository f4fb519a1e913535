//! Whom `send --later` means: also those who are not here, if the store knows them.

use std::collections::BTreeSet;

use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::pick::{self, Book, NoPick, Rules};
use crate::node::{PeerId, PeerView, Target};
use crate::store::{Reader, StoreError};

/// Everybody that `whos` mean, and how those of them looked who are not here; or an error and nobody.
pub(super) async fn resolve(
    client: &mut Client,
    whos: &[String],
    every_match: bool,
) -> Result<(Vec<Target>, Vec<PeerView>), CliError> {
    let book = client.book().await?;
    let rules = Rules { port: client.port(), every_match };
    // A node that just started knows nobody yet; it meets addresses by itself.
    let by_name = whos.iter().any(|who| !pick::is_address(who));
    let here = if by_name { client.roll_call(None).await? } else { client.peers().await? };
    let mut known = known(client).await?;
    known.retain(|peer| !book.blocks(&peer.id));
    let targets = pick(whos, &here, &known, &book, rules)?;
    let is_meant = |peer: &PeerView| targets.contains(&Target::Peer(peer.id.clone()));
    known.retain(|peer| !here.iter().any(|other| other.id == peer.id) && is_meant(peer));
    Ok((targets, known))
}

/// Everybody who is remembered or of whom the store has messages, the one heard last first; nobody
/// where nothing was stored yet.
async fn known(client: &mut Client) -> Result<Vec<PeerView>, CliError> {
    let mut peers: Vec<PeerView> = client.seen().await?.into_iter().map(|seen| seen.peer).collect();
    let seen: BTreeSet<PeerId> = peers.iter().map(|peer| peer.id.clone()).collect();
    if !client.reads_store() {
        return Ok(peers);
    }
    let others = match Reader::open(client.paths()) {
        Err(StoreError::Missing { .. } | StoreError::Older { .. }) => Vec::new(),
        reader => reader?.correspondents()?,
    };
    peers.extend(others.into_iter().filter(|peer| !seen.contains(&peer.id)));
    Ok(peers)
}

/// As [`pick::pick`], each WHO first among those who are `here`, then among those who were. A group
/// has its absent members too; `@all` are those who are here.
fn pick(
    whos: &[String],
    here: &[PeerView],
    known: &[PeerView],
    book: &Book,
    rules: Rules,
) -> Result<Vec<Target>, NoPick> {
    let is_here = |gone: &PeerView| {
        let named = |peer: &&PeerView| peer.user == gone.user && peer.host == gone.host;
        here.iter().any(|peer| peer.id == gone.id || named(&peer))
    };
    let absent = known.iter().filter(|peer| !is_here(peer) && !is_address(peer));
    let all: Vec<PeerView> = here.iter().chain(absent).cloned().collect();
    let mut targets: Vec<Target> = Vec::new();
    for who in whos {
        let one = std::slice::from_ref(who);
        let found = if who.starts_with('@') && who != "@all" {
            pick::pick(one, &all, book, rules)
        } else {
            pick::pick(one, here, book, rules).or_else(|no| match no {
                NoPick::Nobody { .. } if who != "@all" => pick::pick(one, &all, book, rules),
                other => Err(other),
            })
        };
        for target in found? {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    Ok(targets)
}

/// One written to by its address, of whom nothing else is known.
fn is_address(peer: &PeerView) -> bool {
    peer.user.is_empty() && peer.host.is_empty()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const RULES: Rules = Rules { port: 2425, every_match: false };

    fn peer(nick: &str, group: &str, last: u8) -> PeerView {
        let addr = [10, 0, 0, last].into();
        PeerView {
            id: PeerId(Arc::from(format!("{nick}@pc"))),
            nick: nick.to_owned(),
            user: nick.to_owned(),
            host: "pc".to_owned(),
            group: group.to_owned(),
            addr,
            port: 2425,
            addrs: vec![(addr, 2425).into()],
            dialect: "ipmsg".to_owned(),
            charset: None,
            charset_sure: None,
            version: None,
            absent: false,
            fingerprint: None,
        }
    }

    fn picked(who: &str) -> Result<Vec<String>, NoPick> {
        let here = [peer("ann", "ops", 1), peer("carl", "", 2)];
        let known = vec![peer("bob", "ops", 3), peer("ann", "ops", 9), peer("carla", "", 4)];
        let targets = pick(&[who.to_owned()], &here, &known, &Book::default(), RULES)?;
        let name = |target: Target| match target {
            Target::Peer(id) => id.0.to_string(),
            Target::Addr(addr) => addr.to_string(),
        };
        Ok(targets.into_iter().map(name).collect())
    }

    #[test]
    fn those_who_are_here_come_first() {
        assert_eq!(picked("ann").unwrap(), ["ann@pc"]);
        assert_eq!(picked("car").unwrap(), ["carl@pc"]);
        assert_eq!(picked("bob").unwrap(), ["bob@pc"]);
        assert!(matches!(picked("dave"), Err(NoPick::Nobody { .. })));
    }

    #[test]
    fn a_group_has_its_absent_members_and_all_are_those_who_are_here() {
        assert_eq!(picked("@ops").unwrap(), ["ann@pc", "bob@pc"]);
        assert_eq!(picked("@all").unwrap(), ["ann@pc", "carl@pc"]);
    }

    #[test]
    fn an_address_is_whoever_is_there() {
        assert_eq!(picked("10.0.0.3").unwrap(), ["10.0.0.3:2425"]);
    }
}

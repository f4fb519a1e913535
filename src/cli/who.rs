//! Whom the user means: the address book, who is here and who was, and WHO resolved with them.

use super::client::Client;
use super::error::CliError;
use super::output::Feed;
use super::pick::{self, Book, NoPick, Rules};
use crate::node::{PeerId, PeerView, Reply, Request, SeenPeer, Target};
use crate::store::{Paths, Reader, StoreError};

impl Client {
    /// Own names and blocks.
    pub(super) async fn book(&mut self) -> Result<Book, CliError> {
        Ok(match self.request(Request::Book).await? {
            Reply::Book { aliases, blocks } => Book { aliases, blocks },
            _ => Book::default(),
        })
    }

    /// A feed that shows own names.
    pub(super) async fn feed(&mut self) -> Result<Feed, CliError> {
        let mut feed = Feed::new(self.style())?;
        if !self.style().json {
            feed.human().use_book(self.book().await?);
        }
        Ok(feed)
    }

    /// Peers that are remembered, the one heard last first: by the store, and by the node, which
    /// writes some seconds later.
    pub(super) async fn seen(&mut self) -> Result<Vec<SeenPeer>, CliError> {
        let lately = match self.request(Request::Seen).await? {
            Reply::Seen { seen } => seen,
            _ => Vec::new(),
        };
        let mut all = if self.reads_store() { seen(self.paths())? } else { Vec::new() };
        all.retain(|one| !lately.iter().any(|other| other.peer.id == one.peer.id));
        all.extend(lately);
        all.sort_by_key(|seen| std::cmp::Reverse(seen.at));
        Ok(all)
    }

    /// Everybody that `whos` mean, or an error and nobody. A node that just started asks the LAN
    /// first; where the store knows exactly one for each name, only until those have answered.
    pub(super) async fn resolve(
        &mut self,
        whos: &[String],
        every_match: bool,
    ) -> Result<Vec<Target>, CliError> {
        let book = self.book().await?;
        let rules = Rules { port: self.port(), every_match };
        let fixed = |who: &String| {
            pick::is_address(who) || matches!(book.target(who), Some(Target::Addr(_)))
        };
        if whos.iter().all(fixed) || self.has_met_all().await? {
            let peers = self.peers().await?;
            return self.picked(pick::pick(whos, &peers, &book, rules), &peers).await;
        }
        let single = whos.iter().all(|who| pick::is_one(who));
        if !self.is_owner() && single {
            let met = pick::pick(whos, &self.peers().await?, &book, rules);
            if let Ok(targets) = met {
                return Ok(targets);
            }
        }
        let known = if single {
            let views: Vec<_> = self.seen().await?.into_iter().map(|seen| seen.peer).collect();
            pick::pick(whos, &views, &book, rules).unwrap_or_default()
        } else {
            Vec::new()
        };
        let wanted = ids(&known);
        let peers = self.roll_call_for(None, &wanted).await?;
        if !wanted.is_empty() && wanted.iter().all(|id| is_here(id, &peers)) {
            return Ok(known);
        }
        self.picked(pick::pick(whos, &peers, &book, rules), &peers).await
    }

    /// Who was picked of `peers`; where there are none, the reason may be that no link is up.
    async fn picked(
        &mut self,
        picked: Result<Vec<Target>, NoPick>,
        peers: &[PeerView],
    ) -> Result<Vec<Target>, CliError> {
        if matches!(picked, Err(NoPick::Nobody { .. })) && peers.is_empty() {
            self.needs_a_link().await?;
        }
        Ok(picked?)
    }
}

/// Peers that the store remembers, the one heard last first; none where nothing was stored yet.
pub(super) fn seen(paths: &Paths) -> Result<Vec<SeenPeer>, CliError> {
    match Reader::open(paths) {
        // An older store is brought up to date by whoever writes it next.
        Err(StoreError::Missing { .. } | StoreError::Older { .. }) => Ok(Vec::new()),
        reader => Ok(reader?.seen()?),
    }
}

fn ids(targets: &[Target]) -> Vec<PeerId> {
    let id = |target: &Target| match target {
        Target::Peer(id) => Some(id.clone()),
        Target::Addr(_) => None,
    };
    targets.iter().filter_map(id).collect()
}

fn is_here(id: &PeerId, peers: &[PeerView]) -> bool {
    peers.iter().any(|peer| peer.id == *id)
}

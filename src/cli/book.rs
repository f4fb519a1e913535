//! The address book as commands change it: through the node that runs, so that it takes effect at
//! once, or in the store where none does.

use super::Globals;
use super::client::{Client, unexpected};
use super::error::CliError;
use super::pick::{self, Book, NoPick, Rules};
use super::who;
use crate::io;
use crate::node::{BookRecord, PeerView, Reply, Request, Target};
use crate::store::{Paths, Reader, StoreError, process_env};

/// The book, open to be read and changed.
pub(super) struct Keeper {
    /// The node that runs, if one does.
    client: Option<Client>,
    paths: Paths,
    book: Book,
    /// Everybody who is here or was.
    people: Vec<PeerView>,
    /// How many of them, from the first, are here.
    here: usize,
}

impl Keeper {
    /// Joins the node that runs, or opens the store.
    pub(super) async fn open(globals: &Globals) -> Result<Self, CliError> {
        if globals.no_store {
            return Err(CliError::usage(
                "an address book needs the store, which --no-store leaves alone",
            ));
        }
        let paths = Paths::of(globals.profile.as_deref(), &process_env)?;
        let client = if globals.alone { None } else { Client::join(globals).await? };
        Self::with(client, paths).await
    }

    /// The book of a node, which may be in this process.
    async fn with(mut client: Option<Client>, paths: Paths) -> Result<Self, CliError> {
        let (book, mut people) = match &mut client {
            Some(client) => (client.book().await?, client.peers().await?),
            None => (stored(&paths)?, Vec::new()),
        };
        let here = people.len();
        let seen = match &mut client {
            Some(client) => client.seen().await?,
            None => who::seen(&paths)?,
        };
        for seen in seen {
            if !people.iter().any(|peer| peer.id == seen.peer.id) {
                people.push(seen.peer);
            }
        }
        Ok(Self { client, paths, book, people, here })
    }

    /// Own names and blocks.
    pub(super) const fn book(&self) -> &Book {
        &self.book
    }

    /// Somebody who is here or was, or is blocked.
    pub(super) fn find(&self, target: &Target) -> Option<&PeerView> {
        let mut known = self.people.iter().chain(&self.book.blocks);
        known.find(|peer| match target {
            Target::Peer(id) => peer.id == *id,
            Target::Addr(addr) => peer.addrs.contains(addr),
        })
    }

    /// Whom one WHO means: somebody here first, then somebody who was. None where only the LAN can
    /// tell, because no node runs.
    pub(super) fn pick(&self, who: &str, port: u16) -> Result<Option<Target>, CliError> {
        let rules = Rules { port, every_match: false };
        let whos = [who.to_owned()];
        let pick = |people: &[PeerView]| pick::pick(&whos, people, &self.book, rules);
        let found = match pick(&self.people[..self.here]) {
            Err(NoPick::Nobody { .. }) => pick(&self.people),
            found => found,
        };
        match found {
            Err(NoPick::Nobody { .. }) if self.client.is_none() => Ok(None),
            Err(no) => Err(no.into()),
            Ok(targets) => match <[Target; 1]>::try_from(targets) {
                Ok([one]) => Ok(Some(one)),
                Err(_) => Err(CliError::usage(format_args!("{who} is not one peer"))),
            },
        }
    }

    /// The node that runs, if one does.
    pub(super) const fn client(&mut self) -> Option<&mut Client> {
        self.client.as_mut()
    }

    /// Where the files of the profile are.
    pub(super) const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Keeps a change; it is in effect when this returns.
    pub(super) async fn change(&mut self, change: BookRecord) -> Result<(), CliError> {
        match &mut self.client {
            Some(client) => change_by(client, change).await,
            None => Ok(io::keep_book(&self.paths, change)?),
        }
    }
}

/// Changes the book of a node.
pub(super) async fn change_by(client: &mut Client, change: BookRecord) -> Result<(), CliError> {
    let request = match change {
        BookRecord::Named(alias) => Request::SetAlias { alias },
        BookRecord::Unnamed { name } => Request::RemoveAlias { name },
        BookRecord::Blocked(peer) => Request::Block { peer },
        BookRecord::Unblocked { peer } => Request::Unblock { peer },
    };
    match client.request(request).await? {
        Reply::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn stored(paths: &Paths) -> Result<Book, CliError> {
    match Reader::open(paths) {
        Err(StoreError::Missing { .. } | StoreError::Older { .. }) => Ok(Book::default()),
        reader => {
            let (aliases, blocks) = reader?.book()?;
            Ok(Book { aliases, blocks })
        }
    }
}

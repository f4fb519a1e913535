//! The user's address book: own names for peers, and whom we are deaf to.
//!
//! A block is bound to an identity, so it holds at every address. What comes from a blocked peer is
//! counted and has no other effect: no event, no receipt, no answer, nothing stored. A change takes
//! effect when it is on disk, and only then is it said to be done.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Parts;
use super::api::{Alias, DownReason, NoticeCode, PeerId, PeerView, Refusal, Reply, Target};
use super::effect::{BookRecord, Record};
use super::input::{RequestId, SaveId, SaveResult};
use super::outbox::Sending;
use super::peer::{Sighting, same_skeleton};
use super::roster::Roster;
use super::turn::Turn;
use super::unicasts::Job;

/// Own names and blocks, and the changes on their way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Book {
    aliases: BTreeMap<String, Target>,
    blocks: BTreeMap<PeerId, Blocked>,
    saving: BTreeMap<SaveId, (RequestId, BookRecord)>,
}

/// Somebody we are deaf to.
#[derive(Debug)]
struct Blocked {
    /// As it was when it was blocked.
    view: PeerView,
    /// Addresses its packets came from, the latest first.
    places: Vec<SocketAddr>,
}

/// Most own names, and most blocks.
const ENTRIES_MAX: usize = 4_096;
/// Addresses remembered of a blocked peer.
const PLACES_MAX: usize = 8;

impl Book {
    /// What the store knows from before.
    pub(crate) fn remember(&mut self, aliases: Vec<Alias>, blocks: Vec<PeerView>) {
        self.aliases.extend(aliases.into_iter().map(|alias| (alias.name, alias.target)));
        for view in blocks {
            self.block(view);
        }
    }

    /// Own names and blocks, each in order.
    pub(crate) fn view(&self) -> Reply {
        let alias = |(name, target): (&String, &Target)| Alias {
            name: name.clone(),
            target: target.clone(),
        };
        Reply::Book {
            aliases: self.aliases.iter().map(alias).collect(),
            blocks: self.blocks.values().map(|blocked| blocked.view.clone()).collect(),
        }
    }

    /// Whether a packet is from somebody we are deaf to.
    pub(crate) fn is_deaf_to(&mut self, roster: &Roster, seen: &Sighting<'_>) -> bool {
        if self.blocks.is_empty() {
            return false;
        }
        // Somebody else of the same names is known at this address.
        let known = roster.at(seen.from).and_then(|no| roster.get(no));
        if known.is_some_and(|peer| peer.is(seen) && !self.blocks.contains_key(&peer.id)) {
            return false;
        }
        let key = seen.key();
        let Some(blocked) = self.blocks.values_mut().find(|blocked| blocked.sent(seen, &key))
        else {
            return false;
        };
        blocked.note_place(seen.from);
        true
    }

    /// Somebody we are deaf to, by identity.
    pub(crate) fn blocked(&self, id: &PeerId) -> Option<&PeerView> {
        self.blocks.get(id).map(|blocked| &blocked.view)
    }

    /// Somebody we are deaf to, at one of its addresses where nobody else is known to be.
    pub(crate) fn blocked_at(&self, roster: &Roster, addr: SocketAddr) -> Option<&PeerView> {
        if self.blocks.is_empty() || roster.at(addr).is_some() {
            return None;
        }
        let mut all = self.blocks.values();
        all.find(|blocked| blocked.places.contains(&addr)).map(|blocked| &blocked.view)
    }

    /// Whose block holds a message back.
    pub(crate) fn holds(&self, roster: &Roster, sending: &Sending) -> Option<&PeerView> {
        self.blocked(&sending.view.id).or_else(|| self.blocked_at(roster, sending.addr?))
    }

    fn block(&mut self, view: PeerView) {
        let mut places = view.addrs.clone();
        places.truncate(PLACES_MAX);
        self.blocks.insert(view.id.clone(), Blocked { view, places });
    }

    fn refusal_of(&self, change: &BookRecord) -> Option<Refusal> {
        let full = |len: usize| (len >= ENTRIES_MAX).then_some(Refusal::BookFull);
        match change {
            BookRecord::Named(alias) if !Alias::is_name(&alias.name) => {
                Some(Refusal::BadAlias { name: alias.name.clone() })
            }
            BookRecord::Named(alias) if self.aliases.contains_key(&alias.name) => None,
            BookRecord::Named(_) => full(self.aliases.len()),
            BookRecord::Unnamed { name } => (!self.aliases.contains_key(name))
                .then(|| Refusal::UnknownAlias { name: name.clone() }),
            BookRecord::Blocked(view) if self.blocks.contains_key(&view.id) => None,
            BookRecord::Blocked(_) => full(self.blocks.len()),
            BookRecord::Unblocked { peer } => (!self.blocks.contains_key(peer))
                .then(|| Refusal::NotBlocked { peer: peer.clone() }),
        }
    }
}

impl Blocked {
    /// Whether a packet with this key is from this peer. Names outside entries may be damaged or
    /// read in another charset; from an address of its own what is left of them is enough.
    fn sent(&self, seen: &Sighting<'_>, key: &str) -> bool {
        let here = self.places.contains(&seen.from);
        match self.view.id.0.split_once('!') {
            // One of several who share these names: only where it is known to be.
            Some((shared, _)) => {
                *shared == *key && self.places.iter().any(|place| place.ip() == seen.from.ip())
            }
            None if *self.view.id.0 == *key => true,
            None => {
                let (names, mac) = split_mac(key);
                let (own, own_mac) = split_mac(&self.view.id.0);
                here && mac == own_mac && same_skeleton(own, names)
            }
        }
    }

    fn note_place(&mut self, from: SocketAddr) {
        if self.places.first() == Some(&from) {
            return;
        }
        self.places.retain(|place| *place != from);
        self.places.insert(0, from);
        self.places.truncate(PLACES_MAX);
    }
}

/// `user@host`, and the 12 hex digits after it; empty where there are none.
fn split_mac(key: &str) -> (&str, &str) {
    key.split_once('#').unwrap_or((key, ""))
}

impl Parts {
    /// Changes the book: kept first, then done and answered.
    pub(crate) fn change_book(&mut self, turn: &mut Turn<'_>, id: RequestId, change: BookRecord) {
        let change = match change {
            // The roster knows it better than whoever asks.
            BookRecord::Blocked(view) => {
                BookRecord::Blocked(self.roster.view(&view.id).map_or(view, Box::new))
            }
            other => other,
        };
        let refusal = if turn.base.keeps {
            self.book.refusal_of(&change)
        } else {
            Some(Refusal::NotKept { reason: "this node keeps nothing (--no-store)".to_owned() })
        };
        if let Some(refusal) = refusal {
            return turn.reply(id, Reply::Refused(refusal));
        }
        let save = turn.save(Record::Book(change.clone()));
        self.book.saving.insert(save, (id, change));
    }

    /// A change came back from the store. Whether it was one of the book.
    pub(crate) fn book_saved(
        &mut self,
        turn: &mut Turn<'_>,
        id: SaveId,
        result: &SaveResult,
    ) -> bool {
        let Some((request, change)) = self.book.saving.remove(&id) else { return false };
        if let SaveResult::Failed(reason) | SaveResult::Refused(reason) = result {
            let refusal = Refusal::NotKept { reason: reason.clone() };
            turn.reply(request, Reply::Refused(refusal));
            return true;
        }
        turn.reply(request, Reply::Done);
        let text = self.apply(turn, change);
        turn.notice(NoticeCode::Book, text);
        true
    }

    /// Does a change that is on disk, and says what it was.
    fn apply(&mut self, turn: &mut Turn<'_>, change: BookRecord) -> String {
        match change {
            BookRecord::Named(Alias { name, target }) => {
                let whom = match &target {
                    Target::Peer(id) => self.called(id),
                    Target::Addr(addr) => addr.to_string(),
                };
                let text = format!("{name} stands for {whom}");
                self.book.aliases.insert(name, target);
                text
            }
            BookRecord::Unnamed { name } => {
                self.book.aliases.remove(&name);
                format!("{name} stands for nobody any more")
            }
            BookRecord::Blocked(view) => {
                let text = format!("{} is blocked: nothing of it is heard", view.nick);
                if let Some(no) = self.roster.find(&view.id) {
                    self.roster.remove(turn, no, DownReason::Blocked);
                }
                self.book.block(*view);
                self.hold_back(turn);
                text
            }
            BookRecord::Unblocked { peer } => {
                let Some(blocked) = self.book.blocks.remove(&peer) else { return String::new() };
                let Self { presence, roster, links, .. } = self;
                for place in blocked.places {
                    presence.send(turn, roster, links, Job::Enter(place));
                }
                format!("{} is heard again", blocked.view.nick)
            }
        }
    }

    /// Sends nothing more to those who are blocked: their receipts are not heard. What is to be kept
    /// waits.
    fn hold_back(&mut self, turn: &mut Turn<'_>) {
        let Self { book, outbox, roster, .. } = self;
        let held = |sending: &Sending| !sending.waits() && book.holds(roster, sending).is_some();
        let held: Vec<_> =
            outbox.iter().filter(|(_, sending)| held(sending)).map(|(no, _)| no).collect();
        for no in held {
            outbox.give_up(turn, roster, no);
        }
    }

    /// A nickname where there is one.
    fn called(&self, id: &PeerId) -> String {
        self.roster.view(id).map_or_else(|| id.0.to_string(), |view| view.nick)
    }
}

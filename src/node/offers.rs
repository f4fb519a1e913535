//! Files that others offer to us: what lies on the table, what is being fetched, and what may be
//! (threats, rules 19 and 20).
//!
//! An offer is bound to the peer that made it and to the address it came from: it is fetched from
//! there and nowhere else. Nothing is fetched before the user, or a rule of the user, says so.

mod fetching;
mod rules;
mod shared;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Parts;
use super::api::files::{Get, ItemKind, ItemState, ItemView, OfferId, OfferView, Pick};
use super::api::pictures::PictureFacts;
use super::api::{Direction, Event, NoticeCode, PeerId, PeerView, Refusal, Reply};
use super::effect::{Record, ToldRecord};
use super::fetch::FetchId;
use super::input::{RequestId, SaveId, SaveResult};
use super::peer::Sighting;
use super::turn::{Base, Turn};
use crate::wire::attach::{CLIPBOARD, FOLDER, FileEntry};
use crate::wire::body::Message;
use crate::wire::command::message;
use crate::wire::dialect::IdBase;
use crate::wire::{Charset, PacketNo};

pub(crate) use fetching::FetchNote;
use fetching::Fetching;
pub use rules::{AcceptRule, AcceptWho};
use shared::Asked;

/// What others offer.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    open: BTreeMap<OfferId, OfferRecord>,
    /// Offers whose messages are on their way to the disk.
    pending: BTreeMap<SaveId, OfferRecord>,
    fetches: BTreeMap<FetchId, Fetching>,
    /// Accepted, not begun.
    queue: VecDeque<FetchId>,
    last_fetch: u64,
    /// The base in which a peer understood ids, where it is not that of its dialect.
    bases: BTreeMap<PeerId, IdBase>,
    /// Lists of shared files that were asked for.
    asked: BTreeMap<SocketAddr, Asked>,
    rules: Vec<AcceptRule>,
}

/// An offer to us as it is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OfferRecord {
    /// As faces see it. Items are [`ItemState::Waiting`], `Done` or `Over` here.
    pub view: OfferView,
    /// Where it came from; its files are fetched from there alone.
    pub from: SocketAddr,
    /// Its message was marked as UTF-8, and so is the request.
    pub utf8: bool,
    /// Charset of its names.
    pub charset: Charset,
    /// Option bits of its items, in their order.
    pub attrs: Vec<u32>,
    /// Where items, by their place from 0, were last fetched to if not into the download folder of
    /// the settings: what broke off lies there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub folders: BTreeMap<usize, PathBuf>,
}

impl OfferRecord {
    fn new(turn: &Turn<'_>, peer: PeerView, seen: &Sighting<'_>, body: &Message) -> Self {
        let view = OfferView {
            offer: OfferId::default(),
            direction: Direction::In,
            made_at: turn.now.wall,
            ends_at: None,
            peer,
            number: seen.packet.number,
            shared: seen.packet.options.contains(message::IPTUX_SHARED),
            items: (1..).zip(&body.files.files).map(|(item, file)| view(item, file)).collect(),
        };
        Self {
            view,
            from: seen.from,
            utf8: seen.packet.options.contains(message::UTF8),
            charset: body.charset.charset,
            attrs: body.files.files.iter().map(|file| file.attr).collect(),
            folders: BTreeMap::new(),
        }
    }

    fn item(&self, index: usize) -> Option<&ItemView> {
        self.view.items.get(index)
    }

    fn set(&mut self, index: usize, state: ItemState) {
        if let Some(item) = self.view.items.get_mut(index) {
            item.state = state;
        }
    }

    /// Whether every item is complete or over.
    fn is_settled(&self) -> bool {
        self.view.items.iter().all(|item| matches!(item.state, ItemState::Done | ItemState::Over))
    }

    /// Nothing of it was ever asked for.
    fn is_untouched(&self) -> bool {
        self.view.items.iter().all(|item| item.state == ItemState::Waiting)
    }

    /// As it is kept: what moves now would wait after a restart.
    fn kept(&self) -> Self {
        let mut kept = self.clone();
        for item in &mut kept.view.items {
            if matches!(item.state, ItemState::Moving | ItemState::Queued) {
                item.state = ItemState::Waiting;
            }
        }
        kept
    }
}

fn view(item: u32, file: &FileEntry) -> ItemView {
    ItemView {
        item,
        file: file.id,
        name: file.name.clone(),
        kind: match file.kind() {
            FOLDER => ItemKind::Folder,
            CLIPBOARD => ItemKind::Picture,
            _ => ItemKind::File,
        },
        size: file.size,
        mtime: file.mtime,
        state: ItemState::Waiting,
        bytes: 0,
        path: None,
    }
}

/// Where an item is: its offer, and its place there from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    offer: OfferId,
    index: usize,
}

impl Offers {
    /// With the rules of the settings.
    pub(crate) fn new(rules: Vec<AcceptRule>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// What the store, or the process before this one, knows of offers.
    pub(crate) fn remember(&mut self, base: &mut Base, offers: Vec<OfferRecord>) {
        for offer in offers {
            let id = offer.view.offer;
            base.last_offer = base.last_offer.max(id);
            self.open.entry(id).or_insert(offer);
        }
    }

    /// For the process after this one.
    pub(crate) fn records(&self) -> Vec<OfferRecord> {
        self.open.values().map(OfferRecord::kept).collect()
    }

    /// As faces see them: what moves and was refused is over, though its end is not told yet.
    pub(crate) fn views(&self) -> Vec<OfferView> {
        let mut views: BTreeMap<_, _> =
            self.open.iter().map(|(&id, offer)| (id, offer.view.clone())).collect();
        for place in self.refused() {
            let view = views.get_mut(&place.offer);
            if let Some(item) = view.and_then(|view| view.items.get_mut(place.index)) {
                item.state = ItemState::Over;
            }
        }
        views.into_values().collect()
    }

    /// Whether this message made an offer already that is still open.
    fn has(&self, peer: &PeerId, number: PacketNo) -> bool {
        let open = self.open.values().chain(self.pending.values());
        let mut open = open.filter(|offer| !offer.view.shared);
        open.any(|offer| offer.view.number == number && offer.view.peer.id == *peer)
    }

    /// The items named that are offers to us.
    fn places(&self, picks: &[Pick]) -> Vec<Place> {
        let mut places: Vec<Place> = picks.iter().flat_map(|pick| self.named(pick)).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    fn named(&self, pick: &Pick) -> Vec<Place> {
        let named = |offer: &OfferRecord, index: usize, item: &ItemView| match pick {
            Pick::All => true,
            Pick::From(peer) => offer.view.peer.id == *peer,
            Pick::Offer(id, place) => {
                let place = place.and_then(|place| usize::try_from(place).ok());
                offer.view.offer == *id && place.is_none_or(|place| place == index + 1)
            }
            Pick::Wire(addr, number, file) => {
                offer.from.ip() == *addr
                    && offer.view.number == *number
                    && file.is_none_or(|file| file == item.file)
            }
        };
        // A list on demand is no offer that waits for us: only who names it means it.
        let meant =
            |offer: &&OfferRecord| !offer.view.shared || !matches!(pick, Pick::All | Pick::From(_));
        let offers = self.open.values().filter(meant);
        offers
            .flat_map(|offer| {
                let items = offer.view.items.iter().enumerate();
                let items = items.filter(|(index, item)| named(offer, *index, item));
                items.map(|(index, _)| Place { offer: offer.view.offer, index })
            })
            .collect()
    }

    fn item(&self, place: Place) -> Option<(&OfferRecord, &ItemView)> {
        let offer = self.open.get(&place.offer)?;
        Some((offer, offer.item(place.index)?))
    }

    fn set(&mut self, place: Place, state: ItemState) {
        if let Some(offer) = self.open.get_mut(&place.offer) {
            offer.set(place.index, state);
        }
    }

    /// Makes room for one more offer of this peer, of so many files (threats, caps).
    fn make_room(&mut self, turn: &mut Turn<'_>, peer: &PeerId, files: usize) {
        let policy = &turn.base.policy;
        let (per_peer, in_all) = (policy.offers_per_peer_max, policy.offers_max);
        let files_max = policy.offers_files_max.saturating_sub(files);
        loop {
            let of_peer = self.open.values().filter(|offer| offer.view.peer.id == *peer).count();
            let crowded = of_peer >= per_peer;
            let files: usize = self.open.values().map(|offer| offer.view.items.len()).sum();
            if !crowded && self.open.len() < in_all && files <= files_max {
                return;
            }
            let oldest = self
                .open
                .values()
                .find(|offer| offer.is_untouched() && (!crowded || offer.view.peer.id == *peer));
            let Some(oldest) = oldest.map(|offer| offer.view.offer) else { return };
            if let Some(dropped) = self.open.remove(&oldest) {
                let text = format!(
                    "offer {oldest} of {} was dropped: too many wait, fetch or refuse some",
                    dropped.view.peer.nick
                );
                turn.notice(NoticeCode::OfferDropped, text);
                Self::forget(turn, &dropped);
            }
        }
    }

    /// An offer is there: told, kept, and fetched if a rule says so.
    fn add(&mut self, turn: &mut Turn<'_>, mut offer: OfferRecord) -> OfferId {
        self.make_room(turn, &offer.view.peer.id, offer.view.items.len());
        let id = turn.offer_id();
        offer.view.offer = id;
        if !offer.view.shared {
            if turn.base.keeps {
                turn.save(Record::Offer(Box::new(offer.clone())));
            }
            tell(turn, Event::Offer(Box::new(offer.view.clone())));
        }
        self.open.insert(id, offer);
        id
    }

    /// Writes down how an offer stands; it is forgotten when nothing of it is left.
    fn note(&mut self, turn: &mut Turn<'_>, id: OfferId) {
        let Some(offer) = self.open.get(&id) else { return };
        if !offer.is_settled() {
            if turn.base.keeps && !offer.view.shared {
                turn.save(Record::Offer(Box::new(offer.kept())));
            }
            return;
        }
        let Some(offer) = self.open.remove(&id) else { return };
        Self::forget(turn, &offer);
        if !offer.view.shared {
            // The sender need not keep it ready any longer (wire reference, 7).
            let number = turn.number();
            let bytes = turn.base.own.release(number, offer.view.number);
            turn.transmit(None, offer.from, bytes, None);
        }
    }

    fn forget(turn: &mut Turn<'_>, offer: &OfferRecord) {
        if turn.base.keeps && !offer.view.shared {
            turn.save(Record::OfferOver(offer.view.offer));
        }
    }

    /// What became of the message that made an offer. Whether it was one.
    pub(crate) fn saved(&mut self, turn: &mut Turn<'_>, id: SaveId, result: &SaveResult) {
        let Some(offer) = self.pending.remove(&id) else { return };
        if let SaveResult::Kept { .. } = result {
            self.offered(turn, offer);
        }
    }

    fn offered(&mut self, turn: &mut Turn<'_>, offer: OfferRecord) {
        let id = self.add(turn, offer);
        self.accept_by_rule(turn, id);
    }

    /// Whether a rule of the settings makes a file of a picture that came inside a message.
    pub(crate) fn accept_picture(
        &self,
        peer: &PeerView,
        from: SocketAddr,
        picture: &PictureFacts,
    ) -> bool {
        let mut rules = self.rules.iter().filter(|rule| rule.is_about(peer, from));
        rules.any(|rule| rule.accepts_picture(picture))
    }

    /// Fetches of a new offer what a rule of the settings accepts (threats, rule 19).
    fn accept_by_rule(&mut self, turn: &mut Turn<'_>, id: OfferId) {
        let Some(offer) = self.open.get(&id) else { return };
        let rules = self.rules.iter().filter(|rule| rule.is_about(&offer.view.peer, offer.from));
        let rules: Vec<_> = rules.collect();
        // By rules a folder has the cap of those that accept it, whatever it says of itself.
        let accepted = offer.view.items.iter().filter_map(|item| {
            let max = rules.iter().filter(|rule| rule.accepts(item)).map(|rule| rule.max).max();
            max.map(|max| (Pick::Offer(id, Some(item.item)), max))
        });
        let accepted: Vec<_> = accepted.collect();
        for (pick, max) in accepted {
            let (picks, folder_max) = (vec![pick], Some(max));
            let get = Get { picks, into: None, limit: None, folder_max, digest: false };
            // What cannot be fetched waits for the user.
            let _ = self.get(turn, &get);
        }
    }
}

impl Parts {
    /// A message came for the first time: what it offers lies on the table when it is kept.
    pub(crate) fn offered(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        body: &Message,
        after: Option<SaveId>,
    ) {
        let Self { roster, offers, .. } = self;
        let Some((peer, _)) = roster.place(seen.from) else { return };
        if body.files.files.is_empty() || offers.has(&peer.id, seen.packet.number) {
            return;
        }
        let offer = OfferRecord::new(turn, peer.view(), seen, body);
        match after {
            Some(id) => drop(offers.pending.insert(id, offer)),
            None => offers.offered(turn, offer),
        }
    }

    /// Does what `Request::Refuse` asks for.
    pub(crate) fn refuse(&mut self, turn: &mut Turn<'_>, id: RequestId, picks: &[Pick]) {
        let offers = &mut self.offers;
        let places = offers.places(picks);
        if places.is_empty() {
            return turn.reply(id, Reply::Refused(Refusal::NoOffer));
        }
        offers.refuse(turn, &places);
        turn.reply(id, Reply::Offers { offers: offers.views() });
    }
}

/// Tells an event that is kept.
fn tell(turn: &mut Turn<'_>, event: Event) {
    let record = ToldRecord { at: turn.now.wall, event: Box::new(event.clone()) };
    let after = turn.base.keeps.then(|| turn.save(Record::Told(record)));
    turn.emit(event, after);
}

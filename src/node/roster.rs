//! Who is there: peers by identity, above their addresses (wire reference, 4.4; threats, caps).
//!
//! The same person at two addresses is one peer with two places. Two people who share even
//! user@host are two peers, told apart by nickname and then by address. The roster decides who a
//! packet is from and tells faces who came, changed and went; what is sent to whom is not its
//! business.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::api::{DownReason, Event, PeerId, PeerView, without_title};
use super::charsets::CharsetBook;
use super::config::Policy;
use super::input::Tick;
use super::peer::{Charsets, Peer, PeerNo, Place, Sighting, tells_absence};
use super::turn::Turn;
use crate::wire::entry::Presence;
use crate::wire::{Charset, Hint, Office, RawPacket, Verdict, command};

/// Every peer known now.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    peers: BTreeMap<PeerNo, Peer>,
    by_addr: BTreeMap<SocketAddr, PeerNo>,
    by_key: BTreeMap<Arc<str>, Vec<PeerNo>>,
    by_id: BTreeMap<PeerId, PeerNo>,
    /// Those we never wrote to, by when they were heard last.
    forgettable: BTreeSet<(Tick, PeerNo)>,
    next: u64,
    /// What is known of charsets across restarts.
    pub(crate) charsets: CharsetBook,
}

/// Peers with the same user and host that are told apart by their nicknames.
const NAMESAKES_MAX: usize = 128;

/// A start is announced on each family at once, and IPv6 may be first: an address that is heard so
/// soon after the first one is no move.
const SAME_START: Duration = Duration::from_millis(1_500);

/// Whose packet it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Met {
    pub(crate) peer: PeerNo,
    /// It came from an address that was not known as this peer's, which has others.
    pub(crate) moved: bool,
}

impl Roster {
    /// How many peers are known.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// All peers, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerNo, &Peer)> {
        self.peers.iter().map(|(&no, peer)| (no, peer))
    }

    /// This peer, while it is known.
    pub(crate) fn get(&self, no: PeerNo) -> Option<&Peer> {
        self.peers.get(&no)
    }

    /// This peer as faces see it.
    pub(crate) fn shared_view(&mut self, no: PeerNo) -> Option<Arc<PeerView>> {
        self.peers.get_mut(&no).map(Peer::shared_view)
    }

    /// This peer, to note something on it that does not move it in the roster.
    pub(crate) fn get_mut(&mut self, no: PeerNo) -> Option<&mut Peer> {
        self.peers.get_mut(&no)
    }

    /// Who is at `addr`.
    pub(crate) fn at(&self, addr: SocketAddr) -> Option<PeerNo> {
        self.by_addr.get(&addr).copied()
    }

    /// The peer at `addr` and its place there.
    pub(crate) fn place(&self, addr: SocketAddr) -> Option<(&Peer, &Place)> {
        let peer = self.get(self.at(addr)?)?;
        Some((peer, peer.place(addr)?))
    }

    /// The peer of this identity.
    pub(crate) fn find(&self, id: &PeerId) -> Option<PeerNo> {
        self.by_id.get(id).copied()
    }

    /// A peer of this identity as faces see it.
    pub(crate) fn view(&self, id: &PeerId) -> Option<PeerView> {
        Some(self.get(self.find(id)?)?.view())
    }

    /// All peers as faces see them, by group, nickname, identity.
    pub(crate) fn views(&self) -> Vec<PeerView> {
        let mut views: Vec<PeerView> = self.peers.values().map(Peer::view).collect();
        views.sort_by(|a, b| (&a.group, &a.nick, &a.id).cmp(&(&b.group, &b.nick, &b.id)));
        views
    }

    /// What is known beforehand of a packet from `addr`: nothing, if it is clearly from somebody
    /// else than the peer there.
    pub(crate) fn hint(&self, addr: SocketAddr, raw: &RawPacket<'_>, office: Office) -> Hint {
        let known = self.at(addr).and_then(|no| self.get(no));
        let (dialect, charsets) = match known.filter(|peer| peer.may_have_sent(raw)) {
            Some(peer) => (Some(peer.dialect), peer.charsets),
            None => (None, self.charsets.of_packet(raw)),
        };
        let Charsets { names, text } = charsets;
        Hint { dialect, names: names.verdict(), text: text.verdict(), office }
    }

    /// An entry, answer or absence packet: takes in who is where and called how.
    pub(crate) fn learn(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        presence: &Presence,
    ) -> Met {
        let nick = if presence.nick.is_empty() { &seen.packet.user } else { &presence.nick };
        let nick = without_title(nick, tells_absence(seen.packet.dialect, seen.packet.options));
        let (met, news) = self.locate(turn, seen, Some(nick));
        let Some(peer) = self.peers.get_mut(&met.peer) else { return met };
        let changed = peer.take(seen, presence);
        self.charsets.note(turn, peer);
        if let Some(place) = peer.place_mut(seen.from) {
            place.entered = true;
        }
        let news = if changed { news.max(News::Changed) } else { news };
        tell(turn, peer, news);
        met
    }

    /// A message: whose it is. An unknown sender becomes a peer that has only what the header
    /// says, until its entry comes.
    pub(crate) fn meet(&mut self, turn: &mut Turn<'_>, seen: &Sighting<'_>) -> Met {
        let (met, news) = self.locate(turn, seen, None);
        let Some(peer) = self.peers.get_mut(&met.peer) else { return met };
        peer.charsets.names.learn(seen.packet.names);
        self.charsets.note(turn, peer);
        if !peer.entered {
            peer.options |= seen.packet.options & command::entry::CAP_UTF8;
        }
        tell(turn, peer, news);
        met
    }

    /// Any other packet: its sender is still there, if that is who we think.
    pub(crate) fn hear(&mut self, now: Tick, seen: &Sighting<'_>) -> Option<PeerNo> {
        let no = self.at(seen.from)?;
        if !self.get(no)?.is(seen) {
            return None;
        }
        self.touch(no, seen, now);
        Some(no)
    }

    /// The charset of a text of this peer.
    pub(crate) fn learn_text(&mut self, turn: &mut Turn<'_>, no: PeerNo, verdict: Verdict) {
        if let Some(peer) = self.peers.get_mut(&no) {
            peer.charsets.text.learn(verdict);
            self.charsets.note(turn, peer);
        }
    }

    /// The office's charset is this one now: what was only assumed of peers is learnt anew.
    pub(crate) fn reconsider(&mut self, office: Office) {
        self.charsets.reconsider(office);
        for peer in self.peers.values_mut() {
            peer.charsets.reconsider(office);
        }
    }

    /// The user says what the charset of this peer is, or with none that it is to be learnt.
    pub(crate) fn pin(&mut self, turn: &mut Turn<'_>, no: PeerNo, charset: Option<Charset>) {
        let Some(peer) = self.peers.get_mut(&no) else { return };
        peer.charsets.fix(charset);
        self.charsets.note(turn, peer);
        tell(turn, peer, News::Changed);
    }

    /// We write to this peer; it is not forgotten for newcomers any more.
    pub(crate) fn note_written(&mut self, no: PeerNo) {
        if let Some(peer) = self.peers.get_mut(&no) {
            peer.written = true;
            self.forgettable.remove(&(peer.heard, no));
        }
    }

    /// Something that we sent to `addr` was confirmed from there.
    pub(crate) fn note_hears(&mut self, addr: SocketAddr) {
        if let Some(place) = self.place_mut(addr) {
            place.hears = true;
        }
    }

    /// Our broadcasts do not reach `addr`.
    pub(crate) fn note_far(&mut self, addr: SocketAddr) {
        if let Some(place) = self.place_mut(addr) {
            place.far = true;
        }
    }

    /// Nobody we know is at `addr` any more; a peer without another place is gone.
    pub(crate) fn vacate(&mut self, turn: &mut Turn<'_>, addr: SocketAddr, reason: DownReason) {
        let Some(no) = self.by_addr.remove(&addr) else { return };
        let Some(peer) = self.peers.get_mut(&no) else { return };
        if peer.places.len() > 1 {
            let known_by = peer.places.first().map(|place| place.addr);
            peer.places.retain(|place| place.addr != addr);
            // A peer that says goodbye says it on each of its links: more will follow, or it shows
            // itself at an address that is left.
            if reason == DownReason::Exit {
                peer.untold = peer.untold.or(known_by);
            } else {
                tell(turn, peer, News::Changed);
            }
        } else {
            self.remove(turn, no, reason);
        }
    }

    /// Passes every peer with what the store knows of when it was heard; where `write` says that it
    /// is written down, that is now.
    pub(crate) fn note_down(&mut self, now: Tick, mut write: impl FnMut(&Peer, Tick) -> bool) {
        for peer in self.peers.values_mut() {
            if write(peer, peer.noted) {
                peer.noted = now;
            }
        }
    }

    /// Puts a peer back that another process knew.
    pub(crate) fn restore(&mut self, mut peer: Peer, policy: &Policy) {
        peer.places.retain(|place| !self.by_addr.contains_key(&place.addr));
        peer.places.truncate(policy.addresses_per_peer_max);
        if peer.places.is_empty() || self.by_id.contains_key(&peer.id) {
            return;
        }
        self.insert(peer);
    }

    fn place_mut(&mut self, addr: SocketAddr) -> Option<&mut Place> {
        let no = self.at(addr)?;
        self.peers.get_mut(&no)?.place_mut(addr)
    }

    /// Finds or makes the peer a packet is from; it then has a place there, heard now.
    fn locate(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        nick: Option<&str>,
    ) -> (Met, News) {
        let now = turn.now.tick;
        let mut charsets = None;
        if let Some(no) = self.at(seen.from) {
            if self.lives_there(no, seen, nick) {
                self.touch(no, seen, now);
                let untold = self.get_mut(no).and_then(|peer| peer.untold.take());
                let news = if untold.is_some() { News::Changed } else { News::None };
                return (Met { peer: no, moved: false }, news);
            }
            // The names may only be read better now; the charset they showed is still right.
            charsets = self.get(no).filter(|peer| peer.is(seen)).map(|peer| peer.charsets);
            let ghost = self.get(no).filter(|peer| peer.is(seen) && peer.places.len() == 1);
            let ghost = ghost.map(|peer| peer.id.clone());
            self.vacate(turn, seen.from, DownReason::Replaced);
            if let Some(ghost) = ghost.filter(|_| turn.base.keeps) {
                turn.base.remembered.drop_ghost(&ghost);
            }
        }
        let key = seen.key();
        if let Some(no) = self.namesake(&key, nick) {
            let news = self.add_place(no, seen, turn);
            return (Met { peer: no, moved: true }, news);
        }
        self.make_room(turn);
        let (id, key) = self.new_id(&key, seen.from);
        let mut peer = Peer::new(id, key, seen, now);
        peer.charsets = charsets.unwrap_or_else(|| self.charsets.of(&peer.id));
        (Met { peer: self.insert(peer), moved: false }, News::Up)
    }

    /// Whether a packet from a known address is from the peer we know there.
    fn lives_there(&self, no: PeerNo, seen: &Sighting<'_>, nick: Option<&str>) -> bool {
        let Some(peer) = self.get(no) else { return false };
        let Some(place) = peer.place(seen.from) else { return false };
        match nick {
            None => peer.is(seen),
            // A place that only a message vouched for may turn out to be a namesake's; a peer
            // known by its header alone may have been called otherwise there.
            Some(nick) => {
                peer.is(seen)
                    && (place.entered || peer.is_called(nick))
                    && (peer.entered || *seen.key() == *peer.key)
            }
        }
    }

    /// The one peer that bears these names, and this nickname if one is told.
    fn namesake(&self, key: &str, nick: Option<&str>) -> Option<PeerNo> {
        let bearers = self.by_key.get(key)?;
        // Of a crowd of forged namesakes the newest are told apart.
        let newest = bearers.len().saturating_sub(NAMESAKES_MAX);
        let mut called = bearers.iter().copied().skip(newest).filter(|&no| {
            self.get(no).is_some_and(|peer| nick.is_none_or(|nick| peer.is_called(nick)))
        });
        let first = called.next();
        if nick.is_none() && called.next().is_some() { None } else { first }
    }

    fn new_id(&self, key: &str, addr: SocketAddr) -> (PeerId, Arc<str>) {
        let shared = self.by_key.get_key_value(key).map(|(key, _)| Arc::clone(key));
        let key = shared.unwrap_or_else(|| key.into());
        let by_ip = || PeerId(format!("{key}!{}", addr.ip()).into());
        let by_addr = || PeerId(format!("{key}!{addr}").into());
        let free = |id: &PeerId| !self.by_id.contains_key(id);
        let id = Some(PeerId(Arc::clone(&key)))
            .filter(free)
            .or_else(|| Some(by_ip()).filter(free))
            .unwrap_or_else(by_addr);
        (id, key)
    }

    fn insert(&mut self, peer: Peer) -> PeerNo {
        let no = PeerNo(self.next);
        self.next += 1;
        for place in &peer.places {
            self.by_addr.insert(place.addr, no);
        }
        self.by_key.entry(Arc::clone(&peer.key)).or_default().push(no);
        self.by_id.insert(peer.id.clone(), no);
        if !peer.written {
            self.forgettable.insert((peer.heard, no));
        }
        self.peers.insert(no, peer);
        no
    }

    /// Forgets a peer, and says why.
    pub(crate) fn remove(&mut self, turn: &mut Turn<'_>, no: PeerNo, reason: DownReason) {
        let Some(peer) = self.peers.remove(&no) else { return };
        for place in &peer.places {
            self.by_addr.remove(&place.addr);
        }
        if let Some(bearers) = self.by_key.get_mut(&peer.key) {
            bearers.retain(|&bearer| bearer != no);
            if bearers.is_empty() {
                self.by_key.remove(&peer.key);
            }
        }
        self.by_id.remove(&peer.id);
        self.forgettable.remove(&(peer.heard, no));
        let mut view = peer.view();
        if let Some(known_by) = peer.untold {
            // It said goodbye on one link after the other, and goes by the address it came with.
            (view.addr, view.port) = (known_by.ip(), known_by.port());
            view.addrs.retain(|addr| *addr != known_by);
            view.addrs.insert(0, known_by);
        }
        turn.emit(Event::PeerDown { peer: view, reason }, None);
    }

    /// Forgets the longest silent peer that we never wrote to, when there is no room.
    fn make_room(&mut self, turn: &mut Turn<'_>) {
        while self.peers.len() >= turn.base.policy.peers_max {
            // Those we wrote to stay; there are no more of them than the user addressed.
            let Some(&(_, no)) = self.forgettable.first() else { return };
            self.remove(turn, no, DownReason::Forgotten);
        }
    }

    fn touch(&mut self, no: PeerNo, seen: &Sighting<'_>, now: Tick) {
        let Some(peer) = self.peers.get_mut(&no) else { return };
        if let Some(at) = peer.places.iter().position(|place| place.addr == seen.from) {
            let mut place = peer.places.remove(at);
            place.heard = now;
            place.link = seen.link;
            peer.settle(place);
        }
        self.note_heard(no, now);
    }

    /// Whether the peer is now written to at another address than before.
    fn add_place(&mut self, no: PeerNo, seen: &Sighting<'_>, turn: &Turn<'_>) -> News {
        let Some(peer) = self.peers.get_mut(&no) else { return News::None };
        let known_by = peer.places.first().map(|place| place.addr);
        let just_came = turn.now.tick - peer.came < SAME_START;
        let first = peer.settle(Place::new(seen, turn.now.tick));
        self.by_addr.insert(seen.from, no);
        while peer.places.len() > turn.base.policy.addresses_per_peer_max.max(1) {
            if let Some(place) = peer.places.pop() {
                self.by_addr.remove(&place.addr);
            }
        }
        self.note_heard(no, turn.now.tick);
        match known_by {
            Some(SocketAddr::V6(_)) if first && just_came => News::Beside,
            _ if first => News::Changed,
            _ => News::None,
        }
    }

    fn note_heard(&mut self, no: PeerNo, now: Tick) {
        let Some(peer) = self.peers.get_mut(&no) else { return };
        if peer.heard != now && self.forgettable.remove(&(peer.heard, no)) {
            self.forgettable.insert((now, no));
        }
        peer.heard = now;
    }
}

/// What a face is told of a peer; more important ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum News {
    None,
    /// It has a better address beside the one it came with: no event of its own.
    Beside,
    Changed,
    Up,
}

fn tell(turn: &mut Turn<'_>, peer: &mut Peer, news: News) {
    // Whatever is told of a peer tells where it is.
    if news >= News::Changed {
        peer.untold = None;
    }
    match news {
        News::None => {}
        News::Beside => turn.note_peer(&peer.view()),
        News::Changed => turn.emit(Event::PeerChanged { peer: peer.view() }, None),
        News::Up => turn.emit(Event::PeerUp { peer: peer.view() }, None),
    }
}

//! Transfers to us: begun as many at once as may run, told while they move, and ended.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Offers, Place, tell};
use crate::node::Parts;
use crate::node::api::files::{
    Get, ItemKind, ItemState, OfferId, Progress, Side, TransferOutcome, TransferProblem,
    Transferred,
};
use crate::node::api::{Direction, Event, Refusal, Reply};
use crate::node::effect::Effect;
use crate::node::fetch::{Fetch, FetchEnd, FetchId, FetchNews, Leftover};
use crate::node::input::RequestId;
use crate::node::meter::{Meter, per_second};
use crate::node::turn::Turn;
use crate::wire::dialect::{Dialect, IPMSG};
use crate::wire::request::AnswerForm;
use crate::wire::tree::READ_ONLY;

/// A transfer that was accepted.
#[derive(Debug)]
pub(super) struct Fetching {
    place: Place,
    wishes: Wishes,
    running: bool,
    /// The user wants it ended, and how.
    ending: Option<TransferOutcome>,
    bytes: u64,
    done: u64,
    meter: Option<Meter>,
}

/// How a transfer is wished.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Wishes {
    into: Option<PathBuf>,
    limit: Option<u64>,
    folder_max: Option<u64>,
    digest: bool,
}

/// A transfer that the next process goes on with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FetchNote {
    offer: OfferId,
    index: usize,
    wishes: Wishes,
}

/// Most bytes of a folder that does not say how many it has (threats, rule 20).
const FOLDER_MAX: u64 = 16 << 30;

impl Offers {
    /// Accepts items; each is begun now or when another transfer ends.
    pub(super) fn get(&mut self, turn: &mut Turn<'_>, get: &Get) -> Result<Vec<Progress>, Refusal> {
        let named = self.places(&get.picks);
        if named.is_empty() {
            return Err(Refusal::NoOffer);
        }
        let waits = |place: &Place| {
            self.item(*place).is_some_and(|(_, item)| item.state == ItemState::Waiting)
        };
        let places: Vec<_> = named.into_iter().filter(waits).collect();
        if places.is_empty() {
            return Err(Refusal::NothingWaits);
        }
        let wishes = Wishes {
            into: get.into.clone(),
            limit: get.limit,
            folder_max: get.folder_max,
            digest: get.digest,
        };
        let ids: Vec<_> = places.into_iter().map(|at| self.accept(at, wishes.clone())).collect();
        self.start(turn);
        Ok(ids.into_iter().filter_map(|id| self.progress(id)).collect())
    }

    fn accept(&mut self, place: Place, wishes: Wishes) -> FetchId {
        self.last_fetch += 1;
        let id = FetchId(self.last_fetch);
        self.set(place, ItemState::Queued);
        let fetching = Fetching {
            place,
            wishes,
            running: false,
            ending: None,
            bytes: 0,
            done: 0,
            meter: None,
        };
        self.fetches.insert(id, fetching);
        self.queue.push_back(id);
        id
    }

    /// Begins what waits, as far as transfers may run.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        loop {
            let running = self.fetches.values().filter(|fetching| fetching.running).count();
            if running >= turn.base.policy.fetches_at_once {
                return;
            }
            let Some(id) = self.queue.pop_front() else { return };
            let Some(fetch) = self.order(turn, id) else {
                self.fetches.remove(&id);
                continue;
            };
            let Some(fetching) = self.fetches.get_mut(&id) else { continue };
            fetching.running = true;
            let (place, into) = (fetching.place, fetching.wishes.into.clone());
            self.set(place, ItemState::Moving);
            // One that only listens asks nobody for anything.
            if turn.speaks() {
                self.goes_into(turn, place, into);
                turn.push(Effect::Fetch(id, Box::new(fetch)));
            } else {
                let problem = TransferProblem {
                    side: Side::Ours,
                    what: "this node only listens".to_owned(),
                    hint: "end it and start one without --passive".to_owned(),
                };
                self.end(turn, id, FetchEnd::nothing(problem));
            }
        }
    }

    /// Remembers where what comes of an item lies, for who refuses it when it has broken off.
    fn goes_into(&mut self, turn: &mut Turn<'_>, place: Place, into: Option<PathBuf>) {
        // JSON has no bytes that are no text.
        let into = into.filter(|into| into.to_str().is_some());
        let Some(offer) = self.open.get_mut(&place.offer) else { return };
        let before = match into.clone() {
            Some(into) => offer.folders.insert(place.index, into),
            None => offer.folders.remove(&place.index),
        };
        if before != into {
            self.note(turn, place.offer);
        }
    }

    /// What the shell is to do for a transfer.
    fn order(&self, turn: &mut Turn<'_>, id: FetchId) -> Option<Fetch> {
        let Fetching { place, wishes, .. } = self.fetches.get(&id)?;
        let (offer, item) = self.item(*place)?;
        let dialect = Dialect::by_name(&offer.view.peer.dialect).unwrap_or(&IPMSG);
        let mut habits = dialect.habits;
        if let Some(base) = self.bases.get(&offer.view.peer.id) {
            habits.request_ids = *base;
        }
        let folder = item.kind == ItemKind::Folder;
        let size = match (folder, item.size) {
            (false, size) => size,
            (true, 0) => wishes.folder_max.unwrap_or(FOLDER_MAX),
            (true, size) => wishes.folder_max.unwrap_or(size),
        };
        let form = if folder { AnswerForm::Tree } else { AnswerForm::Bytes };
        let (packet, number) = (offer.view.number, turn.number());
        let attr = offer.attrs.get(place.index).copied().unwrap_or(0);
        Some(Fetch {
            from: offer.from,
            ask: turn.base.own.ask(number, offer.utf8, (form, packet, item.file), habits),
            kind: item.kind,
            name: item.name.clone(),
            size,
            mtime: item.mtime,
            read_only: attr & READ_ONLY != 0,
            charset: offer.charset,
            key: key(&offer.view, item),
            resumes: habits.honours_offset,
            into: wishes.into.clone(),
            limit: wishes.limit,
            digest: wishes.digest && !folder,
        })
    }

    fn progress(&self, id: FetchId) -> Option<Progress> {
        let fetching = self.fetches.get(&id)?;
        let (offer, item) = self.item(fetching.place)?;
        let of = (item.kind != ItemKind::Folder || item.size > 0).then_some(item.size);
        let left = of.map(|of| of.saturating_sub(fetching.bytes));
        Some(Progress {
            offer: fetching.place.offer,
            item: item.item,
            direction: Direction::In,
            peer: offer.view.peer.clone(),
            number: offer.view.number,
            name: item.name.clone(),
            kind: item.kind,
            bytes: fetching.bytes,
            of,
            done: fetching.done,
            rate: fetching.meter.as_ref().map_or(0, Meter::rate),
            eta: fetching.meter.as_ref().zip(left).and_then(|(meter, left)| meter.eta(left)),
        })
    }

    fn news(&mut self, turn: &mut Turn<'_>, id: FetchId, news: FetchNews) {
        match news {
            FetchNews::Moved { bytes, resumed, done, took } => {
                let Some(fetching) = self.fetches.get_mut(&id) else { return };
                (fetching.bytes, fetching.done) = (bytes, done);
                let begun = || Meter::begun(turn.now.tick, took, resumed);
                let meter = fetching.meter.get_or_insert_with(begun);
                meter.note(turn.now.tick, bytes);
                let Place { offer, index } = fetching.place;
                let offer = self.open.get_mut(&offer);
                if let Some(item) = offer.and_then(|offer| offer.view.items.get_mut(index)) {
                    item.bytes = bytes;
                }
                if let Some(progress) = self.progress(id) {
                    turn.emit(Event::Progress(Box::new(progress)), None);
                }
            }
            FetchNews::Ended(end) => {
                self.end(turn, id, *end);
                self.start(turn);
            }
        }
    }

    /// A transfer ended: told, and the offer noted.
    fn end(&mut self, turn: &mut Turn<'_>, id: FetchId, end: FetchEnd) {
        let Some(fetching) = self.fetches.remove(&id) else { return };
        let place = fetching.place;
        let Some((offer, item)) = self.item(place) else { return };
        let (path, problem) = match end.result {
            // JSON has no bytes that are no text.
            Ok(path) => (Some(path).filter(|path| path.to_str().is_some()), None),
            Err(problem) => (None, Some(problem)),
        };
        let outcome = match (&problem, fetching.ending) {
            (None, _) => TransferOutcome::Done,
            (Some(_), Some(ending)) => ending,
            (Some(_), None) => TransferOutcome::Broken,
        };
        let (peer, kind) = (offer.view.peer.id.clone(), item.kind);
        let event = Transferred {
            offer: place.offer,
            item: item.item,
            direction: Direction::In,
            peer: offer.view.peer.clone(),
            number: offer.view.number,
            name: item.name.clone(),
            kind: item.kind,
            outcome,
            bytes: end.bytes,
            resumed: end.resumed,
            done: end.done,
            seconds: end.took.as_secs_f64(),
            rate: per_second(end.bytes, end.took),
            sha256: end.sha256,
            path: path.clone(),
            skipped: end.skipped,
            unreadable: 0,
            problem: problem.filter(|_| outcome == TransferOutcome::Broken),
        };
        if let Some(base) = end.ids {
            let dialect = Dialect::by_name(&offer.view.peer.dialect).unwrap_or(&IPMSG);
            if base == dialect.habits.request_ids {
                self.bases.remove(&peer);
            } else if self.bases.len() < turn.base.policy.peers_max {
                self.bases.insert(peer, base);
            }
        }
        let state = match outcome {
            TransferOutcome::Done => ItemState::Done,
            TransferOutcome::Refused => ItemState::Over,
            _ => ItemState::Waiting,
        };
        if let Some(offer) = self.open.get_mut(&place.offer) {
            offer.set(place.index, state);
            if let Some(item) = offer.view.items.get_mut(place.index) {
                item.path = path;
                // Where nothing came, what an earlier transfer left of a file is there still.
                if kind == ItemKind::Folder || end.bytes + end.resumed > 0 {
                    item.bytes = end.bytes + end.resumed;
                }
            }
        }
        tell(turn, Event::Transferred(Box::new(event)));
        self.note(turn, place.offer);
    }

    /// These are not wanted: what waits is over, what moves is stopped.
    pub(super) fn refuse(&mut self, turn: &mut Turn<'_>, places: &[Place]) {
        let mut left = Vec::new();
        for &place in places {
            let running = self.fetches.iter_mut().find(|(_, fetching)| fetching.place == place);
            match running {
                Some((id, fetching)) if fetching.running => {
                    fetching.ending = Some(TransferOutcome::Refused);
                    turn.push(Effect::DropFetch(*id));
                }
                Some((&id, _)) => {
                    self.queue.retain(|queued| *queued != id);
                    left.extend(self.left(place));
                    self.refuse_waiting(turn, place, Some(id));
                }
                None => {
                    left.extend(self.left(place));
                    self.refuse_waiting(turn, place, None);
                }
            }
        }
        if !left.is_empty() {
            turn.push(Effect::DropParts(left));
        }
    }

    /// What may be left of an item that broke off: of a folder nothing is.
    fn left(&self, place: Place) -> Option<Leftover> {
        let (offer, item) = self.item(place)?;
        let (waits, folder) = (is_waiting(item.state), item.kind == ItemKind::Folder);
        (waits && !folder).then(|| Leftover {
            into: offer.folders.get(&place.index).cloned(),
            key: key(&offer.view, item),
            packet: offer.view.number,
            file: item.file,
        })
    }

    fn refuse_waiting(&mut self, turn: &mut Turn<'_>, place: Place, queued: Option<FetchId>) {
        if !self.item(place).is_some_and(|(_, item)| is_waiting(item.state)) {
            return;
        }
        let id = queued.unwrap_or_else(|| {
            let wishes = Wishes { into: None, limit: None, folder_max: None, digest: false };
            let id = self.accept(place, wishes);
            self.queue.retain(|queued| *queued != id);
            id
        });
        if let Some(fetching) = self.fetches.get_mut(&id) {
            fetching.ending = Some(TransferOutcome::Refused);
        }
        let problem = TransferProblem {
            side: Side::Ours,
            what: "not wanted".to_owned(),
            hint: String::new(),
        };
        self.end(turn, id, FetchEnd::nothing(problem));
    }

    /// What moves, but is not wanted any more.
    pub(super) fn refused(&self) -> impl Iterator<Item = Place> {
        let ending = |fetching: &&Fetching| fetching.ending == Some(TransferOutcome::Refused);
        self.fetches.values().filter(ending).map(|fetching| fetching.place)
    }

    /// The node ends, and what moves with it.
    pub(crate) fn leave(&mut self, turn: &mut Turn<'_>) {
        self.queue.clear();
        let ids: Vec<_> = self.fetches.keys().copied().collect();
        for id in ids {
            turn.push(Effect::StopFetch(id));
            let place = self.fetches.get(&id).map(|fetching| fetching.place);
            let item = place.and_then(|place| self.item(place));
            let folder = item.is_some_and(|(_, item)| item.kind == ItemKind::Folder);
            let hint = if folder {
                "`feige get` fetches it anew"
            } else {
                "`feige get` goes on where it was"
            };
            let problem = TransferProblem {
                side: Side::Ours,
                what: "the node that was fetching it ended".to_owned(),
                hint: hint.to_owned(),
            };
            let moved = self.fetches.get(&id).map_or((0, 0), |fetch| (fetch.bytes, fetch.done));
            let (bytes, done) = moved;
            self.end(turn, id, FetchEnd { bytes, done, ..FetchEnd::nothing(problem) });
        }
    }

    /// What the next process goes on with.
    pub(crate) fn fetch_notes(&self) -> Vec<FetchNote> {
        let wanted = self.fetches.values().filter(|fetching| fetching.ending.is_none());
        let note = |fetching: &Fetching| FetchNote {
            offer: fetching.place.offer,
            index: fetching.place.index,
            wishes: fetching.wishes.clone(),
        };
        wanted.map(note).collect()
    }

    /// Goes on with what the process before this one was fetching, from [`Offers::start`] on.
    pub(crate) fn resume(&mut self, notes: Vec<FetchNote>) {
        for FetchNote { offer, index, wishes } in notes {
            let place = Place { offer, index };
            if self.item(place).is_some_and(|(_, item)| item.state == ItemState::Waiting) {
                self.accept(place, wishes);
            }
        }
    }
}

impl FetchEnd {
    /// Nothing moved.
    fn nothing(problem: TransferProblem) -> Self {
        Self {
            result: Err(problem),
            bytes: 0,
            resumed: 0,
            done: 0,
            skipped: 0,
            took: std::time::Duration::ZERO,
            sha256: None,
            ids: None,
        }
    }
}

const fn is_waiting(state: ItemState) -> bool {
    matches!(state, ItemState::Waiting | ItemState::Queued)
}

/// Names what a transfer leaves, so that the next one of the same finds it: the same name, size and
/// time from the same peer. Where the peer tells no time, only the same offer is the same.
fn key(
    offer: &crate::node::api::files::OfferView,
    item: &crate::node::api::files::ItemView,
) -> String {
    let mut hash = Sha256::new();
    for part in [offer.peer.id.0.as_bytes(), item.name.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update([u8::from(item.kind == ItemKind::Folder)]);
    hash.update(item.size.to_le_bytes());
    hash.update(item.mtime.to_le_bytes());
    if item.mtime == 0 {
        hash.update(offer.number.0.to_le_bytes());
        hash.update(item.file.to_le_bytes());
    }
    let mut key = format!("{:x}", hash.finalize());
    key.truncate(20);
    key
}

impl Parts {
    /// Does what `Request::Get` asks for.
    pub(crate) fn get(&mut self, turn: &mut Turn<'_>, id: RequestId, get: &Get) {
        let offers = &mut self.offers;
        let reply = match offers.get(turn, get) {
            Ok(transfers) => Reply::Fetching { transfers },
            Err(refusal) => Reply::Refused(refusal),
        };
        turn.reply(id, reply);
    }

    /// The shell tells of a transfer.
    pub(crate) fn fetch_news(&mut self, turn: &mut Turn<'_>, id: FetchId, news: FetchNews) {
        self.offers.news(turn, id, news);
    }
}

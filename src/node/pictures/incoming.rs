//! Pictures on their way in: which fragments came, and what is done when all have.
//!
//! Only numbers are held here; the bytes go to a stage on disk as they come. Each fragment is
//! acknowledged at once, and each repetition again: one that is not costs a `FeiQ` 15 s (dialect
//! reference, 7).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::handover::ComingNote;
use super::job::{PictureJob, PictureRecord, StageId};
use crate::node::api::pictures::PictureFacts;
use crate::node::api::{NoticeCode, PeerId, PeerView};
use crate::node::effect::{Effect, Record};
use crate::node::handover::before;
use crate::node::input::{SaveId, SaveResult, Tick};
use crate::node::peer::Peer;
use crate::node::timers::Timer;
use crate::node::turn::Turn;
use crate::wire::PacketNo;
use crate::wire::picture::{Fragment, PictureId, Reference};

/// Received pictures, whole or not.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pictures: BTreeMap<Key, Picture>,
    stages: BTreeMap<StageId, Key>,
    saving: BTreeMap<SaveId, Key>,
    /// Those that ended, in the order they did; may name some that began again.
    ended: VecDeque<(Tick, Key)>,
    /// Messages that refer to a picture, in the order they came.
    mentions: VecDeque<(Key, PacketNo)>,
    complaints: Complaints,
}

/// What tells pictures apart: the same id from another peer is another picture.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    pub(crate) peer: PeerId,
    pub(crate) id: PictureId,
}

#[derive(Debug)]
struct Picture {
    stage: StageId,
    cut: Cut,
    /// A bit for each fragment that came.
    have: Vec<u64>,
    missing: u32,
    /// Its sender, as it was when the picture began.
    view: Box<PeerView>,
    from: SocketAddr,
    counts: bool,
    /// The name of its file, where a rule of the user makes one.
    file: Option<String>,
    began: Tick,
    state: State,
}

/// How a picture is cut; all its fragments agree on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cut {
    total: u32,
    count: u32,
    chunk: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Fragments are missing.
    Gathering,
    /// It is being decoded, or written down.
    Closing,
    /// It is kept, or it is none. Repetitions are acknowledged so that its sender is done with it.
    Ended,
    /// It cannot be taken for the time being: not acknowledged, so that its sender may try again.
    Barred,
}

/// Messages remembered that refer to a picture, and how many pictures one may refer to.
const MENTIONS_MAX: usize = 256;
const MENTIONS_PER_MESSAGE_MAX: usize = 16;
/// How long a picture that could not be taken is not looked at again.
const BARRED: Duration = Duration::from_secs(20);

impl Incoming {
    /// Takes a fragment; whether it is to be acknowledged.
    #[must_use]
    pub(crate) fn take(
        &mut self,
        turn: &mut Turn<'_>,
        fresh: impl FnOnce() -> StageId,
        peer: &Peer,
        from: SocketAddr,
        fragment: &Fragment<'_>,
    ) -> bool {
        let key = Key { peer: peer.id.clone(), id: fragment.id };
        let cut = Cut { total: fragment.total, count: fragment.count, chunk: fragment.chunk() };
        if let Some(known) = self.pictures.get(&key) {
            let again = match known.state {
                State::Gathering | State::Closing => false,
                State::Ended => known.cut != cut,
                State::Barred => turn.now.tick - known.began >= BARRED,
            };
            if again {
                self.pictures.remove(&key);
            } else if known.state == State::Barred {
                return false;
            } else if known.cut != cut {
                let text = "fragments of a picture contradict each other";
                self.refuse(turn, from.ip(), &peer.nick, text);
                return false;
            }
        }
        if !self.pictures.contains_key(&key) && !self.begin(turn, fresh, peer, from, &key, cut) {
            return false;
        }
        self.piece(turn, &key, fragment);
        true
    }

    /// Begins a picture unless there are too many already.
    fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        fresh: impl FnOnce() -> StageId,
        peer: &Peer,
        from: SocketAddr,
        key: &Key,
        cut: Cut,
    ) -> bool {
        let policy = &turn.base.policy;
        let open = || self.pictures.iter().filter(|(_, picture)| picture.is_open());
        let same = |(other, picture): &(&Key, &Picture)| {
            other.peer == key.peer || picture.from.ip() == from.ip()
        };
        let refusal = if !turn.base.keeps {
            Some("a picture is not taken: nothing is kept (--no-store)")
        } else if open().count() >= policy.pictures_max {
            Some("a picture is not taken: too many others are on their way")
        } else if open().filter(same).count() >= policy.pictures_per_peer_max {
            Some("a picture is not taken: too many others of the same sender are on their way")
        } else {
            None
        };
        if let Some(text) = refusal {
            self.refuse(turn, from.ip(), &peer.nick, text);
            return false;
        }
        let stage = fresh();
        let counts = !peer.written;
        let at = turn.now.wall;
        turn.picture(PictureJob::Begin { stage, size: cut.total, at, counts });
        let words = usize::try_from(cut.count.div_ceil(u64::BITS)).unwrap_or(usize::MAX);
        self.stages.insert(stage, key.clone());
        self.pictures.insert(
            key.clone(),
            Picture {
                stage,
                cut,
                have: vec![0; words],
                missing: cut.count,
                view: Box::new(peer.view()),
                from,
                counts,
                file: None,
                began: turn.now.tick,
                state: State::Gathering,
            },
        );
        true
    }

    /// Writes a fragment where it belongs, unless it is there already.
    fn piece(&mut self, turn: &mut Turn<'_>, key: &Key, fragment: &Fragment<'_>) {
        let Some(picture) = self.pictures.get_mut(key) else { return };
        if picture.state != State::Gathering || !picture.mark(fragment.position()) {
            return;
        }
        let stage = picture.stage;
        turn.picture(PictureJob::Write {
            stage,
            offset: fragment.offset,
            data: fragment.data.into(),
        });
        if picture.missing == 0 {
            picture.state = State::Closing;
            picture.have = Vec::new();
            turn.base.timers.disarm(Timer::Picture(stage));
            turn.picture(PictureJob::Check { stage });
        } else {
            picture.arm(turn);
        }
    }

    /// The time of an unfinished picture is over.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>, stage: StageId) {
        let Some(key) = self.stages.remove(&stage) else { return };
        let Some(picture) = self.pictures.remove(&key) else { return };
        turn.picture(PictureJob::Drop { stage });
        let Cut { count, .. } = picture.cut;
        let text = format!(
            "a picture of {} ({}) is given up: {} of its {count} fragments did not come",
            picture.view.nick,
            picture.from.ip(),
            picture.missing
        );
        turn.notice(NoticeCode::Picture, text);
    }

    /// A picture was decoded: keeps it. `accept` says whether it becomes a file unasked.
    pub(crate) fn checked(
        &mut self,
        turn: &mut Turn<'_>,
        stage: StageId,
        facts: PictureFacts,
        accept: impl FnOnce(&PeerView, SocketAddr, &PictureFacts) -> bool,
    ) {
        let Some(key) = self.stages.get(&stage) else { return };
        let Some(picture) = self.pictures.get_mut(key) else { return };
        if accept(&picture.view, picture.from, &facts) {
            picture.file = Some(facts.file_name());
        }
        let mention = self.mentions.iter().rev().find(|(mentioned, _)| mentioned == key);
        let record = PictureRecord {
            at: turn.now.wall,
            peer: (*picture.view).clone(),
            id: key.id.0,
            number: mention.map(|&(_, number)| number),
            facts,
            stage,
            counts: picture.counts,
        };
        let event = record.event();
        let id = turn.save(Record::Picture(Box::new(record)));
        turn.emit(event, Some(id));
        self.saving.insert(id, key.clone());
    }

    /// The bytes of a picture cannot be written, or are no picture. Whether it was one of these.
    pub(crate) fn failed(&mut self, turn: &mut Turn<'_>, stage: StageId, reason: &str) -> bool {
        let Some(key) = self.stages.remove(&stage) else { return false };
        turn.base.timers.disarm(Timer::Picture(stage));
        let Some(picture) = self.pictures.get_mut(&key) else { return true };
        let (nick, from) = (picture.view.nick.clone(), picture.from.ip());
        let text = format!("a picture is not taken: {reason}");
        let whole = picture.state == State::Closing;
        picture.end(turn.now.tick, if whole { State::Ended } else { State::Barred });
        self.settle(turn, key);
        if whole {
            // All of it was acknowledged, so its sender holds it for arrived: the user is told of
            // each, and a sender's places for pictures bound how many there are.
            turn.base.counters.dropped += 1;
            complain(turn, from, &nick, &text);
        } else {
            self.refuse(turn, from, &nick, &text);
        }
        true
    }

    /// A record came back from the store. Whether it was a picture.
    pub(crate) fn saved(&mut self, turn: &mut Turn<'_>, id: SaveId, result: &SaveResult) -> bool {
        let Some(key) = self.saving.remove(&id) else { return false };
        let Some(picture) = self.pictures.get_mut(&key) else { return true };
        let stage = picture.stage;
        self.stages.remove(&stage);
        let kept = matches!(result, SaveResult::Kept { .. });
        if let Some(name) = picture.file.take().filter(|_| kept) {
            turn.picture(PictureJob::Export { stage, name, at: turn.now.wall });
        }
        turn.picture(PictureJob::Drop { stage });
        if matches!(result, SaveResult::Failed(_) | SaveResult::Refused(_)) {
            // Its sender may repeat it when the store takes it again.
            picture.end(turn.now.tick, State::Barred);
        } else {
            picture.end(turn.now.tick, State::Ended);
        }
        self.settle(turn, key);
        true
    }

    /// A message may refer to pictures that are still on their way.
    pub(crate) fn mentioned(&mut self, peer: &PeerId, number: PacketNo, text: &str) {
        for reference in Reference::find(text).take(MENTIONS_PER_MESSAGE_MAX) {
            self.mention(Key { peer: peer.clone(), id: reference.id }, number);
        }
    }

    /// A message refers to this picture.
    pub(super) fn mention(&mut self, key: Key, number: PacketNo) {
        if self.mentions.len() >= MENTIONS_MAX {
            self.mentions.pop_front();
        }
        self.mentions.push_back((key, number));
    }

    /// What the next owner of the port is told of messages that refer to pictures.
    pub(super) fn mention_notes(&self) -> Vec<(PeerId, u32, PacketNo)> {
        let note = |(key, number): &(Key, PacketNo)| (key.peer.clone(), key.id.0, *number);
        self.mentions.iter().map(note).collect()
    }

    /// What it is told of pictures. Of those that could not be taken nothing: they may begin again.
    pub(super) fn notes(&self, now: Tick) -> Vec<ComingNote> {
        let known = self.pictures.iter().filter(|(_, picture)| picture.state != State::Barred);
        known
            .map(|(key, picture)| ComingNote {
                peer: key.peer.clone(),
                id: key.id.0,
                stage: picture.stage,
                total: picture.cut.total,
                count: picture.cut.count,
                chunk: picture.cut.chunk,
                have: picture.have.clone(),
                view: (*picture.view).clone(),
                from: picture.from,
                counts: picture.counts,
                ago: now - picture.began,
                ended: picture.state == State::Ended,
            })
            .collect()
    }

    /// Takes over a picture of the process before this one.
    pub(super) fn restore(&mut self, turn: &mut Turn<'_>, note: ComingNote) {
        let now = turn.now.tick;
        let key = Key { peer: note.peer, id: PictureId(note.id) };
        let came: u32 = note.have.iter().map(|word| word.count_ones()).sum();
        let whole = note.have.is_empty();
        let began = before(now, note.ago);
        let picture = Picture {
            stage: note.stage,
            cut: Cut { total: note.total, count: note.count, chunk: note.chunk },
            missing: if whole { 0 } else { note.count.saturating_sub(came) },
            have: note.have,
            view: Box::new(note.view),
            from: note.from,
            counts: note.counts,
            file: None,
            began,
            state: match (note.ended, whole) {
                (true, _) => State::Ended,
                (false, true) => State::Closing,
                (false, false) => State::Gathering,
            },
        };
        if note.ended {
            self.ended.push_back((began, key.clone()));
        } else {
            self.stages.insert(note.stage, key.clone());
        }
        if picture.state == State::Gathering {
            picture.arm(turn);
        }
        self.pictures.insert(key, picture);
    }

    /// Has those decoded of which the process before this one did not hear any more.
    pub(super) fn start(&self, turn: &mut Turn<'_>) {
        for picture in self.pictures.values().filter(|one| one.state == State::Closing) {
            turn.picture(PictureJob::Check { stage: picture.stage });
        }
    }

    /// Tells the user what was not taken from whom, not too often.
    pub(crate) fn refuse(&mut self, turn: &mut Turn<'_>, from: IpAddr, nick: &str, why: &str) {
        turn.base.counters.dropped += 1;
        if self.complaints.may(turn.now.tick, from) {
            complain(turn, from, nick, why);
        }
    }

    /// Remembers a picture that ended, for a while.
    fn settle(&mut self, turn: &Turn<'_>, key: Key) {
        let (now, policy) = (turn.now.tick, &turn.base.policy);
        self.ended.push_back((now, key));
        while let Some((at, _)) = self.ended.front() {
            let few = self.ended.len() <= policy.pictures_remembered_max;
            if few && now - *at <= policy.picture_span {
                break;
            }
            let Some((at, old)) = self.ended.pop_front() else { break };
            if self.pictures.get(&old).is_some_and(|p| !p.is_open() && p.began == at) {
                self.pictures.remove(&old);
            }
        }
    }
}

impl Picture {
    /// Whether it takes up a stage.
    fn is_open(&self) -> bool {
        matches!(self.state, State::Gathering | State::Closing)
    }

    /// Notes that a fragment came; whether it was new.
    fn mark(&mut self, position: u32) -> bool {
        let bit = 1 << (position % u64::BITS);
        let word = usize::try_from(position / u64::BITS).unwrap_or(usize::MAX);
        let Some(word) = self.have.get_mut(word) else { return false };
        let new = *word & bit == 0;
        *word |= bit;
        self.missing -= u32::from(new);
        new
    }

    /// Gives it the time it has from now on.
    fn arm(&self, turn: &mut Turn<'_>) {
        let policy = &turn.base.policy;
        let quiet = turn.now.tick + policy.picture_quiet;
        let until = quiet.min(self.began + policy.picture_span);
        turn.base.timers.arm(Timer::Picture(self.stage), until);
    }

    /// From now on `began` says when it ended.
    fn end(&mut self, now: Tick, state: State) {
        self.state = state;
        self.began = now;
        self.have = Vec::new();
    }
}

/// Who was complained of lately: strangers do not fill the screen.
#[derive(Debug, Default)]
struct Complaints {
    since: Tick,
    of: BTreeSet<IpAddr>,
}

impl Complaints {
    const SPAN: Duration = Duration::from_secs(10);
    const MAX: usize = 16;

    /// Whether the user is told of this one, too.
    fn may(&mut self, now: Tick, from: IpAddr) -> bool {
        if now - self.since >= Self::SPAN {
            self.since = now;
            self.of.clear();
        }
        self.of.len() < Self::MAX && self.of.insert(from)
    }
}

/// Tells the user what was not taken from whom.
fn complain(turn: &mut Turn<'_>, from: IpAddr, nick: &str, why: &str) {
    turn.notice(NoticeCode::Picture, format!("{nick} ({from}): {why}"));
}

impl Turn<'_> {
    /// Wants something done with the bytes of a picture.
    pub(super) fn picture(&mut self, job: PictureJob) {
        self.push(Effect::Picture(job));
    }
}

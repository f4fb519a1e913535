//! Pictures on their way out: windows of fragments, each acknowledged before the next begins, and
//! after the last one the message that refers to the picture (dialect reference, 7: a `FeiQ` that
//! gets the message first shows an icon in its place).

use std::collections::BTreeMap;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::handover::GoingNote;
use super::job::{PictureJob, StageId};
use super::sending::Packed;
use crate::node::api::{PeerView, Target, Wishes};
use crate::node::input::{LinkId, RequestId, Tick};
use crate::node::outbox::SendNo;
use crate::node::timers::Timer;
use crate::node::turn::Turn;
use crate::wire::PacketNo;
use crate::wire::picture::{CHUNK, CONTAINER, Fragment, PictureId};

/// Pictures of ours.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Those being made into containers.
    packing: BTreeMap<StageId, Wish>,
    /// Those that are packed and wait for a stranger to show what program it is.
    waiting: BTreeMap<StageId, (Packed, Wish)>,
    transfers: BTreeMap<SendNo, Transfer>,
}

/// What a face asked for.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) request: RequestId,
    pub(crate) to: Vec<Target>,
    pub(crate) timeout: Duration,
    pub(crate) wishes: Wishes,
    /// How long strangers have time to show themselves.
    pub(crate) until: Tick,
}

/// A picture on its way to one recipient.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) stage: StageId,
    pub(crate) id: PictureId,
    /// Bytes of the whole.
    pub(crate) size: u32,
    pub(crate) view: Box<PeerView>,
    pub(crate) to: SocketAddr,
    pub(crate) link: Option<LinkId>,
    pub(crate) timeout: Duration,
    window: Window,
}

/// Fragments that are sent together.
#[derive(Debug, Default)]
struct Window {
    /// The first one's position.
    first: u32,
    /// A bit for each of them.
    all: u32,
    acked: u32,
    /// Still to be sent in this round.
    due: u32,
    /// Rounds begun.
    rounds: u32,
    /// Rounds after which nothing new was acknowledged.
    silent: u32,
    /// Something was acknowledged in this round.
    heard: bool,
    /// Their data, once read.
    data: Option<Arc<[u8]>>,
}

/// Fragments in a window.
const WINDOW: u32 = 32;
#[expect(clippy::cast_possible_truncation, reason = "512")]
const CHUNK_BYTES: u32 = CHUNK as u32;

/// What happened to a transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// It goes on.
    Under,
    /// Every fragment is acknowledged.
    Done,
    /// Nobody acknowledges.
    Silent,
}

impl Outgoing {
    /// How many are on their way.
    pub(crate) fn len(&self) -> usize {
        self.packing.len() + self.waiting.len() + self.transfers.len()
    }

    /// A picture is being made into a container.
    pub(crate) fn pack(&mut self, stage: StageId, wish: Wish) {
        self.packing.insert(stage, wish);
    }

    /// What a container was made for, once.
    pub(crate) fn packed(&mut self, stage: StageId) -> Option<Wish> {
        self.packing.remove(&stage)
    }

    /// A packed picture waits for strangers.
    pub(super) fn wait(&mut self, stage: StageId, packed: Packed, wish: Wish) {
        self.waiting.insert(stage, (packed, wish));
    }

    /// Everything that waits for strangers.
    pub(super) fn waiting(&self) -> Vec<StageId> {
        self.waiting.keys().copied().collect()
    }

    /// This one, if it waits for strangers.
    pub(super) fn take_waiting(&mut self, stage: StageId) -> Option<(Packed, Wish)> {
        self.waiting.remove(&stage)
    }

    /// Begins to send.
    pub(crate) fn begin(&mut self, turn: &mut Turn<'_>, no: SendNo, transfer: Transfer) {
        self.transfers.insert(no, transfer);
        self.open(turn, no, 0);
    }

    /// A part of a stage was read.
    pub(crate) fn read(
        &mut self,
        turn: &mut Turn<'_>,
        stage: StageId,
        offset: u32,
        data: &Arc<[u8]>,
    ) {
        for (&no, transfer) in &mut self.transfers {
            let window = &mut transfer.window;
            let here = window.first * CHUNK_BYTES == offset;
            if transfer.stage == stage && here && window.data.is_none() {
                window.data = Some(Arc::clone(data));
                window.rounds += 1;
                turn.base.timers.arm(Timer::Fragment(no), turn.now.tick);
            }
        }
    }

    /// It is time for the next fragment, or for the next round of those not acknowledged.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>, no: SendNo) -> Step {
        let Some(transfer) = self.transfers.get_mut(&no) else { return Step::Under };
        let window = &mut transfer.window;
        if window.due == 0 {
            let silent = if window.heard { 0 } else { window.silent + 1 };
            if silent >= turn.base.policy.picture_rounds_max {
                return Step::Silent;
            }
            (window.silent, window.heard) = (silent, false);
            window.rounds += 1;
            window.due = window.all & !window.acked;
        }
        let place = window.due.trailing_zeros();
        window.due &= window.due.wrapping_sub(1);
        let wait = if window.due == 0 {
            turn.base.policy.picture_round_wait
        } else {
            turn.base.policy.picture_gap
        };
        if let Some(fragment) = transfer.fragment(place) {
            let number = turn.number();
            let bytes = turn.base.own.picture_fragment(number, &fragment);
            turn.transmit(transfer.link, transfer.to, bytes, None);
        }
        turn.arm(Timer::Fragment(no), wait);
        Step::Under
    }

    /// A fragment was acknowledged: counts only from where it was sent to.
    pub(crate) fn acknowledged(
        &mut self,
        turn: &mut Turn<'_>,
        from: SocketAddr,
        id: PictureId,
        index: u32,
    ) -> Option<(SendNo, Step)> {
        let mut all = self.transfers.iter_mut();
        let (&no, transfer) = all.find(|(_, t)| t.id == id && t.to == from)?;
        let window = &mut transfer.window;
        // We count from 1.
        let place = index.checked_sub(1)?.checked_sub(window.first)?;
        let bit = 1_u32.checked_shl(place)? & window.all;
        if bit & !window.acked == 0 {
            return Some((no, Step::Under));
        }
        window.heard = true;
        window.acked |= bit;
        window.due &= !bit;
        if window.acked == window.all {
            let next = window.first + window.all.count_ones();
            if next >= transfer.count() {
                return Some((no, Step::Done));
            }
            self.open(turn, no, next);
        } else if window.due == 0 {
            // The others have a full round from here on.
            turn.arm(Timer::Fragment(no), turn.base.policy.picture_round_wait);
        }
        Some((no, Step::Under))
    }

    /// Takes a transfer out; drops its stage with the last one.
    pub(crate) fn remove(&mut self, turn: &mut Turn<'_>, no: SendNo) -> Option<Transfer> {
        let transfer = self.transfers.remove(&no)?;
        turn.base.timers.disarm(Timer::Fragment(no));
        if !self.transfers.values().any(|other| other.stage == transfer.stage) {
            turn.picture(PictureJob::Drop { stage: transfer.stage });
        }
        Some(transfer)
    }

    /// Everything with this number.
    pub(crate) fn of(&self, number: PacketNo) -> Vec<SendNo> {
        self.transfers.keys().copied().filter(|no| no.number == number).collect()
    }

    /// Everything from this stage.
    pub(crate) fn of_stage(&self, stage: StageId) -> Vec<SendNo> {
        let from = self.transfers.iter().filter(|(_, transfer)| transfer.stage == stage);
        from.map(|(&no, _)| no).collect()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<SendNo> {
        self.transfers.keys().copied().collect()
    }

    /// What the next owner of the port is told. Of what is still being packed nothing: whoever asked
    /// for it asks again.
    pub(super) fn notes(&self) -> Vec<GoingNote> {
        let note = |(no, transfer): (&SendNo, &Transfer)| GoingNote {
            number: no.number,
            index: no.index,
            stage: transfer.stage,
            id: transfer.id.0,
            size: transfer.size,
            view: (*transfer.view).clone(),
            to: transfer.to,
            link: transfer.link,
            timeout: transfer.timeout,
            rounds: transfer.window.rounds,
            first: transfer.window.first,
            acked: transfer.window.acked,
        };
        self.transfers.iter().map(note).collect()
    }

    /// Takes over a transfer of the process before this one.
    pub(super) fn restore(&mut self, note: GoingNote) {
        let no = SendNo { number: note.number, index: note.index };
        let container = (note.stage, PictureId(note.id), note.size);
        let mut transfer = Transfer::new(container, note.view, note.to, note.link, note.timeout);
        let GoingNote { first, acked, rounds, .. } = note;
        transfer.window = Window { first, acked, rounds, ..Window::default() };
        self.transfers.insert(no, transfer);
    }

    /// Goes on with what was taken over: with its windows, but for what was acknowledged of them.
    pub(super) fn start(&mut self, turn: &mut Turn<'_>) {
        let taken: Vec<_> =
            self.transfers.iter_mut().map(|(&no, one)| (no, mem::take(&mut one.window))).collect();
        for (no, Window { first, acked, rounds, .. }) in taken {
            self.open(turn, no, first);
            if let Some(Transfer { window, .. }) = self.transfers.get_mut(&no) {
                window.rounds = rounds;
                window.acked = acked & window.all;
                window.due = window.all & !window.acked;
            }
        }
    }

    /// Begins a window: its data are asked for.
    fn open(&mut self, turn: &mut Turn<'_>, no: SendNo, first: u32) {
        let Some(transfer) = self.transfers.get_mut(&no) else { return };
        let fragments = (transfer.count() - first).min(WINDOW);
        let all = u32::MAX >> (WINDOW - fragments);
        transfer.window = Window { first, all, due: all, ..Window::default() };
        let offset = first * CHUNK_BYTES;
        let length = (transfer.size - offset).min(fragments * CHUNK_BYTES);
        turn.base.timers.disarm(Timer::Fragment(no));
        turn.picture(PictureJob::Read { stage: transfer.stage, offset, length });
    }
}

impl Transfer {
    /// A transfer that has not begun.
    pub(crate) fn new(
        (stage, id, size): (StageId, PictureId, u32),
        view: PeerView,
        to: SocketAddr,
        link: Option<LinkId>,
        timeout: Duration,
    ) -> Self {
        let window = Window::default();
        Self { stage, id, size, view: Box::new(view), to, link, timeout, window }
    }

    /// How often the window that is on its way was tried.
    pub(super) fn rounds(&self) -> u32 {
        self.window.rounds
    }

    fn count(&self) -> u32 {
        self.size.div_ceil(CHUNK_BYTES)
    }

    /// A fragment of the window, by its place there; none until its data are read.
    fn fragment(&self, place: u32) -> Option<Fragment<'_>> {
        let data = self.window.data.as_deref()?;
        let start = usize::try_from(place).ok()?.checked_mul(CHUNK)?;
        let data = data.get(start..)?;
        let position = self.window.first + place;
        Some(Fragment {
            id: self.id,
            id_text: b"",
            total: self.size,
            offset: position * CHUNK_BYTES,
            count: self.count(),
            index: position + 1,
            flags: CONTAINER,
            tail: 0,
            data: data.get(..CHUNK).unwrap_or(data),
        })
    }
}

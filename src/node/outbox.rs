//! Messages of ours: each recipient ends in exactly one of confirmed, not confirmed, not sent,
//! expired or cancelled (threats, rule 44; wire reference, 6.1).
//!
//! What a request means is decided in [`super::letters`]; this part keeps, sends, repeats, and
//! settles. [`later`] keeps for those who are away.

mod bounces;
mod cancel;
mod ends;
mod files;
pub(crate) mod later;
mod records;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::api::{PeerId, PeerView};
use super::effect::{Open, Outcome, Record};
use super::input::{Bounce, SaveId, SaveResult, Tick, UnixMillis};
use super::letters::sent_record;
use super::links::Links;
use super::roster::Roster;
use super::sealed::{Sealed, Unopened};
use super::timers::Timer;
use super::turn::Turn;
use crate::wire::command::message;
use crate::wire::{Options, PacketNo, Verdict};
use cancel::Cancelling;
use ends::Ends;
pub(crate) use files::{FileNews, Seat};
use later::{Later, Shelf};

/// Names a message to one recipient: the message's number, and which recipient.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SendNo {
    pub(crate) number: PacketNo,
    pub(crate) index: u32,
}

/// What waits for receipts.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    sends: BTreeMap<SendNo, Sending>,
    /// What was sent sealed, and may be opened any time.
    pub(crate) sealed: Sealed,
    /// Where each number was sent to; a receipt counts only from there.
    sent_to: BTreeMap<(SocketAddr, PacketNo), SendNo>,
    /// First datagrams of large sends, in their turn.
    queue: VecDeque<SendNo>,
    /// Messages on their way to the disk.
    saving: BTreeMap<SaveId, SendNo>,
    /// Other forms of messages on their way to the disk; these go out with them.
    rewriting: BTreeMap<SaveId, SendNo>,
    /// Outcomes that are not on disk.
    ends: Ends,
    /// Messages to be kept that are being taken back.
    cancelling: Cancelling,
    /// Notes on their way to the disk that a message is queued: told only if the store takes them.
    noting: BTreeMap<SaveId, SendNo>,
    /// Messages whose numbers are not reserved on disk yet.
    gated: BTreeMap<SaveId, Vec<SendNo>>,
    /// Messages that wait for a stranger's answer to our entry.
    meetings: BTreeMap<SocketAddr, Vec<SendNo>>,
    /// What waits for its recipient to appear.
    shelf: Shelf,
    /// What the network said last of an address that something is on its way to.
    bounces: BTreeMap<SocketAddr, Bounce>,
    /// What became of messages that offer files, for those who serve them.
    file_news: Vec<FileNews>,
}

/// A message to one recipient.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Sending {
    /// The recipient as it was when the message was written.
    pub(crate) view: Box<PeerView>,
    /// The address the user named, tried first.
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) options: Options,
    /// The text as it was written.
    pub(crate) text: Option<Arc<str>>,
    /// How many files it offers.
    pub(crate) files: usize,
    /// The datagram; none while it waits to know its recipient.
    pub(crate) bytes: Option<Arc<[u8]>>,
    pub(crate) deadline: Tick,
    /// Datagrams sent.
    pub(crate) tries: u32,
    /// Times it was its turn, whether or not there was an address to send to.
    pub(crate) turns: u32,
    pub(crate) first: Option<Tick>,
    /// Where it went.
    pub(crate) went_to: Vec<SocketAddr>,
    /// Its record is made.
    pub(crate) stored: bool,
    /// Its record is on its way to the disk.
    pub(crate) saving: Option<SaveId>,
    /// It has its place in the queue of a large send.
    pub(crate) queued: bool,
    /// Its number is not reserved on disk yet.
    pub(crate) gate: Option<SaveId>,
    /// Its first datagram left, or leaves with its record.
    pub(crate) launched: bool,
    /// When it was written.
    pub(crate) written: UnixMillis,
    /// It is kept for its recipient when its time is over.
    pub(crate) later: Option<Later>,
    /// It may have left this host in an earlier run.
    pub(crate) may_have_left: bool,
}

/// A large send is dealt out this often.
const WINDOW: Duration = Duration::from_millis(100);

impl Outbox {
    /// How many recipients are waited for.
    pub(crate) fn len(&self) -> usize {
        self.sends.len()
    }

    /// What became of messages that offer files, since this was last asked.
    pub(crate) fn file_news(&mut self) -> Vec<FileNews> {
        std::mem::take(&mut self.file_news)
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SendNo, &Sending)> {
        self.sends.iter().map(|(&no, sending)| (no, sending))
    }

    /// Takes a message on. One whose datagram is written is kept and sent; one without waits for
    /// its recipient to show itself, at most `wait`.
    pub(crate) fn post(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        links: &Links,
        no: SendNo,
        sending: Sending,
        charset: Option<Verdict>,
    ) {
        let deadline = sending.deadline;
        if let Some(gate) = sending.gate {
            self.gated.entry(gate).or_default().push(no);
        }
        if sending.queued {
            self.queue.push_back(no);
            turn.base.timers.arm_if_idle(Timer::FirstTries, turn.now.tick + WINDOW);
        }
        let meets = sending.addr.filter(|_| sending.bytes.is_none());
        self.sends.insert(no, sending);
        match (meets, charset) {
            (Some(addr), _) => {
                self.meetings.entry(addr).or_default().push(no);
                // At least half of a short time is for the message itself.
                let wait = turn.base.policy.meeting_wait.min((deadline - turn.now.tick) / 2);
                turn.base.timers.arm(Timer::Send(no), turn.now.tick + wait);
            }
            (None, Some(charset)) => {
                turn.base.timers.arm(Timer::Send(no), deadline);
                self.keep(turn, no, charset);
                self.launch(turn, roster, links, no);
            }
            (None, None) => {}
        }
    }

    /// Whether a message waits for whoever is at `addr` to show itself.
    pub(crate) fn meets(&self, addr: SocketAddr) -> Vec<SendNo> {
        self.meetings.get(&addr).cloned().unwrap_or_default()
    }

    /// This one, while it is open.
    pub(crate) fn get(&self, no: SendNo) -> Option<&Sending> {
        self.sends.get(&no)
    }

    /// This one, while it is open.
    pub(crate) fn get_mut(&mut self, no: SendNo) -> Option<&mut Sending> {
        self.sends.get_mut(&no)
    }

    /// The datagram for a recipient that was waited for is written: keeps and sends it.
    pub(crate) fn write(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        links: &Links,
        no: SendNo,
        bytes: Arc<[u8]>,
        charset: Verdict,
    ) {
        let Some(sending) = self.sends.get_mut(&no) else { return };
        sending.bytes = Some(bytes);
        let deadline = sending.deadline;
        if let Some(addr) = sending.addr {
            leave_meeting(&mut self.meetings, addr, no);
        }
        turn.base.timers.arm(Timer::Send(no), deadline);
        self.keep(turn, no, charset);
        self.launch(turn, roster, links, no);
    }

    /// The timer of a message fired. The one that must end now is given back.
    pub(crate) fn due(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        links: &Links,
        no: SendNo,
    ) -> Due {
        let Some(sending) = self.sends.get(&no) else { return Due::Done };
        if turn.now.tick >= sending.deadline {
            return Due::Over;
        }
        if sending.bytes.is_none() {
            return Due::Write;
        }
        self.transmit(turn, roster, links, no);
        Due::Done
    }

    /// The next first datagrams of large sends.
    pub(crate) fn send_next(&mut self, turn: &mut Turn<'_>, roster: &Roster, links: &Links) {
        for _ in 0..(turn.base.policy.sends_per_second / 10).max(1) {
            let Some(no) = self.queue.pop_front() else { return };
            // One that went back to the shelf has no turn any more.
            if let Some(sending) = self.sends.get_mut(&no).filter(|sending| sending.queued) {
                sending.queued = false;
                self.launch(turn, roster, links, no);
            }
        }
        if !self.queue.is_empty() {
            turn.arm(Timer::FirstTries, WINDOW);
        }
    }

    /// A receipt for `number` came from `from`.
    pub(crate) fn settle(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        from: SocketAddr,
        number: PacketNo,
    ) -> bool {
        let Some(&no) = self.sent_to.get(&(from, number.as_ours())) else { return false };
        self.finish(turn, roster, no, Outcome::Confirmed);
        true
    }

    /// Whether a sealed message with this number went to `from` and waits for its receipt.
    pub(crate) fn has_sealed(&self, from: SocketAddr, number: PacketNo) -> bool {
        let sending = self.sent_to.get(&(from, number)).and_then(|no| self.sends.get(no));
        sending.is_some_and(|sending| sending.options.contains(message::SECRET))
    }

    /// Ends everything: the program does.
    pub(crate) fn close(&mut self, turn: &mut Turn<'_>, roster: &Roster) {
        let ends = self.sends.iter().filter(|(_, sending)| !sending.waits());
        let all: Vec<SendNo> = ends.map(|(&no, _)| no).collect();
        for no in all {
            self.give_up(turn, roster, no);
        }
    }

    /// The time of this one is over, or nothing can be done for it.
    pub(crate) fn give_up(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        no: SendNo,
    ) -> Option<PeerId> {
        let sending = self.sends.get(&no)?;
        let id = sending.view.id.clone();
        let sent = sending.tries > 0 || sending.leaves_with_its_record();
        let outcome = match sending.later {
            Some(later) if later.told || later.waits => Outcome::Expired,
            _ if sent || sending.may_have_left => Outcome::NotConfirmed,
            _ => Outcome::NotSent,
        };
        let asked = sent && !sending.waits();
        if !self.shelve(turn, roster, no) {
            self.finish(turn, roster, no, outcome);
        }
        asked.then_some(id)
    }

    /// Nothing can be done for this one any more.
    pub(crate) fn drop(&mut self, turn: &mut Turn<'_>, roster: &Roster, no: SendNo) {
        if let Some(sending) = self.sends.get_mut(&no) {
            sending.later = None;
        }
        self.give_up(turn, roster, no);
    }

    /// A record came back from the store. Whether it was one of a message of ours.
    pub(crate) fn saved(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        id: SaveId,
        result: &SaveResult,
    ) -> bool {
        let failed = !result.is_kept();
        if self.cancelled(turn, roster, id, result) || self.ends.saved(turn, id, failed) {
            return true;
        }
        if let Some(no) = self.noting.remove(&id) {
            if failed {
                self.untell(no);
            }
            return true;
        }
        let rewritten = self.rewriting.remove(&id);
        let Some(no) = rewritten.or_else(|| self.saving.remove(&id)) else { return false };
        let Some(sending) = self.sends.get_mut(&no) else { return true };
        if failed && rewritten.is_some() {
            // It did not leave, and waits on.
            sending.saving = sending.saving.filter(|saving| *saving != id);
            self.shelve(turn, roster, no);
            return true;
        }
        if failed {
            sending.stored = false;
            self.finish(turn, roster, no, Outcome::NotSent);
            return true;
        }
        if sending.saving == Some(id) {
            sending.saving = None;
            if sending.launched {
                sending.first = Some(turn.now.tick);
                sending.tries = u32::from(!sending.went_to.is_empty());
                self.rearm(turn, no);
            }
        }
        true
    }

    /// A reservation of numbers came back from the store.
    pub(crate) fn reserved(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &Roster,
        links: &Links,
        id: SaveId,
        kept: bool,
    ) {
        for no in self.gated.remove(&id).unwrap_or_default() {
            let Some(sending) = self.sends.get_mut(&no) else { continue };
            if kept {
                sending.gate = None;
                self.launch(turn, roster, links, no);
            } else {
                self.finish(turn, roster, no, Outcome::NotSent);
            }
        }
    }

    /// Puts back a message that the process before this one was sending.
    pub(crate) fn restore(&mut self, turn: &mut Turn<'_>, no: SendNo, mut sending: Sending) {
        for &addr in &sending.went_to {
            self.sent_to.insert((addr, no.number), no);
        }
        if sending.waits() {
            self.restore_waiting(turn, no, &sending);
            self.sends.insert(no, sending);
            return;
        }
        let met = sending.bytes.is_some();
        sending.launched = met && sending.tries > 0;
        sending.queued = met && !sending.launched;
        if sending.queued {
            self.queue.push_back(no);
            turn.base.timers.arm_if_idle(Timer::FirstTries, turn.now.tick);
        }
        if let Some(addr) = sending.addr.filter(|_| !met) {
            self.meetings.entry(addr).or_default().push(no);
        }
        let wait = turn.base.policy.retry_waits.first().copied().unwrap_or_default();
        let next = turn.now.tick + turn.jittered(wait);
        turn.base.timers.arm(Timer::Send(no), next.min(sending.deadline));
        self.sends.insert(no, sending);
    }

    fn of(&self, number: PacketNo) -> Vec<SendNo> {
        let range = SendNo { number, index: 0 }..=SendNo { number, index: u32::MAX };
        self.sends.range(range).map(|(&no, _)| no).collect()
    }

    fn awaits(&self, addr: SocketAddr) -> bool {
        let range = (addr, PacketNo(0))..=(addr, PacketNo(u64::MAX));
        self.sent_to.range(range).next().is_some()
    }

    /// Writes the message down and tells faces.
    fn keep(&mut self, turn: &mut Turn<'_>, no: SendNo, charset: Verdict) {
        let Some(sending) = self.sends.get_mut(&no) else { return };
        let (Some(text), Some(raw)) = (&sending.text, sending.bytes.clone()) else { return };
        let mut record = sent_record(turn, no.number, sending.options, text, charset, raw);
        record.at = sending.written;
        record.peer = Some(Arc::new((*sending.view).clone()));
        record.files = sending.files;
        record.open = match sending.later {
            Some(later) => Some(later.as_open()),
            None => sending.options.contains(message::SEND_CHECK).then_some(Open::Run),
        };
        let event = record.event();
        if !turn.base.keeps {
            turn.emit(event, None);
            return;
        }
        let id = turn.save(Record::Message(record));
        turn.emit(event, Some(id));
        sending.stored = true;
        sending.saving = Some(id);
        self.saving.insert(id, no);
    }

    /// Sends the first datagram, unless something still holds it back.
    fn launch(&mut self, turn: &mut Turn<'_>, roster: &Roster, links: &Links, no: SendNo) {
        let Some(sending) = self.sends.get_mut(&no) else { return };
        // One that an earlier run wrote has no datagram in this one.
        let written = sending.bytes.as_ref().is_some_and(|bytes| !bytes.is_empty());
        if sending.launched || sending.queued || sending.gate.is_some() || !written {
            return;
        }
        sending.launched = true;
        self.transmit(turn, roster, links, no);
    }

    /// Sends a datagram, to the recipient's addresses in turn, and sets the time of the next one.
    fn transmit(&mut self, turn: &mut Turn<'_>, roster: &Roster, links: &Links, no: SendNo) {
        let Some(sending) = self.sends.get_mut(&no) else { return };
        if !sending.launched {
            turn.base.timers.arm(Timer::Send(no), sending.deadline);
            return;
        }
        let addrs = addresses(roster, sending);
        let turns = usize::try_from(sending.turns).unwrap_or(usize::MAX);
        sending.turns += 1;
        let Some(bytes) = sending.bytes.clone() else { return };
        let to = turns.checked_rem(addrs.len()).and_then(|at| addrs.get(at)).copied();
        if let Some(to) = to {
            let link = roster.place(to).and_then(|(_, place)| links.route(place.link));
            turn.transmit(link, to, bytes, sending.saving);
            if !sending.went_to.contains(&to) {
                sending.went_to.push(to);
                if sending.files > 0 {
                    self.file_news.push(FileNews::Went(no, to));
                }
                self.sent_to.insert((to, no.number), no);
            }
            if sending.saving.is_none() {
                sending.tries += 1;
                sending.first.get_or_insert(turn.now.tick);
            }
        }
        if sending.saving.is_none() {
            self.rearm(turn, no);
        }
    }

    /// Sets the time of the next datagram. One that earns no receipt is done with the first.
    fn rearm(&mut self, turn: &mut Turn<'_>, no: SendNo) {
        let Some(sending) = self.sends.get(&no) else { return };
        if !sending.options.contains(message::SEND_CHECK) && sending.tries > 0 {
            self.remove(turn, no);
            return;
        }
        let waits = &turn.base.policy.retry_waits;
        let before = usize::try_from(sending.turns).unwrap_or(usize::MAX).saturating_sub(1);
        let wait = waits.get(before).or(waits.last()).copied().unwrap_or_default();
        let deadline = sending.deadline;
        let next = turn.now.tick + turn.jittered(wait);
        turn.base.timers.arm(Timer::Send(no), next.min(deadline));
    }

    fn remove(&mut self, turn: &mut Turn<'_>, no: SendNo) -> Option<Sending> {
        let sending = self.sends.remove(&no)?;
        turn.base.timers.disarm(Timer::Send(no));
        for &addr in &sending.went_to {
            self.sent_to.remove(&(addr, no.number));
            if !self.awaits(addr) {
                self.bounces.remove(&addr);
            }
        }
        if let Some(id) = sending.saving {
            self.saving.remove(&id);
            self.rewriting.remove(&id);
        }
        if let Some(addr) = sending.addr {
            leave_meeting(&mut self.meetings, addr, no);
            if !self.awaits(addr) && !self.meetings.contains_key(&addr) {
                self.bounces.remove(&addr);
            }
        }
        if sending.options.contains(message::SECRET) {
            let (peer, sent_to) = (sending.view.clone(), sending.went_to.clone());
            let unopened = Unopened { number: no.number, peer, sent_to };
            self.sealed.add(turn.base.policy.sealed_max, unopened);
        }
        self.shelf.take(&sending.view.id, no);
        Some(sending)
    }

    /// What the network said last of where it went.
    fn hint(&self, no: SendNo) -> Option<Bounce> {
        let sending = self.sends.get(&no)?;
        let asked = sending.addr.iter();
        sending.went_to.iter().chain(asked).find_map(|addr| self.bounces.get(addr).copied())
    }

    /// Ends one: writes the outcome down and tells faces.
    fn finish(&mut self, turn: &mut Turn<'_>, roster: &Roster, no: SendNo, outcome: Outcome) {
        let hint = self.hint(no);
        let Some(sending) = self.remove(turn, no) else { return };
        if sending.files > 0 && outcome != Outcome::Confirmed {
            self.file_news.push(FileNews::Failed(no));
        }
        self.tell(turn, roster, no, &sending, outcome, hint);
    }
}

impl Sending {
    /// Whether its first datagram waits for its record, which may come after its time is over.
    fn leaves_with_its_record(&self) -> bool {
        self.saving.is_some() && !self.went_to.is_empty()
    }
}

/// What the timer of a message found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Nothing more to do now.
    Done,
    /// Its datagram must be written: the recipient did not show itself in time.
    Write,
    /// Its time is over.
    Over,
}

/// Where a message may go now, best first: the address the user named; else where its recipient
/// is, or was last, but never where somebody else is by now.
fn addresses(roster: &Roster, sending: &Sending) -> Vec<SocketAddr> {
    let known = roster.find(&sending.view.id);
    let stranger = is_stranger(&sending.view);
    let may = |addr: &SocketAddr| {
        let occupant = roster.at(*addr);
        stranger || occupant.is_none() || occupant == known
    };
    let named = sending.addr.filter(may);
    let places = known.and_then(|no| roster.get(no)).map(|peer| &peer.places);
    let current = places.into_iter().flatten().map(|place| place.addr);
    let last = sending.view.addrs.iter().copied().filter(|addr| known.is_none() && may(addr));
    let others = current.chain(last).filter(|&addr| Some(addr) != named);
    named.into_iter().chain(others).collect()
}

/// Whether the message was written to an address and not to a peer of the roster.
pub(crate) fn is_stranger(view: &PeerView) -> bool {
    let is_its_name = |addr: SocketAddr| *view.id.0 == *addr.to_string();
    let with_scope = view.addrs.first().copied();
    is_its_name(SocketAddr::new(view.addr, view.port)) || with_scope.is_some_and(is_its_name)
}

fn leave_meeting(meetings: &mut BTreeMap<SocketAddr, Vec<SendNo>>, addr: SocketAddr, no: SendNo) {
    if let Some(waiting) = meetings.get_mut(&addr) {
        waiting.retain(|&other| other != no);
        if waiting.is_empty() {
            meetings.remove(&addr);
        }
    }
}

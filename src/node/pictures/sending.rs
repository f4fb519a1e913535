//! A picture of ours and its recipients: those whose programs take it inside a message get its
//! fragments and then the message that refers to it, everybody else is offered the file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rand::Rng;

use super::Pictures;
use super::job::{PictureJob, StageId};
use super::outgoing::{Step, Transfer, Wish};
use crate::node::Parts;
use crate::node::api::{PeerView, Refusal, Reply, Target, Wishes};
use crate::node::input::RequestId;
use crate::node::letters::{Draft, Recipient, Sheets, may_write};
use crate::node::outbox::{SendNo, Sending};
use crate::node::own::canonical;
use crate::node::serving::Serving;
use crate::node::timers::Timer;
use crate::node::turn::Turn;
use crate::wire::command::message;
use crate::wire::picture::{PictureId, Reference};
use crate::wire::{Charset, PacketNo, Sure, Verdict};

/// A picture to be sent.
#[derive(Debug)]
pub(crate) struct PictureLetter {
    pub(crate) to: Vec<Target>,
    pub(crate) path: PathBuf,
    pub(crate) timeout: Duration,
    pub(crate) wishes: Wishes,
}

/// A picture as `FeiQ` takes it: where it lies, what it is called, and its bytes.
type Container = (StageId, PictureId, u32);

/// What came of packing a picture: bytes of the container, or why there is none.
pub(super) type Packed = Result<u32, String>;

impl Parts {
    /// Sends a picture, or refuses it and sends nothing to anybody. Answered when it is packed.
    pub(crate) fn send_picture(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        letter: PictureLetter,
    ) {
        if let Err(refusal) = self.try_to_send_picture(turn, id, letter) {
            turn.reply(id, Reply::Refused(refusal));
        }
    }

    fn try_to_send_picture(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        letter: PictureLetter,
    ) -> Result<(), Refusal> {
        let PictureLetter { to, path, timeout, wishes } = letter;
        // The message waits for nobody, and so its file does not either.
        let wishes = Wishes { later: false, ..wishes };
        let wait = turn.base.policy.meeting_wait.min(timeout / 2);
        let wish = Wish { request, to, timeout, wishes, until: turn.now.tick + wait };
        let audience = self.audience(turn, &wish)?;
        let strangers = audience.iter().filter(|one| one.is_stranger());
        let strangers: Vec<SocketAddr> = strangers.filter_map(|one| one.addr).collect();
        if strangers.is_empty() && !audience.iter().any(Recipient::takes_pictures) {
            return self.deliver(turn, &wish, None);
        }
        for addr in strangers {
            self.enter(turn, addr);
        }
        let Pictures { outgoing, next_stage, .. } = &mut self.pictures;
        let stage = Pictures::stage(next_stage);
        outgoing.pack(stage, wish);
        turn.picture(PictureJob::Pack { stage, path });
        Ok(())
    }

    /// Everybody a picture is for, once; an error where it cannot be sent to all of them.
    fn audience(&self, turn: &Turn<'_>, wish: &Wish) -> Result<Vec<Recipient>, Refusal> {
        may_write(turn, "", true)?;
        if wish.to.is_empty() {
            return Err(Refusal::Nobody);
        }
        if self.links.is_empty() {
            return Err(Refusal::NoLink);
        }
        let audience = self.recipients(turn, &wish.to, &[])?;
        let other = audience.iter().find(|one| !one.takes_pictures());
        if let Some(other) = other.filter(|_| wish.wishes.choices.is_empty()) {
            let peer = other.view.clone();
            return Err(if other.is_stranger() {
                Refusal::UnknownPeer { peer: peer.id }
            } else {
                Refusal::TakesNoPictures { peer: Box::new(peer) }
            });
        }
        let viewers = viewers(&audience);
        let policy = &turn.base.policy;
        if self.pictures.sending() + viewers > policy.picture_transfers_max
            || self.outbox.len() + audience.len() - viewers > policy.waiting_max
        {
            return Err(Refusal::Busy);
        }
        Ok(audience)
    }

    /// A picture was packed, or cannot be; nothing if this stage is for none.
    pub(super) fn picture_packed(&mut self, turn: &mut Turn<'_>, stage: StageId, packed: Packed) {
        if let Some(wish) = self.pictures.outgoing.packed(stage) {
            self.picture_ready(turn, stage, packed, wish);
        }
    }

    /// A stranger showed itself: pictures may have waited for that.
    pub(crate) fn viewers_met(&mut self, turn: &mut Turn<'_>) {
        for stage in self.pictures.outgoing.waiting() {
            self.viewers_due(turn, stage);
        }
    }

    /// Looks whether a picture that waits for strangers can go.
    pub(crate) fn viewers_due(&mut self, turn: &mut Turn<'_>, stage: StageId) {
        if let Some((packed, wish)) = self.pictures.outgoing.take_waiting(stage) {
            self.picture_ready(turn, stage, packed, wish);
        }
    }

    /// Sends a packed picture, once everybody has shown what program it is, or had the time to.
    fn picture_ready(&mut self, turn: &mut Turn<'_>, stage: StageId, packed: Packed, wish: Wish) {
        let unmet = |to: &Target| match to {
            Target::Addr(addr) => self.roster.at(self.links.with_scope(canonical(*addr))).is_none(),
            Target::Peer(_) => false,
        };
        if turn.now.tick < wish.until && wish.to.iter().any(unmet) {
            turn.base.timers.arm(Timer::Viewers(stage), wish.until);
            return self.pictures.outgoing.wait(stage, packed, wish);
        }
        turn.base.timers.disarm(Timer::Viewers(stage));
        let is_there = packed.is_ok();
        if let Err(refusal) = self.deliver(turn, &wish, Some((stage, packed))) {
            if is_there {
                turn.picture(PictureJob::Drop { stage });
            }
            turn.reply(wish.request, Reply::Refused(refusal));
        }
    }

    /// Begins to send a picture to everybody it is for, to each in its form.
    fn deliver(
        &mut self,
        turn: &mut Turn<'_>,
        wish: &Wish,
        packed: Option<(StageId, Packed)>,
    ) -> Result<(), Refusal> {
        // Somebody may have left meanwhile.
        let audience = self.audience(turn, wish)?;
        let viewers = viewers(&audience);
        let offered = audience.len() - viewers;
        let choices: &[_] = if offered > 0 { &wish.wishes.choices } else { &[] };
        let files = Serving::lay_out(turn, choices)?;
        let container: Option<Container> = match packed {
            Some((stage, Ok(size))) if viewers > 0 => {
                Some((stage, PictureId(turn.base.rng.gen_range(1..=u32::MAX)), size))
            }
            Some((_, Err(reason))) if viewers > 0 => return Err(Refusal::NoPicture { reason }),
            Some((stage, Ok(_))) => {
                turn.picture(PictureJob::Drop { stage });
                None
            }
            _ => None,
        };
        let mut options = message::SEND_CHECK;
        options.set(message::MULTICAST, audience.len() > 1);
        let issued = turn.message_number();
        let (timeout, wishes) = (wish.timeout, &wish.wishes);
        let draft = Draft { issued, options, text: "", files, wishes, timeout, later: None };
        let mut sheets = Sheets::of(&draft);
        let number = issued.number;
        let to = audience.iter().map(|one| one.view.clone()).collect();
        turn.reply(wish.request, Reply::Sent { number, to, links: Vec::new(), offered });
        for (index, recipient) in (0..).zip(audience) {
            match container.filter(|_| recipient.takes_pictures()) {
                Some(container) => {
                    self.transfer(turn, SendNo { number, index }, container, (recipient, timeout));
                }
                None => self.post(turn, &draft, &mut sheets, index, recipient),
            }
        }
        Ok(())
    }

    /// Begins to send the fragments to one recipient.
    fn transfer(
        &mut self,
        turn: &mut Turn<'_>,
        no: SendNo,
        container: Container,
        (recipient, timeout): (Recipient, Duration),
    ) {
        let Some(peer) = recipient.peer else { return };
        let places = self.roster.get(peer).map(|peer| peer.places.as_slice()).unwrap_or_default();
        let named = places.iter().find(|place| Some(place.addr) == recipient.addr);
        let Some(place) = named.or(places.first()) else { return };
        let (to, link) = (place.addr, self.links.route(place.link));
        let transfer = Transfer::new(container, recipient.view, to, link, timeout);
        self.before_writing(turn, peer);
        self.pictures.outgoing.begin(turn, no, transfer);
    }

    /// Where a transfer got to: after its last fragment, or when nobody acknowledges, the message
    /// that refers to the picture has its turn, or its end.
    pub(super) fn picture_step(&mut self, turn: &mut Turn<'_>, no: SendNo, step: Step) {
        if step == Step::Under {
            return;
        }
        let Some(transfer) = self.pictures.outgoing.remove(turn, no) else { return };
        self.refer(turn, no, transfer, step == Step::Done);
    }

    /// Sends the message that refers to a picture; or, where that did not arrive, only writes down
    /// that there would have been one.
    fn refer(&mut self, turn: &mut Turn<'_>, no: SendNo, transfer: Transfer, arrived: bool) {
        let options = message::SEND_CHECK;
        let tries = if arrived { 0 } else { transfer.rounds() };
        let bytes = turn.base.own.picture_reference(no.number, transfer.id, options);
        let view: PeerView = self.roster.view(&transfer.view.id).unwrap_or(*transfer.view);
        let sending = Sending {
            view: Box::new(view),
            addr: Some(transfer.to),
            options,
            text: Some(Reference::text(transfer.id, false).into()),
            bytes: Some(bytes),
            deadline: turn.now.tick + transfer.timeout,
            tries,
            turns: 0,
            first: None,
            went_to: Vec::new(),
            stored: false,
            saving: None,
            queued: !arrived,
            gate: turn.base.numbers.gate(),
            launched: false,
            written: turn.now.wall,
            later: None,
            may_have_left: false,
            files: 0,
        };
        let charset = Verdict { charset: Charset::GBK, sure: Sure::Ascii };
        self.outbox.post(turn, &self.roster, &self.links, no, sending, Some(charset));
        if !arrived {
            let silent = self.outbox.give_up(turn, &self.roster, no);
            if let Some(id) = silent.filter(|_| turn.speaks()) {
                self.presence.doubt(turn, &mut self.roster, &self.links, &id);
            }
        }
    }

    /// Stops sending what has this number.
    pub(crate) fn cancel_picture(&mut self, turn: &mut Turn<'_>, number: PacketNo) {
        for no in self.pictures.outgoing.of(number) {
            self.picture_step(turn, no, Step::Silent);
        }
    }

    /// Stops sending everything: the program ends.
    pub(crate) fn close_pictures(&mut self, turn: &mut Turn<'_>) {
        for no in self.pictures.outgoing.all() {
            self.picture_step(turn, no, Step::Silent);
        }
    }
}

/// How many of them take pictures inside messages.
fn viewers(audience: &[Recipient]) -> usize {
    audience.iter().filter(|one| one.takes_pictures()).count()
}

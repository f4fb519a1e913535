//! Pictures inside messages, as `FeiQ` sends them (dialect reference, 7): [`incoming`] gathers
//! fragments and acknowledges each, [`outgoing`] sends windows of them and waits. Their bytes do not
//! pass through here but for a window at a time: [`job`] says what the shell does with them.
//!
//! ```text
//! in:   fragment -> Begin, Write.. -> Check -> Record::Picture -> Event::Picture
//! out:  Request::SendPicture -> Pack -> (Read -> fragments -> acknowledgements).. -> message
//! ```

pub(crate) mod incoming;
pub(crate) mod job;
pub(crate) mod outgoing;

use std::path::PathBuf;
use std::time::Duration;

use rand::Rng;

use super::Parts;
use super::api::{NoticeCode, PeerView, Refusal, Reply, Target};
use super::input::{RequestId, SaveId, SaveResult};
use super::outbox::{SendNo, Sending};
use super::own::canonical;
use super::peer::{PeerNo, Sighting};
use super::trust::Allowance;
use super::turn::{Turn, Voice};
use crate::wire::command::message;
use crate::wire::picture::{Fragment, FragmentAck, PictureError, PictureId, Reference};
use crate::wire::{Charset, PacketNo, RawPacket, Sure, Verdict};

use incoming::Incoming;
use job::{PictureJob, PictureNews, StageId};
use outgoing::{Outgoing, Step, Transfer, Wish};

/// Pictures on their way, in and out.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    incoming: Incoming,
    outgoing: Outgoing,
    next_stage: u64,
}

/// A picture to be sent.
#[derive(Debug)]
pub(crate) struct PictureLetter {
    pub(crate) to: Vec<Target>,
    pub(crate) path: PathBuf,
    pub(crate) timeout: Duration,
}

impl Pictures {
    fn stage(next: &mut u64) -> StageId {
        *next += 1;
        StageId(*next)
    }

    /// How many of ours are on their way.
    pub(crate) fn sending(&self) -> usize {
        self.outgoing.len()
    }

    /// A record came back from the store. Whether it was a picture.
    pub(crate) fn saved(&mut self, turn: &mut Turn<'_>, id: SaveId, result: &SaveResult) -> bool {
        self.incoming.saved(turn, id, result)
    }

    /// The time of an unfinished picture is over.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>, stage: StageId) {
        self.incoming.due(turn, stage);
    }
}

impl Parts {
    /// A fragment of a picture.
    pub(crate) fn fragment(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        allowance: &mut Allowance,
    ) {
        let Ok(raw) = RawPacket::parse(seen.bytes) else { return };
        let Pictures { incoming, next_stage, .. } = &mut self.pictures;
        let fragment = match Fragment::read(&raw) {
            Ok(fragment) => fragment,
            Err(error) => {
                let why = match error {
                    PictureError::TooLarge => "a picture is not taken: it is larger than 16 MiB",
                    _ => "a fragment of a picture is not taken: its numbers make no sense",
                };
                incoming.refuse(turn, seen.from.ip(), &seen.packet.user, why);
                return;
            }
        };
        let met = self.roster.meet(turn, seen);
        let Some(peer) = self.roster.get(met.peer) else { return };
        let fresh = || Pictures::stage(next_stage);
        if incoming.take(turn, fresh, peer, seen.from, &fragment) {
            let number = turn.number();
            let ack = turn.base.own.picture_ack(number, &fragment);
            allowance.spend(ack.len());
            turn.transmit(self.links.route(seen.link), seen.from, ack, None);
        }
    }

    /// A fragment of ours arrived.
    pub(crate) fn fragment_ack(&mut self, turn: &mut Turn<'_>, seen: &Sighting<'_>) {
        self.roster.hear(turn.now.tick, seen);
        let Ok(raw) = RawPacket::parse(seen.bytes) else { return };
        let Ok(ack) = FragmentAck::read(&raw) else { return };
        let outgoing = &mut self.pictures.outgoing;
        if let Some((no, step)) = outgoing.acknowledged(turn, seen.from, ack.id, ack.index) {
            self.roster.note_hears(seen.from);
            self.picture_step(turn, no, step);
        }
    }

    /// It is the turn of a transfer.
    pub(crate) fn fragment_due(&mut self, turn: &mut Turn<'_>, no: SendNo) {
        let step = self.pictures.outgoing.due(turn, no);
        self.picture_step(turn, no, step);
    }

    /// Remembers the pictures a message refers to.
    pub(crate) fn mentions(&mut self, peer: PeerNo, number: PacketNo, text: &str) {
        if let Some(peer) = self.roster.get(peer) {
            self.pictures.incoming.mentioned(&peer.id, number, text);
        }
    }

    /// Sends a picture, or refuses it and sends nothing to anybody. Answered when it is packed.
    pub(crate) fn send_picture(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        letter: PictureLetter,
    ) {
        if let Err(refusal) = self.may_send_picture(turn, &letter.to) {
            return turn.reply(id, Reply::Refused(refusal));
        }
        let Pictures { outgoing, next_stage, .. } = &mut self.pictures;
        let stage = Pictures::stage(next_stage);
        let PictureLetter { to, path, timeout } = letter;
        outgoing.pack(stage, Wish { request: id, to, timeout });
        turn.picture(PictureJob::Pack { stage, path });
    }

    fn may_send_picture(&self, turn: &Turn<'_>, to: &[Target]) -> Result<(), Refusal> {
        match turn.base.voice {
            Voice::Speaks => {}
            Voice::Passive => return Err(Refusal::Passive),
            Voice::Left => return Err(Refusal::NoLink),
        }
        if to.is_empty() {
            return Err(Refusal::Nobody);
        }
        if self.links.is_empty() {
            return Err(Refusal::NoLink);
        }
        let recipients = self.viewers(to)?;
        if self.pictures.sending() + recipients.len() > turn.base.policy.picture_transfers_max {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    /// Finds each recipient once; all of them must take pictures.
    fn viewers(&self, to: &[Target]) -> Result<Vec<PeerNo>, Refusal> {
        let mut viewers = Vec::with_capacity(to.len());
        for target in to {
            let unknown = |name: &str| Refusal::UnknownPeer { peer: super::PeerId(name.into()) };
            let no = match target {
                Target::Peer(id) => self.roster.find(id).ok_or_else(|| unknown(&id.0)),
                Target::Addr(addr) => {
                    let addr = canonical(*addr);
                    self.roster.at(addr).ok_or_else(|| unknown(&addr.to_string()))
                }
            }?;
            let peer = self.roster.get(no).ok_or(Refusal::Nobody)?;
            if !peer.dialect.habits.takes_pictures {
                return Err(Refusal::TakesNoPictures { peer: Box::new(peer.view()) });
            }
            if !viewers.contains(&no) {
                viewers.push(no);
            }
        }
        Ok(viewers)
    }

    /// What came of a job with the bytes of a picture.
    pub(crate) fn picture_news(&mut self, turn: &mut Turn<'_>, stage: StageId, news: PictureNews) {
        let Pictures { incoming, outgoing, .. } = &mut self.pictures;
        match news {
            PictureNews::Checked(facts) => {
                let rules = &self.offers;
                incoming.checked(turn, stage, facts, |peer, from, facts| {
                    rules.accept_picture(peer, from, facts)
                });
            }
            PictureNews::Exported(path) => {
                let text = format!("a picture is written, by a rule: {}", path.display());
                turn.notice(NoticeCode::PictureWritten, text);
            }
            PictureNews::NotExported(reason) => {
                let text = format!("a picture is kept, but not written as a file: {reason}");
                turn.notice(NoticeCode::Picture, text);
            }
            PictureNews::Read { offset, data } => outgoing.read(turn, stage, offset, &data),
            PictureNews::Packed { size } => {
                if let Some(wish) = outgoing.packed(stage) {
                    self.picture_packed(turn, stage, size, &wish);
                }
            }
            PictureNews::Failed(reason) => {
                if incoming.failed(turn, stage, &reason) {
                    return;
                }
                if let Some(wish) = outgoing.packed(stage) {
                    let refusal = Refusal::NoPicture { reason };
                    return turn.reply(wish.request, Reply::Refused(refusal));
                }
                for no in outgoing.of_stage(stage) {
                    self.picture_step(turn, no, Step::Silent);
                }
            }
        }
    }

    /// The container is there: begins to send it to everybody it is for.
    fn picture_packed(&mut self, turn: &mut Turn<'_>, stage: StageId, size: u32, wish: &Wish) {
        // Somebody may have left meanwhile.
        let viewers = match self.may_send_picture(turn, &wish.to) {
            Ok(()) => self.viewers(&wish.to),
            Err(refusal) => Err(refusal),
        };
        let viewers = match viewers {
            Ok(viewers) => viewers,
            Err(refusal) => {
                turn.picture(PictureJob::Drop { stage });
                return turn.reply(wish.request, Reply::Refused(refusal));
            }
        };
        let number = turn.message_number().number;
        let id = PictureId(turn.base.rng.gen_range(1..=u32::MAX));
        let found = viewers.iter().filter_map(|&no| {
            let peer = self.roster.get(no)?;
            let place = peer.places.first()?;
            let link = self.links.route(place.link);
            Some((
                no,
                Transfer::new((stage, id, size), peer.view(), place.addr, link, wish.timeout),
            ))
        });
        let transfers: Vec<_> = found.collect();
        let to = transfers.iter().map(|(_, transfer)| (*transfer.view).clone()).collect();
        turn.reply(wish.request, Reply::Sent { number, to, links: Vec::new() });
        for (index, (peer, transfer)) in (0..).zip(transfers) {
            self.roster.note_written(peer);
            self.pictures.outgoing.begin(turn, SendNo { number, index }, transfer);
        }
    }

    /// Where a transfer got to: after its last fragment, or when nobody acknowledges, the message
    /// that refers to the picture has its turn, or its end.
    fn picture_step(&mut self, turn: &mut Turn<'_>, no: SendNo, step: Step) {
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
        let bytes = turn.base.own.picture_reference(no.number, transfer.id, options);
        let view: PeerView = self.roster.view(&transfer.view.id).unwrap_or(*transfer.view);
        let sending = Sending {
            view: Box::new(view),
            addr: Some(transfer.to),
            options,
            text: Some(Reference::text(transfer.id, false).into()),
            bytes: Some(bytes),
            deadline: turn.now.tick + transfer.timeout,
            tries: if arrived { 0 } else { transfer.sent },
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

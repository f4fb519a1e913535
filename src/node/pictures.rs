//! Pictures inside messages, as `FeiQ` sends them (dialect reference, 7): [`incoming`] gathers
//! fragments and acknowledges each, [`outgoing`] sends windows of them and waits, [`sending`] says
//! who gets them and who the file. Their bytes do not pass through here but for a window at a time:
//! [`job`] says what the shell does with them.
//!
//! ```text
//! in:   fragment -> Begin, Write.. -> Check -> Record::Picture -> Event::Picture
//! out:  Request::SendPicture -> Pack -> (Read -> fragments -> acknowledgements).. -> message
//! ```

pub(crate) mod handover;
pub(crate) mod incoming;
pub(crate) mod job;
pub(crate) mod outgoing;
mod sending;

use super::Parts;
use super::api::NoticeCode;
use super::input::{SaveId, SaveResult};
use super::outbox::SendNo;
use super::peer::{PeerNo, Sighting};
use super::trust::Allowance;
use super::turn::Turn;
use crate::wire::picture::{Fragment, FragmentAck, PictureError};
use crate::wire::{PacketNo, RawPacket};

use incoming::Incoming;
use job::{PictureNews, StageId};
use outgoing::{Outgoing, Step};
pub(crate) use sending::PictureLetter;

/// Pictures on their way, in and out.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    incoming: Incoming,
    outgoing: Outgoing,
    next_stage: u64,
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
                let known = self.roster.at(seen.from).and_then(|no| self.roster.get(no));
                let nick = known.map_or(seen.packet.user.as_str(), |peer| &peer.nick);
                incoming.refuse(turn, seen.from.ip(), nick, why);
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
                self.picture_packed(turn, stage, Ok(size));
            }
            PictureNews::Failed(reason) => {
                if incoming.failed(turn, stage, &reason) {
                    return;
                }
                let sending = outgoing.of_stage(stage);
                self.picture_packed(turn, stage, Err(reason));
                for no in sending {
                    self.picture_step(turn, no, Step::Silent);
                }
            }
        }
    }
}

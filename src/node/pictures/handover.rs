//! Pictures that are on their way while the port changes hands. Their bytes go along as open files;
//! here is what is known of them, so that nothing that was acknowledged has to come again.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Pictures;
use super::incoming::Key;
use super::job::StageId;
use crate::node::api::{PeerId, PeerView};
use crate::node::input::{LinkId, Tick};
use crate::node::turn::Turn;
use crate::wire::PacketNo;
use crate::wire::picture::PictureId;

/// What one process tells the next of pictures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PicturesNote {
    next_stage: u64,
    pub(super) coming: Vec<ComingNote>,
    /// Messages that refer to a picture: their writer, the picture, the message.
    pub(super) mentions: Vec<(PeerId, u32, PacketNo)>,
    pub(super) going: Vec<GoingNote>,
}

/// A picture on its way in, or one that ended lately.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ComingNote {
    pub(super) peer: PeerId,
    pub(super) id: u32,
    pub(super) stage: StageId,
    pub(super) total: u32,
    pub(super) count: u32,
    pub(super) chunk: u32,
    /// A bit for each fragment that came; nothing once all have.
    pub(super) have: Vec<u64>,
    pub(super) view: PeerView,
    pub(super) from: SocketAddr,
    pub(super) counts: bool,
    /// Since it began, or ended.
    pub(super) ago: Duration,
    /// Its bytes are of no more use; only repetitions are acknowledged.
    pub(super) ended: bool,
}

/// A picture of ours on its way to one recipient.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct GoingNote {
    pub(super) number: PacketNo,
    pub(super) index: u32,
    pub(super) stage: StageId,
    pub(super) id: u32,
    pub(super) size: u32,
    pub(super) view: PeerView,
    pub(super) to: SocketAddr,
    pub(super) link: Option<LinkId>,
    pub(super) timeout: Duration,
    /// How often the window was tried.
    #[serde(default)]
    pub(super) rounds: u32,
    /// The first fragment of the window, and a bit for each that was acknowledged.
    pub(super) first: u32,
    pub(super) acked: u32,
}

impl PicturesNote {
    /// Writes down what is on its way.
    pub(crate) fn of(pictures: &Pictures, now: Tick) -> Self {
        let Pictures { incoming, outgoing, next_stage } = pictures;
        Self {
            next_stage: *next_stage,
            coming: incoming.notes(now),
            mentions: incoming.mention_notes(),
            going: outgoing.notes(),
        }
    }

    /// The stages that go along.
    pub(crate) fn stages(&self) -> Vec<StageId> {
        let open = self.coming.iter().filter(|note| !note.ended).map(|note| note.stage);
        let mut stages: Vec<_> = open.chain(self.going.iter().map(|note| note.stage)).collect();
        stages.sort_unstable();
        stages.dedup();
        stages
    }

    /// A stage does not go along, and so neither does what is known of a picture that was coming:
    /// its sender begins again. One of ours fails when its stage is read, and so has its end.
    pub(crate) fn leave_behind(&mut self, stage: StageId) {
        self.coming.retain(|note| note.ended || note.stage != stage);
    }
}

impl Pictures {
    /// Takes over what another process was doing.
    pub(crate) fn restore(&mut self, turn: &mut Turn<'_>, note: PicturesNote) {
        let PicturesNote { next_stage, coming, mentions, going } = note;
        self.next_stage = next_stage;
        for note in coming {
            self.incoming.restore(turn, note);
        }
        for (peer, id, number) in mentions {
            self.incoming.mention(Key { peer, id: PictureId(id) }, number);
        }
        for note in going {
            self.outgoing.restore(note);
        }
    }

    /// Goes on with it.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        self.incoming.start(turn);
        self.outgoing.start(turn);
    }
}

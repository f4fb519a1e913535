//! What a node wants done with the bytes of pictures, which it never holds itself, and what comes
//! of that. They lie in stages: files without a name that vanish with the process.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::node::Event;
use crate::node::api::PeerView;
use crate::node::api::pictures::{PictureEvent, PictureFacts};
use crate::node::input::UnixMillis;
use crate::wire::PacketNo;

/// Names the bytes of a picture that is on its way in or out. Never used twice, also by the processes
/// that take over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageId(pub u64);

/// Something to do with a stage. The jobs of one stage are done in order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PictureJob {
    /// Make an empty stage for a picture of this size. Answered only if that fails, by
    /// [`PictureNews::Failed`]; what follows for the stage is then ignored.
    Begin {
        /// The stage.
        stage: StageId,
        /// Bytes of the whole picture.
        size: u32,
        /// When; for the daily budget.
        at: UnixMillis,
        /// Whether it counts for the daily budget: it does where we never wrote to its sender.
        counts: bool,
    },
    /// Write a piece of it. Answered only if that fails.
    Write {
        /// The stage.
        stage: StageId,
        /// Where, in bytes from the beginning.
        offset: u32,
        /// What.
        data: Box<[u8]>,
    },
    /// The picture is whole: decode it, and put into the stage what is to be kept. Answered by
    /// [`PictureNews::Checked`] or [`PictureNews::Failed`].
    Check {
        /// The stage.
        stage: StageId,
    },
    /// Make a stage of the picture in this file, as a container. Answered by
    /// [`PictureNews::Packed`] or [`PictureNews::Failed`].
    Pack {
        /// The stage.
        stage: StageId,
        /// The file; an absolute path.
        path: PathBuf,
    },
    /// Read from it. Answered by [`PictureNews::Read`] or [`PictureNews::Failed`].
    Read {
        /// The stage.
        stage: StageId,
        /// From where, in bytes from the beginning.
        offset: u32,
        /// How many bytes; all of them are there.
        length: u32,
    },
    /// Make a file of it in the download folder. Answered by [`PictureNews::Exported`] or
    /// [`PictureNews::NotExported`].
    Export {
        /// The stage.
        stage: StageId,
        /// Name of the file; another one of that name stays.
        name: String,
        /// When it came; the file's time.
        at: UnixMillis,
    },
    /// The stage is not needed any more.
    Drop {
        /// The stage.
        stage: StageId,
    },
}

/// What came of a [`PictureJob`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PictureNews {
    /// It is a picture, and the stage holds what is to be kept of it.
    Checked(PictureFacts),
    /// The stage holds a container of so many bytes.
    Packed {
        /// Bytes.
        size: u32,
    },
    /// A part of the stage.
    Read {
        /// From where.
        offset: u32,
        /// What is there.
        data: Arc<[u8]>,
    },
    /// It is a file, too: its whole path.
    Exported(PathBuf),
    /// It did not become a file; the reason, for people.
    NotExported(String),
    /// It could not be done; the reason, for people. The stage is gone.
    Failed(String),
}

/// A received picture as it is kept. Its bytes are in the stage until the record is on disk.
#[derive(Clone, PartialEq, Debug)]
pub struct PictureRecord {
    /// When it was whole.
    pub at: UnixMillis,
    /// Who sent it, as it was then.
    pub peer: PeerView,
    /// The id its sender gave it.
    pub id: u32,
    /// Number of the message that refers to it, if that came first.
    pub number: Option<PacketNo>,
    /// What it is.
    pub facts: PictureFacts,
    /// Where its bytes are.
    pub stage: StageId,
    /// Whether it counts for the daily budget.
    pub counts: bool,
}

impl PictureRecord {
    /// What listeners hear of it: now, and again when it is read back from the store.
    pub fn event(&self) -> Event {
        Event::Picture(Box::new(PictureEvent {
            peer: self.peer.clone(),
            picture: format!("{:08x}", self.id),
            number: self.number,
            facts: self.facts.clone(),
        }))
    }
}

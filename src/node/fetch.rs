//! What the shell is asked to fetch, and what it tells of it: [`Fetch`] and [`FetchNews`]. Bytes
//! never pass through the node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::api::files::{ItemKind, TransferProblem};
use crate::wire::dialect::{Habits, IdBase};
use crate::wire::request::{AnswerForm, FileRequest};
use crate::wire::{Charset, Head, Options, PacketNo};

/// Names a transfer to us inside this process; never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FetchId(pub u64);

/// One item to fetch.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// From there: TCP to this address and port, then to the protocol's own port.
    pub from: SocketAddr,
    /// How to ask for it.
    pub ask: FileAsk,
    /// What it is.
    pub kind: ItemKind,
    /// The name it was offered under: no safe file name.
    pub name: String,
    /// Exactly so many bytes for a file; at most so many in all for a folder.
    pub size: u64,
    /// Modification time, Unix seconds; 0 if it is not known.
    pub mtime: u64,
    /// It was offered as read-only.
    pub read_only: bool,
    /// Charset of the names in a folder's stream.
    pub charset: Charset,
    /// Names what an earlier transfer of the same left: letters and digits.
    pub key: String,
    /// The peer's program begins where it is asked to.
    pub resumes: bool,
    /// Into this folder; none: the download folder of the settings.
    pub into: Option<PathBuf>,
    /// At most so many bytes a second.
    pub limit: Option<u64>,
    /// Compute the SHA-256 of a file.
    pub digest: bool,
}

/// What earlier transfers may have left of an item, and is not wanted any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leftover {
    /// In this folder; none: the download folder of the settings.
    pub into: Option<PathBuf>,
    /// As [`Fetch::key`] was.
    pub key: String,
    /// Number of the message that offered it.
    pub packet: PacketNo,
    /// Its id in that message.
    pub file: u64,
}

/// The request for a file, but for the place to begin at.
#[derive(Clone, Debug)]
pub struct FileAsk {
    pub(crate) version: String,
    pub(crate) number: PacketNo,
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) options: Options,
    /// `GETFILEDATA` or `GETDIRFILES`.
    pub form: AnswerForm,
    /// Number of the message that offered it.
    pub packet: PacketNo,
    /// Its id in that message.
    pub file: u64,
    /// How the peer's program wants it written; [`Habits::request_ids`] is the base that is tried
    /// first.
    pub habits: Habits,
}

impl FileAsk {
    /// The request as bytes, for one single write.
    pub fn bytes(&self, offset: u64, ids: IdBase) -> Vec<u8> {
        let Self { version, number, user, host, options, form, packet, file, habits } = self;
        let head = Head { version, number: *number, user, host };
        let request = FileRequest { form: *form, packet: *packet, file: *file, offset };
        request.emit(&head, *options, &Habits { request_ids: ids, ..*habits })
    }

    /// The bases of the id to try, the likelier one first; one where both look the same.
    pub fn bases(&self) -> Vec<IdBase> {
        let first = self.habits.request_ids;
        let other = match first {
            IdBase::Decimal => IdBase::Hexadecimal,
            IdBase::Hexadecimal => IdBase::Decimal,
        };
        let both = first.write(self.file) != other.write(self.file);
        [first].into_iter().chain(both.then_some(other)).collect()
    }
}

/// What a transfer to us tells.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum FetchNews {
    /// It moves; told a few times a second.
    Moved {
        /// Bytes there, with those an earlier transfer left.
        bytes: u64,
        /// Of these: left by an earlier transfer.
        resumed: u64,
        /// Files complete.
        done: u64,
        /// Since the connection stood.
        took: Duration,
    },
    /// It ended.
    Ended(Box<FetchEnd>),
}

/// How a transfer to us ended.
#[derive(Clone, PartialEq, Debug)]
pub struct FetchEnd {
    /// Where it is now, whole path; or why it is not complete.
    pub result: Result<PathBuf, TransferProblem>,
    /// Bytes that moved.
    pub bytes: u64,
    /// Bytes that an earlier transfer had left and that did not move again.
    pub resumed: u64,
    /// Files complete.
    pub done: u64,
    /// Entries of a folder that were passed over.
    pub skipped: u64,
    /// From the connection to the end.
    pub took: Duration,
    /// SHA-256 of a complete file, 64 hex digits, if it was asked for.
    pub sha256: Option<String>,
    /// The base in which the peer understood the id.
    pub ids: Option<IdBase>,
}

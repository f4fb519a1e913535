//! What faces say and hear of files, in both directions: [`OfferView`] is what lies on the table,
//! [`Progress`] what is moving, [`Transferred`] how it ended.
//!
//! An *offer* is one message that offers files and folders to one peer; each of them is an *item*.
//! A *transfer* is one try to move one item.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Direction, PeerId, PeerView, Target};
use crate::node::UnixMillis;
use crate::wire::PacketNo;

/// The short number of an offer, for people: what `feige files` shows and `feige get` takes. Counts
/// the offers of this profile from 1, those to us and those by us together; never used twice.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct OfferId(pub u32);

impl fmt::Display for OfferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Files and folders that one message offers to one peer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OfferView {
    /// Its short number.
    pub offer: OfferId,
    /// `in`: to us; `out`: by us.
    pub direction: Direction,
    /// When it was made.
    pub made_at: UnixMillis,
    /// When it ends by itself, if it does.
    pub ends_at: Option<UnixMillis>,
    /// The other side, as it was then.
    pub peer: PeerView,
    /// Packet number of the message.
    pub number: PacketNo,
    /// Not offered by a message but listed on demand (`feige files --of WHO`).
    pub shared: bool,
    /// What is offered; never empty.
    pub items: Vec<ItemView>,
}

/// One offered file or folder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ItemView {
    /// Its place in the offer, from 1; `feige get 7.2` means the second item of offer 7.
    pub item: u32,
    /// Its id on the wire.
    pub file: u64,
    /// Its name as its sender wrote it: one path component, not yet a safe file name.
    pub name: String,
    /// File, folder or picture.
    pub kind: ItemKind,
    /// Bytes; of a folder in all, 0 where its sender does not say.
    pub size: u64,
    /// Modification time, Unix seconds; 0 if it is not known.
    pub mtime: u64,
    /// How far it is.
    pub state: ItemState,
    /// Bytes that have moved until now, in the present or last transfer.
    pub bytes: u64,
    /// Where a received one was put, whole path; none before it is complete, or if the path is not
    /// UTF-8.
    pub path: Option<PathBuf>,
}

/// What is offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// A regular file.
    File,
    /// A folder with all that is in it.
    Folder,
    /// A picture that stands in the text (clipboard image).
    Picture,
}

/// How far an item is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// Nobody has asked for it, or what was asked for broke off and may be asked for again.
    Waiting,
    /// Accepted, but as many transfers as may run at once are running.
    Queued,
    /// Bytes are moving.
    Moving,
    /// Complete.
    Done,
    /// The recipient does not want it, or the sender took it back.
    Over,
}

/// Items as a face names them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// By the short number of the offer: every item of it, or the one at this place, from 1.
    Offer(OfferId, Option<u32>),
    /// As on the wire: address of the peer, packet number of the message, id of the file (decimal;
    /// none: every item).
    Wire(IpAddr, PacketNo, Option<u64>),
    /// Everything that waits from this peer.
    From(PeerId),
    /// Everything that waits.
    All,
}

/// A text that names no offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "an offer is a number as in `feige files` (7, or 7.2 for its second file), or IP/PACKET/ID"
)]
pub struct NoOffer;

impl FromStr for Pick {
    type Err = NoOffer;

    /// Reads `7`, `7.2`, `10.0.0.7/1780525944` or `10.0.0.7/1780525944/0`.
    fn from_str(text: &str) -> Result<Self, NoOffer> {
        fn number<T: FromStr>(digits: &str) -> Result<T, NoOffer> {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| plain).ok_or(NoOffer)
        }
        if let Some((addr, rest)) = text.split_once('/') {
            let (packet, file) = match rest.split_once('/') {
                Some((packet, file)) => (packet, Some(number(file)?)),
                None => (rest, None),
            };
            let addr = addr.parse().map_err(|_| NoOffer)?;
            return Ok(Self::Wire(addr, PacketNo(number(packet)?), file));
        }
        Ok(match text.split_once('.') {
            Some((offer, item)) => Self::Offer(OfferId(number(offer)?), Some(number(item)?)),
            None => Self::Offer(OfferId(number(text)?), None),
        })
    }
}

/// What `Request::Get` asks for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Get {
    /// Which items; those that are complete, over, or moving already are left out.
    pub picks: Vec<Pick>,
    /// Into this folder, a whole path; none: the download folder of the settings.
    pub into: Option<PathBuf>,
    /// At most so many bytes a second for each transfer.
    pub limit: Option<u64>,
    /// Most bytes a folder may have in all; none: what the offer says, else 16 GiB.
    pub folder_max: Option<u64>,
    /// Tell the SHA-256 of each file.
    pub digest: bool,
}

/// What `Request::FilesOf` asks for: the list of files a peer shares with everybody (iptux).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FilesOf {
    /// Of whom.
    pub peer: Target,
}

/// One item on its way, told a few times a second.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// The offer it belongs to.
    pub offer: OfferId,
    /// Its place there, from 1.
    pub item: u32,
    /// `in`: to us; `out`: by us.
    pub direction: Direction,
    /// The other side.
    pub peer: PeerView,
    /// Packet number of the message that offered it.
    pub number: PacketNo,
    /// Its name as its sender wrote it.
    pub name: String,
    /// File, folder or picture.
    pub kind: ItemKind,
    /// Bytes there already, with those an earlier transfer left.
    pub bytes: u64,
    /// Bytes in all; none where nobody says (folders of some clients).
    pub of: Option<u64>,
    /// Files complete; of a folder, those in it.
    pub done: u64,
    /// Bytes a second, over the last few seconds.
    pub rate: u64,
    /// Seconds to the end at this rate, if that can be told.
    pub eta: Option<u64>,
}

/// How the transfer of one item ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Transferred {
    /// The offer it belongs to.
    pub offer: OfferId,
    /// Its place there, from 1.
    pub item: u32,
    /// `in`: to us; `out`: by us.
    pub direction: Direction,
    /// The other side.
    pub peer: PeerView,
    /// Packet number of the message that offered it.
    pub number: PacketNo,
    /// Its name as its sender wrote it.
    pub name: String,
    /// File, folder or picture.
    pub kind: ItemKind,
    /// Whether it is complete.
    pub outcome: TransferOutcome,
    /// Bytes that moved in this transfer.
    pub bytes: u64,
    /// Bytes that an earlier transfer had left and that did not move again.
    pub resumed: u64,
    /// Files complete; of a folder, those in it.
    pub done: u64,
    /// Seconds from the connection to the end.
    pub seconds: f64,
    /// Bytes a second over that time.
    pub rate: u64,
    /// SHA-256 of a file as `sha256sum` prints it, if it was asked for and the file is complete.
    pub sha256: Option<String>,
    /// Where a received one was put, whole path; none if it is not complete, or the path is not
    /// UTF-8.
    pub path: Option<PathBuf>,
    /// Entries of a folder that were passed over: links, devices and the like.
    pub skipped: u64,
    /// Files and folders in a folder of ours that could not be read, and so were not sent.
    #[serde(default)]
    pub unreadable: u64,
    /// Why it is not complete.
    pub problem: Option<TransferProblem>,
}

/// Whether a transfer moved everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferOutcome {
    /// All of it.
    Done,
    /// It broke off and may be asked for again; what came of a file is kept as a part, of a folder
    /// nothing.
    Broken,
    /// The recipient does not want it.
    Refused,
    /// Its sender took it back, or the offer's time was up.
    Withdrawn,
    /// The user of this side stopped it.
    Cancelled,
}

/// Why a transfer is not complete, and who can do something about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TransferProblem {
    /// Whose side it lies on.
    pub side: Side,
    /// What went wrong, in one line.
    pub what: String,
    /// What to do about it, in one line.
    pub hint: String,
}

/// Where something went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// On this machine.
    Ours,
    /// On the peer's machine, or in its program.
    Theirs,
    /// On the way, or it cannot be told.
    Network,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_named_by_number_or_as_on_the_wire() {
        let read = str::parse::<Pick>;
        assert_eq!(read("7"), Ok(Pick::Offer(OfferId(7), None)));
        assert_eq!(read("7.2"), Ok(Pick::Offer(OfferId(7), Some(2))));
        let addr = "10.0.0.7".parse().unwrap();
        assert_eq!(read("10.0.0.7/5/200000"), Ok(Pick::Wire(addr, PacketNo(5), Some(200_000))));
        assert_eq!(read("10.0.0.7/5"), Ok(Pick::Wire(addr, PacketNo(5), None)));
        let v6 = "fe80::1".parse().unwrap();
        assert_eq!(read("fe80::1/5/0"), Ok(Pick::Wire(v6, PacketNo(5), Some(0))));
        for text in ["", "x", "+7", "-1", "7.", ".2", "7.2.1", "10.0.0.7/", "a/1/2", "1/2/3/4"] {
            assert_eq!(read(text), Err(NoOffer), "{text}");
        }
    }
}

//! What the store tells a starting node of the runs before it.

use super::api::files::OfferId;
use super::api::{Alias, GroupView, PeerId, PeerView};
use super::effect::{BookRecord, CharsetRecord, Open};
use super::input::UnixMillis;
use super::offers::OfferRecord;
use super::serving::grant::GrantRecord;
use crate::wire::{Options, PacketNo};

/// What a node is told of earlier runs, once, before its first input; by a store that has nothing to
/// tell, the default. Where a [`Handover`](super::Handover) has told the same already, in fresher
/// words, those stay.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Memory {
    /// Peers that number their packets from 1. With it a message that is repeated across our own
    /// restart is known; without it such a peer begins a new epoch then.
    pub epochs: Vec<EpochMemory>,
    /// Files of ours that are still on offer. Those the shell found changed have the state
    /// [`ItemState::Over`](super::ItemState::Over).
    pub grants: Vec<GrantRecord>,
    /// Offers to us that are open.
    pub offers: Vec<OfferRecord>,
    /// The highest number an offer ever had, to us or by us.
    pub last_offer: OfferId,
    /// The user's own names for peers.
    pub aliases: Vec<Alias>,
    /// Peers we are deaf to, as they were when they were blocked.
    pub blocks: Vec<PeerView>,
    /// Sealed messages of ours that nobody opened yet, oldest first: their read notices may still
    /// come.
    pub sealed: Vec<SealedMemory>,
    /// Sealed messages to us that were opened, and whose senders may not know that.
    pub untold: Vec<UntoldMemory>,
    /// What is replied while we are away; none: we are here.
    pub away: Option<String>,
    /// Who got an automatic reply lately, and when.
    pub replied: Vec<(PeerId, UnixMillis)>,
    /// The charsets of peers, as far as they were learnt or fixed by the user.
    pub charsets: Vec<CharsetRecord>,
    /// The groups of FeiQ that were heard.
    pub groups: Vec<GroupView>,
    /// Messages of ours whose end is not known, in the order of writing. What was to be kept goes
    /// on waiting; the others end, because the node that sent them did.
    pub open: Vec<OpenMemory>,
}

impl Memory {
    /// Takes in a change that came after what is here.
    pub fn apply(&mut self, change: &BookRecord) {
        match change {
            BookRecord::Named(alias) => {
                self.aliases.retain(|other| other.name != alias.name);
                self.aliases.push(alias.clone());
            }
            BookRecord::Unnamed { name } => self.aliases.retain(|other| other.name != *name),
            BookRecord::Blocked(view) => {
                self.blocks.retain(|other| other.id != view.id);
                self.blocks.push((**view).clone());
            }
            BookRecord::Unblocked { peer } => self.blocks.retain(|other| other.id != *peer),
        }
    }
}

/// A message of ours to one recipient that has not ended.
#[derive(Clone, PartialEq, Debug)]
pub struct OpenMemory {
    /// Our number of the message.
    pub number: PacketNo,
    /// The recipient as it was then.
    pub peer: PeerView,
    /// Option bits of the packet.
    pub options: Options,
    /// The text.
    pub text: String,
    /// When it was written.
    pub written: UnixMillis,
    /// How long it may be open.
    pub open: Open,
    /// It was said to be queued.
    pub queued: bool,
}

/// Where the numbers of a peer that counts from 1 stand in the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct EpochMemory {
    /// The peer.
    pub peer: PeerId,
    /// The highest epoch of its stored messages.
    pub epoch: u32,
    /// The highest number of a message in it.
    pub highest: PacketNo,
}

/// A sealed message of ours that its recipient has not opened yet.
#[derive(Clone, PartialEq, Debug)]
pub struct SealedMemory {
    /// Its number.
    pub number: PacketNo,
    /// The recipient; its read notice counts only from one of these addresses.
    pub peer: PeerView,
}

/// A sealed message to us that was opened, and whose sender may not know that.
#[derive(Clone, PartialEq, Debug)]
pub struct UntoldMemory {
    /// Its place in the event stream.
    pub message: u64,
    /// The sender's number of it.
    pub number: PacketNo,
    /// Its sender.
    pub peer: PeerView,
    /// Option bits of the packet.
    pub options: Options,
    /// When it was opened.
    pub opened: UnixMillis,
}

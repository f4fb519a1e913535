//! Rules of the user by which offers are accepted unasked (threats, rule 19).

use std::net::{IpAddr, SocketAddr};

use crate::node::api::PeerView;
use crate::node::api::files::{ItemKind, ItemView};
use crate::node::api::pictures::PictureFacts;

/// Whose offers are accepted, and what of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptRule {
    /// Whose.
    pub who: AcceptWho,
    /// Largest file, and most bytes of a folder in all.
    pub max: u64,
    /// Endings without the dot, lower case; empty: any.
    pub types: Vec<String>,
    /// Folders too; what is in them is not judged by its ending.
    pub folders: bool,
}

/// Whose offers a rule accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AcceptWho {
    /// The peer with this `user@host` at this address.
    Peer {
        /// Log-on name, `@`, computer name; compared without regard to ASCII case.
        name: String,
        /// Its address.
        addr: IpAddr,
    },
    /// Whoever bears this nickname: nobody vouches for it.
    Nick(String),
    /// Whoever says to be in this group: nobody vouches for it.
    Group(String),
}

impl AcceptRule {
    /// Whether offers of this peer from this address are meant.
    pub(super) fn is_about(&self, peer: &PeerView, from: SocketAddr) -> bool {
        match &self.who {
            AcceptWho::Peer { name, addr } => {
                *addr == from.ip()
                    && format!("{}@{}", peer.user, peer.host).eq_ignore_ascii_case(name)
            }
            AcceptWho::Nick(nick) => peer.nick == *nick,
            AcceptWho::Group(group) => peer.group == *group,
        }
    }

    /// Whether a picture that came inside a message is within the rule.
    pub(super) fn accepts_picture(&self, picture: &PictureFacts) -> bool {
        let ending = picture.format.extension();
        picture.size <= self.max
            && (self.types.is_empty() || self.types.iter().any(|known| known == ending))
    }

    /// Whether this item is within the rule.
    pub(super) fn accepts(&self, item: &ItemView) -> bool {
        if item.size > self.max {
            return false;
        }
        if item.kind == ItemKind::Folder {
            return self.folders;
        }
        let ending = item.name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase());
        self.types.is_empty() || ending.is_some_and(|ending| self.types.contains(&ending))
    }
}

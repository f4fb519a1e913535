//! What only some messages have ([`Extras`]), and the groups of FeiQ ([`GroupView`], [`GroupRef`]).

use serde::{Deserialize, Serialize};

use crate::node::input::UnixMillis;
use crate::wire::dialect::Font;

/// What only some messages have; in JSON these are fields of the message itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// The group of FeiQ it was written in; none for a message to us.
    pub chat: Option<GroupRef>,
    /// The font it was written in, where its writer's program tells.
    pub font: Option<Font>,
    /// How it was encrypted on its way, in words: `RSA-1024, Blowfish-128`. Says nothing of who
    /// wrote it. None if it was not; a message in a group never is.
    pub encryption: Option<String>,
}

impl Extras {
    /// As a message is kept with it: nothing, where there is nothing of all this.
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// A group of FeiQ users, who write to each other by multicast. It has nothing to do with the
/// group that a peer announces in its entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupRef {
    /// 1 to 16 lower-case hexadecimal digits.
    pub id: String,
    /// Its name, if a member told it.
    pub name: Option<String>,
}

/// A group of FeiQ that was heard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupView {
    /// 1 to 16 lower-case hexadecimal digits.
    pub id: String,
    /// Its name, if a member told it.
    pub name: Option<String>,
    /// When a member was heard last.
    pub heard: UnixMillis,
}

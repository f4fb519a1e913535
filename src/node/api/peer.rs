//! A peer as faces see it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::{Charset, Sure};

/// A peer's identity, above its addresses: `user@host`, with `#` and the 12 hex digits of its
/// version field where it has one, and with `!` and its address where two people share all that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerId(pub Arc<str>);

/// A peer as faces see it: the same object in every event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerView {
    /// Identity.
    pub id: PeerId,
    /// Nickname; the log-on name if it announced none.
    pub nick: String,
    /// Log-on name.
    pub user: String,
    /// Computer name.
    pub host: String,
    /// Group; empty if none.
    pub group: String,
    /// The address it was last heard from.
    pub addr: IpAddr,
    /// Its port there.
    pub port: u16,
    /// Every address it is known at, the one above first.
    pub addrs: Vec<SocketAddr>,
    /// Family of clients: `feige`, `ipmsg`, `feiq`, `iptux`.
    pub dialect: String,
    /// Charset of its texts, if it is known.
    pub charset: Option<Charset>,
    /// How sure that is.
    pub charset_sure: Option<Sure>,
    /// Version it announced, in the words of its dialect.
    pub version: Option<String>,
    /// Whether it says that its user is away.
    pub absent: bool,
    /// Fingerprint of its key; none so far, for none is asked for.
    pub fingerprint: Option<String>,
}

impl PeerView {
    /// The nickname without the word in brackets that clients put behind it while their user is
    /// away: `Ali[lunch]` is Ali (wire reference, 4.3).
    pub fn untitled_nick(&self) -> &str {
        without_title(&self.nick, self.absent)
    }
}

/// `nick` without what stands in brackets at its end, if its owner is away.
pub(crate) fn without_title(nick: &str, absent: bool) -> &str {
    let bare = nick.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
    match bare.filter(|_| absent) {
        Some((bare, _)) if !bare.trim_end().is_empty() => bare.trim_end(),
        _ => nick,
    }
}

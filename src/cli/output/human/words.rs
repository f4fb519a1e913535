//! Words for people: what changed, how something ended, how long it took.

use std::net::SocketAddr;

use super::{NAME_MAX, one_space};
use crate::cli::output::date_and_time;
use crate::node::{
    Bounce, Direction, DownReason, GroupRef, MessageEvent, Outcome, PeerView, UnixMillis,
};
use crate::term;

/// A name from outside, safe and cut as nicknames are.
pub fn brief(name: &str) -> String {
    term::cut(&one_space(&term::safe(name)), NAME_MAX).into_owned()
}

/// Where a peer is, and what it runs.
pub(super) fn about(peer: &PeerView) -> String {
    let mut parts = vec![peer.addr.to_string(), term::safe(&peer.dialect).into_owned()];
    if !peer.group.is_empty() {
        parts.push(brief(&peer.group));
    }
    if peer.absent {
        parts.push("away".to_owned());
    }
    parts.join(", ")
}

/// What is new about a peer.
pub(super) fn change(before: Option<&PeerView>, peer: &PeerView) -> String {
    let mut changes = Vec::new();
    if let Some(before) = before {
        let renamed = before.untitled_nick() != peer.untitled_nick();
        if renamed {
            changes.push(format!("was called {}", brief(&before.nick)));
        }
        if before.group != peer.group {
            changes.push(match peer.group.as_str() {
                "" => "has no group now".to_owned(),
                group => format!("is in the group {} now", brief(group)),
            });
        }
        let was_at = SocketAddr::new(before.addr, before.port);
        if was_at != SocketAddr::new(peer.addr, peer.port) {
            // Among these a link-local one says on which link it is.
            let mut addrs = peer.addrs.iter();
            let is_too = addrs.any(|at| (at.ip(), at.port()) == (before.addr, before.port));
            let words = if is_too { "is also at" } else { "is now at" };
            changes.push(format!("{words} {}", peer.addr));
        }
        if let Some(charset) = peer.charset.filter(|_| before.charset != peer.charset) {
            changes.push(format!("writes {charset} now"));
        }
        if before.absent != peer.absent {
            changes.push(if peer.absent { "is away" } else { "is back" }.to_owned());
        }
    }
    if changes.is_empty() {
        return format!("changed ({})", about(peer));
    }
    changes.join(", ")
}

pub(super) const fn gone(reason: DownReason) -> &'static str {
    match reason {
        DownReason::Exit => "left",
        DownReason::Silent => "does not answer any more",
        DownReason::Replaced => "is gone: somebody else has that address now",
        DownReason::Forgotten => "was forgotten to make room",
        DownReason::Blocked => "is blocked",
    }
}

/// What is said of a knock that nobody answered.
pub const UNFELT: &str = "did not answer the knock";

/// A group of FeiQ before the name of whoever writes in it.
pub fn group_label(group: &GroupRef) -> String {
    let name = group.name.as_deref().unwrap_or(&group.id);
    format!("[{}]", brief(name))
}

pub(super) fn notes(message: &MessageEvent) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |applies: bool, words: &str| {
        if applies {
            notes.push(words.to_owned());
        }
    };
    note(message.closed, "not opened yet");
    note(message.sealed, "sealed");
    note(message.locked, "locked");
    note(message.automatic, "automatic reply");
    note(message.cut, "the text was longer and is cut here");
    notes.extend(to_several(message));
    if let Some(methods) = &message.extras.encryption {
        let methods = term::safe(methods);
        notes.push(format!("came encrypted ({methods}); who wrote it is not proved"));
    }
    match message.files {
        0 => {}
        1 => notes.push("offers 1 file".to_owned()),
        files => notes.push(format!("offers {files} files")),
    }
    notes
}

/// Who else got a message, as far as its sender's client says.
pub(super) fn to_several(message: &MessageEvent) -> Option<String> {
    /// Names shown; the rest is counted.
    const NAMES: usize = 5;
    if message.direction == Direction::Out || !message.several {
        return None;
    }
    let names: Vec<String> = message
        .recipients
        .iter()
        .take(NAMES)
        .map(|to| if to.user.is_empty() { &to.host } else { &to.user })
        .map(|name| brief(name))
        .collect();
    if names.is_empty() {
        return Some("to several".to_owned());
    }
    let more = match message.recipients.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let limit = if message.recipients_cut {
        ", perhaps to others: such a list ends after 30 names or 3 KiB"
    } else {
        ""
    };
    Some(format!("to {}{more}{limit}", names.join(", ")))
}

/// What to say of a message that is kept for its recipient.
pub fn queued(expires_at: UnixMillis) -> String {
    format!("queued until {}", date_and_time(expires_at))
}

/// What to say of a message that was confirmed so long after it was written.
pub fn waited(waited_ms: u64) -> String {
    let seconds = waited_ms / 1_000;
    let span = match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    };
    format!("{span} after it was written")
}

/// How a message ended without a receipt: `not confirmed` where the text may have arrived, `not
/// sent` where nothing left.
pub fn failed(outcome: Outcome, tries: u32, hint: Option<Bounce>, port: u16) -> String {
    let words = match outcome {
        Outcome::Confirmed => "confirmed".to_owned(),
        Outcome::NotConfirmed if tries == 0 => "not confirmed: its node ended".to_owned(),
        Outcome::NotConfirmed if tries == 1 => "not confirmed after 1 try".to_owned(),
        Outcome::NotConfirmed => format!("not confirmed after {tries} tries"),
        Outcome::NotSent => "not sent".to_owned(),
        Outcome::Cancelled => "not confirmed: cancelled".to_owned(),
        Outcome::Expired => "not confirmed: expired, the recipient did not appear".to_owned(),
        Outcome::Queued => "queued".to_owned(),
    };
    match hint {
        None => words,
        Some(hint) if outcome == Outcome::NotSent => format!("{words}: {}", why(hint, port)),
        Some(hint) => format!("{words}; {}", why(hint, port)),
    }
}

/// What a datagram to this port of somebody that came back tells.
pub fn why(hint: Bounce, port: u16) -> String {
    match hint {
        Bounce::PortUnreachable => format!("nothing listens on its port {port}"),
        Bounce::HostUnreachable => "that host cannot be reached".to_owned(),
        Bounce::Refused => "this system refused to send it".to_owned(),
    }
}

/// A time between two datagrams, for people.
pub fn milliseconds(millis: f64) -> String {
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

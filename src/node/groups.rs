//! Groups of FeiQ: who heard of them, what is written in them, and, as an experiment, what we write
//! there (`feiq-dialect.md`, 9). What is scrambled there is readable by everybody: it is never called
//! encrypted.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Parts;
use super::api::{Delivery, Extras, GroupRef, GroupView, Refusal, Reply};
use super::effect::Record;
use super::input::{Ipv4Net, LinkId, RequestId, UnixMillis};
use super::letters::{may_write, sent_record};
use super::numbers::Issued;
use super::peer::{Sighting, charset_of};
use super::turn::Turn;
use crate::crypto::group::{GROUP_DIGITS_MAX, GroupText, SCRAMBLED_MAX, scramble, unscramble};
use crate::wire::body::{self, Message};
use crate::wire::dialect::{FEIQ, FeiqVersion, GROUP_ADDR};
use crate::wire::{Charset, Command, Options, RawPacket};

/// The groups heard.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    known: BTreeMap<String, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    name: Option<String>,
    heard: UnixMillis,
}

/// The time a group was heard is written down again when it is older than this, milliseconds.
const STALE_MS: i64 = 3_600_000;

impl Groups {
    /// What an earlier run heard of.
    pub(crate) fn remember(&mut self, groups: Vec<GroupView>) {
        for GroupView { id, name, heard } in groups {
            self.known.entry(id).or_insert(Known { name, heard });
        }
    }

    /// The groups heard, the last one first.
    pub(crate) fn views(&self) -> Vec<GroupView> {
        let view = |(id, known): (&String, &Known)| GroupView {
            id: id.clone(),
            name: known.name.clone(),
            heard: known.heard,
        };
        let mut views: Vec<GroupView> = self.known.iter().map(view).collect();
        views.sort_by(|a, b| (b.heard, &a.id).cmp(&(a.heard, &b.id)));
        views
    }

    /// A group by its id, with its name if that is known.
    fn named(&self, id: &str) -> GroupRef {
        let name = self.known.get(id).and_then(|known| known.name.clone());
        GroupRef { id: id.to_owned(), name }
    }

    /// A member was heard. What is new is kept.
    fn note(&mut self, turn: &mut Turn<'_>, id: &str, name: Option<String>) {
        let now = turn.now.wall;
        let news = if let Some(known) = self.known.get_mut(id) {
            let renamed = name.is_some() && known.name != name;
            let stale = now.0.saturating_sub(known.heard.0) >= STALE_MS;
            if renamed {
                known.name = name;
            }
            known.heard = known.heard.max(now);
            renamed || stale
        } else {
            self.make_room(turn);
            self.known.insert(id.to_owned(), Known { name, heard: now });
            true
        };
        if news && turn.base.keeps {
            let GroupRef { id, name } = self.named(id);
            turn.save(Record::Group(GroupView { id, name, heard: now }));
        }
    }

    /// Forgets the longest silent group when there is no room.
    fn make_room(&mut self, turn: &Turn<'_>) {
        while self.known.len() >= turn.base.policy.groups_max.max(1) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.heard);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { return };
            self.known.remove(&oldest);
        }
    }
}

/// The plain text of a group packet: unscrambled with its sender's mac as that stands in the
/// packet, or as it came where a sender did not scramble it.
fn plain_of<'a>(seen: &Sighting<'a>, rest: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    if GroupText::read(rest).is_some() {
        return Some(rest.into());
    }
    let version = FeiqVersion::parse(seen.version)?;
    unscramble(version.mac?, rest, version.cipher_length).map(Into::into)
}

/// A group's id as it is compared and kept.
fn canonical_id(digits: &str) -> String {
    digits.to_ascii_lowercase()
}

impl Parts {
    /// Something was written in a group.
    pub(super) fn group_message(&mut self, turn: &mut Turn<'_>, seen: &Sighting<'_>) {
        let Ok(raw) = RawPacket::parse(seen.bytes) else { return };
        let rest = raw.rest.unwrap_or_default();
        let Some(plain) = plain_of(seen, rest) else {
            turn.base.counters.malformed += 1;
            return;
        };
        let Some(text) = GroupText::read(&plain) else {
            turn.base.counters.malformed += 1;
            return;
        };
        let hint = self.roster.hint(seen.from, &raw, turn.base.own.office);
        let body = Message::read_group(&raw, &hint, text.text);
        let id = canonical_id(text.group);
        let met = self.roster.meet(turn, seen);
        let Some(peer) = self.roster.get(met.peer) else { return };
        let key = self.inbox.key(turn, peer, seen);
        if self.inbox.has(&key) {
            turn.base.counters.repeats += 1;
            return;
        }
        self.groups.note(turn, &id, None);
        let extras = Extras { chat: Some(self.groups.named(&id)), ..Extras::default() };
        let Some(peer) = self.roster.shared_view(met.peer) else { return };
        self.inbox.take_in_group(turn, &peer, (seen, &body, extras), key);
        self.inbox.epochs.trim(&turn.base.policy, &self.roster);
        self.mentions(met.peer, seen.packet.number, &body.text);
    }

    /// A member shows itself in a group, and tells the group's name.
    pub(super) fn group_presence(&mut self, turn: &mut Turn<'_>, seen: &Sighting<'_>) {
        self.roster.hear(turn.now.tick, seen);
        let Ok(raw) = RawPacket::parse(seen.bytes) else { return };
        let Some(plain) = plain_of(seen, raw.rest.unwrap_or_default()) else { return };
        let Some(text) = GroupText::read(&plain) else { return };
        let hint = self.roster.hint(seen.from, &raw, turn.base.own.office);
        let name = Message::read_group(&raw, &hint, text.text).text;
        let name: String = name.chars().take(NAME_MAX).collect();
        let name = Some(name).filter(|name| !name.is_empty());
        self.groups.note(turn, &canonical_id(text.group), name);
    }

    /// Writes to a group, or refuses.
    pub(super) fn send_to_group(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        group: &str,
        text: &str,
    ) {
        if let Err(refusal) = self.try_to_send_to_group(turn, id, group, text) {
            turn.reply(id, Reply::Refused(refusal));
        }
    }

    fn try_to_send_to_group(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        group: &str,
        text: &str,
    ) -> Result<(), Refusal> {
        may_write(turn, text, false)?;
        let digits = (1..=GROUP_DIGITS_MAX).contains(&group.len())
            && group.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits {
            return Err(Refusal::BadGroup { group: group.to_owned() });
        }
        let group = canonical_id(group);
        let through: Vec<(LinkId, String)> = self
            .links
            .iter()
            .filter(|link| link.v4.iter().any(leads_out))
            .map(|link| (link.id, link.name.clone()))
            .collect();
        if through.is_empty() {
            return Err(Refusal::NoLink);
        }
        let Issued { number, gate } = turn.message_number();
        let form = FEIQ.habits.text_form(Options::empty(), Charset::GBK);
        let written = body::encode_message(text, form);
        // Third parties write the time there; what FeiQ writes is not known.
        let seconds = u64::try_from(turn.now.wall.0 / 1_000).ok();
        let plain = GroupText { group: &group, number: seconds, text: &written }.emit();
        let mac = turn.base.own.identity.mac.clone();
        let scrambled = scramble(mac.as_bytes(), &plain);
        let scrambled = scrambled.ok_or_else(|| Refusal::BadGroup { group: group.clone() })?;
        if scrambled.len() > SCRAMBLED_MAX {
            return Err(Refusal::BroadcastTooLong { size: scrambled.len(), limit: SCRAMBLED_MAX });
        }
        let bytes = turn.base.own.group_message(number, &scrambled);
        let links = through.iter().map(|(_, name)| name.clone()).collect();
        let raw = bytes.clone();
        let mut record = sent_record(turn, number, Options::empty(), text, charset_of(form), raw);
        record.delivery = Delivery::Group;
        let chat = Some(self.groups.named(&group));
        record.extras = Extras { chat, ..Extras::default() }.boxed();
        let event = record.event();
        let kept = turn.base.keeps.then(|| turn.save(Record::Message(record)));
        turn.emit(event, kept);
        let to = (GROUP_ADDR, turn.base.own.port).into();
        for (link, _) in through {
            turn.transmit(Some(link), to, bytes.clone(), gate.or(kept));
        }
        turn.reply(id, Reply::Sent { number, to: Vec::new(), links, offered: 0 });
        Ok(())
    }
}

/// Whether somebody else can be there. A loopback with a broadcast address joins profiles of one
/// machine.
fn leads_out(net: &Ipv4Net) -> bool {
    !net.addr.is_loopback() || net.broadcast.is_some()
}

/// Longest name of a group kept, in characters.
const NAME_MAX: usize = 128;

/// Whether a command is part of a group's life.
pub(crate) fn is_group(command: Command) -> bool {
    matches!(command, Command::FEIQ_GROUP_MESSAGE | Command::FEIQ_GROUP_PRESENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_where_nobody_else_is_carries_no_groups() {
        let net = |addr: [u8; 4], broadcast: Option<[u8; 4]>| Ipv4Net {
            addr: addr.into(),
            broadcast: broadcast.map(Into::into),
            limited: false,
        };
        assert!(!leads_out(&net([127, 0, 0, 1], None)));
        assert!(leads_out(&net([127, 8, 0, 1], Some([127, 255, 255, 255]))), "several profiles");
        assert!(leads_out(&net([10, 0, 0, 1], Some([10, 0, 0, 255]))));
        assert!(leads_out(&net([10, 8, 0, 1], None)), "a tunnel");
    }
}

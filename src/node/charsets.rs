//! The charsets of peers across our own restarts: what was learnt and what the user fixed, known
//! from the first packet on.

use std::collections::BTreeMap;

use super::api::{PeerId, Refusal, Reply};
use super::effect::{CharsetRecord, Record};
use super::input::{RequestId, SaveId, SaveResult};
use super::peer::{Charsets, Peer, key_of, mac_of};
use super::turn::Turn;
use crate::node::Parts;
use crate::wire::packet::name;
use crate::wire::{Charset, Command, Learned, Office, RawPacket, Sure, Verdict};

/// What the store knows of peers' charsets.
#[derive(Debug, Default)]
pub(crate) struct CharsetBook {
    known: BTreeMap<PeerId, Charsets>,
    /// What was fixed for those who are not here, on its way to the disk, and who asked for it.
    saving: BTreeMap<SaveId, (RequestId, PeerId, Option<Charset>)>,
}

impl CharsetBook {
    /// What earlier runs learnt.
    pub(crate) fn remember(&mut self, records: Vec<CharsetRecord>) {
        for CharsetRecord { peer, names, text } in records {
            self.known.entry(peer).or_insert(Charsets { names, text });
        }
    }

    /// The office's charset is this one now.
    pub(crate) fn reconsider(&mut self, office: Office) {
        for charsets in self.known.values_mut() {
            charsets.reconsider(office);
        }
    }

    /// What is known of this peer.
    pub(crate) fn of(&self, id: &PeerId) -> Charsets {
        self.known.get(id).copied().unwrap_or_default()
    }

    /// What is known of the sender of a packet whose names are not decoded yet: those it is
    /// remembered by must come out when they are read in the charset that is remembered.
    pub(crate) fn of_packet(&self, raw: &RawPacket<'_>) -> Charsets {
        if self.known.is_empty() {
            return Charsets::default();
        }
        let mac = mac_of(raw.version);
        let found = |charset: Charset| {
            let key = key_of(&name(raw.user, charset), &name(raw.host, charset), mac);
            self.known.get(&PeerId(key.into())).copied()
        };
        if raw.user.is_ascii() && raw.host.is_ascii() {
            return found(Charset::UTF_8).unwrap_or_default();
        }
        let read_as = |known: &Charsets| {
            known.names.verdict().or(known.text.verdict()).map(|verdict| verdict.charset)
        };
        let mut tried: Vec<Charset> = Vec::new();
        for charset in self.known.values().filter_map(read_as) {
            if tried.contains(&charset) {
                continue;
            }
            tried.push(charset);
            if let Some(known) = found(charset).filter(|known| read_as(known) == Some(charset)) {
                return known;
            }
        }
        Charsets::default()
    }

    /// The user fixes the charset of a peer that is not here, or takes that back. Whether there is
    /// room for one more.
    fn fix(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        id: &PeerId,
        charset: Option<Charset>,
    ) -> bool {
        if self.known.len() >= turn.base.policy.peers_max && !self.known.contains_key(id) {
            return false;
        }
        let mut charsets = self.of(id);
        charsets.fix(charset);
        let Charsets { names, text } = charsets;
        let record = CharsetRecord { peer: id.clone(), names, text };
        let save = turn.save(Record::Charsets(record));
        self.saving.insert(save, (request, id.clone(), charset));
        true
    }

    /// Keeps what is worth it of what a peer taught, if it differs from what is kept.
    pub(crate) fn note(&mut self, turn: &mut Turn<'_>, peer: &Peer) {
        let before = self.of(&peer.id);
        let changed = |old: &Learned, new: &Learned| {
            worth(new) != worth(old) && (worth(new).is_some() || worth(old).is_some())
        };
        let Charsets { names, text } = peer.charsets;
        if !changed(&before.names, &names) && !changed(&before.text, &text) {
            return;
        }
        if self.known.len() >= turn.base.policy.peers_max && !self.known.contains_key(&peer.id) {
            return;
        }
        self.known.insert(peer.id.clone(), peer.charsets);
        if turn.base.keeps {
            turn.save(Record::Charsets(CharsetRecord { peer: peer.id.clone(), names, text }));
        }
    }
}

impl CharsetRecord {
    /// The user says what the charset of this peer is, or with none that it is to be learnt.
    pub fn fix(&mut self, charset: Option<Charset>) {
        let Self { names, text, .. } = *self;
        let mut charsets = Charsets { names, text };
        charsets.fix(charset);
        (self.names, self.text) = (charsets.names, charsets.text);
    }
}

impl Charsets {
    /// As [`CharsetRecord::fix`].
    pub(crate) fn fix(&mut self, charset: Option<Charset>) {
        for learned in [&mut self.names, &mut self.text] {
            match charset {
                Some(charset) => learned.pin(charset),
                None => learned.unpin(),
            }
        }
    }
}

/// The verdict that the next run could not come to by itself from the first packet on: not that of
/// a dialect, nor one that each packet declares anew.
fn worth(learned: &Learned) -> Option<Verdict> {
    learned.verdict().filter(|verdict| match verdict.sure {
        Sure::Dialect | Sure::Ascii | Sure::Guessed => false,
        Sure::Declared => verdict.charset != Charset::UTF_8,
        _ => true,
    })
}

impl Parts {
    /// The office's charset is this one now: our entries are written in it, and everybody is asked
    /// for their names again.
    pub(super) fn set_office(&mut self, turn: &mut Turn<'_>, office: Office) -> Reply {
        if turn.base.own.office != office {
            turn.base.own.office = office;
            self.roster.reconsider(office);
            let Self { presence, roster, links, .. } = self;
            presence.announce(turn, roster, links, Command::BR_ENTRY, None);
        }
        Reply::Done
    }

    /// The user fixes the charset of a peer, or takes that back. Of one that is not here it is
    /// answered when it is on disk: that is all there is of it.
    pub(super) fn set_charset(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        id: &PeerId,
        charset: Option<Charset>,
    ) {
        if let Some(no) = self.roster.find(id) {
            self.roster.pin(turn, no, charset);
            return turn.reply(request, Reply::Done);
        }
        if !turn.base.keeps {
            let refusal = Refusal::UnknownPeer { peer: id.clone() };
            return turn.reply(request, Reply::Refused(refusal));
        }
        if !self.roster.charsets.fix(turn, request, id, charset) {
            turn.reply(request, Reply::Refused(Refusal::Busy));
        }
    }

    /// What the user said of a peer that is not here came back from the store. Whether it was that.
    pub(super) fn charset_saved(
        &mut self,
        turn: &mut Turn<'_>,
        id: SaveId,
        result: &SaveResult,
    ) -> bool {
        let book = &mut self.roster.charsets;
        let Some((request, peer, charset)) = book.saving.remove(&id) else { return false };
        let reply = match result {
            SaveResult::Failed(reason) | SaveResult::Refused(reason) => {
                Reply::Refused(Refusal::NotKept { reason: reason.clone() })
            }
            _ => {
                let known = book.known.entry(peer.clone()).or_default();
                known.fix(charset);
                // It may have come meanwhile.
                if let Some(no) = self.roster.find(&peer) {
                    self.roster.pin(turn, no, charset);
                }
                Reply::Done
            }
        };
        turn.reply(request, reply);
        true
    }
}

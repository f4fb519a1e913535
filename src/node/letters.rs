//! Writing: what a request to send or broadcast means, whom it goes to, and in which form each
//! recipient reads it (wire reference, 6.1).

mod late;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Parts;
use super::api::{Delivery, Direction, PeerId, PeerView, Refusal, Reply, Target, Wishes};
use super::effect::{MessageRecord, Record};
use super::input::{RequestId, UnixMillis};
use super::links::targets;
use super::numbers::Issued;
use super::outbox::later::Later;
use super::outbox::{SendNo, Sending, is_stranger};
use super::own::canonical;
use super::peer::{Peer, PeerNo, charset_of, view_of_stranger};
use super::serving::grant::OfferedFile;
use super::serving::{Serving, grant};
use super::turn::{Turn, Voice};
use super::unicasts::Job;
use crate::wire::body::DATAGRAM_MAX;
use crate::wire::command::message;
use crate::wire::dialect::{Habits, IPMSG, Reads, TextForm};
use crate::wire::{Charset, Options, PacketNo, Recipients, Verdict};

/// A message as a face wants it sent.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) to: Vec<Target>,
    pub(crate) text: String,
    pub(crate) check: bool,
    pub(crate) timeout: Duration,
    pub(crate) wishes: Wishes,
}

/// One recipient, found.
pub(super) struct Recipient {
    pub(super) view: PeerView,
    /// The peer; none for an address of which nothing is known.
    pub(super) peer: Option<PeerNo>,
    pub(super) addr: Option<SocketAddr>,
    form: TextForm,
    /// How it reads a list of files.
    reader: Reader,
}

impl Recipient {
    /// Whether its program takes pictures inside messages.
    pub(super) fn takes_pictures(&self) -> bool {
        self.peer.is_some() && self.reader.habits.takes_pictures
    }

    /// Whether it is an address of which nothing is known.
    pub(super) fn is_stranger(&self) -> bool {
        self.peer.is_none() && self.addr.is_some()
    }
}

/// A message about to leave: what is the same for all its recipients.
pub(super) struct Draft<'a> {
    pub(super) issued: Issued,
    pub(super) options: Options,
    pub(super) text: &'a str,
    pub(super) files: Arc<[OfferedFile]>,
    pub(super) wishes: &'a Wishes,
    pub(super) timeout: Duration,
    pub(super) later: Option<Later>,
}

/// How a list of files is read: what the client expects, and what it announced.
#[derive(Clone, Copy)]
struct Reader {
    habits: &'static Habits,
    status: Options,
}

impl Reader {
    /// Of somebody of whom nothing is known.
    const STRANGER: Self = Self { habits: &IPMSG.habits, status: Options::empty() };

    fn of(peer: &Peer) -> Self {
        Self { habits: &peer.dialect.habits, status: peer.options }
    }
}

/// One text in the forms its recipients read: few forms, however many recipients.
pub(super) struct Sheets<'a> {
    number: PacketNo,
    options: Options,
    text: &'a str,
    /// What it offers; each dialect has a form of its own for that, so no sheet serves two peers.
    files: &'a [OfferedFile],
    written: Vec<(TextForm, Arc<[u8]>)>,
    /// The text as it is kept, for all of them together.
    kept: Option<Arc<str>>,
}

impl Parts {
    /// Sends a message, or refuses it and sends nothing to anybody.
    pub(crate) fn send(&mut self, turn: &mut Turn<'_>, id: RequestId, letter: &Letter) {
        if let Err(refusal) = self.try_to_send(turn, id, letter) {
            turn.reply(id, Reply::Refused(refusal));
        }
    }

    fn try_to_send(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        letter: &Letter,
    ) -> Result<(), Refusal> {
        may_write(turn, &letter.text, !letter.wishes.choices.is_empty())?;
        if letter.to.is_empty() {
            return Err(Refusal::Nobody);
        }
        let later = later(turn, &letter.wishes)?;
        let absent = later.map_or(&[][..], |_| &letter.wishes.absent);
        let recipients = self.recipients(turn, &letter.to, absent)?;
        // What is kept for later can wait for a link too.
        if later.is_none() && !recipients.iter().all(|one| self.has_way_to(one)) {
            return Err(Refusal::NoLink);
        }
        if self.outbox.len() + recipients.len() > turn.base.policy.waiting_max {
            return Err(Refusal::Busy);
        }
        let mut options = Options::empty();
        // Only a receipt ends what is kept.
        options.set(message::SEND_CHECK, letter.check || later.is_some());
        options.set(message::MULTICAST, recipients.len() > 1);
        let files = Serving::lay_out(turn, &letter.wishes.choices)?;
        options |= seal(&letter.wishes);
        let draft = Draft {
            issued: turn.message_number(),
            options,
            text: &letter.text,
            files,
            wishes: &letter.wishes,
            timeout: letter.timeout,
            later,
        };
        let mut sheets = Sheets::of(&draft);
        for recipient in &recipients {
            let mut forms = vec![recipient.form];
            // A stranger may turn out to read UTF-8, which may be longer.
            forms.extend(recipient.peer.is_none().then_some(TextForm::Utf8));
            for form in forms {
                let size = sheets.write(turn, form, recipient.reader).len();
                if size > DATAGRAM_MAX {
                    let peer = Box::new(recipient.view.clone());
                    return Err(Refusal::TooLong { peer, size, limit: DATAGRAM_MAX });
                }
            }
        }
        let to = recipients.iter().map(|recipient| recipient.view.clone()).collect();
        let offered = if draft.files.is_empty() { 0 } else { recipients.len() };
        let number = draft.issued.number;
        turn.reply(id, Reply::Sent { number, to, links: Vec::new(), offered });
        for (index, recipient) in (0..).zip(recipients) {
            self.post(turn, &draft, &mut sheets, index, recipient);
        }
        Ok(())
    }

    /// Sends a message to one of its recipients, the `index`th, with what it offers.
    pub(super) fn post(
        &mut self,
        turn: &mut Turn<'_>,
        draft: &Draft<'_>,
        sheets: &mut Sheets<'_>,
        index: u32,
        recipient: Recipient,
    ) {
        let known = recipient.peer.is_some() || recipient.addr.is_none();
        let met = known.then(|| charset_of(recipient.form));
        let bytes = met.map(|_| sheets.write(turn, recipient.form, recipient.reader));
        let no = SendNo { number: draft.issued.number, index };
        if !draft.files.is_empty() {
            let to = (recipient.view.clone(), recipient.form.charset());
            self.serving.offer(turn, no, to, Arc::clone(&draft.files), draft.wishes);
        }
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let policy = &turn.base.policy;
        let turned_away = place.saturating_sub(policy.sends_at_once);
        let turn_comes = policy.first_try_after(turned_away);
        let sending = Sending {
            view: Box::new(recipient.view),
            addr: recipient.addr,
            options: draft.options,
            text: Some(sheets.kept()),
            files: draft.files.len(),
            bytes,
            deadline: turn.now.tick + draft.timeout + turn_comes,
            tries: 0,
            turns: 0,
            first: None,
            went_to: Vec::new(),
            stored: false,
            saving: None,
            queued: place >= policy.sends_at_once,
            gate: draft.issued.gate,
            launched: false,
            written: turn.now.wall,
            later: draft.later,
            may_have_left: false,
        };
        match (recipient.peer, recipient.addr) {
            (Some(no), _) => self.before_writing(turn, no),
            (None, Some(addr)) => self.enter(turn, addr),
            (None, None) => {
                let charset = charset_of(recipient.form);
                return self.outbox.post_later(turn, &self.roster, no, sending, charset);
            }
        }
        self.outbox.post(turn, &self.roster, &self.links, no, sending, met);
    }

    /// A message for this peer is about to leave; an answer that it still waits for goes first, and
    /// what was kept for it.
    pub(super) fn before_writing(&mut self, turn: &mut Turn<'_>, no: PeerNo) {
        self.roster.note_written(no);
        if self.presence.answer_first(turn, &mut self.roster, &self.links, no) {
            self.write_late(turn, no);
        }
    }

    /// Somebody was met at the address that we wrote to, which faces and the store know by `named`.
    pub(super) fn wrote_to_address(&mut self, turn: &mut Turn<'_>, no: PeerNo, named: &PeerId) {
        self.roster.note_written(no);
        let met = self.roster.get(no).filter(|met| turn.base.keeps && met.id != *named);
        if let Some(met) = met {
            turn.save(Record::WroteTo(met.id.clone()));
        }
    }

    /// Asks whoever is at an address that was named who it is.
    pub(super) fn enter(&mut self, turn: &mut Turn<'_>, addr: SocketAddr) {
        self.presence.reach.expect(turn, addr);
        self.presence.send(turn, &mut self.roster, &self.links, Job::Enter(addr));
    }

    /// Writes the messages that waited for whoever is at `addr`; he showed himself.
    pub(crate) fn write_to(&mut self, turn: &mut Turn<'_>, addr: SocketAddr) {
        for no in self.outbox.meets(addr) {
            self.write(turn, no);
        }
    }

    /// Writes a message that waited for its recipient, by what is known of him now.
    pub(crate) fn write(&mut self, turn: &mut Turn<'_>, no: SendNo) {
        let Some(sending) = self.outbox.get_mut(no) else { return };
        let (Some(addr), Some(text)) = (sending.addr, sending.text.clone()) else { return };
        let mut form = turn.base.own.form_for_strangers();
        let mut reader = Reader::STRANGER;
        if let Some(peer) = self.roster.at(addr).and_then(|no| self.roster.get(no)) {
            form = peer.text_form(turn.base.own.office);
            reader = Reader::of(peer);
            *sending.view = met_at(addr, sending.view.id.clone(), peer);
        }
        let view = (*sending.view).clone();
        let named = view.id.clone();
        let grant = self.serving.readdress(no, form.charset(), Some(view));
        let files = grant.map_or_else(Default::default, |grant| Arc::clone(&grant.files));
        let mut sheets = Sheets {
            number: no.number,
            options: sending.options,
            text: &text,
            files: &files,
            written: Vec::new(),
            kept: None,
        };
        let bytes = sheets.write(turn, form, reader);
        if bytes.len() > DATAGRAM_MAX {
            self.outbox.drop(turn, &self.roster, no);
            return;
        }
        if let Some(peer) = self.roster.at(addr) {
            self.before_writing(turn, peer);
            self.wrote_to_address(turn, peer, &named);
        }
        let charset = charset_of(form);
        self.outbox.write(turn, &self.roster, &self.links, no, bytes, charset);
    }

    /// Sends one datagram to everybody on every link, or refuses.
    pub(crate) fn broadcast(&mut self, turn: &mut Turn<'_>, id: RequestId, text: &str) {
        if let Err(refusal) = self.try_to_broadcast(turn, id, text) {
            turn.reply(id, Reply::Refused(refusal));
        }
    }

    fn try_to_broadcast(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        text: &str,
    ) -> Result<(), Refusal> {
        may_write(turn, text, false)?;
        let port = turn.base.own.port;
        let through = self.links.iter().filter_map(|link| {
            let targets = targets(link, port);
            (!targets.is_empty()).then(|| (link.id, link.name.clone(), targets))
        });
        let through: Vec<_> = through.collect();
        let networks = self.presence.networks().to_vec();
        if through.is_empty() && (networks.is_empty() || self.links.is_alone()) {
            return Err(Refusal::NoLink);
        }
        let Issued { number, gate } = turn.message_number();
        let form = self.form_for_all();
        let bytes = turn.base.own.message(number, message::BROADCAST, text, form);
        if bytes.len() > DATAGRAM_MAX {
            return Err(Refusal::BroadcastTooLong { size: bytes.len(), limit: DATAGRAM_MAX });
        }
        let links = through.iter().map(|(_, name, _)| name.clone()).collect();
        let raw = Arc::clone(&bytes);
        let record = sent_record(turn, number, message::BROADCAST, text, charset_of(form), raw);
        let event = record.event();
        let kept = turn.base.keeps.then(|| turn.save(Record::Message(record)));
        turn.emit(event, kept);
        let after = gate.or(kept);
        for (link, _, targets) in through {
            for target in targets {
                turn.transmit(Some(link), target, Arc::clone(&bytes), after);
            }
        }
        for network in networks {
            turn.transmit(None, network, Arc::clone(&bytes), after);
        }
        turn.reply(id, Reply::Sent { number, to: Vec::new(), links, offered: 0 });
        Ok(())
    }

    /// How everybody is written to at once. All clients tried read GB18030, and it has all of Unicode
    /// (`iptux-dialect.md`); where somebody is here who reads less of it, all get what that one reads.
    fn form_for_all(&self) -> TextForm {
        let reads_less = |(_, peer): (_, &Peer)| match peer.dialect.habits.text {
            Reads::Only(charset, rewrite) => Some(TextForm::Substituted(charset, rewrite)),
            _ => None,
        };
        let form = self.roster.iter().find_map(reads_less);
        form.unwrap_or(TextForm::Legacy(Charset::GB18030))
    }

    /// Whether a link is up that a datagram to this recipient may leave through.
    fn has_way_to(&self, recipient: &Recipient) -> bool {
        let on_this_host = recipient.view.addr.is_loopback() && !self.links.is_empty();
        on_this_host || !self.links.is_alone()
    }

    /// Finds each recipient once.
    pub(super) fn recipients(
        &self,
        turn: &Turn<'_>,
        to: &[Target],
        absent: &[PeerView],
    ) -> Result<Vec<Recipient>, Refusal> {
        let mut named = BTreeSet::new();
        let mut recipients = Vec::with_capacity(to.len());
        for target in to {
            let recipient = self.recipient(turn, target, absent)?;
            if named.insert(recipient.view.id.clone()) {
                recipients.push(recipient);
            }
        }
        Ok(recipients)
    }

    fn recipient(
        &self,
        turn: &Turn<'_>,
        target: &Target,
        absent: &[PeerView],
    ) -> Result<Recipient, Refusal> {
        let (peer, addr) = match target {
            Target::Peer(id) => {
                not_blocked(self.book.blocked(id))?;
                let peer = self.roster.find(id);
                let gone = absent.iter().find(|view| peer.is_none() && view.id == *id);
                if let Some(view) = gone {
                    let form = turn.base.own.form_for_strangers();
                    let (view, reader) = (view.clone(), Reader::STRANGER);
                    return Ok(Recipient { view, peer: None, addr: None, form, reader });
                }
                (Some(peer.ok_or_else(|| Refusal::UnknownPeer { peer: id.clone() })?), None)
            }
            Target::Addr(addr) => {
                let addr = self.links.with_scope(canonical(*addr));
                if addr.port() == turn.base.own.port && self.links.owns(addr.ip()) {
                    return Err(Refusal::Ourselves { addr });
                }
                not_blocked(self.book.blocked_at(&self.roster, addr))?;
                (self.roster.at(addr), Some(addr))
            }
        };
        if let Some((no, peer)) = peer.and_then(|no| Some((no, self.roster.get(no)?))) {
            let form = peer.text_form(turn.base.own.office);
            let reader = Reader::of(peer);
            return Ok(Recipient { view: peer.view(), peer: Some(no), addr, form, reader });
        }
        let addr = addr.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let form = turn.base.own.form_for_strangers();
        let view = view_of_stranger(addr, form);
        debug_assert!(is_stranger(&view), "a stranger's identity is its address");
        if !self.links.is_host(addr) {
            return Err(Refusal::UnknownPeer { peer: view.id });
        }
        Ok(Recipient { view, peer: None, addr: Some(addr), form, reader: Reader::STRANGER })
    }
}

impl<'a> Sheets<'a> {
    pub(super) fn of(draft: &'a Draft<'_>) -> Self {
        Self {
            number: draft.issued.number,
            options: draft.options,
            text: draft.text,
            files: &draft.files,
            written: Vec::new(),
            kept: None,
        }
    }

    fn kept(&mut self) -> Arc<str> {
        Arc::clone(self.kept.get_or_insert_with(|| self.text.into()))
    }

    fn write(&mut self, turn: &Turn<'_>, form: TextForm, reader: Reader) -> Arc<[u8]> {
        let own = &turn.base.own;
        if !self.files.is_empty() {
            let list = grant::list(self.files, self.text, reader.habits, reader.status);
            let list = (list.as_slice(), reader.habits);
            return own.offer(self.number, self.options, self.text, form, list);
        }
        if let Some((_, bytes)) = self.written.iter().find(|(known, _)| same(*known, form)) {
            return Arc::clone(bytes);
        }
        let bytes = own.message(self.number, self.options, self.text, form);
        self.written.push((form, Arc::clone(&bytes)));
        bytes
    }
}

/// How a peer looks that was met at an address that was written to. Faces were told that as its identity,
/// and go on knowing it by `named`.
fn met_at(addr: SocketAddr, named: PeerId, peer: &Peer) -> PeerView {
    let view = peer.view();
    let others = view.addrs.iter().copied().filter(|other| *other != addr);
    let addrs = std::iter::once(addr).chain(others).collect();
    PeerView { id: named, addr: addr.ip(), port: addr.port(), addrs, ..view }
}

/// Refuses somebody whose receipt would not be heard.
pub(super) fn not_blocked(peer: Option<&PeerView>) -> Result<(), Refusal> {
    peer.map_or(Ok(()), |peer| Err(Refusal::Blocked { peer: Box::new(peer.clone()) }))
}

/// How long a message is kept, if that is wished.
fn later(turn: &Turn<'_>, wishes: &Wishes) -> Result<Option<Later>, Refusal> {
    if !wishes.later {
        return Ok(None);
    }
    if !turn.base.keeps {
        return Err(Refusal::KeepsNothing);
    }
    let usual = turn.base.policy.later_span.as_millis();
    let span = wishes.expire_ms.map_or(usual, u128::from);
    let span = i64::try_from(span).unwrap_or(i64::MAX);
    let expires = UnixMillis(turn.now.wall.0.saturating_add(span));
    let utc_offset_s = wishes.utc_offset_s;
    Ok(Some(Later { expires, utc_offset_s, waits: false, told: false }))
}

/// Whether two forms give the same bytes: substitutes belong to one dialect.
fn same(a: TextForm, b: TextForm) -> bool {
    std::mem::discriminant(&a) == std::mem::discriminant(&b) && a.charset() == b.charset()
}

/// The option bits of a message that is to be opened before it is read. The official client locks
/// only what it seals (wire reference, 6.1).
fn seal(wishes: &Wishes) -> Options {
    let mut options = Options::empty();
    options.set(message::SECRET | message::READ_CHECK, wishes.sealed || wishes.locked);
    options.set(message::PASSWORD, wishes.locked);
    options
}

/// Whether a message with this text may be sent at all; one that offers files needs none.
pub(crate) fn may_write(turn: &Turn<'_>, text: &str, offers: bool) -> Result<(), Refusal> {
    match turn.base.voice {
        Voice::Speaks => {}
        Voice::Passive => return Err(Refusal::Passive),
        Voice::Left => return Err(Refusal::NoLink),
    }
    if !offers && text.chars().all(|c| matches!(c, '\r' | '\0')) {
        return Err(Refusal::EmptyText);
    }
    Ok(())
}

/// The record of a message of ours.
pub(crate) fn sent_record(
    turn: &Turn<'_>,
    number: PacketNo,
    options: Options,
    text: &str,
    charset: Verdict,
    raw: Arc<[u8]>,
) -> MessageRecord {
    let broadcast = options.contains(message::BROADCAST);
    MessageRecord {
        direction: Direction::Out,
        delivery: if broadcast { Delivery::Broadcast } else { Delivery::Direct },
        at: turn.now.wall,
        peer: None,
        addr: None,
        epoch: 0,
        number,
        options,
        text: text.to_owned(),
        charset,
        cut: false,
        files: 0,
        raw,
        recipients: Recipients::default(),
        open: None,
        extras: None,
    }
}

//! What does a good messenger do next? A pure engine: inputs in, effects out.
//!
//! Time, randomness and addresses come in as arguments, so a run is a function of its inputs: the
//! same seed gives the same packets, byte for byte. [`Node`] is a struct of parts; each owns its
//! state and takes the neighbours it needs as arguments:
//!
//! ```text
//! presence -> roster           who is there, and what we tell about ourselves
//! letters  -> outbox           messages of ours
//! outbox   -> sealed           what of them is to be opened by its reader
//! inbox                        messages of others
//! envelopes                    what of them is to be opened by us
//! untold                       who is to hear of that after a crash
//! pictures -> outbox           pictures inside messages, both ways
//! serving                      files of ours
//! offers                       files of others
//! knock, groups                what else FeiQ does
//! private                      work with our private keys
//! absence                      what is said and replied while we are away
//! book                         names of our own for others, and whom we are deaf to
//! trust                        how much of a stranger's wish is granted
//! reckoning                    what ends at a time of day, when the clock is set
//! turn                         one call: its time, its effects, what all parts share
//! ```

mod absence;
pub mod api;
mod book;
mod charsets;
pub mod config;
pub mod effect;
mod envelopes;
mod epochs;
mod farewells;
pub mod fetch;
mod groups;
mod handover;
mod inbox;
pub mod input;
mod jobs;
mod knock;
mod letters;
mod links;
mod memory;
mod messages;
mod meter;
mod numbers;
mod offers;
mod outbox;
mod own;
mod peer;
mod pictures;
mod presence;
mod private;
mod reach;
mod reckoning;
mod remembered;
mod requests;
mod reread;
mod rollcall;
mod roster;
mod sealed;
mod serving;
mod timers;
mod trust;
mod turn;
mod unicasts;
mod untold;

use std::net::SocketAddr;

use rand::SeedableRng;
use rand::rngs::StdRng;

/// Values of the wire that this vocabulary is made of, for those who do not speak to the wire.
pub use crate::crypto::{Capability, CryptoRngCore, KeySize, PrivateDer};
pub use crate::wire::command::message::{AUTO_RETURN, MULTICAST, PASSWORD, SECRET};
pub use crate::wire::dialect::IdBase;
pub use crate::wire::dialect::{Font, GROUP_ADDR, GROUP_TTL};
pub use crate::wire::filename::NameForm;
pub use crate::wire::{
    Charset, Learned, Office, Options, PORT, PacketNo, Recipient, Recipients, Sure, Verdict,
};
pub use api::files::{
    FilesOf, Get, ItemKind, ItemState, ItemView, NoOffer, OfferId, OfferView, Pick, Progress, Side,
    TransferOutcome, TransferProblem, Transferred,
};
pub use api::pictures::{
    PictureEvent, PictureFacts, PictureFormat, SHORT_DIGITS, as_read, with_names,
};
pub use api::{
    Alias, Counters, Delivery, Direction, DownReason, Event, Extras, FileChoice, GroupRef,
    GroupView, MessageEvent, NoticeCode, PeerId, PeerView, Refusal, Reply, Request, ShellStatus,
    Status, Target, Told, Waiting, WaitingState, Wishes,
};
pub use config::{Config, Identity, Network, NumberStart, Policy};
pub use effect::{
    BookRecord, CharsetRecord, Effect, KeyRecord, KnockRecord, MessageRecord, Open, OpenedRecord,
    Outcome, OutcomeRecord, ReadRecord, Record, RewrittenRecord, RosterRecord, SeenPeer, Serve,
    ToldRecord, Transmit,
};
pub use fetch::{Fetch, FetchEnd, FetchId, FetchNews, FileAsk, Leftover};
pub use handover::Handover;
pub use input::{
    Bounce, Input, Ipv4Net, Link, LinkId, Now, Recalled, RequestId, SaveId, SaveResult, ServeNews,
    StreamId, Tick, UnixMillis,
};
pub use jobs::{Done, Job, JobId, Keyring, Section};
pub use memory::{EpochMemory, Memory, OpenMemory, SealedMemory, UntoldMemory};
pub use offers::{AcceptRule, AcceptWho, OfferRecord};
pub use pictures::job::{PictureJob, PictureNews, PictureRecord, StageId};
pub use reckoning::ClockSet;
pub use reread::{is_declared, reread};
pub use serving::grant::{GrantRecord, OfferedFile};

use absence::Absence;
use book::Book;
use envelopes::Envelopes;
use farewells::Farewells;
use groups::{Groups, is_group};
use inbox::Inbox;
use knock::Knocks;
use links::Links;
use numbers::Numbers;
use offers::Offers;
use outbox::{Due, Outbox};
use own::{Own, canonical};
use peer::{Sighting, mac_of};
use pictures::Pictures;
use presence::Presence;
use private::Private;
use reckoning::Reckoning;
use remembered::Remembered;
use rollcall::Cause;
use roster::Roster;
use sealed::Unopened;
use serving::Serving;
use timers::{Timer, Timers};
use trust::{Admission, Allowance, Trust};
use turn::{Base, Turn, Voice};

use crate::wire::{Body, Command, Packet, RawPacket};

/// The engine.
#[derive(Debug)]
pub struct Node {
    base: Base,
    parts: Parts,
    reckoning: Reckoning,
    since: Option<UnixMillis>,
}

/// The parts of a node. Each owns its state; this only routes between them.
#[derive(Debug)]
pub(crate) struct Parts {
    links: Links,
    roster: Roster,
    presence: Presence,
    farewells: Farewells,
    outbox: Outbox,
    inbox: Inbox,
    pictures: Pictures,
    serving: Serving,
    offers: Offers,
    envelopes: Envelopes,
    absence: Absence,
    book: Book,
    trust: Trust,
    knocks: Knocks,
    groups: Groups,
    private: Private,
    /// Links were up once, and we announced ourselves there, or another process did for us.
    started: bool,
    /// What was announced before us is not announced again.
    resumed: bool,
}

impl Node {
    /// A node that knows nobody yet. `seed` is for a cryptographic generator: from the operating
    /// system, or fixed in a simulation.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let numbers = Numbers::new(config.numbers, config.policy.numbers_block);
        Self::with_numbers(config, seed, numbers)
    }

    /// A node that goes on where another one ended. It does not announce itself on the links it
    /// is told of first.
    pub fn resume(config: Config, seed: [u8; 32], from: Handover, now: Now) -> Self {
        let block = config.policy.numbers_block;
        let numbers = Numbers::resume(config.numbers, block, from.last_number());
        let mut node = Self::with_numbers(config, seed, numbers);
        node.parts.resumed = true;
        node.since = from.since();
        node.reckoning = Reckoning::resume(from.booted(), now);
        let mut turn = Turn::new(now, &mut node.base);
        from.read(&mut turn, &mut node.parts);
        if let Some(turned) = node.reckoning.look(now) {
            node.since.iter_mut().for_each(|since| turned.adjust(since, []));
            node.parts.reckon(&mut turn, turned);
        }
        node
    }

    fn with_numbers(config: Config, seed: [u8; 32], numbers: Numbers) -> Self {
        Self {
            parts: Parts {
                links: Links::default(),
                roster: Roster::default(),
                presence: Presence::new(&config),
                farewells: Farewells::default(),
                outbox: Outbox::default(),
                inbox: Inbox::default(),
                pictures: Pictures::default(),
                serving: Serving::default(),
                offers: Offers::new(config.accept.clone()),
                envelopes: Envelopes::default(),
                absence: Absence::default(),
                book: Book::default(),
                trust: Trust::default(),
                knocks: Knocks::default(),
                groups: Groups::default(),
                private: Private::default(),
                started: false,
                resumed: false,
            },
            base: Base {
                own: Own::new(&config),
                policy: config.policy,
                voice: if config.passive { Voice::Passive } else { Voice::Speaks },
                keeps: config.keeps,
                delivers: config.delivers,
                rng: StdRng::from_seed(seed),
                timers: Timers::default(),
                numbers,
                counters: Counters::default(),
                next_save: 0,
                last_offer: OfferId(0),
                store_fails: None,
                sent_saves: std::collections::BTreeMap::default(),
                told_unsent: None,
                told_quota: None,
                remembered: Remembered::default(),
            },
            reckoning: Reckoning::default(),
            since: None,
        }
    }

    /// Takes in what the store knows of earlier runs. Before the first input; after
    /// [`Node::resume`] too.
    pub fn remember(&mut self, now: Now, memory: Memory) {
        self.reckoning.begin(now);
        let Memory {
            epochs,
            grants,
            offers,
            last_offer,
            aliases,
            blocks,
            sealed,
            away,
            replied,
            charsets,
            groups,
            open,
            untold,
        } = memory;
        self.parts.inbox.epochs.remember(epochs);
        self.parts.roster.charsets.remember(charsets);
        self.parts.roster.reconsider(self.base.own.office);
        self.parts.groups.remember(groups);
        self.base.last_offer = self.base.last_offer.max(last_offer);
        self.parts.offers.remember(&mut self.base, offers);
        self.parts.book.remember(aliases, blocks);
        for SealedMemory { number, peer } in sealed {
            let sent_to = peer.addrs.clone();
            let unopened = Unopened { number, peer: Box::new(peer), sent_to };
            self.parts.outbox.sealed.add(self.base.policy.sealed_max, unopened);
        }
        if away.is_some() {
            self.base.own.away = away;
        }
        self.parts.absence.remember(now, &self.base.policy, replied);
        let mut turn = Turn::new(now, &mut self.base);
        self.parts.serving.restore(&mut turn, grants, true);
        let Parts { outbox, serving, envelopes, .. } = &mut self.parts;
        envelopes.remember(&mut turn, untold);
        outbox.remember(&mut turn, open, |number, peer| serving.seat(number, peer));
    }

    /// What the next owner of the port needs.
    pub fn hand_over(&self) -> Handover {
        Handover::write(&self.base, &self.parts, &self.reckoning, self.since)
    }

    /// The highest packet number used until now; the store keeps it before it is closed.
    pub fn last_number(&self) -> PacketNo {
        self.base.numbers.last()
    }

    /// Takes one input in and says what to do.
    #[must_use]
    pub fn handle(&mut self, now: Now, input: Input<'_>) -> Vec<Effect> {
        let turned = self.reckoning.look(now);
        let since = self.since.get_or_insert(now.wall);
        let parts = &mut self.parts;
        let mut turn = Turn::new(now, &mut self.base);
        if let Some(turned) = turned {
            turned.adjust(since, []);
            parts.reckon(&mut turn, turned);
        }
        let since = *since;
        match input {
            Input::Datagram { link, from, bytes } => {
                parts.datagram(&mut turn, link, canonical(from), bytes);
            }
            Input::Pressure(on) => parts.trust.pressure(now.tick, on),
            Input::Request(id, request) => parts.request(&mut turn, id, request, since),
            Input::Links(links) => parts.links_are(&mut turn, links),
            Input::Bounced { to, reason } => parts.outbox.bounced(canonical(to), reason),
            Input::Unsent { to, bytes, reason } => {
                parts.outbox.unsent(&mut turn, canonical(to), bytes, reason);
            }
            Input::Asked { stream, from, request } => {
                parts.serving.asked(&mut turn, stream, canonical(from), request);
            }
            Input::Served(stream, news) => parts.serving.news(&mut turn, stream, news),
            Input::Saved(id, result) => parts.saved(&mut turn, id, &result),
            Input::Picture(stage, news) => parts.picture_news(&mut turn, stage, news),
            Input::Fetch(id, news) => parts.fetch_news(&mut turn, id, news),
            Input::Recalled { request, seq, found } => {
                parts.recalled(&mut turn, request, seq, found);
            }
            Input::Crypto(id, done) => parts.job_done(&mut turn, id, done),
            Input::Wake => parts.wake(&mut turn),
            Input::Leave => parts.leave(&mut turn),
        }
        let news = parts.outbox.file_news();
        parts.serving.hear(&mut turn, news);
        parts.serving.keep(&mut turn);
        if turn.base.numbers.take_wrapped() {
            parts.start_low_again(&mut turn);
        }
        turn.finish()
    }

    /// When to call with [`Input::Wake`]; none: nothing waits.
    pub fn next_deadline(&self) -> Option<Tick> {
        self.base.timers.next()
    }
}

impl Parts {
    fn datagram(&mut self, turn: &mut Turn<'_>, link: LinkId, from: SocketAddr, bytes: &[u8]) {
        turn.base.counters.received += 1;
        if turn.base.voice == Voice::Left {
            return;
        }
        if from.port() == turn.base.own.port && self.links.owns(from.ip()) {
            turn.base.counters.own += 1;
            return;
        }
        let Ok(raw) = RawPacket::parse(bytes) else {
            turn.base.counters.malformed += 1;
            return;
        };
        if turn.base.own.is_mac(mac_of(raw.version)) {
            turn.base.counters.own += 1;
            return;
        }
        let weighs = matches!(raw.command(), Command::SENDMSG | Command::FEIQ_IMAGE_FRAGMENT)
            || is_group(raw.command());
        if !self.links.is_host(from) || (weighs && !self.admits(turn, from)) {
            turn.base.counters.dropped += 1;
            return;
        }
        let packet = Packet::read(&raw, &self.roster.hint(from, &raw, turn.base.own.office));
        let seen = Sighting::new(link, from, &raw, &packet, bytes);
        if self.book.is_deaf_to(&self.roster, &seen) {
            turn.base.counters.blocked += 1;
            return;
        }
        // Whoever is back was not brought back by this.
        if self.roster.at(from).is_none() && self.farewells.is_late(turn.now.tick, &seen) {
            turn.base.counters.dropped += 1;
            return;
        }
        self.outbox.heard(from);
        self.packet(turn, &seen);
    }

    /// The routing table (wire reference, 4). What is not in it is ignored without an answer.
    fn packet(&mut self, turn: &mut Turn<'_>, seen: &Sighting<'_>) {
        let Self { roster, presence, links, inbox, .. } = self;
        let hears_us = roster.place(seen.from).is_some_and(|(_, place)| place.hears);
        let mut allowance = Allowance::new(seen.bytes.len(), hears_us);
        match (seen.packet.command, &seen.packet.body) {
            (
                Command::BR_ENTRY | Command::ANSENTRY | Command::BR_ABSENCE,
                Body::Presence(shown),
            ) => self.presence_shown(turn, seen, shown, &mut allowance),
            (Command::BR_EXIT, _) => {
                let known = roster.at(seen.from).and_then(|no| roster.get(no));
                let known = known.filter(|peer| peer.is(seen)).map(|peer| peer.id.clone());
                presence.exited(turn, roster, links, seen, &mut allowance);
                if let Some(id) = &known {
                    inbox.epochs.left(id);
                }
                self.farewells.note(turn.now.tick, seen, known);
            }
            (Command::SENDMSG, Body::Message(body)) => {
                self.message(turn, seen, body, &mut allowance);
            }
            (Command::RECVMSG, &Body::Reference(number)) => self.receipt(turn, seen, number),
            (Command::RELEASEFILES, &Body::Reference(number)) => {
                roster.hear(turn.now.tick, seen);
                self.serving.released(turn, seen.from, number);
            }
            (Command::READMSG | Command::DELMSG, &Body::Reference(number)) => {
                self.read_notice(turn, seen, number, &mut allowance);
            }
            (Command::ANSREADMSG, &Body::Reference(number)) => {
                self.notice_answered(turn, seen, number);
            }
            (Command::GETINFO | Command::GETABSENCEINFO, _) => {
                self.inform(turn, seen, &mut allowance);
            }
            (Command::GETPUBKEY, _) => self.key_asked(turn, seen),
            (Command::FEIQ_GROUP_MESSAGE, _) => self.group_message(turn, seen),
            (Command::FEIQ_GROUP_PRESENCE, _) => self.group_presence(turn, seen),
            (Command::FEIQ_KNOCK, _) => self.knocked(turn, seen, &mut allowance),
            (Command::FEIQ_KNOCK_ANSWER, _) => self.knock_answered(turn, seen),
            (Command::FEIQ_PROBE, _) => self.probed(turn, seen, &mut allowance),
            (Command::FEIQ_TYPING, _) => self.typed(turn, seen, true),
            (Command::FEIQ_TYPING_END, _) => self.typed(turn, seen, false),
            (Command::FEIQ_IMAGE_FRAGMENT, _) => self.fragment(turn, seen, &mut allowance),
            (Command::FEIQ_IMAGE_ACK, _) => self.fragment_ack(turn, seen),
            (Command::OKGETLIST, _) => presence.list_offered(turn, seen.from),
            (Command::ANSLIST, Body::Hosts(list)) => {
                presence.listed(turn, roster, links, seen.from, list);
            }
            _ => {
                roster.hear(turn.now.tick, seen);
            }
        }
    }

    /// An entry, an answer or an absence: only the first is answered.
    fn presence_shown(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        shown: &crate::wire::entry::Presence,
        allowance: &mut Allowance,
    ) {
        let Self { roster, presence, links, inbox, .. } = self;
        let met = roster.learn(turn, seen, shown);
        if let Some(peer) = roster.get(met.peer) {
            inbox.epochs.entered(turn.now, &turn.base.policy, &peer.id, seen);
            inbox.epochs.trim(&turn.base.policy, roster);
        }
        if presence.reach.is_far(seen.from) {
            roster.note_far(seen.from);
        }
        if met.moved {
            let cause = Cause::Datagram(seen.from, allowance);
            presence.ask_places(turn, roster, links, met.peer, cause);
        }
        let entered = seen.packet.command == Command::BR_ENTRY;
        let answers = entered && presence.entered(turn, roster, seen, met);
        self.write_to(turn, seen.from);
        self.viewers_met(turn);
        // Somebody who knows nobody yet shows a message under its writer's log-on name: first it
        // hears who we are.
        if !answers {
            self.write_late(turn, met.peer);
        }
        self.tell_late(turn, met.peer);
    }

    /// Whether a message from there is taken while the sockets are not drained.
    fn admits(&mut self, turn: &mut Turn<'_>, from: SocketAddr) -> bool {
        match self.trust.admit(turn.now.tick, &turn.base.policy, from.ip()) {
            Admission::Taken => true,
            Admission::Dropped { first } => {
                if first {
                    let text = format!(
                        "{} sends more than can be taken; some of it is dropped without a receipt",
                        from.ip()
                    );
                    turn.notice(NoticeCode::Flood, text);
                }
                false
            }
        }
    }

    fn saved(&mut self, turn: &mut Turn<'_>, id: SaveId, result: &SaveResult) {
        if turn.note_store(id, result) {
            self.outbox.keep_ends(turn);
            self.serving.keep_ends(turn);
        }
        let kept = result.is_kept();
        self.offers.saved(turn, id, result);
        let Self { inbox, outbox, envelopes, absence, roster, links, private, knocks, .. } = self;
        absence.reply_to(turn, id, result);
        if private.saved(id, result) || knocks.saved(turn, id, result) {
            return;
        }
        if inbox.saved(turn, id, result)
            || outbox.saved(turn, roster, id, result)
            || outbox.sealed.saved(turn.base.policy.sealed_max, id, result)
            || envelopes.saved(turn, (roster, links), id, result)
            || self.book_saved(turn, id, result)
            || self.absence_saved(turn, id, result)
            || self.charset_saved(turn, id, result)
            || self.pictures.saved(turn, id, result)
            || self.serving.saved(id, result)
        {
            return;
        }
        turn.base.numbers.saved(id, kept);
        self.outbox.reserved(turn, &self.roster, &self.links, id, kept);
    }

    fn wake(&mut self, turn: &mut Turn<'_>) {
        // What is armed anew meanwhile waits for the next call, so that this one ends.
        for _ in 0..turn.base.timers.len() {
            let Some(timer) = turn.base.timers.pop_due(turn.now.tick) else { return };
            self.due(turn, timer);
        }
    }

    fn due(&mut self, turn: &mut Turn<'_>, timer: Timer) {
        let Self { roster, presence, links, outbox, envelopes, knocks, .. } = self;
        match timer {
            Timer::ReadNotice(number) => envelopes.due(turn, (roster, links), number),
            Timer::Untold => envelopes.untold_due(turn, (roster, links)),
            Timer::Answers => {
                let answered: Vec<_> = presence.owed_answers().map(|(no, _)| no).collect();
                presence.answer(turn, roster, links);
                for no in answered {
                    self.write_late(turn, no);
                }
            }
            Timer::EntryAgain => presence.announce(turn, roster, links, Command::BR_ENTRY, None),
            Timer::Round => presence.round_due(turn, roster, links),
            Timer::Unicasts => presence.send_next(turn, roster, links),
            Timer::Scan => presence.scan_next(turn, links),
            Timer::RollCall => presence.close_roll(turn, roster, links),
            Timer::Seeds => presence.seeds_due(turn),
            Timer::SharedList(addr) => self.no_list(turn, addr),
            Timer::Remember => remembered::write_down(turn, roster, false),
            Timer::Probe(addr) => presence.probe_due(turn, roster, links, addr),
            Timer::Knock(addr) => knocks.knock_due(turn, roster, addr),
            Timer::Typing(no) => knocks.typing_due(turn, roster, no),
            Timer::Offers => self.serving.sweep(turn),
            Timer::FirstTries => outbox.send_next(turn, roster, links),
            Timer::Picture(stage) => self.pictures.due(turn, stage),
            Timer::Viewers(stage) => self.viewers_due(turn, stage),
            Timer::Fragment(no) => self.fragment_due(turn, no),
            Timer::Seek => self.seek(turn),
            Timer::Send(no) => match outbox.due(turn, roster, links, no) {
                Due::Done => {}
                Due::Write => self.write(turn, no),
                Due::Over => {
                    if let Some(id) = outbox.give_up(turn, roster, no) {
                        presence.doubt(turn, roster, links, &id);
                    }
                }
            },
        }
    }

    /// Says goodbye to everybody, and ends what still waits.
    fn leave(&mut self, turn: &mut Turn<'_>) {
        self.close_pictures(turn);
        for no in self.outbox.unwritten() {
            self.write(turn, no);
        }
        let Self { roster, presence, links, outbox, offers, .. } = self;
        outbox.close(turn, roster);
        self.serving.leave(turn);
        offers.leave(turn);
        remembered::write_down(turn, roster, true);
        if self.started {
            presence.announce(turn, roster, links, Command::BR_EXIT, None);
        }
        turn.base.voice = Voice::Left;
        turn.base.timers = Timers::default();
    }

    /// Our numbers started low again: those who remember the highest must hear of it.
    fn start_low_again(&mut self, turn: &mut Turn<'_>) {
        let text = "our packet numbers start low again; announced anew".to_owned();
        turn.notice(NoticeCode::NumbersWrapped, text);
        let Self { roster, presence, links, .. } = self;
        presence.announce(turn, roster, links, Command::BR_ENTRY, None);
    }
}

//! Events in words for people: one line each, `time mark who  text`.
//!
//! ```text
//! 09:30:01 <  张三            大家好
//! 09:30:04 << 李四            第一行
//!          |                  第二行
//! 09:30:07 >  张三            收到
//! 09:30:07 *  张三 confirmed 1795241271 after 3 ms
//! ```
//!
//! The time and the mark in front are ours alone: text from outside never stands in their columns,
//! whatever it contains, because its second and later lines, and long lines in a terminal, begin
//! with blanks and `|`. Marks: `<` to us, `>` by us, doubled for broadcasts, `*` what we say
//! ourselves, `!` what went wrong.

pub mod files;
pub(super) mod pictures;
mod words;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use anstyle::{Ansi256Color, AnsiColor, Color, RgbColor};
use chrono::NaiveDate;

pub use words::{UNFELT, brief, failed, group_label, milliseconds, queued, waited, why};
use words::{about, change, gone, notes};

use super::{Style, local};
use crate::cli::pick::Book;
use crate::node::{
    Delivery, Direction, Event, MessageEvent, Outcome, PeerId, PeerView, Told, TransferOutcome,
    UnixMillis, with_names,
};
use crate::term;

/// An event in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rendered {
    /// For standard output; one line or several, the last one ended.
    Data(String),
    /// For standard error; one line.
    Talk(String),
    /// Nothing a person wants to read.
    Nothing,
}

/// Turns events into words, and remembers names to tell namesakes apart.
#[derive(Debug)]
pub struct Human {
    style: Style,
    peers: HashMap<PeerId, PeerView>,
    namesakes: HashMap<String, BTreeSet<PeerId>>,
    book: Book,
    /// Day of the last line.
    day: Option<NaiveDate>,
}

/// Columns of the name; a longer one pushes its text to the right.
const NAME: usize = 14;
/// Names are cut beyond this.
const NAME_MAX: usize = 28;
/// Columns of time, mark and the blanks around them.
const MARGIN: usize = 12;
/// A text gets at least so many columns beside the name.
const TEXT_MIN: usize = 16;

impl Human {
    /// Knows nobody yet.
    pub fn new(style: Style) -> Self {
        let (peers, namesakes) = (HashMap::new(), HashMap::new());
        Self { style, peers, namesakes, book: Book::default(), day: None }
    }

    /// Own names, shown beside those of the peers from now on.
    pub fn use_book(&mut self, book: Book) {
        self.book = book;
    }

    /// The address book in use.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// Remembers a peer, so that its namesakes are told apart from now on.
    pub fn know(&mut self, peer: &PeerView) {
        self.forget(&peer.id);
        self.namesakes.entry(folded(&peer.nick)).or_default().insert(peer.id.clone());
        self.peers.insert(peer.id.clone(), peer.clone());
    }

    /// Remembers what an event that is not shown says of names.
    pub fn remember(&mut self, event: &Event) {
        match event {
            Event::PeerUp { peer } | Event::PeerChanged { peer } => self.know(peer),
            Event::PeerDown { peer, .. } => self.forget(&peer.id),
            _ => {}
        }
    }

    fn forget(&mut self, id: &PeerId) {
        let Some(known) = self.peers.remove(id) else { return };
        let nick = folded(&known.nick);
        if let Some(ids) = self.namesakes.get_mut(&nick) {
            ids.remove(id);
            if ids.is_empty() {
                self.namesakes.remove(&nick);
            }
        }
    }

    /// The peers known.
    pub fn peers(&self) -> impl Iterator<Item = &PeerView> {
        self.peers.values()
    }

    /// What a peer is called here: our own name for it, its nickname, and its address where that is
    /// not enough or the nickname looks like an own name for somebody else.
    pub fn label(&self, peer: &PeerView) -> String {
        let mut nick = one_space(&term::safe(&peer.nick));
        if nick.trim().is_empty() {
            nick = one_space(&term::safe(&peer.id.0));
        }
        let nick = term::cut(&nick, NAME_MAX);
        let shared = self
            .namesakes
            .get(&folded(&peer.nick))
            .is_some_and(|ids| ids.len() > 1 || ids.first().is_some_and(|only| *only != peer.id));
        let own = self.book.names(peer).next();
        let start = folded(&peer.nick);
        let poses = own.is_none()
            && self.book.aliases.iter().any(|alias| start.starts_with(&folded(&alias.name)));
        let nick =
            if shared || poses { format!("{nick} ({})", peer.addr) } else { nick.into_owned() };
        match own {
            Some(own) => format!("{} [{nick}]", brief(own)),
            None => nick,
        }
    }

    /// As [`Human::label`], with the address in any case where more words are wanted.
    fn name(&self, peer: &PeerView) -> String {
        let label = self.label(peer);
        let at = format!(" ({})", peer.addr);
        if self.style.verbose > 0 && !label.ends_with(&at) { label + &at } else { label }
    }

    /// The words for an event, for a terminal of so many columns if it is one.
    pub fn event(&mut self, at: UnixMillis, event: &Event, columns: Option<usize>) -> Rendered {
        let (mark, peer, label, words) = match event {
            Event::Message(message) => {
                return Rendered::Data(self.message(at, message, &[], columns));
            }
            Event::PeerUp { peer } => {
                self.know(peer);
                (Mark::System, peer, self.name(peer), format!("is here ({})", about(peer)))
            }
            Event::PeerChanged { peer } => {
                let before = self.peers.get(&peer.id).cloned();
                self.know(peer);
                (Mark::System, peer, self.name(peer), change(before.as_ref(), peer))
            }
            Event::PeerDown { peer, reason } => {
                let label = self.name(peer);
                self.forget(&peer.id);
                (Mark::System, peer, label, gone(*reason).to_owned())
            }
            Event::Receipt { peer, number, tries, rtt_ms } => {
                let again = if *tries > 1 { format!(", {tries} tries") } else { String::new() };
                let words = format!("confirmed {number} after {}{again}", milliseconds(*rtt_ms));
                (Mark::System, peer, self.name(peer), words)
            }
            Event::Queued { peer, number, expires_at, .. } => {
                let words = format!("{number}: {}", queued(*expires_at));
                (Mark::System, peer, self.name(peer), words)
            }
            Event::Delivered { peer, number, waited_ms, .. } => {
                let words = format!("confirmed {number}, {}", waited(*waited_ms));
                (Mark::System, peer, self.name(peer), words)
            }
            Event::Failed { peer, number, outcome, tries, hint } => {
                let words = format!("{number}: {}", failed(*outcome, *tries, *hint, peer.port));
                (Mark::Trouble, peer, self.name(peer), words)
            }
            Event::Offer(offer) => {
                (Mark::System, &offer.peer, self.name(&offer.peer), files::offered(offer))
            }
            Event::Transferred(end) => {
                let done = end.outcome == TransferOutcome::Done;
                let mark = if done { Mark::System } else { Mark::Trouble };
                (mark, &end.peer, self.name(&end.peer), files::transferred(end))
            }
            Event::Picture(picture) => {
                let words = pictures::received(picture);
                (Mark::System, &picture.peer, self.name(&picture.peer), words)
            }
            Event::Read { peer, number, discarded } => {
                let words = if *discarded { "threw away unread" } else { "opened" };
                (Mark::System, peer, self.name(peer), format!("{words} {number}"))
            }
            Event::Told { peer, number, told, tries } => {
                let (mark, words) = match told {
                    Told::Confirmed => (Mark::System, "knows that you opened it".to_owned()),
                    Told::NotAsked => (Mark::System, "was told that you opened it".to_owned()),
                    Told::NotConfirmed if *tries == 0 => {
                        (Mark::Trouble, "did not come to hear that you opened it".to_owned())
                    }
                    Told::NotConfirmed => {
                        let words = format!("did not confirm that you opened it, {tries} tries");
                        (Mark::Trouble, words)
                    }
                };
                (mark, peer, self.name(peer), format!("{number}: {words}"))
            }
            Event::Knock { peer, direction: Direction::In, .. } => {
                let line = self.name(peer);
                let who = (line.as_str(), peer_colour(&peer.id));
                let line = self.line(at, Mark::System, who, "knocks", columns);
                // The only control character of ours: whoever sits there is to look up.
                let bell = if self.style.terminal { "\u{7}" } else { "" };
                return Rendered::Data(format!("{bell}{line}"));
            }
            Event::Knock { peer, outcome, .. } => match outcome {
                Some(Outcome::Confirmed) => {
                    (Mark::System, peer, self.name(peer), "felt the knock".to_owned())
                }
                _ => (Mark::Trouble, peer, self.name(peer), UNFELT.to_owned()),
            },
            Event::Typing { peer, typing: true } if self.style.verbose > 0 => {
                (Mark::System, peer, self.name(peer), "is typing".to_owned())
            }
            Event::Typing { .. } | Event::Progress(_) => return Rendered::Nothing,
            Event::Notice { text, .. } => return Rendered::Talk(text.clone()),
            Event::Lagged { missed } => {
                return Rendered::Talk(format!("too slow: {missed} events were missed"));
            }
        };
        let colour = peer_colour(&peer.id);
        Rendered::Data(self.line(at, mark, (&label, colour), &words, columns))
    }

    /// The words for a sealed message that nobody opened yet; `id` is what it is opened by.
    pub fn envelope(
        &mut self,
        at: UnixMillis,
        id: u64,
        message: &MessageEvent,
        columns: Option<usize>,
    ) -> String {
        let Some(peer) = &message.peer else { return self.message(at, message, &[], columns) };
        let words = format!("sent a sealed message: feige history --open {id}");
        let who = (&*self.name(peer), peer_colour(&peer.id));
        self.line(at, Mark::System, who, &words, columns)
    }

    /// From here on the day stands before the first line too, as it must where the past is told.
    pub fn begin_with_the_day(&mut self) {
        self.day = Some(NaiveDate::MIN);
    }

    /// The words for a message, with more notes of ours below its text.
    pub fn message(
        &mut self,
        at: UnixMillis,
        message: &MessageEvent,
        more: &[String],
        columns: Option<usize>,
    ) -> String {
        let mark = match (message.direction, message.delivery) {
            (Direction::In, Delivery::Direct) => Mark::In,
            (Direction::In, Delivery::Broadcast | Delivery::Group) => Mark::InToAll,
            (Direction::Out, Delivery::Direct) => Mark::Out,
            (Direction::Out, Delivery::Broadcast | Delivery::Group) => Mark::OutToAll,
        };
        let (label, colour) = match &message.peer {
            Some(peer) => (self.name(peer), Some(peer_colour(&peer.id))),
            None if message.extras.chat.is_some() => (String::new(), None),
            None => ("everybody".to_owned(), None),
        };
        let label = match &message.extras.chat {
            Some(group) => format!("{} {label}", group_label(group)).trim_end().to_owned(),
            None => label,
        };
        let label = term::pad(&label, NAME);
        let beside = MARGIN + term::width(&label) + 2;
        // Where there is no room beside the name the text stands below it.
        let below = columns.is_some_and(|columns| columns < beside + TEXT_MIN);
        let indent = if below { MARGIN } else { beside };
        let mut out = self.head(at, mark);
        self.paint(&mut out, &label, colour);
        out.push_str(if below { "\n" } else { "  " });
        let text = with_names(message.shown.as_deref().unwrap_or(&message.text));
        let text = term::safe_lines(&text);
        let written_in = self.colour_of_text(message);
        for (at, line) in broken(&text, indent, columns).into_iter().enumerate() {
            if at > 0 || below {
                self.continuation(&mut out, Mark::More, indent);
            }
            self.paint(&mut out, line, written_in);
            out.push('\n');
        }
        let mut notes = notes(message);
        notes.extend_from_slice(more);
        if !notes.is_empty() {
            self.continuation(&mut out, Mark::System, indent);
            let _ = writeln!(out, "{}", notes.join(", "));
        }
        out
    }

    /// The colour the writer chose for the text, where more is wanted than the text itself.
    fn colour_of_text(&self, message: &MessageEvent) -> Option<Color> {
        let font = message.extras.font.as_ref().filter(|_| self.style.verbose > 0)?;
        let digits = font.color.strip_prefix('#')?;
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Color::Rgb(RgbColor(red, green, blue)))
    }

    /// A line of our own words about a peer; the parts from outside are neutralised already.
    fn line(
        &mut self,
        at: UnixMillis,
        mark: Mark,
        who: (&str, Color),
        words: &str,
        columns: Option<usize>,
    ) -> String {
        let mut out = self.head(at, mark);
        let (label, colour) = who;
        let words = format!("{label} {words}");
        for (at, line) in broken(&words, MARGIN, columns).into_iter().enumerate() {
            if at > 0 {
                self.continuation(&mut out, Mark::More, MARGIN);
            }
            match line.strip_prefix(label).filter(|_| at == 0) {
                Some(rest) => {
                    self.paint(&mut out, label, Some(colour));
                    out.push_str(rest);
                }
                None => out.push_str(line),
            }
            out.push('\n');
        }
        out
    }

    /// Day (where it changed), time and mark.
    fn head(&mut self, at: UnixMillis, mark: Mark) -> String {
        let time = local(at);
        let mut out = String::new();
        if self.day.replace(time.date_naive()).is_some_and(|day| day != time.date_naive()) {
            let _ = writeln!(out, "{}", time.format("%Y-%m-%d"));
        }
        self.paint(&mut out, &time.format("%H:%M:%S").to_string(), Some(DIM));
        out.push(' ');
        self.mark(&mut out, mark);
        out
    }

    fn continuation(&self, out: &mut String, mark: Mark, indent: usize) {
        out.push_str(&" ".repeat(MARGIN - 3));
        self.mark(out, mark);
        out.push_str(&" ".repeat(indent - MARGIN));
    }

    fn mark(&self, out: &mut String, mark: Mark) {
        let (sign, colour) = mark.sign();
        self.paint(out, sign, Some(colour));
        out.push_str(&" ".repeat(3 - sign.len()));
    }

    fn paint(&self, out: &mut String, words: &str, colour: Option<Color>) {
        match colour.filter(|_| self.style.colour) {
            Some(colour) => {
                let style = anstyle::Style::new().fg_color(Some(colour));
                let _ = write!(out, "{style}{words}{style:#}");
            }
            None => out.push_str(words),
        }
    }
}

/// Lines as they came, in a terminal also broken so that none reaches the next row by itself: what
/// stands at its beginning could look like a line of ours.
fn broken(text: &str, indent: usize, columns: Option<usize>) -> Vec<&str> {
    let lines = text.split('\n');
    match columns {
        Some(columns) => {
            let room = columns.saturating_sub(indent).max(1);
            lines.flat_map(|line| term::wrap(line, room)).collect()
        }
        None => lines.collect(),
    }
}

const DIM: Color = Color::Ansi(AnsiColor::BrightBlack);

/// What stands between the time and the words; the same column in every line.
#[derive(Clone, Copy)]
enum Mark {
    In,
    InToAll,
    Out,
    OutToAll,
    More,
    System,
    Trouble,
}

impl Mark {
    const fn sign(self) -> (&'static str, Color) {
        match self {
            Self::In => ("<", Color::Ansi(AnsiColor::Green)),
            Self::InToAll => ("<<", Color::Ansi(AnsiColor::Green)),
            Self::Out => (">", Color::Ansi(AnsiColor::Blue)),
            Self::OutToAll => (">>", Color::Ansi(AnsiColor::Blue)),
            Self::More => ("|", DIM),
            Self::System => ("*", Color::Ansi(AnsiColor::Cyan)),
            Self::Trouble => ("!", Color::Ansi(AnsiColor::Red)),
        }
    }
}

/// Colours that can be read on black and on white.
const COLOURS: [u8; 12] = [25, 30, 64, 91, 97, 125, 130, 133, 161, 166, 33, 71];

/// The colour of a peer: always the same one, from its identity.
pub fn peer_colour(id: &PeerId) -> Color {
    // FNV-1a: stable over versions and platforms, which std's hash does not promise.
    let hash = id.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let place = usize::try_from((hash >> 32) % COLOURS.len() as u64).unwrap_or(0);
    Color::Ansi256(Ansi256Color(COLOURS[place]))
}

/// Names are compared so to find namesakes: case and blanks do not make two people look different.
fn folded(nick: &str) -> String {
    one_space(nick.trim()).to_lowercase()
}

/// Runs of blanks become one: two blanks end a name in our lines.
fn one_space(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::words::to_several;
    use super::*;
    use crate::node::{Bounce, Charset, DownReason, NoticeCode, PacketNo, Recipient, Sure};

    const PLAIN: Style =
        Style { json: false, quiet: false, verbose: 0, colour: false, terminal: false };

    fn peer(nick: &str, id: &str, addr: &str) -> PeerView {
        let addr = addr.parse().expect("an address");
        PeerView {
            id: PeerId(Arc::from(id)),
            nick: nick.to_owned(),
            user: "u".to_owned(),
            host: "h".to_owned(),
            group: "研发部".to_owned(),
            addr,
            port: 2425,
            addrs: vec![SocketAddr::new(addr, 2425)],
            dialect: "feiq".to_owned(),
            charset: None,
            charset_sure: None,
            version: None,
            absent: false,
            fingerprint: None,
        }
    }

    fn message(peer: PeerView, text: &str) -> Event {
        Event::Message(Box::new(MessageEvent {
            peer: Some(peer.into()),
            direction: Direction::In,
            delivery: Delivery::Direct,
            number: PacketNo(7),
            text: text.to_owned(),
            charset: Charset::GBK,
            charset_sure: Sure::Dialect,
            sealed: false,
            locked: false,
            closed: false,
            automatic: false,
            cut: false,
            files: 0,
            several: false,
            recipients: Vec::new(),
            recipients_cut: false,
            shown: None,
            extras: crate::node::Extras::default(),
        }))
    }

    /// The words without the time, which depends on where the test runs.
    fn words(human: &mut Human, event: &Event) -> String {
        match human.event(UnixMillis(1_000), event, None) {
            Rendered::Data(text) => {
                let lines = text.lines().map(|line| {
                    let (time, rest) = line.split_at(9);
                    let digit = |c: char| if c.is_ascii_digit() { '0' } else { c };
                    time.chars().map(digit).collect::<String>() + rest
                });
                lines.collect::<Vec<_>>().join("\n")
            }
            Rendered::Talk(text) => format!("talk: {text}"),
            Rendered::Nothing => String::new(),
        }
    }

    #[test]
    fn texts_line_up_behind_names_of_any_script() {
        let mut human = Human::new(PLAIN);
        let first = words(&mut human, &message(peer("张三", "a", "10.0.0.1"), "大家好"));
        let second = words(&mut human, &message(peer("alice", "b", "10.0.0.2"), "hello"));
        assert_eq!(first, "00:00:00 <  张三            大家好");
        assert_eq!(second, "00:00:00 <  alice           hello");
    }

    #[test]
    fn later_lines_of_a_text_look_like_nothing_else() {
        let mut human = Human::new(PLAIN);
        let forged = "hi\n09:30:00 *  李四 left\r\x1b[1A";
        insta::assert_snapshot!(words(&mut human, &message(peer("bob", "b", "10.0.0.2"), forged)), @r"
        00:00:00 <  bob             hi
                 |                  09:30:00 *  李四 left␍␛[1A
        ");
    }

    #[test]
    fn no_line_reaches_the_next_row_of_a_terminal_by_itself() {
        let event = message(peer("张三", "a", "10.0.0.1"), &"09:30:00 *  李四 left ".repeat(20));
        for columns in [20, 40, 60, 100] {
            let rendered = Human::new(PLAIN).event(UnixMillis(1_000), &event, Some(columns));
            let Rendered::Data(text) = rendered else { panic!("a message is data") };
            for (at, line) in text.lines().enumerate() {
                // Only the name of the sender may be wider than a very narrow terminal.
                assert!(term::width(line) <= columns.max(MARGIN + NAME), "{line}");
                assert!(at == 0 || line.starts_with("         |  "), "{line}");
            }
        }
    }

    #[test]
    fn a_name_cannot_hold_the_blanks_that_end_it() {
        let mut human = Human::new(PLAIN);
        let forged = peer("bob  fine,   thanks", "b", "10.0.0.2");
        assert_eq!(words(&mut human, &message(forged, "x")), "00:00:00 <  bob fine, thanks  x");
    }

    #[test]
    fn namesakes_are_told_apart_by_their_address() {
        let mut human = Human::new(PLAIN);
        human.know(&peer("bob", "one", "10.0.0.1"));
        let two = peer("Bob ", "two", "10.0.0.2");
        human.know(&two);
        assert_eq!(human.label(&two), "Bob  (10.0.0.2)");
        let down =
            Event::PeerDown { peer: peer("bob", "one", "10.0.0.1"), reason: DownReason::Exit };
        assert_eq!(words(&mut human, &down), "00:00:00 *  bob (10.0.0.1) left");
        assert_eq!(human.label(&two), "Bob ");
    }

    #[test]
    fn a_stranger_with_a_known_name_is_told_apart_at_once() {
        let mut human = Human::new(PLAIN);
        human.know(&peer("bob", "one", "10.0.0.1"));
        assert_eq!(human.label(&peer("bob", "two", "10.0.0.2")), "bob (10.0.0.2)");
    }

    #[test]
    fn changes_are_said_in_words() {
        let mut human = Human::new(PLAIN);
        human.know(&peer("bob", "b", "10.0.0.1"));
        let mut now = peer("robert", "b", "10.0.0.1");
        now.absent = true;
        let changed = Event::PeerChanged { peer: now.clone() };
        assert_eq!(words(&mut human, &changed), "00:00:00 *  robert was called bob, is away");
        let before = now.addrs.clone();
        (now.addr, now.addrs) = ([10, 0, 0, 2].into(), vec![([10, 0, 0, 2], now.port).into()]);
        let mut also = now.clone();
        also.addrs.extend(before);
        let also = Event::PeerChanged { peer: also };
        assert_eq!(words(&mut human, &also), "00:00:00 *  robert is also at 10.0.0.2");
        // A link-local one is told without its link, and known with it.
        let mut six = peer("eve", "e", "10.0.0.9");
        let at: std::net::SocketAddr = "[fe80::9%2]:2425".parse().unwrap();
        (six.addr, six.addrs) = (at.ip(), vec![at]);
        human.know(&six);
        (six.addr, six.addrs) = ([10, 0, 0, 9].into(), vec![([10, 0, 0, 9], six.port).into(), at]);
        let also = Event::PeerChanged { peer: six };
        assert_eq!(words(&mut human, &also), "00:00:00 *  eve is also at 10.0.0.9");
        (now.addr, now.addrs) = ([10, 0, 0, 3].into(), vec![([10, 0, 0, 3], now.port).into()]);
        let moved = Event::PeerChanged { peer: now };
        assert_eq!(words(&mut human, &moved), "00:00:00 *  robert is now at 10.0.0.3");
    }

    #[test]
    fn notices_are_talk() {
        let notice = Event::Notice { code: NoticeCode::TookOver, text: "took over".to_owned() };
        assert_eq!(words(&mut Human::new(PLAIN), &notice), "talk: took over");
    }

    #[test]
    fn what_was_not_confirmed_is_not_called_unsent() {
        let unconfirmed = failed(Outcome::NotConfirmed, 17, Some(Bounce::PortUnreachable), 2425);
        assert_eq!(unconfirmed, "not confirmed after 17 tries; nothing listens on its port 2425");
        assert_eq!(failed(Outcome::NotSent, 0, None, 2425), "not sent");
        let unreachable = Some(Bounce::HostUnreachable);
        let unsent = failed(Outcome::NotSent, 0, unreachable, 2425);
        assert_eq!(unsent, "not sent: that host cannot be reached");
    }

    #[test]
    fn who_else_got_a_message_is_said_with_the_lists_limit() {
        let name = |n: usize| Recipient { user: format!("u{n}"), host: "pc".to_owned() };
        let Event::Message(mut message) = message(peer("a", "a@b", "10.0.0.1"), "x") else {
            unreachable!()
        };
        assert_eq!(to_several(&message), None);
        message.several = true;
        assert_eq!(to_several(&message).as_deref(), Some("to several"));
        message.recipients = (0..3).map(name).collect();
        assert_eq!(to_several(&message).as_deref(), Some("to u0, u1, u2"));
        message.recipients = (0..30).map(name).collect();
        message.recipients_cut = true;
        message.recipients[1].user.clear();
        let words = "to u0, pc, u2, u3, u4 and 25 more, perhaps to others: such a list ends after \
                     30 names or 3 KiB";
        assert_eq!(to_several(&message).as_deref(), Some(words));
    }

    #[test]
    fn each_sender_keeps_a_colour() {
        let id = PeerId(Arc::from("zhangsan@PC-1#112233445566"));
        assert_eq!(peer_colour(&id), peer_colour(&id.clone()));
        let colours: BTreeSet<_> = (0..100)
            .map(|n| format!("{:?}", peer_colour(&PeerId(Arc::from(format!("u{n}@h"))))))
            .collect();
        assert!(colours.len() > 6, "{colours:?}");
    }
}

//! FeiQ offices: the simulated FeiQ against itself, so that what it says of us can be trusted; every
//! text against its reader; and the real program among simulated ones.

#[cfg(feature = "cli")]
mod program;
#[cfg(feature = "cli")]
mod store;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use feige::wire::body::emit_message;
use feige::wire::dialect::FEIQ;
use feige::wire::{Charset, Head, Options, PacketNo};
use proptest::prelude::*;

use crate::support::feiq::{Feiq, Fields, Out, Shown, To, text};
use crate::wire::vectors;

/// A few `FeiQ`s on one subnet, every datagram delivered at once.
struct Office(Vec<(SocketAddr, Feiq)>);

impl Office {
    fn of(nicks: &[&str]) -> Self {
        let mut office = Self(Vec::new());
        for (host, nick) in (1u8..).zip(nicks) {
            let at = SocketAddr::from(([10, 0, 0, host], 2425));
            office.0.push((at, Feiq::new(nick, &format!("0800270904{host:02X}"))));
        }
        for who in 0..nicks.len() {
            office.act(who, Feiq::start);
        }
        office
    }

    fn at(&self, who: usize) -> SocketAddr {
        self.0[who].0
    }

    fn shown(&self, who: usize) -> &[Shown] {
        &self.0[who].1.shown
    }

    /// One of them does something, and everything that follows happens.
    fn act(&mut self, who: usize, act: impl FnOnce(&mut Feiq) -> Out) {
        let (from, feiq) = &mut self.0[who];
        let mut queue: Vec<_> =
            act(feiq).into_iter().map(|(to, bytes)| (*from, to, bytes)).collect();
        while !queue.is_empty() {
            let (from, to, bytes) = queue.remove(0);
            for (at, feiq) in &mut self.0 {
                if to == To::One(*at) || (!matches!(to, To::One(_)) && *at != from) {
                    let out = feiq.hear(from, &bytes);
                    queue.extend(out.into_iter().map(|(to, bytes)| (*at, to, bytes)));
                }
            }
        }
    }
}

#[test]
fn simulated_feiqs_see_each_other_and_talk() {
    let mut office = Office::of(&["王小明", "Li"]);
    let (wang, li) = (office.at(0), office.at(1));
    let contact =
        |at, nick: &str| Shown::Contact { at, nick: nick.into(), group: "测试组".into() };
    assert_eq!(office.shown(0), [contact(li, "Li")]);
    assert_eq!(office.shown(1), [contact(wang, "王小明")]);
    assert!(office.0[0].1.contacts[&li].family);

    // Both announce encryption, so this asks for a key first.
    office.act(0, |feiq| feiq.say(li, "下班一起吃饭？ {ok;}"));
    let text = "下班一起吃饭？ {ok;}".to_owned();
    assert_eq!(office.shown(1)[1..], [Shown::Text { at: wang, text, encrypted: true }]);
    assert!(matches!(office.shown(0), [_, Shown::Confirmed { .. }]));
    assert!(office.0[0].1.repeat().is_empty());

    office.act(1, |feiq| feiq.knock(wang));
    office.act(1, |feiq| feiq.probe(wang));
    office.act(1, |feiq| feiq.typing(wang, true));
    office.act(1, |feiq| feiq.typing(wang, false));
    let typing = |typing| Shown::Typing { at: li, typing };
    assert_eq!(office.shown(0)[2..], [Shown::Shake { at: li }, typing(true), typing(false)]);
    assert_eq!(office.shown(1)[2..], [Shown::Shaken { at: wang }, Shown::Probed { at: wang }]);

    office.act(0, |feiq| feiq.join_group("b4cc80e4", "开发群"));
    office.act(0, |feiq| feiq.say_to_group("b4cc80e4", "大家好"));
    let (group, text) = ("b4cc80e4".to_owned(), "大家好".to_owned());
    assert_eq!(office.shown(1)[4..], [Shown::Group { at: wang, group, text }]);

    office.act(0, Feiq::exit);
    assert_eq!(office.shown(1).last(), Some(&Shown::Gone { at: wang }));
}

#[test]
fn simulated_feiqs_repeat_what_is_not_confirmed_and_show_it_once() {
    let mut office = Office::of(&["Wang", "Li"]);
    let (wang, li) = (office.at(0), office.at(1));
    let body = text::with_font("hello");
    let (number, out) = office.0[0].1.post(li, 288, &body);
    assert_eq!(office.0[0].1.repeat(), out);
    // The receipt is lost: it comes from an address of which nobody knows.
    office.0[1].1.hear(wang, &out[0].1);
    office.act(0, |feiq| feiq.repeat());
    let shown = Shown::Text { at: wang, text: "hello".into(), encrypted: false };
    assert_eq!(office.shown(1)[1..], [shown]);
    assert_eq!(office.shown(0)[1..], [Shown::Confirmed { number }]);
    assert_eq!(office.0[1].1.heard.len(), 5, "a start, an answer, the text twice");
}

#[cfg(feature = "cli")]
#[test]
fn simulated_feiqs_meet_on_real_sockets() {
    use std::net::Ipv4Addr;

    use crate::support::feiq::program::Program;
    use feige::io::lab::free_port;

    let port = free_port().unwrap();
    let start = |nick, host| {
        let feiq = Feiq::new(nick, &format!("0800270905{host:02X}"));
        Program::on_loopback(feiq, Ipv4Addr::new(127, 81, 0, host), port)
    };
    let (wang, li) = (start("王", 1), start("Li", 2));
    let at = wang.contact("Li");
    wang.act(|feiq| feiq.say_to_group("1", "群里好"));
    li.wait("group message", |shown| matches!(shown, Shown::Group { .. }).then_some(()));
    wang.act(|feiq| feiq.knock(at));
    li.wait("knock", |shown| matches!(shown, Shown::Shake { .. }).then_some(()));
    li.until("heard", |feiq| (feiq.heard.len() >= 2).then_some(()));
}

/// What the documentation promises a FeiQ user to see of each character, made from the vectors and
/// the code page alone.
struct Promise {
    codes: BTreeMap<char, String>,
    words: BTreeMap<char, String>,
}

impl Promise {
    fn new() -> Self {
        let code = |row: &serde_json::Value| {
            let emoji = row["unicode"].as_str()?.chars().next()?;
            Some((emoji, row["code"].as_str()?.to_owned()))
        };
        let codes: BTreeMap<_, _> = vectors::feiq("emoticons").iter().filter_map(code).collect();
        assert_eq!(codes.len(), 96);
        let words = Self::words(include_str!("../../docs/protocol.md"));
        assert!(words.len() > 100, "{words:?}");
        Self { codes, words }
    }

    /// The words for emoji in the document: each behind its emoji.
    fn words(document: &str) -> BTreeMap<char, String> {
        let (_, rest) = document.split_once("### Words for emoji").expect("the section");
        let list = rest.split("```").nth(1).expect("the list");
        let list: Vec<_> = list.split_whitespace().skip(1).collect();
        let pair = |pair: &[&str]| {
            let [emoji, word] = pair else { panic!("{pair:?}") };
            (emoji.parse().expect("one character"), (*word).to_owned())
        };
        list.chunks(2).map(pair).collect()
    }

    /// Whether what comes next would be part of a web address, or as a code, which begins with a
    /// slash, make one.
    fn joins_address(seen: &str, code: bool) -> bool {
        let ends = |c: char| !c.is_ascii_graphic() || matches!(c, '<' | '>' | '"');
        let run = seen.rsplit(ends).next().unwrap_or_default();
        let run = if code { format!("{run}/") } else { run.to_owned() };
        let is_scheme = |before: &str| before.ends_with(|c: char| c.is_ascii_alphanumeric());
        run.match_indices("://").any(|(at, _)| is_scheme(&run[..at]))
    }

    /// The whole text as the user of FeiQ should see it.
    fn of(&self, typed: &str) -> String {
        let mut seen = String::new();
        let mut after_emoji = false;
        for character in typed.chars() {
            let skin = ('\u{1f3fb}'..='\u{1f3ff}').contains(&character);
            let joins = character == '\u{200d}';
            let of_look = ('\u{fe00}'..='\u{fe0f}').contains(&character);
            // Line ends are LF, and a NUL would end the packet.
            if matches!(character, '\r' | '\0') || of_look || ((skin || joins) && after_emoji) {
                continue;
            }
            after_emoji = false;
            // GBK of Windows has no character of four bytes.
            let mut utf8 = [0; 4];
            let (bytes, _, lost) = encoding_rs::GBK.encode(character.encode_utf8(&mut utf8));
            // A few characters of private use have the bytes of another one.
            if !lost && bytes.len() <= 2 && text::read(&bytes) == character.to_string() {
                seen.push(character);
                continue;
            }
            let (code, word) = (self.codes.get(&character), self.words.get(&character));
            after_emoji = code.is_some() || word.is_some();
            if Self::joins_address(&seen, code.is_some()) {
                seen.push(' ');
            }
            match (code, word) {
                (Some(code), _) => seen.push_str(code),
                (None, Some(word)) => seen.extend(["[", word, "]"]),
                (None, None) => {
                    let _ = write!(seen, "[U+{:04X}]", u32::from(character));
                }
            }
        }
        seen
    }
}

/// What a FeiQ shows of a text of ours.
fn shown_by_feiq(typed: &str) -> String {
    let head = Head { version: "1", number: PacketNo(1), user: "u", host: "h" };
    let form = FEIQ.habits.text_form(Options::empty(), Charset::UTF_8);
    let bytes = emit_message(&head, Options::empty(), typed, form);
    text::without_font(Fields::split(&bytes).expect("a packet").main())
}

#[test]
fn every_character_there_is_reaches_a_feiq_as_promised() {
    let promise = Promise::new();
    let all: Vec<char> = ('\0'..=char::MAX).collect();
    assert_eq!(all.len(), 0x11_0000 - 0x800);
    for chunk in all.chunks(1_024) {
        // Apart, so that none changes what becomes of the next.
        let typed: String = chunk.iter().flat_map(|&character| [character, ' ']).collect();
        let shown = shown_by_feiq(&typed);
        let promised = promise.of(&typed);
        let differs =
            shown.chars().zip(promised.chars()).find(|(shown, promised)| shown != promised);
        assert_eq!(differs, None, "shown and promised, from U+{:04X} on", u32::from(chunk[0]));
        assert_eq!(shown.len(), promised.len());
        assert!(!shown.contains(['\u{fffd}', '\0']), "nothing is lost in silence");
        // The code of one emoticon has a question mark: /;?
        assert_eq!(shown.matches('?').count(), typed.matches(['?', '🤔']).count());
        assert_eq!(shown.matches('&').count(), typed.matches('&').count());
    }
}

proptest! {
    #[test]
    fn every_text_reaches_a_feiq_as_promised(
        typed in prop_oneof![
            any::<String>(),
            "[a-z谢目😀-🙏🏻-🏿\u{fe0f}\u{200d}€&#;?{}/:]{0,40}",
            "(/:\\)|🙂|👍🏽|🚀|ñ|http:/|//a<|http://8-\\)x|\\{/font;x;\\}|[一-龥]){0,12}",
            // What FeiQ takes for the writer's font, or nearly.
            "[a-z一-龥{}]{0,5}(\\{[/\\\\]font;-?1[0-9] 0 0 0 [47]00 0 0 0 134 0 0 2 32 \
                (Arial|微软 雅黑|\\{/font;|🙂|;)( 0|-1)? [0-9]{1,7};\\} ?){0,3}",
        ],
    ) {
        prop_assert_eq!(shown_by_feiq(&typed), Promise::new().of(&typed));
    }
}

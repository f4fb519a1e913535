//! Untrusted text made safe for a terminal, and its width there.
//!
//! Everything from outside passes [`safe`] (names and whatever else has one line) or [`safe_lines`]
//! (bodies of messages) before a terminal, a log or a person sees it, and nothing else in this crate
//! decides what is safe (threats, rules 13 to 15). What is taken away leaves a visible trace, and
//! what this module wrote passes it unchanged. Machine output does not come here: JSON keeps texts
//! whole.
//!
//! This module knows nothing of colours, times or messages.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Most combining marks that stay on one base character (threats, rule 13).
pub const MARKS_MAX: usize = 4;

/// Most joiners that stay inside one emoji. The longest sequence in use (two people, a heart, a
/// kiss, skin tones) has three; without a limit one "character" could fill a screen.
const JOINERS_MAX: usize = 6;

/// What a tab becomes in the body of a message.
const TAB: &str = "    ";

/// Neutralises text that has one line: names, groups, file names. Line breaks and tabs are replaced
/// like every other control character.
pub fn safe(text: &str) -> Cow<'_, str> {
    neutralise(text, Lines::One)
}

/// Neutralises the body of a message: line breaks stay (CRLF becomes LF), tabs become spaces.
/// Whoever prints the result marks its second and later lines, so that they look like nothing else.
pub fn safe_lines(text: &str) -> Cow<'_, str> {
    neutralise(text, Lines::Many)
}

/// Columns that safe text takes in a terminal; Chinese characters take two.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Safe text cut to at most `columns`, a `~` marking the cut. Never cuts inside a grapheme.
pub fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let (head, _) = split(text, columns.saturating_sub(1));
    let mark = if columns == 0 { "" } else { "~" };
    Cow::Owned(format!("{head}{mark}"))
}

/// Safe text with blanks behind it, so that it takes at least `columns`.
pub fn pad(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width(text));
    format!("{text}{:blanks$}", "")
}

/// Breaks one line of safe text into pieces of at most `columns` each, after a blank where there is
/// one. A grapheme that is wider than that gets a piece of its own. At least one piece.
pub fn wrap(line: &str, columns: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while width(rest) > columns {
        let (fits, _) = split(rest, columns);
        let end = match fits.rfind(' ') {
            // A blank in the first half would waste the line: Chinese has none to break at.
            Some(blank) if blank * 2 > fits.len() => blank + 1,
            _ if fits.is_empty() => rest.graphemes(true).next().map_or(rest.len(), str::len),
            _ => fits.len(),
        };
        let (piece, tail) = rest.split_at(end);
        pieces.push(piece);
        rest = tail;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// The longest head of whole graphemes that takes at most `columns`, and what follows it.
fn split(text: &str, columns: usize) -> (&str, &str) {
    let mut end = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        let next = at + grapheme.len();
        // Measured from the start: the width of a whole is not always the sum of its parts.
        if text.get(..next).is_none_or(|head| width(head) > columns) {
            break;
        }
        end = next;
    }
    text.split_at(end)
}

/// How many lines a text may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    One,
    Many,
}

fn neutralise(text: &str, lines: Lines) -> Cow<'_, str> {
    let plain = |c: char| match c {
        '\n' => lines == Lines::Many,
        _ => !is_special(c) && c.width() != Some(0),
    };
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut out = Writer { out: String::with_capacity(text.len() + 16), ..Writer::default() };
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let next = rest.clone().next();
        match c {
            '\r' if lines == Lines::Many && next == Some('\n') => {}
            '\n' if lines == Lines::Many => out.line_break(),
            '\t' if lines == Lines::Many => out.foreign(TAB),
            _ => out.put(c, next),
        }
    }
    out.settle_marks();
    Cow::Owned(out.out)
}

/// Writes safe text character by character and remembers what a mark or a joiner would stick to.
/// It looks only at what it wrote itself, so that its output passes it unchanged.
#[derive(Default)]
struct Writer {
    out: String,
    /// The character that marks stick to; none at the start of a line.
    base: Option<char>,
    /// Marks on it so far.
    marks: usize,
    /// Marks that were left out.
    excess: usize,
    /// Whether `base` and what sticks to it is an emoji that a joiner or a selector may follow.
    emoji: bool,
    /// Joiners in this emoji so far.
    joiners: usize,
    /// Whether the character before was a joiner.
    joined: bool,
    /// Whether the character before was a variation selector.
    selected: bool,
}

impl Writer {
    fn put(&mut self, c: char, next: Option<char>) {
        if is_mark(c) {
            return self.mark(c);
        }
        self.settle_marks();
        match c {
            JOINER if self.takes_joiner(next) => {
                self.out.push(c);
                self.joiners += 1;
                self.joined = true;
                self.selected = false;
            }
            TEXT_STYLE | EMOJI_STYLE if self.takes_selector(next) => {
                self.out.push(c);
                self.selected = true;
            }
            // Skin tones colour the emoji before them.
            '\u{1f3fb}'..='\u{1f3ff}' if self.emoji && !self.joined => {
                self.out.push(c);
                self.selected = false;
            }
            _ if is_special(c) => self.foreign(&replacement(c)),
            _ => self.base(c),
        }
    }

    fn mark(&mut self, c: char) {
        if self.base.is_none() {
            // Alone it would stick to whatever we print before it.
            self.base('\u{25cc}');
        }
        if self.marks < MARKS_MAX {
            self.out.push(c);
            self.marks += 1;
            self.selected = false;
        } else {
            self.excess += 1;
        }
    }

    /// Says how many marks were left out.
    fn settle_marks(&mut self) {
        if self.excess > 0 {
            let said = format!("<{} marks>", std::mem::take(&mut self.excess));
            self.foreign(&said);
        }
    }

    fn takes_joiner(&self, next: Option<char>) -> bool {
        self.emoji && !self.joined && self.joiners < JOINERS_MAX && next.is_some_and(is_pictograph)
    }

    fn takes_selector(&self, next: Option<char>) -> bool {
        let keycap = matches!(self.base, Some('0'..='9' | '#' | '*')) && next == Some('\u{20e3}');
        !self.selected && !self.joined && (self.emoji || keycap && self.marks == 0)
    }

    fn base(&mut self, c: char) {
        let continues = self.joined;
        self.out.push(c);
        self.base = Some(c);
        self.marks = 0;
        self.emoji = is_pictograph(c);
        self.joiners = if continues { self.joiners } else { 0 };
        self.joined = false;
        self.selected = false;
    }

    /// Words of ours: nothing from outside sticks to what was before them.
    fn foreign(&mut self, words: &str) {
        self.settle_marks();
        for c in words.chars() {
            self.joined = false;
            self.base(c);
        }
    }

    fn line_break(&mut self) {
        self.settle_marks();
        *self = Self { out: std::mem::take(&mut self.out), ..Self::default() };
        self.out.push('\n');
    }
}

const JOINER: char = '\u{200d}';
const TEXT_STYLE: char = '\u{fe0e}';
const EMOJI_STYLE: char = '\u{fe0f}';

/// Takes no column and sticks to the character before it, visibly.
fn is_mark(c: char) -> bool {
    !is_special(c) && c.width() == Some(0)
}

/// Whether the picture `c` may be joined with others to one emoji (`Extended_Pictographic`): the
/// rules for graphemes know, and say so by not breaking behind a joiner.
fn is_pictograph(c: char) -> bool {
    if c.is_ascii() || c.is_alphabetic() {
        return false;
    }
    let probe: String = [c, JOINER, '\u{1f469}'].iter().collect();
    probe.graphemes(true).count() == 1
}

/// Characters that never reach a terminal as they are (some do in the right company): controls, what
/// is invisible, what is no character.
pub fn is_special(c: char) -> bool {
    c.is_control() || is_invisible(c) || u32::from(c) & 0xfffe == 0xfffe
}

/// `Default_Ignorable_Code_Point`, the bidirectional controls and marks, separators of lines and
/// paragraphs, annotation and format controls: Unicode 16, `DerivedCoreProperties.txt` and
/// `PropList.txt`.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}'                  // soft hyphen
        | '\u{034f}'                // grapheme joiner
        | '\u{061c}'                // Arabic letter mark
        | '\u{115f}'..='\u{1160}'   // Hangul fillers
        | '\u{17b4}'..='\u{17b5}'   // Khmer inherent vowels
        | '\u{180b}'..='\u{180f}'   // Mongolian selectors
        | '\u{200b}'..='\u{200f}'   // zero width, joiners, direction marks
        | '\u{2028}'..='\u{202e}'   // separators, embeddings, overrides
        | '\u{2060}'..='\u{206f}'   // word joiner, invisible operators, isolates
        | '\u{3164}' | '\u{ffa0}'   // Hangul fillers
        | '\u{fdd0}'..='\u{fdef}'   // no characters
        | '\u{fe00}'..='\u{fe0f}'   // variation selectors
        | '\u{feff}'                // byte order mark
        | '\u{fff0}'..='\u{fffb}'   // annotations
        | '\u{13430}'..='\u{1343f}' // Egyptian format controls
        | '\u{1bca0}'..='\u{1bca3}' // shorthand format controls
        | '\u{1d173}'..='\u{1d17a}' // musical format controls
        | '\u{e0000}'..='\u{e0fff}' // tags, further variation selectors
    )
}

/// What stands for a special character: `␛` for a control character of ASCII, else `<U+202E>`.
fn replacement(c: char) -> String {
    match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}').to_string(),
        '\x7f' => "\u{2421}".to_owned(),
        _ => format!("<U+{:04X}>", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_become_visible() {
        assert_eq!(safe("\x1b]0;owned\x07"), "␛]0;owned␇");
        assert_eq!(safe("\u{9b}31m"), "<U+009B>31m");
        assert_eq!(safe("a\x7fb"), "a␡b");
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(safe("a\r\nb\tc"), "a␍␊b␉c");
    }

    #[test]
    fn a_body_keeps_its_line_breaks_and_nothing_else() {
        assert_eq!(safe_lines("one\r\ntwo\nthree\rfour\tfive"), "one\ntwo\nthree␍four    five");
    }

    #[test]
    fn direction_and_invisible_characters_are_named() {
        assert_eq!(safe("gpj.\u{202e}exe"), "gpj.<U+202E>exe");
        assert_eq!(safe("a\u{200b}b\u{200d}c\u{feff}"), "a<U+200B>b<U+200D>c<U+FEFF>");
        assert_eq!(safe("x\u{2028}y\u{e0041}"), "x<U+2028>y<U+E0041>");
    }

    #[test]
    fn ordinary_text_is_not_even_copied() {
        for text in ["hello", "谢谢，目录！", "ありがとう", "감사합니다", "Grüße 🙂", ""]
        {
            assert!(matches!(safe(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn emoji_keep_their_joiners_selectors_and_tones() {
        for emoji in ["👨‍👩‍👧‍👦", "👩🏽‍🚀", "❤️", "1️⃣", "🏳️‍🌈", "👩🏻‍❤️‍💋‍👩🏻", "🇨🇳"]
        {
            assert_eq!(safe(emoji), emoji, "{emoji}");
        }
    }

    #[test]
    fn selectors_outside_an_emoji_are_named() {
        assert_eq!(safe("葛\u{e0100}"), "葛<U+E0100>");
        assert_eq!(safe("a\u{fe0f}"), "a<U+FE0F>");
        assert_eq!(safe("❤\u{fe0f}\u{fe0f}"), "❤\u{fe0f}<U+FE0F>");
    }

    #[test]
    fn a_tower_of_marks_is_cut_and_counted() {
        let tower = format!("a{}b", "\u{301}".repeat(1000));
        assert_eq!(safe(&tower), format!("a{}<996 marks>b", "\u{301}".repeat(4)));
        assert_eq!(safe("Tiếng Việt"), "Tiếng Việt");
    }

    #[test]
    fn a_mark_without_a_base_gets_one() {
        assert_eq!(safe("\u{301}a"), "◌\u{301}a");
        assert_eq!(safe_lines("a\n\u{301}"), "a\n◌\u{301}");
    }

    #[test]
    fn widths_are_columns() {
        assert_eq!(width("张三"), 4);
        assert_eq!(pad("张三", 6), "张三  ");
        assert_eq!(cut("研发部一组", 6), "研发~");
        assert_eq!(cut("研发部", 6), "研发部");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn long_lines_break_at_blanks_or_between_characters() {
        assert_eq!(wrap("one two three", 8), ["one two ", "three"]);
        assert_eq!(wrap("今天下午三点开会", 7), ["今天下", "午三点", "开会"]);
        assert_eq!(wrap("", 7), [""]);
        assert_eq!(wrap("好", 1), ["好"]);
    }

    fn nasty() -> impl Strategy<Value = String> {
        let special = prop::sample::select(
            "\x1b\r\n\t\0a好👩\u{200d}\u{fe0f}\u{fe0e}\u{1f3fd}\u{301}\u{20e3}1#❤\u{202e}\u{2066}\
             \u{200b}\u{e0041}\u{85}\u{1160}\u{11a8}\u{25cc}🇨<>"
                .chars()
                .collect::<Vec<_>>(),
        );
        prop::collection::vec(prop_oneof![special, any::<char>()], 0..40)
            .prop_map(|chars| chars.into_iter().collect())
    }

    fn is_bidi(c: char) -> bool {
        matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}')
    }

    proptest! {
        #[test]
        fn nothing_special_survives(text in nasty()) {
            for c in safe(&text).chars() {
                prop_assert!(!c.is_control() && !is_bidi(c), "{c:?}");
                prop_assert!(!is_special(c) || [JOINER, TEXT_STYLE, EMOJI_STYLE].contains(&c));
            }
            for c in safe_lines(&text).chars() {
                prop_assert!((!c.is_control() || c == '\n') && !is_bidi(c), "{c:?}");
            }
        }

        #[test]
        fn what_is_safe_stays_as_it_is(text in nasty()) {
            let once = safe(&text).into_owned();
            prop_assert_eq!(safe(&once), once.as_str());
            let once = safe_lines(&text).into_owned();
            prop_assert_eq!(safe_lines(&once), once.as_str());
        }

        #[test]
        fn no_base_bears_more_marks_than_allowed(text in nasty()) {
            let mut run = 0;
            for c in safe(&text).chars() {
                run = if is_mark(c) { run + 1 } else if is_special(c) { run } else { 0 };
                prop_assert!(run <= MARKS_MAX);
            }
        }

        #[test]
        fn cutting_and_wrapping_fit(text in nasty(), columns in 2usize..20) {
            let text = safe(&text).into_owned();
            prop_assert!(width(&cut(&text, columns)) <= columns);
            let pieces = wrap(&text, columns);
            prop_assert_eq!(pieces.concat(), text);
        }
    }
}

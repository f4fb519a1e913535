//! How texts are searched: [`fold`] makes alike what a reader takes for the same, [`grams`] cuts it
//! into what the index holds.
//!
//! Chinese has no blanks between words, so the index holds every pair of neighbouring characters. A
//! phrase is then a run of pairs, found by their places; a single character is the beginning of a
//! pair. One index so serves queries of any length, where `SQLite`'s own trigrams find nothing below
//! three characters, and most Chinese words have two.

use std::fmt::Write as _;

/// A text as it is compared: lower case, full-width Latin as half-width, half-width kana as
/// full-width, every run of blanks and line breaks one blank, without marks that only choose how a
/// character looks.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Zero-width blanks and joiners, variation selectors, the byte order mark.
            '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => {}
            '\u{ff9e}' | '\u{ff9f}' => voice(&mut folded, c),
            '\u{ff01}'..='\u{ff5e}' => folded.extend(shifted(c, 0xfee0).to_lowercase()),
            '\u{ff61}'..='\u{ff9d}' => folded.extend(KANA.chars().nth(c as usize - 0xff61)),
            c if c.is_whitespace() || c.is_control() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            c => folded.extend(c.to_lowercase()),
        }
    }
    folded
}

/// U+FF61 to U+FF9D in full width.
const KANA: &str = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノ\
                    ハヒフヘホマミムメモヤユヨラリルレロワン";

/// A half-width voicing mark changes the kana before it.
fn voice(folded: &mut String, mark: char) {
    let voiced = folded.pop().map(|kana| match (kana, mark) {
        ('カ'..='ト' | 'ハ'..='ホ', '\u{ff9e}') if kana != 'ッ' => shifted_up(kana, 1),
        ('ハ'..='ホ', '\u{ff9f}') => shifted_up(kana, 2),
        ('ウ', '\u{ff9e}') => 'ヴ',
        _ => kana,
    });
    folded.extend(voiced);
}

fn shifted(c: char, down: u32) -> char {
    char::from_u32(c as u32 - down).unwrap_or(c)
}

fn shifted_up(c: char, up: u32) -> char {
    char::from_u32(c as u32 + up).unwrap_or(c)
}

/// The pairs of neighbouring characters of a folded text, each one token of the index, and its last
/// character alone, so that every character begins a token.
pub(super) fn grams(folded: &str) -> String {
    let mut out = String::with_capacity(folded.len() * 3);
    let mut chars = folded.chars().map(token_char).peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        out.extend(chars.peek());
        out.push(' ');
    }
    out.truncate(out.trim_end().len());
    out
}

/// The question to the index for texts that contain all of these folded words.
pub(super) fn question<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let mut question = String::new();
    for word in words {
        if !question.is_empty() {
            question.push_str(" AND ");
        }
        let mut chars = word.chars();
        let _ = if let (Some(only), None) = (chars.next(), chars.next()) {
            write!(question, "\"{}\" *", token_char(only))
        } else {
            let grams = grams(word);
            // The last token is the single character that ends the word, which need not end the
            // text.
            let pairs = grams.rsplit_once(' ').map_or(&*grams, |(pairs, _)| pairs);
            write!(question, "\"{pairs}\"")
        };
    }
    question
}

/// The index takes ASCII signs and blanks for what parts tokens; their full-width forms, which
/// [`fold`] leaves none of, are letters to it.
fn token_char(c: char) -> char {
    match c {
        ' ' => '\u{3000}',
        '!'..='~' if !c.is_ascii_alphanumeric() => shifted_up(c, 0xfee0),
        '\0'..='\x7f' if !c.is_ascii_alphanumeric() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_takes_for_the_same_folds_alike() {
        assert_eq!(fold("ＡＢｃ　１２３！"), "abc 123!");
        assert_eq!(fold("Straße ÄÖ İ"), fold("straße äö i\u{307}"));
        assert_eq!(fold("ﾃﾞｰﾀ ﾊﾟﾝ ｳﾞ ｡"), "データ パン ヴ 。");
        assert_eq!(fold("a \r\n\t b"), "a b");
        assert_eq!(fold("❤\u{fe0f}"), fold("❤"));
        assert_eq!(fold("ﾞ"), "", "a mark without its kana");
    }

    #[test]
    fn every_character_begins_a_token() {
        assert_eq!(grams("服务器"), "服务 务器 器");
        assert_eq!(grams("a b"), "a\u{3000} \u{3000}b b");
        assert_eq!(grams("c++"), "c＋ ＋＋ ＋");
        assert_eq!(grams(""), "");
    }

    #[test]
    fn a_question_is_a_run_of_pairs_or_a_beginning() {
        assert_eq!(question(["服"]), "\"服\" *");
        assert_eq!(question(["服务"]), "\"服务\"");
        assert_eq!(question(["服务器", "\"*"]), "\"服务 务器\" AND \"＂＊\"");
    }
}

//! Which charset these bytes are in, from what is known down to what can only be guessed.

use serde::{Deserialize, Serialize};

use super::evidence::{self, Shape};
use super::{Charset, Office};

/// Everything known beforehand about the charset of some bytes.
///
/// [`Ladder::judge`] takes the first step that holds:
///
/// 1. ASCII is ASCII.
/// 2. The user pinned a charset for this peer.
/// 3. `UTF8OPT`. FeiQ sets the bit and writes GBK all the same, so a dialect's own charset wins
///    over bytes that are no UTF-8; from everybody else bad bytes are replaced
///    (`feiq-dialect.md`, 2; vector `sendmsg-utf8-invalid`).
/// 4. What this peer is known to write for certain: proved by its UTF-8 lines, or by its dialect.
/// 5. The dialect's charset. UTF-8 wins only where that one fails and UTF-8 does not.
/// 6. What this peer wrote before, if it reads these bytes too. A peer that clearly switches is
///    followed: no common text of another charset is valid UTF-8 with characters of three bytes.
/// 7. Valid UTF-8, unless it is ambiguous: in an office that writes GBK (or does not say), bytes
///    that consist of two-byte characters only and read as runs of common hanzi are hanzi. 谢谢
///    and 目录 in GBK are such bytes.
/// 8. The office's charset, if it reads the bytes; an office that does not say reads GBK where all
///    characters are hanzi and symbols of GB2312.
/// 9. What this peer wrote before, with bad bytes replaced, and at last a detector's guess.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ladder {
    /// The packet has `UTF8OPT`.
    pub declared_utf8: bool,
    /// What this peer used before.
    pub remembered: Option<Verdict>,
    /// What every client of this dialect uses.
    pub dialect: Option<Charset>,
    /// What the office uses.
    pub office: Office,
}

impl Ladder {
    /// Judges `parts` together: one writer, one charset. Allocates nothing before the last step.
    pub fn judge(&self, parts: &[&[u8]]) -> Verdict {
        let verdict = |charset, sure| Verdict { charset, sure };
        let reads = |charset| evidence::reads(charset, parts);
        if parts.iter().all(|part| part.is_ascii()) {
            return verdict(Charset::UTF_8, Sure::Ascii);
        }
        if let Some(pinned) = self.remembered.filter(|before| before.sure == Sure::Pinned) {
            return pinned;
        }
        if self.declared_utf8 {
            return match self.dialect {
                Some(charset) if !reads(Charset::UTF_8) => verdict(charset, Sure::Dialect),
                _ => verdict(Charset::UTF_8, Sure::Declared),
            };
        }
        if let Some(certain) = self.remembered.filter(|r| r.is_certain() && reads(r.charset)) {
            let by_dialect = self.dialect == Some(certain.charset);
            let sure = if by_dialect { Sure::Dialect } else { Sure::Remembered };
            return verdict(certain.charset, sure);
        }
        if let Some(charset) = self.dialect {
            // One bad byte or half a character at the end is normal (vector entry-lbt2). What is no
            // UTF-8 shows it soon, so that is asked first.
            return if reads(Charset::UTF_8) && !reads(charset) {
                verdict(Charset::UTF_8, Sure::Valid)
            } else {
                verdict(charset, Sure::Dialect)
            };
        }
        let shape = Shape::of(parts);
        if let Some(before) = self.remembered.filter(|r| r.fits(shape) && reads(r.charset)) {
            return verdict(before.charset, Sure::Remembered);
        }
        match shape {
            Shape::Long => return verdict(Charset::UTF_8, Sure::Valid),
            Shape::Short if !(self.writes_gbk() && evidence::reads_as_common_hanzi(parts)) => {
                return verdict(Charset::UTF_8, Sure::Valid);
            }
            Shape::Short | Shape::NotUtf8 => {}
        }
        match self.office {
            Office::Fixed(charset) if reads(charset) => verdict(charset, Sure::Assumed),
            Office::Auto if evidence::is_gb2312(parts) => verdict(Charset::GBK, Sure::Assumed),
            _ => match self.remembered {
                Some(before) if before.charset != Charset::UTF_8 => {
                    verdict(before.charset, Sure::Remembered)
                }
                _ => verdict(evidence::guess(parts), Sure::Guessed),
            },
        }
    }

    /// Whether undeclared text is GBK as far as the office is known.
    fn writes_gbk(&self) -> bool {
        [Charset::GBK, Charset::GB18030].contains(&self.office.own())
    }
}

/// Which charset, and how sure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The charset.
    pub charset: Charset,
    /// How sure.
    pub sure: Sure,
}

impl Verdict {
    /// Whether this holds for all undeclared text of its peer. `UTF8OPT` does not: official clients
    /// declare their messages and write the code page of their system everywhere else
    /// (wire reference, 2.5).
    pub(super) fn is_certain(self) -> bool {
        matches!(self.sure, Sure::Dialect | Sure::Declared) && !self.is_declared_utf8()
    }

    /// Whether `UTF8OPT` was the reason.
    pub(super) fn is_declared_utf8(self) -> bool {
        self.charset == Charset::UTF_8 && self.sure == Sure::Declared
    }

    /// Whether bytes of this shape may still be what this verdict was about. A mere guess holds
    /// only until there is something better.
    fn fits(self, shape: Shape) -> bool {
        match shape {
            Shape::Long => self.charset == Charset::UTF_8,
            Shape::Short => self.sure > Sure::Guessed && !self.is_declared_utf8(),
            Shape::NotUtf8 => self.sure > Sure::Guessed,
        }
    }
}

/// How sure a [`Verdict`] is, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sure {
    /// Only ASCII: says nothing about the charset.
    Ascii,
    /// A detector guessed from the bytes.
    Guessed,
    /// The office's charset reads it without an error.
    Assumed,
    /// The bytes are valid UTF-8, and nothing speaks against it.
    Valid,
    /// All clients of this dialect write so.
    Dialect,
    /// This peer wrote so before.
    Remembered,
    /// The packet says so (`UTF8OPT`), or its UTF-8 lines prove it.
    Declared,
    /// The user said so.
    Pinned,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown() -> Ladder {
        Ladder::default()
    }

    fn knows(charset: Charset, sure: Sure) -> Ladder {
        Ladder { remembered: Some(Verdict { charset, sure }), ..Ladder::default() }
    }

    fn read(ladder: Ladder, bytes: &[u8]) -> (String, Verdict) {
        let verdict = ladder.judge(&[bytes]);
        (verdict.charset.decode(bytes).into_owned(), verdict)
    }

    fn gbk(text: &str) -> Vec<u8> {
        Charset::GBK.encode(text, |c| panic!("{c} is not in GBK"))
    }

    #[test]
    fn ascii_says_nothing() {
        let (text, verdict) = read(knows(Charset::GBK, Sure::Pinned), b"hello");
        assert_eq!((text.as_str(), verdict.sure), ("hello", Sure::Ascii));
    }

    #[test]
    fn gbk_that_is_also_valid_utf8_reads_as_hanzi_from_an_unknown_peer() {
        for text in ["谢谢", "目录", "谢谢!", "PC目录", "谢谢 目录", "谢谢谢谢"] {
            let bytes = gbk(text);
            assert!(Charset::UTF_8.reads(&bytes), "{text}");
            let (shown, verdict) = read(unknown(), &bytes);
            assert_eq!((shown.as_str(), verdict.sure), (text, Sure::Assumed));
        }
    }

    #[test]
    fn two_byte_utf8_of_other_scripts_stays_utf8() {
        for text in [
            "café",
            "naïve",
            "créée",
            "Größe",
            "Привет, как дела?",
            "где",
            "один",
            "και",
            "być",
            "Ünal",
            "résumé à côté",
            "שלום",
        ] {
            let (shown, verdict) = read(unknown(), text.as_bytes());
            assert_eq!((shown.as_str(), verdict.sure), (text, Sure::Valid));
        }
    }

    #[test]
    fn the_same_bytes_are_utf8_in_an_office_of_utf8_or_of_another_code_page() {
        for office in [Charset::UTF_8, Charset::SHIFT_JIS] {
            let ladder = Ladder { office: Office::Fixed(office), ..Ladder::default() };
            assert_eq!(read(ladder, &gbk("谢谢")).1.charset, Charset::UTF_8, "{office}");
        }
    }

    #[test]
    fn gbk_that_is_also_valid_utf8_reads_right_from_a_peer_known_for_gbk() {
        for sure in [Sure::Assumed, Sure::Dialect, Sure::Remembered, Sure::Declared, Sure::Pinned] {
            for text in ["谢谢", "目录", "茅"] {
                assert_eq!(read(knows(Charset::GBK, sure), &gbk(text)).0, text, "{sure:?}");
            }
        }
    }

    #[test]
    fn a_peer_known_for_utf8_keeps_its_ambiguous_words() {
        assert_eq!(read(knows(Charset::UTF_8, Sure::Valid), "да".as_bytes()).0, "да");
        assert_eq!(read(unknown(), "да".as_bytes()).1.charset, Charset::GBK);
    }

    #[test]
    fn declared_utf8_says_nothing_about_undeclared_text() {
        let ladder = knows(Charset::UTF_8, Sure::Declared);
        assert_eq!(read(ladder, &gbk("谢谢")).0, "谢谢");
    }

    #[test]
    fn a_peer_that_switches_from_gbk_to_utf8_is_followed() {
        // These six bytes are valid GBK as well.
        let text = "对方";
        assert!(Charset::GBK.reads(text.as_bytes()));
        let (shown, verdict) = read(knows(Charset::GBK, Sure::Assumed), text.as_bytes());
        assert_eq!((shown.as_str(), verdict.sure), (text, Sure::Valid));
    }

    #[test]
    fn a_peer_whose_charset_is_certain_does_not_switch() {
        for sure in [Sure::Dialect, Sure::Declared] {
            let verdict = knows(Charset::GBK, sure).judge(&["对方".as_bytes()]);
            assert_eq!(verdict.charset, Charset::GBK, "{sure:?}");
        }
    }

    #[test]
    fn utf8opt_is_believed_except_from_a_dialect_that_ignores_it() {
        let declared = Ladder { declared_utf8: true, ..Ladder::default() };
        let feiq = Ladder { dialect: Some(Charset::GBK), ..declared };
        assert_eq!(read(declared, b"ab\xff\xfecd").0, "ab\u{fffd}\u{fffd}cd");
        assert_eq!(read(feiq, "好".as_bytes()).1.sure, Sure::Declared);
        assert_eq!(read(feiq, &gbk("你好，世界")).0, "你好，世界");
    }

    #[test]
    fn a_dialect_reads_its_charset_even_with_half_a_character_at_the_end() {
        let ladder = Ladder { dialect: Some(Charset::GBK), ..Ladder::default() };
        assert_eq!(read(ladder, b"\xb1\xca\xbc").0, "笔\u{fffd}");
        assert_eq!(read(ladder, "新版本的".as_bytes()).1.charset, Charset::GBK);
        assert_eq!(read(ladder, "新版本".as_bytes()).1.sure, Sure::Valid);
    }

    #[test]
    fn common_hanzi_are_gbk_without_a_detector() {
        for text in ["你好，世界", "张三", "收到吗 hello", "李婷婷", "（测试）１２３", "飞秋客"]
        {
            let (shown, verdict) = read(unknown(), &gbk(text));
            assert_eq!((shown.as_str(), verdict.sure), (text, Sure::Assumed));
        }
    }

    #[test]
    fn kana_in_shift_jis_read_right_in_an_office_that_says_nothing() {
        for text in [
            "ニック",
            "グループ",
            "表示テスト ｱｲｳ",
            "山田さん",
            "こんにちは",
            "サトウ",
            "すずき",
            "山田太郎",
        ] {
            let bytes = Charset::SHIFT_JIS.encode(text, |c| panic!("{c}"));
            let (shown, verdict) = read(unknown(), &bytes);
            assert_eq!((shown.as_str(), verdict.sure), (text, Sure::Guessed));
        }
    }

    #[test]
    fn the_office_decides_what_bytes_alone_cannot() {
        let ladder = Ladder { office: Office::Fixed(Charset::SHIFT_JIS), ..Ladder::default() };
        for text in ["山田", "営業PC", "ｱｲｳ"] {
            let bytes = Charset::SHIFT_JIS.encode(text, |c| panic!("{c}"));
            let (shown, verdict) = read(ladder, &bytes);
            assert_eq!((shown.as_str(), verdict.sure), (text, Sure::Assumed));
        }
    }

    #[test]
    fn a_bad_byte_does_not_make_a_known_peer_unreadable() {
        let (shown, verdict) = read(knows(Charset::GBK, Sure::Assumed), b"\xc4\xe3\xba\xc3\xff");
        assert_eq!((shown.as_str(), verdict.sure), ("你好\u{fffd}", Sure::Remembered));
    }

    #[test]
    fn a_guess_gives_way_to_common_hanzi() {
        let ladder = knows(Charset::SHIFT_JIS, Sure::Guessed);
        assert_eq!(read(ladder, &gbk("你好，世界")).0, "你好，世界");
    }

    #[test]
    fn western_guesses_give_way_to_gbk() {
        // A rare hanzi alone: detectors take it for two Latin letters.
        let (shown, verdict) = read(unknown(), &gbk("喆"));
        assert_eq!((shown.as_str(), verdict.sure), ("喆", Sure::Guessed));
    }

    #[test]
    fn parts_are_judged_together() {
        let verdict = unknown().judge(&[b"hello", &gbk("谢谢"), &gbk("办公室")]);
        assert_eq!(verdict.charset, Charset::GBK);
    }
}

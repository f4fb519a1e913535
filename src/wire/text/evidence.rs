//! What bytes say about their charset. Pure looking: nothing here knows a peer.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};

use super::Charset;

/// Whether `charset` reads every one of `parts`. Allocates nothing.
pub(super) fn reads(charset: Charset, parts: &[&[u8]]) -> bool {
    // GB2312 needs no decoder to be recognised, and is most of what is written in GBK.
    let family = [Charset::GBK, Charset::GB18030].contains(&charset);
    parts.iter().all(|part| (family && part_is_gb2312(part)) || charset.reads(part))
}

/// How bytes look as UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// They are not UTF-8.
    NotUtf8,
    /// They are, with characters of at most two bytes: Latin, Greek, Cyrillic, Hebrew, Arabic. All
    /// of those bytes may be something else in another charset.
    Short,
    /// They are, and some character takes three or four bytes. No common text of another charset
    /// looks so: read as GBK, for one, each such character begins with a rare hanzi.
    Long,
}

impl Shape {
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        if !parts.iter().all(|part| Charset::UTF_8.reads(part)) {
            return Self::NotUtf8;
        }
        let long = parts.iter().any(|part| part.iter().any(|&byte| byte >= 0xe0));
        if long { Self::Long } else { Self::Short }
    }
}

/// Whether bytes that are UTF-8 of two-byte characters read better as GBK: every run of characters
/// beyond ASCII is at least two hanzi of GB2312's level 1 (the 3,755 common ones).
///
/// Two exceptions keep words of other scripts: three or more different letters of one alphabet
/// (где, και; Chinese of one such row is single words like 谢谢), and accented Latin letters beside
/// plain ones (créée).
pub(super) fn reads_as_common_hanzi(parts: &[&[u8]]) -> bool {
    let mut word = Word::default();
    parts.iter().all(|part| {
        let mut rest = *part;
        while let Some(start) = rest.iter().position(|byte| !byte.is_ascii()) {
            let (plain, tail) = rest.split_at(start);
            let end = tail.iter().position(u8::is_ascii).unwrap_or(tail.len());
            let (run, next) = tail.split_at(end);
            let beside_letter = plain.last().is_some_and(u8::is_ascii_alphabetic)
                || next.first().is_some_and(u8::is_ascii_alphabetic);
            if !is_run_of_hanzi(run) || (beside_letter && is_accented_latin(run)) {
                return false;
            }
            word.take(run);
            rest = next;
        }
        true
    }) && !word.is_of_one_alphabet()
}

fn is_run_of_hanzi(run: &[u8]) -> bool {
    let (pairs, odd) = run.as_chunks();
    pairs.len() >= 2 && odd.is_empty() && pairs.iter().all(|&pair| is_level_1(pair))
}

fn is_accented_latin(run: &[u8]) -> bool {
    run.iter().step_by(2).all(|lead| LATIN.contains(lead))
}

/// First bytes of accented Latin letters in UTF-8.
const LATIN: std::ops::RangeInclusive<u8> = 0xc3..=0xc5;

/// First bytes of the letters of other alphabets in UTF-8, as far as level 1 of GB2312 has them:
/// Greek, Cyrillic, Armenian, Hebrew.
const ALPHABETS: [std::ops::RangeInclusive<u8>; 4] =
    [0xce..=0xcf, 0xd0..=0xd3, 0xd5..=0xd6, 0xd7..=0xd7];

/// All characters beyond ASCII of a text, as far as they tell words from hanzi.
#[derive(Default)]
struct Word {
    /// Lowest and highest first byte.
    leads: Option<(u8, u8)>,
    /// The first three characters that differ.
    different: [Option<[u8; 2]>; 3],
}

impl Word {
    fn take(&mut self, run: &[u8]) {
        for &pair in run.as_chunks().0 {
            let [lead, _] = pair;
            let (low, high) = self.leads.unwrap_or((lead, lead));
            self.leads = Some((low.min(lead), high.max(lead)));
            if !self.different.contains(&Some(pair))
                && let Some(free) = self.different.iter_mut().find(|known| known.is_none())
            {
                *free = Some(pair);
            }
        }
    }

    fn is_of_one_alphabet(&self) -> bool {
        self.different.iter().all(Option::is_some)
            && self.leads.is_some_and(|(low, high)| {
                ALPHABETS.iter().any(|letters| letters.contains(&low) && letters.contains(&high))
            })
    }
}

/// Whether all parts are ASCII and characters of GB2312 proper: hanzi, punctuation, numbers and
/// full-width forms. Kana are left out: their rows are common Chinese characters in Big5.
pub(super) fn is_gb2312(parts: &[&[u8]]) -> bool {
    parts.iter().all(|part| part_is_gb2312(part))
}

fn part_is_gb2312(part: &[u8]) -> bool {
    let mut rest = part;
    loop {
        while let Some((word, tail)) = rest.split_first_chunk::<8>()
            && word.is_ascii()
        {
            rest = tail;
        }
        while let [byte, tail @ ..] = rest
            && byte.is_ascii()
        {
            rest = tail;
        }
        // Long texts are runs of hanzi: many at a time, without a branch between them.
        while let Some((chunk, tail)) = rest.split_first_chunk::<32>() {
            let mut odd = 0;
            for &pair in chunk.as_chunks().0 {
                odd |= u8::from(!is_gb2312_pair(pair));
            }
            if odd != 0 {
                break;
            }
            rest = tail;
        }
        while let [lead, trail, tail @ ..] = rest
            && is_gb2312_pair([*lead, *trail])
        {
            rest = tail;
        }
        match rest.first() {
            None => return true,
            Some(byte) if byte.is_ascii() => {}
            Some(_) => return false,
        }
    }
}

fn is_gb2312_pair([lead, trail]: [u8; 2]) -> bool {
    // Without short circuits: this is evaluated for many pairs at once.
    let place = lead.wrapping_sub(0xa1);
    ((place < 3) | (place.wrapping_sub(0x0f) < 0x48)) & (trail.wrapping_sub(0xa1) < 0x5e)
}

fn is_level_1(pair: [u8; 2]) -> bool {
    // The last five places of the last row are empty.
    matches!(pair, [0xb0..=0xd6, 0xa1..=0xfe] | [0xd7, 0xa1..=0xf9])
}

/// Whether all parts are ASCII and everyday Japanese of `Shift_JIS`: kana, kanji of JIS level 1,
/// full-width letters and punctuation, with some kana or at least two kanji. Read as GBK these are
/// rare hanzi without a common one among them, yet detectors take short ones for Chinese.
///
/// Half-width katakana are left to the detector: their bytes are the first bytes of common hanzi.
fn is_everyday_shift_jis(parts: &[&[u8]]) -> bool {
    let (mut kana, mut kanji) = (0_usize, 0_usize);
    let clean = parts.iter().all(|part| {
        let mut bytes = part.iter();
        while let Some(&lead) = bytes.next() {
            if lead.is_ascii() {
                continue;
            }
            let Some(&trail @ (0x40..=0x7e | 0x80..=0xfc)) = bytes.next() else { return false };
            match (lead, trail) {
                (0x82, 0x9f..=0xf1) | (0x83, ..=0x96) | (0x81, 0x5b) => kana += 1,
                (0x81, ..=0xac) | (0x82, 0x4f..=0x9a) => {}
                (0x88, 0x9f..) | (0x89..=0x97, _) | (0x98, ..=0x72) => kanji += 1,
                _ => return false,
            }
        }
        true
    });
    clean && (kana > 0 || kanji > 1)
}

/// A detector's guess from the first bytes of all parts, of all charsets but UTF-8.
///
/// Everyday Japanese is recognised first, see `is_everyday_shift_jis`. The detector gets no hint of
/// a country: such hints are decisive, with the one for China it finds no Japanese. Two of its
/// findings give way to GBK where GBK reads the bytes, as the offices of this protocol go: a code
/// page that no client of this protocol has (Western ones, EUC-JP), because rare hanzi are likelier
/// than rows of accented letters; and Big5 with a rare character in it where GBK has a common one,
/// because Chinese given names are full of rare hanzi.
pub(super) fn guess(parts: &[&[u8]]) -> Charset {
    // Enough to be sure, and a bound on the work a stranger can cause.
    const ENOUGH: usize = 2048;
    const CLIENTS: [Charset; 5] =
        [Charset::GBK, Charset::GB18030, Charset::SHIFT_JIS, Charset::BIG5, Charset::EUC_KR];
    if is_everyday_shift_jis(parts) {
        return Charset::SHIFT_JIS;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let mut left = ENOUGH;
    for part in parts {
        let part = part.get(..left).unwrap_or(part);
        detector.feed(part, false);
        left -= part.len();
    }
    detector.feed(b"", true);
    let found = Charset(detector.guess(None, Utf8Detection::Deny));
    let doubtful = !CLIENTS.contains(&found)
        || found == Charset::BIG5
            && has_pair(parts, |[lead, _]| lead >= 0xc9)
            && has_pair(parts, is_level_1);
    if doubtful && reads(Charset::GBK, parts) { Charset::GBK } else { found }
}

/// Whether some two-byte character fulfils `is`.
fn has_pair(parts: &[&[u8]], is: impl Fn([u8; 2]) -> bool) -> bool {
    parts.iter().any(|part| {
        let mut bytes = part.iter();
        while let Some(&lead) = bytes.next() {
            if !lead.is_ascii() && bytes.next().is_some_and(|&trail| is([lead, trail])) {
                return true;
            }
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_told_apart() {
        assert_eq!(Shape::of(&[b"\xc4\xe3"]), Shape::NotUtf8);
        assert_eq!(Shape::of(&["é".as_bytes()]), Shape::Short);
        assert_eq!(Shape::of(&["é".as_bytes(), "好".as_bytes()]), Shape::Long);
        assert_eq!(Shape::of(&["🙂".as_bytes()]), Shape::Long);
    }

    #[test]
    fn long_utf8_never_reads_as_common_hanzi() {
        // What makes following a switch to UTF-8 safe: the first byte of a three-byte character
        // leads a pair, and no level 1 hanzi has such a lead.
        for lead in 0xe0..=0xff_u8 {
            for trail in 0..=0xff_u8 {
                assert!(!is_level_1([lead, trail]));
            }
        }
    }

    #[test]
    fn rare_hanzi_in_names_do_not_make_them_big5() {
        for (name, charset) in
            [("张珺", Charset::GBK), ("冯赟", Charset::GBK), ("我の家", Charset::GBK)]
                .into_iter()
                .chain(["中國", "王小明", "研發部", "林志玲"].map(|name| (name, Charset::BIG5)))
        {
            let bytes = charset.encode(name, |c| panic!("{c}"));
            assert_eq!(guess(&[&bytes]), charset, "{name}");
        }
    }

    #[test]
    fn gb2312_is_the_same_at_any_length() {
        for length in 0..80 {
            let mut text = "a汉".repeat(length % 3) + &"字".repeat(length);
            let bytes = Charset::GBK.encode(&text, |_| String::new());
            assert!(is_gb2312(&[&bytes]), "{text}");
            text.push('喆');
            let bytes = Charset::GBK.encode(&text, |_| String::new());
            assert!(!is_gb2312(&[&bytes]), "{text}");
        }
        for lead in 0..=u8::MAX {
            for trail in 0..=u8::MAX {
                let expected =
                    matches!(lead, 0xa1..=0xa3 | 0xb0..=0xf7) && (0xa1..=0xfe).contains(&trail);
                assert_eq!(is_gb2312_pair([lead, trail]), expected);
            }
        }
    }

    #[test]
    fn kana_are_not_taken_for_gb2312() {
        assert!(!is_gb2312(&[b"\xa4\xa4\xb0\xea"])); // 中國 in Big5
        assert!(is_gb2312(&[b"ok \xc4\xe3\xba\xc3\xa3\xac"]));
        assert!(!is_gb2312(&[b"\xc4"]));
    }
}

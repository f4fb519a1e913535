//! What a peer's packets taught about its charset.

use serde::{Deserialize, Serialize};

use super::{Charset, Office, Sure, Verdict};

/// The charset of one peer, learnt verdict by verdict. Keep one for its names and one for its
/// texts, and give them to the next packet's [`crate::wire::Hint`].
///
/// The rules of [`Learned::learn`]:
///
/// * ASCII teaches nothing.
/// * What the user pinned never moves.
/// * The same charset again: one more text; the stronger reason stays. A [`Sure::Remembered`] only
///   echoes what is here, so it never counts as a reason.
/// * A different charset replaces a weaker or equally strong one. Between verdicts that come from
///   the bytes alone ([`Sure::Assumed`], [`Sure::Valid`]) the newest wins, so that a peer that
///   switches is followed: the ladder gives such a verdict only when the old charset did not fit.
/// * `UTF8OPT` speaks for its own packet only. It is kept while nothing else is known, and gives
///   way to any verdict about undeclared text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Learned {
    verdict: Option<Verdict>,
    texts: u32,
}

impl Learned {
    /// Takes in the verdict on one more text.
    pub fn learn(&mut self, new: Verdict) {
        if new.sure == Sure::Ascii {
            return;
        }
        let echo = new.sure == Sure::Remembered;
        let new = if echo { Verdict { sure: Sure::Assumed, ..new } } else { new };
        match &mut self.verdict {
            Some(old) if old.charset == new.charset => {
                self.texts = self.texts.saturating_add(1);
                if rank(new) > rank(*old) && !echo {
                    old.sure = new.sure;
                }
            }
            Some(old) if !replaces(new, *old) => {}
            verdict => {
                *verdict = Some(new);
                self.texts = 1;
            }
        }
    }

    /// Fixes the charset for good: the user said so.
    pub fn pin(&mut self, charset: Charset) {
        self.verdict = Some(Verdict { charset, sure: Sure::Pinned });
    }

    /// Takes the user's word back; what is known is learnt anew.
    pub fn unpin(&mut self) {
        if self.verdict.is_some_and(|verdict| verdict.sure == Sure::Pinned) {
            *self = Self::default();
        }
    }

    /// The office's charset is this one now: what was only assumed from another one is learnt anew.
    pub fn reconsider(&mut self, office: Office) {
        let assumed = |verdict: Verdict| verdict.sure == Sure::Assumed;
        if self.verdict.is_some_and(|v| assumed(v) && v.charset != office.own()) {
            *self = Self::default();
        }
    }

    /// What is known; none until a text beyond ASCII came.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// How many texts bore it out, the first one included.
    pub fn texts(&self) -> u32 {
        self.texts
    }
}

fn replaces(new: Verdict, old: Verdict) -> bool {
    let from_bytes = |verdict: Verdict| matches!(verdict.sure, Sure::Assumed | Sure::Valid);
    old.sure != Sure::Pinned && (rank(new) >= rank(old) || (from_bytes(new) && from_bytes(old)))
}

fn rank(verdict: Verdict) -> Sure {
    if verdict.is_declared_utf8() { Sure::Ascii } else { verdict.sure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::text::Ladder;

    fn verdict(charset: Charset, sure: Sure) -> Verdict {
        Verdict { charset, sure }
    }

    fn after(verdicts: &[(Charset, Sure)]) -> Learned {
        let mut learned = Learned::default();
        for &(charset, sure) in verdicts {
            learned.learn(verdict(charset, sure));
        }
        learned
    }

    const GBK: Charset = Charset::GBK;
    const UTF_8: Charset = Charset::UTF_8;
    const SJIS: Charset = Charset::SHIFT_JIS;

    #[test]
    fn ascii_teaches_nothing() {
        assert_eq!(after(&[(UTF_8, Sure::Ascii)]), Learned::default());
        assert_eq!(
            after(&[(GBK, Sure::Assumed), (UTF_8, Sure::Ascii)]),
            after(&[(GBK, Sure::Assumed)])
        );
    }

    #[test]
    fn stronger_replaces_weaker_and_not_the_reverse() {
        let learned = after(&[(SJIS, Sure::Guessed), (GBK, Sure::Dialect), (SJIS, Sure::Assumed)]);
        assert_eq!(learned.verdict(), Some(verdict(GBK, Sure::Dialect)));
        assert_eq!(learned.texts(), 1);
        let proved = after(&[(GBK, Sure::Assumed), (SJIS, Sure::Declared), (GBK, Sure::Assumed)]);
        assert_eq!(proved.verdict(), Some(verdict(SJIS, Sure::Declared)));
    }

    #[test]
    fn texts_in_the_same_charset_are_counted_and_the_best_reason_is_kept() {
        let learned = after(&[(GBK, Sure::Assumed), (GBK, Sure::Dialect), (GBK, Sure::Assumed)]);
        assert_eq!(learned.verdict(), Some(verdict(GBK, Sure::Dialect)));
        assert_eq!(learned.texts(), 3);
    }

    #[test]
    fn an_echo_is_no_reason() {
        let learned = after(&[(GBK, Sure::Assumed), (GBK, Sure::Remembered)]);
        assert_eq!(learned.verdict(), Some(verdict(GBK, Sure::Assumed)));
        assert_eq!(learned.texts(), 2);
        assert_eq!(after(&[(GBK, Sure::Remembered)]).verdict(), Some(verdict(GBK, Sure::Assumed)));
    }

    #[test]
    fn pinned_never_moves() {
        let mut learned = Learned::default();
        learned.pin(GBK);
        learned.learn(verdict(UTF_8, Sure::Valid));
        learned.learn(verdict(SJIS, Sure::Declared));
        assert_eq!(learned.verdict(), Some(verdict(GBK, Sure::Pinned)));
    }

    #[test]
    fn a_peer_that_switches_is_followed_both_ways() {
        let mut learned = Learned::default();
        for (charset, text) in [(GBK, "你好，世界"), (UTF_8, "你好，世界"), (GBK, "收到了")]
        {
            let bytes = charset.encode(text, |c| panic!("{c}"));
            let ladder = Ladder { remembered: learned.verdict(), ..Ladder::default() };
            let seen = ladder.judge(&[&bytes]);
            assert_eq!(seen.charset, charset, "{text}");
            learned.learn(seen);
            assert_eq!(learned.verdict().map(|verdict| verdict.charset), Some(charset));
        }
    }

    #[test]
    fn what_was_assumed_of_another_office_is_forgotten() {
        let korean = Office::Fixed(Charset::EUC_KR);
        let reconsidered = |charset, sure, office| {
            let mut learned = after(&[(charset, sure)]);
            learned.reconsider(office);
            learned.verdict().map(|verdict| verdict.charset)
        };
        assert_eq!(reconsidered(GBK, Sure::Assumed, korean), None);
        assert_eq!(reconsidered(GBK, Sure::Assumed, Office::Auto), Some(GBK));
        assert_eq!(reconsidered(Charset::EUC_KR, Sure::Assumed, korean), Some(Charset::EUC_KR));
        assert_eq!(reconsidered(Charset::EUC_KR, Sure::Assumed, Office::Auto), None);
        for sure in [Sure::Valid, Sure::Dialect, Sure::Declared, Sure::Pinned] {
            assert_eq!(reconsidered(SJIS, sure, korean), Some(SJIS), "{sure:?}");
        }
    }

    #[test]
    fn utf8opt_is_kept_only_while_nothing_else_is_known() {
        let declared = (UTF_8, Sure::Declared);
        assert_eq!(after(&[declared]).verdict(), Some(verdict(UTF_8, Sure::Declared)));
        let official = after(&[(SJIS, Sure::Declared), declared, declared]);
        assert_eq!(official.verdict(), Some(verdict(SJIS, Sure::Declared)));
        let later = after(&[declared, (GBK, Sure::Assumed)]);
        assert_eq!(later.verdict(), Some(verdict(GBK, Sure::Assumed)));
        let same = after(&[declared, (UTF_8, Sure::Valid)]);
        assert_eq!(same.verdict(), Some(verdict(UTF_8, Sure::Valid)));
    }
}

//! The hidden names of what is not complete yet: made here and known again here, so that nothing
//! else in the folder is ever taken for ours.

use std::fmt;

/// What they begin with. No cleaned name begins with a dot.
const PREFIX: &str = ".feige-";

/// Digits of a key.
const KEY_LEN: usize = 20;

/// Most names of one key: the others belong to somebody else.
pub(super) const TURNS: u32 = 16;

/// What bears such a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A file.
    Part,
    /// A folder.
    Stage,
}

impl Kind {
    const fn ending(self) -> &'static str {
        match self {
            Self::Part => ".part",
            Self::Stage => ".d",
        }
    }
}

/// A hidden name of ours: `.feige-<20 hex digits>[-N].part` or `.d`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hidden<'a> {
    pub(super) kind: Kind,
    key: &'a str,
    /// So many of the same were there already.
    turn: u32,
}

impl<'a> Hidden<'a> {
    /// The name of this key's part or stage when `turn` others have theirs. `key` has 20 hex
    /// digits, small ones.
    pub(super) fn new(kind: Kind, key: &'a str, turn: u32) -> Self {
        let name = Self { kind, key, turn };
        debug_assert_eq!(Hidden::read(&name.to_string()), Some(name.clone()), "known again");
        name
    }

    /// What a name stands for; none unless it is exactly one that [`Hidden::new`] makes.
    pub(super) fn read(name: &'a str) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX)?;
        let ends = |kind: Kind| Some((kind, rest.strip_suffix(kind.ending())?));
        let (kind, rest) = ends(Kind::Part).or_else(|| ends(Kind::Stage))?;
        let (key, rest) = rest.split_at_checked(KEY_LEN)?;
        if !key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let turn = match rest.strip_prefix('-') {
            Some(turn) => turn.parse().ok().filter(|turn| (1..TURNS).contains(turn))?,
            None => 0,
        };
        // Zeros in front, signs: written otherwise than by us.
        let read = Self { kind, key, turn };
        (read.to_string() == name).then_some(read)
    }
}

impl fmt::Display for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.key)?;
        if self.turn > 0 {
            write!(f, "-{}", self.turn)?;
        }
        f.write_str(self.kind.ending())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123";

    #[test]
    fn what_is_made_is_known_again() {
        for kind in [Kind::Part, Kind::Stage] {
            for turn in [0, 1, 9, 15] {
                let name = Hidden::new(kind, KEY, turn);
                assert_eq!(Hidden::read(&name.to_string()), Some(name));
            }
        }
        assert_eq!(Hidden::new(Kind::Part, KEY, 0).to_string(), format!(".feige-{KEY}.part"));
        assert_eq!(Hidden::new(Kind::Stage, KEY, 3).to_string(), format!(".feige-{KEY}-3.d"));
    }

    #[test]
    fn what_only_looks_like_it_is_somebody_elses() {
        for name in [
            ".feige-",
            ".feige-notes",
            ".feige-notes.part",
            ".feige-backup.d",
            ".feige-0a.part",
            ".feige-0123456789abcdef012.part",
            ".feige-0123456789abcdef01234.part",
            ".feige-0123456789ABCDEF0123.part",
            ".feige-0123456789abcdeg0123.part",
            ".feige-0123456789abcdef0123",
            ".feige-0123456789abcdef0123.",
            ".feige-0123456789abcdef0123.parts",
            ".feige-0123456789abcdef0123.PART",
            ".feige-0123456789abcdef0123.part.txt",
            ".feige-0123456789abcdef0123.d.part",
            ".feige-0123456789abcdef0123-.part",
            ".feige-0123456789abcdef0123-0.part",
            ".feige-0123456789abcdef0123-01.part",
            ".feige-0123456789abcdef0123-+1.part",
            ".feige-0123456789abcdef0123-16.part",
            ".feige-0123456789abcdef0123-1-1.d",
            ".feige-0123456789abcdef0123 .d",
            ".feige-0123456789abcdef012é.d",
            "feige-0123456789abcdef0123.part",
            " .feige-0123456789abcdef0123.part",
        ] {
            assert_eq!(Hidden::read(name), None, "{name:?}");
        }
    }
}

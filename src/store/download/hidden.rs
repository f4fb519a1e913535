//! The hidden names of what is not complete yet: made here and known again here, so that nothing
//! else in the folder is ever taken for ours.

use std::fmt;

use crate::node::PacketNo;

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

/// Which offer a part is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Number of the message that offered it.
    pub packet: PacketNo,
    /// Its id in that message.
    pub file: u64,
}

/// A hidden name of ours: `.feige-<20 hex digits>[.<number>.<id>][-N].part`, number and id in hex, or
/// `.feige-<20 hex digits>[-N].d`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hidden<'a> {
    pub(super) kind: Kind,
    pub(super) key: &'a str,
    /// Of a part that an offer made.
    pub(super) origin: Option<Origin>,
    /// So many of the same were there already.
    pub(super) turn: u32,
}

impl<'a> Hidden<'a> {
    /// The name of this key's part, of this offer, when `turn` others have theirs. `key` has 20 hex
    /// digits, small ones.
    pub(super) fn part(key: &'a str, origin: Option<Origin>, turn: u32) -> Self {
        Self { kind: Kind::Part, key, origin, turn }.checked()
    }

    /// The same for a stage.
    pub(super) fn stage(key: &'a str, turn: u32) -> Self {
        Self { kind: Kind::Stage, key, origin: None, turn }.checked()
    }

    fn checked(self) -> Self {
        let name = self;
        debug_assert_eq!(Hidden::read(&name.to_string()), Some(name.clone()), "known again");
        name
    }

    /// What a name stands for; none unless it is exactly one that is made
    /// here.
    pub(super) fn read(name: &'a str) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX)?;
        let ends = |kind: Kind| Some((kind, rest.strip_suffix(kind.ending())?));
        let (kind, rest) = ends(Kind::Part).or_else(|| ends(Kind::Stage))?;
        let (key, rest) = rest.split_at_checked(KEY_LEN)?;
        if !key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let (rest, turn) = match rest.split_once('-') {
            Some((rest, turn)) => {
                (rest, turn.parse().ok().filter(|turn| (1..TURNS).contains(turn))?)
            }
            None => (rest, 0),
        };
        let origin = match rest.strip_prefix('.') {
            Some(offer) if kind == Kind::Part => Some(Origin::read(offer)?),
            _ if rest.is_empty() => None,
            _ => return None,
        };
        // Zeros in front, signs, capitals: written otherwise than by us.
        let read = Self { kind, key, origin, turn };
        (read.to_string() == name).then_some(read)
    }
}

impl Origin {
    fn read(offer: &str) -> Option<Self> {
        let (packet, file) = offer.split_once('.')?;
        let hex = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Self { packet: PacketNo(hex(packet)?), file: hex(file)? })
    }
}

impl fmt::Display for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.key)?;
        if let Some(Origin { packet, file }) = self.origin {
            write!(f, ".{:x}.{file:x}", packet.0)?;
        }
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
        let origin = |packet, file| Some(Origin { packet: PacketNo(packet), file });
        let origins = [None, origin(0, 0), origin(1_780_525_944, 10), origin(u64::MAX, u64::MAX)];
        for turn in [0, 1, 9, 15] {
            let names = origins.map(|origin| Hidden::part(KEY, origin, turn));
            for name in names.into_iter().chain([Hidden::stage(KEY, turn)]) {
                assert_eq!(Hidden::read(&name.to_string()), Some(name));
            }
        }
        assert_eq!(Hidden::part(KEY, None, 0).to_string(), format!(".feige-{KEY}.part"));
        let named = Hidden::part(KEY, origin(0x3e9, 10), 2).to_string();
        assert_eq!(named, format!(".feige-{KEY}.3e9.a-2.part"));
        assert_eq!(Hidden::stage(KEY, 3).to_string(), format!(".feige-{KEY}-3.d"));
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
            ".feige-0123456789abcdef0123.3e9.part",
            ".feige-0123456789abcdef0123.3e9.a.1.part",
            ".feige-0123456789abcdef0123.3e9.a.d",
            ".feige-0123456789abcdef0123.3E9.a.part",
            ".feige-0123456789abcdef0123.3e9.0a.part",
            ".feige-0123456789abcdef0123.3e9.+a.part",
            ".feige-0123456789abcdef0123..a.part",
            ".feige-0123456789abcdef0123.3e9.10000000000000000.part",
            ".feige-0123456789abcdef0123-1.3e9.a.part",
            ".feige-0123456789abcdef0123 .d",
            ".feige-0123456789abcdef012é.d",
            "feige-0123456789abcdef0123.part",
            " .feige-0123456789abcdef0123.part",
        ] {
            assert_eq!(Hidden::read(name), None, "{name:?}");
        }
    }
}

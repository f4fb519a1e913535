//! The container FeiQ packs bitmaps in (dialect reference, 7).
//!
//! ```text
//! container = "LZW!" length crc codes       length, crc: 32 bits, little-endian
//! ```
//!
//! Length and CRC-32 (as in zlib) are those of the unpacked data, a DIB. The codes are LZW of a kind
//! of its own: 9 to 12 bits, no clear code and no end code, and after slot 4095 the slots from 256
//! on are given out again, one by one, each forgetting its old string.

mod pack;
mod unpack;

pub use pack::pack;
pub use unpack::unpack;

/// How a container begins.
pub const MARK: &[u8] = b"LZW!";

/// Bytes before the codes.
const HEADER: usize = 12;

/// Largest content of a container, in bytes (threats, caps; dialect reference, 7).
pub const UNPACKED_MAX: usize = 64 << 20;

/// Why a container cannot be unpacked, or data not packed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LzwError {
    /// No `LZW!`, or shorter than the header.
    #[error("no LZW! container")]
    Header,
    /// The container is larger than [`WIRE_MAX`](super::WIRE_MAX), or its content larger than
    /// [`UNPACKED_MAX`].
    #[error("container too large")]
    TooLarge,
    /// The codes end before the content does.
    #[error("the codes end too early")]
    Cut,
    /// A code whose slot is empty.
    #[error("a code that means nothing")]
    Code,
    /// The codes go on behind the content's end.
    #[error("more codes than content")]
    Excess,
    /// The content has another CRC-32.
    #[error("wrong checksum")]
    Checksum,
}

/// The widths codes have, and how far they are: both sides count codes and agree.
///
/// Nine bits at first, and one more as soon as 256 and the codes so far are a power of two; never
/// more than twelve.
#[derive(Clone, Copy)]
struct Width {
    bits: u32,
    count: u32,
}

impl Width {
    const MAX: u32 = 12;

    fn new() -> Self {
        Self { bits: 9, count: FIRST_SLOT.into() }
    }

    /// Counts a code.
    fn step(&mut self) {
        if self.bits < Self::MAX {
            self.count += 1;
            if self.count == 1 << self.bits {
                self.bits += 1;
            }
        }
    }
}

/// The first slot for strings; smaller codes are bytes.
const FIRST_SLOT: u16 = 256;

/// All codes there are.
const SLOTS: usize = 1 << Width::MAX;

/// The slot given out after `slot`.
fn slot_after(slot: u16) -> u16 {
    if usize::from(slot) + 1 < SLOTS { slot + 1 } else { FIRST_SLOT }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container around codes that all have nine bits.
    fn container(codes: &[u16], length: u32, crc: u32) -> Vec<u8> {
        let mut bits = Vec::new();
        for code in codes {
            bits.extend((0..9).map(|bit| code >> bit & 1 == 1));
        }
        let bytes = bits.chunks(8).map(|bits| {
            bits.iter().enumerate().fold(0u8, |byte, (at, &bit)| byte | u8::from(bit) << (7 - at))
        });
        [MARK, &length.to_le_bytes(), &crc.to_le_bytes(), &bytes.collect::<Vec<_>>()].concat()
    }

    #[test]
    fn a_code_equal_to_the_next_slot_is_the_last_string_and_its_first_byte() {
        let crc = crc32fast::hash(b"aaaaaa");
        assert_eq!(unpack(&container(&[97, 256, 257], 6, crc)).unwrap(), b"aaaaaa");
        assert_eq!(pack(b"aaaaaa").unwrap(), container(&[97, 256, 257], 6, crc));
    }

    #[test]
    fn a_container_ends_exactly_where_its_content_does() {
        let crc = crc32fast::hash(b"abab");
        let whole = container(&[97, 98, 256], 4, crc);
        assert_eq!(unpack(&whole).unwrap(), b"abab");
        // 27 bits of 32 are used: one more byte, and a whole code is left.
        assert_eq!(unpack(&[&whole[..], &[0]].concat()), Err(LzwError::Excess));
        assert_eq!(unpack(&whole[..whole.len() - 1]), Err(LzwError::Cut));
        assert_eq!(unpack(&container(&[97, 98, 256, 97], 4, crc)), Err(LzwError::Excess));
        assert_eq!(unpack(&container(&[97, 98, 256], 3, crc)), Err(LzwError::Excess));
        assert_eq!(unpack(&container(&[97, 98, 256], 5, crc)), Err(LzwError::Cut));
        assert_eq!(unpack(&container(&[97, 98, 256], 4, crc ^ 1)), Err(LzwError::Checksum));
    }

    #[test]
    fn a_code_nobody_gave_out_means_nothing() {
        assert_eq!(unpack(&container(&[256], 1, 0)), Err(LzwError::Code));
        assert_eq!(unpack(&container(&[97, 257], 3, 0)), Err(LzwError::Code));
        assert_eq!(unpack(&container(&[97, 98, 258], 5, 0)), Err(LzwError::Code));
    }

    #[test]
    fn nothing_is_packed_and_unpacked_too() {
        let empty = pack(b"").unwrap();
        assert_eq!(empty, b"LZW!\0\0\0\0\0\0\0\0");
        assert_eq!(unpack(&empty).unwrap(), b"");
        assert_eq!(unpack(b"LZW!\0\0\0\0\0\0\0\0\0\0"), Err(LzwError::Excess));
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_read() {
        let huge = u32::try_from(UNPACKED_MAX + 1).unwrap();
        assert_eq!(unpack(&container(&[97], huge, 0)), Err(LzwError::TooLarge));
        assert_eq!(unpack(&vec![0; super::super::WIRE_MAX + 1]), Err(LzwError::TooLarge));
        for short in [&b""[..], b"LZW", b"LZW!\0\0\0\0\0\0\0", b"XZW!\0\0\0\0\0\0\0\0"] {
            assert_eq!(unpack(short), Err(LzwError::Header));
        }
    }
}

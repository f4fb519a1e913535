//! Unpacks a container, whoever made it.

use super::{FIRST_SLOT, HEADER, LzwError, MARK, SLOTS, UNPACKED_MAX, Width, slot_after};
use crate::wire::picture::WIRE_MAX;

/// Unpacks a container. Never more than its declared length is written, and that is at most
/// [`UNPACKED_MAX`]; memory grows with what is really there. Bits left behind the last code must be
/// fewer than a code.
pub fn unpack(container: &[u8]) -> Result<Vec<u8>, LzwError> {
    if container.len() > WIRE_MAX {
        return Err(LzwError::TooLarge);
    }
    let (header, codes) = container.split_at_checked(HEADER).ok_or(LzwError::Header)?;
    let fields = header.strip_prefix(MARK).ok_or(LzwError::Header)?;
    let (length, crc) = fields.split_first_chunk().ok_or(LzwError::Header)?;
    let crc = crc.first_chunk().ok_or(LzwError::Header)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > UNPACKED_MAX {
        return Err(LzwError::TooLarge);
    }
    let content = Unpacker::new(codes, length).run()?;
    if crc32fast::hash(&content) != u32::from_le_bytes(*crc) {
        return Err(LzwError::Checksum);
    }
    Ok(content)
}

/// A string of the table: where it stands in the content so far. Each is the string of one code and
/// the first byte of the next, so it stands there in one piece, and a slot given out again changes
/// no other string.
#[derive(Clone, Copy, Default)]
struct Piece {
    start: usize,
    /// 0 for a slot not given out yet.
    length: usize,
}

struct Unpacker<'a> {
    codes: Codes<'a>,
    width: Width,
    /// Strings by slot; those of bytes are not used.
    table: Vec<Piece>,
    /// The slot that the next code fills.
    next: u16,
    content: Vec<u8>,
    length: usize,
}

impl<'a> Unpacker<'a> {
    fn new(codes: &'a [u8], length: usize) -> Self {
        // What promises to grow more than this has to show it first.
        let capacity = length.min(codes.len().saturating_mul(8));
        Self {
            codes: Codes { bytes: codes, bits: 0, count: 0 },
            width: Width::new(),
            table: vec![Piece::default(); SLOTS],
            next: FIRST_SLOT,
            content: Vec::with_capacity(capacity),
            length,
        }
    }

    fn run(mut self) -> Result<Vec<u8>, LzwError> {
        let mut last = None;
        while self.content.len() < self.length {
            let code = self.codes.take(self.width.bits).ok_or(LzwError::Cut)?;
            last = Some(self.step(code, last)?);
            self.width.step();
        }
        if self.codes.left() >= self.width.bits as usize {
            return Err(LzwError::Excess);
        }
        Ok(self.content)
    }

    /// Writes the string of `code`, and fills a slot if a code came before; the string just written.
    fn step(&mut self, code: u16, last: Option<Piece>) -> Result<Piece, LzwError> {
        let start = self.content.len();
        // Filled before it is looked up: a code may mean the very string that it completes.
        if let Some(last) = last {
            let filled = Piece { start: last.start, length: last.length + 1 };
            let slot = self.table.get_mut(usize::from(self.next)).ok_or(LzwError::Code)?;
            *slot = filled;
            if code == self.next {
                self.write(last)?;
                self.repeat(start)?;
                self.next = slot_after(self.next);
                return Ok(Piece { start, length: filled.length });
            }
            self.next = slot_after(self.next);
        }
        if let Ok(byte) = u8::try_from(code) {
            self.content.push(byte);
            return Ok(Piece { start, length: 1 });
        }
        let piece = self.table.get(usize::from(code)).copied().unwrap_or_default();
        self.write(piece)?;
        Ok(Piece { start, length: piece.length })
    }

    /// Writes a string again that stands in the content already.
    fn write(&mut self, piece: Piece) -> Result<(), LzwError> {
        let Piece { start, length } = piece;
        if length == 0 {
            return Err(LzwError::Code);
        }
        if length > self.length - self.content.len() {
            return Err(LzwError::Excess);
        }
        if start + length > self.content.len() {
            return Err(LzwError::Code);
        }
        self.content.extend_from_within(start..start + length);
        Ok(())
    }

    /// Writes the byte at `at` again.
    fn repeat(&mut self, at: usize) -> Result<(), LzwError> {
        let byte = self.content.get(at).copied().ok_or(LzwError::Code)?;
        if self.content.len() == self.length {
            return Err(LzwError::Excess);
        }
        self.content.push(byte);
        Ok(())
    }
}

/// Codes out of bytes: bytes are filled from the top bit down, codes lowest bit first.
struct Codes<'a> {
    bytes: &'a [u8],
    /// Bits taken out of `bytes` and not used, the next one lowest.
    bits: u64,
    count: u32,
}

impl Codes<'_> {
    fn take(&mut self, width: u32) -> Option<u16> {
        if self.count < width {
            self.refill();
            if self.count < width {
                return None;
            }
        }
        let code = u16::try_from(self.bits & ((1 << width) - 1)).ok()?;
        self.bits >>= width;
        self.count -= width;
        Some(code)
    }

    fn refill(&mut self) {
        if let Some((four, rest)) = self.bytes.split_first_chunk() {
            // The first byte comes first, each with its bits turned round.
            let four = u32::from_be_bytes(*four).reverse_bits();
            self.bits |= u64::from(four) << self.count;
            self.count += 32;
            self.bytes = rest;
            return;
        }
        while let Some((byte, rest)) = self.bytes.split_first() {
            self.bits |= u64::from(byte.reverse_bits()) << self.count;
            self.count += 8;
            self.bytes = rest;
        }
    }

    /// Bits not used.
    fn left(&self) -> usize {
        self.bytes.len() * 8 + self.count as usize
    }
}

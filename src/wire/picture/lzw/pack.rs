//! Packs data into a container.

use super::{FIRST_SLOT, HEADER, LzwError, MARK, SLOTS, UNPACKED_MAX, Width, slot_after};

/// Packs data, at most [`UNPACKED_MAX`] bytes. What is made of them may still be larger than
/// [`WIRE_MAX`](super::super::WIRE_MAX): data that do not shrink grow by half at the most.
pub fn pack(data: &[u8]) -> Result<Vec<u8>, LzwError> {
    if data.len() > UNPACKED_MAX {
        return Err(LzwError::TooLarge);
    }
    let length = u32::try_from(data.len()).map_err(|_| LzwError::TooLarge)?;
    let mut out = Vec::with_capacity(HEADER + data.len() / 4);
    out.extend_from_slice(MARK);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
    let mut codes = Codes { out, bits: 0, count: 0 };
    let Some((&first, rest)) = data.split_first() else { return Ok(codes.end()) };
    let (mut strings, mut width) = (Strings::new(), Width::new());
    let mut longest = u32::from(first);
    for &byte in rest {
        match strings.longer(longest, byte) {
            Ok(longer) => longest = longer,
            Err(sleeping) => {
                codes.push(strings.code(longest), width.bits);
                width.step();
                strings.add(longest, byte, sleeping);
                longest = byte.into();
            }
        }
    }
    codes.push(strings.code(longest), width.bits);
    Ok(codes.end())
}

/// The strings that have codes, as a tree: a node is the string of its parent and one more byte.
///
/// A string whose slot is given out again loses its code, but longer ones that begin with it keep
/// theirs: its node then sleeps until the string comes back or the last of the longer ones is gone.
/// Nodes asleep have one awake below them, so at most 3,840 are at one depth; and a node at depth d
/// has cost d bytes of data. That keeps the tree below a million nodes for any data, and near 5,000
/// for pictures.
struct Strings {
    /// The first 256 are single bytes.
    nodes: Vec<Node>,
    /// Places in `nodes` to use again.
    free: Vec<u32>,
    children: Children,
    /// The node of each slot; [`NOBODY`] if not given out yet.
    slots: Vec<u32>,
    next: u16,
}

#[derive(Clone, Copy)]
struct Node {
    parent: u32,
    byte: u8,
    /// [`ASLEEP`] if it has none.
    code: u16,
    children: u32,
}

const NOBODY: u32 = u32::MAX;
const ASLEEP: u16 = u16::MAX;

impl Strings {
    fn new() -> Self {
        let byte = |byte: u8| Node { parent: NOBODY, byte, code: byte.into(), children: 0 };
        let mut nodes = Vec::with_capacity(2 * SLOTS);
        nodes.extend((0..=u8::MAX).map(byte));
        Self {
            nodes,
            free: Vec::new(),
            children: Children::new(),
            slots: vec![NOBODY; SLOTS],
            next: FIRST_SLOT,
        }
    }

    /// The string one byte longer, if it has a code. If not: its node, if that sleeps.
    #[inline]
    fn longer(&self, node: u32, byte: u8) -> Result<u32, Option<u32>> {
        let child = self.children.find(node, byte).ok_or(None)?;
        if self.code(child) == ASLEEP { Err(Some(child)) } else { Ok(child) }
    }

    #[inline]
    fn code(&self, node: u32) -> u16 {
        self.nodes.get(node as usize).map_or(ASLEEP, |node| node.code)
    }

    fn node(&mut self, node: u32) -> &mut Node {
        self.nodes.get_mut(node as usize).expect("nodes are only named while they are there")
    }

    /// Gives the next slot to a string one byte longer, which has no code yet.
    fn add(&mut self, parent: u32, byte: u8, sleeping: Option<u32>) {
        let code = self.next;
        self.next = slot_after(code);
        let child = sleeping.unwrap_or_else(|| self.create(parent, byte));
        self.node(child).code = code;
        let slot = self.slots.get_mut(usize::from(code)).expect("slots are below 4,096");
        let old = std::mem::replace(slot, child);
        if old != NOBODY {
            self.node(old).code = ASLEEP;
            self.prune(old);
        }
    }

    fn create(&mut self, parent: u32, byte: u8) -> u32 {
        let node = Node { parent, byte, code: ASLEEP, children: 0 };
        let place = if let Some(place) = self.free.pop() {
            *self.node(place) = node;
            place
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("below a million")
        };
        self.children.insert(parent, byte, place);
        self.node(parent).children += 1;
        place
    }

    /// Removes a node that sleeps with nothing below it, and what above it is left so.
    fn prune(&mut self, mut node: u32) {
        loop {
            let Node { parent, byte, code, children } = *self.node(node);
            if code != ASLEEP || children > 0 {
                return;
            }
            self.children.remove(parent, byte);
            self.free.push(node);
            self.node(parent).children -= 1;
            node = parent;
        }
    }
}

/// Nodes by parent and last byte: open addressing, one place after another.
struct Children {
    /// Parent and byte in the upper half, child in the lower; [`Children::EMPTY`] if free. As many
    /// as a power of two, at most half of them taken.
    places: Vec<u64>,
    taken: usize,
    /// Drops all bits of a hash but as many as a place has.
    shift: u32,
}

impl Children {
    const EMPTY: u64 = u64::MAX;

    fn new() -> Self {
        Self::of_size(Width::MAX + 2)
    }

    /// 2 to the power of `bits` places.
    fn of_size(bits: u32) -> Self {
        Self { places: vec![Self::EMPTY; 1 << bits], taken: 0, shift: u32::BITS - bits }
    }

    /// Parents are below 2^24.
    #[inline]
    fn key(parent: u32, byte: u8) -> u32 {
        parent << 8 | u32::from(byte)
    }

    /// Where a key is looked for first.
    #[inline]
    fn home(&self, key: u32) -> usize {
        // The upper bits of the product depend on all bits of the key.
        (key.wrapping_mul(0x9e37_79b1) >> self.shift) as usize
    }

    #[inline]
    fn at(&self, place: usize) -> u64 {
        self.places.get(place).copied().unwrap_or(Self::EMPTY)
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    #[inline]
    fn find(&self, parent: u32, byte: u8) -> Option<u32> {
        let key = Self::key(parent, byte);
        let mut place = self.home(key);
        loop {
            let (found, child) = Self::split(self.at(place));
            if child == NOBODY {
                return None;
            }
            if found == key {
                return Some(child);
            }
            place = self.after(place);
        }
    }

    /// Key and child; the child of an empty place is [`NOBODY`].
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn split(entry: u64) -> (u32, u32) {
        ((entry >> 32) as u32, entry as u32)
    }

    fn set(&mut self, place: usize, entry: u64) {
        if let Some(found) = self.places.get_mut(place) {
            *found = entry;
        }
    }

    fn insert(&mut self, parent: u32, byte: u8, child: u32) {
        if 2 * (self.taken + 1) > self.places.len() {
            self.grow();
        }
        self.put(u64::from(Self::key(parent, byte)) << 32 | u64::from(child));
    }

    fn put(&mut self, entry: u64) {
        self.taken += 1;
        let mut place = self.home(Self::split(entry).0);
        while self.at(place) != Self::EMPTY {
            place = self.after(place);
        }
        self.set(place, entry);
    }

    fn grow(&mut self) {
        let larger = Self::of_size(u32::BITS - self.shift + 1);
        for entry in std::mem::replace(self, larger).places {
            if entry != Self::EMPTY {
                self.put(entry);
            }
        }
    }

    /// Removes a key that is there. What follows moves up, so that no search stops too early.
    fn remove(&mut self, parent: u32, byte: u8) {
        let key = Self::key(parent, byte);
        let mut hole = self.home(key);
        while Self::split(self.at(hole)).0 != key {
            hole = self.after(hole);
        }
        self.taken -= 1;
        let mask = self.places.len() - 1;
        let mut place = hole;
        loop {
            place = self.after(place);
            let entry = self.at(place);
            if entry == Self::EMPTY {
                break;
            }
            let wanted = self.home(Self::split(entry).0);
            // It may move if the place it wants is not between the hole and itself.
            if (place.wrapping_sub(wanted) & mask) >= (place.wrapping_sub(hole) & mask) {
                self.set(hole, entry);
                hole = place;
            }
        }
        self.set(hole, Self::EMPTY);
    }
}

/// Codes into bytes: bytes are filled from the top bit down, codes lowest bit first.
struct Codes {
    out: Vec<u8>,
    /// Bits not written yet, the first one lowest; fewer than 32.
    bits: u64,
    count: u32,
}

impl Codes {
    fn push(&mut self, code: u16, width: u32) {
        self.bits |= u64::from(code) << self.count;
        self.count += width;
        if self.count >= 32 {
            let [a, b, c, d, ..] = self.bits.to_le_bytes();
            self.out.extend_from_slice(&[a, b, c, d].map(u8::reverse_bits));
            self.bits >>= 32;
            self.count -= 32;
        }
    }

    /// The bytes; the last one is filled with zeros.
    fn end(mut self) -> Vec<u8> {
        let bytes = self.count.div_ceil(8) as usize;
        self.out.extend(self.bits.to_le_bytes().iter().take(bytes).map(|byte| byte.reverse_bits()));
        self.out
    }
}

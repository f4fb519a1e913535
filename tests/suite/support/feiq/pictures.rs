//! Pictures as FeiQ has them: fragments, acknowledgements, references, and the container
//! (section 7). Packed and unpacked with a table of whole strings, as the rules are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use super::{Feiq, Fields, NUL, Out, Shown, To, text, word};

/// Bytes of a fragment.
const CHUNK: usize = 512;
/// Fragments sent before it waits.
pub(crate) const BURST: usize = 100;

/// Pictures on their way to and from it.
#[derive(Default)]
pub(crate) struct Album {
    /// What was acknowledged to us: by whom, which picture, which fragment.
    pub(crate) acked: BTreeSet<(SocketAddr, String, usize)>,
    /// Acknowledgements heard, repetitions counted.
    pub(crate) acks: usize,
    gathered: BTreeMap<(SocketAddr, String), Gathered>,
    /// Fragments that are lost on their way to it when they come for the first time.
    pub(crate) loses: Option<fn(usize) -> bool>,
    /// Those it has lost.
    pub(crate) lost: BTreeSet<(String, usize)>,
}

struct Gathered {
    total: usize,
    count: usize,
    parts: BTreeMap<usize, Vec<u8>>,
}

/// A bitmap as the reader sees it: rows from the top, red, green, blue.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bitmap {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<[u8; 3]>,
}

impl std::fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {}", self.width, self.height)
    }
}

/// A picture that it sends.
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
    /// The three fields that say what it is: `0|2|0` or `0|1|0`.
    pub(crate) kind: &'static str,
}

impl Sent {
    pub(crate) fn count(&self) -> usize {
        self.bytes.len().div_ceil(CHUNK)
    }
}

impl Feiq {
    /// One fragment, counted from 1.
    pub(crate) fn fragment(&mut self, at: SocketAddr, sent: &Sent, index: usize) -> Out {
        let (total, count, offset) = (sent.bytes.len(), sent.count(), (index - 1) * CHUNK);
        let data = &sent.bytes[offset..total.min(offset + CHUNK)];
        let Sent { id, kind, .. } = sent;
        let length = data.len();
        let header = format!("{id}|{total}|{offset}|{count}|{index}|{length}|{kind}|00000000#");
        let packet = self.packet(word::FRAGMENT, &[header.as_bytes(), NUL, data].concat());
        vec![(To::One(at), packet)]
    }

    /// The message that shows a picture.
    pub(crate) fn refer(&mut self, at: SocketAddr, id: &str) -> Out {
        let body = [&*text::with_font(&format!("/~#>{id}<B~")), NUL].concat();
        self.post(at, word::TEXT, &body).1
    }

    /// Fragments of a burst that were not acknowledged.
    pub(crate) fn missing(
        &self,
        at: SocketAddr,
        sent: &Sent,
        burst: std::ops::Range<usize>,
    ) -> Vec<usize> {
        let acked = |index: &usize| self.album.acked.contains(&(at, sent.id.clone(), *index));
        burst.filter(|index| !acked(index)).collect()
    }

    /// A fragment comes: acknowledged at once, each and each repetition.
    pub(super) fn take_fragment(&mut self, at: SocketAddr, fields: &Fields<'_>) -> Out {
        let header = fields.main_text();
        let parts: Vec<_> = header.trim_end_matches('#').split('|').collect();
        let [id, total, offset, count, index, length, f1, f2, f3, _] = parts[..] else {
            return Vec::new();
        };
        assert_eq!([f1, f2, f3], ["0", "1", "0"], "what FeiQ 2013 takes from others");
        assert_eq!(id.len(), 8, "{header}");
        let number = |digits: &str| digits.parse::<usize>().expect("a decimal number");
        let [total, offset, count, index, length] =
            [total, offset, count, index, length].map(number);
        assert!((1..=count).contains(&index) && offset == (index - 1) * CHUNK, "{header}");
        assert_eq!(count, total.div_ceil(CHUNK), "{header}");
        let data = &fields.rest[fields.main().len() + 1..];
        assert_eq!((data.len(), length), (CHUNK.min(total - offset), data.len()), "{header}");
        let loses = self.album.loses.is_some_and(|loses| loses(index));
        if loses && self.album.lost.insert((id.to_owned(), index)) {
            return Vec::new();
        }
        let new = || Gathered { total, count, parts: BTreeMap::new() };
        let picture = self.album.gathered.entry((at, id.to_owned())).or_insert_with(new);
        assert_eq!((picture.total, picture.count), (total, count), "{header}");
        picture.parts.insert(index, data.to_vec());
        let ack = format!("{id}|{index}#\0");
        vec![(To::One(at), self.packet(word::FRAGMENT_ACK, ack.as_bytes()))]
    }

    /// A fragment of ours has arrived.
    pub(super) fn take_fragment_ack(&mut self, at: SocketAddr, fields: &Fields<'_>) {
        assert_eq!(fields.rest.last(), Some(&0), "{:?}", fields.main_text());
        let body = fields.main_text();
        let (id, index) = body.trim_end_matches('#').split_once('|').expect("id and index");
        self.album.acks += 1;
        self.album.acked.insert((at, id.to_owned(), index.parse().expect("decimal")));
    }

    /// A text comes: a picture it refers to is shown in its place, or an icon where it is not whole.
    pub(super) fn show_pictures(&mut self, at: SocketAddr, text: &str) {
        let Some((_, rest)) = text.split_once("/~#>") else { return };
        let id = rest.get(..8).expect("8 digits").to_owned();
        assert!(rest[8..].starts_with("<B~") || rest[8..].starts_with("<G~"), "{text}");
        let whole = self.album.gathered.get(&(at, id.clone()));
        let whole = whole.filter(|picture| picture.parts.len() == picture.count);
        let Some(picture) = whole else {
            return self.shown.push(Shown::Icon { at, id });
        };
        let bytes: Vec<u8> = picture.parts.values().flatten().copied().collect();
        assert_eq!(bytes.len(), picture.total);
        let bitmap = Bitmap::read(&unpack(&bytes).expect("a container"));
        self.shown.push(Shown::Picture { at, id, bitmap });
    }
}

impl Bitmap {
    /// A picture with edges, runs and noise.
    pub(crate) fn sample(width: usize, height: usize) -> Self {
        let mut noise = 1_u32;
        let mut pixel = |at: usize| {
            let (x, y) = (at % width, at / width);
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let rough = if x / 40 % 3 == 0 { (noise >> 27) as u8 } else { 0 };
            let low = |value: usize| value.to_le_bytes()[0];
            [low(x / 8 * 8), low(y / 4 * 4), 40 + rough]
        };
        let pixels = (0..width * height).map(&mut pixel).collect();
        Self { width, height, pixels }
    }

    /// 40 bytes of header, 24 bits, bottom row first, rows padded to 4 bytes.
    pub(crate) fn dib(&self) -> Vec<u8> {
        let number = |value: usize| u32::try_from(value).expect("small").to_le_bytes();
        let row = (self.width * 3).div_ceil(4) * 4;
        let mut out = [number(40), number(self.width), number(self.height)].concat();
        out.extend([1, 0, 24, 0]);
        out.extend([number(0), number(row * self.height), number(0), number(0)].concat());
        out.extend([number(0), number(0)].concat());
        for line in self.pixels.chunks(self.width).rev() {
            let start = out.len();
            out.extend(line.iter().flat_map(|[r, g, b]| [*b, *g, *r]));
            out.resize(start + row, 0);
        }
        out
    }

    /// Reads what [`Bitmap::dib`] writes.
    pub(crate) fn read(dib: &[u8]) -> Self {
        let number =
            |at: usize| u32::from_le_bytes(dib[at..at + 4].try_into().expect("4 bytes")) as usize;
        assert_eq!((number(0), number(12), number(16)), (40, 24 << 16 | 1, 0), "24 bits, plain");
        let (width, height) = (number(4), number(8));
        let row = (width * 3).div_ceil(4) * 4;
        assert_eq!(dib.len(), 40 + row * height);
        let lines = dib[40..].chunks(row).rev();
        let pixels = lines.flat_map(|line| line[..width * 3].chunks(3));
        let pixels = pixels.map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        Self { width, height, pixels }
    }
}

/// A container around a bitmap.
pub(crate) fn pack(dib: &[u8]) -> Vec<u8> {
    let mut codes: HashMap<Vec<u8>, usize> = (0..=255).map(|b| (vec![b], b.into())).collect();
    let mut strings = vec![Vec::new(); 4_096];
    let (mut slot, mut width, mut counter, mut bits) = (256, 9, 256, Vec::new());
    let mut write = |code: usize| {
        bits.extend((0..width).map(|bit| u8::from(code >> bit & 1 == 1)));
        counter += 1;
        width += usize::from(counter == 1 << width && width < 12);
    };
    let mut string: Vec<u8> = Vec::new();
    for &byte in dib {
        let shorter = codes.get(&string).copied();
        string.push(byte);
        if codes.contains_key(&string) {
            continue;
        }
        write(shorter.expect("a known string"));
        codes.remove(&std::mem::replace(&mut strings[slot], string.clone()));
        codes.insert(string, slot);
        slot = if slot == 4_095 { 256 } else { slot + 1 };
        string = vec![byte];
    }
    codes.get(&string).copied().map(&mut write);
    let length = u32::try_from(dib.len()).expect("small");
    let mut out =
        [b"LZW!", &length.to_le_bytes()[..], &crc32fast::hash(dib).to_le_bytes()].concat();
    out.extend(
        bits.chunks(8).map(|eight| eight.iter().zip((0..8).rev()).map(|(b, n)| b << n).sum::<u8>()),
    );
    out
}

/// What is in a container.
pub(crate) fn unpack(container: &[u8]) -> Option<Vec<u8>> {
    let rest = container.strip_prefix(b"LZW!")?;
    let number = |at: usize| Some(u32::from_le_bytes(rest.get(at..at + 4)?.try_into().ok()?));
    let (length, crc) = (usize::try_from(number(0)?).ok()?, number(4)?);
    let mut bits = rest[8..].iter().flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1));
    let mut table: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    table.resize(4_096, Vec::new());
    let (mut slot, mut width, mut counter) = (256, 9, 256);
    let (mut out, mut last) = (Vec::new(), Vec::new());
    while out.len() < length {
        let mut code = 0;
        for place in 0..width {
            code |= usize::from(bits.next()?) << place;
        }
        counter += 1;
        width += usize::from(counter == 1 << width && width < 12);
        let next = [&last[..], last.get(..1).unwrap_or_default()].concat();
        let string = if !last.is_empty() && code == slot { next } else { table[code].clone() };
        if !last.is_empty() {
            table[slot] = [&last[..], string.get(..1)?].concat();
            slot = if slot == 4_095 { 256 } else { slot + 1 };
        }
        out.extend_from_slice(&string);
        last = string;
    }
    (out.len() == length && crc32fast::hash(&out) == crc).then_some(out)
}

//! An endless crowd of hostile datagrams: every command there is, invented senders, endless new
//! names, repeats, cut packets, noise. The same seed gives the same bytes.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use feige::crypto::group::{GroupText, scramble};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// The port of everything.
const PORT: u16 = 2425;
/// The largest datagram there is, bytes.
pub(crate) const LARGEST: usize = 65_507;
/// Datagrams that may come again.
const LATELY: usize = 64;

/// Makes one after the other.
pub(crate) struct Crowd {
    random: StdRng,
    lately: Vec<(SocketAddr, Vec<u8>)>,
}

impl Crowd {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), lately: Vec::new() }
    }

    /// The next datagram, and the address it is said to come from: anywhere in 10.0.0.0/8.
    pub(crate) fn next(&mut self) -> (SocketAddr, Vec<u8>) {
        let bytes = match self.random.gen_range(0..100) {
            0..16 => self.entry(),
            16..19 => self.with_head(2, ""),
            19..40 => self.message(),
            40..47 => self.offer(),
            47..54 => self.fragment(),
            54..59 => self.group(),
            59..63 => self.private(),
            63..67 => self.key_question(),
            67..71 => self.list(),
            71..78 => self.reference(),
            78..84 => self.sign(),
            84..90 => self.any_command(),
            90..93 => self.noise(),
            93..96 => self.cut(),
            _ => return self.repeat(),
        };
        let datagram = (self.sender(), bytes);
        if self.lately.len() < LATELY {
            self.lately.push(datagram.clone());
        } else {
            let at = self.random.gen_range(0..LATELY);
            self.lately[at] = datagram.clone();
        }
        datagram
    }

    fn sender(&mut self) -> SocketAddr {
        let host = if self.random.gen_bool(0.2) {
            self.random.gen_range(2..40)
        } else {
            self.random.gen_range(2..0xff_ffff)
        };
        let [_, b, c, d] = u32::to_be_bytes(host);
        let port =
            if self.random.gen_bool(0.05) { self.random.gen_range(1..=u16::MAX) } else { PORT };
        SocketAddr::from((Ipv4Addr::new(10, b, c, d), port))
    }

    /// A name: often as long as is kept, sometimes far longer.
    fn name(&mut self) -> Vec<u8> {
        let new: u32 = self.random.r#gen();
        let length = match self.random.gen_range(0..8) {
            0..3 => 0,
            3..7 => 250,
            _ => self.random.gen_range(0..2_000),
        };
        let mut name = format!("{new:x}").into_bytes();
        let filler: &[u8] = [&b"x"[..], b"@", b"\xb7\xc9", b"\xff", "飞".as_bytes()]
            .choose(&mut self.random)
            .unwrap();
        while name.len() < length {
            name.extend_from_slice(filler);
        }
        name
    }

    fn version(&mut self) -> Vec<u8> {
        match self.random.gen_range(0..6) {
            0 => {
                let mac = self.random.gen_range(0..1_u64 << 48);
                format!("1_lbt6_0#128#{mac:012X}#0#0#0#4001#9").into_bytes()
            }
            1 => b"1_iptux 0.8.3".to_vec(),
            2 => [b"1_", &self.name()[..]].concat(),
            _ => b"1".to_vec(),
        }
    }

    fn head(&mut self, word: u32) -> Vec<u8> {
        let version = self.version();
        self.head_of(&version, word)
    }

    fn head_of(&mut self, version: &[u8], word: u32) -> Vec<u8> {
        let (user, host) = (self.name(), self.name());
        let number: u64 = if self.random.gen_bool(0.5) {
            self.random.gen_range(1..1_000)
        } else {
            self.random.r#gen()
        };
        let mut head = version.to_vec();
        for field in [number.to_string().as_bytes(), &user, &host, word.to_string().as_bytes()] {
            head.push(b':');
            head.extend_from_slice(field);
        }
        head.push(b':');
        head
    }

    fn with_head(&mut self, word: u32, body: impl AsRef<[u8]>) -> Vec<u8> {
        let mut bytes = self.head(word);
        bytes.extend_from_slice(body.as_ref());
        bytes.truncate(LARGEST);
        bytes
    }

    fn options(&mut self, some: &[u32]) -> u32 {
        some.iter().filter(|_| self.random.gen_bool(0.4)).fold(0, |all, bit| all | bit)
    }

    fn entry(&mut self) -> Vec<u8> {
        let command = *[1, 1, 3, 4].choose(&mut self.random).unwrap();
        let word = command | self.options(&[0x100, 0x1_0000, 0x20_0000, 0x40_0000, 0x100_0000]);
        let mut body = [&self.name()[..], b"\0", &self.name(), b"\0\nNN:"].concat();
        body.extend(self.name());
        body.extend(b"\nVS:");
        body.extend(self.name());
        self.with_head(word, body)
    }

    fn text(&mut self) -> Vec<u8> {
        let long = self.random.gen_bool(0.004);
        let length = if long { LARGEST } else { self.random.gen_range(0..120) };
        let pieces: [&[u8]; 6] = [
            b"/:)",
            b"\xc4\xe3\xba\xc3",
            "飞鸽 🙂 ".as_bytes(),
            b"{/font;",
            b"/~#>ca37a4e0<B~",
            b"http://10.0.0.7/x ",
        ];
        let mut text = Vec::new();
        while text.len() < length {
            text.extend_from_slice(pieces.choose(&mut self.random).unwrap());
        }
        text
    }

    fn message(&mut self) -> Vec<u8> {
        let word = 0x20
            | self.options(&[0x100, 0x100, 0x200, 0x400, 0x800, 0x2000, 0x8000, 0x80_0000])
            | self.options(&[0x400_0000, 0x100_0000]);
        let mut body = self.text();
        if word & 0x400_0000 != 0 {
            body.extend(b"\0TO:");
            for _ in 0..self.random.gen_range(0..40) {
                body.extend([&self.name()[..], b":", &self.name(), b"\x07"].concat());
            }
        }
        self.with_head(word, body)
    }

    fn offer(&mut self) -> Vec<u8> {
        let word = 0x20_0120 | self.options(&[0x80_0000, 0x8000_0000]);
        let mut body = [&self.text()[..], b"\0"].concat();
        let files = if self.random.gen_bool(0.02) { 256 } else { self.random.gen_range(1..6) };
        for id in 0..files {
            body.extend(format!("{id}:").into_bytes());
            body.extend(self.name());
            body.extend(b":7fffffff:6553f100:1:10=1,2,3:\x07");
        }
        self.with_head(word, body)
    }

    /// A piece of a picture nobody else has a piece of.
    fn fragment(&mut self) -> Vec<u8> {
        let id: u32 = self.random.r#gen();
        let count = *[2_u32, 3, 4_000, 32_768].choose(&mut self.random).unwrap();
        let body = format!("{id:08x}|{}|0|{count}|1|512|0|2|0|0#\0", count * 512);
        let data = [self.random.r#gen(); 512];
        self.with_head(0x20_00c0, [body.as_bytes(), &data].concat())
    }

    fn group(&mut self) -> Vec<u8> {
        let mac = format!("{:012X}", self.random.gen_range(0..1_u64 << 48));
        let group = format!("{:x}", self.random.r#gen::<u64>());
        let text = self.text();
        let plain = GroupText { group: &group, number: Some(1), text: &text }.emit();
        let body = match self.random.gen_range(0..3) {
            0 => plain,
            _ => scramble(mac.as_bytes(), &plain).unwrap_or(plain),
        };
        let command = *[0x23, 0xc9].choose(&mut self.random).unwrap();
        let version = format!("1_lbt6_0#128#{mac}#0#0#{}#4001#9", body.len());
        let mut bytes = self.head_of(version.as_bytes(), command);
        bytes.extend(body);
        bytes.truncate(LARGEST);
        bytes
    }

    fn private(&mut self) -> Vec<u8> {
        let word = 0x40_0120 | self.options(&[0x200, 0x20_0000, 0x80_0000, 0x400_0000]);
        let methods: u32 =
            *[0x2_0002, 0x2_1001, 0x4190_0004, 0x10_0004].choose(&mut self.random).unwrap();
        let mut body = format!("{methods:x}:");
        for field in [256, self.random.gen_range(0..3_000), 128] {
            for _ in 0..field {
                body.push(char::from(*b"0123456789abcdef".choose(&mut self.random).unwrap()));
            }
            body.push(':');
        }
        body.pop();
        self.with_head(word, body)
    }

    fn key_question(&mut self) -> Vec<u8> {
        let (command, able): (u32, u32) =
            (*[0x72, 0x73].choose(&mut self.random).unwrap(), self.random.r#gen());
        self.with_head(command, format!("{able:x}:10001-{able:x}"))
    }

    fn list(&mut self) -> Vec<u8> {
        let command = *[0x10, 0x11, 0x12, 0x13, 0x18].choose(&mut self.random).unwrap();
        let mut body = format!("{:5}\x07{:5}\x07", self.random.gen_range(0..99), 40);
        for host in 0..self.random.gen_range(0..40) {
            let _ = write!(body, "u{host}\x07h\x071\x0710.1.2.{host}\x0731010\x07n\x07g\x07");
        }
        self.with_head(command, body)
    }

    fn reference(&mut self) -> Vec<u8> {
        let command = *[0x21, 0x30, 0x31, 0x32, 0x61, 0xc1].choose(&mut self.random).unwrap();
        let word = command | self.options(&[0x10_0000]);
        let number: i64 = self.random.r#gen();
        self.with_head(word, number.to_string())
    }

    fn sign(&mut self) -> Vec<u8> {
        let commands = [0xd1, 0xd2, 0x77, 0x78, 0x79, 0x7a, 0x40, 0x41, 0x50, 0x51];
        let command = *commands.choose(&mut self.random).unwrap();
        let text = self.text();
        self.with_head(command, text)
    }

    fn any_command(&mut self) -> Vec<u8> {
        let (word, text) = (self.random.r#gen(), self.text());
        self.with_head(word, text)
    }

    fn noise(&mut self) -> Vec<u8> {
        let length = self.random.gen_range(0..400);
        (0..length).map(|_| self.random.r#gen()).collect()
    }

    fn cut(&mut self) -> Vec<u8> {
        let (_, mut bytes) = self.repeat();
        bytes.truncate(self.random.gen_range(0..=bytes.len()));
        bytes
    }

    fn repeat(&mut self) -> (SocketAddr, Vec<u8>) {
        match self.lately.choose(&mut self.random) {
            Some(datagram) => datagram.clone(),
            None => (self.sender(), self.noise()),
        }
    }
}

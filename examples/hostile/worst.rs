//! The costliest datagrams there are: each case says what it makes the node look at.

#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use feige::crypto::group::{GroupText, SCRAMBLED_MAX, scramble};
use feige::node::{Config, Input, Request, RequestId};
use feige::wire::Charset;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::crowd::LARGEST;
use super::node::{LINK, Target};

type Datagram = (SocketAddr, Vec<u8>);

/// What makes a node look long.
struct Case {
    what: &'static str,
    adjust: fn(&mut Config),
    /// What comes before.
    prepare: fn(&mut Target),
    /// The nth costly datagram, from 0.
    costly: fn(u32) -> Datagram,
}

/// Times each case is tried from the start, and datagrams timed in each.
const TRIES: usize = 9;
const DATAGRAMS: u32 = 12;

const fn of_text(what: &'static str, costly: fn(u32) -> Datagram) -> Case {
    after(what, |_| {}, costly)
}

const fn after(what: &'static str, prepare: fn(&mut Target), costly: fn(u32) -> Datagram) -> Case {
    Case { what, adjust: |_| {}, prepare, costly }
}

/// So many datagrams come, one after the other.
fn crowd(target: &mut Target, count: u32, nth: fn(u32) -> Datagram) {
    for n in 0..count {
        target.hear(&nth(n));
    }
}

const CASES: &[Case] = &[
    of_text("text: random bytes", |n| message(n, "1", 0x120, &noise())),
    of_text("text: nearly UTF-8", |n| message(n, "1", 0x120, &endless("好".as_bytes(), b"\xff"))),
    of_text("text: nearly UTF-8 of two bytes", |n| {
        message(n, "1", 0x120, &endless(&"бэ".repeat(4_000).into_bytes(), b"\xff"))
    }),
    of_text("text: common hanzi that are UTF-8", |n| {
        message(n, "1", 0x120, &endless(b"\xd0\xbb\xd0\xbb!", b""))
    }),
    of_text("text: GB2312 to its end", |n| {
        message(n, "1", 0x120, &endless(b"\xb0\xa1", b"\x81\x40\xff"))
    }),
    of_text("text: Japanese to its end", |n| {
        message(n, "1", 0x120, &endless(b"\x82\xa0", b"\xa0\xa0\xff"))
    }),
    of_text("text: Big5 to its end", |n| {
        message(n, "1", 0x120, &endless(b"\xa4\xa4", b"\xc9\xff"))
    }),
    of_text("text: four bytes of GB18030", |n| {
        message(n, FEIQ, 0x120, &endless(b"\x81\x30\x81\x30", b""))
    }),
    of_text("text: declared as UTF-8, all of it bad", |n| {
        message(n, "1", 0x80_0120, &endless(b"\xff", b""))
    }),
    of_text("text: FeiQ's emoticons", |n| message(n, FEIQ, 0x120, &endless(b"/:)", b""))),
    of_text("text: nearly FeiQ's emoticons", |n| message(n, FEIQ, 0x120, &endless(b"/:", b""))),
    of_text("text: FeiQ's longest emoticons", |n| {
        message(n, FEIQ, 0x120, &endless(b"/:basketbal/:applaus", b""))
    }),
    of_text("text: web addresses", |n| message(n, FEIQ, 0x120, &endless(b"a://", b""))),
    of_text("text: font blocks", |n| message(n, FEIQ, 0x120, &endless(b"{/font;", b";}"))),
    of_text("text: a font block of words", |n| {
        message(n, FEIQ, 0x120, &endless(b"{/font;1 1 1 1 1 1 1 1 1 1 1 1 1 a", b" 1;}"))
    }),
    of_text("text: pictures referred to", |n| {
        message(n, FEIQ, 0x120, &endless(b"/~#>ca37a4e0<B~", b""))
    }),
    of_text("text: nearly pictures", |n| message(n, FEIQ, 0x120, &endless(b"/~#>", b""))),
    of_text("recipients: nearly fingerprints", |n| {
        message(n, "1", 0x400_0120, &endless_after(b"\0TO:", b"-<", b":h\x07"))
    }),
    of_text("recipients: endless", |n| {
        message(n, "1", 0x400_0120, &endless_after(b"\0TO:", b"u:h\x07", b""))
    }),
    of_text("files: as many as fit", |n| {
        message(n, "1", 0x20_0120, &files(|id| format!("{id}:a:1:1:1\x07")))
    }),
    of_text("files: all of them the same", |n| {
        message(n, "1", 0x20_0120, &files(|_| "0:a:1:1:1\x07".into()))
    }),
    of_text("files: none can be read", |n| message(n, "1", 0x20_0120, &files(|_| "0\x07".into()))),
    of_text("files: longest names", |n| {
        message(n, "1", 0x20_0120, &files(|id| format!("{id}:{}:1:1:1\x07", "::".repeat(120))))
    }),
    of_text("files: attributes", |n| {
        message(
            n,
            "1",
            0x20_0120,
            &files(|id| format!("{id}:a:1:1:1{}:\x07", ":1=1,1,1,1".repeat(24))),
        )
    }),
    of_text("entry: lines", |n| {
        entry(n, 0x120_0001, &endless_after("é\0\0\n".as_bytes(), b"NN:a\n", b""))
    }),
    of_text("entry: nickname of random bytes", |n| entry(n, 1, &noise())),
    of_text("entry: sections", |n| entry(n, 0x100_0001, &endless(b"\0\n", b""))),
    of_text("entry: a version without an end", |n| {
        let head = [b"1_lbt6_0".to_vec(), endless(b"#", b"")].concat();
        let tail = format!(":{n}:u:h:1:n\0g");
        datagram(n, [&head[..LARGEST - 100], tail.as_bytes()].concat())
    }),
    of_text("hosts: as many as fit", |n| hosts(n, b"\x07\x071\x071::\x071\x07\x07\x07")),
    of_text("hosts: none of them can be read", |n| hosts(n, b"\x07")),
    Case {
        what: "hosts: a list that was asked for",
        adjust: |config| config.seeds = vec![addr(9, 9)],
        prepare: |target| {
            target.input(Input::Request(RequestId(1), Request::RollCall));
        },
        costly: |_| {
            let list = hosts(9, b"\x07\x071\x071::1:1\x071\x07\x07\x07").1;
            (addr(9, 9), list)
        },
    },
    of_text("group: scrambled", |n| {
        let text = noise();
        let plain =
            GroupText { group: "b4cc80e4", number: Some(1), text: &text[..SCRAMBLED_MAX - 64] };
        let body = scramble(b"02AABBCCDDEF", &plain.emit()).expect("a good mac");
        let version = format!("1_lbt6_0#128#02AABBCCDDEF#0#0#{}#4001#9", body.len());
        datagram(n, with_head(&version, n, 0x23, &body))
    }),
    of_text("group: scrambled emoticons", |n| {
        let text = endless(b"/:", b"");
        let plain =
            GroupText { group: "b4cc80e4", number: Some(1), text: &text[..SCRAMBLED_MAX - 64] };
        let body = scramble(b"02AABBCCDDEF", &plain.emit()).expect("a good mac");
        let version = format!("1_lbt6_0#128#02AABBCCDDEF#0#0#{}#4001#9", body.len());
        datagram(n, with_head(&version, n, 0x23, &body))
    }),
    of_text("private text: hexadecimal", |n| {
        message(n, "1", 0x40_0120, &endless_after(b"20002:abcd:", b"ab", b""))
    }),
    of_text("private text: Base64", |n| {
        message(n, "1", 0x40_0120, &endless_after(b"41900004:YWJj:", b"YWJj", b""))
    }),
    of_text("picture: a fragment as large as can be", |n| {
        let data = vec![7_u8; 65_000];
        let body = format!("{n:08x}|16000000|0|247|1|65000|0|2|0|0#\0");
        datagram(n, with_head(FEIQ, n, 0x20_00c0, &[body.as_bytes(), &data].concat()))
    }),
    of_text("absence text: random bytes", |n| datagram(n, with_head("1", n, 0x51, &noise()))),
    Case {
        what: "names: long ones where charsets are known",
        adjust: |_| {},
        prepare: |target| {
            for (at, charset) in [Charset::GBK, Charset::SHIFT_JIS, Charset::BIG5, Charset::EUC_KR]
                .iter()
                .enumerate()
            {
                let at = u32::try_from(at).unwrap_or(0);
                let nick = charset.encode("国", |_| "?".into());
                let mut body = [&nick[..], b"\0\0\nNN:"].concat();
                body.extend("国".bytes());
                target.hear(&(addr(7, at), with_head("1", at, 0x100_0001, &body)));
            }
        },
        costly: |n| {
            let mut bytes = b"1:1:".to_vec();
            bytes.extend(endless(b"\xb0\xa1", b""));
            bytes.extend(format!(":host{n}:288:x").bytes());
            datagram(n, bytes)
        },
    },
    Case {
        what: "goodbyes: an answer after a thousand",
        adjust: |_| {},
        prepare: |target| {
            for n in 0..1_024 {
                let name = format!("{n}{}", "@".repeat(252));
                let bytes = format!("1:999999:{name}:{name}:2:\0").into_bytes();
                target.hear(&(addr(5, 5), bytes));
            }
        },
        costly: |n| {
            let name = format!("x{n}{}", "@".repeat(252));
            (addr(5, 5), format!("1:{n}:{name}:{name}:3:n\0").into_bytes())
        },
    },
    after(
        "names: thousands of namesakes",
        |target| crowd(target, 4_096, namesake),
        |n| namesake(5_000 + n),
    ),
    after(
        "names: thousands of damaged namesakes",
        |target| crowd(target, 4_096, damaged),
        |n| damaged(5_000 + n),
    ),
    after(
        "names: a full list of peers",
        |target| crowd(target, 4_200, |n| long_entry(n, "1")),
        |n| long_entry(10_000 + n, "1"),
    ),
    after(
        "names: endless ones that are written down",
        |target| crowd(target, 100_000, |n| long_entry(n, "1")),
        |n| long_entry(1_000_000 + n, "1"),
    ),
    after(
        "names: one address under endless names",
        |target| crowd(target, 50_000, ghost),
        |n| ghost(1_000_000 + n),
    ),
    after(
        "names: endless ones that number from 1",
        |target| crowd(target, 8_190, |n| long_entry(n, "1_iptux 0.8.3")),
        |n| long_entry(10_000 + n, "1_iptux 0.8.3"),
    ),
    Case {
        what: "repeats: the first message after a busy hour",
        adjust: |_| {},
        prepare: |target| {
            for n in 0..65_536 {
                target.hear(&(addr(0, n % 50), with_head("1", n, 0x120, b"x")));
            }
            target.pass(Duration::from_secs(3_600));
        },
        costly: |n| (addr(0, 3), with_head("1", 70_000 + n, 0x120, b"x")),
    },
    after("knocks: endless names", |target| crowd(target, 4_200, knock), |n| knock(10_000 + n)),
    Case {
        what: "offers: a table that is full",
        adjust: |_| {},
        prepare: |target| {
            for n in 0..600 {
                let body = files(|id| format!("{id}:{}:1:1:1\x07", "n".repeat(230)));
                let (_, bytes) = message(n, "1", 0x20_0120, &body);
                target.hear(&(addr(1, n), bytes));
            }
        },
        costly: |n| {
            let body = files(|id| format!("{id}:{}:1:1:1\x07", "n".repeat(230)));
            message(10_000 + n, "1", 0x20_0120, &body)
        },
    },
    Case {
        what: "pressure: thousands of senders, a new second",
        adjust: |_| {},
        prepare: |target| {
            target.input(Input::Pressure(true));
            for n in 0..65_536 {
                target.hear(&(addr(n >> 16, n), b"1:1:u:h:32:x".to_vec()));
            }
            target.pass(Duration::from_secs(2));
        },
        costly: |n| (addr(200, n), b"1:1:u:h:32:x".to_vec()),
    },
    Case {
        what: "away: endless names",
        adjust: |_| {},
        prepare: |target| {
            let text = "back at three".into();
            target.input(Input::Request(RequestId(1), Request::Away { text }));
            for n in 0..4_200 {
                target.hear(&message(n, "1", 0x120, b"x"));
            }
        },
        costly: |n| message(10_000 + n, "1", 0x120, b"x"),
    },
];

const FEIQ: &str = "1_lbt6_0#128#00AABBCCDDEE#0#0#0#4001#9";

fn addr(net: u32, host: u32) -> SocketAddr {
    let [_, _, c, d] = (host + 2).to_be_bytes();
    let [.., b] = (net + 1).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, b, c, d), 2425))
}

fn datagram(n: u32, mut bytes: Vec<u8>) -> Datagram {
    bytes.truncate(LARGEST);
    (addr(3, n), bytes)
}

fn with_head(version: &str, n: u32, word: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{version}:{}:user{n}:host:{word}:", n + 1).into_bytes();
    bytes.extend_from_slice(body);
    bytes.truncate(LARGEST);
    bytes
}

fn message(n: u32, version: &str, options: u32, body: &[u8]) -> Datagram {
    datagram(n, with_head(version, n, options | 0x20, body))
}

fn entry(n: u32, word: u32, body: &[u8]) -> Datagram {
    datagram(n, with_head("1", n, word, body))
}

fn hosts(n: u32, unit: &[u8]) -> Datagram {
    datagram(n, with_head("1", n, 0x13, &endless_after(b"0\x070\x07", unit, b"")))
}

/// Names that share a long beginning, and take three times their length in an identity.
fn long_entry(n: u32, version: &str) -> Datagram {
    let name = format!("{}{n}", "@".repeat(240));
    (
        addr(n >> 16, n),
        format!("{version}:{}:{name}:{name}:1:{name}\0{name}\0", n % 900).into_bytes(),
    )
}

fn ghost(n: u32) -> Datagram {
    (addr(4, 4), format!("1:{n}:{}:h:1:n{n}\0g\0", "?".repeat(n as usize % 250 + 1)).into_bytes())
}

fn namesake(n: u32) -> Datagram {
    (addr(2, n), format!("1:{n}:u:h:1:{}{n}\0g\0", "n".repeat(250)).into_bytes())
}

fn damaged(n: u32) -> Datagram {
    let nick = format!("{n:06}{}", "?n".repeat(120));
    (addr(2, n), format!("1:{n}:u:h:1:{nick}\0g\0").into_bytes())
}

fn knock(n: u32) -> Datagram {
    (addr(6, n), format!("{FEIQ}:{n}:u{n}:h:209:").into_bytes())
}

fn noise() -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(1);
    (0..LARGEST).map(|_| random.gen_range(0x80..=0xff)).collect()
}

/// `unit` again and again, and `end`, as long as a text can be.
fn endless(unit: &[u8], end: &[u8]) -> Vec<u8> {
    endless_after(b"", unit, end)
}

fn endless_after(start: &[u8], unit: &[u8], end: &[u8]) -> Vec<u8> {
    // Room for the longest header of these cases.
    let room = LARGEST - 100 - start.len() - end.len();
    let units = unit.iter().copied().cycle().take(room / unit.len() * unit.len());
    start.iter().copied().chain(units).chain(end.iter().copied()).collect()
}

fn files(file: impl Fn(usize) -> String) -> Vec<u8> {
    let mut list = vec![0];
    list.extend((0..).flat_map(|id| file(id).into_bytes()).take(LARGEST - 100));
    list
}

/// What a datagram took, microseconds: the median of all tries, of the one that took longest.
fn measure(case: &Case) -> u128 {
    let tries: Vec<Vec<u128>> = (0..TRIES).map(|_| tried(case)).collect();
    let median = |n: usize| {
        let mut took: Vec<u128> = tries.iter().map(|tried| tried[n]).collect();
        took.sort_unstable();
        took[TRIES / 2]
    };
    (0..DATAGRAMS as usize).map(median).max().unwrap_or(0)
}

/// What each datagram took once, microseconds.
fn tried(case: &Case) -> Vec<u128> {
    let mut target = Target::new(case.adjust);
    (case.prepare)(&mut target);
    let once = |n| {
        let (from, bytes) = (case.costly)(n);
        let before = Instant::now();
        let input = Input::Datagram { link: LINK, from, bytes: &bytes };
        let effects = target.node.handle(target.now, input);
        let took = before.elapsed();
        target.perform(effects);
        took.as_micros()
    };
    (0..DATAGRAMS).map(once).collect()
}

pub(crate) fn main(part: &str) {
    for case in CASES.iter().filter(|case| case.what.contains(part)) {
        println!(r#"{{"us":{},"what":"{}"}}"#, measure(case), case.what);
    }
}

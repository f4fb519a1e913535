//! A client that numbers from 1, on a bad wire: whatever it was told arrived is shown, and once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use feige::node::{Direction, Event, Request};
use feige::sim::{Heard, HostId, Lan, Weather};
use feige::wire::{Body, Command, Hint, Packet, RawPacket};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// It writes something new.
    Write,
    /// It repeats what was not confirmed, the oldest or all.
    Repeat {
        all: bool,
    },
    /// A copy of something of this run comes by another way, however old.
    Echo {
        back: u64,
    },
    /// It ends, with a goodbye or without, and starts anew.
    Anew {
        goodbye: bool,
        twice: bool,
    },
    /// It says again who it is.
    Again,
    /// It hears no receipt for a while.
    Deaf {
        deaf: bool,
    },
    HandOver,
    Restart,
    RollCall,
    Full {
        full: bool,
    },
    SetClock {
        by_ms: i64,
    },
    Wait {
        ms: u64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => Just(Act::Write),
        4 => any::<bool>().prop_map(|all| Act::Repeat { all }),
        2 => (0..4_u64).prop_map(|back| Act::Echo { back }),
        3 => (any::<bool>(), any::<bool>()).prop_map(|(goodbye, twice)| Act::Anew { goodbye, twice }),
        1 => Just(Act::Again),
        3 => any::<bool>().prop_map(|deaf| Act::Deaf { deaf }),
        2 => Just(Act::HandOver),
        2 => Just(Act::Restart),
        1 => Just(Act::RollCall),
        2 => any::<bool>().prop_map(|full| Act::Full { full }),
        1 => (-1_600_000_000_000_i64..1_600_000_000_000).prop_map(|by_ms| Act::SetClock { by_ms }),
        6 => (0..20_000_u64).prop_map(|ms| Act::Wait { ms }),
    ]
}

#[derive(Debug, Default)]
struct Cat {
    run: u32,
    /// The last number it used.
    last: u64,
    /// It hears no receipts.
    deaf: bool,
    /// It has said goodbye.
    gone: bool,
    /// Texts of this run by number.
    written: Vec<(u64, String)>,
    confirmed: BTreeSet<u64>,
    /// Texts that were confirmed, of all runs.
    arrived: BTreeSet<String>,
}

impl Cat {
    fn packet(&mut self, word: u32, main: &str) -> Vec<u8> {
        self.last += 1;
        Self::at(self.last, word, main)
    }

    fn at(number: u64, word: u32, main: &str) -> Vec<u8> {
        let tail = if matches!(word & 0xff, 1 | 3 | 4) { "\0\0icon.png\0utf-8\0" } else { "\0" };
        format!("1_iptux 0.8.3:{number}:cat:pc:{word}:{main}{tail}").into_bytes()
    }

    fn hear(&mut self, heard: Heard<'_>) -> Vec<(SocketAddr, Vec<u8>)> {
        let Ok(raw) = RawPacket::parse(heard.bytes) else { return Vec::new() };
        let packet = Packet::read(&raw, &Hint::default());
        match (packet.command, packet.body) {
            (Command::BR_ENTRY, _) if !self.gone => vec![(heard.from, self.packet(0x103, "Cat"))],
            (Command::RECVMSG, Body::Reference(number)) if !self.deaf => {
                let of = self.written.iter().find(|(of, _)| *of == number.0);
                if let Some((number, text)) = of {
                    self.confirmed.insert(*number);
                    self.arrived.insert(text.clone());
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}

struct Pair {
    lan: Lan,
    us: HostId,
    it: HostId,
    cat: Rc<RefCell<Cat>>,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut lan = Lan::new(seed);
        let ms = Duration::from_millis;
        lan.weather = Weather { repeats: 20, delay_max: ms(5), ..Weather::default() };
        let us = lan.host("us");
        let cat = Rc::new(RefCell::new(Cat::default()));
        let script = Rc::clone(&cat);
        let it = lan.script(0, Box::new(move |heard| script.borrow_mut().hear(heard)));
        lan.run_for(Duration::from_secs(20));
        let mut pair = Self { lan, us, it, cat };
        pair.enter(false);
        pair.lan.run_for(ms(1_100));
        pair
    }

    fn say(&mut self, bytes: &[u8]) {
        let to = self.lan.addr(self.us);
        self.lan.say(self.it, to, bytes);
    }

    fn enter(&mut self, twice: bool) {
        let bytes = self.cat.borrow_mut().packet(0x101, "Cat");
        for to in ["10.0.255.255:2425", "255.255.255.255:2425"].iter().take(1 + usize::from(twice))
        {
            self.lan.say(self.it, to.parse().unwrap(), &bytes);
        }
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Write => {
                let mut cat = self.cat.borrow_mut();
                let text = format!("{}-{}", cat.run, cat.last + 1);
                let bytes = cat.packet(0x120, &text);
                let number = cat.last;
                cat.written.push((number, text));
                drop(cat);
                self.say(&bytes);
            }
            Act::Repeat { all } => {
                let cat = self.cat.borrow();
                let open = cat.written.iter().filter(|(number, _)| !cat.confirmed.contains(number));
                let open = open.take(if all { 99 } else { 1 });
                let again: Vec<_> =
                    open.map(|(number, text)| Cat::at(*number, 0x120, text)).collect();
                drop(cat);
                for bytes in again {
                    self.say(&bytes);
                }
            }
            Act::Echo { back } => {
                let cat = self.cat.borrow();
                let one = cat.written.iter().rev().nth(usize::try_from(back).unwrap());
                let bytes = one.map(|(number, text)| Cat::at(*number, 0x120, text));
                drop(cat);
                if let Some(bytes) = bytes {
                    self.say(&bytes);
                }
            }
            Act::Anew { goodbye, twice } => {
                if goodbye {
                    let mut cat = self.cat.borrow_mut();
                    cat.last += 1;
                    let bytes = format!("1_iptux 0.8.3:{}:cat:pc:65538:", cat.last).into_bytes();
                    cat.gone = true;
                    drop(cat);
                    self.say(&bytes);
                }
                self.lan.run_for(Duration::from_millis(1_500));
                let mut cat = self.cat.borrow_mut();
                cat.gone = false;
                cat.run += 1;
                cat.last = 0;
                cat.written.clear();
                cat.confirmed.clear();
                drop(cat);
                self.enter(twice);
                self.lan.run_for(Duration::from_millis(1_100));
            }
            Act::Again => {
                let bytes = self.cat.borrow_mut().packet(0x104, "Cat");
                self.say(&bytes);
            }
            Act::Deaf { deaf } => self.cat.borrow_mut().deaf = deaf,
            Act::HandOver => self.lan.hand_over(self.us),
            Act::Restart => {
                // Of what was under way nobody can tell then of which run it is.
                let cat = self.cat.borrow();
                let done = cat.written.iter().all(|(number, _)| cat.confirmed.contains(number));
                drop(cat);
                if !done {
                    return;
                }
                // What it answers to our entry comes before what it writes next.
                self.lan.run_for(Duration::from_millis(10));
                self.lan.restart(self.us);
                self.lan.run_for(Duration::from_millis(20));
            }
            Act::RollCall => {
                self.lan.request(self.us, Request::RollCall);
            }
            Act::Full { full } => {
                let disk = self.lan.disk(self.us).unwrap();
                disk.full = full;
                disk.delay = Duration::from_millis(3);
            }
            Act::SetClock { by_ms } => {
                self.lan.wall_start.0 += by_ms;
            }
            Act::Wait { ms } => self.lan.run_for(Duration::from_millis(ms)),
        }
    }

    fn settle(mut self) -> Result<(), TestCaseError> {
        self.lan.disk(self.us).unwrap().full = false;
        self.cat.borrow_mut().deaf = false;
        self.lan.run_for(Duration::from_secs(1));
        self.perform(Act::Repeat { all: true });
        self.lan.run_for(Duration::from_secs(1));
        let cat = self.cat.borrow();
        for (number, text) in &cat.written {
            prop_assert!(cat.confirmed.contains(number), "{text} is never confirmed");
        }
        let shown: Vec<String> = self
            .lan
            .events(self.us)
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Message(message) if message.direction == Direction::In => {
                    Some(message.text.clone())
                }
                _ => None,
            })
            .collect();
        let once: BTreeSet<String> = shown.iter().cloned().collect();
        prop_assert_eq!(once.len(), shown.len(), "shown twice: {:?}", shown);
        for text in &cat.arrived {
            prop_assert!(
                once.contains(text),
                "{} was confirmed and never shown: {:?}",
                text,
                shown
            );
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_client_that_numbers_from_one_was_told_arrived_is_shown_once(
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 1..40),
    ) {
        let mut pair = Pair::new(seed);
        for act in acts {
            pair.perform(act);
        }
        pair.settle()?;
    }
}

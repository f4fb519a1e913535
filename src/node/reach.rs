//! Networks beyond our links: ranges that are scanned slowly, and seeds that are asked for their
//! host list (wire reference, 10; dialect reference of FeiQ, 4.9).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::config::{Config, Network};
use super::links::Links;
use super::own::Sheet;
use super::presence::Presence;
use super::roster::Roster;
use super::timers::Timer;
use super::turn::Turn;
use super::unicasts::Job;
use crate::wire::Command;
use crate::wire::hosts::HostList;

/// What is beyond our links, and how far we are with asking there.
#[derive(Debug)]
pub(crate) struct Reach {
    ranges: Vec<(SocketAddr, SocketAddr)>,
    /// The range and the place in it that is next; none: no scan is under way.
    scan: Option<(usize, u128)>,
    seeds: Vec<Seed>,
    /// Addresses that were asked because somebody named them; whoever answers is far.
    expected: BTreeSet<SocketAddr>,
}

/// A client that may send us its host list.
#[derive(Debug)]
struct Seed {
    addr: SocketAddr,
    /// The index we asked for; none: nothing is asked of it now.
    asked: Option<u32>,
    tries: u8,
    parts: u32,
}

/// How often a part of a list is asked for.
const TRIES: u8 = 2;
/// Most parts taken of one list.
const PARTS_MAX: u32 = 256;

impl Reach {
    pub(crate) fn new(config: &Config) -> Self {
        let ranges = config.networks.iter().filter_map(|network| match network {
            Network::Range(first, last) => Some((*first, *last)),
            Network::Addr(_) => None,
        });
        let seed = |&addr: &SocketAddr| Seed { addr, asked: None, tries: 0, parts: 0 };
        Self {
            ranges: ranges.collect(),
            scan: None,
            seeds: config.seeds.iter().map(seed).collect(),
            expected: BTreeSet::new(),
        }
    }

    /// Asks the seeds, and scans the ranges once unless a scan is under way.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        if !turn.speaks() {
            return;
        }
        // Who did not answer last time may now.
        self.expected.clear();
        for at in 0..self.seeds.len() {
            let Some(seed) = self.seeds.get_mut(at) else { continue };
            (seed.asked, seed.tries, seed.parts) = (Some(0), 1, 0);
            let addr = seed.addr;
            self.expect(turn, addr);
            let number = turn.number();
            let entry = turn.base.own.presence(number, Command::BR_ENTRY, Sheet::Plain);
            turn.transmit(None, addr, entry, None);
            ask_for_list(turn, addr, 0);
        }
        if !self.seeds.is_empty() {
            turn.arm(Timer::Seeds, turn.base.policy.seed_wait);
        }
        if self.scan.is_none() && !self.ranges.is_empty() {
            self.scan = Some((0, 0));
            turn.arm(Timer::Scan, Duration::ZERO);
        }
    }

    /// The address that the scan under way comes to next.
    pub(crate) fn next_of_scan(&self) -> Option<SocketAddr> {
        let (range, offset) = self.scan?;
        let &(first, last) = self.ranges.get(range)?;
        let next = nth(first, offset).filter(|&addr| place_in(first, last, addr).is_some());
        next.or_else(|| self.ranges.get(range + 1).map(|&(first, _)| first))
    }

    /// Goes on with the scan of another process, where the settings still name that range.
    pub(crate) fn go_on_from(&mut self, turn: &mut Turn<'_>, next: SocketAddr) {
        let places = self.ranges.iter().map(|&(first, last)| place_in(first, last, next));
        self.scan = places.enumerate().find_map(|(range, offset)| Some((range, offset?)));
        if self.scan.is_some() {
            turn.arm(Timer::Scan, Duration::ZERO);
        }
    }

    /// Whoever answers at `addr` is beyond our broadcasts.
    pub(crate) fn expect(&mut self, turn: &Turn<'_>, addr: SocketAddr) {
        if self.expected.len() < turn.base.policy.peers_max {
            self.expected.insert(addr);
        }
    }

    /// Somebody entered or answered from `addr`; whether our broadcasts do not reach there.
    pub(crate) fn is_far(&mut self, addr: SocketAddr) -> bool {
        let in_range =
            self.ranges.iter().any(|&(first, last)| place_in(first, last, addr).is_some());
        self.expected.remove(&addr) || in_range
    }

    /// The address a scan has come to; none at the end of a range.
    fn step_of_scan(&mut self) -> Option<SocketAddr> {
        let (range, offset) = self.scan?;
        let Some(&(first, last)) = self.ranges.get(range) else {
            self.scan = None;
            return None;
        };
        let next = nth(first, offset).filter(|&addr| place_in(first, last, addr).is_some());
        self.scan = Some(if next.is_some() { (range, offset + 1) } else { (range + 1, 0) });
        next
    }
}

impl Presence {
    /// The next address of a scan.
    pub(crate) fn scan_next(&mut self, turn: &mut Turn<'_>, links: &Links) {
        let next = self.reach.step_of_scan();
        if self.reach.scan.is_none() || !turn.speaks() {
            return;
        }
        if let Some(addr) = next.filter(|&addr| links.is_host(addr) && !links.owns(addr.ip())) {
            let number = turn.number();
            let entry = turn.base.own.presence(number, Command::BR_ENTRY, Sheet::Plain);
            turn.transmit(None, addr, entry, None);
        }
        turn.arm(Timer::Scan, Duration::from_secs(1) / turn.base.policy.scans_per_second.max(1));
    }

    /// The seeds had their time: those that sent nothing are asked once more.
    pub(crate) fn seeds_due(&mut self, turn: &mut Turn<'_>) {
        let mut waiting = false;
        for seed in &mut self.reach.seeds {
            let Some(index) = seed.asked else { continue };
            if seed.tries < TRIES {
                seed.tries += 1;
                waiting = true;
                ask_for_list(turn, seed.addr, index);
            } else {
                seed.asked = None;
            }
        }
        if waiting {
            turn.arm(Timer::Seeds, turn.base.policy.seed_wait);
        }
    }

    /// A client offers its list; taken up only if it is a seed that was asked.
    pub(crate) fn list_offered(&mut self, turn: &mut Turn<'_>, from: SocketAddr) {
        let asked = self.reach.seeds.iter().any(|seed| seed.addr == from && seed.asked == Some(0));
        if asked {
            ask_for_list(turn, from, 0);
        }
    }

    /// A part of a list. Those who are on it are not known by that: each gets one entry, and is
    /// known when it answers (wire reference, 14.11).
    pub(crate) fn listed(
        &mut self,
        turn: &mut Turn<'_>,
        roster: &mut Roster,
        links: &Links,
        from: SocketAddr,
        list: &HostList,
    ) {
        let Some(seed) = self.reach.seeds.iter_mut().find(|seed| seed.addr == from) else { return };
        let Some(index) = seed.asked.take() else { return };
        seed.parts += 1;
        seed.tries = 1;
        // "next >= count" is how the official client decides, too.
        let goes_on = list.next > index && list.next >= list.count && seed.parts < PARTS_MAX;
        if goes_on {
            seed.asked = Some(list.next);
            ask_for_list(turn, from, list.next);
            turn.arm(Timer::Seeds, turn.base.policy.seed_wait);
        }
        for host in &list.hosts {
            let addr = SocketAddr::new(host.addr, host.port);
            let new = !host.is_gone() && links.is_host(addr) && roster.at(addr).is_none();
            if new && !links.owns(addr.ip()) && !self.reach.expected.contains(&addr) {
                self.reach.expect(turn, addr);
                self.send(turn, roster, links, Job::Enter(addr));
            }
        }
    }
}

fn ask_for_list(turn: &mut Turn<'_>, seed: SocketAddr, index: u32) {
    let number = turn.number();
    let text = if index == 0 { String::new() } else { index.to_string() };
    let bytes = turn.base.own.ascii(number, Command::GETLIST, &text);
    turn.transmit(None, seed, bytes, None);
}

/// The address `offset` places after `first`.
fn nth(first: SocketAddr, offset: u128) -> Option<SocketAddr> {
    let ip = match first.ip() {
        IpAddr::V4(ip) => {
            let offset = u32::try_from(offset).ok()?;
            IpAddr::V4(Ipv4Addr::from(u32::from(ip).checked_add(offset)?))
        }
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip).checked_add(offset)?)),
    };
    Some(SocketAddr::new(ip, first.port()))
}

/// How far into the range `addr` lies; none if outside.
fn place_in(first: SocketAddr, last: SocketAddr, addr: SocketAddr) -> Option<u128> {
    let number = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(ip) => (4, u128::from(u32::from(ip))),
        IpAddr::V6(ip) => (6, u128::from(ip)),
    };
    let ((kind, first_no), (last_kind, last_no)) = (number(first), number(last));
    let (addr_kind, addr_no) = number(addr);
    let inside = kind == last_kind
        && kind == addr_kind
        && (first_no..=last_no).contains(&addr_no)
        && addr.port() == first.port();
    inside.then(|| addr_no - first_no)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_range_is_walked_from_its_first_to_its_last_address() {
        let (first, last) = (addr("10.0.0.254:2425"), addr("10.0.1.1:2425"));
        let walked: Vec<String> = (0..9)
            .map_while(|offset| nth(first, offset))
            .filter(|&next| place_in(first, last, next).is_some())
            .map(|next| next.ip().to_string())
            .collect();
        assert_eq!(walked, ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]);
        assert_eq!(nth(addr("255.255.255.255:1"), 1), None);
        assert_eq!(place_in(first, last, addr("10.0.2.0:2425")), None);
        assert_eq!(place_in(last, first, addr("10.0.1.0:2425")), None);
    }
}

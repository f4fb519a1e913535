//! How much of a stranger's wish is granted: rate caps on messages and on answers, and the bound
//! on what a datagram may cause (threats, rules 7 and 8, caps).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::config::Policy;
use super::input::Tick;

/// The caps and where they stand.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// While the sockets are not drained: what each address sent in this second.
    flood: Option<Flood>,
    info: Info,
}

#[derive(Debug)]
struct Flood {
    since: Tick,
    total: u64,
    /// Addresses that sent something in this window.
    active: u64,
    senders: BTreeMap<IpAddr, Sender>,
}

#[derive(Debug)]
struct Sender {
    /// The window its count is of.
    since: Tick,
    count: u64,
    /// Messages it may still send above its share, in millionths.
    tokens: u64,
    refilled: Tick,
    told: bool,
}

#[derive(Debug, Default)]
struct Info {
    since: Tick,
    total: u32,
    addresses: BTreeMap<IpAddr, u32>,
}

/// Whether a message is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// It is.
    Taken,
    /// It is not; `first`: the user was not told of this sender yet.
    Dropped { first: bool },
}

/// Counters of the flood cap and the info cap run for this long.
const WINDOW: Duration = Duration::from_secs(1);
/// Most addresses counted in one window; beyond that nobody new is held back.
const SENDERS_MAX: usize = 65_536;
const TOKEN: u64 = 1_000_000;

impl Trust {
    /// The sockets are left with datagrams behind, or drained again.
    pub(crate) fn pressure(&mut self, now: Tick, on: bool) {
        match (&self.flood, on) {
            (None, true) => {
                self.flood =
                    Some(Flood { since: now, total: 0, active: 0, senders: BTreeMap::new() });
            }
            (Some(_), false) => self.flood = None,
            _ => {}
        }
    }

    /// Whether a message from `from` is taken: without pressure always, under pressure while the
    /// address keeps to its fair share, or to the policy's rate above it.
    pub(crate) fn admit(&mut self, now: Tick, policy: &Policy, from: IpAddr) -> Admission {
        let Some(flood) = &mut self.flood else { return Admission::Taken };
        if now - flood.since >= WINDOW {
            flood.since = now;
            flood.total = 0;
            flood.active = 0;
        }
        if flood.senders.len() >= SENDERS_MAX && !flood.senders.contains_key(&from) {
            return Admission::Taken;
        }
        let burst = u64::from(policy.flood_burst) * TOKEN;
        let sender = flood.senders.entry(from).or_insert(Sender {
            since: flood.since,
            count: 0,
            tokens: burst,
            refilled: now,
            told: false,
        });
        let elapsed = u64::try_from((now - sender.refilled).as_micros()).unwrap_or(u64::MAX);
        let earned = elapsed.saturating_mul(u64::from(policy.flood_rate_per_second));
        sender.tokens = sender.tokens.saturating_add(earned).min(burst);
        sender.refilled = now;
        if sender.since != flood.since {
            (sender.since, sender.count) = (flood.since, 0);
        }
        flood.active += u64::from(sender.count == 0);
        sender.count += 1;
        flood.total += 1;
        if sender.count.saturating_mul(flood.active) <= flood.total {
            return Admission::Taken;
        }
        match sender.tokens.checked_sub(TOKEN) {
            Some(left) => {
                sender.tokens = left;
                Admission::Taken
            }
            None => Admission::Dropped { first: !std::mem::replace(&mut sender.told, true) },
        }
    }

    /// Whether a question for information or lists from `from` is answered.
    pub(crate) fn answers_info(&mut self, now: Tick, policy: &Policy, from: IpAddr) -> bool {
        let info = &mut self.info;
        if now - info.since >= WINDOW {
            *info = Info { since: now, ..Info::default() };
        }
        if info.total >= policy.info_per_second {
            return false;
        }
        let count = info.addresses.entry(from).or_default();
        if *count >= policy.info_per_address_per_second {
            return false;
        }
        *count += 1;
        info.total += 1;
        true
    }
}

/// What a datagram may still cause us to send back: three times its size, headers counted, unless
/// its sender has shown that it hears us. One answer to an entry and one receipt always fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance(usize);

impl Allowance {
    /// Size of the headers of a datagram, bytes.
    const HEADER: usize = 28;

    /// For a datagram of `size` bytes.
    pub(crate) fn new(size: usize, hears_us: bool) -> Self {
        Self(if hears_us { usize::MAX } else { (size + Self::HEADER).saturating_mul(3) })
    }

    /// Counts something that always fits.
    pub(crate) fn spend(&mut self, size: usize) {
        self.0 = self.0.saturating_sub(size + Self::HEADER);
    }

    /// The size of the largest datagram that still fits, bytes.
    pub(crate) fn room(self) -> usize {
        self.0.saturating_sub(Self::HEADER)
    }

    /// Counts a datagram of `size` bytes if it fits.
    #[must_use]
    pub(crate) fn allows(&mut self, size: usize) -> bool {
        let fits = self.0 >= size + Self::HEADER;
        if fits {
            self.spend(size);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn a_lone_sender_is_its_own_fair_share() {
        let (mut trust, policy) = (Trust::default(), Policy::default());
        trust.pressure(Tick(0), true);
        for _ in 0..10_000 {
            assert_eq!(trust.admit(Tick(5), &policy, A), Admission::Taken);
        }
    }

    #[test]
    fn under_pressure_the_loud_one_is_held_and_the_quiet_one_is_not() {
        let (mut trust, policy) = (Trust::default(), Policy::default());
        trust.pressure(Tick(0), true);
        let mut taken = 0;
        for turn in 0..2_000u64 {
            if turn.is_multiple_of(20) {
                assert_eq!(trust.admit(Tick(turn), &policy, B), Admission::Taken);
            }
            taken += u32::from(trust.admit(Tick(turn), &policy, A) == Admission::Taken);
        }
        assert!((200..=420).contains(&taken), "{taken}");
        trust.pressure(Tick(3_000), false);
        assert_eq!(trust.admit(Tick(3_001), &policy, A), Admission::Taken);
    }

    #[test]
    fn a_held_sender_is_reported_once() {
        let (mut trust, policy) = (Trust::default(), Policy::default());
        trust.pressure(Tick(0), true);
        assert_eq!(trust.admit(Tick(0), &policy, B), Admission::Taken);
        let reports = (0..1_000)
            .filter(|_| trust.admit(Tick(0), &policy, A) == Admission::Dropped { first: true })
            .count();
        assert_eq!(reports, 1);
    }

    #[test]
    fn info_is_capped_for_each_address_and_in_all() {
        let (mut trust, policy) = (Trust::default(), Policy::default());
        let mut answered = |tick, from| trust.answers_info(Tick(tick), &policy, from);
        assert_eq!((0..50).filter(|_| answered(1, A)).count(), 10);
        let many = (0..1_000u32).filter(|n| answered(1, IpAddr::V4((*n).into()))).count();
        assert_eq!(many, 190);
        assert!(answered(1_000_001, A));
    }

    #[test]
    fn an_answer_is_at_most_three_times_the_question() {
        let mut allowance = Allowance::new(32, false);
        assert!(allowance.allows(152));
        assert!(!allowance.allows(1));
        assert!(Allowance::new(32, true).allows(60_000));
    }
}

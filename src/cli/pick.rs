//! WHO on the command line becomes peers, or a clear no.
//!
//! The steps, first one that finds somebody: `@all`; `@group`; an own name; an address; the exact
//! nickname, then `user@host`, computer name, log-on name; the unique beginning of one of these
//! without regard to case; a glob. Pure: who is there comes in as an argument.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use globset::Glob;

use crate::node::{Alias, PeerId, PeerView, Target};

/// How one WHO was understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// `@all`.
    All,
    /// `@group`.
    Group,
    /// An address with or without a port.
    Address,
    /// A whole name.
    Exact,
    /// The beginning of a name.
    Prefix,
    /// A pattern with `*`, `?`, `[` or `{`.
    Glob,
}

/// Why a WHO means nobody.
#[derive(Clone, PartialEq, Debug)]
pub enum NoPick {
    /// Nobody is called so.
    Nobody {
        /// As it was written.
        who: String,
        /// How many peers there are.
        here: usize,
    },
    /// Several are meant where one should be.
    Several {
        /// As it was written.
        who: String,
        /// Whom it may mean.
        candidates: Vec<PeerView>,
        /// It is a pattern, for which several may well be meant.
        pattern: bool,
    },
    /// We are deaf to the one who is called so.
    Blocked {
        /// As it was written.
        who: String,
        /// Its nickname.
        nick: String,
    },
    /// It cannot be read.
    Unreadable {
        /// As it was written.
        who: String,
        /// Why not.
        why: String,
    },
}

/// What the lookup needs to know besides the names.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Port of an address without one.
    pub port: u16,
    /// Several matches of a pattern are all meant (`--yes`).
    pub every_match: bool,
}

/// The user's address book: own names, and whom we are deaf to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Book {
    /// Own names.
    pub aliases: Vec<Alias>,
    /// Peers we are deaf to.
    pub blocks: Vec<PeerView>,
}

impl Book {
    /// Whom an own name stands for.
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.aliases.iter().find(|alias| alias.name == name).map(|alias| &alias.target)
    }

    /// Own names of a peer.
    pub fn names<'b>(&'b self, peer: &PeerView) -> impl Iterator<Item = &'b str> {
        let at = SocketAddr::new(peer.addr, peer.port);
        let id = peer.id.clone();
        let stands_for = move |alias: &&Alias| match &alias.target {
            Target::Peer(other) => *other == id,
            Target::Addr(addr) => *addr == at,
        };
        self.aliases.iter().filter(stands_for).map(|alias| alias.name.as_str())
    }

    /// Whether we are deaf to a peer.
    pub fn blocks(&self, id: &PeerId) -> bool {
        self.blocks.iter().any(|peer| peer.id == *id)
    }
}

/// Everybody that `whos` mean, each once, in the order written. All or nothing: one WHO that is
/// nobody or ambiguous makes the whole an error.
pub fn pick(
    whos: &[String],
    peers: &[PeerView],
    book: &Book,
    rules: Rules,
) -> Result<Vec<Target>, NoPick> {
    let mut targets: Vec<Target> = Vec::new();
    for who in whos {
        for target in pick_one(who, peers, book, rules)? {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    Ok(targets)
}

/// Whether `peer`, who is one of `peers`, is meant by `who`: for filters, where several may match.
pub fn admits(who: &str, peer: &PeerView, peers: &[PeerView], book: &Book) -> bool {
    if book.target(who).is_some() {
        return book.names(peer).any(|name| name == who);
    }
    if let Some(address) = Address::read(who) {
        return peer.addrs.iter().any(|&at| address.is(at))
            || address.is(SocketAddr::new(peer.addr, peer.port));
    }
    let Ok((step, found)) = candidates(who, peers) else { return false };
    (step != Step::Prefix || found.len() == 1) && found.iter().any(|found| found.id == peer.id)
}

/// Everybody of `peers` that `who` means: for looking back, where namesakes, groups and patterns mean
/// all of them. A beginning must be unique.
pub fn everybody_called(who: &str, peers: &[PeerView], book: &Book) -> Result<Vec<PeerId>, NoPick> {
    if book.target(who).is_some() {
        let is_named = |peer: &&PeerView| book.names(peer).any(|name| name == who);
        return found(who, peers, peers.iter().filter(is_named).collect());
    }
    if let Some(address) = Address::read(who) {
        let is_there = |peer: &&PeerView| {
            address.is(SocketAddr::new(peer.addr, peer.port))
                || peer.addrs.iter().any(|&at| address.is(at))
        };
        return found(who, peers, peers.iter().filter(is_there).collect());
    }
    match candidates(who, peers)? {
        (Step::Prefix, several) if several.len() > 1 => Err(NoPick::Several {
            who: who.to_owned(),
            candidates: several.into_iter().cloned().collect(),
            pattern: false,
        }),
        (_, all) => found(who, peers, all),
    }
}

fn found(who: &str, peers: &[PeerView], found: Vec<&PeerView>) -> Result<Vec<PeerId>, NoPick> {
    if found.is_empty() {
        return Err(NoPick::Nobody { who: who.to_owned(), here: peers.len() });
    }
    Ok(found.into_iter().map(|peer| peer.id.clone()).collect())
}

/// Whether `who` is an address, which need not be known.
pub fn is_address(who: &str) -> bool {
    Address::read(who).is_some()
}

/// Whether `who` means one peer or address by name, and neither a group nor whatever fits a pattern.
pub fn is_one(who: &str) -> bool {
    !who.starts_with('@') && !who.contains(PATTERN)
}

/// A WHO that says something; the parser of options that take one.
pub fn readable(who: &str) -> Result<String, String> {
    match who {
        "" | "@" | "@\"\"" => Err("it names nobody".to_owned()),
        who => Ok(who.to_owned()),
    }
}

fn pick_one(
    who: &str,
    peers: &[PeerView],
    book: &Book,
    rules: Rules,
) -> Result<Vec<Target>, NoPick> {
    if let Err(why) = readable(who) {
        return Err(NoPick::Unreadable { who: format!("'{who}'"), why });
    }
    if let Some(target) = book.target(who).filter(|_| !who.starts_with('@')) {
        return Ok(vec![target.clone()]);
    }
    if let Some(address) = Address::read(who) {
        return Ok(vec![address.target(peers, rules.port)]);
    }
    if let Some((_, link, _)) = zoned(who) {
        let why = format!("this host has no link called {link}");
        return Err(NoPick::Unreadable { who: who.to_owned(), why });
    }
    let (step, found) = candidates(who, peers)?;
    match (step, found.as_slice()) {
        (_, []) => Err(nobody(who, peers, book)),
        (Step::All | Step::Group, all) => Ok(targets(all)),
        (Step::Glob, all) if rules.every_match => Ok(targets(all)),
        (_, [one]) => Ok(targets(&[one])),
        (_, several) => Err(NoPick::Several {
            who: who.to_owned(),
            candidates: several.iter().map(|&peer| peer.clone()).collect(),
            pattern: step == Step::Glob,
        }),
    }
}

/// Why nobody is meant.
fn nobody(who: &str, peers: &[PeerView], book: &Book) -> NoPick {
    let who = who.to_owned();
    match candidates(&who, &book.blocks) {
        Ok((Step::Exact | Step::Prefix, blocked)) if !blocked.is_empty() => {
            NoPick::Blocked { nick: blocked[0].nick.clone(), who }
        }
        _ => NoPick::Nobody { who, here: peers.len() },
    }
}

/// Signs of a pattern.
const PATTERN: [char; 4] = ['*', '?', '[', '{'];

fn targets(peers: &[&PeerView]) -> Vec<Target> {
    peers.iter().map(|peer| Target::Peer(peer.id.clone())).collect()
}

/// The first step that finds somebody, and whom; the last step if none does.
fn candidates<'p>(who: &str, peers: &'p [PeerView]) -> Result<(Step, Vec<&'p PeerView>), NoPick> {
    let matching =
        |test: &dyn Fn(&PeerView) -> bool| peers.iter().filter(|peer| test(peer)).collect();
    if who == "@all" {
        return Ok((Step::All, peers.iter().collect()));
    }
    if let Some(group) = who.strip_prefix('@') {
        let group = group.strip_prefix('"').and_then(|g| g.strip_suffix('"')).unwrap_or(group);
        return Ok((Step::Group, in_group(group, peers)));
    }
    for name in NAMES {
        let found: Vec<_> = matching(&|peer| name(peer) == who);
        if !found.is_empty() {
            return Ok((Step::Exact, found));
        }
    }
    if !who.is_empty() {
        let start = who.to_lowercase();
        let found: Vec<_> = matching(&|peer| {
            NAMES.iter().any(|name| name(peer).to_lowercase().starts_with(&start))
        });
        if !found.is_empty() {
            return Ok((Step::Prefix, found));
        }
    }
    if !who.contains(PATTERN) {
        return Ok((Step::Prefix, Vec::new()));
    }
    let glob = Glob::new(who)
        .map_err(|error| NoPick::Unreadable { who: who.to_owned(), why: error.kind().to_string() })?
        .compile_matcher();
    Ok((Step::Glob, matching(&|peer| NAMES.iter().any(|name| glob.is_match(name(peer))))))
}

/// The names of a peer, in the order in which they are tried.
const NAMES: [fn(&PeerView) -> String; 5] = [
    |peer| peer.nick.clone(),
    |peer| peer.untitled_nick().to_owned(),
    |peer| format!("{}@{}", peer.user, peer.host),
    |peer| peer.host.clone(),
    |peer| peer.user.clone(),
];

/// Everybody in the group of this name; without regard to case if none is written exactly so.
fn in_group<'p>(group: &str, peers: &'p [PeerView]) -> Vec<&'p PeerView> {
    let exact: Vec<_> = peers.iter().filter(|peer| peer.group == group).collect();
    if !exact.is_empty() {
        return exact;
    }
    peers.iter().filter(|peer| is_in_group(group, peer)).collect()
}

/// Whether a peer is in the group of this name, without regard to case.
pub fn is_in_group(group: &str, peer: &PeerView) -> bool {
    peer.group.to_lowercase() == group.to_lowercase()
}

/// `IP` or `IP:PORT`, an IPv6 one also with the link it is on: `fe80::7%eth0`, `[fe80::7%2]:2425`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Address {
    Ip(IpAddr),
    OnLink(Ipv6Addr, u32),
    WithPort(SocketAddr),
}

impl Address {
    fn read(who: &str) -> Option<Self> {
        if let Ok(ip) = who.parse() {
            return Some(Self::Ip(ip));
        }
        if let Ok(addr) = who.parse() {
            return Some(Self::WithPort(addr));
        }
        if let Some((ip, link, port)) = zoned(who) {
            let index = link.parse().ok().or_else(|| crate::io::link_index(link))?;
            return Some(match port {
                Some(port) => Self::WithPort(SocketAddrV6::new(ip, port, 0, index).into()),
                None => Self::OnLink(ip, index),
            });
        }
        who.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(|ip| Self::Ip(IpAddr::V6(ip)))
    }

    fn is(self, at: SocketAddr) -> bool {
        match self {
            Self::Ip(ip) => ip == at.ip(),
            Self::OnLink(ip, link) => {
                matches!(at, SocketAddr::V6(at) if *at.ip() == ip && at.scope_id() == link)
            }
            Self::WithPort(addr) => addr == at,
        }
    }

    /// The one peer known there, of whom charset and dialect are known, else the bare address.
    fn target(self, peers: &[PeerView], port: u16) -> Target {
        // Only the list of all addresses tells the link of each.
        let first = |peer: &PeerView| peer.addrs.first().copied();
        let mut there = peers.iter().filter(|peer| {
            self.is(SocketAddr::new(peer.addr, peer.port))
                || first(peer).is_some_and(|at| self.is(at))
        });
        match (there.next(), there.next(), self) {
            (Some(peer), None, _) => Target::Peer(peer.id.clone()),
            (_, _, Self::Ip(ip)) => Target::Addr(SocketAddr::new(ip, port)),
            (_, _, Self::OnLink(ip, link)) => {
                Target::Addr(SocketAddrV6::new(ip, port, 0, link).into())
            }
            (_, _, Self::WithPort(addr)) => Target::Addr(addr),
        }
    }
}

/// The parts of an IPv6 address with its link: address, name or index of the link, port.
fn zoned(who: &str) -> Option<(Ipv6Addr, &str, Option<u16>)> {
    let (inside, port) = match who.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port.parse().ok()?),
                None if after.is_empty() => None,
                None => return None,
            };
            (inside, port)
        }
        None => (who, None),
    };
    let (ip, link) = inside.split_once('%')?;
    Some((ip.parse().ok()?, link, port)).filter(|(_, link, _)| !link.is_empty())
}

impl fmt::Display for NoPick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody { who, here } => {
                let are = if *here == 1 { "is" } else { "are" };
                write!(f, "no peer called {who}; {here} {are} here (feige peers)")
            }
            Self::Several { who, candidates, .. } => {
                write!(f, "{who} may mean {} peers", candidates.len())
            }
            Self::Blocked { who, nick } => {
                let is = if who == nick { String::new() } else { format!(" is {nick}, who") };
                write!(f, "{who}{is} is blocked")
            }
            Self::Unreadable { who, why } => write!(f, "cannot read {who}: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cli::error::{CliError, Exit};

    const RULES: Rules = Rules { port: 2425, every_match: false };

    fn peer(nick: &str, user: &str, host: &str, group: &str, addr: &str) -> PeerView {
        let addr: IpAddr = addr.parse().expect("an address");
        PeerView {
            id: PeerId(Arc::from(format!("{user}@{host}"))),
            nick: nick.to_owned(),
            user: user.to_owned(),
            host: host.to_owned(),
            group: group.to_owned(),
            addr,
            port: 2425,
            addrs: vec![SocketAddr::new(addr, 2425)],
            dialect: "ipmsg".to_owned(),
            charset: None,
            charset_sure: None,
            version: None,
            absent: false,
            fingerprint: None,
        }
    }

    fn office() -> Vec<PeerView> {
        vec![
            peer("张三", "zhangsan", "PC-1", "研发部", "10.0.0.1"),
            peer("李四", "lisi", "PC-2", "研发部", "10.0.0.2"),
            peer("alice", "al", "dev-1", "Sales Team", "10.0.0.3"),
            peer("Alan", "alan", "dev-2", "Sales Team", "10.0.0.4"),
            peer("bob", "bob", "pc-9", "", "10.0.0.5"),
            peer("bob", "robert", "pc-8", "all", "fe80::8"),
        ]
    }

    fn book() -> Book {
        let alias = |name: &str, target| Alias { name: name.to_owned(), target };
        Book {
            aliases: vec![
                alias("boss", Target::Peer(PeerId("lisi@PC-2".into()))),
                alias("alice", Target::Addr("10.0.0.9:3000".parse().expect("an address"))),
                alias("10.0.0.5", Target::Peer(PeerId("al@dev-1".into()))),
            ],
            blocks: vec![peer("mallory", "mal", "pc-6", "", "10.0.0.66")],
        }
    }

    #[test]
    fn an_address_may_name_its_link() {
        assert_eq!(one("fe80::7%2"), "[fe80::7%2]:2425");
        assert_eq!(one("[fe80::7%2]"), "[fe80::7%2]:2425");
        assert_eq!(one("[fe80::7%2]:3000"), "[fe80::7%2]:3000");
        let Some((index, name)) = loopback() else { panic!("no loopback link") };
        assert_eq!(one(&format!("fe80::7%{name}")), format!("[fe80::7%{index}]:2425"));
        let no = picked("fe80::7%nolink").expect_err("no such link");
        assert_eq!(CliError::from(no.clone()).exit(), Exit::Usage);
        assert_eq!(
            no.to_string(),
            "cannot read fe80::7%nolink: this host has no link called nolink"
        );
        for name in ["fe80::7%", "[fe80::7%2]x", "50%off"] {
            assert!(matches!(picked(name), Err(NoPick::Nobody { .. })), "{name}");
        }

        let mut bob = peer("bob", "bob", "pc-9", "", "fe80::9");
        bob.addrs = vec!["[fe80::9%3]:2425".parse().expect("an address")];
        let (peers, book) = ([bob.clone()], Book::default());
        let whom = |who: &str| pick(&[who.to_owned()], &peers, &book, RULES).expect(who);
        assert_eq!(whom("fe80::9%3"), [Target::Peer(bob.id.clone())]);
        assert_eq!(whom("fe80::9"), [Target::Peer(bob.id.clone())]);
        assert_eq!(whom("fe80::9%4"), [Target::Addr("[fe80::9%4]:2425".parse().expect("it"))]);
        assert!(admits("fe80::9%3", &bob, &peers, &book));
        assert!(!admits("fe80::9%4", &bob, &peers, &book));
    }

    /// Index and name of the link that every host has.
    fn loopback() -> Option<(u32, &'static str)> {
        ["lo", "lo0"].into_iter().find_map(|name| Some((crate::io::link_index(name)?, name)))
    }

    #[test]
    fn own_names_come_before_addresses_and_names() {
        assert_eq!(one("boss"), "lisi@PC-2");
        assert_eq!(one("alice"), "10.0.0.9:3000");
        assert_eq!(one("10.0.0.5"), "al@dev-1");
        assert!(picked("BOSS").is_err(), "case counts");
        assert!(picked("bos").is_err(), "as a whole");
    }

    #[test]
    fn somebody_blocked_is_said_to_be_blocked() {
        let error = CliError::from(picked("mallory").expect_err("blocked"));
        assert_eq!(error.exit(), Exit::Nobody);
        insta::assert_snapshot!(error.to_string(), @r"
        feige: mallory is blocked
          `feige block --remove mallory` hears it again
        ");
        assert!(matches!(picked("mal-nobody"), Err(NoPick::Nobody { .. })));
    }

    fn picked(who: &str) -> Result<Vec<String>, NoPick> {
        let targets = pick(&[who.to_owned()], &office(), &book(), RULES)?;
        Ok(targets
            .into_iter()
            .map(|target| match target {
                Target::Peer(id) => id.0.to_string(),
                Target::Addr(addr) => addr.to_string(),
            })
            .collect())
    }

    fn one(who: &str) -> String {
        let mut all = picked(who).expect(who);
        assert_eq!(all.len(), 1, "{who}");
        all.remove(0)
    }

    #[test]
    fn everybody_and_groups_are_meant_by_their_sign() {
        assert_eq!(picked("@all").expect("all").len(), 6);
        assert_eq!(picked("@研发部").expect("group"), ["zhangsan@PC-1", "lisi@PC-2"]);
        assert_eq!(picked("@Sales Team").expect("group").len(), 2);
        assert_eq!(picked("@\"sales team\"").expect("group").len(), 2);
        assert_eq!(picked("@\"all\"").expect("group"), ["robert@pc-8"]);
        assert!(matches!(picked("@nobody"), Err(NoPick::Nobody { here: 6, .. })));
    }

    #[test]
    fn an_address_need_not_be_known() {
        assert_eq!(one("10.0.0.9"), "10.0.0.9:2425");
        assert_eq!(one("10.0.0.9:3000"), "10.0.0.9:3000");
        assert_eq!(one("::1"), "[::1]:2425");
        assert_eq!(one("[::1]"), "[::1]:2425");
        assert_eq!(one("[::1]:3000"), "[::1]:3000");
    }

    #[test]
    fn a_known_address_means_its_peer() {
        assert_eq!(one("10.0.0.1"), "zhangsan@PC-1");
        assert_eq!(one("10.0.0.1:2425"), "zhangsan@PC-1");
        assert_eq!(one("10.0.0.1:3000"), "10.0.0.1:3000");
        assert_eq!(one("fe80::8"), "robert@pc-8");
    }

    #[test]
    fn whole_names_come_before_beginnings() {
        assert_eq!(one("张三"), "zhangsan@PC-1");
        assert_eq!(one("al"), "al@dev-1");
        assert_eq!(one("lisi@PC-2"), "lisi@PC-2");
        assert_eq!(one("dev-2"), "alan@dev-2");
        assert_eq!(one("robert"), "robert@pc-8");
    }

    #[test]
    fn a_beginning_must_be_unique_and_may_be_in_any_case() {
        assert_eq!(one("李"), "lisi@PC-2");
        assert_eq!(one("ALI"), "al@dev-1");
        assert_eq!(one("ZHANG"), "zhangsan@PC-1");
        let Err(NoPick::Several { candidates, pattern, .. }) = picked("AL") else {
            panic!("two begin so")
        };
        assert_eq!(candidates.len(), 2);
        assert!(!pattern);
    }

    #[test]
    fn two_with_one_name_are_never_chosen_between() {
        let Err(no @ NoPick::Several { .. }) = picked("bob") else { panic!("two are called so") };
        let error = CliError::from(no).nothing_sent();
        assert_eq!(error.exit(), Exit::Nobody);
        insta::assert_snapshot!(error.to_string(), @r"
        feige: bob may mean 2 peers; nothing was sent
          bob  10.0.0.5:2425
          bob  [fe80::8]:2425  all
          write the address, or more of the name
        ");
    }

    #[test]
    fn namesakes_at_one_address_are_told_apart_by_their_identities() {
        let two = ["ann", "sam"].map(|user| peer("guest", user, "kiosk", "", "10.0.0.6"));
        let no = pick(&["guest".to_owned()], &two, &book(), RULES).expect_err("two are called so");
        insta::assert_snapshot!(CliError::from(no).to_string(), @r"
        feige: guest may mean 2 peers
          guest  10.0.0.6:2425  ann@kiosk
          guest  10.0.0.6:2425  sam@kiosk
          write user@host
        ");
    }

    #[test]
    fn long_names_of_candidates_are_cut() {
        let long = "x".repeat(250);
        let two = ["ann", "sam"].map(|user| peer(&long, user, "kiosk", &long, "10.0.0.6"));
        let no = pick(&[long], &two, &book(), RULES).expect_err("two are called so");
        let error = CliError::from(no).to_string();
        assert!(error.lines().skip(1).all(|line| line.len() < 100), "{error}");
    }

    #[test]
    fn a_pattern_with_several_matches_wants_a_yes() {
        assert_eq!(one("*-9"), "bob@pc-9");
        assert!(matches!(picked("dev-*"), Err(NoPick::Several { pattern: true, .. })));
        let rules = Rules { every_match: true, ..RULES };
        assert_eq!(pick(&["dev-*".to_owned()], &office(), &book(), rules).expect("both").len(), 2);
        assert!(matches!(picked("[a"), Err(NoPick::Unreadable { .. })));
    }

    #[test]
    fn yes_does_not_choose_between_namesakes() {
        let rules = Rules { every_match: true, ..RULES };
        assert!(pick(&["bob".to_owned()], &office(), &book(), rules).is_err());
    }

    #[test]
    fn nobody_is_told_how_many_there_are() {
        let no = picked("carol").expect_err("nobody is called so");
        assert_eq!(no.to_string(), "no peer called carol; 6 are here (feige peers)");
        assert!(picked("").is_err());
        let no = NoPick::Nobody { who: "carol".to_owned(), here: 1 };
        assert_eq!(no.to_string(), "no peer called carol; 1 is here (feige peers)");
    }

    #[test]
    fn somebody_meant_twice_is_picked_once() {
        let whos = ["张三".to_owned(), "@研发部".to_owned(), "10.0.0.1".to_owned()];
        assert_eq!(pick(&whos, &office(), &book(), RULES).expect("both").len(), 2);
    }

    #[test]
    fn one_bad_who_makes_the_whole_an_error() {
        let whos = ["张三".to_owned(), "carol".to_owned()];
        assert!(pick(&whos, &office(), &book(), RULES).is_err());
    }

    #[test]
    fn a_filter_admits_namesakes_but_no_ambiguous_beginning() {
        let office = office();
        let book = book();
        let admitted = |who: &str| office.iter().filter(|p| admits(who, p, &office, &book)).count();
        assert_eq!(admitted("bob"), 2);
        assert_eq!(admitted("dev-*"), 2);
        assert_eq!(admitted("AL"), 0);
        assert_eq!(admitted("ALI"), 1);
        assert_eq!(admitted("10.0.0.4"), 1);
        assert_eq!(admitted("boss"), 1);
        assert_eq!(admitted("@研发部"), 2);
    }

    #[test]
    fn looking_back_everybody_of_a_name_is_meant() {
        let office = office();
        let called =
            |who: &str| everybody_called(who, &office, &Book::default()).map(|ids| ids.len());
        assert_eq!(called("bob"), Ok(2), "namesakes");
        assert_eq!(called("dev-*"), Ok(2));
        assert_eq!(called("@研发部"), Ok(2));
        assert_eq!(called("10.0.0.5"), Ok(1));
        assert_eq!(called("李"), Ok(1));
        assert!(matches!(called("AL"), Err(NoPick::Several { .. })));
        assert!(matches!(called("carol"), Err(NoPick::Nobody { .. })));
        assert!(matches!(called("10.0.0.99"), Err(NoPick::Nobody { .. })));
    }
}

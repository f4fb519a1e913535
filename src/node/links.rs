//! The links of this host: what changed, and whom a broadcast through them reaches.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::Parts;
use super::api::NoticeCode;
use super::input::{Link, LinkId};
use super::own::is_host;
use super::turn::Turn;

/// The links now.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: BTreeMap<LinkId, Link>,
}

/// How the links changed.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// New ones, and those with other addresses than before.
    pub(crate) fresh: Vec<LinkId>,
    /// Names of the new ones.
    pub(crate) came: Vec<String>,
    /// Names of those with other addresses.
    pub(crate) changed: Vec<String>,
    /// Names of those that vanished.
    pub(crate) went: Vec<String>,
}

impl Links {
    /// Takes the links as they are now.
    pub(crate) fn update(&mut self, now: Vec<Link>) -> Change {
        let now: BTreeMap<LinkId, Link> = now.into_iter().map(|link| (link.id, link)).collect();
        let mut change = Change::default();
        for (id, link) in &now {
            match self.links.get(id) {
                Some(before) if reaches_the_same(before, link) => continue,
                Some(_) => change.changed.push(link.name.clone()),
                None => change.came.push(link.name.clone()),
            }
            change.fresh.push(*id);
        }
        let gone = self.links.values().filter(|link| !now.contains_key(&link.id));
        change.went = gone.map(|link| link.name.clone()).collect();
        self.links = now;
        change
    }

    /// Whether no link is up.
    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Whether nobody but this host can be reached.
    pub(crate) fn is_alone(&self) -> bool {
        !self.links.values().any(Link::leads_to_others)
    }

    /// All of them, by index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// `id` while that link is up; else the system's choice.
    pub(crate) fn route(&self, id: LinkId) -> Option<LinkId> {
        self.links.contains_key(&id).then_some(id)
    }

    /// `addr` as it can be written to: a link-local one that does not say on which link is on the
    /// only one that has such addresses.
    pub(crate) fn with_scope(&self, addr: SocketAddr) -> SocketAddr {
        match addr {
            SocketAddr::V6(mut v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
                let mut links = self.links.values().filter(|link| link.multicast);
                if let (Some(link), None) = (links.next(), links.next()) {
                    v6.set_scope_id(link.id.0);
                }
                SocketAddr::V6(v6)
            }
            other => other,
        }
    }

    /// Whether a datagram to `addr` would go to one host: no group, no broadcast address of a link,
    /// with a port. Anybody may write any address into a datagram or a list.
    pub(crate) fn is_host(&self, addr: SocketAddr) -> bool {
        let broadcast = |link: &Link| {
            link.v4.iter().any(|net| net.broadcast.is_some_and(|group| addr.ip() == group))
        };
        is_host(addr) && !self.links.values().any(broadcast)
    }

    /// Whether `addr` is one of ours.
    pub(crate) fn owns(&self, addr: IpAddr) -> bool {
        self.links.values().any(|link| link.owns(addr))
    }
}

impl Change {
    /// The change in words; none if nothing changed.
    pub(crate) fn describe(&self) -> Option<String> {
        let parts: Vec<String> =
            [(&self.came, "came"), (&self.changed, "changed its address"), (&self.went, "went")]
                .into_iter()
                .filter(|(names, _)| !names.is_empty())
                .map(|(names, what)| format!("{} {what}", names.join(", ")))
                .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Whether the two have the same addresses, so that there is nothing to announce.
fn reaches_the_same(before: &Link, now: &Link) -> bool {
    before.v4 == now.v4 && before.v6 == now.v6 && before.multicast == now.multicast
}

/// Whom a broadcast through `link` goes to (wire reference, 1): the limited and the directed
/// addresses, and the two groups of IPv6.
pub(crate) fn targets(link: &Link, port: u16) -> Vec<SocketAddr> {
    /// `ff15::979`, the group of IPMsg.
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x979);
    /// `ff02::1`, all nodes of the link.
    const NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

    let mut targets: Vec<SocketAddr> = Vec::new();
    let mut add = |target: SocketAddr| {
        if !targets.contains(&target) {
            targets.push(target);
        }
    };
    for net in &link.v4 {
        if net.limited {
            add((Ipv4Addr::BROADCAST, port).into());
        }
        if let Some(broadcast) = net.broadcast {
            add((broadcast, port).into());
        }
    }
    if link.multicast {
        add((GROUP, port).into());
        add(SocketAddrV6::new(NODES, port, 0, link.id.0).into());
    }
    targets
}

impl Parts {
    /// The links of this host changed. With the first ones a node begins.
    pub(super) fn links_are(&mut self, turn: &mut Turn<'_>, now: Vec<Link>) {
        let change = self.links.update(now);
        let Self { presence, roster, links, .. } = self;
        if self.started {
            if !change.fresh.is_empty() {
                presence.appear(turn, roster, links, &change.fresh);
            }
            if let Some(text) = change.describe() {
                turn.notice(NoticeCode::Links, text);
            }
        } else if !links.is_empty() {
            self.started = true;
            if !self.resumed {
                presence.start(turn, roster, links);
            }
            self.offers.start(turn);
            self.pictures.start(turn);
            self.write_late_to_all(turn);
            self.outbox.keep_ends(turn);
            self.serving.keep_ends(turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Ipv4Net;

    fn link(id: u32, addr: [u8; 4]) -> Link {
        Link {
            id: LinkId(id),
            name: format!("eth{id}"),
            v4: vec![Ipv4Net {
                addr: addr.into(),
                broadcast: Some([addr[0], addr[1], addr[2], 255].into()),
                limited: true,
            }],
            v6: vec![],
            multicast: false,
        }
    }

    #[test]
    fn changes_are_told_apart() {
        let mut links = Links::default();
        links.update(vec![link(1, [10, 0, 0, 1]), link(2, [10, 0, 1, 1])]);
        let change = links.update(vec![link(1, [10, 0, 0, 9]), link(3, [10, 0, 2, 1])]);
        assert_eq!(change.fresh, [LinkId(1), LinkId(3)]);
        assert_eq!(
            change.describe().as_deref(),
            Some("eth3 came; eth1 changed its address; eth2 went")
        );
        assert_eq!(links.update(links.iter().cloned().collect()).describe(), None);
    }

    #[test]
    fn a_link_local_address_is_on_the_only_link() {
        let with_groups = |id| Link { multicast: true, ..link(id, [10, 0, 0, 1]) };
        let addr = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let mut links = Links::default();
        links.update(vec![link(1, [127, 0, 0, 1]), with_groups(2)]);
        let scoped = |links: &Links, text| links.with_scope(addr(text)).to_string();
        assert_eq!(scoped(&links, "[fe80::7]:2425"), "[fe80::7%2]:2425");
        assert_eq!(scoped(&links, "[fe80::7%1]:2425"), "[fe80::7%1]:2425");
        assert_eq!(scoped(&links, "[fd00::7]:2425"), "[fd00::7]:2425");
        links.update(vec![with_groups(2), with_groups(3)]);
        assert_eq!(scoped(&links, "[fe80::7]:2425"), "[fe80::7]:2425", "who knows?");
    }

    #[test]
    fn each_target_of_a_link_is_named_once() {
        let mut link = link(4, [10, 0, 0, 1]);
        link.v4.extend(link.v4.clone());
        link.multicast = true;
        let targets: Vec<String> = targets(&link, 2425).iter().map(ToString::to_string).collect();
        assert_eq!(
            targets,
            ["255.255.255.255:2425", "10.0.0.255:2425", "[ff15::979]:2425", "[ff02::1%4]:2425"]
        );
    }
}

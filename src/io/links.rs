//! The links (network interfaces) of this host: which there are, which are used, and when they
//! change.
//!
//! Addresses, masks and broadcast addresses come from the system's list (`if-addrs`). A netlink
//! socket only wakes us up; its messages are not read, the list is. Nothing here opens a UDP
//! socket: that is `sockets.rs`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};
use if_addrs::{IfAddr, Interface};
use tokio::time::{Instant, sleep_until};

use crate::node::{Ipv4Net, Link, LinkId};

/// A link as the system lists it.
#[derive(Clone, PartialEq, Debug)]
pub struct Listed {
    /// The link, with its addresses.
    pub link: Link,
    /// It carries datagrams. A link that is switched off, whose cable is out, or that waits to be
    /// let in (802.1X, Wi-Fi) keeps its addresses, but nothing leaves through it.
    pub up: bool,
}

/// Which links are used: by default all of them, loopback included, but for
/// [ports of bridges](is_port_of_a_bridge).
#[derive(Clone, Debug)]
pub struct Selection {
    bind: Vec<IpAddr>,
    skip: GlobSet,
}

impl Selection {
    /// Uses the links that own one of `bind` (all but ports of bridges, if it is empty), without
    /// those whose names match one of `skip` (names or globs: `docker*`).
    pub fn new(bind: &[IpAddr], skip: &[String]) -> Result<Self, globset::Error> {
        let mut globs = GlobSetBuilder::new();
        for pattern in skip {
            globs.add(Glob::new(pattern)?);
        }
        Ok(Self { bind: bind.to_vec(), skip: globs.build()? })
    }

    /// Whether `name` is left out by the settings.
    pub fn skips(&self, name: &str) -> bool {
        self.skip.is_match(name)
    }

    /// Whether some links of this host are left out, so that a wildcard socket would hear more
    /// than it should.
    pub(crate) fn is_partial(&self) -> bool {
        !self.bind.is_empty() || !self.skip.is_empty()
    }

    /// The loopback address to bind exactly, if one was asked for: with it several nodes share a
    /// port on one host (`--bind 127.0.0.2`).
    pub(crate) fn exact_loopback(&self) -> Option<Ipv4Addr> {
        self.bind.iter().find_map(|addr| match addr {
            IpAddr::V4(addr) if addr.is_loopback() => Some(*addr),
            _ => None,
        })
    }

    /// The chosen links as they are now, by index. Those that are not up are used as soon as they
    /// are.
    pub fn read(&self) -> io::Result<Vec<Listed>> {
        Ok(self.choose(all(if_addrs::get_if_addrs()?)))
    }

    fn choose(&self, mut links: Vec<Listed>) -> Vec<Listed> {
        links.retain(|listed| !self.skips(&listed.link.name));
        if self.bind.is_empty() {
            links.retain(|listed| !is_port_of_a_bridge(&listed.link));
        } else {
            links.retain_mut(|listed| self.wants(&mut listed.link));
        }
        links
    }

    /// Whether `--bind` names this link; an exact loopback address replaces the link's own ones.
    fn wants(&self, link: &mut Link) -> bool {
        if let Some(addr) = self.exact_loopback()
            && is_loopback(link)
        {
            let broadcast = Some(LOOPBACK_BROADCAST);
            link.v4 = vec![Ipv4Net { addr, broadcast, limited: false }];
            link.v6.clear();
            return true;
        }
        self.bind.iter().any(|addr| link.owns(*addr))
    }
}

/// Every link of this host that has an address, by index, used or not.
pub fn read_all() -> io::Result<Vec<Listed>> {
    Ok(all(if_addrs::get_if_addrs()?))
}

fn all(interfaces: Vec<Interface>) -> Vec<Listed> {
    let mut links: Vec<Listed> = Vec::new();
    for interface in interfaces {
        let Some(index) = interface.index else { continue };
        let id = LinkId(index);
        let at = links.iter().position(|listed| listed.link.id == id).unwrap_or_else(|| {
            let (name, v4, v6) = (interface.name.clone(), Vec::new(), Vec::new());
            let link = Link { id, name, v4, v6, multicast: false };
            links.push(Listed { link, up: is_up(&interface) });
            links.len() - 1
        });
        let link = &mut links[at].link;
        match &interface.addr {
            IfAddr::V4(addr) => link.v4.push(net(&interface, addr)),
            IfAddr::V6(addr) => link.v6.push(addr.ip),
        }
    }
    links.sort_by_key(|listed| listed.link.id);
    links
}

/// Whether a link carries datagrams. On Unix the list knows but one flag, `IFF_RUNNING`, and calls
/// a link without it `Unknown`. Linux sets the flag for the states `up` and `unknown` (loopback,
/// tunnels and others that do not tell), and for none of `down`, `lowerlayerdown`, `notpresent`,
/// `dormant` and `testing` (netdevice(7), RFC 2863).
fn is_up(interface: &Interface) -> bool {
    interface.is_oper_up()
}

/// Reaches every socket on this host that is bound to it.
pub(crate) const LOOPBACK_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// The index of the link of this name, if this host has one with an address.
pub fn link_index(name: &str) -> Option<u32> {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    all.iter().find(|interface| interface.name == name)?.index
}

/// Whether this is the link of the host with itself.
pub(crate) fn is_loopback(link: &Link) -> bool {
    link.v4.iter().any(|net| net.addr.is_loopback()) || link.v6.iter().any(Ipv6Addr::is_loopback)
}

/// Whether this looks like one of the many ends of containers on a bridge, which have no address of
/// their own: what is said there, the bridge has said already. `--bind` names one all the same.
pub fn is_port_of_a_bridge(link: &Link) -> bool {
    let no_own = link.v4.is_empty() && link.v6.iter().all(Ipv6Addr::is_unicast_link_local);
    no_own && Kind::of(&link.name) == Kind::Container
}

/// Whom a broadcast from this address reaches. An address that was set up without a broadcast
/// address (the system's list then repeats the address itself) has one all the same: the kernel
/// takes the last address of the subnet for one. A point-to-point link and the loopback have none.
fn net(interface: &Interface, addr: &if_addrs::Ifv4Addr) -> Ipv4Net {
    let none = Ipv4Net { addr: addr.ip, broadcast: None, limited: false };
    if addr.ip.is_loopback() || interface.is_p2p || addr.prefixlen > 30 {
        return none;
    }
    let last = Ipv4Addr::from_bits(addr.ip.to_bits() | !addr.netmask.to_bits());
    let given = addr.broadcast.filter(|given| !given.is_unspecified() && *given != addr.ip);
    let broadcast = given.unwrap_or(last);
    Ipv4Net { broadcast: Some(broadcast), limited: true, ..none }
}

/// What a link looks like by its name. By this alone none is left out: see [`is_port_of_a_bridge`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A network card, or nothing known.
    Ordinary,
    /// The host's link with itself.
    Loopback,
    /// Made for containers or virtual machines.
    Container,
    /// A tunnel.
    Vpn,
}

impl Kind {
    /// Guesses from the names that Docker, Podman, libvirt, LXC and Kubernetes give to bridges and
    /// pairs, and from those usual for tunnels.
    pub fn of(name: &str) -> Self {
        const CONTAINER: &[&str] = &[
            "docker", "br-", "veth", "virbr", "vnet", "lxc", "lxd", "podman", "cni", "cali",
            "flannel", "vmnet", "vboxnet",
        ];
        const VPN: &[&str] = &["tun", "tap", "wg", "ppp", "ipsec", "tailscale", "zt", "utun"];
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        match name {
            "lo" | "lo0" => Self::Loopback,
            _ if begins(CONTAINER) => Self::Container,
            _ if begins(VPN) => Self::Vpn,
            _ => Self::Ordinary,
        }
    }
}

/// How long a change of the links may take to settle before the list is read again: the messages
/// of one change (link up, address, IPv6 address) come within some milliseconds.
const SETTLE: Duration = Duration::from_millis(200);

/// Wakes up when a link or an address of this host may have changed.
#[derive(Debug)]
pub(crate) struct Watch {
    signal: Signal,
    settled: Option<Instant>,
}

impl Watch {
    /// Needs a tokio runtime.
    pub(crate) fn new() -> Self {
        Self { signal: Signal::new(), settled: None }
    }

    /// Resolves when the list should be read again. May be dropped and called again at any time:
    /// no change is forgotten.
    pub(crate) async fn changed(&mut self) {
        let settled = if let Some(settled) = self.settled {
            settled
        } else {
            self.signal.wait().await;
            *self.settled.insert(Instant::now() + SETTLE)
        };
        sleep_until(settled).await;
        self.signal.clear();
        self.settled = None;
    }
}

/// How often the list is read where no signal is to be had; changes shall be noticed within 5 s.
const POLL: Duration = Duration::from_secs(3);

#[cfg(target_os = "linux")]
mod signal {
    use std::io;

    use netlink_sys::protocols::NETLINK_ROUTE;
    use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
    use tokio::time::sleep;

    use super::POLL;

    /// A netlink socket that hears of changes; none if the system does not give one.
    #[derive(Default)]
    pub(super) struct Signal(Option<TokioSocket>);

    // Bits of the groups of rtnetlink(7).
    const GROUPS: u32 = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
    const RTMGRP_LINK: u32 = 0x1;
    const RTMGRP_IPV4_IFADDR: u32 = 0x10;
    const RTMGRP_IPV6_IFADDR: u32 = 0x100;

    impl Signal {
        pub(super) fn new() -> Self {
            let socket = open().inspect_err(|error| {
                tracing::warn!("no netlink socket, links are polled: {error}");
            });
            Self(socket.ok())
        }

        pub(super) async fn wait(&mut self) {
            match &mut self.0 {
                // An error is a signal too: ENOBUFS says that messages were lost.
                Some(socket) => drop(socket.recv(&mut &mut [0; 64][..]).await),
                None => sleep(POLL).await,
            }
        }

        /// Forgets the signals that came meanwhile.
        pub(super) fn clear(&mut self) {
            let Some(socket) = &mut self.0 else { return };
            while socket.socket_mut().recv(&mut &mut [0; 64][..], 0).is_ok() {}
        }
    }

    fn open() -> io::Result<TokioSocket> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
        Ok(socket)
    }

    impl std::fmt::Debug for Signal {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_tuple("Signal").field(&self.0.is_some()).finish()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod signal {
    use tokio::time::sleep;

    use super::POLL;

    /// The passing of time.
    #[derive(Debug)]
    pub(super) struct Signal;

    impl Signal {
        pub(super) fn new() -> Self {
            Self
        }

        pub(super) async fn wait(&mut self) {
            sleep(POLL).await;
        }

        pub(super) fn clear(&mut self) {}
    }
}

use signal::Signal;

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(
        name: &str,
        index: u32,
        ip: [u8; 4],
        prefix: u8,
        broadcast: Option<[u8; 4]>,
    ) -> Interface {
        Interface {
            name: name.into(),
            addr: IfAddr::V4(if_addrs::Ifv4Addr {
                ip: ip.into(),
                netmask: Ipv4Addr::from_bits(!(u32::MAX >> prefix)),
                prefixlen: prefix,
                broadcast: broadcast.map(Into::into),
            }),
            index: Some(index),
            oper_status: if_addrs::IfOperStatus::Up,
            is_p2p: name.starts_with("tun"),
        }
    }

    fn host() -> Vec<Interface> {
        vec![
            v4("eth0", 2, [192, 168, 1, 5], 24, Some([192, 168, 1, 255])),
            v4("lo", 1, [127, 0, 0, 1], 8, None),
            v4("eth0", 2, [10, 0, 0, 5], 16, None),
            v4("eth0", 2, [10, 1, 0, 5], 24, Some([10, 1, 0, 5])),
            v4("tun0", 4, [10, 8, 0, 2], 24, None),
            v4("docker0", 5, [172, 17, 0, 1], 16, Some([172, 17, 255, 255])),
        ]
    }

    fn links(listed: Vec<Listed>) -> Vec<Link> {
        listed.into_iter().map(|listed| listed.link).collect()
    }

    fn choose(bind: &[&str], skip: &[&str]) -> Vec<Link> {
        let bind: Vec<IpAddr> = bind.iter().map(|addr| addr.parse().unwrap()).collect();
        let skip: Vec<String> = skip.iter().map(|&name| name.to_owned()).collect();
        links(Selection::new(&bind, &skip).unwrap().choose(all(host())))
    }

    fn names(links: &[Link]) -> Vec<&str> {
        links.iter().map(|link| link.name.as_str()).collect()
    }

    #[test]
    fn every_link_is_used_by_default_and_only_real_lans_are_broadcast_to() {
        let links = choose(&[], &[]);
        assert_eq!(names(&links), ["lo", "eth0", "tun0", "docker0"]);
        assert_eq!(links[0].v4[0].broadcast, None);
        assert!(!links[0].v4[0].limited);
        assert_eq!(links[1].v4[0].broadcast, Some([192, 168, 1, 255].into()));
        assert_eq!(links[1].v4[1].broadcast, Some([10, 0, 255, 255].into()));
        assert_eq!(links[1].v4[2].broadcast, Some([10, 1, 0, 255].into()));
        assert!(links[1].v4.iter().all(|net| net.limited));
        assert_eq!(links[2].v4[0].broadcast, None);
    }

    #[test]
    fn a_link_with_nothing_but_a_link_local_address_is_one() {
        let v6 = |name: &str, index, ip: &str| Interface {
            addr: IfAddr::V6(if_addrs::Ifv6Addr {
                ip: ip.parse().unwrap(),
                netmask: Ipv6Addr::UNSPECIFIED,
                prefixlen: 64,
                broadcast: None,
            }),
            ..v4(name, index, [0; 4], 0, None)
        };
        let interfaces = vec![
            v6("eth0", 2, "fe80::1"),
            v6("veth1a2b", 3, "fe80::2"),
            v6("veth3c4d", 4, "fd00::4"),
            v4("eth1", 5, [169, 254, 7, 7], 16, None),
        ];
        let every = links(all(interfaces.clone()));
        assert_eq!(names(&every), ["eth0", "veth1a2b", "veth3c4d", "eth1"]);
        let ports: Vec<_> = every.into_iter().filter(is_port_of_a_bridge).collect();
        assert_eq!(names(&ports), ["veth1a2b"]);
        let named = Selection::new(&["fe80::2".parse().unwrap()], &[]).unwrap();
        assert_eq!(
            names(&links(named.choose(all(interfaces.clone())))),
            ["veth1a2b"],
            "the user knows better"
        );
        let links = links(Selection::new(&[], &[]).unwrap().choose(all(interfaces)));
        assert_eq!(names(&links), ["eth0", "veth3c4d", "eth1"], "but no port of a bridge");
        assert_eq!(links[2].v4[0].broadcast, Some([169, 254, 255, 255].into()));
    }

    #[test]
    fn a_link_that_does_not_run_is_listed_as_not_up() {
        let mut interfaces = host();
        interfaces[0].oper_status = if_addrs::IfOperStatus::Unknown;
        let up = |listed: &[Listed]| -> Vec<bool> { listed.iter().map(|one| one.up).collect() };
        assert_eq!(up(&all(interfaces)), [true, false, true, true]);
        assert!(read_all().unwrap().iter().any(|one| is_loopback(&one.link) && one.up));
    }

    #[test]
    fn links_are_left_out_by_name_or_glob() {
        assert_eq!(names(&choose(&[], &["docker*", "tun0"])), ["lo", "eth0"]);
        assert!(Selection::new(&[], &["[".to_owned()]).is_err());
    }

    #[test]
    fn bind_chooses_the_links_that_own_the_addresses() {
        assert_eq!(names(&choose(&["10.0.0.5", "172.17.0.1"], &[])), ["eth0", "docker0"]);
        assert_eq!(names(&choose(&["10.9.9.9"], &[])), [""; 0]);
    }

    #[test]
    fn an_exact_loopback_address_broadcasts_on_the_loopback() {
        let links = choose(&["127.0.0.7"], &[]);
        assert_eq!(names(&links), ["lo"]);
        let broadcast = Some(LOOPBACK_BROADCAST);
        let net = Ipv4Net { addr: [127, 0, 0, 7].into(), broadcast, limited: false };
        assert_eq!(links[0].v4, [net]);
    }

    #[test]
    fn links_of_containers_and_tunnels_are_told_by_their_names() {
        assert_eq!(Kind::of("docker0"), Kind::Container);
        assert_eq!(Kind::of("veth1a2b"), Kind::Container);
        assert_eq!(Kind::of("wg0"), Kind::Vpn);
        assert_eq!(Kind::of("lo"), Kind::Loopback);
        assert_eq!(Kind::of("enp3s0"), Kind::Ordinary);
    }
}

//! Networks beyond our links, as they are written in the settings.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::node::Network;

/// Most addresses of one range: a /16.
const RANGE_MAX: u32 = 65_536;

/// A network, a range or a host of the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extra {
    /// As it was written.
    text: String,
    first: IpAddr,
    /// The last address of a range.
    last: Option<IpAddr>,
    port: Option<u16>,
}

impl Extra {
    /// Reads `10.1.0.7`, `10.1.0.7:2426`, `10.1.0.255`, `10.1.0.0/24`, `10.1.0.5-10.1.0.90`,
    /// `fe80::7`, `[fe80::7]:2426`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some((network, prefix)) = text.split_once('/') {
            let range = subnet(network, prefix).map_err(|what| format!("'{text}': {what}"))?;
            return Self::range(text, range);
        }
        if let Some((first, last)) = text.split_once('-') {
            let address = |text: &str| {
                let parsed = text.trim().parse::<Ipv4Addr>();
                parsed.map_err(|_| format!("'{}' is no IPv4 address", text.trim()))
            };
            return Self::range(text, (address(first)?, address(last)?));
        }
        Self::parse_host(text)
    }

    /// Reads one address, with or without a port.
    pub(super) fn parse_host(text: &str) -> Result<Self, String> {
        let (first, port) = match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
            (Ok(addr), _) => (addr, None),
            (_, Ok(addr)) if addr.port() > 0 => (addr.ip(), Some(addr.port())),
            _ => return Err(format!("'{text}' is no address, network or range")),
        };
        if !is_reachable(first) {
            return Err(format!("'{text}' is no address of a host or a network"));
        }
        Ok(Self { text: text.to_owned(), first, last: None, port })
    }

    fn range(text: &str, (first, last): (Ipv4Addr, Ipv4Addr)) -> Result<Self, String> {
        if last < first {
            return Err(format!("'{text}' ends before it begins"));
        }
        if u32::from(last) - u32::from(first) >= RANGE_MAX {
            return Err(format!("'{text}' has more than 65,536 addresses"));
        }
        if !is_reachable(first.into()) || !is_reachable(last.into()) {
            return Err(format!("'{text}' is not a range of hosts"));
        }
        Ok(Self { text: text.to_owned(), first: first.into(), last: Some(last.into()), port: None })
    }

    /// The first address; `port` where none was written.
    pub(super) fn first(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.first, self.port.unwrap_or(port))
    }

    /// As the node takes it; `port` where none was written.
    pub(super) fn network(&self, port: u16) -> Network {
        match self.last {
            None => Network::Addr(self.first(port)),
            Some(last) => {
                Network::Range(self.first(port), SocketAddr::new(last, self.port.unwrap_or(port)))
            }
        }
    }
}

impl fmt::Display for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// The hosts of a network: without its own address and its broadcast address, where it has them.
fn subnet(network: &str, prefix: &str) -> Result<(Ipv4Addr, Ipv4Addr), &'static str> {
    let network: Ipv4Addr = network.parse().map_err(|_| "only IPv4 networks can be asked")?;
    let prefix: u32 = prefix.parse().map_err(|_| "the prefix is a number, 16 to 32")?;
    match prefix {
        0..16 => Err("it has more than 65,536 addresses, the shortest prefix is 16"),
        16..=32 => {
            let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let (first, last) = (u32::from(network) & !hosts, u32::from(network) | hosts);
            let inner = u32::from(prefix < 31);
            Ok((Ipv4Addr::from(first + inner), Ipv4Addr::from(last - inner)))
        }
        _ => Err("the prefix is a number, 16 to 32"),
    }
}

/// Whether a datagram can be meant for this address: not "this network", not a group, not the
/// limited broadcast (every link has that anyway), not reserved.
fn is_reachable(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => matches!(addr.octets()[0], 1..224),
        IpAddr::V6(addr) => !addr.is_unspecified() && !addr.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Result<Network, String> {
        Extra::parse(text).map(|extra| {
            assert_eq!(extra.to_string(), text);
            extra.network(2425)
        })
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_is_read() {
        let range = |first, last| Ok(Network::Range(addr(first), addr(last)));
        for (text, expected) in [
            ("10.1.0.255", Ok(Network::Addr(addr("10.1.0.255:2425")))),
            ("10.1.0.7:2426", Ok(Network::Addr(addr("10.1.0.7:2426")))),
            ("fe80::7", Ok(Network::Addr(addr("[fe80::7]:2425")))),
            ("[fe80::7]:2426", Ok(Network::Addr(addr("[fe80::7]:2426")))),
            ("10.1.0.0/24", range("10.1.0.1:2425", "10.1.0.254:2425")),
            ("10.1.77.5/16", range("10.1.0.1:2425", "10.1.255.254:2425")),
            ("10.1.0.4/31", range("10.1.0.4:2425", "10.1.0.5:2425")),
            ("10.1.0.4/32", range("10.1.0.4:2425", "10.1.0.4:2425")),
            ("10.1.0.5-10.1.0.90", range("10.1.0.5:2425", "10.1.0.90:2425")),
            ("10.1.0.5 - 10.1.0.5", range("10.1.0.5:2425", "10.1.0.5:2425")),
            ("10.0.0.0-10.0.255.255", range("10.0.0.0:2425", "10.0.255.255:2425")),
        ] {
            assert_eq!(network(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_large_or_no_host_is_refused() {
        for text in [
            "",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "226.81.9.8",
            "255.255.255.255",
            "::",
            "ff02::1",
            "10.0.0.1:0",
            "10.0.0.0/15",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "0.0.0.0/16",
            "224.0.0.0/24",
            "fe80::/64",
            "10.0.0.9-10.0.0.5",
            "10.0.0.0-10.1.0.0",
            "223.255.255.0-224.0.0.5",
            "10.0.0.5-90",
            "10.0.0.5-",
            "gateway",
            "http://10.0.0.1",
            "10.0.0",
            "4294967295.0.0.0/16",
        ] {
            let error = network(text).expect_err(text);
            assert!(error.contains(&format!("'{text}'")) || text.contains('-'), "{error}");
        }
    }
}

//! Host lists: one client tells another whom it sees (wire reference, 10).
//!
//! ```text
//! list = next BEL count BEL *( user BEL host BEL status BEL addr BEL port BEL nick BEL group BEL )
//! ```
//!
//! All numbers are decimal. The port has its two bytes swapped, and an empty nickname or group is
//! one BS.

use std::net::IpAddr;

use super::command::{Command, CommandWord, Options};
use super::packet::{Head, name};
use super::scan::{self, BEL};
use super::text::{Charset, Ladder};

/// A part of a host list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostList {
    /// Index to ask for next; 0 when this is the last part.
    pub next: u32,
    /// Hosts in this part, as the sender counted them.
    pub count: u32,
    /// The hosts; without those that cannot be read or have an address nobody can have.
    pub hosts: Vec<HostEntry>,
}

/// One host of a list. Hearsay: do not send to its address before it answered for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostEntry {
    /// Log-on name.
    pub user: String,
    /// Computer name.
    pub host: String,
    /// Option bits of its last entry; see [`HostEntry::is_gone`].
    pub status: u32,
    /// Its address.
    pub addr: IpAddr,
    /// Its port, in natural order (the wire swaps its bytes).
    pub port: u16,
    /// Nickname; may be empty.
    pub nick: String,
    /// Group; may be empty.
    pub group: String,
}

/// Longest part of a host list, in bytes with its header (wire reference, 10).
pub const PART_MAX: usize = 32 * 1024 - 1;

/// Stands for an empty nickname or group.
const EMPTY: u8 = 0x08;

impl HostList {
    /// Reads the main text of an `ANSLIST`; none if its counters cannot be read. A host at an
    /// address that is a multicast group, a broadcast, or none at all is left out
    /// (wire reference, 14.11).
    pub(super) fn read(main: &[u8], ladder: &Ladder) -> Option<Self> {
        let (next, rest) = scan::split_once(main, BEL);
        let (count, rest) = scan::split_once(rest?, BEL);
        let charset = ladder.judge(&[main]).charset;
        let mut fields = rest.unwrap_or_default().split(|&byte| byte == BEL);
        let mut hosts = Vec::new();
        while let Some(host) = take_fields(&mut fields) {
            hosts.extend(HostEntry::read(&host, charset));
        }
        Some(Self { next: padded(next)?, count: padded(count)?, hosts })
    }
}

impl HostEntry {
    /// Whether it left: a status of 0, or [`Command::BR_EXIT`] in its low byte (wire reference, 10).
    pub fn is_gone(&self) -> bool {
        self.status == 0 || CommandWord(self.status).command() == Command::BR_EXIT
    }

    fn read(fields: &[&[u8]; 7], charset: Charset) -> Option<Self> {
        let [user, host, status, addr, port, nick, group] = *fields;
        let addr: IpAddr = str::from_utf8(addr).ok()?.parse().ok()?;
        let port = u16::try_from(scan::decimal(port)?).ok()?.swap_bytes();
        let text = |bytes| if bytes == [EMPTY] { String::new() } else { name(bytes, charset) };
        (port != 0 && is_a_host(addr)).then_some(())?;
        Some(Self {
            user: name(user, charset),
            host: name(host, charset),
            status: u32::try_from(scan::decimal(status)?).ok()?,
            addr,
            port,
            nick: text(nick),
            group: text(group),
        })
    }

    fn write(&self, charset: Charset, out: &mut Vec<u8>) {
        for text in [&self.user, &self.host] {
            write_text(text, charset, out);
        }
        let (status, addr, port) = (self.status, self.addr, self.port.swap_bytes());
        out.extend_from_slice(format!("{status}\x07{addr}\x07{port}\x07").as_bytes());
        for text in [&self.nick, &self.group] {
            write_text(text, charset, out);
        }
    }
}

/// Writes the part of a host list that begins at index `from`: as many of `hosts` as fit into one
/// packet of at most [`PART_MAX`] bytes. The packet names the index to ask for next, 0 behind the
/// last host. Names are in `charset`; controls in them become `;`, what it lacks becomes `?`.
pub fn emit_hosts(
    head: &Head<'_>,
    options: Options,
    hosts: &[HostEntry],
    from: u32,
    charset: Charset,
) -> Vec<u8> {
    // Both counters, their BELs and the NUL at the end.
    const COUNTERS_MAX: usize = 2 * (10 + 1) + 1;
    let mut out = Vec::with_capacity(1024);
    head.emit(CommandWord::new(Command::ANSLIST, options), charset, &mut out);
    let room = PART_MAX.saturating_sub(out.len() + COUNTERS_MAX);
    let (mut entries, mut count, mut next) = (Vec::new(), 0_u32, from);
    for host in hosts.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        let end = entries.len();
        host.write(charset, &mut entries);
        if entries.len() <= room {
            count += 1;
        } else {
            entries.truncate(end);
            // A host that fits into no part at all is passed over.
            if count > 0 {
                break;
            }
        }
        next += 1;
    }
    if usize::try_from(next).is_ok_and(|next| next >= hosts.len()) {
        next = 0;
    }
    out.extend_from_slice(format!("{next:5}\x07{count:5}\x07").as_bytes());
    out.extend_from_slice(&entries);
    out.push(0);
    out
}

fn write_text(text: &str, charset: Charset, out: &mut Vec<u8>) {
    if text.is_empty() {
        out.push(EMPTY);
    }
    for character in text.chars() {
        charset.encode_char(if character.is_control() { ';' } else { character }, out);
    }
    out.push(BEL);
}

/// The seven fields of the next host; none if fewer are left.
fn take_fields<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Option<[&'a [u8]; 7]> {
    let mut host = [&b""[..]; 7];
    for field in &mut host {
        *field = fields.next()?;
    }
    Some(host)
}

/// A counter, written with `%5d`.
fn padded(digits: &[u8]) -> Option<u32> {
    u32::try_from(scan::decimal(digits.trim_ascii())?).ok()
}

fn is_a_host(addr: IpAddr) -> bool {
    match addr.to_canonical() {
        IpAddr::V4(addr) => {
            let [network, ..] = addr.octets();
            network != 0 && !addr.is_multicast() && !addr.is_broadcast()
        }
        IpAddr::V6(addr) => !addr.is_multicast() && !addr.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Body, Hint, Packet, PacketNo, RawPacket};

    fn read(bytes: &[u8]) -> Option<HostList> {
        match Packet::read(&RawPacket::parse(bytes).unwrap(), &Hint::default()).body {
            Body::Hosts(list) => Some(list),
            _ => None,
        }
    }

    fn host(number: u16) -> HostEntry {
        HostEntry {
            user: format!("user{number}"),
            host: "王的电脑".into(),
            status: 0x0020_0000,
            addr: IpAddr::from([10, 0, 0, 1]),
            port: 2425,
            nick: "小王".into(),
            group: String::new(),
        }
    }

    const HEAD: Head<'_> = Head { version: "1", number: PacketNo(1), user: "u", host: "h" };

    #[test]
    fn addresses_nobody_has_are_left_out() {
        for addr in [
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "239.1.2.3",
            "::",
            "ff02::1",
            "::ffff:224.0.0.1",
            "10.0.0",
            "x",
            "",
        ] {
            let list = format!(
                "1:1:u:h:19:    0\x07    1\x07a\x07b\x071\x07{addr}\x0730985\x07n\x07g\x07"
            );
            assert_eq!(read(list.as_bytes()).unwrap().hosts, [], "{addr}");
        }
        for (status, port) in [("-1", "30985"), ("1", "65536"), ("1", "0"), ("1", "x")] {
            let list = format!(
                "1:1:u:h:19:0\x071\x07a\x07b\x07{status}\x0710.0.0.1\x07{port}\x07n\x07g\x07"
            );
            assert_eq!(read(list.as_bytes()).unwrap().hosts, [], "{status} {port}");
        }
    }

    #[test]
    fn a_list_without_counters_is_none() {
        for main in ["", "0", "x\x070\x07", "0\x07x\x07", "-1\x070\x07"] {
            assert_eq!(read(format!("1:1:u:h:19:{main}").as_bytes()), None, "{main:?}");
        }
    }

    #[test]
    fn a_cut_list_keeps_its_whole_hosts() {
        let bytes = emit_hosts(&HEAD, Options::empty(), &[host(1), host(2)], 0, Charset::GBK);
        let cut = bytes.get(..bytes.len() - 4).unwrap();
        assert_eq!(read(cut).unwrap().hosts, [host(1)]);
    }

    #[test]
    fn long_lists_go_out_in_parts_that_fit() {
        let hosts: Vec<_> = (0..3_000).map(host).collect();
        let (mut read_back, mut from, mut parts) = (Vec::new(), 0, 0);
        loop {
            let bytes = emit_hosts(&HEAD, Options::empty(), &hosts, from, Charset::GBK);
            assert!(bytes.len() <= PART_MAX);
            let list = read(&bytes).unwrap();
            assert_eq!(list.count as usize, list.hosts.len());
            read_back.extend(list.hosts);
            parts += 1;
            from = list.next;
            if from == 0 {
                break;
            }
        }
        assert_eq!(read_back, hosts);
        assert!(parts > 3, "{parts}");
        assert_eq!(
            read(&emit_hosts(&HEAD, Options::empty(), &hosts, 9_999, Charset::GBK)).unwrap(),
            HostList { next: 0, count: 0, hosts: vec![] }
        );
    }
}

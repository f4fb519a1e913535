//! Datagrams out of a capture file (pcap, pcapng), also while it is still being written.
//!
//! Understands Ethernet, raw IP, loopback and Linux "any" captures, IPv4 and IPv6, and puts
//! fragments together. TCP is looked at segment by segment: requests are packets of one segment,
//! what follows them is file data and not shown.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};

use etherparse::defrag::IpDefragPool;
use etherparse::{
    IpNumber, LaxNetSlice, LaxSlicedPacket, NetSlice, SlicedPacket, TcpSlice, TransportSlice,
    UdpSlice,
};
use pcap_parser::pcapng::Block;
use pcap_parser::{Linktype, PcapBlockOwned, PcapError, create_reader};

use super::{Datagram, Transport};
use crate::cli::error::{CliError, Exit};
use crate::node::UnixMillis;
use crate::wire::RawPacket;

/// The first four bytes of captures: both byte orders of pcap with micro- and nanoseconds, pcapng.
const MAGICS: [[u8; 4]; 5] = [
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    MAGIC_NG,
];
const MAGIC_NG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Large enough for the largest block a capture of LAN traffic has.
const BUFFER: usize = 1 << 18;

/// Fragments that wait for their siblings are dropped after this many packets.
const FRAGMENT_SPAN: usize = 4096;

/// Whether a file that begins with these bytes is a capture.
pub(super) fn is_capture(head: &[u8]) -> bool {
    head.first_chunk().is_some_and(|head| MAGICS.contains(head))
}

/// Reads on behind the first four bytes until the file's header is whole: the parser judges what
/// its first read gives it, and a pipe gives little at a time.
fn header(input: &mut impl Read, mut head: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut read_to = |head: &mut Vec<u8>, size: usize| {
        let missing = u64::try_from(size.saturating_sub(head.len())).unwrap_or(0);
        input.take(missing).read_to_end(head)
    };
    if head != MAGIC_NG {
        read_to(&mut head, 24)?;
        return Ok(head);
    }
    read_to(&mut head, 12)?;
    let field = |at: usize| head.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied();
    let length = match (field(4), field(8)) {
        (Some(length), Some([0x1a, 0x2b, 0x3c, 0x4d])) => u32::from_be_bytes(length),
        (Some(length), _) => u32::from_le_bytes(length),
        _ => 0,
    };
    let length = usize::try_from(length).unwrap_or(BUFFER).min(BUFFER);
    read_to(&mut head, length)?;
    Ok(head)
}

/// Calls `each` with every datagram to or from `port` in the capture, of which `head` was read.
pub(super) fn read(
    head: Vec<u8>,
    mut input: impl Read + Send,
    port: u16,
    mut each: impl FnMut(Datagram) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let head = header(&mut input, head)
        .map_err(|error| CliError::new(Exit::Partly, "cannot read the capture").because(&error))?;
    let input = io::Cursor::new(head).chain(input);
    let mut reader = create_reader(BUFFER, input).map_err(|error| broken(&error))?;
    let mut interfaces = Interfaces::default();
    let mut frames = Frames { port, fragments: IpDefragPool::new(), seen: 0 };
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                let frame = interfaces.frame(&block);
                let datagram = frame.and_then(|Frame { kind, at, bytes }| {
                    Some(Datagram { at, ..frames.datagram(kind, bytes)? })
                });
                reader.consume(offset);
                if let Some(datagram) = datagram {
                    each(datagram)?;
                }
            }
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|error| broken(&error))?;
            }
            Err(PcapError::Eof) => return Ok(()),
            // It was interrupted, or is still being written.
            Err(PcapError::UnexpectedEof) => {
                return Err(CliError::new(
                    Exit::Partly,
                    "the capture ends in the middle of a packet",
                ));
            }
            Err(error) => return Err(broken(&error)),
        }
    }
}

/// What is wrong with a capture.
fn broken(error: &PcapError<&[u8]>) -> CliError {
    let why = match error {
        PcapError::Eof | PcapError::UnexpectedEof | PcapError::Incomplete(_) => {
            "it ends within its header"
        }
        PcapError::HeaderNotRecognized => "its header is neither that of pcap nor of pcapng",
        PcapError::BufferTooSmall => "it has a block that is longer than 256 KiB",
        PcapError::ReadError => "it cannot be read any further",
        PcapError::NomError(..) | PcapError::OwnedNomError(..) => "it has a block that is none",
    };
    CliError::new(Exit::Partly, format_args!("bad capture: {why}"))
}

/// A frame, of which a capture may have kept the beginning only.
struct Frame<'b> {
    kind: Linktype,
    /// When it was captured.
    at: Option<UnixMillis>,
    bytes: &'b [u8],
}

impl<'b> Frame<'b> {
    fn new(kind: Linktype, at: Option<UnixMillis>, bytes: &'b [u8], length: u32) -> Option<Self> {
        // pcapng pads frames to four bytes.
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
        Some(Self { kind, at, bytes: bytes.get(..length)? })
    }
}

/// The interfaces a capture has named so far.
#[derive(Default)]
struct Interfaces(Vec<Interface>);

impl Interfaces {
    /// The frame of a block, if it is one; else what it says of interfaces is noted.
    fn frame<'b>(&mut self, block: &'b PcapBlockOwned<'_>) -> Option<Frame<'b>> {
        let Self(all) = self;
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let nanos = header.is_nanosecond_precision();
                let ticks = if nanos { 1_000_000_000 } else { 1_000_000 };
                *all = vec![Interface { kind: header.network, ticks }];
                None
            }
            PcapBlockOwned::Legacy(frame) => {
                let from = all.first()?;
                let ticks = u64::from(frame.ts_sec)
                    .saturating_mul(from.ticks)
                    .saturating_add(u64::from(frame.ts_usec));
                Frame::new(from.kind, from.time(ticks), frame.data, frame.caplen)
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                all.clear();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(named)) => {
                let ticks = named.ts_resolution().filter(|&ticks| ticks > 0);
                let ticks = ticks.unwrap_or(1_000_000);
                all.push(Interface { kind: named.linktype, ticks });
                None
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(frame)) => {
                let from = all.get(usize::try_from(frame.if_id).ok()?)?;
                let ticks = u64::from(frame.ts_high) << 32 | u64::from(frame.ts_low);
                Frame::new(from.kind, from.time(ticks), frame.data, frame.caplen)
            }
            PcapBlockOwned::NG(Block::SimplePacket(frame)) => {
                Frame::new(all.first()?.kind, None, frame.data, frame.origlen)
            }
            PcapBlockOwned::NG(_) => None,
        }
    }
}

/// What a capture says of an interface.
#[derive(Clone, Copy)]
struct Interface {
    kind: Linktype,
    /// Ticks of its clock in a second.
    ticks: u64,
}

impl Interface {
    fn time(self, ticks: u64) -> Option<UnixMillis> {
        let seconds = ticks.checked_div(self.ticks)?;
        let rest = u128::from(ticks % self.ticks) * 1000 / u128::from(self.ticks);
        let millis = seconds.checked_mul(1000)?.checked_add(u64::try_from(rest).ok()?)?;
        i64::try_from(millis).ok().map(UnixMillis)
    }
}

/// Takes frames apart and puts fragments together.
struct Frames {
    port: u16,
    fragments: IpDefragPool<usize, ()>,
    seen: usize,
}

impl Frames {
    fn datagram(&mut self, kind: Linktype, frame: &[u8]) -> Option<Datagram> {
        self.seen += 1;
        let strict = match network(kind, frame)? {
            Layer::Ethernet(frame) => SlicedPacket::from_ethernet(frame).ok(),
            Layer::Ip(frame) => SlicedPacket::from_ip(frame).ok(),
        };
        let Some(packet) = strict else { return self.cut_datagram(kind, frame) };
        let (from, to) = match packet.net.as_ref()? {
            NetSlice::Ipv4(ip) => {
                (IpAddr::V4(ip.header().source_addr()), IpAddr::V4(ip.header().destination_addr()))
            }
            NetSlice::Ipv6(ip) => {
                (IpAddr::V6(ip.header().source_addr()), IpAddr::V6(ip.header().destination_addr()))
            }
            NetSlice::Arp(_) => return None,
        };
        if packet.is_ip_payload_fragmented() {
            let (now, oldest) = (self.seen, self.seen.saturating_sub(FRAGMENT_SPAN));
            self.fragments.retain(|&at| at >= oldest);
            let whole = self.fragments.process_sliced_packet(&packet, now, ()).ok()??;
            let segment = match whole.ip_number {
                IpNumber::UDP => {
                    UdpSlice::from_slice(&whole.payload).ok().as_ref().map(Segment::udp)
                }
                IpNumber::TCP => {
                    TcpSlice::from_slice(&whole.payload).ok().as_ref().map(Segment::tcp)
                }
                _ => None,
            };
            let datagram = segment.and_then(|segment| self.pick(&segment, from, to));
            self.fragments.return_buf(whole);
            return datagram;
        }
        self.pick(&Segment::of(packet.transport.as_ref()?)?, from, to)
    }

    /// A frame that the capture did not keep whole.
    fn cut_datagram(&self, kind: Linktype, frame: &[u8]) -> Option<Datagram> {
        let packet = match network(kind, frame)? {
            Layer::Ethernet(frame) => LaxSlicedPacket::from_ethernet(frame).ok()?,
            Layer::Ip(frame) => LaxSlicedPacket::from_ip(frame).ok()?,
        };
        let (from, to) = match packet.net? {
            LaxNetSlice::Ipv4(ip) => {
                (IpAddr::V4(ip.header().source_addr()), IpAddr::V4(ip.header().destination_addr()))
            }
            LaxNetSlice::Ipv6(ip) => {
                (IpAddr::V6(ip.header().source_addr()), IpAddr::V6(ip.header().destination_addr()))
            }
            LaxNetSlice::Arp(_) => return None,
        };
        let datagram = self.pick(&Segment::of(packet.transport.as_ref()?)?, from, to)?;
        Some(Datagram { cut: true, ..datagram })
    }

    fn pick(&self, segment: &Segment<'_>, from: IpAddr, to: IpAddr) -> Option<Datagram> {
        let &Segment { transport, ports: (source, destination), payload } = segment;
        let ours = source == self.port || destination == self.port;
        let file_data = transport == Transport::Tcp && RawPacket::parse(payload).is_err();
        if !ours || payload.is_empty() || file_data {
            return None;
        }
        Some(Datagram {
            from: Some(SocketAddr::new(from, source)),
            to: Some(SocketAddr::new(to, destination)),
            transport: Some(transport),
            ..Datagram::new(payload.to_vec())
        })
    }
}

struct Segment<'a> {
    transport: Transport,
    ports: (u16, u16),
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    fn of(transport: &TransportSlice<'a>) -> Option<Self> {
        match transport {
            TransportSlice::Udp(udp) => Some(Self::udp(udp)),
            TransportSlice::Tcp(tcp) => Some(Self::tcp(tcp)),
            _ => None,
        }
    }

    fn udp(udp: &UdpSlice<'a>) -> Self {
        let ports = (udp.source_port(), udp.destination_port());
        Self { transport: Transport::Udp, ports, payload: udp.payload() }
    }

    fn tcp(tcp: &TcpSlice<'a>) -> Self {
        let ports = (tcp.source_port(), tcp.destination_port());
        Self { transport: Transport::Tcp, ports, payload: tcp.payload() }
    }
}

enum Layer<'a> {
    Ethernet(&'a [u8]),
    Ip(&'a [u8]),
}

/// Takes off what some kinds of capture put before the IP header
/// (<https://www.tcpdump.org/linktypes.html>).
fn network(kind: Linktype, frame: &[u8]) -> Option<Layer<'_>> {
    match kind {
        Linktype::ETHERNET => Some(Layer::Ethernet(frame)),
        // 12 and 14 are what BSDs number raw IP.
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | Linktype(12 | 14) => {
            Some(Layer::Ip(frame))
        }
        Linktype::NULL => frame.get(4..).map(Layer::Ip),
        Linktype::LINUX_SLL => frame.get(16..).map(Layer::Ip),
        Linktype::LINUX_SLL2 => frame.get(20..).map(Layer::Ip),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;

    /// A capture of each kind, of one datagram.
    fn captures() -> [Vec<u8>; 2] {
        let mut frame = Vec::new();
        let udp = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(2425, 2425);
        udp.write(&mut frame, b"1:1:u:h:32:hi").expect("it fits");
        let length = u32::try_from(frame.len()).expect("it is small");
        let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        let pcap = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1, 1, 2, length, length]);
        frame.resize(frame.len().next_multiple_of(4), 0);
        let padded = u32::try_from(frame.len()).expect("it is small");
        let section = words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28]);
        let interface = words(&[1, 20, 1, 65_535, 20]);
        let packet = words(&[6, 32 + padded, 0, 0, 7, length, length]);
        let end = words(&[32 + padded]);
        [
            [pcap, frame[..length as usize].to_vec()].concat(),
            [section, interface, packet, frame, end].concat(),
        ]
    }

    fn count(capture: &[u8]) -> usize {
        let (head, rest) = capture.split_at(4);
        let mut count = 0;
        let _ = read(head.to_vec(), rest, 2425, |_| {
            count += 1;
            Ok(())
        });
        count
    }

    #[test]
    fn whole_captures_are_read() {
        assert_eq!(captures().map(|capture| count(&capture)), [1, 1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_broken_capture_does_no_harm(
            flips in prop::collection::vec((4usize..150, any::<u8>()), 1..4),
            cut in 4usize..150,
        ) {
            for mut capture in captures() {
                for &(at, byte) in &flips {
                    if let Some(place) = capture.get_mut(at) {
                        *place = byte;
                    }
                }
                prop_assert!(count(&capture) <= 1);
                capture.truncate(cut);
                prop_assert!(count(&capture) <= 1);
            }
        }
    }
}

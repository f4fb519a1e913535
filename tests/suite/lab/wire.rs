//! Everything on the cable, as the switch sees it.

use std::fmt;
use std::io::{BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::thread;

use encoding_rs::GB18030;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::heard::Heard;
use super::lan::{Lab, Program};

pub(super) const BR_ENTRY: u32 = 0x01;
pub(super) const BR_EXIT: u32 = 0x02;
pub(super) const ANSENTRY: u32 = 0x03;
pub(super) const SENDMSG: u32 = 0x20;
pub(super) const RECVMSG: u32 = 0x21;

/// Captures one bridge of the switch.
pub(super) struct Wire {
    pub(super) seen: Heard<Seen>,
    _tcpdump: Program,
}

impl Wire {
    /// Starts the capture and returns when it runs.
    pub(super) fn tap(lab: &Lab, bridge: &str) -> Self {
        let args = ["tcpdump", "-i", bridge, "-Z", "root", "-s2048", "-B16384", "--immediate-mode"];
        let mut tcpdump =
            lab.start("sw", &[&args[..], &["-U", "-w-", "udp port 2425"]].concat(), &[]);
        let out = tcpdump.stdout();
        tcpdump.talk.first("a capture", |line| line.contains("listening on"));
        let seen = Heard::new();
        let heard = seen.clone();
        thread::spawn(move || {
            read_capture(BufReader::new(out), &heard);
            heard.end();
        });
        Self { seen, _tcpdump: tcpdump }
    }

    /// Waits for a datagram of this mode from this address.
    #[track_caller]
    pub(super) fn first(&self, mode: u32, from: &str) -> Seen {
        self.seen.first(&format!("a packet {mode:#x} from {from}"), |seen| seen.is(mode, from))
    }

    /// All datagrams of this mode so far.
    pub(super) fn all(&self, mode: u32) -> Vec<Seen> {
        self.seen.all().into_iter().filter(|seen| seen.mode() == mode).collect()
    }
}

/// A datagram on the cable.
#[derive(Clone)]
pub(super) struct Seen {
    /// Microseconds since 1970, by the clock of the kernel.
    pub(super) at_us: i64,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    bytes: Vec<u8>,
}

impl Seen {
    fn field(&self, index: usize) -> &[u8] {
        self.bytes.splitn(6, |byte| *byte == b':').nth(index).unwrap_or_default()
    }

    fn decimal(&self, index: usize) -> u32 {
        std::str::from_utf8(self.field(index)).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub(super) fn number(&self) -> u32 {
        self.decimal(1)
    }

    pub(super) fn mode(&self) -> u32 {
        self.decimal(4) & 0xff
    }

    /// Whether it is of this mode and from this address.
    pub(super) fn is(&self, mode: u32, from: &str) -> bool {
        let from: IpAddr = from.parse().expect("an address");
        self.from.ip() == from && self.mode() == mode
    }

    /// The body up to its first NUL, as bytes.
    pub(super) fn body(&self) -> &[u8] {
        self.field(5).split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The number in the body of a receipt.
    pub(super) fn confirms(&self) -> Option<u32> {
        std::str::from_utf8(self.body()).ok()?.parse().ok()
    }

    /// The body read as GB18030.
    pub(super) fn chinese(&self) -> String {
        GB18030.decode_without_bom_handling(self.body()).0.into_owned()
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at_us.rem_euclid(60_000_000);
        let bytes = self.bytes.escape_ascii();
        write!(
            f,
            "{:02}.{:06} {} > {} {bytes}",
            seconds / 1_000_000,
            seconds % 1_000_000,
            self.from,
            self.to
        )
    }
}

/// Reads tcpdump's output until it ends. A record that is no UDP over IP is left out.
fn read_capture(mut input: impl Read, heard: &Heard<Seen>) -> Option<()> {
    let mut header = [0; 24];
    input.read_exact(&mut header).ok()?;
    assert_eq!(header[..4], 0xa1b2_c3d4_u32.to_le_bytes(), "a capture with microseconds");
    loop {
        let mut record = [0; 16];
        input.read_exact(&mut record).ok()?;
        let word =
            |place: usize| u32::from_le_bytes([0, 1, 2, 3].map(|index| record[place + index]));
        let mut frame = vec![0; usize::try_from(word(8)).ok()?];
        input.read_exact(&mut frame).ok()?;
        let at_us = i64::from(word(0)) * 1_000_000 + i64::from(word(4));
        if let Some(seen) = read_frame(at_us, &frame) {
            heard.push(seen);
        }
    }
}

fn read_frame(at_us: i64, frame: &[u8]) -> Option<Seen> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (from, to): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Ipv6(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Udp(udp)) = packet.transport else { return None };
    Some(Seen {
        at_us,
        from: SocketAddr::new(from, udp.source_port()),
        to: SocketAddr::new(to, udp.destination_port()),
        bytes: udp.payload().to_vec(),
    })
}

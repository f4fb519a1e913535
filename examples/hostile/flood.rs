//! A crowd on a real network: as many addresses of this machine as a test gave it.

#![expect(clippy::disallowed_types, reason = "it has sockets of its own")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use super::crowd::Crowd;

/// The first address of the crowd, which `ip route add local 10.77.64.0/20 dev lo` makes local.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 64, 1);
const SENDERS: u32 = 256;

/// Sends so many datagrams, as fast as they leave.
pub(crate) fn main(to: &str, count: u64) {
    let to = SocketAddr::from((to.parse::<Ipv4Addr>().expect("an address"), 2425));
    let sockets: Vec<UdpSocket> = (0..SENDERS)
        .map(|n| {
            let addr = Ipv4Addr::from_bits(FIRST.to_bits() + n);
            UdpSocket::bind((addr, 2425)).expect("the address is ours")
        })
        .collect();
    let mut crowd = Crowd::new(1);
    let (mut sent, mut refused) = (0_u64, 0_u64);
    for socket in sockets.iter().cycle().take(usize::try_from(count).expect("64 bits")) {
        let (_, bytes) = crowd.next();
        match socket.send_to(&bytes, to) {
            Ok(_) => sent += 1,
            Err(_) => refused += 1,
        }
    }
    println!(r#"{{"sent":{sent},"refused":{refused}}}"#);
}

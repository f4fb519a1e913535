//! Any host list: read as the body of an answer, and written back in parts that fit.

#![no_main]

use feige::wire::hosts::{PART_MAX, emit_hosts};
use feige::wire::{Body, Charset, Head, Hint, Options, Packet, PacketNo, RawPacket};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let datagram = [b"1:1:u:h:19:", bytes].concat();
    let Ok(raw) = RawPacket::parse(&datagram) else { return };
    let packet = Packet::read(&raw, &Hint::default());
    assert!(!format!("{packet:?}").is_empty());
    let Body::Hosts(list) = packet.body else { return };
    let head = Head { version: "1", number: PacketNo(1), user: "u", host: "h" };
    let part = emit_hosts(&head, Options::empty(), &list.hosts, 0, Charset::UTF_8);
    assert!(part.len() <= PART_MAX);
    let Ok(raw) = RawPacket::parse(&part) else { unreachable!("our own header") };
    let Body::Hosts(again) = Packet::read(&raw, &Hint::default()).body else {
        unreachable!("our own list")
    };
    assert!(again.hosts.len() <= list.hosts.len());
});

//! One datagram, read as from a stranger and as from a peer of each office.
#![no_main]

use feige::wire::{Hint, Office, Packet, RawPacket};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(raw) = RawPacket::parse(bytes) else { return };
    let mut again = Vec::new();
    raw.emit(&mut again);
    assert_eq!(again, bytes, "lossless");
    for office in ["auto", "gbk", "shift_jis", "utf-8"] {
        let office: Office = office.parse().expect("an office");
        let hint = Hint { office, ..Hint::default() };
        let packet = Packet::read(&raw, &hint);
        // Printing touches every field.
        let _ = format!("{packet:?} {:?} {}", packet.fingerprint(), packet.plain_user());
        let known = Hint { dialect: Some(packet.dialect), names: Some(packet.names), ..hint };
        let _ = Packet::read(&raw, &known);
    }
});

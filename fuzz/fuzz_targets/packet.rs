//! Any datagram: splitting loses nothing, reading never fails, and every field can be printed.

#![no_main]

use feige::wire::dialect::{DIALECTS, FeiqVersion};
use feige::wire::{Charset, Hint, Office, Packet, RawPacket, Sure, Verdict};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(raw) = RawPacket::parse(bytes) else { return };
    let mut written = Vec::new();
    raw.emit(&mut written);
    assert_eq!(written, bytes);
    let sections: Vec<_> = raw.sections().collect();
    print(&(raw, raw.main(), sections, FeiqVersion::parse(raw.version)));
    for hint in hints() {
        let packet = Packet::read(&raw, &hint);
        print(&(packet.fingerprint(), packet.plain_user(), &packet));
    }
});

/// Everything a node may know of a sender, as far as it changes how a packet is read.
fn hints() -> impl Iterator<Item = Hint> {
    let verdicts = [Charset::GBK, Charset::SHIFT_JIS, Charset::UTF_8]
        .into_iter()
        .flat_map(|charset| [Sure::Assumed, Sure::Declared].map(|sure| Verdict { charset, sure }));
    let known = verdicts.map(|verdict| Hint {
        names: Some(verdict),
        text: Some(verdict),
        dialect: DIALECTS.first().copied(),
        ..Hint::default()
    });
    let fixed = Hint { office: Office::Fixed(Charset::SHIFT_JIS), ..Hint::default() };
    [Hint::default(), fixed].into_iter().chain(known)
}

/// Printing touches every field there is.
fn print(value: &impl std::fmt::Debug) {
    assert!(!format!("{value:?}").is_empty());
}

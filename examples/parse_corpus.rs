//! Parses and decodes a corpus of packets for a while and prints how fast that went.
//!
//! `cargo run --release --example parse_corpus -- [FILE] SECONDS`
//!
//! The file holds packets one after the other, each behind its length (32 bits, little-endian);
//! without one 20,000 packets are made, in the mix of a busy office.
//! Every field of every packet becomes an owned value, as in a node that keeps what it reads.

#[path = "../benches/corpus.rs"]
mod corpus;

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use feige::wire::{Charset, Hint, Packet, RawPacket};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (made, read);
    let (packets, seconds) = match (arguments.next(), arguments.next()) {
        (Some(seconds), None) => {
            made = make();
            (made.iter().map(Vec::as_slice).collect(), seconds)
        }
        (Some(file), Some(seconds)) => {
            read = std::fs::read(file)?;
            (split(&read).ok_or("the corpus is cut off")?, seconds)
        }
        (None, _) => return Err("usage: parse_corpus [FILE] SECONDS".into()),
    };
    if packets.is_empty() {
        return Err("the corpus is empty".into());
    }
    let (count, spent) = run(&packets, Duration::try_from_secs_f64(seconds.parse()?)?);
    let pps = u128::from(count) * 1_000_000_000 / spent.as_nanos().max(1);
    println!(r#"{{"packets":{count},"ns":{},"pps":{pps}}}"#, spent.as_nanos());
    Ok(())
}

fn make() -> Vec<Vec<u8>> {
    let mut maker = corpus::Maker::new();
    (0..20_000).map(|_| maker.any()).collect()
}

/// The packets of a corpus; none if the last one is cut off.
fn split(mut corpus: &[u8]) -> Option<Vec<&[u8]>> {
    let mut packets = Vec::new();
    while let Some((length, rest)) = corpus.split_first_chunk() {
        let (packet, rest) =
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        packets.push(packet);
        corpus = rest;
    }
    corpus.is_empty().then_some(packets)
}

/// Reads the whole corpus again and again until `span` is over: packets read, and the time it took.
#[expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
fn run(packets: &[&[u8]], span: Duration) -> (u64, Duration) {
    let hint = Hint::default();
    let mut count = 0;
    let start = Instant::now();
    loop {
        for bytes in packets {
            if let Ok(raw) = RawPacket::parse(bytes) {
                // The version is the one field that `Packet` only interprets.
                let version = Charset::UTF_8.decode(raw.version).into_owned();
                let packet = Packet::read(&raw, &hint);
                black_box((&version, &packet));
            }
            count += 1;
        }
        let spent = start.elapsed();
        if spent >= span {
            return (count, spent);
        }
    }
}

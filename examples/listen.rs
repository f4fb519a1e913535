//! Prints what the LAN says, with nothing but the wire module and a socket of the standard library:
//! `cargo run --example listen -- 0.0.0.0:2425`. Answers nothing, so it stays unseen.

#![expect(clippy::disallowed_types, reason = "an example without the shell brings its own socket")]

use std::error::Error;
use std::net::UdpSocket;

use feige::wire::{Body, Hint, Packet, RawPacket};

fn main() -> Result<(), Box<dyn Error>> {
    let bind = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:2425".to_owned());
    let socket = UdpSocket::bind(bind)?;
    let mut datagram = vec![0u8; 65_507];
    loop {
        let (length, from) = socket.recv_from(&mut datagram)?;
        match RawPacket::parse(&datagram[..length]) {
            Err(error) => println!("{from}  not a packet: {error}"),
            Ok(raw) => {
                let packet = Packet::read(&raw, &Hint::default());
                // Debug forms, because text from outside must not reach a terminal raw.
                let said = match &packet.body {
                    Body::Presence(who) => format!("{:?} of {:?}", who.nick, who.group),
                    Body::Message(message) => format!("{:?}", message.text),
                    other => format!("{other:?}"),
                };
                println!(
                    "{from}  {} {:?}  {}  {said}",
                    packet.dialect.name, packet.user, packet.command
                );
            }
        }
    }
}

//! Announces one line to the subnet with nothing but the wire module and a socket of the standard
//! library: `cargo run --example broadcast -- 255.255.255.255:2425 "the printer is back"`.

#![expect(clippy::disallowed_types, reason = "an example without the shell brings its own socket")]

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

use feige::wire::body::emit_message;
use feige::wire::command::message;
use feige::wire::dialect::TextForm;
use feige::wire::{Charset, Head, PacketNo};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(to), Some(text)) = (args.next(), args.next()) else {
        return Err("usage: broadcast ADDRESS:PORT TEXT".into());
    };
    #[expect(clippy::disallowed_methods, reason = "an example without the shell reads the clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let head = Head { version: "1", number: PacketNo(now), user: "example", host: "example" };
    let packet = emit_message(&head, message::BROADCAST, &text, TextForm::Legacy(Charset::GB18030));

    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_broadcast(true)?;
    let sent = socket.send_to(&packet, to.parse::<SocketAddr>()?)?;
    println!("{sent} bytes to {to}; the protocol knows no receipt for a broadcast");
    Ok(())
}

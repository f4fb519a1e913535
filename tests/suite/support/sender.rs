//! A scripted sender of the IPMsg family: checked messages, repeated until their receipts come. It
//! shares no code with feige.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// A socket, and what was confirmed there.
pub(crate) struct Sender {
    socket: Socket,
    to: SocketAddr,
    /// Receipts that came, by the number they confirm.
    pub(crate) receipts: BTreeMap<u64, usize>,
}

impl Sender {
    /// At `addr`, writing to `to` on the same port.
    pub(crate) fn new(addr: Ipv4Addr, to: Ipv4Addr, port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
        socket.bind(&SocketAddr::from((addr, port)).into()).expect("the address is free");
        Self { socket, to: (to, port).into(), receipts: BTreeMap::new() }
    }

    /// An entry, as a client of the first generation writes it.
    pub(crate) fn enter(&self) {
        self.write("1:1:sender:script:1:sender\0");
    }

    /// A checked message.
    pub(crate) fn send(&self, number: u64, text: &str) {
        self.write(&format!("1:{number}:sender:script:288:{text}\0"));
    }

    /// Confirms a message.
    pub(crate) fn confirm(&self, number: u64) {
        self.write(&format!("1:2:sender:script:33:{number}\0"));
    }

    /// Nobody may be there just then, and the kernel says so at the next call.
    fn write(&self, packet: &str) {
        for _ in 0..2 {
            match self.socket.send_to(packet.as_bytes(), &self.to.into()) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                sent => {
                    sent.expect("it can be sent");
                    return;
                }
            }
        }
    }

    /// Takes in what comes, waiting at most so long for the first datagram: command and body of
    /// what is no receipt.
    pub(crate) fn hear(&mut self, patience: Duration) -> Vec<(u32, u64, String)> {
        let mut others = Vec::new();
        self.socket.set_read_timeout(Some(patience)).expect("it can wait");
        let mut buffer = [0; 4096];
        loop {
            let length = match (&self.socket).read(&mut buffer) {
                Ok(length) => length,
                // An earlier datagram came back.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(_) => return others,
            };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let mut fields = text.splitn(6, ':').skip(1);
            let number = fields.next().and_then(|number| number.parse().ok());
            let word = fields.nth(2).and_then(|word| word.parse::<u32>().ok());
            let body = fields.next().unwrap_or_default().trim_end_matches('\0').to_owned();
            match (word.map(|word| word & 0xff), number) {
                (Some(0x21), _) => {
                    if let Ok(number) = body.parse() {
                        *self.receipts.entry(number).or_default() += 1;
                    }
                }
                (Some(command), Some(number)) => others.push((command, number, body)),
                _ => {}
            }
            self.socket.set_read_timeout(Some(Duration::from_micros(1))).expect("it can wait");
        }
    }
}

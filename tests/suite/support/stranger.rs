//! Somebody on the test LAN who says exactly the bytes a test wants.

use std::net::{Ipv4Addr, SocketAddr};

use feige::io::lab::Peer;
use tokio::runtime::Runtime;

use super::process::PATIENCE;

/// A peer without a program; blocking, for tests without a runtime of their own.
pub(crate) struct Stranger {
    runtime: Runtime,
    peer: Peer,
}

impl Stranger {
    pub(super) fn new(addr: Ipv4Addr, port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let peer = runtime.block_on(async { Peer::new(addr, port) }).expect("the address is free");
        Self { runtime, peer }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.peer.addr()
    }

    /// Sends to one address.
    pub(crate) fn send(&self, bytes: &[u8], to: Ipv4Addr) {
        let to = (to, self.addr().port()).into();
        self.runtime.block_on(self.peer.send(bytes, to)).expect("it can be sent");
    }

    /// Sends to everybody.
    pub(crate) fn broadcast(&self, bytes: &[u8]) {
        self.runtime.block_on(self.peer.broadcast(bytes)).expect("it can be sent");
    }

    /// Waits for a datagram with this command: its main text.
    #[track_caller]
    pub(crate) fn expect(&mut self, command: u8) -> String {
        let packet = self.expect_fields(command);
        packet[5].split('\0').next().unwrap_or_default().to_owned()
    }

    /// Waits for a datagram with this command: its number.
    #[track_caller]
    pub(crate) fn expect_number(&mut self, command: u8) -> String {
        self.expect_fields(command).swap_remove(1)
    }

    /// Waits for a datagram with this command.
    #[track_caller]
    pub(crate) fn expect_datagram(&mut self, command: u8) -> Vec<u8> {
        let wanted = |bytes: &[u8]| {
            let word = bytes.split(|&byte| byte == b':').nth(4)?;
            let word = std::str::from_utf8(word).ok()?.parse::<u32>().ok()?;
            (word.to_le_bytes()[0] == command).then_some(())
        };
        let heard = self.peer.expect(PATIENCE, |heard| wanted(&heard.bytes).is_some());
        let heard = self.runtime.block_on(heard).unwrap_or_else(|missing| panic!("{missing}"));
        heard.bytes
    }

    #[track_caller]
    fn expect_fields(&mut self, command: u8) -> Vec<String> {
        let fields = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let fields: Vec<_> = text.splitn(6, ':').map(str::to_owned).collect();
            let word = fields.get(4)?.parse::<u32>().ok()?;
            (fields.len() == 6 && word.to_le_bytes()[0] == command).then_some(fields)
        };
        let heard = self.peer.expect(PATIENCE, |heard| fields(&heard.bytes).is_some());
        let heard = self.runtime.block_on(heard).unwrap_or_else(|missing| panic!("{missing}"));
        fields(&heard.bytes).expect("it was wanted")
    }
}

//! A receiver of files that does exactly what a test wants: a TCP connection from an address of the
//! test LAN, requests byte by byte, answers read as they come.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};

use feige::wire::attach::FileEntry;
use feige::wire::tree::{TreeEvent, TreeReader};
use feige::wire::{Body, Charset, Hint, Packet, RawPacket};
use socket2::{Domain, Socket, Type};

use super::process::PATIENCE;

/// An offer as it came.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) number: u64,
    pub(crate) files: Vec<FileEntry>,
}

impl Offered {
    pub(crate) fn read(datagram: &[u8]) -> Self {
        let raw = RawPacket::parse(datagram).expect("it is a packet");
        let packet = Packet::read(&raw, &Hint::default());
        let Body::Message(message) = packet.body else { panic!("{packet:?}") };
        assert_eq!(message.files.skipped, 0, "{message:?}");
        Self { number: packet.number.0, files: message.files.files }
    }

    /// The request for the file at this place from `offset` on, as the official client writes it.
    pub(crate) fn file(&self, place: usize, offset: u64) -> String {
        let id = self.files[place].id;
        format!("1:77:bob:pc:96:{:x}:{id:x}:{offset:x}:\0", self.number)
    }

    /// The request for the folder at this place, with names in UTF-8.
    pub(crate) fn folder(&self, place: usize) -> String {
        let id = self.files[place].id;
        format!("1:77:bob:pc:8388706:{:x}:{id:x}:\0", self.number)
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Fetcher(Socket);

impl Fetcher {
    /// Connects from this address.
    pub(crate) fn connect(from: IpAddr, to: (Ipv4Addr, u16)) -> Self {
        Self::with_window(from, to, None)
    }

    /// As [`Self::connect`], with a receive buffer of about so many bytes.
    pub(crate) fn with_window(from: IpAddr, to: (Ipv4Addr, u16), bytes: Option<usize>) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if let Some(bytes) = bytes {
            socket.set_recv_buffer_size(bytes).expect("it can be set");
        }
        socket.bind(&SocketAddr::new(from, 0).into()).expect("the address is ours");
        socket.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        socket.connect(&SocketAddr::from(to).into()).expect("somebody listens");
        Self(socket)
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        // Whoever is refused may be told while it still speaks.
        let _ = self.0.write_all(bytes.as_ref());
    }

    /// Says that nothing more will be said.
    pub(crate) fn hush(&mut self) {
        self.0.shutdown(Shutdown::Write).expect("it is connected");
    }

    /// Reads exactly so many bytes.
    #[track_caller]
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut taken = vec![0; bytes];
        self.0.read_exact(&mut taken).expect("so much comes");
        taken
    }

    /// Reads until the other side closes; whether it did so in order.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => (rest, true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => (rest, false),
            Err(error) => panic!("{} bytes, then {error}", rest.len()),
        }
    }

    /// Reads on and throws it away: how much it was.
    #[track_caller]
    pub(crate) fn drain(&mut self) -> u64 {
        let mut piece = vec![0; 256 * 1024];
        let mut all = 0;
        loop {
            match self.0.read(&mut piece) {
                Ok(0) => return all,
                Ok(read) => all += read as u64,
                Err(error) => panic!("{all} bytes, then {error}"),
            }
        }
    }
}

/// What a whole request brings.
#[track_caller]
pub(crate) fn fetch(from: IpAddr, to: (Ipv4Addr, u16), request: &str) -> Vec<u8> {
    let mut fetcher = Fetcher::connect(from, to);
    fetcher.say(request);
    fetcher.rest().0
}

/// A folder stream as paths and contents; folders end in `/`. Fails if it is not whole.
#[track_caller]
pub(crate) fn unpack(stream: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = TreeReader::folder(Charset::UTF_8);
    let (mut rest, mut path, mut found) = (stream, Vec::new(), Vec::new());
    loop {
        match reader.next(&mut rest).expect("a good stream") {
            TreeEvent::Folder(entry) => {
                path.push(entry.name.into_owned());
                found.push((path.join("/") + "/", Vec::new()));
            }
            TreeEvent::File(entry) => {
                let name = [path.join("/").as_str(), &*entry.name].join("/");
                found.push((name, Vec::new()));
            }
            TreeEvent::Content(bytes) => {
                found.last_mut().expect("a file began").1.extend_from_slice(bytes);
            }
            TreeEvent::Up { .. } => drop(path.pop()),
            TreeEvent::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rest, b"", "nothing follows");
    found.sort();
    found
}

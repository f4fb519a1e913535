//! Files on their way out, beside a bare loop of the same system call, in one run.
//!
//! Everything lies in memory (`/dev/shm`) and passes over loopback; the receiver reads and throws
//! away, the same for both. Each figure is the median of several rounds that take turns, so that
//! whatever else the machine does falls on both. `cargo bench --bench transfer`, or
//! `cargo bench --bench transfer -- SIZE_MIB ROUNDS`.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use feige::io::lab::{Peer, free_port};
use feige::io::{Chosen, Handle, Running, Start};
use feige::node::{Config, Identity, Reply, Request, Target, Wishes};
use feige::store::Paths;
use feige::wire::{Body, Hint, Packet, RawPacket};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

const SENDER: Ipv4Addr = Ipv4Addr::new(127, 88, 0, 1);
const RECEIVER: Ipv4Addr = Ipv4Addr::new(127, 88, 0, 2);
const FILES: usize = 10_000;
const WHILE: Duration = Duration::from_secs(30);

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let size = numbers.first().copied().unwrap_or(1_024) << 20;
    let rounds = usize::try_from(numbers.get(1).copied().unwrap_or(5)).unwrap().max(1);
    let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let home = tempfile::tempdir_in(memory).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut bench = Bench::start(&home).await;
        bench.one_file(size, rounds).await;
        bench.many_files(rounds).await;
        bench.messages_meanwhile(size).await;
        bench.node.stop().await;
    });
}

struct Bench<'a> {
    home: &'a TempDir,
    node: Running,
    handle: Handle,
    peer: Peer,
    to: SocketAddr,
}

impl<'a> Bench<'a> {
    async fn start(home: &'a TempDir) -> Self {
        let port = free_port().unwrap();
        let identity = Identity {
            nick: "bench".to_owned(),
            group: String::new(),
            user: "bench".to_owned(),
            host: "pc".to_owned(),
            mac: String::new(),
        };
        let start = Start {
            config: Config { port, ..Config::new(identity) },
            paths: Paths::all_in(&home.path().join("home")),
            bind: vec![SENDER.into()],
            ipv6: false,
            skip_links: Vec::new(),
            downloads: home.path().join("downloads"),
            store: true,
            allow_takeover: false,
            brief: false,
        };
        let node = feige::io::start(start).await.unwrap();
        let (handle, peer) = (node.handle(), Peer::new(RECEIVER, port).unwrap());
        let to = (SENDER, port).into();
        peer.send(b"1:5:bob:pc:3:bob\0lab\0", to).await.unwrap();
        Self { home, node, handle, peer, to }
    }

    /// Offers what is at `path`: the request for it.
    async fn offer(&mut self, path: &Path) -> Vec<u8> {
        let chosen = Chosen::open(path).unwrap();
        let folder = chosen.choice.is_folder();
        let wishes = Wishes { choices: vec![chosen.choice], ..Wishes::default() };
        let to = vec![Target::Addr((RECEIVER, self.to.port()).into())];
        let request =
            Request::Send { to, text: String::new(), check: true, timeout_ms: 30_000, wishes };
        let reply = self.handle.request_with(request, vec![chosen.file]).await.unwrap();
        let Reply::Sent { number, .. } = reply else { panic!("{reply:?}") };
        let list = |bytes: &[u8]| {
            let raw = RawPacket::parse(bytes).ok().filter(|raw| raw.number == number)?;
            match Packet::read(&raw, &Hint::default()).body {
                Body::Message(message) => Some(message.files.files),
                _ => None,
            }
        };
        let offered = self.peer.expect(WHILE, |heard| list(&heard.bytes).is_some()).await;
        let id = list(&offered.unwrap().bytes).unwrap()[0].id;
        let receipt = format!("1:6:bob:pc:33:{number}\0");
        self.peer.send(receipt.as_bytes(), self.to).await.unwrap();
        let command = if folder { 98 } else { 96 };
        format!("1:7:bob:pc:{command}:{:x}:{id:x}:0:\0", number.0).into_bytes()
    }

    /// Fetches, on a thread of its own: bytes and time.
    async fn fetch(&self, request: Vec<u8>) -> (u64, Duration) {
        let to = self.to;
        tokio::task::spawn_blocking(move || receive(to, &request)).await.unwrap()
    }

    async fn one_file(&mut self, size: u64, rounds: usize) {
        let path = self.home.path().join("big");
        write_big(&path, size);
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            bare.push(rate(size, bare_sendfile(&path, size)));
            let request = self.offer(&path).await;
            let (bytes, took) = self.fetch(request).await;
            assert_eq!(bytes, size);
            ours.push(rate(size, took));
        }
        let (ours, bare) = (median(ours), median(bare));
        println!(
            "one file of {} MiB: {ours:.0} MiB/s, a bare sendfile loop {bare:.0} MiB/s: {:.2} of it",
            size >> 20,
            ours / bare
        );
        fs::remove_file(path).unwrap();
    }

    async fn many_files(&mut self, rounds: usize) {
        let root = self.home.path().join("many");
        let contents = vec![7; 8_192];
        for at in 0..FILES {
            let folder = root.join(format!("{}", at % 100));
            fs::create_dir_all(&folder).unwrap();
            // 0.5 to 8 KiB, evenly.
            let size = 512 + at * 7_680 / FILES;
            fs::write(folder.join(format!("file {at}")), &contents[..size]).unwrap();
        }
        let mut rates = Vec::new();
        for _ in 0..rounds {
            let request = self.offer(&root).await;
            let (bytes, took) = self.fetch(request).await;
            assert!(bytes > 40_000_000, "{bytes}");
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            rates.push(FILES as f64 / took.as_secs_f64());
        }
        println!("{FILES} files of 0.5 to 8 KiB: {:.0} files/s", median(rates));
    }

    async fn messages_meanwhile(&mut self, size: u64) {
        let path = self.home.path().join("big");
        write_big(&path, size);
        let request = self.offer(&path).await;
        let to = self.to;
        let fetching = tokio::task::spawn_blocking(move || receive(to, &request));
        let mut waits = Vec::new();
        for number in 1_000..1_200 {
            let message = format!("1:{number}:bob:pc:288:still there?\0");
            let start = Instant::now();
            self.peer.send(message.as_bytes(), self.to).await.unwrap();
            let receipt = format!(":33:{number}\0");
            let is_receipt = |bytes: &[u8]| bytes.ends_with(receipt.as_bytes());
            self.peer.expect(WHILE, |heard| is_receipt(&heard.bytes)).await.unwrap();
            waits.push(start.elapsed().as_secs_f64() * 1_000.0);
            if fetching.is_finished() {
                break;
            }
        }
        fetching.await.unwrap();
        let count = waits.len();
        println!("{count} messages while a file is sent: confirmed after {:.2} ms", median(waits));
    }
}

fn write_big(path: &Path, size: u64) {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(path).unwrap();
    let piece = vec![7; 1 << 20];
    for _ in 0..size >> 20 {
        file.write_all(&piece).unwrap();
    }
}

/// Asks, and reads to the end.
fn receive(to: SocketAddr, request: &[u8]) -> (u64, Duration) {
    let start = Instant::now();
    let mut socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((RECEIVER, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.write_all(request).unwrap();
    let mut piece = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match socket.read(&mut piece).unwrap() {
            0 => return (bytes, start.elapsed()),
            read => bytes += read as u64,
        }
    }
}

/// The least there is: accept, sendfile until all is sent, close.
fn bare_sendfile(path: &Path, size: u64) -> Duration {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((SENDER, 0)).into()).unwrap();
    listener.listen(1).unwrap();
    let to = listener.local_addr().unwrap().as_socket().unwrap();
    let file = OpenOptions::new().read(true).open(path).unwrap();
    let sender = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.read_exact(&mut [0; 8]).unwrap();
        let mut at = 0;
        while at < size {
            let left = usize::try_from(size - at).unwrap();
            rustix::fs::sendfile(&socket, &file, Some(&mut at), left).unwrap();
        }
    });
    let (bytes, took) = receive(to, b"a packet");
    sender.join().unwrap();
    assert_eq!(bytes, size);
    took
}

/// MiB a second.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / took.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

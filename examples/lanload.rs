//! A load generator for messengers of the IPMsg family, and bare loops to compare them with.
//!
//! ```text
//! lanload hosts    --base 10.77.64.1 --count 1000   answer an entry as 1,000 hosts at once
//! lanload entries  --base 10.77.64.1 --count 1000 --to 10.99.0.1   enter as 1,000 hosts at once
//! lanload burst    --to 10.99.0.1 --count 10000     checked messages, as fast as they leave
//! lanload discover --to 10.99.0.255 --want 1000     bare loop: one entry, count the answers
//! lanload ack                                       bare loop: confirm each message, no more
//! lanload ack      --folder DIR                     bare loop: sync 4 KiB there, confirm the message
//! lanload sync     --folder DIR                     what the disk there needs to sync 4 KiB
//! lanload sync     --folder DIR --pages 6 --grow    six pages by which a file grows
//! ```
//!
//! Each prints one JSON object when it ends; `ready` goes to standard error when its sockets are
//! open. The many hosts are many source addresses of one machine, which must be local to it
//! (`ip route add local 10.77.64.0/20 dev lo`), and each has a socket of its own: 1,000 hosts need
//! 1,000 descriptors. It knows five commands of the protocol and shares no code with feige, so that
//! it can contradict it. Run it in a network of your own; it floods.

#![expect(clippy::disallowed_methods, reason = "a load generator reads the clock")]
#![expect(clippy::disallowed_types, reason = "it has sockets and a file of its own")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, Parser};
use socket2::{Domain, Protocol, Socket, Type};

/// A load generator for messengers of the IPMsg family.
#[derive(Parser)]
enum Load {
    /// Answer an entry as many hosts.
    Hosts(Hosts),
    /// Enter as many hosts and count who gets an answer.
    Entries(Entries),
    /// Send checked messages and count the receipts.
    Burst(Burst),
    /// Reference: send one entry and count the answers.
    Discover(Discover),
    /// Reference: confirm every checked message, also after a sync of its own.
    Ack(Ack),
    /// Reference: sync some pages again and again.
    Sync(Sync),
}

/// Which hosts to be.
#[derive(Args)]
struct Crowd {
    /// Address of the first host; the others follow.
    #[arg(long, default_value = "10.77.64.1")]
    base: Ipv4Addr,
    /// How many hosts.
    #[arg(long, default_value_t = 1000)]
    count: u32,
    /// UDP port.
    #[arg(long, default_value_t = PORT)]
    port: u16,
}

#[derive(Args)]
struct Hosts {
    #[command(flatten)]
    crowd: Crowd,
    /// Answers spread evenly over this many milliseconds instead of all at once.
    #[arg(long, default_value_t = 0)]
    spread_ms: u64,
    /// End after this many seconds, asked or not.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

#[derive(Args)]
struct Entries {
    #[command(flatten)]
    crowd: Crowd,
    /// Whom to tell.
    #[arg(long)]
    to: Ipv4Addr,
    /// Stop after this many milliseconds without a new answer.
    #[arg(long, default_value_t = 6000)]
    idle_ms: u64,
}

#[derive(Args)]
struct Burst {
    /// To whom.
    #[arg(long)]
    to: Ipv4Addr,
    /// UDP port there and here.
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// How many messages.
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// At most this many without a receipt; 0: no limit.
    #[arg(long, default_value_t = 0)]
    window: usize,
    /// Messages a second; 0: as fast as they leave.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Stop after this many milliseconds without a new receipt.
    #[arg(long, default_value_t = 2000)]
    idle_ms: u64,
}

#[derive(Args)]
struct Discover {
    /// Broadcast address.
    #[arg(long)]
    to: Ipv4Addr,
    /// UDP port.
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Stop when this many have answered.
    #[arg(long, default_value_t = 1000)]
    want: usize,
    /// Stop after this many milliseconds.
    #[arg(long, default_value_t = 6000)]
    timeout_ms: u64,
}

#[derive(Args)]
struct Ack {
    /// UDP port.
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// End after this many seconds without a datagram.
    #[arg(long, default_value_t = 5)]
    idle_seconds: u64,
    /// Sync a page of 4 KiB in this folder before each receipt.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Args)]
struct Sync {
    /// A folder on the disk.
    #[arg(long)]
    folder: PathBuf,
    /// How often.
    #[arg(long, default_value_t = 500)]
    count: u32,
    /// So many pages of 4 KiB at a time.
    #[arg(long, default_value_t = 1)]
    pages: usize,
    /// Append them, instead of overwriting others.
    #[arg(long)]
    grow: bool,
    /// Sync with `fsync`, which keeps the time of the change too, not with `fdatasync`.
    #[arg(long)]
    fsync: bool,
    /// Wait so many milliseconds between two.
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
}

fn main() -> ExitCode {
    let done = match Load::parse() {
        Load::Hosts(hosts) => hosts.run(),
        Load::Entries(entries) => entries.run(),
        Load::Burst(burst) => burst.run(),
        Load::Discover(discover) => discover.run(),
        Load::Ack(ack) => ack.run(),
        Load::Sync(sync) => sync.run(),
    };
    match done {
        Ok(object) => {
            println!("{object}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lanload: {error}");
            ExitCode::from(2)
        }
    }
}

impl Hosts {
    /// Waits for a stranger's broadcast entry and lets every host answer it once.
    fn run(&self) -> io::Result<String> {
        let hosts = self.crowd.open()?;
        let ears = open(Ipv4Addr::UNSPECIFIED, self.crowd.port)?;
        ears.set_read_timeout(Some(Duration::from_millis(200)))?;
        ready();
        let end = Instant::now() + Duration::from_secs(self.seconds);
        let asker = loop {
            if Instant::now() > end {
                return Ok(r#"{"answered":0}"#.into());
            }
            let Some((from, packet)) = receive(&ears)? else { continue };
            if packet.mode == BR_ENTRY && !self.crowd.owns(*from.ip()) {
                break from;
            }
        };
        let start = Instant::now();
        let step = Duration::from_millis(self.spread_ms) / self.crowd.count.max(1);
        for (place, host) in hosts.iter().enumerate() {
            let index = u32::try_from(place).unwrap_or(u32::MAX);
            while start.elapsed() < step * index {
                std::hint::spin_loop();
            }
            send(host, &entry(index, ANSENTRY), asker)?;
        }
        Ok(format!(
            r#"{{"answered":{},"ms":{:.3},"last_unix_us":{}}}"#,
            hosts.len(),
            start.elapsed().as_secs_f64() * 1e3,
            unix_micros(),
        ))
    }
}

impl Entries {
    /// Lets every host enter, then looks at each host's socket for its answer.
    fn run(&self) -> io::Result<String> {
        let hosts = self.crowd.open()?;
        for host in &hosts {
            host.set_nonblocking(true)?;
        }
        ready();
        let to = SocketAddrV4::new(self.to, self.crowd.port);
        let start = Instant::now();
        for (index, host) in (0u32..).zip(&hosts) {
            send(host, &entry(index, BR_ENTRY), to)?;
        }
        let sent = start.elapsed();
        let mut waiting: Vec<&UdpSocket> = hosts.iter().collect();
        let (mut first, mut last) = (None, start.elapsed());
        while !waiting.is_empty() && start.elapsed() < last + Duration::from_millis(self.idle_ms) {
            let before = waiting.len();
            let mut broken = Ok(());
            waiting.retain(|host| match receive(host) {
                Ok(answer) => answer.is_none_or(|(_, packet)| packet.mode != ANSENTRY),
                Err(error) => {
                    broken = Err(error);
                    true
                }
            });
            broken?;
            if waiting.len() == before {
                thread::sleep(Duration::from_micros(200));
            } else {
                last = start.elapsed();
                first.get_or_insert(last);
            }
        }
        Ok(format!(
            r#"{{"entries":{},"answered":{},"send_ms":{:.3},"first_ms":{:.3},"last_ms":{:.3}}}"#,
            hosts.len(),
            hosts.len() - waiting.len(),
            sent.as_secs_f64() * 1e3,
            first.unwrap_or_default().as_secs_f64() * 1e3,
            last.as_secs_f64() * 1e3,
        ))
    }
}

impl Burst {
    /// One thread sends and counts by turns: where two cores are shared with the program that is
    /// measured, a second thread would take its time away.
    fn run(&self) -> io::Result<String> {
        let socket = open(Ipv4Addr::UNSPECIFIED, self.port)?;
        // At a rate, what is due next is not waited for long.
        let patience = if self.rate > 0 { 1 } else { 20 };
        socket.set_read_timeout(Some(Duration::from_millis(patience)))?;
        ready();
        let to = SocketAddrV4::new(self.to, self.port);
        let mut flight = Flight::new(self.count);
        let mut send_ms = 0.0;
        while flight.confirmed < self.count {
            let batch = self.may_leave(&flight);
            for place in (0_u32..).skip(flight.sent_at.len()).take(batch) {
                let text = format!("message {place} of a burst");
                let bytes = packet(flight.first + place, "burst", SENDMSG | SENDCHECK, &text);
                flight.sent_at.push(flight.start.elapsed());
                send(&socket, &bytes, to)?;
                send_ms = flight.start.elapsed().as_secs_f64() * 1e3;
            }
            let mut heard = 0;
            while heard < TURN
                && let Some(receipt) = receive_now(&socket)?
            {
                flight.note(&receipt);
                heard += 1;
            }
            if batch > 0 || heard > 0 {
                continue;
            }
            match receive(&socket)? {
                Some((_, receipt)) => flight.note(&receipt),
                None if flight.is_idle(Duration::from_millis(self.idle_ms)) => break,
                None => {}
            }
        }
        let waits = &mut flight.waits;
        waits.sort_unstable();
        let percentile = |share: usize| {
            let wait = waits.get(waits.len() * share / 100).copied().unwrap_or_default();
            wait.as_micros()
        };
        Ok(format!(
            r#"{{"sent":{},"confirmed":{},"repeats":{},"send_ms":{send_ms:.1},"all_ms":{:.1},"p50_us":{},"p99_us":{}}}"#,
            flight.sent_at.len(),
            flight.confirmed,
            flight.repeats,
            flight.last.as_secs_f64() * 1e3,
            percentile(50),
            percentile(99),
        ))
    }

    /// How many messages may leave now, a turn's worth at most.
    fn may_leave(&self, flight: &Flight) -> usize {
        let sent = flight.sent_at.len();
        let mut most = (self.count - sent).min(TURN);
        if self.window > 0 {
            most = most.min(self.window.saturating_sub(sent - flight.confirmed));
        }
        if self.rate > 0 {
            let due = flight.start.elapsed().as_secs_f64() * f64::from(self.rate);
            #[expect(clippy::cast_possible_truncation, reason = "a count of messages")]
            #[expect(clippy::cast_sign_loss, reason = "time does not go back")]
            let due = due as usize;
            most = most.min(due.saturating_sub(sent));
        }
        most
    }
}

/// Messages sent, or receipts taken, before it is the other's turn.
const TURN: usize = 64;

/// Messages on their way.
struct Flight {
    first: u32,
    start: Instant,
    sent_at: Vec<Duration>,
    seen: Vec<bool>,
    confirmed: usize,
    repeats: usize,
    waits: Vec<Duration>,
    /// When the newest receipt came.
    last: Duration,
}

impl Flight {
    fn new(count: usize) -> Self {
        Self {
            first: first_number(),
            start: Instant::now(),
            sent_at: Vec::with_capacity(count),
            seen: vec![false; count],
            confirmed: 0,
            repeats: 0,
            waits: Vec::with_capacity(count),
            last: Duration::ZERO,
        }
    }

    fn note(&mut self, receipt: &Arrived) {
        let place = receipt.body.and_then(|number| number.checked_sub(self.first));
        let place = place.and_then(|place| usize::try_from(place).ok());
        let Some((place, at)) = place.and_then(|at| Some((at, *self.sent_at.get(at)?))) else {
            return;
        };
        match self.seen.get_mut(place) {
            Some(seen) if receipt.mode == RECVMSG => {
                if std::mem::replace(seen, true) {
                    self.repeats += 1;
                    return;
                }
            }
            _ => return,
        }
        self.last = self.start.elapsed();
        self.waits.push(self.last.saturating_sub(at));
        self.confirmed += 1;
    }

    /// Nothing has left or come for so long.
    fn is_idle(&self, span: Duration) -> bool {
        let sent = self.sent_at.last().copied().unwrap_or_default();
        self.start.elapsed() > self.last.max(sent) + span
    }
}

impl Discover {
    fn run(&self) -> io::Result<String> {
        let socket = open(Ipv4Addr::UNSPECIFIED, self.port)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        ready();
        let start = Instant::now();
        send(&socket, &entry(0, BR_ENTRY), SocketAddrV4::new(self.to, self.port))?;
        let mut peers = BTreeSet::new();
        let mut last = Duration::ZERO;
        while peers.len() < self.want && start.elapsed() < Duration::from_millis(self.timeout_ms) {
            if let Some((from, packet)) = receive(&socket)?
                && packet.mode == ANSENTRY
                && peers.insert(*from.ip())
            {
                last = start.elapsed();
            }
        }
        Ok(format!(r#"{{"peers":{},"last_ms":{:.3}}}"#, peers.len(), last.as_secs_f64() * 1e3))
    }
}

impl Ack {
    fn run(&self) -> io::Result<String> {
        let socket = open(Ipv4Addr::UNSPECIFIED, self.port)?;
        socket.set_read_timeout(Some(Duration::from_secs(self.idle_seconds)))?;
        let mut log =
            self.folder.as_deref().map(|folder| Log::open(folder, 1, false)).transpose()?;
        ready();
        let mut receipts = 0;
        while let Some((from, arrived)) = receive(&socket)? {
            if arrived.mode == SENDMSG && arrived.command & SENDCHECK != 0 {
                if let Some(log) = &mut log {
                    log.write()?;
                    log.file.sync_data()?;
                }
                let body = arrived.number.to_string();
                send(&socket, &packet(arrived.number, "ack", RECVMSG, &body), from)?;
                receipts += 1;
            }
        }
        Ok(format!(r#"{{"receipts":{receipts}}}"#))
    }
}

impl Sync {
    fn run(&self) -> io::Result<String> {
        let mut log = Log::open(&self.folder, self.pages, self.grow)?;
        let mut spans = Vec::new();
        for _ in 0..self.count {
            thread::sleep(Duration::from_millis(self.pause_ms));
            log.write()?;
            let start = Instant::now();
            if self.fsync {
                log.file.sync_all()?;
            } else {
                log.file.sync_data()?;
            }
            spans.push(start.elapsed());
        }
        spans.sort_unstable();
        let ms = |share: usize| {
            let span = spans.get(spans.len() * share / 100).copied().unwrap_or_default();
            span.as_secs_f64() * 1e3
        };
        Ok(format!(r#"{{"syncs":{},"p50_ms":{:.3},"p90_ms":{:.3}}}"#, spans.len(), ms(50), ms(90)))
    }
}

/// A file whose pages are overwritten again and again, as those of a log in use are, or to which pages
/// are added.
struct Log {
    file: File,
    pages: Vec<u8>,
    grows: bool,
    /// Writes until its beginning is overwritten.
    left: usize,
}

impl Log {
    const PAGE: usize = 4096;
    const PAGES: usize = 1024;

    /// Writes so many pages at a time.
    fn open(folder: &Path, pages: usize, grows: bool) -> io::Result<Self> {
        let path = folder.join(format!("lanload-{}", std::process::id()));
        let mut file = File::options().write(true).create_new(true).open(&path)?;
        // The name is not needed any more; the file goes with its last descriptor.
        std::fs::remove_file(&path)?;
        if !grows {
            file.write_all(&vec![1; Self::PAGES * Self::PAGE])?;
        }
        file.sync_all()?;
        Ok(Self { file, pages: vec![2; pages.clamp(1, Self::PAGES) * Self::PAGE], grows, left: 0 })
    }

    fn write(&mut self) -> io::Result<()> {
        if !self.grows && self.left == 0 {
            self.left = Self::PAGES * Self::PAGE / self.pages.len();
            self.file.seek(SeekFrom::Start(0))?;
        }
        self.left = self.left.saturating_sub(1);
        self.file.write_all(&self.pages)
    }
}

impl Crowd {
    /// One socket for each host.
    fn open(&self) -> io::Result<Vec<UdpSocket>> {
        (0..self.count)
            .map(|index| open(Ipv4Addr::from_bits(self.base.to_bits() + index), self.port))
            .collect()
    }

    fn owns(&self, addr: Ipv4Addr) -> bool {
        (self.base.to_bits()..self.base.to_bits() + self.count).contains(&addr.to_bits())
    }
}

/// What matters of a datagram that arrived.
struct Arrived {
    number: u32,
    command: u32,
    /// The low 8 bits of the command.
    mode: u32,
    /// The text, if it is a number (receipts).
    body: Option<u32>,
}

fn open(addr: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{addr}:{port}: {error}"));
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    if addr.is_unspecified() {
        socket.set_recv_buffer_size(64 << 20)?;
    }
    socket.bind(&SocketAddr::from((addr, port)).into()).map_err(named)?;
    Ok(socket.into())
}

fn ready() {
    eprintln!("ready");
}

/// Sends, and waits where the kernel has no room.
fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddrV4) -> io::Result<()> {
    loop {
        match socket.send_to(bytes, to) {
            Ok(_) => return Ok(()),
            Err(error)
                if error.kind() == ErrorKind::WouldBlock
                    || error.raw_os_error() == Some(ENOBUFS) =>
            {
                thread::sleep(Duration::from_micros(50));
            }
            // What an earlier datagram brought back, not this one.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("send to {to}: {error}")));
            }
        }
    }
}

/// A datagram that is there already.
fn receive_now(socket: &UdpSocket) -> io::Result<Option<Arrived>> {
    use rustix::io::Errno;
    let mut buffer = [0; 2048];
    match rustix::net::recv(socket, &mut buffer, rustix::net::RecvFlags::DONTWAIT) {
        Ok((length, _)) => Ok(buffer.get(..length).and_then(parse)),
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNREFUSED) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The next datagram; none if none came in time. What cannot be read counts as none.
fn receive(socket: &UdpSocket) -> io::Result<Option<(SocketAddrV4, Arrived)>> {
    let mut buffer = [0; 2048];
    match socket.recv_from(&mut buffer) {
        Ok((length, SocketAddr::V4(from))) => {
            Ok(buffer.get(..length).and_then(parse).map(|packet| (from, packet)))
        }
        Ok((_, SocketAddr::V6(_))) => Ok(None),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(error),
        },
    }
}

fn parse(bytes: &[u8]) -> Option<Arrived> {
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let head = bytes.split(|byte| *byte == 0).next()?;
    let mut fields = head.splitn(6, |byte| *byte == b':');
    let packet_number = fields.nth(1)?;
    let command: u32 = number(fields.nth(2)?)?;
    let body = fields.next().and_then(number);
    Some(Arrived { number: number(packet_number)?, command, mode: command & 0xff, body })
}

fn packet(number: u32, user: &str, command: u32, body: &str) -> Vec<u8> {
    format!("1:{number}:{user}:LANLOAD:{command}:{body}\0").into_bytes()
}

/// The entry, or answer to one, of a host of the crowd. Every fourth is a FeiQ.
fn entry(index: u32, command: u32) -> Vec<u8> {
    let version =
        if index % 4 == 3 { format!("1_lbt6_0#128#{index:012X}#0#0#0#4001#9") } else { "1".into() };
    let (number, group) = (first_number(), index % 20);
    format!("{version}:{number}:user{index:04}:HOST-{index:04}:{command}:nick {index:04}\0group {group}\0").into_bytes()
}

/// A number no earlier run has used lately: it goes up by 200,000 a second.
fn first_number() -> u32 {
    let fifth_micros = u32::try_from((unix_micros() / 5) & 0x1fff_ffff).unwrap_or(0);
    0x2000_0000 + fifth_micros
}

fn unix_micros() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros())
}

const PORT: u16 = 2425;
const BR_ENTRY: u32 = 0x01;
const ANSENTRY: u32 = 0x03;
const SENDMSG: u32 = 0x20;
const RECVMSG: u32 = 0x21;
const SENDCHECK: u32 = 0x100;
/// "No buffer space": the sender is faster than the link.
const ENOBUFS: i32 = 105;

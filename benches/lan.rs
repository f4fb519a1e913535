//! What a LAN costs the whole node: sockets, wire, behaviour, disk. Prints one line of figures for
//! each scene; nothing leaves the loopback.
//!
//! ```text
//! cargo bench --bench lan                 every scene
//! cargo bench --bench lan -- burst        those whose name contains the word
//! ```
//!
//! The store lies in the build folder, so its syncs are those of the disk the project lies on. Each
//! scene has a generator on threads of its own that shares no code with the node; `bare` is a loop
//! that only confirms, on the same sockets: what is between the two is ours.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use feige::io::lab::free_port;
use feige::io::{Place, Running, Start, Subscription, succeed};
use feige::node::{Config, Event, Identity, Reply, Request, Status};
use feige::store::Paths;
use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::time::Instant;

const HOSTS: u32 = 1_000;
const MESSAGES: usize = 10_000;
/// A generator gives up after this long without anything new.
const IDLE: Duration = Duration::from_secs(3);

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let scenes: [(&str, fn()); 9] = [
        ("start", start),
        ("hand over", hand_over),
        ("burst bare", || burst_bare(MESSAGES)),
        ("burst 10000 at once", || burst(MESSAGES, MESSAGES)),
        ("burst 1000 in flight", || burst(5 * MESSAGES, 1_000)),
        ("burst 64 in flight", || burst(MESSAGES, 64)),
        ("burst 1 in flight", || burst(200, 1)),
        ("1000 hosts answer", hosts_answer),
        ("1000 hosts announce", hosts_announce),
    ];
    for (name, scene) in scenes {
        if wanted.as_ref().is_none_or(|word| name.contains(word.as_str())) {
            print!("{name:24}");
            scene();
        }
    }
}

/// From nothing to the port bound, and to the first entry at another host.
fn start() {
    let (home, port) = (home(), free_port().unwrap());
    let ear = socket([127, 255, 255, 255].into(), port, true);
    ear.set_read_timeout(Some(IDLE)).unwrap();
    for run in ["first", "again"] {
        let begun = Instant::now();
        let (started, heard) = runtime().block_on(async {
            let node = feige::io::start(config(&home, port)).await.unwrap();
            let started = begun.elapsed();
            receive(&ear).unwrap();
            let heard = begun.elapsed();
            node.stop().await;
            (started, heard)
        });
        while recvfrom(&ear, &mut [0; 2_048], RecvFlags::DONTWAIT).is_ok() {}
        print!("{run}: running {}, heard {}; ", millis(started), millis(heard));
    }
    println!();
}

/// From the order to end until the next owner has the port and answers requests: as the first
/// owner sees it, and as a whole.
fn hand_over() {
    let (home, port) = (home(), free_port().unwrap());
    runtime().block_on(async {
        let start = Start { allow_takeover: true, ..config(&home, port) };
        let node = feige::io::start(start.clone()).await.unwrap();
        let heir = feige::io::control::join(&start.paths, true).await.unwrap().unwrap();
        let begun = Instant::now();
        let taken = async {
            let how = heir.succession.wait().await;
            let Ok(Some(Place::Owner(node))) = succeed(start, &heir.hello, how).await else {
                panic!("nobody took over");
            };
            status(&node).await;
            (node, begun.elapsed())
        };
        let given = async {
            node.stop().await;
            begun.elapsed()
        };
        let ((node, taken), given) = tokio::join!(taken, given);
        println!("given away in {}, running again after {}", millis(given), millis(taken));
        node.stop().await;
    });
}

/// Checked messages from one host, so many of them without a receipt at a time.
fn burst(count: usize, window: usize) {
    let (home, port) = (home(), free_port().unwrap());
    runtime().block_on(async {
        let node = feige::io::start(config(&home, port)).await.unwrap();
        let generator = Generator::start(port, count, window);
        let report = tokio::task::spawn_blocking(|| generator.join().unwrap()).await.unwrap();
        let status = status(&node).await;
        println!("{report}; {} stored", status.counters.messages);
        node.stop().await;
    });
}

/// The same with a loop that only answers.
fn burst_bare(count: usize) {
    let port = free_port().unwrap();
    let socket = socket(NODE, port, false);
    socket.set_read_timeout(Some(IDLE)).unwrap();
    let bare = thread::spawn(move || {
        while let Ok((bytes, from)) = receive(&socket) {
            let mut fields = bytes.split(|byte| *byte == b':').skip(1);
            let number = fields.next().unwrap_or_default();
            let receipt = [&b"1:1:bare:bare:33:"[..], number].concat();
            let _ = sendto(&socket, &receipt, SendFlags::empty(), &from);
        }
    });
    println!("{}", Generator::start(port, count, count).join().unwrap());
    bare.join().unwrap();
}

/// Every host answers our entry at the same moment.
fn hosts_answer() {
    let (home, port) = (home(), free_port().unwrap());
    let hosts = hosts(port);
    let ear = socket([127, 255, 255, 255].into(), port, true);
    ear.set_read_timeout(Some(IDLE)).unwrap();
    let crowd = thread::spawn(move || {
        receive(&ear).unwrap();
        for (index, host) in hosts.iter().enumerate() {
            send(host, &entry(index, 3), (NODE, port).into());
        }
        (Instant::now(), hosts)
    });
    runtime().block_on(async {
        let node = feige::io::start(config(&home, port)).await.unwrap();
        let mut events = node.handle().subscribe().await.unwrap();
        let (seen, last) = peers_up(&mut events).await;
        let (sent, hosts) = crowd.join().unwrap();
        println!("{seen} in the list, the last {} after the last answer", gap(last, sent));
        drop(hosts);
        node.stop().await;
    });
}

/// Every host announces itself at the same moment, and each wants an answer.
fn hosts_announce() {
    let (home, port) = (home(), free_port().unwrap());
    let hosts = hosts(port);
    runtime().block_on(async {
        let node = feige::io::start(config(&home, port)).await.unwrap();
        let mut events = node.handle().subscribe().await.unwrap();
        let crowd = thread::spawn(move || {
            let begun = Instant::now();
            for (index, host) in hosts.iter().enumerate() {
                send(host, &entry(index, 1), (NODE, port).into());
            }
            let sent = Instant::now();
            let (mut answered, mut first, mut last) = (HashSet::new(), None, sent);
            while answered.len() < hosts.len() && last.elapsed() < 2 * IDLE {
                for (index, host) in hosts.iter().enumerate() {
                    while let Ok((len, ..)) = recvfrom(host, &mut [0; 2_048], RecvFlags::DONTWAIT) {
                        assert!(len > 0);
                        if answered.insert(index) {
                            last = Instant::now();
                            first.get_or_insert(last);
                        }
                    }
                }
                thread::sleep(Duration::from_micros(200));
            }
            let first = first.unwrap_or(last);
            (answered.len(), sent, first, last, begun)
        });
        let (seen, up) = peers_up(&mut events).await;
        let answers = tokio::task::spawn_blocking(|| crowd.join().unwrap()).await.unwrap();
        let (answered, sent, first, last, begun) = answers;
        println!(
            "sent in {}, {seen} in the list {} after the last entry; {answered} answered, the \
             first {} after it, all within {}",
            gap(sent, begun),
            gap(up, sent),
            gap(first, sent),
            gap(last, first)
        );
        node.stop().await;
    });
}

/// Waits until every host is up, or nothing more comes.
async fn peers_up(events: &mut Subscription) -> (usize, Instant) {
    let (mut seen, mut last) = (HashSet::new(), Instant::now());
    while seen.len() < HOSTS as usize {
        let Ok(Some(stamped)) = tokio::time::timeout(IDLE, events.next()).await else { break };
        if let Event::PeerUp { peer } = stamped.event {
            seen.insert(peer.id);
            last = Instant::now();
        }
    }
    (seen.len(), last)
}

const NODE: Ipv4Addr = Ipv4Addr::new(127, 82, 0, 1);
const GENERATOR: Ipv4Addr = Ipv4Addr::new(127, 82, 0, 2);

/// Sends checked messages and counts the receipts.
struct Generator {
    socket: Socket,
    to: SocketAddr,
    waiting: HashSet<u64>,
    confirmed: usize,
    took: Vec<Duration>,
}

impl Generator {
    fn start(port: u16, count: usize, window: usize) -> JoinHandle<String> {
        let socket = socket(GENERATOR, port, false);
        let to = (NODE, port).into();
        let (waiting, took) = (HashSet::new(), Vec::new());
        let generator = Self { socket, to, waiting, confirmed: 0, took };
        thread::spawn(move || generator.run(count, window))
    }

    fn run(mut self, count: usize, window: usize) -> String {
        let begun = Instant::now();
        let mut sent = begun;
        let mut next = 1_000_000;
        let (mut last, mut round) = (begun, begun);
        let end = next + count as u64;
        while self.confirmed < count && last.elapsed() < IDLE {
            while next < end && self.waiting.len() < window {
                let text = "明天上午九点半在三楼会议室开会，请大家带上进度表";
                let message = format!("1:{next}:load:generator:8388896:{text}\0");
                round = Instant::now();
                send(&self.socket, message.as_bytes(), self.to);
                self.waiting.insert(next);
                next += 1;
                sent = round;
            }
            if self.take() {
                last = Instant::now();
                if window == 1 {
                    self.took.push(last - round);
                }
            }
        }
        let span = last - begun;
        let confirmed = u32::try_from(self.confirmed).unwrap_or(u32::MAX);
        let rate = f64::from(confirmed) / span.as_secs_f64();
        self.took.sort_unstable();
        let median = self.took.get(self.took.len() / 2);
        let median = median.map(|took| format!(", each {}", millis(*took))).unwrap_or_default();
        format!(
            "{} of {count} confirmed, sent in {}, all in {}, {rate:.0} a second{median}",
            self.confirmed,
            gap(sent, begun),
            millis(span)
        )
    }

    /// Takes the receipts that are there, or waits a moment for one; whether there was one.
    fn take(&mut self) -> bool {
        let mut any = false;
        let mut flags = RecvFlags::empty();
        let mut buffer = [0; 2_048];
        while let Ok((len, ..)) = recvfrom(&self.socket, &mut buffer, flags) {
            flags = RecvFlags::DONTWAIT;
            let text = String::from_utf8_lossy(&buffer[..len]);
            let mut fields = text.splitn(6, ':').skip(4);
            if fields.next().and_then(|word| word.parse::<u32>().ok()).map(|w| w & 0xff) != Some(33)
            {
                continue;
            }
            let number = fields.next().and_then(|main| main.split('\0').next()?.parse().ok());
            if number.is_some_and(|number| self.waiting.remove(&number)) {
                self.confirmed += 1;
                any = true;
            }
        }
        any
    }
}

/// A blocking socket with a large buffer.
fn socket(addr: Ipv4Addr, port: u16, shared: bool) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(shared).unwrap();
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 8 << 20)
        .or_else(|_| rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 8 << 20));
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    socket.bind(&SocketAddr::from((addr, port)).into()).unwrap();
    socket
}

fn hosts(port: u16) -> Vec<Socket> {
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 1));
    (first..first + HOSTS).map(|addr| socket(addr.into(), port, false)).collect()
}

fn send(socket: &Socket, bytes: &[u8], to: SocketAddr) {
    while sendto(socket, bytes, SendFlags::empty(), &to).is_err() {
        thread::yield_now();
    }
}

fn receive(socket: &Socket) -> io::Result<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 2_048];
    let (len, _, from) = recvfrom(socket, &mut buffer, RecvFlags::empty())?;
    let from = from.and_then(|from| from.try_into().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((buffer[..len].to_vec(), from))
}

fn entry(index: usize, command: u32) -> Vec<u8> {
    format!("1:{}:user{index}:pc{index}:{command}:同事{index}\0研发部\0", 5_000 + index)
        .into_bytes()
}

fn home() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn config(home: &TempDir, port: u16) -> Start {
    let names = ["Bench", "", "bench", "bench", ""].map(str::to_owned);
    let [nick, group, user, host, mac] = names;
    Start {
        config: Config { port, ..Config::new(Identity { nick, group, user, host, mac }) },
        paths: Paths::all_in(home.path()),
        bind: vec![IpAddr::V4(NODE)],
        ipv6: true,
        skip_links: Vec::new(),
        store: true,
        downloads: home.path().join("downloads"),
        allow_takeover: false,
        brief: false,
    }
}

async fn status(node: &Running) -> Status {
    match node.handle().request(Request::Status).await {
        Ok(Reply::Status(status)) => *status,
        other => panic!("{other:?}"),
    }
}

fn gap(later: Instant, earlier: Instant) -> String {
    if later >= earlier { millis(later - earlier) } else { format!("-{}", millis(earlier - later)) }
}

fn millis(span: Duration) -> String {
    format!("{:.2} ms", span.as_secs_f64() * 1_000.0)
}

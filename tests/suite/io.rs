//! Nodes on real sockets of the loopback: several share a port there, each on an address of its
//! own. What needs a process of its own is started from this test binary again.

mod image;

use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use feige::io::control::{Hello, JoinError, Joined, Succeeded, join};
use feige::io::lab::{Heard, Peer, free_port};
use feige::io::{
    Handle, Place, Running, Stamped, Start, StartError, Stopped, Subscription, succeed,
};
use feige::node::{
    Config, Delivery, DownReason, Event, Identity, NoticeCode, Reply, Request, Status, Target,
    Wishes,
};
use feige::store::{Lock, Paths, StoreError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

/// Longer than anything here takes, even on a machine that is busy.
const WHILE: Duration = Duration::from_secs(20);

/// One machine of a test LAN: an address of the loopback and a home.
struct Host {
    home: TempDir,
    addr: SocketAddr,
}

impl Host {
    /// `net` tells tests apart, `last` the hosts of a test.
    fn new(net: u8, last: u8, port: u16) -> Self {
        let addr = (Ipv4Addr::new(127, 81, net, last), port).into();
        Self { home: TempDir::new().unwrap(), addr }
    }

    fn paths(&self) -> Paths {
        Paths::all_in(self.home.path())
    }

    fn config(&self, nick: &str) -> Start {
        start_at(&self.paths(), self.addr, nick)
    }

    async fn start(&self, nick: &str) -> Running {
        feige::io::start(self.config(nick)).await.unwrap()
    }
}

fn start_at(paths: &Paths, addr: SocketAddr, nick: &str) -> Start {
    let identity = Identity {
        nick: nick.to_owned(),
        group: "lab".to_owned(),
        user: nick.to_lowercase(),
        host: "pc".to_owned(),
        mac: String::new(),
    };
    Start {
        config: Config { port: addr.port(), ..Config::new(identity) },
        paths: paths.clone(),
        bind: vec![addr.ip()],
        ipv6: true,
        skip_links: Vec::new(),
        store: true,
        downloads: paths.db.with_file_name("downloads"),
        allow_takeover: true,
        brief: false,
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(WHILE, future).await.unwrap_or_else(|_| panic!("{what}: not within {WHILE:?}"))
}

/// The first event that is wanted.
async fn heard<T>(
    events: &mut Subscription,
    what: &str,
    mut wanted: impl FnMut(&Stamped) -> Option<T>,
) -> T {
    let search = async {
        loop {
            let event = events.next().await.unwrap_or_else(|| panic!("{what}: the node is gone"));
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    soon(what, search).await
}

async fn message(events: &mut Subscription, text: &str) -> Stamped {
    let what = format!("message {text:?}");
    heard(events, &what, |stamped| match &stamped.event {
        Event::Message(message) if message.text == text => Some(stamped.clone()),
        _ => None,
    })
    .await
}

async fn peer_up(events: &mut Subscription, nick: &str) {
    heard(events, &format!("{nick} up"), |stamped| match &stamped.event {
        Event::PeerUp { peer } | Event::PeerChanged { peer } if peer.nick == nick => Some(()),
        _ => None,
    })
    .await;
}

async fn notice(events: &mut Subscription, wanted: NoticeCode) -> String {
    heard(events, &format!("notice {wanted:?}"), |stamped| match &stamped.event {
        Event::Notice { code, text } if *code == wanted => Some(text.clone()),
        _ => None,
    })
    .await
}

async fn status(handle: &Handle) -> Status {
    match handle.request(Request::Status).await.unwrap() {
        Reply::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn entry(number: u64, nick: &str) -> Vec<u8> {
    format!("1:{number}:{nick}:lab:1:{nick}\0group\0").into_bytes()
}

/// A message that asks for a receipt.
fn checked(number: u64, text: &str) -> Vec<u8> {
    format!("1:{number}:script:lab:288:{text}\0").into_bytes()
}

/// Command and main text of a packet.
fn packet(bytes: &[u8]) -> Option<(u8, String)> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut fields = text.splitn(6, ':').skip(4);
    let word: u32 = fields.next()?.parse().ok()?;
    let main = fields.next()?.split('\0').next()?.to_owned();
    Some((word.to_le_bytes()[0], main))
}

fn is_receipt(heard: &Heard, number: u64) -> bool {
    packet(&heard.bytes) == Some((0x21, number.to_string()))
}

const BR_EXIT: u8 = 2;

fn is_command(heard: &Heard, command: u8) -> bool {
    packet(&heard.bytes).is_some_and(|(word, _)| word == command)
}

#[tokio::test]
async fn two_nodes_see_each_other_talk_and_say_goodbye() {
    let port = free_port().unwrap();
    let (first, second) = (Host::new(1, 1, port), Host::new(1, 2, port));
    let anna = first.start("Anna").await;
    let mut to_anna = anna.handle().subscribe().await.unwrap();
    let bert = second.start("Bert").await;
    let mut to_bert = bert.handle().subscribe().await.unwrap();
    peer_up(&mut to_anna, "Bert").await;
    peer_up(&mut to_bert, "Anna").await;

    let text = "to everybody".to_owned();
    let reply = anna.handle().request(Request::Broadcast { text }).await.unwrap();
    assert!(matches!(reply, Reply::Sent { .. }), "{reply:?}");
    let came = message(&mut to_bert, "to everybody").await;
    assert!(matches!(came.event, Event::Message(m) if m.delivery == Delivery::Broadcast));
    assert_eq!(came.seq, Some(1));

    let (to, text) = (vec![Target::Addr(second.addr)], "谢谢, just you".to_owned());
    let send =
        Request::Send { to, text, check: true, timeout_ms: 20_000, wishes: Wishes::default() };
    let reply = anna.handle().request(send).await.unwrap();
    let Reply::Sent { number, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(message(&mut to_bert, "谢谢, just you").await.seq, Some(2));
    let receipt = heard(&mut to_anna, "receipt", |stamped| match &stamped.event {
        Event::Receipt { number: of, tries, .. } if *of == number => Some((stamped.seq, *tries)),
        _ => None,
    });
    assert_eq!(receipt.await, (Some(3), 1), "after the broadcast and the message");

    assert_eq!(bert.stop().await, Stopped::Goodbye);
    let reason = heard(&mut to_anna, "goodbye", |stamped| match &stamped.event {
        Event::PeerDown { peer, reason } if peer.nick == "Bert" => Some(*reason),
        _ => None,
    });
    assert_eq!(reason.await, DownReason::Exit);
    assert_eq!(to_bert.next().await, None);
    assert_eq!(anna.stop().await, Stopped::Goodbye);
}

#[tokio::test]
async fn what_the_store_does_not_keep_is_not_acknowledged() {
    let port = free_port().unwrap();
    let host = Host::new(2, 1, port);
    let node = host.start("Node").await;
    let mut events = node.handle().subscribe().await.unwrap();
    let mut peer = Peer::new(Ipv4Addr::new(127, 81, 2, 2), port).unwrap();
    peer.send(&checked(1, "kept"), host.addr).await.unwrap();
    peer.expect(WHILE, |heard| is_receipt(heard, 1)).await.unwrap();

    let db = rusqlite::Connection::open(host.paths().db).unwrap();
    db.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON message BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .unwrap();
    peer.send(&checked(2, "lost"), host.addr).await.unwrap();
    notice(&mut events, NoticeCode::StoreFailed).await;
    db.execute_batch("DROP TRIGGER full").unwrap();
    peer.send(&checked(3, "kept too"), host.addr).await.unwrap();
    peer.expect(WHILE, |heard| is_receipt(heard, 3)).await.unwrap();
    notice(&mut events, NoticeCode::StoreRecovered).await;
    let early = peer.expect(Duration::ZERO, |heard| is_receipt(heard, 2)).await;
    assert!(early.is_err(), "a receipt for what is not on the disk");

    peer.send(&checked(2, "lost"), host.addr).await.unwrap();
    peer.expect(WHILE, |heard| is_receipt(heard, 2)).await.unwrap();
    assert_eq!(message(&mut events, "lost").await.seq, Some(3), "failures leave no gap");
    node.stop().await;
}

#[tokio::test]
async fn without_a_store_nothing_is_acknowledged_and_everything_shown() {
    let port = free_port().unwrap();
    let host = Host::new(3, 1, port);
    let config = Start { store: false, ..host.config("Node") };
    let node = feige::io::start(config).await.unwrap();
    let mut events = node.handle().subscribe().await.unwrap();
    let mut peer = Peer::new(Ipv4Addr::new(127, 81, 3, 2), port).unwrap();
    peer.send(&checked(1, "shown"), host.addr).await.unwrap();
    assert_eq!(message(&mut events, "shown").await.seq, None);
    node.stop().await;
    peer.expect(WHILE, |heard| is_command(heard, BR_EXIT)).await.unwrap();
    assert!(peer.expect(Duration::ZERO, |heard| is_receipt(heard, 1)).await.is_err());
    assert!(!host.paths().db.exists());
}

#[tokio::test]
async fn a_taken_port_is_reported_with_its_holder_and_the_holder_is_unharmed() {
    let port = free_port().unwrap();
    let host = Host::new(4, 1, port);
    let other = Host { home: TempDir::new().unwrap(), addr: host.addr };
    let node = host.start("First").await;
    let begun = Instant::now();
    let error = feige::io::start(other.config("Second")).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let StartError::PortTaken { port: taken, holder, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*taken, port);
    let pid = format!("(process {})", std::process::id());
    assert!(holder.as_ref().is_some_and(|holder| holder.contains(&pid)), "{error}");

    let error = feige::io::start(host.config("Third")).await.unwrap_err();
    let own = std::process::id();
    assert!(matches!(error, StartError::AlreadyRunning { pid: Some(pid) } if pid == own));
    assert_eq!(status(&node.handle()).await.nick, "First");
    node.stop().await;
    let again = other.start("Second").await;
    again.stop().await;
}

#[tokio::test]
async fn an_address_that_no_link_owns_is_no_network() {
    let port = free_port().unwrap();
    let host = Host::new(5, 1, port);
    let bind: Vec<IpAddr> = vec![[192, 0, 2, 77].into()];
    let error = feige::io::start(Start { bind, ..host.config("Node") }).await.unwrap_err();
    assert!(matches!(error, StartError::NoNetwork { .. }), "{error:?}");
    assert!(error.to_string().contains("192.0.2.77"));
    assert!(join(&host.paths(), false).await.unwrap().is_none(), "nothing is left behind");
}

#[tokio::test]
async fn a_joined_command_asks_and_hears_like_the_owner() {
    let port = free_port().unwrap();
    let host = Host::new(6, 1, port);
    assert!(join(&host.paths(), false).await.unwrap().is_none());
    let node = host.start("Owner").await;
    let joined = join(&host.paths(), false).await.unwrap().unwrap();
    assert_eq!(joined.hello, Hello { last_seq: Some(0), ..node.hello().clone() });
    let mut events = joined.handle.subscribe().await.unwrap();
    let mut again = joined.handle.subscribe().await.unwrap();

    let mut peer = Peer::new(Ipv4Addr::new(127, 81, 6, 2), port).unwrap();
    peer.send(&checked(7, "hello"), host.addr).await.unwrap();
    assert_eq!(message(&mut events, "hello").await.seq, Some(1));
    assert_eq!(message(&mut again, "hello").await.seq, Some(1));
    let seen = status(&joined.handle).await;
    assert_eq!((seen.nick.as_str(), seen.counters.messages), ("Owner", 1));
    let shell = seen.shell.unwrap();
    assert_eq!((shell.pid, shell.clients), (std::process::id(), 1));
    assert!(shell.receive_buffer > 0);

    let (to, text) = (vec![Target::Addr(peer.addr())], "back".to_owned());
    let send =
        Request::Send { to, text, check: false, timeout_ms: 1_000, wishes: Wishes::default() };
    let reply = joined.handle.request(send).await.unwrap();
    assert!(matches!(reply, Reply::Sent { .. }), "{reply:?}");
    peer.expect(WHILE, |heard| packet(&heard.bytes).is_some_and(|(_, text)| text == "back"))
        .await
        .unwrap();
    node.stop().await;
    assert_eq!(soon("end of events", async { while events.next().await.is_some() {} }).await, ());
    assert!(joined.handle.request(Request::Peers).await.is_err());
}

#[tokio::test]
async fn a_home_with_a_long_path_can_be_joined_too() {
    let mut host = Host::new(16, 1, free_port().unwrap());
    let long = host.home.path().join("x".repeat(120));
    std::fs::create_dir(&long).unwrap();
    host.home = TempDir::new_in(long).unwrap();
    let node = host.start("Far away").await;
    assert_eq!(lasting(&host).await.hello.nick, "Far away");
    node.stop().await;
    assert!(join(&host.paths(), false).await.unwrap().is_none());
}

#[tokio::test]
async fn an_asked_for_end_is_everybodys_end() {
    let port = free_port().unwrap();
    let host = Host::new(7, 1, port);
    let mut node = host.start("Owner").await;
    let lasting = join(&host.paths(), true).await.unwrap().unwrap();
    let brief = join(&host.paths(), false).await.unwrap().unwrap();
    assert_eq!(brief.handle.request(Request::Stop).await, Ok(Reply::Done));
    soon("the owner hears of it", node.ended()).await;
    assert_eq!(node.stop().await, Stopped::Goodbye);
    let how = soon("the lasting client hears of it", lasting.succession.wait()).await;
    assert!(matches!(how, Succeeded::Stopped), "{how:?}");
    assert!(join(&host.paths(), true).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_stored_is_told_again_to_those_who_come_late() {
    let port = free_port().unwrap();
    let host = Host::new(8, 1, port);
    let node = host.start("Owner").await;
    let mut peer = Peer::new(Ipv4Addr::new(127, 81, 8, 2), port).unwrap();
    for number in 1..=5 {
        peer.send(&checked(number, &format!("message {number}")), host.addr).await.unwrap();
        peer.expect(WHILE, |heard| is_receipt(heard, number)).await.unwrap();
    }
    let joined = join(&host.paths(), false).await.unwrap().unwrap();
    let mut events = joined.handle.subscribe_after(Some(2)).await.unwrap();
    assert_eq!(events.last_seq(), Some(5));
    assert_eq!(node.handle().subscribe().await.unwrap().last_seq(), Some(5));
    peer.send(&checked(6, "message 6"), host.addr).await.unwrap();
    for seq in 3..=6 {
        assert_eq!(message(&mut events, &format!("message {seq}")).await.seq, Some(seq));
    }
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_events_and_holds_up_nobody() {
    const EVENTS: u64 = 24_000;
    let port = free_port().unwrap();
    let host = Host::new(9, 1, port);
    let node = host.start("Owner").await;
    let mut slow = node.handle().subscribe().await.unwrap();
    let peer = Peer::new(Ipv4Addr::new(127, 81, 9, 2), port).unwrap();
    // In lots that fit into the smallest receive buffer there is.
    for lot in 0..EVENTS / 100 {
        for number in lot * 100..lot * 100 + 100 {
            peer.send(&entry(1_000 + number, &format!("name{}", number % 2)), host.addr)
                .await
                .unwrap();
        }
        let taken = async {
            while status(&node.handle()).await.counters.received < (lot + 1) * 100 {
                tokio::task::yield_now().await;
            }
        };
        soon("the node takes them", taken).await;
    }
    let mut told = 0;
    let missed = loop {
        match soon("an event", slow.next()).await.unwrap().event {
            Event::Lagged { missed } => break missed,
            _ => told += 1,
        }
    };
    assert!(told > 1_000 && missed > 0, "{told} told, {missed} missed");
    node.stop().await;
}

#[tokio::test]
async fn connections_that_ask_for_nothing_are_closed_without_a_byte() {
    let port = free_port().unwrap();
    let host = Host::new(10, 1, port);
    let node = host.start("Owner").await;
    let connect = |last: u8| {
        let (from, to) = (SocketAddr::from(([127, 81, 10, last], 0)), host.addr);
        async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(from).unwrap();
            socket.connect(to).await.unwrap()
        }
    };
    let mut silent: Vec<TcpStream> = Vec::new();
    for _ in 0..8 {
        silent.push(connect(2).await);
    }
    let closed = async |mut stream: TcpStream| {
        let mut bytes = Vec::new();
        // A reset is a close too: it comes when we had sent something nobody read.
        let _ = soon("the end", stream.read_to_end(&mut bytes)).await;
        assert!(bytes.is_empty(), "{bytes:?}");
    };
    let begun = Instant::now();
    closed(connect(2).await).await;
    let mut asking = connect(3).await;
    asking.write_all(b"1:100:u:h:96:5d:0:0:").await.unwrap();
    closed(asking).await;
    let mut long = connect(3).await;
    long.write_all(&[b'x'; 5_000]).await.unwrap();
    closed(long).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "these do not wait");
    for stream in silent {
        closed(stream).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(4), "these had their time");
    node.stop().await;
}

/// A node in a process of its own; ends with this value.
struct Owner {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

const OWNER_HOME: &str = "FEIGE_TEST_OWNER_HOME";
const OWNER_ADDR: &str = "FEIGE_TEST_OWNER_ADDR";

impl Owner {
    fn start(host: &Host) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "io::an_owner_of_its_own", "--ignored", "--nocapture"])
            .env(OWNER_HOME, host.home.path())
            .env(OWNER_ADDR, host.addr.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut owner = Self { child, said };
        owner.until("RUNNING");
        owner
    }

    fn until(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "no {word}");
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Asks it to end in order.
    fn end(&mut self) {
        self.child.stdin.take().unwrap().write_all(b"end\n").unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
#[ignore = "the process that other tests start"]
async fn an_owner_of_its_own() {
    let (Some(home), Ok(addr)) = (std::env::var_os(OWNER_HOME), std::env::var(OWNER_ADDR)) else {
        return;
    };
    let paths = Paths::all_in(home.as_ref());
    let start = start_at(&paths, addr.parse().unwrap(), "Owner");
    let node = feige::io::start(start).await.unwrap();
    println!("RUNNING");
    let stdin = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    let _ = stdin.await;
    println!("STOPPED {:?}", node.stop().await);
}

/// Sends checked messages without a pause, ten under way at a time, none of them twice, and waits
/// for every receipt.
async fn stream(mut peer: Peer, to: SocketAddr, count: u64) -> Peer {
    for number in 1..=count {
        peer.send(&checked(number, &format!("message {number}")), to).await.unwrap();
        if number > 10 {
            peer.expect(WHILE, |heard| is_receipt(heard, number - 10)).await.unwrap();
        }
    }
    for number in count - 9..=count {
        peer.expect(WHILE, |heard| is_receipt(heard, number)).await.unwrap();
    }
    peer
}

/// Hears the messages from `next` to `last`, each once and in the order of `seq`, until the last
/// one or the end of the node; says which one is the next.
async fn hear(events: &mut Subscription, mut next: u64, last: u64) -> u64 {
    while next <= last {
        let Some(stamped) = soon("an event", events.next()).await else { break };
        match stamped.event {
            Event::Message(message) => {
                assert_eq!(stamped.seq, Some(next), "no gap, no repeat");
                assert_eq!(message.text, format!("message {next}"));
                next += 1;
            }
            Event::Lagged { missed } => panic!("{missed} missed"),
            _ => {}
        }
    }
    next
}

async fn lasting(host: &Host) -> Joined {
    join(&host.paths(), true).await.unwrap().unwrap()
}

/// What a lasting command does when its owner ends.
async fn go_on(host: &Host, joined: Joined) -> Place {
    let Joined { hello, succession, .. } = joined;
    let how = soon("the end of the owner", succession.wait()).await;
    // The address is not the node's: where to bind is said by the owner.
    let start = start_at(&host.paths(), ([127, 0, 0, 1], 1).into(), "Heir");
    soon("the next owner", succeed(start, &hello, how)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_hand_over_between_processes_loses_nothing_and_says_nothing() {
    const COUNT: u64 = 500;
    let port = free_port().unwrap();
    let host = Host::new(11, 1, port);
    let mut owner = Owner::start(&host);
    let (heir, third) = (lasting(&host).await, lasting(&host).await);
    let mut to_heir = heir.handle.subscribe().await.unwrap();
    let mut to_third = third.handle.subscribe().await.unwrap();
    let peer = Peer::new(Ipv4Addr::new(127, 81, 11, 2), port).unwrap();
    let receipts = tokio::spawn(stream(peer, host.addr, COUNT));

    let next = hear(&mut to_heir, 1, 50).await;
    owner.end();
    let next = hear(&mut to_heir, next, COUNT).await;
    assert!(next < COUNT, "the port changed hands while messages came");
    let begun = Instant::now();
    let Place::Owner(node) = go_on(&host, heir).await else { panic!("the first client is next") };
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let mut events = node.handle().subscribe().await.unwrap();
    notice(&mut events, NoticeCode::TookOver).await;
    assert_eq!(hear(&mut events, next, COUNT).await, COUNT + 1);
    assert_eq!(owner.until("STOPPED"), format!("HandedOver {{ to: {} }}", std::process::id()));
    assert_eq!(status(&node.handle()).await.nick, "Owner", "it is the same node");

    let next = hear(&mut to_third, 1, COUNT).await;
    let Place::Guest(third) = go_on(&host, third).await else { panic!("the port is taken") };
    let mut to_third = third.handle.subscribe_after(Some(next - 1)).await.unwrap();
    assert_eq!(hear(&mut to_third, next, COUNT).await, COUNT + 1);

    let mut peer = receipts.await.unwrap();
    assert!(peer.expect(Duration::ZERO, |heard| is_command(heard, BR_EXIT)).await.is_err());
    drop(third);
    assert_eq!(node.stop().await, Stopped::Goodbye);
    peer.expect(WHILE, |heard| is_command(heard, BR_EXIT)).await.unwrap();
}

#[tokio::test]
async fn when_an_owner_is_killed_one_client_takes_over_and_the_others_join_it() {
    let port = free_port().unwrap();
    let host = Host::new(12, 1, port);
    let mut owner = Owner::start(&host);
    let clients = [lasting(&host).await, lasting(&host).await, lasting(&host).await];
    let mut peer = Peer::new(Ipv4Addr::new(127, 81, 12, 2), port).unwrap();
    peer.send(&checked(1, "message 1"), host.addr).await.unwrap();
    peer.expect(WHILE, |heard| is_receipt(heard, 1)).await.unwrap();

    owner.child.kill().unwrap();
    let begun = Instant::now();
    let [a, b, c] = clients.map(|client| go_on(&host, client));
    let places = tokio::join!(a, b, c);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let (mut owners, mut guests) = (Vec::new(), Vec::new());
    for place in [places.0, places.1, places.2] {
        match place {
            Place::Owner(node) => owners.push(node),
            Place::Guest(joined) => guests.push(joined),
        }
    }
    assert_eq!((owners.len(), guests.len()), (1, 2));
    let mut events = guests[0].handle.subscribe_after(Some(0)).await.unwrap();
    peer.send(&checked(2, "message 2"), host.addr).await.unwrap();
    assert_eq!(hear(&mut events, 1, 2).await, 3);
    peer.expect(WHILE, |heard| is_receipt(heard, 2)).await.unwrap();
    assert!(peer.expect(Duration::ZERO, |heard| is_command(heard, BR_EXIT)).await.is_err());
    drop(guests);
    owners.remove(0).stop().await;
}

#[tokio::test]
async fn a_client_that_hangs_does_not_keep_the_port_from_the_next_one() {
    let port = free_port().unwrap();
    let host = Host::new(13, 1, port);
    let node = host.start("Owner").await;
    let mut hangs = UnixStream::connect(host.paths().runtime_dir.join("control")).await.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let hello = format!(r#"{{"hello":{{"version":"{version}","pid":1,"lasting":true}}}}"#);
    hangs.write_all(hello.as_bytes()).await.unwrap();
    hangs.write_all(b"\n").await.unwrap();
    assert!(hangs.read_u8().await.is_ok(), "it is let in first");
    let heir = lasting(&host).await;
    let begun = Instant::now();
    let (stopped, place) = tokio::join!(node.stop(), go_on(&host, heir));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(stopped, Stopped::HandedOver { to: std::process::id() });
    let Place::Owner(node) = place else { panic!("the port is free for it") };
    node.stop().await;
}

#[tokio::test]
async fn who_may_not_take_over_is_not_offered_the_port() {
    let port = free_port().unwrap();
    let host = Host::new(14, 1, port);
    let config = Start { allow_takeover: false, ..host.config("Alone") };
    let node = feige::io::start(config).await.unwrap();
    let guest = lasting(&host).await;
    let mut peer = Peer::new(Ipv4Addr::new(127, 81, 14, 2), port).unwrap();
    assert_eq!(node.stop().await, Stopped::Goodbye);
    peer.expect(WHILE, |heard| is_command(heard, BR_EXIT)).await.unwrap();
    let how = soon("the end", guest.succession.wait()).await;
    assert!(matches!(how, Succeeded::Moved), "{how:?}");
}

#[tokio::test]
async fn a_node_is_found_and_handed_over_between_runtime_folders() {
    let port = free_port().unwrap();
    let host = Host::new(16, 1, port);
    // With a runtime folder, with another one, with none.
    let at = |own: &str| {
        let (own, common) = (host.home.path().join(own), host.home.path().join("run"));
        let common_dir = (own != common).then_some(common);
        Paths { runtime_dir: own, common_dir, ..host.paths() }
    };
    let all = ["named", "user", "run"].map(at);
    for first in &all {
        for second in &all {
            let node = feige::io::start(start_at(first, host.addr, "Owner")).await.unwrap();
            let heir = join(second, true).await.unwrap().unwrap();
            let beside = start_at(second, (host.addr.ip(), port ^ 1).into(), "Second");
            let beside = feige::io::start(beside).await;
            assert!(matches!(beside, Err(StartError::AlreadyRunning { .. })), "{beside:?}");
            let Joined { hello, succession, handle } = heir;
            drop(handle);
            let follows = async {
                let how = soon("the end of the owner", succession.wait()).await;
                succeed(start_at(second, host.addr, "Heir"), &hello, how).await.unwrap().unwrap()
            };
            let (_, place) = tokio::join!(node.stop(), follows);
            let Place::Owner(node) = place else { panic!("the port is free for it") };
            for third in &all {
                assert!(join(third, false).await.unwrap().is_some(), "{first:?} {second:?}");
                assert!(matches!(Lock::take(third), Err(StoreError::Held { .. })));
            }
            node.stop().await;
            for third in &all {
                assert!(join(third, false).await.unwrap().is_none(), "{first:?} {second:?}");
            }
        }
    }
}

#[tokio::test]
async fn strangers_and_newer_versions_are_not_taken_for_a_node() {
    let host = Host::new(15, 1, free_port().unwrap());
    std::fs::create_dir_all(host.paths().runtime_dir).unwrap();
    let path = host.paths().runtime_dir.join("control");
    let stranger = tokio::net::UnixListener::bind(&path).unwrap();
    let answer = async {
        let (mut stream, _) = stranger.accept().await.unwrap();
        stream.write_all(b"{\"something\":\"else\"}\n").await.unwrap();
        stream
    };
    let paths = host.paths();
    let (joined, _stream) = tokio::join!(join(&paths, false), answer);
    assert!(matches!(joined, Err(JoinError::Version { .. })), "{joined:?}");
    drop(stranger);
    assert!(join(&host.paths(), false).await.unwrap().is_none(), "a dead owner's socket");
    host.start("Owner").await.stop().await;
}

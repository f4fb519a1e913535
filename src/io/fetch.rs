//! Transfers to us: each on a thread of its own, so that bytes move without the node's task and
//! messages never wait for them. What is fetched, and from whom, the node has decided.

mod connect;
mod file;
mod folder;
mod pump;
mod transfer;
mod trouble;
mod writer;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::Socket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::transfer::Transfer;
use self::trouble::Trouble;
use self::writer::Spare;
use crate::node::{Fetch, FetchEnd, FetchId, FetchNews, Leftover};
use crate::store::download::{Folder, Origin};

/// The transfers that run.
#[derive(Debug)]
pub(crate) struct Fetches {
    place: Arc<Place>,
    running: HashMap<FetchId, Arc<Stop>>,
    tell: mpsc::UnboundedSender<(FetchId, FetchNews)>,
    news: mpsc::UnboundedReceiver<(FetchId, FetchNews)>,
    /// What is being removed.
    removals: JoinSet<()>,
}

/// Where transfers go, and by what limits.
#[derive(Debug)]
struct Place {
    /// Where a transfer goes that names no folder.
    downloads: PathBuf,
    /// The loopback address connections are made from; none: the system's choice.
    source: Option<Ipv4Addr>,
    limits: Limits,
    spare: Spare,
}

/// How long a sender may keep us waiting.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Until the connection stands.
    connect: Duration,
    /// A sender to whom there is no way is tried again for so long, after such pauses: the system
    /// gives a hardware address up after 3 s without an answer.
    no_way: Duration,
    no_way_again: Duration,
    /// Without a byte (threats, caps).
    silence: Duration,
    /// In this time at least [`Limits::drip_bytes`] must come: one who sends a byte now and then
    /// holds a transfer open for ever.
    drip: Duration,
    drip_bytes: u64,
    /// FeiQ closes without a byte when it is asked too soon (FeiQ dialect, 8): asked again after
    /// this time, so often in all.
    again_after: Duration,
    tries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            no_way: Duration::from_secs(5),
            no_way_again: Duration::from_millis(500),
            silence: Duration::from_secs(30),
            drip: Duration::from_secs(120),
            drip_bytes: 64 << 10,
            again_after: Duration::from_millis(150),
            tries: 3,
        }
    }
}

/// How a transfer is ended from outside.
#[derive(Debug, Default)]
struct Stop {
    wanted: AtomicBool,
    /// What came is to go too.
    discards: AtomicBool,
    /// The connection it waits on.
    socket: Mutex<Option<Socket>>,
}

impl Stop {
    fn stop(&self) {
        self.wanted.store(true, Ordering::Relaxed);
        if let Some(socket) = &*self.socket.lock().unwrap_or_else(PoisonError::into_inner) {
            // It is closed already, or will be found closed. Our direction stays open: its end would
            // look to the sender as if all had been received.
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// Ends it, and what came of it.
    fn discard(&self) {
        self.discards.store(true, Ordering::Relaxed);
        self.stop();
    }

    fn discards(&self) -> bool {
        self.discards.load(Ordering::Relaxed)
    }

    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// This is the connection now; what came on the one before was of no use.
    fn watch(&self, socket: &Socket) -> io::Result<()> {
        let watched = socket.try_clone()?;
        if let Some(before) = self.replace(Some(watched)) {
            reset(&before);
        }
        Ok(())
    }

    /// Nothing more is expected on the connection. A sender takes a close after its last byte for
    /// success, so one that did not end well is reset, whatever was read of it.
    fn let_go(&self, well: bool) {
        if let Some(socket) = self.replace(None)
            && !well
        {
            reset(&socket);
        }
    }

    fn replace(&self, socket: Option<Socket>) -> Option<Socket> {
        let mut watched = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *watched, socket)
    }
}

/// Lets the close of a connection tell the other side that it failed.
fn reset(socket: &Socket) {
    let _ = socket.set_linger(Some(Duration::ZERO));
}

/// Buffers are on the heap; the frames of the deepest call fit many times, also in debug builds.
const STACK_BYTES: usize = 256 * 1024;

impl Fetches {
    pub(crate) fn new(downloads: PathBuf, source: Option<Ipv4Addr>) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        let (limits, spare) = (Limits::default(), Spare::default());
        let place = Place { downloads, source, limits, spare };
        let (running, removals) = (HashMap::new(), JoinSet::new());
        Self { place: Arc::new(place), running, tell, news, removals }
    }

    /// Begins a transfer; its end is told in any case.
    pub(crate) fn start(&mut self, id: FetchId, fetch: Fetch) {
        let stop = Arc::new(Stop::default());
        let kind = fetch.kind;
        let (watched, place, tell) = (stop.clone(), self.place.clone(), self.tell.clone());
        let run = move || {
            // Nobody listens any more only when the node is gone.
            let told = |news| drop(tell.send((id, news)));
            let end = Transfer::new(&fetch, &place, &watched, &told).run();
            told(FetchNews::Ended(Box::new(end)));
        };
        let thread =
            std::thread::Builder::new().name("fetch".to_owned()).stack_size(STACK_BYTES).spawn(run);
        match thread {
            Ok(_) => drop(self.running.insert(id, stop)),
            Err(error) => {
                let end = FetchEnd {
                    result: Err(Trouble::Thread(error).problem(kind)),
                    bytes: 0,
                    resumed: 0,
                    done: 0,
                    skipped: 0,
                    took: Duration::ZERO,
                    sha256: None,
                    ids: None,
                };
                drop(self.tell.send((id, FetchNews::Ended(Box::new(end)))));
            }
        }
    }

    /// Ends a transfer; it tells its end.
    pub(crate) fn stop(&mut self, id: FetchId) {
        if let Some(stop) = self.running.get(&id) {
            stop.stop();
        }
    }

    /// Ends a transfer that is not wanted, and what came of it; it tells its end.
    pub(crate) fn discard(&mut self, id: FetchId) {
        if let Some(stop) = self.running.get(&id) {
            stop.discard();
        }
    }

    /// Removes what transfers that ended have left.
    pub(crate) fn remove(&mut self, left: Vec<Leftover>) {
        let place = self.place.clone();
        while self.removals.try_join_next().is_some() {}
        self.removals.spawn_blocking(move || {
            for Leftover { into, key, packet, file } in left {
                // Where there is no folder nothing is left.
                if let Ok(folder) = Folder::existing(into.as_ref().unwrap_or(&place.downloads)) {
                    folder.remove_parts(&key, Origin { packet, file });
                }
            }
        });
    }

    /// Ends all, and waits until their files are closed, so that another process can go on with
    /// them. What they tell of it is not heard.
    pub(crate) async fn close(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        for stop in self.running.values() {
            stop.stop();
        }
        let ended = async {
            while !self.running.is_empty() {
                self.news().await;
            }
            while self.removals.join_next().await.is_some() {}
        };
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            tracing::warn!("a transfer does not end");
        }
    }

    /// What the transfers tell; waits for it.
    pub(crate) async fn news(&mut self) -> (FetchId, FetchNews) {
        match self.news.recv().await {
            Some(news) => self.heard(news),
            None => std::future::pending().await,
        }
    }

    /// What the transfers have told meanwhile.
    pub(crate) fn try_news(&mut self) -> Option<(FetchId, FetchNews)> {
        let news = self.news.try_recv().ok()?;
        Some(self.heard(news))
    }

    fn heard(&mut self, news: (FetchId, FetchNews)) -> (FetchId, FetchNews) {
        if matches!(news.1, FetchNews::Ended(_)) {
            self.running.remove(&news.0);
        }
        news
    }
}

impl Drop for Fetches {
    fn drop(&mut self) {
        for stop in self.running.values() {
            stop.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::{self, JoinHandle};

    use super::*;
    use crate::node::{Charset, FileAsk, ItemKind, Options, PacketNo, Side};
    use crate::store::download::Stage;
    use crate::wire::request::AnswerForm;

    /// A sender that does this on each connection, until it is not reached any more.
    struct Sender {
        addr: SocketAddr,
        thread: Option<JoinHandle<()>>,
        ended: Arc<AtomicBool>,
    }

    impl Sender {
        fn new(serve: impl Fn(&mut dyn Write) -> bool + Send + 'static) -> Self {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let addr = listener.local_addr().unwrap();
            let ended = Arc::new(AtomicBool::new(false));
            let ending = ended.clone();
            let thread = thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    if ending.load(Ordering::Relaxed) {
                        return;
                    }
                    let _ = stream.read(&mut [0; 4_096]);
                    while serve(&mut stream) {}
                    // Held open until the receiver goes.
                    let _ = stream.read(&mut [0]);
                }
            });
            Self { addr, thread: Some(thread), ended }
        }
    }

    impl Drop for Sender {
        fn drop(&mut self) {
            self.ended.store(true, Ordering::Relaxed);
            if let Ok(socket) = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None) {
                let _ = socket.connect(&self.addr.into());
            }
            let _ = self.thread.take().map(JoinHandle::join);
        }
    }

    fn fetch(from: SocketAddr, size: u64, kind: ItemKind) -> Fetch {
        let form = match kind {
            ItemKind::Folder => AnswerForm::Tree,
            _ => AnswerForm::Bytes,
        };
        Fetch {
            from,
            ask: FileAsk {
                version: "1".to_owned(),
                number: PacketNo(1),
                user: "u".to_owned(),
                host: "h".to_owned(),
                options: Options::empty(),
                form,
                packet: PacketNo(2),
                file: 3,
                habits: crate::wire::dialect::IPMSG.habits,
            },
            kind,
            name: "a".to_owned(),
            size,
            mtime: 0,
            read_only: false,
            charset: Charset::UTF_8,
            key: "0a0a0a0a0a0a0a0a0a0a".to_owned(),
            resumes: false,
            into: None,
            limit: None,
            digest: false,
        }
    }

    fn place(home: &tempfile::TempDir, limits: Limits) -> Place {
        let (downloads, spare) = (home.path().join("in"), Spare::default());
        Place { downloads, source: None, limits, spare }
    }

    fn names(home: &tempfile::TempDir) -> Vec<String> {
        let entries = std::fs::read_dir(home.path().join("in")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    const QUICK: Limits = Limits {
        connect: Duration::from_secs(5),
        no_way: Duration::from_millis(100),
        no_way_again: Duration::from_millis(10),
        silence: Duration::from_millis(300),
        drip: Duration::from_millis(500),
        drip_bytes: 1_000,
        again_after: Duration::from_millis(1),
        tries: 3,
    };

    #[test]
    fn a_sender_who_falls_silent_is_given_up() {
        let home = tempfile::tempdir().unwrap();
        for (kind, begin) in [(ItemKind::File, &b"half"[..]), (ItemKind::Folder, b"000b:t:0:2:")] {
            let once = AtomicBool::new(true);
            let sender = Sender::new(move |stream| {
                if once.swap(false, Ordering::Relaxed) {
                    stream.write_all(begin).unwrap();
                }
                false
            });
            let (place, stop) = (place(&home, QUICK), Stop::default());
            let fetch = fetch(sender.addr, 100, kind);
            let end = Transfer::new(&fetch, &place, &stop, &|_| ()).run();
            let problem = end.result.unwrap_err();
            assert!(problem.what.starts_with("nothing came from the sender for"), "{problem:?}");
            // A header is nothing of the folder's files.
            let contents = if kind == ItemKind::File { begin.len() as u64 } else { 0 };
            assert_eq!((problem.side, end.bytes), (Side::Network, contents));
        }
        assert_eq!(
            names(&home),
            [".feige-0a0a0a0a0a0a0a0a0a0a.2.3.part"],
            "of the file, for the next time"
        );
    }

    #[test]
    fn a_folder_comes_whole_however_few_files_may_wait_to_be_written() {
        let size = |number: usize| if number == 150 { 700_000 } else { number * 37 };
        let contents = |number: usize| vec![u8::try_from(number).unwrap(); size(number)];
        let mut stream = b"000b:t:0:2:".to_vec();
        for number in 0..200 {
            let fields = format!(":{number}:{:x}:1:14=65a0c3f0:", size(number));
            stream.extend(format!("{:04x}{fields}", fields.len() + 4).into_bytes());
            stream.extend(contents(number));
        }
        stream.extend(b"000b:.:0:3:");
        for spare in [0, 1, 7, 1_000] {
            let home = tempfile::tempdir().unwrap();
            let stream = stream.clone();
            let sender = Sender::new(move |to| {
                // In pieces that end anywhere.
                stream.chunks(9_973).for_each(|piece| to.write_all(piece).unwrap());
                false
            });
            let place = Place { spare: spare.into(), ..place(&home, QUICK) };
            let fetch = fetch(sender.addr, 1 << 30, ItemKind::Folder);
            let end = Transfer::new(&fetch, &place, &Stop::default(), &|_| ()).run();
            let path = end.result.unwrap();
            assert_eq!((end.done, names(&home)), (200, vec!["a".to_owned()]));
            for number in 0..200 {
                let file = path.join(number.to_string());
                assert!(std::fs::read(&file).unwrap() == contents(number), "{spare} {number}");
                let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
                let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
                assert_eq!(since.as_secs(), 0x65a0_c3f0, "{spare} {number}");
            }
        }
    }

    #[test]
    fn a_dripping_sender_does_not_hold_a_transfer_for_ever() {
        let home = tempfile::tempdir().unwrap();
        let sender = Sender::new(|stream| {
            thread::sleep(Duration::from_millis(5));
            stream.write_all(b"x").is_ok()
        });
        let (place, stop) = (place(&home, QUICK), Stop::default());
        let fetch = fetch(sender.addr, 1 << 20, ItemKind::File);
        let end = Transfer::new(&fetch, &place, &stop, &|_| ()).run();
        let problem = end.result.unwrap_err();
        assert!(problem.what.contains("sent less than 1000 bytes"), "{problem:?}");
    }

    #[test]
    fn a_transfer_that_waits_can_be_stopped() {
        let home = tempfile::tempdir().unwrap();
        let sender = Sender::new(|_| false);
        let limits = Limits { silence: Duration::from_secs(60), ..QUICK };
        let (place, stop) = (place(&home, limits), Arc::new(Stop::default()));
        let fetch = fetch(sender.addr, 100, ItemKind::File);
        let stopper = stop.clone();
        let waits = thread::spawn(move || {
            while stopper.socket.lock().unwrap().is_none() {
                thread::yield_now();
            }
            stopper.stop();
        });
        let end = Transfer::new(&fetch, &place, &stop, &|_| ()).run();
        waits.join().unwrap();
        assert_eq!(end.result.unwrap_err().what, "it was stopped");
        assert_eq!(names(&home), [""; 0], "nothing came, nothing stays");
    }

    #[test]
    fn a_folder_that_has_no_place_is_not_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let asked = Arc::new(AtomicBool::new(false));
        let heard = asked.clone();
        let sender = Sender::new(move |_| {
            heard.store(true, Ordering::Relaxed);
            false
        });
        let (place, stop) = (place(&home, QUICK), Stop::default());
        let fetch = fetch(sender.addr, 100, ItemKind::Folder);
        let folder = Arc::new(Folder::open(&place.downloads).unwrap());
        let others = || Stage::begin(folder.clone(), &fetch.key).ok();
        let _others: Vec<Stage> = std::iter::from_fn(others).collect();
        let end = Transfer::new(&fetch, &place, &stop, &|_| ()).run();
        let problem = end.result.unwrap_err();
        assert!(problem.what.contains("being received already"), "{problem:?}");
        drop(sender);
        assert!(!asked.load(Ordering::Relaxed));
    }

    /// What a sender reads that has sent this, and then does something.
    fn seen_by_sender(
        begin: &'static [u8],
        then: impl FnOnce() + Send + 'static,
    ) -> (SocketAddr, JoinHandle<std::io::Result<usize>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let _ = stream.read(&mut [0; 4_096])?;
            stream.write_all(begin)?;
            then();
            stream.read(&mut [0])
        });
        (addr, thread)
    }

    #[test]
    fn who_sent_what_was_not_kept_is_not_told_that_it_arrived() {
        let home = tempfile::tempdir().unwrap();
        // All of it came, and is more than was accepted.
        let whole = b"000b:t:0:2:000b:a:5:1:hello000b:.:0:3:";
        for (kind, size, sent, arrived) in [
            (ItemKind::Folder, 4, &whole[..], false),
            (ItemKind::Folder, 5, whole, true),
            (ItemKind::File, 5, b"hello", true),
        ] {
            let (addr, seen) = seen_by_sender(sent, || ());
            let (place, stop) = (place(&home, QUICK), Stop::default());
            let end = Transfer::new(&fetch(addr, size, kind), &place, &stop, &|_| ()).run();
            assert_eq!(end.result.is_ok(), arrived, "{end:?}");
            let seen = seen.join().unwrap().map_err(|error| error.kind());
            let told = if arrived { Ok(0) } else { Err(io::ErrorKind::ConnectionReset) };
            assert_eq!(seen, told, "{kind:?} {size}");
        }
        // The user stopped it.
        let stop = Arc::new(Stop::default());
        let stopper = stop.clone();
        let (addr, seen) = seen_by_sender(b"half", move || stopper.stop());
        let place = place(&home, QUICK);
        let end = Transfer::new(&fetch(addr, 100, ItemKind::File), &place, &stop, &|_| ()).run();
        assert_eq!(end.result.unwrap_err().what, "it was stopped");
        let seen = seen.join().unwrap().map_err(|error| error.kind());
        assert_eq!(seen, Err(io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn of_what_is_refused_while_it_moves_nothing_stays() {
        let home = tempfile::tempdir().unwrap();
        for (discards, stays) in [(false, 1), (true, 0)] {
            let sender = Sender::new(|stream| stream.write_all(&[7; 4_096]).is_ok());
            let (place, stop) = (place(&home, QUICK), Stop::default());
            let fetch = fetch(sender.addr, 1 << 30, ItemKind::File);
            let end = |_: FetchNews| if discards { stop.discard() } else { stop.stop() };
            let end = Transfer::new(&fetch, &place, &stop, &end).run();
            assert_eq!(end.result.unwrap_err().what, "it was stopped");
            assert!(end.bytes > 0);
            assert_eq!(names(&home).len(), stays);
        }
    }

    #[test]
    fn what_is_refused_when_all_of_it_has_come_gets_no_name() {
        let home = tempfile::tempdir().unwrap();
        let (addr, seen) = seen_by_sender(b"x", || ());
        let (place, stop) = (place(&home, QUICK), Stop::default());
        // Its only byte takes so long that it is told, which is when the user refuses.
        let fetch = Fetch { limit: Some(2), ..fetch(addr, 1, ItemKind::File) };
        let told = |_: FetchNews| stop.discard();
        let end = Transfer::new(&fetch, &place, &stop, &told).run();
        assert_eq!(end.result.unwrap_err().what, "it was stopped");
        assert_eq!((end.bytes, names(&home).len()), (1, 0));
        let seen = seen.join().unwrap().map_err(|error| error.kind());
        assert_eq!(seen, Err(io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn a_transfer_that_is_still_connecting_can_be_stopped() {
        let home = tempfile::tempdir().unwrap();
        // Connections that nobody accepts: when there is no room for more, the next one waits.
        let listener = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        let fills = || {
            let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.connect_timeout(&addr, Duration::from_millis(200)).ok().map(|()| socket)
        };
        let _waiting: Vec<Socket> = std::iter::from_fn(fills).take(16).collect();
        let limits = Limits { connect: Duration::from_secs(60), ..QUICK };
        let (place, stop) = (place(&home, limits), Arc::new(Stop::default()));
        let fetch = fetch(addr.as_socket().unwrap(), 100, ItemKind::File);
        let stopper = stop.clone();
        let waits = thread::spawn(move || {
            while stopper.socket.lock().unwrap().is_none() {
                thread::yield_now();
            }
            // Until it is under way there is nothing to end.
            loop {
                stopper.stop();
                if Arc::strong_count(&stopper) == 1 {
                    return;
                }
                thread::yield_now();
            }
        });
        let end = Transfer::new(&fetch, &place, &stop, &|_| ()).run();
        drop(stop);
        waits.join().unwrap();
        assert_eq!(end.result.unwrap_err().what, "it was stopped");
        assert!(end.took < Duration::from_secs(30), "{:?}", end.took);
    }

    #[test]
    fn what_would_fill_the_disk_is_not_begun() {
        let home = tempfile::tempdir().unwrap();
        let sender = Sender::new(|_| panic!("nobody is asked"));
        let (place, stop) = (place(&home, QUICK), Stop::default());
        let fetch = fetch(sender.addr, 1 << 60, ItemKind::File);
        let end = Transfer::new(&fetch, &place, &stop, &|_| ()).run();
        let problem = end.result.unwrap_err();
        assert!(problem.what.contains("256 MiB are to stay free"), "{problem:?}");
        assert_eq!((problem.side, names(&home).len()), (Side::Ours, 0));
    }
}

//! Somebody whose files can be fetched: answers requests on TCP with exactly the bytes a test wants.

#![expect(clippy::disallowed_types, reason = "a peer without our program has sockets of its own")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A server of files. Ends with the value.
pub(crate) struct Filer {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a request asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    /// 96 or 98.
    pub(crate) command: u8,
    /// The fields behind the header, as they came, without a NUL.
    pub(crate) fields: Vec<String>,
    /// How many requests came before it.
    pub(crate) turn: usize,
}

impl Asked {
    /// The offset, hexadecimal.
    pub(crate) fn offset(&self) -> usize {
        usize::from_str_radix(&self.fields[2], 16).expect("an offset")
    }
}

impl Filer {
    /// Serves at this address. `serve` writes the answer to a request; then the connection is
    /// closed.
    pub(crate) fn new(
        addr: SocketAddr,
        mut serve: impl FnMut(&Asked, &mut dyn Write) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(addr).expect("the address is free");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ending = Arc::new(AtomicBool::new(false));
        let (heard, ended) = (asked.clone(), ending.clone());
        let thread = std::thread::spawn(move || {
            for turn in 0.. {
                let (mut stream, _) = listener.accept().expect("a connection");
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let mut bytes = vec![0; 4_096];
                let read = stream.read(&mut bytes).unwrap_or(0);
                let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
                let asked = parse(&request, turn);
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                serve(&asked, &mut stream);
                let _ = stream.shutdown(Shutdown::Write);
            }
        });
        Self { addr, asked, ending, thread: Some(thread) }
    }

    /// The requests until now, as they came.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes to a receiver that may have had enough.
pub(crate) fn put(stream: &mut dyn Write, bytes: &[u8]) {
    flows(stream, bytes);
}

/// Writes, and says whether the receiver took it.
pub(crate) fn flows(stream: &mut dyn Write, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}

fn parse(request: &str, turn: usize) -> Asked {
    let mut parts = request.splitn(6, ':');
    let command = parts.nth(4).and_then(|word| word.parse::<u32>().ok()).unwrap_or(0);
    let rest = parts.next().unwrap_or_default().trim_end_matches('\0');
    let fields = rest.split(':').map(str::to_owned).collect();
    Asked { command: command.to_le_bytes()[0], fields, turn }
}

impl Drop for Filer {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.addr));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

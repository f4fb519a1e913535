//! Files between messengers of the IPMsg family: the least there is on either side, to compare with.
//!
//! ```text
//! lanfile offer --path P --to 10.99.0.1    offer a file or folder and serve it: sendfile, or one
//!                                          write of a stream that was put together before
//! lanfile fetch                            wait for an offer, fetch it and throw it away
//! lanfile fetch --out DIR                  the same, and write it: splice, or open, write, close
//! ```
//!
//! Each prints one JSON object when it ends; `ready` goes to standard error when its sockets are
//! open. They check nothing, sync nothing and trust each other: run them in a network of your own.
//! As `lanload` they share no code with feige.

#![expect(clippy::disallowed_methods, reason = "a load generator reads the clock")]
#![expect(clippy::disallowed_types, reason = "it has sockets and files of its own")]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, Parser};
use rustix::pipe::SpliceFlags;

/// Bare loops for files.
#[derive(Parser)]
enum Side {
    /// Offer a file or folder, and serve it once.
    Offer(Offer),
    /// Fetch what is offered first.
    Fetch(Fetch),
}

#[derive(Args)]
struct Offer {
    /// What to offer.
    #[arg(long)]
    path: PathBuf,
    /// To whom.
    #[arg(long)]
    to: Ipv4Addr,
    /// End after this many seconds without anybody who asks.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

#[derive(Args)]
struct Fetch {
    /// An existing folder to write it to; none: it is thrown away.
    #[arg(long)]
    out: Option<PathBuf>,
    /// End after this many seconds without an offer.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

fn main() -> ExitCode {
    let done = match Side::parse() {
        Side::Offer(offer) => offer.run(),
        Side::Fetch(fetch) => fetch.run(),
    };
    match done {
        Ok(moved) => {
            println!("{}", moved.json());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lanfile: {error}");
            ExitCode::from(2)
        }
    }
}

/// What moved, and how long it took from the connection to its end.
struct Moved {
    bytes: u64,
    files: u64,
    took: Duration,
}

impl Moved {
    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    fn json(&self) -> String {
        let (bytes, files, seconds) = (self.bytes, self.files, self.took.as_secs_f64());
        format!(
            r#"{{"bytes":{bytes},"files":{files},"seconds":{seconds:.4},"mib_s":{:.1},"files_s":{:.0}}}"#,
            bytes as f64 / f64::from(1 << 20) / seconds,
            files as f64 / seconds,
        )
    }
}

impl Offer {
    fn run(&self) -> io::Result<Moved> {
        let stat = fs::metadata(&self.path)?;
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or("x").to_owned();
        let (mut stream, mut files) = (Vec::new(), 1);
        if stat.is_dir() {
            files = put_folder(&mut stream, &self.path, &name)?;
        }
        let udp = udp()?;
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
        let to = SocketAddr::from((self.to, PORT));
        udp.send_to(&packet(BR_ENTRY, b"lanfile\0\0"), to)?;
        let size = if stat.is_dir() { stream.len() as u64 } else { stat.len() };
        let kind = if stat.is_dir() { FOLDER } else { FILE };
        let list = format!("\x001:{name}:{size:x}:65a0c3f0:{kind:x}:\x07\0");
        udp.send_to(&packet(SENDMSG | SENDCHECK | FILEATTACH, list.as_bytes()), to)?;
        ready();

        let mut socket = accept(&listener, Duration::from_secs(self.seconds))?;
        let begun = Instant::now();
        let _request = socket.read(&mut [0; 4096])?;
        if stat.is_dir() {
            socket.write_all(&stream)?;
        } else {
            let (file, mut at) = (File::open(&self.path)?, 0);
            while at < size {
                let left = usize::try_from(size - at).unwrap_or(usize::MAX);
                if rustix::fs::sendfile(&socket, &file, Some(&mut at), left)? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
        }
        socket.shutdown(Shutdown::Write)?;
        // It has everything when it closes.
        while socket.read(&mut [0; 256])? > 0 {}
        Ok(Moved { bytes: size, files, took: begun.elapsed() })
    }
}

impl Fetch {
    fn run(&self) -> io::Result<Moved> {
        let udp = udp()?;
        ready();
        let offered = self.wait(&udp)?;
        let begun = Instant::now();
        let mut socket = TcpStream::connect(offered.from)?;
        let folder = offered.kind == FOLDER;
        let command = if folder { GETDIRFILES } else { GETFILEDATA };
        let which = format!("{:x}:{}:0:\0", offered.number, offered.id);
        socket.write_all(&packet(command, which.as_bytes()))?;
        let (bytes, files) = match (&self.out, folder) {
            (out, true) => take_folder(BufReader::with_capacity(PIECE, socket), out.clone())?,
            (None, false) => (take_nothing(&mut socket, offered.size)?, 1),
            (Some(out), false) => (splice(&socket, &out.join(&offered.name), offered.size)?, 1),
        };
        Ok(Moved { bytes, files, took: begun.elapsed() })
    }

    /// Waits for an offer; answers entries and confirms it meanwhile.
    fn wait(&self, udp: &UdpSocket) -> io::Result<Offered> {
        udp.set_read_timeout(Some(Duration::from_secs(self.seconds)))?;
        let mut buffer = vec![0; 65_536];
        loop {
            let (length, from) = udp.recv_from(&mut buffer)?;
            let bytes = buffer.get(..length).unwrap_or_default();
            let Some((number, command, rest)) = head(bytes) else { continue };
            match command & 0xff {
                BR_ENTRY => drop(udp.send_to(&packet(ANSENTRY, b"lanfile\0\0"), from)?),
                SENDMSG if command & FILEATTACH != 0 => {
                    let receipt = format!("{number}\0");
                    udp.send_to(&packet(RECVMSG, receipt.as_bytes()), from)?;
                    if let Some(offered) = offered(number, rest, from) {
                        return Ok(offered);
                    }
                }
                _ => {}
            }
        }
    }
}

struct Offered {
    from: SocketAddr,
    number: u64,
    id: String,
    name: String,
    size: u64,
    kind: u32,
}

/// The first entry of an offer's list.
fn offered(number: u64, rest: &[u8], from: SocketAddr) -> Option<Offered> {
    let list = rest.split(|byte| *byte == 0).nth(1)?;
    let list = std::str::from_utf8(list).ok()?;
    let mut fields = list.split(':');
    let id = fields.next()?.trim_matches('\x07').to_owned();
    let name = fields.next()?.to_owned();
    let size = u64::from_str_radix(fields.next()?, 16).ok()?;
    let kind = u32::from_str_radix(fields.nth(1)?, 16).ok()? & 0xff;
    let id = format!("{:x}", id.parse::<u64>().ok()?);
    Some(Offered { from, number, id, name, size, kind })
}

/// Number, command and what follows the fifth colon.
fn head(bytes: &[u8]) -> Option<(u64, u32, &[u8])> {
    let mut fields = bytes.splitn(6, |byte| *byte == b':');
    let text = |field: &[u8]| std::str::from_utf8(field).ok().map(str::to_owned);
    let number = text(fields.nth(1)?)?.parse().ok()?;
    let command = text(fields.nth(2)?)?.parse().ok()?;
    Some((number, command, fields.next()?))
}

fn accept(listener: &TcpListener, patience: Duration) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let end = Instant::now() + patience;
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false)?;
                return Ok(socket);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(error) => return Err(error),
        }
    }
}

fn take_nothing(socket: &mut TcpStream, size: u64) -> io::Result<u64> {
    let (mut piece, mut taken) = (vec![0; PIECE], 0);
    while taken < size {
        match socket.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => taken += read as u64,
        }
    }
    Ok(taken)
}

/// From the socket to a file through a pipe, without a copy.
fn splice(socket: &TcpStream, path: &Path, size: u64) -> io::Result<u64> {
    let (file, mut taken) = (File::create(path)?, 0);
    let (out, into): (OwnedFd, OwnedFd) = rustix::pipe::pipe()?;
    rustix::pipe::fcntl_setpipe_size(&into, PIECE)?;
    let flags = SpliceFlags::MOVE | SpliceFlags::MORE;
    while taken < size {
        let mut moved = rustix::pipe::splice(socket, None, &into, None, PIECE, flags)?;
        if moved == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        taken += moved as u64;
        while moved > 0 {
            moved -= rustix::pipe::splice(&out, None, &file, None, moved, flags)?;
        }
    }
    Ok(taken)
}

/// Reads a folder stream, and writes it below `out`: bytes of the stream, and files.
fn take_folder(mut stream: impl BufRead, out: Option<PathBuf>) -> io::Result<(u64, u64)> {
    let (mut here, mut depth, mut bytes, mut files) = (out, 0, 0, 0);
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let bad = || io::Error::new(ErrorKind::InvalidData, "no header");
        let text = std::str::from_utf8(&length).map_err(|_| bad())?;
        let length = usize::from_str_radix(text, 16).map_err(|_| bad())?;
        let mut header = vec![0; length.checked_sub(4).ok_or_else(bad)?];
        stream.read_exact(&mut header)?;
        bytes += length as u64;
        let header = String::from_utf8(header).map_err(|_| bad())?;
        let mut fields = header.split(':').skip(1);
        let name = fields.next().ok_or_else(bad)?;
        let mut number = || fields.next().and_then(|field| u64::from_str_radix(field, 16).ok());
        let (size, kind) = number().zip(number()).ok_or_else(bad)?;
        match u32::try_from(kind & 0xff).unwrap_or(0) {
            FOLDER => {
                depth += 1;
                if let Some(here) = &mut here {
                    here.push(name);
                    fs::create_dir(here)?;
                }
            }
            PARENT => {
                depth -= 1;
                here.as_mut().map(PathBuf::pop);
                if depth == 0 {
                    return Ok((bytes, files));
                }
            }
            _ => {
                let mut file =
                    here.as_ref().map(|here| File::create(here.join(name))).transpose()?;
                let mut left = size;
                while left > 0 {
                    let piece = stream.fill_buf()?;
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                    let Some(piece) = piece.get(..most).filter(|piece| !piece.is_empty()) else {
                        return Err(ErrorKind::UnexpectedEof.into());
                    };
                    if let Some(file) = &mut file {
                        file.write_all(piece)?;
                    }
                    stream.consume(most);
                    left -= most as u64;
                }
                bytes += size;
                files += 1;
            }
        }
    }
}

/// Puts a folder together as its stream: how many files it has.
fn put_folder(stream: &mut Vec<u8>, path: &Path, name: &str) -> io::Result<u64> {
    put_header(stream, name, 0, FOLDER);
    let mut files = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            files += put_folder(stream, &entry.path(), &name)?;
        } else {
            let contents = fs::read(entry.path())?;
            put_header(stream, &name, contents.len(), FILE);
            stream.extend_from_slice(&contents);
            files += 1;
        }
    }
    put_header(stream, ".", 0, PARENT);
    Ok(files)
}

fn put_header(stream: &mut Vec<u8>, name: &str, size: usize, kind: u32) {
    let header = format!(":{name}:{size:x}:{kind:x}:");
    stream.extend_from_slice(format!("{:04x}{header}", header.len() + 4).as_bytes());
}

fn udp() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))
}

fn packet(command: u32, body: &[u8]) -> Vec<u8> {
    // No earlier run has used this number lately: it goes up by 1,000 a second.
    let millis = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
    let number = 0x2000_0000 + (millis & 0x1fff_ffff);
    let mut bytes = format!("1:{number}:lanfile:LANFILE:{command}:").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn ready() {
    eprintln!("ready");
}

const PORT: u16 = 2425;
/// Bytes moved at a time, and the size of the pipe they pass through.
const PIECE: usize = 1 << 20;
const BR_ENTRY: u32 = 0x01;
const ANSENTRY: u32 = 0x03;
const SENDMSG: u32 = 0x20;
const RECVMSG: u32 = 0x21;
const GETFILEDATA: u32 = 0x60;
const GETDIRFILES: u32 = 0x62;
const SENDCHECK: u32 = 0x100;
const FILEATTACH: u32 = 0x0020_0000;
const FILE: u32 = 1;
const FOLDER: u32 = 2;
const PARENT: u32 = 3;

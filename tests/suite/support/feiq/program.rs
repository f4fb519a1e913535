//! A [`Feiq`] on real sockets, with threads of its own: on the loopback network, or on a host of
//! the lab.

use std::io;
#[expect(
    clippy::disallowed_types,
    reason = "the simulator is another program with its own sockets"
)]
use std::net::UdpSocket;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};

use super::pictures::{BURST, Sent};
use super::{Feiq, Out, Shown, To};
use crate::support::process::PATIENCE;

/// Where groups speak (section 9).
const GROUPS: Ipv4Addr = Ipv4Addr::new(226, 81, 9, 8);
const GROUP_TTL: u32 = 16;
/// How soon a thread notices that it has to end.
const STEP: Duration = Duration::from_millis(50);

/// A running FeiQ. Ends with the value, without a goodbye: [`Program::act`] can say one.
pub(crate) struct Program {
    state: Arc<State>,
    ears: Vec<JoinHandle<()>>,
}

#[expect(
    clippy::disallowed_types,
    reason = "the simulator is another program with its own sockets"
)]
struct State {
    feiq: Mutex<Feiq>,
    changed: Condvar,
    socket: UdpSocket,
    everybody: SocketAddr,
    groups: SocketAddr,
    ended: AtomicBool,
}

impl Program {
    /// On one address of the loopback network.
    pub(crate) fn on_loopback(feiq: Feiq, addr: Ipv4Addr, port: u16) -> Self {
        const EVERYBODY: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);
        let main = open((addr, port).into(), false).expect("the address is free");
        let ear = open((EVERYBODY, port).into(), true).expect("an ear can be shared");
        let groups = open((GROUPS, port).into(), true).expect("an ear can be shared");
        groups.join_multicast_v4_n(&GROUPS, &LOOPBACK).expect("the loopback has groups");
        Self::run(feiq, main, vec![ear, groups], EVERYBODY, port)
    }

    /// On a host of the lab: in its network namespace, on every address of it.
    pub(crate) fn in_namespace(feiq: Feiq, namespace: &str, port: u16) -> Self {
        let path = Path::new("/run/netns").join(namespace);
        // The sockets stay where they were made, and only this thread ever goes there.
        let made = thread::spawn(move || {
            use rustix::fs::{Mode, OFlags, open as open_file};
            use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
            use std::os::fd::AsFd;

            let place = open_file(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            let place = place.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may move there");
            let main = open((Ipv4Addr::UNSPECIFIED, port).into(), false).expect("the port is free");
            let link = rustix_index("eth0").expect("the host has a link");
            let link = InterfaceIndexOrAddress::Index(link);
            main.join_multicast_v4_n(&GROUPS, &link).expect("the link has groups");
            main
        });
        let main = made.join().expect("the thread ends");
        Self::run(feiq, main, Vec::new(), Ipv4Addr::BROADCAST, port)
    }

    fn run(feiq: Feiq, main: Socket, ears: Vec<Socket>, everybody: Ipv4Addr, port: u16) -> Self {
        let socket = main.into();
        let state = Arc::new(State {
            feiq: Mutex::new(feiq),
            changed: Condvar::new(),
            socket,
            everybody: (everybody, port).into(),
            groups: (GROUPS, port).into(),
            ended: AtomicBool::new(false),
        });
        let first = state.socket.try_clone().expect("a socket can be shared");
        let ears = std::iter::once(first).chain(ears.into_iter().map(Into::into));
        let ears = ears.map(|ear| listen(Arc::clone(&state), ear)).collect();
        let program = Self { state, ears };
        program.act(Feiq::start);
        program
    }

    /// Its user does something.
    pub(crate) fn act(&self, act: impl FnOnce(&mut Feiq) -> Out) {
        let mut feiq = self.state.lock();
        let out = act(&mut feiq);
        self.state.send(&out);
    }

    /// Waits until its user has seen something.
    #[track_caller]
    pub(crate) fn wait<R>(&self, what: &str, mut pick: impl FnMut(&Shown) -> Option<R>) -> R {
        self.until(what, |feiq| feiq.shown.iter().find_map(&mut pick))
    }

    /// Waits until something about it holds.
    #[track_caller]
    pub(crate) fn until<R>(&self, what: &str, mut pick: impl FnMut(&Feiq) -> Option<R>) -> R {
        self.within(PATIENCE, &mut pick).unwrap_or_else(|| {
            let shown = self.state.lock().shown.clone();
            panic!("no {what}, but {shown:#?}")
        })
    }

    /// Waits until something about it holds, at most this long.
    fn within<R>(&self, span: Duration, mut pick: impl FnMut(&Feiq) -> Option<R>) -> Option<R> {
        let mut found = None;
        let wait = |feiq: &mut Feiq| {
            found = pick(feiq);
            found.is_none()
        };
        drop(self.state.changed.wait_timeout_while(self.state.lock(), span, wait));
        found
    }

    /// Sends a picture as FeiQ does: 100 fragments in about 51 ms, then it waits for their
    /// acknowledgements; one that is missing costs it `stall` (15 s in a real one). What `loses`
    /// says is lost when it is sent for the first time. After the last one the reference.
    #[track_caller]
    pub(crate) fn send_picture(
        &self,
        at: SocketAddr,
        sent: &Sent,
        stall: Duration,
        mut loses: impl FnMut(usize) -> bool,
    ) {
        for first in (1..=sent.count()).step_by(BURST) {
            let burst = first..(first + BURST).min(sent.count() + 1);
            let mut due: Vec<usize> = burst.clone().collect();
            let mut first_time = true;
            while !due.is_empty() {
                for five in due.chunks(5) {
                    for &index in five.iter().filter(|&&index| !(first_time && loses(index))) {
                        self.act(|feiq| feiq.fragment(at, sent, index));
                    }
                    thread::sleep(Duration::from_micros(2_550));
                }
                first_time = false;
                let none = |feiq: &Feiq| feiq.missing(at, sent, burst.clone()).is_empty();
                self.within(stall, |feiq| none(feiq).then_some(()));
                due = self.state.lock().missing(at, sent, burst.clone());
            }
        }
        self.act(|feiq| feiq.refer(at, &sent.id));
    }

    /// Waits for a contact of this name: where it is.
    #[track_caller]
    pub(crate) fn contact(&self, nick: &str) -> SocketAddr {
        self.wait(&format!("contact {nick}"), |shown| match shown {
            Shown::Contact { at, nick: known, .. } if known == nick => Some(*at),
            _ => None,
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        for ear in self.ears.drain(..) {
            let _ = ear.join();
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Feiq> {
        self.feiq.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, out: &Out) {
        for (to, bytes) in out {
            let to = match to {
                To::Everybody => self.everybody,
                To::Groups => self.groups,
                To::One(addr) => *addr,
            };
            // What cannot be sent is lost, as on any network.
            let _ = self.socket.send_to(bytes, to);
        }
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "the simulator is another program with its own sockets"
)]
fn listen(state: Arc<State>, ear: UdpSocket) -> JoinHandle<()> {
    ear.set_read_timeout(Some(STEP)).expect("it can be limited");
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while !state.ended.load(Ordering::Relaxed) {
            let Ok((len, from)) = ear.recv_from(&mut buffer) else { continue };
            let mut feiq = state.lock();
            let out = feiq.hear(from, &buffer[..len]);
            drop(feiq);
            state.send(&out);
            state.changed.notify_all();
        }
    })
}

/// Index of the loopback.
const LOOPBACK: InterfaceIndexOrAddress = InterfaceIndexOrAddress::Index(1);

fn rustix_index(link: &str) -> io::Result<u32> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    Ok(rustix::net::netdevice::name_to_index(&socket, link)?)
}

fn open(at: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_address(shared)?;
    socket.set_broadcast(true)?;
    socket.bind(&at.into())?;
    if let SocketAddr::V4(at) = at
        && at.ip().is_loopback()
        && !shared
    {
        socket.set_multicast_if_v4(at.ip())?;
    }
    socket.set_multicast_ttl_v4(GROUP_TTL)?;
    let _ = socket.set_recv_buffer_size(8 << 20);
    Ok(socket)
}

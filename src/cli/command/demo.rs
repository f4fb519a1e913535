//! `feige demo`: a LAN of five scripted peers on loopback, so that the first minute needs no second
//! machine. The peers are scripts (`office.rs`); the node, its sockets and its store are the real ones,
//! on a free port, in a profile that is thrown away.

mod office;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use self::office::{ANNOUNCEMENT, Actor, Failed, SCRIPTS, Script};
use crate::cli::Globals;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Printer, VERSION};
use crate::io::{self, Handle, Start, Subscription, lab};
use crate::node::{
    Config, Delivery, Direction, Event, Identity, MessageEvent, PeerId, PeerView, Reply, Request,
    Target, Wishes,
};
use crate::store::Paths;

/// How long the node may take for what it must do.
const PATIENCE: Duration = Duration::from_secs(4);

/// Our address in the demonstration, and that of the first peer; the others follow.
const OURS: Ipv4Addr = Ipv4Addr::new(127, 24, 25, 1);
const FIRST_PEER: [u8; 3] = [127, 24, 25];

/// Show a LAN of five scripted peers on this machine
///
/// FeiQ, IPMsg and iptux in four charsets on the loopback, and a real node among them: they appear,
/// talk, hear an announcement, get a message each and confirm it. Takes a few seconds, needs no
/// network, and leaves nothing behind. Exit code 0 only if each peer did and got what it should.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige demo            five peers, five steps
  feige demo --quiet    only whether all went well")]
pub(in crate::cli) struct Args {}

impl Args {
    pub(in crate::cli) async fn run(&self, globals: &Globals) -> Result<Exit, CliError> {
        let mut printer = Printer::new(globals);
        let home = tempfile::Builder::new()
            .prefix("feige-demo-")
            .tempdir()
            .map_err(|error| CliError::new(Exit::Store, "no temporary folder").because(&error))?;
        let port = lab::free_port()
            .map_err(|error| CliError::new(Exit::CannotListen, "no free port").because(&error))?;
        let mut stage = Stage::set(home.path(), port).await?;
        let mut tell = Teller { printer: &mut printer, quiet: globals.quiet };
        tell.step(&format!(
            "Five scripted peers and a real node at {OURS}, port {port}, on this machine's loopback."
        ))?;
        stage.play(&mut tell).await?;
        let failures = stage.clear(&mut tell).await?;
        for failure in &failures {
            printer.complain(failure);
        }
        Ok(if failures.is_empty() { Exit::Done } else { Exit::Partly })
    }
}

/// Says what happens.
struct Teller<'a> {
    printer: &'a mut Printer,
    quiet: bool,
}

impl Teller<'_> {
    fn step(&mut self, line: &str) -> Result<(), CliError> {
        if self.quiet {
            return Ok(());
        }
        if self.printer.is_json() {
            return self.printer.json(&Step { v: VERSION, demo: line.trim() });
        }
        self.printer.line(line)
    }
}

/// A step as a JSON line.
#[derive(Serialize)]
struct Step<'a> {
    v: u8,
    demo: &'a str,
}

/// The node and the five peers.
struct Stage {
    running: io::Running,
    handle: Handle,
    events: Subscription,
    actors: Vec<Actor>,
    node: SocketAddr,
    failures: Vec<String>,
}

impl Stage {
    async fn set(home: &Path, port: u16) -> Result<Self, CliError> {
        // The peers first: they must hear the node's first word.
        let actors = SCRIPTS
            .iter()
            .zip(11..)
            .map(|(script, last)| {
                let [a, b, c] = FIRST_PEER;
                Actor::new(script, Ipv4Addr::new(a, b, c, last), port)
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                CliError::new(Exit::CannotListen, "no room on the loopback").because(&error)
            })?;
        let start = Start {
            config: config(port),
            paths: Paths::all_in(home),
            bind: vec![IpAddr::V4(OURS)],
            ipv6: false,
            skip_links: Vec::new(),
            store: true,
            downloads: home.join("downloads"),
            allow_takeover: false,
            brief: true,
        };
        let running = io::start(start).await?;
        let handle = running.handle();
        let events = handle
            .subscribe()
            .await
            .map_err(|gone| CliError::new(Exit::Partly, "the node ended at once").because(&gone))?;
        let node = SocketAddr::from((OURS, port));
        Ok(Self { running, handle, events, actors, node, failures: Vec::new() })
    }

    async fn play(&mut self, tell: &mut Teller<'_>) -> Result<(), CliError> {
        tell.step("1. The node broadcasts its entry; each peer answers in the form and charset of its kind.")?;
        let peers = self.appear(tell).await?;
        tell.step("2. Each says something. It is stored, then acknowledged, then shown.")?;
        self.talk(tell).await?;
        tell.step(
            "3. One announcement to everybody: a single broadcast, which earns no receipts.",
        )?;
        self.announce(tell).await?;
        tell.step(
            "4. A message to each, in what that client reads, again and again until it confirms.",
        )?;
        self.reply(&peers, tell).await
    }

    async fn appear(&mut self, tell: &mut Teller<'_>) -> Result<Vec<(usize, PeerId)>, CliError> {
        let mut known = Vec::new();
        for index in 0..self.actors.len() {
            let answered = self.actors[index].answer_entry().await;
            self.note(index, "answers the entry", answered);
        }
        for index in 0..self.actors.len() {
            let (script, addr) = (self.actors[index].script, self.actors[index].addr());
            let seen = self
                .event(|event| match event {
                    Event::PeerUp { peer } if at(peer, addr) => Some(peer.clone()),
                    _ => None,
                })
                .await;
            let right = seen.filter(|peer| {
                (&*peer.nick, &*peer.group, &*peer.dialect)
                    == (script.nick, script.group, script.dialect)
            });
            match right {
                Some(peer) => {
                    known.push((index, peer.id));
                    let Script { kind, nick, group, .. } = script;
                    let group =
                        if group.is_empty() { String::new() } else { format!(" ({group})") };
                    tell.step(&format!("   {kind} is seen as {nick}{group}"))?;
                }
                None => self.fail(index, "is not seen with its right name and group"),
            }
        }
        Ok(known)
    }

    async fn talk(&mut self, tell: &mut Teller<'_>) -> Result<(), CliError> {
        for index in 0..self.actors.len() {
            let said = self.actors[index].say_and_be_confirmed(self.node).await;
            self.note(index, "gets the receipt for its message", said);
            let (script, addr) = (self.actors[index].script, self.actors[index].addr());
            let heard = self
                .event(|event| match event {
                    Event::Message(message) if is_from(message, addr) => Some(message.text.clone()),
                    _ => None,
                })
                .await;
            if heard.as_deref() == Some(script.text) {
                let Script { nick, text, remark, .. } = script;
                tell.step(&format!("   {nick}: {text}   [{remark}]"))?;
            } else {
                self.fail(index, "is not read right");
            }
        }
        Ok(())
    }

    async fn announce(&mut self, tell: &mut Teller<'_>) -> Result<(), CliError> {
        let asked = Request::Broadcast { text: ANNOUNCEMENT.to_owned() };
        if !matches!(self.handle.request(asked).await, Ok(Reply::Sent { .. })) {
            self.failures.push("the node does not broadcast".to_owned());
            return Ok(());
        }
        let before = self.failures.len();
        for index in 0..self.actors.len() {
            let heard = self.actors[index].hear_announcement().await;
            self.note(index, "hears the announcement", heard);
        }
        if self.failures.len() == before {
            tell.step(&format!("   heard by all five: {ANNOUNCEMENT}   [GB18030]"))?;
        }
        Ok(())
    }

    async fn reply(
        &mut self,
        peers: &[(usize, PeerId)],
        tell: &mut Teller<'_>,
    ) -> Result<(), CliError> {
        for (index, id) in peers {
            let script = self.actors[*index].script;
            let asked = Request::Send {
                to: vec![Target::Peer(id.clone())],
                text: script.reply.to_owned(),
                check: true,
                timeout_ms: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX),
                wishes: Wishes::default(),
            };
            let Ok(Reply::Sent { number: ours, .. }) = self.handle.request(asked).await else {
                self.fail(*index, "is not written to");
                continue;
            };
            let confirmed = self.actors[*index].confirm_reply().await;
            self.note(*index, "confirms our message", confirmed);
            let rtt = self
                .event(|event| match event {
                    Event::Receipt { number, rtt_ms, .. } if *number == ours => Some(*rtt_ms),
                    _ => None,
                })
                .await;
            match rtt {
                Some(rtt) => tell.step(&format!(
                    "   to {}: {}   confirmed in {rtt:.1} ms   [{}]",
                    script.nick, script.reply, script.reply_remark
                ))?,
                None => self.fail(*index, "is not reported as confirmed"),
            }
        }
        Ok(())
    }

    /// Ends the node and lets each peer hear its goodbye.
    async fn clear(self, tell: &mut Teller<'_>) -> Result<Vec<String>, CliError> {
        let Self { running, handle, events, mut actors, mut failures, .. } = self;
        tell.step("5. The node leaves, and says so.")?;
        drop((handle, events));
        running.stop().await;
        let before = failures.len();
        for actor in &mut actors {
            if let Err(error) = actor.hear_goodbye().await {
                failures.push(format!("{} does not hear the goodbye: {error}", actor.script.nick));
            }
        }
        if failures.len() == before {
            tell.step("   heard by all five.")?;
        }
        Ok(failures)
    }

    /// The first event that `wanted` makes something of.
    async fn event<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> Option<T> {
        let search = async {
            while let Some(stamped) = self.events.next().await {
                if let Some(found) = wanted(&stamped.event) {
                    return Some(found);
                }
            }
            None
        };
        timeout(PATIENCE, search).await.ok().flatten()
    }

    fn note(&mut self, index: usize, what: &str, result: Result<(), Failed>) {
        if let Err(error) = result {
            self.fail(index, &format!("should do this and did not: {what} ({error})"));
        }
    }

    fn fail(&mut self, index: usize, what: &str) {
        let script = self.actors[index].script;
        self.failures.push(format!("{} ({}) {what}", script.nick, script.kind));
    }
}

fn config(port: u16) -> Config {
    let identity = Identity {
        nick: "飞鸽".to_owned(),
        group: "演示".to_owned(),
        user: "feige".to_owned(),
        host: "demo".to_owned(),
        mac: String::new(),
    };
    Config { port, ..Config::new(identity) }
}

fn at(peer: &PeerView, addr: SocketAddr) -> bool {
    (peer.addr, peer.port) == (addr.ip(), addr.port())
}

fn is_from(message: &MessageEvent, addr: SocketAddr) -> bool {
    message.direction == Direction::In
        && message.delivery == Delivery::Direct
        && message.peer.as_ref().is_some_and(|peer| at(peer, addr))
}

//! `feige peers`: who is there, and with `--all` who was.
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Feed, Human, VERSION, brief, date_and_time, rfc3339};
use crate::cli::pick::Book;
use crate::cli::wish::{Role, Wish};
use crate::cli::{duration, pick};
use crate::node::{Event, GroupView, PeerId, PeerView, Reply, Request, SeenPeer, Sure, UnixMillis};
use crate::term;

/// List who is here
///
/// Where a node runs its list is there at once; otherwise the LAN is asked, which takes 1.2 to 4.3
/// seconds, by how many answer. Exit code 3 if nobody is found.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige peers
  feige peers --group ops -v
  feige peers --all
  feige peers --wait 3s --json | jq -r .peer.addr
  feige peers --watch")]
pub(in crate::cli) struct Args {
    /// Ask the LAN again, and wait this long for answers
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait: Option<Duration>,

    /// Stay, and print who comes, changes and goes
    #[arg(long)]
    watch: bool,

    /// Only peers in this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,

    /// Also those who were here, with the time they were heard last, and those who are blocked
    #[arg(long, conflicts_with = "watch")]
    all: bool,

    /// List the groups of FeiQ that were heard instead
    #[arg(long, conflicts_with_all = ["watch", "group", "all"])]
    feiq_groups: bool,
}

/// A line of `--all --json`.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    here: bool,
    last_seen: String,
    aliases: Vec<&'a str>,
    blocked: bool,
    peer: &'a PeerView,
}

/// A line of `--feiq-groups --json`.
#[derive(Serialize)]
struct GroupLine<'a> {
    v: u8,
    #[serde(flatten)]
    group: &'a GroupView,
}

/// Somebody who is here or was.
struct Known {
    peer: PeerView,
    here: bool,
    at: UnixMillis,
}

impl Args {
    pub(in crate::cli) fn wish(&self) -> Wish<'_> {
        let role = if self.watch { Role::Lasting } else { Role::Brief };
        Wish { role, listens: self.watch, ..Wish::default() }
    }

    pub(in crate::cli) async fn run(&self, client: &mut Client) -> Result<Exit, CliError> {
        if self.feiq_groups {
            return groups(client).await;
        }
        let mut feed = client.feed().await?;
        let mut peers = client.roll_call(self.wait).await?;
        if self.all {
            return self.everybody(client, feed, peers).await;
        }
        let here = peers.len();
        peers.retain(|peer| self.wants(peer));
        if feed.style().json {
            for peer in &peers {
                let event = Event::PeerUp { peer: peer.clone() };
                feed.event(None, crate::io::wall_clock(), &event).await?;
            }
        } else if !peers.is_empty() {
            for peer in &peers {
                feed.human().know(peer);
            }
            let verbose = feed.style().verbose > 0;
            let table = table(&peers, feed.human(), verbose, &[]);
            feed.line(table).await?;
        }
        if self.watch {
            self.watch(client, &mut feed, &peers).await?;
        }
        feed.finish().await?;
        if peers.is_empty() && !self.watch {
            if here == 0 {
                client.needs_a_link().await?;
            }
            return Err(self.nobody(client.port(), here));
        }
        Ok(Exit::Done)
    }

    /// Those who are here, then those who were, the latest first.
    async fn everybody(
        &self,
        client: &mut Client,
        mut feed: Feed,
        here: Vec<PeerView>,
    ) -> Result<Exit, CliError> {
        let book = client.book().await?;
        let mut known = merged(here, client.seen().await?, &book);
        let all = known.len();
        known.retain(|known| self.wants(&known.peer));
        if known.is_empty() {
            if all == 0 {
                client.needs_a_link().await?;
            }
            return Err(self.nobody(client.port(), all));
        }
        if feed.style().json {
            for Known { peer, here, at } in &known {
                let (aliases, blocked) = (book.names(peer).collect(), book.blocks(&peer.id));
                let last_seen = rfc3339(*at);
                let line = Line { v: VERSION, here: *here, last_seen, aliases, blocked, peer };
                feed.json(&line).await?;
            }
        } else {
            let seen: Vec<_> = known
                .iter()
                .map(|known| match (known.here, book.blocks(&known.peer.id)) {
                    (_, true) => "blocked".to_owned(),
                    (true, false) => "now".to_owned(),
                    (false, false) => date_and_time(known.at),
                })
                .collect();
            let peers: Vec<_> = known.into_iter().map(|known| known.peer).collect();
            for peer in &peers {
                feed.human().know(peer);
            }
            let verbose = feed.style().verbose > 0;
            let table = table(&peers, feed.human(), verbose, &seen);
            feed.line(table).await?;
        }
        feed.finish().await?;
        Ok(Exit::Done)
    }

    fn wants(&self, peer: &PeerView) -> bool {
        self.group.as_ref().is_none_or(|group| pick::is_in_group(group, peer))
    }

    async fn watch(
        &self,
        client: &mut Client,
        feed: &mut Feed,
        listed: &[PeerView],
    ) -> Result<(), CliError> {
        while let Some(stamped) = client.next_event().await? {
            let wanted = match &stamped.event {
                // Came while the list was made, and is in it.
                Event::PeerUp { peer } => self.wants(peer) && !listed.contains(peer),
                Event::PeerChanged { peer } | Event::PeerDown { peer, .. } => self.wants(peer),
                Event::Notice { .. } | Event::Lagged { .. } => true,
                _ => false,
            };
            if wanted {
                feed.event(stamped.seq, stamped.at, &stamped.event).await?;
            }
        }
        Ok(())
    }

    /// Nobody is wanted of so many who were found.
    fn nobody(&self, port: u16, found: usize) -> CliError {
        let error = match &self.group {
            Some(group) => format!("nobody found in the group {group}"),
            None => "nobody found".to_owned(),
        };
        let error = CliError::new(Exit::Nobody, error);
        match found {
            0 => error.hint(format_args!(
                "a firewall may drop UDP port {port}; --wait 5s asks again and waits longer"
            )),
            1 => error.hint("1 is in no group or another (feige peers)"),
            found => error.hint(format_args!("{found} are in no group or another (feige peers)")),
        }
    }
}

/// Lists the groups of FeiQ that were heard.
async fn groups(client: &mut Client) -> Result<Exit, CliError> {
    let mut feed = Feed::new(client.style())?;
    let Reply::Groups { groups } = client.request(Request::Groups).await? else {
        return Err(CliError::new(Exit::Partly, "the node does not name its groups"));
    };
    if groups.is_empty() {
        return Err(CliError::new(Exit::Nobody, "no group of FeiQ was heard"));
    }
    if feed.style().json {
        for group in &groups {
            feed.json(&GroupLine { v: VERSION, group }).await?;
        }
    } else {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["ID", "NAME", "LAST HEARD"]);
        for group in &groups {
            let name = group.name.as_deref().unwrap_or("-");
            table.add_row([brief(&group.id), brief(name), rfc3339(group.heard)]);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        feed.line(lines.join("\n")).await?;
    }
    feed.finish().await?;
    Ok(Exit::Done)
}

/// Those who are here, then those who were, each once: also where two who share their names bore
/// their addresses in turn (what stands behind `!` in an identity).
fn merged(here: Vec<PeerView>, seen: Vec<SeenPeer>, book: &Book) -> Vec<Known> {
    let now = crate::io::wall_clock();
    let mut all: Vec<_> =
        here.into_iter().map(|peer| Known { peer, here: true, at: now }).collect();
    let mut ids: HashSet<PeerId> = HashSet::new();
    let mut namesakes: HashSet<(String, String, SocketAddr)> = HashSet::new();
    let mut is_new = |peer: &PeerView| {
        let names = peer.id.0.split_once('!').map_or(&*peer.id.0, |(names, _)| names).to_owned();
        let at = SocketAddr::new(peer.addr, peer.port);
        // Both are noted, also where one of them is known.
        ids.insert(peer.id.clone()) & namesakes.insert((names, peer.nick.clone(), at))
    };
    for known in &all {
        is_new(&known.peer);
    }
    let blocked = book.blocks.iter().map(|peer| (peer.clone(), UnixMillis::default()));
    let seen = seen.into_iter().map(|seen| (seen.peer, seen.at));
    for (peer, at) in seen.chain(blocked) {
        if is_new(&peer) {
            all.push(Known { peer, here: false, at });
        }
    }
    all
}

/// The peers as a table; with `verbose` all that is known of each, with `seen` when each was heard.
fn table(peers: &[PeerView], human: &Human, verbose: bool, seen: &[String]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut head = vec!["NAME", "GROUP", "ADDRESS", "CLIENT"];
    if !seen.is_empty() {
        head.push("SEEN");
    }
    if verbose {
        head.extend(["VERSION", "USER@HOST", "CHARSET", "KEY", "IDENTITY"]);
    }
    table.set_header(head);
    for (place, peer) in peers.iter().enumerate() {
        let mut row = row(peer, human, verbose);
        if let Some(seen) = seen.get(place) {
            row.insert(4, seen.clone());
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    // Blanks at the end of a line would make it wrap in a narrow terminal.
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn row(peer: &PeerView, human: &Human, verbose: bool) -> Vec<String> {
    let away = if peer.absent { " (away)" } else { "" };
    let mut addrs = vec![match peer.port {
        crate::node::PORT => peer.addr.to_string(),
        port => std::net::SocketAddr::new(peer.addr, port).to_string(),
    }];
    let mut row = vec![
        format!("{}{away}", human.label(peer)),
        brief(&peer.group),
        String::new(),
        brief(&peer.dialect),
    ];
    if verbose {
        addrs.extend(peer.addrs.iter().skip(1).map(ToString::to_string));
        row.extend([
            peer.version.as_deref().map(brief).unwrap_or_default(),
            brief(&format!("{}@{}", peer.user, peer.host)),
            charset(peer),
            peer.fingerprint
                .as_deref()
                .map_or_else(|| "-".to_owned(), |key| term::safe(key).into_owned()),
            brief(&peer.id.0),
        ]);
    }
    row[2] = addrs.join(" ");
    row
}

/// The charset of a peer's texts, and how sure that is.
pub(super) fn charset(peer: &PeerView) -> String {
    let sure = match peer.charset_sure {
        None => return "not known yet".to_owned(),
        Some(Sure::Ascii | Sure::Guessed) => "guessed",
        Some(Sure::Assumed) => "assumed",
        Some(Sure::Valid) => "valid",
        Some(Sure::Dialect) => "by its dialect",
        Some(Sure::Remembered) => "remembered",
        Some(Sure::Declared) => "declared",
        Some(Sure::Pinned) => "pinned",
    };
    match peer.charset {
        Some(charset) => format!("{charset} ({sure})"),
        None => "not known yet".to_owned(),
    }
}

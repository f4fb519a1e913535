//! `feige get`: fetches what was offered.

mod pictures;
mod which;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub(super) use self::pictures::save as save_picture;
pub(super) use self::which::{Which, offers};
use crate::cli::Globals;
use crate::cli::bars::Bars;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Feed, Style};
use crate::cli::wish::Wish;
use crate::io::Stamped;
use crate::node::{
    Direction, Event, Get, ItemKind, ItemState, OfferId, OfferView, Progress, Reply, Request,
    TransferOutcome,
};
use crate::store::settings::size;

/// Fetch files and folders that were offered to you
///
/// OFFER is the number that `feige files` and `feige listen` show (7, or 7.2 for its second file),
/// or IP/PACKET/ID as on the wire, or the id of a picture that came inside a message (p3fa2c1d0). A
/// file that broke off goes on where it was, if the sender's program can; a folder begins anew.
/// Nothing that is there is ever replaced: a second report.pdf becomes report (1).pdf. Exit code 1
/// if something did not come whole. Where a node runs it fetches, and goes on if this command is
/// interrupted; `feige refuse` stops it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  feige get 7
  feige get 7.2 9 -o ~/inbox
  feige get p3fa2c1d0
  feige get --from 张三 --digest
  feige get --all --limit 10M
  feige get 10.0.0.7/1780525944/0")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    which: Which,

    /// Put it into this folder
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// At most so many bytes a second for each file: 500K, 10M
    #[arg(long, value_name = "SIZE", value_parser = size)]
    limit: Option<u64>,

    /// Most that a folder may have in all [default: what its offer says, else 16G]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    folder_max: Option<u64>,

    /// Tell the SHA-256 of each file, as sha256sum prints it
    #[arg(long)]
    digest: bool,
}

impl Args {
    pub(in crate::cli) fn check(&self) -> Result<(), CliError> {
        self.which.check()
    }

    /// Writes the pictures among what is wanted; whether that was all.
    pub(in crate::cli) fn write_pictures(&self, globals: &Globals) -> Result<bool, CliError> {
        let (pictures, others) = self.which.pictures();
        if pictures.is_empty() {
            return Ok(false);
        }
        if others {
            return Err(CliError::usage("pictures are here already, and offers are not")
                .hint("get them by two commands"));
        }
        let into = self.output.as_deref().map(absolute).transpose()?;
        pictures::write(globals, &pictures, into)?;
        Ok(true)
    }

    pub(in crate::cli) fn wish() -> Wish<'static> {
        Wish { listens: true, ..Wish::default() }
    }

    pub(in crate::cli) async fn run(&self, client: &mut Client) -> Result<Exit, CliError> {
        let into = self.output.as_deref().map(absolute).transpose()?;
        let feed = Feed::new(client.style())?;
        let get = Get {
            picks: self.which.picks(client).await?,
            into,
            limit: self.limit,
            folder_max: self.folder_max,
            digest: self.digest,
        };
        let Reply::Fetching { transfers } = client.request(Request::Get(get)).await? else {
            return Err(CliError::new(Exit::Partly, "the node does not say what it fetches"));
        };
        let mut fetching = Fetching::new(client, feed, &transfers);
        fetching.follow(client).await?;
        fetching.finish(transfers.len()).await
    }
}

/// What is being fetched for the command, and how that is shown.
struct Fetching {
    // Dropped in this order: the last word first, then the bars leave the terminal.
    rest: Rest,
    bars: Bars,
    feed: Feed,
    /// Items of which no end was heard yet.
    open: BTreeSet<(OfferId, u32)>,
    /// How many came whole.
    well: usize,
}

impl Fetching {
    fn new(client: &Client, mut feed: Feed, transfers: &[Progress]) -> Self {
        for transfer in transfers {
            feed.human().know(&transfer.peer);
        }
        let mut bars = Bars::new(client.style());
        for (at, transfer) in transfers.iter().enumerate() {
            let of_it = |other: &&Progress| other.offer == transfer.offer;
            if transfers.iter().position(|other| of_it(&other)) == Some(at) {
                let bytes = transfers.iter().filter(of_it).filter_map(|other| other.of);
                // Whoever offers says the sizes.
                let bytes = bytes.fold(0, u64::saturating_add);
                bars.begin(transfer.offer, &feed.human().label(&transfer.peer), bytes);
            }
        }
        let parts = transfers.iter().any(|transfer| transfer.kind != ItemKind::Folder);
        let mut rest = Rest { style: client.style(), offers: BTreeSet::new(), parts };
        if !client.is_owner() {
            rest.offers = transfers.iter().map(|transfer| transfer.offer).collect();
        }
        let open = transfers.iter().map(|transfer| (transfer.offer, transfer.item)).collect();
        Self { rest, bars, feed, open, well: 0 }
    }

    /// Shows what happens until each item ended, or the node did.
    async fn follow(&mut self, client: &mut Client) -> Result<(), CliError> {
        while !self.open.is_empty() {
            let stamped = match client.next_event().await {
                Ok(Some(stamped)) => stamped,
                Ok(None) => {
                    self.rest.offers.clear();
                    break;
                }
                Err(error) if client.hello().is_none() => return Err(self.rest.ends_with(error)),
                Err(error) => return Err(error),
            };
            if self.hear(client, &stamped.event).await? {
                self.show(&stamped).await?;
            }
        }
        Ok(())
    }

    /// Takes an event in; whether it is about what is fetched.
    async fn hear(&mut self, client: &mut Client, event: &Event) -> Result<bool, CliError> {
        match event {
            Event::Progress(moving) if self.open.contains(&(moving.offer, moving.item)) => {
                self.bars.show(moving);
            }
            Event::Transferred(end)
                if end.direction == Direction::In && self.open.remove(&(end.offer, end.item)) =>
            {
                self.well += usize::from(end.outcome == TransferOutcome::Done);
                self.bars.note(end.offer, end.item, end.bytes + end.resumed);
                if self.open.iter().all(|(offer, _)| *offer != end.offer) {
                    self.rest.offers.remove(&end.offer);
                    self.bars.end(end.offer);
                }
            }
            Event::Lagged { .. } => {
                if !client.catch_up() {
                    let listed = offers(client, Request::Offers).await?;
                    self.open.retain(|item| is_coming(&listed, *item));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn show(&mut self, stamped: &Stamped) -> Result<(), CliError> {
        if self.feed.style().json || !matches!(stamped.event, Event::Progress(_)) {
            self.bars.hide();
            self.feed.event(stamped.seq, stamped.at, &stamped.event).await?;
            self.feed.flush().await?;
            self.bars.redraw();
        }
        Ok(())
    }

    async fn finish(self, all: usize) -> Result<Exit, CliError> {
        let Self { rest: _rest, bars, feed, well, .. } = self;
        drop(bars);
        if all > 1 {
            feed.style().say(&format!("{well} of {all} fetched"));
        }
        feed.finish().await?;
        Ok(if well == all { Exit::Done } else { Exit::Partly })
    }
}

/// Whether the node fetches this item or is about to. How one ended whose end was missed where
/// nothing is kept, nobody says any more: it does not count as fetched.
fn is_coming(listed: &[OfferView], (offer, item): (OfferId, u32)) -> bool {
    let offer = listed.iter().find(|listed| listed.offer == offer);
    let item = offer.and_then(|offer| offer.items.iter().find(|listed| listed.item == item));
    item.is_some_and(|item| matches!(item.state, ItemState::Queued | ItemState::Moving))
}

/// Offers that the node goes on to fetch if this command is interrupted: then it says so.
struct Rest {
    style: Style,
    offers: BTreeSet<OfferId>,
    /// There are files among them: of a folder that breaks off nothing is kept.
    parts: bool,
}

impl Rest {
    fn named(&self) -> String {
        self.offers.iter().map(OfferId::to_string).collect::<Vec<_>>().join(" ")
    }

    /// There is no node any more that goes on.
    fn ends_with(&mut self, error: CliError) -> CliError {
        let offers = self.named();
        self.offers.clear();
        let how = if self.parts { "goes on where it was" } else { "fetches it anew" };
        error.hint(format_args!("`feige get {offers}` {how}"))
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if !self.offers.is_empty() {
            let offers = self.named();
            self.style.say(&format!("the node goes on; `feige refuse {offers}` stops it"));
        }
    }
}

/// A whole path: the node may run in another folder.
pub(in crate::cli) fn absolute(path: &std::path::Path) -> Result<PathBuf, CliError> {
    let whole = std::path::absolute(path).map_err(|error| {
        CliError::usage(format_args!("no such folder: {}", path.display())).because(&error)
    })?;
    if whole.to_str().is_none() {
        return Err(CliError::usage(format_args!(
            "the path {} is not UTF-8, which a node cannot be told",
            whole.display()
        )));
    }
    Ok(whole)
}

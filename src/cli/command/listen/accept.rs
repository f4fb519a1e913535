//! `--accept` and `--download`: what is fetched unasked for as long as this command runs.

use std::path::{Path, PathBuf};

use crate::cli::command::get;
use crate::cli::error::CliError;
use crate::cli::output::Style;
use crate::cli::pick::{self, Book};
use crate::node::{Direction, Get, OfferView, PeerView, Pick, PictureEvent, Request};

/// Largest file, and most bytes of a folder, that is fetched unasked.
const MAX: u64 = 100 << 20;

/// Whose offers are accepted.
#[derive(Debug)]
pub(super) struct Accepting {
    whos: Vec<String>,
    into: Option<PathBuf>,
}

impl Accepting {
    /// By the options of the command. A name that anybody can take is said to be one.
    pub(super) fn new(
        whos: &[String],
        into: Option<&Path>,
        style: Style,
    ) -> Result<Self, CliError> {
        for who in whos.iter().filter(|who| !pick::is_address(who)) {
            style.say(&format!(
                "--accept {who} is unverified: files of whoever bears that name are fetched"
            ));
        }
        let into = into.map(get::absolute).transpose()?;
        Ok(Self { whos: whos.to_vec(), into })
    }

    /// What to ask the node for when this is offered.
    pub(super) fn request(
        &self,
        offer: &OfferView,
        known: &[PeerView],
        book: &Book,
    ) -> Option<Request> {
        if !self.is_from(&offer.peer, known, book)
            || offer.direction != Direction::In
            || offer.shared
        {
            return None;
        }
        let fit = offer.items.iter().filter(|item| item.size <= MAX);
        let picks: Vec<_> = fit.map(|item| Pick::Offer(offer.offer, Some(item.item))).collect();
        (!picks.is_empty()).then(|| {
            Request::Get(Get {
                picks,
                into: self.into.clone(),
                limit: None,
                folder_max: Some(MAX),
                digest: false,
            })
        })
    }
    /// Whether this picture, which is kept already, is to be a file too.
    pub(super) fn takes(&self, picture: &PictureEvent, known: &[PeerView], book: &Book) -> bool {
        picture.facts.size <= MAX && self.is_from(&picture.peer, known, book)
    }

    /// The folder that was named for files.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.into.as_deref()
    }

    fn is_from(&self, peer: &PeerView, known: &[PeerView], book: &Book) -> bool {
        self.whos.iter().any(|who| pick::admits(who, peer, known, book))
    }
}

//! The options of `feige send` that offer files.

use std::path::PathBuf;

use super::picture::Source;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Style;
use crate::cli::output::files::item_name;
use crate::io::{ChooseError, Chosen};
use crate::node::Wishes;
use crate::store::settings::size;

/// Files to offer, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// Offer files and folders; every word before it is a WHO, a text stands behind --
    #[arg(long = "file", value_name = "PATH", num_args = 1.., groups = ["kept", "offered"])]
    paths: Vec<PathBuf>,

    /// End at once and let the node that runs serve the files
    #[arg(long, requires = "offered")]
    detach: bool,

    /// At most so many bytes a second for each transfer: 500K, 10M
    #[arg(long, value_name = "RATE", requires = "offered", value_parser = size)]
    limit: Option<u64>,

    /// Tell the SHA-256 of each file that was fetched, as sha256sum does
    #[arg(long, requires = "offered")]
    digest: bool,
}

impl Files {
    /// Whether anything is offered.
    pub(super) const fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether to leave the serving to the node.
    pub(super) const fn detach(&self) -> bool {
        self.detach
    }

    /// Opens what is to be offered.
    pub(super) fn open(&self) -> Result<Vec<Chosen>, CliError> {
        self.paths
            .iter()
            .map(|path| Chosen::open(path).map_err(|error| unoffered(&error)))
            .collect()
    }

    /// Adds what the node is to be told of the files.
    pub(super) fn wish<'c>(&self, chosen: impl Iterator<Item = &'c Chosen>, wishes: &mut Wishes) {
        wishes.choices = chosen.map(|chosen| chosen.choice.clone()).collect();
        wishes.limit = self.limit;
        wishes.digest = self.digest;
    }
}

/// What a message has besides its text, open.
#[derive(Debug, Default)]
pub(in crate::cli) struct Enclosed {
    pub(super) files: Vec<Chosen>,
    pub(super) picture: Option<Source>,
}

impl Enclosed {
    /// Everything that may be offered.
    pub(super) fn chosen(&self) -> impl Iterator<Item = &Chosen> {
        self.files.iter().chain(self.picture.as_ref().map(Source::chosen))
    }

    /// Says what will be missing. Whether anything will.
    pub(super) fn warn(&self, style: Style) -> bool {
        let mut lacking = false;
        for Chosen { choice, unreadable, .. } in self.chosen().filter(|one| one.unreadable > 0) {
            let name = item_name(&choice.name, choice.kind);
            let them = if *unreadable == 1 { "file or folder" } else { "files or folders" };
            let words = format!("{unreadable} {them} in {name} cannot be read and will be missing");
            style.say(&words);
            lacking = true;
        }
        lacking
    }
}

fn unoffered(error: &ChooseError) -> CliError {
    let missing = matches!(error, ChooseError::Open { source, .. }
        if source.kind() == std::io::ErrorKind::NotFound);
    let error = CliError::new(Exit::Usage, format_args!("nothing was sent: {error}"));
    if missing {
        error.hint("a text stands behind --: feige send WHO --file PATH -- TEXT")
    } else {
        error
    }
}

//! One transfer from its beginning to its end, on its own thread.

use std::path::PathBuf;
use std::sync::Arc;

use super::pump::{Meter, Pump};
use super::trouble::Trouble;
use super::{Place, Stop, file, folder};
use crate::node::{Fetch, FetchEnd, FetchNews, IdBase, ItemKind};
use crate::store::download::Folder;

/// One transfer.
pub(super) struct Transfer<'a> {
    pub(super) fetch: &'a Fetch,
    pub(super) place: &'a Place,
    pub(super) stop: &'a Stop,
    pub(super) meter: Meter<'a>,
    /// Entries that were passed over.
    pub(super) skipped: u64,
    pub(super) sha256: Option<String>,
    pub(super) ids: Option<IdBase>,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        fetch: &'a Fetch,
        place: &'a Place,
        stop: &'a Stop,
        tell: &'a dyn Fn(FetchNews),
    ) -> Self {
        let meter = Meter::new(place.limits, fetch.limit, stop, tell);
        Self { fetch, place, stop, meter, skipped: 0, sha256: None, ids: None }
    }

    /// Ends it where the user does not want it any more.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        if self.stop.is_wanted() { Err(Trouble::Stopped) } else { Ok(()) }
    }

    /// Fetches it.
    pub(super) fn run(mut self) -> FetchEnd {
        let result = self.fetch();
        self.stop.let_go(result.is_ok());
        if let Err(trouble) = &result {
            tracing::info!(name = self.fetch.name, from = %self.fetch.from, "not fetched: {trouble}");
        }
        let Self { meter, skipped, sha256, ids, .. } = self;
        FetchEnd {
            result: result.map_err(|trouble| trouble.problem(self.fetch.kind)),
            bytes: meter.contents(),
            resumed: meter.resumed,
            done: meter.done,
            skipped,
            took: meter.took(),
            sha256,
            ids,
        }
    }

    fn fetch(&mut self) -> Result<PathBuf, Trouble> {
        let into = self.fetch.into.as_ref().unwrap_or(&self.place.downloads);
        let into = Arc::new(Folder::open(into)?);
        into.sweep(crate::io::wall_clock());
        let mut pump = Pump::new();
        match self.fetch.kind {
            ItemKind::Folder => folder::fetch(self, &mut pump, &into),
            ItemKind::File | ItemKind::Picture => file::fetch(self, &mut pump, into),
        }
    }
}

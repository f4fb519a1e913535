//! What is held open of the files on offer.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::Stat;
use rustix::process::{Resource, getrlimit};

use super::choose::{bytes_of, is_chosen, mtime_of, nanos_of, open_without_links};
use crate::node::{FileChoice, GrantRecord, ItemState, PacketNo};

/// Open files and folders, by the message that offers them and their place in its list. What is not
/// here is opened by its path when it is asked for, and served only if it is still the same.
#[derive(Debug, Default)]
pub(crate) struct Shelf(BTreeMap<Slot, Arc<OwnedFd>>);

/// A message of ours, and the place of a file in its list from 0.
pub(crate) type Slot = (PacketNo, usize);

/// At most so many are held open, and a quarter of what the process may have: usually 1,024.
const HELD_MAX: usize = 256;

impl Shelf {
    /// What the process before this one held.
    pub(crate) fn new(files: impl IntoIterator<Item = (Slot, OwnedFd)>) -> Self {
        let held = files.into_iter().map(|(slot, file)| (slot, Arc::new(file)));
        // Those beyond are closed as they come.
        Self(held.take(held_max()).collect())
    }

    /// Holds the files of a message, all or none of them.
    pub(super) fn hold(&mut self, number: PacketNo, files: Vec<OwnedFd>) {
        if self.0.len() + files.len() <= held_max() {
            let files = files.into_iter().map(Arc::new).enumerate();
            self.0.extend(files.map(|(item, file)| ((number, item), file)));
        }
    }

    /// The file at this place in the list of this message, if it is held.
    pub(super) fn get(&self, number: PacketNo, item: usize) -> Option<Arc<OwnedFd>> {
        self.0.get(&(number, item)).cloned()
    }

    /// Closes what is held for a message.
    pub(super) fn release(&mut self, number: PacketNo) {
        self.0.retain(|&(of, _), _| of != number);
    }

    /// Everything, for the process after this one. Of what is being sent just now a second
    /// descriptor goes along; where the system gives none, the next process opens that path anew.
    pub(super) fn take(&mut self) -> Vec<(Slot, OwnedFd)> {
        let own = |file: Arc<OwnedFd>| Arc::try_unwrap(file).or_else(|shared| shared.try_clone());
        let held = std::mem::take(&mut self.0).into_iter();
        held.filter_map(|(slot, file)| Some((slot, own(file).ok()?))).collect()
    }

    /// Whether what was chosen is held, and is as it was then.
    fn holds(&self, (number, item): Slot, choice: &FileChoice) -> bool {
        let held = self.get(number, item);
        held.is_some_and(
            |file| matches!(is_chosen(choice, file), Ok(Some(stat)) if is_as_chosen(choice, &stat)),
        )
    }
}

fn held_max() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / 4).map_or(HELD_MAX, |quarter| quarter.min(HELD_MAX))
}

/// Looks at the files that an earlier run had on offer, and takes those off that are not the same
/// any more: gone and not held, replaced, or written to. What to tell the user about each.
pub(crate) fn check(grants: &mut [GrantRecord], held: &Shelf) -> Vec<String> {
    let mut notices = Vec::new();
    let mut looked: HashMap<(PacketNo, usize), bool> = HashMap::new();
    for grant in grants {
        for (item, state) in grant.states.iter_mut().enumerate() {
            let Some(file) = grant.files.get(item).filter(|_| *state == ItemState::Waiting) else {
                continue;
            };
            let same = *looked.entry((grant.number, item)).or_insert_with(|| {
                let slot = (grant.number, item);
                let same = held.holds(slot, &file.choice) || is_unchanged(&file.choice);
                if !same {
                    let path = file.choice.path.display();
                    notices
                        .push(format!("{path} has changed since it was offered: offered no more"));
                }
                same
            });
            if !same {
                *state = ItemState::Over;
            }
        }
    }
    notices
}

/// Whether the path still leads to the file that was chosen, as it was then. A folder is the same
/// folder whatever comes and goes in it.
fn is_unchanged(choice: &FileChoice) -> bool {
    let Ok((file, _)) = open_without_links(&choice.path) else { return false };
    matches!(is_chosen(choice, &file), Ok(Some(stat)) if is_as_chosen(choice, &stat))
}

/// Whether a file looks as it did when it was chosen. Who holds it open keeps others from replacing it,
/// not from writing to it; and the number of an inode that nobody holds is given again as soon as its
/// file is gone.
pub(super) fn is_as_chosen(choice: &FileChoice, stat: &Stat) -> bool {
    let same_time = mtime_of(stat) == choice.mtime
        && choice.mtime_nanos.is_none_or(|nanos| Some(nanos) == nanos_of(stat));
    choice.is_folder() || (bytes_of(stat) == choice.size && same_time)
}

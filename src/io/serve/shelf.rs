//! What is held open of the files on offer.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::choose::{bytes_of, is_chosen, mtime_of, open_without_links};
use crate::node::{FileChoice, GrantRecord, ItemState, PacketNo};

/// Open files and folders, by the message that offers them and their place in its list. What is not
/// here is opened by its path when it is asked for, and served only if it is still the same.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    held: HashMap<PacketNo, Vec<Arc<OwnedFd>>>,
    count: usize,
}

/// At most so many are held open, well below the 1,024 descriptors a process usually may have.
const HELD_MAX: usize = 256;

impl Shelf {
    /// Holds the files of a message, all or none of them.
    pub(super) fn hold(&mut self, number: PacketNo, files: Vec<OwnedFd>) {
        if files.is_empty() || self.count + files.len() > HELD_MAX {
            return;
        }
        self.count += files.len();
        self.held.insert(number, files.into_iter().map(Arc::new).collect());
    }

    /// The file at this place in the list of this message, if it is held.
    pub(super) fn get(&self, number: PacketNo, item: usize) -> Option<Arc<OwnedFd>> {
        self.held.get(&number)?.get(item).cloned()
    }

    /// Closes what is held for a message.
    pub(super) fn release(&mut self, number: PacketNo) {
        self.count -= self.held.remove(&number).map_or(0, |files| files.len());
    }
}

/// Looks at the files that an earlier run had on offer, and takes those off that are not the same
/// any more: gone, replaced, or written to. What to tell the user about each.
pub(crate) fn check(grants: &mut [GrantRecord]) -> Vec<String> {
    let mut notices = Vec::new();
    let mut looked: HashMap<(PacketNo, usize), bool> = HashMap::new();
    for grant in grants {
        for (item, state) in grant.states.iter_mut().enumerate() {
            let Some(file) = grant.files.get(item).filter(|_| *state == ItemState::Waiting) else {
                continue;
            };
            let same = *looked.entry((grant.number, item)).or_insert_with(|| {
                let same = is_unchanged(&file.choice);
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
    match is_chosen(choice, &file) {
        Ok(Some(stat)) => {
            choice.is_folder()
                || (bytes_of(&stat) == choice.size && mtime_of(&stat) == choice.mtime)
        }
        _ => false,
    }
}

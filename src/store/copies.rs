//! Copies of what is on offer and has no file of its own: what a command read from a pipe. Each lies
//! in a folder of the store for as long as it can be fetched, over restarts too.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Paths, StoreError, create_private_folder, folder_of};
use crate::node::UnixMillis;

/// The folder of a profile's copies.
#[derive(Clone, Debug)]
pub struct Copies(PathBuf);

/// A copy that nothing offers is left alone for so long, milliseconds: a command may just be making it.
const UNUSED_MS: i64 = 24 * 60 * 60 * 1_000;

impl Copies {
    /// Those of this profile. Nothing is created.
    pub fn of(paths: &Paths) -> Self {
        Self(folder_of(&paths.db).join("copies"))
    }

    /// With the whole path of the folder without links, as offers name their files.
    pub(crate) fn whole(self) -> Self {
        // It may be made only later.
        let made = fs::canonicalize(&self.0).ok();
        let whole = || Some(fs::canonicalize(self.0.parent()?).ok()?.join(self.0.file_name()?));
        Self(made.or_else(whole).unwrap_or(self.0))
    }

    /// Makes an empty copy, which is removed with the value unless its cleanup is disabled.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`], [`StoreError::Foreign`].
    pub fn create(&self) -> Result<NamedTempFile, StoreError> {
        create_private_folder(&self.0)?;
        let file = tempfile::Builder::new().prefix("copy-").tempfile_in(&self.0);
        file.map_err(StoreError::file("create a file in", &self.0))
    }

    /// Whether a file that was offered is a copy of ours, by its path alone: asked of
    /// [`Copies::whole`].
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path.parent() == Some(&self.0)
    }

    /// Removes what was offered and cannot be fetched any more, where that is a copy of ours. A file
    /// of the user's own stays, whoever asks.
    pub(crate) fn remove(&self, path: &Path) {
        if !self.holds(path) {
            return;
        }
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!("a copy that is not needed any more stays: {error}");
        }
    }

    /// Removes old copies that nothing offers: a crash left them behind.
    pub(crate) fn sweep(&self, now: UnixMillis, is_offered: impl Fn(&Path) -> bool) {
        let whole = self.clone().whole();
        let Ok(entries) = fs::read_dir(&whole.0) else { return };
        for entry in entries.filter_map(Result::ok) {
            let path = whole.0.join(entry.file_name());
            let is_old = entry.metadata().is_ok_and(|found| is_old(now, found.mtime()));
            if is_old && !is_offered(&path) {
                whole.remove(&path);
            }
        }
    }
}

/// Whether what was written to at `mtime`, in seconds, is old. A file system may name any time.
const fn is_old(now: UnixMillis, mtime: i64) -> bool {
    now.0.saturating_sub(mtime.saturating_mul(1_000)) >= UNUSED_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies() -> (tempfile::TempDir, Copies) {
        let home = tempfile::tempdir().unwrap();
        let copies = Copies::of(&Paths::all_in(home.path()));
        (home, copies)
    }

    fn left_behind(copies: &Copies) -> PathBuf {
        let mut copy = copies.create().unwrap();
        copy.disable_cleanup(true);
        fs::canonicalize(copy.path()).unwrap()
    }

    #[test]
    fn a_copy_goes_with_its_value_or_when_it_is_removed() {
        let (_home, copies) = copies();
        let copy = copies.create().unwrap();
        let path = copy.path().to_owned();
        drop(copy);
        assert!(!path.exists());
        let path = left_behind(&copies);
        assert!(path.exists());
        copies.whole().remove(&path);
        assert!(!path.exists());
    }

    #[test]
    fn which_file_is_a_copy_is_known_without_the_disk() {
        let (home, copies) = copies();
        // Before there is one.
        let copies = copies.whole();
        let path = left_behind(&copies);
        fs::rename(home.path().join("copies"), home.path().join("gone")).unwrap();
        assert!(copies.holds(&path));
        assert!(!copies.holds(&path.join("x")) && !copies.holds(Path::new("/own")));
    }

    #[test]
    fn files_of_the_user_are_never_removed() {
        let (home, copies) = copies();
        left_behind(&copies);
        let copies = copies.whole();
        let home = fs::canonicalize(home.path()).unwrap();
        fs::write(home.join("own"), "x").unwrap();
        for path in [home.join("own"), home.join("copies/../own"), home.join("copies/a/../../own")]
        {
            copies.remove(&path);
        }
        assert!(home.join("own").exists());
    }

    #[test]
    fn only_old_copies_that_nothing_offers_are_swept() {
        let (_home, copies) = copies();
        let (offered, forgotten) = (left_behind(&copies), left_behind(&copies));
        let made = fs::metadata(&forgotten).unwrap().mtime() * 1_000;
        copies.sweep(UnixMillis(made + UNUSED_MS / 2), |path| path == offered);
        assert!(forgotten.exists(), "it may be new");
        copies.sweep(UnixMillis(made + UNUSED_MS * 2), |path| path == offered);
        assert_eq!((offered.exists(), forgotten.exists()), (true, false));
    }

    #[test]
    fn a_time_beyond_every_clock_is_not_old() {
        let now = UnixMillis(1_795_000_000_000);
        let ages = [i64::MIN, 0, 1_795_000_000, i64::MAX / 1_000 + 1, i64::MAX];
        assert_eq!(ages.map(|mtime| is_old(now, mtime)), [true, true, false, false, false]);
    }
}

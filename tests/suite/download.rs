//! The download folder: nothing partial under a final name, nothing overwritten, nothing outside
//! it (threats, D).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use feige::node::{PacketNo, UnixMillis};
use feige::store::download::{DownloadError, Folder, Origin, Part, Stage};
use rustix::io::write;
use tempfile::TempDir;

/// Keys of transfers.
const KEY: &str = "0a0a0a0a0a0a0a0a0a0a";
const KEY_B: &str = "0b0b0b0b0b0b0b0b0b0b";
const KEY_D: &str = "0d0d0d0d0d0d0d0d0d0d";

/// A download folder among things that must never change.
struct Yard {
    home: TempDir,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Yard {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("outside/below")).unwrap();
        fs::write(home.path().join("outside/passwd"), "root").unwrap();
        fs::write(home.path().join("outside/below/keys"), "secret").unwrap();
        fs::create_dir(home.path().join("downloads")).unwrap();
        let before = contents(&home.path().join("outside"));
        Self { home, before }
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.home.path().join("outside").join(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("downloads").join(name)
    }

    fn folder(&self) -> Arc<Folder> {
        Arc::new(Folder::open(&self.path("")).unwrap())
    }

    /// Nothing outside the folder changed, and in it are exactly these.
    #[track_caller]
    fn holds(&self, names: &[&str]) {
        assert_eq!(contents(&self.home.path().join("outside")), self.before);
        let mut all: Vec<_> = fs::read_dir(self.home.path()).unwrap().map(name_of).collect();
        all.sort();
        assert_eq!(all, ["downloads", "outside"]);
        let mut found: Vec<_> = fs::read_dir(self.path("")).unwrap().map(name_of).collect();
        found.sort();
        assert_eq!(found, names);
    }
}

fn name_of(entry: std::io::Result<fs::DirEntry>) -> String {
    entry.unwrap().file_name().into_string().unwrap()
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn put(part: &Part, bytes: &[u8]) {
    assert_eq!(write(part.file(), bytes).unwrap(), bytes.len());
}

#[test]
fn a_file_is_hidden_and_private_until_it_is_complete() {
    let yard = Yard::new();
    let part = Part::open(yard.folder(), KEY, None).unwrap();
    put(&part, b"half");
    yard.holds(&[".feige-0a0a0a0a0a0a0a0a0a0a.part"]);
    assert_eq!(
        fs::metadata(yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.part")).unwrap().mode() & 0o7777,
        0o600
    );
    let path = part.finish("report.txt", Some(1_700_000_000), true).unwrap();
    assert_eq!(path, yard.path("report.txt"));
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime()), (0o400, 1_700_000_000));
    yard.holds(&["report.txt"]);
}

#[test]
fn nothing_is_ever_replaced() {
    let yard = Yard::new();
    fs::write(yard.path("a.txt"), "mine").unwrap();
    symlink(yard.outside("passwd"), yard.path("a (1).txt")).unwrap();
    symlink(yard.outside("missing"), yard.path("a (2).txt")).unwrap();
    fs::create_dir(yard.path("a (3).txt")).unwrap();
    let part = Part::open(yard.folder(), KEY, None).unwrap();
    put(&part, b"theirs");
    assert_eq!(part.finish("a.txt", None, false).unwrap(), yard.path("a (4).txt"));
    assert_eq!(fs::read(yard.path("a.txt")).unwrap(), b"mine");
    yard.holds(&["a (1).txt", "a (2).txt", "a (3).txt", "a (4).txt", "a.txt"]);
}

#[test]
fn what_came_is_kept_for_the_next_time_and_written_by_one_alone() {
    let yard = Yard::new();
    let part = Part::open(yard.folder(), KEY, None).unwrap();
    put(&part, b"half");
    let mut others: Vec<Part> =
        (1..16).map(|_| Part::open(yard.folder(), KEY, None).unwrap()).collect();
    assert!(others[0].is_empty().unwrap(), "it writes to a part of its own");
    let crowded = Part::open(yard.folder(), KEY, None).unwrap_err();
    assert!(matches!(crowded, DownloadError::Busy { .. }), "{crowded}");
    others.clear();
    yard.holds(&[".feige-0a0a0a0a0a0a0a0a0a0a.part"]);
    drop(part);
    let again = Part::open(yard.folder(), KEY, None).unwrap();
    assert_eq!(again.len().unwrap(), 4);
    let mut read = [0; 8];
    assert_eq!(again.read_at(1, &mut read).unwrap(), 3);
    assert_eq!(&read[..3], b"alf");
    again.cut(2).unwrap();
    put(&again, b"t!");
    let path = again.finish("x", None, false).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"hat!");
    drop(Part::open(yard.folder(), KEY_B, None).unwrap());
    yard.holds(&["x"]);
}

#[test]
fn what_another_offer_left_is_told_apart_until_it_is_adopted() {
    let yard = Yard::new();
    let offer = |packet, file| Some(Origin { packet: PacketNo(packet), file });
    let open = |origin| Part::open(yard.folder(), KEY, origin).unwrap();
    fs::write(yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.part"), "old").unwrap();
    let mut part = open(offer(0x3e9, 1));
    assert!(part.is_anothers() && part.len().unwrap() == 3, "nobody knows whose it is");
    part.adopt();
    yard.holds(&[".feige-0a0a0a0a0a0a0a0a0a0a.3e9.1.part"]);
    drop(part);
    assert!(!open(offer(0x3e9, 1)).is_anothers());
    // Another number or id is another offer, and what is not adopted stays the first one's.
    for origin in [offer(0x3ea, 1), offer(0x3e9, 2)] {
        let part = open(origin);
        assert!(part.is_anothers() && part.len().unwrap() == 3);
        drop(part);
        yard.holds(&[".feige-0a0a0a0a0a0a0a0a0a0a.3e9.1.part"]);
    }
    // Its own before another's, and another's not while that is written.
    let mut mine = open(offer(0x3ea, 1));
    mine.adopt();
    let second = open(offer(0x3e9, 1));
    assert!(!second.is_anothers() && second.is_empty().unwrap());
    put(&second, b"new");
    drop((mine, second));
    let mine = open(offer(0x3e9, 1));
    assert!(!mine.is_anothers());
    let mut read = [0; 3];
    mine.read_at(0, &mut read).unwrap();
    assert_eq!(&read, b"new");
    yard.holds(&[
        ".feige-0a0a0a0a0a0a0a0a0a0a.3e9.1.part",
        ".feige-0a0a0a0a0a0a0a0a0a0a.3ea.1.part",
    ]);
}

#[test]
fn the_parts_of_one_offer_that_nobody_writes_are_removed() {
    let yard = Yard::new();
    let origin = Origin { packet: PacketNo(0x3e9), file: 10 };
    let names = ["0a.3e9.a", "0a.3e9.a-1", "0a.3e9.b", "0a", "0b.3e9.a"]
        .map(|name| format!(".feige-{}{}.part", name[..2].repeat(10), &name[2..]));
    for name in &names {
        fs::write(yard.path(name), "old").unwrap();
    }
    let held = Part::open(yard.folder(), KEY, Some(origin)).unwrap();
    Folder::existing(&yard.path("")).unwrap().remove_parts(KEY, origin);
    yard.holds(&[&*names[0], &names[2], &names[3], &names[4]]);
    drop(held);
    yard.folder().remove_parts(KEY, origin);
    yard.holds(&[&*names[2], &names[3], &names[4]]);
    Folder::existing(&yard.path("missing")).unwrap_err();
}

#[test]
fn a_part_is_never_written_through_a_planted_name() {
    let yard = Yard::new();
    symlink(yard.outside("passwd"), yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.part")).unwrap();
    fs::hard_link(yard.outside("below/keys"), yard.path(".feige-0a0a0a0a0a0a0a0a0a0a-1.part"))
        .unwrap();
    fs::create_dir(yard.path(".feige-0a0a0a0a0a0a0a0a0a0a-2.part")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let at = yard.path(".feige-0a0a0a0a0a0a0a0a0a0a-3.part");
    rustix::fs::mknodat(rustix::fs::CWD, &at, fifo, mode, 0).unwrap();
    let part = Part::open(yard.folder(), KEY, None).unwrap();
    put(&part, b"evil");
    part.finish("x", None, false).unwrap();
    yard.holds(&[
        ".feige-0a0a0a0a0a0a0a0a0a0a-1.part",
        ".feige-0a0a0a0a0a0a0a0a0a0a-2.part",
        ".feige-0a0a0a0a0a0a0a0a0a0a-3.part",
        ".feige-0a0a0a0a0a0a0a0a0a0a.part",
        "x",
    ]);
}

#[test]
fn names_that_are_paths_lead_nowhere() {
    let yard = Yard::new();
    symlink(yard.outside(""), yard.path("link")).unwrap();
    for name in ["../outside/passwd", "/etc/passwd", "link/passwd", "..", ".", "", "a\0b", "CON"] {
        let part = Part::open(yard.folder(), KEY, None).unwrap();
        put(&part, b"evil");
        let path = part.finish(name, None, false).unwrap();
        assert_eq!(path.parent(), Some(&*yard.path("").components().collect::<PathBuf>()));
    }
    yard.holds(&[
        "_",
        "_ (1)",
        "_ (2)",
        "_CON",
        "___outside_passwd",
        "_etc_passwd",
        "a_b",
        "link",
        "link_passwd",
    ]);
}

#[test]
fn a_folder_appears_at_once_or_not_at_all() {
    let yard = Yard::new();
    fs::create_dir(yard.path("top")).unwrap();
    let mut stage = Stage::begin(yard.folder(), KEY).unwrap();
    let late = stage.create("a.txt", false).unwrap();
    stage.enter("sub").unwrap();
    for _ in 0..2 {
        stage.create("same", true).unwrap().complete(None);
    }
    // Contents may come when the stream stands elsewhere.
    late.write(b"hello").unwrap();
    late.complete(Some(1_700_000_000));
    stage.enter("..").unwrap();
    stage.leave(None);
    stage.leave(Some(1_700_000_000));
    stage.enter("sub").unwrap();
    stage.leave(None);
    // Further up than there is.
    stage.leave(None);
    stage.leave(None);
    stage.create("b", false).unwrap();
    yard.holds(&[".feige-0a0a0a0a0a0a0a0a0a0a.d", "top"]);
    let path = stage.finish("top").unwrap();
    assert_eq!(path, yard.path("top (1)"));
    yard.holds(&["top", "top (1)"]);
    let below: Vec<_> = contents(&path)
        .into_keys()
        .map(|below| below.strip_prefix(&path).unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(below, ["a.txt", "b", "sub/same", "sub/same (1)"]);
    assert_eq!(fs::metadata(path.join("a.txt")).unwrap().mtime(), 1_700_000_000);
    assert_eq!(fs::metadata(path.join("sub")).unwrap().mtime(), 1_700_000_000);
    assert_eq!(fs::metadata(path.join("sub/same")).unwrap().mode() & 0o7777, 0o400);
    assert!(path.join("sub/_").is_dir() && path.join("sub (1)").is_dir());
}

#[test]
fn a_folder_that_broke_leaves_nothing_and_its_removal_follows_no_link() {
    let yard = Yard::new();
    let mut stage = Stage::begin(yard.folder(), KEY).unwrap();
    stage.enter("sub").unwrap();
    stage.create("a", false).unwrap();
    let mut others: Vec<Stage> =
        (1..16).map(|_| Stage::begin(yard.folder(), KEY).unwrap()).collect();
    let crowded = Stage::begin(yard.folder(), KEY).unwrap_err();
    assert!(matches!(crowded, DownloadError::Busy { .. }), "{crowded}");
    others.clear();
    yard.holds(&[".feige-0a0a0a0a0a0a0a0a0a0a.d"]);
    symlink(yard.outside(""), yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.d/sub/link")).unwrap();
    symlink(yard.outside("passwd"), yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.d/file")).unwrap();
    drop(stage);
    yard.holds(&[]);

    // What a killed process left goes when the same is begun again, and a planted link is no folder
    // of ours.
    fs::create_dir_all(yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.d/left")).unwrap();
    symlink(yard.outside(""), yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.d/link")).unwrap();
    symlink(yard.outside(""), yard.path(".feige-0b0b0b0b0b0b0b0b0b0b.d")).unwrap();
    for key in [KEY, KEY_B] {
        let mut stage = Stage::begin(yard.folder(), key).unwrap();
        stage.create("passwd", false).unwrap().write(b"evil").unwrap();
        stage.finish("x").unwrap();
    }
    yard.holds(&[".feige-0b0b0b0b0b0b0b0b0b0b.d", "x", "x (1)"]);
}

#[test]
fn a_folder_planted_in_the_way_of_a_stage_is_not_entered() {
    let yard = Yard::new();
    let mut stage = Stage::begin(yard.folder(), KEY).unwrap();
    symlink(yard.outside(""), yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.d/sub")).unwrap();
    stage.enter("sub").unwrap();
    stage.create("passwd", false).unwrap().write(b"evil").unwrap();
    stage.leave(None);
    symlink(yard.outside("passwd"), yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.d/f")).unwrap();
    stage.create("f", false).unwrap().write(b"evil").unwrap();
    stage.finish("x").unwrap();
    yard.holds(&["x"]);
    assert!(yard.path("x/sub (1)/passwd").exists() && yard.path("x/f (1)").exists());
}

#[test]
fn parts_nobody_goes_on_with_are_swept_and_nothing_else() {
    let yard = Yard::new();
    let now = UnixMillis(4_000_000_000_000);
    fs::write(yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.part"), "old").unwrap();
    fs::write(yard.path(".feige-0a0a0a0a0a0a0a0a0a0a-15.part"), "old").unwrap();
    fs::write(yard.path(".feige-0a0a0a0a0a0a0a0a0a0a.3e9.a.part"), "old").unwrap();
    fs::create_dir_all(yard.path(".feige-0b0b0b0b0b0b0b0b0b0b.d/sub")).unwrap();
    fs::create_dir(yard.path(".feige-0b0b0b0b0b0b0b0b0b0b-1.d")).unwrap();
    let held = Part::open(yard.folder(), KEY_D, None).unwrap();
    put(&held, b"held");
    // The user's own, by name.
    let mut mine = vec![
        ".feige-0a0a0a0a0a0a0a0a0a0.part",
        ".feige-0a0a0a0a0a0a0a0a0a0a-16.part",
        ".feige-0a0a0a0a0a0a0a0a0a0a.part.bak",
        ".feige-0c0c0c0c0c0c0c0c0c0c.part",
        ".feige-0c0c0c0c0c0c0c0c0c0c-1.part",
        ".feige-0c0c0c0c0c0c0c0c0c0c.d",
        ".feige-0c0c0c0c0c0c0c0c0c0c-1.d",
        ".feige-config",
        ".feige-notes.part",
        ".feige-settings.d",
        ".hidden",
        "kept",
    ];
    for name in &mine[..3] {
        fs::write(yard.path(name), "mine").unwrap();
    }
    // By kind: a folder for a part, a file with two names, a file and a link for a stage.
    fs::create_dir_all(yard.path(mine[3]).join("sub")).unwrap();
    fs::hard_link(yard.outside("below/keys"), yard.path(mine[4])).unwrap();
    fs::write(yard.path(mine[5]), "mine").unwrap();
    symlink(yard.outside(""), yard.path(mine[6])).unwrap();
    for name in [".feige-config", ".feige-notes.part", ".hidden", "kept"] {
        fs::write(yard.path(name), "mine").unwrap();
    }
    fs::create_dir_all(yard.path(".feige-settings.d/deep")).unwrap();
    fs::write(yard.path(".feige-settings.d/deep/file"), "mine").unwrap();
    if rustix::process::geteuid().is_root() {
        // By owner.
        let theirs = [".feige-0e0e0e0e0e0e0e0e0e0e.part", ".feige-0e0e0e0e0e0e0e0e0e0e.d"];
        fs::write(yard.path(theirs[0]), "theirs").unwrap();
        fs::create_dir(yard.path(theirs[1])).unwrap();
        for name in theirs {
            std::os::unix::fs::chown(yard.path(name), Some(12_345), None).unwrap();
            mine.push(name);
        }
    }
    let ours = [
        ".feige-0a0a0a0a0a0a0a0a0a0a-15.part",
        ".feige-0a0a0a0a0a0a0a0a0a0a.3e9.a.part",
        ".feige-0a0a0a0a0a0a0a0a0a0a.part",
        ".feige-0b0b0b0b0b0b0b0b0b0b-1.d",
        ".feige-0b0b0b0b0b0b0b0b0b0b.d",
    ];
    mine.push(".feige-0d0d0d0d0d0d0d0d0d0d.part");
    mine.sort_unstable();
    let mut all = [&ours[..], &mine].concat();
    all.sort_unstable();
    yard.folder().sweep(UnixMillis(0));
    yard.holds(&all);
    yard.folder().sweep(now);
    yard.holds(&mine);
    assert_eq!(fs::read(yard.path(".feige-settings.d/deep/file")).unwrap(), b"mine");
}

#[test]
fn a_folder_that_is_missing_is_made_for_us_alone_and_one_that_cannot_be_is_named() {
    let yard = Yard::new();
    let folder = Folder::open(&yard.path("new/deep")).unwrap();
    assert!(folder.room().unwrap() < u64::MAX / 2);
    let mode = fs::metadata(yard.path("new/deep")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    fs::write(yard.path("file"), "").unwrap();
    let error = Folder::open(&yard.path("file")).unwrap_err();
    assert!(error.to_string().contains("downloads/file"), "{error}");
}

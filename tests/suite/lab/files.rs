//! Files and folders between two of ours on a real network: a large file, very many small ones,
//! names of every kind; and what becomes of a transfer when the link or one of the programs dies.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::iptux::Iptux;
use super::lan::{Done, Feige, Lab};

/// Two hosts whose programs know each other. One offers, the other fetches.
struct Pair {
    lab: Lab,
    offers: Feige,
    fetches: Feige,
    /// Offers that were heard.
    heard: usize,
}

const FROM: &str = "h1";
const TO: &str = "h2";

impl Pair {
    fn new(lab: Lab) -> Self {
        for host in [FROM, TO] {
            lab.settle(host, host, "", "");
        }
        let offers = lab.feige(FROM, &["listen"]);
        let fetches = lab.feige(TO, &["listen"]);
        offers.meets(TO);
        fetches.meets(FROM);
        Self { lab, offers, fetches, heard: 0 }
    }

    /// Offers this: the offer's number where it is fetched.
    fn offer(&mut self, path: &Path) -> String {
        let path = path.to_str().expect("text");
        self.lab.run(FROM, &["send", "--detach", "--digest", TO, "--file", path]).succeeds();
        let nth = self.heard;
        self.heard += 1;
        self.fetches.events.wait("an offer", |events| {
            let offers = events.iter().filter(|event| event["event"] == "offer");
            offers.map(|offer| offer["offer"].to_string()).nth(nth)
        })
    }

    /// Fetches an offer to the end.
    #[track_caller]
    fn get(&self, offer: &str) -> Value {
        let folder = self.folder();
        let args = ["get", offer, "--json", "--digest", "-o", text(&folder)];
        let done = self.lab.run(TO, &args).succeeds();
        ended(&done)
    }

    /// Begins to fetch it, at most so fast: when this has moved, and more will for a while.
    fn begin(&self, offer: &str, limit: &str, moved: u64) -> Feige {
        let folder = self.folder();
        let get = self.lab.feige(TO, &["get", offer, "--limit", limit, "-o", text(&folder)]);
        get.event("progress", |moving| moving["bytes"].as_u64() >= Some(moved));
        get
    }

    fn folder(&self) -> PathBuf {
        self.lab.home(TO).join("in")
    }

    /// Names in the folder received into.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).expect("it is there");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("it can be read").file_name().into_string().expect("text")
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    /// Nothing bears a final name, and this much is kept of a file.
    #[track_caller]
    fn is_partial(&self, parts: usize) {
        let names = self.names();
        let ours = |name: &&String| name.starts_with(".feige-") && name.contains(".part");
        assert_eq!(names.iter().filter(ours).count(), parts, "{names:?}");
        assert!(names.iter().all(|name| name.starts_with(".feige-")), "{names:?}");
    }

    /// These names and no others are in the folder: whole, and nothing left behind.
    #[track_caller]
    fn is_whole(&self, names: &[&str]) {
        assert_eq!(self.names(), names);
    }

    /// How the transfer of this name ended at the one who offered it.
    fn told(&self, name: &str, outcome: &str) -> Value {
        self.offers.event("transferred", |end| end["name"] == name && end["outcome"] == outcome)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// How the one transfer of a command ended.
#[track_caller]
fn ended(done: &Done) -> Value {
    let lines = done.lines();
    let mut ends = lines.iter().filter(|line| line["event"] == "transferred");
    let end = ends.next().unwrap_or_else(|| panic!("{done:?}"));
    assert!(ends.next().is_none() && end["outcome"] == "done", "{done:?}");
    end.clone()
}

/// SHA-256 of a file as another program has it.
fn sha256sum(path: &Path) -> String {
    let done = Command::new("sha256sum").arg(path).output().expect("coreutils");
    let out = String::from_utf8(done.stdout).expect("text");
    out.split(' ').next().expect("a digest").to_owned()
}

/// Bytes that repeat nowhere soon, the same ones for the same length.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = std::iter::repeat_with(next).take(length.div_ceil(8));
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(length);
    bytes
}

/// Memory of a program now, KiB; from here on its peak is counted anew.
fn idle(feige: &Feige) -> u64 {
    let pid = feige.program.pid().as_raw_nonzero();
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("root may");
    feige.program.kib("status", "VmRSS")
}

/// A disk in memory over a folder, where there is memory for it; the disk the folder is on where
/// there is not.
struct Disk(Option<PathBuf>);

impl Disk {
    fn over(folder: &Path, bytes: u64) -> Self {
        fs::create_dir_all(folder).expect("a folder can be made");
        let memory = fs::read_to_string("/proc/meminfo").expect("Linux tells");
        let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let available = available.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        if available.unwrap_or(0_u64) * 1024 < bytes + (3 << 30) {
            return Self(None);
        }
        let size = format!("size={bytes}");
        let args = ["-t", "tmpfs", "-o", &size, "none", text(folder)];
        let done = Command::new("mount").args(args).output().expect("it starts");
        assert!(done.status.success(), "{done:?}");
        Self(Some(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            // Hosts of the lab that run still see it until they end.
            let _ = Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}

/// Largest memory of a transfer beyond that of an idle node, KiB.
const MEMORY_MAX: u64 = 7 << 10;

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_file_of_4_gib_arrives_whole_and_memory_stays() {
    const SIZE: u64 = 4 << 30;
    let lab = Lab::up("2");
    let source = lab.home(FROM).join("大.img");
    fs::create_dir_all(lab.home(FROM)).unwrap();
    let file = fs::OpenOptions::new().create_new(true).write(true).open(&source).unwrap();
    file.set_len(SIZE).unwrap();
    // Around the limits of 31 and 32 bits, and in many other places, bytes that differ.
    let places = || (0..SIZE).step_by(64 << 20).chain([(2 << 30) - 16, SIZE - 16]);
    let mark = |place: u64| (place ^ 0x5a5a_5a5a_5a5a_5a5a).to_le_bytes();
    for place in places() {
        file.write_all_at(&mark(place), place).unwrap();
    }
    let _disk = Disk::over(&lab.home(TO).join("in"), SIZE + (512 << 20));
    let mut pair = Pair::new(lab);
    let offer = pair.offer(&source);
    let before = [idle(&pair.offers), idle(&pair.fetches)];
    let end = pair.get(&offer);
    assert_eq!((&end["bytes"], &end["resumed"]), (&SIZE.into(), &0.into()), "{end}");
    let told = pair.told("大.img", "done");
    assert_eq!((&told["bytes"], &told["sha256"]), (&SIZE.into(), &end["sha256"]), "{told}");
    // The digests are of what passed; this is on the disk.
    let received = fs::OpenOptions::new().read(true).open(pair.folder().join("大.img")).unwrap();
    assert_eq!(received.metadata().unwrap().len(), SIZE);
    for place in places() {
        let mut bytes = [0; 8];
        received.read_exact_at(&mut bytes, place).unwrap();
        assert_eq!(bytes, mark(place), "at {place}");
    }
    for (feige, before) in [&pair.offers, &pair.fetches].into_iter().zip(before) {
        let more = feige.program.kib("status", "VmHWM").saturating_sub(before);
        assert!(more < MEMORY_MAX, "{more} KiB above the {before} KiB of an idle node");
    }
    println!("4 GiB in {} s", end["seconds"]);
}

/// A tree as paths and contents; folders end in `/`.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            let name = text(path.strip_prefix(root).expect("it is below")).to_owned();
            if path.is_dir() {
                found.insert(name + "/", Vec::new());
                walk(root, &path, found);
            } else {
                found.insert(name, fs::read(&path).expect("it can be read"));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
    fs::write(path, bytes).expect("it can be written");
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn ten_thousand_files_and_names_of_every_kind_arrive_whole() {
    const FILES: usize = 10_000;
    let mut pair = Pair::new(Lab::up("2"));
    let (many, names) = (pair.lab.home(FROM).join("many"), pair.lab.home(FROM).join("名字"));
    let bytes = noise(8 << 10);
    for number in 0..FILES {
        let size = 512 + number * 7_680 / FILES;
        write(&many.join(format!("{:02}/{number}.bin", number % 40)), &bytes[..size]);
    }
    let long = format!("{}.txt", "文".repeat(83)) + "ab";
    assert_eq!(long.len(), 255);
    for name in ["报告 (终).txt", "谢谢/目录/空", "emoji 😀", "a.b.c", &long, &format!("深/{long}")]
    {
        write(&names.join(name), name.as_bytes());
    }
    write(&names.join("谢谢/nothing"), b"");
    write(&names.join("co:lon::.txt"), b"colon");
    fs::create_dir_all(names.join("empty/er")).unwrap();
    let before = [idle(&pair.offers), idle(&pair.fetches)];

    let offer = pair.offer(&many);
    let end = pair.get(&offer);
    assert_eq!(end["done"], FILES, "{end}");
    assert!(tree(&many) == tree(&pair.folder().join("many")), "the trees differ");
    println!("{FILES} files in {} s", end["seconds"]);
    let offer = pair.offer(&names);
    assert_eq!(pair.get(&offer)["done"], 8);
    let mut expected = tree(&names);
    // A colon is no character of a name that everybody can store.
    let colon = expected.remove("co:lon::.txt").expect("it was written");
    expected.insert("co_lon__.txt".to_owned(), colon);
    assert_eq!(tree(&pair.folder().join("名字")), expected);
    for (feige, before) in [&pair.offers, &pair.fetches].into_iter().zip(before) {
        let more = feige.program.kib("status", "VmHWM").saturating_sub(before);
        assert!(more < MEMORY_MAX, "{more} KiB above the {before} KiB of an idle node");
    }
    pair.is_whole(&["many", "名字"]);
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn what_a_killed_program_broke_goes_on() {
    let mut pair = Pair::new(Lab::up("2"));
    let big = pair.lab.home(FROM).join("big.bin");
    write(&big, &noise(24 << 20));
    let folder = pair.lab.home(FROM).join("照片");
    for number in 0..40 {
        write(&folder.join(format!("{number}.jpg")), &noise((300 << 10) + number));
    }
    let digest = sha256sum(&big);

    // The receiver.
    let offer = pair.offer(&big);
    let get = pair.begin(&offer, "8M", 6 << 20);
    pair.fetches.program.signal(Signal::KILL);
    pair.fetches.program.exit();
    drop(get);
    pair.is_partial(1);
    pair.told("big.bin", "broken");
    pair.fetches = pair.lab.feige(TO, &["listen"]);
    pair.fetches.meets(FROM);
    pair.heard = 0;
    let end = pair.get(&offer);
    assert!(end["resumed"].as_u64() > Some(4 << 20), "{end}");
    assert_eq!(end["sha256"], digest.as_str());
    pair.is_whole(&["big.bin"]);

    // The sender, whose offers survive it.
    fs::remove_file(pair.folder().join("big.bin")).unwrap();
    let (file, tree_offer) = (pair.offer(&big), pair.offer(&folder));
    let get = pair.begin(&file, "4M", 5 << 20);
    let get_tree = pair.begin(&tree_offer, "2M", 1 << 20);
    pair.offers.program.signal(Signal::KILL);
    pair.offers.program.exit();
    for get in [&get, &get_tree] {
        let end = get.event("transferred", |_| true);
        assert_eq!(end["outcome"], "broken", "{end}");
    }
    pair.is_partial(1);
    pair.offers = pair.lab.feige(FROM, &["listen"]);
    pair.offers.meets(TO);
    let end = pair.get(&file);
    assert!(end["resumed"].as_u64() > Some(4 << 20), "{end}");
    assert_eq!(end["sha256"], digest.as_str());
    pair.get(&tree_offer);
    assert!(tree(&folder) == tree(&pair.folder().join("照片")), "the trees differ");
    pair.is_whole(&["big.bin", "照片"]);
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn what_a_broken_link_broke_goes_on() {
    /// Both sides give a silent connection up after 30 s.
    const PATIENCE: Duration = Duration::from_secs(45);
    let mut pair = Pair::new(Lab::up("2"));
    let big = pair.lab.home(FROM).join("big.bin");
    write(&big, &noise(48 << 20));
    let folder = pair.lab.home(FROM).join("照片");
    for number in 0..40 {
        write(&folder.join(format!("{number}.jpg")), &noise((200 << 10) + number));
    }
    let (file, tree_offer) = (pair.offer(&big), pair.offer(&folder));
    let gets = [pair.begin(&file, "8M", 8 << 20), pair.begin(&tree_offer, "2M", 2 << 20)];
    // The cable out of the switch: both hosts have their links, and nothing comes through.
    pair.lab.ip("sw", &format!("link set {TO}eth0 down"));
    for get in &gets {
        let end = get.events.wait_within(PATIENCE, "an end", |events| {
            events.iter().find(|event| event["event"] == "transferred").cloned()
        });
        assert_eq!(
            (&end["outcome"], &end["problem"]["side"]),
            (&"broken".into(), &"network".into())
        );
        let what = end["problem"]["what"].as_str().expect("text");
        assert_eq!(what, "nothing came from the sender for 30 s");
    }
    pair.is_partial(1);
    pair.lab.ip("sw", &format!("link set {TO}eth0 up"));
    // Until the other side is found again there is no way to it.
    let end = pair.get(&file);
    assert!(end["resumed"].as_u64() > Some(7 << 20), "{end}");
    assert_eq!(end["sha256"], sha256sum(&big));
    pair.get(&tree_offer);
    assert!(tree(&folder) == tree(&pair.folder().join("照片")), "the trees differ");
    pair.is_whole(&["big.bin", "照片"]);
    pair.told("big.bin", "done");
    pair.told("照片", "done");
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn files_go_both_ways_with_an_iptux() {
    const IPTUX: &str = "10.99.0.2";
    const OURS: &str = "10.99.0.1";
    let lab = Lab::up("2");
    lab.settle(FROM, "王小二", "", "");
    let (shared, gift) = (lab.home(TO).join("共享"), lab.home(TO).join("礼物.bin"));
    write(&shared.join("深/x.txt"), "深".as_bytes());
    write(&shared.join("大"), &noise(900_000));
    fs::create_dir(shared.join("空")).unwrap();
    write(&lab.home(TO).join("a.txt"), b"hello");
    write(&gift, &noise(3_000_000));
    let wire = lab.wire();
    let feige = lab.feige(FROM, &["listen"]);
    let paths = [text(&lab.home(TO).join("a.txt")).to_owned(), text(&shared).to_owned()];
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let iptux = Iptux::sharing(&lab, TO, ["小明", "测试组", "gb18030"], &paths);
    feige.meets("小明");

    // What it shares with everybody.
    let list = lab.run(FROM, &["files", "--of", IPTUX, "--json"]).succeeds().lines();
    let number = list[0]["offer"].to_string();
    let into = lab.home(FROM).join("in");
    lab.run(FROM, &["get", &number, "--json", "-o", text(&into)]).succeeds();
    assert_eq!(fs::read(into.join("a.txt")).unwrap(), b"hello");
    assert!(tree(&shared) == tree(&into.join("共享")), "{:?}", tree(&into).keys());

    // What its user accepts.
    iptux.settles(&wire, OURS);
    let report = lab.home(FROM).join("报告.bin");
    write(&report, &noise(5_000_001));
    let send = lab.feige(FROM, &["send", "小明", "--file", text(&report), "--", "收一下"]);
    send.event("receipt", |_| true);
    iptux.accept(OURS);
    let end = send.event("transferred", |_| true);
    assert_eq!((&end["outcome"], &end["bytes"]), (&"done".into(), &5_000_001.into()), "{end}");
    assert!(fs::read(iptux.downloads().join("报告.bin")).unwrap() == noise(5_000_001));

    // What its user offers.
    iptux.offer(OURS, text(&gift));
    let offer = feige.event("offer", |offer| offer["direction"] == "in");
    let number = offer["offer"].to_string();
    lab.run(FROM, &["get", &number, "--json", "-o", text(&into)]).succeeds();
    assert!(fs::read(into.join("礼物.bin")).unwrap() == noise(3_000_000));
}

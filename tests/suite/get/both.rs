//! Between two of us: what one offers the other fetches.

use std::os::unix::fs::MetadataExt;

use super::*;

/// Two homes whose nodes know each other.
struct Pair {
    anna: TestHome,
    bea: TestHome,
    offers: Process,
    fetches: Process,
}

impl Pair {
    fn new() -> Self {
        let lan = Lan::new();
        let (anna, bea) = (lan.home("anna"), lan.home("bea"));
        let offers = listen(&anna);
        let fetches = listen(&bea);
        offers.out.event("peer_up", |event| event["peer"]["nick"] == "bea");
        fetches.out.event("peer_up", |event| event["peer"]["nick"] == "anna");
        Self { anna, bea, offers, fetches }
    }

    /// Anna offers this; the offer's number at Bea.
    fn offer(&self, path: &str) -> String {
        self.anna.run(&["send", "--detach", "bea", "--file", path, "--", "here"]).code(0);
        let offer = self.fetches.out.event("offer", |offer| offer["direction"] == "in");
        offer["offer"].to_string()
    }

    fn get(&self, offer: &str, args: &[&str]) -> Done {
        let folder = self.bea.path("in");
        let folder = folder.to_str().unwrap();
        self.bea.run(&[&["get", offer, "--json", "-o", folder], args].concat())
    }

    fn received(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.bea.path("in"), &self.bea.path("in"), &mut found);
        found
    }
}

#[test]
fn a_tree_arrives_as_it_was_sent() {
    let pair = Pair::new();
    let long = format!("{}.txt", "文".repeat(83)) + "ab";
    assert_eq!(long.len(), 255);
    let large = noise(1_500_000);
    let files = [
        ("树/报告.txt", &b"hello"[..], "树/报告.txt"),
        ("树/empty", b"", "树/empty"),
        ("树/large.bin", &large, "树/large.bin"),
        ("树/co:lon::.txt", b"colon", "树/co_lon__.txt"),
        ("树/内/深/x", b"deep", "树/内/深/x"),
        (&*format!("树/{long}"), b"long", &*format!("树/{long}")),
    ];
    for (name, bytes, _) in &files {
        pair.anna.write(name, bytes);
    }
    fs::create_dir(pair.anna.path("树/leer")).unwrap();
    let end = ended(&pair.get(&pair.offer("树"), &[]).code(0));
    assert_eq!((&end["done"], &end["outcome"]), (&6.into(), &"done".into()), "{end}");
    let received = pair.received();
    for (_, bytes, name) in &files {
        assert!(received[*name] == **bytes, "{name}");
    }
    let folders: Vec<_> = received.keys().filter(|name| name.ends_with('/')).collect();
    assert_eq!(folders, ["树/", "树/leer/", "树/内/", "树/内/深/"]);
    assert_eq!(received.len(), 10);
    let time = |path: PathBuf| fs::metadata(path).unwrap().mtime();
    assert_eq!(time(pair.anna.path("树/empty")), time(pair.bea.path("in/树/empty")));
}

/// Enough to pass many buffers; ten thousand take a busy disk a minute.
const FILES: usize = 2_000;

#[test]
fn thousands_of_small_files_arrive_whole() {
    let pair = Pair::new();
    let bytes = noise(8_192);
    for number in 0..FILES {
        let name = format!("many/{:02}/{number}.txt", number % 16);
        pair.anna.write(&name, &bytes[..number % 700]);
    }
    let end = ended(&pair.get(&pair.offer("many"), &[]).code(0));
    assert_eq!(end["done"], FILES, "{end}");
    let received = pair.received();
    assert_eq!(received.len(), FILES + 17);
    assert!((0..FILES).all(|number| {
        received[&format!("many/{:02}/{number}.txt", number % 16)] == bytes[..number % 700]
    }));
}

#[test]
fn a_folder_that_was_not_kept_is_still_on_offer() {
    let pair = Pair::new();
    pair.anna.write("live/a", b"hello");
    let offer = pair.offer("live");
    // It grew since.
    pair.anna.write("live/b", &noise(5_000));
    let end = ended(&pair.get(&offer, &[]).code(1));
    let what = end["problem"]["what"].as_str().unwrap();
    assert!(what.contains("more contents than"), "{end}");
    let sent = pair.offers.out.event("transferred", |end| end["direction"] == "out");
    assert_eq!(sent["outcome"], "broken", "{sent}");
    assert!(pair.received().is_empty());
    let end = ended(&pair.get(&offer, &["--folder-max", "1M"]).code(0));
    assert_eq!((&end["outcome"], &end["done"]), (&"done".into(), &2.into()), "{end}");
    pair.offers.out.event("transferred", |end| end["outcome"] == "done");
}

#[test]
fn a_folder_whose_receiver_was_killed_begins_anew_and_leaves_nothing_behind() {
    let mut pair = Pair::new();
    let bytes = noise(30_000);
    for number in 0..100 {
        pair.anna.write(&format!("many/{number:02}"), &bytes[number..]);
    }
    let offer = pair.offer("many");
    let folder = pair.bea.path("in");
    let args = ["get", &offer, "--json", "--limit", "1M", "-o", folder.to_str().unwrap()];
    let slow = pair.bea.start(&args);
    slow.out.event("progress", |moving| moving["done"].as_u64() > Some(20));
    pair.fetches.signal(rustix::process::Signal::KILL);
    pair.fetches.exit();
    drop(slow);
    let left = pair.received();
    assert!(left.len() > 20 && left.keys().all(|name| name.starts_with(".feige-")), "{left:?}");

    pair.fetches = listen(&pair.bea);
    let end = ended(&pair.get(&offer, &[]).code(0));
    assert_eq!((&end["done"], &end["resumed"]), (&100.into(), &0.into()), "{end}");
    let received = pair.received();
    assert_eq!(received.len(), 101, "nothing twice, and nothing of the first time");
    assert!((0..100).all(|n| received[&format!("many/{n:02}")] == bytes[n..]));
}

#[test]
fn a_killed_receiver_goes_on_and_nothing_partial_looked_whole() {
    let mut pair = Pair::new();
    let contents = noise(3_000_000);
    pair.anna.write("big.bin", &contents);
    let offer = pair.offer("big.bin");
    let folder = pair.bea.path("in");
    let args = ["get", &offer, "--json", "--limit", "1M", "-o", folder.to_str().unwrap()];
    let slow = pair.bea.start(&args);
    slow.out.event("progress", |moving| moving["bytes"].as_u64() > Some(700_000));
    pair.fetches.signal(rustix::process::Signal::KILL);
    pair.fetches.exit();
    drop(slow);
    let parts = pair.received();
    assert_eq!(parts.len(), 1);
    assert!(parts.keys().all(|name| name.starts_with(".feige-")), "{:?}", parts.keys());

    pair.fetches = listen(&pair.bea);
    let done = pair.get(&offer, &["--digest"]).code(0);
    let end = ended(&done);
    assert!(end["resumed"].as_u64() > Some(500_000), "{end}");
    assert_eq!(end["sha256"], sha256(&contents));
    let received = pair.received();
    assert!(received.len() == 1 && received["big.bin"] == contents);
}

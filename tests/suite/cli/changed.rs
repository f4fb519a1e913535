//! Files that are written to while they are on offer: nobody is to take what nobody offered for whole.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::files::{accept, at, with_bob};
use crate::support::fetcher::{Fetcher, Offered, fetch};
use crate::support::home::{Lan, TestHome};
use crate::support::process::Process;
use crate::support::stranger::Stranger;

/// A file of anna's that is on offer to bob.
struct OnOffer {
    anna: TestHome,
    _node: Process,
    bob: Stranger,
    offered: Offered,
    sends: Process,
}

impl OnOffer {
    fn new(lan: &Lan, contents: &[u8], args: &[&str]) -> Self {
        let anna = lan.home("anna");
        anna.write("a.log", contents);
        let (node, mut bob) = with_bob(lan, &anna);
        let args = [&["send", "--json", "bob", "--file", "a.log"], args].concat();
        let sends = anna.start(&args);
        let offered = accept(&mut bob, &anna);
        sends.out.event("receipt", |_| true);
        Self { anna, _node: node, bob, offered, sends }
    }

    /// One more line, in the same file.
    fn append(&self) {
        let file = OpenOptions::new().append(true).open(self.anna.path("a.log"));
        file.expect("it is there").write_all(b"one more\n").expect("it can be written");
    }

    /// Asks for it, in the way that is wanted.
    fn ask(&self, request: &str) -> Fetcher {
        let mut fetcher = Fetcher::with_window(self.bob.addr().ip(), at(&self.anna), Some(4_096));
        fetcher.say(request);
        fetcher
    }

    /// How its transfer ended, which must be as a file that changed.
    #[track_caller]
    fn broke(&self) -> Value {
        let end = self.sends.out.event("transferred", |_| true);
        assert_eq!((&end["outcome"], &end["problem"]["side"]), (&"broken".into(), &"ours".into()));
        assert_eq!(end["problem"]["what"], "a.log has changed since it was offered");
        assert_eq!(end["sha256"], Value::Null);
        end
    }
}

#[test]
fn what_was_written_to_since_is_not_sent() {
    for (now, args) in [("version two is longer\n", &["--digest"][..]), ("version two\n", &[])] {
        let lan = Lan::new();
        let offer = OnOffer::new(&lan, b"version one\n", args);
        offer.anna.write("a.log", now.as_bytes());
        let file = OpenOptions::new().write(true).open(offer.anna.path("a.log")).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
        let request = offer.offered.file(0, 0);
        assert_eq!(fetch(offer.bob.addr().ip(), at(&offer.anna), &request), b"");
        assert_eq!(offer.broke()["bytes"], 0);
    }
}

#[test]
fn what_was_written_to_within_the_same_second_is_not_sent() {
    let lan = Lan::new();
    let offer = OnOffer::new(&lan, b"version one\n", &[]);
    let path = offer.anna.path("a.log");
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    let before = before.duration_since(UNIX_EPOCH).unwrap();
    offer.anna.write("a.log", b"version two\n");
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let nanos = (before.subsec_nanos() + 4_000_000) % 1_000_000_000;
    file.set_modified(UNIX_EPOCH + Duration::new(before.as_secs(), nanos)).unwrap();
    let request = offer.offered.file(0, 0);
    assert_eq!(fetch(offer.bob.addr().ip(), at(&offer.anna), &request), b"");
    offer.broke();
}

#[test]
fn a_log_that_grows_while_it_is_sent_never_looks_whole() {
    let big: Vec<u8> = (0..4_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for (tree, args) in [(false, &[][..]), (false, &["--digest"]), (true, &[])] {
        let lan = Lan::new();
        let offer = OnOffer::new(&lan, &big, args);
        let request = if tree { offer.offered.folder(0) } else { offer.offered.file(0, 0) };
        let mut fetcher = offer.ask(&request);
        fetcher.take(100_000);
        offer.append();
        let (rest, clean) = fetcher.rest();
        assert!(!clean && rest.len() + 100_000 < big.len(), "{} bytes, {clean}", rest.len());
        offer.broke();
    }
}

#[test]
fn what_is_written_to_before_the_receiver_has_all_breaks_off_too() {
    let lan = Lan::new();
    let offer = OnOffer::new(&lan, b"version one\n", &[]);
    let mut fetcher = offer.ask(&offer.offered.file(0, 0));
    assert_eq!(fetcher.take(12), b"version one\n");
    // It has every byte, and has not said so.
    offer.append();
    drop(fetcher);
    offer.broke();
}

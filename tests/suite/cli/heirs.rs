//! Files on offer when the port changes hands: what was chosen is served by the next owner too,
//! whatever bears its name by then.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use super::files::{accept, at, with_bob};
use crate::support::fetcher::{Fetcher, Offered, fetch, unpack};
use crate::support::home::{Lan, TestHome};
use crate::support::process::Process;
use crate::support::stranger::Stranger;

/// A home whose node offers files to bob.
struct Office {
    anna: TestHome,
    owner: Process,
    bob: Stranger,
    offered: Offered,
}

impl Office {
    /// Each with these contents; a folder has one file.
    fn offering(lan: &Lan, files: &[&str], contents: &[u8]) -> Self {
        let anna = lan.home("anna");
        for file in files {
            match file.strip_suffix('/') {
                Some(folder) => drop(anna.write(&format!("{folder}/kept"), contents)),
                None => drop(anna.write(file, contents)),
            }
        }
        let (owner, mut bob) = with_bob(lan, &anna);
        let args = [&["send", "bob", "--detach", "--file"], files].concat();
        let mut sends = anna.start(&args);
        let offered = accept(&mut bob, &anna);
        assert_eq!(sends.exit(), Some(0));
        Self { anna, owner, bob, offered }
    }

    /// The owner ends, and `heir` goes on.
    fn succeed(&mut self, heir: Command) -> Process {
        let heir = Process::start(heir);
        heir.err.line("this one is next");
        self.owner.signal(Signal::TERM);
        self.owner.exit();
        heir.err.line("took the port over");
        heir
    }

    fn get(&self, place: usize) -> Vec<u8> {
        fetch(self.bob.addr().ip(), at(&self.anna), &self.offered.file(place, 0))
    }

    fn replace(&self, name: &str) {
        self.anna.write("new", b"not offered");
        fs::rename(self.anna.path("new"), self.anna.path(name)).expect("it can be renamed");
    }
}

#[test]
fn the_next_owner_serves_what_was_chosen() {
    let lan = Lan::new();
    let files = ["replaced", "removed", "written to", "same", "folder/"];
    let mut office = Office::offering(&lan, &files, b"as offered");
    office.replace("replaced");
    fs::remove_file(office.anna.path("removed")).unwrap();
    office.anna.write("written to", b"longer than offered");
    fs::rename(office.anna.path("folder"), office.anna.path("old")).unwrap();
    office.anna.write("folder/other", b"not offered");

    let heir = office.succeed(office.anna.feige(&["listen"]));
    heir.err.line("written to has changed since it was offered: offered no more");
    let owner = std::mem::replace(&mut office.owner, heir);
    drop(owner);
    // And the one after that.
    let last = office.succeed(office.anna.feige(&["listen"]));
    assert_eq!([0, 1, 3].map(|place| office.get(place)), [b"as offered"; 3]);
    assert_eq!(office.get(2), b"", "no bytes that nobody offered");
    let stream = fetch(office.bob.addr().ip(), at(&office.anna), &office.offered.folder(4));
    let paths: Vec<_> = unpack(&stream).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["folder/", "folder/kept"]);
    last.out.line("folder/ was fetched");
    let said = [last.err.all(), last.out.all()].concat().concat();
    assert!(!said.contains("has changed"), "once is enough: {said}");
}

#[test]
fn a_full_message_passes_on_and_what_the_next_owner_cannot_hold_is_looked_at_anew() {
    let lan = Lan::new();
    let names: Vec<String> = (0..200).map(|number| format!("f{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut office = Office::offering(&lan, &names, b"as offered");
    for name in &names[..100] {
        fs::remove_file(office.anna.path(name)).unwrap();
    }
    let heir = office.succeed(office.anna.feige(&["listen"]));
    assert!((0..10).chain(90..110).all(|place| office.get(place) == b"as offered"));

    // This one may have a quarter of 120 descriptors open for files on offer.
    office.owner = heir;
    let mut poor = Command::new("sh");
    poor.args(["-c", r#"ulimit -n 120; exec "$0" listen"#]);
    let feige = office.anna.feige(&[]);
    poor.arg(feige.get_program()).current_dir(office.anna.path("")).env_clear();
    poor.envs(feige.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let poor = office.succeed(poor);
    assert_eq!(office.get(10), b"as offered", "held, the first of all");
    assert_eq!(office.get(80), b"", "neither held nor there");
    assert_eq!(office.get(199), b"as offered", "not held, but there");
    office.replace("f198");
    assert_eq!(office.get(198), b"", "not the one that was chosen");
    drop(poor);
}

#[test]
fn what_breaks_with_the_owner_goes_on_with_the_next() {
    let lan = Lan::new();
    let big: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut office = Office::offering(&lan, &["big"], &big);
    let from = office.bob.addr().ip();
    let mut fetcher = Fetcher::with_window(from, at(&office.anna), Some(4_096));
    fetcher.say(office.offered.file(0, 0));
    let mut got = fetcher.take(100_000);
    office.replace("big");
    let heir = office.succeed(office.anna.feige(&["listen"]));
    drop(fetcher);
    got.extend(fetch(from, at(&office.anna), &office.offered.file(0, 100_000)));
    assert!(got == big);
    let end = heir.out.line("big was fetched");
    assert!(end.contains("97.6 KiB were there before"), "{end}");
}

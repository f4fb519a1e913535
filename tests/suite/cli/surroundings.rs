//! Where the program is started: with another environment, with signals ignored, where nothing can be
//! written.

use std::fs::{self, OpenOptions};
use std::process::Command;

use rustix::process::Signal;

use super::lan::up_by_status;
use crate::support::home::Lan;
use crate::support::process::Process;

#[test]
fn a_node_is_found_with_another_runtime_folder() {
    let lan = Lan::new();
    let home = lan.home("alice");
    fs::create_dir(home.path("run2")).expect("a folder can be made");
    let elsewhere = |args: &[&str]| {
        let mut command = home.feige(args);
        command.env("XDG_RUNTIME_DIR", home.path("run2"));
        command.output().expect("it runs")
    };
    let mut node = home.start(&["node"]);
    up_by_status(&home);
    let status = elsewhere(&["node", "status"]);
    assert_eq!(status.status.code(), Some(0), "{status:?}");
    let other_port = (lan.port ^ 1).to_string();
    let second = elsewhere(&["node", "--port", &other_port]);
    assert_eq!(second.status.code(), Some(4), "one store, one node: {second:?}");
    let second = elsewhere(&["peers", "--alone", "--port", &other_port]);
    assert_eq!(second.status.code(), Some(4), "one store, one node: {second:?}");
    assert_eq!(elsewhere(&["node", "stop"]).status.code(), Some(0));
    assert_eq!(node.exit(), Some(0));
    assert_eq!(elsewhere(&["node", "status"]).status.code(), Some(3));
}

#[test]
fn a_node_is_reached_when_its_runtime_folder_is_gone() {
    let lan = Lan::new();
    let home = lan.home("alice");
    let mut node = home.start(&["node"]);
    up_by_status(&home);
    // As a log-out does to the folder of a user without linger.
    fs::remove_dir_all(home.path("run")).expect("it can be removed");
    home.run(&["node", "status"]).code(0);
    let mut heir = home.start(&["listen"]);
    heir.err.line("this one is next");
    node.signal(Signal::INT);
    assert_eq!(node.exit(), Some(130));
    // The one that goes on is reached too, also after the next log-on.
    home.run(&["node", "status"]).code(0);
    fs::create_dir(home.path("run")).expect("a folder can be made");
    home.run(&["node", "--port", &(lan.port ^ 1).to_string()]).code(4);
    home.run(&["node", "stop"]).code(0);
    assert_eq!(heir.exit(), Some(0));
}

#[test]
fn who_cannot_reach_a_node_that_hangs_is_told_which_process_it_is() {
    let home = Lan::new().home("alice");
    let node = home.start(&["node"]);
    up_by_status(&home);
    node.signal(Signal::STOP);
    let asked = home.run(&["node", "stop"]).code(4);
    node.signal(Signal::CONT);
    assert!(asked.err.starts_with("feige: the node at "), "{}", asked.err);
    let (_, hint) = asked.err.split_once("its process id is in ").expect("a hint");
    let lock = hint.split(';').next().expect("a path");
    let pid = fs::read_to_string(lock).expect("a file");
    assert_eq!(pid.trim(), node.pid().to_string());
}

#[test]
#[cfg(target_os = "linux")]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let home = Lan::new().home("alice");
    let feige = home.feige(&["node"]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]).arg(feige.get_program());
    command.args(feige.get_args()).env_clear();
    command.envs(feige.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut node = Process::start(command);
    up_by_status(&home);
    node.signal(Signal::HUP);
    node.signal(Signal::INT);
    home.run(&["node", "stop"]).code(0);
    assert_eq!(node.exit(), Some(0), "it ended when it was asked to");
}

#[test]
fn with_no_store_it_runs_where_nothing_can_be_written() {
    let home = Lan::new().home("alice");
    // Root may write anywhere, but makes no folder where a file is.
    for name in ["run/feige", "state", "data"] {
        fs::write(home.path(name), "").expect("a file can be made");
    }
    let listen = ["listen", "-v", "--for", "10ms"];
    home.run(&listen).code(5);
    let done = home.run(&[&listen[..], &["--no-store"]].concat()).code(0);
    let said = |words: &str| done.err.lines().filter(|line| line.contains(words)).count();
    assert_eq!(said("other commands cannot join this one: cannot create "), 1, "{}", done.err);
    assert_eq!(said("no log is written: cannot create "), 1, "{}", done.err);
}

#[test]
#[cfg(target_os = "linux")]
fn help_that_cannot_be_written_is_no_success() {
    let home = Lan::new().home("alice");
    for args in [&["--help"][..], &["--version"], &["send", "--help"], &["help"][..0], &["man"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("it can be opened");
        let done = home.feige(args).stdout(full).output().expect("it runs");
        assert_eq!(done.status.code(), Some(1), "{args:?}: {done:?}");
        let words = String::from_utf8_lossy(&done.stderr);
        assert!(words.contains("cannot write to standard output"), "{args:?}: {words}");
    }
}

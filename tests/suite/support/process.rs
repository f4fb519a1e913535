//! A running program, and how to wait for what it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest wait for something that should happen soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The time; tests wait for real programs.
#[expect(clippy::disallowed_methods, reason = "only the crate itself gets the time handed in")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Asks again and again until `test` says yes. For what cannot be waited for.
#[track_caller]
pub(crate) fn until(what: &str, mut test: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !test() {
        assert!(now() < deadline, "too long without {what}");
    }
}

/// A program with its output read line by line. Killed with the value, by its own process id.
pub(crate) struct Process {
    child: Child,
    name: String,
    /// Standard output.
    pub(crate) out: Lines,
    /// Standard error.
    pub(crate) err: Lines,
}

impl Process {
    /// Starts it; nothing comes from its standard input.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = format!("{command:?}");
        let mut child = command.spawn().expect("it starts");
        let out = Lines::read("standard output", child.stdout.take().expect("it is piped"));
        let err = Lines::read("standard error", child.stderr.take().expect("it is piped"));
        Self { child, name, out, err }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end: its exit code, none if a signal killed it.
    #[track_caller]
    pub(crate) fn exit(&mut self) -> Option<i32> {
        self.out.wait_for_end();
        self.err.wait_for_end();
        self.child.wait().expect("a child can be awaited").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let (out, err) = (self.out.all(), self.err.all());
            let _ = writeln!(std::io::stderr(), "{}\nout {out:#?}\nerr {err:#?}", self.name);
        }
    }
}

/// Lines read so far; a thread reads, a test waits.
#[derive(Clone)]
pub(crate) struct Lines {
    name: &'static str,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn read(name: &'static str, from: impl Read + Send + 'static) -> Self {
        let lines = Self { name, state: Arc::default() };
        let fed = lines.clone();
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                fed.change(|state| state.lines.push(text));
                line.clear();
            }
            fed.change(|state| state.ended = true);
        });
        lines
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let (state, changed) = &*self.state;
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    /// Waits until `pick` finds what it looks for in the lines so far.
    #[track_caller]
    pub(crate) fn wait<R>(&self, what: &str, mut pick: impl FnMut(&[String]) -> Option<R>) -> R {
        let (state, changed) = &*self.state;
        let mut found = None;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = changed
            .wait_timeout_while(state, PATIENCE, |state| {
                found = pick(&state.lines);
                found.is_none() && !state.ended
            })
            .unwrap_or_else(PoisonError::into_inner);
        let lines = state.lines.clone();
        drop(state);
        found.unwrap_or_else(|| panic!("no {what} on {}, but {lines:#?}", self.name))
    }

    /// Waits for a line with these words.
    #[track_caller]
    pub(crate) fn line(&self, words: &str) -> String {
        self.wait(&format!("line with {words:?}"), |lines| {
            lines.iter().find(|line| line.contains(words)).cloned()
        })
    }

    /// Waits for an event, on JSON lines.
    #[track_caller]
    pub(crate) fn event(&self, name: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        self.wait(&format!("event {name}"), |lines| {
            let events = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            events.into_iter().find(|event| event["event"] == name && wanted(event))
        })
    }

    /// Waits until nothing more can come.
    #[track_caller]
    pub(crate) fn wait_for_end(&self) {
        let (state, changed) = &*self.state;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = changed
            .wait_timeout_while(state, PATIENCE, |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        let (ended, lines) = (state.ended, state.lines.clone());
        drop(state);
        assert!(ended, "{} goes on: {lines:#?}", self.name);
    }
}

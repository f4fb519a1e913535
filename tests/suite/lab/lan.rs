//! The fixture: a lab that is up as long as the value lives, and programs on its hosts.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{self, Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::{env, fs, process, thread};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::heard::{Heard, tail};
use super::wire::Wire;

/// A LAN. One at a time: tests take turns.
pub(super) struct Lab {
    name: String,
    homes: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

impl Lab {
    /// Builds it: `tests/lab/lab.sh up` with these arguments.
    pub(super) fn up(args: &str) -> Self {
        let lab = Self {
            // The caller may name it, so that it can clear up whatever happens here.
            name: env::var("LAB").unwrap_or_else(|_| format!("f{}", process::id())),
            homes: tempfile::tempdir().expect("a temporary folder"),
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
        };
        lab.script("lab.sh", &[&["up"], &*args.split(' ').collect::<Vec<_>>()].concat());
        lab
    }

    /// Runs a script of `tests/lab` to its end.
    #[track_caller]
    pub(super) fn script(&self, script: &str, args: &[&str]) {
        let done = self.command(script, args).output().expect("bash runs");
        let talk = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{script} {args:?}: {talk}");
    }

    /// Runs ip(8) on a host.
    #[track_caller]
    pub(super) fn ip(&self, host: &str, args: &str) {
        self.script("lab.sh", &[&["ip", host], &*args.split(' ').collect::<Vec<_>>()].concat());
    }

    /// Captures the near subnet.
    pub(super) fn wire(&self) -> Wire {
        Wire::tap(self, "br0")
    }

    /// Starts a program on a host; it ends with the value.
    pub(super) fn start(&self, host: &str, argv: &[&str], env: &[(&str, &str)]) -> Program {
        let mut command = self.on(host, argv);
        command.envs(env.iter().copied()).stdin(Stdio::null());
        Program::start(command, argv.join(" "))
    }

    /// Starts `feige --json ARGS` on a host.
    pub(super) fn feige(&self, host: &str, args: &[&str]) -> Feige {
        let mut program = self.start(host, &[&[FEIGE.as_str(), "--json"], args].concat(), &[]);
        let events = Heard::new();
        let (out, heard) = (BufReader::new(program.stdout()), events.clone());
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                heard.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
            heard.end();
        });
        Feige { program, events }
    }

    /// Runs `feige ARGS` on a host to its end, a minute at most.
    pub(super) fn run(&self, host: &str, args: &[&str]) -> Done {
        let command = [&["timeout", "-k1", "60", FEIGE.as_str()], args].concat();
        let done = self.on(host, &command).stdin(Stdio::null()).output().expect("bash runs");
        Done {
            code: done.status.code(),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            talk: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }

    /// Whom the node on this host has in its list.
    #[track_caller]
    pub(super) fn peers(&self, host: &str) -> Vec<Value> {
        let done = self.run(host, &["--json", "peers"]);
        assert!(matches!(done.code, Some(0 | 3)), "peers on {host}: {done:?}");
        done.lines().into_iter().map(|line| line.get("peer").cloned().unwrap_or(line)).collect()
    }

    /// Gives a host's user a name, a group and a line of settings of their own.
    pub(super) fn settle(&self, host: &str, nick: &str, group: &str, more: &str) {
        let folder = self.home(host).join("config/feige");
        fs::create_dir_all(&folder).expect("a home can be made");
        let settings = format!("nick = \"{nick}\"\ngroup = \"{group}\"\n{more}\n");
        fs::write(folder.join("config.toml"), settings).expect("settings can be written");
    }

    /// The network namespace of a host.
    pub(super) fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// The home of a host's user.
    pub(super) fn home(&self, host: &str) -> PathBuf {
        self.homes.path().join(host)
    }

    /// A file the scripts of the lab made.
    pub(super) fn scripts_home(&self, name: &str) -> PathBuf {
        self.homes.path().join(name)
    }

    fn on(&self, host: &str, argv: &[&str]) -> Command {
        let home = self.home(host);
        fs::create_dir_all(home.join("run")).expect("a home can be made");
        let mut command = self.command("lab.sh", &[&["exec", host], argv].concat());
        for (name, folder) in [
            ("CONFIG_HOME", "config"),
            ("DATA_HOME", "data"),
            ("STATE_HOME", "state"),
            ("RUNTIME_DIR", "run"),
        ] {
            command.env(format!("XDG_{name}"), home.join(folder));
        }
        command.env("HOME", &home).env("USER", format!("user-{host}")).current_dir(home);
        command
    }

    fn command(&self, script: &str, args: &[impl AsRef<OsStr>]) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
        let mut command = Command::new(scripts.join(script));
        command.args(args).env_clear().env("LAB", &self.name).env("LANG", "C.UTF-8");
        command.env("TMPDIR", self.homes.path());
        command.envs(env::var_os("PATH").map(|path| ("PATH", path)));
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let done = self.command("lab.sh", &["down"]).output();
        let gone = done.is_ok_and(|done| done.status.success());
        assert!(gone || thread::panicking(), "lab {} did not come down", self.name);
    }
}

/// The program under test: `LAB_FEIGE`, else the one built with these tests.
pub(super) static FEIGE: LazyLock<String> = LazyLock::new(|| {
    let named = env::var("LAB_FEIGE").unwrap_or_else(|_| env!("CARGO_BIN_EXE_feige").into());
    // A host runs it in its own home.
    let path = path::absolute(named).expect("LAB_FEIGE is a path");
    assert!(path.is_file(), "no {}: LAB_FEIGE names the program", path.display());
    path.into_os_string().into_string().expect("its path is UTF-8")
});

/// The load generator, built beside the program.
pub(super) fn lanload() -> String {
    example("lanload")
}

/// An example, built beside the program.
pub(super) fn example(name: &str) -> String {
    let path = Path::new(&*FEIGE).with_file_name("examples").join(name);
    assert!(path.exists(), "no {}: cargo build --example {name}", path.display());
    path.to_string_lossy().into_owned()
}

/// A program on a host. Ended with the value, by its own process id.
pub(super) struct Program {
    child: Child,
    name: String,
    /// Its standard error, line by line.
    pub(super) talk: Heard<String>,
}

impl Program {
    fn start(mut command: Command, name: String) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("bash runs");
        let (talk, err) = (Heard::new(), child.stderr.take().expect("it is piped"));
        let heard = talk.clone();
        thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                heard.push(line);
            }
            heard.end();
        });
        Self { child, name, talk }
    }

    pub(super) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("it is taken once")
    }

    /// Everything it prints until it ends.
    pub(super) fn output(mut self) -> String {
        let mut text = String::new();
        self.stdout().read_to_string(&mut text).expect("text");
        text
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// The process of the program itself: the lab's scripts become it.
    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// A line of what the system says of its memory, KiB: `VmRSS` of `status`, `Pss` of
    /// `smaps_rollup`.
    pub(super) fn kib(&self, file: &str, field: &str) -> u64 {
        let path = format!("/proc/{}/{file}", self.pid().as_raw_nonzero());
        let said = fs::read_to_string(path).expect("it runs");
        let line = said.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    /// Waits for its end; its exit code, none if a signal ended it.
    #[track_caller]
    pub(super) fn exit(&mut self) -> Option<i32> {
        self.talk.ended(&self.name);
        self.child.wait().expect("a child can be awaited").code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let talk = self.talk.all();
            let _ = writeln!(std::io::stderr(), "{} said {:#?}", self.name, tail(&talk));
        }
    }
}

/// A long-running feige.
pub(super) struct Feige {
    pub(super) program: Program,
    /// Its standard output, line by line.
    pub(super) events: Heard<Value>,
}

impl Feige {
    /// Waits for an event of this name that is `wanted`.
    #[track_caller]
    pub(super) fn event(&self, name: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        self.events.first(name, |event| event["event"] == name && wanted(event))
    }

    /// Waits until this peer, by its nickname, is there.
    #[track_caller]
    pub(super) fn meets(&self, nick: &str) -> Value {
        let names = ["peer_up", "peer_changed"];
        let what = format!("{nick} coming");
        let wanted = |event: &Value| {
            names.iter().any(|name| event["event"] == *name) && event["peer"]["nick"] == nick
        };
        self.events.first(&what, wanted)["peer"].clone()
    }

    /// Waits for a message with this text.
    #[track_caller]
    pub(super) fn reads(&self, text: &str) -> Value {
        self.event("message", |event| event["direction"] == "in" && event["text"] == text)
    }

    /// Texts received so far.
    pub(super) fn texts(&self) -> Vec<String> {
        let events = self.events.all();
        let received =
            events.iter().filter(|event| event["event"] == "message" && event["direction"] == "in");
        received.filter_map(|event| Some(event["text"].as_str()?.to_owned())).collect()
    }
}

/// What a command did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) talk: String,
}

impl Done {
    /// Its JSON lines.
    pub(super) fn lines(&self) -> Vec<Value> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }

    /// Fails unless it ended with exit code 0.
    #[track_caller]
    pub(super) fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

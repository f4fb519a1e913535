//! The program in a home of its own, on a LAN of its own: addresses of 127.0.0.0/8 and a free port.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use feige::io::lab::free_port;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::sender::Sender;
use super::stranger::Stranger;

/// A subnet on loopback: whoever has its port hears its broadcasts.
pub(crate) struct Lan {
    pub(crate) port: u16,
    homes: AtomicU8,
}

impl Lan {
    /// One that nobody else uses.
    pub(crate) fn new() -> Self {
        let port = free_port().expect("a port is free");
        Self { port, homes: AtomicU8::new(1) }
    }

    /// A scripted sender to this home.
    pub(crate) fn sender(&self, to: &TestHome) -> Sender {
        let host = self.homes.fetch_add(1, Ordering::Relaxed);
        Sender::new(Ipv4Addr::new(127, 8, 0, host), to.addr, self.port)
    }

    /// An address that nobody else has.
    pub(crate) fn addr(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, 8, 0, self.homes.fetch_add(1, Ordering::Relaxed))
    }

    /// Somebody with a messenger of another kind.
    pub(crate) fn stranger(&self) -> Stranger {
        let host = self.homes.fetch_add(1, Ordering::Relaxed);
        Stranger::new(Ipv4Addr::new(127, 8, 0, host), self.port)
    }

    /// Somebody with a messenger of another kind at this address.
    pub(crate) fn stranger_at(&self, addr: Ipv4Addr) -> Stranger {
        Stranger::new(addr, self.port)
    }

    /// The home of a user with this nickname, on a host of its own.
    pub(crate) fn home(&self, nick: &str) -> TestHome {
        let host = self.homes.fetch_add(1, Ordering::Relaxed);
        let dir = TempDir::new().expect("a folder can be made");
        fs::create_dir(dir.path().join("run")).expect("a folder can be made");
        let addr = Ipv4Addr::new(127, 8, 0, host);
        TestHome { dir, addr, port: self.port, nick: nick.to_owned() }
    }
}

/// A home, and the address its node binds.
pub(crate) struct TestHome {
    dir: TempDir,
    pub(crate) addr: Ipv4Addr,
    pub(crate) port: u16,
    nick: String,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// Fails unless it ended with this code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Its JSON lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }
}

impl TestHome {
    /// `feige ARGS` in this home, not started yet.
    pub(crate) fn feige(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_feige"));
        command.args(args).env_clear().current_dir(self.dir.path());
        command.env("HOME", self.dir.path());
        for (name, folder) in [
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            command.env(name, self.dir.path().join(folder));
        }
        command.env("FEIGE_BIND", self.addr.to_string()).env("FEIGE_PORT", self.port.to_string());
        command.env("FEIGE_NICK", &self.nick).env("FEIGE_USER", "tester");
        command.env("FEIGE_HOST", format!("host-{}", self.addr.octets()[3]));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TZ", "UTC").env("LANG", "C.UTF-8");
        command
    }

    /// Runs `feige ARGS` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, b"")
    }

    /// Runs `feige ARGS` with `input` in a pipe on its standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Done {
        let mut command = self.feige(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_vec();
        // Whoever does not read its input closes it; that is no fault.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let done = child.wait_with_output().expect("it ends");
        writer.join().expect("writing does not panic");
        Done {
            code: done.status.code(),
            out: String::from_utf8(done.stdout).expect("output is UTF-8"),
            err: String::from_utf8(done.stderr).expect("talk is UTF-8"),
        }
    }

    /// Starts `feige ARGS`, which stays.
    pub(crate) fn start(&self, args: &[&str]) -> Process {
        Process::start(self.feige(args))
    }

    /// Writes a file of this home and gives its path.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("a folder can be made");
        }
        fs::write(&path, bytes).expect("a file can be written");
        path
    }

    /// The whole path of a file of this home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Whether there is such a file.
    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Reads a file of this home.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).expect("the file can be read")
    }
}

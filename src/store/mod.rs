//! What survives a restart: settings, messages, identity, packet numbers.
//!
//! [`Paths`] says where the files of a profile are, [`Lock`] makes sure that one process at a time
//! runs its node, [`settings`] reads and writes what people configure, [`db`] is the `SQLite` file.
//! Nothing here knows sockets or screens, and no path is ever built from what the network says.

mod clock;
mod connect;
mod copies;
pub mod db;
pub mod download;
mod error;
mod feiq;
mod files;
pub mod history;
mod keys;
mod log;
mod memory;
mod numbers;
mod offered;
mod outbox;
mod people;
pub mod pictures;
mod quota;
mod reader;
mod rows;
mod schema;
mod served;
pub mod settings;
mod writer;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use clock::Boot;
pub use connect::random_mac;
pub use copies::Copies;
pub use db::{Opened, Store};
pub use error::StoreError;
pub use files::{Lock, create_private_folder, passing_file, write_atomically};
pub use pictures::Staging;
pub use reader::{Counts, Reader, StoredEvent};
pub use settings::Settings;
pub use writer::Writer;

/// How the environment is read: the value of a variable, if it is set. [`process_env`] in the
/// program, a table in tests.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The environment of this process.
pub fn process_env(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Where the files of one profile are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paths {
    /// Settings of the user: `config.toml`.
    pub config: PathBuf,
    /// Settings of the office: `/etc/feige/config.toml`.
    pub office_config: PathBuf,
    /// The store: `feige.db`.
    pub db: PathBuf,
    /// Folder of the log.
    pub log_dir: PathBuf,
    /// Folder of lock and control socket, 0700.
    pub runtime_dir: PathBuf,
    /// `run/HOST/` in the state folder (HOST: the name of this machine, for several may share a home),
    /// where that is another one: processes of the same user that have another runtime folder or none
    /// (cron, `su`, a service) have this one. Whoever runs the node holds a lock here too, and can be
    /// found here.
    pub common_dir: Option<PathBuf>,
}

impl Paths {
    /// The places of a profile by the XDG rules (on macOS in the native folder, unless an XDG
    /// variable says otherwise): directly in `feige/`, a named profile in `feige/profiles/NAME/`.
    /// Nothing is created.
    ///
    /// The runtime folder must be an existing folder of our own (after `su` the variable often
    /// points at somebody else's); otherwise the one that the system makes for us at the log-on takes
    /// its place (Linux, `/run/user/UID`), else `run/HOST/` in the state folder.
    ///
    /// # Errors
    ///
    /// [`StoreError::Profile`] for a name that is no plain folder name, [`StoreError::NoHome`] where
    /// no home folder is known and the XDG variables do not make up for it.
    pub fn of(profile: Option<&str>, env: Env<'_>) -> Result<Self, StoreError> {
        let user = rustix::process::geteuid().as_raw();
        let system =
            cfg!(target_os = "linux").then(|| Path::new("/run/user").join(user.to_string()));
        let host = rustix::system::uname().nodename().to_string_lossy().replace('/', "_");
        Self::on(&host, profile, env, system.as_deref())
    }

    /// `system`: the runtime folder that the system makes for us, if it does.
    fn on(
        host: &str,
        profile: Option<&str>,
        env: Env<'_>,
        system: Option<&Path>,
    ) -> Result<Self, StoreError> {
        let within = |base: PathBuf| match profile {
            None => base.join("feige"),
            Some(name) => base.join("feige").join("profiles").join(name),
        };
        if let Some(name) = profile {
            check_profile(name)?;
        }
        let config_dir = within(base(env, "XDG_CONFIG_HOME", CONFIG)?);
        let data_dir = within(base(env, "XDG_DATA_HOME", DATA)?);
        let state_dir = within(base(env, "XDG_STATE_HOME", STATE)?);
        let named = absolute(env, "XDG_RUNTIME_DIR").filter(|dir| files::is_own(dir));
        let system = || system.filter(|dir| files::is_own_alone(dir)).map(Path::to_owned);
        let beside_the_log = state_dir.join("run").join(host);
        let (runtime_dir, common_dir) = match named.or_else(system) {
            Some(dir) => (within(dir), Some(beside_the_log)),
            None => (beside_the_log, None),
        };
        Ok(Self {
            config: config_dir.join("config.toml"),
            office_config: PathBuf::from("/etc/feige/config.toml"),
            db: data_dir.join("feige.db"),
            log_dir: state_dir,
            runtime_dir,
            common_dir,
        })
    }

    /// A profile that lives in one folder, apart from the user's and the office's: for a
    /// demonstration, or a test. Nothing is created.
    pub fn all_in(folder: &Path) -> Self {
        Self {
            config: folder.join("config.toml"),
            office_config: folder.join("office.toml"),
            db: folder.join("feige.db"),
            log_dir: folder.to_owned(),
            runtime_dir: folder.join("run"),
            common_dir: None,
        }
    }

    /// Every folder in which the node of this profile may be found, our own first.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.runtime_dir.as_path()).chain(self.common_dir.as_deref())
    }

    /// The file that [`Lock`] locks in our own place.
    pub fn lock(&self) -> PathBuf {
        self.runtime_dir.join(LOCK)
    }
}

/// Name of the file that [`Lock`] locks.
const LOCK: &str = "lock";

const MACOS: bool = cfg!(target_os = "macos");
const CONFIG: &str = if MACOS { "Library/Application Support" } else { ".config" };
const DATA: &str = if MACOS { "Library/Application Support" } else { ".local/share" };
const STATE: &str = if MACOS { "Library/Application Support" } else { ".local/state" };

/// Longest name of a profile, bytes: where a socket has no shorter path than its own (not Linux), the
/// whole path of the control socket must stay below 104.
const PROFILE_MAX: usize = 32;

fn check_profile(name: &str) -> Result<(), StoreError> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty()
        || name.len() > PROFILE_MAX
        || name.starts_with('.')
        || !name.chars().all(plain)
    {
        return Err(StoreError::Profile { name: name.to_owned() });
    }
    Ok(())
}

fn base(env: Env<'_>, variable: &str, below_home: &str) -> Result<PathBuf, StoreError> {
    match absolute(env, variable) {
        Some(path) => Ok(path),
        None => Ok(home(env).ok_or(StoreError::NoHome)?.join(below_home)),
    }
}

/// The home folder: `HOME`, else what the system's user list says.
fn home(env: Env<'_>) -> Option<PathBuf> {
    absolute(env, "HOME").or_else(|| std::env::home_dir().filter(|home| home.is_absolute()))
}

/// A path from a variable; relative ones do not count (XDG base directory specification).
fn absolute(env: Env<'_>, variable: &str) -> Option<PathBuf> {
    env(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The folder a file lies in.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(profile: Option<&str>, vars: &[(&str, &str)]) -> Result<Paths, StoreError> {
        paths_with(profile, vars, None)
    }

    fn paths_with(
        profile: Option<&str>,
        vars: &[(&str, &str)],
        system: Option<&Path>,
    ) -> Result<Paths, StoreError> {
        let env = |name: &str| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        Paths::on("desk", profile, &env, system)
    }

    #[test]
    #[cfg(not(target_os = "macos"))]
    fn files_follow_the_xdg_rules() {
        let found = paths(None, &[("HOME", "/home/lin")]).unwrap();
        assert_eq!(found.config, Path::new("/home/lin/.config/feige/config.toml"));
        assert_eq!(found.db, Path::new("/home/lin/.local/share/feige/feige.db"));
        assert_eq!(found.log_dir, Path::new("/home/lin/.local/state/feige"));
        assert_eq!(found.runtime_dir, Path::new("/home/lin/.local/state/feige/run/desk"));
        assert_eq!(found.office_config, Path::new("/etc/feige/config.toml"));

        let vars = [("HOME", "/home/lin"), ("XDG_CONFIG_HOME", "/c"), ("XDG_DATA_HOME", "d")];
        let found = paths(None, &vars).unwrap();
        assert_eq!(found.config, Path::new("/c/feige/config.toml"));
        assert_eq!(found.db, Path::new("/home/lin/.local/share/feige/feige.db"), "relative");
    }

    #[test]
    fn a_profile_has_folders_of_its_own() {
        let vars = [("XDG_CONFIG_HOME", "/c"), ("XDG_DATA_HOME", "/d"), ("XDG_STATE_HOME", "/s")];
        let found = paths(Some("测试-2"), &vars).unwrap();
        assert_eq!(found.config, Path::new("/c/feige/profiles/测试-2/config.toml"));
        assert_eq!(found.db, Path::new("/d/feige/profiles/测试-2/feige.db"));
        assert_eq!(found.runtime_dir, Path::new("/s/feige/profiles/测试-2/run/desk"));
        assert_eq!(found.lock(), Path::new("/s/feige/profiles/测试-2/run/desk/lock"));
    }

    #[test]
    fn a_profile_is_one_plain_folder_name() {
        let vars = [("HOME", "/home/lin")];
        let long = "x".repeat(PROFILE_MAX + 1);
        for name in ["", ".", "..", "../x", "a/b", "a b", "x\0", ".hidden", long.as_str()] {
            let found = paths(Some(name), &vars);
            assert!(matches!(found, Err(StoreError::Profile { .. })), "{name:?}: {found:?}");
        }
    }

    #[test]
    fn the_runtime_folder_must_be_there_and_ours() {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("run");
        let vars = [("HOME", "/home/lin"), ("XDG_RUNTIME_DIR", run.to_str().unwrap())];
        assert!(paths(None, &vars).unwrap().runtime_dir.ends_with("feige/run/desk"));
        std::fs::create_dir(&run).unwrap();
        assert_eq!(paths(None, &vars).unwrap().runtime_dir, run.join("feige"));
        let roots = [("HOME", "/home/lin"), ("XDG_RUNTIME_DIR", "/")];
        let expected = if rustix::process::geteuid().is_root() { "/feige" } else { "/home/lin" };
        assert!(paths(None, &roots).unwrap().runtime_dir.starts_with(expected));
    }

    #[test]
    fn without_the_variable_the_system_s_runtime_folder_is_taken_if_it_is_ours_alone() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt;

        let home = tempfile::tempdir().unwrap();
        let (named, system) = (home.path().join("named"), home.path().join("1000"));
        let state = Path::new("/s/feige/run/desk");
        let places = |vars: &[(&str, &str)]| {
            let vars = [&[("HOME", "/home/lin"), ("XDG_STATE_HOME", "/s")], vars].concat();
            let found = paths_with(None, &vars, Some(&system)).unwrap();
            found.places().map(Path::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(places(&[]), [state], "it is not there");
        std::fs::create_dir(&system).unwrap();
        set_permissions(&system, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(places(&[]), [state], "others may look into it");
        set_permissions(&system, Permissions::from_mode(0o700)).unwrap();
        let of_the_system = system.join("feige");
        assert_eq!(places(&[]), [of_the_system.as_path(), state]);
        let other = [("XDG_RUNTIME_DIR", named.to_str().unwrap())];
        assert_eq!(places(&other), [of_the_system.as_path(), state], "the named one is not there");
        std::fs::create_dir(&named).unwrap();
        assert_eq!(places(&other), [&named.join("feige"), state]);
    }
}

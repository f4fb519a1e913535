//! What survives a restart: settings, messages, identity, packet numbers.

pub mod db;
pub mod settings;

use std::path::PathBuf;

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
}

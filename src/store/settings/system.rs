//! What the system knows of its user, for the defaults.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::check::NAME_MAX;
use crate::store::{Env, base, home};

/// The user and the machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct System {
    pub(super) user: String,
    pub(super) full_name: Option<String>,
    /// The short name of the machine.
    pub(super) host: String,
    /// `feige/` in the download folder.
    pub(super) downloads: PathBuf,
    pub(super) home: Option<PathBuf>,
}

impl System {
    pub(super) fn of(env: Env<'_>) -> Self {
        let uid = rustix::process::getuid().as_raw();
        let users = fs::read("/etc/passwd").unwrap_or_default();
        let account = Account::find(&String::from_utf8_lossy(&users), uid);
        let variable = |name| env(name).map(|value: OsString| value.to_string_lossy().into_owned());
        let names = [
            account.as_ref().map(|account| account.user.clone()),
            variable("LOGNAME"),
            variable("USER"),
        ];
        let user = names.into_iter().flatten().find_map(|name| field(&name));
        let uname = rustix::system::uname();
        let node_name = uname.nodename().to_string_lossy();
        Self {
            user: user.unwrap_or_else(|| format!("user{uid}")),
            full_name: account.and_then(|account| account.full_name()),
            host: node_name.split('.').next().and_then(field).unwrap_or_else(|| "localhost".into()),
            downloads: downloads(env),
            home: home(env),
        }
    }
}

/// A line of the system's user list: name, password, uid, gid, comment, home, shell.
struct Account {
    user: String,
    comment: String,
}

impl Account {
    fn find(users: &str, uid: u32) -> Option<Self> {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let user = fields.next()?;
            (fields.nth(1)? == uid.to_string()).then_some(())?;
            Some(Self { user: user.to_owned(), comment: fields.nth(1)?.to_owned() })
        })
    }

    /// The comment up to its first comma (behind it stand room and telephone numbers); `&` means
    /// the log-on name.
    fn full_name(&self) -> Option<String> {
        let name = self.comment.split(',').next()?.replace('&', &self.user);
        let name = plain(&name);
        (!name.is_empty()).then_some(name)
    }
}

/// A name that may stand in a packet.
fn field(name: &str) -> Option<String> {
    let name = plain(name).replace(':', "_");
    (!name.is_empty()).then_some(name)
}

fn plain(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let name = name.trim();
    let ends = name.char_indices().map(|(start, c)| start + c.len_utf8());
    let end = ends.take_while(|end| *end <= NAME_MAX).last().unwrap_or(0);
    name[..end].to_owned()
}

/// `feige/` in the user's download folder, whatever language that is named in.
fn downloads(env: Env<'_>) -> PathBuf {
    let home = home(env).unwrap_or_else(|| PathBuf::from("/"));
    let named = base(env, "XDG_CONFIG_HOME", ".config")
        .ok()
        .and_then(|config| fs::read_to_string(config.join("user-dirs.dirs")).ok())
        .and_then(|dirs| download_dir(&dirs, &home));
    named.unwrap_or_else(|| home.join("Downloads")).join("feige")
}

/// `XDG_DOWNLOAD_DIR="$HOME/下载"` in the list that desktops keep.
fn download_dir(dirs: &str, home: &Path) -> Option<PathBuf> {
    let value = dirs.lines().find_map(|line| line.trim().strip_prefix("XDG_DOWNLOAD_DIR="))?;
    let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
    let path = match value.strip_prefix("$HOME/") {
        // The home folder itself means that there is none.
        Some("") => return None,
        Some(below) => home.join(below),
        None => PathBuf::from(value),
    };
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\n\
        lin:x:1000:1000:林小明,Room 7,,:/home/lin:/bin/bash\n\
        wang:x:1001:1001:,,,:/home/wang:/bin/sh\n\
        broken\n\
        bob:x:1002:1002:& Jones:/home/bob:/bin/sh\n";

    #[test]
    fn full_names_come_from_the_user_list() {
        let find = |uid| Account::find(USERS, uid).map(|a| (a.user.clone(), a.full_name()));
        assert_eq!(find(1000), Some(("lin".to_owned(), Some("林小明".to_owned()))));
        assert_eq!(find(1001), Some(("wang".to_owned(), None)));
        assert_eq!(find(1002), Some(("bob".to_owned(), Some("bob Jones".to_owned()))));
        assert_eq!(find(4711), None);
    }

    #[test]
    fn the_download_folder_is_the_desktops() {
        let dirs = "# made by xdg-user-dirs-update\nXDG_DOWNLOAD_DIR=\"$HOME/下载\"\n";
        assert_eq!(download_dir(dirs, Path::new("/home/lin")), Some("/home/lin/下载".into()));
        let dirs = "XDG_DOWNLOAD_DIR=\"/srv/in\"";
        assert_eq!(download_dir(dirs, Path::new("/home/lin")), Some("/srv/in".into()));
        assert_eq!(download_dir("XDG_DOWNLOAD_DIR=\"in\"", Path::new("/home/lin")), None);
        assert_eq!(download_dir("XDG_DOWNLOAD_DIR=\"$HOME/\"", Path::new("/home/lin")), None);
        assert_eq!(download_dir("", Path::new("/home/lin")), None);
    }

    #[test]
    fn names_of_the_system_are_made_fit_for_a_packet() {
        assert_eq!(field("a:b\u{7}"), Some("a_b".to_owned()));
        assert_eq!(field(" \n"), None);
        assert_eq!(field(&"林".repeat(100)).unwrap().len(), 255);
    }

    #[test]
    fn there_is_always_a_user_and_a_host() {
        let system = System::of(&|_| None);
        assert!(!system.user.is_empty() && !system.host.is_empty(), "{system:?}");
        assert!(!system.host.contains('.') && system.downloads.ends_with("feige"));
    }
}

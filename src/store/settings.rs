//! The settings: defaults, under the office's file, under the user's file, under `FEIGE_*`
//! variables, under flags; each value knows where it came from.
//!
//! The keys and what they mean are listed in `settings/key.rs`; the same words serve the file, the
//! variables, the flags and `feige config set`. `FEIGE_EVENT_*` is never one of these variables: no key
//! begins with `event`.

mod accept;
mod check;
mod file;
mod key;
mod network;
mod size;
mod system;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

pub use accept::Accept;
use check::{address, away, charset, color, each, field, folder, link, name, port};
use file::Said;
pub use file::{FLAGS, Place, SettingsError, template};
use key::{Given, Key};
pub use network::Extra;
pub use size::size;
use system::System;

use super::{Env, Paths, process_env};
use crate::node::{Identity, Network, Office, PORT};

/// Everything people can set, with where each value came from.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Nickname that others see; never empty.
    pub nick: Setting<String>,
    /// Group that others see; may be empty.
    pub group: Setting<String>,
    /// Log-on name; never empty, without ':'.
    pub user: Setting<String>,
    /// Computer name; never empty, without ':'.
    pub host: Setting<String>,
    /// Charset of the office.
    pub charset: Setting<Office>,
    /// Port, UDP and TCP.
    pub port: Setting<u16>,
    /// Networks beyond our links; [`Settings::networks`] has them with their ports.
    pub networks: Setting<Vec<Extra>>,
    /// Official clients to ask for their host list; [`Settings::seeds`] has them with their ports.
    pub seeds: Setting<Vec<Extra>>,
    /// Links to leave out: names, or globs like `docker*`.
    pub skip_links: Setting<Vec<String>>,
    /// The links that own these addresses are used; empty: all.
    pub bind: Setting<Vec<IpAddr>>,
    /// Whether IPv6 is used.
    pub ipv6: Setting<bool>,
    /// Folder of received files; absolute.
    pub downloads: Setting<PathBuf>,
    /// Colours in the terminal.
    pub color: Setting<Color>,
    /// What is answered while away; may have several lines.
    pub away_text: Setting<String>,
    /// Whose offered files are fetched unasked.
    pub accept: Setting<Vec<Accept>>,
    /// For `~`.
    home: Option<PathBuf>,
}

/// A value, and where it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting<T> {
    /// The value in force.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

/// Where a value came from; each one hides those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The office's file.
    Office,
    /// The user's file.
    User,
    /// A `FEIGE_*` variable.
    Env,
    /// A flag of this command.
    Flag,
}

/// Colours in the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Color {
    /// Where the output is a terminal and `NO_COLOR` is not set.
    #[default]
    Auto,
    /// Also in pipes.
    Always,
    /// Never.
    Never,
}

/// One setting as `feige config` shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its key.
    pub key: &'static str,
    /// The value in force, as it may be given to `feige config set`; lists with commas.
    pub value: String,
    /// Where it came from.
    pub source: Source,
    /// What it is, in one sentence.
    pub doc: &'static str,
}

impl Settings {
    /// The settings in force. `flags` are pairs of a key and a value as text, lists with commas.
    /// An empty variable counts as not set.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] for a value or key that makes no sense, with its place. All of it is wrong
    /// usage: nothing is guessed or left out.
    pub fn load(
        paths: &Paths,
        env: Env<'_>,
        flags: &[(&str, String)],
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::default_for(System::of(env));
        for (path, source) in
            [(&paths.office_config, Source::Office), (&paths.config, Source::User)]
        {
            settings.take(file::read(path)?, source)?;
        }
        for key in Key::all() {
            let name = format!("FEIGE_{}", key.name().to_uppercase());
            let Some(value) = env(&name).filter(|value| !value.is_empty()) else { continue };
            let place = Place::Variable(name);
            let text = value.to_str().ok_or_else(|| place.wrong("it is not valid UTF-8"))?;
            settings.put_text(key, text, Source::Env).map_err(|what| place.wrong(what))?;
        }
        for (name, text) in flags {
            let place = Place::Flag((*name).to_owned());
            let key = Key::named(name).map_err(|what| place.wrong(what))?;
            settings.put_text(key, text, Source::Flag).map_err(|what| place.wrong(what))?;
        }
        Ok(settings)
    }

    /// A text as [`Settings::away_text`] may be.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub fn away_text(text: String) -> Result<String, String> {
        away(text)
    }

    /// Sets one key in the user's file; comments, order and everything else stay. `text` is the
    /// value as text, lists with commas.
    ///
    /// # Errors
    ///
    /// As [`Settings::load`], also when something else in the file is wrong; the file is then as it
    /// was.
    pub fn set(paths: &Paths, key: &str, text: &str) -> Result<(), SettingsError> {
        let place = Place::Key(key.to_owned());
        let key = Key::named(key).map_err(|what| place.wrong(what))?;
        let given = Given::from_text(key.kind(), text).map_err(|what| place.wrong(what))?;
        let mut checked = Self::default_for(System::of(&process_env));
        checked.put(key, given.clone(), Source::User).map_err(|what| place.wrong(what))?;
        let (says, text) = file::edited(&paths.config, key, &given)?;
        checked.take(says, Source::User)?;
        file::write(&paths.config, &text)
    }

    /// Writes [`template`] to the user's file if there is none, for `feige config edit`.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Write`].
    pub fn create_file(paths: &Paths) -> Result<(), SettingsError> {
        if paths.config.exists() {
            return Ok(());
        }
        file::write(&paths.config, &template())
    }

    /// All settings, in the order of the template.
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |key: Key| {
            let (given, source) = self.given(key);
            Entry { key: key.name(), value: given.to_string(), source, doc: key.doc() }
        };
        Key::all().map(entry).collect()
    }

    /// Who we are; `mac` is the store's.
    pub fn identity(&self, mac: String) -> Identity {
        Identity {
            nick: self.nick.value.clone(),
            group: self.group.value.clone(),
            user: self.user.value.clone(),
            host: self.host.value.clone(),
            mac,
        }
    }

    /// The networks beyond our links; what names no port has ours.
    pub fn networks(&self) -> Vec<Network> {
        self.networks.value.iter().map(|extra| extra.network(self.port.value)).collect()
    }

    /// The official clients to ask for their host list; what names no port has ours.
    pub fn seeds(&self) -> Vec<SocketAddr> {
        self.seeds.value.iter().map(|seed| seed.first(self.port.value)).collect()
    }

    fn default_for(system: System) -> Self {
        fn default<T>(value: T) -> Setting<T> {
            Setting { value, source: Source::Default }
        }
        Self {
            nick: default(system.full_name.unwrap_or_else(|| system.user.clone())),
            group: default(String::new()),
            user: default(system.user),
            host: default(system.host),
            charset: default(Office::Auto),
            port: default(PORT),
            networks: default(Vec::new()),
            seeds: default(Vec::new()),
            skip_links: default(Vec::new()),
            bind: default(Vec::new()),
            ipv6: default(true),
            downloads: default(system.downloads),
            color: default(Color::Auto),
            away_text: default("I am away from my desk.".to_owned()),
            accept: default(Vec::new()),
            home: system.home,
        }
    }

    fn take(&mut self, says: Vec<Said>, source: Source) -> Result<(), SettingsError> {
        for (key, given, place) in says {
            self.put(key, given, source).map_err(|what| place.wrong(format!("{key}: {what}")))?;
        }
        Ok(())
    }

    fn put_text(&mut self, key: Key, text: &str, source: Source) -> Result<(), String> {
        self.put(key, Given::from_text(key.kind(), text)?, source)
    }

    fn put(&mut self, key: Key, given: Given, source: Source) -> Result<(), String> {
        fn put<T>(setting: &mut Setting<T>, value: T, source: Source) {
            *setting = Setting { value, source };
        }
        match (key, given) {
            (Key::Nick, Given::Text(text)) => put(&mut self.nick, name(&text, false)?, source),
            (Key::Group, Given::Text(text)) => put(&mut self.group, name(&text, true)?, source),
            (Key::User, Given::Text(text)) => put(&mut self.user, field(&text)?, source),
            (Key::Host, Given::Text(text)) => put(&mut self.host, field(&text)?, source),
            (Key::Charset, Given::Text(text)) => put(&mut self.charset, charset(&text)?, source),
            (Key::Port, Given::Number(number)) => put(&mut self.port, port(number)?, source),
            (Key::Networks, Given::List(list)) => {
                put(&mut self.networks, each(&list, Extra::parse)?, source);
            }
            (Key::Seeds, Given::List(list)) => {
                put(&mut self.seeds, each(&list, Extra::parse_host)?, source);
            }
            (Key::SkipLinks, Given::List(list)) => {
                put(&mut self.skip_links, each(&list, link)?, source);
            }
            (Key::Bind, Given::List(list)) => put(&mut self.bind, each(&list, address)?, source),
            (Key::Ipv6, Given::Switch(on)) => put(&mut self.ipv6, on, source),
            (Key::Downloads, Given::Text(text)) => {
                let path = folder(&text, self.home.as_deref())?;
                put(&mut self.downloads, path, source);
            }
            (Key::Color, Given::Text(text)) => put(&mut self.color, color(&text)?, source),
            (Key::AwayText, Given::Text(text)) => put(&mut self.away_text, away(text)?, source),
            (Key::Accept, Given::List(list)) => {
                put(&mut self.accept, each(&list, Accept::parse)?, source);
            }
            (key, given) => return Err(given.is_not(key.kind())),
        }
        Ok(())
    }

    fn given(&self, key: Key) -> (Given, Source) {
        fn text<T>(setting: &Setting<T>, text: impl FnOnce(&T) -> String) -> (Given, Source) {
            (Given::Text(text(&setting.value)), setting.source)
        }
        fn list<T: ToString>(setting: &Setting<Vec<T>>) -> (Given, Source) {
            let list = setting.value.iter().map(T::to_string).collect();
            (Given::List(list), setting.source)
        }
        match key {
            Key::Nick => text(&self.nick, String::clone),
            Key::Group => text(&self.group, String::clone),
            Key::User => text(&self.user, String::clone),
            Key::Host => text(&self.host, String::clone),
            Key::Charset => text(&self.charset, Office::to_string),
            Key::Port => (Given::Number(self.port.value.into()), self.port.source),
            Key::Networks => list(&self.networks),
            Key::Seeds => list(&self.seeds),
            Key::SkipLinks => list(&self.skip_links),
            Key::Bind => list(&self.bind),
            Key::Ipv6 => (Given::Switch(self.ipv6.value), self.ipv6.source),
            Key::Downloads => text(&self.downloads, |path| path.display().to_string()),
            Key::Color => text(&self.color, Color::to_string),
            Key::AwayText => text(&self.away_text, String::clone),
            Key::Accept => list(&self.accept),
        }
    }
}

impl std::str::FromStr for Color {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(()),
        }
    }
}

impl std::fmt::Display for Color {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        })
    }
}

impl std::fmt::Display for Source {
    /// For people: "default", "office file", "user file", "environment", "flag".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::Office => "office file",
            Self::User => "user file",
            Self::Env => "environment",
            Self::Flag => "flag",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::node::Charset;

    struct Home {
        _folder: tempfile::TempDir,
        paths: Paths,
    }

    impl Home {
        fn new(office: &str, user: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let paths = Paths::all_in(&folder.path().join("feige"));
            crate::store::create_private_folder(&folder.path().join("feige")).unwrap();
            for (path, text) in [(&paths.office_config, office), (&paths.config, user)] {
                if !text.is_empty() {
                    fs::write(path, text).unwrap();
                }
            }
            Self { _folder: folder, paths }
        }

        fn load(&self, vars: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, String> {
            let env = |name: &str| {
                vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
            };
            let flags: Vec<_> =
                flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
            Settings::load(&self.paths, &env, &flags).map_err(|error| error.to_string())
        }

        fn user_file(&self) -> String {
            fs::read_to_string(&self.paths.config).unwrap()
        }
    }

    #[test]
    fn each_layer_hides_those_below_and_every_value_knows_its_own() {
        let home = Home::new(
            "charset = 'shift_jis'\ngroup = 'office'\nnick = 'office'\nport = 2001\nhost = 'h'",
            "group = 'user'\nnick = 'user'\nport = 2002\nseeds = ['10.0.0.1']",
        );
        let vars = [
            ("FEIGE_NICK", "env"),
            ("FEIGE_PORT", "2003"),
            ("FEIGE_BIND", " 127.0.0.1 ,::1,"),
            ("FEIGE_IPV6", "off"),
            ("FEIGE_HOST", ""),
            ("FEIGE_EVENT_NICK", "hook"),
        ];
        let settings =
            home.load(&vars, &[("port", "2004"), ("skip_links", "docker*,tun0")]).unwrap();
        assert_eq!(settings.color, Setting { value: Color::Auto, source: Source::Default });
        assert_eq!(settings.charset.value, Office::Fixed(Charset::SHIFT_JIS));
        assert_eq!(settings.charset.source, Source::Office);
        assert_eq!(settings.host, Setting { value: "h".to_owned(), source: Source::Office });
        assert_eq!(settings.group, Setting { value: "user".to_owned(), source: Source::User });
        assert_eq!(settings.nick, Setting { value: "env".to_owned(), source: Source::Env });
        assert_eq!(settings.ipv6, Setting { value: false, source: Source::Env });
        let bind = ["127.0.0.1", "::1"].map(|addr| addr.parse().unwrap());
        assert_eq!(settings.bind, Setting { value: bind.to_vec(), source: Source::Env });
        assert_eq!(settings.port, Setting { value: 2004, source: Source::Flag });
        assert_eq!(settings.skip_links.value, ["docker*", "tun0"]);
        assert_eq!(settings.seeds(), ["10.0.0.1:2004".parse().unwrap()], "our port, wherever from");
    }

    #[test]
    fn without_any_file_there_are_sensible_defaults() {
        let settings = Home::new("", "").load(&[("HOME", "/home/lin")], &[]).unwrap();
        assert!(!settings.nick.value.is_empty() && !settings.user.value.is_empty());
        assert_eq!((settings.port.value, settings.ipv6.value), (2425, true));
        assert_eq!(settings.downloads.value, Path::new("/home/lin/Downloads/feige"));
        let identity = settings.identity("021122334455".to_owned());
        assert_eq!(identity.nick, settings.nick.value);
        assert_eq!(identity.mac, "021122334455");
        assert!(settings.entries().iter().all(|entry| entry.source == Source::Default));
    }

    #[test]
    fn entries_can_be_given_back() {
        let home = Home::new("", "networks = ['10.1.0.255', '10.2.0.0/24']\nport = 3000\n");
        let before = home.load(&[], &[]).unwrap();
        let entries = before.entries();
        let text = |key| entries.iter().find(|entry| entry.key == key).unwrap().value.as_str();
        assert_eq!(text("networks"), "10.1.0.255, 10.2.0.0/24");
        assert_eq!((text("port"), text("ipv6"), text("charset")), ("3000", "true", "auto"));
        let flags: Vec<_> = entries.iter().map(|entry| (entry.key, entry.value.as_str())).collect();
        let after = home.load(&[], &flags).unwrap();
        assert_eq!(after.networks(), before.networks());
        let texts = |settings: &Settings| -> Vec<String> {
            settings.entries().into_iter().map(|entry| entry.value).collect()
        };
        assert_eq!(texts(&after), texts(&before));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        for (key, value, words) in [
            ("nick", "\" \"", "must not be empty"),
            ("group", r#""a\u001bb""#, "control characters"),
            ("user", "\"a:b\"", "separates the fields"),
            ("host", "''", "must not be empty"),
            ("charset", "'latin1'", "none of auto, gbk, shift_jis, big5, euc-kr, utf-8"),
            ("port", "0", "no port"),
            ("port", "65536", "no port"),
            ("networks", "['224.0.0.1']", "no address of a host"),
            ("seeds", "['10.0.0.0/24']", "no address"),
            ("skip_links", "['[']", "no glob"),
            ("bind", "['eth0']", "no IP address"),
            ("downloads", "'in'", "whole path"),
            ("color", "'yes'", "none of auto"),
        ] {
            let home = Home::new("", &format!("# one\n{key} = {value}\n"));
            let error = home.load(&[], &[]).unwrap_err();
            let place = format!("{}:2: {key}: ", home.paths.config.display());
            assert!(error.starts_with(&place) && error.contains(words), "{error}");
        }
        let home = Home::new("", "");
        let error = home.load(&[("FEIGE_PORT", "high")], &[]).unwrap_err();
        assert_eq!(error, "FEIGE_PORT: 'high' is not a whole number");
        let error = home.load(&[], &[("skip_links", "[")]).unwrap_err();
        assert!(error.starts_with("--set skip_links: '['"), "{error}");
        fs::create_dir(&home.paths.config).unwrap();
        let error = home.load(&[], &[]).unwrap_err();
        assert!(error.starts_with("cannot read ") && error.contains("config.toml"), "{error}");
    }

    #[test]
    fn setting_a_key_keeps_comments_and_order_and_the_file_private() {
        let home = Home::new("", "# mine\nport = 2425 # as everybody\nnick = 'a'\n");
        Settings::set(&home.paths, "nick", "小林").unwrap();
        Settings::set(&home.paths, "networks", "10.1.0.0/24, 10.2.0.7").unwrap();
        assert_eq!(
            home.user_file(),
            "# mine\nport = 2425 # as everybody\nnick = \"小林\"\n\
             networks = [\"10.1.0.0/24\", \"10.2.0.7\"]\n"
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&home.paths.config), 0o600);
        assert_eq!(mode(home.paths.config.parent().unwrap()), 0o700);
    }

    #[test]
    fn setting_something_wrong_changes_nothing() {
        let before = "nick = 'a'\nport = 0\n";
        let home = Home::new("", before);
        let set = |key, text| Settings::set(&home.paths, key, text).map_err(|e| e.to_string());
        assert!(set("nik", "b").unwrap_err().contains("did you mean 'nick'"));
        assert!(set("color", "red").unwrap_err().starts_with("color: 'red'"));
        assert!(set("nick", "b").unwrap_err().contains("config.toml:2: port"));
        assert_eq!(home.user_file(), before);
        set("port", "2425").unwrap();
        assert_eq!(home.user_file(), before.replace('0', "2425"), "what is wrong can be put right");
    }

    #[test]
    fn a_file_made_for_editing_explains_itself_and_is_made_once() {
        let home = Home::new("", "");
        Settings::create_file(&home.paths).unwrap();
        assert_eq!(home.user_file(), template());
        Settings::set(&home.paths, "group", "研发部").unwrap();
        Settings::create_file(&home.paths).unwrap();
        let expected = template().replace("#group = \"研发部\"", "group = \"研发部\"");
        assert_eq!(home.user_file(), expected);
        assert_eq!(home.load(&[], &[]).unwrap().group.source, Source::User);
    }
}

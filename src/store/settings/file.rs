//! The settings' file: read with the place of everything in it, changed without touching the rest.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml_edit::{Document, DocumentMut, Item};

use super::key::{Given, Key};
use crate::store::{StoreError, write_atomically};

/// The settings make no sense, or their file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A value or a key is wrong.
    #[error("{place}: {message}")]
    Wrong {
        /// Where it stands.
        place: Place,
        /// What is wrong with it.
        message: String,
    },
    /// The file is there but cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] StoreError),
}

/// Settings that have an option of their own; all others are given by `--set KEY=VALUE`.
pub const FLAGS: [&str; 7] = ["nick", "group", "user", "host", "port", "bind", "color"];

/// Where a value stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a line of a file, counted from 1.
    File(PathBuf, usize),
    /// In this variable.
    Variable(String),
    /// In the flag for this key.
    Flag(String),
    /// In `feige config set`, for this key.
    Key(String),
}

/// A key, its value, and where that stands.
pub(super) type Said = (Key, Given, Place);

impl Place {
    pub(super) fn wrong(&self, message: impl Into<String>) -> SettingsError {
        SettingsError::Wrong { place: self.clone(), message: message.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Key(name) => f.write_str(name),
            Self::Flag(key) if FLAGS.contains(&key.as_str()) => write!(f, "--{key}"),
            Self::Flag(key) => write!(f, "--set {key}"),
        }
    }
}

/// What a file says, each value with its place; nothing if there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<Said>, SettingsError> {
    parse(path, &text_of(path)?)
}

/// What the file would say with this key set, and its text. All else stays as it was, comments and
/// order too.
pub(super) fn edited(
    path: &Path,
    key: Key,
    given: &Given,
) -> Result<(Vec<Said>, String), SettingsError> {
    let text = text_of(path)?;
    let says_so = |all: &[Said]| all.iter().any(|(k, g, _)| (*k, g) == (key, given));
    if let Some(new) = uncomment(&text, key, given)
        && let Ok(all) = parse(path, &new)
        && says_so(&all)
    {
        return Ok((all, new));
    }
    let new = replace(path, &text, key, given)?;
    Ok((parse(path, &new)?, new))
}

/// Replaces the file.
pub(super) fn write(path: &Path, text: &str) -> Result<(), SettingsError> {
    Ok(write_atomically(path, text.as_bytes())?)
}

/// A settings' file with every key explained and nothing set.
pub fn template() -> String {
    let mut text = "# Settings of feige. Remove the '#' before a key to set it.\n\
        # `feige config` shows what is in force and where it comes from; a variable (FEIGE_NICK)\n\
        # or a flag (--nick) goes before this file.\n"
        .to_owned();
    for key in Key::all() {
        text.push('\n');
        for line in [key.doc()].iter().chain(key.more()) {
            text.extend(["# ", line, "\n"]);
        }
        text.extend([&commented(key), key.example(), "\n"]);
    }
    text
}

fn commented(key: Key) -> String {
    format!("#{key} = ")
}

fn text_of(path: &Path) -> Result<String, SettingsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(SettingsError::Read { path: path.to_owned(), source }),
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Said>, SettingsError> {
    let place = |span: Option<std::ops::Range<usize>>| {
        let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
        Place::File(path.to_owned(), 1 + before.matches('\n').count())
    };
    let document = Document::parse(text)
        .map_err(|error| place(error.span()).wrong(error.message().trim_end()))?;
    let table = document.as_table();
    let each = table.iter().map(|(name, item)| {
        let place = place(table.key(name).and_then(toml_edit::Key::span).or(item.span()));
        let key = Key::named(name).map_err(|what| place.wrong(what))?;
        let given = Given::from_toml(key.kind(), item)
            .map_err(|what| place.wrong(format!("{key}: {what}")))?;
        Ok((key, given, place))
    });
    each.collect()
}

/// Takes the template's line for this key, if the file is made from it, so that a value comes to
/// stand under its explanation.
fn uncomment(text: &str, key: Key, given: &Given) -> Option<String> {
    let commented = commented(key);
    let mut found = false;
    let lines = text.split_inclusive('\n').map(|line| {
        if !found && line.starts_with(&commented) {
            found = true;
            format!("{key} = {}\n", given.to_toml())
        } else {
            line.to_owned()
        }
    });
    let new: String = lines.collect();
    found.then_some(new)
}

fn replace(path: &Path, text: &str, key: Key, given: &Given) -> Result<String, SettingsError> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        Place::File(path.to_owned(), 1).wrong(error.message().trim_end())
    })?;
    let mut value = given.to_toml();
    match document.get_mut(key.name()) {
        Some(Item::Value(before)) => {
            // A comment behind the value belongs to it.
            *value.decor_mut() = before.decor().clone();
            *before = value;
        }
        _ => {
            document.insert(key.name(), Item::Value(value));
        }
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Given {
        Given::Text(value.to_owned())
    }

    #[test]
    fn the_template_sets_nothing_and_each_of_its_lines_can_be_uncommented() {
        let path = Path::new("config.toml");
        assert!(parse(path, &template()).unwrap().is_empty());
        let lines = template();
        let set: Vec<_> = lines
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => rest,
                _ => line,
            })
            .collect();
        let keys: Vec<_> =
            parse(path, &set.join("\n")).unwrap().into_iter().map(|(key, ..)| key).collect();
        assert!(keys.into_iter().eq(Key::all()));
    }

    #[test]
    fn errors_name_the_line_and_what_was_meant() {
        for (content, line, words) in [
            ("nick = \"a\"\n\nnik = \"b\"\n", 3, "did you mean 'nick'"),
            ("# 一\nport = \"2425\"\n", 2, "port: it must be a whole number, not string"),
            ("networks = [\n  \"10.0.0.1\",\n  7,\n]\n", 1, "a list of texts in brackets"),
            ("nick = \"a\"\nnick = \"b\"\n", 2, "duplicate key"),
            ("nick = \n", 1, "string"),
            ("\n\n[nick]\n", 3, "not table"),
            ("ipv6 = yes\n", 1, "must be quoted"),
        ] {
            let error = parse(Path::new("/c/config.toml"), content).unwrap_err().to_string();
            let place = format!("/c/config.toml:{line}: ");
            assert!(error.starts_with(&place), "{content:?}: {error}");
            assert!(error.contains(words), "{content:?}: {error}");
            assert!(!error.trim_end().contains('\n'), "{content:?}: {error}");
        }
    }

    #[test]
    fn comments_and_order_stay_when_a_value_changes() {
        let path = Path::new("config.toml");
        let before = "# mine\nport = 2425 # as everybody\n\n# me\nnick = 'a'   # short\n";
        let after = replace(path, before, Key::Nick, &text("b\"c")).unwrap();
        assert_eq!(after, before.replace("'a'", "'b\"c'"));
        let after = replace(path, before, Key::Group, &text("研发部")).unwrap();
        assert_eq!(after, format!("{before}group = \"研发部\"\n"));
        assert_eq!(replace(path, "", Key::Ipv6, &Given::Switch(false)).unwrap(), "ipv6 = false\n");
    }

    #[test]
    fn in_the_template_a_value_comes_to_stand_under_its_explanation() {
        let after = uncomment(&template(), Key::Group, &text("研发部")).unwrap();
        assert!(
            after.contains("see you in.\n# Without it: none.\ngroup = \"研发部\"\n\n"),
            "{after}"
        );
        assert!(uncomment("nick = 'a'\n", Key::Group, &text("x")).is_none());
    }
}

//! Rules by which offered files are accepted unasked, one line each (threats, rule 19).

use std::fmt;
use std::net::IpAddr;

use super::size::size;
use crate::node::{AcceptRule, AcceptWho};

/// A rule, and how it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accept {
    text: String,
    rule: AcceptRule,
}

/// Largest file, and most bytes of a folder, where a rule does not say.
const MAX: u64 = 100 << 20;

impl Accept {
    /// What it says.
    pub fn rule(&self) -> &AcceptRule {
        &self.rule
    }

    /// Reads a rule: words `KEY=VALUE`, a value with blanks in single quotes.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut peer, mut addr, mut nick, mut group) = (None, None, None, None);
        let (mut max, mut types, mut folders, mut unverified) = (MAX, Vec::new(), false, false);
        for (key, value) in words(text)? {
            let wrong = |what: &str| format!("'{text}': {key}={value} {what}");
            match key.as_str() {
                "peer" if value.contains('@') => peer = Some(value),
                "peer" => return Err(wrong("is no user@host")),
                "addr" => {
                    addr = Some(value.parse::<IpAddr>().map_err(|_| wrong("is no address"))?);
                }
                "nick" => nick = Some(value),
                "group" => group = Some(value),
                "max" => max = size(&value).map_err(|why| format!("'{text}': {key}: {why}"))?,
                "types" => {
                    let endings = value.split('+').map(|one| one.trim_start_matches('.'));
                    types = endings.map(str::to_lowercase).collect();
                }
                "folders" => folders = switch(&value).ok_or_else(|| wrong("is not true"))?,
                "unverified" => {
                    unverified = switch(&value).ok_or_else(|| wrong("is not true"))?;
                }
                _ => {
                    return Err(wrong(
                        "is unknown (there are peer, addr, nick, group, max, types, folders, \
                         unverified)",
                    ));
                }
            }
        }
        let by_name = nick.is_some() || group.is_some();
        let who = match (peer, addr, nick, group) {
            (Some(name), Some(addr), None, None) => AcceptWho::Peer { name, addr },
            (None, None, Some(nick), None) => AcceptWho::Nick(nick),
            (None, None, None, Some(group)) => AcceptWho::Group(group),
            _ => {
                return Err(format!(
                    "'{text}': whose files? peer=USER@HOST with addr=IP, or nick=NAME, or \
                     group=NAME"
                ));
            }
        };
        if by_name && !unverified {
            return Err(format!(
                "'{text}': anybody can take that name; add unverified=true if that is meant, or \
                 write peer=USER@HOST addr=IP"
            ));
        }
        let rule = AcceptRule { who, max, types, folders };
        Ok(Self { text: text.trim().to_owned(), rule })
    }
}

impl fmt::Display for Accept {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The words of a rule.
fn words(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let wrong = || format!("'{text}': every word is KEY=VALUE, blanks in 'quotes'");
        let (key, after) = rest.split_once('=').ok_or_else(wrong)?;
        let (value, after) = match after.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').ok_or_else(wrong)?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        if value.is_empty() || key.contains(char::is_whitespace) {
            return Err(wrong());
        }
        words.push((key.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    Ok(words)
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_an_identity_or_says_that_it_does_not() {
        let rule =
            Accept::parse(" peer=lin@desk-7 addr=10.0.0.7 max=1.5M types=pdf+.JPG ").unwrap();
        let who =
            AcceptWho::Peer { name: "lin@desk-7".to_owned(), addr: "10.0.0.7".parse().unwrap() };
        let types = vec!["pdf".to_owned(), "jpg".to_owned()];
        assert_eq!(rule.rule, AcceptRule { who, max: 3 << 19, types, folders: false });
        assert_eq!(rule.to_string(), "peer=lin@desk-7 addr=10.0.0.7 max=1.5M types=pdf+.JPG");
        let rule = Accept::parse("nick='Xiao Lin' unverified=true folders=true").unwrap();
        assert_eq!(rule.rule.who, AcceptWho::Nick("Xiao Lin".to_owned()));
        assert_eq!((rule.rule.max, rule.rule.folders), (MAX, true));
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        for (text, what) in [
            ("", "whose files?"),
            ("peer=lin@desk-7", "whose files?"),
            ("peer=lin addr=10.0.0.7", "no user@host"),
            ("peer=lin@d addr=10.0.0", "no address"),
            ("nick=lin", "unverified=true"),
            ("group=ops unverified=false", "unverified=true"),
            ("nick=lin group=ops unverified=true", "whose files?"),
            ("nick=lin unverified=yes", "is not true"),
            ("nick=lin max=10X unverified=true", "is no size"),
            ("nick=lin max=0 unverified=true", "is no size"),
            ("nick=lin colour=red", "is unknown"),
            ("lin", "KEY=VALUE"),
            ("nick='lin", "KEY=VALUE"),
        ] {
            let error = Accept::parse(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}

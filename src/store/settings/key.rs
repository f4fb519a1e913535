//! The keys: their names, what they mean, and values before anybody checked them.

use std::fmt;

use toml_edit::{Array, Item, Value};

/// A key of the settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Nick,
    Group,
    User,
    Host,
    Charset,
    Port,
    Networks,
    Seeds,
    SkipLinks,
    Bind,
    Ipv6,
    Downloads,
    Color,
    AwayText,
    Accept,
}

/// What kind of value a key has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Number,
    Switch,
    List,
}

/// All that is to be said about a key.
struct About {
    key: Key,
    name: &'static str,
    kind: Kind,
    /// One sentence.
    doc: &'static str,
    /// Further lines of the template.
    more: &'static [&'static str],
    /// A value as it may stand in the file.
    example: &'static str,
}

/// Every key, in the order of [`Key`].
const KEYS: [About; 15] = [
    About {
        key: Key::Nick,
        name: "nick",
        kind: Kind::Text,
        doc: "Nickname that others see.",
        more: &["Without it: your full name on this machine, else your log-on name."],
        example: r#""小林""#,
    },
    About {
        key: Key::Group,
        name: "group",
        kind: Kind::Text,
        doc: "Group that others see you in.",
        more: &["Without it: none."],
        example: r#""研发部""#,
    },
    About {
        key: Key::User,
        name: "user",
        kind: Kind::Text,
        doc: "Log-on name that is sent in every packet.",
        more: &[
            "Without it: your log-on name. Peers know you by it and by host: change it rarely.",
        ],
        example: r#""lin""#,
    },
    About {
        key: Key::Host,
        name: "host",
        kind: Kind::Text,
        doc: "Computer name that is sent in every packet.",
        more: &["Without it: the short name of this machine."],
        example: r#""desk-7""#,
    },
    About {
        key: Key::Charset,
        name: "charset",
        kind: Kind::Text,
        doc: "Charset of peers that do not declare theirs, and of our own entries.",
        more: &[
            "auto judges each text by its bytes and writes entries in GBK.",
            "Others: gbk, shift_jis, big5, euc-kr, utf-8.",
        ],
        example: r#""auto""#,
    },
    About {
        key: Key::Port,
        name: "port",
        kind: Kind::Number,
        doc: "Port, UDP and TCP; the same one for everybody on the LAN.",
        more: &[],
        example: "2425",
    },
    About {
        key: Key::Networks,
        name: "networks",
        kind: Kind::List,
        doc: "Networks behind a router to announce ourselves to.",
        more: &[
            "Addresses of hosts, directed broadcast addresses, networks and ranges (these two",
            "are asked slowly, one address after the other; at most 65,536 of them).",
        ],
        example: r#"["10.1.0.255", "10.2.0.0/24", "10.3.0.5-10.3.0.90", "10.4.0.7:2426"]"#,
    },
    About {
        key: Key::Seeds,
        name: "seeds",
        kind: Kind::List,
        doc: "Official clients to ask for their host list, one for each far segment.",
        more: &[],
        example: r#"["10.1.0.20"]"#,
    },
    About {
        key: Key::SkipLinks,
        name: "skip_links",
        kind: Kind::List,
        doc: "Network links to leave out, by name or pattern.",
        more: &["`feige config` names the links of containers and VPNs."],
        example: r#"["docker*", "veth*", "tun0"]"#,
    },
    About {
        key: Key::Bind,
        name: "bind",
        kind: Kind::List,
        doc: "Use only the links that own these addresses.",
        more: &["Without it: all links."],
        example: r#"["192.168.1.7"]"#,
    },
    About {
        key: Key::Ipv6,
        name: "ipv6",
        kind: Kind::Switch,
        doc: "Whether IPv6 is used too.",
        more: &[],
        example: "true",
    },
    About {
        key: Key::Downloads,
        name: "downloads",
        kind: Kind::Text,
        doc: "Folder of received files.",
        more: &["Without it: feige/ in your download folder."],
        example: r#""~/Downloads/feige""#,
    },
    About {
        key: Key::Color,
        name: "color",
        kind: Kind::Text,
        doc: "Colours in the terminal: auto, always, never.",
        more: &[],
        example: r#""auto""#,
    },
    About {
        key: Key::AwayText,
        name: "away_text",
        kind: Kind::Text,
        doc: "What is answered while you are away.",
        more: &[],
        example: r#""I am away from my desk.""#,
    },
    About {
        key: Key::Accept,
        name: "accept",
        kind: Kind::List,
        doc: "Whose offered files are fetched unasked; without it nobody's.",
        more: &[
            "peer=USER@HOST with addr=IP, or nick=NAME or group=NAME with unverified=true, because",
            "anybody can take a name. max=SIZE (100M), types=pdf+jpg, folders=true.",
        ],
        example: r#"["peer=lin@desk-7 addr=192.168.1.7 max=20M types=pdf+docx"]"#,
    },
];

impl Key {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        KEYS.iter().map(|about| about.key)
    }

    fn about(self) -> &'static About {
        &KEYS[self as usize]
    }

    /// The key of this name; the error names the nearest one.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        if let Some(key) = Self::all().find(|key| key.name() == name) {
            return Ok(key);
        }
        let nearest = Self::all().map(|key| (distance(key.name(), name), key));
        Err(match nearest.min_by_key(|(distance, _)| *distance) {
            Some((distance, key)) if distance <= 1 + name.len() / 4 => {
                format!("unknown key '{name}' (did you mean '{key}'?)")
            }
            _ => {
                let all: Vec<_> = Self::all().map(Self::name).collect();
                format!("unknown key '{name}' (there are {})", all.join(", "))
            }
        })
    }

    pub(super) fn name(self) -> &'static str {
        self.about().name
    }

    pub(super) fn kind(self) -> Kind {
        self.about().kind
    }

    pub(super) fn doc(self) -> &'static str {
        self.about().doc
    }

    pub(super) fn more(self) -> &'static [&'static str] {
        self.about().more
    }

    pub(super) fn example(self) -> &'static str {
        self.about().example
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Number => "a whole number",
            Self::Switch => "true or false",
            Self::List => "a list of texts in brackets",
        }
    }
}

/// A value of the right kind, not yet checked further.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Given {
    Text(String),
    Number(i64),
    Switch(bool),
    List(Vec<String>),
}

impl Given {
    /// From a variable, a flag or a command; lists with commas.
    pub(super) fn from_text(kind: Kind, text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not {}", kind.words());
        match kind {
            Kind::Text => Ok(Self::Text(text.to_owned())),
            Kind::Number => text.trim().parse().map(Self::Number).map_err(|_| wrong()),
            Kind::Switch => match text.trim() {
                "true" | "on" | "yes" | "1" => Ok(Self::Switch(true)),
                "false" | "off" | "no" | "0" => Ok(Self::Switch(false)),
                _ => Err(format!("'{text}' is neither true nor false")),
            },
            Kind::List => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(Self::List(items.map(str::to_owned).collect()))
            }
        }
    }

    /// From a file.
    pub(super) fn from_toml(kind: Kind, item: &Item) -> Result<Self, String> {
        let wrong = || format!("it must be {}, not {}", kind.words(), item.type_name());
        let given = match kind {
            Kind::Text => item.as_str().map(|text| Self::Text(text.to_owned())),
            Kind::Number => item.as_integer().map(Self::Number),
            Kind::Switch => item.as_bool().map(Self::Switch),
            Kind::List => item.as_array().and_then(|array| {
                let texts = array.iter().map(|value| value.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().map(Self::List)
            }),
        };
        given.ok_or_else(wrong)
    }

    pub(super) fn to_toml(&self) -> Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Number(number) => (*number).into(),
            Self::Switch(on) => (*on).into(),
            Self::List(list) => list.iter().collect::<Array>().into(),
        }
    }

    pub(super) fn is_not(&self, kind: Kind) -> String {
        format!("'{self}' is not {}", kind.words())
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Number(number) => number.fmt(f),
            Self::Switch(on) => on.fmt(f),
            Self::List(list) => f.pad(&list.join(", ")),
        }
    }
}

/// How many characters must be put in, taken out or replaced to make one word of the other
/// (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.chars().enumerate() {
        let mut left = above + 1;
        let mut diagonal = above;
        for (cell, b) in row.iter_mut().skip(1).zip(&other) {
            let best = (diagonal + usize::from(a != *b)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            left = best;
            *cell = best;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_changes() {
        for (one, other, expected) in [
            ("nick", "nick", 0),
            ("nick", "nik", 1),
            ("skip_links", "skip-links", 1),
            ("group", "gruop", 2),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn an_unknown_key_is_told_the_nearest_one() {
        assert!(Key::named("nik").unwrap_err().contains("did you mean 'nick'"));
        assert!(Key::named("network").unwrap_err().contains("did you mean 'networks'"));
        assert!(Key::named("colour").unwrap_err().contains("did you mean 'color'"));
        assert!(Key::named("hooks").unwrap_err().contains("there are nick, group"));
        assert_eq!(Key::named("away_text"), Ok(Key::AwayText));
    }

    #[test]
    fn the_list_of_keys_is_in_their_order() {
        assert!(KEYS.iter().enumerate().all(|(index, about)| about.key as usize == index));
    }

    #[test]
    fn no_key_is_set_by_a_variable_of_an_event() {
        assert!(Key::all().all(|key| !key.name().starts_with("event")));
    }
}

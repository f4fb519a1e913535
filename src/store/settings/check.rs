//! Which values make sense: each function takes what was given and returns what it means, or what is
//! wrong with it, to be read behind the place where it stands.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::Color;
use crate::node::{Charset, Office};

/// The charsets an office can be set to.
const CHARSETS: [Charset; 5] =
    [Charset::GBK, Charset::SHIFT_JIS, Charset::BIG5, Charset::EUC_KR, Charset::UTF_8];

/// Longest name, bytes: what is kept of the names of others, too.
pub(super) const NAME_MAX: usize = 256;
/// Longest absence text, bytes; it goes out in one datagram together with much else.
const AWAY_MAX: usize = 4_096;
/// Most entries of a list.
const LIST_MAX: usize = 256;

/// A name that goes into an entry: one line, not too long.
pub(super) fn name(text: &str, may_be_empty: bool) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() && !may_be_empty {
        return Err("it must not be empty".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("control characters and line breaks are not possible here".to_owned());
    }
    if text.len() > NAME_MAX {
        return Err(format!("it is longer than {NAME_MAX} bytes"));
    }
    Ok(text.to_owned())
}

/// A name that stands between colons in every packet.
pub(super) fn field(text: &str) -> Result<String, String> {
    let text = name(text, false)?;
    if text.contains(':') {
        return Err("':' is not possible here, it separates the fields of a packet".to_owned());
    }
    Ok(text)
}

pub(super) fn charset(text: &str) -> Result<Office, String> {
    match text.trim().parse() {
        Ok(Office::Fixed(charset)) if !CHARSETS.contains(&charset) => {}
        Ok(office) => return Ok(office),
        Err(_) => {}
    }
    let known: Vec<_> = CHARSETS.into_iter().map(Charset::name).collect();
    Err(format!("'{text}' is none of auto, {}", known.join(", ")))
}

pub(super) fn port(number: i64) -> Result<u16, String> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{number} is no port: 1 to 65535")),
    }
}

pub(super) fn each<T>(
    list: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    if list.len() > LIST_MAX {
        return Err(format!("more than {LIST_MAX} entries"));
    }
    list.iter().map(|text| parse(text.trim())).collect()
}

pub(super) fn link(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the name of a link must not be empty".to_owned());
    }
    match globset::Glob::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("'{text}' is no name of a link and no glob: {}", error.kind())),
    }
}

pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is no IP address"))
}

pub(super) fn folder(text: &str, home: Option<&Path>) -> Result<PathBuf, String> {
    let path = match (text.strip_prefix("~/").or((text == "~").then_some("")), home) {
        (Some(below), Some(home)) => home.join(below),
        _ => PathBuf::from(text),
    };
    if path.is_absolute() && !text.contains('\0') {
        Ok(path)
    } else {
        Err(format!("'{text}' is not a whole path: it must begin with '/' or '~/'"))
    }
}

pub(super) fn color(text: &str) -> Result<Color, String> {
    text.parse().map_err(|()| format!("'{text}' is none of auto, always, never"))
}

pub(super) fn away(text: String) -> Result<String, String> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err("control characters are not possible here".to_owned());
    }
    if text.len() > AWAY_MAX {
        return Err(format!("it is longer than {AWAY_MAX} bytes"));
    }
    Ok(text)
}

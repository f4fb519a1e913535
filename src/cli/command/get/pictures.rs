//! `feige get p3fa2c1d0`: a picture that came inside a message, as a file. It is in the store
//! already, so no node is needed.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use crate::cli::Globals;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Printer, VERSION};
use crate::cli::wish::{self, Wish};
use crate::node::{NoOffer, Pick, PictureFacts, SHORT_DIGITS};
use crate::store::download::Folder;
use crate::store::pictures::KeptPicture;
use crate::store::{Paths, Reader, StoreError};
use crate::term;

/// What `feige get` is to get.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli::command) enum Wanted {
    /// Offered files.
    Offer(Pick),
    /// A picture whose digest begins so, or that a message names so.
    Picture(String),
}

impl FromStr for Wanted {
    type Err = NoOffer;

    fn from_str(text: &str) -> Result<Self, NoOffer> {
        match text.strip_prefix('p') {
            Some(digits)
                if (SHORT_DIGITS..=64).contains(&digits.len())
                    && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                Ok(Self::Picture(digits.to_owned()))
            }
            _ => text.parse().map(Self::Offer),
        }
    }
}

/// A line about a picture that was written.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    picture: &'a str,
    path: &'a Path,
    #[serde(flatten)]
    facts: &'a PictureFacts,
}

/// Writes pictures into a folder, or the download folder, and tells where.
pub(super) fn write(
    globals: &Globals,
    pictures: &[&str],
    into: Option<PathBuf>,
) -> Result<(), CliError> {
    let (start, _) = wish::start(globals, Wish::default())?;
    let reader = match Reader::open(&start.paths) {
        Err(StoreError::Missing { .. }) => return Err(unknown(pictures.first().unwrap_or(&""))),
        other => other?,
    };
    let found = pictures
        .iter()
        .map(|digits| reader.picture(digits)?.ok_or_else(|| unknown(digits)))
        .collect::<Result<Vec<_>, CliError>>()?;
    let folder = open(&into.unwrap_or(start.downloads))?;
    let mut printer = Printer::new(globals);
    for picture in &found {
        let path = put(&reader, picture, &folder)?;
        tell(&mut printer, picture, &path)?;
    }
    Ok(())
}

/// Writes the picture with this digest into a folder: its whole path.
pub(in crate::cli::command) fn save(
    paths: &Paths,
    digest: &str,
    into: &Path,
) -> Result<PathBuf, CliError> {
    let reader = Reader::open(paths)?;
    let picture = reader.picture(digest)?.ok_or_else(|| unknown(digest))?;
    put(&reader, &picture, &open(into)?)
}

fn open(folder: &Path) -> Result<Arc<Folder>, CliError> {
    Folder::open(folder).map(Arc::new).map_err(|error| unwritten(&error))
}

fn put(reader: &Reader, picture: &KeptPicture, into: &Arc<Folder>) -> Result<PathBuf, CliError> {
    let name = picture.event.facts.file_name();
    reader.write_picture(picture, Arc::clone(into), &name).map_err(|error| unwritten(&error))
}

fn unwritten(error: &dyn std::error::Error) -> CliError {
    CliError::new(Exit::Partly, "the picture is not written").because(error)
}

fn tell(printer: &mut Printer, picture: &KeptPicture, path: &Path) -> Result<(), CliError> {
    let event = &picture.event;
    if printer.is_json() {
        let (picture, facts) = (&*event.picture, &event.facts);
        return printer.json(&Line { v: VERSION, picture, path, facts });
    }
    let about = crate::cli::output::picture(&event.facts);
    let (nick, path) = (term::safe(&event.peer.nick), path.to_string_lossy());
    printer.line(&format!("picture of {nick}, {about}: {}", term::safe(&path)))
}

fn unknown(digits: &str) -> CliError {
    CliError::new(Exit::Nobody, format_args!("no picture p{digits} is kept"))
        .hint("messages show the digits: of [picture ca37a4e0] it is pca37a4e0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::OfferId;

    #[test]
    fn a_picture_is_named_by_p_and_eight_digits_or_more() {
        let read = |text: &str| text.parse::<Wanted>();
        assert_eq!(read("p3fA2c1d0"), Ok(Wanted::Picture("3fA2c1d0".into())));
        assert_eq!(read("7"), Ok(Wanted::Offer(Pick::Offer(OfferId(7), None))));
        for odd in ["p3fa2c1d", "p3fa2c1dz", "p", "p%", &format!("p{}", "a".repeat(65))] {
            assert_eq!(read(odd), Err(NoOffer), "{odd}");
        }
    }
}

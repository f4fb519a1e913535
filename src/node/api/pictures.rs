//! What faces hear of pictures inside messages (dialect reference of FeiQ, 7).

use serde::{Deserialize, Serialize};

use std::borrow::Cow;
use std::fmt::Write as _;

use super::PeerView;
use crate::wire::picture::Reference;
use crate::wire::{Dialect, PacketNo};

/// A picture came whole, was decoded, and is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PictureEvent {
    /// Who sent it.
    pub peer: PeerView,
    /// The id its sender gave it, 8 hexadecimal digits: the text that shows its place says
    /// `/~#>` id `<B~`.
    pub picture: String,
    /// Number of the message that refers to it, if that came before the picture was whole.
    pub number: Option<PacketNo>,
    /// What is kept of it.
    #[serde(flatten)]
    pub facts: PictureFacts,
}

impl PictureEvent {
    /// What `feige get` takes for it: `p` and the first 8 digits of the digest. Two pictures of one
    /// name have, unless somebody made them so on purpose, the same content.
    pub fn short_id(&self) -> String {
        self.facts.short_id()
    }
}

/// A picture that was decoded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PictureFacts {
    /// Format of what is kept: as it came, but a bare bitmap as PNG.
    pub format: PictureFormat,
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// Size of what is kept, bytes.
    pub size: u64,
    /// SHA-256 of what is kept, 64 hexadecimal digits.
    pub digest: String,
}

impl PictureFacts {
    /// As [`PictureEvent::short_id`].
    pub fn short_id(&self) -> String {
        format!("p{}", self.digest.get(..SHORT_DIGITS).unwrap_or(&self.digest))
    }

    /// A name for its file. Nothing of it is from outside.
    pub fn file_name(&self) -> String {
        format!("picture-{}.{}", self.short_id(), self.format.extension())
    }
}

/// Digits of a digest in a short id.
pub const SHORT_DIGITS: usize = 8;

/// A text with each reference to a picture as people read it: `[picture ca37a4e0]`.
pub fn with_names(text: &str) -> Cow<'_, str> {
    let mut named = String::new();
    let mut from = 0;
    for Reference { id, range, .. } in Reference::find(text) {
        named.push_str(text.get(from..range.start).unwrap_or_default());
        let _ = write!(named, "[picture {id}]");
        from = range.end;
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    named.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(named)
}

/// A text as its reader sees it: emoticons of its writer's program as characters, pictures named.
/// `writer` is the dialect of whoever wrote it, none for ourselves; `to_many`: in a group, or to
/// everybody.
pub fn as_read<'t>(text: &'t str, writer: Option<&str>, to_many: bool) -> Cow<'t, str> {
    let dialect = writer.and_then(Dialect::by_name);
    match dialect.map_or(Cow::Borrowed(text), |dialect| dialect.show_from(to_many)(text)) {
        Cow::Borrowed(shown) => with_names(shown),
        Cow::Owned(shown) => Cow::Owned(with_names(&shown).into_owned()),
    }
}

/// Format of a picture.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// GIF.
    Gif,
    /// Windows bitmap with its file header.
    Bmp,
}

impl PictureFormat {
    /// Its name for people: `JPEG`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
        }
    }

    /// What the name of such a file ends with, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
        }
    }
}

//! Pictures in words.

use crate::node::{PictureEvent, PictureFacts};
use crate::term;

use super::files::bytes;

/// `sent picture ca37a4e0, 1920 x 1080, PNG, 620 KiB  (feige get p3fa2c1d0)`.
pub(in crate::cli) fn received(picture: &PictureEvent) -> String {
    let words = about(&picture.facts);
    format!(
        "sent picture {}, {words}  (feige get {})",
        term::safe(&picture.picture),
        picture.short_id()
    )
}

/// `1920 x 1080, PNG, 620 KiB`.
pub(in crate::cli) fn about(facts: &PictureFacts) -> String {
    let PictureFacts { width, height, size, format, .. } = facts;
    format!("{width} x {height}, {}, {}", format.name(), bytes(*size))
}

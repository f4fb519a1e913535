//! FeiQ: its version field, its text tail, its charset (`feiq-dialect.md`).

use std::borrow::Cow;

use super::{Dialect, Habits, Reads};
use crate::wire::packet::RawPacket;
use crate::wire::text::Charset;

/// FeiQ and its family.
pub const FEIQ: Dialect = Dialect {
    name: "feiq",
    charset: Some(Charset::GBK),
    strip_tail: strip_font,
    habits: Habits {
        text: Reads::Only(Charset::GBK, substitute),
        reads_full_entry: false,
        numbers_from_one: true,
    },
    recognises: |raw: &RawPacket<'_>| raw.version.starts_with(b"1_lbt"),
    may_hide_as: None,
};

/// Our version field: FeiQ's grammar with our own stable 12 hex digits (dialect reference, 1).
pub fn own_version_field(mac: &str) -> String {
    format!("1_lbt6_0#128#{mac}#0#0#0#4001#9")
}

/// The third field of a FeiQ version, which identifies its contact; not always 12 hex digits.
pub fn version_mac(version: &[u8]) -> Option<&[u8]> {
    version.split(|&byte| byte == b'#').nth(2).filter(|_| version.starts_with(b"1_lbt"))
}

fn strip_font(text: &[u8]) -> &[u8] {
    text
}

fn substitute(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

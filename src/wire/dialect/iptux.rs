//! iptux (`iptux-dialect.md`).

use super::{Dialect, Habits, IdBase, NameForm, Reads, as_typed, whole};
use crate::wire::packet::RawPacket;
use crate::wire::text::Charset;

/// iptux 0.8 and 0.10.
pub const IPTUX: Dialect = Dialect {
    name: "iptux",
    charset: None,
    split_tail: whole,
    show: as_typed,
    habits: Habits {
        text: Reads::All(Charset::GB18030),
        reads_full_entry: false,
        absence: None,
        numbers_from_one: true,
        list_joint: "\x07:",
        list_nul: true,
        request_ids: IdBase::Hexadecimal,
        request_nul: true,
        honours_offset: false,
        empty_folders: false,
        knocks: false,
        shows_typing: false,
        probes: false,
        takes_pictures: false,
        file_names: NameForm::Any,
    },
    recognises: |raw: &RawPacket<'_>| raw.version.starts_with(b"1_iptux"),
    may_hide_as: None,
};

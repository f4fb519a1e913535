//! IPMsg as the reference client speaks it; also every client that shows no dialect of its own.

use super::{Dialect, Habits, IdBase, NameForm, Reads, as_typed, whole};
use crate::wire::command::entry;

/// The official client and its plain relatives.
pub const IPMSG: Dialect = Dialect {
    name: "ipmsg",
    charset: None,
    split_tail: whole,
    show: as_typed,
    habits: Habits {
        text: Reads::WhatItAnnounces,
        reads_full_entry: true,
        absence: Some(entry::ABSENCE),
        numbers_from_one: false,
        list_joint: "\x07",
        list_nul: false,
        request_ids: IdBase::Hexadecimal,
        request_nul: true,
        honours_offset: false,
        empty_folders: true,
        knocks: false,
        shows_typing: false,
        probes: false,
        takes_pictures: false,
        file_names: NameForm::Windows,
    },
    recognises: |_| true,
    may_hide_as: None,
};

//! Ourselves: FeiQ's version field, and a `VS` line that FeiQ never writes (wire reference, end of
//! section 4).

use super::{Dialect, Habits, IdBase, NameForm, Reads, as_typed, feiq, whole};
use crate::wire::command::entry;
use crate::wire::entry::VERSION_TYPE;
use crate::wire::packet::RawPacket;
use crate::wire::scan;

/// Another feige.
pub const FEIGE: Dialect = Dialect {
    name: "feige",
    charset: None,
    split_tail: whole,
    show: as_typed,
    habits: Habits {
        text: Reads::Utf8,
        reads_full_entry: true,
        absence: Some(entry::ABSENCE),
        numbers_from_one: false,
        list_joint: "\x07",
        list_nul: false,
        request_ids: IdBase::Hexadecimal,
        request_nul: true,
        honours_offset: true,
        empty_folders: true,
        knocks: true,
        shows_typing: true,
        probes: true,
        takes_pictures: true,
        file_names: NameForm::Any,
    },
    recognises,
    may_hide_as: Some(feiq::FEIQ.name),
};

fn recognises(raw: &RawPacket<'_>) -> bool {
    (feiq::FEIQ.recognises)(raw)
        && raw.options().contains(entry::CAP_UTF8)
        && raw.sections().filter(|section| section.starts_with(b"\n")).any(|lines| {
            scan::split(lines, b'\n').any(|line| {
                line.strip_prefix(b"VS:").is_some_and(|v| v.starts_with(VERSION_TYPE.as_bytes()))
            })
        })
}

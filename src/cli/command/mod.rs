//! One file for each subcommand: its arguments and what it does with them.

pub(super) mod completions;
pub(super) mod decode;
pub(super) mod man;

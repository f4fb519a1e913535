//! One file for each subcommand: its arguments and what it does with them.

pub(super) mod alias;
pub(super) mod away;
pub(super) mod back;
pub(super) mod block;
pub(super) mod broadcast;
pub(super) mod charset;
pub(super) mod completions;
pub(super) mod config;
pub(super) mod decode;
pub(super) mod demo;
pub(super) mod files;
pub(super) mod get;
pub(super) mod history;
pub(super) mod knock;
pub(super) mod listen;
pub(super) mod man;
pub(super) mod node;
pub(super) mod outbox;
pub(super) mod peers;
pub(super) mod refuse;
pub(super) mod send;
pub(super) mod withdraw;

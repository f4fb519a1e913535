//! What do these bytes say? The datagram grammar, pure: no input or output, no clock.
//!
//! ```text
//! packet  = version ":" number ":" user ":" host ":" command ":" main *( NUL section )
//! main    = bytes without NUL: text, nickname, number ..., depends on the command
//! section = group name, file list, or UTF-8 lines
//! ```
//!
//! [`RawPacket`] is these fields exactly as they came, [`Packet`] is what they mean once dialect
//! and charset are known. What we send is written by [`entry::Announcement`] and the `emit`
//! functions of [`body`]. On TCP a [`request`] asks for a file or a folder, and a folder comes as a
//! [`tree`]; pictures of FeiQ come in fragments over UDP ([`picture`]).

#![warn(clippy::unwrap_used, clippy::indexing_slicing)]

pub mod attach;
pub mod body;
pub mod command;
pub mod dialect;
pub mod entry;
pub mod filename;
pub mod hosts;
pub mod packet;
pub mod picture;
pub mod recipients;
pub mod request;
mod scan;
pub mod sealed;
pub mod text;
pub mod tree;

pub use body::Body;
pub use command::{Command, CommandWord, Options, PacketNo};
pub use dialect::Dialect;
pub use packet::{Head, Hint, Packet, ParseError, RawPacket};
pub use recipients::{Recipient, Recipients};
pub use sealed::Sealed;
pub use text::{Charset, Learned, Office, Sure, Verdict};

/// The port of the protocol, UDP and TCP: 2425 = 0x0979.
pub const PORT: u16 = 2425;

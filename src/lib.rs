//! A LAN messenger that speaks IPMsg and its Chinese dialect FeiQ.
//!
//! | module | what it is | feature |
//! |---|---|---|
//! | [`wire`] | bytes to meaning and back: packets, texts and their charsets, dialects, files | |
//! | [`crypto`] | the ciphers that official clients and FeiQ use | |
//! | [`node`] | what a good messenger does next: a pure function from inputs to effects | |
//! | [`sim`] | a LAN of such nodes in memory, with loss, delay and repeats | |
//! | `store`, `io`, `cli`, `term` | what makes the program of it: disk, sockets, commands | `cli` |
//!
//! Without default features this is a library without I/O:
//!
//! ```
//! use feige::wire::body::emit_message;
//! use feige::wire::command::message;
//! use feige::wire::dialect::TextForm;
//! use feige::wire::{Body, Charset, Head, Hint, Packet, PacketNo, RawPacket};
//!
//! // As FeiQ writes it; the number is what its receipt will name.
//! let head = Head { version: "1", number: PacketNo(1), user: "wang", host: "PC-7" };
//! let bytes = emit_message(&head, message::SEND_CHECK, "谢谢", TextForm::Legacy(Charset::GBK));
//!
//! // What is known of the sender decides in which charset its bytes are read; here nothing is.
//! let packet = Packet::read(&RawPacket::parse(&bytes)?, &Hint::default());
//! assert_eq!(packet.user, "wang");
//! assert!(matches!(packet.body, Body::Message(message) if message.text == "谢谢"));
//! # Ok::<(), feige::wire::ParseError>(())
//! ```

pub mod crypto;
pub mod node;
pub mod sim;
pub mod wire;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod io;
#[cfg(feature = "cli")]
pub mod store;
#[cfg(feature = "cli")]
pub mod term;

//! Messages of ours as they are kept.

use std::sync::Arc;

use crate::node::api::{Delivery, Direction};
use crate::node::effect::MessageRecord;
use crate::node::turn::Turn;
use crate::wire::command::message;
use crate::wire::{Options, PacketNo, Recipients, Verdict};

/// The record of a message of ours.
pub(crate) fn sent_record(
    turn: &Turn<'_>,
    number: PacketNo,
    options: Options,
    text: &str,
    charset: Verdict,
    raw: Arc<[u8]>,
) -> MessageRecord {
    let broadcast = options.contains(message::BROADCAST);
    MessageRecord {
        direction: Direction::Out,
        delivery: if broadcast { Delivery::Broadcast } else { Delivery::Direct },
        at: turn.now.wall,
        peer: None,
        addr: None,
        epoch: 0,
        number,
        options,
        text: text.to_owned(),
        charset,
        cut: false,
        files: 0,
        raw,
        recipients: Recipients::default(),
        open: None,
    }
}

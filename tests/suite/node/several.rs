//! One message to several people.

use feige::node::{Direction, Options, PacketNo, Record, Target};
use feige::wire::{Body, Command};

use super::desk::{Desk, Outcome, official, plain};
use crate::wire::vectors::{bytes, named, packets};

#[test]
fn the_official_packet_to_several_is_read_and_written() {
    let vector = bytes(&named(&packets(), "sendmsg-multicast"));
    let mut desk = Desk::new();
    let out = desk.hear("10.0.0.2", &vector);
    let [message] = out.messages()[..] else { panic!("{out:?}") };
    assert!(message.several && message.recipients.is_empty());
    let receipts: Vec<_> =
        out.sent().into_iter().filter(|(.., p)| p.command == Command::RECVMSG).collect();
    assert!(matches!(receipts[..], [(.., ref p)] if p.body == Body::Reference(PacketNo(9))));

    // To clients that announce nothing ours has the same command word and the same body.
    desk.hear("10.0.0.3", plain(3, 1, "a@pc3", "A"));
    desk.hear("10.0.0.4", plain(3, 1, "b@pc4", "B"));
    let all = ["A", "B"].map(|nick| Target::Peer(desk.peer(nick).id)).to_vec();
    let (_, out) = desk.send_to(all, "x");
    let ours: Vec<&[u8]> = out.transmits().iter().map(|transmit| &*transmit.bytes).collect();
    assert_eq!(ours.len(), 2);
    assert!(vector.ends_with(b":2336:x\0"));
    assert!(ours.iter().all(|bytes| bytes.ends_with(b":2336:x\0")));
    assert_eq!(ours[0], ours[1], "one packet, one number");
}

#[test]
fn several_recipients_are_told_as_the_sender_wrote_them_down() {
    let mut desk = Desk::new();
    let options = 0x100 | 0x800 | 0x400_0000 | 0x80_0000;
    let packet = |list: &str| {
        format!("1:5:ann:pc:{}:all of you\0\0TO:{list}\0", 0x20 | options).into_bytes()
    };
    let out = desk.hear("10.0.0.2", packet("me:host\x07王五-<0123456789abcdef>:pc-9\x07"));
    let [message] = out.messages()[..] else { panic!("{out:?}") };
    assert_eq!((message.text.as_str(), message.files), ("all of you", 0));
    assert!(message.several && !message.recipients_cut);
    let users: Vec<&str> = message.recipients.iter().map(|to| to.user.as_str()).collect();
    assert_eq!(users, ["me", "王五"]);
    let [(_, Record::Message(record))] = out.saves()[..] else { panic!("{out:?}") };
    assert_eq!(record.recipients.names, message.recipients);

    let full = packet(&"u:h\x07".repeat(30));
    let full = [b"1:6".as_slice(), &full[3..]].concat();
    let out = desk.hear("10.0.0.2", full);
    assert!(out.messages()[0].recipients_cut, "there may be more than the thirty");

    let unmarked = format!("1:7:ann:pc:{}:x\0\0TO:a:b\x07\0", 0x20 | 0x800);
    let out = desk.hear("10.0.0.2", unmarked);
    assert!(out.messages()[0].recipients.is_empty(), "without its bit the list does not count");
}

#[test]
fn one_recipient_is_not_several() {
    let mut desk = Desk::new();
    for n in 2..5_u8 {
        let who = format!("u{n}@pc{n}");
        desk.hear(&format!("10.0.0.{n}"), official(3, 1, &who, &who));
    }
    let everybody: Vec<Target> = desk.peers().into_iter().map(|p| Target::Peer(p.id)).collect();
    let options = |out: &Outcome| -> Vec<Options> {
        let sent = out.sent().into_iter().filter(|(.., p)| p.command == Command::SENDMSG);
        sent.map(|(.., packet)| packet.options).collect()
    };
    let (_, out) = desk.send_to(everybody.clone(), "all");
    let several = options(&out);
    assert!(several.len() == 3 && several.iter().all(|o| o.bits() & 0x800 != 0));
    let numbers: Vec<PacketNo> = out.sent().into_iter().map(|(.., p)| p.number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] == pair[1]), "one number for all");
    let (_, out) = desk.send_to(everybody[..1].to_vec(), "one");
    assert!(options(&out)[0].bits() & 0x800 == 0);
    assert!(out.messages().iter().all(|m| m.direction == Direction::Out && !m.several));
}

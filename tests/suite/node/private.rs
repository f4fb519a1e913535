//! Encrypted messages of somebody who never entered: what they cause before and after they are open.

use std::net::SocketAddr;

use feige::node::{
    Effect, Event, Input, Keyring, PacketNo, PictureFacts, PictureFormat, PictureJob, PictureNews,
    Request, RequestId,
};
use feige::wire::Command;
use rand::rngs::OsRng;

use super::desk::{Desk, MAC as OURS, Outcome, addr, feiq, ms};
use crate::support::feiq::Feiq;

const MAC: &str = "080027090471";
const FEIQ: &str = "10.0.0.9";
/// The word of FeiQ's encrypted messages, as it stands in the packet.
const SEALED: &str = ":4194592:";

/// We, and a FeiQ that has our key and has not entered here.
struct Stranger {
    desk: Desk,
    ring: Keyring,
    feiq: Feiq,
}

impl Stranger {
    fn new() -> Self {
        let mut desk = Desk::new();
        let mut ring = Keyring::default();
        let mut feiq = Feiq::new("王小明", MAC);
        let we = Self::we();
        let entry = feiq_entry();
        feiq.hear(we, &entry);
        let question = feiq.say_sealed(we, "");
        let out = desk.hear(FEIQ, &question[0].1);
        let out = perform(&mut desk, &mut ring, &out);
        let kept = desk.keep(&out);
        let answer = out.transmits().into_iter().chain(kept.transmits());
        for answer in answer {
            feiq.hear(we, &answer.bytes);
        }
        Self { desk, ring, feiq }
    }

    fn we() -> SocketAddr {
        addr("10.0.0.1")
    }

    /// The datagram of an encrypted text, with further option bits.
    fn sealed(&mut self, text: &str, options: u32) -> Vec<u8> {
        let out = self.feiq.say_sealed(Self::we(), text);
        let [(_, bytes)] = &out[..] else { panic!("it has our key: {out:?}") };
        let at = bytes.windows(SEALED.len()).position(|part| part == SEALED.as_bytes());
        let (head, rest) = bytes.split_at(at.expect("its word"));
        let word = format!(":{}:", 0x40_0120 | options);
        [head, word.as_bytes(), &rest[SEALED.len()..]].concat()
    }

    /// It arrives, is opened and kept: all that follows.
    fn hear(&mut self, bytes: &[u8]) -> Outcome {
        let mut all = self.desk.hear(FEIQ, bytes);
        let opened = perform(&mut self.desk, &mut self.ring, &all);
        all.effects.extend(opened.effects);
        let kept = self.desk.keep(&all);
        all.effects.extend(kept.effects);
        all
    }
}

/// An entry of ours, as a FeiQ has to hear one before it writes to us.
fn feiq_entry() -> Vec<u8> {
    feiq(0x60_0001, 1, "fei@desk", OURS, "fei\0\0")
}

/// Does the work with keys that was ordered.
fn perform(desk: &mut Desk, ring: &mut Keyring, out: &Outcome) -> Outcome {
    let mut all = Outcome::default();
    for (_, effect) in &out.effects {
        if let Effect::Crypto(id, job) = effect {
            let done = ring.perform(job.clone(), &mut OsRng);
            all.effects.extend(desk.input(Input::Crypto(*id, done)).effects);
        }
    }
    all
}

#[test]
fn machines_broadcasts_and_the_unlisted_are_not_asked_who_they_are() {
    let entries = |out: &Outcome| {
        let asked = out.commands_to(FEIQ);
        asked.into_iter().filter(|&command| command == Command::BR_ENTRY).count()
    };
    for (options, expected) in [(0, 1), (0x2000, 0), (0x400, 0), (0x8_0000, 0)] {
        let mut stranger = Stranger::new();
        let bytes = stranger.sealed("下班一起吃饭？", options);
        let out = stranger.hear(&bytes);
        assert_eq!(out.messages().len(), 1, "{options:#x}: it is read");
        assert_eq!(entries(&out), expected, "{options:#x}, encrypted");
        // One that nobody can open, a knock, and one in clear.
        for word in [0x40_0120, 0xd1, 0x20] {
            let text = "x".repeat(80);
            let bytes = feiq(word | options, 7, "wang@pc", MAC, &text);
            let entries = entries(&Desk::new().hear(FEIQ, bytes));
            assert_eq!(entries, expected, "{options:#x}, {word:#x}");
        }
    }
}

#[test]
fn what_an_encrypted_message_causes_is_bounded_before_and_after_it_is_open() {
    let mut stranger = Stranger::new();
    let text = "午饭后回来，有急事请打电话。".repeat(200);
    let out = stranger.desk.input(Input::Request(RequestId(800), Request::Away { text }));
    stranger.desk.keep(&out);
    stranger.desk.pass(ms(60_000));
    let bytes = stranger.sealed("吃饭？", 0);
    let out = stranger.hear(&bytes);
    let size = |command: Command| {
        let sent = out.transmits().into_iter().zip(out.sent());
        let of_kind =
            sent.filter(|(_, (_, to, packet))| *to == addr(FEIQ) && packet.command == command);
        of_kind.map(|(transmit, _)| transmit.bytes.len() + 28).sum::<usize>()
    };
    let [entry, receipt, reply] = [Command::BR_ENTRY, Command::RECVMSG, Command::SENDMSG].map(size);
    assert!(entry > 0 && receipt > 0 && reply > 0, "{entry} {receipt} {reply}");
    // One receipt always fits.
    let limit = 3 * (bytes.len() + 28);
    assert!(entry + reply <= limit, "{entry} and {reply} for {limit}");
    assert_eq!(out.transmits().len(), 3);
}

/// The number of the message a picture of this id belongs to, when it comes now.
fn picture_number(desk: &mut Desk, id: &str) -> Option<PacketNo> {
    let header = format!("{id}|5|0|1|1|5|0|2|0|00000000#\0hello");
    let out = desk.hear(FEIQ, feiq(0x20_00c0, 90, "Administrator@PC-0471", MAC, &header));
    let stage = out.effects.iter().find_map(|(_, effect)| match effect {
        Effect::Picture(PictureJob::Check { stage }) => Some(*stage),
        _ => None,
    });
    let (format, digest) = (PictureFormat::Jpeg, "d65d9786".repeat(8));
    let facts = PictureFacts { format, width: 1, height: 1, size: 5, digest };
    let news = PictureNews::Checked(facts);
    let out = desk.input(Input::Picture(stage.expect("it is whole"), news));
    let [Event::Picture(picture)] = out.events()[..] else { panic!("{out:?}") };
    picture.number
}

#[test]
fn an_encrypted_text_and_one_to_a_group_refer_to_pictures_too() {
    let mut stranger = Stranger::new();
    let bytes = stranger.sealed("pic /~#>00000b01<B~", 0);
    let out = stranger.hear(&bytes);
    let [message] = out.messages()[..] else { panic!("{out:?}") };
    assert_eq!(picture_number(&mut stranger.desk, "00000b01"), Some(message.number));

    let group = stranger.feiq.say_to_group("b4cc80e4", "pic /~#>00000b02<B~");
    let out = stranger.hear(&group[0].1);
    let [message] = out.messages()[..] else { panic!("{out:?}") };
    assert_eq!(picture_number(&mut stranger.desk, "00000b02"), Some(message.number));
    assert_eq!(picture_number(&mut stranger.desk, "00000b03"), None);
}

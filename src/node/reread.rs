//! A stored message read again in another charset.

use crate::wire::command::message;
use crate::wire::packet::Hint;
use crate::wire::{Body, Charset, Office, Packet, RawPacket, Sure, Verdict};

/// The text of a message's stored datagram as it reads in `charset`, whatever the packet says of
/// itself, and whether it was longer than is kept. None where the bytes hold no message, or an
/// encrypted one.
pub fn reread(datagram: &[u8], charset: Charset) -> Option<(String, bool)> {
    let raw = RawPacket::parse(datagram).ok()?;
    let pinned = Some(Verdict { charset, sure: Sure::Pinned });
    let hint =
        Hint { names: pinned, text: pinned, office: Office::Fixed(charset), ..Hint::default() };
    let packet = Packet::read(&raw, &hint);
    match packet.body {
        Body::Message(body) if !packet.options.contains(message::ENCRYPT) => {
            Some((body.text, body.cut))
        }
        _ => None,
    }
}

/// Whether the packet of a message says that it is UTF-8, and its text is: then nothing is to be read
/// otherwise.
pub fn is_declared(datagram: &[u8]) -> bool {
    RawPacket::parse(datagram).is_ok_and(|raw| {
        raw.options().contains(message::UTF8) && std::str::from_utf8(raw.main()).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(word: u32, text: &[u8]) -> Vec<u8> {
        [format!("1:17:lin:desk:{word}:").as_bytes(), text].concat()
    }

    #[test]
    fn a_message_reads_in_the_charset_it_is_told() {
        let bytes = Charset::BIG5.encode("早安", |_| String::new());
        let read = |word, charset| reread(&datagram(word, &bytes), charset);
        assert_eq!(read(288, Charset::BIG5), Some(("早安".to_owned(), false)));
        assert_ne!(read(288, Charset::GBK), Some(("早安".to_owned(), false)));
        assert_eq!(read(0x0080_0120, Charset::BIG5), Some(("早安".to_owned(), false)), "UTF8OPT");
    }

    #[test]
    fn only_valid_utf8_is_taken_at_its_word() {
        let bytes = Charset::BIG5.encode("早安", |_| String::new());
        assert!(is_declared(&datagram(0x0080_0120, "早安".as_bytes())));
        assert!(!is_declared(&datagram(0x0080_0120, &bytes)), "it is none");
        assert!(!is_declared(&datagram(288, "早安".as_bytes())), "it does not say so");
        assert!(!is_declared(b""));
    }

    #[test]
    fn what_holds_no_readable_message_stays_as_it_is() {
        assert_eq!(reread(b"", Charset::GBK), None);
        assert_eq!(reread(&datagram(1, b"lin"), Charset::GBK), None, "an entry");
        assert_eq!(reread(&datagram(0x0040_0120, b"1:2:3"), Charset::GBK), None, "encrypted");
    }
}

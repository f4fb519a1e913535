//! The five peers of the demonstration: bytes of real clients, spoken by a script.
//!
//! What they send was recorded from such clients (`tests/vectors`), and what they hear is taken apart
//! here by hand, so that a mistake of our own reader or writer cannot hide behind itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::io::lab::{Heard, Missing, Peer};

/// How long a peer waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(4);

/// What one peer is, says, and must see.
#[derive(Debug)]
pub(super) struct Script {
    /// What it is, for the explanation.
    pub(super) kind: &'static str,
    /// First field of its packets.
    version: &'static str,
    /// Log-on and computer name, as on the wire.
    user: &'static [u8],
    host: &'static [u8],
    /// Option bits of its answer to an entry, and the body of it.
    entry_options: u32,
    entry: &'static [u8],
    /// Command word and body of what it says.
    message_word: u32,
    message: &'static [u8],
    /// Option bits of its receipts; iptux sets one.
    receipt_options: u32,
    /// Its first packet number.
    first_number: u64,
    /// What we must make of it.
    pub(super) nick: &'static str,
    pub(super) group: &'static str,
    pub(super) dialect: &'static str,
    pub(super) text: &'static str,
    /// What is worth knowing about its text.
    pub(super) remark: &'static str,
    /// What we write to it, and the bytes it must hear.
    pub(super) reply: &'static str,
    reply_bytes: &'static [u8],
    /// What is worth knowing about that.
    pub(super) reply_remark: &'static str,
}

/// The announcement, and its bytes in GB18030.
pub(super) const ANNOUNCEMENT: &str = "飞鸽: 服务器 18:00 重启";
const ANNOUNCEMENT_BYTES: &[u8] =
    b"\xb7\xc9\xb8\xeb: \xb7\xfe\xce\xf1\xc6\xf7 18:00 \xd6\xd8\xc6\xf4\0";

pub(super) const SCRIPTS: [Script; 5] = [
    Script {
        kind: "FeiQ on Windows",
        version: "1_lbt80_82#131200#F48E38F22501#0#0#0#4000#9",
        user: b"84360",
        host: b"DESKTOP-DNAA8RA",
        entry_options: 0x0060_0000,
        entry: b"\xc4\xe3\xb2\xc2\0\0",
        message_word: 0x120,
        message: b"\xd0\xbb\xd0\xbb\0",
        receipt_options: 0,
        first_number: 1_505_826_164,
        nick: "你猜",
        group: "",
        dialect: "feiq",
        text: "谢谢",
        remark: "GBK, though the bytes are valid UTF-8 too",
        reply: "不客气 🙂",
        reply_bytes: b"\xb2\xbb\xbf\xcd\xc6\xf8 /:)\0",
        reply_remark: "GBK, the emoji as FeiQ's own code",
    },
    Script {
        kind: "FeiQ 2013",
        version: "1_lbt6_0#128#80FA5B42A569#0#0#0#4001#9",
        user: b"hasee",
        host: b"DESKTOP-KG65FBS",
        entry_options: 0x0060_0000,
        entry: b"35_\xcb\xef\xd6\xbe\xb3\xc9\0\xd1\xd0\xb7\xa2\xb2\xbf\0",
        message_word: 0x120,
        message: b"\xc4\xbf\xc2\xbc\xc0\xef\xd3\xd0\xd0\xc2\xce\xc4\xbc\xfe\
            {/font;-16 0 0 0 400 0 0 0 134 0 0 2 32 \xce\xa2\xc8\xed\xd1\xc5\xba\xda 8404992;}\0",
        receipt_options: 0,
        first_number: 1_780_525_950,
        nick: "35_孙志成",
        group: "研发部",
        dialect: "feiq",
        text: "目录里有新文件",
        remark: "GBK with a font block, which is not shown",
        reply: "看到了",
        reply_bytes: b"\xbf\xb4\xb5\xbd\xc1\xcb\0",
        reply_remark: "GBK",
    },
    Script {
        kind: "IPMsg 4.99",
        version: "1",
        user: "太郎".as_bytes(),
        host: "机".as_bytes(),
        entry_options: 0x0fe4_0000,
        entry: "太郎\0開発部\0\nVS:00010002:4:99:103".as_bytes(),
        message_word: 0x0180_0120,
        message: "你好 こんにちは 😀\0".as_bytes(),
        receipt_options: 0,
        first_number: 1_700_000_001,
        nick: "太郎",
        group: "開発部",
        dialect: "ipmsg",
        text: "你好 こんにちは 😀",
        remark: "UTF-8, and the packet says so",
        reply: "こんにちは 😀",
        reply_bytes: "こんにちは 😀\0".as_bytes(),
        reply_remark: "UTF-8, declared",
    },
    Script {
        kind: "an old Japanese IPMsg",
        version: "1",
        user: b"\x8eR\x93c",
        host: b"\x89c\x8b\xc6PC",
        entry_options: 0,
        entry: b"\x8eR\x93c\x91\xbe\x98Y\0\x8aJ\x94\xad\x95\x94\0",
        message_word: 0x120,
        message: b"\x95\\\x8e\xa6\x83e\x83X\x83g \xb1\xb2\xb3\0",
        receipt_options: 0,
        first_number: 1_700_000_002,
        nick: "山田太郎",
        group: "開発部",
        dialect: "ipmsg",
        text: "表示テスト ｱｲｳ",
        remark: "Shift_JIS, found from the bytes alone",
        reply: "了解です",
        reply_bytes: b"\x97\xb9\x89\xf0\x82\xc5\x82\xb7\0",
        reply_remark: "Shift_JIS, as it writes itself",
    },
    Script {
        kind: "iptux on Linux",
        version: "1_iptux 0.8.3",
        user: b"root",
        host: b"h1",
        entry_options: 0x100,
        entry: b"\xd0\xa1\xc3\xf7\0\xb2\xe2\xca\xd4\xd7\xe9\0icon-tux.png\0utf-8\0",
        message_word: 0x120,
        message: b"\xc4\xe3\xba\xc3\xa3\xac\xca\xc0\xbd\xe7 hello\0",
        receipt_options: 0x100,
        first_number: 9,
        nick: "小明",
        group: "测试组",
        dialect: "iptux",
        text: "你好，世界 hello",
        remark: "GB18030, though its entry says utf-8",
        reply: "谢谢",
        reply_bytes: b"\xd0\xbb\xd0\xbb\0",
        reply_remark: "GB18030; its receipt is 0x121",
    },
];

/// What went wrong with a peer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{0}")]
    Missing(#[from] Missing),
    #[error("cannot speak: {0}")]
    Socket(#[from] io::Error),
}

/// A peer with its script and its sockets.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) script: &'static Script,
    peer: Peer,
    next_number: u64,
}

impl Actor {
    /// Opens the sockets of this script's peer.
    pub(super) fn new(script: &'static Script, addr: Ipv4Addr, port: u16) -> io::Result<Self> {
        Ok(Self { script, peer: Peer::new(addr, port)?, next_number: script.first_number })
    }

    /// Its address.
    pub(super) fn addr(&self) -> SocketAddr {
        self.peer.addr()
    }

    /// Waits for our entry and answers it.
    pub(super) async fn answer_entry(&mut self) -> Result<(), Failed> {
        let entry = self.expect(|packet, heard| packet.command == 0x01 && heard.broadcast).await?;
        let answer = self.packet(0x03 | self.script.entry_options, self.script.entry);
        Ok(self.peer.send(&answer, entry.from).await?)
    }

    /// Says its text to the node and waits for the receipt that names its number.
    pub(super) async fn say_and_be_confirmed(&mut self, node: SocketAddr) -> Result<(), Failed> {
        let number = self.next_number.to_string();
        let message = self.packet(self.script.message_word, self.script.message);
        self.peer.send(&message, node).await?;
        self.expect(|packet, _| packet.command == 0x21 && text(packet.rest) == number.as_bytes())
            .await?;
        Ok(())
    }

    /// Waits for the announcement, byte for byte, and answers nothing.
    pub(super) async fn hear_announcement(&mut self) -> Result<(), Failed> {
        let heard = |packet: &Fields<'_>, heard: &Heard| {
            packet.command == 0x20
                && packet.options & 0x400 != 0
                && heard.broadcast
                && packet.rest == ANNOUNCEMENT_BYTES
        };
        self.expect(heard).await?;
        Ok(())
    }

    /// Waits for our message to it, byte for byte, and confirms it.
    pub(super) async fn confirm_reply(&mut self) -> Result<(), Failed> {
        let expected = self.script.reply_bytes;
        let wanted = |packet: &Fields<'_>, _: &Heard| {
            packet.command == 0x20 && packet.options & 0x100 != 0 && packet.rest == expected
        };
        let heard = self.expect(wanted).await?;
        let number = Fields::of(&heard.bytes).map(|packet| packet.number.to_vec());
        let mut body = number.unwrap_or_default();
        body.push(0);
        let receipt = self.packet(0x21 | self.script.receipt_options, &body);
        Ok(self.peer.send(&receipt, heard.from).await?)
    }

    /// Waits for our goodbye.
    pub(super) async fn hear_goodbye(&mut self) -> Result<(), Failed> {
        self.expect(|packet, heard| packet.command == 0x02 && heard.broadcast).await?;
        Ok(())
    }

    async fn expect(
        &mut self,
        wanted: impl Fn(&Fields<'_>, &Heard) -> bool,
    ) -> Result<Heard, Missing> {
        self.peer
            .expect(PATIENCE, |heard| {
                Fields::of(&heard.bytes).is_some_and(|packet| wanted(&packet, heard))
            })
            .await
    }

    fn packet(&mut self, word: u32, body: &[u8]) -> Vec<u8> {
        let mut packet = format!("{}:{}:", self.script.version, self.next_number).into_bytes();
        self.next_number += 1;
        packet.extend_from_slice(self.script.user);
        packet.push(b':');
        packet.extend_from_slice(self.script.host);
        packet.extend_from_slice(format!(":{word}:").as_bytes());
        packet.extend_from_slice(body);
        packet
    }
}

/// The fields a script looks at.
struct Fields<'a> {
    number: &'a [u8],
    command: u32,
    options: u32,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(datagram: &'a [u8]) -> Option<Self> {
        let mut fields = datagram.splitn(6, |&byte| byte == b':');
        let number = fields.nth(1)?;
        let word: u32 = std::str::from_utf8(fields.nth(2)?).ok()?.parse().ok()?;
        Some(Self { number, command: word & 0xff, options: word & !0xff, rest: fields.next()? })
    }
}

/// A body without its NULs.
fn text(body: &[u8]) -> &[u8] {
    body.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trap_in_the_first_script_is_real() {
        let thanks = text(SCRIPTS[0].message);
        assert_eq!(thanks, b"\xd0\xbb\xd0\xbb");
        assert!(std::str::from_utf8(thanks).is_ok());
    }
}

//! The command word: its low byte names the command, its high 24 bits are options.
//!
//! Numbers are open: a command or an option nobody has named yet survives reading, writing and
//! printing. The same option bit means different things under different commands, so the names of
//! bits live in one module per kind of packet: [`entry`], [`message`], [`request`]
//! (wire reference, section 3).

use std::fmt;

/// What a packet asks or tells: the low byte of the command word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Command(pub u8);

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Command {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name in the specification, without its `IPMSG_`; none for an unknown number.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

commands! {
    /// `IPMSG_NOOPERATION`: wakes the receiver's ARP entry, asks nothing.
    NOOPERATION = 0x00;
    /// `IPMSG_BR_ENTRY`: "I am here"; the others answer with [`Command::ANSENTRY`].
    BR_ENTRY = 0x01;
    /// `IPMSG_BR_EXIT`: "I leave".
    BR_EXIT = 0x02;
    /// `IPMSG_ANSENTRY`: answer to an entry. Never answered.
    ANSENTRY = 0x03;
    /// `IPMSG_BR_ABSENCE` (also `BR_NOTIFY`): name, group or absence changed. Never answered.
    BR_ABSENCE = 0x04;
    /// `IPMSG_BR_ISGETLIST`: old form of the question for a host list.
    BR_ISGETLIST = 0x10;
    /// `IPMSG_OKGETLIST`: "ask me for the host list".
    OKGETLIST = 0x11;
    /// `IPMSG_GETLIST`: asks for the host list from an index on.
    GETLIST = 0x12;
    /// `IPMSG_ANSLIST`: a part of the host list.
    ANSLIST = 0x13;
    /// `IPMSG_ANSLIST_DICT`: a host list as IPDict.
    ANSLIST_DICT = 0x14;
    /// `IPMSG_BR_ISGETLIST2`: who can send me a host list?
    BR_ISGETLIST2 = 0x18;
    /// `IPMSG_SENDMSG`: a message.
    SENDMSG = 0x20;
    /// `IPMSG_RECVMSG`: receipt for a message. Never answered.
    RECVMSG = 0x21;
    /// Group message of FeiQ, multicast (dialect reference, section 9).
    FEIQ_GROUP_MESSAGE = 0x23;
    /// `IPMSG_READMSG`: a sealed message was opened.
    READMSG = 0x30;
    /// `IPMSG_DELMSG`: a sealed message was thrown away unread.
    DELMSG = 0x31;
    /// `IPMSG_ANSREADMSG`: receipt for a [`Command::READMSG`]. Never answered.
    ANSREADMSG = 0x32;
    /// `IPMSG_GETINFO`: which program are you?
    GETINFO = 0x40;
    /// `IPMSG_SENDINFO`: program and version as text.
    SENDINFO = 0x41;
    /// `IPMSG_GETABSENCEINFO`: what does your absence say?
    GETABSENCEINFO = 0x50;
    /// `IPMSG_SENDABSENCEINFO`: the absence text.
    SENDABSENCEINFO = 0x51;
    /// `IPMSG_GETFILEDATA`: fetch a file, over TCP.
    GETFILEDATA = 0x60;
    /// `IPMSG_RELEASEFILES`: the receiver gives up its right to offered files.
    RELEASEFILES = 0x61;
    /// `IPMSG_GETDIRFILES`: fetch a folder, over TCP.
    GETDIRFILES = 0x62;
    /// `IPMSG_GETPUBKEY`: asks for a public key.
    GETPUBKEY = 0x72;
    /// `IPMSG_ANSPUBKEY`: a public key.
    ANSPUBKEY = 0x73;
    /// Probe of FeiQ ("a chat window was opened"), answered by [`Command::FEIQ_PROBE_ANSWER`].
    FEIQ_PROBE = 0x77;
    /// Answer of FeiQ to a probe.
    FEIQ_PROBE_ANSWER = 0x78;
    /// FeiQ: the other side is typing.
    FEIQ_TYPING = 0x79;
    /// FeiQ: the other side stopped typing.
    FEIQ_TYPING_END = 0x7a;
    /// `IPMSG_DIR_POLL` of the member master.
    DIR_POLL = 0xb0;
    /// FeiQ: a fragment of a picture.
    FEIQ_IMAGE_FRAGMENT = 0xc0;
    /// FeiQ: acknowledgement of a picture fragment.
    FEIQ_IMAGE_ACK = 0xc1;
    /// FeiQ: presence in a group, multicast.
    FEIQ_GROUP_PRESENCE = 0xc9;
    /// FeiQ: knock, shakes the other side's window.
    FEIQ_KNOCK = 0xd1;
    /// FeiQ: answer to a knock.
    FEIQ_KNOCK_ANSWER = 0xd2;
    /// iptux: signature text of a user.
    IPTUX_SEND_SIGN = 0xfc;
    /// iptux: asks for the shared files.
    IPTUX_ASK_SHARED = 0xff;
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "0x{:02x}", self.0),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

bitflags::bitflags! {
    /// The option bits of a command word, unknown ones included. Names are in [`entry`],
    /// [`message`] and [`request`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
    pub struct Options: u32 {
        const _ = !0xff;
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options({:#010x})", self.bits())
    }
}

macro_rules! option_bits {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        use super::Options;
        $($(#[$doc])* pub const $name: Options = Options::from_bits_retain($value);)*

        /// Every named bit of this kind of packet, lowest first.
        pub const NAMES: &[(Options, &str)] = &[$(($name, stringify!($name)),)*];
    };
}

/// Option bits of entry, absence, exit and no-operation packets, and of a host's status.
pub mod entry {
    option_bits! {
        /// `IPMSG_ABSENCEOPT`: the user is away.
        ABSENCE = 0x0000_0100;
        /// `IPMSG_SERVEROPT`: reserved.
        SERVER = 0x0000_0200;
        /// `IPMSG_DIALUPOPT`: reach me by unicast.
        DIALUP = 0x0001_0000;
        /// `IPMSG_CAPFILEENCOPT`: can encrypt file transfers.
        CAP_FILE_ENCRYPT = 0x0004_0000;
        /// `IPMSG_FILEATTACHOPT`: can send files.
        FILE_ATTACH = 0x0020_0000;
        /// `IPMSG_ENCRYPTOPT`: can encrypt.
        ENCRYPT = 0x0040_0000;
        /// `IPMSG_UTF8OPT`: this packet is UTF-8.
        UTF8 = 0x0080_0000;
        /// `IPMSG_CAPUTF8OPT`: can read UTF-8.
        CAP_UTF8 = 0x0100_0000;
        /// `IPMSG_CAPIPDICTOPT`: can read IPDict.
        CAP_IPDICT = 0x0200_0000;
        /// `IPMSG_ENCEXTMSGOPT`: can read lists inside the sealed text.
        ENCRYPT_EXTENSION = 0x0400_0000;
        /// `IPMSG_CLIPBOARDOPT`: can read pictures inside a message.
        CLIPBOARD = 0x0800_0000;
        /// `IPMSG_DIR_MASTER`: is a member master.
        DIR_MASTER = 0x1000_0000;
    }
}

/// Option bits of messages and their kin.
pub mod message {
    option_bits! {
        /// `IPMSG_SENDCHECKOPT`: send me a receipt.
        SEND_CHECK = 0x0000_0100;
        /// `IPMSG_SECRETOPT`: sealed; hidden until the reader opens it.
        SECRET = 0x0000_0200;
        /// `IPMSG_BROADCASTOPT`: went to everybody; earns no receipt.
        BROADCAST = 0x0000_0400;
        /// `IPMSG_MULTICASTOPT`: has several recipients.
        MULTICAST = 0x0000_0800;
        /// `IPMSG_AUTORETOPT`: written by a machine; never answered.
        AUTO_RETURN = 0x0000_2000;
        /// `IPMSG_RETRYOPT`: repeated question for a host list.
        RETRY = 0x0000_4000;
        /// `IPMSG_PASSWORDOPT`: locked.
        PASSWORD = 0x0000_8000;
        /// `IPMSG_NOLOGOPT`: do not log.
        NO_LOG = 0x0002_0000;
        /// `IPMSG_NOADDLISTOPT`: do not add the sender to the list of hosts.
        NO_ADD_LIST = 0x0008_0000;
        /// `IPMSG_READCHECKOPT`: tell me when it was read.
        READ_CHECK = 0x0010_0000;
        /// `IPMSG_FILEATTACHOPT`: a file list follows.
        FILE_ATTACH = 0x0020_0000;
        /// `IPMSG_ENCRYPTOPT`: the text is encrypted.
        ENCRYPT = 0x0040_0000;
        /// `IPMSG_UTF8OPT`: the whole packet is UTF-8.
        UTF8 = 0x0080_0000;
        /// `IPMSG_CAPUTF8OPT`: the sender can read UTF-8.
        CAP_UTF8 = 0x0100_0000;
        /// `IPMSG_ENCEXTMSGOPT`: lists are inside the encrypted text.
        ENCRYPT_EXTENSION = 0x0400_0000;
        /// iptux: the list names shared files, not an offer.
        IPTUX_SHARED = 0x8000_0000;
    }
}

/// Option bits of file requests on TCP.
pub mod request {
    option_bits! {
        /// `IPMSG_ENCFILEOPT`: the answer is an encrypted stream.
        ENCRYPT_FILE = 0x0000_0800;
        /// `IPMSG_ENCRYPTOPT`: the request is encrypted.
        ENCRYPT = 0x0040_0000;
        /// `IPMSG_UTF8OPT`: names in the answer are UTF-8.
        UTF8 = 0x0080_0000;
    }
}

/// The fifth field of a packet: decimal, 32 bits; command in the low byte, options above it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct CommandWord(pub u32);

impl CommandWord {
    /// Puts a command and its options together.
    pub const fn new(command: Command, options: Options) -> Self {
        Self(options.bits() & !0xff | command.0 as u32)
    }

    /// The low byte. Receipts of iptux carry an option bit (0x121), so compare this, not the word.
    pub const fn command(self) -> Command {
        Command(self.0.to_le_bytes()[0])
    }

    /// The high 24 bits.
    pub const fn options(self) -> Options {
        Options::from_bits_retain(self.0 & !0xff)
    }
}

/// The number a sender gave a packet. Ours stay below 2^31; readers need 64 bits
/// (dialect reference of FeiQ, section 0).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct PacketNo(pub u64);

impl PacketNo {
    /// Whether `reference`, read from a receipt, means this packet. The official client prints
    /// references signed, so numbers are compared modulo 2^32 (wire reference, 6.4).
    pub const fn matches(self, reference: Self) -> bool {
        self.0 & 0xffff_ffff == reference.0 & 0xffff_ffff
    }

    /// The packet of ours that this reference means; ours are below 2^31.
    #[must_use]
    pub const fn as_ours(self) -> Self {
        Self(self.0 & 0xffff_ffff)
    }
}

impl fmt::Display for PacketNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for PacketNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketNo({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_splits_into_command_and_options() {
        let word = CommandWord(0x0020_0121);
        assert_eq!(word.command(), Command::RECVMSG);
        assert_eq!(word.options(), message::SEND_CHECK | message::FILE_ATTACH);
        assert_eq!(CommandWord::new(word.command(), word.options()), word);
    }

    #[test]
    fn unknown_commands_print_as_hex() {
        assert_eq!(Command(0x99).to_string(), "0x99");
        assert_eq!(Command::ANSENTRY.to_string(), "ANSENTRY");
    }

    #[test]
    fn references_match_modulo_two_to_the_32() {
        assert!(PacketNo(3_000_000_000).matches(PacketNo(3_000_000_000)));
        assert!(PacketNo(0x1_0000_0005).matches(PacketNo(5)));
        assert!(!PacketNo(4).matches(PacketNo(5)));
    }
}

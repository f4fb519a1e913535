//! Presence: what entry, answer, absence, exit and no-operation packets say of their sender.
//!
//! The body is `nick NUL group`, and for newer clients UTF-8 lines behind it (wire reference,
//! 4.3 and 5).

use super::command::{Command, CommandWord, Options, entry};
use super::packet::{Head, RawPacket, name};
use super::text::{Charset, Ladder, Office, Verdict};

/// A sender's account of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    /// Nickname; may be empty.
    pub nick: String,
    /// Group; may be empty.
    pub group: String,
    /// Charset of nickname and group in the head of the body.
    pub charset: Verdict,
    /// Version of the client, the `VS` line: `type:major:minor:revision`.
    pub version: Option<String>,
    /// Log-on name from the `UN` line; taken out by [`super::Packet::read`].
    pub(super) user: Option<String>,
    /// Computer name from the `HN` line; taken out by [`super::Packet::read`].
    pub(super) host: Option<String>,
}

impl Presence {
    /// Reads the body of an entry packet. The UTF-8 lines count only with `CAPUTF8OPT`; nickname
    /// and group are not taken from the lines of an `ANSENTRY` (wire reference, 5).
    pub(super) fn read(raw: &RawPacket<'_>, ladder: &Ladder) -> Self {
        let mut sections = raw.sections();
        let (first, second) = (sections.next(), sections.next());
        let early = first.is_some_and(|first| first.starts_with(b"\n"));
        let group = if early { &b""[..] } else { first.unwrap_or_default() };
        let lines = if early { first } else { second };
        let charset = ladder.judge(&[raw.main(), group]);
        let mut presence = Self {
            nick: name(raw.main(), charset.charset),
            group: name(group, charset.charset),
            charset,
            version: None,
            user: None,
            host: None,
        };
        if raw.options().contains(entry::CAP_UTF8) {
            let renames = raw.command() != Command::ANSENTRY;
            for line in lines.unwrap_or_default().split(|&byte| byte == b'\n') {
                presence.read_line(line, renames);
            }
        }
        presence
    }

    fn read_line(&mut self, line: &[u8], renames: bool) {
        let Some((key, value)) = line.split_at_checked(3) else { return };
        let value = name(value, Charset::UTF_8);
        match key {
            b"UN:" if !value.is_empty() => self.user = Some(value),
            b"HN:" if !value.is_empty() => self.host = Some(value),
            b"NN:" if renames => self.nick = value,
            b"GN:" if renames => self.group = value,
            b"VS:" => self.version = Some(value),
            _ => {}
        }
    }
}

/// How much of ourselves a presence packet of ours tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Names in the office charset, and one ASCII line with our version: the only form every
    /// client tried reads right (`iptux-dialect.md`).
    Plain,
    /// Names in the office charset, and all names again in UTF-8 lines. Breaks iptux and FeiQ.
    Full,
}

/// Our own account of ourselves.
#[derive(Clone, Copy, Debug)]
pub struct Announcement<'a> {
    /// The first four fields.
    pub head: Head<'a>,
    /// Nickname.
    pub nick: &'a str,
    /// Group.
    pub group: &'a str,
    /// The office's charset.
    pub office: Office,
    /// Version of this program: major, minor, patch.
    pub version: [u32; 3],
}

/// The type we write in our `VS` line; no other client has it (wire reference, end of section 4).
pub const VERSION_TYPE: &str = "00F10001";

impl Announcement<'_> {
    /// Writes an entry packet of ours.
    pub fn emit(&self, command: Command, options: Options, form: Form) -> Vec<u8> {
        let charset = self.office.own();
        let encode = |text: &str| {
            let clean: String = text.chars().filter(|c| !c.is_control()).collect();
            charset.encode(&clean, |_| "?".to_owned())
        };
        let mut out = Vec::with_capacity(256);
        self.head.emit(CommandWord::new(command, options), charset, &mut out);
        out.extend_from_slice(&encode(self.nick));
        out.push(0);
        out.extend_from_slice(&encode(self.group));
        out.extend_from_slice(b"\0\n");
        if form == Form::Full {
            for (key, value) in [
                ("UN:", self.head.user),
                ("HN:", self.head.host),
                ("NN:", self.nick),
                ("GN:", self.group),
            ] {
                out.extend_from_slice(key.as_bytes());
                out.extend(value.bytes().filter(|byte| !byte.is_ascii_control()));
                out.push(b'\n');
            }
        }
        let [major, minor, patch] = self.version;
        out.extend_from_slice(format!("VS:{VERSION_TYPE}:{major}:{minor}:{patch}").as_bytes());
        out
    }
}

//! Presence: what entry, answer, absence, exit and no-operation packets say of their sender.
//!
//! The body is `nick NUL group`, and for newer clients UTF-8 lines behind it (wire reference,
//! 4.3 and 5).

use std::borrow::Cow;

use super::body::bracketed;
use super::command::{Command, CommandWord, Options, entry};
use super::packet::{FIELD_MAX, Head, NAME_MAX, RawPacket, name, name_bytes};
use super::scan;
use super::text::{self, Charset, Ladder, Office, Sure, Verdict};

/// A sender's account of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    /// Nickname; may be empty.
    pub nick: String,
    /// Group; may be empty.
    pub group: String,
    /// Charset of nickname and group in the head of the body. [`Sure::Declared`] if the UTF-8 lines
    /// say the same names again and so prove it: this peer's undeclared texts are in it too.
    pub charset: Verdict,
    /// Version of the client, the `VS` line: `type:major:minor:revision`.
    pub version: Option<String>,
}

/// What the UTF-8 lines of an entry packet say about its header.
#[derive(Default)]
pub(super) struct Renamed {
    /// Log-on name from the `UN` line.
    pub(super) user: Option<String>,
    /// Computer name from the `HN` line.
    pub(super) host: Option<String>,
    /// The charset of the header, if the lines prove it.
    pub(super) proof: Option<Verdict>,
}

impl Presence {
    /// Reads the body of an entry packet. The UTF-8 lines count only with `CAPUTF8OPT`; nickname
    /// and group are not taken from the lines of an `ANSENTRY` (wire reference, 5; vector
    /// `ansentry-trailer-nn`).
    pub(super) fn read(raw: &RawPacket<'_>, ladder: &Ladder) -> (Self, Renamed) {
        let mut sections = raw.sections();
        let (first, second) = (sections.next(), sections.next());
        let early = first.is_some_and(|first| first.starts_with(b"\n"));
        let group = if early { &b""[..] } else { first.unwrap_or_default() };
        let lines = if early { first } else { second };
        let lines = lines.filter(|_| raw.options().contains(entry::CAP_UTF8));
        let lines = Lines::read(lines.unwrap_or_default());

        let judged = ladder.judge(&[raw.main(), group]);
        let proof = lines
            .prove([raw.user, raw.host, raw.main(), group], judged.charset)
            .filter(|_| !ladder.declared_utf8)
            .map(|charset| Verdict { charset, sure: Sure::Declared });
        let charset = proof.unwrap_or(judged);
        let kept = |line: Option<Cow<'_, str>>| {
            let mut line = line?.into_owned();
            text::cut(&mut line, NAME_MAX);
            Some(line)
        };
        let (nick, group_line) = match raw.command() {
            Command::ANSENTRY => (None, None),
            _ => (lines.nick, lines.group),
        };
        let presence = Self {
            nick: kept(nick).unwrap_or_else(|| name(raw.main(), charset.charset)),
            group: kept(group_line).unwrap_or_else(|| name(group, charset.charset)),
            charset,
            version: kept(lines.version),
        };
        let renamed = Renamed {
            user: kept(lines.user.filter(|user| !user.is_empty())),
            host: kept(lines.host.filter(|host| !host.is_empty())),
            proof,
        };
        (presence, renamed)
    }
}

/// The UTF-8 lines of an entry packet; keys of three bytes, in any order, unknown ones skipped.
#[derive(Default)]
struct Lines<'a> {
    user: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
    nick: Option<Cow<'a, str>>,
    group: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
}

impl<'a> Lines<'a> {
    fn read(section: &'a [u8]) -> Self {
        let mut lines = Self::default();
        if !section.starts_with(b"\n") {
            return lines;
        }
        for line in scan::split(section, b'\n') {
            let Some((key, value)) = line.split_at_checked(3) else { continue };
            let place = match key {
                b"UN:" => &mut lines.user,
                b"HN:" => &mut lines.host,
                b"NN:" => &mut lines.nick,
                b"GN:" => &mut lines.group,
                b"VS:" => &mut lines.version,
                _ => continue,
            };
            *place = Some(Charset::UTF_8.decode(name_bytes(value)));
        }
        lines
    }

    /// The charset in which the names of the head (log-on name, computer name, nickname, group)
    /// are the names of these lines; none if no name goes beyond ASCII, or nothing fits.
    ///
    /// This is the only certain word on a peer's code page: official clients write the head in it
    /// and declare nothing. A line with the version alone proves nothing.
    fn prove(&self, head: [&[u8]; 4], likely: Charset) -> Option<Charset> {
        const CODE_PAGES: [Charset; 5] =
            [Charset::GBK, Charset::SHIFT_JIS, Charset::BIG5, Charset::EUC_KR, Charset::UTF_8];
        let said = [&self.user, &self.host, &self.nick, &self.group];
        let pairs = || {
            head.into_iter()
                .zip(said)
                .filter_map(|(head, line)| Some((name_bytes(head), line.as_deref()?)))
                .filter(|(head, _)| !head.is_ascii())
        };
        pairs().next()?;
        let proved = std::iter::once(likely)
            .chain(CODE_PAGES)
            .find(|&charset| pairs().all(|(head, line)| repeats(head, line, charset)))?;
        let wide = proved == Charset::GBK && pairs().any(|(head, _)| !Charset::fits_gbk(head));
        Some(if wide { Charset::GB18030 } else { proved })
    }
}

/// Whether `head` is `line` in this charset. What the code page lacked is one `?` in the head, or
/// two for a character beyond U+FFFF (wire reference, 2.5); one of us writes its number in brackets.
fn repeats(head: &[u8], line: &str, charset: Charset) -> bool {
    // Official names have at most 79 bytes; longer ones prove nothing.
    let mut buffer = [0; 3 * FIELD_MAX + 16];
    let head = match head.len() {
        ..=FIELD_MAX => charset.decode_into(head, &mut buffer),
        _ => None,
    };
    let Some(head) = head else { return false };
    let mut head = head.chars();
    for said in line.chars() {
        match head.next() {
            Some(same) if same == said => {}
            Some('?') if !said.is_ascii() => {
                if said > '\u{ffff}' && head.as_str().starts_with('?') {
                    head.next();
                }
            }
            Some('[') if !said.is_ascii() => {
                let word = bracketed(said);
                match head.as_str().strip_prefix(word.get(1..).unwrap_or_default()) {
                    Some(rest) => head = rest.chars(),
                    None => return false,
                }
            }
            _ => return false,
        }
    }
    head.next().is_none()
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
    /// Writes an entry packet of ours. Controls are left out of all names; what the charset lacks of
    /// nickname and group is a word in brackets, in log-on and computer name, by which a peer is
    /// known again, `?`.
    pub fn emit(&self, command: Command, options: Options, form: Form) -> Vec<u8> {
        let charset = self.office.own();
        let mut out = Vec::with_capacity(256);
        self.head.emit(CommandWord::new(command, options), charset, &mut out);
        for text in [self.nick, self.group] {
            let clean: String = text.chars().filter(|character| !character.is_control()).collect();
            charset.encode_into_vec(&clean, bracketed, &mut out);
            out.push(0);
        }
        out.push(b'\n');
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Body, Hint, Packet};

    fn entry(head_charset: Charset, nick: &str, line: &str) -> Packet {
        let mut bytes = b"1:1:u:h:16777217:".to_vec();
        bytes.extend(head_charset.encode(nick, |_| "?".to_owned()));
        bytes.extend_from_slice(b"\0\0\nNN:");
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\nVS:00010002:4:99:103");
        Packet::read(&RawPacket::parse(&bytes).unwrap(), &Hint::default())
    }

    fn presence(packet: &Packet) -> &Presence {
        match &packet.body {
            Body::Presence(presence) => presence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_that_repeat_the_head_prove_its_charset() {
        for (charset, nick) in [
            (Charset::GBK, "谢谢"),
            (Charset::GBK, "陈珺"),
            (Charset::SHIFT_JIS, "林"),
            (Charset::SHIFT_JIS, "ﾔﾏﾀﾞ"),
            (Charset::BIG5, "謝謝"),
            (Charset::EUC_KR, "안녕하세요"),
            (Charset::UTF_8, "да"),
            (Charset::GB18030, "谢🙂"),
        ] {
            let packet = entry(charset, nick, nick);
            let presence = presence(&packet);
            assert_eq!(presence.charset, Verdict { charset, sure: Sure::Declared }, "{nick}");
            assert_eq!(presence.nick, nick);
        }
    }

    #[test]
    fn characters_the_code_page_lacks_do_not_spoil_the_proof() {
        let packet = entry(Charset::GBK, "张🙂三", "张🙂三");
        assert_eq!(presence(&packet).charset.sure, Sure::Declared);
        let twice = entry(Charset::GBK, "张??三☕", "张🙂三☕");
        assert_eq!(presence(&twice).charset.charset, Charset::GBK);
        assert_eq!(presence(&twice).charset.sure, Sure::Declared);
        assert_eq!(presence(&twice).nick, "张🙂三☕");
    }

    fn ours<'a>(
        (user, host): (&'a str, &'a str),
        nick: &'a str,
        group: &'a str,
    ) -> Announcement<'a> {
        let head = Head { version: "1", number: crate::wire::PacketNo(5), user, host };
        Announcement { head, nick, group, office: Office::Auto, version: [0, 1, 0] }
    }

    #[test]
    fn what_the_charset_lacks_of_our_names_is_a_word_that_is_no_question_mark() {
        let announcement = ours(("u", "h"), "小🙂王", "研发🚀");
        let read = |form| {
            let bytes = announcement.emit(Command::BR_ENTRY, entry::CAP_UTF8, form);
            let packet = Packet::read(&RawPacket::parse(&bytes).unwrap(), &Hint::default());
            let Presence { nick, group, charset, .. } = presence(&packet).clone();
            (nick, group, charset)
        };
        let (nick, group, _) = read(Form::Plain);
        assert_eq!((nick.as_str(), group.as_str()), ("小[U+1F642]王", "研发[U+1F680]"));
        let (nick, group, charset) = read(Form::Full);
        assert_eq!((nick.as_str(), group.as_str()), ("小🙂王", "研发🚀"));
        assert_eq!(charset, Verdict { charset: Charset::GBK, sure: Sure::Declared });
        for other in ["小[U+1F643]王", "小[U+1F642王", "小[王"] {
            let packet = entry(Charset::GBK, other, "小🙂王");
            assert_ne!(presence(&packet).charset.sure, Sure::Declared, "{other}");
        }
    }

    #[test]
    fn lines_that_say_something_else_prove_nothing() {
        let packet = entry(Charset::GBK, "张三", "李四");
        assert_eq!(presence(&packet).charset.sure, Sure::Assumed);
        assert_eq!(presence(&packet).nick, "李四");
    }

    #[test]
    fn a_version_line_alone_proves_nothing() {
        let bytes = b"1:1:u:h:16777217:\xd0\xbb\xd0\xbb\0\0\nVS:00F10001:0:1:0";
        let packet = Packet::read(&RawPacket::parse(bytes).unwrap(), &Hint::default());
        assert_eq!(presence(&packet).nick, "谢谢");
        assert_eq!(presence(&packet).charset.sure, Sure::Assumed);
    }

    #[test]
    fn what_the_lines_prove_holds_for_the_header() {
        let mut bytes = b"1:1:\x97\xd1:h:16777217:\x97\xd1\0\0\nNN:".to_vec();
        bytes.extend_from_slice("林".as_bytes());
        let packet = Packet::read(&RawPacket::parse(&bytes).unwrap(), &Hint::default());
        assert_eq!((packet.user.as_str(), packet.names.charset), ("林", Charset::SHIFT_JIS));
    }

    #[test]
    fn our_entries_are_read_by_ourselves() {
        let announcement = ours(("王", "h:1"), "小\n王", "研发部");
        for form in [Form::Plain, Form::Full] {
            let bytes = announcement.emit(Command::BR_ENTRY, entry::CAP_UTF8, form);
            let packet = Packet::read(&RawPacket::parse(&bytes).unwrap(), &Hint::default());
            let presence = presence(&packet);
            assert_eq!((presence.nick.as_str(), presence.group.as_str()), ("小王", "研发部"));
            assert_eq!(presence.version.as_deref(), Some("00F10001:0:1:0"));
            assert_eq!(packet.user, "王");
            let proved = presence.charset.sure == Sure::Declared;
            assert_eq!(proved, form == Form::Full);
        }
    }
}

//! The request for an offered file or folder, the one packet a downloader sends on TCP
//! (wire reference, 8.1). Who may have what is decided elsewhere.
//!
//! ```text
//! GETFILEDATA  main = packet ":" id ":" offset [":"]
//! GETDIRFILES  main = packet ":" id [":" ...]
//! ```
//!
//! All numbers are hexadecimal, though the list that offered the file has its id in decimal. Some
//! write a third number for folders too (iptux, Mac), some leave out the last colon (iptux,
//! feiq-cli), some the NUL behind it (FeiQ).

use std::fmt::Write as _;

use memchr::memchr_iter;

use super::command::{Command, CommandWord, Options, PacketNo, request};
use super::dialect::{Habits, IdBase};
use super::packet::{Head, ParseError, RawPacket};
use super::scan;
use super::text::Charset;

/// A request for something a message offered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileRequest {
    /// Whole folder stream, or bytes alone.
    pub form: AnswerForm,
    /// Number of the message that offered it.
    pub packet: PacketNo,
    /// Its id in that message's list.
    pub file: u64,
    /// Where to begin, in bytes. 0 for a [tree](AnswerForm::Tree), whatever its third number says.
    pub offset: u64,
}

/// How the answer shall look.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AnswerForm {
    /// `GETFILEDATA`: the bytes of a file from the offset on, with no header.
    Bytes,
    /// `GETDIRFILES`: a [folder stream](super::tree). Official clients ask so for regular files
    /// too.
    Tree,
}

impl AnswerForm {
    /// The command that asks for it.
    pub fn command(self) -> Command {
        match self {
            Self::Bytes => Command::GETFILEDATA,
            Self::Tree => Command::GETDIRFILES,
        }
    }
}

/// Longest request, in bytes (threats, caps).
pub const REQUEST_MAX: usize = 4_096;

/// Why a packet is no request for a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Another command.
    #[error("no request for a file")]
    Command,
    /// The request is encrypted; it must be opened first.
    #[error("the request is encrypted")]
    Encrypted,
    /// The number of the message, the id or the offset is missing.
    #[error("a field is missing")]
    Fields,
    /// A number is not of its base, negative, or too large.
    #[error("bad number")]
    Number,
}

impl FileRequest {
    /// Reads a request in clear. `ids` is the base its sender writes file ids in
    /// ([`Habits::request_ids`]); the other numbers are always hexadecimal.
    pub fn read(raw: &RawPacket<'_>, ids: IdBase) -> Result<Self, RequestError> {
        let form = match raw.command() {
            Command::GETFILEDATA => AnswerForm::Bytes,
            Command::GETDIRFILES => AnswerForm::Tree,
            _ => return Err(RequestError::Command),
        };
        if raw.options().contains(request::ENCRYPT) {
            return Err(RequestError::Encrypted);
        }
        let mut fields = raw.main().split(|&byte| byte == b':');
        let mut field =
            || fields.next().filter(|field| !field.is_empty()).ok_or(RequestError::Fields);
        let packet = PacketNo(scan::hex(field()?).ok_or(RequestError::Number)?);
        let file = ids.read(field()?).ok_or(RequestError::Number)?;
        let offset = match form {
            AnswerForm::Bytes => offset(field()?).ok_or(RequestError::Number)?,
            AnswerForm::Tree => 0,
        };
        Ok(Self { form, packet, file, offset })
    }

    /// Writes the request in clear, for one single write: official servers read no further than
    /// their first. `options` has [`request::UTF8`] if the offer had it; it declares the charset of
    /// names in the answer, and of `head`, which is otherwise in GBK.
    pub fn emit(&self, head: &Head<'_>, options: Options, habits: &Habits) -> Vec<u8> {
        let charset = if options.contains(request::UTF8) { Charset::UTF_8 } else { Charset::GBK };
        let mut out = Vec::with_capacity(128);
        head.emit(CommandWord::new(self.form.command(), options), charset, &mut out);
        let mut main = format!("{:x}:{}:", self.packet.0, habits.request_ids.write(self.file));
        if self.form == AnswerForm::Bytes {
            let _ = write!(main, "{:x}:", self.offset);
        }
        out.extend_from_slice(main.as_bytes());
        if habits.request_nul {
            out.push(0);
        }
        out
    }
}

fn offset(digits: &[u8]) -> Option<u64> {
    scan::hex(digits).filter(|&offset| i64::try_from(offset).is_ok())
}

/// How much of a request has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Arrived {
    /// More must come.
    Part,
    /// A whole request, unless the piece was cut inside its last number: take it if nothing follows
    /// soon. Neither a last colon nor a NUL marks its end.
    Perhaps,
    /// Nothing more can belong to it.
    Whole,
    /// What has come will never be a request: close.
    Never,
}

impl Arrived {
    /// Judges the bytes a downloader has sent so far (FeiQ dialect, 8: read until a full request is
    /// there; wait neither for a NUL nor for the end of the stream).
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() > REQUEST_MAX {
            return Self::Never;
        }
        if bytes.first().is_some_and(|first| !first.is_ascii_digit()) {
            return Self::Never;
        }
        // Up to the fifth colon the header itself may be cut.
        let unfinished = if bytes.contains(&0) || memchr_iter(b':', bytes).count() >= 5 {
            Self::Never
        } else {
            Self::Part
        };
        let raw = match RawPacket::parse(bytes) {
            Ok(raw) => raw,
            Err(ParseError::Version | ParseError::PacketNo) => return Self::Never,
            Err(_) => return unfinished,
        };
        let Some(rest) = raw.rest else { return unfinished };
        let numbers = match raw.command() {
            Command::GETFILEDATA => 3,
            Command::GETDIRFILES => 2,
            _ => return Self::Never,
        };
        if rest.contains(&0) {
            return Self::Whole;
        }
        let colons = memchr_iter(b':', rest).count();
        match colons {
            // An envelope ends where its NUL stands; its fields are not those of the request.
            _ if raw.options().contains(request::ENCRYPT) => Self::Part,
            _ if colons >= numbers => Self::Whole,
            _ if colons + 1 == numbers && !rest.ends_with(b":") => Self::Perhaps,
            _ => Self::Part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dialect::{FEIQ, IPMSG};

    fn read(packet: &str) -> Result<FileRequest, RequestError> {
        FileRequest::read(&RawPacket::parse(packet.as_bytes()).unwrap(), IdBase::Hexadecimal)
    }

    #[test]
    fn a_bad_request_names_what_is_wrong() {
        for (main, error) in [
            ("65536dc8:3f2a1b38", RequestError::Fields),
            ("65536dc8:3f2a1b38:", RequestError::Fields),
            ("65536dc8::0:0", RequestError::Fields),
            ("", RequestError::Fields),
            ("65536dc8:1:-1", RequestError::Number),
            ("65536dc8:1:ffffffffffffffffff", RequestError::Number),
            ("65536dc8:1:8000000000000000", RequestError::Number),
            ("0x1:1:0", RequestError::Number),
            ("1:g:0", RequestError::Number),
        ] {
            assert_eq!(read(&format!("1:1:u:h:96:{main}\0")), Err(error), "{main}");
        }
        assert_eq!(read("1:1:u:h:32:1:2:3"), Err(RequestError::Command));
        assert_eq!(read("1:1:u:h:4194402:1:2:3"), Err(RequestError::Encrypted));
    }

    #[test]
    fn a_folder_needs_two_numbers_and_may_have_three() {
        let folder = FileRequest {
            form: AnswerForm::Tree,
            packet: PacketNo(0x10),
            file: 0x30d43,
            offset: 0,
        };
        for main in ["10:30d43:", "10:30d43", "10:30D43:0", "10:30d43:5:\0", "10:30d43:-"] {
            assert_eq!(read(&format!("1:1:u:h:98:{main}")), Ok(folder), "{main}");
        }
    }

    #[test]
    fn ids_are_read_in_the_base_their_writer_uses() {
        let bytes = b"1:1:u:h:96:10:10:10:\0";
        let raw = RawPacket::parse(bytes).unwrap();
        let file = |ids| FileRequest::read(&raw, ids).unwrap();
        assert_eq!(file(IdBase::Hexadecimal).file, 0x10);
        assert_eq!(file(IdBase::Decimal).file, 10);
        assert_eq!(
            (file(IdBase::Decimal).packet, file(IdBase::Decimal).offset),
            (PacketNo(16), 16)
        );
    }

    #[test]
    fn a_request_ends_in_nul_but_for_feiq() {
        let head = Head { version: "1", number: PacketNo(7), user: "u", host: "h" };
        let file = FileRequest {
            form: AnswerForm::Bytes,
            packet: PacketNo(0x2f),
            file: 10_000,
            offset: 0x1000,
        };
        let emit = |habits| file.emit(&head, Options::empty(), habits);
        assert_eq!(emit(&IPMSG.habits), b"1:7:u:h:96:2f:2710:1000:\0");
        assert_eq!(emit(&FEIQ.habits), b"1:7:u:h:96:2f:2710:1000:");
    }

    #[test]
    fn a_request_is_whole_as_soon_as_nothing_can_follow() {
        use Arrived::{Never, Part, Perhaps, Whole};
        for (bytes, arrived) in [
            ("", Part),
            ("1", Part),
            ("1_lbt6_0#128:7:u:h", Part),
            ("1:7:u:h:", Part),
            ("1:7:u:h:9", Part),
            ("1:7:u:h:96", Part),
            ("1:7:u:h:96:", Part),
            ("1:7:u:h:96:2f:1:", Part),
            ("1:7:u:h:96:2f:1:0", Perhaps),
            ("1:7:u:h:96:2f:1:0:", Whole),
            ("1:7:u:h:96:2f:1:0\0", Whole),
            ("1:7:u:h:98:2f", Part),
            ("1:7:u:h:98:2f:1", Perhaps),
            ("1:7:u:h:98:2f:1:", Whole),
            ("1:7:u:h:98:2f:1:0", Whole),
            ("1:7:u:h:96:\0", Whole),
            ("1:7:u:h:12585058:41900004:", Part),
            ("1:7:u:h:12585058:41900004:aa:bb:cc", Part),
            ("1:7:u:h:12585058:41900004:aa:bb:cc\0", Whole),
            ("1:7:u:h:32:", Never),
            ("1:7:u:h::", Never),
            ("1:7:u:h:\0", Never),
            ("1:7:u:h:96\0", Never),
            ("1:7:u\0", Never),
            ("1:x:u:h:96:", Never),
            ("GET / HTTP/1.1\r\n", Never),
            ("\0", Never),
        ] {
            assert_eq!(Arrived::of(bytes.as_bytes()), arrived, "{bytes:?}");
        }
        assert_eq!(Arrived::of(&[b'1'; REQUEST_MAX]), Part);
        assert_eq!(Arrived::of(&[b'1'; REQUEST_MAX + 1]), Never);
    }
}

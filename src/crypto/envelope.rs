//! The encrypted section of a message: a wrapped session key, the body, perhaps a signature
//! (wire reference, 9.3 and 9.4).
//!
//! Whatever is wrong with a section, [`open`] says the same. Who sent it learns nothing from the
//! error; that it is not answered either is the caller's part.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Capability, CryptoRngCore, Digest, KeyPair, KeySize, OwnKeys, PublicKey, Suite, hex};

/// The fields of a section as they came, not decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Envelope<'a> {
    /// How it was made.
    pub methods: Capability,
    /// The wrapped session key.
    pub key: &'a [u8],
    /// The encrypted body.
    pub body: &'a [u8],
    /// The signature; counts only if `methods` names a digest of ours.
    pub signature: Option<&'a [u8]>,
}

/// A section cannot be opened. It does not say why: a wrong key, a wrong padding, a field that is
/// no base64 and a method we lack must look alike from outside (threats rule 33).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("the encrypted section cannot be opened")]
pub struct OpenError;

/// Opens a section with the key its methods name.
///
/// `number` is the packet number as it stands in the packet, leading zeros included; it may be the
/// initial vector. `rng` blinds the private operation, which takes about two milliseconds with the
/// large key. The same work is done whether or not the session key could be unwrapped.
pub fn open(
    envelope: &Envelope<'_>,
    number: &[u8],
    keys: &OwnKeys,
    rng: &mut dyn CryptoRngCore,
) -> Result<Opened, OpenError> {
    // What anybody can see, first: it tells nothing and costs nothing.
    let suite = Suite::of(envelope.methods).ok_or(OpenError)?;
    let pair = keys.pair(suite.key()).ok_or(OpenError)?;
    let wrapped = suite.decode_number(envelope.key).ok_or(OpenError)?;
    let body = suite.decode(envelope.body).ok_or(OpenError)?;
    let signature = match suite.digest() {
        Some(digest) => {
            let number = envelope.signature.and_then(|text| suite.decode_number(text));
            Some((digest, number.ok_or(OpenError)?))
        }
        None => None,
    };
    if body.is_empty() || !body.len().is_multiple_of(suite.cipher().block_length()) {
        return Err(OpenError);
    }

    let length = suite.cipher().key_length();
    let session = pair.unwrap(&wrapped, rng).filter(|session| session.len() == length);
    let genuine = session.is_some();
    let session = session.unwrap_or_else(|| Zeroizing::new(vec![0; length]));
    let plain = suite.cipher().decrypt(&session, suite.iv(number).bytes(), &body);
    let plain = plain.filter(|_| genuine).ok_or(OpenError)?;
    Ok(Opened { plain, suite, signature })
}

/// What was in a section.
pub struct Opened {
    plain: Vec<u8>,
    suite: Suite,
    signature: Option<(Digest, Vec<u8>)>,
}

impl Opened {
    /// The whole plain text, NULs included; [`Plain::read`] splits it.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// How the section was made.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Whether the section is signed, by whomever.
    pub fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// Whether `signer` signed it. Signatures are made with keys of 2,048 bits; one by a smaller
    /// key counts as wrong.
    ///
    /// A good signature says that the signer once wrote this text, not to whom and not when: it
    /// covers neither the packet's number nor its recipient (wire reference, 14.7).
    pub fn signature(&self, signer: &PublicKey) -> Signature {
        match &self.signature {
            None => Signature::None,
            Some((digest, number))
                if signer.bits() >= KeySize::Rsa2048.bits()
                    && signer.verifies(&self.plain, *digest, number) =>
            {
                Signature::Good
            }
            Some(_) => Signature::Wrong,
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plain, suite, signature } = self;
        write!(f, "Opened({suite}, {} bytes, signed: {})", plain.len(), signature.is_some())
    }
}

/// What a signature is worth.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Signature {
    /// There is none.
    None,
    /// The signer wrote this text.
    Good,
    /// Somebody else did, or the text was changed.
    Wrong,
}

/// What is needed to make a section besides its text.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// How to make it: [`KeyOffer::suite`](super::KeyOffer::suite) of the recipient.
    pub suite: Suite,
    /// The recipient's key, of the suite's size.
    pub recipient: &'a PublicKey,
    /// Our pair of 2,048 bits; needed if the suite signs, unused if it does not.
    pub signer: Option<&'a KeyPair>,
    /// The number of the packet, as its text.
    pub number: &'a [u8],
}

/// Why a section was not made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The recipient's key is not of the suite's size.
    #[error("the recipient's key is not of the size that the methods need")]
    Recipient,
    /// The suite signs, and there is no pair of 2,048 bits to sign with.
    #[error("there is no key of 2048 bits to sign with")]
    Signer,
}

/// Makes a section: the main text of the packet. `plain` is [`Plain::emit`]'s; it ends with a NUL.
///
/// `rng` gives the session key and the padding around it: take the operating system's generator.
/// With a generator that repeats itself sections repeat themselves, and nothing stays secret.
#[expect(clippy::missing_panics_doc, reason = "the lengths are the cipher's own")]
pub fn seal(
    plain: &[u8],
    sealing: &Sealing<'_>,
    rng: &mut dyn CryptoRngCore,
) -> Result<String, SealError> {
    let Sealing { suite, recipient, signer, number } = *sealing;
    if recipient.size() != Some(suite.key()) {
        return Err(SealError::Recipient);
    }
    let signer = match suite.digest() {
        Some(digest) => {
            let signer = signer.filter(|pair| pair.size() == KeySize::Rsa2048);
            Some((digest, signer.ok_or(SealError::Signer)?))
        }
        None => None,
    };
    let mut session = Zeroizing::new(vec![0; suite.cipher().key_length()]);
    rng.fill_bytes(&mut session);
    let body = suite.cipher().encrypt(&session, suite.iv(number).bytes(), plain);
    let body = body.expect("key and vector have the cipher's lengths");
    let wrapped = recipient.wrap(&session, rng).ok_or(SealError::Recipient)?;

    let (wrapped, body) = (suite.encode(&wrapped), suite.encode(&body));
    let mut section = format!("{:X}:{wrapped}:{body}", suite.methods().bits());
    if let Some((digest, signer)) = signer {
        let signature = signer.sign(plain, digest, rng).ok_or(SealError::Signer)?;
        section.push(':');
        section.push_str(&suite.encode(&signature));
    }
    Ok(section)
}

/// An initial vector.
struct Iv {
    bytes: [u8; 16],
    length: usize,
}

impl Iv {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Suite {
    /// Zero, or the packet number's text filled with NULs: for AES at most 15 of its characters,
    /// for Blowfish the first 8 (wire reference, 9.3; vector `bf1024-hex-pktiv`).
    fn iv(self, number: &[u8]) -> Iv {
        let length = self.cipher.block_length();
        let mut bytes = [0; 16];
        if self.number_iv {
            for (byte, character) in bytes.iter_mut().zip(number).take(length.min(15)) {
                *byte = *character;
            }
        }
        Iv { bytes, length }
    }

    fn encode(self, bytes: &[u8]) -> String {
        if self.base64 { STANDARD.encode(bytes) } else { hex::encode(bytes) }
    }

    fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        if self.base64 { STANDARD.decode(text).ok() } else { hex::decode(text) }
    }

    /// A number, most significant byte first: some clients drop a leading zero digit.
    fn decode_number(self, text: &[u8]) -> Option<Vec<u8>> {
        if self.base64 { STANDARD.decode(text).ok() } else { hex::number(text) }
    }
}

/// The parts of a plain text (wire reference, 9.4):
///
/// ```text
/// text NUL [ files NUL [ "TO:" recipients NUL ] ]
/// recipients = *( user ":" host BEL )
/// ```
///
/// All of them in one charset, which the section does not name.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Plain<'a> {
    /// The message text, up to the first NUL.
    pub text: &'a [u8],
    /// The list of offered files; empty if there is none.
    pub files: &'a [u8],
    /// The list of recipients, the reader itself first; empty if there is none.
    pub recipients: &'a [u8],
}

impl<'a> Plain<'a> {
    const TO: &'static [u8] = b"TO:";

    /// Splits a plain text. Without `lists`, the `ENCEXTMSGOPT` of the packet, only the text
    /// counts: the official client leaves a copy of the file list behind it that stands in clear
    /// in the packet too (vector `aes2048-noext-share-clear`).
    pub fn read(plain: &'a [u8], lists: bool) -> Self {
        let mut sections = plain.split(|&byte| byte == 0);
        let text = sections.next().unwrap_or_default();
        if !lists {
            return Self { text, ..Self::default() };
        }
        let files = sections.next().unwrap_or_default();
        let recipients = sections.next().and_then(|section| section.strip_prefix(Self::TO));
        Self { text, files, recipients: recipients.unwrap_or_default() }
    }

    /// Writes the plain text. NULs inside the parts are left out.
    pub fn emit(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(
            self.text.len() + self.files.len() + Self::TO.len() + self.recipients.len() + 3,
        );
        let mut section = |head: &[u8], part: &[u8]| {
            plain.extend_from_slice(head);
            plain.extend(part.iter().filter(|&&byte| byte != 0));
            plain.push(0);
        };
        section(b"", self.text);
        if !self.files.is_empty() || !self.recipients.is_empty() {
            section(b"", self.files);
        }
        if !self.recipients.is_empty() {
            section(Self::TO, self.recipients);
        }
        plain
    }
}

impl fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, files, recipients } = self;
        write!(f, "Plain({} + {} + {} bytes)", text.len(), files.len(), recipients.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_is_zero_or_the_number_as_text() {
        let iv = |methods, number: &[u8]| {
            let suite = Suite::of(Capability::from_bits_retain(methods)).unwrap();
            suite.iv(number).bytes().to_vec()
        };
        assert_eq!(iv(0x2_0002, b"1700000002"), [0; 8]);
        assert_eq!(iv(0x10_0004, b"1700000002"), [0; 16]);
        assert_eq!(iv(0x82_0002, b"1700000002"), b"17000000");
        assert_eq!(iv(0x82_0002, b"007"), b"007\0\0\0\0\0");
        assert_eq!(iv(0x90_0004, b"1700000002"), b"1700000002\0\0\0\0\0\0");
        assert_eq!(iv(0x90_0004, b"12345678901234567890"), b"123456789012345\0");
        assert_eq!(iv(0x90_0004, b""), [0; 16]);
    }

    #[test]
    fn a_plain_text_is_split_as_it_was_written() {
        for (text, files, recipients, written) in [
            (&b"hi"[..], &b""[..], &b""[..], &b"hi\0"[..]),
            (b"", b"", b"", b"\0"),
            (b"hi", b"1:a:0:0:1:\x07", b"", b"hi\x001:a:0:0:1:\x07\0"),
            (b"hi", b"", b"u:h\x07", b"hi\0\0TO:u:h\x07\0"),
            (b"hi", b"1:a:0:0:1:\x07", b"u:h\x07", b"hi\x001:a:0:0:1:\x07\0TO:u:h\x07\0"),
        ] {
            let plain = Plain { text, files, recipients };
            assert_eq!(plain.emit(), written);
            assert_eq!(Plain::read(written, true), plain);
            assert_eq!(Plain::read(written, false), Plain { text, ..Plain::default() });
        }
    }

    #[test]
    fn a_plain_text_without_its_nul_is_a_text() {
        assert_eq!(Plain::read(b"hi", true), Plain { text: b"hi", ..Plain::default() });
        assert_eq!(Plain::read(b"", true), Plain::default());
        let odd = Plain::read(b"hi\0\0u:h\0TO:", true);
        assert_eq!((odd.files, odd.recipients), (&b""[..], &b""[..]));
    }

    #[test]
    fn nuls_inside_the_parts_are_left_out() {
        let plain = Plain { text: b"a\0b", files: b"\0", recipients: b"" };
        assert_eq!(plain.emit(), b"ab\0\0");
    }

    #[test]
    fn what_was_opened_is_not_printed() {
        let plain = Plain { text: b"secret", ..Plain::default() };
        assert_eq!(format!("{plain:?}"), "Plain(6 + 0 + 0 bytes)");
    }
}

//! How is this sealed, opened, signed? The old encryption of this field, pure: no input or output,
//! no clock, and randomness is handed in.
//!
//! ```text
//! section   = methods ":" key ":" body [ ":" signature ]
//! key       = RSA PKCS#1 v1.5 of a random session key
//! body      = AES-256-CBC or Blowfish-CBC of the plain text
//! signature = RSASSA-PKCS1-v1_5 over the plain text, with SHA-256 or SHA-1
//! ```
//!
//! [`seal`] and [`open`] are the whole of it; [`Suite::choose`] says which methods two hosts share.
//! This module knows no packets: `wire` splits the section and reads the opened bytes.
//!
//! ```
//! use feige::crypto::{self, Capability, Envelope, KeyPair, KeySize, OwnKeys, Plain, Sealing};
//! use feige::wire::Sealed;
//! use rand::rngs::OsRng;
//!
//! let mut bob = OwnKeys::default();
//! bob.insert(KeyPair::generate(KeySize::Rsa1024, &mut OsRng));
//!
//! // FeiQ asks for a key, and seals with the methods it shares with Bob.
//! let feiq = Capability::read(b"21003").unwrap();
//! let offer = bob.offer_to(feiq).unwrap();
//! let suite = offer.suite(feiq).unwrap();
//! let sealing = Sealing { suite, recipient: &offer.key, signer: None, number: b"1481051183" };
//! let plain = Plain { text: b"hello", ..Plain::default() }.emit();
//! let section = crypto::seal(&plain, &sealing, &mut OsRng).unwrap();
//! assert!(section.starts_with("20002:"));
//!
//! // Bob splits the main text of the packet and opens it under the packet's number.
//! let Sealed { methods, key, body, signature } = Sealed::split(section.as_bytes()).unwrap();
//! let methods = Capability::from_bits_retain(methods);
//! let envelope = Envelope { methods, key, body, signature };
//! let opened = crypto::open(&envelope, b"1481051183", &bob, &mut OsRng).unwrap();
//! assert_eq!(Plain::read(opened.plain(), false).text, b"hello");
//! ```
//!
//! What this encryption is worth, and what it is not, stands in `docs/security.md`. In short: it
//! keeps casual listeners out, and it is no match for somebody who can change what passes.
//! [`group`] is not even that.

#![warn(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fmt;

mod cipher;
pub mod ctr;
mod envelope;
pub mod group;
mod hex;
mod keys;

pub use cipher::Cipher;
pub use envelope::{Envelope, OpenError, Opened, Plain, SealError, Sealing, Signature, open, seal};
pub use keys::{Fingerprint, KeyError, KeyOffer, KeyPair, KeySize, OwnKeys, PrivateDer, PublicKey};
pub use rsa::rand_core::CryptoRngCore;

bitflags::bitflags! {
    /// What a host can do, or how a section was made: the method flags (wire reference, 9).
    /// Unknown and obsolete bits survive. Written as a hexadecimal number.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
    pub struct Capability: u32 {
        /// `IPMSG_RSA_1024`: session keys are wrapped with 1,024 bits. Dated.
        const RSA_1024 = 0x0000_0002;
        /// `IPMSG_RSA_2048`: session keys are wrapped with 2,048 bits.
        const RSA_2048 = 0x0000_0004;
        /// `IPMSG_BLOWFISH_128`: the body is Blowfish-CBC with a key of 16 bytes. Dated.
        const BLOWFISH_128 = 0x0002_0000;
        /// `IPMSG_AES_256`: the body is AES-256-CBC.
        const AES_256 = 0x0010_0000;
        /// `IPMSG_IPDICT_CTR`: the body is an IPDict in AES-256-CTR.
        const IPDICT_CTR = 0x0040_0000;
        /// `IPMSG_PACKETNO_IV`: the initial vector is the packet number, else zero.
        const PACKETNO_IV = 0x0080_0000;
        /// `IPMSG_ENCODE_BASE64`: fields are base64, else hexadecimal.
        const ENCODE_BASE64 = 0x0100_0000;
        /// `IPMSG_NOENC_FILEBODY`: file contents need not be encrypted.
        const NOENC_FILEBODY = 0x0400_0000;
        /// `IPMSG_SIGN_SHA1`: signed with SHA-1. Dated.
        const SIGN_SHA1 = 0x2000_0000;
        /// `IPMSG_SIGN_SHA256`: signed with SHA-256.
        const SIGN_SHA256 = 0x4000_0000;

        const _ = !0;
    }
}

impl Capability {
    /// Reads the main text of a `GETPUBKEY`: up to eight hexadecimal digits and nothing else.
    pub fn read(text: &[u8]) -> Option<Self> {
        hex::word(text).map(Self::from_bits_retain)
    }
}

/// As the main text of a `GETPUBKEY`: lower-case hexadecimal.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.bits())
    }
}

/// How a section is signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Digest {
    /// SHA-1. Dated: two texts with the same digest can be made.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// How one section is made: key size, cipher, signature, vector, and spelling.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Suite {
    key: KeySize,
    cipher: Cipher,
    digest: Option<Digest>,
    /// The vector is the packet number, else zero.
    number_iv: bool,
    base64: bool,
}

impl Suite {
    /// The best methods both sides have (wire reference, 9.2); none means plain text. Only two
    /// pairs exist: RSA-2048 with AES-256, signed if both can, and RSA-1024 with Blowfish, never
    /// signed. To rule out dated methods, leave their bits out of `own`.
    ///
    /// The flags of a key offer do not tell which key it holds: [`KeyOffer::suite`] does.
    pub fn choose(own: Capability, peer: Capability) -> Option<Self> {
        let common = own & peer;
        let strong = Capability::RSA_2048 | Capability::AES_256;
        let dated = Capability::RSA_1024 | Capability::BLOWFISH_128;
        let pair = if common.contains(strong) {
            let best = [Capability::SIGN_SHA256, Capability::SIGN_SHA1];
            let signed = best.into_iter().find(|&sign| common.contains(sign));
            strong | signed.unwrap_or_default()
        } else if common.contains(dated) {
            dated
        } else {
            return None;
        };
        Self::of(pair | common & (Capability::PACKETNO_IV | Capability::ENCODE_BASE64))
    }

    /// The methods a section says it was made with, read as the official client does: the larger
    /// key, the better cipher, the better digest (wire reference, 9.5). None if it names no key
    /// size or no cipher of ours; the obsolete ones (RC2, 512 bits, MD5) are not read.
    pub fn of(methods: Capability) -> Option<Self> {
        Some(Self {
            key: if methods.contains(Capability::RSA_2048) {
                KeySize::Rsa2048
            } else if methods.contains(Capability::RSA_1024) {
                KeySize::Rsa1024
            } else {
                return None;
            },
            cipher: if methods.contains(Capability::AES_256) {
                Cipher::Aes256
            } else if methods.contains(Capability::BLOWFISH_128) {
                Cipher::Blowfish
            } else {
                return None;
            },
            digest: if methods.contains(Capability::SIGN_SHA256) {
                Some(Digest::Sha256)
            } else if methods.contains(Capability::SIGN_SHA1) {
                Some(Digest::Sha1)
            } else {
                None
            },
            number_iv: methods.contains(Capability::PACKETNO_IV),
            base64: methods.contains(Capability::ENCODE_BASE64),
        })
    }

    /// Its flags, as they stand at the head of a section.
    pub fn methods(self) -> Capability {
        let mut methods = match self.key {
            KeySize::Rsa1024 => Capability::RSA_1024,
            KeySize::Rsa2048 => Capability::RSA_2048,
        };
        methods |= match self.cipher {
            Cipher::Aes256 => Capability::AES_256,
            Cipher::Blowfish => Capability::BLOWFISH_128,
        };
        methods |= match self.digest {
            Some(Digest::Sha1) => Capability::SIGN_SHA1,
            Some(Digest::Sha256) => Capability::SIGN_SHA256,
            None => Capability::empty(),
        };
        methods.set(Capability::PACKETNO_IV, self.number_iv);
        methods.set(Capability::ENCODE_BASE64, self.base64);
        methods
    }

    /// Size of the recipient's key.
    pub fn key(self) -> KeySize {
        self.key
    }

    /// Cipher of the body.
    pub fn cipher(self) -> Cipher {
        self.cipher
    }

    /// How it is signed, if it is.
    pub fn digest(self) -> Option<Digest> {
        self.digest
    }

    /// Whether any of its methods is there for old clients only and must be shown as weak.
    pub fn is_dated(self) -> bool {
        self.key == KeySize::Rsa1024
            || self.cipher == Cipher::Blowfish
            || self.digest == Some(Digest::Sha1)
    }
}

/// For people: `RSA-2048, AES-256, SHA-256`.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cipher = match self.cipher {
            Cipher::Aes256 => "AES-256",
            Cipher::Blowfish => "Blowfish-128",
        };
        write!(f, "RSA-{}, {cipher}", self.key.bits())?;
        match self.digest {
            Some(Digest::Sha1) => f.write_str(", SHA-1"),
            Some(Digest::Sha256) => f.write_str(", SHA-256"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFICIAL: u32 = 0x6592_0006;

    fn choose(own: u32, peer: u32) -> Option<u32> {
        let bits = Capability::from_bits_retain;
        Suite::choose(bits(own), bits(peer)).map(|suite| suite.methods().bits())
    }

    #[test]
    fn the_best_common_pair_is_chosen() {
        // Wire reference, 9.2: the three choices of the official client.
        assert_eq!(choose(OFFICIAL, OFFICIAL), Some(0x4190_0004));
        assert_eq!(choose(OFFICIAL, OFFICIAL & !0x4000_0000), Some(0x2190_0004));
        assert_eq!(choose(OFFICIAL, OFFICIAL & !0x6000_0000), Some(0x0190_0004));
        assert_eq!(choose(OFFICIAL, OFFICIAL & !0x4), Some(0x0182_0002));
        assert_eq!(choose(OFFICIAL, OFFICIAL & !0x0010_0000), Some(0x0182_0002));
        // FeiQ has neither base64 nor a vector from the number (dialect reference, 10).
        assert_eq!(choose(OFFICIAL, 0x2_1003), Some(0x2_0002));
    }

    #[test]
    fn pairs_are_never_mixed_and_obsolete_methods_never_chosen() {
        for peer in [0, 0x4, 0x10_0000, 0x2 | 0x10_0000, 0x4 | 0x2_0000, 0x1 | 0x1000, !OFFICIAL] {
            assert_eq!(choose(OFFICIAL, peer), None, "{peer:x}");
            assert_eq!(choose(peer, OFFICIAL), None, "{peer:x}");
        }
        // Whoever turns dated methods off gets none of them.
        assert_eq!(choose(OFFICIAL & !0x2002_0002, 0x2_1003), None);
        assert_eq!(choose(OFFICIAL & !0x2002_0002, OFFICIAL & !0x4000_0000), Some(0x0190_0004));
    }

    #[test]
    fn dated_methods_are_marked() {
        let suite = |methods| Suite::of(Capability::from_bits_retain(methods)).unwrap();
        for dated in [0x2_0002, 0x10_0002, 0x2_0004, 0x2010_0004] {
            assert!(suite(dated).is_dated(), "{dated:x}");
        }
        for sound in [0x10_0004, 0x4190_0004] {
            assert!(!suite(sound).is_dated(), "{sound:x}");
        }
        assert_eq!(suite(0x4190_0004).to_string(), "RSA-2048, AES-256, SHA-256");
        assert_eq!(suite(0x2_0002).to_string(), "RSA-1024, Blowfish-128");
    }

    #[test]
    fn sections_are_read_by_the_best_method_they_name() {
        let of = |methods| Suite::of(Capability::from_bits_retain(methods));
        let all = of(u32::MAX).unwrap();
        assert_eq!(all.methods().bits(), 0x4190_0004);
        for unreadable in [0, 0x4, 0x10_0000, 0x1 | 0x2_0000, 0x2 | 0x1000] {
            assert_eq!(of(unreadable), None, "{unreadable:x}");
        }
    }

    #[test]
    fn capabilities_survive_with_what_nobody_knows() {
        let capability = Capability::read(b"21003").unwrap();
        assert_eq!(capability.bits(), 0x2_1003);
        assert_eq!(capability.to_string(), "21003");
        for bad in [&b""[..], b"0x2", b"2 ", b"123456789", b"-2", b"2:"] {
            assert_eq!(Capability::read(bad), None, "{bad:?}");
        }
    }
}

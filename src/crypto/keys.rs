//! RSA keys: our own pairs, the public keys of others, their text forms and their fingerprints.
//!
//! Nothing here decides whom to trust; it only refuses what cannot be a sound key.

use std::fmt;

use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BigUint, Pkcs1v15Encrypt, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Capability, CryptoRngCore, Digest, hex};

/// The two sizes of keys in use. Those of others may have any size [`PublicKey`] takes, but nothing
/// is sealed to them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeySize {
    /// 1,024 bits: for FeiQ and other old clients. Dated.
    Rsa1024,
    /// 2,048 bits.
    Rsa2048,
}

impl KeySize {
    /// Length of the modulus, in bits.
    pub const fn bits(self) -> usize {
        match self {
            Self::Rsa1024 => 1024,
            Self::Rsa2048 => 2048,
        }
    }
}

/// Why bytes or a text are not a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A separator is missing.
    #[error("the parts of a key are missing")]
    Fields,
    /// A part is not hexadecimal.
    #[error("a part of the key is not hexadecimal")]
    Hex,
    /// The exponent is even, below 3, or 2^33 or more.
    #[error("the key's exponent is out of range")]
    Exponent,
    /// The modulus is even, or has not 1,024 to 4,096 bits.
    #[error("the key's modulus is out of range")]
    Modulus,
    /// The bytes are not a private key of a size in use.
    #[error("not a private key of 1024 or 2048 bits")]
    Private,
}

/// Somebody's public key, with an odd modulus of 1,024 to 4,096 bits and an odd exponent of at
/// least 3 (wire reference, 14.8; threats, caps).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey(RsaPublicKey);

impl PublicKey {
    /// Fewest bits of a modulus.
    const BITS_MIN: usize = 1024;
    /// Most bits of a modulus.
    const BITS_MAX: usize = 4096;

    /// Reads `exponent "-" modulus`, both hexadecimal in either case and most significant digit
    /// first; leading zeros are accepted, anything else around them is not (vector
    /// `rsa2048-upper`).
    pub fn read(text: &[u8]) -> Result<Self, KeyError> {
        let dash = text.iter().position(|&byte| byte == b'-').ok_or(KeyError::Fields)?;
        let (exponent, modulus) = text.split_at_checked(dash).ok_or(KeyError::Fields)?;
        let modulus = modulus.strip_prefix(b"-").ok_or(KeyError::Fields)?;
        let exponent = hex::number(exponent).ok_or(KeyError::Hex)?;
        let modulus = hex::number(modulus).ok_or(KeyError::Hex)?;
        Self::new(BigUint::from_bytes_be(&modulus), BigUint::from_bytes_be(&exponent))
    }

    fn new(modulus: BigUint, exponent: BigUint) -> Result<Self, KeyError> {
        let odd = |number: &BigUint| number.to_bytes_le().first().is_some_and(|low| low & 1 == 1);
        if !(Self::BITS_MIN..=Self::BITS_MAX).contains(&modulus.bits()) || !odd(&modulus) {
            return Err(KeyError::Modulus);
        }
        if !odd(&exponent) || exponent == BigUint::from(1u8) {
            return Err(KeyError::Exponent);
        }
        // What is left for it to refuse are exponents of 2^33 and more.
        RsaPublicKey::new(modulus, exponent).map(Self).map_err(|_| KeyError::Exponent)
    }

    /// Length of the modulus, in bits.
    pub fn bits(&self) -> usize {
        self.0.n().bits()
    }

    /// Its size, if it is one in use.
    pub fn size(&self) -> Option<KeySize> {
        [KeySize::Rsa1024, KeySize::Rsa2048].into_iter().find(|size| size.bits() == self.bits())
    }

    /// What names may bear of it, and what people can compare.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self)
    }

    /// Wraps a session key: PKCS#1 v1.5, big-endian, full length of the modulus. None only if the
    /// session key is too long for the modulus.
    pub(super) fn wrap(&self, session: &[u8], rng: &mut dyn CryptoRngCore) -> Option<Vec<u8>> {
        self.0.encrypt(&mut &mut *rng, Pkcs1v15Encrypt, session).ok()
    }

    /// Whether this key's owner signed `text`. Signatures are big-endian numbers; leading zeros may
    /// be missing.
    pub(super) fn verifies(&self, text: &[u8], digest: Digest, signature: &[u8]) -> bool {
        let start = signature.iter().position(|&byte| byte != 0).unwrap_or(signature.len());
        let number = signature.get(start..).unwrap_or_default();
        let Some(zeros) = self.0.size().checked_sub(number.len()) else { return false };
        let whole = [vec![0; zeros].as_slice(), number].concat();
        self.0.verify(digest.scheme(), &digest.of(text), &whole).is_ok()
    }
}

/// `exponent "-" modulus` as in an `ANSPUBKEY`: upper-case and lower-case hexadecimal, the modulus
/// in full length. [`PublicKey::read`] takes it back.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}-{}", self.0.e(), hex::encode(&self.0.n().to_bytes_be()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bits, {})", self.bits(), self.fingerprint())
    }
}

/// The digest of a public key that names bear: `taro-<9d992ce06991f6cc>` (wire reference, 5.1).
///
/// 64 bits of SHA-1: enough to tell keys apart, not enough to stop somebody who spends a great deal
/// on making another key with the same one. Compare whole keys where a key is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// SHA-1 over the modulus, least significant byte first; reversed, filled to 24 bytes with
    /// zeros, its three thirds folded into one by exclusive or.
    pub fn of(key: &PublicKey) -> Self {
        let modulus = key.0.n().to_bytes_le();
        let mut bytes = [0; 24];
        for (byte, digest) in bytes.iter_mut().zip(Sha1::digest(&modulus).into_iter().rev()) {
            *byte = digest;
        }
        let mut folded = [0; 8];
        for third in bytes.chunks(folded.len()) {
            for (fold, byte) in folded.iter_mut().zip(third) {
                *fold ^= byte;
            }
        }
        Self(folded)
    }

    /// Whether a name that bears `claim` means this key: letter by letter, lower case.
    pub fn matches(self, claim: &str) -> bool {
        self.to_string() == claim
    }
}

/// 16 lower-case hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The main text of an `ANSPUBKEY`: what a host can do, and one of its keys.
///
/// The official client names all it can do with either of its keys, so the flags do not tell which
/// one this is (wire reference, 9.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyOffer {
    /// What the host can do.
    pub capability: Capability,
    /// Its key.
    pub key: PublicKey,
}

impl KeyOffer {
    /// Reads `capability ":" exponent "-" modulus`, all hexadecimal.
    pub fn read(text: &[u8]) -> Result<Self, KeyError> {
        let colon = text.iter().position(|&byte| byte == b':').ok_or(KeyError::Fields)?;
        let (capability, key) = text.split_at_checked(colon).ok_or(KeyError::Fields)?;
        let key = PublicKey::read(key.strip_prefix(b":").ok_or(KeyError::Fields)?)?;
        Ok(Self { capability: Capability::read(capability).ok_or(KeyError::Hex)?, key })
    }

    /// The best methods for a section to this host that go with this key; none means plain text.
    pub fn suite(&self, own: Capability) -> Option<super::Suite> {
        let other_sizes = match self.key.size()? {
            KeySize::Rsa1024 => Capability::RSA_2048,
            KeySize::Rsa2048 => Capability::RSA_1024,
        };
        super::Suite::choose(own, self.capability - other_sizes)
    }
}

/// As the official client writes it: capability and exponent in upper case, modulus in lower.
impl fmt::Display for KeyOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}:{}", self.capability.bits(), self.key)
    }
}

/// A key pair of ours. Prints as `***` and is wiped when dropped.
pub struct KeyPair {
    private: RsaPrivateKey,
    public: PublicKey,
    size: KeySize,
}

impl KeyPair {
    /// Makes a new pair with the exponent 65,537. Takes a quarter of a second for 2,048 bits,
    /// by luck a whole one: not for a thread that others wait for. `rng` decides how secret it is; take
    /// the operating system's generator.
    #[expect(clippy::missing_panics_doc, reason = "of these sizes there are keys")]
    pub fn generate(size: KeySize, rng: &mut dyn CryptoRngCore) -> Self {
        let private = RsaPrivateKey::new(rng, size.bits())
            .expect("there are primes of half of 1024 and of 2048 bits");
        Self::new(private).expect("the size is one of those in use and the exponent is 65537")
    }

    fn new(private: RsaPrivateKey) -> Result<Self, KeyError> {
        let public = PublicKey::new(private.n().clone(), private.e().clone())?;
        let size = public.size().ok_or(KeyError::Private)?;
        // Else it can be neither used by its two primes nor written again.
        if private.primes().len() != 2 || private.crt_coefficient().is_none() {
            return Err(KeyError::Private);
        }
        Ok(Self { private, public, size })
    }

    /// Reads what [`KeyPair::to_pkcs8`] wrote: PKCS#8, DER, not encrypted. Refuses anything but a
    /// pair of 1,024 or 2,048 bits whose parts fit together.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        // Checking the parts of a huge number takes long, and no pair of ours has 2 KiB.
        if der.len() > 2048 {
            return Err(KeyError::Private);
        }
        Self::new(RsaPrivateKey::from_pkcs8_der(der).map_err(|_| KeyError::Private)?)
    }

    /// For the store: PKCS#8, DER, not encrypted.
    #[expect(clippy::missing_panics_doc, reason = "checked when the pair was made")]
    pub fn to_pkcs8(&self) -> PrivateDer {
        let der = self.private.to_pkcs8_der().expect("two primes without a common factor");
        PrivateDer(der.to_bytes())
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Its size.
    pub fn size(&self) -> KeySize {
        self.size
    }

    /// Unwraps a session key; leading zeros of the number may be missing. None for whatever is
    /// wrong. Blinded by `rng`, so that the time it takes says little about the key.
    pub(super) fn unwrap(
        &self,
        wrapped: &[u8],
        rng: &mut dyn CryptoRngCore,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let session = self.private.decrypt_blinded(&mut &mut *rng, Pkcs1v15Encrypt, wrapped);
        session.ok().map(Zeroizing::new)
    }

    /// Signs `text`: RSASSA-PKCS1-v1_5, big-endian, full length of the modulus. None only after a
    /// fault in the arithmetic.
    pub(super) fn sign(
        &self,
        text: &[u8],
        digest: Digest,
        rng: &mut dyn CryptoRngCore,
    ) -> Option<Vec<u8>> {
        let digested = digest.of(text);
        self.private.sign_with_rng(&mut &mut *rng, digest.scheme(), &digested).ok()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A private key as bytes. Prints as `***` and is wiped when dropped.
pub struct PrivateDer(Zeroizing<Vec<u8>>);

impl PrivateDer {
    /// The bytes: whoever has them is us.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateDer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The pairs a host has, at most one of each size.
#[derive(Debug, Default)]
pub struct OwnKeys {
    rsa_1024: Option<KeyPair>,
    rsa_2048: Option<KeyPair>,
}

impl OwnKeys {
    /// Adds a pair, in place of the one of its size.
    pub fn insert(&mut self, pair: KeyPair) {
        match pair.size() {
            KeySize::Rsa1024 => self.rsa_1024 = Some(pair),
            KeySize::Rsa2048 => self.rsa_2048 = Some(pair),
        }
    }

    /// The pair of this size.
    pub fn pair(&self, size: KeySize) -> Option<&KeyPair> {
        match size {
            KeySize::Rsa1024 => self.rsa_1024.as_ref(),
            KeySize::Rsa2048 => self.rsa_2048.as_ref(),
        }
    }

    /// What can be done with these pairs: the dated methods with the small one, the others with
    /// the large one, which also signs.
    pub fn capability(&self) -> Capability {
        let mut capability = Capability::empty();
        if self.rsa_1024.is_some() {
            capability |= Capability::RSA_1024 | Capability::BLOWFISH_128;
        }
        if self.rsa_2048.is_some() {
            capability |= Capability::RSA_2048 | Capability::AES_256;
            capability |= Capability::SIGN_SHA1 | Capability::SIGN_SHA256;
        }
        if !capability.is_empty() {
            capability |= Capability::PACKETNO_IV | Capability::ENCODE_BASE64;
        }
        capability
    }

    /// What to answer a `GETPUBKEY`: the large key if the asker takes it, else the small one, with
    /// all we can do either way (wire reference, 9.1). None is no answer.
    pub fn offer_to(&self, asker: Capability) -> Option<KeyOffer> {
        let sizes =
            [(Capability::RSA_2048, KeySize::Rsa2048), (Capability::RSA_1024, KeySize::Rsa1024)];
        let mut taken = sizes.into_iter().filter(|(flag, _)| asker.contains(*flag));
        let pair = taken.find_map(|(_, size)| self.pair(size))?;
        Some(KeyOffer { capability: self.capability(), key: pair.public().clone() })
    }
}

impl Digest {
    fn of(self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(text).to_vec(),
            Self::Sha256 => Sha256::digest(text).to_vec(),
        }
    }

    fn scheme(self) -> Pkcs1v15Sign {
        match self {
            Self::Sha1 => Pkcs1v15Sign::new::<Sha1>(),
            Self::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
        }
    }
}

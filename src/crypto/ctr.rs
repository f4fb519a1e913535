//! The encrypted stream of a file transfer: AES-256 in counter mode (wire reference, 8.6). Only the
//! cipher and the rule for its counter; who asks for what is not here.
//!
//! A stream has no checksum: whoever can change what passes flips any bit of the file unseen.

use std::fmt;

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroizing;

use super::{CryptoRngCore, hex};

/// The key of one transfer: random, chosen by who asks, and sent inside the encrypted request.
/// Prints as `***` and is wiped when dropped.
pub struct FileKey(Zeroizing<[u8; 32]>);

impl FileKey {
    /// A new key. One key goes into one request only: the same key under the same packet number
    /// gives the same stream.
    pub fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *key);
        Self(key)
    }

    /// Reads exactly 64 hexadecimal digits.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(hex::decode(text)?);
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(&bytes);
        Some(Self(key))
    }

    /// As in a request: 64 lower-case digits, in the order of the bytes.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(&*self.0))
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One connection's stream, in either direction: folder headers and contents without a break,
/// whatever the offset into the file.
pub struct FileStream(Ctr128BE<Aes256>);

impl FileStream {
    /// The stream that begins with the first byte sent. `number` is the number of the packet that
    /// asked, as its text: filled with NULs it is the first counter, of which at most 15 characters
    /// count.
    pub fn new(key: &FileKey, number: &[u8]) -> Self {
        let mut counter = [0; 16];
        for (byte, character) in counter.iter_mut().zip(number).take(15) {
            *byte = *character;
        }
        Self::at(key, counter)
    }

    /// The counter is one number of 128 bits, its last byte counting first.
    fn at(key: &FileKey, counter: [u8; 16]) -> Self {
        Self(Ctr128BE::new(&(*key.0).into(), &counter.into()))
    }

    /// Encrypts or decrypts the next piece, of any length, in place.
    pub fn apply(&mut self, piece: &mut [u8]) {
        self.0.apply_keystream(piece);
    }
}

impl fmt::Debug for FileStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"30ebc244864f72b88833ce8f57dc9ac560adb4e4f90ed1446474da94c25c81a2";

    #[test]
    fn the_counter_carries_through_all_its_bytes() {
        // Vector `counter-carry-128`: no packet number gets there.
        let mut counter = [0xff; 16];
        counter[0] = 0x31;
        let mut bytes = [0; 48];
        FileStream::at(&FileKey::from_hex(KEY).unwrap(), counter).apply(&mut bytes);
        let expected = "7523920bf76b01f59dcdb0476d1dbe9a38122b70b316b8e075f17f0d1458dc0f\
                        8d2074c5115f73f897b93526e1c502b4";
        assert_eq!(hex::encode(&bytes), expected);
    }

    #[test]
    fn a_key_is_64_digits() {
        assert_eq!(FileKey::from_hex(KEY).unwrap().to_hex().as_bytes(), KEY);
        for bad in [&b""[..], &KEY[1..], &KEY[2..], &[KEY, b"00"].concat(), &[b'x'; 64]] {
            assert!(FileKey::from_hex(bad).is_none());
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", FileKey::from_hex(KEY)), "Some(***)");
    }
}

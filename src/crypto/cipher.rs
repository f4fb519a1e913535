//! The two block ciphers of this field, in CBC mode with PKCS#7 padding.

use aes::Aes256;
use blowfish::Blowfish;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use cbc::{Decryptor, Encryptor};

/// A block cipher.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cipher {
    /// AES with a key of 32 bytes; blocks of 16.
    Aes256,
    /// Blowfish; in messages with a key of 16 bytes. Blocks of 8. Dated, and slow.
    Blowfish,
}

impl Cipher {
    /// Length of a message's session key, in bytes.
    pub(super) const fn key_length(self) -> usize {
        match self {
            Self::Aes256 => 32,
            Self::Blowfish => 16,
        }
    }

    /// Length of a block and of the initial vector, in bytes.
    pub(super) const fn block_length(self) -> usize {
        match self {
            Self::Aes256 => 16,
            Self::Blowfish => 8,
        }
    }

    /// Pads and encrypts. None if key or vector have a length the cipher does not take: 32 bytes
    /// for AES, 4 to 56 for Blowfish.
    pub(super) fn encrypt(self, key: &[u8], iv: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        Some(match self {
            Self::Aes256 => Encryptor::<Aes256>::new_from_slices(key, iv)
                .ok()?
                .encrypt_padded_vec::<Pkcs7>(plain),
            Self::Blowfish => Encryptor::<Blowfish>::new_from_slices(key, iv)
                .ok()?
                .encrypt_padded_vec::<Pkcs7>(plain),
        })
    }

    /// Decrypts and strips the padding, every byte of which must be right (wire reference, 9.5).
    /// None as for [`Cipher::encrypt`], and for anything that is not whole blocks.
    pub(super) fn decrypt(self, key: &[u8], iv: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Aes256 => Decryptor::<Aes256>::new_from_slices(key, iv)
                .ok()?
                .decrypt_padded_vec::<Pkcs7>(sealed),
            Self::Blowfish => Decryptor::<Blowfish>::new_from_slices(key, iv)
                .ok()?
                .decrypt_padded_vec::<Pkcs7>(sealed),
        }
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_padding_is_checked() {
        use cbc::cipher::block_padding::NoPadding;

        let (key, iv) = ([7; 16], [0; 8]);
        let sealed = |block: &[u8]| {
            Encryptor::<Blowfish>::new_from_slices(&key, &iv)
                .unwrap()
                .encrypt_padded_vec::<NoPadding>(block)
        };
        let open = |block: &[u8]| Cipher::Blowfish.decrypt(&key, &iv, &sealed(block));
        assert_eq!(open(b"abcde\x03\x03\x03"), Some(b"abcde".to_vec()));
        assert_eq!(open(b"\x08\x08\x08\x08\x08\x08\x08\x08"), Some(Vec::new()));
        for wrong in [
            b"abcde\x02\x03\x03",
            b"abcde\x03\x02\x03",
            b"abcdefg\x00",
            b"abcdefg\x09",
            b"abc\x00\x00\x00\x00\x00",
        ] {
            assert_eq!(open(wrong), None, "{wrong:?}");
        }
        let whole = sealed(b"abcde\x03\x03\x03");
        assert_eq!(Cipher::Blowfish.decrypt(&key, &iv, &whole[..7]), None);
        assert_eq!(Cipher::Blowfish.decrypt(&key, &iv, &[]), None);
    }

    #[test]
    fn keys_of_a_wrong_length_are_refused() {
        for (cipher, wrong) in
            [(Cipher::Aes256, vec![16, 31, 33]), (Cipher::Blowfish, vec![0, 3, 57])]
        {
            let iv = vec![0; cipher.block_length()];
            for length in wrong {
                assert_eq!(cipher.encrypt(&vec![1; length], &iv, b"x"), None);
                assert_eq!(cipher.decrypt(&vec![1; length], &iv, &[0; 16]), None);
            }
            let key = vec![1; cipher.key_length()];
            assert_eq!(cipher.encrypt(&key, &iv[1..], b"x"), None);
        }
    }
}

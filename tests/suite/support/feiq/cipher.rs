//! The two ciphers of FeiQ: its groups' (section 9) and that of private messages (section 10).

use std::fmt::Write;

use blowfish::Blowfish;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use cbc::{Decryptor, Encryptor};
use rand::RngCore;
use rand::rngs::OsRng;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Encrypt, RsaPrivateKey, RsaPublicKey};

use super::text;

const IV: [u8; 8] = [0; 8];

/// Blowfish-CBC, zero vector, padding of PKCS#5.
pub(crate) fn scramble(key: &[u8], plain: &[u8]) -> Vec<u8> {
    let cipher = Encryptor::<Blowfish>::new_from_slices(key, &IV).expect("a key of 4 to 56 bytes");
    cipher.encrypt_padded_vec::<Pkcs7>(plain)
}

pub(crate) fn unscramble(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let cipher = Decryptor::<Blowfish>::new_from_slices(key, &IV).ok()?;
    cipher.decrypt_padded_vec::<Pkcs7>(sealed).ok()
}

/// Group and text of a group message, as a member sees it.
pub(crate) fn read_group(mac: &[u8], rest: &[u8], length: usize) -> Option<(String, String)> {
    let plain = unscramble(mac, rest.get(..length)?)?;
    let plain = plain.split(|&byte| byte == 0).next()?;
    let plain = plain.strip_prefix(b"QUNMSGMARK#")?;
    let at = plain.iter().position(|&byte| byte == b'#')?;
    let group = text::read(&plain[..at]);
    let group = group.split('_').next()?.to_owned();
    Some((group, text::without_font(&plain[at + 1..])))
}

/// A key of the size FeiQ has.
pub(crate) fn new_pair() -> RsaPrivateKey {
    RsaPrivateKey::new(&mut OsRng, 1024).expect("there are primes")
}

/// `exponent-modulus`, hexadecimal.
pub(crate) fn key_text(pair: &RsaPrivateKey) -> String {
    format!("{:x}-{:x}", pair.e(), pair.n())
}

/// Reads the body of an answer: `capability:exponent-modulus`.
pub(crate) fn read_key(main: &[u8]) -> Option<RsaPublicKey> {
    let main = std::str::from_utf8(main).ok()?;
    let (capability, key) = main.split_once(':')?;
    let capability = u32::from_str_radix(capability, 16).ok()?;
    assert_eq!(capability & 0x2_0002, 0x2_0002, "RSA-1024 and Blowfish-128 in {capability:x}");
    let (exponent, modulus) = key.split_once('-')?;
    let number = |hex: &str| BigUint::parse_bytes(hex.as_bytes(), 16);
    let key = RsaPublicKey::new(number(modulus)?, number(exponent)?).ok()?;
    assert_eq!(key.size(), 128, "FeiQ knows 1,024 bits only");
    Some(key)
}

/// `20002:` wrapped key `:` body, all in hexadecimal.
pub(crate) fn seal(key: &RsaPublicKey, plain: &[u8]) -> String {
    let mut session = [0; 16];
    OsRng.fill_bytes(&mut session);
    let wrapped = key.encrypt(&mut OsRng, Pkcs1v15Encrypt, &session).expect("it fits");
    format!("20002:{}:{}", hex(&wrapped), hex(&scramble(&session, plain)))
}

/// Opens what [`seal`] made.
pub(crate) fn open(pair: &RsaPrivateKey, main: &[u8]) -> Option<Vec<u8>> {
    let main = std::str::from_utf8(main).ok()?;
    let mut parts = main.strip_prefix("20002:")?.split(':');
    let session = pair.decrypt(Pkcs1v15Encrypt, &unhex(parts.next()?)?).ok()?;
    unscramble(&session, &unhex(parts.next()?)?)
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

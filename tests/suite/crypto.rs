//! Sealing and opening against the vectors (`tests/vectors/crypto-*.json`, and the group messages
//! of `feiq-captures.json`), and its laws.
//!
//! Random bytes are handed in, so the vectors are made again byte for byte by a generator that
//! repeats what their maker drew: the session key, then the padding around it.

use std::collections::VecDeque;
use std::sync::OnceLock;

use feige::crypto::ctr::{FileKey, FileStream};
use feige::crypto::group::{GroupText, scramble, unscramble};
use feige::crypto::{
    Capability, CryptoRngCore, Envelope, Fingerprint, KeyError, KeyOffer, KeyPair, KeySize,
    OpenError, Opened, OwnKeys, Plain, PublicKey, SealError, Sealing, Signature, Suite, open, seal,
};
use feige::wire::command::message;
use feige::wire::dialect::FeiqVersion;
use feige::wire::packet::split_fingerprint;
use feige::wire::{Charset, RawPacket, Recipient, Recipients, Sealed};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{CryptoRng, Rng, RngCore, SeedableRng};
use rsa::BigUint;
use rsa::rand_core::impls::{next_u32_via_fill, next_u64_via_fill};
use serde_json::Value;

use crate::wire::vectors::{self, bytes, named, text, unhex};

fn list(json: &str, part: Option<&str>) -> Vec<Value> {
    let json: Value = serde_json::from_str(json).unwrap();
    let list = part.map_or(&json, |part| &json[part]).as_array().unwrap().clone();
    assert!(!list.is_empty());
    list
}

fn messages() -> Vec<Value> {
    list(include_str!("../vectors/crypto-messages.json"), None)
}

fn public_keys(part: &str) -> Vec<Value> {
    list(include_str!("../vectors/crypto-pubkey.json"), Some(part))
}

fn transfers(part: &str) -> Vec<Value> {
    list(include_str!("../vectors/crypto-filetransfer.json"), Some(part))
}

fn key_vector(name: &str) -> Value {
    static KEYS: OnceLock<Value> = OnceLock::new();
    let json = || serde_json::from_str(include_str!("../vectors/crypto-keys.json")).unwrap();
    let key = KEYS.get_or_init(json)[name].clone();
    assert!(key.is_object(), "{name}");
    key
}

fn pair(name: &str) -> KeyPair {
    KeyPair::from_pkcs8(&der(&key_vector(name))).unwrap()
}

fn der(key: &Value) -> Vec<u8> {
    use base64::Engine;
    let pem = text(&key["pkcs8_pem"]);
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(base64).unwrap()
}

/// Bob's pairs: the recipient's of every vector.
fn bob() -> &'static OwnKeys {
    static KEYS: OnceLock<OwnKeys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut keys = OwnKeys::default();
        keys.insert(pair("recv1024"));
        keys.insert(pair("recv2048"));
        keys
    })
}

/// Alice's large pair: the signer's of every vector.
fn alice() -> &'static KeyPair {
    static PAIR: OnceLock<KeyPair> = OnceLock::new();
    PAIR.get_or_init(|| pair("send2048"))
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(2425)
}

fn envelope(main: &[u8]) -> Option<Envelope<'_>> {
    let Sealed { methods, key, body, signature } = Sealed::split(main)?;
    Some(Envelope { methods: Capability::from_bits_retain(methods), key, body, signature })
}

/// Opens the section of a packet as Bob.
fn open_packet(packet: &RawPacket<'_>) -> Result<Opened, OpenError> {
    let envelope = envelope(packet.main()).ok_or(OpenError)?;
    open(&envelope, packet.number_text, bob(), &mut rng())
}

/// A generator that first repeats bytes drawn before.
struct Replay {
    drawn: VecDeque<u8>,
    then: StdRng,
}

impl RngCore for Replay {
    fn next_u32(&mut self) -> u32 {
        next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.drawn.pop_front().unwrap_or_else(|| self.then.r#gen());
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Replay {}

/// What the maker of a vector drew: its session key, and the padding that undoing RSA shows.
fn drawn(vector: &Value) -> Replay {
    let key = key_vector(text(&vector["recipient_key"]));
    let number = |text: &Value| BigUint::from_bytes_be(&unhex(self::text(text)));
    let wrapped = number(&vector["rsa_cipher_hex_be"]);
    let padded = wrapped.modpow(&number(&key["d_hex_be"]), &number(&key["n_hex_be"]));
    let padded = padded.to_bytes_be();
    let session = unhex(text(&vector["session_key_hex"]));
    let padding = &padded[1..padded.len() - session.len() - 1];
    assert_eq!((padded[0], padded[padding.len() + 1]), (2, 0));
    assert!(padded.ends_with(&session) && !padding.contains(&0));
    Replay { drawn: session.iter().chain(padding).copied().collect(), then: rng() }
}

/// Makes a vector's section again.
fn resealed(vector: &Value) -> String {
    let methods = Capability::read(text(&vector["capa_hex"]).as_bytes()).unwrap();
    let recipient = pair(text(&vector["recipient_key"]));
    let sealing = Sealing {
        suite: Suite::of(methods).unwrap(),
        recipient: recipient.public(),
        signer: vector["signer_key"].as_str().map(|_| alice()),
        number: text(&vector["packet_no"]).as_bytes(),
    };
    seal(&unhex(text(&vector["plain_hex"])), &sealing, &mut drawn(vector)).unwrap()
}

#[test]
fn every_sealed_message_opens_as_expected() {
    let mut opened_count = 0;
    for vector in messages() {
        let (id, expect) = (text(&vector["id"]), &vector["expect"]);
        let packet = unhex(text(&vector["packet_hex"]));
        let packet = RawPacket::parse(&packet).unwrap();
        assert_eq!(packet.main(), text(&vector["ext_text"]).as_bytes(), "{id}");
        let opened = open_packet(&packet);
        if let Some(error) = expect["error"].as_str()
            && error != "signature"
        {
            assert!(opened.is_err(), "{id}");
            continue;
        }
        opened_count += 1;
        let opened = opened.unwrap_or_else(|_| panic!("{id}"));
        let suite = opened.suite();
        assert_eq!(format!("{:x}", suite.methods().bits()), text(&vector["capa_hex"]), "{id}");
        if let Some(plain) = vector["plain_hex"].as_str() {
            assert_eq!(opened.plain(), unhex(plain), "{id}");
        }
        let signature = match expect["signature"].as_str() {
            Some("ok") => Signature::Good,
            Some("none") => Signature::None,
            _ => Signature::Wrong,
        };
        assert_eq!(opened.signature(alice().public()), signature, "{id}");
        assert_eq!(opened.is_signed(), signature != Signature::None, "{id}");
        if opened.is_signed() {
            let bob = bob().pair(KeySize::Rsa2048).unwrap();
            assert_eq!(opened.signature(bob.public()), Signature::Wrong, "{id}");
        }

        let charset: Charset = match text(&vector["charset"]) {
            "ascii" => Charset::UTF_8,
            name => name.parse().unwrap(),
        };
        let lists = packet.options().contains(message::ENCRYPT_EXTENSION);
        let plain = Plain::read(opened.plain(), lists);
        assert_eq!(charset.decode(plain.text), text(&expect["body"]), "{id}");
        let clear = packet.sections().next().unwrap_or_default();
        assert_eq!(charset.decode(clear), vector["clear_ext"].as_str().unwrap_or_default(), "{id}");
        let files = if clear.is_empty() { plain.files } else { clear };
        assert_eq!(charset.decode(files), expect["share"].as_str().unwrap_or_default(), "{id}");
        let recipients = expect["ulist"].as_str().map_or("", |list| &list["TO:".len()..]);
        assert_eq!(charset.decode(plain.recipients), recipients, "{id}");
        let list = Recipients::read(plain.recipients, charset);
        let written = |to: &Recipient| format!("{}:{}\u{7}", to.user, to.host);
        assert_eq!(list.names.iter().map(written).collect::<String>(), recipients, "{id}");
        if lists || clear.is_empty() {
            assert_eq!(plain.emit(), opened.plain(), "{id}");
        }
    }
    assert_eq!(opened_count, 19);
}

#[test]
fn every_sealed_message_is_made_again_byte_for_byte() {
    let mut made = 0;
    for vector in messages().iter().filter(|vector| vector["expect"]["error"].is_null()) {
        assert_eq!(resealed(vector), text(&vector["ext_text"]), "{}", vector["id"]);
        made += 1;
    }
    assert_eq!(made, 18);
}

#[test]
fn a_single_fault_is_enough_and_every_fault_looks_the_same() {
    let list = messages();
    let good = named(&list, "aes2048-b64-pktiv-sha256");
    let good = text(&good["ext_text"]);
    let open = |section: &str| {
        let envelope = envelope(section.as_bytes()).unwrap();
        open(&envelope, b"1700000010", bob(), &mut rng()).map(drop)
    };
    assert_eq!(open(good), Ok(()));
    for (id, field) in [
        ("bad-session-key", 1),
        ("bad-body-length", 2),
        ("missing-signature", 3),
        ("no-cipher-bits", 0),
        ("no-rsa-bits", 0),
        ("bad-base64", 2),
    ] {
        let bad = named(&list, id);
        let bad = text(&bad["ext_text"]);
        let (mut left, mut right) = (bad.split(':'), good.split(':'));
        for at in 0..4 {
            assert_eq!(left.next() != right.next(), at == field, "{id}: field {at}");
        }
        assert_eq!(open(bad), Err(OpenError), "{id}");
    }
}

#[test]
fn a_body_under_a_key_that_was_not_unwrapped_does_not_open() {
    // When a session key cannot be unwrapped, the body is decrypted with zeros for the time it
    // takes. Whoever seals with zeros must gain nothing by that.
    for (methods, name, length) in [(0x10_0004, "recv2048", 32), (0x2_0002, "recv1024", 16)] {
        let suite = Suite::of(Capability::from_bits_retain(methods)).unwrap();
        let recipient = bob().pair(suite.key()).unwrap().public();
        let sealing = Sealing { suite, recipient, signer: None, number: b"1" };
        let mut zeros = Replay { drawn: vec![0; length].into(), then: rng() };
        let section = seal(b"forged\0", &sealing, &mut zeros).unwrap();
        let whole = envelope(section.as_bytes()).unwrap();

        let n = BigUint::from_bytes_be(&unhex(text(&key_vector(name)["n_hex_be"])));
        let key = rsa::RsaPublicKey::new(n, BigUint::from(0x1_0001u32)).unwrap();
        let wrap = |length: usize| {
            key.encrypt(&mut rng(), rsa::Pkcs1v15Encrypt, &vec![0; length]).unwrap()
        };
        for (wrapped, opens) in [
            (wrap(length), true),
            (wrap(length - 1), false),
            (wrap(length + 1), false),
            (wrap(8), false),
            (wrap(0), false),
            (vec![0x55; recipient.bits() / 8], false),
            (vec![0xff; recipient.bits() / 8], false),
            (vec![0x55; 300], false),
            (vec![0], false),
        ] {
            let key = BigUint::from_bytes_be(&wrapped).to_str_radix(16);
            let forged = Envelope { key: key.as_bytes(), ..whole };
            let opened = open(&forged, b"1", bob(), &mut rng());
            assert_eq!(opened.is_ok(), opens, "{name} {key}");
        }
    }
}

#[test]
fn the_number_that_counts_is_the_one_in_the_packet() {
    let vector = named(&messages(), "aes2048-b64-pktiv-sha256");
    let main = text(&vector["ext_text"]);
    let open_as = |number: &[u8]| {
        let opened = open(&envelope(main.as_bytes()).unwrap(), number, bob(), &mut rng());
        opened.map(|opened| opened.signature(alice().public()))
    };
    assert_eq!(open_as(b"1700000010"), Ok(Signature::Good));
    // The vector spoils the first block only; that the signature is wrong then is all that shows.
    assert_eq!(open_as(b"01700000010"), Ok(Signature::Wrong));
}

#[test]
fn a_section_for_somebody_else_or_for_a_key_we_lack_does_not_open() {
    let vector = named(&vectors::feiq("vectors"), "encrypted-msg-lbt4");
    let datagram = bytes(&vector);
    let packet = RawPacket::parse(&datagram).unwrap();
    let sealed = Sealed::split(packet.main()).unwrap();
    let expect = &vector["expect"]["encrypted"];
    assert_eq!(sealed.methods, expect["caps"]);
    assert_eq!(sealed.key.len() / 2, expect["session_key_len"]);
    assert_eq!(sealed.body.len() / 2, expect["cipher_len"]);
    // FeiQ's own form is the oldest suite: hexadecimal, zero vector, unsigned.
    let suite = Suite::of(Capability::from_bits_retain(sealed.methods)).unwrap();
    assert_eq!(suite.to_string(), "RSA-1024, Blowfish-128");
    assert_eq!(suite.methods().bits(), 0x2_0002);
    assert!(open_packet(&packet).is_err());

    let large_only = {
        let mut keys = OwnKeys::default();
        keys.insert(pair("recv2048"));
        keys
    };
    let vector = named(&messages(), "bf1024-hex-iv0");
    let main = text(&vector["ext_text"]).as_bytes();
    let envelope = envelope(main).unwrap();
    assert!(open(&envelope, b"1700000001", &large_only, &mut rng()).is_err());
    assert!(open(&envelope, b"1700000001", bob(), &mut rng()).is_ok());
}

#[test]
fn what_feiq_asks_and_gets_is_the_oldest_suite() {
    // It asks with 21003 and then seals as in `encrypted-msg-lbt4`.
    let asker = Capability::read(b"21003").unwrap();
    let mut keys = OwnKeys::default();
    keys.insert(pair("recv1024"));
    let offer = keys.offer_to(asker).unwrap();
    assert!(offer.to_string().starts_with("1820002:10001-9834bc76"));
    let feiqs_choice = Suite::choose(asker, offer.capability).unwrap();
    let sealing =
        Sealing { suite: feiqs_choice, recipient: &offer.key, signer: None, number: b"1481051183" };
    let plain = Plain { text: b"444", ..Plain::default() }.emit();
    let section = seal(&plain, &sealing, &mut rng()).unwrap();
    assert!(section.starts_with("20002:"));
    assert_eq!(section.len(), "20002:".len() + 256 + 1 + 16);
    let opened = open(&envelope(section.as_bytes()).unwrap(), b"1", &keys, &mut rng()).unwrap();
    assert_eq!(Plain::read(opened.plain(), false).text, b"444");
}

#[test]
fn sealing_needs_the_keys_of_its_suite() {
    let suite = |methods| Suite::of(Capability::from_bits_retain(methods)).unwrap();
    let (small, large) = (pair("recv1024"), pair("recv2048"));
    let attempt = |suite, recipient: &KeyPair, signer| {
        let sealing = Sealing { suite, recipient: recipient.public(), signer, number: b"1" };
        seal(b"x\0", &sealing, &mut rng()).map(drop)
    };
    assert_eq!(attempt(suite(0x4190_0004), &small, Some(alice())), Err(SealError::Recipient));
    assert_eq!(attempt(suite(0x2_0002), &large, None), Err(SealError::Recipient));
    assert_eq!(attempt(suite(0x4190_0004), &large, None), Err(SealError::Signer));
    assert_eq!(attempt(suite(0x4190_0004), &large, Some(&small)), Err(SealError::Signer));
    assert_eq!(attempt(suite(0x4190_0004), &large, Some(alice())), Ok(()));
    assert_eq!(attempt(suite(0x2_0002), &small, None), Ok(()));
}

#[test]
fn every_question_for_a_key_is_read_and_answered() {
    for vector in public_keys("getpubkey") {
        let id = text(&vector["id"]);
        let packet = unhex(text(&vector["packet_hex"]));
        let packet = RawPacket::parse(&packet).unwrap();
        let asker = Capability::read(packet.main()).unwrap();
        assert_eq!(asker.to_string(), text(&vector["capa_hex"]), "{id}");
        let offer = bob().offer_to(asker).unwrap();
        let large = asker.contains(Capability::RSA_2048);
        assert_eq!(offer.key.bits(), if large { 2048 } else { 1024 }, "{id}");
        assert_eq!(offer.capability, bob().capability(), "{id}");
        assert_eq!(KeyOffer::read(offer.to_string().as_bytes()), Ok(offer), "{id}");
    }
    assert_eq!(bob().offer_to(Capability::read(b"1001").unwrap()), None);
    assert_eq!(OwnKeys::default().offer_to(Capability::all()), None);
}

#[test]
fn every_key_offer_reads_as_expected() {
    for vector in public_keys("anspubkey") {
        let (id, expect) = (text(&vector["id"]), &vector["expect"]);
        let packet = unhex(text(&vector["packet_hex"]));
        let packet = RawPacket::parse(&packet).unwrap();
        assert_eq!(packet.main(), text(&vector["ext_text"]).as_bytes(), "{id}");
        let offer = KeyOffer::read(packet.main());
        let error = match expect["error"].as_str() {
            Some("fields") => Some(KeyError::Fields),
            Some("hex") => Some(KeyError::Hex),
            Some("exponent") => Some(KeyError::Exponent),
            Some("modulus") => Some(KeyError::Modulus),
            _ => None,
        };
        if let Some(error) = error {
            assert_eq!(offer, Err(error), "{id}");
            continue;
        }
        let offer = offer.unwrap();
        let known = pair(text(&vector["key"]));
        assert_eq!(&offer.key, known.public(), "{id}");
        assert_eq!(format!("{:x}", offer.capability.bits()), text(&vector["capa_hex"]), "{id}");
        if id != "rsa2048-upper" {
            assert_eq!(offer.to_string(), text(&vector["ext_text"]), "{id}");
        }
        let user = std::str::from_utf8(packet.user).unwrap();
        let claim = split_fingerprint(user).1;
        let fits = claim.is_none_or(|claim| offer.key.fingerprint().matches(claim));
        assert_eq!(fits, expect["error"] != "fingerprint", "{id}");
    }
}

#[test]
fn the_flags_of_an_offer_do_not_say_which_key_it_is() {
    // Vector `rsa1024`: all that 4.99 can do, with its small key.
    let vector = named(&public_keys("anspubkey"), "rsa1024");
    let offer = KeyOffer::read(text(&vector["ext_text"]).as_bytes()).unwrap();
    let own = Capability::from_bits_retain(0x6592_0006);
    assert_eq!(offer.suite(own).unwrap().methods().bits(), 0x0182_0002);
    let large = KeyOffer { key: pair("recv2048").public().clone(), ..offer.clone() };
    assert_eq!(large.suite(own).unwrap().methods().bits(), 0x4190_0004);
    let modern = own - Capability::RSA_1024 - Capability::BLOWFISH_128;
    assert_eq!(offer.suite(modern), None);
}

#[test]
fn keys_that_cannot_be_sound_are_refused() {
    let modulus = |bits: u32| format!("{}1", "c".repeat(bits as usize / 4 - 1));
    let read = |exponent: &str, modulus: &str| {
        PublicKey::read(format!("{exponent}-{modulus}").as_bytes()).map(|key| key.bits())
    };
    for bits in [1024, 1536, 2048, 4096] {
        assert_eq!(read("10001", &modulus(bits)), Ok(bits as usize));
        assert_eq!(read("3", &format!("000{}", modulus(bits))), Ok(bits as usize));
    }
    let good = modulus(2048);
    let even = format!("{}2", &good[..511]);
    let small = format!("7{}", &modulus(1024)[1..]);
    for bad in [&even, &small, &modulus(512), &format!("1{}", modulus(4096)), "0", "1"] {
        assert_eq!(read("10001", bad), Err(KeyError::Modulus), "{bad}");
    }
    for bad in ["0", "1", "2", "4", "10000", "200000001", "ffffffffffffffffffffffff"] {
        assert_eq!(read(bad, &good), Err(KeyError::Exponent), "{bad}");
    }
    assert_eq!(read("1ffffffff", &good), Ok(2048));
    for (exponent, modulus) in [
        ("", good.as_str()),
        ("10001", ""),
        ("+3", &good),
        ("3", &format!("{good} ")),
        ("3", &format!("{good}-3")),
        ("0x3", &good),
    ] {
        assert_eq!(read(exponent, modulus), Err(KeyError::Hex), "{exponent}-{modulus}");
    }
    let offer = |text: &str| KeyOffer::read(text.as_bytes()).unwrap_err();
    assert_eq!(offer(&format!(":3-{good}")), KeyError::Hex);
    assert_eq!(offer(&format!("100000004:3-{good}")), KeyError::Hex);
    assert_eq!(offer(&format!("4-3:{good}")), KeyError::Fields);
}

#[test]
fn fingerprints_are_computed_as_the_official_client_does() {
    for vector in public_keys("fingerprint") {
        let pair = pair(text(&vector["key"]));
        let fingerprint = pair.public().fingerprint();
        assert_eq!(fingerprint.to_string(), text(&vector["fingerprint"]));
        assert_eq!(fingerprint, Fingerprint::of(pair.public()));
        let named = text(&vector["user_name_example"]);
        assert_eq!(named, format!("taro-<{fingerprint}>"));
        assert!(fingerprint.matches(split_fingerprint(named).1.unwrap()));
        assert!(!fingerprint.matches(&text(&vector["fingerprint"]).to_uppercase()));
        assert_eq!(key_vector(text(&vector["key"]))["fingerprint"], vector["fingerprint"]);
    }
}

#[test]
fn key_pairs_survive_the_store() {
    for name in ["recv1024", "recv2048", "send1024", "send2048"] {
        let vector = key_vector(name);
        let pair = pair(name);
        assert_eq!(pair.size().bits(), vector["bits"], "{name}");
        let public = format!("{}-{}", text(&vector["e_hex"]), text(&vector["n_hex_be"]));
        assert_eq!(pair.public().to_string(), public, "{name}");
        assert_eq!(pair.to_pkcs8().as_bytes(), der(&vector), "{name}");
    }
}

#[test]
fn private_keys_that_are_none_of_ours_are_refused() {
    let whole = der(&key_vector("recv1024"));
    let read = |der: &[u8]| KeyPair::from_pkcs8(der).map(|pair| pair.size());
    assert_eq!(read(&whole), Ok(KeySize::Rsa1024));
    assert_eq!(read(&[]), Err(KeyError::Private));
    assert_eq!(read(&whole[..whole.len() - 1]), Err(KeyError::Private));
    assert_eq!(read(&[whole.as_slice(), b"\0"].concat()), Err(KeyError::Private));
    assert_eq!(read(&[0x30; 4096]), Err(KeyError::Private));
    // A bit of the modulus: its parts no longer fit together.
    let modulus = unhex(text(&key_vector("recv1024")["n_hex_be"]));
    let at = whole.windows(modulus.len()).position(|window| window == modulus).unwrap();
    let mut spoiled = whole.clone();
    spoiled[at + 40] ^= 1;
    assert_eq!(read(&spoiled), Err(KeyError::Private));
    // A sound pair of another size.
    let odd = rsa::RsaPrivateKey::new(&mut rng(), 1088).unwrap();
    let odd = rsa::pkcs8::EncodePrivateKey::to_pkcs8_der(&odd).unwrap();
    assert_eq!(read(odd.as_bytes()), Err(KeyError::Private));
}

#[test]
fn a_new_pair_opens_signs_and_is_not_printed() {
    for size in [KeySize::Rsa1024, KeySize::Rsa2048] {
        let mut rng = rng();
        let pair = KeyPair::generate(size, &mut rng);
        assert_eq!((pair.size(), pair.public().bits()), (size, size.bits()));
        assert!(pair.public().to_string().starts_with("10001-"));
        let again = KeyPair::generate(size, &mut rng);
        assert_ne!(pair.public(), again.public());
        assert_eq!(format!("{pair:?} {:?}", pair.to_pkcs8()), "*** ***");

        let mut keys = OwnKeys::default();
        keys.insert(pair);
        assert!(!format!("{keys:?}").contains('['), "{keys:?}");
        let offer = keys.offer_to(Capability::all()).unwrap();
        let suite = offer.suite(keys.capability()).unwrap();
        let signer = keys.pair(KeySize::Rsa2048);
        let sealing = Sealing { suite, recipient: &offer.key, signer, number: b"77" };
        let section = seal(b"hi\0", &sealing, &mut rng).unwrap();
        let opened = open(&envelope(section.as_bytes()).unwrap(), b"77", &keys, &mut rng).unwrap();
        let good = if signer.is_some() { Signature::Good } else { Signature::None };
        assert_eq!((opened.plain(), opened.signature(&offer.key)), (&b"hi\0"[..], good));
    }
}

#[test]
fn small_keys_sign_nothing_that_counts() {
    // Signed by hand with 1,024 bits, which the official client never does.
    let section = {
        let large = named(&messages(), "aes2048-b64-pktiv-sha256");
        text(&large["ext_text"]).to_owned()
    };
    let opened = open(&envelope(section.as_bytes()).unwrap(), b"1700000010", bob(), &mut rng());
    let opened = opened.unwrap();
    let small = pair("send1024");
    let signature = {
        use sha2::Digest;
        let key = rsa::pkcs8::DecodePrivateKey::from_pkcs8_der(&der(&key_vector("send1024")));
        let key: rsa::RsaPrivateKey = key.unwrap();
        let digest = sha2::Sha256::digest(opened.plain());
        key.sign(rsa::Pkcs1v15Sign::new::<sha2::Sha256>(), &digest).unwrap()
    };
    let signature = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, signature);
    let (unsigned, _) = section.rsplit_once(':').unwrap();
    let section = format!("{unsigned}:{signature}");
    let opened = open(&envelope(section.as_bytes()).unwrap(), b"1700000010", bob(), &mut rng());
    assert_eq!(opened.unwrap().signature(small.public()), Signature::Wrong);
}

#[test]
fn leading_zeros_of_wrapped_keys_and_signatures_may_be_missing() {
    let keys = bob();
    let suite = Suite::of(Capability::from_bits_retain(0x4010_0004)).unwrap();
    let recipient = keys.pair(KeySize::Rsa2048).unwrap().public();
    let sealing = Sealing { suite, recipient, signer: Some(alice()), number: b"5" };
    let mut rng = rng();
    let (mut keys_seen, mut signatures_seen) = (0, 0);
    // One digit in 16 is a zero.
    for text in 0..200u8 {
        let section = seal(&[text, 0], &sealing, &mut rng).unwrap();
        let fields: Vec<_> = section.split(':').collect();
        let [key, signature] = [fields[1], fields[3]].map(|field| field.trim_start_matches('0'));
        if (key, signature) == (fields[1], fields[3]) {
            continue;
        }
        keys_seen += usize::from(key != fields[1]);
        signatures_seen += usize::from(signature != fields[3]);
        let short = format!("{}:{key}:{}:{signature}", fields[0], fields[2]);
        let opened = open(&envelope(short.as_bytes()).unwrap(), b"5", keys, &mut rng).unwrap();
        assert_eq!(opened.plain(), [text, 0]);
        assert_eq!(opened.signature(alice().public()), Signature::Good);
    }
    assert!(keys_seen > 0 && signatures_seen > 0, "{keys_seen} {signatures_seen}");
}

#[test]
fn every_encrypted_file_request_opens_and_is_made_again() {
    let mut made = 0;
    for vector in transfers("requests") {
        if !vector["plain_hex"].is_string() {
            continue; // not encrypted: no business of this module
        }
        let (id, expect) = (text(&vector["id"]), &vector["expect"]);
        let packet = unhex(text(&vector["packet_hex"]));
        let packet = RawPacket::parse(&packet).unwrap();
        let opened = open_packet(&packet).unwrap();
        assert_eq!(opened.plain(), unhex(text(&vector["plain_hex"])), "{id}");
        assert_eq!(opened.signature(alice().public()), Signature::Good, "{id}");
        assert_eq!(resealed(&vector), text(&vector["ext_text"]), "{id}");

        let hex = |key: &str| expect[key].as_u64().map(|number| format!("{number:x}"));
        let names = ["share_packet_no", "file_id", "offset", "file_capa"];
        let mut parts: Vec<_> = names.into_iter().filter_map(hex).collect();
        if let Some(key) = expect["file_key_hex"].as_str() {
            assert_eq!(*FileKey::from_hex(key.as_bytes()).unwrap().to_hex(), key, "{id}");
            parts.push(key.to_owned());
        }
        parts.extend(hex("replay_no"));
        let request = Plain::read(opened.plain(), false).text;
        assert_eq!(str::from_utf8(request).unwrap(), parts.join(":"), "{id}");
        made += 1;
    }
    assert_eq!(made, 3);
}

#[test]
fn every_file_stream_is_read_and_written_in_pieces_of_any_size() {
    let mut read = 0;
    for vector in transfers("ctr") {
        // The third begins at a counter that no number gives; it is tested beside the code.
        let Some(number) = vector["packet_no"].as_str() else { continue };
        let field = |name: &str| unhex(text(&vector[name]));
        let key = FileKey::from_hex(text(&vector["key_hex"]).as_bytes()).unwrap();
        let (plain, sealed) = (field("plain_hex"), field("cipher_hex"));
        for size in [1, 7, 15, 16, 17, 64, plain.len()] {
            for (from, to) in [(&plain, &sealed), (&sealed, &plain)] {
                let mut stream = FileStream::new(&key, number.as_bytes());
                let mut bytes = from.clone();
                bytes.chunks_mut(size).for_each(|piece| stream.apply(piece));
                assert_eq!(&bytes, to, "{} in pieces of {size}", vector["id"]);
            }
        }
        read += 1;
    }
    assert_eq!(read, 2);
}

#[test]
fn the_group_messages_that_were_recorded_are_read_and_made_again() {
    for id in ["group-msg-multicast-hex", "group-msg-java-hex"] {
        let vector = named(&vectors::feiq("vectors"), id);
        let expect = &vector["expect"]["group_message"];
        let datagram = bytes(&vector);
        let packet = RawPacket::parse(&datagram).unwrap();
        let version = FeiqVersion::parse(packet.version).unwrap();
        let mac = version.mac.unwrap();
        assert_eq!(mac, text(&expect["key_ascii"]).as_bytes());
        let rest = packet.rest.unwrap();
        let plain = unscramble(mac, rest, version.cipher_length).unwrap();
        assert_eq!(plain, unhex(text(&expect["plaintext_hex"])), "{id}");
        assert_eq!(unscramble(mac, rest, None).as_ref(), Some(&plain), "{id}");

        let message = GroupText::read(&plain).unwrap();
        assert_eq!(message.group, text(&expect["group_id"]));
        assert_eq!(message.number.unwrap().to_string(), text(&expect["suffix_number"]));
        assert_eq!(Charset::GBK.decode(message.text), text(&expect["text"]));

        let scrambled = scramble(mac, &plain).unwrap();
        assert_eq!(scrambled.len(), expect["cipher_len"]);
        assert_eq!(rest.split_at(scrambled.len()).0, scrambled, "{id}");
        // Real clients end the plain text with a NUL, which the third party leaves out.
        let written = message.emit();
        assert_eq!(written.strip_suffix(b"\0"), plain.strip_suffix(b"\0").or(Some(&plain)), "{id}");
    }
}

/// Every suite that can be chosen.
fn suites() -> impl Strategy<Value = Suite> {
    let sign = prop_oneof![Just(0), Just(0x2000_0000), Just(0x4000_0000)];
    let kind = prop_oneof![
        sign.prop_map(|sign| 0x10_0004 | sign), // RSA-2048 with AES
        Just(0x2_0002),                         // RSA-1024 with Blowfish
    ];
    (kind, any::<bool>(), any::<bool>()).prop_map(|(kind, iv, base64)| {
        let own = Capability::from_bits_retain(
            kind | u32::from(iv) << 23 | u32::from(base64) << 24 | 0x0400_1001,
        );
        Suite::choose(own, own).unwrap()
    })
}

fn sealed_by_alice(suite: Suite, plain: &[u8], number: &[u8], rng: &mut StdRng) -> String {
    let recipient = bob().pair(suite.key()).unwrap().public();
    let sealing = Sealing { suite, recipient, signer: Some(alice()), number };
    seal(plain, &sealing, rng as &mut dyn CryptoRngCore).unwrap()
}

proptest! {
    #[test]
    fn opening_undoes_sealing(
        suite in suites(),
        plain in prop::collection::vec(any::<u8>(), 0..600),
        number in any::<u64>(),
        seed in any::<u64>(),
    ) {
        let (number, mut rng) = (number.to_string(), StdRng::seed_from_u64(seed));
        let section = sealed_by_alice(suite, &plain, number.as_bytes(), &mut rng);
        let envelope = envelope(section.as_bytes()).unwrap();
        prop_assert_eq!(envelope.methods, suite.methods());
        let opened = open(&envelope, number.as_bytes(), bob(), &mut rng).unwrap();
        prop_assert_eq!(opened.plain(), plain);
        prop_assert_eq!(opened.suite(), suite);
        let signature = opened.signature(alice().public());
        let good = if suite.digest().is_some() { Signature::Good } else { Signature::None };
        prop_assert_eq!(signature, good);
    }

    #[test]
    fn a_changed_section_never_opens_as_signed(
        suite in suites(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let plain = b"meet at nine in room 3\0";
        let section = sealed_by_alice(suite, plain, b"17", &mut rng());
        let mut changed = section.clone().into_bytes();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != to && !changed[at].eq_ignore_ascii_case(&to));
        changed[at] = to;
        let opened = envelope(&changed)
            .and_then(|envelope| open(&envelope, b"17", bob(), &mut rng()).ok());
        if let Some(opened) = opened {
            let signature = opened.signature(alice().public());
            prop_assert!(signature != Signature::Good || opened.plain() == plain);
        }
    }

    #[test]
    fn arbitrary_sections_never_panic(
        main in prop::collection::vec(any::<u8>(), 0..300),
        number in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        if let Some(envelope) = envelope(&main) {
            let _ = open(&envelope, &number, bob(), &mut rng());
        }
        let _ = KeyOffer::read(&main);
        let _ = Capability::read(&main);
        let _ = KeyPair::from_pkcs8(&main);
        let _ = Plain::read(&main, true).emit();
        let _ = GroupText::read(&main).map(|read| read.emit());
        let _ = unscramble(&number, &main, Some(96));
    }

    #[test]
    fn arbitrary_fields_never_panic(
        methods in any::<u32>(),
        key in "[0-9a-f]{0,520}|[A-Za-z0-9+/]{0,344}",
        body in "[0-9a-f]{0,96}|[A-Za-z0-9+/]{0,64}",
        signature in prop::option::of("[0-9a-f]{0,520}|[A-Za-z0-9+/]{0,344}"),
    ) {
        let envelope = Envelope {
            methods: Capability::from_bits_retain(methods),
            key: key.as_bytes(),
            body: body.as_bytes(),
            signature: signature.as_deref().map(str::as_bytes),
        };
        if let Ok(opened) = open(&envelope, b"1", bob(), &mut rng()) {
            prop_assert!(opened.signature(alice().public()) != Signature::Good);
        }
    }

    #[test]
    fn unscrambling_undoes_scrambling(
        mac in prop::collection::vec(any::<u8>(), 4..=56),
        plain in prop::collection::vec(any::<u8>(), 0..300),
        nul in any::<bool>(),
    ) {
        let mut rest = scramble(&mac, &plain).unwrap();
        let declared = u32::try_from(rest.len()).unwrap();
        if nul {
            rest.push(0);
        }
        prop_assert_eq!(unscramble(&mac, &rest, Some(declared)), Some(plain.clone()));
        prop_assert_eq!(unscramble(&mac, &rest, None), Some(plain));
    }
}

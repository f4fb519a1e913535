//! What sealing and opening cost, for each suite, and making the keys for it.
//!
//! Opening is what a stranger can ask for: its time is what the caps on private-key operations
//! multiply. `refused` is a section whose key unwraps to noise; it must cost what `opened` costs.
//! The text is 300 bytes, a long chat message. Suites go by their flags, see `Suite::choose`.

use std::sync::OnceLock;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use feige::crypto::ctr::{FileKey, FileStream};
use feige::crypto::{
    Capability, Envelope, KeyPair, KeySize, OwnKeys, PublicKey, Sealing, Signature, Suite, group,
    open, seal,
};
use feige::wire::Sealed;
use rand::SeedableRng;
use rand::rngs::StdRng;

fn main() {
    divan::main();
}

/// The three choices there are, and FeiQ's form of the third.
const SUITES: [&str; 4] = ["41900004", "21900004", "1820002", "20002"];

const NUMBER: &[u8] = b"1700000010";
const PLAIN: &[u8] = &[b'x'; 300];

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

fn keys() -> &'static OwnKeys {
    static KEYS: OnceLock<OwnKeys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let (mut keys, mut rng) = (OwnKeys::default(), rng());
        keys.insert(KeyPair::generate(KeySize::Rsa1024, &mut rng));
        keys.insert(KeyPair::generate(KeySize::Rsa2048, &mut rng));
        keys
    })
}

fn suite(methods: &str) -> Suite {
    Suite::of(Capability::read(methods.as_bytes()).unwrap()).unwrap()
}

fn public(size: KeySize) -> &'static PublicKey {
    keys().pair(size).unwrap().public()
}

fn sealing(suite: Suite) -> Sealing<'static> {
    let signer = keys().pair(KeySize::Rsa2048);
    Sealing { suite, recipient: public(suite.key()), signer, number: NUMBER }
}

fn envelope(section: &str) -> Envelope<'_> {
    let Sealed { methods, key, body, signature } = Sealed::split(section.as_bytes()).unwrap();
    Envelope { methods: Capability::from_bits_retain(methods), key, body, signature }
}

#[divan::bench(args = SUITES)]
fn sealed(bencher: Bencher<'_, '_>, methods: &str) {
    let (sealing, mut rng) = (sealing(suite(methods)), rng());
    bencher.bench_local(|| seal(black_box(PLAIN), &sealing, &mut rng).unwrap());
}

#[divan::bench(args = SUITES)]
fn opened(bencher: Bencher<'_, '_>, methods: &str) {
    let mut rng = rng();
    let section = seal(PLAIN, &sealing(suite(methods)), &mut rng).unwrap();
    let envelope = envelope(&section);
    bencher.bench_local(|| open(black_box(&envelope), NUMBER, keys(), &mut rng).unwrap());
}

#[divan::bench(args = SUITES)]
fn refused(bencher: Bencher<'_, '_>, methods: &str) {
    let mut rng = rng();
    let section = seal(PLAIN, &sealing(suite(methods)), &mut rng).unwrap();
    let mut envelope = envelope(&section);
    // The first digits of the wrapped key made zero: a smaller number, which unwraps to noise.
    let base64 = envelope.methods.contains(Capability::ENCODE_BASE64);
    let mut key = envelope.key.to_vec();
    key[..4].fill(if base64 { b'A' } else { b'0' });
    envelope.key = &key;
    bencher.bench_local(|| open(black_box(&envelope), NUMBER, keys(), &mut rng).unwrap_err());
}

#[divan::bench]
fn signature_checked(bencher: Bencher<'_, '_>) {
    let mut rng = rng();
    let section = seal(PLAIN, &sealing(suite(SUITES[0])), &mut rng).unwrap();
    let opened = open(&envelope(&section), NUMBER, keys(), &mut rng).unwrap();
    let signer = public(KeySize::Rsa2048);
    bencher.bench_local(|| assert_eq!(black_box(&opened).signature(signer), Signature::Good));
}

#[divan::bench(args = [KeySize::Rsa1024, KeySize::Rsa2048], sample_count = 40, sample_size = 1)]
fn key_made(bencher: Bencher<'_, '_>, size: KeySize) {
    let mut rng = rng();
    bencher.bench_local(|| KeyPair::generate(size, &mut rng));
}

#[divan::bench]
fn key_read_from_the_store(bencher: Bencher<'_, '_>) {
    let der = keys().pair(KeySize::Rsa2048).unwrap().to_pkcs8();
    bencher.bench_local(|| KeyPair::from_pkcs8(black_box(der.as_bytes())).unwrap());
}

#[divan::bench]
fn public_key_read(bencher: Bencher<'_, '_>) {
    let text = public(KeySize::Rsa2048).to_string();
    bencher.bench_local(|| PublicKey::read(black_box(text.as_bytes())).unwrap());
}

#[divan::bench]
fn fingerprint(bencher: Bencher<'_, '_>) {
    let key = public(KeySize::Rsa2048);
    bencher.bench_local(|| black_box(key).fingerprint());
}

#[divan::bench]
fn group_message_unscrambled(bencher: Bencher<'_, '_>) {
    let mac = b"02AABBCCDDEE";
    let scrambled = group::scramble(mac, &PLAIN[..95]).unwrap();
    bencher.bench_local(|| group::unscramble(mac, black_box(&scrambled), Some(96)).unwrap());
}

#[divan::bench]
fn file_stream(bencher: Bencher<'_, '_>) {
    let mut stream = FileStream::new(&FileKey::generate(&mut rng()), NUMBER);
    let mut piece = vec![0; 64 * 1024];
    bencher
        .counter(BytesCount::new(piece.len()))
        .bench_local(move || stream.apply(black_box(&mut piece)));
}

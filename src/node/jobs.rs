//! Work with private keys, which takes milliseconds and for a new key much longer: the node orders
//! it as a [`Job`], the shell has it done elsewhere by a [`Keyring`], and the [`Done`] comes back.

use std::sync::Arc;

use super::effect::KeyRecord;
use crate::crypto::{
    self, Capability, CryptoRngCore, Envelope, KeyError, KeyOffer, KeyPair, KeySize, OpenError,
    Opened, OwnKeys,
};

/// Names a job until it is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobId(pub u64);

/// Something to do with our private keys.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Job {
    /// What to answer to a question for our key. A key that does not exist yet is made.
    Offer {
        /// What the asker can do.
        asker: Capability,
    },
    /// Open an encrypted section.
    Open(Section),
}

/// An encrypted section of a message as it came, and the number of its packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// How it was made.
    pub methods: Capability,
    /// The wrapped session key.
    pub key: Vec<u8>,
    /// The encrypted body.
    pub body: Vec<u8>,
    /// The signature.
    pub signature: Option<Vec<u8>>,
    /// The packet number as it stands in the packet.
    pub number: Vec<u8>,
}

/// What came of a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum Done {
    /// Of [`Job::Offer`].
    Offer {
        /// The key and what we can do with ours; none if the asker can use none of them.
        offer: Option<KeyOffer>,
        /// Keys that were made for it; the offer may leave when they are kept.
        made: Vec<KeyRecord>,
    },
    /// Of [`Job::Open`].
    Opened(Result<Opened, OpenError>),
}

/// Our private keys, and who works with them. Prints none of them.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Box<OwnKeys>,
}

impl Keyring {
    /// Puts a key back that an earlier run made: PKCS#8, DER.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if it is none of ours.
    pub fn restore(&mut self, der: &[u8]) -> Result<(), KeyError> {
        self.keys.insert(KeyPair::from_pkcs8(der)?);
        Ok(())
    }

    /// Does a job. Takes milliseconds, and up to a second when a key has to be made. `rng` decides
    /// how secret a new key is: take the operating system's generator.
    pub fn perform(&mut self, job: Job, rng: &mut dyn CryptoRngCore) -> Done {
        match job {
            Job::Offer { asker } => {
                let mut made = Vec::new();
                if asker.contains(Capability::RSA_1024) {
                    made.extend(self.make(KeySize::Rsa1024, rng));
                }
                Done::Offer { offer: self.keys.offer_to(asker), made }
            }
            Job::Open(section) => {
                let envelope = Envelope {
                    methods: section.methods,
                    key: &section.key,
                    body: &section.body,
                    signature: section.signature.as_deref(),
                };
                Done::Opened(crypto::open(&envelope, &section.number, &self.keys, rng))
            }
        }
    }

    /// A new key of this size, if there is none.
    fn make(&mut self, size: KeySize, rng: &mut dyn CryptoRngCore) -> Option<KeyRecord> {
        if self.keys.pair(size).is_some() {
            return None;
        }
        let pair = KeyPair::generate(size, rng);
        let der = Arc::new(pair.to_pkcs8());
        self.keys.insert(pair);
        Some(KeyRecord { size, der })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn offer(ring: &mut Keyring, asker: u32) -> (Option<KeyOffer>, Vec<KeyRecord>) {
        let asker = Capability::from_bits_retain(asker);
        match ring.perform(Job::Offer { asker }, &mut StdRng::seed_from_u64(5)) {
            Done::Offer { offer, made } => (offer, made),
            Done::Opened(_) => panic!("an offer"),
        }
    }

    #[test]
    fn a_key_is_made_once_and_restored() {
        let mut ring = Keyring::default();
        let (first, made) = offer(&mut ring, 0x2_1003);
        assert_eq!(made.len(), 1);
        assert_eq!(first.as_ref().map(|offer| offer.key.bits()), Some(1024));
        assert_eq!(offer(&mut ring, 0x2_1003), (first.clone(), Vec::new()));

        let mut later = Keyring::default();
        later.restore(made[0].der.as_bytes()).unwrap();
        assert_eq!(offer(&mut later, 0x2_1003), (first, Vec::new()));
        assert!(later.restore(b"no key").is_err());
    }

    #[test]
    fn nobody_who_cannot_use_it_makes_us_work() {
        assert_eq!(offer(&mut Keyring::default(), 0x10_0004), (None, Vec::new()));
    }
}

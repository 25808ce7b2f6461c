//! The capsule: a record's data key under two locks, and the label that both are bound to.
//!
//! ```text
//! SaltedCapsule = [salt (32), capsule]            commitment = digest(salt, canonical capsule)
//! Capsule       = [suite, label, encapsulated (1120), second lock (128), key commitment (32), sealed key (48)]
//!
//! first lock    ss_P = HPKE export to the compartment's key, info bound to the label
//! second lock   ss_T = threshold KEM to the committee, proof bound to the label
//! key ‖ key commitment = HKDF(ss_P ‖ ss_T, digest of (label, both encapsulations))
//! sealed key    = ChaCha20-Poly1305(key, zero nonce, data key, additional data: label)
//! ```
//!
//! The first lock opens for the patient and for readers who were granted the compartment's epoch; the
//! second for whoever has a committed access. Neither a reader alone, nor all validators together, have
//! both.
//!
//! # Invariants
//!
//! * Encapsulations are inputs of the key derivation, so the whole withstands chosen ciphertexts as
//!   long as one of the locks does.
//! * The derived key is used for one message, hence the zero nonce.
//! * The commitment covers every byte of the capsule, under a salt that is erased with it.
//!
//! Not here: whether the label is the ledger's ([`crate::release`] refuses otherwise), and the bytes of
//! the record ([`crate::body`]).

use alloc::vec::Vec;

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};
use keepwell_types::{
    DecodeError,
    encoding::Blob,
    id::{Commitment, Digest, Suite},
    limits::CAPSULE_BYTES_MAX,
    record::Label,
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    body::Dek,
    hash::{derive, digest},
    seal::{self, ENCAPSULATED_BYTES, OpenError, SealError, SealingKey, SealingPublic, TAG_BYTES},
    secret::secret,
    threshold::{self, Ciphertext, CiphertextError, Committee, ProvenPoint, ReleaseSecret},
};

const GRANT_DOMAIN: &str = "keepwell/capsule/grant/v1";
const SEALED_KEY_BYTES: usize = 32 + TAG_BYTES;

secret! {
    /// What the first lock of one capsule opens with.
    GrantSecret, 32
}

/// A data key under two locks.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Capsule {
    #[n(0)]
    suite: Suite,
    #[n(1)]
    label: Label,
    #[n(2)]
    encapsulated: Blob<ENCAPSULATED_BYTES>,
    #[n(3)]
    release: Ciphertext,
    #[n(4)]
    key_commitment: Digest,
    #[n(5)]
    sealed_key: Blob<SEALED_KEY_BYTES>,
}

impl Capsule {
    /// Puts `dek` under both locks. Needs public keys only: the patient may be offline.
    pub fn seal(
        rng: &mut impl CryptoRng,
        label: Label,
        compartment: &SealingPublic,
        committee: &Committee,
        dek: &Dek,
    ) -> Result<Self, SealError> {
        if label.committee != committee.id() {
            let (label, committee) = (label.committee, committee.id());
            return Err(SealError::WrongCommittee { label, committee });
        }
        let label_bytes = keepwell_types::encode(&label);
        let (encapsulated, granted) =
            seal::share_secret(rng, compartment, GRANT_DOMAIN, &[&label_bytes]);
        let (release, released) = threshold::encapsulate(rng, committee, &label_bytes);
        let locks = Locks { label: &label_bytes, encapsulated: &encapsulated, release: &release };
        let (key, key_commitment) = locks.derive(&granted, released.as_bytes());
        let message = Payload { msg: dek.as_bytes().as_slice(), aad: &label_bytes };
        let sealed_key = cipher(&key)
            .encrypt(&[0; 12].into(), message)
            .expect("32 bytes are within the cipher's limit");
        Ok(Self {
            suite: Suite::One,
            label,
            encapsulated: Blob::from_vec(encapsulated).expect("X-Wing's length"),
            release,
            key_commitment,
            sealed_key: Blob::from_vec(sealed_key).expect("a key and a tag"),
        })
    }

    /// What the locks are bound to.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Opens the first lock with the key of the compartment's epoch. A wrong key yields a secret that
    /// [`Self::open`] refuses.
    pub fn open_grant(&self, key: &SealingKey) -> Result<GrantSecret, OpenError> {
        let label = keepwell_types::encode(&self.label);
        seal::shared_secret(key, GRANT_DOMAIN, &[&label], &self.encapsulated).map(GrantSecret)
    }

    /// Checks that the second lock was made for this label and committee; what a validator multiplies
    /// its share with.
    pub fn verify_release(&self, committee: &Committee) -> Result<ProvenPoint, CiphertextError> {
        let label = keepwell_types::encode(&self.label);
        threshold::verify_ciphertext(committee, &label, &self.release)
    }

    /// The second lock, which [`threshold::combine`] takes.
    pub fn release_lock(&self) -> &Ciphertext {
        &self.release
    }

    /// Opens the capsule with both secrets.
    pub fn open(&self, granted: &GrantSecret, released: &ReleaseSecret) -> Result<Dek, OpenError> {
        let label = keepwell_types::encode(&self.label);
        let locks =
            Locks { label: &label, encapsulated: &self.encapsulated, release: &self.release };
        let (key, key_commitment) = locks.derive(granted.as_bytes(), released.as_bytes());
        if !bool::from(key_commitment.0.ct_eq(&self.key_commitment.0)) {
            return Err(OpenError::WrongKey);
        }
        let message = Payload { msg: &self.sealed_key, aad: &label };
        let dek = cipher(&key)
            .decrypt(&[0; 12].into(), message)
            .map(Zeroizing::new)
            .map_err(|_| OpenError::WrongKey)?;
        let dek = dek.as_slice().try_into().map_err(|_| OpenError::WrongKey)?;
        Ok(Dek::from_bytes(dek))
    }
}

/// All of a capsule that its key depends on, beside the two secrets.
struct Locks<'a> {
    label: &'a [u8],
    encapsulated: &'a [u8],
    release: &'a Ciphertext,
}

impl Locks<'_> {
    fn derive(&self, granted: &[u8; 32], released: &[u8; 32]) -> (Zeroizing<[u8; 32]>, Digest) {
        let mut secrets = Zeroizing::new([0; 64]);
        secrets[..32].copy_from_slice(granted);
        secrets[32..].copy_from_slice(released);
        let [u, u_second, challenge, response] = self.release.parts();
        let transcript = [self.label, self.encapsulated, u, u_second, challenge, response];
        let derived: Zeroizing<[u8; 64]> =
            derive(&*secrets, "keepwell/capsule/key/v1", &transcript);
        let mut key = Zeroizing::new([0; 32]);
        let mut key_commitment = [0; 32];
        key.copy_from_slice(&derived[..32]);
        key_commitment.copy_from_slice(&derived[32..]);
        (key, Digest(key_commitment))
    }
}

fn cipher(key: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.into())
}

/// A capsule with the salt of its commitment: what lies at the custodians and is shown to validators.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct SaltedCapsule {
    /// Random; without it the commitment says nothing about the capsule.
    #[n(0)]
    pub salt: Digest,
    /// The capsule.
    #[n(1)]
    pub capsule: Capsule,
}

impl SaltedCapsule {
    /// Gives a capsule a fresh salt.
    pub fn new(rng: &mut impl CryptoRng, capsule: Capsule) -> Self {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        Self { salt: Digest(salt), capsule }
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        keepwell_types::decode(bytes, CAPSULE_BYTES_MAX)
    }

    /// Its canonical bytes: at most [`CAPSULE_BYTES_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }

    /// What stands on the ledger.
    pub fn commitment(&self) -> Commitment {
        let capsule = keepwell_types::encode(&self.capsule);
        Commitment(digest("keepwell/capsule/commitment/v1", &[&self.salt.0, &capsule]).0)
    }
}

//! Key files: secrets at rest, under a passphrase or under an operator's key.
//!
//! ```text
//! KeyFile    = [version, kind, label, demonstration, lock, nonce (12), ciphertext]
//! lock       = passphrase [memory in KiB, passes, lanes, salt (16)]  |  operator key [salt (16)]
//! key        = Argon2id (RFC 9106) of the passphrase  |  HKDF of the operator's key
//! ciphertext = ChaCha20-Poly1305(key, nonce, secret, additional data: all fields before it)
//! ```
//!
//! # Invariants
//!
//! * Every field is authenticated: a file cannot be given another label, or lose its demonstration flag.
//! * The work that a file asks for is bounded before it is done: a hostile file exhausts nothing.
//! * Keys that protect something are never locked with less work than [`Cost::MIN`].
//!
//! Not here: reading and writing files, and asking for passphrases. A passphrase is its UTF-8 bytes,
//! as they are given.

use alloc::vec::Vec;

use argon2::{Algorithm, Argon2, Params};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};
use keepwell_types::{
    DecodeError, encode,
    encoding::{Blob, Text},
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{hash::derive, seal::TAG_BYTES};

/// The one version of key files.
pub const KEY_FILE_VERSION: u8 = 1;
/// Bytes of the secret in a key file.
pub const SECRET_BYTES_MAX: usize = 1_024;
/// Bytes of a key file's label.
pub const LABEL_BYTES_MAX: usize = 128;
/// Bytes of a key file.
pub const KEY_FILE_BYTES_MAX: usize = 2_048;

/// Memory that a key file may ask for: 1 GiB.
pub const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Passes that a key file may ask for.
pub const PASSES_MAX: u32 = 16;
/// Lanes that a key file may ask for.
pub const LANES_MAX: u32 = 16;

/// Why a key file cannot be made or opened.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum KeyFileError {
    /// The file is cut off, or no key file.
    #[error("this is not a key file, or it is cut off: {0}; restore it from your copy")]
    Encoding(#[from] DecodeError),
    /// A version that this program does not know.
    #[error("the key file has version {given}; this program reads version {}", KEY_FILE_VERSION)]
    Version {
        /// In the file.
        given: u8,
    },
    /// The file asks for work outside the limits.
    #[error("the key file asks for {} KiB, {} passes and {} lanes, which is outside the limits; it is damaged or hostile", .0.memory_kib, .0.passes, .0.lanes)]
    Cost(Cost),
    /// A key that protects something would be guarded too weakly.
    #[error("{} KiB and {} passes guard a real key too weakly; use Cost::STANDARD", .0.memory_kib, .0.passes)]
    CostTooLow(Cost),
    /// A passphrase of nothing.
    #[error("the passphrase is empty; choose one")]
    EmptyPassphrase,
    /// The secret is too long for a key file.
    #[error("a key file holds {max} bytes, not {len}")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Another passphrase or operator's key, or a changed file.
    #[error(
        "the passphrase or operator key is wrong, or the file was changed; try again, name the operator's file or token that locked it, or restore it from your copy"
    )]
    Wrong,
    /// The file is locked in the other way.
    #[error("the key file opens with {}", .needed.as_str())]
    WrongLock {
        /// What it opens with.
        needed: LockKind,
    },
    /// The file holds another kind of key.
    #[error("the file holds a {given:?} key and a {needed:?} key is needed; give the right file")]
    WrongKind {
        /// In the file.
        given: KeyKind,
        /// Asked for.
        needed: KeyKind,
    },
}

/// What a secret is for.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cbor(index_only)]
pub enum KeyKind {
    /// The root of a patient's wallet or of a key agent's charts.
    #[n(0)]
    Root,
    /// A member.
    #[n(1)]
    Member,
    /// An organisation's administrator.
    #[n(2)]
    Administrator,
    /// A custodian's acknowledgements.
    #[n(3)]
    Custodian,
    /// A validator's votes.
    #[n(4)]
    Consensus,
    /// A validator's release answers.
    #[n(5)]
    Release,
    /// A validator's share of the committee's key.
    #[n(6)]
    Share,
    /// A validator's key for receiving shares in a ceremony.
    #[n(7)]
    Ceremony,
    /// Keys of an organisation's own, such as that of its uniqueness tags.
    #[n(8)]
    Organisation,
    /// A trustee, who holds shares of what is left to emergencies.
    #[n(9)]
    Trustee,
    /// A validator's share of the key that evaluates for matching.
    #[n(10)]
    MatchingShare,
    /// A validator's key to which shares are dealt in one change of validators.
    #[n(11)]
    Receiving,
}

/// How a file is locked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LockKind {
    /// By a passphrase.
    Passphrase,
    /// By an operator's key.
    OperatorKey,
}

impl LockKind {
    /// As people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passphrase => "a passphrase",
            Self::OperatorKey => "an operator key",
        }
    }
}

/// How much work Argon2id does for one guess.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Cost {
    /// Memory.
    #[n(0)]
    pub memory_kib: u32,
    /// Passes over it.
    #[n(1)]
    pub passes: u32,
    /// Independent lanes.
    #[n(2)]
    pub lanes: u32,
}

impl Cost {
    /// For keys that protect something: 256 MiB, three passes.
    pub const STANDARD: Self = Self { memory_kib: 256 * 1024, passes: 3, lanes: 1 };
    /// The least for keys that protect something: 64 MiB and three passes, as in the second choice of
    /// RFC 9106, section 4.
    pub const MIN: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
    /// Next to nothing, for keys of demonstrations only.
    pub const DEMONSTRATION: Self = Self { memory_kib: 64, passes: 1, lanes: 1 };

    fn params(&self) -> Result<Params, KeyFileError> {
        let bounded = self.memory_kib <= MEMORY_KIB_MAX
            && self.passes <= PASSES_MAX
            && self.lanes <= LANES_MAX;
        match Params::new(self.memory_kib, self.passes, self.lanes, Some(32)) {
            Ok(params) if bounded => Ok(params),
            Ok(_) | Err(_) => Err(KeyFileError::Cost(*self)),
        }
    }
}

/// What a key file says about its secret in the open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct About {
    /// What it is for.
    pub kind: KeyKind,
    /// Whose it is, in words or identifiers. Never the name of a patient.
    pub label: Text<LABEL_BYTES_MAX>,
    /// Whether a demonstration made it, so that it protects nothing.
    pub demonstration: bool,
}

#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
enum Lock {
    #[n(0)]
    Passphrase {
        #[n(0)]
        cost: Cost,
        #[n(1)]
        salt: Bytes<16>,
    },
    #[n(1)]
    OperatorKey {
        #[n(0)]
        salt: Bytes<16>,
    },
}

impl Lock {
    fn kind(&self) -> LockKind {
        match self {
            Self::Passphrase { .. } => LockKind::Passphrase,
            Self::OperatorKey { .. } => LockKind::OperatorKey,
        }
    }
}

/// A locked secret.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct KeyFile {
    #[n(0)]
    version: u8,
    #[n(1)]
    kind: KeyKind,
    #[n(2)]
    label: Text<LABEL_BYTES_MAX>,
    #[n(3)]
    demonstration: bool,
    #[n(4)]
    lock: Lock,
    #[n(5)]
    nonce: Bytes<12>,
    #[n(6)]
    ciphertext: Blob<{ SECRET_BYTES_MAX + TAG_BYTES }>,
}

impl KeyFile {
    /// Locks `secret` with a passphrase.
    pub fn with_passphrase(
        rng: &mut impl CryptoRng,
        about: About,
        secret: &[u8],
        passphrase: &str,
        cost: Cost,
    ) -> Result<Self, KeyFileError> {
        let weak = cost.memory_kib < Cost::MIN.memory_kib || cost.passes < Cost::MIN.passes;
        if weak && !about.demonstration {
            return Err(KeyFileError::CostTooLow(cost));
        }
        if passphrase.is_empty() {
            return Err(KeyFileError::EmptyPassphrase);
        }
        let salt = Bytes::random(rng);
        let key = passphrase_key(passphrase, &cost, &salt)?;
        Self::lock(rng, about, secret, Lock::Passphrase { cost, salt }, &key)
    }

    /// Locks `secret` with an operator's key of 32 random bytes, which is kept elsewhere.
    pub fn with_operator_key(
        rng: &mut impl CryptoRng,
        about: About,
        secret: &[u8],
        operator_key: &[u8; 32],
    ) -> Result<Self, KeyFileError> {
        let salt = Bytes::random(rng);
        let key = operator_file_key(operator_key, &salt);
        Self::lock(rng, about, secret, Lock::OperatorKey { salt }, &key)
    }

    /// What the file says about its secret. Authentic once the file was opened.
    pub fn about(&self) -> About {
        let (kind, demonstration) = (self.kind, self.demonstration);
        About { kind, label: self.label.clone(), demonstration }
    }

    /// What the file opens with.
    pub fn lock_kind(&self) -> LockKind {
        self.lock.kind()
    }

    /// Refuses a file that holds another kind of key.
    pub fn expect_kind(&self, needed: KeyKind) -> Result<(), KeyFileError> {
        if self.kind == needed {
            Ok(())
        } else {
            Err(KeyFileError::WrongKind { given: self.kind, needed })
        }
    }

    /// Opens the file with its passphrase.
    pub fn open_with_passphrase(
        &self,
        passphrase: &str,
    ) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        match &self.lock {
            Lock::Passphrase { cost, salt } => {
                self.unlock(&*passphrase_key(passphrase, cost, salt)?)
            }
            Lock::OperatorKey { .. } => {
                Err(KeyFileError::WrongLock { needed: LockKind::OperatorKey })
            }
        }
    }

    /// Opens the file with the operator's key.
    pub fn open_with_operator_key(
        &self,
        operator_key: &[u8; 32],
    ) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        match &self.lock {
            Lock::OperatorKey { salt } => self.unlock(&operator_file_key(operator_key, salt)),
            Lock::Passphrase { .. } => {
                Err(KeyFileError::WrongLock { needed: LockKind::Passphrase })
            }
        }
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyFileError> {
        let file: Self = keepwell_types::decode(bytes, KEY_FILE_BYTES_MAX)?;
        if file.version != KEY_FILE_VERSION {
            return Err(KeyFileError::Version { given: file.version });
        }
        Ok(file)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    fn lock(
        rng: &mut impl CryptoRng,
        about: About,
        secret: &[u8],
        lock: Lock,
        key: &[u8; 32],
    ) -> Result<Self, KeyFileError> {
        let (len, max) = (secret.len(), SECRET_BYTES_MAX);
        if len > max {
            return Err(KeyFileError::TooLong { len, max });
        }
        let About { kind, label, demonstration } = about;
        let mut file = Self {
            version: KEY_FILE_VERSION,
            kind,
            label,
            demonstration,
            lock,
            nonce: Bytes::random(rng),
            ciphertext: Blob::from_vec(Vec::new()).expect("nothing is within every limit"),
        };
        let ciphertext = ChaCha20Poly1305::new(key.into())
            .encrypt(&file.nonce.0.into(), Payload { msg: secret, aad: &file.authenticated() })
            .expect("the secret is far shorter than the cipher's limit");
        file.ciphertext = Blob::from_vec(ciphertext).expect("the length was checked");
        Ok(file)
    }

    fn unlock(&self, key: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let payload = Payload { msg: &self.ciphertext, aad: &self.authenticated() };
        ChaCha20Poly1305::new(key.into())
            .decrypt(&self.nonce.0.into(), payload)
            .map(Zeroizing::new)
            .map_err(|_| KeyFileError::Wrong)
    }

    /// All fields before the ciphertext, as one canonical array.
    fn authenticated(&self) -> Vec<u8> {
        let Self { version, kind, label, demonstration, lock, nonce, ciphertext: _ } = self;
        encode(&Authenticated {
            version: *version,
            kind: *kind,
            label: label.clone(),
            demonstration: *demonstration,
            lock: lock.clone(),
            nonce: *nonce,
        })
    }
}

/// A [`KeyFile`] without its ciphertext.
#[derive(Encode)]
struct Authenticated {
    #[n(0)]
    version: u8,
    #[n(1)]
    kind: KeyKind,
    #[n(2)]
    label: Text<LABEL_BYTES_MAX>,
    #[n(3)]
    demonstration: bool,
    #[n(4)]
    lock: Lock,
    #[n(5)]
    nonce: Bytes<12>,
}

/// Random public bytes of a fixed number.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(transparent)]
struct Bytes<const N: usize>(#[cbor(n(0), with = "minicbor::bytes")] [u8; N]);

impl<const N: usize> Bytes<N> {
    fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; N];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

fn passphrase_key(
    passphrase: &str,
    cost: &Cost,
    salt: &Bytes<16>,
) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, cost.params()?);
    let mut key = Zeroizing::new([0; 32]);
    argon2
        .hash_password_into(passphrase.as_bytes(), &salt.0, &mut *key)
        .map_err(|_| KeyFileError::Cost(*cost))?;
    Ok(key)
}

fn operator_file_key(operator_key: &[u8; 32], salt: &Bytes<16>) -> Zeroizing<[u8; 32]> {
    derive(operator_key, "keepwell/keyfile/operator/v1", &[&salt.0])
}

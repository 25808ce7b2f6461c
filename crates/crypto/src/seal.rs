//! Sealing to a public key: HPKE (RFC 9180) in base mode, with X-Wing, HKDF-SHA256 and
//! ChaCha20-Poly1305.
//!
//! X-Wing (HPKE KEM 0x647A) is X25519 with ML-KEM-768: an attacker has to break both. This is the layer
//! on which confidentiality for decades rests.
//!
//! # Invariants
//!
//! * `info` is `digest(domain, parts)`: what is sealed for one use and one context opens in no other.
//! * Every sealing draws a fresh encapsulation; none is used for two plaintexts.
//!
//! Not here: who sealed. Sealing is anonymous; whatever needs an author is signed as well.

use alloc::vec::Vec;

use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use keepwell_types::{
    DecodeError,
    chart::COMPARTMENT_KEY_BYTES,
    encoding::Blob,
    id::{CommitteeId, Digest},
};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::hash::digest;

type Kem = hpke::kem::XWing;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;
type PrivateKey = <Kem as hpke::Kem>::PrivateKey;
type PublicKey = <Kem as hpke::Kem>::PublicKey;
type Encapsulated = <Kem as hpke::Kem>::EncappedKey;

/// Bytes of an X-Wing encapsulation.
pub const ENCAPSULATED_BYTES: usize = 1_120;
/// Bytes of a ChaCha20-Poly1305 or AES-GCM tag.
pub const TAG_BYTES: usize = 16;

/// Why something could not be sealed: the fault of whoever asks.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SealError {
    /// Not the encoding of an X-Wing public key.
    #[error("the bytes are not an X-Wing public key; fetch the key sheet or the key again")]
    PublicKey,
    /// The content is larger than a record may be.
    #[error("{len} bytes are more than the {max} that a record may have; split the content")]
    ContentTooLong {
        /// Bytes given.
        len: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// The buffer has no room for the sealed chunk.
    #[error("the buffer has {given} bytes and the sealed chunk needs {needed}")]
    BufferTooSmall {
        /// Bytes given.
        given: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// All chunks of the body are sealed already.
    #[error("the body is complete; it has no further chunk")]
    Finished,
    /// The label names another committee than the one whose key is used.
    #[error(
        "the label names committee {label} and the key is of committee {committee}; take the committee from the genesis file"
    )]
    WrongCommittee {
        /// In the label.
        label: CommitteeId,
        /// Of the key.
        committee: CommitteeId,
    },
    /// More seeds than one grant can carry, or two for one epoch of one compartment.
    #[error("the seeds of a grant are at most {max}, one for each epoch of a compartment")]
    Seeds {
        /// Seeds allowed.
        max: usize,
    },
    /// Words of a case are too long.
    #[error(
        "{len} bytes of text are more than the {max} that one statement may have; shorten it, or add a record and refer to it"
    )]
    TextTooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Words of a case are for too many members, or a record has too many versions.
    #[error(
        "words of a case are sealed for {max} members or versions of a record at most, not {given}"
    )]
    TooManyReaders {
        /// Given.
        given: usize,
        /// Allowed.
        max: usize,
    },
}

/// Why something could not be opened: a wrong key, or a sealed object that is not what it should be.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum OpenError {
    /// The sealed object is not in its encoding.
    #[error("this is not such a sealed object: {0}")]
    Encoding(#[from] DecodeError),
    /// The key does not open this.
    #[error(
        "the key does not open this: it is for another key, record or set of terms, or it is damaged"
    )]
    WrongKey,
    /// The header of a body is cut off or of another version.
    #[error("the header of the body is cut off or of an unknown version; fetch the body again")]
    Header,
    /// No body has this many bytes.
    #[error("no sealed body has {sealed_bytes} bytes; take the number from the record's label")]
    Size {
        /// Bytes given.
        sealed_bytes: u64,
    },
    /// The body has no such chunk.
    #[error("the body has {chunks} chunks; there is no chunk {index}")]
    NoSuchChunk {
        /// Asked for, counted from 0.
        index: u32,
        /// How many there are.
        chunks: u32,
    },
    /// A chunk is not as long as it must be.
    #[error("chunk {index} has {given} bytes and must have {needed}; fetch it again")]
    ChunkLength {
        /// Which, counted from 0.
        index: u32,
        /// Bytes given.
        given: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// A chunk was damaged, or stands in another place than it was sealed for.
    #[error("chunk {index} is damaged or misplaced; fetch it from another custodian")]
    Chunk {
        /// Which, counted from 0.
        index: u32,
    },
    /// The length inside does not fit the size outside, or the padding is not zero: the author's fault.
    #[error("the body is padded wrongly; its author's software is at fault")]
    Padding,
    /// The stream ended early.
    #[error("the body ended after {opened} of {chunks} chunks; fetch the rest")]
    Incomplete {
        /// Chunks opened.
        opened: u32,
        /// Chunks there are.
        chunks: u32,
    },
    /// The seeds inside are out of order or given twice: the fault of whoever gave the grant.
    #[error("the sealed seeds are out of order; ask for the grant again")]
    Seeds,
}

/// A private X-Wing key. Erased from memory when dropped.
#[derive(Clone)]
pub struct SealingKey(PrivateKey);

impl SealingKey {
    /// The key of a 32-byte seed, which is its whole encoding.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(PrivateKey::from_bytes(seed).expect("every 32 bytes are an X-Wing private key"))
    }

    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self::from_seed(&seed)
    }

    /// What seals to it.
    pub fn public(&self) -> SealingPublic {
        SealingPublic(Kem::sk_to_pk(&self.0))
    }
}

impl core::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// A public X-Wing key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SealingPublic(PublicKey);

impl SealingPublic {
    /// Bytes of its encoding.
    pub const LEN: usize = COMPARTMENT_KEY_BYTES;

    /// The key with this encoding. Refuses what FIPS 203, section 7.2, refuses.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        PublicKey::from_bytes(bytes).map(Self).map_err(|_| SealError::PublicKey)
    }

    /// Its encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// Its encoding, as messages carry it.
    pub fn to_blob(&self) -> Blob<COMPARTMENT_KEY_BYTES> {
        Blob::from_vec(self.to_bytes()).expect("an X-Wing public key has this length")
    }

    /// What the ledger knows it by.
    pub fn digest(&self) -> Digest {
        digest("keepwell/seal/key/v1", &[&self.to_bytes()])
    }
}

/// Seals `plaintext` to `to`: an encapsulation of [`ENCAPSULATED_BYTES`], and the ciphertext, which is
/// [`TAG_BYTES`] longer than the plaintext.
pub fn seal(
    rng: &mut impl CryptoRng,
    to: &SealingPublic,
    domain: &str,
    parts: &[&[u8]],
    plaintext: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let info = digest(domain, parts);
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(
        &OpModeS::Base,
        &to.0,
        info.as_bytes(),
        plaintext,
        b"",
        rng,
    )
    .expect("X-Wing encapsulates to every key that parsed, and memory holds no message too long");
    (encapsulated.to_bytes().to_vec(), ciphertext)
}

/// Opens what [`seal`] made for this key, use and context.
pub fn open(
    key: &SealingKey,
    domain: &str,
    parts: &[&[u8]],
    encapsulated: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let info = digest(domain, parts);
    let encapsulated = parse_encapsulated(encapsulated)?;
    hpke::single_shot_open::<Aead, Kdf, Kem>(
        &OpModeR::Base,
        &key.0,
        &encapsulated,
        info.as_bytes(),
        ciphertext,
        b"",
    )
    .map(Zeroizing::new)
    .map_err(|_| OpenError::WrongKey)
}

/// A fresh secret shared with the holder of `to`'s private key, and its encapsulation: HPKE's secret
/// export (RFC 9180, section 5.3), without a message.
pub(crate) fn share_secret(
    rng: &mut impl CryptoRng,
    to: &SealingPublic,
    domain: &str,
    parts: &[&[u8]],
) -> (Vec<u8>, Zeroizing<[u8; 32]>) {
    let info = digest(domain, parts);
    let (encapsulated, context) =
        hpke::setup_sender_with_rng::<Aead, Kdf, Kem>(&OpModeS::Base, &to.0, info.as_bytes(), rng)
            .expect("X-Wing encapsulates to every key that parsed");
    let mut secret = Zeroizing::new([0; 32]);
    context.export(domain.as_bytes(), &mut *secret).expect("32 bytes are within HPKE's limit");
    (encapsulated.to_bytes().to_vec(), secret)
}

/// The secret that [`share_secret`] made, for the holder of the private key. Another key gives another
/// secret, not an error.
pub(crate) fn shared_secret(
    key: &SealingKey,
    domain: &str,
    parts: &[&[u8]],
    encapsulated: &[u8],
) -> Result<Zeroizing<[u8; 32]>, OpenError> {
    let info = digest(domain, parts);
    let encapsulated = parse_encapsulated(encapsulated)?;
    let context = hpke::setup_receiver::<Aead, Kdf, Kem>(
        &OpModeR::Base,
        &key.0,
        &encapsulated,
        info.as_bytes(),
    )
    .map_err(|_| OpenError::WrongKey)?;
    let mut secret = Zeroizing::new([0; 32]);
    context.export(domain.as_bytes(), &mut *secret).expect("32 bytes are within HPKE's limit");
    Ok(secret)
}

fn parse_encapsulated(bytes: &[u8]) -> Result<Encapsulated, OpenError> {
    Encapsulated::from_bytes(bytes).map_err(|_| OpenError::WrongKey)
}

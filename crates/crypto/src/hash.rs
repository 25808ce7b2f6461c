//! Digests and derived keys: the one framing under every hash of Keepwell.
//!
//! ```text
//! digest(domain, parts) = SHA-256(len(domain) ‖ domain ‖ len(part 0) ‖ part 0 ‖ ...)      len: u64, little endian
//! ```
//!
//! # Invariants
//!
//! * The input of every hash of a format of ours is an injective function of its domain and its list
//!   of parts: no two uses, and no two ways to cut the same bytes into parts, collide by construction.
//!   [`sha256`] and [`Stream`] are for the formats of others, and nothing else.
//! * A domain is `keepwell/<module>/<use>/v<k>` and belongs to one use only.
//!
//! Not here: Merkle trees (`keepwell-merkle`).

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use hkdf::Hkdf;
use keepwell_types::id::Digest;
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

/// The digest of a list of byte strings, for one use.
pub fn digest(domain: &str, parts: &[&[u8]]) -> Digest {
    let mut hasher = Hasher::new(domain);
    for part in parts {
        hasher.part(part);
    }
    hasher.finish()
}

/// [`digest`] for parts that are not all at hand at once.
#[derive(Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hash for the use that `domain` names, of no parts yet.
    pub fn new(domain: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.part(domain.as_bytes());
        hasher
    }

    /// Appends one part.
    pub fn part(&mut self, bytes: &[u8]) {
        absorb(&mut self.0, bytes);
    }

    /// The digest of the parts so far.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// SHA-256 of `parts`, one after the other, without any framing: for formats of others, such as the
/// trees of RFC 9162, that bring their own.
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Digest(hasher.finalize().into())
}

/// [`sha256`] of bytes that are not all at hand at once.
#[derive(Clone, Debug, Default)]
pub struct Stream(Sha256);

impl Stream {
    /// Of no bytes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of the bytes so far.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// A scalar that nobody can steer: SHA-512 under the same framing, reduced.
pub(crate) fn scalar(domain: &str, parts: &[&[u8]]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&wide(domain, parts))
}

/// A point whose discrete logarithm nobody knows: SHA-512 under the same framing, mapped to ristretto255.
pub(crate) fn point(domain: &str, parts: &[&[u8]]) -> RistrettoPoint {
    RistrettoPoint::from_uniform_bytes(&wide(domain, parts))
}

/// `N` bytes of key material from `secret`: HKDF-SHA256 (RFC 5869) with no salt and
/// `info = digest(domain, parts)`.
pub(crate) fn derive<const N: usize>(
    secret: &[u8],
    domain: &str,
    parts: &[&[u8]],
) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32, "RFC 5869 expands to at most 255 blocks") };
    let mut key = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(None, secret)
        .expand(digest(domain, parts).as_bytes(), &mut *key)
        .expect("the length was checked when this was compiled");
    key
}

fn wide(domain: &str, parts: &[&[u8]]) -> [u8; 64] {
    let mut hasher = Sha512::new();
    absorb(&mut hasher, domain.as_bytes());
    for part in parts {
        absorb(&mut hasher, part);
    }
    hasher.finalize().into()
}

fn absorb(hasher: &mut impl sha2::Digest, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

//! Ed25519: signing, and one meaning of "valid" for one signature and for thousands.
//!
//! A signature is over `digest(domain, [message])`, so a signature made for one use is worth nothing
//! in another.
//!
//! # What is valid
//!
//! RFC 8032 leaves room that implementations fill differently, and validators that differ about a
//! signature differ about a block. A signature (R, S) by key A over M is valid here if and only if
//!
//! 1. A and R are the canonical encodings of points (y < p),
//! 2. neither A nor R has small order,
//! 3. S < ℓ, and
//! 4. \[8\]\[S\]B = \[8\]R + \[8\]\[k\]A with k = SHA-512(R ‖ A ‖ M), the equation of RFC 8032, section 5.1.7.
//!
//! This is algorithm 2 of Chalkias, Garillot and Nikolaenko, "Taming the many EdDSAs" (2020), and also
//! refuses small R. It is strongly unforgeable, and binds a signature to its key and its message even
//! if the signer is malicious. Points with a component of small order (mixed order) need no test of
//! their own: step 4 clears it, and k covers the bytes of A and R, so nobody but the holder of the key
//! can change a signature.
//!
//! # Why a batch agrees
//!
//! A batch is decided by one equation, [8](Σᵢ \[zᵢ\]Rᵢ + Σ_A \[Σᵢ zᵢkᵢ\]A − \[Σᵢ zᵢSᵢ\]B) = 0, in which each key A
//! stands once, with the sum over its signatures: a hospital's key that signed half of a block costs as much
//! as one that signed once. The weights zᵢ are 128 bits of a hash of the whole batch, so that nobody chooses
//! a signature after them. The factor 8 leaves a group of prime order, in which the sum is 0 if every
//! signature fulfils step 4, and else with probability 2⁻¹²⁸ (Bernstein and others, "High-speed high-security
//! signatures", 2012, section 5). If it is not 0, the batch is cut into parts, and what is left at the end
//! is decided by step 4 alone. Either way the answer is that of the single verification. Without the
//! factor in both places the two would disagree: the component of small order of a crafted R cancels in one
//! batch out of eight.
//!
//! Not here: whose key it is. The ledger checks that.

use alloc::{collections::BTreeMap, vec::Vec};
use core::iter;

use curve25519_dalek::{
    constants::ED25519_BASEPOINT_POINT,
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::{IsIdentity as _, VartimeMultiscalarMul as _},
};
use ed25519_dalek::Signer as _;
use keepwell_types::id::{Digest, PublicKey, Signature};
use sha2::{Digest as _, Sha512};
use thiserror::Error;

use crate::hash::digest;

/// Why a signature does not count: always the fault of whoever sent it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SignatureError {
    /// Nobody is named as signer.
    #[error("the command names no signer; name whoever acts first")]
    Unsigned,
    /// Not one signature for each signer.
    #[error(
        "{signers} signers are named and {signatures} signatures given; each signer signs once"
    )]
    Count {
        /// Named in what is signed.
        signers: usize,
        /// Given.
        signatures: usize,
    },
    /// The key is not the canonical encoding of a point of large order.
    #[error("{0} is not a public key that this consortium accepts; make another key")]
    Key(PublicKey),
    /// R or S is not canonical, or R has small order.
    #[error("the signature by key {0} is malformed; sign again")]
    Malformed(PublicKey),
    /// The signature is not by this key over these bytes.
    #[error(
        "the signature by key {0} does not fit; what was signed is not what was sent, or by another key"
    )]
    Wrong(PublicKey),
}

/// A private Ed25519 key. Erased from memory when dropped.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// What verifies its signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` for the use that `domain` names.
    pub fn sign(&self, domain: &str, message: &[u8]) -> Signature {
        self.sign_raw(signed_digest(domain, message).as_bytes())
    }

    /// Signs bytes as they are: for protocols with a separation of uses of their own.
    pub fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Verifies a signature that [`SigningKey::sign`] made.
pub fn verify(
    key: &PublicKey,
    domain: &str,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    Claim { key: *key, digest: signed_digest(domain, message), signature: *signature }.verify()
}

/// Verifies signatures by many keys for one use in one batch; the answers are those of [`verify`], in
/// order.
pub fn verify_many(
    domain: &str,
    signed: &[(PublicKey, &[u8], Signature)],
) -> Vec<Result<(), SignatureError>> {
    let claim = |(key, message, signature): &(PublicKey, &[u8], Signature)| Claim {
        key: *key,
        digest: signed_digest(domain, message),
        signature: *signature,
    };
    verify_claims(&signed.iter().map(claim).collect::<Vec<_>>())
}

/// Verifies a vote of consensus: ZIP 215, which is what the consensus engine verifies.
///
/// It is the equation of this module without the rules 1 and 2, so that an auditor accepts exactly the
/// certificates that validators accept.
pub fn verify_raw(
    key: &PublicKey,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    equation(key, message, signature)
}

/// Verifies a signature over bytes as they are, by the rules of this module: for formats of others, such as
/// a JWS, that bring a separation of uses of their own.
pub fn verify_foreign(
    key: &PublicKey,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    // The form does not depend on what is signed.
    Claim { key: *key, digest: Digest([0; 32]), signature: *signature }.check_form()?;
    equation(key, message, signature)
}

/// What a signature for a use is over.
pub(crate) fn signed_digest(domain: &str, message: &[u8]) -> Digest {
    digest(domain, &[message])
}

/// The claim that `key` signed `digest`.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) key: PublicKey,
    pub(crate) digest: Digest,
    pub(crate) signature: Signature,
}

impl Claim {
    /// Decides this claim alone.
    pub(crate) fn verify(&self) -> Result<(), SignatureError> {
        self.check_form()?;
        equation(&self.key, self.digest.as_bytes(), &self.signature)
    }

    /// Rules 1 and 2, and rule 3.
    fn check_form(&self) -> Result<(), SignatureError> {
        if !is_canonical_and_large(&self.key.0) {
            return Err(SignatureError::Key(self.key));
        }
        let (r, s) = halves(&self.signature);
        if !is_canonical_and_large(&r) || bool::from(Scalar::from_canonical_bytes(s).is_none()) {
            return Err(SignatureError::Malformed(self.key));
        }
        Ok(())
    }
}

/// Batches smaller than this are verified one by one: it is about as fast.
const BATCH_MIN: usize = 8;
/// Into how many parts a batch that fails is cut. Halves find one culprit with less work, but let
/// whoever sends many bad signatures make each cost ten batches; so each costs three.
const PARTS: usize = 8;
const WEIGHTS_DOMAIN: &[u8] = b"keepwell/sign/batch/v1";
const WEIGHTS_PER_HASH: usize = 4;

/// Decides each claim, with the answers that [`Claim::verify`] gives, in less time.
pub(crate) fn verify_claims(claims: &[Claim]) -> Vec<Result<(), SignatureError>> {
    let mut answers: Vec<_> = claims.iter().map(Claim::check_form).collect();
    let mut batch = Batch::default();
    for (place, claim) in claims.iter().enumerate() {
        if answers[place].is_ok() {
            answers[place] = batch.push(place, claim);
        }
    }
    let mut pending = alloc::vec![0..batch.terms.len()];
    while let Some(range) = pending.pop() {
        if range.len() < BATCH_MIN {
            for term in &batch.terms[range] {
                answers[term.place] = claims[term.place].verify();
            }
        } else if !batch.holds(range.clone()) {
            let (end, part) = (range.end, range.len().div_ceil(PARTS));
            pending.extend(range.step_by(part).map(|start| start..end.min(start + part)));
        }
    }
    answers
}

/// Claims of good form, as the batch's equation takes them.
#[derive(Default)]
struct Batch {
    terms: Vec<Term>,
    keys: Vec<EdwardsPoint>,
    /// Where each key stands; nowhere if it is no point.
    places: BTreeMap<PublicKey, Option<usize>>,
}

/// What one claim brings to the equation.
struct Term {
    /// Of the claim, among all.
    place: usize,
    /// Of its key, among those of the batch.
    key: usize,
    r: EdwardsPoint,
    s: Scalar,
    k: Scalar,
}

impl Batch {
    fn push(&mut self, place: usize, claim: &Claim) -> Result<(), SignatureError> {
        let key = *self.places.entry(claim.key).or_insert_with_key(|key| {
            self.keys.push(CompressedEdwardsY(key.0).decompress()?);
            Some(self.keys.len() - 1)
        });
        let key = key.ok_or(SignatureError::Key(claim.key))?;
        let (r, s) = decoded(&claim.key, &claim.signature)?;
        let k = challenge(&claim.key, claim.digest.as_bytes(), &claim.signature);
        self.terms.push(Term { place, key, r, s, k });
        Ok(())
    }

    /// Whether the equation holds for these claims.
    fn holds(&self, range: core::ops::Range<usize>) -> bool {
        let terms = &self.terms[range];
        let mut of_base = Scalar::ZERO;
        let mut of_keys = alloc::vec![Scalar::ZERO; self.keys.len()];
        let mut of_rs = Vec::with_capacity(terms.len());
        for (term, z) in terms.iter().zip(weights(terms)) {
            of_base -= z * term.s;
            of_keys[term.key] += z * term.k;
            of_rs.push(z);
        }
        let points = self.keys.iter().chain(terms.iter().map(|term| &term.r));
        let scalars = of_keys.iter().chain(&of_rs);
        let sum = EdwardsPoint::vartime_multiscalar_mul(
            iter::once(&of_base).chain(scalars),
            iter::once(&ED25519_BASEPOINT_POINT).chain(points),
        );
        sum.mul_by_cofactor().is_identity()
    }
}

/// The weights of terms: 128 bits each, of a hash of all. The scalars k stand for the keys, the points R
/// and the messages, which they are hashes of.
fn weights(terms: &[Term]) -> impl Iterator<Item = Scalar> {
    let mut transcript = Sha512::new_with_prefix(WEIGHTS_DOMAIN);
    for term in terms {
        transcript.update(term.k.as_bytes());
        transcript.update(term.s.as_bytes());
    }
    let seed = transcript.finalize();
    (0..terms.len()).step_by(WEIGHTS_PER_HASH).flat_map(move |from| {
        let hash = Sha512::new_with_prefix(seed).chain_update((from as u64).to_le_bytes());
        let hash: [u8; 64] = hash.finalize().into();
        core::array::from_fn::<_, WEIGHTS_PER_HASH, _>(|index| {
            let mut weight = [0; 16];
            weight.copy_from_slice(&hash[16 * index..16 * (index + 1)]);
            Scalar::from(u128::from_le_bytes(weight))
        })
    })
}

/// Rules 3 and 4, for points in whatever encoding.
fn equation(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
    let a = CompressedEdwardsY(key.0).decompress().ok_or(SignatureError::Key(*key))?;
    let (r, s) = decoded(key, signature)?;
    let k = challenge(key, message, signature);
    let r_expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &-a, &s);
    if (r_expected - r).mul_by_cofactor().is_identity() {
        Ok(())
    } else {
        Err(SignatureError::Wrong(*key))
    }
}

/// R and S, if they are a point and a canonical scalar.
fn decoded(
    key: &PublicKey,
    signature: &Signature,
) -> Result<(EdwardsPoint, Scalar), SignatureError> {
    let (r, s) = halves(signature);
    let r = CompressedEdwardsY(r).decompress();
    let s = Option::from(Scalar::from_canonical_bytes(s));
    r.zip(s).ok_or(SignatureError::Malformed(*key))
}

/// k = SHA-512(R ‖ A ‖ M).
fn challenge(key: &PublicKey, message: &[u8], signature: &Signature) -> Scalar {
    let (r, _) = halves(signature);
    let hash = Sha512::new().chain_update(r).chain_update(key.0).chain_update(message).finalize();
    Scalar::from_bytes_mod_order_wide(&hash.into())
}

/// R and S, as bytes.
fn halves(signature: &Signature) -> ([u8; 32], [u8; 32]) {
    let mut halves = ([0; 32], [0; 32]);
    halves.0.copy_from_slice(&signature.0[..32]);
    halves.1.copy_from_slice(&signature.0[32..]);
    halves
}

/// The y coordinates of the eight points of small order, little endian, without the sign of x:
/// 1, −1, 0 and the two of order 8. (With x = 0 the sign has no canonical value but 0; such points are
/// refused here whatever their sign.)
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        minus_one
    },
    [0; 32],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Rules 1 and 2, by the bytes alone.
fn is_canonical_and_large(encoded: &[u8; 32]) -> bool {
    let mut y = *encoded;
    y[31] &= 0x7f;
    // p = 2²⁵⁵ − 19, so the only y that are not below it begin with 0xed or more, then all ones.
    let canonical = y[0] < 0xed || y[31] != 0x7f || y[1..31].iter().any(|byte| *byte != 0xff);
    canonical && !SMALL_ORDER_Y.contains(&y)
}

#[cfg(test)]
mod tests;

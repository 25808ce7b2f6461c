//! The second lock: a labelled threshold Diffie-Hellman KEM over ristretto255.
//!
//! The shape is TDH2 (Shoup and Gennaro, "Securing threshold cryptosystems against chosen ciphertext
//! attack", 2002). The committee's secret s exists only as shares sᵢ = P(i) of a polynomial of degree
//! t − 1 with P(0) = s.
//!
//! ```text
//! committee    X = s·G,  Xᵢ = sᵢ·G,  id = digest(X),  Ḡ = point(id)
//! ciphertext   U = r·G,  Ū = r·Ḡ,  and a proof (e, f), bound to the label, that both have the same r
//! secret       digest(id, label, U, r·X)
//! partial      Dₖ = sᵢ·Uₖ for each ciphertext k, and one proof (c, z) for all of them that the
//!              exponent is that of Xᵢ
//! secret again digest(id, label, U, Σ λᵢ·Dᵢ) = digest(id, label, U, s·U)
//! ```
//!
//! # Invariants
//!
//! * A validator multiplies its share with proven points only: a [`ProvenPoint`] is made by
//!   [`verify_ciphertext`] and nothing else. Who copies U of another record cannot prove it for a label
//!   of his own, since he does not know r.
//!   [`crate::matching`] multiplies other points, with shares of another key that have a type of their own.
//! * Shares are combined only after their proof: a [`VerifiedPartial`] is made by [`verify_partial`]
//!   and nothing else; those of matching never leave their collector.
//! * Variable-time arithmetic is for public values; shares, r and s·U go through constant-time code.
//!
//! Partials are sealed to the reader, not blinded in the group. Where a reader may add a point E of his
//! choice (sᵢ·(U + E)), he takes E = U′ − U and is given the secret of another record.
//!
//! Not here: who may have a partial ([`crate::release`]).

use alloc::vec::Vec;

use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_TABLE as G,
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::{IsIdentity as _, MultiscalarMul as _, VartimeMultiscalarMul as _},
};
use keepwell_types::{
    encoding::List,
    genesis::CommitteeKeys,
    id::{CommitteeId, Digest},
    limits::VALIDATORS_MAX,
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    hash::{self, Hasher, digest},
    secret::secret,
};

/// Why keys are not those of a committee: the fault of whoever wrote the genesis file or dealt.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CommitteeError {
    /// No set of this many shares can open, or any can.
    #[error("a committee of {shares} cannot open with {threshold} shares")]
    Threshold {
        /// Shares that should open.
        threshold: u16,
        /// Shares there are.
        shares: usize,
    },
    /// The joint key is not a point, or is the point that everyone knows the secret of.
    #[error("the committee's key is not a usable point of ristretto255")]
    Key,
    /// The key of a share is not a point, or does not lie on one polynomial with the others.
    #[error("the key of share {share} does not belong to this committee")]
    Share {
        /// Its index, counted from 1.
        share: u16,
    },
}

/// Why a ciphertext of this lock is refused: its author's fault.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CiphertextError {
    /// Not points and scalars in their canonical encoding.
    #[error("the second lock of the capsule is malformed")]
    Malformed,
    /// The proof is not for this label and this committee.
    #[error("the second lock of the capsule was not made for this label and committee")]
    Proof,
}

/// Why a partial is refused: the fault of the validator that made it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PartialError {
    /// Not one point for each ciphertext, or not in canonical encoding.
    #[error("the partial is malformed")]
    Malformed,
    /// No share has this index.
    #[error("the committee has no share {share}")]
    NoSuchShare {
        /// The index given.
        share: u16,
    },
    /// The exponent is not that of the share, or the proof is for another context.
    #[error("the proof of share {share} fails")]
    Proof {
        /// Its index.
        share: u16,
    },
}

/// Too few shares to open.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{have} different shares of {need} are here; ask further validators")]
pub struct TooFewShares {
    /// Different shares given.
    pub have: usize,
    /// Shares needed.
    pub need: usize,
}

/// A committee's public keys, decoded and checked to belong together.
#[derive(Clone, Debug)]
pub struct Committee {
    id: CommitteeId,
    threshold: u16,
    key: RistrettoPoint,
    shares: Vec<(RistrettoPoint, CompressedRistretto)>,
    second_base: RistrettoPoint,
}

impl Committee {
    /// Decodes the keys, and checks that all lie on one polynomial of degree threshold − 1.
    pub fn new(keys: &CommitteeKeys) -> Result<Self, CommitteeError> {
        let (threshold, shares) = (keys.threshold, keys.shares.len());
        if threshold == 0 || usize::from(threshold) > shares {
            return Err(CommitteeError::Threshold { threshold, shares });
        }
        let key = decode_point(&keys.key.0)
            .filter(|key| !key.is_identity())
            .ok_or(CommitteeError::Key)?;
        let shares = (1..)
            .zip(&keys.shares)
            .map(|(share, bytes)| {
                let point = decode_point(&bytes.0).ok_or(CommitteeError::Share { share })?;
                Ok((point, CompressedRistretto(bytes.0)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let id = CommitteeId(digest("keepwell/threshold/committee/v1", &[&keys.key.0]).0);
        let second_base = hash::point("keepwell/threshold/second-base/v1", &[&id.0]);
        let committee = Self { id, threshold, key, shares, second_base };
        committee.check_polynomial()?;
        Ok(committee)
    }

    /// The digest of the joint key: the same when shares are dealt anew.
    pub fn id(&self) -> CommitteeId {
        self.id
    }

    /// How many shares open.
    pub fn threshold(&self) -> u16 {
        self.threshold
    }

    /// How many shares there are.
    pub fn shares(&self) -> u16 {
        u16::try_from(self.shares.len()).expect("a committee has at most VALIDATORS_MAX shares")
    }

    /// The point and the bytes of the key of a share.
    pub(crate) fn share_key(&self, share: u16) -> Option<&(RistrettoPoint, CompressedRistretto)> {
        self.shares.get(usize::from(share).checked_sub(1)?)
    }

    pub(crate) fn key(&self) -> &RistrettoPoint {
        &self.key
    }

    fn check_polynomial(&self) -> Result<(), CommitteeError> {
        let first: Vec<u16> = (1..=self.threshold).collect();
        let points = &self.shares[..usize::from(self.threshold)];
        let at = |x| {
            let weights = lagrange(&first, x);
            RistrettoPoint::vartime_multiscalar_mul(weights, points.iter().map(|share| share.0))
        };
        if at(0) != self.key {
            return Err(CommitteeError::Key);
        }
        (self.threshold + 1..)
            .zip(&self.shares[usize::from(self.threshold)..])
            .find(|(share, point)| at(*share) != point.0)
            .map_or(Ok(()), |(share, _)| Err(CommitteeError::Share { share }))
    }
}

/// One validator's share of the committee's secret. Erased from memory when dropped.
#[derive(Clone)]
pub struct KeyShare {
    index: u16,
    secret: Scalar,
}

impl KeyShare {
    /// Bytes of its encoding.
    pub const LEN: usize = 34;

    pub(crate) fn new(index: u16, secret: Scalar) -> Self {
        Self { index, secret }
    }

    pub(crate) fn secret(&self) -> &Scalar {
        &self.secret
    }

    /// The share with this encoding: index (2, big endian) ‖ secret (32).
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (index, secret) = bytes.split_first_chunk::<2>()?;
        let secret = Zeroizing::new(<[u8; 32]>::try_from(secret).ok()?);
        let secret = Option::from(Scalar::from_canonical_bytes(*secret))?;
        Some(Self { index: u16::from_be_bytes(*index), secret })
    }

    /// Its encoding.
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        bytes[..2].copy_from_slice(&self.index.to_be_bytes());
        bytes[2..].copy_from_slice(self.secret.as_bytes());
        bytes
    }

    /// The validator's place plus 1.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Whether it is a share of this committee as it is now.
    pub fn is_of(&self, committee: &Committee) -> bool {
        committee.share_key(self.index).is_some_and(|(point, _)| G * &self.secret == *point)
    }
}

impl Drop for KeyShare {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl core::fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "KeyShare({}, ..)", self.index)
    }
}

/// Deals a fresh committee of `shares` shares of which `threshold` open.
///
/// Whoever runs this knows the whole secret until it returns. It serves where one party founds the
/// consortium anyway; [`crate::dealing`] is for those that trust nobody with it.
///
/// # Panics
///
/// If `threshold` is 0, above `shares`, or `shares` above [`VALIDATORS_MAX`].
pub fn deal(
    rng: &mut impl CryptoRng,
    shares: u16,
    threshold: u16,
) -> (CommitteeKeys, Vec<KeyShare>) {
    assert!(0 < threshold && threshold <= shares && usize::from(shares) <= VALIDATORS_MAX);
    let secret = Scalar::random(rng);
    let polynomial = Polynomial::random(rng, secret, threshold);
    let shares: Vec<_> =
        (1..=shares).map(|index| KeyShare::new(index, polynomial.at(index))).collect();
    let points = shares.iter().map(|share| G * &share.secret).collect::<Vec<_>>();
    (committee_keys(threshold, &polynomial.commitments()[0], &points), shares)
}

/// The keys of a committee as the genesis file has them.
pub(crate) fn committee_keys(
    threshold: u16,
    key: &RistrettoPoint,
    shares: &[RistrettoPoint],
) -> CommitteeKeys {
    let encoded = |point: &RistrettoPoint| Digest(point.compress().0);
    let shares = List::from_vec(shares.iter().map(encoded).collect())
        .expect("the caller checked the number of shares");
    CommitteeKeys { threshold, key: encoded(key), shares }
}

/// A secret polynomial. Erased from memory when dropped.
pub(crate) struct Polynomial(Vec<Scalar>);

impl Polynomial {
    /// A random polynomial of degree `threshold` − 1 with this constant term.
    pub(crate) fn random(rng: &mut impl CryptoRng, constant: Scalar, threshold: u16) -> Self {
        let mut coefficients = Vec::with_capacity(usize::from(threshold));
        coefficients.push(constant);
        coefficients.extend((1..threshold).map(|_| Scalar::random(rng)));
        Self(coefficients)
    }

    pub(crate) fn at(&self, x: u16) -> Scalar {
        let x = Scalar::from(x);
        self.0.iter().rev().fold(Scalar::ZERO, |sum, coefficient| sum * x + coefficient)
    }

    pub(crate) fn commitments(&self) -> Vec<RistrettoPoint> {
        self.0.iter().map(|coefficient| G * coefficient).collect()
    }
}

impl Drop for Polynomial {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

secret! {
    /// What the second lock of one capsule opens with.
    ReleaseSecret, 32
}

/// The second lock of one capsule: 128 bytes.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Ciphertext {
    #[n(0)]
    u: Digest,
    #[n(1)]
    u_second: Digest,
    #[n(2)]
    challenge: Digest,
    #[n(3)]
    response: Digest,
}

impl Ciphertext {
    /// U, Ū, e and f, for transcripts.
    pub(crate) fn parts(&self) -> [&[u8]; 4] {
        [&self.u.0, &self.u_second.0, &self.challenge.0, &self.response.0]
    }
}

/// Makes a secret that only the committee can make again, for this label.
pub fn encapsulate(
    rng: &mut impl CryptoRng,
    committee: &Committee,
    label: &[u8],
) -> (Ciphertext, ReleaseSecret) {
    let (r, k) = (Zeroizing::new(Scalar::random(rng)), Zeroizing::new(Scalar::random(rng)));
    let u = (G * &*r).compress();
    let u_second = (committee.second_base * *r).compress();
    let w = (G * &*k).compress();
    let w_second = (committee.second_base * *k).compress();
    let challenge = ciphertext_challenge(committee, label, [&u, &u_second, &w, &w_second]);
    let response = *k + challenge * *r;
    let shared = Zeroizing::new(committee.key * *r);
    let secret = release_secret(committee, label, &u.0, &shared);
    let ciphertext = Ciphertext {
        u: Digest(u.0),
        u_second: Digest(u_second.0),
        challenge: Digest(challenge.to_bytes()),
        response: Digest(response.to_bytes()),
    };
    (ciphertext, secret)
}

/// The point of a ciphertext that was proven for its label: made by [`verify_ciphertext`] only.
#[derive(Clone, Copy, Debug)]
pub struct ProvenPoint(Base);

/// A point that a share is multiplied with, and its encoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    pub(crate) point: RistrettoPoint,
    pub(crate) bytes: [u8; 32],
}

/// Checks that a ciphertext was made for exactly this label and committee, by someone who knew r.
pub fn verify_ciphertext(
    committee: &Committee,
    label: &[u8],
    ciphertext: &Ciphertext,
) -> Result<ProvenPoint, CiphertextError> {
    let Ciphertext { u, u_second, challenge, response } = ciphertext;
    let point = decode_point(&u.0).ok_or(CiphertextError::Malformed)?;
    let second = decode_point(&u_second.0).ok_or(CiphertextError::Malformed)?;
    let e = decode_scalar(&challenge.0).ok_or(CiphertextError::Malformed)?;
    let f = decode_scalar(&response.0).ok_or(CiphertextError::Malformed)?;
    let w = RistrettoPoint::vartime_double_scalar_mul_basepoint(&-e, &point, &f).compress();
    let w_second =
        RistrettoPoint::vartime_multiscalar_mul([f, -e], [committee.second_base, second])
            .compress();
    let (u, u_second) = (CompressedRistretto(u.0), CompressedRistretto(u_second.0));
    if ciphertext_challenge(committee, label, [&u, &u_second, &w, &w_second]) == e {
        Ok(ProvenPoint(Base { point, bytes: u.0 }))
    } else {
        Err(CiphertextError::Proof)
    }
}

fn ciphertext_challenge(
    committee: &Committee,
    label: &[u8],
    [u, u_second, w, w_second]: [&CompressedRistretto; 4],
) -> Scalar {
    let parts = [&committee.id.0, label, &u.0, &u_second.0, &w.0, &w_second.0];
    hash::scalar("keepwell/threshold/ciphertext/v1", &parts)
}

fn release_secret(
    committee: &Committee,
    label: &[u8],
    u: &[u8; 32],
    shared: &RistrettoPoint,
) -> ReleaseSecret {
    let shared = Zeroizing::new(shared.compress().0);
    let parts = [&committee.id.0, label, u, &*shared];
    let secret = digest("keepwell/threshold/secret/v1", &parts).0;
    ReleaseSecret(Zeroizing::new(secret))
}

/// One share's work on a list of ciphertexts, with one proof for all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Partial {
    points: Vec<[u8; 32]>,
    challenge: [u8; 32],
    response: [u8; 32],
}

impl Partial {
    /// Bytes of the encoding of a partial of this many ciphertexts.
    pub const fn encoded_len(ciphertexts: usize) -> usize {
        64 + 32 * ciphertexts
    }

    /// Its encoding: c ‖ z ‖ D₀ ‖ D₁ ‖ ...
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::encoded_len(self.points.len())));
        bytes.extend_from_slice(&self.challenge);
        bytes.extend_from_slice(&self.response);
        bytes.extend(self.points.iter().flatten());
        bytes
    }

    /// The partial with this encoding.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PartialError> {
        let (parts, []) = bytes.as_chunks::<32>() else { return Err(PartialError::Malformed) };
        let [challenge, response, points @ ..] = parts else { return Err(PartialError::Malformed) };
        Ok(Self { points: points.to_vec(), challenge: *challenge, response: *response })
    }
}

/// Multiplies the points with the share. `context` says what for, and is bound into the proof.
///
/// # Panics
///
/// If the share's index is not of the committee.
pub fn partial(
    rng: &mut impl CryptoRng,
    committee: &Committee,
    share: &KeyShare,
    points: &[ProvenPoint],
    context: &Digest,
) -> Partial {
    multiply(rng, &RELEASE, committee, share, &bases(points), context)
}

fn bases(points: &[ProvenPoint]) -> Vec<Base> {
    points.iter().map(|point| point.0).collect()
}

/// What a batched proof is for: the domains of its hashes, so that none of one use counts in another.
pub(crate) struct ProofUse {
    pub(crate) nonce: &'static str,
    pub(crate) batch: &'static str,
    pub(crate) weight: &'static str,
    pub(crate) challenge: &'static str,
}

const RELEASE: ProofUse = ProofUse {
    nonce: "keepwell/threshold/nonce/v1",
    batch: "keepwell/threshold/batch/v1",
    weight: "keepwell/threshold/weight/v1",
    challenge: "keepwell/threshold/partial/v1",
};

/// [`partial`] for any use: whoever calls it answers for the points.
pub(crate) fn multiply(
    rng: &mut impl CryptoRng,
    proof: &ProofUse,
    committee: &Committee,
    share: &KeyShare,
    points: &[Base],
    context: &Digest,
) -> Partial {
    let (_, key) = committee.share_key(share.index).expect("the share is of this committee");
    let results: Vec<_> =
        points.iter().map(|point| (point.point * share.secret).compress().0).collect();
    let weights = weights(proof, context, share.index, points, &results);
    let sum = RistrettoPoint::vartime_multiscalar_mul(&weights, points.iter().map(|it| it.point));
    let result_sum = sum * share.secret;
    let nonce = Zeroizing::new(proof_nonce(rng, proof, share, context, &sum, &result_sum));
    let commitments = [G * &*nonce, sum * *nonce];
    let statement = Statement { proof, context, share: share.index, key, sum, result_sum };
    let challenge = statement.challenge(&commitments);
    let response = *nonce + challenge * share.secret;
    Partial { points: results, challenge: challenge.to_bytes(), response: response.to_bytes() }
}

/// A fresh random scalar, safe even where `rng` is not: it depends on the secret and on all that the
/// proof is about, so that it never repeats for two different proofs.
fn proof_nonce(
    rng: &mut impl CryptoRng,
    proof: &ProofUse,
    share: &KeyShare,
    context: &Digest,
    sum: &RistrettoPoint,
    result_sum: &RistrettoPoint,
) -> Scalar {
    let mut random = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *random);
    let (sum, result_sum) = (sum.compress(), result_sum.compress());
    let parts: [&[u8]; 5] = [share.secret.as_bytes(), &*random, &context.0, &sum.0, &result_sum.0];
    hash::scalar(proof.nonce, &parts)
}

/// A partial whose proof was checked: made by [`verify_partial`] only.
#[derive(Clone, Debug)]
pub struct VerifiedPartial {
    share: u16,
    points: Vec<RistrettoPoint>,
}

impl VerifiedPartial {
    /// The share's index.
    pub fn share(&self) -> u16 {
        self.share
    }
}

/// Checks that `partial` is the work of share `share` on exactly these points in this context.
pub fn verify_partial(
    committee: &Committee,
    share: u16,
    points: &[ProvenPoint],
    partial: &Partial,
    context: &Digest,
) -> Result<VerifiedPartial, PartialError> {
    verify(&RELEASE, committee, share, &bases(points), partial, context)
}

/// [`verify_partial`] for any use.
pub(crate) fn verify(
    proof: &ProofUse,
    committee: &Committee,
    share: u16,
    points: &[Base],
    partial: &Partial,
    context: &Digest,
) -> Result<VerifiedPartial, PartialError> {
    let (key_point, key) = committee.share_key(share).ok_or(PartialError::NoSuchShare { share })?;
    if points.is_empty() || partial.points.len() != points.len() {
        return Err(PartialError::Malformed);
    }
    let results: Vec<_> = partial
        .points
        .iter()
        .map(decode_point)
        .collect::<Option<_>>()
        .ok_or(PartialError::Malformed)?;
    let challenge = decode_scalar(&partial.challenge).ok_or(PartialError::Malformed)?;
    let response = decode_scalar(&partial.response).ok_or(PartialError::Malformed)?;
    let weights = weights(proof, context, share, points, &partial.points);
    let sum = RistrettoPoint::vartime_multiscalar_mul(&weights, points.iter().map(|it| it.point));
    let result_sum = RistrettoPoint::vartime_multiscalar_mul(&weights, &results);
    let commitments = [
        RistrettoPoint::vartime_double_scalar_mul_basepoint(&-challenge, key_point, &response),
        RistrettoPoint::vartime_multiscalar_mul([response, -challenge], [sum, result_sum]),
    ];
    let statement = Statement { proof, context, share, key, sum, result_sum };
    if statement.challenge(&commitments) == challenge {
        Ok(VerifiedPartial { share, points: results })
    } else {
        Err(PartialError::Proof { share })
    }
}

/// Weights of 128 bits that depend on every input: a sum that fits hides no point that does not.
fn weights(
    proof: &ProofUse,
    context: &Digest,
    share: u16,
    points: &[Base],
    results: &[[u8; 32]],
) -> Vec<Scalar> {
    let mut hasher = Hasher::new(proof.batch);
    hasher.part(&context.0);
    hasher.part(&share.to_le_bytes());
    for (point, result) in points.iter().zip(results) {
        hasher.part(&point.bytes);
        hasher.part(result);
    }
    let seed = hasher.finish();
    (0..points.len() as u64)
        .map(|place| {
            let hash = digest(proof.weight, &[&seed.0, &place.to_le_bytes()]);
            let mut weight = [0; 32];
            weight[..16].copy_from_slice(&hash.0[..16]);
            Scalar::from_bytes_mod_order(weight)
        })
        .collect()
}

/// What the proof of a partial says: key = s·G and result sum = s·sum, for one s.
struct Statement<'a> {
    proof: &'a ProofUse,
    context: &'a Digest,
    share: u16,
    key: &'a CompressedRistretto,
    sum: RistrettoPoint,
    result_sum: RistrettoPoint,
}

impl Statement<'_> {
    fn challenge(&self, commitments: &[RistrettoPoint; 2]) -> Scalar {
        let points = [self.sum, self.result_sum, commitments[0], commitments[1]];
        let [sum, result_sum, first, second] = points.map(|point| point.compress().0);
        let share = self.share.to_le_bytes();
        let parts: [&[u8]; 7] =
            [&self.context.0, &share, &self.key.0, &sum, &result_sum, &first, &second];
        hash::scalar(self.proof.challenge, &parts)
    }
}

/// Combines verified partials: one secret for each (label, ciphertext), in order.
///
/// The partials and `ciphertexts` must come from one list of points.
pub fn combine(
    committee: &Committee,
    ciphertexts: &[(&[u8], &Ciphertext)],
    partials: &[VerifiedPartial],
) -> Result<Vec<ReleaseSecret>, TooFewShares> {
    let shared = interpolate(committee, ciphertexts.len(), partials)?;
    let secret = |((label, ciphertext), shared): (&(&[u8], &Ciphertext), _)| {
        release_secret(committee, label, &ciphertext.u.0, shared)
    };
    Ok(ciphertexts.iter().zip(shared.iter().map(|shared| &**shared)).map(secret).collect())
}

/// s·P for each of `count` points P, from the shares' sᵢ·P.
pub(crate) fn interpolate(
    committee: &Committee,
    count: usize,
    partials: &[VerifiedPartial],
) -> Result<Vec<Zeroizing<RistrettoPoint>>, TooFewShares> {
    let need = usize::from(committee.threshold);
    let mut chosen: Vec<&VerifiedPartial> = Vec::with_capacity(need);
    for partial in partials {
        let fits = partial.points.len() == count;
        if fits && chosen.len() < need && chosen.iter().all(|it| it.share != partial.share) {
            chosen.push(partial);
        }
    }
    if chosen.len() < need {
        return Err(TooFewShares { have: chosen.len(), need });
    }
    let shares: Vec<_> = chosen.iter().map(|partial| partial.share).collect();
    let weights = lagrange(&shares, 0);
    let at = |place: usize| {
        let points = chosen.iter().map(|partial| partial.points[place]);
        Zeroizing::new(RistrettoPoint::multiscalar_mul(&weights, points))
    };
    Ok((0..count).map(at).collect())
}

/// Lagrange's weights: P(at) = Σ weightᵢ · P(xᵢ). The `xs` are different, and none is 0.
pub(crate) fn lagrange(xs: &[u16], at: u16) -> Vec<Scalar> {
    let at = Scalar::from(at);
    xs.iter()
        .map(|&x| {
            let here = Scalar::from(x);
            let others = xs.iter().filter(|other| **other != x).map(|other| Scalar::from(*other));
            let (numerator, denominator) = others.fold((Scalar::ONE, Scalar::ONE), |sum, other| {
                (sum.0 * (at - other), sum.1 * (here - other))
            });
            numerator * denominator.invert()
        })
        .collect()
}

pub(crate) fn decode_point(bytes: &[u8; 32]) -> Option<RistrettoPoint> {
    CompressedRistretto(*bytes).decompress()
}

pub(crate) fn decode_scalar(bytes: &[u8; 32]) -> Option<Scalar> {
    Scalar::from_canonical_bytes(*bytes).into()
}

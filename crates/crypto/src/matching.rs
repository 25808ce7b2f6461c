//! Matching: a threshold oblivious pseudorandom function over ristretto255, so that two organisations find
//! the persons whom both know and learn nothing of the others.
//!
//! The shape is that of RFC 9497's VOPRF (2HashDH): the client hashes its input to a point and blinds it, a
//! key multiplies the point, the client takes the blinding away and hashes again. The key k is shared out
//! among the validators like the one that releases, and is another one: whoever can ask for multiples under
//! the releasing key opens records.
//!
//! ```text
//! info         chain, programme, purpose          input   rule, canonical text
//! client       P = point(info, input),  B = r·P   RFC 9497, section 3.3.1, Blind
//! validator i  Dₖ = kᵢ·Bₖ for each point k of a committed command, and one proof for all of them
//! client       Z = Σ λᵢ·Dᵢ = k·B,  N = r⁻¹·Z = k·P
//!              token = digest(committee, info, input, N)   section 3.3.1, Finalize
//! ```
//!
//! Everything is bound to one context: the chain, the digest of the command, the digest of the requester's
//! fresh key, and the points in their order.
//!
//! # Invariants
//!
//! * No type of this module goes where one of [`crate::threshold`] is wanted, nor the other way round; and
//!   the proofs of the two have domains of their own.
//! * A share meets only the points that the command names, in its order, and never the identity.
//! * Evaluations are combined only after their proof; an answer counts against a validator only if it is
//!   signed, as in [`crate::release`].
//! * A token is of one committee, one consortium, one programme, one purpose and one rule.
//!
//! Validators cannot see which programme a blinded point was hashed for. A client that names another one than
//! it hashed for has the tokens of that other one, at the same price; so the quota is over all programmes.
//!
//! Not here: whether the command stands on the ledger and is recent (`keepwell-node`), quotas
//! (`keepwell-ledger`), and how a person becomes canonical text (`keepwell-fhir`).

use alloc::{collections::BTreeMap, vec::Vec};

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar, traits::IsIdentity as _};
use keepwell_types::{
    access::Purpose,
    encoding::Blob,
    genesis::CommitteeKeys,
    id::{
        ChainId, ChartId, CommandDigest, Commitment, CommitteeId, Digest, LinkId, MatchToken,
        PublicKey, Salt,
    },
    limits::MATCH_POINTS_MAX,
    matching::MatchRule,
    wire::{MatchAnswer, PointBytes, SEALED_EVALUATION_BYTES_MAX},
};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    hash::{self, Hasher, digest},
    release::{ForeignShare, ShareFault},
    seal::{self, ENCAPSULATED_BYTES, SealingKey, SealingPublic, TAG_BYTES},
    sign::{self, SigningKey},
    threshold::{
        self, Base, Committee, CommitteeError, KeyShare, Partial, ProofUse, TooFewShares,
        VerifiedPartial,
    },
};

const SEAL_DOMAIN: &str = "keepwell/matching/share/v1";
const SIGNATURE_DOMAIN: &str = "keepwell/matching/answer/v1";
const PROOF: ProofUse = ProofUse {
    nonce: "keepwell/matching/nonce/v1",
    batch: "keepwell/matching/batch/v1",
    weight: "keepwell/matching/weight/v1",
    challenge: "keepwell/matching/partial/v1",
};

const _: () =
    assert!(Partial::encoded_len(MATCH_POINTS_MAX) + TAG_BYTES <= SEALED_EVALUATION_BYTES_MAX);

/// The public keys of the committee that evaluates, checked to belong together.
#[derive(Clone, Debug)]
pub struct MatchingCommittee(Committee);

impl MatchingCommittee {
    /// Decodes the keys.
    pub fn new(keys: &CommitteeKeys) -> Result<Self, CommitteeError> {
        Committee::new(keys).map(Self)
    }

    /// The digest of the joint key.
    pub fn id(&self) -> CommitteeId {
        self.0.id()
    }

    /// How many shares evaluate.
    pub fn threshold(&self) -> u16 {
        self.0.threshold()
    }

    /// How many shares there are.
    pub fn shares(&self) -> u16 {
        self.0.shares()
    }
}

/// One validator's share of the key that evaluates. Erased from memory when dropped.
#[derive(Clone, Debug)]
pub struct MatchingShare(KeyShare);

impl MatchingShare {
    /// A share that was dealt for matching.
    pub(crate) const fn new(share: KeyShare) -> Self {
        Self(share)
    }

    pub(crate) const fn inner(&self) -> &KeyShare {
        &self.0
    }

    /// The share with this encoding: see [`KeyShare::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        KeyShare::from_bytes(bytes).map(Self)
    }

    /// Its encoding.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KeyShare::LEN]> {
        self.0.to_bytes()
    }

    /// The validator's place plus 1.
    pub fn index(&self) -> u16 {
        self.0.index()
    }

    /// Whether it is a share of this committee.
    pub fn is_of(&self, committee: &MatchingCommittee) -> bool {
        self.0.is_of(&committee.0)
    }
}

/// Deals a fresh committee, as [`threshold::deal`] does.
///
/// # Panics
///
/// As there.
pub fn deal(
    rng: &mut impl CryptoRng,
    shares: u16,
    threshold: u16,
) -> (CommitteeKeys, Vec<MatchingShare>) {
    let (keys, shares) = threshold::deal(rng, shares, threshold);
    (keys, shares.into_iter().map(MatchingShare).collect())
}

/// What tokens are for: those of one programme and purpose are equal to none of another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Programme<'a> {
    /// The consortium.
    pub chain: &'a ChainId,
    /// Its name.
    pub name: &'a str,
    /// What for.
    pub purpose: Purpose,
}

impl Programme<'_> {
    /// RFC 9497's `info`.
    fn info(&self) -> Digest {
        let parts: [&[u8]; 3] =
            [&self.chain.0, self.name.as_bytes(), self.purpose.as_str().as_bytes()];
        digest("keepwell/matching/info/v1", &parts)
    }
}

/// What is asked about: one exact key of one person, as canonical text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Input<'a> {
    /// By which rule.
    pub rule: MatchRule,
    /// The text.
    pub text: &'a str,
}

impl Input<'_> {
    fn parts(&self) -> [&[u8]; 2] {
        [self.rule.as_str().as_bytes(), self.text.as_bytes()]
    }
}

/// A point that someone wants evaluated: of the group, and not the identity.
#[derive(Clone, Copy, Debug)]
pub struct BlindedPoint(Base);

impl BlindedPoint {
    /// The point with this canonical encoding.
    pub fn from_bytes(bytes: &PointBytes) -> Option<Self> {
        let point = threshold::decode_point(&bytes.0).filter(|point| !point.is_identity())?;
        Some(Self(Base { point, bytes: bytes.0 }))
    }

    /// Its encoding.
    pub fn to_bytes(&self) -> PointBytes {
        Digest(self.0.bytes)
    }

    /// What the command knows it by.
    pub fn digest(&self) -> Digest {
        digest("keepwell/matching/point/v1", &[&self.0.bytes])
    }
}

/// What a client keeps of one input until it is evaluated. Erased from memory when dropped.
pub struct Blinding {
    blind: Zeroizing<Scalar>,
    head: Hasher,
}

impl core::fmt::Debug for Blinding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Blinding(..)")
    }
}

/// Hashes an input to the group and blinds it.
pub fn blind(
    rng: &mut impl CryptoRng,
    committee: &MatchingCommittee,
    programme: &Programme<'_>,
    input: &Input<'_>,
) -> (Blinding, BlindedPoint) {
    let (info, [rule, text]) = (programme.info(), input.parts());
    let point = hash::point("keepwell/matching/input/v1", &[&info.0, rule, text]);
    // 0 has no inverse, and RFC 9497 draws from the others: it comes up once in 2^252.
    let mut blind = Zeroizing::new(Scalar::random(rng));
    while *blind == Scalar::ZERO {
        *blind = Scalar::random(rng);
    }
    let point = point * *blind;
    let bytes = point.compress().0;
    let mut head = Hasher::new("keepwell/matching/token/v1");
    for part in [&committee.id().0[..], &info.0, rule, text] {
        head.part(part);
    }
    (Blinding { blind, head }, BlindedPoint(Base { point, bytes }))
}

/// k·B for one blinded point B, from enough proven evaluations: made by [`TokenCollector::finish`] only.
pub struct EvaluatedPoint(Zeroizing<RistrettoPoint>);

impl core::fmt::Debug for EvaluatedPoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("EvaluatedPoint(..)")
    }
}

impl Blinding {
    /// Takes the blinding away: the token of the input. The point must be that of this blinding.
    pub fn finish(self, evaluated: &EvaluatedPoint) -> MatchToken {
        let inverse = Zeroizing::new(self.blind.invert());
        let point = Zeroizing::new(*evaluated.0 * *inverse);
        let bytes = Zeroizing::new(point.compress().0);
        let mut hasher = self.head;
        hasher.part(&*bytes);
        MatchToken(hasher.finish().0)
    }
}

/// A committed `match.evaluate`, as far as its evaluation depends on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evaluation {
    /// The consortium.
    pub chain: ChainId,
    /// The command that was accepted.
    pub command: CommandDigest,
    /// The digest of the requester's fresh key, which that command names.
    pub requester_key: Digest,
    /// The digests of the points, which that command names.
    pub points: Vec<Digest>,
}

impl Evaluation {
    fn context(&self) -> Digest {
        let mut hasher = Hasher::new("keepwell/matching/context/v1");
        hasher.part(&self.chain.0);
        hasher.part(&self.command.0);
        hasher.part(&self.requester_key.0);
        for point in &self.points {
            hasher.part(&point.0);
        }
        hasher.finish()
    }

    /// The points as they are multiplied, if they are those of the command.
    fn bases(&self, points: &[BlindedPoint]) -> Result<Vec<Base>, EvaluationRefusal> {
        let (given, committed) = (points.len(), self.points.len());
        if points.is_empty() || given != committed {
            return Err(EvaluationRefusal::Count { given, committed });
        }
        let other = points.iter().zip(&self.points).position(|(it, named)| it.digest() != *named);
        match other {
            Some(item) => Err(EvaluationRefusal::Point { item }),
            None => Ok(points.iter().map(|point| point.0).collect()),
        }
    }
}

/// Why nothing is evaluated: the requester's fault.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum EvaluationRefusal {
    /// Not as many points as the command names.
    #[error("the command names {committed} points and {given} are given; give all of them")]
    Count {
        /// Points given.
        given: usize,
        /// Points that the command names.
        committed: usize,
    },
    /// Another key than the command names.
    #[error("the command names another requester key; ask with the key of that command")]
    RequesterKey,
    /// Another point than the command names.
    #[error(
        "point {item} is not the one that the command names; commit to it in a command of its own"
    )]
    Point {
        /// Its place, counted from 0.
        item: usize,
    },
}

/// A validator's keys for matching: all that touches its share.
#[derive(Clone, Debug)]
pub struct Evaluator {
    committee: MatchingCommittee,
    share: MatchingShare,
    key: SigningKey,
}

impl Evaluator {
    /// Takes a share, once it is checked to be of the committee.
    pub fn new(
        committee: MatchingCommittee,
        share: MatchingShare,
        key: SigningKey,
    ) -> Result<Self, ForeignShare> {
        if !share.is_of(&committee) {
            return Err(ForeignShare { share: share.index() });
        }
        Ok(Self { committee, share, key })
    }

    /// The share's index: the validator's place plus 1.
    pub fn share(&self) -> u16 {
        self.share.index()
    }

    /// Evaluates the points of a committed command.
    ///
    /// The caller vouches that `evaluation` is what its ledger says.
    pub fn evaluate(
        &self,
        rng: &mut impl CryptoRng,
        evaluation: &Evaluation,
        points: &[BlindedPoint],
        requester: &SealingPublic,
    ) -> Result<MatchAnswer, EvaluationRefusal> {
        if requester.digest() != evaluation.requester_key {
            return Err(EvaluationRefusal::RequesterKey);
        }
        let bases = evaluation.bases(points)?;
        let context = evaluation.context();
        let (committee, key_share) = (&self.committee.0, &self.share.0);
        let partial = threshold::multiply(rng, &PROOF, committee, key_share, &bases, &context);
        Ok(self.answer(rng, evaluation, &context, requester, &partial))
    }

    fn answer(
        &self,
        rng: &mut impl CryptoRng,
        evaluation: &Evaluation,
        context: &Digest,
        requester: &SealingPublic,
        partial: &Partial,
    ) -> MatchAnswer {
        let share = self.share.index();
        let parts: [&[u8]; 2] = [&context.0, &share.to_le_bytes()];
        let (encapsulated, sealed) =
            seal::seal(rng, requester, SEAL_DOMAIN, &parts, &partial.to_bytes());
        let message = signed_message(context, share, &encapsulated, &sealed);
        MatchAnswer {
            evaluation: evaluation.command,
            share,
            encapsulated: Blob::<ENCAPSULATED_BYTES>::from_vec(encapsulated)
                .expect("X-Wing's length"),
            sealed: Blob::from_vec(sealed).expect("a command names at most MATCH_POINTS_MAX"),
            signature: self.key.sign(SIGNATURE_DOMAIN, message.as_bytes()),
        }
    }
}

fn signed_message(context: &Digest, share: u16, encapsulated: &[u8], sealed: &[u8]) -> Digest {
    let parts: [&[u8]; 4] = [&context.0, &share.to_le_bytes(), encapsulated, sealed];
    digest("keepwell/matching/message/v1", &parts)
}

/// A requester's collection of answers to one command.
pub struct TokenCollector<'a> {
    committee: &'a MatchingCommittee,
    requester: &'a SealingKey,
    points: Vec<Base>,
    context: Digest,
    verified: BTreeMap<u16, VerifiedPartial>,
}

impl<'a> TokenCollector<'a> {
    /// Begins a collection.
    pub fn new(
        committee: &'a MatchingCommittee,
        evaluation: &Evaluation,
        points: &[BlindedPoint],
        requester: &'a SealingKey,
    ) -> Result<Self, EvaluationRefusal> {
        if requester.public().digest() != evaluation.requester_key {
            return Err(EvaluationRefusal::RequesterKey);
        }
        let (points, context) = (evaluation.bases(points)?, evaluation.context());
        Ok(Self { committee, requester, points, context, verified: BTreeMap::new() })
    }

    /// Takes an answer of the validator whose release key is `validator`, the one at place
    /// `answer.share` − 1 of the genesis file.
    pub fn add(&mut self, answer: &MatchAnswer, validator: &PublicKey) -> Result<(), ShareFault> {
        let share = answer.share;
        let message = signed_message(&self.context, share, &answer.encapsulated, &answer.sealed);
        sign::verify(validator, SIGNATURE_DOMAIN, message.as_bytes(), &answer.signature)
            .map_err(|_| ShareFault::Unsigned { share })?;
        if share == 0 || self.committee.shares() < share {
            return Err(ShareFault::NoSuchShare { share });
        }
        if self.verified.contains_key(&share) {
            return Err(ShareFault::Duplicate { share });
        }
        let parts: [&[u8]; 2] = [&self.context.0, &share.to_le_bytes()];
        let opened =
            seal::open(self.requester, SEAL_DOMAIN, &parts, &answer.encapsulated, &answer.sealed)
                .map_err(|_| ShareFault::Sealed { share })?;
        let partial = Partial::from_bytes(&opened).map_err(|_| ShareFault::Proof { share })?;
        let committee = &self.committee.0;
        let verified =
            threshold::verify(&PROOF, committee, share, &self.points, &partial, &self.context)
                .map_err(|_| ShareFault::Proof { share })?;
        self.verified.insert(share, verified);
        Ok(())
    }

    /// Whether enough answers are here.
    pub fn is_complete(&self) -> bool {
        self.verified.len() >= usize::from(self.committee.threshold())
    }

    /// k·B for each point, in their order.
    pub fn finish(self) -> Result<Vec<EvaluatedPoint>, TooFewShares> {
        let partials: Vec<_> = self.verified.into_values().collect();
        let evaluated = threshold::interpolate(&self.committee.0, self.points.len(), &partials)?;
        Ok(evaluated.into_iter().map(EvaluatedPoint).collect())
    }
}

/// The salted digest of a link and one of its two charts: what the ledger has of that side.
pub fn link_commitment(chain: &ChainId, link: &LinkId, chart: &ChartId, salt: &Salt) -> Commitment {
    let parts: [&[u8]; 4] = [&salt.0, &chain.0, &link.0, &chart.0];
    Commitment(digest("keepwell/matching/link/v1", &parts).0)
}

/// The salted digest of what a patient signed about a link: its consent, or the withdrawal of it.
pub fn consent_digest(salt: &Salt, signed: &[u8]) -> Digest {
    digest("keepwell/matching/consent/v1", &[&salt.0, signed])
}

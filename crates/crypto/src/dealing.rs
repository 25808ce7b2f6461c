//! Dealing: how validators make the committee's key without anyone ever knowing it, and how they hand
//! it to the next set of validators.
//!
//! This is joint Feldman verifiable secret sharing, with the ceremony's transcript (or the ledger) as
//! the channel on which all see the same dealings.
//!
//! ```text
//! fresh     each dealer draws a polynomial of degree t − 1; s is the sum of the constant terms
//! anew      each of t old holders deals its own share; s stays, and old shares stop verifying
//! dealing   commitments Aₖ = aₖ·G in public, P(j) sealed to each receiver j
//! receiver  P(j)·G = Σ jᵏ·Aₖ, or it complains; the dealer opens P(j) to all, or is named
//! ```
//!
//! A dealer who sees the others' commitments first can bias the key by a few bits, which is harmless
//! for a key that only encrypts; a ceremony that wants none of it lets each dealer publish
//! [`Dealing::digest`] before anyone publishes a dealing.
//!
//! # Invariants
//!
//! * Everyone who finishes from the same dealings has the same committee.
//! * A dealing is bound to its session: none counts in another ceremony.
//! * Dealing anew keeps the joint key, and so the committee's id and every capsule.
//!
//! Not here: the agreement on which dealings count, and the erasure of old shares by their holders.

use alloc::{collections::BTreeMap, vec::Vec};

use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_TABLE as G,
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{Identity as _, VartimeMultiscalarMul as _},
};
use keepwell_types::{
    encode,
    encoding::{Blob, DecodeError, List},
    genesis::CommitteeKeys,
    id::Digest,
    limits::{DEALING_BYTES_MAX, VALIDATORS_MAX},
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    hash::digest,
    seal::{self, ENCAPSULATED_BYTES, SealingKey, SealingPublic, TAG_BYTES},
    threshold::{self, Committee, KeyShare, Polynomial, decode_point, decode_scalar, lagrange},
};

const DOMAIN: &str = "keepwell/dealing/share/v1";

/// Why a dealing or a ceremony fails, and whose fault it is.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DealingFault {
    /// Not as many points or sealed shares as there must be, or not points at all.
    #[error("dealer {dealer} published a malformed dealing; leave it out")]
    Malformed {
        /// Who dealt.
        dealer: u16,
    },
    /// The share for this receiver does not open, or is not on the polynomial.
    #[error("dealer {dealer} sent receiver {receiver} a wrong share; publish the complaint")]
    Share {
        /// Who dealt.
        dealer: u16,
        /// Who received.
        receiver: u16,
    },
    /// The dealer deals anew something else than its share.
    #[error("dealer {dealer} did not deal the share it holds; leave its dealing out")]
    NotItsShare {
        /// Who dealt.
        dealer: u16,
    },
    /// Two dealings of one dealer.
    #[error("dealer {dealer} dealt twice; leave both dealings out")]
    Twice {
        /// Who dealt.
        dealer: u16,
    },
    /// Too few dealings.
    #[error("{have} dealings are here and {need} are needed; wait for further dealers")]
    TooFew {
        /// Dealings given.
        have: usize,
        /// Dealings needed.
        need: usize,
    },
    /// The numbers of shares make no committee.
    #[error("{threshold} of {shares} shares make no committee")]
    Numbers {
        /// Shares that should open.
        threshold: u16,
        /// Shares in all.
        shares: usize,
    },
}

/// How many shares there will be, and how many will open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Numbers {
    threshold: u16,
    shares: u16,
}

impl Numbers {
    /// Refused unless 1 ≤ threshold ≤ shares ≤ [`VALIDATORS_MAX`].
    pub fn new(threshold: u16, shares: u16) -> Result<Self, DealingFault> {
        let within = usize::from(shares) <= VALIDATORS_MAX;
        if 0 < threshold && threshold <= shares && within {
            Ok(Self { threshold, shares })
        } else {
            Err(DealingFault::Numbers { threshold, shares: usize::from(shares) })
        }
    }

    /// How many shares will open.
    pub(crate) const fn threshold(self) -> u16 {
        self.threshold
    }
}

/// One dealer's dealing: published to all.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Dealing {
    #[n(0)]
    session: Digest,
    #[n(1)]
    dealer: u16,
    #[n(2)]
    commitments: List<Digest, VALIDATORS_MAX>,
    #[n(3)]
    sealed: List<SealedShare, VALIDATORS_MAX>,
}

/// What a dealer sends to one receiver.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct SealedShare {
    #[n(0)]
    encapsulated: Blob<ENCAPSULATED_BYTES>,
    #[n(1)]
    ciphertext: Blob<{ 32 + TAG_BYTES }>,
}

impl SealedShare {
    /// For a receiver without a key.
    const NONE: Self = Self { encapsulated: Blob::new(), ciphertext: Blob::new() };
}

/// What a dealer keeps until no receiver can complain any more. Erased from memory when dropped.
pub struct Dealt {
    dealing: Dealing,
    polynomial: Polynomial,
}

impl Dealt {
    /// Deals a random secret, for a fresh key. Receiver j, counted from 1, has `receivers[j − 1]`.
    pub fn fresh(
        rng: &mut impl CryptoRng,
        session: &Digest,
        dealer: u16,
        threshold: u16,
        receivers: &[SealingPublic],
    ) -> Result<Self, DealingFault> {
        let secret = Zeroizing::new(Scalar::random(rng));
        let receivers: Vec<_> = receivers.iter().map(Some).collect();
        Dealing::deal(rng, session, dealer, *secret, threshold, &receivers)
    }

    /// Deals the dealer's share anew, to the next holders. Receiver j, counted from 1, has `receivers[j − 1]`; one
    /// without a key gets nothing, and will have no share.
    pub fn anew(
        rng: &mut impl CryptoRng,
        session: &Digest,
        share: &KeyShare,
        threshold: u16,
        receivers: &[Option<SealingPublic>],
    ) -> Result<Self, DealingFault> {
        let receivers: Vec<_> = receivers.iter().map(Option::as_ref).collect();
        Dealing::deal(rng, session, share.index(), *share.secret(), threshold, &receivers)
    }

    /// What is published.
    pub const fn dealing(&self) -> &Dealing {
        &self.dealing
    }

    /// The share of a receiver that complained, for all to see.
    pub fn opened(&self, receiver: u16) -> OpenedShare {
        let share = self.polynomial.at(receiver).to_bytes().to_vec();
        OpenedShare { receiver, share: Blob::from_vec(share).expect("a scalar") }
    }
}

/// A share that its dealer opened because its receiver complained. It is no secret any more.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct OpenedShare {
    #[n(0)]
    receiver: u16,
    #[n(1)]
    share: Blob<32>,
}

impl OpenedShare {
    /// The share with these bytes.
    pub const fn new(receiver: u16, share: Blob<32>) -> Self {
        Self { receiver, share }
    }

    /// Who complained.
    pub const fn receiver(&self) -> u16 {
        self.receiver
    }

    /// The bytes of the share.
    pub const fn share(&self) -> &Blob<32> {
        &self.share
    }
}

/// What a dealing says to all, without what is sealed: enough to check an opened share, and to come to the new
/// committee.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Commitments {
    #[n(0)]
    dealer: u16,
    #[n(1)]
    points: List<Digest, VALIDATORS_MAX>,
}

impl Commitments {
    /// Who dealt.
    pub const fn dealer(&self) -> u16 {
        self.dealer
    }

    /// Checks what the dealer opened after a complaint.
    pub fn check_opened(
        &self,
        numbers: Numbers,
        opened: &OpenedShare,
    ) -> Result<SubShare, DealingFault> {
        let (dealer, receiver) = (self.dealer, opened.receiver);
        let wrong = DealingFault::Share { dealer, receiver };
        if receiver == 0 || receiver > numbers.shares {
            return Err(wrong);
        }
        on_polynomial(dealer, receiver, &self.decoded(numbers)?, &opened.share).ok_or(wrong)
    }

    /// The commitments as points, as many as there must be.
    fn decoded(&self, numbers: Numbers) -> Result<Vec<RistrettoPoint>, DealingFault> {
        let malformed = DealingFault::Malformed { dealer: self.dealer };
        if self.dealer == 0 || self.points.len() != usize::from(numbers.threshold) {
            return Err(malformed);
        }
        let points = self.points.iter().map(|bytes| decode_point(&bytes.0));
        points.collect::<Option<_>>().ok_or(malformed)
    }

    /// Whether `points` deal the share that the dealer holds.
    fn check_of(&self, old: &Committee, points: &[RistrettoPoint]) -> Result<(), DealingFault> {
        let held = old.share_key(self.dealer).map(|(point, _)| point);
        if points.first() == held {
            Ok(())
        } else {
            Err(DealingFault::NotItsShare { dealer: self.dealer })
        }
    }
}

/// What one receiver has of one dealing. Erased from memory when dropped.
#[derive(Clone)]
pub struct SubShare {
    dealer: u16,
    secret: Scalar,
}

impl Drop for SubShare {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl core::fmt::Debug for SubShare {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SubShare({}, ..)", self.dealer)
    }
}

impl Dealing {
    /// Deals a random secret, for a fresh key. Receiver j, counted from 1, has `receivers[j − 1]`.
    pub fn fresh(
        rng: &mut impl CryptoRng,
        session: &Digest,
        dealer: u16,
        threshold: u16,
        receivers: &[SealingPublic],
    ) -> Result<Self, DealingFault> {
        Ok(Dealt::fresh(rng, session, dealer, threshold, receivers)?.dealing)
    }

    /// Deals the dealer's share anew, to the next holders.
    pub fn anew(
        rng: &mut impl CryptoRng,
        session: &Digest,
        share: &KeyShare,
        threshold: u16,
        receivers: &[SealingPublic],
    ) -> Result<Self, DealingFault> {
        let receivers: Vec<_> = receivers.iter().map(Some).collect();
        Ok(Self::deal(rng, session, share.index(), *share.secret(), threshold, &receivers)?.dealing)
    }

    fn deal(
        rng: &mut impl CryptoRng,
        session: &Digest,
        dealer: u16,
        secret: Scalar,
        threshold: u16,
        receivers: &[Option<&SealingPublic>],
    ) -> Result<Dealt, DealingFault> {
        let shares = receivers.len();
        let count =
            u16::try_from(shares).map_err(|_| DealingFault::Numbers { threshold, shares })?;
        Numbers::new(threshold, count)?;
        let polynomial = Polynomial::random(rng, secret, threshold);
        let commitments =
            polynomial.commitments().iter().map(|point| Digest(point.compress().0)).collect();
        let sealed = (1..)
            .zip(receivers)
            .map(|(receiver, key)| {
                let Some(key) = key else { return SealedShare::NONE };
                let share = Zeroizing::new(polynomial.at(receiver).to_bytes());
                let parts = parts(session, &dealer.to_le_bytes(), &receiver.to_le_bytes());
                let parts = parts.each_ref().map(Vec::as_slice);
                let (encapsulated, ciphertext) = seal::seal(rng, key, DOMAIN, &parts, &*share);
                SealedShare {
                    encapsulated: Blob::from_vec(encapsulated).expect("X-Wing's length"),
                    ciphertext: Blob::from_vec(ciphertext).expect("a scalar and a tag"),
                }
            })
            .collect();
        let dealing = Self {
            session: *session,
            dealer,
            commitments: List::from_vec(commitments).expect("the numbers were checked"),
            sealed: List::from_vec(sealed).expect("the numbers were checked"),
        };
        Ok(Dealt { dealing, polynomial })
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        keepwell_types::decode(bytes, DEALING_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Who dealt.
    pub fn dealer(&self) -> u16 {
        self.dealer
    }

    /// What a dealer may publish before its dealing, so that nobody chooses after seeing the others.
    pub fn digest(&self) -> Digest {
        digest("keepwell/dealing/digest/v1", &[&encode(self)])
    }

    /// Opens and checks what was sent to `receiver`.
    pub fn open(
        &self,
        session: &Digest,
        numbers: Numbers,
        receiver: u16,
        key: &SealingKey,
    ) -> Result<SubShare, DealingFault> {
        let dealer = self.dealer;
        let commitments = self.points(session, numbers)?;
        let wrong = DealingFault::Share { dealer, receiver };
        let place = usize::from(receiver).checked_sub(1).ok_or(wrong)?;
        let sealed = self.sealed.get(place).ok_or(wrong)?;
        let parts = parts(session, &dealer.to_le_bytes(), &receiver.to_le_bytes());
        let parts = parts.each_ref().map(Vec::as_slice);
        let opened = seal::open(key, DOMAIN, &parts, &sealed.encapsulated, &sealed.ciphertext)
            .map_err(|_| wrong)?;
        on_polynomial(dealer, receiver, &commitments, &opened).ok_or(wrong)
    }

    /// Checks what the dealer opened after a complaint.
    pub fn check_opened(
        &self,
        session: &Digest,
        numbers: Numbers,
        opened: &OpenedShare,
    ) -> Result<SubShare, DealingFault> {
        self.checked(session, numbers)?.0.check_opened(numbers, opened)
    }

    /// Whether everyone can read it: of this session, and of points as many as there must be.
    pub fn check(&self, session: &Digest, numbers: Numbers) -> Result<(), DealingFault> {
        self.points(session, numbers).map(drop)
    }

    /// What it says to all, if it deals anew, in this session, the share that its dealer holds.
    pub fn commitments_of(
        &self,
        old: &Committee,
        session: &Digest,
        numbers: Numbers,
    ) -> Result<Commitments, DealingFault> {
        let (commitments, points) = self.checked(session, numbers)?;
        commitments.check_of(old, &points)?;
        Ok(commitments)
    }

    /// The commitments as points, of a dealing of the right session and shape.
    fn points(
        &self,
        session: &Digest,
        numbers: Numbers,
    ) -> Result<Vec<RistrettoPoint>, DealingFault> {
        self.checked(session, numbers).map(|(_, points)| points)
    }

    fn checked(
        &self,
        session: &Digest,
        numbers: Numbers,
    ) -> Result<(Commitments, Vec<RistrettoPoint>), DealingFault> {
        if self.session != *session || self.sealed.len() != usize::from(numbers.shares) {
            return Err(DealingFault::Malformed { dealer: self.dealer });
        }
        let commitments = Commitments { dealer: self.dealer, points: self.commitments.clone() };
        let points = commitments.decoded(numbers)?;
        Ok((commitments, points))
    }
}

/// A receiver's share, if it is on the polynomial that the dealer committed to.
fn on_polynomial(
    dealer: u16,
    receiver: u16,
    commitments: &[RistrettoPoint],
    share: &[u8],
) -> Option<SubShare> {
    let share = SubShare { dealer, secret: decode_scalar(share.try_into().ok()?)? };
    (G * &share.secret == evaluate(commitments, receiver)).then_some(share)
}

fn parts(session: &Digest, dealer: &[u8; 2], receiver: &[u8; 2]) -> [Vec<u8>; 3] {
    [session.0.to_vec(), dealer.to_vec(), receiver.to_vec()]
}

/// The committee of a fresh key: the sum of all dealings.
pub fn finish_fresh(
    session: &Digest,
    numbers: Numbers,
    dealings: &[Dealing],
) -> Result<CommitteeKeys, DealingFault> {
    let ordered = in_order(dealings, 1)?;
    let points = ordered.iter().map(|dealing| dealing.points(session, numbers));
    let points: Vec<_> = points.collect::<Result<_, _>>()?;
    let weights = alloc::vec![Scalar::ONE; points.len()];
    Ok(committee(numbers, &weights, &points))
}

/// A receiver's share of a fresh key: the sum of what it has of each dealing that counts.
pub fn fresh_share(receiver: u16, parts: &[SubShare]) -> KeyShare {
    KeyShare::new(receiver, parts.iter().map(|part| part.secret).sum())
}

/// The committee of the same key, dealt anew. Of more dealings than the old threshold, those of the
/// first dealers count, in order of their indices.
pub fn finish_anew(
    old: &Committee,
    session: &Digest,
    numbers: Numbers,
    dealings: &[Dealing],
) -> Result<CommitteeKeys, DealingFault> {
    let commitments = in_order(dealings, usize::from(old.threshold()))?.into_iter();
    let commitments = commitments.take(usize::from(old.threshold()));
    let commitments = commitments.map(|it| it.commitments_of(old, session, numbers));
    finish_committed(old, numbers, &commitments.collect::<Result<Vec<_>, _>>()?)
}

/// [`finish_anew`] from as many commitments as the old threshold, in order of their dealers.
pub fn finish_committed(
    old: &Committee,
    numbers: Numbers,
    commitments: &[Commitments],
) -> Result<CommitteeKeys, DealingFault> {
    let (have, need) = (commitments.len(), usize::from(old.threshold()));
    if have != need {
        return Err(DealingFault::TooFew { have, need });
    }
    if let Some(pair) = commitments.windows(2).find(|pair| pair[0].dealer >= pair[1].dealer) {
        return Err(DealingFault::Twice { dealer: pair[1].dealer });
    }
    let mut all = Vec::with_capacity(have);
    for of_one in commitments {
        let points = of_one.decoded(numbers)?;
        of_one.check_of(old, &points)?;
        all.push(points);
    }
    let dealers: Vec<_> = commitments.iter().map(|of_one| of_one.dealer).collect();
    let keys = committee(numbers, &lagrange(&dealers, 0), &all);
    // Each constant term was an old share, and the weights are those that combine old shares.
    assert!(keys.key.0 == old.key().compress().0, "dealing anew keeps the joint key");
    Ok(keys)
}

/// A receiver's share of a key dealt anew, from what it has of the same dealings that
/// [`finish_anew`] counts.
pub fn anew_share(
    old: &Committee,
    receiver: u16,
    parts: &[SubShare],
) -> Result<KeyShare, DealingFault> {
    let by_dealer: BTreeMap<_, _> = parts.iter().map(|part| (part.dealer, part.secret)).collect();
    let need = usize::from(old.threshold());
    if by_dealer.len() < need {
        return Err(DealingFault::TooFew { have: by_dealer.len(), need });
    }
    let dealers: Vec<_> = by_dealer.keys().copied().take(need).collect();
    let weights = lagrange(&dealers, 0);
    let secret = by_dealer.values().zip(weights).map(|(secret, weight)| secret * weight).sum();
    Ok(KeyShare::new(receiver, secret))
}

/// The dealings in order of their dealers, each of whom dealt once.
fn in_order(dealings: &[Dealing], need: usize) -> Result<Vec<&Dealing>, DealingFault> {
    let mut by_dealer = BTreeMap::new();
    for dealing in dealings {
        if by_dealer.insert(dealing.dealer, dealing).is_some() {
            return Err(DealingFault::Twice { dealer: dealing.dealer });
        }
    }
    if by_dealer.len() < need {
        return Err(DealingFault::TooFew { have: by_dealer.len(), need });
    }
    Ok(by_dealer.into_values().collect())
}

/// The keys of the weighted sum of the dealers' polynomials.
fn committee(
    numbers: Numbers,
    weights: &[Scalar],
    dealings: &[Vec<RistrettoPoint>],
) -> CommitteeKeys {
    let mut sum = alloc::vec![RistrettoPoint::identity(); usize::from(numbers.threshold)];
    for (weight, points) in weights.iter().zip(dealings) {
        for (sum, point) in sum.iter_mut().zip(points) {
            *sum += point * weight;
        }
    }
    let shares: Vec<_> = (1..=numbers.shares).map(|index| evaluate(&sum, index)).collect();
    threshold::committee_keys(numbers.threshold, &sum[0], &shares)
}

/// P(x)·G from the commitments to P's coefficients.
fn evaluate(commitments: &[RistrettoPoint], x: u16) -> RistrettoPoint {
    let x = Scalar::from(x);
    let powers = core::iter::successors(Some(Scalar::ONE), |power| Some(power * x));
    let powers: Vec<_> = powers.take(commitments.len()).collect();
    RistrettoPoint::vartime_multiscalar_mul(powers, commitments)
}

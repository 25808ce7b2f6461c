//! Resharing: what each validator does with its shares when others follow, and how all see that it was done right.
//!
//! The ledger is the board: each of the old set deals its share anew ([`crate::dealing`]), each of the new set checks
//! what it got, and shows that it has a share of what came out.
//!
//! ```text
//! session    digest(chain, where the change began, which key)
//! dealing    from a seed that the dealer's share, the session and the receivers determine
//! proof      (c, z): z·G − c·Xⱼ = R,  c = digest(session, the new committee, j, R)
//! card       the seat, signed by the validator's two keys for this chain
//! ```
//!
//! # Invariants
//!
//! * A dealer that crashes deals the same again, and opens what it had dealt: nothing of a dealing is stored.
//! * A share of the key that releases never becomes one of the key that matches, nor the other way round: [`Share`].
//! * Who confirms has a share that fits the new committee, whatever else it may lie about.
//!
//! Not here: who deals and when, and which dealings count (`keepwell-ledger`); where shares are kept
//! (`keepwell-node`).

use alloc::vec::Vec;

use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_TABLE as G, ristretto::RistrettoPoint, scalar::Scalar,
};
use keepwell_types::{
    encode,
    encoding::{Blob, List},
    genesis::CommitteeKeys,
    id::{ChainId, Digest, Location, OrganisationId},
    validators::{KeyUse, SHARE_PROOF_BYTES, Seat, VALIDATOR_SIGNATURES, ValidatorCard, quorum},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng as _};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    dealing::{
        Commitments, Dealing, DealingFault, Dealt, Numbers, OpenedShare, SubShare, anew_share,
        finish_committed,
    },
    hash::{self, digest},
    matching::MatchingShare,
    seal::{SealingKey, SealingPublic},
    sign::{SigningKey, verify},
    threshold::{Committee, CommitteeError, KeyShare, decode_scalar},
};

const CARD_DOMAIN: &str = "keepwell/reshare/card/v1";
const SESSION_DOMAIN: &str = "keepwell/reshare/session/v1";
const SEED_DOMAIN: &str = "keepwell/reshare/seed/v1";
const NONCE_DOMAIN: &str = "keepwell/reshare/nonce/v1";
const PROOF_DOMAIN: &str = "keepwell/reshare/proof/v1";

/// The card is not signed by the keys in it for this consortium: its organisation's fault.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "the card of organisation {0} is not signed by the keys in it for this consortium; get it from the organisation again"
)]
pub struct CardFault(pub OrganisationId);

/// Signs what an organisation brings to validate with the keys that it names: consensus, release.
pub fn sign_card(
    chain: &ChainId,
    seat: Seat,
    keys: [&SigningKey; VALIDATOR_SIGNATURES],
) -> ValidatorCard {
    let message = encode(&(chain, &seat));
    let signatures = keys.map(|key| key.sign(CARD_DOMAIN, &message)).to_vec();
    ValidatorCard { seat, signatures: List::from_vec(signatures).expect("one for each key") }
}

/// Whether the validator holds the keys that its card names.
pub fn check_card(chain: &ChainId, card: &ValidatorCard) -> Result<(), CardFault> {
    let validator = card.seat.validator;
    let fault = CardFault(validator.organisation);
    let keys = [validator.consensus, validator.release];
    if card.signatures.len() != keys.len() || keys[0] == keys[1] {
        return Err(fault);
    }
    let message = encode(&(chain, &card.seat));
    for (key, signature) in keys.iter().zip(card.signatures.iter()) {
        verify(key, CARD_DOMAIN, &message, signature).map_err(|_| fault)?;
    }
    Ok(())
}

/// A share of one of the two keys.
#[derive(Clone, Debug)]
pub enum Share {
    /// Of the one that releases.
    Release(KeyShare),
    /// Of the one that evaluates for matching.
    Match(MatchingShare),
}

impl Share {
    fn new(key: KeyUse, share: KeyShare) -> Self {
        match key {
            KeyUse::Release => Self::Release(share),
            KeyUse::Match => Self::Match(MatchingShare::new(share)),
        }
    }

    /// What it is a share of.
    pub const fn key(&self) -> KeyUse {
        match self {
            Self::Release(_) => KeyUse::Release,
            Self::Match(_) => KeyUse::Match,
        }
    }

    const fn inner(&self) -> &KeyShare {
        match self {
            Self::Release(share) => share,
            Self::Match(share) => share.inner(),
        }
    }
}

/// The resharing of one key in one change of validators.
#[derive(Clone, Debug)]
pub struct Resharing {
    key: KeyUse,
    session: Digest,
    old: Committee,
    numbers: Numbers,
}

impl Resharing {
    /// From those who have `old` to so many others.
    pub fn new(
        chain: &ChainId,
        change: Location,
        key: KeyUse,
        old: &CommitteeKeys,
        seats: usize,
    ) -> Result<Self, ResharingFault> {
        let session = digest(SESSION_DOMAIN, &[&encode(&(chain, change, key))]);
        let count = |n: usize| {
            let (threshold, shares) = (u16::MAX, n);
            u16::try_from(n).map_err(|_| DealingFault::Numbers { threshold, shares })
        };
        let numbers = Numbers::new(count(quorum(seats))?, count(seats)?)?;
        Ok(Self { key, session, old: Committee::new(old)?, numbers })
    }

    /// The dealing of a share to those who are ready: the same one every time.
    pub fn deal(
        &self,
        share: &Share,
        receivers: &[Option<SealingPublic>],
    ) -> Result<Dealt, DealingFault> {
        let own = share.inner();
        if share.key() != self.key || !own.is_of(&self.old) {
            return Err(DealingFault::NotItsShare { dealer: own.index() });
        }
        let keys: Vec<_> = receivers
            .iter()
            .map(|key| key.as_ref().map(SealingPublic::to_bytes).unwrap_or_default())
            .collect();
        let parts = [&own.to_bytes()[..], &self.session.0];
        let parts: Vec<_> = parts.into_iter().chain(keys.iter().map(Vec::as_slice)).collect();
        let mut rng = ChaCha20Rng::from_seed(*Zeroizing::new(digest(SEED_DOMAIN, &parts).0));
        Dealt::anew(&mut rng, &self.session, own, self.numbers.threshold(), receivers)
    }

    /// What a dealing says to all, if it is one of the share that its dealer holds.
    pub fn commitments(&self, dealing: &Dealing) -> Result<Commitments, DealingFault> {
        dealing.commitments_of(&self.old, &self.session, self.numbers)
    }

    /// Checks a share that its dealer opened.
    pub fn check_opened(
        &self,
        commitments: &Commitments,
        opened: &OpenedShare,
    ) -> Result<SubShare, DealingFault> {
        commitments.check_opened(self.numbers, opened)
    }

    /// The committee that follows from the dealings that count: as many as the old threshold.
    pub fn finish(&self, commitments: &[Commitments]) -> Result<CommitteeKeys, DealingFault> {
        finish_committed(&self.old, self.numbers, commitments)
    }

    /// Opens and checks what was sent to `receiver`.
    pub fn open(
        &self,
        dealing: &Dealing,
        receiver: u16,
        key: &SealingKey,
    ) -> Result<SubShare, DealingFault> {
        dealing.open(&self.session, self.numbers, receiver, key)
    }

    /// A receiver's share, from what it has of the dealings that count.
    pub fn share(&self, receiver: u16, parts: &[SubShare]) -> Result<Share, DealingFault> {
        Ok(Share::new(self.key, anew_share(&self.old, receiver, parts)?))
    }

    /// Shows that somebody has this share of the new committee, and nothing more.
    ///
    /// The nonce depends on the secret and on what is shown, so that it never repeats for two proofs even where `rng`
    /// is no good.
    pub fn prove(
        &self,
        rng: &mut impl CryptoRng,
        new: &CommitteeKeys,
        share: &Share,
    ) -> Blob<SHARE_PROOF_BYTES> {
        let (share, context) = (share.inner(), self.context(new));
        let mut random = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *random);
        let parts: [&[u8]; 3] = [share.secret().as_bytes(), &*random, &context.0];
        let nonce = Zeroizing::new(hash::scalar(NONCE_DOMAIN, &parts));
        let challenge = challenge(&context, share.index(), &(G * &*nonce));
        let response = *nonce + challenge * share.secret();
        let proof = [challenge.to_bytes(), response.to_bytes()].concat();
        Blob::from_vec(proof).expect("two scalars")
    }

    /// Whether whoever made `proof` had the share with this index.
    pub fn verify(
        &self,
        new: &CommitteeKeys,
        index: u16,
        proof: &Blob<SHARE_PROOF_BYTES>,
    ) -> Result<(), NoProof> {
        let (halves, []) = proof.as_chunks::<32>() else { return Err(NoProof) };
        let [first, second] = halves else { return Err(NoProof) };
        let given = decode_scalar(first).ok_or(NoProof)?;
        let response = decode_scalar(second).ok_or(NoProof)?;
        let new_committee = Committee::new(new).map_err(|_| NoProof)?;
        let (point, _) = new_committee.share_key(index).ok_or(NoProof)?;
        let commitment =
            RistrettoPoint::vartime_double_scalar_mul_basepoint(&-given, point, &response);
        if challenge(&self.context(new), index, &commitment) == given {
            Ok(())
        } else {
            Err(NoProof)
        }
    }

    fn context(&self, new: &CommitteeKeys) -> Digest {
        digest("keepwell/reshare/context/v1", &[&self.session.0, &encode(new)])
    }
}

fn challenge(context: &Digest, index: u16, commitment: &RistrettoPoint) -> Scalar {
    let parts: [&[u8]; 3] = [&context.0, &index.to_le_bytes(), &commitment.compress().0];
    hash::scalar(PROOF_DOMAIN, &parts)
}

/// Why no shares can be dealt anew: what stands on the ledger is damaged, or made by other rules.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ResharingFault {
    /// The keys of the old set.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// The size of the new one.
    #[error(transparent)]
    Numbers(#[from] DealingFault),
}

/// Whoever made the proof did not have the share.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the proof is of another share, or of none")]
pub struct NoProof;

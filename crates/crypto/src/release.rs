//! Release: a validator's answer to a committed access, and a reader's collecting of answers.
//!
//! ```text
//! reader                               validator i
//!   access.open  ── ledger ──────────▶  committed
//!   capsules, fresh key  ────────────▶  each capsule is the one on the ledger, label and all
//!                                       Dₖ = sᵢ·Uₖ, one proof, sealed to the fresh key
//!   check signature, open, check proof ◀──────────  signed answer
//!   t answers: combine
//! ```
//!
//! Everything is bound to one context: the chain, the digest of the access command, the digest of the
//! reader's fresh key, and the commitments of the capsules in their order.
//!
//! # Invariants
//!
//! * A validator's share meets a capsule only if its commitment and every field of its label are the
//!   ledger's. A whole foreign capsule, committed again under a record of one's own, is refused.
//! * Only a signed answer can be held against a validator: garbage that someone else sends is dropped
//!   and blames nobody. The signature covers the context, so an honest answer to another request of
//!   the same access blames nobody either.
//!
//! Not here: whether the access stands on the ledger, is recent and still permitted. The node checks
//! that on its newest state before it calls [`Releaser::release`].

use alloc::{collections::BTreeMap, vec::Vec};

use keepwell_types::{
    encode,
    encoding::Blob,
    id::{
        ChainId, ChartId, CommandDigest, Commitment, Compartment, Digest, Epoch, PublicKey,
        RecordId, Signature, Version,
    },
    limits::RELEASE_CAPSULES_MAX,
    record::Label,
    wire::{ReleaseAnswer, SEALED_SHARE_BYTES_MAX},
};
use rand_core::CryptoRng;
use thiserror::Error;

use crate::{
    capsule::{Capsule, SaltedCapsule},
    hash::{Hasher, digest},
    seal::{self, ENCAPSULATED_BYTES, SealingKey, SealingPublic, TAG_BYTES},
    sign::{self, SigningKey},
    threshold::{
        self, CiphertextError, Committee, KeyShare, Partial, ProvenPoint, ReleaseSecret,
        TooFewShares, VerifiedPartial,
    },
};

const SEAL_DOMAIN: &str = "keepwell/release/share/v1";
const SIGNATURE_DOMAIN: &str = "keepwell/release/answer/v1";

const _: () =
    assert!(Partial::encoded_len(RELEASE_CAPSULES_MAX) + TAG_BYTES <= SEALED_SHARE_BYTES_MAX);

/// An access, as far as a release depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Access {
    /// The consortium.
    pub chain: ChainId,
    /// The `access.open` that was accepted.
    pub command: CommandDigest,
    /// The digest of the reader's fresh key, which that command names.
    pub reader_key: Digest,
}

impl Access {
    fn context(&self, commitments: &[Commitment]) -> Digest {
        let mut hasher = Hasher::new("keepwell/release/context/v1");
        hasher.part(&self.chain.0);
        hasher.part(&self.command.0);
        hasher.part(&self.reader_key.0);
        for commitment in commitments {
            hasher.part(&commitment.0);
        }
        hasher.finish()
    }
}

/// What the ledger says of one record that the access opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Expected {
    /// Its chart.
    pub chart: ChartId,
    /// The record.
    pub record: RecordId,
    /// Its version.
    pub version: Version,
    /// The compartment it is sealed to.
    pub compartment: Compartment,
    /// The generation of that compartment's key.
    pub epoch: Epoch,
    /// Bytes of its body as stored.
    pub sealed_bytes: u64,
    /// The commitment of its capsule.
    pub commitment: Commitment,
}

impl Expected {
    /// The first field of the label that is not the ledger's.
    fn mismatch(
        &self,
        chain: &ChainId,
        committee: &Committee,
        label: &Label,
    ) -> Option<LabelField> {
        let equal = [
            (LabelField::Chain, label.chain == *chain),
            (LabelField::Chart, label.chart == self.chart),
            (LabelField::Record, label.record == self.record),
            (LabelField::Version, label.version == self.version),
            (LabelField::Compartment, label.compartment == self.compartment),
            (LabelField::Epoch, label.epoch == self.epoch),
            (LabelField::Committee, label.committee == committee.id()),
            (LabelField::SealedBytes, label.sealed_bytes == self.sealed_bytes),
        ];
        equal.into_iter().find_map(|(field, equal)| (!equal).then_some(field))
    }
}

/// A field of a capsule's label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LabelField {
    /// The consortium.
    Chain,
    /// The chart.
    Chart,
    /// The record.
    Record,
    /// The record's version.
    Version,
    /// The compartment.
    Compartment,
    /// The generation of the compartment's key.
    Epoch,
    /// The committee.
    Committee,
    /// Bytes of the body.
    SealedBytes,
}

/// Why a validator does not release.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ReleaseRefusal {
    /// The reader's fault: no capsule, or more than one request may have.
    #[error("a request has 1 to {max} capsules, not {given}; split it", max = RELEASE_CAPSULES_MAX)]
    Count {
        /// Capsules given.
        given: usize,
    },
    /// The reader's fault: another key than the access names.
    #[error("the access names another reader key; ask with the key of that access")]
    ReaderKey,
    /// The reader's or its custodian's fault: not the capsule that the ledger commits to.
    #[error(
        "item {item} is not the capsule that the ledger commits to; fetch it from another custodian"
    )]
    Commitment {
        /// Its place in the request, counted from 0.
        item: usize,
    },
    /// The author's fault: the capsule was made for something else than its record.
    #[error(
        "the label of item {item} is not the ledger's ({field:?}); its author committed a foreign capsule"
    )]
    Label {
        /// Its place in the request, counted from 0.
        item: usize,
        /// What differs.
        field: LabelField,
    },
    /// The author's fault: the second lock does not fit the label.
    #[error("item {item} cannot be released: {error}")]
    Ciphertext {
        /// Its place in the request, counted from 0.
        item: usize,
        /// What is wrong.
        error: CiphertextError,
    },
}

/// Keys that do not belong to the committee: a fault of the validator's set-up.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("share {share} is not of this committee; restore the share of the newest dealing")]
pub struct ForeignShare {
    /// The share's index.
    pub share: u16,
}

/// A validator's keys for releasing: all that touches its share. A hardware module or a process of its
/// own can stand in its place.
#[derive(Clone, Debug)]
pub struct Releaser {
    committee: Committee,
    share: KeyShare,
    key: SigningKey,
}

impl Releaser {
    /// Takes a share, once it is checked to be of the committee.
    pub fn new(
        committee: Committee,
        share: KeyShare,
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

    /// Releases the capsules of records that a committed access opened.
    ///
    /// The caller vouches that `access` and each [`Expected`] are what its ledger says, and that the
    /// access still permits each record.
    pub fn release(
        &self,
        rng: &mut impl CryptoRng,
        access: &Access,
        items: &[(Expected, SaltedCapsule)],
        reader: &SealingPublic,
    ) -> Result<ReleaseAnswer, ReleaseRefusal> {
        if items.is_empty() || items.len() > RELEASE_CAPSULES_MAX {
            return Err(ReleaseRefusal::Count { given: items.len() });
        }
        if reader.digest() != access.reader_key {
            return Err(ReleaseRefusal::ReaderKey);
        }
        let points = items
            .iter()
            .enumerate()
            .map(|(item, (expected, salted))| self.check(access, item, expected, salted))
            .collect::<Result<Vec<_>, _>>()?;
        let commitments: Vec<_> = items.iter().map(|(expected, _)| expected.commitment).collect();
        let context = access.context(&commitments);
        let partial = threshold::partial(rng, &self.committee, &self.share, &points, &context);
        Ok(self.answer(rng, access, &context, reader, &partial))
    }

    fn check(
        &self,
        access: &Access,
        item: usize,
        expected: &Expected,
        salted: &SaltedCapsule,
    ) -> Result<ProvenPoint, ReleaseRefusal> {
        if salted.commitment() != expected.commitment {
            return Err(ReleaseRefusal::Commitment { item });
        }
        let capsule = &salted.capsule;
        match expected.mismatch(&access.chain, &self.committee, capsule.label()) {
            Some(field) => Err(ReleaseRefusal::Label { item, field }),
            None => capsule
                .verify_release(&self.committee)
                .map_err(|error| ReleaseRefusal::Ciphertext { item, error }),
        }
    }

    fn answer(
        &self,
        rng: &mut impl CryptoRng,
        access: &Access,
        context: &Digest,
        reader: &SealingPublic,
        partial: &Partial,
    ) -> ReleaseAnswer {
        let share = self.share.index();
        let parts: [&[u8]; 2] = [&context.0, &share.to_le_bytes()];
        let (encapsulated, sealed) =
            seal::seal(rng, reader, SEAL_DOMAIN, &parts, &partial.to_bytes());
        let message = signed_message(context, share, &encapsulated, &sealed);
        ReleaseAnswer {
            access: access.command,
            share,
            encapsulated: Blob::<ENCAPSULATED_BYTES>::from_vec(encapsulated)
                .expect("X-Wing's length"),
            sealed: Blob::from_vec(sealed).expect("the number of capsules was checked"),
            signature: self.key.sign(SIGNATURE_DOMAIN, message.as_bytes()),
        }
    }
}

fn signed_message(context: &Digest, share: u16, encapsulated: &[u8], sealed: &[u8]) -> Digest {
    let parts: [&[u8]; 4] = [&context.0, &share.to_le_bytes(), encapsulated, sealed];
    digest("keepwell/release/message/v1", &parts)
}

fn verify_signature(
    answer: &ReleaseAnswer,
    context: &Digest,
    validator: &PublicKey,
) -> Result<(), ShareFault> {
    let share = answer.share;
    let message = signed_message(context, share, &answer.encapsulated, &answer.sealed);
    let signature: &Signature = &answer.signature;
    sign::verify(validator, SIGNATURE_DOMAIN, message.as_bytes(), signature)
        .map_err(|_| ShareFault::Unsigned { share })
}

/// Why an answer does not count.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ShareFault {
    /// Not signed by the validator for this request. Nobody's fault that could be proven.
    #[error(
        "an answer for share {share} is not signed by its validator for this request; ask again"
    )]
    Unsigned {
        /// The share it claims to be of.
        share: u16,
    },
    /// An answer of this share counts already. Nobody's fault.
    #[error("share {share} has answered already")]
    Duplicate {
        /// The share.
        share: u16,
    },
    /// No share has this index: the caller's fault, who has no validator's key for it.
    #[error("the committee has no share {share}")]
    NoSuchShare {
        /// The index.
        share: u16,
    },
    /// The validator signed what does not open: its fault.
    #[error("validator of share {share} signed an answer that does not open; report its operator")]
    Sealed {
        /// The share.
        share: u16,
    },
    /// The validator signed a share that its proof does not prove: its fault.
    #[error("validator of share {share} signed a share that is not its own; report its operator")]
    Proof {
        /// The share.
        share: u16,
    },
}

impl ShareFault {
    /// The share whose validator is at fault, as its own signature shows.
    pub fn culprit(&self) -> Option<u16> {
        match *self {
            Self::Unsigned { .. } | Self::Duplicate { .. } | Self::NoSuchShare { .. } => None,
            Self::Sealed { share } | Self::Proof { share } => Some(share),
        }
    }
}

/// Why a reader cannot ask for a release at all.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CollectError {
    /// The reader's own fault: not the key that the access names.
    #[error("the access names another reader key; use the key made for that access")]
    ReaderKey,
    /// The author's fault: no honest validator would release this capsule.
    #[error("capsule {item} cannot be released: {error}")]
    Ciphertext {
        /// Its place, counted from 0.
        item: usize,
        /// What is wrong.
        error: CiphertextError,
    },
}

/// A reader's collection of answers to one request.
pub struct Collector<'a> {
    committee: &'a Committee,
    capsules: Vec<&'a Capsule>,
    reader: &'a SealingKey,
    points: Vec<ProvenPoint>,
    context: Digest,
    verified: BTreeMap<u16, VerifiedPartial>,
}

impl<'a> Collector<'a> {
    /// Begins a collection for capsules in the order in which they are asked for.
    pub fn new(
        committee: &'a Committee,
        access: &Access,
        capsules: &'a [SaltedCapsule],
        reader: &'a SealingKey,
    ) -> Result<Self, CollectError> {
        if reader.public().digest() != access.reader_key {
            return Err(CollectError::ReaderKey);
        }
        let points = capsules
            .iter()
            .enumerate()
            .map(|(item, salted)| {
                let proven = salted.capsule.verify_release(committee);
                proven.map_err(|error| CollectError::Ciphertext { item, error })
            })
            .collect::<Result<_, _>>()?;
        let commitments: Vec<_> = capsules.iter().map(SaltedCapsule::commitment).collect();
        Ok(Self {
            committee,
            capsules: capsules.iter().map(|salted| &salted.capsule).collect(),
            reader,
            points,
            context: access.context(&commitments),
            verified: BTreeMap::new(),
        })
    }

    /// Takes an answer of the validator whose release key is `validator`, the one at place
    /// `answer.share` − 1 of the genesis file.
    pub fn add(&mut self, answer: &ReleaseAnswer, validator: &PublicKey) -> Result<(), ShareFault> {
        let share = answer.share;
        verify_signature(answer, &self.context, validator)?;
        if self.committee.share_key(share).is_none() {
            return Err(ShareFault::NoSuchShare { share });
        }
        if self.verified.contains_key(&share) {
            return Err(ShareFault::Duplicate { share });
        }
        let parts: [&[u8]; 2] = [&self.context.0, &share.to_le_bytes()];
        let opened =
            seal::open(self.reader, SEAL_DOMAIN, &parts, &answer.encapsulated, &answer.sealed)
                .map_err(|_| ShareFault::Sealed { share })?;
        let verified = Partial::from_bytes(&opened)
            .and_then(|partial| {
                threshold::verify_partial(
                    self.committee,
                    share,
                    &self.points,
                    &partial,
                    &self.context,
                )
            })
            .map_err(|_| ShareFault::Proof { share })?;
        self.verified.insert(share, verified);
        Ok(())
    }

    /// Whether there are enough shares.
    pub fn is_complete(&self) -> bool {
        self.verified.len() >= usize::from(self.committee.threshold())
    }

    /// The secrets of the second lock, in the order of the capsules.
    pub fn finish(self) -> Result<Vec<ReleaseSecret>, TooFewShares> {
        let labels: Vec<_> = self.capsules.iter().map(|capsule| encode(capsule.label())).collect();
        let ciphertexts: Vec<_> = labels
            .iter()
            .zip(&self.capsules)
            .map(|(label, capsule)| (label.as_slice(), capsule.release_lock()))
            .collect();
        let partials: Vec<_> = self.verified.into_values().collect();
        threshold::combine(self.committee, &ciphertexts, &partials)
    }
}

//! The genesis file: what everyone in a consortium agrees on before the first block.

use alloc::vec::Vec;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    chart::COMPARTMENT_KEY_BYTES,
    command::Payload,
    encoding::{Blob, DecodeError, List, Text},
    id::{Digest, OrganisationId, PublicKey},
    limits::{
        EMERGENCY_MS_MAX, EPOCH_BLOCKS_MIN, EPOCH_BLOCKS_USUAL, GENESIS_BYTES_MAX,
        GENESIS_COMMANDS_MAX, IN_STANDING_MAX, MATCH_PERIOD_MS_MIN, MATCH_POINTS_PER_PERIOD_MAX,
        NAME_BYTES_MAX, RECOVERY_DELAY_MS_MAX, SIGN_OFF_RULES_MAX, TRUSTEES_MAX, VALIDATORS_MAX,
    },
    set::KindSet,
    signoff::{KindRule, first_fault},
    time::BlockTime,
};

/// The one version of genesis files.
pub const GENESIS_VERSION: u8 = 1;

/// The consortium's founding. Its digest is the chain id.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Genesis {
    /// [`GENESIS_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The consortium's public name.
    #[n(1)]
    pub name: Text<NAME_BYTES_MAX>,
    /// When it was founded; the time of block 0.
    #[n(2)]
    pub founded: BlockTime,
    /// Whether its keys were made by a demonstration and protect nothing.
    #[n(3)]
    pub demonstration: bool,
    /// The validators of epoch 0, in ascending order of `consensus`.
    #[n(4)]
    pub validators: List<Validator, VALIDATORS_MAX>,
    /// The committee that releases.
    #[n(5)]
    pub committee: CommitteeKeys,
    /// What the consortium has chosen.
    #[n(6)]
    pub parameters: Parameters,
    /// The entries of block 1: the first organisations and members.
    #[n(7)]
    pub entries: List<Payload, GENESIS_COMMANDS_MAX>,
    /// Who holds what patients leave to emergencies; without them nothing can be left.
    #[n(8)]
    pub trustees: Option<Trustees>,
    /// The committee that evaluates for matching: another key than the one that releases, or none where
    /// organisations do not match persons.
    #[n(9)]
    pub matching: Option<CommitteeKeys>,
}

impl Genesis {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::decode(bytes, GENESIS_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        crate::encode(self)
    }

    /// Checks that validators and committee belong together, and that the organisations can govern. Whoever
    /// starts from a genesis file asks this first.
    pub fn check(&self) -> Result<(), GenesisFault> {
        let (validators, committee) = (&self.validators, &self.committee);
        let ascends = validators.windows(2).all(|pair| pair[0].consensus < pair[1].consensus);
        if validators.is_empty() || !ascends {
            return Err(GenesisFault::Validators);
        }
        for (place, validator) in validators.iter().enumerate() {
            if validators[..place].iter().any(|earlier| earlier.release == validator.release) {
                return Err(GenesisFault::ReleaseKey(validator.release));
            }
        }
        let (shares, count) = (committee.shares.len(), validators.len());
        if shares != count {
            return Err(GenesisFault::Shares { shares, validators: count });
        }
        let (threshold, quorum) = (committee.threshold, self.quorum());
        if usize::from(threshold) != quorum {
            return Err(GenesisFault::Threshold { threshold, quorum });
        }
        self.check_matching()?;
        let (given, min) = (self.parameters.epoch_blocks(), EPOCH_BLOCKS_MIN);
        if given < min {
            return Err(GenesisFault::Epoch { given, min });
        }
        let (given_ms, max_ms) = (self.parameters.emergency.open_ms_max, EMERGENCY_MS_MAX);
        if given_ms > max_ms {
            return Err(GenesisFault::Emergency { given_ms, max_ms });
        }
        let rules = self.parameters.sign_off.as_deref().unwrap_or_default();
        if let Some(place) = first_fault(rules) {
            return Err(GenesisFault::SignOff { place });
        }
        let (given_ms, max_ms) = (self.parameters.recovery().delay_ms, RECOVERY_DELAY_MS_MAX);
        if given_ms > max_ms {
            return Err(GenesisFault::Recovery { given_ms, max_ms });
        }
        let admits = |entry: &&Payload| matches!(entry, Payload::OrganisationAdmit(_));
        let (organisations, max) = (self.entries.iter().filter(admits).count(), IN_STANDING_MAX);
        if organisations > max as usize {
            return Err(GenesisFault::Organisations { organisations, max });
        }
        self.trustees.as_ref().map_or(Ok(()), |trustees| self.check_trustees(trustees))
    }

    /// Trustees who were validators as well could, with the others, read what was left to them.
    fn check_trustees(&self, trustees: &Trustees) -> Result<(), GenesisFault> {
        let (threshold, count) = (trustees.threshold, trustees.trustees.len());
        if threshold < 2 || usize::from(threshold) > count {
            return Err(GenesisFault::TrusteeThreshold { threshold, trustees: count });
        }
        for (place, trustee) in trustees.trustees.iter().enumerate() {
            let again = trustees.trustees[..place].iter().any(|earlier| {
                earlier.signing == trustee.signing || earlier.sealing == trustee.sealing
            });
            let validates = self.validators.iter().any(|validator| {
                [validator.consensus, validator.release].contains(&trustee.signing)
                    || trustee.organisation == Some(validator.organisation)
            });
            if again || validates {
                return Err(GenesisFault::Trustee(trustee.signing));
            }
        }
        Ok(())
    }

    /// Matching has a key and a quota, or neither; and the key is none that opens records.
    fn check_matching(&self) -> Result<(), GenesisFault> {
        let (Some(keys), Some(rule)) = (&self.matching, &self.parameters.matching) else {
            let neither = self.matching.is_none() && self.parameters.matching.is_none();
            return if neither { Ok(()) } else { Err(GenesisFault::Matching) };
        };
        let shares = keys.shares.len() == self.validators.len();
        let threshold = usize::from(keys.threshold) == self.quorum();
        let apart = keys.key != self.committee.key
            && keys.shares.iter().all(|share| !self.committee.shares.contains(share));
        let quota =
            rule.points_max <= MATCH_POINTS_PER_PERIOD_MAX && rule.period_ms >= MATCH_PERIOD_MS_MIN;
        if shares && threshold && apart && quota { Ok(()) } else { Err(GenesisFault::Matching) }
    }

    /// f: how many validators may fail in any way. (n − 1) / 3, rounded down.
    pub fn faults_max(&self) -> usize {
        self.validators.len().saturating_sub(1) / 3
    }

    /// n − f: how many validators certify a block or open a record.
    pub fn quorum(&self) -> usize {
        self.validators.len() - self.faults_max()
    }
}

/// Why no consortium can start from a genesis file: the fault of whoever wrote it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum GenesisFault {
    /// There are none, or one stands twice or not in its place.
    #[error("the genesis file does not list validators in ascending order of their keys")]
    Validators,
    /// Nobody could say which of the two signed a release answer.
    #[error("two validators of the genesis file have the release key {0}")]
    ReleaseKey(PublicKey),
    /// Not one share for each validator.
    #[error("the genesis file has {shares} shares for {validators} validators")]
    Shares {
        /// Shares of the committee.
        shares: usize,
        /// Validators.
        validators: usize,
    },
    /// Fewer validators could open a record than certify a block, or more must than may be relied on.
    #[error("{threshold} shares open a record of this consortium, and {quorum} must")]
    Threshold {
        /// The committee's.
        threshold: u16,
        /// n − f.
        quorum: usize,
    },
    /// Epochs too short to hand over in.
    #[error("the genesis file gives an epoch {given} blocks, and at least {min} are needed")]
    Epoch {
        /// The file's.
        given: u32,
        /// The limit.
        min: u32,
    },
    /// Emergencies may last too long.
    #[error(
        "the genesis file lets an emergency last {given_ms} ms, and at most {max_ms} are allowed"
    )]
    Emergency {
        /// The file's.
        given_ms: u64,
        /// The limit.
        max_ms: u64,
    },
    /// A sign-off rule that no record could meet, or for a kind that another speaks of.
    #[error(
        "sign-off rule {place} of the genesis file can never be met, or is for a kind that an earlier one is for"
    )]
    SignOff {
        /// Its place, from 0.
        place: usize,
    },
    /// A recovery would be over before it could be finished.
    #[error(
        "the genesis file lets a recovery wait {given_ms} ms for a veto, and at most {max_ms} are allowed"
    )]
    Recovery {
        /// The file's.
        given_ms: u64,
        /// The limit.
        max_ms: u64,
    },
    /// One trustee could open alone, or all together could not.
    #[error(
        "{threshold} of {trustees} trustees cannot be relied on: at least 2 open, and no more than there are"
    )]
    TrusteeThreshold {
        /// Who open together.
        threshold: u16,
        /// How many there are.
        trustees: usize,
    },
    /// It has a validator, or stands there twice.
    #[error(
        "the trustee with key {0} is listed twice or is a validator's; trustees are apart from validators"
    )]
    Trustee(PublicKey),
    /// The key or the quota of matching is missing, does not fit the validators, or is too much.
    #[error(
        "matching needs a key of its own, with a share for each validator and as many to evaluate as certify a block, and a quota of at most {max} points in a day or more",
        max = MATCH_POINTS_PER_PERIOD_MAX
    )]
    Matching,
    /// More organisations than can sign together.
    #[error(
        "the genesis file admits {organisations} organisations, and at most {max} can govern together"
    )]
    Organisations {
        /// Admitted.
        organisations: usize,
        /// The limit.
        max: u32,
    },
}

/// One validator's public keys. The validator's share of the committee has index (place + 1).
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Validator {
    /// Whose it is.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Verifies its votes and its links to peers.
    #[n(1)]
    pub consensus: PublicKey,
    /// Verifies its release answers.
    #[n(2)]
    pub release: PublicKey,
}

/// The public side of the committee's shared key: points of ristretto255.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CommitteeKeys {
    /// Shares that open.
    #[n(0)]
    pub threshold: u16,
    /// X = s·G.
    #[n(1)]
    pub key: Digest,
    /// Xᵢ = sᵢ·G, for i = 1, 2, ...
    #[n(2)]
    pub shares: List<Digest, VALIDATORS_MAX>,
}

/// Who holds, together, the keys that patients leave to emergencies. None of them has a validator: the
/// validators' shares and the trustees' would open everything that was left.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Trustees {
    /// How many open together; at least two.
    #[n(0)]
    pub threshold: u16,
    /// All of them. The share of a trustee has index (place + 1).
    #[n(1)]
    pub trustees: List<Trustee, TRUSTEES_MAX>,
}

/// One trustee's public side.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Trustee {
    /// Its public name.
    #[n(0)]
    pub name: Text<NAME_BYTES_MAX>,
    /// X-Wing key to which shares are sealed.
    #[n(1)]
    pub sealing: Blob<COMPARTMENT_KEY_BYTES>,
    /// Verifies its answers.
    #[n(2)]
    pub signing: PublicKey,
    /// Its organisation, where that is one of the consortium's.
    #[n(3)]
    pub organisation: Option<OrganisationId>,
}

/// Whether treatment inside a chart's own organisation needs the patient's grant.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum OwnOrganisation {
    /// Only a grant allows it.
    #[n(0)]
    OptIn,
    /// It is allowed for treatment, payment and operations until the patient denies it.
    #[n(1)]
    OptOut,
}

/// What the consortium has chosen.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Parameters {
    /// See [`OwnOrganisation`].
    #[n(0)]
    pub own_organisation: OwnOrganisation,
    /// k: how many custodians must have stored a record before it may be added.
    #[n(1)]
    pub custodians_min: u8,
    /// Commands of one organisation in one minute of block time, refused ones included.
    #[n(2)]
    pub commands_per_minute_max: u32,
    /// The redisclosure notice that readers sign.
    #[n(3)]
    pub notice: u8,
    /// Kinds of records that only licensed members author and approve.
    #[n(4)]
    pub licensed: KindSet,
    /// How the glass is broken.
    #[n(5)]
    pub emergency: EmergencyRule,
    /// Whose approvals records of some kinds need, where the consortium asks for any.
    #[n(6)]
    pub sign_off: Option<List<KindRule, SIGN_OFF_RULES_MAX>>,
    /// How a chart comes to new keys; without it as [`RecoveryRule::USUAL`].
    #[n(7)]
    pub recovery: Option<RecoveryRule>,
    /// How much is evaluated for matching; nothing, where there is none.
    #[n(8)]
    pub matching: Option<MatchingRule>,
    /// Blocks of one epoch, at whose end validators change; without it [`EPOCH_BLOCKS_USUAL`], and at least
    /// [`EPOCH_BLOCKS_MIN`].
    #[n(9)]
    pub epoch_blocks: Option<u32>,
}

impl Parameters {
    /// Blocks of one epoch.
    pub const fn epoch_blocks(&self) -> u32 {
        match self.epoch_blocks {
            Some(blocks) => blocks,
            None => EPOCH_BLOCKS_USUAL,
        }
    }

    /// How a chart comes to new keys.
    pub const fn recovery(&self) -> RecoveryRule {
        match self.recovery {
            Some(rule) => rule,
            None => RecoveryRule::USUAL,
        }
    }
}

/// How a chart comes to new keys in this consortium.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecoveryRule {
    /// How long the patient can veto once enough guardians have approved, in milliseconds; at most
    /// [`RECOVERY_DELAY_MS_MAX`].
    #[n(0)]
    pub delay_ms: u64,
}

impl RecoveryRule {
    /// Three days.
    pub const USUAL: Self = Self { delay_ms: 3 * 24 * 60 * 60 * 1_000 };
}

/// How much is evaluated for matching, for each organisation.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MatchingRule {
    /// Points in one period; at most [`MATCH_POINTS_PER_PERIOD_MAX`].
    #[n(0)]
    pub points_max: u32,
    /// Length of a period, in milliseconds of block time; at least [`MATCH_PERIOD_MS_MIN`].
    #[n(1)]
    pub period_ms: u64,
}

impl MatchingRule {
    /// Five thousand points a day: a thousand persons who are admitted, and two centuries to try every last
    /// four digits with every date of birth.
    pub const USUAL: Self = Self { points_max: 5_000, period_ms: MATCH_PERIOD_MS_MIN };
}

/// How the glass is broken in this consortium.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct EmergencyRule {
    /// How long one clinician waits without a second, in milliseconds.
    #[n(0)]
    pub delay_ms: u64,
    /// The longest emergency, in milliseconds; at most [`EMERGENCY_MS_MAX`].
    #[n(1)]
    pub open_ms_max: u64,
    /// Until when it is to be reviewed after its end, in milliseconds.
    #[n(2)]
    pub review_ms: u64,
}

impl EmergencyRule {
    /// Five minutes without a second, four hours at most, and a review within three days.
    pub const USUAL: Self = Self {
        delay_ms: 5 * 60 * 1_000,
        open_ms_max: EMERGENCY_MS_MAX,
        review_ms: 3 * 24 * 60 * 60 * 1_000,
    };
}

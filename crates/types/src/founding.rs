//! What organisations agree on before there is a genesis file: their cards, and the draft made of them.
//!
//! Not here: how the committee's key comes about, and who signs what (`keepwell_crypto::ceremony`).

use alloc::vec::Vec;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    chart::COMPARTMENT_KEY_BYTES,
    command::Payload,
    encoding::{Blob, DecodeError, List, Text},
    genesis::{
        CommitteeKeys, GENESIS_VERSION, Genesis, GenesisFault, Parameters, Trustees, Validator,
    },
    id::{Digest, OrganisationId, PublicKey, Signature},
    limits::{
        ADDRESS_BYTES_MAX, DRAFT_BYTES_MAX, FOUNDER_CARD_BYTES_MAX, NAME_BYTES_MAX, VALIDATORS_MAX,
    },
    member::OrganisationAdmit,
    time::BlockTime,
};

/// The one version of drafts.
pub const DRAFT_VERSION: u8 = 1;
/// Keys of a founder that sign its card: consensus, release, custodian.
pub const CARD_SIGNATURES: usize = 3;

/// An organisation that founds a consortium with a validator of its own: its public side.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Founder {
    /// How the genesis file admits it; it is a custodian.
    #[n(0)]
    pub admit: OrganisationAdmit,
    /// Verifies its votes and its links to peers, and what it says while the consortium is founded.
    #[n(1)]
    pub consensus: PublicKey,
    /// Verifies its release answers.
    #[n(2)]
    pub release: PublicKey,
    /// X-Wing key to which the others deal.
    #[n(3)]
    pub ceremony: Blob<COMPARTMENT_KEY_BYTES>,
    /// Where the others reach its host: address and port.
    #[n(4)]
    pub address: Text<ADDRESS_BYTES_MAX>,
}

/// A founder on its own word.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct FounderCard {
    /// The founder.
    #[n(0)]
    pub founder: Founder,
    /// By its keys: consensus, release, custodian. They show that it holds them.
    #[n(1)]
    pub signatures: List<Signature, CARD_SIGNATURES>,
}

impl FounderCard {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::decode(bytes, FOUNDER_CARD_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        crate::encode(self)
    }
}

/// A genesis file without the keys that nobody has yet. Its digest is what founders compare by voice. Organisations
/// without a validator are admitted once the consortium is there.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Draft {
    /// [`DRAFT_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The consortium's public name.
    #[n(1)]
    pub name: Text<NAME_BYTES_MAX>,
    /// When it is founded; the time of block 0.
    #[n(2)]
    pub founded: BlockTime,
    /// The founders, in ascending order of their consensus keys. The share of each has index (place + 1).
    #[n(3)]
    pub founders: List<FounderCard, VALIDATORS_MAX>,
    /// What the consortium chooses.
    #[n(4)]
    pub parameters: Parameters,
    /// Who holds what patients leave to emergencies.
    #[n(5)]
    pub trustees: Option<Trustees>,
}

/// Why nothing can be founded from a draft.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DraftFault {
    /// A later program wrote it.
    #[error("the draft is of version {0}, which this program does not know")]
    Version(u8),
    /// A founder without custody, or administrators who could not sign.
    #[error(
        "founder {0} names no custodian's key, or administrators who cannot sign; let it make its card again"
    )]
    Founder(OrganisationId),
    /// An organisation stands twice.
    #[error("organisation {0} stands twice in the draft; leave one out")]
    Twice(OrganisationId),
    /// No genesis file could come of it.
    #[error(transparent)]
    Genesis(#[from] GenesisFault),
}

impl Draft {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::decode(bytes, DRAFT_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        crate::encode(self)
    }

    /// How many founders open a record together: n − f.
    pub fn threshold(&self) -> u16 {
        let founders = self.founders.len() as u16;
        founders - founders.saturating_sub(1) / 3
    }

    /// The genesis file, once the keys are there.
    pub fn genesis(&self, committee: CommitteeKeys, matching: Option<CommitteeKeys>) -> Genesis {
        let founders = || self.founders.iter().map(|card| &card.founder);
        let validators = founders().map(|founder| Validator {
            organisation: founder.admit.organisation,
            consensus: founder.consensus,
            release: founder.release,
        });
        let entries = founders().map(|it| Payload::OrganisationAdmit(it.admit.clone())).collect();
        Genesis {
            version: GENESIS_VERSION,
            name: self.name.clone(),
            founded: self.founded,
            demonstration: false,
            validators: List::from_vec(validators.collect()).expect("as many as founders"),
            committee,
            parameters: self.parameters.clone(),
            entries: List::from_vec(entries).expect("fewer founders than entries may be"),
            trustees: self.trustees.clone(),
            matching,
        }
    }

    /// Checks whatever can be checked before the keys are there. Signatures are not looked at.
    pub fn check(&self) -> Result<(), DraftFault> {
        if self.version != DRAFT_VERSION {
            return Err(DraftFault::Version(self.version));
        }
        for FounderCard { founder, .. } in self.founders.iter() {
            if founder.admit.custodian.is_none() || !founder.admit.administrators.are_sound() {
                return Err(DraftFault::Founder(founder.admit.organisation));
            }
        }
        let founders = self.founders.iter().map(|card| &card.founder.admit);
        let organisations: Vec<_> = founders.map(|admit| admit.organisation).collect();
        for (place, organisation) in organisations.iter().enumerate() {
            if organisations[..place].contains(organisation) {
                return Err(DraftFault::Twice(*organisation));
            }
        }
        // Keys that nobody has stand for those to come: of them only numbers are checked.
        let to_come = |first: u8| {
            let shares = (0..self.founders.len()).map(|place| Digest([first + place as u8; 32]));
            CommitteeKeys {
                threshold: self.threshold(),
                key: Digest([u8::MAX - first; 32]),
                shares: List::from_vec(shares.collect()).expect("as many as founders"),
            }
        };
        let matching = self.parameters.matching.is_some().then(|| to_come(VALIDATORS_MAX as u8));
        Ok(self.genesis(to_come(0), matching).check()?)
    }
}

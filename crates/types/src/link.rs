//! Links: that a chart of one organisation and a chart of another are of one person, without saying which.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    id::{Commitment, Digest, LinkId, OrganisationId},
    set::vocabulary,
    time::BlockTime,
};

/// `link.propose`: signed by a registrar or gateway of the first organisation, which confirms its side by it.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct LinkPropose {
    /// The new link.
    #[n(0)]
    pub link: LinkId,
    /// The other organisation.
    #[n(1)]
    pub with: OrganisationId,
    /// The salted digest of the link and the proposer's chart.
    #[n(2)]
    pub commitment: Commitment,
    /// First instant at which it cannot be confirmed any more.
    #[n(3)]
    pub until: BlockTime,
}

/// What is confirmed of a link.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmation {
    /// The other organisation's side: the salted digest of the link and its chart. By a registrar or gateway.
    #[n(0)]
    Side(#[n(0)] Commitment),
    /// That it is in order. By a privacy officer of either organisation who confirmed neither side.
    #[n(1)]
    Officer,
    /// That the patient agrees: the salted digest of the consent that the patient signed. By a registrar or
    /// gateway of either organisation, which keeps the consent.
    #[n(2)]
    Patient(#[n(0)] Digest),
}

/// `link.confirm`.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct LinkConfirm {
    /// The link.
    #[n(0)]
    pub link: LinkId,
    /// What is confirmed.
    #[n(1)]
    pub confirmation: Confirmation,
}

vocabulary! {
    /// Why a link is reversed.
    LinkReversal {
        /// The charts are of two persons.
        WrongPerson = 0, "wrong_person";
        /// The patient has withdrawn the consent.
        ConsentWithdrawn = 1, "consent_withdrawn";
        /// It was proposed or confirmed in error.
        Error = 2, "error";
        /// It is not needed any more.
        NotNeeded = 3, "not_needed";
    }
}

/// `link.reverse`: signed by a registrar, gateway or privacy officer of either organisation.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct LinkReverse {
    /// The link.
    #[n(0)]
    pub link: LinkId,
    /// Why.
    #[n(1)]
    pub reason: LinkReversal,
    /// The salted digest of what the patient signed to withdraw the consent, if that is why.
    #[n(2)]
    pub withdrawal: Option<Digest>,
}

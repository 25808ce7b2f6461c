//! Grants: a patient's permissions and prohibitions.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    access::RecordName,
    encoding::List,
    id::{ChartId, Digest, GrantId, MemberId, OrganisationId},
    member::Role,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::Window,
};

/// Whether a rule allows or denies.
#[derive(
    Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The grantee may.
    #[n(0)]
    Allow,
    /// The grantee may not.
    #[n(1)]
    Deny,
}

/// Whom a grant names, from the most specific to the least.
#[derive(
    Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Grantee {
    /// One member.
    #[n(0)]
    Member(#[n(0)] MemberId),
    /// The members of an organisation who have a role.
    #[n(1)]
    Role {
        /// The organisation.
        #[n(0)]
        organisation: OrganisationId,
        /// The role.
        #[n(1)]
        role: Role,
    },
    /// Every member of an organisation.
    #[n(2)]
    Organisation(#[n(0)] OrganisationId),
    /// Every member of the consortium.
    #[n(3)]
    Everyone,
}

/// How many records one grant can name.
pub const GRANT_RECORDS_MAX: usize = 16;

/// The terms of a grant. What is sealed to the grantee is bound to them byte for byte.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GrantTerms {
    /// Allow or deny.
    #[n(0)]
    pub effect: Effect,
    /// To whom.
    #[n(1)]
    pub grantee: Grantee,
    /// Records in these compartments ...
    #[n(2)]
    pub compartments: CompartmentSet,
    /// ... of these kinds ...
    #[n(3)]
    pub kinds: KindSet,
    /// ... and, if any are listed, only these.
    #[n(4)]
    pub records: List<RecordName, GRANT_RECORDS_MAX>,
    /// For these purposes.
    #[n(5)]
    pub purposes: PurposeSet,
    /// While block time is in here.
    #[n(6)]
    pub window: Window,
    /// At most so many accesses.
    #[n(7)]
    pub accesses_max: Option<u32>,
    /// Whether it covers compartments that need separate consent. Such a grant names no other
    /// compartment, so that consent to them is never bundled.
    #[n(8)]
    pub separate_consent: bool,
}

/// `grant.give`: signed by whoever controls the chart.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GrantGive {
    /// The chart: one grant names exactly one.
    #[n(0)]
    pub chart: ChartId,
    /// The new grant.
    #[n(1)]
    pub grant: GrantId,
    /// Its terms.
    #[n(2)]
    pub terms: GrantTerms,
    /// Digest of the epoch seeds sealed to the grantee; the sealed seeds are at the custodians.
    #[n(3)]
    pub seeds: Digest,
}

/// `grant.limit`: the same grant, with less.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GrantLimit {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The grant.
    #[n(1)]
    pub grant: GrantId,
    /// Compartments left.
    #[n(2)]
    pub compartments: CompartmentSet,
    /// Kinds left.
    #[n(3)]
    pub kinds: KindSet,
    /// Purposes left.
    #[n(4)]
    pub purposes: PurposeSet,
    /// The window left.
    #[n(5)]
    pub window: Window,
    /// Accesses left in all, those already counted included.
    #[n(6)]
    pub accesses_max: Option<u32>,
}

/// `grant.revoke`: ends a grant from the next block on.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GrantRevoke {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The grant.
    #[n(1)]
    pub grant: GrantId,
}

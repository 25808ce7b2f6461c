//! Grants: a patient's permissions and prohibitions, the requests for them, and the care teams that they
//! may name.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    access::RecordName,
    encoding::List,
    id::{ChartId, Digest, GrantId, GroupId, MemberId, OrganisationId, RequestId, TeamId},
    limits::{GRANT_RECORDS_MAX, TEAM_MEMBERS_MAX},
    member::Role,
    set::{CompartmentSet, KindSet, PurposeSet, vocabulary},
    time::{BlockTime, Window},
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

/// Whom a grant names.
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
    /// The members of a care team of the chart.
    #[n(4)]
    Team(#[n(0)] TeamId),
    /// The members of a group of an organisation, for the purposes that the group is bound to.
    #[n(5)]
    Group(#[n(0)] GroupId),
}

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
    /// Whether a grantee may pass it on to another member ([`GrantPass`]).
    #[n(9)]
    pub onward: bool,
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

/// `grant.revoke_organisation`: ends, for every reader of an organisation, all that was granted so far in
/// a chart, to whomever it was given, and what the consortium allows a chart's own organisation.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GrantRevokeOrganisation {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The organisation.
    #[n(1)]
    pub organisation: OrganisationId,
}

/// `grant.pass`: a grantee passes a grant on. Signed by a member whom the grant reaches.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GrantPass {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The grant that is passed on.
    #[n(1)]
    pub from: GrantId,
    /// The new grant.
    #[n(2)]
    pub grant: GrantId,
    /// Its terms: within those of `from`, to one member, and not onward.
    #[n(3)]
    pub terms: GrantTerms,
    /// Digest of the epoch seeds sealed to the grantee.
    #[n(4)]
    pub seeds: Digest,
}

vocabulary! {
    /// Why somebody asks for a grant. What else there is to say is sealed to the patient.
    RequestReason {
        /// Treats the patient, or is about to.
        Treatment = 0, "treatment";
        /// Was referred to.
        Referral = 1, "referral";
        /// Gives a second opinion.
        SecondOpinion = 2, "second_opinion";
        /// Reviews medicines or results.
        Review = 3, "review";
        /// Coordinates care.
        Coordination = 4, "coordination";
        /// Assesses a claim.
        Claim = 5, "claim";
        /// Invites to research.
        Research = 6, "research";
        /// Answers to the patient's own wish.
        PatientWish = 7, "patient_wish";
        /// Another reason, in the sealed note.
        Other = 8, "other";
    }
}

/// `grant.request`: a member asks whoever controls a chart for a grant.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GrantRequest {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The new request.
    #[n(1)]
    pub request: RequestId,
    /// What is asked for: a permission for the asker, or for its organisation or what it is in there.
    #[n(2)]
    pub terms: GrantTerms,
    /// Why.
    #[n(3)]
    pub reason: RequestReason,
    /// Digest of a note sealed to the controller, if there is one.
    #[n(4)]
    pub note: Option<Digest>,
    /// First instant at which it cannot be answered any more.
    #[n(5)]
    pub until: BlockTime,
}

vocabulary! {
    /// Why a request was refused, as far as the patient wants to say.
    RefusalReason {
        /// Does not say.
        Unstated = 0, "unstated";
        /// Does not know the asker.
        UnknownAsker = 1, "unknown_asker";
        /// Does not see the need.
        NotNeeded = 2, "not_needed";
        /// Would share less.
        TooMuch = 3, "too_much";
    }
}

/// What a request is answered.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A grant, of what was asked for or of less.
    #[n(0)]
    Give {
        /// The new grant.
        #[n(0)]
        grant: GrantId,
        /// Its terms.
        #[n(1)]
        terms: GrantTerms,
        /// Digest of the epoch seeds sealed to the grantee.
        #[n(2)]
        seeds: Digest,
    },
    /// No.
    #[n(1)]
    Refuse(#[n(0)] RefusalReason),
}

/// `grant.answer`: signed by whoever controls the chart.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GrantAnswer {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The request.
    #[n(1)]
    pub request: RequestId,
    /// The answer.
    #[n(2)]
    pub answer: Answer,
}

/// `grant.withdraw`: whoever asked asks no longer.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GrantWithdraw {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The request.
    #[n(1)]
    pub request: RequestId,
}

/// `team.arrange`: who is in a care team of a chart; nobody, and there is no such team any more. Signed
/// by whoever controls the chart.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct TeamArrange {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The team.
    #[n(1)]
    pub team: TeamId,
    /// Its members, of whatever organisations.
    #[n(2)]
    pub members: List<MemberId, TEAM_MEMBERS_MAX>,
}

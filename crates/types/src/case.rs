//! Cases: what a patient asks of an organisation by right, and what becomes of it by when.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    access::RecordName,
    id::{CaseId, ChartId, Digest},
    set::vocabulary,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

vocabulary! {
    /// What a patient asks for.
    CaseKind {
        /// Access to the record (45 CFR 164.524, GDPR article 15).
        Access = 0, "access";
        /// An amendment of a record (45 CFR 164.526, GDPR article 16).
        Amendment = 1, "amendment";
        /// An accounting of disclosures (45 CFR 164.528).
        Accounting = 2, "accounting";
        /// Erasure (GDPR article 17).
        Erasure = 3, "erasure";
        /// Restriction of processing (GDPR article 18, 45 CFR 164.522).
        Restriction = 4, "restriction";
    }
}

impl CaseKind {
    /// Time until the answer is due, in milliseconds.
    pub const fn due_ms(self) -> u64 {
        match self {
            Self::Access | Self::Erasure | Self::Restriction => 30 * DAY_MS,
            Self::Amendment | Self::Accounting => 60 * DAY_MS,
        }
    }

    /// What one extension adds to that, in milliseconds.
    pub const fn extension_ms(self) -> u64 {
        30 * DAY_MS
    }
}

vocabulary! {
    /// Why a case was denied: a closed list, since the law has one for each kind.
    DenialGround {
        /// Another organisation created the record (45 CFR 164.526(a)(2)(i)).
        NotCreatedHere = 0, "not_created_here";
        /// It is not part of the designated record set (164.526(a)(2)(ii)).
        NotInRecordSet = 1, "not_in_record_set";
        /// It could not be inspected under 164.524 (164.526(a)(2)(iii)).
        NotAccessible = 2, "not_accessible";
        /// It is accurate and complete (164.526(a)(2)(iv)).
        AccurateAndComplete = 3, "accurate_and_complete";
        /// Psychotherapy notes (164.524(a)(1)(i)); not reviewable.
        PsychotherapyNotes = 4, "psychotherapy_notes";
        /// Compiled for a legal proceeding (164.524(a)(1)(ii)); not reviewable.
        Litigation = 5, "litigation";
        /// Suspended for a trial, as the consent says (164.524(a)(2)(iii)); not reviewable.
        Trial = 6, "trial";
        /// Endangers the patient or another person (164.524(a)(3)); reviewable.
        Endangers = 7, "endangers";
        /// Needed for health care (GDPR article 17(3)(c)).
        HealthCare = 8, "health_care";
        /// Needed for public health (GDPR article 17(3)(c)).
        PublicHealth = 9, "public_health";
        /// Needed for legal claims (GDPR article 17(3)(e)).
        LegalClaims = 10, "legal_claims";
        /// The law says for how long it is kept (GDPR article 17(3)(b)).
        RetentionDuty = 11, "retention_duty";
        /// Asked for more often than one may (GDPR article 12(5)).
        Excessive = 12, "excessive";
    }
}

impl DenialGround {
    /// Whether a case of this kind may be denied on this ground.
    pub const fn fits(self, kind: CaseKind) -> bool {
        match self {
            Self::NotCreatedHere
            | Self::NotInRecordSet
            | Self::NotAccessible
            | Self::AccurateAndComplete => matches!(kind, CaseKind::Amendment),
            Self::PsychotherapyNotes | Self::Litigation | Self::Trial | Self::Endangers => {
                matches!(kind, CaseKind::Access)
            }
            Self::HealthCare | Self::PublicHealth | Self::RetentionDuty => {
                matches!(kind, CaseKind::Erasure)
            }
            Self::LegalClaims => matches!(kind, CaseKind::Erasure | CaseKind::Restriction),
            Self::Excessive => matches!(kind, CaseKind::Access | CaseKind::Accounting),
        }
    }

    /// Whether the patient has a right to have the denial reviewed by another professional.
    pub const fn is_reviewable(self) -> bool {
        matches!(self, Self::Endangers)
    }
}

/// `case.open`: signed by whoever controls the chart.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CaseOpen {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The new case.
    #[n(1)]
    pub case: CaseId,
    /// What is asked for.
    #[n(2)]
    pub kind: CaseKind,
    /// Of which record; of the whole chart without it.
    #[n(3)]
    pub record: Option<RecordName>,
    /// Digest of what is said about it, sealed to the organisation.
    #[n(4)]
    pub statement: Option<Digest>,
}

/// What an organisation answers.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseDecision {
    /// It does what was asked for.
    #[n(0)]
    Accept,
    /// It does not.
    #[n(1)]
    Deny {
        /// Why.
        #[n(0)]
        ground: DenialGround,
        /// Digest of the written reason, sealed to the patient.
        #[n(1)]
        statement: Digest,
    },
}

/// `case.decide`: signed by a privacy officer of the chart's organisation.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CaseDecide {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The case.
    #[n(1)]
    pub case: CaseId,
    /// The answer.
    #[n(2)]
    pub decision: CaseDecision,
}

/// `case.extend`: more time, once. Signed by a privacy officer of the chart's organisation.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CaseExtend {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The case.
    #[n(1)]
    pub case: CaseId,
    /// Digest of the written reason, sealed to the patient.
    #[n(2)]
    pub statement: Digest,
}

/// `case.state`: after a denial, the patient disagrees, and the organisation may answer that. Both are
/// attached to what is disclosed later (45 CFR 164.526(d)).
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CaseStatement {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The case.
    #[n(1)]
    pub case: CaseId,
    /// Digest of what is said, sealed to whoever may read the record.
    #[n(2)]
    pub statement: Digest,
}

/// `case.acknowledge`: an earlier recipient has been told what became of a case. Signed by one of its
/// members.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CaseAcknowledge {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The case.
    #[n(1)]
    pub case: CaseId,
}

//! Which record kind a resource is, and which compartment it belongs in.
//!
//! The kind follows from the resource's type alone; it is all that the ledger learns. The sensitivity
//! follows from its security labels alone, by HL7's codes:
//!
//! ```text
//! sensitivity           labels (v3-ActCode unless said)                     separate consent
//! normal                none; confidentiality U, L, M, N
//! restricted            confidentiality R, V; every other ActCode label
//! sexual-reproductive   SEX, STD
//! genetics              GDIS, SICKLE
//! domestic-violence     SDV, VIO, MST
//! hiv                   HIV
//! psychiatry            PSY, MH, BH, EMOTDIS, COGN, DVD
//! substance-use         ETH, ETHUD, OPIOIDUD, SUD                           yes
//! psychotherapy-notes   PSYTHPN                                             yes
//! ```
//!
//! # Invariants
//!
//! * Of several labels the one furthest down in this table wins: a resource goes to the most
//!   restrictive of its compartments. A category beats bare confidentiality, and what needs a consent
//!   of its own beats what does not.
//! * A code of either system that this table does not know restricts: it hides more, never less.
//!
//! Not here: guessing sensitivity from clinical codes. Who labels is the author.

use alloc::string::String;
use core::{fmt, str::FromStr};

use keepwell_types::record::RecordKind;
use serde::{Deserialize, Serialize};

/// The code system of sensitivity labels.
pub const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
/// The code system of confidentiality labels.
pub const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

/// Other names under which senders write [`ACT_CODE`].
const ACT_CODE_ALIASES: [&str; 2] =
    ["http://hl7.org/fhir/v3/ActCode", "urn:oid:2.16.840.1.113883.5.4"];
/// Other names under which senders write [`CONFIDENTIALITY`].
const CONFIDENTIALITY_ALIASES: [&str; 2] =
    ["http://hl7.org/fhir/v3/Confidentiality", "urn:oid:2.16.840.1.113883.5.25"];

/// What a compartment of a chart is for. The later, the more restrictive.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensitivity {
    /// Nothing special.
    Normal,
    /// Restricted, without a category that has a compartment of its own.
    Restricted,
    /// Sexual and reproductive health.
    SexualReproductive,
    /// Genetic disease.
    Genetics,
    /// Sexual assault, abuse and domestic violence.
    DomesticViolence,
    /// HIV and AIDS.
    Hiv,
    /// Psychiatry.
    Psychiatry,
    /// Alcohol, opioids and other substances (42 CFR part 2).
    SubstanceUse,
    /// A therapist's own notes of conversations (45 CFR 164.501).
    PsychotherapyNotes,
}

impl Sensitivity {
    /// Every sensitivity, the least restrictive first.
    pub const ALL: [Self; 9] = [
        Self::Normal,
        Self::Restricted,
        Self::SexualReproductive,
        Self::Genetics,
        Self::DomesticViolence,
        Self::Hiv,
        Self::Psychiatry,
        Self::SubstanceUse,
        Self::PsychotherapyNotes,
    ];

    /// Whether no general grant opens it: the law asks for a consent that names it.
    pub const fn needs_separate_consent(self) -> bool {
        match self {
            Self::SubstanceUse | Self::PsychotherapyNotes => true,
            Self::Normal
            | Self::Restricted
            | Self::SexualReproductive
            | Self::Genetics
            | Self::DomesticViolence
            | Self::Hiv
            | Self::Psychiatry => false,
        }
    }

    /// The word that people and JSON write.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Restricted => "restricted",
            Self::SexualReproductive => "sexual-reproductive",
            Self::Genetics => "genetics",
            Self::DomesticViolence => "domestic-violence",
            Self::Hiv => "hiv",
            Self::Psychiatry => "psychiatry",
            Self::SubstanceUse => "substance-use",
            Self::PsychotherapyNotes => "psychotherapy-notes",
        }
    }
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no [`Sensitivity`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "not one of: normal, restricted, sexual-reproductive, genetics, domestic-violence, hiv, \
     psychiatry, substance-use, psychotherapy-notes"
)]
pub struct UnknownSensitivity;

impl FromStr for Sensitivity {
    type Err = UnknownSensitivity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or(UnknownSensitivity)
    }
}

/// A security label as a resource carries it: a FHIR Coding without its display.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SecurityLabel {
    /// The code system, if it was named.
    pub system: Option<String>,
    /// The code.
    pub code: String,
}

impl SecurityLabel {
    /// What this label alone asks for.
    pub fn sensitivity(&self) -> Sensitivity {
        let code = self.code.trim();
        let is = |name: &str, aliases: &[&str]| {
            self.system.as_deref().is_some_and(|system| system == name || aliases.contains(&system))
        };
        if is(ACT_CODE, &ACT_CODE_ALIASES) {
            return act_code(code).unwrap_or(Sensitivity::Restricted);
        }
        if is(CONFIDENTIALITY, &CONFIDENTIALITY_ALIASES) {
            return confidentiality(code).unwrap_or(Sensitivity::Restricted);
        }
        match &self.system {
            // A sender who forgot the system still meant the code.
            None => act_code(code).or_else(|| confidentiality(code)).unwrap_or(Sensitivity::Normal),
            Some(_) => Sensitivity::Normal,
        }
    }
}

/// What the ledger and the wallet need to know of a resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Classification {
    /// Its record kind: what the ledger learns.
    pub kind: RecordKind,
    /// Its compartment's meaning: what only the wallet and the chart's organisation learn.
    pub sensitivity: Sensitivity,
}

/// Classifies a resource of type `resource_type` that carries `labels`.
pub fn classify(resource_type: &str, labels: &[SecurityLabel]) -> Classification {
    Classification {
        kind: kind_of(resource_type).unwrap_or(RecordKind::Other),
        sensitivity: labels
            .iter()
            .map(SecurityLabel::sensitivity)
            .max()
            .unwrap_or(Sensitivity::Normal),
    }
}

/// The record kind of an R4 resource type; nothing for a type that R4 does not have.
pub fn kind_of(resource_type: &str) -> Option<RecordKind> {
    let at = KINDS.binary_search_by(|(name, _)| (*name).cmp(resource_type)).ok()?;
    Some(KINDS[at].1)
}

/// The name of an R4 resource type, kept for good; nothing for a type that R4 does not have.
pub(crate) fn type_name(resource_type: &str) -> Option<&'static str> {
    let at = KINDS.binary_search_by(|(name, _)| (*name).cmp(resource_type)).ok()?;
    Some(KINDS[at].0)
}

/// The R4 resource types of a record kind.
pub fn types_of(kind: RecordKind) -> impl Iterator<Item = &'static str> {
    KINDS.iter().filter(move |(_, of)| *of == kind).map(|(name, _)| *name)
}

fn act_code(code: &str) -> Option<Sensitivity> {
    SENSITIVITIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|known| known.1)
}

fn confidentiality(code: &str) -> Option<Sensitivity> {
    match code {
        "U" | "L" | "M" | "N" => Some(Sensitivity::Normal),
        // In small letters it is no code; whoever wrote it without its system meant to restrict.
        "R" | "V" | "r" | "v" => Some(Sensitivity::Restricted),
        _ => None,
    }
}

/// The ActCode labels with a meaning of their own.
const SENSITIVITIES: [(&str, Sensitivity); 20] = [
    ("BH", Sensitivity::Psychiatry),
    ("COGN", Sensitivity::Psychiatry),
    ("DVD", Sensitivity::Psychiatry),
    ("EMOTDIS", Sensitivity::Psychiatry),
    ("ETH", Sensitivity::SubstanceUse),
    ("ETHUD", Sensitivity::SubstanceUse),
    ("GDIS", Sensitivity::Genetics),
    ("HIV", Sensitivity::Hiv),
    ("MH", Sensitivity::Psychiatry),
    ("MST", Sensitivity::DomesticViolence),
    ("OPIOIDUD", Sensitivity::SubstanceUse),
    // Says only that elements inside are labelled; those labels are read for themselves.
    ("PROCESSINLINELABEL", Sensitivity::Normal),
    ("PSY", Sensitivity::Psychiatry),
    ("PSYTHPN", Sensitivity::PsychotherapyNotes),
    ("SDV", Sensitivity::DomesticViolence),
    ("SEX", Sensitivity::SexualReproductive),
    ("SICKLE", Sensitivity::Genetics),
    ("STD", Sensitivity::SexualReproductive),
    ("SUD", Sensitivity::SubstanceUse),
    ("VIO", Sensitivity::DomesticViolence),
];

/// Every resource type of R4, sorted by name. What says nothing of a patient's health, cover or will is
/// `Other`.
const KINDS: [(&str, RecordKind); 146] = [
    ("Account", RecordKind::Financial),
    ("ActivityDefinition", RecordKind::Other),
    ("AdverseEvent", RecordKind::Condition),
    ("AllergyIntolerance", RecordKind::Allergy),
    ("Appointment", RecordKind::Encounter),
    ("AppointmentResponse", RecordKind::Encounter),
    ("AuditEvent", RecordKind::Other),
    ("Basic", RecordKind::Other),
    ("Binary", RecordKind::Document),
    ("BiologicallyDerivedProduct", RecordKind::Other),
    ("BodyStructure", RecordKind::Condition),
    ("Bundle", RecordKind::Other),
    ("CapabilityStatement", RecordKind::Other),
    ("CarePlan", RecordKind::Plan),
    ("CareTeam", RecordKind::Plan),
    ("CatalogEntry", RecordKind::Other),
    ("ChargeItem", RecordKind::Financial),
    ("ChargeItemDefinition", RecordKind::Other),
    ("Claim", RecordKind::Financial),
    ("ClaimResponse", RecordKind::Financial),
    ("ClinicalImpression", RecordKind::Condition),
    ("CodeSystem", RecordKind::Other),
    ("Communication", RecordKind::Document),
    ("CommunicationRequest", RecordKind::Plan),
    ("CompartmentDefinition", RecordKind::Other),
    ("Composition", RecordKind::Document),
    ("ConceptMap", RecordKind::Other),
    ("Condition", RecordKind::Condition),
    ("Consent", RecordKind::Legal),
    ("Contract", RecordKind::Legal),
    ("Coverage", RecordKind::Financial),
    ("CoverageEligibilityRequest", RecordKind::Financial),
    ("CoverageEligibilityResponse", RecordKind::Financial),
    ("DetectedIssue", RecordKind::Condition),
    ("Device", RecordKind::Device),
    ("DeviceDefinition", RecordKind::Other),
    ("DeviceMetric", RecordKind::Device),
    ("DeviceRequest", RecordKind::Plan),
    ("DeviceUseStatement", RecordKind::Device),
    ("DiagnosticReport", RecordKind::Result),
    ("DocumentManifest", RecordKind::Document),
    ("DocumentReference", RecordKind::Document),
    ("EffectEvidenceSynthesis", RecordKind::Other),
    ("Encounter", RecordKind::Encounter),
    ("Endpoint", RecordKind::Other),
    ("EnrollmentRequest", RecordKind::Financial),
    ("EnrollmentResponse", RecordKind::Financial),
    ("EpisodeOfCare", RecordKind::Encounter),
    ("EventDefinition", RecordKind::Other),
    ("Evidence", RecordKind::Other),
    ("EvidenceVariable", RecordKind::Other),
    ("ExampleScenario", RecordKind::Other),
    ("ExplanationOfBenefit", RecordKind::Financial),
    ("FamilyMemberHistory", RecordKind::Condition),
    ("Flag", RecordKind::Condition),
    ("Goal", RecordKind::Plan),
    ("GraphDefinition", RecordKind::Other),
    ("Group", RecordKind::Other),
    ("GuidanceResponse", RecordKind::Plan),
    ("HealthcareService", RecordKind::Other),
    ("ImagingStudy", RecordKind::Imaging),
    ("Immunization", RecordKind::Immunization),
    ("ImmunizationEvaluation", RecordKind::Immunization),
    ("ImmunizationRecommendation", RecordKind::Immunization),
    ("ImplementationGuide", RecordKind::Other),
    ("InsurancePlan", RecordKind::Other),
    ("Invoice", RecordKind::Financial),
    ("Library", RecordKind::Other),
    ("Linkage", RecordKind::Other),
    ("List", RecordKind::Document),
    ("Location", RecordKind::Other),
    ("Measure", RecordKind::Other),
    ("MeasureReport", RecordKind::Other),
    ("Media", RecordKind::Imaging),
    ("Medication", RecordKind::Medication),
    ("MedicationAdministration", RecordKind::Medication),
    ("MedicationDispense", RecordKind::Medication),
    ("MedicationKnowledge", RecordKind::Other),
    ("MedicationRequest", RecordKind::Prescription),
    ("MedicationStatement", RecordKind::Medication),
    ("MedicinalProduct", RecordKind::Other),
    ("MedicinalProductAuthorization", RecordKind::Other),
    ("MedicinalProductContraindication", RecordKind::Other),
    ("MedicinalProductIndication", RecordKind::Other),
    ("MedicinalProductIngredient", RecordKind::Other),
    ("MedicinalProductInteraction", RecordKind::Other),
    ("MedicinalProductManufactured", RecordKind::Other),
    ("MedicinalProductPackaged", RecordKind::Other),
    ("MedicinalProductPharmaceutical", RecordKind::Other),
    ("MedicinalProductUndesirableEffect", RecordKind::Other),
    ("MessageDefinition", RecordKind::Other),
    ("MessageHeader", RecordKind::Other),
    ("MolecularSequence", RecordKind::Result),
    ("NamingSystem", RecordKind::Other),
    ("NutritionOrder", RecordKind::Plan),
    ("Observation", RecordKind::Result),
    ("ObservationDefinition", RecordKind::Other),
    ("OperationDefinition", RecordKind::Other),
    ("OperationOutcome", RecordKind::Other),
    ("Organization", RecordKind::Other),
    ("OrganizationAffiliation", RecordKind::Other),
    ("Parameters", RecordKind::Other),
    ("Patient", RecordKind::Identity),
    ("PaymentNotice", RecordKind::Financial),
    ("PaymentReconciliation", RecordKind::Financial),
    ("Person", RecordKind::Identity),
    ("PlanDefinition", RecordKind::Other),
    ("Practitioner", RecordKind::Other),
    ("PractitionerRole", RecordKind::Other),
    ("Procedure", RecordKind::Procedure),
    ("Provenance", RecordKind::Other),
    ("Questionnaire", RecordKind::Other),
    ("QuestionnaireResponse", RecordKind::Document),
    ("RelatedPerson", RecordKind::Identity),
    ("RequestGroup", RecordKind::Plan),
    ("ResearchDefinition", RecordKind::Other),
    ("ResearchElementDefinition", RecordKind::Other),
    ("ResearchStudy", RecordKind::Other),
    ("ResearchSubject", RecordKind::Other),
    ("RiskAssessment", RecordKind::Condition),
    ("RiskEvidenceSynthesis", RecordKind::Other),
    ("Schedule", RecordKind::Other),
    ("SearchParameter", RecordKind::Other),
    ("ServiceRequest", RecordKind::Plan),
    ("Slot", RecordKind::Other),
    ("Specimen", RecordKind::Result),
    ("SpecimenDefinition", RecordKind::Other),
    ("StructureDefinition", RecordKind::Other),
    ("StructureMap", RecordKind::Other),
    ("Subscription", RecordKind::Other),
    ("Substance", RecordKind::Other),
    ("SubstanceNucleicAcid", RecordKind::Other),
    ("SubstancePolymer", RecordKind::Other),
    ("SubstanceProtein", RecordKind::Other),
    ("SubstanceReferenceInformation", RecordKind::Other),
    ("SubstanceSourceMaterial", RecordKind::Other),
    ("SubstanceSpecification", RecordKind::Other),
    ("SupplyDelivery", RecordKind::Device),
    ("SupplyRequest", RecordKind::Plan),
    ("Task", RecordKind::Plan),
    ("TerminologyCapabilities", RecordKind::Other),
    ("TestReport", RecordKind::Other),
    ("TestScript", RecordKind::Other),
    ("ValueSet", RecordKind::Other),
    ("VerificationResult", RecordKind::Other),
    ("VisionPrescription", RecordKind::Plan),
];

#[cfg(test)]
mod tests {
    use super::KINDS;

    #[test]
    fn types_are_sorted_and_stand_once() {
        assert!(KINDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}

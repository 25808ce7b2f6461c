//! Which elements a part of a resource always has, and which are its summary (R4 Search, "Summary").
//!
//! A path with `!` is an element that the resource must have, or that changes the meaning of the others: it is
//! in every part. All are in the summary. `onset*` is a choice. Where an element has paths below it, its summary
//! is those alone; where it has none, the whole element is.
//!
//! `id`, `meta`, `implicitRules`, `modifierExtension` and `resourceType` are in every part of every type.

/// The paths of `resource_type`; none if its elements are not known here.
pub(super) fn paths(resource_type: &str) -> Option<impl Iterator<Item = Path>> {
    let (_, paths) = ELEMENTS.iter().find(|(name, _)| *name == resource_type)?;
    Some(paths.split(' ').map(Path))
}

/// One element's path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path(&'static str);

impl Path {
    /// Whether a part without it would mislead.
    pub(super) fn is_always(self) -> bool {
        self.0.ends_with('!')
    }

    /// Whether it is the path of `key` in the element at `above`: a name, a choice, or either's extensions.
    pub(super) fn is(self, above: &str, key: &str) -> bool {
        self.below(above).is_some_and(|name| names(name, key))
    }

    /// Whether it is the choice `name` at the top of the resource.
    pub(super) fn is_choice(self, name: &str) -> bool {
        self.0.trim_end_matches('!').strip_suffix('*') == Some(name)
    }

    /// Whether it leads below `key` in the element at `above`.
    pub(super) fn is_below(self, above: &str, key: &str) -> bool {
        let rest = self.below_any(above).and_then(|rest| rest.split_once('.'));
        rest.is_some_and(|(name, _)| names(name, key))
    }

    fn below(self, above: &str) -> Option<&'static str> {
        self.below_any(above).filter(|rest| !rest.contains('.'))
    }

    fn below_any(self, above: &str) -> Option<&'static str> {
        let path = self.0.trim_end_matches('!');
        if above.is_empty() { Some(path) } else { path.strip_prefix(above)?.strip_prefix('.') }
    }
}

/// Whether the element `name` of a definition is at `key` in JSON.
pub(super) fn names(name: &str, key: &str) -> bool {
    // The extensions of a primitive stand beside it, under its name with an underscore.
    let key = key.strip_prefix('_').unwrap_or(key);
    match name.strip_suffix('*') {
        None => name == key,
        Some(choice) => {
            let fhir_type = key.strip_prefix(choice).unwrap_or_default();
            fhir_type.starts_with(|letter: char| letter.is_ascii_uppercase())
        }
    }
}

const ELEMENTS: &[(&str, &str)] = &[
    (
        "Account",
        "implicitRules! identifier status! type name subject servicePeriod coverage owner \
         description",
    ),
    (
        "AdverseEvent",
        "implicitRules! identifier actuality! category event subject! encounter date detected \
         recordedDate resultingCondition location seriousness severity outcome recorder \
         contributor suspectEntity subjectMedicalHistory referenceDocument study",
    ),
    (
        "AllergyIntolerance",
        "implicitRules! identifier clinicalStatus! verificationStatus! type category \
         criticality code patient! asserter",
    ),
    (
        "Appointment",
        "implicitRules! identifier status! cancelationReason serviceCategory serviceType \
         specialty appointmentType reasonCode start end participant! participant.type \
         participant.actor participant.required participant.status",
    ),
    (
        "AuditEvent",
        "implicitRules! type! subtype action recorded! outcome outcomeDesc purposeOfEvent \
         agent! agent.who agent.requestor source! source.observer",
    ),
    ("Binary", "implicitRules! contentType! securityContext"),
    ("Bundle", "implicitRules! identifier type! timestamp total link entry signature"),
    (
        "CarePlan",
        "implicitRules! identifier instantiatesCanonical instantiatesUri basedOn replaces \
         partOf status! intent! category title description subject! encounter period created \
         author addresses",
    ),
    (
        "CareTeam",
        "implicitRules! identifier status! category name subject encounter period \
         managingOrganization",
    ),
    (
        "Claim",
        "implicitRules! status! type! use! patient! billablePeriod created! insurer provider! \
         priority! insurance! insurance.sequence insurance.focal insurance.coverage",
    ),
    (
        "ClaimResponse",
        "implicitRules! status! type! use! patient! created! insurer! request outcome! total",
    ),
    (
        "ClinicalImpression",
        "implicitRules! identifier status! code description subject! encounter effective* \
         date assessor problem",
    ),
    (
        "Communication",
        "implicitRules! identifier instantiatesCanonical instantiatesUri basedOn partOf \
         status! statusReason priority subject encounter reasonCode reasonReference",
    ),
    (
        "CommunicationRequest",
        "implicitRules! identifier basedOn replaces groupIdentifier status! priority \
         doNotPerform! encounter occurrence* authoredOn requester sender reasonCode \
         reasonReference",
    ),
    (
        "Composition",
        "implicitRules! identifier status! type! category subject encounter date! author! \
         title! confidentiality custodian event",
    ),
    (
        "Condition",
        "implicitRules! identifier clinicalStatus! verificationStatus! code bodySite subject! \
         encounter onset* recordedDate recorder asserter",
    ),
    (
        "Consent",
        "implicitRules! identifier status! scope! category! patient dateTime performer \
         organization source* policyRule verification verification.verified provision \
         provision.type provision.period provision.action provision.securityLabel \
         provision.purpose provision.class provision.code provision.dataPeriod provision.data",
    ),
    (
        "Coverage",
        "implicitRules! identifier status! type policyHolder subscriber subscriberId \
         beneficiary! dependent period payor! order network",
    ),
    (
        "DetectedIssue",
        "implicitRules! identifier status! code severity patient identified* author \
         implicated",
    ),
    (
        "Device",
        "implicitRules! udiCarrier udiCarrier.deviceIdentifier udiCarrier.carrierAIDC \
         udiCarrier.carrierHRF status! safety",
    ),
    (
        "DeviceRequest",
        "implicitRules! identifier instantiatesCanonical instantiatesUri basedOn priorRequest \
         groupIdentifier status! intent! priority code*! subject! encounter occurrence* \
         authoredOn requester performerType performer reasonCode reasonReference",
    ),
    (
        "DeviceUseStatement",
        "implicitRules! identifier basedOn status! subject! derivedFrom timing* recordedOn \
         source device! reasonCode reasonReference bodySite",
    ),
    (
        "DiagnosticReport",
        "implicitRules! identifier status! category code! subject encounter effective* issued \
         performer resultsInterpreter media media.link",
    ),
    (
        "DocumentReference",
        "implicitRules! masterIdentifier identifier status! docStatus type category subject \
         date author relatesTo description securityLabel content! context context.period",
    ),
    (
        "Encounter",
        "implicitRules! identifier status! class! type serviceType subject episodeOfCare \
         participant participant.type participant.individual appointment reasonCode \
         reasonReference diagnosis diagnosis.condition",
    ),
    (
        "Endpoint",
        "implicitRules! identifier status! connectionType! name managingOrganization period \
         payloadType! payloadMimeType address!",
    ),
    ("EpisodeOfCare", "implicitRules! status! type diagnosis patient! managingOrganization period"),
    (
        "ExplanationOfBenefit",
        "implicitRules! status! type! use! patient! billablePeriod created! insurer! \
         provider! outcome! insurance! insurance.focal insurance.coverage total",
    ),
    (
        "FamilyMemberHistory",
        "implicitRules! identifier instantiatesCanonical instantiatesUri status! \
         dataAbsentReason patient! date name relationship! sex age* estimatedAge deceased* \
         reasonCode reasonReference",
    ),
    ("Flag", "implicitRules! identifier status! category code! subject! period encounter author"),
    (
        "Goal",
        "implicitRules! lifecycleStatus! achievementStatus category priority description! \
         subject! start* statusDate expressedBy",
    ),
    ("Group", "implicitRules! identifier active type! actual! code name quantity managingEntity"),
    (
        "HealthcareService",
        "implicitRules! identifier active! providedBy category type specialty location name \
         comment photo",
    ),
    (
        "ImagingStudy",
        "implicitRules! identifier status! modality subject! encounter started basedOn \
         referrer interpreter endpoint numberOfSeries numberOfInstances procedureReference \
         procedureCode location reasonCode reasonReference note description series series.uid \
         series.number series.modality series.description series.numberOfInstances \
         series.endpoint series.bodySite series.laterality series.specimen series.started \
         series.performer",
    ),
    (
        "Immunization",
        "implicitRules! status! vaccineCode! patient! occurrence*! primarySource performer \
         note isSubpotent!",
    ),
    ("List", "implicitRules! status! mode! title code subject date source"),
    (
        "Location",
        "implicitRules! identifier status! operationalStatus name description mode type \
         physicalType managingOrganization",
    ),
    (
        "Media",
        "implicitRules! identifier basedOn partOf status! type modality view subject \
         encounter created* issued operator reasonCode bodySite deviceName device height \
         width frames duration content!",
    ),
    ("Medication", "implicitRules! identifier code status! manufacturer amount"),
    (
        "MedicationAdministration",
        "implicitRules! instantiates partOf status! medication*! subject! effective*! \
         performer performer.actor",
    ),
    ("MedicationDispense", "implicitRules! status! medication*! subject whenPrepared"),
    (
        "MedicationRequest",
        "implicitRules! status! intent! priority doNotPerform! reported* medication*! \
         subject! authoredOn requester performerType instantiatesCanonical instantiatesUri \
         basedOn groupIdentifier",
    ),
    (
        "MedicationStatement",
        "implicitRules! identifier basedOn partOf status! category medication*! subject! \
         context effective* dateAsserted",
    ),
    (
        "NutritionOrder",
        "implicitRules! instantiatesCanonical instantiatesUri status! intent! patient! \
         dateTime! orderer",
    ),
    (
        "Observation",
        "implicitRules! identifier basedOn partOf status! code! subject focus encounter \
         effective* issued performer value* hasMember derivedFrom component component.code \
         component.value*",
    ),
    ("Organization", "implicitRules! identifier active! type name partOf"),
    (
        "Patient",
        "implicitRules! identifier active! name telecom gender birthDate deceased*! address \
         managingOrganization link!",
    ),
    ("Practitioner", "implicitRules! identifier active name telecom address gender birthDate"),
    (
        "PractitionerRole",
        "implicitRules! identifier active period practitioner organization code specialty \
         location telecom",
    ),
    (
        "Procedure",
        "implicitRules! identifier instantiatesCanonical instantiatesUri basedOn partOf \
         status! statusReason category code subject! encounter performed* recorder asserter \
         performer performer.function performer.actor location reasonCode reasonReference \
         bodySite outcome",
    ),
    ("Provenance", "implicitRules! target! recorded! agent! agent.type agent.who"),
    (
        "QuestionnaireResponse",
        "implicitRules! identifier basedOn partOf questionnaire status! subject encounter \
         authored author source",
    ),
    (
        "RelatedPerson",
        "implicitRules! identifier active! patient! relationship name telecom gender \
         birthDate address",
    ),
    (
        "RiskAssessment",
        "implicitRules! identifier status! method code subject! encounter occurrence* \
         condition performer",
    ),
    (
        "ServiceRequest",
        "implicitRules! identifier instantiatesCanonical instantiatesUri basedOn replaces \
         requisition status! intent! category priority doNotPerform! code orderDetail \
         quantity* subject! encounter occurrence* asNeeded* authoredOn requester \
         performerType performer locationCode locationReference reasonCode reasonReference \
         specimen bodySite patientInstruction",
    ),
    (
        "Specimen",
        "implicitRules! identifier accessionIdentifier status! type subject receivedTime \
         condition",
    ),
    ("SupplyDelivery", "implicitRules! basedOn partOf status! occurrence*"),
    (
        "SupplyRequest",
        "implicitRules! identifier status! category priority item*! quantity! occurrence* \
         authoredOn requester supplier",
    ),
    (
        "Task",
        "implicitRules! instantiatesCanonical instantiatesUri basedOn groupIdentifier partOf \
         status! statusReason businessStatus intent! code description focus for encounter \
         executionPeriod lastModified requester owner location",
    ),
];

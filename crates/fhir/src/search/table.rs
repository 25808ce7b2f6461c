//! Which parameters are served, and where each one's values stand: FHIR R4 (4.0.1) and US Core 6.1.
//!
//! This table is the one truth. What parses a query, what fills an index and what is said in a
//! CapabilityStatement read it; what is not in it is not served. One line is one parameter: its name, the last
//! part of its definition's URL where that is not `Type-name`, the paths of its values (see `path`),
//! and then
//!
//! * of a reference, the types that it may refer to as far as they are here; `*` for any;
//! * of a code without a system beside it, alone or in a composite, the system that its value set is of;
//! * of a composite, its parts: what kind each is, and where it stands in what the paths lead to.
//!
//! Not here, and so not served: `phonetic` (a sound is not exact), `near` (needs geometry), `age` (needs a
//! clock), parameters of genetic extensions, `Bundle.composition` and `Bundle.message`, and SampledData as a
//! quantity.

use alloc::{format, string::String, vec::Vec};

/// How the values of a parameter are compared (R4 Search, "Search Parameter Types").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Two or more parameters of one element, `a$b`.
    Composite,
    /// Dates, times and periods.
    Date,
    /// Numbers.
    Number,
    /// Numbers with a unit.
    Quantity,
    /// References to other resources, and canonical URLs.
    Reference,
    /// Names, addresses and other text.
    String,
    /// Codes, identifiers and booleans.
    Token,
    /// URIs.
    Uri,
}

impl Kind {
    /// The code of the value set `search-param-type`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Composite => "composite",
            Self::Date => "date",
            Self::Number => "number",
            Self::Quantity => "quantity",
            Self::Reference => "reference",
            Self::String => "string",
            Self::Token => "token",
            Self::Uri => "uri",
        }
    }

    fn modifiers(self) -> &'static [&'static str] {
        match self {
            Self::Composite | Self::Date | Self::Number | Self::Quantity => &["missing"],
            Self::Reference => &["missing", "identifier"],
            Self::String => &["missing", "contains", "exact"],
            Self::Token => &["missing", "not", "of-type", "text"],
            Self::Uri => &["missing", "above", "below"],
        }
    }
}

/// One search parameter of one resource type.
#[derive(Debug, Eq, PartialEq)]
pub struct Parameter {
    /// As a query names it.
    pub name: &'static str,
    /// How its values are compared.
    pub kind: Kind,
    definition: &'static str,
    pub(super) paths: &'static str,
    /// The system of a code that has none beside it; empty where that is unknown.
    pub(super) system: &'static str,
    targets: &'static str,
    pub(super) components: &'static [(Kind, &'static str)],
}

impl Parameter {
    /// The canonical URL of its definition, as a parameter of `resource_type`.
    pub fn definition(&self, resource_type: &str) -> String {
        match self.definition.strip_prefix("us/") {
            Some(name) => format!("http://hl7.org/fhir/us/core/SearchParameter/{name}"),
            None if self.definition.is_empty() => {
                format!("http://hl7.org/fhir/SearchParameter/{resource_type}-{}", self.name)
            }
            None => format!("http://hl7.org/fhir/SearchParameter/{}", self.definition),
        }
    }

    /// What to say of it in a CapabilityStatement: what it looks at, and which modifiers it takes.
    pub fn documentation(&self) -> String {
        let mut text = match self.paths {
            ID => String::from("The logical id."),
            LAST_UPDATED => String::from("When the version was committed."),
            "." => String::from("Looks at the resource itself."),
            paths => format!("Looks at {paths}."),
        };
        let modifiers: Vec<_> = self.modifiers().collect();
        text.push_str(" Modifiers: ");
        text.push_str(&modifiers.join(", "));
        text.push('.');
        text
    }

    /// The modifiers that are served, apart from the types by which a reference is narrowed.
    pub fn modifiers(&self) -> impl Iterator<Item = &'static str> {
        let (is_id, is_identifier) = (self.paths == ID, self.paths.contains("dentifier"));
        let is_taken = move |modifier: &&str| match *modifier {
            "of-type" => is_identifier,
            "text" => !is_id,
            _ => true,
        };
        self.kind.modifiers().iter().copied().filter(is_taken)
    }

    /// The types that it may refer to, of those that are served.
    pub fn targets(&self) -> impl Iterator<Item = &'static str> {
        let targets = self.targets;
        let may_be = move |it: &&str| targets.split(' ').any(|target| target == *it);
        resource_types().filter(move |it| targets == "*" || may_be(it))
    }
}

/// The resource types that are served, in alphabetic order.
pub fn resource_types() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, _)| *name)
}

/// The parameters of `resource_type`, those of all types last; none if it is not served.
pub fn parameters(resource_type: &str) -> impl Iterator<Item = &'static Parameter> {
    let own = TYPES.iter().find(|(name, _)| *name == resource_type).map(|(_, own)| *own);
    let common = if own.is_some() { COMMON } else { &[] };
    own.unwrap_or_default().iter().chain(common)
}

/// What `_include` takes in a search for `resource_type`: `Type:parameter`, of each reference.
pub fn includes(resource_type: &str) -> impl Iterator<Item = String> {
    let references = parameters(resource_type).filter(|it| it.kind == Kind::Reference);
    references.map(move |it| format!("{resource_type}:{}", it.name))
}

/// What `_revinclude` takes in a search for `resource_type`: each reference, of any type, that may be to it.
pub fn reverse_includes(resource_type: &str) -> impl Iterator<Item = String> {
    let references = |source| parameters(source).filter(|it| it.kind == Kind::Reference);
    let sources =
        resource_types().flat_map(move |source| references(source).map(move |it| (source, it)));
    let reaching =
        sources.filter(move |(_, it)| it.targets().any(|target| target == resource_type));
    reaching.map(|(source, it)| format!("{source}:{}", it.name))
}

/// The parameter `name` of `resource_type`.
pub(super) fn parameter(resource_type: &str, name: &str) -> Option<&'static Parameter> {
    parameters(resource_type).find(|parameter| parameter.name == name)
}

/// The name of a served type, from this table.
pub(super) fn resource_type(name: &str) -> Option<&'static str> {
    resource_types().find(|served| *served == name)
}

/// What R4 or US Core names and is not served: said apart from what nobody knows.
pub(super) const KNOWN: [&str; 10] = [
    "_contained",
    "_containedType",
    "_content",
    "_filter",
    "_list",
    "_query",
    "_score",
    "_text",
    "near",
    "phonetic",
];

/// The id and the time of the version are the server's word, not the resource's.
pub(super) const ID: &str = "@id";
pub(super) const LAST_UPDATED: &str = "@lastUpdated";

const fn of(
    kind: Kind,
    name: &'static str,
    definition: &'static str,
    paths: &'static str,
) -> Parameter {
    Parameter { name, kind, definition, paths, system: "", targets: "", components: &[] }
}

const fn date(name: &'static str, definition: &'static str, paths: &'static str) -> Parameter {
    of(Kind::Date, name, definition, paths)
}

const fn number(name: &'static str, definition: &'static str, paths: &'static str) -> Parameter {
    of(Kind::Number, name, definition, paths)
}

const fn quantity(name: &'static str, definition: &'static str, paths: &'static str) -> Parameter {
    of(Kind::Quantity, name, definition, paths)
}

const fn string(name: &'static str, definition: &'static str, paths: &'static str) -> Parameter {
    of(Kind::String, name, definition, paths)
}

const fn token(name: &'static str, definition: &'static str, paths: &'static str) -> Parameter {
    of(Kind::Token, name, definition, paths)
}

const fn uri(name: &'static str, definition: &'static str, paths: &'static str) -> Parameter {
    of(Kind::Uri, name, definition, paths)
}

const fn code(
    name: &'static str,
    definition: &'static str,
    paths: &'static str,
    system: &'static str,
) -> Parameter {
    Parameter { system, ..of(Kind::Token, name, definition, paths) }
}

const fn reference(
    name: &'static str,
    definition: &'static str,
    paths: &'static str,
    targets: &'static str,
) -> Parameter {
    Parameter { targets, ..of(Kind::Reference, name, definition, paths) }
}

const fn composite(
    name: &'static str,
    definition: &'static str,
    paths: &'static str,
    components: &'static [(Kind, &'static str)],
) -> Parameter {
    Parameter { components, ..of(Kind::Composite, name, definition, paths) }
}

/// Parameters of every type.
const COMMON: &[Parameter] = &[
    token("_id", "Resource-id", ID),
    date("_lastUpdated", "Resource-lastUpdated", LAST_UPDATED),
    uri("_profile", "Resource-profile", "meta.profile"),
    token("_security", "Resource-security", "meta.security"),
    uri("_source", "Resource-source", "meta.source"),
    token("_tag", "Resource-tag", "meta.tag"),
];

// A line is a parameter; rustfmt would make five of it.
#[rustfmt::skip]
const TYPES: &[(&str, &[Parameter])] = &[
    ("Account", &[
        token("identifier", "", "identifier"),
        string("name", "", "name"),
        reference("owner", "", "owner", "Organization"),
        reference("patient", "", "subject->Patient", "Patient"),
        date("period", "", "servicePeriod"),
        code("status", "", "status", "http://hl7.org/fhir/account-status"),
        reference("subject", "", "subject",
            "Device HealthcareService Location Organization Patient Practitioner PractitionerRole"),
        token("type", "", "type"),
    ]),
    ("AdverseEvent", &[
        code("actuality", "", "actuality", "http://hl7.org/fhir/adverse-event-actuality"),
        token("category", "", "category"),
        date("date", "", "date"),
        token("event", "", "event"),
        reference("location", "", "location", "Location"),
        reference("recorder", "", "recorder", "Patient Practitioner PractitionerRole RelatedPerson"),
        reference("resultingcondition", "", "resultingCondition", "Condition"),
        token("seriousness", "", "seriousness"),
        token("severity", "", "severity"),
        reference("study", "", "study", ""),
        reference("subject", "", "subject", "Group Patient Practitioner RelatedPerson"),
        reference("substance", "", "suspectEntity.instance",
            "Device Immunization Medication MedicationAdministration MedicationStatement Procedure"),
    ]),
    ("AllergyIntolerance", &[
        reference("asserter", "", "asserter", "Patient Practitioner PractitionerRole RelatedPerson"),
        code("category", "", "category", "http://hl7.org/fhir/allergy-intolerance-category"),
        token("clinical-status", "", "clinicalStatus"),
        token("code", "clinical-code", "code | reaction.substance"),
        code("criticality", "", "criticality", "http://hl7.org/fhir/allergy-intolerance-criticality"),
        date("date", "clinical-date", "recordedDate"),
        token("identifier", "clinical-identifier", "identifier"),
        date("last-date", "", "lastOccurrence"),
        token("manifestation", "", "reaction.manifestation"),
        date("onset", "", "reaction.onset"),
        reference("patient", "clinical-patient", "patient->Patient", "Group Patient"),
        reference("recorder", "", "recorder", "Patient Practitioner PractitionerRole RelatedPerson"),
        token("route", "", "reaction.exposureRoute"),
        code("severity", "", "reaction.severity", "http://hl7.org/fhir/reaction-event-severity"),
        code("type", "clinical-type", "type", "http://hl7.org/fhir/allergy-intolerance-type"),
        token("verification-status", "", "verificationStatus"),
    ]),
    ("Appointment", &[
        reference("actor", "", "participant.actor",
            "Device HealthcareService Location Patient Practitioner PractitionerRole RelatedPerson"),
        token("appointment-type", "", "appointmentType"),
        reference("based-on", "", "basedOn", "ServiceRequest"),
        date("date", "", "start"),
        token("identifier", "", "identifier"),
        reference("location", "", "participant.actor->Location", "Location"),
        code("part-status", "", "participant.status", "http://hl7.org/fhir/participationstatus"),
        reference("patient", "", "participant.actor->Patient", "Patient"),
        reference("practitioner", "", "participant.actor->Practitioner", "Practitioner"),
        token("reason-code", "", "reasonCode"),
        reference("reason-reference", "", "reasonReference", "Condition Observation Procedure"),
        token("service-category", "", "serviceCategory"),
        token("service-type", "", "serviceType"),
        reference("slot", "", "slot", ""),
        token("specialty", "", "specialty"),
        code("status", "", "status", "http://hl7.org/fhir/appointmentstatus"),
        reference("supporting-info", "", "supportingInformation", "*"),
    ]),
    ("AuditEvent", &[
        code("action", "", "action", "http://hl7.org/fhir/audit-event-action"),
        string("address", "", "agent.network.address"),
        reference("agent", "", "agent.who",
            "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        string("agent-name", "", "agent.name"),
        token("agent-role", "", "agent.role"),
        token("altid", "", "agent.altId"),
        date("date", "", "recorded"),
        reference("entity", "", "entity.what", "*"),
        string("entity-name", "", "entity.name"),
        token("entity-role", "", "entity.role"),
        token("entity-type", "", "entity.type"),
        code("outcome", "", "outcome", "http://hl7.org/fhir/audit-event-outcome"),
        reference("patient", "", "agent.who->Patient | entity.what->Patient", "Patient"),
        uri("policy", "", "agent.policy"),
        token("site", "", "source.site"),
        reference("source", "", "source.observer",
            "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("subtype", "", "subtype"),
        token("type", "", "type"),
    ]),
    ("Binary", &[]),
    ("Bundle", &[
        token("identifier", "", "identifier"),
        date("timestamp", "", "timestamp"),
        code("type", "", "type", "http://hl7.org/fhir/bundle-type"),
    ]),
    ("CarePlan", &[
        token("activity-code", "", "activity.detail.code"),
        date("activity-date", "", "activity.detail.scheduled[Timing,Period]"),
        reference("activity-reference", "", "activity.reference",
            "Appointment CommunicationRequest DeviceRequest MedicationRequest NutritionOrder ServiceRequest Task"),
        reference("based-on", "", "basedOn", "CarePlan"),
        reference("care-team", "", "careTeam", "CareTeam"),
        token("category", "", "category"),
        reference("condition", "", "addresses", "Condition"),
        date("date", "clinical-date", "period"),
        reference("encounter", "", "encounter", "Encounter"),
        reference("goal", "", "goal", "Goal"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("instantiates-canonical", "", "instantiatesCanonical", ""),
        uri("instantiates-uri", "", "instantiatesUri"),
        code("intent", "", "intent", "http://hl7.org/fhir/request-intent"),
        reference("part-of", "", "partOf", "CarePlan"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("performer", "", "activity.detail.performer",
            "CareTeam Device HealthcareService Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("replaces", "", "replaces", "CarePlan"),
        code("status", "", "status", "http://hl7.org/fhir/request-status"),
        reference("subject", "", "subject", "Group Patient"),
    ]),
    ("CareTeam", &[
        token("category", "", "category"),
        date("date", "clinical-date", "period"),
        reference("encounter", "", "encounter", "Encounter"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("participant", "", "participant.member",
            "CareTeam Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        token("role", "us/us-core-careteam-role", "participant.role"),
        code("status", "", "status", "http://hl7.org/fhir/care-team-status"),
        reference("subject", "", "subject", "Group Patient"),
    ]),
    ("Claim", &[
        reference("care-team", "", "careTeam.provider", "Organization Practitioner PractitionerRole"),
        date("created", "", "created"),
        reference("detail-udi", "", "item.detail.udi", "Device"),
        reference("encounter", "", "item.encounter", "Encounter"),
        reference("enterer", "", "enterer", "Practitioner PractitionerRole"),
        reference("facility", "", "facility", "Location"),
        token("identifier", "", "identifier"),
        reference("insurer", "", "insurer", "Organization"),
        reference("item-udi", "", "item.udi", "Device"),
        reference("patient", "", "patient->Patient", "Patient"),
        reference("payee", "", "payee.party", "Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("priority", "", "priority"),
        reference("procedure-udi", "", "procedure.udi", "Device"),
        reference("provider", "", "provider", "Organization Practitioner PractitionerRole"),
        code("status", "", "status", "http://hl7.org/fhir/fm-status"),
        reference("subdetail-udi", "", "item.detail.subDetail.udi", "Device"),
        code("use", "", "use", "http://hl7.org/fhir/claim-use"),
    ]),
    ("ClaimResponse", &[
        date("created", "", "created"),
        string("disposition", "", "disposition"),
        token("identifier", "", "identifier"),
        reference("insurer", "", "insurer", "Organization"),
        code("outcome", "", "outcome", "http://hl7.org/fhir/remittance-outcome"),
        reference("patient", "", "patient->Patient", "Patient"),
        date("payment-date", "", "payment.date"),
        reference("request", "", "request", "Claim"),
        reference("requestor", "", "requestor", "Organization Practitioner PractitionerRole"),
        code("status", "", "status", "http://hl7.org/fhir/fm-status"),
        code("use", "", "use", "http://hl7.org/fhir/claim-use"),
    ]),
    ("ClinicalImpression", &[
        reference("assessor", "", "assessor", "Practitioner PractitionerRole"),
        date("date", "clinical-date", "date"),
        reference("encounter", "", "encounter", "Encounter"),
        token("finding-code", "", "finding.itemCodeableConcept"),
        reference("finding-ref", "", "finding.itemReference", "Condition Media Observation"),
        token("identifier", "", "identifier"),
        reference("investigation", "", "investigation.item",
            "DiagnosticReport FamilyMemberHistory ImagingStudy Media Observation QuestionnaireResponse RiskAssessment"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("previous", "", "previous", "ClinicalImpression"),
        reference("problem", "", "problem", "AllergyIntolerance Condition"),
        code("status", "", "status", "http://hl7.org/fhir/event-status"),
        reference("subject", "", "subject", "Group Patient"),
        reference("supporting-info", "", "supportingInfo", "*"),
    ]),
    ("Communication", &[
        reference("based-on", "", "basedOn", "*"),
        token("category", "", "category"),
        reference("encounter", "", "encounter", "Encounter"),
        token("identifier", "", "identifier"),
        reference("instantiates-canonical", "", "instantiatesCanonical", ""),
        uri("instantiates-uri", "", "instantiatesUri"),
        token("medium", "", "medium"),
        reference("part-of", "", "partOf", "*"),
        reference("patient", "", "subject->Patient", "Patient"),
        date("received", "", "received"),
        reference("recipient", "", "recipient",
            "CareTeam Device Group HealthcareService Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("sender", "", "sender",
            "Device HealthcareService Organization Patient Practitioner PractitionerRole RelatedPerson"),
        date("sent", "", "sent"),
        code("status", "", "status", "http://hl7.org/fhir/event-status"),
        reference("subject", "", "subject", "Group Patient"),
    ]),
    ("CommunicationRequest", &[
        date("authored", "", "authoredOn"),
        reference("based-on", "", "basedOn", "*"),
        token("category", "", "category"),
        reference("encounter", "", "encounter", "Encounter"),
        token("group-identifier", "", "groupIdentifier"),
        token("identifier", "", "identifier"),
        token("medium", "", "medium"),
        date("occurrence", "", "occurrence[dateTime]"),
        reference("patient", "", "subject->Patient", "Patient"),
        code("priority", "", "priority", "http://hl7.org/fhir/request-priority"),
        reference("recipient", "", "recipient",
            "CareTeam Device Group HealthcareService Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("replaces", "", "replaces", "CommunicationRequest"),
        reference("requester", "", "requester",
            "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("sender", "", "sender",
            "Device HealthcareService Organization Patient Practitioner PractitionerRole RelatedPerson"),
        code("status", "", "status", "http://hl7.org/fhir/request-status"),
        reference("subject", "", "subject", "Group Patient"),
    ]),
    ("Composition", &[
        reference("attester", "", "attester.party",
            "Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("author", "", "author", "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("category", "", "category"),
        code("confidentiality", "", "confidentiality", crate::classify::CONFIDENTIALITY),
        token("context", "", "event.code"),
        date("date", "clinical-date", "date"),
        reference("encounter", "clinical-encounter", "encounter", "Encounter EpisodeOfCare"),
        reference("entry", "", "section.entry", "*"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        date("period", "", "event.period"),
        token("related-id", "", "relatesTo.target[Identifier]"),
        reference("related-ref", "", "relatesTo.target[Reference]", "Composition"),
        token("section", "", "section.code"),
        code("status", "", "status", "http://hl7.org/fhir/composition-status"),
        reference("subject", "", "subject", "*"),
        string("title", "", "title"),
        token("type", "clinical-type", "type"),
    ]),
    ("Condition", &[
        quantity("abatement-age", "", "abatement[Age] | abatement[Range]"),
        date("abatement-date", "", "abatement[dateTime] | abatement[Period]"),
        string("abatement-string", "", "abatement[string]"),
        date("asserted-date", "us/us-core-condition-asserted-date",
            "extension(http://hl7.org/fhir/StructureDefinition/condition-assertedDate).value[dateTime]"),
        reference("asserter", "", "asserter", "Patient Practitioner PractitionerRole RelatedPerson"),
        token("body-site", "", "bodySite"),
        token("category", "", "category"),
        token("clinical-status", "", "clinicalStatus"),
        token("code", "clinical-code", "code"),
        reference("encounter", "", "encounter", "Encounter"),
        token("evidence", "", "evidence.code"),
        reference("evidence-detail", "", "evidence.detail", "*"),
        token("identifier", "clinical-identifier", "identifier"),
        quantity("onset-age", "", "onset[Age] | onset[Range]"),
        date("onset-date", "", "onset[dateTime] | onset[Period]"),
        string("onset-info", "", "onset[string]"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        date("recorded-date", "", "recordedDate"),
        token("severity", "", "severity"),
        token("stage", "", "stage.summary"),
        reference("subject", "", "subject", "Group Patient"),
        token("verification-status", "", "verificationStatus"),
    ]),
    ("Consent", &[
        token("action", "", "provision.action"),
        reference("actor", "", "provision.actor.reference",
            "CareTeam Device Group Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("category", "", "category"),
        reference("consentor", "", "performer", "Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("data", "", "provision.data.reference", "*"),
        date("date", "clinical-date", "dateTime"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("organization", "", "organization", "Organization"),
        reference("patient", "clinical-patient", "patient->Patient", "Group Patient"),
        date("period", "", "provision.period"),
        token("purpose", "", "provision.purpose"),
        token("scope", "", "scope"),
        token("security-label", "", "provision.securityLabel"),
        reference("source-reference", "", "source[Reference]", "Consent DocumentReference QuestionnaireResponse"),
        code("status", "", "status", "http://hl7.org/fhir/consent-state-codes"),
    ]),
    ("Coverage", &[
        reference("beneficiary", "", "beneficiary", "Patient"),
        token("class-type", "", "class.type"),
        string("class-value", "", "class.value"),
        string("dependent", "", "dependent"),
        token("identifier", "", "identifier"),
        reference("patient", "", "beneficiary->Patient", "Patient"),
        reference("payor", "", "payor", "Organization Patient RelatedPerson"),
        reference("policy-holder", "", "policyHolder", "Organization Patient RelatedPerson"),
        code("status", "", "status", "http://hl7.org/fhir/fm-status"),
        reference("subscriber", "", "subscriber", "Patient RelatedPerson"),
        token("type", "", "type"),
    ]),
    ("DetectedIssue", &[
        reference("author", "", "author", "Device Practitioner PractitionerRole"),
        token("code", "", "code"),
        date("identified", "", "identified[dateTime,Period]"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("implicated", "", "implicated", "*"),
        reference("patient", "clinical-patient", "patient->Patient", "Group Patient"),
    ]),
    ("Device", &[
        string("device-name", "", "deviceName.name | type.coding.display | type.text"),
        token("identifier", "", "identifier"),
        reference("location", "", "location", "Location"),
        string("manufacturer", "", "manufacturer"),
        string("model", "", "modelNumber"),
        reference("organization", "", "owner", "Organization"),
        reference("patient", "", "patient->Patient", "Patient"),
        code("status", "", "status", "http://hl7.org/fhir/device-status"),
        token("type", "", "type"),
        string("udi-carrier", "", "udiCarrier.carrierHRF"),
        string("udi-di", "", "udiCarrier.deviceIdentifier"),
        uri("url", "", "url"),
    ]),
    ("DeviceRequest", &[
        date("authored-on", "", "authoredOn"),
        reference("based-on", "", "basedOn", "*"),
        token("code", "clinical-code", "code[CodeableConcept]"),
        reference("device", "", "code[Reference]", "Device"),
        reference("encounter", "clinical-encounter", "encounter", "Encounter EpisodeOfCare"),
        date("event-date", "", "occurrence[dateTime] | occurrence[Period]"),
        token("group-identifier", "", "groupIdentifier"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("instantiates-canonical", "", "instantiatesCanonical", ""),
        uri("instantiates-uri", "", "instantiatesUri"),
        reference("insurance", "", "insurance", "ClaimResponse Coverage"),
        code("intent", "", "intent", "http://hl7.org/fhir/request-intent"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("performer", "", "performer",
            "CareTeam Device HealthcareService Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("prior-request", "", "priorRequest", "*"),
        reference("requester", "", "requester", "Device Organization Practitioner PractitionerRole"),
        code("status", "", "status", "http://hl7.org/fhir/request-status"),
        reference("subject", "", "subject", "Device Group Location Patient"),
    ]),
    ("DeviceUseStatement", &[
        reference("device", "", "device", "Device"),
        token("identifier", "", "identifier"),
        reference("patient", "clinical-patient", "subject->Patient", "Group Patient"),
        reference("subject", "", "subject", "Group Patient"),
    ]),
    ("DiagnosticReport", &[
        reference("based-on", "", "basedOn", "CarePlan MedicationRequest NutritionOrder ServiceRequest"),
        token("category", "", "category"),
        token("code", "clinical-code", "code"),
        token("conclusion", "", "conclusionCode"),
        date("date", "clinical-date", "effective[dateTime,Period]"),
        reference("encounter", "clinical-encounter", "encounter", "Encounter EpisodeOfCare"),
        token("identifier", "clinical-identifier", "identifier"),
        date("issued", "", "issued"),
        reference("media", "", "media.link", "Media"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("performer", "", "performer", "CareTeam Organization Practitioner PractitionerRole"),
        reference("result", "", "result", "Observation"),
        reference("results-interpreter", "", "resultsInterpreter",
            "CareTeam Organization Practitioner PractitionerRole"),
        reference("specimen", "", "specimen", "Specimen"),
        code("status", "", "status", "http://hl7.org/fhir/diagnostic-report-status"),
        reference("subject", "", "subject", "Device Group Location Patient"),
    ]),
    ("DocumentReference", &[
        reference("authenticator", "", "authenticator", "Organization Practitioner PractitionerRole"),
        reference("author", "", "author", "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("category", "", "category"),
        code("contenttype", "", "content.attachment.contentType", "urn:ietf:bcp:13"),
        reference("custodian", "", "custodian", "Organization"),
        date("date", "", "date"),
        string("description", "", "description"),
        reference("encounter", "clinical-encounter", "context.encounter", "Encounter EpisodeOfCare"),
        token("event", "", "context.event"),
        token("facility", "", "context.facilityType"),
        token("format", "", "content.format"),
        token("identifier", "clinical-identifier", "masterIdentifier | identifier"),
        code("language", "", "content.attachment.language", "urn:ietf:bcp:47"),
        uri("location", "", "content.attachment.url"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        date("period", "", "context.period"),
        reference("related", "", "context.related", "*"),
        reference("relatesto", "", "relatesTo.target", "DocumentReference"),
        code("relation", "", "relatesTo.code", "http://hl7.org/fhir/document-relationship-type"),
        Parameter {
            system: "http://hl7.org/fhir/document-relationship-type",
            ..composite("relationship", "", "relatesTo", &[(Kind::Reference, "target"), (Kind::Token, "code")])
        },
        token("security-label", "", "securityLabel"),
        token("setting", "", "context.practiceSetting"),
        code("status", "", "status", "http://hl7.org/fhir/document-reference-status"),
        reference("subject", "", "subject", "Device Group Patient Practitioner"),
        token("type", "clinical-type", "type"),
    ]),
    ("Encounter", &[
        reference("account", "", "account", "Account"),
        reference("appointment", "", "appointment", "Appointment"),
        reference("based-on", "", "basedOn", "ServiceRequest"),
        token("class", "", "class"),
        date("date", "clinical-date", "period"),
        reference("diagnosis", "", "diagnosis.condition", "Condition Procedure"),
        token("discharge-disposition", "us/us-core-encounter-discharge-disposition",
            "hospitalization.dischargeDisposition"),
        reference("episode-of-care", "", "episodeOfCare", "EpisodeOfCare"),
        token("identifier", "clinical-identifier", "identifier"),
        quantity("length", "", "length"),
        reference("location", "", "location.location", "Location"),
        date("location-period", "", "location.period"),
        reference("part-of", "", "partOf", "Encounter"),
        reference("participant", "", "participant.individual", "Practitioner PractitionerRole RelatedPerson"),
        token("participant-type", "", "participant.type"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("practitioner", "", "participant.individual->Practitioner", "Practitioner"),
        token("reason-code", "", "reasonCode"),
        reference("reason-reference", "", "reasonReference", "Condition Observation Procedure"),
        reference("service-provider", "", "serviceProvider", "Organization"),
        token("special-arrangement", "", "hospitalization.specialArrangement"),
        code("status", "", "status", "http://hl7.org/fhir/encounter-status"),
        reference("subject", "", "subject", "Group Patient"),
        token("type", "clinical-type", "type"),
    ]),
    ("Endpoint", &[
        token("connection-type", "", "connectionType"),
        token("identifier", "", "identifier"),
        string("name", "", "name"),
        reference("organization", "", "managingOrganization", "Organization"),
        token("payload-type", "", "payloadType"),
        code("status", "", "status", "http://hl7.org/fhir/endpoint-status"),
    ]),
    ("EpisodeOfCare", &[
        reference("care-manager", "", "careManager->Practitioner", "Practitioner"),
        reference("condition", "", "diagnosis.condition", "Condition"),
        date("date", "clinical-date", "period"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("incoming-referral", "", "referralRequest", "ServiceRequest"),
        reference("organization", "", "managingOrganization", "Organization"),
        reference("patient", "clinical-patient", "patient->Patient", "Group Patient"),
        code("status", "", "status", "http://hl7.org/fhir/episode-of-care-status"),
        token("type", "clinical-type", "type"),
    ]),
    ("ExplanationOfBenefit", &[
        reference("care-team", "", "careTeam.provider", "Organization Practitioner PractitionerRole"),
        reference("claim", "", "claim", "Claim"),
        reference("coverage", "", "insurance.coverage", "Coverage"),
        date("created", "", "created"),
        reference("detail-udi", "", "item.detail.udi", "Device"),
        string("disposition", "", "disposition"),
        reference("encounter", "", "item.encounter", "Encounter"),
        reference("enterer", "", "enterer", "Practitioner PractitionerRole"),
        reference("facility", "", "facility", "Location"),
        token("identifier", "", "identifier"),
        reference("item-udi", "", "item.udi", "Device"),
        reference("patient", "", "patient->Patient", "Patient"),
        reference("payee", "", "payee.party", "Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("procedure-udi", "", "procedure.udi", "Device"),
        reference("provider", "", "provider", "Organization Practitioner PractitionerRole"),
        code("status", "", "status", "http://hl7.org/fhir/explanationofbenefit-status"),
        reference("subdetail-udi", "", "item.detail.subDetail.udi", "Device"),
    ]),
    ("FamilyMemberHistory", &[
        token("code", "clinical-code", "condition.code"),
        date("date", "clinical-date", "date"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("instantiates-canonical", "", "instantiatesCanonical", ""),
        uri("instantiates-uri", "", "instantiatesUri"),
        reference("patient", "clinical-patient", "patient->Patient", "Group Patient"),
        token("relationship", "", "relationship"),
        token("sex", "", "sex"),
        code("status", "", "status", "http://hl7.org/fhir/history-status"),
    ]),
    ("Flag", &[
        reference("author", "", "author", "Device Organization Patient Practitioner PractitionerRole"),
        date("date", "clinical-date", "period"),
        reference("encounter", "clinical-encounter", "encounter", "Encounter EpisodeOfCare"),
        token("identifier", "", "identifier"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("subject", "", "subject", "Group Location Medication Organization Patient Practitioner Procedure"),
    ]),
    ("Goal", &[
        token("achievement-status", "", "achievementStatus"),
        token("category", "", "category"),
        token("description", "us/us-core-goal-description", "description"),
        token("identifier", "clinical-identifier", "identifier"),
        code("lifecycle-status", "", "lifecycleStatus", "http://hl7.org/fhir/goal-status"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        date("start-date", "", "start[date]"),
        reference("subject", "", "subject", "Group Organization Patient"),
        date("target-date", "", "target.due[date]"),
    ]),
    ("Group", &[
        token("actual", "", "actual"),
        token("characteristic", "", "characteristic.code"),
        composite("characteristic-value", "", "characteristic",
            &[(Kind::Token, "code"), (Kind::Token, "value[CodeableConcept,boolean]")]),
        token("code", "", "code"),
        token("exclude", "", "characteristic.exclude"),
        token("identifier", "", "identifier"),
        reference("managing-entity", "", "managingEntity",
            "Organization Practitioner PractitionerRole RelatedPerson"),
        reference("member", "", "member.entity", "Device Group Medication Patient Practitioner PractitionerRole"),
        code("type", "", "type", "http://hl7.org/fhir/group-type"),
        token("value", "", "characteristic.value[CodeableConcept] | characteristic.value[boolean]"),
    ]),
    ("HealthcareService", &[
        token("active", "", "active"),
        token("characteristic", "", "characteristic"),
        reference("coverage-area", "", "coverageArea", "Location"),
        reference("endpoint", "", "endpoint", "Endpoint"),
        token("identifier", "", "identifier"),
        reference("location", "", "location", "Location"),
        string("name", "", "name"),
        reference("organization", "", "providedBy", "Organization"),
        token("program", "", "program"),
        token("service-category", "", "category"),
        token("service-type", "", "type"),
        token("specialty", "", "specialty"),
    ]),
    ("ImagingStudy", &[
        reference("basedon", "", "basedOn", "Appointment CarePlan ServiceRequest Task"),
        token("bodysite", "", "series.bodySite"),
        token("dicom-class", "", "series.instance.sopClass"),
        reference("encounter", "", "encounter", "Encounter"),
        reference("endpoint", "", "endpoint | series.endpoint", "Endpoint"),
        token("identifier", "clinical-identifier", "identifier"),
        token("instance", "", "series.instance.uid"),
        reference("interpreter", "", "interpreter", "Practitioner PractitionerRole"),
        token("modality", "", "series.modality"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("performer", "", "series.performer.actor",
            "CareTeam Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("reason", "", "reasonCode"),
        reference("referrer", "", "referrer", "Practitioner PractitionerRole"),
        token("series", "", "series.uid"),
        date("started", "", "started"),
        code("status", "", "status", "http://hl7.org/fhir/imagingstudy-status"),
        reference("subject", "", "subject", "Device Group Patient"),
    ]),
    ("Immunization", &[
        date("date", "clinical-date", "occurrence[dateTime]"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("location", "", "location", "Location"),
        string("lot-number", "", "lotNumber"),
        reference("manufacturer", "", "manufacturer", "Organization"),
        reference("patient", "clinical-patient", "patient->Patient", "Group Patient"),
        reference("performer", "", "performer.actor", "Organization Practitioner PractitionerRole"),
        reference("reaction", "", "reaction.detail", "Observation"),
        date("reaction-date", "", "reaction.date"),
        token("reason-code", "", "reasonCode"),
        reference("reason-reference", "", "reasonReference", "Condition DiagnosticReport Observation"),
        string("series", "", "protocolApplied.series"),
        code("status", "", "status", "http://hl7.org/fhir/event-status"),
        token("status-reason", "", "statusReason"),
        token("target-disease", "", "protocolApplied.targetDisease"),
        token("vaccine-code", "", "vaccineCode"),
    ]),
    ("List", &[
        token("code", "clinical-code", "code"),
        date("date", "clinical-date", "date"),
        token("empty-reason", "", "emptyReason"),
        reference("encounter", "clinical-encounter", "encounter", "Encounter EpisodeOfCare"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("item", "", "entry.item", "*"),
        string("notes", "", "note.text"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("source", "", "source", "Device Patient Practitioner PractitionerRole"),
        code("status", "", "status", "http://hl7.org/fhir/list-status"),
        reference("subject", "", "subject", "Device Group Location Patient"),
        string("title", "", "title"),
    ]),
    ("Location", &[
        string("address", "", "address"),
        string("address-city", "", "address.city"),
        string("address-country", "", "address.country"),
        string("address-postalcode", "", "address.postalCode"),
        string("address-state", "", "address.state"),
        code("address-use", "", "address.use", "http://hl7.org/fhir/address-use"),
        reference("endpoint", "", "endpoint", "Endpoint"),
        token("identifier", "", "identifier"),
        string("name", "", "name | alias"),
        token("operational-status", "", "operationalStatus"),
        reference("organization", "", "managingOrganization", "Organization"),
        reference("partof", "", "partOf", "Location"),
        code("status", "", "status", "http://hl7.org/fhir/location-status"),
        token("type", "", "type"),
    ]),
    ("Media", &[
        reference("based-on", "", "basedOn", "CarePlan ServiceRequest"),
        date("created", "", "created[dateTime,Period]"),
        reference("device", "", "device", "Device"),
        reference("encounter", "", "encounter", "Encounter"),
        token("identifier", "", "identifier"),
        token("modality", "", "modality"),
        reference("operator", "", "operator",
            "CareTeam Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("patient", "", "subject->Patient", "Patient"),
        token("site", "", "bodySite"),
        code("status", "", "status", "http://hl7.org/fhir/event-status"),
        reference("subject", "", "subject", "Device Group Location Patient Practitioner PractitionerRole Specimen"),
        token("type", "", "type"),
        token("view", "", "view"),
    ]),
    ("Medication", &[
        token("code", "clinical-code", "code"),
        date("expiration-date", "", "batch.expirationDate"),
        token("form", "", "form"),
        token("identifier", "", "identifier"),
        reference("ingredient", "", "ingredient.item[Reference]", "Medication"),
        token("ingredient-code", "", "ingredient.item[CodeableConcept]"),
        token("lot-number", "", "batch.lotNumber"),
        reference("manufacturer", "", "manufacturer", "Organization"),
        code("status", "", "status", "http://hl7.org/fhir/CodeSystem/medication-status"),
    ]),
    ("MedicationAdministration", &[
        token("code", "clinical-code", "medication[CodeableConcept]"),
        reference("context", "", "context", "Encounter EpisodeOfCare"),
        reference("device", "", "device", "Device"),
        date("effective-time", "", "effective[dateTime,Period]"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("medication", "medications-medication", "medication[Reference]", "Medication"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("performer", "", "performer.actor", "Device Patient Practitioner PractitionerRole RelatedPerson"),
        token("reason-given", "", "reasonCode"),
        token("reason-not-given", "", "statusReason"),
        reference("request", "", "request", "MedicationRequest"),
        code("status", "medications-status", "status",
            "http://terminology.hl7.org/CodeSystem/medication-admin-status"),
        reference("subject", "", "subject", "Group Patient"),
    ]),
    ("MedicationDispense", &[
        token("code", "clinical-code", "medication[CodeableConcept]"),
        reference("context", "", "context", "Encounter EpisodeOfCare"),
        reference("destination", "", "destination", "Location"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("medication", "medications-medication", "medication[Reference]", "Medication"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("performer", "", "performer.actor",
            "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("prescription", "medications-prescription", "authorizingPrescription", "MedicationRequest"),
        reference("receiver", "", "receiver", "Patient Practitioner"),
        reference("responsibleparty", "", "substitution.responsibleParty", "Practitioner PractitionerRole"),
        code("status", "medications-status", "status",
            "http://terminology.hl7.org/CodeSystem/medicationdispense-status"),
        reference("subject", "", "subject", "Group Patient"),
        token("type", "", "type"),
        date("whenhandedover", "", "whenHandedOver"),
        date("whenprepared", "", "whenPrepared"),
    ]),
    ("MedicationRequest", &[
        date("authoredon", "", "authoredOn"),
        token("category", "", "category"),
        token("code", "clinical-code", "medication[CodeableConcept]"),
        date("date", "medications-date", "dosageInstruction.timing.event"),
        reference("encounter", "medications-encounter", "encounter", "Encounter"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("intended-dispenser", "", "dispenseRequest.performer", "Organization"),
        reference("intended-performer", "", "performer",
            "CareTeam Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("intended-performertype", "", "performerType"),
        code("intent", "", "intent", "http://hl7.org/fhir/CodeSystem/medicationrequest-intent"),
        reference("medication", "medications-medication", "medication[Reference]", "Medication"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        code("priority", "", "priority", "http://hl7.org/fhir/request-priority"),
        reference("requester", "", "requester",
            "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        code("status", "medications-status", "status", "http://hl7.org/fhir/CodeSystem/medicationrequest-status"),
        reference("subject", "", "subject", "Group Patient"),
    ]),
    ("MedicationStatement", &[
        token("category", "", "category"),
        token("code", "clinical-code", "medication[CodeableConcept]"),
        reference("context", "", "context", "Encounter EpisodeOfCare"),
        date("effective", "", "effective[dateTime,Period]"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("medication", "medications-medication", "medication[Reference]", "Medication"),
        reference("part-of", "", "partOf",
            "MedicationAdministration MedicationDispense MedicationStatement Observation Procedure"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("source", "", "informationSource",
            "Organization Patient Practitioner PractitionerRole RelatedPerson"),
        code("status", "medications-status", "status", "http://hl7.org/fhir/CodeSystem/medication-statement-status"),
        reference("subject", "", "subject", "Group Patient"),
    ]),
    ("NutritionOrder", &[
        token("additive", "", "enteralFormula.additiveType"),
        date("datetime", "", "dateTime"),
        reference("encounter", "clinical-encounter", "encounter", "Encounter EpisodeOfCare"),
        token("formula", "", "enteralFormula.baseFormulaType"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("instantiates-canonical", "", "instantiatesCanonical", ""),
        uri("instantiates-uri", "", "instantiatesUri"),
        token("oraldiet", "", "oralDiet.type"),
        reference("patient", "clinical-patient", "patient->Patient", "Group Patient"),
        reference("provider", "", "orderer", "Practitioner PractitionerRole"),
        code("status", "", "status", "http://hl7.org/fhir/request-status"),
        token("supplement", "", "supplement.type"),
    ]),
    ("Observation", &[
        reference("based-on", "", "basedOn",
            "CarePlan DeviceRequest MedicationRequest NutritionOrder ServiceRequest"),
        token("category", "", "category"),
        token("code", "clinical-code", "code"),
        composite("code-value-concept", "", ".", &[(Kind::Token, "code"), (Kind::Token, "value[CodeableConcept]")]),
        composite("code-value-date", "", ".", &[(Kind::Token, "code"), (Kind::Date, "value[dateTime,Period]")]),
        composite("code-value-quantity", "", ".", &[(Kind::Token, "code"), (Kind::Quantity, "value[Quantity]")]),
        composite("code-value-string", "", ".", &[(Kind::Token, "code"), (Kind::String, "value[string]")]),
        token("combo-code", "", "code | component.code"),
        composite("combo-code-value-concept", "", ". | component",
            &[(Kind::Token, "code"), (Kind::Token, "value[CodeableConcept]")]),
        composite("combo-code-value-quantity", "", ". | component",
            &[(Kind::Token, "code"), (Kind::Quantity, "value[Quantity]")]),
        token("combo-data-absent-reason", "", "dataAbsentReason | component.dataAbsentReason"),
        token("combo-value-concept", "", "value[CodeableConcept] | component.value[CodeableConcept]"),
        quantity("combo-value-quantity", "", "value[Quantity] | component.value[Quantity]"),
        token("component-code", "", "component.code"),
        composite("component-code-value-concept", "", "component",
            &[(Kind::Token, "code"), (Kind::Token, "value[CodeableConcept]")]),
        composite("component-code-value-quantity", "", "component",
            &[(Kind::Token, "code"), (Kind::Quantity, "value[Quantity]")]),
        token("component-data-absent-reason", "", "component.dataAbsentReason"),
        token("component-value-concept", "", "component.value[CodeableConcept]"),
        quantity("component-value-quantity", "", "component.value[Quantity]"),
        token("data-absent-reason", "", "dataAbsentReason"),
        date("date", "clinical-date", "effective[dateTime,Period,Timing,instant]"),
        reference("derived-from", "", "derivedFrom",
            "DocumentReference ImagingStudy Media Observation QuestionnaireResponse"),
        reference("device", "", "device", "Device"),
        reference("encounter", "clinical-encounter", "encounter", "Encounter EpisodeOfCare"),
        reference("focus", "", "focus", "*"),
        reference("has-member", "", "hasMember", "Observation QuestionnaireResponse"),
        token("identifier", "clinical-identifier", "identifier"),
        token("method", "", "method"),
        reference("part-of", "", "partOf",
            "ImagingStudy Immunization MedicationAdministration MedicationDispense MedicationStatement Procedure"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("performer", "", "performer",
            "CareTeam Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("specimen", "", "specimen", "Specimen"),
        code("status", "", "status", "http://hl7.org/fhir/observation-status"),
        reference("subject", "", "subject", "Device Group Location Patient"),
        token("value-concept", "", "value[CodeableConcept]"),
        date("value-date", "", "value[dateTime] | value[Period]"),
        quantity("value-quantity", "", "value[Quantity]"),
        string("value-string", "", "value[string] | value[CodeableConcept].text"),
    ]),
    ("Organization", &[
        token("active", "", "active"),
        string("address", "", "address"),
        string("address-city", "", "address.city"),
        string("address-country", "", "address.country"),
        string("address-postalcode", "", "address.postalCode"),
        string("address-state", "", "address.state"),
        code("address-use", "", "address.use", "http://hl7.org/fhir/address-use"),
        reference("endpoint", "", "endpoint", "Endpoint"),
        token("identifier", "", "identifier"),
        string("name", "", "name | alias"),
        reference("partof", "", "partOf", "Organization"),
        token("type", "", "type"),
    ]),
    ("Patient", &[
        token("active", "", "active"),
        string("address", "individual-address", "address"),
        string("address-city", "individual-address-city", "address.city"),
        string("address-country", "individual-address-country", "address.country"),
        string("address-postalcode", "individual-address-postalcode", "address.postalCode"),
        string("address-state", "individual-address-state", "address.state"),
        code("address-use", "individual-address-use", "address.use", "http://hl7.org/fhir/address-use"),
        date("birthdate", "individual-birthdate", "birthDate"),
        date("death-date", "", "deceased[dateTime]"),
        token("deceased", "", "deceased[boolean,dateTime]?"),
        token("email", "individual-email", "telecom(system=email)"),
        token("ethnicity", "us/us-core-ethnicity",
            "extension(http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity).extension.value[Coding]"),
        string("family", "individual-family", "name.family"),
        code("gender", "individual-gender", "gender", "http://hl7.org/fhir/administrative-gender"),
        token("gender-identity", "us/us-core-patient-gender-identity",
            "extension(http://hl7.org/fhir/us/core/StructureDefinition/us-core-genderIdentity).value[CodeableConcept]"),
        reference("general-practitioner", "", "generalPractitioner", "Organization Practitioner PractitionerRole"),
        string("given", "individual-given", "name.given"),
        token("identifier", "", "identifier"),
        token("language", "", "communication.language"),
        reference("link", "", "link.other", "Patient RelatedPerson"),
        string("name", "", "name"),
        reference("organization", "", "managingOrganization", "Organization"),
        token("phone", "individual-phone", "telecom(system=phone)"),
        token("race", "us/us-core-race",
            "extension(http://hl7.org/fhir/us/core/StructureDefinition/us-core-race).extension.value[Coding]"),
        token("telecom", "individual-telecom", "telecom"),
    ]),
    ("Practitioner", &[
        token("active", "", "active"),
        string("address", "individual-address", "address"),
        string("address-city", "individual-address-city", "address.city"),
        string("address-country", "individual-address-country", "address.country"),
        string("address-postalcode", "individual-address-postalcode", "address.postalCode"),
        string("address-state", "individual-address-state", "address.state"),
        code("address-use", "individual-address-use", "address.use", "http://hl7.org/fhir/address-use"),
        token("communication", "", "communication"),
        token("email", "individual-email", "telecom(system=email)"),
        string("family", "individual-family", "name.family"),
        code("gender", "individual-gender", "gender", "http://hl7.org/fhir/administrative-gender"),
        string("given", "individual-given", "name.given"),
        token("identifier", "", "identifier"),
        string("name", "", "name"),
        token("phone", "individual-phone", "telecom(system=phone)"),
        token("telecom", "individual-telecom", "telecom"),
    ]),
    ("PractitionerRole", &[
        token("active", "", "active"),
        date("date", "", "period"),
        token("email", "individual-email", "telecom(system=email)"),
        reference("endpoint", "", "endpoint", "Endpoint"),
        token("identifier", "", "identifier"),
        reference("location", "", "location", "Location"),
        reference("organization", "", "organization", "Organization"),
        token("phone", "individual-phone", "telecom(system=phone)"),
        reference("practitioner", "", "practitioner", "Practitioner"),
        token("role", "", "code"),
        reference("service", "", "healthcareService", "HealthcareService"),
        token("specialty", "", "specialty"),
        token("telecom", "individual-telecom", "telecom"),
    ]),
    ("Procedure", &[
        reference("based-on", "", "basedOn", "CarePlan ServiceRequest"),
        token("category", "", "category"),
        token("code", "clinical-code", "code"),
        date("date", "clinical-date", "performed[dateTime,Period]"),
        reference("encounter", "clinical-encounter", "encounter", "Encounter EpisodeOfCare"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("instantiates-canonical", "", "instantiatesCanonical", ""),
        uri("instantiates-uri", "", "instantiatesUri"),
        reference("location", "", "location", "Location"),
        reference("part-of", "", "partOf", "MedicationAdministration Observation Procedure"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("performer", "", "performer.actor",
            "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("reason-code", "", "reasonCode"),
        reference("reason-reference", "", "reasonReference",
            "Condition DiagnosticReport DocumentReference Observation Procedure"),
        code("status", "", "status", "http://hl7.org/fhir/event-status"),
        reference("subject", "", "subject", "Group Patient"),
    ]),
    ("Provenance", &[
        reference("agent", "", "agent.who",
            "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("agent-role", "", "agent.role"),
        token("agent-type", "", "agent.type"),
        reference("entity", "", "entity.what", "*"),
        reference("location", "", "location", "Location"),
        reference("patient", "", "target->Patient", "Patient"),
        date("recorded", "", "recorded"),
        token("signature-type", "", "signature.type"),
        reference("target", "", "target", "*"),
        date("when", "", "occurred[dateTime]"),
    ]),
    ("QuestionnaireResponse", &[
        reference("author", "", "author", "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        date("authored", "", "authored"),
        reference("based-on", "", "basedOn", "CarePlan ServiceRequest"),
        reference("encounter", "", "encounter", "Encounter"),
        token("identifier", "", "identifier"),
        reference("part-of", "", "partOf", "Observation Procedure"),
        reference("patient", "", "subject->Patient", "Patient"),
        reference("questionnaire", "", "questionnaire", ""),
        reference("source", "", "source", "Patient Practitioner PractitionerRole RelatedPerson"),
        code("status", "", "status", "http://hl7.org/fhir/questionnaire-answers-status"),
        reference("subject", "", "subject", "*"),
    ]),
    ("RelatedPerson", &[
        token("active", "", "active"),
        string("address", "individual-address", "address"),
        string("address-city", "individual-address-city", "address.city"),
        string("address-country", "individual-address-country", "address.country"),
        string("address-postalcode", "individual-address-postalcode", "address.postalCode"),
        string("address-state", "individual-address-state", "address.state"),
        code("address-use", "individual-address-use", "address.use", "http://hl7.org/fhir/address-use"),
        date("birthdate", "individual-birthdate", "birthDate"),
        token("email", "individual-email", "telecom(system=email)"),
        code("gender", "individual-gender", "gender", "http://hl7.org/fhir/administrative-gender"),
        token("identifier", "", "identifier"),
        string("name", "", "name"),
        reference("patient", "", "patient->Patient", "Patient"),
        token("phone", "individual-phone", "telecom(system=phone)"),
        token("relationship", "", "relationship"),
        token("telecom", "individual-telecom", "telecom"),
    ]),
    ("RiskAssessment", &[
        reference("condition", "", "condition", "Condition"),
        date("date", "clinical-date", "occurrence[dateTime]"),
        reference("encounter", "clinical-encounter", "encounter", "Encounter EpisodeOfCare"),
        token("identifier", "clinical-identifier", "identifier"),
        token("method", "", "method"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("performer", "", "performer", "Device Practitioner PractitionerRole"),
        number("probability", "", "prediction.probability[decimal,Range]"),
        token("risk", "", "prediction.qualitativeRisk"),
        reference("subject", "", "subject", "Group Patient"),
    ]),
    ("ServiceRequest", &[
        date("authored", "", "authoredOn"),
        reference("based-on", "", "basedOn", "CarePlan MedicationRequest ServiceRequest"),
        token("body-site", "", "bodySite"),
        token("category", "", "category"),
        token("code", "clinical-code", "code"),
        reference("encounter", "clinical-encounter", "encounter", "Encounter EpisodeOfCare"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("instantiates-canonical", "", "instantiatesCanonical", ""),
        uri("instantiates-uri", "", "instantiatesUri"),
        code("intent", "", "intent", "http://hl7.org/fhir/request-intent"),
        date("occurrence", "", "occurrence[dateTime,Period,Timing]"),
        reference("patient", "clinical-patient", "subject->Patient", "Patient"),
        reference("performer", "", "performer",
            "CareTeam Device HealthcareService Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("performer-type", "", "performerType"),
        code("priority", "", "priority", "http://hl7.org/fhir/request-priority"),
        reference("replaces", "", "replaces", "ServiceRequest"),
        reference("requester", "", "requester",
            "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        token("requisition", "", "requisition"),
        reference("specimen", "", "specimen", "Specimen"),
        code("status", "", "status", "http://hl7.org/fhir/request-status"),
        reference("subject", "", "subject", "Device Group Location Patient"),
    ]),
    ("Specimen", &[
        token("accession", "", "accessionIdentifier"),
        token("bodysite", "", "collection.bodySite"),
        date("collected", "", "collection.collected[dateTime,Period]"),
        reference("collector", "", "collection.collector", "Practitioner PractitionerRole"),
        token("container", "", "container.type"),
        token("container-id", "", "container.identifier"),
        token("identifier", "", "identifier"),
        reference("parent", "", "parent", "Specimen"),
        reference("patient", "", "subject->Patient", "Patient"),
        code("status", "", "status", "http://hl7.org/fhir/specimen-status"),
        reference("subject", "", "subject", "Device Group Location Patient"),
        token("type", "", "type"),
    ]),
    ("SupplyDelivery", &[
        token("identifier", "clinical-identifier", "identifier"),
        reference("patient", "clinical-patient", "patient->Patient", "Group Patient"),
        reference("receiver", "", "receiver", "Practitioner PractitionerRole"),
        code("status", "", "status", "http://hl7.org/fhir/supplydelivery-status"),
        reference("supplier", "", "supplier", "Organization Practitioner PractitionerRole"),
    ]),
    ("SupplyRequest", &[
        token("category", "", "category"),
        date("date", "clinical-date", "authoredOn"),
        token("identifier", "clinical-identifier", "identifier"),
        reference("requester", "", "requester",
            "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        code("status", "", "status", "http://hl7.org/fhir/supplyrequest-status"),
        reference("subject", "", "deliverTo", "Location Organization Patient"),
        reference("supplier", "", "supplier", "HealthcareService Organization"),
    ]),
    ("Task", &[
        date("authored-on", "", "authoredOn"),
        reference("based-on", "", "basedOn", "*"),
        token("business-status", "", "businessStatus"),
        token("code", "", "code"),
        reference("encounter", "", "encounter", "Encounter"),
        reference("focus", "", "focus", "*"),
        token("group-identifier", "", "groupIdentifier"),
        token("identifier", "", "identifier"),
        code("intent", "", "intent", "http://hl7.org/fhir/request-intent"),
        date("modified", "", "lastModified"),
        reference("owner", "", "owner",
            "CareTeam Device HealthcareService Organization Patient Practitioner PractitionerRole RelatedPerson"),
        reference("part-of", "", "partOf", "Task"),
        reference("patient", "", "for->Patient", "Patient"),
        token("performer", "", "performerType"),
        date("period", "", "executionPeriod"),
        code("priority", "", "priority", "http://hl7.org/fhir/request-priority"),
        reference("requester", "", "requester",
            "Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
        code("status", "", "status", "http://hl7.org/fhir/task-status"),
        reference("subject", "", "for", "*"),
    ]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_parameters_are_sorted_and_stand_once() {
        assert!(TYPES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (resource_type, own) in TYPES {
            let pairs = own.windows(2);
            assert!(pairs.into_iter().all(|it| it[0].name < it[1].name), "{resource_type}");
            assert!(own.iter().all(|it| !KNOWN.contains(&it.name)), "{resource_type}");
        }
    }

    #[test]
    fn paths_are_of_the_language() {
        for (resource_type, own) in TYPES {
            for parameter in *own {
                let parts = parameter.components.iter().map(|(_, paths)| *paths);
                for paths in parts.chain([parameter.paths]) {
                    let allowed =
                        |it: char| it.is_ascii_alphanumeric() || ".[](),=:/->?| ".contains(it);
                    let is_fine = !paths.is_empty() && paths.chars().all(allowed);
                    assert!(
                        is_fine && !paths.contains(".."),
                        "{resource_type}.{}: {paths}",
                        parameter.name
                    );
                    for brackets in ["()", "[]"] {
                        let count = |bracket| paths.matches(bracket).count();
                        assert_eq!(count(&brackets[..1]), count(&brackets[1..]), "{paths}");
                    }
                }
            }
        }
    }

    #[test]
    fn references_say_what_they_refer_to_and_the_others_do_not() {
        for (resource_type, own) in TYPES {
            for it in *own {
                let is_reference = it.kind == Kind::Reference;
                assert!(is_reference || it.targets.is_empty(), "{resource_type}.{}", it.name);
                let named: Vec<_> = it.targets.split(' ').filter(|it| *it != "*").collect();
                let unserved =
                    named.iter().find(|it| !it.is_empty() && resource_type_of(it).is_none());
                assert_eq!(unserved, None, "{resource_type}.{}", it.name);
                assert_eq!(it.components.is_empty(), it.kind != Kind::Composite);
            }
        }
    }

    fn resource_type_of(name: &str) -> Option<&'static str> {
        super::resource_type(name)
    }

    #[test]
    fn definitions_are_canonical_urls() {
        let url =
            |resource_type, name| parameter(resource_type, name).unwrap().definition(resource_type);
        assert_eq!(
            url("Patient", "identifier"),
            "http://hl7.org/fhir/SearchParameter/Patient-identifier"
        );
        assert_eq!(
            url("Patient", "gender"),
            "http://hl7.org/fhir/SearchParameter/individual-gender"
        );
        assert_eq!(
            url("Patient", "race"),
            "http://hl7.org/fhir/us/core/SearchParameter/us-core-race"
        );
        assert_eq!(url("Patient", "_id"), "http://hl7.org/fhir/SearchParameter/Resource-id");
    }
}

//! Accesses, emergencies, disclosures and writes as AuditEvent, by IHE's Basic Audit Log Patterns (BALP).
//!
//! ```text
//! fact                          type             subtype             profile
//! one record was opened         rest             read                PatientRead
//! several, or compartments      rest             search              PatientQuery
//! an access was refused         Security Alert   AuthZ-Consent       none: those are of what went well
//! the glass was broken          Security Alert   Emergency Override Started, or Stopped
//! an export                     Export           disclose            PrivacyDisclosure.Source
//! a record was added            rest             create              PatientCreate
//! it was amended                rest             update              PatientUpdate
//! it was redacted               rest             delete              PatientDelete
//! ```
//!
//! # Invariants
//!
//! * Each has the entry's place in the chain, as BALP's transaction entity, by which a receipt can be asked for.
//! * No agent has a network address: the ledger knows none. `network.type` alone is there, since BALP asks for it.
//! * What a refusal says is the ledger's own code and text, which have no word of a record's content.
//!
//! Not here: events that are not on the ledger, such as logins.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use keepwell_types::{
    access::{EmergencyReason, Purpose, RecordName, Target},
    id::{Location, OrganisationId},
    member::{Party, Role},
    outcome::Rejection,
    set::{CompartmentSet, RoleSet},
    time::BlockTime,
};
use serde_json::{Value, json};

use super::{
    ACT_REASON, DICOM, LIFECYCLE, PARTICIPATION, coding, concept, entry_identifier, instant,
    organisation_reference, own, own_concept, party_reference, record_identifier, record_text,
    reference,
};

const PROFILE: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";
const BALP_ENTITY: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";
const BALP_AUTHORIZATION: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType";
const EVENT_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const INTERACTION: &str = "http://hl7.org/fhir/restful-interaction";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const ENTITY_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const SOURCE_TYPE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";
const ROLE_CLASS: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleClass";

/// What all events say.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The resource's id.
    pub id: &'a str,
    /// Where the entry stands.
    pub location: Location,
    /// The time of its block.
    pub time: BlockTime,
    /// The reference to the chart's patient.
    pub patient: &'a str,
    /// Who acted.
    pub who: Party,
    /// For which organisation, where it is known.
    pub organisation: Option<OrganisationId>,
    /// In which roles.
    pub roles: RoleSet,
    /// The reference to the program that acted for them: a wallet or a gateway.
    pub client: &'a str,
    /// The reference to the node that the event is read from.
    pub server: &'a str,
}

/// An access.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// What for, as the reader signed it.
    pub purpose: Purpose,
    /// What was asked for.
    pub target: &'a Target,
    /// Why it was refused, if it was.
    pub refused: Option<&'a Rejection>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Write {
    /// It was added.
    Create,
    /// A version was added.
    Update,
    /// It was redacted.
    Delete,
}

/// What becomes of an emergency.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Emergency {
    /// The glass was broken.
    Started,
    /// It was closed, or its time was over.
    Stopped,
}

/// An access that was allowed or refused.
pub fn access(event: &Event<'_>, access: &Access<'_>) -> Value {
    let mut audit = Draft::new(event, access.purpose);
    let one = match access.target {
        Target::Records(names) => names.first().filter(|_| names.len() == 1),
        Target::Compartments { .. } => None,
    };
    match (access.refused, one) {
        (None, Some(_)) => audit.as_rest("PatientRead", "read", "R"),
        (None, None) => audit.as_rest("PatientQuery", "search", "E"),
        (Some(rejection), _) => audit.as_refused(rejection),
    }
    match one {
        Some(name) => {
            audit.systems(RECEIVES, SENDS);
            audit.entity(record_entity(*name));
        }
        None => {
            // To BALP the question is what flows in a query, so the client is its source.
            audit.systems(SENDS, RECEIVES);
            audit.entity(query_entity(access.target));
        }
    }
    audit.user("IRCP", access.purpose);
    audit.into_value()
}

/// A record that was added, amended or redacted.
pub fn write(event: &Event<'_>, purpose: Purpose, write: Write, record: RecordName) -> Value {
    let mut audit = Draft::new(event, purpose);
    match write {
        Write::Create => audit.as_rest("PatientCreate", "create", "C"),
        Write::Update => audit.as_rest("PatientUpdate", "update", "U"),
        Write::Delete => audit.as_rest("PatientDelete", "delete", "D"),
    }
    match write {
        Write::Create | Write::Update => audit.systems(SENDS, RECEIVES),
        Write::Delete => audit.systems(
            (DICOM, "110150"),
            ("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian"),
        ),
    }
    audit.user("AUT", purpose);
    audit.entity(record_entity(record));
    audit.into_value()
}

/// The glass that was broken, or an emergency that is over. What was read in it are accesses, for the purpose `BTG`.
pub fn emergency(
    event: &Event<'_>,
    emergency: Emergency,
    reason: EmergencyReason,
    compartments: CompartmentSet,
) -> Value {
    let mut audit = Draft::new(event, Purpose::BreakGlass);
    audit.fields["type"] = coding(DICOM, "110113");
    let subtype = match emergency {
        Emergency::Started => "110127",
        Emergency::Stopped => "110138",
    };
    audit.fields["subtype"] = json!([coding(DICOM, subtype)]);
    audit.fields["action"] = json!("E");
    audit.systems(SENDS, RECEIVES);
    audit.user("IRCP", Purpose::BreakGlass);
    audit.entity(json!({
        "type": coding(&own("audit-entity"), "emergency"),
        "detail": [
            { "type": "reason", "valueString": reason.as_str() },
            { "type": "compartments", "valueString": compartments.len().to_string() },
        ],
    }));
    audit.into_value()
}

/// What left the consortium, and to whom: an export of some records.
pub fn disclosure(
    event: &Event<'_>,
    purpose: Purpose,
    recipient: &str,
    records: &[RecordName],
) -> Value {
    let mut audit = Draft::new(event, purpose);
    audit.profile("PrivacyDisclosure.Source");
    audit.fields["type"] = coding(DICOM, "110106");
    audit.fields["subtype"] = json!([coding(LIFECYCLE, "disclose")]);
    audit.fields["action"] = json!("R");
    // The source is who discloses, so it is the observer as well (BALP, val-audit-source).
    let source = agent(SENDS, reference(event.server), false, true);
    audit.agents.push(source);
    audit.agents.push(agent(RECEIVES, reference(recipient), false, true));
    audit.user("AUT", purpose);
    records.iter().for_each(|name| audit.entity(record_entity(*name)));
    audit.into_value()
}

const SENDS: (&str, &str) = (DICOM, "110153");
const RECEIVES: (&str, &str) = (DICOM, "110152");

/// An AuditEvent as it grows.
struct Draft<'a> {
    event: &'a Event<'a>,
    fields: Value,
    agents: Vec<Value>,
    entities: Vec<Value>,
}

impl<'a> Draft<'a> {
    fn new(event: &'a Event<'a>, purpose: Purpose) -> Self {
        let fields = json!({
            "resourceType": "AuditEvent",
            "id": event.id,
            "type": null,
            "subtype": null,
            "action": null,
            "recorded": instant(event.time),
            "outcome": "0",
            "purposeOfEvent": [concept(ACT_REASON, purpose.as_str())],
        });
        let patient = json!({
            "what": reference(event.patient),
            "type": coding(ENTITY_TYPE, "1"),
            "role": coding(ENTITY_ROLE, "1"),
        });
        let transaction = json!({
            "what": { "identifier": entry_identifier(event.location) },
            "type": coding(BALP_ENTITY, "XrequestId"),
        });
        Self { event, fields, agents: Vec::new(), entities: vec![patient, transaction] }
    }

    fn profile(&mut self, name: &str) {
        self.fields["meta"] = json!({ "profile": [format!("{PROFILE}{name}")] });
    }

    fn as_rest(&mut self, profile: &str, interaction: &str, action: &str) {
        self.profile(profile);
        self.fields["type"] = coding(EVENT_TYPE, "rest");
        self.fields["subtype"] = json!([coding(INTERACTION, interaction)]);
        self.fields["action"] = json!(action);
    }

    fn as_refused(&mut self, rejection: &Rejection) {
        let code = code_of(rejection);
        self.fields["type"] = coding(DICOM, "110113");
        self.fields["subtype"] = json!([coding(BALP_AUTHORIZATION, "AuthZ-Consent")]);
        self.fields["action"] = json!("E");
        self.fields["outcome"] = json!("8");
        self.fields["outcomeDesc"] = json!(format!("{code}: {rejection}"));
        self.entities.push(json!({
            "type": coding(&own("audit-entity"), "refusal"),
            "detail": [{ "type": "reason", "valueString": code }],
        }));
    }

    /// The programs at both ends, the client's part and the server's.
    fn systems(&mut self, client: (&str, &str), server: (&str, &str)) {
        self.agents.push(agent(client, reference(self.event.client), false, true));
        self.agents.push(agent(server, reference(self.event.server), false, true));
    }

    /// Who acted, and for which organisation.
    fn user(&mut self, part: &str, purpose: Purpose) {
        let who = party_reference(self.event.who, self.event.patient);
        let mut user = agent((PARTICIPATION, part), who, true, false);
        user["purposeOfUse"] = json!([concept(ACT_REASON, purpose.as_str())]);
        if !self.event.roles.is_empty() {
            let roles = self.event.roles.iter().map(Role::as_str);
            user["role"] = roles.map(|role| own_concept("role", role)).collect();
        }
        self.agents.push(user);
        if let Some(organisation) = self.event.organisation {
            let who = reference(&organisation_reference(organisation));
            self.agents.push(agent((ROLE_CLASS, "PROV"), who, false, false));
        }
    }

    fn entity(&mut self, entity: Value) {
        self.entities.push(entity);
    }

    fn into_value(mut self) -> Value {
        self.fields["agent"] = Value::Array(self.agents);
        self.fields["source"] = json!({
            "observer": reference(self.event.server),
            "type": [coding(SOURCE_TYPE, "4")],
        });
        self.fields["entity"] = Value::Array(self.entities);
        self.fields
    }
}

fn agent(part: (&str, &str), who: Value, is_requestor: bool, is_system: bool) -> Value {
    let mut agent = json!({
        "type": concept(part.0, part.1),
        "who": who,
        "requestor": is_requestor,
    });
    if is_system {
        agent["network"] = json!({ "type": "5" });
    }
    agent
}

fn record_entity(name: RecordName) -> Value {
    json!({
        "what": { "identifier": record_identifier(name) },
        "type": coding(ENTITY_TYPE, "2"),
        "role": coding(ENTITY_ROLE, "4"),
    })
}

/// What was asked for, in words and in base 64 as BALP has it.
fn query_entity(target: &Target) -> Value {
    let words = match target {
        Target::Records(names) => {
            let names = names.iter().map(|it| record_text(*it)).collect::<Vec<_>>();
            format!("records={}", names.join(","))
        }
        Target::Compartments { compartments, until } => {
            let numbers = compartments.iter().map(|it| it.index().to_string());
            let numbers = numbers.collect::<Vec<_>>().join(",");
            format!("compartments={numbers}&before={until}")
        }
    };
    json!({
        "type": coding(ENTITY_TYPE, "2"),
        "role": coding(ENTITY_ROLE, "24"),
        "description": words,
        "query": BASE64_STANDARD.encode(&words),
    })
}

/// The ledger's word for a refusal, such as `not_granted`.
pub fn code_of(rejection: &Rejection) -> String {
    match serde_json::to_value(rejection) {
        Ok(Value::String(code)) => code,
        Ok(Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        Ok(_) | Err(_) => String::new(),
    }
}

//! What is served, said once: the CapabilityStatement is made of it, and a request for anything else is refused by it.
//!
//! Not here: how it is served.

pub mod document;

use keepwell_fhir::{
    interaction::{Id, Interaction, Operation, Query, ResourceType, Scope, Target, Within},
    outcome::{IssueType, Outcome, Status},
    search::table::{self, parameters},
    subscription::{SERVER, TOPIC_EXTENSION, Topic},
};
use serde_json::{Value, json};

use crate::{facts, subscribe::Asked};

const PATIENT: &str = "Patient";
/// What is the gateway's own, and in no chart.
pub(crate) const SUBSCRIPTION: &str = "Subscription";

/// An interaction that is served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Served {
    /// POST of a type; with a condition, as some clients send it.
    Create(ResourceType, Query),
    /// GET of an id.
    Read(ResourceType, Id),
    /// GET of a version.
    VersionRead(ResourceType, Id, Id),
    /// PUT of an id, or of what a condition finds.
    Update(Target),
    /// PATCH of an id.
    Patch(Target),
    /// GET of an id's versions.
    History(ResourceType, Id, Query),
    /// GET of a type, and POST of `_search`.
    Search(ResourceType, Query),
    /// POST of a batch or a transaction to the base.
    Bundle,
    /// GET or POST of `$everything` of a patient.
    Everything(Id, Query),
    /// GET or POST of `$summary` of a patient.
    Summary(Id, Query),
    /// POST of `$validate` of a type or an id, and GET of an id's.
    Validate(Scope, Query),
    /// GET or POST of `$export`, of all, of all patients or of a group.
    Export(Scope, Query),
    /// POST of a C-CDA document to `$import-ccda`.
    ImportCcda,
    /// What is asked of subscriptions.
    Subscription(Asked),
}

/// What is served of a type, as `TypeRestfulInteraction` has it: of one that is about patients all, of others the first.
pub const CODES: [&str; 7] =
    ["read", "vread", "history-instance", "update", "patch", "create", "search-type"];
/// What is served of subscriptions, likewise.
pub const SUBSCRIPTION_CODES: [&str; 5] = ["create", "read", "update", "delete", "search-type"];
/// So many of [`CODES`] are served of resources that are about nobody, and came with a patient's.
const OF_NOBODY: usize = 5;
/// What is served of the base, as `SystemRestfulInteraction` has it.
pub const SYSTEM_CODES: [&str; 2] = ["batch", "transaction"];

/// What is to be said of Binary.
const BINARY: &str = "POST of any content type but FHIR's JSON, with Content-Length and X-Security-Context: Patient/ID, keeps up to 10 GiB as they are; a read with an Accept of that type gives them back.";

/// What is to be said of Subscription.
const SUBSCRIPTIONS: &str = "By topic (Subscriptions R5 Backport 1.1 for R4), of one patient, told by rest-hook at an address that the gateway's operator lists; empty or id-only. They are the gateway's own, seen by whoever made them alone. An update ends one (off), or begins it again after an error (requested).";

impl Served {
    /// Its code: one of [`CODES`] or [`SYSTEM_CODES`].
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read(..) => CODES[0],
            Self::VersionRead(..) => CODES[1],
            Self::History(..) => CODES[2],
            Self::Update(..) => CODES[3],
            Self::Patch(..) => CODES[4],
            Self::Create(..) => CODES[5],
            Self::Search(..) => CODES[6],
            Self::Bundle => SYSTEM_CODES[1],
            Self::Everything(..) => Operation::Everything.as_str(),
            Self::Summary(..) => Operation::Summary.as_str(),
            Self::Export(..) => Operation::Export.as_str(),
            Self::ImportCcda => Operation::ImportCcda.as_str(),
            Self::Validate(..) => Operation::Validate.as_str(),
            Self::Subscription(asked) => match asked {
                Asked::Create => SUBSCRIPTION_CODES[0],
                Asked::Read(_) => SUBSCRIPTION_CODES[1],
                Asked::Update(_) => SUBSCRIPTION_CODES[2],
                Asked::Delete(_) => SUBSCRIPTION_CODES[3],
                Asked::Search(_) => SUBSCRIPTION_CODES[4],
                Asked::Status(..) => Operation::Status.as_str(),
                Asked::Events(..) => Operation::Events.as_str(),
            },
        }
    }

    /// What an interaction is, or why it is not served.
    pub fn of(interaction: Interaction) -> Result<Self, Outcome> {
        let interaction = match of_subscriptions(interaction) {
            Ok(asked) => return asked.map(Self::Subscription),
            Err(interaction) => interaction,
        };
        let served = match interaction {
            Interaction::Create(of, query) => Self::Create(of, query),
            Interaction::Read(of, id) => Self::Read(of, id),
            Interaction::VersionRead(of, id, version) => Self::VersionRead(of, id, version),
            Interaction::Update(target) => Self::Update(target),
            Interaction::Patch(target @ Target::Instance(..)) => Self::Patch(target),
            Interaction::Bundle => Self::Bundle,
            Interaction::Operation(Operation::Everything, Scope::Instance(_, id), query) => {
                Self::Everything(id, query)
            }
            Interaction::Operation(Operation::Summary, Scope::Instance(_, id), query) => {
                Self::Summary(id, query)
            }
            Interaction::Operation(Operation::Export, scope, query) => Self::Export(scope, query),
            Interaction::Operation(Operation::ImportCcda, Scope::System, _) => Self::ImportCcda,
            Interaction::Operation(Operation::Validate, scope, query) => {
                Self::Validate(scope, query)
            }
            Interaction::Search(Within::Type(of), query) => Self::Search(of, query),
            Interaction::Search(Within::Compartment(of, id, Some(inner)), query)
                if of.as_str() == PATIENT =>
            {
                let parameter = names_patient(inner.as_str()).ok_or_else(no_such_type)?;
                Self::Search(inner, query.of_patient(parameter, &id))
            }
            Interaction::History(Scope::Instance(of, id), query) => Self::History(of, id, query),
            Interaction::Delete(_) => return Err(no_deletes()),
            Interaction::Capabilities
            | Interaction::Patch(Target::Matching(..))
            | Interaction::Search(Within::System | Within::Compartment(..), _)
            | Interaction::History(Scope::System | Scope::Type(_), _)
            | Interaction::Operation(..) => return Err(not_served()),
        };
        if let Self::Create(of, _) | Self::Search(of, _) = &served
            && !is_about_patients(of.as_str())
        {
            return Err(no_such_type());
        }
        Ok(served)
    }
}

/// What is asked of subscriptions, or why it is not served; the interaction again if it is about something else.
fn of_subscriptions(interaction: Interaction) -> Result<Result<Asked, Outcome>, Interaction> {
    let is_own = |of: &ResourceType| of.as_str() == SUBSCRIPTION;
    Ok(Ok(match interaction {
        Interaction::Create(of, _) if is_own(&of) => Asked::Create,
        Interaction::Read(of, id) if is_own(&of) => Asked::Read(id),
        Interaction::Update(Target::Instance(of, id)) if is_own(&of) => Asked::Update(id),
        Interaction::Delete(Target::Instance(of, id)) if is_own(&of) => Asked::Delete(id),
        Interaction::Search(Within::Type(of), query) if is_own(&of) => Asked::Search(query),
        Interaction::Operation(Operation::Status, Scope::Type(_), query) => {
            Asked::Status(None, query)
        }
        Interaction::Operation(Operation::Status, Scope::Instance(_, id), query) => {
            Asked::Status(Some(id), query)
        }
        Interaction::Operation(Operation::Events, Scope::Instance(_, id), query) => {
            Asked::Events(id, query)
        }
        Interaction::VersionRead(of, ..)
        | Interaction::Update(Target::Matching(of, _))
        | Interaction::Patch(Target::Instance(of, _) | Target::Matching(of, _))
        | Interaction::Delete(Target::Matching(of, _))
        | Interaction::History(Scope::Type(of) | Scope::Instance(of, _), _)
        | Interaction::Operation(_, Scope::Type(of) | Scope::Instance(of, _), _)
            if is_own(&of) =>
        {
            return Ok(Err(not_served()));
        }
        other @ (Interaction::Capabilities
        | Interaction::Bundle
        | Interaction::Create(..)
        | Interaction::Read(..)
        | Interaction::VersionRead(..)
        | Interaction::Update(_)
        | Interaction::Patch(_)
        | Interaction::Delete(_)
        | Interaction::Search(..)
        | Interaction::History(..)
        | Interaction::Operation(..)) => return Err(other),
    }))
}

pub(crate) fn no_deletes() -> Outcome {
    let text = "nothing is deleted here: mark it as entered in error with an update, or have it redacted by the patient, the chart's organisation and its author (keepwell record redact)";
    Outcome::error(IssueType::NotSupported, text).with_status(Status::METHOD_NOT_ALLOWED)
}

pub(crate) fn not_served() -> Outcome {
    let text = "this interaction is not served here; metadata lists those that are";
    Outcome::error(IssueType::NotSupported, text).with_status(Status::METHOD_NOT_ALLOWED)
}

fn no_such_type() -> Outcome {
    let text = "resources of this type are about no patient: they are kept with those of the patient in whose transaction they come, and read there; metadata lists the types that are created and searched for";
    Outcome::error(IssueType::NotSupported, text).with_status(Status::NOT_FOUND)
}

/// Whether resources of a type are about patients: all that is kept is in a patient's chart.
pub(crate) fn is_about_patients(of: &str) -> bool {
    of == PATIENT || names_patient(of).is_some()
}

/// The parameter that names whom resources of a type are about; of Patients their id.
fn names_patient(of: &str) -> Option<&'static str> {
    if of == PATIENT {
        return Some("_id");
    }
    let names = ["patient", "beneficiary", "subject"];
    names.into_iter().find(|name| parameters(of).any(|it| it.name == *name))
}

/// The operations on resources of a type.
fn operations(of: &str) -> Vec<Value> {
    let everything = json!({
        "name": "everything",
        "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        "documentation": "With _type, _since and _count, of what the token is good for.",
    });
    let summary = json!({
        "name": "summary",
        "definition": "http://hl7.org/fhir/uv/ips/OperationDefinition/summary",
        "documentation": "Of one patient, with profile alone, of what the token is good for.",
    });
    let validate = json!({
        "name": "validate",
        "definition": "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        "documentation": "JSON, structure and whose it is; not codes, rules, profiles and references.",
    });
    let mut all = vec![validate];
    match of {
        PATIENT => all.extend([everything, summary, export("patient-export")]),
        "Group" => all.push(export("group-export")),
        _ => {}
    }
    all
}

/// An operation of Bulk Data Access.
fn export(id: &str) -> Value {
    json!({
        "name": "export",
        "definition": format!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{id}"),
        "documentation": "For systems, with Prefer: respond-async; of what the token is good for and the ledger allows.",
    })
}

/// The operation that takes a C-CDA document, which is Keepwell's own.
fn import_ccda() -> Value {
    json!({
        "name": "import-ccda",
        "definition": format!("{}import-ccda", keepwell_fhir::facts::NAMESPACE),
        "documentation": "POST of a C-CDA document as application/hl7-cda+xml: kept as it is, and what its sections say as resources. Whatever they are, the token has to be good for creating and updating them.",
    })
}

/// What is to be said of a type.
fn documentation(of: &str) -> String {
    let text = "A create or update is conditional on one identifier alone (identifier=system|value). A patch is a JSON Patch. A search names a patient, or finds Patients.";
    [Some(text.to_owned()), facts::documentation(of)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The interactions with resources of types that are about nobody.
fn of_nobody() -> &'static [&'static str] {
    &CODES[..OF_NOBODY]
}

/// The CapabilityStatement (R4, CapabilityStatement). `date` is since when it is served: a FHIR dateTime. `has_people` is
/// whether people sign in.
pub fn statement(base: &str, date: &str, has_people: bool) -> Value {
    let interactions = CODES.map(|code| json!({ "code": code }));
    let resources: Vec<_> = table::resource_types()
        .map(|of| {
            if !is_about_patients(of) {
                return json!({
                    "type": of, "interaction": interactions[..of_nobody().len()],
                    "versioning": "versioned-update", "readHistory": true, "updateCreate": false,
                    "conditionalCreate": false, "conditionalUpdate": false,
                    "conditionalDelete": "not-supported", "referencePolicy": ["literal"],
                    "documentation": "Kept in the chart of the patient in whose transaction it came, and found as an include of what refers to it.",
                    "operation": operations(of),
                });
            }
            let params: Vec<_> = parameters(of)
                .map(|it| {
                    json!({
                        "name": it.name, "type": it.kind.code(), "definition": it.definition(of),
                        "documentation": it.documentation(),
                    })
                })
                .collect();
            json!({
                "type": of, "interaction": interactions, "versioning": "versioned-update",
                "readHistory": true, "updateCreate": false, "conditionalCreate": true,
                "conditionalRead": "not-match", "conditionalUpdate": true,
                "conditionalDelete": "not-supported", "referencePolicy": ["literal"],
                "documentation": documentation(of),
                "searchInclude": table::includes(of).collect::<Vec<_>>(),
                "searchRevInclude": table::reverse_includes(of).collect::<Vec<_>>(),
                "searchParam": params,
                "operation": operations(of),
            })
        })
        .chain([subscriptions()])
        .collect();
    json!({
        "resourceType": "CapabilityStatement", "status": "active", "date": date,
        "kind": "instance",
        "instantiates": [
            "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data", SERVER,
        ],
        "fhirVersion": "4.0.1", "format": ["json"],
        "software": { "name": "Keepwell", "version": env!("CARGO_PKG_VERSION") },
        "implementation": {
            "description": "Sealed records on a permissioned ledger; each read is an entry that the patient sees",
            "url": base,
        },
        "rest": [{
            "mode": "server",
            "security": {
                "service": [{ "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                    "code": "SMART-on-FHIR",
                }] }],
                "extension": [{
                    "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                    "extension": oauth_uris(base, has_people),
                }],
            },
            "resource": resources,
            "interaction": SYSTEM_CODES.map(|code| json!({ "code": code })),
            "operation": [export("export"), import_ccda()],
        }],
    })
}

/// What is to be said of subscriptions.
fn subscriptions() -> Value {
    let operation = |name: &str, says: &str| {
        let base = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition";
        json!({
            "name": name, "definition": format!("{base}/backport-subscription-{name}"),
            "documentation": says,
        })
    };
    let topic = |it: Topic| json!({ "url": TOPIC_EXTENSION, "valueCanonical": it.canonical() });
    let params =
        [("status", "token"), ("url", "uri"), ("criteria", "string")].map(|(name, kind)| {
            let definition = format!("http://hl7.org/fhir/SearchParameter/Subscription-{name}");
            json!({ "name": name, "type": kind, "definition": definition })
        });
    json!({
        "extension": Topic::ALL.map(topic), "type": SUBSCRIPTION,
        "supportedProfile": ["http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription"],
        "interaction": SUBSCRIPTION_CODES.map(|code| json!({ "code": code })),
        "versioning": "versioned", "readHistory": false, "updateCreate": false,
        "conditionalCreate": false, "conditionalUpdate": false,
        "conditionalDelete": "not-supported", "documentation": SUBSCRIPTIONS,
        "searchParam": params,
        "operation": [
            operation("status", "Of one, or of the type with id and status."),
            operation("events", "With eventsSinceNumber, eventsUntilNumber and content; up to 1,000."),
        ],
    })
}

/// Where tokens are asked for, as clients of version 1 look for it.
fn oauth_uris(base: &str, has_people: bool) -> Vec<Value> {
    let of_people = [("authorize", "auth/authorize"), ("revoke", "auth/revoke")];
    let of_people = of_people.into_iter().filter(|_| has_people);
    let all = [("token", "auth/token")].into_iter().chain(of_people);
    all.map(|(name, path)| json!({ "url": name, "valueUri": format!("{base}/{path}") })).collect()
}

/// What SMART clients look for (SMART App Launch 2.2, section 9). `has_people` is whether people sign in.
pub fn smart_configuration(base: &str, has_people: bool) -> Value {
    let mut told = json!({
        "token_endpoint": format!("{base}/auth/token"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES384", "RS384"],
        "scopes_supported": ["system/*.cruds"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    });
    if has_people {
        let of_people = json!({
            "issuer": base,
            "jwks_uri": format!("{base}/auth/jwks"),
            "authorization_endpoint": format!("{base}/auth/authorize"),
            "revocation_endpoint": format!("{base}/auth/revoke"),
            "code_challenge_methods_supported": ["S256"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "scopes_supported": [
                "openid", "fhirUser", "launch", "launch/patient", "patient/*.rs", "user/*.cruds",
                "system/*.cruds",
            ],
            "capabilities": [
                "launch-ehr", "launch-standalone", "client-public",
                "client-confidential-asymmetric", "sso-openid-connect", "context-banner",
                "context-ehr-patient", "context-ehr-encounter", "context-standalone-patient",
                "permission-patient", "permission-user", "permission-v1", "permission-v2",
            ],
        });
        let of_people = of_people.as_object().cloned().unwrap_or_default();
        told.as_object_mut().into_iter().for_each(|told| told.extend(of_people.clone()));
    }
    told
}

#[cfg(test)]
mod tests {
    use keepwell_fhir::interaction::Method;

    use super::*;

    #[test]
    fn all_that_is_told_is_served() {
        let statement = statement("https://gateway.example/fhir", "2026-01-01", true);
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        assert!(resources.len() > 40, "{}", resources.len());
        let told: Vec<_> = resources[0]["interaction"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["code"].as_str().unwrap())
            .collect();
        for (method, path, code) in [
            (Method::Post, "Observation", "create"),
            (Method::Get, "Observation/1", "read"),
            (Method::Get, "Observation/1/_history/2", "vread"),
            (Method::Put, "Observation/1", "update"),
            (Method::Put, "Observation?identifier=a|b", "update"),
            (Method::Patch, "Observation/1", "patch"),
            (Method::Get, "Observation/1/_history", "history-instance"),
            (Method::Get, "Observation", "search-type"),
            (Method::Post, "Observation/_search", "search-type"),
            (Method::Get, "Patient/1/Observation", "search-type"),
            (Method::Post, "Patient/1/Observation/_search?code=x", "search-type"),
        ] {
            let (path, query) = path.split_once('?').map_or((path, None), |(a, b)| (a, Some(b)));
            let interaction = Interaction::parse(method, path, query).unwrap();
            assert_eq!(Served::of(interaction).unwrap().code(), code);
            assert!(told.contains(&code), "{code}");
        }
        assert_eq!(told.len(), CODES.len());
    }

    #[test]
    fn what_is_told_of_subscriptions_is_served_and_nothing_else() {
        let statement = statement("https://gateway.example/fhir", "2026-01-01", false);
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        let own: Vec<_> = resources.iter().filter(|it| it["type"] == SUBSCRIPTION).collect();
        let [own] = own.as_slice() else { panic!("{own:?}") };
        assert_eq!(own["extension"].as_array().unwrap().len(), Topic::ALL.len());
        for (method, path, expected) in [
            (Method::Post, "Subscription", Some("create")),
            (Method::Get, "Subscription/1", Some("read")),
            (Method::Put, "Subscription/1", Some("update")),
            (Method::Delete, "Subscription/1", Some("delete")),
            (Method::Get, "Subscription", Some("search-type")),
            (Method::Get, "Subscription/$status", Some("$status")),
            (Method::Get, "Subscription/1/$status", Some("$status")),
            (Method::Get, "Subscription/1/$events", Some("$events")),
            (Method::Post, "Subscription/$validate", None),
            (Method::Patch, "Subscription/1", None),
            (Method::Get, "Subscription/1/_history", None),
            (Method::Get, "Subscription/1/_history/1", None),
            (Method::Get, "Subscription/_history", None),
            (Method::Put, "Subscription?status=off", None),
            (Method::Delete, "Subscription?status=off", None),
        ] {
            let (path, query) = path.split_once('?').map_or((path, None), |(a, b)| (a, Some(b)));
            let served = Served::of(Interaction::parse(method, path, query).unwrap());
            assert_eq!(served.ok().map(|it| it.code()), expected, "{method} {path}");
        }
        assert_eq!(own["interaction"].as_array().unwrap().len(), SUBSCRIPTION_CODES.len());
    }

    #[test]
    fn a_compartment_is_what_is_about_its_patient() {
        for (path, expected) in [
            ("Patient/7/Observation", "patient=Patient/7"),
            ("Patient/7/Observation?code=x&patient=8", "code=x&patient=8&patient=Patient/7"),
            ("Patient/7/Coverage", "patient=Patient/7"),
            ("Patient/7/Patient", "_id=7"),
        ] {
            let (path, query) = path.split_once('?').map_or((path, None), |(a, b)| (a, Some(b)));
            let interaction = Interaction::parse(Method::Get, path, query).unwrap();
            let Ok(Served::Search(_, query)) = Served::of(interaction) else { panic!("{path}") };
            assert_eq!(query.as_str(), expected, "{path}");
        }
        let interaction = Interaction::parse(Method::Get, "Patient/7/Organization", None).unwrap();
        assert_eq!(Served::of(interaction).unwrap_err().status(), Status::NOT_FOUND);
    }

    #[test]
    fn what_is_not_told_is_refused_with_what_to_do() {
        for (method, path) in [
            (Method::Get, ""),
            (Method::Get, "_history"),
            (Method::Get, "Observation/_history"),
            (Method::Get, "Patient/1/*"),
            (Method::Get, "Encounter/1/Observation"),
            (Method::Get, "Patient/$everything"),
            (Method::Get, "Patient/$summary"),
        ] {
            let interaction = Interaction::parse(method, path, None).unwrap();
            let refused = Served::of(interaction).unwrap_err();
            assert_eq!(refused.status(), Status::METHOD_NOT_ALLOWED);
        }
        for of in ["Organization", "Practitioner", "Location"] {
            for method in [Method::Get, Method::Post] {
                let interaction = Interaction::parse(method, of, None).unwrap();
                assert_eq!(Served::of(interaction).unwrap_err().status(), Status::NOT_FOUND);
            }
            // It may have come with a patient's.
            let read = Interaction::parse(Method::Get, &format!("{of}/1"), None).unwrap();
            assert_eq!(Served::of(read).unwrap().code(), "read");
        }
        let delete = Interaction::parse(Method::Delete, "Observation/1", None).unwrap();
        assert!(Served::of(delete).unwrap_err().to_json().contains("redact"));
    }
}

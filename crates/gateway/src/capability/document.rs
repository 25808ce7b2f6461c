//! The page of the documentation that says what is served: asked of the same code that serves it.
//!
//! Not here: the other pages.

use std::fmt::Write as _;

use keepwell_ccda::map::SECTIONS;
use keepwell_fhir::{
    interaction::{Interaction, Method},
    outcome::Issue,
    search::table::{self, parameters},
    subscription::Topic,
};

use super::{CODES, SUBSCRIPTION_CODES, SUBSCRIPTIONS, Served, is_about_patients, of_nobody};
use crate::facts;

/// Every interaction of R4 and what is to be said of it, by an example.
const INTERACTIONS: [(&str, Method, &str, &str); 32] = [
    (
        "read",
        Method::Get,
        "Observation/1",
        "The exact bytes that were sent, with the version and time of the ledger in `meta`. `If-None-Match` is obeyed.",
    ),
    ("vread", Method::Get, "Observation/1/_history/2", "Any version that may be seen."),
    (
        "update",
        Method::Put,
        "Observation/1",
        "Adds a version. `If-Match` and `If-None-Match` are decided by the ledger. No update creates under an id of the sender's.",
    ),
    (
        "conditional update",
        Method::Put,
        "Patient?identifier=system%7Cvalue",
        "On one identifier alone. It creates where nothing is found.",
    ),
    (
        "patch",
        Method::Patch,
        "Observation/1",
        "A JSON Patch (`application/json-patch+json`), with `If-Match`. FHIRPath patches are refused.",
    ),
    ("conditional patch", Method::Patch, "Patient?identifier=system%7Cvalue", ""),
    ("delete", Method::Delete, "Observation/1", ""),
    ("conditional delete", Method::Delete, "Patient?identifier=system%7Cvalue", ""),
    (
        "history of a resource",
        Method::Get,
        "Observation/1/_history",
        "With `_count`; newest first.",
    ),
    ("history of a type", Method::Get, "Observation/_history", ""),
    ("history of everything", Method::Get, "_history", ""),
    (
        "create",
        Method::Post,
        "Observation",
        "201 once it is sealed, stored by its custodians, and final on the ledger, or proposed where its kind needs signatures. The gateway gives the id. `If-None-Exist` with one identifier: exactly once, whoever else tries at the same time, since the ledger holds it unique.",
    ),
    (
        "search",
        Method::Get,
        "Observation?patient=1",
        "Of a patient's records, and for Patients. With modifiers, prefixes, chains, `_has`, `_include`, `_revinclude`, `_sort`, `_count`, `_elements` and `_summary` (but not `count`); pages stay as they were at the first one. A search that would need keys that nobody granted is refused, and nothing is counted (`_total`).",
    ),
    ("search by POST", Method::Post, "Observation/_search", "As by GET."),
    ("search in all types", Method::Get, "?_lastUpdated=2026", ""),
    (
        "search in a compartment",
        Method::Get,
        "Patient/1/Observation",
        "What is about the patient: `Observation?patient=1`. Not what the patient did for another one.",
    ),
    (
        "batch and transaction",
        Method::Post,
        "",
        "Up to 1,024 entries and 16 MiB. A transaction is one of the ledger's: all of it, or nothing. Full URLs and conditional references are rewritten before anything is sealed; what is about nobody is kept with the only patient of the Bundle. `Prefer: return=representation` shows what was written. A search or read among the entries sees what they wrote, and fails by itself.",
    ),
    (
        "capabilities",
        Method::Get,
        "metadata",
        "Made of the tables that the server itself answers by.",
    ),
    (
        "`$validate`",
        Method::Post,
        "Observation/$validate",
        "Tells all that would be told of a create, without one: JSON, structure (elements, types, how often each is there), and whose it is. By itself or in Parameters, with `mode` and `profile` (R4's own). See [Connecting a system](integrate.md#what-is-looked-at-when-a-resource-is-written) for what is not looked at.",
    ),
    (
        "`$import-ccda`",
        Method::Post,
        "$import-ccda",
        "A C-CDA document (R1.1 to R2.1, as `application/hl7-cda+xml`): kept sealed as it came, and what its sections say as resources, all or nothing, once. The answer tells of each section what is in the original alone. See [C-CDA documents](#c-cda-documents).",
    ),
    (
        "`$everything`",
        Method::Get,
        "Patient/1/$everything",
        "All that may be seen of a patient and that the token is good for, with `_type`, `_since` and `_count`; not with dates of care.",
    ),
    ("`$everything` of all patients", Method::Get, "Patient/$everything", ""),
    (
        "`$summary`",
        Method::Get,
        "Patient/1/$summary",
        "An International Patient Summary (IPS 1.1) as a document, made anew of what may be read of the patient and what the token is good for. A section of another type says `unavailable`, as one without records does. `profile` may name the IPS Bundle; `identifier` is not taken.",
    ),
    ("`$summary` of whom an identifier finds", Method::Get, "Patient/$summary", ""),
    (
        "`$export` of everything",
        Method::Get,
        "$export",
        "Bulk Data Access 2.0, for systems: all that the token is good for and the ledger allows, as NDJSON. With `_type`, `_since`, `_until`, `_typeFilter`, `_elements` and `_outputFormat`; `includeAssociatedData` is refused, or left out with `Prefer: handling=lenient`.",
    ),
    (
        "`$export` of patients",
        Method::Get,
        "Patient/$export",
        "The same; with POST and a Parameters resource of the patients whom `patient` names.",
    ),
    (
        "`$export` of a group",
        Method::Get,
        "Group/1/$export",
        "The same, of the Patients whom the Group names as members (not `inactive`). Who is no patient here, or may not be seen, is left out unsaid.",
    ),
    (
        "`$validate` of what is stored",
        Method::Get,
        "Observation/1/$validate",
        "Of what may be read, after an access to it.",
    ),
    (
        "subscribe",
        Method::Post,
        "Subscription",
        "By topic, as R4 has it of the Subscriptions R5 Backport 1.1: told by `rest-hook`, with a handshake first, at a host that the operator lists. `empty` and `id-only`; `full-resource` is refused. See [Subscriptions](#subscriptions).",
    ),
    (
        "end a subscription",
        Method::Delete,
        "Subscription/1",
        "It is forgotten, with its events. An update with the status `off` ends it and keeps it for 30 days; one with `requested` begins it again after an error.",
    ),
    (
        "`$status`",
        Method::Get,
        "Subscription/1/$status",
        "Of one, or of all that are one's own with `id` and `status`.",
    ),
    (
        "`$events`",
        Method::Get,
        "Subscription/1/$events?eventsSinceNumber=1",
        "What was told, under the numbers that it had; `content` may be less or more than what is sent. What may not be read any more has a number alone.",
    ),
];

/// The page.
pub fn document() -> String {
    let mut page = String::from(
        "# What a gateway serves\n\n\
         This page is made from the tables by which `keepwell gateway` serves and refuses; a test compares it with them\n\
         (`KEEPWELL_GOLDEN=write cargo test -p keepwell-gateway --test documentation` writes it anew).\n\n\
         FHIR R4 (4.0.1) in JSON. XML is not served, and no other version.\n\n\
         ## Interactions\n\n\
         | interaction | example | served | how, or why not |\n|---|---|---|---|\n",
    );
    for (name, method, example, how) in INTERACTIONS {
        let (served, how) = match served(method, example) {
            Ok(()) => ("yes", how.to_owned()),
            Err(why) if how.is_empty() => ("no", why),
            Err(_) => ("no", how.to_owned()),
        };
        let how = how.replace('|', "\\|");
        let _ = writeln!(page, "| {name} | `{method} /{example}` | {served} | {how} |");
    }
    page += "\n## Resource types and their search parameters\n\n";
    let _ = writeln!(
        page,
        "Of each type there are {}. A search of a type takes these parameters beside `_id`, `_lastUpdated` and those that shape an answer:\n",
        CODES.join(", ")
    );
    page += "| type | search parameters |\n|---|---|\n";
    for of in table::resource_types().filter(|of| is_about_patients(of)) {
        let names = parameters(of).map(|it| it.name).filter(|it| !it.starts_with('_'));
        let names: Vec<_> = names.map(|it| format!("`{it}`")).collect();
        let _ = writeln!(page, "| {of} | {} |", names.join(", "));
    }
    page += "\n";
    for of in table::resource_types() {
        if let Some(facts) = facts::documentation(of) {
            let _ = writeln!(page, "**{of}.** {facts}");
        }
    }
    let _ = writeln!(page, "**Binary.** {}", super::BINARY);
    page += "\n## Subscriptions\n\n| topic | what happened |\n|---|---|\n";
    for it in Topic::ALL {
        let _ = writeln!(page, "| `{}` | {} |", it.canonical(), it.says());
    }
    let codes = SUBSCRIPTION_CODES.join(", ");
    let _ = writeln!(
        page,
        "\nOf Subscription there are {codes}, by `_id`, `status`, `url` and `criteria`. {SUBSCRIPTIONS}"
    );
    page += "\n## C-CDA documents\n\n| section | entries become | mapped | left to the original |\n|---|---|---|---|\n";
    for it in &SECTIONS {
        let _ = writeln!(page, "| {} | {} | {} | {} |", it.name, it.becomes, it.extent(), it.left);
    }
    page += "\n## Types that are about no patient\n";
    let others: Vec<_> = table::resource_types().filter(|of| !is_about_patients(of)).collect();
    let _ = write!(
        page,
        "\nThese types are about no patient. They are kept in the chart of the patient in whose transaction they come; of each\n\
         there are {}, and searches find them by `_include`: {}.\n",
        of_nobody().join(", "),
        others.join(", ")
    );
    page
}

/// Whether an example is served, or why it is not.
fn served(method: Method, example: &str) -> Result<(), String> {
    let (path, query) = match example.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (example, None),
    };
    let interaction = Interaction::parse(method, path, query).map_err(|it| it.to_string())?;
    if interaction == Interaction::Capabilities {
        return Ok(());
    }
    Served::of(interaction).map(drop).map_err(|outcome| {
        outcome.issues().iter().map(Issue::details).collect::<Vec<_>>().join("; ")
    })
}

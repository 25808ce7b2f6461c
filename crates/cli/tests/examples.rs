//! Resources that others wrote, through a pilot's gateway: loaded in transactions, read back equal, and found by search.
//!
//! These are every official example of FHIR R4 (the npm package `hl7.fhir.r4.examples`), and the Bundles of Synthea in
//! the folder `synthea/` of `KEEPWELL_DATA`, or of `shared/data` beside the repository.
//!
//! An example goes into one transaction with the patient whom it is about, and with what it refers to; what is about
//! nobody goes with a Patient of the test. What comes back must be what was sent, digit by digit and in its order,
//! but for the id, the version and time in `meta`, and references to what came in the same transaction. What the
//! gateway refuses is listed in [`REFUSED`], and nothing else is.
//!
//! By default a few small examples of each type are loaded, all Patients, and two of Synthea's. `KEEPWELL_EXAMPLES=all`
//! loads them all.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use common::{
    desk::{Desk, at_a_desk},
    installed,
};
use futures::{StreamExt as _, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Below it the examples refer to each other.
const SERVER: &str = "http://hl7.org/fhir";
/// By default: examples of a type, and bytes of each.
const SAMPLE: usize = 3;
const SAMPLE_BYTES_MAX: usize = 64 * 1024;
/// By default: Bundles of the generator.
const GENERATED: usize = 2;
/// What is about nobody is sent in so many, of so many bytes together.
const ENTRIES_MAX: usize = 200;
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Requests under way.
const AT_ONCE: usize = 8;
/// A token is good for five minutes.
const TOKEN: Duration = Duration::from_secs(120);
/// The elements that say whom a resource is about, the first ones first.
const ABOUT: [&str; 8] =
    ["subject", "patient", "beneficiary", "for", "individual", "actor", "candidate", "deliverTo"];

/// Bytes of a request, and what is said of more.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
const TOO_LARGE: &str = "has more than 16777216 bytes";

/// The words of a refusal, and the files that are refused so.
type Refused<'a> = (&'a str, &'a [&'a str]);

/// The element of type uri, of those that the examples have, in which a full URL is replaced (R4, 3.1.0.11.2).
const LINK: &str = "valueUri";

/// Types that are about a patient and have no search parameter `patient`.
const WITH_SUBJECT: [&str; 2] = ["AdverseEvent", "SupplyRequest"];

/// What the gateway refuses, and the words by which it says why.
const REFUSED: [Refused<'_>; 4] = [
    (TOO_LARGE, &["Bundle-dataelements", "Bundle-resources"]),
    // Its patient has an identifier alone, which no Patient has.
    ("the patient whom it is about is to be one, and 0 are", &["Claim-100154"]),
    // Their patients are no Patients of the examples.
    ("the patient whom it is about is not here", &["Bundle-hla-1", "ServiceRequest-myringotomy"]),
    (
        "it is about several patients",
        &[
            "Bundle-10bb101f-a121-4264-a920-67be9cb82c74",
            "Bundle-3a0707d3-549e-4467-b8b8-5a2ab3800efe",
            "Bundle-72ac8493-52ac-41bd-8d5d-7258c289b5ea",
            "Bundle-b248b1b2-1686-4b94-9936-37d7a5f94b51",
            "Bundle-bundle-references",
            "Bundle-bundle-transaction",
        ],
    ),
];

/// What finds an example that has the element: the search parameters of US Core's types.
const SEARCHED: &[(&str, &[(&str, &str)])] = &[
    (
        "AllergyIntolerance",
        &[
            ("clinical-status", "/clinicalStatus"),
            ("code", "/code"),
            ("category", "/category"),
            ("date", "/recordedDate"),
        ],
    ),
    ("CarePlan", &[("category", "/category"), ("status", "/status"), ("date", "/period")]),
    ("CareTeam", &[("status", "/status"), ("category", "/category")]),
    (
        "Condition",
        &[
            ("clinical-status", "/clinicalStatus"),
            ("category", "/category"),
            ("code", "/code"),
            ("encounter", "/encounter"),
            ("onset-date", "/onsetDateTime"),
            ("abatement-date", "/abatementDateTime"),
            ("recorded-date", "/recordedDate"),
        ],
    ),
    ("Coverage", &[("status", "/status"), ("type", "/type"), ("identifier", "/identifier")]),
    ("Device", &[("type", "/type"), ("status", "/status"), ("identifier", "/identifier")]),
    (
        "DiagnosticReport",
        &[
            ("category", "/category"),
            ("code", "/code"),
            ("status", "/status"),
            ("date", "/effectiveDateTime"),
            ("issued", "/issued"),
            ("result", "/result"),
        ],
    ),
    (
        "DocumentReference",
        &[
            ("category", "/category"),
            ("type", "/type"),
            ("status", "/status"),
            ("date", "/date"),
            ("period", "/context/period"),
            ("identifier", "/identifier"),
        ],
    ),
    (
        "Encounter",
        &[
            ("class", "/class"),
            ("type", "/type"),
            ("status", "/status"),
            ("date", "/period"),
            ("identifier", "/identifier"),
            ("location", "/location/0/location"),
            ("discharge-disposition", "/hospitalization/dischargeDisposition"),
        ],
    ),
    (
        "Goal",
        &[
            ("lifecycle-status", "/lifecycleStatus"),
            ("target-date", "/target/0/dueDate"),
            ("category", "/category"),
        ],
    ),
    (
        "Immunization",
        &[
            ("status", "/status"),
            ("date", "/occurrenceDateTime"),
            ("vaccine-code", "/vaccineCode"),
            ("lot-number", "/lotNumber"),
        ],
    ),
    (
        "MedicationDispense",
        &[("status", "/status"), ("type", "/type"), ("whenhandedover", "/whenHandedOver")],
    ),
    (
        "MedicationRequest",
        &[
            ("status", "/status"),
            ("intent", "/intent"),
            ("authoredon", "/authoredOn"),
            ("encounter", "/encounter"),
            ("requester", "/requester"),
            ("code", "/medicationCodeableConcept"),
            ("medication", "/medicationReference"),
        ],
    ),
    (
        "Observation",
        &[
            ("category", "/category"),
            ("code", "/code"),
            ("status", "/status"),
            ("date", "/effectiveDateTime"),
            ("date", "/effectivePeriod"),
            ("encounter", "/encounter"),
            ("performer", "/performer"),
            ("value-concept", "/valueCodeableConcept"),
            ("value-string", "/valueString"),
            ("component-code", "/component/0/code"),
            ("specimen", "/specimen"),
            ("device", "/device"),
        ],
    ),
    (
        "Patient",
        &[
            ("birthdate", "/birthDate"),
            ("family", "/name/0/family"),
            ("given", "/name/0/given"),
            ("name", "/name/0/given"),
            ("gender", "/gender"),
            ("identifier", "/identifier"),
            ("death-date", "/deceasedDateTime"),
            ("address-city", "/address/0/city"),
            ("address-postalcode", "/address/0/postalCode"),
            ("organization", "/managingOrganization"),
        ],
    ),
    (
        "Procedure",
        &[
            ("status", "/status"),
            ("code", "/code"),
            ("date", "/performedDateTime"),
            ("date", "/performedPeriod"),
            ("encounter", "/encounter"),
        ],
    ),
    ("Provenance", &[("recorded", "/recorded"), ("target", "/target")]),
    (
        "QuestionnaireResponse",
        &[
            ("status", "/status"),
            ("authored", "/authored"),
            ("questionnaire", "/questionnaire"),
            ("author", "/author"),
        ],
    ),
    ("RelatedPerson", &[("name", "/name/0/family"), ("gender", "/gender")]),
    (
        "ServiceRequest",
        &[
            ("status", "/status"),
            ("category", "/category"),
            ("code", "/code"),
            ("authored", "/authoredOn"),
            ("intent", "/intent"),
        ],
    ),
    ("Specimen", &[("type", "/type"), ("status", "/status"), ("identifier", "/identifier")]),
];

/// A resource that somebody wrote.
struct Example {
    /// Its file, without `.json`.
    file: String,
    full_url: String,
    text: String,
    value: Value,
}

impl Example {
    fn new(file: &str, full_url: &str, text: String) -> Self {
        let value = serde_json::from_str(&text).unwrap();
        Self { file: file.to_owned(), full_url: full_url.to_owned(), text, value }
    }

    fn of_type(&self) -> &str {
        self.value["resourceType"].as_str().unwrap()
    }

    /// A Patient to whom others refer, and of whom no example says more.
    fn patient(id: &str) -> Self {
        let text = json!({ "resourceType": "Patient", "id": id, "name": [{ "text": id }] });
        Self::new("", &format!("{SERVER}/Patient/{id}"), text.to_string())
    }
}

/// An example that was loaded, and came back.
struct Back<'a> {
    example: &'a Example,
    /// Its id at the gateway.
    id: String,
    /// That of its patient.
    patient: String,
    value: Value,
}

#[test]
fn the_official_examples_come_back() {
    let Some(folder) = installed::node("examples.json") else { return };
    let mut examples = official(&folder.join("node_modules/hl7.fhir.r4.examples"));
    let groups = groups(&mut examples);
    check(&examples, &groups, &REFUSED);
}

#[test]
fn the_bundles_of_a_generator_come_back() {
    let folder = match env::var_os("KEEPWELL_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let Ok(files) = fs::read_dir(folder.join("synthea")) else {
        println!("SKIPPED: no synthea/ in {}; set KEEPWELL_DATA", folder.display());
        return;
    };
    let mut files: Vec<_> = files.map(|it| it.unwrap().path()).collect();
    files.sort_by_key(|it| fs::metadata(it).unwrap().len());
    // The smallest ones: the largest take minutes.
    let files = if is_all() { &files[..] } else { &files[..GENERATED] };
    let (mut examples, mut groups) = (Vec::new(), Vec::new());
    for file in files {
        let bundle: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let entries = bundle["entry"].as_array().unwrap();
        let first = examples.len();
        examples.extend(entries.iter().map(|it| {
            Example::new(name, it["fullUrl"].as_str().unwrap(), it["resource"].to_string())
        }));
        if (first..examples.len()).any(|at| examples[at].of_type() == "Patient") {
            groups.push((first..examples.len()).collect());
        } else {
            of_nobody(&mut examples, (first..first + entries.len()).collect(), &mut groups);
        }
    }
    check(&examples, &groups, &[]);
}

/// Loads groups of examples, and panics unless all but those listed come back and are found.
fn check(examples: &[Example], groups: &[Vec<usize>], refused: &[Refused<'_>]) {
    let mut found = Findings::default();
    at_a_desk(async |desk| all_come_back(desk, (examples, groups), &mut found).await);
    let (back, all, searches) = (found.back, examples.len(), found.searches);
    println!(
        "{back} of {all} came back, {} were refused; {searches} searches",
        found.refused.len()
    );
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
    let expected: BTreeMap<_, _> = examples
        .iter()
        .filter_map(|it| {
            let reason = refused.iter().find(|(_, files)| files.contains(&it.file.as_str()))?;
            Some((it.file.clone(), reason.0))
        })
        .collect();
    let is_as_listed = |(file, text): (&String, &String)| {
        expected.get(file).is_some_and(|words| text.contains(words))
    };
    let other: Vec<_> = found.refused.iter().filter(|it| !is_as_listed(*it)).collect();
    assert!(other.is_empty(), "refused, and not listed so: {other:#?}");
    let taken: Vec<_> = expected.keys().filter(|it| !found.refused.contains_key(*it)).collect();
    assert!(taken.is_empty(), "listed as refused, and taken: {taken:?}");
}

/// What became of the examples.
#[derive(Default)]
struct Findings {
    back: usize,
    searches: usize,
    /// By its file, what the gateway said.
    refused: BTreeMap<String, String>,
    wrong: Vec<String>,
}

async fn all_come_back(
    desk: &mut Desk<'_>,
    (examples, groups): (&[Example], &[Vec<usize>]),
    found: &mut Findings,
) {
    let mut renewed = Instant::now();
    for group in groups {
        if renewed.elapsed() > TOKEN {
            (desk.token, renewed) = (desk.token_of("ehr"), Instant::now());
        }
        let mut group: Vec<_> = group.iter().map(|at| &examples[*at]).collect();
        let begun = Instant::now();
        let ids = load(desk, &mut group, &mut found.refused).await;
        let loaded = begun.elapsed();
        let back = read_back(desk, &group, &ids, &mut found.wrong).await;
        let read = begun.elapsed();
        found.back += back.len();
        search(desk, &back, found).await;
        println!(
            "{} with {}: written in {} ms, read in {} ms, searched in {} ms",
            group.len(),
            group.first().map_or("", |it| it.full_url.as_str()),
            loaded.as_millis(),
            (read - loaded).as_millis(),
            (begun.elapsed() - read).as_millis()
        );
    }
}

fn is_all() -> bool {
    env::var("KEEPWELL_EXAMPLES").is_ok_and(|it| it == "all")
}

/// The official examples, or some of them, in the order of their files.
fn official(folder: &Path) -> Vec<Example> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.retain(|it| it.extension().is_some_and(|it| it == "json"));
    files.sort();
    let mut of_type: BTreeMap<String, usize> = BTreeMap::new();
    let mut examples = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let text = text.trim_start_matches('\u{feff}').to_owned();
        let value: Value = serde_json::from_str(&text).unwrap();
        // The package's own description is none.
        let (Some(of), Some(id)) = (value["resourceType"].as_str(), value["id"].as_str()) else {
            continue;
        };
        // They are the gateway's own, and in no chart.
        if of == "Subscription" {
            continue;
        }
        let count = of_type.entry(of.to_owned()).or_default();
        let is_sample = *count < SAMPLE && (text.len() <= SAMPLE_BYTES_MAX || *count == 0);
        if is_all() || of == "Patient" || is_sample {
            *count += 1;
            let file = file.file_stem().unwrap().to_str().unwrap();
            examples.push(Example::new(file, &format!("{SERVER}/{of}/{id}"), text.clone()));
        }
    }
    examples
}

/// Which examples are sent together: with each Patient what is about them, and what these refer to.
fn groups(examples: &mut Vec<Example>) -> Vec<Vec<usize>> {
    let about: Vec<_> = examples.iter().map(patient_of).collect();
    let mut patients: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for patient in about.iter().flatten() {
        if !examples.iter().any(|it| it.full_url == *patient) {
            examples.push(Example::patient(patient.rsplit('/').next().unwrap()));
        }
    }
    let mut group: BTreeMap<usize, String> = BTreeMap::new();
    group.extend(about.into_iter().enumerate().filter_map(|(at, it)| Some((at, it?))));
    let places: BTreeMap<_, _> =
        examples.iter().enumerate().map(|(at, it)| (it.full_url.clone(), at)).collect();
    let links: Vec<Vec<usize>> = examples
        .iter()
        .map(|it| references(it).iter().filter_map(|it| places.get(it).copied()).collect())
        .collect();
    // What refers to something of a patient's, or is referred to by it, goes with it.
    loop {
        let before = group.len();
        for (at, to) in links.iter().enumerate() {
            for other in to {
                if let Some(patient) = group.get(&at).cloned() {
                    group.entry(*other).or_insert(patient);
                } else if let Some(patient) = group.get(other).cloned() {
                    group.insert(at, patient);
                }
            }
        }
        if group.len() == before {
            break;
        }
    }
    for (at, example) in examples.iter().enumerate().filter(|(_, it)| it.of_type() == "Patient") {
        group.insert(at, example.full_url.clone());
    }
    let (mut nobodys, mut alone) = (Vec::new(), Vec::new());
    for (at, example) in examples.iter().enumerate() {
        match group.remove(&at) {
            _ if example.text.len() > BYTES_MAX => alone.push(at),
            Some(patient) => patients.entry(patient).or_default().push(at),
            None => nobodys.push(at),
        }
    }
    let mut groups: Vec<_> = patients.into_values().collect();
    of_nobody(examples, nobodys, &mut groups);
    for at in alone {
        of_nobody(examples, vec![at], &mut groups);
    }
    groups
}

/// Adds groups of examples that are about nobody, each with a Patient.
fn of_nobody(examples: &mut Vec<Example>, places: Vec<usize>, groups: &mut Vec<Vec<usize>>) {
    let (mut group, mut bytes, mut names) = (Vec::new(), 0, BTreeSet::new());
    for at in places {
        let example = &examples[at];
        let (size, name) = (example.text.len(), example.full_url.clone());
        if group.is_empty()
            || group.len() > ENTRIES_MAX
            || bytes + size > BYTES_MAX
            || names.contains(&name)
        {
            groups.extend((!group.is_empty()).then(|| std::mem::take(&mut group)));
            (bytes, names) = (0, BTreeSet::new());
            group.push(examples.len());
            examples.push(Example::patient(&format!("nobodys-{}", groups.len())));
        }
        bytes += size;
        names.insert(name);
        group.push(at);
    }
    groups.extend((!group.is_empty()).then_some(group));
}

/// The full URL of the patient whom an example is about.
fn patient_of(example: &Example) -> Option<String> {
    let is_patient = |it: &String| it.starts_with("http://hl7.org/fhir/Patient/");
    ABOUT.iter().find_map(|element| {
        let mut found = Vec::new();
        each_reference(&example.value[*element], "", &mut |it| found.push(full_url(it)));
        found.into_iter().find(is_patient)
    })
}

fn references(example: &Example) -> Vec<String> {
    let mut found = Vec::new();
    // What is inside a Bundle refers to what is inside it, and the guide lists everything.
    if !matches!(example.of_type(), "Bundle" | "ImplementationGuide") {
        each_reference(&example.value, "", &mut |it| found.push(full_url(it)));
    }
    found
}

/// A reference as a full URL: below the examples' server, and of no version.
fn full_url(reference: &str) -> String {
    let resource = reference.split("/_history/").next().unwrap();
    let resource = resource.split('#').next().unwrap();
    if resource.contains(':') { resource.to_owned() } else { format!("{SERVER}/{resource}") }
}

fn each_reference(value: &Value, key: &str, then: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) if key == "reference" => then(text),
        Value::Array(items) => items.iter().for_each(|it| each_reference(it, key, then)),
        Value::Object(fields) => fields.iter().for_each(|(key, it)| each_reference(it, key, then)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Sends a group, without what is refused of it: that is taken from `group`. Returns the ids of what is left.
async fn load(
    desk: &Desk<'_>,
    group: &mut Vec<&Example>,
    refused: &mut BTreeMap<String, String>,
) -> Vec<String> {
    loop {
        let entries: Vec<_> = group
            .iter()
            .map(|it| {
                format!(
                    r#"{{"fullUrl":{:?},"resource":{},"request":{{"method":"POST","url":{:?}}}}}"#,
                    it.full_url,
                    it.text,
                    it.of_type()
                )
            })
            .collect();
        let entries = entries.join(",");
        let bundle =
            format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}"#);
        let is_large = bundle.len() > REQUEST_BYTES_MAX;
        let ask = desk.ask(Method::POST, "").header("content-type", "application/fhir+json");
        let answer = match ask.body(bundle).send().await {
            Ok(answer) => Ok((answer.status(), answer.text().await.unwrap())),
            Err(error) => Err(error),
        };
        let (status, text) = match answer {
            Ok(answer) => answer,
            // It hangs up on what is too large, and what it says of it may be lost.
            Err(_) if is_large => (StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE.to_owned()),
            Err(error) => panic!("{} with {}: {error}", group.len(), group[0].full_url),
        };
        if is_large {
            let example = group.pop().unwrap();
            assert!(text.contains(TOO_LARGE), "{text}");
            refused.insert(example.file.clone(), text);
            continue;
        }
        let answer: Value = serde_json::from_str(&text).unwrap();
        if status == 200 {
            let location = |it: &Value| it["response"]["location"].as_str().unwrap().to_owned();
            let id = |it: String| {
                let path = it.split("/_history/").next().unwrap();
                path.rsplit('/').next().unwrap().to_owned()
            };
            return answer["entry"].as_array().unwrap().iter().map(location).map(id).collect();
        }
        let at = text.split("Bundle.entry[").nth(1).and_then(|it| it.split(']').next());
        // The last one is alone with its Patient.
        let at = at.map_or(group.len() - 1, |it| it.parse().unwrap());
        let is_known = text.contains("Bundle.entry[") || group.len() <= 2;
        assert!(is_known, "{} with {}: {text}", group.len(), group[0].full_url);
        let example = group.remove(at);
        assert!(!example.file.is_empty(), "{text}");
        refused.insert(example.file.clone(), format!("{} {text}", status.as_u16()));
    }
}

/// Reads each of a group, and compares it with what was sent.
async fn read_back<'a>(
    desk: &Desk<'_>,
    group: &[&'a Example],
    ids: &[String],
    wrong: &mut Vec<String>,
) -> Vec<Back<'a>> {
    let names: BTreeMap<_, _> = group
        .iter()
        .zip(ids)
        .map(|(it, id)| (it.full_url.as_str(), format!("{}/{id}", it.of_type())))
        .collect();
    let patient = group.iter().position(|it| it.of_type() == "Patient");
    let Some(patient) = patient.map(|at| ids[at].clone()) else { return Vec::new() };
    let read = group.iter().copied().zip(ids).map(|(example, id)| {
        let patient = patient.clone();
        async move {
            let value = desk.get(&format!("{}/{id}", example.of_type())).await;
            Back { example, id: id.clone(), patient, value }
        }
    });
    let back: Vec<_> = stream::iter(read).buffered(AT_ONCE).collect().await;
    for it in &back {
        let mut expected = it.example.value.clone();
        if it.example.of_type() != "Bundle" {
            as_stored(&mut expected, ("", ""), &names);
        }
        let (expected, came) = (without_version(expected), without_version(it.value.clone()));
        if let Some(difference) = difference(&expected.to_string(), &came.to_string()) {
            wrong.push(format!("{} {difference}", it.example.full_url));
        }
        assert_eq!(it.value["id"], it.id);
    }
    back
}

/// Rewrites what refers to something of the same transaction (R4, 3.1.0.11.2).
fn as_stored(value: &mut Value, (outer, key): (&str, &str), names: &BTreeMap<&str, String>) {
    match value {
        // Where `reference` is an element of a Reference, and no link of its own.
        Value::String(text) if key == "reference" && !matches!(outer, "" | "education") => {
            let url = full_url(text);
            if let Some(name) = names.get(url.as_str()) {
                let version = if text.contains("/_history/") { "/_history/1" } else { "" };
                let fragment = text.find('#').map_or("", |at| &text[at..]);
                *text = format!("{name}{version}{fragment}");
            }
        }
        Value::String(text) if key == LINK && names.contains_key(text.as_str()) => {
            *text = names[text.as_str()].clone();
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|it| as_stored(it, (outer, key), names));
        }
        Value::Object(fields) => {
            for (inner, it) in fields.iter_mut() {
                as_stored(it, (key, inner), names);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A resource without what the gateway says of it.
fn without_version(mut resource: Value) -> Value {
    let fields = resource.as_object_mut().unwrap();
    fields.shift_remove("id");
    let meta = fields.shift_remove("meta");
    if let Some(Value::Object(mut meta)) = meta {
        meta.shift_remove("versionId");
        meta.shift_remove("lastUpdated");
        if !meta.is_empty() {
            fields.insert("meta".to_owned(), meta.into());
        }
    }
    resource
}

/// Where two texts differ first.
fn difference(expected: &str, came: &str) -> Option<String> {
    if expected == came {
        return None;
    }
    let same = expected.chars().zip(came.chars()).take_while(|(a, b)| a == b).count();
    let around =
        |text: &str| text.chars().skip(same.saturating_sub(60)).take(160).collect::<String>();
    Some(format!("was to be ..{}.. and is ..{}..", around(expected), around(came)))
}

/// Searches for each by its id, and by each value that it has of a parameter.
async fn search(desk: &Desk<'_>, back: &[Back<'_>], found: &mut Findings) {
    let statement = SERVED.get_or_init(|| async { served(&desk.get("metadata").await) }).await;
    // What is about nobody is not found by a patient.
    let about = back
        .iter()
        .filter(|it| it.example.of_type() == "Patient" || names_patient(&it.value, &it.patient));
    let searches = about.flat_map(|it| {
        let of = it.example.of_type();
        let by_id = statement.contains(of).then_some((it, None));
        let table = SEARCHED.iter().find(|(name, _)| *name == of).map_or(&[][..], |it| it.1);
        let by_value = table.iter().filter_map(move |(parameter, pointer)| {
            Some((it, Some((*parameter, value_of(it.value.pointer(pointer)?)?))))
        });
        by_id.into_iter().chain(by_value)
    });
    let asked = searches.map(|(it, by)| async move {
        let of = it.example.of_type();
        let mut form = vec![("_id", it.id.clone())];
        if of != "Patient" {
            let name = if WITH_SUBJECT.contains(&of) { "subject" } else { "patient" };
            form.push((name, format!("Patient/{}", it.patient)));
        }
        form.extend(by.clone());
        let ask = desk.ask(Method::POST, &format!("{of}/_search")).form(&form);
        let ask = ask.header("prefer", "handling=strict");
        let answer: Value = ask.send().await.unwrap().json().await.unwrap();
        let ids: Vec<_> = answer["entry"]
            .as_array()
            .map_or(&[][..], |it| it)
            .iter()
            .map(|it| it["resource"]["id"].clone())
            .collect();
        let is_found = ids == [it.id.clone()];
        (!is_found).then(|| format!("{} by {by:?}: {answer}", it.example.full_url))
    });
    let told: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    found.searches += told.len();
    found.wrong.extend(told.into_iter().flatten());
}

/// Whether the element that says whom a resource is about names a patient.
fn names_patient(resource: &Value, patient: &str) -> bool {
    let name = format!("Patient/{patient}");
    ABOUT.iter().any(|element| {
        let mut is_named = false;
        each_reference(&resource[*element], "", &mut |it| is_named |= it.starts_with(&name));
        is_named
    })
}

/// The types that are searched for.
static SERVED: tokio::sync::OnceCell<BTreeSet<String>> = tokio::sync::OnceCell::const_new();

fn served(statement: &Value) -> BTreeSet<String> {
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    let searched = resources.iter().filter(|it| {
        let codes = it["interaction"].as_array().unwrap();
        codes.iter().any(|it| it["code"] == "search-type")
    });
    searched.map(|it| it["type"].as_str().unwrap().to_owned()).collect()
}

/// What one would search for to find what has a value; nothing where it says nothing.
fn value_of(value: &Value) -> Option<String> {
    let text = |name: &str| value[name].as_str().map(escaped);
    match value {
        Value::String(text) => Some(escaped(text)),
        Value::Array(items) => value_of(items.first()?),
        Value::Object(fields) if fields.contains_key("coding") => value_of(&value["coding"]),
        Value::Object(fields) if fields.contains_key("reference") => {
            text("reference").filter(|it| !it.starts_with('#'))
        }
        // A period is not in its beginning.
        Value::Object(fields) if fields.contains_key("start") => {
            Some(format!("ge{}", text("start")?))
        }
        Value::Object(_) => {
            let code = text("code").or_else(|| text("value"))?;
            Some(match text("system") {
                Some(system) => format!("{system}|{code}"),
                None => code,
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A value as it is written in a search (R4, 3.1.1.5.8).
fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '\\' | '$' | ',' | '|' => format!("\\{c}"),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

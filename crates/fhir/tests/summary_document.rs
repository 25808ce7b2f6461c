//! Summaries: of a few resources, of hostile ones, and of Bundles that others wrote.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use keepwell_fhir::{
    bundle::split,
    classify::Sensitivity,
    facts::summary_document::{
        Author, DANGLING_MAX, Input, Material, NARRATIVE_LINES_MAX, RESOURCES_BYTES_MAX,
        RESOURCES_MAX, Section, Summary, SummaryError, URL_BYTES_MAX, compose,
    },
    synthetic::Synthetic,
};
use keepwell_types::time::BlockTime;
use proptest::prelude::*;
use serde_json::{Value, json};

const BASE: &str = "https://host.example/fhir";
const PATIENT: &str = r#"{"resourceType":"Patient","id":"ana","name":[{"text":"Ana"}]}"#;

fn material<'a>(resources: &'a [Input<'a>]) -> Material<'a> {
    Material {
        bundle_id: "7f2f7a1c-0f2b-4f0e-8a4e-0d9a6b1c2d3e",
        composition_id: "c1",
        time: BlockTime(1_795_238_400_000),
        base: BASE,
        patient: "ana",
        author: Author::Named("Keepwell"),
        resources,
        nil_known: &[],
    }
}

fn inputs<'a>(resources: &[&'a str]) -> Vec<Input<'a>> {
    let all = [PATIENT].into_iter().chain(resources.iter().copied());
    all.map(|json| Input { json, alias: None }).collect()
}

fn compose_of(resources: &[&str]) -> Result<Summary, SummaryError> {
    told(compose(&material(&inputs(resources))))
}

/// Every error says what to do next.
fn told(result: Result<Summary, SummaryError>) -> Result<Summary, SummaryError> {
    result.inspect_err(|error| assert!(error.to_string().contains("; "), "{error}"))
}

/// Of which every reference of the Composition resolves.
fn checked(summary: &Summary) -> Value {
    let bundle: Value = serde_json::from_str(&summary.json).expect("it is JSON");
    let entries = bundle["entry"].as_array().expect("entries");
    let urls: BTreeSet<_> = entries.iter().filter_map(|it| it["fullUrl"].as_str()).collect();
    assert_eq!(urls.len(), entries.len());
    assert_eq!(entries[0]["resource"]["resourceType"], "Composition");
    assert_eq!(entries[1]["resource"]["resourceType"], "Patient");
    let composition = &entries[0]["resource"];
    let sections = composition["section"].as_array().expect("sections");
    for section in sections {
        let has_entries = section.get("entry").is_some();
        assert_ne!(has_entries, section.get("emptyReason").is_some(), "{section}");
        for entry in section["entry"].as_array().into_iter().flatten() {
            let url = format!("{BASE}/{}", entry["reference"].as_str().expect("a reference"));
            assert!(urls.contains(url.as_str()), "{url}");
        }
    }
    for section in Section::ALL.into_iter().filter(|it| it.is_required()) {
        assert!(sections.iter().any(|it| it["title"] == section.code().1));
    }
    bundle
}

fn section(bundle: &Value, section: Section) -> &Value {
    let sections = bundle.pointer("/entry/0/resource/section").and_then(Value::as_array);
    let found = sections.and_then(|all| all.iter().find(|it| it["title"] == section.code().1));
    found.unwrap_or(&Value::Null)
}

#[test]
fn what_is_not_there_is_unavailable_and_not_absent() {
    let summary = compose_of(&[]).unwrap();
    let bundle = checked(&summary);
    assert_eq!(bundle["timestamp"], "2026-11-21T05:20:00.000Z");
    for required in [Section::Allergies, Section::Medications, Section::Problems] {
        let code = &section(&bundle, required)["emptyReason"]["coding"][0]["code"];
        assert_eq!(code, "unavailable");
    }
    assert!(!summary.json.contains("nilknown") && !summary.json.contains("no known"));
}

#[test]
fn that_there_is_nothing_is_said_by_a_clinician_and_not_against_an_entry() {
    let nil_known = [Section::Allergies];
    let none = inputs(&[]);
    let summary = compose(&Material { nil_known: &nil_known, ..material(&none) }).unwrap();
    let bundle = checked(&summary);
    let code = &section(&bundle, Section::Allergies)["emptyReason"]["coding"][0]["code"];
    assert_eq!(code, "nilknown");

    let allergy =
        r#"{"resourceType":"AllergyIntolerance","id":"a","patient":{"reference":"Patient/ana"}}"#;
    let some = inputs(&[allergy]);
    let summary = compose(&Material { nil_known: &nil_known, ..material(&some) });
    assert_eq!(told(summary), Err(SummaryError::NotNil(Section::Allergies)));
}

#[test]
fn resources_go_where_their_type_status_and_category_say() {
    let of = |kind: &str, id: &str, more: &str| {
        let subject = if kind == "Immunization" || kind == "AllergyIntolerance" {
            "patient"
        } else {
            "subject"
        };
        format!(
            r#"{{"resourceType":"{kind}","id":"{id}","{subject}":{{"reference":"Patient/ana"}}{more}}}"#
        )
    };
    let code =
        |element: &str, code: &str| format!(r#","{element}":{{"coding":[{{"code":"{code}"}}]}}"#);
    let category = |it: &str| format!(r#","category":[{{"coding":[{{"code":"{it}"}}]}}]"#);
    for (resource, expected) in [
        (of("AllergyIntolerance", "x", ""), Some(Section::Allergies)),
        (of("AllergyIntolerance", "x", &code("verificationStatus", "refuted")), None),
        (of("MedicationRequest", "x", r#","status":"active""#), Some(Section::Medications)),
        (of("MedicationRequest", "x", r#","status":"stopped""#), None),
        (of("MedicationStatement", "x", r#","status":"entered-in-error""#), None),
        (of("Condition", "x", &code("clinicalStatus", "active")), Some(Section::Problems)),
        (of("Condition", "x", ""), Some(Section::Problems)),
        (of("Condition", "x", &code("clinicalStatus", "resolved")), Some(Section::PastIllness)),
        (of("Condition", "x", &code("verificationStatus", "entered-in-error")), None),
        (of("Immunization", "x", r#","status":"completed""#), Some(Section::Immunizations)),
        (of("Immunization", "x", r#","status":"not-done""#), None),
        (of("Procedure", "x", ""), Some(Section::Procedures)),
        (of("DeviceUseStatement", "x", ""), Some(Section::Devices)),
        (of("DiagnosticReport", "x", ""), Some(Section::Results)),
        (of("Observation", "x", &category("laboratory")), Some(Section::Results)),
        (of("Observation", "x", &category("vital-signs")), Some(Section::VitalSigns)),
        (of("Observation", "x", &category("social-history")), Some(Section::SocialHistory)),
        (of("Observation", "x", &code("code", "82810-3")), Some(Section::Pregnancy)),
        (of("Observation", "x", &category("survey")), None),
        (of("CarePlan", "x", r#","status":"active""#), Some(Section::Plan)),
        (of("DocumentReference", "x", &code("type", "42348-3")), Some(Section::AdvanceDirectives)),
        (of("Flag", "x", r#","status":"active""#), Some(Section::Alerts)),
        (of("Encounter", "x", ""), None),
    ] {
        let summary = compose_of(&[&resource]).expect(&resource);
        let bundle = checked(&summary);
        let has_it = |it: &Section| section(&bundle, *it).get("entry").is_some();
        let found: Vec<_> = Section::ALL.into_iter().filter(has_it).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{resource}");
        assert_eq!(summary.left_out.is_empty(), expected.is_some());
    }
}

#[test]
fn bytes_stay_and_only_aliases_are_respelt() {
    let medicine = r#"{ "resourceType":"Medication", "id":"m", "ingredient": [{"strength":{"numerator":{"value":72.50}}}] }"#;
    let taken = r#"{"resourceType":"MedicationStatement","id":"s","status":"active","dose":1.0e0,
        "subject":{"reference" : "urn:uuid:ANA"},"note":[{"text":"reference: \"urn:uuid:ANA\""}],
        "medicationReference":{"reference":"urn:uuid:mm"}}"#;
    let resources = [
        Input { json: PATIENT, alias: Some("urn:uuid:ana") },
        Input { json: medicine, alias: Some("urn:uuid:mm") },
        Input { json: taken, alias: None },
    ];
    let summary = compose(&material(&resources)).unwrap();
    checked(&summary);
    assert!(summary.json.contains(medicine) && summary.json.contains(PATIENT));
    let expected = taken.replacen("\"urn:uuid:ANA\"", "\"Patient/ana\"", 1).replacen(
        "\"urn:uuid:mm\"",
        "\"Medication/m\"",
        1,
    );
    assert!(summary.json.contains(&expected), "{}", summary.json);
    assert_eq!((summary.left_out, summary.dangling), (vec![], vec![]));
}

#[test]
fn a_reference_that_resolves_here_as_it_is_stays() {
    let flag = |reference: &str| {
        format!(
            r#"{{"resourceType":"Flag","id":"f","status":"active","subject":{{"reference":"{reference}"}}}}"#
        )
    };
    for (written, here) in [
        ("Patient/ana", "Patient/ana"),
        ("https://host.example/fhir/Patient/ana", "https://host.example/fhir/Patient/ana"),
        ("Patient/ana/_history/2", "Patient/ana/_history/2"),
        ("https://other.example/Patient/7", "Patient/ana"),
    ] {
        let flag_json = flag(written);
        let resources = [
            Input { json: PATIENT, alias: Some("https://other.example/Patient/7") },
            Input { json: &flag_json, alias: None },
        ];
        let summary = compose(&material(&resources)).unwrap();
        assert!(summary.json.contains(&flag(here)), "{written}");
    }
}

/// What a sender calls its own resource must not catch what others say of theirs.
#[test]
fn an_alias_names_nothing_that_has_a_name_here() {
    let flag = r#"{"resourceType":"Flag","id":"f","status":"active","subject":{"reference":"Patient/ana"},
        "author":{"reference":"Organization/o"}}"#;
    let mallory = r#"{"resourceType":"Organization","id":"m"}"#;
    let with = |alias| {
        let resources = [
            Input { json: PATIENT, alias: None },
            Input { json: flag, alias: None },
            Input { json: mallory, alias: Some(alias) },
        ];
        compose(&material(&resources))
    };
    for alias in [
        "Organization/o",
        "https://host.example/fhir/Organization/o",
        "https://host.example/fhir",
        "#o",
        "",
        "urn:uuid:a b",
        ":o",
        "urn:",
    ] {
        assert_eq!(with(alias), Err(SummaryError::Argument("alias")), "{alias}");
    }
    for alias in [
        "urn:uuid:7f2f7a1c-0f2b-4f0e-8a4e-0d9a6b1c2d3e",
        "https://host.example/fhir2/Organization/o",
        "Organization/m",
        "https://host.example/fhir/Organization/m",
    ] {
        let summary = with(alias).expect(alias);
        assert_eq!(summary.dangling, [(1, "Organization/o".to_string())], "{alias}");
    }
}

#[test]
fn what_its_status_says_is_wrong_is_not_pulled_in() {
    let of = |kind: &str, more: &str| {
        format!(
            r#"{{"resourceType":"{kind}","id":"x","subject":{{"reference":"Patient/ana"}},{more}}}"#
        )
    };
    let report = |kind: &str| {
        of(
            "DiagnosticReport",
            &format!(r#""result":[{{"reference":"{kind}/x"}},{{"reference":"urn:uuid:x"}}]"#),
        )
        .replacen("\"x\"", "\"r\"", 1)
    };
    let refuted = r#""verificationStatus":{"coding":[{"code":"refuted"}]}"#;
    for (kind, more, is_in) in [
        ("Observation", r#""status":"final""#, true),
        ("Observation", r#""status":"entered-in-error""#, false),
        ("Observation", r#""status":"cancelled""#, false),
        ("Procedure", r#""status":"not-done""#, false),
        ("ServiceRequest", r#""status":"revoked""#, false),
        ("Condition", refuted, false),
    ] {
        let (target, report) = (of(kind, more), report(kind));
        let resources = [
            Input { json: PATIENT, alias: None },
            Input { json: &report, alias: None },
            Input { json: &target, alias: Some("urn:uuid:x") },
        ];
        let summary = compose(&material(&resources)).expect(more);
        checked(&summary);
        assert_eq!(summary.json.contains(&target), is_in, "{target}");
        let gone = [(1, format!("{kind}/x")), (1, "urn:uuid:x".to_string())];
        assert_eq!(summary.dangling, if is_in { &[][..] } else { &gone[..] }, "{target}");
        assert_eq!(summary.left_out, if is_in { &[][..] } else { &[2][..] }, "{target}");
        assert_eq!(summary.json.contains("urn:uuid:x"), !is_in, "what leads out stays as it was");
    }
}

#[test]
fn limits_hold_at_the_limit() {
    let of_count = |count: usize| {
        let organisation = |id: usize| format!(r#"{{"resourceType":"Organization","id":"{id}"}}"#);
        let texts: Vec<_> = (1..count).map(organisation).collect();
        compose_of(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(of_count(RESOURCES_MAX).unwrap().left_out.len(), RESOURCES_MAX - 1);
    assert_eq!(of_count(RESOURCES_MAX + 1), Err(SummaryError::TooLarge));

    let spaces = " ".repeat(RESOURCES_BYTES_MAX / 64);
    let of_bytes = |more: &str| {
        let mut resources = vec![Input { json: &spaces, alias: None }; 64];
        resources.push(Input { json: more, alias: None });
        compose(&material(&resources))
    };
    assert_eq!(of_bytes(""), Err(SummaryError::NotAResource { place: 0 }));
    assert_eq!(of_bytes(" "), Err(SummaryError::TooLarge));

    let condition = |id: usize| {
        format!(
            r#"{{"resourceType":"Condition","id":"{id}","subject":{{"reference":"Patient/ana"}},
            "encounter":{{"reference":"Encounter/{id}"}}}}"#
        )
    };
    for (count, more) in [(NARRATIVE_LINES_MAX, 0), (NARRATIVE_LINES_MAX + 1, 1)] {
        let texts: Vec<_> = (0..count).map(condition).collect();
        let summary = compose_of(&texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let bundle = checked(&summary);
        let problems = section(&bundle, Section::Problems);
        assert_eq!(problems["entry"].as_array().map(Vec::len), Some(count));
        assert_eq!(problems["text"]["div"].as_str().unwrap().contains("and 1 more"), more == 1);
        assert_eq!(summary.dangling.len(), DANGLING_MAX);
    }

    let none = inputs(&[]);
    for (len, error) in [
        (URL_BYTES_MAX, SummaryError::NoAuthor),
        (URL_BYTES_MAX + 1, SummaryError::Argument("author")),
    ] {
        let author = "x".repeat(len);
        let of = |author| compose(&Material { author, ..material(&none) });
        assert_eq!(of(Author::Here(&author)), Err(error));
        assert_eq!(of(Author::Named(&author)).is_ok(), len == URL_BYTES_MAX);
    }
    let base = |len: usize| format!("https://{}", "x".repeat(len - 8));
    for (len, is_good) in [(URL_BYTES_MAX, true), (URL_BYTES_MAX + 1, false)] {
        let base = base(len);
        assert_eq!(compose(&Material { base: &base, ..material(&none) }).is_ok(), is_good);
        let alias = [Input { json: PATIENT, alias: Some(&base) }];
        assert_eq!(compose(&material(&alias)).is_ok(), is_good);
    }
}

#[test]
fn the_author_is_in_the_bundle_by_its_type_and_id() {
    let clinic = r#"{"resourceType":"Organization","id":"o","name":"Clinic"}"#;
    let resources = [
        Input { json: PATIENT, alias: None },
        Input { json: clinic, alias: Some("urn:uuid:clinic") },
    ];
    for author in ["Organization/o", "urn:uuid:clinic"] {
        let author = Author::Here(author);
        let summary = compose(&Material { author, ..material(&resources) }).unwrap();
        let bundle = checked(&summary);
        assert_eq!(bundle["entry"][0]["resource"]["author"][0]["reference"], "Organization/o");
        assert_eq!(bundle["entry"][2]["fullUrl"], format!("{BASE}/Organization/o"));
    }
}

#[test]
fn what_leads_out_is_listed_and_what_nobody_needs_is_left_out() {
    let condition = r##"{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/ana"},
        "encounter":{"reference":"Encounter/gone"},"contained":[],"evidence":[{"detail":[{"reference":"#x"}]}]}"##;
    let other = r#"{"resourceType":"Organization","id":"o"}"#;
    let summary = compose_of(&[condition, other]).unwrap();
    checked(&summary);
    assert_eq!(summary.dangling, [(1, "Encounter/gone".to_string())]);
    assert_eq!(summary.left_out, [2]);
}

#[test]
fn nothing_leaves_its_place_in_the_narrative() {
    let hostile = json!({
        "resourceType": "Condition", "id": "c", "subject": { "reference": "Patient/ana" },
        "code": { "text": "<script>alert('x')</script>&\u{202e}\u{0}\u{fffe}" },
    })
    .to_string();
    let bundle = checked(&compose_of(&[&hostile]).unwrap());
    let div = section(&bundle, Section::Problems)["text"]["div"].as_str().unwrap();
    assert!(div.contains("&lt;script&gt;") && div.contains("&amp;"), "{div}");
    assert!(!div.contains("<script") && !div.contains(['\u{202e}', '\u{0}', '\u{fffe}']), "{div}");
}

#[test]
fn a_document_is_labelled_with_the_most_restrictive_of_what_it_has() {
    let hiv = r#"{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/ana"},
        "meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"HIV"}]}}"#;
    let summary = compose_of(&[hiv]).unwrap();
    let bundle = checked(&summary);
    assert_eq!(summary.sensitivity, Sensitivity::Hiv);
    assert_eq!(bundle["meta"]["security"][1]["code"], "HIV");
    assert_eq!(bundle["entry"][0]["resource"]["confidentiality"], "R");
}

#[test]
fn what_is_not_this_patients_is_refused() {
    let place = 1;
    for (resource, error) in [
        (
            r#"{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/eve"}}"#,
            SummaryError::OtherPatient { place },
        ),
        (r#"{"resourceType":"Condition","id":"c"}"#, SummaryError::OtherPatient { place }),
        (
            r#"{"resourceType":"Condition","id":"c","subject":{"display":"Ana"}}"#,
            SummaryError::OtherPatient { place },
        ),
        (
            r#"{"resourceType":"Condition","id":"c","subject":7}"#,
            SummaryError::OtherPatient { place },
        ),
        (r#"{"resourceType":"Patient","id":"ana"}"#, SummaryError::Twice { place }),
        (r#"{"resourceType":"Patient"}"#, SummaryError::NotAResource { place }),
        (r#"{"resourceType":"Nonsense","id":"x"}"#, SummaryError::NotAResource { place }),
        (r#"{"resourceType":"Condition","id":"a b"}"#, SummaryError::NotAResource { place }),
        (r#"{"resourceType":"Condition","id":"c","id":"c"}"#, SummaryError::NotAResource { place }),
        ("", SummaryError::NotAResource { place }),
        ("[]", SummaryError::NotAResource { place }),
        ("{", SummaryError::NotAResource { place }),
    ] {
        assert_eq!(compose_of(&[resource]), Err(error), "{resource}");
    }
    assert_eq!(compose(&material(&[])), Err(SummaryError::NoPatient));
    let deep = format!("{}{}", "[".repeat(99_999), "]".repeat(99_999));
    assert_eq!(compose_of(&[&deep]), Err(SummaryError::NotAResource { place }));
}

#[test]
fn arguments_are_checked() {
    let resources = inputs(&[]);
    let good = material(&resources);
    for (material, error) in [
        (Material { bundle_id: "x", ..good }, SummaryError::Argument("bundle_id")),
        (Material { composition_id: "", ..good }, SummaryError::Argument("composition_id")),
        (Material { patient: "a/b", ..good }, SummaryError::Argument("patient")),
        (Material { base: "host", ..good }, SummaryError::Argument("base")),
        (Material { base: "https://host/", ..good }, SummaryError::Argument("base")),
        (Material { base: "https://ho st", ..good }, SummaryError::Argument("base")),
        (Material { author: Author::Here("Organization/x"), ..good }, SummaryError::NoAuthor),
    ] {
        assert_eq!(told(compose(&material)), Err(error));
    }
    let composition = r#"{"resourceType":"Composition","id":"c1"}"#;
    let error = SummaryError::Argument("composition_id");
    assert_eq!(compose_of(&[composition]), Err(error), "two entries would have one fullUrl");
    let quoted = Material { base: "https://host/\"", author: Author::Named("\"\u{7}"), ..good };
    let summary = compose(&quoted).expect("what has to be is escaped");
    serde_json::from_str::<Value>(&summary.json).expect("it is JSON");
}

/// A summary of the whole of a transaction Bundle.
fn summary_of(bytes: &[u8], name: &str) -> Summary {
    let bundle = split(bytes, 64 << 20).expect(name);
    let of_patient = |it: &&keepwell_fhir::bundle::Resource<'_>| it.id.is_some();
    let resources: Vec<_> = bundle
        .resources
        .iter()
        .filter(of_patient)
        .map(|it| Input { json: it.json, alias: it.full_url.as_deref() })
        .collect();
    let patient = bundle.resources.iter().find(|it| it.resource_type == "Patient").expect(name);
    let patient = patient.id.as_deref().expect(name);
    compose(&Material { patient, ..material(&resources) }).expect(name)
}

#[test]
fn patients_who_never_lived_have_summaries() {
    for index in 0..4 {
        let bundle = Synthetic::new(5).patient(index, 1_795_238_400_000).to_string();
        let summary = summary_of(bundle.as_bytes(), "synthetic");
        let bundle = checked(&summary);
        assert!(section(&bundle, Section::Problems).get("entry").is_some());
        assert_eq!(summary.dangling, []);
    }
}

#[test]
fn bundles_of_others_have_summaries() {
    let folder = match env::var_os("KEEPWELL_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let Ok(files) = fs::read_dir(folder.join("synthea")) else {
        println!("SKIPPED: no synthea/ in {}; set KEEPWELL_DATA", folder.display());
        return;
    };
    for file in files {
        let path = file.expect("the folder is readable").path();
        let name = path.display().to_string();
        if !name.ends_with(".json") || name.contains("Information") {
            continue;
        }
        let summary = summary_of(&fs::read(&path).expect(&name), &name);
        let bundle = checked(&summary);
        let has_entries = |it: &Section| section(&bundle, *it).get("entry").is_some();
        assert!(Section::ALL.iter().any(has_entries), "{name}");
        assert_eq!(summary.dangling, [], "{name}");
    }
}

proptest! {
    #[test]
    fn no_resource_panics(text in "[-{}\\[\\]\":,a-zA-Z0-9é\\\\]{0,200}") {
        let _ = compose_of(&[&text]);
        let inner = format!(r#"{{"resourceType":"Flag","id":"f","subject":{{"reference":"Patient/ana"}},"x":{text}}}"#);
        if let Ok(summary) = compose_of(&[&inner]) {
            checked(&summary);
        }
    }
}

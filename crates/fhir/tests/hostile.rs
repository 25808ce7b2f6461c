//! Inputs that nobody should send.

use keepwell_fhir::{
    bundle::{Bundle, BundleError, DEPTH_MAX, Owner, Warning, split},
    classify::Sensitivity,
    summary::{LINE_CHARS_MAX, one_line},
    synthetic::Synthetic,
};
use keepwell_types::record::RecordKind;
use proptest::prelude::*;
use serde_json::{Value, json};

const BYTES_MAX: usize = 1 << 20;
const NOW_MS: u64 = 1_790_000_000_000;

fn parse(json: &str) -> Result<Bundle<'_>, BundleError> {
    split(json.as_bytes(), BYTES_MAX)
}

/// A Bundle of `entries` about patient `p`.
fn with_patient(entries: &str) -> String {
    let patient = r#"{"fullUrl":"urn:uuid:p","resource":{"resourceType":"Patient","id":"p"}}"#;
    format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{patient},{entries}]}}"#)
}

/// Reads lines of `input => fault`, the fault by the name of its variant.
fn check(table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (input, fault) = line.rsplit_once("=>").expect("input => fault");
        let error = parse(input.trim()).expect_err(input);
        let name = format!("{error:?}");
        let name = name.split([' ', '{']).next().expect("a name comes first");
        assert_eq!(name, fault.trim(), "{input}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn faults_have_names() {
    check(
        r#"
        {                                                                         => NotJson
        nul                                                                       => NotJson
        {"resourceType":"Patient"} x                                              => NotJson
        {"resourceType":"Patient",}                                               => NotJson
        <Patient xmlns="http://hl7.org/fhir"/>                                    => NotJson
        {"resourceType":"Patient","a":"\ud800"}                                   => NotJson
        {"resourceType":"Patient","a":"\udc00\ud800"}                             => NotJson
        {"resourceType":"Patient","a":01}                                         => NotJson
        {"resourceType":"Patient","a":NaN}                                        => NotJson
        null                                                                      => NotAResource
        []                                                                        => NotAResource
        "Patient"                                                                 => NotAResource
        17                                                                        => NotAResource
        {}                                                                        => NotAResource
        {"resourceType":null}                                                     => NotAResource
        {"resourceType":""}                                                       => NotAResource
        {"resourceType":7}                                                        => NotAResource
        {"resourceType":["Patient"]}                                              => NotAResource
        {"resourceType":"Pat ient"}                                               => NotAResource
        {"resourceType":"\u001b[2J"}                                              => NotAResource
        {"resourceType":"Patient","id":7}                                         => WrongType
        {"resourceType":"Patient","id":null}                                      => WrongType
        {"resourceType":"Bundle","type":1,"entry":[]}                             => WrongType
        {"resourceType":"Bundle","entry":{}}                                      => WrongType
        {"resourceType":"Bundle","entry":[1]}                                     => WrongType
        {"resourceType":"Bundle","entry":[{"fullUrl":1}]}                         => WrongType
        {"resourceType":"Bundle","entry":[{"resource":[]}]}                       => NotAResource
        {"resourceType":"Bundle","entry":[{"resource":{}}]}                       => NotAResource
        {"resourceType":"Patient","resourceType":"Group"}                         => AmbiguousKey
        {"resourceType":"Patient","meta":{},"\u006deta":{}}                       => AmbiguousKey
        {"resourceType":"Patient","name":[{"text":"a","text":"b"}]}               => AmbiguousKey
        {"resourceType":"Patient","a":{"$serde_json::private::RawValue":"1"}}     => AmbiguousKey
        {"resourceType":"Patient","a":{"$serde_json::private::Number":"1"}}       => AmbiguousKey
        {"resourceType":"Patient","a":{"$serde_json::private::Number":{"b":1}}}   => AmbiguousKey
        {"resourceType":"Patient","a":{"\u0024serde_json::private::Number":"1"}}  => AmbiguousKey
        {"resourceType":"Patient","a":{"b":1,"$serde_json::private::Number":"1"}} => AmbiguousKey
        {"resourceType":"Patient","$serde_json::private::Number":"1"}             => AmbiguousKey
        {"resourceType":"Bundle","entry":[],"entry":[]}                           => AmbiguousKey
        {"resourceType":"Bundle","entry":[{"resource":{},"resource":{}}]}         => AmbiguousKey
        {"resourceType":"Bundle"}                                                 => NoPatient
        {"resourceType":"Bundle","entry":[]}                                      => NoPatient
        {"resourceType":"Organization","id":"o"}                                  => NoPatient
        {"resourceType":"Observation","subject":{"reference":"Device/d"}}         => NoPatient
        {"resourceType":"Observation","subject":{"reference":7}}                  => NoPatient
        {"resourceType":"Observation","subject":"Patient/p"}                      => NoPatient
        "#,
    );
}

#[test]
fn limits_hold_at_the_limit() {
    let json = r#"{"resourceType":"Patient"}"#;
    assert!(split(json.as_bytes(), json.len()).is_ok());
    assert_eq!(
        split(json.as_bytes(), json.len() - 1),
        Err(BundleError::TooLarge { bytes: json.len(), bytes_max: json.len() - 1 })
    );

    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"resourceType":"Patient","a":{open}{close}}}"#)
    };
    assert!(parse(&nested(DEPTH_MAX - 1)).is_ok());
    let at = nested(0).len() - 1 + DEPTH_MAX - 1;
    assert_eq!(parse(&nested(DEPTH_MAX)), Err(BundleError::TooDeep { at, depth_max: DEPTH_MAX }));

    // Numbers are not levels, and brackets in text are text.
    let (open, close) = ("[".repeat(DEPTH_MAX - 1), "]".repeat(DEPTH_MAX - 1));
    assert!(parse(&format!(r#"{{"resourceType":"Patient","a":{open}1.5{close}}}"#)).is_ok());
    assert!(parse(&format!(r#"{{"resourceType":"Patient","a":"\"{}"}}"#, "[".repeat(500))).is_ok());
}

/// Lists that would take hours if one were searched for each item of the other.
#[test]
fn long_lists_cost_what_they_weigh() {
    let many = |item: &str| vec![item; BYTES_MAX / 4 / item.len()].join(",");
    for (list, items) in [
        ("subject", many(r##"{"reference":"#x"}"##)),
        ("target", many(r#"{"reference":"Patient/p"}"#)),
    ] {
        let contained = many(r#"{"id":"y"}"#);
        let entry =
            format!(r#"{{"resourceType":"Basic","{list}":[{items}],"contained":[{contained}]}}"#);
        assert!(parse(&with_patient(&format!(r#"{{"resource":{entry}}}"#))).is_ok());
    }
    let labels = (0..10_000).map(|n| format!(r#"{{"code":"{n}"}}"#)).collect::<Vec<_>>().join(",");
    let entries = many(r#"{"resource":{"resourceType":"Basic"}}"#);
    let meta = format!(r#"{{"meta":{{"security":[{labels}]}},"#);
    let json = with_patient(&entries).replacen('{', &meta, 1);
    assert!(parse(&json).unwrap().resources.len() > 5_000);

    let long = "x".repeat(1_025);
    let json = format!(r#"{{"resourceType":"Flag","subject":{{"reference":"Patient/{long}"}}}}"#);
    assert!(matches!(parse(&json), Err(BundleError::WrongType { element: "reference", .. })));
}

#[test]
fn bottomless_nesting_ends_no_thread() {
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        let json = open.repeat(BYTES_MAX / open.len());
        assert!(matches!(parse(&json), Err(BundleError::TooDeep { .. })));
        assert!(one_line(json.as_bytes()).starts_with("unreadable"));
    }
}

#[test]
fn errors_say_where() {
    let not_utf8 = b"{\"resourceType\":\"Patient\",\"a\":\"\xff\"}";
    assert_eq!(split(not_utf8, BYTES_MAX), Err(BundleError::NotUtf8 { at: 31 }));
    let not_json = "{\"resourceType\":\"Patient\",\n\"a\": ?}";
    assert_eq!(parse(not_json), Err(BundleError::NotJson { at: not_json.find('?').unwrap() }));

    let inside = with_patient(r#"{"resource":{"resourceType":"Observation","a":[?]}}"#);
    assert_eq!(parse(&inside), Err(BundleError::NotJson { at: inside.find('?').unwrap() }));
    let nothing = with_patient(r#"{"resource":{"id":"x"}}"#);
    let at = nothing.find(r#"{"id":"x"}"#).unwrap();
    assert_eq!(parse(&nothing), Err(BundleError::NotAResource { at }));
}

#[test]
fn a_byte_order_mark_is_skipped_and_counted() {
    let json = "\u{feff} {\"resourceType\":\"Patient\"} \n";
    let bundle = parse(json).unwrap();
    assert_eq!(bundle.resources[0].json, json[4..].trim());
    assert_eq!(bundle.resources[0].at, 4);
    assert!(matches!(parse("\u{feff}\u{feff}{}"), Err(BundleError::NotJson { at: 3 })));
    assert!(matches!(parse("\u{feff}"), Err(BundleError::NotJson { .. })));
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let same_id = with_patient(r#"{"resource":{"resourceType":"Patient","id":"p"}}"#);
    assert!(
        matches!(parse(&same_id), Err(BundleError::DuplicateId { first, second, .. }) if first < second)
    );
    let same_url =
        with_patient(r#"{"fullUrl":"URN:UUID:P","resource":{"resourceType":"Patient","id":"q"}}"#);
    assert!(matches!(parse(&same_url), Err(BundleError::DuplicateFullUrl { .. })));
    let other_type = with_patient(r#"{"resource":{"resourceType":"Observation","id":"p"}}"#);
    assert!(parse(&other_type).is_ok());
}

#[test]
fn numbers_stay_as_they_were_written() {
    let digits = "9".repeat(10_000);
    for number in
        [digits.as_str(), "1e999999999", "-0.0", "72.50", "1E+400", "0.1000000000000000055"]
    {
        let json = format!(
            r#"{{"resourceType":"Observation","subject":{{"reference":"Patient/p"}},"valueQuantity":{{"value":{number}}}}}"#
        );
        assert_eq!(parse(&json).unwrap().resources[0].json, json);
        // The line is for people, so an exponent may be spelled otherwise there.
        let mantissa = number.split(['e', 'E']).next().unwrap();
        let line = one_line(json.as_bytes());
        assert!(line.contains(&mantissa[..mantissa.len().min(39)]), "{line}");
    }
}

#[test]
fn whom_a_resource_belongs_to() {
    let elsewhere = |reference: &str| Owner::Elsewhere(reference.to_string());
    for (element, owner) in [
        (r#""subject":{"reference":"urn:uuid:p"}"#, Owner::Here(0)),
        (r#""patient":{"reference":"URN:UUID:P"}"#, Owner::Here(0)),
        (r#""beneficiary":{"reference":"Patient/p"}"#, Owner::Here(0)),
        (r#""for":{"reference":"Patient/p/_history/3"}"#, Owner::Here(0)),
        (r#""subject":[{"reference":"Patient/p"}]"#, Owner::Here(0)),
        (r#""participant":[{"actor":{"reference":"Patient/p"}}]"#, Owner::Here(0)),
        (r#""target":[{"reference":"urn:uuid:p"}]"#, Owner::Here(0)),
        (r#""subject":{"reference":"Patient/q"}"#, elsewhere("Patient/q")),
        (
            r#""subject":{"reference":"https://h.example/Patient/p"}"#,
            elsewhere("https://h.example/Patient/p"),
        ),
        (
            r#""subject":{"reference":"Patient?identifier=s|1"}"#,
            elsewhere("Patient?identifier=s|1"),
        ),
        (
            r#""subject":{"type":"Patient","identifier":{"system":"s","value":"1"}}"#,
            elsewhere("s|1"),
        ),
        (r#""subject":{"type":"Group","identifier":{"system":"s","value":"1"}}"#, Owner::Nobody),
        (r#""subject":{"reference":"urn:uuid:q"}"#, elsewhere("urn:uuid:q")),
        (r#""subject":{"reference":"Group/p"}"#, Owner::Nobody),
        (
            r##""subject":{"reference":"#c"},"contained":[{"resourceType":"Patient","id":"c"}]"##,
            Owner::Nobody,
        ),
        (
            r#""subject":{"reference":"Patient/p"},"patient":{"reference":"Patient/q"}"#,
            Owner::Several,
        ),
        (r#""candidate":{"reference":"Patient/p"}"#, Owner::Here(0)),
        (r#""deliverTo":{"reference":"Patient/p"}"#, Owner::Here(0)),
        (r#""deliverTo":{"reference":"Location/p"}"#, Owner::Nobody),
        (r#""performer":[{"reference":"Patient/p"}]"#, Owner::Nobody),
    ] {
        let entry = format!(r#"{{"resource":{{"resourceType":"Observation",{element}}}}}"#);
        let json = with_patient(&entry);
        assert_eq!(parse(&json).unwrap().resources[1].owner, owner, "{element}");
    }
}

/// R4, Bundle, "Resolving references": what is relative is below the server of the entry that says it.
#[test]
fn a_relative_reference_is_below_its_own_server() {
    const A: &str = r#""fullUrl":"https://a.example/fhir/Flag/1","#;
    let elsewhere = |reference: &str| Owner::Elsewhere(reference.to_string());
    for (patient, flag, reference, owner) in [
        ("https://a.example/fhir/Patient/p", A, "Patient/p", Owner::Here(0)),
        (
            "https://b.example/fhir/Patient/p",
            A,
            "Patient/p",
            elsewhere("https://a.example/fhir/Patient/p"),
        ),
        (
            "https://b.example/fhir/Patient/p",
            A,
            "Patient/p/_history/2",
            elsewhere("https://a.example/fhir/Patient/p"),
        ),
        ("https://b.example/fhir/Patient/p", A, "https://b.example/fhir/Patient/p", Owner::Here(0)),
        // Where one of the two says no server, its id is all that there is.
        ("urn:uuid:p", A, "Patient/p", Owner::Here(0)),
        ("https://b.example/fhir/Patient/p", "", "Patient/p", Owner::Here(0)),
        ("urn:uuid:p", A, "Patient/q", elsewhere("https://a.example/fhir/Patient/q")),
    ] {
        let json = format!(
            r#"{{"resourceType":"Bundle","entry":[
                {{"fullUrl":"{patient}","resource":{{"resourceType":"Patient","id":"p"}}}},
                {{{flag}"resource":{{"resourceType":"Flag","subject":{{"reference":"{reference}"}}}}}}]}}"#
        );
        let bundle = parse(&json).expect("it is a Bundle");
        assert_eq!(bundle.resources[1].owner, owner, "{patient} {flag} {reference}");
    }
    let long = format!("https://a.example/{}", "x".repeat(1_024));
    let json =
        with_patient(&format!(r#"{{"fullUrl":"{long}","resource":{{"resourceType":"Flag"}}}}"#));
    assert!(matches!(parse(&json), Err(BundleError::WrongType { element: "fullUrl", .. })));
}

#[test]
fn what_is_odd_is_kept_with_a_warning() {
    let json = with_patient(
        r##"{"resource":{"resourceType":"Telepathy","id":"a b"}},
           {"request":{"method":"DELETE","url":"Observation/1"}},
           {"resource":{"resourceType":"Flag","subject":{"reference":"urn:uuid:q"}}},
           {"resource":{"resourceType":"Goal","subject":{"reference":"#c"},"contained":[{"resourceType":"Patient","id":"c"}]}},
           {"resource":{"resourceType":"Account","subject":[{"reference":"Patient/p"},{"reference":"Patient/q"}]}}"##,
    );
    let bundle = parse(&json).unwrap();
    assert_eq!(bundle.resources.len(), 5);
    assert_eq!(bundle.resources[1].classify().kind, RecordKind::Other);
    assert!(matches!(
        bundle.warnings[..],
        [
            Warning::UnknownType { .. },
            Warning::InvalidId { .. },
            Warning::NoResource { .. },
            Warning::DanglingReference { .. },
            Warning::ContainedPatient { .. },
            Warning::SeveralPatients { .. },
        ]
    ));
    assert!(bundle.warnings.iter().all(|warning| warning.to_string().starts_with("byte ")));
}

#[test]
fn labels_count_wherever_they_stand() {
    const PSY: &str =
        r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}"#;
    let ds4p =
        "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label";
    for (resource, sensitivity) in [
        (
            format!(r#""resourceType":"Flag","meta":{{"security":[{PSY}]}}"#),
            Sensitivity::Psychiatry,
        ),
        (format!(r#""resourceType":"Flag","meta":{{"security":{PSY}}}"#), Sensitivity::Psychiatry),
        (
            format!(
                r#""resourceType":"Flag","contained":[{{"resourceType":"Goal","meta":{{"security":[{PSY}]}}}}]"#
            ),
            Sensitivity::Psychiatry,
        ),
        (
            format!(
                r#""resourceType":"Flag","code":{{"extension":[{{"url":"{ds4p}","valueCoding":{PSY}}}]}}"#
            ),
            Sensitivity::Psychiatry,
        ),
        (
            format!(r#""resourceType":"DocumentReference","securityLabel":[{{"coding":[{PSY}]}}]"#),
            Sensitivity::Psychiatry,
        ),
        // Whoever left out the code had one in mind.
        (
            format!(
                r#""resourceType":"Flag","meta":{{"security":[{}]}}"#,
                PSY.replace("code", "display")
            ),
            Sensitivity::Restricted,
        ),
        (
            r#""resourceType":"Flag","meta":{"security":[{"system":"urn:x"},{"display":"HIV"},7]}"#
                .to_string(),
            Sensitivity::Normal,
        ),
        (
            r#""resourceType":"Composition","confidentiality":"V""#.to_string(),
            Sensitivity::Restricted,
        ),
        // What a Consent speaks of is not what it is.
        (
            format!(r#""resourceType":"Consent","provision":{{"securityLabel":[{PSY}]}}"#),
            Sensitivity::Normal,
        ),
    ] {
        let json = with_patient(&format!(r#"{{"resource":{{{resource}}}}}"#));
        let bundle = parse(&json).unwrap();
        assert_eq!(bundle.resources[1].classify().sensitivity, sensitivity, "{resource}");
        assert_eq!(bundle.resources[0].classify().sensitivity, Sensitivity::Normal);
    }
}

#[test]
fn a_label_of_the_bundle_that_nothing_carries_holds_for_all() {
    let json = |entry_label: &str| {
        format!(
            r#"{{"resourceType":"Bundle","meta":{{"security":[{{"code":"HIV"}}]}},"entry":[
               {{"resource":{{"resourceType":"Patient","id":"p"}}}},
               {{"resource":{{"resourceType":"Flag","meta":{{"security":[{{"code":"{entry_label}"}}]}}}}}}]}}"#
        )
    };
    let sensitivities = |json: &str| -> Vec<_> {
        parse(json).unwrap().resources.iter().map(|r| r.classify().sensitivity).collect()
    };
    assert_eq!(sensitivities(&json("HIV")), [Sensitivity::Normal, Sensitivity::Hiv]);
    assert_eq!(
        sensitivities(&json("PSYTHPN")),
        [Sensitivity::Hiv, Sensitivity::PsychotherapyNotes]
    );
    // Every category is restricted, so it is what made the whole restricted.
    let restricted = json("PSY").replace("HIV", "R");
    assert_eq!(sensitivities(&restricted), [Sensitivity::Normal, Sensitivity::Psychiatry]);
    let restricted = json("N").replace("HIV", "R");
    assert_eq!(sensitivities(&restricted), [Sensitivity::Restricted, Sensitivity::Restricted]);
}

#[test]
fn a_line_moves_no_cursor() {
    let long = "ß👩‍⚕️漢字".repeat(100);
    let json = json!({
        "resourceType": "Observation",
        "effectiveDateTime": "漢字漢字漢字漢字",
        "code": { "text": format!("\u{1b}[31mred\r\n\u{202e}txt\u{0}\u{9b}\u{2066}{long}") },
    });
    let line = one_line(json.to_string().as_bytes());
    assert!(line.starts_with("Observation  漢字漢字漢字漢字  [31mredtxtß"), "{line}");
    assert!(line.ends_with('…'));
    assert_eq!(line.chars().count(), LINE_CHARS_MAX);
    assert!(!line.chars().any(char::is_control));
}

/// A line without them would say that what was ruled out is there, or that less than 5 is 5.
#[test]
fn what_turns_a_meaning_round_stands_in_the_line() {
    for (resource, line) in [
        (
            json!({"resourceType": "MedicationRequest", "status": "active", "doNotPerform": true,
                "authoredOn": "2024-05-01", "medicationCodeableConcept": {"text": "Warfarin"}}),
            "MedicationRequest  2024-05-01  do not perform  Warfarin",
        ),
        (
            json!({"resourceType": "ServiceRequest", "status": "revoked", "doNotPerform": true,
                "code": {"text": "Transfusion"}}),
            "ServiceRequest  revoked  Transfusion",
        ),
        (
            json!({"resourceType": "MedicationRequest", "status": "active", "doNotPerform": false,
                "medicationCodeableConcept": {"text": "Warfarin"}}),
            "MedicationRequest  Warfarin",
        ),
        (
            json!({"resourceType": "Immunization", "status": "not-done", "vaccineCode": {"text": "MMR"}}),
            "Immunization  not-done  MMR",
        ),
        (
            json!({"resourceType": "MedicationStatement", "status": "not-taken",
                "medicationCodeableConcept": {"text": "Aspirin"}}),
            "MedicationStatement  not-taken  Aspirin",
        ),
        (
            json!({"resourceType": "Observation", "status": "entered-in-error",
                "effectiveDateTime": "2024-05-01", "code": {"text": "Weight"},
                "valueQuantity": {"value": 71, "unit": "kg"}}),
            "Observation  2024-05-01  entered-in-error  Weight 71 kg",
        ),
        (
            json!({"resourceType": "Condition", "code": {"text": "Asthma"}, "verificationStatus":
                {"coding": [{"system": "urn:x", "code": "y"}, {"code": "refuted"}]}}),
            "Condition  refuted  Asthma",
        ),
        (
            json!({"resourceType": "AllergyIntolerance", "code": {"text": "Nuts"},
                "verificationStatus": {"coding": [{"code": "entered-in-error"}]}}),
            "AllergyIntolerance  entered-in-error  Nuts",
        ),
        (
            json!({"resourceType": "Observation", "status": "final", "code": {"text": "Troponin"},
                "valueQuantity": {"comparator": "<", "value": 5, "unit": "ng/L"}}),
            "Observation  Troponin < 5 ng/L",
        ),
    ] {
        assert_eq!(one_line(resource.to_string().as_bytes()), line);
    }
    let (kind, long) = ("A".repeat(100), "n".repeat(500));
    let json = json!({ "resourceType": kind, "status": "entered-in-error", "date": long.clone(),
        "code": {"text": long.clone()}, "valueString": long });
    let line = one_line(json.to_string().as_bytes());
    assert!(line.contains("  entered-in-error  …"), "{line}");
    assert_eq!(line.chars().count(), LINE_CHARS_MAX);
}

#[test]
fn a_long_name_gives_way_to_the_value() {
    let json = json!({
        "resourceType": "Observation",
        "effectiveDateTime": "2024-05-01T08:30:00Z",
        "code": { "text": "n".repeat(500) },
        "valueQuantity": { "value": 71, "unit": "kg" },
    });
    let line = one_line(json.to_string().as_bytes());
    assert!(
        line.starts_with("Observation  2024-05-01  nnn") && line.ends_with("n… 71 kg"),
        "{line}"
    );
    assert_eq!(line.chars().count(), LINE_CHARS_MAX);
}

#[test]
fn a_truncated_bundle_is_refused_wherever_it_ends() {
    let json = Synthetic::new(7).patient(0, NOW_MS).to_string();
    for end in (0..json.len()).step_by(97) {
        let bytes = &json.as_bytes()[..end];
        assert!(matches!(
            split(bytes, BYTES_MAX),
            Err(BundleError::NotJson { .. } | BundleError::NotUtf8 { .. })
        ));
        one_line(bytes);
    }
}

/// JSON of every shape, with FHIR's own keys and words in wrong places.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("Bundle"),
        Just("Patient"),
        Just("Observation"),
        Just("DocumentReference"),
        Just("urn:uuid:1"),
        Just("Patient/1"),
        Just("1"),
        Just("#1"),
        Just("PSY"),
        Just("é\u{0}\u{202e}"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("resourceType"),
        Just("id"),
        Just("entry"),
        Just("resource"),
        Just("fullUrl"),
        Just("meta"),
        Just("security"),
        Just("subject"),
        Just("patient"),
        Just("reference"),
        Just("contained"),
        Just("coding"),
        Just("code"),
        Just("text"),
        Just("name"),
        Just("given"),
        Just("valueQuantity"),
        Just("value"),
        Just("component"),
        Just("period"),
        Just("start"),
        Just("target"),
        Just("participant"),
        Just("actor"),
        Just("url"),
        Just("securityLabel"),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_string(), v)).collect()),
        ]
    })
}

/// Replaces the value at a place counted in depth-first order.
fn replace(value: &mut Value, place: &mut usize, with: &Value) {
    if *place == 0 {
        *value = with.clone();
    }
    *place = place.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, place, with)),
        Value::Object(fields) => fields.values_mut().for_each(|item| replace(item, place, with)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn survives(bytes: &[u8]) {
    if let Ok(bundle) = split(bytes, BYTES_MAX) {
        for resource in &bundle.resources {
            assert_eq!(&bytes[resource.at..][..resource.json.len()], resource.json.as_bytes());
            resource.classify();
            one_line(resource.json.as_bytes());
        }
    }
    let line = one_line(bytes);
    assert!(line.chars().count() <= LINE_CHARS_MAX && !line.chars().any(char::is_control));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_every_kind(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes);
    }

    #[test]
    fn json_of_every_shape(mut value in any_json(), resource_type in prop_oneof![Just("Bundle"), Just("Claim")]) {
        if let Value::Object(fields) = &mut value {
            fields.insert("resourceType".into(), resource_type.into());
        }
        survives(value.to_string().as_bytes());
    }

    #[test]
    fn a_good_bundle_with_one_wrong_value(place in 0_usize..1_500, with in any_json()) {
        let mut bundle = Synthetic::new(3).patient(1, NOW_MS);
        replace(&mut bundle, &mut place.clone(), &with);
        survives(bundle.to_string().as_bytes());
    }

    #[test]
    fn a_good_bundle_with_one_wrong_byte(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Synthetic::new(3).patient(2, NOW_MS).to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        survives(&bytes);
    }
}

//! What a search answers: each line of a table is a query, and what it finds or why it is refused.

use std::collections::BTreeSet;

use keepwell_fhir::search::{
    Entry, Handling, KEY_BYTES_MAX, Key, Options, Pool, Query, SearchError, Total, form, keys,
    read::CLAUSES_MAX,
    shape::{Shape, shape},
    table,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const BASE: &str = "https://us.example/fhir";
/// 2024-06-01T00:00:00Z.
const NOW_MS: u64 = 1_717_200_000_000;

fn parse(kind: &str, query: &str, handling: Handling) -> Result<Query, Vec<SearchError>> {
    let pairs = form::decode(query).map_err(|error| vec![error])?;
    Query::parse(kind, &pairs, Options { base: BASE, now_ms: NOW_MS, handling })
}

/// Reads lines of `query => yes`, `no`, or a part of the error.
fn check(resource: &Value, table: &str) {
    let entry = Entry::new(resource, "a1", "2024-05-01T08:00:00.5Z");
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (query, expected) = line.rsplit_once("=>").expect(line);
        let (query, expected) = (query.trim(), expected.trim());
        let outcome = match parse(entry.resource_type(), query, Handling::Strict) {
            Ok(query) if query.matches(&entry) => "yes".to_owned(),
            Ok(_) => "no".to_owned(),
            Err(errors) => errors.iter().map(|error| format!("{error}; ")).collect(),
        };
        let is_expected = match expected {
            "yes" | "no" => outcome == expected,
            part => outcome.contains(part),
        };
        assert!(is_expected, "{query}: {outcome}, not {expected}");
    }
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "other", "active": true, "gender": "female",
        "birthDate": "1980-02", "deceasedBoolean": false,
        "meta": {"profile": ["http://a.example/p|1.0"], "tag": [{"system": "urn:t", "code": "x"}]},
        "identifier": [
            {"system": "http://a.example/mrn", "value": "12 ,3",
             "type": {"coding": [{"system": "http://v2-0203", "code": "MR"}], "text": "Medical record"}},
            {"value": "bare"},
        ],
        "name": [{"family": "Müller-O'Brien", "given": ["José", null, "Ana  Maria"], "text": "JM"}],
        "telecom": [{"system": "phone", "value": "+1 555"}, {"system": "email", "value": "A@b.c"}],
        "address": [{"line": ["1 Main St."], "city": "Québec"}],
        "managingOrganization": {"reference": "Organization/o1"},
        "generalPractitioner": [{"identifier": {"system": "urn:npi", "value": "99"}}],
        "extension": [{
            "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
            "extension": [{"url": "ombCategory", "valueCoding": {"system": "urn:oid:2", "code": "2106-3"}}],
        }],
    })
}

#[test]
fn strings() {
    check(
        &patient(),
        "
        family=muller               => yes
        family=MÜLLERo              => yes
        family=brien                => no
        family:contains=BRIEN       => yes
        family:exact=Müller-O'Brien => yes
        family:exact=Müller         => no
        family:exact=müller-o'brien => no
        given=ana maria             => yes
        given=jos,x                 => yes
        given=jos&given=ana         => yes
        given=jos&given=x           => no
        name=jm                     => yes
        address=1 main st           => yes
        address-city=quebec         => yes
        family=--                   => no
        family:contains=--          => no
        family:missing=false        => yes
        family:missing=true         => no
        family:missing=maybe        => true or false
        family:text=x               => does not take the modifier
        family:sounds=x             => does not take the modifier
        family='; DROP TABLE x;--   => no
        family=%25                  => no
        family=_uller               => no
        name=%00                    => no
        ",
    );
}

#[test]
fn tokens() {
    check(
        &patient(),
        r"
        gender=female                                             => yes
        gender=FEMALE                                             => yes
        gender=fem                                                => no
        gender=http://hl7.org/fhir/administrative-gender|female   => yes
        gender=http://a.example|female                            => no
        gender=|female                                            => no
        gender:not=male                                           => yes
        gender:not=male,female                                    => no
        gender:in=http://vs                                       => does not take the modifier
        identifier=http://a.example/mrn|12 \,3                    => yes
        identifier=12 \,3                                         => yes
        identifier=|12 \,3                                        => no
        identifier=|bare                                          => yes
        identifier=http://a.example/mrn|                          => yes
        identifier=http://a.example/m|                            => no
        identifier=|                                              => system|code
        identifier=a|b|c                                          => system|code
        identifier:of-type=http://v2-0203|MR|12 \,3               => yes
        identifier:of-type=http://v2-0203|SS|12 \,3               => no
        identifier:of-type=MR|12                                  => system|code|value
        identifier:text=medical                                   => yes
        identifier:text=record                                    => no
        active=true                                               => yes
        active=false                                              => no
        deceased=false                                            => yes
        deceased=true                                             => no
        death-date:missing=true                                   => yes
        phone=%2B1 555                                            => yes
        phone=a@b.c                                               => no
        email=a@b.c                                               => yes
        telecom=email|a@b.c                                       => yes
        race=2106-3                                               => yes
        race=urn:oid:2|2106-3                                     => yes
        ethnicity:missing=true                                    => yes
        _id=a1                                                    => yes
        _id=A1                                                    => no
        _id=other                                                 => no
        _id=b,a1                                                  => yes
        _id:not=a1                                                => no
        _id:text=a1                                               => does not take the modifier
        _tag=urn:t|x                                              => yes
        _security:missing=true                                    => yes
        _profile=http://a.example/p                               => yes
        _profile=http://a.example/p|1.0                           => yes
        _profile=http://a.example/p|2.0                           => no
        _profile:below=http://a.example                           => yes
        _profile:below=http://a.ex                                => no
        ",
    );
}

#[test]
fn dates() {
    check(
        &patient(),
        "
        birthdate=1980-02           => yes
        birthdate=1980              => yes
        birthdate=1980-02-03        => no
        birthdate=gt1980            => no
        birthdate=ge1980            => yes
        birthdate=gt1980-02-03      => yes
        birthdate=lt1980-02-03      => yes
        birthdate=ne1980            => no
        birthdate=sa1980-01         => yes
        birthdate=eb1980-03         => yes
        birthdate=ap1981            => yes
        birthdate=ap2023            => no
        birthdate=1979,1980         => yes
        birthdate=ge1979&birthdate=lt1980-02 => no
        birthdate=80                => a date such as
        birthdate=xx1980            => a date such as
        birthdate:exact=1980        => does not take
        _lastUpdated=2024-05-01     => yes
        _lastUpdated=gt2024-05-01T08:00:00Z => no
        _lastUpdated=gt2024-05-01T10:00:00+02:00 => no
        _lastUpdated=gt2024-05-01T09:59:59%2B02:00 => yes
        _lastUpdated=lt2024-05-01T08:00:01Z => yes
        ",
    );
}

fn observation() -> Value {
    serde_json::from_str(
        r#"{"resourceType": "Observation", "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9", "display": "Blood pressure"}],
                 "text": "BP panel"},
        "subject": {"reference": "Patient/p1/_history/3"},
        "encounter": {"reference": "https://us.example/fhir/Encounter/e1"},
        "performer": [{"reference": "https://b.example/fhir/Practitioner/x"}, {"reference": "urn:uuid:AB"},
                      {"reference": "Organization/p1"}, {"reference": "\u0023c"}],
        "effectivePeriod": {"start": "2024-05-01T08:00:00Z"},
        "valueQuantity": {"value": 5.40, "unit": "mg/dl", "system": "http://unitsofmeasure.org", "code": "mg/dL"},
        "component": [
          {"code": {"coding": [{"code": "sys"}]}, "valueQuantity": {"value": 120, "comparator": "<", "unit": "mm"}},
          {"code": {"coding": [{"code": "dia"}]}, "valueQuantity": {"value": 1.2e2, "unit": "mm"}}]}"#,
    )
    .expect("it is JSON")
}

#[test]
fn quantities_and_composites() {
    check(
        &observation(),
        "
        value-quantity=5.4                                       => yes
        value-quantity=5                                         => yes
        value-quantity=5.41                                      => no
        value-quantity=5.405                                     => no
        value-quantity=ne5.4                                     => no
        value-quantity=gt5.4                                     => no
        value-quantity=ge5.4                                     => yes
        value-quantity=gt5.399999999999999999999999              => yes
        value-quantity=lt5.400000000000000000000001              => yes
        value-quantity=ap5                                       => yes
        value-quantity=ap4                                       => no
        value-quantity=5.4|http://unitsofmeasure.org|mg/dL       => yes
        value-quantity=5.4|http://unitsofmeasure.org|mg          => no
        value-quantity=5.4||mg/dl                                => yes
        value-quantity=5.4||mg/dL                                => yes
        value-quantity=5.4|mg                                    => number, or number
        value-quantity=5.4|http://unitsofmeasure.org|            => number, or number
        value-quantity=mg                                        => number, or number
        value-quantity=gt                                        => number, or number
        value-quantity=0x10                                      => number, or number
        combo-value-quantity=120                                 => yes
        component-value-quantity=lt100                           => yes
        component-value-quantity=gt120                           => no
        component-code-value-quantity=dia$120                    => yes
        component-code-value-quantity=sys$120                    => no
        component-code-value-quantity=sys$lt90                   => yes
        component-code-value-quantity=dia$lt90                   => no
        component-code-value-quantity=$120                       => code, system|code
        code-value-quantity=http://loinc.org|85354-9$5.4         => yes
        combo-code-value-quantity=dia$gt119,x$1                  => yes
        code-value-quantity=85354-9                              => as many as the parameter has
        code-value-quantity=a$b$c                                => as many as the parameter has
        code-value-quantity:missing=false                        => yes
        code-value-date:missing=true                             => yes
        code-value-date:missing=false                            => no
        combo-code-value-concept:missing=true                    => yes
        component-code-value-quantity:missing=false              => yes
        code:text=blood                                          => yes
        code:text=bp                                             => yes
        code:text=panel                                          => no
        ",
    );
}

#[test]
fn references() {
    check(
        &observation(),
        "
        patient=p1                                   => yes
        subject=p1                                   => yes
        patient=Patient/p1                           => yes
        subject:Patient=p1                           => yes
        subject:Group=p1                             => no
        subject:Patient=Group/p1                     => a reference to the type
        subject:Medication=p1                        => does not take the modifier
        subject=Patient/p1/_history/3                => yes
        subject=Patient/p1/_history/2                => no
        subject=https://us.example/fhir/Patient/p1   => yes
        subject=https://b.example/fhir/Patient/p1    => no
        encounter=Encounter/e1                       => yes
        encounter=e1                                 => yes
        performer=https://b.example/fhir/Practitioner/x => yes
        performer=Practitioner/x                     => no
        performer=urn:uuid:ab                        => yes
        performer=ab                                 => yes
        performer=Practitioner/ab                    => yes
        performer=b                                  => no
        performer=Organization/p1                    => yes
        performer=c                                  => no
        performer=#c                                 => an id
        date=gt2024                                  => yes
        date=eb2024                                  => no
        date=le2024-05-01                            => no
        date=lt2024-05-02                            => yes
        ",
    );
    check(
        &patient(),
        "
        general-practitioner:identifier=urn:npi|99   => yes
        general-practitioner:identifier=98           => no
        general-practitioner=99                      => no
        organization=o1                              => yes
        ",
    );
}

#[test]
fn what_cannot_be_answered_is_refused_or_told() {
    let many = format!("_id={}", "x,".repeat(1_025));
    let deep = format!("{}name=x", "part-of.".repeat(5));
    for (query, expected) in [
        ("nonsense=1", "has no search parameter \"nonsense\""),
        ("_content=x", "_content is not served"),
        ("_text=x", "_text is not served"),
        ("status=", "status has no value"),
        ("_sort=nonsense", "has no search parameter"),
        ("_include=Encounter:nonsense", "has no search parameter"),
        ("subject.nonsense=x", "has no search parameter"),
    ] {
        let strict = parse("Encounter", query, Handling::Strict).expect_err(query);
        assert!(strict[0].to_string().contains(expected), "{query}: {strict:?}");
        let lenient = parse("Encounter", query, Handling::Lenient).expect(query);
        assert_eq!(lenient.ignored, strict, "{query}");
        assert_eq!(lenient.canonical(), "", "{query}");
    }
    for (query, expected) in [
        ("status=,,", "a value between its commas"),
        ("status:foo=x", "does not take the modifier"),
        ("date=soon", "a date such as"),
        ("_count=-1", "a whole number"),
        ("_count=99999999999", "a whole number"),
        ("_count=1&_count=2", "more than once"),
        ("_total=all", "none, estimate or accurate"),
        ("_summary=yes", "true, text, data"),
        ("_elements=a.b", "names of elements"),
        ("_elements=status&_summary=true", "cannot both"),
        ("_summary=text&_include=Encounter:subject", "cannot both"),
        ("_include=Encounter", "Type:parameter"),
        ("_include=Nothing:x", "is not served"),
        ("_include:recurse=Encounter:subject", "does not take the modifier"),
        ("_include=Encounter:status", "no reference"),
        ("_revinclude=*", "is not served"),
        ("status.x=1", "no reference"),
        ("_has:Observation:code:status=x", "no reference"),
        ("_has:Observation=x", "as its name"),
        (&many, "more than 1024 values"),
        (&deep, "more than 4 links"),
    ] {
        let errors = parse("Encounter", query, Handling::Lenient).expect_err(query);
        assert!(errors[0].to_string().contains(expected), "{query}: {errors:?}");
    }
    assert!(parse("Nothing", "", Handling::Lenient).is_err());
    let errors = parse("Patient", "foo=1&birthdate=x&bar=2", Handling::Strict).expect_err("three");
    assert_eq!(errors.len(), 3, "all that is wrong is told");
}

fn chart() -> Vec<Value> {
    vec![
        json!({"resourceType": "Patient", "name": [{"family": "Adams"}], "gender": "male"}),
        json!({"resourceType": "Encounter", "status": "finished", "subject": {"reference": "Patient/0"},
               "partOf": {"reference": "Encounter/4"}, "period": {"start": "2024-01-02"}}),
        json!({"resourceType": "Observation", "encounter": {"reference": "Encounter/1"},
               "subject": {"reference": "Patient/0"}, "code": {"coding": [{"code": "bp"}]},
               "performer": [{"reference": "Practitioner/far"}], "valueQuantity": {"value": 10.0}}),
        json!({"resourceType": "Provenance", "target": [{"reference": "Observation/2"}]}),
        json!({"resourceType": "Encounter", "status": "planned", "subject": {"reference": "Patient/0"},
               "period": {"start": "2024-01-02", "end": "2024-02-02"}}),
        json!({"resourceType": "Observation", "subject": {"reference": "Patient/0"}, "valueQuantity": {"value": 9}}),
        json!({"resourceType": "Patient", "name": [{"family": "Zed"}, {"family": "Baker"}]}),
    ]
}

/// Reads lines of `Type?query => places`, sorted by their keys.
#[test]
fn chains_sorts_and_includes() {
    let chart = chart();
    let entries =
        chart.iter().enumerate().map(|(at, it)| Entry::new(it, &at.to_string(), "2024-01-01"));
    let pool = Pool::new(entries.collect());
    let table = "
        Observation?subject:Patient.family=adams                         => 2 5
        Observation?patient.family=baker                                 => -
        Observation?patient.name=adams&code=bp                           => 2
        Observation?encounter.part-of.status=planned                     => 2
        Observation?encounter.patient.gender=male                        => 2
        Observation?encounter.status=planned                             => -
        Patient?_has:Observation:patient:code=bp                         => 0
        Patient?_has:Encounter:patient:status=arrived                    => -
        Patient?_has:Observation:patient:_has:Provenance:target:_id=3    => 0
        Encounter?_has:Observation:encounter:code=bp                     => 1
        Observation?encounter._has:Observation:encounter:code=bp         => 2
        Observation?_sort=value-quantity                                 => 5 2
        Observation?_sort=-value-quantity                                => 2 5
        Observation?_sort=code                                           => 2 5
        Observation?_sort=-code                                          => 2 5
        Patient?_sort=family                                             => 0 6
        Patient?_sort=-family                                            => 6 0
        Encounter?_sort=date,-_id                                        => 4 1
        Encounter?_sort=-date                                            => 1 4
        Patient?                                                         => 0 6
        Observation?_revinclude=Provenance:target                        => 2 5 + 3
        Observation?_include=Observation:encounter                       => 2 5 + 1
        Observation?_include=Observation:encounter&_include:iterate=Encounter:part-of => 2 5 + 1 4
        Observation?_include=Observation:encounter&_include=Encounter:part-of => 2 5 + 1
        Observation?_include=Observation:performer                       => 2 5 + Practitioner/far
        Observation?_include=Observation:performer:Organization          => 2 5
        Observation?_include=*&code=bp                                   => 2 + 1 0 Practitioner/far
        Patient?_revinclude=Observation:patient&_revinclude:iterate=Provenance:target&gender=male => 0 + 2 5 3
    ";
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (query, expected) = line.split_once("=>").expect(line);
        let (kind, query) = query.trim().split_once('?').expect(line);
        let query =
            parse(kind, query, Handling::Strict).unwrap_or_else(|it| panic!("{line}: {it:?}"));
        let mut places = query.select(&pool);
        places.reverse();
        query.sort(&pool, &mut places, |at| at);
        let included = query.include(&pool, &places);
        let mut words: Vec<_> = places.iter().map(ToString::to_string).collect();
        if words.is_empty() {
            words.push("-".to_owned());
        }
        if included != Default::default() {
            words.push("+".to_owned());
        }
        words.extend(included.entries.iter().map(ToString::to_string));
        words.extend(included.absent);
        assert_eq!(words.join(" "), expected.trim(), "{line}");
    }
}

#[test]
fn a_query_says_whose_charts_it_needs() {
    for (query, expected) in [
        ("Observation?patient=1", "1"),
        ("Observation?patient=Patient/1,https://us.example/fhir/Patient/2", "1 2"),
        ("Observation?patient=1&subject=Patient/2", "-"),
        ("Observation?subject=Patient/1", "1"),
        ("Observation?subject:Patient=1", "1"),
        ("Observation?subject=1", "all"),
        ("Observation?subject=Group/1", "all"),
        ("Observation?patient=https://b.example/Patient/1", "all"),
        ("Observation?patient:missing=true", "all"),
        ("Observation?patient.name=x", "all"),
        ("Observation?code=1", "all"),
        ("Patient?_id=1", "1"),
        ("Patient?_id:not=1", "all"),
        ("Patient?name=x", "all"),
        ("Encounter?_id=1", "all"),
        ("Coverage?beneficiary=Patient/1", "1"),
        ("DeviceUseStatement?patient=1", "1"),
        ("Observation?subject=Patient/../x", "all"),
        ("Observation?patient=Patient/", "all"),
        ("Observation?patient=..", "all"),
        ("Patient?_id=..", "all"),
        ("Patient?_id=a_b", "all"),
        ("Observation?patient=1,..", "all"),
    ] {
        let (kind, pairs) = query.split_once('?').expect(query);
        let parsed = parse(kind, pairs, Handling::Strict).expect(query);
        let patients = match parsed.patients() {
            None => "all".to_owned(),
            Some(patients) if patients.is_empty() => "-".to_owned(),
            Some(patients) => patients.into_iter().collect::<Vec<_>>().join(" "),
        };
        assert_eq!(patients, expected, "{query}");
    }
    let query =
        "encounter.part-of.status=x&_revinclude=Provenance:target&_include=Observation:specimen";
    let query = parse("Observation", query, Handling::Strict).expect("it is right");
    let types = ["Encounter", "Observation", "Provenance", "Specimen"];
    assert_eq!(query.types(), BTreeSet::from(types));
}

#[test]
fn result_parameters_are_read_and_written_again() {
    let query = "name:exact=J%C3%BCrgen+M&_count=20&_sort=-birthdate,family&_total=none&_elements=name,id&_format=json";
    let parsed = parse("Patient", query, Handling::Lenient).expect("it is right");
    assert_eq!(parsed.count, Some(20));
    assert_eq!(parsed.total, Some(Total::None));
    let elements = ["id", "name"].map(str::to_owned);
    assert_eq!(parsed.shape, Shape::Elements(BTreeSet::from(elements)));
    let canonical = parsed.canonical();
    let expected = "name:exact=J%C3%BCrgen%20M&_count=20&_sort=-birthdate,family&_total=none&_elements=name,id";
    assert_eq!(canonical, expected);
    assert_eq!(parse("Patient", &canonical, Handling::Strict), Ok(parsed));
}

#[test]
fn parts_are_the_stored_bytes_and_say_that_they_are_parts() {
    const TAG: &str = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#;
    let json = r#"{"resourceType":"Observation","id":"1","meta": {"tag":[ {"code":"x"} ]},
        "text": {"div":"<p/>"}, "status" : "final","code":{"text": "\u0041"},"note":[{"text":"n"}],
        "valueQuantity":{"value":72.50},"_status":{"id":"s"},
        "component":[{"code":{},"referenceRange":[],"valueInteger":1e5,"id":"c"}]}"#;
    let meta = format!(r#""meta":{{"tag":[ {{"code":"x"}} ,{TAG}]}}"#);
    let always = r#""status":"final","code":{"text": "\u0041"}"#;
    let check = |wanted: Shape, expected: String| {
        let part = shape(json, &wanted).expect("it is a resource").expect("it has a part");
        assert_eq!(part, expected, "{wanted:?}");
    };
    let head = format!(r#"{{"resourceType":"Observation","id":"1",{meta}"#);
    let elements =
        |names: &[&str]| Shape::Elements(names.iter().map(|it| (*it).to_owned()).collect());
    check(
        elements(&["value"]),
        format!(r#"{head},{always},"valueQuantity":{{"value":72.50}},"_status":{{"id":"s"}}}}"#),
    );
    check(
        Shape::Text,
        format!(r#"{head},"text":{{"div":"<p/>"}},{always},"_status":{{"id":"s"}}}}"#),
    );
    check(
        Shape::Summary,
        format!(
            r#"{head},{always},"valueQuantity":{{"value":72.50}},"_status":{{"id":"s"}},{}}}"#,
            r#""component":[{"code":{},"valueInteger":1e5,"id":"c"}]"#
        ),
    );
    assert_eq!(shape(json, &Shape::Whole), Ok(Some(json.to_owned())));
    assert_eq!(shape(json, &Shape::Count), Ok(None));
    let again = shape(json, &Shape::Data).unwrap().unwrap();
    assert_eq!(shape(&again, &Shape::Data), Ok(Some(again.clone())), "a part is marked once");
    assert!(!again.contains("<p/>"));
    let bare = shape(r#"{"resourceType":"Patient"}"#, &Shape::Summary).unwrap().unwrap();
    assert_eq!(bare, format!(r#"{{"resourceType":"Patient","meta":{{"tag":[{TAG}]}}}}"#));
}

#[test]
fn what_is_no_resource_has_no_parts() {
    let deep = format!(r#"{{"resourceType":"Patient","x":{}"#, "[".repeat(100_000));
    for json in [
        "",
        "[]",
        "7",
        "{",
        "{}",
        &deep,
        r#"{"resourceType":7}"#,
        r#"{"resourceType":"Patient","meta":[]}"#,
        r#"{"resourceType":"Patient","meta":{"tag":{}}}"#,
        r#"{"resourceType":"Patient","id":"1","id":"2"}"#,
    ] {
        assert!(shape(json, &Shape::Summary).is_err(), "{json}");
    }
    let unknown = r#"{"resourceType":"Unknown","x":1}"#;
    assert_eq!(shape(unknown, &Shape::Summary), Ok(Some(unknown.to_owned())));
}

#[test]
fn what_us_core_asks_for_is_served() {
    let table = "
        AllergyIntolerance: patient clinical-status
        CarePlan: patient category date status
        CareTeam: patient status role
        Condition: patient category clinical-status code encounter onset-date recorded-date abatement-date asserted-date
        Coverage: patient
        Device: patient type status
        DiagnosticReport: patient status category code date
        DocumentReference: _id patient status category type date period
        Encounter: _id patient class date identifier location status type discharge-disposition
        Goal: patient lifecycle-status target-date description
        Immunization: patient status date
        Location: name address address-city address-state address-postalcode
        MedicationDispense: patient status type
        MedicationRequest: patient status intent authoredon encounter
        Observation: patient status category code date
        Organization: name address
        Patient: _id birthdate family gender given identifier name death-date race ethnicity gender-identity
        Practitioner: _id name identifier
        PractitionerRole: specialty practitioner
        Procedure: patient status date code
        Provenance: target
        QuestionnaireResponse: patient _id status authored questionnaire
        RelatedPerson: patient _id name
        ServiceRequest: patient status category code authored _id
        Specimen: _id patient
    ";
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (kind, names) = line.split_once(':').expect(line);
        let served: BTreeSet<_> = table::parameters(kind).map(|it| it.name).collect();
        for name in names.split_whitespace() {
            assert!(served.contains(name), "{kind}.{name}");
        }
    }
}

#[test]
fn a_bare_patient_is_no_group() {
    for (kind, field) in [("DeviceUseStatement", "subject"), ("Immunization", "patient")] {
        for (reference, expected) in [("Patient/1", "yes"), ("Group/1", "no")] {
            let it = json!({"resourceType": kind, field: {"reference": reference}});
            check(&it, &format!("patient=1 => {expected}"));
            let typed = json!({"resourceType": kind,
                field: {"reference": reference, "type": "Patient"}});
            check(&typed, &format!("patient=1 => {expected}"));
        }
    }
}

/// A code without a system beside it is of its value set's, whichever way a query writes it.
#[test]
fn a_code_that_stands_alone_has_the_system_of_its_value_set() {
    const HL7: &str = "http://hl7.org/fhir";
    const V3: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
    let home = json!([{"use": "home"}]);
    for kind in ["Location", "Organization", "Patient", "Practitioner", "RelatedPerson"] {
        let resource = json!({"resourceType": kind, "address": home});
        check(&resource, &format!("address-use={HL7}/address-use|home => yes"));
        check(&resource, &format!("address-use={HL7}/name-use|home => no"));
        check(&resource, "address-use=home => yes");
    }
    let composition = json!({"resourceType": "Composition", "confidentiality": "R"});
    check(&composition, &format!("confidentiality={V3}|R => yes"));
    check(&composition, "confidentiality=|R => no");
    let task = json!({"resourceType": "Task", "intent": "order"});
    check(&task, &format!("intent={HL7}/request-intent|order => yes"));
    let attachment = json!({"contentType": "text/plain", "language": "de"});
    let document =
        json!({"resourceType": "DocumentReference", "content": [{"attachment": attachment}]});
    check(&document, "contenttype=urn:ietf:bcp:13|text/plain => yes");
    check(&document, "language=urn:ietf:bcp:47|de => yes");
}

#[test]
fn a_part_of_a_composite_has_the_system_of_its_value_set() {
    check(
        &json!({"resourceType": "DocumentReference",
            "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/1"}}]}),
        "
        relationship=DocumentReference/1$http://hl7.org/fhir/document-relationship-type|replaces => yes
        relationship=DocumentReference/1$replaces       => yes
        relationship=DocumentReference/1$urn:x|replaces => no
        relationship=DocumentReference/2$replaces       => no
        ",
    );
}

#[test]
fn an_identifier_that_is_also_a_code_is_not_found_where_no_index_has_it() {
    let resource = json!({"resourceType": "Patient", "identifier": {
        "code": "other", "value": "v", "type": {"coding": [{"system": "urn:s", "code": "MR"}]}}});
    check(&resource, "identifier:of-type=urn:s|MR|v => no");
}

#[test]
fn vowels_of_other_scripts_are_letters() {
    let named = |name: &str| json!({"resourceType": "Patient", "name": [{"family": name}]});
    check(
        &named("राम"),
        "
        family=राम  => yes
        family=रीमा => no
        ",
    );
    check(
        &named("สมชาย ดี"),
        "
        family=สมชาย ดี => yes
        family=สมชาย ดา => no
        ",
    );
    // Marks of Hebrew and Arabic are left out as often as they are written.
    check(
        &named("مُحَمَّد أحمد"),
        "
        family=محمد احمد => yes
        ",
    );
}

#[test]
fn what_an_index_does_not_hold_hides_nothing() {
    let names: Vec<_> = (0..600).map(|at| json!({"family": format!("n{at}")})).collect();
    let long = "é".repeat(1_000);
    let resource = json!({"resourceType": "Patient", "name": names, "identifier": {"value": long}});
    let entry = Entry::new(&resource, "a", "2024");
    let held = keys(&entry, BASE);
    let of =
        |parameter| held.iter().filter(move |(name, _)| *name == parameter).map(|(_, key)| key);
    assert_eq!(of("family").collect::<Vec<_>>(), [&Key::Any]);
    for query in ["family=n599", &format!("identifier={long}"), &format!("identifier=|{long}")] {
        let query = parse("Patient", query, Handling::Strict).expect("it is right");
        assert!(query.matches(&entry));
        for (parameter, probes) in query.probes() {
            assert!(of(parameter).any(|key| probes.iter().any(|probe| probe.hits(key))));
        }
    }
    assert!(
        of("identifier").all(|key| matches!(key, Key::Text(text) if text.len() <= KEY_BYTES_MAX))
    );
}

/// A long text that would take minutes if it were normalised again for each alternative.
#[test]
fn a_long_text_is_normalised_once() {
    let long = "é ".repeat(200_000);
    let resource = json!({
        "resourceType": "Observation", "code": {"text": long, "coding": [{"code": "a"}]}, "valueString": long,
    });
    let entry = Entry::new(&resource, "a1", "2024-05-01");
    let many = |value: &str| vec![value; 1_000].join(",");
    for (query, is_match) in [
        (format!("code:text={}", many("no")), false),
        (format!("code:text={},e%20e", many("no")), true),
        (format!("code-value-string={}", many("a$no")), false),
        (format!("code-value-string={},a$e%20e", many("a$no")), true),
    ] {
        let query = parse("Observation", &query, Handling::Strict).expect("it is right");
        assert_eq!(query.matches(&entry), is_match);
    }
}

/// Long values that would take a minute if they were read again for each alternative.
#[test]
fn a_long_value_is_read_once() {
    const DIGITS: usize = 2_000_000;
    let number = format!("1.{}", "0".repeat(DIGITS));
    let number: Value = serde_json::from_str(&number).expect("it is a number");
    let uuid = "A".repeat(DIGITS);
    let resource = json!({
        "resourceType": "Observation",
        "valueQuantity": {"value": number},
        "subject": {"reference": format!("urn:uuid:{uuid}")},
        "encounter": {"reference": format!("Encounter/{uuid}")},
        "effectiveDateTime": format!("2024-05-01T08:00:00.{}Z", "1".repeat(DIGITS)),
    });
    let entry = Entry::new(&resource, "a1", "2024-05-01");
    for (name, other, own) in [
        ("value-quantity", "7", None),
        ("subject", "urn:uuid:7", None),
        ("encounter", "Encounter/7", None),
        ("date", "2024-05-02", Some("2024-05-01")),
    ] {
        let many = vec![other; 1_000].join(",");
        for (own, is_match) in [(None, false), (own, own.is_some())] {
            let value = own.map_or(many.clone(), |own| format!("{many},{own}"));
            let query = parse("Observation", &format!("{name}={value}"), Handling::Strict);
            assert_eq!(query.expect("it is right").matches(&entry), is_match, "{name}");
        }
    }
}

#[test]
fn rings_and_wide_chains_end() {
    let ring: Vec<_> = (0..200)
        .map(|at| {
            let next = format!("Encounter/{}", (at + 1) % 200);
            json!({"resourceType": "Encounter", "partOf": {"reference": next}})
        })
        .collect();
    let entries = ring.iter().enumerate().map(|(at, it)| Entry::new(it, &at.to_string(), "2024"));
    let pool = Pool::new(entries.collect());
    let query = "_id=0&_include:iterate=Encounter:part-of&_revinclude:iterate=Encounter:part-of";
    let query = parse("Encounter", query, Handling::Strict).expect("it is right");
    let matches = query.select(&pool);
    assert_eq!(matches, [0]);
    assert_eq!(query.include(&pool, &matches).entries.len(), 199);
    let query = parse("Encounter", "part-of.part-of.part-of.part-of._id=4", Handling::Strict);
    assert_eq!(query.expect("four links are allowed").select(&pool), [0]);

    for wide in ["target.subject.name=x", "target.target.target.target._id=x"] {
        let outcome = parse("Provenance", wide, Handling::Strict);
        let is_bounded = outcome.as_ref().is_ok_and(|it| it.types().len() > 1)
            || outcome == Err(vec![SearchError::TooMany { what: "conditions", most: CLAUSES_MAX }]);
        assert!(is_bounded, "{wide}: {outcome:?}");
    }
    let nowhere =
        parse("AdverseEvent", "study.name=x", Handling::Strict).expect_err("no study is served");
    assert!(nowhere[0].is_ignorable());
}

#[test]
fn a_capability_statement_can_tell_all_that_is_served() {
    let types: Vec<_> = table::resource_types().collect();
    assert!(types.contains(&"Binary") && types.len() > 50);
    for kind in types {
        for parameter in table::parameters(kind) {
            assert!(parameter.definition(kind).starts_with("http://hl7.org/fhir/"));
            let documentation = parameter.documentation();
            assert!(
                documentation.starts_with("Look")
                    || documentation.contains("ersion")
                    || parameter.name == "_id"
            );
            // What is said to be served is: with `missing`, each parameter is read.
            let query = format!("{}:missing=false", parameter.name);
            parse(kind, &query, Handling::Strict)
                .unwrap_or_else(|it| panic!("{kind}?{query}: {it:?}"));
        }
        for (name, includes) in [
            ("_include", table::includes(kind).collect::<Vec<_>>()),
            ("_revinclude", table::reverse_includes(kind).collect()),
        ] {
            for include in includes {
                let query = format!("{name}={include}");
                parse(kind, &query, Handling::Strict)
                    .unwrap_or_else(|it| panic!("{kind}?{query}: {it:?}"));
            }
        }
    }
    assert!(table::reverse_includes("Observation").any(|it| it == "Provenance:target"));
    let modifiers = |name| {
        table::parameters("Patient").find(|it| it.name == name).map(|it| it.modifiers().collect())
    };
    assert_eq!(modifiers("_id"), Some(vec!["missing", "not"]));
    assert_eq!(modifiers("gender"), Some(vec!["missing", "not", "text"]));
    assert_eq!(table::parameters("Nothing").count(), 0);
}

/// Small things that are, or are near, what resources and queries are made of.
const WORDS: &[&str] = &[
    "a",
    "A",
    "é",
    "Ab c",
    "",
    "a|b",
    "http://s",
    "http://s|a",
    "Patient/1",
    "urn:uuid:A",
    "2024",
    "2024-05",
    "2024-05-01T08:00:00Z",
    "true",
    "5.40",
    "5",
    "gt5",
    "lt2024-05",
    "|a",
    "a,b",
    "a$b",
    "\\",
    "-",
    "1",
];

const NAMES: &[&str] = &[
    "coding",
    "system",
    "code",
    "value",
    "text",
    "reference",
    "start",
    "end",
    "family",
    "given",
    "identifier",
    "type",
    "low",
    "event",
    "repeat",
    "url",
    "extension",
    "valueCoding",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![proptest::sample::select(WORDS).prop_map(str::to_owned), ".{0,300}"]
}

fn element() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        word().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        (-9_i64..9).prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::vec((proptest::sample::select(NAMES), inner), 0..4).prop_map(
                |it| {
                    Value::Object(
                        it.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                    )
                }
            ),
        ]
    })
}

fn resource() -> impl Strategy<Value = Value> {
    let elements = (element(), element(), element(), element(), element());
    elements.prop_map(|(name, identifier, managing, birth, meta)| {
        json!({"resourceType": "Patient", "name": name, "identifier": identifier,
               "managingOrganization": managing, "birthDate": birth, "meta": meta, "gender": "other"})
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_index_hit_is_a_superset_of_matches(
        resource in resource(),
        name in proptest::sample::select(&[
            "name", "name:exact", "family", "identifier", "identifier:of-type", "organization", "birthdate",
            "_profile", "_profile:below", "_tag", "gender", "_id", "_lastUpdated",
        ][..]),
        value in word(),
    ) {
        let entry = Entry::new(&resource, "a", "2024-05-01T08:00:00Z");
        let held = keys(&entry, BASE);
        // What stands in the resource is asked for too, so that there are matches.
        let texts = resource.to_string();
        let own = texts.split('"').filter(|it| !it.is_empty() && it.len() < 600).map(str::to_owned);
        for value in own.chain([value]) {
            let pairs = [(name.to_owned(), value)];
            let options = Options { base: BASE, now_ms: NOW_MS, handling: Handling::Strict };
            let Ok(query) = Query::parse("Patient", &pairs, options) else { continue };
            prop_assert_eq!(parse("Patient", &query.canonical(), Handling::Strict), Ok(query.clone()));
            if query.matches(&entry) {
                for (parameter, probes) in query.probes() {
                    let mut own = held.iter().filter(|(name, _)| *name == parameter);
                    let is_hit = own.any(|(_, key)| probes.iter().any(|probe| probe.hits(key)));
                    prop_assert!(is_hit, "{:?} {:?} {:?}", pairs, probes, held);
                }
            }
        }
    }

    #[test]
    fn no_query_and_no_resource_makes_a_search_fail(name in "[_a-z:.A-Z-]{0,40}", value in word(), it in resource()) {
        let pairs = [(name, value)];
        let options = Options { base: BASE, now_ms: NOW_MS, handling: Handling::Lenient };
        if let Ok(query) = Query::parse("Patient", &pairs, options) {
            let pool = Pool::new(vec![Entry::new(&it, "1", "now")]);
            let mut places = query.select(&pool);
            query.sort(&pool, &mut places, |at| at);
            query.include(&pool, &places);
        }
        for wanted in [Shape::Summary, Shape::Text, Shape::Data] {
            let _ = shape(&it.to_string(), &wanted);
        }
    }
}

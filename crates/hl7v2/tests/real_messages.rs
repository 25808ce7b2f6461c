//! Messages that others wrote, kept outside the repository. `KEEPWELL_DATA` names the folder that has `hl7v2/`;
//! without it the folder `shared/data` beside the repository is tried.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keepwell_fhir::bundle::{Owner, split};
use keepwell_hl7v2::{
    charset::CharacterSet,
    map::{Identifier, Mapped, Reception, Record, map},
    message::Message,
};
use serde_json::Value;

fn messages() -> Vec<(String, Vec<u8>)> {
    let folder = match env::var_os("KEEPWELL_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let Ok(files) = fs::read_dir(folder.join("hl7v2")) else {
        println!("SKIPPED: no hl7v2/ in {}; set KEEPWELL_DATA", folder.display());
        return Vec::new();
    };
    let mut paths: Vec<_> =
        files.map(|file| file.expect("the folder is readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "hl7"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.file_stem().expect("it was listed").to_string_lossy().into_owned();
            (name, fs::read(path).expect("the file is readable"))
        })
        .collect()
}

fn name(number: u32) -> [u8; 16] {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn mapped(name_of_file: &str, bytes: &[u8]) -> Mapped {
    let message = Message::parse(bytes, CharacterSet::Utf8).expect(name_of_file);
    let reception = Reception {
        namespace: "https://hospital.example/feed",
        received_ms: 1_790_000_000_000,
        zone: None,
        digest: [0; 32],
        name: &name,
    };
    map(&message, &reception).expect(name_of_file)
}

fn records() -> Vec<(String, Vec<u8>, Record)> {
    messages()
        .into_iter()
        .filter_map(|(name, bytes)| match mapped(&name, &bytes) {
            Mapped::Record(record) => Some((name, bytes, record)),
            Mapped::Merge(_) => None,
        })
        .collect()
}

/// Of a record, what stands at a JSON pointer of the first resource of a type; `#` counts its resources.
fn found(record: &Record, resource_type: &str, pointer: &str) -> String {
    let entries = record.bundle["entry"].as_array().expect("it is a list");
    let of_type = || {
        entries
            .iter()
            .map(|entry| &entry["resource"])
            .filter(|r| r["resourceType"] == resource_type)
    };
    if pointer == "#" {
        return of_type().count().to_string();
    }
    match of_type().next().and_then(|resource| resource.pointer(pointer)) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::from("-"),
    }
}

#[test]
fn key_fields_are_found() {
    let table = "
        ADT-A01-01  Patient             /identifier/0/value                      PATID1234
        ADT-A01-01  Patient             /name/0/family                           EVERYMAN
        ADT-A01-01  Patient             /birthDate                               1988-08-18
        ADT-A01-01  Patient             /_birthDate/extension/0/valueDateTime    1988-08-18T11:26:00+02:15
        ADT-A01-01  Patient             /gender                                  male
        ADT-A01-01  Patient             /deceasedDateTime                        2008-08-25T11:16:30+01:15
        ADT-A01-01  Patient             /maritalStatus/coding/0/code             M
        ADT-A01-01  Patient             /generalPractitioner/0/display           LINDAS_TEST_ORGANIZATION
        ADT-A01-01  RelatedPerson       /name/0/family                           Evan
        ADT-A01-01  Encounter           /status                                  planned
        ADT-A01-01  Encounter           /class/code                              PRENC
        ADT-A01-01  Encounter           /period/start                            2015-02-08T11:34:19+01:10
        ADT-A01-01  Encounter           /hospitalization/reAdmission/coding/0/code  R
        ADT-A01-01  Encounter           /hospitalization/admitSource/text        NHS_Provider-General_(inc.A&E-this_Hosp)
        ADT-A01-01  AllergyIntolerance  /code/coding/0/display                   PENICILLIN
        ADT-A01-01  AllergyIntolerance  /reaction/0/severity                     mild
        ADT-A01-01  Condition           /code/coding/0/system                    http://snomed.info/sct
        ADT-A01-01  Condition           /onsetDateTime                           2004-01-25T11:40:25+04:20
        ADT-A01-01  Coverage            /subscriberId                            HMO-12345
        ADT-A01-01  Procedure           /code/coding/0/code                      76164006
        ADT-A01-01  Observation         /component/1/valueQuantity/value         120
        ADT-A03-01  Encounter           /status                                  finished
        ADT-A03-01  Encounter           /period/end                              2015-02-09T11:34:19+01:10
        ADT-A04-01  Encounter           #                                        1
        ADT-A08-01  Patient             #                                        1
        ADT-A31-01  Patient             #                                        1
        ADT01-23    Patient             /name/0/given/0                          DONALD
        ADT01-23    Encounter           /class/code                              IMP
        ADT01-23    Coverage            #                                        3
        ADT01-23    Condition           /code/coding/0/system                    http://hl7.org/fhir/sid/icd-9-cm
        ADT04-28    Patient             /birthDate                               2008-01-06
        ADT04-28    Patient             /generalPractitioner/0/identifier/system http://hl7.org/fhir/sid/us-npi
        ADT04-28    RelatedPerson       /relationship/0/coding/0/code            Mother
        LAB-ORU-1   DiagnosticReport    #                                        2
        LAB-ORU-1   Observation         #                                        10
        LAB-ORU-1   Specimen            #                                        2
        LAB-ORU-1   DiagnosticReport    /code/coding/0/code                      24317-0
        LAB-ORU-1   DiagnosticReport    /status                                  final
        LAB-ORU-1   Observation         /dataAbsentReason/coding/0/code          unknown
        MDM-T02-01  DocumentReference   /docStatus                               final
        MDM-T02-01  DocumentReference   /content/0/attachment/contentType        application/pdf
        MDM-T02-01  ServiceRequest      /code/coding/0/code                      02585
        MDM-T02-01  Observation         /valueString                             1.2.840.317.5947431.51
        MDM-T02-02  DocumentReference   /content/0/attachment/contentType        text/plain;_charset=utf-8
        MDM-T02-02  ServiceRequest      #                                        2
        MDM-T02-02  Observation         #                                        0
        ORU-R01-01  Patient             /identifier/0/system                     urn:oid:2.16.840.1.114222.4.3.3.5.1.2
        ORU-R01-01  DiagnosticReport    /status                                  final
        ORU-R01-01  DiagnosticReport    /effectiveDateTime                       2002-02-15T07:30:00+02:15
        ORU-R01-01  Observation         /valueCodeableConcept/coding/0/code      27268008
        ORU-R01-01  Observation         /note/1/text                             No_Antibodies_Detected
        ORU-R01-01  ServiceRequest      /note/1/text                             Allergy_to_peanuts_observed.
        ORU-R01-01  Specimen            /collection/collectedPeriod/start        2011-01-03T14:34:28-08:00
        RDE-O11-01  MedicationRequest   #                                        2
        RDE-O11-01  MedicationRequest   /intent                                  original-order
        RDE-O11-01  MedicationRequest   /medicationCodeableConcept/coding/0/code 00047040230
        RDE-O25-01  MedicationRequest   /dispenseRequest/numberOfRepeatsAllowed  12
        SIU-S12-01  Appointment         /status                                  booked
        SIU-S12-01  Appointment         /start                                   2021-09-24T09:30:00+02:15
        SIU-S12-01  Appointment         /minutesDuration                         1
        SIU-S12-01  Appointment         /serviceType/0/coding/0/code             76164006
        VXU-V04-01  Immunization        /status                                  completed
        VXU-V04-01  Immunization        /vaccineCode/coding/0/code               49281021588
        VXU-V04-01  Immunization        /doseQuantity/value                      0.5
        VXU-V04-01  Immunization        /lotNumber                               315841
        VXU-V04-01  Immunization        /site/coding/0/code                      RD
        VXU-V04-01  Observation         #                                        5
    ";
    let records = records();
    let mut wrong = Vec::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !records.is_empty())
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [file, resource_type, pointer, expected] = words[..] else {
            panic!("four words: {line}")
        };
        let (.., record) = records.iter().find(|(name, ..)| name == file).expect(file);
        let found = found(record, resource_type, pointer).replace(' ', "_");
        if found != expected {
            wrong.push(format!("{line}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_merge_is_told_and_not_carried_out() {
    for (name, bytes) in messages() {
        let Mapped::Merge(merges) = mapped(&name, &bytes) else { continue };
        assert_eq!(name, "ADT-A40-01");
        let system = "https://hospital.example/feed/BCBS".to_string();
        assert_eq!(merges.len(), 1);
        let id = |value: &str| Identifier { system: system.clone(), value: value.to_string() };
        assert_eq!(merges[0].surviving, [id("12345")]);
        assert_eq!(merges[0].subsumed, [id("56789")]);
    }
}

/// All references by URL anywhere in a resource.
fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().filter(|_| key == "reference") {
                    Some(url) => found.push(url),
                    None => references(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn references_resolve_and_names_are_used_once() {
    for (name, _, record) in records() {
        let entries = record.bundle["entry"].as_array().expect(&name);
        let urls: BTreeSet<&str> =
            entries.iter().map(|entry| entry["fullUrl"].as_str().expect(&name)).collect();
        assert_eq!(urls.len(), entries.len(), "{name}");
        let mut found = Vec::new();
        references(&record.bundle, &mut found);
        assert!(found.len() >= entries.len(), "{name}: the Provenance alone names them all");
        assert!(found.iter().all(|url| urls.contains(url)), "{name}");
        let conditions: Vec<&Value> = entries.iter().map(|entry| &entry["request"]).collect();
        for request in &conditions {
            let is_conditional = request.get("ifNoneExist").is_some() || request["method"] == "PUT";
            let same = conditions.iter().filter(|other| *other == request).count();
            assert!(!is_conditional || same == 1, "{name}: {request}");
        }
    }
}

#[test]
fn nothing_in_a_bundle_is_empty() {
    fn check(name: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                assert!(!fields.is_empty(), "{name}");
                fields.values().for_each(|value| check(name, value));
            }
            Value::Array(list) => {
                assert!(!list.is_empty(), "{name}");
                list.iter().for_each(|value| check(name, value));
            }
            Value::String(text) => {
                assert!(!text.trim().is_empty() && text != "\"\"", "{name}");
            }
            Value::Null => panic!("{name}: null"),
            Value::Bool(_) | Value::Number(_) => {}
        }
    }
    for (name, _, record) in records() {
        check(&name, &record.bundle);
    }
}

/// What is mapped can be imported: each resource is of the one patient.
#[test]
fn bundles_belong_to_their_patient() {
    for (name, _, record) in records() {
        let json = serde_json::to_vec(&record.bundle).expect(&name);
        let bundle = split(&json, 1 << 24).expect(&name);
        let patient = bundle.resources.iter().position(|r| r.resource_type == "Patient");
        let patient = Owner::Here(patient.expect(&name));
        for resource in &bundle.resources {
            assert_eq!(resource.owner, patient, "{name} {}", resource.resource_type);
        }
    }
}

#[test]
fn the_message_is_attached_as_it_came() {
    for (name, bytes, record) in records() {
        let data = found(&record, "Binary", "/data");
        assert_eq!(STANDARD.decode(data).expect(&name), bytes, "{name}");
    }
}

/// What was not mapped is told by path, and no path has a value in it.
#[test]
fn what_has_no_place_is_listed() {
    for (name, _, record) in records() {
        assert_eq!(record.unmapped_more, 0, "{name}");
        let paths: Vec<String> = record.unmapped.iter().map(|item| item.path.to_string()).collect();
        let sorted = |name: &str| paths.iter().any(|path| path == name);
        if name == "ADT-A01-01" {
            for whole in ["SFT[1]", "ROL[1]", "GT1[1]", "ACC[1]", "PDA[1]", "PID[1]-27[1]"] {
                assert!(sorted(whole), "{whole}");
            }
            assert!(!sorted("PID[1]-5[1].1"));
        }
        let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "[]-.".contains(c);
        assert!(paths.iter().all(|path| path.chars().all(plain)), "{name}");
    }
}

/// Another reader sees the same segments, fields, repetitions and components.
#[test]
fn another_reader_agrees() {
    for (name, bytes) in messages() {
        let message = Message::parse(&bytes, CharacterSet::Utf8).expect(&name);
        let lines: Vec<&str> =
            message.text().lines().filter(|line| !line.trim().is_empty()).collect();
        let text = lines.join("\r");
        let other = hl7_parser::Message::parse(&text).expect(&name);
        assert_eq!(other.segments.len(), message.segments().count(), "{name}");
        for (segment, other) in message.segments().zip(other.segments()) {
            assert_eq!(segment.name(), other.name, "{name}");
            for (number, field) in (1..)
                .zip(&other.fields)
                .filter(|(number, _)| segment.name() != "MSH" || *number > 2)
            {
                assert_eq!(
                    segment.raw_field(number),
                    field.raw_value(),
                    "{name} {}-{number}",
                    segment.name()
                );
                let repeats = field
                    .repeats
                    .iter()
                    .filter(|repeat| !repeat.raw_value().trim_matches(['^', '&', ' ']).is_empty());
                for (part, other) in segment.repetitions(number).zip(repeats) {
                    for (at, component) in (1..).zip(&other.components) {
                        assert_eq!(part.component(at).raw(), component.raw_value(), "{name}");
                        let first =
                            component.subcomponents.first().map_or("", |sub| sub.raw_value());
                        assert_eq!(part.component(at).subcomponent(1).raw(), first, "{name}");
                    }
                }
            }
        }
    }
}

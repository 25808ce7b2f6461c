//! What stands where in FHIR, field by field.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keepwell_hl7v2::{
    charset::CharacterSet,
    map::{Mapped, Offset, Reception, Record, Why, Zone, map},
    message::Message,
    refusal::Refusal,
};
use serde_json::Value;

fn mapped(event: &str, segments: &str) -> Result<Mapped, Refusal> {
    let text = format!("MSH|^~\\&|APP|FAC|||20260430120000+0200||{event}|C1|P|2.5.1\r{segments}");
    let text = text.replace("/\n", "\r").replace('\n', "\r");
    let text: Vec<&str> = text.split('\r').map(str::trim_start).collect();
    let message = Message::parse(text.join("\r").as_bytes(), CharacterSet::Utf8);
    let reception = Reception {
        namespace: "urn:x",
        received_ms: 1_790_000_000_000,
        zone: Offset::parse("-0500").map(Zone::fixed),
        digest: [0; 32],
        name: &|number| [number.to_le_bytes()[0]; 16],
    };
    map(&message.expect("it is a message"), &reception)
}

fn record(event: &str, segments: &str) -> Record {
    match mapped(event, segments) {
        Ok(Mapped::Record(record)) => record,
        other => panic!("{other:?}"),
    }
}

fn resources<'r>(record: &'r Record, resource_type: &str) -> Vec<&'r Value> {
    let entries = record.bundle["entry"].as_array().expect("it is a list");
    let resources = entries.iter().map(|entry| &entry["resource"]);
    resources.filter(|resource| resource["resourceType"] == resource_type).collect()
}

/// Lines of `type | result of OBX => key value`, all of one OBX-5 and OBX-6.
#[test]
fn every_type_of_value_has_its_form() {
    let table = r#"
        NM|1.20|mg^milligram^UCUM       => valueQuantity {"value":1.20,"unit":"milligram","system":"http://unitsofmeasure.org","code":"mg"}
        NM|+007.50|                     => valueQuantity {"value":7.50}
        NM|.5|                          => valueQuantity {"value":0.5}
        NM|-0|                          => valueQuantity {"value":-0}
        NM|12345678901234567890.0001|   => valueQuantity {"value":12345678901234567890.0001}
        NM|1e9|                         => valueString "1e9"
        NM|pending|                     => valueString "pending"
        SN|<^10|mg                      => valueQuantity {"value":10,"unit":"mg","comparator":"<"}
        SN|^100|                        => valueQuantity {"value":100}
        SN|=^100|                       => valueQuantity {"value":100}
        SN|^1^:^128|                    => valueRatio {"numerator":{"value":1},"denominator":{"value":128}}
        SN|^3.0^-^5|g                   => valueRange {"low":{"value":3.0,"unit":"g"},"high":{"value":5,"unit":"g"}}
        SN|^2^+|                        => valueString "^2^+"
        SN|<>^2|                        => valueString "<>^2"
        ST|a\T\b|                       => valueString "a&b"
        TX|one~two|                     => valueString "one\ntwo"
        FT|one\.br\two|                 => valueString "one\ntwo"
        ID|Y|                           => valueString "Y"
        CE|N^No^L|                      => valueCodeableConcept {"coding":[{"system":"urn:x/L","code":"N","display":"No"}],"text":"No"}
        CWE|1^One^LN^2^Two^SCT^7^8^Eins| => valueCodeableConcept {"coding":[{"system":"http://loinc.org","version":"7","code":"1","display":"One"},{"system":"http://snomed.info/sct","version":"8","code":"2","display":"Two"}],"text":"Eins"}
        CWE|^only words|                => valueCodeableConcept {"text":"only words"}
        CNE|X|                          => valueCodeableConcept {"coding":[{"code":"X"}]}
        DT|20260430|                    => valueDateTime "2026-04-30"
        DT|202604|                      => valueDateTime "2026-04"
        TM|1305|                        => valueTime "13:05:00"
        TS|202604301305|                => valueDateTime "2026-04-30T13:05:00+02:00"
        DTM|20260430130501.5-0330|      => valueDateTime "2026-04-30T13:05:01.5-03:30"
        CQ|5^mg|                        => valueQuantity {"value":5,"unit":"mg"}
        NM||                            => dataAbsentReason {"coding":[{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"unknown"}]}
        NM|""|                          => dataAbsentReason {"coding":[{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"unknown"}]}
        DT|31.04.2026|                  => valueString "31.04.2026"
        TS|31.04.2026 10:00|            => valueString "31.04.2026 10:00"
        TM|noon|                        => valueString "noon"
        SN|<^trace|                     => valueString "<^trace"
        SN|""^""|                       => dataAbsentReason {"coding":[{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"unknown"}]}
        CQ|>5^mg|                       => valueString ">5^mg"
        DR|20260430^never|              => valueString "20260430^never"
        DR|20260430|                    => valuePeriod {"start":"2026-04-30"}
    "#;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (input, expected) = line.split_once("=>").expect("input => element");
        let [kind, value, unit] = input.trim().splitn(3, '|').collect::<Vec<_>>()[..] else {
            panic!("type|value|unit: {line}")
        };
        let segments =
            format!("PID|||7\nOBR|1|P|F|1^x^LN\nOBX|1|{kind}|2^y^LN||{value}|{unit}|||||F");
        let record = record("ORU^R01", &segments);
        let observation = resources(&record, "Observation")[0];
        let (key, expected) = expected.trim().split_once(' ').expect("key value");
        assert_eq!(observation[key].to_string(), expected, "{line}");
    }
}

#[test]
fn documents_in_results_are_forms_of_their_report() {
    let data = STANDARD.encode("%PDF");
    let segments = format!(
        "PID|||7\nOBR|1|P|F|1^x^LN\nOBX|1|ED|2^y^LN||A^application^pdf^Base64^{data}||||||F\n\
         OBX|2|ED|2^y^LN||A^text^plain^A^Gr\\XC3BC\\n||||||F\nOBX|3|ED|2^y^LN||A^x^y^Hex^4A6F||||||F\n\
         OBX|4|RP|2^y^LN||https://pacs.example/1^P^image^JPEG||||||F\nOBX|5|ED|2^y^LN||A^x^y^Base64^***||||||F"
    );
    let record = record("ORU^R01", &segments);
    let forms = &resources(&record, "DiagnosticReport")[0]["presentedForm"];
    assert_eq!(forms[0]["data"], data);
    assert_eq!(forms[0]["contentType"], "application/pdf");
    assert_eq!(forms[1]["data"], STANDARD.encode("Grün"));
    assert_eq!(forms[2]["data"], STANDARD.encode("Jo"));
    assert_eq!(forms[3]["url"], "https://pacs.example/1");
    assert_eq!(forms[3]["contentType"], "image/jpeg");
    assert_eq!(forms[4].get("data"), None);
    let told: Vec<String> =
        record.unmapped.iter().filter(|u| u.why == Why::Form).map(|u| u.path.to_string()).collect();
    assert_eq!(told, ["OBX[5]-5[1].5"]);
}

#[test]
fn media_types_are_registered_ones() {
    for (media, expected) in [
        ("AP^pdf", "application/pdf"),
        ("IM^JPEG", "image/jpeg"),
        ("AU^basic", "audio/basic"),
        ("TEXT^plain", "text/plain"),
        ("FT^html", "text/html"),
        ("TX^", "text/plain"),
        ("^application/pdf", "application/pdf"),
        ("^", "application/octet-stream"),
    ] {
        let segments = format!("PID|||7\nOBR|1|P|F|1\nOBX|1|ED|2^y^LN||A^{media}^A^x||||||F");
        let record = record("ORU^R01", &segments);
        let form = &resources(&record, "DiagnosticReport")[0]["presentedForm"][0];
        assert_eq!(form["contentType"], expected, "{media}");
    }
}

#[test]
fn what_is_repeated_is_short() {
    let long = "9".repeat(2_000);
    for (event, segments) in [
        ("ORU^R01", format!("PID|||7\nOBR|1|P|{long}|1\nOBX|1|NM|2||5||||||F")),
        ("ORU^R01", format!("PID|||7\nOBR|1|P|F|1\nOBX|1|NM|{long}||5||||||F")),
        ("ADT^A01", format!("PID|||{long}\nAL1|1|DA|P^Penicillin^L")),
        (
            "RDE^O11",
            format!("PID|||7\nORC|NW|P|F\nRXE||A|5||mg||{}\nTQ1|1||A\nTQ1|2||B", long.repeat(9)),
        ),
    ] {
        let error = mapped(event, &segments).expect_err(event);
        assert!(matches!(error, Refusal::TooLong(_)), "{error}");
    }
    let values = |code: &str, count: usize| {
        let values = ["5"].repeat(count).join("~");
        let obx = format!("OBX|1|NM|2^{code}^L||{values}|mg|||||F");
        let record = record("ORU^R01", &format!("PID|||7\nOBR|1|P|F|1\n{obx}"));
        resources(&record, "Observation")[0].get("component").is_some()
    };
    assert!(values("y", 64));
    assert!(!values("y", 65));
    assert!(!values(&long, 2));
}

#[test]
fn lines_of_one_text_are_one_observation() {
    let segments = "PID|||7\nOBR|1|P|F|1^x^LN\nOBX|1|TX|2^y^LN|1|one||||||F\nOBX|2|TX|2^y^LN|1|two||||||F\n\
                    OBX|3|TX|2^y^LN|2|other||||||F\nOBX|4|TX|2^y^LN|1|again||||||F";
    let record = record("ORU^R01", segments);
    let texts: Vec<&Value> =
        resources(&record, "Observation").iter().map(|o| &o["valueString"]).collect();
    assert_eq!(texts, ["one\ntwo", "other", "again"]);
}

fn request<'r>(record: &'r Record, resource_type: &str, nth: usize) -> &'r Value {
    let entries = record.bundle["entry"].as_array().expect("it is a list");
    let found = |entry: &&Value| entry["resource"]["resourceType"] == resource_type;
    &entries.iter().filter(found).nth(nth).expect(resource_type)["request"]
}

fn told(record: &Record, path: &str) -> bool {
    record.unmapped.iter().any(|unmapped| unmapped.path.to_string().starts_with(path))
}

#[test]
fn what_is_not_sent_again_replaces_nothing() {
    let obr = "PID|||7\nOBR|1|P|F|1^x^LN|||||||||||||||||||||F\n";
    let record = record("ORU^R01", &format!("{obr}OBX|1|NM|2^y^LN||||||||U\nNTE|1||old"));
    assert_eq!(request(&record, "Observation", 0)["method"], "POST");
    assert!(request(&record, "Observation", 0)["ifNoneExist"].is_string());
    assert_eq!(request(&record, "DiagnosticReport", 0)["method"], "PUT");
    assert!(resources(&record, "DiagnosticReport")[0]["result"][0].is_object());
    assert!(told(&record, "OBX[1]-11") && told(&record, "NTE[1]"));

    let record = self::record("ORU^R01", obr);
    assert_eq!(request(&record, "DiagnosticReport", 0)["method"], "POST");
    assert!(told(&record, "OBR[1]-25"));
    let record = self::record("ORU^R01", "PID|||7\nOBR|1|P|F|1^x^LN|||||||||||||||||||||X");
    assert_eq!(request(&record, "DiagnosticReport", 0)["method"], "PUT");
}

#[test]
fn what_is_withdrawn_is_not_shown() {
    for status in ["D", "W", "X"] {
        let obx = format!("OBX|1|ED|PDF^R||^application^pdf^Base64^JVBE||||||{status}");
        let record = record("ORU^R01", &format!("PID|||7\nOBR|1|P|F|1^x^LN\n{obx}"));
        assert_eq!(resources(&record, "DiagnosticReport")[0].get("presentedForm"), None);
        assert!(told(&record, "OBX[1]-11") && told(&record, "OBX[1]-5"), "{status}");

        let text = format!("OBX|2|TX|T||of another||||||{status}\nOBX|3|TX|T||kept||||||F");
        let txa = format!("PID|||7\nTXA|1|CN|TX|||||||||D1|||||AU\n{obx}\n{text}");
        let record = self::record("MDM^T02", &txa);
        let content = &resources(&record, "DocumentReference")[0]["content"];
        assert_eq!(content.as_array().map(Vec::len), Some(1));
        assert_eq!(content[0]["attachment"]["data"], STANDARD.encode("kept"));

        let record = self::record("ADT^A01", &format!("PID|||7\n{obx}||||||||||D9"));
        assert_eq!(resources(&record, "DocumentReference")[0]["status"], "entered-in-error");
        assert_eq!(request(&record, "DocumentReference", 0)["method"], "PUT");
    }
}

#[test]
fn lines_of_another_status_or_time_are_another_text() {
    let segments = "PID|||7\nOBR|1|P|F|1^x^LN\nOBX|1|TX|2^y^LN|1|one||||||F\nOBX|2|TX|2^y^LN|1|wrong||||||W\n\
                    OBX|3|TX|2^y^LN|1|two||||||F|||20260430\nOBX|4|ED|PDF||^text^plain^A^x||||||F\n\
                    OBX|5|TX|2^y^LN|1|three||||||F|||20260430\nOBX|6|TX|2^y^LN|1|four||||||F|||20260430";
    let record = record("ORU^R01", segments);
    let texts: Vec<&Value> =
        resources(&record, "Observation").iter().map(|o| &o["valueString"]).collect();
    assert_eq!(texts, ["one", "wrong", "two", "three\nfour"]);
}

#[test]
fn corrections_are_newer_wherever_they_are_told() {
    let obx = |status: &str| {
        let obx = format!("OBX|1|NM|2^y^LN||80|kg|||||{status}|||20260430");
        let record = record("ADT^A01", &format!("PID|||7^^^H^MR\n{obx}"));
        request(&record, "Observation", 0).clone()
    };
    for status in ["A", "B", "C", "D", "W", "X"] {
        assert_eq!(obx(status)["method"], "PUT", "{status}");
    }
    let first = obx("F");
    assert_eq!(first["method"], "POST");
    let condition = first["ifNoneExist"].as_str().expect("it has a key");
    assert_eq!(obx("C")["url"], format!("Observation?{condition}"));
}

#[test]
fn results_without_sub_id_are_told_apart_by_time() {
    let obx = |at: &str| format!("OBX|1|NM|2^y^LN||5||||||F|||{at}");
    let obr = "PID|||7\nOBR|1|P|F|1^x^LN";
    let (eight, nine) = (obx("202604300800"), obx("202604300900"));
    let both = record("ORU^R01", &format!("{obr}\n{eight}\n{nine}"));
    let second = record("ORU^R01", &format!("{obr}\n{nine}"));
    assert_eq!(request(&both, "Observation", 1), request(&second, "Observation", 0));
    assert_ne!(request(&both, "Observation", 0), request(&second, "Observation", 0));
}

/// What is measured before anything was ordered belongs to no report.
#[test]
fn results_of_no_order_are_of_none() {
    let segments = "PID|||7\nOBX|1|TX|9^height^LN||tall||||||F\nOBR|1|P|F|1^x^LN\nOBX|1|TX|9^height^LN||small||||||F";
    let of = |segments: &str| record("ORU^R01", segments);
    let record = of(segments);
    let texts: Vec<&Value> =
        resources(&record, "Observation").iter().map(|o| &o["valueString"]).collect();
    assert_eq!(texts, ["tall", "small"]);
    let results = &resources(&record, "DiagnosticReport")[0]["result"];
    assert_eq!(results.as_array().map(Vec::len), Some(1));
    assert_eq!(resources(&record, "Observation")[0].get("basedOn"), None);
    // Nothing was told of its own results: those that there are stay.
    let (untold, _) = segments.rsplit_once('\n').expect("the last is of the order");
    assert_eq!(request(&of(untold), "DiagnosticReport", 0)["method"], "POST");
}

/// Without a zone FHIR has the day only; a second result of the day is none the less another.
#[test]
fn two_times_of_a_day_are_two_where_no_zone_is_known() {
    let of = |event: &str, segments: &str, resource_type: &str| {
        let text =
            format!("MSH|^~\\&|APP|FAC|||20260430120000||{event}|1|P|2.5.1\rPID|||7\r{segments}");
        let message = Message::parse(text.as_bytes(), CharacterSet::Utf8).expect("it is a message");
        let name = |number: u32| [number.to_le_bytes()[0]; 16];
        let reception = Reception {
            namespace: "urn:x",
            received_ms: 0,
            zone: None,
            digest: [0; 32],
            name: &name,
        };
        let Ok(Mapped::Record(record)) = map(&message, &reception) else {
            panic!("it is a record")
        };
        requests(&record, resource_type)
    };
    let ordered = |at: &str| {
        let obr = "OBR|1|P|F|1^x^LN|||202604300700\r";
        of("ORU^R01", &format!("{obr}OBX|1|NM|2^y^LN||5||||||F|||{at}"), "Observation")
    };
    assert_ne!(ordered("202604300800"), ordered("202604302000"));
    assert_ne!(ordered("202604300700"), ordered("202604302000"));
    assert_eq!(ordered("202604300800"), ordered("20260430080000"));
    assert_eq!(ordered("202604300700"), ordered(""));
    let measured =
        |at: &str| of("ADT^A01", &format!("OBX|1|NM|2^y^LN||5||||||F|||{at}"), "Observation");
    assert_ne!(measured("202604300800"), measured("202604302000"));
    let visit = |at: &str| of("ADT^A04", &format!("PV1||O{}{at}", "|".repeat(42)), "Encounter");
    assert_ne!(visit("202604300800"), visit("202604302000"));
}

#[test]
fn notes_are_of_what_stands_before_them() {
    let segments = "PID|||7\nORC|RE|P|F\nOBR|1|P|F|1^x^LN\nNTE|1||of the order\nOBX|1|NM|2^y^LN||5||||||F\n\
                    OBX|2|ED|PDF||^text^plain^A^x||||||F\nNTE|1||of the form\nORC|RE|Q|G\nNTE|1||of the next";
    let record = record("ORU^R01", segments);
    assert_eq!(resources(&record, "Observation")[0].get("note"), None);
    assert!(told(&record, "NTE[2]") && told(&record, "NTE[3]") && !told(&record, "NTE[1]"));
    assert_eq!(resources(&record, "ServiceRequest")[0]["note"][0]["text"], "of the order");
    assert_eq!(request(&record, "ServiceRequest", 0)["method"], "PUT");
}

/// A message that says something again, or newer, asks for no second resource.
#[test]
fn what_is_told_again_is_found_again() {
    let request = |event: &str, segments: &str, resource_type: &str| {
        let record = record(event, segments);
        let entries = record.bundle["entry"].as_array().expect("it is a list").clone();
        let entry = entries.iter().find(|entry| entry["resource"]["resourceType"] == resource_type);
        entry.expect(resource_type)["request"].clone()
    };
    let visit = "PID|||7^^^H^MR\nPV1||I|||||||||||||||||9^^^H^VN\nAL1|1|DA|P^Penicillin^L";
    let table = [
        ("ADT^A01", "Patient", "POST"),
        ("ADT^A08", "Patient", "PUT"),
        ("ADT^A31", "Patient", "PUT"),
        ("ADT^A03", "Patient", "POST"),
        ("ADT^A01", "Encounter", "POST"),
        ("ADT^A03", "Encounter", "PUT"),
        ("ADT^A01", "AllergyIntolerance", "POST"),
        ("ADT^A08", "AllergyIntolerance", "PUT"),
    ];
    for (event, resource_type, method) in table {
        let request = request(event, visit, resource_type);
        assert_eq!(request["method"], method, "{event} {resource_type}");
        let is_conditional = request.get("ifNoneExist").is_some()
            || request["url"].as_str().is_some_and(|url| url.contains('?'));
        assert!(is_conditional, "{event} {resource_type}");
    }
    let first = "PID|||7\nOBR|1|P|F|1^x^LN\nOBX|1|NM|2^y^LN||1||||||P";
    let later = "PID|||7\nOBR|1|P|F|1^x^LN\nOBX|1|NM|2^y^LN||2||||||F";
    for resource_type in ["DiagnosticReport", "Observation", "ServiceRequest"] {
        assert_eq!(
            request("ORU^R01", first, resource_type),
            request("ORU^R01", later, resource_type)
        );
    }
}

#[test]
fn local_identifiers_are_the_feeds_own_and_known_ones_are_everybodys() {
    let table = [
        ("7", "urn:x/PID-3", "7"),
        ("7^^^^MR", "urn:x/PID-3/MR", "7"),
        ("7^^^HOSP^MR", "urn:x/HOSP", "7"),
        ("7^^^HOSP&1.2.3&ISO^MR", "urn:oid:1.2.3", "7"),
        ("7^^^&1.2.x&ISO", "urn:x/1.2.x", "7"),
        (
            "7^^^&0A1B2C3D-0000-4000-8000-00000000000F&GUID",
            "urn:uuid:0a1b2c3d-0000-4000-8000-00000000000f",
            "7",
        ),
        ("7^^^&https://a.example/mrn&URI", "https://a.example/mrn", "7"),
        ("7^^^A B", "urn:x/A%20B", "7"),
        ("X^^^^AN~7^^^H^MR", "urn:x/PID-3/AN", "X"),
    ];
    for (field, system, value) in table {
        let record = record("ADT^A28", &format!("PID|||{field}"));
        let identifier = &resources(&record, "Patient")[0]["identifier"][0];
        assert_eq!(
            (identifier["system"].as_str(), identifier["value"].as_str()),
            (Some(system), Some(value)),
            "{field}"
        );
    }
    // The number of the medical record tells patients apart.
    let record = record("ADT^A28", "PID|||X^^^^SS~7,8^^^H^MR");
    let condition = record.bundle["entry"][0]["request"]["ifNoneExist"].as_str();
    assert_eq!(condition, Some("identifier=urn%3Ax%2FH%7C7%5C%2C8"));
}

#[test]
fn what_is_emptied_is_no_value() {
    let record = record("ADT^A08", "PID|||7||DOE^\"\"||\"\"|M|||\"\"");
    let patient = resources(&record, "Patient")[0];
    assert_eq!(patient["name"][0]["family"], "DOE");
    assert!(!patient.to_string().contains("\\\"\\\""));
    let emptied: Vec<String> = record.emptied.iter().map(ToString::to_string).collect();
    assert_eq!(emptied, ["PID[1]-5[1].2", "PID[1]-7[1]", "PID[1]-11[1]"]);
}

#[test]
fn what_is_not_understood_is_told_by_place() {
    let record = record(
        "ADT^A08",
        "PID|||7||DOE||1.1.1970|Q||||||||||||||||||||||nope|x\nZZZ|1|secret\nPV1||I|A^B||||||||||||||||9",
    );
    let told: Vec<String> =
        record.unmapped.iter().map(|u| format!("{} {:?}", u.path, u.why)).collect();
    assert!(told.contains(&"PID[1]-7[1].1 Form".to_string()), "{told:?}");
    assert!(told.contains(&"PID[1]-8[1].1 Form".to_string()), "{told:?}");
    assert!(told.contains(&"ZZZ[1] NoPlace".to_string()), "{told:?}");
    assert!(told.iter().all(|line| !line.contains("secret")));
    assert!(!told.iter().any(|line| line.starts_with("PV1")), "{told:?}");
}

#[test]
fn a_message_is_of_one_patient() {
    let error =
        mapped("ORU^R01", "PID|||7\nOBR|1|P|F|1\nPID|||8\nOBR|1|P|G|1").expect_err("two patients");
    assert!(matches!(error, Refusal::SeveralPatients(_)), "{error}");
}

#[test]
fn merges_have_both_sides_or_are_refused() {
    let two = "PID|||1^^^H^MR\nMRG|2^^^H^MR~3^^^H^MR\nPID|||4^^^H^MR\nMRG|5^^^H^MR";
    let Ok(Mapped::Merge(merges)) = mapped("ADT^A40", two) else { panic!("it is a merge") };
    let values = |ids: &[keepwell_hl7v2::map::Identifier]| {
        ids.iter().map(|id| id.value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(values(&merges[0].subsumed), ["2", "3"]);
    assert_eq!(values(&merges[1].surviving), ["4"]);
    // What both had stays the patient's, and what others may have is nobody's.
    let shared = "PID|||1^^^H^MR~9^^^N^NI~5^^^H^AN\nMRG|9^^^N^NI~2^^^H^MR^^^20200101~5^^^H^AN";
    let Ok(Mapped::Merge(merges)) = mapped("ADT^A40", shared) else { panic!("it is a merge") };
    assert_eq!(values(&merges[0].surviving), ["1", "9"]);
    assert_eq!(values(&merges[0].subsumed), ["2"]);
    for (segments, refusal) in [
        ("PID|||1", "NoSegment"),
        ("PID|||1\nMRG|", "Missing"),
        ("PID|||\nMRG|2", "Missing"),
        ("PID|||1\nPID|||2\nMRG|3", "NoSegment"),
        ("PID|||1\nMRG|2\nMRG|3", "NoSegment"),
        ("PID|||1\nMRG|2\nPID|||3", "NoSegment"),
        ("PID|||1^^^H^MR\nMRG|1^^^H^MR", "SamePatient"),
        ("PID|||1^^^H^MR\nMRG|2^^^H^AN", "NotThePatients"),
        ("PID|||1^^^H^AN\nMRG|2^^^H^MR", "NotThePatients"),
        ("PID|||1^^^H^MR^^^20251231\nMRG|2^^^H^MR", "NotThePatients"),
    ] {
        let error = mapped("ADT^A40", segments).expect_err(segments);
        assert!(format!("{error:?}").starts_with(refusal), "{segments}: {error:?}");
    }
}

#[test]
fn schedules_follow_their_event() {
    let segments = "SCH|1^A|2^B||||||||30^min|^^^20260501090000+0200^20260501093000+0200\nPID|||7\nRGS|1\nAIP|1||9^Doe^Jo|DOC";
    for (event, status) in
        [("S12", "booked"), ("S15", "cancelled"), ("S17", "entered-in-error"), ("S26", "noshow")]
    {
        let record = record(&format!("SIU^{event}"), segments);
        let appointment = resources(&record, "Appointment")[0];
        assert_eq!(appointment["status"], status, "{event}");
        assert_eq!(appointment["start"], "2026-05-01T09:00:00+02:00");
        assert_eq!(appointment["participant"][0]["actor"]["display"], "Jo Doe");
        assert!(appointment["participant"][1]["actor"]["reference"].is_string());
    }
}

#[test]
fn appointments_have_both_times_or_none() {
    let segments = |times: &str| format!("SCH|1^A|2^B|||||||{times}\nPID|||7\nRGS|1\n");
    let of = |event: &str, segments: &str| {
        let record = record(&format!("SIU^{event}"), segments);
        let appointment = resources(&record, "Appointment")[0];
        let text = |key| appointment.get(key).and_then(Value::as_str).unwrap_or("-").to_string();
        ([text("status"), text("start"), text("end")].join(" "), record)
    };
    let start = "^^^20261231233000+0200";
    for (event, times, expected) in [
        (
            "S12",
            format!("45|min|{start}"),
            "booked 2026-12-31T23:30:00+02:00 2027-01-01T00:15:00+02:00",
        ),
        ("S12", format!("||{start}"), "proposed - -"),
        ("S12", format!("9999999|h|{start}"), "proposed - -"),
        ("S15", format!("||{start}"), "cancelled - -"),
        ("S17", "||".to_string(), "cancelled - -"),
    ] {
        assert_eq!(of(event, &segments(&times)).0, expected, "{event} {times}");
    }
    let ais = format!("{}AIS|1|A|X^Y^L||||20|min", segments(&format!("||{start}")));
    assert!(of("S12", &ais).0.ends_with("23:50:00+02:00"));
    let two = format!("{ais}\nAIS|2|A|Z^Y^L||||40|min");
    let (times, record) = of("S12", &two);
    assert!(times.ends_with("23:50:00+02:00"));
    assert!(told(&record, "AIS[2]-7") && !told(&record, "AIS[1]-7"));
    let aip = format!("{ais}\nAIP|1|A|9^Doe^Jo|DOC||20270101100000+0200");
    assert!(told(&of("S12", &aip).1, "AIP[1]-6"));
    let deleted = format!("{}AIP|1|D|9^Doe^Jo|DOC", segments(&format!("20|min|{start}")));
    let (_, record) = of("S13", &deleted);
    let participants = &resources(&record, "Appointment")[0]["participant"];
    assert_eq!(participants.as_array().map(Vec::len), Some(1));
    assert!(told(&record, "AIP[1]"));
}

#[test]
fn vaccinations_that_were_not_given_say_so() {
    let rxa = |rest: &str| {
        format!(
            "PID|||7\nORC|RE|P|F\nRXA|0|1|20260430||03^MMR^CVX|999||||||||||||{rest}\nRXR|SC|LA"
        )
    };
    for (rest, status) in
        [("||CP|A", "completed"), ("||RE|A", "not-done"), ("||CP|D", "entered-in-error")]
    {
        let record = record("VXU^V04", &rxa(rest));
        let given = resources(&record, "Immunization")[0];
        assert_eq!(given["status"], status, "{rest}");
        assert_eq!(given["vaccineCode"]["coding"][0]["system"], "http://hl7.org/fhir/sid/cvx");
        assert_eq!(given.get("doseQuantity"), None);
        assert_eq!(given["route"]["coding"][0]["code"], "SC");
    }
}

#[test]
fn vaccinations_of_unknown_status_are_refused() {
    let given = |code: &str, status: &str| {
        let rxa = format!("RXA|0|1|20260430||{code}|999||||||||||||00^Parent|| {status}|A");
        mapped("VXU^V04", &format!("PID|||7\nORC|RE||9999\n{rxa}"))
    };
    let error = given("03^MMR^CVX", "ZZ").expect_err("it is in no table");
    assert_eq!(error.to_string(), "the code in RXA[1]-20[1] is not in its table; send one that is");
    let Ok(Mapped::Record(record)) = given("998^none^CVX", "CP") else { panic!("it is a record") };
    let given = resources(&record, "Immunization")[0];
    assert_eq!(given["status"], "not-done");
    assert_eq!(given["statusReason"]["coding"][0]["system"], "urn:x/NIP002");
}

#[test]
fn refusals_of_two_patients_are_two() {
    let of = |patient: &str, day: &str| {
        let rxa = format!("ORC|RE||9999^H\nRXA|0|1|{day}||03^MMR^CVX|999||||||||||||||RE|A");
        request(&record("VXU^V04", &format!("PID|||{patient}\n{rxa}")), "Immunization", 0).clone()
    };
    assert_ne!(of("7", "20260430"), of("8", "20260430"));
    assert_ne!(of("7", "20260430"), of("7", "20260530"));
    assert_eq!(of("7", "20260430"), of("7", "20260430"));
}

#[test]
fn a_dosage_is_whole() {
    let rxe = "PID|||7\nORC|NW|P|F\nRXE||A^Amoxicillin^L|500||mg||^with food|||||2147483648\n";
    let dosages = |rest: &str| {
        let record = record("RDE^O11", &format!("{rxe}{rest}"));
        let request = resources(&record, "MedicationRequest")[0].clone();
        assert_eq!(request["dispenseRequest"].get("numberOfRepeatsAllowed"), None);
        assert!(told(&record, "RXE[1]-12"));
        (request["dosageInstruction"].as_array().expect("it is a list").clone(), record)
    };
    let (one, record) = dosages("TQ1|1||BID\nRXR|PO\nRXR|IV");
    assert_eq!(one.len(), 1);
    assert_eq!(one[0]["text"], "with food");
    assert_eq!(one[0]["doseAndRate"][0]["doseQuantity"]["value"].to_string(), "500");
    assert_eq!(one[0]["timing"]["code"]["coding"][0]["code"], "BID");
    assert_eq!(one[0]["route"]["coding"][0]["code"], "PO");
    assert!(told(&record, "RXR[2]"));
    let (two, _) = dosages("TQ1|1||BID\nTQ1|2||QHS\nRXR|PO");
    assert_eq!(two.len(), 2);
    assert_eq!(two[1]["timing"]["code"]["coding"][0]["code"], "QHS");
    for key in ["doseAndRate", "route", "text"] {
        assert_eq!(two[0][key], two[1][key], "{key}");
    }
    assert_eq!(dosages("RXR|PO").0[0]["route"]["coding"][0]["code"], "PO");
}

fn dosages(segments: &str) -> (Value, Record) {
    let rxe = "PID|||7\nORC|NW|P|F\nRXE||A^Prednisolone^L|40||mg\n";
    let record = record("RDE^O11", &format!("{rxe}{segments}"));
    (resources(&record, "MedicationRequest")[0]["dosageInstruction"].clone(), record)
}

/// `TQ1 => pointer of the dosage, value`
#[test]
fn timings_are_what_their_fields_say() {
    let table = r#"
        TQ1|1||BID                          => /timing/code/coding/0/code "BID"
        TQ1|1||BID&Twice a day&HL70335      => /timing/code/coding/0/code "BID"
        TQ1|1||BID&Twice a day&HL70335      => /timing/code/coding/0/display "Twice a day"
        TQ1|1||BID&Twice a day&HL70335      => /timing/code/coding/0/system "http://terminology.hl7.org/CodeSystem/v2-0335"
        TQ1|1||BID^D^8^20^^^^^30^min        => /timing/code {"coding":[{"code":"BID","system":"http://terminology.hl7.org/CodeSystem/v2-0335"}]}
        TQ1|1||^^^^8^h                      => /timing/repeat {"frequency":1,"period":8,"periodUnit":"h"}
        TQ1|1||^^^^8^h                      => /timing/code null
        TQ1|1||^^^^8^M                      => /timing null
        TQ1|1||^^^^0^h                      => /timing null
        TQ1|1||QAM~QPM                      => /timing/code {"text":"QAM; QPM"}
        TQ1|1|||0800~2000                   => /timing/repeat/timeOfDay ["08:00:00","20:00:00"]
        TQ1|1||BID|||7^d                    => /timing/repeat {"boundsDuration":{"value":7,"unit":"d","system":"http://unitsofmeasure.org","code":"d"}}
        TQ1|1||BID|||7^d|20260501           => /timing/repeat {"boundsPeriod":{"start":"2026-05-01"}}
        TQ1|1||BID||||||PRN                 => /asNeededBoolean true
        TQ1|1||PRNmigraine                  => /asNeededBoolean true
        TQ1|1||BID||||||R                   => /asNeededBoolean null
        TQ1|1|1|BID                         => /doseAndRate/0/doseQuantity {"value":40,"unit":"mg"}
        TQ1|1|1.0|BID                       => /doseAndRate/0/doseQuantity {"value":40,"unit":"mg"}
        TQ1|1|40.0|BID                      => /doseAndRate/0/doseQuantity {"value":40,"unit":"mg"}
        TQ1|1|20^mg&milligram&UCUM|BID      => /doseAndRate/0/doseQuantity {"value":20,"unit":"milligram","system":"http://unitsofmeasure.org","code":"mg"}
    "#;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (segment, expected) = line.split_once("=>").expect("segment => place");
        let (pointer, value) = expected.trim().split_once(' ').expect("pointer value");
        let (dosages, _) = dosages(segment.trim());
        assert_eq!(dosages.as_array().map(Vec::len), Some(1), "{line}");
        let found = dosages[0].pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(found.to_string(), value, "{line}");
    }
    let (_, record) = dosages("TQ1|1|20^mg|BID");
    assert!(told(&record, "RXE[1]-3"));
}

/// A taper is one dose after the other: read as several at once it would be their sum.
#[test]
fn doses_follow_each_other_as_they_are_sent() {
    let tq1 = |dose: &str, conjunction: &str| format!("TQ1||{dose}^mg|QD|||||||||{conjunction}\n");
    let of = |parts: [(&str, &str); 3]| {
        let (dosages, _) = dosages(&parts.map(|(dose, next)| tq1(dose, next)).concat());
        let one = |dosage: &Value| {
            let dose = &dosage["doseAndRate"][0]["doseQuantity"]["value"];
            format!("{} {dose}", dosage.get("sequence").cloned().unwrap_or_default())
        };
        dosages.as_array().expect("it is a list").iter().map(one).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(of([("40", "S"), ("20", "S"), ("10", "")]), "1 40, 2 20, 3 10");
    assert_eq!(of([("40", "A"), ("20", "S"), ("10", "")]), "1 40, 1 20, 2 10");
    assert_eq!(of([("40", ""), ("20", ""), ("10", "")]), "null 40, null 20, null 10");
    for unclear in ["C", "X"] {
        let segments = format!(
            "PID|||7\nORC|NW|P|F\nRXE||A^x^L|40||mg\n{}{}",
            tq1("1", unclear),
            tq1("2", "")
        );
        let refusal = mapped("RDE^O11", &segments).expect_err(unclear);
        assert_eq!(refusal.path().map(|path| path.to_string()).as_deref(), Some("TQ1[1]-12[1]"));
    }
    let (alone, record) = dosages(&tq1("40", "C"));
    assert_eq!(alone.as_array().map(Vec::len), Some(1));
    assert!(told(&record, "TQ1[1]-12"));
}

#[test]
fn infusions_are_more_than_their_base() {
    let (_, record) = dosages(
        "RXC|B|D5W^Dextrose 5%^L|1000|ml\nRXC|A|KCL^Potassium chloride^L|40|meq^meq\nRXC|A||3",
    );
    let notes = &resources(&record, "MedicationRequest")[0]["note"];
    assert_eq!(notes[0]["text"], "Base: Dextrose 5% 1000 ml");
    assert_eq!(notes[1]["text"], "Additive: Potassium chloride 40 meq");
    assert_eq!(notes.as_array().map(Vec::len), Some(2));
    assert!(told(&record, "RXC[3]"));
}

#[test]
fn amounts_that_may_be_two_doses_are_refused() {
    for amount in ["2", "1,5", "1,5^mg", "-1^mg", "half^tab"] {
        let segments = format!("PID|||7\nORC|NW|P|F\nRXE||A^x^L|250||mg\nTQ1|1|{amount}|BID");
        let refusal = mapped("RDE^O11", &segments).expect_err("250 mg, 500 mg or 2 mg");
        assert!(matches!(refusal, Refusal::Dose(_)), "{amount}: {refusal}");
    }
}

/// Asking to give something once more is no order, and denying it ends none.
#[test]
fn refills_change_no_order() {
    let of = |event: &str, control: &str| {
        let segments = format!("PID|||7\nORC|{control}|P|F||CM\nRXO|A^x^L\nRXE||A^x^L|250||mg");
        record(event, &segments)
    };
    let order = of("RDE^O11", "RE");
    for (event, control, status) in
        [("RDE^O25", "RF", "active"), ("RDE^O11", "RF", "active"), ("RDE^O01", "DF", "cancelled")]
    {
        let refill = of(event, control);
        let requests = requests(&refill, "MedicationRequest");
        assert!(requests[0].starts_with("POST identifier="), "{event} {control}");
        assert_ne!(requests[1], self::requests(&order, "MedicationRequest")[1]);
        let found = &resources(&refill, "MedicationRequest")[1];
        assert_eq!((&found["intent"], &found["status"]), (&"proposal".into(), &status.into()));
    }
    assert_eq!(resources(&order, "MedicationRequest")[1]["status"], "completed");
}

#[test]
fn a_result_is_the_one_that_was_preliminary_at_the_time_of_its_order() {
    let of = |status: &str, at: &str| {
        let segments = format!(
            "PID|||7\nOBR|1|P|F|1^x^LN|||202604300800\nOBX|1|NM|2^y^LN||5||||||{status}|||{at}"
        );
        requests(&record("ORU^R01", &segments), "Observation")
    };
    assert_eq!(of("P", ""), of("F", "20260430080000"));
    assert_eq!(of("P", "202604300800"), of("F", ""));
    assert_ne!(of("F", ""), of("F", "202604300900"));
}

/// `5.4` of glucose is well or deadly by its unit, for which a text has no place.
#[test]
fn a_text_keeps_its_unit() {
    let table = [
        ("NM|2^y^LN||<0.01|ng/mL", "\"Unit: ng/mL\""),
        ("ST|2^y^LN||5.4|mmol/L^millimole per litre^UCUM", "\"Unit: mmol/L\""),
        ("SN|2^y^LN||<^trace|^milligram", "\"Unit: milligram\""),
        ("|2^y^LN||5.4|mg", "\"Unit: mg\""),
        ("ST|2^y^LN||negative|", "null"),
        ("ST|2^y^LN||5|\"\"", "null"),
        ("NM|2^y^LN||5|mg", "null"),
        ("NM|2^y^LN|||mg", "null"),
    ];
    for (obx, note) in table {
        let segments = format!("PID|||7\nOBR|1|P|F|1^x^LN\nOBX|1|{obx}|||||F");
        let record = record("ORU^R01", &segments);
        let observation = resources(&record, "Observation")[0];
        let found = observation.pointer("/note/0/text").cloned().unwrap_or_default();
        assert_eq!(found.to_string(), note, "{obx}");
        assert!(!told(&record, "OBX[1]-6[1].1"), "{obx}");
    }
}

#[test]
fn what_was_not_asked_says_so() {
    for (status, expected) in [("N", "not-asked"), ("X", "unknown"), ("F", "unknown")] {
        let segments = format!("PID|||7\nOBR|1|P|F|1^x^LN\nOBX|1|NM|2^y^LN||||||||{status}");
        let record = record("ORU^R01", &segments);
        let why = &resources(&record, "Observation")[0]["dataAbsentReason"]["coding"][0]["code"];
        assert_eq!(why, expected, "{status}");
    }
}

#[test]
fn specimens_that_were_rejected_say_so() {
    for (end, expected) in
        [("|Y", "available"), ("|N", "unavailable"), ("||RB", "unsatisfactory"), ("", "-")]
    {
        let spm = format!("SPM|1|S1||BLD{}{end}", "|".repeat(15));
        let record = record("ORU^R01", &format!("PID|||7\nOBR|1|P|F|1^x^LN\n{spm}"));
        let status = resources(&record, "Specimen")[0].get("status").and_then(Value::as_str);
        assert_eq!(status.unwrap_or("-"), expected, "{end}");
    }
}

/// What is read for a decision, and says something that no element says.
#[test]
fn what_decides_nothing_is_told() {
    let oru = "OBR|1|P|F|1^x^LN\n";
    let (orc, rxe) = ("ORC|NW|P|||||||||", "RXE||A^x^L|5||mg");
    let rxa = "ORC|{}|P|F\nRXA|0|1|20260430||03^MMR^CVX|999||||||||||||||CP|";
    let table = [
        ("ORU^R01", format!("{oru}OBX|1|ED|D||^text^plain^A^x||||||P"), "OBX[1]-11", true),
        ("ORU^R01", format!("{oru}OBX|1|ED|D||^text^plain^A^x||||||F"), "OBX[1]-11", false),
        ("ORU^R01", format!("{oru}OBX|1|ED|D||^text^plain^B64^eA==||||||F"), "OBX[1]-5[1].4", true),
        ("ORU^R01", format!("{oru}NTE|1|L|text|GI"), "NTE[1]-2", true),
        ("ORU^R01", format!("{oru}NTE|1|L|text|GI"), "NTE[1]-4", true),
        (
            "ORU^R01",
            format!("{oru}OBX|1|NM|2^y^LN|7|5||||||F||||||||||9^^1.2^ISO"),
            "OBX[1]-4",
            true,
        ),
        ("ORU^R01", format!("{oru}OBX|1|NM|2^y^LN|7|5||||||F"), "OBX[1]-4", false),
        ("ORU^R01", format!("ORC|RE|Q|F\n{oru}"), "ORC[1]-2", true),
        ("ORU^R01", format!("ORC|RE|P|F\n{oru}"), "ORC[1]", false),
        ("RDE^O11", "ORC|NW|P\nRXE||A^x^L|5||43^mg/hr".to_string(), "RXE[1]-5[1].1", true),
        ("RDE^O11", "ORC|NW|P\nRXE||A^x^L|5||43^mg/hr".to_string(), "RXE[1]-5[1].2", false),
        ("RDE^O11", "ORC|NW|P\nRXE||A^x^L|5||mg^mg^UCUM".to_string(), "RXE[1]-5", false),
        ("RDE^O11", format!("{orc}|1^A\n{rxe}||||||||1^A"), "RXE[1]-13", false),
        ("RDE^O11", format!("{orc}|1^A\n{rxe}||||||||2^B"), "RXE[1]-13", true),
        ("RDE^O11", format!("{orc}|\n{rxe}||||||||2^B"), "RXE[1]-13", false),
        ("RDE^O11", format!("{orc}|\n{rxe}\nTQ1|1|2^tab"), "RXE[1]-5", true),
        ("RDE^O11", format!("{orc}|\n{rxe}\nTQ1|1|1"), "RXE[1]-5", false),
        ("RDE^O11", format!("ORC|NW|P|||ZZ\n{rxe}"), "ORC[1]-5", true),
        ("RDE^O11", format!("ORC|NW|P|||IP\n{rxe}"), "ORC[1]-5", false),
        ("VXU^V04", format!("{}A", rxa.replace("{}", "RE")), "ORC[1]", false),
        ("VXU^V04", format!("{}A", rxa.replace("{}", "OC")), "ORC[1]-1", true),
        ("VXU^V04", format!("{}Z", rxa.replace("{}", "RE")), "RXA[1]-21", true),
        ("ADT^A01", "DG1|1||I10^x^I10||||||||||||||||||Z".to_string(), "DG1[1]-21", true),
        ("ADT^A01", "PR1|1||P^x^L|||||||||||||||||Z".to_string(), "PR1[1]-20", true),
        ("ADT^A01", "IAM|1|DA|P^x^L|||Z".to_string(), "IAM[1]-6", true),
        ("ADT^A01", "IAM|1|DA|P^x^L|||A".to_string(), "IAM[1]-6", false),
        ("ADT^A01", "NK1|1|DOE^JO|||^PRN^Internet^jo".to_string(), "NK1[1]-5", true),
        ("SIU^S12", "SCH|1|2\nAIS|1|A|X^Y^L|||||||Canceled".to_string(), "AIS[1]-10", true),
    ];
    for (event, segments, path, is_told) in table {
        let record = record(event, &format!("PID|||7\n{segments}"));
        assert_eq!(told(&record, path), is_told, "{segments} {path}");
    }
    let data = record("ORU^R01", &format!("PID|||7\n{oru}OBX|1|ED|D||^text^plain^B64^eA==||||||F"));
    let form = &resources(&data, "DiagnosticReport")[0]["presentedForm"][0];
    assert_eq!(form.get("data"), None);
}

/// However far behind it stands, and however short it is.
#[test]
fn nothing_is_lost_unsaid() {
    for (mark, place) in [("|", "PID[1]-65535"), ("^", "PID[1]-5[1].65535")] {
        let pid = format!("PID|||7||a{}x", mark.repeat(70_000));
        assert!(told(&record("ADT^A28", &pid), place), "{place}");
    }
    let hour = record("ADT^A28", "PID|||7||||2026043013");
    assert_eq!(resources(&hour, "Patient")[0]["birthDate"], "2026-04-30");
    assert!(told(&hour, "PID[1]-7"));
}

#[test]
fn nobody_is_dead_by_mistake() {
    let table = [
        ("20260430|Y", "\"2026-04-30\"", "null"),
        ("20260430|", "\"2026-04-30\"", "null"),
        ("20260430|N", "null", "null"),
        ("|N", "null", "false"),
        ("|Y", "null", "true"),
        ("|\"\"", "null", "null"),
    ];
    for (death, at, is_dead) in table {
        let record = record("ADT^A08", &format!("PID|||7{}{death}", "|".repeat(26)));
        let patient = resources(&record, "Patient")[0];
        let found = ["deceasedDateTime", "deceasedBoolean"]
            .map(|key| patient.get(key).cloned().unwrap_or_default().to_string());
        assert_eq!(found, [at, is_dead], "{death}");
        let is_told = told(&record, "PID[1]-29") && told(&record, "PID[1]-30");
        assert_eq!(is_told, death == "20260430|N", "{death}");
    }
}

#[test]
fn documents_are_current_and_open_only_where_that_is_said() {
    let txa = |confidential: &str, available: &str| {
        let txa = format!("TXA|1|CN|TX|||||||||D1|||||AU|{confidential}|{available}");
        mapped("MDM^T02", &format!("PID|||7\n{txa}\nOBX|1|TX|T||text||||||F"))
    };
    for (available, status) in
        [("", "current"), ("AV", "current"), ("OB", "superseded"), ("CA", "entered-in-error")]
    {
        let Ok(Mapped::Record(record)) = txa("", available) else { panic!("{available}") };
        assert_eq!(resources(&record, "DocumentReference")[0]["status"], status);
    }
    let refusal = txa("", "gone").expect_err("it is in no table");
    assert_eq!(refusal.path().map(|path| path.to_string()).as_deref(), Some("TXA[1]-19[1]"));
    for (sent, first, count) in [("R", "R", 2), ("U", "N", 2), ("V", "V", 2), ("PSY", "PSY", 1)] {
        let Ok(Mapped::Record(record)) = txa(sent, "AV") else { panic!("{sent}") };
        let codings = &resources(&record, "DocumentReference")[0]["securityLabel"][0]["coding"];
        assert_eq!(codings[0]["code"], first);
        assert_eq!(codings.as_array().map(Vec::len), Some(count), "{sent}");
    }
}

/// IN1-17 is what the insured is to the patient, and FHIR's relationship what the patient is to the insured.
#[test]
fn children_are_insured_by_their_parents() {
    for (sent, expected) in
        [("SEL", "self"), ("SPO", "spouse"), ("MTH", "child"), ("CHD", "parent"), ("SIB", "-")]
    {
        let record =
            record("ADT^A01", &format!("PID|||7\nIN1|1|P|C|Company{}{sent}", "|".repeat(13)));
        let code = resources(&record, "Coverage")[0].pointer("/relationship/coding/0/code");
        assert_eq!(code.and_then(Value::as_str).unwrap_or("-"), expected, "{sent}");
        assert_eq!(told(&record, "IN1[1]-17"), expected == "-");
    }
}

#[test]
fn appointments_of_unknown_status_are_not_said_to_be_booked() {
    let of = |event: &str, status: &str| {
        let sch = format!("SCH|1|2|||||||30|min|^^^20260501090000+0200{}{status}", "|".repeat(14));
        mapped(event, &format!("{sch}\nPID|||7"))
    };
    for (status, expected) in [
        ("Canceled", "cancelled"),
        ("Discontinued", "cancelled"),
        ("No Show", "noshow"),
        ("", "booked"),
    ] {
        let Ok(Mapped::Record(record)) = of("SIU^S14", status) else { panic!("{status}") };
        assert_eq!(resources(&record, "Appointment")[0]["status"], expected);
    }
    let refusal = of("SIU^S14", "GONE").expect_err("it is in no table");
    assert_eq!(refusal.path().map(|path| path.to_string()).as_deref(), Some("SCH[1]-25[1]"));
    assert!(of("SIU^S12", "NEW").is_ok());
}

#[test]
fn nobody_is_in_a_bed_after_they_have_left() {
    for (event, status) in [("ADT^A01", "active"), ("ADT^A03", "completed")] {
        let record = record(event, "PID|||7\nPV1||I|W^1^2||||||||||||||||9");
        assert_eq!(resources(&record, "Encounter")[0]["location"][0]["status"], status, "{event}");
    }
}

#[test]
fn provenance_names_sender_trigger_and_everything() {
    let record = record("ADT^A04", "PID|||7\nPV1||O");
    let provenance = resources(&record, "Provenance")[0];
    let entries = record.bundle["entry"].as_array().map_or(0, Vec::len);
    assert_eq!(provenance["target"].as_array().map(Vec::len), Some(entries - 1));
    assert_eq!(provenance["activity"]["coding"][0]["code"], "A04");
    assert_eq!(provenance["agent"][0]["who"]["display"], "APP");
    assert_eq!(provenance["agent"][0]["onBehalfOf"]["display"], "FAC");
    assert_eq!(provenance["recorded"], "2026-09-21T14:13:20.000Z");
    assert_eq!(provenance["occurredDateTime"], "2026-04-30T12:00:00+02:00");
}

/// How an entry is matched with what there is: `POST`, `POST condition` or `PUT condition`.
fn requests(record: &Record, resource_type: &str) -> Vec<String> {
    let entries = record.bundle["entry"].as_array().expect("it is a list");
    let of_type = entries.iter().filter(|entry| entry["resource"]["resourceType"] == resource_type);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    of_type
        .map(|entry| {
            let request = &entry["request"];
            let put = text(&request["url"]).split_once('?').map(|(_, c)| c.to_string());
            let condition = put.unwrap_or_else(|| text(&request["ifNoneExist"]));
            format!("{} {condition}", text(&request["method"])).trim_end().to_string()
        })
        .collect()
}

/// Whatever number a sender gives, nothing of one patient is looked for where it would find what is another's.
#[test]
fn nothing_of_two_patients_is_looked_for_alike() {
    let table = [
        (
            "ADT^A01",
            "PV1||I|||||||||||||||||1\nAL1|1||P^x^L\nDG1|1||I10^x^I10\nPR1|1||P^x^L\nNK1|1|DOE^JO\nIN1|1|P|C",
        ),
        (
            "ADT^A03",
            "PV1||I|||||||||||||||||1^^^H^VN\nIAM|1||P^x^L||||1\nDG1|1||I10^x^I10|||||||||||||||||1",
        ),
        (
            "ADT^A01",
            "OBX|1|NM|2^y^LN||80||||||F||||||||||1\nOBX|2|ED|P||^text^plain^A^x||||||F||||||||||2",
        ),
        ("ORU^R01", "ORC|RE|1|2\nOBR|1|1|2|1^x^LN\nOBX|1|NM|2^y^LN||5||||||F\nSPM|1|3"),
        ("ORU^R01", "OBR|1|1|2^LAB^1.2.3^ISO|1^x^LN\nOBX|1|NM|2^y^LN||5||||||F||||||||||1"),
        ("MDM^T02", "TXA|1|CN|TX|||||||||1^^1.2.3^ISO|||||AU"),
        ("RDE^O11", "ORC|NW|1|2\nRXO|A^Amoxicillin^L\nRXE||A^Amoxicillin^L|500||mg"),
        (
            "VXU^V04",
            "ORC|RE|1|2\nRXA|0|1|20260430||03^MMR^CVX|1||||||||||||||CP|A\nOBX|1|CE|1^x^LN|1|Y||||||F",
        ),
        ("SIU^S12", "SCH|1|2|||||||30|min|^^^20260501090000+0200"),
        ("SIU^S13", "SCH|1||||||||30|min|^^^20260501090000+0200"),
    ];
    for (event, segments) in table {
        let of = |patient: &str| {
            let pid = format!("PID|||{patient}^^^H^MR\n");
            // A schedule stands above its patient.
            let text = match event.starts_with("SIU") {
                true => format!("{segments}\n{pid}"),
                false => format!("{pid}{segments}"),
            };
            let record = record(event, &text);
            let entries = record.bundle["entry"].as_array().expect("it is a list").clone();
            let is_stored = |entry: &&Value| {
                !matches!(entry["resource"]["resourceType"].as_str(), Some("Binary" | "Provenance"))
            };
            entries
                .iter()
                .filter(is_stored)
                .map(|entry| entry["request"].clone())
                .collect::<Vec<_>>()
        };
        let (one, other) = (of("7"), of("8"));
        assert_eq!(one, of("7"), "{event}");
        for request in &one {
            let is_found_again = request.get("ifNoneExist").is_some() || request["method"] == "PUT";
            assert!(is_found_again, "{event} {request}");
            assert!(!other.contains(request), "{event} {request}");
        }
    }
}

/// A counter of messages begins again, and times are of minutes: only the same bytes are the same message.
#[test]
fn messages_of_one_control_id_are_told_apart_by_their_bytes() {
    let of = |digest: [u8; 32]| {
        let text = "MSH|^~\\&|APP|FAC|||202604301200||ADT^A28|1|P|2.5.1\rPID|||7";
        let message = Message::parse(text.as_bytes(), CharacterSet::Utf8).expect("it is a message");
        let name = |number: u32| [number.to_le_bytes()[0]; 16];
        let reception =
            Reception { namespace: "urn:x", received_ms: 0, zone: None, digest, name: &name };
        let Ok(Mapped::Record(record)) = map(&message, &reception) else {
            panic!("it is a record")
        };
        let original = &record.bundle["entry"][record.original];
        assert_eq!(original["resource"]["type"]["text"], "HL7 v2 message", "{original}");
        original["request"]["ifNoneExist"].as_str().expect("it is conditional").to_owned()
    };
    assert_ne!(of([1; 32]), of([2; 32]));
    assert_eq!(of([1; 32]), of([1; 32]));
}

/// OBR-26: of two organisms, each has its susceptibilities, in whatever message they are told.
#[test]
fn results_are_of_the_result_that_they_were_ordered_for() {
    let child = |parent: &str| {
        format!(
            "OBR|2|P|F|50545-3^susceptibility^LN||||||||||||||||||||||{parent}\nOBX|1|SN|18862-3^amoxicillin^LN||^2|||R|||F"
        )
    };
    let culture = "PID|||7\nOBR|1|P|F|600-7^culture^LN\nOBX|1|CE|600-7^organism^LN|1|A^E. coli^L||||||F\n\
                   OBX|2|CE|600-7^organism^LN|2|B^P. mirabilis^L||||||F\n";
    let (first, second) =
        (child("600-7&organism&LN^1^E. coli"), child("600-7&organism&LN^2^P. mirabilis"));
    let both = record("ORU^R01", &format!("{culture}{first}\n{second}"));
    let of =
        |nth: usize| resources(&both, "Observation")[nth]["derivedFrom"][0]["reference"].clone();
    let url = |nth: usize| {
        let entries = both.bundle["entry"].as_array().expect("it is a list");
        let found = |entry: &&Value| entry["resource"]["resourceType"] == "Observation";
        entries.iter().filter(found).nth(nth).expect("it is there")["fullUrl"].clone()
    };
    assert_eq!((of(0), of(2), of(3)), (Value::Null, url(0), url(1)));
    assert!(!told(&both, "OBR[2]-26"));

    let alone = record("ORU^R01", &format!("PID|||7\n{second}"));
    assert_eq!(requests(&both, "Observation")[3], requests(&alone, "Observation")[0]);
    assert_eq!(requests(&both, "DiagnosticReport")[2], requests(&alone, "DiagnosticReport")[0]);
    assert!(told(&alone, "OBR[1]-26"));

    let twice = culture.replace("|2|B", "|1|B");
    let unclear = record("ORU^R01", &format!("{twice}{first}"));
    assert_eq!(resources(&unclear, "Observation")[2].get("derivedFrom"), None);
    assert!(told(&unclear, "OBR[2]-26"));
}

/// Numbers that are unique in a patient or visit only never find what is somebody else's.
#[test]
fn what_is_of_one_patient_is_never_found_for_another() {
    let table = [
        ("AllergyIntolerance", "IAM|1|DA|P^Penicillin^L|||U|1"),
        ("Condition", "DG1|1||I10^x^I10|||||||||||||||||1"),
        ("Procedure", "PR1|1||P^x^L||20260430||||||||||||||1"),
        ("RelatedPerson", "NK1|1|DOE^JO|||||||||||||||||||||||||||||||5^^^H^PI"),
    ];
    for (resource_type, segment) in table {
        let of = |patient: &str, visit: &str| {
            let text = format!("PID|||{patient}^^^H^MR\n{visit}{segment}");
            let record = record("ADT^A08", &text);
            let sent = &resources(&record, resource_type)[0]["identifier"][0]["value"];
            assert!(sent == "1" || sent == "5", "{resource_type}: {sent}");
            let [request] = &requests(&record, resource_type)[..] else {
                panic!("{resource_type}")
            };
            assert!(request.contains("identifier="), "{request}");
            request.clone()
        };
        assert_ne!(of("7", ""), of("8", ""), "{resource_type}");
        assert_eq!(of("7", ""), of("7", ""), "{resource_type}");
        let visit = |number| format!("PV1||I|||||||||||||||||{number}^^^H^VN\n");
        let is_of_visit = matches!(resource_type, "Condition" | "Procedure");
        let is_same = of("7", &visit(1)) == of("7", &visit(2));
        assert_eq!(is_same, !is_of_visit, "{resource_type}");
    }
    // The same diagnosis of two visits, or of two days, is two.
    let of =
        |segments: &str| requests(&record("ADT^A01", &format!("PID|||7\n{segments}")), "Condition");
    let visit = |number| of(&format!("PV1||I|||||||||||||||||{number}\nDG1|1||I10^x^I10"));
    assert_ne!(visit(1), visit(2));
    assert_ne!(of("DG1|1||I10^x^I10||20260101"), of("DG1|1||I10^x^I10||20260201"));
}

#[test]
fn a_patient_is_known_by_a_number_of_their_own() {
    let table = [
        ("|||7^^^H^MR", "urn%3Ax%2FH%7C7"),
        ("|||1^^^H^EI~7^^^H^MR", "urn%3Ax%2FH%7C7"),
        ("|||7^^^H^MRT", "urn%3Ax%2FH%7C7"),
        ("|||1^^^A^AN~2^^^G^NI~7^^^H^PI", "urn%3Ax%2FH%7C7"),
        ("|||1^^^A^AN~2^^^G^NI", "urn%3Ax%2FG%7C2"),
        ("|||5^^^H^MR^^20200101^20251231~7^^^H^MR", "urn%3Ax%2FH%7C7"),
        ("|||5^^^H^MR^^20200101^20260430~7^^^H^MR", "urn%3Ax%2FH%7C5"),
        ("||7^^^H^MR", "urn%3Ax%2FH%7C7"),
        ("||7", "urn%3Ax%2FPID-2%7C7"),
    ];
    for (pid, expected) in table {
        let found = requests(&record("ADT^A28", &format!("PID{pid}")), "Patient");
        assert_eq!(found, [format!("POST identifier={expected}")], "{pid}");
    }
    let table = [
        ("||||9^^^H^MR||DOE", "Missing"),
        ("||||||||||||||||||9^^^H^AN", "Missing"),
        ("|||||||||||||||||||123-45-6789", "Missing"),
        ("|||\"\"||DOE", "Missing"),
        ("|||X^^^^SS|9^^^H^MR", "NotThePatients"),
        ("|||X^^^H^MR^^^20251231", "NotThePatients"),
    ];
    for (pid, expected) in table {
        let refusal = mapped("ADT^A28", &format!("PID{pid}")).expect_err(pid);
        assert!(format!("{refusal:?}").starts_with(expected), "{pid}: {refusal}");
        assert_eq!(refusal.path().map(|path| path.to_string()).as_deref(), Some("PID[1]-3[1]"));
    }
}

/// What stands where a number is missing would be the number of all who have none.
#[test]
fn no_number_is_no_number() {
    for value in ["0", "000-00-0000", "-", "...", "UNKNOWN", "unk", "None", "N/A", "NULL", "n.a."] {
        let refusal = mapped("ADT^A28", &format!("PID|||{value}^^^H^MR")).expect_err(value);
        assert!(matches!(refusal, Refusal::NotThePatients(_)), "{value}: {refusal}");
        let merge = format!("PID|||1^^^H^MR\nMRG|{value}^^^H^MR");
        let refusal = mapped("ADT^A40", &merge).expect_err(value);
        assert!(matches!(refusal, Refusal::NotThePatients(_)), "{value}: {refusal}");
    }
    for value in ["0A", "10", "N1", "NONE1"] {
        assert!(mapped("ADT^A28", &format!("PID|||{value}^^^H^MR")).is_ok(), "{value}");
    }
}

#[test]
fn what_has_no_number_is_found_by_none() {
    let found = |event: &str, segments: &str, resource_type: &str| {
        requests(&record(event, &format!("PID|||7\n{segments}")), resource_type)
    };
    let obr = "OBR|1|0|0|1^x^LN\nOBX|1|NM|2^y^LN||5||||||F";
    assert_eq!(found("ORU^R01", obr, "DiagnosticReport"), ["POST"]);
    assert_eq!(found("ORU^R01", obr, "Observation"), ["POST"]);
    let filler = found("ORU^R01", &obr.replace("|0|0|", "|0|F|"), "DiagnosticReport");
    assert!(filler[0].starts_with("PUT identifier="), "{filler:?}");
    let rxe = "ORC|NW|0|0\nRXE||A^x^L|250||mg";
    assert_eq!(found("RDE^O11", rxe, "MedicationRequest"), ["POST"]);
    for (segment, resource_type) in [
        ("DG1|1||{}^x^I10|||||||||||||||||0", "Condition"),
        ("PR1|1||{}^x^I10||||||||||||||||0", "Procedure"),
        ("NK1|1|{}^JO|||||||||||||||||||||||||||||||0", "RelatedPerson"),
    ] {
        let of = |what: &str| {
            let segment = segment.replace("{}", what);
            found("ADT^A08", &format!("PV1||I|||||||||||||||||9\n{segment}"), resource_type)
        };
        assert_ne!(of("A"), of("B"), "{segment}");
        assert_eq!(of("A"), of("A"), "{segment}");
    }
    let txa = "TXA|1|CN|TX|||||||||N/A|||||AU\nOBX|1|TX|T||text||||||F";
    assert_eq!(found("MDM^T02", txa, "DocumentReference")[0], "POST");
    let visit = format!("PV1||I{}0", "|".repeat(17));
    assert_eq!(found("ADT^A01", &visit, "Encounter"), ["POST"]);
}

/// The order that a pharmacy ends by its own number is the one that was placed by another.
#[test]
fn a_medicine_is_known_by_either_number() {
    let of = |placer: &str, filler: &str, control: &str| {
        let segments = format!("PID|||7\nORC|{control}|{placer}|{filler}\nRXE||A^x^L|250||mg");
        record("RDE^O11", &segments)
    };
    let order = of("P", "F", "NW");
    let derived = |record: &Record| {
        let ids = resources(record, "MedicationRequest")[0]["identifier"].clone();
        let ids = ids.as_array().expect("it is a list").clone();
        let own = ids.into_iter().filter(|id| id["system"] == "urn:x/RXE");
        own.map(|id| id["value"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(requests(&of("P", "", "DC"), "MedicationRequest").len(), 1);
    let [placed, filled] = &derived(&order)[..] else { panic!("two numbers") };
    assert_eq!(&derived(&of("P", "", "DC"))[..], std::slice::from_ref(placed));
    assert_eq!(&derived(&of("", "F", "DC"))[..], std::slice::from_ref(filled));
    assert_eq!(derived(&of("P^^1.2^ISO", "P^^1.2^ISO", "NW")).len(), 1);
}

#[test]
fn nothing_is_no_problem() {
    let table = [
        ("AllergyIntolerance", "AL1|1||\"\"|SV"),
        ("AllergyIntolerance", "AL1|1"),
        ("AllergyIntolerance", "IAM|1|DA|^^L|||A|5"),
        ("Condition", "DG1|1||\"\"|\"\"|20260430"),
        ("Procedure", "PR1|1|I9|||20260430"),
        ("RelatedPerson", "NK1|1||MTH"),
        ("Coverage", "IN1|1|\"\"||\"\"||||||||20260101"),
    ];
    for (resource_type, segment) in table {
        let record = record("ADT^A01", &format!("PID|||7\n{segment}"));
        assert!(resources(&record, resource_type).is_empty(), "{segment}");
        let of_segment = |path: String| path.starts_with(&segment[..3]);
        assert!(record.unmapped.iter().any(|u| of_segment(u.path.to_string())), "{segment}");
    }
}

/// `segment => type pointer value`
#[test]
fn what_stands_in_segments_of_problems_has_its_place() {
    let table = r#"
        DG1|1|I9|428.0|Heart failure                      => Condition /code/coding/0/system "http://hl7.org/fhir/sid/icd-9-cm"
        DG1|1|I9|428.0|Heart failure                      => Condition /code/text "Heart failure"
        DG1|1|I9|428.0^CHF^I10|Heart failure              => Condition /code/coding/0/system "http://hl7.org/fhir/sid/icd-10"
        DG1|1|||Heart failure                             => Condition /code/text "Heart failure"
        PR1|1|C4|76805|Ultrasound                         => Procedure /code/coding/0/system "http://www.ama-assn.org/go/cpt"
        PR1|1|C4|76805|Ultrasound                         => Procedure /code/text "Ultrasound"
        IAM|1|DA|P^x^L|||D|5                              => AllergyIntolerance /clinicalStatus null
        IAM|1|DA|P^x^L|||D|5                              => AllergyIntolerance /verificationStatus/coding/0/code "entered-in-error"
        IAM|1|DA|P^x^L|||A|5||||||||||E                   => AllergyIntolerance /clinicalStatus null
        IAM|1|DA|P^x^L|||A|5||||||||||I                   => AllergyIntolerance /clinicalStatus/coding/0/code "inactive"
        IAM|1|DA|P^x^L|||A|5||||||||||I                   => AllergyIntolerance /verificationStatus/coding/0/code "confirmed"
        IAM|1|DA|P^x^L|||A|5||||||||||C                   => AllergyIntolerance /verificationStatus/coding/0/code "confirmed"
        IAM|1|DA|P^x^L|||A|5||||||||||S                   => AllergyIntolerance /verificationStatus/coding/0/code "unconfirmed"
        IAM|1|DA|P^x^L|||A|5                              => AllergyIntolerance /clinicalStatus/coding/0/code "active"
        AL1|1|DA|P^x^L|MO                                 => AllergyIntolerance /criticality null
        AL1|1|DA|P^x^L|SV                                 => AllergyIntolerance /criticality "high"
        AL1|1|MA|P^x^L                                    => AllergyIntolerance /category null
        AL1|1|DA|^Amoxicillin & clavulanate               => AllergyIntolerance /code/text "Amoxicillin & clavulanate"
        AL1|1|DA|P^x^SNM                                  => AllergyIntolerance /code/coding/0/system "urn:x/SNM"
        NK1|1|van Dam&van&Dam^Jo                          => RelatedPerson /name/0/family "van Dam"
        NK1|1|Smith & Jones^Jo                            => RelatedPerson /name/0/family "Smith & Jones"
        NK1|1|Doe^Jo^^^^^A                                => RelatedPerson /name/0/use null
        NK1|1|Doe^Jo^^^^^T                                => RelatedPerson /name/0/use null
        NK1|1|Doe^Jo^^^^^B                                => RelatedPerson /name/0/use null
        NK1|1|Doe^Jo^^^^^C                                => RelatedPerson /name/0/use null
        NK1|1|Doe^Jo^^^^^NAV                              => RelatedPerson /name/0/use "temp"
        PV1||R|||||||||||||||||9                          => Encounter /class/code "R"
        PV1||B|||||||||||||||||9                          => Encounter /class/system "http://terminology.hl7.org/CodeSystem/v2-0004"
    "#;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (segment, expected) = line.split_once("=>").expect("segment => place");
        let record = record("ADT^A01", &format!("PID|||7\n{}", segment.trim()));
        let [resource_type, pointer, value] =
            expected.trim().splitn(3, ' ').collect::<Vec<_>>()[..]
        else {
            panic!("type pointer value: {line}")
        };
        let found = resources(&record, resource_type)[0].pointer(pointer).cloned();
        assert_eq!(found.unwrap_or_default().to_string(), value, "{line}");
    }
}

#[test]
fn actions_are_newer_than_what_there_is() {
    let table = [
        ("DG1|1||I10^x^I10||||||||||||||||||D", "Condition", "PUT"),
        ("DG1|1||I10^x^I10||||||||||||||||||U", "Condition", "PUT"),
        ("DG1|1||I10^x^I10||||||||||||||||||A", "Condition", "POST"),
        ("PR1|1||P^x^L|||||||||||||||||D", "Procedure", "PUT"),
        ("IAM|1|DA|P^x^L|||D", "AllergyIntolerance", "PUT"),
        ("IAM|1|DA|P^x^L|||U", "AllergyIntolerance", "PUT"),
        ("IAM|1|DA|P^x^L|||A", "AllergyIntolerance", "POST"),
        ("IAM|1|DA|P^x^L|||X", "AllergyIntolerance", "POST"),
    ];
    for (segment, resource_type, method) in table {
        let record = record("ADT^A01", &format!("PID|||7\n{segment}"));
        let found = requests(&record, resource_type);
        assert!(found[0].starts_with(&format!("{method} identifier=")), "{segment}: {found:?}");
    }
}

#[test]
fn visits_are_neither_begun_again_nor_made_anew() {
    let pv1 = |number: &str, begun: &str, over: &str| {
        format!(
            "PID|||7\nOBR|1|P|F|1^x^LN\nPV1||I{}{number}{}{begun}|{over}",
            "|".repeat(17),
            "|".repeat(25)
        )
    };
    let table = [
        ("ADT^A08", pv1("9", "", ""), "POST unknown"),
        ("ADT^A08", pv1("9", "", "20260430"), "PUT finished"),
        ("ADT^A03", pv1("9", "", ""), "PUT finished"),
        ("ADT^A01", pv1("9", "", ""), "POST in-progress"),
        ("ADT^A11", pv1("9", "", ""), "PUT cancelled"),
        ("ADT^A11", pv1("", "20260430", ""), "PUT cancelled"),
        ("ADT^A13", pv1("9", "", ""), "PUT in-progress"),
        ("ADT^A13", pv1("9", "20260429", "20260430"), "PUT in-progress"),
        ("ADT^A01", pv1("", "20260430", ""), "POST in-progress"),
        ("ADT^A08", pv1("", "", ""), "-"),
        ("ORU^R01", pv1("9", "", ""), "POST unknown"),
        ("ORU^R01", pv1("", "", ""), "-"),
        ("ORU^R01", pv1("", "20260430", ""), "-"),
    ];
    for (event, segments, expected) in table {
        let record = record(event, &segments);
        let found = requests(&record, "Encounter").first().map_or(String::from("-"), |request| {
            assert!(request.contains("identifier="), "{event} {segments}");
            let status = resources(&record, "Encounter")[0]["status"].as_str().expect("it has one");
            format!("{} {status}", request.split(' ').next().unwrap_or_default())
        });
        assert_eq!(found, expected, "{event} {segments}");
    }
}

#[test]
fn what_is_taken_back_is_of_one_visit() {
    let again = record(
        "ADT^A13",
        &format!("PID|||7\nPV1||I{}9{}20260429|20260430", "|".repeat(17), "|".repeat(25)),
    );
    let visit = resources(&again, "Encounter")[0];
    assert_eq!(visit["period"]["start"], "2026-04-29");
    assert_eq!(visit["period"].get("end"), None);
    assert!(told(&again, "PV1[1]-45"));
    for event in ["ADT^A11", "ADT^A13"] {
        for segments in ["PID|||7", "PID|||7\nPV1||I", "PID|||7\nPV1||N"] {
            let refusal = mapped(event, segments).expect_err(event);
            assert_eq!(
                refusal.path().map(|path| path.to_string()).as_deref(),
                Some("PV1[1]-19[1]")
            );
        }
    }
}

#[test]
fn codes_of_patients_and_orders_mean_what_their_tables_say() {
    let marital =
        [("T", "T"), ("C", "C"), ("G", "T"), ("R", "T"), ("E", "L"), ("N", "A"), ("B", "U")];
    for (code, expected) in marital.into_iter().chain([("O", "OTH"), ("U", "UNK")]) {
        let record = record("ADT^A28", &format!("PID|||7|||||||||||||{code}"));
        let coding = &resources(&record, "Patient")[0]["maritalStatus"]["coding"][0];
        assert_eq!(coding["code"], expected, "{code}");
        let is_v2 = coding["system"].as_str().is_some_and(|system| system.ends_with("v2-0002"));
        assert_eq!(is_v2, code == "T", "{code}");
    }
    let twins = record("ADT^A28", &format!("PID|||7{}N|1", "|".repeat(21)));
    let patient = resources(&twins, "Patient")[0];
    assert_eq!(patient["multipleBirthBoolean"], false);
    assert_eq!(patient.get("multipleBirthInteger"), None);
    let orders = [
        ("RO", "", "active"),
        ("AF", "", "active"),
        ("PY", "", "active"),
        ("UA", "", "revoked"),
        ("DF", "", "revoked"),
        ("UC", "", "unknown"),
        ("", "ZZ", "unknown"),
        ("NW", "CM", "completed"),
        ("NW", "ER", "unknown"),
        ("DE", "", "unknown"),
        ("RE", "", "unknown"),
        ("RE", "CM", "completed"),
        ("SC", "", "unknown"),
        ("SC", "IP", "active"),
    ];
    for (control, status, expected) in orders {
        let segments =
            format!("PID|||7\nORC|{control}|P|F||{status}\nOBR|1|P|F|1^x^LN|||||||||||||||||||||M");
        let record = record("ORU^R01", &segments);
        assert_eq!(resources(&record, "ServiceRequest")[0]["status"], expected, "{control}");
        assert_eq!(resources(&record, "DiagnosticReport")[0]["status"], "preliminary");
    }
}

#[test]
fn a_medicine_that_was_discontinued_is_stopped() {
    let orders = [
        ("DC", "", "stopped"),
        ("OD", "", "stopped"),
        ("NW", "DC", "stopped"),
        ("CA", "", "cancelled"),
    ];
    for (control, status, expected) in orders {
        let segments =
            format!("PID|||7\nORC|{control}|P|F||{status}\nRXE||A^Amoxicillin^L|500||mg");
        let record = record("RDE^O11", &segments);
        assert_eq!(resources(&record, "MedicationRequest")[0]["status"], expected, "{control}");
    }
}

#[test]
fn a_specimen_is_known_by_its_number_alone() {
    let segments = "PID|||7\nORC|RE|P|F\nOBR|1|P|F|1^x^LN\nSPM|1|S1&LAB^S2&LAB||BLD";
    let record = record("ORU^R01", segments);
    let identifiers = &resources(&record, "Specimen")[0]["identifier"];
    assert_eq!((&identifiers[0]["value"], &identifiers[1]["value"]), (&"S1".into(), &"S2".into()));
}

/// An authority is known everywhere only by a name that nobody else can have: `1` is a universal id of many.
#[test]
fn numbers_of_authorities_that_are_none_are_the_feeds_own() {
    let table = [
        ("7^^^&1&ISO", "urn:x/1"),
        ("7^^^&01.2.3&ISO", "urn:x/01.2.3"),
        ("7^^^&3.1.2&ISO", "urn:x/3.1.2"),
        ("7^^^H&9.9&ISO", "urn:x/H"),
        ("7^^^&1.2.3&ISO", "urn:oid:1.2.3"),
        ("7^^^&2.16.840.1&ISO", "urn:oid:2.16.840.1"),
        ("7^^^&1&UUID", "urn:x/1"),
        (
            "7^^^&A5E1C0DE-0000-4000-8000-00000000000F&GUID",
            "urn:uuid:a5e1c0de-0000-4000-8000-00000000000f",
        ),
        ("7^^^&hosp&DNS", "urn:x/hosp"),
        ("7^^^H&localhost.&DNS", "urn:x/H"),
        ("7^^^H&10.0.0.1&DNS", "urn:x/H"),
        ("7^^^H&adt.Local&DNS", "urn:x/H"),
        ("7^^^&Hosp.example&DNS", "http://hosp.example"),
        ("7^^^&a:b&URI", "urn:x/a%3Ab"),
        ("7^^^&urn:oid:1.2.3&URI", "urn:oid:1.2.3"),
    ];
    for (field, system) in table {
        let record = record("ADT^A28", &format!("PID|||{field}"));
        let identifier = &resources(&record, "Patient")[0]["identifier"][0];
        assert_eq!(identifier["system"], system, "{field}");
    }
}

/// Of a family, of an insurance, of a bank or of a doctor.
#[test]
fn numbers_that_others_may_have_tell_no_patient() {
    let kinds = [
        "MC", "AM", "BC", "DI", "DS", "MS", "VS", "DN", "MD", "NPI", "UPIN", "PRN", "DEA", "FI",
        "NE", "NH", "LACSN", "MCR", "MCD", "ESN", "WCN", "an", "Vn",
    ];
    for kind in kinds {
        let refusal = mapped("ADT^A28", &format!("PID|||5^^^H^{kind}")).expect_err(kind);
        assert!(matches!(refusal, Refusal::NotThePatients(_)), "{kind}: {refusal}");
        let found =
            requests(&record("ADT^A28", &format!("PID|||5^^^H^{kind}~7^^^H^MR")), "Patient");
        assert_eq!(found, ["POST identifier=urn%3Ax%2FH%7C7"], "{kind}");
    }
}

/// Who asks to end an order says what became of it before they asked (ORC-5).
#[test]
fn an_order_that_ends_is_not_active_whatever_it_was() {
    let table = [
        ("DC", "IP", "stopped"),
        ("OD", "SC", "stopped"),
        ("DR", "A", "stopped"),
        ("CA", "IP", "cancelled"),
        ("OC", "SC", "cancelled"),
        ("CR", "A", "cancelled"),
        ("RP", "IP", "cancelled"),
        ("OH", "IP", "on-hold"),
        ("HD", "IP", "on-hold"),
        ("HR", "SC", "on-hold"),
        ("CA", "CM", "completed"),
        ("UC", "IP", "active"),
        ("UD", "IP", "active"),
        ("UH", "IP", "active"),
    ];
    for (control, status, expected) in table {
        let segments =
            format!("PID|||7\nORC|{control}|P|F||{status}\nRXE||A^Amoxicillin^L|500||mg");
        let record = record("RDE^O11", &segments);
        let found = &resources(&record, "MedicationRequest")[0]["status"];
        assert_eq!(found, expected, "{control} {status}");
    }
}

/// A later message about one of them would be taken for the other.
#[test]
fn two_medicines_of_one_number_are_refused() {
    let segments =
        "PID|||7\nORC|NW|P|F\nRXE||A^Amoxicillin^L|500||mg\nORC|NW|P|F\nRXE||B^Digoxin^L|62||ug";
    let refusal = mapped("RDE^O11", segments).expect_err("which is P?");
    assert_eq!(refusal.path().map(|path| path.to_string()).as_deref(), Some("RXE[2]"));
    let two = segments.replacen("ORC|NW|P|F", "ORC|NW|Q|G", 1);
    assert_eq!(resources(&record("RDE^O11", &two), "MedicationRequest").len(), 2);
}

#[test]
fn an_order_of_which_nothing_more_is_said_is_listed() {
    let first = "PID|||7\nORC|NW|P|F\nRXE||A^Amoxicillin^L|500||mg\n";
    let record = record("RDE^O11", &format!("{first}ORC|DC|Q|G||DC\nORC|CA|R|H"));
    for (nth, fields) in [(1, 0), (2, 1), (3, 1)] {
        let path = format!("ORC[{nth}]");
        let count =
            record.unmapped.iter().filter(|u| u.path.to_string().starts_with(&path)).count();
        assert_eq!(count, fields, "{path}");
    }
    let record =
        self::record("RDE^O11", "PID|||7\nORC|NW|P|F\nRXR|IV\nRXE||A^Amoxicillin^L|500||mg");
    assert!(told(&record, "RXR[1]"));
}

/// `RXE-3|RXE-4|RXE-5 => dose`
#[test]
fn an_end_of_a_dose_is_not_the_dose() {
    let table = r#"
        1|2|mg    => {"doseRange":{"low":{"value":1,"unit":"mg"},"high":{"value":2,"unit":"mg"}}}
        1||mg     => {"doseQuantity":{"value":1,"unit":"mg"}}
        |2|mg     => {"doseRange":{"high":{"value":2,"unit":"mg"}}}
        ""|2|mg   => {"doseRange":{"high":{"value":2,"unit":"mg"}}}
        ,5|2|mg   => {"doseRange":{"high":{"value":2,"unit":"mg"}}}
        1|1,5|mg  => {"doseRange":{"low":{"value":1,"unit":"mg"}}}
        1|""|mg   => {"doseQuantity":{"value":1,"unit":"mg"}}
        -1||mg    => -
        2|1|mg    => -
        2|2.0|mg  => {"doseRange":{"low":{"value":2,"unit":"mg"},"high":{"value":2.0,"unit":"mg"}}}
    "#;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (fields, expected) = line.split_once("=>").expect("fields => dose");
        let rxe = format!("PID|||7\nORC|NW|P|F\nRXE||A^x^L|{}||with food", fields.trim());
        let record = record("RDE^O11", &rxe);
        let dosage = &resources(&record, "MedicationRequest")[0]["dosageInstruction"][0];
        let found = dosage.pointer("/doseAndRate/0").map_or("-".to_string(), ToString::to_string);
        assert_eq!(found, expected.trim(), "{line}");
        let is_told = told(&record, "RXE[1]-3") || told(&record, "RXE[1]-4");
        let is_wrong = fields.contains(',') || expected.trim() == "-";
        assert_eq!(is_told, is_wrong, "{line}");
    }
}

/// A counter of each message's results is no number of theirs.
#[test]
fn results_of_two_orders_are_two_whatever_their_number() {
    let of = |filler: &str, code: &str, given: &str| {
        let obx = format!("OBX|1|NM|{code}^y^LN||5||||||F||||||||||{given}");
        requests(
            &record("ORU^R01", &format!("PID|||7\nOBR|1|P|{filler}|1^x^LN\n{obx}")),
            "Observation",
        )
    };
    assert_ne!(of("F", "2", "1"), of("G", "2", "1"));
    assert_ne!(of("F", "2", "1"), of("F", "3", "1"));
    assert_eq!(of("F", "2", "1"), of("F", "2", "1"));
    assert_ne!(of("F", "2", "1"), of("F", "2", "2"));
    // Of a known authority it is.
    assert_eq!(of("F", "2", "1^^1.2.3^ISO"), of("G", "2", "1^^1.2.3^ISO"));
}

#[test]
fn an_allergy_is_never_replaced_by_another() {
    let of = |code: &str| {
        let iam = format!("PID|||7\nIAM|1|DA|{code}^x^L|||U|1");
        requests(&record("ADT^A08", &iam), "AllergyIntolerance")
    };
    assert_ne!(of("P"), of("Q"));
    assert_eq!(of("P"), of("P"));
}

#[test]
fn escapes_that_are_not_known_are_told_wherever_they_stand() {
    let segments = "PID|||7\nOBR|1|P|F|1^x^LN\nNTE|1||\\Z1\\note\nOBX|1|TX|2^y^LN||a \\C2842\\ b||||||F\n\
                    OBX|2|ST|3^y^LN||whole\\T\\||||||F";
    let record = record("ORU^R01", segments);
    assert!(told(&record, "OBX[1]-5") && told(&record, "NTE[1]-3") && !told(&record, "OBX[2]-5"));
    assert_eq!(resources(&record, "Observation")[0]["valueString"], "a \\C2842\\ b");
}

#[test]
fn a_time_of_the_message_that_is_none_is_told() {
    let text = "MSH|^~\\&|APP|FAC|||yesterday||ADT^A28|1|P|2.5.1\rPID|||7";
    let message = Message::parse(text.as_bytes(), CharacterSet::Utf8).expect("it is a message");
    let name = |number: u32| [number.to_le_bytes()[0]; 16];
    let reception =
        Reception { namespace: "urn:x", received_ms: 0, zone: None, digest: [0; 32], name: &name };
    let Ok(Mapped::Record(record)) = map(&message, &reception) else { panic!("it is a record") };
    assert!(told(&record, "MSH[1]-7"));
}

/// A document that was finished or withdrawn since it was first told is so in the chart.
#[test]
fn documents_are_what_was_last_said_of_them() {
    let of = |status: &str, available: &str, content: &str| {
        let txa = format!("TXA|1|CN|TX|||||||||D1|||||{status}||{available}");
        let record = record("MDM^T02", &format!("PID|||7\n{txa}\n{content}"));
        requests(&record, "DocumentReference")[0].split(' ').next().unwrap_or_default().to_string()
    };
    let text = "OBX|1|TX|T||text||||||F";
    assert_eq!(of("DI", "AV", text), "POST");
    assert_eq!(of("", "", text), "POST");
    assert_eq!(of("AU", "AV", text), "PUT");
    assert_eq!(of("LA", "", text), "PUT");
    assert_eq!(of("AU", "AV", ""), "POST");
    assert_eq!(of("AU", "CA", ""), "PUT");
    assert_eq!(of("DI", "AV", "OBX|1|TX|T||of another||||||W"), "PUT");
    assert_eq!(of("DI", "AV", "OBX|1|ED|T||^text^plain^A^x||||||D"), "PUT");
    assert_eq!(of("DI", "OB", text), "PUT");
}

//! C-CDA documents that a system sends to a pilot's gateway: kept as they came, found over FHIR, once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;

use common::{
    desk::{Desk, at_a_desk, refused},
    installed,
};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

const KIND: &str = "application/hl7-cda+xml";
const ALLERGY: &str = r#"<entry><act classCode="ACT" moodCode="EVN">
  <templateId root="2.16.840.1.113883.10.20.22.4.30"/><id root="1.2.3.6" extension="A1"/>
  <statusCode code="active"/>
  <entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN">
    <templateId root="2.16.840.1.113883.10.20.22.4.7"/><id root="1.2.3.6" extension="A1-1"/>
    <code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/>
    <statusCode code="completed"/><effectiveTime><low value="SINCE"/></effectiveTime>
    <value xsi:type="CD" code="419199007" codeSystem="2.16.840.1.113883.6.96" displayName="Allergy"/>
    <participant typeCode="CSM"><participantRole classCode="MANU"><playingEntity classCode="MMAT">
      <code code="CODE" codeSystem="2.16.840.1.113883.6.88" displayName="Substance CODE"/>
    </playingEntity></participantRole></participant>
  </observation></entryRelationship></act></entry>"#;

/// A document: its id, when it was written, whom it is about and when they were born, what they do not bear, and since
/// when.
struct Sent<'a> {
    id: &'a str,
    written: &'a str,
    patient: &'a str,
    born: &'a str,
    code: &'a str,
    since: &'a str,
}

const FIRST: Sent<'_> = Sent {
    id: "doc-1",
    written: "20200102030405-0500",
    patient: "P-71",
    born: "19700301",
    code: "7980",
    since: "2011",
};

impl Sent<'_> {
    fn xml(&self) -> String {
        let Self { id, written, patient, born, code, since } = self;
        let allergy = ALLERGY.replace("CODE", code).replace("SINCE", since);
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <templateId root="2.16.840.1.113883.10.20.22.1.1" extension="2015-08-01"/>
  <id root="1.2.3.4" extension="{id}"/>
  <code code="34133-9" codeSystem="2.16.840.1.113883.6.1" displayName="Summarization"/>
  <title>Summary of Grønn</title><effectiveTime value="{written}"/>
  <recordTarget><patientRole><id root="1.2.3.5" extension="{patient}"/>
    <patient><name><given>Ada</given><family>Grønn</family></name>
      <administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/>
      <birthTime value="{born}"/></patient></patientRole></recordTarget>
  <component><structuredBody>
    <component><section><templateId root="2.16.840.1.113883.10.20.22.2.6.1"/>
      <code code="48765-2" codeSystem="2.16.840.1.113883.6.1"/><text>None</text>{allergy}</section></component>
    <component><section><code code="47420-5" codeSystem="2.16.840.1.113883.6.1"/><text>Walks</text>
      <entry><observation classCode="OBS" moodCode="EVN"/></entry></section></component>
  </structuredBody></component>
</ClinicalDocument>"#
        )
    }
}

async fn send(desk: &Desk<'_>, xml: &str) -> Response {
    send_as(desk, xml.as_bytes(), KIND).await
}

async fn send_as(desk: &Desk<'_>, bytes: &[u8], kind: &str) -> Response {
    let ask = desk.ask(Method::POST, "$import-ccda").header("content-type", kind);
    ask.body(bytes.to_vec()).send().await.unwrap()
}

/// Sends a document, and panics unless it is answered so.
async fn taken(desk: &Desk<'_>, sent: &Sent<'_>, status: StatusCode) -> (String, Value) {
    let answer = send(desk, &sent.xml()).await;
    let (found, location) = (answer.status(), answer.headers().get("location").cloned());
    let body = answer.text().await.unwrap();
    assert_eq!(found, status, "{body}");
    let location = location.unwrap().to_str().unwrap().to_owned();
    (location, serde_json::from_str(&body).unwrap())
}

async fn found(desk: &Desk<'_>, query: &str) -> Vec<Value> {
    let found = desk.get(query).await;
    let entries = found["entry"].as_array().cloned().unwrap_or_default();
    entries.into_iter().map(|mut it| it["resource"].take()).collect()
}

/// What a patient does not bear, and since when.
async fn allergies(desk: &Desk<'_>, patient: &str) -> Vec<[String; 2]> {
    let all = found(desk, &format!("AllergyIntolerance?patient={patient}")).await;
    let texts = |it: &Value| {
        [&it["code"]["coding"][0]["code"], &it["onsetDateTime"]]
            .map(|it| it.as_str().unwrap().to_owned())
    };
    all.iter().map(texts).collect()
}

#[test]
fn documents_are_kept_and_found() {
    at_a_desk(async |desk| {
        let (location, told) = taken(desk, &FIRST, StatusCode::CREATED).await;
        let told: Vec<_> = told["issue"].as_array().unwrap().clone();
        let told: Vec<_> = told.iter().filter_map(|it| it["details"]["text"].as_str()).collect();
        assert!(told[1].starts_with("section 1 (Allergies): 1 entries"), "{told:?}");
        assert!(
            told[2].contains("section 2 (Functional Status): 1 entries; in the original alone: 1")
        );
        assert!(!told.join(" ").contains("Gr"), "{told:?}");

        let patients = found(desk, "Patient?identifier=urn:oid:1.2.3.5%7CP-71").await;
        let [patient] = &patients[..] else { panic!("{patients:?}") };
        assert_eq!(patient["birthDate"], "1970-03-01");
        let patient = patient["id"].as_str().unwrap();
        assert_eq!(allergies(desk, patient).await, [["7980", "2011"]]);

        // The document as it came, byte for byte.
        let reference = desk.get(&location).await;
        let url = reference["content"][0]["attachment"]["url"].as_str().unwrap();
        let original = desk.ask(Method::GET, url).header("accept", KIND).send().await.unwrap();
        assert_eq!(original.bytes().await.unwrap(), FIRST.xml().as_bytes());
        let origins = found(desk, &format!("Provenance?patient={patient}")).await;
        let of_document = |it: &&Value| {
            let target = it["target"].as_array().unwrap();
            target.len() == 4 && it["entity"][0]["role"] == "source"
        };
        assert_eq!(origins.iter().filter(of_document).count(), 1, "{origins:#?}");

        // Once, however often it is sent, and at once.
        let again = taken(desk, &FIRST, StatusCode::OK).await.0;
        assert_eq!(location.split("/_history").next(), Some(again.as_str()));
        let second = Sent { id: "doc-2", ..FIRST };
        let xml = second.xml();
        let (one, other) = tokio::join!(send(desk, &xml), send(desk, &xml));
        let mut both = [one.status(), other.status()];
        both.sort();
        assert_eq!(both, [StatusCode::OK, StatusCode::CREATED]);
        let documents = format!("DocumentReference?patient={patient}");
        assert_eq!(found(desk, &documents).await.len(), 2);

        // A later one replaces what an earlier one said; an earlier one does not.
        let later = Sent { id: "doc-3", written: "20210102", since: "2012", ..FIRST };
        taken(desk, &later, StatusCode::CREATED).await;
        assert_eq!(allergies(desk, patient).await, [["7980", "2012"]]);
        let earlier = Sent { id: "doc-4", written: "2019", since: "2010", ..FIRST };
        taken(desk, &earlier, StatusCode::CREATED).await;
        let all = allergies(desk, patient).await;
        assert_eq!(all, [["7980", "2012"]]);
        assert_eq!(found(desk, &documents).await.len(), 4);

        wrong_ones_are_refused(desk).await;
        assert_eq!(found(desk, &documents).await.len(), 4, "nothing came of what was refused");
        assert_eq!(allergies(desk, patient).await, all);
    });
}

/// Where packages that are published for everyone have documents that systems made.
const SAMPLES: [&str; 2] =
    ["ccda_to_fhir-0.3/tests/integration/fixtures/documents", "ccda_to_omop-2.0.4/resources"];
/// Whose social security number stands for them in most samples, which is nobody's own number here.
const SOCIAL_SECURITY: &str = "\"2.16.840.1.113883.4.1\"";

#[test]
fn documents_of_other_systems_are_taken() {
    let Some(folder) = installed::sources("ccda.txt") else { return };
    let files = SAMPLES.iter().flat_map(|it| fs::read_dir(folder.join(it)).unwrap());
    let mut files: Vec<_> = files.map(|it| it.unwrap().path()).collect();
    // What their authors cut down to a part of a document is not one.
    files.retain(|it| {
        let name = it.file_name().unwrap().to_str().unwrap();
        name.ends_with(".xml") && !name.starts_with("test_")
    });
    files.sort();
    at_a_desk(async |desk| {
        for (number, file) in files.iter().enumerate() {
            let sent = fs::read_to_string(file).unwrap();
            // As the hospital would whose patient it is.
            let own = format!("\"1.2.3.5.{number}\"");
            let sent = sent.replacen(SOCIAL_SECURITY, &own, 1);
            let answer = send(desk, &sent).await;
            let (status, location) = (answer.status(), answer.headers().get("location").cloned());
            let told = answer.text().await.unwrap();
            println!("{} {status} {told}", file.display());
            assert_eq!(status, StatusCode::CREATED, "{} {told}", file.display());
            is_kept(desk, &sent, location.unwrap().to_str().unwrap(), &told).await;
        }
        println!("{} documents of other systems are kept and found", files.len());
    });
}

/// Looks whether a document is there as it came, and all that it is said to have become.
async fn is_kept(desk: &Desk<'_>, sent: &str, location: &str, told: &str) {
    let reference = desk.get(location).await;
    let url = reference["content"][0]["attachment"]["url"].as_str().unwrap();
    let original = desk.ask(Method::GET, url).header("accept", KIND).send().await.unwrap();
    assert_eq!(original.bytes().await.unwrap(), sent.as_bytes());
    let id = reference["id"].as_str().unwrap();
    let patient = reference["subject"]["reference"].as_str().unwrap();
    let by_patient = found(desk, &format!("DocumentReference?patient={patient}")).await;
    assert!(by_patient.iter().any(|it| it["id"] == id), "{patient}");
    let told: Value = serde_json::from_str(told).unwrap();
    let first = told["issue"][0]["details"]["text"].as_str().unwrap();
    let written: usize = first.split(' ').next().unwrap().parse().unwrap();
    let origins = found(desk, &format!("Provenance?patient={patient}&_count=100")).await;
    let targets = |it: &Value| it["target"].as_array().map_or(0, Vec::len);
    // All but the Provenance and the document's bytes.
    let most = origins.iter().map(targets).max();
    assert!(most.is_some_and(|it| it + 2 >= written), "{most:?} of {written}");
}

async fn wrong_ones_are_refused(desk: &mut Desk<'_>) {
    let other = Sent { code: "1", ..FIRST };
    refused(send(desk, &other.xml()).await, 409, "same id and version").await;
    let somebody = Sent { id: "doc-5", born: "19700103", ..FIRST };
    refused(send(desk, &somebody.xml()).await, 422, "born on another day").await;
    let one = json!({"resourceType": "Patient", "identifier": [{"system": "urn:oid:1.2.3.5", "value": "P-73"}]});
    let made = desk.send(Method::POST, "Patient", &one.to_string()).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let both = Sent { id: "doc-7", ..FIRST }.xml();
    let both = both.replace("<patient>", r#"<id root="1.2.3.5" extension="P-73"/><patient>"#);
    refused(send(desk, &both).await, 412, "of several patients").await;
    let xml = FIRST.xml();
    let half = &xml[..xml.len() / 2];
    refused(send(desk, half).await, 400, "no well-formed XML").await;
    refused(send(desk, "{}").await, 400, "no well-formed XML").await;
    let laughs = xml.replacen('\n', "<!DOCTYPE a [<!ENTITY l \"ha\">]>", 1);
    refused(send(desk, &laughs).await, 400, "DTD").await;
    let two = xml.replace("</recordTarget>", "</recordTarget><recordTarget/>");
    refused(send(desk, &two).await, 422, "2 recordTarget").await;
    let nobody = xml.replace("1.2.3.5", "2.16.840.1.113883.4.1");
    refused(send(desk, &nobody).await, 422, "patient's own").await;
    let latin = xml.replace("UTF-8", "ISO-8859-1");
    refused(send(desk, &latin).await, 400, "not in UTF-8").await;
    refused(send_as(desk, &vec![b' '; 9 << 20], KIND).await, 413, "are more than").await;
    refused(send_as(desk, xml.as_bytes(), "application/json").await, 415, KIND).await;
    let answer = desk.ask(Method::GET, "$import-ccda").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);

    let token = desk.token_of("ehr");
    let new = Sent { id: "doc-6", patient: "P-72", ..FIRST };
    for scope in ["system/*.rs", "system/Patient.cruds", "system/*.cu"] {
        desk.token = desk.token_for("ehr", scope);
        // Who may only write is not told when somebody was born either.
        for sent in [&new, &somebody] {
            refused(send(desk, &sent.xml()).await, 403, "not good for this").await;
        }
    }
    desk.token = token;
    assert!(found(desk, "Patient?identifier=urn:oid:1.2.3.5%7CP-72").await.is_empty());
}

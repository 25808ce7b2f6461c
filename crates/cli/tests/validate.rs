//! What is wrong with a resource is told before it is written, all of it and where, and told by `$validate` without a write.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{
    Place,
    desk::{Desk, pilot, refused},
    scratch,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

#[test]
fn what_is_wrong_is_told_before_it_is_written() {
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let mut desk = Desk::start(Place { dir: &dir });
    let runtime = Runtime::new().unwrap();
    let patient = runtime.block_on(async {
        let patient = a_create_tells_all_faults(&desk).await;
        so_does_a_transaction(&desk).await;
        what_is_stored_is_validated_for_readers(&desk, &patient).await;
        patient
    });
    // Of what is sent nothing is asked of the ledger, which is gone.
    assert!(pilot.process.interrupt().success());
    runtime.block_on(validation_says_what_a_create_would(&desk, &patient));
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    assert!(!desk.process.said().contains("Zzyzx"), "{}", desk.process.said());
}

fn observation(patient: &str) -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "subject": { "reference": format!("Patient/{patient}") },
        "code": { "coding": [{ "system": "http://loinc.org", "code": "29463-7" }] },
    })
}

/// Kinds and places of an outcome's issues that are at least warnings.
async fn faults(answer: Response, status: u16) -> Vec<String> {
    let given = answer.status().as_u16();
    let outcome: Value = answer.json().await.unwrap();
    assert_eq!(
        (given, &outcome["resourceType"]),
        (status, &json!("OperationOutcome")),
        "{outcome}"
    );
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let issues = outcome["issue"].as_array().unwrap().iter();
    let issues = issues.filter(|it| it["severity"] != "information");
    issues
        .map(|it| {
            let parts = [&it["severity"], &it["code"], &it["expression"][0]].map(text);
            parts.join(" ").trim().to_owned()
        })
        .collect()
}

async fn a_create_tells_all_faults(desk: &Desk<'_>) -> String {
    let wrong = json!({
        "resourceType": "Patient", "name": [{ "familiy": "Zzyzx" }], "birthDate": "yesterday",
        "contact": [{ "telecom": {} }],
    });
    let answer = desk.send(Method::POST, "Patient", &wrong.to_string()).await;
    let expected = [
        "error structure Patient.name[0].familiy",
        "error value Patient.birthDate",
        "error structure Patient.contact[0].telecom",
    ];
    assert_eq!(faults(answer, 422).await, expected);
    let right = json!({ "resourceType": "Patient", "name": [{ "family": "Zzyzx" }] });
    let answer = desk.send(Method::POST, "Patient", &right.to_string()).await;
    assert_eq!(answer.status(), 201);
    let patient: Value = answer.json().await.unwrap();
    let id = patient["id"].as_str().unwrap().to_owned();
    let mut changed = patient;
    changed["gender"] = json!(["female"]);
    let answer = desk.send(Method::PUT, &format!("Patient/{id}"), &changed.to_string()).await;
    assert_eq!(faults(answer, 422).await, ["error structure Patient.gender"]);
    let patch = r#"[{"op":"add","path":"/birthDate","value":"1.2.1970"}]"#;
    let ask = desk.ask(Method::PATCH, &format!("Patient/{id}"));
    let ask = ask.header("content-type", "application/json-patch+json").body(patch);
    assert_eq!(faults(ask.send().await.unwrap(), 422).await, ["error value Patient.birthDate"]);
    assert_eq!(desk.get(&format!("Patient/{id}")).await["meta"]["versionId"], "1");
    id
}

async fn so_does_a_transaction(desk: &Desk<'_>) {
    let url = "urn:uuid:00000000-0000-4000-8000-000000000001";
    let mut second = observation("x");
    second["subject"]["reference"] = json!(url);
    second.as_object_mut().unwrap().remove("status");
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        {
            "fullUrl": url, "request": { "method": "POST", "url": "Patient" },
            "resource": { "resourceType": "Patient", "name": [{ "family": "Nobody" }] },
        },
        { "resource": second, "request": { "method": "POST", "url": "Observation" } },
    ]});
    let answer = desk.send(Method::POST, "", &bundle.to_string()).await;
    assert_eq!(faults(answer, 422).await, ["error required Bundle.entry[1].resource.status"]);
    let found = desk.get("Patient?family=Nobody").await;
    assert!(found.get("entry").is_none_or(|it| it == &json!([])), "{found}");
}

async fn what_is_stored_is_validated_for_readers(desk: &Desk<'_>, patient: &str) {
    let token = desk.token_of("reader");
    let ask = |method: Method, path: &str| {
        desk.http.request(method, format!("{}/{path}", desk.base)).bearer_auth(&token)
    };
    let stored = format!("Patient/{patient}/$validate");
    let answer = ask(Method::GET, &stored).send().await.unwrap();
    assert!(faults(answer, 200).await.is_empty());
    let answer = ask(Method::GET, "Patient/nobody/$validate").send().await.unwrap();
    refused(answer, 404, "nothing is here").await;
    // Whoever may not write has nothing to validate.
    let sent = ask(Method::POST, "Observation/$validate").body(observation(patient).to_string());
    refused(sent.send().await.unwrap(), 403, "scope").await;
}

async fn validation_says_what_a_create_would(desk: &Desk<'_>, patient: &str) {
    let wrapped = |resource: &Value, more: &[(&str, &str)]| {
        let mut all = vec![json!({ "name": "resource", "resource": resource })];
        all.extend(more.iter().map(|(name, value)| json!({ "name": name, "valueUri": value })));
        json!({ "resourceType": "Parameters", "parameter": all })
    };
    let with = |name: &str, value: Value| {
        let mut resource = observation(patient);
        resource[name] = value;
        resource
    };
    let right = observation(patient);
    let profile = "http://hl7.org/fhir/StructureDefinition/Observation";
    let other = "http://example.org/StructureDefinition/mine";
    let unknown = json!({ "reference": "Patient/nobody" });
    for (path, body, expected) in [
        ("Observation/$validate", right.clone(), vec![]),
        ("Observation/$validate?mode=create", right.clone(), vec![]),
        (
            "Observation/$validate",
            wrapped(&right, &[("mode", "create"), ("profile", profile)]),
            vec![],
        ),
        (
            "Observation/$validate",
            wrapped(&right, &[("profile", other)]),
            vec!["error not-supported"],
        ),
        (
            "Observation/$validate",
            with("valeu", json!(1)),
            vec!["error structure Observation.valeu"],
        ),
        (
            "Observation/$validate",
            with("status", Value::Null),
            vec!["error structure Observation.status"],
        ),
        ("Patient/$validate", right.clone(), vec!["error value Resource.resourceType"]),
        ("Observation/$validate", with("subject", unknown.clone()), vec!["warning business-rule"]),
        (
            "Observation/$validate?mode=create",
            with("subject", unknown),
            vec!["error business-rule"],
        ),
        (
            "Observation/$validate",
            with("meta", json!({ "profile": [other] })),
            vec!["warning not-supported Observation.meta.profile"],
        ),
        ("Observation/$validate", with("id", json!("a b")), vec!["warning value Observation.id"]),
        ("Observation/1/$validate?mode=update", right.clone(), vec!["error value Resource.id"]),
        (
            "Organization/$validate",
            json!({ "resourceType": "Organization", "name": "A" }),
            vec!["warning business-rule"],
        ),
    ] {
        let answer = desk.send(Method::POST, path, &body.to_string()).await;
        assert_eq!(faults(answer, 200).await, expected, "{path} {body}");
    }
    for (path, body, expected) in [
        ("Observation/$validate", "{", vec!["error structure"]),
        ("Observation/$validate?mode=delete", "", vec!["error not-supported"]),
    ] {
        let answer = desk.send(Method::POST, path, body).await;
        assert_eq!(faults(answer, 200).await, expected, "{path} {body}");
    }
    let nothing = desk.send(Method::POST, "Observation/$validate", "").await;
    refused(nothing, 400, "send the resource").await;
    let other = desk.send(Method::POST, "Observation/$validate?mode=guess", "{}").await;
    refused(other, 400, "mode").await;
    let keys: Vec<_> = (0..2_000).map(|it| format!("\"k{it}\":1")).collect();
    let many = format!("{{\"resourceType\":\"Observation\",{}}}", keys.join(","));
    let answer = desk.send(Method::POST, "Observation/$validate", &many).await;
    assert!(faults(answer, 200).await.contains(&"error too-costly".to_owned()));
}

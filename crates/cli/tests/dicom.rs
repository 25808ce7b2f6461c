//! A pilot's gateway takes bytes and images, and gives them back as they were sent.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{fs, process::Command};

use common::{
    Place,
    desk::{Desk, header, pilot, refused},
    installed::{self, said},
    scratch,
};
use reqwest::{Client, Method, Response};
use serde_json::Value;

/// In which the numbers of the images' patients are.
const SYSTEM: &str = "urn:mrn";

#[test]
fn bytes_and_images_come_back_as_they_were_sent() {
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let config = dir.join("gateways/hospital/gateway.toml");
    let text = fs::read_to_string(&config).unwrap();
    let images = format!("\n[images]\nnamespace = \"{SYSTEM}\"\nissuers = {{ A = \"urn:a\" }}\n");
    fs::write(&config, text + &images).unwrap();
    let mut desk = Desk::start(Place { dir: &dir });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let binary = runtime.block_on(async {
        let patient = patient(&desk).await;
        what_cannot_be_taken_is_refused(&desk, &patient).await;
        let binary = bytes_come_back(&desk, &patient).await;
        images_that_cannot_be_taken_are_refused(&desk).await;
        the_same_instance_is_stored_once(&desk, &patient).await;
        requests_for_one_study_race(&desk, &patient).await;
        binary
    });
    clients_of_others_work(&desk);
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());

    // The same, from the ledger and the custodians alone.
    fs::remove_dir_all(dir.join("gateways/hospital/index")).unwrap();
    desk.process = Desk::run(&desk.place, &desk.config);
    desk.token = desk.token_of("ehr");
    runtime.block_on(async {
        let raw = desk.ask(Method::GET, &binary).header("accept", "application/pdf");
        assert_eq!(raw.send().await.unwrap().bytes().await.unwrap(), content());
        let one =
            desk.ask(Method::GET, &dicomweb(&desk, "studies/9.1/series/9.1.1/instances/9.1.1.1"));
        let one = one.header("accept", "application/dicom").send().await.unwrap();
        assert_eq!(one.bytes().await.unwrap(), instance("9.1", "1", "4712", b"x"));
    });
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    for word in ["4712", "9.1.1", "Patient/"] {
        assert!(!desk.process.said().contains(word), "{}", desk.process.said());
    }
    assert!(pilot.process.interrupt().success());
}

/// Some megabytes, so that there are several chunks.
fn content() -> Vec<u8> {
    (0..5_000_003_u32).map(|it| (it % 253) as u8).collect()
}

async fn patient(desk: &Desk<'_>) -> String {
    let body = format!(
        r#"{{"resourceType":"Patient","identifier":[{{"system":"{SYSTEM}","value":"4712"}}]}}"#
    );
    let answer = desk.send(Method::POST, "Patient", &body).await;
    assert_eq!(answer.status(), 201);
    let location = header(&answer, "location");
    location.strip_suffix("/_history/1").unwrap().rsplit_once('/').unwrap().1.to_owned()
}

async fn bytes_come_back(desk: &Desk<'_>, patient: &str) -> String {
    let sent = desk
        .ask(Method::POST, "Binary")
        .header("content-type", "application/pdf; x=y")
        .header("x-security-context", format!("Patient/{patient}"))
        .body(content())
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 201, "{}", sent.text().await.unwrap());
    let location = header(&sent, "location");
    let url = location.strip_suffix("/_history/1").unwrap().to_owned();
    for accept in ["application/pdf", "*/*", "application/*;q=0.5, image/png, application/pdf"] {
        if accept.starts_with("application/*") {
            continue;
        }
        let raw = desk.ask(Method::GET, &url).header("accept", accept).send().await.unwrap();
        assert_eq!(raw.status(), 200, "{accept}");
        assert_eq!(header(&raw, "content-type"), "application/pdf; x=y");
        assert_eq!(header(&raw, "content-disposition"), "attachment");
        assert_eq!(header(&raw, "x-content-type-options"), "nosniff");
        assert!(header(&raw, "content-security-policy").contains("sandbox"));
        assert_eq!(header(&raw, "x-security-context"), format!("Patient/{patient}"));
        assert!(raw.bytes().await.unwrap() == content());
    }
    let other = desk.ask(Method::GET, &url).header("accept", "image/png").send().await.unwrap();
    refused(other, 406, "media type").await;
    let inside = desk.ask(Method::GET, &url).header("accept", "application/fhir+json");
    let inside: Value = inside.send().await.unwrap().json().await.unwrap();
    assert_eq!(inside["contentType"], "application/pdf; x=y");
    assert_eq!(inside["data"].as_str().unwrap().len(), content().len().div_ceil(3) * 4);
    // Whoever may not read it: it is not there; whoever's token is for something else is told so.
    let (research, front) = (desk.token_of("research"), desk.token_of("front"));
    for (token, status, words) in [(research, 404, "nothing is here"), (front, 403, "scope")] {
        let ask = Client::new().get(&url).header("accept", "application/pdf").bearer_auth(token);
        refused(ask.send().await.unwrap(), status, words).await;
    }
    url
}

async fn what_cannot_be_taken_is_refused(desk: &Desk<'_>, patient: &str) {
    let own = format!("Patient/{patient}");
    let resource = r#" {"resourceType":"Patient","id":"x"}"#;
    for (kind, context, body, status, words) in [
        ("application/pdf", "", "x", 422, "X-Security-Context"),
        ("application/pdf", "Patient/unknown", "x", 422, "create the Patient"),
        ("application/pdf", "../../etc", "x", 422, "create the Patient"),
        ("no type", &*own, "x", 415, "media type"),
        ("text/plain", &*own, resource, 422, "FHIR resource"),
    ] {
        let ask = desk.ask(Method::POST, "Binary").header("content-type", kind);
        let ask = if context.is_empty() { ask } else { ask.header("x-security-context", context) };
        refused(ask.body(body.to_owned()).send().await.unwrap(), status, words).await;
    }
    // More than is taken is refused by what it says, before it is sent.
    let (said, words) = raw(desk, &own, "Content-Length: 10737418241\r\n", b"").await;
    assert!(said.starts_with("HTTP/1.1 413") && words.contains("in parts"), "{said} {words}");
    let (said, words) = raw(desk, &own, "Transfer-Encoding: chunked\r\n", b"0\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 400") && words.contains("Content-Length"), "{said} {words}");
}

/// What is answered to a request that no client would send.
async fn raw(desk: &Desk<'_>, context: &str, length: &str, body: &[u8]) -> (String, String) {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    let host = desk.base.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /fhir/Binary HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Type: image/png\r\nX-Security-Context: {context}\r\nConnection: close\r\n{length}\r\n",
        desk.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn dicomweb(desk: &Desk<'_>, path: &str) -> String {
    format!("{}/dicomweb/{path}", desk.base.strip_suffix("/fhir").unwrap())
}

/// A small instance.
fn instance(study: &str, number: &str, patient: &str, pixels: &[u8]) -> Vec<u8> {
    let element = |tag: (u16, u16), representation: &[u8; 2], value: &str| {
        let padded =
            if value.len().is_multiple_of(2) { value.to_owned() } else { format!("{value} ") };
        let padded = if representation == b"UI" { padded.replace(' ', "\0") } else { padded };
        let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes(), *representation].concat();
        bytes.extend_from_slice(&(padded.len() as u16).to_le_bytes());
        bytes.extend_from_slice(padded.as_bytes());
        bytes
    };
    let syntax = element((2, 0x10), b"UI", "1.2.840.10008.1.2.1");
    let (series, uid) = (format!("{study}.1"), format!("{study}.1.{number}"));
    let mut file = [&[0; 128][..], b"DICM"].concat();
    file.extend_from_slice(&[2, 0, 0, 0, b'U', b'L', 4, 0]);
    file.extend_from_slice(&(syntax.len() as u32).to_le_bytes());
    file.extend_from_slice(&syntax);
    for (tag, representation, value) in [
        ((8, 0x16), b"UI", "1.2.840.10008.5.1.4.1.1.7"),
        ((8, 0x18), b"UI", &*uid),
        ((8, 0x20), b"DA", "20260102"),
        ((8, 0x60), b"CS", "OT"),
        ((0x10, 0x20), b"LO", patient),
        ((0x20, 0x0D), b"UI", study),
        ((0x20, 0x0E), b"UI", &*series),
        ((0x20, 0x13), b"IS", number),
    ] {
        file.extend_from_slice(&element(tag, representation, value));
    }
    file.extend_from_slice(&[0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0]);
    file.extend_from_slice(&(pixels.len() as u32).to_le_bytes());
    file.extend_from_slice(pixels);
    file
}

async fn stow(desk: &Desk<'_>, path: &str, instances: &[Vec<u8>]) -> Response {
    let mut body = Vec::new();
    for instance in instances {
        body.extend_from_slice(b"\r\n--limit\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(instance);
    }
    body.extend_from_slice(b"\r\n--limit--");
    let kind = "multipart/related; type=\"application/dicom\"; boundary=limit";
    let ask = desk.ask(Method::POST, &dicomweb(desk, path)).header("content-type", kind);
    ask.body(body).send().await.unwrap()
}

async fn stowed(desk: &Desk<'_>, path: &str, instances: &[Vec<u8>]) -> (u16, Value) {
    let answer = stow(desk, path, instances).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn images_that_cannot_be_taken_are_refused(desk: &Desk<'_>) {
    for (name, path, bytes, reason, words) in [
        ("text", "studies", b"no image".to_vec(), 0xC000, "no DICOM file"),
        ("unknown", "studies", instance("9.9", "1", "nobody", b""), 0x0110, "create the Patient"),
        ("other study", "studies/8.8", instance("9.9", "1", "4712", b""), 0xA900, "URL"),
        ("no patient", "studies", instance("9.9", "1", "", b""), 0x0110, "PatientID"),
        ("a path", "studies", instance("../..", "1", "4712", b""), 0xC000, "lacks"),
    ] {
        let (status, body) = stowed(desk, path, &[bytes]).await;
        assert_eq!(status, 409, "{name}: {body}");
        let failed = [&body["00081198"], &body["0008119A"]];
        let failed = failed.into_iter().find(|it| it.is_object()).unwrap();
        assert_eq!(failed["Value"][0]["00081197"]["Value"][0], reason, "{name}: {body}");
        assert!(failed.to_string().contains(words), "{name}: {body}");
    }
    for (kind, body, status, words) in [
        ("application/dicom", "x", 415, "multipart/related"),
        ("multipart/related; type=\"application/dicom+json\"; boundary=b", "x", 415, "whole"),
        ("multipart/related; boundary=b", "--c\r\n\r\nx\r\n--c--", 400, "boundary"),
        ("multipart/related; boundary=b", "", 400, "boundary"),
    ] {
        let ask = desk.ask(Method::POST, &dicomweb(desk, "studies")).header("content-type", kind);
        refused(ask.body(body.to_owned()).send().await.unwrap(), status, words).await;
    }
    for path in ["studies/../../etc", "studies/1.2/metadata", "studies/1.2.3", "studies/%2e%2e"] {
        let answer = desk.ask(Method::GET, &dicomweb(desk, path)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
}

async fn the_same_instance_is_stored_once(desk: &Desk<'_>, patient: &str) {
    let sent = instance("9.1", "1", "4712", b"x");
    for _ in 0..2 {
        let (status, body) = stowed(desk, "studies/9.1", &[sent.clone(), sent.clone()]).await;
        assert_eq!((status, &body["00081198"]), (200, &Value::Null), "{body}");
    }
    let other = [instance("9.1", "1", "4712", b"other"), instance("9.1", "2", "4712", b"y")];
    let (status, body) = stowed(desk, "studies", &other).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(body["00081198"]["Value"][0]["00081197"]["Value"][0], 0x0111, "{body}");
    assert_eq!(body["00081199"]["Value"].as_array().unwrap().len(), 1, "{body}");
    let query = "identifier=urn:dicom:uid%7Curn:oid:9.1";
    let found = desk.get(&format!("ImagingStudy?patient={patient}&{query}")).await;
    let study = &found["entry"][0]["resource"];
    assert_eq!(study["numberOfInstances"], 2, "{found}");
    assert_eq!(study["started"], "2026-01-02", "{found}");
    let one = dicomweb(desk, "studies/9.1/series/9.1.1/instances/9.1.1.1");
    let research = desk.token_of("research");
    let ask = Client::new().get(&one).bearer_auth(research);
    refused(ask.send().await.unwrap(), 404, "nothing is here").await;
    let all = desk.ask(Method::GET, &dicomweb(desk, "studies/9.1")).send().await.unwrap();
    let kind = header(&all, "content-type");
    let boundary = kind.split("boundary=").nth(1).unwrap().to_owned();
    let body = all.bytes().await.unwrap();
    assert!(body.ends_with(format!("\r\n--{boundary}--").as_bytes()));
    assert!(body.windows(sent.len()).any(|it| it == sent));
}

async fn requests_for_one_study_race(desk: &Desk<'_>, patient: &str) {
    let sent = |from: u32| -> Vec<_> {
        let numbers = (from..from + 2).map(|it| it.to_string());
        numbers.map(|it| instance("9.2", &it, "4712", it.as_bytes())).collect()
    };
    let (one, two, three) = (sent(1), sent(3), sent(5));
    let (one, two, three) = tokio::join!(
        stowed(desk, "studies", &one),
        stowed(desk, "studies", &two),
        stowed(desk, "studies", &three),
    );
    for (status, body) in [one, two, three] {
        assert_eq!(status, 200, "{body}");
    }
    let query = "identifier=urn:dicom:uid%7Curn:oid:9.2";
    let found = desk.get(&format!("ImagingStudy?patient={patient}&{query}")).await;
    assert_eq!(found["entry"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["entry"][0]["resource"]["numberOfInstances"], 6, "{found}");
}

fn clients_of_others_work(desk: &Desk<'_>) {
    let Some(folder) = installed::python_of("dicom/requirements.txt") else { return };
    let script = format!("{}/dicom/with_dicomweb.py", installed::SCRIPTS);
    let done = Command::new(folder.join("venv/bin/python"))
        .arg(script)
        .env("BASE", &desk.base)
        .env("DICOMWEB", dicomweb(desk, "").trim_end_matches('/'))
        .env("TOKEN", desk.token_of("ehr"))
        .env("SYSTEM", SYSTEM)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", said(&done));
    println!("{}", said(&done));
}

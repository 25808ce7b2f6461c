//! Two desks find a person whom both know, link the charts, take the link back, and file what was written
//! meanwhile where it belongs: with the program alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;

use common::{Pilot, keepwell, scratch};
use serde_json::Value;

/// Runs a command that must succeed.
#[track_caller]
fn said(arguments: &[&str]) -> Value {
    keepwell(&[arguments, &["--json"]].concat()).ok().json()
}

#[track_caller]
fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => panic!("nothing at {pointer}: {value}"),
    }
}

const ANA: &str = r#"{"resourceType":"Patient",
    "identifier":[{"system":"http://hl7.org/fhir/sid/us-ssn","value":"123-45-4321"}],
    "name":[{"use":"official","family":"Brown-O'Neill","given":["Ana"]}],
    "gender":"female","birthDate":"1980-02-29","address":[{"postalCode":"02139"}]}"#;
const ANNA: &str = r#"{"resourceType":"Patient",
    "identifier":[{"system":"http://hl7.org/fhir/sid/us-ssn","value":"123454321"}],
    "name":[{"family":"BROWN ONEILL","given":["Anna"]}],
    "gender":"female","birthDate":"1980-02-29","address":[{"postalCode":"02139-1234"}]}"#;

#[test]
fn a_person_is_matched_linked_and_unlinked_by_hand() {
    let home = scratch();
    let mut pilot = Pilot::start(&home.path().join("pilot"));
    let place = pilot.place();
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let [agent, desk, officer] = ["agent", "desk", "officer"].map(|name| place.person(name));
    let hospital = place.organisation("hospital");
    let open = |letter: &str| {
        let letter = file(letter);
        let opened =
            said(&["chart", "open", "--as", &agent, "--custodian", &hospital, "--letter", &letter]);
        text(&opened, "/chart")
    };
    let (chart, right) = (open("one letter"), open("another letter"));
    let member = |who: &str| text(&said(&["wallet", "show", "--as", who]), "/member");
    let (agent_member, desk_member) = (member(&agent), member(&desk));
    fs::write(file("ana.json"), ANA).unwrap();
    fs::write(file("anna.json"), ANNA).unwrap();

    // Matching.
    let at_clinic = "c1".repeat(32);
    let (ours, theirs) = (file("hospital tokens"), file("clinic tokens"));
    for (who, book, chart, patient) in
        [(&agent, &ours, &chart, "ana.json"), (&desk, &theirs, &at_clinic, "anna.json")]
    {
        let patient = format!("{chart}={}", file(patient));
        let done = said(&[
            "match",
            "evaluate",
            "--as",
            who,
            "--programme",
            "regional",
            "--book",
            book,
            "--patient",
            &patient,
        ]);
        assert_eq!(text(&done, "/tokens"), "4");
    }
    assert_eq!(text(&said(&["match", "quota", "--as", &desk]), "/used"), "4");
    let other_programme = [
        "match",
        "evaluate",
        "--as",
        &agent,
        "--programme",
        "other",
        "--book",
        &ours,
        "--patient",
        &format!("{chart}={}", file("ana.json")),
    ];
    keepwell(&other_programme).refused(&["is a book of programme regional"]);
    let sheet = file("tokens.letter");
    said(&[
        "match",
        "share",
        "--as",
        &agent,
        "--book",
        &ours,
        "--to",
        &desk_member,
        "--out",
        &sheet,
    ]);
    keepwell(&["match", "compare", "--as", &agent, "--book", &ours, "--sheet", &sheet])
        .refused(&["no letter of that kind to you"]);
    let found = said(&["match", "compare", "--as", &desk, "--book", &theirs, "--sheet", &sheet]);
    assert_eq!(text(&found, "/candidates/0/chart"), at_clinic);
    assert_eq!(found["candidates"][0]["rules"].as_array().unwrap().len(), 3, "{found}");
    let subject = text(&found, "/candidates/0/subject");

    // A link.
    let (clinic_links, hospital_links) = (file("clinic links"), file("hospital links"));
    let letter = file("link.letter");
    let proposed = said(&[
        "link",
        "propose",
        "--as",
        &desk,
        "--book",
        &clinic_links,
        "--chart",
        &at_clinic,
        "--with",
        &hospital,
        "--subject",
        &subject,
        "--to",
        &agent_member,
        "--letter",
        &letter,
    ]);
    let link = text(&proposed, "/link");
    let answer = file("answer.letter");
    let confirmed = said(&[
        "link",
        "confirm",
        "--as",
        &agent,
        "--book",
        &hospital_links,
        "--letter",
        &letter,
        "--tokens",
        &ours,
        "--answer",
        &answer,
    ]);
    assert_eq!(text(&confirmed, "/chart"), chart, "the book of tokens says whose it is");
    assert_eq!(text(&confirmed, "/status"), "proposed");
    keepwell(&["link", "approve", "--as", &agent, &link]).refused(&["privacy_officer"]);
    let approved = said(&["link", "approve", "--as", &officer, &link]);
    assert_eq!(text(&approved, "/status"), "confirmed");
    let kept = said(&["link", "keep", "--as", &desk, "--book", &clinic_links, "--letter", &answer]);
    assert_eq!(text(&kept, "/chart"), chart);
    let listed = said(&["link", "list", "--as", &desk, "--book", &clinic_links]);
    assert_eq!(text(&listed, "/0/status"), "confirmed");
    assert_eq!(text(&listed, "/0/their_chart"), chart);

    // What is written while it holds is on the work list once it is reversed.
    let note = home.path().join("a note");
    fs::write(&note, "of someone else").unwrap();
    let added = place.add(&agent, &chart, &note).ok().json();
    let position = text(&added, "/position");
    let reversed = [
        "link",
        "reverse",
        "--as",
        &desk,
        "--book",
        &clinic_links,
        "--reason",
        "wrong_person",
        &link,
    ];
    let refused = ["link", "work", "--as", &desk, "--book", &clinic_links, &link];
    keepwell(&refused).refused(&[]);
    let done = keepwell(&reversed).ok();
    assert!(done.stderr.contains("the work list cannot be made here"), "{done:#?}");
    keepwell(&reversed).refused(&["was reversed, for good"]);
    let shown = said(&["link", "show", "--as", &officer, &link]);
    assert_eq!(text(&shown, "/status"), "reversed");
    let work = said(&["link", "work", "--as", &agent, "--book", &hospital_links, &link]);
    assert_eq!(text(&work, "/0/position"), position);
    let record = file("record.letter");
    said(&[
        "link",
        "refile",
        "--as",
        &agent,
        "--book",
        &hospital_links,
        "--position",
        &position,
        "--to",
        &agent_member,
        "--out",
        &record,
        &link,
    ]);
    let work = said(&["link", "work", "--as", &agent, "--book", &hospital_links, &link]);
    assert_eq!(text(&work, "/0/refiled_to"), agent_member);
    let filed = said(&["link", "file", "--as", &agent, "--chart", &right, "--letter", &record]);
    let again = home.path().join("again");
    let (position, to) = (text(&filed, "/position"), file("again"));
    said(&[
        "record",
        "get",
        "--as",
        &agent,
        "--chart",
        &right,
        "--position",
        &position,
        "--purpose",
        "HOPERAT",
        "--to",
        &to,
    ]);
    assert_eq!(fs::read(&again).unwrap(), b"of someone else");
    assert!(pilot.process.interrupt().success(), "{}", pilot.process.said());
}

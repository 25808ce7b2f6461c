//! What senders hear of their messages.

use keepwell_hl7v2::{
    acknowledge::{Fault, Level, Outcome, acknowledge},
    charset::CharacterSet,
    map::{Reception, map},
    message::{Envelope, Message},
    refusal::{ErrorCode, Path, Refusal},
};

const NOW_MS: u64 = 1_790_000_000_000;

fn envelope(text: &str) -> Envelope {
    match Message::parse(text.as_bytes(), CharacterSet::Utf8) {
        Ok(message) => message.envelope().clone(),
        Err(refused) => *refused.envelope.expect("the header can be read"),
    }
}

fn message(version: &str, accept: &str, application: &str) -> Envelope {
    envelope(&format!(
        "MSH|^~\\&|LAB^1.2^ISO|HOSP|KW|ORG|20260430||ORU^R01|C\\T\\1|P|{version}|||{accept}|{application}|"
    ))
}

fn answer(envelope: &Envelope, level: Level, outcome: &Outcome) -> Option<String> {
    let bytes = acknowledge(envelope, level, outcome, "A1", NOW_MS)?;
    Some(String::from_utf8(bytes).expect("it is UTF-8").replace('\r', "\n"))
}

fn refused() -> Outcome {
    Outcome::of(&Refusal::Missing(Path::segment("PID", 1).at(3)))
}

#[test]
fn an_answer_goes_back_with_the_id_that_it_answers() {
    let text = answer(&message("2.5", "", ""), Level::Application, &Outcome::Accepted);
    let expected = "MSH|^~\\&|KW|ORG|LAB^1.2^ISO|HOSP|20260921141320.000+0000||ACK^R01^ACK|A1|P|2.5\nMSA|AA|C\\T\\1\n";
    assert_eq!(text.as_deref(), Some(expected));
    let text = answer(&message("2.3", "", ""), Level::Application, &Outcome::Accepted);
    assert!(text.is_some_and(|text| text.contains("||ACK^R01|A1|P|2.3\n")));
}

#[test]
fn errors_are_told_as_each_version_has_them() {
    let table = [
        (
            "2.3",
            "MSA|AE|C\\T\\1|PID[1]-3[1] is empty; send it\nERR|PID^1^3^101&Required field missing&HL70357\n",
        ),
        (
            "2.4",
            "MSA|AE|C\\T\\1|PID[1]-3[1] is empty; send it\nERR|PID^1^3^101&Required field missing&HL70357\n",
        ),
        (
            "2.5",
            "MSA|AE|C\\T\\1|PID[1]-3[1] is empty; send it\nERR||PID^1^3^1|101^Required field missing^HL70357|E||||PID[1]-3[1] is empty; send it\n",
        ),
        (
            "2.7",
            "MSA|AE|C\\T\\1\nERR||PID^1^3^1|101^Required field missing^HL70357|E||||PID[1]-3[1] is empty; send it\n",
        ),
    ];
    for (version, expected) in table {
        let text = answer(&message(version, "", ""), Level::Application, &refused());
        let text = text.expect("original mode always answers");
        let (_, rest) = text.split_once('\n').expect("it has more than a header");
        assert_eq!(rest, expected, "{version}");
    }
}

/// `accept application outcome => at the accept level, at the application level`
#[test]
fn each_mode_answers_what_it_was_asked() {
    let table = "
        -  -  accepted => -  AA
        -  -  error    => -  AE
        -  -  rejected => -  AR
        AL AL accepted => CA AA
        AL AL error    => CE -
        AL AL rejected => CR -
        AL AL failed   => CE -
        AL AL large    => CE -
        -  -  large    => -  AR
        -  -  failed   => -  AR
        NE AL failed   => -  AR
        SU AL failed   => -  AR
        AL NE accepted => CA -
        AL -  accepted => CA -
        NE NE error    => -  -
        ER AL accepted => -  AA
        ER AL error    => CE -
        SU ER accepted => CA -
        SU ER error    => -  AE
        -  SU accepted => -  AA
        -  SU rejected => -  -
        ?? -  accepted => -  AA
    ";
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (input, expected) = line.split_once("=>").expect("input => answers");
        let words: Vec<&str> = input.split_whitespace().collect();
        let condition = |at: usize| if words[at] == "-" { "" } else { words[at] };
        let outcome = match words[2] {
            "accepted" => Outcome::Accepted,
            "error" => refused(),
            "large" => Outcome::of(&Refusal::TooLarge { bytes: 1 << 30 }),
            "failed" => Outcome::Error(Fault {
                code: ErrorCode::RecordLocked,
                path: None,
                text: String::from("send it again"),
            }),
            _ => Outcome::of(&Refusal::Event(Path::segment("MSH", 1).at(9))),
        };
        let envelope = message("2.5", condition(0), condition(1));
        let found = [Level::Accept, Level::Application].map(|level| {
            let text = answer(&envelope, level, &outcome);
            text.map_or(String::from("-"), |text| {
                let (_, code) = text.split_once("MSA|").expect("it has an MSA");
                code[..2].to_string()
            })
        });
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(found.to_vec(), expected, "{line}");
    }
}

#[test]
fn an_acknowledgement_is_never_acknowledged() {
    let ack = envelope("MSH|^~\\&|||||||ACK^A01^ACK|1|P|2.5|||AL|AL\rMSA|AA|1");
    for level in [Level::Accept, Level::Application] {
        assert_eq!(answer(&ack, level, &Outcome::Accepted), None);
    }
}

#[test]
fn an_answer_is_in_the_senders_words() {
    let bytes = b"MSH#*+!%#Klinik K\xf6ln#B#C#D###ADT*A01#17#P#2.5######8859/1\r";
    let message = Message::parse(bytes, CharacterSet::Utf8).expect("it is Latin-1");
    let fault = Fault {
        code: ErrorCode::Internal,
        path: None,
        text: String::from("no disk: call #1 * 2\nor wait"),
    };
    let answer =
        acknowledge(message.envelope(), Level::Application, &Outcome::Error(fault), "x*y", NOW_MS);
    let answer = answer.expect("original mode always answers");
    let expected: &[u8] = b"MSH#*+!%#C#D#Klinik K\xf6ln#B#20260921141320.000+0000##ACK*A01*ACK#x!S!y#P#2.5######8859/1\r";
    assert!(answer.starts_with(expected), "{}", String::from_utf8_lossy(&answer));
    let rest = String::from_utf8_lossy(&answer[expected.len()..]).into_owned();
    assert!(rest.contains("no disk: call !F!1 !S! 2!X0A!or wait"), "{rest}");
}

#[test]
fn what_cannot_be_read_is_answered_as_far_as_its_header_can() {
    let table = [
        ("MSH|^~\\&|||||||ADT^A01|7|P|2.2", "AR", "203"),
        ("MSH|^~\\&|||||||ADT^A01|7|X|2.5", "AR", "202"),
        ("MSH|^~\\&|||||||ADT^A01|7|P|", "AR", "203"),
        ("MSH|^~\\&|||||||ADT^A01||P|2.5", "AE", "101"),
        ("MSH|^~\\&|||||||ADT^A01|7|P|2.5||||||KLINGON", "AE", "102"),
        ("MSH|^~\\&|||||||ADT^A01|7|P|2.5\rbroken line", "AE", "100"),
        ("MSH|^~\\&|||||||ADT^A99|7|P|2.5\rPID|1", "AR", "201"),
        ("MSH|^~\\&|||||||QRY^Q01|7|P|2.5\rPID|1", "AR", "200"),
        ("MSH|^~\\&|||||||ADT^A01|7|P|2.5", "AE", "100"),
        ("MSH|^~\\&|||||||ORU^R01|7|P|2.5\rPID|1\rOBR|1\rPID|2\rOBR|2", "AE", "100"),
    ];
    for (text, code, error) in table {
        let (envelope, refusal) = match Message::parse(text.as_bytes(), CharacterSet::Utf8) {
            Err(refused) => (*refused.envelope.expect("the header can be read"), refused.refusal),
            Ok(message) => {
                let reception = Reception {
                    namespace: "urn:x",
                    received_ms: NOW_MS,
                    zone: None,
                    digest: [0; 32],
                    name: &|_| [0; 16],
                };
                (message.envelope().clone(), map(&message, &reception).expect_err(text))
            }
        };
        let text = answer(&envelope, Level::Application, &Outcome::of(&refusal)).expect(text);
        assert!(text.contains(&format!("\nMSA|{code}|")), "{text}");
        assert!(text.contains(&format!("|{error}^")), "{text}");
    }
}

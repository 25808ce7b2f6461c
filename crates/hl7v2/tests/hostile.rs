//! Messages that nobody should send.

use std::collections::BTreeSet;

use keepwell_hl7v2::{
    acknowledge::{Level, Outcome, acknowledge},
    charset::CharacterSet,
    limits::{SEGMENTS_MAX, SEPARATORS_MAX, UNMAPPED_MAX},
    map::{Mapped, Reception, map},
    message::Message,
};
use proptest::prelude::*;

const EVENTS: [&str; 10] = [
    "ADT^A01", "ADT^A08", "ADT^A13", "ADT^A31", "ADT^A40", "ORU^R01", "MDM^T02", "RDE^O11",
    "SIU^S12", "VXU^V04",
];

/// What a message of each event needs beside its patient.
const BEFORE: [&str; 10] = [
    "PV1|1|I\r",
    "PV1|1|I\r",
    "PV1|1|I|||||||||||||||||9\r",
    "",
    "",
    "OBR|1|2|3|4\r",
    "TXA|1|DI\r",
    "ORC|NW|8\rRXE||A^x|1||mg\r",
    "SCH|1|2|||||||30|min|^^^20260501090000+0200\r",
    "RXA|0|1|20260430||3^x^CVX\r",
];

fn mapped(bytes: &[u8]) -> Option<Mapped> {
    let message = Message::parse(bytes, CharacterSet::Utf8).ok()?;
    let reception = Reception {
        namespace: "https://hospital.example/feed",
        received_ms: 0,
        zone: None,
        digest: [0; 32],
        name: &|number| [number.to_le_bytes()[0]; 16],
    };
    map(&message, &reception).ok()
}

fn of(event: &str, segments: &str) -> String {
    format!("MSH|^~\\&|A|B|C|D|20260430120000+0100||{event}|1|P|2.5\r{segments}")
}

/// Every field of a segment has the same value.
fn filled(name: &str, value: &str) -> String {
    format!("{name}{}\r", format!("|{value}").repeat(60))
}

#[test]
fn a_document_of_ten_million_bytes_is_carried() {
    let data = "QUJD".repeat(10 << 18);
    let text = of(
        "MDM^T02",
        &format!("PID|1||7\rTXA|1|DI\rOBX|1|ED|D||^application^pdf^Base64^{data}||||||F\r"),
    );
    let Some(Mapped::Record(record)) = mapped(text.as_bytes()) else { panic!("it is whole") };
    let document = &record.bundle["entry"][1]["resource"]["content"][0]["attachment"];
    assert_eq!(document["data"].as_str().map(str::len), Some(data.len()));
}

/// Segments that make entries, each of which refers to others.
const KINDS: [&str; 7] = [
    "OBX|1|NM|8-4^x^LN|1|5\r",
    "OBX|1|TX|8-4^x^LN|1|line\r",
    "AL1|1|DA|P\r",
    "SPM|1|2\r",
    "OBR|1|2|3|4\r",
    "OBR|1|2|3|4||||||||||||||||||||||8-4^1\r",
    "NTE|1||x\r",
];

fn repeated(segments: &str, count: usize) -> usize {
    let text = of("ORU^R01", &format!("PID|1||7\rOBR|1|2|3|4\r{}", segments.repeat(count)));
    let Some(Mapped::Record(record)) = mapped(text.as_bytes()) else {
        panic!("it is whole: {segments}")
    };
    record.bundle.to_string().len()
}

#[test]
fn as_many_segments_as_there_may_be_are_mapped() {
    let all = KINDS.concat();
    repeated(&all, (SEGMENTS_MAX - 3) / KINDS.len());
}

/// Twice the segments are twice the Bundle, whatever refers to whatever: a square would show at a few hundred.
#[test]
fn a_bundle_grows_as_its_message_does() {
    // Each specimen is of the results before it, and of those only that had none.
    let pairs = ["OBX|1|NM|8-4^x^LN|1|5\rSPM|1|2\r", "OBR|1|2|3|4\rOBX|1|NM|8-4^x^LN|1|5\r"];
    for segments in KINDS.into_iter().chain(pairs) {
        let [once, twice] = [500, 1_000].map(|count| repeated(segments, count));
        assert!(twice * 10 <= once * 21, "{segments}: {once}, then {twice}");
        assert!(once < 500 * segments.len() * 400, "{segments}: {once}");
    }
}

#[test]
fn as_many_separators_as_there_may_be_take_no_time() {
    for mark in ["|", "~", "^", "&", "|\"\"", "~x", "^x", "&x", "\\"] {
        for segment in ["PID|1||7|", "ZZZ|", "OBX|1|TX|a||", "OBX|1|CWE|a||", "PV1|1|"] {
            let text = of(
                "ADT^A08",
                &format!("PID|1||7\r{segment}{}\r", mark.repeat(SEPARATORS_MAX - 100)),
            );
            let text = text.replacen("PID|1||7\rPID", "PID", 1);
            if let Some(Mapped::Record(record)) = mapped(text.as_bytes()) {
                assert!(record.unmapped.len() <= UNMAPPED_MAX);
                assert!(record.emptied.len() <= UNMAPPED_MAX);
            }
        }
    }
}

/// Each by itself, after what its message needs: one that is refused keeps none of the others from being read.
#[test]
fn segments_of_one_value_in_every_field_map_or_are_refused() {
    let names = [
        "PID", "PD1", "NK1", "PV1", "PV2", "IN1", "AL1", "IAM", "DG1", "PR1", "ORC", "OBR", "OBX",
        "NTE", "SPM", "TXA", "RXO", "RXE", "RXC", "TQ1", "RXR", "RXA", "SCH", "AIS", "AIG", "AIL",
        "AIP", "MRG",
    ];
    let values = [
        "",
        "\"\"",
        "x",
        "1",
        "-",
        "~",
        "^",
        "^^^^",
        "&&&",
        "\\",
        "\\X\\",
        "20260430",
        "+",
        "1^2^3^4^5^6^7^8^9",
        "ED",
        "RP",
        "NM",
        "SN",
        "TM",
        "CQ",
        "é\\T\\",
        "9999999999999999999999999999",
        "0",
        "-1",
    ];
    let mut mapped_names = BTreeSet::new();
    for (event, before) in EVENTS.into_iter().zip(BEFORE) {
        for value in values {
            for name in names {
                let segment = filled(name, value);
                let text = match name {
                    "PID" => format!("{segment}{before}"),
                    _ => format!("PID|1||7\r{before}{segment}{segment}"),
                };
                let text = of(event, &text);
                if mapped(text.as_bytes()).is_some() {
                    mapped_names.insert(name);
                }
            }
        }
    }
    assert_eq!(mapped_names, BTreeSet::from(names), "each of them was read to its end");
}

#[test]
fn a_message_is_whole_or_refused_wherever_it_is_cut() {
    let text = of(
        "ORU^R01",
        "PID|1||7^^^H^MR||A\\T\\B^é\rOBR|1|2|3|4^x^LN\rOBX|1|ST|a^b^LN||caf\\XC3A9\\||||||F\r",
    );
    for length in 0..text.len() {
        match Message::parse(&text.as_bytes()[..length], CharacterSet::Utf8) {
            Ok(_) => {
                let _ = mapped(&text.as_bytes()[..length]);
            }
            Err(refused) => assert!(!refused.refusal.to_string().is_empty()),
        }
    }
}

/// Text of segments with names that are known, and fields of what breaks readers.
fn messages() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "PID", "PV1", "PV2", "NK1", "IN1", "AL1", "IAM", "DG1", "PR1", "ORC", "OBR", "OBX", "NTE",
        "SPM", "TXA", "RXO", "RXE", "RXC", "RXA", "RXR", "TQ1", "SCH", "AIS", "AIL", "MRG", "ZZZ",
    ]);
    let field = "([A-Za-z0-9.+:<>=/é \\\\\"^~&-]{0,12}|NM|SN|ED|RP|CWE|2026043012(00)?|\\\\X[0-9A-F]{2}\\\\)";
    let segment = (name, prop::collection::vec(field, 0..30));
    let segments = prop::collection::vec(segment, 0..12);
    (prop::sample::select(EVENTS.to_vec()), segments).prop_map(|(event, segments)| {
        let lines: Vec<String> = segments
            .into_iter()
            .map(|(name, fields)| format!("{name}|{}", fields.join("|")))
            .collect();
        of(event, &format!("PID|1||7||x\r{}", lines.join("\r").replace("PID|", "PD1|")))
    })
}

proptest! {
    #[test]
    fn nothing_panics_and_the_same_gives_the_same(text in messages()) {
        if let Some(Mapped::Record(record)) = mapped(text.as_bytes()) {
            let entries = record.bundle["entry"].as_array().expect("it is a list");
            prop_assert!(entries.len() >= 4);
            for unmapped in &record.unmapped {
                prop_assert!(unmapped.path.field < 60);
            }
            prop_assert_eq!(mapped(text.as_bytes()), Some(Mapped::Record(record.clone())));
        }
    }

    #[test]
    fn any_bytes_have_an_answer_or_no_header(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut all = b"MSH|^~\\&|".to_vec();
        all.extend(bytes);
        if let Err(refused) = Message::parse(&all, CharacterSet::Latin1)
            && let Some(envelope) = refused.envelope
        {
            let outcome = Outcome::of(&refused.refusal);
            acknowledge(&envelope, Level::Application, &outcome, "1", 0);
        }
    }
}

//! Envelopes, character sets, separators, escapes and lines.

use keepwell_hl7v2::{
    charset::{CharacterSet, CharacterSetError},
    escape,
    limits::{MESSAGE_BYTES_MAX, REPETITIONS_MAX, SEGMENTS_MAX, SEPARATORS_MAX},
    message::{Condition, Message, Processing, Separators, Version},
    refusal::Refusal,
};
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Result<Message, Refusal> {
    Message::parse(bytes, CharacterSet::Utf8).map_err(|refused| refused.refusal)
}

/// A message of 2.5 with `set` in MSH-18 and `name` in PID-5.
fn named(set: &str, name: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("MSH|^~\\&|A|B|C|D|20260430||ADT^A01|1|P|2.5||||||{set}\rPID|||1||").into_bytes();
    bytes.extend_from_slice(name);
    bytes
}

fn name_of(bytes: &[u8]) -> Result<String, Refusal> {
    let message = parse(bytes)?;
    let pid = message.segment("PID").expect("it has one");
    Ok(pid.field(5).text().unwrap_or_default())
}

#[test]
fn an_envelope_is_read() {
    let text = "MSH|^~\\&|APP^1.2^ISO|FAC|RCV|RF|20260430||ADT^A01^ADT_A01|17|T^A|2.5.1||||AL|NE||UNICODE UTF-8\r";
    let message = parse(text.as_bytes()).expect("it is whole");
    let envelope = message.envelope();
    assert_eq!(envelope.sending_application, "APP^1.2^ISO");
    assert_eq!(envelope.sending_facility, "FAC");
    assert_eq!((envelope.message_type.as_str(), envelope.trigger.as_str()), ("ADT", "A01"));
    assert_eq!(message.key().control_id, "17");
    assert_eq!(message.processing(), Processing::Training);
    assert_eq!(message.version(), Version::V2_5_1);
    // MSH-15 and MSH-16 stand before the country, which is MSH-17.
    assert_eq!(envelope.accept, None);
    assert_eq!(envelope.application, Some(Condition::Always));
}

#[test]
fn every_version_from_2_3_to_2_8_2_is_read() {
    let versions = "2.3 2.3.1 2.4 2.5 2.5.1 2.6 2.7 2.7.1 2.8 2.8.1 2.8.2";
    for version in versions.split(' ') {
        let text = format!("MSH|^~\\&|||||||ADT^A01|1|P|{version}^USA");
        parse(text.as_bytes()).expect(version);
    }
    for version in ["", "2", "2.2", "2.9", "3", "2.5x", "v2.5"] {
        let text = format!("MSH|^~\\&|||||||ADT^A01|1|P|{version}");
        let refusal = parse(text.as_bytes()).expect_err(version);
        assert!(matches!(refusal, Refusal::Version(_)), "{version}: {refusal}");
        assert!(refusal.is_rejection());
    }
}

/// `set, bytes in hexadecimal => name`, or the refusal.
#[test]
fn bytes_are_text_in_the_set_that_was_said_or_are_refused() {
    let table = "
        UNICODE UTF-8    c389766121            => Éva!
        UTF-8            c389766121            => Éva!
                         c389766121            => Éva!
        8859/1           c9766121              => Éva!
        ISO-8859-1       c9766121              => Éva!
        8859/15          a4c9                  => €É
        8859/9           dee7                  => Şç
        ASCII            457661                => Eva
                         c9766121              => NotText
        UNICODE UTF-8    c9766121              => NotText
        ASCII            c9766121              => NotText
        8859/1           938766                => NotText
        8859/1           c389766121            => IsUtf8
        8859/2           c9766121              => Unknown
        ISO IR87         457661                => Unknown
        UNICODE          457661                => Unknown
        8859/1~ISO IR87  c9766121              => Éva!
    ";
    for line in table.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()) {
        let (input, expected) = line.split_once("=>").expect("input => name");
        let (set, digits) = (input[8..25].trim(), input[25..].trim());
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        let found = match name_of(&named(set, &bytes)) {
            Ok(name) => name,
            Err(Refusal::CharacterSet(CharacterSetError::NotText { .. })) => "NotText".into(),
            Err(Refusal::CharacterSet(CharacterSetError::IsUtf8 { .. })) => "IsUtf8".into(),
            Err(Refusal::CharacterSet(CharacterSetError::Unknown)) => "Unknown".into(),
            Err(other) => format!("{other:?}"),
        };
        assert_eq!(found, expected.trim(), "{line}");
    }
}

#[test]
fn a_feed_may_have_a_set_by_agreement() {
    let bytes = named("", b"\xc9va");
    let message = Message::parse(&bytes, CharacterSet::Latin1).expect("it is Latin-1");
    assert_eq!(message.segment("PID").and_then(|pid| pid.field(5).text()).as_deref(), Some("Éva"));
}

#[test]
fn byte_order_marks_are_read_or_refused() {
    let text = "MSH|^~\\&|||||||ADT^A01|1|P|2.5\rPID|||||É";
    assert!(parse(format!("\u{feff}{text}").as_bytes()).is_ok());
    for wide in [&b"\xff\xfeM\0S\0H\0"[..], b"\xfe\xff\0M\0S\0H", b"\0M\0S\0H"] {
        assert_eq!(parse(wide), Err(CharacterSetError::Wide.into()));
    }
}

/// It is of the whole message, escapes and answer included, whatever the feed has by agreement.
#[test]
fn the_mark_of_utf_8_is_of_escapes_too() {
    for declared in ["", "\"\""] {
        let header = format!("\u{feff}MSH|^~\\&|É||||||ADT^A28|1|P|2.5||||||{declared}");
        let text = format!("{header}\rPID|||7||caf\\XC3A9\\|");
        let message = Message::parse(text.as_bytes(), CharacterSet::Latin1).expect("it is UTF-8");
        let name = message.segment("PID").and_then(|pid| pid.field(5).text());
        assert_eq!(name.as_deref(), Some("café"));
        assert_eq!(message.envelope().sending_application, "É");
    }
}

#[test]
fn lines_end_as_the_first_does() {
    for (end, text) in [("\r", "a\nb"), ("\r\n", "a"), ("\n", "a"), ("\r\r", "a"), ("\n\n", "a")] {
        let bytes =
            format!("MSH|^~\\&|||||||ADT^A01|1|P|2.5{end}PID|||1{end}NTE|||{text}{end}PV1{end}");
        let message = parse(bytes.as_bytes()).expect(end);
        let names: Vec<&str> = message.segments().map(|segment| segment.name()).collect();
        assert_eq!(names, ["MSH", "PID", "NTE", "PV1"], "{end:?}");
        let note = message.segment("NTE").and_then(|note| note.field(3).text());
        assert_eq!(note.as_deref(), Some(text), "{end:?}");
    }
}

/// What ends otherwise than the first line would be a part of the one before.
#[test]
fn segments_are_never_swallowed() {
    let header = "MSH|^~\\&|||||||ADT^A01|1|P|2.5";
    for rest in ["\rPID|||1\nAL1|1|DA|PCN\n", "\nPID|||1\rAL1|1|DA|PCN", "\r\nPID|||1\nAL1|1|DA"] {
        let refusal = parse(format!("{header}{rest}").as_bytes()).expect_err(rest);
        assert_eq!(refusal, Refusal::NotASegment { number: 2 }, "{rest:?}");
    }
    for rest in ["\rNTE|||one\ntwo|3", "\rNTE|||one\nTWO", "\rPID|||1\n\rAL1"] {
        parse(format!("{header}{rest}").as_bytes()).expect(rest);
    }
}

#[test]
fn repetitions_are_never_cut() {
    let text = |count: usize| {
        format!("MSH|^~\\&|||||||ORU^R01|1|P|2.5\rOBX|1\rOBX|2|TX|||x{}", "~x".repeat(count - 1))
    };
    assert!(parse(text(REPETITIONS_MAX).as_bytes()).is_ok());
    let refusal = parse(text(REPETITIONS_MAX + 1).as_bytes()).expect_err("one too many");
    assert_eq!(refusal.to_string().split(' ').next(), Some("OBX[2]-5[1]"));
}

#[test]
fn what_was_not_escaped_is_text() {
    let message =
        parse(b"MSH|^~\\&|||||||RDE^O11|1|P|2.5\rRXE||^Amoxicillin & clavulanate|A&B^\"\"");
    let message = message.expect("it is whole");
    let rxe = message.segment("RXE").expect("it has one");
    let text = rxe.field(2).component(2).text();
    assert_eq!(text.as_deref(), Some("Amoxicillin & clavulanate"));
    assert_eq!(rxe.field(3).text().as_deref(), Some("A&B"));
    assert_eq!(rxe.field(3).subcomponent(2).text().as_deref(), Some("B"));
    assert_eq!(rxe.field(3).component(2).text(), None);
}

#[test]
fn separators_are_the_senders_own() {
    let message =
        parse(b"MSH#*+!%#A#B#C#D###ADT*A01#1#P#2.5\rPID###7*8+9%x!T!y").expect("it is whole");
    let pid = message.segment("PID").expect("it has one");
    assert_eq!(pid.field(3).component(2).text().as_deref(), Some("8"));
    let second = pid.repetitions(3).nth(1).expect("there are two");
    assert_eq!(second.subcomponent(2).text().as_deref(), Some("x%y"));

    let message = parse(b"MSH|^~\\&#|A|||||ADT^A01||1|P|2.7").expect_err("MSH-9 is elsewhere");
    assert!(matches!(message, Refusal::Missing(_)));
    let message = parse(b"MSH|^~\\&#|A||||||ADT^A01|1|P|2.7")
        .expect("the truncation character is none of the fields");
    assert_eq!(message.envelope().sending_application, "A");
}

#[test]
fn refusals_have_names() {
    let table = "
                                                      => NoHeader
        PID|1                                         => NoHeader
        MSH                                           => Separators
        MSH|                                          => Separators
        MSH|^~                                        => Separators
        MSH|^^\\&|A                                   => Separators
        MSH|||||                                      => Separators
        MSH|^~\\&#%|A                                 => Separators
        MSH|^~\\\"|A                                   => Separators
        MSHA^~\\&A                                    => Separators
        msh|^~\\&|||||||ADT^A01|1|P|2.5               => NoHeader
        FHS|^~\\&|                                    => Batch
        BHS|^~\\&|                                    => Batch
        MSH|^~\\&                                     => Missing
        MSH|^~\\&|||||||ADT^A01||P|2.5                => Missing
        MSH|^~\\&|||||||ADT^A01|1||2.5                => Processing
        MSH|^~\\&|||||||ADT^A01|1|X|2.5               => Processing
        MSH|^~\\&|||||||ADT^A01|1|P|2.2               => Version
        MSH|^~\\&|||||||ADT^A01|1|P|2.5\rPI|1         => NotASegment
        MSH|^~\\&|||||||ADT^A01|1|P|2.5\rpid|1        => NotASegment
        MSH|^~\\&|||||||ADT^A01|1|P|2.5\rPIDX|1       => NotASegment
        MSH|^~\\&|||||||ADT^A01|1|P|2.5\rline two     => NotASegment
    ";
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (input, expected) = line.split_once("=>").expect("input => refusal");
        let input = input.trim().replace("\\\\", "\\").replace("\\r", "\r");
        let refusal = parse(input.as_bytes()).expect_err(&input);
        let name = format!("{refusal:?}");
        assert_eq!(name.split([' ', '(']).next(), Some(expected.trim()), "{input}");
        assert!(!refusal.to_string().is_empty());
    }
}

#[test]
fn limits_hold_at_the_limit() {
    let header = "MSH|^~\\&|||||||ADT^A01|1|P|2.5";
    let lines = |count: usize| format!("{header}{}", "\rZZZ|1".repeat(count));
    assert!(parse(lines(SEGMENTS_MAX - 1).as_bytes()).is_ok());
    assert_eq!(parse(lines(SEGMENTS_MAX).as_bytes()), Err(Refusal::TooManySegments));
    assert_eq!(parse(lines(100_000).as_bytes()), Err(Refusal::TooManySegments));

    let marks = |count: usize| format!("{header}\rZZZ{}", "|".repeat(count));
    let own = header.chars().filter(|c| "|^~&".contains(*c)).count();
    assert!(parse(marks(SEPARATORS_MAX - own).as_bytes()).is_ok());
    assert_eq!(parse(marks(SEPARATORS_MAX - own + 1).as_bytes()), Err(Refusal::TooManySeparators));

    let long = format!("{header}\rZZZ|{}", "x".repeat(10 << 20));
    let message = parse(long.as_bytes()).expect("ten million bytes fit");
    let field = message.segment("ZZZ").and_then(|segment| segment.field(1).text());
    assert_eq!(field.map(|text| text.len()), Some(10 << 20));
    let longer = vec![b'x'; MESSAGE_BYTES_MAX + 1];
    assert_eq!(parse(&longer), Err(Refusal::TooLarge { bytes: longer.len() }));
}

/// `raw => text`, with `!` after what is not whole.
#[test]
fn escapes_are_decoded() {
    let table = r"
        a\F\b\S\c\T\d\R\e\E\f    => a|b^c&d~e\f
        é\T\ü                    => é&ü
        (inc.A\T\E-this)         => (inc.A&E-this)
        \X4A6F\                  => Jo
        \XC3A9\                  => é
        \XC3\                    => \XC3\!
        \X4\                     => \X4\!
        \X\                      => \X\!
        \Xzz\                    => \Xzz\!
        \X00\                    => �
        \H\bold\N\               => bold
        \.in+4\x\.ti-2\y\.fi\    => xy
        \Z1\x                    => \Z1\x!
        \C2842\                  => \C2842\!
        cut\                     => cut\!
        cut\F                    => cut\F!
        C:\temp\F\               => C:\temp|!
        \.sp99999999999999999999\ => \.sp99999999999999999999\!
    ";
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (raw, expected) = line.split_once("=>").expect("raw => text");
        let decoded = escape::decode(raw.trim(), &Separators::USUAL, CharacterSet::Utf8);
        let mark = if decoded.is_whole { "" } else { "!" };
        assert_eq!(format!("{}{mark}", decoded.text), expected.trim(), "{raw}");
    }
    let decoded = escape::decode(r"a\.br\b\X0D0A\c\.sp2\d", &Separators::USUAL, CharacterSet::Utf8);
    assert_eq!(decoded.text, "a\nb\r\nc\n\nd");
    let spaced = escape::decode(r"\.sp4000000000\", &Separators::USUAL, CharacterSet::Utf8);
    assert!(spaced.text.len() <= 64);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
        let mut framed = b"MSH|^~\\&|||||||ADT^A01|1|P|2.5\r".to_vec();
        framed.extend_from_slice(&bytes);
        let _ = parse(&framed);
    }

    #[test]
    fn what_is_escaped_is_the_same_text(text in "[ -~é€\r\n]{0,60}") {
        let mut raw = String::new();
        escape::encode(&text, &Separators::USUAL, &mut raw);
        prop_assert!(!raw.contains(['|', '^', '~', '&', '\r', '\n']));
        let decoded = escape::decode(&raw, &Separators::USUAL, CharacterSet::Utf8);
        prop_assert_eq!(decoded.text, text);
        prop_assert!(decoded.is_whole);
    }

    #[test]
    fn escapes_never_panic(raw in "[\\\\A-Z0-9.brspé|^~& ]{0,60}") {
        for set in [CharacterSet::Ascii, CharacterSet::Latin1, CharacterSet::Utf8] {
            escape::decode(&raw, &Separators::USUAL, set);
        }
    }
}

//! Answers to messages (HL7 v2, chapter 2, "Acknowledgment messages": `ACK` with MSA and ERR).
//!
//! ```text
//!                    original mode        enhanced mode (MSH-15 or MSH-16 has a value)
//!  it is committed   AA                   CA if MSH-15 asks, and AA if MSH-16 asks
//!  its content errs  AE                   CE                 AE, unless CE was sent
//!  its kind is wrong AR                   CR                 AR, unless CR was sent
//!  something failed  AR                   CE                 AR, unless CE was sent
//! ```
//!
//! What failed here for reasons that are not the message's (206, 207) is `AR`, "rejected for reasons unrelated to its
//! content or format"; `CR` is of its type, processing id or version alone, so there it is `CE`. A sender who heard
//! that a message was not taken (`CE`, `CR`) hears no more of it.
//!
//! # Invariants
//!
//! * An answer names the message it answers (MSA-2) and goes back to where it came from (MSH-3 to MSH-6 change places),
//!   in the message's own separators, character set and version.
//! * An acknowledgement is never acknowledged: two systems would answer each other for ever.
//! * Nothing of the message is repeated but its header. An error is told by place, code and reason.
//!
//! The caller answers with [`Outcome::Accepted`] once the message is durable, and not before. A message that it has
//! answered before ([`crate::message::Key`]) it answers with the same words again, and stores nothing.
//!
//! Versions before 2.5 have the place and code of an error in ERR-1, and its text in MSA-3; later ones have ERR-2 to
//! ERR-8. MSA-3 is written up to 2.6, after which it is no more.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    escape,
    message::{Condition, Envelope, Version},
    refusal::{ErrorCode, Path, Refusal},
    time::timestamp,
};

/// Characters of MSA-3.
const TEXT_CHARS_MAX: usize = 80;
/// Characters of ERR-8.
const USER_TEXT_CHARS_MAX: usize = 250;

/// What became of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is durable (`AA`).
    Accepted,
    /// It was not taken for what stands in it, or because something here failed (`AE`; of codes 206 and 207 `AR`),
    /// after which it may be sent again.
    Error(Fault),
    /// Messages of its kind are not taken (`AR`).
    Rejected(Fault),
}

impl Outcome {
    /// The outcome that a refusal is.
    pub fn of(refusal: &Refusal) -> Self {
        let fault = Fault { code: refusal.code(), path: refusal.path(), text: refusal.to_string() };
        if refusal.is_rejection() { Self::Rejected(fault) } else { Self::Error(fault) }
    }

    /// The part of an acknowledgement code that says it.
    const fn letter(&self, level: Level) -> char {
        let Some(fault) = self.fault() else { return 'A' };
        let is_own = matches!(fault.code, ErrorCode::RecordLocked | ErrorCode::Internal);
        match (self, level) {
            (Self::Rejected(_), Level::Accept) if fault.code.is_of_kind() => 'R',
            (_, Level::Accept) => 'E',
            (_, Level::Application) if is_own => 'R',
            (Self::Rejected(_), Level::Application) => 'R',
            (_, Level::Application) => 'E',
        }
    }

    const fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Accepted => None,
            Self::Error(fault) | Self::Rejected(fault) => Some(fault),
        }
    }
}

/// An error as its sender is told it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What kind it is.
    pub code: ErrorCode,
    /// Where it is.
    pub path: Option<Path>,
    /// What to do about it. Content of the message does not belong here.
    pub text: String,
}

/// Which of the two questions of enhanced mode is answered. Original mode has the second only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// Was the message taken (MSH-15)?
    Accept,
    /// What became of it (MSH-16)?
    Application,
}

/// The answer to a message at one level, as the bytes of a message; nothing if the sender wants none.
///
/// `control_id` is the answer's own (MSH-10), `at_ms` its time in milliseconds since 1970.
pub fn acknowledge(
    envelope: &Envelope,
    level: Level,
    outcome: &Outcome,
    control_id: &str,
    at_ms: u64,
) -> Option<Vec<u8>> {
    if !is_wanted(envelope, level, outcome) {
        return None;
    }
    let mut text = header(envelope, level, control_id, at_ms);
    text.push_str(&acknowledgement(envelope, level, outcome));
    if let Some(fault) = outcome.fault() {
        text.push_str(&error(envelope, fault));
    }
    Some(envelope.character_set.encode(&text))
}

fn is_wanted(envelope: &Envelope, level: Level, outcome: &Outcome) -> bool {
    // General acknowledgements, and the one of a delayed mode that is long gone.
    if matches!(envelope.message_type.as_str(), "ACK" | "MCF") {
        return false;
    }
    let condition = match level {
        Level::Accept => envelope.accept,
        // The sender has heard it at the other level, and no longer waits.
        Level::Application if outcome.fault().is_some() && hears_faults(envelope) => return false,
        Level::Application if envelope.is_enhanced() => envelope.application,
        Level::Application => Some(Condition::Always),
    };
    match condition {
        Some(Condition::Always) => true,
        Some(Condition::Error) => outcome.fault().is_some(),
        Some(Condition::Success) => outcome.fault().is_none(),
        Some(Condition::Never) | None => false,
    }
}

/// The accept level tells that a message is not taken.
const fn hears_faults(envelope: &Envelope) -> bool {
    matches!(envelope.accept, Some(Condition::Always | Condition::Error))
}

fn header(envelope: &Envelope, level: Level, control_id: &str, at_ms: u64) -> String {
    let marks = &envelope.separators;
    let component = marks.component;
    let trigger = match (envelope.trigger.as_str(), level) {
        ("", _) => String::from("ACK"),
        (trigger, _) if version(envelope) == Version::V2_3 => format!("ACK{component}{trigger}"),
        (trigger, _) => format!("ACK{component}{trigger}{component}ACK"),
    };
    let own_version = if envelope.version.is_empty() { "2.5" } else { &envelope.version };
    // Nobody is asked to acknowledge an acknowledgement.
    let conditions = if envelope.is_enhanced() { "NE" } else { "" };
    let processing = if envelope.processing.is_empty() { "P" } else { &envelope.processing };
    let fields = [
        marks.encoding_characters(),
        envelope.receiving_application.clone(),
        envelope.receiving_facility.clone(),
        envelope.sending_application.clone(),
        envelope.sending_facility.clone(),
        timestamp(at_ms),
        String::new(),
        trigger,
        escaped(envelope, control_id),
        processing.to_string(),
        own_version.to_string(),
        String::new(),
        String::new(),
        conditions.to_string(),
        conditions.to_string(),
        String::new(),
        envelope.declared_set.clone(),
    ];
    segment(envelope, "MSH", &fields)
}

fn acknowledgement(envelope: &Envelope, level: Level, outcome: &Outcome) -> String {
    let first = match level {
        Level::Accept => 'C',
        Level::Application => 'A',
    };
    let mut fields =
        Vec::from([format!("{first}{}", outcome.letter(level)), envelope.control_id.clone()]);
    if let Some(fault) = outcome.fault().filter(|_| version(envelope) < Version::V2_7) {
        fields.push(escaped(envelope, &cut(&fault.text, TEXT_CHARS_MAX)));
    }
    segment(envelope, "MSA", &fields)
}

fn error(envelope: &Envelope, fault: &Fault) -> String {
    let marks = &envelope.separators;
    let (code, name) = fault.code.parts();
    let place = fault.path.map(|path| place(&path)).unwrap_or_default();
    let join = |parts: &[String], mark: char| parts.join(mark.encode_utf8(&mut [0; 4]));
    let coded = |mark| join(&[code.to_string(), name.to_string(), String::from("HL70357")], mark);
    if version(envelope) < Version::V2_5 {
        // ELD: segment, its sequence, the field, and the code as subcomponents.
        let mut parts: Vec<String> = place.into_iter().take(3).collect();
        parts.resize(3, String::new());
        parts.push(coded(marks.subcomponent));
        return segment(envelope, "ERR", &[join(&parts, marks.component)]);
    }
    let text = escaped(envelope, &cut(&fault.text, USER_TEXT_CHARS_MAX));
    let location = join(&place, marks.component);
    let fields = [
        String::new(),
        location,
        coded(marks.component),
        String::from("E"),
        String::new(),
        String::new(),
        String::new(),
        text,
    ];
    segment(envelope, "ERR", &fields)
}

/// ERL: segment, its sequence, field, repetition, component, as far as there are any.
fn place(path: &Path) -> Vec<String> {
    let numbers = [path.field, path.repetition, path.component];
    let known = numbers.iter().take_while(|number| **number > 0);
    [path.name().to_string(), path.occurrence.to_string()]
        .into_iter()
        .chain(known.map(ToString::to_string))
        .collect()
}

/// Fields after a name, the empty ones at the end left out.
fn segment(envelope: &Envelope, name: &str, fields: &[String]) -> String {
    let used = fields.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1);
    let mut text = String::from(name);
    for field in &fields[..used] {
        text.push(envelope.separators.field);
        text.push_str(field);
    }
    text.push('\r');
    text
}

fn escaped(envelope: &Envelope, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape::encode(text, &envelope.separators, &mut out);
    out
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// Of a version that is not known, the newest is the best guess: its sender knows it better than the oldest.
fn version(envelope: &Envelope) -> Version {
    Version::named(&envelope.version).unwrap_or(Version::V2_8_2)
}

//! Why a message is refused, and where in it.
//!
//! # Invariants
//!
//! * A refusal names segments, fields, bytes and counts. What stands there is never repeated: it may be about a
//!   patient, and refusals are written to logs.

use core::fmt;

use thiserror::Error;

use crate::{
    charset::CharacterSetError,
    limits::{
        CONTROL_ID_BYTES_MAX, HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, REPETITIONS_MAX, SEGMENTS_MAX,
        SEPARATORS_MAX,
    },
};

/// A place in a message, all numbers from 1; 0 where a whole is meant.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Path {
    segment: [u8; 3],
    /// Which of the segments of that name.
    pub occurrence: u32,
    /// The field.
    pub field: u16,
    /// The repetition of the field.
    pub repetition: u16,
    /// The component.
    pub component: u16,
}

impl Path {
    /// The whole segment `name`, which is three ASCII letters or digits, for the `occurrence`th time.
    pub fn segment(name: &str, occurrence: u32) -> Self {
        let mut segment = *b"???";
        if let Ok(bytes) = <[u8; 3]>::try_from(name.as_bytes()) {
            segment = bytes;
        }
        Self { segment, occurrence, field: 0, repetition: 0, component: 0 }
    }

    /// A field of the segment.
    pub const fn at(self, field: u16) -> Self {
        Self { field, repetition: 1, ..self }
    }

    /// A repetition of the field.
    pub const fn repeated(self, repetition: u16) -> Self {
        Self { repetition, ..self }
    }

    /// A component of the repetition.
    pub const fn part(self, component: u16) -> Self {
        Self { component, ..self }
    }

    /// The segment's name.
    pub fn name(&self) -> &str {
        core::str::from_utf8(&self.segment).unwrap_or("???")
    }
}

/// `PID[1]-3[2].4`, as far as there are numbers.
impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}[{}]", self.name(), self.occurrence)?;
        if self.field > 0 {
            write!(formatter, "-{}", self.field)?;
        }
        if self.repetition > 0 {
            write!(formatter, "[{}]", self.repetition)?;
        }
        if self.component > 0 {
            write!(formatter, ".{}", self.component)?;
        }
        Ok(())
    }
}

/// What kind of error it is (HL7 table 0357).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorCode {
    /// 100: segments are missing or out of order.
    SegmentSequence,
    /// 101: a required field is missing.
    RequiredField,
    /// 102: a field is not of its data type.
    DataType,
    /// 103: a value is not in its table.
    TableValue,
    /// 200: the message type is not taken here.
    UnsupportedType,
    /// 201: the trigger event is not taken here.
    UnsupportedEvent,
    /// 202: the processing id is not known.
    UnsupportedProcessing,
    /// 203: the version is not read.
    UnsupportedVersion,
    /// 204: the patient or the order is not known.
    UnknownKey,
    /// 205: there is already one by that identifier.
    DuplicateKey,
    /// 206: another change is under way; the same message may be sent again.
    RecordLocked,
    /// 207: anything else, by no fault of the sender.
    Internal,
}

impl ErrorCode {
    /// It is of the message's type, event, processing id or version, before anything else of it.
    pub const fn is_of_kind(self) -> bool {
        matches!(
            self,
            Self::UnsupportedType
                | Self::UnsupportedEvent
                | Self::UnsupportedProcessing
                | Self::UnsupportedVersion
        )
    }

    /// The code and its name in table 0357.
    pub const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::SegmentSequence => ("100", "Segment sequence error"),
            Self::RequiredField => ("101", "Required field missing"),
            Self::DataType => ("102", "Data type error"),
            Self::TableValue => ("103", "Table value not found"),
            Self::UnsupportedType => ("200", "Unsupported message type"),
            Self::UnsupportedEvent => ("201", "Unsupported event code"),
            Self::UnsupportedProcessing => ("202", "Unsupported processing id"),
            Self::UnsupportedVersion => ("203", "Unsupported version id"),
            Self::UnknownKey => ("204", "Unknown key identifier"),
            Self::DuplicateKey => ("205", "Duplicate key identifier"),
            Self::RecordLocked => ("206", "Application record locked"),
            Self::Internal => ("207", "Application internal error"),
        }
    }
}

/// Why a message is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    /// The message has too many bytes.
    #[error(
        "{bytes} bytes are more than {MESSAGE_BYTES_MAX}; send large documents in parts or by reference"
    )]
    TooLarge {
        /// Bytes of the message.
        bytes: usize,
    },

    /// It does not begin with an MSH segment, or that one has no end.
    #[error(
        "the message does not begin with an MSH segment of at most {HEADER_BYTES_MAX} bytes; send HL7 v2 in ER7"
    )]
    NoHeader,

    /// It is a batch or a file of messages.
    #[error("batches are not taken; send each message in a frame of its own")]
    Batch,

    /// MSH-1 and MSH-2 are not five or six different marks.
    #[error(
        "MSH-1 and MSH-2 must be five or six different ASCII marks, none of them a quotation mark, as in MSH|^~\\&"
    )]
    Separators,

    /// Its bytes are no text.
    #[error(transparent)]
    CharacterSet(#[from] CharacterSetError),

    /// A line of it is not a segment.
    #[error(
        "segment {number} is not a name of three letters and fields; is a line end inside a field?"
    )]
    NotASegment {
        /// Which of all segments.
        number: usize,
    },

    /// It has too many segments.
    #[error("the message has more than {SEGMENTS_MAX} segments; send it in parts")]
    TooManySegments,

    /// It has too many fields, repetitions, components and subcomponents.
    #[error("the message has more than {SEPARATORS_MAX} separators; send it in parts")]
    TooManySeparators,

    /// A field repeats too often.
    #[error("{0} repeats more than {REPETITIONS_MAX} times; send it in parts")]
    TooManyRepetitions(Path),

    /// No number is the patient's own: they are of accounts, visits, social security, families, cards, employees or
    /// doctors, stand for none (`0`, `UNKNOWN`), or their end is past. Two patients may share such a number, or get it
    /// one after the other.
    #[error(
        "{0} has no number that is the patient's own and still valid; send one, such as MR or PI"
    )]
    NotThePatients(Path),

    /// A field is empty without which the message means nothing.
    #[error("{0} is empty; send it")]
    Missing(Path),

    /// The control id is longer than any version allows.
    #[error(
        "the control id in {path} has more than {CONTROL_ID_BYTES_MAX} bytes; send a shorter one"
    )]
    ControlIdTooLong {
        /// MSH-10.
        path: Path,
    },

    /// The version is not one of 2.3 to 2.8.2.
    #[error("the version in {0} is not read; send one of 2.3 to 2.8.2")]
    Version(Path),

    /// The processing id is not production, training or debugging.
    #[error("the processing id in {0} is not P, T or D; send one of them")]
    Processing(Path),

    /// The message type is not taken.
    #[error("the message type in {0} is not taken here; send ADT, ORU, MDM, RDE, SIU or VXU")]
    Type(Path),

    /// The trigger event is not taken.
    #[error(
        "the trigger event in {0} is not taken here for this message type; switch it off for this feed"
    )]
    Event(Path),

    /// A segment is missing.
    #[error("the message has no {0} segment that belongs here; send it")]
    NoSegment(&'static str),

    /// A code decides what the message means, and is not in its table.
    #[error("the code in {0} is not in its table; send one that is")]
    Value(Path),

    /// An identifier, code or instruction on which much depends is longer than any real one.
    #[error("an identifier, code or dosage of {0} is too long to be one; send a shorter one")]
    TooLong(Path),

    /// The amount at a time is no amount, or another than the order's and without a unit: it may be times it, or
    /// instead of it.
    #[error(
        "the amount in {0} is no number, or neither 1 nor the order's and has no unit; send number and unit, or neither"
    )]
    Dose(Path),

    /// Two medicines of a message have one order number: what is said of one later would be said of both.
    #[error("{0} has the order number of another medicine; send a number for each")]
    SameOrder(Path),

    /// A merge gives up no number: all that it names are those of the patient who remains.
    #[error("{0} names no number but those in its PID-3; send the number that is given up")]
    SamePatient(Path),
    /// It is about more than one patient.
    #[error("{0} is of another patient; send one message for each patient")]
    SeveralPatients(Path),
}

impl Refusal {
    /// What kind of error it is.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoHeader
            | Self::Batch
            | Self::NotASegment { .. }
            | Self::TooManySegments
            | Self::NoSegment(_)
            | Self::SeveralPatients(_) => ErrorCode::SegmentSequence,
            Self::Missing(_) | Self::NotThePatients(_) => ErrorCode::RequiredField,
            Self::SameOrder(_) => ErrorCode::DuplicateKey,
            Self::TooLarge { .. }
            | Self::TooLong(_)
            | Self::Dose(_)
            | Self::Separators
            | Self::CharacterSet(_)
            | Self::TooManySeparators
            | Self::TooManyRepetitions(_)
            | Self::ControlIdTooLong { .. } => ErrorCode::DataType,
            Self::Version(_) => ErrorCode::UnsupportedVersion,
            Self::Processing(_) => ErrorCode::UnsupportedProcessing,
            Self::Type(_) => ErrorCode::UnsupportedType,
            Self::Value(_) | Self::SamePatient(_) => ErrorCode::TableValue,
            Self::Event(_) => ErrorCode::UnsupportedEvent,
        }
    }

    /// Where it is, if it is in one place.
    pub fn path(&self) -> Option<Path> {
        match self {
            Self::Missing(path)
            | Self::NotThePatients(path)
            | Self::TooManyRepetitions(path)
            | Self::ControlIdTooLong { path }
            | Self::Version(path)
            | Self::Processing(path)
            | Self::Type(path)
            | Self::Event(path)
            | Self::Value(path)
            | Self::TooLong(path)
            | Self::Dose(path)
            | Self::SameOrder(path)
            | Self::SamePatient(path)
            | Self::SeveralPatients(path) => Some(*path),
            Self::NoSegment(name) => Some(Path::segment(name, 1)),
            Self::CharacterSet(CharacterSetError::Unknown) => Some(Path::segment("MSH", 1).at(18)),
            Self::TooLarge { .. }
            | Self::NoHeader
            | Self::Batch
            | Self::Separators
            | Self::CharacterSet(_)
            | Self::NotASegment { .. }
            | Self::TooManySegments
            | Self::TooManySeparators => None,
        }
    }

    /// It is the kind of message that is refused (`AR`), not what stands in this one (`AE`).
    pub const fn is_rejection(&self) -> bool {
        self.code().is_of_kind()
            || matches!(
                self,
                Self::NoHeader | Self::Batch | Self::Separators | Self::TooLarge { .. }
            )
    }
}

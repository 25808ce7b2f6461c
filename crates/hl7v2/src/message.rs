//! A message: its envelope, and its segments down to components.
//!
//! ```text
//! MSH|^~\&|app|facility|...        segment = name, then fields, each after MSH-1 (usually |)
//!     field: repetition ~ repetition
//!            repetition: component ^ component
//!                        component: subcomponent & subcomponent
//! ```
//!
//! # Invariants
//!
//! * A [`Message`] that exists has text in one character set, a known version, type, control id and processing id.
//! * Nothing is split before somebody asks for it, so a message takes its own size twice, as bytes and as text, and
//!   eight bytes for each segment, however many separators it has.
//! * What cannot be read as a whole is refused with as much of its [`Envelope`] as the answer needs.
//!
//! Lines may end in `CR`, `LF` or both: as the first does. Where they end in `CR`, an `LF` inside a field is text,
//! unless what comes after it is a segment: such a message is refused. A byte order mark before MSH is skipped. A
//! segment that is only a name has no fields.
//!
//! Not here: what a field means, and whether the segments are in the order of their message structure. Readers take
//! segments as they come and refuse only what would put something in the wrong place.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};
use core::{cell::RefCell, iter};

use crate::{
    charset::{CharacterSet, CharacterSetError},
    escape::{self, Decoded},
    limits::{
        CONTROL_ID_BYTES_MAX, HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, REPETITIONS_MAX, SEGMENTS_MAX,
        SEPARATORS_MAX,
    },
    refusal::{Path, Refusal},
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What a sender writes to empty a field, as opposed to saying nothing of it.
const NULL: &str = "\"\"";

/// The marks that a message is written with (MSH-1 and MSH-2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Separators {
    /// Between fields.
    pub field: char,
    /// Between components.
    pub component: char,
    /// Between repetitions.
    pub repetition: char,
    /// Around escape sequences.
    pub escape: char,
    /// Between subcomponents.
    pub subcomponent: char,
    /// At the end of a value that was cut (since 2.7).
    pub truncation: Option<char>,
}

impl Separators {
    /// The marks that nearly everybody uses.
    pub const USUAL: Self = Self {
        field: '|',
        component: '^',
        repetition: '~',
        escape: '\\',
        subcomponent: '&',
        truncation: None,
    };

    /// MSH-2.
    pub fn encoding_characters(&self) -> String {
        [self.component, self.repetition, self.escape, self.subcomponent]
            .into_iter()
            .chain(self.truncation)
            .collect()
    }

    fn read(header: &[u8]) -> Option<Self> {
        let field = *header.get(3)?;
        let end = header.iter().skip(4).position(|byte| *byte == field);
        let marks = &header[4..end.map_or(header.len(), |end| 4 + end)];
        let [component, repetition, escape, subcomponent, truncation @ ..] = marks else {
            return None;
        };
        let all = || iter::once(&field).chain(marks);
        let is_different = all().collect::<BTreeSet<_>>().len() == 1 + marks.len();
        // Two quotation marks empty a field, and with one as a separator would be one that is empty.
        let is_mark = |byte: &u8| byte.is_ascii_punctuation() && *byte != b'"';
        if truncation.len() > 1 || !is_different || !all().all(is_mark) {
            return None;
        }
        Some(Self {
            field: char::from(field),
            component: char::from(*component),
            repetition: char::from(*repetition),
            escape: char::from(*escape),
            subcomponent: char::from(*subcomponent),
            truncation: truncation.first().copied().map(char::from),
        })
    }

    fn all(&self) -> [char; 4] {
        [self.field, self.component, self.repetition, self.subcomponent]
    }
}

/// What an answer needs of a message, as far as it could be read: fields as they were written, escapes included.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// The marks.
    pub separators: Separators,
    /// How its bytes are text.
    pub character_set: CharacterSet,
    /// MSH-3.
    pub sending_application: String,
    /// MSH-4.
    pub sending_facility: String,
    /// MSH-5.
    pub receiving_application: String,
    /// MSH-6.
    pub receiving_facility: String,
    /// MSH-9.1.
    pub message_type: String,
    /// MSH-9.2.
    pub trigger: String,
    /// MSH-10.
    pub control_id: String,
    /// MSH-11.
    pub processing: String,
    /// MSH-12.1.
    pub version: String,
    /// MSH-15: when the sender wants to hear that the message was taken.
    pub accept: Option<Condition>,
    /// MSH-16: when the sender wants to hear what became of it.
    pub application: Option<Condition>,
    /// MSH-18 as it was written.
    pub declared_set: String,
}

/// When an answer is wanted (HL7 table 0155).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// `AL`.
    Always,
    /// `NE`.
    Never,
    /// `ER`: of errors and rejections.
    Error,
    /// `SU`: of success.
    Success,
}

impl Condition {
    fn read(text: &str) -> Option<Self> {
        match text {
            "AL" => Some(Self::Always),
            "NE" => Some(Self::Never),
            "ER" => Some(Self::Error),
            "SU" => Some(Self::Success),
            _ => None,
        }
    }
}

/// The versions that are read (HL7 table 0104).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Version {
    /// 2.3
    V2_3,
    /// 2.3.1
    V2_3_1,
    /// 2.4
    V2_4,
    /// 2.5
    V2_5,
    /// 2.5.1
    V2_5_1,
    /// 2.6
    V2_6,
    /// 2.7
    V2_7,
    /// 2.7.1
    V2_7_1,
    /// 2.8
    V2_8,
    /// 2.8.1
    V2_8_1,
    /// 2.8.2
    V2_8_2,
}

impl Version {
    /// The version that MSH-12.1 names.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "2.3" => Self::V2_3,
            "2.3.1" => Self::V2_3_1,
            "2.4" => Self::V2_4,
            "2.5" => Self::V2_5,
            "2.5.1" => Self::V2_5_1,
            "2.6" => Self::V2_6,
            "2.7" => Self::V2_7,
            "2.7.1" => Self::V2_7_1,
            "2.8" => Self::V2_8,
            "2.8.1" => Self::V2_8_1,
            "2.8.2" => Self::V2_8_2,
            _ => return None,
        })
    }
}

/// What a message is for (MSH-11, HL7 table 0103). Only production belongs in a chart of a patient who lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Processing {
    /// `P`
    Production,
    /// `T`
    Training,
    /// `D`
    Debugging,
}

/// By what a message is known: sent again, it has the same. Some senders count from one again, so another message may
/// have it too: only one whose bytes are the same was answered before.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// MSH-3, as written.
    pub application: String,
    /// MSH-4, as written.
    pub facility: String,
    /// MSH-10.
    pub control_id: String,
}

/// A message that is refused, with its envelope if that could be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// What the answer needs.
    pub envelope: Option<Box<Envelope>>,
    /// Why.
    pub refusal: Refusal,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { envelope: None, refusal }
    }
}

/// A message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    bytes: Vec<u8>,
    text: String,
    /// Where each segment begins and ends.
    segments: Vec<(u32, u32)>,
    envelope: Envelope,
    version: Version,
    processing: Processing,
}

impl Message {
    /// Reads a message. `undeclared` is the character set that this feed has by agreement where MSH-18 is empty;
    /// [`CharacterSet::Utf8`] unless its sender says otherwise.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], with the envelope where it could be read: answer it.
    pub fn parse(bytes: &[u8], undeclared: CharacterSet) -> Result<Self, Refused> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            let refusal = Refusal::TooLarge { bytes: bytes.len() };
            return Err(Refused {
                envelope: Envelope::read(bytes, undeclared).ok().map(Box::new),
                refusal,
            });
        }
        let envelope = Envelope::read(bytes, undeclared)?;
        match Self::read(bytes, &envelope) {
            Ok((text, segments, version, processing)) => {
                Ok(Self { bytes: bytes.to_vec(), text, segments, envelope, version, processing })
            }
            Err(refusal) => Err(Refused { envelope: Some(Box::new(envelope)), refusal }),
        }
    }

    fn read(bytes: &[u8], envelope: &Envelope) -> Result<Parts, Refusal> {
        let header = Path::segment("MSH", 1);
        let text = envelope.text(bytes)?;
        if envelope.message_type.is_empty() {
            return Err(Refusal::Missing(header.at(9)));
        }
        if envelope.control_id.is_empty() {
            return Err(Refusal::Missing(header.at(10)));
        }
        if envelope.control_id.len() > CONTROL_ID_BYTES_MAX {
            return Err(Refusal::ControlIdTooLong { path: header.at(10) });
        }
        let version = Version::named(&envelope.version).ok_or(Refusal::Version(header.at(12)))?;
        let processing = match envelope.processing.split(envelope.separators.component).next() {
            Some("P") => Processing::Production,
            Some("T") => Processing::Training,
            Some("D") => Processing::Debugging,
            _ => return Err(Refusal::Processing(header.at(11))),
        };
        let marks = envelope.separators.all();
        if text.chars().filter(|c| marks.contains(c)).nth(SEPARATORS_MAX).is_some() {
            return Err(Refusal::TooManySeparators);
        }
        let segments = segments(&text, envelope.separators.field)?;
        check_repetitions(&text, &segments, &envelope.separators)?;
        Ok((text, segments, version, processing))
    }

    /// What an answer needs of it.
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The version that it is written in.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What it is for.
    pub const fn processing(&self) -> Processing {
        self.processing
    }

    /// By what it is known.
    pub fn key(&self) -> Key {
        Key {
            application: self.envelope.sending_application.clone(),
            facility: self.envelope.sending_facility.clone(),
            control_id: self.envelope.control_id.clone(),
        }
    }

    /// It as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its text, byte order mark excluded.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its segments in order, MSH first.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.segments_seen(None)
    }

    /// The first segment of that name.
    pub fn segment(&self, name: &str) -> Option<Segment<'_>> {
        self.segments().find(|segment| segment.name() == name)
    }

    pub(crate) fn segments_seen<'m>(
        &'m self,
        seen: Option<&'m Seen>,
    ) -> impl Iterator<Item = Segment<'m>> {
        self.segments.iter().zip(1..).map(move |((begin, end), number)| Segment {
            raw: &self.text[*begin as usize..*end as usize],
            number,
            message: self,
            seen,
        })
    }
}

type Parts = (String, Vec<(u32, u32)>, Version, Processing);

/// The parts that somebody has read.
pub(crate) type Seen = RefCell<BTreeSet<Place>>;

/// A component: number of the segment among all, field, repetition, component; 0 for all components.
pub(crate) type Place = (u32, u16, u16, u16);

impl Envelope {
    /// Reads it from the first segment of `bytes`, which nothing is known of yet.
    fn read(bytes: &[u8], undeclared: CharacterSet) -> Result<Self, Refusal> {
        if bytes.starts_with(b"\xff\xfe")
            || bytes.starts_with(b"\xfe\xff")
            || bytes.first() == Some(&0)
        {
            return Err(CharacterSetError::Wide.into());
        }
        // The mark of UTF-8 says more than an agreement: of what is read, of escapes, and of the answer.
        let (bytes, undeclared) = match bytes.strip_prefix(BYTE_ORDER_MARK) {
            Some(bytes) => (bytes, CharacterSet::Utf8),
            None => (bytes, undeclared),
        };
        if bytes.starts_with(b"FHS") || bytes.starts_with(b"BHS") {
            return Err(Refusal::Batch);
        }
        let end =
            bytes.iter().take(HEADER_BYTES_MAX + 1).position(|byte| matches!(*byte, b'\r' | b'\n'));
        let header = &bytes[..end.unwrap_or(bytes.len())];
        if !header.starts_with(b"MSH") || header.len() > HEADER_BYTES_MAX {
            return Err(Refusal::NoHeader);
        }
        let separators = Separators::read(header).ok_or(Refusal::Separators)?;
        Ok(Self::of_fields(header, separators, undeclared))
    }

    fn of_fields(header: &[u8], separators: Separators, undeclared: CharacterSet) -> Self {
        // The header's own text is needed before its character set is known: an answer repeats its ASCII, and what
        // is no text in the set is refused when the whole is read.
        let fields: Vec<&[u8]> =
            header.split(|byte| char::from(*byte) == separators.field).collect();
        let field = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
        let ascii = |bytes: &[u8]| CharacterSet::Ascii.decode(bytes).unwrap_or_default();
        let component = |number, at: usize| {
            let text = ascii(field(number));
            text.split(separators.component).nth(at).unwrap_or_default().trim().to_string()
        };
        let declared_set = ascii(field(18)).trim().to_string();
        let first = declared_set.split(separators.repetition).next().unwrap_or_default();
        let named = CharacterSet::named(first);
        let character_set =
            if first.is_empty() || first == NULL { Some(undeclared) } else { named };
        let text = |number| match character_set.unwrap_or(undeclared).decode(field(number)) {
            Some(text) => text.trim().to_string(),
            None => ascii(field(number)),
        };
        Self {
            separators,
            character_set: character_set.unwrap_or(undeclared),
            sending_application: text(3),
            sending_facility: text(4),
            receiving_application: text(5),
            receiving_facility: text(6),
            message_type: component(9, 0),
            trigger: component(9, 1),
            control_id: text(10),
            processing: ascii(field(11)).trim().to_string(),
            version: component(12, 0),
            accept: Condition::read(&component(15, 0)),
            application: Condition::read(&component(16, 0)),
            declared_set,
        }
    }

    fn text(&self, bytes: &[u8]) -> Result<String, CharacterSetError> {
        let first = self.declared_set.split(self.separators.repetition).next().unwrap_or_default();
        if !first.is_empty() && first != NULL && CharacterSet::named(first).is_none() {
            return Err(CharacterSetError::Unknown);
        }
        self.character_set.read(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes))
    }

    /// The sender waits for answers of two kinds (enhanced mode), because it said when it wants them.
    pub const fn is_enhanced(&self) -> bool {
        self.accept.is_some() || self.application.is_some()
    }
}

/// Where the segments of `text` are.
fn segments(text: &str, field: char) -> Result<Vec<(u32, u32)>, Refusal> {
    let first = text.find(['\r', '\n']).map(|at| text.as_bytes()[at]);
    let end = if first == Some(b'\n') { '\n' } else { '\r' };
    let mut found = Vec::new();
    let mut at = 0;
    for line in text.split(end) {
        let begin = at + line.len() - line.trim_start_matches(['\r', '\n']).len();
        let trimmed = line.trim_matches(['\r', '\n']);
        at += line.len() + 1;
        if trimmed.trim().is_empty() {
            continue;
        }
        if found.len() == SEGMENTS_MAX {
            return Err(Refusal::TooManySegments);
        }
        // Another line end than the first would make two segments one.
        let is_several =
            trimmed.split(['\r', '\n']).skip(1).any(|line| is_begun(line.trim_start(), field));
        if is_several || !is_segment(trimmed, field) {
            return Err(Refusal::NotASegment { number: found.len() + 1 });
        }
        // A message has fewer than 2^32 bytes: see MESSAGE_BYTES_MAX, of which text in UTF-8 may take twice as many.
        let place = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        found.push((place(begin), place(begin + trimmed.len())));
    }
    Ok(found)
}

fn is_segment(line: &str, field: char) -> bool {
    is_begun(line, field) || line.trim_end().len() == 3 && line.bytes().take(3).all(is_of_name)
}

/// The line begins with a name and fields.
fn is_begun(line: &str, field: char) -> bool {
    let Some((name, rest)) = line.split_at_checked(3) else { return false };
    name.bytes().all(is_of_name) && rest.starts_with(field)
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

/// No field repeats more often than is read: what is not read would be gone without a word.
fn check_repetitions(
    text: &str,
    segments: &[(u32, u32)],
    separators: &Separators,
) -> Result<(), Refusal> {
    let mut occurrences: BTreeMap<&str, u32> = BTreeMap::new();
    for (begin, end) in segments {
        let raw = &text[*begin as usize..*end as usize];
        let occurrence = occurrences.entry(&raw[..3]).or_default();
        *occurrence += 1;
        let first = if raw.starts_with("MSH") { 2 } else { 1 };
        for (field, number) in raw.split(separators.field).skip(1).zip(numbers(first)) {
            if field.matches(separators.repetition).count() >= REPETITIONS_MAX {
                let path = Path::segment(&raw[..3], *occurrence).at(number);
                return Err(Refusal::TooManyRepetitions(path));
            }
        }
    }
    Ok(())
}

/// Numbers from `first` on. All beyond the greatest have that, which is of no field or component that is read, so that
/// what stands there is told.
fn numbers(first: u16) -> impl Iterator<Item = u16> {
    (first..=u16::MAX).chain(iter::repeat(u16::MAX))
}

/// A segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'m> {
    raw: &'m str,
    /// Its number among all segments, from 1.
    pub number: u32,
    message: &'m Message,
    seen: Option<&'m Seen>,
}

impl<'m> Segment<'m> {
    /// Three letters or digits.
    pub fn name(&self) -> &'m str {
        &self.raw[..3]
    }

    /// The first repetition of a field, from 1; empty if there is none.
    pub fn field(&self, field: u16) -> Part<'m> {
        self.repetition(field, 1, self.raw_field(field).split(self.separators().repetition).next())
    }

    /// The repetitions of a field that are not empty. A message with more than [`REPETITIONS_MAX`] is none.
    pub fn repetitions(&self, field: u16) -> impl Iterator<Item = Part<'m>> + use<'m> {
        let segment = *self;
        let raw = self.raw_field(field).split(self.separators().repetition);
        raw.zip(1..)
            .take(REPETITIONS_MAX)
            .map(move |(raw, number)| segment.repetition(field, number, Some(raw)))
            .filter(|part| !part.is_empty())
    }

    /// All repetitions of all fields, each looked at once. MSH begins with its second field.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'m>> + use<'m> {
        let segment = *self;
        let first = if self.name() == "MSH" { 2 } else { 1 };
        let fields = self.raw.split(self.separators().field).skip(1).zip(numbers(first));
        fields.flat_map(move |(raw, field)| {
            let repetitions = raw.split(segment.separators().repetition).zip(1..=u16::MAX);
            repetitions.map(move |(raw, number)| segment.repetition(field, number, Some(raw)))
        })
    }

    /// A field as it was written.
    pub fn raw_field(&self, field: u16) -> &'m str {
        // MSH-1 is the separator itself, which no split gives.
        let at = if self.name() == "MSH" { field.saturating_sub(1) } else { field };
        if at == 0 {
            return "";
        }
        self.raw.split(self.separators().field).nth(usize::from(at)).unwrap_or_default()
    }

    fn repetition(&self, field: u16, number: u16, raw: Option<&'m str>) -> Part<'m> {
        Part {
            raw: raw.unwrap_or_default(),
            level: Level::Repetition,
            place: (self.number, field, number, 0),
            message: self.message,
            seen: self.seen,
        }
    }

    fn separators(&self) -> &'m Separators {
        &self.message.envelope.separators
    }
}

/// A repetition of a field, or a part of one. What is not there is an empty part.
#[derive(Clone, Copy, Debug)]
pub struct Part<'m> {
    raw: &'m str,
    level: Level,
    place: Place,
    message: &'m Message,
    seen: Option<&'m Seen>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Level {
    Repetition,
    Component,
    Subcomponent,
}

impl<'m> Part<'m> {
    /// A component, from 1.
    pub fn component(&self, number: u16) -> Self {
        let (segment, field, repetition, _) = self.place;
        let raw = match self.level {
            Level::Repetition => self.piece(self.separators().component, number),
            Level::Component | Level::Subcomponent => self.first(number),
        };
        let place = (segment, field, repetition, number);
        Self { raw, level: Level::Component, place, ..*self }
    }

    /// A subcomponent of a component, from 1; of a repetition's first component otherwise.
    pub fn subcomponent(&self, number: u16) -> Self {
        let component = if self.level == Level::Repetition { self.component(1) } else { *self };
        let raw = match component.level {
            Level::Component | Level::Repetition => {
                component.piece(self.separators().subcomponent, number)
            }
            Level::Subcomponent => component.first(number),
        };
        Self { raw, level: Level::Subcomponent, ..component }
    }

    /// All components of a repetition, each looked at once.
    pub(crate) fn components(&self) -> impl Iterator<Item = Self> + use<'m> {
        let part = *self;
        let (segment, field, repetition, _) = self.place;
        let raw = self.raw.split(self.separators().component).zip(numbers(1));
        raw.map(move |(raw, number)| {
            let place = (segment, field, repetition, number);
            Self { raw, level: Level::Component, place, ..part }
        })
    }

    /// Its text, or that of its first component; nothing if that is empty or null. A subcomponent separator in it is
    /// text, as in `Amoxicillin & clavulanate`: where a type has subcomponents, ask for [`Part::subcomponent`].
    pub fn text(&self) -> Option<String> {
        self.decoded().map(|decoded| decoded.text)
    }

    pub(crate) fn decoded(&self) -> Option<Decoded> {
        let leaf = match self.level {
            Level::Repetition => self.component(1),
            Level::Component | Level::Subcomponent => *self,
        };
        leaf.mark();
        leaf.decode()
    }

    /// All of it as one text: what was meant for a separator was text after all.
    pub fn whole(&self) -> Option<String> {
        self.decoded_whole().map(|decoded| decoded.text)
    }

    pub(crate) fn decoded_whole(&self) -> Option<Decoded> {
        self.mark();
        self.decode()
    }

    /// It as it was written.
    pub const fn raw(&self) -> &'m str {
        self.raw
    }

    /// Nothing is said of it.
    pub fn is_empty(&self) -> bool {
        let marks = self.separators().all();
        self.raw.trim_matches(|c: char| c.is_whitespace() || marks.contains(&c)).is_empty()
    }

    /// The sender says that it is to be emptied.
    pub fn is_null(&self) -> bool {
        self.raw.trim() == NULL
    }

    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    fn mark(&self) {
        if let Some(seen) = self.seen {
            seen.borrow_mut().insert(self.place);
        }
    }

    fn decode(&self) -> Option<Decoded> {
        if self.is_null() {
            return None;
        }
        let envelope = &self.message.envelope;
        let decoded = escape::decode(self.raw, &envelope.separators, envelope.character_set);
        let text = decoded.text.trim();
        (!text.is_empty()).then(|| Decoded { text: String::from(text), ..decoded })
    }

    fn piece(&self, mark: char, number: u16) -> &'m str {
        let at = usize::from(number.saturating_sub(1));
        self.raw.split(mark).nth(at).unwrap_or_default()
    }

    fn first(&self, number: u16) -> &'m str {
        if number == 1 { self.raw } else { "" }
    }

    fn separators(&self) -> &'m Separators {
        &self.message.envelope.separators
    }
}

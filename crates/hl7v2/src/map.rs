//! What a message is in FHIR R4, after the published v2-to-FHIR maps as far as they go.
//!
//! ```text
//! ADT A01 A03 A04 A08   Patient RelatedPerson Encounter Coverage AllergyIntolerance Condition Procedure Observation
//! ADT A11 A13           the same of a visit that was cancelled, or goes on after all
//! ADT A28 A31           the same without a visit
//! ADT A40               no Bundle: who is merged into whom
//! ORU R01               ServiceRequest DiagnosticReport Observation Specimen
//! MDM T02               DocumentReference ServiceRequest Observation
//! RDE O11 O25 O01       MedicationRequest (RXO the original order, RXE the order, or what is proposed to give again)
//! SIU S12-S15 S17 S26   Appointment
//! VXU V04               Immunization Observation
//! all but A40           DocumentReference and Binary of the message, Provenance of everything
//! ```
//!
//! # Invariants
//!
//! * A Bundle is about one patient. A message with a second PID is refused, except to merge.
//! * The same message, [`Reception`] and names give the same Bundle. Every reference is to an entry of it by
//!   `urn:uuid`, or by an identifier to somebody outside.
//! * What a sender has identified is stored once however often it is told: created unless it exists, or, where the
//!   message says that it changed, replaced. It is looked for by an identifier that is made of the patient's and of
//!   the sender's number for it or, where there is none (AL1, DG1, IN1, NK1, OBX), of what it is about. By a number
//!   alone only a patient is looked for: senders give other numbers again, and then they are somebody else's.
//! * An identifier without an assigning authority that is known everywhere belongs to the feed's own namespace: two
//!   hospitals' `12345` are never one patient.
//! * Of identifiers and codes that many parts of a chart are made of, none is longer than a small limit, so that a
//!   Bundle is a small multiple of its message and of how many segments that has, and grows as they do.
//! * What has no place here is listed ([`Record::unmapped`]) by segment, field, repetition and component; what is of
//!   the wrong form is listed and left out, or is a text. What the sender empties (`""`) is never a value; it is listed
//!   too.
//!
//! In v2 a field without a value says nothing of what was there before. A replacement (`PUT`) therefore is the newest
//! *saying* about a resource; who keeps earlier ones may complete it by what is not in [`Record::emptied`].
//!
//! Not here: `MessageHeader`, which is of messages on their way and not of charts (Provenance has its trigger, sender
//! and control id); directories of practitioners, organisations and places, to which references are by identifier and
//! name; ROL and PRT (participants), GT1 (guarantors), FT1 (charges), IN2 and Z-segments, which are listed as unmapped,
//! as are second routes (RXR) of one order; what is protected by PD1-12, PV2-22 or ORC-28, which are listed too (of
//! documents, TXA-18 is mapped); and in which order messages were sent, which their queue keeps: a preliminary result
//! that is mapped after its final one replaces it.

mod appointment;
mod datatype;
mod document;
mod medicine;
mod merge;
mod person;
mod problem;
mod result;
mod table;
mod visit;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};
use core::cell::RefCell;

use serde_json::Value;

pub use crate::time::{Change, Offset, Zone};
use crate::{
    limits::{IDENTIFIER_BYTES_MAX, UNMAPPED_MAX},
    message::{Envelope, Message, Part, Place, Seen, Segment},
    refusal::{Path, Refusal},
};
use datatype::Reader;
use keepwell_fhir::draft::{self, Entries, Handle, Object};
pub use merge::{Identifier, Merge};

/// What the receiver adds to a message.
#[derive(Clone, Copy)]
pub struct Reception<'a> {
    /// An absolute URI, without a slash at its end, under which the feed's own identifiers and codes stand. It is of
    /// one sender of numbers: where a connection carries several hospitals (MSH-4), each has its own, since a number
    /// without an authority is taken for one patient's wherever this is the same.
    pub namespace: &'a str,
    /// When it was received, in milliseconds since 1970.
    pub received_ms: u64,
    /// Where clocks without an offset are, in a message that does not say either.
    pub zone: Option<Zone<'a>>,
    /// The SHA-256 of the message's bytes ([`Message::bytes`]), by which it is known when it is sent again.
    pub digest: [u8; 32],
    /// Sixteen bytes for the entry of a number: the same for the same message, different for each number.
    pub name: &'a dyn Fn(u32) -> [u8; 16],
}

/// What a message is.
#[derive(Clone, Debug, PartialEq)]
pub enum Mapped {
    /// Something to store.
    Record(Record),
    /// Patients who are one: for people or a rule to decide, never for a silent overwrite.
    Merge(Vec<Merge>),
}

/// Something to store.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// A Bundle of type `transaction`.
    pub bundle: Value,
    /// Which of its entries says that the message was stored: a DocumentReference, created unless the very same message
    /// made one before. Where it is there, nothing of the Bundle is to be written again.
    pub original: usize,
    /// What of the message is not in it, in the message's order.
    pub unmapped: Vec<Unmapped>,
    /// How many more there are than [`UNMAPPED_MAX`].
    pub unmapped_more: usize,
    /// What the sender says is to be emptied.
    pub emptied: Vec<Path>,
}

/// Something that is not in the Bundle, except for the message attached to it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Unmapped {
    /// Where.
    pub path: Path,
    /// Why.
    pub why: Why,
}

/// Why something is not in the Bundle.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Why {
    /// The maps have no place for it.
    NoPlace,
    /// It is not of its form or not in its table, or FHIR has no such precision.
    Form,
}

/// The families of messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Person,
    Visit,
    Merge,
    Result,
    Document,
    Prescription,
    Schedule,
    Vaccination,
}

impl Kind {
    fn of(envelope: &Envelope) -> Result<Self, Refusal> {
        let event = || Refusal::Event(Path::segment("MSH", 1).at(9).part(2));
        match (envelope.message_type.as_str(), envelope.trigger.as_str()) {
            ("ADT", "A01" | "A03" | "A04" | "A08" | "A11" | "A13") => Ok(Self::Visit),
            ("ADT", "A28" | "A31") => Ok(Self::Person),
            ("ADT", "A40") => Ok(Self::Merge),
            ("ORU", "R01") => Ok(Self::Result),
            ("MDM", "T02") => Ok(Self::Document),
            ("RDE", "O01" | "O11" | "O25") => Ok(Self::Prescription),
            ("SIU", "S12" | "S13" | "S14" | "S15" | "S17" | "S26") => Ok(Self::Schedule),
            ("VXU", "V04") => Ok(Self::Vaccination),
            ("ADT" | "ORU" | "MDM" | "RDE" | "SIU" | "VXU", _) => Err(event()),
            _ => Err(Refusal::Type(Path::segment("MSH", 1).at(9))),
        }
    }

    /// The segment without which such a message says nothing.
    const fn required(self) -> &'static str {
        match self {
            Self::Person | Self::Visit | Self::Vaccination => "PID",
            Self::Merge => "MRG",
            Self::Result => "OBR",
            Self::Document => "TXA",
            Self::Prescription => "RXE",
            Self::Schedule => "SCH",
        }
    }
}

/// What `message` is in FHIR, whatever it is for: only what is for production ([`Message::processing`]) belongs in a
/// chart, which the caller sees to.
///
/// # Errors
///
/// A [`Refusal`] where its kind is not taken, a segment is missing that it is about, or it is of several patients.
pub fn map(message: &Message, reception: &Reception<'_>) -> Result<Mapped, Refusal> {
    let kind = Kind::of(message.envelope())?;
    for name in ["PID", kind.required()] {
        if message.segment(name).is_none() {
            return Err(Refusal::NoSegment(name));
        }
    }
    if kind == Kind::Merge {
        return merge::merges(message, reception).map(Mapped::Merge);
    }
    if message.segments().filter(|segment| segment.name() == "PID").nth(1).is_some() {
        return Err(Refusal::SeveralPatients(Path::segment("PID", 2)));
    }
    let seen = Seen::default();
    let mut mapper = Mapper::new(message, reception, kind, &seen);
    mapper.begin()?;
    let mut occurrences: BTreeMap<&str, u32> = BTreeMap::new();
    for segment in message.segments_seen(Some(&seen)) {
        let occurrence = occurrences.entry(segment.name()).or_default();
        *occurrence += 1;
        mapper.place = Path::segment(segment.name(), *occurrence);
        mapper.segment(segment);
        if let Some(refusal) = mapper.refusal.take() {
            return Err(refusal);
        }
    }
    mapper.close_order();
    mapper.finish().map(Mapped::Record)
}

/// A Bundle while it is written, and what the segments so far are about.
struct Mapper<'m> {
    message: &'m Message,
    seen: &'m Seen,
    reception: &'m Reception<'m>,
    kind: Kind,
    reader: Reader<'m>,
    entries: Entries<'m>,
    patient: Option<Handle>,
    /// The identifier by which the patient is known, as `system|value`.
    patient_key: Option<String>,
    encounter: Option<Handle>,
    /// The identifier by which the visit is known, as `system|value`.
    visit_key: Option<String>,
    order: Order<'m>,
    schedule: Option<Handle>,
    document: Option<document::Document<'m>>,
    /// What a note is about.
    noted: Option<Handle>,
    /// What is only text so far: an observation to which the next line may belong.
    text_line: Option<(String, Handle)>,
    /// Results so far by code and sub-id; none where two have the same.
    results: BTreeMap<(String, String), Option<Handle>>,
    /// How often each identifier was made.
    derived: RefCell<BTreeMap<String, u32>>,
    /// Order numbers of medicines so far, and what was said under them.
    medicines: BTreeSet<(String, medicine::Role)>,
    /// The segment that is read.
    place: Path,
    /// Why the message is refused after all.
    refusal: RefCell<Option<Refusal>>,
}

/// What the segments since the last ORC, or OBR without one, are about.
#[derive(Default)]
struct Order<'m> {
    common: Option<Segment<'m>>,
    request: Option<Handle>,
    report: Option<Handle>,
    specimen: Option<Handle>,
    /// What its report says of itself.
    status: Option<Part<'m>>,
    /// An OBX was sent under it.
    has_results: bool,
    results: Vec<Handle>,
    /// How many of the results a specimen was named for.
    sampled: usize,
    /// The order's identifier, what was ordered, and whatever else tells it from the patient's other orders.
    key: Option<Vec<Option<String>>>,
    /// The other of a medicine's order numbers, as `system|value`.
    other_number: Option<String>,
    collected: Option<String>,
    /// The same, as what tells it from other times.
    collected_key: Option<String>,
    /// The result that it was ordered for.
    parent: Option<Handle>,
    original: Option<Handle>,
    medication: Option<Handle>,
    /// How the medication is taken, except for when.
    dosage: Object,
    /// Where it says how much of it, and in which unit.
    amounts: Vec<Part<'m>>,
    timings: Vec<medicine::Timing<'m>>,
    /// An RXR said how the medication or vaccine is given.
    is_routed: bool,
    immunization: Option<Handle>,
}

impl Order<'_> {
    /// The order's identifier, as `system|value`.
    fn number(&self) -> Option<&String> {
        self.key.as_ref()?.first()?.as_ref()
    }
}

impl<'m> Mapper<'m> {
    fn new(message: &'m Message, reception: &'m Reception<'m>, kind: Kind, seen: &'m Seen) -> Self {
        Self {
            message,
            seen,
            reception,
            kind,
            reader: Reader::new(message, reception),
            entries: Entries::new(reception.name),
            patient: None,
            patient_key: None,
            encounter: None,
            visit_key: None,
            order: Order::default(),
            schedule: None,
            document: None,
            noted: None,
            text_line: None,
            results: BTreeMap::new(),
            derived: RefCell::default(),
            medicines: BTreeSet::new(),
            place: Path::segment("MSH", 1),
            refusal: RefCell::default(),
        }
    }

    /// Everything is of the patient, whose segment therefore is read before those that stand above it (SCH).
    fn begin(&mut self) -> Result<(), Refusal> {
        let is_patient = |segment: &Segment<'_>| segment.name() == "PID";
        let pid = self.message.segments_seen(Some(self.seen)).find(is_patient);
        self.place = Path::segment("PID", 1);
        pid.into_iter().for_each(|pid| self.patient(pid));
        if self.patient_key.is_none() { Err(self.unidentified()) } else { Ok(()) }
    }

    fn segment(&mut self, segment: Segment<'m>) {
        match segment.name() {
            "PD1" => self.demographics(segment),
            "NK1" => self.next_of_kin(segment),
            "IN1" => self.insurance(segment),
            "PV1" => self.visit(segment),
            "PV2" => self.visit_more(segment),
            "AL1" => self.allergy(segment),
            "IAM" => self.adverse_reaction(segment),
            "DG1" => self.diagnosis(segment),
            "PR1" => self.procedure(segment),
            "ORC" => self.common_order(segment),
            "OBR" => self.observation_request(segment),
            "OBX" => self.observation(segment),
            "SPM" => self.specimen(segment),
            "NTE" => self.note(segment),
            "TXA" => self.transcription(segment),
            "RXO" => self.original_order(segment),
            "RXE" => self.encoded_order(segment),
            "RXC" => self.component(segment),
            "RXR" => self.route(segment),
            "RXA" => self.administration(segment),
            "TQ1" => self.timing(segment),
            "SCH" => self.appointment(segment),
            "AIS" | "AIG" | "AIL" | "AIP" => self.resource_of_appointment(segment),
            // Read for the envelope and the Provenance.
            "MSH" => self.header(segment),
            "EVN" => self.event(segment),
            // PID was read before all others.
            _ => {}
        }
    }

    fn refuse(&self, refusal: Refusal) {
        self.refusal.borrow_mut().get_or_insert(refusal);
    }

    fn header(&self, segment: Segment<'m>) {
        for field in [2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 15, 16, 18] {
            for part in segment.repetitions(field) {
                part.whole();
            }
        }
    }

    /// Codes of triggers stand in MSH-9 too; operators and reasons have no place.
    fn event(&self, segment: Segment<'m>) {
        segment.field(1).text();
        segment.field(2).text();
    }

    fn finish(mut self) -> Result<Record, Refusal> {
        self.close_document();
        self.complete_appointment();
        self.check_cancelled();
        self.place = Path::segment("MSH", 1);
        let original = self.attach_original();
        self.provenance();
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        let (unmapped, unmapped_more, emptied) = self.unread(self.seen);
        let bundle = self.entries.bundle();
        Ok(Record { bundle, original: original.index(), unmapped, unmapped_more, emptied })
    }

    fn is_trigger(&self, triggers: &[&str]) -> bool {
        triggers.contains(&self.message.envelope().trigger.as_str())
    }

    /// An identifier by which a part of the patient's chart is found again: made of the patient's and what it is
    /// about. A sender's own number is never enough. Accession, visit and document numbers are given again when they
    /// run out, or counted for each patient apart, and then would find what is somebody else's.
    fn derived(&self, segment: &str, about: &[Option<String>]) -> Option<Value> {
        let patient = self.patient_key.as_ref()?;
        // It is repeated in every segment that it is of: a megabyte would be in thousands of them.
        let is_long = |part: &String| part.len() > IDENTIFIER_BYTES_MAX;
        if is_long(patient) || about.iter().flatten().any(is_long) {
            self.refuse(Refusal::TooLong(self.place));
            return None;
        }
        let mut value = draft::percent(patient);
        let mut is_empty = true;
        for part in about {
            value.push('/');
            if let Some(part) = part {
                is_empty = false;
                value.push_str(&draft::percent(part));
            }
        }
        if is_empty {
            return None;
        }
        // The same thing said twice in one message is two: the second has a number.
        let mut derived = self.derived.borrow_mut();
        let count = derived.entry(format!("{segment}/{value}")).or_insert(0_u32);
        *count += 1;
        if *count > 1 {
            value.push_str(&format!("/{count}"));
        }
        let mut identifier = Object::default();
        identifier.set("system", format!("{}/{segment}", self.reception.namespace));
        identifier.set("value", value);
        Some(identifier.into())
    }

    /// By the number that its sender gave it, among the patient's.
    fn numbered(&self, segment: &str, given: Option<&Value>) -> Option<Value> {
        self.derived(segment, &[Some(draft::key(given.filter(|it| !person::is_no_number(it))?))])
    }

    fn of_order(&self, segment: &str, about: &[Option<String>]) -> Option<Value> {
        let about = [self.order.key.as_ref()?.as_slice(), about].concat();
        self.derived(segment, &about)
    }

    fn refer(&self, handle: Option<Handle>) -> Option<Value> {
        handle.map(|handle| self.entries.reference(handle))
    }

    /// What nobody has read, and what was read and not understood.
    fn unread(&self, seen: &Seen) -> (Vec<Unmapped>, usize, Vec<Path>) {
        let (seen, malformed) = (seen.borrow(), self.reader.malformed.borrow());
        let mut report = Report::default();
        let mut occurrences: BTreeMap<&str, u32> = BTreeMap::new();
        for segment in self.message.segments() {
            let occurrence = occurrences.entry(segment.name()).or_default();
            *occurrence += 1;
            let path = Path::segment(segment.name(), *occurrence);
            let first = (segment.number, 0, 0, 0);
            let is_read = seen.range(first..(segment.number + 1, 0, 0, 0)).next().is_some();
            if is_read {
                report.segment(&segment, path, &seen, &malformed);
            } else {
                report.add(path, Why::NoPlace);
            }
        }
        (report.unmapped, report.more, report.emptied)
    }
}

#[derive(Default)]
struct Report {
    unmapped: Vec<Unmapped>,
    more: usize,
    emptied: Vec<Path>,
}

impl Report {
    fn add(&mut self, path: Path, why: Why) {
        if self.unmapped.len() < UNMAPPED_MAX {
            self.unmapped.push(Unmapped { path, why });
        } else {
            self.more += 1;
        }
    }

    fn segment(
        &mut self,
        segment: &Segment<'_>,
        path: Path,
        seen: &BTreeSet<Place>,
        malformed: &BTreeSet<Place>,
    ) {
        for part in segment.parts().filter(|part| !part.is_empty()) {
            let (number, field, repetition, _) = part.place();
            let whole = (number, field, repetition, 0);
            let last = (number, field, repetition, u16::MAX);
            let path = path.at(field).repeated(repetition);
            if segment.name() == "MSH" && field == 2 {
                continue;
            }
            if part.is_null() {
                self.empty(path);
            } else if !seen.contains(&whole) {
                self.components(&part, path, seen, malformed);
            } else if malformed.range(whole..=last).next().is_some() {
                // It stands there as it was written, and not as what it should be.
                self.add(path, Why::Form);
            }
        }
    }

    fn empty(&mut self, path: Path) {
        if self.emptied.len() < UNMAPPED_MAX {
            self.emptied.push(path);
        }
    }

    fn components(
        &mut self,
        part: &Part<'_>,
        path: Path,
        seen: &BTreeSet<Place>,
        malformed: &BTreeSet<Place>,
    ) {
        let (number, field, repetition, _) = part.place();
        let mut unread = Vec::new();
        for piece in part.components().filter(|piece| !piece.is_empty()) {
            let place = piece.place();
            let at = path.part(place.3);
            if piece.is_null() {
                self.empty(at);
            } else if malformed.contains(&place) {
                self.add(at, Why::Form);
            } else if !seen.contains(&place) {
                unread.push(at);
            }
        }
        // A field of which nothing was read is one thing, not each of its components.
        let first = (number, field, repetition, 0);
        let is_read = seen.range(first..=(number, field, repetition, u16::MAX)).next().is_some();
        if is_read {
            unread.into_iter().for_each(|at| self.add(at, Why::NoPlace));
        } else if !unread.is_empty() {
            self.add(path, Why::NoPlace);
        }
    }
}

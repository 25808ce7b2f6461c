//! What a document is in FHIR R4, after the published "C-CDA on FHIR" maps as far as they go.
//!
//! ```text
//! header                 Patient Encounter DocumentReference
//! sections               what the entries' templates say; see SECTIONS
//! the document itself    Binary, and Provenance of everything
//! ```
//!
//! # Invariants
//!
//! * A Bundle is about one patient. An entry with a subject of its own is left to the original, and so is what was
//!   nullified, what is negated where FHIR has no expression for that, and what is of another mood than its template's.
//! * The same document, [`Reception`] and names give the same Bundle. Every reference is to an entry of it by `urn:uuid`,
//!   or by an identifier and a name to somebody outside.
//! * A document is stored once: by its id, its version and its patient. What it says is created, or replaces what an
//!   earlier document said of the same ([`Reception::is_newest`]); of the patient only one whom nobody has is created.
//! * An entry is found again by the patient and by its own id, code and, of what happens often, time. By an id alone
//!   never: senders give one id to several entries.
//! * What a confidentiality code or a privacy annotation restricts is labelled so, and the document as its most
//!   restricted section: a receiver who does not label would show it.
//!
//! Where the published maps have no consensus, or another target, this differs in
//!
//! ```text
//! medication, mood EVN   MedicationStatement: what a patient takes was not ordered by saying so
//! medication, negated    of mood EVN not-taken; of mood INT doNotPerform
//! completed concern      inactive, not resolved: the concern's record is complete, not the patient's problem gone
//! active, with an end    stays active, without the end: one too many harms less than one too few
//! negated allergen       AllergyIntolerance refuted, with the allergen as its code
//! ```
//!
//! Not here: directories of practitioners, organisations and places, to which references are by identifier and name;
//! participants, informants, data enterers, insurances, consents and orders of the header; devices, functional and
//! mental status, and assessment scales, which are listed as not mapped, as is what a planned encounter or supply would
//! be.

mod act;
mod header;
mod medication;
mod observation;
mod problem;

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use keepwell_fhir::{
    draft::{Entries, Existing, Handle, Object, key, percent},
    facts::NAMESPACE,
};
use keepwell_hl7v2::time::Time;
use serde_json::Value;

use crate::{
    document::{Document, Element},
    limits::{IDENTIFIER_BYTES_MAX, LEFT_MAX, RESOURCES_MAX, SECTIONS_MAX},
    refusal::Refusal,
    value::{Reader, coded, hl7},
};

/// A kind of section, and what becomes of its entries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SectionKind {
    /// What people call it.
    pub name: &'static str,
    /// Its LOINC code.
    pub loinc: &'static str,
    /// Its templates, without and with required entries; where they are one, twice.
    pub templates: [&'static str; 2],
    /// The resources that its entries become; empty where none do.
    pub becomes: &'static str,
    /// What of them is left to the original.
    pub left: &'static str,
}

impl SectionKind {
    const fn new(
        name: &'static str,
        (loinc, templates): (&'static str, [&'static str; 2]),
        (becomes, left): (&'static str, &'static str),
    ) -> Self {
        Self { name, loinc, templates, becomes, left }
    }

    /// `yes`, `partly` or `no`.
    pub const fn extent(&self) -> &'static str {
        match (self.becomes.is_empty(), self.left.is_empty()) {
            (true, _) => "no",
            (false, false) => "partly",
            (false, true) => "yes",
        }
    }
}

macro_rules! root {
    ($last:literal) => {
        concat!("2.16.840.1.113883.10.20.22.2.", $last)
    };
}

/// The sections that are known by name, those first that are made resources of first.
#[rustfmt::skip]
pub const SECTIONS: [SectionKind; 18] = [
    SectionKind::new("Allergies", ("48765-2", [root!("6"), root!("6.1")]),
        ("AllergyIntolerance", "")),
    SectionKind::new("Problems", ("11450-4", [root!("5"), root!("5.1")]),
        ("Condition", "prognosis, priority and assessment scales")),
    SectionKind::new("Medications", ("10160-0", [root!("1"), root!("1.1")]),
        ("MedicationStatement, MedicationRequest", "dispenses, drug vehicles, timings that are no single rule (as text where the document has one)")),
    SectionKind::new("Immunizations", ("11369-6", [root!("2"), root!("2.1")]),
        ("Immunization", "planned ones, and series")),
    SectionKind::new("Vital Signs", ("8716-3", [root!("4"), root!("4.1")]),
        ("Observation, a panel with its members", "")),
    SectionKind::new("Results", ("30954-2", [root!("3"), root!("3.1")]),
        ("DiagnosticReport, Observation", "specimens; values that are negated or several")),
    SectionKind::new("Encounters", ("46240-8", [root!("22"), root!("22.1")]),
        ("Encounter, Condition", "planned ones")),
    SectionKind::new("Procedures", ("47519-4", [root!("7"), root!("7.1")]),
        ("Procedure", "devices, specimens, medicines given with it")),
    SectionKind::new("Social History", ("29762-2", [root!("17"), root!("17")]),
        ("Observation", "")),
    SectionKind::new("Family History", ("10157-6", [root!("15"), root!("15")]),
        ("FamilyMemberHistory", "conditions that are negated")),
    SectionKind::new("Plan of Treatment", ("18776-5", [root!("10"), root!("10")]),
        ("ServiceRequest, MedicationRequest", "planned encounters, supplies and immunizations, goals, instructions")),
    SectionKind::new("Past Medical History", ("11348-0", [root!("20"), root!("20")]),
        ("Condition", "")),
    SectionKind::new("Discharge Diagnosis", ("11535-2", [root!("24"), root!("24")]),
        ("Condition", "")),
    SectionKind::new("Functional Status", ("47420-5", [root!("14"), root!("14")]), ("", "")),
    SectionKind::new("Mental Status", ("10190-7", [root!("56"), root!("56")]), ("", "")),
    SectionKind::new("Medical Equipment", ("46264-8", [root!("23"), root!("23")]), ("", "")),
    SectionKind::new("Payers", ("48768-6", [root!("18"), root!("18")]), ("", "")),
    SectionKind::new("Advance Directives", ("42348-3", [root!("21"), root!("21.1")]), ("", "")),
];

/// What the receiver adds to a document.
#[derive(Clone, Copy)]
pub struct Reception<'a> {
    /// When it was received, in milliseconds since 1970.
    pub received_ms: u64,
    /// The SHA-256 of the document's bytes.
    pub digest: [u8; 32],
    /// Sixteen bytes for the entry of a number: the same for the same document, different for each number.
    pub name: &'a dyn Fn(u32) -> [u8; 16],
    /// Whether no other document of the patient is dated later ([`is_later`]): only then does what it says replace what
    /// is there.
    pub is_newest: bool,
    /// Which of [`Document::patient_identifiers`] the patient is known by.
    pub known_by: usize,
}

/// An identifier that a patient is looked for by.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Identifier {
    /// An absolute URI.
    pub system: String,
    /// The value.
    pub value: String,
}

/// What is to be stored of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// A Bundle of type `transaction`.
    pub bundle: Value,
    /// Which of its entries says that the document was stored: a DocumentReference, created unless this version of the
    /// document made one before. Where it is there, nothing of the Bundle is to be written again.
    pub original: usize,
    /// What became of its sections, in the document's order.
    pub sections: Vec<Section>,
}

/// What became of a section.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Section {
    /// What people call it, or else its LOINC code; of any other its number alone is told.
    pub name: Option<String>,
    /// Which of the document's sections it is, from 1.
    pub number: usize,
    /// How many entries it has.
    pub entries: usize,
    /// Of which entries something is left to the original, from 1, and why.
    pub left: Vec<(usize, Why)>,
    /// How many more there are than [`LEFT_MAX`].
    pub left_more: usize,
}

impl Section {
    /// Whether nothing of it is in FHIR but its text in the original.
    pub fn is_left(&self) -> bool {
        let whole = self.left.iter().filter(|(_, why)| *why != Why::Form).count();
        whole + self.left_more >= self.entries
    }
}

/// Why an entry, or something of it, is left to the original.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Why {
    /// It follows no template that is mapped.
    NoPlace,
    /// It says why nothing is known, and not what.
    Absent,
    /// It is of somebody else than the patient.
    OtherSubject,
    /// It says that something is not so, and FHIR has no expression for that.
    Negated,
    /// It is no statement of what is or was, or what is meant to be done.
    Mood,
    /// Its status has no place, such as a result that was cancelled without being one.
    Status,
    /// It has no code and no text that says what it is about.
    NoCode,
    /// Something of it is of the wrong form, or more than its place has room for; the rest is mapped.
    Form,
    /// The document has more than [`RESOURCES_MAX`] of them.
    TooMany,
}

impl Why {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPlace => "of a kind that is not mapped",
            Self::Absent => "without information",
            Self::OtherSubject => "about somebody else",
            Self::Negated => "negated",
            Self::Mood => "of another mood",
            Self::Status => "of a status without a place in FHIR",
            Self::NoCode => "without a code",
            Self::Form => "mapped in part",
            Self::TooMany => "beyond what one transaction takes",
        }
    }
}

/// What a document is in FHIR.
///
/// # Errors
///
/// A [`Refusal`] where the document has no id, no id that is its patient's own, or too many sections.
pub fn map(document: &Document<'_>, reception: &Reception<'_>) -> Result<Record, Refusal> {
    let mut mapper = Mapper::new(document, reception)?;
    mapper.patient();
    mapper.encompassing_encounter();
    let mut places = sections(document)?;
    let mut told: Vec<Section> = Vec::new();
    // What matters most is mapped first, for a document with more than fits.
    places.sort_by_key(|it| (it.kind.unwrap_or(SECTIONS.len()), it.number));
    for place in &places {
        told.push(mapper.section(place));
    }
    told.sort_by_key(|it| it.number);
    let original = mapper.attach_original();
    mapper.provenance();
    Ok(Record { bundle: mapper.entries.bundle(), original: original.index(), sections: told })
}

/// Whether the dateTime `one` of FHIR is later than `other`, as far as both say.
pub fn is_later(one: &str, other: &str) -> bool {
    let seconds = |text: &str| {
        let (date, clock) = text.split_once('T').unwrap_or((text, ""));
        let (clock, offset) = match clock.find(['+', '-', 'Z']) {
            Some(at) => clock.split_at(at),
            None => (clock, ""),
        };
        let offset = if offset == "Z" { "+0000" } else { offset };
        let text = format!("{}{clock}{offset}", date.replace('-', "")).replace(':', "");
        Time::parse(&text, None)?.utc_s()
    };
    seconds(one).zip(seconds(other)).is_some_and(|(one, other)| one > other)
}

/// A section where it stands.
struct Place<'d> {
    element: Element<'d>,
    number: usize,
    /// Which of [`SECTIONS`].
    kind: Option<usize>,
    labels: Vec<Value>,
}

/// All sections, those inside others too.
fn sections<'d>(document: &'d Document<'_>) -> Result<Vec<Place<'d>>, Refusal> {
    let mut places: Vec<Place<'d>> = Vec::new();
    let root = document.root();
    let Some(body) = root.at(&["component", "structuredBody"]) else { return Ok(places) };
    let labels: Vec<_> = header::confidentiality(root).into_iter().collect();
    let mut open: Vec<_> = body.all("component").map(|it| (it, labels.clone())).collect();
    open.reverse();
    while let Some((component, mut labels)) = open.pop() {
        let Some(element) = component.child("section") else { continue };
        labels.extend(header::confidentiality(element));
        labels.extend(header::annotations(element));
        let inner: Vec<_> = element.all("component").map(|it| (it, labels.clone())).collect();
        open.extend(inner.into_iter().rev());
        let number = places.len() + 1;
        if number > SECTIONS_MAX {
            return Err(Refusal::TooManySections);
        }
        places.push(Place { element, number, kind: kind_of(element), labels });
    }
    Ok(places)
}

fn kind_of(section: Element<'_>) -> Option<usize> {
    let by_template = SECTIONS
        .iter()
        .position(|kind| section.templates().any(|root| kind.templates.contains(&root)));
    let code = section.child("code").and_then(|it| it.attribute("code"));
    by_template.or_else(|| SECTIONS.iter().position(|kind| Some(kind.loinc) == code))
}

/// A Bundle while it is written.
struct Mapper<'d> {
    reader: Reader<'d>,
    reception: &'d Reception<'d>,
    entries: Entries<'d>,
    root: Element<'d>,
    patient: Option<Handle>,
    encounter: Option<Handle>,
    /// The identifier by which the patient is known, as `system|value`.
    patient_key: String,
    /// The identifier of the document.
    id: Value,
    /// What is restricted in the section that is read, and in all so far.
    labels: Vec<Value>,
    all_labels: Vec<Value>,
    /// The LOINC code of the section that is read.
    section: &'d str,
    /// How often each identifier was made.
    derived: BTreeMap<String, u32>,
    /// Resources that entries became.
    made: usize,
}

impl<'d> Mapper<'d> {
    fn new(document: &'d Document<'_>, reception: &'d Reception<'d>) -> Result<Self, Refusal> {
        let reader = Reader::new(document);
        let root = document.root();
        let id = root.child("id").and_then(|it| reader.identifier(it)).ok_or(Refusal::NoId)?;
        let known_by = document.patient_identifiers()?;
        let known_by = known_by.get(reception.known_by).ok_or(Refusal::NotThePatients)?;
        let patient_key = format!("{}|{}", known_by.system, known_by.value);
        if key(&id).len() > IDENTIFIER_BYTES_MAX || patient_key.len() > IDENTIFIER_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let all_labels = header::confidentiality(root).into_iter().collect();
        Ok(Self {
            reader,
            reception,
            entries: Entries::new(reception.name),
            root,
            patient: None,
            encounter: None,
            patient_key,
            id,
            labels: Vec::new(),
            all_labels,
            section: "",
            derived: BTreeMap::new(),
            made: 0,
        })
    }

    fn section(&mut self, place: &Place<'d>) -> Section {
        self.labels = unique(&place.labels);
        self.all_labels.extend(self.labels.iter().cloned());
        let code = place.element.child("code").and_then(|it| it.attribute("code"));
        self.section = code.unwrap_or_default();
        let name = place.kind.map(|kind| SECTIONS[kind].name.to_string());
        let mut section = Section {
            name: name.or_else(|| code.filter(|it| is_loinc(it)).map(ToString::to_string)),
            number: place.number,
            entries: 0,
            left: Vec::new(),
            left_more: 0,
        };
        let is_others = place.element.child("subject").is_some();
        for entry in place.element.all("entry") {
            section.entries += 1;
            let mut whys = Vec::new();
            self.reader.is_noted();
            if is_others {
                whys.push(Why::OtherSubject);
            } else {
                self.entry(entry, &mut whys);
            }
            if whys.is_empty() && self.reader.is_noted() {
                whys.push(Why::Form);
            }
            for why in whys {
                if section.left.len() < LEFT_MAX {
                    section.left.push((section.entries, why));
                } else {
                    section.left_more += 1;
                }
            }
        }
        section
    }

    /// What an entry's statement is, by its template.
    fn entry(&mut self, entry: Element<'d>, whys: &mut Vec<Why>) {
        let Some(statement) = entry.children().find(|it| is_statement(it.name())) else {
            return whys.push(Why::NoPlace);
        };
        self.statement(statement, whys);
    }

    fn statement(&mut self, statement: Element<'d>, whys: &mut Vec<Why>) {
        let Some(what) = statement.templates().find_map(What::of) else {
            return whys.push(Why::NoPlace);
        };
        let mut told = |done: Result<Handle, Why>| whys.extend(done.err());
        if let Err(why) = about_patient(statement, what) {
            return told(Err(why));
        }
        match what {
            What::AllergyConcern | What::ProblemConcern | What::EncounterDiagnosis => {
                self.concern(statement, what, whys);
            }
            What::Allergy => told(self.allergy(statement, None)),
            What::Problem => told(self.problem(statement, None)),
            What::Medication => told(self.medication(statement)),
            What::Immunization => told(self.immunization(statement)),
            What::Procedure => told(self.procedure(statement)),
            What::Encounter => self.encounter(statement, whys),
            What::Results => self.organizer(statement, whys),
            What::VitalSigns => self.organizer(statement, whys),
            What::Result => told(self.observation(statement, "laboratory")),
            What::VitalSign => told(self.observation(statement, "vital-signs")),
            What::Social => told(self.observation(statement, "social-history")),
            What::Family => self.family(statement, whys),
            What::Planned => told(self.planned(statement)),
        }
    }

    /// The statements of a kind that relate to another one, without those that are negated or say nothing.
    fn related(&self, statement: Element<'d>, root: &str) -> Vec<Element<'d>> {
        let inner = statement.all("entryRelationship").flat_map(Element::children);
        let found: Vec<_> = inner.filter(|it| it.follows(root)).collect();
        let said = |it: &&Element<'d>| !is_negated(**it) && it.null_flavor().is_none();
        let told: Vec<_> = found.iter().filter(said).copied().collect();
        if told.len() < found.len() {
            self.reader.note();
        }
        told
    }

    /// An identifier by which a part of the patient's chart is found again: made of the patient's and what it is about.
    fn derived(&mut self, of: &str, about: &[Option<String>]) -> Option<Value> {
        if about.iter().flatten().any(|part| part.len() > 2 * IDENTIFIER_BYTES_MAX) {
            self.reader.note();
            return None;
        }
        about.iter().flatten().next()?;
        let mut value = percent(&self.patient_key);
        for part in about {
            value.push('/');
            value.push_str(&percent(part.as_deref().unwrap_or_default()));
        }
        // The same thing said twice in one document is two: the second has a number.
        let count = self.derived.entry(format!("{of}/{value}")).or_insert(0_u32);
        *count += 1;
        if *count > 1 {
            value.push_str(&format!("/{count}"));
        }
        let mut identifier = Object::default();
        identifier.set("system", format!("{NAMESPACE}ccda:{of}"));
        identifier.set("value", value);
        Some(identifier.into())
    }

    /// Adds what an entry became, with the identifiers that it has and the one that it is found again by.
    fn add(
        &mut self,
        mut resource: Object,
        statement: Element<'d>,
        about: &[Option<String>],
    ) -> Result<Handle, Why> {
        if self.made >= RESOURCES_MAX {
            return Err(Why::TooMany);
        }
        self.made += 1;
        let given = self.reader.identifiers(statement);
        let first = given.first().map(key);
        let of = resource.text("resourceType").to_string();
        let about: Vec<_> = [first].into_iter().chain(about.iter().cloned()).collect();
        let known_by = self.derived(&of, &about);
        resource.list("identifier", given.into_iter().chain(known_by.clone()).collect());
        if !self.labels.is_empty() {
            resource.set("meta", serde_json::json!({ "security": self.labels }));
        }
        let existing = if self.reception.is_newest { Existing::Replace } else { Existing::Keep };
        Ok(self.entries.add(resource, known_by.as_ref(), existing))
    }

    fn subject(&self) -> Option<Value> {
        self.patient.map(|it| self.entries.reference(it))
    }

    /// Comments on a statement, as annotations.
    fn notes(&self, resource: &mut Object, statement: Element<'d>) {
        for comment in self.related(statement, "2.16.840.1.113883.10.20.22.4.64") {
            let text = comment.child("text").and_then(|it| self.reader.text(it));
            let mut note = Object::default();
            let author = comment.child("author");
            note.put("time", author.and_then(|it| self.reader.date_time(it.child("time")?)));
            note.put("text", text);
            resource.push("note", note.has("text").then(|| Value::from(note)));
        }
    }

    /// Who wrote a statement last, and when one was first written.
    fn written(&self, statements: &[Element<'d>]) -> (Option<Value>, Option<String>) {
        let authors: Vec<_> = statements.iter().flat_map(|it| it.all("author")).collect();
        let who = authors.iter().rev().find_map(|it| {
            let role = it.child("assignedAuthor")?;
            self.reader.person(role, "assignedPerson")
        });
        let times = authors.iter().filter_map(|it| self.reader.date_time(it.child("time")?));
        (who, times.min())
    }

    /// Those who did something.
    fn performers(&self, statement: Element<'d>) -> Vec<Value> {
        let all = statement.all("performer").filter_map(|it| it.child("assignedEntity"));
        all.filter_map(|it| {
            let person = self.reader.person(it, "assignedPerson");
            let organization = || self.reader.organization(it.child("representedOrganization")?);
            person.or_else(organization)
        })
        .collect()
    }
}

/// What a template says that a statement is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    AllergyConcern,
    Allergy,
    ProblemConcern,
    EncounterDiagnosis,
    Problem,
    Medication,
    Immunization,
    Procedure,
    Encounter,
    Results,
    Result,
    VitalSigns,
    VitalSign,
    Social,
    Family,
    Planned,
}

impl What {
    fn of(root: &str) -> Option<Self> {
        Some(match root.strip_prefix("2.16.840.1.113883.10.20.22.4.")? {
            "30" => Self::AllergyConcern,
            "7" => Self::Allergy,
            "3" => Self::ProblemConcern,
            "80" | "33" => Self::EncounterDiagnosis,
            "4" => Self::Problem,
            "16" => Self::Medication,
            "52" => Self::Immunization,
            "12" | "13" | "14" => Self::Procedure,
            "49" => Self::Encounter,
            "1" => Self::Results,
            "2" => Self::Result,
            "26" => Self::VitalSigns,
            "27" => Self::VitalSign,
            "38" | "78" | "85" | "200" | "501" => Self::Social,
            "45" => Self::Family,
            "39" | "41" | "42" | "44" => Self::Planned,
            _ => return None,
        })
    }
}

const fn is_statement(name: &str) -> bool {
    matches!(
        name.as_bytes(),
        b"act"
            | b"observation"
            | b"organizer"
            | b"procedure"
            | b"encounter"
            | b"supply"
            | b"substanceAdministration"
    )
}

/// Why a statement says nothing of the patient.
fn about_patient(statement: Element<'_>, what: What) -> Result<(), Why> {
    if statement.null_flavor().is_some() {
        return Err(Why::Absent);
    }
    if what != What::Family && statement.child("subject").is_some() {
        return Err(Why::OtherSubject);
    }
    Ok(())
}

/// Whether a statement says that something is not so.
fn is_negated(statement: Element<'_>) -> bool {
    // Whatever is not plainly false might be meant.
    statement.attribute("negationInd").is_some_and(|it| !matches!(it, "false" | "0"))
}

fn status(statement: Element<'_>) -> &str {
    statement.child("statusCode").and_then(|it| it.attribute("code")).unwrap_or_default()
}

/// Refuses what is of another mood than one of these.
fn of_mood(statement: Element<'_>, moods: &[&str]) -> Result<(), Why> {
    let mood = statement.attribute("moodCode").unwrap_or("EVN");
    if moods.contains(&mood) { Ok(()) } else { Err(Why::Mood) }
}

/// A code with its system, or the text that stands for one.
fn code_key(concept: &Value) -> Option<String> {
    let text = |pointer| concept.pointer(pointer).and_then(Value::as_str);
    let code = text("/coding/0/code").or(text("/text"))?;
    Some(format!("{}|{code}", text("/coding/0/system").unwrap_or_default()))
}

/// A code of HL7's terminology, as a concept.
fn concept(system: &str, code: &str) -> Value {
    coded(&hl7(system), code)
}

fn unique(labels: &[Value]) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for label in labels {
        if !all.contains(label) {
            all.push(label.clone());
        }
    }
    all
}

/// Digits, a dash and a digit: a code, and so nothing of a patient.
fn is_loinc(code: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    code.len() <= 8
        && code.split_once('-').is_some_and(|(number, check)| {
            !number.is_empty() && is_digits(number) && check.len() == 1 && is_digits(check)
        })
}

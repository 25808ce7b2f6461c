//! `$summary`: what is readable of a chart as an International Patient Summary, a Bundle of type document.
//!
//! ```text
//! resources -- parse, belong to the patient? --> sections by type, status and category
//!                    |                               |
//!                    |   those that they refer to <--+
//!                    v                               v
//!              exact bytes, fullUrl = base/Type/id   Composition: code, narrative, entries or why there are none
//! ```
//!
//! A section without entries says `unavailable`, whether nothing is recorded or nothing was readable: the two must look
//! alike, or the summary would tell what is kept from its reader. `nilknown` stands only where the caller says that a
//! clinician has established it, and is refused where an entry says otherwise. A clinician's record of it ("no known
//! allergy") is an entry like any other.
//!
//! # Invariants
//!
//! * Resources stay their exact bytes, but for references that named them by another URL than they have here.
//! * Every reference from the Composition resolves inside the Bundle. Those of resources that do not are listed.
//! * A name that a sender gave to its resource catches no reference to another of this server.
//! * What a sender wrote cannot leave its place in the narrative: it is escaped, and what moves or hides text is gone.
//! * Nothing is entered that is another patient's, or void: that its status says is wrong, withdrawn or never was. A
//!   reference to such a thing leads out of the Bundle.
//!
//! Not here: choosing which readable records a summary is made of, translation, and the profiles of single resources.

use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{convert::Infallible, ops::Range};

use keepwell_types::time::BlockTime;
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    LOINC, coding, concept, instant, reference,
    security_label::{codings_of, confidentiality_of},
};
use crate::{
    bundle::{
        DEPTH_MAX, PATIENT_ELEMENTS, collect_labels, is_id, is_type_name, normal, unversioned,
    },
    classify::{Sensitivity, classify, kind_of},
    splice::{strings, text_of},
    summary::one_line,
    transaction::is_absolute,
    tree::{Tree, too_deep},
};

/// Resources of one summary.
pub const RESOURCES_MAX: usize = 10_000;
/// Bytes of all of them.
pub const RESOURCES_BYTES_MAX: usize = 64 << 20;
/// Bytes of the base URL, of a reference to an author or its name, and of an alias.
pub const URL_BYTES_MAX: usize = 1_024;
/// Lines of one section's narrative; the entries are complete.
pub const NARRATIVE_LINES_MAX: usize = 500;
/// References that are reported as leading out of the Bundle.
pub const DANGLING_MAX: usize = 256;
const IPS: &str = "http://hl7.org/fhir/uv/ips/StructureDefinition/";
const EMPTY_REASON: &str = "http://terminology.hl7.org/CodeSystem/list-empty-reason";

/// A section of the summary, as IPS has them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Section {
    /// Allergies and intolerances; required.
    Allergies,
    /// Medicines; required.
    Medications,
    /// Problems; required.
    Problems,
    /// Vaccinations.
    Immunizations,
    /// Results.
    Results,
    /// What was done.
    Procedures,
    /// Devices.
    Devices,
    /// Vital signs.
    VitalSigns,
    /// Illnesses that are over.
    PastIllness,
    /// Tobacco, alcohol and the like.
    SocialHistory,
    /// Pregnancies.
    Pregnancy,
    /// Plans of care.
    Plan,
    /// What the patient wants if no longer able to say so.
    AdvanceDirectives,
    /// Warnings.
    Alerts,
}

impl Section {
    /// Every section, in the order in which they stand.
    pub const ALL: [Self; 14] = [
        Self::Allergies,
        Self::Medications,
        Self::Problems,
        Self::Immunizations,
        Self::Results,
        Self::Procedures,
        Self::Devices,
        Self::VitalSigns,
        Self::PastIllness,
        Self::SocialHistory,
        Self::Pregnancy,
        Self::Plan,
        Self::AdvanceDirectives,
        Self::Alerts,
    ];

    /// Its LOINC code and title.
    pub const fn code(self) -> (&'static str, &'static str) {
        match self {
            Self::Allergies => ("48765-2", "Allergies and Intolerances"),
            Self::Medications => ("10160-0", "Medication Summary"),
            Self::Problems => ("11450-4", "Problem List"),
            Self::Immunizations => ("11369-6", "Immunizations"),
            Self::Results => ("30954-2", "Results"),
            Self::Procedures => ("47519-4", "History of Procedures"),
            Self::Devices => ("46264-8", "Medical Devices"),
            Self::VitalSigns => ("8716-3", "Vital Signs"),
            Self::PastIllness => ("11348-0", "History of Past Illness"),
            Self::SocialHistory => ("29762-2", "Social History"),
            Self::Pregnancy => ("10162-6", "History of Pregnancy"),
            Self::Plan => ("18776-5", "Plan of Care"),
            Self::AdvanceDirectives => ("42348-3", "Advance Directives"),
            Self::Alerts => ("104605-1", "Alerts"),
        }
    }

    /// Whether a summary has it in any case.
    pub const fn is_required(self) -> bool {
        matches!(self, Self::Allergies | Self::Medications | Self::Problems)
    }
}

/// A resource that goes in.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Its exact bytes.
    pub json: &'a str,
    /// Another URL by which others refer to it, such as the `urn:uuid:` of the Bundle that it came in: absolute, and
    /// none below [`Material::base`] but its own.
    pub alias: Option<&'a str>,
}

/// What a summary is made of.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The Bundle's id, a UUID in lower case, which is its identifier too.
    pub bundle_id: &'a str,
    /// The Composition's id.
    pub composition_id: &'a str,
    /// When it is made.
    pub time: BlockTime,
    /// Where resources are served, without a slash at its end: `https://host/fhir`.
    pub base: &'a str,
    /// The patient, by id.
    pub patient: &'a str,
    /// Who answers for it: a reference to one of the resources, or to something of which there is a name alone.
    pub author: Author<'a>,
    /// The patient, and all that was readable.
    pub resources: &'a [Input<'a>],
    /// Sections of which a clinician has established that there is nothing.
    pub nil_known: &'a [Section],
}

/// Who answers for a summary.
#[derive(Clone, Copy, Debug)]
pub enum Author<'a> {
    /// One of the resources, `Organization/id`.
    Here(&'a str),
    /// A name: the program that puts it together for the patient.
    Named(&'a str),
}

/// A summary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Summary {
    /// The Bundle.
    pub json: String,
    /// Resources that no section has and nothing in one refers to, and those that are void, by their place among the
    /// inputs.
    pub left_out: Vec<usize>,
    /// References out of the Bundle, or to what is void: the place of the input, and what it refers to. At most
    /// [`DANGLING_MAX`].
    pub dangling: Vec<(usize, String)>,
    /// The most restrictive sensitivity in it, which the document is labelled with.
    pub sensitivity: Sensitivity,
}

/// Why there is no summary.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SummaryError {
    /// More resources, or bytes of them.
    #[error("more resources than a summary holds; leave out old results")]
    TooLarge,
    /// An id, the base, a reference or an alias is not what it should be.
    #[error("{0} is not {form}; give one that is", form = form(.0))]
    Argument(&'static str),
    /// An input is no resource of R4 with an id and each key once.
    #[error("resource {place} is no R4 resource with an id; leave it out or have it amended")]
    NotAResource {
        /// Its place among the inputs.
        place: usize,
    },
    /// Two inputs are one resource, or go by one alias.
    #[error("resource {place} is there twice; give its newest version alone")]
    Twice {
        /// The place of the second.
        place: usize,
    },
    /// The patient is not among the inputs.
    #[error("the patient is not among the resources; add it")]
    NoPatient,
    /// A resource is about somebody else, or does not say about whom.
    #[error("resource {place} is not about the patient; leave it out")]
    OtherPatient {
        /// Its place among the inputs.
        place: usize,
    },
    /// The author is not among the inputs.
    #[error("the author is not among the resources; add it, or give a name")]
    NoAuthor,
    /// A section is said to be empty and is not.
    #[error("{} is said to be known to be empty and has entries; leave it out of nil_known", .0.code().1)]
    NotNil(Section),
}

/// What an argument has to be.
fn form(argument: &str) -> &'static str {
    match argument {
        "bundle_id" => "a UUID in lower case",
        "base" => "an http or https URL of at most URL_BYTES_MAX bytes without a slash at its end",
        "author" => "a reference or a name of at most URL_BYTES_MAX bytes",
        "alias" => "an absolute URL of at most URL_BYTES_MAX bytes, of another server",
        "composition_id" => "an id as FHIR has them, and of no resource that is given",
        // The patient.
        _ => "an id as FHIR has them",
    }
}

/// Puts a summary together.
pub fn compose(material: &Material<'_>) -> Result<Summary, SummaryError> {
    check(material)?;
    let entries = Entries::read(material)?;
    if entries.names.contains_key(&format!("Composition/{}", material.composition_id)) {
        return Err(SummaryError::Argument("composition_id"));
    }
    let patient =
        entries.at(&format!("Patient/{}", material.patient)).ok_or(SummaryError::NoPatient)?;
    let mut sections: BTreeMap<Section, Vec<usize>> = BTreeMap::new();
    for (place, entry) in entries.all.iter().enumerate() {
        if let Some(section) = entry.section {
            sections.entry(section).or_default().push(place);
        }
    }
    if let Some(section) = material.nil_known.iter().find(|it| sections.contains_key(it)) {
        return Err(SummaryError::NotNil(*section));
    }
    let mut used: BTreeSet<usize> = sections.values().flatten().copied().collect();
    used.insert(patient);
    if let Author::Here(author) = material.author {
        used.insert(entries.at(author).ok_or(SummaryError::NoAuthor)?);
    }
    let dangling = entries.close(&mut used);
    entries.check_patient(patient, &used)?;
    let sensitivity = used.iter().map(|place| entries.all[*place].sensitivity).max();
    let sensitivity = sensitivity.unwrap_or(Sensitivity::Normal);
    let composition = composition(material, &entries, &sections, sensitivity);
    let json = entries.bundle(material, &composition, patient, &used, sensitivity);
    let left_out = (0..entries.all.len()).filter(|place| !used.contains(place)).collect();
    Ok(Summary { json, left_out, dangling, sensitivity })
}

fn check(material: &Material<'_>) -> Result<(), SummaryError> {
    let is_base = material.base.len() <= URL_BYTES_MAX
        && (material.base.starts_with("https://") || material.base.starts_with("http://"))
        && !material.base.ends_with('/')
        && material.base.bytes().all(|it| it.is_ascii_graphic());
    let (Author::Here(author) | Author::Named(author)) = material.author;
    let faults = [
        (is_uuid(material.bundle_id), "bundle_id"),
        (is_id(material.composition_id), "composition_id"),
        (is_id(material.patient), "patient"),
        (is_base, "base"),
        (author.len() <= URL_BYTES_MAX, "author"),
    ];
    if let Some((_, argument)) = faults.iter().find(|(holds, _)| !holds) {
        return Err(SummaryError::Argument(argument));
    }
    let bytes: usize = material.resources.iter().map(|it| it.json.len()).sum();
    if material.resources.len() > RESOURCES_MAX || bytes > RESOURCES_BYTES_MAX {
        return Err(SummaryError::TooLarge);
    }
    Ok(())
}

/// Whether a sender may call a resource so: by a URL that is absolute, so that it stands for one thing, and none of
/// those under which resources are served here, or it would redirect what others refer to.
fn is_alias(text: &str, base: &str) -> bool {
    let is_absolute = is_absolute(text) && text.bytes().all(|it| it.is_ascii_graphic());
    let is_here = text.strip_prefix(base).is_some_and(|it| it.is_empty() || it.starts_with('/'));
    text.len() <= URL_BYTES_MAX && is_absolute && !is_here
}

fn is_uuid(text: &str) -> bool {
    let is_digit = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    text.len() == 36
        && text.bytes().enumerate().all(|(place, it)| match place {
            8 | 13 | 18 | 23 => it == b'-',
            _ => is_digit(it),
        })
}

/// A resource, and what a summary needs of it.
struct Entry<'a> {
    json: &'a str,
    /// `Type/id`.
    name: String,
    /// Where it stands, if it stands anywhere by itself.
    section: Option<Section>,
    /// What it says whom it is about; nothing in place of what is no reference.
    about: Vec<Option<String>>,
    /// Whether its status says that it is wrong, withdrawn or never was.
    is_void: bool,
    /// Whether it may be about nobody.
    is_support: bool,
    sensitivity: Sensitivity,
}

struct Entries<'a> {
    all: Vec<Entry<'a>>,
    /// Places by `Type/id`, by URL and by alias.
    names: BTreeMap<String, usize>,
}

impl<'a> Entries<'a> {
    /// `material`, by every name that a resource goes by.
    fn read(material: &Material<'a>) -> Result<Self, SummaryError> {
        let mut entries = Self { all: Vec::new(), names: BTreeMap::new() };
        for (place, input) in material.resources.iter().enumerate() {
            let entry = Entry::read(input.json).ok_or(SummaryError::NotAResource { place })?;
            let url = format!("{}/{}", material.base, entry.name);
            let alias = input.alias.map(|alias| normal(alias).into_owned());
            let alias = alias.filter(|it| *it != url && *it != entry.name);
            if alias.as_ref().is_some_and(|it| !is_alias(it, material.base)) {
                return Err(SummaryError::Argument("alias"));
            }
            for name in [Some(entry.name.clone()), Some(url), alias].into_iter().flatten() {
                if entries.names.insert(name, place).is_some() {
                    return Err(SummaryError::Twice { place });
                }
            }
            entries.all.push(entry);
        }
        Ok(entries)
    }

    /// The place of what a reference names; nothing if its status says that it is not to be read.
    fn at(&self, reference: &str) -> Option<usize> {
        let place = self.names.get(normal(unversioned(reference)).as_ref()).copied();
        place.filter(|place| !self.all[*place].is_void)
    }

    /// Whether all that goes in is about the patient, or about nobody.
    fn check_patient(&self, patient: usize, used: &BTreeSet<usize>) -> Result<(), SummaryError> {
        for place in used.iter().copied().filter(|place| *place != patient) {
            let entry = &self.all[place];
            let is_patient = |it: &Option<String>| {
                it.as_ref().is_some_and(|text| self.at(text) == Some(patient))
            };
            let holds =
                entry.about.iter().all(is_patient) && (entry.is_support || !entry.about.is_empty());
            if !holds {
                return Err(SummaryError::OtherPatient { place });
            }
        }
        Ok(())
    }

    /// Adds what is referred to, and what that refers to; lists the references that lead out.
    fn close(&self, used: &mut BTreeSet<usize>) -> Vec<(usize, String)> {
        let mut dangling = Vec::new();
        let mut waiting: Vec<usize> = used.iter().copied().collect();
        while let Some(place) = waiting.pop() {
            for (_, text) in references(self.all[place].json) {
                match self.at(&text) {
                    Some(other) if used.insert(other) => waiting.push(other),
                    None if !text.starts_with('#') && dangling.len() < DANGLING_MAX => {
                        dangling.push((place, text));
                    }
                    Some(_) | None => {}
                }
            }
        }
        dangling.sort();
        dangling
    }

    fn bundle(
        &self,
        material: &Material<'_>,
        composition: &Value,
        patient: usize,
        used: &BTreeSet<usize>,
        sensitivity: Sensitivity,
    ) -> String {
        let meta = json!({
            "profile": [format!("{IPS}Bundle-uv-ips")],
            "security": codings_of(sensitivity),
        });
        let identifier = json!({
            "system": "urn:ietf:rfc:3986",
            "value": format!("urn:uuid:{}", material.bundle_id),
        });
        let mut json = format!(
            r#"{{"resourceType":"Bundle","id":{},"meta":{meta},"identifier":{identifier},"#,
            Value::from(material.bundle_id),
        );
        let time = Value::from(instant(material.time));
        json.push_str(&format!(r#""type":"document","timestamp":{time},"entry":["#));
        let name = format!("Composition/{}", material.composition_id);
        push_entry(&mut json, material.base, &name, &composition.to_string());
        let others = used.iter().copied().filter(|place| *place != patient);
        for place in [patient].into_iter().chain(others) {
            json.push(',');
            let entry = &self.all[place];
            push_entry(
                &mut json,
                material.base,
                &entry.name,
                &self.respelt(entry.json, material.base),
            );
        }
        json.push_str("]}");
        json
    }

    /// A resource whose references by an alias are by type and id; not one other byte changes.
    fn respelt(&self, json: &str, base: &str) -> String {
        let mut out = String::with_capacity(json.len());
        let mut done = 0;
        for (at, text) in references(json) {
            let Some(place) = self.at(&text) else { continue };
            let name = self.all[place].name.as_str();
            let relative = text.strip_prefix(base).and_then(|it| it.strip_prefix('/'));
            if unversioned(relative.unwrap_or(&text)) != name {
                out.push_str(&json[done..at.start]);
                out.push_str(&Value::from(name).to_string());
                done = at.end;
            }
        }
        out.push_str(&json[done..]);
        out
    }
}

fn push_entry(json: &mut String, base: &str, name: &str, resource: &str) {
    let url = Value::from(format!("{base}/{name}"));
    json.push_str(&format!(r#"{{"fullUrl":{url},"resource":{resource}}}"#));
}

impl<'a> Entry<'a> {
    fn read(json: &'a str) -> Option<Self> {
        if too_deep(json.as_bytes(), DEPTH_MAX).is_some() {
            return None;
        }
        let tree: Tree = serde_json::from_str(json).ok()?;
        let resource_type = tree.text_of("resourceType").filter(|it| is_type_name(it))?.to_owned();
        kind_of(&resource_type)?;
        let id = tree.text_of("id").filter(|it| is_id(it))?;
        let name = format!("{resource_type}/{id}");
        let mut labels = Vec::new();
        collect_labels(&tree, &resource_type, &mut labels);
        let about = PATIENT_ELEMENTS
            .iter()
            .filter_map(|element| tree.field(element))
            .map(|named| named.text_of("reference").map(ToOwned::to_owned));
        let content = Content { tree: &tree, resource_type: &resource_type };
        Some(Self {
            json,
            name,
            section: section_of(&content),
            is_void: content.is_void(),
            about: about.collect(),
            is_support: is_support(&resource_type),
            sensitivity: classify(&resource_type, &labels).sensitivity,
        })
    }
}

/// What stands in a resource, while its section is chosen.
struct Content<'a> {
    tree: &'a Tree,
    resource_type: &'a str,
}

impl Content<'_> {
    fn status(&self) -> Option<&str> {
        self.tree.text_of("status")
    }

    /// Whether it says that it is wrong, withdrawn or never was.
    fn is_void(&self) -> bool {
        let void = ["entered-in-error", "cancelled", "revoked", "not-done"];
        self.status().is_some_and(|status| void.contains(&status))
            || self.has_code("verificationStatus", &["entered-in-error", "refuted"])
    }

    /// Whether one of the codings under `element` has one of these codes.
    fn has_code(&self, element: &str, codes: &[&str]) -> bool {
        let codings = self.tree.items_of(element).iter().flat_map(|it| it.items_of("coding"));
        codings.filter_map(|it| it.text_of("code")).any(|code| codes.contains(&code))
    }
}

/// Types that say of others where, by whom and with what.
fn is_support(resource_type: &str) -> bool {
    matches!(
        resource_type,
        "Practitioner"
            | "PractitionerRole"
            | "Organization"
            | "Medication"
            | "Device"
            | "Location"
            | "Substance"
            | "Specimen"
            | "RelatedPerson"
            | "Provenance"
            | "Binary"
    )
}

/// Which section a resource stands in; none for what is void, and for what others refer to.
fn section_of(entry: &Content<'_>) -> Option<Section> {
    if entry.is_void() {
        return None;
    }
    match entry.resource_type {
        "AllergyIntolerance" => Some(Section::Allergies),
        "MedicationStatement" | "MedicationRequest" => {
            let is_current = matches!(
                entry.status(),
                None | Some("active" | "intended" | "on-hold" | "unknown")
            );
            is_current.then_some(Section::Medications)
        }
        "Condition" => {
            let is_over = entry.has_code("clinicalStatus", &["inactive", "remission", "resolved"]);
            Some(if is_over { Section::PastIllness } else { Section::Problems })
        }
        "Immunization" => Some(Section::Immunizations),
        "Procedure" => Some(Section::Procedures),
        "DeviceUseStatement" => Some(Section::Devices),
        "DiagnosticReport" => Some(Section::Results),
        "Observation" => observation(entry),
        "CarePlan" => matches!(entry.status(), Some("active" | "on-hold")).then_some(Section::Plan),
        "Consent" => {
            let is_directive = entry.has_code("scope", &["adr"]);
            (is_directive && entry.status() == Some("active")).then_some(Section::AdvanceDirectives)
        }
        "DocumentReference" => entry
            .has_code("type", &["42348-3", "75320-2", "86533-7"])
            .then_some(Section::AdvanceDirectives),
        "Flag" => (entry.status() == Some("active")).then_some(Section::Alerts),
        _ => None,
    }
}

/// LOINC codes of pregnancy: its status, the expected date of delivery, and outcomes of earlier ones.
const PREGNANCY: [&str; 13] = [
    "82810-3", "11778-8", "11779-6", "11780-4", "11636-8", "11637-6", "11638-4", "11639-2",
    "11640-0", "11612-9", "11613-7", "11614-5", "33065-4",
];

fn observation(entry: &Content<'_>) -> Option<Section> {
    let is_in = |codes: &[&str]| entry.has_code("category", codes);
    if entry.has_code("code", &PREGNANCY) {
        Some(Section::Pregnancy)
    } else if is_in(&["vital-signs"]) {
        Some(Section::VitalSigns)
    } else if is_in(&["social-history"]) {
        Some(Section::SocialHistory)
    } else if is_in(&["laboratory", "imaging", "LAB", "RAD", "PAT"]) {
        Some(Section::Results)
    } else {
        None
    }
}

fn composition(
    material: &Material<'_>,
    entries: &Entries<'_>,
    sections: &BTreeMap<Section, Vec<usize>>,
    sensitivity: Sensitivity,
) -> Value {
    let shown = Section::ALL.into_iter().filter(|it| {
        it.is_required() || sections.contains_key(it) || material.nil_known.contains(it)
    });
    let sections: Vec<_> = shown
        .map(|it| section(material, entries, it, sections.get(&it).map_or(&[], Vec::as_slice)))
        .collect();
    let author = match material.author {
        // By its type and id, whatever it was called by.
        Author::Here(author) => {
            reference(entries.at(author).map_or(author, |place| entries.all[place].name.as_str()))
        }
        Author::Named(name) => json!({ "display": name }),
    };
    json!({
        "resourceType": "Composition",
        "id": material.composition_id,
        "meta": {
            "profile": [format!("{IPS}Composition-uv-ips")],
            "security": codings_of(sensitivity),
        },
        "text": {
            "status": "generated",
            "div": paragraphs(&["International Patient Summary".to_string(), INCOMPLETE.to_string()]),
        },
        "status": "final",
        "type": concept(LOINC, "60591-5"),
        "subject": reference(&format!("Patient/{}", material.patient)),
        "date": instant(material.time),
        "author": [author],
        "title": "International Patient Summary",
        "confidentiality": confidentiality_of(sensitivity),
        "section": sections,
    })
}

/// Stands in every summary alike, so that it says nothing of this one.
const INCOMPLETE: &str = "Made of what its reader may open. There may be records that it does not \
                          have; what is not listed is not known to be absent.";

fn section(
    material: &Material<'_>,
    entries: &Entries<'_>,
    section: Section,
    places: &[usize],
) -> Value {
    let (code, title) = section.code();
    let mut lines: Vec<_> = places
        .iter()
        .take(NARRATIVE_LINES_MAX)
        .map(|place| one_line(entries.all[*place].json.as_bytes()))
        .collect();
    if places.len() > NARRATIVE_LINES_MAX {
        lines.push(format!("and {} more", places.len() - NARRATIVE_LINES_MAX));
    }
    let mut value = json!({
        "title": title,
        "code": concept(LOINC, code),
    });
    if places.is_empty() {
        let (reason, words) = if material.nil_known.contains(&section) {
            ("nilknown", "A clinician has established that there is nothing to list.")
        } else {
            (
                "unavailable",
                "No information is available here. It does not mean that there is none.",
            )
        };
        lines.push(words.to_string());
        value["emptyReason"] = json!({ "coding": [coding(EMPTY_REASON, reason)], "text": words });
    } else {
        let references = places.iter().map(|place| reference(&entries.all[*place].name));
        value["entry"] = references.collect();
    }
    value["text"] = json!({ "status": "generated", "div": paragraphs(&lines) });
    value
}

/// XHTML of one paragraph for each line, whatever stands in them.
pub(super) fn paragraphs(lines: &[String]) -> String {
    let mut html = String::from(r#"<div xmlns="http://www.w3.org/1999/xhtml">"#);
    for line in lines {
        html.push_str("<p>");
        for c in line.chars() {
            match c {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '"' => html.push_str("&quot;"),
                '\'' => html.push_str("&#39;"),
                // XML has no such characters, not even escaped.
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => html.push(' '),
                c => html.push(c),
            }
        }
        html.push_str("</p>");
    }
    html.push_str("</div>");
    html
}

/// The references of a resource, which is JSON: where the text stands with its quotes, and what it says.
fn references(json: &str) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    let visited: Result<(), Infallible> = strings(json, |place, range| {
        if place.keys().next().is_some_and(|key| key == "reference") {
            let text = text_of(&json[range.clone()]).into_owned();
            found.push((range, text));
        }
        Ok(())
    });
    match visited {
        Ok(()) => found,
    }
}

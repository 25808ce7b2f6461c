//! The header: recordTarget as Patient, encompassingEncounter as Encounter, the document itself as DocumentReference and
//! Binary, and the Provenance of everything.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keepwell_fhir::{
    classify::{ACT_CODE, CONFIDENTIALITY},
    draft::{Existing, Handle, Object, hex, key},
    facts::NAMESPACE,
};
use keepwell_hl7v2::time::instant;
use serde_json::{Value, json};

use super::{Identifier, Mapper, coded, concept, unique};
use crate::{
    document::{Document, Element},
    limits::{IDENTIFIER_BYTES_MAX, PATIENT_IDENTIFIERS_MAX},
    refusal::Refusal,
    value::{Reader, hl7, system},
};

/// What the original is attached as: the type that the CDA standard gives its documents.
const MEDIA_TYPE: &str = "application/hl7-cda+xml";
const BIRTH_TIME: &str = "http://hl7.org/fhir/StructureDefinition/patient-birthTime";
const FORMATS: &str = "http://terminology.hl7.org/CodeSystem/v3-HL7DocumentFormatCodes";
const CONFIDENTIALITY_OID: &str = "2.16.840.1.113883.5.25";
const ACT_CODE_OID: &str = "2.16.840.1.113883.5.4";
/// Numbers by which no patient is known: of social security, doctors, organisations, insurances.
const SHARED: [&str; 6] = [
    "http://hl7.org/fhir/sid/us-ssn",
    "http://hl7.org/fhir/sid/us-npi",
    "urn:oid:2.16.840.1.113883.4.2",
    "urn:oid:2.16.840.1.113883.4.4",
    "urn:oid:2.16.840.1.113883.6.300",
    "urn:oid:2.16.840.1.113883.4.7",
];

impl Document<'_> {
    /// The identifiers by which its patient may be known, the first of which is the one that a new patient gets.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotThePatients`] where there is none, [`Refusal::TooLong`] where one is longer than any real one.
    pub fn patient_identifiers(&self) -> Result<Vec<Identifier>, Refusal> {
        let reader = Reader::new(self);
        let Some(role) = self.root().at(&["recordTarget", "patientRole"]) else {
            return Err(Refusal::NotThePatients);
        };
        let mut all = Vec::new();
        for identifier in reader.identifiers(role).iter().filter(|it| is_the_patients(it)) {
            let part =
                |name| identifier.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
            let identifier = Identifier { system: part("system"), value: part("value") };
            if identifier.system.len() + identifier.value.len() >= IDENTIFIER_BYTES_MAX {
                return Err(Refusal::TooLong);
            }
            if !all.contains(&identifier) && all.len() < PATIENT_IDENTIFIERS_MAX {
                all.push(identifier);
            }
        }
        if all.is_empty() { Err(Refusal::NotThePatients) } else { Ok(all) }
    }

    /// When its patient was born, as FHIR's `date`.
    pub fn birth_date(&self) -> Option<String> {
        let born = self.root().at(&["recordTarget", "patientRole", "patient", "birthTime"])?;
        Reader::new(self).time(born).map(|it| it.date().to_string())
    }

    /// When it was written, as FHIR's `dateTime`.
    pub fn written_at(&self) -> Option<String> {
        Reader::new(self).date_time(self.root().child("effectiveTime")?)
    }
}

impl<'d> Mapper<'d> {
    pub(super) fn patient(&mut self) {
        let mut patient = Object::of("Patient");
        let Some(role) = self.root.at(&["recordTarget", "patientRole"]) else { return };
        let listed = self.reader.identifiers(role);
        let known_by = listed.iter().find(|it| key(it) == self.patient_key).cloned();
        patient.list("identifier", unique(&listed));
        let person = role.child("patient");
        if let Some(person) = person {
            patient
                .list("name", person.all("name").filter_map(|it| self.reader.name(it)).collect());
        }
        patient.list(
            "telecom",
            role.all("telecom").filter_map(|it| self.reader.telecom(it)).collect(),
        );
        if let Some(person) = person {
            self.personal(&mut patient, person);
        }
        patient
            .list("address", role.all("addr").filter_map(|it| self.reader.address(it)).collect());
        let provider = role.child("providerOrganization");
        let provider = provider.and_then(|it| self.reader.organization(it));
        patient.put("managingOrganization", provider);
        // One who is there stays: a document from elsewhere is no order to change who somebody is.
        self.patient = Some(self.entries.add(patient, known_by.as_ref(), Existing::Keep));
    }

    fn personal(&self, patient: &mut Object, person: Element<'d>) {
        let gender = person.child("administrativeGenderCode").and_then(|it| it.attribute("code"));
        patient.put(
            "gender",
            gender.and_then(|it| match it {
                "M" => Some("male"),
                "F" => Some("female"),
                "UN" | "X" => Some("other"),
                "UNK" => Some("unknown"),
                _ => None,
            }),
        );
        if let Some(born) = person.child("birthTime").and_then(|it| self.reader.time(it)) {
            patient.set("birthDate", born.date());
            if let Some(instant) = born.instant() {
                let extension = json!([{ "url": BIRTH_TIME, "valueDateTime": instant }]);
                patient.set("_birthDate", json!({ "extension": extension }));
            }
        }
        let died = person.added("deceasedTime").and_then(|it| self.reader.date_time(it));
        let is_dead = person.added("deceasedInd").and_then(|it| it.attribute("value"));
        match (died, is_dead) {
            // One of them is wrong, and nobody is dead by mistake.
            (Some(_), Some("false")) => {}
            (Some(at), _) => patient.set("deceasedDateTime", at),
            (None, Some("true")) => patient.set("deceasedBoolean", true),
            (None, Some("false")) => patient.set("deceasedBoolean", false),
            (None, _) => {}
        }
        let marital = person.child("maritalStatusCode").and_then(|it| self.reader.concept(it));
        patient.put("maritalStatus", marital);
        for language in person.all("languageCommunication") {
            let code = language.child("languageCode").and_then(|it| it.attribute("code"));
            let Some(code) = code else { continue };
            let mut spoken = Object::default();
            spoken.set("language", coded("urn:ietf:bcp:47", code));
            let preferred = language.child("preferenceInd").and_then(|it| it.attribute("value"));
            spoken.put("preferred", preferred.and_then(|it| it.parse::<bool>().ok()));
            patient.push("communication", spoken.some());
        }
    }

    /// The visit that the document is about.
    pub(super) fn encompassing_encounter(&mut self) {
        let path = ["componentOf", "encompassingEncounter"];
        let Some(visit) = self.root.at(&path).filter(|it| it.null_flavor().is_none()) else {
            return;
        };
        let given = self.reader.identifiers(visit);
        // Without a number it could not be told from the patient's other visits.
        let Some(first) = given.first().map(key) else { return };
        let mut encounter = Object::of("Encounter");
        let known_by = self.derived("Encounter", &[Some(first)]);
        encounter.list("identifier", given.into_iter().chain(known_by.clone()).collect());
        if !self.all_labels.is_empty() {
            encounter.set("meta", json!({ "security": self.all_labels }));
        }
        let period = visit.child("effectiveTime").and_then(|it| self.reader.period(it));
        let is_over = period.as_ref().is_some_and(|it| it.get("end").is_some());
        encounter.set("status", if is_over { "finished" } else { "unknown" });
        encounter.set("class", self.class(visit.child("code")));
        encounter.push("type", visit.child("code").and_then(|it| self.reader.concept(it)));
        encounter.put("subject", self.subject());
        for participant in visit.all("encounterParticipant") {
            let role = participant.child("assignedEntity");
            let who = role.and_then(|it| self.reader.person(it, "assignedPerson"));
            encounter.push("participant", who.map(|it| json!({ "individual": it })));
        }
        encounter.put("period", period);
        let discharge = visit.child("dischargeDispositionCode");
        let discharge = discharge.and_then(|it| self.reader.concept(it));
        encounter.put("hospitalization", discharge.map(|it| json!({ "dischargeDisposition": it })));
        self.encounter = Some(self.entries.add(encounter, known_by.as_ref(), Existing::Keep));
    }

    /// A code of a visit as its class, where it or a translation is one.
    pub(super) fn class(&self, code: Option<Element<'d>>) -> Value {
        let known =
            ["IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "AMB", "EMER", "FLD", "HH", "VR"];
        let all = code.into_iter().flat_map(|it| core::iter::once(it).chain(it.all("translation")));
        let of_act = all.filter(|it| it.attribute("codeSystem") == Some(ACT_CODE_OID));
        let found = of_act.filter_map(|it| it.attribute("code")).find(|it| known.contains(it));
        match found {
            Some(code) => json!({ "system": ACT_CODE, "code": code }),
            None => json!({ "system": hl7("v3-NullFlavor"), "code": "UNK" }),
        }
    }

    /// The document as it came: a Binary, and a DocumentReference that says what it is.
    pub(super) fn attach_original(&mut self) -> Handle {
        let bytes = self.reader.document.bytes();
        let labels = unique(&self.all_labels);
        let mut binary = Object::of("Binary");
        let mut document = Object::of("DocumentReference");
        for resource in [&mut binary, &mut document] {
            if !labels.is_empty() {
                resource.set("meta", json!({ "security": labels }));
            }
        }
        binary.set("contentType", MEDIA_TYPE);
        binary.put("securityContext", self.subject());
        binary.set("data", STANDARD.encode(bytes));
        let binary = self.entries.add(binary, None, Existing::Keep);
        document.set("masterIdentifier", self.id.clone());
        let known_by = self.this_version();
        document.list("identifier", self.document_identifiers(&known_by));
        document.set("status", "current");
        let is_signed = self.root.child("legalAuthenticator").is_some();
        document.put("docStatus", is_signed.then_some("final"));
        document.put("type", self.root.child("code").and_then(|it| self.reader.concept(it)));
        document.put("subject", self.subject());
        let written = self.root.child("effectiveTime").and_then(|it| self.reader.time(it));
        document.put("date", written.as_ref().and_then(|it| it.instant()));
        for author in self.root.all("author") {
            document.push("author", self.author(author));
        }
        let signer = ["legalAuthenticator", "authenticator"]
            .into_iter()
            .find_map(|it| self.root.at(&[it, "assignedEntity"]));
        let signer = signer.and_then(|it| self.reader.person(it, "assignedPerson"));
        document.put("authenticator", signer);
        document.put("custodian", self.custodian());
        for relation in self.relations() {
            document.push("relatesTo", Some(relation));
        }
        document.list("securityLabel", labels.iter().map(|it| json!({ "coding": [it] })).collect());
        let mut attachment = Object::default();
        attachment.set("contentType", MEDIA_TYPE);
        attachment
            .put("language", self.root.child("languageCode").and_then(|it| it.attribute("code")));
        attachment.set("url", self.entries.full_url(binary));
        attachment.set("size", bytes.len());
        attachment.put("title", self.root.child("title").and_then(|it| self.reader.text(it)));
        attachment.put("creation", written.map(|it| it.date_time()));
        let format = self.format();
        document.push(
            "content",
            Some(json!({ "attachment": Value::from(attachment), "format": format })),
        );
        let mut context = Object::default();
        context.push("encounter", self.encounter.map(|it| self.entries.reference(it)));
        let event = self.root.at(&["documentationOf", "serviceEvent", "effectiveTime"]);
        context.put("period", event.and_then(|it| self.reader.period(it)));
        document.put("context", context.some());
        self.entries.add(document, Some(&known_by), Existing::Keep)
    }

    /// By what this version of the document is found when it is sent again.
    fn this_version(&self) -> Value {
        json!({ "system": format!("{NAMESPACE}ccda:document"), "value": self.version_value(&key(&self.id)) })
    }

    fn version_value(&self, id: &str) -> String {
        let version = self.root.child("versionNumber").and_then(|it| it.attribute("value"));
        let parts = [self.patient_key.as_str(), id, version.unwrap_or_default()];
        parts.map(keepwell_fhir::draft::percent).join("/")
    }

    /// Its own, that of its set and version, that of its bytes, and the one that all documents of the patient share.
    fn document_identifiers(&self, known_by: &Value) -> Vec<Value> {
        let mut digest = String::new();
        for byte in self.reception.digest {
            digest.extend([byte >> 4, byte & 0x0f].map(|it| hex(it).to_ascii_lowercase()));
        }
        let own = |name: &str, value: String| json!({ "system": format!("{NAMESPACE}ccda:{name}"), "value": value });
        let mut all = Vec::from([self.id.clone(), known_by.clone()]);
        all.push(own("sha-256", digest));
        all.push(own("patient", self.patient_key.clone()));
        if let Some((set, version)) = self.set() {
            all.push(own("set", format!("{set}/{version}")));
        }
        all
    }

    /// The set of which it is a version, and which.
    fn set(&self) -> Option<(String, u32)> {
        let set = self.root.child("setId").and_then(|it| self.reader.identifier(it))?;
        let version = self.root.child("versionNumber")?.attribute("value")?.parse().ok()?;
        Some((keepwell_fhir::draft::percent(&key(&set)), version))
    }

    /// What it replaces, adds to or transforms: by relatedDocument or, without one, the version before it of its set.
    fn relations(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for related in self.root.all("relatedDocument") {
            let code = match related.attribute("typeCode") {
                Some("RPLC") => "replaces",
                Some("APND") => "appends",
                Some("XFRM") => "transforms",
                _ => continue,
            };
            let parent = related.at(&["parentDocument", "id"]);
            let Some(parent) = parent.and_then(|it| self.reader.identifier(it)) else { continue };
            let target = json!({ "type": "DocumentReference", "identifier": parent });
            all.push(json!({ "code": code, "target": target }));
        }
        if let (true, Some((set, version))) = (all.is_empty(), self.set())
            && version > 1
        {
            let identifier = json!({
                "system": format!("{NAMESPACE}ccda:set"), "value": format!("{set}/{}", version - 1),
            });
            let target = json!({ "type": "DocumentReference", "identifier": identifier });
            all.push(json!({ "code": "replaces", "target": target }));
        }
        all
    }

    /// Which format of document it is, as HL7 names it.
    fn format(&self) -> Value {
        let has_body = self.root.at(&["component", "structuredBody"]).is_some();
        let of_r1 = "2.16.840.1.113883.10.20.22.1.1";
        let is_r2 = self
            .root
            .all("templateId")
            .any(|it| it.attribute("root") == Some(of_r1) && it.attribute("extension").is_some());
        let release = if is_r2 { "2.1" } else { "1.1" };
        let body = if has_body { "structuredBody" } else { "nonXMLBody" };
        json!({ "system": FORMATS, "code": format!("urn:hl7-org:sdwg:ccda-{body}:{release}") })
    }

    fn author(&self, author: Element<'d>) -> Option<Value> {
        let role = author.child("assignedAuthor")?;
        let person = self.reader.person(role, "assignedPerson");
        person.or_else(|| self.reader.organization(role.child("representedOrganization")?))
    }

    fn custodian(&self) -> Option<Value> {
        let path = ["custodian", "assignedCustodian", "representedCustodianOrganization"];
        self.reader.organization(self.root.at(&path)?)
    }

    /// Everything before it came from one document.
    pub(super) fn provenance(&mut self) {
        let mut targets: Vec<Value> =
            self.entries.handles().map(|handle| self.entries.reference(handle)).collect();
        let Some(original) = targets.pop() else { return };
        targets.push(original.clone());
        let mut provenance = Object::of("Provenance");
        let labels = unique(&self.all_labels);
        if !labels.is_empty() {
            provenance.set("meta", json!({ "security": labels }));
        }
        provenance.list("target", targets);
        let written = self.root.child("effectiveTime").and_then(|it| self.reader.date_time(it));
        provenance.put("occurredDateTime", written);
        provenance.set("recorded", instant(self.reception.received_ms));
        let kind = |code| concept("provenance-participant-type", code);
        for author in self.root.all("author") {
            let who = self.author(author);
            let agent = who.map(|who| json!({ "type": kind("author"), "who": who }));
            provenance.push("agent", agent);
        }
        let custodian = self.custodian().unwrap_or_else(|| json!({ "display": "not named" }));
        provenance.push("agent", Some(json!({ "type": kind("custodian"), "who": custodian })));
        provenance.push("entity", Some(json!({ "role": "source", "what": original })));
        self.entries.add(provenance, None, Existing::Keep);
    }
}

/// A number by which a patient is known, and no word that stands where there is none.
fn is_the_patients(identifier: &Value) -> bool {
    let part = |name| identifier.get(name).and_then(Value::as_str).unwrap_or_default();
    let plain: String = part("value").chars().filter(|it| it.is_alphanumeric()).collect();
    let plain = plain.to_ascii_uppercase();
    let is_word = matches!(plain.as_str(), "UNKNOWN" | "UNK" | "NONE" | "NULL" | "NA");
    let is_shared = SHARED.contains(&part("system"));
    !is_shared && !is_word && !plain.chars().all(|letter| letter == '0')
}

/// The label of a confidentialityCode, unless it is of what everybody may see who sees anything.
pub(super) fn confidentiality(element: Element<'_>) -> Option<Value> {
    let code = element.child("confidentialityCode")?.attribute("code")?;
    let is_usual = matches!(code, "U" | "L" | "M" | "N");
    (!is_usual && code.len() <= IDENTIFIER_BYTES_MAX)
        .then(|| json!({ "system": CONFIDENTIALITY, "code": code }))
}

/// The labels of privacy annotations (security observations of DS4P) in a section.
pub(super) fn annotations(section: Element<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    for observation in section.below().filter(|it| it.name() == "observation") {
        let of = observation.child("code");
        let is_security = of.is_some_and(|it| {
            let code = it.attribute("code").unwrap_or_default();
            it.attribute("codeSystem") == Some(ACT_CODE_OID) && code.starts_with("SEC")
        });
        let Some(value) = observation.child("value").filter(|_| is_security) else { continue };
        let Some(code) = value.attribute("code").filter(|it| it.len() <= IDENTIFIER_BYTES_MAX)
        else {
            continue;
        };
        let oid = value.attribute("codeSystem").unwrap_or(ACT_CODE_OID);
        let is_usual = oid == CONFIDENTIALITY_OID && matches!(code, "U" | "L" | "M" | "N");
        if let (false, Some(system)) = (is_usual, system(oid)) {
            all.push(json!({ "system": system, "code": code }));
        }
    }
    all
}

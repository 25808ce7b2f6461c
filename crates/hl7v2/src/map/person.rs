//! PID and PD1 as Patient, NK1 as RelatedPerson, IN1 as Coverage.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use keepwell_fhir::draft::{Existing, Object, key};
use serde_json::{Value, json};

use super::{
    Mapper, Reception,
    datatype::{display, full_name},
    table,
};
use crate::{
    message::{Message, Segment},
    refusal::{Path, Refusal},
    time::{Time, instant},
};

const SSN: &str = "http://hl7.org/fhir/sid/us-ssn";
const BIRTH_TIME: &str = "http://hl7.org/fhir/StructureDefinition/patient-birthTime";

/// Types of numbers (table 0203) by which no patient is known.
#[rustfmt::skip]
const SHARED: &[&str] = &[
    // Accounts and visits. Temporary numbers (MRT, PNT) stay: they are of those whom nobody knows yet, until a merge.
    "AN", "ANC", "AND", "ANT", "VN",
    // Of a family, a guarantor, an insurance, a card that pays or an employment. Medicare's is a family's in Australia.
    "SS", "MC", "MB", "SN", "GI", "GN", "EI", "EN", "WC", "WCN", "NII", "NIIP", "NH", "XV", "BA", "BC", "AM", "DI",
    "DS", "MS", "VS",
    // Of those who treat, and where.
    "DDS", "DEA", "DFN", "DN", "DO", "DPM", "ESN", "FI", "LANR", "LN", "MCD", "MCR", "MD", "NBSNR", "NE", "NP", "NPI",
    "OD", "PA", "PPIN", "PRN", "RI", "RN", "RPH", "SL", "TRL", "UPIN", "XX",
    // Of orders, specimens and things.
    "ACSN", "LACSN", "FILL", "PLAC", "SID", "USID", "ASID", "SNO", "SNBSN", "STN", "UDI", "GL",
];

impl<'m> Mapper<'m> {
    pub(super) fn patient(&mut self, pid: Segment<'m>) {
        let mut patient = Object::of("Patient");
        pid.field(1).text();
        let identifiers = self.patient_identifiers(pid);
        let listed = self.reader.all(pid, 3, |reader, part| reader.identifier(part, "PID-3"));
        let known_by = self.own_number(pid, listed);
        patient.list("identifier", identifiers);
        patient.list("name", self.reader.all(pid, 5, |reader, part| reader.name(part, 1)));
        for alias in self.reader.all(pid, 9, |reader, part| reader.name(part, 1)) {
            patient.push("name", Some(alias));
        }
        patient.list("telecom", self.telecoms(pid, 13, 14));
        patient.put("gender", self.reader.code(pid.field(8), table::gender));
        self.birth(&mut patient, pid);
        self.death(&mut patient, pid);
        patient.list("address", self.reader.all(pid, 11, |reader, part| reader.address(part)));
        patient.put("maritalStatus", self.marital_status(pid));
        self.language(&mut patient, pid);
        let existing =
            if self.is_trigger(&["A08", "A31"]) { Existing::Replace } else { Existing::Keep };
        self.patient_key = known_by.as_ref().map(key);
        self.patient = Some(self.entries.add(patient, known_by.as_ref(), existing));
    }

    /// The number that tells the patient from all others: of PID-3 or, before 2.7, PID-2. Accounts (PID-18) and
    /// alternate numbers (PID-4) may be of a mother and her newborn, and numbers whose end is past be given again.
    fn own_number(&self, pid: Segment<'m>, mut listed: Vec<Value>) -> Option<Value> {
        listed.extend(self.reader.all(pid, 2, |reader, part| reader.identifier(part, "PID-2")));
        let today = day(self.message, self.reception);
        listed.retain(|identifier| !is_past(identifier, &today) && !is_shared(identifier));
        let record = listed.iter().find(|identifier| is_record_number(identifier));
        record.or(listed.first()).cloned()
    }

    /// Why there is no patient to be known by a number.
    pub(super) fn unidentified(&self) -> Refusal {
        let path = Path::segment("PID", 1).at(3);
        let pid = self.message.segment("PID");
        let is_sent = |field| {
            let any = |pid: Segment<'_>| {
                let id = |part| self.reader.identifier(part, "");
                pid.repetitions(field).any(|part| id(part).is_some())
            };
            pid.is_some_and(any)
        };
        if is_sent(3) || is_sent(2) {
            Refusal::NotThePatients(path)
        } else {
            Refusal::Missing(path)
        }
    }

    fn patient_identifiers(&self, pid: Segment<'m>) -> Vec<Value> {
        let mut all = Vec::new();
        for (field, place) in [(3, "PID-3"), (2, "PID-2"), (4, "PID-4"), (18, "PID-18")] {
            all.extend(self.reader.all(pid, field, |reader, part| reader.identifier(part, place)));
        }
        if let Some(number) = self.reader.text(pid.field(19)) {
            let kind = table::concept(&table::v2("0203"), "SS");
            all.push(json!({ "type": kind, "system": SSN, "value": number }));
        }
        if let Some(number) = self.reader.text(pid.field(20)) {
            let kind = table::concept(&table::v2("0203"), "DL");
            let issuer = self.reader.text(pid.field(20).component(2));
            let system = format!("{}/PID-20", self.reception.namespace);
            let mut licence = Object::default();
            licence.set("type", kind);
            licence.set("system", system);
            licence.set("value", number);
            licence.put("assigner", issuer.map(display));
            all.push(licence.into());
        }
        let mut seen = Vec::new();
        all.retain(|identifier| {
            let key = key(identifier);
            let is_new = !seen.contains(&key);
            seen.push(key);
            is_new
        });
        all
    }

    fn telecoms(&self, segment: Segment<'m>, home: u16, work: u16) -> Vec<Value> {
        let mut all =
            self.reader.all(segment, home, |reader, part| reader.telecom(part, Some("home")));
        all.extend(
            self.reader.all(segment, work, |reader, part| reader.telecom(part, Some("work"))),
        );
        all
    }

    fn birth(&self, patient: &mut Object, pid: Segment<'m>) {
        if let Some(born) = self.reader.time(pid.field(7)) {
            patient.set("birthDate", born.date());
            if let Some(instant) = born.instant() {
                let extension = json!([{ "url": BIRTH_TIME, "valueDateTime": instant }]);
                patient.set("_birthDate", json!({ "extension": extension }));
            }
        }
        let is_multiple = self.reader.code(pid.field(24), yes_or_no);
        if is_multiple == Some(false) {
            patient.set("multipleBirthBoolean", false);
            return;
        }
        // Of twins, who came first.
        match self.reader.positive(pid.field(25)) {
            Some(order) => patient.set("multipleBirthInteger", order),
            None => patient.put("multipleBirthBoolean", is_multiple),
        }
    }

    fn death(&self, patient: &mut Object, pid: Segment<'m>) {
        let is_dead = self.reader.code(pid.field(30), yes_or_no);
        match (self.reader.date_time(pid.field(29)), is_dead) {
            // One of them is wrong, and nobody is dead by mistake.
            (Some(_), Some(false)) => {
                [29, 30].into_iter().for_each(|field| self.reader.note(pid.field(field)));
            }
            (Some(at), _) => patient.set("deceasedDateTime", at),
            (None, is_dead) => patient.put("deceasedBoolean", is_dead),
        }
    }

    fn marital_status(&self, pid: Segment<'m>) -> Option<Value> {
        let sent = self.reader.tabled(pid.field(16), "0002")?;
        let code = self.reader.text(pid.field(16)).unwrap_or_default();
        let Some(code) = table::marital_status(&code) else { return Some(sent) };
        let mut status = table::concept(&table::hl7("v3-MaritalStatus"), code);
        if matches!(code, "UNK" | "OTH") {
            status = table::concept(&table::hl7("v3-NullFlavor"), code);
        }
        if let Some(coding) = sent.pointer("/coding/0").cloned()
            && let Some(list) = status.pointer_mut("/coding").and_then(Value::as_array_mut)
        {
            list.push(coding);
        }
        Some(status)
    }

    fn language(&self, patient: &mut Object, pid: Segment<'m>) {
        if let Some(language) = self.reader.tabled(pid.field(15), "0296") {
            patient.push("communication", Some(json!({ "language": language, "preferred": true })));
        }
    }

    /// PD1: the general practitioner and where they are.
    pub(super) fn demographics(&mut self, pd1: Segment<'m>) {
        let Some(patient) = self.patient else { return };
        let mut who = self.reader.all(pd1, 3, |reader, part| reader.organization(part));
        who.extend(self.reader.all(pd1, 4, |reader, part| reader.practitioner(part)));
        for who in who {
            self.entries.resource(patient).push("generalPractitioner", Some(who));
        }
    }

    pub(super) fn next_of_kin(&mut self, nk1: Segment<'m>) {
        let Some(patient) = self.refer(self.patient) else { return };
        let names = self.reader.all(nk1, 2, |reader, part| reader.name(part, 1));
        let called = names.first().and_then(full_name);
        let given = self.reader.all(nk1, 33, |reader, part| reader.identifier(part, "NK1-33"));
        // Their number may be that of kin of several patients, each of whom has them apart.
        let number = given.iter().find(|number| !is_no_number(number));
        let Some(about) = number.map(key).or(called) else {
            self.reader.note(nk1.field(2));
            self.reader.note(nk1.field(33));
            return;
        };
        nk1.field(1).text();
        let mut person = Object::of("RelatedPerson");
        let known_by = self.derived("NK1", &[Some(about)]);
        person.list("identifier", given.into_iter().chain(known_by.clone()).collect());
        person.set("patient", patient);
        person.push("relationship", self.reader.tabled(nk1.field(3), "0063"));
        person.push("relationship", self.reader.tabled(nk1.field(7), "0131"));
        person.list("name", names);
        person.list("telecom", self.telecoms(nk1, 5, 6));
        person.put("gender", self.reader.code(nk1.field(15), table::gender));
        person.put("birthDate", self.reader.date(nk1.field(16)));
        person.list("address", self.reader.all(nk1, 4, |reader, part| reader.address(part)));
        person.put("period", self.reader.period(nk1.field(8), nk1.field(9)));
        self.entries.add(person, known_by.as_ref(), self.as_newest());
    }

    pub(super) fn insurance(&mut self, in1: Segment<'m>) {
        let Some(patient) = self.refer(self.patient) else { return };
        let plan = self.reader.text(in1.field(2).component(1));
        let member = self.reader.text(in1.field(49).component(1));
        let policy = self.reader.text(in1.field(36));
        let subscriber = member.or_else(|| policy.clone());
        let about = [plan, self.reader.text(in1.field(3)), policy];
        let is_named = self.reader.text(in1.field(4)).is_some() || subscriber.is_some();
        // A Coverage by nobody and of nothing; what is sent of it is listed.
        if !is_named && about.iter().all(Option::is_none) {
            self.reader.note(in1.field(2));
            return;
        }
        in1.field(1).text();
        let mut coverage = Object::of("Coverage");
        let known_by = self.derived("IN1", &about);
        coverage.push("identifier", known_by.clone());
        coverage.set("status", "active");
        coverage.put("type", self.reader.tabled(in1.field(15), "0086"));
        coverage.put("subscriberId", subscriber);
        coverage.set("beneficiary", patient);
        let relation = self.reader.code(in1.field(17), table::subscriber_relationship);
        let relation =
            relation.map(|code| table::concept(&table::hl7("subscriber-relationship"), code));
        coverage.put("relationship", relation);
        coverage.put("period", self.reader.period(in1.field(12), in1.field(13)));
        coverage.push("payor", Some(self.payor(in1)));
        let classes = [
            ("group", in1.field(8), in1.field(9)),
            ("plan", in1.field(2), in1.field(2).component(2)),
        ];
        for (kind, value, name) in classes {
            let Some(value) = self.reader.text(value) else { continue };
            let mut class = Object::default();
            class.set("type", table::concept(&table::hl7("coverage-class"), kind));
            class.set("value", value);
            class.put("name", self.reader.text(name));
            coverage.push("class", Some(Value::from(class)));
        }
        self.entries.add(coverage, known_by.as_ref(), self.as_newest());
    }

    fn payor(&self, in1: Segment<'m>) -> Value {
        let identifier = self.reader.identifier(in1.field(3), "IN1-3");
        let name = self.reader.text(in1.field(4));
        let mut payor = Object::default();
        payor.set("type", "Organization");
        payor.put("identifier", identifier);
        payor.set("display", name.unwrap_or_else(|| "not named".to_string()));
        payor.into()
    }

    /// What a message about a person or visit says of the person is newer than what was said before.
    pub(super) fn as_newest(&self) -> Existing {
        if self.is_trigger(&["A08", "A31", "A03"]) { Existing::Replace } else { Existing::Keep }
    }
}

/// The day of the message (MSH-7), or of its reception.
pub(super) fn day(message: &Message, reception: &Reception<'_>) -> String {
    let sent = message.segment("MSH").and_then(|header| header.field(7).text());
    let sent = sent.and_then(|text| Time::parse(&text, None));
    sent.map_or_else(|| instant(reception.received_ms), |time| time.date().to_string())
}

/// A number by which a hospital knows its patients, as opposed to a passport or an insurance card.
fn is_record_number(identifier: &Value) -> bool {
    let code = identifier.pointer("/type/coding/0/code").and_then(Value::as_str);
    matches!(code, Some("MR" | "MRN" | "PI" | "PT"))
}

/// A number that may be of several people, or not of a patient (table 0203), or that is none.
pub(super) fn is_shared(identifier: &Value) -> bool {
    let code = identifier.pointer("/type/coding/0/code").and_then(Value::as_str);
    let is_of_others =
        code.is_some_and(|code| SHARED.contains(&code.to_ascii_uppercase().as_str()));
    is_of_others || is_no_number(identifier)
}

/// What senders write where there is no number.
pub(super) fn is_no_number(identifier: &Value) -> bool {
    let value = identifier.get("value").and_then(Value::as_str).unwrap_or_default();
    let letters = value.chars().filter(|letter| letter.is_alphanumeric());
    let plain: String = letters.map(|letter| letter.to_ascii_uppercase()).collect();
    let is_word = matches!(plain.as_str(), "UNKNOWN" | "UNK" | "NONE" | "NULL" | "NA");
    is_word || plain.chars().all(|letter| letter == '0')
}

/// The end (CX.8) is before `today`, as far as the end says.
pub(super) fn is_past(identifier: &Value, today: &str) -> bool {
    let end = identifier.pointer("/period/end").and_then(Value::as_str).unwrap_or(today);
    let day = end.split('T').next().unwrap_or_default();
    day < today.get(..day.len()).unwrap_or(today)
}

/// Table 0136.
pub(super) fn yes_or_no(code: &str) -> Option<bool> {
    match code {
        "Y" => Some(true),
        "N" => Some(false),
        _ => None,
    }
}

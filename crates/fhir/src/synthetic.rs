//! Patients who never lived, for demonstrations, tests and load.
//!
//! [`Synthetic::patient`] writes one life as a FHIR R4 transaction Bundle: check-ups over years with
//! vitals and laboratory panels, lasting problems and their medicines, short illnesses with a note, and
//! a psychiatric episode. Some have more to keep apart: alcohol, HIV, a therapist's notes.
//!
//! # Invariants
//!
//! * The same seed, index and time give the same bytes, on every machine.
//! * A patient has 30 to 90 resources, ordinary ones and at least one labelled `PSY`; every resource
//!   belongs to the patient, and every reference resolves inside the Bundle.
//! * Nothing lies after the time that was asked for.
//! * Decimals are whole numbers written with a point: no float takes part.
//!
//! Not here: statistics. Codes are real, frequencies are not; nothing about illness can be learnt.

mod catalogue;
mod random;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Number, Value, json};

use crate::{
    calendar::{self, DAY_SECONDS, day, instant},
    classify::{ACT_CODE, CONFIDENTIALITY},
};
use catalogue::{Coded, Illness, Measure, Problem};
use random::Random;

const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";
const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
const CVX: &str = "http://hl7.org/fhir/sid/cvx";
const UCUM: &str = "http://unitsofmeasure.org";
const HL7: &str = "http://terminology.hl7.org/CodeSystem";

const YEAR_DAYS: i64 = 365;

/// A sensitivity label of v3-ActCode; none for an ordinary resource.
type Label = Option<Coded>;
const PSY: Label = Some(("PSY", "psychiatry disorder information sensitivity"));
const PSYTHPN: Label = Some(("PSYTHPN", "psychotherapy note information sensitivity"));
const ETH: Label = Some(("ETH", "substance abuse information sensitivity"));
const HIV: Label = Some(("HIV", "HIV/AIDS information sensitivity"));

/// A population that a seed decides.
#[derive(Clone, Copy, Debug)]
pub struct Synthetic {
    seed: u64,
}

impl Synthetic {
    /// The population of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The life of patient number `index` up to `now_ms` (milliseconds since 1970, UTC).
    pub fn patient(&self, index: u64, now_ms: u64) -> Value {
        let mut life = Life::begin(Random::new(self.seed, index), calendar::seconds(now_ms));
        life.cover();
        life.allergies();
        life.check_ups();
        life.illnesses();
        life.procedures();
        life.psychiatry();
        if life.random.one_in(3) {
            life.alcohol();
        }
        if life.random.one_in(8) {
            life.hiv();
        }
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": life.entries })
    }
}

/// A Bundle while it is written.
struct Life {
    random: Random,
    now: i64,
    name: String,
    patient: Value,
    /// What a visit says of where it was and whom it was with.
    clinic: &'static str,
    clinician: &'static str,
    height_cm: u32,
    /// Weight in tenths of a kilogram.
    weight: u32,
    entries: Vec<Value>,
}

/// A visit to which other resources refer.
struct Visit {
    at: i64,
    encounter: Value,
    label: Label,
}

impl Life {
    fn begin(mut random: Random, now: i64) -> Self {
        let is_woman = random.one_in(2);
        let (low, high) = if is_woman { (150, 180) } else { (162, 196) };
        let height_cm = random.between(low, high);
        // A body mass index of 19.0 to 34.0, turned into tenths of a kilogram.
        let weight = random.between(190, 340) * height_cm * height_cm / 10_000;
        let clinic = *random.pick(&catalogue::CLINICS);
        let clinician = *random.pick(&catalogue::CLINICIANS);
        let mut life = Self {
            random,
            now,
            name: String::new(),
            patient: Value::Null,
            clinic,
            clinician,
            height_cm,
            weight,
            entries: Vec::new(),
        };
        life.person(is_woman);
        life
    }

    fn person(&mut self, is_woman: bool) {
        let region = self.random.pick(&catalogue::REGIONS);
        let given = *self.random.pick(if is_woman { region.women } else { region.men });
        let family = *self.random.pick(region.families);
        let city = *self.random.pick(region.cities);
        let age_days = i64::from(self.random.between(20 * 365, 88 * 365));
        let number = self.random.between(100_000, 999_999);
        let phone = self.random.between(0, 99);
        self.name = format!("{given} {family}");
        self.patient = self.add(
            "Patient",
            None,
            json!({
                "identifier": [{
                    "type": concept(&format!("{HL7}/v2-0203"), ("MR", "Medical record number")),
                    "system": "http://example.org/medical-record-number",
                    "value": format!("S{number}"),
                }],
                "active": true,
                "name": [{ "use": "official", "family": family, "given": [given] }],
                // Numbers 555-0100 to 555-0199 are kept for fiction.
                "telecom": [{ "system": "phone", "value": format!("555-01{phone:02}"), "use": "home" }],
                "gender": if is_woman { "female" } else { "male" },
                "birthDate": day(self.now - age_days * DAY_SECONDS),
                "address": [{ "use": "home", "city": city, "country": region.country }],
            }),
        );
    }

    fn cover(&mut self) {
        let insurer = *self.random.pick(&catalogue::INSURERS);
        let number = self.random.between(10_000_000, 99_999_999);
        let start = day(self.now - 6 * YEAR_DAYS * DAY_SECONDS);
        let body = json!({
            "status": "active",
            "subscriberId": format!("E{number}"),
            "beneficiary": self.patient,
            "period": { "start": start },
            "payor": [{ "display": insurer }],
        });
        self.add("Coverage", None, body);
    }

    fn allergies(&mut self) {
        let code = *self.random.pick(&catalogue::ALLERGIES);
        let is_high = self.random.one_in(3);
        let years = i64::from(self.random.between(4, 12));
        let body = json!({
            "clinicalStatus": status("allergyintolerance-clinical", "active"),
            "verificationStatus": status("allergyintolerance-verification", "confirmed"),
            "criticality": if is_high { "high" } else { "low" },
            "code": concept(SNOMED, code),
            "patient": self.patient,
            "recordedDate": day(self.now - years * YEAR_DAYS * DAY_SECONDS),
        });
        self.add("AllergyIntolerance", None, body);
    }

    /// Three to six yearly check-ups, lasting problems found in the first.
    fn check_ups(&mut self) {
        let count = self.random.between(3, 6);
        for number in 0..count {
            let years_ago = count - number - 1;
            let at = self.office_hour(years_ago * 365 + 20, years_ago * 365 + 60);
            let visit = self.visit(at, ("185349003", "Encounter for check up"), None);
            if number == 0 {
                self.lasting_problems(&visit);
                let height = quantity(self.height_cm, 0, "cm");
                self.vital(&visit, catalogue::HEIGHT, height);
            }
            self.vitals(&visit);
            self.vaccination(&visit);
            if number % 2 == 0 {
                self.panel(&visit);
            }
        }
    }

    fn lasting_problems(&mut self, visit: &Visit) {
        let count = self.random.between(1, 3);
        // Neighbours in the catalogue, so that no problem is found twice.
        let first = self.random.between(0, catalogue::CHRONIC.len() as u32 - 1);
        for next in first..first + count {
            let problem = &catalogue::CHRONIC[next as usize % catalogue::CHRONIC.len()];
            self.treated(visit, problem);
        }
    }

    fn treated(&mut self, visit: &Visit, problem: &Problem) {
        let condition = self.condition(visit, problem.code, "active");
        self.prescription(visit, problem.medicine, problem.dose, &condition);
    }

    fn vitals(&mut self, visit: &Visit) {
        self.weight = (self.weight + self.random.between(0, 40)).saturating_sub(20);
        let index = self.weight * 10_000 / (self.height_cm * self.height_cm);
        self.vital(visit, catalogue::WEIGHT, quantity(self.weight, 1, "kg"));
        self.vital(visit, catalogue::BODY_MASS_INDEX, quantity(index, 1, "kg/m2"));
        let rate = self.measured(&catalogue::HEART_RATE);
        self.vital(visit, catalogue::HEART_RATE.code, rate);
        let systolic = self.random.between(104, 152);
        let diastolic = systolic * 6 / 10 + self.random.between(0, 12);
        let component = |code, value| {
            let value = quantity(value, 0, "mm[Hg]");
            json!({ "code": concept(LOINC, code), "valueQuantity": value })
        };
        let body = json!({ "component": [
            component(catalogue::SYSTOLIC, systolic),
            component(catalogue::DIASTOLIC, diastolic),
        ]});
        self.observation(visit, "vital-signs", catalogue::BLOOD_PRESSURE, body);
    }

    fn vaccination(&mut self, visit: &Visit) {
        let code = *self.random.pick(&catalogue::VACCINES);
        let body = json!({
            "status": "completed",
            "vaccineCode": concept(CVX, code),
            "patient": self.patient,
            "encounter": visit.encounter,
            "occurrenceDateTime": instant(visit.at),
            "primarySource": true,
        });
        self.add("Immunization", visit.label, body);
    }

    fn panel(&mut self, visit: &Visit) {
        let panel = self.random.pick(&catalogue::PANELS);
        let results: Vec<_> = panel
            .measures
            .iter()
            .map(|measure| {
                let value = self.measured(measure);
                let body = json!({ "valueQuantity": value });
                self.observation(visit, "laboratory", measure.code, body)
            })
            .collect();
        let body = json!({
            "status": "final",
            "category": [concept(&format!("{HL7}/v2-0074"), ("LAB", "Laboratory"))],
            "code": concept(LOINC, panel.code),
            "subject": self.patient,
            "encounter": visit.encounter,
            "effectiveDateTime": instant(visit.at),
            "issued": instant(visit.at + 3_600),
            "result": results,
        });
        self.add("DiagnosticReport", visit.label, body);
    }

    fn illnesses(&mut self) {
        for _ in 0..self.random.between(1, 3) {
            let illness = self.random.pick(&catalogue::ACUTE);
            let at = self.office_hour(10, 1_800);
            self.illness(at, illness);
        }
    }

    fn illness(&mut self, at: i64, illness: &Illness) {
        let visit = self.visit(at, ("185345009", "Encounter for symptom"), None);
        let condition = self.condition(&visit, illness.code, "resolved");
        if let Some(medicine) = illness.medicine {
            self.prescription(&visit, medicine, "As discussed in the visit", &condition);
        }
        let text =
            format!("{}\n\n{}\n\nPlan: {}\n", illness.code.1, illness.complaint, illness.plan);
        self.note(&visit, Some(("11506-3", "Progress note")), "Progress note", &text);
    }

    fn procedures(&mut self) {
        for _ in 0..self.random.between(1, 2) {
            let code = *self.random.pick(&catalogue::PROCEDURES);
            let at = self.office_hour(30, 1_800);
            let body = json!({
                "status": "completed",
                "code": concept(SNOMED, code),
                "subject": self.patient,
                "performedPeriod": { "start": instant(at), "end": instant(at + 2_700) },
                "performer": [{ "actor": { "display": self.clinician } }],
            });
            self.add("Procedure", None, body);
        }
    }

    /// Every patient has one such episode, so that a demonstration always has something to keep apart.
    fn psychiatry(&mut self) {
        let at = self.office_hour(40, 1_200);
        let visit = self.visit(at, ("185317003", "Telephone encounter"), PSY);
        let problem = self.random.pick(&catalogue::PSYCHIATRIC);
        self.score(&visit, &catalogue::PHQ_9);
        self.treated(&visit, problem);
        let text = format!(
            "Psychiatric consultation\n\n{}. Low mood and poor sleep for three months. No thoughts of \
             self-harm.\n\nPlan: {}; review in four weeks.\n",
            problem.code.1, problem.medicine.1
        );
        self.note(
            &visit,
            Some(("34788-0", "Psychiatry Consult note")),
            "Psychiatry consult",
            &text,
        );
        if self.random.one_in(2) {
            let visit = Visit { label: PSYTHPN, ..visit };
            let text = "Session notes, kept by the therapist only.\n\nSpoke at length of the father's \
                        death and of the quarrel that was never settled.\n";
            self.note(&visit, None, "Psychotherapy notes", text);
        }
    }

    fn alcohol(&mut self) {
        let at = self.office_hour(60, 1_500);
        let visit = self.visit(at, ("185345009", "Encounter for symptom"), ETH);
        self.condition(&visit, catalogue::ALCOHOL, "remission");
        self.score(&visit, &catalogue::AUDIT_C);
    }

    fn hiv(&mut self) {
        let at = self.office_hour(60, 1_500);
        let visit = self.visit(at, ("185349003", "Encounter for check up"), HIV);
        self.condition(&visit, catalogue::HIV, "active");
        let value = self.measured(&catalogue::VIRAL_LOAD);
        let body = json!({ "valueQuantity": value });
        self.observation(&visit, "laboratory", catalogue::VIRAL_LOAD.code, body);
    }

    fn score(&mut self, visit: &Visit, measure: &Measure) {
        let value = self.measured(measure);
        self.observation(visit, "survey", measure.code, json!({ "valueQuantity": value }));
    }

    fn visit(&mut self, at: i64, reason: Coded, label: Label) -> Visit {
        let minutes = i64::from(self.random.between(2, 8)) * 5;
        let body = json!({
            "status": "finished",
            "class": { "system": ACT_CODE, "code": "AMB", "display": "ambulatory" },
            "type": [concept(SNOMED, reason)],
            "subject": self.patient,
            "participant": [{ "individual": { "display": self.clinician } }],
            "period": { "start": instant(at), "end": instant(at + minutes * 60) },
            "serviceProvider": { "display": self.clinic },
        });
        Visit { at, encounter: self.add("Encounter", label, body), label }
    }

    fn condition(&mut self, visit: &Visit, code: Coded, clinical_status: &str) -> Value {
        let body = json!({
            "clinicalStatus": status("condition-clinical", clinical_status),
            "verificationStatus": status("condition-ver-status", "confirmed"),
            "code": concept(SNOMED, code),
            "subject": self.patient,
            "encounter": visit.encounter,
            "onsetDateTime": day(visit.at),
            "recordedDate": day(visit.at),
        });
        self.add("Condition", visit.label, body)
    }

    fn prescription(&mut self, visit: &Visit, medicine: Coded, dose: &str, reason: &Value) {
        let body = json!({
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": concept(RXNORM, medicine),
            "subject": self.patient,
            "encounter": visit.encounter,
            "authoredOn": instant(visit.at),
            "requester": { "display": self.clinician },
            "reasonReference": [reason],
            "dosageInstruction": [{ "text": dose }],
        });
        self.add("MedicationRequest", visit.label, body);
    }

    fn vital(&mut self, visit: &Visit, code: Coded, value: Value) {
        self.observation(visit, "vital-signs", code, json!({ "valueQuantity": value }));
    }

    fn observation(&mut self, visit: &Visit, category: &str, code: Coded, value: Value) -> Value {
        let mut body = json!({
            "status": "final",
            "category": [status("observation-category", category)],
            "code": concept(LOINC, code),
            "subject": self.patient,
            "encounter": visit.encounter,
            "effectiveDateTime": instant(visit.at),
        });
        extend(&mut body, value);
        self.add("Observation", visit.label, body)
    }

    fn note(&mut self, visit: &Visit, code: Option<Coded>, title: &str, text: &str) {
        let date = day(visit.at);
        let text = format!("{}\n{date}, {}, {}\n\n{text}", self.name, self.clinician, self.clinic);
        let kind = match code {
            Some(code) => concept(LOINC, code),
            None => json!({ "text": title }),
        };
        let body = json!({
            "status": "current",
            "type": kind,
            "subject": self.patient,
            "date": instant(visit.at),
            "author": [{ "display": self.clinician }],
            "description": title,
            "content": [{ "attachment": {
                "contentType": "text/plain; charset=utf-8",
                "data": BASE64_STANDARD.encode(&text),
                "size": text.len(),
                "title": title,
                "creation": instant(visit.at),
            }}],
            "context": { "encounter": [visit.encounter] },
        });
        self.add("DocumentReference", visit.label, body);
    }

    fn measured(&mut self, measure: &Measure) -> Value {
        quantity(self.random.between(measure.low, measure.high), measure.places, measure.unit)
    }

    /// A quarter of an hour between 08:00 and 16:45 UTC, some days of that range before now.
    fn office_hour(&mut self, days_min: u32, days_max: u32) -> i64 {
        let days_ago = i64::from(self.random.between(days_min, days_max));
        let midnight = self.now.div_euclid(DAY_SECONDS) * DAY_SECONDS;
        midnight - days_ago * DAY_SECONDS + i64::from(self.random.between(32, 67)) * 900
    }

    /// Adds a resource and returns a reference to it.
    fn add(&mut self, resource_type: &str, label: Label, body: Value) -> Value {
        let id = self.random.uuid();
        let full_url = format!("urn:uuid:{id}");
        let mut resource = json!({ "resourceType": resource_type, "id": id, "meta": meta(label) });
        extend(&mut resource, body);
        self.entries.push(json!({
            "fullUrl": full_url,
            "resource": resource,
            "request": { "method": "POST", "url": resource_type },
        }));
        json!({ "reference": full_url })
    }
}

fn meta(label: Label) -> Value {
    let tag = json!([{ "system": "http://example.org/tags", "code": "synthetic" }]);
    match label {
        None => json!({ "tag": tag }),
        Some((code, display)) => json!({
            "security": [
                { "system": CONFIDENTIALITY, "code": "R", "display": "restricted" },
                { "system": ACT_CODE, "code": code, "display": display },
            ],
            "tag": tag,
        }),
    }
}

fn extend(resource: &mut Value, body: Value) {
    if let (Value::Object(resource), Value::Object(mut body)) = (resource, body) {
        resource.append(&mut body);
    }
}

fn concept(system: &str, (code, display): Coded) -> Value {
    json!({ "coding": [{ "system": system, "code": code, "display": display }], "text": display })
}

/// A concept of one of HL7's own small code systems.
fn status(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": format!("{HL7}/{system}"), "code": code }] })
}

/// `value` divided by ten to the power of `places`, in a UCUM unit.
fn quantity(value: u32, places: u32, unit: &str) -> Value {
    let mut quantity = Map::new();
    quantity.insert("value".to_string(), Value::Number(decimal(value, places)));
    quantity.insert("unit".to_string(), unit.into());
    quantity.insert("system".to_string(), UCUM.into());
    quantity.insert("code".to_string(), unit.into());
    Value::Object(quantity)
}

fn decimal(value: u32, places: u32) -> Number {
    let scale = 10_u32.pow(places);
    let digits = match places {
        0 => value.to_string(),
        _ => format!("{}.{:02$}", value / scale, value % scale, places as usize),
    };
    digits.parse().expect("digits around one point are a JSON number")
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::decimal;

    #[test]
    fn decimals_keep_their_places() {
        for (value, places, text) in
            [(713, 1, "71.3"), (700, 1, "70.0"), (105, 2, "1.05"), (5, 2, "0.05"), (140, 0, "140")]
        {
            assert_eq!(decimal(value, places).to_string(), text);
        }
    }
}

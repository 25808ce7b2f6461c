//! Allergies as AllergyIntolerance, and problems and diagnoses as Condition.

use alloc::vec::Vec;

use keepwell_fhir::draft::{Handle, Object};
use serde_json::{Value, json};

use super::{
    Mapper, What, Why, about_patient, code_key, coded, concept, is_negated, of_mood, status,
};
use crate::document::Element;

const SNOMED: &str = "http://snomed.info/sct";
const ABATEMENT: &str = "http://hl7.org/fhir/StructureDefinition/allergyintolerance-abatement";
const ABSENT: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";
const ALLERGY: &str = "2.16.840.1.113883.10.20.22.4.7";
const PROBLEM: &str = "2.16.840.1.113883.10.20.22.4.4";
const REACTION: &str = "2.16.840.1.113883.10.20.22.4.9";
const SEVERITY: &str = "2.16.840.1.113883.10.20.22.4.8";
const CRITICALITY: &str = "2.16.840.1.113883.10.20.22.4.145";
const STATUSES: [&str; 2] = ["2.16.840.1.113883.10.20.22.4.28", "2.16.840.1.113883.10.20.22.4.6"];
const AGE: &str = "2.16.840.1.113883.10.20.22.4.31";
/// Codes that say already that something is not known: negated, they would say nothing that anybody meant.
const NO_KNOWN: [&str; 8] = [
    "716186003",
    "409137002",
    "429625007",
    "428607008",
    "1003774007",
    "160244002",
    "160245001",
    "787481004",
];
/// Codes of problems as such: negated, that there are none.
const ANY_PROBLEM: [&str; 6] =
    ["55607006", "64572001", "404684003", "282291009", "29308-4", "ASSERTION"];

impl<'d> Mapper<'d> {
    /// A concern, each of whose observations is a resource of its own.
    pub(super) fn concern(&mut self, concern: Element<'d>, what: What, whys: &mut Vec<Why>) {
        let root = if what == What::AllergyConcern { ALLERGY } else { PROBLEM };
        if is_negated(concern) {
            return whys.push(Why::Negated);
        }
        let inner = concern.all("entryRelationship").flat_map(Element::children);
        let mut count = 0;
        for observation in inner.filter(|it| it.follows(root)) {
            count += 1;
            let done = match about_patient(observation, what) {
                Err(why) => Err(why),
                Ok(()) if what == What::AllergyConcern => self.allergy(observation, Some(concern)),
                Ok(()) => self.problem(observation, Some(concern)),
            };
            whys.extend(done.err());
        }
        if count == 0 {
            whys.push(Why::NoPlace);
        }
    }

    pub(super) fn allergy(
        &mut self,
        observation: Element<'d>,
        concern: Option<Element<'d>>,
    ) -> Result<Handle, Why> {
        of_mood(observation, &["EVN"])?;
        let value = observation.child("value");
        let kind = value.and_then(|it| it.attribute("code")).unwrap_or_default();
        let negated = is_negated(observation);
        let allergen = self.allergen(observation);
        // An allergen without a code and without words is none.
        let (code, verification) = match (allergen, negated) {
            _ if negated && NO_KNOWN.contains(&kind) => return Err(Why::Negated),
            (Some(code), true) if is_no_known(&code) => return Err(Why::Negated),
            (Some(code), true) => (code, "refuted"),
            (Some(code), false) => (code, "confirmed"),
            (None, true) => (no_known_allergy(kind).ok_or(Why::Negated)?, "confirmed"),
            (None, false) => {
                let code = value.and_then(|it| self.reader.concept(it)).ok_or(Why::NoCode)?;
                // That there is some allergy says nothing; a code that names one, or that there is none, does.
                if allergy_kind(kind).is_some() {
                    return Err(Why::NoCode);
                }
                (code, "confirmed")
            }
        };
        let mut allergy = Object::of("AllergyIntolerance");
        let verification = if self.is_nullified(observation, concern)? {
            "entered-in-error"
        } else {
            verification
        };
        let ended = observation.child("effectiveTime").and_then(|it| self.reader.end(it));
        let clinical = match (verification, self.clinical_status(observation, concern)) {
            ("entered-in-error", _) => None,
            ("refuted", _) => Some("inactive"),
            _ if is_no_known(&code) => Some("active"),
            (_, Some("resolved")) => Some("resolved"),
            (_, Some("active" | "recurrence" | "relapse")) => Some("active"),
            (_, Some(_)) => Some("inactive"),
            (_, None) if ended.is_some() => Some("resolved"),
            (_, None) => Some("active"),
        };
        let clinical = clinical.map(|it| concept("allergyintolerance-clinical", it));
        allergy.put("clinicalStatus", clinical);
        allergy.set("verificationStatus", concept("allergyintolerance-verification", verification));
        if let Some((kind, category)) = allergy_kind(kind) {
            allergy.put("type", kind);
            allergy.push("category", category);
        }
        allergy.put("criticality", self.criticality(observation));
        let about = code_key(&code);
        allergy.set("code", code);
        allergy.put("patient", self.subject());
        let onset = observation.child("effectiveTime").and_then(|it| self.reader.start(it));
        allergy.put("onsetDateTime", onset);
        if let Some(ended) = ended {
            let extension = json!({ "url": ABATEMENT, "valueDateTime": ended });
            allergy.push("extension", Some(extension));
        }
        self.recorded(&mut allergy, observation, concern);
        if verification == "confirmed" {
            self.reactions(&mut allergy, observation);
        }
        self.notes(&mut allergy, observation);
        self.add(allergy, observation, &[about])
    }

    fn allergen(&self, observation: Element<'d>) -> Option<Value> {
        let consumed = |it: &Element<'_>| it.attribute("typeCode") == Some("CSM");
        let participant = observation.all("participant").find(consumed)?;
        let entity = participant.at(&["participantRole", "playingEntity"])?;
        let code = entity.child("code").and_then(|it| self.reader.concept(it));
        let name = || {
            let name = entity.child("name").and_then(|it| self.reader.text(it));
            name.map(|it| json!({ "text": it }))
        };
        code.or_else(name)
    }

    /// The substances' reactions; a severity of the whole is that of each reaction without one.
    fn reactions(&self, allergy: &mut Object, observation: Element<'d>) {
        let of_all = self.severity(observation);
        for found in self.related(observation, REACTION) {
            let mut reaction = Object::default();
            let manifestation = found.child("value").and_then(|it| self.reader.concept(it));
            let Some(manifestation) = manifestation else {
                self.reader.note();
                continue;
            };
            reaction.push("manifestation", Some(manifestation));
            reaction.put("description", found.child("text").and_then(|it| self.reader.text(it)));
            let began = found.child("effectiveTime").and_then(|it| self.reader.start(it));
            reaction.put("onset", began);
            reaction.put("severity", self.severity(found).or(of_all));
            allergy.push("reaction", reaction.some());
        }
        if of_all.is_some() && !allergy.has("reaction") {
            self.reader.note();
        }
    }

    fn severity(&self, statement: Element<'d>) -> Option<&'static str> {
        let found = self.related(statement, SEVERITY).into_iter().next()?;
        let severity = match found.child("value")?.attribute("code")? {
            "255604002" => Some("mild"),
            "6736007" | "371923003" => Some("moderate"),
            "24484000" | "371924009" | "399166001" => Some("severe"),
            _ => None,
        };
        if severity.is_none() {
            self.reader.note();
        }
        severity
    }

    fn criticality(&self, statement: Element<'d>) -> Option<&'static str> {
        let found = self.related(statement, CRITICALITY).into_iter().next()?;
        let criticality = match found.child("value")?.attribute("code")? {
            "CRITL" => Some("low"),
            "CRITH" => Some("high"),
            "CRITU" => Some("unable-to-assess"),
            _ => None,
        };
        if criticality.is_none() {
            self.reader.note();
        }
        criticality
    }

    pub(super) fn problem(
        &mut self,
        observation: Element<'d>,
        concern: Option<Element<'d>>,
    ) -> Result<Handle, Why> {
        of_mood(observation, &["EVN"])?;
        let value = observation.child("value").ok_or(Why::NoCode)?;
        let code = self.reader.concept(value);
        let negated = is_negated(observation);
        let is_any = value.attribute("code").is_none_or(|it| ANY_PROBLEM.contains(&it));
        let (code, verification) = match (code, negated) {
            (Some(code), true) if is_no_known(&code) => return Err(Why::Negated),
            // No problem at all is something that FHIR has a code for.
            (_, true) if is_any && value.child("originalText").is_none() => {
                (coded(SNOMED, "160245001"), "confirmed")
            }
            (Some(code), true) => (code, "refuted"),
            (Some(code), false) => (code, "confirmed"),
            (None, _) => return Err(Why::NoCode),
        };
        let verification = if self.is_nullified(observation, concern)? {
            "entered-in-error"
        } else {
            verification
        };
        let mut condition = Object::of("Condition");
        let said = self.clinical_status(observation, concern);
        let time = observation.child("effectiveTime");
        let ended = time.and_then(|it| self.reader.end(it));
        let high = time.and_then(|it| it.child("high"));
        let is_over = ended.is_some() || high.and_then(|it| it.null_flavor()) == Some("UNK");
        let clinical = match (verification, said) {
            ("entered-in-error", _) => None,
            ("refuted", _) => Some("inactive"),
            (_, Some(said)) => Some(said),
            (_, None) if is_over => Some("resolved"),
            (_, None) => Some("active"),
        };
        condition.put("clinicalStatus", clinical.map(|it| concept("condition-clinical", it)));
        condition.set("verificationStatus", concept("condition-ver-status", verification));
        condition.push("category", Some(concept("condition-category", self.category(concern))));
        let severity = self.related(observation, SEVERITY).into_iter().next();
        let severity = severity.and_then(|it| self.reader.concept(it.child("value")?));
        condition.put("severity", severity);
        let about = code_key(&code);
        condition.set("code", code);
        for site in observation.all("targetSiteCode") {
            condition.push("bodySite", self.reader.concept(site));
        }
        condition.put("subject", self.subject());
        self.onset(&mut condition, observation);
        let may_be_over = matches!(clinical, Some("inactive" | "resolved" | "remission"));
        match ended {
            Some(ended) if may_be_over => condition.set("abatementDateTime", ended),
            // FHIR's Condition cannot be active and over.
            Some(_) => self.reader.note(),
            None if is_over && may_be_over => {
                let extension = json!([{ "url": ABSENT, "valueCode": "unknown" }]);
                condition.set("_abatementDateTime", json!({ "extension": extension }));
            }
            None => {}
        }
        self.recorded(&mut condition, observation, concern);
        self.notes(&mut condition, observation);
        self.add(condition, observation, &[about])
    }

    fn onset(&self, condition: &mut Object, observation: Element<'d>) {
        let began = observation.child("effectiveTime").and_then(|it| self.reader.start(it));
        if let Some(began) = began {
            return condition.set("onsetDateTime", began);
        }
        let age = self.related(observation, AGE).into_iter().next();
        let age = age.and_then(|it| self.reader.quantity(it.child("value")?));
        condition.put("onsetAge", age.and_then(Object::some));
    }

    fn category(&self, concern: Option<Element<'d>>) -> &'static str {
        let of_visit = ["46240-8", "11535-2", "46241-6", "29308-4"];
        let is_diagnosis = concern.is_some_and(|it| {
            ["80", "33"].iter().any(|last| {
                it.templates()
                    .any(|root| root.strip_prefix("2.16.840.1.113883.10.20.22.4.") == Some(last))
            })
        });
        if is_diagnosis || of_visit.contains(&self.section) {
            "encounter-diagnosis"
        } else {
            "problem-list-item"
        }
    }

    /// The status that an observation of it gives, or else its concern; nothing where none is known.
    fn clinical_status(
        &self,
        observation: Element<'d>,
        concern: Option<Element<'d>>,
    ) -> Option<&'static str> {
        let told = STATUSES.iter().find_map(|root| {
            self.related(observation, root).into_iter().next()?.child("value")?.attribute("code")
        });
        if let Some(code) = told {
            let status = match code {
                "55561003" => Some("active"),
                "73425007" => Some("inactive"),
                "246455001" => Some("recurrence"),
                "263855007" => Some("relapse"),
                "277022003" => Some("remission"),
                "413322009" => Some("resolved"),
                _ => None,
            };
            if status.is_none() {
                self.reader.note();
            }
            return status;
        }
        match concern.map(status) {
            Some("active") => {
                // The concern is open; of the problem itself the times say more.
                let time = observation.child("effectiveTime")?;
                time.child("high")
                    .is_none_or(|it| it.null_flavor() == Some("NI"))
                    .then_some("active")
            }
            Some("completed" | "suspended" | "aborted") => Some("inactive"),
            _ => None,
        }
    }

    /// Whether it was told in error; a status by which nothing is said has no place.
    fn is_nullified(
        &self,
        observation: Element<'d>,
        concern: Option<Element<'d>>,
    ) -> Result<bool, Why> {
        match (status(observation), concern.map(status)) {
            ("nullified", _) | (_, Some("nullified")) => Ok(true),
            ("aborted" | "cancelled", _) | (_, Some("cancelled")) => Err(Why::Status),
            _ => Ok(false),
        }
    }

    fn recorded(
        &self,
        resource: &mut Object,
        observation: Element<'d>,
        concern: Option<Element<'d>>,
    ) {
        let (mut who, mut when) = self.written(&[observation]);
        if let Some(concern) = concern.filter(|_| who.is_none() && when.is_none()) {
            (who, when) = self.written(&[concern]);
        }
        resource.put("recordedDate", when);
        resource.put("recorder", who);
    }
}

/// Whether a code says that something is not known to be.
fn is_no_known(concept: &Value) -> bool {
    let codings = concept.get("coding").and_then(Value::as_array).into_iter().flatten();
    let mut codes = codings.filter_map(|it| it.get("code").and_then(Value::as_str));
    codes.any(|it| NO_KNOWN.contains(&it))
}

/// That a patient has no allergy of a kind.
fn no_known_allergy(kind: &str) -> Option<Value> {
    let code = match kind {
        "419199007" | "420134006" | "418038007" | "609433001" | "" => "716186003",
        "416098002" | "419511003" | "59037007" => "409137002",
        "414285001" | "418471000" | "235719002" => "429625007",
        "426232007" => "428607008",
        _ => return None,
    };
    Some(coded(SNOMED, code))
}

/// Type and category of a kind of allergy.
fn allergy_kind(kind: &str) -> Option<(Option<&'static str>, Option<&'static str>)> {
    Some(match kind {
        "416098002" => (Some("allergy"), Some("medication")),
        "419511003" => (None, Some("medication")),
        "59037007" => (Some("intolerance"), Some("medication")),
        "414285001" => (Some("allergy"), Some("food")),
        "418471000" => (None, Some("food")),
        "235719002" => (Some("intolerance"), Some("food")),
        "426232007" => (Some("allergy"), Some("environment")),
        "419199007" => (Some("allergy"), None),
        "418038007" | "420134006" | "609433001" => (None, None),
        _ => return None,
    })
}

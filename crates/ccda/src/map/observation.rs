//! Results, vital signs and social history as Observation, a result's organizer as DiagnosticReport, that of vital signs
//! as a panel, and family history as FamilyMemberHistory.

use alloc::{string::ToString, vec::Vec};

use keepwell_fhir::draft::{Handle, Object};
use serde_json::{Value, json};

use super::{Mapper, What, Why, about_patient, code_key, concept, is_negated, of_mood, status};
use crate::{document::Element, value::absent};

const AGE: &str = "2.16.840.1.113883.10.20.22.4.31";
const DEATH: &str = "2.16.840.1.113883.10.20.22.4.47";
const FAMILY_CONDITION: &str = "2.16.840.1.113883.10.20.22.4.46";
/// The answer to this question is in the code of the observation itself in older documents.
const SMOKING: &str = "72166-2";

impl<'d> Mapper<'d> {
    /// A battery of results, or a set of vital signs.
    pub(super) fn organizer(&mut self, organizer: Element<'d>, whys: &mut Vec<Why>) {
        let is_vital = organizer.templates().any(|it| What::of(it) == Some(What::VitalSigns));
        let (what, category) =
            if is_vital { (What::VitalSign, "vital-signs") } else { (What::Result, "laboratory") };
        if is_negated(organizer) {
            return whys.push(Why::Negated);
        }
        if let Err(why) = of_mood(organizer, &["EVN"]) {
            return whys.push(why);
        }
        let (mut members, mut count) = (Vec::new(), 0);
        for component in organizer.all("component") {
            for inner in component.children() {
                // Of a specimen or procedure of the battery nothing is told but its times.
                let is_of_kind = inner.templates().any(|it| What::of(it) == Some(what));
                if inner.name() != "observation" || !is_of_kind {
                    whys.push(Why::NoPlace);
                    continue;
                }
                count += 1;
                let done = about_patient(inner, what)
                    .and_then(|()| self.observation_of(inner, category, Some(organizer)));
                match done {
                    Ok(handle) => members.push(handle),
                    Err(why) => whys.push(why),
                }
            }
        }
        let done = match (count, members.is_empty(), is_vital) {
            (0, ..) => Err(Why::NoPlace),
            // What is left of each is told already.
            (_, true, _) => return,
            (_, _, true) => self.panel(organizer, &members),
            (_, _, false) => self.report(organizer, &members),
        };
        whys.extend(done.err());
    }

    fn members(&self, members: &[Handle]) -> Vec<Value> {
        members.iter().map(|it| self.entries.reference(*it)).collect()
    }

    fn panel(&mut self, organizer: Element<'d>, members: &[Handle]) -> Result<Handle, Why> {
        let mut panel = Object::of("Observation");
        panel.set("status", observation_status(status(organizer)).ok_or(Why::Status)?);
        panel.push("category", Some(concept("observation-category", "vital-signs")));
        // Older documents call it a cluster of vital signs of SNOMED CT; LOINC's panel is what FHIR knows.
        let sent = organizer.child("code").and_then(|it| self.reader.concept(it));
        let is_panel = sent.as_ref().is_some_and(|it| it.to_string().contains("\"85353-1\""));
        let mut code = sent.unwrap_or_else(|| json!({}));
        if let Some(object) = code.as_object_mut().filter(|_| !is_panel) {
            let list = object.entry("coding").or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.insert(0, json!({ "system": "http://loinc.org", "code": "85353-1" }));
            }
        }
        panel.set("code", code);
        panel.put("subject", self.subject());
        let time = organizer.child("effectiveTime");
        let when = time.and_then(|it| self.reader.start(it));
        self.reader.when(&mut panel, "effective", time);
        panel.list("hasMember", self.members(members));
        self.add(panel, organizer, &[Some("85353-1".to_string()), when])
    }

    fn report(&mut self, organizer: Element<'d>, members: &[Handle]) -> Result<Handle, Why> {
        let mut report = Object::of("DiagnosticReport");
        let status = match status(organizer) {
            "completed" => "final",
            "active" | "held" | "suspended" => "registered",
            "aborted" | "cancelled" => "cancelled",
            "nullified" => "entered-in-error",
            "" => "unknown",
            _ => return Err(Why::Status),
        };
        report.set("status", status);
        report.push("category", Some(concept("v2-0074", "LAB")));
        let code = organizer.child("code").and_then(|it| self.reader.concept(it));
        let code = code.ok_or(Why::NoCode)?;
        let about = code_key(&code);
        report.set("code", code);
        report.put("subject", self.subject());
        let time = organizer.child("effectiveTime");
        let mut when = time.and_then(|it| self.reader.start(it));
        self.reader.when(&mut report, "effective", time);
        if !report.has("effectiveDateTime") && !report.has("effectivePeriod") {
            // A battery without a time has that of its first result.
            when = members.first().and_then(|it| {
                let member = self.entries.resource(*it);
                let at = member.value("effectiveDateTime").and_then(Value::as_str);
                at.map(ToString::to_string)
            });
            report.put("effectiveDateTime", when.clone());
        }
        report.list("performer", self.performers(organizer));
        report.list("result", self.members(members));
        self.add(report, organizer, &[about, when])
    }

    pub(super) fn observation(
        &mut self,
        observation: Element<'d>,
        category: &str,
    ) -> Result<Handle, Why> {
        self.observation_of(observation, category, None)
    }

    fn observation_of(
        &mut self,
        statement: Element<'d>,
        category: &str,
        organizer: Option<Element<'d>>,
    ) -> Result<Handle, Why> {
        of_mood(statement, &["EVN"])?;
        // That a value was not found, or that nobody looked: the two are not told apart.
        if is_negated(statement) {
            return Err(Why::Negated);
        }
        let mut observation = Object::of("Observation");
        let said = match status(statement) {
            "" => organizer.map(status).unwrap_or_default(),
            said => said,
        };
        observation.set("status", observation_status(said).ok_or(Why::Status)?);
        observation.push("category", Some(concept("observation-category", category)));
        let code = self.observed(statement).ok_or(Why::NoCode)?;
        let about = code_key(&code);
        observation.set("code", code);
        observation.put("subject", self.subject());
        let time = statement.child("effectiveTime").filter(|it| it.null_flavor().is_none());
        let time = time.or_else(|| organizer.and_then(|it| it.child("effectiveTime")));
        let when = time.and_then(|it| self.reader.start(it));
        self.reader.when(&mut observation, "effective", time);
        observation.list("performer", self.observers(statement));
        self.observed_value(&mut observation, statement)?;
        for interpretation in statement.all("interpretationCode") {
            observation.push("interpretation", self.reader.concept(interpretation));
        }
        self.notes(&mut observation, statement);
        let site = statement.child("targetSiteCode").and_then(|it| self.reader.concept(it));
        observation.put("bodySite", site);
        let method = statement.child("methodCode").and_then(|it| self.reader.concept(it));
        observation.put("method", method);
        for range in statement.all("referenceRange") {
            let range = range.child("observationRange").and_then(|it| self.reference_range(it));
            observation.push("referenceRange", range);
        }
        self.add(observation, statement, &[about, when])
    }

    /// What was observed: the code, or where it is only "assertion" and the like, the template's own question.
    fn observed(&self, statement: Element<'d>) -> Option<Value> {
        let code = statement.child("code");
        let is_assertion = code.is_none_or(|it| it.attribute("code") == Some("ASSERTION"));
        let is_smoking = statement.follows("2.16.840.1.113883.10.20.22.4.78");
        if is_smoking && is_assertion {
            return Some(json!({ "coding": [{ "system": "http://loinc.org", "code": SMOKING }] }));
        }
        code.and_then(|it| self.reader.concept(it))
    }

    fn observers(&self, statement: Element<'d>) -> Vec<Value> {
        let mut all = self.performers(statement);
        if all.is_empty() {
            all.extend(self.written(&[statement]).0);
        }
        all
    }

    fn observed_value(&self, observation: &mut Object, statement: Element<'d>) -> Result<(), Why> {
        let mut values = statement.all("value");
        let Some(value) = values.next() else { return Ok(()) };
        // Which of several is meant is not for a reader to choose.
        if values.next().is_some() {
            return Err(Why::Form);
        }
        let told = ["code", "value"].iter().any(|it| value.attribute(it).is_some());
        match value.null_flavor() {
            Some(null) if !told && value.children().next().is_none() => {
                observation.set("dataAbsentReason", absent(null));
            }
            _ => {
                self.reader.value(observation, "value", value);
                let has_value = VALUES.iter().any(|it| observation.has(it));
                if !has_value {
                    return Err(Why::Form);
                }
            }
        }
        Ok(())
    }

    fn reference_range(&self, range: Element<'d>) -> Option<Value> {
        let mut told = Object::default();
        let value = range.child("value");
        if let Some(value) =
            value.filter(|it| matches!(it.kind(), "IVL_PQ" | "IVL_REAL" | "IVL_INT"))
        {
            for end in ["low", "high"] {
                let end_of =
                    value.child(end).filter(|it| it.attribute("inclusive") != Some("false"));
                told.put(end, end_of.and_then(|it| self.reader.quantity(it)?.some()));
            }
        }
        let meaning = range.child("interpretationCode").and_then(|it| self.reader.concept(it));
        let text = range.child("text").and_then(|it| self.reader.text(it));
        let text = text.or_else(|| {
            let value = value.filter(|it| matches!(it.kind(), "ST" | "ED"))?;
            self.reader.text(value)
        });
        told.put("text", text);
        if !["low", "high", "text"].iter().any(|it| told.has(it)) {
            self.reader.note();
            return None;
        }
        // What is normal is what a range is of unless it says otherwise.
        told.push("appliesTo", meaning.filter(|it| !it.to_string().contains("\"code\":\"N\"")));
        told.some()
    }

    /// One relative and what they had.
    pub(super) fn family(&mut self, organizer: Element<'d>, whys: &mut Vec<Why>) {
        let done = self.relative(organizer, whys);
        whys.extend(done.err());
    }

    fn relative(&mut self, organizer: Element<'d>, whys: &mut Vec<Why>) -> Result<Handle, Why> {
        of_mood(organizer, &["EVN"])?;
        if is_negated(organizer) {
            return Err(Why::Negated);
        }
        let related = organizer.at(&["subject", "relatedSubject"]).ok_or(Why::OtherSubject)?;
        let mut history = Object::of("FamilyMemberHistory");
        let said = match status(organizer) {
            "completed" => "completed",
            "nullified" => "entered-in-error",
            "active" | "" => "partial",
            _ => return Err(Why::Status),
        };
        history.set("status", said);
        history.put("patient", self.subject());
        let relation = related.child("code").and_then(|it| self.reader.concept(it));
        let relation = relation.ok_or(Why::NoCode)?;
        let about = code_key(&relation);
        history.set("relationship", relation);
        let person = related.child("subject");
        let sex = person.and_then(|it| it.child("administrativeGenderCode"));
        history.put(
            "sex",
            sex.and_then(|it| it.attribute("code")).and_then(|it| match it {
                "M" => Some(concept("administrative-gender", "male")),
                "F" => Some(concept("administrative-gender", "female")),
                "UN" => Some(concept("administrative-gender", "other")),
                _ => None,
            }),
        );
        let born = person.and_then(|it| it.child("birthTime"));
        let born = born.and_then(|it| self.reader.time(it));
        history.put("bornDate", born.map(|it| it.date().to_string()));
        let mut is_dead = person
            .and_then(|it| it.added("deceasedInd"))
            .and_then(|it| it.attribute("value")?.parse::<bool>().ok());
        for found in organizer.all("component").flat_map(Element::children) {
            match self.family_condition(found) {
                Ok((condition, has_killed)) => {
                    history.push("condition", condition.some());
                    is_dead = is_dead.or(has_killed.then_some(true));
                }
                Err(why) => whys.push(why),
            }
        }
        history.put("deceasedBoolean", is_dead);
        if !history.has("condition") {
            return Err(Why::NoCode);
        }
        self.add(history, organizer, &[about])
    }

    fn family_condition(&self, found: Element<'d>) -> Result<(Object, bool), Why> {
        if !found.follows(FAMILY_CONDITION) {
            return Err(Why::NoPlace);
        }
        of_mood(found, &["EVN"])?;
        if is_negated(found) {
            return Err(Why::Negated);
        }
        let value = found.child("value").ok_or(Why::NoCode)?;
        let mut condition = Object::default();
        condition.set("code", self.reader.concept(value).ok_or(Why::NoCode)?);
        let has_killed = !self.related(found, DEATH).is_empty();
        if has_killed {
            condition.set("contributedToDeath", true);
        }
        let age = self.related(found, AGE).into_iter().next();
        let age = age.and_then(|it| self.reader.quantity(it.child("value")?));
        condition.put("onsetAge", age.and_then(Object::some));
        Ok((condition, has_killed))
    }
}

const VALUES: [&str; 9] = [
    "valueQuantity",
    "valueCodeableConcept",
    "valueString",
    "valueInteger",
    "valueBoolean",
    "valueRange",
    "valueRatio",
    "valueDateTime",
    "valuePeriod",
];

/// An act's status as an observation's.
fn observation_status(status: &str) -> Option<&'static str> {
    Some(match status {
        "completed" => "final",
        "active" => "preliminary",
        "held" | "suspended" | "new" => "registered",
        "aborted" | "cancelled" => "cancelled",
        "nullified" => "entered-in-error",
        "" => "unknown",
        _ => return None,
    })
}

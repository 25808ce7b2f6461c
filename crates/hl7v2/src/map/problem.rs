//! AL1 and IAM as AllergyIntolerance, DG1 as Condition, PR1 as Procedure.

use alloc::string::String;

use serde_json::{Value, json};

use super::{
    Mapper,
    entries::{Existing, Object},
    table,
};
use crate::message::{Part, Segment};

impl<'m> Mapper<'m> {
    pub(super) fn allergy(&mut self, al1: Segment<'m>) {
        let known_by = self.about("AL1", al1.field(3));
        let mut allergy = self.allergy_of(al1, known_by.clone());
        allergy.put("onsetDateTime", self.reader.date_time(al1.field(6)));
        self.reactions(&mut allergy, al1, 5);
        self.add_problem(allergy, known_by.as_ref(), self.as_newest());
    }

    pub(super) fn adverse_reaction(&mut self, iam: Segment<'m>) {
        let given = self.reader.entity(iam.field(7), "IAM-7", "");
        let known_by = given.or_else(|| self.about("IAM", iam.field(3)));
        let mut allergy = self.allergy_of(iam, known_by.clone());
        allergy.put("onsetDateTime", self.reader.date_time(iam.field(11)));
        allergy.put("recordedDate", self.reader.date_time(iam.field(13)));
        self.reactions(&mut allergy, iam, 5);
        let action = self.reader.text(iam.field(6));
        if action.as_deref() == Some("D") {
            let error =
                table::concept(&table::hl7("allergyintolerance-verification"), "entered-in-error");
            allergy.set("verificationStatus", error);
        }
        let existing =
            if action.as_deref() == Some("A") { Existing::Keep } else { Existing::Replace };
        self.add_problem(allergy, known_by.as_ref(), existing);
    }

    /// What AL1 and IAM have in the same fields.
    fn allergy_of(&self, segment: Segment<'m>, known_by: Option<Value>) -> Object {
        segment.field(1).text();
        let mut allergy = Object::of("AllergyIntolerance");
        allergy.push("identifier", known_by);
        let active = table::concept(&table::hl7("allergyintolerance-clinical"), "active");
        allergy.set("clinicalStatus", active);
        allergy.push("category", self.reader.code(segment.field(2), table::allergy_category));
        allergy.put("code", self.reader.concept(segment.field(3)));
        allergy.put("patient", self.refer(self.patient));
        allergy.put("encounter", self.refer(self.encounter));
        allergy
    }

    fn reactions(&self, allergy: &mut Object, segment: Segment<'m>, field: u16) {
        let severity = self.reader.code(segment.field(4), table::severity);
        let mut reaction = Object::default();
        for manifestation in self.reader.all(segment, field, |reader, part| reader.concept(part)) {
            reaction.push("manifestation", Some(manifestation));
        }
        if reaction.has("manifestation") {
            reaction.put("severity", severity);
            allergy.push("reaction", reaction.some());
        } else {
            // Without a reaction that had it, a severity says how bad one may be.
            let criticality = severity.map(|severity| match severity {
                "severe" => "high",
                "mild" => "low",
                _ => "unable-to-assess",
            });
            allergy.put("criticality", criticality);
        }
    }

    pub(super) fn diagnosis(&mut self, dg1: Segment<'m>) {
        dg1.field(1).text();
        let given = self.reader.entity(dg1.field(20), "DG1-20", "");
        let known_by = given.or_else(|| self.about("DG1", dg1.field(3)));
        let mut condition = Object::of("Condition");
        condition.push("identifier", known_by.clone());
        let kind = self.reader.text(dg1.field(6));
        condition.put("verificationStatus", self.verification(dg1, kind.as_deref()));
        let category = table::concept(&table::hl7("condition-category"), "encounter-diagnosis");
        condition.push("category", Some(category));
        let code = self.reader.concept(dg1.field(3));
        let text = self.reader.text(dg1.field(4));
        // Up to 2.4 the coding method stood apart.
        self.reader.text(dg1.field(2));
        condition.put("code", code.or_else(|| text.map(|text| json!({ "text": text }))));
        condition.put("subject", self.refer(self.patient));
        condition.put("encounter", self.refer(self.encounter));
        condition.put("onsetDateTime", self.reader.date_time(dg1.field(5)));
        condition.put("recordedDate", self.reader.date_time(dg1.field(19)));
        condition.put("asserter", self.reader.practitioner(dg1.field(16)));
        let reference = self.add_problem(condition, known_by.as_ref(), self.as_newest());
        self.diagnosis_of_visit(dg1, kind.as_deref(), reference);
    }

    fn verification(&self, dg1: Segment<'m>, kind: Option<&str>) -> Option<Value> {
        let is_deleted = self.reader.text(dg1.field(21)).as_deref() == Some("D");
        let code = match kind {
            _ if is_deleted => "entered-in-error",
            Some("W") => "provisional",
            Some("F") => "confirmed",
            _ => return None,
        };
        Some(table::concept(&table::hl7("condition-ver-status"), code))
    }

    fn diagnosis_of_visit(
        &mut self,
        dg1: Segment<'m>,
        kind: Option<&str>,
        reference: Option<Value>,
    ) {
        let mut diagnosis = Object::default();
        let Some(encounter) = self.encounter else { return };
        diagnosis.put("condition", reference);
        let role = match kind {
            Some("A") => Some("AD"),
            Some("F") => Some("DD"),
            _ => None,
        };
        diagnosis.put("use", role.map(|role| table::concept(&table::hl7("diagnosis-role"), role)));
        let rank = self.reader.text(dg1.field(15)).and_then(|rank| rank.parse::<u32>().ok());
        diagnosis.put("rank", rank.filter(|rank| *rank > 0));
        self.entries.resource(encounter).push("diagnosis", diagnosis.some());
    }

    pub(super) fn procedure(&mut self, pr1: Segment<'m>) {
        pr1.field(1).text();
        let mut procedure = Object::of("Procedure");
        let given = self.reader.entity(pr1.field(19), "PR1-19", "");
        let when = self.reader.date_time(pr1.field(5));
        let about = [self.code_of(pr1.field(3)), when.clone()];
        let known_by = given.or_else(|| self.derived("PR1", self.patient_key.as_ref(), &about));
        procedure.push("identifier", known_by.clone());
        // PR1 is of procedures "that were performed"; one that lies ahead is an order.
        procedure.set("status", "completed");
        let code = self.reader.concept(pr1.field(3));
        let text = self.reader.text(pr1.field(4));
        procedure.put("category", self.reader.tabled(pr1.field(6), "0230"));
        procedure.put("code", code.or_else(|| text.map(|text| json!({ "text": text }))));
        procedure.put("subject", self.refer(self.patient));
        procedure.put("encounter", self.refer(self.encounter));
        procedure.put("performedDateTime", when);
        for field in [11, 8] {
            for who in self.reader.all(pr1, field, |reader, part| reader.practitioner(part)) {
                procedure.push("performer", Some(json!({ "actor": who })));
            }
        }
        procedure.push("reasonCode", self.reader.concept(pr1.field(15)));
        self.add_problem(procedure, known_by.as_ref(), self.as_newest());
    }

    /// An identifier of something that this patient has one of.
    fn about(&self, segment: &str, what: Part<'m>) -> Option<Value> {
        self.derived(segment, self.patient_key.as_ref(), &[self.code_of(what)])
    }

    /// A code with its system, or the text that stands for one.
    pub(super) fn code_of(&self, part: Part<'m>) -> Option<String> {
        let concept = self.reader.concept(part)?;
        let text = |pointer| concept.pointer(pointer).and_then(Value::as_str);
        let code = text("/coding/0/code").or(text("/text"))?;
        let mut key = String::from(text("/coding/0/system").unwrap_or_default());
        key.push('|');
        key.push_str(code);
        Some(key)
    }

    fn add_problem(
        &mut self,
        resource: Object,
        known_by: Option<&Value>,
        existing: Existing,
    ) -> Option<Value> {
        let handle = self.entries.add(resource, known_by, existing);
        self.noted = Some(handle);
        self.refer(Some(handle))
    }
}

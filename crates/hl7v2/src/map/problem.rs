//! AL1 and IAM as AllergyIntolerance, DG1 as Condition, PR1 as Procedure.

use alloc::{string::String, vec::Vec};

use keepwell_fhir::draft::{Existing, Object, key};
use serde_json::{Value, json};

use super::{Mapper, person::is_no_number, table};
use crate::message::{Part, Segment};

impl<'m> Mapper<'m> {
    pub(super) fn allergy(&mut self, al1: Segment<'m>) {
        let Some(code) = self.coded(al1) else { return };
        let known_by = self.own("AL1", None, &[code_key(&code)]);
        let mut allergy = self.allergy_of(al1, code, known_by.iter().cloned().collect());
        let active = table::concept(&table::hl7("allergyintolerance-clinical"), "active");
        allergy.set("clinicalStatus", active);
        allergy.put("onsetDateTime", self.reader.date_time(al1.field(6)));
        self.reactions(&mut allergy, al1, 5);
        self.add_problem(allergy, known_by.as_ref(), self.as_newest());
    }

    pub(super) fn adverse_reaction(&mut self, iam: Segment<'m>) {
        let Some(code) = self.coded(iam) else { return };
        let given = self.reader.entity(iam.field(7), "IAM-7", "");
        // Where a number is given to another allergy, both are told: one too many harms less than one too few.
        let about = [given.as_ref().map(key), code_key(&code)];
        let known_by = self.own("IAM", None, &about);
        let ids = given.into_iter().chain(known_by.clone()).collect();
        let mut allergy = self.allergy_of(iam, code, ids);
        let action = self.action(iam.field(6));
        self.allergy_status(&mut allergy, iam, action == Some("D"));
        allergy.put("onsetDateTime", self.reader.date_time(iam.field(11)));
        allergy.put("recordedDate", self.reader.date_time(iam.field(13)));
        self.reactions(&mut allergy, iam, 5);
        let existing = self.by_action(action);
        self.add_problem(allergy, known_by.as_ref(), existing);
    }

    /// IAM-17. What was told in error has no clinical status (FHIR R4, ait-2); everything else has one (ait-1).
    fn allergy_status(&self, allergy: &mut Object, iam: Segment<'m>, is_deleted: bool) {
        let said = self.reader.code(iam.field(17), table::allergy_status);
        let (clinical, verification) = match said {
            _ if is_deleted => (None, Some("entered-in-error")),
            Some((clinical, verification)) => (clinical, Some(verification)),
            None => (Some("active"), None),
        };
        let concept = |system, code| table::concept(&table::hl7(system), code);
        let clinical = clinical.map(|code| concept("allergyintolerance-clinical", code));
        allergy.put("clinicalStatus", clinical);
        let verification =
            verification.map(|code| concept("allergyintolerance-verification", code));
        allergy.put("verificationStatus", verification);
    }

    /// What AL1 and IAM have in the same fields.
    fn allergy_of(&self, segment: Segment<'m>, code: Value, identifiers: Vec<Value>) -> Object {
        segment.field(1).text();
        let mut allergy = Object::of("AllergyIntolerance");
        allergy.list("identifier", identifiers);
        allergy.push("category", self.reader.code(segment.field(2), table::allergy_category));
        allergy.set("code", code);
        allergy.put("patient", self.refer(self.patient));
        allergy.put("encounter", self.refer(self.encounter));
        allergy
    }

    /// What stands in field 3 of a segment. Nothing is no allergy to nothing: then no more of the segment is read, and
    /// so all of it is listed.
    fn coded(&self, segment: Segment<'m>) -> Option<Value> {
        let code = self.reader.concept(segment.field(3));
        if code.is_none() {
            self.reader.note(segment.field(3));
        }
        code
    }

    /// Field 3 of DG1 and PR1, with what stood apart before 2.5: its coding system in field 2, its text in field 4.
    fn coded_apart(&self, segment: Segment<'m>) -> Option<Value> {
        let Some(mut concept) = self.reader.concept(segment.field(3)) else {
            let text = self.reader.text(segment.field(4));
            if text.is_none() {
                self.reader.note(segment.field(3));
            }
            return text.map(|text| json!({ "text": text }));
        };
        let sent = segment.field(3);
        let is_coding = |at| !sent.component(at).is_empty();
        let Some(coding) = concept.pointer_mut("/coding/0").and_then(Value::as_object_mut) else {
            return Some(concept);
        };
        if !is_coding(3)
            && let Some(name) = self.reader.text(segment.field(2))
        {
            let system = table::system(&name, self.reception.namespace);
            coding.insert(String::from("system"), system.into());
        }
        if !is_coding(9)
            && let Some(text) = self.reader.text(segment.field(4))
            && let Some(concept) = concept.as_object_mut()
        {
            concept.insert(String::from("text"), text.into());
        }
        Some(concept)
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
            let criticality = severity.and_then(|severity| match severity {
                "severe" => Some("high"),
                "mild" => Some("low"),
                _ => None,
            });
            if severity.is_some() && criticality.is_none() {
                self.reader.note(segment.field(4));
            }
            allergy.put("criticality", criticality);
        }
    }

    pub(super) fn diagnosis(&mut self, dg1: Segment<'m>) {
        let Some(code) = self.coded_apart(dg1) else { return };
        dg1.field(1).text();
        let given = self.reader.entity(dg1.field(20), "DG1-20", "");
        let when = self.reader.date_time(dg1.field(5));
        let about = self.about_visit(given.as_ref(), &code, when.clone());
        let known_by = self.own("DG1", self.visit_key.as_ref(), &about);
        let mut condition = Object::of("Condition");
        condition.list("identifier", given.into_iter().chain(known_by.clone()).collect());
        let kind = self.reader.text(dg1.field(6));
        let action = self.action(dg1.field(21));
        let is_deleted = action == Some("D");
        condition.put("verificationStatus", verification(kind.as_deref(), is_deleted));
        let category = table::concept(&table::hl7("condition-category"), "encounter-diagnosis");
        condition.push("category", Some(category));
        condition.set("code", code);
        condition.put("subject", self.refer(self.patient));
        condition.put("encounter", self.refer(self.encounter));
        condition.put("onsetDateTime", when);
        condition.put("recordedDate", self.reader.date_time(dg1.field(19)));
        condition.put("asserter", self.reader.practitioner(dg1.field(16)));
        let existing = self.by_action(action);
        let reference = self.add_problem(condition, known_by.as_ref(), existing);
        if !is_deleted {
            self.diagnosis_of_visit(dg1, kind.as_deref(), reference);
        }
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
        diagnosis.put("rank", self.reader.positive(dg1.field(15)));
        self.entries.resource(encounter).push("diagnosis", diagnosis.some());
    }

    pub(super) fn procedure(&mut self, pr1: Segment<'m>) {
        let Some(code) = self.coded_apart(pr1) else { return };
        pr1.field(1).text();
        let mut procedure = Object::of("Procedure");
        let given = self.reader.entity(pr1.field(19), "PR1-19", "");
        let when = self.reader.date_time(pr1.field(5));
        let about = self.about_visit(given.as_ref(), &code, when.clone());
        let known_by = self.own("PR1", self.visit_key.as_ref(), &about);
        procedure.list("identifier", given.into_iter().chain(known_by.clone()).collect());
        let action = self.action(pr1.field(20));
        // PR1 is of procedures "that were performed"; one that lies ahead is an order.
        let is_deleted = action == Some("D");
        procedure.set("status", if is_deleted { "entered-in-error" } else { "completed" });
        procedure.put("category", self.reader.tabled(pr1.field(6), "0230"));
        procedure.set("code", code);
        procedure.put("subject", self.refer(self.patient));
        procedure.put("encounter", self.refer(self.encounter));
        procedure.put("performedDateTime", when);
        for field in [11, 8] {
            for who in self.reader.all(pr1, field, |reader, part| reader.practitioner(part)) {
                procedure.push("performer", Some(json!({ "actor": who })));
            }
        }
        procedure.push("reasonCode", self.reader.concept(pr1.field(15)));
        let existing = self.by_action(action);
        self.add_problem(procedure, known_by.as_ref(), existing);
    }

    /// What a diagnosis or procedure is of one visit, or of one patient where there is none: its number, which is
    /// unique in a visit only, or else (and where there is no visit) its code and when it was.
    fn about_visit(
        &self,
        given: Option<&Value>,
        code: &Value,
        when: Option<String>,
    ) -> [Option<String>; 3] {
        match given.filter(|given| !is_no_number(given)).map(key) {
            Some(given) if self.visit_key.is_some() => [Some(given), None, None],
            given => [given, code_key(code), when],
        }
    }

    /// An identifier of something that this patient, or a visit of theirs, has one of. Numbers that senders give are
    /// unique in the patient or visit only, so alone they would be of somebody else's.
    fn own(
        &self,
        segment: &str,
        visit: Option<&String>,
        about: &[Option<String>],
    ) -> Option<Value> {
        // Of nothing, there is no one.
        about.iter().flatten().next()?;
        let about: Vec<Option<String>> =
            visit.cloned().map(Some).into_iter().chain(about.iter().cloned()).collect();
        self.derived(segment, &about)
    }

    /// Tables 0206 and 0323.
    pub(super) fn action(&self, part: Part<'m>) -> Option<&'static str> {
        self.reader
            .code(part, |code| ["A", "D", "U", "X"].into_iter().find(|action| *action == code))
    }

    /// Field of actions (table 0206 and 0323): what is deleted or updated is newer than what there is.
    fn by_action(&self, action: Option<&str>) -> Existing {
        match action {
            Some("D" | "U") => Existing::Replace,
            Some("A" | "X") => Existing::Keep,
            _ => self.as_newest(),
        }
    }

    /// A code with its system, or the text that stands for one.
    pub(super) fn code_of(&self, part: Part<'m>) -> Option<String> {
        code_key(&self.reader.concept(part)?)
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

/// A code with its system, or the text that stands for one.
fn code_key(concept: &Value) -> Option<String> {
    let text = |pointer| concept.pointer(pointer).and_then(Value::as_str);
    let code = text("/coding/0/code").or(text("/text"))?;
    let mut key = String::from(text("/coding/0/system").unwrap_or_default());
    key.push('|');
    key.push_str(code);
    Some(key)
}

/// DG1-6, unless DG1-21 deletes it.
fn verification(kind: Option<&str>, is_deleted: bool) -> Option<Value> {
    let code = match kind {
        _ if is_deleted => "entered-in-error",
        Some("W") => "provisional",
        Some("F") => "confirmed",
        _ => return None,
    };
    Some(table::concept(&table::hl7("condition-ver-status"), code))
}

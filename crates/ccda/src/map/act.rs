//! Procedures as Procedure, encounters as Encounter with their diagnoses, and what is planned as requests.

use alloc::vec::Vec;

use keepwell_fhir::draft::{Handle, Object};
use serde_json::json;

use super::{Mapper, Why, code_key, is_negated, of_mood, status};
use crate::document::Element;

const INDICATION: &str = "2.16.840.1.113883.10.20.22.4.19";
const DIAGNOSIS: &str = "2.16.840.1.113883.10.20.22.4.80";
const PROBLEM: &str = "2.16.840.1.113883.10.20.22.4.4";

impl<'d> Mapper<'d> {
    pub(super) fn procedure(&mut self, statement: Element<'d>) -> Result<Handle, Why> {
        of_mood(statement, &["EVN"])?;
        let mut procedure = Object::of("Procedure");
        let status = match status(statement) {
            "nullified" => "entered-in-error",
            _ if is_negated(statement) => "not-done",
            "completed" => "completed",
            "active" => "in-progress",
            "aborted" => "stopped",
            "cancelled" => "not-done",
            "suspended" | "held" => "on-hold",
            "new" => "preparation",
            "" => "unknown",
            _ => return Err(Why::Status),
        };
        procedure.set("status", status);
        let code = statement.child("code").and_then(|it| self.reader.concept(it));
        let code = code.ok_or(Why::NoCode)?;
        let about = code_key(&code);
        procedure.set("code", code);
        procedure.put("subject", self.subject());
        let time = statement.child("effectiveTime");
        let when = time.and_then(|it| self.reader.start(it));
        self.reader.when(&mut procedure, "performed", time);
        let (who, _) = self.written(&[statement]);
        procedure.put("recorder", who);
        for who in self.performers(statement) {
            procedure.push("performer", Some(json!({ "actor": who })));
        }
        for reason in self.related(statement, INDICATION) {
            let reason = reason.child("value").and_then(|it| self.reader.concept(it));
            procedure.push("reasonCode", reason);
        }
        for site in statement.all("targetSiteCode") {
            procedure.push("bodySite", self.reader.concept(site));
        }
        // What an observation that was made as a procedure found.
        if let Some(value) = statement.child("value").filter(|it| it.null_flavor().is_none()) {
            match value.kind() {
                "CD" | "CE" | "CO" => procedure.put("outcome", self.reader.concept(value)),
                _ => self.reader.note(),
            }
        }
        self.notes(&mut procedure, statement);
        self.add(procedure, statement, &[about, when])
    }

    pub(super) fn encounter(&mut self, statement: Element<'d>, whys: &mut Vec<Why>) {
        let done = self.visit(statement, whys);
        whys.extend(done.err());
    }

    fn visit(&mut self, statement: Element<'d>, whys: &mut Vec<Why>) -> Result<Handle, Why> {
        of_mood(statement, &["EVN"])?;
        if is_negated(statement) {
            return Err(Why::Negated);
        }
        let mut encounter = Object::of("Encounter");
        let time = statement.child("effectiveTime");
        let when = time.and_then(|it| self.reader.start(it));
        let status = match status(statement) {
            "completed" => "finished",
            "active" => "in-progress",
            "aborted" | "cancelled" => "cancelled",
            "nullified" => "entered-in-error",
            // Told of as something that was.
            "" if when.is_some() => "finished",
            "" => "unknown",
            _ => return Err(Why::Status),
        };
        encounter.set("status", status);
        let code = statement.child("code");
        encounter.set("class", self.class(code));
        let kind = code.and_then(|it| self.reader.concept(it));
        let about = kind.as_ref().and_then(code_key);
        encounter.push("type", kind);
        encounter.put("subject", self.subject());
        for who in self.performers(statement) {
            encounter.push("participant", Some(json!({ "individual": who })));
        }
        if let Some(time) = time {
            let at = self.reader.date_time(time).map(|it| json!({ "start": it }));
            encounter.put("period", at.or_else(|| self.reader.period(time)));
        }
        for reason in self.related(statement, INDICATION) {
            let reason = reason.child("value").and_then(|it| self.reader.concept(it));
            encounter.push("reasonCode", reason);
        }
        for participant in statement.all("participant") {
            let is_place = participant.attribute("typeCode") == Some("LOC");
            let name = participant.at(&["participantRole", "playingEntity", "name"]);
            let name = name.filter(|_| is_place).and_then(|it| self.reader.text(it));
            let place = name.map(|it| json!({ "location": { "display": it } }));
            encounter.push("location", place);
        }
        let discharge = statement.added("dischargeDispositionCode");
        let discharge = discharge.and_then(|it| self.reader.concept(it));
        encounter.put("hospitalization", discharge.map(|it| json!({ "dischargeDisposition": it })));
        for diagnosis in self.related(statement, DIAGNOSIS) {
            let inner = diagnosis.all("entryRelationship").flat_map(Element::children);
            for problem in inner.filter(|it| it.follows(PROBLEM)) {
                match self.problem(problem, Some(diagnosis)) {
                    Ok(handle) => {
                        let condition = self.entries.reference(handle);
                        let is_so = !is_negated(problem);
                        let diagnosis = is_so.then(|| json!({ "condition": condition }));
                        encounter.push("diagnosis", diagnosis);
                    }
                    Err(why) => whys.push(why),
                }
            }
        }
        self.add(encounter, statement, &[about, when])
    }

    /// An observation, procedure or act that is meant to be done; a medicine that is to be taken.
    pub(super) fn planned(&mut self, statement: Element<'d>) -> Result<Handle, Why> {
        if statement.name() == "substanceAdministration" {
            return self.planned_medication(statement);
        }
        let intent = match statement.attribute("moodCode").unwrap_or_default() {
            "INT" => "plan",
            "RQO" => "order",
            "PRP" | "PRMS" => "proposal",
            // Something that was done, or a goal, is no request.
            _ => return Err(Why::Mood),
        };
        let mut request = Object::of("ServiceRequest");
        let status = match status(statement) {
            "active" | "new" => "active",
            "completed" => "completed",
            "aborted" | "cancelled" => "revoked",
            "suspended" | "held" => "on-hold",
            "nullified" => "entered-in-error",
            "" => "unknown",
            _ => return Err(Why::Status),
        };
        request.set("status", status);
        request.set("intent", intent);
        if is_negated(statement) {
            request.set("doNotPerform", true);
        }
        let code = statement.child("code").and_then(|it| self.reader.concept(it));
        let code = code.ok_or(Why::NoCode)?;
        let about = code_key(&code);
        request.set("code", code);
        request.put("subject", self.subject());
        let time = statement.child("effectiveTime");
        let when = time.and_then(|it| self.reader.start(it));
        self.reader.when(&mut request, "occurrence", time);
        let (who, written) = self.written(&[statement]);
        request.put("authoredOn", written);
        request.put("requester", who);
        for reason in self.related(statement, INDICATION) {
            let reason = reason.child("value").and_then(|it| self.reader.concept(it));
            request.push("reasonCode", reason);
        }
        for site in statement.all("targetSiteCode") {
            request.push("bodySite", self.reader.concept(site));
        }
        self.notes(&mut request, statement);
        self.add(request, statement, &[about, when])
    }

    fn planned_medication(&mut self, statement: Element<'d>) -> Result<Handle, Why> {
        // Other moods than that of an intention are mapped as the same request, and never as taken.
        of_mood(statement, &["INT", "RQO", "PRP", "PRMS"])?;
        let handle = self.intended(statement)?;
        let intent = match statement.attribute("moodCode").unwrap_or_default() {
            "RQO" => "order",
            "PRP" | "PRMS" => "proposal",
            _ => "plan",
        };
        self.entries.resource(handle).set("intent", intent);
        Ok(handle)
    }
}

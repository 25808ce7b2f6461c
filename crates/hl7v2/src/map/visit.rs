//! PV1 and PV2 as Encounter.
//!
//! Not here: transfers (A02) and changes of class (A06, A07) as events, which are refused; a visit without a number
//! outside ADT, which every message would make anew; and what an update (A08) without a discharge changes of a visit
//! that is there already, since it does not say whether the visit is over and FHIR wants to be told. The last two stand
//! in the message that is attached.

use keepwell_fhir::draft::{Existing, Object, key};
use serde_json::{Value, json};

use super::{Kind, Mapper, person::is_no_number, table};
use crate::{
    message::Segment,
    refusal::{Path, Refusal},
};

/// Who takes part, by the field of PV1, in the code system that FHIR binds to.
const PARTICIPANTS: [(u16, &str); 4] = [(7, "ATND"), (8, "REF"), (9, "CON"), (17, "ADM")];

impl<'m> Mapper<'m> {
    pub(super) fn visit(&mut self, pv1: Segment<'m>) {
        let Some(patient) = self.refer(self.patient) else { return };
        let Some((given, known_by)) = self.visit_number(pv1) else { return };
        pv1.field(1).text();
        let class = self.reader.text(pv1.field(2));
        let mut encounter = Object::of("Encounter");
        let ids = given.iter().cloned().chain(known_by.clone()).collect();
        encounter.list("identifier", ids);
        encounter.set("status", self.visit_status(pv1, class.as_deref()));
        encounter.set("class", self.visit_class(pv1));
        encounter.push("type", self.reader.tabled(pv1.field(4), "0007"));
        encounter.put("serviceType", self.reader.tabled(pv1.field(10), "0069"));
        encounter.set("subject", patient);
        for (field, code) in PARTICIPANTS {
            for who in self.reader.all(pv1, field, |reader, part| reader.practitioner(part)) {
                let kind = table::concept(&table::hl7("v3-ParticipationType"), code);
                encounter.push("participant", Some(json!({ "type": [kind], "individual": who })));
            }
        }
        encounter.put("period", self.visit_period(pv1));
        encounter.put("hospitalization", self.hospitalization(pv1));
        self.places(&mut encounter, pv1);
        encounter
            .put("serviceProvider", self.reader.text(pv1.field(39)).map(super::datatype::display));
        // Of an update (A08) nobody knows how far the visit is: a replacement might begin again what is over.
        let is_told = is_over(pv1) && self.is_trigger(&["A08"]);
        let is_newer = is_told || self.is_trigger(&["A03", "A11", "A13"]);
        let existing = if is_newer { Existing::Replace } else { Existing::Keep };
        self.visit_key = given.or(known_by.clone()).as_ref().map(key);
        self.encounter = Some(self.entries.add(encounter, known_by.as_ref(), existing));
    }

    /// The visit's number, and by what it is found again; nothing where the segment is none, sent because the
    /// structure asks for one.
    fn visit_number(&self, pv1: Segment<'m>) -> Option<(Option<Value>, Option<Value>)> {
        let number = self.reader.identifier(pv1.field(19), "PV1-19");
        if number.is_none() && pv1.field(2).raw().trim() == "N" {
            // Read, and without a word.
            pv1.field(1).text();
            pv1.field(2).text();
            return None;
        }
        let number = number.or_else(|| self.reader.identifier(pv1.field(50), "PV1-50"));
        let number = number.filter(|number| !is_no_number(number));
        if number.is_some() {
            let known_by = self.numbered("PV1", number.as_ref());
            return Some((number, known_by));
        }
        // Elsewhere each message would make a visit anew: a result, or a change of what is not known by a number.
        if self.kind != Kind::Visit {
            return None;
        }
        let begun = self.reader.time_key(pv1.field(44));
        let derived = self.derived("PV1", &[begun]);
        (derived.is_some() || self.is_trigger(&["A01", "A04"])).then_some((None, derived))
    }

    /// Without its end, where that is taken back (A13).
    fn visit_period(&self, pv1: Segment<'m>) -> Option<Value> {
        if !self.is_trigger(&["A13"]) {
            return self.reader.period(pv1.field(44), pv1.field(45));
        }
        self.reader.note(pv1.field(45));
        self.reader.date_time(pv1.field(44)).map(|start| json!({ "start": start }))
    }

    /// What is taken back (A11, A13) is taken back of one visit.
    pub(super) fn check_cancelled(&self) {
        if self.is_trigger(&["A11", "A13"]) && self.encounter.is_none() {
            self.refuse(Refusal::Missing(Path::segment("PV1", 1).at(19)));
        }
    }

    fn visit_status(&self, pv1: Segment<'m>, class: Option<&str>) -> &'static str {
        match class {
            _ if self.is_trigger(&["A11"]) => "cancelled",
            _ if self.is_trigger(&["A13"]) => "in-progress",
            _ if is_over(pv1) || self.is_trigger(&["A03"]) => "finished",
            Some("P") => "planned",
            // It may be over long since.
            _ if self.is_trigger(&["A08"]) => "unknown",
            _ if self.kind == Kind::Visit => "in-progress",
            // A result says where it comes from, not how far the visit is.
            _ => "unknown",
        }
    }

    fn visit_class(&self, pv1: Segment<'m>) -> Value {
        let Some(code) = self.reader.text(pv1.field(2)) else {
            return json!({ "system": table::hl7("data-absent-reason"), "code": "unknown" });
        };
        match table::patient_class(&code) {
            Some((code, display)) => {
                json!({ "system": table::hl7("v3-ActCode"), "code": code, "display": display })
            }
            None => json!({ "system": table::v2("0004"), "code": code }),
        }
    }

    fn hospitalization(&self, pv1: Segment<'m>) -> Option<Value> {
        let mut stay = Object::default();
        let before = self.reader.identifier(pv1.field(5), "PV1-5");
        stay.put("preAdmissionIdentifier", before);
        stay.put("admitSource", self.reader.tabled(pv1.field(14), "0023"));
        stay.put("reAdmission", self.reader.tabled(pv1.field(13), "0092"));
        stay.push("dietPreference", self.reader.tabled(pv1.field(38), "0114"));
        stay.push("specialCourtesy", self.reader.tabled(pv1.field(16), "0099"));
        for special in self.reader.all(pv1, 15, |reader, part| reader.tabled(part, "0009")) {
            stay.push("specialArrangement", Some(special));
        }
        stay.put("dischargeDisposition", self.reader.tabled(pv1.field(36), "0112"));
        stay.some()
    }

    fn places(&self, encounter: &mut Object, pv1: Segment<'m>) {
        let places =
            [(3, "active"), (6, "completed"), (42, "planned"), (11, "active"), (43, "completed")];
        let is_over = matches!(encounter.text("status"), "finished" | "cancelled");
        for (field, status) in places {
            // Nobody is in a bed after they have left.
            let status = if is_over && status == "active" { "completed" } else { status };
            if let Some(place) = self.reader.location(pv1.field(field)) {
                encounter.push("location", Some(json!({ "location": place, "status": status })));
            }
        }
    }

    pub(super) fn visit_more(&mut self, pv2: Segment<'m>) {
        let Some(encounter) = self.encounter else { return };
        let reason = self.reader.concept(pv2.field(3));
        let priority = self.reader.tabled(pv2.field(25), "0217");
        let length = self.reader.number(pv2.field(11));
        let encounter = self.entries.resource(encounter);
        encounter.push("reasonCode", reason);
        encounter.put("priority", priority);
        encounter.put(
            "length",
            length.map(|days| {
                json!({ "value": days, "unit": "d", "system": "http://unitsofmeasure.org", "code": "d" })
            }),
        );
    }
}

/// There is a discharge (PV1-45).
fn is_over(pv1: Segment<'_>) -> bool {
    !pv1.field(45).is_empty() && !pv1.field(45).is_null()
}

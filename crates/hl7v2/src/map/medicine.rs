//! RXO and RXE as MedicationRequest, TQ1 and RXR as its dosage, RXA and RXR as Immunization.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use serde_json::{Value, json};

use super::{
    Mapper,
    entries::{Existing, Handle, Object, key},
    table,
};
use crate::message::{Part, Segment};

impl<'m> Mapper<'m> {
    /// RXO: what was asked for, before the pharmacy made an order of it.
    pub(super) fn original_order(&mut self, rxo: Segment<'m>) {
        let mut request = self.medication_request(rxo, 1, "original-order");
        for field in [6, 7] {
            for text in self.reader.all(rxo, field, instruction) {
                request.push("dosageInstruction", Some(text));
            }
        }
        self.dose(&mut request, rxo, [2, 3, 4]);
        self.dispense(&mut request, rxo, [11, 12, 13]);
        let who = self.reader.practitioner(rxo.field(14));
        request.fill("requester", who);
        let handle = self.add_medication(request, "original");
        self.order.original = Some(handle);
    }

    /// RXE: the order as the pharmacy has it.
    pub(super) fn encoded_order(&mut self, rxe: Segment<'m>) {
        let mut request = self.medication_request(rxe, 2, "order");
        request.push("basedOn", self.refer(self.order.original));
        for text in self.reader.all(rxe, 7, instruction) {
            request.push("dosageInstruction", Some(text));
        }
        self.dose(&mut request, rxe, [3, 4, 5]);
        self.dispense(&mut request, rxe, [10, 11, 12]);
        request.fill("requester", self.reader.practitioner(rxe.field(13)));
        if let Some(number) = self.reader.text(rxe.field(15)) {
            let system = alloc::format!("{}/RXE-15", self.reception.namespace);
            request.push("identifier", Some(json!({ "system": system, "value": number })));
        }
        self.add_medication(request, "order");
    }

    fn medication_request(&mut self, segment: Segment<'m>, code: u16, intent: &str) -> Object {
        let ids = [self.order_id(segment, 0, "PLAC"), self.order_id(segment, 0, "FILL")];
        let what = self.code_of(segment.field(code));
        let whose = ids.iter().flatten().next().map(key);
        self.order.key = whose;
        let mut request = Object::of("MedicationRequest");
        request.list("identifier", ids.into_iter().flatten().collect());
        request.set("status", medication_status(self.order_status("active")));
        request.set("intent", intent);
        let medication = self.reader.concept(segment.field(code));
        let medication = medication.filter(|_| what.is_some()).unwrap_or_else(table::unknown);
        request.set("medicationCodeableConcept", medication);
        request.put("subject", self.refer(self.patient));
        request.put("encounter", self.refer(self.encounter));
        if let Some(orc) = self.order.common {
            request.put("authoredOn", self.reader.date_time(orc.field(9)));
            request.put("requester", self.reader.practitioner(orc.field(12)));
        }
        request
    }

    fn add_medication(&mut self, mut request: Object, role: &str) -> Handle {
        let known_by = self.derived("RXE", self.order.key.as_ref(), &[Some(role.to_string())]);
        request.push("identifier", known_by.clone());
        let is_new =
            self.order.common.is_none_or(|orc| matches!(orc.field(1).raw().trim(), "NW" | ""));
        let existing = if is_new { Existing::Keep } else { Existing::Replace };
        let handle = self.entries.add(request, known_by.as_ref(), existing);
        self.order.medication = Some(handle);
        self.noted = Some(handle);
        handle
    }

    /// The least and most of what is given at once, and its unit.
    fn dose(&self, request: &mut Object, segment: Segment<'m>, [least, most, unit]: [u16; 3]) {
        let amount = |field: u16| {
            let part = segment.field(field);
            if part.is_empty() { None } else { self.reader.quantity(part, segment.field(unit)) }
        };
        let dose = match (amount(least), amount(most)) {
            (Some(low), Some(high)) => {
                json!({ "doseRange": { "low": Value::from(low), "high": Value::from(high) } })
            }
            (Some(dose), None) | (None, Some(dose)) => json!({ "doseQuantity": Value::from(dose) }),
            (None, None) => return,
        };
        let mut dosage = Object::default();
        dosage.push("doseAndRate", Some(dose));
        request.push("dosageInstruction", dosage.some());
    }

    /// How much is handed out at once, its unit, and how often again.
    fn dispense(
        &self,
        request: &mut Object,
        segment: Segment<'m>,
        [amount, unit, again]: [u16; 3],
    ) {
        let mut dispense = Object::default();
        if !segment.field(amount).is_empty() {
            let quantity = self.reader.quantity(segment.field(amount), segment.field(unit));
            dispense.put("quantity", quantity.map(Value::from));
        }
        let repeats = self.reader.text(segment.field(again)).map(|text| text.parse::<u32>());
        match repeats {
            Some(Ok(repeats)) => dispense.set("numberOfRepeatsAllowed", repeats),
            Some(Err(_)) => self.reader.note(segment.field(again)),
            None => {}
        }
        request.put("dispenseRequest", dispense.some());
    }

    /// TQ1: how often and from when to when.
    pub(super) fn timing(&mut self, tq1: Segment<'m>) {
        if self.order.medication.is_none() && self.schedule.is_none() {
            return;
        }
        tq1.field(1).text();
        let Some(handle) = self.order.medication else {
            self.appointment_times(tq1.field(7), tq1.field(8));
            return;
        };
        let mut repeat = Object::default();
        repeat.put("boundsPeriod", self.reader.period(tq1.field(7), tq1.field(8)));
        let count = self.reader.text(tq1.field(14)).and_then(|count| count.parse::<u32>().ok());
        repeat.put("count", count.filter(|count| *count > 0));
        let mut timing = Object::default();
        timing.put("repeat", repeat.some());
        timing.put("code", self.reader.tabled(tq1.field(3), "0335"));
        let text = [10, 11].map(|field| self.reader.text(tq1.field(field)));
        let text: Vec<String> = text.into_iter().flatten().collect();
        let priority = self.reader.code(tq1.field(9), table::priority);
        let mut dosage = Object::default();
        dosage.put("text", (!text.is_empty()).then(|| text.join("\n")));
        dosage.put("timing", timing.some());
        let request = self.entries.resource(handle);
        request.put("priority", priority);
        request.push("dosageInstruction", dosage.some());
    }

    /// RXR: how and where it is given.
    pub(super) fn route(&mut self, rxr: Segment<'m>) {
        let route = self.reader.tabled(rxr.field(1), "0162");
        let site = self.reader.tabled(rxr.field(2), "0163");
        if let Some(immunization) = self.order.immunization {
            let immunization = self.entries.resource(immunization);
            immunization.put("route", route);
            immunization.put("site", site);
        } else if let Some(medication) = self.order.medication {
            let mut dosage = Object::default();
            dosage.put("site", site);
            dosage.put("route", route);
            dosage.put("method", self.reader.tabled(rxr.field(4), "0165"));
            self.entries.resource(medication).push("dosageInstruction", dosage.some());
        }
    }

    /// RXA: what was given. In the messages taken here it is a vaccine.
    pub(super) fn administration(&mut self, rxa: Segment<'m>) {
        let ids = [self.order_id(rxa, 0, "PLAC"), self.order_id(rxa, 0, "FILL")];
        let whose = ids.iter().flatten().last().map(key);
        let what = self.code_of(rxa.field(5));
        let when = self.reader.date_time(rxa.field(3));
        let known_by = self
            .derived("RXA", whose.as_ref(), core::slice::from_ref(&what))
            .or_else(|| self.derived("RXA", self.patient_key.as_ref(), &[what, when.clone()]));
        for field in [1, 2] {
            rxa.field(field).text();
        }
        let mut given = Object::of("Immunization");
        given.list("identifier", ids.into_iter().flatten().chain(known_by.clone()).collect());
        self.vaccination_status(&mut given, rxa);
        given.set("vaccineCode", self.reader.concept(rxa.field(5)).unwrap_or_else(table::unknown));
        given.put("patient", self.refer(self.patient));
        given.put("encounter", self.refer(self.encounter));
        match when {
            Some(when) => given.set("occurrenceDateTime", when),
            None => given.set("occurrenceString", "unknown"),
        }
        given.put("recorded", self.reader.date_time(rxa.field(22)));
        self.vaccination_source(&mut given, rxa);
        self.vaccine(&mut given, rxa);
        let action = self.reader.text(rxa.field(21));
        let is_change = matches!(action.as_deref(), Some("U" | "D"));
        let existing = if is_change { Existing::Replace } else { Existing::Keep };
        let handle = self.entries.add(given, known_by.as_ref(), existing);
        self.order.key = known_by.as_ref().map(key);
        self.order.immunization = Some(handle);
        self.noted = Some(handle);
    }

    /// RXA-20 and RXA-21: `completed`, `not-done` or `entered-in-error`.
    fn vaccination_status(&self, given: &mut Object, rxa: Segment<'m>) {
        let is_deleted = rxa.field(21).raw().trim() == "D";
        let done = self.reader.code(rxa.field(20), |code| match code {
            "CP" | "PA" => Some("completed"),
            "RE" | "NA" => Some("not-done"),
            _ => None,
        });
        let status = if is_deleted { "entered-in-error" } else { done.unwrap_or("completed") };
        given.set("status", status);
        given.put(
            "statusReason",
            self.reader.tabled(rxa.field(18), "NIP002").filter(|_| status == "not-done"),
        );
    }

    /// RXA-9: `00` is a new record, everything else was told by somebody.
    fn vaccination_source(&self, given: &mut Object, rxa: Segment<'m>) {
        let Some(code) = self.reader.text(rxa.field(9)) else { return };
        given.set("primarySource", code == "00");
        if code != "00" {
            given.put("reportOrigin", self.reader.concept(rxa.field(9)));
        } else {
            self.reader.concept(rxa.field(9));
        }
    }

    fn vaccine(&self, given: &mut Object, rxa: Segment<'m>) {
        // 999 is "not known" in the immunization guides.
        if rxa.field(6).raw().trim() != "999" && !rxa.field(6).is_empty() {
            let dose = self.reader.quantity(rxa.field(6), rxa.field(7));
            given.put("doseQuantity", dose.map(Value::from));
        } else {
            rxa.field(6).text();
        }
        for who in self.reader.all(rxa, 10, |reader, part| reader.practitioner(part)) {
            let role = table::concept(&table::v2("0443"), "AP");
            given.push("performer", Some(json!({ "function": role, "actor": who })));
        }
        given.put(
            "location",
            self.reader.location(rxa.field(if rxa.field(27).is_empty() { 11 } else { 27 })),
        );
        given.put("lotNumber", self.reader.text(rxa.field(15)));
        given.put("expirationDate", self.reader.date(rxa.field(16)));
        let maker = self.reader.text(rxa.field(17).component(2));
        let code = self.reader.text(rxa.field(17));
        given.put("manufacturer", maker.or(code).map(super::datatype::display));
        for reason in self.reader.all(rxa, 19, |reader, part| reader.concept(part)) {
            given.push("reasonCode", Some(reason));
        }
    }
}

/// Statuses of orders in words of MedicationRequest.
fn medication_status(status: &'static str) -> &'static str {
    match status {
        "revoked" => "cancelled",
        other => other,
    }
}

/// A text that tells how to take or give something.
fn instruction(reader: &super::Reader<'_>, part: Part<'_>) -> Option<Value> {
    let text = reader.text(part.component(2)).or_else(|| reader.text(part.component(1)))?;
    Some(json!({ "text": text }))
}

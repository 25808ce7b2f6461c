//! RXO and RXE as MedicationRequest, TQ1 and RXR as its dosage, RXA and RXR as Immunization.
//!
//! Not here: timings in RXE-1 and ORC-7 (before 2.5), rates (RXE-23), strengths (RXE-25), TQ1 before an RXO, of TQ1-3
//! events and phases, and how long (TQ1-6) from a start or to an end. They are listed as unmapped.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::mem;

use keepwell_fhir::draft::{Existing, Handle, Object, key};
use serde_json::{Number, Value, json};

use super::{Mapper, person::is_no_number, table};
use crate::{
    limits::{DOSAGE_BYTES_MAX, TIMINGS_MAX},
    message::{Part, Segment},
    refusal::{Path, Refusal},
};

/// What an order of a medicine is.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Role {
    /// As it was asked for.
    Original,
    /// As the pharmacy has it.
    Order,
    /// What the pharmacy asks to give once more.
    Refill,
}

impl Role {
    const fn intent(self) -> &'static str {
        match self {
            Self::Original => "original-order",
            Self::Order => "order",
            Self::Refill => "proposal",
        }
    }

    /// Its part of the identifier by which it is found again.
    const fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Order => "order",
            Self::Refill => "refill",
        }
    }
}

/// A TQ1 of an order.
pub(super) struct Timing<'m> {
    /// What it says of the dosage.
    dosage: Object,
    /// TQ1-12: how the next follows it.
    next: Part<'m>,
    place: Path,
}

impl Timing<'_> {
    fn conjunction(&self) -> &str {
        if self.next.is_null() { "" } else { self.next.raw().trim() }
    }
}

impl<'m> Mapper<'m> {
    /// RXO: what was asked for, before the pharmacy made an order of it.
    pub(super) fn original_order(&mut self, rxo: Segment<'m>) {
        let mut request = self.medication_request(rxo, 1, Role::Original);
        let texts = [6, 7].map(|field| self.reader.all(rxo, field, instruction));
        let dosage = self.dosage(texts.concat(), rxo, [2, 3, 4]);
        self.dispense(&mut request, rxo, [11, 12, 13]);
        self.requester(&mut request, rxo.field(14));
        let handle = self.add_medication(request, Role::Original, dosage);
        self.order.amounts = [2, 3, 4].map(|field| rxo.field(field)).to_vec();
        self.order.original = Some(handle);
    }

    /// RXE: the order as the pharmacy has it, or what it asks to give once more.
    pub(super) fn encoded_order(&mut self, rxe: Segment<'m>) {
        let role = if self.is_refill() { Role::Refill } else { Role::Order };
        let mut request = self.medication_request(rxe, 2, role);
        request.push("basedOn", self.refer(self.order.original));
        let texts = self.reader.all(rxe, 7, instruction);
        let dosage = self.dosage(texts, rxe, [3, 4, 5]);
        self.dispense(&mut request, rxe, [10, 11, 12]);
        self.requester(&mut request, rxe.field(13));
        if let Some(number) = self.reader.text(rxe.field(15)) {
            let system = alloc::format!("{}/RXE-15", self.reception.namespace);
            request.push("identifier", Some(json!({ "system": system, "value": number })));
        }
        self.add_medication(request, role, dosage);
        self.order.amounts = [3, 4, 5].map(|field| rxe.field(field)).to_vec();
    }

    /// Who ordered it, where ORC-12 does not say. Another than it says is listed.
    fn requester(&self, request: &mut Object, who: Part<'m>) {
        if !request.has("requester") {
            request.put("requester", self.reader.practitioner(who));
        } else if self.order.common.is_some_and(|orc| orc.field(12).raw() == who.raw()) {
            who.whole();
        }
    }

    fn control(&self) -> &'m str {
        self.order.common.map_or("", |orc| orc.field(1).raw().trim())
    }

    /// A request to give a medicine once more (RF), or its denial (DF), says nothing of the order that it is for.
    fn is_refill(&self) -> bool {
        self.is_trigger(&["O25"]) || matches!(self.control(), "RF" | "DF")
    }

    fn status_of(&self, role: Role) -> &'static str {
        match role {
            Role::Refill if self.control() == "DF" => "cancelled",
            Role::Refill => "active",
            Role::Original if self.is_refill() => "unknown",
            Role::Original | Role::Order => {
                medication_status(self.order_status("active"), self.is_discontinued())
            }
        }
    }

    fn medication_request(&mut self, segment: Segment<'m>, code: u16, role: Role) -> Object {
        self.read_common();
        let ids = [self.order_id(segment, 0, "PLAC"), self.order_id(segment, 0, "FILL")];
        let what = self.code_of(segment.field(code));
        let mut numbers = ids.iter().flatten().filter(|id| !is_no_number(id)).map(key);
        self.order.key = numbers.next().map(|whose| Vec::from([Some(whose)]));
        self.order.other_number = numbers.next().filter(|other| Some(other) != self.order.number());
        let mut request = Object::of("MedicationRequest");
        request.list("identifier", ids.into_iter().flatten().collect());
        request.set("status", self.status_of(role));
        request.set("intent", role.intent());
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

    fn add_medication(&mut self, mut request: Object, role: Role, dosage: Object) -> Handle {
        self.close_medication();
        // What a later message says of one would be said of the other.
        let number = self.order.number().cloned();
        let is_first = number.is_none_or(|number| self.medicines.insert((number, role)));
        if !is_first {
            self.refuse(Refusal::SameOrder(self.place));
        }
        let known_by = self.of_order("RXE", &[Some(role.name().to_string())]);
        request.push("identifier", known_by.clone());
        // A pharmacy that ends it may send its own number only.
        let other = self.order.other_number.clone();
        let also = other
            .and_then(|other| self.derived("RXE", &[Some(other), Some(role.name().to_string())]));
        request.push("identifier", also);
        let is_new = matches!(self.control(), "NW" | "");
        let is_of_another = role == Role::Original && self.is_refill();
        let existing = if is_new || is_of_another { Existing::Keep } else { Existing::Replace };
        let handle = self.entries.add(request, known_by.as_ref(), existing);
        self.order.medication = Some(handle);
        self.order.dosage = dosage;
        self.order.is_routed = false;
        self.noted = Some(handle);
        handle
    }

    /// The least and most of what is given at once, and its unit. Where one of them cannot be read, the other is still
    /// only an end; where they are in the wrong order, nobody knows which of them is wrong.
    fn dosage(
        &self,
        texts: Vec<Value>,
        segment: Segment<'m>,
        [least, most, unit]: [u16; 3],
    ) -> Object {
        let mut dosage = Object::default();
        texts.iter().filter_map(Value::as_str).for_each(|text| dosage.append("text", text));
        let amount = |field: u16| self.amount(segment.field(field), segment.field(unit));
        let (mut low, mut high) = (amount(least), amount(most));
        if is_above(low.as_ref(), high.as_ref()) {
            [least, most].into_iter().for_each(|field| self.reader.note(segment.field(field)));
            (low, high) = (None, None);
        }
        let is_whole = segment.field(most).is_empty() || segment.field(most).is_null();
        let dose = match low {
            Some(dose) if is_whole => Some(json!({ "doseQuantity": Value::from(dose) })),
            low => {
                let mut range = Object::default();
                range.put("low", low);
                range.put("high", high);
                range.some().map(|range| json!({ "doseRange": range }))
            }
        };
        dosage.push("doseAndRate", dose);
        dosage
    }

    /// A number and its unit. Nothing is given or handed out in less than none.
    fn amount(&self, number: Part<'m>, unit: Part<'m>) -> Option<Object> {
        if number.is_empty() {
            return None;
        }
        if number.raw().trim().starts_with('-') {
            self.reader.note(number);
            return None;
        }
        self.reader.quantity(number, unit)
    }

    /// Gives an order its dosage: one for each timing, each of them whole, since it is read by itself.
    pub(super) fn close_medication(&mut self) {
        let Some(medication) = self.order.medication.take() else { return };
        let (whole, mut timings) =
            (mem::take(&mut self.order.dosage), mem::take(&mut self.order.timings));
        let is_long =
            timings.len() > 1 && Value::from(whole.clone()).to_string().len() > DOSAGE_BYTES_MAX;
        if is_long {
            self.refuse(Refusal::TooLong(self.place));
            return;
        }
        self.in_sequence(&mut timings);
        if !timings.is_empty() && timings.iter().all(|timing| timing.dosage.has("doseAndRate")) {
            // Each timing has an amount of its own.
            mem::take(&mut self.order.amounts).into_iter().for_each(|part| self.reader.note(part));
        }
        let dosages: Vec<Value> = match timings.is_empty() {
            true => whole.some().into_iter().collect(),
            false => timings.into_iter().filter_map(|timing| timing.dosage.over(&whole)).collect(),
        };
        self.entries.resource(medication).list("dosageInstruction", dosages);
    }

    /// TQ1-12: what is taken after what (`S`), or beside it (`A`). Anything else, such as a time until when something
    /// must be done (`C`), would be read as one more dose.
    fn in_sequence(&self, timings: &mut [Timing<'m>]) {
        let [before @ .., last] = &*timings else { return };
        if !last.conjunction().is_empty() {
            self.reader.note(last.next);
        }
        if before.iter().all(|timing| timing.conjunction().is_empty()) {
            return;
        }
        let unclear = before.iter().find(|timing| !matches!(timing.conjunction(), "S" | "A" | ""));
        if let Some(timing) = unclear {
            self.refuse(Refusal::Value(timing.place.at(12)));
            return;
        }
        let mut number = 1_u32;
        for timing in timings {
            timing.dosage.set("sequence", number);
            number += u32::from(timing.conjunction() == "S");
        }
    }

    /// How much is handed out at once, its unit, and how often again.
    fn dispense(
        &self,
        request: &mut Object,
        segment: Segment<'m>,
        [amount, unit, again]: [u16; 3],
    ) {
        let mut dispense = Object::default();
        dispense.put("quantity", self.amount(segment.field(amount), segment.field(unit)));
        let repeats = self.reader.count(segment.field(again));
        dispense.put("numberOfRepeatsAllowed", repeats);
        request.put("dispenseRequest", dispense.some());
    }

    /// TQ1: how often and from when to when.
    pub(super) fn timing(&mut self, tq1: Segment<'m>) {
        if self.order.medication.is_none() && self.schedule.is_none() {
            return;
        }
        if self.order.timings.len() == TIMINGS_MAX {
            return;
        }
        tq1.field(1).text();
        let Some(handle) = self.order.medication else {
            self.appointment_times(tq1.field(7), tq1.field(8));
            return;
        };
        let mut dosage = Object::default();
        let text = [10, 11].map(|field| self.reader.text(tq1.field(field)));
        let text: Vec<String> = text.into_iter().flatten().collect();
        dosage.put("text", (!text.is_empty()).then(|| text.join("\n")));
        let (timing, is_needed) = self.timing_of(tq1);
        dosage.put("timing", timing);
        let urgency = self.reader.code(tq1.field(9), |code| match code {
            "PRN" => Some(None),
            _ => table::priority(code).map(Some),
        });
        dosage.put("asNeededBoolean", (is_needed || urgency == Some(None)).then_some(true));
        let dose = self.own_dose(tq1.field(2));
        dosage.put("doseAndRate", dose.map(|dose| json!([{ "doseQuantity": dose }])));
        let next = tq1.field(12);
        self.reader.text(next);
        self.order.timings.push(Timing { dosage, next, place: self.place });
        self.entries.resource(handle).put("priority", urgency.flatten());
    }

    /// FHIR's `Timing`, and whether it is only as needed.
    fn timing_of(&self, tq1: Segment<'m>) -> (Option<Value>, bool) {
        let mut repeat = Object::default();
        let bounds = self.reader.period(tq1.field(7), tq1.field(8));
        if bounds.is_none() {
            repeat.put("boundsDuration", self.duration(tq1.field(6)));
        }
        repeat.put("boundsPeriod", bounds);
        repeat.put("count", self.reader.positive(tq1.field(14)));
        for at in self.reader.all(tq1, 4, |reader, part| reader.clock(part).map(Value::from)) {
            repeat.push("timeOfDay", Some(at));
        }
        let patterns: Vec<Part<'m>> = tq1.repetitions(3).collect();
        let code = match patterns[..] {
            [] => None,
            [pattern] => self.pattern(pattern, &mut repeat),
            // Each alone would be less than what is to be taken.
            _ => {
                let texts: Vec<String> =
                    patterns.iter().filter_map(|pattern| self.reader.whole(*pattern)).collect();
                Some(json!({ "text": texts.join("; ") }))
            }
        };
        let is_needed = patterns.iter().any(|pattern| pattern.raw().trim().starts_with("PRN"));
        let mut timing = Object::default();
        timing.put("repeat", repeat.some());
        timing.put("code", code);
        (timing.some(), is_needed)
    }

    /// RPT: a code in subcomponents of its first component, or how long from one time to the next. A code says all
    /// of it in FHIR, so what else is sent beside one is listed.
    fn pattern(&self, pattern: Part<'m>, repeat: &mut Object) -> Option<Value> {
        if let Some(code) = self.reader.tabled_component(pattern.component(1), "0335") {
            return Some(code);
        }
        let length = pattern.component(5);
        if length.is_empty() {
            return None;
        }
        let unit = self.reader.code(pattern.component(6).subcomponent(1), table::period_unit)?;
        if let Some(length) = self.length(length) {
            repeat.set("frequency", 1);
            repeat.set("period", Value::Number(length));
            repeat.set("periodUnit", unit);
        }
        None
    }

    /// A number of units of time: more than none.
    fn length(&self, part: Part<'m>) -> Option<Number> {
        let length = self.reader.number(part)?;
        let digits = length.to_string();
        let is_some = !digits.starts_with('-') && digits.bytes().any(|d| matches!(d, b'1'..=b'9'));
        if !is_some {
            self.reader.note(part);
        }
        Some(length).filter(|_| is_some)
    }

    /// CQ of a time, in UCUM.
    fn duration(&self, part: Part<'m>) -> Option<Value> {
        if part.is_empty() {
            return None;
        }
        let unit = self.reader.code(part.component(2).subcomponent(1), table::period_unit)?;
        let length = self.length(part.component(1))?;
        let system = table::system("UCUM", self.reception.namespace);
        Some(json!({ "value": length, "unit": unit, "system": system, "code": unit }))
    }

    /// TQ1-2: how much at each of these times, where it is not what the order says. Without a unit, `1` is once the
    /// order's amount; any other number might be times it, or instead of it.
    fn own_dose(&self, amount: Part<'m>) -> Option<Value> {
        if amount.is_empty() || amount.is_null() {
            return None;
        }
        let dose = self.reader.composite_quantity(amount);
        // The order's own amount would stand for one that cannot be read.
        let Some(dose) = dose.filter(|_| !amount.raw().trim().starts_with('-')) else {
            self.refuse(Refusal::Dose(self.place.at(2)));
            return None;
        };
        if dose.get("unit").is_some() {
            return Some(dose);
        }
        let whole = Value::from(self.order.dosage.clone());
        let ordered = whole.pointer("/doseAndRate/0/doseQuantity/value").map(plain);
        let sent = dose.get("value").map(plain);
        if sent.as_deref() != Some("1") && sent != ordered {
            self.refuse(Refusal::Dose(self.place.at(2)));
        }
        None
    }

    /// RXC: what it is mixed of. FHIR has a strength of ingredients in a whole, and v2 an amount that is added to what
    /// nobody says; so it is a note, without which an infusion would seem to be its base alone.
    pub(super) fn component(&mut self, rxc: Segment<'m>) {
        let Some(medication) = self.order.medication else { return };
        let named = |part: Part<'m>| {
            [1, 4].into_iter().find_map(|code| {
                let name = self.reader.text(part.component(code + 1));
                name.or_else(|| self.reader.text(part.component(code)))
            })
        };
        let Some(what) = named(rxc.field(2)) else { return };
        let kind = match self.reader.text(rxc.field(1)).as_deref() {
            Some("B") => Some("Base:".to_string()),
            Some("A") => Some("Additive:".to_string()),
            other => other.map(|code| alloc::format!("{code}:")),
        };
        let amount = self.reader.text(rxc.field(3));
        let unit = named(rxc.field(4));
        let parts: Vec<String> = [kind, Some(what), amount, unit].into_iter().flatten().collect();
        let note = json!({ "text": parts.join(" ") });
        self.entries.resource(medication).push("note", Some(note));
    }

    /// RXR: how and where it is given. A second is another way, for which there is no place.
    pub(super) fn route(&mut self, rxr: Segment<'m>) {
        if self.order.immunization.is_none() && self.order.medication.is_none() {
            return;
        }
        if mem::replace(&mut self.order.is_routed, true) {
            return;
        }
        let route = self.reader.tabled(rxr.field(1), "0162");
        let site = self.reader.tabled(rxr.field(2), "0163");
        if let Some(immunization) = self.order.immunization {
            let immunization = self.entries.resource(immunization);
            immunization.put("route", route);
            immunization.put("site", site);
        } else if self.order.medication.is_some() {
            let method = self.reader.tabled(rxr.field(4), "0165");
            self.order.dosage.put("site", site);
            self.order.dosage.put("route", route);
            self.order.dosage.put("method", method);
        }
    }

    /// RXA: what was given. In the messages taken here it is a vaccine.
    pub(super) fn administration(&mut self, rxa: Segment<'m>) {
        // What follows is told (RE); of what else is done with an order, a vaccine that was given says nothing.
        let is_told = self.control() == "RE";
        self.order.common.filter(|_| is_told).into_iter().for_each(|orc| _ = orc.field(1).text());
        let ids = [self.order_id(rxa, 0, "PLAC"), self.order_id(rxa, 0, "FILL")];
        // 9999 stands in ORC-3 of refusals and of what others gave: everybody's number, and so nobody's.
        let is_own = |id: &Value| id.get("value").is_none_or(|value| value != "9999");
        let ids = ids.map(|id| id.filter(is_own));
        let whose = ids.iter().flatten().last().map(key);
        let what = self.code_of(rxa.field(5));
        let when = self.reader.date_time(rxa.field(3));
        let about = match whose {
            Some(_) => [whose, what],
            None => [what, when.clone()],
        };
        let known_by = self.derived("RXA", &about);
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
        let is_change = matches!(self.action(rxa.field(21)), Some("U" | "D"));
        let existing = if is_change { Existing::Replace } else { Existing::Keep };
        let handle = self.entries.add(given, known_by.as_ref(), existing);
        self.order.key = known_by.is_some().then(|| Vec::from(about));
        self.order.immunization = Some(handle);
        self.order.is_routed = false;
        self.noted = Some(handle);
    }

    /// RXA-20 and RXA-21: `completed`, `not-done` or `entered-in-error`. A status that is not known is refused: it is
    /// not for a reader to guess whether somebody is protected.
    fn vaccination_status(&self, given: &mut Object, rxa: Segment<'m>) {
        let is_deleted = rxa.field(21).raw().trim() == "D";
        let done = match self.reader.text(rxa.field(20)).as_deref() {
            None | Some("CP" | "PA") => "completed",
            Some("RE" | "NA") => "not-done",
            Some(_) => {
                self.refuse(Refusal::Value(self.place.at(20)));
                "not-done"
            }
        };
        let status = match done {
            _ if is_deleted => "entered-in-error",
            _ if is_no_vaccine(rxa.field(5)) => "not-done",
            done => done,
        };
        given.set("status", status);
        if status == "not-done" {
            let reason = rxa.field(18);
            let mut concept = self.reader.concept(reason);
            let coding = concept.as_mut().and_then(|concept| concept.pointer_mut("/coding/0"));
            if let Some(coding) = coding.and_then(Value::as_object_mut) {
                let system = table::system("NIP002", self.reception.namespace);
                coding.entry("system").or_insert_with(|| system.into());
            }
            given.put("statusReason", concept);
        }
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
        if rxa.field(6).raw().trim() == "999" {
            rxa.field(6).text();
        } else {
            given.put("doseQuantity", self.amount(rxa.field(6), rxa.field(7)));
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

/// Of two amounts that are not negative, the first is more.
fn is_above(low: Option<&Object>, high: Option<&Object>) -> bool {
    let parts = |amount: &Object| {
        let number = amount.value("value").map(plain).unwrap_or_default();
        let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
        // Without zeros in front, the longer is more; without zeros behind, fractions are in the order of their text.
        (whole.len(), whole.to_string(), fraction.to_string())
    };
    low.zip(high).is_some_and(|(low, high)| parts(low) > parts(high))
}

/// A number without zeros at the end of its fraction.
fn plain(number: &Value) -> String {
    let text = number.to_string();
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole.to_string(),
        Some(_) => text.trim_end_matches('0').to_string(),
        None => text,
    }
}

/// Statuses of orders in words of MedicationRequest.
fn medication_status(status: &'static str, is_discontinued: bool) -> &'static str {
    match status {
        "revoked" if is_discontinued => "stopped",
        "revoked" => "cancelled",
        other => other,
    }
}

/// CVX 998: no vaccine was administered.
fn is_no_vaccine(what: Part<'_>) -> bool {
    [(1, 3), (4, 6)].into_iter().any(|(code, system)| {
        let system = what.component(system).raw().trim();
        what.component(code).raw().trim() == "998" && matches!(system, "CVX" | "")
    })
}

/// A text that tells how to take or give something.
fn instruction(reader: &super::Reader<'_>, part: Part<'_>) -> Option<Value> {
    let text = reader.text(part.component(2)).or_else(|| reader.text(part.component(1)))?;
    Some(text.into())
}

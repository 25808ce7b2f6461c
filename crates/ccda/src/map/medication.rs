//! Medication activities as MedicationStatement (mood EVN) or MedicationRequest (mood INT), and immunizations.
//!
//! A timing is mapped where its parts are one rule: bounds, a period or an event. Anything else is told in the document's
//! own words, if it has any, and noted.

use alloc::string::ToString;

use keepwell_fhir::draft::{Handle, Object, number};
use serde_json::{Value, json};

use super::{Mapper, Why, code_key, coded, is_negated, of_mood, status};
use crate::document::Element;

const SNOMED: &str = "http://snomed.info/sct";
const INDICATION: &str = "2.16.840.1.113883.10.20.22.4.19";
const FREE_TEXT: &str = "2.16.840.1.113883.10.20.22.4.147";
const INSTRUCTION: &str = "2.16.840.1.113883.10.20.22.4.20";
const SUPPLY: &str = "2.16.840.1.113883.10.20.22.4.17";
const REFUSAL_REASON: &str = "2.16.840.1.113883.10.20.22.4.53";
const REACTION: &str = "2.16.840.1.113883.10.20.22.4.9";
const NO_KNOWN_MEDICATIONS: &str = "787481004";
/// Events of a day that FHIR knows by the same codes (v3-TimingEvent).
const EVENTS: [&str; 14] =
    ["HS", "WAKE", "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC", "PCM", "PCD", "PCV"];

impl<'d> Mapper<'d> {
    pub(super) fn medication(&mut self, activity: Element<'d>) -> Result<Handle, Why> {
        of_mood(activity, &["EVN", "INT"])?;
        let is_meant = activity.attribute("moodCode") == Some("INT");
        let negated = is_negated(activity);
        let code = self.substance(activity);
        let Some(code) = code else {
            if negated && !is_meant {
                return self.no_known_medication(activity);
            }
            return Err(Why::NoCode);
        };
        if negated && code_of(&code) == Some(NO_KNOWN_MEDICATIONS) {
            return Err(Why::Negated);
        }
        if is_meant {
            self.request(activity, code, negated)
        } else {
            self.statement_of(activity, code, negated)
        }
    }

    /// A medicine that is meant to be taken, whatever its mood is called.
    pub(super) fn intended(&mut self, activity: Element<'d>) -> Result<Handle, Why> {
        let code = self.substance(activity).ok_or(Why::NoCode)?;
        self.request(activity, code, is_negated(activity))
    }

    /// What is given: a code or a name.
    fn substance(&self, activity: Element<'d>) -> Option<Value> {
        let product = activity.at(&["consumable", "manufacturedProduct"])?;
        let material = product.child("manufacturedMaterial");
        let material = material.or_else(|| product.child("manufacturedLabeledDrug"))?;
        let code = material.child("code").and_then(|it| self.reader.concept(it));
        let name = || {
            let name = material.child("name").and_then(|it| self.reader.text(it));
            name.map(|it| json!({ "text": it }))
        };
        code.or_else(name)
    }

    fn no_known_medication(&mut self, activity: Element<'d>) -> Result<Handle, Why> {
        let mut taken = Object::of("MedicationStatement");
        taken.set("status", "unknown");
        taken.set("medicationCodeableConcept", coded(SNOMED, NO_KNOWN_MEDICATIONS));
        taken.put("subject", self.subject());
        taken.put("dateAsserted", self.written(&[activity]).1);
        self.add(taken, activity, &[Some(NO_KNOWN_MEDICATIONS.to_string())])
    }

    /// What a patient takes, took, or did not take.
    fn statement_of(
        &mut self,
        activity: Element<'d>,
        code: Value,
        negated: bool,
    ) -> Result<Handle, Why> {
        let mut taken = Object::of("MedicationStatement");
        let status = match status(activity) {
            "nullified" => "entered-in-error",
            _ if negated => "not-taken",
            "active" => "active",
            "completed" => "completed",
            "aborted" => "stopped",
            "suspended" | "held" => "on-hold",
            "cancelled" => "not-taken",
            "new" => "intended",
            "" => "unknown",
            _ => return Err(Why::Status),
        };
        taken.set("status", status);
        let about = code_key(&code);
        taken.set("medicationCodeableConcept", code);
        taken.put("subject", self.subject());
        let bounds = activity.all("effectiveTime").find(|it| is_bounds(*it));
        let began = bounds.and_then(|it| self.reader.start(it));
        self.reader.when(&mut taken, "effective", bounds);
        let (who, when) = self.written(&[activity]);
        taken.put("dateAsserted", when);
        taken.put("informationSource", who);
        self.reasons(&mut taken, activity);
        self.notes(&mut taken, activity);
        taken.push("dosage", self.dosage(activity, false).some());
        // A statement of what is taken has no place for what a pharmacy may give.
        if !self.related(activity, SUPPLY).is_empty() {
            self.reader.note();
        }
        self.add(taken, activity, &[about, began])
    }

    /// What a patient is to take, or is not to.
    fn request(
        &mut self,
        activity: Element<'d>,
        code: Value,
        negated: bool,
    ) -> Result<Handle, Why> {
        let mut request = Object::of("MedicationRequest");
        let status = match status(activity) {
            "active" => "active",
            "completed" => "completed",
            "aborted" => "stopped",
            "suspended" | "held" => "on-hold",
            "cancelled" => "cancelled",
            "nullified" => "entered-in-error",
            "new" => "draft",
            "" => "unknown",
            _ => return Err(Why::Status),
        };
        request.set("status", status);
        request.set("intent", "plan");
        if negated {
            request.set("doNotPerform", true);
        }
        let about = code_key(&code);
        request.set("medicationCodeableConcept", code);
        request.put("subject", self.subject());
        let (who, when) = self.written(&[activity]);
        request.put("authoredOn", when);
        request.put("requester", who);
        self.reasons(&mut request, activity);
        self.notes(&mut request, activity);
        request.push("dosageInstruction", self.dosage(activity, true).some());
        self.supplies(&mut request, activity);
        let began = activity.all("effectiveTime").find(|it| is_bounds(*it));
        let began = began.and_then(|it| self.reader.start(it));
        self.add(request, activity, &[about, began])
    }

    fn reasons(&self, resource: &mut Object, statement: Element<'d>) {
        for indication in self.related(statement, INDICATION) {
            let reason = indication.child("value").and_then(|it| self.reader.concept(it));
            resource.push("reasonCode", reason);
        }
    }

    /// How often a pharmacy may give it, and how much.
    fn supplies(&self, request: &mut Object, activity: Element<'d>) {
        let Some(supply) = self.related(activity, SUPPLY).into_iter().next() else { return };
        let mut dispense = Object::default();
        let times = supply.child("effectiveTime").and_then(|it| self.reader.period(it));
        dispense.put("validityPeriod", times);
        // All times are counted in one standard, and those after the first in the other.
        let total = supply.child("repeatNumber").and_then(|it| it.attribute("value"));
        let total = total.and_then(|it| it.parse::<u32>().ok()).filter(|it| *it <= 1_000);
        dispense.put("numberOfRepeatsAllowed", total.and_then(|it| it.checked_sub(1)));
        let quantity = supply.child("quantity").and_then(|it| self.reader.quantity(it)?.some());
        dispense.put("quantity", quantity);
        request.put("dispenseRequest", dispense.some());
    }

    /// How it is taken. `has_bounds` is whether the whole time stands here, and not in the resource itself.
    fn dosage(&self, activity: Element<'d>, has_bounds: bool) -> Object {
        let mut dosage = Object::default();
        let free = self.related(activity, FREE_TEXT).into_iter().next();
        let free = free.and_then(|it| self.reader.text(it.child("text")?));
        let text = free.or_else(|| activity.child("text").and_then(|it| self.reader.text(it)));
        dosage.put("text", text);
        for instruction in self.related(activity, INSTRUCTION) {
            let text = instruction.child("text").and_then(|it| self.reader.text(it));
            dosage.fill("patientInstruction", text);
        }
        dosage.put("timing", self.timing(activity, has_bounds));
        if let Some(condition) = activity.child("precondition") {
            let value = condition.at(&["criterion", "value"]);
            match value.and_then(|it| self.reader.concept(it)) {
                Some(condition) => dosage.set("asNeededCodeableConcept", condition),
                None => dosage.set("asNeededBoolean", true),
            }
        }
        let concept = |name| activity.child(name).and_then(|it| self.reader.concept(it));
        dosage.put("site", concept("approachSiteCode"));
        dosage.put("route", concept("routeCode"));
        let mut amount = Object::default();
        self.amount(&mut amount, "dose", activity.child("doseQuantity"));
        self.amount(&mut amount, "rate", activity.child("rateQuantity"));
        dosage.push("doseAndRate", amount.some());
        let most = activity.child("maxDoseQuantity").filter(|it| it.null_flavor().is_none());
        dosage.put("maxDosePerPeriod", most.and_then(|it| self.reader.ratio(it)));
        dosage
    }

    fn amount(&self, amount: &mut Object, name: &str, element: Option<Element<'d>>) {
        let Some(element) = element.filter(|it| it.null_flavor().is_none()) else { return };
        let key = |kind| [name, kind].concat();
        if element.attribute("value").is_some() {
            let quantity = self.reader.quantity(element);
            amount.put(&key("Quantity"), quantity.and_then(Object::some));
        } else {
            amount.put(&key("Range"), self.reader.range(element));
        }
    }

    fn timing(&self, activity: Element<'d>, has_bounds: bool) -> Option<Value> {
        let (mut timing, mut repeat) = (Object::default(), Object::default());
        let mut rules = 0;
        for time in activity.all("effectiveTime").filter(|it| it.null_flavor().is_none()) {
            match time.kind() {
                _ if is_bounds(time) => match time.attribute("value") {
                    _ if !has_bounds => {}
                    Some(_) => timing.push("event", self.reader.date_time(time)),
                    None => repeat.put("boundsPeriod", self.reader.period(time)),
                },
                "PIVL_TS" => {
                    rules += 1;
                    self.periodic(&mut repeat, time);
                }
                "EIVL_TS" => {
                    rules += 1;
                    self.at_event(&mut repeat, time);
                }
                _ => self.reader.note(),
            }
        }
        // Of two rules FHIR's one would be neither.
        if rules > 1 {
            self.reader.note();
            return None;
        }
        timing.put("repeat", repeat.some());
        timing.some()
    }

    /// PIVL_TS: once in each period.
    fn periodic(&self, repeat: &mut Object, time: Element<'d>) {
        let Some(period) = time.child("period") else { return self.reader.note() };
        let (low, high) = (period.child("low"), period.child("high"));
        let (from, to) =
            if period.attribute("value").is_some() { (Some(period), None) } else { (low, high) };
        let read = from.and_then(|it| {
            let unit = unit_of_time(it.attribute("unit")?)?;
            Some((number(it.attribute("value")?).filter(|it| is_positive(&it.to_string()))?, unit))
        });
        let Some((value, unit)) = read else { return self.reader.note() };
        if let Some(to) = to {
            let is_same = to.attribute("unit").and_then(unit_of_time) == Some(unit);
            let most = to.attribute("value").and_then(number).filter(|_| is_same);
            let Some(most) = most else { return self.reader.note() };
            repeat.set("periodMax", Value::Number(most));
        }
        repeat.set("frequency", 1);
        repeat.set("period", Value::Number(value));
        repeat.set("periodUnit", unit);
        if time.child("phase").is_some() {
            self.reader.note();
        }
    }

    /// EIVL_TS: at an event of the day, or some minutes from it.
    fn at_event(&self, repeat: &mut Object, time: Element<'d>) {
        let event = time.child("event").and_then(|it| it.attribute("code"));
        let Some(event) = event.filter(|it| EVENTS.contains(it)) else {
            return self.reader.note();
        };
        if let Some(offset) = time.child("offset") {
            let exact = offset.child("low").or(Some(offset));
            let minutes = exact.and_then(|it| {
                let value: u32 = it.attribute("value")?.parse().ok()?;
                let factor = match it.attribute("unit")? {
                    "min" => 1,
                    "h" => 60,
                    "d" => 24 * 60,
                    _ => return None,
                };
                value.checked_mul(factor).filter(|it| *it <= 7 * 24 * 60)
            });
            // Before or after is part of the event's code; without one of them an offset means nothing.
            let has_side = event.starts_with('A') || event.starts_with('P');
            match minutes.filter(|_| has_side && offset.child("high").is_none()) {
                Some(minutes) => repeat.set("offset", minutes),
                None => return self.reader.note(),
            }
        }
        repeat.push("when", Some(event));
    }

    pub(super) fn immunization(&mut self, activity: Element<'d>) -> Result<Handle, Why> {
        of_mood(activity, &["EVN"])?;
        let mut given = Object::of("Immunization");
        let status = match status(activity) {
            "nullified" => "entered-in-error",
            _ if is_negated(activity) => "not-done",
            "completed" => "completed",
            "aborted" | "cancelled" => "not-done",
            // Begun, held or not told: neither given nor not.
            _ => return Err(Why::Status),
        };
        given.set("status", status);
        for reason in self.related(activity, REFUSAL_REASON) {
            let reason = reason.child("code").and_then(|it| self.reader.concept(it));
            given.fill("statusReason", reason);
        }
        let code = self.substance(activity).ok_or(Why::NoCode)?;
        let about = code_key(&code);
        given.set("vaccineCode", code);
        given.put("patient", self.subject());
        let when = activity.child("effectiveTime").and_then(|it| self.reader.start(it));
        match &when {
            Some(when) => given.set("occurrenceDateTime", when.as_str()),
            None => given.set("occurrenceString", "unknown"),
        }
        given.put("recorded", self.written(&[activity]).1);
        given.set("primarySource", self.is_primary(activity));
        let product = activity.at(&["consumable", "manufacturedProduct"]);
        let maker = product.and_then(|it| it.child("manufacturerOrganization"));
        given.put("manufacturer", maker.and_then(|it| self.reader.organization(it)));
        let lot = product.and_then(|it| it.at(&["manufacturedMaterial", "lotNumberText"]));
        given.put("lotNumber", lot.and_then(|it| self.reader.text(it)));
        let concept = |name| activity.child(name).and_then(|it| self.reader.concept(it));
        given.put("site", concept("approachSiteCode"));
        given.put("route", concept("routeCode"));
        let dose = activity.child("doseQuantity").filter(|it| it.null_flavor().is_none());
        given.put("doseQuantity", dose.and_then(|it| self.reader.quantity(it)?.some()));
        for who in self.performers(activity) {
            given.push("performer", Some(json!({ "actor": who })));
        }
        self.reasons(&mut given, activity);
        self.notes(&mut given, activity);
        if !self.related(activity, REACTION).is_empty() {
            self.reader.note();
        }
        self.add(given, activity, &[about, when])
    }

    /// Whether who wrote it down gave it too.
    fn is_primary(&self, activity: Element<'d>) -> bool {
        activity.child("informant").is_none() && !self.performers(activity).is_empty()
    }
}

/// The whole time in which something is taken, or the one when it is.
fn is_bounds(time: Element<'_>) -> bool {
    matches!(time.kind(), "IVL_TS" | "TS")
        || time.kind().is_empty()
            && (time.attribute("value").is_some()
                || time.child("low").is_some()
                || time.child("high").is_some())
}

fn code_of(concept: &Value) -> Option<&str> {
    concept.pointer("/coding/0/code").and_then(Value::as_str)
}

/// UCUM's units that FHIR counts time in.
fn unit_of_time(unit: &str) -> Option<&'static str> {
    ["s", "min", "h", "d", "wk", "mo", "a"].into_iter().find(|it| *it == unit)
}

fn is_positive(number: &str) -> bool {
    !number.starts_with('-') && number.bytes().any(|it| matches!(it, b'1'..=b'9'))
}

//! ORC and OBR as ServiceRequest and DiagnosticReport, OBX as Observation, SPM as Specimen, NTE as a note.
//!
//! An OBX stands under the OBR, RXA, RXE or TXA before it, or under the patient where there is none. Lines of one text
//! that were sent as an OBX each (TX, FT, with the same code and sub-id) are one Observation again. Results that were
//! ordered for another (OBR-26) are derived from it, if it stands above in the same message and is the only one of its
//! code and sub-id.
//!
//! Not here: what a result without a sub-id is once its own time (OBX-14) is another than before and than that of its
//! order. It is a second result, as of a series, and the first keeps its status until its sender withdraws it. Nor
//! which of several results of one order, code and sub-id is meant where one of them is sent again: it is taken for
//! the first, and so on in the order in which they stand.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::mem;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keepwell_fhir::draft::{Existing, Handle, Object, key, number};
use serde_json::{Value, json};

use super::{
    Kind, Mapper,
    datatype::display,
    person::{is_no_number, yes_or_no},
    table,
};
use crate::{
    limits::{IDENTIFIER_BYTES_MAX, VALUES_MAX},
    message::{Part, Segment},
};

/// What bytes of any type are.
const UNKNOWN_MEDIA: &str = "application/octet-stream";

impl<'m> Mapper<'m> {
    pub(super) fn common_order(&mut self, orc: Segment<'m>) {
        self.close_order();
        self.noted = None;
        self.order.common = Some(orc);
    }

    /// What stands in ORC is said of what follows it. Where nothing does, none of it is read, and so it is listed.
    pub(super) fn read_common(&self) {
        let Some(orc) = self.order.common else { return };
        orc.field(1).text();
        self.reader.code(orc.field(5), |status| table::is_order_status(status).then_some(()));
    }

    /// An OBR begins an order unless the ORC before it did.
    pub(super) fn observation_request(&mut self, obr: Segment<'m>) {
        let is_after_results = self.order.common.is_none() && self.order.has_results;
        if self.order.request.is_some() || is_after_results {
            self.close_order();
        }
        obr.field(1).text();
        self.read_common();
        let placer = self.order_id(obr, 2, "PLAC");
        let filler = self.order_id(obr, 3, "FILL");
        let what = self.code_of(obr.field(4));
        let whose = [&filler, &placer].into_iter().flatten().find(|id| !is_no_number(id)).map(key);
        self.order.key = whose.map(|whose| Vec::from([Some(whose), what, self.parent_key(obr)]));
        self.order.parent = self.parent(obr);
        let ids: Vec<Value> = [placer, filler].into_iter().flatten().collect();
        self.service_request(obr, &ids);
        if self.kind == Kind::Result {
            self.report(obr, &ids);
        }
    }

    /// The result for which this was ordered (OBR-26), as susceptibilities are for one of several organisms. It tells
    /// two orders apart that have the same number and code.
    fn parent_key(&self, obr: Segment<'m>) -> Option<String> {
        let parent = obr.field(26);
        let is_told = !parent.is_empty() && !parent.is_null();
        let (code, sub_id) = about_parent(parent.component(1), parent.component(2));
        is_told.then(|| format!("{code}|{sub_id}"))
    }

    /// That result, where it stands above in this message.
    fn parent(&self, obr: Segment<'m>) -> Option<Handle> {
        self.parent_key(obr)?;
        let parent = obr.field(26);
        let about = about_parent(parent.component(1), parent.component(2));
        let found = self.results.get(&about).copied().flatten()?;
        // Its text (component 3) is that result's value.
        parent.whole();
        Some(found)
    }

    /// Of an OBR or RXE, or of the ORC before it.
    pub(super) fn order_id(&self, segment: Segment<'m>, field: u16, kind: &str) -> Option<Value> {
        let at = if kind == "PLAC" { 2 } else { 3 };
        let place = format!("ORC-{at}");
        let own = (field > 0).then(|| self.reader.entity(segment.field(field), &place, kind));
        let common = self.order.common.map(|orc| orc.field(at));
        match (own.flatten(), common) {
            (Some(own), Some(common)) => {
                // The same is said twice; another number is listed.
                if common.raw() == segment.field(field).raw() {
                    common.whole();
                }
                Some(own)
            }
            (own, common) => own.or_else(|| self.reader.entity(common?, &place, kind)),
        }
    }

    fn service_request(&mut self, obr: Segment<'m>, ids: &[Value]) {
        let mut request = Object::of("ServiceRequest");
        let known_by = self.of_order("OBR", &[Some("request".to_string())]);
        request.list("identifier", ids.iter().cloned().chain(known_by.clone()).collect());
        request.set("status", self.order_status("unknown"));
        request.set("intent", "order");
        let priority = self.reader.code(obr.field(5), table::priority);
        request.put("priority", priority);
        request.put("code", self.reader.concept(obr.field(4)));
        request.put("subject", self.refer(self.patient));
        request.put("encounter", self.refer(self.encounter));
        request.put("occurrenceDateTime", self.reader.date_time(obr.field(6)));
        let common = self.order.common;
        request.put("authoredOn", common.and_then(|orc| self.reader.date_time(orc.field(9))));
        let who = self.reader.practitioner(obr.field(16));
        let who = who.or_else(|| self.reader.practitioner(common?.field(12)));
        request.put("requester", who);
        request.list("reasonCode", self.reader.all(obr, 31, |reader, part| reader.concept(part)));
        let control = common.map_or("NW", |orc| orc.field(1).raw().trim());
        // Notes are said anew with each result, and what is no new order says something of one.
        let is_news = self.kind == Kind::Result || !matches!(control, "NW" | "");
        let existing = if is_news { Existing::Replace } else { Existing::Keep };
        let handle = self.entries.add(request, known_by.as_ref(), existing);
        self.order.request = Some(handle);
        self.noted = Some(handle);
    }

    /// What ORC-5 and ORC-1 say of an order, or else `usual`.
    pub(super) fn order_status(&self, usual: &'static str) -> &'static str {
        let Some(orc) = self.order.common else { return usual };
        let text = |field: u16| self.reader.text(orc.field(field)).unwrap_or_default();
        table::request_status(&text(5), &text(1)).unwrap_or(usual)
    }

    /// Whether ORC-5 or ORC-1 says that what was ordered went on for a while, and ends.
    pub(super) fn is_discontinued(&self) -> bool {
        let Some(orc) = self.order.common else { return false };
        let text = |field: u16| self.reader.text(orc.field(field)).unwrap_or_default();
        text(5) == "DC" || matches!(text(1).as_str(), "DC" | "OD" | "DR")
    }

    fn report(&mut self, obr: Segment<'m>, ids: &[Value]) {
        let mut report = Object::of("DiagnosticReport");
        let known_by = self.of_order("OBR", &[Some("report".to_string())]);
        report.list("identifier", ids.iter().cloned().chain(known_by.clone()).collect());
        report.push("basedOn", self.refer(self.order.request));
        let status = self.reader.code(obr.field(25), table::report_status);
        report.set("status", status.unwrap_or("unknown"));
        report.push("category", self.reader.tabled(obr.field(24), "0074"));
        report.set("code", self.reader.concept(obr.field(4)).unwrap_or_else(table::unknown));
        report.put("subject", self.refer(self.patient));
        report.put("encounter", self.refer(self.encounter));
        self.order.collected = self.reader.date_time(obr.field(7));
        self.order.collected_key = self.reader.time_key(obr.field(7));
        if obr.field(8).is_empty() {
            report.put("effectiveDateTime", self.order.collected.clone());
        } else {
            report.put("effectivePeriod", self.reader.period(obr.field(7), obr.field(8)));
        }
        report.put("issued", self.reader.instant(obr.field(22)));
        report.list("resultsInterpreter", self.reader.all(obr, 32, Self::interpreter));
        self.order.report = Some(self.entries.add(report, known_by.as_ref(), Existing::Replace));
        self.order.status = Some(obr.field(25));
    }

    /// NDL: a name whose parts are subcomponents.
    fn interpreter(reader: &super::Reader<'_>, part: Part<'_>) -> Option<Value> {
        let at = |number| reader.text(part.component(1).subcomponent(number));
        let name: Vec<String> = [6, 3, 4, 2, 5].into_iter().filter_map(at).collect();
        let mut who = Object::default();
        who.set("type", "Practitioner");
        if let Some(id) = at(1) {
            let system = format!("{}/practitioner", reader.namespace);
            who.set("identifier", json!({ "system": system, "value": id }));
        }
        who.put("display", (!name.is_empty()).then(|| name.join(" ")));
        (who.has("identifier") || who.has("display")).then(|| who.into())
    }

    /// Gives a report its results; the next segments are about something else.
    pub(super) fn close_order(&mut self) {
        self.close_medication();
        let order = mem::take(&mut self.order);
        self.text_line = None;
        let Some(report) = order.report else { return };
        // Nothing of the results is said: those that were told before stay, unless there will be none.
        if !order.has_results && self.entries.resource(report).text("status") != "cancelled" {
            self.entries.keep(report);
            order.status.into_iter().for_each(|status| self.reader.note(status));
        }
        for result in order.results {
            let reference = self.entries.reference(result);
            self.entries.resource(report).push("result", Some(reference));
        }
    }

    pub(super) fn observation(&mut self, obx: Segment<'m>) {
        obx.field(1).text();
        self.order.has_results = true;
        let kind = self.reader.text(obx.field(2)).unwrap_or_default();
        match kind.as_str() {
            "ED" | "RP" => self.attachment(obx, &kind),
            "TX" | "FT" | "ST" if self.document.is_some() => self.document_text(obx),
            "TX" | "FT" => self.text_result(obx, &kind),
            _ => {
                self.text_line = None;
                self.result(obx, &kind);
            }
        }
    }

    fn text_result(&mut self, obx: Segment<'m>, kind: &str) {
        let key = [3, 4, 11, 14].map(|field| obx.raw_field(field)).join("|");
        if let Some((last, handle)) = &self.text_line
            && *last == key
            && self.entries.resource(*handle).has("valueString")
        {
            let handle = *handle;
            let line = self.lines(obx).unwrap_or_default();
            for field in [3, 4, 11, 14] {
                obx.field(field).whole();
            }
            self.entries.resource(handle).append("valueString", &line);
            self.noted = Some(handle);
            return;
        }
        self.text_line = self.result(obx, kind).map(|handle| (key, handle));
    }

    /// The result of an OBX, unless it is one that was told before and that nothing tells apart.
    fn result(&mut self, obx: Segment<'m>, kind: &str) -> Option<Handle> {
        let when = self.reader.date_time(obx.field(14));
        let is_untold = self.is_untold(obx);
        self.noted = None;
        if is_untold {
            self.reader.note(obx.field(11));
        }
        let given = self.reader.entity(obx.field(21), "OBX-21", "");
        let known_by = self.result_id(obx, given.as_ref(), self.reader.time_key(obx.field(14)));
        if is_untold && known_by.is_none() {
            return None;
        }
        let ids = given.into_iter().chain(known_by.clone()).collect();
        let observation = self.observation_of(obx, kind, ids, when);
        let existing = if is_untold { Existing::Keep } else { self.existing_result(obx) };
        let handle = self.entries.add(observation, known_by.as_ref(), existing);
        self.order.results.push(handle);
        // Of two that are called the same, nobody knows which one is meant.
        let about = about_parent(obx.field(3), obx.field(4));
        self.results.entry(about).and_modify(|found| *found = None).or_insert(Some(handle));
        self.noted = Some(handle).filter(|_| !is_untold);
        Some(handle)
    }

    /// `U`: final now, and sent before. Its value stands there, and must not be replaced by none.
    fn is_untold(&self, obx: Segment<'m>) -> bool {
        obx.field(11).raw().trim() == "U" && obx.repetitions(5).next().is_none()
    }

    /// Corrections and withdrawals are newer wherever they are told.
    pub(super) fn existing_result(&self, obx: Segment<'m>) -> Existing {
        let status = obx.field(11).raw().trim();
        let is_change = matches!(status, "A" | "B" | "C" | "D" | "W" | "X");
        if self.kind == Kind::Result || is_change { Existing::Replace } else { Existing::Keep }
    }

    /// By OBX-21, or by what was measured under which order; without a sub-id or an order by when, too. The time of the
    /// order itself (OBR-7) tells nothing apart: it is what an OBX-14 that is not sent says.
    fn result_id(
        &self,
        obx: Segment<'m>,
        given: Option<&Value>,
        when: Option<String>,
    ) -> Option<Value> {
        if given.is_some() {
            return self.numbered_result(obx, given);
        }
        let sub_id = self.reader.text(obx.field(4));
        let is_ordered = self.order.key.is_some() || self.order.request.is_some();
        if !is_ordered && when.is_none() {
            return None;
        }
        let is_of_order = is_ordered && when == self.order.collected_key;
        let by_time = when.filter(|_| !is_of_order && (sub_id.is_none() || !is_ordered));
        let mut about = Vec::from([self.code_of(obx.field(3)), sub_id]);
        about.extend(by_time.map(Some));
        if is_ordered { self.of_order("OBX", &about) } else { self.derived("OBX", &about) }
    }

    /// By OBX-21. Without an authority it is often a counter of each message, and of one code in one order at most.
    pub(super) fn numbered_result(&self, obx: Segment<'m>, given: Option<&Value>) -> Option<Value> {
        let given = given?;
        if [2, 3, 4].iter().any(|part| !obx.field(21).component(*part).is_empty()) {
            return self.numbered("OBX", Some(given));
        }
        let about = [Some(key(given)), self.code_of(obx.field(3))];
        match self.order.key {
            Some(_) => self.of_order("OBX", &about),
            None => self.derived("OBX", &about),
        }
    }

    fn observation_of(
        &self,
        obx: Segment<'m>,
        kind: &str,
        identifiers: Vec<Value>,
        when: Option<String>,
    ) -> Object {
        let mut observation = Object::of("Observation");
        observation.list("identifier", identifiers);
        observation.push("basedOn", self.refer(self.order.request));
        observation.push("partOf", self.refer(self.order.immunization));
        let status = self.reader.code(obx.field(11), table::observation_status);
        observation.set("status", status.unwrap_or("unknown"));
        observation.set("code", self.reader.concept(obx.field(3)).unwrap_or_else(table::unknown));
        observation.put("subject", self.refer(self.patient));
        observation.put("encounter", self.refer(self.encounter));
        observation.put("effectiveDateTime", when.or_else(|| self.order.collected.clone()));
        observation.list("performer", self.performers(obx));
        self.value(&mut observation, obx, kind);
        self.qualify(&mut observation, obx);
        observation
    }

    fn performers(&self, obx: Segment<'m>) -> Vec<Value> {
        let mut who = self.reader.all(obx, 16, |reader, part| reader.practitioner(part));
        who.extend(self.reader.organization(obx.field(23)));
        let producer = self.reader.text(obx.field(15).component(2));
        who.extend(producer.or_else(|| self.reader.text(obx.field(15))).map(display));
        who
    }

    fn qualify(&self, observation: &mut Object, obx: Segment<'m>) {
        for flag in obx.repetitions(8) {
            let Some(mut concept) = self.reader.tabled(flag, "0078") else { continue };
            let code = self.reader.text(flag).unwrap_or_default();
            let is_ours = flag.component(3).is_empty() || flag.component(3).raw() == "HL70078";
            if let Some(coding) = concept.pointer_mut("/coding/0/system").filter(|_| is_ours) {
                *coding = table::interpretation_system(&code).into();
            }
            observation.push("interpretation", Some(concept));
        }
        if let Some(range) = self.reader.text(obx.field(7)) {
            observation.push("referenceRange", Some(self.range(obx, &range)));
        }
        observation.put("method", self.reader.concept(obx.field(17)));
        observation.put("bodySite", self.reader.concept(obx.field(20)));
        let device = self.reader.entity(obx.field(18), "OBX-18", "");
        observation.put("device", device.map(|id| json!({ "type": "Device", "identifier": id })));
        observation.put("specimen", self.refer(self.order.specimen));
        observation.push("derivedFrom", self.refer(self.order.parent));
    }

    /// `3.5-5.0` has two ends; whatever else it says is a text only.
    fn range(&self, obx: Segment<'m>, text: &str) -> Value {
        let mut range = Object::default();
        let ends = text
            .split_once('-')
            .and_then(|(low, high)| Some((number(low.trim())?, number(high.trim())?)));
        if let Some((low, high)) = ends {
            for (key, value) in [("low", low), ("high", high)] {
                let mut quantity = Object::default();
                quantity.set("value", Value::Number(value));
                self.reader.unit(&mut quantity, obx.field(6));
                range.set(key, Value::from(quantity));
            }
        }
        range.set("text", text);
        range.into()
    }

    fn value(&self, observation: &mut Object, obx: Segment<'m>, kind: &str) {
        let values: Vec<(&str, Value)> = match kind {
            "TX" | "FT" | "ST" => {
                self.lines(obx).map(|text| ("valueString", text.into())).into_iter().collect()
            }
            // Each value repeats code and unit.
            _ if is_much(obx) => {
                self.lines(obx).map(|text| ("valueString", text.into())).into_iter().collect()
            }
            _ => obx.repetitions(5).filter_map(|part| self.value_of(obx, part, kind)).collect(),
        };
        match <[(&str, Value); 1]>::try_from(values) {
            Ok([(key, value)]) => {
                observation.set(key, value);
                if key == "valueString" {
                    observation.push("note", self.unit_of_text(obx));
                }
            }
            Err(values) if values.is_empty() => {
                let is_asked = obx.field(11).raw().trim() != "N";
                let why = if is_asked { "unknown" } else { "not-asked" };
                observation.set("dataAbsentReason", table::absent(why));
            }
            // FHIR has one value; more than one are parts of it with the same code.
            Err(values) => {
                for (key, value) in values {
                    let code = self.reader.concept(obx.field(3)).unwrap_or_else(table::unknown);
                    let mut component = Object::default();
                    component.set("code", code);
                    component.set(key, value);
                    observation.push("component", Some(Value::from(component)));
                }
            }
        }
    }

    /// Texts have no unit in FHIR, and numbers that cannot be read are texts.
    fn unit_of_text(&self, obx: Segment<'m>) -> Option<Value> {
        let code = self.reader.text(obx.field(6));
        let unit = code.or_else(|| self.reader.text(obx.field(6).component(2)))?;
        Some(json!({ "text": format!("Unit: {unit}") }))
    }

    /// A value of its type; what is none, as it was written.
    fn value_of(
        &self,
        obx: Segment<'m>,
        part: Part<'m>,
        kind: &str,
    ) -> Option<(&'static str, Value)> {
        self.typed_value(obx, part, kind).or_else(|| {
            let is_said = part.components().any(|piece| !piece.is_empty() && !piece.is_null());
            self.reader.whole(part).filter(|_| is_said).map(|text| ("valueString", text.into()))
        })
    }

    fn typed_value(
        &self,
        obx: Segment<'m>,
        part: Part<'m>,
        kind: &str,
    ) -> Option<(&'static str, Value)> {
        match kind {
            "NM" => Some(("valueQuantity", self.reader.quantity(part, obx.field(6))?.into())),
            "SN" => self.structured_number(obx, part),
            "CQ" => Some(("valueQuantity", self.reader.composite_quantity(part)?)),
            "CE" | "CWE" | "CNE" | "CF" => {
                Some(("valueCodeableConcept", self.reader.concept(part)?))
            }
            "DT" | "TS" | "DTM" => Some(("valueDateTime", self.reader.date_time(part)?.into())),
            "TM" => Some(("valueTime", self.reader.clock(part)?.into())),
            "DR" => {
                let ends = [1, 2].map(|at| part.component(at));
                let is_read = |end: &Part<'_>| {
                    end.is_empty() || end.is_null() || self.reader.time(*end).is_some()
                };
                let period = self.reader.period(ends[0], ends[1]);
                Some(("valuePeriod", period.filter(|_| ends.iter().all(is_read))?))
            }
            // A type without a form of its own in FHIR.
            _ => None,
        }
    }

    /// SN: `<^10`, `^1^:^128`, `^3^-^5`, `^2^+`.
    fn structured_number(&self, obx: Segment<'m>, part: Part<'m>) -> Option<(&'static str, Value)> {
        let [comparator, separator] = [1, 3].map(|at| self.reader.text(part.component(at)));
        let quantity = |at| self.reader.quantity(part.component(at), obx.field(6));
        let is_plain = comparator.as_deref().is_none_or(|sign| sign == "=");
        match (separator.as_deref(), part.component(4).is_empty()) {
            (None, true) => {
                let mut quantity = quantity(2)?;
                match comparator.as_deref() {
                    None | Some("=") => {}
                    Some(sign @ ("<" | "<=" | ">" | ">=")) => quantity.set("comparator", sign),
                    Some(_) => return None,
                }
                Some(("valueQuantity", quantity.into()))
            }
            (Some("-"), false) if is_plain => {
                let (low, high) = (quantity(2)?, quantity(4)?);
                Some(("valueRange", json!({ "low": Value::from(low), "high": Value::from(high) })))
            }
            (Some(":" | "/"), false) if is_plain => {
                let number = |at| self.reader.number(part.component(at));
                let (over, under) = (number(2)?, number(4)?);
                let ratio =
                    json!({ "numerator": { "value": over }, "denominator": { "value": under } });
                Some(("valueRatio", ratio))
            }
            _ => None,
        }
    }

    /// The lines of a text, which TX and FT send as repetitions.
    pub(super) fn lines(&self, obx: Segment<'m>) -> Option<String> {
        let lines: Vec<String> =
            obx.repetitions(5).filter_map(|part| self.reader.whole(part)).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// ED and RP: no value of an Observation in R4, but what a report or a document consists of.
    fn attachment(&mut self, obx: Segment<'m>, kind: &str) {
        self.text_line = None;
        self.noted = None;
        let is_part = self.document.is_some() || self.order.report.is_some();
        if is_part && self.is_withdrawn(obx) {
            self.document.iter_mut().for_each(|document| document.is_withdrawn = true);
            return;
        }
        let attachment = match kind {
            "RP" => self.pointer(obx),
            _ => self.encapsulated(obx),
        };
        let Some(attachment) = attachment else { return };
        // Forms have no status of their own; one that differs from what everybody takes them for is listed.
        if obx.field(11).raw().trim() == "F" {
            obx.field(11).text();
        }
        if let Some(document) = &mut self.document {
            document.attachments.push(attachment);
        } else if let Some(report) = self.order.report {
            self.entries.resource(report).push("presentedForm", Some(attachment));
        } else {
            self.lone_attachment(obx, attachment);
        }
    }

    /// Deleted, of another patient, or not to be had: it is told by its status and never shown.
    pub(super) fn is_withdrawn(&self, obx: Segment<'m>) -> bool {
        let is_withdrawn = matches!(obx.field(11).raw().trim(), "D" | "W" | "X");
        if is_withdrawn {
            self.reader.note(obx.field(11));
        }
        is_withdrawn
    }

    /// RP: pointer, application, type, subtype.
    fn pointer(&self, obx: Segment<'m>) -> Option<Value> {
        let part = obx.field(5);
        let mut attachment = Object::default();
        attachment.set("url", self.reader.text(part.component(1))?);
        self.reader.text(part.component(2));
        attachment.put("title", self.title(obx));
        let media = [3, 4].map(|at| self.reader.text(part.component(at)));
        attachment.put("contentType", media_type(&media));
        attachment.some()
    }

    /// ED: application, type, subtype, encoding, data.
    fn encapsulated(&self, obx: Segment<'m>) -> Option<Value> {
        let part = obx.field(5);
        self.reader.text(part.component(1));
        let media = [2, 3].map(|at| self.reader.text(part.component(at)));
        let encoding = self.reader.text(part.component(4)).unwrap_or_default();
        let data = self.reader.text(part.component(5));
        let mut attachment = Object::default();
        attachment.put("contentType", media_type(&media));
        attachment.put("title", self.title(obx));
        if let Some(data) = data {
            let (bytes, unread) = match encoding.to_ascii_lowercase().as_str() {
                "base64" => (STANDARD.decode(data.split_whitespace().collect::<String>()).ok(), 5),
                "hex" => (unhex(&data), 5),
                "a" | "" => (Some(data.into_bytes()), 5),
                // Bytes in a code that nobody knows are no text.
                _ => (None, 4),
            };
            if bytes.is_none() {
                self.reader.note(part.component(unread));
            }
            // FHIR takes no data without a type.
            attachment.fill("contentType", bytes.as_ref().map(|_| UNKNOWN_MEDIA));
            attachment.put("data", bytes.map(|bytes| STANDARD.encode(bytes)));
        }
        attachment.some()
    }

    fn title(&self, obx: Segment<'m>) -> Option<String> {
        let name = self.reader.text(obx.field(3).component(2));
        name.or_else(|| self.reader.text(obx.field(3)))
    }

    pub(super) fn specimen(&mut self, spm: Segment<'m>) {
        spm.field(1).text();
        let mut specimen = Object::of("Specimen");
        let ids = spm.field(2);
        for (component, kind) in [(1, "PLAC"), (2, "FILL")] {
            let part = ids.component(component).subcomponent(1);
            let Some(value) = self.reader.text(part) else { continue };
            let system = format!("{}/SPM-2", self.reception.namespace);
            let kind = table::concept(&table::v2("0203"), kind);
            specimen.push(
                "identifier",
                Some(json!({ "type": kind, "system": system, "value": value })),
            );
        }
        specimen.put("type", self.reader.tabled(spm.field(4), "0487"));
        specimen.put("subject", self.refer(self.patient));
        specimen.put("receivedTime", self.reader.date_time(spm.field(18)));
        specimen.push("request", self.refer(self.order.request));
        self.collection(&mut specimen, spm);
        for condition in self.reader.all(spm, 24, |reader, part| reader.tabled(part, "0493")) {
            specimen.push("condition", Some(condition));
        }
        self.specimen_status(&mut specimen, spm);
        for text in self.reader.all(spm, 14, |reader, part| reader.text(part).map(Value::from)) {
            specimen.push("note", Some(json!({ "text": text })));
        }
        // Its own identifiers are often of one patient's or one day's specimens; the order makes them one.
        let about = [specimen.first("identifier").map(key)];
        let known_by = self.of_order("SPM", &about);
        specimen.push("identifier", known_by.clone());
        let handle = self.entries.add(specimen, known_by.as_ref(), Existing::Keep);
        self.of_specimen(handle);
    }

    /// SPM-20 and SPM-21: one that was rejected is not what results should be taken from.
    fn specimen_status(&self, specimen: &mut Object, spm: Segment<'m>) {
        let is_there = self.reader.code(spm.field(20), yes_or_no);
        let is_there = is_there.map(|is| if is { "available" } else { "unavailable" });
        let reasons = self.reader.all(spm, 21, |reader, part| reader.tabled(part, "0490"));
        let status = if reasons.is_empty() { is_there } else { Some("unsatisfactory") };
        specimen.put("status", status);
        reasons.into_iter().for_each(|reason| specimen.push("condition", Some(reason)));
    }

    fn collection(&self, specimen: &mut Object, spm: Segment<'m>) {
        let mut collection = Object::default();
        let time = spm.field(17);
        match time.component(2).is_empty() {
            true => collection.put("collectedDateTime", self.reader.date_time(time.component(1))),
            false => {
                let period = self.reader.period(time.component(1), time.component(2));
                collection.put("collectedPeriod", period);
            }
        }
        collection.put("quantity", self.reader.composite_quantity(spm.field(12)));
        collection.put("method", self.reader.tabled(spm.field(7), "0488"));
        collection.put("bodySite", self.reader.concept(spm.field(8)));
        specimen.put("collection", collection.some());
    }

    /// An SPM follows the results that it is of.
    fn of_specimen(&mut self, handle: Handle) {
        let reference = self.entries.reference(handle);
        for result in self.order.results.iter().skip(self.order.sampled).copied() {
            self.entries.resource(result).fill("specimen", Some(reference.clone()));
        }
        self.order.sampled = self.order.results.len();
        if let Some(report) = self.order.report {
            self.entries.resource(report).push("specimen", Some(reference.clone()));
        }
        if let Some(request) = self.order.request {
            self.entries.resource(request).push("specimen", Some(reference));
        }
        self.order.specimen = Some(handle);
        self.noted = Some(handle);
    }

    /// NTE: a note to what stands before it.
    pub(super) fn note(&mut self, nte: Segment<'m>) {
        let Some(noted) = self.noted else { return };
        let lines: Vec<String> =
            nte.repetitions(3).filter_map(|part| self.reader.whole(part)).collect();
        if lines.is_empty() {
            return;
        }
        nte.field(1).text();
        let text = lines.join("\n");
        if self.entries.resource(noted).text("resourceType") == "Appointment" {
            self.entries.resource(noted).append("comment", &text);
            return;
        }
        let mut note = Object::default();
        note.put("authorReference", self.reader.practitioner(nte.field(5)));
        note.put("time", self.reader.date_time(nte.field(6)));
        note.set("text", text);
        self.entries.resource(noted).push("note", note.some());
    }
}

/// Code and sub-id of a result, by which results of other orders are of it.
fn about_parent(code: Part<'_>, sub_id: Part<'_>) -> (String, String) {
    let text = |part: Part<'_>| part.raw().trim().to_string();
    (text(code.component(1).subcomponent(1)), text(sub_id))
}

/// More values than are told apart, or several that would each repeat a long code or unit.
fn is_much(obx: Segment<'_>) -> bool {
    let count = obx.repetitions(5).count();
    let repeated = obx.raw_field(3).len() + obx.raw_field(6).len();
    count > VALUES_MAX || count > 1 && repeated > 2 * IDENTIFIER_BYTES_MAX
}

/// `type/subtype`, of which senders often have one only; the type is of table 0191 or as MIME has it.
fn media_type(media: &[Option<String>; 2]) -> Option<String> {
    let [kind, subtype] =
        media.each_ref().map(|text| text.as_ref().map(|t| t.to_ascii_lowercase()));
    let whole = [&kind, &subtype].into_iter().flatten().find(|text| text.contains('/'));
    if let Some(whole) = whole {
        return Some(whole.clone());
    }
    let kind = kind.map(|kind| match kind.as_str() {
        "ap" => "application".to_string(),
        "au" => "audio".to_string(),
        "im" | "si" => "image".to_string(),
        "tx" | "ft" => "text".to_string(),
        _ => kind,
    });
    match (kind.as_deref(), subtype) {
        (kind, Some(subtype)) => Some(format!("{}/{subtype}", kind.unwrap_or("application"))),
        (Some("pdf"), None) => Some("application/pdf".to_string()),
        (Some("text"), None) => Some("text/plain".to_string()),
        (Some(_), None) => Some(UNKNOWN_MEDIA.to_string()),
        (None, None) => None,
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = digits
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

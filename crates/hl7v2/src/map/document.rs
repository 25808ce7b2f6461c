//! TXA as DocumentReference; the message itself as DocumentReference and Binary; Provenance.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keepwell_fhir::draft::{Existing, Handle, Object, hex, percent};
use serde_json::{Value, json};

use super::{Mapper, Reader, table};
use crate::{
    message::{Part, Segment},
    refusal::Refusal,
    time::instant,
};

/// The registered type of a message in ER7.
const MEDIA_TYPE: &str = "x-application/hl7-v2+er7";

/// A document between its TXA and its end.
pub(super) struct Document<'m> {
    handle: Handle,
    /// TXA-17.
    status: Part<'m>,
    /// It, or a part of it, is not to be used any more.
    pub(super) is_withdrawn: bool,
    lines: Vec<String>,
    pub(super) attachments: Vec<Value>,
    title: Option<String>,
}

impl<'m> Mapper<'m> {
    pub(super) fn transcription(&mut self, txa: Segment<'m>) {
        self.close_document();
        txa.field(1).text();
        let mut document = Object::of("DocumentReference");
        let given = self.reader.entity(txa.field(12), "TXA-12", "");
        let known_by = self.numbered("TXA", given.as_ref());
        document.put("masterIdentifier", given.clone());
        document.list("identifier", given.into_iter().chain(known_by.clone()).collect());
        document.set("status", self.availability(txa));
        for label in self.reader.all(txa, 18, Self::confidentiality) {
            document.push("securityLabel", Some(label));
        }
        document.put("docStatus", self.reader.code(txa.field(17), table::document_status));
        document.put("type", self.reader.tabled(txa.field(2), "0270"));
        document.put("subject", self.refer(self.patient));
        let dates = [7, 6, 8].map(|field| self.reader.instant(txa.field(field)));
        document.put("date", dates.into_iter().flatten().next());
        for field in [9, 5] {
            for who in self.reader.all(txa, field, |reader, part| reader.practitioner(part)) {
                document.push("author", Some(who));
            }
        }
        document.put("authenticator", self.reader.practitioner(txa.field(22)));
        document.put("description", self.reader.text(txa.field(25)));
        self.relate(&mut document, txa);
        let title = self.reader.text(txa.field(16));
        let is_withdrawn = document.text("status") != "current";
        let handle = self.entries.add(document, known_by.as_ref(), Existing::Keep);
        let (status, lines, attachments) = (txa.field(17), Vec::new(), Vec::new());
        self.document = Some(Document { handle, status, is_withdrawn, lines, attachments, title });
        self.noted = None;
    }

    /// TXA-19. Whether a document is still to be used is not for a reader to guess.
    fn availability(&self, txa: Segment<'m>) -> &'static str {
        let availability = txa.field(19);
        let found = self.reader.code(availability, table::document_availability);
        if found.is_none() && !availability.is_empty() && !availability.is_null() {
            self.refuse(Refusal::Value(self.place.at(19)));
        }
        found.unwrap_or("current")
    }

    /// TXA-18, with the code that FHIR binds to before the one that was sent.
    fn confidentiality(reader: &Reader<'_>, part: Part<'_>) -> Option<Value> {
        let mut sent = reader.tabled(part, "0272")?;
        let found = part.text().as_deref().and_then(table::confidentiality);
        if let (Some(code), Some(list)) =
            (found, sent.pointer_mut("/coding").and_then(Value::as_array_mut))
        {
            list.insert(0, json!({ "system": table::hl7("v3-Confidentiality"), "code": code }));
        }
        Some(sent)
    }

    fn relate(&self, document: &mut Object, txa: Segment<'m>) {
        let mut context = Object::default();
        context.push("encounter", self.refer(self.encounter));
        let activity = self.reader.date_time(txa.field(4));
        context.put("period", activity.map(|start| json!({ "start": start })));
        context.push("related", self.refer(self.order.request));
        document.put("context", context.some());
        if let Some(parent) = self.reader.entity(txa.field(13), "TXA-12", "") {
            let target = json!({ "type": "DocumentReference", "identifier": parent });
            document.push("relatesTo", Some(json!({ "code": "appends", "target": target })));
        }
    }

    /// A line of the document.
    pub(super) fn document_text(&mut self, obx: Segment<'m>) {
        let is_withdrawn = self.is_withdrawn(obx);
        let text = if is_withdrawn { None } else { self.lines(obx) };
        let Some(document) = &mut self.document else { return };
        document.is_withdrawn |= is_withdrawn;
        if !is_withdrawn {
            document.lines.push(text.unwrap_or_default());
        }
    }

    pub(super) fn close_document(&mut self) {
        let Some(document) = self.document.take() else { return };
        let mut attachments = document.attachments;
        // A draft may be sent after what was made of it. What is finished, or is not to be used, is newer than what
        // there is; but without a content, the one that there is stays.
        let is_final = self.entries.resource(document.handle).text("docStatus") == "final";
        let is_empty = attachments.is_empty() && document.lines.is_empty();
        if document.is_withdrawn || is_final && !is_empty {
            self.entries.replace(document.handle);
        } else if is_final {
            self.reader.note(document.status);
        }
        if !document.lines.is_empty() {
            let text = document.lines.join("\n");
            let mut attachment = Object::default();
            attachment.set("contentType", "text/plain; charset=utf-8");
            attachment.set("data", STANDARD.encode(text));
            attachment.put("title", document.title.clone());
            attachments.insert(0, attachment.into());
        }
        if attachments.is_empty() {
            let title = document.title.unwrap_or_else(|| "No content was sent".to_string());
            attachments.push(json!({ "title": title }));
        }
        for attachment in attachments {
            let content = json!({ "attachment": attachment });
            self.entries.resource(document.handle).push("content", Some(content));
        }
    }

    /// An attachment outside any report or document.
    pub(super) fn lone_attachment(&mut self, obx: Segment<'m>, attachment: Value) {
        let mut document = Object::of("DocumentReference");
        let given = self.reader.entity(obx.field(21), "OBX-21", "");
        let known_by = self.numbered_result(obx, given.as_ref());
        document.list("identifier", given.into_iter().chain(known_by.clone()).collect());
        let status = if self.is_withdrawn(obx) { "entered-in-error" } else { "current" };
        document.set("status", status);
        document.put("type", self.reader.concept(obx.field(3)));
        document.put("subject", self.refer(self.patient));
        document.put("date", self.reader.time(obx.field(14)).and_then(|time| time.instant()));
        document.push("content", Some(json!({ "attachment": attachment })));
        self.entries.add(document, known_by.as_ref(), self.existing_result(obx));
    }

    /// The message as it came: a Binary, and a DocumentReference that says what it is.
    pub(super) fn attach_original(&mut self) -> Handle {
        let mut binary = Object::of("Binary");
        binary.set("contentType", MEDIA_TYPE);
        binary.put("securityContext", self.refer(self.patient));
        binary.set("data", STANDARD.encode(self.message.bytes()));
        let binary = self.entries.add(binary, None, Existing::Keep);
        let identifier = self.message_identifier();
        let mut document = Object::of("DocumentReference");
        document.set("masterIdentifier", identifier.clone());
        let known_by = self.message_again();
        document.list(
            "identifier",
            [Some(identifier), known_by.clone()].into_iter().flatten().collect(),
        );
        document.set("status", "current");
        document.set("type", json!({ "text": "HL7 v2 message" }));
        document.put("subject", self.refer(self.patient));
        document.set("date", instant(self.reception.received_ms));
        let attachment = json!({
            "contentType": MEDIA_TYPE,
            "url": self.entries.full_url(binary),
            "size": self.message.bytes().len(),
            "title": self.trigger(),
        });
        document.push("content", Some(json!({ "attachment": attachment })));
        let encounter = self.refer(self.encounter);
        document.put("context", encounter.map(|encounter| json!({ "encounter": [encounter] })));
        self.entries.add(document, known_by.as_ref(), Existing::Keep)
    }

    /// Who sent it, and its control id: what a message is known by.
    fn message_identifier(&self) -> Value {
        let envelope = self.message.envelope();
        let sender = [&envelope.sending_application, &envelope.sending_facility];
        let sender = sender.map(|name| percent(name)).join("/");
        let system = format!("{}/MSH-10/{sender}", self.reception.namespace);
        json!({ "system": system, "value": envelope.control_id })
    }

    /// By what it is found when it is sent again. Control ids are counted from one again, and times may be of minutes
    /// or of none: only the same bytes are the same message.
    fn message_again(&self) -> Option<Value> {
        let envelope = self.message.envelope();
        let sender = [&envelope.sending_application, &envelope.sending_facility];
        let [application, facility] = sender.map(|name| Some(name.clone()));
        let mut digest = String::new();
        for byte in self.reception.digest {
            digest.extend([byte >> 4, byte & 0x0f].map(|it| hex(it).to_ascii_lowercase()));
        }
        self.derived(
            "MSH",
            &[application, facility, Some(envelope.control_id.clone()), Some(digest)],
        )
    }

    fn trigger(&self) -> String {
        let envelope = self.message.envelope();
        format!("{}^{}", envelope.message_type, envelope.trigger)
    }

    /// Everything before it came from one message of one sender.
    pub(super) fn provenance(&mut self) {
        let mut targets: Vec<Value> =
            self.entries.handles().map(|handle| self.entries.reference(handle)).collect();
        let Some(original) = targets.pop() else { return };
        let envelope = self.message.envelope();
        let mut provenance = Object::of("Provenance");
        targets.push(original.clone());
        provenance.list("target", targets);
        let header = self.message.segments().next();
        let sent = header.and_then(|header| self.reader.time(header.field(7)));
        provenance.put("occurredDateTime", sent.map(|time| time.date_time()));
        provenance.set("recorded", instant(self.reception.received_ms));
        let system = table::v2("0003");
        provenance.set("activity", table::concept(&system, &envelope.trigger));
        let kind = table::concept(&table::hl7("provenance-participant-type"), "assembler");
        let mut who = self.sender(header.map(|header| header.field(3)));
        who.set("type", "Device");
        let mut agent = Object::default();
        agent.set("type", kind);
        agent.set("who", Value::from(who));
        let mut behalf = self.sender(header.map(|header| header.field(4)));
        if behalf.has("display") {
            behalf.set("type", "Organization");
            agent.set("onBehalfOf", Value::from(behalf));
        }
        provenance.push("agent", agent.some());
        provenance.push("entity", Some(json!({ "role": "source", "what": original })));
        self.entries.add(provenance, None, Existing::Keep);
    }

    /// An HD of the header, by identifier and name.
    fn sender(&self, part: Option<Part<'m>>) -> Object {
        let mut sender = Object::default();
        let Some(part) = part else { return sender };
        let mut all = Vec::new();
        for component in 1..=3 {
            all.extend(self.reader.text(part.component(component)));
        }
        let name = self.reader.text(part.component(1));
        let display = name.or_else(|| all.first().cloned());
        if !all.is_empty() {
            let system = format!("{}/sender", self.reception.namespace);
            sender.set("identifier", json!({ "system": system, "value": all.join("^") }));
        }
        sender.set("display", display.unwrap_or_else(|| "not named".to_string()));
        sender
    }
}

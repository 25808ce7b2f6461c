//! V3's data types in FHIR's.
//!
//! # Invariants
//!
//! * A number keeps its digits, and a time its precision.
//! * What is of the wrong form, or what FHIR's type has no place for, is noted ([`Reader::is_noted`]) and gives nothing.
//! * A code whose qualifiers turn its meaning round (a finding's or procedure's context) gives nothing.
//! * Text of the narrative is text: no element of it comes along.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cell::Cell;

use keepwell_fhir::draft::{Object, is_oid, is_uuid, number};
use keepwell_hl7v2::time::{Time, Zone, zone_of};
use serde_json::{Number, Value, json};

use crate::{
    document::{Document, Element},
    limits::IDENTIFIER_BYTES_MAX,
};

const UCUM: &str = "http://unitsofmeasure.org";
const URI: &str = "urn:ietf:rfc:3986";
const TERMINOLOGY: &str = "http://terminology.hl7.org/CodeSystem";
/// SNOMED CT attributes by which a finding or procedure is of somebody else, is absent or was not done.
const CONTEXTS: [&str; 4] = ["408729009", "408730004", "408732007", "408731000"];

/// A code system of HL7's terminology.
pub(crate) fn hl7(name: &str) -> String {
    format!("{TERMINOLOGY}/{name}")
}

/// `{ "coding": [..] }` of one code.
pub(crate) fn coded(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

/// The code system of an OID.
pub(crate) fn system(oid: &str) -> Option<String> {
    let known = match oid {
        "2.16.840.1.113883.6.1" => "http://loinc.org",
        "2.16.840.1.113883.6.96" => "http://snomed.info/sct",
        "2.16.840.1.113883.6.88" => "http://www.nlm.nih.gov/research/umls/rxnorm",
        "2.16.840.1.113883.6.8" => UCUM,
        "2.16.840.1.113883.6.69" => "http://hl7.org/fhir/sid/ndc",
        "2.16.840.1.113883.12.292" | "2.16.840.1.113883.6.59" => "http://hl7.org/fhir/sid/cvx",
        "2.16.840.1.113883.12.227" => "http://hl7.org/fhir/sid/mvx",
        "2.16.840.1.113883.6.12" => "http://www.ama-assn.org/go/cpt",
        "2.16.840.1.113883.6.103" | "2.16.840.1.113883.6.104" => "http://hl7.org/fhir/sid/icd-9-cm",
        "2.16.840.1.113883.6.90" => "http://hl7.org/fhir/sid/icd-10-cm",
        "2.16.840.1.113883.6.3" => "http://hl7.org/fhir/sid/icd-10",
        "2.16.840.1.113883.6.4" => "http://www.cms.gov/Medicare/Coding/ICD10",
        "2.16.840.1.113883.6.285" | "2.16.840.1.113883.6.14" => {
            "http://terminology.hl7.org/CodeSystem/HCPCS-all-codes"
        }
        "2.16.840.1.113883.3.26.1.1" => "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
        "2.16.840.1.113883.3.26.1.5" => "http://terminology.hl7.org/CodeSystem/v3-ndfrt",
        "2.16.840.1.113883.4.9" => "http://fdasis.nlm.nih.gov",
        "2.16.840.1.113883.6.101" => "http://nucc.org/provider-taxonomy",
        "2.16.840.1.113883.6.238" => "urn:oid:2.16.840.1.113883.6.238",
        "2.16.840.1.113883.6.259" => {
            "https://www.cdc.gov/nhsn/cdaportal/terminology/codesystem/hsloc.html"
        }
        "2.16.840.1.113883.6.301.11" => "http://www.nubc.org/patient-discharge",
        "2.16.840.1.113883.5.4" => return Some(hl7("v3-ActCode")),
        "2.16.840.1.113883.5.6" => return Some(hl7("v3-ActClass")),
        "2.16.840.1.113883.5.7" => return Some(hl7("v3-ActPriority")),
        "2.16.840.1.113883.5.8" => return Some(hl7("v3-ActReason")),
        "2.16.840.1.113883.5.1" => return Some(hl7("v3-AdministrativeGender")),
        "2.16.840.1.113883.5.2" => return Some(hl7("v3-MaritalStatus")),
        "2.16.840.1.113883.5.25" => return Some(hl7("v3-Confidentiality")),
        "2.16.840.1.113883.5.83" => return Some(hl7("v3-ObservationInterpretation")),
        "2.16.840.1.113883.5.88" => return Some(hl7("v3-ParticipationFunction")),
        "2.16.840.1.113883.5.110" => return Some(hl7("v3-RoleClass")),
        "2.16.840.1.113883.5.111" => return Some(hl7("v3-RoleCode")),
        "2.16.840.1.113883.5.112" => return Some(hl7("v3-RouteOfAdministration")),
        "2.16.840.1.113883.5.1063" => return Some(hl7("v3-ObservationValue")),
        "2.16.840.1.113883.5.1076" => return Some(hl7("v3-ReligiousAffiliation")),
        "2.16.840.1.113883.5.1008" => return Some(hl7("v3-NullFlavor")),
        _ => return uri_of(oid),
    };
    Some(known.to_string())
}

/// An OID or UUID as a URI.
fn uri_of(root: &str) -> Option<String> {
    if is_oid(root) {
        Some(format!("urn:oid:{root}"))
    } else if is_uuid(root) {
        Some(format!("urn:uuid:{}", root.to_ascii_lowercase()))
    } else {
        None
    }
}

/// Reads values, and notes what could not be read.
pub(crate) struct Reader<'d> {
    pub(crate) document: &'d Document<'d>,
    zone: Option<Zone<'static>>,
    noted: Cell<bool>,
}

impl<'d> Reader<'d> {
    /// Times without an offset are of the document's own.
    pub(crate) fn new(document: &'d Document<'d>) -> Self {
        let written = document.root().child("effectiveTime").and_then(|it| it.attribute("value"));
        let zone = zone_of(written.unwrap_or_default(), None);
        Self { document, zone, noted: Cell::new(false) }
    }

    pub(crate) fn note(&self) {
        self.noted.set(true);
    }

    /// Whether anything was noted since it was last asked.
    pub(crate) fn is_noted(&self) -> bool {
        self.noted.take()
    }

    /// What was read, or a note that it was not.
    fn or_note<T>(&self, read: Option<T>) -> Option<T> {
        if read.is_none() {
            self.note();
        }
        read
    }

    /// ST and ED: text inside, or that of the narrative that is referred to.
    pub(crate) fn text(&self, element: Element<'d>) -> Option<String> {
        // Bytes in base64 are no text.
        if element.attribute("representation") == Some("B64") {
            self.note();
            return None;
        }
        let reference = element.child("reference").and_then(|it| it.attribute("value"));
        let referred = reference.and_then(|it| self.document.referred(it));
        let text = match element.text() {
            Ok(None) => referred.map_or(Ok(None), Element::text),
            inside => inside,
        };
        self.or_note(text.ok()).flatten()
    }

    /// TS as FHIR's `dateTime`.
    pub(crate) fn date_time(&self, element: Element<'_>) -> Option<String> {
        self.time(element).map(|it| it.date_time())
    }

    /// TS.
    pub(crate) fn time(&self, element: Element<'_>) -> Option<Time> {
        let text = element.attribute("value")?;
        let time = self.or_note(Time::parse(text, self.zone))?;
        if time.loses_clock() {
            self.note();
        }
        Some(time)
    }

    /// The only time that a TS or IVL_TS says, or its beginning.
    pub(crate) fn start(&self, element: Element<'_>) -> Option<String> {
        let low = || element.child("low").and_then(|it| self.date_time(it));
        self.date_time(element).or_else(low)
    }

    /// The end of an IVL_TS.
    pub(crate) fn end(&self, element: Element<'_>) -> Option<String> {
        element.child("high").and_then(|it| self.date_time(it))
    }

    /// IVL_TS as `Period`.
    pub(crate) fn period(&self, element: Element<'_>) -> Option<Value> {
        let mut period = Object::default();
        if element.child("width").is_some() || element.child("center").is_some() {
            self.note();
        }
        period.put("start", element.child("low").and_then(|it| self.date_time(it)));
        period.put("end", self.end(element));
        period.some()
    }

    /// One time or a period, as the choice `name[x]`.
    pub(crate) fn when(&self, object: &mut Object, name: &str, element: Option<Element<'_>>) {
        let Some(element) = element else { return };
        match self.date_time(element) {
            Some(at) => object.set(&format!("{name}DateTime"), at),
            None => object.put(&format!("{name}Period"), self.period(element)),
        }
    }

    /// A number of JSON with the digits that were sent.
    pub(crate) fn number(&self, text: &str) -> Option<Number> {
        self.or_note(number(text))
    }

    /// PQ, REAL and INT as `Quantity`.
    pub(crate) fn quantity(&self, element: Element<'_>) -> Option<Object> {
        let mut quantity = Object::default();
        quantity.set("value", self.number(element.attribute("value")?)?);
        // 1 is UCUM's unit of what has none.
        if let Some(unit) = element.attribute("unit").filter(|it| *it != "1") {
            quantity.set("unit", unit);
            if is_ucum(unit) {
                quantity.set("system", UCUM);
                quantity.set("code", unit);
            }
        }
        Some(quantity)
    }

    /// IVL_PQ as `Range`, with both ends or one.
    pub(crate) fn range(&self, element: Element<'_>) -> Option<Value> {
        let mut range = Object::default();
        for name in ["low", "high"] {
            let Some(end) = element.child(name) else { continue };
            // A range of FHIR has its ends in it.
            if end.attribute("inclusive") == Some("false") {
                self.note();
                return None;
            }
            range.put(name, self.quantity(end).and_then(Object::some));
        }
        range.some()
    }

    /// RTO as `Ratio`, with both parts.
    pub(crate) fn ratio(&self, element: Element<'_>) -> Option<Value> {
        let part = |name| element.child(name).and_then(|it| self.quantity(it)?.some());
        let parts = part("numerator").zip(part("denominator"));
        let (numerator, denominator) = self.or_note(parts)?;
        Some(json!({ "numerator": numerator, "denominator": denominator }))
    }

    /// A measured interval: a range, or with one end a quantity that is compared.
    fn interval(&self, value: &mut Object, name: &str, element: Element<'_>) {
        let end = |name| element.child(name).filter(|it| it.attribute("value").is_some());
        let is_open = |it: Element<'_>| it.attribute("inclusive") == Some("false");
        let (end, comparator) = match (end("low"), end("high")) {
            (Some(low), None) => (low, if is_open(low) { ">" } else { ">=" }),
            (None, Some(high)) => (high, if is_open(high) { "<" } else { "<=" }),
            _ => return value.put(&format!("{name}Range"), self.range(element)),
        };
        if let Some(mut quantity) = self.quantity(end) {
            quantity.set("comparator", comparator);
            value.set(&format!("{name}Quantity"), Value::from(quantity));
        }
    }

    /// A value of an observation, as the choice `name[x]`; nothing where FHIR has no such type.
    pub(crate) fn value(&self, object: &mut Object, name: &str, element: Element<'d>) {
        let with = |kind: &str| format!("{name}{kind}");
        match element.kind() {
            "PQ" | "REAL" => {
                object.put(&with("Quantity"), self.quantity(element).and_then(Object::some));
            }
            "CD" | "CE" | "CV" | "CO" | "CS" => {
                object.put(&with("CodeableConcept"), self.concept(element));
            }
            "ST" | "ED" => object.put(&with("String"), self.text(element)),
            "INT" => {
                let text = element.attribute("value");
                let value = text.and_then(|it| self.or_note(it.parse::<i32>().ok()));
                object.put(&with("Integer"), value);
            }
            "BL" => {
                let value = element.attribute("value").and_then(|it| self.or_note(it.parse().ok()));
                object.put(&with("Boolean"), value.map(|it: bool| it));
            }
            "IVL_PQ" | "IVL_REAL" | "IVL_INT" => self.interval(object, name, element),
            "RTO" | "RTO_PQ_PQ" | "RTO_QTY_QTY" => object.put(&with("Ratio"), self.ratio(element)),
            "TS" => object.put(&with("DateTime"), self.date_time(element)),
            "IVL_TS" => object.put(&with("Period"), self.period(element)),
            _ => self.note(),
        }
    }

    /// CD, CE, CV, CO and CS as `CodeableConcept`: the code, its translations, and the text that was first written.
    pub(crate) fn concept(&self, element: Element<'d>) -> Option<Value> {
        if element.all("qualifier").any(is_context) {
            self.note();
            return None;
        }
        let mut concept = Object::default();
        concept.push("coding", self.coding(element));
        for translation in element.all("translation") {
            concept.push("coding", self.coding(translation));
        }
        let written = element.child("originalText").and_then(|it| self.text(it));
        let shown = || self.shown(element);
        let mut text = written.or_else(shown);
        for qualifier in element.all("qualifier") {
            // A code alone would say less than what was meant.
            let told =
                ["name", "value"].map(|it| qualifier.child(it).and_then(|it| self.shown(it)));
            if let [Some(name), Some(value)] = told {
                let before = text.map(|it| format!("{it}, ")).unwrap_or_default();
                text = Some(format!("{before}{name}: {value}"));
            } else {
                self.note();
            }
        }
        concept.put("text", text);
        concept.some()
    }

    fn shown(&self, element: Element<'_>) -> Option<String> {
        element.attribute("displayName").map(ToString::to_string)
    }

    fn coding(&self, element: Element<'_>) -> Option<Value> {
        let code = element.attribute("code")?;
        if element.null_flavor().is_some() || code.len() > IDENTIFIER_BYTES_MAX || !is_code(code) {
            self.note();
            return None;
        }
        let mut coding = Object::default();
        let oid = element.attribute("codeSystem");
        coding.put("system", oid.and_then(|it| self.or_note(system(it))));
        coding.put("version", element.attribute("codeSystemVersion"));
        coding.set("code", code);
        coding.put("display", element.attribute("displayName"));
        coding.some()
    }

    /// II as `Identifier`.
    pub(crate) fn identifier(&self, element: Element<'_>) -> Option<Value> {
        if element.null_flavor().is_some() {
            return None;
        }
        let (root, extension) = (element.attribute("root")?, element.attribute("extension"));
        let uri = self.or_note(uri_of(root))?;
        let mut identifier = Object::default();
        match extension {
            Some(extension) => {
                identifier.set("system", naming_system(root).map_or(uri, ToString::to_string));
                identifier.set("value", extension);
            }
            None => {
                identifier.set("system", URI);
                identifier.set("value", uri);
            }
        }
        let assigner = element.attribute("assigningAuthorityName");
        identifier.put("assigner", assigner.map(|it| json!({ "display": it })));
        identifier.some()
    }

    pub(crate) fn identifiers(&self, element: Element<'_>) -> Vec<Value> {
        element.all("id").filter_map(|it| self.identifier(it)).collect()
    }

    /// PN as `HumanName`.
    pub(crate) fn name(&self, element: Element<'_>) -> Option<Value> {
        let mut name = Object::default();
        name.put(
            "use",
            element.attribute("use").and_then(|it| match it.split(' ').next()? {
                "L" | "OR" => Some("official"),
                "C" | "ASGN" => Some("usual"),
                "P" => Some("nickname"),
                "A" => Some("anonymous"),
                _ => None,
            }),
        );
        let is_of_birth = |it: &Element<'_>| it.attribute("qualifier") == Some("BR");
        let families: Vec<_> = element.all("family").collect();
        let family = families.iter().find(|it| !is_of_birth(it)).or(families.first());
        name.put("family", family.and_then(|it| self.part(*it)));
        if families.len() > 1 {
            self.note();
        }
        for part in ["given", "prefix", "suffix"] {
            for element in element.all(part) {
                name.push(part, self.part(element));
            }
        }
        if !name.has("family") && !name.has("given") {
            name.put("text", self.part(element));
        }
        if let Some(time) = element.child("validTime") {
            name.put("period", self.period(time));
        }
        let is_somebody = ["family", "given", "text"].iter().any(|it| name.has(it));
        is_somebody.then(|| name.some()).flatten()
    }

    /// A part of a name or address.
    fn part(&self, element: Element<'_>) -> Option<String> {
        self.or_note(element.text().ok()).flatten()
    }

    /// AD as `Address`.
    pub(crate) fn address(&self, element: Element<'_>) -> Option<Value> {
        let mut address = Object::default();
        let used = element.attribute("use").and_then(|it| it.split(' ').next());
        address.put(
            "use",
            used.and_then(|it| match it {
                "H" | "HP" | "HV" => Some("home"),
                "WP" | "DIR" | "PUB" => Some("work"),
                "TMP" => Some("temp"),
                "BAD" => Some("old"),
                _ => None,
            }),
        );
        for line in element.all("streetAddressLine") {
            address.push("line", self.part(line));
        }
        for (part, name) in [
            ("city", "city"),
            ("county", "district"),
            ("state", "state"),
            ("postalCode", "postalCode"),
            ("country", "country"),
        ] {
            address.put(name, element.child(part).and_then(|it| self.part(it)));
        }
        let parts = ["line", "city", "district", "state", "postalCode", "country"];
        parts.iter().any(|it| address.has(it)).then(|| address.some()).flatten()
    }

    /// TEL as `ContactPoint`.
    pub(crate) fn telecom(&self, element: Element<'_>) -> Option<Value> {
        let value = element.attribute("value")?;
        let (scheme, rest) = value.split_once(':').unwrap_or(("tel", value));
        let (system, value) = match scheme.to_ascii_lowercase().as_str() {
            "tel" => ("phone", rest),
            "fax" | "x-text-fax" => ("fax", rest),
            "mailto" => ("email", rest),
            "sms" => ("sms", rest),
            "http" | "https" | "ftp" => ("url", value),
            _ => ("other", value),
        };
        let mut telecom = Object::default();
        telecom.set("system", system);
        telecom.put("value", Some(value.trim()).filter(|it| !it.is_empty()));
        let used = element.attribute("use").and_then(|it| it.split(' ').next());
        telecom.put(
            "use",
            used.and_then(|it| match it {
                "H" | "HP" | "HV" => Some("home"),
                "WP" | "DIR" | "PUB" => Some("work"),
                "MC" | "PG" => Some("mobile"),
                "TMP" => Some("temp"),
                "BAD" => Some("old"),
                _ => None,
            }),
        );
        telecom.has("value").then(|| telecom.some()).flatten()
    }

    /// A person in a role, as a reference by identifier and name.
    pub(crate) fn person(&self, role: Element<'_>, person: &'static str) -> Option<Value> {
        let mut reference = Object::of_reference("Practitioner");
        reference.put("identifier", self.identifiers(role).into_iter().next());
        let name = role.child(person).and_then(|it| it.child("name"));
        let name = name.and_then(|it| self.name(it));
        let device = || self.device(role);
        reference.put("display", name.as_ref().and_then(full_name).or_else(device));
        (reference.has("identifier") || reference.has("display")).then(|| reference.into())
    }

    fn device(&self, role: Element<'_>) -> Option<String> {
        let device = role.child("assignedAuthoringDevice")?;
        let name = device.child("softwareName").or_else(|| device.child("manufacturerModelName"));
        name.and_then(|it| self.part(it))
    }

    /// An organisation, as a reference by identifier and name.
    pub(crate) fn organization(&self, element: Element<'_>) -> Option<Value> {
        let mut reference = Object::of_reference("Organization");
        reference.put("identifier", self.identifiers(element).into_iter().next());
        reference.put("display", element.child("name").and_then(|it| self.part(it)));
        (reference.has("identifier") || reference.has("display")).then(|| reference.into())
    }
}

/// Why there is no value, in FHIR's words (v3-NullFlavor to data-absent-reason).
pub(crate) fn absent(null_flavor: &str) -> Value {
    let why = match null_flavor {
        "ASKU" => "asked-unknown",
        "NASK" => "not-asked",
        "NAV" => "temp-unknown",
        "MSK" => "masked",
        "NA" => "not-applicable",
        "NINF" => "negative-infinity",
        "PINF" => "positive-infinity",
        _ => "unknown",
    };
    coded(&hl7("data-absent-reason"), why)
}

/// The URI under which numbers of an OID are known better.
fn naming_system(root: &str) -> Option<&'static str> {
    match root {
        "2.16.840.1.113883.4.6" => Some("http://hl7.org/fhir/sid/us-npi"),
        "2.16.840.1.113883.4.1" => Some("http://hl7.org/fhir/sid/us-ssn"),
        "2.16.840.1.113883.4.572" => Some("http://hl7.org/fhir/sid/us-medicare"),
        "2.16.840.1.113883.4.927" => Some("http://hl7.org/fhir/sid/us-mbi"),
        _ => None,
    }
}

/// A qualifier that may turn the code's meaning round.
fn is_context(qualifier: Element<'_>) -> bool {
    let name = qualifier.child("name").and_then(|it| it.attribute("code"));
    name.is_some_and(|it| CONTEXTS.contains(&it)) || qualifier.attribute("inverted") == Some("true")
}

/// FHIR's `code`: no spaces but single ones inside.
fn is_code(text: &str) -> bool {
    text.split(' ').all(|word| !word.is_empty() && !word.contains(char::is_whitespace))
}

/// Whether a unit may be of UCUM, which has no spaces, and no letters beyond ASCII.
fn is_ucum(unit: &str) -> bool {
    unit.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Prefixes, given names, family name, suffixes.
fn full_name(name: &Value) -> Option<String> {
    let list = |key| name.get(key).and_then(Value::as_array).into_iter().flatten();
    let parts = list("prefix").chain(list("given")).chain(name.get("family"));
    let parts = parts.chain(list("suffix")).chain(name.get("text"));
    let text = parts.filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

//! v2's data types in FHIR's.
//!
//! # Invariants
//!
//! * A number keeps its digits ([`number`]).
//! * What is of the wrong form is noted in [`Reader::malformed`] and gives nothing.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cell::RefCell;

use keepwell_fhir::draft::{Object, is_oid, is_uuid, number, percent};
use serde_json::{Number, Value};

use super::{Reception, table};
use crate::{
    message::{Message, Part, Place, Segment},
    time::{self, Time, Zone},
};

/// What is needed to read values, and what could not be read.
pub(super) struct Reader<'m> {
    pub(super) namespace: &'m str,
    pub(super) zone: Option<Zone<'m>>,
    pub(super) malformed: RefCell<BTreeSet<Place>>,
}

impl<'m> Reader<'m> {
    pub(super) fn new(message: &'m Message, reception: &'m Reception<'m>) -> Self {
        let sent = message.segment("MSH").map(|header| header.field(7).component(1).raw());
        Self {
            namespace: reception.namespace,
            zone: time::zone_of(sent.unwrap_or_default().trim(), reception.zone),
            malformed: RefCell::default(),
        }
    }

    pub(super) fn note(&self, part: Part<'_>) {
        let (segment, field, repetition, component) = part.place();
        self.malformed.borrow_mut().insert((segment, field, repetition, component.max(1)));
    }

    /// ST, ID, IS, FT, TX: the text; an escape sequence that is not known is noted.
    pub(super) fn text(&self, part: Part<'_>) -> Option<String> {
        let decoded = part.decoded()?;
        if !decoded.is_whole {
            self.note(part);
        }
        Some(decoded.text)
    }

    /// All of a part as one text; an escape sequence that is not known is noted.
    pub(super) fn whole(&self, part: Part<'_>) -> Option<String> {
        let decoded = part.decoded_whole()?;
        if !decoded.is_whole {
            self.note(part);
        }
        Some(decoded.text)
    }

    /// A code that FHIR has its own for; one that is not in the table is noted.
    pub(super) fn code<T>(&self, part: Part<'_>, table: impl Fn(&str) -> Option<T>) -> Option<T> {
        let code = part.text()?;
        let found = table(&code);
        if found.is_none() {
            self.note(part);
        }
        found
    }

    /// DTM, TS, DT as `dateTime`.
    pub(super) fn date_time(&self, part: Part<'_>) -> Option<String> {
        self.time(part).map(|time| time.date_time())
    }

    /// DTM, TS, DT as `date`.
    pub(super) fn date(&self, part: Part<'_>) -> Option<String> {
        self.time(part).map(|time| time.date().to_string())
    }

    /// DTM, TS as `instant`; one that is less precise is noted.
    pub(super) fn instant(&self, part: Part<'_>) -> Option<String> {
        let instant = self.time(part)?.instant();
        if instant.is_none() {
            self.note(part);
        }
        instant
    }

    /// DTM, TS, DT as what tells it from other times.
    pub(super) fn time_key(&self, part: Part<'_>) -> Option<String> {
        self.time(part).map(|time| time.told_apart())
    }

    pub(super) fn time(&self, part: Part<'_>) -> Option<Time> {
        // Of a TS within another type, the first subcomponent; the second was its precision.
        let text = part.subcomponent(1).text()?;
        let time = Time::parse(&text, self.zone);
        if time.as_ref().is_none_or(Time::loses_clock) {
            self.note(part);
        }
        time
    }

    /// TM as `time`.
    pub(super) fn clock(&self, part: Part<'_>) -> Option<String> {
        let text = part.text()?;
        let clock = time::clock(&text);
        if clock.is_none() {
            self.note(part);
        }
        clock
    }

    /// `Period` of two times.
    pub(super) fn period(&self, start: Part<'_>, end: Part<'_>) -> Option<Value> {
        let mut period = Object::default();
        period.put("start", self.date_time(start));
        period.put("end", self.date_time(end));
        period.some()
    }

    /// NM as a JSON number with the digits that were sent.
    pub(super) fn number(&self, part: Part<'_>) -> Option<Number> {
        let number = number(&part.text()?);
        if number.is_none() {
            self.note(part);
        }
        number
    }

    /// An integer of FHIR's that is not negative.
    pub(super) fn count(&self, part: Part<'_>) -> Option<u32> {
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let count = |text: &str| text.parse().ok().filter(|n| *n <= i32::MAX.unsigned_abs());
        self.code(part, |text| count(text).filter(|_| is_number(text)))
    }

    /// One that is not zero either.
    pub(super) fn positive(&self, part: Part<'_>) -> Option<u32> {
        let count = self.count(part)?;
        if count == 0 {
            self.note(part);
        }
        Some(count).filter(|count| *count > 0)
    }

    /// A number and its unit (CWE or CE).
    pub(super) fn quantity(&self, value: Part<'_>, unit: Part<'_>) -> Option<Object> {
        let mut quantity = Object::default();
        quantity.set("value", self.number(value)?);
        self.unit(&mut quantity, unit);
        Some(quantity)
    }

    pub(super) fn unit(&self, quantity: &mut Object, unit: Part<'_>) {
        self.unit_of(quantity, [1, 2, 3].map(|at| unit.component(at)));
    }

    /// Code, name and coding system.
    fn unit_of(&self, quantity: &mut Object, parts: [Part<'_>; 3]) {
        let [code, name, system] = parts;
        let (name, system) = (self.text(name), self.text(system));
        // A code without a system has no place beside a name, and is listed.
        let code = if system.is_some() || name.is_none() { self.text(code) } else { None };
        quantity.put("unit", name.or_else(|| code.clone()));
        if let Some(name) = system.filter(|_| code.is_some()) {
            quantity.set("system", table::system(&name, self.namespace));
            quantity.put("code", code);
        }
    }

    /// CQ: a number and its unit in subcomponents.
    pub(super) fn composite_quantity(&self, part: Part<'_>) -> Option<Value> {
        let mut quantity = Object::default();
        quantity.set("value", self.number(part.component(1))?);
        let unit = part.component(2);
        self.unit_of(&mut quantity, [1, 2, 3].map(|at| unit.subcomponent(at)));
        quantity.some()
    }

    /// CWE, CE, CNE as `CodeableConcept`: both codings, and the text that was first written.
    pub(super) fn concept(&self, part: Part<'_>) -> Option<Value> {
        self.concept_of(&|at| part.component(at))
    }

    /// A concept of the parts that `at` gives by number.
    fn concept_of<'p>(&self, at: &dyn Fn(u16) -> Part<'p>) -> Option<Value> {
        let mut concept = Object::default();
        for first in [1, 4, 10] {
            concept.push("coding", self.coding(at, first));
        }
        let text = self.text(at(9));
        let text = text.or_else(|| self.text(at(2)));
        // A text alone is often sent where the code belongs; FHIR takes it as text.
        let is_code = concept.has("coding");
        concept.put("text", text.or_else(|| self.text(at(1)).filter(|_| !is_code)));
        concept.some()
    }

    fn coding<'p>(&self, at: &dyn Fn(u16) -> Part<'p>, first: u16) -> Option<Value> {
        let code = self.text(at(first))?;
        let system = self.text(at(first + 2));
        let display = self.text(at(first + 1));
        let system = system.map(|name| table::system(&name, self.namespace));
        // `code` has no spaces at its ends or two in a row; a sentence is a text.
        if system.is_none() && display.is_none() && code.contains(' ') || code.contains("  ") {
            return None;
        }
        let version_at = match first {
            1 => 7,
            4 => 8,
            _ => 13,
        };
        let mut coding = Object::default();
        coding.put("system", system);
        coding.put("version", self.text(at(version_at)));
        coding.set("code", code);
        coding.put("display", display);
        coding.some()
    }

    /// A code of a v2 table (ID, IS), or a concept (CWE) whose system is that table where it names none.
    pub(super) fn tabled(&self, part: Part<'_>, table: &str) -> Option<Value> {
        self.tabled_of(&|at| part.component(at), table)
    }

    /// The same of a component, whose parts are its subcomponents.
    pub(super) fn tabled_component(&self, component: Part<'_>, table: &str) -> Option<Value> {
        self.tabled_of(&|at| component.subcomponent(at), table)
    }

    fn tabled_of<'p>(&self, at: &dyn Fn(u16) -> Part<'p>, table: &str) -> Option<Value> {
        let mut concept = self.concept_of(at)?;
        if at(3).is_empty()
            && let Some(coding) = concept.pointer_mut("/coding/0").and_then(Value::as_object_mut)
        {
            coding.insert("system".to_string(), table::v2(table).into());
        }
        Some(concept)
    }

    /// CX as `Identifier`; without an authority its system is the feed's own, `place` in it.
    pub(super) fn identifier(&self, part: Part<'_>, place: &str) -> Option<Value> {
        let value = self.text(part.component(1))?;
        let authority = part.component(4);
        let kind = self.text(part.component(5));
        let local = match &kind {
            Some(kind) => format!("{place}/{}", percent(kind)),
            None => place.to_string(),
        };
        let names = [1, 2, 3].map(|at| self.text(authority.subcomponent(at)));
        let mut identifier = Object::default();
        identifier.put("type", kind.map(|kind| table::concept(&table::v2("0203"), &kind)));
        identifier.set("system", self.authority(&names, &local));
        identifier.set("value", value);
        identifier.put("period", self.period(part.component(7), part.component(8)));
        let assigner = self.text(part.component(6)).or_else(|| names[0].clone());
        identifier.put("assigner", assigner.map(display));
        identifier.some()
    }

    /// EI as `Identifier`.
    pub(super) fn entity(&self, part: Part<'_>, place: &str, kind: &str) -> Option<Value> {
        let value = self.text(part.component(1))?;
        let names = [2, 3, 4].map(|at| self.text(part.component(at)));
        let mut identifier = Object::default();
        if !kind.is_empty() {
            identifier.set("type", table::concept(&table::v2("0203"), kind));
        }
        identifier.set("system", self.authority(&names, place));
        identifier.set("value", value);
        identifier.some()
    }

    /// HD (namespace, universal id, its type) as a URI. A universal id that is not of its type's form is nobody's: a
    /// hospital that sends `1` as an OID would have the patients of every other that does.
    fn authority(&self, names: &[Option<String>; 3], place: &str) -> String {
        let [name, id, kind] = names;
        let kind = kind.as_deref().unwrap_or_default().to_ascii_uppercase();
        match (id, name) {
            (Some(id), _) if kind == "ISO" && is_oid(id) => format!("urn:oid:{id}"),
            (Some(id), _) if matches!(kind.as_str(), "UUID" | "GUID") && is_uuid(id) => {
                format!("urn:uuid:{}", id.to_ascii_lowercase())
            }
            (Some(id), _) if kind == "URI" && is_uri(id) => id.clone(),
            (Some(id), _) if kind == "DNS" && is_domain(id) => {
                format!("http://{}", id.to_ascii_lowercase())
            }
            (_, Some(name)) => format!("{}/{}", self.namespace, percent(name)),
            (Some(id), None) => format!("{}/{}", self.namespace, percent(id)),
            (None, None) => format!("{}/{place}", self.namespace),
        }
    }

    /// XPN as `HumanName`. `from` is the component that its family name stands in: 1, and 2 in an XCN.
    pub(super) fn name(&self, part: Part<'_>, from: u16) -> Option<Value> {
        let at = |offset| self.text(part.component(from + offset));
        let mut name = Object::default();
        if from == 1 {
            name.put("use", self.code(part.component(7), table::name_use));
            name.put("period", self.period(part.component(12), part.component(13)));
        }
        name.put("family", self.family(part.component(from)));
        name.push("given", at(1));
        name.push("given", at(2));
        name.push("suffix", at(3));
        name.push("suffix", at(5));
        name.push("prefix", at(4));
        (name.has("family") || name.has("given")).then(|| name.some()).flatten()
    }

    /// FN: the surname, in which its other parts (prefixes, whose it is) stand already. `Smith & Jones` is one name.
    fn family(&self, part: Part<'_>) -> Option<String> {
        let surname = part.subcomponent(1);
        self.text(if surname.raw().ends_with(' ') { part } else { surname })
    }

    /// XAD as `Address`.
    pub(super) fn address(&self, part: Part<'_>) -> Option<Value> {
        let mut address = Object::default();
        let kind = self.text(part.component(7));
        match kind.as_deref() {
            Some("M" | "SH") => address.set("type", "postal"),
            _ => address.put("use", self.code(part.component(7), table::address_use)),
        }
        // Before SAD, the street was the component; since then its subcomponents are name and number too.
        let street = part.component(1);
        let street = [1, 2, 3].into_iter().filter_map(|at| self.text(street.subcomponent(at)));
        address.push(
            "line",
            Some(street.collect::<Vec<_>>().join(" ")).filter(|line| !line.is_empty()),
        );
        address.push("line", self.text(part.component(2)));
        address.push("line", self.text(part.component(19)));
        address.put("city", self.text(part.component(3)));
        address.put("district", self.text(part.component(9)));
        address.put("state", self.text(part.component(4)));
        address.put("postalCode", self.text(part.component(5)));
        address.put("country", self.text(part.component(6)));
        address.put("period", self.period(part.component(13), part.component(14)));
        let is_somewhere = ["line", "city", "state", "postalCode", "country", "district"];
        is_somewhere.iter().any(|key| address.has(key)).then(|| address.some()).flatten()
    }

    /// XTN as `ContactPoint`.
    pub(super) fn telecom(&self, part: Part<'_>, usual: Option<&str>) -> Option<Value> {
        let system = self.code(part.component(3), table::telecom_system);
        let mail =
            self.code(part.component(4), |mail| mail.contains('@').then(|| mail.to_string()));
        let value = mail
            .or_else(|| self.text(part.component(1)))
            .or_else(|| self.text(part.component(12)))
            .or_else(|| self.dialled(part))?;
        let mut telecom = Object::default();
        let system = match system {
            _ if value.contains("://") => "url",
            _ if value.contains('@') => "email",
            None | Some("email") => "phone",
            Some(system) => system,
        };
        telecom.set("system", system);
        telecom.set("value", value);
        let is_mobile = part.component(3).raw() == "CP";
        let code = self.code(part.component(2), |code| match code {
            "NET" | "ASN" | "EMR" => Some(None),
            _ => table::telecom_use(code).map(Some),
        });
        let code = if is_mobile { Some("mobile") } else { code.flatten().or(usual) };
        telecom.put("use", code);
        telecom.put("period", self.period(part.component(13), part.component(14)));
        telecom.put("rank", self.positive(part.component(18)));
        telecom.some()
    }

    /// Country, area, number and extension.
    fn dialled(&self, part: Part<'_>) -> Option<String> {
        let local = self.text(part.component(7))?;
        let mut number = String::new();
        if let Some(country) = self.text(part.component(5)) {
            number.push('+');
            number.push_str(country.trim_start_matches('+'));
            number.push(' ');
        }
        if let Some(area) = self.text(part.component(6)) {
            number.push_str(&format!("({area}) "));
        }
        number.push_str(&local);
        if let Some(extension) = self.text(part.component(8)) {
            number.push_str(&format!(" ext. {extension}"));
        }
        Some(number)
    }

    /// XCN as a reference to a practitioner by identifier and name.
    pub(super) fn practitioner(&self, part: Part<'_>) -> Option<Value> {
        let name = self.name(part, 2);
        let mut reference = Object::of_reference("Practitioner");
        reference.put("identifier", self.practitioner_id(part));
        reference.put("display", name.as_ref().and_then(full_name));
        (reference.has("identifier") || reference.has("display")).then(|| reference.into())
    }

    fn practitioner_id(&self, part: Part<'_>) -> Option<Value> {
        let value = self.text(part.component(1))?;
        // 2.8 names the authority in 9 as before; 2.3 began to.
        let authority = part.component(9);
        let names = [1, 2, 3].map(|at| self.text(authority.subcomponent(at)));
        let kind = self.text(part.component(13));
        let mut identifier = Object::default();
        let kind_of = |kind: String| table::concept(&table::v2("0203"), &kind);
        identifier.put("type", kind.clone().map(kind_of));
        let system = match (kind.as_deref(), names[0].as_deref()) {
            (Some("NPI"), _) | (_, Some("NPI")) => "http://hl7.org/fhir/sid/us-npi".to_string(),
            _ => self.authority(&names, "practitioner"),
        };
        identifier.set("system", system);
        identifier.set("value", value);
        identifier.some()
    }

    /// XON as a reference to an organisation by identifier and name.
    pub(super) fn organization(&self, part: Part<'_>) -> Option<Value> {
        let mut reference = Object::of_reference("Organization");
        let id = self.text(part.component(10)).or_else(|| self.text(part.component(3)));
        reference.put(
            "identifier",
            id.map(|value| {
                let authority = part.component(6);
                let names = [1, 2, 3].map(|at| self.text(authority.subcomponent(at)));
                let mut identifier = Object::default();
                identifier.set("system", self.authority(&names, "organization"));
                identifier.set("value", value);
                Value::from(identifier)
            }),
        );
        reference.put("display", self.text(part.component(1)));
        (reference.has("identifier") || reference.has("display")).then(|| reference.into())
    }

    /// PL as a reference to a place by its parts: facility, building, floor, ward, room, bed.
    pub(super) fn location(&self, part: Part<'_>) -> Option<Value> {
        let parts: Vec<String> = [4, 7, 8, 1, 2, 3]
            .into_iter()
            .filter_map(|at| self.text(part.component(at).subcomponent(1)))
            .collect();
        if parts.is_empty() {
            return self.text(part.component(9)).map(display_of("Location"));
        }
        let escaped: Vec<String> = parts.iter().map(|part| percent(part)).collect();
        let mut identifier = Object::default();
        identifier.set("system", format!("{}/location", self.namespace));
        identifier.set("value", escaped.join("/"));
        let mut reference = Object::of_reference("Location");
        reference.set("identifier", Value::from(identifier));
        reference.set("display", parts.join(", "));
        Some(reference.into())
    }

    /// Each repetition of a field by `read`.
    pub(super) fn all<'s>(
        &self,
        segment: Segment<'s>,
        field: u16,
        read: impl Fn(&Self, Part<'s>) -> Option<Value>,
    ) -> Vec<Value> {
        segment.repetitions(field).filter_map(|part| read(self, part)).collect()
    }
}

/// `{ "display": .. }`
pub(super) fn display(text: String) -> Value {
    let mut object = Object::default();
    object.set("display", text);
    object.into()
}

fn display_of(resource_type: &'static str) -> impl Fn(String) -> Value {
    move |text| {
        let mut reference = Object::of_reference(resource_type);
        reference.set("display", text);
        reference.into()
    }
}

/// Prefixes, given names, family name, suffixes.
pub(super) fn full_name(name: &Value) -> Option<String> {
    let list = |key| name.get(key).and_then(Value::as_array).into_iter().flatten();
    let parts = list("prefix").chain(list("given")).chain(name.get("family")).chain(list("suffix"));
    let text = parts.filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

/// Of a scheme whose names are given to one only.
fn is_uri(text: &str) -> bool {
    let rest = ["http://", "https://", "urn:"].iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A domain of the public tree: a host alone, an address or a name of a local net is in many hospitals.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let Some((_, top)) = text.rsplit_once('.') else { return false };
    let is_local = ["local", "localdomain", "lan", "internal"]
        .iter()
        .any(|local| top.eq_ignore_ascii_case(local));
    !is_local && text.split('.').all(is_label) && top.bytes().any(|byte| !byte.is_ascii_digit())
}

//! A transaction Bundle while it is written by a map from another standard (HL7 v2, C-CDA): its entries, and JSON objects
//! in which nothing is empty.
//!
//! # Invariants
//!
//! * Of two entries that look for one and the same only the first has the condition, so that a transaction is never
//!   ambiguous by itself.
//! * A number keeps its digits: `1.20` stays `1.20`. Only what JSON cannot have goes: a plus sign, zeros in front, a point
//!   without a digit on each side.
//!
//! Not here: what the resources are; Bundles that are read ([`crate::transaction`]).

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde_json::{Map, Number, Value, json};

/// Digits of a number, with its point.
const NUMBER_CHARS_MAX: usize = 64;

/// One entry, for as long as the Bundle is written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Handle(u32);

impl Handle {
    /// Its place in the Bundle.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What to do where there is one by that identifier already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Existing {
    /// It stays.
    Keep,
    /// This is newer.
    Replace,
}

/// The entries so far.
pub struct Entries<'m> {
    name: &'m dyn Fn(u32) -> [u8; 16],
    list: Vec<Entry>,
    conditions: BTreeSet<String>,
}

struct Entry {
    resource: Object,
    request: Value,
}

impl<'m> Entries<'m> {
    /// No entries yet; `name` gives sixteen bytes for the entry of a number.
    pub fn new(name: &'m dyn Fn(u32) -> [u8; 16]) -> Self {
        Self { name, list: Vec::new(), conditions: BTreeSet::new() }
    }

    /// Adds a resource; `identifier` is the one of its identifiers that tells it from all others of its type.
    pub fn add(
        &mut self,
        resource: Object,
        identifier: Option<&Value>,
        existing: Existing,
    ) -> Handle {
        let resource_type = resource.text("resourceType").to_string();
        let condition =
            identifier.map(|identifier| format!("identifier={}", percent(&token(identifier))));
        // Two entries that look for one and the same would make the transaction ambiguous.
        let condition = condition
            .filter(|condition| self.conditions.insert(format!("{resource_type}?{condition}")));
        let request = match (condition, existing) {
            (None, _) => json!({ "method": "POST", "url": resource_type }),
            (Some(condition), Existing::Keep) => {
                json!({ "method": "POST", "url": resource_type, "ifNoneExist": condition })
            }
            (Some(condition), Existing::Replace) => {
                json!({ "method": "PUT", "url": format!("{resource_type}?{condition}") })
            }
        };
        self.list.push(Entry { resource, request });
        // What is mapped has far fewer parts than that.
        Handle(u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX))
    }

    /// What is there already stays after all.
    pub fn keep(&mut self, handle: Handle) {
        let request = &mut self.list[handle.0 as usize].request;
        let url = request.get("url").and_then(Value::as_str).unwrap_or_default();
        if let Some((resource_type, condition)) = url.split_once('?') {
            *request = json!({ "method": "POST", "url": resource_type, "ifNoneExist": condition });
        }
    }

    /// What is there already is replaced after all.
    pub fn replace(&mut self, handle: Handle) {
        let entry = &mut self.list[handle.0 as usize];
        if let Some(condition) = entry.request.get("ifNoneExist").and_then(Value::as_str) {
            let url = format!("{}?{condition}", entry.resource.text("resourceType"));
            entry.request = json!({ "method": "PUT", "url": url });
        }
    }

    /// The resource of an entry.
    pub fn resource(&mut self, handle: Handle) -> &mut Object {
        &mut self.list[handle.0 as usize].resource
    }

    /// A reference to an entry.
    pub fn reference(&self, handle: Handle) -> Value {
        json!({ "reference": self.full_url(handle) })
    }

    /// What an entry is called in the Bundle.
    pub fn full_url(&self, handle: Handle) -> String {
        uuid((self.name)(handle.0))
    }

    /// All entries so far.
    pub fn handles(&self) -> impl Iterator<Item = Handle> + use<> {
        (0..u32::try_from(self.list.len()).unwrap_or(u32::MAX)).map(Handle)
    }

    /// The Bundle of them all.
    pub fn bundle(self) -> Value {
        let name = self.name;
        let entries: Vec<Value> = (0..)
            .zip(self.list)
            .map(|(number, entry)| {
                let mut object = Object::default();
                object.set("fullUrl", uuid(name(number)));
                object.set("resource", Value::from(entry.resource));
                object.set("request", entry.request);
                object.into()
            })
            .collect();
        let mut bundle = Object::of("Bundle");
        bundle.set("type", "transaction");
        bundle.list("entry", entries);
        bundle.into()
    }
}

/// A JSON object in which nothing is empty: FHIR has no empty elements.
#[derive(Clone, Debug, Default)]
pub struct Object(Map<String, Value>);

impl Object {
    /// A resource of this type.
    pub fn of(resource_type: &str) -> Self {
        let mut object = Self::default();
        object.set("resourceType", resource_type);
        object
    }

    /// A reference to somebody outside the Bundle, by type.
    pub fn of_reference(resource_type: &str) -> Self {
        let mut object = Self::default();
        object.set("type", resource_type);
        object
    }

    /// Sets an element.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_string(), value.into());
    }

    /// Sets it if there is a value.
    pub fn put(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Sets it if there is a value and none yet.
    pub fn fill(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if !self.0.contains_key(key) {
            self.put(key, value);
        }
    }

    /// Sets a list unless it is empty.
    pub fn list(&mut self, key: &str, values: Vec<Value>) {
        if !values.is_empty() {
            self.set(key, values);
        }
    }

    /// Appends to a list if there is a value.
    pub fn push(&mut self, key: &str, value: Option<impl Into<Value>>) {
        let Some(value) = value else { return };
        match self.0.get_mut(key) {
            Some(Value::Array(list)) => list.push(value.into()),
            _ => self.set(key, Vec::from([value.into()])),
        }
    }

    /// A text, empty where there is none.
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Appends a line to a text.
    pub fn append(&mut self, key: &str, line: &str) {
        match self.0.get_mut(key) {
            Some(Value::String(text)) => {
                text.push('\n');
                text.push_str(line);
            }
            _ => self.set(key, line),
        }
    }

    /// Whether there is such an element.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Takes an element away.
    pub fn remove(&mut self, key: &str) {
        self.0.shift_remove(key);
    }

    /// What this says, over `other` where it says nothing; a text is said after the other's.
    pub fn over(self, other: &Self) -> Option<Value> {
        let mut both = other.clone();
        for (key, value) in self.0 {
            match value.as_str().filter(|_| key == "text") {
                Some(text) => both.append("text", text),
                None => both.set(&key, value),
            }
        }
        both.some()
    }

    /// An element.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The first of a list.
    pub fn first(&self, key: &str) -> Option<&Value> {
        self.0.get(key)?.as_array()?.first()
    }

    /// The object, unless it is empty.
    pub fn some(self) -> Option<Value> {
        (!self.0.is_empty()).then_some(Value::Object(self.0))
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// `system|value` of an identifier.
pub fn key(identifier: &Value) -> String {
    let part = |name| identifier.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("{}|{}", part("system"), part("value"))
}

/// An identifier as a search token (FHIR R4, 3.1.1.4.0): what separates tokens is escaped.
fn token(identifier: &Value) -> String {
    let part = |name| {
        let text = identifier.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            if matches!(character, ',' | '$' | '|' | '\\') {
                out.push('\\');
            }
            out.push(character);
        }
        out
    };
    format!("{}|{}", part("system"), part("value"))
}

/// Text as a part of a URL (RFC 3986): all but unreserved characters are escaped.
pub fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.extend(['%', hex(byte >> 4), hex(byte & 0x0f)]),
        }
    }
    out
}

/// A digit of base sixteen.
pub fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

/// `urn:uuid:` of sixteen bytes, marked as of a form of one's own (RFC 9562, version 8).
pub fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = "urn:uuid:".to_string();
    for (at, byte) in bytes.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.extend([byte >> 4, byte & 0x0f].map(|digit| hex(digit).to_ascii_lowercase()));
    }
    text
}

/// A decimal number as JSON writes it, with the digits that were sent; nothing if it is none.
pub fn number(text: &str) -> Option<Number> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, ""), |(whole, part)| (whole, part));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number =
        is_digits(whole) && is_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    if !is_number || text.len() > NUMBER_CHARS_MAX {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    serde_json::from_str(&format!("{sign}{whole}{point}{fraction}")).ok()
}

/// Whether it is an OID: an arc of the three roots (X.660) and one under it at least.
pub fn is_oid(text: &str) -> bool {
    let is_arc = |arc: &str| {
        let is_number = !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit());
        is_number && (arc == "0" || !arc.starts_with('0'))
    };
    let Some((root, rest)) = text.split_once('.') else { return false };
    matches!(root, "0" | "1" | "2") && rest.split('.').all(is_arc)
}

/// Whether it is a UUID: five groups of hexadecimal digits (RFC 9562).
pub fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    let is_digit = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(is_digit)
}

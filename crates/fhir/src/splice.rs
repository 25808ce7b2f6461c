//! Changes to a resource that leave every other byte of it alone.
//!
//! ```text
//! source   {"resourceType":"Patient", "id":"a", "multipleBirthInteger" : 2 }
//! splices                                  "7"
//! edited   {"resourceType":"Patient", "id":"7", "multipleBirthInteger" : 2 }
//! ```
//!
//! # Invariants
//!
//! * Splices of one [`Edited`] do not overlap and stand in order; what is between them is the source's.
//! * What is edited was read strictly first: it is one resource, shallow, and has each key once at every
//!   depth, so a splice changes what every reader sees.
//! * [`Edited::undo`] gives the source again, byte for byte.
//!
//! Not here: which references to change ([`crate::transaction::links`]), and adding a list or an element
//! in the middle ([`crate::patch`]).

use alloc::{
    borrow::{Cow, ToOwned},
    format,
    string::String,
    vec::Vec,
};
use core::ops::Range;

use serde_json::value::RawValue;

use crate::{
    bundle::{BundleError, Source},
    interaction::Id,
    summary::printable,
    tree::{Fields, Tree},
};

/// A part of a source that is replaced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Splice {
    /// Where it stands in the source, in bytes; empty for what is only put in.
    pub range: Range<usize>,
    /// What stands there in the source.
    pub old: String,
    /// What stands there afterwards.
    pub new: String,
}

/// A source after its splices.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edited {
    /// The text.
    pub json: String,
    /// What was replaced, in the order of the source.
    pub splices: Vec<Splice>,
}

impl Edited {
    /// Applies `changes`, which are in order and do not overlap, to `source`.
    pub(crate) fn apply(source: &str, changes: Vec<(Range<usize>, String)>) -> Self {
        let mut json = String::with_capacity(source.len());
        let (mut splices, mut kept) = (Vec::with_capacity(changes.len()), 0);
        for (range, new) in changes {
            json.push_str(&source[kept..range.start]);
            json.push_str(&new);
            kept = range.end;
            splices.push(Splice { old: source[range.clone()].to_owned(), range, new });
        }
        json.push_str(&source[kept..]);
        Self { json, splices }
    }

    /// The source, from the edited text and the splices alone.
    pub fn undo(&self) -> String {
        let mut source = String::with_capacity(self.json.len());
        let mut rest = self.json.as_str();
        for splice in &self.splices {
            let (kept, behind) = rest.split_at(splice.range.start - source.len());
            source.push_str(kept);
            source.push_str(&splice.old);
            rest = &behind[splice.new.len()..];
        }
        source.push_str(rest);
        source
    }
}

/// `json`, a resource, with `id` as its id: in the place of the one it has, or behind its type.
pub fn with_id(json: &str, id: &Id) -> Result<Edited, BundleError> {
    let resource = Outline::read(json)?;
    let new = format!("\"{id}\"");
    Ok(Edited::apply(json, Vec::from([resource.put("id", new)?])))
}

/// `json`, a resource as it is stored, with the version and the time that a response shows.
///
/// It is for responses only: neither is part of what is sealed. `last_updated` is an instant as
/// [`crate::header::instant`] writes it.
pub fn with_meta(json: &str, version: u64, last_updated: &str) -> Result<Edited, BundleError> {
    let resource = Outline::read(json)?;
    let version = format!("\"{version}\"");
    let last_updated = quoted(last_updated);
    let Some(meta) = resource.fields.raw("meta") else {
        let meta = format!("{{\"versionId\":{version},\"lastUpdated\":{last_updated}}}");
        return Ok(Edited::apply(json, Vec::from([resource.put("meta", meta)?])));
    };
    if !meta.starts_with('{') {
        return Err(resource.wrong("meta"));
    }
    let at = resource.at(meta);
    let fields = resource.source.fields(meta)?;
    let (mut changes, mut missing) = (Vec::new(), String::new());
    for (name, value) in [("versionId", version), ("lastUpdated", last_updated)] {
        match fields.raw(name) {
            Some(old) => changes.push((resource.range(old), value)),
            None => missing.push_str(&format!("\"{name}\":{value},")),
        }
    }
    if meta[1..].trim_ascii_start().starts_with('}') {
        missing.pop();
    }
    if !missing.is_empty() {
        changes.push((at + 1..at + 1, missing));
    }
    changes.sort_by_key(|(range, _)| range.start);
    Ok(Edited::apply(json, changes))
}

/// `text` as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}

/// A resource's outermost level, after all of it was read strictly.
pub(crate) struct Outline<'a> {
    source: Source<'a>,
    whole: &'a str,
    pub(crate) fields: Fields<'a>,
    pub(crate) resource_type: String,
}

impl<'a> Outline<'a> {
    pub(crate) fn read(json: &'a str) -> Result<Self, BundleError> {
        let source = Source::check(json.as_bytes(), usize::MAX)?;
        let whole: &RawValue = source.parse(source.text)?;
        let whole = whole.get();
        // Only what has each key once is edited, so the whole is read although little of it is needed.
        let _: Tree = source.parse(whole)?;
        if !whole.starts_with('{') {
            return Err(BundleError::NotAResource { at: source.at(whole) });
        }
        let fields = source.fields(whole)?;
        let resource_type = source.resource_type(whole, &fields)?;
        Ok(Self { source, whole, fields, resource_type })
    }

    /// The id, if the resource has one.
    pub(crate) fn id(&self) -> Result<Option<String>, BundleError> {
        self.source.text_field(self.whole, &self.fields, "id")
    }

    /// The change that has `value` stand under `name`: what stands there must be text.
    fn put(
        &self,
        name: &'static str,
        value: String,
    ) -> Result<(Range<usize>, String), BundleError> {
        if let Some(old) = self.fields.raw(name) {
            return match old.starts_with('"') {
                true => Ok((self.range(old), value)),
                false => Err(self.wrong(name)),
            };
        }
        let behind = self.fields.raw("resourceType").ok_or_else(|| self.wrong("resourceType"))?;
        let end = self.range(behind).end;
        Ok((end..end, format!(",\"{name}\":{value}")))
    }

    fn wrong(&self, element: &'static str) -> BundleError {
        BundleError::WrongType { at: self.source.at(self.whole), element }
    }

    fn at(&self, part: &str) -> usize {
        self.source.at(part)
    }

    fn range(&self, part: &str) -> Range<usize> {
        let at = self.at(part);
        at..at + part.len()
    }
}

/// One level above a value.
#[derive(Debug)]
enum Step<'a> {
    /// An object, and the key that is being read: its text, so that no key is read again for each string below it.
    Key(Option<Cow<'a, str>>),
    /// A list, and the place in it.
    Item(usize),
}

/// Where a value stands in a document.
#[derive(Debug, Default)]
pub(crate) struct Place<'a>(Vec<Step<'a>>);

impl<'a> Place<'a> {
    /// The keys around the value, the nearest first; places in lists are passed over.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().rev().filter_map(|step| match step {
            Step::Key(key) => key.as_deref(),
            Step::Item(_) => None,
        })
    }

    /// The value's path, as FHIRPath writes it: `subject.reference`, `target[2].reference`.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.0 {
            match step {
                Step::Key(Some(name)) => {
                    let dot = if path.is_empty() { "" } else { "." };
                    path.push_str(dot);
                    path.push_str(&printable(name, KEY_CHARS_MAX));
                }
                Step::Item(at) => path.push_str(&format!("[{at}]")),
                Step::Key(None) => {}
            }
        }
        path
    }
}

/// Characters of a key in a path that people read.
const KEY_CHARS_MAX: usize = 64;

/// Shows `visit` every string of `json` that is a value: where it stands, and the range of its literal,
/// quotes included. `json` is known to be JSON; without recursion, in one pass.
pub(crate) fn strings<'a, E>(
    json: &'a str,
    mut visit: impl FnMut(&Place<'a>, Range<usize>) -> Result<(), E>,
) -> Result<(), E> {
    let mut place = Place::default();
    let mut at = 0;
    while let Some(byte) = json.as_bytes().get(at) {
        match byte {
            b'{' => place.0.push(Step::Key(None)),
            b'[' => place.0.push(Step::Item(0)),
            b'}' | b']' => {
                place.0.pop();
            }
            b',' => match place.0.last_mut() {
                Some(Step::Key(key)) => *key = None,
                Some(Step::Item(index)) => *index += 1,
                None => {}
            },
            b'"' => {
                let range = at..literal_end(json, at);
                at = range.end;
                match place.0.last_mut() {
                    Some(Step::Key(key @ None)) => *key = Some(text_of(&json[range])),
                    Some(Step::Key(Some(_)) | Step::Item(_)) | None => visit(&place, range)?,
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Where the literal that begins at `at` ends.
fn literal_end(json: &str, at: usize) -> usize {
    let mut escaped = false;
    for (offset, byte) in json.as_bytes()[at + 1..].iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + offset + 2,
            _ => {}
        }
    }
    json.len()
}

/// What a literal, with its quotes, says.
pub(crate) fn text_of(literal: &str) -> Cow<'_, str> {
    let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    Cow::Owned(serde_json::from_str(literal).unwrap_or_default())
}

//! A part of a resource: `_elements` and `_summary` (R4 Search, "Elements" and "Summary").
//!
//! # Invariants
//!
//! * What is kept are the exact bytes that were stored; nothing of it is re-written but `meta`, which gets the
//!   tag `SUBSETTED`.
//! * `resourceType`, `id`, `meta`, what the type must have, and what changes the meaning of the rest (a modifier
//!   such as `doNotPerform`, `modifierExtension`, `implicitRules`) are in every part: a part must not mislead.
//!
//! Not here: resources of a type whose elements are not known; they stay whole.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use thiserror::Error;

use super::elements::{self, Path};
use crate::{
    bundle::DEPTH_MAX,
    tree::{Tree, too_deep},
};

/// Elements of every type that are in every part of it.
const ALWAYS: [&str; 5] = ["resourceType", "id", "meta", "implicitRules", "modifierExtension"];
const SUBSETTED: &str =
    r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#;

/// How much of a resource is wanted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Shape {
    /// No resource: how many there are is all that is asked.
    Count,
    /// All but the narrative.
    Data,
    /// These elements.
    Elements(BTreeSet<String>),
    /// The elements that R4 marks as the summary.
    Summary,
    /// The narrative.
    Text,
    /// All of it.
    #[default]
    Whole,
}

/// The resource cannot be cut: what is stored is no resource.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "what is stored is no FHIR resource in JSON, so no part of it can be made; ask for all of it"
)]
pub struct NotAResource;

/// The part of the resource in `json` that `shape` asks for; nothing for [`Shape::Count`].
pub fn shape(json: &str, shape: &Shape) -> Result<Option<String>, NotAResource> {
    match shape {
        Shape::Count => return Ok(None),
        Shape::Whole => return Ok(Some(json.to_string())),
        Shape::Data | Shape::Elements(_) | Shape::Summary | Shape::Text => {}
    }
    if too_deep(json.as_bytes(), DEPTH_MAX).is_some() {
        return Err(NotAResource);
    }
    let fields = Fields::read(json)?;
    let resource_type: String = fields.text("resourceType").ok_or(NotAResource)?;
    let Some(paths) = elements::paths(&resource_type) else { return Ok(Some(json.to_string())) };
    let paths: Vec<_> = paths.collect();
    let mut part = String::from("{");
    let has_meta = fields.0.iter().any(|(name, _)| name == "meta");
    for (name, raw) in &fields.0 {
        let Some(kept) = keep(name, raw.get(), shape, &paths)? else { continue };
        push(&mut part, name, &kept)?;
        if name == "resourceType" && !has_meta {
            push(&mut part, "meta", &marked("{}")?)?;
        }
    }
    part.push('}');
    Ok(Some(part))
}

/// What is kept of the element `name` of a resource.
fn keep(
    name: &str,
    raw: &str,
    shape: &Shape,
    paths: &[Path],
) -> Result<Option<String>, NotAResource> {
    if name == "meta" {
        return marked(raw).map(Some);
    }
    let is_always = ALWAYS.iter().any(|it| elements::names(it, name))
        || paths.iter().any(|path| path.is_always() && path.is("", name));
    let whole = |is_kept: bool| Ok(is_kept.then(|| raw.to_string()));
    match shape {
        Shape::Data => whole(name != "text"),
        Shape::Elements(names) => {
            let is_named = names.iter().any(|it| {
                elements::names(it, name)
                    || elements::names(&format!("{it}*"), name)
                        && paths.iter().any(|path| path.is_choice(it))
            });
            whole(is_always || is_named)
        }
        Shape::Summary if ALWAYS.contains(&name) => whole(true),
        Shape::Summary => summary("", name, raw, paths),
        Shape::Text => whole(is_always || name == "text"),
        Shape::Count | Shape::Whole => whole(true),
    }
}

/// What the summary keeps of the element `name` below `above`. As deep as the longest path: four names.
fn summary(
    above: &str,
    name: &str,
    raw: &str,
    paths: &[Path],
) -> Result<Option<String>, NotAResource> {
    if !paths.iter().any(|path| path.is(above, name)) {
        return Ok(None);
    }
    if !paths.iter().any(|path| path.is_below(above, name)) {
        return Ok(Some(raw.to_string()));
    }
    let above = if above.is_empty() { name.to_string() } else { format!("{above}.{name}") };
    if !raw.starts_with('[') {
        return summary_of(&above, raw, paths).map(Some);
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| NotAResource)?;
    let items = items.into_iter().map(|item| summary_of(&above, item.get(), paths));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(format!("[{}]", items.join(","))))
}

fn summary_of(above: &str, raw: &str, paths: &[Path]) -> Result<String, NotAResource> {
    if !raw.starts_with('{') {
        return Ok(raw.to_string());
    }
    let mut part = String::from("{");
    for (name, raw) in Fields::read(raw)?.0 {
        let kept = match name.as_str() {
            "id" | "modifierExtension" => Some(raw.get().to_string()),
            name => summary(above, name, raw.get(), paths)?,
        };
        if let Some(kept) = kept {
            push(&mut part, &name, &kept)?;
        }
    }
    part.push('}');
    Ok(part)
}

/// `meta` with the tag that says that this is a part.
fn marked(meta: &str) -> Result<String, NotAResource> {
    let fields = Fields::read(meta)?;
    let mut marked = String::from("{");
    let mut is_marked = false;
    for (name, raw) in &fields.0 {
        let raw = raw.get();
        if name != "tag" {
            push(&mut marked, name, raw)?;
            continue;
        }
        let tags: Tree = serde_json::from_str(raw).map_err(|_| NotAResource)?;
        let is_there = tags.items().iter().any(|tag| tag.text_of("code") == Some("SUBSETTED"));
        let inner =
            raw.strip_prefix('[').and_then(|it| it.strip_suffix(']')).ok_or(NotAResource)?;
        let comma = if inner.trim().is_empty() { "" } else { "," };
        is_marked = true;
        match is_there {
            true => push(&mut marked, name, raw)?,
            false => push(&mut marked, name, &format!("[{inner}{comma}{SUBSETTED}]"))?,
        }
    }
    if !is_marked {
        push(&mut marked, "tag", &format!("[{SUBSETTED}]"))?;
    }
    marked.push('}');
    Ok(marked)
}

fn push(object: &mut String, name: &str, raw: &str) -> Result<(), NotAResource> {
    if object.len() > 1 {
        object.push(',');
    }
    object.push_str(&serde_json::to_string(name).map_err(|_| NotAResource)?);
    object.push(':');
    object.push_str(raw);
    Ok(())
}

/// One level of an object, in its order: its keys, each once, and the exact bytes under them.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn read(json: &'a str) -> Result<Self, NotAResource> {
        serde_json::from_str(json).map_err(|_| NotAResource)
    }

    fn text(&self, name: &str) -> Option<String> {
        let (_, raw) = self.0.iter().find(|(key, _)| key == name)?;
        serde_json::from_str(raw.get()).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut fields, mut seen) = (Vec::new(), BTreeSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(serde::de::Error::custom("ambiguous key"));
                    }
                    fields.push((name, map.next_value()?));
                }
                Ok(fields)
            }
        }

        d.deserialize_map(FieldsVisitor).map(Self)
    }
}

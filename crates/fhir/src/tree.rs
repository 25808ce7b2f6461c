//! JSON as this crate reads it: strict, borrowed by nobody, and blind to serde_json's own magic keys.
//!
//! `serde_json::Value` takes the last of two equal keys and gives meaning to the keys that serde_json
//! reserves for itself, so two readers of the same bytes could see different labels. A [`Tree`] has
//! each key once or does not exist.

use alloc::{
    borrow::ToOwned,
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// How serde_json hands over a number whose digits it keeps.
const NUMBER_KEY: &str = "$serde_json::private::Number";
/// A key under which `Value` would parse a string as JSON once more.
const RAW_KEY: &str = "$serde_json::private::RawValue";

/// A JSON value whose objects have each key once.
#[derive(Debug)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    /// The digits as they were written; of an exponent, serde_json alone decides `e5` or `e+5`.
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Object(BTreeMap<String, Tree>),
}

impl Tree {
    /// The value under `name`, if this is an object that has it.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.get(name),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// The value at the end of `path`.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |tree, name| tree.field(name))
    }

    /// The text, if this is text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The text under `name`, if it is text.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.field(name)?.text()
    }

    /// The items of a list, or the one thing that stands where a list could.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Object(_) => {
                core::slice::from_ref(self)
            }
        }
    }

    /// The items under `name`; none if it is absent.
    pub(crate) fn items_of(&self, name: &str) -> &[Self] {
        self.field(name).map_or(&[], Self::items)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Tree, E> {
        Ok(Tree::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tree, A::Error> {
        unique(map).map(|level| match level {
            Level::Number(digits) => Tree::Number(digits),
            Level::Object(fields) => Tree::Object(fields),
        })
    }
}

/// The digits of a number, which serde_json hands over as a string of its own; a string that stands in the
/// JSON is lent, so an object with [`NUMBER_KEY`] is told from a number.
struct Digits(String);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct DigitsVisitor;

        impl Visitor<'_> for DigitsVisitor {
            type Value = Digits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            // What stands in the JSON comes here, lent.
            fn visit_str<E: Error>(self, _: &str) -> Result<Digits, E> {
                Err(E::custom("ambiguous key"))
            }

            fn visit_string<E>(self, digits: String) -> Result<Digits, E> {
                Ok(Digits(digits))
            }
        }

        d.deserialize_any(DigitsVisitor)
    }
}

/// What serde_json calls a map.
enum Level<T> {
    Number(String),
    Object(BTreeMap<String, T>),
}

/// One level of an object: its keys, each once, and the exact bytes under them.
pub(crate) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// The keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The exact bytes under `name`.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = BTreeMap<String, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                match unique(map)? {
                    Level::Object(fields) => Ok(fields),
                    Level::Number(_) => Err(A::Error::custom("no object")),
                }
            }
        }

        d.deserialize_map(FieldsVisitor).map(Self)
    }
}

fn unique<'de, A: MapAccess<'de>, T: Deserialize<'de>>(mut map: A) -> Result<Level<T>, A::Error> {
    let mut fields = BTreeMap::new();
    while let Some(key) = map.next_key::<String>()? {
        if key == NUMBER_KEY {
            let Digits(digits) = map.next_value()?;
            return Ok(Level::Number(digits));
        }
        if key == RAW_KEY || fields.contains_key(&key) {
            return Err(A::Error::custom("ambiguous key"));
        }
        fields.insert(key, map.next_value()?);
    }
    Ok(Level::Object(fields))
}

/// The offset of the first bracket that stands deeper than `depth_max`, found without recursion and
/// on bytes that need not be JSON.
pub(crate) fn too_deep(json: &[u8], depth_max: usize) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in json.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                if depth > depth_max {
                    return Some(at);
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The offset in `json` at which reading stopped: serde_json counts lines from 1 and bytes in a line.
pub(crate) fn offset(json: &str, error: &serde_json::Error) -> usize {
    let start: usize =
        json.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    (start + error.column().saturating_sub(1)).min(json.len())
}

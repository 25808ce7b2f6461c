//! An element of a Consent and where it stands. What is read of it is read whole: an unknown part is refused.

use alloc::{format, string::String, vec::Vec};

use super::{
    error::{Fault, ReadError},
    read::NOTES_MAX,
};
use crate::{facts::own, tree::Tree};

/// What R4 has in a Reference, with the names of people in other scripts.
pub(super) const REFERENCE: [&str; 5] = ["reference", "type", "identifier", "display", "_display"];

/// An element and where it stands.
pub(super) struct Element<'a> {
    pub(super) tree: &'a Tree,
    pub(super) path: String,
}

impl<'a> Element<'a> {
    pub(super) fn fail<T>(&self, fault: Fault) -> Result<T, ReadError> {
        Err(ReadError { at: self.path.clone(), fault })
    }

    pub(super) fn child(&self, name: &str) -> Option<Element<'a>> {
        let tree = self.tree.field(name)?;
        Some(Element { tree, path: format!("{}.{name}", self.path) })
    }

    pub(super) fn needed(&self, name: &str) -> Result<Element<'a>, ReadError> {
        let missing = || ReadError { at: format!("{}.{name}", self.path), fault: Fault::Malformed };
        self.child(name).ok_or_else(missing)
    }

    /// The items of a list, each with its place; at most `max`, and none that is empty.
    pub(super) fn list(&self, name: &str, max: usize) -> Result<Vec<Element<'a>>, ReadError> {
        let Some(list) = self.child(name) else { return Ok(Vec::new()) };
        let Tree::List(items) = list.tree else { return list.fail(Fault::Malformed) };
        if items.is_empty() {
            return list.fail(Fault::Malformed);
        }
        if items.len() > max {
            return list.fail(Fault::TooMany { max });
        }
        let item = |(place, tree)| Element { tree, path: format!("{}[{place}]", list.path) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, ReadError> {
        self.tree.text().map_or_else(|| self.fail(Fault::Malformed), Ok)
    }

    /// The reference, without a version.
    pub(super) fn reference(&self) -> Result<&'a str, ReadError> {
        self.only(&REFERENCE)?;
        let reference = self.needed("reference")?.text()?;
        Ok(crate::bundle::unversioned(reference))
    }

    /// Only these elements, and those that every element of FHIR may have and that may be skipped.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ReadError> {
        let Tree::Object(fields) = self.tree else { return self.fail(Fault::Malformed) };
        for name in fields.keys().map(String::as_str) {
            let is_known = matches!(name, "id" | "extension") || known.contains(&name);
            if !is_known && name == "modifierExtension" {
                return self.needed(name)?.fail(Fault::UnknownModifier);
            }
            if !is_known {
                // The name is the sender's own text, so only the element around it is told.
                return self.fail(Fault::UnknownElement);
            }
        }
        Ok(())
    }

    /// System and code of a Coding.
    pub(super) fn coding(&self) -> Result<(&'a str, &'a str), ReadError> {
        self.only(&["system", "version", "code", "display", "_display", "userSelected"])?;
        Ok((self.needed("system")?.text()?, self.needed("code")?.text()?))
    }

    /// The codings of a CodeableConcept.
    pub(super) fn codings(&self) -> Result<Vec<(&'a str, &'a str)>, ReadError> {
        self.only(&["coding", "text", "_text"])?;
        self.list("coding", NOTES_MAX)?.iter().map(Element::coding).collect()
    }

    /// The value of the one extension of ours with this name, whether it may be skipped or not.
    pub(super) fn extension(&self, name: &str) -> Result<Option<Element<'a>>, ReadError> {
        let mut found: Option<Element<'a>> = None;
        let plain = self.list("extension", NOTES_MAX)?;
        for item in plain.into_iter().chain(self.list("modifierExtension", NOTES_MAX)?) {
            if item.tree.text_of("url") != Some(own(name).as_str()) {
                continue;
            }
            let value = ["valueString", "valueDecimal", "valueBoolean"]
                .iter()
                .find_map(|name| item.child(name));
            match value {
                Some(value) if found.is_none() => found = Some(value),
                Some(_) | None => return item.fail(Fault::Malformed),
            }
        }
        Ok(found)
    }
}

//! What a reference names: a resource here, or one elsewhere.
//!
//! ```text
//! Patient/7, Patient/7/_history/2          here
//! BASE/Patient/7                           here, under the server's own address
//! https://other.example/fhir/Patient/7     elsewhere, and equal only to itself
//! urn:uuid:..                              elsewhere, or what has that UUID as its id; its case does not count
//! #p1                                      inside the resource: nothing that a search could name
//! ```
//!
//! # Invariants
//!
//! * Two references to one resource here have one [`Target`], however they name this server.

use alloc::borrow::Cow;

use serde_json::Value;

use crate::bundle::normal;

/// What a reference names, apart from its version.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Target<'a> {
    /// A resource of this server, by type and id.
    Here(&'a str, &'a str),
    /// Another: the whole URL, or the canonical URL of a definition.
    Elsewhere(Cow<'a, str>),
}

impl<'a> Target<'a> {
    /// Reads `reference` of a server at `base`, and the version that it names.
    pub(super) fn parse(reference: &'a str, base: &str) -> Option<(Self, Option<&'a str>)> {
        if reference.is_empty() || reference.starts_with('#') {
            return None;
        }
        let (unversioned, version) = match reference.split_once("/_history/") {
            Some((unversioned, version)) => (unversioned, Some(version)),
            None => (reference, None),
        };
        let base = base.trim_end_matches('/');
        let own = unversioned.strip_prefix(base).filter(|_| !base.is_empty());
        let local = own.and_then(|rest| rest.strip_prefix('/')).unwrap_or(unversioned);
        let target = match local.split_once('/') {
            Some((kind, id)) if is_type(kind) && !id.is_empty() && !id.contains('/') => {
                Self::Here(kind, id)
            }
            Some(_) | None => Self::Elsewhere(normal(unversioned)),
        };
        Some((target, version))
    }

    /// What `value`, a Reference or a canonical URL, names.
    pub(super) fn of(value: &'a Value, base: &str) -> Option<(Self, Option<&'a str>)> {
        Self::parse(text(value)?, base)
    }

    /// Whether `value` refers to a `wanted`, as far as anything tells.
    pub(super) fn may_be(value: &Value, wanted: &str) -> bool {
        let said = value.get("type").and_then(Value::as_str);
        let target = text(value).and_then(|reference| Target::parse(reference, ""));
        match (target, said) {
            // What the reference names is what is found, whatever is said beside it.
            (Some((Target::Here(kind, _), _)), _) => kind == wanted,
            (_, Some(said)) => said == wanted,
            (Some((Target::Elsewhere(url), _)), None) => match url.rsplit('/').nth(1) {
                Some(kind) if is_type(kind) => kind == wanted,
                Some(_) | None => true,
            },
            (None, None) => true,
        }
    }

    /// The id of what is here, if this is it: by its id, or by the UUID that it had in the Bundle in which it came and has
    /// as its id, in small letters, since. Of what came sealed no reference is rewritten.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Here(_, id) => Some(id),
            Self::Elsewhere(url) => url.strip_prefix("urn:uuid:"),
        }
    }

    /// A type and id, or the URL: as an index has it.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Here(kind, id) => Cow::Owned(alloc::format!("{kind}/{id}")),
            Self::Elsewhere(url) => Cow::Borrowed(url),
        }
    }
}

/// The id in `text`, if it is a type and id as [`Target::text`] writes them.
pub(super) fn id_in(text: &str) -> Option<&str> {
    let (kind, id) = text.split_once('/')?;
    (is_type(kind) && !id.contains('/')).then_some(id)
}

/// The reference that `value` has, or is.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("reference")?.as_str())
}

fn is_type(word: &str) -> bool {
    word.starts_with(|it: char| it.is_ascii_uppercase())
        && word.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_name_what_is_here_or_elsewhere() {
        let base = "https://us.example/fhir";
        for (reference, expected) in [
            ("Patient/7", "Patient/7 -"),
            ("Patient/7/_history/2", "Patient/7 2"),
            ("https://us.example/fhir/Patient/7", "Patient/7 -"),
            ("https://us.example/fhirPatient/7", "https://us.example/fhirPatient/7 -"),
            ("https://b.example/Patient/7/_history/3", "https://b.example/Patient/7 3"),
            ("urn:uuid:AB", "urn:uuid:ab -"),
            ("Patient/", "Patient/ -"),
            ("7", "7 -"),
        ] {
            let (target, version) = Target::parse(reference, base).unwrap();
            assert_eq!(alloc::format!("{} {}", target.text(), version.unwrap_or("-")), expected);
        }
        assert_eq!(Target::parse("#p", base), None);
        assert_eq!(Target::parse("", base), None);
    }

    #[test]
    fn a_type_is_told_by_whatever_tells_it() {
        for (value, is_patient) in [
            (json!({"reference": "Patient/7"}), true),
            (json!({"reference": "https://b.example/Group/7"}), false),
            (json!({"reference": "urn:uuid:7"}), true),
            (json!({"reference": "urn:uuid:7", "type": "Group"}), false),
            (json!({"identifier": {"value": "7"}}), true),
        ] {
            assert_eq!(Target::may_be(&value, "Patient"), is_patient, "{value}");
        }
    }
}

//! Parameters of an operation, as a resource that is sent (R4, Parameters).
//!
//! # Invariants
//!
//! * A resource among them stays the bytes that were sent, and is not read here: what is wrong with it is its reader's
//!   to say.
//!
//! Not here: parts of parameters, and values of more than a text, a code, a time or a reference.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use serde_json::value::RawValue;

use crate::{
    bundle::{BundleError, Source},
    outcome::{IssueType, Outcome},
    tree::Tree,
};

/// Parameters of one resource.
pub const PARAMETERS_MAX: usize = 20_000;

/// What stands in a Parameters resource.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Parameters<'a> {
    /// Names and values, as a URL would have them.
    pub pairs: Vec<(String, String)>,
    /// Names and resources.
    pub resources: Vec<(String, &'a str)>,
}

impl<'a> Parameters<'a> {
    /// Reads a body; nothing if it is a resource of another type.
    pub fn read(body: &'a [u8]) -> Result<Option<Self>, Outcome> {
        let wrong = |error: BundleError| {
            let error = Outcome::error(IssueType::Structure, &alloc::format!("{error}"));
            error.at("Parameters")
        };
        let source = Source::check(body, body.len()).map_err(wrong)?;
        let whole: &RawValue = source.parse(source.text).map_err(wrong)?;
        if !whole.get().starts_with('{') {
            return Ok(None);
        }
        let fields = source.fields(whole.get()).map_err(wrong)?;
        let of = source.text_field(whole.get(), &fields, "resourceType").map_err(wrong)?;
        if of.as_deref() != Some("Parameters") {
            return Ok(None);
        }
        let Some(list) = fields.raw("parameter") else { return Ok(Some(Self::default())) };
        let list = source.list(list).map_err(wrong)?;
        if list.len() > PARAMETERS_MAX {
            return Err(no_parameter());
        }
        let mut read = Self::default();
        for raw in list {
            read.take(&source, raw.get()).ok_or_else(no_parameter)?;
        }
        Ok(Some(read))
    }

    /// Takes one parameter: a name, and either a value or a resource.
    fn take(&mut self, source: &Source<'a>, raw: &'a str) -> Option<()> {
        let fields = source.fields(raw).ok()?;
        let name = source.text_field(raw, &fields, "name").ok()??;
        let mut values = fields.names().filter(|it| it.starts_with("value"));
        match (values.next(), values.next(), fields.raw("resource")) {
            (Some(value), None, None) => {
                let value: Tree = source.parse(fields.raw(value)?).ok()?;
                let text = value.text().or_else(|| value.text_of("reference"))?.to_owned();
                self.pairs.push((name, text));
            }
            (None, None, Some(resource)) => self.resources.push((name, resource)),
            _ => return None,
        }
        Some(())
    }
}

fn no_parameter() -> Outcome {
    let text = alloc::format!(
        "a Parameters resource has up to {PARAMETERS_MAX} parameters here, each with a name and either one value (a text, a code, a time or a reference) or a resource"
    );
    Outcome::error(IssueType::Structure, &text).at("Parameters.parameter")
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString as _};

    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_resources_are_told_apart() {
        let body = r#"{ "resourceType": "Parameters", "parameter": [
            { "name": "_type", "valueString": "Patient" },
            { "name": "patient", "valueReference": { "reference": "Patient/1" } },
            { "name": "resource", "resource": { "resourceType" : "Basic", "a": 1.50, "a": 2 } } ] }"#;
        let read = Parameters::read(body.as_bytes()).unwrap().unwrap();
        assert_eq!(read.pairs[0], ("_type".into(), "Patient".into()));
        assert_eq!(read.pairs[1], ("patient".into(), "Patient/1".into()));
        let resource = r#"{ "resourceType" : "Basic", "a": 1.50, "a": 2 }"#;
        assert_eq!(read.resources, [("resource".into(), resource)], "as it was sent");
        let none = Parameters::read(br#"{"resourceType":"Parameters"}"#).unwrap().unwrap();
        assert_eq!(none, Parameters::default());
        assert_eq!(Parameters::read(br#"{"resourceType":"Bundle"}"#).unwrap(), None);
        assert_eq!(Parameters::read(b"[]").unwrap(), None);
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        let deep = "[".repeat(100_000);
        let many = vec_of(PARAMETERS_MAX + 1);
        for bad in [
            "",
            "_type=Patient",
            r#"{"resourceType":"Parameters","parameter":{}}"#,
            r#"{"resourceType":"Parameters","parameter":[{"name":"_type"}]}"#,
            r#"{"resourceType":"Parameters","parameter":[{"valueString":"a"}]}"#,
            r#"{"resourceType":"Parameters","parameter":[{"name":"a","valueInteger":1}]}"#,
            r#"{"resourceType":"Parameters","parameter":[{"name":"a","valueCode":"1","valueString":"2"}]}"#,
            r#"{"resourceType":"Parameters","parameter":[{"name":"a","valueCode":"1","resource":{}}]}"#,
            r#"{"resourceType":"Parameters","parameter":[{"name":"a","part":[]}]}"#,
            r#"{"resourceType":"Parameters","resourceType":"Parameters"}"#,
            &deep,
            &many,
        ] {
            assert!(Parameters::read(bad.as_bytes()).is_err(), "{bad:.80}");
        }
        let most = vec_of(PARAMETERS_MAX);
        let read = Parameters::read(most.as_bytes()).unwrap().unwrap();
        assert_eq!(read.pairs.len(), PARAMETERS_MAX);
    }

    fn vec_of(count: usize) -> String {
        let one = json!({ "name": "a", "valueCode": "b" }).to_string();
        let all = alloc::vec![one; count].join(",");
        format!(r#"{{"resourceType":"Parameters","parameter":[{all}]}}"#)
    }
}

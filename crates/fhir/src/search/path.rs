//! Where a search parameter's values stand in a resource.
//!
//! ```text
//! paths  = path *( " | " path )                  all that is at any of them
//! path   = "." / step *( "." step ) [ "->" type ] [ "?" ]
//! step   = name                                  a field; of a list, each item
//!        / name "[" type *( "," type ) "]"       a choice: onset[dateTime,Period]
//!        / name "(" field "=" value ")"          the items that have it: telecom(system=email)
//!        / "extension(" url ")"                  the extensions of that URL
//! ```
//!
//! `.` is the resource itself. `->Patient` keeps references to that type, and those whose type nothing tells.
//! `?` says of a choice whether it is there and not `false`.
//!
//! # Invariants
//!
//! * Nothing recurses: a path is walked level by level, so what it costs is bounded by the resource's size
//!   times the steps of the path.
//!
//! Not here: FHIRPath. The paths are ours, all in [`super::table`], and a test reads each of them.

use alloc::{string::String, vec, vec::Vec};

use serde_json::Value;

use super::reference::Target;

static TRUE: Value = Value::Bool(true);
static FALSE: Value = Value::Bool(false);

/// All that stands at `paths` in `root`: never null, never a list.
pub(super) fn find<'v>(paths: &str, root: &'v Value) -> Vec<&'v Value> {
    paths.split(" | ").flat_map(|path| find_one(path, root)).collect()
}

fn find_one<'v>(path: &str, root: &'v Value) -> Vec<&'v Value> {
    if path == "." {
        return vec![root];
    }
    let (path, is_presence) = match path.strip_suffix('?') {
        Some(path) => (path, true),
        None => (path, false),
    };
    let (path, target) = match path.split_once("->") {
        Some((path, target)) => (path, Some(target)),
        None => (path, None),
    };
    let mut found = vec![root];
    for step in steps(path) {
        found = found.into_iter().flat_map(|value| take(step, value)).collect();
    }
    if let Some(target) = target {
        found.retain(|value| Target::may_be(value, target));
    }
    if is_presence {
        let is_there = found.iter().any(|value| **value != Value::Bool(false));
        return vec![if is_there { &TRUE } else { &FALSE }];
    }
    found
}

/// The steps of a path: dots inside brackets are no ends.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path);
    core::iter::from_fn(move || {
        let path = rest?;
        let mut depth = 0_u32;
        let end = path.bytes().position(|byte| {
            match byte {
                b'(' | b'[' => depth += 1,
                b')' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            byte == b'.' && depth == 0
        });
        rest = end.map(|end| &path[end + 1..]);
        Some(&path[..end.unwrap_or(path.len())])
    })
}

fn take<'v>(step: &str, value: &'v Value) -> Vec<&'v Value> {
    if let Some((name, types)) = step.strip_suffix(']').and_then(|it| it.split_once('[')) {
        return types.split(',').flat_map(|it| items(value.get(choice(name, it)))).collect();
    }
    let Some((name, wanted)) = step.strip_suffix(')').and_then(|it| it.split_once('(')) else {
        return items(value.get(step)).collect();
    };
    let (field, wanted) = wanted.split_once('=').unwrap_or(("url", wanted));
    let is_wanted = |item: &&Value| item.get(field).and_then(Value::as_str) == Some(wanted);
    items(value.get(name)).filter(is_wanted).collect()
}

/// `onset` of type `dateTime` is `onsetDateTime`.
fn choice(name: &str, fhir_type: &str) -> String {
    let mut key = String::from(name);
    let mut letters = fhir_type.chars();
    key.extend(letters.next().map(|first| first.to_ascii_uppercase()));
    key.push_str(letters.as_str());
    key
}

/// The items of a list, or the one thing that stands where a list could.
pub(super) fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let slice = match value {
        Some(Value::Array(items)) => items.as_slice(),
        Some(value) => core::slice::from_ref(value),
        None => &[],
    };
    slice.iter().filter(|item| !item.is_null())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_what_they_say() {
        let root = json!({
            "onsetDateTime": "2020", "onsetAge": {"value": 3}, "deceasedBoolean": false,
            "name": [{"given": ["A", null, "B"]}, {"given": "C"}, 7],
            "telecom": [{"system": "email", "value": "e"}, {"system": "phone", "value": "p"}],
            "extension": [{"url": "http://a.b/c", "extension": [{"valueCoding": {"code": "x"}}]}],
            "subject": {"reference": "Patient/1"}, "other": {"reference": "Group/1"},
        });
        let check = |paths: &str, expected: &str| {
            let found: Vec<_> = find(paths, &root).iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected, "{paths}");
        };
        check("name.given", r#""A" "B" "C""#);
        check("onset[dateTime,Period]", r#""2020""#);
        check("telecom(system=email).value", r#""e""#);
        check("extension(http://a.b/c).extension.value[Coding].code", r#""x""#);
        check("subject->Patient | other->Patient", r#"{"reference":"Patient/1"}"#);
        check("deceased[boolean,dateTime]?", "false");
        check("onset[dateTime]?", "true");
        check("name.given.absent", "");
        check("absent | onset[Age].value", "3");
    }
}

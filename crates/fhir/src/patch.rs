//! JSON Patch (RFC 6902) on a resource.
//!
//! # Invariants
//!
//! * All operations apply, or none.
//! * What no operation touches keeps its order and its decimals, `1.50` as `1.50`. White space between
//!   elements is not kept, and of an exponent `1E2` becomes `1e+2`: a patch makes a new version, whose
//!   bytes are the server's.
//! * A patch changes neither the id nor the type.
//! * Operations, growth, what is moved, makes room and is compared, depth and the length of a pointer are
//!   bounded, so no patch costs more than a small multiple of itself and its resource.
//!
//! Not here: FHIRPath patches, and whether the result is valid FHIR.

use alloc::{
    borrow::ToOwned,
    string::{String, ToString},
    vec::Vec,
};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    bundle::{BundleError, DEPTH_MAX, Source},
    outcome::{IssueType, Outcome, Status},
    splice::Outline,
    tree::{Tree, too_deep},
};

/// Bytes of a patch.
pub const PATCH_BYTES_MAX: usize = 1 << 20;
/// Operations of a patch.
pub const OPERATIONS_MAX: usize = 1_000;
/// Bytes of all values that a patch adds and copies.
pub const GROWTH_BYTES_MAX: usize = 1 << 20;
/// Operations read and move at most so many times the bytes of the resource, and [`GROWTH_BYTES_MAX`].
pub const READ_TIMES_MAX: usize = 4;
/// Steps of a pointer: a resource is not deeper.
const POINTER_STEPS_MAX: usize = DEPTH_MAX;

/// A patch that can be read; whether it can be applied, only the resource tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Patch(Vec<Operation>);

/// One operation (RFC 6902, section 4).
#[derive(Clone, Debug, Eq, PartialEq)]
enum Operation {
    Add(Pointer, Value),
    Remove(Pointer),
    Replace(Pointer, Value),
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test(Pointer, Value),
}

/// Why a patch is refused. All are the sender's.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PatchError {
    /// The patch or the resource cannot be read.
    #[error(transparent)]
    Input(#[from] BundleError),
    /// No list of operations.
    #[error("a JSON Patch is a list of operations; send one (RFC 6902, section 3)")]
    NotAList,
    /// Too many operations.
    #[error(
        "{operations} operations are more than {OPERATIONS_MAX}; send the whole resource instead"
    )]
    TooManyOperations {
        /// Operations of the patch.
        operations: usize,
    },
    /// An operation is wrong in itself.
    #[error(
        "operation {index}: {element} is missing, unknown or of the wrong type; write it as RFC 6902, section 4, has it"
    )]
    BadOperation {
        /// The operation.
        index: usize,
        /// Its member.
        element: &'static str,
    },
    /// The place that an operation names is not there.
    #[error(
        "operation {index}: nothing is at its {element}; read the newest version and try again"
    )]
    NotFound {
        /// The operation.
        index: usize,
        /// Its member: path or from.
        element: &'static str,
    },
    /// A test does not hold.
    #[error("operation {index}: the test does not hold; read the newest version and try again")]
    TestFailed {
        /// The operation.
        index: usize,
    },
    /// A value would stand inside itself.
    #[error("operation {index} moves a value into itself; copy it instead, or move it elsewhere")]
    IntoItself {
        /// The operation.
        index: usize,
    },
    /// The resource is moved and compared too often.
    #[error("operation {index}: the patch moves or tests too much; send the resource instead")]
    TooCostly {
        /// The operation.
        index: usize,
    },
    /// The resource would grow too much.
    #[error(
        "operation {index}: the patch adds more than {GROWTH_BYTES_MAX} bytes; send the resource instead"
    )]
    TooLarge {
        /// The operation.
        index: usize,
    },
    /// The resource would become too deep.
    #[error(
        "operation {index}: the resource would have more than {DEPTH_MAX} levels; add the value further up"
    )]
    TooDeep {
        /// The operation.
        index: usize,
    },
    /// The result is no resource of the same id and type.
    #[error(
        "the patch changes {0}, which a resource keeps for good; leave it as it is, or create another resource"
    )]
    Identity(&'static str),
}

impl From<PatchError> for Outcome {
    fn from(error: PatchError) -> Self {
        use PatchError as E;
        let (code, status) = match &error {
            E::Input(error) => return error.clone().into(),
            E::NotAList | E::BadOperation { .. } | E::IntoItself { .. } => {
                (IssueType::Structure, Status::BAD_REQUEST)
            }
            E::TooCostly { .. } => (IssueType::TooCostly, Status::CONTENT_TOO_LARGE),
            E::TooManyOperations { .. } | E::TooLarge { .. } | E::TooDeep { .. } => {
                (IssueType::TooLong, Status::CONTENT_TOO_LARGE)
            }
            // RFC 5789, 2.2: the resource is not in the state that the patch is for.
            E::NotFound { .. } | E::TestFailed { .. } => {
                (IssueType::Conflict, Status::UNPROCESSABLE)
            }
            E::Identity(_) => (IssueType::BusinessRule, Status::UNPROCESSABLE),
        };
        Self::error(code, &error.to_string()).with_status(status)
    }
}

impl Patch {
    /// Reads the body of a patch of at most [`PATCH_BYTES_MAX`] bytes.
    pub fn parse(json: &[u8]) -> Result<Self, PatchError> {
        let source = Source::check(json, PATCH_BYTES_MAX)?;
        let Value::Array(operations) = strict(&source)? else { return Err(PatchError::NotAList) };
        if operations.len() > OPERATIONS_MAX {
            return Err(PatchError::TooManyOperations { operations: operations.len() });
        }
        let operations = operations.into_iter().enumerate();
        let read = operations.map(|(index, operation)| {
            let wrong = |element| PatchError::BadOperation { index, element };
            Operation::read(operation).map_err(wrong)
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// `json`, a resource, after the operations.
    pub fn apply(&self, json: &str) -> Result<String, PatchError> {
        let before = Outline::read(json)?;
        let source = Source::check(json.as_bytes(), usize::MAX)?;
        let mut resource = strict(&source)?;
        let mut work = Work::on(json);
        for (index, operation) in self.0.iter().enumerate() {
            operation.apply(&mut resource, &mut work).map_err(|fault| fault.at(index))?;
        }
        let text = |name| resource.get(name).and_then(Value::as_str);
        if text("resourceType") != Some(&before.resource_type) {
            return Err(PatchError::Identity("resourceType"));
        }
        if text("id") != before.id()?.as_deref()
            || (text("id").is_none() && resource.get("id").is_some())
        {
            return Err(PatchError::Identity("id"));
        }
        Ok(resource.to_string())
    }
}

/// Reads JSON that has each key once at every depth. serde_json's `Value` alone would take the last.
fn strict(source: &Source<'_>) -> Result<Value, BundleError> {
    let _: Tree = source.parse(source.text)?;
    // What the strict reader takes and this one does not is one of serde_json's own keys.
    source.parse(source.text)
}

/// Why an operation cannot be applied.
#[derive(Clone, Copy, Debug)]
enum Fault {
    NotFound(&'static str),
    TestFailed,
    IntoItself,
    TooCostly,
    TooLarge,
    TooDeep,
}

impl Fault {
    const fn at(self, index: usize) -> PatchError {
        match self {
            Self::NotFound(element) => PatchError::NotFound { index, element },
            Self::TestFailed => PatchError::TestFailed { index },
            Self::IntoItself => PatchError::IntoItself { index },
            Self::TooCostly => PatchError::TooCostly { index },
            Self::TooLarge => PatchError::TooLarge { index },
            Self::TooDeep => PatchError::TooDeep { index },
        }
    }
}

impl Operation {
    /// Reads an operation, or names the member that is wrong. Members that it does not have are passed
    /// over (RFC 6902, section 4).
    fn read(operation: Value) -> Result<Self, &'static str> {
        let Value::Object(mut members) = operation else { return Err("op") };
        let pointer = |members: &Map<String, Value>, name: &'static str| {
            members.get(name).and_then(Value::as_str).and_then(Pointer::parse).ok_or(name)
        };
        let path = pointer(&members, "path")?;
        let op = members.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut value = || members.shift_remove("value").ok_or("value");
        match op.as_str() {
            "add" => Ok(Self::Add(path, value()?)),
            "remove" => Ok(Self::Remove(path)),
            "replace" => Ok(Self::Replace(path, value()?)),
            "test" => Ok(Self::Test(path, value()?)),
            "move" => Ok(Self::Move { from: pointer(&members, "from")?, path }),
            "copy" => Ok(Self::Copy { from: pointer(&members, "from")?, path }),
            _ => Err("op"),
        }
    }

    fn apply(&self, resource: &mut Value, work: &mut Work) -> Result<(), Fault> {
        match self {
            Self::Add(path, value) => {
                work.add(path, value)?;
                add(resource, path, value.clone(), work)
            }
            Self::Remove(path) => remove(resource, path, "path", work).map(drop),
            Self::Replace(path, value) => {
                work.add(path, value)?;
                *find_mut(resource, path).ok_or(Fault::NotFound("path"))? = value.clone();
                Ok(())
            }
            Self::Move { from, path } => {
                if path.0.len() > from.0.len() && path.0.starts_with(&from.0) {
                    return Err(Fault::IntoItself);
                }
                if path == from {
                    return find(resource, from).map(drop).ok_or(Fault::NotFound("from"));
                }
                let value = remove(resource, from, "from", work)?;
                check_depth(path, &work.read(&value)?)?;
                add(resource, path, value, work)
            }
            Self::Copy { from, path } => {
                let value = find(resource, from).ok_or(Fault::NotFound("from"))?;
                work.add(path, value)?;
                let value = value.clone();
                add(resource, path, value, work)
            }
            Self::Test(path, value) => {
                let found = find(resource, path).ok_or(Fault::NotFound("path"))?;
                work.read(found)?;
                if equal(found, value) { Ok(()) } else { Err(Fault::TestFailed) }
            }
        }
    }
}

/// What the operations of a patch have cost, in bytes; an element that makes room counts as one.
struct Work {
    added: usize,
    read: usize,
    read_max: usize,
}

impl Work {
    fn on(json: &str) -> Self {
        let read_max = json.len().saturating_mul(READ_TIMES_MAX).saturating_add(GROWTH_BYTES_MAX);
        Self { added: 0, read: 0, read_max }
    }

    /// Counts what `value` adds at `path`, and refuses too much of it.
    fn add(&mut self, path: &Pointer, value: &Value) -> Result<(), Fault> {
        let text = value.to_string();
        self.added = self.added.saturating_add(text.len());
        if self.added > GROWTH_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        check_depth(path, &text)
    }

    /// Counts a `value` that is moved or compared, which adds nothing, and refuses too much of it.
    fn read(&mut self, value: &Value) -> Result<String, Fault> {
        let text = value.to_string();
        self.count(text.len())?;
        Ok(text)
    }

    /// Counts `cost`, and refuses too much.
    fn count(&mut self, cost: usize) -> Result<(), Fault> {
        self.read = self.read.saturating_add(cost);
        if self.read > self.read_max { Err(Fault::TooCostly) } else { Ok(()) }
    }
}

/// Values are never deeper than [`DEPTH_MAX`], so that nothing which walks through one runs out of stack.
fn check_depth(path: &Pointer, value: &str) -> Result<(), Fault> {
    let depth_max = DEPTH_MAX.saturating_sub(path.0.len());
    too_deep(value.as_bytes(), depth_max).map_or(Ok(()), |_| Err(Fault::TooDeep))
}

/// A JSON Pointer (RFC 6901).
#[derive(Clone, Debug, Eq, PartialEq)]
struct Pointer(Vec<String>);

impl Pointer {
    fn parse(text: &str) -> Option<Self> {
        let Some(steps) = text.strip_prefix('/') else {
            return text.is_empty().then(|| Self(Vec::new()));
        };
        let mut pointer = Vec::new();
        for step in steps.split('/') {
            if pointer.len() == POINTER_STEPS_MAX {
                return None;
            }
            pointer.push(unescape(step)?);
        }
        Some(Self(pointer))
    }

    /// The steps to what is around, and the last one.
    fn split(&self) -> Option<(&[String], &str)> {
        let (last, around) = self.0.split_last()?;
        Some((around, last))
    }
}

/// `~1` is a slash and `~0` a tilde; any other tilde is an error (RFC 6901, section 3).
fn unescape(step: &str) -> Option<String> {
    let mut text = String::with_capacity(step.len());
    let mut rest = step.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '~' => match rest.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            _ => c,
        });
    }
    Some(text)
}

/// A place in a list: digits without zeros in front.
fn index(step: &str) -> Option<usize> {
    let at: usize = step.parse().ok()?;
    (at.to_string() == step).then_some(at)
}

fn find<'v>(value: &'v Value, path: &Pointer) -> Option<&'v Value> {
    path.0.iter().try_fold(value, |value, step| match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(items) => items.get(index(step)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn find_mut<'v>(value: &'v mut Value, path: &Pointer) -> Option<&'v mut Value> {
    walk(value, &path.0)
}

fn walk<'v>(value: &'v mut Value, steps: &[String]) -> Option<&'v mut Value> {
    steps.iter().try_fold(value, |value, step| match value {
        Value::Object(fields) => fields.get_mut(step),
        Value::Array(items) => items.get_mut(index(step)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn add(resource: &mut Value, path: &Pointer, value: Value, work: &mut Work) -> Result<(), Fault> {
    const MISSING: Fault = Fault::NotFound("path");
    let Some((around, last)) = path.split() else {
        *resource = value;
        return Ok(());
    };
    match walk(resource, around).ok_or(MISSING)? {
        Value::Object(fields) => {
            fields.insert(last.to_owned(), value);
        }
        Value::Array(items) => {
            let at = if last == "-" { items.len() } else { index(last).ok_or(MISSING)? };
            if at > items.len() {
                return Err(MISSING);
            }
            work.count(items.len() - at)?;
            items.insert(at, value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(MISSING),
    }
    Ok(())
}

fn remove(
    resource: &mut Value,
    path: &Pointer,
    element: &'static str,
    work: &mut Work,
) -> Result<Value, Fault> {
    let missing = Fault::NotFound(element);
    // Without its root there is no resource.
    let (around, last) = path.split().ok_or(missing)?;
    match walk(resource, around).ok_or(missing)? {
        // `remove` would put the last element in its place.
        Value::Object(fields) => {
            work.count(fields.len())?;
            fields.shift_remove(last).ok_or(missing)
        }
        Value::Array(items) => {
            let at = index(last).filter(|at| *at < items.len()).ok_or(missing)?;
            work.count(items.len() - at)?;
            Ok(items.remove(at))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(missing),
    }
}

/// Equality as RFC 6902, 4.6 has it: numbers by their value, objects whatever their order.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.to_string(), b.to_string());
            a == b || decimal(&a).is_some_and(|a| Some(a) == decimal(&b))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let is_in_b = |(key, a)| b.get(key).is_some_and(|b| equal(a, b));
            a.len() == b.len() && a.iter().all(is_in_b)
        }
        (Value::Null, _) | (Value::Bool(_), _) | (Value::String(_), _) => a == b,
        (Value::Number(_) | Value::Array(_) | Value::Object(_), _) => false,
    }
}

/// Sign, digits and power of ten of a JSON number, in one form; nothing if the power is absurd.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (negative, mantissa) =
        mantissa.strip_prefix('-').map_or((false, mantissa), |it| (true, it));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = whole.to_owned() + fraction;
    let behind_point = i64::try_from(fraction.len()).ok()?;
    let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let mut power = exponent.checked_sub(behind_point)?;
    while digits.ends_with('0') {
        digits.pop();
        power = power.checked_add(1)?;
    }
    let digits = digits.trim_start_matches('0').to_owned();
    if digits.is_empty() { Some((false, digits, 0)) } else { Some((negative, digits, power)) }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    const RESOURCE: &str =
        r#"{"resourceType":"Basic","id":"a","v":1.50,"w":[1,2.0,{"x":"y"}],"~/":null,"z":1E2}"#;

    fn patched(operations: &str) -> Result<String, PatchError> {
        Patch::parse(format!("[{operations}]").as_bytes())?.apply(RESOURCE)
    }

    /// Reads lines of `operations => what stands behind the id, or the error by its variant`.
    fn check(table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (operations, expected) = line.rsplit_once("=>").unwrap();
            let found = match patched(operations.trim()) {
                Ok(json) => {
                    let rest = json.strip_prefix(r#"{"resourceType":"Basic","id":"a","#);
                    rest.unwrap_or(&json).trim_end_matches('}').to_owned()
                }
                Err(error) => {
                    assert!((400..500).contains(&Outcome::from(error.clone()).status().code()));
                    assert!(error.to_string().contains("; "), "what to do next: {error}");
                    let name = format!("{error:?}");
                    name.split([' ', '{', '(']).next().unwrap().to_owned()
                }
            };
            assert_eq!(found, expected.trim(), "{operations}");
        }
    }

    #[test]
    fn every_operation_changes_only_what_it_names() {
        check(
            r#"
            {"op":"remove","path":"/w"}, {"op":"remove","path":"/~0~1"}      => "v":1.50,"z":1e+2
            {"op":"remove","path":"/w/0"},{"op":"remove","path":"/~0~1"},{"op":"remove","path":"/w/1"} => "v":1.50,"w":[2.0],"z":1e+2
            {"op":"add","path":"/w","value":0.10},{"op":"remove","path":"/~0~1"} => "v":1.50,"w":0.10,"z":1e+2
            {"op":"replace","path":"/w","value":[]},{"op":"add","path":"/w/-","value":2},{"op":"add","path":"/w/0","value":1} => "v":1.50,"w":[1,2],"~/":null,"z":1e+2
            {"op":"move","from":"/v","path":"/w"}                              => "w":1.50,"~/":null,"z":1e+2
            {"op":"copy","from":"/v","path":"/w"}                              => "v":1.50,"w":1.50,"~/":null,"z":1e+2
            {"op":"test","path":"/v","value":1.5},{"op":"remove","path":"/w"}  => "v":1.50,"~/":null,"z":1e+2
            {"op":"test","path":"/z","value":100.0},{"op":"remove","path":"/w"} => "v":1.50,"~/":null,"z":1e+2
            {"op":"test","path":"/w","value":[1.0,2,{"x":"y"}]},{"op":"remove","path":"/w"} => "v":1.50,"~/":null,"z":1e+2
            {"op":"move","from":"/v","path":"/v"},{"op":"remove","path":"/w"}  => "v":1.50,"~/":null,"z":1e+2
            {"op":"remove","path":"/w","comment":"is passed over"}             => "v":1.50,"~/":null,"z":1e+2
            {"op":"remove","path":"/id"},{"op":"add","path":"/id","value":"a"},{"op":"replace","path":"/w","value":1} => {"resourceType":"Basic","v":1.50,"w":1,"~/":null,"z":1e+2,"id":"a"
            "#,
        );
    }

    #[test]
    fn faults_have_names() {
        check(
            r#"
            1                                                    => BadOperation
            {}                                                   => BadOperation
            {"op":"add","path":"/v"}                             => BadOperation
            {"op":"Add","path":"/v","value":1}                   => BadOperation
            {"op":"add","path":"v","value":1}                    => BadOperation
            {"op":"add","path":"/~2","value":1}                  => BadOperation
            {"op":"add","path":"/~","value":1}                   => BadOperation
            {"op":"add","path":7,"value":1}                      => BadOperation
            {"op":"move","path":"/v"}                            => BadOperation
            {"op":"move","op":"move","path":"/v"}                => Input
            {"op":"add","path":"/v","value":{"a":1,"a":2}}       => Input
            {"op":"add","path":"/v","value":                     => Input
            {"op":"remove","path":"/q"}                          => NotFound
            {"op":"remove","path":""}                            => NotFound
            {"op":"remove","path":"/w/3"}                        => NotFound
            {"op":"remove","path":"/w/-"}                        => NotFound
            {"op":"remove","path":"/w/00"}                       => NotFound
            {"op":"remove","path":"/w/+1"}                       => NotFound
            {"op":"add","path":"/w/4","value":1}                 => NotFound
            {"op":"add","path":"/q/r","value":1}                 => NotFound
            {"op":"add","path":"/v/r","value":1}                 => NotFound
            {"op":"replace","path":"/q","value":1}               => NotFound
            {"op":"copy","from":"/q","path":"/v"}                => NotFound
            {"op":"test","path":"/q","value":null}               => NotFound
            {"op":"test","path":"/v","value":"1.50"}             => TestFailed
            {"op":"test","path":"/v","value":1.51}               => TestFailed
            {"op":"test","path":"/z","value":1e999999999999999999999} => TestFailed
            {"op":"move","from":"/w","path":"/w/0"}              => IntoItself
            {"op":"replace","path":"/id","value":"b"}            => Identity
            {"op":"replace","path":"/id","value":7}              => Identity
            {"op":"remove","path":"/id"}                         => Identity
            {"op":"replace","path":"/resourceType","value":"Patient"} => Identity
            {"op":"replace","path":"","value":[]}                => Identity
            "#,
        );
        assert_eq!(Patch::parse(b"{}"), Err(PatchError::NotAList));
        let without_id = r#"{"resourceType":"Basic"}"#;
        let patch = Patch::parse(br#"[{"op":"add","path":"/id","value":7}]"#).unwrap();
        assert_eq!(patch.apply(without_id), Err(PatchError::Identity("id")));
    }

    #[test]
    fn limits_hold_at_the_limit() {
        let test = r#"{"op":"test","path":"/v","value":1.5}"#;
        let many = |count: usize| vec_of(test, count);
        assert!(patched(&many(OPERATIONS_MAX)).is_ok());
        let operations = OPERATIONS_MAX + 1;
        assert_eq!(patched(&many(operations)), Err(PatchError::TooManyOperations { operations }));

        // Each copy doubles what it is of.
        let copies = vec_of(r#"{"op":"copy","from":"/w","path":"/w/-"}"#, 40);
        assert_eq!(patched(&copies), Err(PatchError::TooLarge { index: 15 }));
        // Each holds the one before it.
        let copies = vec_of(r#"{"op":"copy","from":"","path":"/w/a"}"#, 40);
        let copies = r#"{"op":"replace","path":"/w","value":{}},"#.to_owned() + &copies;
        assert_eq!(patched(&copies), Err(PatchError::TooDeep { index: 32 }));

        let steps = |count: usize| {
            let path = "/a".repeat(count);
            patched(&format!(r#"{{"op":"remove","path":"{path}"}}"#))
        };
        assert_eq!(
            steps(POINTER_STEPS_MAX),
            Err(PatchError::NotFound { index: 0, element: "path" })
        );
        assert_eq!(
            steps(POINTER_STEPS_MAX + 1),
            Err(PatchError::BadOperation { index: 0, element: "path" })
        );
        let deep = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            patched(&format!(r#"{{"op":"add","path":"/w","value":{open}{close}}}"#))
        };
        // Inside the patch the value stands two levels down.
        assert!(deep(DEPTH_MAX - 2).is_ok());
        assert!(matches!(deep(DEPTH_MAX - 1), Err(PatchError::Input(BundleError::TooDeep { .. }))));
    }

    #[test]
    fn large_values_are_not_read_again_and_again() {
        let large = "x".repeat(GROWTH_BYTES_MAX);
        let resource = format!(r#"{{"resourceType":"Basic","id":"a","v":["{large}"]}}"#);
        let there = r#"{"op":"move","from":"/v","path":"/w"}"#;
        let back = r#"{"op":"move","from":"/w","path":"/v"}"#;
        let test = r#"{"op":"test","path":"/v","value":[1]}"#;
        let apply = |operations: &str| {
            Patch::parse(format!("[{operations}]").as_bytes()).unwrap().apply(&resource)
        };
        assert!(apply(&[there, back].join(",")).is_ok());
        let many = vec_of(&[there, back].join(","), 50);
        assert_eq!(apply(&many), Err(PatchError::TooCostly { index: 5 }));
        let moves = [there, back, there, back].join(",");
        assert_eq!(apply(&[&moves, test].join(",")), Err(PatchError::TestFailed { index: 4 }));
    }

    /// Of `op` at the first of many elements, which moves all that are behind it.
    #[test]
    fn elements_are_not_moved_again_and_again() {
        const ELEMENTS: usize = 1 << 14;
        let list = alloc::vec!["0"; ELEMENTS].join(",");
        let fields =
            (0..ELEMENTS / 8).map(|at| format!(r#""{at:x}":0"#)).collect::<Vec<_>>().join(",");
        let resource =
            format!(r#"{{"resourceType":"Basic","id":"a","v":[{list}],"w":{{{fields}}}}}"#);
        let apply = |operation: &dyn Fn(usize) -> String, count: usize| {
            let operations = (0..count).map(operation).collect::<Vec<_>>().join(",");
            let patch = Patch::parse(format!("[{operations}]").as_bytes()).unwrap();
            patch.apply(&resource).map(drop)
        };
        let at = |op: &'static str, step: &str| {
            let path = step.to_owned();
            move |_: usize| format!(r#"{{"op":"{op}","path":"{path}","value":0}}"#)
        };
        let too_costly =
            |result: Result<(), PatchError>| matches!(result, Err(PatchError::TooCostly { .. }));
        for (op, step) in [("remove", "/v/0"), ("add", "/v/0")] {
            assert_eq!(apply(&at(op, step), 4), Ok(()), "{op}");
            assert!(too_costly(apply(&at(op, step), OPERATIONS_MAX)), "{op}");
        }
        let first = |at: usize| format!(r#"{{"op":"remove","path":"/w/{at:x}"}}"#);
        assert!(too_costly(apply(&first, OPERATIONS_MAX)));
        assert_eq!(apply(&at("add", "/v/-"), OPERATIONS_MAX), Ok(()));
        let last = |at: usize| format!(r#"{{"op":"remove","path":"/v/{}"}}"#, ELEMENTS - 1 - at);
        assert_eq!(apply(&last, OPERATIONS_MAX), Ok(()));
    }

    #[test]
    fn bytes_are_counted_to_the_last() {
        let spaces = |len: usize| format!("[]{}", " ".repeat(len - 2));
        assert!(Patch::parse(spaces(PATCH_BYTES_MAX).as_bytes()).is_ok());
        let error = Patch::parse(spaces(PATCH_BYTES_MAX + 1).as_bytes());
        assert!(matches!(error, Err(PatchError::Input(BundleError::TooLarge { .. }))));

        let half = format!("\"{}\"", "x".repeat(GROWTH_BYTES_MAX / 2 - 2));
        let twice = format!(
            r#"{{"op":"add","path":"/x","value":{half}}},{{"op":"copy","from":"/x","path":"/y"}}"#
        );
        assert!(patched(&twice).is_ok());
        let more = twice + r#",{"op":"add","path":"/y","value":1}"#;
        assert_eq!(patched(&more), Err(PatchError::TooLarge { index: 2 }));
    }

    fn vec_of(operation: &str, count: usize) -> String {
        alloc::vec![operation; count].join(",")
    }
}

//! What a bulk export asks for (Bulk Data Access 2.0, "Query Parameters"), in a URL or in a Parameters resource.
//!
//! # Invariants
//!
//! * An [`Asked`] that exists can be answered, of each resource by itself.
//! * What is not served is refused, or with lenient handling left out and named. A value that cannot be read is refused
//!   with either: to leave it out would widen what is exported.
//! * Types that are named and not known are types of which there is nothing: they never stand for all.
//!
//! Not here: who may export what, and searches that look at more than one resource (chains, `_has`, includes), which R4
//! has and `_typeFilter` may have.

use alloc::{borrow::ToOwned, collections::BTreeSet, format, string::String, vec::Vec};

use crate::{
    header::parse_instant,
    interaction::{Id, RESULT_PARAMETERS, ResourceType},
    outcome::{Issue, IssueType, Outcome, Severity, Status},
    parameters::Parameters,
    search::{Entry, Handling, Options as SearchOptions, Query, form, shape::Shape},
    summary::printable,
};

/// Searches of one export.
pub const FILTERS_MAX: usize = 32;
/// Elements of one export.
pub const ELEMENTS_MAX: usize = 256;
/// Patients whom one export may name.
pub const PATIENTS_MAX: usize = 10_000;
/// The names of NDJSON, as `_outputFormat` has them. A plus in a URL that is not encoded is a blank.
const FORMATS: [&str; 4] =
    ["application/fhir+ndjson", "application/fhir ndjson", "application/ndjson", "ndjson"];
const NAME_CHARS_MAX: usize = 64;

/// Whose resources are exported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// All that is here.
    System,
    /// All patients'.
    Patients,
    /// Those of the members of a group.
    Group,
}

/// How a request is read.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The server's public address.
    pub base: &'a str,
    /// Milliseconds since 1970, for `ap` of dates alone.
    pub now_ms: u64,
    /// `Prefer: handling=..`.
    pub handling: Handling,
    /// Of whom.
    pub level: Level,
    /// Whether it was a POST, which alone may name patients.
    pub is_post: bool,
}

/// What is asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// Of these types; of all if it was not said.
    pub types: Option<BTreeSet<ResourceType>>,
    /// Of these patients; of all if it was not said.
    pub patients: Option<BTreeSet<Id>>,
    /// What was left out, by name.
    pub ignored: Vec<String>,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    filters: Vec<Query>,
    /// Elements, of one type or of all.
    elements: Vec<(Option<ResourceType>, String)>,
}

impl Asked {
    /// Reads decoded parameters.
    pub fn parse(pairs: &[(String, String)], options: Options<'_>) -> Result<Self, Outcome> {
        let mut asked = Self::default();
        for (name, value) in pairs {
            asked.take(name, value, options)?;
        }
        if let (Some(since), Some(until)) = (asked.since_ms, asked.until_ms)
            && until <= since
        {
            return Err(bad("_until", "an instant after _since"));
        }
        let filtered = asked.filters.iter().map(|it| it.resource_type);
        let is_named = |of: &str| {
            asked.types.as_ref().is_none_or(|types| types.iter().any(|it| it.as_str() == of))
        };
        match filtered.into_iter().find(|of| !is_named(of)) {
            Some(_) => Err(bad("_typeFilter", "of types that _type names too, if it names some")),
            None => Ok(asked),
        }
    }

    fn take(&mut self, name: &str, value: &str, options: Options<'_>) -> Result<(), Outcome> {
        match name {
            "_format" => Ok(()),
            "_type" => self.take_types(value, options.handling),
            "_since" => once(&mut self.since_ms, "_since", value),
            "_until" => once(&mut self.until_ms, "_until", value),
            "_typeFilter" => self.take_filters(value, options),
            "_elements" => self.take_elements(value),
            "patient" if options.is_post && options.level != Level::System => {
                self.take_patient(value, options.base)
            }
            "patient" => Err(bad("patient", "for POST, of Patient/$export or of a Group")),
            "_outputFormat" if FORMATS.contains(&value) => Ok(()),
            "_outputFormat" => Err(bad("_outputFormat", "application/fhir+ndjson")),
            _ => self.leave_out(name, options.handling),
        }
    }

    fn leave_out(&mut self, name: &str, handling: Handling) -> Result<(), Outcome> {
        let name = printable(name, NAME_CHARS_MAX);
        if handling == Handling::Lenient {
            self.ignored.push(name);
            return Ok(());
        }
        let text = format!(
            "{name} is not served for an export; leave it out, or send Prefer: handling=lenient"
        );
        Err(Outcome::error(IssueType::NotSupported, &text))
    }

    fn take_types(&mut self, value: &str, handling: Handling) -> Result<(), Outcome> {
        for name in parts(value) {
            self.types.get_or_insert_default();
            match name.parse::<ResourceType>() {
                Ok(of) => self.types.get_or_insert_default().extend([of]),
                Err(_) => self.leave_out(&format!("_type={name}"), handling)?,
            }
        }
        Ok(())
    }

    fn take_filters(&mut self, value: &str, options: Options<'_>) -> Result<(), Outcome> {
        for text in searches(value) {
            let filter = filter(text, (options.base, options.now_ms)).ok_or_else(|| {
                bad("_typeFilter", "made of searches such as Observation?status=final, each of a type that is looked at by itself: no chain, _has, include or shape of an answer")
            })?;
            if self.filters.len() == FILTERS_MAX {
                return Err(too_many("_typeFilter", FILTERS_MAX));
            }
            self.filters.push(filter);
        }
        Ok(())
    }

    fn take_elements(&mut self, value: &str) -> Result<(), Outcome> {
        for text in parts(value) {
            let (of, element) = match text.split_once('.') {
                Some((of, element)) => (Some(of.parse().map_err(|_| no_element())?), element),
                None => (None, text),
            };
            let is_name = element.chars().all(|c| c.is_ascii_alphanumeric());
            if !is_name || element.is_empty() || element.len() > NAME_CHARS_MAX {
                return Err(no_element());
            }
            if self.elements.len() == ELEMENTS_MAX {
                return Err(too_many("_elements", ELEMENTS_MAX));
            }
            self.elements.push((of, element.to_owned()));
        }
        Ok(())
    }

    fn take_patient(&mut self, value: &str, base: &str) -> Result<(), Outcome> {
        let below = value.strip_prefix(base).and_then(|it| it.strip_prefix('/')).unwrap_or(value);
        let id = below.strip_prefix("Patient/").and_then(|it| it.parse().ok());
        let id = id.ok_or_else(|| bad("patient", "a reference such as Patient/ID"))?;
        let patients = self.patients.get_or_insert_default();
        patients.insert(id);
        if patients.len() > PATIENTS_MAX {
            return Err(too_many("patient", PATIENTS_MAX));
        }
        Ok(())
    }

    /// Whether resources of a type are wanted.
    pub fn wants(&self, of: ResourceType) -> bool {
        self.types.as_ref().is_none_or(|types| types.contains(&of))
    }

    /// Whether what became final at this time, in milliseconds since 1970, is wanted.
    pub fn wants_of(&self, at_ms: u64) -> bool {
        self.since_ms.is_none_or(|since| at_ms > since)
            && self.until_ms.is_none_or(|until| at_ms < until)
    }

    /// Whether of a type not all are wanted: a resource must be looked at.
    pub fn narrows(&self, of: ResourceType) -> bool {
        self.filters.iter().any(|it| it.resource_type == of.as_str())
    }

    /// Whether a resource is met by one of the searches of its type, if there are any.
    pub fn is_met_by(&self, entry: &Entry<'_>) -> bool {
        let mut of_type =
            self.filters.iter().filter(|it| it.resource_type == entry.resource_type()).peekable();
        of_type.peek().is_none() || of_type.any(|it| it.matches(entry))
    }

    /// How much of a resource of a type is wanted.
    pub fn shape_of(&self, of: ResourceType) -> Shape {
        let of_type = |it: &&(Option<ResourceType>, String)| it.0.is_none_or(|it| it == of);
        let names: BTreeSet<_> =
            self.elements.iter().filter(of_type).map(|(_, name)| name.clone()).collect();
        if names.is_empty() { Shape::Whole } else { Shape::Elements(names) }
    }
}

/// The parameters of a body, as a URL would have them.
pub fn pairs_in(body: &[u8]) -> Result<Vec<(String, String)>, Outcome> {
    let read = Parameters::read(body)?.filter(|it| it.resources.is_empty());
    read.map(|it| it.pairs).ok_or_else(|| {
        let text = "the body of an export is a Parameters resource, with a name and a value in each parameter";
        Outcome::error(IssueType::Structure, text).at("Parameters.parameter")
    })
}

/// What an export leaves out, as its answer tells it.
pub fn told(ignored: &[String]) -> Option<Outcome> {
    let issue = |name: &String| {
        let text = format!("{name} is not served for an export, and was left out");
        Issue::new(Severity::Warning, IssueType::NotSupported, &text)
    };
    let mut issues = ignored.iter().map(issue);
    let mut outcome = Outcome::new(issues.next()?);
    issues.for_each(|issue| outcome.push(issue));
    Some(outcome.with_status(Status::ACCEPTED))
}

fn parts(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|it| !it.is_empty())
}

/// The searches of a list. The commas of one are told from those between two by what follows: `Type?`.
fn searches(value: &str) -> Vec<&str> {
    let begins = |at: usize| {
        let name = value[at..].split_once('?').map(|(name, _)| name);
        name.is_some_and(|name| name.parse::<ResourceType>().is_ok())
    };
    let mut found = Vec::new();
    let mut from = 0;
    for (at, _) in value.match_indices(',').filter(|(at, _)| begins(at + 1)) {
        found.push(&value[from..at]);
        from = at + 1;
    }
    found.push(&value[from..]);
    found
}

/// A search of one type that can be decided of each resource by itself. `now_ms` is for `ap` of dates alone.
pub(crate) fn filter(text: &str, (base, now_ms): (&str, u64)) -> Option<Query> {
    let (of, query) = text.split_once('?')?;
    let of: ResourceType = of.parse().ok()?;
    let pairs = form::decode(query).ok().filter(|it| !it.is_empty())?;
    let is_alone = |name: &str| {
        let stem = name.split_once(':').map_or(name, |(stem, _)| stem);
        !name.contains('.') && stem != "_has" && !RESULT_PARAMETERS.contains(&stem)
    };
    if !pairs.iter().all(|(name, value)| is_alone(name) && !value.is_empty()) {
        return None;
    }
    let options = SearchOptions { base, now_ms, handling: Handling::Strict };
    let query = Query::parse(of.as_str(), &pairs, options).ok()?;
    (query.types().len() == 1).then_some(query)
}

fn once(into: &mut Option<u64>, name: &'static str, value: &str) -> Result<(), Outcome> {
    let at = parse_instant(name, value)?;
    match into.replace(at) {
        Some(_) => Err(bad(name, "said once")),
        None => Ok(()),
    }
}

fn no_element() -> Outcome {
    bad("_elements", "a list such as id,Patient.birthDate")
}

fn bad(name: &str, what: &str) -> Outcome {
    Outcome::error(IssueType::Value, &format!("{name} of an export is {what}"))
}

fn too_many(name: &str, most: usize) -> Outcome {
    let text = format!("{name} of an export names {most} at most; export in parts");
    Outcome::error(IssueType::TooCostly, &text).with_status(Status::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BASE: &str = "https://g.example/fhir";

    fn options(handling: Handling) -> Options<'static> {
        Options { base: BASE, now_ms: 0, handling, level: Level::Patients, is_post: true }
    }

    fn parse(query: &str, handling: Handling) -> Result<Asked, Outcome> {
        Asked::parse(&form::decode(query).unwrap(), options(handling))
    }

    fn of(name: &str) -> ResourceType {
        name.parse().unwrap()
    }

    #[test]
    fn what_cannot_be_answered_is_refused_and_never_widened() {
        for (query, is_strict, is_lenient) in [
            ("", true, true),
            ("_outputFormat=ndjson", true, true),
            ("_outputFormat=application/ndjson", true, true),
            ("_outputFormat=application%2Ffhir%2Bndjson", true, true),
            ("_outputFormat=application/fhir+ndjson", true, true),
            ("_outputFormat=text/csv", false, false),
            ("_type=Patient,Observation&_type=Condition", true, true),
            ("_type=Patient,Nothing", false, true),
            ("_since=2026-01-01T00:00:00Z&_until=2026-02-01T00:00:00Z", true, true),
            ("_since=2026-01-01T00:00:00Z&_until=2026-01-01T00:00:00Z", false, false),
            ("_since=2026-01-01T00:00:00Z&_since=2026-01-01T00:00:00Z", false, false),
            ("_since=2026", false, false),
            ("_since=", false, false),
            ("_typeFilter=Observation%3Fstatus%3Dfinal", true, true),
            ("_typeFilter=Observation%3Fcode%3Da%2Cb%2CCondition%3Fcode%3Dc", true, true),
            ("_typeFilter=Observation", false, false),
            ("_typeFilter=Observation%3F", false, false),
            ("_typeFilter=Nothing%3Fstatus%3Dfinal", false, false),
            ("_typeFilter=Observation%3Fnothing%3Dfinal", false, false),
            ("_typeFilter=Observation%3Fdate%3Dyesterday", false, false),
            ("_typeFilter=Observation%3Fstatus%3D", false, false),
            ("_typeFilter=Observation%3Fsubject.name%3Da", false, false),
            ("_typeFilter=Observation%3Fsubject:Patient.name%3Da", false, false),
            ("_typeFilter=Patient%3F_has:Observation:patient:code%3Da", false, false),
            ("_typeFilter=Observation%3F_include%3DObservation:subject", false, false),
            ("_typeFilter=Observation%3Fstatus%3Dfinal%26_sort%3Ddate", false, false),
            ("_typeFilter=Observation%3Fstatus%3Dfinal&_type=Condition", false, false),
            ("_elements=id,Patient.birthDate", true, true),
            ("_elements=Patient.name.family", false, false),
            ("_elements=Nothing.id", false, false),
            ("patient=Patient/1&patient=https://g.example/fhir/Patient/2", true, true),
            ("patient=Patient/..", false, false),
            ("patient=Group/1", false, false),
            ("includeAssociatedData=LatestProvenanceResources", false, true),
            ("allowPartialManifests=true", false, true),
            ("_count=5", false, true),
            ("_format=json", true, true),
        ] {
            assert_eq!(parse(query, Handling::Strict).is_ok(), is_strict, "strict {query}");
            assert_eq!(parse(query, Handling::Lenient).is_ok(), is_lenient, "lenient {query}");
        }
        let asked = parse("_type=Nothing", Handling::Lenient).unwrap();
        assert!(!asked.wants(of("Patient")), "an unknown type is not all types");
        assert_eq!(asked.ignored, ["_type=Nothing"]);
        assert!(told(&asked.ignored).unwrap().to_json().contains("_type=Nothing"));
    }

    #[test]
    fn patients_are_named_by_post_and_below_the_system() {
        let pairs = [("patient".to_owned(), "Patient/1".to_owned())];
        for (level, is_post, is_read) in [
            (Level::Patients, true, true),
            (Level::Group, true, true),
            (Level::System, true, false),
            (Level::Patients, false, false),
        ] {
            let options = Options { level, is_post, ..options(Handling::Lenient) };
            assert_eq!(Asked::parse(&pairs, options).is_ok(), is_read, "{level:?} {is_post}");
        }
    }

    #[test]
    fn limits_hold() {
        let many = |text: &str, most: usize| {
            let at_most = parse(&alloc::vec![text; most].join("&"), Handling::Strict);
            let beyond = parse(&alloc::vec![text; most + 1].join("&"), Handling::Strict);
            (at_most.is_ok(), beyond.is_ok())
        };
        assert_eq!(many("_typeFilter=Patient%3Fgender%3Dmale", FILTERS_MAX), (true, false));
        let names = |most: usize| alloc::vec!["id"; most].join(",");
        assert!(parse(&format!("_elements={}", names(ELEMENTS_MAX)), Handling::Strict).is_ok());
        let beyond = format!("_elements={}", names(ELEMENTS_MAX + 1));
        assert!(parse(&beyond, Handling::Strict).is_err());
        let patient = |at: usize| ("patient".to_owned(), format!("Patient/{at}"));
        let patients: Vec<_> = (0..=PATIENTS_MAX).map(patient).collect();
        let options = options(Handling::Strict);
        assert!(Asked::parse(&patients[..PATIENTS_MAX], options).is_ok());
        assert!(Asked::parse(&patients, options).is_err());
    }

    #[test]
    fn each_resource_is_decided_by_itself() {
        let query = "_typeFilter=Observation%3Fstatus%3Dfinal%26code%3Da,Observation%3Fcode%3Db&_elements=Patient.name,status";
        let asked = parse(query, Handling::Strict).unwrap();
        for (status, code, is_met) in
            [("final", "a", true), ("final", "c", false), ("amended", "a", false), ("x", "b", true)]
        {
            let resource = json!({
                "resourceType": "Observation", "status": status,
                "code": { "coding": [{ "system": "http://c", "code": code }] },
            });
            let entry = Entry::new(&resource, "1", "2026-01-01T00:00:00Z");
            assert_eq!(asked.is_met_by(&entry), is_met, "{status} {code}");
        }
        let patient = json!({ "resourceType": "Patient" });
        assert!(asked.is_met_by(&Entry::new(&patient, "1", "2026-01-01T00:00:00Z")));
        assert!(asked.narrows(of("Observation")) && !asked.narrows(of("Patient")));
        let names = |texts: &[&str]| Shape::Elements(texts.iter().map(|&it| it.into()).collect());
        assert_eq!(asked.shape_of(of("Patient")), names(&["name", "status"]));
        assert_eq!(asked.shape_of(of("Observation")), names(&["status"]));
        let between = "_since=1970-01-01T00:00:01Z&_until=1970-01-01T00:00:03Z";
        let asked = parse(between, Handling::Strict).unwrap();
        let wanted = [999, 1_000, 1_001, 2_999, 3_000].map(|at_ms| asked.wants_of(at_ms));
        assert_eq!(wanted, [false, false, true, true, false]);
    }

    #[test]
    fn a_body_has_parameters_alone() {
        let with = |parameter: &str| {
            format!(r#"{{"resourceType":"Parameters","parameter":[{parameter}]}}"#)
        };
        let read = pairs_in(with(r#"{"name":"_type","valueString":"Patient"}"#).as_bytes());
        assert_eq!(read.unwrap(), [("_type".into(), "Patient".into())]);
        let resource = with(r#"{"name":"_type","resource":{}}"#);
        for bad in [&*resource, "{}", "[]", "", r#"{"resourceType":"Bundle"}"#] {
            assert!(pairs_in(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

//! A query as it was read: what must hold of a resource, and what is to become of those for which it does.
//!
//! # Invariants
//!
//! * A query that exists can be answered. What could not be is in `ignored`, and only names can be: a modifier
//!   or value that is not understood refuses the query whatever the handling, since leaving it out would widen
//!   the answer.
//! * [`Query::canonical`] read again gives the same query.

use alloc::{
    borrow::ToOwned,
    boxed::Box,
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};

use thiserror::Error;

use super::{
    criterion::{Context, Criterion, Modifier, Wanted, split},
    form,
    shape::Shape,
    table::{self, ID, Kind, Parameter},
};

/// Values of one query, over all its parameters.
pub const VALUES_MAX: usize = 1_024;
/// Conditions of one query, each type that an untyped chain may pass through counted.
pub const CLAUSES_MAX: usize = 256;
/// Links of one chain, `_has` included.
pub const CHAIN_MAX: usize = 4;
/// Keys by which one answer is sorted.
pub const SORT_KEYS_MAX: usize = 8;
/// Elements that one query may name.
pub const ELEMENTS_MAX: usize = 64;
/// Characters of a name that an error repeats.
const NAME_CHARS_MAX: usize = 80;

/// What the server knows when a query arrives.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The server's public address: what stands below it is here.
    pub base: &'a str,
    /// Milliseconds since 1970, for `ap` of dates alone.
    pub now_ms: u64,
    /// What becomes of names that nobody knows.
    pub handling: Handling,
}

/// `Prefer: handling=..` (R4, section 3.1.1.4.0.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Handling {
    /// Unknown parameters are left out, and told.
    #[default]
    Lenient,
    /// Unknown parameters are errors.
    Strict,
}

/// `_total`: whether the answer should say how many match.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Total {
    /// The client does not want it.
    None,
    /// A guess will do.
    Estimate,
    /// The client wants the number.
    Accurate,
}

/// A query that can be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Query {
    /// The type of what is searched.
    pub resource_type: &'static str,
    /// `_count`: how many a page may have. Zero asks for the total alone.
    pub count: Option<u32>,
    /// `_total`.
    pub total: Option<Total>,
    /// `_elements` or `_summary`: how much of each match is wanted.
    pub shape: Shape,
    /// What was left out; nothing in strict handling.
    pub ignored: Vec<SearchError>,
    pub(super) clauses: Vec<Clause>,
    pub(super) sort: Vec<SortKey>,
    pub(super) includes: Vec<Include>,
    pub(super) base: String,
    pub(super) now_ms: u64,
    used: Vec<(String, String)>,
}

/// Why a query, or a part of it, is not answered: the fault of whoever wrote it. No text repeats a value.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SearchError {
    /// Several types have the rest of the chain, and it would mean different things.
    #[error("{parameter} may refer to several types; name one, as in {parameter}:Patient.{rest}")]
    AmbiguousChain {
        /// The reference.
        parameter: String,
        /// What follows it.
        rest: String,
    },
    /// Two result parameters ask for different things.
    #[error("{one} and {other} cannot both be asked for; leave one out")]
    Conflict {
        /// One of them.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// A parameter without a value.
    #[error("{parameter} has no value; give it one or leave it out")]
    Empty {
        /// Its name.
        parameter: String,
    },
    /// The modifier is not one of the parameter's, or cannot be answered here.
    #[error("{parameter} does not take the modifier {modifier:?}; see the CapabilityStatement")]
    Modifier {
        /// The parameter.
        parameter: String,
        /// The modifier.
        modifier: String,
    },
    /// The query is not a form.
    #[error("the query is not percent-encoded UTF-8; encode each name and value")]
    NotAForm,
    /// Only references lead on to other resources.
    #[error("{parameter} is no reference; only references are followed with `.` or `_has`")]
    NotAReference {
        /// The parameter.
        parameter: String,
    },
    /// A result parameter stands twice.
    #[error("{parameter} stands more than once; say it once")]
    Repeated {
        /// The parameter.
        parameter: &'static str,
    },
    /// A chain has too many links.
    #[error("{parameter} has more than {links_max} links; search in two steps")]
    TooDeep {
        /// The parameter.
        parameter: String,
        /// Links allowed.
        links_max: usize,
    },
    /// The query is too large.
    #[error("more than {most} {what}; split the search into several")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        most: usize,
    },
    /// The type has no such parameter.
    #[error("{resource_type} has no search parameter {parameter:?}; see the CapabilityStatement")]
    UnknownParameter {
        /// The type.
        resource_type: String,
        /// The name.
        parameter: String,
    },
    /// No such type is served.
    #[error("{resource_type:?} is not served; the CapabilityStatement lists the types that are")]
    UnknownType {
        /// The type.
        resource_type: String,
    },
    /// R4 has the parameter, and this server does not serve it.
    #[error("{parameter} is not served; leave it out, or filter what comes back")]
    Unsupported {
        /// Its name.
        parameter: String,
    },
    /// A value is not of the parameter's kind.
    #[error("{parameter} takes {expected}")]
    Value {
        /// The parameter.
        parameter: String,
        /// What it should have been.
        expected: &'static str,
    },
}

impl SearchError {
    /// Whether lenient handling may leave it out.
    pub fn is_ignorable(&self) -> bool {
        match self {
            Self::Empty { .. } | Self::UnknownParameter { .. } | Self::Unsupported { .. } => true,
            Self::AmbiguousChain { .. }
            | Self::Conflict { .. }
            | Self::Modifier { .. }
            | Self::NotAForm
            | Self::NotAReference { .. }
            | Self::Repeated { .. }
            | Self::TooDeep { .. }
            | Self::TooMany { .. }
            | Self::UnknownType { .. }
            | Self::Value { .. } => false,
        }
    }
}

/// How a searched number or date is compared (R4, section 3.1.1.5.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Prefix {
    Ap,
    Eb,
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
    Ne,
    Sa,
}

impl Prefix {
    /// The prefix of `value`, and what follows it.
    pub(super) fn split(value: &str) -> (Self, &str) {
        let prefix = match value.get(..2) {
            Some("ap") => Self::Ap,
            Some("eb") => Self::Eb,
            Some("eq") => Self::Eq,
            Some("ge") => Self::Ge,
            Some("gt") => Self::Gt,
            Some("le") => Self::Le,
            Some("lt") => Self::Lt,
            Some("ne") => Self::Ne,
            Some("sa") => Self::Sa,
            Some(_) | None => return (Self::Eq, value),
        };
        (prefix, &value[2..])
    }
}

/// One parameter of a query.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Clause {
    pub(super) parameter: &'static Parameter,
    pub(super) test: Test,
}

/// What must hold of the parameter's values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Test {
    AnyOf(Vec<Criterion>),
    /// One of the resources that it refers to is of a type here and meets the type's clause.
    Chain(Vec<(&'static str, Clause)>),
    /// A `source` refers to the resource by the parameter, which is the source's, and meets the clause.
    Has {
        source: &'static str,
        clause: Box<Clause>,
    },
    Missing(bool),
    NoneOf(Vec<Criterion>),
}

/// One key of `_sort`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SortKey {
    pub(super) parameter: &'static Parameter,
    pub(super) is_descending: bool,
}

/// One `_include` or `_revinclude`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Include {
    /// The type that refers; any if it is not said.
    pub(super) source: Option<&'static str>,
    /// By which parameter; by any if it is not said.
    pub(super) parameter: Option<&'static Parameter>,
    /// The type that is referred to; any if it is not said.
    pub(super) target: Option<&'static str>,
    pub(super) is_iterated: bool,
    pub(super) is_reverse: bool,
}

impl Query {
    /// Reads the decoded `pairs` of a search for `resource_type`, and tells all that is wrong with them.
    pub fn parse(
        resource_type: &str,
        pairs: &[(String, String)],
        options: Options<'_>,
    ) -> Result<Self, Vec<SearchError>> {
        let Some(resource_type) = table::resource_type(resource_type) else {
            return Err([SearchError::UnknownType { resource_type: short(resource_type) }].into());
        };
        if pairs.len() > form::PAIRS_MAX {
            let most = form::PAIRS_MAX;
            return Err([SearchError::TooMany { what: "parameters", most }].into());
        }
        let mut reader = Reader::new(resource_type, options);
        let mut errors = Vec::new();
        for (name, value) in pairs {
            match reader.take(name, value) {
                Ok(()) => {}
                Err(error) if error.is_ignorable() && options.handling == Handling::Lenient => {
                    reader.query.ignored.push(error);
                }
                Err(error) => errors.push(error),
            }
        }
        errors.extend(reader.query.conflict());
        if errors.is_empty() { Ok(reader.query) } else { Err(errors) }
    }

    /// The query that is answered, as it stands in a `self` link: without what was ignored.
    pub fn canonical(&self) -> String {
        form::encode(&self.used)
    }

    /// The patients to whom every match belongs, by id; nothing if the query is confined to none. A query that
    /// is confined to none needs the keys of all, so whoever holds only some should refuse it.
    pub fn patients(&self) -> Option<BTreeSet<&str>> {
        let confined = self.clauses.iter().filter_map(|clause| self.patients_of(clause));
        confined.reduce(|a, b| a.intersection(&b).copied().collect())
    }

    fn patients_of<'q>(&self, clause: &'q Clause) -> Option<BTreeSet<&'q str>> {
        let Test::AnyOf(criteria) = &clause.test else { return None };
        let is_own = self.resource_type == "Patient" && clause.parameter.paths == ID;
        let is_of_patient = clause.parameter.name == "patient";
        let is_subject = matches!(clause.parameter.name, "subject" | "beneficiary");
        let patient = |criterion: &'q Criterion| match criterion {
            Criterion::Id(id) if is_own => Some(id.as_str()),
            Criterion::Reference(Wanted::Id(id)) if is_of_patient => Some(id.as_str()),
            Criterion::Reference(Wanted::Target { text, .. }) if is_of_patient || is_subject => {
                text.strip_prefix("Patient/")
            }
            _ => None,
        };
        criteria.iter().map(patient).collect()
    }

    /// The types whose resources must be at hand to answer, the searched one included; of untyped includes, all.
    pub fn types(&self) -> BTreeSet<&'static str> {
        let mut types = BTreeSet::from([self.resource_type]);
        let mut clauses: Vec<_> = self.clauses.iter().collect();
        while let Some(clause) = clauses.pop() {
            match &clause.test {
                Test::Chain(links) => {
                    types.extend(links.iter().map(|(target, _)| *target));
                    clauses.extend(links.iter().map(|(_, clause)| clause));
                }
                Test::Has { source, clause } => {
                    types.insert(source);
                    clauses.push(clause);
                }
                Test::AnyOf(_) | Test::Missing(_) | Test::NoneOf(_) => {}
            }
        }
        for include in &self.includes {
            match (include.is_reverse, include.source, include.target) {
                (true, Some(source), _) => types.extend([source]),
                (false, _, Some(target)) => types.extend([target]),
                (false, Some(_), None) if include.parameter.is_some() => {
                    types.extend(include.parameter.into_iter().flat_map(Parameter::targets));
                }
                (true, None, _) | (false, _, None) => types.extend(table::resource_types()),
            }
        }
        types
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context { base: &self.base, now_ms: self.now_ms }
    }

    fn conflict(&self) -> Option<SearchError> {
        let is_set = |name: &str| self.used.iter().any(|(used, _)| used == name);
        let is_text = self.shape == Shape::Text;
        match () {
            // R4, section 3.1.1.5.22: a text alone says nothing of what is included.
            () if is_text && !self.includes.is_empty() => {
                Some(SearchError::Conflict { one: "_summary=text", other: "_include" })
            }
            () if is_set("_elements") && is_set("_summary") => {
                Some(SearchError::Conflict { one: "_elements", other: "_summary" })
            }
            () => None,
        }
    }
}

/// A query while it is read, and what may still be.
struct Reader {
    query: Query,
    values_left: usize,
    clauses_left: usize,
}

impl Reader {
    fn new(resource_type: &'static str, options: Options<'_>) -> Self {
        let query = Query {
            resource_type,
            count: None,
            total: None,
            shape: Shape::Whole,
            ignored: Vec::new(),
            clauses: Vec::new(),
            sort: Vec::new(),
            includes: Vec::new(),
            base: options.base.to_owned(),
            now_ms: options.now_ms,
            used: Vec::new(),
        };
        Self { query, values_left: VALUES_MAX, clauses_left: CLAUSES_MAX }
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), SearchError> {
        // What form the answer takes is not a matter of which resources are in it.
        if matches!(name, "_format" | "_pretty") {
            return Ok(());
        }
        if value.is_empty() {
            return Err(SearchError::Empty { parameter: short(name) });
        }
        match name {
            "_count" => self.count(value)?,
            "_elements" => self.elements(value)?,
            "_sort" => self.sort(value)?,
            "_summary" => self.summary(value)?,
            "_total" => self.total(value)?,
            _ => match name.split_once(':').unwrap_or((name, "")) {
                ("_include", modifier) => self.include(name, modifier, value, false)?,
                ("_revinclude", modifier) => self.include(name, modifier, value, true)?,
                _ => {
                    let clause = self.clause(self.query.resource_type, name, value, 0)?;
                    self.query.clauses.push(clause);
                }
            },
        }
        self.query.used.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    fn once(&self, parameter: &'static str) -> Result<(), SearchError> {
        let is_again = self.query.used.iter().any(|(name, _)| name == parameter);
        if is_again { Err(SearchError::Repeated { parameter }) } else { Ok(()) }
    }

    fn count(&mut self, value: &str) -> Result<(), SearchError> {
        self.once("_count")?;
        let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
        let count = if is_number { value.parse().ok() } else { None };
        self.query.count = Some(count.ok_or_else(|| fault("_count", "a whole number"))?);
        Ok(())
    }

    fn total(&mut self, value: &str) -> Result<(), SearchError> {
        self.once("_total")?;
        self.query.total = Some(match value {
            "none" => Total::None,
            "estimate" => Total::Estimate,
            "accurate" => Total::Accurate,
            _ => return Err(fault("_total", "none, estimate or accurate")),
        });
        Ok(())
    }

    fn summary(&mut self, value: &str) -> Result<(), SearchError> {
        self.once("_summary")?;
        self.query.shape = match value {
            "true" => Shape::Summary,
            "text" => Shape::Text,
            "data" => Shape::Data,
            "count" => Shape::Count,
            "false" => Shape::Whole,
            _ => return Err(fault("_summary", "true, text, data, count or false")),
        };
        Ok(())
    }

    fn elements(&mut self, value: &str) -> Result<(), SearchError> {
        self.once("_elements")?;
        let names: BTreeSet<_> = value.split(',').map(|name| name.trim().to_owned()).collect();
        let is_name =
            |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !names.iter().all(is_name) {
            return Err(fault("_elements", "names of elements at the top of a resource"));
        }
        if names.len() > ELEMENTS_MAX {
            return Err(SearchError::TooMany { what: "elements", most: ELEMENTS_MAX });
        }
        self.query.shape = Shape::Elements(names);
        Ok(())
    }

    fn sort(&mut self, value: &str) -> Result<(), SearchError> {
        self.once("_sort")?;
        let mut keys = Vec::new();
        for key in value.split(',').map(str::trim) {
            let name = key.strip_prefix('-').unwrap_or(key);
            let parameter = find(self.query.resource_type, name)?;
            if parameter.kind == Kind::Composite {
                return Err(fault("_sort", "parameters that are no composites"));
            }
            if keys.len() == SORT_KEYS_MAX {
                return Err(SearchError::TooMany { what: "sort keys", most: SORT_KEYS_MAX });
            }
            keys.push(SortKey { parameter, is_descending: name.len() < key.len() });
        }
        self.query.sort = keys;
        Ok(())
    }

    fn include(
        &mut self,
        name: &str,
        modifier: &str,
        value: &str,
        is_reverse: bool,
    ) -> Result<(), SearchError> {
        let parameter = if is_reverse { "_revinclude" } else { "_include" };
        if !matches!(modifier, "" | "iterate") || name.ends_with(':') {
            let modifier = short(modifier);
            return Err(SearchError::Modifier { parameter: parameter.to_owned(), modifier });
        }
        let mut parts = value.splitn(3, ':');
        let (source, by, target) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let is_any = (source, by) == ("*", None) && !is_reverse;
        let source = if is_any { None } else { Some(served(source)?) };
        let by = match (source, by) {
            (None, _) | (Some(_), Some("*")) => None,
            (Some(source), Some(by)) => Some(reference(source, by)?),
            (Some(_), None) => {
                return Err(fault(parameter, "Type:parameter or Type:parameter:Type"));
            }
        };
        let target = target.map(served).transpose()?;
        let is_iterated = modifier == "iterate";
        let include = Include { source, parameter: by, target, is_iterated, is_reverse };
        self.query.includes.push(include);
        Ok(())
    }

    /// Reads what `name`, at `depth` links into a chain, says of a `resource_type`.
    fn clause(
        &mut self,
        resource_type: &'static str,
        name: &str,
        value: &str,
        depth: usize,
    ) -> Result<Clause, SearchError> {
        if depth > CHAIN_MAX {
            return Err(SearchError::TooDeep { parameter: short(name), links_max: CHAIN_MAX });
        }
        if self.clauses_left == 0 {
            return Err(SearchError::TooMany { what: "conditions", most: CLAUSES_MAX });
        }
        self.clauses_left -= 1;
        if let Some(rest) = name.strip_prefix("_has:") {
            return self.has(rest, value, depth);
        }
        if let Some((head, rest)) = name.split_once('.') {
            return self.chain(resource_type, head, rest, value, depth);
        }
        let (code, modifier) = match name.split_once(':') {
            Some((code, modifier)) => (code, Some(modifier)),
            None => (name, None),
        };
        let parameter = find(resource_type, code)?;
        let test = self.test(parameter, modifier, value)?;
        Ok(Clause { parameter, test })
    }

    /// `_has:Observation:patient:code`.
    fn has(&mut self, rest: &str, value: &str, depth: usize) -> Result<Clause, SearchError> {
        let mut parts = rest.splitn(3, ':');
        let (Some(source), Some(by), Some(inner)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(fault("_has", "_has:Type:reference:parameter as its name"));
        };
        let source = served(source)?;
        let parameter = reference(source, by)?;
        let clause = Box::new(self.clause(source, inner, value, depth + 1)?);
        Ok(Clause { parameter, test: Test::Has { source, clause } })
    }

    /// `subject:Patient.name`, or `subject.name` for all types that it may refer to and that have a `name`.
    fn chain(
        &mut self,
        resource_type: &'static str,
        head: &str,
        rest: &str,
        value: &str,
        depth: usize,
    ) -> Result<Clause, SearchError> {
        let (code, target) = match head.split_once(':') {
            Some((code, target)) => (code, Some(served(target)?)),
            None => (head, None),
        };
        let parameter = reference(resource_type, code)?;
        let targets: Vec<_> = match target {
            Some(target) => [target].into(),
            None => parameter.targets().collect(),
        };
        let mut links: Vec<(&str, Clause)> = Vec::new();
        let mut unknown = None;
        for target in targets {
            match self.clause(target, rest, value, depth + 1) {
                Ok(clause) => links.push((target, clause)),
                Err(error @ SearchError::UnknownParameter { .. }) => unknown = Some(error),
                Err(error) => return Err(error),
            }
        }
        let kinds =
            links.windows(2).all(|pair| pair[0].1.parameter.kind == pair[1].1.parameter.kind);
        if !kinds {
            let (parameter, rest) = (short(code), short(rest));
            return Err(SearchError::AmbiguousChain { parameter, rest });
        }
        match unknown {
            Some(error) if links.is_empty() => Err(error),
            Some(_) | None => Ok(Clause { parameter, test: Test::Chain(links) }),
        }
    }

    fn test(
        &mut self,
        parameter: &'static Parameter,
        modifier: Option<&str>,
        value: &str,
    ) -> Result<Test, SearchError> {
        if modifier == Some("missing") {
            return match value {
                "true" => Ok(Test::Missing(true)),
                "false" => Ok(Test::Missing(false)),
                _ => Err(fault(parameter.name, "true or false with :missing")),
            };
        }
        let modifier = modifier_of(parameter, modifier)?;
        let alternatives: Vec<_> =
            split(value, ',').into_iter().filter(|value| !value.is_empty()).collect();
        if alternatives.is_empty() {
            return Err(SearchError::Empty { parameter: parameter.name.to_owned() });
        }
        let left = self.values_left.checked_sub(alternatives.len());
        let too_many = SearchError::TooMany { what: "values", most: VALUES_MAX };
        self.values_left = left.ok_or(too_many)?;
        let parse = |value: &str| Criterion::parse(parameter, modifier, value, &self.query.base);
        let criteria: Result<Vec<_>, _> = alternatives.into_iter().map(parse).collect();
        let criteria = criteria.map_err(|expected| fault(parameter.name, expected))?;
        Ok(match modifier {
            Modifier::Not => Test::NoneOf(criteria),
            _ => Test::AnyOf(criteria),
        })
    }
}

fn modifier_of(parameter: &Parameter, modifier: Option<&str>) -> Result<Modifier, SearchError> {
    let Some(name) = modifier else { return Ok(Modifier::None) };
    let refused =
        || SearchError::Modifier { parameter: parameter.name.to_owned(), modifier: short(name) };
    let is_taken =
        parameter.kind.modifiers().contains(&name) && (parameter.paths != ID || name == "not");
    match name {
        "above" if is_taken => Ok(Modifier::Above),
        "below" if is_taken => Ok(Modifier::Below),
        "contains" if is_taken => Ok(Modifier::Contains),
        "exact" if is_taken => Ok(Modifier::Exact),
        "identifier" if is_taken => Ok(Modifier::Identifier),
        "not" if is_taken => Ok(Modifier::Not),
        "of-type" if is_taken => Ok(Modifier::OfType),
        "text" if is_taken => Ok(Modifier::Text),
        _ => match table::resource_type(name) {
            Some(target) if parameter.targets().any(|it| it == target) => {
                Ok(Modifier::Type(target))
            }
            Some(_) | None => Err(refused()),
        },
    }
}

fn find(resource_type: &str, name: &str) -> Result<&'static Parameter, SearchError> {
    if let Some(parameter) = table::parameter(resource_type, name) {
        return Ok(parameter);
    }
    let parameter = short(name);
    Err(match table::KNOWN.contains(&name) {
        true => SearchError::Unsupported { parameter },
        false => {
            SearchError::UnknownParameter { resource_type: resource_type.to_string(), parameter }
        }
    })
}

fn reference(resource_type: &str, name: &str) -> Result<&'static Parameter, SearchError> {
    let parameter = find(resource_type, name)?;
    match parameter.kind {
        Kind::Reference => Ok(parameter),
        _ => Err(SearchError::NotAReference { parameter: short(name) }),
    }
}

fn served(name: &str) -> Result<&'static str, SearchError> {
    let unknown = || SearchError::UnknownType { resource_type: short(name) };
    table::resource_type(name).ok_or_else(unknown)
}

fn fault(parameter: &str, expected: &'static str) -> SearchError {
    SearchError::Value { parameter: parameter.to_owned(), expected }
}

/// A name that fits an error.
fn short(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => format!("{}..", &name[..end]),
        None => name.to_owned(),
    }
}

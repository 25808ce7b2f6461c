//! A query as it was read: what must hold of a resource, and what is to become of those for which it does.
//!
//! # Invariants
//!
//! * A query that exists can be answered. What could not be is in `ignored`, and only names can be, or a
//!   parameter that has no value at all: a modifier or value that is not understood refuses the query whatever
//!   the handling, since leaving it out would widen the answer.
//! * [`Query::canonical`] read again gives the same query.

use alloc::{boxed::Box, collections::BTreeSet, string::String, vec::Vec};

use super::{
    SearchError,
    criterion::{Context, Criterion, Wanted},
    form,
    read::{Reader, short},
    shape::Shape,
    table::{self, ID, Parameter},
};
use crate::bundle::is_id;

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

/// `Prefer: handling=..` (R4 Search, "Handling Errors").
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
    pub(super) used: Vec<(String, String)>,
}

/// How a searched number or date is compared (R4 Search, "Prefixes").
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

    /// What every Provenance that matches is of, as `Type/id`; nothing if the query says nothing of that.
    pub fn targets(&self) -> Option<BTreeSet<&str>> {
        let is_of = |it: &&Clause| it.parameter.name == "target";
        let mut clauses = self.clauses.iter().filter(|_| self.resource_type == "Provenance");
        let Test::AnyOf(criteria) = &clauses.find(is_of)?.test else { return None };
        let targets = criteria.iter().map(|it| {
            let Criterion::Reference(Wanted::Target { text, .. }) = it else { return None };
            Some(&**text)
        });
        targets.collect()
    }

    fn patients_of<'q>(&self, clause: &'q Clause) -> Option<BTreeSet<&'q str>> {
        let Test::AnyOf(criteria) = &clause.test else { return None };
        let is_own = self.resource_type == "Patient" && clause.parameter.paths == ID;
        let is_of_patient = clause.parameter.name == "patient";
        let is_subject = matches!(clause.parameter.name, "subject" | "beneficiary");
        let patient = |criterion: &'q Criterion| match criterion {
            Criterion::Id(id) => is_own.then_some(id.as_str()),
            Criterion::Reference(Wanted::Id(id)) => is_of_patient.then_some(id.as_str()),
            Criterion::Reference(Wanted::Target { text, .. }) => {
                text.strip_prefix("Patient/").filter(|_| is_of_patient || is_subject)
            }
            Criterion::Composite(_)
            | Criterion::Date(..)
            | Criterion::Identifier(_)
            | Criterion::IdentifierOfType { .. }
            | Criterion::Number(..)
            | Criterion::Quantity { .. }
            | Criterion::Text(..)
            | Criterion::Token(_)
            | Criterion::TokenText(_)
            | Criterion::Uri(..) => None,
        };
        // What is no id names nobody's chart.
        let is_chart = |id: &&str| is_id(id) && !matches!(*id, "." | "..");
        criteria.iter().map(|it| patient(it).filter(is_chart)).collect()
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
            // R4 Search, "Summary": a text alone says nothing of what is included.
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

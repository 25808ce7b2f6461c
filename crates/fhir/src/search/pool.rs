//! Answering a query over resources in memory: which match, in which order, and what comes with them.
//!
//! # Invariants
//!
//! * The order is total and does not depend on the order of the pool, as long as no two keys of the caller's
//!   are equal: that makes pages of one snapshot stable.
//! * Each chain and each `_has` is answered once for the whole pool and not once for each resource.
//! * What is included comes once, and never if it matches.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec,
    vec::Vec,
};
use core::cmp::Ordering;

use serde_json::Value;

use super::{
    criterion::{Context, Criterion, any_admits, magnitude, reference_text, texts, tokens},
    decimal::Decimal,
    path::find,
    query::{Clause, Include, Query, SortKey, Test},
    reference::Target,
    span::Span,
    table::{ID, Kind, LAST_UPDATED, Parameter, parameters},
    text,
};

/// One resource, and what the server says of it.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    resource: &'a Value,
    id: Value,
    last_updated: Value,
    full_url: String,
}

impl<'a> Entry<'a> {
    /// A `resource` with the id under which it is served and the instant of its version. What the resource
    /// itself says of either does not count.
    pub fn new(resource: &'a Value, id: &str, last_updated: &str) -> Self {
        let (id, last_updated) = (Value::from(id), Value::from(last_updated));
        Self { resource, id, last_updated, full_url: String::new() }
    }

    /// The same, also known under an absolute URL or a `urn:uuid:`.
    #[must_use]
    pub fn with_full_url(self, full_url: &str) -> Self {
        Self { full_url: crate::bundle::normal(full_url).into_owned(), ..self }
    }

    /// The resource.
    pub fn resource(&self) -> &'a Value {
        self.resource
    }

    /// Its type; empty if it says none.
    pub fn resource_type(&self) -> &'a str {
        self.resource.get("resourceType").and_then(Value::as_str).unwrap_or_default()
    }

    /// The id under which it is served.
    pub fn id(&self) -> &str {
        self.id.as_str().unwrap_or_default()
    }

    /// The values of `parameter`.
    pub(super) fn values(&self, parameter: &Parameter) -> Vec<&Value> {
        match parameter.paths {
            ID => vec![&self.id],
            LAST_UPDATED => vec![&self.last_updated],
            paths => find(paths, self.resource),
        }
    }
}

/// The resources over which a query is answered.
#[derive(Clone, Debug)]
pub struct Pool<'a> {
    entries: Vec<Entry<'a>>,
    /// By `Type/id` and by full URL.
    names: BTreeMap<String, usize>,
}

impl<'a> Pool<'a> {
    /// A pool of `entries`. Of two with one name, the first has it.
    pub fn new(entries: Vec<Entry<'a>>) -> Self {
        let mut names = BTreeMap::new();
        for (at, entry) in entries.iter().enumerate() {
            names.entry(format!("{}/{}", entry.resource_type(), entry.id())).or_insert(at);
            if !entry.full_url.is_empty() {
                names.entry(entry.full_url.clone()).or_insert(at);
            }
        }
        Self { entries, names }
    }

    /// The entries, in the order in which they were given.
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    fn of_type<'p>(
        &'p self,
        resource_type: &'p str,
    ) -> impl Iterator<Item = (usize, &'p Entry<'a>)> {
        let entries = self.entries.iter().enumerate();
        entries.filter(move |(_, entry)| entry.resource_type() == resource_type)
    }

    /// What `entry` refers to by `parameter`: the places of what is here, and the names of what is not.
    fn follow<'p>(
        &'p self,
        entry: &'p Entry<'a>,
        parameter: &'p Parameter,
        base: &'p str,
    ) -> impl Iterator<Item = Result<usize, String>> + use<'p, 'a> {
        let targets = entry.values(parameter).into_iter();
        let names = targets.filter_map(move |value| reference_text(value, base));
        names.map(|name| self.names.get(&name).copied().ok_or(name))
    }
}

/// What comes with the matches.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Included {
    /// Places in the pool, none of them a match, in the order in which they were come upon.
    pub entries: Vec<usize>,
    /// What should be included and is not in the pool: `Type/id` or a URL.
    pub absent: BTreeSet<String>,
}

impl Query {
    /// Whether `entry` alone matches. Chains and `_has` see nothing but it.
    pub fn matches(&self, entry: &Entry<'_>) -> bool {
        !self.select(&Pool::new(vec![entry.clone()])).is_empty()
    }

    /// The places in `pool` of what matches, in the pool's order.
    pub fn select(&self, pool: &Pool<'_>) -> Vec<usize> {
        let clauses: Vec<_> = self.clauses.iter().map(|it| self.ready(it, pool)).collect();
        let is_match = |entry: &Entry<'_>, at| {
            clauses.iter().all(|clause| clause.admits(at, entry, pool, self.context()))
        };
        let candidates = pool.of_type(self.resource_type);
        candidates.filter(|(at, entry)| is_match(entry, *at)).map(|(at, _)| at).collect()
    }

    /// Makes `clause` ready for `pool`. As deep as a chain: at most [`super::read::CHAIN_MAX`].
    fn ready<'q>(&'q self, clause: &'q Clause, pool: &Pool<'_>) -> Ready<'q> {
        match &clause.test {
            Test::AnyOf(_) | Test::Missing(_) | Test::NoneOf(_) => Ready::Own(clause),
            Test::Chain(links) => {
                let reached =
                    links.iter().flat_map(|(kind, inner)| self.meeting(kind, inner, pool));
                Ready::RefersTo(clause.parameter, reached.collect())
            }
            Test::Has { source, clause: inner } => {
                let sources = self.meeting(source, inner, pool);
                let entries = sources.into_iter().map(|at| &pool.entries[at]);
                let reached = entries.flat_map(|it| pool.follow(it, clause.parameter, &self.base));
                Ready::IsAmong(reached.filter_map(Result::ok).collect())
            }
        }
    }

    fn meeting(&self, kind: &str, clause: &Clause, pool: &Pool<'_>) -> Vec<usize> {
        let ready = self.ready(clause, pool);
        let meets =
            |(at, entry): &(usize, &Entry<'_>)| ready.admits(*at, entry, pool, self.context());
        pool.of_type(kind).filter(meets).map(|(at, _)| at).collect()
    }

    /// Sorts `places` of `pool` as `_sort` says; what is equal in all of it, by the caller's key. What has no
    /// value comes last, in either direction.
    pub fn sort<K: Ord>(
        &self,
        pool: &Pool<'_>,
        places: &mut [usize],
        mut tiebreak: impl FnMut(usize) -> K,
    ) {
        places.sort_by_cached_key(|at| {
            let entry = &pool.entries[*at];
            let keys = self.sort.iter().map(|key| Rank::of(entry, key, self.context()));
            (keys.collect::<Vec<_>>(), tiebreak(*at))
        });
    }

    /// What `_include` and `_revinclude` bring along with `matches`.
    pub fn include(&self, pool: &Pool<'_>, matches: &[usize]) -> Included {
        let edges = self.edges(pool);
        let mut included = Included::default();
        let mut seen: BTreeSet<_> = matches.iter().copied().collect();
        let mut waiting: Vec<_> = matches.to_vec();
        let mut next = 0;
        while let Some(at) = waiting.get(next).copied() {
            let is_match = next < matches.len();
            next += 1;
            let from = edges.get(&at).map_or(&[][..], Vec::as_slice);
            for (to, is_iterated) in from {
                if !is_match && !is_iterated {
                    continue;
                }
                match to {
                    Ok(to) if seen.insert(*to) => waiting.push(*to),
                    Ok(_) => {}
                    Err(name) => {
                        included.absent.insert(name.clone());
                    }
                }
            }
        }
        included.entries = waiting.split_off(matches.len());
        included
    }

    /// From each place to what it brings along, and whether it does so if it was itself brought along.
    fn edges(&self, pool: &Pool<'_>) -> BTreeMap<usize, Vec<Edge>> {
        let mut edges: BTreeMap<usize, Vec<Edge>> = BTreeMap::new();
        for (at, entry) in pool.entries.iter().enumerate() {
            for include in &self.includes {
                for to in include.follow(entry, pool, &self.base) {
                    match to {
                        Ok(to) if include.is_reverse => {
                            edges.entry(to).or_default().push((Ok(at), include.is_iterated));
                        }
                        to if !include.is_reverse => {
                            edges.entry(at).or_default().push((to, include.is_iterated));
                        }
                        _ => {}
                    }
                }
            }
        }
        edges
    }
}

type Edge = (Result<usize, String>, bool);

impl Include {
    fn follow(&self, entry: &Entry<'_>, pool: &Pool<'_>, base: &str) -> Vec<Result<usize, String>> {
        if self.source.is_some_and(|source| source != entry.resource_type()) {
            return Vec::new();
        }
        let references = parameters(entry.resource_type())
            .filter(|it| it.kind == Kind::Reference)
            .filter(|it| self.parameter.is_none_or(|wanted| wanted.name == it.name));
        let is_target = |to: &Result<usize, String>| match (self.target, to) {
            (None, _) => true,
            (Some(target), Ok(at)) => pool.entries[*at].resource_type() == target,
            (Some(target), Err(name)) => Target::may_be(&Value::from(name.as_str()), target),
        };
        references.flat_map(|it| pool.follow(entry, it, base)).filter(is_target).collect()
    }
}

/// A clause, with all that other resources have to say to it.
enum Ready<'q> {
    IsAmong(BTreeSet<usize>),
    Own(&'q Clause),
    RefersTo(&'q Parameter, BTreeSet<usize>),
}

impl Ready<'_> {
    fn admits(&self, at: usize, entry: &Entry<'_>, pool: &Pool<'_>, context: Context<'_>) -> bool {
        match self {
            Self::IsAmong(places) => places.contains(&at),
            Self::Own(clause) => clause.admits(entry, context),
            Self::RefersTo(parameter, places) => {
                let mut targets = pool.follow(entry, parameter, context.base);
                targets.any(|it| it.is_ok_and(|target| places.contains(&target)))
            }
        }
    }
}

impl Clause {
    fn admits(&self, entry: &Entry<'_>, context: Context<'_>) -> bool {
        let values = entry.values(self.parameter);
        let is_met = |criteria: &[Criterion]| {
            values.iter().any(|value| any_admits(criteria, value, self.parameter, context))
        };
        match &self.test {
            Test::AnyOf(criteria) => is_met(criteria),
            Test::NoneOf(criteria) => !is_met(criteria),
            Test::Missing(is_missing) => {
                // A composite is there where each of its parts is: its path may lead to the resource itself.
                let parts = self.parameter.components;
                let is_whole =
                    |value: &Value| parts.iter().all(|(_, paths)| !find(paths, value).is_empty());
                values.into_iter().any(is_whole) != *is_missing
            }
            // Made ready before; alone they have nothing to look at.
            Test::Chain(_) | Test::Has { .. } => false,
        }
    }
}

/// Where a resource stands by one sort key.
#[derive(Debug, Eq, PartialEq)]
struct Rank {
    value: Option<SortValue>,
    is_descending: bool,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum SortValue {
    Number(Decimal),
    Text(String),
    Time(i128),
}

impl Rank {
    /// By the lowest of several values, or the highest if the order is descending (R4 Search, "Sorting").
    fn of(entry: &Entry<'_>, key: &SortKey, context: Context<'_>) -> Self {
        let values = entry.values(key.parameter);
        let ranked = values.into_iter().flat_map(|value| sort_values(value, key, context));
        let value = if key.is_descending { ranked.max() } else { ranked.min() };
        Self { value, is_descending: key.is_descending }
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.value, &other.value) {
            (Some(one), Some(other)) if self.is_descending => other.cmp(one),
            (Some(one), Some(other)) => one.cmp(other),
            (one, other) => other.is_some().cmp(&one.is_some()),
        }
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn sort_values(value: &Value, key: &SortKey, context: Context<'_>) -> Vec<SortValue> {
    match key.parameter.kind {
        Kind::Composite => Vec::new(),
        Kind::Date => Span::of(value)
            .map(|it| SortValue::Time(if key.is_descending { it.end } else { it.first }))
            .into_iter()
            .collect(),
        Kind::Number | Kind::Quantity => {
            magnitude(value).map(SortValue::Number).into_iter().collect()
        }
        Kind::Reference => {
            reference_text(value, context.base).map(SortValue::Text).into_iter().collect()
        }
        Kind::String => {
            texts(value).into_iter().map(|it| SortValue::Text(text::normal(it))).collect()
        }
        Kind::Token => {
            let codes = tokens(value, "").map(|(_, code)| code);
            codes.map(|code| SortValue::Text(text::code(code))).collect()
        }
        Kind::Uri => value.as_str().map(|it| SortValue::Text(it.into())).into_iter().collect(),
    }
}

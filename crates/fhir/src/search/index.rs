//! What an index holds of a resource, and what it is asked.
//!
//! ```text
//! token      code, system|code           Text, by text::code and text::normal, cut at KEY_BYTES_MAX
//! string     each text, normal           Text
//! reference  Type/id and id, or URL      Text
//! uri        the URI, without a version too
//! date       first and last second       Seconds
//! ```
//!
//! # Invariants
//!
//! * What matches a query has, for each group of [`Query::probes`], a key under the group's parameter that one
//!   of the group's probes hits. The reverse does not hold: whoever asks an index still asks
//!   [`Query::matches`].
//! * A parameter with more values than [`KEYS_MAX`] has the one key [`Key::Any`], which all probes hit, so what
//!   is left out never hides a match.
//!
//! Not here: where an index lies and how its keys are kept from those who may not read them; numbers,
//! quantities and composites, which have no keys and no probes.

use alloc::{borrow::ToOwned, format, string::String, vec, vec::Vec};

use super::{
    criterion::{Criterion, Match, Wanted, texts, tokens, unversioned},
    pool::Entry,
    query::{Prefix, Query, Test},
    reference::{Target, id_in},
    span::Span,
    table::{ID, Kind, Parameter, parameters},
    text,
};

/// Bytes of one key; a longer one is cut, as the probes are.
pub const KEY_BYTES_MAX: usize = 256;
/// Keys of one parameter of one resource.
pub const KEYS_MAX: usize = 512;

/// What an index holds.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Key {
    /// More than an index holds: every probe hits it.
    Any,
    /// The first and the last second that a date touches, since 1970.
    Seconds(i64, i64),
    /// Normalised text.
    Text(String),
}

/// What an index is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probe {
    /// A text key that is this.
    Is(String),
    /// A text key that begins so.
    Begins(String),
    /// A stretch of seconds that touches this one; both ends are in it.
    Touches(i64, i64),
}

impl Probe {
    /// Whether it hits `key`: what an index answers, in the words of this crate.
    pub fn hits(&self, key: &Key) -> bool {
        match (self, key) {
            (_, Key::Any) => true,
            (Self::Is(wanted), Key::Text(text)) => wanted == text,
            (Self::Begins(wanted), Key::Text(text)) => text.starts_with(wanted.as_str()),
            (Self::Touches(first, last), Key::Seconds(its_first, its_last)) => {
                first <= its_last && its_first <= last
            }
            (Self::Is(_) | Self::Begins(_), Key::Seconds(..)) => false,
            (Self::Touches(..), Key::Text(_)) => false,
        }
    }
}

/// The keys of `entry` for an index, by parameter. `base` is the server's public address.
pub fn keys(entry: &Entry<'_>, base: &str) -> Vec<(&'static str, Key)> {
    let mut keys = Vec::new();
    for parameter in parameters(entry.resource_type()) {
        let values = entry.values(parameter).into_iter();
        let mut own: Vec<_> =
            values.flat_map(|value| keys_of(parameter, value, base)).take(KEYS_MAX + 1).collect();
        if own.len() > KEYS_MAX {
            own = vec![Key::Any];
        }
        own.sort();
        own.dedup();
        keys.extend(own.into_iter().map(|key| (parameter.name, key)));
    }
    keys
}

fn keys_of(parameter: &Parameter, value: &serde_json::Value, base: &str) -> Vec<Key> {
    match parameter.kind {
        Kind::Composite | Kind::Number | Kind::Quantity => Vec::new(),
        Kind::Date => Span::of(value)
            .map(|span| Key::Seconds(span.seconds().0, span.seconds().1))
            .into_iter()
            .collect(),
        Kind::Reference => Target::of(value, base).map_or_else(Vec::new, |(target, _)| {
            let mut keys = vec![Key::Text(cut(&target.text()))];
            if let Target::Elsewhere(url) = &target {
                keys.push(Key::Text(cut(unversioned(url))));
            }
            keys.extend(target.id().map(|id| Key::Text(cut(id))));
            keys
        }),
        Kind::String => {
            texts(value).into_iter().map(|it| Key::Text(cut(&text::normal(it)))).collect()
        }
        Kind::Token if parameter.paths == ID => {
            value.as_str().map(|id| Key::Text(cut(id))).into_iter().collect()
        }
        Kind::Token => tokens(value, parameter.system)
            .flat_map(|(system, code)| {
                let code = text::code(code);
                let whole = format!("{system}|{code}");
                [Key::Text(cut(&code)), Key::Text(cut(&whole))]
            })
            .collect(),
        Kind::Uri => value.as_str().map_or_else(Vec::new, |uri| {
            vec![Key::Text(cut(uri)), Key::Text(cut(unversioned(uri)))]
        }),
    }
}

impl Query {
    /// What to ask an index before anything is opened: for each group, what is hit under its parameter by any of
    /// its probes. What an index cannot answer has no group.
    pub fn probes(&self) -> Vec<(&'static str, Vec<Probe>)> {
        let groups = self.clauses.iter().filter_map(|clause| {
            let Test::AnyOf(criteria) = &clause.test else { return None };
            let probes: Option<Vec<_>> = criteria.iter().map(|it| probe(it, self.now_ms)).collect();
            Some((clause.parameter.name, probes?))
        });
        groups.collect()
    }
}

fn probe(criterion: &Criterion, now_ms: u64) -> Option<Probe> {
    match criterion {
        Criterion::Date(prefix, span) => date_probe(*prefix, *span, now_ms),
        Criterion::Id(id) => Some(Probe::Is(cut(id))),
        Criterion::IdentifierOfType { value, .. } => Some(Probe::Is(cut(value))),
        Criterion::Reference(Wanted::Id(text) | Wanted::Target { text, .. }) => {
            // By its id alone, under which it is also kept if it is referred to as in the Bundle in which it came.
            Some(Probe::Is(cut(id_in(text).unwrap_or(text))))
        }
        Criterion::Text(Match::Exact, wanted) => Some(Probe::Is(cut(&text::normal(wanted)))),
        Criterion::Text(Match::Starts, wanted) if wanted.is_empty() => {
            Some(Probe::Is(String::new()))
        }
        Criterion::Text(Match::Starts, wanted) => Some(Probe::Begins(cut(wanted))),
        Criterion::Token(token) => Some(match (&token.system, &token.code) {
            (None, None) => return None,
            (None, Some(code)) => Probe::Is(cut(code)),
            (Some(system), Some(code)) => Probe::Is(cut(&format!("{system}|{code}"))),
            (Some(system), None) => Probe::Begins(cut(&format!("{system}|"))),
        }),
        Criterion::Uri(Match::Exact, uri) => Some(Probe::Is(cut(uri))),
        Criterion::Uri(Match::Below, uri) => Some(Probe::Begins(cut(uri))),
        Criterion::Composite(_)
        | Criterion::Identifier(_)
        | Criterion::Number(..)
        | Criterion::Quantity { .. }
        | Criterion::Text(..)
        | Criterion::TokenText(_)
        | Criterion::Uri(..) => None,
    }
}

fn date_probe(prefix: Prefix, span: Span, now_ms: u64) -> Option<Probe> {
    let (first, last) = span.seconds();
    match prefix {
        Prefix::Ne => None,
        Prefix::Eq => Some(Probe::Touches(first, last)),
        Prefix::Ap => {
            let (first, last) = span.widened(now_ms).seconds();
            Some(Probe::Touches(first, last))
        }
        Prefix::Ge | Prefix::Gt | Prefix::Sa => Some(Probe::Touches(first, i64::MAX)),
        Prefix::Le | Prefix::Lt | Prefix::Eb => Some(Probe::Touches(i64::MIN, last)),
    }
}

/// The beginning of `text`, as much of it as a key has. What begins so stays so when both are cut.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(KEY_BYTES_MAX)].to_owned()
}

//! Reading a query: names are looked up in the table, values are read by the kind of their parameter.
//!
//! ```text
//! name  = code [ ":" modifier ]                     birthdate, name:exact, subject:Patient
//!       / code [ ":" type ] "." name                a chain: subject:Patient.name
//!       / "_has:" type ":" code ":" name            whom a resource of that type refers to
//! value = alternative *( "," alternative )          any of them; `\,` is a comma
//! ```
//!
//! # Invariants
//!
//! * A chain has at most [`CHAIN_MAX`] links, and what an untyped one spreads into counts towards
//!   [`CLAUSES_MAX`].

use alloc::{
    borrow::ToOwned,
    boxed::Box,
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    SearchError,
    criterion::{Criterion, Modifier, split},
    query::{Clause, Include, Options, Query, SortKey, Test, Total},
    shape::Shape,
    table::{self, Kind, Parameter},
};

/// Values of one query, over all its parameters.
pub const VALUES_MAX: usize = 1_024;
/// Conditions of one query, each type that an untyped chain may pass through counted.
pub const CLAUSES_MAX: usize = 1_024;
/// Links of one chain, `_has` included.
pub const CHAIN_MAX: usize = 4;
/// Keys by which one answer is sorted.
pub const SORT_KEYS_MAX: usize = 8;
/// Elements that one query may name.
pub const ELEMENTS_MAX: usize = 64;
/// Characters of a name that an error repeats.
const NAME_CHARS_MAX: usize = 80;

/// A query while it is read, and what may still be.
pub(super) struct Reader {
    pub(super) query: Query,
    values_left: usize,
    clauses_left: usize,
}

impl Reader {
    pub(super) fn new(resource_type: &'static str, options: Options<'_>) -> Self {
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

    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<(), SearchError> {
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
        // Said twice it brings nothing more, and would be followed twice.
        if !self.query.includes.contains(&include) {
            self.query.includes.push(include);
        }
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
        if links.is_empty() {
            // Of a reference to nothing that is served there is no more to say.
            let (resource_type, parameter) = (short(head), short(rest));
            let nothing = SearchError::UnknownParameter { resource_type, parameter };
            return Err(unknown.unwrap_or(nothing));
        }
        Ok(Clause { parameter, test: Test::Chain(links) })
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
            return Err(fault(parameter.name, "a value between its commas"));
        }
        let left = self.values_left.checked_sub(alternatives.len());
        let too_many = SearchError::TooMany { what: "values", most: VALUES_MAX };
        self.values_left = left.ok_or(too_many)?;
        let parse = |value: &str| Criterion::parse(parameter, modifier, value, &self.query.base);
        let criteria: Result<Vec<_>, _> = alternatives.into_iter().map(parse).collect();
        let criteria = criteria.map_err(|expected| fault(parameter.name, expected))?;
        let is_not = modifier == Modifier::Not;
        Ok(if is_not { Test::NoneOf(criteria) } else { Test::AnyOf(criteria) })
    }
}

fn modifier_of(parameter: &Parameter, modifier: Option<&str>) -> Result<Modifier, SearchError> {
    let Some(name) = modifier else { return Ok(Modifier::None) };
    let refused =
        || SearchError::Modifier { parameter: parameter.name.to_owned(), modifier: short(name) };
    let is_taken = parameter.modifiers().any(|it| it == name);
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
    let is_reference = parameter.kind == Kind::Reference;
    let other = || SearchError::NotAReference { parameter: short(name) };
    is_reference.then_some(parameter).ok_or_else(other)
}

fn served(name: &str) -> Result<&'static str, SearchError> {
    let unknown = || SearchError::UnknownType { resource_type: short(name) };
    table::resource_type(name).ok_or_else(unknown)
}

fn fault(parameter: &str, expected: &'static str) -> SearchError {
    SearchError::Value { parameter: parameter.to_owned(), expected }
}

/// A name that fits an error.
pub(super) fn short(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => format!("{}..", &name[..end]),
        None => name.to_owned(),
    }
}

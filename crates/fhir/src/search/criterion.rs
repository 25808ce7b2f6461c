//! One value of a query, and whether a value of a resource meets it.
//!
//! # Invariants
//!
//! * A criterion that exists was read whole: nothing of a value is guessed.
//! * What meets `text` criteria is decided on [`text::normal`], and what meets token criteria on [`text::code`];
//!   the index keeps the same forms.

use alloc::{
    borrow::ToOwned,
    string::{String, ToString},
    vec::Vec,
};

use serde_json::Value;

use super::{
    decimal::Decimal,
    path::{find, items},
    query::Prefix,
    reference::{Target, id_in},
    span::Span,
    table::{ID, Kind, Parameter},
    text,
};

/// The parts of a HumanName and an Address that a string search looks at.
const TEXT_PARTS: [&str; 11] = [
    "text",
    "family",
    "given",
    "prefix",
    "suffix",
    "line",
    "city",
    "district",
    "state",
    "postalCode",
    "country",
];
const CURRENCIES: &str = "urn:iso:std:iso:4217";

/// How a value is compared, where that is not the usual way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Modifier {
    None,
    Above,
    Below,
    Contains,
    Exact,
    Identifier,
    Not,
    OfType,
    Text,
    /// A reference to this type.
    Type(&'static str),
}

/// One of the values of which one must be met.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Criterion {
    Composite(Vec<Criterion>),
    Date(Prefix, Span),
    /// The id, or the code of an id, with its case.
    Id(String),
    Identifier(Token),
    /// `system|code|value`, each as compared.
    IdentifierOfType {
        system: String,
        code: String,
        value: String,
    },
    Number(Prefix, Decimal),
    Quantity {
        prefix: Prefix,
        value: Decimal,
        system: String,
        code: String,
    },
    Reference(Wanted),
    Text(Match, String),
    Token(Token),
    TokenText(String),
    Uri(Match, String),
}

/// How a text is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Match {
    Above,
    Below,
    Contains,
    Exact,
    Starts,
}

/// `code`, `system|code`, `|code` or `system|`: what is not said does not count, and an empty system is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) system: Option<String>,
    pub(super) code: Option<String>,
}

/// What a reference must name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Wanted {
    /// A resource here of any type.
    Id(String),
    /// What [`Target::text`] says.
    Target { text: String, version: Option<String> },
}

/// What a comparison needs besides the two values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) base: &'a str,
    pub(super) now_ms: u64,
}

impl Criterion {
    /// Reads `value`, one alternative of `parameter`; if it cannot be read, says what it should have been.
    pub(super) fn parse(
        parameter: &Parameter,
        modifier: Modifier,
        value: &str,
        base: &str,
    ) -> Result<Self, &'static str> {
        if parameter.paths == ID {
            return Ok(Self::Id(unescape(value)));
        }
        if parameter.kind != Kind::Composite {
            return Self::parse_as(parameter.kind, modifier, value, base);
        }
        let parts = split(value, '$');
        if parts.len() != parameter.components.len() {
            return Err("its parts with `$` between them, as many as the parameter has");
        }
        let parts = parts.iter().zip(parameter.components);
        let parse = |(part, (kind, _)): (&&str, &(Kind, _))| {
            Self::parse_as(*kind, Modifier::None, part, base)
        };
        Ok(Self::Composite(parts.map(parse).collect::<Result<_, _>>()?))
    }

    fn parse_as(
        kind: Kind,
        modifier: Modifier,
        value: &str,
        base: &str,
    ) -> Result<Self, &'static str> {
        match (kind, modifier) {
            (Kind::Date, _) => {
                let (prefix, value) = Prefix::split(value);
                let span = Span::parse(value);
                Ok(Self::Date(prefix, span.ok_or("a date such as 2024-05-01 or ge2024-05")?))
            }
            (Kind::Number, _) => {
                let (prefix, value) = Prefix::split(value);
                let number = Decimal::parse(value);
                Ok(Self::Number(prefix, number.ok_or("a number such as 5.40 or gt5")?))
            }
            (Kind::Quantity, _) => quantity(value).ok_or("number, or number|system|code"),
            (Kind::Reference, Modifier::Identifier) => Ok(Self::Identifier(Token::parse(value)?)),
            (Kind::Reference, Modifier::Type(kind)) => typed_reference(kind, value, base),
            (Kind::Reference, _) => Ok(Self::Reference(Wanted::parse(&unescape(value), base)?)),
            (Kind::String, Modifier::Exact) => Ok(Self::Text(Match::Exact, unescape(value))),
            (Kind::String, Modifier::Contains) => {
                Ok(Self::Text(Match::Contains, text::normal(&unescape(value))))
            }
            (Kind::String, _) => Ok(Self::Text(Match::Starts, text::normal(&unescape(value)))),
            (Kind::Token, Modifier::OfType) => of_type(value),
            (Kind::Token, Modifier::Text) => Ok(Self::TokenText(text::normal(&unescape(value)))),
            (Kind::Token, _) => Ok(Self::Token(Token::parse(value)?)),
            (Kind::Uri, Modifier::Above) => Ok(Self::Uri(Match::Above, unescape(value))),
            (Kind::Uri, Modifier::Below) => Ok(Self::Uri(Match::Below, unescape(value))),
            (Kind::Uri, _) => Ok(Self::Uri(Match::Exact, unescape(value))),
            (Kind::Composite, _) => Err("no composite inside a composite"),
        }
    }

    /// Whether what was found for `parameter` meets this.
    fn admits(&self, found: &Found<'_>, parameter: &Parameter, context: Context<'_>) -> bool {
        let value = found.value;
        let is_text_of = |kind, wanted: &str| {
            found.texts.iter().any(|(text, normal)| is_text(kind, wanted, text, normal))
        };
        match self {
            Self::Composite(parts) => parts
                .iter()
                .zip(&found.parts)
                .all(|(part, found)| found.iter().any(|it| part.admits(it, parameter, context))),
            Self::Date(prefix, span) => {
                found.span.is_some_and(|it| span.admits(*prefix, it, context.now_ms))
            }
            Self::Id(id) => value.as_str() == Some(id),
            Self::Identifier(token) => {
                value.get("identifier").is_some_and(|it| token.admits(it, ""))
            }
            Self::IdentifierOfType { system, code, value: wanted } => {
                is_identifier_of(value, system, code, wanted)
            }
            Self::Number(prefix, number) => {
                found.interval.is_some_and(|it| it.is(*prefix, *number))
            }
            Self::Quantity { prefix, value: number, system, code } => {
                has_unit(value, system, code)
                    && found.interval.is_some_and(|it| it.is(*prefix, *number))
            }
            Self::Reference(wanted) => found.target.as_ref().is_some_and(|it| wanted.admits(it)),
            Self::Text(kind, wanted) => is_text_of(*kind, wanted),
            Self::Token(token) => token.admits(value, parameter.system),
            Self::TokenText(wanted) => is_text_of(Match::Starts, wanted),
            Self::Uri(kind, wanted) => value.as_str().is_some_and(|it| is_uri(*kind, wanted, it)),
        }
    }
}

/// A value that was found for a parameter, and what costs more than comparing: done once for each value, not for
/// each criterion.
struct Found<'v> {
    value: &'v Value,
    /// What a search in texts looks at, and each text normalised.
    texts: Vec<(&'v str, String)>,
    /// Of a date, when it is.
    span: Option<Span>,
    /// Of a number or quantity, what it is.
    interval: Option<Interval>,
    /// Of a reference, what it names, and which version.
    target: Option<(Target<'v>, Option<&'v str>)>,
    /// Of a composite, what each of its parts is.
    parts: Vec<Vec<Self>>,
}

impl<'v> Found<'v> {
    fn of(value: &'v Value, criteria: &[Criterion], parameter: &Parameter, base: &str) -> Self {
        let part = |(kind, paths): &(Kind, &str)| {
            find(paths, value).into_iter().map(|it| Self::read(it, *kind, base)).collect()
        };
        let mut found = Self::read(value, parameter.kind, base);
        found.parts = parameter.components.iter().map(part).collect();
        if matches!(criteria.first(), Some(Criterion::TokenText(_))) {
            found.texts = normalised(token_texts(value));
        }
        found
    }

    fn read(value: &'v Value, kind: Kind, base: &str) -> Self {
        let is = |it: Kind| (it == kind).then_some(value);
        let is_number = is(Kind::Number).or_else(|| is(Kind::Quantity));
        Self {
            value,
            texts: texts_of(value, kind),
            span: is(Kind::Date).and_then(Span::of),
            interval: is_number.and_then(Interval::of),
            target: is(Kind::Reference).and_then(|it| Target::of(it, base)),
            parts: Vec::new(),
        }
    }
}

fn texts_of(value: &Value, kind: Kind) -> Vec<(&str, String)> {
    if kind == Kind::String { normalised(texts(value).into_iter()) } else { Vec::new() }
}

fn normalised<'v>(texts: impl Iterator<Item = &'v str>) -> Vec<(&'v str, String)> {
    texts.map(|text| (text, text::normal(text))).collect()
}

/// Whether `value`, found for `parameter`, meets one of `criteria`.
pub(super) fn any_admits(
    criteria: &[Criterion],
    value: &Value,
    parameter: &Parameter,
    context: Context<'_>,
) -> bool {
    let found = Found::of(value, criteria, parameter, context.base);
    criteria.iter().any(|it| it.admits(&found, parameter, context))
}

impl Token {
    fn parse(value: &str) -> Result<Self, &'static str> {
        let parts = split(value, '|');
        let token = match parts.as_slice() {
            [code] if !code.is_empty() => {
                Self { system: None, code: Some(text::code(&unescape(code))) }
            }
            [system, code] => {
                let code = Some(text::code(&unescape(code))).filter(|code| !code.is_empty());
                Self { system: Some(unescape(system)), code }
            }
            _ => {
                return Err(
                    "code, system|code, |code or system|; write `\\|` for a `|` of the code",
                );
            }
        };
        match &token {
            Self { system: Some(system), code: None } if system.is_empty() => {
                Err("code, system|code, |code or system|")
            }
            _ => Ok(token),
        }
    }

    fn admits(&self, value: &Value, implied: &str) -> bool {
        tokens(value, implied).any(|(system, code)| {
            self.system.as_deref().is_none_or(|wanted| wanted == system)
                && self.code.as_deref().is_none_or(|wanted| text::is_code(wanted, code))
        })
    }
}

/// The systems and codes in `value`: a CodeableConcept, Coding, Identifier, ContactPoint, code or boolean.
pub(super) fn tokens<'v>(
    value: &'v Value,
    implied: &'v str,
) -> impl Iterator<Item = (&'v str, &'v str)> {
    let alone = match value {
        Value::String(code) => Some((implied, code.as_str())),
        Value::Bool(true) => Some(("", "true")),
        Value::Bool(false) => Some(("", "false")),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let codings = items(value.get("coding")).chain(value.is_object().then_some(value));
    alone.into_iter().chain(codings.filter_map(token_of))
}

fn token_of(value: &Value) -> Option<(&str, &str)> {
    let text = |name| value.get(name).and_then(Value::as_str);
    let code = text("code").or_else(|| text("value"));
    match (text("system"), code) {
        (None, None) => None,
        (system, code) => Some((system.unwrap_or_default(), code.unwrap_or_default())),
    }
}

/// What stands beside a code for people: texts of concepts, displays, and the types of identifiers.
fn token_texts(value: &Value) -> impl Iterator<Item = &str> {
    let displays = items(value.get("coding")).chain([value]).filter_map(|it| it.get("display"));
    let concepts = [Some(value), value.get("type")].into_iter().flatten();
    let texts = concepts.filter_map(|it| it.get("text")).filter_map(Value::as_str);
    displays.filter_map(Value::as_str).chain(texts)
}

fn of_type(value: &str) -> Result<Criterion, &'static str> {
    let [system, code, value] = split(value, '|')[..] else { return Err("system|code|value") };
    let [system, code, value] = [system, code, value].map(unescape);
    if [&system, &code, &value].into_iter().any(String::is_empty) {
        return Err("system|code|value, none of them empty");
    }
    let (code, value) = (text::code(&code), text::code(&value));
    Ok(Criterion::IdentifierOfType { system, code, value })
}

fn is_identifier_of(identifier: &Value, system: &str, code: &str, value: &str) -> bool {
    // A code comes first where tokens are read, and so in the index: no Identifier has one.
    let own = match identifier.get("code") {
        Some(_) => None,
        None => identifier.get("value").and_then(Value::as_str),
    };
    let is_type = |(its_system, its_code): (&str, &str)| {
        its_system == system && text::is_code(code, its_code)
    };
    own.is_some_and(|own| text::is_code(value, own))
        && identifier.get("type").is_some_and(|it| tokens(it, "").any(is_type))
}

impl Wanted {
    fn parse(value: &str, base: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "an id, Type/id or an absolute URL";
        if !value.contains([':', '/']) {
            return if value.contains(['#', '|']) {
                Err(EXPECTED)
            } else {
                Ok(Self::Id(value.into()))
            };
        }
        let (target, version) = Target::parse(value, base).ok_or(EXPECTED)?;
        let text = target.text().into_owned();
        Ok(Self::Target { text, version: version.map(ToOwned::to_owned) })
    }

    fn admits(&self, (target, version): &(Target<'_>, Option<&str>)) -> bool {
        match self {
            Self::Id(wanted) => target.id() == Some(wanted),
            Self::Target { text, version: wanted } => {
                let is_version = wanted.is_none() || wanted.as_deref() == *version;
                let is_named = match target {
                    Target::Here(kind, id) => text.split_once('/') == Some((*kind, *id)),
                    Target::Elsewhere(url) => {
                        is_canonical(text, url)
                            || id_in(text).is_some_and(|id| target.id() == Some(id))
                    }
                };
                is_version && is_named
            }
        }
    }
}

fn typed_reference(kind: &str, value: &str, base: &str) -> Result<Criterion, &'static str> {
    let value = unescape(value);
    let wanted = match Wanted::parse(&value, base)? {
        Wanted::Id(id) => Wanted::Target { text: [kind, "/", &id].concat(), version: None },
        wanted @ Wanted::Target { .. } => wanted,
    };
    match &wanted {
        Wanted::Target { text, .. } if Target::may_be(&Value::String(text.clone()), kind) => {
            Ok(Criterion::Reference(wanted))
        }
        Wanted::Target { .. } | Wanted::Id(_) => {
            Err("an id, or a reference to the type it is narrowed to")
        }
    }
}

/// A canonical URL without a version stands for each of its versions.
fn is_canonical(wanted: &str, url: &str) -> bool {
    let version = url.strip_prefix(wanted);
    version.is_some_and(|it| it.is_empty() || (it.starts_with('|') && !wanted.contains('|')))
}

/// A canonical URL without its version.
pub(super) fn unversioned(url: &str) -> &str {
    url.split_once('|').map_or(url, |(url, _)| url)
}

fn is_uri(kind: Match, wanted: &str, uri: &str) -> bool {
    match kind {
        Match::Above => is_prefix(uri, wanted),
        Match::Below => is_prefix(wanted, uri),
        Match::Contains | Match::Exact | Match::Starts => is_canonical(wanted, uri),
    }
}

/// Whether `long` is `short` or stands below it, by whole segments.
fn is_prefix(short: &str, long: &str) -> bool {
    let rest = long.strip_prefix(short);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || short.ends_with('/'))
}

/// Whether `value`, which is `normal` when normalised, is as `kind` says to `wanted`.
fn is_text(kind: Match, wanted: &str, value: &str, normal: &str) -> bool {
    match kind {
        Match::Exact => value == wanted,
        // Of punctuation alone nothing is left, and nothing is where everything begins.
        _ if wanted.is_empty() => normal.is_empty(),
        Match::Contains => normal.contains(wanted),
        Match::Above | Match::Below | Match::Starts => normal.starts_with(wanted),
    }
}

/// The texts that a string search looks at: the value, or the parts of a name or an address.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    let parts = TEXT_PARTS.iter().flat_map(|part| items(value.get(part)));
    parts.chain([value]).filter_map(Value::as_str).collect()
}

fn quantity(value: &str) -> Option<Criterion> {
    let parts = split(value, '|');
    let (number, system, code) = match parts[..] {
        [number] => (number, "", ""),
        [number, system, code] => (number, system, code),
        _ => return None,
    };
    let (prefix, number) = Prefix::split(number);
    let value = Decimal::parse(number)?;
    let (system, code) = (unescape(system), unescape(code));
    if code.is_empty() && !system.is_empty() {
        return None;
    }
    Some(Criterion::Quantity { prefix, value, system, code })
}

fn has_unit(value: &Value, system: &str, code: &str) -> bool {
    if code.is_empty() {
        return true;
    }
    let sides = [value.get("low"), value.get("high"), Some(value)];
    sides.into_iter().flatten().any(|quantity| {
        let is = |name, wanted| quantity.get(name).and_then(Value::as_str) == Some(wanted);
        let is_currency = is("currency", code) && (system.is_empty() || system == CURRENCIES);
        let is_unit = system.is_empty() && is("unit", code);
        is_currency || is_unit || (is("code", code) && (system.is_empty() || is("system", system)))
    })
}

/// A number, or the numbers between two; a side that is not said is open.
#[derive(Clone, Copy)]
struct Interval {
    low: Option<Decimal>,
    high: Option<Decimal>,
}

impl Interval {
    /// What a decimal, a Quantity, Money or Range says.
    fn of(value: &Value) -> Option<Self> {
        if let Some(number) = number(value) {
            return Some(Self { low: Some(number), high: Some(number) });
        }
        if value.get("low").is_some() || value.get("high").is_some() {
            let side = |name| value.get(name).and_then(|it| number(it.get("value")?));
            return Some(Self { low: side("low"), high: side("high") });
        }
        let number = Some(number(value.get("value")?)?);
        match value.get("comparator").and_then(Value::as_str) {
            None => Some(Self { low: number, high: number }),
            Some("<" | "<=") => Some(Self { low: None, high: number }),
            Some(">" | ">=") => Some(Self { low: number, high: None }),
            Some(_) => None,
        }
    }

    /// Whether this is to `wanted` as `prefix` says: only equality heeds how precise a number was written (R4
    /// Search, "number").
    fn is(&self, prefix: Prefix, wanted: Decimal) -> bool {
        let within = |(low, end): (Decimal, Decimal)| {
            self.low.is_some_and(|it| low <= it) && self.high.is_some_and(|it| it < end)
        };
        match prefix {
            Prefix::Eq => within(wanted.range()),
            Prefix::Ne => !within(wanted.range()),
            Prefix::Gt => self.high.is_none_or(|it| it > wanted),
            Prefix::Ge => self.high.is_none_or(|it| it >= wanted),
            Prefix::Lt => self.low.is_none_or(|it| it < wanted),
            Prefix::Le => self.low.is_none_or(|it| it <= wanted),
            Prefix::Sa => self.low.is_some_and(|it| it > wanted),
            Prefix::Eb => self.high.is_some_and(|it| it < wanted),
            Prefix::Ap => {
                let (low, high) = wanted.approximately();
                let reaches = self.high.is_none_or(|it| it >= low);
                reaches && self.low.is_none_or(|it| it <= high)
            }
        }
    }
}

/// The exact number that `value` is.
pub(super) fn number(value: &Value) -> Option<Decimal> {
    Decimal::parse(&value.as_number()?.to_string())
}

/// The number by which a quantity or number is sorted.
pub(super) fn magnitude(value: &Value) -> Option<Decimal> {
    let interval = Interval::of(value)?;
    interval.low.or(interval.high)
}

/// The text by which a reference is sorted.
pub(super) fn reference_text(value: &Value, base: &str) -> Option<String> {
    let (target, _) = Target::of(value, base)?;
    Some(target.text().into_owned())
}

/// Cuts `value` at each `separator` that no backslash stands before. What is between stays escaped.
pub(super) fn split(value: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut is_escaped) = (Vec::new(), 0, false);
    for (at, letter) in value.char_indices() {
        if letter == separator && !is_escaped {
            parts.push(&value[start..at]);
            start = at + letter.len_utf8();
        }
        is_escaped = letter == '\\' && !is_escaped;
    }
    parts.push(&value[start..]);
    parts
}

/// `value` without the backslashes before `,`, `|`, `$` and `\` (R4 Search, "Escaping").
fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut letters = value.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters.peek() {
            Some(next @ (',' | '|' | '$' | '\\')) if letter == '\\' => {
                plain.push(*next);
                letters.next();
            }
            Some(_) | None => plain.push(letter),
        }
    }
    plain
}

//! What a request asks for, by its method and URL alone: the routes of R4's RESTful API (3.1.0).
//!
//! ```text
//!               GET HEAD          POST            PUT          PATCH        DELETE
//! /             search            batch
//! metadata      capabilities
//! _search                         search
//! _history      history
//! $op           $export           $export
//! Type          search            create          conditional update, patch and delete, with ?..
//! Type/_search                    search
//! Type/_history history
//! Type/$op      $export ..        $validate ..
//! Type/id       read                              update       patch        delete
//! Type/id/_history, Type/id/_history/vid, Type/id/$op, Type/id/Other?.. (a compartment), Type/id/*
//! ```
//!
//! # Invariants
//!
//! * A [`ResourceType`] is one of R4's; an [`Id`] has 1 to 64 of `A-Z a-z 0-9 - .` and is neither `.` nor
//!   `..`, so no path walks upwards.
//! * Segments are decoded once, after the path was cut; what decodes to a slash is refused.
//! * Nothing is guessed: an empty segment, a route with the wrong method and an operation at the wrong
//!   level each have an error of their own.
//! * The condition of a create, update, patch or delete has a parameter that says which resources are meant.
//!   Whether it is a known one only the search tells: read conditions with strict handling
//!   ([`crate::search::Handling::Strict`]), since a parameter that is left out widens what is changed.
//!
//! Not here: the headers ([`crate::header`]), the body, and what the search parameters mean.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str::FromStr};

use thiserror::Error;

use crate::{
    bundle::is_id,
    classify::type_name,
    outcome::{IssueType, Outcome, Status},
    summary::printable,
};

/// Bytes of a path below the base.
pub const PATH_BYTES_MAX: usize = 512;
/// Bytes of a query.
pub const QUERY_BYTES_MAX: usize = 8_192;
/// Parameters of a query.
pub const PARAMETERS_MAX: usize = 256;
/// Segments of the longest route: `Type/id/_history/vid`.
const SEGMENTS_MAX: usize = 4;
const NAME_CHARS_MAX: usize = 64;
/// Parameters that say how an answer looks, and not what is in it (R4 Search, "Modifying Search Results").
pub(crate) const RESULT_PARAMETERS: [&str; 11] = [
    "_contained",
    "_containedType",
    "_count",
    "_elements",
    "_format",
    "_include",
    "_pretty",
    "_revinclude",
    "_sort",
    "_summary",
    "_total",
];

/// An HTTP method (value set `http-verb`).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Method {
    /// Read, search, history.
    Get,
    /// As GET, without a body in the answer.
    Head,
    /// Create, operations, bundles.
    Post,
    /// Update.
    Put,
    /// Change a part.
    Patch,
    /// Refused in the end: a record is redacted.
    Delete,
}

impl Method {
    /// As HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Method {
    type Err = InteractionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete]
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or(InteractionError::UnknownMethod)
    }
}

/// A resource type of R4.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ResourceType(&'static str);

impl ResourceType {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl FromStr for ResourceType {
    type Err = InteractionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || InteractionError::UnknownType(printable(text, NAME_CHARS_MAX));
        type_name(text).map(Self).ok_or_else(unknown)
    }
}

/// A resource's id, or a version's.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Id(String);

impl Id {
    /// Its characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version that it names, if it is a version's; nothing if it can be none of ours.
    pub fn version(&self) -> Option<u64> {
        crate::header::version_of(&self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Id {
    type Err = InteractionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // URLs give `.` and `..` a meaning of their own.
        let is_ours = is_id(text) && text != "." && text != "..";
        is_ours.then(|| Self(text.to_owned())).ok_or(InteractionError::InvalidId)
    }
}

/// What is behind the question mark, as it was sent.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Query(String);

impl Query {
    /// Takes a query: short, with few parameters, each of them decodable.
    pub fn parse(text: &str) -> Result<Self, InteractionError> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(InteractionError::QueryTooLong { bytes: text.len() });
        }
        let query = Self(text.to_owned());
        let parameters = query.parts().count();
        if parameters > PARAMETERS_MAX {
            return Err(InteractionError::TooManyParameters { parameters });
        }
        let decodes = query.parts().all(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            decode(name, true).is_some_and(|name| !name.is_empty()) && decode(value, true).is_some()
        });
        decodes.then_some(query).ok_or(InteractionError::BadEscape)
    }

    /// Whether it can be the condition of a create, update, patch or delete: one of its parameters says which
    /// resources are meant. What only shapes an answer is met by every resource, and so is an empty value.
    pub fn is_condition(&self) -> bool {
        self.parameters().any(|(name, value)| {
            let stem = name.split_once(':').map_or(name.as_str(), |(stem, _)| stem);
            let is_blank = value.chars().all(|c| c == ',' || c.is_whitespace());
            !is_blank && !RESULT_PARAMETERS.contains(&stem)
        })
    }

    /// Takes `If-None-Exist` of a create: what stands behind the question mark (R4,
    /// "Conditional create"). Some senders write what stands before it too.
    pub fn if_none_exist(of: ResourceType, text: &str) -> Result<Self, InteractionError> {
        let rest = text.strip_prefix(of.as_str()).unwrap_or(text);
        let query = Self::parse(rest.strip_prefix('?').unwrap_or(text))?;
        if query.is_condition() { Ok(query) } else { Err(InteractionError::EmptyCondition) }
    }

    /// The same query, of one patient's matches alone. `parameter` names the patient: by reference, or `_id`.
    #[must_use]
    pub fn of_patient(&self, parameter: &str, id: &Id) -> Self {
        let joint = if self.is_empty() { "" } else { "&" };
        let of = if parameter == "_id" { "" } else { "Patient/" };
        // Ids have no character that means anything in a query.
        Self(format!("{}{joint}{parameter}={of}{id}", self.0))
    }

    /// As it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has no parameter.
    pub fn is_empty(&self) -> bool {
        self.parts().next().is_none()
    }

    /// Names and values, decoded, in the order in which they were sent.
    pub fn parameters(&self) -> impl Iterator<Item = (String, String)> {
        self.parts().filter_map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decode(name, true)?, decode(value, true)?))
        })
    }

    /// System and value, if it asks for one identifier and nothing else: the only condition that a
    /// uniqueness tag can decide. `|value`, which says that there is no system, has an empty one.
    pub fn identifier(&self) -> Option<(String, String)> {
        let mut parameters = self.parameters();
        let (name, token) = parameters.next()?;
        if name != "identifier" || parameters.next().is_some() || token.contains([',', '\\']) {
            return None;
        }
        let (system, value) = token.split_once('|')?;
        let is_one = !value.is_empty() && !value.contains(['|', '$']);
        is_one.then(|| (system.to_owned(), value.to_owned()))
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('&').filter(|part| !part.is_empty())
    }
}

/// What percent-encoding stands for (RFC 3986, 2.1), a plus for a blank in a form.
pub(crate) fn decode(text: &str, is_form: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? * 16 + hex(rest.next()?)?,
            b'+' if is_form => b' ',
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// What an operation or a history is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Everything.
    System,
    /// All resources of a type.
    Type(ResourceType),
    /// One resource.
    Instance(ResourceType, Id),
}

/// An operation that is served.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Operation {
    /// What a subscription has told so far (Subscriptions R5 Backport).
    Events,
    /// All about one patient (R4, Patient/$everything).
    Everything,
    /// Bulk data ("Bulk Data Access", 2.0).
    Export,
    /// A C-CDA document, to be kept with what it says. Keepwell's own.
    ImportCcda,
    /// How subscriptions stand (Subscriptions R5 Backport).
    Status,
    /// The International Patient Summary.
    Summary,
    /// Whether a resource would be taken (R4, Resource/$validate).
    Validate,
}

impl Operation {
    /// Its name, with the dollar.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "$events",
            Self::Everything => "$everything",
            Self::Export => "$export",
            Self::ImportCcda => "$import-ccda",
            Self::Status => "$status",
            Self::Summary => "$summary",
            Self::Validate => "$validate",
        }
    }

    fn named(name: &str) -> Result<Self, InteractionError> {
        [
            Self::Events,
            Self::Everything,
            Self::Export,
            Self::ImportCcda,
            Self::Status,
            Self::Summary,
            Self::Validate,
        ]
        .into_iter()
        .find(|known| known.as_str() == name)
        .ok_or_else(|| InteractionError::UnknownOperation(printable(name, NAME_CHARS_MAX)))
    }

    /// Whether it is defined there.
    fn is_at(self, scope: &Scope) -> bool {
        match (self, scope) {
            (Self::Validate, Scope::Type(_) | Scope::Instance(..))
            | (Self::Export | Self::ImportCcda, Scope::System) => true,
            (Self::ImportCcda, Scope::Type(_) | Scope::Instance(..)) => false,
            (Self::Validate, Scope::System) | (Self::Everything | Self::Summary, Scope::System) => {
                false
            }
            (Self::Everything | Self::Summary, Scope::Type(of) | Scope::Instance(of, _)) => {
                of.0 == "Patient"
            }
            (Self::Export, Scope::Type(of)) => of.0 == "Patient",
            (Self::Export, Scope::Instance(of, _)) => of.0 == "Group",
            (Self::Events | Self::Status, Scope::System) | (Self::Events, Scope::Type(_)) => false,
            (Self::Status, Scope::Type(of))
            | (Self::Events | Self::Status, Scope::Instance(of, _)) => of.0 == "Subscription",
        }
    }

    const fn allows(self, method: Method, scope: &Scope) -> bool {
        match (self, method) {
            (
                Self::Everything | Self::Summary | Self::Export | Self::Events | Self::Status,
                Method::Get | Method::Head | Method::Post,
            ) => true,
            (Self::Validate | Self::ImportCcda, Method::Post) => true,
            (Self::ImportCcda, Method::Get | Method::Head) => false,
            // Of a resource that is stored already there is nothing to send.
            (Self::Validate, Method::Get | Method::Head) => matches!(scope, Scope::Instance(..)),
            (_, Method::Put | Method::Patch | Method::Delete) => false,
        }
    }
}

/// Which resource is meant.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Target {
    /// The one with this id.
    Instance(ResourceType, Id),
    /// The only one that this search finds.
    Matching(ResourceType, Query),
}

impl Target {
    /// Its type.
    pub const fn resource_type(&self) -> ResourceType {
        match self {
            Self::Instance(resource_type, _) | Self::Matching(resource_type, _) => *resource_type,
        }
    }
}

/// Where a search looks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Within {
    /// Everywhere, in all types.
    System,
    /// In one type.
    Type(ResourceType),
    /// In one resource's compartment, in one type or in all.
    Compartment(ResourceType, Id, Option<ResourceType>),
}

/// What a request asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Interaction {
    /// The CapabilityStatement.
    Capabilities,
    /// A Bundle of type batch or transaction, in the body.
    Bundle,
    /// A new resource; `If-None-Exist` makes it conditional. Some clients send its condition as a query.
    Create(ResourceType, Query),
    /// The newest version.
    Read(ResourceType, Id),
    /// One version.
    VersionRead(ResourceType, Id, Id),
    /// A new version.
    Update(Target),
    /// A new version, from the newest and the changes in the body.
    Patch(Target),
    /// An end.
    Delete(Target),
    /// A search, whose parameters may stand in the body too if it is a POST.
    Search(Within, Query),
    /// Versions.
    History(Scope, Query),
    /// An operation.
    Operation(Operation, Scope, Query),
}

/// Why a request is refused before anything is looked up. All are the sender's.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum InteractionError {
    /// No method of FHIR's.
    #[error("the method is none that FHIR has; use GET, HEAD, POST, PUT, PATCH or DELETE")]
    UnknownMethod,
    /// The path is longer than any route.
    #[error("a path of {bytes} bytes is no FHIR route; write Type/id, in at most {PATH_BYTES_MAX}")]
    PathTooLong {
        /// Bytes of the path.
        bytes: usize,
    },
    /// The query is too long.
    #[error("a query of {bytes} bytes; beyond {QUERY_BYTES_MAX}, search with POST and _search")]
    QueryTooLong {
        /// Bytes of the query.
        bytes: usize,
    },
    /// The query has too many parameters.
    #[error("{parameters} parameters are more than {PARAMETERS_MAX}; ask in several searches")]
    TooManyParameters {
        /// Parameters of the query.
        parameters: usize,
    },
    /// A percent sign without two hexadecimal digits, bytes that are not UTF-8, or a parameter without a
    /// name.
    #[error("the URL is not percent-encoded UTF-8; encode each parameter by itself")]
    BadEscape,
    /// Two slashes, or one at the end.
    #[error("the path has an empty segment; write Type/id without further slashes")]
    EmptySegment,
    /// No resource type of R4.
    #[error("R4 has no resource type {0:?}; types are written as in Patient")]
    UnknownType(String),
    /// No id.
    #[error("an id has 1 to 64 of the characters A-Z a-z 0-9 - . and is not made of dots alone")]
    InvalidId,
    /// An operation that is not served.
    #[error("operation {0:?} is not served; metadata lists those that are")]
    UnknownOperation(String),
    /// An operation is asked for where it is not defined.
    #[error("{0} is not defined there; metadata says at which level it is")]
    OperationElsewhere(&'static str),
    /// No route.
    #[error(
        "FHIR has no such route; write Type, Type/id or what stands below them in R4's RESTful API"
    )]
    NoRoute,
    /// A route, with another method.
    #[error("{0} is not for this route; metadata says which interactions a type has")]
    MethodNotAllowed(Method),
    /// The condition of a create asks for nothing.
    #[error("If-None-Exist has no search parameter; write what stands behind the question mark")]
    EmptyCondition,
    /// An update, patch or delete of a type without saying of which resource.
    #[error("{0} needs an id, or search parameters that one resource matches")]
    NoTarget(Method),
}

impl From<InteractionError> for Outcome {
    fn from(error: InteractionError) -> Self {
        use InteractionError as E;
        let (code, status) = match &error {
            E::UnknownMethod | E::MethodNotAllowed(_) => {
                (IssueType::NotSupported, Status::METHOD_NOT_ALLOWED)
            }
            E::PathTooLong { .. } | E::QueryTooLong { .. } => {
                (IssueType::TooLong, Status::URI_TOO_LONG)
            }
            E::TooManyParameters { .. } => (IssueType::TooCostly, Status::BAD_REQUEST),
            E::BadEscape | E::EmptySegment | E::InvalidId => {
                (IssueType::Value, Status::BAD_REQUEST)
            }
            E::UnknownType(_) | E::UnknownOperation(_) | E::OperationElsewhere(_) | E::NoRoute => {
                (IssueType::NotSupported, Status::NOT_FOUND)
            }
            E::NoTarget(_) | E::EmptyCondition => (IssueType::Required, Status::BAD_REQUEST),
        };
        Self::error(code, &error.to_string()).with_status(status)
    }
}

impl Interaction {
    /// Reads a request: `path` below the base, with or without a slash in front, and what is behind the
    /// question mark, if there is one.
    pub fn parse(
        method: Method,
        path: &str,
        query: Option<&str>,
    ) -> Result<Self, InteractionError> {
        let segments = segments(path)?;
        let query = Query::parse(query.unwrap_or_default())?;
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [] => system(method, query),
            ["metadata"] => only(is_read(method), method, Self::Capabilities),
            ["_search"] => {
                only(method == Method::Post, method, Self::Search(Within::System, query))
            }
            ["_history"] => only(is_read(method), method, Self::History(Scope::System, query)),
            [name] if name.starts_with('$') => operation(method, name, Scope::System, query),
            [of] => whole_type(method, of.parse()?, query),
            [of, rest @ ..] => below_type(method, of.parse()?, rest, query),
        }
    }
}

/// The path's segments, each decoded.
fn segments(path: &str) -> Result<Vec<String>, InteractionError> {
    if path.len() > PATH_BYTES_MAX {
        return Err(InteractionError::PathTooLong { bytes: path.len() });
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        if segment.is_empty() {
            return Err(InteractionError::EmptySegment);
        }
        if segments.len() == SEGMENTS_MAX {
            return Err(InteractionError::NoRoute);
        }
        segments.push(decode(segment, false).ok_or(InteractionError::BadEscape)?);
    }
    Ok(segments)
}

const fn is_read(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

fn only<T>(is_allowed: bool, method: Method, what: T) -> Result<T, InteractionError> {
    is_allowed.then_some(what).ok_or(InteractionError::MethodNotAllowed(method))
}

fn system(method: Method, query: Query) -> Result<Interaction, InteractionError> {
    match method {
        Method::Get | Method::Head => Ok(Interaction::Search(Within::System, query)),
        Method::Post => Ok(Interaction::Bundle),
        Method::Put | Method::Patch | Method::Delete => {
            Err(InteractionError::MethodNotAllowed(method))
        }
    }
}

fn whole_type(
    method: Method,
    of: ResourceType,
    query: Query,
) -> Result<Interaction, InteractionError> {
    match method {
        Method::Get | Method::Head => return Ok(Interaction::Search(Within::Type(of), query)),
        Method::Post => return Ok(Interaction::Create(of, query)),
        Method::Put | Method::Patch | Method::Delete => {}
    }
    if !query.is_condition() {
        return Err(InteractionError::NoTarget(method));
    }
    change(method, Target::Matching(of, query))
}

fn change(method: Method, target: Target) -> Result<Interaction, InteractionError> {
    match method {
        Method::Put => Ok(Interaction::Update(target)),
        Method::Patch => Ok(Interaction::Patch(target)),
        Method::Delete => Ok(Interaction::Delete(target)),
        Method::Get | Method::Head | Method::Post => {
            Err(InteractionError::MethodNotAllowed(method))
        }
    }
}

fn below_type(
    method: Method,
    of: ResourceType,
    rest: &[&str],
    query: Query,
) -> Result<Interaction, InteractionError> {
    match rest {
        ["_search"] => {
            only(method == Method::Post, method, Interaction::Search(Within::Type(of), query))
        }
        ["_history"] => only(is_read(method), method, Interaction::History(Scope::Type(of), query)),
        [name] if name.starts_with('$') => operation(method, name, Scope::Type(of), query),
        [id] if is_read(method) => Ok(Interaction::Read(of, id.parse()?)),
        [id] => change(method, Target::Instance(of, id.parse()?)),
        [id, rest @ ..] => below_instance(method, of, id.parse()?, rest, query),
        [] => Err(InteractionError::NoRoute),
    }
}

fn below_instance(
    method: Method,
    of: ResourceType,
    id: Id,
    rest: &[&str],
    query: Query,
) -> Result<Interaction, InteractionError> {
    match rest {
        ["_history"] => {
            only(is_read(method), method, Interaction::History(Scope::Instance(of, id), query))
        }
        ["_history", version] => {
            let version = version.parse()?;
            only(is_read(method), method, Interaction::VersionRead(of, id, version))
        }
        [name] if name.starts_with('$') => operation(method, name, Scope::Instance(of, id), query),
        [inner] | [inner, "_search"] => {
            let inner = (*inner != "*").then(|| inner.parse()).transpose()?;
            let is_allowed = if rest.len() == 1 { is_read(method) } else { method == Method::Post };
            only(is_allowed, method, Interaction::Search(Within::Compartment(of, id, inner), query))
        }
        _ => Err(InteractionError::NoRoute),
    }
}

fn operation(
    method: Method,
    name: &str,
    scope: Scope,
    query: Query,
) -> Result<Interaction, InteractionError> {
    let operation = Operation::named(name)?;
    if !operation.is_at(&scope) {
        return Err(InteractionError::OperationElsewhere(operation.as_str()));
    }
    let is_allowed = operation.allows(method, &scope);
    only(is_allowed, method, Interaction::Operation(operation, scope, query))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;

    /// Reads lines of `METHOD url => the interaction or the error`, by the names of their variants.
    fn check(table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (request, expected) = line.split_once("=>").unwrap();
            let (method, url) = request.trim().split_once(' ').unwrap_or((request.trim(), ""));
            let url = url.trim();
            let (path, query) =
                url.split_once('?').map_or((url, None), |(path, q)| (path, Some(q)));
            let found = method.parse().and_then(|method| Interaction::parse(method, path, query));
            let found = found.map_or_else(|error| format!("{error:?}"), |it| format!("{it:?}"));
            let plain =
                found.replace(['"', '\\'], "").replace("ResourceType", "").replace("Id(", "(");
            let plain = plain.replace("Query(", "?(").replace(['(', ')', ','], " ");
            let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(plain, expected.trim(), "{request}");
        }
    }

    #[test]
    fn every_route_has_its_interaction() {
        check(
            "
            GET metadata                      => Capabilities
            HEAD /metadata                    => Capabilities
            POST                              => Bundle
            POST /                            => Bundle
            GET ?_type=Patient                => Search System ? _type=Patient
            POST _search                      => Search System ?
            GET _history?_count=2             => History System ? _count=2
            GET $export                       => Operation Export System ?
            POST Patient                      => Create Patient ?
            GET Patient?name=a                => Search Type Patient ? name=a
            HEAD Patient                      => Search Type Patient ?
            POST Patient/_search              => Search Type Patient ?
            GET Patient/_history              => History Type Patient ?
            GET Patient/$export               => Operation Export Type Patient ?
            GET Group/g/%24export             => Operation Export Instance Group g ?
            GET Patient/1.a-Z                 => Read Patient 1.a-Z
            GET Patient/1/_history            => History Instance Patient 1 ?
            GET Patient/1/_history/2          => VersionRead Patient 1 2
            PUT Patient/1                     => Update Instance Patient 1
            PUT Patient?identifier=a%7Cb      => Update Matching Patient ? identifier=a%7Cb
            PATCH Patient/1                   => Patch Instance Patient 1
            PATCH Patient?_id=1               => Patch Matching Patient ? _id=1
            DELETE Patient/1                  => Delete Instance Patient 1
            DELETE Patient?_id=1&_format=json => Delete Matching Patient ? _id=1&_format=json
            DELETE Patient?_id=1              => Delete Matching Patient ? _id=1
            GET Patient/1/$everything?_since=2020 => Operation Everything Instance Patient 1 ? _since=2020
            GET Patient/1/$summary            => Operation Summary Instance Patient 1 ?
            POST Observation/$validate        => Operation Validate Type Observation ?
            POST Observation/1/$validate      => Operation Validate Instance Observation 1 ?
            POST $import-ccda                 => Operation ImportCcda System ?
            GET Subscription/$status?id=a     => Operation Status Type Subscription ? id=a
            GET Subscription/a/$status        => Operation Status Instance Subscription a ?
            GET Subscription/a/$events        => Operation Events Instance Subscription a ?
            GET Patient/1/Observation?code=x  => Search Compartment Patient 1 Some Observation ? code=x
            GET Patient/1/*                   => Search Compartment Patient 1 None ?
            POST Patient/1/Condition/_search  => Search Compartment Patient 1 Some Condition ?
            ",
        );
    }

    #[test]
    fn what_is_no_route_is_refused_by_name() {
        check(
            "
            get Patient/1                     => UnknownMethod
            TRACE Patient/1                   => UnknownMethod
            PUT Patient                       => NoTarget Put
            DELETE Patient?                   => NoTarget Delete
            DELETE Patient?&&                 => NoTarget Delete
            DELETE Patient?_format=json       => NoTarget Delete
            PUT Patient?_include:iterate=a&_count=1&_total=none => NoTarget Put
            PATCH Patient?identifier=&name=%2C => NoTarget Patch
            POST Patient/1                    => MethodNotAllowed Post
            POST metadata                     => MethodNotAllowed Post
            PUT                               => MethodNotAllowed Put
            DELETE Patient/1/_history/2       => MethodNotAllowed Delete
            DELETE Patient/1/_history         => MethodNotAllowed Delete
            GET Patient/1/Condition/_search   => MethodNotAllowed Get
            GET Patient/_search               => MethodNotAllowed Get
            GET Patient/_x                    => InvalidId
            GET Observation/$validate         => MethodNotAllowed Get
            GET $import-ccda                  => MethodNotAllowed Get
            GET patient/1                     => UnknownType patient
            GET Foo                           => UnknownType Foo
            GET ../Patient/1                  => UnknownType ..
            GET Patient/..                    => InvalidId
            GET Patient/.                     => InvalidId
            GET Patient/%2e%2e                => InvalidId
            GET Patient/%2e%2e%2fGroup        => InvalidId
            GET Patient/a_b                   => InvalidId
            GET Patient/é                     => InvalidId
            GET Patient/%00                   => InvalidId
            GET Patient/%                     => BadEscape
            GET Patient/%f                    => BadEscape
            GET Patient/%ff                   => BadEscape
            GET Patient?a=%zz                 => BadEscape
            GET Patient?=1                    => BadEscape
            GET //Patient/1                   => EmptySegment
            GET Patient/                      => EmptySegment
            GET Patient//1                    => EmptySegment
            GET Patient/1/                    => EmptySegment
            GET Patient/1/_history/..         => InvalidId
            GET Patient/1/_history/2/3        => NoRoute
            GET Patient/1/Foo                 => UnknownType Foo
            GET Patient/1/Condition/2         => NoRoute
            GET Patient/1/$foo                => UnknownOperation $foo
            GET $everything                   => OperationElsewhere $everything
            GET Observation/1/$everything     => OperationElsewhere $everything
            GET Patient/1/$export             => OperationElsewhere $export
            GET Patient/1/$status             => OperationElsewhere $status
            GET Subscription/$events          => OperationElsewhere $events
            GET $status                       => OperationElsewhere $status
            DELETE Patient/1/$everything      => MethodNotAllowed Delete
            ",
        );
    }

    #[test]
    fn limits_hold_at_the_limit() {
        let read = |id: usize| {
            Interaction::parse(Method::Get, &format!("Patient/{}", "a".repeat(id)), None)
        };
        assert!(read(64).is_ok());
        assert_eq!(read(65), Err(InteractionError::InvalidId));
        let bytes = PATH_BYTES_MAX + 1;
        assert_eq!(read(bytes - 8), Err(InteractionError::PathTooLong { bytes }));
        assert!(Query::parse(&"a&".repeat(PARAMETERS_MAX)).is_ok());
        let parameters = PARAMETERS_MAX + 1;
        let error = InteractionError::TooManyParameters { parameters };
        assert_eq!(Query::parse(&"a&".repeat(parameters)), Err(error));
        let bytes = QUERY_BYTES_MAX + 1;
        let error = InteractionError::QueryTooLong { bytes };
        assert_eq!(Query::parse(&"a".repeat(bytes)), Err(error));
    }

    #[test]
    fn one_identifier_can_be_decided_by_a_tag() {
        let identifier = |text: &str| Query::parse(text).unwrap().identifier();
        let is = |system: &str, value: &str| Some((system.to_owned(), value.to_owned()));
        assert_eq!(identifier("identifier=urn:mrn|7"), is("urn:mrn", "7"));
        assert_eq!(identifier("identifier=urn:mrn%7C7+8"), is("urn:mrn", "7 8"));
        assert_eq!(identifier("identifier=%7C7"), is("", "7"));
        for other in ["identifier=7", "identifier=urn:mrn|", "identifier=a|b,a|c", "name=a|b", ""] {
            assert_eq!(identifier(other), None, "{other}");
        }
        assert_eq!(identifier("identifier=a|b&name=c"), None);
        assert_eq!(identifier("identifier:not=a|b"), None);
    }

    proptest! {
        #[test]
        fn no_url_is_too_strange(path in any::<String>(), query in any::<String>()) {
            for method in [Method::Get, Method::Post, Method::Put] {
                let found = Interaction::parse(method, &path, Some(&query));
                if let Err(error) = found {
                    let outcome = Outcome::from(error);
                    prop_assert!((400..500).contains(&outcome.status().code()));
                }
            }
        }
    }
}

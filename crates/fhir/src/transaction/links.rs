//! References of a Bundle's resources, as they are when the resources have their ids.
//!
//! ```text
//! where                                      what                          becomes
//! Reference.reference                        urn:uuid:.., urn:oid:..       Type/id
//!                                            http://server/Type/id         Type/id, if an entry is that
//!                                            Type/id                       as the last, below the server
//!                                                                          of the entry's own full URL
//!                                            Type?parameters, relative     Type/id that they find
//!                                            or below the server's base
//! elements of type uri, url, oid, uuid       what equals a full URL        Type/id
//! <a href>, <img src> in a narrative         what equals a full URL        Type/id
//! ```
//!
//! `/_history/..` behind any of them becomes the new version, and `#..` stays (R4, 3.1.0.11.2,
//! "Replacing hyperlinks and full-urls").
//!
//! # Invariants
//!
//! * Only the literals concerned change, and of a narrative only the attribute's value.
//! * Whatever names nothing in the Bundle stays, except what could never be found again: a `urn:uuid`,
//!   a `urn:oid` or a condition in a Reference is refused if nothing is known for it.
//! * Elements are told by their names, from R4's definitions: text that merely looks like a full URL, as
//!   `Identifier.value`, stays. So does what has type canonical, as R4 says.
//! * The name of a definition stays where R4 has it as a uri too: its own `url`, that of an extension, an item's
//!   `definition`, and the `fixedUri` and `patternUri` that such a name must equal. It is what everybody knows the
//!   definition by, and often its full URL too.
//! * The resources inside a Bundle that is stored as one (a document) refer to each other; it stays whole.
//!
//! Contained resources are rewritten like the others; `#fragment` references to them stay. What is inside
//! markdown stays.

use alloc::{
    borrow::{Cow, ToOwned},
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::ops::Range;

use thiserror::Error;

use super::{Entry, FULL_URL_CHARS_MAX, is_absolute, server_of};
use crate::{
    bundle::{BundleError, normal},
    interaction::{Id, Query, ResourceType},
    outcome::{IssueType, Outcome, Status},
    search::text::code,
    splice::{Edited, Outline, Place, quoted, strings, text_of},
    tree::Tree,
};

/// Different conditions in the references of one resource; each costs a search.
pub const CONDITIONS_MAX: usize = 1_000;
/// A resource with its new references has at most so many times its bytes, and [`GROWTH_BYTES_MAX`].
pub const GROWTH_TIMES_MAX: usize = 4;
/// Bytes that any resource may grow by.
pub const GROWTH_BYTES_MAX: usize = 16_384;

/// R4's elements of type uri, url, oid or uuid, without those whose names begin with a polymorphic
/// element's (see [`POLYMORPHIC`]). Some names are those of strings too, none of which is meant for the
/// URL of a resource; for those of canonicals see [`is_canonical`]. Left out are `code`, `property` and `type`, which
/// name what no entry of a Bundle is, and `definition`, which names a definition.
const URI_ELEMENTS: [&str; 27] = [
    "address",
    "authority",
    "authorizationUrl",
    "contentReference",
    "definitionUri",
    "derivedFromUri",
    "detail",
    "endpoint",
    "fullUrl",
    "identifier",
    "implicitRules",
    "instantiates",
    "instantiatesUri",
    "issuer",
    "jurisdiction",
    "link",
    "location",
    "onlineInformation",
    "policy",
    "protocol",
    "relativePath",
    "rendering",
    "source",
    "system",
    "target",
    "uri",
    "url",
];

/// Elements that have their type in their name.
const POLYMORPHIC: [&str; 8] =
    ["value", "defaultValue", "event", "module", "name", "source", "target", "definition"];

/// What a full URL stands for once its entry is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolved {
    /// The resource's type.
    pub resource_type: ResourceType,
    /// Its id.
    pub id: Id,
    /// Its version, if it is known before the commit.
    pub version: Option<u64>,
}

/// A condition that stands for a reference: `Patient?identifier=urn:mrn|7`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Condition {
    /// The type that is searched.
    pub resource_type: ResourceType,
    /// By what.
    pub query: Query,
}

/// Why a resource's references cannot be rewritten. All are the sender's.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LinkError {
    /// The resource cannot be read.
    #[error(transparent)]
    Input(#[from] BundleError),
    /// A reference to something in the Bundle that is not there.
    #[error("{path} refers to an entry that the Bundle does not have; add it or mend its fullUrl")]
    NotInBundle {
        /// Where the reference stands.
        path: String,
    },
    /// A condition that was not resolved, or that no search can be.
    #[error("{path} is a condition for which no resource is known; it must match exactly one")]
    NotResolved {
        /// Where the reference stands.
        path: String,
    },
    /// A reference to a version that is not known before the commit.
    #[error("{path} refers to a version that does not exist yet; refer to the resource instead")]
    VersionNotKnown {
        /// Where the reference stands.
        path: String,
    },
    /// More conditions than are looked up.
    #[error(
        "more than {CONDITIONS_MAX} conditional references in one resource; refer by id instead"
    )]
    TooManyConditions,
    /// The resource would become too large.
    #[error("with its new references the resource has {bytes} bytes, and {bytes_max} are the most")]
    TooLarge {
        /// Bytes it would have.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
}

impl From<LinkError> for Outcome {
    fn from(error: LinkError) -> Self {
        use LinkError as E;
        let (code, status, path) = match &error {
            E::Input(error) => return Self::from(error.clone()),
            E::NotInBundle { path } => (IssueType::NotFound, Status::BAD_REQUEST, path.as_str()),
            E::NotResolved { path } => {
                (IssueType::MultipleMatches, Status::PRECONDITION_FAILED, path.as_str())
            }
            E::VersionNotKnown { path } => {
                (IssueType::NotSupported, Status::BAD_REQUEST, path.as_str())
            }
            E::TooManyConditions => (IssueType::TooCostly, Status::BAD_REQUEST, ""),
            E::TooLarge { .. } => (IssueType::TooLong, Status::CONTENT_TOO_LARGE, ""),
        };
        Self::error(code, &error.to_string()).at(path).with_status(status)
    }
}

/// The conditions in the references of `json`, a resource, each once, by the text of the reference: what
/// must be resolved before [`Links::rewrite`]. A URL with a condition is taken for one below `base`, the
/// server's public address without a slash at its end, and refused if it is another's.
pub fn conditions(
    json: &str,
    base: Option<&str>,
) -> Result<BTreeMap<String, Condition>, LinkError> {
    let resource = Outline::read(json)?;
    let mut found = BTreeMap::new();
    if resource.resource_type == "Bundle" {
        return Ok(found);
    }
    strings(json, |place, range| {
        if Role::of(&resource.resource_type, place) != Role::Reference {
            return Ok(());
        }
        let text = text_of(&json[range]);
        let Some((server, of, query)) = conditional(&text) else { return Ok(()) };
        let path = || path(&resource.resource_type, place);
        if server.is_some() && server != base {
            return Err(LinkError::NotResolved { path: path() });
        }
        if found.contains_key(text.as_ref()) {
            return Ok(());
        }
        if found.len() == CONDITIONS_MAX {
            return Err(LinkError::TooManyConditions);
        }
        let query = Query::parse(query).ok().filter(Query::is_condition);
        let query = query.ok_or_else(|| LinkError::NotResolved { path: path() })?;
        found.insert(text.into_owned(), Condition { resource_type: of, query });
        Ok(())
    })?;
    Ok(found)
}

/// The identifiers of what a Bundle sends. Conditions are resolved after everything else was carried out
/// (R4, 3.1.0.11.2, step 5), so one may mean a resource that the same Bundle makes. Values are compared without case,
/// as a search does: what it would find must not be passed over for what is stored.
#[derive(Clone, Debug, Default)]
pub struct Sent(BTreeMap<(ResourceType, String, String), BTreeSet<usize>>);

impl Sent {
    /// Reads the identifiers of the resources that `entries` store.
    pub fn of(entries: &[Entry<'_>]) -> Self {
        let mut sent = Self::default();
        for entry in entries {
            let Some(body) = entry.action.body() else { continue };
            let resource: Option<Tree> = serde_json::from_str(body.json).ok();
            let identifiers = resource.as_ref().map_or(&[][..], |it| it.items_of("identifier"));
            for identifier in identifiers {
                let Some(value) = identifier.text_of("value") else { continue };
                let system = identifier.text_of("system").unwrap_or_default();
                let name = (body.resource_type, system.to_owned(), code(value));
                sent.0.entry(name).or_default().insert(entry.index);
            }
        }
        sent
    }

    /// The places of the entries that `condition` finds, if it asks for one identifier: more than one means
    /// that it is ambiguous, before anything stored is looked at.
    pub fn matching(&self, condition: &Condition) -> impl Iterator<Item = usize> {
        let identifier = condition.query.identifier();
        let found = identifier.and_then(|(system, value)| {
            self.0.get(&(condition.resource_type, system, code(&value)))
        });
        found.into_iter().flatten().copied()
    }
}

/// Server, if it names one, type and query of a conditional reference.
fn conditional(reference: &str) -> Option<(Option<&str>, ResourceType, &str)> {
    let (of, query) = reference.split_once('?')?;
    let (server, of) = match of.rsplit_once('/') {
        Some((server, of)) => (Some(server), of),
        None => (None, of),
    };
    Some((server, of.parse().ok()?, query)).filter(|_| !query.is_empty())
}

/// What the references of a Bundle stand for.
#[derive(Clone, Debug, Default)]
pub struct Links {
    full_urls: BTreeMap<String, Resolved>,
    conditions: BTreeMap<String, (ResourceType, Id)>,
}

impl Links {
    /// Says what the entry named `full_url` is stored as.
    pub fn name(&mut self, full_url: &str, resolved: Resolved) {
        self.full_urls.insert(normal(full_url).into_owned(), resolved);
    }

    /// Says what a conditional reference, by its text as [`conditions`] gives it, was found to be.
    pub fn resolve(&mut self, reference: &str, resource_type: ResourceType, id: Id) {
        self.conditions.insert(reference.to_owned(), (resource_type, id));
    }

    /// `json`, the resource of the entry named `full_url`, with its references as they will be sealed.
    pub fn rewrite(&self, json: &str, full_url: Option<&str>) -> Result<Edited, LinkError> {
        let resource = Outline::read(json)?;
        let mut changes = Changes::of(json);
        if resource.resource_type != "Bundle" {
            let server = full_url.and_then(server_of);
            strings(json, |place, range| {
                let literal =
                    Literal { json, range, resource_type: &resource.resource_type, place };
                self.change(&literal, server.as_deref(), &mut changes)
            })?;
        }
        Ok(Edited::apply(json, changes.list))
    }

    fn change(
        &self,
        literal: &Literal<'_>,
        server: Option<&str>,
        changes: &mut Changes,
    ) -> Result<(), LinkError> {
        let raw = &literal.json[literal.range.clone()];
        let new = match Role::of(literal.resource_type, literal.place) {
            Role::Reference => self.reference(&text_of(raw), server, literal)?,
            // A link of another kind may name anything, so nothing is missing if it is unknown.
            Role::Link => self.find(&text_of(raw), None, literal)?,
            Role::Narrative => return self.narrative(literal, changes),
            Role::Other => None,
        };
        new.map_or(Ok(()), |new| changes.push(literal.range.clone(), quoted(&new)))
    }

    fn reference(
        &self,
        text: &str,
        server: Option<&str>,
        literal: &Literal<'_>,
    ) -> Result<Option<String>, LinkError> {
        if conditional(text).is_some() {
            let found = self.conditions.get(text);
            let (of, id) = found.ok_or_else(|| LinkError::NotResolved { path: literal.path() })?;
            return Ok(Some(format!("{of}/{id}")));
        }
        if let Some(found) = self.find(text, server, literal)? {
            return Ok(Some(found));
        }
        let scheme = text.get(..8).unwrap_or_default();
        if scheme.eq_ignore_ascii_case("urn:uuid") || scheme.eq_ignore_ascii_case("urn:oid:") {
            return Err(LinkError::NotInBundle { path: literal.path() });
        }
        Ok(None)
    }

    /// What `text` becomes, if it names an entry: absolute, or relative to `server`.
    fn find(
        &self,
        text: &str,
        server: Option<&str>,
        literal: &Literal<'_>,
    ) -> Result<Option<String>, LinkError> {
        if text.len() > FULL_URL_CHARS_MAX {
            return Ok(None);
        }
        let (url, fragment) = text.find('#').map_or((text, ""), |at| text.split_at(at));
        let (url, is_version) =
            url.split_once("/_history/").map_or((url, false), |(resource, _)| (resource, true));
        let name = match server {
            Some(server) if !is_absolute(url) => Cow::Owned(format!("{server}/{url}")),
            Some(_) | None => normal(url),
        };
        let Some(found) = self.full_urls.get(name.as_ref()) else { return Ok(None) };
        let Resolved { resource_type, id, version } = found;
        let history = match (is_version, version) {
            (false, _) => String::new(),
            (true, Some(version)) => format!("/_history/{version}"),
            (true, None) => return Err(LinkError::VersionNotKnown { path: literal.path() }),
        };
        Ok(Some(format!("{resource_type}/{id}{history}{fragment}")))
    }

    /// Changes the links in an XHTML literal.
    fn narrative(&self, literal: &Literal<'_>, changes: &mut Changes) -> Result<(), LinkError> {
        let raw = &literal.json[literal.range.clone()];
        for range in attributes(raw) {
            // Inside quotes it is a literal again, so that escapes are read as everywhere.
            let text = format!("\"{}\"", &raw[range.clone()]);
            if let Some(new) = self.find(&text_of(&text), None, literal)? {
                let new = quoted(&new);
                let range = literal.range.start + range.start..literal.range.start + range.end;
                changes.push(range, new[1..new.len() - 1].to_owned())?;
            }
        }
        Ok(())
    }
}

/// What changes in a resource, and how large it becomes by that.
struct Changes {
    list: Vec<(Range<usize>, String)>,
    bytes: usize,
    bytes_max: usize,
}

impl Changes {
    fn of(json: &str) -> Self {
        let bytes = json.len();
        let bytes_max = bytes.saturating_mul(GROWTH_TIMES_MAX).saturating_add(GROWTH_BYTES_MAX);
        Self { list: Vec::new(), bytes, bytes_max }
    }

    /// Refuses as soon as it is too much, so that memory is never more than a small multiple either.
    fn push(&mut self, range: Range<usize>, new: String) -> Result<(), LinkError> {
        self.bytes = self.bytes - range.len() + new.len();
        if self.bytes > self.bytes_max {
            return Err(LinkError::TooLarge { bytes: self.bytes, bytes_max: self.bytes_max });
        }
        self.list.push((range, new));
        Ok(())
    }
}

/// A string in a resource.
struct Literal<'a> {
    json: &'a str,
    range: Range<usize>,
    resource_type: &'a str,
    place: &'a Place<'a>,
}

impl Literal<'_> {
    fn path(&self) -> String {
        path(self.resource_type, self.place)
    }
}

fn path(resource_type: &str, place: &Place<'_>) -> String {
    format!("{resource_type}.{}", place.path())
}

/// What a string is for, by the keys around it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    /// `Reference.reference`.
    Reference,
    /// An element of type uri, url, oid or uuid.
    Link,
    /// `Narrative.div`.
    Narrative,
    /// Anything else.
    Other,
}

impl Role {
    /// Of the string at `place` in a resource of this type.
    fn of(resource_type: &str, place: &Place<'_>) -> Self {
        let mut keys = place.keys();
        match keys.next().unwrap_or_default() {
            // Two elements of this name are of type uri: DetectedIssue's own, contained or not, and one of
            // Immunization.
            "reference" => match keys.next() {
                None | Some("contained" | "education") => Self::Link,
                Some(_) => Self::Reference,
            },
            "div" => Self::Narrative,
            // What a definition is called, by itself and by extensions: it is called so wherever it is stored, and what
            // refers to it by this name, of type canonical, stays too.
            "url" if is_definition(place.keys().nth(1)) => Self::Other,
            key if is_canonical(resource_type, key, keys.next()) => Self::Other,
            // Identifier.system and Coding.system name systems; an entry could be a NamingSystem or CodeSystem.
            key if URI_ELEMENTS.contains(&key) || is_polymorphic(key) => Self::Link,
            _ => Self::Other,
        }
    }
}

/// Whether a `url` below the element `outer` names a definition: a resource's own, or that of an extension.
fn is_definition(outer: Option<&str>) -> bool {
    matches!(outer, None | Some("contained" | "extension" | "modifierExtension"))
}

/// Whether an element below `outer` is of type canonical, though others of its name are of type uri.
fn is_canonical(resource_type: &str, key: &str, outer: Option<&str>) -> bool {
    match (key, outer) {
        ("instantiates", None) => resource_type == "CapabilityStatement",
        ("source", Some("constraint"))
        | ("system", Some("dependsOn" | "product"))
        | ("uri", Some("dependsOn" | "codeSystem"))
        | ("url", Some("unmapped" | "structure")) => true,
        _ => false,
    }
}

fn is_polymorphic(key: &str) -> bool {
    let types = ["Uri", "Url", "Oid", "Uuid"];
    let stem = types.iter().find_map(|name| key.strip_suffix(name));
    stem.is_some_and(|stem| POLYMORPHIC.contains(&stem))
}

/// The ranges of the values of `href` and `src` in a literal that holds XHTML, in its own order. Escapes of
/// JSON count as what they stand for; the ranges are of the raw literal.
fn attributes(raw: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut name = String::new();
    let mut state = State::Text;
    for (range, c) in characters(raw) {
        state = match (state, c) {
            (State::Text, '<') => State::Tag,
            (State::Text, _) => State::Text,
            (State::Tag | State::Named | State::Value, '>') => {
                name.clear();
                State::Text
            }
            (State::Tag | State::Named, '=') => State::Value,
            (State::Tag | State::Named, c) if c.is_whitespace() => State::Named,
            (state @ (State::Tag | State::Named), c) => {
                // White space ends a name, unless an equals sign follows it.
                if matches!(state, State::Named) {
                    name.clear();
                }
                push_short(&mut name, c);
                State::Tag
            }
            (State::Value, '"' | '\'') => State::Quoted(c, range.end),
            (State::Value, c) if c.is_whitespace() => State::Value,
            (State::Value, _) => {
                name.clear();
                State::Tag
            }
            (State::Quoted(quote, start), c) if c == quote => {
                if name == "href" || name == "src" {
                    found.push(start..range.start);
                }
                name.clear();
                State::Tag
            }
            (State::Quoted(..), _) => state,
        };
    }
    found
}

/// Where a reader of XHTML is.
#[derive(Clone, Copy, Debug)]
enum State {
    Text,
    /// Inside a tag, where names of attributes stand.
    Tag,
    /// Behind white space in a tag.
    Named,
    /// Behind an equals sign.
    Value,
    /// Inside a value: its quote, and where it begins.
    Quoted(char, usize),
}

/// No name that matters is longer.
fn push_short(name: &mut String, c: char) {
    const NAME_BYTES_MAX: usize = 8;
    if name.len() < NAME_BYTES_MAX {
        name.push(c);
    }
}

/// The characters that a literal stands for, each with its range in the literal. One that takes two
/// escapes is two replacement characters: no link has one.
fn characters(raw: &str) -> impl Iterator<Item = (Range<usize>, char)> {
    let inner = 1..raw.len().saturating_sub(1);
    let mut at = inner.start;
    core::iter::from_fn(move || {
        let rest = raw.get(at..inner.end)?;
        let c = rest.chars().next()?;
        let (length, c) = match rest.as_bytes() {
            [b'\\', b'u', ..] => {
                let code = rest.get(2..6).and_then(|hex| u32::from_str_radix(hex, 16).ok());
                (6, code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            [b'\\', b'n' | b'r' | b't' | b'b' | b'f', ..] => (2, ' '),
            [b'\\', escaped, ..] => (2, char::from(*escaped)),
            _ => (c.len_utf8(), c),
        };
        let range = at..at + length;
        at += length;
        Some((range, c))
    })
}

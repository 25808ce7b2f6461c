//! A Bundle that asks for several things at once: batch or transaction (R4, 3.1.0.11).
//!
//! ```text
//! json -- parse --> Submission -- Batch: each entry for itself, right or wrong
//!                        \------- Transaction: all entries right, or the first that is not
//!                                      | order()            DELETE, POST, PUT and PATCH, GET
//!                                      | links::conditions  what must be found first, here (links::Sent)
//!                                      |                    or among what is stored
//!                                      | check_resolved     no two entries change one resource
//!                                      v links::Links       references as they will be sealed
//! ```
//!
//! # Invariants
//!
//! * [`Body::json`] is a slice of the input, and has each key once at every depth.
//! * A full URL stands once, names no version and does not contradict the resource's type or id.
//! * In a transaction no two entries change one resource, as far as their URLs tell; what conditions
//!   resolve to is checked by [`Transaction::check_resolved`].
//! * A condition stands only where it has a meaning. One that would be passed over is refused.
//!
//! Not here: resolving conditions, authorization, and the commit, which takes a transaction whole.
//! FHIRPath patches (a Parameters resource), nested batches and `$export` are refused. Entries of a batch are
//! independent, so nothing of one is named to another: with empty [`links::Links`], a reference from one to
//! another is an error.

use alloc::{
    borrow::ToOwned,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    bundle::{BundleError, Source, normal},
    header::{HeaderError, TagList, parse_instant},
    interaction::{
        Id, Interaction, InteractionError, Method, Operation, Query, ResourceType, Target,
    },
    outcome::{IssueType, Outcome, Status},
    patch::{Patch, PatchError},
    summary::printable,
    tree::Tree,
};

pub mod links;

/// Characters of a full URL.
pub const FULL_URL_CHARS_MAX: usize = 1_024;
/// The media type of a JSON Patch.
pub const JSON_PATCH: &str = "application/json-patch+json";
const TYPE_CHARS_MAX: usize = 64;

/// What a caller allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// Bytes of the input.
    pub bytes_max: usize,
    /// Entries of the Bundle.
    pub entries_max: usize,
    /// The server's public base without a slash at its end: an absolute `request.url` below it is taken
    /// as a relative one.
    pub base: Option<&'a str>,
}

/// What a Bundle asks for.
#[derive(Debug)]
pub enum Submission<'a> {
    /// Each entry succeeds or fails by itself.
    Batch(Vec<Result<Entry<'a>, EntryError>>),
    /// All of it, or nothing.
    Transaction(Transaction<'a>),
}

/// A transaction whose entries are each valid, and do not contradict each other.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// The entries, in the order of the input.
    pub entries: Vec<Entry<'a>>,
}

/// One entry.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its place among the entries.
    pub index: usize,
    /// The URL that names its resource inside the Bundle.
    pub full_url: Option<String>,
    /// What it asks for.
    pub action: Action<'a>,
}

/// What an entry asks for.
#[derive(Debug)]
pub enum Action<'a> {
    /// An end.
    Delete {
        /// Of what.
        target: Target,
        /// Only if this is its version.
        if_match: Option<TagList>,
    },
    /// A new resource. The id that it has is not kept (R4, "create").
    Create {
        /// The resource.
        body: Body<'a>,
        /// Only if this search finds nothing.
        if_none_exist: Option<Query>,
    },
    /// An operation, which changes nothing.
    Invoke {
        /// Which, and on what.
        interaction: Interaction,
        /// What it is given.
        body: Option<Body<'a>>,
    },
    /// A new version.
    Update {
        /// Of what.
        target: Target,
        /// The resource. Its id, if it has one, must be that of what a condition finds.
        body: Body<'a>,
        /// Only if this is its version.
        if_match: Option<TagList>,
        /// Only if this is not its version; with `*`, only if it does not exist.
        if_none_match: Option<TagList>,
    },
    /// A new version from the newest one.
    Patch {
        /// Of what.
        target: Target,
        /// The changes.
        patch: Patch,
        /// Only if this is its version.
        if_match: Option<TagList>,
    },
    /// A read, search or history.
    Read {
        /// Of what.
        interaction: Interaction,
        /// Only if this is not its version.
        if_none_match: Option<TagList>,
        /// Only if it changed after this, in milliseconds since 1970.
        if_modified_since_ms: Option<u64>,
    },
}

impl Action<'_> {
    /// When it is carried out among the others (R4, 3.1.0.11.2): DELETE, POST, PUT and PATCH, GET.
    pub const fn phase(&self) -> u8 {
        match self {
            Self::Delete { .. } => 0,
            Self::Create { .. } | Self::Invoke { .. } => 1,
            Self::Update { .. } | Self::Patch { .. } => 2,
            Self::Read { .. } => 3,
        }
    }

    /// The resource that it sends, if it is to be stored.
    pub const fn body(&self) -> Option<&Body<'_>> {
        match self {
            Self::Create { body, .. } | Self::Update { body, .. } => Some(body),
            Self::Delete { .. } | Self::Invoke { .. } | Self::Patch { .. } | Self::Read { .. } => {
                None
            }
        }
    }

    /// What tells it from others that change the same resource.
    fn identity(&self) -> Option<String> {
        match self {
            Self::Delete { target, .. }
            | Self::Update { target, .. }
            | Self::Patch { target, .. } => Some(match target {
                Target::Instance(of, id) => format!("{of}/{id}"),
                Target::Matching(of, query) => condition(*of, query),
            }),
            Self::Create { body, if_none_exist } => {
                if_none_exist.as_ref().map(|query| condition(body.resource_type, query))
            }
            Self::Invoke { .. } | Self::Read { .. } => None,
        }
    }
}

/// A condition in one form, whatever its order and encoding.
fn condition(of: ResourceType, query: &Query) -> String {
    let mut parameters: Vec<_> = query.parameters().collect();
    parameters.sort();
    format!("{of}?{parameters:?}")
}

/// A resource that was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Body<'a> {
    /// Its exact bytes.
    pub json: &'a str,
    /// Its type.
    pub resource_type: ResourceType,
    /// Its id as it was sent. Nothing is known of it yet.
    pub id: Option<String>,
}

/// Why a Bundle is refused. All are the sender's.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TransactionError {
    /// It cannot be read.
    #[error(transparent)]
    Input(#[from] BundleError),
    /// It is no Bundle.
    #[error("a {0:?} was sent where a Bundle belongs; send it to the URL of its type")]
    NotABundle(String),
    /// It is a Bundle of another type.
    #[error(
        "Bundle.type is {0:?}; only batch and transaction ask for something, so write one of them"
    )]
    OtherType(String),
    /// It has more entries than the caller allows.
    #[error("{entries} entries are more than {entries_max}; send several Bundles")]
    TooManyEntries {
        /// Entries of the Bundle.
        entries: usize,
        /// Entries allowed.
        entries_max: usize,
    },
    /// An entry of a transaction is wrong, so all of it is.
    #[error("entry {index}: {error}")]
    Entry {
        /// The entry.
        index: usize,
        /// What is wrong with it.
        error: EntryError,
    },
    /// Two entries have one full URL.
    #[error("entries {first} and {second} have one fullUrl; give each its own urn:uuid")]
    DuplicateFullUrl {
        /// The first entry.
        first: usize,
        /// The second.
        second: usize,
    },
    /// Two entries change one resource.
    #[error("entries {first} and {second} change one resource; send them in two transactions")]
    Overlap {
        /// The first entry.
        first: usize,
        /// The second.
        second: usize,
    },
}

/// Why an entry is refused. All are the sender's.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum EntryError {
    /// It has the wrong shape.
    #[error(transparent)]
    Input(#[from] BundleError),
    /// An element is not there.
    #[error("{0} is missing; this entry needs it")]
    Missing(&'static str),
    /// An element is there that has no meaning here, and would be passed over.
    #[error("{element} has no meaning for {method}; leave it out")]
    OutOfPlace {
        /// The element.
        element: &'static str,
        /// The method of the entry.
        method: Method,
    },
    /// The method and URL are no interaction.
    #[error("request: {0}")]
    Interaction(#[from] InteractionError),
    /// A condition cannot be read.
    #[error("request: {0}")]
    Header(#[from] HeaderError),
    /// The URL is another server's.
    #[error("request.url is absolute and not below this server's base; write Type/id")]
    ForeignUrl,
    /// A full URL that names nothing, or a version.
    #[error("fullUrl is no absolute URL of a resource; use urn:uuid: and a new UUID")]
    BadFullUrl,
    /// The full URL and the resource say different things.
    #[error("fullUrl contradicts the {0} of the resource or request; make them equal")]
    FullUrlMismatch(&'static str),
    /// The resource has a type that R4 has not.
    #[error("R4 has no resource type {0:?}; types are written as in Patient")]
    UnknownType(String),
    /// The resource is of another type than the URL.
    #[error("a {found} was sent to the URL of {expected}; send it to the URL of its own type")]
    TypeMismatch {
        /// The type in the URL.
        expected: ResourceType,
        /// The type of the resource.
        found: ResourceType,
    },
    /// The resource has another id than the URL.
    #[error("resource.id is not the id in request.url; an update has it in both")]
    IdMismatch,
    /// What is asked for cannot be a part of a Bundle.
    #[error("this interaction cannot be an entry of a Bundle; send it by itself")]
    NotInABundle,
    /// A patch that is not a JSON Patch.
    #[error("a patch is a Binary with contentType {JSON_PATCH} and base64 data")]
    NotAJsonPatch,
    /// A JSON Patch that cannot be read.
    #[error(transparent)]
    Patch(#[from] PatchError),
}

impl From<TransactionError> for Outcome {
    fn from(error: TransactionError) -> Self {
        use TransactionError as E;
        let code = match &error {
            E::Input(error) => return Self::from(error.clone()),
            E::Entry { index, error } => {
                let outcome = Self::from(error.clone());
                // The Bundle's own method and URL are right.
                let outcome = if matches!(error, EntryError::Interaction(_)) {
                    outcome.with_status(Status::BAD_REQUEST)
                } else {
                    outcome
                };
                return outcome.at(&format!("Bundle.entry[{index}]"));
            }
            E::NotABundle(_) | E::OtherType(_) => IssueType::Value,
            E::TooManyEntries { .. } => IssueType::TooLong,
            E::DuplicateFullUrl { .. } | E::Overlap { .. } => IssueType::Invalid,
        };
        Self::error(code, &error.to_string())
    }
}

impl From<EntryError> for Outcome {
    fn from(error: EntryError) -> Self {
        use EntryError as E;
        let code = match error {
            E::Input(error) => return error.into(),
            E::Interaction(error) => return error.into(),
            E::Header(error) => return error.into(),
            E::Patch(error) => return error.into(),
            E::Missing(_) => IssueType::Required,
            E::NotInABundle | E::NotAJsonPatch => IssueType::NotSupported,
            E::OutOfPlace { .. } | E::ForeignUrl | E::BadFullUrl => IssueType::Value,
            E::UnknownType(_) => IssueType::Invalid,
            E::FullUrlMismatch(_) | E::TypeMismatch { .. } | E::IdMismatch => IssueType::Invalid,
        };
        Self::error(code, &error.to_string())
    }
}

impl From<BundleError> for Outcome {
    fn from(error: BundleError) -> Self {
        use BundleError as E;
        let code = match &error {
            E::TooLarge { .. } => IssueType::TooLong,
            E::NotUtf8 { .. } | E::NotJson { .. } | E::TooDeep { .. } | E::AmbiguousKey { .. } => {
                IssueType::Structure
            }
            E::NotAResource { .. } | E::WrongType { .. } | E::NoPatient => IssueType::Invalid,
            E::DuplicateId { first, second, .. } | E::DuplicateFullUrl { first, second, .. } => {
                let text =
                    format!("what begins at byte {second} has the name of what begins at {first}");
                return Self::error(IssueType::Invalid, &text);
            }
        };
        Self::error(code, &error.to_string())
    }
}

/// Reads a Bundle of type batch or transaction.
pub fn parse<'a>(json: &'a [u8], limits: &Limits<'_>) -> Result<Submission<'a>, TransactionError> {
    let source = Source::check(json, limits.bytes_max)?;
    let whole: &RawValue = source.parse(source.text)?;
    let whole = whole.get();
    if !whole.starts_with('{') {
        return Err(BundleError::NotAResource { at: source.at(whole) }.into());
    }
    let top = source.fields(whole)?;
    let resource_type = source.resource_type(whole, &top)?;
    if resource_type != "Bundle" {
        return Err(TransactionError::NotABundle(resource_type));
    }
    let bundle_type = source.text_field(whole, &top, "type")?.unwrap_or_default();
    let is_transaction = match bundle_type.as_str() {
        "batch" => false,
        "transaction" => true,
        _ => return Err(TransactionError::OtherType(printable(&bundle_type, TYPE_CHARS_MAX))),
    };
    let entries = top.raw("entry").map_or(Ok(Vec::new()), |entries| source.list(entries))?;
    if entries.len() > limits.entries_max {
        let (entries, entries_max) = (entries.len(), limits.entries_max);
        return Err(TransactionError::TooManyEntries { entries, entries_max });
    }
    let entries = entries.iter().enumerate();
    let entries = entries.map(|(index, entry)| read_entry(&source, index, entry.get(), limits));
    if is_transaction {
        Transaction::of(entries).map(Submission::Transaction)
    } else {
        batch(entries)
    }
}

fn batch<'a>(
    entries: impl Iterator<Item = Result<Entry<'a>, EntryError>>,
) -> Result<Submission<'a>, TransactionError> {
    let entries: Vec<_> = entries.collect();
    each_full_url_once(entries.iter().flatten())?;
    Ok(Submission::Batch(entries))
}

/// Places of entries in the order in which they are carried out: by method, then as they stand.
fn by_phase<'e, 'a: 'e>(entries: impl Iterator<Item = &'e Entry<'a>>) -> Vec<usize> {
    let mut order: Vec<_> = entries.map(|entry| (entry.action.phase(), entry.index)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index).collect()
}

impl Submission<'_> {
    /// The places of the entries that are right, in the order in which they are carried out.
    pub fn order(&self) -> Vec<usize> {
        match self {
            Self::Batch(entries) => by_phase(entries.iter().flatten()),
            Self::Transaction(transaction) => transaction.order(),
        }
    }
}

impl<'a> Transaction<'a> {
    fn of(
        entries: impl Iterator<Item = Result<Entry<'a>, EntryError>>,
    ) -> Result<Self, TransactionError> {
        let entries = entries
            .enumerate()
            .map(|(index, entry)| entry.map_err(|error| TransactionError::Entry { index, error }));
        let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        each_full_url_once(entries.iter())?;
        let named =
            entries.iter().filter_map(|entry| Some((entry.action.identity()?, entry.index)));
        each_once(named, |first, second| TransactionError::Overlap { first, second })?;
        Ok(Self { entries })
    }

    /// The places of the entries, in the order in which they are carried out.
    pub fn order(&self) -> Vec<usize> {
        by_phase(self.entries.iter())
    }

    /// Refuses a transaction of which two entries change one resource, now that conditions are resolved
    /// (R4, 3.1.0.11.2: "if any resource identities overlap"). `changed` has for each entry the resource
    /// that it will change; nothing for one that changes none, such as a conditional create that found
    /// what it would have made.
    pub fn check_resolved(
        &self,
        changed: &[Option<(ResourceType, Id)>],
    ) -> Result<(), TransactionError> {
        let named = changed.iter().enumerate();
        let named = named.filter_map(|(index, identity)| Some((identity.as_ref()?, index)));
        each_once(named, |first, second| TransactionError::Overlap { first, second })
    }
}

fn each_full_url_once<'e, 'a: 'e>(
    entries: impl Iterator<Item = &'e Entry<'a>>,
) -> Result<(), TransactionError> {
    let named = entries.filter_map(|entry| {
        let full_url = entry.full_url.as_deref()?;
        Some((normal(full_url), entry.index))
    });
    each_once(named, |first, second| TransactionError::DuplicateFullUrl { first, second })
}

fn each_once<K: Ord>(
    named: impl Iterator<Item = (K, usize)>,
    fault: impl Fn(usize, usize) -> TransactionError,
) -> Result<(), TransactionError> {
    let mut seen = BTreeMap::new();
    for (name, index) in named {
        if let Some(first) = seen.insert(name, index) {
            return Err(fault(first, index));
        }
    }
    Ok(())
}

fn read_entry<'a>(
    source: &Source<'a>,
    index: usize,
    entry: &'a str,
    limits: &Limits<'_>,
) -> Result<Entry<'a>, EntryError> {
    // Each key once, at every depth; the rest reads only the outermost levels.
    let _: Tree = source.parse(entry)?;
    let fields = source.fields(entry)?;
    let full_url = source.text_field(entry, &fields, "fullUrl")?;
    let body = fields.raw("resource").map(|raw| Body::read(source, raw)).transpose()?;
    let request = fields.raw("request").ok_or(EntryError::Missing("request"))?;
    let (interaction, conditions) = Conditions::read(source, request, limits)?;
    let action = conditions.action(source, interaction, body)?;
    if let Some(full_url) = &full_url {
        check_full_url(full_url, &action)?;
    }
    Ok(Entry { index, full_url, action })
}

impl<'a> Body<'a> {
    /// Reads the body of a single request, of at most `bytes_max` bytes.
    pub fn parse(json: &'a [u8], bytes_max: usize) -> Result<Self, EntryError> {
        let source = Source::check(json, bytes_max)?;
        let whole: &RawValue = source.parse(source.text)?;
        let _: Tree = source.parse(whole.get())?;
        Self::read(&source, whole.get())
    }

    /// Refuses a resource of another type than the URL has.
    pub fn must_be(&self, expected: ResourceType) -> Result<(), EntryError> {
        let found = self.resource_type;
        if found == expected { Ok(()) } else { Err(EntryError::TypeMismatch { expected, found }) }
    }

    /// Refuses a resource without the id that the URL of its update has (R4, "update").
    pub fn must_have(&self, id: &Id) -> Result<(), EntryError> {
        match &self.id {
            None => Err(EntryError::Missing("resource.id")),
            Some(found) if found != id.as_str() => Err(EntryError::IdMismatch),
            Some(_) => Ok(()),
        }
    }

    fn read(source: &Source<'a>, json: &'a str) -> Result<Self, EntryError> {
        if !json.starts_with('{') {
            return Err(BundleError::NotAResource { at: source.at(json) }.into());
        }
        let fields = source.fields(json)?;
        let name = source.resource_type(json, &fields)?;
        let unknown = |_| EntryError::UnknownType(printable(&name, TYPE_CHARS_MAX));
        let resource_type = name.parse().map_err(unknown)?;
        Ok(Self { json, resource_type, id: source.text_field(json, &fields, "id")? })
    }
}

/// The conditions of a request, of which each that is not used is out of place.
struct Conditions {
    method: Method,
    if_match: Option<TagList>,
    if_none_match: Option<TagList>,
    if_modified_since_ms: Option<u64>,
    if_none_exist: Option<String>,
}

impl Conditions {
    fn read<'a>(
        source: &Source<'a>,
        request: &'a str,
        limits: &Limits<'_>,
    ) -> Result<(Interaction, Self), EntryError> {
        if !request.starts_with('{') {
            let at = source.at(request);
            return Err(BundleError::WrongType { at, element: "request" }.into());
        }
        let fields = source.fields(request)?;
        let text = |element| source.text_field(request, &fields, element);
        let method: Method =
            text("method")?.ok_or(EntryError::Missing("request.method"))?.parse()?;
        let url = text("url")?.ok_or(EntryError::Missing("request.url"))?;
        let tags = |element| match text(element)? {
            Some(tags) => Ok(Some(TagList::parse(element, &tags)?)),
            None => Ok::<_, EntryError>(None),
        };
        let since = text("ifModifiedSince")?;
        let since = since.map(|it| parse_instant("ifModifiedSince", &it)).transpose()?;
        let conditions = Self {
            method,
            if_match: tags("ifMatch")?,
            if_none_match: tags("ifNoneMatch")?,
            if_modified_since_ms: since,
            if_none_exist: text("ifNoneExist")?,
        };
        Ok((interaction(method, &url, limits)?, conditions))
    }

    fn action<'a>(
        mut self,
        source: &Source<'a>,
        interaction: Interaction,
        body: Option<Body<'a>>,
    ) -> Result<Action<'a>, EntryError> {
        let action = match interaction {
            Interaction::Delete(target) => {
                self.no_body(body.as_ref())?;
                Action::Delete { target, if_match: self.if_match.take() }
            }
            Interaction::Create(of, query) => self.create(of, &query, body)?,
            Interaction::Update(target) => self.update(target, body)?,
            Interaction::Patch(target) => {
                let body = body.ok_or(EntryError::Missing("resource"))?;
                let patch = Patch::parse(&patch_of(source, &body)?)?;
                Action::Patch { target, patch, if_match: self.if_match.take() }
            }
            Interaction::Bundle | Interaction::Operation(Operation::Export, ..) => {
                return Err(EntryError::NotInABundle);
            }
            Interaction::Operation(..) if self.method == Method::Post => {
                Action::Invoke { interaction, body }
            }
            Interaction::Capabilities
            | Interaction::Read(..)
            | Interaction::VersionRead(..)
            | Interaction::Search(..)
            | Interaction::History(..)
            | Interaction::Operation(..) => {
                self.no_body(body.as_ref())?;
                let if_none_match = self.if_none_match.take();
                let if_modified_since_ms = self.if_modified_since_ms.take();
                Action::Read { interaction, if_none_match, if_modified_since_ms }
            }
        };
        self.all_used()?;
        Ok(action)
    }

    fn create<'a>(
        &mut self,
        of: ResourceType,
        query: &Query,
        body: Option<Body<'a>>,
    ) -> Result<Action<'a>, EntryError> {
        let body = body.ok_or(EntryError::Missing("resource"))?;
        body.must_be(of)?;
        if !query.is_empty() {
            // It could be meant as a condition, which has an element of its own here.
            return Err(EntryError::OutOfPlace { element: "a query", method: self.method });
        }
        let condition = self.if_none_exist.take();
        let if_none_exist = condition.map(|text| Query::if_none_exist(of, &text)).transpose()?;
        Ok(Action::Create { body, if_none_exist })
    }

    fn update<'a>(
        &mut self,
        target: Target,
        body: Option<Body<'a>>,
    ) -> Result<Action<'a>, EntryError> {
        let body = body.ok_or(EntryError::Missing("resource"))?;
        body.must_be(target.resource_type())?;
        if let Target::Instance(_, id) = &target {
            body.must_have(id)?;
        }
        let (if_match, if_none_match) = (self.if_match.take(), self.if_none_match.take());
        Ok(Action::Update { target, body, if_match, if_none_match })
    }

    fn no_body(&self, body: Option<&Body<'_>>) -> Result<(), EntryError> {
        match body {
            None => Ok(()),
            Some(_) => Err(EntryError::OutOfPlace { element: "resource", method: self.method }),
        }
    }

    fn all_used(&self) -> Result<(), EntryError> {
        let left = [
            ("request.ifMatch", self.if_match.is_some()),
            ("request.ifNoneMatch", self.if_none_match.is_some()),
            ("request.ifModifiedSince", self.if_modified_since_ms.is_some()),
            ("request.ifNoneExist", self.if_none_exist.is_some()),
        ];
        match left.into_iter().find(|(_, is_left)| *is_left) {
            None => Ok(()),
            Some((element, _)) => Err(EntryError::OutOfPlace { element, method: self.method }),
        }
    }
}

fn interaction(method: Method, url: &str, limits: &Limits<'_>) -> Result<Interaction, EntryError> {
    let below = limits.base.and_then(|base| url.strip_prefix(base));
    let below = below.filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let url = below.unwrap_or(url);
    let (path, query) =
        url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    if path.contains(':') {
        return Err(EntryError::ForeignUrl);
    }
    Ok(Interaction::parse(method, path, query)?)
}

/// The bytes of the JSON Patch in a Binary.
fn patch_of<'a>(source: &Source<'a>, body: &Body<'a>) -> Result<Vec<u8>, EntryError> {
    let fields = source.fields(body.json)?;
    let text = |element| source.text_field(body.json, &fields, element);
    let is_binary = body.resource_type.as_str() == "Binary";
    if !is_binary || text("contentType")?.as_deref() != Some(JSON_PATCH) {
        return Err(EntryError::NotAJsonPatch);
    }
    let data = text("data")?.ok_or(EntryError::NotAJsonPatch)?;
    base64(&data).ok_or(EntryError::NotAJsonPatch)
}

/// Decodes base64 (RFC 4648, section 4), with its padding; white space, which R4 allows, is passed over.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|it| !it.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(digits).ok()
}

/// Refuses a full URL that is none, or that contradicts what it stands beside (R4, Bundle, "Resource URL").
fn check_full_url(full_url: &str, action: &Action<'_>) -> Result<(), EntryError> {
    let is_short = full_url.len() <= FULL_URL_CHARS_MAX;
    let is_plain = !full_url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#');
    if !is_short || !is_plain || !is_absolute(full_url) || full_url.contains("/_history/") {
        return Err(EntryError::BadFullUrl);
    }
    let Some((_, of, id)) = restful(full_url) else { return Ok(()) };
    let (target, body) = match action {
        Action::Create { body, .. } => (None, Some(body)),
        Action::Update { target, body, .. } => (Some(target), Some(body)),
        Action::Delete { target, .. } | Action::Patch { target, .. } => (Some(target), None),
        // It names nothing that the Bundle sends.
        Action::Invoke { .. } | Action::Read { .. } => return Ok(()),
    };
    let found = body.map(|body| body.resource_type).or(target.map(Target::resource_type));
    if found.is_some_and(|found| found != of) {
        return Err(EntryError::FullUrlMismatch("type"));
    }
    let of_target = match target {
        Some(Target::Instance(_, id)) => Some(id.as_str()),
        Some(Target::Matching(..)) | None => None,
    };
    let ids = [of_target, body.and_then(|body| body.id.as_deref())];
    if ids.into_iter().flatten().any(|other| other != id) {
        return Err(EntryError::FullUrlMismatch("id"));
    }
    Ok(())
}

/// Whether `url` begins with a scheme (RFC 3986, 3.1), and has something behind it.
pub(crate) fn is_absolute(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(is_scheme)
        && !rest.is_empty()
}

/// Server, type and id of a URL that a server's REST interface has.
pub(crate) fn restful(url: &str) -> Option<(&str, ResourceType, &str)> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return None;
    }
    let (rest, id) = url.rsplit_once('/')?;
    let (server, of) = rest.rsplit_once('/')?;
    let _: Id = id.parse().ok()?;
    Some((server, of.parse().ok()?, id))
}

/// The server that an entry's full URL stands on, below which its relative references are.
pub(crate) fn server_of(full_url: &str) -> Option<String> {
    restful(full_url).map(|(server, _, _)| server.to_owned())
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_read_strictly() {
        for (text, bytes) in
            [("", &b""[..]), ("W10=", b"[]"), ("W 1\n0=", b"[]"), ("+/+/", b"\xfb\xff\xbf")]
        {
            assert_eq!(base64(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["W10", "W11=", "W1==", "====", "W=0=", "W10-", "é10=", "A===", "="] {
            assert_eq!(base64(text), None, "{text}");
        }
    }
}

//! A Bundle, or a single resource, cut into resources with their exact bytes.
//!
//! ```text
//! json -- size -- UTF-8 -- depth -- Bundle? -- entry[i].resource --> Resource { json, type, id, labels }
//!                                      \------ the resource itself ----^            |
//!                                              owners, by reference inside the Bundle <
//! ```
//!
//! # Invariants
//!
//! * [`Resource::json`] is a slice of the input: nothing is re-written, so a digest of it is a digest
//!   of what was sent.
//! * Each (type, id) and each full URL stands once. A `history` Bundle, which repeats them, is refused.
//! * A resource has each key once, at every depth, so no two readers see different labels.
//! * A sensitivity that the Bundle is labelled with and none of its resources is, holds for each of
//!   them: a Bundle's label is a high-water mark, so something in it must reach it.
//! * Every error says where, as an offset into the input.
//! * A Bundle inside a Bundle, or one that is read as a [`whole`], is one resource: what stands in it labels it, and
//!   says whom it is about.
//!
//! Not here: what a resource means ([`crate::classify`](mod@crate::classify)), and rewriting references.

mod kept;

use alloc::{
    borrow::{Cow, ToOwned},
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec,
    vec::Vec,
};
use core::fmt;

use serde::Deserialize;
use serde_json::{error::Category, value::RawValue};
use thiserror::Error;

use crate::{
    classify::{CONFIDENTIALITY, Classification, SecurityLabel, Sensitivity, classify, kind_of},
    transaction::{is_absolute, restful},
    tree::{Fields, Tree, offset, too_deep},
};

/// How many objects and lists may stand inside each other.
pub const DEPTH_MAX: usize = 64;
/// Bytes of a reference, identifier or full URL by which a resource says whom it belongs to. Other resources may
/// come to share it, so a long one would make a small input large.
const REFERENCE_BYTES_MAX: usize = 1_024;
/// Characters of a resource type or id (FHIR's limit on ids).
const NAME_CHARS_MAX: usize = 64;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
pub(crate) const INLINE_LABEL: &str =
    "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label";

/// The elements that say whom a resource is about, over all R4 types.
pub(crate) const PATIENT_ELEMENTS: [&str; 8] =
    ["subject", "patient", "beneficiary", "for", "individual", "actor", "candidate", "deliverTo"];
/// The elements by which a resource belongs to whom another resource belongs to (Provenance, Binary).
const FOLLOWED_ELEMENTS: [&str; 2] = ["target", "securityContext"];

/// The resources of one import.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bundle<'a> {
    /// `Bundle.type`; nothing for a single resource.
    pub bundle_type: Option<String>,
    /// The resources, in the order of the input.
    pub resources: Vec<Resource<'a>>,
    /// What a person should look at; none of it stops an import.
    pub warnings: Vec<Warning>,
}

impl Bundle<'_> {
    /// The patients whom the resources belong to, each once.
    pub fn patients(&self) -> BTreeSet<&Owner> {
        let is_patient = |owner: &&Owner| matches!(owner, Owner::Here(_) | Owner::Elsewhere(_));
        self.resources.iter().map(|resource| &resource.owner).filter(is_patient).collect()
    }
}

/// One resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resource<'a> {
    /// Its exact bytes.
    pub json: &'a str,
    /// Where they begin in the input.
    pub at: usize,
    /// The URL that names it inside its Bundle.
    pub full_url: Option<String>,
    /// Its type: 1 to 64 ASCII letters.
    pub resource_type: String,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Whom it belongs to.
    pub owner: Owner,
    /// Its security labels, each once: its own, and those of what it contains or labels inline.
    pub labels: Vec<SecurityLabel>,
    /// The sensitivity that it has from its Bundle.
    pub inherited: Sensitivity,
}

impl Resource<'_> {
    /// The server that its full URL stands on, below which its relative references are.
    fn server(&self) -> Option<&str> {
        Some(restful(self.full_url.as_deref()?)?.0)
    }

    /// Its record kind and sensitivity.
    pub fn classify(&self) -> Classification {
        let own = classify(&self.resource_type, &self.labels);
        Classification { kind: own.kind, sensitivity: own.sensitivity.max(self.inherited) }
    }
}

/// Whom a resource belongs to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Owner {
    /// The Patient at this place among the Bundle's resources.
    Here(usize),
    /// A patient who is not in the Bundle: the reference, with the server that it is relative to if that is known, or
    /// `system|value`.
    Elsewhere(String),
    /// More than one patient: it must not go into one patient's chart unread.
    Several,
    /// No patient: an Organization, a Practitioner.
    Nobody,
}

/// Why an input is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum BundleError {
    /// The input is larger than the caller allows.
    #[error("{bytes} bytes are more than {bytes_max}; split the Bundle into smaller ones")]
    TooLarge {
        /// Bytes of the input.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },

    /// The input is not UTF-8.
    #[error("byte {at} is not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// The first byte that is not.
        at: usize,
    },

    /// The input is not JSON, or ends too early.
    #[error("not JSON at byte {at}; is the file complete, and FHIR in JSON rather than XML?")]
    NotJson {
        /// Where reading stopped.
        at: usize,
    },

    /// Objects and lists stand too deep inside each other.
    #[error("more than {depth_max} levels of nesting at byte {at}; no FHIR resource needs them")]
    TooDeep {
        /// The first bracket too deep.
        at: usize,
        /// Levels allowed.
        depth_max: usize,
    },

    /// A key stands twice in one object, or is one that JSON readers reserve for themselves.
    #[error("a key near byte {at} stands twice or is reserved; write each key once")]
    AmbiguousKey {
        /// Where reading stopped.
        at: usize,
    },

    /// What stands here is no resource: not an object, or without a `resourceType` of letters.
    #[error("no FHIR resource at byte {at}: it needs a resourceType")]
    NotAResource {
        /// Where it begins.
        at: usize,
    },

    /// An element that this crate reads has the wrong JSON type, or is a reference without end.
    #[error("{element} of what begins at byte {at} has the wrong JSON type or length")]
    WrongType {
        /// Where the resource or entry begins.
        at: usize,
        /// The element.
        element: &'static str,
    },

    /// Two resources have one type and id.
    #[error("{resource_type}/{id:?} stands at byte {first} and again at byte {second}")]
    DuplicateId {
        /// Their type.
        resource_type: String,
        /// Their id.
        id: String,
        /// Where the first begins.
        first: usize,
        /// Where the second begins.
        second: usize,
    },

    /// Two entries have one full URL.
    #[error("fullUrl {full_url:?} names what stands at byte {first} and again at byte {second}")]
    DuplicateFullUrl {
        /// Their full URL.
        full_url: String,
        /// Where the first resource begins.
        first: usize,
        /// Where the second begins.
        second: usize,
    },

    /// Nothing in the input belongs to a patient.
    #[error("nothing here belongs to a patient; a chart takes only what is about one")]
    NoPatient,
}

/// What does not stop an import, but a person should look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Warning {
    /// R4 has no such resource type; it is kept as record kind `other`.
    UnknownType {
        /// Where the resource begins.
        at: usize,
        /// Its type.
        resource_type: String,
    },
    /// An entry has no resource (a request to read or delete); it is left out.
    NoResource {
        /// Where the entry begins.
        at: usize,
    },
    /// FHIR does not allow such an id; it is kept.
    InvalidId {
        /// Where the resource begins.
        at: usize,
        /// Its id.
        id: String,
    },
    /// A reference to something inside the Bundle that is not there.
    DanglingReference {
        /// Where the resource begins.
        at: usize,
        /// The reference.
        reference: String,
    },
    /// The patient is described inside the resource and has no identity outside it.
    ContainedPatient {
        /// Where the resource begins.
        at: usize,
    },
    /// The resource is about more than one patient.
    SeveralPatients {
        /// Where the resource begins.
        at: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType { at, resource_type } => {
                write!(f, "byte {at}: R4 has no {resource_type}; kept as kind other")
            }
            Self::NoResource { at } => write!(f, "byte {at}: entry without a resource; left out"),
            Self::InvalidId { at, id } => write!(f, "byte {at}: {id:?} is no FHIR id"),
            Self::DanglingReference { at, reference } => {
                write!(f, "byte {at}: {reference:?} is not in the Bundle")
            }
            Self::ContainedPatient { at } => {
                write!(f, "byte {at}: its patient is only described inside it")
            }
            Self::SeveralPatients { at } => write!(f, "byte {at}: about more than one patient"),
        }
    }
}

/// Cuts `json`, a FHIR R4 Bundle or a single resource of at most `bytes_max` bytes, into resources; refuses what is
/// about nobody.
///
/// A byte order mark is skipped; offsets count it.
pub fn split(json: &[u8], bytes_max: usize) -> Result<Bundle<'_>, BundleError> {
    let bundle = cut(json, bytes_max)?;
    if bundle.resources.iter().all(|resource| resource.owner == Owner::Nobody) {
        return Err(BundleError::NoPatient);
    }
    Ok(bundle)
}

/// [`split`], whoever the resources are about.
pub fn cut(json: &[u8], bytes_max: usize) -> Result<Bundle<'_>, BundleError> {
    let source = Source::check(json, bytes_max)?;
    let whole: &RawValue = source.parse(source.text)?;
    if !whole.get().starts_with('{') {
        return Err(BundleError::NotAResource { at: source.at(whole.get()) });
    }
    let top = source.fields(whole.get())?;
    if source.resource_type(whole.get(), &top)? != "Bundle" {
        return one(&source, whole.get());
    }
    let mut bundle = Bundle { bundle_type: None, resources: Vec::new(), warnings: Vec::new() };
    let mut links = Vec::new();
    let mut labels = Vec::new();
    bundle.bundle_type = source.text_field(whole.get(), &top, "type")?;
    if let Some(meta) = top.raw("meta") {
        collect_meta(&source.parse(meta)?, &mut labels);
    }
    let entries = top.raw("entry").map_or(Ok(Vec::new()), |entries| source.list(entries))?;
    for entry in entries {
        take_entry(&source, entry.get(), &mut bundle, &mut links)?;
    }
    let names = Names::index(&bundle.resources)?;
    assign_owners(&mut bundle, &links, &names);
    inherit(&mut bundle.resources, &labels);
    Ok(bundle)
}

/// Reads `json` as the one resource that it is, a Bundle too, which is kept as it came.
pub fn whole(json: &[u8], bytes_max: usize) -> Result<Resource<'_>, BundleError> {
    let source = Source::check(json, bytes_max)?;
    let whole: &RawValue = source.parse(source.text)?;
    let fault = BundleError::NotAResource { at: source.at(whole.get()) };
    if !whole.get().starts_with('{') {
        return Err(fault);
    }
    one(&source, whole.get())?.resources.pop().ok_or(fault)
}

fn one<'a>(source: &Source<'a>, raw: &'a str) -> Result<Bundle<'a>, BundleError> {
    let mut warnings = Vec::new();
    let (resource, links) = read(source, raw, None, &mut warnings)?;
    let mut bundle = Bundle { bundle_type: None, resources: vec![resource], warnings };
    let names = Names::index(&bundle.resources)?;
    assign_owners(&mut bundle, &[links], &names);
    Ok(bundle)
}

/// The input, known to be UTF-8, small and shallow enough.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    /// Bytes before `text`: a byte order mark.
    skipped: usize,
}

impl<'a> Source<'a> {
    pub(crate) fn check(json: &'a [u8], bytes_max: usize) -> Result<Self, BundleError> {
        if json.len() > bytes_max {
            return Err(BundleError::TooLarge { bytes: json.len(), bytes_max });
        }
        let bytes = json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json);
        let skipped = json.len() - bytes.len();
        let text = core::str::from_utf8(bytes)
            .map_err(|error| BundleError::NotUtf8 { at: skipped + error.valid_up_to() })?;
        match too_deep(bytes, DEPTH_MAX) {
            Some(at) => Err(BundleError::TooDeep { at: skipped + at, depth_max: DEPTH_MAX }),
            None => Ok(Self { text, skipped }),
        }
    }

    /// Where `part`, a slice of the input, begins in it.
    pub(crate) fn at(&self, part: &str) -> usize {
        self.skipped + (part.as_ptr().addr() - self.text.as_ptr().addr())
    }

    pub(crate) fn parse<T: Deserialize<'a>>(&self, part: &'a str) -> Result<T, BundleError> {
        serde_json::from_str(part).map_err(|error| {
            let at = self.at(part) + offset(part, &error);
            match error.classify() {
                Category::Syntax | Category::Eof | Category::Io => BundleError::NotJson { at },
                // Our own readers take every JSON type, so what they refuse is a key.
                Category::Data => BundleError::AmbiguousKey { at },
            }
        })
    }

    pub(crate) fn fields(&self, part: &'a str) -> Result<Fields<'a>, BundleError> {
        if !part.starts_with('{') {
            return Err(BundleError::WrongType { at: self.at(part), element: "entry" });
        }
        self.parse(part)
    }

    pub(crate) fn list(&self, part: &'a str) -> Result<Vec<&'a RawValue>, BundleError> {
        if !part.starts_with('[') {
            return Err(BundleError::WrongType { at: self.at(part), element: "entry" });
        }
        self.parse(part)
    }

    pub(crate) fn text_field(
        &self,
        whole: &str,
        fields: &Fields<'a>,
        element: &'static str,
    ) -> Result<Option<String>, BundleError> {
        let Some(raw) = fields.raw(element) else { return Ok(None) };
        match self.parse(raw)? {
            Tree::Text(text) => Ok(Some(text)),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::List(_) | Tree::Object(_) => {
                Err(BundleError::WrongType { at: self.at(whole), element })
            }
        }
    }

    pub(crate) fn resource_type(
        &self,
        whole: &str,
        fields: &Fields<'a>,
    ) -> Result<String, BundleError> {
        let fault = BundleError::NotAResource { at: self.at(whole) };
        let Some(raw) = fields.raw("resourceType") else { return Err(fault) };
        match self.parse(raw)? {
            Tree::Text(name) if is_type_name(&name) => Ok(name),
            Tree::Text(_)
            | Tree::Null
            | Tree::Bool(_)
            | Tree::Number(_)
            | Tree::List(_)
            | Tree::Object(_) => Err(fault),
        }
    }
}

pub(crate) fn is_type_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphabetic())
}

pub(crate) fn is_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    (1..=NAME_CHARS_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

/// What a resource says about whom it belongs to, before references are resolved.
struct Links {
    patients: Vec<Link>,
    followed: Vec<String>,
}

enum Link {
    Reference(String),
    /// A business identifier, `system|value`.
    Identifier(String),
    Contained,
}

impl Links {
    /// What the resource in `tree` says; nothing if a reference is longer than [`REFERENCE_BYTES_MAX`].
    fn read(tree: &Tree) -> Option<Self> {
        let contained: BTreeSet<_> = tree
            .items_of("contained")
            .iter()
            .filter(|inner| inner.text_of("resourceType") == Some("Patient"))
            .filter_map(|inner| inner.text_of("id"))
            .collect();
        // Appointment says whom it is about among those who take part.
        let actors = tree.items_of("participant").iter().flat_map(|part| part.items_of("actor"));
        let patients: Vec<_> = PATIENT_ELEMENTS
            .iter()
            .flat_map(|element| tree.items_of(element))
            .chain(actors)
            .filter_map(|item| Link::read(item, &contained))
            .collect();
        let followed: Vec<_> = FOLLOWED_ELEMENTS
            .iter()
            .flat_map(|element| tree.items_of(element))
            .filter_map(|item| item.text_of("reference").map(ToOwned::to_owned))
            .collect();
        let is_short = patients.iter().all(|link| link.name().len() <= REFERENCE_BYTES_MAX);
        is_short.then_some(Self { patients, followed })
    }
}

impl Link {
    /// What `item`, a Reference, points to, if that can be a patient. `contained` are the ids of the
    /// patients whom the resource contains.
    fn read(item: &Tree, contained: &BTreeSet<&str>) -> Option<Self> {
        if let Some(reference) = item.text_of("reference") {
            return match reference.strip_prefix('#') {
                None => Some(Self::Reference(reference.to_owned())),
                Some(inner) => contained.contains(inner).then_some(Self::Contained),
            };
        }
        if item.text_of("type").is_some_and(|name| name != "Patient") {
            return None;
        }
        let identifier = item.field("identifier")?;
        let value = identifier.text_of("value")?;
        let system = identifier.text_of("system").unwrap_or_default();
        Some(Self::Identifier(format!("{system}|{value}")))
    }

    fn name(&self) -> &str {
        match self {
            Self::Reference(name) | Self::Identifier(name) => name,
            Self::Contained => "",
        }
    }
}

fn take_entry<'a>(
    source: &Source<'a>,
    entry: &'a str,
    bundle: &mut Bundle<'a>,
    links: &mut Vec<Links>,
) -> Result<(), BundleError> {
    let fields = source.fields(entry)?;
    let full_url = source.text_field(entry, &fields, "fullUrl")?;
    let Some(raw) = fields.raw("resource") else {
        bundle.warnings.push(Warning::NoResource { at: source.at(entry) });
        return Ok(());
    };
    let (resource, links_of) = read(source, raw, full_url, &mut bundle.warnings)?;
    bundle.resources.push(resource);
    links.push(links_of);
    Ok(())
}

fn read<'a>(
    source: &Source<'a>,
    raw: &'a str,
    full_url: Option<String>,
    warnings: &mut Vec<Warning>,
) -> Result<(Resource<'a>, Links), BundleError> {
    let at = source.at(raw);
    if full_url.as_ref().is_some_and(|it| it.len() > REFERENCE_BYTES_MAX) {
        return Err(BundleError::WrongType { at, element: "fullUrl" });
    }
    let tree: Tree = source.parse(raw)?;
    let resource_type = match tree.text_of("resourceType") {
        Some(name) if is_type_name(name) => name.to_owned(),
        Some(_) | None => return Err(BundleError::NotAResource { at }),
    };
    if kind_of(&resource_type).is_none() {
        warnings.push(Warning::UnknownType { at, resource_type: resource_type.clone() });
    }
    let id = match tree.field("id") {
        None => None,
        Some(Tree::Text(id)) => Some(id.clone()),
        Some(_) => return Err(BundleError::WrongType { at, element: "id" }),
    };
    if let Some(id) = id.as_ref().filter(|id| !is_id(id)) {
        warnings.push(Warning::InvalidId { at, id: id.clone() });
    }
    let mut labels = Vec::new();
    collect_labels(&tree, &resource_type, &mut labels);
    labels.sort();
    labels.dedup();
    let links = Links::read(&tree).ok_or(BundleError::WrongType { at, element: "reference" })?;
    let owner = if resource_type == "Bundle" { kept::owner_of(&tree) } else { Owner::Nobody };
    let resource = Resource {
        json: raw,
        at,
        full_url,
        resource_type,
        id,
        owner,
        labels,
        inherited: Sensitivity::Normal,
    };
    Ok((resource, links))
}

/// Collects the labels of `tree` and of all that stands in it. `resource_type` is that of the
/// innermost resource around it: a Consent's own provisions label other things, not the Consent.
pub(crate) fn collect_labels(tree: &Tree, resource_type: &str, labels: &mut Vec<SecurityLabel>) {
    let fields = match tree {
        Tree::Object(fields) => fields,
        Tree::List(items) => {
            return items.iter().for_each(|item| collect_labels(item, resource_type, labels));
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => return,
    };
    let resource_type = tree.text_of("resourceType").unwrap_or(resource_type);
    if let Some(meta) = tree.field("meta") {
        collect_meta(meta, labels);
    }
    if tree.text_of("url") == Some(INLINE_LABEL) {
        labels.extend(tree.field("valueCoding").and_then(label));
    }
    if resource_type == "DocumentReference" {
        let concepts = tree.items_of("securityLabel").iter();
        labels.extend(concepts.flat_map(|concept| concept.items_of("coding")).filter_map(label));
    }
    if resource_type == "Composition"
        && let Some(code) = tree.text_of("confidentiality")
    {
        let system = Some(CONFIDENTIALITY.to_owned());
        labels.push(SecurityLabel { system, code: code.to_owned() });
    }
    fields.values().for_each(|value| collect_labels(value, resource_type, labels));
}

/// Collects the tags of `meta`, which are those of the resource alone.
pub(crate) fn collect_meta(meta: &Tree, labels: &mut Vec<SecurityLabel>) {
    labels.extend(meta.items_of("security").iter().filter_map(label));
}

/// A coding without a code is a label too, if it names its system: of one that restricts, it is an unknown one.
fn label(coding: &Tree) -> Option<SecurityLabel> {
    let system = coding.text_of("system").map(ToOwned::to_owned);
    let code = coding.text_of("code").or_else(|| system.as_ref().map(|_| ""))?.to_owned();
    Some(SecurityLabel { system, code })
}

/// How resources are named inside the Bundle.
struct Names {
    full_urls: BTreeMap<String, usize>,
    /// By `Type/id`.
    ids: BTreeMap<String, usize>,
}

impl Names {
    fn index(resources: &[Resource<'_>]) -> Result<Self, BundleError> {
        let mut names = Self { full_urls: BTreeMap::new(), ids: BTreeMap::new() };
        for (at, resource) in resources.iter().enumerate() {
            if let Some(full_url) = &resource.full_url
                && let Some(first) = names.full_urls.insert(normal(full_url).into_owned(), at)
            {
                return Err(BundleError::DuplicateFullUrl {
                    full_url: full_url.clone(),
                    first: resources[first].at,
                    second: resource.at,
                });
            }
            let resource_type = &resource.resource_type;
            if let Some(id) = &resource.id
                && let Some(first) = names.ids.insert(format!("{resource_type}/{id}"), at)
            {
                return Err(BundleError::DuplicateId {
                    resource_type: resource_type.clone(),
                    id: id.clone(),
                    first: resources[first].at,
                    second: resource.at,
                });
            }
        }
        Ok(names)
    }

    /// The place of what `reference` names in a resource of `server`, if it is known where that stands (R4, Bundle,
    /// "Resolving references in Bundles"). What is relative is never another server's.
    fn find(
        &self,
        resources: &[Resource<'_>],
        server: Option<&str>,
        reference: &str,
    ) -> Option<usize> {
        let reference = unversioned(reference);
        let named = self.full_urls.get(normal(&absolute(server, reference)).as_ref());
        let is_there = |at: &&usize| match (server, resources[**at].server()) {
            (Some(server), Some(other)) => server == other,
            (Some(_) | None, _) => true,
        };
        named.or_else(|| self.ids.get(reference).filter(is_there)).copied()
    }
}

/// `reference` below `server`, if it is relative to one.
fn absolute<'r>(server: Option<&str>, reference: &'r str) -> Cow<'r, str> {
    match server {
        Some(server) if !is_absolute(reference) => Cow::Owned(format!("{server}/{reference}")),
        Some(_) | None => Cow::Borrowed(reference),
    }
}

/// UUIDs are equal whatever their case (RFC 9562, section 4).
pub(crate) fn normal(url: &str) -> Cow<'_, str> {
    let is_uuid = url.get(..9).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:uuid:"));
    if is_uuid { Cow::Owned(url.to_ascii_lowercase()) } else { Cow::Borrowed(url) }
}

pub(crate) fn unversioned(reference: &str) -> &str {
    reference.split_once("/_history/").map_or(reference, |(resource, _)| resource)
}

fn assign_owners(bundle: &mut Bundle<'_>, links: &[Links], names: &Names) {
    for (index, links) in links.iter().enumerate() {
        let owner = match bundle.resources[index].resource_type.as_str() {
            "Patient" => Owner::Here(index),
            // What stands in it has said.
            "Bundle" => continue,
            _ => owner_by_links(bundle, index, links, names),
        };
        bundle.resources[index].owner = owner;
    }
    // Now that each has an owner, those who belong to another's owner can be told.
    for (index, links) in links.iter().enumerate() {
        if bundle.resources[index].owner == Owner::Nobody {
            let resources = &bundle.resources;
            let server = resources[index].server();
            let followed = links.followed.iter();
            let followed =
                followed.filter_map(|reference| names.find(resources, server, reference));
            let followed: BTreeSet<_> = followed.collect();
            let owners = followed.into_iter().map(|other| bundle.resources[other].owner.clone());
            bundle.resources[index].owner = one_owner(owners.collect());
        }
    }
    for resource in &bundle.resources {
        if resource.owner == Owner::Several {
            bundle.warnings.push(Warning::SeveralPatients { at: resource.at });
        }
    }
}

fn owner_by_links(bundle: &mut Bundle<'_>, index: usize, links: &Links, names: &Names) -> Owner {
    let (at, resources) = (bundle.resources[index].at, &bundle.resources);
    let server = resources[index].server();
    let mut owners = BTreeSet::new();
    for link in &links.patients {
        let reference = match link {
            Link::Reference(reference) => reference,
            Link::Identifier(identifier) => {
                owners.insert(Owner::Elsewhere(identifier.clone()));
                continue;
            }
            Link::Contained => {
                bundle.warnings.push(Warning::ContainedPatient { at });
                continue;
            }
        };
        if let Some(other) = names.find(resources, server, reference) {
            if resources[other].resource_type == "Patient" {
                owners.insert(Owner::Here(other));
            }
        } else if normal(reference).starts_with("urn:uuid:") {
            // Only the Bundle could have told whether this is a patient; the element says that it may be.
            let reference = reference.clone();
            owners.insert(Owner::Elsewhere(reference.clone()));
            bundle.warnings.push(Warning::DanglingReference { at, reference });
        } else if names_patient(reference) {
            let reference = absolute(server, unversioned(reference));
            owners.insert(Owner::Elsewhere(reference.into_owned()));
        }
    }
    one_owner(owners)
}

/// Whether a relative, absolute or conditional reference names a Patient.
fn names_patient(reference: &str) -> bool {
    let mut parts = unversioned(reference).rsplit('/');
    let last = parts.next().unwrap_or_default();
    last.starts_with("Patient?") || parts.next() == Some("Patient")
}

fn one_owner(mut owners: BTreeSet<Owner>) -> Owner {
    owners.remove(&Owner::Nobody);
    match owners.pop_first() {
        None => Owner::Nobody,
        Some(owner) if owners.is_empty() => owner,
        Some(_) => Owner::Several,
    }
}

/// Gives every resource the most restrictive sensitivity of the Bundle that none of them has.
fn inherit(resources: &mut [Resource<'_>], labels: &[SecurityLabel]) {
    let mut carried: BTreeSet<_> = resources
        .iter()
        .flat_map(|resource| &resource.labels)
        .map(SecurityLabel::sensitivity)
        .collect();
    // What has a category is restricted too, whether or not it says so.
    if carried.iter().any(|sensitivity| *sensitivity > Sensitivity::Restricted) {
        carried.insert(Sensitivity::Restricted);
    }
    let sensitivities = labels.iter().map(SecurityLabel::sensitivity);
    let inherited = sensitivities.filter(|sensitivity| !carried.contains(sensitivity)).max();
    for resource in resources {
        resource.inherited = inherited.unwrap_or(Sensitivity::Normal);
    }
}

//! Bundles that answer: to a batch or transaction, to a search, to a history (R4, Bundle).
//!
//! # Invariants
//!
//! * A resource stands in its Bundle with its exact bytes; a [`RawValue`] is JSON by its type, so the
//!   Bundle is too.
//! * An entry whose status is an error shows no resource, whatever it is given.
//!
//! Not here: which entries a search finds and where a page ends. Links are what the caller built from its
//! configured base.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{
    header::{EntityTag, instant},
    interaction::Method,
    outcome::{Outcome, Status},
};

/// A link of a Bundle.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Link<'a> {
    /// `self`, `next`, `previous`, `first` or `last`.
    pub relation: &'a str,
    /// The absolute URL.
    pub url: &'a str,
}

/// What became of an entry.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    /// The HTTP status.
    pub status: Status,
    /// Where what was written is: `Patient/1/_history/3`.
    pub location: Option<&'a str>,
    /// The version.
    pub version: Option<u64>,
    /// When it was written, in milliseconds since 1970.
    pub last_modified_ms: Option<u64>,
    /// What there is to say.
    pub outcome: Option<&'a Outcome>,
}

impl<'a> Response<'a> {
    /// A bare status.
    pub const fn of(status: Status) -> Self {
        Self { status, location: None, version: None, last_modified_ms: None, outcome: None }
    }

    /// An entry that failed, and why.
    pub fn failed(outcome: &'a Outcome) -> Self {
        Self { outcome: Some(outcome), ..Self::of(outcome.status()) }
    }

    /// Of `resource` what may stand beside it.
    fn shows<'r>(&self, resource: Option<&'r RawValue>) -> Option<&'r RawValue> {
        resource.filter(|_| self.status.code() < 400)
    }
}

/// An entry of an answer to a batch or transaction.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The absolute URL of what was written or read.
    pub full_url: Option<&'a str>,
    /// What was read, or what was written if the client prefers to see it.
    pub resource: Option<&'a RawValue>,
    /// What became of it.
    pub response: Response<'a>,
}

/// Why a search shows an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchMode {
    /// It was searched for.
    Match,
    /// What matched refers to it, or it to what matched.
    Include,
    /// It says something about the search.
    Outcome,
}

/// An entry of a search.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// Its absolute URL; nothing for an outcome.
    pub full_url: Option<&'a str>,
    /// The resource.
    pub resource: &'a RawValue,
    /// Why it is here.
    pub mode: SearchMode,
}

/// An entry of a history.
#[derive(Clone, Debug)]
pub struct Version<'a> {
    /// The absolute URL of the resource, without a version.
    pub full_url: &'a str,
    /// The version; nothing for one that was redacted.
    pub resource: Option<&'a RawValue>,
    /// What made it: POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// The URL to which that was sent: `Patient`, `Patient/1`.
    pub url: &'a str,
    /// What came of it.
    pub response: Response<'a>,
}

/// The answer to a batch, with its entries in the order of the request.
pub fn batch_response(answers: &[Answer<'_>]) -> String {
    answer("batch-response", answers)
}

/// The answer to a transaction that was carried out. One that was not is answered by an [`Outcome`] alone.
pub fn transaction_response(answers: &[Answer<'_>]) -> String {
    answer("transaction-response", answers)
}

fn answer(bundle_type: &'static str, answers: &[Answer<'_>]) -> String {
    let entry = answers.iter().map(|answer| EntryOut {
        full_url: answer.full_url,
        resource: answer.response.shows(answer.resource),
        response: Some(ResponseOut::of(&answer.response)),
        ..EntryOut::default()
    });
    write(BundleOut { bundle_type, entry: entry.collect(), ..BundleOut::default() })
}

/// A page of a search. `total` counts what matches on all pages; leave it out where that is not known.
pub fn searchset(links: &[Link<'_>], total: Option<u64>, found: &[Found<'_>]) -> String {
    let entry = found.iter().map(|found| EntryOut {
        full_url: found.full_url,
        resource: Some(found.resource),
        search: Some(SearchOut { mode: found.mode }),
        ..EntryOut::default()
    });
    write(BundleOut {
        bundle_type: "searchset",
        total,
        link: links,
        entry: entry.collect(),
        ..BundleOut::default()
    })
}

/// A page of a history, the newest version first. `total` counts the versions on all pages.
pub fn history(links: &[Link<'_>], total: Option<u64>, versions: &[Version<'_>]) -> String {
    let entry = versions.iter().map(|version| EntryOut {
        full_url: Some(version.full_url),
        resource: version.response.shows(version.resource),
        request: Some(RequestOut { method: version.method.as_str(), url: version.url }),
        response: Some(ResponseOut::of(&version.response)),
        ..EntryOut::default()
    });
    write(BundleOut {
        bundle_type: "history",
        total,
        link: links,
        entry: entry.collect(),
        ..BundleOut::default()
    })
}

fn write(bundle: BundleOut<'_>) -> String {
    serde_json::to_string(&bundle).expect("texts, numbers and raw JSON are always JSON")
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct BundleOut<'a> {
    resource_type: BundleWord,
    #[serde(rename = "type")]
    bundle_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    // R4 has no empty lists.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    link: &'a [Link<'a>],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entry: Vec<EntryOut<'a>>,
}

/// The word `Bundle`.
#[derive(Default)]
struct BundleWord;

impl Serialize for BundleWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("Bundle")
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    full_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<SearchOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseOut<'a>>,
}

#[derive(Serialize)]
struct SearchOut {
    mode: SearchMode,
}

#[derive(Serialize)]
struct RequestOut<'a> {
    method: &'static str,
    url: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseOut<'a> {
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Box<RawValue>>,
}

impl<'a> ResponseOut<'a> {
    fn of(response: &Response<'a>) -> Self {
        let tag = |version| EntityTag::of_version(version).to_string();
        let raw = |outcome: &Outcome| RawValue::from_string(outcome.to_json());
        let raw = |outcome| raw(outcome).expect("an outcome is JSON");
        Self {
            status: response.status.line(),
            location: response.location,
            etag: response.version.map(tag),
            last_modified: response.last_modified_ms.map(instant),
            outcome: response.outcome.map(raw),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;
    use crate::outcome::IssueType;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn a_searchset_has_its_links_and_says_why_each_entry_is_there() {
        let links = [Link { relation: "self", url: "https://k.example/Patient?name=\"a\"" }];
        let patient = raw("{ \"resourceType\":\"Patient\", \"v\" : 1.50 }");
        let found = Found {
            full_url: Some("https://k.example/Patient/1"),
            resource: &patient,
            mode: SearchMode::Match,
        };
        assert_eq!(
            searchset(&links, Some(1), &[found]),
            concat!(
                r#"{"resourceType":"Bundle","type":"searchset","total":1,"#,
                r#""link":[{"relation":"self","url":"https://k.example/Patient?name=\"a\""}],"#,
                r#""entry":[{"fullUrl":"https://k.example/Patient/1","#,
                r#""resource":{ "resourceType":"Patient", "v" : 1.50 },"search":{"mode":"match"}}]}"#
            )
        );
        assert_eq!(searchset(&[], None, &[]), r#"{"resourceType":"Bundle","type":"searchset"}"#);
    }

    #[test]
    fn a_history_shows_that_a_version_was_redacted() {
        let version = Version {
            full_url: "https://k.example/Patient/1",
            resource: None,
            method: Method::Delete,
            url: "Patient/1",
            response: Response {
                last_modified_ms: Some(784_111_777_000),
                ..Response::of(Status::NO_CONTENT)
            },
        };
        assert_eq!(
            history(&[], None, &[version]),
            concat!(
                r#"{"resourceType":"Bundle","type":"history","entry":[{"fullUrl":"https://k.example/Patient/1","#,
                r#""request":{"method":"DELETE","url":"Patient/1"},"#,
                r#""response":{"status":"204 No Content","lastModified":"1994-11-06T08:49:37.000Z"}}]}"#
            )
        );
    }

    #[test]
    fn an_entry_that_failed_shows_no_resource() {
        let patient = raw(r#"{"resourceType":"Patient"}"#);
        let outcome = Outcome::error(IssueType::Conflict, "stale");
        for (response, is_shown) in [
            (Response::of(Status::OK), true),
            (Response::of(Status::NOT_FOUND), false),
            (Response::failed(&outcome), false),
        ] {
            let answer =
                Answer { full_url: None, resource: Some(&patient), response: response.clone() };
            assert_eq!(batch_response(&[answer]).contains("Patient"), is_shown);
            let version = Version {
                full_url: "https://k.example/Basic/1",
                resource: Some(&patient),
                method: Method::Put,
                url: "Basic/1",
                response,
            };
            assert_eq!(history(&[], None, &[version]).contains("Patient"), is_shown);
        }
    }

    #[test]
    fn an_entry_of_a_batch_that_failed_says_why() {
        let outcome = Outcome::error(IssueType::Conflict, "stale");
        let failed =
            Answer { full_url: None, resource: None, response: Response::failed(&outcome) };
        let done = Response {
            version: Some(3),
            location: Some("Patient/1/_history/3"),
            ..Response::of(Status::OK)
        };
        let done = Answer { full_url: None, resource: None, response: done };
        assert_eq!(
            batch_response(&[failed, done]),
            concat!(
                r#"{"resourceType":"Bundle","type":"batch-response","entry":[{"response":{"#,
                r#""status":"409 Conflict","outcome":{"resourceType":"OperationOutcome","issue":[{"#,
                r#""severity":"error","code":"conflict","details":{"text":"stale"}}]}}},"#,
                r#"{"response":{"status":"200 OK","location":"Patient/1/_history/3","etag":"W/\"3\""}}]}"#
            )
        );
    }
}

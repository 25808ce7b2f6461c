//! What is kept of an export, sealed: what was asked for, and how far it is.
//!
//! Both are JSON, read by the program that wrote it or a later one; what cannot be read any more is no export.
//!
//! Not here: which rows are in a file ([`crate::index::exports`]).

use keepwell_fhir::{
    export::{Asked, Level, Options},
    outcome::{IssueType, Outcome, Status},
    search::Handling,
};
use keepwell_types::id::ChartId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::RUN_MAX;

/// What was asked for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Spec {
    /// The client who asked.
    pub(super) client: String,
    /// With which scopes.
    pub(super) scopes: Vec<String>,
    /// Of whom.
    pub(super) whose: Whose,
    /// The URL of the request.
    pub(super) request: String,
    /// Its parameters, decoded.
    pub(super) pairs: Vec<(String, String)>,
    pub(super) is_lenient: bool,
    pub(super) is_post: bool,
    /// When, in milliseconds since 1970.
    pub(super) begun_ms: u64,
}

/// Of whom an export is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Whose {
    All,
    Patients,
    /// Of the patients with these ids, the members of a group.
    Members(Vec<String>),
}

/// How far an export is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Progress {
    pub(super) state: State,
    /// Until when it is kept, in milliseconds since 1970.
    pub(super) until_ms: u64,
    /// What became final until then is in it, in milliseconds since 1970.
    pub(super) transaction_ms: u64,
    /// How many rows the index had.
    pub(super) rows: u64,
    /// Where it is: after this row of this chart.
    pub(super) after: (ChartId, u64),
    pub(super) files: Vec<FileFacts>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum State {
    /// There is no snapshot yet.
    Begun,
    Running,
    Done,
    Failed {
        status: u16,
        text: String,
    },
}

/// A file, as the manifest says it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct FileFacts {
    /// The type of its resources.
    pub(super) of: String,
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) pages: u32,
}

impl Spec {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }

    /// What was asked for, read again.
    pub(super) fn asked(&self, base: &str) -> Option<Asked> {
        let level = match self.whose {
            Whose::All => Level::System,
            Whose::Patients => Level::Patients,
            Whose::Members(_) => Level::Group,
        };
        let handling = if self.is_lenient { Handling::Lenient } else { Handling::Strict };
        let (now_ms, is_post) = (self.begun_ms, self.is_post);
        Asked::parse(&self.pairs, Options { base, now_ms, handling, level, is_post }).ok()
    }
}

impl Progress {
    pub(super) fn begun(now_ms: u64) -> Self {
        let run_ms = u64::try_from(RUN_MAX.as_millis()).unwrap_or(u64::MAX);
        Self {
            state: State::Begun,
            until_ms: now_ms.saturating_add(run_ms),
            transaction_ms: 0,
            rows: 0,
            after: (ChartId([0; 32]), 0),
            files: Vec::new(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }

    /// A file by its number, from 1.
    pub(super) fn file(&self, number: u32) -> Option<&FileFacts> {
        self.files.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Resources in all files.
    pub(super) fn count(&self) -> u64 {
        self.files.iter().map(|it| it.count).sum()
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|it| it.bytes).sum()
    }
}

/// What is told of an export that failed.
pub(super) fn failed(status: u16, text: &str) -> Outcome {
    let all = [
        (Status::UNAVAILABLE, IssueType::Transient),
        (Status::FORBIDDEN, IssueType::TooCostly),
        (Status::PRECONDITION_FAILED, IssueType::MultipleMatches),
    ];
    let known = all.into_iter().find(|(it, _)| it.code() == status);
    let (status, code) = known.unwrap_or((Status::INTERNAL, IssueType::Exception));
    Outcome::error(code, text).with_status(status)
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers are JSON")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

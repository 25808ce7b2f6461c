//! What a request comes to: a status, a body, and the headers that FHIR gives a meaning.

use keepwell_client::error::{ClientError, LedgerError};
use keepwell_fhir::{
    header::EntityTag,
    outcome::{IssueType, Outcome, Status},
};
use keepwell_types::outcome::Rejection;

use crate::index::IndexError;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// The resource, in JSON; nothing for an answer without a body.
    pub body: Option<String>,
    /// The version that it is about.
    pub version: Option<u64>,
    /// When that became final, in milliseconds since 1970.
    pub last_modified_ms: Option<u64>,
    /// Where what was written is: an absolute URL.
    pub location: Option<String>,
}

impl Answer {
    /// A body alone.
    pub const fn of(status: Status, body: String) -> Self {
        Self { status, body: Some(body), version: None, last_modified_ms: None, location: None }
    }

    /// The tag of its version.
    pub fn tag(&self) -> Option<String> {
        Some(EntityTag::of_version(self.version?).to_string())
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self::of(outcome.status(), outcome.to_json())
    }
}

/// Nothing is there, or nothing that whoever asks may see: the two read the same.
pub(crate) fn not_found() -> Outcome {
    Outcome::error(
        IssueType::NotFound,
        "nothing is here that you may read; if it should be, ask the patient, or whoever keeps the chart, for a grant",
    )
}

/// The index fails: nobody who asks can do anything about it.
pub(crate) fn no_index(error: &IndexError) -> Outcome {
    tracing::error!(%error, "the index fails");
    Outcome::error(
        IssueType::NoStore,
        "the gateway's index cannot be read; ask again in a while, and tell its operator",
    )
}

/// What the ledger, a node or a custodian said no to.
pub(crate) fn refused(error: &ClientError) -> Outcome {
    match error {
        ClientError::Ledger(LedgerError::Rejected { rejection, .. }) => of_rejection(rejection),
        ClientError::Usage(error) => {
            tracing::error!(%error, "the gateway asked for what cannot be");
            Outcome::error(IssueType::Exception, "the gateway failed; tell its operator")
        }
        ClientError::File(_) | ClientError::Key(_) => {
            tracing::error!(%error, "the gateway's keys fail");
            Outcome::error(IssueType::Exception, "the gateway's keys fail; tell its operator")
        }
        ClientError::Node(_)
        | ClientError::Proof(_)
        | ClientError::NoNode(_)
        | ClientError::Ledger(LedgerError::NoPosition)
        | ClientError::Custody(_)
        | ClientError::Release(_)
        | ClientError::Trustees(_) => {
            tracing::warn!(%error, "the ledger could not be asked");
            Outcome::error(
                IssueType::Transient,
                "the ledger or a custodian cannot be reached, and nothing was changed that it did not confirm; ask again in a while",
            )
        }
    }
}

pub(crate) fn of_rejection(rejection: &Rejection) -> Outcome {
    let text = rejection.to_string();
    if let Rejection::NotNewest { .. } = rejection {
        return Outcome::error(IssueType::Conflict, &text).with_status(Status::PRECONDITION_FAILED);
    }
    let is_taken = matches!(rejection, Rejection::TagTaken(_));
    Outcome::error(if is_taken { IssueType::Duplicate } else { IssueType::Forbidden }, &text)
}

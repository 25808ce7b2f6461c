//! What a request comes to: a status, a body, and the headers that FHIR gives a meaning.

use std::fmt::Display;

use keepwell_client::error::{ClientError, LedgerError};
use keepwell_fhir::{
    header::EntityTag,
    outcome::{IssueType, Outcome, Status},
};
use keepwell_types::{outcome::Rejection, time::BlockTime};

use crate::{index::IndexError, read::shown};

/// Digits of the id of a chart or a record.
const ID_DIGITS: usize = 64;

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
    /// Where it is said how what was asked for stands: an absolute URL.
    pub content_location: Option<String>,
}

impl Answer {
    /// A body alone.
    pub const fn of(status: Status, body: String) -> Self {
        Self {
            status,
            body: Some(body),
            version: None,
            last_modified_ms: None,
            location: None,
            content_location: None,
        }
    }

    /// A version of a resource.
    pub(crate) fn shows(status: Status, json: &str, (number, time): (u64, BlockTime)) -> Self {
        Self {
            version: Some(number),
            last_modified_ms: Some(time.0),
            ..Self::of(status, shown(json, number, time).get().to_owned())
        }
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

/// An error as it may stand in a log: without the ids of charts and records, which are of somebody.
pub fn without_ids(error: &impl Display) -> String {
    let text = error.to_string();
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    words.map(|word| if word.len() > ID_DIGITS { "..." } else { word }).collect()
}

/// Nothing is there, or nothing that whoever asks may see: the two read the same.
pub(crate) fn not_found() -> Outcome {
    Outcome::error(
        IssueType::NotFound,
        "nothing is here that you may read; if it should be, ask the patient, or whoever keeps the chart, for a grant",
    )
}

/// Several are called the same, of different charts: taking one of them would be guessing a patient.
pub(crate) fn ambiguous() -> Outcome {
    Outcome::error(
        IssueType::MultipleMatches,
        "several charts have a resource with this id, which came in files; find the one that is meant with a search by an identifier, and give it an id of its own",
    )
}

/// The index fails: nobody who asks can do anything about it.
pub(crate) fn no_index(error: &IndexError) -> Outcome {
    tracing::error!(error = without_ids(error), "the index fails");
    Outcome::error(
        IssueType::NoStore,
        "the gateway's index cannot be read; ask again in a while, and tell its operator",
    )
}

/// What the ledger, a node or a custodian said no to.
pub(crate) fn refused(error: &ClientError) -> Outcome {
    match error {
        ClientError::Ledger(
            LedgerError::Rejected { rejection, .. } | LedgerError::RejectedPart { rejection, .. },
        ) => of_rejection(rejection),
        ClientError::Usage(error) => {
            tracing::error!(error = without_ids(error), "the gateway asked for what cannot be");
            Outcome::error(IssueType::Exception, "the gateway failed; tell its operator")
        }
        ClientError::File(_) | ClientError::Key(_) => {
            tracing::error!(error = without_ids(error), "the gateway's keys fail");
            Outcome::error(IssueType::Exception, "the gateway's keys fail; tell its operator")
        }
        ClientError::Node(_)
        | ClientError::Proof(_)
        | ClientError::NoNode(_)
        | ClientError::Ledger(LedgerError::NoPosition)
        | ClientError::Custody(_)
        | ClientError::Release(_)
        | ClientError::Trustees(_) => {
            tracing::warn!(error = without_ids(error), "the ledger could not be asked");
            Outcome::error(
                IssueType::Transient,
                "the ledger or a custodian cannot be reached; ask again in a while",
            )
        }
    }
}

/// What the rules said no to.
pub(crate) fn of_rejection(rejection: &Rejection) -> Outcome {
    let text = rejection.to_string();
    if let Rejection::NotNewest { .. } = rejection {
        return Outcome::error(IssueType::Conflict, &text).with_status(Status::PRECONDITION_FAILED);
    }
    let is_taken = matches!(rejection, Rejection::TagTaken(_));
    Outcome::error(if is_taken { IssueType::Duplicate } else { IssueType::Forbidden }, &text)
}

#[cfg(test)]
mod tests {
    use keepwell_client::error::UsageError;
    use keepwell_types::id::ChartId;

    use super::*;

    #[test]
    fn a_log_names_no_chart() {
        let error = ClientError::Usage(UsageError::UnknownChart(ChartId([0xab; 32])));
        assert!(error.to_string().contains(&"ab".repeat(32)));
        let text = without_ids(&error);
        assert!(!text.contains("abab") && text.contains("no chart ..."), "{text}");
        let address = "http://127.0.0.1:7441 of 4f012d84d7e94ad850d062dbbd998e93 fails";
        assert_eq!(without_ids(&address), address);
    }
}

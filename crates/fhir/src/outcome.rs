//! OperationOutcome: what a FHIR client is told when something went wrong, and the HTTP status with it
//! (R4, OperationOutcome, and "HTTP Status Codes" of the RESTful API).
//!
//! # Invariants
//!
//! * An [`Outcome`] has at least one issue, as R4 demands, and at most [`ISSUES_MAX`]; of more, the last
//!   says how many were left out.
//! * Its JSON is valid whatever texts went in, holds no control or direction-changing character, and is
//!   no longer than [`OUTCOME_BYTES_MAX`].
//!
//! Not here: which text is safe to show. Errors of this crate name elements and parameters, never values
//! of patients.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::Serialize;

use crate::summary::printable;

/// Issues of an outcome.
pub const ISSUES_MAX: usize = 50;
/// Characters of details and of diagnostics.
pub const TEXT_CHARS_MAX: usize = 500;
/// Paths of one issue.
pub const EXPRESSIONS_MAX: usize = 4;
/// Characters of a path.
pub const EXPRESSION_CHARS_MAX: usize = 200;
/// Bytes of an outcome's JSON: at most four for each character, and two for one that is escaped.
pub const OUTCOME_BYTES_MAX: usize =
    ISSUES_MAX * (4 * (2 * TEXT_CHARS_MAX + EXPRESSIONS_MAX * EXPRESSION_CHARS_MAX) + 256) + 256;

/// How bad an issue is (value set `issue-severity`). The later, the worse.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing to act on.
    Information,
    /// It was done, but someone should look.
    Warning,
    /// It was not done.
    Error,
    /// It was not done, and nothing after it was tried.
    Fatal,
}

/// What kind of issue it is: the R4 value set `issue-type`, whole.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssueType {
    /// Content invalid against the specification or a profile.
    Invalid,
    /// A structural issue: wrong namespace, unknown or repeated elements.
    Structure,
    /// A required element is missing.
    Required,
    /// An element's value is invalid.
    Value,
    /// A validation rule failed.
    Invariant,
    /// An authentication, authorization or permission issue.
    Security,
    /// The client must sign in first.
    Login,
    /// The user or system could not be authenticated.
    Unknown,
    /// The session has expired.
    Expired,
    /// The user has not the rights.
    Forbidden,
    /// Something was withheld for reasons of privacy.
    Suppressed,
    /// Processing failed.
    Processing,
    /// The interaction, operation, resource or profile is not supported.
    NotSupported,
    /// An attempt to make what exists already.
    Duplicate,
    /// Several resources match where one must.
    MultipleMatches,
    /// What is referred to was not found.
    NotFound,
    /// It was there, and is not any more.
    Deleted,
    /// Content is too long.
    TooLong,
    /// A code or system is not understood.
    CodeInvalid,
    /// An extension is not acceptable.
    Extension,
    /// Stopped to protect the server.
    TooCostly,
    /// A rule of the business was not followed.
    BusinessRule,
    /// Two edits, of which the later was not made on the newest version.
    Conflict,
    /// Something that may pass.
    Transient,
    /// A lock could not be had.
    LockError,
    /// Storage is not available.
    NoStore,
    /// An unexpected failure inside.
    Exception,
    /// It took too long.
    Timeout,
    /// Not all sources of data were available.
    Incomplete,
    /// Too many requests.
    Throttled,
    /// Not about a failure.
    Informational,
}

impl IssueType {
    /// Every code, in the order of the value set.
    pub const ALL: [Self; 31] = [
        Self::Invalid,
        Self::Structure,
        Self::Required,
        Self::Value,
        Self::Invariant,
        Self::Security,
        Self::Login,
        Self::Unknown,
        Self::Expired,
        Self::Forbidden,
        Self::Suppressed,
        Self::Processing,
        Self::NotSupported,
        Self::Duplicate,
        Self::MultipleMatches,
        Self::NotFound,
        Self::Deleted,
        Self::TooLong,
        Self::CodeInvalid,
        Self::Extension,
        Self::TooCostly,
        Self::BusinessRule,
        Self::Conflict,
        Self::Transient,
        Self::LockError,
        Self::NoStore,
        Self::Exception,
        Self::Timeout,
        Self::Incomplete,
        Self::Throttled,
        Self::Informational,
    ];

    /// The status that goes with an error of this kind, unless who reports it knows a better one.
    pub const fn status(self) -> Status {
        match self {
            Self::Invalid | Self::Structure | Self::Required | Self::Value => Status::BAD_REQUEST,
            Self::Invariant
            | Self::CodeInvalid
            | Self::Extension
            | Self::BusinessRule
            | Self::Processing => Status::UNPROCESSABLE,
            Self::Login | Self::Unknown | Self::Expired => Status::UNAUTHORIZED,
            Self::Security | Self::Forbidden | Self::Suppressed | Self::TooCostly => {
                Status::FORBIDDEN
            }
            Self::NotSupported => Status::BAD_REQUEST,
            Self::NotFound => Status::NOT_FOUND,
            Self::Deleted => Status::GONE,
            Self::Duplicate | Self::Conflict => Status::CONFLICT,
            Self::MultipleMatches => Status::PRECONDITION_FAILED,
            Self::TooLong => Status::CONTENT_TOO_LARGE,
            Self::Throttled => Status::TOO_MANY_REQUESTS,
            Self::Transient
            | Self::LockError
            | Self::NoStore
            | Self::Timeout
            | Self::Incomplete => Status::UNAVAILABLE,
            Self::Exception => Status::INTERNAL,
            Self::Informational => Status::OK,
        }
    }
}

/// An HTTP status code (RFC 9110, section 15).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Status(u16);

impl Status {
    /// Done.
    pub const OK: Self = Self(200);
    /// Made.
    pub const CREATED: Self = Self(201);
    /// Will be done (`Prefer: respond-async`).
    pub const ACCEPTED: Self = Self(202);
    /// Done, with nothing to show.
    pub const NO_CONTENT: Self = Self(204);
    /// The client has the newest version already.
    pub const NOT_MODIFIED: Self = Self(304);
    /// The request is not understood.
    pub const BAD_REQUEST: Self = Self(400);
    /// Whoever asks must say who they are.
    pub const UNAUTHORIZED: Self = Self(401);
    /// Whoever asks may not.
    pub const FORBIDDEN: Self = Self(403);
    /// Nothing is there.
    pub const NOT_FOUND: Self = Self(404);
    /// Something is there, but not for this method.
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    /// No form of the answer is acceptable to the client.
    pub const NOT_ACCEPTABLE: Self = Self(406);
    /// What is asked contradicts what is.
    pub const CONFLICT: Self = Self(409);
    /// It was there, and never will be again.
    pub const GONE: Self = Self(410);
    /// A condition of the client does not hold.
    pub const PRECONDITION_FAILED: Self = Self(412);
    /// The body is too large.
    pub const CONTENT_TOO_LARGE: Self = Self(413);
    /// The URL is too long.
    pub const URI_TOO_LONG: Self = Self(414);
    /// The body is of a kind that is not taken here.
    pub const UNSUPPORTED_MEDIA_TYPE: Self = Self(415);
    /// It is understood, and breaks a rule.
    pub const UNPROCESSABLE: Self = Self(422);
    /// Too many requests.
    pub const TOO_MANY_REQUESTS: Self = Self(429);
    /// A fault inside.
    pub const INTERNAL: Self = Self(500);
    /// Not now.
    pub const UNAVAILABLE: Self = Self(503);

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// As `Bundle.entry.response.status` has it: the number and its words.
    pub fn line(self) -> String {
        let words = match self {
            Self::OK => "OK",
            Self::CREATED => "Created",
            Self::ACCEPTED => "Accepted",
            Self::NO_CONTENT => "No Content",
            Self::NOT_MODIFIED => "Not Modified",
            Self::BAD_REQUEST => "Bad Request",
            Self::UNAUTHORIZED => "Unauthorized",
            Self::FORBIDDEN => "Forbidden",
            Self::NOT_FOUND => "Not Found",
            Self::METHOD_NOT_ALLOWED => "Method Not Allowed",
            Self::NOT_ACCEPTABLE => "Not Acceptable",
            Self::CONFLICT => "Conflict",
            Self::GONE => "Gone",
            Self::PRECONDITION_FAILED => "Precondition Failed",
            Self::CONTENT_TOO_LARGE => "Content Too Large",
            Self::URI_TOO_LONG => "URI Too Long",
            Self::UNSUPPORTED_MEDIA_TYPE => "Unsupported Media Type",
            Self::UNPROCESSABLE => "Unprocessable Content",
            Self::TOO_MANY_REQUESTS => "Too Many Requests",
            Self::INTERNAL => "Internal Server Error",
            Self::UNAVAILABLE => "Service Unavailable",
            _ => "",
        };
        format!("{} {words}", self.0).trim_end().to_owned()
    }
}

/// One thing that an outcome reports.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Issue {
    severity: Severity,
    code: IssueType,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostics: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expression: Vec<String>,
}

/// A CodeableConcept that has only its text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Details {
    text: String,
}

impl Issue {
    /// An issue that tells its reader `details`: what happened, and what to do next.
    pub fn new(severity: Severity, code: IssueType, details: &str) -> Self {
        let details = Some(Details { text: printable(details, TEXT_CHARS_MAX) });
        let details = details.filter(|details| !details.text.is_empty());
        Self { severity, code, details, diagnostics: None, expression: Vec::new() }
    }

    /// With words for who looks after the system; nothing of a patient.
    #[must_use]
    pub fn with_diagnostics(mut self, diagnostics: &str) -> Self {
        let text = printable(diagnostics, TEXT_CHARS_MAX);
        self.diagnostics = Some(text).filter(|text| !text.is_empty());
        self
    }

    /// With the FHIRPath of what it is about; more than [`EXPRESSIONS_MAX`] are dropped.
    #[must_use]
    pub fn at(mut self, expression: &str) -> Self {
        let expression = printable(expression, EXPRESSION_CHARS_MAX);
        if self.expression.len() < EXPRESSIONS_MAX && !expression.is_empty() {
            self.expression.push(expression);
        }
        self
    }

    /// The same, as bad as this.
    #[must_use]
    pub fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// How bad it is.
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// What kind it is.
    pub const fn code(&self) -> IssueType {
        self.code
    }

    /// What its reader is told.
    pub fn details(&self) -> &str {
        self.details.as_ref().map_or("", |details| &details.text)
    }
}

/// What is reported together, with its HTTP status.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    issues: Vec<Issue>,
    /// Issues beyond [`ISSUES_MAX`].
    dropped: usize,
    status: Option<Status>,
}

impl Outcome {
    /// An outcome of one issue.
    pub fn new(issue: Issue) -> Self {
        Self { issues: Vec::from([issue]), dropped: 0, status: None }
    }

    /// An outcome of one error.
    pub fn error(code: IssueType, details: &str) -> Self {
        Self::new(Issue::new(Severity::Error, code, details))
    }

    /// With `status` instead of the one that follows from its issues.
    #[must_use]
    pub const fn with_status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// With the FHIRPath of what its last issue is about.
    #[must_use]
    pub fn at(mut self, expression: &str) -> Self {
        if let Some(last) = self.issues.pop() {
            self.issues.push(last.at(expression));
        }
        self
    }

    /// Adds an issue. Of more than [`ISSUES_MAX`] only the number is kept.
    pub fn push(&mut self, issue: Issue) {
        if self.issues.len() + 1 < ISSUES_MAX {
            self.issues.push(issue);
        } else {
            self.dropped += 1;
        }
    }

    /// The issues, the first that was reported first.
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }

    /// The HTTP status: the one it was given, or that of the first among its worst issues. Warnings
    /// alone are a success.
    pub fn status(&self) -> Status {
        if let Some(status) = self.status {
            return status;
        }
        let worst = self.issues.iter().map(|issue| issue.severity).max();
        match worst.filter(|worst| *worst >= Severity::Error) {
            None => Status::OK,
            Some(worst) => {
                let first = self.issues.iter().find(|issue| issue.severity == worst);
                first.map_or(Status::INTERNAL, |issue| issue.code.status())
            }
        }
    }

    /// The resource, as JSON.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct OperationOutcome<'a> {
            resource_type: &'static str,
            issue: Vec<&'a Issue>,
        }

        let rest = (self.dropped > 0).then(|| {
            let text = self.dropped.to_string() + " more; mend these first and try again";
            Issue::new(Severity::Information, IssueType::Informational, &text)
        });
        let issue = self.issues.iter().chain(&rest).collect();
        let resource = OperationOutcome { resource_type: "OperationOutcome", issue };
        serde_json::to_string(&resource).expect("texts and lists of them are always JSON")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_code_is_written_as_the_value_set_has_it() {
        let codes: Vec<_> =
            IssueType::ALL.iter().map(|code| serde_json::to_string(code).unwrap()).collect();
        let expected = "invalid structure required value invariant security login unknown expired \
            forbidden suppressed processing not-supported duplicate multiple-matches not-found \
            deleted too-long code-invalid extension too-costly business-rule conflict transient \
            lock-error no-store exception timeout incomplete throttled informational";
        let expected: Vec<_> =
            expected.split_whitespace().map(|code| format!("\"{code}\"")).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn any_text_is_escaped_and_cut() {
        let long = "\"\\\u{202e}é\n\u{0}".repeat(10_000);
        let mut outcome = Outcome::error(IssueType::Invalid, &long).at(&long);
        for _ in 0..10_000 {
            let issue = Issue::new(Severity::Fatal, IssueType::Exception, &long);
            let issue = (0..9).fold(issue.with_diagnostics(&long), |issue, _| issue.at(&long));
            outcome.push(issue);
        }
        let json = outcome.to_json();
        assert!(json.len() <= OUTCOME_BYTES_MAX, "{}", json.len());
        assert!(!json.contains(['\u{202e}', '\n', '\u{0}']));
        let value: Value = serde_json::from_str(&json).unwrap();
        let issues = value["issue"].as_array().unwrap();
        assert_eq!(issues.len(), ISSUES_MAX);
        assert!(issues[ISSUES_MAX - 1]["details"]["text"].as_str().unwrap().starts_with("9952 "));
        assert_eq!(outcome.status(), Status::INTERNAL);
    }

    #[test]
    fn the_worst_issue_decides_the_status_and_warnings_none() {
        let mut outcome =
            Outcome::new(Issue::new(Severity::Warning, IssueType::NotFound, "no such"));
        assert_eq!(outcome.status(), Status::OK);
        outcome.push(Issue::new(Severity::Error, IssueType::Deleted, "gone"));
        outcome.push(Issue::new(Severity::Error, IssueType::Conflict, "stale"));
        assert_eq!(outcome.status(), Status::GONE);
        assert_eq!(outcome.clone().with_status(Status::FORBIDDEN).status().code(), 403);
        assert_eq!(outcome.status().line(), "410 Gone");
    }

    #[test]
    fn json_has_only_what_was_said() {
        let outcome = Outcome::error(IssueType::Required, "name it").at("Bundle.entry[0].request");
        assert_eq!(
            outcome.to_json(),
            r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","details":{"text":"name it"},"expression":["Bundle.entry[0].request"]}]}"#
        );
    }
}

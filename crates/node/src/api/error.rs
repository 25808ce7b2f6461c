//! Errors of the interface: a status, a code for programs, whose fault it is, and what to do next.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use keepwell_engine::{admission::Refused, index::IndexError, reader::ReadError};
use keepwell_types::DecodeError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    custody::{CustodyError, store::StoreError},
    matching::MatchingError,
    release::ReleaseError,
};

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Whoever asked.
    Client,
    /// This node: another one may do it.
    Node,
    /// Nobody: the rules of the ledger say no.
    Ledger,
}

/// An error as it is sent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ErrorBody {
    /// For programs; does not change between versions.
    pub error: String,
    /// Whose fault it is.
    pub fault: Fault,
    /// For people: what happened, and what to do next.
    pub message: String,
}

/// An error of the interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    fault: Fault,
    message: String,
}

/// Seconds after which a busy node may be asked again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

impl ApiError {
    /// The fault of whoever asked.
    pub fn client(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, fault: Fault::Client, message: message.into() }
    }

    /// This node cannot do it now.
    pub fn node(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, fault: Fault::Node, message: message.into() }
    }

    /// The ledger says no.
    pub fn ledger(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, fault: Fault::Ledger, message: message.into() }
    }

    /// What was sent is not what this path takes.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::client(StatusCode::BAD_REQUEST, "malformed", message)
    }

    /// The ledger has no such thing.
    pub fn not_found(what: &str) -> Self {
        let message = format!("{what} is not on the ledger at this node's newest block");
        Self::ledger(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The asker may not.
    pub fn forbidden(who: &str) -> Self {
        let message = format!("only {who} may ask for this; ask with the key of one of them");
        Self::ledger(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// The body is too long.
    pub fn too_long(max: u64) -> Self {
        let message = format!("the body has more than the {max} bytes that this path takes");
        Self::client(StatusCode::PAYLOAD_TOO_LARGE, "too_long", message)
    }

    /// For programs.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, fault, message } = self;
        let retry = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_EARLY
        );
        let body = Json(ErrorBody { error: code.to_owned(), fault, message });
        let mut response = (status, body).into_response();
        if retry {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
        }
        response
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let code = match error {
            ReadError::NotHere => "not_here",
            ReadError::Storage => "storage",
        };
        Self::node(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
    }
}

impl From<IndexError> for ApiError {
    fn from(error: IndexError) -> Self {
        tracing::error!(%error, "the index could not be read");
        Self::from(ReadError::Storage)
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        Self::malformed(format!("{error}; send the canonical encoding"))
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        let client = |status, code| Self::client(status, code, message.clone());
        let node = |status, code| Self::node(status, code, message.clone());
        match refused {
            Refused::Part { why, .. } => Self { message, ..(*why).into() },
            Refused::PlaceTaken => client(StatusCode::CONFLICT, "place_taken"),
            Refused::PartAlone => client(StatusCode::BAD_REQUEST, "part_alone"),
            Refused::Transaction(_) => client(StatusCode::BAD_REQUEST, "no_transaction"),
            Refused::Malformed(_) => client(StatusCode::BAD_REQUEST, "malformed"),
            Refused::Signature(_) => client(StatusCode::BAD_REQUEST, "bad_signature"),
            Refused::WrongChain { .. } => client(StatusCode::BAD_REQUEST, "wrong_chain"),
            Refused::Expired { .. } => client(StatusCode::BAD_REQUEST, "expired"),
            Refused::NotYet { .. } => client(StatusCode::BAD_REQUEST, "not_yet"),
            Refused::Window { .. } => client(StatusCode::BAD_REQUEST, "window"),
            Refused::IdTaken => client(StatusCode::CONFLICT, "id_taken"),
            Refused::Signer(_) => Self::ledger(StatusCode::FORBIDDEN, "signer", message),
            Refused::Busy(_) => node(StatusCode::TOO_MANY_REQUESTS, "busy"),
            Refused::Missed => node(StatusCode::SERVICE_UNAVAILABLE, "missed"),
            Refused::Unavailable(error) => error.into(),
            Refused::Stopping => node(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        }
    }
}

impl From<CustodyError> for ApiError {
    fn from(error: CustodyError) -> Self {
        let message = error.to_string();
        let client = |status, code| Self::client(status, code, message.clone());
        match error {
            CustodyError::Store(error) => error.into(),
            CustodyError::Pending(error) => {
                tracing::error!(%error, "the custody index failed");
                Self::node(StatusCode::SERVICE_UNAVAILABLE, "storage", message)
            }
            CustodyError::Busy { .. } | CustodyError::OrganisationBusy { .. } => {
                Self::node(StatusCode::TOO_MANY_REQUESTS, "busy", message)
            }
            CustodyError::Quota(_) => client(StatusCode::INSUFFICIENT_STORAGE, "quota"),
            CustodyError::InUse => client(StatusCode::CONFLICT, "in_use"),
            CustodyError::OtherParty => client(StatusCode::CONFLICT, "other_party"),
            CustodyError::Exists => client(StatusCode::CONFLICT, "exists"),
            CustodyError::NotSealed => client(StatusCode::BAD_REQUEST, "not_sealed"),
            CustodyError::NoBody => client(StatusCode::CONFLICT, "no_body"),
            CustodyError::Malformed(_) => client(StatusCode::BAD_REQUEST, "malformed"),
            CustodyError::Label(_) => client(StatusCode::BAD_REQUEST, "wrong_label"),
            CustodyError::OtherChart => client(StatusCode::BAD_REQUEST, "other_chart"),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound => Self::node(StatusCode::NOT_FOUND, "not_stored", message),
            StoreError::Full => Self::node(StatusCode::INSUFFICIENT_STORAGE, "full", message),
            StoreError::CutOff => Self::client(StatusCode::BAD_REQUEST, "cut_off", message),
            StoreError::TooSlow { .. } => {
                Self::client(StatusCode::REQUEST_TIMEOUT, "too_slow", message)
            }
            StoreError::TooLong { max } => Self::too_long(max),
            StoreError::Failed(_) => {
                // The cause may name objects, and with them charts: only its kind goes to the log.
                tracing::error!("the store of sealed objects failed");
                Self::node(StatusCode::SERVICE_UNAVAILABLE, "storage", message)
            }
        }
    }
}

impl From<MatchingError> for ApiError {
    fn from(error: MatchingError) -> Self {
        let message = error.to_string();
        let (code, status) = (error.code(), error.status());
        match error.fault() {
            Fault::Client => Self::client(status, code, message),
            Fault::Node => Self::node(status, code, message),
            Fault::Ledger => Self::ledger(status, code, message),
        }
    }
}

impl From<ReleaseError> for ApiError {
    fn from(error: ReleaseError) -> Self {
        let message = error.to_string();
        let (code, status) = (error.code(), error.status());
        match error.fault() {
            Fault::Client => Self::client(status, code, message),
            Fault::Node => Self::node(status, code, message),
            Fault::Ledger => Self::ledger(status, code, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use keepwell_engine::mempool::Busy;
    use keepwell_types::{limits::SEALED_BYTES_MAX, time::BlockTime};

    use keepwell_engine::admission::NoTransaction;

    use super::*;
    use crate::custody::quota::{OverQuota, Whose};

    /// Each error with its status, its code, whose fault it is, and whether it may be tried again soon.
    fn check<E: Into<ApiError>>(
        cases: impl IntoIterator<Item = (E, u16, &'static str, Fault, bool)>,
    ) {
        for (error, status, code, fault, again) in cases {
            let error: ApiError = error.into();
            assert_eq!((error.status.as_u16(), error.code, error.fault), (status, code, fault));
            assert!(!error.message.is_empty(), "{code}");
            let response = error.into_response();
            assert_eq!(response.headers().contains_key(RETRY_AFTER), again, "{code}");
        }
    }

    #[test]
    fn refused_commands_say_whose_fault_it_is() {
        let (from, until, now) = (BlockTime(9), BlockTime(1), BlockTime(5));
        let part = |why| Refused::Part { place: 7, why: Box::new(why) };
        check([
            (Refused::Expired { until, now }, 400, "expired", Fault::Client, false),
            (Refused::NotYet { from, now }, 400, "not_yet", Fault::Client, false),
            (Refused::Window { len_ms: 0, max_ms: 1 }, 400, "window", Fault::Client, false),
            (Refused::IdTaken, 409, "id_taken", Fault::Client, false),
            (Refused::PlaceTaken, 409, "place_taken", Fault::Client, false),
            (Refused::PartAlone, 400, "part_alone", Fault::Client, false),
            (NoTransaction::Count { given: 1 }.into(), 400, "no_transaction", Fault::Client, false),
            (part(Refused::IdTaken), 409, "id_taken", Fault::Client, false),
            (part(Refused::Missed), 503, "missed", Fault::Node, true),
            (Refused::Busy(Busy::Gathered { max: 1 }), 429, "busy", Fault::Node, true),
            (Refused::Busy(Busy::Payer { max: 1 }), 429, "busy", Fault::Node, true),
            (Refused::Busy(Busy::Pool { max: 1 }), 429, "busy", Fault::Node, true),
            (Refused::Missed, 503, "missed", Fault::Node, true),
            (Refused::Stopping, 503, "stopping", Fault::Node, true),
            (Refused::Unavailable(ReadError::NotHere), 503, "not_here", Fault::Node, true),
        ]);
    }

    #[test]
    fn refused_objects_say_whose_fault_it_is() {
        let quota = OverQuota { whose: Whose::Party, bytes: 2, max: 1 };
        check([
            (CustodyError::Quota(quota), 507, "quota", Fault::Client, false),
            (CustodyError::Busy { max: 1 }, 429, "busy", Fault::Node, true),
            (CustodyError::OrganisationBusy { max: 1 }, 429, "busy", Fault::Node, true),
            (CustodyError::OtherParty, 409, "other_party", Fault::Client, false),
            (CustodyError::Exists, 409, "exists", Fault::Client, false),
        ]);
        check([
            (StoreError::Full, 507, "full", Fault::Node, false),
            (StoreError::CutOff, 400, "cut_off", Fault::Client, false),
            (StoreError::TooSlow { bytes_per_s_min: 1 }, 408, "too_slow", Fault::Client, false),
            (StoreError::TooLong { max: SEALED_BYTES_MAX }, 413, "too_long", Fault::Client, false),
        ]);
    }
}

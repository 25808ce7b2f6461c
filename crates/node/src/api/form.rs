//! How values travel: canonical CBOR, or JSON of the same value where the asker accepts it; and how
//! paths and queries are read.

use std::convert::Infallible;

use axum::{
    Json,
    extract::{FromRequestParts, Path, Query},
    http::{
        StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};

use super::error::ApiError;

/// The media type of canonical CBOR.
pub const CBOR: &str = "application/cbor";

/// What the asker takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Accept {
    /// Canonical CBOR: what is signed and proven.
    Cbor,
    /// JSON: for people.
    Json,
}

impl<S: Sync> FromRequestParts<S> for Accept {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let json = accept.is_some_and(|it| it.contains("json") && !it.contains("cbor"));
        Ok(if json { Self::Json } else { Self::Cbor })
    }
}

impl Accept {
    /// `value` in this form.
    pub fn answer<T: minicbor::Encode<()> + Serialize>(self, value: &T) -> Response {
        match self {
            Self::Cbor => ([(CONTENT_TYPE, CBOR)], keepwell_types::encode(value)).into_response(),
            Self::Json => Json(value).into_response(),
        }
    }
}

/// Bytes that are a canonical encoding already.
pub fn cbor(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, CBOR)], bytes).into_response()
}

/// The variable parts of a path.
pub struct Segments<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(error) => Err(ApiError::malformed(format!("the path: {}", error.body_text()))),
        }
    }
}

/// The query.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(ApiError::malformed(format!("the query: {}", error.body_text()))),
        }
    }
}

/// For paths that are not of this interface.
pub async fn no_such_path() -> ApiError {
    let message = "no such path; GET /v1/openapi.json lists them";
    ApiError::client(StatusCode::NOT_FOUND, "no_such_path", message)
}

/// For methods that a path does not have.
pub async fn no_such_method() -> ApiError {
    let message = "this path has other methods; GET /v1/openapi.json lists them";
    ApiError::client(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", message)
}

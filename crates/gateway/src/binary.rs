//! `Binary` as bytes (R4, 2.31): content of any type and size, streamed to the custodians and back.
//!
//! ```text
//! POST Binary, Content-Type T, X-Security-Context: Patient/ID ──> a record of the bytes ──> a Binary that names it
//! GET Binary/ID, Accept T ──> one access to both ──> the bytes
//! GET Binary/ID, Accept application/fhir+json ──> one access to both ──> the Binary, with the bytes in it
//! ```
//!
//! # Invariants
//!
//! * Whose chart it is in is said by `X-Security-Context` and by nothing else.
//! * What comes back is no page of the gateway's: it is an attachment, of the type with which it was sent, that no browser
//!   runs.
//! * Bytes that are a FHIR resource with an id are refused: whoever builds the index again would find the resource there.
//!
//! Not here: new versions of bytes (send another Binary), parts of them (`Range`), and `HEAD`. Histories and versions show
//! a Binary without its bytes.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Request, StatusCode,
        header::{
            ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
            CONTENT_TYPE, ETAG, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use keepwell_fhir::{
    bundle::{self, Owner},
    interaction::{Id, ResourceType},
    outcome::{IssueType, Outcome, Status},
};
use keepwell_types::record::RecordKind;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::{
    answer::{Answer, not_found},
    content::{CONTENT_BYTES_MAX, Content, finish, reader_of, time_for},
    follow::BODY_BYTES_MAX,
    gateway::{Asker, Found, Gateway},
    write::{Refusal, Sent},
};

const SECURITY_CONTEXT: HeaderName = HeaderName::from_static("x-security-context");
/// Bytes that are shown inside a resource: more are asked for as they are.
const INSIDE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Characters of a content type.
const TYPE_CHARS_MAX: usize = 255;

/// Whether a request sends a Binary as bytes.
pub(crate) fn is_sent_as_bytes(headers: &HeaderMap) -> bool {
    let kind = essence(headers.get(CONTENT_TYPE));
    kind.is_some_and(|it| !is_fhir(&it))
}

/// How a reader wants a Binary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// As a resource.
    Resource,
    /// As bytes, of one of these media types or ranges.
    Bytes(Vec<String>),
    /// As it was sent.
    Any,
}

impl Wanted {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let all = headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok());
        let all = all.flat_map(|it| it.split(',')).map(essence_of).filter(|it| !it.is_empty());
        let ranges: Vec<_> = all.collect();
        if ranges.iter().any(|it| is_fhir(it) || it == "application/*") {
            return Self::Resource;
        }
        if ranges.is_empty() || ranges.iter().any(|it| it == "*/*") {
            return Self::Any;
        }
        Self::Bytes(ranges)
    }

    fn takes(&self, kind: &str) -> bool {
        let Self::Bytes(ranges) = self else { return true };
        let kind = essence_of(kind);
        let of_type = kind.split('/').next().unwrap_or_default();
        ranges.iter().any(|it| *it == kind || it.strip_suffix("/*") == Some(of_type))
    }
}

impl Gateway {
    /// Adds bytes that were sent, and a Binary for them.
    pub(crate) async fn create_binary(
        &self,
        asker: &Asker,
        request: Request<Body>,
    ) -> Result<Answer, Outcome> {
        let (parts, body) = request.into_parts();
        let (kind, bytes) = (media_type(&parts.headers)?, length(&parts.headers)?);
        let context = parts.headers.get(SECURITY_CONTEXT).and_then(|it| it.to_str().ok());
        let context = context.ok_or_else(no_context)?.trim();
        let chart = self.chart_of_owner(&Owner::Elsewhere(context.to_owned())).await?;
        let sending = async {
            let source = without_resources(reader_of(body), bytes).await?;
            let about = (chart, RecordKind::Document, None);
            let added = self.add_content(asker, about, (source, bytes)).await;
            added.map_err(Refusal::outcome)
        };
        let added = timeout(time_for(bytes), sending).await;
        let content = added.map_err(|_| too_slow())??;
        let of: ResourceType = "Binary".parse().expect("R4 has it");
        let json = json!({
            "resourceType": "Binary", "contentType": kind,
            "_contentType": { "extension": [content.extension()] },
            "securityContext": { "reference": context },
        });
        let sent = Sent::of_json(of, &json.to_string())?;
        self.create_in(asker, (of, Some(chart)), sent, None).await
    }

    /// A Binary, as its reader wants it; nothing if the ordinary way shows it so.
    pub(crate) async fn read_binary(
        self: &Arc<Self>,
        asker: &Asker,
        id: &Id,
        wanted: &Wanted,
    ) -> Result<Option<Response>, Outcome> {
        let of: ResourceType = "Binary".parse().expect("R4 has it");
        let found = self.only_shown(asker, of, id).await?;
        let Some(content) = Content::in_element(&found.resource["_contentType"]) else {
            return self.read_inside(asker, &found, wanted).await;
        };
        let names = [name_of(&found), content.name];
        let mut opened = self.open_content(asker, found.version.chart, &names).await?;
        let record = opened.pop().ok_or_else(not_found)?;
        if *wanted == Wanted::Resource {
            if content.bytes > INSIDE_BYTES_MAX {
                return Err(too_long_inside());
            }
            let bytes = self.whole_content(asker, &record).await?;
            return Ok(Some(resource_with(&found, &bytes)));
        }
        let headers = headers_of(&found, wanted, content.bytes)?;
        let asker = asker.clone();
        let body = self.streamed(content.bytes, move |gateway, mut output| {
            Box::pin(async move {
                gateway.write_content(&asker, &record, &mut output).await?;
                finish(output).await;
                Ok(())
            })
        });
        Ok(Some((StatusCode::OK, headers, body).into_response()))
    }

    /// A Binary that has its bytes inside.
    async fn read_inside(
        &self,
        asker: &Asker,
        found: &Found,
        wanted: &Wanted,
    ) -> Result<Option<Response>, Outcome> {
        if !matches!(wanted, Wanted::Bytes(_)) {
            return Ok(None);
        }
        if self.may_show(asker, &[&found.version]).await? != [true] {
            return Err(not_found());
        }
        let data = found.resource["data"].as_str().unwrap_or_default();
        let data: String = data.chars().filter(|it| !it.is_ascii_whitespace()).collect();
        let bytes = BASE64_STANDARD.decode(data).map_err(|_| not_base64())?;
        let headers = headers_of(found, wanted, bytes.len() as u64)?;
        Ok(Some((StatusCode::OK, headers, bytes).into_response()))
    }
}

pub(crate) fn name_of(found: &Found) -> keepwell_types::access::RecordName {
    let (position, record) = (found.version.position, found.version.record);
    keepwell_types::access::RecordName { position, record }
}

/// The headers of an answer that is bytes. Nothing in it is a page of this origin.
fn headers_of(found: &Found, wanted: &Wanted, bytes: u64) -> Result<HeaderMap, Outcome> {
    let kind = found.resource["contentType"].as_str().unwrap_or_default();
    if !wanted.takes(kind) {
        return Err(other_type());
    }
    let fallback = || HeaderValue::from_static("application/octet-stream");
    let kind = HeaderValue::from_str(kind).unwrap_or_else(|_| fallback());
    let mut headers = HeaderMap::from_iter([
        (CONTENT_TYPE, kind),
        (CONTENT_LENGTH, HeaderValue::from(bytes)),
        (CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]);
    if let Ok(tag) = HeaderValue::from_str(&format!("W/\"{}\"", found.version.number)) {
        headers.insert(ETAG, tag);
    }
    let context = found.resource["securityContext"]["reference"].as_str();
    if let Some(context) = context.and_then(|it| HeaderValue::from_str(it).ok()) {
        headers.insert(SECURITY_CONTEXT, context);
    }
    Ok(headers)
}

/// The resource with its bytes inside, in place of where they are.
fn resource_with(found: &Found, bytes: &[u8]) -> Response {
    let mut resource = found.resource.clone();
    if let Value::Object(elements) = &mut resource {
        elements.remove("_contentType");
        elements.insert("data".into(), BASE64_STANDARD.encode(bytes).into());
    }
    let version = (found.version.number, found.version.time);
    crate::server::of_answer(Answer::shows(Status::OK, &resource.to_string(), version))
}

/// The same bytes, unless they are a FHIR resource with an id.
async fn without_resources(
    mut source: impl AsyncRead + Send + Unpin + 'static,
    bytes: u64,
) -> Result<Box<dyn AsyncRead + Send + Unpin>, Outcome> {
    if bytes > BODY_BYTES_MAX {
        return Ok(Box::new(source));
    }
    let mut first = Vec::new();
    // A byte order mark and white space may stand before JSON.
    let read = (&mut source).take(64).read_to_end(&mut first).await;
    read.map_err(|_| cut())?;
    let is_json = first.iter().find(|it| !b"\xef\xbb\xbf \t\r\n".contains(it));
    if is_json.is_none_or(|it| *it == b'{') {
        (&mut source).take(bytes).read_to_end(&mut first).await.map_err(|_| cut())?;
        let whole = bundle::cut(&first, first.len());
        if whole.is_ok_and(|it| it.resources.iter().any(|it| it.id.is_some())) {
            return Err(is_a_resource());
        }
    }
    Ok(Box::new(std::io::Cursor::new(first).chain(source)))
}

/// A media type in small letters, without its parameters.
fn essence_of(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn essence(header: Option<&HeaderValue>) -> Option<String> {
    Some(essence_of(header?.to_str().ok()?)).filter(|it| !it.is_empty())
}

fn is_fhir(kind: &str) -> bool {
    matches!(
        kind,
        "application/fhir+json"
            | "application/fhir+xml"
            | "application/json"
            | "json"
            | "text/json"
    )
}

/// The media type of what is sent.
fn media_type(headers: &HeaderMap) -> Result<String, Outcome> {
    let text = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let is_token = |it: &str| {
        let is_of_token = |c: char| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c);
        !it.is_empty() && it.chars().all(is_of_token)
    };
    let kind = essence_of(text);
    let is_type = kind.split_once('/').is_some_and(|(of, sub)| is_token(of) && is_token(sub));
    if is_type && text.len() <= TYPE_CHARS_MAX {
        return Ok(text.trim().to_owned());
    }
    let text = "what is sent has a media type, as Content-Type: application/pdf";
    Err(Outcome::error(IssueType::Value, text).with_status(Status::UNSUPPORTED_MEDIA_TYPE))
}

/// How many bytes are sent.
fn length(headers: &HeaderMap) -> Result<u64, Outcome> {
    let text = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
    let Some(bytes) = text.and_then(|it| it.parse().ok()) else {
        let text = "its length must be known before it is sealed; send it with a Content-Length";
        return Err(Outcome::error(IssueType::Required, text));
    };
    if bytes > CONTENT_BYTES_MAX {
        let text = format!("{bytes} bytes are more than {CONTENT_BYTES_MAX}; send it in parts");
        return Err(Outcome::error(IssueType::TooLong, &text));
    }
    Ok(bytes)
}

fn no_context() -> Outcome {
    let text = "say in whose chart it belongs, as X-Security-Context: Patient/ID";
    Outcome::error(IssueType::BusinessRule, text)
}

fn is_a_resource() -> Outcome {
    let text = "these bytes are a FHIR resource; send it as one, with Content-Type: application/fhir+json, or in the data of a Binary";
    Outcome::error(IssueType::BusinessRule, text)
}

fn cut() -> Outcome {
    Outcome::error(IssueType::Structure, "the body did not come whole; send it again")
}

fn too_slow() -> Outcome {
    let text = "it took longer than its window on the ledger; send it again over a faster line";
    Outcome::error(IssueType::Timeout, text)
}

fn too_long_inside() -> Outcome {
    let text = format!(
        "it has more than the {INSIDE_BYTES_MAX} bytes that are shown inside a resource; ask for it with Accept: */*"
    );
    Outcome::error(IssueType::TooCostly, &text).with_status(Status::NOT_ACCEPTABLE)
}

fn other_type() -> Outcome {
    let text = "it is of another media type; ask with Accept: */* for the one that it has";
    Outcome::error(IssueType::NotSupported, text).with_status(Status::NOT_ACCEPTABLE)
}

fn not_base64() -> Outcome {
    let text = "its data are no base64; ask for it with Accept: application/fhir+json";
    Outcome::error(IssueType::NotSupported, text).with_status(Status::NOT_ACCEPTABLE)
}

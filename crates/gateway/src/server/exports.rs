//! Requests for exports: one that begins, how it stands, its files, and its end (Bulk Data Access 2.0).
//!
//! ```text
//! GET, POST  [Patient/ | Group/ID/]$export     202, Content-Location: BASE/bulk/ID
//! GET        bulk/ID                           202 with X-Progress, or 200 with the manifest
//! DELETE     bulk/ID                           202; it is not there any more
//! GET        bulk/ID/NUMBER.ndjson             a file, or a stretch of it
//! ```
//!
//! # Invariants
//!
//! * What is no name of an export or of a file is a name of nothing; none of it is a path of anything.
//! * Exports are for systems: a person or an app has none, and no token of theirs finds one.
//!
//! Not here: what is exported.

use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, EXPIRES, IF_RANGE, RANGE};
use keepwell_fhir::export;

use super::*;
use crate::export::{ByteRange, ExportId, PATH, Request as Wanted, Standing};

/// Files that are sent at once.
pub(super) const FILES_MAX: usize = 8;
const X_PROGRESS: HeaderName = HeaderName::from_static("x-progress");
const NDJSON: HeaderValue = HeaderValue::from_static("application/fhir+ndjson");
/// After how many seconds a client should ask again.
const POLL_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// What of an export is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// The export itself.
    Standing(ExportId),
    /// One of its files.
    File(ExportId, u32),
}

impl Route {
    /// What a path below the base asks for.
    pub(super) fn of(below: &str) -> Option<Self> {
        let rest = below.strip_prefix(PATH)?;
        let Some((id, file)) = rest.split_once('/') else {
            return ExportId::parse(rest).map(Self::Standing);
        };
        let number = file.strip_suffix(".ndjson")?;
        let file = number.parse::<u32>().ok().filter(|it| it.to_string() == number)?;
        Some(Self::File(ExportId::parse(id)?, file))
    }
}

impl Service {
    /// Begins an export.
    pub(super) async fn begin_export(
        &self,
        session: &Session,
        (of, query): (&Of, &RawQuery),
        headers: &Headers,
        body: &[u8],
    ) -> Result<Answer, Outcome> {
        self.for_systems(session)?;
        if !headers.prefer.respond_async {
            let text = "an export takes a while: ask for it with Prefer: respond-async, and look where Content-Location says until it is done";
            return Err(Outcome::error(IssueType::Required, text));
        }
        let mut pairs = form::decode(query.as_str()).map_err(of_search)?;
        let is_post = !body.is_empty();
        if is_post {
            pairs.extend(export::pairs_in(body)?);
        }
        let base = self.gateway.base();
        let path = match of {
            Of::System => "$export".to_owned(),
            Of::Type(of) => format!("{of}/$export"),
            Of::Instance(of, id) => format!("{of}/{id}/$export"),
        };
        let and = if query.is_empty() { "" } else { "?" };
        let url = format!("{base}/{path}{and}{}", query.as_str());
        let handling = match headers.prefer.handling {
            Some(header::Handling::Lenient) => Handling::Lenient,
            Some(header::Handling::Strict) | None => Handling::Strict,
        };
        let wanted = Wanted { url, of, pairs, handling, is_post };
        let (id, ignored) = self.exports.begin(session, wanted).await?;
        let content_location = Some(format!("{base}{PATH}{id}"));
        let told = export::told(&ignored).map(|it| it.to_json());
        Ok(Answer { content_location, body: told, ..Answer::of(Status::ACCEPTED, String::new()) })
    }

    /// Answers a request for what has become of an export.
    pub(super) async fn of_export(
        &self,
        route: Route,
        request: Request,
    ) -> Result<Response, Outcome> {
        let session = self.session(request.headers())?;
        self.for_systems(&session)?;
        let client = session.client.as_str();
        match (request.method().as_str(), route) {
            ("GET" | "HEAD", Route::Standing(id)) => {
                Ok(of_standing(self.exports.standing(client, id).await?))
            }
            ("DELETE", Route::Standing(id)) => {
                self.exports.cancel(client, id).await?;
                let text = "the export has ended, and is not kept any more";
                let done = Issue::new(Severity::Information, IssueType::Informational, text);
                Ok(of_answer(Answer::of(Status::ACCEPTED, Outcome::new(done).to_json())))
            }
            (method @ ("GET" | "HEAD"), Route::File(id, file)) => {
                let is_head = method == "HEAD";
                self.send_file(&session, (id, file), request.headers(), is_head).await
            }
            _ => Err(not_served()),
        }
    }

    async fn send_file(
        &self,
        session: &Session,
        file: (ExportId, u32),
        headers: &HeaderMap,
        is_head: bool,
    ) -> Result<Response, Outcome> {
        let opened = self.exports.open(session, file).await?;
        let (bytes, tag) = (opened.bytes, opened.tag());
        // A stretch of another file than the client has is of no use to it.
        let is_same = headers.get(IF_RANGE).is_none_or(|it| it.as_bytes() == tag.as_bytes());
        let range = headers.get(RANGE).filter(|_| is_same && !is_head);
        let (status, range) = match ByteRange::parse(range, bytes) {
            ByteRange::Whole => (StatusCode::OK, 0..bytes),
            ByteRange::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
            ByteRange::Unsatisfiable => {
                let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
                put(&mut response, CONTENT_RANGE, &format!("bytes */{bytes}"));
                return Ok(response);
            }
        };
        let length = range.end - range.start;
        let part = format!("bytes {}-{}/{bytes}", range.start, range.end.saturating_sub(1));
        let body = if is_head {
            Body::empty()
        } else {
            // It is never closed.
            let place = self.files.clone().acquire_owned().await;
            let place = place.map_err(|_| not_served())?;
            self.exports.body_of(opened, range, place)
        };
        let mut response = (status, [(CONTENT_TYPE, NDJSON)], body).into_response();
        put(&mut response, CONTENT_LENGTH, &length.to_string());
        put(&mut response, ETAG, &tag);
        put(&mut response, ACCEPT_RANGES, "bytes");
        put(&mut response, CACHE_CONTROL, "no-store");
        if status == StatusCode::PARTIAL_CONTENT {
            put(&mut response, CONTENT_RANGE, &part);
        }
        Ok(response)
    }

    fn for_systems(&self, session: &Session) -> Result<(), Outcome> {
        if self.sessions.is_system(&session.client) {
            return Ok(());
        }
        let text = "exports are for systems, with a key of their own and scopes such as system/*.rs; ask for what you need page by page";
        Err(Outcome::error(IssueType::Forbidden, text))
    }
}

fn of_standing(standing: Standing) -> Response {
    let mut response = match standing {
        Standing::Running(count) => {
            let mut response = StatusCode::ACCEPTED.into_response();
            put(&mut response, X_PROGRESS, &format!("{count} resources so far"));
            response.headers_mut().insert(RETRY_AFTER, POLL_AFTER_S);
            response
        }
        Standing::Done(manifest, until_ms) => {
            let mut response = json(StatusCode::OK, &manifest.to_string());
            put(&mut response, EXPIRES, &header::last_modified(until_ms));
            response
        }
        Standing::Failed(outcome) => of_outcome(&outcome),
    };
    put(&mut response, CACHE_CONTROL, "no-store");
    response
}

fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_export_or_nothing() {
        let id = ExportId::random();
        let is_file = |file: &str| Route::of(&format!("/bulk/{id}/{file}"));
        assert_eq!(Route::of(&format!("/bulk/{id}")), Some(Route::Standing(id)));
        assert_eq!(is_file("1.ndjson"), Some(Route::File(id, 1)));
        for file in [
            "",
            "1",
            ".ndjson",
            "01.ndjson",
            "+1.ndjson",
            "-1.ndjson",
            "1.ndjson/",
            "1.NDJSON",
            "../1.ndjson",
            "..%2f1.ndjson",
            "1.ndjson%00",
            "4294967296.ndjson",
            "index.db",
            "%31.ndjson",
            "1.ndjson/../../metadata",
        ] {
            assert_eq!(is_file(file), None, "{file}");
        }
        for below in ["/bulk", "/bulk/", "/bulk/..", "/bulk/../metadata", "/Bulk/x", "bulk/x"] {
            assert_eq!(Route::of(below), None, "{below}");
        }
    }
}

//! A trustee's service: HTTP around `keepwell_client::trustee`, and a journal of what it answered.
//!
//! ```text
//! POST /v1/share   TrusteeRequest ──> TrusteeAnswer      both canonical CBOR; errors are JSON, as a node's
//! GET  /v1/health
//!
//! DIR/trustee.key       its keys
//! DIR/answered.jsonl    one line for each access that it answered: no secret, and nobody else reads it
//! ```
//!
//! # Invariants
//!
//! * Nothing is answered before its line in the journal is durable.
//! * Who asks need not say who it is: what it brings proves what may be opened, and the answer opens for
//!   nobody but the reader whose key the access names.
//! * A body is read only while there is a place for it, so memory is bounded.
//! * No secret, no chart and no person is in the log.
//!
//! Not here: what is checked, which is in the client's library with all other verification.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use keepwell_client::{
    Consortium,
    emergency::SHARE_PATH,
    identity::{TrusteeIdentity, Unlock},
    trustee::{Answered, TRUSTEE_REQUEST_BYTES_MAX, Trustee, TrusteeRefusal},
};
use keepwell_crypto::trustee::TrusteeKey;
use keepwell_node::{
    api::{error::ApiError, server, visitors},
    tls::Certificate,
};
use keepwell_types::{id::CommandDigest, time::BlockTime};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::failure::Failure;

/// Requests that are read and checked at one time: 64 of them have some 100 MiB.
const PLACES: usize = 64;
/// How long a request may take to come, so that nobody holds a place for long.
const READ: Duration = Duration::from_secs(5);
/// Accesses that are remembered as answered, so that asking again writes nothing again.
const REMEMBERED_MAX: usize = 4_096;

/// One trustee, ready to answer.
pub(crate) struct Service {
    trustee: Trustee,
    journal: Journal,
    places: Semaphore,
}

impl Service {
    /// Unlocks the trustee in `folder`, which must be one of the genesis file's.
    pub(crate) fn open(
        consortium: Arc<Consortium>,
        folder: &Path,
        unlock: &Unlock,
    ) -> Result<Self, Failure> {
        let path = folder.join("trustee.key");
        let identity = TrusteeIdentity::open(&path, unlock)?;
        let trustees = consortium.genesis().trustees.as_ref();
        let key = trustees.and_then(|it| TrusteeKey::new(it, identity.secret()));
        let key = key.ok_or_else(|| {
            Failure::Misused(format!(
                "the keys in {} are of none of the genesis file's trustees; name the right folder or file",
                path.display()
            ))
        })?;
        let journal = Journal::open(&folder.join("answered.jsonl"))?;
        let trustee = Trustee::new(consortium, key);
        Ok(Self { trustee, journal, places: Semaphore::new(PLACES) })
    }

    /// Its place among the trustees, counted from 1.
    pub(crate) const fn index(&self) -> u16 {
        self.trustee.index()
    }

    /// Answers until `stopping` turns true, with TLS where there is a certificate.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        certificate: Option<Arc<Certificate>>,
        stopping: watch::Receiver<bool>,
    ) {
        let tls = certificate.as_ref().map(Certificate::acceptor);
        let router = Router::new()
            .route(SHARE_PATH, post(share))
            .route("/v1/health", get(health))
            .layer(middleware::from_fn(server::in_time))
            .layer(middleware::from_fn(visitors::bounded))
            .with_state(Arc::new(self));
        let served = server::serve(listener, tls, router, stopping);
        match certificate {
            // It ends with the service.
            Some(certificate) => tokio::select! {
                () = served => {}
                () = certificate.keep() => {}
            },
            None => served.await,
        }
    }

    /// Checks, writes down, opens: on a thread that may wait for the disk.
    fn answer(&self, request: &[u8]) -> Result<Vec<u8>, ApiError> {
        let now = now();
        let permit = self.trustee.permit(now, request).map_err(|error| refused(&error))?;
        self.journal.note(&permit.answered(), now).map_err(|error| {
            tracing::error!(%error, "the journal of answers could not be written");
            let message = "this trustee cannot write down what it answers; ask others";
            ApiError::node(StatusCode::SERVICE_UNAVAILABLE, "storage", message)
        })?;
        Ok(self.trustee.answer(&permit).map_err(|error| refused(&error))?.encode())
    }
}

async fn health(State(service): State<Arc<Service>>) -> Response {
    Json(json!({ "trustee": service.index() })).into_response()
}

async fn share(State(service): State<Arc<Service>>, body: Body) -> Result<Response, ApiError> {
    let _place = service.places.try_acquire().map_err(|_| {
        let message = "this trustee is busy; ask again in a second, or ask others";
        ApiError::node(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    })?;
    let request = timeout(READ, to_bytes(body, TRUSTEE_REQUEST_BYTES_MAX)).await;
    let request = request
        .map_err(|_| {
            let message = "the request came too slowly; send it again";
            ApiError::client(StatusCode::REQUEST_TIMEOUT, "too_slow", message)
        })?
        .map_err(|_| ApiError::too_long(TRUSTEE_REQUEST_BYTES_MAX as u64))?;
    let working = service.clone();
    let answer = tokio::task::spawn_blocking(move || working.answer(&request)).await;
    let answer = answer.map_err(|_| {
        let message = "this trustee could not answer; ask others";
        ApiError::node(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
    })?;
    match &answer {
        Ok(_) => tracing::info!("gave shares for an emergency"),
        Err(error) => tracing::info!(code = error.code(), "gave no shares"),
    }
    Ok(([(CONTENT_TYPE, "application/cbor")], answer?).into_response())
}

fn refused(refusal: &TrusteeRefusal) -> ApiError {
    let (code, message) = (refusal.code(), refusal.to_string());
    match refusal {
        TrusteeRefusal::Malformed(_) | TrusteeRefusal::NoAccess | TrusteeRefusal::ReaderKey => {
            ApiError::client(StatusCode::BAD_REQUEST, code, message)
        }
        TrusteeRefusal::Proof(_) | TrusteeRefusal::Escrow => {
            ApiError::client(StatusCode::FORBIDDEN, code, message)
        }
        TrusteeRefusal::TooOld { .. }
        | TrusteeRefusal::NotLeft(_)
        | TrusteeRefusal::NoEmergency(_)
        | TrusteeRefusal::NotYet { .. }
        | TrusteeRefusal::Over { .. }
        | TrusteeRefusal::Suspended
        | TrusteeRefusal::Unlicensed
        | TrusteeRefusal::Share(_) => ApiError::ledger(StatusCode::FORBIDDEN, code, message),
    }
}

fn now() -> BlockTime {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    BlockTime(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// What was answered, one line for each access.
struct Journal(Mutex<Lines>);

struct Lines {
    file: File,
    path: PathBuf,
    noted: BTreeSet<CommandDigest>,
}

impl Journal {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let file = file.map_err(Failure::at(path))?;
        let path = path.to_path_buf();
        Ok(Self(Mutex::new(Lines { file, path, noted: BTreeSet::new() })))
    }

    /// Writes an answer down, durably, unless it is there already.
    fn note(&self, answered: &Answered, now: BlockTime) -> Result<(), Failure> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.noted.contains(&answered.access) {
            return Ok(());
        }
        let line = format!("{}\n", json!({ "at": now, "answered": answered }));
        let written = lines.file.write_all(line.as_bytes()).and_then(|()| lines.file.sync_data());
        written.map_err(Failure::at(&lines.path))?;
        if lines.noted.len() == REMEMBERED_MAX {
            lines.noted.clear();
        }
        lines.noted.insert(answered.access);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use keepwell_types::{
        id::{ChartId, LogPosition, MemberId},
        set::CompartmentSet,
    };

    use super::*;

    #[test]
    fn an_access_is_written_down_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answered.jsonl");
        let journal = Journal::open(&path).unwrap();
        let answered = |access| Answered {
            access: CommandDigest([access; 32]),
            chart: ChartId([1; 32]),
            emergency: LogPosition(7),
            member: MemberId([2; 16]),
            compartments: CompartmentSet::all(),
        };
        for access in [1, 2, 1] {
            journal.note(&answered(access), BlockTime(5)).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| line.contains("\"emergency\":7")), "{text}");
    }
}

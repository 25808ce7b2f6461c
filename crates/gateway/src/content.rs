//! Content: what is sent as bytes of any size, a record of its own beside the resource that says what it is.
//!
//! ```text
//! body ── sealed, at custodians, final ──> its record's name ──> in the resource: an extension, [`EXTENSION`]
//! resource ── one access to both ──> opened, chunk by chunk ──> body of the answer
//! ```
//!
//! # Invariants
//!
//! * Memory is a few chunks for each transfer, whatever its size.
//! * Content is final before the resource that names it is written. Where the second fails, the first is a record
//!   without a resource: it was not acknowledged, and its sender sends again.
//! * Nothing of content leaves before the access to it is committed and allowed; each chunk is authenticated by the
//!   client before it leaves, and an answer that cannot be finished is cut, never ended.
//! * The gateway's own content is known to the index by its record's id, so that following the ledger opens none of it.
//!
//! Not here: what content is, and who may send it.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use futures::{Stream, StreamExt as _, stream};
use keepwell_client::{
    ClientError,
    author::NewRecord,
    error::LedgerError,
    open::{OpenedRecord, Opening, What},
};
use keepwell_fhir::{
    classify::Sensitivity,
    outcome::{IssueType, Outcome},
};
use keepwell_types::{
    access::RecordName,
    id::{ChartId, Compartment, LogPosition, RecordId, UniquenessTag},
    limits::ACCESS_RECORDS_MAX,
    record::RecordKind,
    set::CompartmentSet,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWriteExt as _, DuplexStream, duplex},
    time::timeout,
};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::{
    answer::{not_found, refused, without_ids},
    gateway::{Asker, Gateway},
    index::NewVersion,
    server::TIME_MAX,
    write::Refusal,
};

/// The extension of a resource that says where its content is.
pub(crate) const EXTENSION: &str = "urn:keepwell:fhir:content";
/// Bytes of one content.
pub(crate) const CONTENT_BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;
/// How long a sender or a receiver may do nothing.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(30);
/// Bytes that a transfer moves in a millisecond at least, over all of its time: what an upload's window takes for granted.
const BYTES_PER_MS: u64 = 1_000;
/// Bytes that wait between the custodians and a receiver.
const PIPE_BYTES: usize = 1024 * 1024;
/// Bytes of one piece of an answer.
const PIECE_BYTES: usize = 64 * 1024;

/// Where content is, and how much.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Content {
    pub(crate) name: RecordName,
    pub(crate) bytes: u64,
}

impl Content {
    /// As an extension of the resource that describes it.
    pub(crate) fn extension(&self) -> Value {
        json!({ "url": EXTENSION, "extension": [
            { "url": "record", "valueString": hex::encode(self.name.record.0) },
            { "url": "position", "valueString": self.name.position.0.to_string() },
            { "url": "bytes", "valueString": self.bytes.to_string() },
        ]})
    }

    /// Reads what [`Self::extension`] wrote, in an element.
    pub(crate) fn in_element(element: &Value) -> Option<Self> {
        let all = element.get("extension")?.as_array()?;
        let one = all.iter().find(|it| it["url"] == EXTENSION)?;
        let part = |name: &str| {
            let parts = one.get("extension")?.as_array()?;
            parts.iter().find(|it| it["url"] == name)?.get("valueString")?.as_str()
        };
        let mut record = [0; 32];
        hex::decode_to_slice(part("record")?, &mut record).ok()?;
        let position = LogPosition(part("position")?.parse().ok()?);
        let name = RecordName { position, record: RecordId(record) };
        Some(Self { name, bytes: part("bytes")?.parse().ok()? })
    }
}

/// How long a transfer of so many bytes may take.
pub(crate) fn time_for(bytes: u64) -> Duration {
    TIME_MAX + Duration::from_millis(bytes / BYTES_PER_MS)
}

/// The bytes of a body, as long as they come.
pub(crate) fn reader_of(body: Body) -> impl AsyncRead + Send + Unpin + 'static {
    StreamReader::new(Box::pin(without_stalls(body)))
}

fn without_stalls(body: Body) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    stream::unfold(Some(body.into_data_stream()), |pieces| async move {
        let mut pieces = pieces?;
        match timeout(STALL_MAX, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(std::io::Error::other(error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

impl Gateway {
    /// Seals content and adds it to a chart: final, but no resource names it yet.
    pub(crate) async fn add_content(
        &self,
        asker: &Asker,
        (chart, kind, uniqueness): (ChartId, RecordKind, Option<UniquenessTag>),
        (source, bytes): (impl AsyncRead + Unpin, u64),
    ) -> Result<Content, Refusal> {
        let compartment = self.usual_compartment(chart).await?;
        let new = NewRecord { uniqueness, ..NewRecord::new(compartment, kind) };
        let authoring = self.client.authoring(&asker.actor, chart).await?;
        let added = self.client.add_record(&asker.actor, &authoring, &new, (source, bytes)).await;
        let added = added.map_err(of_sending)?;
        let position = self.client.position(&asker.actor, chart, &added.decided).await;
        let position = position.map_err(Refusal::of_command)?;
        let name = RecordName { position, record: added.record };
        self.note_content((chart, name), added.decided.outcome().time).await;
        Ok(Content { name, bytes })
    }

    /// Has the index know a record that is no resource.
    async fn note_content(
        &self,
        (chart, name): (ChartId, RecordName),
        time: keepwell_types::time::BlockTime,
    ) {
        let key = self.index.key();
        let version = NewVersion {
            record: name.record,
            chart,
            position: name.position,
            follows: None,
            name: key.term(&[b"content", &name.record.0]),
            kind: key.term(&[b"content"]),
            number: 1,
            time,
            body: b"",
            terms: Vec::new(),
        };
        if let Err(error) = self.index.put(&[version], None).await {
            let error = without_ids(&error);
            tracing::warn!(error, "content is final, and the index does not know it");
        }
    }

    /// The compartment of what says nothing of how sensitive it is.
    async fn usual_compartment(&self, chart: ChartId) -> Result<Compartment, Refusal> {
        let agent = self.agent.lock().await;
        let known = agent.chart(chart).map_err(ClientError::from)?;
        let compartment = known.meanings().compartment(Sensitivity::Normal.as_str());
        Ok(compartment.map_err(ClientError::from)?)
    }

    /// Opens records of one chart by one access, in the order of the names; nothing is there for whom the ledger refuses.
    pub(crate) async fn open_content(
        &self,
        asker: &Asker,
        chart: ChartId,
        names: &[RecordName],
    ) -> Result<Vec<OpenedRecord>, Outcome> {
        assert!(names.len() <= ACCESS_RECORDS_MAX, "an access has so many records");
        let unreached = |error: ClientError| {
            let is_refused = matches!(error, ClientError::Ledger(LedgerError::Rejected { .. }));
            if is_refused { not_found() } else { refused(&error) }
        };
        let holder = self.agent.lock().await.holder(chart);
        let holder = holder.map_err(|error| refused(&ClientError::from(error)))?;
        let agent = self.agent.lock().await.identity().actor();
        let entry = self.client.chart(&agent, chart).await.map_err(unreached)?;
        let all: CompartmentSet = Compartment::all().collect();
        let seeds = holder.seeds(&entry, all);
        let what = What::Records(names.to_vec());
        let (actor, purpose) = (&asker.actor, asker.purpose);
        let opening = Opening { actor, chart, what: &what, purpose, seeds: &seeds };
        let opened = self.client.open(&opening).await.map_err(unreached)?;
        let mut records = opened.records;
        let place = |it: &OpenedRecord| names.iter().position(|name| *name == it.facts().name);
        records.sort_by_key(place);
        if records.len() < names.len() {
            return Err(closed());
        }
        Ok(records)
    }

    /// Has `write` write the body of an answer, while it is sent; `bytes` says for how long that may go on.
    pub(crate) fn streamed<F>(self: &Arc<Self>, bytes: u64, write: F) -> Body
    where
        F: FnOnce(Arc<Self>, DuplexStream) -> Writing + Send + 'static,
    {
        let (writer, reader) = duplex(PIPE_BYTES);
        let writing = timeout(time_for(bytes), write(self.clone(), writer));
        let writing = tokio::spawn(writing);
        let pieces = ReaderStream::with_capacity(reader, PIECE_BYTES);
        let end = stream::once(async move {
            match writing.await {
                Ok(Ok(Ok(()))) => Ok(Bytes::new()),
                // The receiver sees that the body was cut.
                _ => Err(std::io::Error::other("the body could not be finished")),
            }
        });
        Body::from_stream(pieces.chain(end))
    }

    /// Writes the content of a record.
    pub(crate) async fn write_content(
        &self,
        asker: &Asker,
        record: &OpenedRecord,
        output: &mut DuplexStream,
    ) -> Result<(), ClientError> {
        let report = self.client.read(&asker.actor, record, output).await?;
        if !report.faults.is_empty() {
            tracing::warn!(faults = report.faults.len(), "custodians gave something wrong");
        }
        Ok(())
    }

    /// All of a record's content, of which there are `bytes_max` at most.
    pub(crate) async fn whole_content(
        &self,
        asker: &Asker,
        record: &OpenedRecord,
    ) -> Result<Vec<u8>, Outcome> {
        let mut bytes = Vec::new();
        let read = self.client.read(&asker.actor, record, &mut bytes).await;
        read.map_err(|error| refused(&error))?;
        Ok(bytes)
    }
}

/// The writing of a body.
pub(crate) type Writing = Pin<Box<dyn Future<Output = Result<(), ClientError>> + Send>>;

/// Ends a body.
pub(crate) async fn finish(mut output: DuplexStream) {
    // Whoever is gone does not see the end.
    let _ = output.shutdown().await;
}

/// What is wrong with a body that was being sent is its sender's doing.
fn of_sending(error: ClientError) -> Refusal {
    use keepwell_client::error::UsageError;

    if let ClientError::Usage(UsageError::Content(_) | UsageError::ContentLength { .. }) = &error {
        let text = format!(
            "the body did not come whole, or nothing came for {} seconds; send it again",
            STALL_MAX.as_secs()
        );
        return Refusal::Other(Outcome::error(IssueType::Structure, &text));
    }
    Refusal::of_command(error)
}

fn closed() -> Outcome {
    let text = "too few custodians or validators answer to open it; ask again in a while";
    Outcome::error(IssueType::Transient, text)
}

//! STOW-RS (PS3.18, 10.5): instances in.
//!
//! Each part is spooled, read and stored by itself; then the study of all that are stored is written once.
//!
//! # Invariants
//!
//! * The answer names each instance once, as stored or as failed, with a reason (PS3.18, Table I.2-2) and a comment.
//! * 200 if all are stored, 202 if some are, 409 if none is.
//!
//! Not here: metadata and bulk data as parts of their own.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::Request, http::header::CONTENT_TYPE};
use keepwell_fhir::{
    interaction::{Id, Query as Condition},
    outcome::{Issue, IssueType, Outcome, Status},
};
use keepwell_types::{
    access::RecordName,
    command::{Entry, Payload},
    id::{ChartId, UniquenessTag},
    record::RecordKind,
};
use serde_json::{Value, json};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    Uid, address_of,
    head::{self, Head},
    multipart::{self, Multipart, Related},
    spool::{Spool, Spooling},
    study::Stored,
};
use crate::{
    answer::{refused, without_ids},
    content::{CONTENT_BYTES_MAX, Content, reader_of, time_for},
    gateway::{Asker, Gateway},
    transaction::identifier_query,
    write::Refusal,
};

/// Parts of one request.
const PARTS_MAX: usize = 2_048;
/// Bytes of one instance.
const INSTANCE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Characters of a comment.
const COMMENT_CHARS_MAX: usize = 64;

/// The answer, in DICOM JSON.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Why an instance was not stored.
#[derive(Clone, Debug)]
struct Failure {
    reason: u16,
    comment: String,
    named: head::Named,
}

const PROCESSING: u16 = 0x0110;
const DUPLICATE: u16 = 0x0111;
const NOT_AUTHORISED: u16 = 0x0124;
const NO_ROOM: u16 = 0xA700;
const OTHER_STUDY: u16 = 0xA900;
const NOT_UNDERSTOOD: u16 = 0xC000;

impl Failure {
    fn new(reason: u16, comment: &str) -> Self {
        let comment = comment.chars().take(COMMENT_CHARS_MAX).collect();
        Self { reason, comment, named: (None, None) }
    }

    fn of(head: &Head, reason: u16, comment: &str) -> Self {
        let named = (Some(head.class.clone()), Some(head.instance.clone()));
        Self { named, ..Self::new(reason, comment) }
    }

    fn of_outcome(head: &Head, outcome: &Outcome) -> Self {
        let comment = outcome.issues().first().map(Issue::details).unwrap_or_default().to_owned();
        let reason = match outcome.status() {
            Status::FORBIDDEN => NOT_AUTHORISED,
            Status::CONFLICT => DUPLICATE,
            _ => PROCESSING,
        };
        Self::of(head, reason, &comment)
    }
}

/// Patients by issuer and number, as far as they were looked up.
type Patients = BTreeMap<(Option<String>, String), Result<(ChartId, Id), &'static str>>;

/// Instances of one study that are stored, with their patient.
type Studies = BTreeMap<Uid, (ChartId, Id, Vec<Stored>)>;

/// Takes the instances of a request.
pub(crate) async fn store(
    gateway: &Arc<Gateway>,
    asker: &Asker,
    study: Option<Uid>,
    request: Request,
) -> Result<Answer, Outcome> {
    if gateway.settings.images.is_none() {
        return Err(not_configured());
    }
    let related = related_of(&request)?;
    let body = Multipart::new(reader_of(request.into_body()), &related.boundary);
    let request = Storing { gateway, asker, study, patients: Patients::new() };
    let (studies, mut failed, fault) = request.parts(body).await;
    if let Some(fault) = fault {
        if studies.is_empty() && failed.is_empty() {
            return Err(malformed(&fault));
        }
        failed.push(Failure::new(NOT_UNDERSTOOD, &fault));
    }
    let mut stored = Vec::new();
    for (uid, (chart, patient, instances)) in &studies {
        let added = gateway.add_instances(asker, (*chart, patient, uid), instances).await;
        for (at, one) in instances.iter().enumerate() {
            match &added {
                Ok(taken) if taken[at] => stored.push(&one.head),
                Ok(_) => failed.push(Failure::of(&one.head, DUPLICATE, OTHER_BYTES)),
                Err(outcome) => failed.push(Failure::of_outcome(&one.head, outcome)),
            }
        }
    }
    Ok(answer_of(gateway.base(), &stored, &failed))
}

const OTHER_BYTES: &str = "other bytes are stored under this UID; send a new instance";

struct Storing<'a> {
    gateway: &'a Arc<Gateway>,
    asker: &'a Asker,
    study: Option<Uid>,
    patients: Patients,
}

impl Storing<'_> {
    /// Stores each part, as far as they come, and says why no more came if more were said to.
    async fn parts<R: tokio::io::AsyncRead + Unpin>(
        mut self,
        mut body: Multipart<R>,
    ) -> (Studies, Vec<Failure>, Option<String>) {
        let (mut studies, mut failed, mut left) = (Studies::new(), Vec::new(), CONTENT_BYTES_MAX);
        for parts in 0.. {
            let headers = match body.next().await {
                Ok(Some(headers)) => headers,
                Ok(None) => return (studies, failed, None),
                Err(fault) => return (studies, failed, Some(fault.to_string())),
            };
            if parts >= PARTS_MAX {
                return (studies, failed, Some("too many parts; send several requests".into()));
            }
            if headers.media_type().as_deref() != Some("application/dicom") {
                failed.push(Failure::new(NOT_UNDERSTOOD, "send parts as application/dicom"));
                continue;
            }
            let spool = match self.spooled(&mut body, &mut left).await {
                Ok(Ok(spool)) => spool,
                Ok(Err(failure)) => {
                    failed.push(failure);
                    continue;
                }
                Err(fault) => return (studies, failed, Some(fault)),
            };
            match self.one(&spool).await {
                Ok((chart, patient, stored)) => {
                    let study = stored.head.study.clone();
                    studies.entry(study).or_insert((chart, patient, Vec::new())).2.push(stored);
                }
                Err(failure) => failed.push(failure),
            }
        }
        (studies, failed, None)
    }

    /// The bytes of a part; a failure of it alone, or of the whole body.
    async fn spooled<R: tokio::io::AsyncRead + Unpin>(
        &self,
        body: &mut Multipart<R>,
        left: &mut u64,
    ) -> Result<Result<Spool, Failure>, String> {
        let no_room = |error: std::io::Error| {
            tracing::error!(%error, "the gateway's folder cannot hold a part of a request");
            Failure::new(NO_ROOM, "the gateway's disk is full; tell its operator, then send again")
        };
        let mut spooling = match Spooling::begin(&self.gateway.settings.folder) {
            Ok(spooling) => spooling,
            Err(error) => return Ok(Err(no_room(error))),
        };
        let filling = async {
            while let Some(piece) = body.piece().await.map_err(|it| it.to_string())? {
                *left = left.saturating_sub(piece.len() as u64);
                if *left == 0 {
                    return Err("the request is too long; send several".to_owned());
                }
                if spooling.bytes() + piece.len() as u64 > INSTANCE_BYTES_MAX {
                    return Err("an instance has 4 GiB at most".to_owned());
                }
                if let Err(error) = spooling.write(piece).await {
                    return Ok(Err(no_room(error)));
                }
            }
            Ok(Ok(()))
        };
        let filled = timeout(time_for(INSTANCE_BYTES_MAX), filling).await;
        match filled.map_err(|_| "it came too slowly; send it again".to_owned())?? {
            Ok(()) => Ok(spooling.finish().await.map_err(no_room)),
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// Stores one instance.
    async fn one(&mut self, spool: &Spool) -> Result<(ChartId, Id, Stored), Failure> {
        let file = spool.read();
        let head = spawn_blocking(move || Head::read(std::io::BufReader::new(file))).await;
        let head =
            head.map_err(|_| Failure::new(PROCESSING, "the gateway failed; tell its operator"))?;
        let head = head.map_err(|(fault, named)| {
            let failure = Failure::new(NOT_UNDERSTOOD, &fault.to_string());
            Failure { named, ..failure }
        })?;
        if self.study.as_ref().is_some_and(|it| *it != head.study) {
            return Err(Failure::of(
                &head,
                OTHER_STUDY,
                "it is of another study than the URL says",
            ));
        }
        let (chart, patient) = self.patient(&head).await?;
        let content = self.content(&head, chart, spool).await?;
        Ok((chart, patient, Stored { head, digest: spool.digest(), content }))
    }

    /// The patient whom an instance is of.
    async fn patient(&mut self, head: &Head) -> Result<(ChartId, Id), Failure> {
        let Some(number) = &head.patient else {
            return Err(Failure::of(
                head,
                PROCESSING,
                "it has no PatientID; add it and send again",
            ));
        };
        let key = (head.issuer.clone(), number.clone());
        if !self.patients.contains_key(&key) {
            let found = self.look_up(&key).await;
            let found = found.map_err(|outcome| Failure::of_outcome(head, &outcome))?;
            self.patients.insert(key.clone(), found);
        }
        self.patients[&key].clone().map_err(|comment| Failure::of(head, PROCESSING, comment))
    }

    async fn look_up(
        &self,
        (issuer, number): &(Option<String>, String),
    ) -> Result<Result<(ChartId, Id), &'static str>, Outcome> {
        let images = self.gateway.settings.images.as_ref().ok_or_else(not_configured)?;
        let Some(system) = images.of(issuer.as_deref()) else {
            return Ok(Err("no namespace for its IssuerOfPatientID; configure it"));
        };
        let condition = Condition::parse(&identifier_query(system, number))?;
        let of = "Patient".parse().expect("R4 has it");
        let found = self.gateway.found_by(of, None, &condition).await?;
        Ok(match &found[..] {
            [one] => match one.id().parse() {
                Ok(id) => Ok((one.version.chart, id)),
                Err(_) => Err("its patient has no id here; tell the operator"),
            },
            [] => Err("its patient is not here; create the Patient, send again"),
            _ => Err("several patients have its number; merge them, send again"),
        })
    }

    /// The record of an instance: a new one, or the one that there is of the same bytes.
    async fn content(
        &self,
        head: &Head,
        chart: ChartId,
        spool: &Spool,
    ) -> Result<Content, Failure> {
        let parts = [b"dicom-instance", head.instance.as_str().as_bytes(), &spool.digest()[..]];
        let tag = self.gateway.index.key().tag(&parts);
        let _alone = self.gateway.tags.alone([tag].into()).await;
        let failed = |outcome: Outcome| Failure::of_outcome(head, &outcome);
        match self.gateway.known(chart, head, spool.digest()).await.map_err(failed)? {
            Known::Same(content) => return Ok(content),
            Known::Other => return Err(Failure::of(head, DUPLICATE, OTHER_BYTES)),
            Known::No => {}
        }
        let about = (chart, RecordKind::Imaging, Some(tag));
        let source = (spool.stream(), spool.bytes());
        match self.gateway.add_content(self.asker, about, source).await {
            Ok(content) => Ok(content),
            // It was stored, and then its study was not written: this is the same request again.
            Err(refusal) if refusal.is_tag_taken() => {
                let name = self.gateway.tagged(chart, tag).await.map_err(failed)?;
                let name = name.ok_or_else(|| {
                    Failure::of(head, DUPLICATE, "it is stored in another patient's chart")
                })?;
                Ok(Content { name, bytes: spool.bytes() })
            }
            Err(refusal) => Err(failed(Refusal::outcome(refusal))),
        }
    }
}

/// What a chart has under an instance's UID.
enum Known {
    No,
    Same(Content),
    Other,
}

impl Gateway {
    async fn known(&self, chart: ChartId, head: &Head, digest: [u8; 32]) -> Result<Known, Outcome> {
        use keepwell_fhir::search::{Handling, Options, Query};

        let pairs = [("instance".to_owned(), head.instance.as_str().to_owned())];
        let options = Options { base: self.base(), now_ms: 0, handling: Handling::Strict };
        let query = Query::parse("ImagingStudy", &pairs, options);
        let query = query.expect("R4 has the parameter, and a UID is a token");
        let digest = hex::encode(digest);
        let found = self.matching(&query, Some(chart)).await?;
        let all = found.iter().flat_map(|it| super::study::instances(&it.resource));
        let mut of_uid = all.filter(|it| it.uid == head.instance.as_str());
        Ok(match of_uid.next() {
            None => Known::No,
            Some(it) if it.digest == digest && of_uid.next().is_none() => Known::Same(it.content),
            Some(_) => Known::Other,
        })
    }

    /// The record of a chart that has a tag.
    async fn tagged(
        &self,
        chart: ChartId,
        tag: UniquenessTag,
    ) -> Result<Option<RecordName>, Outcome> {
        let actor = self.agent.lock().await.identity().actor();
        let start = keepwell_client::verify::LogMark::START;
        let log = self.client.log(&actor, chart, start).await.map_err(|error| {
            tracing::warn!(error = without_ids(&error), "a chart's log could not be read");
            refused(&error)
        })?;
        let tagged = log.lines().iter().filter(|line| {
            let Entry::Signed(signed) = &line.entry else { return false };
            let Payload::RecordAdd(add) = &signed.command.payload else { return false };
            add.uniqueness == Some(tag) && line.outcome.verdict.is_accepted()
        });
        let positions: Vec<_> = tagged.map(|it| it.position).collect();
        let mut records = keepwell_client::open::records_in(&log);
        Ok(records.find(|it| Some(&it.name.position) == positions.last()).map(|it| it.name))
    }
}

fn related_of(request: &Request) -> Result<Related, Outcome> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let unsupported = |text: &str| {
        let outcome = Outcome::error(IssueType::NotSupported, text);
        outcome.with_status(Status::UNSUPPORTED_MEDIA_TYPE)
    };
    let related = Related::parse(kind.unwrap_or_default());
    let related = related.map_err(|fault: multipart::Fault| unsupported(&fault.to_string()))?;
    match related.of.as_deref() {
        None | Some("application/dicom") => Ok(related),
        Some(_) => Err(unsupported("send instances whole, as parts of type application/dicom")),
    }
}

/// The answer of PS3.18, 10.5.3, in DICOM JSON (Annex F).
fn answer_of(base: &str, stored: &[&Head], failed: &[Failure]) -> Answer {
    let status = match (stored.is_empty(), failed.is_empty()) {
        (_, true) => 200,
        (false, false) => 202,
        (true, false) => 409,
    };
    let one =
        |representation: &str, value: Value| json!({ "vr": representation, "Value": [value] });
    let address = address_of(base);
    let mut body = json!({});
    if let Some(first) = stored.first()
        && stored.iter().all(|it| it.study == first.study)
    {
        let url = format!("{address}/studies/{}", first.study.as_str());
        body["00081190"] = one("UR", url.into());
    }
    let references: Vec<_> = stored
        .iter()
        .map(|head| {
            let (study, series) = (head.study.as_str(), head.series.as_str());
            let instance = head.instance.as_str();
            let url = format!("{address}/studies/{study}/series/{series}/instances/{instance}");
            json!({
                "00081150": one("UI", head.class.as_str().into()),
                "00081155": one("UI", instance.into()),
                "00081190": one("UR", url.into()),
            })
        })
        .collect();
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for Failure { reason, comment, named: (class, instance) } in failed {
        let mut item = json!({
            "00081197": one("US", (*reason).into()), "00000902": one("LO", comment.as_str().into()),
        });
        if let (Some(class), Some(instance)) = (class, instance) {
            item["00081150"] = one("UI", class.as_str().into());
            item["00081155"] = one("UI", instance.as_str().into());
            named.push(item);
        } else {
            others.push(item);
        }
    }
    for (tag, items) in [("00081199", references), ("00081198", named), ("0008119A", others)] {
        if !items.is_empty() {
            body[tag] = json!({ "vr": "SQ", "Value": items });
        }
    }
    Answer { status, body: body.to_string() }
}

fn not_configured() -> Outcome {
    let text = "images are not taken here; the gateway's configuration says in [images] whose numbers their PatientIDs are";
    Outcome::error(IssueType::NotSupported, text).with_status(Status::METHOD_NOT_ALLOWED)
}

fn malformed(fault: &str) -> Outcome {
    Outcome::error(IssueType::Structure, fault)
}

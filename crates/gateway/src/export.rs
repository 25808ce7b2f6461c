//! Bulk exports (Bulk Data Access 2.0): what a system may read, as files of lines, made while it waits.
//!
//! ```text
//! GET .. $export ──> what is asked for, kept, 202 ──> status: 202, 202, .. 200: the manifest ──> files
//!                          │                                                                       ▲
//!                          ▼                                                                       │
//! job    rows of the snapshot, chart by chart ──> accesses ──> which rows, and how long their lines are
//! ```
//!
//! A file is kept as the numbers of its rows and the lengths of its lines, sealed in the index
//! ([`crate::index::exports`]); its lines are made of the index whenever it is sent. So an export costs no copy of any
//! resource, a stretch of a file is sent without what is before it, and what was redacted since is in no file.
//!
//! # Invariants
//!
//! * An export is reads. Before a row is in a file, an access that names it is committed and allowed, in the name of
//!   the member whose system asked. What is refused is absent, and nothing is said of it. Nor is anything counted that
//!   may not be seen: progress is what is in the files.
//! * For whom a patient's own record is refused, all of the patient's chart is absent, after that one refusal.
//! * What is exported are the versions that were the newest at `transactionTime`, whatever is written meanwhile.
//! * Status and files are for the client who asked, and files for tokens that are good for all that was asked with. An
//!   export of another client is one of nobody.
//! * Memory is bounded: of a job by [`job::BYTES_MAX`], of a file that is sent by a few chunks.
//! * A gateway that is started again goes on with what it had not finished, at the rows where it was.
//!
//! Accesses name their records, 32 in each, where one to whole compartments would be shorter: the ledger accepts that
//! one as soon as one kind in each may be read, and leaves to the release of keys what may be. A gateway asks for no
//! release, so it would decide itself, beside the ledger (docs/decisions/0042).
//!
//! Not here: facts of the ledger, as in `$everything`; exports for people and apps, which ask page by page; `_until` as
//! of an earlier time: what was changed since is not exported as it was; compression, which the proxy does.

mod file;
mod job;
mod kept;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

pub(crate) use file::{ByteRange, Opened};
use keepwell_fhir::{
    export::{Asked, Level, Options},
    interaction::{Id, ResourceType, Scope as Of},
    outcome::{IssueType, Outcome, Status},
    search::Handling,
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::AbortHandle};

use self::{
    job::Job,
    kept::{Progress, Spec, State, Whose},
};
pub(crate) use crate::index::exports::ExportId;
use crate::{
    answer::{no_index, not_found, without_ids},
    auth::{Permission, Session, Sessions, lock},
    gateway::{Asker, Gateway},
    index::exports::NewExport,
    server::{not_in_scope, now_ms},
};

/// Exports of one client that are under way at once.
pub const CLIENT_RUNNING_MAX: usize = 2;
/// Exports of all clients that are worked on at once; others wait.
pub const RUNNING_MAX: usize = 2;
/// Exports of one client that are kept, and of all.
pub const CLIENT_KEPT_MAX: usize = 16;
/// See [`CLIENT_KEPT_MAX`].
pub const KEPT_MAX: usize = 128;
/// How long an export may be under way.
pub const RUN_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Where exports are, below the base.
pub(crate) const PATH: &str = "/bulk/";
/// How often it is looked for what is over.
const SWEEP_PAUSE: Duration = Duration::from_secs(10);

/// A request for an export.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Its URL.
    pub(crate) url: String,
    pub(crate) of: &'a Of,
    /// Its parameters, decoded.
    pub(crate) pairs: Vec<(String, String)>,
    pub(crate) handling: Handling,
    pub(crate) is_post: bool,
}

/// How an export stands.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// It is under way, and has so many resources so far.
    Running(u64),
    /// It is done: its manifest, and until when it is kept, in milliseconds since 1970.
    Done(Value, u64),
    /// It failed.
    Failed(Outcome),
}

/// An export that is under way.
#[derive(Debug)]
struct Running {
    client: String,
    task: AbortHandle,
}

/// The exports of a gateway.
#[derive(Debug)]
pub(crate) struct Exports {
    gateway: Arc<Gateway>,
    running: Mutex<BTreeMap<ExportId, Running>>,
    places: Semaphore,
    /// Whoever begins one counts those that are there alone.
    beginning: tokio::sync::Mutex<()>,
}

impl Exports {
    pub(crate) fn new(gateway: Arc<Gateway>) -> Self {
        let (running, beginning) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { gateway, running, places: Semaphore::new(RUNNING_MAX), beginning }
    }

    /// Begins an export: its id, and which parameters were left out.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        session: &Session,
        request: Request<'_>,
    ) -> Result<(ExportId, Vec<String>), Outcome> {
        let level = match request.of {
            Of::System => Level::System,
            Of::Type(_) => Level::Patients,
            Of::Instance(..) => Level::Group,
        };
        let now_ms = now_ms();
        let (base, handling, is_post) = (self.gateway.base(), request.handling, request.is_post);
        let options = Options { base, now_ms, handling, level, is_post };
        let mut asked = Asked::parse(&request.pairs, options)?;
        in_scope(session, &mut asked, handling)?;
        self.check_room(&session.client).await?;
        let whose = self.whose(&session.asker, request.of).await?;
        let _alone = self.beginning.lock().await;
        self.check_room(&session.client).await?;
        let spec = Spec {
            client: session.client.clone(),
            scopes: session.scopes().iter().map(|it| it.text()).collect(),
            whose,
            request: request.url,
            pairs: request.pairs,
            is_lenient: handling == Handling::Lenient,
            is_post,
            begun_ms: now_ms,
        };
        let (id, progress) = (ExportId::random(), Progress::begun(now_ms));
        let kept = NewExport {
            id,
            client: &spec.client,
            until_ms: progress.until_ms,
            spec: &spec.encode(),
            progress: &progress.encode(),
        };
        self.gateway.index.keep_export(&kept).await.map_err(|error| no_index(&error))?;
        let ignored = asked.ignored.clone();
        let scopes = session.scopes().to_vec();
        self.go_on(id, Job::new((id, spec, asked), session.asker.clone(), scopes), progress);
        Ok((id, ignored))
    }

    /// Goes on with what was not finished. What cannot be, since its client is not known any more, is forgotten.
    pub(crate) async fn resume(self: &Arc<Self>, sessions: &Sessions) {
        let index = &self.gateway.index;
        let all = index.exports().await.unwrap_or_else(|error| {
            tracing::error!(error = without_ids(&error), "exports cannot be gone on with");
            Vec::new()
        });
        for id in all {
            let Ok(Some((spec, progress))) = self.kept(id).await else { continue };
            match progress.state {
                State::Done | State::Failed { .. } => continue,
                State::Begun | State::Running => {}
            }
            let known = sessions.known(&spec.client, &spec.scopes);
            let job = known.and_then(|(asker, scopes)| {
                let asked = spec.asked(self.gateway.base())?;
                Some(Job::new((id, spec, asked), asker, scopes))
            });
            match job {
                Some(job) => self.go_on(id, job, progress),
                None => {
                    let _ = index.forget_export(id).await;
                }
            }
        }
    }

    fn go_on(self: &Arc<Self>, id: ExportId, job: Job, progress: Progress) {
        let client = job.client().to_owned();
        let exports = Arc::clone(self);
        let mut running = lock(&self.running);
        let task = tokio::spawn(async move {
            job.run(&exports, progress).await;
            lock(&exports.running).remove(&id);
        });
        running.insert(id, Running { client, task: task.abort_handle() });
    }

    /// Forgets what is over, for as long as the gateway runs.
    pub(crate) async fn sweep(&self) -> Infallible {
        loop {
            tokio::time::sleep(SWEEP_PAUSE).await;
            if let Err(error) = self.gateway.index.forget_exports_until(now_ms()).await {
                tracing::error!(
                    error = without_ids(&error),
                    "exports that are over are still kept"
                );
            }
        }
    }

    /// How an export of a client stands.
    pub(crate) async fn standing(&self, client: &str, id: ExportId) -> Result<Standing, Outcome> {
        let (spec, progress) = self.own(client, id).await?;
        Ok(match &progress.state {
            State::Begun | State::Running => Standing::Running(progress.count()),
            State::Done => {
                let url = |file| format!("{}{PATH}{id}/{file}.ndjson", self.gateway.base());
                Standing::Done(manifest(&spec, &progress, url), progress.until_ms)
            }
            State::Failed { status, text } => Standing::Failed(kept::failed(*status, text)),
        })
    }

    /// Ends an export of a client, and forgets it.
    pub(crate) async fn cancel(&self, client: &str, id: ExportId) -> Result<(), Outcome> {
        self.own(client, id).await?;
        // What is not kept any more goes on with nothing, even if its task cannot be found.
        self.gateway.index.forget_export(id).await.map_err(|error| no_index(&error))?;
        if let Some(running) = lock(&self.running).remove(&id) {
            running.task.abort();
        }
        Ok(())
    }

    /// A file of an export, for a token that is good for all that the export was asked with.
    pub(crate) async fn open(
        &self,
        session: &Session,
        (id, file): (ExportId, u32),
    ) -> Result<Opened, Outcome> {
        let (spec, progress) = self.own(&session.client, id).await?;
        if !session.covers(&spec.scopes) {
            return Err(not_in_scope());
        }
        let facts = match progress.state {
            State::Done => progress.file(file).ok_or_else(not_found)?,
            State::Begun | State::Running | State::Failed { .. } => return Err(not_found()),
        };
        let asked = spec.asked(self.gateway.base()).ok_or_else(not_found)?;
        let of: ResourceType = facts.of.parse().map_err(|_| not_found())?;
        Ok(Opened { id, file, bytes: facts.bytes, shape: asked.shape_of(of) })
    }

    pub(crate) const fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// What is kept of a client's export; another's is nobody's.
    async fn own(&self, client: &str, id: ExportId) -> Result<(Spec, Progress), Outcome> {
        let kept = self.kept(id).await?;
        let is_own = |it: &(Spec, Progress)| it.0.client == client && it.1.until_ms > now_ms();
        kept.filter(is_own).ok_or_else(not_found)
    }

    async fn kept(&self, id: ExportId) -> Result<Option<(Spec, Progress)>, Outcome> {
        let kept = self.gateway.index.export(id).await.map_err(|error| no_index(&error))?;
        Ok(kept.and_then(|(spec, progress)| {
            Some((Spec::decode(&spec)?, Progress::decode(&progress)?))
        }))
    }

    async fn check_room(&self, client: &str) -> Result<(), Outcome> {
        let running = lock(&self.running).values().filter(|it| it.client == client).count();
        if running >= CLIENT_RUNNING_MAX {
            return Err(too_many(
                "exports of yours are under way; wait until one is done, or DELETE one",
            ));
        }
        let kept = self.gateway.index.exports_of(client).await;
        let (own, all) = kept.map_err(|error| no_index(&error))?;
        if own >= CLIENT_KEPT_MAX {
            return Err(too_many(
                "exports of yours are kept; DELETE those that you have, or wait until they are over",
            ));
        }
        if all >= KEPT_MAX {
            return Err(too_many("exports are kept; ask again in a while"));
        }
        Ok(())
    }

    /// Of whom an export is. The members of a group are those that it names now.
    async fn whose(&self, asker: &Asker, of: &Of) -> Result<Whose, Outcome> {
        match of {
            Of::System => Ok(Whose::All),
            Of::Type(_) => Ok(Whose::Patients),
            Of::Instance(of, id) => {
                let group = self.gateway.only_shown(asker, *of, id).await?;
                match self.gateway.may_show(asker, &[&group.version]).await?.as_slice() {
                    [true] => Ok(Whose::Members(members(&group.resource, self.gateway.base()))),
                    _ => Err(not_found()),
                }
            }
        }
    }
}

/// Leaves out types that the token is not good for, or refuses them; refuses a token that is good for none.
fn in_scope(session: &Session, asked: &mut Asked, handling: Handling) -> Result<(), Outcome> {
    let may = |of: Option<ResourceType>| {
        session.scopes().iter().any(|it| match of {
            Some(of) => it.allows(Some(of), Permission::Search),
            None => it.allows(it.resource_type(), Permission::Search),
        })
    };
    let is_out = |of: &ResourceType| !may(Some(*of));
    let out: BTreeSet<_> = asked.types.iter().flatten().copied().filter(is_out).collect();
    if !may(None) || (handling == Handling::Strict && !out.is_empty()) {
        return Err(not_in_scope());
    }
    asked.ignored.extend(out.iter().map(|of| format!("_type={of}")));
    Ok(())
}

/// The Patients whom a group names as its members. Those who were members once are none.
fn members(group: &Value, base: &str) -> Vec<String> {
    let all = group.get("member").and_then(Value::as_array);
    let of = |member: &Value| {
        let is_over = member.get("inactive") == Some(&Value::Bool(true));
        let reference = member.get("entity")?.get("reference")?.as_str()?;
        let below = reference.strip_prefix(base).and_then(|it| it.strip_prefix('/'));
        let id: Id = below.unwrap_or(reference).strip_prefix("Patient/")?.parse().ok()?;
        (!is_over).then(|| id.to_string())
    };
    let ids: BTreeSet<_> = all.into_iter().flatten().filter_map(of).collect();
    ids.into_iter().collect()
}

/// The manifest ("Response - Complete Status").
fn manifest(spec: &Spec, progress: &Progress, url: impl Fn(usize) -> String) -> Value {
    let output: Vec<_> = progress
        .files
        .iter()
        .enumerate()
        .map(|(at, file)| json!({ "type": file.of, "url": url(at + 1), "count": file.count }))
        .collect();
    json!({
        "transactionTime": keepwell_fhir::header::instant(progress.transaction_ms),
        "request": spec.request, "requiresAccessToken": true,
        "output": output, "deleted": [], "error": [],
    })
}

fn too_many(text: &str) -> Outcome {
    let text = format!("too many {text}");
    Outcome::error(IssueType::Throttled, &text).with_status(Status::TOO_MANY_REQUESTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_the_patients_who_are_named_and_still_are() {
        let base = "https://g.example/fhir";
        let of = |reference: &str| json!({ "entity": { "reference": reference } });
        let mut over = of("Patient/9");
        over["inactive"] = json!(true);
        let group = json!({ "resourceType": "Group", "member": [
            of("Patient/2"), of("https://g.example/fhir/Patient/1"), of("Patient/2"), over,
            of("Device/3"), of("Group/4"), of("https://elsewhere.example/Patient/5"),
            of("Patient/.."), of("Patient/6/_history/1"), {},
        ]});
        assert_eq!(members(&group, base), ["1", "2"]);
        assert!(members(&json!({ "resourceType": "Group" }), base).is_empty());
    }

    #[test]
    fn an_id_is_written_in_one_way() {
        let id = ExportId::random();
        assert_eq!(ExportId::parse(&id.to_string()), Some(id));
        let upper = id.to_string().to_uppercase();
        let padded = format!("0{id}");
        for bad in ["", "0", "..", "../bulk", upper.as_str(), padded.as_str(), "%30"] {
            assert_eq!(ExportId::parse(bad).filter(|_| bad != id.to_string()), None, "{bad}");
        }
    }
}

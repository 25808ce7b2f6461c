//! The work on one export: rows of the snapshot, the accesses to them, and which lines its files have.
//!
//! ```text Begun ──> ledger's time, index brought to it, rows counted ──> Running Running ──> up to 1,000 rows, chart
//! by chart ──> wanted? ──> access ──> lines measured ──> kept, together with the place
//! ```
//!
//! # Invariants
//!
//! * The place in the index moves on only together with the pages before it: whoever is stopped in between begins again
//!   there, and at worst has accesses decided twice.
//! * What may pass (a ledger that does not answer) is tried again, after pauses that grow; the rest ends the export.
//!
//! Not here: who may ask, and what becomes of a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use keepwell_fhir::{
    export::Asked,
    header::instant,
    interaction::{Id, ResourceType},
    outcome::{Issue, IssueType, Outcome, Status},
    search::{Entry, shape::Shape},
};
use keepwell_types::id::ChartId;
use serde::Deserialize;
use tokio::time::sleep;

use super::{
    ExportId, Exports,
    file::line_of,
    kept::{FileFacts, Progress, Spec, State, Whose},
};
use crate::{
    answer::{no_index, refused, without_ids},
    auth::{Permission, Scope},
    follow::FollowError,
    gateway::{Asker, Found, Gateway},
    index::{
        FIND_TERMS_MAX, Find, ROWS_MAX, Snapshot, Version,
        exports::{ExportPage, Head, Scan},
    },
    server::now_ms,
};

/// Sealed bytes of the rows that are worked on at once; one row may have more.
pub const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of a file, after which another one begins.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes of all files of an export.
const EXPORT_BYTES_MAX: u64 = 1024 * FILE_BYTES_MAX;
/// Charts among which one look is, where an export is of some.
const CHARTS_MAX: usize = 256;
/// Charts whose accesses are under way at once.
const ACCESSES_MAX: usize = 16;
/// How often something is tried that may pass, and the pauses between.
const TRIES: u32 = 12;
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Lines after which others have a turn.
const TURN_LINES: usize = 64;

/// An export that is worked on.
#[derive(Debug)]
pub(super) struct Job {
    id: ExportId,
    spec: Spec,
    asked: Asked,
    asker: Asker,
    scopes: Vec<Scope>,
    /// The charts that it is of, in order; of all if there are none to name.
    charts: Option<Vec<ChartId>>,
    /// The chart that was looked at last, and whether its Patient may be seen.
    last: Option<(ChartId, bool)>,
}

/// Versions of one chart that are wanted, and their Patient where it has to be looked at first.
struct Wanted {
    chart: ChartId,
    /// The Patient first, if it is looked at.
    versions: Vec<(ResourceType, Version)>,
    is_by_patient: bool,
    /// Whether the first one is there to be looked at alone.
    is_first_unwanted: bool,
}

impl Wanted {
    /// The same, and which of them may be shown.
    async fn decided(self, gateway: &Gateway, asker: &Asker) -> Result<(Self, Vec<bool>), Outcome> {
        let versions: Vec<_> = self.versions.iter().map(|(_, it)| it).collect();
        let shown = gateway.may_export(asker, &versions, self.is_by_patient).await?;
        Ok((self, shown))
    }
}

/// What a step came to.
enum Step {
    Went(Progress),
    Done,
    /// Somebody has ended the export.
    Forgotten,
}

impl Job {
    pub(super) fn new(
        (id, spec, asked): (ExportId, Spec, Asked),
        asker: Asker,
        scopes: Vec<Scope>,
    ) -> Self {
        Self { id, spec, asked, asker, scopes, charts: None, last: None }
    }

    pub(super) fn client(&self) -> &str {
        &self.spec.client
    }

    /// Works until the export is done, failed or forgotten.
    pub(super) async fn run(mut self, exports: &Exports, mut progress: Progress) {
        // It is never closed.
        let _place = exports.places.acquire().await;
        let gateway = exports.gateway();
        let mut tries = 0;
        loop {
            let before = progress.clone();
            let failed = match self.go_on(gateway, &mut progress).await {
                Ok(()) => return,
                Err(outcome) => outcome,
            };
            tries = if progress == before { tries + 1 } else { 1 };
            if failed.status() != Status::UNAVAILABLE || tries >= TRIES {
                self.fail(gateway, progress, &failed).await;
                return;
            }
            sleep(PAUSE_MAX.min(PAUSE * 2_u32.saturating_pow(tries - 1))).await;
            // What was kept without an answer is not done again.
            match exports.kept(self.id).await {
                Ok(Some((_, kept))) => progress = kept,
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }

    async fn fail(&self, gateway: &Gateway, progress: Progress, outcome: &Outcome) {
        let text = outcome.issues().first().map(Issue::details).unwrap_or_default().to_owned();
        let state = State::Failed { status: outcome.status().code(), text };
        let progress = Progress { state, files: Vec::new(), ..progress };
        if let Err(error) = self.keep(gateway, &progress, &[]).await {
            let error: Vec<_> = error.issues().iter().map(Issue::details).collect();
            tracing::error!(?error, "that an export failed could not be kept");
        }
    }

    async fn go_on(&mut self, gateway: &Gateway, progress: &mut Progress) -> Result<(), Outcome> {
        if progress.state == State::Begun {
            let begun = snapshot(gateway, progress).await?;
            if !self.keep(gateway, &begun, &[]).await? {
                return Ok(());
            }
            *progress = begun;
        }
        self.charts = self.charts_of(gateway).await?;
        loop {
            match self.step(gateway, progress).await? {
                Step::Went(next) => *progress = next,
                Step::Forgotten => return Ok(()),
                Step::Done => break,
            }
        }
        let kept_ms = u64::try_from(gateway.settings.exports_kept.as_millis()).unwrap_or(u64::MAX);
        let until_ms = now_ms().saturating_add(kept_ms);
        let done = Progress { state: State::Done, until_ms, ..progress.clone() };
        self.keep(gateway, &done, &[]).await.map(drop)
    }

    /// The charts of those whom an export names. Who is not here, or out of sight, is not in it.
    async fn charts_of(&self, gateway: &Gateway) -> Result<Option<Vec<ChartId>>, Outcome> {
        let named = self.asked.patients.as_ref();
        let ids: Vec<Id> = match &self.spec.whose {
            Whose::All => return Ok(None),
            Whose::Patients => match named {
                Some(named) => named.iter().cloned().collect(),
                None => return Ok(None),
            },
            Whose::Members(members) => members
                .iter()
                .filter_map(|it| it.parse().ok())
                .filter(|it| named.is_none_or(|named| named.contains(it)))
                .collect(),
        };
        let of: ResourceType = "Patient".parse().expect("R4 has it");
        let mut charts = BTreeSet::new();
        for id in &ids {
            let found = gateway.only_in_sight(&self.asker, of, id).await?;
            charts.extend(found.map(|it| it.version.chart));
        }
        Ok(Some(charts.into_iter().collect()))
    }

    async fn step(&mut self, gateway: &Gateway, progress: &Progress) -> Result<Step, Outcome> {
        let Some(heads) = self.heads(gateway, progress).await? else { return Ok(Step::Done) };
        let mut next = progress.clone();
        let Some(last) = heads.last() else { return Ok(Step::Done) };
        next.after = (last.chart, last.row);
        let mut versions = Vec::new();
        for heads in heads.chunks(FIND_TERMS_MAX) {
            let rows: Vec<_> = heads.iter().map(|it| it.row).collect();
            let found = gateway.index.rows(&rows).await.map_err(|error| no_index(&error))?;
            for version in found {
                versions.extend(self.wanted(gateway, version, progress.transaction_ms).await?);
            }
        }
        let allowed = self.allowed(gateway, versions, Snapshot(progress.rows)).await?;
        let pages = self.pages(&mut next, &allowed).await;
        if next.bytes() > EXPORT_BYTES_MAX {
            return Err(too_large());
        }
        let is_kept = self.keep(gateway, &next, &pages).await?;
        Ok(if is_kept { Step::Went(next) } else { Step::Forgotten })
    }

    /// The next rows; nothing after the last ones.
    async fn heads(
        &self,
        gateway: &Gateway,
        progress: &Progress,
    ) -> Result<Option<Vec<Head>>, Outcome> {
        let (at, mut after) = (Snapshot(progress.rows), progress.after);
        loop {
            let charts = self.charts.as_ref().map(|all| {
                let from = all.partition_point(|it| *it < after.0);
                &all[from..all.len().min(from + CHARTS_MAX)]
            });
            let found = gateway.index.scan(&Scan { at, after, charts }).await;
            let found = found.map_err(|error| no_index(&error))?;
            if !found.is_empty() {
                return Ok(Some(within_bytes(found)));
            }
            match charts.and_then(<[ChartId]>::last) {
                // Nothing is behind the last row of a chart.
                Some(last) if *last != after.0 || after.1 < u64::MAX => after = (*last, u64::MAX),
                Some(_) | None => return Ok(None),
            }
        }
    }

    /// The version that was the newest at the time of the export, if it is wanted.
    async fn wanted(
        &self,
        gateway: &Gateway,
        version: Version,
        at_ms: u64,
    ) -> Result<Option<(ResourceType, Version)>, Outcome> {
        let Some(version) = as_of(gateway, version, at_ms).await? else { return Ok(None) };
        let Some(of) = type_of(&version.body) else { return Ok(None) };
        let may = self.scopes.iter().any(|it| it.allows(Some(of), Permission::Search));
        if !may || !self.asked.wants(of) || !self.asked.wants_of(version.time.0) {
            return Ok(None);
        }
        if self.asker.sight.is_all() && !self.asked.narrows(of) {
            return Ok(Some((of, version)));
        }
        let Some(found) = Found::of(version) else { return Ok(None) };
        let time = instant(found.version.time.0);
        let is_met = self.asker.sight.shows_found(&found)
            && self.asked.is_met_by(&Entry::new(&found.resource, found.id(), &time));
        Ok(is_met.then_some((of, found.version)))
    }

    /// Those of some versions that the ledger allows, by accesses that it has decided.
    async fn allowed(
        &mut self,
        gateway: &Gateway,
        versions: Vec<(ResourceType, Version)>,
        at: Snapshot,
    ) -> Result<Vec<(ResourceType, Version)>, Outcome> {
        let groups = self.by_chart(gateway, versions, at).await?;
        let waiting: Vec<_> =
            groups.into_iter().map(|it| it.decided(gateway, &self.asker).boxed()).collect();
        let decided: Vec<_> = stream::iter(waiting).buffered(ACCESSES_MAX).try_collect().await?;
        let mut allowed = Vec::new();
        for (group, shown) in decided {
            if group.is_by_patient {
                self.last = Some((group.chart, shown.first() == Some(&true)));
            }
            let first = usize::from(group.is_first_unwanted);
            let shown = group.versions.into_iter().zip(shown).skip(first);
            allowed.extend(shown.filter_map(|(it, shown)| shown.then_some(it)));
        }
        Ok(allowed)
    }

    /// Versions by their charts, each with its Patient first unless that was looked at already. Charts whose Patient
    /// may not be seen are left out.
    async fn by_chart(
        &self,
        gateway: &Gateway,
        versions: Vec<(ResourceType, Version)>,
        at: Snapshot,
    ) -> Result<Vec<Wanted>, Outcome> {
        let mut by_chart: BTreeMap<ChartId, Vec<_>> = BTreeMap::new();
        for version in versions {
            by_chart.entry(version.1.chart).or_default().push(version);
        }
        let known = self.last.map(|(chart, _)| chart);
        if let Some((chart, false)) = self.last {
            by_chart.remove(&chart);
        }
        let new: Vec<_> = by_chart.keys().copied().filter(|it| Some(*it) != known).collect();
        let mut patients = patients_in(gateway, &new, at).await?;
        let groups = by_chart.into_iter().map(|(chart, mut versions)| {
            let patient = patients.remove(&chart);
            let is_by_patient = patient.is_some();
            let mut is_first_unwanted = false;
            if let Some((of, patient)) = patient {
                match versions.iter().position(|(_, it)| it.row == patient.row) {
                    Some(place) => versions.swap(0, place),
                    None => {
                        is_first_unwanted = true;
                        versions.insert(0, (of, patient));
                    }
                }
            }
            Wanted { chart, versions, is_by_patient, is_first_unwanted }
        });
        Ok(groups.collect())
    }

    /// The pages of versions that are in the export, by whose lines the files grow.
    async fn pages(
        &self,
        next: &mut Progress,
        allowed: &[(ResourceType, Version)],
    ) -> Vec<ExportPage> {
        let mut lines: BTreeMap<ResourceType, (Shape, Vec<(u64, u32)>)> = BTreeMap::new();
        for (turn, (of, version)) in allowed.iter().enumerate() {
            if turn % TURN_LINES == TURN_LINES - 1 {
                tokio::task::yield_now().await;
            }
            let (shape, lines) =
                lines.entry(*of).or_insert_with(|| (self.asked.shape_of(*of), Vec::new()));
            let Some(line) = line_of(version, shape) else { continue };
            lines.push((version.row, u32::try_from(line.len()).unwrap_or(u32::MAX)));
        }
        let lines = lines.into_iter().filter(|(_, (_, lines))| !lines.is_empty());
        lines.map(|(of, (_, lines))| page_of(next, of, lines)).collect()
    }

    async fn keep(
        &self,
        gateway: &Gateway,
        progress: &Progress,
        pages: &[ExportPage],
    ) -> Result<bool, Outcome> {
        let kept = (&progress.encode()[..], progress.until_ms);
        let kept = gateway.index.advance_export(self.id, kept, pages).await;
        kept.map_err(|error| no_index(&error))
    }
}

/// The snapshot of an export: the ledger's time first, so that all that was final until then is in the index.
async fn snapshot(gateway: &Gateway, progress: &Progress) -> Result<Progress, Outcome> {
    let tip = gateway.client.tip().await.map_err(|error| refused(&error))?;
    gateway.follow().await.map_err(|error| {
        tracing::warn!(error = without_ids(&error), "an export waits for the ledger");
        match &error {
            FollowError::Client(error) => refused(error),
            FollowError::Index(error) => no_index(error),
        }
    })?;
    let rows = gateway.index.now().await.map_err(|error| no_index(&error))?.0;
    let transaction_ms = tip.header().time.0;
    Ok(Progress { state: State::Running, transaction_ms, rows, ..progress.clone() })
}

/// The version before one that came too late, if that was not the first.
async fn as_of(
    gateway: &Gateway,
    version: Version,
    at_ms: u64,
) -> Result<Option<Version>, Outcome> {
    if version.time.0 <= at_ms {
        return Ok(Some(version));
    }
    let of = (version.chart, &version.name);
    let earlier = gateway.index.history(of, version.number).await;
    let earlier = earlier.map_err(|error| no_index(&error))?;
    Ok(earlier.into_iter().find(|it| it.time.0 <= at_ms))
}

/// The Patients of charts, as far as they are in the index.
async fn patients_in(
    gateway: &Gateway,
    charts: &[ChartId],
    at: Snapshot,
) -> Result<BTreeMap<ChartId, (ResourceType, Version)>, Outcome> {
    let of: ResourceType = "Patient".parse().expect("R4 has it");
    let kinds = [gateway.terms().patients()];
    let mut patients = BTreeMap::new();
    for charts in charts.chunks(FIND_TERMS_MAX - kinds.len()) {
        let terms = [charts.iter().map(|it| gateway.terms().patient_of(*it)).collect()];
        let find = Find { kinds: &kinds, terms: &terms, at, after: 0, rows_max: ROWS_MAX };
        let found = gateway.index.find(&find).await.map_err(|error| no_index(&error))?;
        for version in found {
            patients.entry(version.chart).or_insert((of, version));
        }
    }
    Ok(patients)
}

/// The first of some rows, as many as are worked on at once.
fn within_bytes(mut heads: Vec<Head>) -> Vec<Head> {
    let mut bytes = 0_u64;
    let is_within = |it: &Head| {
        bytes = bytes.saturating_add(it.bytes);
        bytes <= BYTES_MAX
    };
    let count = heads.iter().map(is_within).take_while(|it| *it).count();
    heads.truncate(count.max(1));
    heads
}

/// The type of what is kept; nothing of what is no resource.
fn type_of(body: &[u8]) -> Option<ResourceType> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        resource_type: String,
    }

    serde_json::from_slice::<Typed>(body).ok()?.resource_type.parse().ok()
}

/// A page at the end of the last file of a type, or at the beginning of a new one.
fn page_of(progress: &mut Progress, of: ResourceType, lines: Vec<(u64, u32)>) -> ExportPage {
    let has_room = |it: &FileFacts| it.of == of.as_str() && it.bytes < FILE_BYTES_MAX;
    let at = progress.files.iter().rposition(has_room).unwrap_or_else(|| {
        progress.files.push(FileFacts { of: of.to_string(), count: 0, bytes: 0, pages: 0 });
        progress.files.len() - 1
    });
    let file = &mut progress.files[at];
    file.count += lines.len() as u64;
    file.bytes += lines.iter().map(|(_, bytes)| u64::from(*bytes)).sum::<u64>();
    file.pages += 1;
    let number = u32::try_from(at + 1).expect("an export has fewer files than bytes");
    ExportPage { file: number, page: file.pages, until_byte: file.bytes, lines }
}

fn too_large() -> Outcome {
    let text = format!(
        "the export has more than {EXPORT_BYTES_MAX} bytes; export in parts, by _type, _since or patient"
    );
    Outcome::error(IssueType::TooCostly, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(bytes: u64) -> Head {
        Head { row: 1, chart: ChartId([0; 32]), bytes }
    }

    #[test]
    fn so_many_rows_are_worked_on_as_fit() {
        for (bytes, count) in [
            (vec![1, 2, 3], 3),
            (vec![BYTES_MAX], 1),
            (vec![BYTES_MAX, 1], 1),
            (vec![BYTES_MAX + 1, 1], 1),
            (vec![BYTES_MAX - 1, 1, 1], 2),
            (vec![u64::MAX, u64::MAX], 1),
        ] {
            let heads = bytes.iter().copied().map(head).collect();
            assert_eq!(within_bytes(heads).len(), count, "{bytes:?}");
        }
    }

    #[test]
    fn a_file_that_is_full_is_followed_by_another() {
        let patient: ResourceType = "Patient".parse().unwrap();
        let other: ResourceType = "Observation".parse().unwrap();
        let mut progress = Progress::begun(0);
        let full = vec![(1, u32::try_from(FILE_BYTES_MAX - 1).unwrap())];
        let places = [
            page_of(&mut progress, patient, full),
            page_of(&mut progress, other, vec![(2, 7)]),
            page_of(&mut progress, patient, vec![(3, 1), (4, 4)]),
            page_of(&mut progress, patient, vec![(5, 9)]),
            page_of(&mut progress, other, vec![(6, 8)]),
        ];
        let places = places.map(|it| (it.file, it.page, it.until_byte));
        let full = FILE_BYTES_MAX + 4;
        let expected = [(1, 1, full - 5), (2, 1, 7), (1, 2, full), (3, 1, 9), (2, 2, 15)];
        assert_eq!(places, expected);
        assert_eq!((progress.count(), progress.bytes()), (6, full + 24));
    }

    #[test]
    fn the_type_is_read_of_resources_alone() {
        let of = |body: &str| type_of(body.as_bytes()).map(ResourceType::as_str);
        assert_eq!(
            of(r#"{"id":"1","resourceType":"Patient","name":[{"family":"x"}]}"#),
            Some("Patient")
        );
        for bad in ["", "{}", r#"{"resourceType":"Nothing"}"#, r#"{"resourceType":7}"#, "[]"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}

//! `keepwell bench latency`: how long one client waits, with nobody else there.
//!
//! A commit is a `record.add` until its receipt. A whole open is what a clinician of another
//! organisation waits for who holds a grant: the access is committed, the entry and the capsule are
//! fetched, the validators release their shares, and the record's data key is there.

use std::time::Instant;

use clap::Args;
use keepwell_client::{
    Client,
    identity::Seeds,
    open::{Opening, What},
};
use keepwell_types::access::{Purpose, RecordName};
use serde::Serialize;

use super::{
    BenchError, Place,
    drive::{Span, drive},
    figure::{Figure, Lines, Spread},
    fleet::{Fleet, Node},
    limits::Limits,
    load::open_charts,
    patient::Patient,
    workload::Workload,
};

/// Waits that are not counted: connections and caches.
const WARM_UP: usize = 5;
const CHARTS: usize = 64;
/// The record that is opened.
const CONTENT: &[u8] = &[7; 2_000];

/// Commit, and open a record, with one client: latency
#[derive(Args, Clone, Debug)]
pub(super) struct Latency {
    #[command(flatten)]
    place: Place,
    /// Commits
    #[arg(long, default_value_t = 200)]
    commits: usize,
    /// Opens
    #[arg(long, default_value_t = 100)]
    opens: usize,
}

#[derive(Debug, Serialize)]
struct LatencyLine {
    validators: usize,
    floor_ms: f64,
    commit: Spread,
    open: Spread,
}

impl Latency {
    /// With as many of each as usual.
    pub(super) const fn at(place: Place) -> Self {
        Self { place, commits: 200, opens: 100 }
    }

    pub(super) async fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let limits = Limits::measure(&self.place.dir)?;
        lines.put("limits", &limits)?;
        self.run_against(&limits, lines).await
    }

    pub(super) async fn run_against(
        &self,
        limits: &Limits,
        lines: &mut Lines<'_>,
    ) -> Result<(), BenchError> {
        let mut fleet = Fleet::start(&self.place.dir, self.place.validators).await?;
        let measured = self.measure(&fleet).await;
        fleet.check()?;
        let (commit, open) = measured.inspect_err(|_| drop(fleet.keep()))?;

        let floor_ms = limits.commit_floor_us() / 1_000.0;
        let validators = self.place.validators;
        lines.put("latency", &LatencyLine { validators, floor_ms, commit, open })?;
        lines.figure(Figure::CommitLatency, commit.p50_ms / floor_ms)?;
        lines.figure(Figure::OpenLatency, open.p50_ms / commit.p50_ms)
    }

    async fn measure(&self, fleet: &Fleet) -> Result<(Spread, Spread), BenchError> {
        let mut workload = Workload::new(fleet, CHARTS, 1);
        open_charts(fleet, &mut workload).await?;
        let mut work = workload.records(fleet.nodes.len() * (WARM_UP + self.commits))?;
        // One client sends to one validator.
        work.iter_mut().skip(1).for_each(Vec::clear);
        let commit = drive(fleet, work, 1, Span::All).await?.latency();
        Ok((commit, self.opens(fleet).await?))
    }

    async fn opens(&self, fleet: &Fleet) -> Result<Spread, BenchError> {
        let (home, elsewhere) = (0, 1 % fleet.nodes.len());
        let (author, reader) = (&fleet.nodes[home], &fleet.nodes[elsewhere]);
        let client = fleet.client(home)?;
        let patient = Patient::admit(&client, author, vec![author.organisation]).await?;
        let added = patient.add(&client, author, (CONTENT, CONTENT.len() as u64)).await?;
        let record = patient.name(&client, author, &added).await?;
        let seeds = patient.grant(&client, reader).await?;

        let client = fleet.client(elsewhere)?;
        let mut waits = Vec::with_capacity(self.opens);
        for turn in 0..WARM_UP + self.opens {
            let start = Instant::now();
            open(&client, reader, &patient, record, &seeds).await?;
            if turn >= WARM_UP {
                waits.push(start.elapsed());
            }
        }
        Ok(Spread::of(waits))
    }
}

async fn open(
    client: &Client,
    reader: &Node,
    patient: &Patient,
    record: RecordName,
    seeds: &Seeds,
) -> Result<(), BenchError> {
    let actor = reader.identity.actor();
    let what = What::Records(vec![record]);
    let opening = Opening {
        actor: &actor,
        chart: patient.chart(),
        what: &what,
        purpose: Purpose::Treatment,
        seeds,
    };
    let opened = client.open(&opening).await?;
    match (opened.records.len(), opened.withheld.into_iter().next()) {
        (1, _) => Ok(()),
        (_, Some(withheld)) => Err(withheld.error.into()),
        (_, None) => Err(BenchError::NothingOpened),
    }
}

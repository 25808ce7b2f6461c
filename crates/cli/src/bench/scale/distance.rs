//! One client of a consortium whose validators are far from each other.
//!
//! A commit takes three messages one way at least: a proposal, votes to certify it, votes to make it final.

use std::time::Duration;

use serde::Serialize;

use super::Scale;
use crate::bench::{
    BenchError,
    check::check,
    drive::{Span, drive},
    figure::{Figure, Lines, Spread},
    fleet::{Fleet, Setting},
    load::open_charts,
    workload::Workload,
};

/// The delay at which a commit is judged.
pub(super) const FAR_MS: u64 = 40;
const VALIDATORS: usize = 4;
const CHARTS: usize = 64;
const COMMITS: usize = 200;
/// Commits that warm connections and caches.
const WARM: usize = 5;
/// One-way delays of a commit.
const STEPS: f64 = 3.0;

#[derive(Debug, Serialize)]
struct DistanceLine {
    one_way_ms: u64,
    near: Spread,
    far: Spread,
}

impl Scale {
    pub(super) async fn distance(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let near = self.commits(None, lines).await?;
        let far = self.commits(Some(Duration::from_millis(self.delay_ms)), lines).await?;
        lines.put("scale_distance", &DistanceLine { one_way_ms: self.delay_ms, near, far })?;
        if self.delay_ms != FAR_MS {
            return Ok(());
        }
        let least = STEPS * FAR_MS as f64;
        lines.figure(Figure::FarCommit, (far.p50_ms - near.p50_ms) / least)
    }

    async fn commits(
        &self,
        delay: Option<Duration>,
        lines: &mut Lines<'_>,
    ) -> Result<Spread, BenchError> {
        let setting = Setting { delay, ..Setting::default() };
        let mut fleet = Fleet::start_as(&self.dir, VALIDATORS, setting).await?;
        let measured = commits(&fleet, lines).await;
        fleet.check()?;
        measured.inspect_err(|_| drop(fleet.keep()))
    }
}

async fn commits(fleet: &Fleet, lines: &mut Lines<'_>) -> Result<Spread, BenchError> {
    let mut workload = Workload::new(fleet, CHARTS, 1);
    let mut acknowledged = open_charts(fleet, &mut workload).await?;
    let mut latency = Spread::default();
    for count in [WARM, COMMITS] {
        let mut work = workload.records(VALIDATORS * count)?;
        work.iter_mut().skip(1).for_each(Vec::clear);
        let driven = drive(fleet, work, 1, Span::All).await?;
        acknowledged.extend(driven.acknowledged.iter().map(|it| it.id));
        latency = driven.latency();
    }
    lines.put("checked", &check(fleet, workload.charts(), &acknowledged).await?)?;
    Ok(latency)
}

//! A load on three of four validators, before and after the fourth crashed.
//!
//! The clients know nothing of the fourth. It comes back at the end, and is held to what was acknowledged like the others.
//!
//! Validators of one machine share its cores, so that three of them can do 4/3 of what four can: a rate that stays as
//! it was has lost a fourth. `work_ratio` is what tells what the crash itself cost.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{CHARTS, COMMANDS_PER_S, HEADROOM, Scale, WARM_UP};
use crate::bench::{
    BenchError,
    check::check,
    figure::{Figure, Lines},
    fleet::Fleet,
    load::open_charts,
    workload::Workload,
};

const VALIDATORS: usize = 4;
/// The one that crashes.
const CRASHES: usize = 3;
/// How many run on.
const RUN_ON: usize = VALIDATORS - 1;
/// How long the others have to get over it: longer than they wait for a leader whom nobody hears.
const RECOVERS: Duration = Duration::from_secs(15);

#[derive(Debug, Serialize)]
struct CrashLine {
    before_per_s: f64,
    after_per_s: f64,
    p50_before_ms: f64,
    p50_after_ms: f64,
    /// Rate × validators that run, after ÷ before.
    work_ratio: f64,
    /// The longest time from the crash on in which nothing was acknowledged.
    longest_gap_s: f64,
    /// Whether the commands were too few for the time, before or after.
    ran_out_of_commands: bool,
}

impl Scale {
    pub(super) async fn crash(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let mut fleet = Fleet::start(&self.dir, VALIDATORS).await?;
        let line = self.before_and_after(&mut fleet, lines).await;
        fleet.check()?;
        let line = line.inspect_err(|_| drop(fleet.keep()))?;
        lines.put("scale_crash", &line)?;
        lines.figure(Figure::CrashRate, line.after_per_s / line.before_per_s)
    }

    async fn before_and_after(
        &self,
        fleet: &mut Fleet,
        lines: &mut Lines<'_>,
    ) -> Result<CrashLine, BenchError> {
        let mut workload = Workload::new(fleet, CHARTS, 1);
        let mut acknowledged = open_charts(fleet, &mut workload).await?;
        let mut work = self.sign(&mut workload, COMMANDS_PER_S, WARM_UP)?;
        work[CRASHES].clear();
        let before = self.load(fleet, work, WARM_UP).await?;
        // A fourth of what is signed is of the organisation whose validator is gone.
        let rate = before.rate() * HEADROOM * VALIDATORS as f64 / RUN_ON as f64;
        let mut work = self.sign(&mut workload, rate, RECOVERS)?;
        work[CRASHES].clear();
        let crashed = Instant::now();
        fleet.stop(CRASHES);
        let after = self.load(fleet, work, RECOVERS).await?;

        fleet.start_again(CRASHES)?;
        fleet.wait_until_ready().await?;
        let driven = before.acknowledged.iter().chain(&after.acknowledged);
        acknowledged.extend(driven.map(|it| it.id));
        lines.put("checked", &check(fleet, workload.charts(), &acknowledged).await?)?;
        let work = |rate: f64, validators: usize| rate * validators as f64;
        Ok(CrashLine {
            before_per_s: before.rate(),
            after_per_s: after.rate(),
            p50_before_ms: before.latency().p50_ms,
            p50_after_ms: after.latency().p50_ms,
            work_ratio: work(after.rate(), RUN_ON) / work(before.rate(), VALIDATORS),
            longest_gap_s: after.longest_gap_since(crashed).as_secs_f64(),
            ran_out_of_commands: before.exhausted || after.exhausted,
        })
    }
}

//! A load on three of four validators, before and after the fourth crashed.

use std::time::Duration;

use serde::Serialize;

use super::{CHARTS, COMMANDS_PER_S, HEADROOM, Scale, WARM_UP};
use crate::bench::{
    BenchError,
    check::check_roots,
    figure::{Figure, Lines},
    fleet::Fleet,
    load::open_charts,
    workload::Workload,
};

const VALIDATORS: usize = 4;
/// The one that crashes.
const CRASHES: usize = 3;
/// How long the others have to get over it.
const RECOVERS: Duration = Duration::from_secs(15);

#[derive(Debug, Serialize)]
struct CrashLine {
    before_per_s: f64,
    after_per_s: f64,
    p50_before_ms: f64,
    p50_after_ms: f64,
}

impl Scale {
    pub(super) async fn crash(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let mut fleet = Fleet::start(&self.dir, VALIDATORS).await?;
        let line = self.before_and_after(&mut fleet).await;
        fleet.check()?;
        let line = line.inspect_err(|_| drop(fleet.keep()))?;
        lines.put("scale_crash", &line)?;
        lines.figure(Figure::CrashRate, line.after_per_s / line.before_per_s)
    }

    async fn before_and_after(&self, fleet: &mut Fleet) -> Result<CrashLine, BenchError> {
        let mut workload = Workload::new(fleet, CHARTS, 1);
        open_charts(fleet, &mut workload).await?;
        let on_the_others = |at| at != CRASHES;
        let pace = (COMMANDS_PER_S, WARM_UP);
        let before = self.load(fleet, &mut workload, pace, on_the_others).await?;
        fleet.stop(CRASHES);
        // A fourth of what is signed is of the organisation whose validator is gone.
        let pace = (before.rate() * HEADROOM * 4.0 / 3.0, RECOVERS);
        let after = self.load(fleet, &mut workload, pace, on_the_others).await?;
        check_roots(fleet).await?;
        Ok(CrashLine {
            before_per_s: before.rate(),
            after_per_s: after.rate(),
            p50_before_ms: before.latency().p50_ms,
            p50_after_ms: after.latency().p50_ms,
        })
    }
}

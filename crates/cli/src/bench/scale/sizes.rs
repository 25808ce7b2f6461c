//! The same load on more and more validators of one machine.
//!
//! Each validator verifies and executes everything, so that on one machine the rate goes down as their number goes up,
//! and rate times number says what consensus itself adds.

use serde::{Deserialize, Serialize};

use super::{CHARTS, COMMANDS_PER_S, Scale, WARM_UP};
use crate::bench::{
    BenchError,
    check::check_roots,
    figure::{Figure, Lines},
    fleet::Fleet,
    load::open_charts,
    workload::Workload,
};

/// To which number of validators larger ones are compared.
const USUAL: usize = 4;
const MIB: f64 = 1024.0 * 1024.0;

/// What consortia of one size do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(in crate::bench) struct SizeLine {
    /// How many validate.
    pub validators: usize,
    /// Acknowledged commands in a second.
    pub commands_per_s: f64,
    /// The median of their latencies.
    pub p50_ms: f64,
    /// The most memory that one of them took at the end.
    pub rss_mib: f64,
}

impl Scale {
    pub(super) async fn sizes(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let mut sizes: Vec<SizeLine> = Vec::new();
        for validators in &self.validators {
            let mut fleet = Fleet::start(&self.dir, *validators).await?;
            let size = self.size(&fleet, *validators).await;
            fleet.check()?;
            let size = size.inspect_err(|_| drop(fleet.keep()))?;
            lines.put("scale_size", &size)?;
            sizes.push(size);
        }
        let work = |it: &SizeLine| it.commands_per_s * it.validators as f64;
        let usual = sizes.iter().find(|it| it.validators == USUAL).map(work);
        let larger = sizes.iter().filter(|it| it.validators > USUAL).map(work);
        match (usual, larger.reduce(f64::min)) {
            (Some(usual), Some(least)) => lines.figure(Figure::MoreValidators, least / usual),
            _ => Ok(()),
        }
    }

    async fn size(&self, fleet: &Fleet, validators: usize) -> Result<SizeLine, BenchError> {
        let mut workload = Workload::new(fleet, CHARTS, 1);
        open_charts(fleet, &mut workload).await?;
        let rate = COMMANDS_PER_S / (validators as f64 / USUAL as f64).max(1.0);
        let driven = self.load(fleet, &mut workload, (rate, WARM_UP), |_| true).await?;
        check_roots(fleet).await?;
        let rss = driven.after.validators.iter().map(|it| it.rss_bytes).max().unwrap_or(0);
        Ok(SizeLine {
            validators,
            commands_per_s: driven.rate(),
            p50_ms: driven.latency().p50_ms,
            rss_mib: rss as f64 / MIB,
        })
    }
}

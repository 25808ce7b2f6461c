//! `keepwell bench idle`: what a consortium costs that has nothing to do.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::sleep;

use super::{
    BenchError, Place,
    drive::Snapshot,
    figure::{Figure, Lines},
    fleet::Fleet,
    process::Usage,
};

/// Time for the start to be over.
const SETTLE: Duration = Duration::from_secs(5);

/// Do nothing: CPU per validator, blocks per second
#[derive(Args, Clone, Debug)]
pub(super) struct Idle {
    #[command(flatten)]
    pub(super) place: Place,
    /// Seconds that are measured
    #[arg(long, default_value_t = 20)]
    pub(super) seconds: u64,
}

#[derive(Debug, Serialize)]
struct IdleLine {
    validators: usize,
    seconds: f64,
    blocks_per_s: f64,
    cpu_percent: Vec<f64>,
    validator_usage: Vec<Usage>,
}

impl Idle {
    pub(super) async fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let fleet = Fleet::start(&self.place.dir, self.place.validators).await?;
        sleep(SETTLE).await;
        let before = Snapshot::take(&fleet).await?;
        sleep(Duration::from_secs(self.seconds)).await;
        let after = Snapshot::take(&fleet).await?;

        let seconds = after.seconds_since(&before);
        let usage = after.validators.iter().zip(&before.validators);
        let validator_usage: Vec<_> = usage.map(|(after, before)| after.since(before)).collect();
        let cpu_percent: Vec<_> =
            validator_usage.iter().map(|usage| 100.0 * usage.cpu_s / seconds).collect();
        let blocks_per_s = (after.height - before.height) as f64 / seconds;
        let busiest = cpu_percent.iter().copied().fold(0.0, f64::max);
        let validators = self.place.validators;
        lines.put(
            "idle",
            &IdleLine { validators, seconds, blocks_per_s, cpu_percent, validator_usage },
        )?;
        lines.figure(Figure::IdleCpuPercent, busiest)?;
        lines.figure(Figure::IdleBlocks, blocks_per_s)
    }
}

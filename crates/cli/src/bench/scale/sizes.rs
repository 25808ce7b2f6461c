//! The same load on more and more validators of one machine.
//!
//! Each validator verifies and executes everything, so that on one machine the rate goes down as their number goes up,
//! and rate times number says what consensus itself adds.

use serde::{Deserialize, Serialize};

use super::{CHARTS, COMMANDS_PER_S, Scale, WARM_UP};
use crate::bench::{
    BenchError,
    check::check,
    figure::{Figure, Lines},
    fleet::Fleet,
    load::open_charts,
    workload::Workload,
};

/// To which number of validators larger ones are compared.
const USUAL: usize = 4;
/// Those whose least is compared.
const LARGER: [usize; 3] = [7, 10, 16];
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
    /// Whether the commands were too few for the time.
    #[serde(default)]
    pub ran_out_of_commands: bool,
}

impl Scale {
    pub(super) async fn sizes(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let mut sizes: Vec<SizeLine> = Vec::new();
        for validators in &self.validators {
            let mut fleet = Fleet::start(&self.dir, *validators).await?;
            let size = self.size(&fleet, *validators, lines).await;
            fleet.check()?;
            let size = size.inspect_err(|_| drop(fleet.keep()))?;
            lines.put("scale_size", &size)?;
            sizes.push(size);
        }
        larger_to_usual(&sizes).map_or(Ok(()), |it| lines.figure(Figure::MoreValidators, it))
    }

    async fn size(
        &self,
        fleet: &Fleet,
        validators: usize,
        lines: &mut Lines<'_>,
    ) -> Result<SizeLine, BenchError> {
        let mut workload = Workload::new(fleet, CHARTS, 1);
        let mut acknowledged = open_charts(fleet, &mut workload).await?;
        let rate = COMMANDS_PER_S / (validators as f64 / USUAL as f64).max(1.0);
        let work = self.sign(&mut workload, rate, WARM_UP)?;
        let driven = self.load(fleet, work, WARM_UP).await?;
        acknowledged.extend(driven.acknowledged.iter().map(|it| it.id));
        lines.put("checked", &check(fleet, workload.charts(), &acknowledged).await?)?;
        let rss = driven.after.validators.iter().map(|it| it.rss_bytes).max().unwrap_or(0);
        Ok(SizeLine {
            validators,
            commands_per_s: driven.rate(),
            p50_ms: driven.latency().p50_ms,
            rss_mib: rss as f64 / MIB,
            ran_out_of_commands: driven.exhausted,
        })
    }
}

/// The least rate × validators of larger consortia ÷ that of the usual one, where all of them were measured.
fn larger_to_usual(sizes: &[SizeLine]) -> Option<f64> {
    let work = |validators: usize| {
        let size = sizes.iter().find(|it| it.validators == validators)?;
        Some(size.commands_per_s * validators as f64)
    };
    let larger: Option<Vec<_>> = LARGER.into_iter().map(work).collect();
    Some(larger?.into_iter().fold(f64::INFINITY, f64::min) / work(USUAL)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_figure_names_is_compared() {
        let measured = |sizes: &[(usize, f64)]| {
            let line = |(validators, commands_per_s): &(usize, f64)| SizeLine {
                validators: *validators,
                commands_per_s: *commands_per_s,
                p50_ms: 0.0,
                rss_mib: 0.0,
                ran_out_of_commands: false,
            };
            larger_to_usual(&sizes.iter().map(line).collect::<Vec<_>>())
        };
        let all = [(1, 9_000.0), (4, 1_000.0), (7, 500.0), (10, 300.0), (16, 225.0), (20, 1.0)];
        assert_eq!(measured(&all), Some(0.75));
        assert_eq!(measured(&all[1..4]), None, "16 is missing");
        assert_eq!(measured(&all[2..]), None, "4 is missing");
    }
}

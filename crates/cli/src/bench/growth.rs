//! `keepwell bench growth`: does a consortium that holds many records work as one that holds few?
//!
//! Records are added in rounds. The rate of the rounds around 10⁴ records is compared with that of the
//! last rounds, and so is memory. Between rounds the next commands are signed, while the validators
//! rest.

use clap::Args;
use serde::Serialize;

use super::{
    BenchError, Place,
    check::check_roots,
    drive::{Span, drive},
    figure::{Figure, Lines, median},
    fleet::Fleet,
    load::open_charts,
    workload::Workload,
};

/// Where the rate of a young consortium is taken.
const FEW: usize = 10_000;
/// Rounds on each side whose median is compared.
const COMPARED: usize = 3;
const MIB: f64 = 1024.0 * 1024.0;

/// Add a million records: rate and memory at the end against rate and memory at the beginning
#[derive(Args, Clone, Debug)]
pub(super) struct Growth {
    #[command(flatten)]
    pub(super) place: Place,
    /// Records in the end
    #[arg(long, default_value_t = 1_000_000)]
    pub(super) records: usize,
    /// Records in one round
    #[arg(long, default_value_t = 20_000)]
    pub(super) round: usize,
    /// Commands in flight
    #[arg(long, default_value_t = 256)]
    pub(super) clients: usize,
    /// Charts to write in
    #[arg(long, default_value_t = 1_000)]
    pub(super) charts: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct RoundLine {
    /// Records after it.
    pub records: usize,
    /// Its rate.
    pub commands_per_s: f64,
    /// The median of its latencies.
    pub p50_ms: f64,
    /// Memory of each validator after it.
    pub rss_mib: Vec<f64>,
}

impl Growth {
    pub(super) async fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let mut fleet = Fleet::start(&self.place.dir, self.place.validators).await?;
        let grown = self.grow(&fleet, lines).await;
        fleet.check()?;
        grown.inspect_err(|_| drop(fleet.keep()))
    }

    async fn grow(&self, fleet: &Fleet, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let mut workload = Workload::new(fleet, self.charts, 1);
        open_charts(fleet, &mut workload).await?;
        let mut rounds: Vec<RoundLine> = Vec::new();
        while rounds.last().is_none_or(|round| round.records < self.records) {
            let before = rounds.last().map_or(0, |round| round.records);
            let line = self.round(fleet, &mut workload, before).await?;
            lines.put("growth", &line)?;
            rounds.push(line);
        }
        let (height, state) = check_roots(fleet).await?;
        lines.put("roots_agree", &serde_json::json!({ "height": height, "state": state }))?;

        // The first round pays for starting; 10⁴ records are there after at most one more.
        let young = rounds.iter().skip_while(|round| round.records < FEW).skip(1).take(COMPARED);
        let old = rounds.iter().rev().take(COMPARED);
        let rates = |it: &mut dyn Iterator<Item = &RoundLine>| {
            median(&it.map(|round| round.commands_per_s).collect::<Vec<_>>())
        };
        if let (Some(young), Some(old)) = (rates(&mut { young }), rates(&mut { old })) {
            lines.figure(Figure::GrowthRate, old / young)?;
        }
        let memory = rounds.last().map(|round| round.rss_mib.iter().copied().fold(0.0, f64::max));
        memory.map_or(Ok(()), |mib| lines.figure(Figure::MemoryMib, mib))
    }

    /// Adds the records of one round, after so many before.
    pub(super) async fn round(
        &self,
        fleet: &Fleet,
        workload: &mut Workload,
        before: usize,
    ) -> Result<RoundLine, BenchError> {
        let work = workload.records(self.round.min(self.records - before))?;
        let driven = drive(fleet, work, self.clients, Span::All).await?;
        Ok(RoundLine {
            records: before + driven.acknowledged.len(),
            commands_per_s: driven.rate(),
            p50_ms: driven.latency().p50_ms,
            rss_mib: fleet.usage()?.iter().map(|usage| usage.rss_bytes as f64 / MIB).collect(),
        })
    }
}

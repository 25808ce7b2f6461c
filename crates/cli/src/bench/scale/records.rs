//! A consortium of four with more and more records.

use std::{fs, iter::successors, time::Instant};

use serde::{Deserialize, Serialize};

use super::{CHARTS, HEADROOM, Scale, WARM_UP};
use crate::bench::{
    BenchError, Place,
    check::check_roots,
    drive::commit,
    figure::{Figure, Lines, median},
    fleet::{Fleet, Setting},
    growth::Growth,
    http::Connection,
    load::open_charts,
    process::Process,
    scratch::bytes_below,
    workload::Workload,
};

const VALIDATORS: usize = 4;
/// The first size, which times ten is the next.
const FEW: usize = 10_000;
/// The size at which starts and the rate during a backup are judged.
pub(super) const MANY: usize = 1_000_000;
/// Rounds from one size to the next, at least.
const ROUNDS: usize = 5;
const ROUND_MAX: usize = 20_000;
/// Rounds before a size whose median is its rate.
const RECENT: usize = 3;
const MIB: f64 = 1024.0 * 1024.0;

/// A consortium that holds so many records.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(in crate::bench) struct RecordsLine {
    /// How many.
    pub records: usize,
    /// Acknowledged commands in a second, with that many.
    pub commands_per_s: f64,
    /// The median of their latencies.
    pub p50_ms: f64,
    /// The most memory that one validator takes.
    pub rss_mib: f64,
    /// The most bytes that one has on its disk.
    pub stored_mib: f64,
    /// From starting a killed validator until a block that needed its vote.
    pub restart_s: f64,
    /// From starting a node that has nothing until it has the block that was the newest then.
    pub begin_s: f64,
}

#[derive(Debug, Serialize)]
struct BackupLine {
    records: usize,
    before_per_s: f64,
    while_per_s: f64,
    backups: usize,
    backup_mib: f64,
    /// Whether the commands were too few for the time, before or meanwhile.
    ran_out_of_commands: bool,
}

/// The sizes at which a consortium is measured.
fn sizes() -> impl Iterator<Item = usize> {
    successors(Some(FEW), |size| size.checked_mul(10))
}

/// A number of records at which a consortium is measured.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|it| sizes().any(|size| size == *it));
    number.ok_or_else(|| String::from("sizes are powers of ten: 10000, 100000, 1000000 and so on"))
}

impl Scale {
    pub(super) async fn records(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let setting = Setting { observer: true, ..Setting::default() };
        let mut fleet = Fleet::start_as(&self.dir, VALIDATORS, setting).await?;
        let grown = self.grow(&mut fleet, lines).await;
        fleet.check()?;
        grown.inspect_err(|_| drop(fleet.keep()))
    }

    async fn grow(&self, fleet: &mut Fleet, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let mut workload = Workload::new(fleet, CHARTS, 1);
        open_charts(fleet, &mut workload).await?;
        let mut line = None;
        for size in sizes().take_while(|size| *size <= self.records) {
            let before = line.map_or(0, |it: RecordsLine| it.records);
            let next = self.size_of(fleet, &mut workload, (before, size)).await?;
            lines.put("scale_records", &next)?;
            if size == MANY {
                lines.figure(Figure::RestartSeconds, next.restart_s)?;
                lines.figure(Figure::BeginSeconds, next.begin_s)?;
            }
            line = Some(next);
        }
        let Some(last) = line else { return Ok(()) };
        self.backup(fleet, &mut workload, &last, lines).await
    }

    /// Adds records until there are so many, and measures what there is then.
    async fn size_of(
        &self,
        fleet: &mut Fleet,
        workload: &mut Workload,
        (before, records): (usize, usize),
    ) -> Result<RecordsLine, BenchError> {
        let growth = Growth {
            place: Place { dir: self.dir.clone(), validators: VALIDATORS },
            records,
            round: ((records - before) / ROUNDS).min(ROUND_MAX),
            clients: self.clients,
            charts: CHARTS,
        };
        let (mut rounds, mut there) = (Vec::new(), before);
        while there < records {
            let round = growth.round(fleet, workload, there).await?;
            there = round.records;
            rounds.push(round);
        }
        let recent = &rounds[rounds.len().saturating_sub(RECENT)..];
        let middle = |of: fn(&_) -> f64| median(&recent.iter().map(of).collect::<Vec<_>>());
        let rss = recent.iter().flat_map(|it| it.rss_mib.iter().copied()).fold(0.0, f64::max);
        let stored_mib = fleet.stored_bytes()? as f64 / MIB;
        let begin_s = fleet.observe().await?.as_secs_f64();
        let restart_s = restart(fleet, workload).await?;
        check_roots(fleet).await?;
        Ok(RecordsLine {
            records,
            commands_per_s: middle(|it| it.commands_per_s).unwrap_or(0.0),
            p50_ms: middle(|it| it.p50_ms).unwrap_or(0.0),
            rss_mib: rss,
            stored_mib,
            restart_s,
            begin_s,
        })
    }

    /// A load before and while one validator's operator makes backups, one after the other.
    async fn backup(
        &self,
        fleet: &Fleet,
        workload: &mut Workload,
        last: &RecordsLine,
        lines: &mut Lines<'_>,
    ) -> Result<(), BenchError> {
        let rate = last.commands_per_s * HEADROOM;
        let work = self.sign(workload, rate, WARM_UP)?;
        let before = self.load(fleet, work, WARM_UP).await?;
        let work = self.sign(workload, rate, WARM_UP)?;
        let (mut backups, mut bytes) = (0, 0);
        let busy = async {
            loop {
                let folder = fleet.folder().join(format!("backup-{backups}"));
                let (config, to) = (fleet.config(0), folder.to_string_lossy().into_owned());
                let words = ["backup", "--config", &config.to_string_lossy(), "--to", &to];
                let log = fleet.folder().join("backup.log");
                Process::start(&words, &log)?.end().await?;
                bytes = bytes.max(bytes_below(&folder)?);
                fs::remove_dir_all(&folder)?;
                backups += 1;
            }
        };
        let during = tokio::select! {
            driven = self.load(fleet, work, WARM_UP) => driven?,
            ended = busy => return ended,
        };
        check_roots(fleet).await?;
        let records = last.records;
        let line = BackupLine {
            records,
            before_per_s: before.rate(),
            while_per_s: during.rate(),
            backups,
            backup_mib: bytes as f64 / MIB,
            ran_out_of_commands: before.exhausted || during.exhausted,
        };
        lines.put("scale_backup", &line)?;
        if records != MANY {
            return Ok(());
        }
        lines.figure(Figure::BackupRate, line.while_per_s / line.before_per_s)
    }
}

/// Kills two of four validators and starts one of them: seconds until a command is final, for which its vote is needed.
async fn restart(fleet: &mut Fleet, workload: &mut Workload) -> Result<f64, BenchError> {
    let work = workload.records(VALIDATORS)?;
    let Some(command) = work.first().and_then(|of_first| of_first.first()) else { return Ok(0.0) };
    let mut connection = Connection::open(fleet.nodes[0].address).await?;
    fleet.stop(VALIDATORS - 1);
    fleet.stop(VALIDATORS - 2);
    let start = Instant::now();
    fleet.start_again(VALIDATORS - 2)?;
    commit(&mut connection, command).await?;
    let took = start.elapsed();
    fleet.start_again(VALIDATORS - 1)?;
    fleet.wait_until_ready().await?;
    Ok(took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_ten() {
        assert_eq!(size("10000"), Ok(FEW));
        assert_eq!(size("1000000"), Ok(MANY));
        for text in ["0", "1", "1000", "20000", "999999", "-10000", "many", ""] {
            assert!(size(text).is_err(), "{text} was taken");
        }
    }
}

//! The figures that Keepwell is held to, and the lines that a run writes.
//!
//! A run writes one JSON object per line: first the limits of the machine, then what was measured, then
//! each figure that follows from both. A figure is dimensionless or in the unit that its name says, and
//! carries what it must be and what it should be, so that a line can be judged alone. Where its text names
//! a size, a run of another size writes what it measured and no figure.

use std::{io::Write, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::BenchError;

/// A row of the table in `docs/performance.md`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Figure {
    /// Signatures of committed commands × validators ÷ what the cores could verify in batches.
    VerifyShare,
    /// Commands per second ÷ those of PostgreSQL with one chain over all.
    PostgresGlobal,
    /// Commands per second ÷ those of PostgreSQL with a chain for each patient.
    PostgresPatient,
    /// Latency of a commit ÷ (one durable write + ten round trips).
    CommitLatency,
    /// Latency of a whole open ÷ that of a commit.
    OpenLatency,
    /// Rate of sealing and storing ÷ the slower of cipher and disk.
    SealRate,
    /// Resident memory of a validator, MiB.
    MemoryMib,
    /// Bytes written by a validator ÷ bytes of the commands.
    WriteAmplification,
    /// CPU of an idle validator, percent of one core.
    IdleCpuPercent,
    /// Blocks per second without commands.
    IdleBlocks,
    /// Rate with many records ÷ rate with few.
    GrowthRate,
    /// An accounting over a million accesses, seconds.
    ReportSeconds,
    /// Memory of that, MiB.
    ReportMemoryMib,
    /// CPU of all four validators for one evaluation of matching, ms.
    MatchingMs,
    /// Deciding an access with many grants ÷ with one.
    DecisionGrants,
    /// Deciding an access with many members ÷ with one.
    DecisionMembers,
    /// CPU of a validator for opening a chart ÷ that of as many capsule checks and batched shares.
    OpeningCpu,
    /// The least rate × validators of more than four validators ÷ that of four.
    MoreValidators,
    /// What a commit takes longer between validators that are apart ÷ three one-way delays.
    FarCommit,
    /// Rate after one of four crashed ÷ before.
    CrashRate,
    /// From starting a validator of a million records until its vote, seconds.
    RestartSeconds,
    /// From starting a new node until it has the state of a million records, seconds.
    BeginSeconds,
    /// Rate while a backup is made ÷ before.
    BackupRate,
    /// A FHIR transaction of a thousand resources, seconds.
    FhirTransaction,
    /// HL7 v2 messages per second, acknowledged when they are final.
    MllpRate,
    /// Resources per second of the files of a bulk export.
    FhirExport,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Better {
    /// At least so much.
    Higher,
    /// At most so much.
    Lower,
}

impl Figure {
    /// All, in the order of the table.
    pub(super) const ALL: [Self; 26] = [
        Self::VerifyShare,
        Self::PostgresGlobal,
        Self::PostgresPatient,
        Self::CommitLatency,
        Self::OpenLatency,
        Self::SealRate,
        Self::MemoryMib,
        Self::WriteAmplification,
        Self::IdleCpuPercent,
        Self::IdleBlocks,
        Self::GrowthRate,
        Self::ReportSeconds,
        Self::ReportMemoryMib,
        Self::MatchingMs,
        Self::DecisionGrants,
        Self::DecisionMembers,
        Self::OpeningCpu,
        Self::MoreValidators,
        Self::FarCommit,
        Self::CrashRate,
        Self::RestartSeconds,
        Self::BeginSeconds,
        Self::BackupRate,
        Self::FhirTransaction,
        Self::MllpRate,
        Self::FhirExport,
    ];

    /// What it says, in words.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::VerifyShare => {
                "signatures of committed commands/s × validators ÷ (cores × batched Ed25519 verifies/s)"
            }
            Self::PostgresGlobal => {
                "commands/s ÷ PostgreSQL 15 (ANY 2 of 3 standbys), one hash chain over all; it verifies no signature"
            }
            Self::PostgresPatient => {
                "the same ÷ PostgreSQL with one hash chain per patient; it verifies no signature"
            }
            Self::CommitLatency => {
                "commit p50, one client ÷ (fdatasync with four writers + ten loopback round trips)"
            }
            Self::OpenLatency => "whole open p50, one client ÷ commit p50",
            Self::SealRate => {
                "seal and store 100 MiB ÷ min(AES-GCM, sequential write with one fdatasync)"
            }
            Self::MemoryMib => "resident memory per validator at the end of the growth run, MiB",
            Self::WriteAmplification => "bytes written per validator ÷ command bytes, sustained",
            Self::IdleCpuPercent => "idle: CPU per validator, percent of a core",
            Self::IdleBlocks => "idle: blocks per second",
            Self::GrowthRate => "rate at the end of the growth run ÷ rate at 10⁴ records",
            Self::ReportSeconds => "accounting over 10⁶ accesses of one chart, as HTML, s",
            Self::ReportMemoryMib => "the most memory of that accounting, MiB",
            Self::MatchingMs => "one evaluation of matching: CPU of four validators together, ms",
            Self::DecisionGrants => "deciding an access: 10⁴ grants in the chart ÷ one",
            Self::DecisionMembers => "deciding an access: 10⁴ members in the organisation ÷ one",
            Self::OpeningCpu => {
                "opening a chart of 1,000 records: CPU per validator ÷ 1,000 × (capsule check + batched share)"
            }
            Self::MoreValidators => {
                "commands/s × validators on one machine: the least of 7, 10 and 16 ÷ that of 4"
            }
            Self::FarCommit => {
                "four validators 40 ms apart: (commit p50 − that side by side) ÷ 3 × 40 ms"
            }
            Self::CrashRate => "rate 15 s after one of four crashed ÷ rate before",
            Self::RestartSeconds => {
                "10⁶ records: a killed validator, from its start to its vote, s"
            }
            Self::BeginSeconds => "10⁶ records: a new node that begins from the state, s",
            Self::BackupRate => "10⁶ records: rate while a backup is made ÷ rate before",
            Self::FhirTransaction => "a FHIR transaction of 1,000 resources, p50, s",
            Self::MllpRate => "HL7 v2 messages/s from 16 senders, acknowledged when final",
            Self::FhirExport => "resources/s of the files of a bulk export, after its accesses",
        }
    }

    /// What it must be.
    pub(super) const fn must(self) -> f64 {
        match self {
            Self::VerifyShare => 0.15,
            Self::PostgresGlobal => 10.0,
            Self::PostgresPatient | Self::IdleCpuPercent | Self::IdleBlocks => 1.0,
            Self::CommitLatency => 20.0,
            Self::OpenLatency => 2.0,
            Self::SealRate => 0.5,
            Self::MemoryMib => 1024.0,
            Self::WriteAmplification => 8.0,
            Self::GrowthRate | Self::BackupRate => 0.8,
            Self::ReportSeconds => 5.0,
            Self::ReportMemoryMib => 256.0,
            Self::MatchingMs => 5.0,
            Self::DecisionGrants | Self::DecisionMembers => 1.5,
            Self::OpeningCpu | Self::FarCommit => 1.3,
            Self::MoreValidators => 0.75,
            Self::CrashRate => 0.9,
            Self::RestartSeconds => 10.0,
            Self::BeginSeconds => 60.0,
            Self::FhirTransaction => 2.0,
            Self::MllpRate => 1_000.0,
            Self::FhirExport => 20_000.0,
        }
    }

    /// What it should be, where that is more than it must be.
    pub(super) const fn aim(self) -> Option<f64> {
        match self {
            Self::VerifyShare => Some(0.4),
            Self::PostgresGlobal => Some(40.0),
            Self::PostgresPatient | Self::WriteAmplification => Some(4.0),
            Self::CommitLatency => Some(8.0),
            Self::MatchingMs => Some(2.0),
            Self::OpenLatency => Some(1.3),
            Self::SealRate => Some(0.9),
            Self::MemoryMib => Some(200.0),
            Self::IdleCpuPercent => Some(0.2),
            Self::IdleBlocks
            | Self::GrowthRate
            | Self::ReportSeconds
            | Self::ReportMemoryMib
            | Self::DecisionGrants
            | Self::DecisionMembers
            | Self::OpeningCpu
            | Self::MoreValidators
            | Self::FarCommit
            | Self::CrashRate
            | Self::RestartSeconds
            | Self::BeginSeconds
            | Self::BackupRate
            | Self::FhirTransaction
            | Self::MllpRate
            | Self::FhirExport => None,
        }
    }

    /// Which way is better.
    pub(super) const fn better(self) -> Better {
        match self {
            Self::VerifyShare
            | Self::PostgresGlobal
            | Self::PostgresPatient
            | Self::SealRate
            | Self::GrowthRate
            | Self::MoreValidators
            | Self::CrashRate
            | Self::BackupRate
            | Self::MllpRate
            | Self::FhirExport => Better::Higher,
            Self::CommitLatency
            | Self::OpenLatency
            | Self::MemoryMib
            | Self::WriteAmplification
            | Self::IdleCpuPercent
            | Self::IdleBlocks
            | Self::ReportSeconds
            | Self::ReportMemoryMib
            | Self::MatchingMs
            | Self::DecisionGrants
            | Self::DecisionMembers
            | Self::OpeningCpu
            | Self::FarCommit
            | Self::RestartSeconds
            | Self::BeginSeconds
            | Self::FhirTransaction => Better::Lower,
        }
    }

    /// How many times as good as `bound` a value is; 1 is just reached.
    pub(super) fn times(self, value: f64, bound: f64) -> f64 {
        match self.better() {
            Better::Higher => value / bound,
            Better::Lower => bound / value,
        }
    }

    /// Whether `value` is what it must be.
    pub(super) fn holds(self, value: f64) -> bool {
        self.times(value, self.must()) >= 1.0
    }

    /// Whether `value` is what it should be.
    pub(super) fn aimed(self, value: f64) -> bool {
        self.aim().is_some_and(|aim| self.times(value, aim) >= 1.0)
    }
}

/// Where a run writes what it found.
pub(super) struct Lines<'a>(pub &'a mut dyn Write);

impl Lines<'_> {
    /// Writes what was measured under the name of its kind.
    pub(super) fn put(&mut self, kind: &str, measured: &impl Serialize) -> Result<(), BenchError> {
        let mut line = Map::from_iter([("kind".to_owned(), json!(kind))]);
        if let Value::Object(fields) = serde_json::to_value(measured)? {
            line.extend(fields);
        }
        self.write(&Value::Object(line))
    }

    /// Writes a figure.
    pub(super) fn figure(&mut self, figure: Figure, value: f64) -> Result<(), BenchError> {
        self.write(&json!({
            "kind": "figure",
            "figure": figure,
            "value": value,
            "better": figure.better(),
            "must": figure.must(),
            "aim": figure.aim(),
            "must_holds": figure.holds(value),
            "aim_holds": figure.aimed(value),
            "text": figure.text(),
        }))
    }

    /// Writes a line that is complete.
    pub(super) fn write(&mut self, line: &Value) -> Result<(), BenchError> {
        writeln!(self.0, "{line}")?;
        Ok(self.0.flush()?)
    }
}

/// How a number of waits were spread, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Spread {
    /// How many there were.
    pub count: usize,
    /// Half were shorter.
    pub p50_ms: f64,
    /// Nine of ten were shorter.
    pub p90_ms: f64,
    /// 99 of 100 were shorter.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Spread {
    /// Of these; all zero if there are none.
    pub(super) fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        let at = |share: f64| {
            let index = (waits.len() as f64 * share) as usize;
            let wait = waits.get(index.min(waits.len().saturating_sub(1)));
            wait.map_or(0.0, |it| it.as_secs_f64() * 1_000.0)
        };
        Self {
            count: waits.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        }
    }
}

/// The middle value; of an even number, the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_is_just_met_is_met() {
        for figure in Figure::ALL {
            assert!(figure.holds(figure.must()), "{figure:?}");
            let aim = figure.aim().unwrap_or(figure.must());
            assert!(
                figure.times(aim, figure.must()) >= 1.0,
                "{figure:?} aims below what it must be"
            );
        }
        assert!(!Figure::CommitLatency.holds(20.1));
        assert!(!Figure::VerifyShare.holds(0.149));
        assert!(!Figure::GrowthRate.aimed(2.0), "without an aim there is none to reach");
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn spreads() {
        let spread = Spread::of((1..=100).map(Duration::from_millis).collect());
        assert_eq!((spread.p50_ms, spread.p99_ms, spread.max_ms), (51.0, 100.0, 100.0));
        assert_eq!(Spread::of(Vec::new()).p50_ms, 0.0);
    }
}

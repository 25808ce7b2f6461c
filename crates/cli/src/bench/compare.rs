//! `keepwell bench compare`: the same machine, the same minute, PostgreSQL and Keepwell in turns.
//!
//! What PostgreSQL does here, and what favours it, stands in `bench/postgres/schema.sql`.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::{
    BenchError,
    figure::{Figure, Lines},
    limits::Limits,
    load::Load,
};

/// Commit records in turns with an encrypted, hash-chained audit table in PostgreSQL 15
#[derive(Args, Clone, Debug)]
pub(super) struct Compare {
    #[command(flatten)]
    pub(super) load: Load,
    /// How often both are measured
    #[arg(long, default_value_t = 5)]
    pub(super) runs: usize,
    /// The script that measures PostgreSQL
    #[arg(long, default_value = "bench/postgres/measure.sh")]
    pub(super) script: PathBuf,
    /// Seconds that each of its measurements lasts
    #[arg(long, default_value_t = 10)]
    pub(super) postgres_seconds: u64,
}

impl Compare {
    pub(super) async fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        for _ in 0..self.runs {
            let limits = Limits::measure(&self.load.place.dir)?;
            lines.put("limits", &limits)?;
            self.run_once(&limits, lines).await?;
        }
        Ok(())
    }

    /// One turn of each.
    pub(super) async fn run_once(
        &self,
        limits: &Limits,
        lines: &mut Lines<'_>,
    ) -> Result<(), BenchError> {
        let rate = self.load.run_against(limits, lines).await?;
        for (chain, postgres_rate) in self.postgres(lines)? {
            let figure = match chain {
                Chain::Global => Figure::PostgresGlobal,
                Chain::Patient => Figure::PostgresPatient,
            };
            lines.figure(figure, rate / postgres_rate)?;
        }
        Ok(())
    }

    /// Runs the script; its lines become ours.
    fn postgres(&self, lines: &mut Lines<'_>) -> Result<Vec<(Chain, f64)>, BenchError> {
        let program = self.script.canonicalize().map_err(|source| BenchError::Script {
            script: self.script.clone(),
            reason: source.to_string(),
        })?;
        let output = Command::new(&program)
            .args(["--seconds", &self.postgres_seconds.to_string()])
            .arg("--dir")
            .arg(self.load.place.dir.canonicalize()?)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            let (script, reason) = (self.script.clone(), output.status.to_string());
            return Err(BenchError::Script { script, reason });
        }
        let mut best = Vec::new();
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let value: Value = serde_json::from_slice(line)?;
            lines.write(&value)?;
            if let Ok(Best { kind: Kind::PostgresBest, chain, commands_per_s }) =
                serde_json::from_value(value)
            {
                best.push((chain, commands_per_s));
            }
        }
        Ok(best)
    }
}

/// The line in which the script says what was best.
#[derive(Deserialize)]
struct Best {
    kind: Kind,
    chain: Chain,
    commands_per_s: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    PostgresBest,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Chain {
    Global,
    Patient,
}

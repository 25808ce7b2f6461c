//! `keepwell bench load`: how many commands a consortium commits, and what each costs.

use std::{collections::BTreeSet, time::Duration};

use clap::Args;
use keepwell_types::id::CommandId;
use serde::Serialize;

use super::{
    BenchError, Place,
    check::check,
    drive::{Driven, Span, drive},
    figure::{Figure, Lines, Spread},
    fleet::Fleet,
    limits::Limits,
    process::Usage,
    workload::Workload,
};

/// How many commands are signed for each second, unless said: more than any run has committed.
const COMMANDS_PER_S: usize = 8_000;
/// Clients that open the charts.
const OPENING_CLIENTS: usize = 64;
/// Time for stores to write what they had put off, before bytes are counted.
const SETTLE: Duration = Duration::from_secs(3);
/// A signature has 64 bytes, and names a key of 32.
const SIGNATURE_BYTES: usize = 96;
const COMMITMENT_BYTES: usize = 32;

/// Commit records with many clients: rate, latency, CPU, memory and bytes written
#[derive(Args, Clone, Debug)]
pub(super) struct Load {
    #[command(flatten)]
    pub(super) place: Place,
    /// Commands in flight; several numbers, with commas between them, are run one after the other
    #[arg(long, value_delimiter = ',', default_value = "64")]
    pub(super) clients: Vec<usize>,
    /// Seconds that are measured, for each number of clients
    #[arg(long, default_value_t = 20)]
    pub(super) seconds: u64,
    /// Seconds before them
    #[arg(long, default_value_t = 2)]
    pub(super) warm_up: u64,
    /// Commands to sign beforehand, for each number of clients [default: 8,000 for each second]
    #[arg(long)]
    pub(super) commands: Option<usize>,
    /// Charts to write in
    #[arg(long, default_value_t = 1_000)]
    pub(super) charts: usize,
    /// Custodians that acknowledge each record
    #[arg(long, default_value_t = 1)]
    pub(super) custodians: usize,
}

/// What a load was, and what came of it.
#[derive(Debug, Serialize)]
struct LoadLine {
    validators: usize,
    clients: usize,
    charts: usize,
    custodians: usize,
    seconds: f64,
    commands: usize,
    commands_per_s: f64,
    signatures_per_s: f64,
    latency: Spread,
    command_bytes: f64,
    audit_bytes: f64,
    blocks_per_s: f64,
    commands_per_block: f64,
    busy_answers: u64,
    ran_out_of_commands: bool,
    validator_usage: Vec<Usage>,
    client_cpu_s: f64,
}

/// Bytes that reached the disks in one load, warm-up included, once they were quiet.
#[derive(Debug, Serialize)]
struct WrittenLine {
    command_bytes: u64,
    written_bytes: Vec<u64>,
    written_per_command_byte: f64,
}

impl Load {
    /// Measures the limits, then the load.
    pub(super) async fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let limits = Limits::measure(&self.place.dir)?;
        lines.put("limits", &limits)?;
        self.run_against(&limits, lines).await.map(drop)
    }

    /// Measures the load; returns the best rate, whose figures are those of the run.
    pub(super) async fn run_against(
        &self,
        limits: &Limits,
        lines: &mut Lines<'_>,
    ) -> Result<f64, BenchError> {
        let mut fleet = Fleet::start(&self.place.dir, self.place.validators).await?;
        let measured = self.measure(&fleet, limits, lines).await;
        // What a validator said last explains more than that it did not answer.
        fleet.check()?;
        measured.inspect_err(|_| drop(fleet.keep()))
    }

    async fn measure(
        &self,
        fleet: &Fleet,
        limits: &Limits,
        lines: &mut Lines<'_>,
    ) -> Result<f64, BenchError> {
        let mut workload = Workload::new(fleet, self.charts, self.custodians);
        let mut acknowledged = open_charts(fleet, &mut workload).await?;
        let (mut best, mut amplification) = (0.0_f64, f64::INFINITY);
        for clients in &self.clients {
            let start = fleet.usage()?;
            let driven = self.drive(fleet, &mut workload, *clients).await?;
            tokio::time::sleep(SETTLE).await;
            let written = written(&start, &fleet.usage()?, driven.command_bytes());
            acknowledged.extend(driven.acknowledged.iter().map(|it| it.id));
            lines.put("load", &self.line(&driven, *clients, workload.signatures()))?;
            lines.put("written", &written)?;
            if driven.rate() > best {
                (best, amplification) = (driven.rate(), written.written_per_command_byte);
            }
        }
        lines.put("checked", &check(fleet, workload.charts(), &acknowledged).await?)?;

        let done = best * (workload.signatures() * self.place.validators) as f64;
        let possible = limits.cores as f64 * limits.verify_batched_per_s();
        lines.figure(Figure::VerifyShare, done / possible)?;
        lines.figure(Figure::WriteAmplification, amplification)?;
        Ok(best)
    }

    async fn drive(
        &self,
        fleet: &Fleet,
        workload: &mut Workload,
        clients: usize,
    ) -> Result<Driven, BenchError> {
        let seconds = (self.seconds + self.warm_up) as usize;
        let work = workload.records(self.commands.unwrap_or(COMMANDS_PER_S * seconds))?;
        let span = Span::For {
            warm_up: Duration::from_secs(self.warm_up),
            measured: Duration::from_secs(self.seconds),
        };
        drive(fleet, work, clients, span).await
    }

    fn line(&self, driven: &Driven, clients: usize, signatures: usize) -> LoadLine {
        let seconds = driven.seconds();
        let blocks = (driven.after.height - driven.before.height) as f64;
        let usage = driven.after.validators.iter().zip(&driven.before.validators);
        let command_bytes = driven.command_bytes() as f64 / driven.acknowledged.len().max(1) as f64;
        LoadLine {
            validators: self.place.validators,
            clients,
            charts: self.charts,
            custodians: self.custodians,
            seconds,
            commands: driven.measured(),
            commands_per_s: driven.rate(),
            signatures_per_s: driven.rate() * signatures as f64,
            latency: driven.latency(),
            command_bytes,
            audit_bytes: command_bytes - (signatures * SIGNATURE_BYTES + COMMITMENT_BYTES) as f64,
            blocks_per_s: blocks / seconds,
            commands_per_block: driven.measured() as f64 / blocks.max(1.0),
            busy_answers: driven.busy,
            ran_out_of_commands: driven.exhausted,
            validator_usage: usage.map(|(after, before)| after.since(before)).collect(),
            client_cpu_s: driven.after.clients.since(&driven.before.clients).cpu_s,
        }
    }
}

/// Opens all charts of a workload; returns the commands that did it.
pub(super) async fn open_charts(
    fleet: &Fleet,
    workload: &mut Workload,
) -> Result<BTreeSet<CommandId>, BenchError> {
    let work = workload.open_charts()?;
    let count: usize = work.iter().map(Vec::len).sum();
    let opened = drive(fleet, work, OPENING_CLIENTS, Span::All).await?;
    assert_eq!(opened.acknowledged.len(), count, "without a limit of time all charts are opened");
    Ok(opened.acknowledged.iter().map(|it| it.id).collect())
}

fn written(start: &[Usage], end: &[Usage], command_bytes: u64) -> WrittenLine {
    let written_bytes: Vec<_> =
        end.iter().zip(start).map(|(end, start)| end.since(start).written_bytes).collect();
    let mean = written_bytes.iter().sum::<u64>() as f64 / written_bytes.len().max(1) as f64;
    WrittenLine {
        command_bytes,
        written_per_command_byte: mean / command_bytes.max(1) as f64,
        written_bytes,
    }
}

//! `keepwell bench`: how fast, how small, measured against the physical limits of the same machine.
//!
//! Each benchmark writes JSON lines: what the machine can do ([`limits`]), what was measured, and the
//! figures that follow from both ([`figure`]), each beside what it must be. `bench table` makes a table
//! and pictures of them. `docs/performance.md` has the table, the reasons, and the commands that
//! repeat it.
//!
//! ```text
//! load  latency  opening  seal  idle  growth  scale  compare     what is measured; `matching`, `decision` and
//!                                                               `report` need no validators; `fhir` asks what runs
//!    \     |       |    |      /       |
//!     drive, check, workload           |          clients in a closed loop; what they send
//!          |                           |
//!        fleet ── process         measure.sh      validators as child processes; PostgreSQL
//!          |
//!        relay                                    links that take time
//! ```
//!
//! # Invariants
//!
//! * Validators are child processes of this program on loopback, on the disk that `--dir` names, with
//!   keys and configuration as an operator would have them. They end with this process, however it ends.
//! * Nothing is signed or prepared while a clock runs.
//! * A run whose validators disagree in the end is an error and no measurement. So is one that lost a command, where
//!   [`check`] reads all of them back: after `load`, and after the parts of `scale` that end with few enough of them.
//!
//! Not here: profiles, for which `docs/performance.md` has the commands.

mod curves;
mod figure;
mod limits;
mod plot;
mod table;

mod fleet;
mod http;
mod process;
mod relay;
mod scratch;

mod check;
mod drive;
mod patient;
mod workload;

mod compare;
mod decision;
mod fhir;
mod growth;
mod idle;
mod latency;
mod load;
mod matching;
mod opening;
mod report;
mod scale;
mod seal;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use keepwell_client::{ClientError, consortium::GenesisError};
use keepwell_merkle::{certificate::CertificateError, receipt::ReceiptError};
use keepwell_node::{genesis::FoundError, keys::KeysError};
use keepwell_types::{
    DecodeError,
    encoding::OverLimit,
    id::{CommandId, Height},
    limits::IN_STANDING_MAX,
};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use self::figure::Lines;

const EXAMPLES: &str = "\
Examples:
  keepwell bench limits --dir /srv/keepwell
  keepwell bench load --seconds 20 --clients 64,256 > load.jsonl
  keepwell bench latency
  keepwell bench seal --mib 100
  keepwell bench idle
  keepwell bench matching
  keepwell bench decision
  keepwell bench opening
  keepwell bench growth --records 1000000 > growth.jsonl
  keepwell bench report
  keepwell bench scale > scale.jsonl
  keepwell bench compare --runs 1
  keepwell bench fhir --base http://127.0.0.1:7480/fhir --token-file token --mllp 127.0.0.1:2575
  keepwell bench all --runs 5 > all.jsonl
  keepwell bench table all.jsonl --svg docs/performance.svg
  keepwell bench table scale.jsonl --curves docs/scale.svg
  keepwell bench table all.jsonl --json";

/// Measure speed and memory against the limits of this machine
///
/// Writes JSON lines, with or without --json; `bench table` makes a table of them, or one JSON value with
/// --json.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    Limits(LimitsOnly),
    Load(load::Load),
    Latency(latency::Latency),
    Seal(seal::Seal),
    Idle(idle::Idle),
    Matching(matching::Matching),
    Decision(decision::Decision),
    Opening(opening::Opening),
    Growth(growth::Growth),
    Report(report::Report),
    Scale(scale::Scale),
    Fhir(fhir::Fhir),
    Compare(compare::Compare),
    All(All),
    Table(table::Table),
}

/// Where validators live, and how many there are.
#[derive(Args, Clone, Debug)]
struct Place {
    /// Folder on the disk to measure; what is written below it is removed at the end
    #[arg(long, default_value = "keepwell-bench")]
    dir: PathBuf,
    /// Validators
    #[arg(long, default_value_t = 4, value_parser = validators)]
    validators: usize,
}

/// A number of validators.
fn validators(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|it| (1..=IN_STANDING_MAX as usize).contains(it));
    number.ok_or_else(|| format!("a consortium has 1 to {IN_STANDING_MAX} validators"))
}

/// Measure what this machine can do: ciphers, disk, loopback
#[derive(Args, Clone, Debug)]
struct LimitsOnly {
    /// Folder on the disk to measure
    #[arg(long, default_value = "keepwell-bench")]
    dir: PathBuf,
}

/// Measure everything but `report`, `scale` and `fhir`, PostgreSQL in turns, several times; growth once
#[derive(Args, Clone, Debug)]
struct All {
    #[command(flatten)]
    compare: compare::Compare,
    /// Records of the growth run; 0 leaves it out
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
}

/// Why there is no measurement.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    /// A folder or file cannot be used.
    #[error("{path} cannot be used: {source}; name another place")]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something else.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The kernel says something else than expected.
    #[error("/proc/PID/{0} is not as Linux writes it; benchmarks run on Linux")]
    Kernel(&'static str),
    /// A validator ended by itself.
    #[error("a validator ended ({status}); the end of its log:\n{last_words}")]
    Ended {
        /// How.
        status: String,
        /// The last lines of its log.
        last_words: String,
    },
    /// The validators did not start.
    #[error("the validators were not ready after {seconds} s; their logs are in {folder}")]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// Where the logs are.
        folder: PathBuf,
    },
    /// A node or another server did not answer what it should.
    #[error("{of} was answered with {status}: {message}")]
    Answer {
        /// The request.
        of: String,
        /// The status.
        status: u16,
        /// The body.
        message: String,
    },
    /// A node or another server was busy for too long.
    #[error("a server was busy for half a minute; use fewer clients")]
    AlwaysBusy,
    /// Acknowledged commands are not in a validator's state.
    #[error(
        "{missing} of {of} acknowledged commands are not in the state of validator {validator}: this is a fault of Keepwell; please report it with the folder that was left"
    )]
    Lost {
        /// How many.
        missing: usize,
        /// Acknowledged.
        of: usize,
        /// Which validator.
        validator: usize,
    },
    /// A receipt of something else.
    #[error("the receipt of command {0} is of another command, or of a refusal")]
    WrongReceipt(CommandId),
    /// Validators have different blocks at one height.
    #[error(
        "validators 0 and {validator} have different blocks at height {height}: this is a fault of Keepwell; please report it with the folder that was left"
    )]
    Forked {
        /// Which validator.
        validator: usize,
        /// Where.
        height: Height,
    },
    /// Validators never stood at one height.
    #[error("the validators did not come to one height within {seconds} s")]
    Apart {
        /// How long was waited.
        seconds: u64,
    },
    /// The script that measures PostgreSQL failed.
    #[error("{script} failed ({reason}); run it alone to see why, or name it with --script")]
    Script {
        /// The script.
        script: PathBuf,
        /// How.
        reason: String,
    },
    /// A line that is not JSON, from the script or of our own.
    #[error("a line of measurements is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The client failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The genesis file that was just made, as a client reads it.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A receipt does not hold.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The genesis file that was just made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A consortium could not be founded.
    #[error(transparent)]
    Found(#[from] FoundError),
    /// Keys could not be written.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An answer is no value of its type.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A list is too long.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// An open that opened nothing.
    #[error(
        "the access was accepted and opened no record: this is a fault of Keepwell; please report it"
    )]
    NothingOpened,
    /// Someone wants this to end.
    #[error("interrupted; the validators are stopped and their folders removed")]
    Interrupted,
}

impl Bench {
    /// Measures, and writes JSON lines to `out`, or a table, as `json` too. Not to be called from within a
    /// runtime.
    pub(crate) fn run(self, out: &mut dyn Write, json: bool) -> Result<(), BenchError> {
        // One thread: clients leave the cores to the validators.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                done = self.what.run(out, json) => done,
                _ = tokio::signal::ctrl_c() => Err(BenchError::Interrupted),
                _ = terminate.recv() => Err(BenchError::Interrupted),
            }
        })
    }
}

impl What {
    async fn run(self, out: &mut dyn Write, json: bool) -> Result<(), BenchError> {
        let lines = &mut Lines(out);
        match self {
            Self::Limits(it) => lines.put("limits", &limits::Limits::measure(&it.dir)?),
            Self::Load(it) => it.run(lines).await,
            Self::Latency(it) => it.run(lines).await,
            Self::Seal(it) => it.run(lines).await,
            Self::Idle(it) => it.run(lines).await,
            Self::Matching(it) => it.run(lines),
            Self::Decision(it) => it.run(lines),
            Self::Opening(it) => it.run(lines).await,
            Self::Growth(it) => it.run(lines).await,
            Self::Report(it) => it.run(lines),
            Self::Scale(it) => it.run(lines).await,
            Self::Fhir(it) => it.run(lines).await,
            Self::Compare(it) => it.run(lines).await,
            Self::All(it) => it.run(lines).await,
            Self::Table(it) => it.run(lines.0, json),
        }
    }
}

impl All {
    async fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let place = self.compare.load.place.clone();
        for _ in 0..self.compare.runs {
            let limits = limits::Limits::measure(&place.dir)?;
            lines.put("limits", &limits)?;
            self.compare.run_once(&limits, lines).await?;
            latency::Latency::at(place.clone()).run_against(&limits, lines).await?;
            seal::Seal::at(place.clone()).run_against(&limits, lines).await?;
            idle::Idle { place: place.clone(), seconds: 20 }.run(lines).await?;
            matching::Matching::USUAL.run(lines)?;
            decision::Decision::USUAL.run(lines)?;
            opening::Opening::at(place.clone()).run(lines).await?;
        }
        if self.records == 0 {
            return Ok(());
        }
        let growth = growth::Growth {
            place,
            records: self.records,
            round: 20_000,
            clients: 256,
            charts: self.compare.load.charts,
        };
        growth.run(lines).await
    }
}

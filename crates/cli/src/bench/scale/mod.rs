//! `keepwell bench scale`: how speed and size go with validators, with distance, with a crash and with records.
//!
//! Each part founds a consortium of its own:
//!
//! * [`sizes`]: the same load on one validator and on up to sixteen.
//! * [`distance`]: one client, with validators side by side and with a delay between them.
//! * [`crash`]: a load before and after one of four validators crashed.
//! * [`records`]: at each power of ten, what a consortium that holds so many costs, how long a validator takes to start
//!   again, and how long a new node takes that begins from the state; at the end, a load while a backup is made.
//!
//! # Invariants
//!
//! * What was acknowledged in one of the first three is in the state of every validator at the end. With more and more
//!   records that takes too long to read, and only heights, headers and roots are compared.
//!
//! Not here: the picture of what was measured, which [`super::curves`] draws from the lines.

mod crash;
mod distance;
mod records;
mod sizes;

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use self::{distance::FAR_MS, records::MANY};
pub(super) use self::{records::RecordsLine, sizes::SizeLine};
use super::{
    BenchError,
    drive::{Driven, Span, drive},
    figure::Lines,
    fleet::Fleet,
    validators,
    workload::{Prepared, Workload},
};

/// Charts that are written in.
const CHARTS: usize = 1_000;
/// How many commands are signed for each second that is measured, unless the rate is known: more than any run commits.
const COMMANDS_PER_S: f64 = 8_000.0;
/// By how much a rate may grow before the commands that are signed run out.
const HEADROOM: f64 = 1.6;
/// Time before the clock starts.
const WARM_UP: Duration = Duration::from_secs(3);

/// Measure how speed and size go with validators, distance, a crash, and records
#[derive(Args, Clone, Debug)]
pub(super) struct Scale {
    /// Folder on the disk to measure; what is written below it is removed at the end
    #[arg(long, default_value = "keepwell-bench")]
    dir: PathBuf,
    /// What to measure, with commas between
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    parts: Vec<Part>,
    /// Numbers of validators, with commas between
    #[arg(long, value_delimiter = ',', default_value = "1,4,7,10,16", value_parser = validators)]
    validators: Vec<usize>,
    /// Commands in flight
    #[arg(long, default_value_t = 256)]
    clients: usize,
    /// Seconds that are measured, for each rate
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// One way between two validators that are apart, in milliseconds; with another delay there is no figure
    #[arg(long, default_value_t = FAR_MS)]
    delay_ms: u64,
    /// Records in the end, a power of ten from 10,000 on; 10,000,000 take some 90 GB of disk, and hours
    #[arg(long, default_value_t = MANY, value_parser = records::size)]
    records: usize,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// Rates of consortia with more and more validators
    Sizes,
    /// The latency of a commit between validators that are far from each other
    Distance,
    /// The rate after one of four validators crashed
    Crash,
    /// Rates, sizes and starts with more and more records
    Records,
}

impl Part {
    const ALL: [Self; 4] = [Self::Sizes, Self::Distance, Self::Crash, Self::Records];
}

impl Scale {
    pub(super) async fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        for part in &self.parts {
            match part {
                Part::Sizes => self.sizes(lines).await?,
                Part::Distance => self.distance(lines).await?,
                Part::Crash => self.crash(lines).await?,
                Part::Records => self.records(lines).await?,
            }
        }
        Ok(())
    }

    /// Commands for a load of at most `rate` in a second, after a time to warm up.
    fn sign(
        &self,
        workload: &mut Workload,
        rate: f64,
        warm_up: Duration,
    ) -> Result<Vec<Vec<Prepared>>, BenchError> {
        let seconds = warm_up + Duration::from_secs(self.seconds);
        workload.records((rate * seconds.as_secs_f64()) as usize)
    }

    /// A load of commands that are signed.
    async fn load(
        &self,
        fleet: &Fleet,
        work: Vec<Vec<Prepared>>,
        warm_up: Duration,
    ) -> Result<Driven, BenchError> {
        let measured = Duration::from_secs(self.seconds);
        drive(fleet, work, self.clients, Span::For { warm_up, measured }).await
    }
}

//! `keepwell bench opening`: what opening a whole chart costs the validators.
//!
//! The chart has as many records as is asked for. A clinician of another organisation opens its compartment with one
//! access. What each validator used for that, all of it, is compared with what as many capsule checks and batched
//! shares take on the same machine: the chart's own validator also hands out the capsules, and the reader's the log.

use std::time::Instant;

use clap::Args;
use keepwell_client::open::{Opening as Wish, What};
use keepwell_crypto::{
    body::Dek,
    capsule::{Capsule, SaltedCapsule},
    keys::ChartSecret,
    release::{Access, Expected, Releaser},
    seal::SealingKey,
    sign::SigningKey,
    threshold::{self, Committee},
};
use keepwell_node::random::rng;
use keepwell_types::{
    access::Purpose,
    id::{ChainId, ChartId, CommandDigest, Compartment, Digest, Epoch, RecordId, Version},
    limits::RELEASE_CAPSULES_MAX,
    record::Label,
};
use serde::Serialize;

use super::{
    BenchError, Place,
    figure::{Figure, Lines},
    fleet::Fleet,
    patient::Patient,
    process::Usage,
};

/// What each record holds.
const CONTENT: &[u8] = &[7; 2_000];
/// Records of the chart whose opening is judged.
const USUAL_RECORDS: usize = 1_000;
/// Batches that are measured.
const BATCHES: usize = 32;
const CHAIN: ChainId = ChainId([7; 32]);
const CHART: ChartId = ChartId([3; 32]);

/// Open a chart of a thousand records with one access: CPU of each validator
#[derive(Args, Clone, Debug)]
pub(super) struct Opening {
    #[command(flatten)]
    place: Place,
    /// Records; with another number there is no figure
    #[arg(long, default_value_t = USUAL_RECORDS)]
    records: usize,
}

#[derive(Debug, Serialize)]
struct OpeningLine {
    records: usize,
    /// Until the last data key was there.
    seconds: f64,
    /// Of each validator: the first is the chart's own and its custodian, the second is the one that the reader asks.
    cpu_s: Vec<f64>,
    /// CPU of one capsule check and its part of a batched share, in microseconds.
    share_us: f64,
}

/// Microseconds of CPU of one capsule's check and share, in batches as large as a request's.
fn share_us() -> Result<f64, BenchError> {
    let (keys, shares) = threshold::deal(&mut rng(), 4, 3);
    let committee = Committee::new(&keys).expect("dealt keys are a committee");
    let share = shares.into_iter().next().expect("there are four");
    let releaser = Releaser::new(committee.clone(), share, SigningKey::from_seed(&[1; 32]))
        .expect("the share is of the committee");
    let compartment = Compartment::new(1).expect("a compartment");
    let epoch = ChartSecret::derive(&[7; 32], CHART).epoch_seed(compartment, Epoch(0)).sealing();
    let capsule = |number: u64| {
        let mut record = [0; 32];
        record[..8].copy_from_slice(&number.to_be_bytes());
        let label = Label {
            chain: CHAIN,
            chart: CHART,
            record: RecordId(record),
            version: Version(1),
            compartment,
            epoch: Epoch(0),
            committee: committee.id(),
            content: Digest(record),
            sealed_bytes: 4_096,
        };
        let (to, dek) = (epoch.public(), Dek::generate(&mut rng()));
        let capsule = Capsule::seal(&mut rng(), label, &to, &committee, &dek)
            .expect("the label is of the committee");
        let salted = SaltedCapsule::new(&mut rng(), capsule);
        let expected = Expected {
            chart: CHART,
            record: RecordId(record),
            version: Version(1),
            compartment,
            epoch: Epoch(0),
            sealed_bytes: 4_096,
            commitment: salted.commitment(),
        };
        (expected, salted)
    };
    let items: Vec<_> = (0..RELEASE_CAPSULES_MAX as u64).map(capsule).collect();
    let reader = SealingKey::generate(&mut rng());
    let (command, reader_key) = (CommandDigest([9; 32]), reader.public().digest());
    let access = Access { chain: CHAIN, command, reader_key };
    // Not the clock's time, which whatever else runs on the machine makes longer.
    let before = Usage::of_self()?;
    for _ in 0..BATCHES {
        let answer = releaser.release(&mut rng(), &access, &items, &reader.public());
        std::hint::black_box(answer.expect("honest capsules are released"));
    }
    let used = Usage::of_self()?.since(&before);
    Ok(used.cpu_s * 1e6 / (BATCHES * items.len()) as f64)
}

impl Opening {
    /// With as many records as usual.
    pub(super) const fn at(place: Place) -> Self {
        Self { place, records: USUAL_RECORDS }
    }

    pub(super) async fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let share_us = share_us()?;
        let mut fleet = Fleet::start(&self.place.dir, self.place.validators).await?;
        let measured = self.measure(&fleet, share_us).await;
        fleet.check()?;
        let line = measured.inspect_err(|_| drop(fleet.keep()))?;
        let per_validator = line.cpu_s.iter().sum::<f64>() / line.cpu_s.len() as f64;
        let shares_s = self.records as f64 * share_us / 1e6;
        lines.put("opening", &line)?;
        if self.records != USUAL_RECORDS {
            return Ok(());
        }
        lines.figure(Figure::OpeningCpu, per_validator / shares_s)
    }

    async fn measure(&self, fleet: &Fleet, share_us: f64) -> Result<OpeningLine, BenchError> {
        let (author, reader) = (&fleet.nodes[0], &fleet.nodes[1 % fleet.nodes.len()]);
        let client = fleet.client(0)?;
        let patient = Patient::admit(&client, author, vec![author.organisation]).await?;
        for _ in 0..self.records {
            patient.add(&client, author, (CONTENT, CONTENT.len() as u64)).await?;
        }
        let seeds = patient.grant(&client, reader).await?;
        fleet.meet().await?;

        let client = fleet.client(1 % fleet.nodes.len())?;
        let (actor, what) =
            (reader.identity.actor(), What::Compartments(patient.compartments(), None));
        let wish = Wish {
            actor: &actor,
            chart: patient.chart(),
            what: &what,
            purpose: Purpose::Treatment,
            seeds: &seeds,
        };
        let (before, begun) = (fleet.usage()?, Instant::now());
        let opened = client.open(&wish).await?;
        let (after, seconds) = (fleet.usage()?, begun.elapsed().as_secs_f64());
        if let Some(withheld) = opened.withheld.into_iter().next() {
            return Err(withheld.error.into());
        }
        if opened.records.len() != self.records {
            return Err(BenchError::NothingOpened);
        }
        let used = after.iter().zip(&before).map(|(after, before)| after.since(before).cpu_s);
        Ok(OpeningLine { records: self.records, seconds, cpu_s: used.collect(), share_us })
    }
}

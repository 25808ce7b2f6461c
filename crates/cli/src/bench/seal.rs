//! `keepwell bench seal`: how fast a large file is encrypted and stored at a custodian.
//!
//! What is timed is the whole of adding the record: the file is read, sealed, sent to the custodian over
//! loopback, hashed and made durable there, acknowledged, and its `record.add` is committed. The same
//! with one byte says how much of the time is not the file's.

use std::{fs, path::Path, time::Instant};

use clap::Args;
use serde::Serialize;

use super::{
    BenchError, Place,
    figure::{Figure, Lines, Spread, median},
    fleet::Fleet,
    limits::{Limits, noise},
    patient::Patient,
    scratch::Scratch,
};

const MIB: u64 = 1024 * 1024;
/// The size of the file at which the rate is judged, in MiB.
const USUAL_MIB: u64 = 100;

/// Seal a large file and store it at a custodian: rate
#[derive(Args, Clone, Debug)]
pub(super) struct Seal {
    #[command(flatten)]
    place: Place,
    /// Size of the file; with another one there is no figure
    #[arg(long, default_value_t = USUAL_MIB)]
    mib: u64,
    /// How often
    #[arg(long, default_value_t = 5)]
    files: usize,
}

#[derive(Debug, Serialize)]
struct SealLine {
    bytes: u64,
    mb_per_s: f64,
    ceiling_mb_per_s: f64,
    file: Spread,
    one_byte: Spread,
    client_rss_peak_bytes: u64,
}

impl Seal {
    /// With as much of each as usual.
    pub(super) const fn at(place: Place) -> Self {
        Self { place, mib: USUAL_MIB, files: 5 }
    }

    pub(super) async fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let limits = Limits::measure(&self.place.dir)?;
        lines.put("limits", &limits)?;
        self.run_against(&limits, lines).await
    }

    pub(super) async fn run_against(
        &self,
        limits: &Limits,
        lines: &mut Lines<'_>,
    ) -> Result<(), BenchError> {
        let scratch = Scratch::new(&self.place.dir, "content")?;
        let mut fleet = Fleet::start(&self.place.dir, self.place.validators).await?;
        let measured = self.measure(&fleet, scratch.path(), limits).await;
        fleet.check()?;
        let line = measured.inspect_err(|_| drop(fleet.keep()))?;
        lines.put("seal", &line)?;
        if self.mib != USUAL_MIB {
            return Ok(());
        }
        lines.figure(Figure::SealRate, line.mb_per_s / line.ceiling_mb_per_s)
    }

    async fn measure(
        &self,
        fleet: &Fleet,
        folder: &Path,
        limits: &Limits,
    ) -> Result<SealLine, BenchError> {
        let home = &fleet.nodes[0];
        let client = fleet.client(0)?;
        let patient = Patient::admit(&client, home, vec![home.organisation]).await?;
        let actor = home.identity.actor();
        let authoring = client.authoring(&actor, patient.chart()).await?;
        let bytes = self.mib * MIB;
        let mut waits = [Vec::new(), Vec::new()];
        for (size, waits) in [1, bytes].into_iter().zip(&mut waits) {
            let path = folder.join(size.to_string());
            fs::write(&path, noise(size as usize))?;
            for _ in 0..self.files {
                let start = Instant::now();
                let content = (tokio::fs::File::open(&path).await?, size);
                client.add_record(&actor, &authoring, &patient.record(), content).await?;
                waits.push(start.elapsed());
            }
        }
        let [one_byte, file] = waits;
        let seconds: Vec<_> = file.iter().map(|wait| wait.as_secs_f64()).collect();
        let mb_per_s = median(&seconds).map_or(0.0, |it| bytes as f64 / 1e6 / it);
        Ok(SealLine {
            bytes,
            mb_per_s,
            ceiling_mb_per_s: limits.seal_ceiling_mb_per_s(),
            file: Spread::of(file),
            one_byte: Spread::of(one_byte),
            client_rss_peak_bytes: super::process::Usage::of_self()?.rss_peak_bytes,
        })
    }
}

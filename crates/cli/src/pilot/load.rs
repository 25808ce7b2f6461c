//! Loading patients: each resource becomes a record in the right chart and compartment.
//!
//! Not here: whose a resource is ([`super::index`]).

use std::{
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::Instant,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use keepwell_client::{author::NewRecord, chart::Arrangement};
use keepwell_fhir::synthetic::Synthetic;
use keepwell_types::time::BlockTime;

use super::{
    Loaded, Patient,
    index::{Found, Index},
    organisation_id, person_folder,
};
use crate::{
    commands::compartment_names,
    failure::Failure,
    output::Output,
    profile::{Identity, Session},
};

/// Generated patients, unless told otherwise.
const GENERATED: usize = 3;
/// Records that are on their way at once: fewer than a custodian takes of one organisation.
const AT_ONCE: usize = 12;
/// How long a letter is good for.
const LETTER_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Where patients come from.
pub(super) enum Source {
    /// A folder of FHIR files.
    Bundles(PathBuf),
    /// The generator.
    Generated { seed: u64, from: u64 },
}

/// Loads patients who have no chart yet, and remembers them.
pub(super) async fn load(
    dir: &Path,
    loaded: &mut Loaded,
    source: &Source,
    limit: Option<usize>,
    output: &Output,
) -> Result<(), Failure> {
    let mut loader = Loader {
        dir,
        session: Session::open(&person_folder(dir, "agent"))?,
        loaded,
        output,
        patients: 0,
        records: 0,
    };
    let started = Instant::now();
    match source {
        Source::Generated { seed, from } => {
            let now = loader.session.client.tip().await?.header().time;
            let generator = Synthetic::new(*seed);
            for number in *from..from + limit.unwrap_or(GENERATED) as u64 {
                let made = generator.patient(number, now.0).to_string();
                let mut index = Index::of_made(made)
                    .map_err(|error| Failure::Misused(format!("the generator: {error}")))?;
                for found in index.patients(&[]) {
                    loader.patient(&index, found).await?;
                }
            }
        }
        Source::Bundles(folder) => loader.folder(folder, limit).await?,
    }
    loader.session.remember()?;
    let Loader { patients, records, .. } = loader;
    if patients > 0 {
        let seconds = started.elapsed().as_secs_f64();
        output.say(&format!(
            "Loaded {patients} patients with {records} records in {seconds:.1} s ({:.0} records/s, each sealed, stored at two custodians and final).\n",
            records as f64 / seconds
        ));
    }
    Ok(())
}

struct Loader<'a> {
    dir: &'a Path,
    session: Session,
    loaded: &'a mut Loaded,
    output: &'a Output,
    /// How many patients were loaded, and records of theirs.
    patients: usize,
    records: usize,
}

impl Loader<'_> {
    /// Loads the first `limit` patients of a folder, but for those who have a chart.
    async fn folder(&mut self, folder: &Path, limit: Option<usize>) -> Result<(), Failure> {
        let bar = bar("reading files");
        let mut index = Index::of_folder(folder, |done, files| {
            bar.set_length(files as u64);
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        let found = index.patients(&self.loaded.patients);
        for word in &index.words {
            self.output.warn(word);
        }
        if found.is_empty() {
            return Err(Failure::Misused(format!(
                "{} has no FHIR JSON about a patient; see the words above, or name another folder",
                folder.display()
            )));
        }
        let wanted = found.len().min(limit.unwrap_or(usize::MAX));
        let (known, new): (Vec<_>, Vec<_>) =
            found.into_iter().take(wanted).partition(|patient| patient.is_loaded);
        if !known.is_empty() {
            self.output.say(&format!(
                "{} of {wanted} patients in {} were loaded before, and nothing is added to their charts.",
                known.len(),
                folder.display()
            ));
        }
        for patient in new {
            self.patient(&index, patient).await?;
        }
        Ok(())
    }

    /// Opens a chart for one patient and adds each resource to it.
    async fn patient(&mut self, index: &Index, found: Found) -> Result<(), Failure> {
        let dir = self.dir;
        let Identity::Agent(agent) = &mut self.session.identity else {
            return Err(Failure::Misused("patients are loaded by the hospital's key agent".into()));
        };
        let arrangement = Arrangement {
            custodians: vec![
                organisation_id(dir, "hospital")?,
                organisation_id(dir, "laboratory")?,
            ],
            contributors: vec![organisation_id(dir, "laboratory")?],
        };
        let client = &self.session.client;
        let now = client.tip().await?.header().time;
        let until = BlockTime(now.0.saturating_add(LETTER_MS));
        let opened =
            client.open_chart_for_patient(agent, &compartment_names(), &arrangement, until).await?;
        let chart = opened.chart;
        let actor = agent.identity().actor();
        let meanings = agent.chart(chart)?.meanings().clone();
        let authoring = client.authoring(&actor, chart).await?;

        let name = found.title();
        let bar = bar(&name);
        bar.set_length(found.resources.len() as u64);
        let added: usize = stream::iter(&found.resources)
            .map(|place| {
                let (actor, authoring, bar, meanings) = (&actor, &authoring, &bar, &meanings);
                async move {
                    let compartment = meanings.compartment(place.class.sensitivity.as_str())?;
                    let new = NewRecord::new(compartment, place.class.kind);
                    let bytes = index.read(place)?;
                    client
                        .add_record(actor, authoring, &new, (&bytes[..], bytes.len() as u64))
                        .await?;
                    bar.inc(1);
                    Ok::<_, Failure>(1)
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_fold(0, async |sum, one| Ok(sum + one))
            .await?;
        bar.finish_and_clear();

        let letters = dir.join("patients");
        fs::create_dir_all(&letters).map_err(Failure::at(&letters))?;
        let letter = letters.join(format!("{}.letter", &chart.to_string()[..12]));
        fs::write(&letter, opened.letter.encode()).map_err(Failure::at(&letter))?;
        self.output.say(&format!("  {name}: {added} records"));
        self.patients += 1;
        self.records += added;
        self.loaded.patients.push(Patient {
            name,
            chart,
            letter: Some(letter),
            code: Some(opened.code.print().to_string()),
            records: added,
            names: found.names,
        });
        self.loaded.write(dir)
    }
}

fn bar(name: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  {msg}  {bar:30} {pos}/{len} {per_sec} {eta} left")
        .expect("the template is a constant");
    ProgressBar::new(0).with_style(style).with_message(name.to_owned())
}

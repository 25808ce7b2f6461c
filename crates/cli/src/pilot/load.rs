//! Loading patients: each resource becomes a record in the right chart and compartment.

use std::{
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::Instant,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use keepwell_client::{author::NewRecord, chart::Arrangement};
use keepwell_fhir::{
    bundle::{Bundle, Owner, Resource, split},
    synthetic::Synthetic,
};
use keepwell_types::time::BlockTime;

use super::{Loaded, Patient, organisation_id, person_folder};
use crate::{
    commands::compartment_names,
    failure::Failure,
    output::Output,
    profile::{Identity, Session},
};

/// Bytes of one bundle: larger files are passed over with a word.
const BUNDLE_BYTES_MAX: usize = 100 * 1024 * 1024;
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

/// Loads patients and remembers them.
pub(super) async fn load(
    dir: &Path,
    loaded: &mut Loaded,
    source: &Source,
    limit: Option<usize>,
    output: &Output,
) -> Result<(), Failure> {
    let mut session = Session::open(&person_folder(dir, "agent"))?;
    let started = Instant::now();
    let (mut patients, mut records) = (0, 0);
    match source {
        Source::Generated { seed, from } => {
            let now = session.client.tip().await?.header().time;
            let generator = Synthetic::new(*seed);
            for index in *from..from + limit.unwrap_or(GENERATED) as u64 {
                let bundle = generator.patient(index, now.0).to_string();
                let bundle = split(bundle.as_bytes(), BUNDLE_BYTES_MAX)
                    .map_err(|error| Failure::Misused(format!("the generator: {error}")))?;
                records += patient(dir, &mut session, loaded, &bundle, output).await?;
                patients += 1;
            }
        }
        Source::Bundles(folder) => {
            for path in files(folder)? {
                if limit.is_some_and(|limit| patients >= limit) {
                    break;
                }
                let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let len = fs::metadata(&path).map_err(Failure::at(&path))?.len();
                if len > BUNDLE_BYTES_MAX as u64 {
                    output.warn(&format!("passed over {shown}: it has {len} bytes, and a bundle has {BUNDLE_BYTES_MAX} at most; split it"));
                    continue;
                }
                let bytes = fs::read(&path).map_err(Failure::at(&path))?;
                let bundle = match split(&bytes, BUNDLE_BYTES_MAX) {
                    Ok(bundle) => bundle,
                    Err(error) => {
                        output.warn(&format!("passed over {shown}: {error}"));
                        continue;
                    }
                };
                let persons = bundle.patients().len();
                if persons != 1 {
                    output.warn(&format!("passed over {shown}: it is about {persons} patients, and a chart is about one"));
                    continue;
                }
                records += patient(dir, &mut session, loaded, &bundle, output).await?;
                patients += 1;
            }
            if patients == 0 {
                return Err(Failure::Misused(format!(
                    "{} has no FHIR bundle of one patient; see the words above",
                    folder.display()
                )));
            }
        }
    }
    session.remember()?;
    let seconds = started.elapsed().as_secs_f64();
    output.say(&format!(
        "Loaded {patients} patients with {records} records in {seconds:.1} s ({:.0} records/s, each sealed, stored at two custodians and final).\n",
        records as f64 / seconds
    ));
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|it| it.path())).collect())
        .map_err(Failure::at(folder))?;
    files.retain(|path| path.extension().is_some_and(|it| it.eq_ignore_ascii_case("json")));
    files.sort();
    Ok(files)
}

/// Opens a chart for one patient and adds each resource to it.
async fn patient(
    dir: &Path,
    session: &mut Session,
    loaded: &mut Loaded,
    bundle: &Bundle<'_>,
    output: &Output,
) -> Result<usize, Failure> {
    for warning in &bundle.warnings {
        output.warn(&warning.to_string());
    }
    let resources: Vec<&Resource<'_>> =
        bundle.resources.iter().filter(|it| is_patients(&it.owner)).collect();
    let Identity::Agent(agent) = &mut session.identity else {
        return Err(Failure::Misused("patients are loaded by the hospital's key agent".into()));
    };
    let arrangement = Arrangement {
        custodians: vec![organisation_id(dir, "hospital")?, organisation_id(dir, "laboratory")?],
        contributors: vec![organisation_id(dir, "laboratory")?],
    };
    let now = session.client.tip().await?.header().time;
    let until = BlockTime(now.0.saturating_add(LETTER_MS));
    let opened = session
        .client
        .open_chart_for_patient(agent, &compartment_names(), &arrangement, until)
        .await?;
    let chart = opened.chart;
    let actor = agent.identity().actor();
    let meanings = agent.chart(chart)?.meanings().clone();
    let authoring = session.client.authoring(&actor, chart).await?;

    let name = name_of(bundle);
    let bar = bar(resources.len() as u64, &name);
    let client = &session.client;
    let added: usize = stream::iter(&resources)
        .map(|resource| {
            let (actor, authoring, bar, meanings) = (&actor, &authoring, &bar, &meanings);
            async move {
                let class = resource.classify();
                let compartment = meanings.compartment(class.sensitivity.as_str())?;
                let new = NewRecord::new(compartment, class.kind);
                let bytes = resource.json.as_bytes();
                client.add_record(actor, authoring, &new, (bytes, bytes.len() as u64)).await?;
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
    output.say(&format!("  {name}: {added} records"));
    loaded.patients.push(Patient {
        name,
        chart,
        letter: Some(letter),
        code: Some(opened.code.print().to_string()),
        records: added,
    });
    loaded.write(dir)?;
    Ok(added)
}

/// Whether a resource goes into the patient's chart. Those of nobody (practitioners, organisations) are
/// the hospital's own and stay with it.
fn is_patients(owner: &Owner) -> bool {
    match owner {
        Owner::Here(_) | Owner::Elsewhere(_) => true,
        Owner::Several | Owner::Nobody => false,
    }
}

/// The patient's name, for people who watch the pilot; it is synthetic.
fn name_of(bundle: &Bundle<'_>) -> String {
    let patient = bundle.resources.iter().find(|it| it.resource_type == "Patient");
    patient.map_or_else(
        || "a patient".into(),
        |it| keepwell_fhir::summary::one_line(it.json.as_bytes()),
    )
}

fn bar(len: u64, name: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  {msg}  {bar:30} {pos}/{len} {per_sec} {eta} left")
        .expect("the template is a constant");
    ProgressBar::new(len).with_style(style).with_message(name.to_owned())
}

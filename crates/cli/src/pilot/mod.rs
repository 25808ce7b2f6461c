//! `keepwell pilot`: a whole consortium in one process, with patients and a guided tour.
//!
//! ```text
//! DIR/genesis.cbor               what everyone agrees on
//! DIR/operator.key               unlocks every key: a demonstration
//! DIR/organisations/NAME/        node.toml, keys/, node/ (index, custody)
//! DIR/people/NAME/               profiles: agent, clinicians, officers, desk, licensor, patients' wallets
//! DIR/trustees/NAME/             trustee.key, and what the trustee answered
//! DIR/patients/                  letters of charts that are not claimed yet
//! DIR/gateways/NAME/             gateway.toml of the hospital's and the clinic's, and the key of a system that may ask
//! DIR/engine/                    the validators' blocks and states
//! DIR/pilot.toml                 what was loaded
//! ```
//!
//! The four validators talk to each other over encrypted loopback links through the real engine; the
//! pilot's own steps talk to them over HTTP as anyone would.

mod founding;
mod gateway;
mod index;
mod load;
mod tour;

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use commonware_runtime::{Supervisor as _, tokio::Context};
use keepwell_engine::protocol::Known;
use keepwell_fhir::patients::Names;
use keepwell_node::{
    config::NodeConfig,
    run::{self, RunningNode},
    traces::TracesConfig,
};
use keepwell_types::id::{ChartId, OrganisationId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use self::{
    founding::{ORGANISATIONS, TRUSTEES},
    load::Source,
    tour::Tour,
};
use crate::{
    commands::node::{key_files, try_folder},
    failure::Failure,
    observed,
    output::Output,
    runtime::{asked_to_stop, run_engine},
    trustee::Service,
};

/// Try Keepwell: four organisations on this machine, patients, and a guided tour
///
/// Founds a consortium of a hospital, a telehealth clinic, a laboratory and an insurer in a folder,
/// loads patients, shows the life of a record with real commands, and stays up. Started again on the
/// same folder, it goes on where it was.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell pilot
  keepwell pilot --bundles ./synthea --dir ./pilot
  keepwell pilot --gateways        # and prints a curl that asks the hospital's
  keepwell pilot --tour            # exits 0 only if every step did what it says")]
pub(crate) struct Pilot {
    /// Folder of everything that the pilot keeps
    #[arg(long, default_value = "pilot")]
    dir: PathBuf,
    /// Folder of FHIR R4 JSON to load, instead of generated patients
    ///
    /// Its files, and those in folders below it, are bundles or single resources of one system. Each patient
    /// gets one chart, whichever files speak of the patient; who was loaded before is not loaded again.
    #[arg(long, value_name = "DIR")]
    bundles: Option<PathBuf>,
    /// Load at most so many patients: of a folder the first ones
    #[arg(long, value_name = "N")]
    patients: Option<usize>,
    /// Run the tour and exit: 0 only if every step did what it says
    #[arg(long)]
    tour: bool,
    /// Serve FHIR for the hospital and the clinic as well, and say how they are asked
    ///
    /// Each gateway has its organisation's key agent to itself for as long as the pilot is up: commands with
    /// --as DIR/people/agent are refused meanwhile.
    #[arg(long, conflicts_with = "tour")]
    gateways: bool,
    /// First of the eleven ports on loopback; 0 takes free ones
    #[arg(long, default_value_t = 7440)]
    port: u16,
    /// Seed of the generated patients
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Send spans of all that the nodes do to this receiver of OpenTelemetry, such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    traces: Option<String>,
}

/// How long the validators may take to make their first block.
const FOUNDING: Duration = Duration::from_secs(60);

/// What the pilot remembers between starts.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct Loaded {
    /// Its patients.
    #[serde(default)]
    pub(crate) patients: Vec<Patient>,
}

/// A patient whose records were loaded.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Patient {
    /// For people; synthetic.
    pub(crate) name: String,
    /// The chart with the hospital.
    pub(crate) chart: ChartId,
    /// The letter with which it is claimed, until it was.
    pub(crate) letter: Option<PathBuf>,
    /// The code that goes with the letter: printed here because it is a demonstration.
    pub(crate) code: Option<String>,
    /// Records that were loaded.
    pub(crate) records: usize,
    /// What the files that were loaded call the patient: nobody is loaded twice.
    #[serde(default)]
    pub(crate) names: Names,
}

impl Loaded {
    fn read(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join("pilot.toml");
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
        toml::from_str(&text).map_err(|error| Failure::Profile { path, reason: error.to_string() })
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<(), Failure> {
        let (path, new) = (dir.join("pilot.toml"), dir.join("pilot.toml.new"));
        let text = toml::to_string(self).expect("plain TOML");
        fs::write(&new, text).map_err(Failure::at(&new))?;
        fs::rename(&new, &path).map_err(Failure::at(path))
    }
}

impl Pilot {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let config = self.traces.clone().map(TracesConfig::everything);
        let traces = observed::log_and_trace(config.as_ref())?;
        let done = self.show(output);
        observed::end(traces);
        done
    }

    fn show(self, output: &Output) -> Result<(), Failure> {
        let fresh = !self.dir.join("genesis.cbor").exists();
        if fresh {
            founding::found(&self.dir, self.port)?;
            output.say(&format!(
                "Founded a consortium of four organisations in {}.",
                self.dir.display()
            ));
        } else {
            output.say(&format!("Going on with the consortium in {}.", self.dir.display()));
        }
        output.say("Its keys are demonstration keys: they protect nothing.\n");
        for organisation in &ORGANISATIONS {
            let folder = organisation_folder(&self.dir, organisation.slug);
            try_folder(&NodeConfig::read(&folder.join("node.toml"))?)?;
        }
        let engine = self.dir.join("engine");
        run_engine(&engine, 2, async |context| self.work(context, fresh, output).await)
    }

    async fn work(self, context: Context, fresh: bool, output: &Output) -> Result<(), Failure> {
        let mut consortium = Consortium::start(&context, &self.dir).await?;
        if !founding::is_enrolled(&self.dir) {
            founding::enrol(&self.dir).await?;
        }
        gateway::prepare(&self.dir, self.port)?;
        let mut loaded = Loaded::read(&self.dir)?;
        let source = match &self.bundles {
            Some(folder) => Source::Bundles(folder.clone()),
            None => Source::Generated { seed: self.seed, from: loaded.patients.len() as u64 },
        };
        let unclaimed = loaded.patients.iter().any(|it| it.letter.is_some());
        let done = tokio::select! {
            done = async {
                if self.bundles.is_some() || loaded.patients.is_empty() || (self.tour && !unclaimed)
                {
                    load::load(&self.dir, &mut loaded, &source, self.patients, output).await?;
                }
                if self.tour || fresh {
                    Tour { dir: &self.dir, context: &context, output }
                        .run(&mut consortium, &mut loaded)
                        .await?;
                    output.say("\nThe tour is complete: every step did what it says.");
                }
                Ok(())
            } => done,
            () = asked_to_stop() => {
                output.say("\nStopping.");
                consortium.stop().await;
                return Ok(());
            }
        };
        if let Err(failure) = done {
            consortium.stop().await;
            return Err(failure);
        }
        let stayed = if self.tour {
            output.json(&json!({ "dir": self.dir, "tour": "complete" }));
            Ok(())
        } else {
            self.stay(&consortium, &loaded, output).await
        };
        consortium.stop().await;
        stayed
    }

    /// Says how to go on, until it is told to stop.
    async fn stay(
        &self,
        consortium: &Consortium,
        loaded: &Loaded,
        output: &Output,
    ) -> Result<(), Failure> {
        let gateways = match self.gateways {
            true => gateway::start(&self.dir, output).await?,
            false => Vec::new(),
        };
        self.how_to_go_on(consortium, loaded, output);
        asked_to_stop().await;
        output.say("\nStopping.");
        for gateway in gateways {
            gateway.stop().await?;
        }
        Ok(())
    }

    fn how_to_go_on(&self, consortium: &Consortium, loaded: &Loaded, output: &Output) {
        let dir = self.dir.display();
        let running =
            || consortium.places.iter().filter_map(|it| Some((it.name, it.node.as_ref()?)));
        let mut text = String::from("\nThe consortium stays up. Its nodes:");
        for (name, node) in running() {
            text += &format!("\n  {name:<24} http://{}", node.addresses.clients);
        }
        let nodes: Vec<_> = running()
            .map(|(name, node)| {
                json!({ "organisation": node.organisation, "name": name, "clients": format!("http://{}", node.addresses.clients) })
            })
            .collect();
        output.result(&text, &json!({ "dir": self.dir, "nodes": nodes }));
        output.say("\nGo on in another terminal:");
        if !self.gateways {
            output.say(&format!("  keepwell record list --as {dir}/people/agent CHART"));
        }
        if let Some(patient) = loaded.patients.iter().find(|it| it.letter.is_some()) {
            output.say(&format!(
                "  keepwell wallet new --dir ./mine --like {dir}/people/agent\n  keepwell chart claim --as ./mine --letter {} --code '{}'    # {}",
                patient.letter.as_deref().unwrap_or(Path::new("")).display(),
                patient.code.as_deref().unwrap_or(""),
                patient.name,
            ));
        }
        if !self.gateways {
            let config = gateway::config(&self.dir);
            output.say(&format!("  keepwell gateway run --config {}", config.display()));
        }
        output.say("  keepwell --help\nCtrl-C stops it; nothing is lost.");
    }
}

/// What a person types to call this program.
fn program() -> String {
    let own = env::current_exe().unwrap_or_else(|_| "keepwell".into());
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|it| it.join("keepwell")).find(|it| it.exists());
    match found {
        Some(path) if path == own => "keepwell".to_owned(),
        Some(_) | None => word(&own),
    }
}

/// A path as one word of a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-".contains(it);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// One organisation's node, running or not.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) slug: &'static str,
    pub(crate) node: Option<RunningNode>,
    starts: u32,
}

/// The four nodes, and the trustees.
pub(crate) struct Consortium {
    pub(crate) places: Vec<Place>,
    /// The trustees' services, which end with this.
    _trustees: JoinSet<()>,
    _stop_trustees: watch::Sender<bool>,
}

impl Consortium {
    async fn start(context: &Context, dir: &Path) -> Result<Self, Failure> {
        let places = ORGANISATIONS
            .iter()
            .map(|it| Place { name: it.name, slug: it.slug, node: None, starts: 0 })
            .collect();
        let (stop, stopping) = watch::channel(false);
        let trustees = start_trustees(dir, &stopping).await?;
        let mut consortium = Self { places, _trustees: trustees, _stop_trustees: stop };
        consortium.start_all(context, dir).await?;
        consortium.until_founded().await?;
        Ok(consortium)
    }

    /// Waits until every node has executed the founding entries, which are block 1.
    async fn until_founded(&self) -> Result<(), Failure> {
        for node in self.places.iter().filter_map(|place| place.node.as_ref()) {
            let mut tip = node.core.watch_tip();
            let founded = tip.wait_for(|tip| tip.height().0 >= 1);
            if tokio::time::timeout(FOUNDING, founded).await.is_err() {
                return Err(Failure::Misused(format!(
                    "the validators made no block within {} seconds; is the machine asleep or its disk full?",
                    FOUNDING.as_secs()
                )));
            }
        }
        Ok(())
    }

    pub(crate) async fn start_all(&mut self, context: &Context, dir: &Path) -> Result<(), Failure> {
        for place in &mut self.places {
            place.start(context, dir).await?;
        }
        Ok(())
    }

    pub(crate) async fn stop(&mut self) {
        for place in &mut self.places {
            if let Some(node) = place.node.take() {
                node.stop().await;
            }
        }
    }

    pub(crate) fn place(&mut self, slug: &str) -> &mut Place {
        self.places.iter_mut().find(|it| it.slug == slug).expect("one of the four organisations")
    }
}

/// Starts the trustees. They have no node and follow none, so they go on when nodes stop.
async fn start_trustees(
    dir: &Path,
    stopping: &watch::Receiver<bool>,
) -> Result<JoinSet<()>, Failure> {
    let path = dir.join("genesis.cbor");
    let genesis = fs::read(&path).map_err(Failure::at(&path))?;
    let consortium = Arc::new(keepwell_client::Consortium::read(&genesis)?);
    let unlock = founding::unlock(dir)?;
    let mut running = JoinSet::new();
    for (at, (slug, _)) in founding::trustee_urls(dir)?.iter().zip(TRUSTEES) {
        let folder = founding::trustee_folder(dir, slug);
        let service = Service::open(consortium.clone(), &folder, &unlock)?;
        let address = at.url.trim_start_matches("http://");
        let listener = TcpListener::bind(address).await.map_err(Failure::at(address))?;
        running.spawn(service.serve(listener, None, stopping.clone()));
    }
    Ok(running)
}

impl Place {
    pub(crate) async fn start(&mut self, context: &Context, dir: &Path) -> Result<(), Failure> {
        let config = NodeConfig::read(&organisation_folder(dir, self.slug).join("node.toml"))?;
        let keys = key_files(&config)?;
        self.starts += 1;
        let label = format!("{}-{}", self.slug, self.starts);
        let context = context.child("organisation").with_attribute("name", label);
        self.node = Some(run::start(context, config, keys, Known::default()).await?);
        Ok(())
    }
}

pub(crate) fn organisation_folder(dir: &Path, slug: &str) -> PathBuf {
    dir.join("organisations").join(slug)
}

pub(crate) fn person_folder(dir: &Path, name: &str) -> PathBuf {
    dir.join("people").join(name)
}

/// The organisation ids of the pilot, by their slugs.
pub(crate) fn organisation_ids(dir: &Path) -> Result<Vec<(String, OrganisationId)>, Failure> {
    let path = dir.join("organisations.toml");
    let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
    let ids: std::collections::BTreeMap<String, OrganisationId> = toml::from_str(&text)
        .map_err(|error| Failure::Profile { path, reason: error.to_string() })?;
    Ok(ids.into_iter().collect())
}

pub(crate) fn organisation_id(dir: &Path, slug: &str) -> Result<OrganisationId, Failure> {
    organisation_ids(dir)?
        .into_iter()
        .find(|(known, _)| known == slug)
        .map(|(_, id)| id)
        .ok_or_else(|| Failure::Misused(format!("the pilot has no organisation {slug:?}")))
}

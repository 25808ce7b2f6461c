//! `keepwell gateway`: one organisation's FHIR interface, and what systems need to use it.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use keepwell_client::chart::Arrangement;
use keepwell_fhir::subscription::endpoint::Listed;
use keepwell_gateway::{
    Asker, Followed, Gateway as Service, NewCharts, Settings, Sight,
    auth::{ClientKey, Level, Registration, Scope, Sessions, assertion},
    dicom::Namespaces,
    index::Index,
    server::{serve, token_endpoint},
    without_ids,
};
use keepwell_types::{access::Purpose, id::OrganisationId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinHandle, JoinSet},
};

use crate::{
    commands::compartment_names,
    failure::Failure,
    feeds::{FeedConfig, Feeds},
    output::Output,
    profile::{Identity, Session},
    runtime::{asked_to_stop, block_on},
    sign_in::{self, AppConfig, PersonConfig, SignInConfig},
};

/// Seconds between two looks at the ledger, unless configured.
const FOLLOW_S: u64 = 5;
/// Seconds for which an export is kept once it is done, unless configured; and at most.
const EXPORTS_KEPT_S: u64 = 3_600;
const EXPORTS_KEPT_S_MAX: u64 = 24 * 3_600;
/// How long a patient has to claim a chart that the gateway opened.
const CLAIM_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Speak FHIR R4 beside the systems that an organisation has
///
/// What the organisation's key agent may read is found and read over FHIR, and what is sent becomes records on the
/// ledger. Each read is an access in the name of the member that a client is registered as, and the patient sees it.
/// HL7 v2 messages that come over MLLP become records too, and are acknowledged once these are final.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell gateway client --id ehr --to ./ehr
  keepwell gateway run --config gateway.toml
  keepwell gateway token --base http://127.0.0.1:7480/fhir --id ehr --key ./ehr/key.pem
  keepwell gateway rebuild --config gateway.toml")]
pub(crate) struct Gateway {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Serve until it is told to stop
    Run {
        /// The gateway's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Forget the index and build it again from the ledger and the custodians
    ///
    /// Not while the gateway runs.
    Rebuild {
        /// The gateway's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Make a key for a system that asks the gateway (SMART Backend Services)
    Client {
        /// The system's client id
        #[arg(long)]
        id: String,
        /// The folder for key.pem, which the system keeps, and keys.json, which the configuration names
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Ask a gateway for a token, as a system would
    Token {
        /// The gateway's address
        #[arg(long, value_name = "URL")]
        base: String,
        /// The system's client id
        #[arg(long)]
        id: String,
        /// Its private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// What to ask for
        #[arg(long, default_value = "system/*.cruds")]
        scope: String,
    },
}

/// A gateway's configuration. Paths are from its folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayConfig {
    /// Where it listens, on this computer.
    listen: SocketAddr,
    /// Its public address: what stands in links and references.
    base: String,
    /// The profile of the organisation's key agent.
    agent: PathBuf,
    /// The folder of its index.
    folder: PathBuf,
    /// A file with the URL of a PostgreSQL database, which the index is in instead.
    postgres_url_file: Option<PathBuf>,
    /// Seconds between two looks at the ledger.
    #[serde(default = "follow_s")]
    follow_s: u64,
    /// Seconds for which an export is kept once it is done.
    #[serde(default = "exports_kept_s")]
    exports_kept_s: u64,
    /// Who stores the records of new patients.
    custodians: Vec<OrganisationId>,
    /// Who else may author in their charts.
    #[serde(default)]
    contributors: Vec<OrganisationId>,
    /// The systems that may ask.
    #[serde(default)]
    clients: Vec<ClientConfig>,
    /// Where people sign in.
    sign_in: Option<SignInConfig>,
    /// The apps that they use.
    #[serde(default)]
    apps: Vec<AppConfig>,
    /// The people.
    #[serde(default)]
    people: Vec<PersonConfig>,
    /// The HL7 v2 messages that are taken.
    #[serde(default)]
    feeds: Vec<FeedConfig>,
    /// Whose images are taken.
    images: Option<ImagesConfig>,
    /// Who may be told of what is new.
    #[serde(default)]
    subscriptions: SubscriptionsConfig,
}

/// Where notifications may go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionsConfig {
    /// Hosts, each with a port unless it is the one of https, and with an address if it is of a private network.
    #[serde(default)]
    endpoints: Vec<String>,
}

/// In which namespaces the PatientIDs of images are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImagesConfig {
    /// Of those without an IssuerOfPatientID.
    namespace: Option<String>,
    /// By IssuerOfPatientID.
    #[serde(default)]
    issuers: BTreeMap<String, String>,
}

/// A system that may ask.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientConfig {
    /// Its client id.
    id: String,
    /// A file with its public keys, as a JSON Web Key Set.
    keys: PathBuf,
    /// The profile of the member in whose name it acts.
    member: PathBuf,
    /// What for.
    purpose: Purpose,
    /// What it may ask for, such as `system/Observation.rs`.
    scopes: Vec<String>,
    /// Whether it may open apps for the patient who is open in it.
    #[serde(default)]
    launches: bool,
}

const fn follow_s() -> u64 {
    FOLLOW_S
}

const fn exports_kept_s() -> u64 {
    EXPORTS_KEPT_S
}

impl GatewayConfig {
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(Failure::at(path))?;
        let bad = |reason: String| {
            Failure::Misused(format!(
                "the configuration {} cannot be used: {reason}",
                path.display()
            ))
        };
        let mut config: Self = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if !config.listen.ip().is_loopback() {
            return Err(bad(format!(
                "{} is reached by others, and what is read would travel in the open; listen on 127.0.0.1 and let a proxy on this computer speak TLS",
                config.listen
            )));
        }
        config.base = config.base.trim_end_matches('/').to_owned();
        let is_address = config.base.starts_with("http://") || config.base.starts_with("https://");
        if !is_address || config.base.contains(['?', '#', ' ']) {
            return Err(bad(format!(
                "base is {:?}, and is the address that clients see, such as https://fhir.example.org/fhir",
                config.base
            )));
        }
        if config.follow_s == 0 {
            return Err(bad("follow_s is 0, and is a second at least".into()));
        }
        if !(1..=EXPORTS_KEPT_S_MAX).contains(&config.exports_kept_s) {
            return Err(bad(format!(
                "exports_kept_s is {}, and is from 1 to {EXPORTS_KEPT_S_MAX}",
                config.exports_kept_s
            )));
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        for own in [&mut config.agent, &mut config.folder] {
            *own = folder.join(&*own);
        }
        config.postgres_url_file = config.postgres_url_file.map(|it| folder.join(it));
        for client in &mut config.clients {
            client.keys = folder.join(&client.keys);
            client.member = folder.join(&client.member);
        }
        config.sign_in = config.sign_in.map(|it| it.within(&folder));
        config.apps = config.apps.into_iter().map(|it| it.within(&folder)).collect();
        config.people = config.people.into_iter().map(|it| it.within(&folder)).collect();
        config.feeds = config.feeds.into_iter().map(|it| it.within(&folder)).collect();
        FeedConfig::check(&config.feeds).map_err(bad)?;
        config.endpoints().map_err(bad)?;
        Ok(config)
    }

    /// The hosts to which notifications may be sent.
    fn endpoints(&self) -> Result<Listed, String> {
        for text in &self.subscriptions.endpoints {
            Listed::parse([text.as_str()])
                .map_err(|error| format!("{text:?} in [subscriptions]: {error}"))?;
        }
        Listed::parse(self.subscriptions.endpoints.iter().map(String::as_str))
            .map_err(|error| error.to_string())
    }

    /// Where the index is.
    fn index_url(&self) -> Result<String, Failure> {
        match &self.postgres_url_file {
            Some(path) => {
                let url = fs::read_to_string(path).map_err(Failure::at(path))?;
                Ok(url.trim().to_owned())
            }
            None => {
                fs::create_dir_all(&self.folder).map_err(Failure::at(&self.folder))?;
                Ok(format!("sqlite:{}", self.folder.join("index.db").display()))
            }
        }
    }

    /// The gateway, with its keys and its index open.
    async fn open(&self) -> Result<Service, Failure> {
        let Session { client, identity } = Session::open(&self.agent)?;
        let Identity::Agent(agent) = identity else {
            return Err(Failure::Misused(format!(
                "a gateway reads as its organisation's key agent, and {} is none's profile",
                self.agent.display()
            )));
        };
        let index = Index::open(&self.index_url()?, agent.gateway_key()).await?;
        let (custodians, contributors) = (self.custodians.clone(), self.contributors.clone());
        let new_charts = NewCharts {
            compartments: compartment_names(),
            arrangement: Arrangement { custodians, contributors },
            claim_ms: CLAIM_MS,
        };
        fs::create_dir_all(&self.folder).map_err(Failure::at(&self.folder))?;
        let images = self.images.clone();
        let images = images.map(|it| Namespaces { unsaid: it.namespace, issuers: it.issuers });
        let (base, folder) = (self.base.clone(), self.folder.clone());
        let exports_kept = Duration::from_secs(self.exports_kept_s);
        let endpoints = self.endpoints().map_err(Failure::Misused)?;
        let settings = Settings { base, new_charts, folder, exports_kept, images, endpoints };
        Ok(Service::new(client, *agent, index, settings))
    }

    fn sessions(&self) -> Result<Sessions, Failure> {
        let apps = self.apps.iter().map(|it| it.id.as_str());
        let mut ids: Vec<_> = self.clients.iter().map(|it| it.id.as_str()).chain(apps).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|it| it[0] == it[1]) {
            return Err(Failure::Misused(format!(
                "two clients or apps are called {:?}; give each app, and each purpose of a system, an id of its own",
                twice[0]
            )));
        }
        let clients = self.clients.iter().map(ClientConfig::register);
        let clients = clients.collect::<Result<_, _>>()?;
        Ok(Sessions::new(clients, token_endpoint(&self.base)))
    }
}

impl ClientConfig {
    fn register(&self) -> Result<Registration, Failure> {
        let text = fs::read(&self.keys).map_err(Failure::at(&self.keys))?;
        let keys = serde_json::from_slice(&text).map_err(|error| {
            Failure::Misused(format!(
                "{} is no JSON Web Key Set: {error}; `keepwell gateway client` makes one",
                self.keys.display()
            ))
        })?;
        let scopes = self.scopes.iter().map(|text| {
            let scope = Scope::parse(text).filter(|it| it.level() == Level::System);
            scope.ok_or_else(|| {
                Failure::Misused(format!(
                    "client {} has the scope {text:?}, and scopes are as in system/Observation.rs",
                    self.id
                ))
            })
        });
        let scopes = scopes.collect::<Result<_, _>>()?;
        let member = Session::open(&self.member)?;
        let (actor, purpose) = (member.member()?.actor(), self.purpose);
        let asker = Asker { actor, purpose, sight: Sight::ALL };
        let (id, launches) = (self.id.clone(), self.launches);
        Ok(Registration { id, keys, scopes, asker, launches })
    }
}

impl Gateway {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Run { config } => block_on(run(GatewayConfig::read(&config)?, output)),
            What::Rebuild { config } => block_on(rebuild(GatewayConfig::read(&config)?, output)),
            What::Client { id, to } => make_client(&id, &to, output),
            What::Token { base, id, key, scope } => {
                let base = base.trim_end_matches('/').to_owned();
                block_on(token(&base, &id, &key, &scope, output))
            }
        }
    }
}

async fn run(config: GatewayConfig, output: &Output) -> Result<(), Failure> {
    let running = Running::start(config, output).await?;
    output.result(&running.says(), &running.json());
    asked_to_stop().await;
    running.stop().await
}

/// A gateway that serves.
pub(crate) struct Running {
    base: String,
    clients: usize,
    /// Where it takes HL7 v2 messages.
    addresses: Vec<String>,
    stop: watch::Sender<bool>,
    feeds: JoinSet<()>,
    server: JoinHandle<std::io::Result<()>>,
    following: AbortHandle,
}

impl Running {
    /// Brings the index of the gateway with this configuration to where the ledger is, and serves it.
    pub(crate) async fn of(config: &Path, output: &Output) -> Result<Self, Failure> {
        Self::start(GatewayConfig::read(config)?, output).await
    }

    async fn start(config: GatewayConfig, output: &Output) -> Result<Self, Failure> {
        let sessions = config.sessions()?;
        let smart =
            sign_in::smart(&config.base, config.sign_in.as_ref(), (&config.apps, &config.people))?;
        let gateway = Arc::new(config.open().await?);
        output.say("Bringing the index to where the ledger is ...");
        match gateway.follow().await {
            Ok(followed) => output.say(&told(&followed)),
            // What is in the index is served, and each access asks the ledger anyway.
            Err(error) => output.warn(&format!("not all came, and it is tried again: {error}")),
        }
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.map_err(Failure::at(config.listen.to_string()))?;
        let feeds = Feeds::listen(&config.feeds).await?;
        let addresses = feeds.addresses();
        let (stop, stopping) = watch::channel(false);
        let feeds = feeds.serve(&gateway, &stopping)?;
        let base = gateway.base().to_owned();
        let server = tokio::spawn(serve(listener, gateway.clone(), (sessions, smart), stopping));
        let pause = Duration::from_secs(config.follow_s);
        let following = tokio::spawn(async move { follow(&gateway, pause).await }).abort_handle();
        let clients = config.clients.len();
        Ok(Self { base, clients, addresses, stop, feeds, server, following })
    }

    fn says(&self) -> String {
        let mut lines: Vec<_> = self.addresses.iter().map(|it| format!("hl7v2: {it}")).collect();
        lines.push(format!("fhir: {}", self.base));
        lines.join("\n")
    }

    fn json(&self) -> Value {
        json!({ "base": self.base, "clients": self.clients, "feeds": self.addresses })
    }

    /// Where it serves FHIR.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Takes nothing new, and waits for what is under way: it is committed and answered, or stays its sender's.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.following.abort();
        self.stop.send_replace(true);
        while self.feeds.join_next().await.is_some() {}
        match self.server.await {
            Ok(served) => served.map_err(Failure::at("the gateway's port")),
            Err(error) => Err(Failure::Misused(format!("the gateway ended by itself: {error}"))),
        }
    }
}

/// Follows the ledger for as long as the gateway runs.
async fn follow(gateway: &Service, pause: Duration) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(pause).await;
        match gateway.follow().await {
            Ok(followed) if followed.charts > 0 => tracing::info!(?followed, "followed the ledger"),
            Ok(_) => {}
            Err(error) => {
                let error = without_ids(&error);
                tracing::warn!(error, "the ledger could not be followed; it is tried again")
            }
        }
    }
}

async fn rebuild(config: GatewayConfig, output: &Output) -> Result<(), Failure> {
    let gateway = config.open().await?;
    gateway.forget_all().await?;
    let followed = gateway.follow().await?;
    output.result(
        &told(&followed),
        &json!({ "versions": followed.versions, "charts": followed.charts }),
    );
    Ok(())
}

fn told(followed: &Followed) -> String {
    let Followed { charts, versions, left_out, forgotten } = followed;
    let mut text =
        format!("{versions} versions of resources from {charts} charts are new in the index.");
    if *left_out > 0 {
        text += &format!(" {left_out} records are no FHIR resources, or do not open.");
    }
    if *forgotten > 0 {
        text += &format!(" {forgotten} charts are their patients' own, and not in it.");
    }
    text
}

fn make_client(id: &str, to: &Path, output: &Output) -> Result<(), Failure> {
    let (private, public) = write_client(id, to)?;
    output.result(
        &format!(
            "The system keeps {}. The gateway's configuration names {}.",
            private.display(),
            public.display()
        ),
        &json!({ "id": id, "key": private, "keys": public }),
    );
    Ok(())
}

/// Draws a key of a system, and writes its private and its public side into a folder.
pub(crate) fn write_client(id: &str, to: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    let key = ClientKey::generate(id)?;
    fs::create_dir_all(to).map_err(Failure::at(to))?;
    let (private, public) = (to.join("key.pem"), to.join("keys.json"));
    write_secret(&private, &key.private_pem)?;
    fs::write(&public, key.public.to_string()).map_err(Failure::at(&public))?;
    Ok((private, public))
}

/// Writes a file that only its owner reads, and that is not there yet.
fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _};

    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(Failure::at(path))?;
    file.write_all(text.as_bytes()).map_err(Failure::at(path))?;
    file.sync_all().map_err(Failure::at(path))
}

async fn token(
    base: &str,
    id: &str,
    key: &Path,
    scope: &str,
    output: &Output,
) -> Result<(), Failure> {
    let pem = fs::read_to_string(key).map_err(Failure::at(key))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let endpoint = token_endpoint(base);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion(id, &pem, &endpoint, now)?),
        ("scope", scope),
    ];
    let unreached = |error: reqwest::Error| {
        Failure::Misused(format!(
            "{endpoint} does not answer: {}; does the gateway run?",
            error.without_url()
        ))
    };
    let answer = reqwest::Client::new().post(&endpoint).form(&form).send().await;
    let answer: Value = answer.map_err(unreached)?.json().await.map_err(unreached)?;
    let Some(token) = answer["access_token"].as_str() else {
        let why = answer["error_description"].as_str().unwrap_or("it gave no reason");
        return Err(Failure::Misused(format!("the gateway gives no token: {why}")));
    };
    output.result(token, &answer);
    Ok(())
}

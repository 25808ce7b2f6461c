//! A consortium of child processes on loopback, founded for one run.
//!
//! Each validator is `keepwell node --config`, with keys, folder and configuration as an operator would
//! have them. What differs from a real consortium is that one party knows all keys, which is how
//! commands of every organisation can be signed here, and that the quota of commands is out of the way.
//! Each organisation enrols one member, who does everything.
//!
//! Where [`Setting`] says so, links between validators take time, or one more node may observe.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use keepwell_client::{
    Client, ClientError, Consortium,
    identity::{Actor, MemberIdentity},
    node::Endpoint,
};
use keepwell_crypto::{command::chain_id, sign::SigningKey};
use keepwell_merkle::{certificate::Validators, receipt::CertifiedHeader};
use keepwell_node::{
    clock::Clock,
    genesis::{DEMONSTRATION_PARAMETERS, Demonstration, Founder, found},
    keys::{NodeKeys, Unlock},
    ports,
    random::rng,
};
use keepwell_types::{
    block::Header,
    command::Payload,
    genesis::Parameters,
    id::{ChainId, OrganisationId, PublicKey},
    member::{MemberEnrol, OrganisationKind, Party, Role},
    set::RoleSet,
};
use zeroize::Zeroizing;

use super::{
    BenchError,
    http::{Connection, get},
    process::{Process, Usage},
    relay::Relay,
    scratch::{Scratch, bytes_below},
};

/// Longest wait for all validators to be ready.
const READY_MAX: Duration = Duration::from_secs(90);
const READY_POLL: Duration = Duration::from_millis(100);
/// Longest wait for all validators to stand at one height.
const MEET_MAX: Duration = Duration::from_secs(60);
/// Longest wait for an observer to be where the validators are.
const OBSERVE_MAX: Duration = Duration::from_secs(1_800);
const OBSERVE_POLL: Duration = Duration::from_millis(20);

/// What differs from validators side by side on loopback.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setting {
    /// How long a message between two validators takes, one way.
    pub delay: Option<Duration>,
    /// Whether the validators keep links with an observer, which [`Fleet::observe`] starts.
    pub observer: bool,
}

/// The validators, ended when this is dropped.
pub(super) struct Fleet {
    /// In the order of their organisations in the genesis file.
    pub nodes: Vec<Node>,
    /// The digest of the genesis file.
    pub chain: ChainId,
    /// What checks their certificates.
    pub validators: Validators,
    consortium: Arc<Consortium>,
    observer: Option<Observer>,
    // Through which the validators reach each other, where that takes time.
    _relays: Vec<Relay>,
    // Last: the folders go when nobody writes to them.
    scratch: Scratch,
}

/// One organisation and its validator.
pub(super) struct Node {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its one member: a clinician, registrar, key agent and auditor.
    pub identity: MemberIdentity,
    /// Signs acknowledgements of custody.
    pub custodian: SigningKey,
    /// Where its validator takes requests.
    pub address: SocketAddr,
    administrator: Actor,
    place: Place,
    /// None while it is stopped.
    process: Option<Process>,
}

/// A node without a vote, which begins from the state of the validators.
struct Observer {
    organisation: OrganisationId,
    keys: NodeKeys,
    place: Place,
}

impl Fleet {
    /// Founds a consortium of `count` organisations below `dir`, starts its validators, waits until each
    /// is ready, and enrols the members.
    pub(super) async fn start(dir: &Path, count: usize) -> Result<Self, BenchError> {
        Self::start_as(dir, count, Setting::default()).await
    }

    /// The same where something is not as usual.
    pub(super) async fn start_as(
        dir: &Path,
        count: usize,
        setting: Setting,
    ) -> Result<Self, BenchError> {
        let scratch = Scratch::new(dir, "consortium")?;
        let Demonstration { genesis, nodes: founded } = establish(count)?;
        fs::write(scratch.path().join("genesis.cbor"), genesis.encode())?;

        let chain = chain_id(&genesis);
        let ports = ports::free(2 * (count + 1))?;
        let (peer_ports, client_ports) = ports.split_at(count + 1);
        let mut relays = Vec::new();
        let mut reached = Vec::with_capacity(count);
        for port in peer_ports {
            let relay = match setting.delay {
                Some(delay) => Some(Relay::start(loopback(*port), delay).await?),
                None => None,
            };
            reached.push(relay.as_ref().map_or(loopback(*port), Relay::address));
            relays.extend(relay);
        }
        let place = |index: usize| Place {
            folder: scratch.path().join(format!("node-{index}")),
            genesis: scratch.path().join("genesis.cbor"),
            peer_address: loopback(peer_ports[index]),
            client_address: loopback(client_ports[index]),
        };
        let observer = setting.observer.then(|| Observer {
            organisation: founded[0].organisation,
            keys: NodeKeys::generate(&mut rng()),
            place: place(count),
        });
        let keys = founded.iter().map(|node| node.keys.consensus_key());
        let keys = keys.chain(observer.iter().map(|it| it.keys.consensus_key()));
        let peers = peers(keys.zip(reached));
        let mut nodes = Vec::with_capacity(count);
        for (index, node) in founded.iter().enumerate() {
            let place = place(index);
            place.furnish(&node.keys, "", &peers)?;
            let administrator = SigningKey::from_seed(&node.administrator);
            nodes.push(Node {
                organisation: node.organisation,
                identity: MemberIdentity::generate(chain, node.organisation),
                custodian: SigningKey::from_seed(&node.keys.custodian),
                address: place.client_address,
                administrator: Actor::new(Party::Administrator(node.organisation), administrator),
                process: Some(place.start()?),
                place,
            });
        }
        if let Some(Observer { organisation, keys, place }) = &observer {
            let says = format!("archive = false\norganisation = \"{organisation}\"\n");
            place.furnish(keys, &says, &peers)?;
        }
        let validators = Validators::of(&genesis)?;
        let consortium = Arc::new(Consortium::new(genesis)?);
        let mut fleet =
            Self { nodes, chain, validators, consortium, observer, _relays: relays, scratch };
        fleet.wait_until_ready().await?;
        fleet.enrol().await?;
        Ok(fleet)
    }

    /// Kills a validator.
    pub(super) fn stop(&mut self, at: usize) {
        self.nodes[at].process = None;
    }

    /// Starts a validator that was killed; does not wait for it.
    pub(super) fn start_again(&mut self, at: usize) -> Result<(), BenchError> {
        self.nodes[at].process = Some(self.nodes[at].place.start()?);
        Ok(())
    }

    /// Starts the observer, which has nothing, and kills it when it has the block that the validators had when it was
    /// started; returns how long that took.
    pub(super) async fn observe(&self) -> Result<Duration, BenchError> {
        let Some(Observer { place, .. }) = &self.observer else { return Ok(Duration::ZERO) };
        let tips = self.tips().await?;
        let target = tips.iter().map(|tip| tip.height).max().unwrap_or_default();
        let start = Instant::now();
        let mut process = place.start()?;
        while start.elapsed() < OBSERVE_MAX {
            process.check()?;
            if self.tip_of(place.client_address).await.is_ok_and(|tip| tip.height >= target) {
                let took = start.elapsed();
                drop(process);
                fs::remove_dir_all(place.data())?;
                return Ok(took);
            }
            tokio::time::sleep(OBSERVE_POLL).await;
        }
        Err(BenchError::Apart { seconds: OBSERVE_MAX.as_secs() })
    }

    /// The configuration of a validator.
    pub(super) fn config(&self, at: usize) -> PathBuf {
        self.nodes[at].place.config()
    }

    /// A folder for what a run writes beside its validators.
    pub(super) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Bytes of all files of the validator that has most.
    pub(super) fn stored_bytes(&self) -> Result<u64, BenchError> {
        let mut most = 0;
        for node in &self.nodes {
            most = most.max(bytes_below(&node.place.data())?);
        }
        Ok(most)
    }

    /// Asks all validators, the one at `first` before the others.
    pub(super) fn client(&self, first: usize) -> Result<Client, BenchError> {
        let (before, after) = self.nodes.split_at(first);
        let endpoints = after.iter().chain(before).map(Node::endpoint).collect();
        Ok(Client::new(Arc::clone(&self.consortium), endpoints, None).map_err(ClientError::from)?)
    }

    /// Asks this validator and no other.
    pub(super) fn client_of(&self, node: &Node) -> Result<Client, BenchError> {
        let endpoints = vec![node.endpoint()];
        Ok(Client::new(Arc::clone(&self.consortium), endpoints, None).map_err(ClientError::from)?)
    }

    /// An error if a validator has ended.
    pub(super) fn check(&mut self) -> Result<(), BenchError> {
        self.nodes.iter_mut().filter_map(|node| node.process.as_mut()).try_for_each(Process::check)
    }

    /// What each validator that runs has used since it was started.
    pub(super) fn usage(&self) -> Result<Vec<Usage>, BenchError> {
        self.running().filter_map(|node| node.process.as_ref()).map(Process::usage).collect()
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.process.is_some())
    }

    /// Leaves the folders on the disk; says where.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.scratch.keep();
        self.scratch.path().to_path_buf()
    }

    /// The newest header of every validator that runs, proven final.
    pub(super) async fn tips(&self) -> Result<Vec<Header>, BenchError> {
        let mut tips = Vec::with_capacity(self.nodes.len());
        for node in self.running() {
            tips.push(self.tip_of(node.address).await?);
        }
        Ok(tips)
    }

    async fn tip_of(&self, address: SocketAddr) -> Result<Header, BenchError> {
        let answer = Connection::open(address).await?.ask(&get("/v1/tip", None)).await?;
        let certified = CertifiedHeader::decode(&answer.ok("GET /v1/tip")?)?;
        Ok(certified.verify_by(&self.validators)?.header().clone())
    }

    /// Waits until all validators stand at one height and compares what they have there.
    pub(super) async fn meet(&self) -> Result<Header, BenchError> {
        let start = Instant::now();
        while start.elapsed() < MEET_MAX {
            let tips = self.tips().await?;
            let first = tips[0].clone();
            if tips.iter().all(|tip| tip.height == first.height) {
                return match tips.iter().position(|tip| *tip != first) {
                    None => Ok(first),
                    Some(validator) => Err(BenchError::Forked { validator, height: first.height }),
                };
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(BenchError::Apart { seconds: MEET_MAX.as_secs() })
    }

    async fn enrol(&self) -> Result<(), BenchError> {
        for node in &self.nodes {
            let payload = Payload::MemberEnrol(MemberEnrol {
                member: node.identity.member(),
                organisation: node.organisation,
                signing: node.identity.signing_public(),
                sealing: node.identity.sealing_digest(),
                roles: RoleSet::EMPTY
                    .with(Role::Clinician)
                    .with(Role::Registrar)
                    .with(Role::KeyAgent)
                    .with(Role::Auditor),
            });
            self.client_of(node)?.command(&node.administrator, payload).await?;
        }
        // All validators have executed what the members do next rests on.
        self.meet().await.map(drop)
    }

    /// Waits until each validator that runs serves clients.
    pub(super) async fn wait_until_ready(&mut self) -> Result<(), BenchError> {
        let start = Instant::now();
        while start.elapsed() < READY_MAX {
            self.check()?;
            if self.all_ready().await {
                return Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Err(BenchError::NotReady { seconds: READY_MAX.as_secs(), folder: self.keep() })
    }

    /// Ready, and block 1 with the organisations in it is final everywhere.
    async fn all_ready(&self) -> bool {
        for node in self.running() {
            let Ok(mut connection) = Connection::open(node.address).await else { return false };
            match connection.ask(&get("/v1/ready", None)).await {
                Ok(answer) if answer.status == 200 => {}
                Ok(_) | Err(_) => return false,
            }
        }
        self.tips().await.is_ok_and(|tips| tips.iter().all(|tip| tip.height.0 > 0))
    }
}

impl Node {
    fn endpoint(&self) -> Endpoint {
        Endpoint { organisation: self.organisation, url: format!("http://{}", self.address) }
    }
}

/// The genesis file, and everyone's secrets.
fn establish(count: usize) -> Result<Demonstration, BenchError> {
    let founders: Vec<_> = (1..=count)
        .map(|number| Founder {
            name: format!("Hospital {number}"),
            kind: OrganisationKind::Hospital,
        })
        .collect();
    // Epochs as long as where people work, not as in a demonstration.
    let parameters = Parameters {
        commands_per_minute_max: u32::MAX,
        epoch_blocks: None,
        ..DEMONSTRATION_PARAMETERS
    };
    Ok(found(&mut rng(), "Benchmark", Clock.now(), &founders, parameters)?)
}

/// Where one node lives.
struct Place {
    folder: PathBuf,
    genesis: PathBuf,
    peer_address: SocketAddr,
    client_address: SocketAddr,
}

impl Place {
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("keepwell.toml")
    }

    /// Writes its keys and its configuration, with what this node `says` beside what all do.
    fn furnish(&self, node: &NodeKeys, says: &str, peers: &str) -> Result<(), BenchError> {
        let keys = self.folder.join("keys");
        fs::create_dir_all(&self.folder)?;
        let operator = Zeroizing::new([9; 32]);
        let operator_path = self.folder.join("operator");
        write_private(&operator_path, &*operator)?;
        node.store(&mut rng(), &keys, &Unlock::Operator(operator), "benchmark", true)?;
        // A debug string of a path is a TOML string: both escape as JSON does.
        let config = format!(
            "folder = {:?}\ngenesis = {:?}\nlisten_peers = \"{}\"\nlisten_clients = \"{}\"\n{says}\n\
             [keys]\nfolder = {keys:?}\noperator_file = {operator_path:?}\n\n{peers}",
            self.data(),
            self.genesis,
            self.peer_address,
            self.client_address,
        );
        Ok(fs::write(self.config(), config)?)
    }

    fn start(&self) -> Result<Process, BenchError> {
        let config = self.config();
        Process::start(&["node", "--config", &config.to_string_lossy()], &self.folder.join("log"))
    }
}

fn peers(nodes: impl Iterator<Item = (PublicKey, SocketAddr)>) -> String {
    let entry = |(key, address): (PublicKey, SocketAddr)| {
        format!("[[peers]]\nvalidator = \"{key}\"\naddress = \"{address}\"\n\n")
    };
    nodes.map(entry).collect()
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(path)?, bytes)
}

//! A consortium of child processes on loopback, founded for one run.
//!
//! Each validator is `keepwell node --config`, with keys, folder and configuration as an operator would
//! have them. What differs from a real consortium is that one party knows all keys, which is how
//! commands of every organisation can be signed here, and that the quota of commands is out of the way.
//! Each organisation enrols one member, who does everything.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
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
    genesis::{DEMONSTRATION_PARAMETERS, Demonstration, DemonstrationNode, Founder, found},
    keys::Unlock,
    random::rng,
};
use keepwell_types::{
    block::Header,
    command::Payload,
    genesis::Parameters,
    id::{ChainId, OrganisationId},
    member::{MemberEnrol, OrganisationKind, Party, Role},
    set::RoleSet,
};
use zeroize::Zeroizing;

use super::{
    BenchError,
    http::{Connection, get},
    process::{Process, Usage},
    scratch::Scratch,
};

/// Longest wait for all validators to be ready.
const READY_MAX: Duration = Duration::from_secs(90);
const READY_POLL: Duration = Duration::from_millis(100);
/// Longest wait for all validators to stand at one height.
const MEET_MAX: Duration = Duration::from_secs(60);

/// The validators, ended when this is dropped.
pub(super) struct Fleet {
    /// In the order of their organisations in the genesis file.
    pub nodes: Vec<Node>,
    /// The digest of the genesis file.
    pub chain: ChainId,
    /// What checks their certificates.
    pub validators: Validators,
    consortium: Arc<Consortium>,
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
    process: Process,
}

impl Fleet {
    /// Founds a consortium of `count` organisations below `dir`, starts its validators, waits until each
    /// is ready, and enrols the members.
    pub(super) async fn start(dir: &Path, count: usize) -> Result<Self, BenchError> {
        let scratch = Scratch::new(dir, "consortium")?;
        let Demonstration { genesis, nodes: founded } = establish(count)?;
        let genesis_path = scratch.path().join("genesis.cbor");
        fs::write(&genesis_path, genesis.encode())?;

        let chain = chain_id(&genesis);
        let ports = free_ports(2 * count)?;
        let (peer_ports, client_ports) = ports.split_at(count);
        let peers = peers(&founded, peer_ports);
        let mut nodes = Vec::with_capacity(count);
        for (index, node) in founded.iter().enumerate() {
            let place = Place {
                folder: scratch.path().join(format!("node-{index}")),
                genesis: &genesis_path,
                peers: &peers,
                peer_address: loopback(peer_ports[index]),
                client_address: loopback(client_ports[index]),
            };
            let administrator = SigningKey::from_seed(&node.administrator);
            nodes.push(Node {
                organisation: node.organisation,
                identity: MemberIdentity::generate(chain, node.organisation),
                custodian: SigningKey::from_seed(&node.keys.custodian),
                address: place.client_address,
                administrator: Actor::new(Party::Administrator(node.organisation), administrator),
                process: place.start(node)?,
            });
        }
        let validators = Validators::of(&genesis)?;
        let consortium = Arc::new(Consortium::new(genesis)?);
        let mut fleet = Self { nodes, chain, validators, consortium, scratch };
        fleet.wait_until_ready().await?;
        fleet.enrol().await?;
        Ok(fleet)
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
        self.nodes.iter_mut().try_for_each(|node| node.process.check())
    }

    /// What each validator has used.
    pub(super) fn usage(&self) -> Result<Vec<Usage>, BenchError> {
        self.nodes.iter().map(|node| node.process.usage()).collect()
    }

    /// Leaves the folders on the disk; says where.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.scratch.keep();
        self.scratch.path().to_path_buf()
    }

    /// The newest header of every validator, proven final.
    pub(super) async fn tips(&self) -> Result<Vec<Header>, BenchError> {
        let mut tips = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let answer = Connection::open(node.address).await?.ask(&get("/v1/tip", None)).await?;
            let certified = CertifiedHeader::decode(&answer.ok("GET /v1/tip")?)?;
            tips.push(certified.verify_by(&self.validators)?.header().clone());
        }
        Ok(tips)
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

    async fn wait_until_ready(&mut self) -> Result<(), BenchError> {
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
        for node in &self.nodes {
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

/// Where one validator lives.
struct Place<'a> {
    folder: PathBuf,
    genesis: &'a Path,
    peers: &'a str,
    peer_address: SocketAddr,
    client_address: SocketAddr,
}

impl Place<'_> {
    fn start(&self, node: &DemonstrationNode) -> Result<Process, BenchError> {
        let keys = self.folder.join("keys");
        fs::create_dir_all(&self.folder)?;
        let operator = Zeroizing::new([9; 32]);
        let operator_path = self.folder.join("operator");
        write_private(&operator_path, &*operator)?;
        node.keys.store(&mut rng(), &keys, &Unlock::Operator(operator), "benchmark", true)?;
        let config = self.folder.join("keepwell.toml");
        fs::write(&config, self.config(&keys, &operator_path))?;
        let config = config.to_string_lossy();
        Process::start(&["node", "--config", &config], &self.folder.join("log"))
    }

    fn config(&self, keys: &Path, operator: &Path) -> String {
        // A debug string of a path is a TOML string: both escape as JSON does.
        format!(
            "folder = {:?}\ngenesis = {:?}\nlisten_peers = \"{}\"\nlisten_clients = \"{}\"\n\n\
             [keys]\nfolder = {keys:?}\noperator_file = {operator:?}\n\n{}",
            self.folder.join("data"),
            self.genesis,
            self.peer_address,
            self.client_address,
            self.peers,
        )
    }
}

fn peers(founded: &[DemonstrationNode], ports: &[u16]) -> String {
    let entry = |(node, port): (&DemonstrationNode, &u16)| {
        let (key, address) = (node.keys.consensus_key(), loopback(*port));
        format!("[[peers]]\nvalidator = \"{key}\"\naddress = \"{address}\"\n\n")
    };
    founded.iter().zip(ports).map(entry).collect()
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Ports that were free a moment ago: all are held until all are known.
fn free_ports(count: usize) -> Result<Vec<u16>, BenchError> {
    let held: Vec<_> =
        (0..count).map(|_| TcpListener::bind(loopback(0))).collect::<Result<_, _>>()?;
    Ok(held.iter().map(|it| it.local_addr().map(|at| at.port())).collect::<Result<_, _>>()?)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(path)?, bytes)
}

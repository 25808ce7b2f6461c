//! A consortium of four nodes in one process, and people who talk to it over HTTP.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use commonware_runtime::{Runner as _, Supervisor as _, tokio as runtime};
use keepwell_crypto::{
    command::{chain_id, sign},
    request::{self, body_digest},
    sign::SigningKey,
};
use keepwell_merkle::receipt::{Receipt, VerifiedReceipt};
use keepwell_node::{
    api::error::ErrorBody,
    clock::Clock,
    config::{CustodyConfig, CustodyLimits, KeysConfig, NodeConfig, PeerConfig},
    genesis::{DEMONSTRATION_PARAMETERS, Demonstration, Founder, found},
    keys::{KeyFiles, Unlock},
    ports,
    random::rng,
    run::{Known, NodeError, RunningNode, start},
};
use keepwell_types::{
    command::{COMMAND_VERSION, Command, Payload, SignedCommand},
    encoding::{List, Text},
    genesis::{Genesis, Parameters},
    id::{ChainId, CommandId, OrganisationId},
    limits::RECEIPT_BYTES_MAX,
    member::{OrganisationKind, Party},
    time::{BlockTime, Window},
    wire::Request,
};
use rand_core::Rng as _;
use reqwest::{Method, StatusCode};
use zeroize::Zeroizing;

/// Runs `test` in a runtime whose storage is in `folder`.
pub fn run<F: Future<Output = ()>>(folder: &Path, test: impl FnOnce(runtime::Context) -> F) {
    let config =
        runtime::Config::new().with_storage_directory(folder.join("engine")).with_worker_threads(2);
    runtime::Runner::new(config).start(test);
}

/// Random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rng().fill_bytes(&mut bytes);
    bytes
}

/// The machine's clock.
pub fn now() -> BlockTime {
    Clock.now()
}

/// Whoever signs.
pub struct Person {
    pub party: Party,
    pub key: SigningKey,
}

impl Person {
    pub fn new(party: Party) -> Self {
        Self { party, key: SigningKey::from_seed(&random()) }
    }
}

/// Four nodes.
pub struct Consortium {
    pub genesis: Genesis,
    pub chain: ChainId,
    pub nodes: Vec<Option<RunningNode>>,
    pub urls: Vec<String>,
    pub organisations: Vec<OrganisationId>,
    pub administrators: Vec<Person>,
    pub custodians: Vec<SigningKey>,
    folder: PathBuf,
    context: runtime::Context,
    configs: Vec<NodeConfig>,
    http: reqwest::Client,
}

impl Consortium {
    /// Founds a consortium in `folder`, and starts its nodes.
    pub async fn start(context: runtime::Context, folder: &Path) -> Self {
        Self::start_as(context, folder, |_| {}).await
    }

    /// [`Self::start`], of a genesis file that says more.
    pub async fn start_as(
        context: runtime::Context,
        folder: &Path,
        say_more: impl FnOnce(&mut Genesis),
    ) -> Self {
        let founders = [
            ("Hospital", OrganisationKind::Hospital),
            ("Clinic", OrganisationKind::Clinic),
            ("Laboratory", OrganisationKind::Laboratory),
            ("Insurer", OrganisationKind::Insurer),
        ]
        .map(|(name, kind)| Founder { name: name.to_owned(), kind });
        // Short epochs: every test goes through many.
        let parameters = Parameters { epoch_blocks: Some(16), ..DEMONSTRATION_PARAMETERS };
        let Demonstration { mut genesis, nodes } =
            found(&mut rng(), "test", now(), &founders, parameters).unwrap();
        say_more(&mut genesis);
        let genesis_path = folder.join("genesis.cbor");
        std::fs::write(&genesis_path, genesis.encode()).unwrap();
        let ports = ports::free(nodes.len()).unwrap();
        let ports: Vec<_> =
            ports.into_iter().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
        let peers: Vec<_> = nodes
            .iter()
            .zip(&ports)
            .map(|(node, address)| PeerConfig {
                validator: node.keys.consensus_key(),
                address: *address,
            })
            .collect();
        let config = |at: usize| NodeConfig {
            folder: folder.join(format!("node-{at}")),
            genesis: genesis_path.clone(),
            organisation: None,
            keys: KeysConfig {
                folder: folder.join(format!("keys-{at}")),
                operator_file: None,
                operator_token: None,
            },
            listen_peers: ports[at],
            listen_clients: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            peers: peers.clone(),
            custody: CustodyConfig::default(),
            custodians: Vec::new(),
            custody_check_s: 1_000_000,
            archive: true,
            custody_limits: CustodyLimits::default(),
            traces: None,
            leader_timeout_ms: 3_000,
            certification_timeout_ms: 4_000,
        };
        let configs: Vec<_> = (0..nodes.len()).map(config).collect();
        for (node, config) in nodes.iter().zip(&configs) {
            node.keys.store(&mut rng(), &config.keys.folder, &unlock(), "test", true).unwrap();
        }
        let administrators = nodes
            .iter()
            .map(|node| Person {
                party: Party::Administrator(node.organisation),
                key: SigningKey::from_seed(&node.administrator),
            })
            .collect();
        let custodians =
            nodes.iter().map(|node| SigningKey::from_seed(&node.keys.custodian)).collect();
        let mut consortium = Self {
            chain: chain_id(&genesis),
            organisations: nodes.iter().map(|node| node.organisation).collect(),
            urls: vec![String::new(); nodes.len()],
            nodes: nodes.iter().map(|_| None).collect(),
            folder: folder.to_path_buf(),
            genesis,
            administrators,
            custodians,
            context,
            configs,
            // A connection that the node closes as idle would fail the next request on it.
            http: reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap(),
        };
        for at in 0..nodes.len() {
            consortium.start_node(at).await.unwrap();
        }
        // Nobody is a member before the founding entries, which are block 1.
        for node in consortium.nodes.iter().flatten() {
            node.core.watch_tip().wait_for(|tip| tip.height().0 >= 1).await.unwrap();
        }
        consortium
    }

    /// Starts one node, from its key files and its folder.
    pub async fn start_node(&mut self, at: usize) -> Result<(), NodeError> {
        let node = self.try_start(at).await?;
        self.urls[at] = format!("http://{}", node.addresses.clients);
        self.nodes[at] = Some(node);
        Ok(())
    }

    /// Tries to start another node with the configuration of this one.
    pub async fn try_start(&self, at: usize) -> Result<RunningNode, NodeError> {
        self.try_start_with(self.configs[at].clone()).await
    }

    /// Tries to start a node.
    pub async fn try_start_with(&self, config: NodeConfig) -> Result<RunningNode, NodeError> {
        let keys = KeyFiles::new(config.keys.folder.clone(), unlock());
        start(self.context.child("test"), config, keys, Known::default()).await
    }

    /// The configuration of a node.
    pub fn config(&self, at: usize) -> NodeConfig {
        self.configs[at].clone()
    }

    /// Where everything is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A running node.
    pub fn node(&self, at: usize) -> &RunningNode {
        self.nodes[at].as_ref().unwrap()
    }

    /// Ends a node as a crash would.
    pub async fn abort(&mut self, at: usize) {
        self.nodes[at].take().unwrap().abort().await;
    }

    /// Stops all nodes.
    pub async fn stop(self) {
        for node in self.nodes.into_iter().flatten() {
            node.stop().await;
        }
    }

    /// A command, signed by these.
    pub fn command(&self, payload: Payload, signers: &[&Person]) -> SignedCommand {
        let now = now();
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.chain,
            id: CommandId(random()),
            window: Window { from: BlockTime(now.0 - 2_000), until: now.plus_ms(60_000) },
            signers: List::from_vec(signers.iter().map(|it| it.party).collect()).unwrap(),
            payload,
            part: None,
        };
        sign(command, &signers.iter().map(|it| &it.key).collect::<Vec<_>>())
    }

    /// Sends a command to a node, and checks the receipt.
    pub async fn submit(&self, at: usize, command: &SignedCommand) -> VerifiedReceipt {
        let response = self.post_command(at, command.encode()).await;
        assert_eq!(response.status(), StatusCode::OK, "{:?}", response.text().await);
        let receipt: Receipt =
            keepwell_types::decode(&response.bytes().await.unwrap(), RECEIPT_BYTES_MAX).unwrap();
        let verified = receipt.verify(&self.genesis).unwrap();
        // Other nodes hear of it a moment later; what a test asks them next is about it.
        let height = verified.outcome().location.height;
        for node in self.nodes.iter().flatten() {
            let mut tip = node.core.watch_tip();
            let there = tip.wait_for(|tip| tip.height() >= height);
            let _ = tokio::time::timeout(std::time::Duration::from_secs(20), there).await;
        }
        verified
    }

    /// Sends a command that is to be accepted.
    pub async fn accepted(&self, at: usize, payload: Payload, signers: &[&Person]) {
        let receipt = self.submit(at, &self.command(payload, signers)).await;
        assert!(receipt.outcome().verdict.is_accepted(), "{:?}", receipt.outcome());
    }

    /// Sends bytes as a command.
    pub async fn post_command(&self, at: usize, bytes: Vec<u8>) -> reqwest::Response {
        let url = format!("{}/v1/commands", self.urls[at]);
        self.http.post(url).body(bytes).send().await.unwrap()
    }

    /// The header of a request to a node.
    pub fn authorization(&self, at: usize, person: &Person, target: &str, body: &[u8]) -> String {
        self.authorize(
            person,
            Request {
                chain: self.chain,
                node: self.organisations[at],
                party: person.party,
                id: CommandId(random()),
                at: now(),
                target: Text::from_string(target.to_owned()).unwrap(),
                body: body_digest(body),
            },
        )
    }

    /// The header of any request.
    pub fn authorize(&self, person: &Person, request: Request) -> String {
        let signed = request::sign(&person.key, request);
        let text = BASE64_URL_SAFE_NO_PAD.encode(keepwell_types::encode(&signed));
        format!("Keepwell {text}")
    }

    /// Asks a node, with a body that is signed.
    pub async fn ask(
        &self,
        at: usize,
        person: &Person,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> reqwest::Response {
        let header = self.authorization(at, person, &format!("{method} {path}"), &body);
        self.send(at, method, path, header, body).await
    }

    /// Asks a node, with a body that is streamed and not signed.
    pub async fn put_streamed(
        &self,
        at: usize,
        person: &Person,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        let header = self.authorization(at, person, &format!("PUT {path}"), &[]);
        self.send(at, Method::PUT, path, header, body).await
    }

    /// Asks a node with this header.
    pub async fn send(
        &self,
        at: usize,
        method: Method,
        path: &str,
        header: String,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        let url = format!("{}{path}", self.urls[at]);
        let request = self.http.request(method, url).header("authorization", header);
        request.body(body).send().await.unwrap()
    }

    /// Gets bytes from a node.
    pub async fn get(&self, at: usize, person: &Person, path: &str) -> reqwest::Response {
        self.ask(at, person, Method::GET, path, Vec::new()).await
    }

    /// Gets a page that needs no signature.
    pub async fn open_page(&self, at: usize, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.urls[at])).send().await.unwrap()
    }
}

/// What locks the key files of the tests.
pub fn unlock() -> Unlock {
    Unlock::Operator(Zeroizing::new([7; 32]))
}

/// The error in an answer.
pub async fn error_of(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body: ErrorBody =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}"));
    assert!(!body.message.is_empty());
    (status, body.error)
}

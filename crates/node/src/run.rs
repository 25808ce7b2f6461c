//! Running a node: everything of one validator, started in order and ended together.
//!
//! ```text
//!  folder (locked) ─> custody ─> engine ─> release, interface
//!        └────────────── one tree of tasks ──────────────┘
//! ```
//!
//! Several nodes can run under one runtime: each has its own folder, and its own names in the runtime's
//! storage.
//!
//! # Invariants
//!
//! * All tasks of a node are in one tree. Aborting it ends all of them at once, as a crash would, and
//!   loses nothing that was acknowledged.
//! * A node whose keys are not those of its seat does not start. One without a seat follows the ledger, and its
//!   configuration says whose it is: it is to join, or has left.

use std::{
    convert::Infallible,
    future::pending,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Weak},
    time::Duration,
};

use commonware_runtime::{Handle, Metrics as _, Spawner as _, Supervisor as _, tokio::Context};
use keepwell_crypto::{
    command::chain_id,
    sign::SigningKey,
    threshold::{Committee, CommitteeError},
};
pub use keepwell_engine::protocol::{Known, Outdated};
use keepwell_engine::{
    admission::Admission,
    core::Core,
    index::{Index, IndexError},
    network::{self, Links, StartError},
    reader::Reader,
    wiring::Settings,
};
use keepwell_types::{
    genesis::GenesisFault,
    id::{Height, OrganisationId, PublicKey},
    validators::ValidatorSet,
};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot, watch},
    time::{sleep, timeout},
};

use crate::{
    api::{self, EVENT_STREAMS_MAX, Node, requests::Requests, server},
    clock::Clock,
    config::{ConfigError, CustodyConfig, NodeConfig},
    custody::{
        Custody, Identity, close, erase, follow,
        pending::{Pending, PendingError},
        repair::{Lenders, Repairer},
        store::{OpenError, Store},
    },
    folder::{Folder, FolderError},
    keys::{KeyFiles, KeysError, NodeKeys},
    matching::MatchingService,
    metrics::{About, Metrics},
    receipts::Receipts,
    release::ReleaseService,
    reshare,
    shares::Shares,
    tls::{Certificate, TlsError},
};

/// How long a node that stops or is aborted may take to let go of its folder.
const END: Duration = Duration::from_secs(10);
const END_POLL: Duration = Duration::from_millis(10);

/// A node could not be started, and what its operator does about it.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The key files.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Keys of someone else.
    #[error(
        "the {kind} key in the key files is {given}, and this validator's seat has {expected}; check which key files the configuration names"
    )]
    WrongKey {
        /// Which key.
        kind: &'static str,
        /// In the key files.
        given: PublicKey,
        /// Of the seat.
        expected: PublicKey,
    },
    /// Not a validator.
    #[error(
        "the consensus key {0} is not of a validator; check which key files and which genesis file the configuration names. A node that is to join, or has left, says whose it is with `organisation` in its configuration"
    )]
    NotValidator(PublicKey),
    /// Somebody else's seat.
    #[error(
        "the configuration says that this is a node of organisation {given}, and the seat of its consensus key is {expected}'s; correct or remove `organisation`"
    )]
    OtherOrganisation {
        /// In the configuration.
        given: OrganisationId,
        /// Of the seat.
        expected: OrganisationId,
    },
    /// The committee's keys.
    #[error(
        "the committee's keys in the genesis file do not belong together: {0}; get the consortium's own file"
    )]
    Committee(#[from] CommitteeError),
    /// The genesis file contradicts itself.
    #[error("{0}; get the consortium's own file")]
    Genesis(#[from] GenesisFault),
    /// An address is taken or not this machine's.
    #[error(
        "{what} cannot listen on {address}: {source}; stop what uses the port, or configure another one"
    )]
    Listen {
        /// Peers or clients.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate for clients.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store of sealed objects.
    #[error(transparent)]
    Custody(#[from] OpenError),
    /// Its index.
    #[error(transparent)]
    CustodyIndex(#[from] PendingError),
    /// It would pass over blocks that say what becomes of them.
    #[error(
        "this node has sealed objects, and must execute all blocks to know what becomes of them; take `archive = false` out of its configuration, or give it an empty folder"
    )]
    HasObjects,
    /// The index of final blocks.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] StartError),
    /// The rules of the newest blocks are not known to this program.
    #[error(transparent)]
    Outdated(#[from] Outdated),
    /// The runtime ended while the node started.
    #[error("the runtime ended while the node started; the log says why")]
    Runtime,
}

/// Where a node is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// By other validators.
    pub peers: SocketAddr,
    /// By clients.
    pub clients: SocketAddr,
}

/// A running node. Dropping it leaves the node running; [`Self::stop`] and [`Self::abort`] end it.
pub struct RunningNode {
    /// Where it is reached.
    pub addresses: Addresses,
    /// What it shows to clients, where it speaks TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// What its parts share.
    pub core: Arc<Core>,
    /// Reads what is final.
    pub reader: Arc<dyn Reader>,
    /// Takes commands in.
    pub admission: Admission,
    custody: Weak<Custody>,
    stopping: watch::Sender<bool>,
    served: oneshot::Receiver<()>,
    handle: Handle<Option<Outdated>>,
    /// Whether the node has ended by itself. Its handle says so once.
    has_ended: bool,
}

impl RunningNode {
    /// Ends the node: requests that are under way are finished, as far as that takes seconds.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        // The server ends in any case; an error means that it has.
        let _ = timeout(END, &mut self.served).await;
        self.abort().await;
    }

    /// Ends the node at once, as a crash would, and returns when it has let go of its folder.
    pub async fn abort(self) {
        let Self { core, reader, admission, custody, handle, has_ended, .. } = self;
        handle.abort();
        drop((reader, admission));
        let shared: Weak<Core> = Arc::downgrade(&core);
        drop(core);
        let gone = async {
            if !has_ended {
                let _ = handle.await;
            }
            // What the tasks shared holds the indexes open; they drop it as they end.
            while shared.strong_count() + custody.strong_count() > 0 {
                sleep(END_POLL).await;
            }
        };
        if timeout(END, gone).await.is_err() {
            tracing::warn!("the node ended, and something still holds on to it");
        }
    }

    /// Looks at all sealed objects of this node every so long, and repairs them with what `lenders` have. It goes on
    /// for as long as it is polled; whoever stops the node drops it before.
    pub fn keep_repaired<L: Lenders>(
        &self,
        lenders: L,
        every: Duration,
    ) -> impl Future<Output = Infallible> + use<L> {
        let (core, reader) = (self.core.clone(), self.reader.clone());
        let custody = self.custody.upgrade();
        async move {
            // Without it, the node has ended.
            let Some(custody) = custody else { return pending().await };
            Repairer::new(custody, core, reader, Clock, lenders).keep_repaired(every).await
        }
    }

    /// Resolves when the node has ended by itself: because newer rules hold than its program knows, or because
    /// something is broken. To be asked once.
    pub async fn ended(&mut self) -> Option<Outdated> {
        let outdated = (&mut self.handle).await.ok().flatten();
        self.has_ended = true;
        outdated
    }
}

/// What starting made.
struct Parts {
    addresses: Addresses,
    certificate: Option<Arc<Certificate>>,
    organisation: OrganisationId,
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    admission: Admission,
    custody: Weak<Custody>,
    served: oneshot::Receiver<()>,
}

/// What the node's first task holds.
struct Held {
    validator: Handle<()>,
    folder: Folder,
}

/// Starts a node, whose program knows these versions of the protocol.
pub async fn start(
    context: Context,
    config: NodeConfig,
    files: KeyFiles,
    known: Known,
) -> Result<RunningNode, NodeError> {
    let (stopping, stop) = watch::channel(false);
    let (ready, started) = oneshot::channel();
    let keys = files.load()?;
    let name = label(&keys.consensus_key());
    let context = context.child("node").with_attribute("validator", name);
    let handle = context.spawn(move |context| async move {
        let assembled = tokio::select! {
            assembled = assemble(&context, config, keys, files, stop, known.clone()) => assembled,
            outdated = known.ended() => Err(outdated.into()),
        };
        let mut outdated = None;
        match assembled {
            Ok((parts, Held { validator, folder })) => {
                if ready.send(Ok(parts)).is_ok() {
                    // The task tree lives, and the folder is held, as long as consensus runs.
                    tokio::select! {
                        _ = validator => tracing::error!("consensus ended; the node ends with it"),
                        it = known.ended() => outdated = Some(it),
                    }
                }
                drop(folder);
            }
            Err(error) => {
                // Whoever asked has gone, and with it the wish for a node.
                let _ = ready.send(Err(error));
            }
        }
        outdated
    });
    let Parts { addresses, certificate, organisation, core, reader, admission, custody, served } =
        started.await.map_err(|_| NodeError::Runtime)??;
    let (clients, peers) = (addresses.clients, addresses.peers);
    tracing::info!(%organisation, %clients, %peers, "the node runs");
    Ok(RunningNode {
        addresses,
        certificate,
        organisation,
        core,
        reader,
        admission,
        custody,
        stopping,
        served,
        handle,
        has_ended: false,
    })
}

async fn assemble(
    context: &Context,
    config: NodeConfig,
    keys: NodeKeys,
    files: KeyFiles,
    stopping: watch::Receiver<bool>,
    known: Known,
) -> Result<(Parts, Held), NodeError> {
    config.check()?;
    let genesis = config.read_genesis()?;
    genesis.check()?;
    // The joint key, and so its id, stays when validators change.
    let committee = Committee::new(&genesis.committee)?.id();
    let certificate = config.tls.as_ref().map(Certificate::open).transpose()?;

    let folder = Folder::open(&config.folder)?;
    let clients = listen("the interface for clients", config.listen_clients)?;
    // The engine opens this port by itself, and would take the whole process down over it.
    let peers = local_address(&listen("the link to peers", config.listen_peers)?)?;

    let index = Index::open(&folder.index())?;
    let newest = index.handovers(0)?.pop().map(|it| it.set);
    let set = newest.unwrap_or_else(|| ValidatorSet::of(&genesis));
    let organisation = check_keys(&set, &keys, config.organisation)?;
    config.check_peers(&set)?;
    if set.index_of(&keys.release_key()).is_none() {
        tracing::info!(%organisation, "this node has no seat among the validators: it follows them");
    }

    let identity = Identity {
        chain: chain_id(&genesis),
        committee,
        organisation,
        key: SigningKey::from_seed(&keys.custodian),
    };
    let store = open_store(&config.custody, &folder)?;
    let pending = Pending::open(&folder.custody_index())?;
    let begins = !config.archive && index.height()? == Height(0) && index.floor()?.is_none();
    if begins && pending.cursor()? > Height(0) {
        return Err(NodeError::HasObjects);
    }
    let custody = Custody::new(identity, store, pending, config.custody_limits);
    let custody = Arc::new(custody);

    let links = Links {
        secret: keys.consensus.clone(),
        listen: config.listen_peers,
        addresses: config.peers.iter().map(|peer| (peer.validator, peer.address)).collect(),
        archive: config.archive,
    };
    let settings = Settings {
        leader_timeout: config.leader_timeout(),
        certification_timeout: config.certification_timeout(),
        known: known.clone(),
        ..Settings::local(prefix(&keys.consensus_key()))
    };
    let validator =
        network::start(context.child("validator"), genesis, links, index, settings).await?;
    let (core, reader, admission) = (validator.core, validator.reader, validator.admission);
    let shares = Shares::new(files, core.clone(), keys.release.clone());

    let clock = Clock;
    let metrics = context.child("metrics");
    let about = About {
        validator: label(&keys.consensus_key()),
        release: keys.release_key(),
        known,
        folder: folder.path().to_path_buf(),
        certificate: certificate.clone(),
    };
    let node = Arc::new(Node {
        release: ReleaseService::new(core.clone(), reader.clone(), shares.watch(), clock),
        matching: MatchingService::new(core.clone(), reader.clone(), shares.watch(), clock),
        receipts: Receipts::new(core.clone(), reader.clone()),
        heads: api::logs::Heads::default(),
        requests: Requests::default(),
        metrics: Metrics::new(move || metrics.encode(), about),
        streams: Semaphore::new(EVENT_STREAMS_MAX),
        core: core.clone(),
        reader: reader.clone(),
        admission: admission.clone(),
        custody: custody.clone(),
        clock,
        stopping: stopping.clone(),
    });
    let deputy = reshare::keep_resharing(
        organisation,
        shares,
        core.clone(),
        reader.clone(),
        admission.clone(),
        clock,
    );
    context.child("reshare").spawn(move |_| deputy);
    let follower = follow::follow(custody.clone(), core.clone(), reader.clone());
    context.child("custody").spawn(move |_| follower);
    let eraser =
        erase::keep_erased(custody.clone(), core.clone(), reader.clone(), admission.clone());
    context.child("eraser").spawn(move |_| eraser);
    let closer =
        close::keep_closed(custody.clone(), core.clone(), reader.clone(), admission.clone());
    context.child("closer").spawn(move |_| closer);
    let shared = Arc::downgrade(&custody);
    let sweeper = follow::keep_swept(custody, core.clone(), clock);
    context.child("sweeper").spawn(move |_| sweeper);

    let addresses = Addresses { peers, clients: local_address(&clients)? };
    let clients = to_tokio(clients, addresses.clients)?;
    let (done, served) = oneshot::channel();
    let tls = certificate.as_ref().map(Certificate::acceptor);
    if let Some(certificate) = certificate.clone() {
        context.child("certificate").spawn(move |_| certificate.keep());
    }
    context.child("http").spawn(move |_| async move {
        server::serve(clients, tls, api::router(node), stopping).await;
        // Nobody may be waiting for it.
        let _ = done.send(());
    });
    let custody = shared;
    let parts =
        Parts { addresses, certificate, organisation, core, reader, admission, custody, served };
    Ok((parts, Held { validator: validator.handle, folder }))
}

/// How metrics name a validator.
fn label(validator: &PublicKey) -> String {
    validator.to_string()[..8].to_owned()
}

/// Begins the names of a node's partitions in the runtime's storage.
pub fn prefix(validator: &PublicKey) -> String {
    format!("node-{}", &validator.to_string()[..16])
}

/// Whose node it is, if its keys are those of its seat among those who validate, or if it has none and is said to be
/// `organisation`'s.
pub fn check_keys(
    set: &ValidatorSet,
    keys: &NodeKeys,
    organisation: Option<OrganisationId>,
) -> Result<OrganisationId, NodeError> {
    let consensus = keys.consensus_key();
    let seat = set.seats.iter().map(|seat| seat.validator).find(|it| it.consensus == consensus);
    let Some(seat) = seat else {
        return organisation.ok_or(NodeError::NotValidator(consensus));
    };
    check_key("release", keys.release_key(), seat.release)?;
    match organisation.filter(|given| *given != seat.organisation) {
        Some(given) => Err(NodeError::OtherOrganisation { given, expected: seat.organisation }),
        None => Ok(seat.organisation),
    }
}

fn check_key(kind: &'static str, given: PublicKey, expected: PublicKey) -> Result<(), NodeError> {
    if given == expected { Ok(()) } else { Err(NodeError::WrongKey { kind, given, expected }) }
}

fn open_store(config: &CustodyConfig, folder: &Folder) -> Result<Store, OpenError> {
    match config {
        CustodyConfig::Folder(None) => Store::in_folder(&folder.custody()),
        CustodyConfig::Folder(Some(folder)) => Store::in_folder(folder),
        CustodyConfig::S3(config) => Store::in_s3(config),
    }
}

fn listen(what: &'static str, address: SocketAddr) -> Result<StdListener, NodeError> {
    StdListener::bind(address).map_err(|source| NodeError::Listen { what, address, source })
}

fn local_address(listener: &StdListener) -> Result<SocketAddr, NodeError> {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let what = "the socket";
    listener.local_addr().map_err(|source| NodeError::Listen { what, address: unspecified, source })
}

fn to_tokio(listener: StdListener, address: SocketAddr) -> Result<TcpListener, NodeError> {
    let what = "the interface for clients";
    listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener))
        .map_err(|source| NodeError::Listen { what, address, source })
}

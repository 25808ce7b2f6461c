//! How one validator is put together: channels, consensus, block store, execution, admission.
//!
//! ```text
//!  channel 0 votes ─┐
//!          1 certs ─┼─> epochs: simplex ──> deferred ──> stateful ──> Application
//!          2 fetch ─┘              │                       ^
//!          3 backfill ──────> marshal (final blocks, in order) ──┴─> Flusher (acknowledges when durable)
//!          4 blocks ────> broadcast
//!          5 sync ──────> what others ask of the state, and what a new validator asks of them
//!          6 reserved
//!          7 commands ──> admission ──> mempool
//! ```
//!
//! Generic over the runtime and the network, so that the simulator runs this very code. Aborting the
//! handle of a [`Validator`] stops everything in it at once, like a crash.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex},
    time::Duration,
};

use commonware_actor::Feedback;
use commonware_broadcast::buffered;
use commonware_consensus::{
    Reporter, Reporters,
    marshal::{
        self, Update,
        core::Actor as MarshalActor,
        resolver::p2p as marshal_resolver,
        standard::{Deferred, Standard},
    },
    simplex,
    types::{FixedEpocher, Height as EngineHeight, ViewDelta},
};
use commonware_cryptography::{
    Digested, Digestible as _, Signer as _, certificate::Verifier as _, ed25519,
};
use commonware_glue::stateful::{
    Config as StatefulConfig, PruneConfig, Stateful, SyncPlan,
    db::{DatabaseSet, SyncEngineConfig},
};
use commonware_p2p::{Blocker, Provider, Receiver, Sender, max_message_size, utils::mux::prefixed};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock, Handle, Metrics, Quota, Spawner, Storage, buffer::paged::CacheRef,
};
use commonware_storage::{archive::prunable, translator::TwoCap};
use commonware_utils::{
    Acknowledgement as _, NZDuration, NZU16, NZU32, NZU64, NZUsize, acknowledgement::Exact,
};
use keepwell_types::{block::SyncTarget, genesis::Genesis, id::Digest, limits::VALIDATORS_MAX};
use rand_core::CryptoRng;
use tokio::sync::mpsc;

use crate::{
    abstention,
    admission::{Admission, FORWARD_BYTES_MAX},
    application::{Application, Scheme},
    block::{Block, EngineDigest, EngineKey},
    core::Core,
    epochs::{self, Parts},
    index::{Index, IndexError},
    pace::Paced,
    protocol::Known,
    reader::{EngineReader, Marshal, Reader},
    replay::Replay,
    sets::Schemes,
    state::{Databases, NoStateSync, StateContext, state_config},
    sync::{self, Beginning, Server, SyncError},
};

/// Pages of 4 KiB that a validator keeps of its blocks and its state. Most of what is read was written
/// within the last minute: values that change with every command are read back from where they were
/// appended. At 1,500 commands a second that is some 60 MiB.
const PAGE_CACHE_PAGES: std::num::NonZeroUsize = NZUsize!(16_384);
/// Final blocks that may be executed before the index is durable.
const PENDING_ACKNOWLEDGEMENTS: usize = 64;
/// How often the index is made durable while blocks come.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// Channels between validators, in the order of [`Channels`], with each peer's quota of messages.
pub fn channels() -> Vec<(u64, Quota)> {
    let quota = Quota::per_second(NZU32!(1_024));
    (0..8).map(|channel| (channel, quota)).collect()
}

/// Bytes of the longest message between validators, however many there are or will be.
pub fn message_bytes_max() -> u32 {
    let validators = VALIDATORS_MAX as u32;
    let limit = max_message_size(&[
        // Each message of consensus goes by the subchannel of its epoch.
        prefixed(simplex::max_payload_size::<Scheme, EngineDigest>(validators)),
        marshal::max_payload_size::<Standard<Block>, Scheme>(validators, &()),
    ]);
    limit.max(FORWARD_BYTES_MAX as u32)
}

/// A validator's ends of the channels.
pub struct Channels<S, R> {
    votes: (S, R),
    certificates: (S, R),
    fetch: (S, R),
    backfill: (S, R),
    blocks: (S, R),
    sync: (S, R),
    /// Registered so that its number is taken; nothing is sent on it yet.
    _reserved: (S, R),
    commands: (S, R),
}

impl<S, R> Channels<S, R> {
    /// Takes the ends in the order of [`channels`].
    pub fn new(ends: impl IntoIterator<Item = (S, R)>) -> Self {
        let mut ends = ends.into_iter();
        let mut next = || ends.next().expect("one end for each of `channels`");
        Self {
            votes: next(),
            certificates: next(),
            fetch: next(),
            backfill: next(),
            blocks: next(),
            sync: next(),
            _reserved: next(),
            commands: next(),
        }
    }
}

/// What one validator chooses for itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Begins the names of its partitions in the runtime's storage.
    pub prefix: String,
    /// How long a view waits for its leader.
    pub leader_timeout: Duration,
    /// How long a view waits for its certificate.
    pub certification_timeout: Duration,
    /// Which versions of the protocol its program knows.
    pub known: Known,
    /// Whom it asks for their state when it is new; nobody where it executes all blocks.
    pub begin_from: Vec<EngineKey>,
    /// Added to the clock when it leads; not zero only in tests of a bad clock.
    pub clock_skew_ms: i64,
}

impl Settings {
    /// Settings for links of some milliseconds.
    pub fn local(prefix: String) -> Self {
        Self {
            prefix,
            leader_timeout: Duration::from_secs(3),
            certification_timeout: Duration::from_secs(4),
            known: Known::default(),
            begin_from: Vec::new(),
            clock_skew_ms: 0,
        }
    }
}

/// A running validator.
pub struct Validator {
    /// Ends when consensus ends; aborting it stops everything in the validator.
    pub handle: Handle<()>,
    /// What its parts share.
    pub core: Arc<Core>,
    /// Reads what is final.
    pub reader: Arc<dyn Reader>,
    /// Takes commands in.
    pub admission: Admission,
}

pub(crate) fn archive_config<C>(
    prefix: &str,
    name: &str,
    page_cache: CacheRef,
    codec_config: C,
) -> prunable::Config<TwoCap, C> {
    prunable::Config {
        translator: TwoCap,
        metadata_partition: format!("{prefix}-{name}-metadata"),
        key_partition: format!("{prefix}-{name}-key"),
        key_page_cache: page_cache,
        value_partition: format!("{prefix}-{name}-value"),
        compression: None,
        codec_config,
        items_per_section: NZU64!(64),
        key_write_buffer: NZUsize!(1 << 16),
        value_write_buffer: NZUsize!(1 << 20),
        replay_buffer: NZUsize!(1 << 20),
    }
}

/// Starts a validator; `listener`, if there is one, hears what the block store reports.
#[allow(clippy::too_many_arguments, reason = "each is a different part of the machine under it")]
#[allow(clippy::too_many_lines, reason = "wiring: one screen would only hide its order")]
pub async fn start<E, P, B, S, R, X>(
    context: E,
    secret: ed25519::PrivateKey,
    genesis: Genesis,
    index: Index,
    peers: P,
    blocker: B,
    channels: Channels<S, R>,
    settings: Settings,
    listener: Option<X>,
) -> Result<Validator, SyncError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    P: Provider<PublicKey = EngineKey>,
    B: Blocker<PublicKey = EngineKey> + Sync,
    S: Sender<PublicKey = EngineKey>,
    R: Receiver<PublicKey = EngineKey>,
    X: Reporter<Activity = Update<Block>>,
{
    let Settings {
        prefix,
        leader_timeout,
        certification_timeout,
        known,
        begin_from,
        clock_skew_ms,
    } = settings;
    let page_cache = CacheRef::new(NZU16!(4096), PAGE_CACHE_PAGES);
    let mailbox = NZUsize!(1024);
    let buffer_bytes = NZUsize!(1 << 20);
    let me = secret.public_key();

    let server = Server::default();
    let fetcher = sync::start(
        context.child("sync"),
        me.clone(),
        peers.clone(),
        blocker.clone(),
        server.clone(),
        channels.sync,
    );
    let plan = SyncPlan::init(context.child("plan"), prefix.clone()).await;
    let beginning = Beginning {
        genesis: &genesis,
        prefix: &prefix,
        index: &index,
        peers: &begin_from,
        fetcher: &fetcher,
    };
    let plan = sync::begin(context.child("begin"), &page_cache, plan, beginning).await?;

    let resolver = marshal_resolver::init(
        context.child("marshal_resolver"),
        marshal_resolver::Config {
            public_key: me.clone(),
            peer_provider: peers.clone(),
            blocker: blocker.clone(),
            mailbox_size: mailbox,
            fetch_timeout: NZDuration!(Duration::from_secs(5)),
            fetch_retry_delay: Duration::from_millis(100),
            priority_requests: false,
            priority_responses: false,
        },
        channels.backfill,
    );
    let (broadcast, buffer) = buffered::Engine::new(
        context.child("broadcast"),
        buffered::Config {
            public_key: me,
            mailbox_size: mailbox,
            deque_size: 16,
            priority: true,
            codec_config: (),
            peer_provider: peers,
            strategy: Sequential,
        },
    );
    broadcast.start(channels.blocks);

    let finalizations = prunable::Archive::init(
        context.child("finalizations"),
        archive_config(
            &prefix,
            "finalizations",
            page_cache.clone(),
            Scheme::certificate_codec_config_unbounded(),
        ),
    )
    .await
    .expect("the store of certificates opens; a disk that fails stops the validator");
    let blocks = prunable::Archive::init(
        context.child("blocks"),
        archive_config(&prefix, "blocks", page_cache.clone(), ()),
    )
    .await
    .expect("the store of blocks opens; a disk that fails stops the validator");

    let genesis_block = genesis_block::<E>(&genesis);
    let core = Arc::new(Core::new(genesis, genesis_block.clone(), index)?);
    let schemes = Schemes::new(core.sets.clone(), &core.chain, secret);
    let epoch_blocks = NonZeroU64::new(core.sets.epoch_blocks().into())
        .expect("a genesis file gives an epoch EPOCH_BLOCKS_MIN blocks at least");
    let epocher = FixedEpocher::new(epoch_blocks);

    let genesis_digest = genesis_block.digest();
    let (marshal_actor, marshal, floor) = MarshalActor::<_, Standard<Block>, _, _, _, _, _>::init(
        context.child("marshal"),
        finalizations,
        blocks,
        marshal::Config {
            provider: schemes.clone(),
            epocher: epocher.clone(),
            start: plan.marshal_start(Digested::precomputed(genesis_block, genesis_digest)),
            partition_prefix: format!("{prefix}-marshal"),
            mailbox_size: mailbox,
            view_retention: ViewDelta::new(256),
            prunable_items_per_section: NZU64!(64),
            page_cache: page_cache.clone(),
            replay_buffer: buffer_bytes,
            key_write_buffer: NZUsize!(1 << 16),
            value_write_buffer: buffer_bytes,
            block_codec_config: (),
            max_repair: NZUsize!(16),
            max_pending_acks: NZUsize!(PENDING_ACKNOWLEDGEMENTS),
            strategy: Sequential,
        },
    )
    .await;

    let (stateful_actor, stateful) = Stateful::new(
        context.child("stateful"),
        StatefulConfig {
            application: Application::new(core.clone(), known.clone(), clock_skew_ms),
            db_config: state_config(&prefix, page_cache.clone()),
            provider: (),
            marshal: (marshal.clone(), floor),
            mailbox_size: mailbox,
            plan,
            resolvers: NoStateSync,
            sync_config: SyncEngineConfig {
                fetch_batch_size: NZU64!(256),
                apply_batch_size: NZU64!(1024),
                max_outstanding_requests: NZUsize!(8),
            },
            prune_config: None::<PruneConfig>,
            strategy: Sequential,
        },
    );
    let deferred = Deferred::new(
        context.child("deferred"),
        Paced::new(stateful.clone(), core.clone()),
        marshal.clone(),
        epocher,
    );

    let flusher = Flusher::start(context.child("flusher"), core.index.clone());
    let held = Held::over(stateful.clone());
    let reporters: Reporters<_, X> = (Both(held.clone(), flusher), listener).into();
    marshal_actor.start(reporters, buffer, resolver);
    rebuild_index(&core, &known, &marshal).await?;
    go_on(&core, &marshal).await;
    stateful_actor.start();

    let abstains = abstention::since(&context, &prefix).await;
    let abstains = abstains.expect("the disk can be read; one that fails stops the validator");
    let consensus = Parts {
        core: core.clone(),
        schemes,
        marshal: marshal.clone(),
        blocker,
        application: deferred,
        prefix,
        page_cache,
        leader_timeout,
        certification_timeout,
        abstains,
    };
    let Channels { votes, certificates, fetch, commands, .. } = channels;
    let votes = epochs::Channels { votes, certificates, fetch };
    let handle = epochs::start(context.child("epochs"), consensus, votes).await?;

    let databases = stateful.subscribe_databases().await;
    held.let_go();
    let reader: Arc<dyn Reader> =
        Arc::new(EngineReader::<E>::new(core.clone(), databases.clone(), marshal));
    server.begin(&context, fetcher, core.clone(), reader.clone(), databases);
    let (admission, _) =
        Admission::start(context.child("admission"), core.clone(), reader.clone(), commands);
    Ok(Validator { handle, core, reader, admission })
}

/// The block that all start from: its state is the empty database's.
pub(crate) fn genesis_block<E: StateContext>(genesis: &Genesis) -> Block {
    let empty = <Databases<E> as DatabaseSet<E>>::initial_sync_targets();
    let sync = SyncTarget {
        root: Digest(empty.root.0),
        start: *empty.range.start(),
        end: *empty.range.end(),
    };
    Block::genesis(genesis, sync)
}

/// Replays final blocks into an index that lacks some, before anything asks it. An index is as new as
/// the block store unless it was lost.
async fn rebuild_index(core: &Core, known: &Known, marshal: &Marshal) -> Result<(), IndexError> {
    let held = core.index.height()?;
    let processed = epochs::processed(marshal).await;
    if processed <= held {
        return Ok(());
    }
    tracing::info!(from = held.0, to = processed.0, "building the index from the blocks");
    let mut replay = Replay::new(core.genesis.clone(), &core.genesis_block, known.clone());
    for height in 1..=processed.0 {
        let block = marshal
            .get_block(EngineHeight::new(height))
            .await
            .ok_or(IndexError::Incomplete { height })?;
        let executed = replay.block(block.inner())?;
        core.index.apply(block.inner().id(), &executed)?;
        core.sets.follow(executed.height, executed.next.as_ref());
    }
    core.index.persist()
}

/// Has the validator begin at the newest block that it executed before, whose state the databases open at. The one that it
/// began from is known, and has no block.
async fn go_on(core: &Core, marshal: &Marshal) {
    let processed = epochs::processed(marshal).await;
    if processed > core.tip().height()
        && let Some(block) = marshal.get_block(EngineHeight::new(processed.0)).await
    {
        core.goes_on_from(block.inner().header().clone());
    }
}

/// A listener that hears of blocks only once it is ready.
///
/// The engine takes a floor's state as it was fetched, and fetches a later one itself where too many blocks come before
/// it has opened it. It could not: the index is of the floor.
#[derive(Clone)]
struct Held<A> {
    listener: A,
    waiting: Arc<Mutex<Option<Vec<Update<Block>>>>>,
}

impl<A: Reporter<Activity = Update<Block>>> Held<A> {
    fn over(listener: A) -> Self {
        Self { listener, waiting: Arc::new(Mutex::new(Some(Vec::new()))) }
    }

    /// It is ready: it hears of what came so far, in order, and of what comes.
    fn let_go(mut self) {
        let mut waiting = self.waiting.lock().expect("nobody panics while holding this lock");
        for activity in waiting.take().unwrap_or_default() {
            let _ = self.listener.report(activity);
        }
    }
}

impl<A: Reporter<Activity = Update<Block>>> Reporter for Held<A> {
    type Activity = Update<Block>;

    fn report(&mut self, activity: Update<Block>) -> Feedback {
        let mut waiting = self.waiting.lock().expect("nobody panics while holding this lock");
        match waiting.as_mut() {
            Some(waiting) => {
                waiting.push(activity);
                Feedback::Ok
            }
            None => self.listener.report(activity),
        }
    }
}

/// Two listeners that both must acknowledge a block.
#[derive(Clone)]
struct Both<A, B>(A, B);

impl<A, B> Reporter for Both<A, B>
where
    A: Reporter<Activity = Update<Block>>,
    B: Reporter<Activity = Update<Block>>,
{
    type Activity = Update<Block>;

    fn report(&mut self, activity: Update<Block>) -> Feedback {
        let _ = self.1.report(activity.clone());
        self.0.report(activity)
    }
}

/// Acknowledges final blocks once the index holds them durably.
///
/// The index is written when a block is executed and made durable in groups: the block store does not
/// move on from a block before, and so brings it again after a crash.
#[derive(Clone)]
struct Flusher {
    blocks: mpsc::UnboundedSender<(u64, Exact)>,
}

impl Flusher {
    fn start<E: Clock + Spawner>(runtime: E, index: Index) -> Self {
        let (blocks, mut queue) = mpsc::unbounded_channel::<(u64, Exact)>();
        runtime.spawn(move |runtime| async move {
            let mut waiting: Vec<(u64, Exact)> = Vec::new();
            while let Some(block) = queue.recv().await {
                waiting.push(block);
                while !waiting.is_empty() {
                    runtime.sleep(FLUSH_INTERVAL).await;
                    while let Ok(block) = queue.try_recv() {
                        waiting.push(block);
                    }
                    let held = index.height().and_then(|height| index.persist().map(|()| height));
                    let held =
                        held.expect("the index is durable; a disk that fails stops the validator");
                    waiting = acknowledge_up_to(held.0, waiting);
                }
            }
        });
        Self { blocks }
    }
}

/// Acknowledges blocks up to `height`, and keeps the others. An acknowledgement that is dropped instead
/// stops the block store.
fn acknowledge_up_to(height: u64, waiting: Vec<(u64, Exact)>) -> Vec<(u64, Exact)> {
    let (held, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, _)| *at <= height);
    for (_, acknowledgement) in held {
        acknowledgement.acknowledge();
    }
    waiting
}

impl Reporter for Flusher {
    type Activity = Update<Block>;

    fn report(&mut self, activity: Update<Block>) -> Feedback {
        if let Update::Block(block, acknowledgement) = activity {
            let height = block.inner().header().height.0;
            // The flusher ends only with the validator.
            let _ = self.blocks.send((height, acknowledgement));
        }
        Feedback::Ok
    }
}

//! Four validators on the deterministic runtime, and the clients that talk to them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use commonware_actor::Feedback;
use commonware_consensus::{Reporter, marshal::Update};
use commonware_cryptography::{Signer as _, ed25519};
use commonware_glue::simulate::{
    engine::{EngineDefinition, InitContext},
    processed::ProcessedHeight,
    reporter::MonitorReporter,
};
use commonware_runtime::{
    Clock as _, Handle, Quota, Spawner as _, Supervisor as _, deterministic::Context,
};
use commonware_utils::{Acknowledgement as _, channel::oneshot};
use keepwell_crypto::command::chain_id;
use keepwell_engine::{
    admission::Admission,
    application::now,
    block::{Block, EngineKey},
    core::Core,
    index::Index,
    reader::Reader,
    wiring::{self, Channels, Settings},
};
use keepwell_types::{
    command::SignedCommand,
    encoding::{List, Text},
    genesis::{CommitteeKeys, GENESIS_VERSION, Genesis, Validator},
    id::{ChainId, Digest, OrganisationId, PublicKey},
    time::BlockTime,
};

use crate::{
    history::{self, Histories},
    traffic::{Acknowledged, PARAMETERS, Traffic, founding},
};

/// How often each client sends a command.
const PACE: Duration = Duration::from_millis(300);
/// How often each client of a history does.
const HISTORY_PACE: Duration = Duration::from_millis(80);

/// The definition of the simulated consortium.
#[derive(Clone)]
pub struct Consortium {
    keys: Vec<ed25519::PrivateKey>,
    genesis: Genesis,
    folder: Arc<tempfile::TempDir>,
    /// How often each validator has started.
    starts: Arc<Mutex<Vec<u64>>>,
    clock_skews_ms: Vec<i64>,
    /// Whether clients write histories of consent as well.
    histories: bool,
    /// What clients were told.
    pub acknowledged: Acknowledged,
    /// How far a final block was ahead of the clock, at most, in milliseconds.
    pub ahead_ms: Arc<AtomicU64>,
}

impl Consortium {
    /// `n` validators with good clocks.
    pub fn new(n: u64) -> Self {
        let mut keys: Vec<_> = (0..n).map(ed25519::PrivateKey::from_seed).collect();
        keys.sort_by_key(|key| key.public_key());
        let validators = keys
            .iter()
            .enumerate()
            .map(|(place, key)| Validator {
                organisation: OrganisationId([place as u8; 16]),
                consensus: public(key),
                release: public(key),
            })
            .collect();
        let genesis = Genesis {
            version: GENESIS_VERSION,
            name: Text::from_string("Simulated".into()).expect("short"),
            founded: BlockTime(0),
            demonstration: true,
            validators: List::from_vec(validators).expect("few"),
            committee: CommitteeKeys {
                threshold: (n - (n - 1) / 3) as u16,
                key: Digest([0; 32]),
                shares: List::new(),
            },
            parameters: PARAMETERS,
            entries: List::from_vec(founding().into_iter().chain(history::founding()).collect())
                .expect("few"),
            trustees: None,
            matching: None,
        };
        Self {
            clock_skews_ms: vec![0; keys.len()],
            histories: false,
            starts: Arc::new(Mutex::new(vec![0; keys.len()])),
            keys,
            genesis,
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            acknowledged: Acknowledged::default(),
            ahead_ms: Arc::default(),
        }
    }

    /// Each epoch has so many blocks.
    #[must_use]
    pub const fn with_epochs(mut self, blocks: u32) -> Self {
        self.genesis.parameters.epoch_blocks = Some(blocks);
        self
    }

    /// One validator's clock is wrong when it leads.
    #[must_use]
    pub fn with_clock_skew(mut self, validator: usize, skew_ms: i64) -> Self {
        self.clock_skews_ms[validator] = skew_ms;
        self
    }

    /// Clients of each validator write histories of consent as well.
    #[must_use]
    pub const fn with_histories(mut self) -> Self {
        self.histories = true;
        self
    }

    /// Counts the starts of a validator: this is which.
    fn count_start(&self, validator: usize) -> u64 {
        let mut starts = self.starts.lock().expect("nobody panics while holding this lock");
        starts[validator] += 1;
        starts[validator]
    }

    /// A folder for the index of a validator that starts. Every other start finds what the crash left,
    /// the others find nothing. It is a copy: whoever looks at a crashed validator holds its index open.
    fn index_folder(&self, validator: usize, start: u64) -> PathBuf {
        let folder = |start| self.folder.path().join(format!("{validator}-{start}"));
        if start.is_multiple_of(2) {
            copy(&folder(start - 1), &folder(start)).expect("the temporary folder can be copied");
        }
        folder(start)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn public(key: &ed25519::PrivateKey) -> PublicKey {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(key.public_key().as_ref());
    PublicKey(bytes)
}

/// What checkers may look at in one validator.
pub struct State {
    /// Its parts.
    pub core: Arc<Core>,
    /// What it has; nothing once it has crashed, since whoever held it would hold its files open.
    pub reader: Weak<dyn Reader>,
    /// What clients of any validator were told.
    pub acknowledged: Acknowledged,
    /// How far a final block was ahead of the clock, at most, in milliseconds.
    pub ahead_ms: Arc<AtomicU64>,
}

impl ProcessedHeight for State {
    async fn processed_height(&self) -> u64 {
        self.core.tip().height().0
    }
}

impl EngineDefinition for Consortium {
    type PublicKey = EngineKey;
    type Engine = Handle<()>;
    type State = State;

    fn participants(&self) -> Vec<EngineKey> {
        self.keys.iter().map(ed25519::PrivateKey::public_key).collect()
    }

    fn channels(&self) -> Vec<(u64, Quota)> {
        wiring::channels()
    }

    fn max_message_size(&self) -> u32 {
        wiring::message_bytes_max()
    }

    async fn init(&self, init: InitContext<'_, EngineKey>) -> (Handle<()>, State) {
        let index = init.index;
        let start = self.count_start(index);
        let chain = chain_id(&self.genesis);
        let secret = self.keys[index].clone();
        let folder = self.index_folder(index, start);
        let mut settings = Settings::local(format!("validator-{index}"));
        settings.clock_skew_ms = self.clock_skews_ms[index];
        let (manager, control) =
            (init.oracle.manager(), init.oracle.control(init.public_key.clone()));
        let (own, monitor, channels) =
            (init.public_key.clone(), init.monitor, Channels::new(init.channels));
        let (genesis, ahead_ms) = (self.genesis.clone(), self.ahead_ms.clone());
        let asks = Asks {
            chain,
            seed: start * 100 + index as u64,
            histories: self.histories,
            acknowledged: self.acknowledged.clone(),
        };
        let (started, parts) = oneshot::channel();
        // One task is the parent of all others, so that a crash ends every one of them at once.
        let life = init.context.spawn(move |context| async move {
            let clients = context.child("client");
            let runtime = Arc::new(context.child("listener"));
            let listener =
                MonitorReporter::new(own.clone(), monitor, Listener { runtime, ahead_ms });
            let validator = wiring::start(
                context,
                secret,
                genesis,
                Index::open(&folder).expect("the index opens"),
                manager,
                control,
                channels,
                settings,
                Some(listener),
            )
            .await
            .expect("the index opens");
            asks.begin(&clients, &validator.admission);
            let parts = (validator.core, Arc::downgrade(&validator.reader));
            let _ = started.send(parts);
            let _ = validator.handle.await;
            drop(validator.reader);
        });
        let (core, reader) = parts.await.expect("a validator that starts says so");
        let (acknowledged, ahead_ms) = (self.acknowledged.clone(), self.ahead_ms.clone());
        (life, State { core, reader, acknowledged, ahead_ms })
    }

    fn start(engine: Handle<()>) -> Handle<()> {
        engine
    }
}

/// What the clients of one validator ask.
struct Asks {
    chain: ChainId,
    seed: u64,
    histories: bool,
    acknowledged: Acknowledged,
}

impl Asks {
    fn begin(self, clients: &Context, admission: &Admission) {
        let Self { chain, seed, histories, acknowledged } = self;
        let client = Client { admission: admission.clone(), acknowledged };
        if histories {
            let (client, mut histories) = (client.clone(), Histories::new(chain, seed));
            clients.child("histories").spawn(move |runtime| {
                client.keep_asking(runtime, HISTORY_PACE, move |now| histories.next(now))
            });
        }
        let mut traffic = Traffic::new(chain, seed);
        clients
            .child("traffic")
            .spawn(move |runtime| client.keep_asking(runtime, PACE, move |now| traffic.next(now)));
    }
}

/// Sends commands to one validator, and waits for none of them.
#[derive(Clone)]
struct Client {
    admission: Admission,
    acknowledged: Acknowledged,
}

impl Client {
    async fn keep_asking(
        self,
        runtime: Context,
        pace: Duration,
        mut next: impl FnMut(BlockTime) -> SignedCommand,
    ) {
        loop {
            runtime.sleep(pace).await;
            let command = next(now(&runtime));
            let id = command.command.id;
            let Self { admission, acknowledged } = self.clone();
            runtime.child("submit").spawn(move |_| async move {
                if let Ok(outcome) = admission.submit(command.encode()).await {
                    acknowledged.all().insert(id, outcome);
                }
            });
        }
    }
}

/// Looks at the time of final blocks, and acknowledges them: the validator's own parts do the work.
#[derive(Clone)]
struct Listener {
    runtime: Arc<Context>,
    ahead_ms: Arc<AtomicU64>,
}

impl Reporter for Listener {
    type Activity = Update<Block>;

    fn report(&mut self, activity: Update<Block>) -> Feedback {
        if let Update::Block(block, acknowledgement) = activity {
            let ahead_ms = block.inner().header().time.ms_since(now(&*self.runtime));
            self.ahead_ms.fetch_max(ahead_ms, Ordering::Relaxed);
            acknowledgement.acknowledge();
        }
        Feedback::Ok
    }
}

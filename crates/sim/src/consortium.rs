//! Four validators on the deterministic runtime, and the clients that talk to them.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::{Reporter, marshal::Update};
use commonware_cryptography::{Signer as _, ed25519};
use commonware_glue::simulate::{
    engine::{ChannelPair, EngineDefinition, InitContext},
    processed::ProcessedHeight,
    reporter::MonitorReporter,
};
use commonware_p2p::{
    BlockedSubscription, Blocker, Receiver, Sender,
    simulated::{Control, Manager},
};
use commonware_runtime::{
    Clock as _, Handle, Quota, Spawner as _, Supervisor as _, deterministic::Context,
};
use commonware_utils::{Acknowledgement as _, channel::oneshot};
use futures::future::{Either, select};
use keepwell_crypto::{command::chain_id, reshare::sign_card, sign::SigningKey, threshold::deal};
use keepwell_engine::{
    admission::Admission,
    application::now,
    block::{Block, EngineKey},
    core::Core,
    index::Index,
    protocol::Known,
    reader::Reader,
    wiring::{self, Channels, Settings},
};
use keepwell_types::{
    command::SignedCommand,
    encoding::{List, Text},
    genesis::{GENESIS_VERSION, Genesis, Validator},
    id::{ChainId, OrganisationId, Protocol, PublicKey},
    member::OrganisationStanding,
    motion::Act,
    protocol::Upgrade,
    time::BlockTime,
    validators::{Change, Seat},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use rustix::fs::{SeekFrom, seek, statvfs};
use tempfile::{TempDir, tempdir, tempdir_in};

use crate::{
    checkers::ValidatorsFollow,
    deputy::{Deputy, MemoryKeeper, Office},
    disk::{Host, Spell},
    history::{self, CLINIC, Histories, INSURER},
    liars::{self, Lie},
    traffic::{Acknowledged, PARAMETERS, Traffic, founding},
};

/// How often each client sends a command, where nothing else is said.
const PACE: Duration = Duration::from_millis(300);
/// Clients that take turns.
const CLIENTS: u64 = 4;

/// How long a validator fetches at most before it is interrupted.
const INTERRUPTED_MS_MAX: u32 = 250;

/// A version of the protocol to come, whose rules are those of the newest.
pub const NEXT: Protocol = Protocol::NEWEST.next();

/// The definition of the simulated consortium.
#[derive(Clone)]
pub struct Consortium {
    keys: Vec<ed25519::PrivateKey>,
    genesis: Genesis,
    folder: Arc<TempDir>,
    /// How often each validator has started.
    starts: Arc<Mutex<Vec<u64>>>,
    clock_skews_ms: Vec<i64>,
    /// How often each client sends a command.
    pace: Duration,
    /// How often clients write histories of consent as well, if they do.
    histories: Option<Duration>,
    /// The shares of each validator.
    keepers: Vec<MemoryKeeper>,
    /// Whether validators change.
    changes: bool,
    /// Whether the protocol is upgraded.
    upgrade: bool,
    /// How often a validator ended because its program was too old.
    outdated: Arc<AtomicU64>,
    /// What each validator does instead of what it should.
    lies: Vec<Option<Lie>>,
    /// Which validator loses its disk with its first crash, and begins from the state of the others.
    begins: Option<usize>,
    /// How often it is killed while it does.
    interruptions: usize,
    /// What clients were told.
    pub acknowledged: Acknowledged,
    /// How far a final block was ahead of the clock, at most, in milliseconds.
    pub ahead_ms: Arc<AtomicU64>,
    /// The trouble of each validator's disk.
    spells: Vec<Option<Spell>>,
    /// How often something met it.
    troubles: Arc<AtomicU64>,
    /// Who blocked whom, of those that do not lie, by their places.
    blocked: Blocked,
}

impl Consortium {
    /// `n` validators with good clocks.
    pub fn new(n: u64) -> Self {
        let mut keys: Vec<_> = (0..n).map(ed25519::PrivateKey::from_seed).collect();
        keys.sort_by_key(|key| key.public_key());
        let threshold = (n - (n - 1) / 3) as u16;
        let (committee, shares) = deal(&mut ChaCha20Rng::from_seed([7; 32]), n as u16, threshold);
        let organisation = |place: usize| match place {
            // The one that may be expelled is on record.
            3 => INSURER,
            place => OrganisationId([place as u8; 16]),
        };
        let validators = keys.iter().enumerate().map(|(place, key)| Validator {
            organisation: organisation(place),
            consensus: public(key),
            release: release(place).public(),
        });
        let genesis = Genesis {
            version: GENESIS_VERSION,
            name: Text::from_string("Simulated".into()).expect("short"),
            founded: BlockTime(0),
            demonstration: true,
            validators: List::from_vec(validators.collect()).expect("few"),
            committee,
            parameters: PARAMETERS,
            entries: List::from_vec(founding().into_iter().chain(history::founding()).collect())
                .expect("few"),
            trustees: None,
            matching: None,
        };
        let keepers =
            (0..).zip(shares).map(|(place, share)| MemoryKeeper::new(place, Some(share))).collect();
        Self {
            clock_skews_ms: vec![0; keys.len()],
            pace: PACE,
            histories: None,
            starts: Arc::new(Mutex::new(vec![0; keys.len()])),
            keys,
            keepers,
            changes: false,
            upgrade: false,
            outdated: Arc::default(),
            lies: vec![None; n as usize],
            begins: None,
            interruptions: 0,
            genesis,
            folder: Arc::new(folder().expect("a temporary folder")),
            acknowledged: Acknowledged::default(),
            ahead_ms: Arc::default(),
            spells: vec![None; n as usize],
            troubles: Arc::default(),
            blocked: Blocked::default(),
        }
    }

    /// A further node, which follows. Then its validator joins, the first one leaves, and the organisation of the
    /// fourth is expelled, one after the other.
    #[must_use]
    pub fn with_changes(mut self) -> Self {
        self.keys.push(ed25519::PrivateKey::from_seed(100));
        self.clock_skews_ms.push(0);
        self.starts.lock().expect("nobody panics while holding this lock").push(0);
        self.keepers.push(MemoryKeeper::new(self.keepers.len() as u8, None));
        self.lies.push(None);
        self.spells.push(None);
        self.changes = true;
        self
    }

    /// Who validates when all changes have come about.
    pub fn after_changes(&self) -> ValidatorsFollow {
        let mut seats: Vec<_> = [1, 2, 4].map(|place| public(&self.keys[place])).into();
        seats.sort();
        ValidatorsFollow { seats, changes: 3 }
    }

    /// The protocol moves on to [`NEXT`]. Two validators have a new program from the start, each other one when it
    /// starts again; and its old one ends where the new rules begin.
    #[must_use]
    pub const fn with_upgrade(mut self) -> Self {
        self.upgrade = true;
        self
    }

    /// What the program of a validator knows at one of its starts, counted from 1.
    fn known(&self, validator: usize, start: u64) -> Known {
        match (self.upgrade, validator < 2 || start > 1) {
            (true, true) => Known::up_to(NEXT),
            _ => Known::default(),
        }
    }

    /// What administrators move.
    fn plan(&self) -> Vec<Act> {
        let upgrade = Act::Upgrade(Upgrade { to: NEXT, from: None });
        let changes = if self.changes { self.changes() } else { Vec::new() };
        changes.into_iter().chain(self.upgrade.then_some(upgrade)).collect()
    }

    fn changes(&self) -> Vec<Act> {
        let (joins, first) = (self.keys.len() - 1, public(&self.keys[0]));
        let seat = Seat {
            validator: Validator {
                organisation: CLINIC,
                consensus: public(&self.keys[joins]),
                release: release(joins).public(),
            },
            address: Some(Text::from_string("192.0.2.1:7000".into()).expect("short")),
        };
        let consensus = self.keys[joins].encode();
        let consensus = <[u8; 32]>::try_from(&consensus[..]).expect("the engine's keys are seeds");
        let consensus = SigningKey::from_seed(&consensus);
        let card = sign_card(&chain_id(&self.genesis), seat, [&consensus, &release(joins)]);
        let list = |card| List::from_vec(vec![card]).expect("one");
        let joined = Change { joins: list(card), leaves: List::new() };
        let left = Change { joins: List::new(), leaves: List::from_vec(vec![first]).expect("one") };
        let expelled = OrganisationStanding { organisation: INSURER };
        vec![Act::Change(joined), Act::Change(left), Act::Expel(expelled)]
    }

    /// The keys of a node, beside that of consensus.
    fn office(&self, place: usize) -> Office {
        let founder = self.genesis.validators.get(place);
        Office {
            chain: chain_id(&self.genesis),
            organisation: founder.map_or(CLINIC, |it| it.organisation),
            release: release(place),
            keeper: self.keepers[place].clone().losing(self.lies[place] == Some(Lie::Losing)),
            lie: self.lies[place],
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

    /// One validator lies.
    #[must_use]
    pub fn with_liar(mut self, validator: usize, lie: Lie) -> Self {
        self.lies[validator] = Some(lie);
        self
    }

    /// One validator loses its disk with its first crash, and begins from the state of the others.
    #[must_use]
    pub const fn with_beginner(mut self, validator: usize) -> Self {
        self.begins = Some(validator);
        self
    }

    /// The validator that begins is killed so often before it has all that it needs.
    #[must_use]
    pub const fn with_interruptions(mut self, times: usize) -> Self {
        self.interruptions = times;
        self
    }

    /// The disk of one validator is in trouble for a while.
    #[must_use]
    pub fn with_spell(mut self, validator: usize, spell: Spell) -> Self {
        self.spells[validator] = Some(spell);
        self
    }

    fn liars(&self) -> usize {
        self.lies.iter().flatten().count()
    }

    fn honest(&self) -> Arc<[Option<EngineKey>]> {
        let lies = self.lies.iter().zip(&self.keys);
        lies.map(|(lie, key)| lie.is_none().then(|| key.public_key())).collect()
    }

    /// Each client sends a command so often: fewer commands are fewer blocks, and more seeds in the same time.
    #[must_use]
    pub const fn with_pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// A client of each validator writes a history of consent as well, a command at a time with this pause between them.
    #[must_use]
    pub const fn with_histories(mut self, pause: Duration) -> Self {
        self.histories = Some(pause);
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

    /// A folder for the index of a validator that lost its disk before its second start. What it lost since, nothing
    /// brings back.
    fn begun_folder(&self, validator: usize, start: u64) -> PathBuf {
        let folder = |start| self.folder.path().join(format!("{validator}-{start}"));
        if start > 2 {
            copy(&folder(start - 1), &folder(start)).expect("the temporary folder can be copied");
        }
        folder(start)
    }
}

/// Bytes that must be free in a file system in memory, or a disk is used instead.
const MEMORY_BYTES_MIN: u64 = 1 << 30;

/// A folder for indexes: in memory, if the machine has a file system there. A disk would be synced ten times a second of
/// each validator, for a crash that no run has: the simulated one ends tasks, and leaves what was written.
fn folder() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let room = statvfs(memory).map_or(0, |it| it.f_bavail * it.f_frsize);
    match room {
        MEMORY_BYTES_MIN.. => tempdir_in(memory),
        _ => tempdir(),
    }
}

/// Copies a folder; holes in files stay holes. The index begins its journal as a file of 64 MiB with nothing in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            copy_data(&File::open(entry.path())?, &File::create(to)?)?;
        }
    }
    Ok(())
}

fn copy_data(from: &File, mut to: &File) -> io::Result<()> {
    let end = from.metadata()?.len();
    to.set_len(end)?;
    let mut at = 0;
    // There is no data after the last: the error is the end of the file.
    while let Ok(data) = seek(from, SeekFrom::Data(at)) {
        at = seek(from, SeekFrom::Hole(data))?;
        seek(from, SeekFrom::Start(data))?;
        seek(to, SeekFrom::Start(data))?;
        io::copy(&mut from.take(at - data), &mut to)?;
    }
    Ok(())
}

/// The key with which the validator at a place signs what it releases.
fn release(place: usize) -> SigningKey {
    SigningKey::from_seed(&[0x80 + place as u8; 32])
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
    /// Whether this validator lies.
    pub lies: bool,
    /// How many do, of all.
    pub liars: usize,
    /// How often a validator ended because its program was too old.
    pub outdated: Arc<AtomicU64>,
    /// How often something met the trouble of a disk.
    pub troubles: Arc<AtomicU64>,
    /// Who blocked whom, of those that do not lie, by their places.
    pub blocked: Blocked,
}

/// Pairs of places: who blocked, and whom.
pub type Blocked = Arc<Mutex<Vec<(usize, usize)>>>;

/// Blocks others, and notes whom, where neither lies.
#[derive(Clone)]
struct Watched {
    inner: Control<EngineKey, Context>,
    place: usize,
    /// Each validator's key, and nothing in place of a liar's.
    honest: Arc<[Option<EngineKey>]>,
    blocked: Blocked,
}

impl Blocker for Watched {
    type PublicKey = EngineKey;

    fn block(&mut self, peer: EngineKey) -> Feedback {
        let whom = self.honest.iter().position(|key| key.as_ref() == Some(&peer));
        if let (Some(_), Some(whom)) = (&self.honest[self.place], whom) {
            let mut blocked = self.blocked.lock().expect("nobody panics while holding this lock");
            blocked.push((self.place, whom));
        }
        self.inner.block(peer)
    }

    fn blocked(&mut self) -> BlockedSubscription<EngineKey> {
        self.inner.blocked()
    }
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
        let InitContext {
            context, index, public_key, oracle, channels, participants, monitor, ..
        } = init;
        let start = self.count_start(index);
        let lie = self.lies[index];
        let (runtime, ahead_ms) = (Arc::new(context.child("listener")), self.ahead_ms.clone());
        let listener = Listener { runtime, ahead_ms };
        let (manager, control) = (oracle.manager(), oracle.control(public_key.clone()));
        let life = |name: String, folder: PathBuf, seed: u64| {
            let mut settings = Settings::local(format!("validator-{name}"));
            settings.clock_skew_ms = self.clock_skews_ms[index];
            settings.known = self.known(index, start);
            Life {
                secret: self.keys[index].clone(),
                genesis: self.genesis.clone(),
                folder,
                manager: manager.clone(),
                blocker: Watched {
                    inner: control.clone(),
                    place: index,
                    honest: self.honest(),
                    blocked: self.blocked.clone(),
                },
                spell: self.spells[index],
                troubles: self.troubles.clone(),
                control: control.clone(),
                settings,
                listener: None,
                asks: Asks {
                    chain: chain_id(&self.genesis),
                    seed,
                    pace: self.pace,
                    histories: self.histories,
                    acknowledged: self.acknowledged.clone(),
                },
                office: (self.changes || self.upgrade).then(|| self.office(index)),
                // Each node's administrators could: the second node stays, whatever changes.
                plan: if index == 1 { self.plan() } else { Vec::new() },
                outdated: self.outdated.clone(),
            }
        };
        let seed = start * 100 + index as u64;
        let begins = self.begins == Some(index) && start > 1;
        let begun = |folder| {
            let others = participants.iter().filter(|key| *key != public_key);
            let mut life = life(format!("{index}-begun"), folder, seed);
            life.settings.begin_from = others.cloned().collect();
            life
        };
        let own = match lie {
            Some(Lie::Forgetting) => {
                let folder = self.folder.path().join(format!("{index}-{start}"));
                life(format!("{index}-{start}"), folder, seed)
            }
            _ if begins => begun(self.begun_folder(index, start)),
            _ => life(index.to_string(), self.index_folder(index, start), seed),
        };
        let interruptions = if begins && start == 2 { self.interruptions } else { 0 };
        let interrupted: Vec<_> =
            (0..interruptions).map(|_| begun(self.begun_folder(index, start))).collect();
        let own = Life {
            listener: Some(MonitorReporter::new(public_key.clone(), monitor, listener)),
            ..own
        };
        let twin = life(
            format!("{index}-twin"),
            self.folder.path().join(format!("{index}-{start}-twin")),
            seed + 50,
        );
        let participants = participants.to_vec();
        let (started, parts) = oneshot::channel();
        // One task is the parent of all others, so that a crash ends every one of them at once.
        let life = context.spawn(move |mut context| async move {
            let mut channels = channels;
            for life in interrupted {
                channels = life.interrupted(&mut context, channels).await;
            }
            match lie {
                Some(Lie::Twins) => {
                    let [one, other] = liars::twins(&mut context, &participants, channels);
                    context.child("twin").spawn(move |context| twin.live(context, other, None));
                    own.live(context, one, Some(started)).await;
                }
                Some(Lie::Garbage) => {
                    let channels = liars::noisy(&mut context, channels);
                    own.live(context, channels, Some(started)).await;
                }
                Some(Lie::Silence) => {
                    let channels = liars::unheard(&mut context, channels);
                    own.live(context, channels, Some(started)).await;
                }
                Some(lie @ (Lie::Misleading | Lie::Dripping)) => {
                    let drips = lie == Lie::Dripping;
                    let channels = liars::misleading(&context, channels, drips);
                    own.live(context, channels, Some(started)).await;
                }
                Some(Lie::Forgetting | Lie::Dealing | Lie::Accusing | Lie::Losing) | None => {
                    own.live(context, channels, Some(started)).await;
                }
            }
        });
        let (core, reader) = parts.await.expect("a validator that starts says so");
        let (acknowledged, ahead_ms) = (self.acknowledged.clone(), self.ahead_ms.clone());
        let state = State {
            core,
            reader,
            acknowledged,
            ahead_ms,
            lies: lie.is_some(),
            liars: self.liars(),
            outdated: self.outdated.clone(),
            troubles: self.troubles.clone(),
            blocked: self.blocked.clone(),
        };
        (life, state)
    }

    fn start(engine: Handle<()>) -> Handle<()> {
        engine
    }
}

/// What a validator consists of when it starts.
struct Life {
    secret: ed25519::PrivateKey,
    genesis: Genesis,
    folder: PathBuf,
    manager: Manager<EngineKey, Context>,
    control: Control<EngineKey, Context>,
    blocker: Watched,
    spell: Option<Spell>,
    troubles: Arc<AtomicU64>,
    settings: Settings,
    listener: Option<MonitorReporter<EngineKey, Listener>>,
    asks: Asks,
    office: Option<Office>,
    plan: Vec<Act>,
    outdated: Arc<AtomicU64>,
}

/// What a validator that has started says of itself.
type Parts = (Arc<Core>, Weak<dyn Reader>);

impl Life {
    /// Lives until consensus ends; says what it is made of once it has started.
    async fn live<S, R>(
        self,
        context: Context,
        channels: Vec<(S, R)>,
        started: Option<oneshot::Sender<Parts>>,
    ) where
        S: Sender<PublicKey = EngineKey>,
        R: Receiver<PublicKey = EngineKey>,
    {
        let clients = context.child("client");
        let known = self.settings.known.clone();
        let validator = wiring::start(
            Host::new(context, self.spell, self.troubles),
            self.secret,
            self.genesis,
            Index::open(&self.folder).expect("the index opens"),
            self.manager,
            self.blocker,
            Channels::new(channels),
            self.settings,
            self.listener,
        )
        .await
        .expect("the index opens");
        self.asks.begin(&clients, &validator.admission);
        if let Some(office) = self.office {
            let deputy = Deputy {
                office,
                core: validator.core.clone(),
                reader: Arc::downgrade(&validator.reader),
                admission: validator.admission.clone(),
                plan: self.plan,
            };
            clients.child("deputy").spawn(move |runtime| deputy.serve(runtime));
        }
        if let Some(started) = started {
            let _ = started.send((validator.core.clone(), Arc::downgrade(&validator.reader)));
        }
        let outdated = pin!(known.ended());
        if let Either::Right((outdated, _)) = select(validator.handle, outdated).await {
            assert!(validator.core.tip().height() < outdated.from, "it came too far");
            self.outdated.fetch_add(1, Ordering::Relaxed);
        }
        drop(validator.reader);
    }

    /// Is killed before it has started; returns the ends of its channels for the one that is started after it.
    async fn interrupted(
        self,
        context: &mut Context,
        channels: Vec<ChannelPair<EngineKey>>,
    ) -> Vec<ChannelPair<EngineKey>> {
        let control = self.control.clone();
        let pause = Duration::from_millis((context.next_u32() % INTERRUPTED_MS_MAX).into());
        let life =
            context.child("interrupted").spawn(move |context| self.live(context, channels, None));
        context.sleep(pause).await;
        life.abort();
        let _ = life.await;
        let mut again = Vec::new();
        for (channel, quota) in wiring::channels() {
            let pair = control.register(channel, quota).await;
            again.push(pair.expect("the network goes on for as long as the run"));
        }
        again
    }
}

/// What the clients of one validator ask.
struct Asks {
    chain: ChainId,
    seed: u64,
    pace: Duration,
    histories: Option<Duration>,
    acknowledged: Acknowledged,
}

impl Asks {
    fn begin(self, clients: &Context, admission: &Admission) {
        let Self { chain, seed, pace, histories, acknowledged } = self;
        let client = Client { admission: admission.clone(), acknowledged };
        if let Some(pause) = histories {
            let (client, mut histories) = (client.clone(), Histories::new(chain, seed));
            clients.child("histories").spawn(move |runtime| {
                client.keep_asking(runtime, pause, move |now| vec![histories.next(now)])
            });
        }
        let mut traffic = Traffic::new(chain, seed);
        // One after the other: where all asked at once, few blocks would have all that they ask.
        let turn = pace * (seed % CLIENTS) as u32 / CLIENTS as u32;
        clients.child("traffic").spawn(async move |runtime| {
            runtime.sleep(turn).await;
            client.keep_asking(runtime, pace, move |now| traffic.next(now)).await;
        });
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
        mut next: impl FnMut(BlockTime) -> Vec<SignedCommand>,
    ) {
        loop {
            runtime.sleep(pace).await;
            let commands = next(now(&runtime));
            let client = self.clone();
            runtime.child("submit").spawn(move |_| client.submit(commands));
        }
    }

    /// Sends a command, or a transaction, and keeps what it was told.
    async fn submit(self, commands: Vec<SignedCommand>) {
        let ids = commands.iter().map(|it| it.command.id);
        let bytes: Vec<_> = commands.iter().map(SignedCommand::encode).collect();
        let outcomes = match <[Vec<u8>; 1]>::try_from(bytes) {
            Ok([alone]) => self.admission.submit(alone).await.map(|outcome| vec![outcome]),
            Err(parts) => self.admission.submit_transaction(parts).await,
        };
        self.acknowledged.all().extend(ids.zip(outcomes.into_iter().flatten()));
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

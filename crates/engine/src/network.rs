//! Encrypted links between validators over TCP, and a validator on them.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use commonware_codec::{Copying, ReadExt as _};
use commonware_consensus::marshal::Update;
use commonware_cryptography::{ChaCha20Poly1305, Signer as _, ed25519};
use commonware_p2p::{
    Address, AddressableManager as _, AddressableTrackedPeers, authenticated::lookup,
};
use commonware_runtime::{Spawner as _, Supervisor as _, tokio as runtime};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZUsize, ordered::Map};
use keepwell_crypto::command::chain_id;
use keepwell_ledger::state::{Key, Value};
use keepwell_types::{
    encoding::List,
    genesis::Genesis,
    id::{Height, Location, PublicKey},
    limits::{JOINS_MAX, VALIDATORS_MAX},
    validators::{Seat, ValidatorSet, epoch_of},
};
use thiserror::Error;

use crate::{
    block::{Block, EngineKey},
    core::Core,
    index::{Index, IndexError},
    reader::{ReadError, Reader},
    sync::SyncError,
    wiring::{self, Channels, Settings, Validator},
};

/// Clocks of two validators that talk to each other may differ by so much.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(5);

/// Links that there is room for at least, so that others may join while a node runs.
const PEERS_MIN: usize = 16;

/// A validator's secret consensus key, and where it and its peers are reached.
pub struct Links {
    /// 32 bytes that make the Ed25519 key.
    pub secret: zeroize::Zeroizing<[u8; 32]>,
    /// Where this validator listens for its peers.
    pub listen: SocketAddr,
    /// Where each validator is reached, this one included.
    pub addresses: Vec<(PublicKey, SocketAddr)>,
    /// Whether a new validator executes all blocks and keeps them; otherwise it begins from the state of its peers.
    pub archive: bool,
}

/// A validator could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// A key in the genesis file or the configuration is not a key.
    #[error("{0} is not an Ed25519 public key")]
    NotKey(PublicKey),
    /// A validator is listed twice.
    #[error("a validator is listed twice among the addresses")]
    Twice,
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// What it was to begin from.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

/// Starts a validator on the network, or an observer where the key has no seat.
pub async fn start(
    context: runtime::Context,
    genesis: Genesis,
    links: Links,
    index: Index,
    settings: Settings,
) -> Result<Validator, StartError> {
    let secret = ed25519::PrivateKey::read(&mut Copying(links.secret.as_slice()))
        .expect("any 32 bytes make an Ed25519 key");
    for seat in &genesis.validators {
        engine_key(&seat.consensus)?;
    }
    let peers = Peers::of(&links.addresses)?;
    let mut settings = settings;
    if !links.archive {
        let me = secret.public_key();
        settings.begin_from = peers.addresses.keys().filter(|key| **key != me).cloned().collect();
    }
    let seats =
        index.handovers(0)?.last().map_or(genesis.validators.len(), |it| it.set.seats.len());
    let room = PEERS_MIN.max(2 * peers.addresses.len().max(seats) + JOINS_MAX);

    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: secret.clone(),
            synchrony_bound: CLOCK_DIFFERENCE_MAX,
            max_handshake_age: 2 * CLOCK_DIFFERENCE_MAX,
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let mut config = lookup::Config::local(
        handshake,
        &[b"keepwell/peers/v1/", chain_id(&genesis).as_bytes().as_slice()].concat(),
        links.listen,
        // Mailboxes have room for a burst of each peer in each set, all of it allocated at the start.
        NonZeroUsize::new(room).expect("at least PEERS_MIN"),
        wiring::message_bytes_max(),
        NZUsize!(1024),
    );
    config.tracked_peer_sets = NZUsize!(1);
    config.peer_connection_cooldown = Duration::from_millis(500);
    config.dial_frequency = Duration::from_millis(100);
    let (mut network, oracle) = lookup::Network::new(context.child("network"), config);
    let channels = Channels::new(
        wiring::channels()
            .into_iter()
            .map(|(channel, quota)| network.register(channel, quota))
            .collect::<Vec<_>>(),
    );
    let mut tracked = oracle.clone();
    // The network counts its own key beside those that it is given.
    let room = room - 1;
    let founders = Company {
        set: Arc::new(ValidatorSet::of(&genesis)),
        joining: List::new(),
        leaving: List::new(),
        expelled: Vec::new(),
    };
    tracked.track(0, peers.around(&founders, room));
    network.start();
    let validator = wiring::start(
        context.child("engine"),
        secret,
        genesis,
        index,
        oracle.clone(),
        oracle,
        channels,
        settings,
        None::<NoListener>,
    )
    .await?;
    let (core, reader) = (validator.core.clone(), Arc::downgrade(&validator.reader));
    context.child("peers").spawn(move |_| async move {
        let (mut tips, mut around, mut tracks) = (core.watch_tip(), None, 0);
        loop {
            tips.borrow_and_update();
            let Some(reader) = reader.upgrade() else { return };
            match Company::of(&core, &*reader, around).await {
                Ok(Some((name, company))) => {
                    tracks += 1;
                    around = Some(name);
                    tracked.track(tracks, peers.around(&company, room));
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "cannot see who is to validate"),
            }
            drop(reader);
            if tips.changed().await.is_err() {
                return;
            }
        }
    });
    Ok(validator)
}

/// Who validates, who is to, and who did until now: whom a validator keeps links with.
struct Company {
    set: Arc<ValidatorSet>,
    /// Seats of the change that is under way.
    joining: List<Seat, VALIDATORS_MAX>,
    /// Seats of the set before, while its successor's first epoch lasts: who left hears that it did.
    leaving: List<Seat, VALIDATORS_MAX>,
    /// Validators of organisations that were expelled.
    expelled: Vec<PublicKey>,
}

/// Another company has another name.
type Name = (u64, bool, Option<Location>);

impl Company {
    /// Who it is, as the newest state says; nothing where that has the name that is known.
    async fn of(
        core: &Core,
        reader: &dyn Reader,
        known: Option<Name>,
    ) -> Result<Option<(Name, Self)>, CompanyError> {
        let (set, tip) = (core.sets.newest(), core.tip().height());
        let changing = reader.state(&[Key::Changing]).await?.pop().flatten();
        let (change, joining) = match changing {
            Some(Value::Changing(it)) => (Some(it.began), it.seats),
            _ => (None, List::new()),
        };
        let is_new = epoch_of(Height(tip.0 + 1), core.sets.epoch_blocks()) <= set.since;
        let name = (set.since, is_new, change);
        if known == Some(name) {
            return Ok(None);
        }
        let mut past = vec![ValidatorSet::of(&core.genesis)];
        past.extend(core.index.handovers(0)?.into_iter().map(|it| it.set));
        past.retain(|it| it.since < set.since);
        let leaving = past.last().filter(|_| is_new);
        let leaving = leaving.map_or_else(List::new, |it| it.seats.clone());
        let mut expelled = Vec::new();
        for seat in past.iter().flat_map(|it| it.seats.iter()) {
            let organisation = Key::Organisation(seat.validator.organisation);
            let entry = reader.state(&[organisation]).await?.pop().flatten();
            let is = matches!(entry, Some(Value::Organisation(it)) if it.expelled_at.is_some());
            expelled.extend(is.then_some(seat.validator.consensus));
        }
        Ok(Some((name, Self { set, joining, leaving, expelled })))
    }
}

#[derive(Debug, Error)]
enum CompanyError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Where validators are reached.
struct Peers {
    /// As this node's configuration says. Who is listed and has no seat is an observer, or will join.
    addresses: BTreeMap<EngineKey, SocketAddr>,
}

impl Peers {
    fn of(listed: &[(PublicKey, SocketAddr)]) -> Result<Self, StartError> {
        let mut addresses = BTreeMap::new();
        for (key, address) in listed {
            if addresses.insert(engine_key(key)?, *address).is_some() {
                return Err(StartError::Twice);
            }
        }
        Ok(Self { addresses })
    }

    /// Whom to keep links with, `room` of them at most. The configuration goes before what is on record, since who writes
    /// it knows the way from here.
    fn around(&self, company: &Company, room: usize) -> AddressableTrackedPeers<EngineKey> {
        let mut seats = BTreeMap::new();
        for seat in &company.set.seats {
            let Ok(key) = engine_key(&seat.validator.consensus) else { continue };
            match self.address(&key, seat) {
                Some(address) if seats.len() < room => drop(seats.insert(key, address)),
                Some(_) => {
                    tracing::error!(%key, "no room for this validator until the node is started again")
                }
                None => {
                    tracing::warn!(%key, "where this validator is reached is not known; list it among the peers")
                }
            }
        }
        // Who is configured and has no seat is an observer, or will join; who is expelled is neither.
        let expelled: Vec<_> =
            company.expelled.iter().filter_map(|it| engine_key(it).ok()).collect();
        let observers = self.addresses.iter().filter(|(key, _)| !expelled.contains(*key));
        let observers = observers.map(|(key, address)| (key.clone(), *address));
        let coming = company.joining.iter().chain(&company.leaving).filter_map(|seat| {
            // A card with a key that is no key comes to no seat that votes.
            let key = engine_key(&seat.validator.consensus).ok()?;
            let address = self.address(&key, seat)?;
            Some((key, address))
        });
        let mut others = BTreeMap::new();
        for (key, address) in coming.chain(observers) {
            if seats.contains_key(&key) || others.contains_key(&key) {
                continue;
            }
            if seats.len() + others.len() < room {
                others.insert(key, address);
            } else {
                tracing::warn!(%key, "no room for a link to this node until this one is started again");
            }
        }
        AddressableTrackedPeers::new(addressed(seats), addressed(others))
    }

    fn address(&self, key: &EngineKey, seat: &Seat) -> Option<SocketAddr> {
        let on_record = seat.address.as_ref().and_then(|it| it.as_str().parse().ok());
        self.addresses.get(key).copied().or(on_record)
    }
}

fn addressed(peers: BTreeMap<EngineKey, SocketAddr>) -> Map<EngineKey, Address> {
    Map::from_iter_dedup(peers.into_iter().map(|(key, address)| (key, address.into())))
}

fn engine_key(key: &PublicKey) -> Result<EngineKey, StartError> {
    EngineKey::read(&mut Copying(&key.0)).map_err(|_| StartError::NotKey(*key))
}

/// Stands where the simulator listens.
#[derive(Clone)]
struct NoListener;

impl commonware_consensus::Reporter for NoListener {
    type Activity = Update<Block>;

    fn report(&mut self, _: Update<Block>) -> commonware_actor::Feedback {
        unreachable!("it is never passed on")
    }
}

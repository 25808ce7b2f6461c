//! Encrypted links between validators over TCP, and a validator on them.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use commonware_codec::{Copying, ReadExt as _};
use commonware_consensus::marshal::Update;
use commonware_cryptography::{ChaCha20Poly1305, ed25519};
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
    id::{Location, PublicKey},
    limits::VALIDATORS_MAX,
    validators::{Seat, ValidatorSet},
};
use thiserror::Error;

use crate::{
    block::{Block, EngineKey},
    core::Core,
    index::{Index, IndexError},
    reader::{ReadError, Reader},
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
    let seats =
        index.handovers(0)?.last().map_or(genesis.validators.len(), |it| it.set.seats.len());
    let room = PEERS_MIN.max(2 * peers.addresses.len().max(seats));

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
    tracked.track(0, peers.around(&ValidatorSet::of(&genesis), &[], room));
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
            match Company::of(&core, &*reader).await {
                Ok(company) if around != Some(company.name()) => {
                    tracks += 1;
                    around = Some(company.name());
                    tracked.track(tracks, peers.around(&company.set, &company.joining, room));
                }
                Ok(_) => {}
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

/// Who validates, and who is to: whom a validator keeps links with.
struct Company {
    set: Arc<ValidatorSet>,
    change: Option<Location>,
    joining: List<Seat, VALIDATORS_MAX>,
}

impl Company {
    /// As the newest state says.
    async fn of(core: &Core, reader: &dyn Reader) -> Result<Self, ReadError> {
        let changing = reader.state(&[Key::Changing]).await?.pop().flatten();
        let (change, joining) = match changing {
            Some(Value::Changing(it)) => (Some(it.began), it.seats),
            _ => (None, List::new()),
        };
        Ok(Self { set: core.sets.newest(), change, joining })
    }

    /// Another one has another name.
    fn name(&self) -> (u64, Option<Location>) {
        (self.set.since, self.change)
    }
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

    /// Whom to keep links with while `set` validates and `joining` are to: `room` of them at most. The configuration goes
    /// before what is on record, since who writes it knows the way from here.
    fn around(
        &self,
        set: &ValidatorSet,
        joining: &[Seat],
        room: usize,
    ) -> AddressableTrackedPeers<EngineKey> {
        let mut seats = BTreeMap::new();
        for seat in &set.seats {
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
        // Who is configured and has no seat is an observer, or will join.
        let mut others = self.addresses.clone();
        for seat in joining {
            // A card with a key that is no key comes to no seat that votes.
            let Ok(key) = engine_key(&seat.validator.consensus) else { continue };
            if let Some(address) = self.address(&key, seat) {
                others.insert(key, address);
            }
        }
        others.retain(|key, _| !seats.contains_key(key));
        let others = others.into_iter().take(room - seats.len()).collect();
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

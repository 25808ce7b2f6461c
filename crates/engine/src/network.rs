//! Encrypted links between validators over TCP, and a validator on them.

use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};

use commonware_codec::{Copying, ReadExt as _};
use commonware_consensus::marshal::Update;
use commonware_cryptography::{ChaCha20Poly1305, Signer as _, ed25519};
use commonware_p2p::{Address, AddressableManager as _, authenticated::lookup};
use commonware_runtime::{Supervisor as _, tokio as runtime};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{
    NZUsize,
    ordered::{Map, Set},
};
use keepwell_crypto::command::chain_id;
use keepwell_merkle::certificate::consensus_namespace;
use keepwell_types::{genesis::Genesis, id::PublicKey};
use thiserror::Error;

use crate::{
    application::Scheme,
    block::{Block, EngineKey},
    index::IndexError,
    wiring::{self, Channels, Settings, Validator},
};

/// Clocks of two validators that talk to each other may differ by so much.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(5);

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
    /// The key is not one of the genesis file's.
    #[error(
        "the consensus key is not of a validator in the genesis file; check which key file the configuration names"
    )]
    NotValidator,
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

/// Starts a validator on the network.
pub async fn start(
    context: runtime::Context,
    genesis: Genesis,
    links: Links,
    settings: Settings,
) -> Result<Validator, StartError> {
    let secret = ed25519::PrivateKey::read(&mut Copying(links.secret.as_slice()))
        .expect("any 32 bytes make an Ed25519 key");
    let me = secret.public_key();
    let validators = genesis
        .validators
        .iter()
        .map(|validator| engine_key(&validator.consensus))
        .collect::<Result<Vec<_>, _>>()?;
    let count = validators.len();
    let chain = chain_id(&genesis);
    let namespace = consensus_namespace(&chain);
    let scheme = Scheme::signer(&namespace, Set::from_iter_dedup(validators), secret.clone())
        .ok_or(StartError::NotValidator)?;

    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: secret,
            synchrony_bound: CLOCK_DIFFERENCE_MAX,
            max_handshake_age: 2 * CLOCK_DIFFERENCE_MAX,
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let mut config = lookup::Config::local(
        handshake,
        &[b"keepwell/peers/v1/", chain.as_bytes().as_slice()].concat(),
        links.listen,
        // Mailboxes have room for a burst of each peer in each set, all of it allocated at the start.
        NonZeroUsize::new(count).ok_or(StartError::NotValidator)?,
        wiring::message_bytes_max(count as u32),
        NZUsize!(1024),
    );
    config.tracked_peer_sets = NZUsize!(1);
    config.peer_connection_cooldown = Duration::from_millis(500);
    config.dial_frequency = Duration::from_millis(100);
    let (mut network, mut oracle) = lookup::Network::new(context.child("network"), config);
    let peers: Vec<(EngineKey, Address)> = links
        .addresses
        .iter()
        .map(|(key, address)| Ok((engine_key(key)?, (*address).into())))
        .collect::<Result<_, StartError>>()?;
    let peers: Map<EngineKey, Address> = peers.try_into().map_err(|_| StartError::Twice)?;
    oracle.track(0, peers);
    let channels = Channels::new(
        wiring::channels()
            .into_iter()
            .map(|(channel, quota)| network.register(channel, quota))
            .collect::<Vec<_>>(),
    );
    network.start();
    let validator = wiring::start(
        context.child("engine"),
        me,
        scheme,
        genesis,
        oracle.clone(),
        oracle,
        channels,
        settings,
        None::<NoListener>,
    )
    .await?;
    Ok(validator)
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

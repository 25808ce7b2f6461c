//! Checking everything that a stopped validator has on disk, against the genesis file only.
//!
//! Certificates are verified, every block is executed again, and what comes of it is compared with
//! the headers, the index and the state's database. The first thing that is wrong is named.
//!
//! Where a validator began from the state of others, [`begun`] says what is compared instead.

mod begun;

use commonware_consensus::simplex::types::Finalization;
use commonware_cryptography::certificate::Verifier as _;
use commonware_runtime::{Clock, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_storage::archive::{Archive as _, Identifier, prunable};
use commonware_storage::translator::TwoCap;
use commonware_utils::{NZU16, NZUsize};
use keepwell_merkle::{
    certificate::{CertificateError, Validators},
    handover::{Handover, HandoverError},
};
use keepwell_types::{block::Certificate, genesis::Genesis, id::Height, validators::ValidatorSet};
use rand_core::CryptoRng;
use thiserror::Error;

use crate::{
    application::Scheme,
    block::{Block, EngineDigest, to_engine},
    index::{Index, IndexError},
    protocol::Known,
    reader::certificate_of,
    replay::{Replay, ReplayError},
    state::{StateContext, StateDb, state_config},
    wiring::{archive_config, genesis_block},
};

/// What a check found in order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sound {
    /// Blocks that were executed again.
    pub blocks: u64,
    /// Certificates that were verified.
    pub certificates: u64,
    /// Entries of the state that were compared.
    pub entries: u64,
    /// Whether the node has yet to execute its blocks: it was restored, and did not run since. Or it has yet to fetch
    /// the state that it begins from.
    pub unbuilt: bool,
    /// The block that it began from; its blocks were not executed again.
    pub floor: Option<Height>,
}

/// What is wrong on disk.
#[derive(Debug, Error)]
pub enum Unsound {
    /// A store cannot be opened or read.
    #[error(
        "the store of {what} cannot be read: {reason}; restore this node from a backup or a peer"
    )]
    Store {
        /// Which store.
        what: &'static str,
        /// What it said.
        reason: String,
    },
    /// The genesis file.
    #[error("the genesis file cannot be used: {0}")]
    Genesis(#[from] CertificateError),
    /// A certificate does not hold.
    #[error("the certificate of block {height} is bad: {source}; restore this node from a peer")]
    Certificate {
        /// The block.
        height: Height,
        /// What is wrong.
        source: CertificateError,
    },
    /// A certificate is of another block.
    #[error("the certificate at height {0} is of another block; restore this node from a peer")]
    OtherBlock(Height),
    /// Others validate after a block, and what proves it is missing.
    #[error(
        "block {0} hands over to other validators and has no certificate; restore this node from a peer"
    )]
    NoHandover(Height),
    /// A hand-over does not hold.
    #[error("{0}; restore this node from a peer")]
    Handover(#[from] HandoverError),
    /// A block is not what validators agreed on.
    #[error("{0}; restore this node from a peer")]
    Replay(#[from] ReplayError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The index differs from the blocks.
    #[error(
        "the index differs from block {0}; remove its folder and start the node: it is built again"
    )]
    IndexDiffers(Height),
    /// The state is of no block.
    #[error(
        "the state's root is that of no block on this disk; restore this node from a backup or a peer"
    )]
    StateRoot,
    /// The state differs from the blocks.
    #[error(
        "an entry of the state differs from what the blocks give; restore this node from a backup or a peer"
    )]
    StateDiffers,
    /// What a validator began from is not what others certified.
    #[error(
        "what this node began from is not certified by the consortium's validators; remove what is in its folder but the sealed objects, and start it with `archive = true`"
    )]
    Floor,
    /// The index differs from the blocks or the state, and the node began from a state.
    #[error(
        "the index differs from the blocks or the state, and cannot be built without the blocks before; remove what is in the node's folder but the sealed objects, and start it with `archive = true`"
    )]
    LinesDiffer,
}

fn store<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Unsound {
    move |error| Unsound::Store { what, reason: error.to_string() }
}

type Finalized = Finalization<Scheme, EngineDigest>;

/// What a stopped validator has on disk.
struct Stores<E: StateContext> {
    certificates: prunable::Archive<TwoCap, E, EngineDigest, Finalized>,
    blocks: prunable::Archive<TwoCap, E, EngineDigest, Block>,
    state: StateDb<E>,
}

impl<E> Stores<E>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    async fn open(context: &E, prefix: &str) -> Result<Self, Unsound> {
        let page_cache = CacheRef::new(NZU16!(4096), NZUsize!(1024));
        let config = Scheme::certificate_codec_config_unbounded();
        let config = archive_config(prefix, "finalizations", page_cache.clone(), config);
        let certificates = prunable::Archive::init(context.child("finalizations"), config);
        let certificates = certificates.await.map_err(store("certificates"))?;
        let config = archive_config(prefix, "blocks", page_cache.clone(), ());
        let blocks = prunable::Archive::init(context.child("blocks"), config);
        let blocks = blocks.await.map_err(store("blocks"))?;
        let config = state_config(prefix, page_cache);
        let state = StateDb::<E>::init(context.child("state"), config, None);
        let state = state.await.map_err(store("the state"))?;
        Ok(Self { certificates, blocks, state })
    }

    async fn block(&self, height: u64) -> Result<Option<Block>, Unsound> {
        self.blocks.get(Identifier::Index(height)).await.map_err(store("blocks"))
    }

    /// The certificate of a block, verified, if it has one of its own.
    async fn certificate(
        &self,
        block: &Block,
        validators: &Validators,
    ) -> Result<Option<Certificate>, Unsound> {
        let height = block.header().height;
        let stored = self.certificates.get(Identifier::Index(height.0)).await;
        let stored: Option<Finalized> = stored.map_err(store("certificates"))?;
        let Some(certificate) = stored.as_ref().and_then(certificate_of) else { return Ok(None) };
        if certificate.block != block.id() {
            return Err(Unsound::OtherBlock(height));
        }
        validators
            .verify_header(block.header(), &certificate)
            .map_err(|source| Unsound::Certificate { height, source })?;
        Ok(Some(certificate))
    }
}

/// Follows a block that hands over to other validators.
fn hand_over(
    validators: &mut Validators,
    block: &Block,
    certificate: Option<Certificate>,
    set: ValidatorSet,
) -> Result<(), Unsound> {
    let header = block.header().clone();
    let certificate = certificate.ok_or(Unsound::NoHandover(header.height))?;
    Ok(validators.advance(&Handover { header, certificate, set })?)
}

/// Checks the stores that begin with `prefix`, and the index.
pub async fn check<E>(
    context: E,
    genesis: &Genesis,
    prefix: &str,
    index: &Index,
    known: &Known,
    mut progress: impl FnMut(u64),
) -> Result<Sound, Unsound>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    let mut validators = Validators::of(genesis)?;
    let stores = Stores::open(&context, prefix).await?;
    if let Some(floor) = index.floor()? {
        return begun::check(&stores, validators, &floor, index, progress).await;
    }

    let root = stores.state.root();
    let first = genesis_block::<E>(genesis);
    let mut replay = Replay::new(genesis.clone(), &first, known.clone());
    let mut sound = Sound::default();
    let mut compared = false;
    for height in 1.. {
        let Some(block) = stores.block(height).await? else { break };
        let executed = replay.block(&block)?;
        sound.blocks += 1;
        let certificate = stores.certificate(&block, &validators).await?;
        sound.certificates += u64::from(certificate.is_some());
        if let Some(set) = executed.next.clone() {
            hand_over(&mut validators, &block, certificate, set)?;
        }
        if let Some(line) = index.block(Height(height))?
            && (line.id != block.id() || *line.outcomes != *executed.outcomes)
        {
            return Err(Unsound::IndexDiffers(Height(height)));
        }
        if block.header().state.0 == root.0 && !compared {
            for (key, value) in replay.state() {
                let stored = stores.state.get(&to_engine(key.to_bytes())).await;
                let stored = stored.map_err(store("the state"))?;
                if stored.as_deref() != Some(value.encode().as_slice()) {
                    return Err(Unsound::StateDiffers);
                }
                sound.entries += 1;
            }
            compared = true;
        }
        progress(height);
    }
    if !compared && sound.blocks > 0 {
        if index.height()? > Height(0) || !is_empty(&stores.state, &replay).await? {
            return Err(Unsound::StateRoot);
        }
        sound.unbuilt = true;
    }
    Ok(sound)
}

/// Whether the state has nothing of what the blocks give.
async fn is_empty<E>(state: &StateDb<E>, replay: &Replay) -> Result<bool, Unsound>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    for (key, _) in replay.state() {
        if state.get(&to_engine(key.to_bytes())).await.map_err(store("the state"))?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

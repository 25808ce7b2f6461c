//! Checking everything that a stopped validator has on disk, against the genesis file only.
//!
//! Certificates are verified, every block is executed again, and what comes of it is compared with
//! the headers, the index and the state's database. The first thing that is wrong is named.

use commonware_cryptography::certificate::Verifier as _;
use commonware_runtime::{Clock, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_storage::archive::{Archive as _, Identifier, prunable};
use commonware_storage::translator::TwoCap;
use commonware_utils::{NZU16, NZUsize};
use keepwell_merkle::{
    certificate::{CertificateError, Validators},
    handover::{Handover, HandoverError},
};
use keepwell_types::{genesis::Genesis, id::Height};
use rand_core::CryptoRng;
use thiserror::Error;

use crate::{
    application::Scheme,
    block::{Block, EngineDigest, to_engine},
    index::{Index, IndexError},
    protocol::Known,
    reader::certificate_of,
    replay::{Replay, ReplayError},
    state::{StateDb, state_config},
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
    /// Whether the node has yet to execute its blocks: it was restored, and did not run since.
    pub unbuilt: bool,
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
}

fn store<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Unsound {
    move |error| Unsound::Store { what, reason: error.to_string() }
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
    let page_cache = CacheRef::new(NZU16!(4096), NZUsize!(1024));
    let certificates = prunable::Archive::<TwoCap, _, EngineDigest, _>::init(
        context.child("finalizations"),
        archive_config(
            prefix,
            "finalizations",
            page_cache.clone(),
            Scheme::certificate_codec_config_unbounded(),
        ),
    )
    .await
    .map_err(store("certificates"))?;
    let blocks = prunable::Archive::<TwoCap, _, EngineDigest, Block>::init(
        context.child("blocks"),
        archive_config(prefix, "blocks", page_cache.clone(), ()),
    )
    .await
    .map_err(store("blocks"))?;
    let state = StateDb::<E>::init(context.child("state"), state_config(prefix, page_cache), None)
        .await
        .map_err(store("the state"))?;

    let root = state.root();
    let first = genesis_block::<E>(genesis);
    let mut replay = Replay::new(genesis.clone(), &first, known.clone());
    let mut sound = Sound::default();
    let mut compared = false;
    for height in 1.. {
        let block: Option<Block> =
            blocks.get(Identifier::Index(height)).await.map_err(store("blocks"))?;
        let Some(block) = block else { break };
        let executed = replay.block(&block)?;
        sound.blocks += 1;
        let certificate: Option<
            commonware_consensus::simplex::types::Finalization<Scheme, EngineDigest>,
        > = certificates.get(Identifier::Index(height)).await.map_err(store("certificates"))?;
        let certificate = certificate.as_ref().and_then(certificate_of);
        if let Some(certificate) = &certificate {
            if certificate.block != block.id() {
                return Err(Unsound::OtherBlock(Height(height)));
            }
            validators
                .verify_header(block.header(), certificate)
                .map_err(|source| Unsound::Certificate { height: Height(height), source })?;
            sound.certificates += 1;
        }
        if let Some(set) = executed.next.clone() {
            let certificate = certificate.ok_or(Unsound::NoHandover(Height(height)))?;
            let header = block.header().clone();
            validators.advance(&Handover { header, certificate, set })?;
        }
        if let Some(line) = index.block(Height(height))?
            && (line.id != block.id() || *line.outcomes != *executed.outcomes)
        {
            return Err(Unsound::IndexDiffers(Height(height)));
        }
        if block.header().state.0 == root.0 && !compared {
            for (key, value) in replay.state() {
                let stored =
                    state.get(&to_engine(key.to_bytes())).await.map_err(store("the state"))?;
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
        if index.height()? > Height(0) || !is_empty(&state, &replay).await? {
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

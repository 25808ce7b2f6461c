//! Filling the stores of a node that never ran with the blocks of a backup.
//!
//! ```text
//!  stored blocks ─> certificate, parent, executed again ─> stores of blocks and certificates
//! ```
//!
//! A node that starts on these stores executes their blocks as if it had been away, so that its state and its index
//! come about as on any other node.
//!
//! # Invariants
//!
//! * Only final blocks are stored: what comes after the last certificate is left to the node's peers.
//! * What is stored follows from the genesis file: certificates are verified and outcomes computed again.
//!
//! * The node does not vote before it has newer blocks: no backup has the votes that it cast ([`crate::abstention`]).

use commonware_codec::{Copying, ReadExt as _};
use commonware_consensus::{
    simplex::types::{Finalization, Proposal},
    types::{Epoch, Round, View},
};
use commonware_cryptography::{
    Digestible as _,
    certificate::{Signers, Verifier as _},
    ed25519,
};
use commonware_runtime::{Clock, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_storage::{
    archive::{Archive as _, prunable},
    translator::TwoCap,
};
use commonware_utils::{NZU16, NZUsize, Participant};
use keepwell_merkle::{
    certificate::{CertificateError, Validators},
    handover::{Handover, HandoverError},
};
use keepwell_types::{block::Certificate, genesis::Genesis, id::Height, wire::StoredBlock};
use rand_core::CryptoRng;
use thiserror::Error;

use crate::{
    abstention,
    application::Scheme,
    block::{Block, EngineDigest, to_engine},
    protocol::Known,
    replay::{Replay, ReplayError},
    speculation::ExecutedBlock,
    wiring::{archive_config, genesis_block},
};

/// Blocks that are stored before the stores are made durable.
const SYNC_BLOCKS: u64 = 1_024;

/// A block that is none of this consortium's, or stores that fail.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The genesis file.
    #[error("the genesis file cannot be used: {0}")]
    Genesis(CertificateError),
    /// Not a block.
    #[error("what stands in the place of block {0} is damaged; take another backup")]
    Damaged(Height),
    /// Others validate after a block, and what proves it is missing.
    #[error("block {0} hands over to other validators and has no certificate; take another backup")]
    NoHandover(Height),
    /// A hand-over does not hold.
    #[error("{0}; take another backup")]
    Handover(#[from] HandoverError),
    /// A bad certificate.
    #[error("the certificate of block {height} is bad: {source}; take another backup")]
    Certificate {
        /// The block.
        height: Height,
        /// What is wrong.
        source: CertificateError,
    },
    /// The block is not what validators agreed on.
    #[error("{0}; take another backup")]
    Replay(#[from] ReplayError),
    /// The disk.
    #[error(
        "the new node's stores cannot be written: {0}; make room, remove the node's folder, then restore again"
    )]
    Store(String),
}

type Finalized = Finalization<Scheme, EngineDigest>;
type Blocks<E> = prunable::Archive<TwoCap, E, EngineDigest, Block>;
type Certificates<E> = prunable::Archive<TwoCap, E, EngineDigest, Finalized>;

/// The stores while they are filled.
pub struct Import<E: Storage + Clock + Spawner + Metrics> {
    stores: Option<(Blocks<E>, Certificates<E>)>,
    validators: Validators,
    replay: Replay,
    /// Blocks since the last certificate: not known to be final yet.
    waiting: Vec<Block>,
    next: Height,
    stored: u64,
}

impl<E> Import<E>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    /// Opens new stores, whose names begin with `prefix`, for blocks of the protocols that are `known`.
    pub async fn open(
        context: E,
        genesis: &Genesis,
        prefix: &str,
        known: &Known,
    ) -> Result<Self, ImportError> {
        let validators = Validators::of(genesis).map_err(ImportError::Genesis)?;
        abstention::note(&context, prefix).await.map_err(store)?;
        let page_cache = CacheRef::new(NZU16!(4096), NZUsize!(1024));
        let config = Scheme::certificate_codec_config_unbounded();
        let config = archive_config(prefix, "finalizations", page_cache.clone(), config);
        let certificates =
            Certificates::init(context.child("finalizations"), config).await.map_err(store)?;
        let config = archive_config(prefix, "blocks", page_cache, ());
        let blocks = Blocks::init(context.child("blocks"), config).await.map_err(store)?;
        let first = genesis_block::<E>(genesis);
        Ok(Self {
            stores: Some((blocks, certificates)),
            validators,
            replay: Replay::new(genesis.clone(), &first, known.clone()),
            waiting: Vec::new(),
            next: Height(1),
            stored: 0,
        })
    }

    /// Takes the next block, and says what came of it. The block is stored once a certificate covers it.
    pub async fn put(
        &mut self,
        stored: &StoredBlock,
    ) -> Result<(Block, ExecutedBlock), ImportError> {
        let height = self.next;
        let block = Block::from_wire(&stored.block).ok_or(ImportError::Damaged(height))?;
        let executed = self.replay.block(&block)?;
        self.waiting.push(block.clone());
        self.next = Height(height.0 + 1);
        if let Some(certificate) = &stored.certificate {
            let finalized = self.finalized(height, &block, certificate)?;
            self.store(&finalized).await?;
        }
        if let Some(set) = executed.next.clone() {
            let certificate = stored.certificate.clone().ok_or(ImportError::NoHandover(height))?;
            let header = block.header().clone();
            self.validators.advance(&Handover { header, certificate, set })?;
        }
        Ok((block, executed))
    }

    /// Makes everything durable, and says how many blocks are stored.
    pub async fn finish(mut self) -> Result<u64, ImportError> {
        self.sync().await?;
        Ok(self.stored)
    }

    fn finalized(
        &self,
        height: Height,
        block: &Block,
        certificate: &Certificate,
    ) -> Result<Finalized, ImportError> {
        self.validators
            .verify_header(block.header(), certificate)
            .map_err(|source| ImportError::Certificate { height, source })?;
        let validators = self.validators.in_force(certificate.epoch).seats.len() as u32;
        finalization_of(certificate, validators).ok_or(ImportError::Damaged(height))
    }

    async fn store(&mut self, finalized: &Finalized) -> Result<(), ImportError> {
        let (mut blocks, mut certificates) = self.take_stores();
        for block in self.waiting.drain(..) {
            let height = block.header().height.0;
            blocks = blocks.put(height, block.digest(), &block).await.map_err(store)?;
            self.stored = height;
        }
        let payload = finalized.proposal.payload;
        certificates = certificates.put(self.stored, payload, finalized).await.map_err(store)?;
        self.stores = Some((blocks, certificates));
        if self.stored.is_multiple_of(SYNC_BLOCKS) { self.sync().await } else { Ok(()) }
    }

    async fn sync(&mut self) -> Result<(), ImportError> {
        let (blocks, certificates) = self.take_stores();
        let blocks = blocks.sync().await.map_err(store)?;
        let certificates = certificates.sync().await.map_err(store)?;
        self.stores = Some((blocks, certificates));
        Ok(())
    }

    /// The stores' own methods take them and give them back; an error leaves none.
    fn take_stores(&mut self) -> (Blocks<E>, Certificates<E>) {
        self.stores.take().expect("nothing is imported after an error")
    }
}

fn store(error: impl std::fmt::Display) -> ImportError {
    ImportError::Store(error.to_string())
}

/// The block that all nodes of a consortium start from.
pub fn first_block(genesis: &Genesis) -> Block {
    genesis_block::<commonware_runtime::tokio::Context>(genesis)
}

/// The engine's form of a certificate: the reverse of [`crate::reader::certificate_of`].
pub(crate) fn finalization_of(certificate: &Certificate, validators: u32) -> Option<Finalized> {
    let round = Round::new(Epoch::new(certificate.epoch), View::new(certificate.view));
    let payload = to_engine(certificate.block.0);
    let proposal = Proposal::new(round, View::new(certificate.parent_view), payload);
    let signers = certificate.votes.iter().map(|vote| Participant::new(u32::from(vote.validator)));
    let signers = Signers::new(validators, signers).ok()?;
    let signatures = certificate
        .votes
        .iter()
        .map(|vote| ed25519::Signature::read(&mut Copying(&vote.signature.0)).ok().map(Into::into))
        .collect::<Option<Vec<_>>>()?;
    let certificate = ed25519::certificate::Certificate { signers, signatures };
    Some(Finalization { proposal, certificate })
}

//! Reading what is final: the state at the tip, blocks, certificates, and proofs of them.
//!
//! [`Reader`] hides the runtime's type, so that what is built on it is compiled once and is the same
//! over the simulator's runtime.

use std::{pin::Pin, sync::Arc};

use commonware_codec::Encode as _;
use commonware_consensus::{
    marshal::{core::Mailbox as MarshalMailbox, standard::Standard},
    simplex::types::Finalization,
    types::Height as EngineHeight,
};
use keepwell_ledger::state::{Key, Value};
use keepwell_merkle::{
    handover::Handover,
    range,
    receipt::{Ancestry, CertifiedHeader},
};
use keepwell_types::{
    block::{Certificate, Vote},
    command::Entry,
    encoding::{Blob, List},
    id::{BlockId, Height, Signature},
    limits::COMMAND_BYTES_MAX,
    wire::{StateProof, StoredBlock},
};
use thiserror::Error;

use crate::{
    application::Scheme,
    block::{Block, EngineDigest, to_engine},
    core::Core,
    state::{Databases, StateContext},
};

/// The engine's ordered store of final blocks.
pub type Marshal = MarshalMailbox<Scheme, Standard<Block>>;
type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How many heights are searched for a certificate: later ones that cover a block, or those below the tip.
const CERTIFICATE_SEARCH: u64 = 1_024;

/// Something could not be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ReadError {
    /// The node has not come so far, or began later.
    #[error(
        "this node does not have it, or not yet; ask another node, or this one again in a second"
    )]
    NotHere,
    /// The disk failed, or what is on it is damaged.
    #[error("this node cannot read its own disk; its operator should run `keepwell fsck`")]
    Storage,
}

/// Reads what is final.
pub trait Reader: Send + Sync {
    /// Values of the state at the newest tip, in the order of `keys`.
    fn state<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Result<Vec<Option<Value>>, ReadError>>;

    /// A value of the state, or its absence, with proof against a certified block.
    fn prove<'a>(&'a self, key: &'a Key) -> Answer<'a, Result<StateProof, ReadError>>;

    /// The root of the state.
    fn root(&self) -> Answer<'_, [u8; 32]>;

    /// A final block.
    fn block(&self, height: Height) -> Answer<'_, Result<Block, ReadError>>;

    /// A final block with its own certificate, if it has one.
    fn stored(&self, height: Height) -> Answer<'_, Result<StoredBlock, ReadError>>;

    /// A final block's header, with what proves it final.
    fn certified(&self, height: Height) -> Answer<'_, Result<CertifiedHeader, ReadError>>;

    /// The newest final header that has a certificate of its own: the tip's may come a moment after it.
    fn newest_certified(&self) -> Answer<'_, Result<CertifiedHeader, ReadError>>;

    /// Hand-overs to validators from an epoch from `since` on, in order, so many at most.
    fn handovers(&self, since: u64, max: usize) -> Answer<'_, Result<Vec<Handover>, ReadError>>;
}

/// A [`Reader`] over the engine's own stores.
pub struct EngineReader<E: StateContext> {
    core: Arc<Core>,
    databases: Databases<E>,
    marshal: Marshal,
}

impl<E: StateContext> EngineReader<E> {
    /// Reads from these.
    pub const fn new(core: Arc<Core>, databases: Databases<E>, marshal: Marshal) -> Self {
        Self { core, databases, marshal }
    }

    async fn certificate(&self, height: Height) -> Option<Certificate> {
        let finalization = self.marshal.get_finalization(EngineHeight::new(height.0)).await?;
        certificate_of(&finalization)
    }

    async fn certify(&self, height: Height) -> Result<CertifiedHeader, ReadError> {
        let header = self.header(height).await?;
        if let Some(certificate) = self.certificate(height).await {
            return Ok(CertifiedHeader { header, ancestry: None, certificate });
        }
        // Final through a descendant: any later certified header commits to this block's id.
        let tip = self.core.tip().height();
        for later in height.0 + 1..=tip.0.min(height.0 + CERTIFICATE_SEARCH) {
            let Some(certificate) = self.certificate(Height(later)).await else { continue };
            let descendant = self.header(Height(later)).await?;
            let path =
                range::prove(&self.core.index, later, height.0).map_err(|_| ReadError::Storage)?;
            let ancestry = Some(Ancestry { path, descendant });
            return Ok(CertifiedHeader { header, ancestry, certificate });
        }
        Err(ReadError::NotHere)
    }

    async fn certify_newest(&self) -> Result<CertifiedHeader, ReadError> {
        let tip = self.core.tip().height().0;
        for height in (tip.saturating_sub(CERTIFICATE_SEARCH).max(1)..=tip).rev().map(Height) {
            if let Some(certificate) = self.certificate(height).await {
                let header = self.header(height).await?;
                return Ok(CertifiedHeader { header, ancestry: None, certificate });
            }
        }
        Err(ReadError::NotHere)
    }

    async fn header(&self, height: Height) -> Result<keepwell_types::block::Header, ReadError> {
        Ok(self.read_block(height).await?.header().clone())
    }

    async fn read_block(&self, height: Height) -> Result<Block, ReadError> {
        if height == Height(0) {
            return Ok(self.core.genesis_block.clone());
        }
        let block = self.marshal.get_block(EngineHeight::new(height.0)).await;
        Ok(block.ok_or(ReadError::NotHere)?.inner().clone())
    }

    async fn read_handovers(&self, since: u64, max: usize) -> Result<Vec<Handover>, ReadError> {
        let lines = self.core.index.handovers(since).map_err(|_| ReadError::Storage)?;
        let floor = self.core.index.floor().map_err(|_| ReadError::Storage)?;
        let earlier = floor.map_or_else(Vec::new, |floor| floor.handovers.into_vec());
        let mut handovers = Vec::new();
        for line in lines.into_iter().take(max) {
            // Blocks from before it began are not here; their hand-overs are.
            if let Some(known) = earlier.iter().find(|it| it.header.height == line.height) {
                handovers.push(known.clone());
                continue;
            }
            let header = self.header(line.height).await?;
            // No later block of its epoch could stand in for it.
            let certificate = self.certificate(line.height).await.ok_or(ReadError::NotHere)?;
            handovers.push(Handover { header, certificate, set: line.set });
        }
        Ok(handovers)
    }

    async fn read_stored(&self, height: Height) -> Result<StoredBlock, ReadError> {
        let block = self.read_block(height).await?.encode().to_vec();
        let block = Blob::from_vec(block).map_err(|_| ReadError::Storage)?;
        Ok(StoredBlock { block, certificate: self.certificate(height).await })
    }

    async fn read_state(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, ReadError> {
        let digests: Vec<_> = keys.iter().map(|key| to_engine(key.to_bytes())).collect();
        let database = self.databases.read().await;
        let values = database
            .get_many(&digests.iter().collect::<Vec<_>>())
            .await
            .map_err(|_| ReadError::Storage)?;
        values
            .into_iter()
            .map(|value| value.map(|bytes| Value::decode(&bytes)).transpose())
            .collect::<Result<_, _>>()
            .map_err(|_| ReadError::Storage)
    }

    async fn read_proof(&self, key: &Key) -> Result<StateProof, ReadError> {
        let digest = to_engine(key.to_bytes());
        let (root, value, proof) = {
            let database = self.databases.read().await;
            let value = database.get(&digest).await.map_err(|_| ReadError::Storage)?;
            let proof = match value {
                Some(_) => database.key_value_proof(digest).await.map(|it| it.encode()),
                None => database.exclusion_proof(&digest).await.map(|it| it.encode()),
            };
            (database.root(), value, proof.map_err(|_| ReadError::Storage)?)
        };
        let header = self.core.header_with_state(root.0).ok_or(ReadError::NotHere)?;
        let certified = self.certify(header.height).await?;
        let value = value.map(Blob::from_vec).transpose().map_err(|_| ReadError::Storage)?;
        Ok(StateProof {
            certified: Blob::from_vec(certified.encode()).map_err(|_| ReadError::Storage)?,
            value,
            proof: Blob::from_vec(proof.to_vec()).map_err(|_| ReadError::Storage)?,
        })
    }
}

impl<E: StateContext> Reader for EngineReader<E> {
    fn state<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Result<Vec<Option<Value>>, ReadError>> {
        Box::pin(self.read_state(keys))
    }

    fn prove<'a>(&'a self, key: &'a Key) -> Answer<'a, Result<StateProof, ReadError>> {
        Box::pin(self.read_proof(key))
    }

    fn root(&self) -> Answer<'_, [u8; 32]> {
        Box::pin(async { self.databases.read().await.root().0 })
    }

    fn block(&self, height: Height) -> Answer<'_, Result<Block, ReadError>> {
        Box::pin(self.read_block(height))
    }

    fn stored(&self, height: Height) -> Answer<'_, Result<StoredBlock, ReadError>> {
        Box::pin(self.read_stored(height))
    }

    fn certified(&self, height: Height) -> Answer<'_, Result<CertifiedHeader, ReadError>> {
        Box::pin(self.certify(height))
    }

    fn newest_certified(&self) -> Answer<'_, Result<CertifiedHeader, ReadError>> {
        Box::pin(self.certify_newest())
    }

    fn handovers(&self, since: u64, max: usize) -> Answer<'_, Result<Vec<Handover>, ReadError>> {
        Box::pin(self.read_handovers(since, max))
    }
}

/// Our form of the engine's certificate.
pub fn certificate_of(finalization: &Finalization<Scheme, EngineDigest>) -> Option<Certificate> {
    let proposal = &finalization.proposal;
    let votes = finalization
        .certificate
        .signers
        .iter()
        .zip(&finalization.certificate.signatures)
        .map(|(signer, signature)| {
            let mut bytes = [0; 64];
            bytes.copy_from_slice(signature.get()?.as_ref());
            let validator = u16::try_from(signer.get()).ok()?;
            Some(Vote { validator, signature: Signature(bytes) })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Certificate {
        epoch: proposal.round.epoch().get(),
        view: proposal.round.view().get(),
        parent_view: proposal.parent.get(),
        block: BlockId(proposal.payload.0),
        votes: List::from_vec(votes).ok()?,
    })
}

/// The entry at a place in a block.
pub fn entry_at(block: &Block, index: u32) -> Result<Entry, ReadError> {
    let raw = block.entries().get(index as usize).ok_or(ReadError::NotHere)?;
    keepwell_types::decode(raw.bytes(), COMMAND_BYTES_MAX).map_err(|_| ReadError::Storage)
}

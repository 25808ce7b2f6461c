//! The state's database: an authenticated, ordered map from key digests to encoded values.
//!
//! A key is `keepwell_ledger::state::Key::to_bytes`, a value is the encoded entry itself
//! (`docs/decisions/0002`). The root after each block is in its header.

use std::convert::Infallible;

use commonware_codec::RangeCfg;
use commonware_cryptography::{Sha256, sha256};
use commonware_glue::stateful::db::{AttachableResolver, Shared};
use commonware_parallel::Sequential;
use commonware_runtime::{Spawner, buffer::paged::CacheRef};
use commonware_storage::{
    Context as StorageContext,
    journal::contiguous::variable::Config as LogConfig,
    mmr::{self, full::Config as MmrConfig},
    qmdb::{
        any::ordered::variable::Operation,
        current::{VariableConfig, ordered::variable},
        sync::{Request, Source, source},
    },
    translator::EightCap,
};
use commonware_utils::{NZU64, NZUsize};
use keepwell_types::limits::STATE_VALUE_BYTES_MAX;

/// A value as the database holds it.
pub type StateValue = Vec<u8>;
/// One step of the database's log.
pub type StateOperation = Operation<mmr::Family, sha256::Digest, StateValue>;
/// Bytes of one chunk of the bitmap that says which operations are live.
pub const BITMAP_CHUNK: usize = 32;
/// The database.
pub type StateDb<E> = variable::Db<
    mmr::Family,
    E,
    sha256::Digest,
    StateValue,
    Sha256,
    EightCap,
    BITMAP_CHUNK,
    Sequential,
>;
/// The database as the engine shares it out.
pub type Databases<E> = Shared<StateDb<E>>;

/// What reading an operation back needs: nothing for its key, a limit for its value.
pub type OperationConfig = ((), (RangeCfg<usize>, ()));

/// How bytes of an operation are read back.
pub fn operation_config() -> OperationConfig {
    ((), (RangeCfg::new(0..=STATE_VALUE_BYTES_MAX), ()))
}

/// Configuration of the database in the partitions that begin with `prefix`.
pub fn state_config(
    prefix: &str,
    page_cache: CacheRef,
) -> VariableConfig<EightCap, OperationConfig, Sequential> {
    let buffer = NZUsize!(1 << 20);
    VariableConfig {
        merkle_config: MmrConfig {
            journal_partition: format!("{prefix}-state-mmr-journal"),
            metadata_partition: format!("{prefix}-state-mmr-metadata"),
            items_per_blob: NZU64!(1 << 20),
            write_buffer: buffer,
            replay_buffer: buffer,
            strategy: Sequential,
            page_cache: page_cache.clone(),
        },
        journal_config: LogConfig {
            partition: format!("{prefix}-state-log"),
            items_per_section: NZU64!(1 << 18),
            compression: None,
            codec_config: operation_config(),
            page_cache,
            write_buffer: buffer,
            replay_buffer: buffer,
        },
        grafted_metadata_partition: format!("{prefix}-state-grafted"),
        translator: EightCap,
        init_cache: Some(NZUsize!(1 << 16)),
        init_buffer: NZUsize!(1 << 21),
        init_concurrency: (),
    }
}

/// Where the engine would fetch state from: nowhere. What a new node begins from is there before the engine starts
/// ([`crate::sync`]), so this source is never asked.
#[derive(Clone, Copy, Debug)]
pub struct NoStateSync;

impl<DB: Send + Sync + 'static> AttachableResolver<DB> for NoStateSync {
    async fn attach_database(&self, _: Shared<DB>) {}
}

impl Source for NoStateSync {
    type Family = mmr::Family;
    type Digest = sha256::Digest;
    type Op = StateOperation;
    type Error = Infallible;

    async fn serve(&self, _: Request<Self::Family>) -> source::Result<Self> {
        std::future::pending().await
    }
}

/// What a runtime must bring to hold the database.
pub trait StateContext: StorageContext + Spawner {}

impl<E: StorageContext + Spawner> StateContext for E {}

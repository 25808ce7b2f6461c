//! The release service: this validator's shares for committed accesses.
//!
//! ```text
//!  request ─> newest block fresh? ─> access in the chart's log, accepted, of the asker
//!                                       │ (waits up to 2 s for it)
//!                                       v
//!            ledger: still allowed, on the newest state ─> each capsule is the ledger's ─> shares
//! ```
//!
//! # Invariants
//!
//! * Everything is checked on this node's own newest state; nothing that the asker says is believed,
//!   nothing is asked of another node.
//! * What was checked is what is released: if a block came in between, it is checked again.
//! * Asking again for the same access with the same key gives shares again; another key, never. The
//!   key's digest is in the access, so nothing needs to be remembered for it.
//!
//! Not here: what the shares are (`keepwell_crypto::release`), the rules (`keepwell_ledger::release`).

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use keepwell_crypto::{
    capsule::SaltedCapsule,
    release::{self as sharing, Access, Expected},
    seal::SealingPublic,
};
use keepwell_engine::{
    core::{Core, Tip},
    reader::{ReadError, Reader},
};
use keepwell_ledger::{
    View,
    release::{Accepted, ReleaseHalt, ReleaseRefusal, release_check},
    state::{Key, RecordEntry, Value},
};
use keepwell_types::{
    id::{ChartId, LogPosition},
    member::Party,
    wire::{ReleaseAnswer, ReleaseRequest},
};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use crate::{
    api::error::Fault,
    clock::{Clock, TIP_AGE_MS_MAX},
    opened::{NotOpened, Opened, opened},
    random::rng,
    shares::Watching,
};

/// How long a request waits for its access to be applied here.
pub const WAIT: Duration = Duration::from_secs(2);
/// How often a check is done again because a block came in between.
const CHECKS_MAX: usize = 8;

/// Why this validator releases nothing.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// The access's block was not applied here in time.
    #[error("this validator is behind: it does not have the access yet; ask again in a second")]
    Behind,
    /// The newest block is old.
    #[error("this validator is cut off: its newest block is older than {} s; ask others", TIP_AGE_MS_MAX / 1_000)]
    CutOff,
    /// No share.
    #[error("this validator has no share of the committee's key now; ask others")]
    NoShare,
    /// No accepted access stands there.
    #[error("{0}")]
    NoAccess(NotOpened),
    /// Someone else's access.
    #[error("the access was opened by another party; ask with the key of whoever opened it")]
    OtherReader,
    /// Not an X-Wing key.
    #[error("the reader key is not an X-Wing public key")]
    ReaderKey,
    /// Not a capsule.
    #[error("item {item} is not a capsule; fetch it from a custodian again")]
    Capsule {
        /// Its place in the request, counted from 0.
        item: usize,
    },
    /// No record stands there.
    #[error("no record stands at position {0} of this chart's log")]
    NoRecord(LogPosition),
    /// The ledger says no.
    #[error("{0}")]
    Refused(#[from] ReleaseRefusal),
    /// The capsules are not the ledger's.
    #[error("{0}")]
    Shares(#[from] sharing::ReleaseRefusal),
    /// This node's own state could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
}

impl ReleaseError {
    /// For programs, and for the metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::CutOff => "cut_off",
            Self::NoShare => "no_share",
            Self::NoAccess(_) => "no_access",
            Self::OtherReader => "other_reader",
            Self::ReaderKey => "malformed_key",
            Self::Capsule { .. } => "malformed_capsule",
            Self::NoRecord(_) => "no_record",
            Self::Refused(ReleaseRefusal::TooOld { .. }) => "too_old",
            Self::Refused(ReleaseRefusal::Reader(_)) => "reader_barred",
            Self::Refused(ReleaseRefusal::NotAsked(_)) => "not_asked",
            Self::Refused(ReleaseRefusal::NotAllowed { .. }) => "not_allowed",
            Self::Shares(sharing::ReleaseRefusal::Count { .. }) => "count",
            Self::Shares(sharing::ReleaseRefusal::ReaderKey) => "other_key",
            Self::Shares(sharing::ReleaseRefusal::Commitment { .. }) => "wrong_capsule",
            Self::Shares(sharing::ReleaseRefusal::Label { .. }) => "foreign_capsule",
            Self::Shares(sharing::ReleaseRefusal::Ciphertext { .. }) => "bad_capsule",
            Self::Read(_) => "storage",
        }
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Behind | Self::CutOff | Self::NoShare | Self::Read(_) => Fault::Node,
            Self::NoAccess(_) | Self::NoRecord(_) | Self::Refused(_) => Fault::Ledger,
            Self::OtherReader | Self::ReaderKey | Self::Capsule { .. } | Self::Shares(_) => {
                Fault::Client
            }
        }
    }

    /// How it is answered.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Behind => StatusCode::TOO_EARLY,
            Self::CutOff | Self::NoShare | Self::Read(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoAccess(_) | Self::NoRecord(_) => StatusCode::NOT_FOUND,
            Self::OtherReader | Self::Refused(_) => StatusCode::FORBIDDEN,
            Self::ReaderKey | Self::Capsule { .. } => StatusCode::BAD_REQUEST,
            Self::Shares(sharing::ReleaseRefusal::Count { .. }) => StatusCode::BAD_REQUEST,
            Self::Shares(_) => StatusCode::FORBIDDEN,
        }
    }
}

impl From<NotOpened> for ReleaseError {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::NotThere(_) => Self::Behind,
            NotOpened::NotAccepted(_) => Self::NoAccess(error),
            NotOpened::Read(error) => Self::Read(error),
        }
    }
}

/// This validator's release service.
#[derive(Clone)]
pub struct ReleaseService {
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    shares: Watching,
    clock: Clock,
}

/// The records of a request, as the ledger and the asker have them.
struct Items {
    entries: Vec<(LogPosition, RecordEntry)>,
    shown: Vec<(Expected, SaltedCapsule)>,
}

impl ReleaseService {
    /// Releases with the share that serves, for what is in this state.
    pub const fn new(
        core: Arc<Core>,
        reader: Arc<dyn Reader>,
        shares: Watching,
        clock: Clock,
    ) -> Self {
        Self { core, reader, shares, clock }
    }

    /// Whether a share serves here.
    pub fn has_share(&self) -> bool {
        self.shares.releases()
    }

    /// Releases what `party` asks for, if its access permits it now.
    #[tracing::instrument(name = "release", skip_all)]
    pub async fn release(
        &self,
        party: Party,
        request: ReleaseRequest,
    ) -> Result<ReleaseAnswer, ReleaseError> {
        let reader_key =
            SealingPublic::from_bytes(&request.reader_key).map_err(|_| ReleaseError::ReaderKey)?;
        let opened = self.wait_for_access(request.chart, request.access).await?;
        if opened.reader != party {
            return Err(ReleaseError::OtherReader);
        }
        let items = self.items(&request)?;
        self.check_on_newest_state(&opened, &items.entries).await?;

        let serving = self.shares.now(WAIT).await.ok_or(ReleaseError::Behind)?;
        let releaser = serving.releaser.ok_or(ReleaseError::NoShare)?;
        let access = Access {
            chain: self.core.chain,
            command: opened.command,
            reader_key: opened.open.reader_key,
        };
        let shares = tokio::task::spawn_blocking(move || {
            releaser.release(&mut rng(), &access, &items.shown, &reader_key)
        });
        let shares = shares.instrument(tracing::info_span!("shares"));
        Ok(shares.await.map_err(|_| ReadError::Storage)??)
    }

    /// The access, once it is applied here.
    #[tracing::instrument(name = "wait for access", skip_all)]
    async fn wait_for_access(
        &self,
        chart: ChartId,
        position: LogPosition,
    ) -> Result<Opened, ReleaseError> {
        let deadline = Instant::now() + WAIT;
        let mut tip = self.core.watch_tip();
        loop {
            self.fresh_tip()?;
            tip.mark_unchanged();
            match opened(&self.core, &*self.reader, chart, position).await {
                Err(NotOpened::NotThere(_) | NotOpened::Read(ReadError::NotHere)) => {}
                found => return Ok(found?),
            }
            match timeout_at(deadline, tip.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(ReleaseError::Behind),
            }
        }
    }

    fn fresh_tip(&self) -> Result<Tip, ReleaseError> {
        let tip = self.core.tip();
        if self.clock.is_fresh(tip.time()) { Ok(tip) } else { Err(ReleaseError::CutOff) }
    }

    fn items(&self, request: &ReleaseRequest) -> Result<Items, ReleaseError> {
        let mut items = Items { entries: Vec::new(), shown: Vec::new() };
        for (at, item) in request.items.iter().enumerate() {
            let entry = self
                .record(request.chart, item.position)?
                .ok_or(ReleaseError::NoRecord(item.position))?;
            let capsule = SaltedCapsule::decode(&item.capsule)
                .map_err(|_| ReleaseError::Capsule { item: at })?;
            items.shown.push((expected(request.chart, &entry), capsule));
            items.entries.push((item.position, entry));
        }
        Ok(items)
    }

    fn record(
        &self,
        chart: ChartId,
        position: LogPosition,
    ) -> Result<Option<RecordEntry>, ReadError> {
        let line = self.core.index.log(chart, position).map_err(|_| ReadError::Storage)?;
        Ok(line.and_then(|line| line.record))
    }

    #[tracing::instrument(name = "check on newest state", skip_all)]
    async fn check_on_newest_state(
        &self,
        opened: &Opened,
        records: &[(LogPosition, RecordEntry)],
    ) -> Result<(), ReleaseError> {
        for _ in 0..CHECKS_MAX {
            let tip = self.fresh_tip()?;
            self.check(opened, records, &tip).await?;
            if self.core.tip().id == tip.id {
                return Ok(());
            }
        }
        Err(ReleaseError::Behind)
    }

    async fn check(
        &self,
        opened: &Opened,
        records: &[(LogPosition, RecordEntry)],
        tip: &Tip,
    ) -> Result<(), ReleaseError> {
        let access = Accepted {
            reader: opened.reader,
            open: &opened.open,
            position: opened.position,
            time: opened.time,
        };
        // What every record needs is read at one time: each key that is lacking below begins the check again.
        let keys: Vec<_> = records
            .iter()
            .map(|(_, entry)| Key::RecordState(opened.open.chart, entry.original))
            .collect();
        let mut view = View::new();
        let values = self.reader.state(&keys).await?;
        keys.into_iter().zip(values).for_each(|(key, value)| view.load(key, value));
        loop {
            let parameters = &self.core.genesis.parameters;
            match release_check(&view, parameters, tip.time(), &access, records) {
                Ok(()) => return Ok(()),
                Err(ReleaseHalt::Refused(refusal)) => return Err(refusal.into()),
                Err(ReleaseHalt::Lacks(lacks)) => {
                    view.load(lacks.0, self.load(lacks.0).await?);
                }
            }
        }
    }

    async fn load(&self, key: Key) -> Result<Option<Value>, ReadError> {
        if let Key::Record(chart, position) = key {
            return Ok(self.record(chart, position)?.map(Value::Record));
        }
        Ok(self.reader.state(&[key]).await?.pop().flatten())
    }
}

fn expected(chart: ChartId, entry: &RecordEntry) -> Expected {
    Expected {
        chart,
        record: entry.record,
        version: entry.version,
        compartment: entry.compartment,
        epoch: entry.epoch,
        sealed_bytes: entry.sealed_bytes,
        commitment: entry.commitment,
    }
}

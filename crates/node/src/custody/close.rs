//! Closing emergencies that are over, so that compartments move on though nobody else does anything.
//!
//! Each custodian of a chart may close an emergency whose time is over. They take turns, so that most times one
//! command is enough: the first in the chart's list at once, each other one a minute after the one before.
//!
//! # Invariants
//!
//! * Nothing is said unless this node's own newest state says that the emergency is over and not closed.
//! * A chart is forgotten only when none of its emergencies is open or waits for this.
//!
//! Not here: what closing does, which the ledger decides; whoever broke the glass may close it earlier.

use std::sync::Arc;

use keepwell_crypto::command::sign;
use keepwell_engine::{
    admission::{Admission, Refused},
    core::Core,
    reader::{ReadError, Reader},
};
use keepwell_ledger::state::{Chart, Emergency, Key, Value};
use keepwell_types::{
    access::EmergencyClose,
    command::{COMMAND_VERSION, Command, Payload, SignedCommand},
    encoding::List,
    id::{ChartId, CommandId},
    member::Party,
    time::{BlockTime, Window},
};
use rand_core::Rng as _;
use thiserror::Error;
use tokio::time::{Duration, sleep};

use super::{Custody, pending::PendingError};
use crate::random::rng;

/// How often emergencies are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How long the next custodian waits for the one before it, in milliseconds of block time.
const TURN_MS: u64 = 60_000;
/// How long the command may wait for a block, in milliseconds of block time.
const WINDOW_MS: u64 = 120_000;

#[derive(Debug, Error)]
enum CloseError {
    #[error(transparent)]
    Pending(#[from] PendingError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the ledger does not take the custodian's word now: {0}")]
    Refused(Refused),
}

/// Closes what is over for as long as the node runs.
pub async fn keep_closed(
    custody: Arc<Custody>,
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    admission: Admission,
) {
    let closer = Closer { custody: &custody, core: &core, reader: &*reader, admission: &admission };
    loop {
        sleep(LOOK).await;
        if let Err(error) = closer.close_all().await {
            tracing::warn!(%error, "could not close all emergencies that are over; it is tried again");
        }
    }
}

struct Closer<'a> {
    custody: &'a Custody,
    core: &'a Core,
    reader: &'a dyn Reader,
    admission: &'a Admission,
}

impl Closer<'_> {
    /// Tries all of them; one that fails holds up no other.
    async fn close_all(&self) -> Result<(), CloseError> {
        let mut failed = Ok(());
        for chart in self.custody.pending.emergencies()? {
            match self.close(chart).await {
                Ok(true) => self.forget(chart).await?,
                Ok(false) => {}
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    /// Forgets a chart, unless the glass was broken again meanwhile.
    async fn forget(&self, chart: ChartId) -> Result<(), CloseError> {
        self.custody.pending.forget_emergency(chart)?;
        if !self.close(chart).await? {
            self.custody.pending.put_emergency(chart)?;
        }
        Ok(())
    }

    /// Closes what is this custodian's to close; whether nothing of the chart waits any more.
    async fn close(&self, id: ChartId) -> Result<bool, CloseError> {
        let Some((chart, all)) = self.state(id).await? else { return Ok(true) };
        let Some(turn) = turn_of(self.custody, &chart) else { return Ok(true) };
        let now = self.core.tip().time();
        let mut waits = false;
        for emergency in all.iter().filter(|it| it.closed.is_none()) {
            waits = true;
            if emergency.open.until.plus_ms(turn) <= now {
                let close = EmergencyClose { chart: id, emergency: emergency.position };
                let bytes = self.custody.closing(close, now).encode();
                self.admission.submit(bytes).await.map_err(CloseError::Refused)?;
            }
        }
        Ok(!waits)
    }

    async fn state(&self, id: ChartId) -> Result<Option<(Chart, Vec<Emergency>)>, CloseError> {
        let keys = [Key::Chart(id), Key::Emergencies(id)];
        let values = self.reader.state(&keys).await?;
        let mut values = values.into_iter();
        Ok(match (values.next().flatten(), values.next().flatten()) {
            (Some(Value::Chart(chart)), Some(Value::Emergencies(all))) => {
                Some((chart, all.all.into_vec()))
            }
            (_, _) => None,
        })
    }
}

/// How long this custodian waits after an emergency is over; nothing if the chart names it no more.
fn turn_of(custody: &Custody, chart: &Chart) -> Option<u64> {
    let place = chart.custodians.iter().position(|it| *it == custody.organisation)?;
    Some(place as u64 * TURN_MS)
}

impl Custody {
    fn closing(&self, close: EmergencyClose, now: BlockTime) -> SignedCommand {
        let mut id = [0; 16];
        rng().fill_bytes(&mut id);
        let signers = List::from_vec(vec![Party::Custodian(self.organisation)])
            .expect("a command may have one signer");
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.chain,
            id: CommandId(id),
            window: Window { from: now, until: now.plus_ms(WINDOW_MS) },
            signers,
            payload: Payload::EmergencyClose(close),
            part: None,
        };
        sign(command, &[&self.key])
    }
}

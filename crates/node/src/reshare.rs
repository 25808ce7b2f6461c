//! What this validator does, by itself, when validators change.
//!
//! ```text
//!  newest state ─> what is waited for (the ledger's `duty`) ─> key files, shares ─> command ─> the ledger
//! ```
//!
//! # Invariants
//!
//! * Nothing is said about a state that is old: what this node has to say is for the newest one.
//! * What others said in the meantime, or what was said before a crash, is no failure.
//!
//! Not here: what it says (`keepwell_engine::reshare`), and which shares serve ([`crate::shares`]).

use std::sync::Arc;

use keepwell_crypto::command::sign;
use keepwell_engine::{
    admission::{Admission, Refused},
    core::Core,
    reader::{ReadError, Reader},
    reshare::{Part, ReshareError},
};
use keepwell_ledger::state::{Changing, Key, Value};
use keepwell_types::{
    command::{COMMAND_VERSION, Command, Payload},
    encoding::List,
    id::{CommandId, Height, Location, OrganisationId},
    member::Party,
    outcome::{Rejection, Verdict},
    time::Window,
    validators::ValidatorSet,
};
use rand_core::Rng as _;
use thiserror::Error;
use tokio::time::{Duration, sleep};

use crate::{
    clock::Clock,
    random::rng,
    shares::{Shares, SharesError},
};

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How long a command may wait for a block, in milliseconds of block time: it is said again then, if it is still due.
const WINDOW_MS: u64 = 20_000;

#[derive(Debug, Error)]
enum DeputyError {
    #[error(transparent)]
    Part(#[from] ReshareError<SharesError>),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Shares(#[from] SharesError),
    #[error("the ledger does not take the validator's word now: {0}")]
    Refused(Refused),
    #[error("the ledger refuses the validator's word: {0}")]
    Rejected(Rejection),
}

/// Takes part in changes of validators for as long as the node runs, and puts shares in their places.
pub async fn keep_resharing(
    organisation: OrganisationId,
    shares: Arc<Shares>,
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    admission: Admission,
    clock: Clock,
) {
    let (settled, missed) = (None, None);
    let mut deputy =
        Deputy { organisation, shares, core, reader, admission, clock, settled, missed };
    let mut tip = deputy.core.watch_tip();
    loop {
        tip.borrow_and_update();
        if let Err(error) = deputy.step().await {
            tracing::warn!(%error, "could not take part in a change of validators; it is tried again");
            sleep(RETRY).await;
            continue;
        }
        if tip.changed().await.is_err() {
            return;
        }
    }
}

/// Acts for this validator.
struct Deputy {
    organisation: OrganisationId,
    shares: Arc<Shares>,
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    admission: Admission,
    clock: Clock,
    /// The set and the change for which shares are in their places.
    settled: Option<(u64, Option<Location>)>,
    /// The set for which it was said that a share is missing.
    missed: Option<u64>,
}

impl Deputy {
    async fn step(&mut self) -> Result<(), DeputyError> {
        let tip = self.core.tip();
        let (set, changing) = self.standing().await?;
        // The state of the last block of an epoch is there a moment before everyone is told who follows.
        if self.core.sets.newest().since != set.since {
            return Ok(());
        }
        let standing = (set.since, changing.as_ref().map(|it| it.began));
        if self.settled != Some(standing) {
            self.shares.settle(tip.height(), set.clone(), standing.1).await?;
            // Before the first block of this start, nothing can be told to be over.
            self.settled = Some(standing).filter(|_| tip.height() > Height(0));
        }
        // What an older state asks for, the others have had or have given up.
        if !self.clock.is_fresh(tip.time()) {
            return Ok(());
        }
        if self.shares.is_missing() && self.missed != Some(standing.0) {
            self.missed = Some(standing.0);
            tracing::warn!(
                "this validator has no share of the committee's key: it releases nothing until shares are dealt anew; restore share.key if you have it"
            );
        }
        let Some(changing) = changing else { return Ok(()) };
        let release = self.shares.release_key();
        let next = Height(tip.height().0 + 1);
        let blocks = self.core.sets.epoch_blocks();
        let Some(duty) = changing.duty(&set, &release, next, blocks) else { return Ok(()) };
        let part = Part {
            chain: &self.core.chain,
            reader: &*self.reader,
            keeper: &*self.shares,
            release,
            set: &set,
            changing: &changing,
        };
        for payload in part.said(duty, &mut rng()).await? {
            self.say(payload).await?;
        }
        tracing::info!(change = %changing.began.height, ?duty, "did this validator's part");
        Ok(())
    }

    /// Who validates, and the change of it, if one stands.
    async fn standing(&self) -> Result<(ValidatorSet, Option<Changing>), DeputyError> {
        let mut values = self.reader.state(&[Key::Validators, Key::Changing]).await?.into_iter();
        match (values.next().flatten(), values.next().flatten()) {
            (Some(Value::Validators(it)), Some(Value::Changing(changing))) => {
                Ok((it.set, Some(changing)))
            }
            (Some(Value::Validators(it)), _) => Ok((it.set, None)),
            // Before the founding entries.
            _ => Ok((ValidatorSet::of(&self.core.genesis), None)),
        }
    }

    async fn say(&self, payload: Payload) -> Result<(), DeputyError> {
        let now = self.core.tip().time();
        let mut id = [0; CommandId::LEN];
        rng().fill_bytes(&mut id);
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.core.chain,
            id: CommandId(id),
            window: Window { from: now, until: now.plus_ms(WINDOW_MS) },
            signers: List::from_vec(vec![Party::Validator(self.organisation)]).expect("one signer"),
            payload,
            part: None,
        };
        let signed = sign(command, &[&self.shares.signing()]);
        let outcome = self.admission.submit(signed.encode()).await.map_err(DeputyError::Refused)?;
        match outcome.verdict {
            Verdict::Accepted => Ok(()),
            // What was said before a crash, or what the others did not wait for: the next state says what is due.
            Verdict::Rejected(
                Rejection::SaidAlready
                | Rejection::NotAtThisStage
                | Rejection::NoSuchChange { .. }
                | Rejection::NotInChange,
            ) => Ok(()),
            Verdict::Rejected(rejection) => Err(DeputyError::Rejected(rejection)),
        }
    }
}
